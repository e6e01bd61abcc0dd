# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What may be deleted: rules over pods and what tasks leave behind. Pure functions; times are seconds since the epoch."""

from __future__ import annotations

import calendar
import time
from dataclasses import dataclass, field, replace

from ..cluster.kinds import JOB, POD
from ..objects.labels import PARENT, RECORD, TASK, TTL, number_of
from ..objects.pod_status import ever_started, read_pod, times
from ..objects.quantity import parse_quantity
from ..objects.readiness import condition
from ..objects.resources import pod_requests

ALIVE, FINISHED, GONE, UNKNOWN = "alive", "finished", "gone", "unknown"
PENDING, RUNNING, SUCCEEDED, FAILED, DELETING, LEFTOVER, RECORDED = "pending", "running", "succeeded", "failed", "deleting", "leftover", "recorded"


@dataclass(frozen=True)
class Owner:
    """Who an object belongs to; `controls` where it is the one that makes and replaces it."""

    api_version: str
    kind: str
    name: str
    uid: str
    controls: bool = False


@dataclass(frozen=True)
class Subject:
    """One object that may go, read from its manifest.

    Attributes:
        version: its resource version.
        task: the name of the task it belongs to, or None.
        state: `pending`, `running`, `succeeded`, `failed` or `deleting`; `recorded` for a task's record, `leftover` for any other kind than Pod.
        ended: when its work ended; when its deletion was due, for one that is being deleted.
        ttl: seconds it may stay after its end, or None.
        waits_since: when a pod of which no container has ever been started began to wait for its start; None for any other.
        held_by: scheduling gates of a pod that is not to be scheduled yet; finalizers of an object whose deletion waits for nothing else.
        requests: what it asks for, by resource.
    """

    kind: object
    namespace: str
    name: str
    uid: str
    state: str
    created: float
    version: str = ""
    task: str | None = None
    owners: tuple = ()
    reason: str = ""
    ended: float | None = None
    ttl: int | None = None
    waits_since: float | None = None
    held_by: tuple = ()
    requests: dict = field(default_factory=dict, hash=False)

    @property
    def is_finished(self):
        """Whether its work ended."""
        return self.state in (SUCCEEDED, FAILED)

    @property
    def controller(self):
        """The Owner that makes and replaces it, or None."""
        return next((owner for owner in self.owners if owner.controls), None)


@dataclass(frozen=True)
class RetentionPolicy:
    """How much of what is over stays: nothing younger than `max_age` seconds goes, nor one of the `keep_last` latest of its namespace."""

    max_age: float = 0
    keep_last: int = 0


@dataclass(frozen=True)
class RetentionPolicies:
    """What is asked for; the names are those of pod_gc. A Keep that is None asks for nothing."""

    completed: RetentionPolicy | None = None
    failed: RetentionPolicy | None = None
    records: RetentionPolicy | None = None
    orphaned: bool = False
    evicted: bool = False
    expired: bool = False
    stuck_after: float | None = None
    force: bool = False
    reclaim: frozenset = frozenset()
    reclaim_age: float = 600
    default_ttl: dict = field(default_factory=dict, hash=False)  # by namespace


@dataclass(frozen=True)
class Owners:
    """What is known of owners, by uid.

    Attributes:
        alive, finished: uids of those that are there.
        unreadable: (api version, kind) of those that could not be listed.
    """

    alive: frozenset = frozenset()
    finished: frozenset = frozenset()
    unreadable: frozenset = frozenset()

    def state(self, owner):
        """`alive`, `finished`, `gone` or `unknown`."""
        if owner.uid in self.alive:
            return ALIVE
        if owner.uid in self.finished:
            return FINISHED
        return UNKNOWN if (owner.api_version, owner.kind) in self.unreadable else GONE


@dataclass(frozen=True)
class Decision:
    """Whether an object goes, by which rule, and why (not)."""

    subject: Subject
    goes: bool
    rule: str
    why: str
    force: bool = False


