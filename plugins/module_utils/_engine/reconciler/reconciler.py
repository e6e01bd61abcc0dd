# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reconciler: observe, plan, carry out, wait."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from ..cluster.client import MANAGER
from ..cluster.kinds import BUILT_IN, CONFIG_MAP, DEFINITION, NAMESPACE
from ..errors import UNKNOWN_KIND, PodwrightError, as_podwright_error
from ..objects.labels import PRUNE, PRUNE_ENABLED, annotation_of
from ..objects.readiness import PROGRESSING, Readiness, assess, is_held
from .contents import foreign_contents
from .desired import read_desired, read_undesired
from .executor import Executor
from .goal import condition_assessment
from .manifest import key_of
from .members import Member, copies_by_hand, is_ours, keep_sets, reject_foreign, reject_records, reject_strangers
from .observation import Observation, autoscaled_keys, observe, observe_set
from .outcome import Outcome
from .plan import Change, plan, plan_deletions, plan_removal
from .replacement import check_preconditions
from .sets import ApplySet
from .wait import explain_nothing, wait_until_ready

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..objects.key import Key
    from ..values import Manifest, Options
    from .patching import Patches
    from .plan import Desired

    _Verb: TypeAlias = "Callable[[Outcome, Iterable[Manifest], str, ApplySet | None], None]"

SERVICE_ACCOUNT = BUILT_IN["v1", "ServiceAccount"]


@dataclass(frozen=True)
class ReconcilerOptions:
    """How to reconcile, in the options of resource_set; `propagation` is its delete_options.propagation_policy, `delete_uid` and `delete_version`
    are its delete_options.preconditions, times are in seconds. With `keeps_existing`, objects that exist stay as they are."""

    check_mode: bool = False
    manager: str = MANAGER
    conflicts: str = "take"
    on_immutable: str = "fail"
    prune: bool = False
    concurrency: int = 10
    propagation: str | None = None
    grace_period: int | None = None
    wait: bool = True
    wait_timeout: float = 120
    wait_condition: Options | None = None
    delete_uid: str | None = None
    delete_version: str | None = None
    continue_on_error: bool = False
    adopt: bool = True
    keeps_existing: bool = False

    @property
    def takes_over(self) -> bool:
        """Whether fields that other managers own are taken from them."""
        return self.conflicts == "take"


