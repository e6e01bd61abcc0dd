# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pods of a Job: when all is known of them, and a log, a state and results for each index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..objects.containers import TASK_CONTAINER
from ..objects.job_status import pods_by_index
from ..objects.pod_status import Status, read_pod
from .collected import restore
from .job import INDEXED
from .outputs import parse_results, read_sources

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ..values import Manifest, Result
    from .collected import Collected
    from .record import Record
    from .task_run import TaskRun
    from .task_spec import TaskSpec


_FIELDS = ("index", "state", "reason", "rc", "pod_name", "node")
LAG_SECONDS = 2  # of one watch behind another


def is_indexed(spec: TaskSpec) -> bool:
    """Whether the pods of a task have indexes."""
    return bool(spec.options.get("completion_mode") == INDEXED)


def has_several_pods(spec: TaskSpec) -> bool:
    """Whether several pods without an index do the work of a task."""
    return spec.is_job and not is_indexed(spec) and (spec.options.get("completions") or spec.options.get("parallelism") or 1) > 1


def pods_by_name(run: TaskRun) -> dict[str, Manifest]:
    """The pods of a Job, sorted by name."""
    return dict(sorted((pod["metadata"]["name"], pod) for pod in run.pods.values()))


def named_pods(run: TaskRun, spec: TaskSpec) -> list[tuple[str, Manifest]]:
    """(name for the lines of its log, pod) of each pod whose log is shown; those of each index, or of each pod, if there are several."""
    if is_indexed(spec):
        return [(f"{spec.name}[{index}]", pod) for index, pod in pods_by_index(run.pods.values()).items()]
    return list(pods_by_name(run).items()) if has_several_pods(spec) else [(spec.name, run.pod)] if run.pod else []


def find_index_problems(spec: TaskSpec, pods: Iterable[Manifest]) -> list[PodwrightError]:
    """What is wrong with the results that the indexes which succeeded have left, as their termination messages."""
    found = []
    for index, pod in pods_by_index(pods).items():
        for problem in restore(spec, pod, None, _has_succeeded(pod)).problems if _has_succeeded(pod) else ():
            found.append(PodwrightError(f"{problem.message.rstrip('.')} in index {index}", reason=problem.reason, hint=problem.hint))
    return found


def find_left(spec: TaskSpec, pod: Manifest | None, pods: Collection[Manifest], record: Record | None, is_success: bool) -> Collected:
    """What a task left, as its pods report it and as an earlier run recorded it.

    Args:
        pod: its pod, or the one that says what its Job does; None if there is none.
        pods: all pods of its Job.
        is_success: whether the task succeeded, so that it should have left everything.
    """
    left = restore(spec, pod, record, is_success and not (pods and is_indexed(spec)))
    if is_success and is_indexed(spec) and spec.options.get("results"):
        left.problems += find_index_problems(spec, pods)
    return left


def awaits_pods(run: TaskRun, spec: TaskSpec, status: Status, now: float) -> bool:
    """Whether a Job has finished and the watch of its pods, which is another one, has not reported the exit code or the results.

    Args:
        now: the time of the client's clock.
    """
    if not spec.is_job or not status.is_finished or run.is_from_earlier_run or run.is_known_by_record:
        return False
    if status.rc is not None if status.state != "succeeded" else not spec.options.get("results") or has_reported(run, spec):
        return False
    run.timing.failed_since = now if run.timing.failed_since is None else run.timing.failed_since
    return now - run.timing.failed_since < LAG_SECONDS


def has_reported(run: TaskRun, spec: TaskSpec) -> bool:
    """Whether the pods of a Job that succeeded are known to have finished: another watch than that of the Job reports them."""
    pods = list(pods_by_index(run.pods.values()).values()) if is_indexed(spec) else [run.pod] if run.pod else []
    return sum(map(_has_succeeded, pods)) >= (spec.options["completions"] if is_indexed(spec) else 1)


def _has_succeeded(pod: Manifest) -> bool:
    return read_pod(pod).state == "succeeded"


def describe_indexes(spec: TaskSpec, run: TaskRun) -> Result:
    """The field `indexes` of a task in the result; empty if it has none."""
    if not is_indexed(spec) or run.plan.is_deletion:
        return {}
    known = run.record.indexes if run.record and run.is_known_by_record else summarize(spec, run.pods.values())
    return {"indexes": [_describe(spec, entry, run.index_logs.get(entry["index"], {})) for entry in known]}


def summarize(spec: TaskSpec, pods: Iterable[Manifest]) -> list[Result]:
    """What is recorded of each index; its `message` is its termination message, from which all of its results are read."""
    return [_summarize(spec, index, pod) for index, pod in pods_by_index(pods).items()]


def _summarize(spec: TaskSpec, index: int, pod: Manifest) -> Result:
    status, texts = read_pod(pod), restore(spec, pod, None, False).texts
    fields = {"index": index, "state": status.state, "reason": status.reason, "rc": status.rc}
    fields |= {"pod_name": pod["metadata"]["name"], "node": pod["spec"].get("nodeName")}
    return fields | ({"message": next(iter(texts.values()))} if texts else {})


def _describe(spec: TaskSpec, known: Result, logs: dict[str, str]) -> Result:
    others = {name: log for name, log in logs.items() if name != TASK_CONTAINER}
    fields = {name: known.get(name) for name in _FIELDS} | {"logs": logs.get(TASK_CONTAINER)} | ({"container_logs": others} if others else {})
    sources, message = read_sources(spec.options), known.get("message")
    results = parse_results(sources, {source.name: message for source in sources} if isinstance(message, str) else {})[0]
    return fields | ({"results": results} if spec.options.get("results") else {})
