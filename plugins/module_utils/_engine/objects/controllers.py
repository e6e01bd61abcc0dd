# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller of an object, and the workload of a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .labels import label_of

if TYPE_CHECKING:
    from ..values import Manifest

TEMPLATE_HASH = "pod-template-hash"  # by which the ReplicaSets of a Deployment differ
REVISION_HASH = "controller-revision-hash"  # by which the pods of a StatefulSet or DaemonSet differ


def controller_reference(item: Manifest) -> Manifest | None:
    """The owner reference of the controller that created an object, or None (API reference, OwnerReference)."""
    return next((reference for reference in item["metadata"].get("ownerReferences") or [] if reference.get("controller")), None)


def workload_of(pod: Manifest) -> tuple[str, str] | None:
    """The kind and name of a pod's controller; the Deployment instead of the ReplicaSet that is named after it. None if the pod has no controller."""
    owner = controller_reference(pod)
    if owner is None:
        return None
    suffix = f"-{label_of(pod, TEMPLATE_HASH)}"
    if owner["kind"] == "ReplicaSet" and owner["name"].endswith(suffix):
        return "Deployment", owner["name"].removesuffix(suffix)
    return owner["kind"], owner["name"]
