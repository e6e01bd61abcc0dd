# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A playbook that is killed and run again gets the same result as one that is not interrupted."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD

from ..support.waiting import wait_for

COUNT = 30


@pytest.mark.parametrize(("kind", "workers"), [("Pod", True), ("Job", True), ("Pod", False)], ids=["Pod", "Job", "the worker survives"])
def test_a_killed_batch_is_finished_by_the_next_run(kind, workers, play, launch, namespace, client, tmp_path):
    # Each task writes a line to a file in a directory of the node, so that its runs can be counted.
    directory = tmp_path / "traces"
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    tasks = [{"name": f"task-{number}", "kind": kind, "command": ["sh", "-c", f"echo x >> /traces/{number}; sleep 2"]} for number in range(COUNT)]
    batch = {
        "tasks": tasks,
        "image": "busybox",
        "image_pull_policy": "IfNotPresent",
        "state": "completed",
        "volumes": [{"name": "traces", "mount_path": "/traces", "host_path": str(directory)}],
        "termination_grace_period": 0,
    }
    task = {"name": "Run", "podwright.core.task_pod": batch}
    process = launch([task], namespace=namespace)
    wait_for(lambda: len(client.list(POD, namespace)[0]) >= 5)
    process.kill(workers)
    second = play([task], namespace=namespace).of("Run")
    assert second["summary"] == {"succeeded": COUNT, "total": COUNT}
    assert {trace.name: trace.read_text() for trace in directory.iterdir()} == {str(number): "x\n" for number in range(COUNT)}
    pods, _version = client.list(POD, namespace)
    assert len(pods) == COUNT
    third = play([task], namespace=namespace).of("Run")
    assert not third["changed"]


def test_an_evicted_task_runs_again(play, namespace, tmp_path):
    """The kubelet evicts a pod whose emptyDir exceeds its size limit. An eviction does not use up an attempt."""
    tmp_path.chmod(0o777)
    greedy = "[ -e /traces/once ] && exit 0; touch /traces/once; head -c 9000000 /dev/zero > /scratch/large; sleep 300"
    volumes = [{"name": "scratch", "mount_path": "/scratch", "empty_dir": {"size_limit": "1Mi"}}]
    volumes.append({"name": "traces", "mount_path": "/traces", "host_path": str(tmp_path)})
    options = {"name": "greedy", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["sh", "-c", greedy], "volumes": volumes}
    task = {"name": "Run", "podwright.core.task_pod": options | {"state": "completed", "termination_grace_period": 0}}
    evicted = play([task], namespace=namespace, expect=2).of("Run")
    assert evicted["reason"] == "Evicted" and "scratch" in evicted["msg"]
    again = play([task], namespace=namespace).of("Run")
    assert again["state"] == "succeeded" and again["attempt"] == 1
    assert "it was interrupted (Evicted)" in str(again["plan"])
