# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps the result of a task as soon as it has finished: its log, why it failed, its record.

Another run may replace its pod by one of the same name at any time after that. What holds its files is released, since its pod counts towards a quota
until it has terminated.
"""

from __future__ import annotations

from typing import Any

from ..cluster.client import MANAGER, Client
from ..cluster.diagnosis import Tail, format_diagnosis
from ..cluster.events import list_events
from ..cluster.kinds import CONFIG_MAP, POD
from ..console import Console
from ..errors import PodwrightError, as_podwright_error
from ..objects.containers import TASK_CONTAINER
from ..objects.job_status import pods_by_index
from ..objects.meshes import QUIT_ENDPOINTS
from ..objects.pod_status import Status, explaining_container, has_started
from ..objects.readiness import condition
from ..objects.start_hints import output_hint, probe_hint
from ..text import last_lines, split_lines
from ..values import Manifest
from .container_logs import further_containers, read_logs, read_tail, share_of
from .decision import PATCH
from .executor import LOG_BYTES, Answer
from .file_containers import can_fetch, holds_files
from .indexes import has_several_pods, is_indexed, pods_by_name, summarize
from .outputs import termination_message
from .record import are_too_large, build_record, find_fetched, is_outdated, with_indexes
from .task_run import TaskRun
from .task_spec import TaskSpec

_KEEP_JOB = "Set cleanup to never, or let its pods write less."
RELEASE_LOOKS = (1, 2)  # seconds after which it is known whether a pod was released


class TaskCompletion:
    """Completes single tasks, in threads; each changes its TaskRun."""

    def __init__(self, client: Client, console: Console) -> None:
        self._client, self._console = client, console

    def try_completing(self, run: TaskRun, spec: TaskSpec) -> Answer:
        """Complete a task while others run. What fails is retried once all have finished."""
        try:
            self.complete(run, spec)
        except Exception as error:
            return Answer(error=as_podwright_error(error))
        return Answer()

    def complete(self, run: TaskRun, spec: TaskSpec) -> None:
        """Keep the result of a task, as far as it was not kept before, and then release what holds its files."""
        if not run.is_collected and (run.error or spec.options["logs"] != "none"):
            self._collect(run, spec)
        run.is_collected = True
        # Not one that is being deleted: its record is deleted as well.
        if spec.keeps_record and run.live and not run.plan.is_deletion and run.status and run.status.is_finished:
            run.record_error = self._record(run, spec, run.status)
        if not run.record_error and run.pod and can_fetch(run.pod) and run.fetched:
            self._release(spec, run.pod)
        if run.is_known_by_record and run.plan.change.action == PATCH:
            self._move_record(run, spec, run.plan.change.desired or {})
        run.is_complete = run.record_error is None

    def _move_record(self, run: TaskRun, spec: TaskSpec, manifest: Manifest) -> None:
        """Write the record that replaces a task's Pod or Job, since the set of the task changed."""
        try:
            run.effects.corrected = self._client.apply(CONFIG_MAP, spec.namespace, manifest["metadata"]["name"], manifest, MANAGER)
        except PodwrightError as error:
            self._console.warn(f"The record of task '{spec.name}' in namespace '{spec.namespace}' still belongs to its earlier set: {error}")

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
                is_lost = problem.reason == "FilesLost"
                fate = "was lost: its pod was deleted before it was fetched." if is_lost else f"could not be fetched, and is held in its pod: {problem}"
                self._console.warn(f"What the failed task '{spec.name}' left {fate}")
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
        has_exited = run.status is not None and run.status.rc is not None  # then only warnings explain more, and none about the proxy of a mesh
        subjects, besides = [pod, run.live if spec.is_job else None], QUIT_ENDPOINTS if has_exited else ()
        run.events = [event for subject in subjects if subject for event in list_events(self._client, subject, besides)]
        tail = read_tail(self._client, pod, options["log_tail"]) if pod else run.record.tail if run.record else Tail()
        if tail.container and tail.text:
            run.container_logs.setdefault(tail.container, tail.text)
        elif run.logs is None and tail.text:
            run.logs = tail.text
        hint = (
            error.hint
            or output_hint(tail.text)
            or probe_hint((event["message"] for event in run.events), TASK_CONTAINER, run.status.rc if run.status else None)
        )
        if run.is_from_earlier_run and run.status and run.status.is_finished and options["rerun"] in ("on_change", "never") and "rerun" not in hint:
            hint = f"{hint} It failed in an earlier run; set rerun to on_failure to run it again.".lstrip()
        events = [event for event in run.events if event["type"] != "Normal" or not has_exited]
        text = error.message + _termination_line(error.message, pod, tail.text, options["log_tail"])
        text += format_diagnosis(events, tail, f"{text}\n{_job_failure(run.live)}")
        run.error = PodwrightError(text, status=error.status, reason=error.reason, causes=error.causes, hint=hint)

    def _record(self, run: TaskRun, spec: TaskSpec, status: Status) -> PodwrightError | None:
        """Record the result of a task, whose pod may be deleted. Returns: why that failed, or None."""
        # A later run reports the failure with its log; else it is kept only if wanted: more users may read records than logs.
        is_wanted = spec.options["logs"] != "none" or status.state == "failed"
        pod, lines = run.pod, spec.options["log_tail"] if is_wanted else 0
        tail = Tail(run.logs) if run.logs is not None else read_tail(self._client, pod, lines) if lines and pod else Tail()
        tail = Tail(last_lines(tail.text, lines), tail.container)
        indexes = summarize(spec, run.pods.values()) if is_indexed(spec) else []
        manifest = build_record(spec, status, pod, run.attempt, tail, run.fetched, run.live if spec.is_job else None)
        manifest = with_indexes(manifest, indexes) if indexes else manifest
        try:
            if spec.leaves_files and pod and not run.fetched and find_fetched(self._client, spec, pod["metadata"]["uid"]):
                return None  # another run has, and perhaps deleted the pod: the task would run again without that record
            if pod and is_outdated(self._client, spec.name, pod):
                return None
            self._client.apply(CONFIG_MAP, spec.namespace, manifest["metadata"]["name"], manifest, MANAGER)
        except PodwrightError as error:
            return error
        if spec.options.get("results") and are_too_large(indexes):
            problem = f"has too many indexes for its record: once its Job is deleted, later runs do not return their results. {_KEEP_JOB}"
            self._console.warn(f"Task '{spec.name}' in namespace '{spec.namespace}' {problem}")
        return None

    def _release(self, spec: TaskSpec, pod: Manifest) -> None:
        """Let the pod of a task complete, whose files were fetched."""
        from .collector import Collector  # few tasks leave files

        try:
            Collector(self._client, self._console).release(pod)
        except PodwrightError as error:
            if self._still_holds(pod):
                self._console.warn(f"The pod of task '{spec.name}' still holds its files, although they were fetched: {error}")

    def _still_holds(self, pod: Manifest) -> bool:
        """Whether a pod holds its files, also after a while: another run may have released it, which its kubelet reports later."""
        for pause in (0, *RELEASE_LOOKS):
            self._client.clock.sleep(pause)
            live = self._client.get(POD, pod["metadata"]["namespace"], pod["metadata"]["name"])
            if not live or live["metadata"]["uid"] != pod["metadata"]["uid"] or not can_fetch(live):
                return False
        return True


def _termination_line(error: str, pod: Manifest | None, tail: str, log_tail: int) -> str:
    """The termination message of a task as a line to add to an error; empty if it has none, the error contains it, or the kubelet took it from the log."""
    message = termination_message(pod, explaining_container(pod)).strip() if pod and log_tail else ""
    is_shown = message in error or message in tail or bool(tail.strip() and tail.strip() in message)
    return f"\nTermination message: {message}" if message and not is_shown else ""


def _job_failure(job: Manifest | None) -> str:
    """Why a Job says that it has failed, which its controller also writes as an event, sooner or later: what its pod says explains more."""
    return str(condition(job, "Failed").get("message") or "") if job else ""
