# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The difference that Ansible shows with `--diff`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..libraries import load
from .manifest import bare

if TYPE_CHECKING:
    from .manifest import Redactor
    from .plan import Change


def yaml_diff(changes: Iterable[Change], redactor: Redactor) -> list[dict[str, str]]:
    """Ansible's `diff` of changes: each object before and after as YAML, with its secret values redacted."""
    yaml = load("yaml")
    entries = []
    for change in changes:
        if not change.is_change:
            continue
        title = f"{change.key.kind} {change.key.namespace + '/' if change.key.namespace else ''}{change.key.name}"
        entry = {"before_header": title, "after_header": f"{title} ({change.action})"}
        for side, state in (("before", change.before if change.action != "create" else None), ("after", change.shown_after)):
            entry[side] = yaml.safe_dump(bare(redactor.redact(state)), sort_keys=True) if state else ""
        entries.append(entry)
    return entries
