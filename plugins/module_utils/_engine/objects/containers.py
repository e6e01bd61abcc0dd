# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The containers of a pod: the default one, and their statuses."""

from __future__ import annotations

from ..values import Manifest

TASK_CONTAINER = "task"
_STATUS_GROUPS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_DEFAULT_ANNOTATION = "kubectl.kubernetes.io/default-container"


def default_container(pod: Manifest) -> str:
    """The name of a pod's default container: the task's own, the one annotated as default, else the first."""
    names: list[str] = [container["name"] for container in pod["spec"]["containers"]]
    if TASK_CONTAINER in names:
        return TASK_CONTAINER
    annotated = (pod["metadata"].get("annotations") or {}).get(_DEFAULT_ANNOTATION)
    return annotated if annotated in names else names[0]


def has_finished(pod: Manifest) -> bool:
    """Whether all containers of a pod have terminated for good (API reference, PodPhase)."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def container_names(pod: Manifest) -> list[str]:
    """The names of a pod's init containers and containers, in the order in which they start."""
    return [container["name"] for group in ("initContainers", "containers") for container in pod["spec"].get(group) or []]


def ephemeral_names(pod: Manifest) -> list[str]:
    """The names of a pod's ephemeral containers, such as those of `kubectl debug`."""
    return [container["name"] for container in pod["spec"].get("ephemeralContainers") or []]


def long_running_containers(pod: Manifest) -> list[Manifest]:
    """The containers of a pod and its sidecars."""
    return [*pod["spec"]["containers"], *sidecars(pod)]


def sidecars(pod: Manifest) -> list[Manifest]:
    """The sidecars of a pod: init containers that are restarted, which run as long as the pod (KEP-753)."""
    return [container for container in pod["spec"].get("initContainers") or [] if container.get("restartPolicy") == "Always"]


def killed_sidecars(pod: Manifest) -> list[str]:
    """The names of the sidecars of a pod that were killed for their memory, the last time or the time before that."""
    states = {name: container_status(pod, name) for name in (container["name"] for container in sidecars(pod))}
    ends = {name: [((status.get(when) or {}).get("terminated") or {}).get("reason") for when in ("state", "lastState")] for name, status in states.items()}
    return [name for name, reasons in ends.items() if "OOMKilled" in reasons]


def pod_spec(manifest: Manifest) -> Manifest:
    """The spec of a pod, or of the pods of a Job or Deployment, in its manifest."""
    spec: Manifest = manifest["spec"].get("template", manifest)["spec"]
    return spec


def container_statuses(pod: Manifest) -> list[Manifest]:
    """The statuses of a pod's containers, init containers and ephemeral containers (API reference, ContainerStatus)."""
    status = pod.get("status") or {}
    return [entry for group in _STATUS_GROUPS if (entries := status.get(group)) for entry in entries]


def container_status(pod: Manifest, name: str) -> Manifest:
    """The status of a container, init container or ephemeral container; empty if there is none yet."""
    for entry in container_statuses(pod):
        if entry["name"] == name:
            return entry
    return {}


def explain_start(pod: Manifest) -> str:
    """What a pod waits for whose containers are being started: the init container that runs, if one does, or a sidecar that has not started."""
    services = {container["name"] for container in sidecars(pod)}
    for entry in (pod.get("status") or {}).get("initContainerStatuses") or []:
        if "running" in (entry.get("state") or {}) and not (entry["name"] in services and entry.get("started")):
            return f"its init container '{entry['name']}' is running"
    return "its containers are being created"


def restart_policy(pod: Manifest, name: str) -> str:
    """The restart policy of a container: Always, OnFailure or Never (API reference, PodSpec, restartPolicy)."""
    of_pod: str = pod["spec"].get("restartPolicy", "Always")
    policies = {"containers": of_pod, "initContainers": "OnFailure" if of_pod == "Always" else of_pod, "ephemeralContainers": "Never"}
    for group, policy in policies.items():
        for container in pod["spec"].get(group) or []:
            if container["name"] == name:
                return container.get("restartPolicy") or policy
    return of_pod


def will_not_run(pod: Manifest, name: str) -> bool:
    """Whether a container has terminated for good, or its pod has finished before it started."""
    terminated = (container_status(pod, name).get("state") or {}).get("terminated")
    policy = restart_policy(pod, name)
    return has_finished(pod) or bool(terminated and (policy == "Never" or (policy == "OnFailure" and terminated.get("exitCode") == 0)))
