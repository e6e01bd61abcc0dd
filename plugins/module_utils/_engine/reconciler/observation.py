# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Live state, read with few requests: one LIST per kind and namespace if that takes fewer than one GET per object."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..cluster.kinds import AUTOSCALER, CONFIG_MAP
from ..errors import UNKNOWN_KIND, PodwrightError
from ..objects.key import Key
from ..objects.labels import AUTOSCALED, annotation_of
from ..threads import call_in_threads
from .manifest import key_of, replicas_of
from .members import Member, Refusal, is_controlled, list_recorded, reject_foreign, unlisted_places

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..console import Console
    from ..values import Manifest
    from .plan import Desired
    from .sets import ApplySet, Unlisted

FEW = 2  # up to this many objects of a kind and namespace are read with a GET each


@dataclass(frozen=True)
class Observation:
    """The live state.

    Attributes:
        live: the live objects that the manifests name, and the parent of the set.
        members: the members of the set that no controller created.
        parent: the set's parent object, or None.
        unlisted: the kinds of which there may be further members.
    """

    live: dict[Key, Manifest]
    members: list[Member] = field(default_factory=list)
    parent: Manifest | None = None
    unlisted: list[Unlisted] = field(default_factory=list)


def observe(client: Client, desired: Desired, concurrency: int) -> Observation:
    """The live objects among the desired ones. Raises: PodwrightError."""
    live, _members, _refusals = _read_places(client, desired, None, concurrency)
    return Observation(live)


def observe_set(client: Client, desired: Desired, applyset: ApplySet, concurrency: int, console: Console) -> Observation:
    """The live objects among the desired ones, and the members of the set. Warns of kinds that cannot be listed.

    Raises: PodwrightError if the set belongs to another tool, or one of the objects to another set.
    """
    live, members, refusals = _read_places(client, desired, applyset.selector, concurrency)
    parent = client.get(CONFIG_MAP, applyset.namespace, applyset.parent_name)
    applyset.check_parent(parent)
    reject_foreign(client, applyset, live)
    listed = {(kind, key.namespace) for key, (kind, _manifest) in desired.items()}
    recorded, unlisted = list_recorded(client, applyset, parent, listed)
    unlisted += unlisted_places(client, applyset, parent, refusals)
    for place in unlisted:
        console.warn(
            f"Members of the set '{applyset.name}' of kind {place.group_kind} cannot be listed; they are not deleted, and the set keeps "
            f"the kind in its record. {place.reason}"
        )
    found = {member.key: member for member in [*members, *recorded] if not is_controlled(member.item) and member.key != applyset.parent_key}
    return Observation(live | ({applyset.parent_key: parent} if parent else {}), list(found.values()), parent, unlisted)


def _read_places(client: Client, desired: Desired, label_selector: str | None, concurrency: int) -> tuple[dict[Key, Manifest], list[Member], list[Refusal]]:
    """The live objects, the objects that match the selector, and the places where those could not be listed."""
    places: defaultdict[tuple[Kind, str], list[Key]] = defaultdict(list)
    for key, (kind, _manifest) in desired.items():
        places[kind, key.namespace].append(key)
    live: dict[Key, Manifest] = {}
    members: list[Member] = []
    refusals: list[Refusal] = []
    for found, labeled, refused in call_in_threads(
        lambda place: _read_place(client, place[0], place[1], places[place], label_selector), places, max(1, concurrency)
    ):
        live |= found
        members += labeled
        refusals += refused
    return live, members, refusals


def _read_place(
    client: Client, kind: Kind, namespace: str, keys: Collection[Key], label_selector: str | None
) -> tuple[dict[Key, Manifest], list[Member], list[Refusal]]:
    labeled, error = _list(client, kind, namespace, label_selector) if label_selector else ([], None)
    members = [Member(kind, key_of(item, kind), item) for item in labeled or []]
    live = {member.key: member.item for member in members if member.key in keys}
    missing = [key for key in keys if key not in live]
    items = _list(client, kind, namespace)[0] if len(missing) > FEW else None
    if items is None:
        items = [item for item in (client.get(kind, key.namespace or None, key.name) for key in missing) if item]
    live |= {key: item for key, item in ((key_of(item, kind), item) for item in items) if key in keys}
    return live, members, [Refusal(kind, namespace, error)] if error else []


def _list(client: Client, kind: Kind, namespace: str, label_selector: str | None = None) -> tuple[list[Manifest] | None, PodwrightError | None]:
    """(items, None), or (None, the error) if listing is forbidden, which a GET may not be, or the server does not serve the kind."""
    try:
        return client.list(kind, namespace or None, label_selector=label_selector)[0], None
    except PodwrightError as error:
        if error.is_forbidden or error.reason == UNKNOWN_KIND:
            return None, error
        raise


def autoscaled_keys(client: Client, desired: Desired, live: Mapping[Key, Manifest], console: Console) -> frozenset[Key]:
    """The Keys of desired objects that an autoscaler scales, be it live, desired or pod_autoscale. Raises: PodwrightError.

    Warns of replicas that are about to change although autoscalers must not be listed.
    """
    scalable = {key: replicas_of(manifest) for key, (_kind, manifest) in desired.items() if replicas_of(manifest) is not None}
    if not scalable:
        return frozenset()
    autoscalers = [manifest for _kind, manifest in desired.values() if manifest["kind"] == AUTOSCALER.name]
    for namespace in {key.namespace for key in scalable if key.namespace}:
        found, error = _list(client, AUTOSCALER, namespace)
        autoscalers += found or []
        for key in scalable if error and error.is_forbidden else ():
            if key.namespace == namespace and key in live and replicas_of(live[key]) != scalable[key]:
                console.warn(f"Whether an autoscaler scales {key.kind} '{key.name}', whose replicas are about to be set, is unknown: {error}")
    targets = {key for key, item in live.items() if annotation_of(item, AUTOSCALED) is not None}
    return frozenset(scalable.keys() & (targets | set(map(target_of, autoscalers))))


def target_of(autoscaler: Manifest) -> Key:
    """The Key of the object that a HorizontalPodAutoscaler scales; of an invalid one, a Key that no object has."""
    spec = autoscaler.get("spec")
    target = spec.get("scaleTargetRef") if isinstance(spec, dict) else None
    version, kind, name = (str(target.get(field) or "") for field in ("apiVersion", "kind", "name")) if isinstance(target, dict) else ("", "", "")
    return Key(version.rpartition("/")[0], kind, autoscaler["metadata"].get("namespace", ""), name)
