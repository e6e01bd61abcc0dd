# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pods that Podwright has on a Podman host: listed, started, stopped at their deadlines and deleted."""

from __future__ import annotations

import itertools
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import PodwrightError
from ..objects.labels import MANAGED, selector_of
from ..objects.pod_status import read_pod
from .images import Images, by_image
from .played_manifest import containers_of, input_name, is_sidecar, played_documents, pod_name, secret_of
from .program import COMMAND_SECONDS, STOP_SECONDS, TIMED_OUT, summarize
from .status import DEADLINE_MESSAGE, build_status, deadline_of, failed_pod, format_time, read_manifest

if TYPE_CHECKING:
    from ..clock import Clock
    from ..values import Manifest
    from .program import Program
    from .records import Records

REPORT_SECONDS = 1  # before the operation's timeout, so that it reports what took too long
_CHANGEABLE = ("labels", "annotations")
DEFAULT_GRACE = 30  # seconds, as Kubernetes has it


class Pods:
    """The pods of one Podman host; threads may share it.

    Args:
        wait_timeout: seconds from the first write in which images must be pulled, or None.
        changes: of labels and annotations, which Podman does not change: an object with the uid of the pod as its name.

    Attributes:
        seen: those that were listed so far, by uid.
        deleted: those that were deleted by this object, by uid.
    """

    def __init__(self, program: Program, clock: Clock, wait_timeout: float | None = None, changes: Records | None = None) -> None:
        self._changes = changes
        self._wait_timeout = wait_timeout
        self._deadline: float | None = None
        self._program, self._clock, self._images = program, clock, Images(program)
        self.seen: dict[str, Manifest] = {}
        self.deleted: dict[str, Manifest] = {}
        self._failed: dict[str, Manifest] = {}  # pods that could not be started, by uid
        self._starting: set[str] = set()  # uids
        self._stopping: set[str] = set()  # uids
        self._versions = itertools.count(int(clock.now() * 1000))

    def identify(self, body: Manifest) -> Manifest:
        """A pod of that manifest with the metadata that an API server adds."""
        metadata = body["metadata"]
        name = metadata.get("name") or f"{metadata['generateName']}{uuid.uuid4().hex[:5]}"
        added = {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": format_time(self._clock.now()), "resourceVersion": str(next(self._versions))}
        return {**body, "metadata": metadata | added, "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}}

    def is_missing(self, namespace: str | None, name: str | None) -> bool:
        """Whether a pod could not be started, so that Podman does not have it."""
        return any((pod["metadata"]["namespace"], pod["metadata"]["name"]) == (namespace, name) for pod in list(self._failed.values()))

    def exists(self, pod: Manifest) -> bool:
        """Whether Podman has a pod of that name, whoever created it. Raises: PodwrightError."""
        return self._program.exists("pod", pod_name(pod))

    # -- reading --------------------------------------------------------------------------------------------

    def select(self, chosen: Callable[[Manifest], bool], enforce: bool = False) -> list[Manifest]:
        """The chosen pods with their statuses.

        Args:
            chosen: called with a pod without a status.
            enforce: whether pods that exceed their deadlines, and those whose task has terminated, are stopped.

        Raises: PodwrightError.
        """
        starting = set(self._starting)  # before they are listed
        pods = self._list(chosen)
        if enforce:
            for pod in pods:
                self._enforce(pod)
        pods += [pod for pod in list(self._failed.values()) if chosen(pod)]
        # Podman may not have a pod any more that it could not start, and which is a failed one in a moment.
        unlisted = starting - {pod["metadata"]["uid"] for pod in pods} - set(self.deleted)
        pods += [self.seen[uid] for uid in unlisted if uid in self.seen and chosen(self.seen[uid])]
        self.seen |= {pod["metadata"]["uid"]: pod for pod in pods}
        return pods

    def _list(self, chosen: Callable[[Manifest], bool]) -> list[Manifest]:
        """The chosen pods that Podman has. Raises: PodwrightError."""
        listed = self._program.list("pod", "ps", "--format", "json", "--filter", f"label={selector_of(MANAGED)}")
        changes = {item["metadata"]["name"]: item["metadata"] for item in (self._changes.list() if self._changes else [])}
        known = [(_changed(pod, changes.get(pod["metadata"]["uid"], {})), entry) for entry in listed if (pod := read_manifest(entry))]
        entries = [(pod, [c["Id"] for c in entry.get("Containers") or []]) for pod, entry in known if chosen(pod)]
        inspected = self._inspect(container for _pod, containers in entries for container in containers)
        pods = [self._with_status(pod, containers, inspected) for pod, containers in entries]
        self.seen |= {pod["metadata"]["uid"]: pod for pod in pods}
        return pods

    def _inspect(self, ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """The containers by their ids; those that were removed since are missing."""
        words = list(ids)
        found = self._program.list("container", "inspect", *words, absent="no such container") if words else []
        return {entry["Id"]: entry for entry in found}

    def _with_status(self, pod: Manifest, containers: list[str], inspected: Mapping[str, Mapping[str, Any]]) -> Manifest:
        metadata = pod["metadata"] | {"resourceVersion": str(next(self._versions))}
        known = [inspected[container] for container in containers if container in inspected]
        # A container that was removed since the list says that somebody is at work on the pod, not that nobody starts it any more.
        is_starting = metadata["uid"] in self._starting or len(known) < len(containers)
        status = build_status(pod, known, self._clock.now(), self._program.host, is_starting)
        return pod | {"metadata": metadata, "spec": pod["spec"] | {"nodeName": self._program.host}, "status": status}

    def _enforce(self, pod: Manifest) -> None:
        """Stop a pod as the kubelet does: Podman knows neither deadlines nor sidecars."""
        deadline, uid = deadline_of(pod), pod["metadata"]["uid"]
        statuses = [*(pod["status"].get("containerStatuses") or []), *(pod["status"].get("initContainerStatuses") or [])]
        is_running = any("running" in entry["state"] for entry in statuses)
        is_over = read_pod(pod).is_finished or (deadline is not None and self._clock.now() >= deadline)
        if is_running and is_over and uid not in self._stopping:
            self._stopping.add(uid)
            threading.Thread(target=self._stop, args=(pod,), daemon=True, name=f"podwright-stop-{pod_name(pod)}").start()

    def _stop(self, pod: Manifest) -> None:
        try:
            self._program.run("pod", "stop", "--time", str(_grace_of(pod)), pod_name(pod), seconds=_grace_of(pod) + COMMAND_SECONDS)
        finally:
            self._stopping.discard(pod["metadata"]["uid"])  # if it failed, the next look tries again

    # -- writing --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Note that the operation writes, if it has not written before: its timeout begins."""
        if self._deadline is None and self._wait_timeout is not None:
            self._deadline = self._clock.monotonic() + max(self._wait_timeout - REPORT_SECONDS, self._wait_timeout / 2)

    def _pull_seconds(self) -> float | None:
        return None if self._deadline is None else max(self._deadline - self._clock.monotonic(), 0)

    def start(self, pod: Manifest, data: Mapping[str, str]) -> Manifest:
        """Start a pod, after its images are pulled. What cannot be started is a failed pod, which this process alone knows.

        Args:
            pod: from `identify`.
            data: those of its Secret, in base64.

        Returns: the pod. Raises: PodwrightError if another one has its name.
        """
        uid = pod["metadata"]["uid"]
        for container in by_image(containers_of(pod)):
            problem = self._images.provide(container, self._pull_seconds())
            if problem:
                return self._fail(pod, *problem)
        for volume in pod["spec"].get("volumes") or []:
            if fault := host_path_problem(volume.get("hostPath") or {}):
                return self._fail(pod, "CreateContainerError", fault)
        self._starting.add(uid)
        try:
            documents = played_documents(pod, data, self._program.host)
            answer = self._program.run("kube", "play", "-", standard_input=documents, seconds=self._start_seconds(pod))
            if answer.rc == TIMED_OUT and _has_init(pod):
                return self._give_up(pod)
            return pod if answer.rc == 0 else self._diagnose(pod, summarize(answer), answer.error)
        finally:
            self._starting.discard(uid)

    def _start_seconds(self, pod: Manifest) -> float | None:
        """Seconds for the start of a pod. Podman returns once its init containers have finished, and nobody can stop the pod before."""
        if not _has_init(pod):
            return COMMAND_SECONDS
        left, deadline = self._pull_seconds(), pod["spec"].get("activeDeadlineSeconds")
        wait = None if left is None else max(left - STOP_SECONDS, left / 2)  # so that there is time to remove it
        return min((seconds for seconds in (wait, deadline) if seconds is not None), default=None)

    def _give_up(self, pod: Manifest) -> Manifest:
        """Remove a pod whose init containers take too long: without the command that starts it, Podman would not start the others."""
        self._remove(pod, 0)
        deadline = deadline_of(pod)
        if deadline is not None and self._clock.now() >= deadline:
            return self._fail(pod, "DeadlineExceeded", DEADLINE_MESSAGE)
        return self._fail(pod, "CreateContainerError", "its init containers did not finish within wait_timeout.")

    def _diagnose(self, pod: Manifest, message: str, error: str) -> Manifest:
        """What `podman kube play` left of a pod that it could not start."""
        uid = pod["metadata"]["uid"]
        if "pod already exists" in error or "name is in use" in error:
            raise PodwrightError(f"Pod {pod_name(pod)!r} exists already: {message}", status=409, reason="AlreadyExists")
        found = self._list(lambda item: item["metadata"]["uid"] == uid)
        if found and read_pod(found[0]).state in ("failed", "running"):
            return found[0]  # an init container failed, or another container could not be started beside the task's
        self._remove(pod, 0)
        return self._fail(pod, "StartError" if "starting container" in error else "CreateContainerError", message)

    def _fail(self, pod: Manifest, reason: str, message: str) -> Manifest:
        # Newer than what was listed of it while it was starting.
        newer = pod | {"metadata": pod["metadata"] | {"resourceVersion": str(next(self._versions))}}
        failed = self._failed[pod["metadata"]["uid"]] = failed_pod(newer, reason, message)
        return failed

    def change(self, pod: Manifest, metadata: Manifest, is_dry_run: bool) -> Manifest:
        """Change labels and annotations of a pod; those that are None are removed. Returns: the pod. Raises: PodwrightError."""
        namespace, uid = pod["metadata"]["namespace"], pod["metadata"]["uid"]
        if self._changes and not is_dry_run:
            before = (self._changes.get(namespace, uid) or {}).get("metadata", {})
            merged = {part: (before.get(part) or {}) | (metadata.get(part) or {}) for part in _CHANGEABLE}
            self._changes.write({"metadata": {"name": uid, "namespace": namespace, **merged}})
        return _changed(pod, metadata) | {"status": pod["status"]}

    def delete(self, pod: Manifest, grace: int | None) -> None:
        """Delete a pod. Raises: PodwrightError."""
        if self._failed.pop(pod["metadata"]["uid"], None) is None:
            self._remove(pod, _grace_of(pod) if grace is None else grace)
        self.deleted[pod["metadata"]["uid"]] = pod
        if self._changes:
            self._changes.delete(pod["metadata"]["namespace"], pod["metadata"]["uid"])

    def _remove(self, pod: Manifest, grace: int) -> None:
        name = pod_name(pod)
        answer = self._program.run("pod", "rm", "--force", "--time", str(grace), name, seconds=grace + COMMAND_SECONDS)
        if answer.rc and "no such pod" not in answer.error:
            raise PodwrightError(f"Pod {name!r} could not be deleted on host '{self._program.host}': {summarize(answer)}", reason="PodmanFailed")
        if secret_of(pod):
            self._program.run("volume", "rm", "--force", input_name(pod))


def _changed(pod: Manifest, metadata: Manifest) -> Manifest:
    """A pod with changed labels and annotations."""
    parts = {part: {**(pod["metadata"].get(part) or {}), **(metadata.get(part) or {})} for part in _CHANGEABLE}
    kept = {part: {name: text for name, text in values.items() if text is not None} for part, values in parts.items()}
    return pod | {"metadata": pod["metadata"] | kept}


def _has_init(pod: Manifest) -> bool:
    return any(not is_sidecar(entry) for entry in pod["spec"].get("initContainers") or [])


def host_path_problem(source: Manifest) -> str | None:
    """Why a directory or file of this machine cannot be mounted, as a sentence: Podman does not check its type."""
    check = {"Directory": os.path.isdir, "File": os.path.isfile}.get(source.get("type") or "")
    if check is None or check(source["path"]):
        return None
    return f"the host path '{source['path']}' does not exist, or is not a {source['type'].lower()}."


def _grace_of(pod: Manifest) -> int:
    given: int | None = pod["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE if given is None else given
