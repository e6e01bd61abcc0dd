# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the deletion of a namespace or a definition would delete with it, and is not to be deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from ..cluster.kinds import CONFIG_MAP, DEFINITION, NAMESPACE, SECRET, Kind
from ..errors import UNKNOWN_KIND, PodwrightError
from ..objects.labels import label_of
from .manifest import key_of
from .members import Member, describe_parent
from .plan import is_inherent
from .sets import ID, NAMESPACES, entries_of

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..objects.key import Key
    from ..values import Manifest
    from .sets import ApplySet


def foreign_contents(client: Client, console: Console, applyset: ApplySet, members: Iterable[Member], deleted: Collection[Member]) -> dict[Key, str]:
    """Why members of a set must not be deleted: definitions of which there are other objects, and namespaces with objects of other sets.

    Warns of those of which this is unknown, as objects must not be listed.

    Args:
        members: the members to check.
        deleted: all objects that are to be deleted.

    Raises: PodwrightError if the API server cannot be reached.
    """
    members = [member for member in members if not is_inherent(member.kind, member.key.name, member.key.namespace)]
    definitions = [member for member in members if member.kind == DEFINITION]
    namespaces = [member for member in members if member.kind == NAMESPACE]
    return _used_definitions(client, console, definitions, deleted) | (_used_namespaces(client, console, namespaces, applyset) if namespaces else {})


def _used_definitions(client: Client, console: Console, definitions: Iterable[Member], deleted: Collection[Member]) -> dict[Key, str]:
    found: dict[Key, list[tuple[Key, Manifest]]] = {}
    for definition in definitions:
        kind = _kind_of(definition.item)
        items = _list(client, console, kind, None, [definition]) if kind else None
        found[definition.key] = [(key_of(item, kind), item) for item in items or []] if kind else []
    keys, uids = {member.key for member in deleted}, {member.item["metadata"].get("uid") for member in deleted}
    items = [item for objects in found.values() for _key, item in objects]
    while more := {item["metadata"].get("uid") for item in items if _owners_of(item) & uids} - uids:
        uids |= more  # they are deleted with their owners
    notes = {}
    for key, objects in found.items():
        others = [other for other, item in objects if other not in keys and not _owners_of(item) & uids and not item["metadata"].get("deletionTimestamp")]
        if others:
            notes[key] = f"kept: objects of its kind are not members of the set, such as {others[0].title}"
    return notes


def _kind_of(definition: Manifest) -> Kind | None:
    """The kind in the version that the API server stores, if it serves that, so that no webhook has to convert the objects; None if it serves none."""
    spec = definition["spec"]
    versions = sorted((version for version in spec["versions"] if version.get("served", True)), key=lambda version: not version.get("storage"))
    names = spec["names"]
    return Kind(f"{spec['group']}/{versions[0]['name']}", names["kind"], names["plural"], spec.get("scope") == "Namespaced") if versions else None


def _owners_of(item: Manifest) -> set[object]:
    return {reference.get("uid") for reference in item["metadata"].get("ownerReferences") or []}


def _used_namespaces(client: Client, console: Console, namespaces: list[Member], applyset: ApplySet) -> dict[Key, str]:
    notes: dict[Key, str] = {}
    by_name = {namespace.key.name: namespace.key for namespace in namespaces}
    for kind in (CONFIG_MAP, SECRET):
        for record in _list(client, console, kind, ID, namespaces):
            metadata = record["metadata"]
            if label_of(record, ID) == applyset.id or metadata.get("deletionTimestamp"):
                continue
            for name in {metadata["namespace"], *entries_of(record, NAMESPACES)} & by_name.keys():
                notes.setdefault(by_name[name], f"kept: it contains objects of {describe_parent(record, kind)}")
    return notes


def _list(client: Client, console: Console, kind: Kind, label_selector: str | None, members: list[Member]) -> list[Manifest]:
    """The objects of a kind in all namespaces; of namespaces that are to be deleted in each of them if that is all that is allowed."""
    try:
        return client.list(kind, None, label_selector=label_selector, metadata_only=True)[0]
    except PodwrightError as error:
        failure = error
    items: list[Manifest] = []
    for member in members:
        if failure.is_forbidden and member.kind == NAMESPACE:
            try:
                items += client.list(kind, member.key.name, label_selector=label_selector, metadata_only=True)[0]
                continue
            except PodwrightError as error:
                failure = error
        if failure.reason == UNKNOWN_KIND:
            continue  # a definition that is not served has no objects that others can use
        if failure.status is None:
            raise failure
        console.warn(f"Whether others use {member.key.title}, which is to be deleted, is unknown: {failure}")
    return items
