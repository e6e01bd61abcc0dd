# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Times, durations and sizes as a report writes them."""

from __future__ import annotations

import datetime


def seconds(value: float) -> str:
    """A duration, such as `0.4 s`, `12 s`, `3 min 5 s` or `2 h 1 min`."""
    if 0 < value < 10 and value % 1:
        return f"{value:.1f} s"
    whole = round(value)
    for unit, name, size, part in (("d", "h", 86_400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}{f' {rest} {name}' if rest else ''}"
    return f"{whole} s"


def moment(value: float) -> str:
    """A time, such as `2026-11-27 02:40:12 UTC`."""
    return f"{_utc(value):%Y-%m-%d %H:%M:%S} UTC"


def clock(value: float) -> str:
    """The time of a day in UTC, such as `02:40:12`."""
    return f"{_utc(value):%H:%M:%S}"


def machine_time(value: float) -> str:
    """A time for a program (RFC 3339)."""
    return f"{_utc(value):%Y-%m-%dT%H:%M:%SZ}"


def size(characters: int) -> str:
    """An amount of text, such as `12 kB`."""
    return f"{characters / 1e6:.1f} MB" if characters >= 1_000_000 else f"{-(-characters // 1000)} kB"


def count(number: int, singular: str, plural: str = "") -> str:
    """A number of things, such as `1 task` or `1,200 tasks`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def _utc(value: float) -> datetime.datetime:
    # Years that datetime does not know would raise an exception.
    return datetime.datetime.fromtimestamp(min(max(value, 0), 253_402_300_799), datetime.timezone.utc)
