# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What follows once tasks have finished: their logs and events are collected, their results recorded, their pods cleaned up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..cluster.client import MANAGER, Client
from ..cluster.diagnosis import Tail, format_diagnosis, log_tail
from ..cluster.events import list_events
from ..cluster.kinds import CONFIG_MAP, POD
from ..console import Console
from ..errors import PodwrightError
from ..objects.containers import TASK_CONTAINER, killed_sidecars
from ..objects.job_status import pods_by_index
from ..objects.pod_status import Status, explaining_container, has_started, read_pod
from ..objects.readiness import condition
from ..objects.start_hints import output_hint, probe_hint
from ..reconciler.wait import WAIT_FAILED, wait_until_deleted
from ..text import split_lines
from ..threads import call_in_threads
from ..values import Manifest
from .container_logs import further_containers, read_logs, share_of
from .executor import LOG_BYTES, THREADS
from .file_containers import can_fetch, holds_files
from .indexes import has_several_pods, is_indexed, pods_by_name
from .outputs import termination_message
from .record import build_record, find_fetched
from .task_plan import Listed
from .task_run import TaskRun
from .task_spec import TaskSpec

DELETION_SECONDS = 60


class Completion:
    """Completes tasks that a Runner has run."""

    def __init__(self, client: Client, runs: Iterable[TaskRun], console: Console) -> None:
        self._client = client
        self._runs = [(run, run.spec) for run in runs if run.spec]
        self._console = console

    def complete(self) -> None:
        """Collect, record, clean up: no pod is deleted before the record that replaces it is written."""
        for run, spec in self._runs:
            self._warn_of_killed_process(run, spec)
        open_runs = [(run, spec) for run, spec in self._runs if run.error or spec.options["logs"] != "none"]
        call_in_threads(lambda pair: self._collect(*pair), open_runs, THREADS)
        # Not those that are being deleted: their records are deleted as well.
        kept = [(run, spec, run.status) for run, spec in self._runs if spec.keeps_record and run.live and not run.plan.is_deletion]
        call_in_threads(lambda entry: self._record(*entry), [(run, spec, status) for run, spec, status in kept if status and status.is_finished], THREADS)
        deleted = self._clean_up()
        fetched = [(spec, run.pod) for run, spec in self._runs if run.pod and can_fetch(run.pod) and run.fetched and not run.is_unrecorded]
        released = [(spec, pod) for spec, pod in fetched if pod["metadata"]["uid"] not in deleted]
        if released:
            call_in_threads(lambda pair: self._release(*pair), released, THREADS)

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

    def _collect(self, run: TaskRun, spec: TaskSpec) -> None:
        options, pod = spec.options, run.pod
        if options["logs"] != "none" and (is_indexed(spec) or (has_several_pods(spec) and run.pods)) and not run.is_stopping:
            self.complete_logs(run, spec)
        elif options["logs"] != "none" and pod and not run.is_stopping:
            task, others = f"task '{spec.name}'", further_containers(run)
            if run.logs is None:
                run.logs = read_logs(self._client, self._console, task, pod, [TASK_CONTAINER], LOG_BYTES).get(TASK_CONTAINER)
            run.container_logs = read_logs(self._client, self._console, task, pod, others, share_of(len(others)))
        if run.collected and run.error and run.status and run.status.state == "failed" and run.pod and holds_files(run.pod):
            for problem in run.collected.failures:
                self._console.warn(f"What the failed task '{spec.name}' left could not be fetched, and is held in its pod: {problem}")
        if run.error and run.status and run.status.state == "failed" and run.has_lost_files:
            self._console.warn(f"What the failed task '{spec.name}' left was lost: its pod was terminated before it was fetched ({run.status.reason}).")
        if run.error and run.has_failed:
            self._explain(run, spec, run.error)

    def complete_logs(self, run: TaskRun, spec: TaskSpec) -> None:
        """Collect the logs of a Job with several pods or indexes, of all together as much as of another task."""
        is_one_each, others = is_indexed(spec), further_containers(run)
        pods: dict[Any, Manifest] = dict(pods_by_index(run.pods.values()) if is_one_each else pods_by_name(run))
        limit = share_of(sum(has_started(pod, name) for pod in pods.values() for name in (TASK_CONTAINER, *others)))
        found: dict[Any, dict[str, str]] = {}
        for label, pod in pods.items():
            what = f"{'index' if is_one_each else 'pod'} {label} of task '{spec.name}'"
            found[label] = read_logs(self._client, self._console, what, pod, [TASK_CONTAINER, *others], limit)
        if is_one_each:
            run.index_logs = found
        elif run.pod:
            run.container_logs = {name: log for name, log in found[run.pod["metadata"]["name"]].items() if name != TASK_CONTAINER}
        own = {label: logs[TASK_CONTAINER] for label, logs in found.items() if TASK_CONTAINER in logs}
        if own:
            run.logs = "".join(f"[{label}] {line}\n" for label, log in own.items() for line in split_lines(log))

    def _explain(self, run: TaskRun, spec: TaskSpec, error: PodwrightError) -> None:
        """Add the last events and log lines to the error of a task."""
        options, pod = spec.options, run.pod
        if run.effects.kept:  # the log and the events are those of another attempt, with other options
            return
        subjects = [pod, run.live if spec.is_job else None]
        run.events = [event for subject in subjects if subject for event in list_events(self._client, subject)]
        tail = log_tail(self._client, pod, options["log_tail"]) if pod else run.record.tail if run.record else Tail()
        if tail.container and tail.text:
            run.container_logs.setdefault(tail.container, tail.text)
        elif run.logs is None and tail.text:
            run.logs = tail.text
        hint = (
            error.hint
            or output_hint(tail.text)
            or probe_hint((event["message"] for event in run.events), TASK_CONTAINER, run.status.rc if run.status else None)
        )
        if run.is_from_earlier_run and _is_finished(run) and options["rerun"] in ("on_change", "never") and "rerun" not in hint:
            hint = f"{hint} It failed in an earlier run; set rerun to on_failure to run it again.".lstrip()
        has_exited = run.status is not None and run.status.rc is not None  # then only warnings explain more
        events = [event for event in run.events if event["type"] != "Normal" or not has_exited]
        text = error.message + _termination_line(error.message, pod, tail.text, options["log_tail"])
        text += format_diagnosis(events, tail, f"{text}\n{_job_failure(run.live)}")
        run.error = PodwrightError(text, status=error.status, reason=error.reason, causes=error.causes, hint=hint)

    def _record(self, run: TaskRun, spec: TaskSpec, status: Status) -> None:
        """Keep the result of a task, whose pod may be deleted."""
        # A later run reports the failure with its log; else it is kept only if wanted: more users may read records than logs.
        is_wanted = spec.options["logs"] != "none" or status.state == "failed"
        pod, lines = run.pod, spec.options["log_tail"] if is_wanted else 0
        tail = Tail(run.logs) if run.logs is not None else log_tail(self._client, pod, lines) if lines and pod else Tail()
        tail = Tail("\n".join(split_lines(tail.text)[-lines:]) if lines else "", tail.container)
        manifest = build_record(spec, status, pod, run.attempt, tail, run.fetched)
        try:
            if spec.leaves_files and pod and not run.fetched and find_fetched(self._client, spec, pod["metadata"]["uid"]):
                return  # another run has, and perhaps deleted the pod: the task would run again without that record
            self._client.apply(CONFIG_MAP, spec.namespace, manifest["metadata"]["name"], manifest, MANAGER)
        except PodwrightError as error:
            run.is_unrecorded = True
            self._console.warn(
                f"The result of task '{spec.name}' in namespace '{spec.namespace}' could not be recorded: {error} "
                f"Its {spec.kind.name} is kept, since the task would run again without it; the next run records it. "
                "If the task may run again, set record to false."
            )

    def _release(self, spec: TaskSpec, pod: Manifest) -> None:
        """Let the pod of a task complete, whose files were fetched."""
        from .collector import Collector  # few tasks leave files

        try:
            Collector(self._client, self._console).release(spec, pod)
        except PodwrightError as error:
            live = self._client.get(POD, spec.namespace, pod["metadata"]["name"])
            if live and can_fetch(live):
                self._console.warn(f"The pod of task '{spec.name}' still holds its files, although they were fetched: {error}")

    def _clean_up(self) -> set[str]:
        """Delete the pods and Jobs that `cleanup` selects, and wait until they are deleted. Returns: their uids."""
        finished = {}
        for run, spec in self._runs:
            if not run.live or not _is_finished(run) or run.is_unrecorded or run.plan.is_deletion or _is_unfetched(run):
                continue
            policy = spec.options["cleanup"]
            if policy == "always" or policy == ("on_failure" if run.has_failed else "on_success"):
                finished[run.plan.change.key] = (spec.kind, run.live)
        call_in_threads(self._delete, finished.values(), THREADS)
        try:
            wait_until_deleted(self._client, finished, DELETION_SECONDS, self._console)
        except PodwrightError as error:
            if error.reason != WAIT_FAILED:
                raise
            # No task has failed: a finalizer blocks the deletion, or a sidecar uses up its grace period.
            self._console.warn(f"{error.message} Its task has finished, and its deletion is not waited for any longer.")
        return {item["metadata"]["uid"] for _kind, item in finished.values()}

    def _delete(self, entry: Listed) -> None:
        kind, item = entry
        metadata = item["metadata"]
        self._client.delete(kind, metadata["namespace"], metadata["name"], metadata["uid"])


def _termination_line(error: str, pod: Manifest | None, tail: str, log_tail: int) -> str:
    """The termination message of a task as a line to add to an error; empty if it has none, the error contains it, or the kubelet took it from the log."""
    message = termination_message(pod, explaining_container(pod)).strip() if pod and log_tail else ""
    is_shown = message in error or message in tail or bool(tail.strip() and tail.strip() in message)
    return f"\nTermination message: {message}" if message and not is_shown else ""


def _job_failure(job: Manifest | None) -> str:
    """Why a Job says that it has failed, which its controller also writes as an event, sooner or later: what its pod says explains more."""
    return str(condition(job, "Failed").get("message") or "") if job else ""


def _is_unfetched(run: TaskRun) -> bool:
    """Whether the pod of a task holds files that were not fetched: it must stay for another run."""
    return bool(run.spec and run.spec.leaves_files and run.pod and holds_files(run.pod) and not run.fetched)


def _is_finished(run: TaskRun) -> bool:
    return run.status is not None and run.status.is_finished
