# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An ephemeral container beside one that has no tools (KEP-277): it sees that one's files below /proc/1/root."""

from __future__ import annotations

import secrets as random_words

from ..cluster.client import MANAGER
from ..cluster.exec_command import Container
from ..cluster.kinds import POD
from ..cluster.watch import Watcher
from ..errors import PodwrightError
from ..objects.containers import default_container

NAME = "podwright-helper-"
PREFIX = "/proc/1/root"
LIFETIME = 3600  # seconds after which it ends by itself: an ephemeral container cannot be removed
START_SECONDS = 60


def find_helper(client, container, image):
    """The helper that runs beside a container already. Returns: (its Container or None, the pod)."""
    pod = client.get(POD, container.namespace, container.pod)
    if pod is None:
        raise PodwrightError(f"There is no pod '{container.pod}' in namespace '{container.namespace}'.", status=404, reason="NotFound")
    target = container.name or default_container(pod)
    running = _names_in_state(pod, "running")
    for entry in pod["spec"].get("ephemeralContainers") or []:
        if entry["name"].startswith(NAME) and entry.get("targetContainerName") == target and entry["image"] == image and entry["name"] in running:
            return Container(container.namespace, container.pod, entry["name"]), pod
    return None, pod


def start_helper(client, container, pod, image):
    """Add a helper to the pod and wait until it runs. Returns its Container.

    Raises: PodwrightError where the pod, its security level or the image does not allow it.
    """
    if pod["spec"].get("shareProcessNamespace"):
        raise PodwrightError(
            f"The containers of pod '{container.pod}' share their processes, so that a helper cannot tell which files are whose.",
            reason="HelperRefused",
            hint="Use an image with a shell.",
        )
    target = container.name or default_container(pod)
    own = next(entry for entry in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])] if entry["name"] == target)
    entry = {
        "name": NAME + random_words.token_hex(3),
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", str(LIFETIME)],
        "targetContainerName": target,
    }
    if own.get("securityContext"):
        entry["securityContext"] = own["securityContext"]  # the same user sees the same files, and the pod's level allows it
    if pod["spec"].get("ephemeralContainers"):
        patch = [{"op": "add", "path": "/spec/ephemeralContainers/-", "value": entry}]
    else:
        patch = [{"op": "add", "path": "/spec/ephemeralContainers", "value": [entry]}]
    live = client.patch(POD, container.namespace, container.pod, patch, MANAGER, subresource="ephemeralcontainers")
    _wait_until_it_runs(client, live, entry["name"], image)
    return Container(container.namespace, container.pod, entry["name"])


def _wait_until_it_runs(client, pod, name, image):
    namespace, deadline = pod["metadata"]["namespace"], client.clock.monotonic() + START_SECONDS
    problem = "it did not start"
    with Watcher(client) as watcher:
        watcher.follow(POD, namespace, pod["metadata"]["resourceVersion"], field_selector=f"metadata.name={pod['metadata']['name']}")
        while client.clock.monotonic() < deadline:
            change = watcher.next(deadline - client.clock.monotonic())
            if change is None:
                continue
            pod = change[1]
            if change[0] == "DELETED":
                problem = "the pod was deleted"
                break
            if name in _names_in_state(pod, "running"):
                return
            state = _states(pod).get(name, {})
            waiting = state.get("waiting") or state.get("terminated") or {}
            if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                problem = f"{waiting['reason']}: {waiting.get('message', '')}"
                if "terminated" in state or waiting["reason"] in ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "ImagePullBackOff"):
                    break
    raise PodwrightError(
        f"The helper container of pod '{pod['metadata']['name']}' with image {image} does not run: {problem}",
        reason="HelperFailed",
        hint="Set helper_image to an image with sh, find, stat and sha256sum that the node can pull and the pod's security allows.",
    )


def _states(pod):
    return {status["name"]: status.get("state") or {} for status in (pod.get("status") or {}).get("ephemeralContainerStatuses") or []}


def _names_in_state(pod, wanted):
    return {name for name, state in _states(pod).items() if wanted in state}
