# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The progress of one task while its plan is carried out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..cluster.api_errors import admission_hint
from ..cluster.events import Event
from ..errors import PodwrightError
from ..objects.job_status import deciding_pod, read_job
from ..objects.pod_status import FIXABLE, Status, read_deleted, read_pod
from ..reconciler.manifest import drop_managed_fields
from ..reconciler.plan import Action, Applied, Change, creation_patch
from ..values import Manifest
from .collected import Collected, describe_lack
from .decision import CREATE, NONE, PATCH, RELABELED, REPLACE, RESIZE
from .effects import Effects, Timing
from .file_containers import awaits_inputs, can_fetch, has_inputs, has_lost_files, holds_files
from .indexes import find_left
from .record import Record
from .retries import with_skips
from .stages import Stage, StageEvent, next_stage
from .task_plan import DELETE, Listed, TaskPlan, secret_creation
from .task_spec import TaskSpec

if TYPE_CHECKING:
    from .executor import Answer

FAILED, STOPPED = "failed", "stopped"  # with SKIPPED the states of tasks that did not reach theirs
FAILED_CREATE = "FailedCreate"  # reason of the event of a Job that may not create its pod


def status_of(spec: TaskSpec, live: Manifest | None, pods: list[Manifest], record: Record | None) -> Status | None:
    """The Status of a task, from its pod or Job and the Job's pods, or from its record; None if there is neither."""
    if live is None:
        return with_skips(spec, record.status) if record else None
    return with_skips(spec, read_job(live, pods) if spec.is_job else read_pod(live))


