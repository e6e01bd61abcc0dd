# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resource usage of pods, from the metrics API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UNKNOWN_KIND, PodwrightError
from ..objects.quantity import parse_quantity
from .kinds import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from ..values import Manifest
    from .client import Client

    Usage = Mapping[tuple[str, str], Mapping[str, Fraction]]
    """The resource usage of pods: `usage_key` -> {"cpu": cores, "memory": bytes}."""

POD_METRICS = BUILT_IN["metrics.k8s.io/v1beta1", "PodMetrics"]


def read_usage(client: Client, namespace: str | None, label_selector: str | None = None) -> Usage:
    """The usage of each pod. Raises: PodwrightError if the cluster does not serve the metrics API."""
    try:
        items, _version = client.list(POD_METRICS, namespace, label_selector=label_selector)
    except PodwrightError as error:
        if error.reason == UNKNOWN_KIND or error.status == 503:
            raise PodwrightError("The cluster does not serve the metrics API.", reason="NoMetrics", hint="Install metrics-server, or omit metrics.") from error
        raise
    return {usage_key(item): {name: _total(item, name) for name in ("cpu", "memory")} for item in items}


def usage_key(pod: Manifest) -> tuple[str, str]:
    """(namespace, name) of a pod or of its metrics."""
    metadata = pod["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def _total(item: Manifest, resource: str) -> Fraction:
    return sum((parse_quantity(container["usage"][resource]) for container in item["containers"]), start=parse_quantity("0"))
