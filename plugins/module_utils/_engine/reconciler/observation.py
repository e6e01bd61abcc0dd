# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Live state, read with few requests: one LIST per kind and namespace if that takes fewer than one GET per object."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..cluster.kinds import AUTOSCALER, CONFIG_MAP
from ..errors import UNKNOWN_KIND, PodwrightError
from ..objects.controllers import controller_reference
from ..objects.key import Key
from ..objects.labels import AUTOSCALED, annotation_of
from ..threads import call_in_threads
from .manifest import key_of, replicas_of
from .members import Member, Refusal, is_copied, list_recorded, unlisted_places

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
        members: the members of the set.
        copies: further objects with the label of the set, which it has not applied.
        parent: the set's parent object, or None.
        unlisted: the kinds of which there may be further members.
        unread: why desired objects cannot be read.
    """

    live: dict[Key, Manifest]
    members: list[Member] = field(default_factory=list)
    copies: list[Member] = field(default_factory=list)
    parent: Manifest | None = None
    unlisted: list[Unlisted] = field(default_factory=list)
    unread: dict[Key, PodwrightError] = field(default_factory=dict)


def observe(client: Client, desired: Desired, concurrency: int) -> Observation:
    """The live objects among the desired ones. Raises: PodwrightError."""
    read = _read_places(client, desired, None, concurrency)
    return Observation(read.live, unread=read.unread)


def observe_set(client: Client, desired: Desired, applyset: ApplySet, concurrency: int, console: Console) -> Observation:
    """The live objects among the desired ones, and the members of the set. Warns of kinds that cannot be listed.

    Raises: PodwrightError if the set belongs to another tool.
    """
    read = _read_places(client, desired, applyset.selector, concurrency)
    parent = client.get(CONFIG_MAP, applyset.namespace, applyset.parent_name)
    applyset.check_parent(parent)
    applyset.read_appliers(parent)
    listed = {(key.group, key.kind, key.namespace) for key in desired}
    recorded, unlisted = list_recorded(client, applyset, parent, listed)
    unlisted += unlisted_places(client, applyset, parent, read.refusals)
    for place in unlisted:
        console.warn(
            f"Members of the set '{applyset.name}' of kind {place.group_kind} cannot be listed; they are not deleted, and the set keeps "
            f"the kind in its record. {place.reason}"
        )
    members: list[Member] = []
    copies: list[Member] = []
    for member in {member.key: member for member in (*read.members, *recorded) if member.key != applyset.parent_key}.values():
        (copies if is_copied(member.item, applyset) else members).append(member)
    return Observation(read.live | ({applyset.parent_key: parent} if parent else {}), members, copies, parent, unlisted, read.unread)


@dataclass
class _Read:
    """What was read: the live objects, those that match the selector, the places where these could not be listed, and why objects cannot be read."""

    live: dict[Key, Manifest] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    unread: dict[Key, PodwrightError] = field(default_factory=dict)


def _read_places(client: Client, desired: Desired, label_selector: str | None, concurrency: int) -> _Read:
    places: defaultdict[tuple[Kind, str], dict[Key, None]] = defaultdict(dict)  # sets that keep the order
    for key, (kind, _manifest) in desired.items():
        places[kind, key.namespace][key] = None
    everything = _Read()
    for read in call_in_threads(lambda place: _read_place(client, place[0], place[1], places[place], label_selector), places, max(1, concurrency)):
        everything.live |= read.live
        everything.members += read.members
        everything.refusals += read.refusals
        everything.unread |= read.unread
    return everything


def _read_place(client: Client, kind: Kind, namespace: str, keys: Collection[Key], label_selector: str | None) -> _Read:
    read = _read_version(client, kind, namespace, keys, label_selector)
    if read.live or read.members or not (former := client.kinds.find_former(kind)):
        return read
    read = _read_version(client, former, namespace, keys, label_selector)
    read.members = [Member(kind, key, item | {"apiVersion": kind.api_version}) for _former, key, item in read.members]
    read.live = {key: item | {"apiVersion": kind.api_version} for key, item in read.live.items()}
    return read


def _read_version(client: Client, kind: Kind, namespace: str, keys: Collection[Key], label_selector: str | None) -> _Read:
    labeled, error = _list(client, kind, namespace, label_selector) if label_selector else ([], None)
    read = _Read(members=[Member(kind, key_of(item, kind), item) for item in labeled or []])
    read.refusals = [Refusal(kind, namespace, error)] if error else []
    read.live = {member.key: member.item for member in read.members if member.key in keys}
    missing = [key for key in keys if key not in read.live]
    items = _list(client, kind, namespace)[0] if len(missing) > FEW else None
    if items is None:
        items, read.unread = _get_each(client, kind, missing)
    read.live |= {key: item for key, item in ((key_of(item, kind), item) for item in items) if key in keys}
    return read


def _get_each(client: Client, kind: Kind, keys: Collection[Key]) -> tuple[list[Manifest], dict[Key, PodwrightError]]:
    """The objects that exist, and why others must not be read."""
    items: list[Manifest] = []
    unread = {}
    for key in keys:
        try:
            item = client.get(kind, key.namespace or None, key.name)
        except PodwrightError as error:
            if not error.is_forbidden:
                raise
            unread[key] = error
        else:
            items += [item] if item else []
    return items, unread


def _list(client: Client, kind: Kind, namespace: str, label_selector: str | None = None) -> tuple[list[Manifest] | None, PodwrightError | None]:
    """(items, None), or (None, the error) if listing is forbidden, which a GET may not be, or the server does not serve the kind."""
    try:
        return client.list(kind, namespace or None, label_selector=label_selector)[0], None
    except PodwrightError as error:
        if error.is_forbidden or error.reason == UNKNOWN_KIND:
            return None, error
        raise


def autoscaled_keys(client: Client, desired: Desired, live: Mapping[Key, Manifest], console: Console, leaving: Collection[Member] = ()) -> frozenset[Key]:
    """The Keys of desired objects that an autoscaler scales, be it live, desired or pod_autoscale. Raises: PodwrightError.

    Warns of replicas that are about to change although autoscalers must not be listed.

    Args:
        leaving: objects that are about to be deleted, such as autoscalers or the ScaledObjects that have one.
    """
    scalable = {key: replicas_of(manifest) for key, (_kind, manifest) in desired.items() if replicas_of(manifest) is not None}
    if not scalable:
        return frozenset()
    autoscalers = [manifest for _kind, manifest in desired.values() if manifest["kind"] == AUTOSCALER.name]
    for namespace in {key.namespace for key in scalable if key.namespace}:
        found, error = _list(client, AUTOSCALER, namespace)
        autoscalers += [item for item in found or [] if key_of(item, AUTOSCALER) not in desired and not _is_of(item, leaving)]
        for key in scalable if error and error.is_forbidden else ():
            if key.namespace == namespace and key in live and replicas_of(live[key]) != scalable[key]:
                console.warn(f"Whether an autoscaler scales {key.kind} '{key.name}', whose replicas are about to be set, is unknown: {error}")
    targets = {key for key, item in live.items() if annotation_of(item, AUTOSCALED) is not None}
    return frozenset(scalable.keys() & (targets | set(map(target_of, autoscalers))))


def _is_of(item: Manifest, members: Collection[Member]) -> bool:
    """Whether an object is one of the members, or has one of them as its controller."""
    uids = {member.item["metadata"]["uid"] for member in members}
    return item["metadata"]["uid"] in uids or (controller_reference(item) or {}).get("uid") in uids


def target_of(autoscaler: Manifest) -> Key:
    """The Key of the object that a HorizontalPodAutoscaler scales; of an invalid one, a Key that no object has."""
    spec = autoscaler.get("spec")
    target = spec.get("scaleTargetRef") if isinstance(spec, dict) else None
    version, kind, name = (str(target.get(field) or "") for field in ("apiVersion", "kind", "name")) if isinstance(target, dict) else ("", "", "")
    return Key(version.rpartition("/")[0], kind, autoscaler["metadata"].get("namespace", ""), name)
