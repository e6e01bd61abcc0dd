# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tasks of a report: a line with its timeline for each, which opens to its attempts, events and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..objects.timestamps import read_timestamp
from ..text import last_state, split_lines
from .chart import axis, created, draw_bar, durations, finished, grid, legend, scale_of
from .formats import clock, count, machine_time, moment, seconds, size
from .html import Html, join, tag, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..cluster.events import Event
    from .chart import Scale
    from .model import Attempt, Entry, Log

# The states in the order in which a reader wants to know of them, with a mark that does not depend on color.
STATES = {"failed": "✕", "stopped": "■", "running": "●", "pending": "○", "deleting": "○", "skipped": "–", "succeeded": "✓", "absent": "–"}
DETAILED = 500  # tasks, beyond which the page shows no events of those that succeeded
OPEN = 5  # failed tasks that are open at first
LOG_CHARACTERS, PAGE_CHARACTERS = 64_000, 6_000_000  # shown of a log; of all logs and events of a page
_RESULT_CHARACTERS = 2000


class Budget:
    """How much text a page may still show, so that it can be opened.

    Attributes:
        is_detailed: whether it shows the events of tasks that succeeded.
    """

    def __init__(self, characters: int = PAGE_CHARACTERS, is_detailed: bool = True) -> None:
        self._left = characters
        self.is_detailed = is_detailed

    def take(self, wanted: int) -> bool:
        """Use that many characters. Returns: whether there were enough left."""
        if wanted > self._left:
            return False
        self._left -= wanted
        return True


def mark(state: str) -> Html:
    """A state as a word with its mark."""
    known = state if state in STATES else "pending"
    return tag("span", tag("span", STATES[known], aria_hidden="true"), " ", state or "unknown", class_=f"state {known}")


def section(entries: Sequence[Entry], now: float, shows_namespaces: bool) -> Html:
    """The section with all tasks, in the order of their creation."""
    scale, budget = scale_of(entries, now), Budget(is_detailed=len(entries) <= DETAILED)
    # Those that failed get their share of the page first.
    ranks = {state: rank for rank, state in enumerate(STATES)}
    order = sorted(range(len(entries)), key=lambda number: ranks.get(entries[number]["state"], len(ranks)))
    opened = {number for number in order[:OPEN] if entries[number]["state"] == "failed"}
    rows = {number: _row(entries[number], number, scale, budget, shows_namespaces, number in opened) for number in order}
    first = {number: begun for number, entry in enumerate(entries) if (begun := created(entry["attempts"])) is not None}
    shown = sorted(rows, key=lambda number: (first.get(number, float("inf")), entries[number]["namespace"], entries[number]["name"]))
    left_out = "" if budget.is_detailed else f" The events of tasks that succeeded are left out, since there are more than {DETAILED} tasks."
    about = "Each bar starts when its task was created." if scale.is_aligned else "All bars share one clock (UTC)."
    return tag(
        "section",
        tag("h2", "Tasks", id="tasks"),
        _filter(entries),
        tag("div", legend(), tag("p", about, left_out, class_="about"), class_="key"),
        grid(scale),
        tag("div", axis(scale), class_="axis-row"),
        tag("div", [rows[number] for number in shown], class_="tasks"),
        aria_labelledby="tasks",
    )


def _filter(entries: Sequence[Entry]) -> Html:
    """The number of tasks in each state; choosing one hides the others, without a script."""
    numbers = {state: sum(entry["state"] == state for entry in entries) for state in STATES}
    present = [state for state, number in numbers.items() if number]
    if len(present) < 2:
        return Html()
    choices = [("all", "all", len(entries)), *((state, state, numbers[state]) for state in present)]
    fields = [
        join(
            (
                tag("input", type="radio", name="show", id=f"show-{key}", checked=key == "all"),
                tag("label", tag("b", f"{number:,}"), f" {name}", for_=f"show-{key}"),
            )
        )
        for key, name, number in choices
    ]
    return tag("fieldset", tag("legend", "Show"), fields, class_="filter")


def _row(entry: Entry, number: int, scale: Scale, budget: Budget, shows_namespaces: bool, is_open: bool) -> Html:
    attempts = entry["attempts"]
    begun, end = created(attempts), finished(attempts, scale.now)
    took = seconds(end - begun) if begun is not None and end is not None else "–"
    namespace = tag("span", f"{entry['namespace']}/", class_="namespace") if shows_namespaces else ""
    known = entry["state"] if entry["state"] in STATES else "pending"
    summary = tag(
        "summary",
        tag("span", namespace, entry["name"], class_="name"),
        mark(entry["state"]),
        draw_bar(attempts, scale),
        tag("span", took, class_="took"),
    )
    return tag("details", summary, _body(entry, scale, budget), class_=f"task s-{known}", id=f"task-{number}", open=is_open)


def _body(entry: Entry, scale: Scale, budget: Budget) -> Html:
    begun = created(entry["attempts"])
    parts: list[Html] = []
    if entry["msg"]:
        parts.append(tag("p", entry["msg"], class_="message"))
    if entry["hint"]:
        parts.append(tag("p", entry["hint"], class_="hint"))
    if entry["note"]:
        parts.append(tag("p", entry["note"], class_="about"))
    parts.append(_facts(entry, scale.now))
    if entry["results"]:
        parts += [tag("h3", "Results"), _results(entry["results"])]
    if entry["logs"] is None:
        parts.append(tag("p", "The log was not collected.", class_="about"))
    parts += [_log(log, budget) for log in entry["logs"] or ()]
    is_titled = len(entry["attempts"]) > 1
    parts += [_attempt(attempt, scale, begun, budget, is_titled) for attempt in entry["attempts"]]
    return tag("div", parts, class_="body")


