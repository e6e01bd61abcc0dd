# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The definitions that a run changes: for a while the API server checks their objects by the former schema, and in check mode always."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..cluster.kinds import DEFINITION
from ..errors import UNKNOWN_KIND, PodwrightError
from .replacement import IMMUTABLE, is_immutable

if TYPE_CHECKING:
    from ..clock import Clock
    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..values import Manifest
    from .plan import Change

OUTDATED_SECONDS, PAUSE = 15, 0.5  # for which a refusal by a former schema is retried


class ChangedDefinitions:
    """The kinds whose definitions a run has changed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changes: dict[tuple[Any, Any], tuple[str, float]] = {}  # action and time, by group and name

    def add(self, changes: Iterable[Change]) -> None:
        """Add the kinds of the definitions among changes that were carried out, or predicted. One of the metadata alone does not count."""
        for change in changes:
            if change.kind != DEFINITION or not change.is_change or change.error or not change.desired or not change.after:
                continue
            before, spec = (change.before or {}).get("spec"), change.after["spec"]
            if change.action != "patch" or before != spec:
                self._changes[spec["group"], spec["names"]["kind"]] = (change.action, self._clock.monotonic())

    def is_replaced(self, kind: Kind) -> bool:
        """Whether the definition of a kind has been deleted, with all objects, and created again."""
        return self._find(kind)[0] == "replace"

    def explain(self, kind: Kind, error: PodwrightError) -> bool:
        """Whether the reason of a refusal may be the former schema of a kind, or its former versions."""
        action = self._find(kind)[0]
        is_invalid = error.is_schema_mismatch or (error.status == 422 and error.reason != IMMUTABLE and not is_immutable(error))
        return bool(action) and (error.reason == UNKNOWN_KIND or error.is_definition_terminating or (action != "create" and is_invalid))

    def is_recent(self, kind: Kind) -> bool:
        """Whether the API server may still use the former schema of a kind."""
        return self._clock.monotonic() < self._find(kind)[1] + OUTDATED_SECONDS

    def _find(self, kind: Kind) -> tuple[str, float]:
        return self._changes.get((kind.group, kind.name), ("", 0.0))


def try_former(client: Client, change: Change, manager: str, force: bool) -> Manifest | None:
    """The object as the API server answers to a dry run in the former version of its kind, or None if it has none, or the API server refuses that."""
    former = client.kinds.find_former(change.kind)
    if former is None or change.desired is None:
        return None
    desired = change.desired | {"apiVersion": former.api_version}
    try:
        answer = client.apply(former, change.key.namespace, change.key.name, desired, manager, force, dry_run=True)
    except PodwrightError:
        return None
    return answer | {"apiVersion": change.kind.api_version}
