# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine: observe, plan, apply in waves, wait."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ..cluster.client import MANAGER
from ..cluster.kinds import BUILT_IN, CONFIG_MAP, NAMESPACE, Kind
from ..errors import UNKNOWN_KIND, PodwrightError, as_podwright_error
from ..objects.key import Key
from ..objects.readiness import PROGRESSING, Readiness, assess
from .fields import owned_fields
from .manifest import clean, difference, key_of
from .members import Member, is_controlled, list_recorded, refuse_foreign, refused_places
from .observe import autoscaled_keys, observe
from .ownership import HANDOVER
from .plan import DELETING, Change, plan, plan_deletes, plan_removal, wave_of
from .replacement import check_replacement, immutable_fields
from .sets import ApplySet
from .takeover import take_over
from .wait import explain_nothing, wait_until_gone, wait_until_ready


@dataclass
class Options:
    """How to reconcile; the names are those of resource_set."""

    check_mode: bool = False
    manager: str = MANAGER
    conflicts: str = "take"
    on_immutable: str = "fail"
    prune: bool = False
    concurrency: int = 10
    propagation: str = "Background"
    grace_period: int | None = None
    wait: bool = True
    wait_timeout: float = 120


@dataclass
class Outcome:
    """What was done: the changes as far as they got, and the objects as they are (or, in check mode, would be).

    Attributes:
        error: what stopped it, or None.
    """

    changes: list[Change] = field(default_factory=list)
    error: PodwrightError | None = None

    def check(self) -> Outcome:
        """Itself. Raises: what stopped it."""
        if self.error:
            raise self.error
        return self

    @property
    def is_changed(self):
        """Whether anything was, or would be, changed."""
        return any(change.is_change for change in self.changes)

    @property
    def objects(self):
        """The objects after the change, without those deleted."""
        return [change.after for change in self.changes if change.after is not None]

    def summary(self):
        """Counts by action."""
        counts = {}
        for change in self.changes:
            counts[change.action] = counts.get(change.action, 0) + 1
        return counts


@dataclass(frozen=True)
class Observed:
    """What is there.

    Attributes:
        live: mapping Key -> object, of those that the manifests name.
        members: each Member of the set.
        parent: the set's parent object, or None.
        unlisted: each Unlisted kind, of which there may be members, too.
    """

    live: dict
    members: list = field(default_factory=list)
    parent: dict | None = None
    unlisted: list = field(default_factory=list)


