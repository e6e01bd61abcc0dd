# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields that exclude or restore each other.

Of those that exclude each other, an apply of one does not remove another one that it does not own, and is refused.

The other one may be a default of the API server, such as `rollingUpdate` beside `strategy: {type: Recreate}` and `emptyDir` of a volume, or belong to the tool
that applied the object before. In the API's schema most of these have the patch strategy `retainKeys`, which server-side apply ignores: it removes fields only
if the manager owns them alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..cluster.kinds import JOB, POD, is_built_in
from ..errors import PodwrightError
from .fields import dropped_fields, owned_fields, tree_of
from .ownership import steps_of
from .schema import identity_of, merge_keys

if TYPE_CHECKING:
    from ..cluster.kinds import Kind
    from ..values import Manifest

# How the API server (1.29 to 1.36) words such a refusal.
EXCLUSION = re.compile(
    r"may not specify more than 1 |may not be specified when |only allowed for updateStrategy|cannot be both set|cannot set both |exactly one of url or service"
    r"|should not be set when strategy is not set to Webhook"
)
# Fields that no two ports of a list may have the same of, and the name that each of several ports of a Service must have.
_PORT = re.compile(r"\bports\[\d+\]\.(name|nodePort)\Z")
_MISSING, _TWICE = "Required value", "Duplicate value"
_NUMBER = re.compile("[0-9]+")
_POSITION = re.compile(r"\[(\d+)\]")
_STRATEGIES = ("strategy", "updateStrategy")
_MOUNT = re.compile(r"\.volume(Mounts|Devices)\[\d+\]\.name\Z")
_HANDLERS = frozenset(("exec", "httpGet", "tcpSocket", "grpc", "sleep"))
# The fields of which one is allowed, by the name of the field that contains them.
_ALTERNATIVES = {
    **dict.fromkeys(_STRATEGIES, frozenset(("rollingUpdate",))),
    **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe", "postStart", "preStop"), _HANDLERS),
    "env": frozenset(("value", "valueFrom")),
    "defaultBackend": frozenset(("service", "resource")),
    "clientConfig": frozenset(("service", "url")),
    "spec": frozenset(("minAvailable", "maxUnavailable")),  # of a PodDisruptionBudget
}
# The other name of a field, which the API server sets, too, and from which it restores the field.
_ALIASES = {"serviceAccountName": "serviceAccount", "serviceAccount": "serviceAccountName"}


def excluded_fields(kind: Kind, desired: Manifest, item: Manifest, tree: dict[str, Any], refusal: PodwrightError) -> list[list[Any]]:
    """The fields of an object that the desired ones exclude, and what is left of dropped ones, because of which an apply was refused.

    A dropped field, such as a probe, keeps the defaults in it that belong to the tool which created the object, and is not valid without the rest.

    Args:
        item: the object, as observed or predicted.
        tree: the fields that were applied before.

    Returns: their paths, as keys and positions in `item`; empty unless the refusal is about nothing else.
    """
    if refusal.status != 422 or not is_built_in(kind.api_version):
        return []
    whole = [path for path in dropped_fields(desired, item, [tree], is_whole=True) if _is_of_one_piece(path) and isinstance(_value_at(item, path), dict)]
    dropped = [path for path in whole if not _is_applied_by_others(item, path, tree)]
    names = tuple(_generic(".".join(map(str, path))) for path in dropped)
    are_left = [bool(names) and _generic(_POSITION.sub(r".\1", cause["field"])).startswith(names) for cause in refusal.causes]
    are_excluded = [bool(EXCLUSION.search(cause["message"])) for cause in refusal.causes]
    # The mounts of a volume with two sources are refused, too: it counts as missing.
    are_mounts = [bool(_MOUNT.search(cause["field"])) and cause["message"].startswith("Not found") for cause in refusal.causes]
    about_ports = [cause["message"].startswith((_MISSING, _TWICE)) and bool(_PORT.search(cause["field"])) for cause in refusal.causes]
    if not all(map(any, zip(are_left, are_excluded, are_mounts, about_ports))):
        return []
    found = (dropped if any(are_left) else []) + (list(_find(desired, item)) if any(are_excluded) else [])
    found += _find_ports(desired, item, any(cause["message"].startswith(_MISSING) for cause in refusal.causes)) if any(about_ports) else []
    return [path for number, path in enumerate(found) if path not in found[:number]]


def explain_exclusion(item: Manifest, paths: list[list[Any]], manager: str, refusal: PodwrightError) -> PodwrightError:
    """The error for an apply that must not take fields from others, and was refused because these exclude the desired ones: it names their managers.

    Args:
        paths: the fields in `item`, from `excluded_fields`.
    """
    fields: defaultdict[str, list[str]] = defaultdict(list)
    entries = (item.get("metadata") or {}).get("managedFields") or []
    for path in paths:
        owners = {str(entry.get("manager")) for entry in entries if _value_at(tree_of(entry), steps_of(path, item)) is not None} - {manager}
        shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        fields[" and ".join(f"'{owner}'" for owner in sorted(owners)) or "the API server by default"].append(shown[1:])
    owned = "; ".join(f"{', '.join(names)} (of {owners})" for owners, names in fields.items())
    return PodwrightError(
        f"{refusal.message.rstrip('.')}. Live fields that the manifest does not contain contradict it: {owned}.",
        status=refusal.status,
        reason="Conflict",
        causes=refusal.causes,
        hint="Set conflicts to take to remove them, or change the manifest so that it agrees with them.",
    )


