# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status of a task, from its pod or Job. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ..values import Manifest
from .containers import container_status, container_statuses, default_container, ephemeral_names, explain_start, sidecars
from .interruptions import deletion_requested_at, read_interruption, termination, was_stopped, was_terminated
from .quantity import same_quantity
from .readiness import condition
from .resource_claims import describe_awaited_claims
from .timestamps import known_time, read_timestamp

# The class of a problem, which decides how long the problem may last before the task counts as failed.
FINAL, SETTLING, TRANSIENT, FIXABLE = "final", "settling", "transient", "fixable"

SKIPPED = "skipped"  # the state of a task that failed in a way that counts as skipped, or did not start

_WAITING_GRACE = {
    "InvalidImageName": FINAL,
    "ErrImageNeverPull": FINAL,
    "CreateContainerConfigError": SETTLING,
    "CreateContainerError": SETTLING,
    "RunContainerError": SETTLING,
    "ErrImagePull": TRANSIENT,
    "ImagePullBackOff": TRANSIENT,
    "ImageInspectError": TRANSIENT,
    "RegistryUnavailable": TRANSIENT,
    "SignatureValidationFailed": FINAL,
    "CrashLoopBackOff": TRANSIENT,
}
NOT_STARTED = "StartError"
DELETED = "Deleted"  # reason of a task whose pod was deleted before it had finished
WHILE_IT_RAN = "it was deleted from outside while it ran"
UNKNOWN = "ContainerStatusUnknown"  # of a container that the kubelet has lost, such as when its node was restarted; its exit code is made up
OUT_OF_MEMORY = "it used more memory than its limit allows"
GATED = "SchedulingGated"  # reason of a pod that must not be scheduled yet
# Why the container runtime did not start a command if it is not at fault: the kubelet or the runtime was stopped, or too slow.
_CANCELLED = re.compile(r"context (canceled|deadline exceeded)|ttrpc: closed|code = Unavailable")
_NO_CLAIM = re.compile('persistentvolumeclaim "[^"]+" not found')
_NOISE = re.compile(r" (no new claims to deallocate, )?preemption: .*$|(?<=not found)\. not found$", re.DOTALL)  # at the end of the scheduler's messages
_UNREAD = re.compile("failed to sync (configmap|secret) cache")  # the kubelet does not know yet what is wrong, if anything


@dataclass(frozen=True)
class Status:
    """The status of a task.

    Attributes:
        state: `pending`, `running`, `succeeded`, `failed`, `skipped` or `deleting`.
        reason: the reason of the API as one word, or an empty string.
        message: the same as a sentence, or an empty string.
        rc: the exit code of the task container, or None before it terminates.
        grace: the class of a problem that does not terminate the task by itself, else None.
        is_interrupted: whether the task was terminated from outside (eviction, lost node), or its start was.
        is_ready: whether the pod is ready.
    """

    state: str
    reason: str = ""
    message: str = ""
    rc: int | None = None
    grace: str | None = None
    is_interrupted: bool = False
    is_ready: bool = False

    @property
    def explanation(self) -> str:
        """Reason and message for an error; without the reason `Error`, which says nothing."""
        return ": ".join(text for text in (self.reason if self.reason != "Error" or not self.message else "", self.message) if text)

    @property
    def is_finished(self) -> bool:
        """Whether the task succeeded, failed or counts as skipped."""
        return self.state in ("succeeded", "failed", SKIPPED)


def read_pod(pod: Manifest) -> Status:
    """The Status of a task from its pod. The task is complete when its container terminates, even if other containers still run."""
    status = pod.get("status") or {}
    restarts = pod["spec"].get("restartPolicy", "Always") == "Always"
    state = _task_state(pod)
    terminated = state.get("terminated")
    if terminated and not restarts and terminated["exitCode"] == 0 and not was_terminated(pod, terminated):
        if was_stopped(pod, terminated):
            stopped = _read_deletion("failed", pod, WHILE_IT_RAN)
            return replace(stopped, message=f"{stopped.message}; its command exited with exit code 0 after the request", rc=0)
        return Status("succeeded", terminated.get("reason") or "Completed", "", 0)
    if status.get("phase") == "Succeeded":
        return Status("succeeded", "Completed", "", (terminated or {}).get("exitCode", 0))
    interruption = read_interruption(pod)
    if status.get("phase") == "Failed" or (terminated and pod["spec"].get("restartPolicy") == "Never"):
        failure = _read_failure(pod, status, terminated, interruption)
        return _blame_deletion(pod, failure, terminated or _failed_init(pod))
    if pod["metadata"].get("deletionTimestamp"):
        return _read_deletion("deleting", pod, "it is being deleted")
    return _read_active(pod, status, state)


