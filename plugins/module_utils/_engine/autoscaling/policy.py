# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Autoscalers as manifests, and one step of scaling as a pure function."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import option_error
from ..objects.labels import MANAGED

# When the engine `direct` last scaled an object (seconds since the epoch), as an annotation of it.
LAST_SCALED = "podwright.io/last-scaled"
TOLERANCE = 0.1  # a deviation up to this share is no reason to scale, as for the HorizontalPodAutoscaler
LONGEST_WINDOW = 3600  # seconds; autoscaling/v2 allows no more


@dataclass(frozen=True)
class Bounds:
    """Between how many replicas, and how long after a change none follows (seconds, by direction)."""

    least: int
    most: int
    up_cooldown: float = 0
    down_cooldown: float = 0


def check(params):
    """What can be known without a server. Raises: PodwrightError that names the option."""
    least, most = params["min_replicas"], params["max_replicas"]
    if least < 0 or most < 1 or least > most:
        raise option_error("min_replicas", f"{least} to {most} replicas is no range.", "min_replicas is at least 0 and at most max_replicas.")
    for name in ("target_cpu", "target_memory"):
        if params[name] is not None and params[name] < 1:
            raise option_error(name, f"{params[name]} % is less than 1.")
    for name in ("scale_up_cooldown", "scale_down_cooldown"):
        if params[name] is not None and params[name] < 0:
            raise option_error(name, f"{params[name]} is less than 0.")
    if params["prometheus"] and params["prometheus"]["target"] <= 0:
        raise option_error("prometheus.target", f"{params['prometheus']['target']} is not above 0.")
    if not any(params[name] for name in ("target_cpu", "target_memory", "metrics", "prometheus")):
        raise option_error(
            "target_cpu", "there is nothing to scale by.", "Give target_cpu, target_memory, metrics or prometheus; or replicas for a fixed number."
        )


def build_hpa(params, target):
    """The HorizontalPodAutoscaler for an object (autoscaling/v2). Raises: PodwrightError.

    A cool-down becomes the stabilization window of its direction: after a change the autoscaler acts only on what held for the whole window.
    That is not the same: a window looks at recommendations, a cool-down at the last change.
    """
    if params["prometheus"]:
        raise option_error("engine", "hpa cannot ask Prometheus by itself.", "Use engine keda or direct, or a metric of type External that an adapter serves.")
    if params["min_replicas"] == 0 and not any(metric.get("type") in ("Object", "External") for metric in params["metrics"] or []):
        raise option_error("min_replicas", "a HorizontalPodAutoscaler goes to 0 only by a metric of type Object or External.", "Set min_replicas to 1.")
    metrics = [_resource(name, params[f"target_{name}"]) for name in ("cpu", "memory") if params[f"target_{name}"]]
    spec = {
        "scaleTargetRef": target,
        "minReplicas": params["min_replicas"],
        "maxReplicas": params["max_replicas"],
        "metrics": metrics + (params["metrics"] or []),
    }
    behavior = _build_behavior(params)
    spec |= {"behavior": behavior} if behavior else {}
    metadata = {"name": target["name"], "labels": MANAGED}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}


def build_scaled_object(params, target):
    """The ScaledObject for an object (KEDA, keda.sh/v1alpha1). Raises: PodwrightError."""
    if params["metrics"]:
        raise option_error("metrics", "keda takes triggers, not metrics.", "Use target_cpu, target_memory or prometheus.")
    triggers = [
        {"type": name, "metricType": "Utilization", "metadata": {"value": str(params[f"target_{name}"])}}
        for name in ("cpu", "memory")
        if params[f"target_{name}"]
    ]
    if params["prometheus"]:
        asked = params["prometheus"]
        triggers.append({"type": "prometheus", "metadata": {"serverAddress": asked["server"], "query": asked["query"], "threshold": f"{asked['target']:g}"}})
    spec = {"scaleTargetRef": target, "minReplicaCount": params["min_replicas"], "maxReplicaCount": params["max_replicas"], "triggers": triggers}
    behavior = _build_behavior(params)
    spec |= {"advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}}} if behavior else {}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": target["name"], "labels": MANAGED}, "spec": spec}


def _resource(name, percent):
    return {"type": "Resource", "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": percent}}}


def _build_behavior(params):
    behavior = {direction: dict(rules) for direction, rules in (params["behavior"] or {}).items()}
    for option, direction in (("scale_up_cooldown", "scaleUp"), ("scale_down_cooldown", "scaleDown")):
        seconds = params[option]
        if seconds is None:
            continue
        if seconds > LONGEST_WINDOW:
            raise option_error(option, f"autoscaling/v2 has no window longer than {LONGEST_WINDOW} s.", "Use engine direct, which has no such limit.")
        behavior.setdefault(direction, {}).setdefault("stabilizationWindowSeconds", seconds)
    return behavior


# -- one step of our own --------------------------------------------------------------------------------------


def recommend(current, ready, metrics):
    """How many replicas the metrics ask for: the most that any of them does.

    Args:
        current: replicas as asked for now.
        ready: pods that the metrics are of.
        metrics: `{name, value, target, per}` each; `per: share` compares a share with its target, `per: pod` divides a sum by what one pod should have.
    """
    wanted = []
    for metric in metrics:
        ratio = metric["value"] / metric["target"]
        if metric["per"] == "share":
            wanted.append(current if abs(ratio - 1) <= TOLERANCE else math.ceil(ratio * ready))
        else:
            is_near = current and abs(ratio / current - 1) <= TOLERANCE
            wanted.append(current if is_near else math.ceil(ratio))
    return max(wanted, default=current)


def decide(current, recommended, bounds, last_scaled, now):
    """(replicas, why) of one step.

    Args:
        last_scaled: when it was last scaled (seconds since the epoch), or None.
    """
    wanted = min(max(recommended, bounds.least), bounds.most)
    if wanted == current:
        return current, "nothing is to be done"
    outside = not bounds.least <= current <= bounds.most
    cooldown = bounds.up_cooldown if wanted > current else bounds.down_cooldown
    if not outside and last_scaled is not None and now - last_scaled < cooldown:
        return current, f"it was scaled {now - last_scaled:.0f} s ago, and its cool-down is {cooldown:.0f} s"
    return wanted, f"its metrics ask for {recommended}"
