# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fields of a task in the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..masking import MASK
from ..objects.pod_status import exit_codes, times
from ..objects.timestamps import read_timestamp
from ..text import json_text
from .indexes import describe_indexes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..console import Console
    from ..values import Result
    from .redactor import TaskRedactor
    from .task_run import TaskRun
    from .task_spec import TaskSpec


def describe_task(spec: TaskSpec, run: TaskRun) -> Result:
    """The fields of a task in the result, without its pod's manifest."""
    pod, status = run.pod, run.status
    record = run.record if run.is_known_by_record else None
    started, finished = times(pod) if pod else (record.started_at, record.finished_at) if record else (None, None)
    fields = {
        "name": spec.name,
        "namespace": spec.namespace,
        "uid": run.live["metadata"].get("uid") if run.live else None,
        "kind": spec.options["kind"],
        "phase": ((pod or {}).get("status") or {}).get("phase"),
        "state": run.outcome if run.error else status.state if status else "absent",
        "reason": run.error.reason if run.error else status.reason if status else "",
        "rc": status.rc if status else None,
        "exit_codes": exit_codes(pod) if pod else record.exit_codes if record else {},
        "node": pod["spec"].get("nodeName") if pod else None,
        "pod_ip": ((pod or {}).get("status") or {}).get("podIP"),
        "attempt": run.attempt,
        "started_at": started,
        "finished_at": finished,
        "duration": _seconds_between(started, finished),
        "logs": record.tail.text if record and not record.tail.container and spec.options["logs"] != "none" else run.logs,
        "events": run.events,
    }
    if record and record.tail.container and spec.options["logs"] != "none":
        fields["container_logs"] = {record.tail.container: record.tail.text}
    elif run.container_logs:
        fields["container_logs"] = run.container_logs
    fields |= describe_indexes(spec, run)
    return fields | _describe_outputs(spec, run) | ({"recorded": True} if record else {}) | ({"msg": str(run.error)} if run.error else {})


def warn_of_masked(tasks: Iterable[Result], clean: Callable[[Any], Any], console: Console) -> None:
    """Warn of results that contain secret values of options, which `clean` masks: a playbook that uses such a result works with another value."""
    for task in tasks:
        found = [item for entry in (task, *(task.get("indexes") or ())) for item in (entry.get("results") or {}).items()]
        for name in dict.fromkeys(name for name, value in found if _count_masks(clean({name: value})) > _count_masks(value)):
            fix = "If it is not secret, do not set it in secret_env, nor in env of a task with no_log."
            console.warn(f"Result '{name}' of task '{task['name']}' contains the value of a secret option, which is replaced by {MASK}. {fix}")


def _count_masks(value: object) -> int:
    return json_text(value).count(MASK)


def _describe_outputs(spec: TaskSpec, run: TaskRun) -> Result:
    """What it left, if that was requested."""
    wanted = [name for name in ("results", "artifacts") if spec.options.get(name)]
    if not wanted or run.plan.is_deletion:
        return {}
    left = run.left
    fields = {"results": left.results(spec), "artifacts": [entry.describe() for entry in left.artifacts]}
    return {name: fields[name] for name in wanted}


def describe_pod(run: TaskRun, redactor: TaskRedactor) -> Result:
    """The field `pod` of a task in the result: the redacted manifest of its pod; empty if there is no pod."""
    return {"pod": redactor.redact(run.pod)} if run.pod else {}


def _seconds_between(started: str | None, finished: str | None) -> float | None:
    begin, end = read_timestamp(started), read_timestamp(finished)
    return None if begin is None or end is None else end - begin