class Reconciler:
    """Turns the live state of objects into their desired state.

    Args:
        explain: called with the Key of an object that does not become ready; returns text to append to the error.
        review: called with the plan as the API server's dry runs answer to it, before anything is written; raises to stop. None if nobody reviews it.
    """

    def __init__(
        self,
        client: Client,
        options: ReconcilerOptions,
        console: Console,
        explain: Callable[[Key], str] = explain_nothing,
        review: Callable[[list[Change]], None] | None = None,
    ):
        self._client = client
        self._options = options
        self._console = console
        self._explain = explain
        self._review = review
        self._executor = Executor(client, options, console)

    def apply(self, manifests: Iterable[Manifest], namespace: str, set_name: str | None = None) -> Outcome:
        """Create and change objects as the manifests describe them, and wait until they are ready. Returns: an Outcome, also of a failure.

        Args:
            namespace: the namespace of manifests that name none, and of the set.
            set_name: the name of the set that consists of these objects, or None.
        """
        return self._run(self._apply, manifests, namespace, set_name)

    def remove(self, manifests: Iterable[Manifest], namespace: str, set_name: str | None = None) -> Outcome:
        """Delete the objects that the manifests name; with `set_name`, also the other members of the set and its parent. As `apply` otherwise."""
        return self._run(self._remove, manifests, namespace, set_name)

    def patch(self, manifests: Iterable[Manifest], namespace: str, patches: Patches) -> Outcome:
        """Patch the objects that the manifests name, and wait until they are ready. As `apply` otherwise."""

        def verb(outcome: Outcome, manifests: Iterable[Manifest], namespace: str, _applyset: ApplySet | None) -> None:
            changes = patches.plan(self._client, manifests, namespace, self._options.concurrency, self._console)
            self._carry_out(outcome, changes, None)
            if self._options.wait and not self._options.check_mode:
                self._wait(outcome)

        return self._run(verb, manifests, namespace, None)

    def _run(self, verb: _Verb, manifests: Iterable[Manifest], namespace: str, set_name: str | None) -> Outcome:
        outcome = Outcome()
        try:
            verb(outcome, manifests, namespace, ApplySet(set_name, namespace, self._options.manager) if set_name else None)
        except Exception as error:
            outcome.error = as_podwright_error(error)
        return outcome

    def _apply(self, outcome: Outcome, manifests: Iterable[Manifest], namespace: str, applyset: ApplySet | None) -> None:
        options = self._options
        desired, unserved = read_desired(self._client, manifests, namespace, applyset)
        self._reject(unserved)
        found = self._observe(desired, applyset)
        reject_records(desired, found.live, applyset)
        if applyset:
            reject_foreign(self._client, applyset, found.live)
        else:
            desired = keep_sets(desired, found.live, options.manager)
        if not options.adopt:
            reject_strangers(found.live, applyset, options.manager)
        surplus = [member for member in found.members if member.key not in desired] if options.prune else []
        if applyset:
            # Until the pruned members are deleted, the parent records their kinds, too: the run after an interrupted one finds them.
            manifest = applyset.parent([*desired, *(member.key for member in found.members)], found.unlisted)
            desired[applyset.parent_key] = (CONFIG_MAP, manifest)
        pruned, kept = self._split_kept(surplus, desired, applyset)
        autoscaled = autoscaled_keys(self._client, desired, found.live, self._console, pruned)
        changes = plan(desired, found.live, options.manager, autoscaled, pruned, options.takes_over, found.unread)
        if options.keeps_existing:
            changes = [replace(change, action="none", after=change.before, patch=[]) if change.action == "patch" else change for change in changes]
        self._carry_out(outcome, changes + kept + _plan_copies(found, desired, options.manager) + unserved, applyset)
        if options.check_mode:
            return
        if applyset and pruned:
            members = [*(key for key in desired if key != applyset.parent_key), *(change.key for change in kept)]
            manifest = applyset.parent(members, found.unlisted)
            self._client.apply(CONFIG_MAP, applyset.namespace, applyset.parent_name, manifest, options.manager)
        if options.wait:
            self._wait(outcome, applyset)

    def _remove(self, outcome: Outcome, manifests: Iterable[Manifest], namespace: str, applyset: ApplySet | None) -> None:
        undesired, absent = read_undesired(self._client, manifests, namespace)
        self._reject(absent)
        found = self._observe(undesired, applyset)
        if applyset and self._options.adopt:
            reject_records(undesired, found.live, applyset)
            reject_foreign(self._client, applyset, found.live)
        named = {key: (kind, found.live[key]) for key, (kind, _manifest) in undesired.items() if key in found.live}
        adopt, manager = self._options.adopt, self._options.manager
        present = {key: Member(kind, key, item) for key, (kind, item) in named.items() if adopt or is_ours(item, applyset, manager)}
        members, kept = self._split_kept([member for member in found.members if member.key not in present], [], applyset, present.values())
        present |= {member.key: member for member in members}
        for key, member in present.items():
            check_preconditions(key, member.item, self._options.delete_uid, self._options.delete_version)
        changes = plan_removal(present.values(), self._options.manager) if applyset else plan_deletions(present.values())
        # The deletion of the parent's namespace deletes the parent.
        if applyset and found.parent and applyset.namespace_key not in present:
            why_kept = "could not be listed" if found.unlisted or found.unread else "are kept" if kept else ""
            changes += _plan_parent_deletion(applyset, found.parent, why_kept)
        missing = {key: kind for key, (kind, _manifest) in undesired.items() if key not in present}
        notes = dict.fromkeys(found.live, "kept: not ours, and adopt is false")
        changes += [change for change in absent if change.error]
        absent = [change for change in absent if not change.error]
        absent += [Change("none", key, kind, note=notes.get(key, "")) for key, kind in missing.items() if key not in found.unread]
        changes += [Change("none", key, missing[key], error=error) for key, error in found.unread.items()]
        self._carry_out(outcome, changes + kept + _plan_copies(found, undesired, manager), applyset)
        outcome.changes += absent

    def _split_kept(
        self, surplus: list[Member], desired: Collection[Key], applyset: ApplySet | None, named: Iterable[Member] = ()
    ) -> tuple[list[Member], list[Change]]:
        """The members to delete, and a Change that does nothing for each that is kept.

        These have the annotation that says so, or are namespaces and definitions whose deletion would delete other objects that stay, of the set or of others.

        Args:
            named: what is to be deleted since a manifest names it.
        """
        values = {member.key: annotation_of(member.item, PRUNE) for member in surplus}
        notes = {key: f"kept: its annotation {PRUNE} is {value}" for key, value in values.items() if value not in (None, PRUNE_ENABLED)}
        if applyset:
            _add_needed(notes, surplus, [*desired, *notes, *([applyset.parent_key] if notes else [])])
            deleted = [member for member in surplus if member.key not in notes]
            if foreign := foreign_contents(self._client, self._console, applyset, deleted, [*deleted, *named]):
                notes |= foreign
                _add_needed(notes, surplus, [applyset.parent_key])
        changes = [Change("none", key, kind, before=item, after=item, note=notes[key]) for kind, key, item in surplus if key in notes]
        return [member for member in surplus if member.key not in notes], changes

    def _reject(self, unserved: list[Change]) -> None:
        """Raises: PodwrightError for the first object whose kind is not served, unless the others are to be carried out."""
        for change in unserved:
            if change.error and not self._options.continue_on_error:
                raise change.error

    def _observe(self, desired: Desired, applyset: ApplySet | None) -> Observation:
        concurrency = self._options.concurrency
        found = observe_set(self._client, desired, applyset, concurrency, self._console) if applyset else observe(self._client, desired, concurrency)
        for error in found.unread.values():
            if not self._options.continue_on_error:
                raise error
        return found

    def _carry_out(self, outcome: Outcome, changes: list[Change], applyset: ApplySet | None) -> None:
        if self._review and not self._options.check_mode:
            rehearsal = Executor(self._client, replace(self._options, check_mode=True), self._console)
            self._review(list(rehearsal.carry_out(changes, applyset)))
        try:
            for change in self._executor.carry_out(changes, applyset):
                outcome.changes.append(change)
        except PodwrightError:
            if applyset and not self._options.check_mode:
                outcome.changes = _withdraw_record(self._client, outcome.changes, applyset)
            raise
        if self._review and self._options.check_mode:
            self._review(outcome.changes)

    def _wait(self, outcome: Outcome, applyset: ApplySet | None = None) -> None:
        """Wait until the objects are ready, or meet `wait_condition`. Raises: PodwrightError."""
        condition = self._options.wait_condition
        # Whoever patches an object that is being deleted, such as its finalizers, does not expect it to become ready.
        living = [change for change in outcome.changes if change.after and (condition or "deletionTimestamp" not in change.after["metadata"])]
        awaited = {change.key: (change.kind, change.after) for change in living if change.after}
        if applyset:
            awaited.pop(applyset.parent_key, None)
        how = {"assess_item": condition_assessment(condition)} if condition else {}
        latest = wait_until_ready(self._client, awaited, self._options.wait_timeout, self._console, explain=self._explain, **how)
        for change in outcome.changes:
            if change.key in latest and is_held(latest[change.key]) and not ((change.desired or {}).get("spec") or {}).get("paused"):
                self._console.warn(f"{change.key.title} is paused: its pods keep the earlier template until its rollout is resumed.")
            if change.kind == NAMESPACE and change.action == "create":
                self._wait_for_service_account(change.key.name)
        outcome.changes[:] = [replace(change, after=latest.get(change.key, change.after)) for change in outcome.changes]

    def _wait_for_service_account(self, namespace: str) -> None:
        """Wait for the default service account of a new namespace, without which pods are refused. Raises: PodwrightError."""
        probe = {"apiVersion": "v1", "kind": SERVICE_ACCOUNT.name, "metadata": {"name": "default", "namespace": namespace, "uid": ""}}
        awaited = {key_of(probe, SERVICE_ACCOUNT): (SERVICE_ACCOUNT, probe)}
        wait_until_ready(self._client, awaited, self._options.wait_timeout, self._console, _assess_existence)


