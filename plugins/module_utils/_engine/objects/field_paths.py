# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paths of fields as options name them, such as `spec.containers[0].env` and `metadata.annotations[example.com/owner]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import option_error
from ..text import parse_integer

if TYPE_CHECKING:
    from ..values import Manifest

FieldPath: TypeAlias = "tuple[str, ...]"
EACH = "*"  # the step to each item of a list
_STEP = re.compile(r"(?:^|\.)([^.\[\]]+)|\[([^\[\]]+)\]")


def read_paths(option: str, texts: Iterable[str] | None) -> list[FieldPath]:
    """The paths in an option. Raises: PodwrightError for an invalid one."""
    return [_read_path(f"{option}[{index}]", text) for index, text in enumerate(texts or ())]


def _read_path(option: str, text: str) -> FieldPath:
    steps, position = [], 0
    while position < len(text):
        step = _STEP.match(text, position)
        if step is None:
            break
        steps.append((step[1] or step[2]).strip("'\""))
        position = step.end()
    if position < len(text) or not steps or text.startswith("/") or any(re.fullmatch(r"-\d+", step) for step in steps):
        raise option_error(option, f"must be the path of a field, such as metadata.labels or spec.containers[0].env, got {text!r}.")
    return tuple(steps)


def without_fields(item: Manifest, paths: Iterable[FieldPath]) -> Manifest:
    """An object without the fields of these paths; one that it lacks changes nothing."""
    for path in sorted(paths, key=_place, reverse=True):  # the later items of a list first
        item = _without(item, path)
    return item


def _place(path: FieldPath) -> list[tuple[int, str]]:
    """What sorts paths: positions in lists by number."""
    return [(-1 if (index := parse_integer(step)) is None else index, step) for step in path]


def _without(value: Any, path: Sequence[str]) -> Any:
    step, rest = path[0], path[1:]
    if isinstance(value, dict) and step in value:
        kept = {name: part for name, part in value.items() if name != step or rest}
        return kept | {step: _without(value[step], rest)} if rest else kept
    if isinstance(value, list) and step == EACH:
        return [_without(item, rest) for item in value] if rest else []
    if isinstance(value, list) and (index := parse_integer(step, len(value) - 1)) is not None:
        return value[:index] + ([_without(value[index], rest)] if rest else []) + value[index + 1 :]
    return value
