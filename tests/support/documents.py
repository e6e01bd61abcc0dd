# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads YAML with the parser in C if there is one: that in Python takes ten times as long, seconds of each run of the tests."""

from __future__ import annotations

from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str) -> Any:
    """The value of a document."""
    return yaml.load(text, LOADER)  # noqa: S506 - it is a SafeLoader


def read_all_yaml(text: str) -> list[Any]:
    """The values of all documents of a text."""
    return list(yaml.load_all(text, LOADER))
