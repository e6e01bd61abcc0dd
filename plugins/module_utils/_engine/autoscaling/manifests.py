# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manifests of autoscalers: HorizontalPodAutoscaler (autoscaling/v2) and KEDA's ScaledObject (keda.sh/v1alpha1)."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from ..clients.prometheus import SERVICE_ADDRESS
from ..errors import option_error
from ..objects.labels import MANAGED
from ..text import MAX_PORT, parse_integer

if TYPE_CHECKING:
    from ..values import Manifest, Options

MAX_WINDOW = 3600  # seconds; the maximum of stabilizationWindowSeconds in autoscaling/v2
_COOLDOWNS = {"scale_up_cooldown": "scaleUp", "scale_down_cooldown": "scaleDown"}


def build_hpa(params: Options, target: dict[str, str]) -> Manifest:
    """The HorizontalPodAutoscaler of an object.

    Args:
        params: options of pod_autoscale.
        target: the scaleTargetRef of the object.

    Raises: PodwrightError that names the option that a HorizontalPodAutoscaler does not support.
    """
    if params["prometheus"]:
        raise option_error("engine", "must not be hpa with prometheus.", "Set engine to keda or direct, or use a metric of type External.")
    if params["min_replicas"] == 0 and not any(metric.get("type") in ("Object", "External") for metric in params["metrics"] or []):
        hint = "A HorizontalPodAutoscaler scales to 0 only by a metric of type Object or External."
        raise option_error("min_replicas", "must be 1 or greater without such a metric, got 0.", hint)
    utilization = [_resource_metric(name, params[f"target_{name}"]) for name in ("cpu", "memory") if params[f"target_{name}"]]
    spec = {
        "scaleTargetRef": target,
        "minReplicas": params["min_replicas"],
        "maxReplicas": params["max_replicas"],
        "metrics": utilization + (params["metrics"] or []),
    }
    behavior = _build_behavior(params)
    spec |= {"behavior": behavior} if behavior else {}
    metadata = {"name": target["name"], "labels": MANAGED}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}


def build_scaled_object(params: Options, target: dict[str, str], namespace: str) -> Manifest:
    """The ScaledObject of an object (https://keda.sh/docs/latest/reference/scaledobject-spec/).

    Raises: PodwrightError that names the option that KEDA does not support.
    """
    if params["metrics"]:
        raise option_error("metrics", "must not be set with engine keda.", "Use target_cpu, target_memory or prometheus.")
    if params["min_replicas"] == 0 and not params["prometheus"]:
        hint = "Without pods there is no utilization, so that KEDA scales from 0 only by prometheus."
        raise option_error("min_replicas", "must be 1 or greater without prometheus, got 0.", hint)
    triggers: list[Manifest] = [
        {"type": name, "metricType": "Utilization", "metadata": {"value": str(params[f"target_{name}"])}}
        for name in ("cpu", "memory")
        if params[f"target_{name}"]
    ]
    query = params["prometheus"]
    if query:
        triggers.append(_prometheus_trigger(query, namespace))
    spec = {"scaleTargetRef": target, "minReplicaCount": params["min_replicas"], "maxReplicaCount": params["max_replicas"], "triggers": triggers}
    if params["min_replicas"] == 0 and params["scale_down_cooldown"] is not None:
        spec["cooldownPeriod"] = params["scale_down_cooldown"]  # KEDA itself scales to 0, the HorizontalPodAutoscaler that it creates to 1
    behavior = _build_behavior(params)
    spec |= {"advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}}} if behavior else {}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": target["name"], "labels": MANAGED}, "spec": spec}


def _prometheus_trigger(query: Options, namespace: str) -> Manifest:
    """The trigger of a query with the meaning that engine `direct` gives it: its samples are summed, and no samples are an error instead of 0."""
    server, service = query["server"], SERVICE_ADDRESS.fullmatch(query["server"])
    if service and parse_integer(service["port"], MAX_PORT, 1) is None:
        raise option_error("prometheus.server", f"must have a port number with engine keda, got '{service['port']}'.")
    if service:
        server = f"http://{service['service']}.{service['namespace'] or namespace}.svc:{service['port']}"
    metadata = {"serverAddress": server, "query": f"sum({_as_vector(query['query'])})", "threshold": f"{query['target']:.12g}", "ignoreNullValues": "false"}
    return {"type": "prometheus", "metadata": metadata}


def _as_vector(query: str) -> str:
    """A query whose samples can be summed, also if it ends with a comment, or is one call of `scalar`."""
    text = query.strip()
    if "#" in text:
        return f"{text}\n"
    inner = text[len("scalar(") : -1] if text.startswith("scalar(") and text.endswith(")") else ")"
    depths = list(accumulate({"(": 1, ")": -1}.get(character, 0) for character in inner))
    return f"vector({text})" if min(depths, default=-1) >= 0 else text


def _resource_metric(name: str, percent: int) -> Manifest:
    return {"type": "Resource", "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": percent}}}


def _rules(direction: str, rules: object) -> Manifest:
    if not isinstance(rules, dict):
        raise option_error(f"behavior.{direction}", f"must be a mapping, got {rules!r}.")
    return dict(rules)


def _build_behavior(params: Options) -> Manifest:
    """The behavior, with each cooldown as the stabilization window of its direction, the nearest that an autoscaler has.

    It is not the same: a window considers the recommendations of that time, a cooldown the time of the last change.
    """
    behavior = {direction: _rules(direction, rules) for direction, rules in (params["behavior"] or {}).items() if rules is not None}
    for option, direction in _COOLDOWNS.items():
        seconds = params[option]
        if seconds is None:
            continue
        if seconds > MAX_WINDOW:
            raise option_error(option, f"must be {MAX_WINDOW} or less, got {seconds}.", "An autoscaler has no longer window; engine direct has no limit.")
        behavior.setdefault(direction, {}).setdefault("stabilizationWindowSeconds", seconds)
    return behavior
