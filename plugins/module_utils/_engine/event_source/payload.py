# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The events that rules match: what changed, as plain data of bounded size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..cluster.kinds import BUILT_IN
from ..objects.field_paths import read_paths
from ..objects.job_status import read_job
from ..objects.labels import MANAGED, MANAGED_BY, SET, TASK, label_of
from ..objects.pod_status import exit_codes, read_pod
from ..objects.readiness import assess
from ..reconciler.manifest import Redactor, drop_last_applied, drop_managed_fields
from ..tasks.redactor import TaskRedactor
from ..text import parse_integer, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..objects.field_paths import FieldPath
    from ..values import Manifest, Options, Result

STATES = ("pending", "running", "succeeded", "failed", "deleting", "progressing", "ready")
# The fields of an event that describe the object, which `changed_fields` can name.
FIELDS = (
    *("kind", "api_version", "namespace", "name", "uid", "resource_version", "labels", "task", "set", "state", "reason", "message", "phase"),
    *("rc", "exit_codes", "restarts", "node", "ready", "severity", "count", "regarding", "object"),
)
MAX_MESSAGE = 1024  # characters


class Describer:
    """Describes watch events.

    Args:
        options: those of the event source.
        server: the URL of the API server.
    """

    def __init__(self, options: Options, server: str) -> None:
        self._options, self._server = options, server
        wanted = {"state": options["states"], "phase": options["phases"], "reason": options["reasons"]}
        self._wanted = {name: {value.lower() for value in values} for name, values in wanted.items()}
        self._paths = read_paths("changed_fields", options["changed_fields"])
        self._redactor, self._task_redactor = Redactor(), TaskRedactor()  # equal values have equal digests as long as the source runs

    def describe(self, item: Manifest) -> Result:
        """The fields of an event that describe an object, without limit of size."""
        return summarize(item) | {"object": self._show(item)}

    def fingerprint(self, fields: Result) -> str | None:
        """What differs if one of the `changed_fields` does; None without this option."""
        return json.dumps([_value_at(fields, path) for path in self._paths], sort_keys=True) if self._paths else None

    def matches(self, event_type: str, fields: Result) -> bool:
        """Whether rules are to see an event."""
        is_wanted = all(not values or str(fields.get(name) or "").lower() in values for name, values in self._wanted.items())
        return is_wanted and event_type in self._options["event_types"]

    def event(self, event_type: str, fields: Result, is_initial: bool) -> Result:
        """The event as rules see it, with at most `max_bytes` bytes of JSON."""
        event = {"type": event_type, "initial": is_initial, "cluster": self._server} | fields
        if not self._options["include_object"]:
            del event["object"]
        for name in ("object", "labels", "regarding", "exit_codes", "message"):
            if self._fits(event):
                break
            if name in event:
                event = {key: value for key, value in event.items() if key != name} | {"truncated": True}
        return event

    def _fits(self, event: Result) -> bool:
        try:
            return len(json.dumps(event, allow_nan=False)) <= int(self._options["max_bytes"])
        except ValueError:  # a number that JSON does not have
            return False

    def _show(self, item: Manifest) -> Manifest:
        if self._options["secret_values"]:
            return drop_managed_fields(item)
        is_managed = label_of(item, MANAGED_BY) == MANAGED[MANAGED_BY]
        return (self._task_redactor if is_managed else self._redactor).redact(drop_last_applied(drop_managed_fields(item)))


def summarize(item: Manifest) -> Result:
    """The fields of an event that describe an object, without the object; those that do not apply are missing."""
    metadata = item["metadata"]
    identity = {"kind": item["kind"], "api_version": item.get("apiVersion"), "labels": metadata.get("labels") or {}}
    identity |= {name: metadata.get(name) for name in ("namespace", "name", "uid")} | {"resource_version": metadata.get("resourceVersion")}
    identity |= {"task": label_of(item, TASK), "set": label_of(item, SET)}
    built_in = BUILT_IN.get((str(item.get("apiVersion")), item["kind"]))
    describe = _DESCRIPTIONS.get(item["kind"], _describe_other) if built_in or item["kind"] == "Event" else _describe_other
    fields = identity | describe(item)
    return {name: value for name, value in fields.items() if value is not None}


def _describe_pod(pod: Manifest) -> Result:
    status, live = read_pod(pod), pod.get("status") or {}
    statuses = live.get("containerStatuses") or []
    return {
        "state": status.state,
        "reason": status.reason,
        "message": _shorten(status.message),
        "phase": live.get("phase"),
        "rc": status.rc,
        "exit_codes": exit_codes(pod),
        "restarts": sum(entry.get("restartCount") or 0 for entry in statuses),
        "node": pod["spec"].get("nodeName"),
        "ready": status.is_ready,
    }


def _describe_job(job: Manifest) -> Result:
    status = read_job(job, [])
    is_active = status.state == "pending" and (parse_integer((job.get("status") or {}).get("active")) or 0) > 0
    if is_active:
        return {"state": "running", "reason": "Running", "message": ""}
    return {"state": status.state, "reason": _shorten(status.reason), "message": _shorten(status.message)}


def _describe_event(event: Manifest) -> Result:
    """An Event of the group ``, or of `events.k8s.io`."""
    about = event.get("involvedObject") or event.get("regarding")
    regarding = {name: _shorten(about[name]) for name in ("kind", "namespace", "name", "uid") if about.get(name)} if isinstance(about, dict) else None
    series = event.get("series")
    counts = (event.get("count"), event.get("deprecatedCount"), series.get("count") if isinstance(series, dict) else None)
    return {
        "reason": _shorten(event.get("reason")),
        "message": _shorten(event.get("message") or event.get("note")),
        "severity": _shorten(event.get("type")),
        "count": max(parse_integer(count) or 1 for count in counts),
        "regarding": regarding,
    }


def _describe_other(item: Manifest) -> Result:
    readiness, status = assess(item), item.get("status")
    phase = status.get("phase") if isinstance(status, dict) else None
    is_deleting = bool(item["metadata"].get("deletionTimestamp"))
    state = "deleting" if is_deleting else readiness.state
    return {"state": state, "message": _shorten(readiness.message), "phase": _shorten(phase) if phase else None}


_DESCRIPTIONS = {"Pod": _describe_pod, "Job": _describe_job, "Event": _describe_event}


def _shorten(value: Any) -> str:
    """A text from a server without control characters, and not too long."""
    text = printable(value) if isinstance(value, str) else ""
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"


def _value_at(fields: Result, path: FieldPath | Iterable[str]) -> Any:
    """The value of a field, or None."""
    value: Any = fields
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and (index := parse_integer(step, len(value) - 1)) is not None:
            value = value[index]
        else:
            return None
    return value
