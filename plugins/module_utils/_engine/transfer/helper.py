# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An ephemeral container (KEP-277) beside a container whose image lacks tools. It accesses the files of that one below /proc/1/root."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Any

from ..cluster.client import MANAGER, STRATEGIC_PATCH
from ..cluster.exec_command import Container
from ..cluster.exec_errors import pod_not_found
from ..cluster.kinds import POD
from ..cluster.watch import Watcher
from ..errors import PodwrightError
from ..objects.containers import default_container

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..values import Manifest

NAME = "podwright-helper-"
LIFETIME = 3600  # seconds until it terminates: an ephemeral container cannot be removed from its pod
START_SECONDS = 60
_NO_PROBLEMS = (None, "ContainerCreating", "PodInitializing")
_FINAL_PROBLEMS = ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "ImagePullBackOff")


def find_helper(client: Client, container: Container, image: str) -> tuple[Container | None, Manifest]:
    """The helper with that image that runs beside a container, or None, and the pod. Raises: PodwrightError if the pod does not exist."""
    pod = client.get(POD, container.namespace, container.pod)
    if pod is None:
        raise pod_not_found(container)
    target = container.name or default_container(pod)
    states = _states(pod)
    for entry in pod["spec"].get("ephemeralContainers") or []:
        name = entry["name"]
        if name.startswith(NAME) and entry.get("targetContainerName") == target and entry["image"] == image and "running" in states.get(name, {}):
            return Container(container.namespace, container.pod, name), pod
    return None, pod


def start_helper(client: Client, container: Container, pod: Manifest, image: str) -> Container:
    """Add a helper to the pod and wait until it runs.

    Raises: PodwrightError if the pod, its Pod Security level or the image does not allow it.
    """
    target = container.name or default_container(pod)
    if pod["spec"].get("shareProcessNamespace"):
        raise PodwrightError(
            f"A helper container cannot identify the files of container '{target}': pod '{container.pod}' sets shareProcessNamespace.",
            reason="HelperRefused",
            hint="Use an image with a shell.",
        )
    spec = next(spec for spec in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])] if spec["name"] == target)
    entry: dict[str, Any] = {
        "name": NAME + token_hex(3),
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", str(LIFETIME)],
        "targetContainerName": target,
    }
    if spec.get("securityContext"):
        entry["securityContext"] = spec["securityContext"]  # the same user may access the files, and the Pod Security level allows it
    # A strategic merge patch, which merges by name: sent again after a lost response it changes nothing.
    patch = {"spec": {"ephemeralContainers": [entry]}}
    live = client.patch(POD, container.namespace, container.pod, patch, MANAGER, STRATEGIC_PATCH, subresource="ephemeralcontainers")
    problem = _wait_until_running(client, live, entry["name"])
    if problem:
        raise PodwrightError(
            f"The helper container of pod '{container.pod}' with image {image} does not run: {problem}",
            reason="HelperFailed",
            hint="Set helper_image to an image with sh, find, stat and sha256sum that the node can pull and the pod's security allows.",
        )
    return Container(container.namespace, container.pod, entry["name"])


def _wait_until_running(client: Client, pod: Manifest, name: str) -> str | None:
    """Wait for a container of a pod. Returns: why it does not run, or None once it does."""
    metadata, deadline = pod["metadata"], client.clock.monotonic() + START_SECONDS
    problem = f"it did not start within {START_SECONDS} s"
    with Watcher(client) as watcher:
        watcher.follow(POD, metadata["namespace"], metadata["resourceVersion"], field_selector=f"metadata.name={metadata['name']}")
        while client.clock.monotonic() < deadline:
            event = watcher.next(deadline - client.clock.monotonic())
            if event is None:
                continue
            event_type, pod = event
            if event_type == "DELETED":
                return "the pod was deleted"
            state = _states(pod).get(name, {})
            if "running" in state:
                return None
            details = state.get("waiting") or state.get("terminated") or {}
            if details.get("reason") not in _NO_PROBLEMS:
                problem = f"{details['reason']}: {details.get('message', '')}"
                if "terminated" in state or details["reason"] in _FINAL_PROBLEMS:
                    return problem
    return problem


def _states(pod: Manifest) -> dict[str, dict[str, Any]]:
    """The state of each ephemeral container, by name."""
    return {status["name"]: status.get("state") or {} for status in (pod.get("status") or {}).get("ephemeralContainerStatuses") or []}
