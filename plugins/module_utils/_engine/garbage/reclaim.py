# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which objects are deleted: pods and records by policy, and the objects that tasks left behind. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.kinds import JOB, POD
from .candidate import DELETING, PLACED, RECORDED
from .owners import ABSENT, STATE_TEXTS
from .retention import Decision, Evaluation, decide_placement, decide_pod, decide_record, missing_record, rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from .candidate import Candidate, TaskRun
    from .owners import Owners
    from .retention import RetentionPolicies


def plan_deletion(
    candidates: Sequence[Candidate],
    owners: Owners,
    policies: RetentionPolicies,
    now: float,
    records: Mapping[TaskRun, Candidate] | None = None,
    reviewed_at: float | None = None,
    others: Iterable[Candidate] = (),
    unused: AbstractSet[str] = frozenset(),
) -> list[Decision]:
    """Decide about each object in scope.

    Args:
        candidates: objects in scope. Jobs among them protect the objects of their tasks even if Jobs are not to be reclaimed.
        owners: the owners, listed after the candidates.
        now: the time for which ages are calculated, in seconds since the epoch.
        records: the record of each task that has one, in scope or not.
        reviewed_at: when the plan was reviewed, or None. What was created or finished later is kept, and takes no place in `keep_last`.
        others: pods and Jobs that are not in scope; they protect the objects of their tasks, and pods their Job.
        unused: the UIDs of Secrets to which no pod template of their Deployment refers.

    Returns: a Decision for each, the deletions first, of both the pods, then the Jobs, then other objects, each sorted by Candidate.since.
    """
    later = [c for c in candidates if _is_later(c, reviewed_at)]
    decisions = [Decision(c, False, "", "it was created or finished after the review") for c in later if c.kind != JOB or JOB.name in policies.reclaim]
    others, candidates = [*others, *later], [c for c in candidates if not _is_later(c, reviewed_at)]
    evaluation = Evaluation(policies, owners, now, rank(candidates), records or {}, unused)
    decisions += [decide_pod(c, evaluation) for c in candidates if c.kind == POD]
    deleted = {d.candidate.uid for d in decisions if d.is_deletion}
    users = [c for c in (*others, *candidates) if c.kind in (POD, JOB)]
    if JOB.name in policies.reclaim:
        pods = {c.controller.uid: c for c in users if c.kind == POD and c.controller and c.uid not in deleted}
        decisions += [_decide_job(c, evaluation, pods.get(c.uid)) for c in candidates if c.kind == JOB]
    # Also those that are deleted now: they can run until their grace period expires, or be kept after all.
    by_task = {(c.namespace, c.task): c for c in users}
    decisions += [_decide_other(c, evaluation, by_task.get((c.namespace, c.task))) for c in candidates if c.kind not in (POD, JOB)]
    return sorted(decisions, key=_order)


def _is_later(candidate: Candidate, reviewed_at: float | None) -> bool:
    return reviewed_at is not None and candidate.state != DELETING and candidate.since > reviewed_at


def _order(decision: Decision) -> tuple[bool, int, float, str, str]:
    candidate = decision.candidate
    stage = {POD: 0, JOB: 1}.get(candidate.kind, 2)
    return not decision.is_deletion, stage, candidate.since, candidate.namespace, candidate.name


def _decide_other(candidate: Candidate, evaluation: Evaluation, user: Candidate | None) -> Decision:
    """The Decision about an object of a task that has that Pod or Job, or none."""
    if candidate.state == RECORDED:
        return decide_record(candidate, evaluation)
    if candidate.state == PLACED:
        return decide_placement(candidate, evaluation, user)
    return _decide_leftover(candidate, evaluation, user)


def _decide_job(job: Candidate, evaluation: Evaluation, pod: Candidate | None) -> Decision:
    """Reclaim a Job if it has finished and has no such pod that is kept."""
    if job.state == DELETING:
        return Decision(job, False, "reclaim", "it is being deleted")
    if evaluation.now - job.created < evaluation.policies.reclaim_age:
        return _kept_by_age(job, evaluation)
    if pod:
        return Decision(job, False, "reclaim", f"its pod {pod.name} exists")
    if not job.is_finished:
        return Decision(job, False, "reclaim", "it has not finished")
    needed = missing_record(job, evaluation)
    if needed:
        return Decision(job, False, "reclaim", needed)
    return Decision(job, True, "reclaim", "it has finished and has no pods")


def _decide_leftover(candidate: Candidate, evaluation: Evaluation, user: Candidate | None) -> Decision:
    """Reclaim an object if none of its owners exists or, without owners, no Pod or Job of its task."""
    if candidate.state == DELETING:
        return Decision(candidate, False, "reclaim", "it is being deleted")
    if evaluation.now - candidate.created < evaluation.policies.reclaim_age:
        return _kept_by_age(candidate, evaluation)
    if candidate.uid in evaluation.unused:
        return Decision(candidate, True, "reclaim", "no pod template of its Deployment refers to it")
    for owner in candidate.owners:
        state = evaluation.owners.state(owner)
        if state != ABSENT:
            return Decision(candidate, False, "reclaim", f"its owner {owner} {STATE_TEXTS[state]}")
    if candidate.owners:
        return Decision(candidate, True, "reclaim", f"its owner {candidate.owners[0]} {STATE_TEXTS[ABSENT]}")
    if not candidate.task:
        return Decision(candidate, False, "reclaim", "it does not belong to a task")
    if user:
        return Decision(candidate, False, "reclaim", f"the {user.kind.name} {user.name} of its task exists")
    return Decision(candidate, True, "reclaim", f"its task {candidate.task} has neither a Pod nor a Job")


def _kept_by_age(candidate: Candidate, evaluation: Evaluation) -> Decision:
    return Decision(candidate, False, "reclaim", f"it is younger than {evaluation.policies.reclaim_age:.0f} s")
