# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resource usage of pods."""

from __future__ import annotations

from ..errors import UNKNOWN_KIND, PodwrightError
from ..objects.quantity import parse_quantity
from .kinds import BUILT_IN

POD_METRICS = BUILT_IN["metrics.k8s.io/v1beta1", "PodMetrics"]


def read_usage(client, namespace, label_selector=None):
    """{pod: {cpu (cores), memory (bytes)}} in use, as Fractions, from the metrics API. Raises: PodwrightError where there is none."""
    try:
        items, _version = client.list(POD_METRICS, namespace, label_selector=label_selector)
    except PodwrightError as error:
        if error.reason == UNKNOWN_KIND or error.status == 503:
            raise PodwrightError("This cluster serves no metrics API.", reason="NoMetrics", hint="Install metrics-server, or do without metrics.") from error
        raise
    return {item["metadata"]["name"]: {name: sum(parse_quantity(c["usage"][name]) for c in item["containers"]) for name in ("cpu", "memory")} for item in items}
