# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Retention policies, and which pods and records they delete. Pure functions; times are seconds since the epoch."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..objects.labels import TTL
from .candidate import DELETING, FAILED, PLACED, SUCCEEDED
from .owners import ACTIVE, FINISHED, STATE_TEXTS, UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from ..cluster.kinds import Kind
    from .candidate import Candidate, Owner, TaskRun
    from .owners import Owners


# The other clusters do not know when a task finished: one that runs must not lose its placement there.
PLACEMENT_SECONDS = 30 * 86400
_INVALID_TTL = f"its annotation {TTL} is not a number of seconds"


@dataclass(frozen=True)
class RetentionPolicy:
    """How long finished objects are retained.

    Attributes:
        max_age: minimum retention in seconds since the object finished.
        keep_last: number of most recent objects that each namespace retains.
    """

    max_age: float = 0
    keep_last: int = 0


@dataclass(frozen=True)
class RetentionPolicies:
    """The policies to evaluate, named as the options of pod_gc; None and False select nothing.

    Attributes:
        stuck_after: the option `stuck.max_age` in seconds.
        force: the option `stuck.force`.
        reclaim: names of the kinds to reclaim.
        namespace_ttls: TTL in seconds of pods without one of their own, by namespace.
    """

    completed: RetentionPolicy | None = None
    failed: RetentionPolicy | None = None
    records: RetentionPolicy | None = None
    orphaned: bool = False
    evicted: bool = False
    expired: bool = False
    stuck_after: float | None = None
    force: bool = False
    reclaim: frozenset[str] = frozenset()
    reclaim_age: float = 600
    namespace_ttls: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """What the policies are evaluated with.

    Attributes:
        now: the time for which ages are calculated.
        ranks: UID -> number of more recent objects of its kind, state and namespace.
        records: the record of each task that has one.
        unused: the UIDs of Secrets to which no pod template of their Deployment refers.
    """

    policies: RetentionPolicies
    owners: Owners
    now: float
    ranks: Mapping[str, int]
    records: Mapping[TaskRun, Candidate] = field(default_factory=dict)
    unused: AbstractSet[str] = frozenset()

    def age(self, moment: float) -> float:
        """Seconds since a moment; 0 if the clock of the node that says it is ahead of that of the API server."""
        return max(self.now - moment, 0)


@dataclass(frozen=True)
class Decision:
    """Whether an object is deleted, the policy that selected or kept it, and the reason; with `force` its grace period is 0."""

    candidate: Candidate
    is_deletion: bool
    policy: str
    reason: str
    force: bool = False


def rank(candidates: Iterable[Candidate]) -> dict[str, int]:
    """UID -> number of objects of its kind, state and namespace that finished after it."""
    groups: dict[tuple[str, Kind, str], list[tuple[float, str, str]]] = defaultdict(list)
    for candidate in candidates:
        if candidate.finished_at is not None:
            groups[candidate.namespace, candidate.kind, candidate.state].append((-candidate.finished_at, candidate.name, candidate.uid))
    return {uid: number for group in groups.values() for number, (_age, _name, uid) in enumerate(sorted(group))}


def decide_pod(pod: Candidate, evaluation: Evaluation) -> Decision:
    """The Decision of the first policy that deletes a pod, else of the last that concerns it."""
    if pod.state == DELETING:
        return _evaluate_deletion(pod, evaluation) or Decision(pod, False, "", "it is being deleted")
    policies = evaluation.policies
    kept = Decision(pod, False, "", f"it is {pod.state} and no policy applies")
    decisions = (
        _evaluate_orphaned(pod, evaluation),
        _evaluate_evicted(pod, evaluation),
        _evaluate_expired(pod, evaluation),
        _evaluate_stuck(pod, evaluation),
        _evaluate_finished(pod, "completed", SUCCEEDED, policies.completed, evaluation),
        _evaluate_finished(pod, "failed", FAILED, policies.failed, evaluation),
    )
    for decision in filter(None, decisions):
        if decision.is_deletion:
            return decision
        kept = decision
    return kept


def _evaluate_orphaned(pod: Candidate, evaluation: Evaluation) -> Decision | None:
    if not evaluation.policies.orphaned or not pod.owners:
        return None
    states = [_state_as_owner(owner, evaluation.owners) for owner in pod.owners]
    for owner, state in zip(pod.owners, states):
        if state in (ACTIVE, UNREADABLE):
            return Decision(pod, False, "orphaned", f"its owner {owner} {STATE_TEXTS[state]}")
    return Decision(pod, True, "orphaned", f"its owner {pod.owners[0]} {STATE_TEXTS[states[0]]}")


def _state_as_owner(owner: Owner, owners: Owners) -> str:
    """The state of an owner; a finished controller still owns its pods, a finished parent task does not."""
    state = owners.state(owner)
    return ACTIVE if state == FINISHED and owner.is_controller else state


def _evaluate_evicted(pod: Candidate, evaluation: Evaluation) -> Decision | None:
    if not evaluation.policies.evicted or pod.state != FAILED or pod.reason != "Evicted":
        return None
    # The result of an unfinished Job is that of another pod.
    needed = None if _unfinished_job(pod, evaluation.owners) else missing_record(pod, evaluation)
    return Decision(pod, needed is None, "evicted", needed or "it was evicted")


