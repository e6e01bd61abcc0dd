# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Timestamps of the API (RFC 3339)."""

from __future__ import annotations

import datetime


def parse_timestamp(text: str) -> float:
    """The seconds since the epoch of a timestamp, which is in UTC unless it names another offset. Raises: ValueError."""
    moment = datetime.datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def read_timestamp(text: str | None) -> float | None:
    """The seconds since the epoch of a timestamp, or None if it is missing or malformed."""
    try:
        return parse_timestamp(text) if text else None
    except (TypeError, ValueError, OverflowError):
        return None
