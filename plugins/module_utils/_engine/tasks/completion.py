# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What follows once all tasks of a batch have finished: what is not complete is completed, and their pods are cleaned up."""

from __future__ import annotations

from collections.abc import Iterable

from ..cluster.client import Client
from ..console import Console
from ..errors import PodwrightError
from ..objects.containers import TASK_CONTAINER, container_status, killed_sidecars
from ..objects.pod_status import read_pod
from ..objects.timestamps import read_timestamp
from ..reconciler.wait import WAIT_FAILED, wait_until_deleted
from ..threads import call_in_threads
from .executor import THREADS
from .file_containers import holds_files
from .task_completion import TaskCompletion
from .task_plan import Listed
from .task_run import TaskRun
from .task_spec import TaskSpec

DELETION_SECONDS = 60
KILLED = (137, 143)  # by the kubelet, for example because a probe failed or its image was changed
RECENT_SECONDS = 600  # the kubelet waits for 5 minutes at most before it restarts a container


class Completion:
    """Completes tasks that a Runner has run."""

    def __init__(self, client: Client, runs: Iterable[TaskRun], console: Console) -> None:
        self._client = client
        self._runs = [(run, run.spec) for run in runs if run.spec]
        self._console = console

    def complete(self) -> None:
        """Complete what was not completed while others ran, and clean up: no pod is deleted before the record that replaces it is written."""
        for run, spec in self._runs:
            self._warn_of_killed_process(run, spec)
            self._warn_of_restarts(run, spec)
        tasks = TaskCompletion(self._client, self._console)
        call_in_threads(lambda pair: tasks.complete(*pair), [(run, spec) for run, spec in self._runs if not run.is_complete], THREADS)
        for run, spec in self._runs:
            self._warn_of_missing_record(run, spec)
        self._clean_up()

    def _warn_of_missing_record(self, run: TaskRun, spec: TaskSpec) -> None:
        if run.record_error:
            self._console.warn(
                f"The result of task '{spec.name}' in namespace '{spec.namespace}' could not be recorded: {run.record_error} "
                f"Its {spec.kind.name} is kept, since the task would run again without it; the next run records it. "
                "If the task may run again, set record to false."
            )

    def _warn_of_killed_process(self, run: TaskRun, spec: TaskSpec) -> None:
        """Warn if a task succeeded without a process that was killed for its memory: Kubernetes takes it for a success, but its work may be incomplete."""
        if not run.status or run.status.state != "succeeded":
            return
        found = [(pod, status) for pod in run.pods.values() or filter(None, [run.pod]) if (status := read_pod(pod)).state == "succeeded"]
        victims = ["one of its processes"] * any(status.reason == "OOMKilled" for _pod, status in found)
        victims += sorted({f"its sidecar '{name}'" for pod, _status in found for name in killed_sidecars(pod)})
        for what in victims:
            self._console.warn(
                f"Task '{spec.name}' in namespace '{spec.namespace}' succeeded, but {what} was killed, because the container used more memory "
                "than its limit allows (OOMKilled). Raise its resources.limits.memory."
            )

    def _warn_of_restarts(self, run: TaskRun, spec: TaskSpec) -> None:
        """Warn if a task that should run is ready, but its command exits again and again: mostly one that is meant to exit."""
        status = container_status(run.pod, TASK_CONTAINER) if run.pod and not (spec.completes or run.error or run.plan.is_deletion) else {}
        exited, count = (status.get("lastState") or {}).get("terminated") or {}, status.get("restartCount") or 0
        finished = read_timestamp(exited.get("finishedAt"))
        is_recent = finished is not None and self._client.clock.now() - finished <= RECENT_SECONDS
        if not is_recent or count < 2 or exited.get("exitCode") in KILLED:
            return
        self._console.warn(
            f"The command of task '{spec.name}' in namespace '{spec.namespace}' exited with code {exited.get('exitCode')} and was restarted, "
            f"{count} times so far. If it is meant to exit, set state to completed."
        )

    def _clean_up(self) -> None:
        """Delete the pods and Jobs that `cleanup` selects, and wait until they are deleted."""
        finished = {}
        for run, spec in self._runs:
            if not run.live or not _is_finished(run) or run.record_error or run.plan.is_deletion or _is_unfetched(run):
                continue
            policy = spec.options["cleanup"]
            if policy == "always" or policy == ("on_failure" if run.has_failed else "on_success"):
                finished[run.plan.change.key] = (spec.kind, run.live)
        answers = call_in_threads(self._delete, finished.values(), THREADS)
        problems = list(filter(None, answers))
        try:
            deleted = {key: entry for (key, entry), problem in zip(finished.items(), answers) if not problem}
            wait_until_deleted(self._client, deleted, DELETION_SECONDS, self._console)
        except PodwrightError as error:
            if error.reason == WAIT_FAILED:
                # No task has failed: a finalizer blocks the deletion, or a sidecar uses up its grace period.
                self._console.warn(f"{error.message} Its task has finished, and its deletion is not waited for any longer.")
            else:
                problems.append(error)
        raise_or_warn(problems, (run for run, _spec in self._runs), self._console)

    def _delete(self, entry: Listed) -> PodwrightError | None:
        kind, item = entry
        metadata = item["metadata"]
        try:
            self._client.delete(kind, metadata["namespace"], metadata["name"], metadata["uid"])
        except PodwrightError as error:
            return error
        return None


def raise_or_warn(problems: Iterable[PodwrightError], runs: Iterable[TaskRun], console: Console) -> None:
    """Report what failed after the tasks had finished; as warnings if tasks have failed, since an error would hide why. Raises: PodwrightError."""
    have_failed = any(run.has_failed for run in runs)
    for problem in problems:
        if not have_failed:
            raise problem
        console.warn(f"The cleanup of finished tasks failed: {problem}")


def _is_unfetched(run: TaskRun) -> bool:
    """Whether the pod of a task holds files that were not fetched: it must stay for another run."""
    return bool(run.spec and run.spec.leaves_files and run.pod and holds_files(run.pod) and not run.fetched)


def _is_finished(run: TaskRun) -> bool:
    return run.status is not None and run.status.is_finished