class Reconciler:
    """Makes live state as desired.

    Args:
        client: a Client.
        options: Options.
        console: a Console.
        explain: called with the Key of an object that did not get ready; what it returns ends the error's message.
    """

    def __init__(self, client, options, console, explain: Callable[[Key], str] = explain_nothing):
        self._client = client
        self._options = options
        self._console = console
        self._explain = explain

    # -- the two verbs --------------------------------------------------------------------------------------

    def apply(self, manifests: list[dict], namespace: str, set_name: str | None = None) -> Outcome:
        """Create or change the objects so that they are as the manifests say.

        Args:
            manifests: list of manifests.
            namespace: for those that name none.
            set_name: the name of the set they are the whole of, or None.

        Returns: an Outcome, also if something failed.
        """
        return self._act(self._apply, manifests, namespace, set_name)

    def remove(self, manifests: list[dict], namespace: str, set_name: str | None = None) -> Outcome:
        """Delete the objects that the manifests name, and with `set_name` every member of the set and its parent."""
        return self._act(self._remove, manifests, namespace, set_name)

    @staticmethod
    def _act(verb, *arguments):
        outcome = Outcome()
        try:
            verb(outcome, *arguments)
        except Exception as error:
            outcome.error = as_podwright_error(error)
        return outcome

    def _apply(self, outcome, manifests, namespace, set_name):
        options = self._options
        applyset = ApplySet(set_name, namespace) if set_name else None
        desired = self._desired(manifests, namespace, applyset)
        found = self._observe(desired, applyset)
        gone = [member for member in found.members if member.key not in desired] if options.prune else []
        gone, kept = _without_namespaces_in_use(gone, desired, applyset)
        if applyset:
            # Until they are gone, the parent names the kinds of what is pruned, too: a killed run leaves nothing unknown.
            manifest = applyset.parent([*desired, *(member.key for member in found.members)], found.unlisted)
            desired[applyset.parent_key] = (CONFIG_MAP, manifest)
        changes = plan(desired, found.live, options.manager, autoscaled_keys(self._client, desired, found.live), gone, self._takes_over)
        self._settle(outcome, changes + kept, applyset)
        if applyset and gone and not options.check_mode:
            self._shrink_parent(applyset, [*(key for key in desired if key != applyset.parent_key), *(change.key for change in kept)], found.unlisted)
        if options.wait and not options.check_mode:
            self._wait_ready(outcome)

    def _remove(self, outcome, manifests, namespace, set_name):
        applyset = ApplySet(set_name, namespace) if set_name else None
        absent = []
        desired = self._desired(manifests, namespace, None, absent)
        found = self._observe(desired, applyset)
        to_delete = {key: Member(kind, key, found.live[key]) for key, (kind, _manifest) in desired.items() if key in found.live}
        to_delete |= {member.key: member for member in found.members}
        changes = plan_removal(list(to_delete.values()), self._options.manager) if applyset else plan_deletes(to_delete.values())
        # Deleting the namespace of the parent deletes the parent.
        if found.parent and applyset.namespace_key not in to_delete:
            changes.append(self._plan_parent_deletion(applyset, found))
        absent += [Change("none", key, kind) for key, (kind, _manifest) in desired.items() if key not in found.live]
        self._settle(outcome, changes, applyset)
        outcome.changes += absent

    # -- observing ------------------------------------------------------------------------------------------

    def _desired(self, manifests, namespace, applyset, absent=None):
        """Mapping Key -> (Kind, clean manifest).

        Args:
            absent: gets a Change for each object whose kind the server does not know; None makes them an error.

        Raises: PodwrightError on a bad manifest or two alike.
        """
        cleaned = [clean(manifest) for manifest in manifests]
        for manifest in cleaned:
            if manifest["kind"] == "CustomResourceDefinition" and absent is None:
                self._client.kinds.define(manifest)
        desired = {}
        for manifest in cleaned:
            try:
                kind = self._client.kinds.resolve(manifest["apiVersion"], manifest["kind"])
            except PodwrightError as error:
                if absent is None or error.reason != UNKNOWN_KIND:
                    raise
                kind = Kind(manifest["apiVersion"], manifest["kind"], "", "namespace" in manifest["metadata"])
                absent.append(Change("none", key_of(manifest, kind), kind, note="the server does not know its kind"))
                continue
            if kind.namespaced:
                manifest["metadata"].setdefault("namespace", namespace)
            else:
                manifest["metadata"].pop("namespace", None)
            key = key_of(manifest, kind)
            if key in desired:
                raise PodwrightError(f"Two definitions are alike: {key.title}.", reason="BadManifest", hint="Give each its own name.")
            desired[key] = (kind, applyset.mark(manifest) if applyset else manifest)
        return desired

    def _observe(self, desired, applyset):
        """What is there. Raises: PodwrightError if the set, or an object in it, belongs to somebody else."""
        wanted = {key: kind for key, (kind, _manifest) in desired.items()}
        live, members, refused = observe(self._client, wanted, applyset.selector if applyset else None, self._options.concurrency)
        if not applyset:
            return Observed(live)
        parent = self._client.get(CONFIG_MAP, applyset.namespace, applyset.parent_name)
        applyset.check_parent(parent)
        refuse_foreign(self._client, applyset, live)
        listed = {(kind, key.namespace) for key, kind in wanted.items()}
        recorded, unlisted = list_recorded(self._client, applyset, parent, listed)
        unlisted += refused_places(self._client, applyset, parent, refused)
        for place in unlisted:
            self._console.warn(
                f"Members of the set '{applyset.name}' of the kind {place.group_kind} could not be listed; they are not deleted, and the set keeps "
                f"the kind in its record. {place.reason}"
            )
        found = {member.key: member for member in [*members, *recorded] if not is_controlled(member.item) and member.key != applyset.parent_key}
        return Observed(live | ({applyset.parent_key: parent} if parent else {}), list(found.values()), parent, unlisted)

    @staticmethod
    def _plan_parent_deletion(applyset, found):
        deletion = Change("delete", applyset.parent_key, CONFIG_MAP, before=found.parent)
        if found.unlisted:
            deletion.action, deletion.note = "none", "kept: members of the set could not be listed"
        return deletion

    def _shrink_parent(self, applyset, keys, unlisted):
        manifest = applyset.parent(keys, unlisted)
        self._client.apply(CONFIG_MAP, applyset.namespace, applyset.parent_name, manifest, self._options.manager)

    # -- applying -------------------------------------------------------------------------------------------

    def _settle(self, outcome, changes, applyset):
        """Carry the plan out (or ask the server what it would do) wave by wave, concurrently inside a wave."""
        errors = []
        for wave in _waves(changes, applyset):
            with ThreadPoolExecutor(max(1, min(self._options.concurrency, len(wave)))) as pool:
                for change, error in pool.map(self._settle_safely, wave):
                    outcome.changes.append(change)
                    if error:
                        errors.append(error)
            if errors:
                if len(errors) > 1:
                    errors[0].message += f" ({len(errors) - 1} more objects failed.)"
                raise errors[0]
            self._finish_wave(wave)

    def _settle_safely(self, change):
        try:
            self._settle_one(change)
            return change, None
        except Exception as failure:
            error = as_podwright_error(failure)
            change.stop(str(error))
            return change, error

    def _settle_one(self, change):
        if change.action == "none":
            return
        if change.action == "delete":
            self._delete(change)
            return
        if self._options.check_mode:
            self._predict(change)
        else:
            self._write(change)

    def _write(self, change):
        if change.action == "create" and change.before:
            # The old one is on its way out: it must be gone before its name is free.
            wait_until_gone(self._client, {change.key: (change.kind, change.before)}, self._options.wait_timeout, self._console)
        if change.action == "patch":
            self._hand_over_replicas(change)
        try:
            after = self._server_apply(change)
        except PodwrightError as error:
            self._replace(change, error)
            return
        change.after = after
        if change.action == "patch":
            change.patch = difference(change.before, after)
            change.action = change.done = "patch" if change.patch else "none"
            if self._takes_over:
                is_first = owned_fields(change.before, self._options.manager) is None
                change.after = take_over(self._client, change.kind, after, self._options.manager, is_first)

    def _predict(self, change):
        """Ask the server by dry run; where it cannot say, the local prediction stands and the note tells why."""
        try:
            answer = self._server_apply(change, dry_run=True)
        except PodwrightError as error:
            if error.is_not_found or error.reason == UNKNOWN_KIND:
                change.note = "predicted locally: its namespace or definition does not exist yet"
                return
            if "dry run" in error.message or "dryRun" in error.message:
                change.note = "predicted locally: a webhook does not support dry run"
                return
            self._check_replacement(change, error)
            change.action, change.note = "replace", f"immutable: {immutable_fields(error)}"
            return
        if change.action == "patch":
            change.after, change.patch = answer, difference(change.before, answer)
            if not change.patch:
                change.action = "none"

    def _server_apply(self, change, dry_run=False):
        key = change.key
        force = self._options.conflicts == "take"
        return self._client.apply(change.kind, key.namespace, key.name, change.desired, self._options.manager, force, dry_run)

    @property
    def _takes_over(self):
        return self._options.conflicts == "take"

    def _hand_over_replicas(self, change):
        """Give replicas away before we stop applying them: as their only owner we would reset them to 1."""
        before, options = change.before, self._options
        ours = owned_fields(before, options.manager)
        if ours and "f:replicas" in ours.get("f:spec", {}) and "replicas" not in change.desired.get("spec", {}):
            handed = {key: change.desired[key] for key in ("apiVersion", "kind")}
            handed |= {"metadata": {"name": change.key.name}, "spec": {"replicas": before["spec"]["replicas"]}}
            self._client.apply(change.kind, change.key.namespace, change.key.name, handed, HANDOVER)

    # -- immutable fields -----------------------------------------------------------------------------------

    def _check_replacement(self, change, refusal):
        check_replacement(self._client, change, refusal, self._options.manager, self._options.on_immutable)

    def _replace(self, change, refusal):
        self._check_replacement(change, refusal)
        options, key = self._options, change.key
        self._client.delete(change.kind, key.namespace, key.name, change.before["metadata"]["uid"], "Foreground", options.grace_period)
        change.done, change.after = "delete", None
        try:
            wait_until_gone(self._client, {key: (change.kind, change.before)}, options.wait_timeout, self._console)
            change.after = self._server_apply(change)
        except PodwrightError as error:
            error.message = f"{change.key.title} was deleted to be replaced, and is not there again yet. {error.message}"
            error.hint = error.hint or "Run the task again: it creates what is missing."
            raise
        change.action, change.note = "replace", f"immutable: {immutable_fields(refusal)}"

    # -- deleting -------------------------------------------------------------------------------------------

    def _delete(self, change):
        options, key = self._options, change.key
        uid = change.before["metadata"]["uid"]
        existed = self._client.delete(change.kind, key.namespace, key.name, uid, options.propagation, options.grace_period, options.check_mode)
        if not existed:
            change.action, change.note = "none", "it was gone already"

    def _finish_wave(self, wave):
        """Before the next wave, deletes of this one are over and new definitions are served."""
        options = self._options
        if options.check_mode:
            return
        deleted = {c.key: (c.kind, c.before) for c in wave if c.before and not c.after and (c.action == "delete" or c.note == DELETING)}
        if deleted and options.wait:
            wait_until_gone(self._client, deleted, options.wait_timeout, self._console)
        definitions = {c.key: (c.kind, c.after) for c in wave if c.key.kind == "CustomResourceDefinition" and c.after}
        wait_until_ready(self._client, definitions, options.wait_timeout, self._console)

    # -- waiting --------------------------------------------------------------------------------------------

    def _wait_ready(self, outcome):
        waited = {change.key: (change.kind, change.after) for change in outcome.changes if change.after is not None}
        latest = wait_until_ready(self._client, waited, self._options.wait_timeout, self._console, explain=self._explain)
        self._await_service_accounts(outcome)
        for change in outcome.changes:
            change.after = latest.get(change.key, change.after)

    def _await_service_accounts(self, outcome):
        """A namespace is of use once its default service account is there: pods are refused before."""
        kind = BUILT_IN["v1", "ServiceAccount"]
        for change in outcome.changes:
            if change.kind == NAMESPACE and change.action == "create":
                # Listed and watched like any other wait: an object that is not there yet is simply progressing.
                probe = {"apiVersion": "v1", "kind": kind.name, "metadata": {"name": "default", "namespace": change.key.name, "uid": ""}}
                key = key_of(probe, kind)
                wait_until_ready(self._client, {key: (kind, probe)}, self._options.wait_timeout, self._console, _judge_appearance)