def _facts(entry: Entry, now: float) -> Html:
    begun, end = created(entry["attempts"]), finished(entry["attempts"], now)
    facts = [("Kind", text(entry["kind"]))]
    if entry["reason"]:
        facts.append(("Reason", text(entry["reason"])))
    if entry["rc"] is not None:
        facts.append(("Exit code", text(entry["rc"])))
    nodes = list(dict.fromkeys(attempt["node"] for attempt in entry["attempts"] if attempt["node"]))
    if nodes:
        facts.append(("Node" if len(nodes) == 1 else "Nodes", text(", ".join(nodes[:5]) + (f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""))))
    if begun is not None:
        facts.append(("Created", _time(begun)))
    if end is not None and entry["state"] not in ("running", "pending", "deleting"):
        facts.append(("Finished", _time(end)))
    if len(entry["attempts"]) == 1:
        attempt = entry["attempts"][0]
        facts += [(name.capitalize(), text(seconds(value))) for name, value in durations(attempt, now)]
        facts += [("Restarts", text(attempt["restarts"]))] if attempt["restarts"] else []
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts], class_="facts")


def _time(value: float) -> Html:
    return tag("time", moment(value), datetime=machine_time(value))


def _attempt(attempt: Attempt, scale: Scale, begun: float | None, budget: Budget, is_titled: bool) -> Html:
    """An attempt with its events; what the facts of the task say of its only attempt is not repeated."""
    parts: list[Html] = []
    if is_titled:
        parts.append(tag("h3", attempt["title"].capitalize(), " ", mark(attempt["state"])))
        parts.append(draw_bar([attempt], scale, begun))
        said = [", ".join(f"{name} {seconds(value)}" for name, value in durations(attempt, scale.now))]
        said += [f"exit code {attempt['rc']}"] if attempt["rc"] is not None else []
        said += [attempt["reason"]] if attempt["reason"] not in ("", "Completed", "Error") else []
        said += [count(attempt["restarts"], "restart")] if attempt["restarts"] else []
        said += [f"pod {attempt['pod']}"] if attempt["pod"] else []
        said += [attempt["node"]] if attempt["node"] else []
        parts.append(tag("p", " · ".join(filter(None, said)), class_="about"))
    if attempt["events"] and (budget.is_detailed or attempt["state"] != "succeeded"):
        parts.append(events(attempt["events"], budget))
    return tag("div", parts, class_="attempt") if parts else Html()


def events(listed: Sequence[Event], budget: Budget) -> Html:
    """Events as a table, oldest first."""
    if not budget.take(sum(len(event["message"]) + 200 for event in listed)):
        return tag("p", f"{count(len(listed), 'event')} left out, since the page is large.", class_="about")
    rows = []
    for event in listed:
        seen = read_timestamp(event["last_seen"])
        when = tag("time", clock(seen), datetime=machine_time(seen)) if seen is not None else text("")
        times = f" ×{event['count']}" if event["count"] > 1 else ""
        rows.append(
            tag("tr", tag("td", when), tag("td", event["reason"], times), tag("td", event["message"]), class_=None if event["type"] == "Normal" else "warning")
        )
    heads = tag("tr", [tag("th", name, scope="col") for name in ("Time", "Event", "Message")])
    return tag("table", tag("thead", heads), tag("tbody", rows), class_="events")


def _results(results: dict[str, str]) -> Html:
    pairs = [(name, value if len(value) <= _RESULT_CHARACTERS else f"{value[:_RESULT_CHARACTERS]}…") for name, value in sorted(results.items())]
    return tag("dl", [tag("div", tag("dt", name), tag("dd", tag("code", value))) for name, value in pairs], class_="facts")


def _log(log: Log, budget: Budget) -> Html:
    title = tag("h3", f"Log of {log['title']}" if log["title"] else "Log")
    if not log["text"].strip():
        return join((title, tag("p", "It is empty.", class_="about")))
    if not budget.take(min(len(log["text"]), LOG_CHARACTERS)):
        return join((title, tag("p", f"Left out, since the page is large ({size(len(log['text']))}).", class_="about")))
    shown, left_out = cut(log["text"])
    note = tag("p", f"The first {size(left_out)} are left out.", class_="about") if left_out else Html()
    return join((title, note, tag("pre", shown, tabindex="0", role="region", aria_label=f"Log{' of ' + log['title'] if log['title'] else ''}")))


def cut(log: str) -> tuple[str, int]:
    """The end of a log as a terminal would show it, in whole lines if possible, and how many characters are left out."""
    # A program that rewrites its line, such as a progress bar, separates the versions of it by carriage returns.
    lines = [last_state(line) for line in split_lines(log)]
    whole = "\n".join(lines)
    if len(whole) <= LOG_CHARACTERS:
        return whole, 0
    end = whole[-LOG_CHARACTERS:]
    begun = end.find("\n") + 1
    end = end[begun:] if begun < LOG_CHARACTERS // 2 else end
    return end, len(whole) - len(end)
