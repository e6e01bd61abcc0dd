# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The objects that pod_gc considers, read from their manifests. Pure functions; times are seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from ..cluster.kinds import JOB, POD, SECRET
from ..objects.containers import has_finished
from ..objects.labels import DEPLOYMENT, HASH, KEEPS_RECORD, PARENT, PLACEMENT, RECORD, TASK, TTL, annotation_of, number_of
from ..objects.pod_status import ever_started, read_pod, times
from ..objects.quantity import parse_quantity
from ..objects.readiness import condition, whole_number
from ..objects.resources import pod_requests
from ..objects.timestamps import parse_timestamp, read_timestamp
from ..tasks.task_secret import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from ..cluster.kinds import Kind
    from ..values import Manifest

PENDING, RUNNING, SUCCEEDED, FAILED, DELETING = "pending", "running", "succeeded", "failed", "deleting"
RECORDED, PLACED, LEFTOVER = "record", "placement", "leftover"


class TaskRun(NamedTuple):
    """A task with its options: the namespace, the name of the task, and the hash of its options."""

    namespace: str
    task: str | None
    hash: str | None


@dataclass(frozen=True)
class Owner:
    """An owner of an object, by owner reference or as its parent task; `is_controller` as in an owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    is_controller: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else f"with UID {self.uid}"


@dataclass(frozen=True)
class Candidate:
    """An object in scope.

    Attributes:
        state: `deleting` once its deletion was requested; else `pending`, `running`, `succeeded` or `failed` for a pod or Job, `record` for the record
            of a task, `placement` for what says in which cluster one was started, `leftover` for any other object.
        version: its resource version.
        task: the name of its task, or None.
        reason: why a pod is in its state, in the API's words.
        finished_at: when its task finished, or None; of a placement, when its task was started if that finishes.
        deletion_due: when its grace period expires if it is being deleted, or None.
        ttl: its time to live after it finished, in seconds, or None.
        has_invalid_ttl: whether it has the annotation for that with something else.
        pending_since: when a pod of which no container has ever been started began to wait; None for any other object.
        blocked_by: the scheduling gates of a pod; the finalizers of an object whose deletion waits for nothing else.
        requests: requested amounts by resource name.
        hash: the hash of the options of its task, or None.
        is_private: whether it is the Secret of a Deployment with the data of its `secret_env`.
        keeps_record: whether the result of its task is to be recorded, so that the task does not run again after its pod is deleted.
        recorded_pod: of a record, the UID of the pod with the result, or None.
        recorded_job: of a record, the UID of the Job with the result, or None.
    """

    kind: Kind
    namespace: str
    name: str
    uid: str
    state: str
    created: float
    version: str = ""
    task: str | None = None
    owners: tuple[Owner, ...] = ()
    reason: str = ""
    finished_at: float | None = None
    deletion_due: float | None = None
    ttl: int | None = None
    has_invalid_ttl: bool = False
    pending_since: float | None = None
    blocked_by: tuple[str, ...] = ()
    requests: Mapping[str, Fraction] = field(default_factory=dict)
    hash: str | None = None
    is_private: bool = False
    keeps_record: bool = False
    recorded_pod: str | None = None
    recorded_job: str | None = None

    @property
    def run_of_task(self) -> TaskRun:
        """What a pod and its record have in common."""
        return TaskRun(self.namespace, self.task, self.hash)

    def is_record_of(self, run: Candidate) -> bool:
        """Whether it has the result of this pod or Job, given that it is a record of the same options: an earlier run can have failed with them."""
        controller = run.controller
        job = run.uid if run.kind == JOB else controller.uid if controller and controller.kind == JOB.name else None
        recorded, own = (self.recorded_job, job) if job else (self.recorded_pod, run.uid)
        return recorded == own if recorded else self.since >= run.created  # earlier versions did not record all of the UIDs

    @property
    def is_finished(self) -> bool:
        """Whether it succeeded or failed."""
        return self.state in (SUCCEEDED, FAILED)

    @property
    def is_kept_by_task(self) -> bool:
        """Whether it is needed as long as its task has a Pod or Job, and no owner reference says so."""
        return self.state == PLACED or (self.state == LEFTOVER and not self.owners)

    @property
    def controller(self) -> Owner | None:
        """Its controller, or None."""
        return next((owner for owner in self.owners if owner.is_controller), None)

    @property
    def since(self) -> float:
        """When it finished, when its deletion is due, or when it was created: the first of them that is known."""
        return self.finished_at or self.deletion_due or self.created


def read_metadata(kind: Kind, item: Manifest) -> Candidate:
    """The Candidate of a live object as far as its metadata say; not the state of a pod or Job."""
    metadata = item["metadata"]
    labels = metadata.get("labels") or {}
    return Candidate(
        kind,
        metadata.get("namespace", ""),
        metadata["name"],
        metadata["uid"],
        {None: LEFTOVER, PLACEMENT: PLACED}.get(labels.get(RECORD), RECORDED),
        parse_timestamp(metadata["creationTimestamp"]),
        metadata["resourceVersion"],
        labels.get(TASK),
        _owners_of(metadata),
        ttl=number_of(item, TTL),
        has_invalid_ttl=annotation_of(item, TTL) is not None and number_of(item, TTL) is None,
        hash=labels.get(HASH),
        is_private=kind == SECRET and DEPLOYMENT in labels and PRIVATE in metadata["name"],
        keeps_record=annotation_of(item, KEEPS_RECORD) is not None,
    )


def read_candidate(kind: Kind, item: Manifest) -> Candidate:
    """The Candidate of a live object."""
    metadata, candidate = item["metadata"], read_metadata(kind, item)
    if metadata.get("deletionTimestamp"):
        finalizers = () if metadata.get("deletionGracePeriodSeconds") else tuple(metadata.get("finalizers") or ())
        due = read_timestamp(metadata["deletionTimestamp"])
        return replace(candidate, state=DELETING, deletion_due=due, blocked_by=finalizers, requests=pod_requests(item))
    if kind == POD:
        return _read_pod(candidate, item)
    if kind == JOB:
        return _read_job(candidate, item)
    if candidate.state == RECORDED:
        data = item.get("data") or {}
        finished = read_timestamp(data.get("finished_at"))
        finished = candidate.created if finished is None else finished
        return replace(candidate, finished_at=finished, recorded_pod=data.get("uid") or None, recorded_job=data.get("job_uid") or None)
    if candidate.state == PLACED:
        return replace(candidate, finished_at=_started_at(candidate, item.get("data") or {}))
    storage = ((item.get("spec") or {}).get("resources") or {}).get("requests", {}).get("storage")
    return replace(candidate, requests={"storage": parse_quantity(storage)} if storage else {})


def _started_at(placement: Candidate, data: Mapping[str, str]) -> float | None:
    """When the task of a placement was started; None if it is one that does not finish."""
    started = read_timestamp(data.get("time"))
    return None if data.get("completes") != "true" else placement.created if started is None else started


def _owners_of(metadata: Manifest) -> tuple[Owner, ...]:
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    owners = [Owner(o["apiVersion"], o["kind"], o["name"], o["uid"], bool(o.get("controller"))) for o in metadata.get("ownerReferences") or []]
    if PARENT in labels and labels[PARENT] not in {owner.uid for owner in owners}:
        # Kubernetes removes the owner reference if the parent is deleted with the propagation policy Orphan.
        api_version, kind, name = (annotations.get(PARENT, "").split(" ") + ["", "", ""])[:3]
        owners.append(Owner(api_version, kind, name, labels[PARENT]))
    return tuple(owners)


def _read_pod(candidate: Candidate, pod: Manifest) -> Candidate:
    status = read_pod(pod)
    # A task is finished when its container terminates; of a pod that is not a task, any container may still work.
    is_finished = status.is_finished and (candidate.task is not None or has_finished(pod))
    return replace(
        candidate,
        state=status.state if is_finished or not status.is_finished else RUNNING,
        reason=status.reason,
        finished_at=_finished_at(candidate, pod) if is_finished else None,
        pending_since=None if is_finished or ever_started(pod) else _pending_since(candidate, pod),
        blocked_by=tuple(gate["name"] for gate in pod["spec"].get("schedulingGates") or []),
        requests=pod_requests(pod),
    )


def _pending_since(candidate: Candidate, pod: Manifest) -> float:
    """When the pod was scheduled or declared unschedulable, or when it was created if the scheduler has not seen it, or its spec was changed since."""
    scheduled = condition(pod, "PodScheduled")
    changed = read_timestamp(scheduled.get("lastTransitionTime"))
    since = candidate.created if changed is None else changed
    return since if scheduled.get("status") == "True" else max(since, _changed_at(candidate, pod))


def _changed_at(candidate: Candidate, pod: Manifest) -> float:
    """When the spec of an unscheduled pod was last changed, or 0: a scheduling gate that is removed changes the time of no condition."""
    metadata = pod["metadata"]
    if whole_number(metadata.get("generation")) <= 1:
        return 0
    entries = [(read_timestamp(entry.get("time")) or 0, entry) for entry in metadata.get("managedFields") or []]
    written = max((moment for moment, entry in entries if not entry.get("subresource")), default=0)
    if written > candidate.created:
        return written
    # Who only removes fields leaves no time, but the scheduler then reports why it cannot schedule the pod.
    return max((moment for moment, entry in entries if "f:conditions" in ((entry.get("fieldsV1") or {}).get("f:status") or {})), default=0)


def _finished_at(candidate: Candidate, pod: Manifest) -> float:
    """When the task's container terminated; if it never ran, when a condition of the pod last changed."""
    finished = read_timestamp(times(pod)[1])
    if finished is not None:
        return finished
    changes = [read_timestamp(c.get("lastTransitionTime")) for c in pod["status"].get("conditions") or []]
    return max([moment for moment in changes if moment is not None], default=candidate.created)


def _read_job(candidate: Candidate, job: Manifest) -> Candidate:
    for name, state in (("Complete", SUCCEEDED), ("Failed", FAILED)):
        found = condition(job, name)
        if found.get("status") == "True":
            return replace(candidate, state=state, finished_at=read_timestamp(found.get("lastTransitionTime")))
    return replace(candidate, state=RUNNING)
