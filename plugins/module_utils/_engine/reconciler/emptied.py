# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Maps and lists of custom resources that a manifest empties. Nothing here sends a request.

An apply that removes the last part of a map or list leaves null instead of the empty one that is desired. The API server refuses that, or stores it until the
next apply. To built-in types null is an empty value.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from ..cluster.kinds import is_built_in
from ..text import pointer_step
from .fields import is_apply_of, owned_fields, tree_of
from .ownership import ITSELF

if TYPE_CHECKING:
    from ..values import Manifest, Patch


def emptied_fields(desired: Manifest, item: Manifest, manager: str) -> list[list[str]]:
    """The maps and lists of a custom resource that are empty in its desired state, and all parts of which `manager` alone has applied.

    Args:
        item: the live object.

    Returns: their paths, as steps in the tree of fields.
    """
    if is_built_in(desired["apiVersion"]):
        return []
    own = owned_fields(item, manager) or {}
    others = [tree_of(entry) or {} for entry in item["metadata"].get("managedFields") or [] if not is_apply_of(entry, manager)]
    found: list[list[str]] = []
    _collect({name: value for name, value in desired.items() if name != "metadata"}, item, own, others, [], found)
    return found


def without_emptied(desired: Manifest, paths: list[list[str]]) -> Manifest:
    """A manifest without the values at some paths, nor what would be empty without them: an apply of it removes them as a whole."""
    for path in paths:
        desired = _without(desired, path)
    return desired


def with_emptied(item: Manifest, paths: list[list[str]], desired: Manifest) -> Manifest | None:
    """An object with the empty values that a manifest has at some paths; None if it has others there, such as defaults, or lacks what contains them."""
    item = deepcopy(item)
    for path in paths:
        value, wanted = item, desired
        for step in path[:-1]:
            place = _place(step, value)
            if place is None:
                return None
            value, wanted = value[place], wanted[_place(step, wanted)]
        name = path[-1][2:]
        if value.get(name):
            return None
        value[name] = type(wanted[name])()
    return item


def emptying_patch(item: Manifest, paths: list[list[str]]) -> Patch:
    """The patch that empties the maps and lists at some paths of an object, and that conflicts with any other change of it."""
    patch: Patch = [{"op": "replace", "path": "/metadata/resourceVersion", "value": item["metadata"]["resourceVersion"]}]
    for path in paths:
        value: Any = item
        pointer = ""
        for step in path:
            place = _place(step, value)
            value, pointer = value[place], f"{pointer}/{pointer_step(place)}"
        patch.append({"op": "replace", "path": pointer, "value": type(value)()})
    return patch


def _without(value: Any, path: list[str]) -> Any:
    place, rest = _place(path[0], value), path[1:]
    part = _without(value[place], rest) if rest else None
    if isinstance(value, list):
        return [part if number == place else item for number, item in enumerate(value)]
    return {key: part if key == place else item for key, item in value.items() if key != place or part}


def _collect(desired: Any, live: Any, own: dict[str, Any], others: list[dict[str, Any]], path: list[str], found: list[list[str]]) -> None:
    """Add the paths of what is emptied below a path; `own` and `others` are the trees of fields there."""
    if not _has_parts(own) or type(desired) is not type(live):
        return  # without parts, it is applied as one value
    if live and not desired:
        if path and path[-1][:2] == "f:" and _is_whole(live, own) and not any(map(_has_parts, others)):
            found.append(path)
        return
    for step, below in own.items():
        place, wanted = _place(step, live), _place(step, desired)
        is_ambiguous = isinstance(desired, list) and [_place(other, desired) for other in own].count(wanted) > 1  # without a key that has a default
        if place is not None and wanted is not None and not is_ambiguous:
            _collect(desired[wanted], live[place], below, [tree.get(step, {}) for tree in others], [*path, step], found)


def _place(step: str, value: Any) -> Any:
    """The key or the position that a step in a tree leads to, or None."""
    if isinstance(value, dict):
        return step[2:] if step[:2] == "f:" and step[2:] in value else None
    if not isinstance(value, list) or step[:2] != "k:":
        return None
    keys = json.loads(step[2:])
    positions = [number for number, item in enumerate(value) if isinstance(item, dict) and all(item.get(name, key) == key for name, key in keys.items())]
    return positions[0] if len(positions) == 1 else None  # a manifest may lack a key that has a default


def _is_whole(live: Any, tree: dict[str, Any]) -> bool:
    """Whether every part of a value is in the tree."""
    if ITSELF in tree or not _has_parts(tree):
        return True
    if isinstance(live, list):
        return len(live) == len(tree) and all(ITSELF in below or step[:2] == "v:" for step, below in tree.items())
    return isinstance(live, dict) and all(f"f:{name}" in tree and _is_whole(part, tree[f"f:{name}"]) for name, part in live.items())


def _has_parts(tree: dict[str, Any]) -> bool:
    return bool(tree.keys() - {ITSELF})
