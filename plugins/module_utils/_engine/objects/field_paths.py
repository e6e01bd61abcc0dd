# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paths of fields as options name them, such as `spec.containers[0].env` and `metadata.annotations[example.com/owner]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
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


def without_fields(item: Manifest, paths: Iterable[FieldPath], substitute: Callable[[Any], Any] | None = None) -> Manifest:
    """An object without the fields of these paths; one that it lacks changes nothing.

    Args:
        substitute: returns what takes the place of a value; None removes the field.
    """
    for path in sorted(paths, key=_place, reverse=True):  # the later items of a list first
        item = _without(item, path, substitute)
    return item


def _place(path: FieldPath) -> list[tuple[int, str]]:
    """What sorts paths: positions in lists by number."""
    return [(-1 if (index := parse_integer(step)) is None else index, step) for step in path]


def _without(value: Any, path: Sequence[str], substitute: Callable[[Any], Any] | None) -> Any:
    step, rest = path[0], path[1:]

    def left(part: Any) -> list[Any]:
        return [_without(part, rest, substitute)] if rest else [substitute(part)] if substitute else []

    if isinstance(value, dict) and step in value:
        return {name: part for name, own in value.items() for part in (left(own) if name == step else [own])}
    if isinstance(value, list) and step == EACH:
        return [part for item in value for part in left(item)]
    if isinstance(value, list) and (index := parse_integer(step, len(value) - 1)) is not None:
        return value[:index] + left(value[index]) + value[index + 1 :]
    return value
