# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose fields are whose: trees of `metadata.managedFields` (fieldsV1, KEP-555) as sets of paths. Nothing here talks to a server.

A tree maps a step (`f:NAME`, `k:{"name": …}`, `v:VALUE`) to the tree below it. A path is in the set if its tree is empty or
has the step `.`.
"""

from __future__ import annotations

from .fields import owned_fields

ITSELF = "."
# Holds the replicas of what an autoscaler scales from when we stop applying them until the autoscaler writes them.
HANDOVER = "podwright-handover"


def subtract(tree: dict, taken: dict) -> dict | None:
    """The paths of `tree` that are not in `taken`, or None if none is left.

    A path in `taken` without any below it takes all that `tree` has below it (the API treats it as one value). A map that
    `tree` created goes with the last of its own fields in it.
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


def released_entries(item: dict, manager: str, is_first_apply: bool = False) -> list | None:
    """The managedFields once what `manager` applied is its own, or None if that is so already.

    Entries of the operation Update give up what was applied: nobody else ever takes a field out of them, and one that is
    dropped from a manifest would stay. With the first apply an object moves from one applier to another; afterwards two
    appliers of the same value share it, and each may drop its part.
    """
    taken = owned_fields(item, manager)
    before = item["metadata"].get("managedFields") or []
    if not taken:
        return None
    after = []
    for entry in before:
        tree = entry.get("fieldsV1") or {}
        left = subtract(tree, taken) if _gives_up(entry, manager, is_first_apply) else tree
        if left == tree:
            after.append(entry)
        elif left is not None:
            after.append(entry | {"fieldsV1": left})
    return None if after == before else after


def _gives_up(entry, manager, is_first_apply):
    if entry.get("subresource"):
        return False
    if entry.get("operation") == "Update" or entry.get("manager") == HANDOVER:
        return True
    return is_first_apply and entry.get("manager") != manager


def _children(tree: dict) -> dict:
    return {step: below for step, below in tree.items() if step != ITSELF}
