# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A playbook that is killed and run again gets the same result as one that is not interrupted."""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.containers import container_status
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_gc, task_pod

from ..support.environment import scaled
from ..support.mortal_client import Killed, MortalClient
from ..support.operations import IMAGE, call
from ..support.outcomes import result_of
from ..support.pods import run_script, start_pod
from ..support.relay import SEED
from ..support.scale import add_finished_pods
from ..support.waiting import wait_for

COUNT, KILLS = min(scaled(10), 30), 5


@pytest.mark.parametrize(
    ("kind", "workers", "mode"),
    [("Pod", True, "action"), ("Job", True, "action"), ("Pod", False, "action"), ("Pod", True, "module")],
    ids=["Pod", "Job", "the worker survives", "the module survives"],
)
def test_a_killed_batch_is_finished_by_the_next_run(kind, workers, mode, play, launch, namespace, client, tmp_path):
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
    process = launch([task], namespace=namespace, mode=mode)
    wait_for(lambda: len(client.list(POD, namespace)[0]) >= 5)
    process.kill(workers)
    second = play([task], namespace=namespace, mode=mode).of("Run")
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


@pytest.mark.parametrize("container", ["containers", "init_containers"])
def test_a_task_whose_pod_somebody_deletes_is_retried_as_interrupted(client, namespace, container):
    """Whatever exit code SIGTERM leads to."""
    script = '[ "$ATTEMPT" = 2 ] && exit 0; trap "exit 7" TERM; sleep 600 & wait'
    own = {"command": ["sh", "-c", script], "env": {"ATTEMPT": {"field": "metadata.labels['podwright.io/attempt']"}}}
    task = own if container == "containers" else {"command": ["true"], container: [{"name": "first"} | own]}
    options = IMAGE | {"name": "lost", "state": "completed", "retries": 1, "retry_on": ["Interrupted"], "termination_grace_period": 5} | task
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(call, task_pod, options, namespace)
        name = "task" if container == "containers" else "first"
        wait_for(lambda: (pod := client.get(POD, namespace, "lost")) and "running" in (container_status(pod, name).get("state") or {}))
        client.delete(POD, namespace, "lost")
        result = run.result()
    assert (result["state"], result["attempt"]) == ("succeeded", 2), result
    assert "attempt 2, since the one before failed (Deleted)" in str(result["plan"])


@pytest.mark.long
@pytest.mark.parametrize("state", ["to_pod", "from_pod"])
def test_a_copy_killed_at_any_time_is_completed_by_the_next(state, play, launch, namespace, client, tmp_path, tried):
    print(f"PODWRIGHT_SEED={SEED}")
    chance, tree = random.Random(SEED), tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / f"file-{number}").write_bytes(hashlib.shake_256(bytes([number])).digest(30_000_000 if number < 3 else 3000 * number))
    start_pod(client, namespace, "box")
    wanted = {path.name: path.read_bytes() for path in tree.iterdir()}
    if state == "from_pod":
        play([{"podwright.core.pod_copy": {"pod": "box", "local_path": str(tree), "remote_path": "/srv/tree"}}], namespace=namespace)
    for turn in range(KILLS):
        local, remote = (tree, f"/srv/{turn}/tree") if state == "to_pod" else (tmp_path / str(turn) / "tree", "/srv/tree")
        task = {"name": "Copy", "podwright.core.pod_copy": {"pod": "box", "state": state, "local_path": str(local), "remote_path": remote}}
        process = launch([task], namespace=namespace)
        time.sleep(chance.uniform(0.5, 4))
        with contextlib.suppress(ProcessLookupError):  # it may be finished
            process.kill()
        assert not play([task], namespace=namespace).of("Copy")["failed"]
        assert not play([task], namespace=namespace).is_changed
        script = f"cd {remote} && sha256sum * | sort -k 2; find / -xdev -name '.podwright*' -o -xdev -name '.*podwright-stage*' 2>/dev/null"
        _code, output = run_script(client, Container(namespace, "box", "task"), script)
        assert output.decode().splitlines() == [f"{hashlib.sha256(wanted[name]).hexdigest()}  {name}" for name in sorted(wanted)]
        # A worker of the killed process may live for a second.
        assert state == "to_pod" or wait_for(lambda local=local: {path.name: path.read_bytes() for path in local.iterdir()} == wanted, 5)
    tried("playbooks that are killed while they copy", KILLS, "lost", "wrong", seed=SEED)


@pytest.mark.long
@pytest.mark.parametrize("after", [False, True])
def test_garbage_collection_killed_at_any_write_is_completed_by_the_next(after, client, make_namespace, idle, tried):
    params = {name: spec.get("default") for name, spec in pod_gc.ARGUMENTS.items()} | {"completed": {"max_age": 0, "keep_last": 1}, "wait": True}
    for number in range(4):
        namespace = make_namespace()
        add_finished_pods(client, namespace, 4, idle)
        kept = dict(params) | {"namespace": namespace, "concurrency": 1}
        with contextlib.suppress(Killed):
            result_of(pod_gc.OPERATION, Invocation(kept, False, False, Console(), MortalClient(client, number, after)))
        result_of(pod_gc.OPERATION, Invocation(kept, False, False, Console(), client))
        assert len(client.list(POD, namespace)[0]) == 1
        assert not result_of(pod_gc.OPERATION, Invocation(kept, False, False, Console(), client))["changed"]
    tried("garbage collections that are killed at each write", 4, "lost", "wrong")