def _read_failure(pod: Manifest, status: Manifest, terminated: Manifest | None, interruption: str | None) -> Status:
    reason, cause = status.get("reason") or "", str(termination(pod).get("message") or "")
    rc = (terminated or {}).get("exitCode")
    if interruption:
        return Status("failed", interruption, status.get("message") or cause or "it was terminated from outside", rc, is_interrupted=True)
    if reason:
        return Status("failed", reason, status.get("message") or "", rc)
    failed_init = _failed_init(pod)
    if failed_init and not terminated:
        return _read_failed_init(failed_init)
    if not terminated:
        return Status("failed", "Failed", status.get("message") or "a container other than the task's failed", rc)
    word = terminated.get("reason") or "Error"
    if word == NOT_STARTED:
        message = _start_problem(terminated)
        return Status("failed", word, f"its command could not be started: {message}", rc, is_interrupted=bool(_CANCELLED.search(message)))
    if word == UNKNOWN:
        return Status("failed", word, _lost_container(terminated), rc, is_interrupted=True)
    text = OUT_OF_MEMORY if word == "OOMKilled" else f"its command failed with exit code {rc}"
    return Status("failed", word, text, rc)


def _start_problem(terminated: Manifest) -> str:
    return terminated.get("message") or "the container runtime gave no reason"


def _lost_container(terminated: Manifest) -> str:
    return terminated.get("message") or "its node has lost the container, and with it the exit code"


def _failed_init(pod: Manifest) -> Manifest | None:
    """The name of the init container that failed, with how it terminated; or None."""
    for container in _sidecars_last(pod, (pod.get("status") or {}).get("initContainerStatuses") or []):
        terminated = _part(container, "state", "terminated")
        if terminated and terminated["exitCode"]:
            return {"name": container["name"]} | terminated
    return None


def _sidecars_last(pod: Manifest, statuses: list[Manifest]) -> list[Manifest]:
    """The statuses with those of sidecars at the end: when another container fails, they are terminated, and their exit codes say nothing."""
    names = {container["name"] for container in sidecars(pod)}
    return sorted(statuses, key=lambda status: status["name"] in names)


def _read_failed_init(init: Manifest) -> Status:
    rc, reason = init["exitCode"], init.get("reason") or "Error"
    problem = f"could not be started: {_start_problem(init)}" if reason == NOT_STARTED else f"failed with exit code {rc}"
    problem = f"was lost: {_lost_container(init)}" if reason == UNKNOWN else f"failed: {OUT_OF_MEMORY}" if reason == "OOMKilled" else problem
    return Status("failed", f"Init{reason}", f"the init container '{init['name']}' {problem}", rc, is_interrupted=reason == UNKNOWN)


def _blame_deletion(pod: Manifest, failure: Status, terminated: Manifest | None) -> Status:
    """The status of a failed task; if its command was still running when the deletion of its pod was requested, that was an interruption."""
    requested = deletion_requested_at(pod)
    if requested is None or not terminated or failure.reason.removeprefix("Init") not in ("Error", UNKNOWN):
        return failure
    finished = read_timestamp(terminated.get("finishedAt"))
    # Times have whole seconds: a command that handles the signal exits within the second, while one that fails is seldom deleted within it.
    if finished is not None and finished < requested:
        return failure
    return replace(failure, reason=DELETED, message=f"{WHILE_IT_RAN}; {failure.message}", is_interrupted=True)


def _read_active(pod: Manifest, status: Manifest, state: Manifest) -> Status:
    is_running, terminated = "running" in state, state.get("terminated")
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    own = default_container(pod)
    problems = [found if container["name"] == own else replace(found, rc=None) for container in containers if (found := read_waiting(container))]
    # A task that completes does not wait for a container that is restarted once its own container runs.
    is_patient = is_running and pod["spec"].get("restartPolicy", "Always") != "Always"
    obstacle = next((found for found in problems if not (is_patient and found.reason == "CrashLoopBackOff")), None)
    if obstacle:
        return obstacle
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        message = _NOISE.sub("", scheduled.get("message") or "")
        return Status("pending", scheduled.get("reason") or "Unschedulable", message, grace=SETTLING if _NO_CLAIM.search(message) else FIXABLE)
    if is_running:
        reason, message = (problems[0].reason, problems[0].message) if problems else ("", "")
        return Status("running", reason, message, is_ready=condition(pod, "Ready").get("status") == "True")
    if terminated:  # before it is restarted, or its restart is delayed
        return Status("pending", "Starting", f"its command exited with exit code {terminated['exitCode']}, and is being restarted", terminated["exitCode"])
    place = f"its node '{node}' has not accepted it" if (node := pod["spec"].get("nodeName")) else "it has not been scheduled"
    awaited = "" if scheduled or node else describe_awaited_claims(pod)
    return Status("pending", "Starting", explain_start(pod) if scheduled else place + awaited, grace=FIXABLE if awaited else None)


def read_waiting(container: Manifest) -> Status | None:
    """The Status of a task one of whose containers cannot start, from the status of that container; None if it has no such problem."""
    waiting = _part(container, "state", "waiting")
    if not (grace := _WAITING_GRACE.get(waiting.get("reason", ""))):
        return None
    last = _part(container, "lastState", "terminated")
    message = waiting.get("message") or (f"its command exited with exit code {last['exitCode']}" if last else "")
    return Status("pending", waiting["reason"], f"{container['name']}: {message}", last.get("exitCode"), FIXABLE if _UNREAD.search(message) else grace)


