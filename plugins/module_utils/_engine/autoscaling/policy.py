# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One scaling step, with the algorithm of a HorizontalPodAutoscaler. Pure functions.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, TypedDict

TOLERANCE = 0.1  # the default of --horizontal-pod-autoscaler-tolerance
_MOST = 2**31 - 1  # replicas


class Metric(TypedDict):
    """A measured value and its target: `share` compares percentages of the requests, `pod` divides a sum by the target for each pod."""

    name: str
    value: float
    target: float
    per: Literal["share", "pod"]


@dataclass(frozen=True)
class Bounds:
    """Limits of a scaling step: replicas, and the minimum number of seconds between two changes by direction."""

    min_replicas: int
    max_replicas: int
    scale_up_cooldown: float = 0
    scale_down_cooldown: float = 0

    def clamp(self, replicas: int) -> int:
        """The nearest number of replicas within the bounds."""
        return min(max(replicas, self.min_replicas), self.max_replicas)


@dataclass(frozen=True)
class Load:
    """What a pod requests of a resource, and what it uses, None if that is unknown."""

    request: Fraction
    usage: Fraction | None
    is_ready: bool

    @property
    def is_measured(self) -> bool:
        """Whether its usage counts: that of a pod which is starting says nothing about the load."""
        return self.is_ready and self.usage is not None


@dataclass(frozen=True)
class Measurement:
    """A Metric; one that compares percentages has the load of each pod."""

    metric: Metric
    loads: tuple[Load, ...] = ()


def utilization(loads: Iterable[Load]) -> Fraction | None:
    """The usage in percent of the requests; None if nothing is requested."""
    loads = list(loads)
    requested = sum(load.request for load in loads)
    return sum(load.usage or Fraction() for load in loads) / requested * 100 if requested else None


def recommend(current: int, measurements: Iterable[Measurement]) -> int:
    """The replicas that the metrics recommend: the largest recommendation, or the current replicas without metrics.

    Args:
        current: desired replicas of the live object.
    """
    return max((_recommend_by(each, current) for each in measurements), default=current)


def _recommend_by(measurement: Measurement, current: int) -> int:
    metric = measurement.metric
    if metric["per"] == "share":
        return _recommend_by_loads(measurement.loads, current, Fraction(metric["target"]))
    # A sum of samples such as 0.1 + 0.2 is a little above the exact one.
    ratio = round(min(max(metric["value"] / metric["target"], 0), _MOST), 9)
    return current if current and abs(ratio / current - 1) <= TOLERANCE else math.ceil(ratio)


def _recommend_by_loads(loads: tuple[Load, ...], current: int, target: Fraction) -> int:
    """The replicas by the load of each pod.

    A pod whose usage is unknown opposes the change that the others recommend: it counts with its request, or the target if that is more, against fewer
    replicas, and without usage against more. Against more, a pod that is not ready counts without usage, too.
    """
    measured = [load for load in loads if load.is_measured]
    ratio = (utilization(measured) or Fraction()) / target
    if ratio < 1:
        share = max(target, Fraction(100)) / 100
        measured += [replace(load, usage=load.request * share) for load in loads if load.is_ready and load.usage is None]
    else:
        measured += [replace(load, usage=Fraction()) for load in loads if not load.is_measured]
    again = (utilization(measured) or Fraction()) / target
    replicas = math.ceil(again * len(measured))
    has_turned = (again - 1) * (ratio - 1) <= 0 or (again - 1) * (replicas - current) < 0
    return current if abs(again - 1) <= TOLERANCE or has_turned else replicas


def decide(current: int, recommended: int, bounds: Bounds, last_scaled: float | None, now: float) -> tuple[int, str]:
    """The replicas after one step, and the reason.

    Args:
        last_scaled: time of the last change in seconds since the epoch, or None.
        now: current time in seconds since the epoch.
    """
    desired = bounds.clamp(recommended)
    if current == 0 < bounds.min_replicas:
        return current, f"the object has 0 replicas, at which it is paused; scale it to {bounds.min_replicas} with the option replicas to resume"
    if desired == current:
        return current, "the object has the desired replicas"
    cooldown = bounds.scale_up_cooldown if desired > current else bounds.scale_down_cooldown
    is_within = bounds.clamp(current) == current
    # A time in the future is that of a clock which is ahead; one that is far away is none at all.
    if is_within and last_scaled is not None and abs(now - last_scaled) < cooldown:
        return current, f"the last change was {max(now - last_scaled, 0):.0f} s ago, within the cooldown of {cooldown:.0f} s"
    return desired, f"the metrics recommend {recommended} replicas"
