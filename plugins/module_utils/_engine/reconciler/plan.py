# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From desired and live state to a list of changes. Nothing here talks to a server."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..objects.key import Key
from .fields import is_current, owned_fields
from .manifest import bare, difference, predict
from .ownership import released_entries

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


def wave_of(kind_name):
    """The number of the wave a kind belongs to."""
    return _WAVE_OF.get(kind_name, _OTHERS)


@dataclass
class Change:
    """One step of a plan. After it was carried out, it says what really happened.

    Attributes:
        done: the action that was carried out so far, for where the rest of it fails.
    """

    action: str
    key: Key
    kind: object
    desired: dict | None = None
    before: dict | None = None
    after: dict | None = None
    patch: list = field(default_factory=list)
    note: str = ""
    done: str = "none"

    @property
    def is_change(self):
        """Whether anything would be, or was, done."""
        return self.action != "none"

    def stop(self, note: str) -> None:
        """What was not carried out of it is no change."""
        self.note = note
        if self.action != self.done:
            self.action, self.patch = self.done, []
            self.after = None if self.done == "delete" else self.before

    def describe(self, redactor):
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
    def shown_after(self):
        """The state after the change as a difference should show it: a creation as it was asked for."""
        return None if self.action == "delete" else self.desired if self.action == "create" else self.after

    @staticmethod
    def shown(state, redactor):
        """A state as it may be shown."""
        return bare(redactor.redact(state))

    def shown_patch(self, redactor):
        """The patch with secret values veiled: the difference between the veiled states."""
        if self.action in ("none", "delete") or not redactor.has_secrets(self.key.kind):
            return self.patch
        if self.action == "create" or self.before is None:
            return creation_patch(redactor.redact(self.desired))
        return difference(redactor.redact(self.before), redactor.redact(self.after))


def plan(desired, live, manager, autoscaled=frozenset(), prune=(), takes_over=True):
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


def plan_removal(members, manager):
    """Changes that remove (Kind, Key, object) triples from a set: what Kubernetes itself keeps in every cluster or namespace loses our fields only."""
    inherent = [member for member in members if (member[1].kind, member[1].name) in INHERENT]
    released = []
    for kind, key, item in inherent:
        metadata = {"name": key.name} | ({"namespace": key.namespace} if key.namespace else {})
        desired = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
        released.append(_plan_one(key, kind, desired, item, manager, True))
    return released + plan_deletes([member for member in members if member not in inherent])


def plan_deletes(members):
    """Deletes for (Kind, Key, object) triples, in the reverse order of waves; an object whose deletion began is not deleted again."""
    deletes = [Change("delete", key, kind, before=item) for kind, key, item in members]
    for change in deletes:
        if change.before["metadata"].get("deletionTimestamp"):
            change.action, change.note = "none", DELETING
    return sorted(deletes, key=lambda change: -wave_of(change.key.kind))


def _plan_one(key, kind, desired, before, manager, takes_over):
    if before is None or before["metadata"].get("deletionTimestamp"):
        return Change("create", key, kind, desired, before, desired, creation_patch(desired))
    if is_current(desired, before, manager) and not (takes_over and released_entries(before, manager)):
        return Change("none", key, kind, desired, before, before)
    ours = owned_fields(before, manager)
    after = predict(before, desired, [] if ours is None else [ours])
    return Change("patch", key, kind, desired, before, after, difference(before, after))


def creation_patch(desired):
    """A creation as a patch: the desired state from nothing (what the server defaults is not part of the plan)."""
    return [{"op": "add", "path": "", "value": bare(desired)}]


def _release_replicas(manifest, is_autoscaled):
    if not is_autoscaled or "replicas" not in manifest.get("spec", {}):
        return manifest
    return manifest | {"spec": {key: value for key, value in manifest["spec"].items() if key != "replicas"}}
