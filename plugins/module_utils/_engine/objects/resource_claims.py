# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ResourceClaims of a pod (dynamic resource allocation, KEP-4381)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..values import Manifest


def describe_awaited_claims(pod: Manifest) -> str:
    """What must exist before the scheduler considers a pod, as the end of a sentence; empty if nothing does. Neither a condition nor an event names it.

    A claim that was created from a template does exist.
    """
    created = {entry["name"] for entry in (pod.get("status") or {}).get("resourceClaimStatuses") or []}
    awaited = []
    for entry in pod["spec"].get("resourceClaims") or []:
        if claim := entry.get("resourceClaimName"):
            awaited.append(f"the ResourceClaim '{claim}'")
        elif entry["name"] not in created:
            awaited.append(f"a ResourceClaim from the ResourceClaimTemplate '{entry.get('resourceClaimTemplateName')}'")
    return f", which requires {' and '.join(awaited)}" if awaited else ""
