# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The spans of a batch of tasks: one for the run, and in it one for each task, attempt and phase that the run brought about."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..clients.otlp import send_spans
from ..errors import PodwrightError
from ..tasks.result import describe_task
from ..tasks.tracing import has_context
from .attempts import read_attempts
from .batch import pods_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..console import Console
    from ..tasks.task_run import TaskRun
    from ..tasks.task_spec import TaskSpec
    from ..tasks.tracing import Trace
    from ..values import Options
    from .model import Attempt

OK, FAILED = 1, 2  # status codes
_INTERNAL = 1  # kind of span
Span = dict[str, Any]


class BatchTrace:
    """Sends the spans of a batch when it has finished.

    Args:
        options: the option `trace`.
    """

    def __init__(self, trace: Trace, options: Options, console: Console) -> None:
        self._trace, self._options, self._console = trace, options, console
        self._start = time.time()

    def write(self, runs: Iterable[TaskRun], error: PodwrightError | None) -> None:
        """Send the spans; a collector that does not take them is a warning.

        Args:
            error: why the run failed, or None.
        """
        if not self._trace.is_sampled:
            return
        pairs = [(run, run.spec) for run in runs if run.spec]
        spans = build_spans(self._trace, pairs, self._start, time.time(), error.reason if error else None)
        try:
            send_spans(self._options["endpoint"], self._options["headers"] or {}, spans)
        except PodwrightError as problem:
            self._console.warn(str(problem))


def build_spans(trace: Trace, runs: Iterable[tuple[TaskRun, TaskSpec]], start: float, end: float, failure: str | None) -> list[Span]:
    """The spans of a run in the form of OTLP. Pure.

    Args:
        start, end: when the run started and finished.
        failure: the reason for which it failed, or None.
    """
    parts = [span for run, spec in runs for span in _task_spans(trace, run, spec, end)]
    # Timestamps of Kubernetes are whole seconds, and of other clocks.
    first = min([round(start * 1e9), *(int(span["startTimeUnixNano"]) for span in parts)])
    last = max([round(end * 1e9), *(int(span["endTimeUnixNano"]) for span in parts)])
    root = _span(trace, trace.span_id, trace.parent_id, "task_pod", start, end, {}, failure)
    return [root | {"startTimeUnixNano": str(first), "endTimeUnixNano": str(last)}, *parts]


def _task_spans(trace: Trace, run: TaskRun, spec: TaskSpec, now: float) -> list[Span]:
    attempts = [attempt for attempt in read_attempts([pod for pod in pods_of(run, spec) if has_context(pod, spec.context)], {}) if attempt["phases"]]
    if not attempts:
        return []
    described = describe_task(spec, run)
    names = {"k8s.namespace.name": spec.namespace, "podwright.task": spec.name, "podwright.set": spec.set_name, "podwright.state": described["state"]}
    start, end = attempts[0]["phases"][0]["start"], max(_end(attempt, now) for attempt in attempts)
    identity = trace.id_of(*spec.task_name)
    failure = described["reason"] or described["state"] if described["state"] == "failed" else None
    spans = [_span(trace, identity, trace.span_id, spec.name, start, end, names, failure)]
    for attempt in attempts:
        spans += _attempt_spans(trace, spec, attempt, now)
    return spans


def _attempt_spans(trace: Trace, spec: TaskSpec, attempt: Attempt, now: float) -> list[Span]:
    identity, start = trace.id_of(*spec.task_name, attempt["pod"], attempt["title"]), attempt["phases"][0]["start"]
    names = {"k8s.pod.name": attempt["pod"], "k8s.node.name": attempt["node"], "process.exit.code": attempt["rc"], "podwright.state": attempt["state"]}
    failure = attempt["reason"] or attempt["state"] if attempt["state"] == "failed" else None
    spans = [_span(trace, identity, trace.id_of(*spec.task_name), attempt["title"], start, _end(attempt, now), names, failure)]
    for phase in attempt["phases"]:
        own = trace.id_of(*spec.task_name, attempt["pod"], attempt["title"], phase["name"])
        spans.append(_span(trace, own, identity, phase["name"], phase["start"], phase["end"] or now, {}, None))
    return spans


def _end(attempt: Attempt, now: float) -> float:
    return attempt["phases"][-1]["end"] or now


def _span(trace: Trace, identity: str, parent: str, name: str, start: float, end: float, names: dict[str, Any], failure: str | None) -> Span:
    attributes = [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}}
        for key, value in names.items()
        if value not in (None, "")
    ]
    span = {"traceId": trace.trace_id, "spanId": identity, "name": name, "kind": _INTERNAL, "attributes": attributes}
    span |= {"parentSpanId": parent} if parent else {}
    times = {"startTimeUnixNano": str(round(start * 1e9)), "endTimeUnixNano": str(round(max(start, end) * 1e9))}
    return span | times | {"status": {"code": OK} if failure is None else {"code": FAILED, "message": failure}}
