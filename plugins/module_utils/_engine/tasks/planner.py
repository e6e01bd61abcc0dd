# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan for the requested tasks, from what exists of them; nothing is changed here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from ..cluster.client import MANAGER, Client
from ..cluster.kinds import CONFIG_MAP, JOB, NETWORK_POLICY, POD, Kind
from ..console import Console
from ..errors import PodwrightError
from ..objects.job_status import deciding_pod
from ..objects.key import Key
from ..objects.labels import HASH, MANAGED, MANAGED_BY, SET, TASK, label_of, owner_reference
from ..objects.pod_status import Status
from ..objects.workloads import GROUP, LOCAL_QUEUE
from ..reconciler.fields import owned_fields
from ..reconciler.manifest import bare, difference, key_of, merge
from ..reconciler.plan import Action, Change, creation_patch, plan
from ..values import Manifest
from .decision import CREATE, NONE, PATCH, REPLACE, RESIZE, attempt_of, decide, next_attempt
from .file_containers import holds_files
from .indexes import find_left
from .live_state import find_correction, has_shortened_deadline, restorable, without_set
from .needs import in_order, why_again
from .network_policy import build_policy, policy_name
from .observation import Observation, Observer, TaskName, owner_job
from .outputs import why_incomplete
from .owner import Parent, Parents
from .pod_security import AUTO, check_level, profile_of, read_level
from .pod_template import build_manifest
from .record import Record, move_record, read_record
from .runner_options import RunnerOptions
from .server_support import ServerSupport
from .task_plan import DELETE, BatchPlan, Listed, TaskPlan, created_at
from .task_run import status_of
from .task_spec import TaskSpec


