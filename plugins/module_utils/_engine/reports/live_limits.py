# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The quotas and autoscalers of a report about a cluster, from their objects. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..objects.quantity import parse_quantity
from ..objects.readiness import condition

if TYPE_CHECKING:
    from ..cluster.events import EventsByUid
    from ..values import Manifest
    from .model import Autoscaler, Limit, Quota

MAX_EVENTS = 50


def read_quota(item: Manifest) -> Quota:
    """A Quota of a ResourceQuota, with a limit that is not used yet at 0."""
    status = item.get("status") or {}
    hard, used = status.get("hard") or (item.get("spec") or {}).get("hard") or {}, status.get("used") or {}
    limits = [_read_limit(name, str(used.get(name, "0")), str(amount)) for name, amount in sorted(hard.items())]
    return {"namespace": item["metadata"].get("namespace") or "", "name": item["metadata"]["name"], "limits": limits}


def _read_limit(name: str, used: str, hard: str) -> Limit:
    try:
        total, taken = parse_quantity(hard), parse_quantity(used)
        share = float(taken / total) if total else 1.0  # nothing is allowed
    except ValueError:
        share = None
    return {"resource": name, "used": used, "hard": hard, "share": share}


def read_autoscaler(item: Manifest, events: EventsByUid) -> Autoscaler:
    """An Autoscaler of a HorizontalPodAutoscaler (autoscaling/v2) with its events, which are its history."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    problems = [condition(item, name) for name in ("AbleToScale", "ScalingActive")]
    current = status.get("currentReplicas") or 0
    return {
        "namespace": item["metadata"].get("namespace") or "",
        "name": item["metadata"]["name"],
        "target": f"{target.get('kind', '')} {target.get('name', '')}".strip(),
        "current": current,
        "desired": status.get("desiredReplicas", current),
        "minimum": spec.get("minReplicas", 1),
        "maximum": spec.get("maxReplicas") or 0,
        "metrics": [_metric(metric, status.get("currentMetrics") or []) for metric in spec.get("metrics") or []],
        "problem": " ".join(problem.get("message") or "" for problem in problems if problem.get("status") == "False"),
        "events": events.get(item["metadata"].get("uid") or "", [])[-MAX_EVENTS:],
    }


def _metric(metric: Manifest, observed: list[Manifest]) -> str:
    """A metric with its value and its target, such as `cpu: 90 % (target 70 %)`."""
    source = _source(metric)
    name = source.get("name") or (source.get("metric") or {}).get("name") or metric.get("type") or ""
    now = next((_source(entry) for entry in observed if _identity(entry) == _identity(metric)), {})
    return f"{name}: {_value(now.get('current') or {})} (target {_value(source.get('target') or {})})"


def _source(metric: Manifest) -> Manifest:
    """The source of a metric, the field that is named after its type (API reference, MetricSpec and MetricStatus)."""
    kind = metric.get("type") or ""
    return metric.get(kind[:1].lower() + kind[1:]) or {}


def _identity(metric: Manifest) -> tuple[object, Manifest]:
    """The type of a metric with the fields of its source that say what it measures: several can have one name."""
    return metric.get("type"), {name: value for name, value in _source(metric).items() if name not in ("target", "current")}


def _value(amounts: Manifest) -> str:
    if amounts.get("averageUtilization") is not None:
        return f"{amounts['averageUtilization']} %"
    return str(amounts.get("averageValue") or amounts.get("value") or "unknown")