def _withdraw_record(client: Client, changes: list[Change], applyset: ApplySet) -> list[Change]:
    """Delete the record of a new set again if the API server refused everything else.

    The record is written before the first member, or an interrupted run would leave members that no later run finds.

    Args:
        changes: what a failed run did.

    Returns: the changes, that of the record without effect if it was deleted.
    """
    record = next((change for change in changes if change.key == applyset.parent_key and change.action == "create"), None)
    others = [change for change in changes if change is not record]
    errors = [change.error for change in others if change.error]
    is_untouched = not any(change.is_change for change in others) and all(error.is_refusal or error.reason == UNKNOWN_KIND for error in errors)
    if record is None or record.after is None or not is_untouched:
        return changes
    metadata = record.after["metadata"]
    try:
        client.delete(record.kind, record.key.namespace, record.key.name, metadata["uid"], version=metadata["resourceVersion"])
    except PodwrightError:
        return changes  # the failure that is reported matters more, and the next run uses the record
    withdrawn = replace(record, action="none", after=None, patch=[], note="deleted again: the set has no member")
    return [withdrawn if change is record else change for change in changes]


def _assess_existence(item: Manifest) -> Readiness:
    """The readiness of an object that a controller creates: until then it has no uid."""
    return assess(item) if item["metadata"]["uid"] else Readiness(PROGRESSING, "it does not exist yet")


def _plan_copies(found: Observation, desired: Collection[Key], manager: str) -> list[Change]:
    """A Change that does nothing for each object that has the label of the set by a copy of a manifest."""
    note = f"kept: it has the label of the set, but {manager} has not applied it"
    copies = [copy for copy in copies_by_hand(found.copies) if copy.key not in desired]
    return [Change("none", key, kind, before=item, after=item, note=note) for kind, key, item in copies]


def _plan_parent_deletion(applyset: ApplySet, parent: Manifest, why_kept: str) -> list[Change]:
    if why_kept:
        return [Change("none", applyset.parent_key, CONFIG_MAP, before=parent, note=f"kept: members of the set {why_kept}")]
    return plan_deletions([Member(CONFIG_MAP, applyset.parent_key, parent)])


def _add_needed(notes: dict[Key, str], members: Iterable[Member], staying: Iterable[Key]) -> None:
    """Add the notes of namespaces and definitions without which objects that stay would be deleted."""
    staying = list(staying)
    namespaces, kinds = {key.namespace for key in staying}, {(key.group, key.kind) for key in staying}
    for member in members:
        if member.kind == NAMESPACE and member.key.name in namespaces:
            notes.setdefault(member.key, "kept: it contains objects of the set")
        elif member.kind == DEFINITION and (member.item["spec"]["group"], member.item["spec"]["names"]["kind"]) in kinds:
            notes.setdefault(member.key, "kept: it defines the kind of objects of the set")
