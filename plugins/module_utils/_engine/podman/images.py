# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The images of pods on a Podman host: under the names that Kubernetes gives them, pulled by its policies."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..objects.image_reference import DEFAULT_REGISTRY, names_host
from .program import summarize

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..values import Manifest
    from .program import Program

DEFAULT_PATH = "library"


def full_name(image: str) -> str:
    """The name with the registry and the path that a container runtime of Kubernetes adds: `docker.io/library/busybox` for `busybox`."""
    if names_host(image):
        return image
    return f"{DEFAULT_REGISTRY}/{image}" if "/" in image else f"{DEFAULT_REGISTRY}/{DEFAULT_PATH}/{image}"


def pull_policy(container: Manifest) -> str:
    """The policy of a container (API reference, Container, imagePullPolicy): Always for the tag `latest`, else IfNotPresent."""
    if container.get("imagePullPolicy"):
        return str(container["imagePullPolicy"])
    name = container["image"].rpartition("/")[2]
    is_latest = "@" not in name and (":" not in name or name.endswith(":latest"))
    return "Always" if is_latest else "IfNotPresent"


def by_image(containers: Iterable[Manifest]) -> list[Manifest]:
    """One container for each image: of several with the same one, that whose policy pulls it most often."""

    def pulls(container: Manifest) -> tuple[bool, bool]:
        policy = pull_policy(container)
        return policy == "Always", policy != "Never"

    return list({full_name(container["image"]): container for container in sorted(containers, key=pulls)}.values())


class Images:
    """Pulls images; threads may share it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._locks: dict[str, threading.Lock] = {}
        self._pulled: set[str] = set()

    def provide(self, container: Manifest, seconds: float | None) -> tuple[str, str] | None:
        """Pull the image of a container if its policy says so, at most once, and within so many seconds if not None.

        Returns: (reason of the API, message) if there is no image. Raises: PodwrightError.
        """
        image, policy = full_name(container["image"]), pull_policy(container)
        with self._locks.setdefault(image, threading.Lock()):
            if policy != "Always" or image in self._pulled:
                if self._program.exists("image", image):
                    return None
                if policy == "Never":
                    return "ErrImageNeverPull", f"the image '{image}' does not exist on host '{self._program.host}', and its pull policy is Never."
            answer = self._program.run("pull", "--quiet", "--", image, seconds=seconds)
            if answer.rc == 0:
                self._pulled.add(image)
                return None
        is_invalid = "invalid reference format" in answer.error
        return ("InvalidImageName" if is_invalid else "ErrImagePull"), f"the image '{image}' could not be pulled: {summarize(answer)}"
