# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fields of a task in the result, and the redaction of pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..objects.pod_status import exit_codes, times
from ..objects.timestamps import read_timestamp
from ..reconciler.manifest import Redactor
from .indexes import describe_indexes

if TYPE_CHECKING:
    from ..values import Manifest, Result
    from .task_run import TaskRun
    from .task_spec import TaskSpec

_WITH_PODS = ("Pod", "Job", "Deployment")


class TaskRedactor(Redactor):
    """Redacts the literal values of environment variables as well, which may be secrets."""

    @staticmethod
    def has_secrets(kind_name: str) -> bool:
        """Whether objects of a kind contain values to redact."""
        return kind_name in ("Secret", *_WITH_PODS)

    def redact(self, manifest: Manifest) -> Manifest:
        """The manifest with a digest in place of each secret value."""
        if not manifest or manifest.get("kind") not in _WITH_PODS:
            return super().redact(manifest)
        redacted: Manifest = self._redact_variables(manifest)
        return redacted

    def _redact_variables(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._redact_variables(item) for item in value]
        if not isinstance(value, dict):
            return value
        redacted = {key: self._redact_variables(item) for key, item in value.items() if key != "managedFields"}
        if isinstance(value.get("env"), list):
            redacted["env"] = [entry | {"value": self.digest(entry["value"])} if "value" in entry else entry for entry in value["env"]]
        return redacted


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
        "exit_codes": exit_codes(pod) if pod else {},
        "node": pod["spec"].get("nodeName") if pod else None,
        "pod_ip": ((pod or {}).get("status") or {}).get("podIP"),
        "attempt": run.attempt,
        "started_at": started,
        "finished_at": finished,
        "duration": _seconds_between(started, finished),
        "logs": record.log if record and spec.options["logs"] != "none" else run.logs,
        "events": run.events,
    }
    fields |= describe_indexes(spec, run)
    return fields | _describe_outputs(spec, run) | ({"recorded": True} if record else {}) | ({"msg": str(run.error)} if run.error else {})


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
