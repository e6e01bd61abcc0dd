# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The attempts of a task, from its pods and their events. Pure functions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..objects.containers import container_status, container_statuses, default_container
from ..objects.controllers import controller_reference
from ..objects.job_status import INDEX
from ..objects.labels import ATTEMPT, annotation_of, label_of
from ..objects.pod_status import read_pod, times
from ..objects.readiness import condition
from ..objects.timestamps import known_time, read_timestamp
from .model import INITIALIZING, PULLING, RUNNING, WAITING, Attempt, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..cluster.events import EventsByUid
    from ..tasks.record import Record
    from ..values import Manifest

MAX_EVENTS = 20  # of one pod, the last ones


def read_attempts(pods: Iterable[Manifest], events: EventsByUid) -> list[Attempt]:
    """An Attempt for each pod of a task, in the order of their creation.

    Args:
        events: the events by the uid of the object that they are about.
    """
    ordered = sorted(pods, key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]))
    numbers: Counter[str] = Counter()
    attempts = []
    for pod in ordered:
        index = annotation_of(pod, INDEX) or ""
        numbers[index] += 1
        attempts.append(_read(pod, _title(pod, index, numbers[index]), events))
    return attempts


def _title(pod: Manifest, index: str, number: int) -> str:
    """What a pod is called that is so many-th of its index, or of its task."""
    if index:
        return f"index {index}, attempt {number}" if number > 1 else f"index {index}"
    # All pods of a Job have the labels of its template.
    is_of_job = (controller_reference(pod) or {}).get("kind") == "Job"
    return f"attempt {number if is_of_job else label_of(pod, ATTEMPT) or number}"


def _read(pod: Manifest, title: str, events: EventsByUid) -> Attempt:
    status, metadata = read_pod(pod), pod["metadata"]
    return {
        "title": title,
        "pod": metadata["name"],
        "node": pod["spec"].get("nodeName") or "",
        "state": status.state,
        "reason": status.reason,
        "message": status.message,
        "rc": status.rc,
        "restarts": sum(entry.get("restartCount") or 0 for entry in container_statuses(pod)),
        "phases": read_phases(pod, status.is_finished),
        "events": events.get(metadata["uid"], [])[-MAX_EVENTS:],
    }


def read_record(record: Record) -> Attempt:
    """The last attempt of a task whose pod is deleted, from its record."""
    started, finished = read_timestamp(record.started_at), read_timestamp(record.finished_at)
    status = record.status
    return {
        "title": f"attempt {record.attempt}",
        "pod": "",
        "node": "",
        "state": status.state,
        "reason": status.reason,
        "message": status.message,
        "rc": status.rc,
        "restarts": 0,
        "phases": _sequence([(RUNNING, started)], finished) if finished is not None else [],
        "events": [],
    }


def read_phases(pod: Manifest, is_finished: bool) -> list[Phase]:
    """The phases of a pod as far as it has got.

    It waits for a node until the condition PodScheduled is true, then its images are pulled and its first container is created, then its init
    containers run, then that of the task (API reference, PodStatus).
    """
    scheduled = condition(pod, "PodScheduled")
    own = container_status(pod, default_container(pod))
    starts = [
        (WAITING, read_timestamp(pod["metadata"].get("creationTimestamp"))),
        (PULLING, read_timestamp(scheduled.get("lastTransitionTime")) if scheduled.get("status") == "True" else None),
        (INITIALIZING, _first_start((pod.get("status") or {}).get("initContainerStatuses") or ())),
        (RUNNING, _first_start([own])),
    ]
    return _sequence(starts, _end(pod) if is_finished else None)


def _sequence(starts: Iterable[tuple[str, float | None]], end: float | None) -> list[Phase]:
    """The phases that began, each until the next one; clocks of nodes may differ from that of the API server, and no phase finishes before it starts."""
    phases: list[Phase] = []
    for name, start in starts:
        if start is None:
            continue
        if phases:
            start = max(start, phases[-1]["start"])
            phases[-1]["end"] = start
        phases.append({"name": name, "start": start, "end": None})
    if phases and end is not None:
        phases[-1]["end"] = max(end, phases[-1]["start"])
    return phases


def _first_start(statuses: Iterable[Manifest]) -> float | None:
    moments = [read_timestamp(text) for entry in statuses for text in _starts(entry)]
    return min([moment for moment in moments if moment is not None], default=None)


def _starts(status: Manifest) -> list[str | None]:
    """The times at which a container was started, as its status has them."""
    states = [*(status.get("state") or {}).values(), *(status.get("lastState") or {}).values()]
    return [known_time((state or {}).get("startedAt")) for state in states]


def _end(pod: Manifest) -> float | None:
    """When a pod finished: with its task container, else with its last container, else when its status changed for the last time."""
    finished = read_timestamp(times(pod)[1])
    if finished is not None:
        return finished
    states = [state or {} for entry in container_statuses(pod) for state in (entry.get("state") or {}).values()]
    changes = [entry.get("lastTransitionTime") for entry in (pod.get("status") or {}).get("conditions") or ()]
    for texts in ([state.get("finishedAt") for state in states], changes):
        moments = [moment for moment in map(read_timestamp, texts) if moment is not None]
        if moments:
            return max(moments)
    return None
