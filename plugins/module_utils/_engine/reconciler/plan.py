# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From desired and live state to a list of changes. Nothing here talks to a server."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..objects.key import Key
from .fields import is_current, owned_fields
from .manifest import Redactor, bare, difference, predict
from .ownership import released_entries

if TYPE_CHECKING:
    from ..cluster.kinds import Kind
    from ..values import Manifest, Patch, Result

Action: TypeAlias = Literal["create", "patch", "replace", "resize", "delete", "none"]
Desired: TypeAlias = "Mapping[Key, tuple[Kind, Manifest]]"
"""Desired objects by Key, each with its Kind and clean manifest."""

# Deleted, these are created anew without what others put there, or cannot be deleted.
INHERENT = frozenset(
    [("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")]
    + [("Namespace", name) for name in ("default", "kube-system", "kube-public", "kube-node-lease")]
)
DELETING = "it is being deleted already"

# Objects are applied wave by wave and deleted the other way round.
WAVES = (
    "Namespace CustomResourceDefinition PriorityClass RuntimeClass StorageClass",
    "ServiceAccount ResourceQuota LimitRange Role ClusterRole",
    "RoleBinding ClusterRoleBinding",  # whether somebody may grant a role is checked against the role itself
    "ConfigMap Secret PersistentVolume PersistentVolumeClaim",
    "NetworkPolicy Service EndpointSlice Ingress IngressClass",
    "",  # whatever is not named: workloads and custom resources
    "HorizontalPodAutoscaler PodDisruptionBudget APIService ValidatingWebhookConfiguration MutatingWebhookConfiguration ValidatingAdmissionPolicy",
)
_WAVE_OF = {kind: number for number, kinds in enumerate(WAVES) for kind in kinds.split()}
_OTHERS = WAVES.index("")


def wave_of(kind_name: str) -> int:
    """The number of the wave a kind belongs to."""
    return _WAVE_OF.get(kind_name, _OTHERS)


@dataclass
class Change:
    """One step of a plan. After it was carried out, it says what really happened.

    Attributes:
        done: the action that was carried out so far, for where the rest of it fails.
    """

    action: Action
    key: Key
    kind: Kind
    desired: Manifest | None = None
    before: Manifest | None = None
    after: Manifest | None = None
    patch: Patch = field(default_factory=list)
    note: str = ""
    done: Action = "none"

    @property
    def is_change(self) -> bool:
        """Whether anything would be, or was, done."""
        return self.action != "none"

    def stop(self, note: str) -> None:
        """What was not carried out of it is no change."""
        self.note = note
        if self.action != self.done:
            self.action, self.patch = self.done, []
            self.after = None if self.done == "delete" else self.before

    def describe(self, redactor: Redactor) -> Result:
        """The entry of the result's `plan`; secret values are veiled."""
        entry = {
            "action": self.action,
            "api_version": self.kind.api_version,
            "kind": self.key.kind,
            "namespace": self.key.namespace,
            "name": self.key.name,
            "patch": self.shown_patch(redactor),
        }
        return entry | ({"note": self.note} if self.note else {})

    @property
    def shown_after(self) -> Manifest | None:
        """The state after the change as a difference should show it: a creation as it was asked for."""
        return None if self.action == "delete" else self.desired if self.action == "create" else self.after

    @staticmethod
    def shown(state: Manifest, redactor: Redactor) -> Manifest:
        """A state as it may be shown."""
        return bare(redactor.redact(state))

    def shown_patch(self, redactor: Redactor) -> Patch:
        """The patch with secret values veiled: the difference between the veiled states."""
        if self.action in ("none", "delete") or not redactor.has_secrets(self.key.kind):
            return self.patch
        if self.before is None or self.after is None or self.action == "create":
            return creation_patch(redactor.redact(self.desired)) if self.desired else []
        return difference(redactor.redact(self.before), redactor.redact(self.after))


def plan(
    desired: Desired,
    live: Mapping[Key, Manifest],
    manager: str,
    autoscaled: Collection[Key] = frozenset(),
    prune: Iterable[tuple[Kind, Key, Manifest]] = (),
    takes_over: bool = True,
) -> list[Change]:
    """What must be done to make live state as desired.

    Args:
        desired: mapping Key -> (Kind, clean manifest).
        live: mapping Key -> object, for those that exist.
        manager: the field manager we apply as.
        autoscaled: Keys whose `spec.replicas` an autoscaler holds; the field is left out for them.
        prune: (Kind, Key, object) of each member that left the set.
        takes_over: whether what the manifests name is to be ours alone, as far as nobody else applies it.

    Returns: list of Change in the order of their waves, deletes last and reversed. A `patch` is a prediction until the server answered.
    """
    changes = []
    for key, (kind, manifest) in desired.items():
        wanted = _release_replicas(manifest, key in autoscaled)
        changes.append(_plan_one(key, kind, wanted, live.get(key), manager, takes_over))
    changes.sort(key=lambda change: wave_of(change.key.kind))
    return changes + plan_removal(prune, manager)


def plan_removal(members: Iterable[tuple[Kind, Key, Manifest]], manager: str) -> list[Change]:
    """Changes that remove (Kind, Key, object) triples from a set: what Kubernetes itself keeps in every cluster or namespace loses our fields only."""
    members = list(members)
    inherent = [member for member in members if (member[1].kind, member[1].name) in INHERENT]
    released = []
    for kind, key, item in inherent:
        metadata = {"name": key.name} | ({"namespace": key.namespace} if key.namespace else {})
        desired = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
        released.append(_plan_one(key, kind, desired, item, manager, True))
    return released + plan_deletes([member for member in members if member not in inherent])


def plan_deletes(members: Iterable[tuple[Kind, Key, Manifest]]) -> list[Change]:
    """Deletes for (Kind, Key, object) triples, in the reverse order of waves; an object whose deletion began is not deleted again."""
    deletes = [_plan_delete(key, kind, item) for kind, key, item in members]
    return sorted(deletes, key=lambda change: -wave_of(change.key.kind))


def _plan_delete(key: Key, kind: Kind, item: Manifest) -> Change:
    if item["metadata"].get("deletionTimestamp"):
        return Change("none", key, kind, before=item, note=DELETING)
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
    """A creation as a patch: the desired state from nothing (what the server defaults is not part of the plan)."""
    return [{"op": "add", "path": "", "value": bare(desired)}]


def _release_replicas(manifest: Manifest, is_autoscaled: bool) -> Manifest:
    if not is_autoscaled or "replicas" not in manifest.get("spec", {}):
        return manifest
    return manifest | {"spec": {key: value for key, value in manifest["spec"].items() if key != "replicas"}}
