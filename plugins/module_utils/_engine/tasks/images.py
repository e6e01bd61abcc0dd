# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images and the registry from which those without a host are pulled."""

from __future__ import annotations

import re

from ..errors import option_error

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
_REGISTRY = re.compile(rf"{_HOST}(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")


def full_image(image: str | None, registry: str | None) -> str | None:
    """The image with the registry as a prefix, unless it names the host of its registry.

    Args:
        registry: HOST[:PORT][/PATH], or None.

    Raises: PodwrightError for an invalid registry.
    """
    if not registry:
        return image
    prefix = registry.rstrip("/")
    if not _REGISTRY.fullmatch(prefix) or not _names_host(f"{prefix}/"):
        hint = "It is the prefix of images without a host. A host contains a dot or a port, or is localhost."
        raise option_error("registry", f"must be HOST[:PORT][/PATH] without a scheme, such as registry.example.com/team, got {registry!r}.", hint)
    return f"{prefix}/{image}" if image and not _names_host(image) else image


def _names_host(image: str) -> bool:
    """Whether the first component of an image is a host, by the rule of container runtimes (github.com/distribution/reference)."""
    first, slash, _rest = image.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
