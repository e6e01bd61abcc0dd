# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Field ownership in `metadata.managedFields` (fieldsV1, KEP-555): whether an apply would change anything."""

from __future__ import annotations

import json
from collections.abc import Container
from typing import TYPE_CHECKING, Any

from .schema import Path, Schema

if TYPE_CHECKING:
    from ..values import Manifest

ITSELF = "."  # the step in a tree that is the path itself
# Maps whose keys have owners each; an empty one removes none.
_GRANULAR = (("metadata", "labels"), ("metadata", "annotations"))
_GRANULAR_NAMES = ("labels", "annotations")  # also of a pod template
_encode = json.JSONEncoder(sort_keys=True).encode  # json.dumps with sort_keys creates an encoder for each call


def owned_fields(live: Manifest, manager: str) -> dict[str, Any] | None:
    """The tree of fields that `manager` applied to the object, or None if it never did."""
    for entry in live["metadata"].get("managedFields") or []:
        if is_apply_of(entry, manager):
            return tree_of(entry)
    return None


def owned_values(live: Manifest, manager: str) -> Any:
    """The live values of the fields that `manager` applied, by their steps in the tree, to compare two states of an object; None if it never did."""
    tree = owned_fields(live, manager)
    return None if tree is None else _values_below(live, tree)


def _values_below(live: Any, tree: dict[str, Any]) -> Any:
    steps = parts_of(tree)
    if not steps:
        return live
    if isinstance(live, dict):
        owned_steps = {step: below for step, below in steps.items() if step[2:] in live and (below or step[2:] not in _GRANULAR_NAMES)}
        return {step: _values_below(live[step[2:]], below) for step, below in owned_steps.items()}
    if not isinstance(live, list):
        return live
    owned, names = _owned_items(tree)
    items = {_encode({name: item.get(name) for name in names & item.keys()} if isinstance(item, dict) and names else item): item for item in live}
    return {identity: _values_below(items[identity], below) for identity, below in owned.items() if identity in items}


def is_apply_of(entry: dict[str, Any], manager: str) -> bool:
    """Whether an entry of managedFields has the fields that `manager` applied to the object itself."""
    return entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def label_managers(item: Manifest, label: str, operations: Container[str] = ("Apply", "Update")) -> set[str]:
    """The managers that set a label of an object by some operations."""
    entries = [entry for entry in item["metadata"].get("managedFields") or [] if entry.get("operation") in operations and not entry.get("subresource")]
    trees = [(str(entry.get("manager")), tree_of(entry) or {}) for entry in entries]
    return {manager for manager, tree in trees if f"f:{label}" in ((tree.get("f:metadata") or {}).get("f:labels") or {})}


def label_appliers(item: Manifest, label: str) -> set[str]:
    """The managers that applied a label to an object."""
    return label_managers(item, label, ("Apply",))


