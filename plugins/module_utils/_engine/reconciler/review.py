# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan for its review: plain data without secret values that is the same in each run, its digest, and the difference between two plans."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..libraries import load
from ..objects.labels import LAST_SCALED
from ..text import pointer_step
from .manifest import bare

if TYPE_CHECKING:
    from ..values import Manifest, Result
    from .manifest import Redactor
    from .plan import Change

FORMAT = 1  # of the entries
DIGEST_PREFIX = "sha256:"
_VOLATILE_ANNOTATIONS = (LAST_SCALED,)  # a time
_LISTED, _LINES = 20, 30  # objects, and lines of each, in a text
_ABSENT: Any = object()
_encode = json.JSONEncoder(sort_keys=True).encode  # json.dumps with sort_keys creates an encoder for each call
_IDENTITY = ("cluster", "api_version", "kind", "namespace", "name")


def review_entries(changes: Sequence[Change], redactor: Callable[..., Redactor], clusters: Sequence[str | None] = ()) -> list[Result]:
    """The entries of a plan for its review, sorted; objects that stay as they are have none.

    Each has `action`, `api_version`, `kind`, `namespace`, `name`, the `uid` of the live object if it is changed or deleted, and `manifest` (of an object
    that is created or replaced) or `fields` (a JSON Pointer -> its values `before` and `after`). `note` says why; the digest does not cover it.
    If there are several clusters, `cluster` is the name of the one of the change.

    Args:
        redactor: replaces secret values. Numbers take their place: a digest of the values would either allow to guess them or differ between runs.
    """
    pairs = zip(changes, clusters or [None] * len(changes))
    entries = [_entry(change, redactor(is_numbered=True)) | ({"cluster": name} if name else {}) for change, name in pairs if change.is_change]
    return sorted(entries, key=_canonical)


def digest_of(entries: Iterable[Result]) -> str:
    """The digest of a plan: equal if and only if the entries are, but for their notes and their order."""
    plain = {"format": FORMAT, "changes": sorted(_canonical(entry) for entry in entries)}
    return DIGEST_PREFIX + hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _canonical(entry: Any) -> str:
    if isinstance(entry, dict) and "note" in entry:
        entry = {name: value for name, value in entry.items() if name != "note"}
    return _encode(entry)


def _entry(change: Change, redactor: Redactor) -> Result:
    key = change.key
    entry: Result = {"action": change.action, "api_version": change.kind.api_version, "kind": key.kind, "namespace": key.namespace, "name": key.name}
    if change.before and change.action != "create":
        entry["uid"] = change.before["metadata"].get("uid")
    if change.action not in ("create", "replace", "delete"):
        before, after = (_visible(state, redactor) for state in (change.before, change.after))
        entry["fields"] = dict(_differences(before, after, ""))
    if change.action != "delete" and not entry.get("fields"):
        entry["manifest"] = _visible(change.desired or change.after, redactor)
    return entry | ({"note": change.note} if change.note else {})


def _visible(state: Manifest | None, redactor: Redactor) -> Manifest:
    """A state of an object without secret values, and without what differs in each run; keys are sorted, so that secret values have the same numbers."""
    if state is None:
        return {}
    item = bare(json.loads(json.dumps(state, sort_keys=True)))
    annotations = item["metadata"].get("annotations") or {}
    kept = {name: value for name, value in annotations.items() if name not in _VOLATILE_ANNOTATIONS}
    if kept != annotations:
        item["metadata"] = {name: value for name, value in item["metadata"].items() if name != "annotations"} | ({"annotations": kept} if kept else {})
    return redactor.redact(item)


def _differences(before: Any, after: Any, path: str) -> Iterable[tuple[str, Result]]:
    """(JSON Pointer, values before and after) of what differs, mapping by mapping down to their values; lists item by item if they have the same length.

    A mapping that is added or removed counts as its values: whether others have written to the same mapping makes no difference.
    """
    if isinstance(before, dict) and before and after is _ABSENT:
        after = {}
    elif isinstance(after, dict) and after and before is _ABSENT:
        before = {}
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            pointer = f"{path}/{pointer_step(name)}"
            yield from _differences(before.get(name, _ABSENT), after.get(name, _ABSENT), pointer)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after)):
            yield from _differences(one, other, f"{path}/{index}")
    else:
        values = {side: value for side, value in (("before", before), ("after", after)) if value is not _ABSENT}
        # To Python true is 1.
        if len(values) == 1 or json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):
            yield path, values


# -- text -----------------------------------------------------------------------------------------------------


def _title(entry: Result) -> str:
    place = f" in namespace '{entry['namespace']}'" if entry.get("namespace") else ""
    place += f" in cluster '{entry['cluster']}'" if entry.get("cluster") else ""
    return f"{entry.get('action')} {entry.get('kind')} '{entry.get('name')}'{place}"


def _lines(entry: Result) -> list[str]:
    """An entry as lines of YAML, without what its title says."""
    shown = {name: entry[name] for name in ("action", "uid", "fields", "manifest") if name in entry}
    text: str = load("yaml").safe_dump(shown, sort_keys=True, width=200)
    return text.splitlines()


def outline(entries: Sequence[Result]) -> str:
    """A plan as text: one line for each object, and one for each field that changes."""
    blocks = []
    for entry in entries[:_LISTED]:
        fields = [f"  {pointer}: {_values(values)}" for pointer, values in (entry.get("fields") or {}).items()]
        blocks.append([f"- {_title(entry)}", *fields])
    return _join(blocks, len(entries))


def _values(values: Result) -> str:
    before, after = (json.dumps(values[side], sort_keys=True, ensure_ascii=False) if side in values else "absent" for side in ("before", "after"))
    return f"{before} -> {after}"


def compare_plans(reviewed: Sequence[Result], present: Sequence[Result]) -> str:
    """The difference between two plans as text: what was not reviewed, what is no longer planned, and what differs, object by object."""
    old, new = _by_object(reviewed), _by_object(present)
    pairs = [(old.get(identity, []), new.get(identity, [])) for identity in sorted(old.keys() | new.keys())]
    differing = [pair for pair in pairs if list(map(_canonical, pair[0])) != list(map(_canonical, pair[1]))]
    return _join([_compare(*pair) for pair in differing[:_LISTED]], len(differing))


def _compare(before: list[Result], after: list[Result]) -> list[str]:
    """The difference between the entries of one object as lines."""
    if not before or not after:
        return [f"- {'no longer planned' if before else 'not reviewed'}: {_title(entry)}" for entry in before or after]
    one, other = ([line for entry in entries for line in _lines(entry)] for entries in (before, after))
    changed = load("difflib").unified_diff(one, other, "reviewed", "now", n=1, lineterm="")
    return [f"- differs: {_title(after[0])}", *(f"  {line}" for line in changed)]


def _by_object(entries: Sequence[Result]) -> dict[tuple[str, ...], list[Result]]:
    """The sorted entries by what identifies their object: an object can change more than once, and generated names are equal."""
    found: dict[tuple[str, ...], list[Result]] = {}
    for entry in sorted(entries, key=_canonical):
        found.setdefault(tuple(str(entry.get(name)) for name in _IDENTITY), []).append(entry)
    return found


def _join(blocks: Sequence[list[str]], total: int) -> str:
    """The blocks as text, each with at most _LINES lines, and how many more there are."""
    lines = [line for block in blocks for line in [*block[:_LINES], *(["  …"] if len(block) > _LINES else [])]]
    return "\n".join(lines + ([f"… and {total - len(blocks)} more objects"] if total > len(blocks) else []))
