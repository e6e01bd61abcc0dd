# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The types of the plain values that pass between the rooms."""

from __future__ import annotations

from typing import Any, TypeAlias

Manifest: TypeAlias = dict[str, Any]
"""An object of the Kubernetes API, desired or live, as decoded JSON."""

Options: TypeAlias = dict[str, Any]
"""Options of a module or of one of its suboptions, checked against an argument spec."""

Result: TypeAlias = dict[str, Any]
"""Fields of a module's result: plain data only."""

Patch: TypeAlias = list[dict[str, Any]]
"""A JSON Patch (RFC 6902)."""
