# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is told of tasks: their fields in the result, and what of their manifests may be shown."""

from __future__ import annotations

import datetime

from ..objects.pod_status import exit_codes, times
from ..reconciler.manifest import Redactor

_WITH_PODS = ("Pod", "Job", "Deployment")


class TaskRedactor(Redactor):
    """Hides the literal values of environment variables, too: they often are secrets."""

    @staticmethod
    def has_secrets(kind_name):
        """Whether objects of that kind hold anything to hide."""
        return kind_name in ("Secret", *_WITH_PODS)

    def redact(self, manifest):
        """The manifest as it may be shown."""
        if not manifest or manifest.get("kind") not in _WITH_PODS:
            return super().redact(manifest)
        return self._cover_env(manifest)

    def _cover_env(self, value):
        if isinstance(value, list):
            return [self._cover_env(item) for item in value]
        if not isinstance(value, dict):
            return value
        redacted = {key: self._cover_env(item) for key, item in value.items() if key != "managedFields"}
        if isinstance(value.get("env"), list):
            redacted["env"] = [entry | {"value": self.digest(entry["value"])} if "value" in entry else entry for entry in value["env"]]
        return redacted


def outcome_of(run, redactor, full):
    """One task's fields in the result."""
    pod, status = run.pod, run.status
    record = run.record if run.is_known_by_record else None
    started, finished = times(pod) if pod else (record.started_at, record.finished_at) if record else (None, None)
    fields = {
        "name": run.spec.name,
        "namespace": run.spec.namespace,
        "uid": run.live["metadata"]["uid"] if run.live and "uid" in run.live["metadata"] else None,
        "kind": run.spec.options["kind"],
        "phase": ((pod or {}).get("status") or {}).get("phase"),
        "state": "failed" if run.error else status.state if status else "absent",
        "reason": run.error.reason if run.error else status.reason if status else "",
        "rc": status.rc if status else None,
        "exit_codes": exit_codes(pod) if pod else {},
        "node": pod["spec"].get("nodeName") if pod else None,
        "pod_ip": ((pod or {}).get("status") or {}).get("podIP"),
        "attempt": run.attempt,
        "started_at": started,
        "finished_at": finished,
        "duration": _seconds(started, finished),
        "logs": record.log if record and run.spec.options["logs"] != "none" else run.logs,
        "events": run.events,
    }
    if record:
        fields["recorded"] = True
    if run.error:
        fields["msg"] = str(run.error)
    return fields | ({"pod": redactor.redact(pod)} if full and pod else {})


def _seconds(started, finished):
    if not (started and finished):
        return None
    times_read = [datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (started, finished)]
    return (times_read[1] - times_read[0]).total_seconds()
