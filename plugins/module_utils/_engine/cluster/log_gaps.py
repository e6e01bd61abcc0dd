# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gaps in a log that was followed, and the warning about them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gap:
    """A gap in which lines may be missing: the log was rotated, or the container restarted.

    Attributes:
        after, before: timestamps of a line shortly before and of the first line after the gap, as the kubelet writes them.
    """

    pod: str
    container: str
    after: str
    before: str


def describe_gaps(gaps: list[Gap], log: str) -> str:
    """A warning about at least one gap.

    Args:
        log: what it calls the log, such as "pod 'a'".
    """
    first, further = gaps[0], f" There are {len(gaps)} such gaps." if len(gaps) > 1 else ""
    place = f" between {first.after} and {first.before}" if first.after and first.before else f" after {first.after}" if first.after else ""
    place = place or (f" before {first.before}" if first.before else "")
    return f"Lines of {log}{place} may be missing: the log was rotated, or the container restarted, before they were read.{further}"
