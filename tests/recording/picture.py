# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a terminal showed, as an animated SVG without scripts: lines appear when they were written, and scroll."""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple

# Seconds: the longest pause that is shown, a typed character, before the next command, and before the animation starts again.
PAUSE, TYPING, BETWEEN, REST = 1.2, 0.035, 1.6, 5.0
LINE, CHARACTER, MARGIN, BAR = 18, 8.0, 16, 32  # pixels
# Colours of a dark terminal, which is readable on light and dark pages.
COLOURS = {30: "#484f58", 31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#76e3ea", 37: "#c9d1d9", 90: "#8b949e"}
_SGR = re.compile(r"\x1b\[([\d;]*)m")
_OTHER = re.compile(r"\x1b\[[\d;?]*[A-LN-Za-ln-z]|\x1b\][^\x07]*\x07|\r")


class Event(NamedTuple):
    """What was written, and when: in seconds since the start of the command."""

    time: float
    text: str


class Line(NamedTuple):
    """A line of the screen, which appears at a time in seconds."""

    time: float
    spans: list[tuple[str, str]]  # (colour, text)


def lines(commands: list[tuple[str, list[Event]]], columns: int) -> tuple[list[Line], float]:
    """(lines in order, time of the last) of commands with their output; long pauses are shortened."""
    found: list[Line] = []
    now = 0.5
    for command, events in commands:
        found.append(Line(now, [("#7ee787", "$ "), ("#ffffff", command)]))
        now += len(command) * TYPING
        before, colour, spans = 0.0, "", []
        for event in events:
            now += min(event.time - before, PAUSE)
            before = event.time
            for part in re.split(r"(\n|\x1b\[[\d;]*m)", _OTHER.sub("", event.text)):
                if part == "\n":
                    found += [Line(now, row) for row in _wrapped(spans, columns)]
                    spans = []
                elif match := _SGR.fullmatch(part):
                    colour = next((COLOURS[int(code)] for code in match[1].split(";") if code.isdigit() and int(code) in COLOURS), "")
                elif part:
                    spans.append((colour, part))
        now += BETWEEN
        found.append(Line(now, []))
    return found[:-1], now


def _wrapped(spans: list[tuple[str, str]], columns: int) -> list[list[tuple[str, str]]]:
    """A line in rows of that width."""
    rows: list[list[tuple[str, str]]] = [[]]
    free = columns
    for colour, text in spans:
        rest = text
        while len(rest) > free:
            rows[-1].append((colour, rest[:free]))
            rest, free = rest[free:], columns
            rows.append([])
        rows[-1].append((colour, rest))
        free -= len(rest)
    return rows


def picture(commands: list[tuple[str, list[Event]]], columns: int, rows: int) -> str:
    """The SVG of commands with their output in a window of that many characters."""
    shown, last = lines(commands, columns)
    total = last + REST
    width, height = columns * CHARACTER + 2 * MARGIN, rows * LINE + MARGIN + BAR
    rules = [
        f"#l{number}{{animation-name:a{number}}}@keyframes a{number}{{0%{{opacity:0}}{100 * line.time / total:.2f}%{{opacity:1}}}}"
        for number, line in enumerate(shown)
    ]
    scroll = "".join(
        f"{100 * line.time / total:.2f}%{{transform:translateY({-(number + 1 - rows) * LINE}px)}}" for number, line in enumerate(shown) if number + 1 > rows
    )
    texts = "".join(
        f'<text id="l{number}" y="{(number + 1) * LINE - 5}">' + "".join(_span(colour, text) for colour, text in line.spans) + "</text>"
        for number, line in enumerate(shown)
        if line.spans
    )
    final = -max(0, len(shown) - rows) * LINE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" role="img">'
        f"<title>A terminal: {escape('; '.join(command for command, _events in commands))}</title><style>"
        "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#c9d1d9;white-space:pre}"
        f"#s{{transform:translateY({final}px)}}"
        f"@media (prefers-reduced-motion:no-preference){{text,#s{{animation:{total:.1f}s step-end infinite}}#s{{animation-name:s}}"
        f"@keyframes s{{0%{{transform:none}}{scroll}}}{''.join(rules)}}}</style>"
        f'<rect x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1}" rx="8" fill="#0d1117" stroke="#6e7681"/>'
        '<circle cx="20" cy="17" r="6" fill="#ff5f57"/><circle cx="40" cy="17" r="6" fill="#febc2e"/><circle cx="60" cy="17" r="6" fill="#28c840"/>'
        f'<svg x="{MARGIN}" y="{BAR}" width="{columns * CHARACTER:.0f}" height="{rows * LINE}"><g id="s">{texts}</g></svg></svg>\n'
    )


def _span(colour: str, text: str) -> str:
    fill = f' style="fill:{colour}"' if colour else ""
    return f"<tspan{fill}>{escape(text)}</tspan>" if fill else escape(text)
