# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of the versions of a deployment, and which of them were in service. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..objects.labels import REVISION, SERVED, annotation_of, number_of
from .options import ROLLING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..values import Manifest


def revision_of(deployments: Mapping[str, Manifest], generation: str) -> int:
    """The revision of a generation. The Deployment of the strategy rolling has none of its own: it follows the generations that it replaces.

    Args:
        deployments: the live Deployments by generation.
    """
    if generation != ROLLING:
        return number_of(deployments[generation], REVISION) or 0
    created_at = _creation_time_of(deployments[ROLLING])
    return max((revision_of(deployments, other) + 1 for other in deployments if _creation_time_of(deployments[other]) < created_at), default=0)


def _creation_time_of(deployment: Manifest) -> tuple[bool, str]:
    """The time as it can be compared. A Deployment without one would be created by a run in check mode."""
    created_at = deployment["metadata"].get("creationTimestamp") or ""
    return not created_at, created_at


def was_in_service(deployments: Mapping[str, Manifest], generation: str) -> bool:
    """Whether a generation was in service. If none is marked, earlier versions of this collection have created them: then each counts."""
    marked = [name for name, item in deployments.items() if annotation_of(item, SERVED)]
    return generation in marked or not marked


def kept_for_rollback(deployments: Mapping[str, Manifest], generation: str, before: str | None) -> list[str]:
    """The generation that is kept for a rollback from another one, in a list; none if the strategy rolling has replaced them, as it keeps none.

    Args:
        before: the generation that was in service before.
    """
    if generation == ROLLING:
        return []
    revision = revision_of(deployments, generation)
    older = [other for other in deployments if other not in (generation, ROLLING) and revision_of(deployments, other) <= revision]
    served = [other for other in older if was_in_service(deployments, other)]
    return [before] if before in older else sorted(served, key=lambda other: revision_of(deployments, other))[-1:]