# -- reading objects ------------------------------------------------------------------------------------------


def read_time(text):
    """Seconds since the epoch of a time as the API writes it; None where there is none, or it cannot be read."""
    try:
        return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    except (TypeError, ValueError):
        return None


def read_subject(kind, item):
    """The Subject of an object."""
    metadata = item["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    subject = Subject(
        kind,
        metadata.get("namespace", ""),
        metadata["name"],
        metadata["uid"],
        RECORDED if RECORD in labels else LEFTOVER,
        read_time(metadata["creationTimestamp"]),
        metadata["resourceVersion"],
        labels.get(TASK),
        _owners_of(metadata, labels, annotations),
        ttl=number_of(item, TTL),
    )
    if metadata.get("deletionTimestamp"):
        held_by = () if metadata.get("deletionGracePeriodSeconds") else tuple(metadata.get("finalizers") or ())
        return replace(subject, state=DELETING, ended=read_time(metadata["deletionTimestamp"]), held_by=held_by, requests=pod_requests(item))
    if kind == POD:
        return _read_pod(subject, item)
    if kind == JOB:
        return _read_job(subject, item)
    storage = ((item.get("spec") or {}).get("resources") or {}).get("requests", {}).get("storage")
    finished = read_time((item.get("data") or {}).get("finished_at")) if subject.state == RECORDED else None
    requests = {"storage": parse_quantity(storage)} if storage else {}
    return replace(subject, ended=subject.created if finished is None else finished, requests=requests)


def _owners_of(metadata, labels, annotations):
    owners = [Owner(o["apiVersion"], o["kind"], o["name"], o["uid"], bool(o.get("controller"))) for o in metadata.get("ownerReferences") or []]
    if PARENT in labels and labels[PARENT] not in {owner.uid for owner in owners}:
        # Its reference was taken away: its parent was deleted, and its children left behind on purpose or by accident.
        api_version, kind, name = (annotations.get(PARENT, "").split(" ") + ["", "", ""])[:3]
        owners.append(Owner(api_version, kind, name, labels[PARENT]))
    return tuple(owners)


def _read_pod(subject, pod):
    status = read_pod(pod)
    gates = tuple(gate["name"] for gate in pod["spec"].get("schedulingGates") or [])
    return replace(
        subject,
        state=status.state,
        reason=status.reason,
        ended=_ended(pod) if status.is_finished else None,
        waits_since=None if status.is_finished or ever_started(pod) else _waits_since(pod),
        held_by=gates,
        requests=pod_requests(pod),
    )


def _waits_since(pod):
    """When a pod began to wait: for its containers once it was scheduled, before that for a node, as its condition says; else its creation."""
    changed = read_time(condition(pod, "PodScheduled").get("lastTransitionTime"))
    return read_time(pod["metadata"]["creationTimestamp"]) if changed is None else changed


def _ended(pod):
    """When the task's container ended; for a pod that was ended without it, when its last condition changed."""
    finished = read_time(times(pod)[1])
    changes = [read_time(c.get("lastTransitionTime")) for c in pod["status"].get("conditions") or []]
    known = [moment for moment in changes if moment is not None] or [read_time(pod["metadata"]["creationTimestamp"])]
    return max(known) if finished is None else finished


def _read_job(subject, job):
    for name, state in (("Complete", SUCCEEDED), ("Failed", FAILED)):
        found = condition(job, name)
        if found.get("status") == "True":
            return replace(subject, state=state, ended=read_time(found.get("lastTransitionTime")))
    return replace(subject, state=RUNNING)


# -- the rules ------------------------------------------------------------------------------------------------