def alias_fields(kind: Kind, desired: Manifest, item: Manifest, manager: str) -> list[list[Any]]:
    """The fields with another name that the desired state has dropped, and these other names: an apply would not remove them.

    Args:
        item: the observed object.

    Returns: their paths in it; empty if another applier owns one of them, which so keeps both.
    """
    if not is_built_in(kind.api_version) or kind in (POD, JOB):  # whose specs are immutable
        return []
    found: list[list[Any]] = []
    tree = owned_fields(item, manager) or {}
    for path in dropped_fields(desired, item, [tree]):
        parent, alias = path[:-1], _ALIASES.get(path[-1])
        wanted = _value_at(desired, parent)
        if alias in (_value_at(item, parent) or {}) and (wanted is None or (isinstance(wanted, dict) and alias not in wanted)):
            found += [path, [*parent, alias]]
    return [] if any(_is_applied_by_others(item, path, tree) for path in found) else found


def _is_applied_by_others(item: Manifest, path: list[Any], tree: dict[str, Any]) -> bool:
    """Whether an applier other than that of the tree owns a part of a field."""
    entries = (item.get("metadata") or {}).get("managedFields") or []
    others = [tree_of(entry) for entry in entries if entry.get("operation") == "Apply"]
    if tree in others:
        others.remove(tree)
    return any(_value_at(other, steps_of(path, item)) is not None for other in others)


def _is_of_one_piece(path: list[Any]) -> bool:
    """Whether a field is a probe, a hook, the source of a volume or the conversion of a definition, of which no part is of use without the rest."""
    return path[-1] in ("lifecycle", "conversion") or _ALTERNATIVES.get(path[-1]) is _HANDLERS or path[-3:-2] == ["volumes"]


def _value_at(item: Any, path: list[Any]) -> Any:
    """The value at a path; None if there is none."""
    for step in path:
        if isinstance(item, list):
            item = item[step] if isinstance(step, int) and step < len(item) else None
        else:
            item = item.get(step) if isinstance(item, dict) else None
    return item


def _generic(field: str) -> str:
    """A path that ends with a dot, without positions in lists, which differ between an object and what an apply would make of it."""
    return "".join(f"{step}." for step in field.split(".") if not _NUMBER.fullmatch(step))


def _pairs(desired: Any, live: Any, path: list[Any]) -> Iterator[tuple[str, Any, Any, list[Any]]]:
    """(name, desired value, live value, path) of each mapping and list in both states."""
    name = next((step for step in reversed(path) if isinstance(step, str)), "")
    if isinstance(desired, list) and isinstance(live, list):
        yield name, desired, live, path
        wanted = {_identity(name, item): item for item in desired}
        for index, item in enumerate(live):
            yield from _pairs(wanted.get(_identity(name, item)), item, [*path, index])
    elif isinstance(desired, dict) and isinstance(live, dict):
        yield name, desired, live, path
        for key in desired.keys() & live.keys():
            yield from _pairs(desired[key], live[key], [*path, key])


def _find(desired: Manifest, live: Manifest) -> Iterator[list[Any]]:
    """The fields of an object that the desired ones exclude."""
    for name, wanted, there, path in _pairs(desired, live, []):
        if isinstance(wanted, dict):
            yield from _exclusions(name, wanted, there, path)


def _find_ports(desired: Manifest, live: Manifest, needs_names: bool) -> Iterator[list[Any]]:
    """The ports that others have added to an object, or made of desired ones, and that contradict those."""
    for name, wanted, there, path in _pairs(desired, live, []):
        if name != "ports" or not isinstance(wanted, list):
            continue
        kept, are_named = {_identity(name, item) for item in wanted}, all(item.get("name") for item in wanted)
        taken = {(key, item[key]) for item in wanted for key in ("name", "nodePort") if key in item}
        for index, item in enumerate(there):
            is_unnamed = needs_names and not (are_named and item.get("name"))
            if _identity(name, item) not in kept and (is_unnamed or not taken.isdisjoint(item.items())):
                yield [*path, index]


def _exclusions(name: str, desired: Manifest, live: Manifest, path: list[Any]) -> Iterator[list[Any]]:
    """The fields of a mapping that those of its desired state exclude."""
    alternatives = (live.keys() | desired.keys()) - {"name"} if name == "volumes" else _ALTERNATIVES.get(name, frozenset())
    if name in _STRATEGIES and "rollingUpdate" in desired and live.get("type") != "RollingUpdate" and "type" not in desired:
        yield [*path, "type"]
    if name == "conversion" and desired.get("strategy", "Webhook") != "Webhook" and "webhook" in live.keys() - desired.keys():
        yield [*path, "webhook"]
    # Without another choice of its own, a manifest leaves the field to its owner.
    if desired.get("type") not in (None, "RollingUpdate") if name in _STRATEGIES else desired.keys() & alternatives:
        yield from ([*path, key] for key in sorted((live.keys() & alternatives) - desired.keys()))


def _identity(name: str, item: Any) -> tuple[str, ...]:
    """The merge keys of an item in a list of this name."""
    return tuple(map(str, identity_of(item, merge_keys(name, item)))) if isinstance(item, dict) else ()