class Planner:
    """Plans tasks.

    Args:
        specs: the tasks, all validated.
        elsewhere: requested tasks that are planned for other clusters, so that they are not pruned.
    """

    def __init__(self, client: Client, specs: Sequence[TaskSpec], options: RunnerOptions, console: Console, elsewhere: Iterable[TaskName] = ()) -> None:
        self._client = client
        self._elsewhere = set(elsewhere)
        self._specs = specs
        self._options = options
        self._console = console
        self._is_deletion = options.state == "absent"
        self._parents = Parents(client)
        self._levels: dict[str, str] = {}
        self._support = ServerSupport(client)
        self._queues: dict[tuple[str, str], Manifest | None] = {}

    def plan(self, sets: Iterable[tuple[str, str]] = (), seen: Observation | None = None) -> BatchPlan:
        """Observe and decide.

        Args:
            sets: (namespace, set name) of sets whose tasks are all known: with `prune`, other tasks of the set are deleted.
            seen: what was observed already, or None.

        Raises: PodwrightError.
        """
        sets = set(sets)
        seen = seen or Observer(self._client, self._console, self._specs, sets, self._is_deletion).observe(self._options.prune)
        found = seen.by_task()
        planned: dict[TaskName, TaskPlan] = {}
        for spec in in_order(self._specs):
            planned[spec.task_name] = self._plan_task(spec, found.pop(spec.task_name, []), seen, [planned[need] for need in spec.needs])
        plans = [planned[spec.task_name] for spec in self._specs]
        if self._options.prune:
            plans += self._plan_pruning(found, seen, sets)
        return BatchPlan(tuple(plans), seen.lists, seen.selectors)

    def _plan_pruning(self, found: dict[TaskName, list[Listed]], seen: Observation, sets: set[tuple[str, str]]) -> list[TaskPlan]:
        """Plan to delete what is left of tasks that are no longer requested, and their records."""
        named = {(spec.namespace, spec.name) for spec in self._specs}
        for task, item in (*seen.records.items(), *seen.placements.items()):
            if self._is_deletion or task not in named:
                found.setdefault(task, []).append((CONFIG_MAP, item))
        plans = []
        for (namespace, name), objects in found.items():
            own = [(kind, item) for kind, item in objects if not owner_job(item)]  # the pods of a Job keep the set that it had first
            if not own or (namespace, name) in self._elsewhere:
                continue
            if (namespace, label_of(own[0][1], SET)) in sets or (namespace, name) in named:
                plans += [_plan_object_deletion(kind, item) for kind, item in own]
        return plans

    def _plan_task(self, spec: TaskSpec, objects: list[Listed], seen: Observation, needs: Sequence[TaskPlan]) -> TaskPlan:
        own = next((item for kind, item in objects if kind == spec.kind and not owner_job(item)), None)
        others = tuple((kind, item) for kind, item in objects if item is not own and not (kind == POD and owner_job(item)))
        pods = tuple(item for kind, item in objects if own and owner_job(item) == own["metadata"]["uid"])
        remains = _pods_of_deleted_jobs(objects)
        if self._is_deletion:
            return _plan_task_deletion(spec, own, pods, others + remains)
        known = seen.records.get((spec.namespace, spec.name))
        kept = _kept_record(known, own, pods) if spec.keeps_record else None
        live = None if own and kept and own["metadata"].get("deletionTimestamp") else own  # its record replaces it already
        record = read_record(known) if known and live is None and spec.keeps_record else None
        status = status_of(spec, live, list(pods), record)
        parent, orphaned = self._find_parent(spec)
        action, note = decide(spec, live, status, record, parent, _why_incomplete(spec, live, pods, record or kept))
        if action == REPLACE and spec.options["on_immutable"] == "fail" and live is not None:
            _check_immutable(spec, live, status)
        if action in (NONE, RESIZE) and spec.options["rerun"] != "never" and (again := why_again(created_at(live, record), needs)):
            action, note = (REPLACE if live else CREATE), again
        if others:
            action, note = _replace_others(spec, others)
        level = self._level(spec)
        profile = profile_of(spec.options["security_profile"], level)
        if action in (NONE, RESIZE):
            attempt = attempt_of(live) if live else record.attempt if record else 1
            manifest = build_manifest(spec, profile, attempt, parent)
            change = Change(action, key_of(manifest, spec.kind), spec.kind, manifest, live, live, note=note)
            if action == NONE:
                change = _plan_correction(spec, live, change, status) if live else _plan_record_correction(spec, known, change)
            policy = self._plan_policy_correction(spec, live, seen) if live else None
            return TaskPlan(change, spec, live, pods, (), attempt, profile, parent, policy, record, kept, status)
        attempt = next_attempt(spec, live, status, record)
        note = "; ".join(filter(None, (note, self._admit(spec, parent, own, orphaned))))
        manifest = build_manifest(spec, profile, attempt, parent)
        check_level(spec, manifest, level)
        self._support.check(spec.options, spec.kind, spec.namespace, manifest)
        _check_policy(spec, seen)
        patch = creation_patch(manifest) if action == CREATE else []
        change = Change(action, key_of(manifest, spec.kind), spec.kind, manifest, own, manifest, patch, note)
        to_delete = (*others, *remains, (spec.kind, own)) if own else others + remains
        return TaskPlan(change, spec, own, pods, to_delete, attempt, profile, parent, plan_policy(spec))

    def _find_parent(self, spec: TaskSpec) -> tuple[Parent | None, PodwrightError | None]:
        """(its Parent or None, the error if it should have one): a finished task no longer needs its parent."""
        try:
            return self._parents.find(spec), None
        except PodwrightError as error:
            if error.reason != "NoParent":
                raise
            return None, error

    def _admit(self, spec: TaskSpec, parent: Parent | None, live: Manifest | None, orphaned: PodwrightError | None) -> str:
        """Check the parent and the queue of a task that is to be created. Returns: a note for the plan. Raises: PodwrightError."""
        if orphaned and not self._options.check_mode:
            raise orphaned
        if parent:
            self._parents.admit(spec, parent, live)
        unqueued = self._check_queue(spec) if spec.options.get("queue") else ""
        return "; ".join(filter(None, ("predicted locally: its parent does not exist yet" if orphaned else "", unqueued)))

    def _check_queue(self, spec: TaskSpec) -> str:
        """A task whose queue does not exist would wait until its timeout; in check mode, an earlier task may create it.

        Returns: a note for the plan.
        Raises: PodwrightError.
        """
        place, kind = (spec.namespace, spec.options["queue"]), self._client.kinds.find_served(GROUP, LOCAL_QUEUE)
        is_known = place in self._queues
        if not is_known:
            self._queues[place] = self._client.get(kind, *place)
        if self._queues[place] is not None:
            return ""
        prediction = "predicted locally: its LocalQueue does not exist yet"
        if is_known and self._options.check_mode:
            return prediction
        problem = f"LocalQueue '{place[1]}' does not exist in namespace '{spec.namespace}'; queues: {self._name_queues(kind, spec.namespace)}."
        if not self._options.check_mode:
            message = f"The task '{spec.name}' cannot be queued: {problem}"
            raise PodwrightError(message, reason="NoQueue", hint="Create the LocalQueue first, or correct queue.")
        self._console.warn(f"{problem} Create it before the task '{spec.name}' runs, or correct queue.")
        return prediction

    def _name_queues(self, kind: Kind, namespace: str) -> str:
        try:
            return ", ".join(sorted(item["metadata"]["name"] for item in self._client.list(kind, namespace)[0])) or "none"
        except PodwrightError as error:
            return f"unknown ({error.reason})"

    def _plan_policy_correction(self, spec: TaskSpec, live: Manifest, seen: Observation) -> Change | None:
        """The change that restores the NetworkPolicy of a task that stays, or None if nothing differs."""
        known = seen.policies.get(spec.namespace)
        manifest = build_policy(spec.name, spec.namespace, spec.options["network"], owner_reference(live))
        if known is None or manifest is None:
            return None
        key, policy = key_of(manifest, NETWORK_POLICY), known.get(manifest["metadata"]["name"])
        change = plan({key: (NETWORK_POLICY, manifest)}, {key: policy} if policy else {}, MANAGER, takes_over=False)[0]
        return change if change.is_change else None

    def _level(self, spec: TaskSpec) -> str:
        """The Pod Security level that the namespace enforces, if the profile depends on it."""
        if spec.options["security_profile"] != AUTO:
            return ""
        if spec.namespace not in self._levels:
            self._levels[spec.namespace] = read_level(self._client, spec.namespace)
        return self._levels[spec.namespace]


