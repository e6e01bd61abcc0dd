# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The metrics of a scaling step, read from the metrics API and from Prometheus."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from ..clients.prometheus import query_prometheus
from ..cluster.kinds import POD
from ..cluster.metrics import read_usage, usage_key
from ..errors import PodwrightError
from ..objects.containers import has_finished, long_running_containers
from ..objects.pod_status import is_serving
from ..objects.resources import own_requests, pod_requests
from .policy import Load, Measurement, Metric, utilization

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.metrics import Usage
    from ..values import Manifest, Options
    from .targets import Target

_PAUSED_HINT = "Without pods there is no utilization: scale the object to 1 or more first, with the option replicas."


def list_pods(client: Client, namespace: str, target: Target) -> list[Manifest]:
    """The pods of an object that are not finished. Raises: PodwrightError if it has no selector."""
    if not target.selector:
        raise PodwrightError(
            f"{target.title} cannot be scaled with engine direct: it has no selector for its pods.",
            reason="NotScalable",
            hint="Set engine to hpa, or scale the object that selects the pods.",
        )
    pods = client.list(POD, namespace, label_selector=target.selector)[0]
    return [pod for pod in pods if not (pod["metadata"].get("deletionTimestamp") or has_finished(pod))]


def measure(client: Client, namespace: str, params: Options, pods: list[Manifest]) -> list[Measurement]:
    """Measure what the options name.

    Raises: PodwrightError if there is no value, since nothing is scaled by a guess.
    """
    resources = [name for name in ("cpu", "memory") if params[f"target_{name}"]]
    usage: Usage = read_usage(client, namespace) if resources else {}
    found = [_measure_usage(name, params[f"target_{name}"], pods, usage) for name in resources]
    query = params["prometheus"]
    if query:
        value = query_prometheus(client, namespace, query["server"], query["query"])
        if value is None:
            hint = "Correct the query: nothing is scaled without a value."
            raise PodwrightError(f"The Prometheus query '{query['query']}' has no value.", reason="NoMetrics", hint=hint)
        found.append(Measurement(Metric(name="prometheus", value=value, target=query["target"], per="pod")))
    return found


def _measure_usage(name: str, target: int, pods: list[Manifest], usage: Usage) -> Measurement:
    """Usage in percent of the requests. Raises: PodwrightError if no ready pod was measured, or a pod requests nothing."""
    loads = tuple(Load(_request(pod, name), usage.get(usage_key(pod), {}).get(name), is_serving(pod)) for pod in pods)
    value = utilization(load for load in loads if load.is_measured)
    if value is None:
        raise PodwrightError(
            f"The {name} utilization is unknown: no ready pod has both metrics and a {name} request.",
            reason="NoMetrics",
            hint=f"Set a {name} request for the containers, and retry when the metrics API reports the pods." if pods else _PAUSED_HINT,
        )
    return Measurement(Metric(name=name, value=round(float(value), 1), target=target, per="share"), loads)


def _request(pod: Manifest, name: str) -> Fraction:
    """What the containers of a pod request together. Raises: PodwrightError if one of them requests nothing, as with a HorizontalPodAutoscaler."""
    without = next((container["name"] for container in long_running_containers(pod) if name not in own_requests(container)), None)
    if without is not None and name not in own_requests(pod["spec"]):  # KEP-2837
        raise PodwrightError(
            f"The {name} utilization is unknown: container '{without}' of pod '{pod['metadata']['name']}' has no {name} request.",
            reason="NoMetrics",
            hint=f"Set a {name} request for each container.",
        )
    return pod_requests(pod).get(name, Fraction())
