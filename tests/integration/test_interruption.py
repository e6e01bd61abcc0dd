# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A playbook that is killed and started again ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils.cluster.kinds import POD

from .conftest import KUBECONFIG, ROOT, play_environment, wait_for

COUNT = 30


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_a_killed_batch_is_finished_by_the_next_run(kind, play, namespace, client, tmp_path):
    # Each task leaves a trace outside its pod: an event in a folder of the node, counted afterwards.
    folder = tmp_path / "traces"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    tasks = [{"name": f"task-{number}", "kind": kind, "command": ["sh", "-c", f"echo x >> /traces/{number}; sleep 2"]} for number in range(COUNT)]
    batch = {
        "tasks": tasks,
        "image": "busybox",
        "image_pull_policy": "IfNotPresent",
        "state": "completed",
        "volumes": [{"name": "traces", "mount_path": "/traces", "host_path": str(folder)}],
        "termination_grace_period": 0,
    }
    task = {"name": "Run", "podwright.core.task_pod": batch}
    _start_and_kill(task, namespace, client, tmp_path)
    second = play([task], namespace=namespace).of("Run")
    assert second["summary"] == {"succeeded": COUNT, "total": COUNT}
    assert {trace.name: trace.read_text() for trace in folder.iterdir()} == {str(number): "x\n" for number in range(COUNT)}
    pods, _version = client.list(POD, namespace)
    assert len(pods) == COUNT
    third = play([task], namespace=namespace).of("Run")
    assert not third["changed"]


def _start_and_kill(task, namespace, client, tmp_path):
    """Start the play in a process group of its own and kill that once some of its pods are there."""
    record = tmp_path / "killed"
    record.touch()
    path = tmp_path / "killed.yml"
    defaults = {"group/podwright.core.all": {"namespace": namespace, "kubeconfig": KUBECONFIG}}
    path.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": [task]}]))
    command = [str(ROOT / ".venv/bin/ansible-playbook"), str(path), "--extra-vars", json.dumps({})]
    process = subprocess.Popen(command, env=play_environment(record), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(client.list(POD, namespace)[0]) >= 5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
