# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The containers that have the files of a task: one waits for inputs before it starts, one holds what it leaves until that is fetched.

The holder is an ordinary container, not a sidecar: Kubernetes terminates sidecars with the task (KEP-753), and the files of a pod are deleted once its
last container has terminated. It has a memory limit of its own, so that it survives a task which exceeds its limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.exec_command import POD_UID, Container
from ..objects.containers import TASK_CONTAINER, container_names, container_status, has_finished
from ..objects.pod_status import Status, has_started, read_waiting
from .containers import build_container
from .inputs import INPUTS, READY, ROOT_PATH, read_inputs
from .outputs import contains, definition_mounts, output_directories, output_paths
from .security_context import UNPRIVILEGED_USER, USER_OF_IMAGE

if TYPE_CHECKING:
    from ..values import Manifest, Options
    from .task_spec import TaskSpec

HOLDER = "podwright-files"
CONTROL, RELEASED = "/podwright-files", "/podwright-files/released"  # the directory of the holder, and the file whose existence terminates it
# As much as it may use is requested: a LimitRange may restrict the ratio, and the quality of service of the pod stays that of the task.
RESOURCES = {"cpu": "100m", "memory": "64Mi"}
_OUTPUT = "podwright-output-"
_HOLD = f"trap 'exit 0' TERM; until [ -e {RELEASED} ]; do sleep 1 & wait $!; done"
RELEASE = ["sh", "-c", f": > {RELEASED}"]
# Not every sleep knows fractions of a second. A pod that is deleted while it waits must not start its task.
_WAIT = f"trap 'exit 1' TERM; until [ -e {READY} ]; do {{ sleep 0.2 2>/dev/null || sleep 1; }} & wait $!; done"


def output_volumes(options: Options) -> list[tuple[Manifest, Manifest]]:
    """(volume, its mount in every container) for each directory in which a task leaves files. Raises: PodwrightError."""
    directories = output_directories(options)
    return [
        ({"name": f"{_OUTPUT}{number}", "emptyDir": {}}, {"name": f"{_OUTPUT}{number}", "mountPath": directory}) for number, directory in enumerate(directories)
    ]


def holder_volumes(options: Options) -> list[tuple[Manifest, None]]:
    """The volume of the holder alone, if the task has one."""
    return [({"name": HOLDER, "emptyDir": {"sizeLimit": "1Mi"}}, None)] if output_paths(options) else []


def input_volumes(options: Options) -> list[tuple[Manifest, None]]:
    """The volume for inputs that no other volume contains, if there are any."""
    return [({"name": INPUTS, "emptyDir": {}}, None)] if options.get("inputs") else []


def input_mounts(options: Options) -> list[Manifest]:
    """The mounts, in every container but the one that waits for them, of inputs that no other volume contains."""
    return [{"name": INPUTS, "mountPath": entry.path, "subPath": entry.sub_path} for entry in read_inputs(options) if entry.sub_path]


def build_waiter(spec: TaskSpec, profile: str, mounts: list[Manifest]) -> list[Manifest]:
    """The init container that waits for the inputs of a task, if it has any; see `build_holder`."""
    if not spec.options.get("inputs"):
        return []
    # The subdirectories of inputs do not exist yet, and would be created as directories.
    others = [mount for mount in mounts if mount["name"] != INPUTS]
    return [_build_helper(spec, INPUTS, _WAIT, profile, [*others, {"name": INPUTS, "mountPath": ROOT_PATH}])]


def awaits_inputs(pod: Manifest) -> bool:
    """Whether the container of a pod that waits for inputs runs."""
    return "running" in (container_status(pod, INPUTS).get("state") or {})


def has_inputs(pod: Manifest) -> bool:
    """Whether a pod has received its inputs, or never will: the container that waits for them has terminated, or the pod has."""
    return "terminated" in (container_status(pod, INPUTS).get("state") or {}) or has_finished(pod)


def build_holder(spec: TaskSpec, profile: str, mounts: list[Manifest]) -> list[Manifest]:
    """The container that holds the files of a task, if it leaves any.

    Args:
        mounts: the volume mounts that all containers of the task have.
    """
    paths = [path for _option, path in output_paths(spec.options)]
    if not paths:
        return []
    # Read-only: nothing that fetches files can change them.
    given = [*mounts, *definition_mounts(spec.options)]
    needed = [mount | {"readOnly": True} for mount in given if any(contains(mount["mountPath"], path) or contains(path, mount["mountPath"]) for path in paths)]
    return [_build_helper(spec, HOLDER, _HOLD, profile, [*needed, {"name": HOLDER, "mountPath": CONTROL}])]


def _build_helper(spec: TaskSpec, name: str, script: str, profile: str, mounts: list[Manifest]) -> Manifest:
    options = spec.options
    resources = options.get("helper_resources") or ({"limits": RESOURCES, "requests": RESOURCES} if options.get("resources") else None)
    container = {
        "image": options["helper_image"],
        "image_pull_policy": "IfNotPresent",
        "command": ["sh", "-c", script],
        "env": {POD_UID: {"field": "metadata.uid"}},
        "resources": resources,
        "request_ratio": options["request_ratio"],
        "read_only_root_filesystem": True,
    }
    built = build_container(name, container, spec, profile, mounts, "helper_")
    if profile == "restricted" and options.get("run_as_user") == USER_OF_IMAGE:
        built["securityContext"]["runAsUser"] = UNPRIVILEGED_USER  # the image of the helper names no user
    return built


def can_fetch(pod: Manifest) -> bool:
    """Whether the holder of a pod runs, so that its files can be fetched."""
    return "running" in (container_status(pod, HOLDER).get("state") or {})


def file_container(pod: Manifest, name: str) -> Container:
    """The container of that name which has the files of a task, in this pod and no later one of that name."""
    return Container(pod["metadata"]["namespace"], pod["metadata"]["name"], name, pod["metadata"].get("uid"))


def holds_files(pod: Manifest) -> bool:
    """Whether a pod has a holder that has not terminated, so that what the task leaves can still be fetched."""
    if HOLDER not in container_names(pod) or "terminated" in (container_status(pod, HOLDER).get("state") or {}):
        return False
    return not has_finished(pod)


def has_lost_files(pod: Manifest) -> bool:
    """Whether the task of a pod has run, and the container that held its files has terminated."""
    return not holds_files(pod) and has_started(pod, TASK_CONTAINER)


def holder_problem(pod: Manifest) -> Status | None:
    """What a task that has terminated waits for before its files can be fetched: its holder is about to start, or cannot; None if it has started."""
    state = container_status(pod, HOLDER).get("state") or {}
    if "running" in state or not holds_files(pod):
        return None
    return read_waiting({"name": HOLDER, "state": state}) or Status("pending", "Starting", f"the container '{HOLDER}', which holds its files, is being created")
