# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who belongs to a set, as far as the API server shows it, and who belongs to another."""

from __future__ import annotations

from typing import NamedTuple

from ..cluster.client import Client
from ..cluster.kinds import BUILT_IN, CONFIG_MAP, SECRET, Kind
from ..errors import UNKNOWN_KIND, PodwrightError
from ..objects.key import Key
from .manifest import key_of
from .sets import ID, PARENT_PREFIX, PART_OF, TOOLING, ApplySet, Unlisted

DEFINITION = BUILT_IN["apiextensions.k8s.io/v1", "CustomResourceDefinition"]


class Member(NamedTuple):
    """An object that carries a set's label."""

    kind: Kind
    key: Key
    item: dict


def is_controlled(item: dict) -> bool:
    """Whether a controller made the object: it may have inherited the label from its owner, and goes with it."""
    return any(owner.get("controller") for owner in item["metadata"].get("ownerReferences") or [])


def list_recorded(client: Client, applyset: ApplySet, parent: dict | None, listed: set) -> tuple[list[Member], list[Unlisted]]:
    """Members of the kinds and namespaces that the parent names and that were not listed yet.

    Args:
        parent: the live parent object, or None.
        listed: (Kind, namespace) pairs that were listed already.

    Raises: PodwrightError if there is no connection.
    """
    members, unlisted = [], []
    kinds, namespaces = applyset.recorded(parent)
    for group_kind in kinds:
        try:
            kind = _find_kind(client, group_kind)
        except PodwrightError as error:
            unlisted.append(_unlisted(group_kind, namespaces, error))
            continue
        for namespace in (namespaces if kind.namespaced else [""]) if kind else []:
            if (kind, namespace) in listed:
                continue
            try:
                items = client.list(kind, namespace or None, label_selector=applyset.selector)[0]
            except PodwrightError as error:
                unlisted.append(_unlisted(group_kind, [namespace], error))
            else:
                members += [Member(kind, key_of(item, kind), item) for item in items]
    return members, unlisted


def refused_places(client: Client, applyset: ApplySet, parent: dict | None, refused: list) -> list[Unlisted]:
    """Where members may be of those kinds that the manifests name.

    Args:
        refused: (Kind, namespace, PodwrightError) of each place that could not be listed.
    """
    recorded = applyset.recorded(parent)[0]
    places = []
    for kind, namespace, error in refused:
        group_kind = f"{kind.name}.{kind.group}".rstrip(".")
        # A kind that is not served had members only if it was there before.
        if error.is_forbidden or (group_kind in recorded and not _is_undefined(client, kind.group, kind.name)):
            places.append(_unlisted(group_kind, [namespace], error))
    return places


def _unlisted(group_kind, namespaces, error):
    if error.status is None and error.reason != UNKNOWN_KIND:
        raise error
    return Unlisted(group_kind, tuple(filter(None, namespaces)), error.message)


def _find_kind(client, group_kind):
    """The Kind as it is served, or None if nothing of that kind can exist. Raises: PodwrightError."""
    name, _dot, group = group_kind.partition(".")
    try:
        return client.kinds.find_served(group, name)
    except PodwrightError as error:
        if error.reason == UNKNOWN_KIND and _is_undefined(client, group, name):
            return None
        raise


def _is_undefined(client, group, name):
    """Whether the definition of a custom kind was deleted, and all objects of the kind with it."""
    try:
        definitions = [item["metadata"]["name"] for item in client.list(DEFINITION, metadata_only=True)[0]]
        same_group = [definition for definition in definitions if definition.partition(".")[2] == group]
        defined = [client.get(DEFINITION, None, definition) for definition in same_group]
    except PodwrightError:
        return False
    if any(item and item["spec"]["names"]["kind"] == name for item in defined):
        return False  # it exists, and serves no version
    return bool(same_group) or not client.kinds.versions(group)


def refuse_foreign(client: Client, applyset: ApplySet, live: dict[Key, dict]) -> None:
    """Refuse objects that are members of another set.

    Args:
        live: the live objects that the manifests name.

    Raises: PodwrightError that names them and their sets.
    """
    foreign = {key: other for key, item in live.items() if (other := applyset.foreign_set(item))}
    if not foreign:
        return
    sets = {other: _describe_set(client, other, key.namespace or applyset.namespace) for key, other in foreign.items()}
    shown = [f"{key.title} belongs to {sets[other]}" for key, other in foreign.items()]
    more = f" ({len(shown) - 3} more)" if len(shown) > 3 else ""
    raise PodwrightError(
        f"The set '{applyset.name}' must not take members of another set: {', '.join(shown[:3])}{more}.",
        reason="ForeignMember",
        hint=f"Name the object in one set only. To move it, remove its label {PART_OF} first.",
    )


def _describe_set(client, identity, namespace):
    """What a message calls a set of this ID."""
    for kind in (CONFIG_MAP, SECRET):
        try:
            parents = client.list(kind, namespace, label_selector=f"{ID}={identity}", metadata_only=True)[0]
        except PodwrightError:
            continue
        for parent in parents:
            metadata = parent["metadata"]
            tool = (metadata.get("annotations") or {}).get(TOOLING, "an unknown tool")
            name = metadata["name"].removeprefix(PARENT_PREFIX) if kind == CONFIG_MAP else metadata["name"]
            return f"the set '{name}' ({key_of(parent, kind).title}, {tool})"
    return f"the set of the ID {identity}"
