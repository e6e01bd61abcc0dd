# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Field ownership as server-side apply records it: `metadata.managedFields` (fieldsV1, KEP-555)."""

from __future__ import annotations

import json
from typing import Any

from .quantity import same_quantity
from .schema import Schema


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
    owned = _steps(tree)
    if len(owned) != len(desired):
        return False
    at = -1
    for item in desired:
        step = next((step for step in owned if _is_item(schema, path, step, item)), None)
        position = next((n for n, other in enumerate(live) if step and _is_item(schema, path, step, other)), -1)
        if position <= at:
            return False
        below = owned.pop(step)
        covered = _is_map_covered(schema, path, item, live[position], below) if _steps(below) else is_same(schema, path, item, live[position])
        if not covered:
            return False
        at = position
    return True


def _is_item(schema: Schema, path: tuple, step: str, item: Any) -> bool:
    """Whether a step of a tree (`k:KEYS` or `v:VALUE`) means this item of the list at the path."""
    sort, _separator, text = step.partition(":")
    if sort not in ("k", "v"):
        return False
    meant = json.loads(text)
    if sort == "v":
        return _is_equal(meant, item)
    return isinstance(item, dict) and all(_is_equal(item.get(name, schema.default_of_key(path, name)), value) for name, value in meant.items())


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
    keys = tuple(step for step in path if isinstance(step, str))
    for step, below in _steps(tree).items():
        if step[0] == "f" and isinstance(live, dict) and step[2:] in live:
            name = step[2:]
            place, kept, there = [*path, name], isinstance(desired, dict) and name in desired, live[name]
            ours = desired[name] if kept else None
        elif step[0] in ("k", "v") and isinstance(live, list):
            position = next((n for n, item in enumerate(live) if _is_item(schema, keys, step, item)), None)
            if position is None:
                continue
            mine = [item for item in desired if _is_item(schema, keys, step, item)] if isinstance(desired, list) else []
            place, kept, there, ours = [*path, position], bool(mine), live[position], mine[0] if mine else None
        else:
            continue
        if not kept:
            found.append(place)
        elif _steps(below):
            _collect_dropped(schema, ours, there, below, place, found)