def _kept_record(known: Manifest | None, live: Manifest | None, pods: tuple[Manifest, ...]) -> Record | None:
    """The record of an earlier run if that recorded a live pod, or None."""
    record = read_record(known) if known and live else None
    return record if record and record.uid in {item["metadata"]["uid"] for item in (live, *pods) if item} else None


def _why_incomplete(spec: TaskSpec, live: Manifest | None, pods: Collection[Manifest], record: Record | None) -> str:
    """Why a task that succeeded in an earlier run must run again for what it left; an empty text if it need not."""
    lost = why_incomplete(spec.options, record, live is not None and holds_files(live))
    if lost or spec.options["rerun"] != "on_failure" or (spec.leaves_files and (record is None or record.results is None)):
        return lost
    left = find_left(spec, deciding_pod(live, pods) if spec.is_job else live, pods, record, is_success=True)
    return f"it did not leave all that it should ({left.problems[0].reason})" if left.problems else ""


def _plan_correction(spec: TaskSpec, live: Manifest, change: Change, status: Status | None) -> Change:
    """The change that restores in place what others changed of a live Pod or Job, or the change as it is if nothing differs."""
    desired = restorable(spec, live, change.desired or {}, status is not None and status.is_finished)
    correction = find_correction(spec, live, desired)
    if not correction:
        return change
    after = merge(live, correction)
    after = after if spec.set_name else without_set(after)
    suspended = correction.get("spec", {}).get("suspend")
    edited = "its set changed" if correction.get("metadata") == {"labels": {SET: spec.set_name or None}} else "it was changed by others"
    note = edited if suspended is None else "it is suspended" if suspended else "it is resumed"
    return replace(change, action=PATCH, after=after, patch=difference(live, after), note=note)


def _plan_record_correction(spec: TaskSpec, known: Manifest | None, change: Change) -> Change:
    """The change of the set of a record that replaces a Pod or Job, or the change as it is if its set is the same."""
    if known is None or (label_of(known, SET) or "") == (spec.set_name or ""):
        return change
    after = move_record(known, spec.set_name)
    patch = difference(known, after)
    return Change(PATCH, key_of(after, CONFIG_MAP), CONFIG_MAP, bare(after), known, after, patch, f"its set changed; {change.note}")


