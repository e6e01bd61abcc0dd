# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One scaling step, with the algorithm of a HorizontalPodAutoscaler. Pure functions.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypedDict

TOLERANCE = 0.1  # the default of --horizontal-pod-autoscaler-tolerance


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


def recommend(current: int, ready: int, metrics: Iterable[Metric]) -> int:
    """The replicas that the metrics recommend: the largest recommendation, or the current replicas without metrics.

    Args:
        current: desired replicas of the live object.
        ready: number of pods that were measured.
    """
    return max((_recommend_by(metric, current, ready) for metric in metrics), default=current)


def _recommend_by(metric: Metric, current: int, ready: int) -> int:
    ratio = metric["value"] / metric["target"]
    if metric["per"] == "share":
        return current if abs(ratio - 1) <= TOLERANCE else math.ceil(ratio * ready)
    return current if current and abs(ratio / current - 1) <= TOLERANCE else math.ceil(ratio)


def decide(current: int, recommended: int, bounds: Bounds, last_scaled: float | None, now: float) -> tuple[int, str]:
    """The replicas after one step, and the reason.

    Args:
        last_scaled: time of the last change in seconds since the epoch, or None.
        now: current time in seconds since the epoch.
    """
    desired = bounds.clamp(recommended)
    if desired == current:
        return current, "the object has the desired replicas"
    cooldown = bounds.scale_up_cooldown if desired > current else bounds.scale_down_cooldown
    is_within = bounds.clamp(current) == current
    if is_within and last_scaled is not None and now - last_scaled < cooldown:
        return current, f"the last change was {now - last_scaled:.0f} s ago, within the cooldown of {cooldown:.0f} s"
    return desired, f"the metrics recommend {recommended} replicas"
