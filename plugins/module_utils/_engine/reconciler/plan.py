# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From desired and live state to a list of changes. Nothing here sends a request."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..text import json_text
from .fields import is_current, owned_fields
from .manifest import SERVER_ANNOTATIONS, Redactor, bare, difference, predict, predict_successor, replicas_of
from .ownership import released_entries
from .waves import wave_of

if TYPE_CHECKING:
    from ..cluster.kinds import Kind
    from ..errors import PodwrightError
    from ..objects.key import Key
    from ..values import Manifest, Patch, Result
    from .members import Member

Action: TypeAlias = Literal["create", "patch", "replace", "resize", "delete", "none"]
Desired: TypeAlias = "Mapping[Key, tuple[Kind, Manifest]]"
"""Desired objects by Key, each with its Kind and clean manifest."""

NOT_PREDICTED = "predicted locally: a webhook does not support dry run"  # the note of such a change
# Kubernetes creates these in every cluster or namespace: it would create a deleted one again, without what others put there, or refuses the deletion.
_INHERENT = frozenset(
    [("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")]
    + [("Namespace", name) for name in ("default", "kube-system", "kube-public", "kube-node-lease")]
)
_API_SERVER = frozenset([("", "Service"), ("", "Endpoints"), ("discovery.k8s.io", "EndpointSlice")])  # `kubernetes` in the namespace default


@dataclass(frozen=True)
class Merge:
    """A patch to send as it is.

    Attributes:
        body: the fields to merge, or the operations of an RFC 6902 patch.
        content_types: those to try, in order, until the API server supports one for the kind.
    """

    body: Manifest | Patch
    content_types: tuple[str, ...]

    @property
    def shown(self) -> list[str]:
        """What the patch names of the metadata that servers usually set."""
        text = json_text(self.body).replace("~1", "/")
        return [name for name in ("managedFields", *SERVER_ANNOTATIONS) if name in text]


@dataclass(frozen=True)
class Change:
    """One entry of a plan: what is to be done to an object. A plan is never changed; what was done is an Applied.

    Attributes:
        action: `none` if the object stays as it is.
        desired: the manifest to apply, or None.
        before: the live object, or None if there is none.
        after: the object after the change, as predicted; None if it is deleted.
        patch: the difference from before to after (RFC 6902); the desired manifest if the object is created.
        note: why the action is not the obvious one, or an empty string.
        merge: what to send instead of applying `desired`, or None; its effect is not predicted locally.
        error: why it cannot be carried out, or has not been, or None.
    """

    action: Action
    key: Key
    kind: Kind
    desired: Manifest | None = None
    before: Manifest | None = None
    after: Manifest | None = None
    patch: Patch = field(default_factory=list)
    note: str = ""
    merge: Merge | None = None
    error: PodwrightError | None = None

    @property
    def is_change(self) -> bool:
        """Whether the action is any other than `none`."""
        return self.action != "none"

    def predicted(self, after: Manifest) -> Change:
        """The change as the API server answered to its dry run."""
        action, patch = self._resolve(self.action, after)
        return Change(action, self.key, self.kind, self.desired, self.before, after, patch, self.note)

    @property
    def successor(self) -> Manifest:
        """The manifest of a new object in place of the live one: it keeps the number of replicas that the manifest leaves to others."""
        return _with_replicas(self.desired or {}, self.before)

    def creation(self, note: str) -> Change:
        """The creation of the desired object, since the live one does not exist any more."""
        desired = self.successor
        return Change("create", self.key, self.kind, desired, None, desired, creation_patch(desired), note)

    def replacement(self, note: str) -> Change:
        """The replacement of the object, as predicted locally: the new one lacks what others have set."""
        before = self.before or {}
        after = predict_successor(before, self.successor)
        return replace(self, action="replace", after=after, patch=difference(before, after), note=note)

    def applied(self, after: Manifest | None, *, action: Action | None = None, note: str = "") -> Applied:
        """The change carried out.

        Args:
            after: the object as the API server answered, or None if it was deleted.
            action: what was done if it is not what was planned.
        """
        done, patch = self._resolve(action or self.action, after)
        return Applied(done, self.key, self.kind, self.desired, self.before, after, patch, note or self.note)

    def not_applied(self, note: str = "") -> Applied:
        """The change, none of which was carried out."""
        return Applied("none", self.key, self.kind, self.desired, self.before, self.before, note=note or self.note)

    def deleted_only(self, note: str = "") -> Applied:
        """The replacement of an object that was deleted and not created again."""
        return Applied("delete", self.key, self.kind, self.desired, self.before, note=note or self.note)

    def _resolve(self, action: Action, after: Manifest | None) -> tuple[Action, Patch]:
        """The action and its patch: a patch that changes nothing is none."""
        if action not in ("patch", "resize", "replace") or self.before is None or after is None:
            return action, self.patch
        patch = difference(self.before, after, self.merge.shown if self.merge else ())
        return (action if patch or action != "patch" else "none"), patch

    def describe(self, redactor: Redactor) -> Result:
        """The entry in the result's `plan`, with secret values redacted."""
        entry = {
            "action": self.action,
            "api_version": self.kind.api_version,
            "kind": self.key.kind,
            "namespace": self.key.namespace,
            "name": self.key.name,
            "patch": self.shown_patch(redactor),
        }
        return entry | ({"note": self.note} if self.note else {}) | ({"failed": True} if self.error else {})

    @property
    def shown_after(self) -> Manifest | None:
        """The state after the change as a diff shows it: the desired manifest of an object that is created."""
        return None if self.action == "delete" else self.desired if self.action == "create" else self.after

    def shown_patch(self, redactor: Redactor) -> Patch:
        """The patch with secret values redacted: the difference between the redacted states."""
        if self.action in ("none", "delete") or not redactor.has_secrets(self.key.kind):
            return self.patch
        if self.before is None or self.after is None or self.action == "create":
            return creation_patch(redactor.redact(self.desired)) if self.desired else []
        return difference(redactor.redact(self.before), redactor.redact(self.after))


