# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The chart of a benchmark: a line for each row, on which each contender is a mark at its time."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from .model import LIMIT, OURS, PEER

WIDTH, LABELS, MARGIN, TOP, STEP = 860, 300, 24, 66, 26
STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#1f2328}.s{font-size:11px;fill:#59636e}.page{fill:#fff}"
    ".grid{stroke:#d1d9e0}.line{stroke:#afb8c1}.ours{fill:#0969da}.peer{fill:#bc4c00}.limit{fill:none;stroke:#59636e;stroke-width:2}"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.page{fill:#0d1117}.grid{stroke:#21262d}.line{stroke:#3d444d}"
    ".ours{fill:#58a6ff}.peer{fill:#f0883e}.limit{stroke:#9198a1}}"
)


def draw(rows: list[dict[str, Any]]) -> str:
    """The SVG, whose colors follow those of the viewer. Rows in which nothing was measured are left out."""
    shown = [row for row in rows if any("seconds" in one for one in row["contenders"])]
    times = [one["seconds"] for row in shown for one in row["contenders"] if "seconds" in one] or [1]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times) * 1.01))
    height = TOP + STEP * len(shown) + MARGIN

    def place(seconds: float) -> float:
        return LABELS + (math.log10(seconds) - low) / (high - low) * (WIDTH - LABELS - MARGIN)

    parts = []
    for power in range(low, high + 1):
        x = place(10**power)
        parts.append(f'<line class="grid" x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 12}" y2="{height - MARGIN}"/>')
        parts.append(f'<text class="s" x="{x:.0f}" y="{TOP - 18}" text-anchor="middle">{10**power:g} s</text>')
    for number, row in enumerate(shown):
        parts.append(_row(row, TOP + STEP * number + 8, place))
    title = "Seconds of Podwright, its peers and the limit, on a logarithmic scale"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img"><title>{title}</title>'
        f"<style>{STYLE}</style>"
        f'<rect class="page" width="{WIDTH}" height="{height}"/>{_legend()}{"".join(parts)}</svg>\n'
    )


def _row(row: dict[str, Any], y: int, place: Any) -> str:
    found = [(place(one["seconds"]), one) for one in row["contenders"] if "seconds" in one]
    ends = min(x for x, _one in found), max(x for x, _one in found)
    parts = [f'<text x="{LABELS - 14}" y="{y + 4}" text-anchor="end">{escape(row["work"])}</text>']
    parts.append(f'<line class="line" x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{y}" y2="{y}"/>')
    parts += [_mark(x, y, one["role"], f"{one['name']}: {one['seconds']:.2f} s") for x, one in found]
    return "".join(parts)


def _mark(x: float, y: int, role: str, title: str) -> str:
    """A shape for each role, so that color alone distinguishes nothing."""
    inner = f"<title>{escape(title)}</title>"
    if role == OURS:
        return f'<circle class="ours" cx="{x:.1f}" cy="{y}" r="6">{inner}</circle>'
    if role == PEER:
        return f'<rect class="peer" x="{x - 5:.1f}" y="{y - 5}" width="10" height="10">{inner}</rect>'
    return f'<path class="limit" d="M{x:.1f} {y - 7}v14">{inner}</path>'


def _legend() -> str:
    parts, x = [], LABELS
    for role, text in ((OURS, "Podwright"), (PEER, "peer"), (LIMIT, "limit: requests alone, or a task that does nothing")):
        parts.append(_mark(x, 20, role, text) + f'<text x="{x + 13}" y="24">{text}</text>')
        x += 30 + 8 * len(text)
    return "".join(parts)