def plan(subjects, owners, policies, now):
    """Decide about every object.

    Args:
        subjects: Subjects in scope; Jobs among them are evidence, too: what belongs to a task that has one stays.
        owners: Owners, read after the subjects.
        policies: Policies.
        now: the server's time.

    Returns: list of Decision, what goes first, each in the order of its end or creation, oldest first.
    """
    ranks = _rank(subjects)
    decisions = [_decide_pod(s, owners, policies, now, ranks) for s in subjects if s.kind == POD]
    remains = _Remains(decisions)
    if JOB.name in policies.reclaim:
        decisions += [_decide_leftover(s, owners, policies, now, remains) for s in subjects if s.kind == JOB]
    going = {d.subject.uid for d in decisions if d.goes}
    remains.add(s for s in subjects if s.kind == JOB and s.uid not in going)
    for subject in subjects:
        if subject.state == RECORDED:
            decisions.append(_decide_record(subject, policies, now, ranks))
        elif subject.kind not in (POD, JOB):
            decisions.append(_decide_leftover(subject, owners, policies, now, remains))
    return sorted(decisions, key=lambda d: (not d.goes, d.subject.ended or d.subject.created, d.subject.namespace, d.subject.name))


class _Remains:
    """The pods and Jobs that stay, by what belongs to them."""

    def __init__(self, decisions):
        self.of_task, self.of_job = {}, {}
        self.add(d.subject for d in decisions if not d.goes)

    def add(self, subjects):
        for subject in subjects:
            self.of_task[subject.namespace, subject.task] = subject
            if subject.controller:
                self.of_job[subject.controller.uid] = subject


def _rank(subjects):
    """uid -> how many of its namespace and state ended after it."""
    groups, ranks = {}, {}
    for subject in subjects:
        if subject.ended is not None:
            groups.setdefault((subject.namespace, subject.kind, subject.state), []).append(subject)
    for group in groups.values():
        group.sort(key=lambda s: (-s.ended, s.name))
        ranks |= {subject.uid: rank for rank, subject in enumerate(group)}
    return ranks


def _decide_pod(subject, owners, policies, now, ranks):
    """The first rule that lets it go decides; else the last that concerned it says why it stays."""
    kept = Decision(subject, False, "", f"it is {subject.state}, and no policy concerns it")
    if subject.state == DELETING:
        return _judge_stuck(subject, policies, now) or replace(kept, why="it is being deleted already")
    verdicts = (
        _judge_orphan(subject, owners, policies),
        _judge_evicted(subject, policies),
        _judge_expired(subject, owners, policies, now),
        _judge_stuck(subject, policies, now),
        _judge_over(subject, owners, "completed", SUCCEEDED, policies.completed, now, ranks),
        _judge_over(subject, owners, "failed", FAILED, policies.failed, now, ranks),
    )
    for verdict in filter(None, verdicts):
        if verdict.goes:
            return verdict
        kept = verdict
    return kept


def _judge_orphan(subject, owners, policies):
    if not policies.orphaned or not subject.owners:
        return None
    states = [_owner_state(owner, owners) for owner in subject.owners]
    for owner, state in zip(subject.owners, states):
        if state in (ALIVE, UNKNOWN):
            what = "is alive" if state == ALIVE else "cannot be looked at"
            return Decision(subject, False, "orphaned", f"its owner {owner.kind} {owner.name} {what}")
    owner = subject.owners[0]
    return Decision(subject, True, "orphaned", f"its owner {owner.kind} {owner.name} is {states[0]}")


def _owner_state(owner, owners):
    """A controller that finished keeps what it made: only a parent's end makes orphans."""
    state = owners.state(owner)
    return ALIVE if state == FINISHED and owner.controls else state


def _judge_evicted(subject, policies):
    if policies.evicted and subject.state == FAILED and subject.reason == "Evicted":
        return Decision(subject, True, "evicted", "it was evicted")
    return None


def _judge_expired(subject, owners, policies, now):
    ttl = subject.ttl if subject.ttl is not None else policies.default_ttl.get(subject.namespace)
    if not policies.expired or ttl is None or not subject.is_finished:
        return None
    busy = _busy_job(subject, owners)
    if busy:
        return Decision(subject, False, "expired", busy)
    age = now - subject.ended
    return Decision(subject, age >= ttl, "expired", f"it ended {age:.0f} s ago, and its ttl is {ttl} s")


