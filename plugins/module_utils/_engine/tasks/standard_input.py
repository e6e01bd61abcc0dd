# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Standard input of a task: a Secret that its command reads from a volume.

Unlike an attached stream it survives an interrupted run and is never cut short.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from ..errors import option_error
from ..objects.labels import MANAGED, TASK, owner_reference
from ..text import encode
from ..values import Manifest

if TYPE_CHECKING:
    from .task_spec import TaskSpec

VOLUME, DIRECTORY = "podwright-stdin", "/podwright"


def build_volume(spec: TaskSpec) -> Manifest:
    """The volume with the task's standard input.

    The Secret of each Pod or Job has a name of its own: that of a deleted one is garbage-collected some time later, or never if its deletion orphans it.
    """
    return {"name": VOLUME, "secret": {"secretName": f"{spec.name}-stdin-{os.urandom(4).hex()}"}}


def redirect_input(container: Manifest) -> Manifest:
    """The task's container with its command reading standard input from the volume. Raises: PodwrightError if it has no command."""
    if not container.get("command"):
        hint = "Set command: the image's entrypoint is not known before the pod runs."
        raise option_error("stdin", "requires command, which is not set.", hint)
    words = [*container["command"], *container.get("args", [])]
    redirected = {key: value for key, value in container.items() if key != "args"}
    redirected["command"] = ["sh", "-c", f'exec "$@" < {DIRECTORY}/stdin', "sh", *words]
    redirected["volumeMounts"] = [*container.get("volumeMounts", []), {"name": VOLUME, "mountPath": DIRECTORY, "readOnly": True}]
    return redirected


def build_secret(spec: TaskSpec, owner: Manifest) -> Manifest | None:
    """The Secret with the task's standard input for its live Pod or Job, with which it is garbage-collected; None if either has no standard input."""
    name = next((volume["secret"]["secretName"] for volume in _volumes(owner)), None)
    if name is None or spec.options.get("stdin") is None:
        return None
    metadata = {"name": name, "namespace": spec.namespace, "labels": MANAGED | {TASK: spec.name}, "ownerReferences": [owner_reference(owner)]}
    # Immutable, so that nobody replaces the input of a task that has not started.
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "immutable": True,
        "data": {"stdin": base64.b64encode(encode(spec.options["stdin"])).decode()},
    }


def rename_secret(manifest: Manifest, name: str) -> Manifest:
    """The manifest of a Pod or Job, changed in place, with another name of the Secret with standard input, if it has one."""
    for volume in _volumes(manifest):
        volume["secret"]["secretName"] = name
    return manifest


def _volumes(owner: Manifest) -> list[Manifest]:
    """The volume of a Pod or Job with standard input, if it has one."""
    pod = (owner["spec"].get("template") or owner)["spec"]
    return [volume for volume in pod.get("volumes") or [] if volume["name"] == VOLUME and "secret" in volume]
