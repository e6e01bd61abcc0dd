# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The members of a set, as far as they can be listed, and the members of other sets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from ..cluster.kinds import CONFIG_MAP, DEFINITION, SECRET, Kind
from ..errors import UNKNOWN_KIND, PodwrightError
from ..objects.controllers import controller_reference
from ..objects.key import Key
from ..objects.labels import label_of
from .fields import label_appliers, label_managers, owned_fields
from .manifest import key_of
from .sets import ID, PARENT_PREFIX, PART_OF, TOOLING, ApplySet, Unlisted, is_record

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..values import Manifest
    from .plan import Desired

SHOWN = 3  # objects that an error names


class Member(NamedTuple):
    """A live object, in most cases one with the label of a set."""

    kind: Kind
    key: Key
    item: Manifest


class Refusal(NamedTuple):
    """A kind and namespace whose objects could not be listed, and why."""

    kind: Kind
    namespace: str
    error: PodwrightError


def is_copied(item: Manifest, applyset: ApplySet) -> bool:
    """Whether an object has the label of its set from elsewhere than an apply: from its owner, with which it is deleted, or from another object or manifest."""
    if label_appliers(item, PART_OF) & {applyset.manager, *(applyset.appliers or ())}:
        return False
    return applyset.appliers is not None or controller_reference(item) is not None


def copies_by_hand(copies: Iterable[Member]) -> list[Member]:
    """The objects to which somebody has copied the label of a set with kubectl. What controllers copy is of no interest, as they do it again and again."""
    return [
        copy for copy in copies if controller_reference(copy.item) is None and any(name.startswith("kubectl") for name in label_managers(copy.item, PART_OF))
    ]


def is_member(item: Manifest, applyset: ApplySet) -> bool:
    """Whether an object is a member that the set may delete."""
    return label_of(item, PART_OF) == applyset.id and not is_copied(item, applyset)


def list_recorded(client: Client, applyset: ApplySet, parent: Manifest | None, listed: Collection[tuple[str, str, str]]) -> tuple[list[Member], list[Unlisted]]:
    """The members of the kinds and namespaces in the parent's record that were not listed yet, and what cannot be listed.

    Args:
        parent: the live parent object, or None.
        listed: the groups, kinds and namespaces that were listed, in whichever version.

    Raises: PodwrightError if the API server cannot be reached.
    """
    members: list[Member] = []
    unlisted: list[Unlisted] = []
    kinds, namespaces = applyset.recorded(parent)
    for group_kind in kinds:
        try:
            kind = _find_kind(client, group_kind)
        except PodwrightError as error:
            unlisted.append(_unlisted(group_kind, namespaces, error))
            continue
        for namespace in (namespaces if kind.namespaced else [""]) if kind else []:
            if kind is None or (kind.group, kind.name, namespace) in listed:
                continue
            try:
                items = client.list(kind, namespace or None, label_selector=applyset.selector)[0]
            except PodwrightError as error:
                unlisted.append(_unlisted(group_kind, [namespace], error))
            else:
                # When they are deleted, its definition serves the versions of the manifests.
                coming = client.kinds.find_coming(kind)
                members += [Member(coming, key_of(item, kind), item | {"apiVersion": coming.api_version}) for item in items]
    return members, unlisted


def unlisted_places(client: Client, applyset: ApplySet, parent: Manifest | None, refusals: Iterable[Refusal]) -> list[Unlisted]:
    """The refusals that may hide members of the set."""
    recorded = applyset.recorded(parent)[0]
    places = []
    for kind, namespace, error in refusals:
        group_kind = f"{kind.name}.{kind.group}".rstrip(".")
        # A kind that the server does not serve has members only if it was served and recorded before.
        if error.is_forbidden or (group_kind in recorded and not _is_undefined(client, kind.group, kind.name)):
            places.append(_unlisted(group_kind, [namespace], error))
    return places


def _unlisted(group_kind: str, namespaces: Iterable[str], error: PodwrightError) -> Unlisted:
    if error.status is None and error.reason != UNKNOWN_KIND:
        raise error
    return Unlisted(group_kind, tuple(filter(None, namespaces)), error.message)


def _find_kind(client: Client, group_kind: str) -> Kind | None:
    """The served Kind, or None if its definition was deleted. Raises: PodwrightError."""
    name, _dot, group = group_kind.partition(".")
    try:
        return client.kinds.find_served(group, name)
    except PodwrightError as error:
        if error.reason == UNKNOWN_KIND and _is_undefined(client, group, name):
            return None
        raise


def _is_undefined(client: Client, group: str, name: str) -> bool:
    """Whether the definition of a custom kind was deleted, and with it all objects of that kind; False in doubt."""
    try:
        definitions = [item["metadata"]["name"] for item in client.list(DEFINITION, metadata_only=True)[0]]
        same_group = [definition for definition in definitions if definition.partition(".")[2] == group]
        defined = [client.get(DEFINITION, None, definition) for definition in same_group]
    except PodwrightError:
        return False
    if any(item and item["spec"]["names"]["kind"] == name for item in defined):
        return False  # the definition exists and serves no version
    return bool(same_group) or not client.kinds.versions(group)


