# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images and the registry from which those without a host are pulled."""

from __future__ import annotations

from ..errors import option_error
from ..objects.image_reference import is_prefix, names_host


def full_image(image: str | None, registry: str | None) -> str | None:
    """The image with the registry as a prefix, unless it names the host of its registry.

    Args:
        registry: HOST[:PORT][/PATH], or None.

    Raises: PodwrightError for an invalid registry.
    """
    if not registry:
        return image
    prefix = registry.rstrip("/")
    if not is_prefix(prefix):
        hint = "It is the prefix of images without a host. A host contains a dot or a port, or is localhost."
        raise option_error("registry", f"must be HOST[:PORT][/PATH] without a scheme, such as registry.example.com/team, got {registry!r}.", hint)
    return f"{prefix}/{image}" if image and not names_host(image) else image
