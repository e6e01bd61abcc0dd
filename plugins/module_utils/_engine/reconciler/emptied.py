# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Maps and lists of custom resources that a manifest empties. Nothing here sends a request.

An apply that removes the last part of a map or list leaves null instead of the empty one that is desired. The API server refuses that, or stores it until the
next apply. To built-in types null is an empty value.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..cluster.kinds import is_built_in
from .fields import tree_of

if TYPE_CHECKING:
    from ..values import Manifest, Patch

ITSELF = "."


def emptied_fields(desired: Manifest, item: Manifest, manager: str) -> list[list[Any]]:
    """The maps and lists of a custom resource that are empty in its desired state, and all parts of which `manager` alone has applied.

    Args:
        item: the live object.

    Returns: their paths, as keys and positions in `item`.
    """
    if is_built_in(desired["apiVersion"]):
        return []
    own: dict[str, Any] = {}
    others = []
    for entry in item["metadata"].get("managedFields") or []:
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            own = tree_of(entry) or {}
        else:
            others.append(tree_of(entry) or {})
    found: list[list[Any]] = []
    _collect({name: value for name, value in desired.items() if name != "metadata"}, item, own, others, [], found)
    return found


def emptying_patch(item: Manifest, paths: list[list[Any]]) -> Patch:
    """The patch that empties the maps and lists at some paths of an object, and that conflicts with any other change of it."""
    patch: Patch = [{"op": "replace", "path": "/metadata/resourceVersion", "value": item["metadata"]["resourceVersion"]}]
    for path in paths:
        value: Any = item
        for step in path:
            value = value[step]
        pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
        patch.append({"op": "replace", "path": pointer, "value": type(value)()})
    return patch


def _collect(desired: Any, live: Any, own: dict[str, Any], others: list[dict[str, Any]], path: list[Any], found: list[list[Any]]) -> None:
    """Add the paths of what is emptied below a path; `own` and `others` are the trees of fields there."""
    if not _has_parts(own) or type(desired) is not type(live):
        return  # without parts, it is applied as one value
    if live and not desired:
        if _is_whole(live, own) and not any(map(_has_parts, others)):
            found.append(path)
        return
    for step, below in own.items():
        place, wanted = _place(step, live), _place(step, desired)
        if place is not None and wanted is not None:
            _collect(desired[wanted], live[place], below, [tree.get(step, {}) for tree in others], [*path, place], found)


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
