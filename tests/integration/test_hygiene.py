# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An operation in the controller's process leaves no socket, thread, file or variable in it."""

from __future__ import annotations

import os
import threading

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.operations import (
    pod_autoscale,
    pod_copy,
    pod_deployment,
    pod_exec,
    pod_gc,
    pod_info,
    pod_logs,
    pod_request,
    resource_set,
    task_pod,
)

from ..support.operations import IMAGE, call

CALLS = [
    (task_pod, {"name": "box", "command": ["sleep", "3600"], **IMAGE}),
    (pod_info, {"name": "box", "wait_for": "ready"}),
    (pod_info, {"name": "nobody", "wait_for": "ready", "wait_timeout": 1}),
    (pod_exec, {"pod": "box", "command": "cat", "stdin": "x" * 100000}),
    (pod_exec, {"pod": "box", "command": "sleep 10", "timeout": 0.5}),
    (pod_exec, {"pod": "box", "command": "cat /etc/passwd", "timeout": 10}),
    (pod_copy, {"pod": "box", "content": "text", "remote_path": "/tmp/text"}),
    (pod_copy, {"pod": "box", "state": "from_pod", "remote_path": "/tmp/none", "local_path": "/tmp"}),
    (pod_logs, {"name": "box", "follow": True, "timeout": 0.5}),
    (pod_request, {"pod": "box", "port": "9"}),
    (pod_request, {"pod": "box", "port": "9", "protocol": "grpc"}),
    (resource_set, {"definition": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}}),
    (task_pod, {"tasks": [{"name": "fails", "command": ["false"], **IMAGE}], "state": "completed"}),
    (task_pod, {"name": "short", "command": ["true"], "state": "completed", "cleanup": "always", "parent": "box", **IMAGE}),
    (pod_info, {"parent": "box"}),
    (pod_deployment, {"name": "web", "command": ["sleep", "60"], "image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 0}),
    (pod_autoscale, {"name": "web", "replicas": 2}),
    (pod_autoscale, {"name": "web", "target_cpu": 50, "engine": "direct"}),
    (pod_deployment, {"name": "web", "state": "absent"}),
    (pod_gc, {"completed": {"max_age": 0, "keep_last": 0}, "orphaned": True}),
    (task_pod, {"name": "box", "state": "absent"}),
]


def left_open():
    """Sockets and files of this process, its threads and its environment."""
    descriptors = {os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{name}")}
    return {d for d in descriptors if d.startswith(("socket:", "/tmp"))}, {t.name for t in threading.enumerate()}, dict(os.environ)


@pytest.mark.usefixtures("client")
def test_an_operation_leaves_no_socket_thread_file_or_variable(namespace):
    for module, options in CALLS:
        before = left_open()
        result = call(module, options, namespace)
        after = left_open()
        assert after == before, (module.__name__, options, result.get("msg"))


@pytest.mark.parametrize("no_log", [False, True])
def test_a_long_wait_shows_progress_unless_no_log_is_set(no_log, play, namespace):
    options = {"name": "slow", "command": ["sleep", "5"], "state": "completed", **IMAGE}
    played = play([{"name": "Wait", "podwright.core.task_pod": options, "no_log": no_log}], namespace=namespace)
    assert ("slow is running" in played.output) == (not no_log)
