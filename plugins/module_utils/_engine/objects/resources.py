# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resource requests of pods."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from .quantity import parse_quantity

if TYPE_CHECKING:
    from ..values import Manifest


def pod_requests(pod: Manifest) -> dict[str, Fraction]:
    """The sum of the requests of a pod's containers, without init containers, for each resource: CPU in cores, memory in bytes.

    Raises: ValueError for an invalid quantity.
    """
    total: dict[str, Fraction] = {}
    for container in (pod.get("spec") or {}).get("containers") or []:
        for name, text in ((container.get("resources") or {}).get("requests") or {}).items():
            total[name] = total.get(name, Fraction()) + parse_quantity(text)
    return total
