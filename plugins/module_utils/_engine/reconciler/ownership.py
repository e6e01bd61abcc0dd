# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Field ownership: trees of `metadata.managedFields` (fieldsV1, KEP-555) as sets of paths. Nothing here sends a request.

A tree maps a step (`f:NAME`, `k:{"name": …}`, `v:VALUE`) to the tree below it. A path is in the set if its tree is empty or
has the step `.`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fields import owned_fields, tree_of

if TYPE_CHECKING:
    from ..values import Manifest

ITSELF = "."
# The field manager of the replicas of an autoscaled object, from when they are no longer applied until the autoscaler sets them.
HANDOVER = "podwright-handover"


def subtract(tree: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any] | None:
    """The paths of `tree` that are not in `taken`, or None if none is left.

    A path in `taken` without paths below it takes all paths of `tree` below it (the API treats it as one value). A map itself
    is only left as long as one of its fields is.
    """
    if not _children(taken):
        return None
    if not _children(tree):
        return None if ITSELF in taken else tree
    rest = {}
    for step, below in _children(tree).items():
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


def _loses_fields(entry: dict[str, Any], manager: str, is_first_apply: bool) -> bool:
    if entry.get("subresource"):
        return False
    if entry.get("operation") == "Update" or entry.get("manager") == HANDOVER:
        return True
    return is_first_apply and entry.get("manager") != manager


def _children(tree: dict[str, Any]) -> dict[str, Any]:
    return {step: below for step, below in tree.items() if step != ITSELF}
