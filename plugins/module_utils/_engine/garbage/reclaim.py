# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which objects are deleted: pods and records by policy, and the objects that tasks left behind. Pure functions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..cluster.kinds import JOB, POD
from .candidate import DELETING, RECORDED
from .owners import ABSENT, STATE_TEXTS
from .retention import Decision, Evaluation, decide_pod, decide_record, rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .candidate import Candidate, TaskRun
    from .owners import Owners
    from .retention import RetentionPolicies


def plan_deletion(
    candidates: Sequence[Candidate],
    owners: Owners,
    policies: RetentionPolicies,
    now: float,
    recorded: frozenset[TaskRun] = frozenset(),
    reviewed_at: float | None = None,
    others: Iterable[Candidate] = (),
) -> list[Decision]:
    """Decide about each object in scope.

    Args:
        candidates: objects in scope. Jobs among them protect the objects of their tasks even if Jobs are not to be reclaimed.
        owners: the owners, listed after the candidates.
        now: the time for which ages are calculated, in seconds since the epoch.
        recorded: the runs of tasks that have a record, in scope or not.
        reviewed_at: when the plan was reviewed, or None. What was created or finished later is kept, and takes no place in `keep_last`.
        others: pods and Jobs that are not in scope; they protect the objects of their tasks, and pods their Job.

    Returns: a Decision for each, the deletions first, both sorted by Candidate.since.
    """
    evaluation = Evaluation(policies, owners, now, rank(c for c in candidates if not _is_later(c, reviewed_at)), recorded)
    decisions = [decide_pod(c, evaluation) for c in candidates if c.kind == POD]
    remaining = _Remaining([*others, *(d.candidate for d in decisions if not d.is_deletion)])
    jobs = [c for c in candidates if c.kind == JOB]
    if JOB.name in policies.reclaim:
        of_jobs = [_decide_job(job, evaluation, remaining) for job in jobs]
        jobs = [d.candidate for d in of_jobs if not d.is_deletion]
        decisions += of_jobs
    remaining.add(jobs)
    for candidate in candidates:
        if candidate.state == RECORDED:
            decisions.append(decide_record(candidate, evaluation))
        elif candidate.kind not in (POD, JOB):
            decisions.append(_decide_leftover(candidate, evaluation, remaining))
    decisions = [_keep(decision) if decision.is_deletion and _is_later(decision.candidate, reviewed_at) else decision for decision in decisions]
    return sorted(decisions, key=lambda d: (not d.is_deletion, d.candidate.since, d.candidate.namespace, d.candidate.name))


def _is_later(candidate: Candidate, reviewed_at: float | None) -> bool:
    return reviewed_at is not None and candidate.since > reviewed_at


def _keep(decision: Decision) -> Decision:
    return replace(decision, is_deletion=False, reason="it was created or finished after the review")


class _Remaining:
    """The pods and Jobs that are kept, by their task and by the UID of their controller."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self.by_task: dict[tuple[str, str | None], Candidate] = {}
        self.by_controller: dict[str, Candidate] = {}
        self.add(candidates)

    def add(self, candidates: Iterable[Candidate]) -> None:
        for candidate in candidates:
            self.by_task[candidate.namespace, candidate.task] = candidate
            if candidate.controller:
                self.by_controller[candidate.controller.uid] = candidate


def _decide_job(job: Candidate, evaluation: Evaluation, remaining: _Remaining) -> Decision:
    if job.state == DELETING:
        return Decision(job, False, "reclaim", "it is being deleted")
    if evaluation.now - job.created < evaluation.policies.reclaim_age:
        return _kept_by_age(job, evaluation)
    if job.uid in remaining.by_controller:
        return Decision(job, False, "reclaim", f"its pod {remaining.by_controller[job.uid].name} exists")
    if not job.is_finished:
        return Decision(job, False, "reclaim", "it has not finished")
    return Decision(job, True, "reclaim", "it has finished and has no pods")


def _decide_leftover(candidate: Candidate, evaluation: Evaluation, remaining: _Remaining) -> Decision:
    """Reclaim an object if none of its owners exists or, without owners, no Pod or Job of its task."""
    if candidate.state == DELETING:
        return Decision(candidate, False, "reclaim", "it is being deleted")
    if evaluation.now - candidate.created < evaluation.policies.reclaim_age:
        return _kept_by_age(candidate, evaluation)
    for owner in candidate.owners:
        state = evaluation.owners.state(owner)
        if state != ABSENT:
            return Decision(candidate, False, "reclaim", f"its owner {owner} {STATE_TEXTS[state]}")
    if candidate.owners:
        return Decision(candidate, True, "reclaim", f"its owner {candidate.owners[0]} {STATE_TEXTS[ABSENT]}")
    if not candidate.task:
        return Decision(candidate, False, "reclaim", "it does not belong to a task")
    user = remaining.by_task.get((candidate.namespace, candidate.task))
    if user:
        return Decision(candidate, False, "reclaim", f"the {user.kind.name} {user.name} of its task exists")
    return Decision(candidate, True, "reclaim", f"its task {candidate.task} has neither a Pod nor a Job")


def _kept_by_age(candidate: Candidate, evaluation: Evaluation) -> Decision:
    return Decision(candidate, False, "reclaim", f"it is younger than {evaluation.policies.reclaim_age:.0f} s")
