# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies the inputs of a task to the container of its pod that waits for them, and lets the task start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..cluster.exec import execute
from ..cluster.exec_command import Command
from ..cluster.exec_errors import has_not_started
from ..errors import CONNECTION_LOST, PodwrightError
from ..transfer.pair import TreePair
from ..transfer.plan import CopyOptions, compare
from ..transfer.remote import ContainerTree
from ..transfer.runner import retry_on_connection_loss
from ..transfer.tree import FILE
from ..transfer.upload import Upload
from .file_containers import file_container
from .inputs import INPUTS, READY, digest_tree

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..values import Manifest
    from .inputs import Input
    from .task_spec import TaskSpec

START = ["sh", "-c", f": > {READY}"]
START_SECONDS = 30
# Causes of a failed copy that another run to the same place is not.
_FINAL = re.compile("ermission denied|not permitted|Read-only|No space left|quota exceeded|it is a directory|changed while the task was started")


def deliver(client: Client, console: Console, spec: TaskSpec, pod: Manifest, deadline: float | None) -> None:
    """Copy all inputs, verify them, and let the task start.

    Args:
        client: a branch, whose streams can be cancelled.
        deadline: the time of the client's clock at which transfers are terminated, or None.

    Raises: PodwrightError.
    """
    container = file_container(pod, INPUTS)
    for entry, digest in zip(spec.inputs, spec.input_digests):
        if _copy(entry, ContainerTree(client, container, entry.delivery, deadline=deadline), console) != digest:
            raise PodwrightError(f"{entry.src} changed while the task was started.", reason="Changed", hint="Run the task again.")
    retry_on_connection_loss(lambda: execute(client, container, Command(START, timeout=START_SECONDS)))


def is_temporary(error: PodwrightError) -> bool:
    """Whether inputs may be delivered on a retry: the connection was lost, or another run deleted files or started the task."""
    if error.reason in ("CopyFailed", "Changed"):
        return not _FINAL.search(error.message)
    return error.reason == CONNECTION_LOST or has_not_started(error)


def _copy(entry: Input, remote: ContainerTree, console: Console) -> str:
    """Copy an input. Returns: the digest of what the container has."""
    pair = TreePair(True, entry.source(), remote, entry.observe(console), remote.observe()).with_digests()
    options = CopyOptions(preserves=entry.content is None, mode=entry.mode)
    plan = compare(pair.source, pair.target, options)
    if plan.obstacles:
        path = plan.obstacles[0]
        problem = f"{entry.path} is a {pair.target[path].type} in the pod, but a {pair.source[path].type} is to be copied"
        raise PodwrightError(f"The input cannot be copied: {problem}.", reason="Obstacle", hint=f"Set another {entry.option}.path.")
    upload = Upload(pair.local, remote, pair.source, options, plan, "tar" in remote.tools, console)
    if plan.is_change:
        upload.run()
    unchanged = {path: found.digest for path, found in pair.source.items() if found.digest and path not in plan.files}
    files = [path for path, found in pair.source.items() if found.type == FILE]
    return digest_tree(pair.source, {path: {**unchanged, **upload.digests}.get(path, "") for path in files})
