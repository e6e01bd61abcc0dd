# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Maps and lists of custom resources that a manifest empties. Nothing here sends a request.

An apply that removes the last part of a map or list leaves null instead of the empty one that is desired. The API server refuses that, or stores it until the
next apply. To built-in types null is an empty value.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..cluster.kinds import is_built_in
from .fields import ITSELF, is_apply_of, owned_fields, parts_of, tree_of
from .manifest import difference

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..values import Manifest, Patch

Steps = list[str]
"""A path as steps in the tree of fields."""
_ABSENT: Any = object()


def emptied_fields(desired: Manifest, item: Manifest, manager: str) -> list[Steps]:
    """The maps and lists of a custom resource that its desired state empties, and all parts of which `manager` alone has applied.

    They are empty in it, or absent and others keep them, who have applied empty ones.

    Args:
        item: the live object.

    Returns: their paths; of an item that lacks a merge key, those of all live items which it may be.
    """
    if is_built_in(desired["apiVersion"]):
        return []
    own = owned_fields(item, manager) or {}
    entries = item["metadata"].get("managedFields") or []
    others = [tree for entry in entries if not is_apply_of(entry, manager) and (tree := tree_of(entry))]
    found: list[Steps] = []
    _collect({name: value for name, value in desired.items() if name != "metadata"}, item, own, others, [], found)
    return found


def with_values(target: Manifest, source: Manifest, paths: Iterable[Steps]) -> Manifest:
    """A manifest with the values that another one has at some paths, in maps that it may lack, but not in items that it lacks."""
    for path in paths:
        target = _with_value(target, source, path)
    return target


def with_empty(manifest: Manifest, paths: Iterable[Steps]) -> Manifest:
    """A manifest with empty maps and lists in place of those at some paths."""
    for path in paths:
        manifest = _with_empty(manifest, path)
    return manifest


def without_values(manifest: Manifest, paths: Iterable[Steps]) -> Manifest:
    """A manifest without the values at some paths, nor what would be empty without them: an apply of it removes them as a whole."""
    for path in paths:
        manifest = _without(manifest, path)
    return manifest


def applied_paths(paths: Iterable[Steps], item: Manifest, manager: str) -> list[Steps]:
    """Those of some paths that `manager` has applied to an object."""
    own = owned_fields(item, manager) or {}
    return [path for path in paths if _has_path(own, path)]


def change_patch(before: Manifest, after: Manifest) -> Patch:
    """The patch from one state of an object to another, which conflicts with any other change of it."""
    return [{"op": "replace", "path": "/metadata/resourceVersion", "value": before["metadata"]["resourceVersion"]}, *difference(before, after)]


def null_fields(value: Any, path: str = "") -> set[str]:
    """The paths of what is null in a value, without the indexes of items."""
    if isinstance(value, list):
        return set().union(*(null_fields(item, path) for item in value))
    if isinstance(value, dict):
        return set().union(*(null_fields(part, f"{path}.{name}" if path else name) for name, part in value.items()))
    return {path} if value is None else set()


def _with_value(target: Any, source: Any, path: Steps) -> Any:
    here, there = _place(path[0], target), _place(path[0], source)
    is_addable = isinstance(target, dict) and there is not None and (not path[1:] or isinstance(source[there], dict))
    if there is None or (here is None and not is_addable):
        return target
    part = source[there] if not path[1:] else _with_value({} if here is None else target[here], source[there], path[1:])
    return _with_part(target, there if here is None else here, part)


def _with_empty(value: Any, path: Steps) -> Any:
    place = _place(path[0], value)
    if place is None:
        return value
    return _with_part(value, place, _with_empty(value[place], path[1:]) if path[1:] else type(value[place])())


def _without(value: Any, path: Steps) -> Any:
    place = _place(path[0], value)
    if place is None:
        return value
    value = _with_part(value, place, _without(value[place], path[1:]) if path[1:] else None)
    return {key: item for key, item in value.items() if key != place or item} if isinstance(value, dict) else value


def _with_part(value: Any, place: Any, part: Any) -> Any:
    return value | {place: part} if isinstance(value, dict) else [part if number == place else item for number, item in enumerate(value)]


def _has_path(tree: dict[str, Any], path: Steps) -> bool:
    return not path or (path[0] in tree and _has_path(tree[path[0]], path[1:]))


def _collect(desired: Any, live: Any, own: dict[str, Any], others: list[dict[str, Any]], path: Steps, found: list[Steps]) -> None:
    """Add the paths of what is emptied below a path; `own` and `others` are the trees of fields there."""
    is_absent = desired is _ABSENT
    if not parts_of(own) or (is_absent and not others) or not (is_absent or type(desired) is type(live)):
        return  # without parts, it is applied as one value
    is_emptied = live and path and path[-1][:2] == "f:" and _is_whole(live, own) and not any(map(parts_of, others))
    if is_emptied and (is_absent or not desired):
        found.append(path)
        return
    for step, below in own.items():
        place, wanted = _place(step, live), _place(step, desired)
        if place is not None:
            trees = [tree[step] for tree in others if step in tree]
            _collect(_ABSENT if wanted is None else desired[wanted], live[place], below, trees, [*path, step], found)


def _place(step: str, value: Any) -> Any:
    """The key or the position that a step in a tree leads to, or None."""
    if isinstance(value, dict):
        return step[2:] if step[:2] == "f:" and step[2:] in value else None
    if not isinstance(value, list) or step[:2] != "k:":
        return None
    keys = json.loads(step[2:])
    items = [(number, item) for number, item in enumerate(value) if isinstance(item, dict)]
    positions = [number for number, item in items if keys.items() <= item.items()]
    # A manifest may lack a key that has a default.
    positions = positions or [number for number, item in items if all(item.get(name, key) == key for name, key in keys.items())]
    return positions[0] if len(positions) == 1 else None


def _is_whole(live: Any, tree: dict[str, Any]) -> bool:
    """Whether every part of a value is in its tree, in which case an apply removes all below them, too, such as defaults."""
    parts = parts_of(tree)
    if isinstance(live, list):
        return len(live) == len(parts) and all(ITSELF in below or step[:2] == "v:" for step, below in parts.items())
    return isinstance(live, dict) and all(f"f:{name}" in parts for name in live)
