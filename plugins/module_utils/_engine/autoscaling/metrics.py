# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The metrics of a scaling step, read from the metrics API and from Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..clients.prometheus import query_prometheus
from ..cluster.kinds import POD
from ..cluster.metrics import read_usage, usage_key
from ..errors import PodwrightError
from ..objects.pod_status import is_serving
from ..objects.resources import pod_requests
from .policy import Metric

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.metrics import Usage
    from ..values import Manifest, Options
    from .targets import Target


def ready_pods(client: Client, namespace: str, target: Target) -> list[Manifest]:
    """The ready pods of an object. Raises: PodwrightError if it has no selector."""
    if not target.selector:
        raise PodwrightError(
            f"{target.title} cannot be scaled with engine direct: it has no selector for its pods.",
            reason="NotScalable",
            hint="Set engine to hpa, or scale the object that selects the pods.",
        )
    return [pod for pod in client.list(POD, namespace, label_selector=target.selector)[0] if is_serving(pod)]


def read_metrics(client: Client, namespace: str, params: Options, pods: list[Manifest]) -> list[Metric]:
    """The current values of the metrics that the options name.

    Raises: PodwrightError if one has no value, since nothing is scaled by a guess.
    """
    resources = [name for name in ("cpu", "memory") if params[f"target_{name}"]]
    usage: Usage = read_usage(client, namespace) if resources else {}
    measured = [pod for pod in pods if usage_key(pod) in usage]
    metrics = [Metric(name=name, value=_utilization(name, measured, usage), target=params[f"target_{name}"], per="share") for name in resources]
    query = params["prometheus"]
    if query:
        value = query_prometheus(client, namespace, query["server"], query["query"])
        if value is None:
            hint = "Correct the query: nothing is scaled without a value."
            raise PodwrightError(f"The Prometheus query '{query['query']}' has no value.", reason="NoMetrics", hint=hint)
        metrics.append(Metric(name="prometheus", value=value, target=query["target"], per="pod"))
    return metrics


def _utilization(name: str, pods: list[Manifest], usage: Usage) -> float:
    """Usage in percent of the requests of all pods. Raises: PodwrightError if they request nothing."""
    requested = sum(pod_requests(pod).get(name, 0) for pod in pods)
    if not requested:
        raise PodwrightError(
            f"The {name} utilization is unknown: no ready pod has both metrics and a {name} request.",
            reason="NoMetrics",
            hint=f"Set a {name} request for the containers, and retry when the metrics API reports the pods.",
        )
    used = sum(usage[usage_key(pod)][name] for pod in pods)
    return round(float(used / requested * 100), 1)
