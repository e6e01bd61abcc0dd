# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies to volumes: nothing can be created beside a mount point, and a mount point cannot be replaced."""

from __future__ import annotations

import itertools
import os

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy

from ..support.operations import call
from ..support.pods import run_script, start_pod
from ..support.waiting import wait_for

METHODS = ("tar", "stream")
CONTAINER = {
    "name": "task",
    "image": "busybox",
    "imagePullPolicy": "IfNotPresent",
    "command": ["sleep", "3600"],
    "securityContext": {"readOnlyRootFilesystem": True, "runAsUser": 65532},
    "volumeMounts": [{"name": "work", "mountPath": "/work"}, {"name": "file", "mountPath": "/etc/app.conf", "subPath": "app.conf"}],
}
PREPARING = {
    "name": "prepare",
    "image": "busybox",
    "imagePullPolicy": "IfNotPresent",
    "command": ["sh", "-c", "dd if=/dev/zero of=/file/app.conf bs=1M count=41 2>/dev/null; chown 65532 /file/app.conf"],
    "volumeMounts": [{"name": "file", "mountPath": "/file"}],
}


@pytest.fixture
def mounted(client, namespace):
    """A Container that runs as non-root with a read-only root filesystem, a volume and a file mounted with subPath."""
    volumes = [{"name": "work", "emptyDir": {}}, {"name": "file", "emptyDir": {}}]
    start_pod(client, namespace, "mounted", containers=[CONTAINER], volumes=volumes, securityContext={"fsGroup": 65532}, initContainers=[PREPARING])
    wait_for(lambda: client.get(POD, namespace, "mounted")["status"]["phase"] == "Running")
    return Container(namespace, "mounted", "task")


def test_volumes_are_copied_to_and_from(client, mounted, tmp_path):
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a.txt").write_text("a")
    (tree / "sub/b.txt").write_text("b")
    for method in METHODS:
        up = {"pod": mounted.pod, "local_path": str(tree), "remote_path": "/work", "method": method, "delete": True}
        first, second = (call(pod_copy, up, mounted.namespace) for _run in range(2))
        assert first.get("msg") is None and first["changed"] and not second["changed"], method
        assert sorted(run_script(client, mounted, "find /work -mindepth 1")[1].split()) == [b"/work/a.txt", b"/work/sub", b"/work/sub/b.txt"]
        down = {"pod": mounted.pod, "local_path": str(tmp_path / method), "remote_path": "/work", "state": "from_pod", "method": method}
        assert call(pod_copy, down, mounted.namespace).get("msg") is None
        assert (tmp_path / method / "sub/b.txt").read_text() == "b"
        assert run_script(client, mounted, "rm -r /work/*")[0] == 0


def test_mounted_file_is_written_in_place(client, mounted, tmp_path):
    """A small and a large one, also over content of the same size."""
    for size, no_preserve in itertools.product([5, 40 << 20, (40 << 20) + 5], [True, False]):
        (tmp_path / "app.conf").write_bytes(os.urandom(size))
        options = {"pod": mounted.pod, "local_path": str(tmp_path / "app.conf"), "remote_path": "/etc/app.conf", "no_preserve": no_preserve}
        first, second = (call(pod_copy, options, mounted.namespace) for _run in range(2))
        assert first.get("msg") is None and first["changed"] and not second["changed"], (size, no_preserve)
        assert run_script(client, mounted, "wc -c < /etc/app.conf; ls /etc/.app* 2>/dev/null")[1].split() == [str(size).encode()]


def test_failed_copy_leaves_no_temporary_files(client, namespace, tmp_path):
    start_pod(client, namespace, "root", mounts=[{"name": "work", "mountPath": "/work"}], volumes=[{"name": "work", "emptyDir": {}}])
    for number in range(300):
        (tmp_path / f"{'long name ' * 20}{number}").touch()
    for method, target in itertools.product(METHODS, ("/work", "/tmp/new", "/tmp")):
        options = {"pod": "root", "local_path": str(tmp_path), "remote_path": target, "method": method, "owner": "no-such-user"}
        result = call(pod_copy, options, namespace)
        assert result["failed"] and "no-such-user" in result["msg"]
        assert run_script(client, Container(namespace, "root"), "find /work /tmp -name '*podwright*'") == (0, b"")


@pytest.mark.parametrize("method", METHODS)
def test_mount_point_in_a_directory_is_written_in_place(method, client, tooled, tmp_path):
    """In every container, /etc/hosts is a mount point."""
    before = run_script(client, tooled, "cat /etc/hosts")[1]
    (tmp_path / "hosts").write_bytes(before + f"# {method}\n".encode())
    (tmp_path / "other").write_text(method)
    options = {"pod": tooled.pod, "local_path": str(tmp_path), "remote_path": "/etc", "method": method, "no_preserve": True}
    first, second = (call(pod_copy, options, tooled.namespace) for _run in range(2))
    assert first.get("msg") is None and first["changed"] and not second["changed"], (first, second)
    assert run_script(client, tooled, "cat /etc/hosts; ls -A /etc | grep podwright; cat /etc/other")[1] == before + f"# {method}\n{method}".encode()