def _judge_appearance(item):
    """For an object that somebody else will make: one without a uid is not there yet."""
    return assess(item) if item["metadata"]["uid"] else Readiness(PROGRESSING, "it does not exist yet")


def _without_namespaces_in_use(gone, desired, applyset):
    """Of the members to prune, those without the namespaces of what stays, and a Change that does nothing for each of these."""
    in_use = {key.namespace for key in desired} | ({applyset.namespace} if applyset else set())
    kept = [member for member in gone if member.kind == NAMESPACE and member.key.name in in_use]
    changes = [Change("none", member.key, member.kind, before=member.item, after=member.item, note="kept: the set is in it") for member in kept]
    return [member for member in gone if member not in kept], changes


def _waves(changes, applyset):
    """The changes in groups of one wave each, in order; deletes come last."""
    groups = {}
    for change in changes:
        groups.setdefault(_order(change, applyset), []).append(change)
    return [groups[order] for order in sorted(groups)]


def _order(change, applyset):
    """Where a change stands among the others: a set's parent is there before its members, and until the last of them is gone."""
    number = wave_of(change.key.kind)
    if applyset and change.key == applyset.namespace_key:
        number = -2
    elif applyset and change.key == applyset.parent_key:
        number = -1
    is_deleted = change.action == "delete" or not change.desired
    return (1, -number) if is_deleted else (0, number)