def read_problems(pod: Manifest) -> list[dict[str, str]]:
    """The containers of a pod that cannot start: `container`, `image`, `reason` and `message` of each."""
    found = []
    for container in [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]:
        name = container["name"]
        problem = read_waiting(container_status(pod, name) | {"name": name})
        if problem:
            message = problem.message.removeprefix(f"{name}: ")
            found.append({"container": name, "image": container.get("image") or "", "reason": problem.reason, "message": message})
    return found


def _task_state(pod: Manifest) -> Manifest:
    """The state of the task's container, empty if it has none yet."""
    state: Manifest = container_status(pod, default_container(pod)).get("state") or {}
    return state


def is_serving(pod: Manifest) -> bool:
    """Whether a Service sends traffic to a pod: it is ready and not being deleted."""
    return condition(pod, "Ready").get("status") == "True" and not pod["metadata"].get("deletionTimestamp")


def read_deleted(pod: Manifest | None) -> Status:
    """The Status of a task whose pod or Job, as last seen, does not exist any more."""
    return _read_deletion("failed", pod, "it was deleted from outside while it was waited for")


def _read_deletion(state: str, pod: Manifest | None, message: str) -> Status:
    cause = termination(pod) if pod else {}
    return Status(state, cause.get("reason") or DELETED, cause.get("message") or message, is_interrupted=True)


def read_resize(pod: Manifest) -> Status | None:
    """The Status of a pod whose resources are being changed in place (KEP-1287), or None if the change is complete."""
    pending = condition(pod, "PodResizePending")
    if pending.get("status") == "True":
        return Status("running", pending.get("reason") or "Deferred", pending.get("message") or "its node lacks the new resources", grace=FIXABLE)
    progress = condition(pod, "PodResizeInProgress")
    if progress.get("status") == "True":
        return Status("running", progress.get("reason") or "Resizing", progress.get("message") or "")
    observed = (pod.get("status") or {}).get("observedGeneration")
    if observed is not None and observed < pod["metadata"].get("generation", 0):
        return Status("running", "Resizing", "its node has not observed the change yet")
    actual = {c["name"]: c.get("resources") or {} for c in (pod.get("status") or {}).get("containerStatuses") or []}
    for container in pod["spec"]["containers"]:
        for part, wanted in (container.get("resources") or {}).items():
            known = actual.get(container["name"], {}).get(part) or {}
            if part in ("limits", "requests") and any(name in known and not same_quantity(known[name], text) for name, text in wanted.items()):
                return Status("running", "Resizing", f"the container '{container['name']}' still has its previous {part}")
    return None


def _part(container: Manifest, state: str, name: str) -> Manifest:
    """A part of the status of a container, such as `terminated` of its `lastState`; empty if there is none."""
    return (container.get(state) or {}).get(name) or {}


def exit_codes(pod: Manifest) -> dict[str, int]:
    """Exit code by container, of those that terminated."""
    status = pod.get("status") or {}
    codes = {}
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        terminated = _part(container, "state", "terminated") or _part(container, "lastState", "terminated")
        if terminated:
            codes[container["name"]] = terminated["exitCode"]
    return codes


def explaining_container(pod: Manifest) -> str:
    """The container whose log says what a pod's task does: its own, unless another one has run and failed instead."""
    own = default_container(pod)
    if not _has_trouble(container_status(pod, own)):
        debugging = ephemeral_names(pod)  # which others started
        for status in _sidecars_last(pod, container_statuses(pod)):
            if _has_trouble(status) and status["name"] not in debugging and has_started(pod, status["name"]):
                return str(status["name"])
    return own


def _has_trouble(status: Manifest) -> bool:
    return bool(_part(status, "state", "terminated").get("exitCode")) or read_waiting(status) is not None


def has_started(pod: Manifest, container: str) -> bool:
    """Whether the container has started, so that it may have a log."""
    status = container_status(pod, container)
    state = status.get("state") or {}
    return "running" in state or "terminated" in state or bool(status.get("lastState"))


def ever_started(pod: Manifest) -> bool:
    """Whether any container of a pod has started: init containers, sidecars and ephemeral containers count, and so does a failed start."""
    status = pod.get("status") or {}
    if status.get("phase") not in (None, "", "Pending"):
        return True
    return any(_has_run(entry) for entry in container_statuses(pod))


def _has_run(status: Manifest) -> bool:
    states = {**(status.get("state") or {}), **(status.get("lastState") or {})}
    return bool(status.get("restartCount") or status.get("started")) or bool({"running", "terminated"} & states.keys())


def times(pod: Manifest) -> tuple[str | None, str | None]:
    """When the task container started and finished, as timestamps of the API, or None."""
    state = _task_state(pod)
    terminated = state.get("terminated") or {}
    return known_time(terminated.get("startedAt") or state.get("running", {}).get("startedAt")), known_time(terminated.get("finishedAt"))