def tree_of(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The tree of fields in an entry of managedFields, or None if it is malformed, which no API server sends."""
    tree = entry.get("fieldsV1") or {}
    return tree if _is_tree(tree) else None


def parts_of(tree: dict[str, Any]) -> dict[str, Any]:
    """The steps below a path of a tree, without ITSELF."""
    return {step: below for step, below in tree.items() if step != ITSELF}


def _is_tree(tree: Any) -> bool:
    return isinstance(tree, dict) and all((step == ITSELF or _is_step(step)) and _is_tree(below) for step, below in tree.items())


def _is_step(step: str) -> bool:
    if step[:2] not in ("k:", "v:"):
        return step[:2] in ("f:", "i:")
    try:
        value = json.loads(step[2:])
    except ValueError:
        return False
    return step[0] == "v" or isinstance(value, dict)


def is_current(desired: Manifest, live: Manifest, manager: str) -> bool:
    """Whether applying `desired` as `manager` would change nothing.

    True only if that is certain: every desired value is live, in the same order, and `manager` owns exactly these fields (it still
    owns a field that was dropped from the desired state). False costs a request, with which the server decides.
    """
    if live["metadata"].get("deletionTimestamp"):
        return False
    tree = owned_fields(live, manager) or {}  # whoever applies nothing but the name owns nothing
    schema = Schema(desired["apiVersion"], desired["kind"])
    return _is_map_current(schema, (), schema.complete(_without_identity(desired)), live, tree)


def dropped_fields(desired: Manifest, live: Manifest, trees: list[dict[str, Any]], is_whole: bool = False) -> list[list[Any]]:
    """The fields that an apply removes: paths in the trees that `desired` lacks, as lists of keys and positions in `live`.

    Args:
        is_whole: include maps of which other managers own a part, which an apply does not remove.
    """
    found: list[list[Any]] = []
    schema = Schema(desired["apiVersion"], desired["kind"])
    for tree in trees:
        _collect_dropped(schema, _without_identity(desired), live, tree, [], found, is_whole)
    return found


def _without_identity(desired: Manifest) -> dict[str, Any]:
    metadata = {key: value for key, value in desired["metadata"].items() if key not in ("name", "namespace")}
    rest = {key: value for key, value in desired.items() if key not in ("apiVersion", "kind", "metadata")}
    return rest | ({"metadata": metadata} if metadata else {})


def _is_map_current(schema: Schema, path: Path, desired: Manifest, live: Manifest, tree: dict[str, Any]) -> bool:
    if any(step[2:] not in desired for step in parts_of(tree)):
        return False
    return all(_is_field_current(schema, (*path, key), value, live, tree.get(f"f:{key}")) for key, value in desired.items())


def _is_field_current(schema: Schema, path: Path, value: Any, parent: dict[str, Any], tree: dict[str, Any] | None) -> bool:
    if path[-1] not in parent:
        return not parts_of(tree or {}) and schema.leaves_out(path, value, is_owned=tree is not None)
    live = parent[path[-1]]
    if tree is None:
        return _is_unowned_current(schema, path, value, live)
    if not parts_of(tree) and not (value == {} and path in _GRANULAR):
        # An atomic value: the API would remove other live parts of it.
        return is_same(schema, path, value, schema.without_additions(path, value, live))
    if isinstance(value, dict) and isinstance(live, dict):
        return _is_map_current(schema, path, value, live, tree)
    return isinstance(value, list) and isinstance(live, list) and _is_list_current(schema, path, value, live, tree)


def _is_unowned_current(schema: Schema, path: Path, value: Any, live: Any) -> bool:
    """Whether an apply of a value that the manager does not own would neither change nor own it."""
    if value == []:
        return schema.leaves_out(path, value, is_owned=False)
    if not isinstance(value, dict) or not isinstance(live, dict) or not value:
        return False
    if schema.is_reset(path):
        return _is_of_type(schema, path, value, live)
    return _is_map_current(schema, path, value, live, {})


def _is_of_type(schema: Schema, path: Path, value: Any, live: Any) -> bool:
    """Whether the API would accept a value as it accepted the live one: an equal value, or another string in place of a string other than bytes."""
    if isinstance(value, dict) and isinstance(live, dict):
        return all(key in live and _is_of_type(schema, (*path, key), item, live[key]) for key, item in value.items())
    if isinstance(value, list) and isinstance(live, list):
        return all(isinstance(item, str) for item in [*value, *live])
    return schema.is_equal(path, value, live) or (isinstance(value, str) and isinstance(live, str) and not schema.is_bytes(path))


def _is_list_current(schema: Schema, path: Path, desired: list[Any], live: list[Any], tree: dict[str, Any]) -> bool:
    """Whether a set, or a list with merge keys, has the same items in the same order, which the API keeps."""
    owned, names = _owned_items(tree)
    if len(owned) != len(desired) or len(owned) != len(parts_of(tree)):
        return False
    positions = _positions(schema, path, live, names)
    at = -1
    for item in desired:
        identity = _owned_identity(item, owned, names) or _identity(schema, path, item, names)
        position = positions.get(identity, -1)
        if position <= at or identity not in owned:
            return False
        at, below, there = position, owned[identity], live[position]
        is_item_current = _is_map_current(schema, path, item, there, below) if parts_of(below) else is_same(schema, path, item, there)
        if not is_item_current:
            return False
    return True


def _owned_items(tree: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """The owned items of a set or a list with merge keys, as {identity: tree below the item}, and the names of the merge keys."""
    items = [(step[0], json.loads(step[2:]), below) for step, below in parts_of(tree).items() if step[0] in ("k", "v")]
    names = {name for step_type, value, _below in items if step_type == "k" for name in value}
    return {_encode(value): below for _step_type, value, below in items}, names


def _owned_identity(item: Any, owned: dict[str, dict[str, Any]], names: set[str]) -> str | None:
    """The identity in the tree of an item without some of its merge keys, which the API server defaulted when it was applied; None if that is unclear."""
    if not isinstance(item, dict) or names <= item.keys():
        return None
    known = {name: item[name] for name in names if name in item}
    missing = {f"f:{name}" for name in names - item.keys()}
    found = [identity for identity, below in owned.items() if not missing & below.keys() and known.items() <= json.loads(identity).items()]
    return found[0] if len(found) == 1 else None


def _identity(schema: Schema, path: Path, item: Any, names: set[str]) -> str:
    """The identity of an item in the list at the path, as JSON: its merge keys, or in a set the item itself."""
    if names and isinstance(item, dict):
        keys = {name: item.get(name, schema.default_of_key(path, name)) for name in names}
        item = {name: value for name, value in keys.items() if value is not None}
    return _encode(item)


def _positions(schema: Schema, path: Path, items: list[Any], names: set[str]) -> dict[str, int]:
    """The first position of each item, by identity."""
    return {_identity(schema, path, item, names): len(items) - 1 - number for number, item in enumerate(reversed(items))}


def is_same(schema: Schema, path: Path, desired: Any, live: Any) -> bool:
    """Whether an atomic value is the live one, apart from defaults of the API server and the notation of quantities."""
    if isinstance(desired, dict) and isinstance(live, dict):
        if any(key not in desired and not schema.is_default((*path, key), value) for key, value in live.items()):
            return False
        return all(key in live and is_same(schema, (*path, key), value, live[key]) for key, value in desired.items())
    if isinstance(desired, list) and isinstance(live, list):
        return len(desired) == len(live) and all(is_same(schema, path, *pair) for pair in zip(desired, live))
    return schema.is_equal(path, desired, live)


def _collect_dropped(schema: Schema, desired: Any, live: Any, tree: dict[str, Any], path: list[Any], found: list[list[Any]], is_whole: bool) -> None:
    if isinstance(live, dict):
        steps: list[tuple[Any, str, dict[str, Any]]] = [
            (step[2:], step[2:], below) for step, below in parts_of(tree).items() if step[0] == "f" and step[2:] in live
        ]
        wanted = desired if isinstance(desired, dict) else {}
    elif isinstance(live, list):
        keys, (owned, names) = tuple(step for step in path if isinstance(step, str)), _owned_items(tree)
        positions = _positions(schema, keys, live, names)
        steps = [(positions[identity], identity, below) for identity, below in owned.items() if identity in positions]
        wanted = {_identity(schema, keys, item, names): item for item in desired} if isinstance(desired, list) else {}
    else:
        return
    for place, name, below in steps:
        if name not in wanted and (is_whole or not (isinstance(live, dict) and _has_others(live[place], below))):
            found.append([*path, place])
        elif parts_of(below):
            _collect_dropped(schema, wanted.get(name), live[place], below, [*path, place], found, is_whole)


def _has_others(live: Any, tree: dict[str, Any]) -> bool:
    """Whether a live map has keys that are not in the tree of its manager."""
    return bool(parts_of(tree)) and isinstance(live, dict) and any(f"f:{key}" not in tree for key in live)
