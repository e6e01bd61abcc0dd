# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resource requests of pods."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from .containers import long_running_containers
from .quantity import parse_quantity

if TYPE_CHECKING:
    from ..values import Manifest


def pod_requests(pod: Manifest) -> dict[str, Fraction]:
    """The requests of a pod, or the sum of those of its containers and sidecars, for each resource: CPU in cores, memory in bytes.

    Raises: ValueError for an invalid quantity.
    """
    spec = pod.get("spec") or {}
    total: dict[str, Fraction] = {}
    for container in long_running_containers({"spec": spec | {"containers": spec.get("containers") or []}}):
        for name, quantity in own_requests(container).items():
            total[name] = total.get(name, Fraction()) + quantity
    return total | own_requests(spec)  # KEP-2837


def own_requests(part: Manifest) -> dict[str, Fraction]:
    """The requests of a container, or those of the spec of a pod for all its containers together."""
    return {name: parse_quantity(text) for name, text in ((part.get("resources") or {}).get("requests") or {}).items()}
