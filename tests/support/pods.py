# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods of the tests: starting them, running scripts in them, and their processes as this machine sees them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import execute
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD

from .waiting import wait_for


def start_pod(client: Client, namespace: str, name: str, mounts: Iterable[dict[str, Any]] = (), **spec: Any) -> None:
    """Start a pod whose container `task` sleeps, and wait until it runs; with init containers, until it is there. `spec` overrides its fields."""
    container = {"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"], "volumeMounts": list(mounts)}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0} | spec}
    client.create(POD, namespace, manifest, "test")
    wanted = "Pending" if "initContainers" in spec else "Running"
    wait_for(lambda: client.get(POD, namespace, name)["status"].get("phase") == wanted)


def run_script(client: Client, container: Container, script: str, pieces: Sequence[bytes] = (), **options: Any) -> tuple[int, bytes]:
    """Run a shell script with input. Returns (exit code, output)."""
    output = bytearray()
    command = Command(["sh", "-c", script], source=(lambda: iter(pieces)) if pieces else None, size=sum(map(len, pieces)), **options)
    return execute(client, container, command, output.extend), bytes(output)


def first_process(client: Client, container: Container) -> int:
    """The process ID, on this machine, of the first process of a container of the local cluster."""
    output = bytearray()
    execute(client, container, Command(["readlink", "/proc/self/ns/pid"]), output.extend)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_inside = os.readlink(process / "ns/pid") == output.decode().strip()
            if is_inside and re.search(r"^NSpid:.*\t1$", (process / "status").read_text(), re.MULTILINE):
                return int(process.name)
    return pytest.fail(f"nothing runs {container}")
