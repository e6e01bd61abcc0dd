# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bars of a timeline, in SVG whose coordinates are percentages, so that they fit any width."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .formats import clock, seconds
from .html import Html, join, tag
from .model import RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .model import Attempt, Entry

LEAST = 0.25  # percent of the width: what is shorter would not be seen
HEIGHT = 28
# y and height of a phase: the more it does, the thicker it is, so that color is not needed to distinguish phases.
_SHAPES = {"waiting": (13, 2), "pulling": (11, 6), "initializing": (9, 10), "running": (6, 16)}
_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800]
_TICKS = 6
# A timeline of which a task takes less than this part shows where each begins, but not what takes how long.
_READABLE = 1 / 12


class Scale(NamedTuple):
    """What the width of a bar means.

    Attributes:
        start: the time at its left edge.
        span: the seconds of all of its width.
        is_aligned: whether each task starts at the left edge.
        now: when phases that have not finished are drawn to.
    """

    start: float
    span: float
    is_aligned: bool
    now: float

    def percent(self, moment: float, first: float) -> float:
        """The position of a time in a bar whose task was created at `first`."""
        return min(max((moment - (first if self.is_aligned else self.start)) / self.span * 100, 0), 100)


def created(attempts: Iterable[Attempt]) -> float | None:
    """When the first of the attempts was created, or None."""
    return min([attempt["phases"][0]["start"] for attempt in attempts if attempt["phases"]], default=None)


def finished(attempts: Iterable[Attempt], now: float) -> float | None:
    """When the last of the attempts finished, or the present; None if nothing has begun."""
    return max([attempt["phases"][-1]["end"] or max(now, attempt["phases"][-1]["start"]) for attempt in attempts if attempt["phases"]], default=None)


def scale_of(entries: Sequence[Entry], now: float) -> Scale:
    """The Scale of the timeline: the clock, unless the tasks are spread over so much time that they would be dots."""
    spans = [(first, finished(entry["attempts"], now) or first) for entry in entries if (first := created(entry["attempts"])) is not None]
    if not spans:
        return Scale(now, 1, False, now)
    start, end = min(first for first, _last in spans), max(last for _first, last in spans)
    longest = max(last - first for first, last in spans)
    if len(spans) > 1 and longest < (end - start) * _READABLE:
        return Scale(start, max(longest, 1), True, now)
    return Scale(start, max(end - start, 1), False, now)


def _ticks(scale: Scale) -> list[float]:
    """The seconds at which the axis has a line."""
    step = next((step for step in _STEPS if scale.span / step <= _TICKS), -(-scale.span // _TICKS))
    return [number * step for number in range(int(scale.span // step) + 1)]


def grid(scale: Scale) -> Html:
    """The definition of the lines behind the bars, to be included once in a page."""
    lines = [tag("line", x1=f"{at / scale.span * 100:.2f}%", x2=f"{at / scale.span * 100:.2f}%", y1="0", y2="100%") for at in _ticks(scale)]
    return tag("svg", tag("defs", tag("g", lines, id="grid", class_="grid")), class_="definitions", aria_hidden="true", width="0", height="0")


def axis(scale: Scale) -> Html:
    """The times above the bars; assistive technology reads the times of each task instead."""
    labels = []
    for at in _ticks(scale):
        percent = at / scale.span * 100
        anchor = "start" if percent < 4 else "end" if percent > 94 else "middle"
        shown = seconds(at) if at or scale.is_aligned else clock(scale.start)
        labels.append(tag("text", shown if scale.is_aligned or not at else f"+{shown}", x=f"{percent:.2f}%", y="14", text_anchor=anchor))
    return tag("svg", labels, class_="axis", aria_hidden="true", width="100%", height="20")


def draw_bar(attempts: Sequence[Attempt], scale: Scale, first: float | None = None) -> Html:
    """The phases of attempts as one bar, with a description for assistive technology."""
    begun = first if first is not None else created(attempts)
    if begun is None:
        return tag("span", class_="bar")
    ordered = sorted(attempts, key=lambda attempt: attempt["state"] == "running")
    # What runs is drawn last, since the pods of a Job may run at the same time.
    shapes = [_rect(attempt, index, scale, begun) for name in _SHAPES for attempt in ordered for index in _indexes(attempt, name)]
    label = "; ".join(describe(attempt, scale.now) for attempt in attempts[:5]) + ("; …" if len(attempts) > 5 else "")
    return tag("svg", tag("use", href="#grid"), shapes, class_="bar", width="100%", height=HEIGHT, role="img", aria_label=label)


def _indexes(attempt: Attempt, name: str) -> list[int]:
    return [index for index, phase in enumerate(attempt["phases"]) if phase["name"] == name]


def _rect(attempt: Attempt, index: int, scale: Scale, begun: float) -> Html:
    phase = attempt["phases"][index]
    y, height = _SHAPES[phase["name"]]
    left = scale.percent(phase["start"], begun)
    end = phase["end"] if phase["end"] is not None else max(scale.now, phase["start"])
    width = max(scale.percent(end, begun) - left, LEAST if phase["name"] == RUNNING else 0)
    left = min(left, 100 - width)
    state = f" {attempt['state']}" if phase["name"] == RUNNING else ""
    return tag("rect", class_=f"p-{phase['name']}{state}", x=f"{left:.2f}%", y=y, width=f"{width:.2f}%", height=height, rx="1")


def durations(attempt: Attempt, now: float) -> list[tuple[str, float]]:
    """The phases of an attempt with their durations."""
    return [(phase["name"], (phase["end"] if phase["end"] is not None else max(now, phase["start"])) - phase["start"]) for phase in attempt["phases"]]


def describe(attempt: Attempt, now: float) -> str:
    """An attempt in words."""
    return f"{attempt['title']} {attempt['state']}: " + ", ".join(f"{name} {seconds(value)}" for name, value in durations(attempt, now))


def legend() -> Html:
    """What the thickness of a bar means."""
    names = {"waiting": "waiting for a node", "pulling": "pulling images and starting", "initializing": "init containers", "running": "running"}
    entries = [
        tag(
            "li",
            tag(
                "svg",
                tag("rect", class_=f"p-{name}", y=_SHAPES[name][0] - 5, width="22", height=_SHAPES[name][1], rx="1"),
                width="22",
                height="18",
                aria_hidden="true",
            ),
            " ",
            label,
        )
        for name, label in names.items()
    ]
    return tag("ul", join(entries), class_="legend")


def shares(parts: Sequence[tuple[str, int]], total: int) -> Html:
    """A bar of states, each as wide as its part of the total."""
    shapes, left = [], 0.0
    for state, number in parts:
        width = number / total * 100
        shapes.append(tag("rect", class_=f"p-running {state}", x=f"{left:.2f}%", width=f"{width:.2f}%", height="100%"))
        left += width
    return tag("svg", shapes, class_="shares", width="100%", height="8", aria_hidden="true")


def meter(share: float, level: str) -> Html:
    """A bar that is filled to that part."""
    fill = tag("rect", class_=f"fill {level}", width=f"{min(max(share, 0), 1) * 100:.1f}%", height="100%", rx="2")
    return tag("svg", tag("rect", class_="track", width="100%", height="100%", rx="2"), fill, class_="meter", width="100%", height="6", aria_hidden="true")