def reject_foreign(client: Client, applyset: ApplySet, live: Mapping[Key, Manifest]) -> None:
    """Refuse live objects that are members of another set. Raises: PodwrightError that names them and their sets."""
    foreign = {key: other for key, item in live.items() if (other := applyset.foreign_set(item))}
    if not foreign:
        return
    sets: dict[str, list[Key]] = {}
    for key in list(foreign)[:SHOWN]:
        sets.setdefault(foreign[key], []).append(key)
    described = []
    for other, keys in sets.items():
        owner = _describe_set(client, other, keys[0].namespace or applyset.namespace)
        described.append(f"{', '.join(key.title for key in keys)} {'belong' if len(keys) > 1 else 'belongs'} to {owner}")
    more = f" ({len(foreign) - SHOWN} more)" if len(foreign) > SHOWN else ""
    raise PodwrightError(
        f"The set '{applyset.name}' must not contain members of another set: {'; '.join(described)}{more}.",
        reason="ForeignMember",
        hint=f"List the object in one set only. To move it, remove its label {PART_OF} first.",
    )


def reject_records(desired: Collection[Key], live: Mapping[Key, Manifest], applyset: ApplySet | None) -> None:
    """Refuse the records of sets, this one's and those of others, as objects. Raises: PodwrightError."""
    own = applyset.parent_key if applyset else None
    others = [key for key, item in live.items() if key != own and is_record(key, item)]
    for key in [own, *others] if own in desired else others:
        raise PodwrightError(
            f"{key.title if key else ''} is the record of a set, by which its members are found, and must not be changed by a manifest.",
            reason="ForeignSet",
            hint="Remove it from the manifests, or give the object another name. To delete a set, set its name and state: absent.",
        )


def keep_sets(desired: Desired, live: Mapping[Key, Manifest], manager: str) -> dict[Key, tuple[Kind, Manifest]]:
    """The desired objects of a run without a set: those that `manager` applied as members of a set keep its label, and so stay members.

    Raises: PodwrightError for a manifest that would add its object to a set.
    """
    kept = {}
    for key, (kind, manifest) in desired.items():
        wanted, item = label_of(manifest, PART_OF), live.get(key)
        current = label_of(item, PART_OF) if item else None
        if wanted not in (None, current):
            raise PodwrightError(
                f"The manifest of {key.title} has the label {PART_OF}, by which its set would delete it.",
                reason="BadManifest",
                hint="Remove the label from the manifest. To add the object to the set, set the name of the set.",
            )
        if item and current is not None and wanted is None and manager in label_appliers(item, PART_OF):
            metadata = manifest["metadata"]
            manifest = manifest | {"metadata": metadata | {"labels": (metadata.get("labels") or {}) | {PART_OF: current}}}
        kept[key] = kind, manifest
    return kept


def is_ours(item: Manifest, applyset: ApplySet | None, manager: str) -> bool:
    """Whether a live object is a member of the set; without a set, whether the field manager has applied it and no set contains it."""
    return applyset.has(item) if applyset else owned_fields(item, manager) is not None and label_of(item, PART_OF) is None


def reject_strangers(live: Mapping[Key, Manifest], applyset: ApplySet | None, manager: str) -> None:
    """Refuse live objects that are not ours. Raises: PodwrightError that names them."""
    parent = applyset.parent_key if applyset else None
    strangers = [key.title for key, item in live.items() if key != parent and not is_ours(item, applyset, manager)]
    if not strangers:
        return
    of_sets = [] if applyset else [key.title for key, item in live.items() if label_of(item, PART_OF)]
    strangers = of_sets or strangers
    named = ", ".join(strangers[:SHOWN]) + (f" ({len(strangers) - SHOWN} more)" if len(strangers) > SHOWN else "")
    if applyset:
        message = f"The set '{applyset.name}' must not take over objects that exist and are not its members: {named}."
        hint = f"Delete or rename them, or set their label {PART_OF} to {applyset.id} to hand them over to this set."
    elif of_sets:
        message = f"Objects that are members of a set must not be taken over without it: {named}."
        hint = "Apply them with set, the name of the set, or set adopt: true to change them as members."
    else:
        message = f"Objects that exist and that the field manager '{manager}' has not applied must not be taken over: {named}."
        hint = f"Delete or rename them, or apply them once with resource_set, field_manager: {manager} and adopt: true."
    raise PodwrightError(message, reason="ForeignObject", hint=hint)


def _describe_set(client: Client, identity: str, namespace: str) -> str:
    """A set of this ID as messages name it: by its parent, if that is a ConfigMap or Secret that can be listed, in this namespace or in any."""
    for place, kind in product((namespace, None), (CONFIG_MAP, SECRET)):
        try:
            parents = client.list(kind, place, label_selector=f"{ID}={identity}", metadata_only=True)[0]
        except PodwrightError:
            continue
        for parent in parents:
            return describe_parent(parent, kind)
    return f"the set with the ID {identity}"


def describe_parent(parent: Manifest, kind: Kind) -> str:
    """A set as messages name it."""
    metadata = parent["metadata"]
    tool = (metadata.get("annotations") or {}).get(TOOLING, "an unknown tool")
    name = metadata["name"].removeprefix(PARENT_PREFIX) if kind == CONFIG_MAP else metadata["name"]
    return f"the set '{name}' ({key_of(parent, kind).title}, {tool})"
