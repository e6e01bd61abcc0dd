# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carries out the planned deletions: pods, then Jobs, then other objects, none of which may still be in use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..cluster.kinds import JOB, POD
from ..errors import PodwrightError
from ..threads import Pool
from .candidate import PENDING, Candidate

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..console import Console
    from ..values import Options
    from .retention import Decision

FindUsers = Callable[[set[str]], Iterable[Candidate]]
FindUsed = Callable[[], set[str]]
_CHANGED = "it changed or was deleted by another client before its deletion"


class Deleter:
    """Deletes objects concurrently, at most at the given rate.

    Args:
        params: the options of pod_gc.
        deletions: the Decisions to carry out.

    Attributes:
        deleted: the Decisions that were carried out.
        kept: the other ones, with the reason: meanwhile the object or what uses it changed.
        errors: (Decision, PodwrightError) of each failed deletion.
    """

    def __init__(self, client: Client, console: Console, params: Options, deletions: Sequence[Decision]) -> None:
        self._client, self._console, self._params = client, console, params
        self._deletions = deletions
        self._lock = threading.Lock()
        self._forbidden: dict[tuple[Kind, str], PodwrightError] = {}
        self._started, self._requested = 0.0, 0
        self._missing: set[str] = set()  # uids of pods that another client has deleted
        self.deleted: list[Decision] = []
        self.kept: list[Decision] = []
        self.errors: list[tuple[Decision, PodwrightError]] = []

    def predict(self) -> None:
        """Delete nothing; `deleted` is what would be."""
        self.deleted = list(self._deletions)

    def run(self, find_users: FindUsers, find_used: FindUsed) -> None:
        """Delete.

        Args:
            find_users: lists the pods and Jobs of the tasks in these namespaces.
            find_used: returns the UIDs of the Secrets that a pod template refers to again.

        Raises: PodwrightError, unless it is that of a deletion.
        """
        self._started = self._client.clock.monotonic()
        with Pool(self._params["concurrency"]) as pool:
            self._delete_all(pool, [d for d in self._deletions if d.candidate.kind == POD])
            self._delete_all(pool, self._without_pods([d for d in self._deletions if d.candidate.kind == JOB]))
            self._delete_all(pool, self._unused([d for d in self._deletions if d.candidate.kind not in (POD, JOB)], find_users, find_used))

    def _without_pods(self, jobs: list[Decision]) -> list[Decision]:
        """Those whose pods were deleted: the deletion of a Job deletes its pods."""
        undeleted = [decision.candidate for decision in (*self.kept, *(decision for decision, _error in self.errors))]
        pods = {pod.controller.uid: pod for pod in undeleted if pod.controller and pod.uid not in self._missing}
        self._keep({job.candidate.uid: f"its pod {pods[job.candidate.uid].name} was not deleted" for job in jobs if job.candidate.uid in pods}, jobs)
        return [job for job in jobs if job.candidate.uid not in pods]

    def _unused(self, decisions: list[Decision], find_users: FindUsers, find_used: FindUsed) -> list[Decision]:
        """Those whose task was not started since they were listed, and which are not referred to again: neither need have changed what it uses."""
        namespaces = {d.candidate.namespace for d in decisions if d.candidate.is_kept_by_task}
        users = {(user.namespace, user.task): user for user in find_users(namespaces)} if namespaces else {}
        used = dict.fromkeys(find_used() if decisions else (), "a Deployment refers to it again")
        for candidate in (decision.candidate for decision in decisions):
            user = users.get((candidate.namespace, candidate.task))
            if user and candidate.is_kept_by_task:
                used[candidate.uid] = f"the {user.kind.name} {user.name} of its task was created after it was listed"
        self._keep(used, decisions)
        return [decision for decision in decisions if decision.candidate.uid not in used]

    def _keep(self, reasons: dict[str, str], decisions: Iterable[Decision]) -> None:
        self.kept += [replace(d, is_deletion=False, reason=reasons[d.candidate.uid]) for d in decisions if d.candidate.uid in reasons]

    def _delete_all(self, pool: Pool, decisions: list[Decision]) -> None:
        deletions = [pool.submit(self._delete, number, decision) for number, decision in enumerate(decisions, self._requested)]
        for number, deletion in enumerate(deletions, self._requested + 1):
            deletion.result()
            self._console.progress(f"{number} of {len(self._deletions)} objects deleted")
        self._requested += len(decisions)

    def _delete(self, number: int, decision: Decision) -> None:
        self._pace(number)
        candidate, params = decision.candidate, self._params
        place = (candidate.kind, candidate.namespace)
        # A pending pod may have started since, a run may have written the record of its task again or use what an earlier one left behind.
        can_revive = candidate.state == PENDING or candidate.kind not in (POD, JOB)
        try:
            if place in self._forbidden:
                error = self._forbidden[place]
                raise PodwrightError(f"Not requested, since another request was refused: {error.message}", reason=error.reason, hint=error.hint)
            existed = self._client.delete(
                candidate.kind,
                candidate.namespace,
                candidate.name,
                candidate.uid,
                params["propagation_policy"],
                0 if decision.force else params["grace_period"],
                version=candidate.version if can_revive else None,
            )
        except PodwrightError as error:
            with self._lock:
                if error.is_forbidden:
                    self._forbidden[place] = error  # no further request for this kind and namespace
                self.errors.append((decision, error))
            return
        is_missing = not existed and candidate.kind == POD and self._is_missing(candidate)
        with self._lock:
            if existed:
                self.deleted.append(decision)
            else:
                self._missing |= {candidate.uid} if is_missing else set()
                self._keep({candidate.uid: _CHANGED}, [decision])

    def _is_missing(self, pod: Candidate) -> bool:
        """Whether a Job certainly has no pod of that name any more. Who may run pod_gc may list pods, and need not get them."""
        try:
            return bool(pod.controller) and not self._client.list(POD, pod.namespace, field_selector=f"metadata.name={pod.name}", metadata_only=True)[0]
        except PodwrightError:
            return False

    def _pace(self, number: int) -> None:
        rate, clock = self._params["rate"], self._client.clock
        if rate:
            ahead = self._started + number / rate - clock.monotonic()
            if ahead > 0:
                clock.sleep(ahead)