def _judge_stuck(subject, policies, now):
    if policies.stuck_after is None:
        return None
    if subject.state == DELETING:
        return _judge_deletion(subject, policies, now)
    if subject.is_finished:
        return None
    if subject.waits_since is None:
        return Decision(subject, False, "stuck", f"it is {subject.state}, and a container of it has been started")
    if subject.held_by:
        return Decision(subject, False, "stuck", f"it is held by the scheduling gate {', '.join(subject.held_by)}")
    age = now - subject.waits_since
    reason = f" ({subject.reason})" if subject.reason else ""
    return Decision(subject, age >= policies.stuck_after, "stuck", f"no container of it has been started for {age:.0f} s{reason}", force=policies.force)


def _judge_deletion(subject, policies, now):
    if subject.held_by:
        return Decision(subject, False, "stuck", f"its deletion is blocked by the finalizer {', '.join(subject.held_by)}")
    if not policies.force:
        return Decision(subject, False, "stuck", "it is being deleted already (stuck.force would end that)")
    late = now - subject.ended
    return Decision(subject, late >= policies.stuck_after, "stuck", f"its deletion was due {late:.0f} s ago", force=True)


def _judge_over(subject, owners, rule, state, keep, now, ranks):
    if keep is None or subject.state != state:
        return None
    busy = _busy_job(subject, owners)
    if busy:
        return Decision(subject, False, rule, busy)
    return _judge_age(subject, rule, keep, now, ranks)


def _judge_age(subject, rule, keep, now, ranks):
    age = now - subject.ended
    if age < keep.max_age:
        return Decision(subject, False, rule, f"it ended {age:.0f} s ago, and max_age is {keep.max_age:.0f} s")
    if ranks[subject.uid] < keep.keep_last:
        return Decision(subject, False, rule, f"it is one of the {keep.keep_last} latest")
    return Decision(subject, True, rule, f"it ended {age:.0f} s ago")


def _busy_job(subject, owners):
    """A Job that still runs counts its pods: why such a pod stays, or None."""
    controller = subject.controller
    if controller and controller.kind == "Job" and owners.state(controller) in (ALIVE, UNKNOWN):
        return f"its Job {controller.name} has not ended"
    return None


def _decide_record(subject, policies, now, ranks):
    kept = Decision(subject, False, "", "it records a task's result")
    if subject.state == DELETING:
        return replace(kept, why="it is being deleted already")
    if policies.expired and subject.ttl is not None:
        age = now - subject.ended
        kept = Decision(subject, age >= subject.ttl, "expired", f"its task ended {age:.0f} s ago, and its ttl is {subject.ttl} s")
    if not kept.goes and policies.records:
        kept = _judge_age(subject, "records", policies.records, now, ranks)
    return kept


def _decide_leftover(subject, owners, policies, now, remains):
    """Objects that belonged to a task, when neither their owner nor a pod of the task is left."""
    why = _why_kept(subject, owners, policies, now, remains)
    return Decision(subject, why is None, "reclaim", why or "nothing that it belonged to is left")


def _why_kept(subject, owners, policies, now, remains):
    if subject.state == DELETING:
        return "it is being deleted already"
    if now - subject.created < policies.reclaim_age:
        return f"it is younger than {policies.reclaim_age:.0f} s"
    if subject.kind == JOB:
        pod = remains.of_job.get(subject.uid)
        return f"its pod {pod.name} is there" if pod else None if subject.is_finished else "it has not ended"
    for owner in subject.owners:
        if owners.state(owner) != GONE:
            return f"its owner {owner.kind} {owner.name} is there"
    if subject.owners:
        return None
    if not subject.task:
        return "it belongs to no task"
    user = remains.of_task.get((subject.namespace, subject.task))
    return f"the task's {user.kind.name} {user.name} is there" if user else None
