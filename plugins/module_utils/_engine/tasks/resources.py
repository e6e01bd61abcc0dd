# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Resource requests and limits of a container."""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias

from ..errors import option_error
from ..objects.quantity import format_quantity, parse_quantity
from ..values import Options

Resources: TypeAlias = dict[str, dict[str, str]]
"""`limits` and `requests`, each a quantity for each resource; an empty one is absent."""

_OVERCOMMITTED = ("cpu", "memory")
_BYTES = ("memory", "ephemeral-storage")
_PAGE = 4096  # bytes, less than which no process can have


def build_resources(container: Options, path: str = "", is_exact: bool = False) -> Resources:
    """The resources of a container; of memory and storage whole bytes, since a kubelet that resizes a container never reports another amount.

    If only a limit is given, the request is `request_ratio` of it for cpu and memory, and equal to it for other resources, which the API requires.

    Args:
        path: prefix of the container's options in errors, such as `containers[0].`.
        is_exact: whether fractions of a byte are kept.

    Raises: PodwrightError for an invalid quantity or ratio.
    """
    given = container.get("resources") or {}
    limits, requests = (_quantities(given.get(part), f"{path}resources.{part}") for part in ("limits", "requests"))
    ratio = container.get("request_ratio", 0.5)
    if not 0 < ratio <= 1:
        raise option_error(f"{path}request_ratio", f"must be greater than 0 and at most 1, got {ratio}.")
    for name, text in limits.items():
        if name not in requests:
            requests[name] = format_quantity(parse_quantity(text) * Fraction(str(ratio)), text) if name in _OVERCOMMITTED else text
    found = {part: quantities for part, quantities in (("limits", limits), ("requests", requests)) if quantities}
    return found if is_exact else {part: {name: _whole(name, text) for name, text in quantities.items()} for part, quantities in found.items()}


def _whole(name: str, text: str) -> str:
    """A quantity, rounded up to whole bytes if it is one of bytes: the 0.1Gi of memory are 107374183 bytes."""
    value = parse_quantity(text)
    return text if name not in _BYTES or value.denominator == 1 else format_quantity(value, "Mi")


def _quantities(given: Options | None, option: str) -> dict[str, str]:
    quantities = {str(name): str(text) for name, text in (given or {}).items() if text is not None}
    for name, text in quantities.items():
        try:
            value = parse_quantity(text)
        except ValueError:
            raise option_error(f"{option}.{name}", f"must be a quantity such as 500m, 2 or 128Mi, got {text!r}.") from None
        if name == "memory" and option.endswith("limits") and 0 < value < _PAGE:
            raise option_error(f"{option}.{name}", f"must be at least {_PAGE} bytes, got {text!r}.", "Write Mi for mebibytes; m is a thousandth.")
    return quantities
