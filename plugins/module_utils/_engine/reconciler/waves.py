# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order in which objects are applied and deleted: in waves by kind, deletions last and in the reverse order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..cluster.kinds import BUILT_IN_GROUPS

if TYPE_CHECKING:
    from ..objects.key import Key
    from .plan import Change
    from .sets import ApplySet

WAVES = (
    "Namespace CustomResourceDefinition PriorityClass RuntimeClass StorageClass",
    "ServiceAccount ResourceQuota LimitRange Role ClusterRole",
    "RoleBinding ClusterRoleBinding",  # the API server checks a grant against the role itself
    "ConfigMap Secret PersistentVolume PersistentVolumeClaim",
    "NetworkPolicy Service EndpointSlice Ingress IngressClass",
    "",  # all other built-in kinds, such as workloads
    "*",  # custom resources: deleted before their controllers, which remove their finalizers
    "HorizontalPodAutoscaler PodDisruptionBudget APIService ValidatingWebhookConfiguration MutatingWebhookConfiguration ValidatingAdmissionPolicy",
)
_WAVE_OF = {kind: number for number, kinds in enumerate(WAVES) for kind in kinds.split()}
_OTHERS, _CUSTOM = WAVES.index(""), WAVES.index("*")


def wave_of(key: Key) -> int:
    """The number of the wave of an object's kind; a custom kind may have the name of a built-in one."""
    return _WAVE_OF.get(key.kind, _OTHERS) if key.group in BUILT_IN_GROUPS else _CUSTOM


def split_into_waves(changes: Iterable[Change], applyset: ApplySet | None) -> list[list[Change]]:
    """The changes in lists of one wave each, in the order in which to carry them out. Several of one object, which are patches, keep their order."""
    groups: defaultdict[tuple[bool, int, int], list[Change]] = defaultdict(list)
    seen: Counter[Key] = Counter()
    for change in changes:
        is_deletion, number = _position(change, applyset)
        groups[is_deletion, number, seen[change.key]].append(change)
        seen[change.key] += 1
    return [groups[position] for position in sorted(groups)]


def _position(change: Change, applyset: ApplySet | None) -> tuple[bool, int]:
    """The place of a change in the order: the parent of a set is created before its members and deleted after the last of them."""
    number = wave_of(change.key)
    if applyset and change.key == applyset.namespace_key:
        number = -2
    elif applyset and change.key == applyset.parent_key:
        number = -1
    is_deletion = change.action == "delete" or not change.desired
    return is_deletion, -number if is_deletion else number
