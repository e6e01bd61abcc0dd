# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Field ownership as server-side apply records it: `metadata.managedFields` (fieldsV1, KEP-555)."""

from __future__ import annotations

import json
from typing import Any

from ..objects.quantity import same_quantity
from .schema import Schema

_encode = json.JSONEncoder(sort_keys=True).encode  # made once: json.dumps makes one for each call with sort_keys


def owned_fields(live: dict, manager: str) -> dict | None:
    """The tree of fields that `manager` applied to the object, or None if it never did."""
    for entry in live["metadata"].get("managedFields") or []:
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return entry.get("fieldsV1") or {}
    return None


def is_current(desired: dict, live: dict, manager: str) -> bool:
    """Whether applying `desired` as `manager` would change nothing.

    True only if it is certain: every desired value is live in the same order, we own it, and we own nothing beyond it (a
    field dropped from the desired state is one that we still own). False only costs a request: the server then decides.
    """
    tree = owned_fields(live, manager)
    if tree is None or live["metadata"].get("deletionTimestamp"):
        return False
    return _is_map_covered(Schema(desired["apiVersion"], desired["kind"]), (), _without_identity(desired), live, tree)


def dropped_fields(desired: dict, live: dict, trees: list[dict]) -> list[list]:
    """Paths that the trees own and `desired` lacks, as lists of keys and positions in `live`; what an apply would remove."""
    found: list[list] = []
    schema = Schema(desired["apiVersion"], desired["kind"])
    for tree in trees:
        _collect_dropped(schema, _without_identity(desired), live, tree, [], found)
    return found


def _without_identity(desired: dict) -> dict:
    metadata = {key: value for key, value in desired["metadata"].items() if key not in ("name", "namespace")}
    rest = {key: value for key, value in desired.items() if key not in ("apiVersion", "kind", "metadata")}
    return rest | ({"metadata": metadata} if metadata else {})


def _steps(tree: dict) -> dict:
    """The steps below a path of a tree, without `.`, the path itself."""
    return {step: below for step, below in tree.items() if step != "."}


def _is_map_covered(schema: Schema, path: tuple, desired: dict, live: dict, tree: dict) -> bool:
    if any(step[2:] not in desired for step in _steps(tree)):
        return False
    return all(_is_field_covered(schema, (*path, key), value, live, tree.get(f"f:{key}")) for key, value in desired.items())


def _is_field_covered(schema: Schema, path: tuple, value: Any, parent: dict, tree: dict | None) -> bool:
    if path[-1] not in parent:
        return not _steps(tree or {}) and schema.leaves_out(path, value, is_owned=tree is not None)
    if tree is None:
        return False
    live = parent[path[-1]]
    if not _steps(tree):
        # The API treats it as one value: what is live beyond it would be removed.
        return is_same(schema, path, value, live)
    if isinstance(value, dict) and isinstance(live, dict):
        return _is_map_covered(schema, path, value, live, tree)
    return isinstance(value, list) and isinstance(live, list) and _is_list_covered(schema, path, value, live, tree)


def _is_list_covered(schema: Schema, path: tuple, desired: list, live: list, tree: dict) -> bool:
    """A set, or a list with merge keys: the same items, and in the same order, which the API keeps."""
    owned, names = _owned_items(tree)
    if len(owned) != len(desired) or len(owned) != len(_steps(tree)):
        return False
    positions = _positions(schema, path, live, names)
    at = -1
    for item in desired:
        identity = _identity(schema, path, item, names)
        position = positions.get(identity, -1)
        if position <= at or identity not in owned:
            return False
        at, below, there = position, owned[identity], live[position]
        redacted = _is_map_covered(schema, path, item, there, below) if _steps(below) else is_same(schema, path, item, there)
        if not redacted:
            return False
    return True


def _owned_items(tree: dict) -> tuple[dict[str, dict], set[str]]:
    """({identity: the tree below it} of the items of a set or keyed list that a tree owns, the names of the merge keys)."""
    meant = [(step[0], json.loads(step[2:]), below) for step, below in _steps(tree).items() if step[0] in ("k", "v")]
    names = {name for sort, value, _below in meant if sort == "k" for name in value}
    return {_encode(value): below for _sort, value, below in meant}, names


def _identity(schema: Schema, path: tuple, item: Any, names: set[str]) -> str:
    """What tells an item of the list at the path from the others, as JSON: its merge keys, or the item itself in a set."""
    if names and isinstance(item, dict):
        keys = {name: item.get(name, schema.default_of_key(path, name)) for name in names}
        item = {name: value for name, value in keys.items() if value is not None}
    return _encode(item)


def _positions(schema: Schema, path: tuple, items: list, names: set[str]) -> dict[str, int]:
    """{identity: the first position of an item}."""
    return {_identity(schema, path, item, names): len(items) - 1 - number for number, item in enumerate(reversed(items))}


def is_same(schema: Schema, path: tuple, desired: Any, live: Any) -> bool:
    """Whether a value that the API treats as one is the live one, apart from what the API server fills in and how a quantity is spelled."""
    if isinstance(desired, dict) and isinstance(live, dict):
        if any(key not in desired and not schema.is_default((*path, key), value) for key, value in live.items()):
            return False
        return all(key in live and is_same(schema, (*path, key), value, live[key]) for key, value in desired.items())
    if isinstance(desired, list) and isinstance(live, list):
        return len(desired) == len(live) and all(is_same(schema, path, *pair) for pair in zip(desired, live))
    return _is_equal(desired, live) or (schema.is_quantity(path) and same_quantity(desired, live))


def _is_equal(one: Any, other: Any) -> bool:
    """Equality as JSON has it: true is not 1."""
    return type(one) is type(other) and one == other


def _collect_dropped(schema: Schema, desired: Any, live: Any, tree: dict, path: list, found: list[list]) -> None:
    if isinstance(live, dict):
        steps = [(step[2:], step[2:], below) for step, below in _steps(tree).items() if step[0] == "f" and step[2:] in live]
        wanted = desired if isinstance(desired, dict) else {}
    elif isinstance(live, list):
        keys, (owned, names) = tuple(step for step in path if isinstance(step, str)), _owned_items(tree)
        positions = _positions(schema, keys, live, names)
        steps = [(positions[identity], identity, below) for identity, below in owned.items() if identity in positions]
        wanted = {_identity(schema, keys, item, names): item for item in desired} if isinstance(desired, list) else {}
    else:
        return
    for place, name, below in steps:
        if name not in wanted:
            found.append([*path, place])
        elif _steps(below):
            _collect_dropped(schema, wanted[name], live[place], below, [*path, place], found)
