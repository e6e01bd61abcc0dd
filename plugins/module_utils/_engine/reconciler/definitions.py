# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The definitions that a run changes: for a while the API server checks their objects by the former schema, and in check mode always."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..cluster.kinds import DEFINITION
from ..errors import UNKNOWN_KIND, PodwrightError
from .replacement import IMMUTABLE, is_immutable

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..values import Manifest
    from .plan import Change

OUTDATED_SECONDS, PAUSE = 15, 0.5  # for which a refusal by a former schema is retried


class ChangedDefinitions:
    """The kinds whose definitions a run has changed."""

    def __init__(self) -> None:
        self._is_new: dict[tuple[Any, Any], bool] = {}

    def add(self, changes: Iterable[Change]) -> None:
        """Add the kinds of the definitions among changes that were carried out, or predicted."""
        for change in changes:
            if change.kind == DEFINITION and change.is_change and change.desired and change.after:
                spec = change.after["spec"]
                self._is_new[spec["group"], spec["names"]["kind"]] = change.action == "create"

    def explain(self, kind: Kind, error: PodwrightError) -> bool:
        """Whether the reason of a refusal may be the former schema of a kind, or its former versions."""
        is_new = self._is_new.get((kind.group, kind.name))
        is_invalid = error.is_schema_mismatch or (error.status == 422 and error.reason != IMMUTABLE and not is_immutable(error))
        return is_new is not None and (error.reason == UNKNOWN_KIND or error.is_definition_terminating or (not is_new and is_invalid))


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
