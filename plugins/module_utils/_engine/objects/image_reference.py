# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""References to images, by the grammar and the defaults of container runtimes (github.com/distribution/reference)."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_REGISTRY = "docker.io"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r":(?P<tag>[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})"
_DIGEST = r"@(?P<digest>[a-zA-Z][a-zA-Z0-9]*(?:[-_+.][a-zA-Z][a-zA-Z0-9]*)*:[a-fA-F0-9]{32,})"
_REFERENCE = re.compile(rf"(?P<name>(?:{_HOST}/)?{_PATH})(?:{_TAG})?(?:{_DIGEST})?")
_REPOSITORIES = re.compile(rf"{_HOST}(?:/{_PATH})?")
# A node resolves such a text as the ID of any image that it has.
_IMAGE_ID = re.compile(r"sha256:.*|[a-f0-9]{64}")
_FIXED = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")


@dataclass(frozen=True)
class ImageReference:
    """A reference to an image.

    Attributes:
        repository: with its registry, such as `docker.io/library/busybox` for `busybox`.
        tag: its tag, or None.
        digest: its digest, such as `sha256:…`, or None.
    """

    repository: str
    tag: str | None
    digest: str | None

    @property
    def tagged(self) -> str:
        """The repository and the tag, which is `latest` by default."""
        return f"{self.repository}:{self.tag or 'latest'}"

    @property
    def is_fixed(self) -> bool:
        """Whether its digest identifies the content."""
        return bool(self.digest and _FIXED.fullmatch(self.digest))

    def is_below(self, prefix: str) -> bool:
        """Whether the repository is the prefix or below it, in whole components."""
        return self.repository == prefix or self.repository.startswith(f"{prefix}/")


def parse_image(text: str) -> ImageReference | None:
    """The reference in a text, or None if it is invalid or the ID of an image."""
    found = _REFERENCE.fullmatch(text)
    if not found or _IMAGE_ID.fullmatch(text):
        return None
    name = found["name"]
    name = name if names_host(name) else f"{DEFAULT_REGISTRY}/{name}"
    name = name.removeprefix("index.") if name.startswith(f"index.{DEFAULT_REGISTRY}/") else name
    registry, _slash, path = name.partition("/")
    if registry == DEFAULT_REGISTRY and "/" not in path:
        name = f"{registry}/library/{path}"
    return ImageReference(name, found["tag"], found["digest"])


def is_prefix(text: str) -> bool:
    """Whether a text is HOST[:PORT][/PATH], as `ImageReference.is_below` takes it."""
    return bool(_REPOSITORIES.fullmatch(text)) and names_host(f"{text}/")


def names_host(image: str) -> bool:
    """Whether the first component of an image is a host."""
    first, slash, _rest = image.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
