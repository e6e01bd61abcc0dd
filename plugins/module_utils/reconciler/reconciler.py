# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine: observe, plan, apply in waves, wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ..cluster.client import MANAGER
from ..cluster.errors import PodwrightError
from ..cluster.kinds import BUILT_IN, CONFIG_MAP, NAMESPACE
from .fields import owned_fields
from .manifest import Veil, clean, difference, key_of
from .observe import autoscaled_keys, observe
from .plan import Change, plan, plan_deletes, wave_of
from .ready import PROGRESSING, Verdict, judge
from .replacement import check_replacement, describe_object, immutable_fields
from .sets import ApplySet
from .takeover import take_over
from .wait import wait_until_gone, wait_until_ready

HANDOVER = "podwright-handover"


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
    """What was done: the changes, and the objects as they are (or, in check mode, would be)."""

    changes: list = field(default_factory=list)

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


class Reconciler:
    """Makes live state as desired.

    Args:
        client: a Client.
        options: Options.
        console: a Console.
    """

    def __init__(self, client, options, console):
        self._client = client
        self._options = options
        self._console = console
        self.veil = Veil()

    # -- the two verbs --------------------------------------------------------------------------------------

    def apply(self, manifests, namespace, set_name=None):
        """Create or change the objects so that they are as the manifests say.

        Args:
            manifests: list of manifests.
            namespace: for those that name none.
            set_name: the name of the set they are the whole of, or None.

        Returns: an Outcome. Raises: PodwrightError; its results hold the plan as far as it got.
        """
        options = self._options
        applyset = ApplySet(set_name, namespace) if set_name else None
        desired = self._desired(manifests, namespace, applyset)
        live, members, parent = self._observe(desired, applyset)
        gone = [member for member in members if member[1] not in desired] if options.prune else []
        if applyset:
            # Until they are gone, the parent names the kinds of what is pruned, too: a killed run leaves nothing unknown.
            self._add_parent(desired, applyset, [*desired, *(key for _kind, key, _item in members)])
            if parent:
                live[key_of(parent, CONFIG_MAP)] = parent
        changes = plan(desired, live, options.manager, autoscaled_keys(self._client, desired, live), gone, self._takes_over)
        outcome = self._settle(changes, applyset)
        if applyset and gone and not options.check_mode:
            self._shrink_parent(applyset, desired)
        if options.wait and not options.check_mode:
            self._wait_ready(outcome)
        return outcome

    def remove(self, manifests, namespace, set_name=None):
        """Delete the objects that the manifests name, and with `set_name` every member of the set and its parent."""
        applyset = ApplySet(set_name, namespace) if set_name else None
        desired = self._desired(manifests, namespace, None)
        live, members, parent = self._observe(desired, applyset)
        doomed = {key: (kind, key, live[key]) for key, (kind, _manifest) in desired.items() if key in live}
        if applyset:
            doomed |= {key: (kind, key, item) for kind, key, item in members}
        present = {key for key in doomed if not doomed[key][2]["metadata"].get("deletionTimestamp")}
        changes = plan_deletes([doomed[key] for key in doomed])
        if parent:
            changes.append(Change("delete", key_of(parent, CONFIG_MAP), CONFIG_MAP, before=parent))
        for change in changes:
            if change.key in doomed and change.key not in present:
                change.action, change.note = "none", "it is being deleted already"
        absent = [Change("none", key, kind) for key, (kind, _manifest) in desired.items() if key not in live]
        return Outcome(self._settle(changes, None).changes + absent)

    # -- observing ------------------------------------------------------------------------------------------

    def _desired(self, manifests, namespace, applyset):
        """Mapping Key -> (Kind, clean manifest). Raises: PodwrightError on a bad manifest or two alike."""
        cleaned = [clean(manifest) for manifest in manifests]
        for manifest in cleaned:
            if manifest["kind"] == "CustomResourceDefinition":
                self._client.kinds.define(manifest)
        desired = {}
        for manifest in cleaned:
            kind = self._client.kinds.resolve(manifest["apiVersion"], manifest["kind"])
            if kind.namespaced:
                manifest["metadata"].setdefault("namespace", namespace)
            else:
                manifest["metadata"].pop("namespace", None)
            key = key_of(manifest, kind)
            if key in desired:
                raise PodwrightError(f"Two definitions are alike: {key.kind} '{key.name}'{_in(key)}.", reason="BadManifest", hint="Give each its own name.")
            desired[key] = (kind, applyset.mark(manifest) if applyset else manifest)
        return desired

    def _observe(self, desired, applyset):
        wanted = {key: kind for key, (kind, _manifest) in desired.items()}
        live, members = observe(self._client, wanted, applyset.selector if applyset else None, self._options.concurrency)
        parent = None
        if applyset:
            parent = self._client.get(CONFIG_MAP, applyset.namespace, applyset.parent_name)
            listed = {(kind, key.namespace) for key, kind in wanted.items()}
            members += applyset.members_elsewhere(self._client, parent, listed)
            members = [member for member in members if member[1].name != applyset.parent_name]
        return live, members, parent

    @staticmethod
    def _add_parent(desired, applyset, keys):
        manifest = applyset.parent(keys)
        desired[key_of(manifest, CONFIG_MAP)] = (CONFIG_MAP, manifest)

    def _shrink_parent(self, applyset, desired):
        members = [key for key in desired if key.name != applyset.parent_name]
        manifest = applyset.parent(members)
        self._client.apply(CONFIG_MAP, applyset.namespace, applyset.parent_name, manifest, self._options.manager)

    # -- applying -------------------------------------------------------------------------------------------

    def _settle(self, changes, applyset):
        """Carry the plan out (or ask the server what it would do) wave by wave, concurrently inside a wave."""
        done, errors = [], []
        for wave in _waves(changes, applyset):
            with ThreadPoolExecutor(max(1, min(self._options.concurrency, len(wave)))) as pool:
                for change, error in pool.map(self._settle_safely, wave):
                    done.append(change)
                    if error:
                        errors.append(error)
            self._finish_wave(wave)
            if errors:
                first = errors[0]
                if len(errors) > 1:
                    first.message += f" ({len(errors) - 1} more objects failed.)"
                first.results = {"changes": done} | first.results
                raise first
        return Outcome(done)

    def _settle_safely(self, change):
        try:
            self._settle_one(change)
            return change, None
        except PodwrightError as error:
            change.note = str(error)
            change.action = "none"
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
            if self._takes_over:
                change.after = take_over(self._client, change.kind, after, self._options.manager)
            change.patch = difference(change.before, after)
            if not change.patch:
                change.action = "none"

    def _predict(self, change):
        """Ask the server by dry run; where it cannot say, the local prediction stands and the note tells why."""
        try:
            answer = self._server_apply(change, dry_run=True)
        except PodwrightError as error:
            if error.is_not_found:
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
        try:
            wait_until_gone(self._client, {key: (change.kind, change.before)}, options.wait_timeout, self._console)
            change.after = self._server_apply(change)
        except PodwrightError as error:
            error.message = f"{describe_object(change)} was deleted to be replaced, and is not there again yet. {error.message}"
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
        deleted = {c.key: (c.kind, c.before) for c in wave if c.before and not c.after and (c.action == "delete" or c.note == "it is being deleted already")}
        if deleted and options.wait:
            wait_until_gone(self._client, deleted, options.wait_timeout, self._console)
        definitions = {c.key: (c.kind, c.after) for c in wave if c.key.kind == "CustomResourceDefinition" and c.after}
        wait_until_ready(self._client, definitions, options.wait_timeout, self._console)

    # -- waiting --------------------------------------------------------------------------------------------

    def _wait_ready(self, outcome):
        waited = {change.key: (change.kind, change.after) for change in outcome.changes if change.after is not None}
        try:
            latest = wait_until_ready(self._client, waited, self._options.wait_timeout, self._console)
            self._await_service_accounts(outcome)
        except PodwrightError as error:
            error.results = {"changes": outcome.changes} | error.results
            raise
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
    return judge(item) if item["metadata"]["uid"] else Verdict(PROGRESSING, "it does not exist yet")


def _waves(changes, applyset):
    """The changes in groups of one wave each, in order; deletes come last."""
    groups = {}
    for change in changes:
        order = (1, -wave_of(change.key.kind)) if change.action == "delete" or not change.desired else (0, _wave(change, applyset))
        groups.setdefault(order, []).append(change)
    return [groups[order] for order in sorted(groups)]


def _wave(change, applyset):
    # The set's parent stands between its namespace and every other member.
    if applyset and change.key.name == applyset.parent_name and change.key.kind == "ConfigMap":
        return 0.5
    return wave_of(change.key.kind)


def _in(key):
    return f" in namespace '{key.namespace}'" if key.namespace else ""
