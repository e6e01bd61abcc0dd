# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Field ownership: trees of `metadata.managedFields` (fieldsV1, KEP-555) as sets of paths. Nothing here sends a request.

A tree maps a step (`f:NAME`, `k:{"name": …}`, `v:VALUE`) to the tree below it. A path is in the set if its tree is empty or
has the step `.`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .fields import ITSELF, is_apply_of, owned_fields, parts_of, tree_of
from .schema import merge_keys

if TYPE_CHECKING:
    from ..values import Manifest

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # as the API server writes keys
# The field manager of the replicas of an autoscaled object, from when they are no longer applied until the autoscaler sets them.
HANDOVER = "podwright-handover"


def subtract(tree: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any] | None:
    """The paths of `tree` that are not in `taken`, or None if none is left.

    A path in `taken` without paths below it takes all paths of `tree` below it (the API treats it as one value). A map itself
    is only left as long as one of its fields is.
    """
    if not parts_of(taken):
        return None
    if not parts_of(tree):
        return None if ITSELF in taken else tree
    rest = {}
    for step, below in parts_of(tree).items():
        left = subtract(below, taken[step]) if step in taken else below
        if left is not None:
            rest[step] = left
    if ITSELF in tree and ITSELF not in taken and rest:
        rest[ITSELF] = tree[ITSELF]
    return rest or None


def released_entries(item: Manifest, manager: str, is_first_apply: bool = False) -> list[dict[str, Any]] | None:
    """The managedFields in which `manager` is the only owner of what it applied, or None if it is already.

    Entries of the operation Update lose the applied fields: the API server never removes fields from them, so that a field
    dropped from a manifest would stay. So do those of other appliers after the first apply, which moves the object from one
    applier to another. After later applies two appliers of the same value share it, and each can drop its own fields.
    """
    taken = owned_fields(item, manager)
    before: list[dict[str, Any]] = item["metadata"].get("managedFields") or []
    if not taken:
        return None
    after = []
    for entry in before:
        tree = tree_of(entry) or {}
        left = subtract(tree, taken) if _loses_fields(entry, manager, is_first_apply) else tree
        if left == tree:
            after.append(entry)
        elif left is not None:
            after.append(entry | {"fieldsV1": left})
    return None if after == before else after


def disowned_entries(item: Manifest, before: Manifest, manager: str) -> list[dict[str, Any]] | None:
    """The managedFields of an object without what `manager` has patched since it was as `before`, or None if that is nothing."""
    entries, former = (seen["metadata"].get("managedFields") or [] for seen in (item, before))
    after = [entry for entry in entries if not _is_update_of(entry, manager)] + [entry for entry in former if _is_update_of(entry, manager)]
    return None if after == entries else after


def claimed_entries(item: Manifest, manager: str, paths: Iterable[list[Any]]) -> list[dict[str, Any]]:
    """The managedFields in which the fields at some paths belong to what `manager` applied, and to nobody else: its next apply removes them.

    Args:
        paths: keys and positions in `item`, which lead through lists whose items have merge keys.
    """
    claims: dict[str, Any] = {}
    for path in paths:
        tree = claims
        for step in steps_of(path, item):
            tree = tree.setdefault(step, {})
    own = {"manager": manager, "operation": "Apply", "apiVersion": item["apiVersion"], "fieldsType": "FieldsV1", "fieldsV1": {}}
    entries: list[dict[str, Any]] = []
    for entry in item["metadata"].get("managedFields") or []:
        if is_apply_of(entry, manager):
            own = entry
            continue
        left = subtract(tree_of(entry) or {}, claims)
        if left is not None:
            entries.append(entry | {"fieldsV1": left})
    return [*entries, own | {"fieldsV1": _union(tree_of(own) or {}, claims)}]


def steps_of(path: list[Any], item: Manifest) -> list[str]:
    """The steps in a tree to a path of keys and positions in an object."""
    steps, name, value = [], "", item
    for step in path:
        if isinstance(step, int):
            keys = {key: value[step][key] for key in merge_keys(name, value[step])}  # type: ignore[index]
            steps.append(f"k:{_encode(keys)}")
        else:
            steps.append(f"f:{step}")
            name = step
        value = value[step]
    return steps


def _union(tree: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """The paths of both trees; a path of `added` without paths below it includes all below it."""
    return tree | {step: _union(tree.get(step, {}), below) if below else {} for step, below in added.items()}


def _is_update_of(entry: dict[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and entry.get("operation") == "Update" and not entry.get("subresource")


def _loses_fields(entry: dict[str, Any], manager: str, is_first_apply: bool) -> bool:
    if entry.get("subresource"):
        return False
    if entry.get("operation") == "Update" or entry.get("manager") == HANDOVER:
        return True
    return is_first_apply and entry.get("manager") != manager
