# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pod of the Kubernetes API, with its status, for a pod on Podman. Pure functions."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ..objects.timestamps import read_timestamp
from .played_manifest import INTERNAL, MANIFEST, UID, container_name, is_sidecar, pod_name

if TYPE_CHECKING:
    from ..values import Manifest

Inspected: TypeAlias = Mapping[str, Any]
"""An entry of `podman container inspect`."""

KILLED = 137  # the exit code of a process that SIGKILL terminates
ABANDONED_SECONDS = 60  # after which a pod none of whose containers has started is not being started any more
SETTLED_SECONDS = 5  # within which Podman restarts a container
CRASHES, STABLE_SECONDS = 2, 10  # restarts, and seconds without one, that distinguish a crashing container from one that runs
_SINCE = "stopped since"  # of a container that waits, for `_phase`
_NEVER = "0001-"  # the beginning of the timestamp of what has not happened
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"  # as the kubelet writes it


def read_manifest(entry: Mapping[str, Any]) -> Manifest | None:
    """The manifest of an entry of `podman pod ps` without a status, or None if the pod is not one of Podwright's."""
    labels = entry.get("Labels") or {}
    try:
        stored = json.loads(labels[MANIFEST])
        metadata = {**stored["metadata"], "uid": str(labels[UID]), "creationTimestamp": api_time(entry["Created"])}
        is_own = stored["spec"]["containers"] and isinstance(metadata["labels"], dict) and pod_name(stored) == entry["Name"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    metadata["labels"] = {name: text for name, text in labels.items() if name not in INTERNAL}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": stored["spec"]} if is_own else None


def api_time(text: str) -> str:
    """A timestamp of Podman in UTC. Raises: ValueError."""
    seconds = read_timestamp(text)
    if seconds is None:
        raise ValueError(text)
    return format_time(seconds)


def format_time(seconds: float) -> str:
    """A time in seconds since the epoch as the API writes a MicroTime: whole seconds would let a deadline pass up to a second early."""
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def build_status(pod: Manifest, inspected: Iterable[Inspected], now: float, host: str, is_starting: bool) -> Manifest:
    """The status of a pod.

    Args:
        pod: from `read_manifest`.
        inspected: its containers.
        now: seconds since the epoch.
        is_starting: whether somebody is starting or deleting it.
    """
    prefix = container_name(pod, "")
    known = {str(entry.get("Name", "")).removeprefix(prefix): entry for entry in inspected}
    spec = pod["spec"]
    containers, init = ([_container_status(entry, spec, known.get(entry["name"]), now) for entry in spec.get(group) or []] for group in _GROUPS)
    status: Manifest = {
        "startTime": pod["metadata"]["creationTimestamp"],
        "hostIP": host,
        "containerStatuses": containers,
        "initContainerStatuses": init,
        "podIP": next(filter(None, map(_address, known.values())), None),
        "conditions": [{"type": "PodScheduled", "status": "True"}],
    }
    status |= _phase(pod, status, now, is_starting)
    for entry in containers:
        entry["state"].get("waiting", {}).pop(_SINCE, None)
    is_ready = status["phase"] == "Running" and all("running" in entry["state"] for entry in containers)
    status["conditions"].append({"type": "Ready", "status": "True" if is_ready else "False"})
    return {key: value for key, value in status.items() if value not in (None, [])}


_GROUPS = ("containers", "initContainers")


def deadline_of(pod: Manifest) -> float | None:
    """When the deadline of a pod is, in seconds since the epoch, or None."""
    start, seconds = read_timestamp(pod["metadata"]["creationTimestamp"]), pod["spec"].get("activeDeadlineSeconds")
    return start + float(seconds) if start is not None and seconds else None


def _phase(pod: Manifest, status: Manifest, now: float, is_starting: bool) -> Manifest:
    """The phase; of a failed pod also the reason and the message."""
    states = [entry["state"] for entry in status["containerStatuses"]]
    terminated = [state["terminated"] for state in states if "terminated" in state]
    deadline = deadline_of(pod)
    ends = [read_timestamp(entry.get("finishedAt")) or 0 for entry in terminated]
    if len(terminated) == len(states):
        if deadline is not None and max(ends) >= deadline:
            return {"phase": "Failed", "reason": "DeadlineExceeded", "message": DEADLINE_MESSAGE}
        return {"phase": "Failed" if any(entry["exitCode"] for entry in terminated) else "Succeeded"}
    if any(_failed_init(entry) for entry in zip(pod["spec"].get("initContainers") or [], status["initContainerStatuses"])):
        return {"phase": "Failed"}
    if any("running" in state for state in states) or terminated:
        return {"phase": "Running"}
    stopped = [state["waiting"].get(_SINCE) for state in states]
    if all(since is not None and now - since > SETTLED_SECONDS for since in stopped):
        # Its containers would have been restarted: the machine or Podman was stopped, or somebody stopped the pod.
        return {"phase": "Failed", "reason": "Shutdown", "message": "its containers were stopped from outside, and Podman has not restarted them"}
    created = read_timestamp(pod["metadata"]["creationTimestamp"]) or now
    has_begun = any("running" in entry["state"] for entry in status["initContainerStatuses"]) or any(since is not None for since in stopped)
    if not has_begun and not is_starting and now - created > ABANDONED_SECONDS:
        return {"phase": "Failed", "reason": "Terminated", "message": "whatever was starting it was interrupted"}
    return {"phase": "Pending"}


def _failed_init(pair: tuple[Manifest, Manifest]) -> bool:
    container, status = pair
    return not is_sidecar(container) and bool((status["state"].get("terminated") or {}).get("exitCode"))


def _container_status(container: Manifest, spec: Manifest, inspected: Inspected | None, now: float) -> Manifest:
    status: Manifest = {"name": container["name"], "image": container["image"], "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}
    if inspected is None:
        return status
    state, restarts = inspected["State"], int(inspected.get("RestartCount") or 0)
    status |= {"containerID": f"podman://{inspected['Id']}", "restartCount": restarts}
    word = state.get("Status")
    if word in ("running", "paused", "stopping", "restarting"):
        status["state"] = {"running": {"startedAt": _time(state.get("StartedAt"))}}
    elif word in ("exited", "stopped", "dead"):
        status["state"] = {"terminated": _termination(container, inspected)}
    _add_restarts(status, container.get("restartPolicy") or spec.get("restartPolicy", "Always"), now)
    return status


def _add_restarts(status: Manifest, policy: str, now: float) -> None:
    """Distinguish a container that Podman restarts again and again, or is about to restart, from one that runs or has terminated."""
    terminated, running = status["state"].get("terminated"), status["state"].get("running")
    is_final = policy == "Never" or (policy == "OnFailure" and terminated and terminated["exitCode"] == 0)
    if terminated and not is_final:
        status["lastState"] = {"terminated": terminated}
        status["state"] = {"waiting": {"reason": "CrashLoopBackOff" if status["restartCount"] >= CRASHES else "ContainerCreating"}}
        status["state"]["waiting"][_SINCE] = read_timestamp(terminated.get("finishedAt")) or now
    started = read_timestamp((running or {}).get("startedAt"))
    if policy != "Never" and status["restartCount"] >= CRASHES and started is not None and now - started < STABLE_SECONDS:
        message = f"its command has terminated {status['restartCount']} times"
        status["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}


def _termination(container: Manifest, inspected: Inspected) -> Manifest:
    state = inspected["State"]
    code = int(state.get("ExitCode") or 0)
    started, finished = _time(state.get("StartedAt")), _time(state.get("FinishedAt"))
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    if not started:
        reason = "StartError"
    elif state.get("OOMKilled") or (code == KILLED and limit):
        # Podman does not notice it on every host: nothing else kills a container with a limit that nobody stopped.
        reason = "OOMKilled"
    else:
        reason = "Error" if code else "Completed"
    built = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": finished, "message": state.get("Error") or None}
    return {key: value for key, value in built.items() if value is not None}


def _time(text: str | None) -> str | None:
    return None if not text or text.startswith(_NEVER) else api_time(text)


def _address(inspected: Inspected) -> str | None:
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    return next((entry["IPAddress"] for entry in networks.values() if isinstance(entry, dict) and entry.get("IPAddress")), None)


def failed_pod(pod: Manifest, reason: str, message: str) -> Manifest:
    """A pod that could not be started, and does not exist on Podman any more."""
    status: Manifest = {"phase": "Failed", "conditions": [{"type": "PodScheduled", "status": "True"}]}
    if reason == "StartError":
        terminated = {"exitCode": 128, "reason": reason, "message": message}
        status["containerStatuses"] = [{"name": entry["name"], "state": {"terminated": terminated}} for entry in pod["spec"]["containers"][:1]]
    else:
        status |= {"reason": reason, "message": message}
    return pod | {"status": status}
