# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Timestamps of the API."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.objects.timestamps import parse_timestamp, read_timestamp


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T00:01:00.250000Z", 60.25),
        ("1970-01-01T00:01:00.5Z", 60.5),
        ("1970-01-01T00:01:00.123456789Z", 60.123456),
        ("1970-01-01T01:01:00+01:00", 60),
        ("1970-01-01T00:01:00", 60),  # without an offset, as some plugins write it: UTC, in whichever time zone this machine is
    ],
)
def test_a_timestamp_is_in_utc_unless_it_names_another_offset(text, seconds, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    assert parse_timestamp(text) == seconds


def test_a_malformed_timestamp_is_rejected():
    with pytest.raises(ValueError, match="yesterday"):
        parse_timestamp("yesterday")


@pytest.mark.parametrize("text", ["yesterday", "²", "", None, 5])
def test_a_malformed_timestamp_is_unknown_where_it_may_be(text):
    assert read_timestamp(text) is None