def _evaluate_expired(pod: Candidate, evaluation: Evaluation) -> Decision | None:
    ttl = pod.ttl if pod.ttl is not None else evaluation.policies.namespace_ttls.get(pod.namespace)
    if not evaluation.policies.expired or pod.finished_at is None:
        return None
    if pod.has_invalid_ttl:
        return Decision(pod, False, "expired", _INVALID_TTL)
    if ttl is None:
        return None
    unfinished = _unfinished_job(pod, evaluation.owners)
    if unfinished:
        return Decision(pod, False, "expired", unfinished)
    age = evaluation.age(pod.finished_at)
    needed = missing_record(pod, evaluation) if age >= ttl else None
    return Decision(pod, age >= ttl and not needed, "expired", needed or f"it finished {age:.0f} s ago, and its ttl is {ttl} s")


def _evaluate_stuck(pod: Candidate, evaluation: Evaluation) -> Decision | None:
    policies = evaluation.policies
    if policies.stuck_after is None or pod.is_finished:
        return None
    if pod.pending_since is None:
        return Decision(pod, False, "stuck", f"it is {pod.state}, and at least one of its containers has been started")
    if pod.blocked_by:
        return Decision(pod, False, "stuck", f"its scheduling is blocked by the scheduling gate {', '.join(pod.blocked_by)}")
    age = evaluation.now - pod.pending_since
    reason = f"none of its containers has been started for {age:.0f} s{f' ({pod.reason})' if pod.reason else ''}"
    return Decision(pod, age >= policies.stuck_after, "stuck", reason)


def _evaluate_deletion(pod: Candidate, evaluation: Evaluation) -> Decision | None:
    """The policy `stuck` for a pod that is being deleted; whatever the policy, what blocks its deletion."""
    policies = evaluation.policies
    if pod.blocked_by:
        return Decision(pod, False, "stuck", f"its deletion is blocked by the finalizer {', '.join(pod.blocked_by)}")
    if policies.stuck_after is None or pod.deletion_due is None:
        return None
    if not policies.force:
        return Decision(pod, False, "stuck", "it is being deleted; stuck.force deletes it without a grace period")
    overdue = evaluation.now - pod.deletion_due
    return Decision(pod, overdue >= policies.stuck_after, "stuck", f"its deletion was due {overdue:.0f} s ago", force=True)


def _evaluate_finished(pod: Candidate, name: str, state: str, policy: RetentionPolicy | None, evaluation: Evaluation) -> Decision | None:
    if policy is None or pod.state != state:
        return None
    needed = _unfinished_job(pod, evaluation.owners) or missing_record(pod, evaluation)
    return Decision(pod, False, name, needed) if needed else _evaluate_retention(pod, name, policy, evaluation)


def missing_record(run: Candidate, evaluation: Evaluation) -> str | None:
    """Why a finished pod or Job is kept if the result of its task was to be recorded and is not: without either the task would run again.

    It is kept as long as its record would be, which has the TTL of the task, not that of the namespace.
    """
    policies, age, record = evaluation.policies, evaluation.age(run.since), evaluation.records.get(run.run_of_task)
    # With keep_last a record can be kept at any age.
    limits = [policies.records.max_age] if policies.records and not policies.records.keep_last else []
    limits += [run.ttl] if policies.expired and run.ttl is not None else []
    if not run.keeps_record or (record and record.is_record_of(run)) or any(age >= limit for limit in limits):
        return None
    return f"the result of its task {run.task} has not been recorded yet; the next run of the task records it"


def _evaluate_retention(candidate: Candidate, name: str, policy: RetentionPolicy, evaluation: Evaluation) -> Decision:
    age = evaluation.age(candidate.since)
    reason = f"{'its task was started' if candidate.state == PLACED else 'it finished'} {age:.0f} s ago"
    if age < policy.max_age:
        return Decision(candidate, False, name, f"{reason}, and max_age is {policy.max_age:.0f} s")
    if evaluation.ranks[candidate.uid] < policy.keep_last:
        return Decision(candidate, False, name, f"it is one of the {policy.keep_last} most recent")
    return Decision(candidate, True, name, reason)


def _unfinished_job(pod: Candidate, owners: Owners) -> str | None:
    """Why a pod is kept if its Job has not finished: the Job counts its pods. None for any other pod."""
    controller = pod.controller
    if controller and controller.kind == "Job" and owners.state(controller) in (ACTIVE, UNREADABLE):
        return f"its Job {controller.name} has not finished"
    return None


def decide_record(record: Candidate, evaluation: Evaluation) -> Decision:
    """The Decision about the record of a task."""
    policies = evaluation.policies
    kept = Decision(record, False, "", "it is the record of a task and no policy applies")
    if policies.expired and record.has_invalid_ttl:
        kept = Decision(record, False, "expired", _INVALID_TTL)
    elif policies.expired and record.ttl is not None:
        age = evaluation.age(record.since)
        kept = Decision(record, age >= record.ttl, "expired", f"its task finished {age:.0f} s ago, and its ttl is {record.ttl} s")
    if not kept.is_deletion and policies.records:
        kept = _evaluate_retention(record, "records", policies.records, evaluation)
    return kept


def decide_placement(placement: Candidate, evaluation: Evaluation, user: Candidate | None) -> Decision:
    """The Decision about the placement of a task, of which this cluster has that Pod or Job, or none."""
    policy = evaluation.policies.records
    if policy is None:
        return Decision(placement, False, "", "it is the placement of a task and no policy applies")
    if placement.finished_at is None:
        return Decision(placement, False, "records", "its task does not finish, and can run in another cluster; state absent of task_pod deletes it")
    if user:
        return Decision(placement, False, "records", f"the {user.kind.name} {user.name} of its task exists")
    return _evaluate_retention(placement, "records", replace(policy, max_age=max(policy.max_age, PLACEMENT_SECONDS)), evaluation)