@dataclass(frozen=True)
class Applied(Change):
    """What carrying out a change did: the fields of the Change say what happened instead of what is planned."""


def plan(
    desired: Desired,
    live: Mapping[Key, Manifest],
    manager: str,
    autoscaled: Collection[Key] = frozenset(),
    prune: Iterable[Member] = (),
    takes_over: bool = True,
    unread: Mapping[Key, PodwrightError] = MappingProxyType({}),
) -> list[Change]:
    """The changes that turn the live state into the desired state.

    Args:
        live: the live objects among the desired ones.
        manager: the field manager that applies.
        autoscaled: Keys of objects that an autoscaler scales; their `spec.replicas` is not applied, unless they are created.
        prune: members that left the set.
        takes_over: whether fields of the manifests are taken from managers that do not apply them.
        unread: why the live objects of some Keys are unknown; what to do with these cannot be carried out.

    Returns: the changes in the order of their waves, deletions last. Each patch is a prediction until the API server answers.
    """
    changes = []
    for key, (kind, manifest) in desired.items():
        wanted, item = _wanted(manifest, live.get(key), key in autoscaled), live.get(key)
        is_known = key not in unread
        changes.append(_plan_one(key, kind, wanted, item, manager, takes_over) if is_known else Change("none", key, kind, wanted, error=unread[key]))
    changes.sort(key=lambda change: wave_of(change.key))
    return changes + plan_removal(prune, manager)


def is_inherent(kind: Kind, name: str, namespace: str) -> bool:
    """Whether Kubernetes keeps an object of this name in every cluster or namespace."""
    if (namespace, name) == ("default", "kubernetes"):
        return (kind.group, kind.name) in _API_SERVER
    return not kind.group and (kind.name, name) in _INHERENT


def plan_removal(members: Iterable[Member], manager: str) -> list[Change]:
    """The changes that remove members of a set: objects that Kubernetes itself keeps only lose the manager's fields, others are deleted."""
    members = list(members)
    inherent = [member for member in members if is_inherent(member.kind, member.key.name, member.key.namespace)]
    released = []
    for kind, key, item in inherent:
        metadata = {"name": key.name} | ({"namespace": key.namespace} if key.namespace else {})
        desired = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
        released.append(_plan_one(key, kind, desired, item, manager, True))
    return released + plan_deletions([member for member in members if member not in inherent])


def plan_deletions(members: Iterable[Member]) -> list[Change]:
    """The deletions of objects, in the reverse order of their waves; an object that is being deleted is not deleted again."""
    deletions = [_plan_deletion(key, kind, item) for kind, key, item in members]
    return sorted(deletions, key=lambda change: -wave_of(change.key))


def _plan_deletion(key: Key, kind: Kind, item: Manifest) -> Change:
    if item["metadata"].get("deletionTimestamp"):
        return Change("none", key, kind, before=item, note="it is being deleted already")
    return Change("delete", key, kind, before=item)


def _plan_one(key: Key, kind: Kind, desired: Manifest, before: Manifest | None, manager: str, takes_over: bool) -> Change:
    if before is None or before["metadata"].get("deletionTimestamp"):
        return Change("create", key, kind, desired, before, desired, creation_patch(desired))
    if is_current(desired, before, manager) and not (takes_over and released_entries(before, manager)):
        return Change("none", key, kind, desired, before, before)
    ours = owned_fields(before, manager)
    after = predict(before, desired, [] if ours is None else [ours])
    return Change("patch", key, kind, desired, before, after, difference(before, after))


def creation_patch(desired: Manifest) -> Patch:
    """A creation as a patch: the desired manifest, without the defaults that the API server sets."""
    return [{"op": "add", "path": "", "value": bare(desired)}]


def _wanted(manifest: Manifest, item: Manifest | None, is_autoscaled: bool) -> Manifest:
    """The manifest to apply: replicas that an autoscaler sets are left out, unless the object is new, for which they are the number to start from."""
    if item is None:
        return manifest
    released = _release_replicas(manifest, is_autoscaled)
    if not item["metadata"].get("deletionTimestamp"):
        return released
    # Many scale a workload to zero before they delete it.
    return _with_replicas(released, item) if replicas_of(item) else manifest


def _with_replicas(desired: Manifest, before: Manifest | None) -> Manifest:
    """A manifest with the replicas of the previous object if it has none of its own."""
    replicas, spec = replicas_of(before or {}), desired.get("spec", {})
    if replicas is None or not isinstance(spec, dict) or "replicas" in spec:
        return desired
    return desired | {"spec": spec | {"replicas": replicas}}


def _release_replicas(manifest: Manifest, is_autoscaled: bool) -> Manifest:
    if not is_autoscaled or replicas_of(manifest) is None:
        return manifest
    return manifest | {"spec": {key: value for key, value in manifest["spec"].items() if key != "replicas"}}
