# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records: what became of a task, kept in a small ConfigMap, so that it need not run again once its pod is gone."""

from __future__ import annotations

from dataclasses import dataclass

from ..objects.labels import HASH, MANAGED, RECORD, SET, TASK, TTL, label_of
from ..objects.pod_status import Status, times

PREFIX = "podwright-record-"
LOG_CHARACTERS = 16 << 10


@dataclass(frozen=True)
class Record:
    """What is remembered of a task.

    Attributes:
        hash, resources: digests of the options it ran with.
        status: its Status at the end.
        started_at, finished_at: as the API writes times.
        log: the end of its log.
    """

    hash: str
    resources: str
    status: Status
    attempt: int
    started_at: str | None
    finished_at: str | None
    log: str


def build_record(run, log):
    """The manifest of the record of a Run that is over.

    Args:
        log: the end of its log as text.
    """
    spec, status = run.spec, run.status
    started, finished = times(run.pod) if run.pod else (None, None)
    data = {
        "resources": spec.resources_hash,
        "state": status.state,
        "reason": status.reason,
        "message": status.message,
        "rc": "" if status.rc is None else str(status.rc),
        "attempt": str(run.attempt),
        "started_at": started or "",
        "finished_at": finished or "",
        "log": log[-LOG_CHARACTERS:],
    }
    labels = MANAGED | {TASK: spec.name, HASH: spec.hash, RECORD: "true"} | ({SET: spec.set_name} if spec.set_name else {})
    metadata = {"name": PREFIX + spec.name, "namespace": spec.namespace, "labels": labels}
    if spec.options.get("ttl") is not None:
        metadata["annotations"] = {TTL: str(spec.options["ttl"])}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def read_record(item):
    """The Record in a ConfigMap."""
    data = item.get("data") or {}
    rc = data.get("rc", "")
    status = Status(data.get("state", "failed"), data.get("reason", ""), data.get("message", ""), int(rc) if rc.lstrip("-").isdigit() else None)
    attempt = data.get("attempt", "1")
    return Record(
        label_of(item, HASH) or "",
        data.get("resources", ""),
        status,
        int(attempt) if attempt.isdigit() else 1,
        data.get("started_at") or None,
        data.get("finished_at") or None,
        data.get("log", ""),
    )
