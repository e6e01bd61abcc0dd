# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors about kinds that an API server does not serve, or several groups of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import UNKNOWN_KIND, PodwrightError
from ..libraries import load
from .providers import provider_of

if TYPE_CHECKING:
    from .kinds import Kind

_MAX_NAMES = 20  # names in an error


def unknown_in_version(api_version: str, name: str, kinds: Sequence[str], missing: str, successor: str | None) -> PodwrightError:
    """The error for a kind that an API version does not have.

    Args:
        kinds: the names of those that it has.
        missing: why there are none.
        successor: the API version that has the kind, if one is known.
    """
    served = f"kinds of {api_version}: {', '.join(kinds[:_MAX_NAMES])}" if kinds else missing
    hint = f"Install {provider_of(api_version.rpartition('/')[0])} first, or correct api_version and kind (kubectl api-resources lists them)."
    if successor:
        hint = f"Set api_version to {successor}, which has this kind; some of its fields may differ."
    return PodwrightError(f"Kind '{name}' not found in {api_version}; {served}.", reason=UNKNOWN_KIND, hint=hint)


def unknown_in_group(group: str, name: str, is_installed: bool) -> PodwrightError:
    """The error for a kind that no version of a group has."""
    why = f"no version of the API group {group} has it" if is_installed else f"the API group {group} is not installed"
    return PodwrightError(f"The API server does not serve the kind {name}: {why}.", reason=UNKNOWN_KIND, hint=f"Install {provider_of(group)} first.")


def unknown_anywhere(name: str, known: Collection[Kind], down: Iterable[str]) -> PodwrightError:
    """The error for a kind that no group has.

    Args:
        known: the kinds that the groups have.
        down: the API versions that cannot be read.
    """
    names = {kind.name.lower(): kind for kind in known}
    similar = load("difflib").get_close_matches(name.lower(), names) or sorted(names)
    listed = ", ".join(f"{kind.name} ({kind.api_version})" for kind in known if kind.name.lower() in similar[:_MAX_NAMES])
    unavailable = f"; {', '.join(down)} cannot be read" if down else ""
    message = f"Kind '{name}' not found in any API group{'; similar kinds: ' + listed if listed else ''}{unavailable}."
    return PodwrightError(message, reason=UNKNOWN_KIND, hint="Install its definition first, or correct kind (kubectl api-resources lists them).")


def ambiguous(name: str, kinds: Iterable[Kind]) -> PodwrightError:
    """The error for a kind that several groups have."""
    places = ", ".join(kind.api_version for kind in kinds)
    return PodwrightError(f"Kind '{name}' is served by several groups: {places}.", reason=UNKNOWN_KIND, hint="Set api_version to one of them.")
