# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Timestamps of the API (RFC 3339)."""

from __future__ import annotations

import datetime
import re

_FRACTION = re.compile(r"\.(\d{1,6})\d*")


def parse_timestamp(text: str) -> float:
    """The seconds since the epoch of a timestamp, which is in UTC unless it names another offset. Raises: ValueError."""
    # Python 3.10 reads neither a Z nor other fractions than those of three and six digits.
    moment = datetime.datetime.fromisoformat(_FRACTION.sub(lambda match: f".{match[1]:0<6}", re.sub("[Zz]$", "+00:00", text)))
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()


def read_timestamp(text: str | None) -> float | None:
    """The seconds since the epoch of a timestamp, or None if it is missing or malformed."""
    try:
        return parse_timestamp(text) if text else None
    except (TypeError, ValueError, OverflowError):
        return None


def known_time(text: str | None) -> str | None:
    """A timestamp, or None if it is missing or the epoch: a container that could not be started has that."""
    return None if not text or text.startswith("1970-01-01T00:00:00") else text
