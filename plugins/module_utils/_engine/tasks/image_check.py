# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The images of tasks, before the first request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import PodwrightError
from ..image_policy.policy import ImagePolicy
from ..values import Manifest, Options
from .pod_template import preview_manifest
from .task_spec import TaskSpec

REFUSED = "ImageRefused"
_LISTED = 20


def check_images(policy: Options | None, specs: Iterable[TaskSpec]) -> None:
    """Check the images of all containers and volumes of tasks. Raises: PodwrightError that names those that the policy does not allow."""
    if policy is None:
        return
    judge, reasons, refused = ImagePolicy(policy), dict[str, str](), list[str]()
    for spec in specs:
        for user, image in _images_of(preview_manifest(spec)):
            if image not in reasons:
                reasons[image] = judge.refusal(image)
            if reasons[image]:
                refused.append(f"The image '{image}' of {user} of task '{spec.name}' is refused by image_policy: {reasons[image]}.")
    if refused:
        more = [f"… and {len(refused) - _LISTED} more."] if len(refused) > _LISTED else []
        hint = "Use an image that the policy allows, or correct the policy. Nothing was started."
        raise PodwrightError("\n".join([*refused[:_LISTED], *more]), reason=REFUSED, hint=hint)


def _images_of(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """(who uses it, image) of each container, init container and image volume of a Pod or Job."""
    spec = manifest["spec"]
    if manifest["kind"] == "Job":
        spec = (spec.get("template") or {}).get("spec") or {}  # without, the API server refuses it
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            yield f"container '{container.get('name')}'", str(container.get("image") or "")
    for volume in spec.get("volumes") or ():
        if volume.get("image"):
            yield f"volume '{volume.get('name')}'", str(volume["image"].get("reference") or "")
