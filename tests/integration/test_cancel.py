# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Playbooks that are cancelled: what they say, what they delete, and that none of their processes stay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD

from ..support.environment import CORES, KUBECONFIG
from ..support.playbooks import mode_variables, play_environment
from ..support.pods import run_script, start_pod
from ..support.waiting import wait_for

HOW = ("SIGINT", "SIGTERM", "SIGKILL", "timeout")  # AWX sends SIGKILL to the process group of ansible-playbook, in which its workers are not
FIRST = {("SIGINT", "action", "delete"), ("SIGTERM", "action", "keep"), ("SIGKILL", "action", "delete"), ("timeout", "module", "delete")}
STOPPING = 10  # seconds


def cases():
    for how in HOW:
        for mode in ("action", "module"):
            for on_cancel in ("keep", "delete"):
                for version in CORES:
                    usual = version == "this" and (how, mode, on_cancel) in FIRST
                    yield pytest.param(how, mode, on_cancel, version, marks=[] if usual else pytest.mark.long)


def start(path, temporary, plays, namespace, mode="action", version="this", variables=None):
    """Start ansible-playbook in a process group of its own. Returns: (process, file with its output)."""
    defaults = {"group/podwright.core.all": {"namespace": namespace, "kubeconfig": str(KUBECONFIG)}}
    playbook, output, record = path / "play.yml", path / "output", path / "record"
    playbook.write_text(yaml.safe_dump([{"gather_facts": False, "module_defaults": defaults} | play for play in plays], sort_keys=False))
    environment = play_environment(record) | {"TMPDIR": str(temporary)}
    command = [
        str(CORES[version] / "ansible-playbook"),
        str(playbook),
        "--forks",
        "20",
        "--extra-vars",
        json.dumps(mode_variables(mode) | (variables or {})),
    ]
    with output.open("wb") as stream:
        return subprocess.Popen(command, env=environment, cwd=path, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True), output


def cancel(process, how):
    if how == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    elif how != "timeout":
        os.kill(process.pid, signal.Signals[how])
    process.wait(60)


def processes_of(path):
    """The processes that were started in a directory, as far as they still run there: workers and modules."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == path and (process / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found.append((process.name, (process / "cmdline").read_bytes()))
        except OSError:
            pass
    return found


@pytest.mark.parametrize(("how", "mode", "on_cancel", "version"), list(cases()))
def test_a_cancelled_task_says_what_it_leaves_or_deletes_it(how, mode, on_cancel, version, namespace, client, tmp_path, temporary):
    options = {"image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["sleep", "300"], "termination_grace_period": 0, "state": "completed"}
    task = {"podwright.core.task_pod": options | {"on_cancel": on_cancel, "tasks": [{"name": "pod"}, {"name": "job", "kind": "Job"}]}}
    process, output = start(
        tmp_path, temporary, [{"hosts": "localhost", "tasks": [task | ({"timeout": 25} if how == "timeout" else {})]}], namespace, mode, version
    )

    def live():
        return [pod for pod in client.list(POD, namespace)[0] if not pod["metadata"].get("deletionTimestamp")]

    wait_for(lambda: len(live()) == 2)
    cancel(process, how)
    cancelled = time.monotonic()
    wait_for(lambda: not processes_of(tmp_path), STOPPING)
    assert time.monotonic() - cancelled < STOPPING
    if on_cancel == "keep":
        assert len(live()) == 2
    else:
        wait_for(lambda: not live(), STOPPING)  # the garbage collector deletes the pod of the Job
    text = output.read_text()
    lines = [line for line in text.splitlines() if line.startswith("task_pod was cancelled by ")]
    assert len(lines) == 1, text
    if mode == "action":
        said = "It leaves running" if on_cancel == "keep" else "It deleted"
        assert f"{said} 2 in namespace '{namespace}': Job 'job', Pod 'pod'." in lines[0]
    else:
        assert "kubectl get pods" in lines[0]
    assert "Traceback" not in text


def test_other_operations_stop_at_once_and_leave_no_files(namespace, client, tmp_path, temporary):
    """All at the same time, each on a host of its own: what reads a stream, what sends one, and what waits."""
    start_pod(client, namespace, "web")
    (tmp_path / "large").write_bytes(b"")
    os.truncate(tmp_path / "large", 8 << 30)
    never = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "never"}, "spec": {"containers": [{"name": "c", "image": "not-there:1"}]}}
    tasks = {
        "pod_exec": {"pod": "web", "command": ["sleep", "600"]},
        "pod_copy": {"pod": "web", "remote_path": "/tmp/copy", "local_path": str(tmp_path / "large")},
        "pod_logs": {"name": "web", "follow": True},
        "pod_info": {"name": "web", "wait": True, "wait_for": "completed", "wait_timeout": 600},
        "resource_set": {"definition": never, "wait": True, "wait_timeout": 600},
        "pod_deployment": {"name": "slow", "image": "busybox", "image_pull_policy": "Never", "command": ["false"], "progress_deadline": 600},
    }
    play = {"hosts": ",".join(tasks), "connection": "local", "strategy": "free"}
    plays = [play | {"tasks": [{f"podwright.core.{name}": options, "when": f"inventory_hostname == '{name}'"} for name, options in tasks.items()]}]
    (tmp_path / "ansible.cfg").touch()
    inventory = {"ansible_connection": "local"}
    plays.insert(0, {"hosts": "localhost", "tasks": [{"add_host": {"name": "{{ item }}"}, "loop": list(tasks)}]})
    process, output = start(tmp_path, temporary, plays, namespace, variables=inventory)

    def begun():
        listed = run_script(client, Container(namespace, "web", "task"), "ls -A /tmp; ps")[1].decode()
        return ".podwright" in listed and "sleep 600" in listed and len(client.list(POD, namespace)[0]) >= 3

    wait_for(begun)
    cancel(process, "SIGTERM")
    cancelled = time.monotonic()
    wait_for(lambda: not processes_of(tmp_path), STOPPING)
    assert time.monotonic() - cancelled < STOPPING
    assert "Traceback" not in output.read_text()
    assert [path for path in temporary.rglob("*") if path.is_file()] == []
    wait_for(lambda: run_script(client, Container(namespace, "web", "task"), "ls -A /tmp")[1] == b"", STOPPING)
