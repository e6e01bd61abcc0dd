# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Field ownership as server-side apply records it: `metadata.managedFields` (fieldsV1, KEP-555)."""

from __future__ import annotations

import json

from .quantity import same_quantity

# Under these keys, values are quantities and equal by value.
QUANTITY_PARENTS = frozenset(("limits", "requests", "hard", "capacity", "default", "defaultRequest", "min", "max", "allocatable", "overhead"))
# What the API fills in inside values that it treats as one; whatever is missing here costs a request, no false change.
FILLED_IN = frozenset((("protocol", "TCP"), ("scheme", "HTTP"), ("apiGroup", ""), ("apiVersion", "v1"), ("divisor", "0"), ("optional", "False")))
QUANTITY_FIELDS = frozenset(("sizeLimit", "divisor", "averageValue"))


def owned_fields(live, manager):
    """The tree of fields that `manager` applied to the object, or None where it never did."""
    for entry in live["metadata"].get("managedFields") or []:
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return entry.get("fieldsV1") or {}
    return None


def is_current(desired, live, manager):
    """Whether applying `desired` as `manager` would change nothing.

    It holds where every desired value is live, we own it, and we own nothing beyond it (a field dropped from the desired
    state is one we still own). A field that somebody else changed by hand is no longer ours, so even lists that the API
    treats as one value need no full comparison. False only costs a request: the server then decides.
    """
    tree = owned_fields(live, manager)
    if tree is None or live["metadata"].get("deletionTimestamp"):
        return False
    return _is_covered(_without_identity(desired), live, tree, False)


def dropped_fields(desired, live, trees):
    """Paths that the trees own and `desired` lacks, as (list of keys) into `live`; what an apply would remove."""
    found = []
    for tree in trees:
        _collect_dropped(_without_identity(desired), live, tree, [], found)
    return found


def _without_identity(desired):
    metadata = {key: value for key, value in desired["metadata"].items() if key not in ("name", "namespace")}
    rest = {key: value for key, value in desired.items() if key not in ("apiVersion", "kind", "metadata")}
    return rest | ({"metadata": metadata} if metadata else {})


def _is_covered(desired, live, tree, quantity):
    if isinstance(desired, dict) and isinstance(live, dict):
        return _is_map_covered(desired, live, tree, quantity)
    if isinstance(desired, list) and isinstance(live, list):
        return _is_list_covered(desired, live, tree)
    return False


def _is_map_covered(desired, live, tree, quantity):
    present = {key: value for key, value in desired.items() if value is not None}
    if any(key[2:] not in present for key in tree if key.startswith("f:")):
        return False
    for key, value in present.items():
        below = tree.get(f"f:{key}")
        if below is None:
            if value in ({}, []) and live.get(key) in (None, {}, []):
                continue
            return False
        if key not in live:
            if value in ({}, []) and below == {}:
                continue
            return False
        is_quantity = quantity or key in QUANTITY_FIELDS
        if not [name for name in below if name != "."]:
            # The API treats it as one value: what is live beyond it would go.
            if not is_same(value, live[key], is_quantity or key in QUANTITY_PARENTS, whole=True):
                return False
        elif not _is_covered(value, live[key], below, key in QUANTITY_PARENTS):
            return False
    return True


def _is_list_covered(desired, live, tree):
    values = [json.loads(key[2:]) for key in tree if key.startswith("v:")]
    if values:
        return sorted(map(str, values)) == sorted(map(str, desired)) and all(item in live for item in desired)
    keyed = [(json.loads(key[2:]), below) for key, below in tree.items() if key.startswith("k:")]
    if len(keyed) != len(desired):
        return False
    for keys, below in keyed:
        ours, theirs = _find(desired, keys, lenient=True), _find(live, keys)
        if ours is None or theirs is None:
            return False
        if not below:  # an item that is one value, such as an owner reference
            if not is_same(ours, theirs, whole=True):
                return False
        elif not _is_map_covered(ours, theirs, below, False):
            return False
    return True


def _find(items, keys, lenient=False):
    """The list item with these key values; `lenient` lets a key be absent where the API fills in its default (a port's protocol)."""
    for item in items:
        if isinstance(item, dict) and all(item.get(name, value if lenient else None) == value for name, value in keys.items()):
            return item
    return None


def is_same(desired, live, quantity=False, whole=False):
    """Whether a value is contained in the live one: maps by key, lists item by item, quantities by value.

    Args:
        whole: nothing may be live beyond it, but what the API fills in by itself.
    """
    if isinstance(desired, dict) and isinstance(live, dict):
        if whole and any(key not in desired and (key, str(value)) not in FILLED_IN for key, value in live.items()):
            return False
        return all(
            value is None
            or value == live.get(key)
            or (key in live and is_same(value, live[key], quantity or key in QUANTITY_PARENTS or key in QUANTITY_FIELDS, whole))
            for key, value in desired.items()
        )
    if isinstance(desired, list) and isinstance(live, list):
        return len(desired) == len(live) and all(is_same(*pair, whole=whole) for pair in zip(desired, live))
    if type(desired) is type(live) and desired == live:
        return True
    return quantity and same_quantity(desired, live)


def _collect_dropped(desired, live, tree, path, found):
    for key, below in tree.items():
        sort, _sep, name = key.partition(":")
        if sort == "f" and isinstance(live, dict) and name in live:
            ours = desired.get(name) if isinstance(desired, dict) else None
            if ours is None:
                found.append([*path, name])
            elif below:
                _collect_dropped(ours, live[name], below, [*path, name], found)
        elif sort == "k" and isinstance(live, list):
            keys = json.loads(name)
            theirs = _find(live, keys)
            if theirs is None:
                continue
            ours = _find(desired, keys, lenient=True) if isinstance(desired, list) else None
            position = [*path, live.index(theirs)]
            if ours is None:
                found.append(position)
            else:
                _collect_dropped(ours, theirs, below, position, found)
