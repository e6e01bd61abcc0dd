# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Standard input of a task: a Secret that its command reads from a volume.

Unlike an attached stream it survives an interrupted run and is never cut short.
"""

from __future__ import annotations

from ..errors import option_error
from ..values import Manifest
from .task_secret import STDIN_KEY, STDIN_VOLUME, UNNAMED

DIRECTORY = "/podwright"


def build_volume() -> Manifest:
    """The volume with the task's standard input; the Secret has no name yet."""
    return {"name": STDIN_VOLUME, "secret": {"secretName": UNNAMED, "items": [{"key": STDIN_KEY, "path": STDIN_KEY}]}}


def redirect_input(container: Manifest) -> Manifest:
    """The task's container with its command reading standard input from the volume. Raises: PodwrightError if it has no command."""
    if not container.get("command"):
        hint = "Set command: the image's entrypoint is not known before the pod runs."
        raise option_error("stdin", "requires command, which is not set.", hint)
    words = [*container["command"], *container.get("args", [])]
    redirected = {key: value for key, value in container.items() if key != "args"}
    redirected["command"] = ["sh", "-c", f'exec "$@" < {DIRECTORY}/stdin', "sh", *words]
    redirected["volumeMounts"] = [*container.get("volumeMounts", []), {"name": STDIN_VOLUME, "mountPath": DIRECTORY, "readOnly": True}]
    return redirected