def _check_policy(spec: TaskSpec, seen: Observation) -> None:
    """Refuse to overwrite the NetworkPolicy of somebody else, which may protect other pods. Raises: PodwrightError."""
    policy = seen.policies.get(spec.namespace, {}).get(policy_name(spec.name))
    if policy is None or owned_fields(policy, MANAGER) or (label_of(policy, MANAGED_BY) == MANAGED[MANAGED_BY] and label_of(policy, TASK) == spec.name):
        return
    raise PodwrightError(
        f"NetworkPolicy '{policy_name(spec.name)}' in namespace '{spec.namespace}' exists already and does not belong to the task '{spec.name}'.",
        reason="AlreadyExists",
        hint="Give the task another name, or delete the existing object.",
    )


def plan_policy(spec: TaskSpec) -> Change | None:
    """The creation of the NetworkPolicy that a task's `network` asks for, or None; it exists before the pod, which owns it afterwards."""
    manifest = build_policy(spec.name, spec.namespace, spec.options["network"])
    if manifest is None:
        return None
    return Change(CREATE, key_of(manifest, NETWORK_POLICY), NETWORK_POLICY, manifest, after=manifest, patch=creation_patch(manifest))


def _pods_of_deleted_jobs(objects: list[Listed]) -> tuple[Listed, ...]:
    """Pods whose Job was deleted, and that are not garbage-collected yet."""
    jobs = {item["metadata"]["uid"] for kind, item in objects if kind == JOB}
    return tuple((kind, item) for kind, item in objects if kind == POD and (job := owner_job(item)) and job not in jobs)


def _plan_task_deletion(spec: TaskSpec, own: Manifest | None, pods: tuple[Manifest, ...], others: tuple[Listed, ...]) -> TaskPlan:
    """An object that is being deleted already is waited for, and does not count as a change."""
    to_delete = (*others, (spec.kind, own)) if own else others
    is_change = any(not item["metadata"].get("deletionTimestamp") for _kind, item in to_delete)
    key = Key(spec.kind.group, spec.kind.name, spec.namespace, spec.name)
    return TaskPlan(Change(DELETE if is_change else NONE, key, spec.kind, before=own), spec, own, pods, to_delete)


def _plan_object_deletion(kind: Kind, item: Manifest) -> TaskPlan:
    is_change = not item["metadata"].get("deletionTimestamp")
    return TaskPlan(Change(DELETE if is_change else NONE, key_of(item, kind), kind, before=item), to_delete=((kind, item),))


def _check_immutable(spec: TaskSpec, live: Manifest, status: Status | None) -> None:
    """Refuse the replacement of a Pod or Job because it changed, rather than to run its task again. Raises: PodwrightError."""
    if label_of(live, HASH) != spec.hash:
        raise immutable_error(spec)
    if status and not status.is_finished and has_shortened_deadline(spec, live):
        raise immutable_error(spec, what="deadline")


def _replace_others(spec: TaskSpec, others: Iterable[Listed]) -> tuple[Action, str]:
    """The decision for a task with objects of another kind. Raises: PodwrightError if they must not be replaced."""
    kind = next((kind for kind, item in others if kind != spec.kind and not item["metadata"].get("deletionTimestamp")), None)
    if kind and spec.options["on_immutable"] == "fail":
        raise immutable_error(spec, f"a {kind.name} cannot become a {spec.kind.name}", what="kind")
    if kind and spec.options["rerun"] == "never":
        raise PodwrightError(
            f"The task '{spec.name}' in namespace '{spec.namespace}' is a {kind.name} and cannot be replaced by a {spec.kind.name}, because rerun is never.",
            reason="Immutable",
            hint=f"Set kind to {kind.name}, set rerun to on_change, or give the task another name.",
        )
    return REPLACE, "it was of another kind"


def immutable_error(spec: TaskSpec, why: str = "a pod cannot be changed in place", what: str = "options") -> PodwrightError:
    """The error for a task whose pod or Job would have to be replaced, which on_immutable does not allow."""
    return PodwrightError(
        f"The {what} of task '{spec.name}' changed, and {why.rstrip('.')}.",
        reason="Immutable",
        hint="Set on_immutable to replace, or give the task another name.",
    )
