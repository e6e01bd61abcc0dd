# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The logs of a task's containers: its own, its init containers and its sidecars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.container_log import read_end
from ..cluster.diagnosis import Tail, log_tail
from ..errors import PodwrightError
from ..objects.containers import TASK_CONTAINER, container_names
from ..objects.pod_status import has_started
from ..text import decode
from .executor import LOG_BYTES
from .file_containers import HOLDER
from .inputs import INPUTS
from .observation import is_current

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..cluster.client import Client
    from ..console import Console
    from ..values import Manifest
    from .task_run import TaskRun

MIN_LOG_BYTES = 4096  # of one container, or of one index of a Job
_REMEDY = "Read all with pod_logs, for which cleanup must keep the pod, or let the task write a file that artifacts copies."


def further_containers(run: TaskRun) -> list[str]:
    """The names of a task's init containers and sidecars, in the order in which they start; not of those that webhooks add or that have its files."""
    manifest = run.manifest or {"spec": {"containers": []}}
    names = container_names(manifest["spec"].get("template", manifest))
    return [name for name in names if name not in (TASK_CONTAINER, HOLDER, INPUTS)]


def share_of(count: int) -> int:
    """The bytes of each of several logs that are returned together."""
    return max(LOG_BYTES // max(count, 1), MIN_LOG_BYTES)


def read_logs(client: Client, console: Console, task: str, pod: Manifest, containers: Iterable[str], limit: int) -> dict[str, str]:
    """The log of each container that has started, by name; one that cannot be read is missing, with a warning, as of one that is longer.

    Args:
        task: what the warning calls the task.
        limit: bytes of each log, counted from its end.
    """
    namespace, name, logs = pod["metadata"]["namespace"], pod["metadata"]["name"], {}
    for container in containers:
        if not has_started(pod, container):
            continue
        of_container = "" if container == TASK_CONTAINER else f" of container '{container}'"
        try:
            log = read_end(client, pod, container, limit)
            logs[container] = decode(log.content)
            if log.is_truncated:
                # One warning for all pods of a Job.
                console.warn(f"Only the last {limit} bytes of the log{of_container} of {task.rpartition(' of ')[2]} are returned. {_REMEDY}")
        except PodwrightError as error:
            console.warn(f"The log{of_container} of {task} could not be read: {error}")
    if logs and not is_current(client, pod):
        console.warn(f"The log of {task} could not be read: another run has replaced pod '{name}' in namespace '{namespace}'.")
        return {}
    return logs


def read_tail(client: Client, pod: Manifest, lines: int) -> Tail:
    """The last lines of the log that says what a pod does, as `log_tail`; empty if it is the log of another pod by now."""
    tail = log_tail(client, pod, lines)
    return tail if not tail.text or is_current(client, pod) else Tail()
