# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tasks of a report about a cluster, from its pods, Jobs and records. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..objects.job_status import read_job
from ..objects.labels import RECORD, TASK, label_of
from ..objects.pod_status import read_pod
from ..tasks.observation import owner_job, task_of
from ..tasks.record import read_record as read_result
from .attempts import read_attempts, read_record

if TYPE_CHECKING:
    from ..cluster.events import EventsByUid
    from ..objects.pod_status import Status
    from ..values import Manifest
    from .model import Attempt, Entry


def read_entries(pods: Iterable[Manifest], jobs: Iterable[Manifest], records: Iterable[Manifest], events: EventsByUid) -> list[tuple[Entry, Manifest | None]]:
    """An Entry for each task, and its last pod or None: of its Job with all pods, of its pod, or else of its record."""
    by_job: dict[str, list[Manifest]] = {item["metadata"]["uid"]: [] for item in jobs}
    alone: list[Manifest] = []
    for pod in pods:
        by_job.get(owner_job(pod) or "", alone).append(pod)
    entries: list[tuple[Entry, Manifest | None]] = []
    for job in jobs:
        own = by_job[job["metadata"]["uid"]]
        entries.append((_entry(job, read_job(job, own), read_attempts(own, events)), max(own, key=_age, default=None)))
    entries += [(_entry(pod, read_pod(pod), read_attempts([pod], events)), pod) for pod in alone]
    known = {(entry["namespace"], entry["name"]) for entry, _pod in entries}
    return entries + [(_recorded(item), None) for item in records if _identity(item) not in known]


def _age(pod: Manifest) -> str:
    return pod["metadata"].get("creationTimestamp") or ""


def _identity(item: Manifest) -> tuple[str, str]:
    """The namespace, and the name of the task, or that of the object: a copy of a task's pod has the labels of the task."""
    name = label_of(item, TASK) if label_of(item, RECORD) else task_of(item)
    return item["metadata"].get("namespace") or "", name or item["metadata"]["name"]


def _entry(item: Manifest, status: Status, attempts: list[Attempt]) -> Entry:
    namespace, name = _identity(item)
    return {
        "name": name,
        "namespace": namespace,
        "kind": item["kind"],
        "state": status.state,
        "reason": status.reason,
        "rc": status.rc,
        "msg": status.explanation if status.state == "failed" or status.grace else "",
        "hint": "",
        "note": "",
        "attempts": attempts,
        "logs": None,
        "results": {},
    }


def _recorded(item: Manifest) -> Entry:
    record = read_result(item)
    tail = record.tail
    entry = _entry(item, record.status, [read_record(record)])
    entry["kind"], entry["note"] = "–", "Its pod is deleted; this is its record."
    entry["results"] = record.results or {}
    if tail.text:
        entry["logs"] = [{"title": f"container {tail.container}" if tail.container else "", "text": tail.text}]
    return entry