class TaskRun:
    """One task while its plan is carried out.

    Attributes:
        plan: its TaskPlan.
        earlier: the pods of its earlier attempts in this run, as last seen.
        stage: its Stage.
        live: its pod or Job as last seen, or None.
        pods: the pods of its Job by uid.
        record: the Record of another run that replaces its pod, or None.
        reported: uids of its pods or Jobs that were reported since its attempt was planned: another run may have completed them.
        to_delete: uid -> (Kind, object) that must not exist any more before it is created.
        status: its Status, or None if nothing is known.
        manifest: what is created next, or was created last.
        policy: the step of the plan for its NetworkPolicy, or None.
        attempt: the number of the attempt.
        effects: its Effects.
        predicted: the replacement as the server's dry run answered, or None.
        note: why it was replaced after the plan was made, or an empty string.
        timing: its Timing.
        refusal: the last error of a request that is sent again, or None.
        error: why it did not reach its state, or None.
        outcome: the state of a task with an error: FAILED; STOPPED if it was terminated because of another; SKIPPED if it did not start.
        is_stopping: whether its pod is deleted because another task failed.
        logs: its log, or None if it is not collected.
        container_logs: the logs of its init containers and sidecars, by name.
        index_logs: the logs of an Indexed Job by index and container.
        events: the events of a task that failed.
        is_collected: whether its log was read, and its error explained.
        is_complete: whether it was also recorded, and what holds its files released, as far as it needs that.
        record_error: why its record could not be written, or None.
        supplied: the uid of the pod that has received its inputs, or None.
        collected: what it left and this run has fetched, or None.
    """

    def __init__(self, plan: TaskPlan) -> None:
        self.plan = plan
        waits = plan.spec and plan.spec.needs and plan.first_stage in (Stage.DELETE, Stage.CREATE) and not plan.is_deletion
        self.stage = Stage.NEEDS if waits else plan.first_stage
        self.live = plan.live
        self.earlier: list[Manifest] = []
        self.pods = {pod["metadata"]["uid"]: pod for pod in plan.pods}
        self.record = plan.record
        self.reported: set[str] = set()
        self.to_delete: dict[str, Listed] = {item["metadata"]["uid"]: (kind, item) for kind, item in plan.to_delete}
        self.status: Status | None = None
        self.manifest = plan.change.desired
        self.policy = plan.policy
        self.attempt = plan.attempt
        self.effects = Effects()
        self.predicted: Change | None = None
        self.note = ""
        self.timing = Timing()
        self.refusal: PodwrightError | None = None
        self.error: PodwrightError | None = None
        self.outcome = FAILED
        self.is_stopping = False
        self.logs: str | None = None
        self.container_logs: dict[str, str] = {}
        self.index_logs: dict[int, dict[str, str]] = {}
        self.events: list[Event] = []
        self.is_collected = self.is_complete = False
        self.record_error: PodwrightError | None = None
        self.supplied: str | None = None
        self.collected = plan.collected
        self._read = (plan.live if plan.status else None, plan.status)  # what the status was read from last, and that status
        self.read_status()

    @property
    def spec(self) -> TaskSpec | None:
        """Its TaskSpec, or None if an object is only deleted."""
        return self.plan.spec

    @property
    def pod(self) -> Manifest | None:
        """Its pod, or the one that says what its Job does."""
        if self.spec and self.spec.is_job:
            return deciding_pod(self.live, self.pods.values())
        return self.live

    @property
    def is_known_by_record(self) -> bool:
        """Whether a record replaces its pod."""
        return self.live is None and self.record is not None

    @property
    def is_active(self) -> bool:
        """Whether it counts towards the concurrency: what it sends next needs no other turn."""
        return not self.stage.needs_turn and self.stage not in (Stage.NEEDS, Stage.DONE)

    @property
    def is_from_earlier_run(self) -> bool:
        """Whether nothing of it was changed in this run."""
        return self.action == NONE and self.plan.change.action == NONE

    def advance(self, event: StageEvent) -> None:
        """Go to the stage that an event leads to."""
        self.stage = next_stage(self.stage, event)

    @property
    def has_failed(self) -> bool:
        """Whether it failed by itself."""
        return self.error is not None and self.outcome == FAILED

    def postpone(self, error: PodwrightError, reason: str, until: float) -> None:
        """Send its request again later, which was refused for that reason."""
        self.advance(StageEvent.POSTPONED)
        self.timing.not_before, self.refusal = until, error
        self.status = Status("pending", reason, error.message, grace=FIXABLE)

    def fail(self, error: PodwrightError, outcome: str = FAILED) -> None:
        """Finish it with an error."""
        self.error, self.outcome = error, outcome
        self.finish()

    def fail_because(self, reason: str, why: str, hint: str = "", outcome: str = FAILED) -> None:
        """Finish it with an error that names it.

        Args:
            why: the rest of the sentence.
        """
        key = self.plan.change.key
        name, namespace = self.spec.name if self.spec else key.name, key.namespace
        kind = ("Job" if self.spec.is_job else "task") if self.spec else "task" if key.kind == "Pod" else key.kind
        hint = hint or (admission_hint(why, namespace) if reason == FAILED_CREATE else "")
        self.fail(PodwrightError(f"The {kind} '{name}' in namespace '{namespace}' {why}", reason=reason, hint=hint), outcome)

    def stop(self) -> None:
        """Delete what is live, because another task failed."""
        self.is_stopping = True
        self.to_delete = {self.live["metadata"]["uid"]: (self.plan.change.kind, self.live)} if self.live else {}
        self.advance(StageEvent.STOPPED)

    def finish(self) -> None:
        """Finish it; first what it left is to be fetched if its pod holds it, and its result to be kept."""
        if self.stage is Stage.WATCH and (self.pod_to_fetch_from or self.has_lost_files):
            self.advance(StageEvent.TERMINATED)
            return
        pod = self.pod if self.spec and self.spec.leaves_files and not self.fetched else None
        if not self.error and self.status and self.status.state == "succeeded" and not (pod and self.collected is None and holds_files(pod)):
            self.error = describe_lack(self.spec, self.left) if self.spec else None
        is_open = self.stage in (Stage.WATCH, Stage.COLLECTING) and self.leaves_result
        self.advance(StageEvent.COMPLETED if is_open else StageEvent.FINISHED)

    @property
    def leaves_result(self) -> bool:
        """Whether its result is to be kept as long as its pod is not another one: its log, why it failed, its record."""
        if not self.spec or not self.live or self.plan.is_deletion:
            return False
        is_finished = self.status is not None and self.status.is_finished
        return self.error is not None or (is_finished and (self.spec.keeps_record or self.spec.options["logs"] != "none"))

    @property
    def will_await_inputs(self) -> bool:
        """Whether its pod waits for its inputs, or is going to."""
        live = self.live if self.spec and self.spec.options.get("inputs") else None
        return live is not None and live["metadata"]["uid"] != self.supplied and not has_inputs(live)

    @property
    def awaits_inputs(self) -> bool:
        """Whether its pod waits for its inputs."""
        return self.will_await_inputs and self.live is not None and awaits_inputs(self.live)

    @property
    def pod_to_fetch_from(self) -> Manifest | None:
        """Its pod if that has terminated and holds what it left, none of which was fetched; else None."""
        is_finished = self.status is not None and self.status.is_finished
        pod = self.pod if is_finished and self.spec and self.spec.leaves_files and not self.fetched else None
        return pod if pod and can_fetch(pod) else None

    @property
    def has_lost_files(self) -> bool:
        """Whether the container that held what it left has terminated during this run, which has not fetched that; another run may have."""
        is_new = bool(self.effects.created) or not self.plan.had_finished
        return bool(is_new and self.spec and self.spec.leaves_files and not self.fetched and self.pod and has_lost_files(self.pod))

    def end(self, _answer: object) -> None:
        """Note that what follows the end of the task was done, or is left to the end of its batch."""
        self.advance(StageEvent.FINISHED)

    def take(self, answer: Answer) -> None:
        """Note what it left and was fetched."""
        self.collected, self.live = answer.collected, answer.live or self.live
        if self.stage is Stage.COLLECTING:
            self.finish()

    @property
    def left(self) -> Collected:
        """What it left: fetched in this run, or else in an earlier one."""
        if self.collected or not self.spec:
            return self.collected or Collected()
        is_success = self.status is not None and self.status.state == "succeeded"
        return find_left(self.spec, self.pod, self.pods.values(), self.record or self.plan.kept, is_success and not self.plan.is_deletion)

    def read_status(self) -> None:
        """Read the status from what was seen last."""
        if self.spec:
            if self.live is None or self.live is not self._read[0] or self.spec.is_job:
                self._read = self.live, status_of(self.spec, self.live, list(self.pods.values()), self.record)
            self.status = self._read[1]

    def replace_pod(self, manifest: Manifest, attempt: int, policy: Change | None, note: str, not_before: float = 0) -> None:
        """Replace the live pod, which is deleted first if it still exists, at a moment of the monotonic clock."""
        self.manifest, self.attempt, self.policy, self.note, self.timing = manifest, attempt, policy, note, Timing(not_before=not_before)
        self.to_delete = {self.live["metadata"]["uid"]: (self.plan.change.kind, self.live)} if self.live else {}
        self.record, self.reported = None, set()
        self._keep_attempt()
        self.advance(StageEvent.OUTDATED if self.to_delete else StageEvent.LOST)

    def lose(self) -> Status:
        """Note that its pod was deleted from outside. Returns: its Status."""
        self.status = read_deleted(self.live)
        self._keep_attempt()
        self.live = None
        return self.status

    def _keep_attempt(self) -> None:
        self.earlier += [drop_managed_fields(self.live)] if self.live and self.live["kind"] == "Pod" else []

    def replan(self, plan: TaskPlan) -> None:
        """Continue with another plan that deletes the live pod."""
        self.plan, self.policy, self.note = plan, plan.policy, plan.change.note
        self.to_delete = {item["metadata"]["uid"]: (kind, item) for kind, item in plan.to_delete}
        self.advance(StageEvent.OUTDATED)

    def forget(self, uids: Iterable[str]) -> None:
        """Note that objects do not exist any more. If none is left to delete, the deletion is complete."""
        for uid in uids:
            self.to_delete.pop(uid, None)
        if self.stage is not Stage.DELETING or self.to_delete:
            return
        if self.is_stopping:
            self.fail_because("Stopped", "was stopped, because another task failed and on_error is stop", outcome=STOPPED)
            return
        self.live, self.pods, self.status = None, {}, None
        self.advance(StageEvent.FINISHED if self.plan.is_deletion else StageEvent.CLEARED)

    @property
    def fetched(self) -> Collected | None:
        """What it left, to be recorded; None if not all of it was fetched, so that a later run has to."""
        known = self.record or self.plan.kept
        is_known = not self.spec or not self.spec.leaves_files or bool(self.collected or (known and known.results is not None))
        return self.left if is_known and not self.left.failures else None

    # -- the plan, as far as it was carried out -------------------------------------------------------------

    @property
    def replaces_live(self) -> bool:
        """Whether a creation replaces what was live when the plan was made."""
        planned = self.plan.change
        return planned.action == REPLACE or (planned.action in (NONE, PATCH, RESIZE) and planned.before is not None and not self.plan.is_deletion)

    @property
    def untried_replacement(self) -> Change | None:
        """The replacement of a pod that no dry run has tried yet, or None."""
        if not self.spec or self.spec.is_job or self.predicted or not (self.replaces_live and self.plan.change.before):
            return None
        return replace(self.plan.change, action=REPLACE, desired=self.manifest)

    @property
    def action(self) -> Action:
        """What was done, in the words of the plan."""
        if self.effects.created:
            return REPLACE if self.replaces_live else CREATE
        if self.effects.deleted:
            return DELETE
        return RESIZE if self.effects.resized else PATCH if self.effects.corrected else NONE

    @property
    def changes(self) -> list[Applied]:
        """The steps of the plan as they were carried out."""
        policy = [self._describe_policy(self.policy)] if self.policy else []
        secret = [secret_creation(self.effects.secret).applied(self.effects.secret)] if self.effects.secret else []
        return [*policy, *secret, self._describe_change()]

    def _describe_change(self) -> Applied:
        planned, action, effects = self.plan.change, self.action, self.effects
        if action == NONE:
            return planned.not_applied(self.note)
        if action == PATCH:
            note = RELABELED if effects.adopted else ""
            return replace(planned, action=PATCH, before=effects.adopted or planned.before).applied(effects.corrected, note=note)
        if action == DELETE:
            return planned.deleted_only(self.note)
        if action == RESIZE:
            return planned.applied(effects.resized, action=RESIZE, note=self.note)
        manifest = self.manifest or {}
        if action == CREATE:
            created = replace(planned, desired=manifest, patch=creation_patch(manifest))
            return created.applied(self.live, action=CREATE, note=self.note)
        replaced = self.predicted or replace(planned, after=self.manifest, patch=[])
        return replace(replaced, desired=self.manifest).applied(replaced.after, action=REPLACE, note=self.note)

    def _describe_policy(self, planned: Change) -> Applied:
        return planned.applied(self.effects.policy) if self.effects.policy else planned.not_applied()
