# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a benchmark consists of, and how its contenders are measured in turn."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

OURS, PEER, LIMIT = "Podwright", "peer", "limit"
RUNS = 2  # of each size of a curve
SECONDS = 25  # after which a contender is not run again


@dataclass(frozen=True)
class Sample:
    """One run: seconds of wall and CPU time, and the peak memory of its largest process in bytes."""

    seconds: float
    cpu: float
    peak: int


@dataclass(frozen=True)
class Contender:
    """What does the work of a row.

    Attributes:
        run: does it once.
        before: called before each run, outside of the measurement.
        absent: why it cannot run here; empty if it can.
    """

    name: str
    role: str
    run: Callable[[], Sample]
    before: Callable[[], object] = lambda: None
    absent: str = ""


@dataclass(frozen=True)
class Goal:
    """A number that must not exceed a limit. `value` calculates it from the medians, {contender: Sample}; KeyError if one was not measured."""

    text: str
    value: Callable[[dict[str, Sample]], float]
    limit: float
    unit: str = ""


@dataclass(frozen=True)
class Plan:
    """The contenders and goals of a row.

    Attributes:
        repeats: how many runs of each are measured after one that is not; 0 measures the first one.
        facts: what else was measured, {name: value}; called at the end.
    """

    contenders: Sequence[Contender]
    goals: Sequence[Goal] = ()
    repeats: int = 3
    facts: Callable[[], dict[str, Any]] = dict


@dataclass(frozen=True)
class Row:
    """A row of the table: `prepare` is called with the Bench and returns its Plan. A heavy one runs only if it is named."""

    name: str
    work: str
    prepare: Callable[[Any], Plan]
    heavy: bool = False


@dataclass(frozen=True)
class Curve:
    """How the cost of Podwright grows: `prepare` is called with the Bench and a size, and returns what does the work once."""

    name: str
    unit: str
    sizes: Sequence[int]
    prepare: Callable[[Any, int], Callable[[], Sample]]


@dataclass
class _Runs:
    samples: list[Sample] = field(default_factory=list)
    spent: float = 0
    error: str = ""


def measure_row(row: Row, plan: Plan, quick: bool = False) -> dict[str, Any]:
    """Run the contenders in turn, so that other load affects all of them alike. One that fails does not affect the others."""
    runs = {contender.name: _Runs(error=contender.absent) for contender in plan.contenders}
    for _turn in range(1 + (0 if quick else plan.repeats)):
        for contender in plan.contenders:
            _run_once(contender, runs[contender.name])
    contenders = [_figures(contender, runs[contender.name]) for contender in plan.contenders]
    medians = {one["name"]: Sample(one["seconds"], one["cpu"], one["peak"]) for one in contenders if "seconds" in one}
    goals = [_judge(goal, medians) for goal in plan.goals]
    return {"name": row.name, "work": row.work, "contenders": contenders, "goals": goals, "facts": plan.facts()}


def _run_once(contender: Contender, runs: _Runs) -> None:
    if runs.error or runs.spent > SECONDS:
        return
    try:
        contender.before()
        started = time.monotonic()
        runs.samples.append(contender.run())
        runs.spent += time.monotonic() - started
    except Exception as error:
        runs.error = describe(error)


def describe(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}"


def _figures(contender: Contender, runs: _Runs) -> dict[str, Any]:
    one = {"name": contender.name, "role": contender.role}
    if runs.error:
        return one | {"error": runs.error}
    kept = runs.samples[1:] or runs.samples
    seconds = [sample.seconds for sample in kept]
    cpu = statistics.median(sample.cpu for sample in kept)
    figures = {"seconds": statistics.median(seconds), "low": min(seconds), "high": max(seconds), "cpu": cpu, "peak": max(sample.peak for sample in kept)}
    return one | figures | {"runs": len(kept)}


def _judge(goal: Goal, medians: dict[str, Sample]) -> dict[str, Any]:
    try:
        value = goal.value(medians)
    except (KeyError, ZeroDivisionError):
        return {"text": goal.text, "limit": goal.limit, "unit": goal.unit, "value": None, "met": None}
    return {"text": goal.text, "limit": goal.limit, "unit": goal.unit, "value": value, "met": value <= goal.limit}


def measure_curve(bench: Any, curve: Curve) -> dict[str, Any]:
    """Measure each size after the smallest one as a warm-up; of several runs the fastest counts."""
    curve.prepare(bench, curve.sizes[0])()
    points = []
    for size in curve.sizes:
        samples = [curve.prepare(bench, size)() for _run in range(RUNS)]
        points.append({"size": size} | {part: min(getattr(sample, part) for sample in samples) for part in ("seconds", "cpu", "peak")})
    exponents = {part: fit_exponent([(point["size"], point[part]) for point in points]) for part in ("seconds", "cpu", "peak")}
    return {"name": curve.name, "unit": curve.unit, "points": points, "exponents": exponents}


def fit_exponent(points: Sequence[tuple[float, float]]) -> float:
    """The exponent of size in value = constant + factor * size ** exponent, between the differences of the first, a middle and the last point.

    The constant is what the start costs; without it the exponent of small sizes would be too low. By bisection, since there is no closed form.
    """
    (small, low), (middle, between), (large, high) = points[0], points[len(points) // 2], points[-1]
    if not low < between < high:
        return 0.0
    wanted = (high - between) / (between - low)
    least, most = 0.01, 5.0
    for _step in range(60):
        exponent = (least + most) / 2
        found = (large**exponent - middle**exponent) / (middle**exponent - small**exponent)
        least, most = (exponent, most) if found < wanted else (least, exponent)
    return math.floor((least + most) / 2 * 100 + 0.5) / 100
