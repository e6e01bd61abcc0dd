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
    """The resource usage of pods: `usage_key` -> {"cpu": cores, "memory": bytes}, without what is unknown."""

POD_METRICS = BUILT_IN["metrics.k8s.io/v1beta1", "PodMetrics"]


def read_usage(client: Client, namespace: str | None, label_selector: str | None = None) -> Usage:
    """The usage of each pod. Raises: PodwrightError if the cluster does not serve the metrics API."""
    try:
        items, _version = client.list(POD_METRICS, namespace, label_selector=label_selector)
    except PodwrightError as error:
        if error.reason == UNKNOWN_KIND or error.status == 503:
            raise PodwrightError("The cluster does not serve the metrics API.", reason="NoMetrics", hint="Install metrics-server, or omit metrics.") from error
        raise
    return {usage_key(item): {name: total for name in ("cpu", "memory") if (total := _total(item, name)) is not None} for item in items}


def usage_key(pod: Manifest) -> tuple[str, str]:
    """(namespace, name) of a pod or of its metrics."""
    metadata = pod["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def _total(item: Manifest, resource: str) -> Fraction | None:
    """The usage of all containers; None if it is unknown of any of them, as while the kubelet has not measured a container yet."""
    containers = item.get("containers") or []
    try:
        usage = [parse_quantity((container.get("usage") or {})[resource]) for container in containers]
    except (KeyError, ValueError):
        return None
    return sum(usage, start=parse_quantity("0")) if usage and min(usage) >= 0 else None
