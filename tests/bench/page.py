# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a benchmark measured as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .model import LIMIT, OURS, PEER

# The headings between which `make bench ARGS=--publish` writes.
BEGIN, END = "## Figures", "## What takes the time"
CHART = "![Seconds of Podwright, its peers and the limit for each kind of work, on a logarithmic scale](images/performance.svg)"


def render(report: dict[str, Any]) -> str:
    """The tables: what was reached, what everything took, and how it grows."""
    rows = report["rows"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines = [f"`{report['command']}` on {report['date']}, commit {report['commit']}, {report['machine']}; {versions}.", ""]
    lines += [f"Not measured: {name} ({reason})." for name, reason in report["absent"].items()]
    lines += [""] if report["absent"] else []
    lines += format_table(["work", "Podwright", "fastest peer", "limit", "goal", "reached"], [cells for row in rows for cells in _summary(row)])
    lines += ["", "### Everything that was measured", "", "Medians, with the fastest and the slowest run; the memory is that of the largest process.", ""]
    lines += format_table(
        ["work", "what does it", "seconds", "CPU seconds", "peak memory", "runs"], [_contender(row, one) for row in rows for one in row["contenders"]]
    )
    facts = [f"- {row['work']}: {', '.join(f'{name} {value}' for name, value in row['facts'].items())}." for row in rows if row.get("facts")]
    lines += ["", *facts] if facts else []
    if report["curves"]:
        lines += ["", "### Growth", "", "The exponent of the size that fits what was measured, without a constant part: 1 is linear.", ""]
        lines += format_table(
            ["what grows", "sizes", "seconds", "CPU seconds", "exponent of seconds", "of CPU", "of memory"], [_curve(curve) for curve in report["curves"]]
        )
    return "\n".join(lines) + "\n"


def publish(page: str, generated: str) -> str:
    """The page with what is generated replaced."""
    return replace_section(page, BEGIN, END, f"{CHART}\n\n{generated}")


def replace_section(page: str, begin: str, end: str, text: str) -> str:
    """A page with another text between two headings."""
    before, _begin, rest = page.partition(begin)
    _old, _end, after = rest.partition(end)
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; a row may lack its last cells."""
    padded = [[*row, *["–"] * (len(head) - len(row))] for row in rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in [head, ["---"] * len(head), *padded]]


def _summary(row: dict[str, Any]) -> list[list[str]]:
    """A line for each goal."""
    if row.get("error"):
        return [[row["work"], f"failed: {row['error']}", "–", "–", "–", "–"]]
    first = [row["work"], *(_best(row, role) for role in (OURS, PEER, LIMIT))]
    return [[*(first if not number else ["", "", "", ""]), *_goal(goal)] for number, goal in enumerate(row["goals"])] or [[*first, "–", "–"]]


def _best(row: dict[str, Any], role: str) -> str:
    """The fastest contender of a role."""
    found = [one for one in row["contenders"] if one["role"] == role and "seconds" in one]
    if not found:
        return "not measured" if any(one["role"] == role for one in row["contenders"]) else "–"
    best = min(found, key=lambda one: one["seconds"])
    seconds = f"{format_number(best['seconds'])} s"
    return seconds if role == OURS and len(found) == 1 else f"{best['name']} {seconds}"


def _goal(goal: dict[str, Any]) -> list[str]:
    unit = f" {goal['unit']}" if goal["unit"] else ""
    text = f"at most {format_number(goal['limit'])}{unit} {goal['text']}".strip()
    if goal["value"] is None:
        return [text, "not measured"]
    return [text, f"{'yes' if goal['met'] else 'no'}: {format_number(goal['value'])}{unit}"]


def _contender(row: dict[str, Any], one: dict[str, Any]) -> list[str]:
    if "error" in one:
        return [row["work"], one["name"], one["error"], "–", "–", "–"]
    spread = f" ({format_number(one['low'])} to {format_number(one['high'])})" if one["runs"] > 1 else ""
    return [row["work"], one["name"], f"{format_number(one['seconds'])}{spread}", format_number(one["cpu"]), f"{one['peak'] >> 20} MiB", str(one["runs"])]


def _curve(curve: dict[str, Any]) -> list[str]:
    if curve.get("error"):
        return [curve["unit"], f"failed: {curve['error']}", "–", "–", "–", "–", "–"]
    points = curve["points"]
    shown = [" / ".join(format_number(point[part]) for point in points) for part in ("seconds", "cpu")]
    return [curve["unit"], " / ".join(f"{point['size']:,}" for point in points), *shown, *(f"{curve['exponents'][part]:.2f}" for part in curve["exponents"])]


def format_number(value: float) -> str:
    """A number with three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
