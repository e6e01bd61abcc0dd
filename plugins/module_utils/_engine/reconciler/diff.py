# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The difference that Ansible shows with `--diff`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..libraries import load
from ..text import printable
from .manifest import bare

if TYPE_CHECKING:
    from ..values import Manifest
    from .manifest import Redactor
    from .plan import Change


def yaml_diff(changes: Iterable[Change], redactor: Redactor, clean: Callable[[Any], Any]) -> list[dict[str, str]]:
    """Ansible's `diff` of changes: each object before and after as YAML, with its secret values redacted, and those that `clean` removes from data."""
    entries = []
    for change in changes:
        if not change.is_change:
            continue
        title = f"{change.key.kind} {change.key.namespace + '/' if change.key.namespace else ''}{change.key.name}"
        entry = {"before_header": title, "after_header": f"{title} ({change.action})"}
        for side, state in (("before", change.before if change.action != "create" else None), ("after", change.shown_after)):
            entry[side] = _dump(clean(bare(redactor.redact(state)))) if state else ""
        entries.append(entry)
    return entries


def _dump(manifest: Manifest) -> str:
    """A manifest as YAML, one line for each line of a value; characters that cannot be seen are escaped, and then all that are not ASCII."""
    yaml = load("yaml")
    text: str = yaml.safe_dump(manifest, width=float("inf"), allow_unicode=True)
    return text if printable(text) == text else str(yaml.safe_dump(manifest, width=float("inf")))
