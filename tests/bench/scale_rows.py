# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows about many pods: batches of tasks, and garbage collection."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from ..support import scale
from .measuring import Bench
from .model import LIMIT, OURS, PEER, Contender, Curve, Goal, Plan, Row, Sample

REAL = 50
RETENTION: dict[str, Any] = {"completed": {"max_age": 0, "keep_last": 0}}
CREATE = '$K create -n "$1" -f "$2" && $K wait -n "$1" --for=condition=Ready --timeout=300s pod --all'


def _pods(bench: Bench) -> Plan:
    count = bench.size(REAL)
    spaces = {name: bench.namespace() for name in ("requests", "task_pod", "kubectl")}
    options = {"image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["sleep", "3600"], "termination_grace_period": 0}
    batch = options | {"tasks": [{"name": f"task-{number}"} for number in range(count)], "concurrency": count, "namespace": spaces["task_pod"]}
    batch |= {"state": "running"}
    return _batch(bench, spaces, batch, _plain({"terminationGracePeriodSeconds": 0}), count, waits=True, repeats=2)


def _simulated(bench: Bench, full: int) -> Plan:
    count = bench.size(full)
    spaces = {name: bench.namespace() for name in ("requests", "task_pod", "kubectl")}
    pool = _nodes(bench, 1 + full // 1000)
    batch = scale.simulated_tasks(count, pool) | {"namespace": spaces["task_pod"], "state": "present"}
    spec = {"nodeSelector": {"type": pool}, "tolerations": [{"key": "fake", "operator": "Exists"}]}
    return _batch(bench, spaces, batch, _plain(spec), count, waits=False, repeats=1 if full < 5000 else 0)


def _batch(bench: Bench, spaces: dict[str, str], batch: dict[str, Any], pod: dict[str, Any], count: int, waits: bool, repeats: int) -> Plan:
    """Args: waits: whether the goal is the time until the pods are ready; otherwise the rate of POST requests."""
    path = f"/api/v1/namespaces/{spaces['requests']}/pods"
    manifest = bench.write("pods.yml", [pod | {"metadata": pod["metadata"] | {"name": f"pod-{number}"}} for number in range(count)])
    clear = {name: partial(bench.remove_all, "Pod", namespace) for name, namespace in spaces.items()}
    limit, name, peer = "POST requests, and a watch until ready" if waits else "POST requests alone", "task_pod", "kubectl create, kubectl wait"
    contenders = [
        Contender(limit, LIMIT, partial(bench.limit, "create", path=path, body=pod, count=count, waits=waits), clear["requests"]),
        Contender(name, OURS, partial(bench.operation, "task_pod", **batch), clear["task_pod"]),
        Contender(peer, PEER, partial(bench.shell, CREATE, spaces["kubectl"], manifest), clear["kubectl"], bench.peers.why_not("kubectl", count > 1000)),
    ]

    def ratio(found: dict[str, Sample]) -> float:
        return found[name].seconds / found[limit].seconds

    goals = [Goal("× the requests and the watch", ratio, 1.05) if waits else Goal("× the requests", ratio, 1 / 0.85)]
    for space in spaces.values():
        bench.cleanup.callback(bench.remove_all, "Pod", space)
    return Plan(contenders, goals, repeats)


def _plain(spec: dict[str, Any]) -> dict[str, Any]:
    """A pod as a task's, for the peers."""
    container = {"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": scale.LABELS}, "spec": {"containers": [container], "restartPolicy": "Never"} | spec}


def _nodes(bench: Bench, count: int, simulated: bool = True) -> str:
    """Create nodes that are deleted after the row. Returns: the name of their pool, which is that of the first one."""
    pool = f"bench-{uuid.uuid4().hex[:8]}"
    names = [pool, *(f"{pool}-{number}" for number in range(1, count))]
    scale.add_nodes(bench.client, names, simulated, pool)
    bench.cleanup.callback(scale.remove_nodes, bench.client, names)
    return pool


def _garbage(bench: Bench, full: int, seconds: float) -> Plan:
    count, node = bench.size(full), _nodes(bench, 1, simulated=False)
    spaces = {name: bench.namespace() for name in ("requests", "pod_gc", "kubectl")}
    fill = {name: partial(scale.add_finished_pods, bench.client, namespace, count, node) for name, namespace in spaces.items()}
    path, names = f"/api/v1/namespaces/{spaces['requests']}/pods", [f"done-{number}" for number in range(count)]
    collect = partial(bench.operation, "pod_gc", namespace=spaces["pod_gc"], **RETENTION)
    everything = ("delete", "pods", "--all", "--wait=false", "--namespace", spaces["kubectl"])
    contenders = [
        Contender("DELETE requests alone", LIMIT, partial(bench.limit, "delete", path=path, names=names), fill["requests"]),
        Contender("pod_gc, the plan alone", OURS, partial(collect, check_mode=True), fill["pod_gc"]),
        Contender("pod_gc", OURS, collect),
        Contender("kubectl delete", PEER, partial(bench.kubectl, *everything), fill["kubectl"], bench.peers.why_not("kubectl", full > 5000)),
    ]

    def ratio(found: dict[str, Sample]) -> float:
        return (found["pod_gc"].seconds - found["pod_gc, the plan alone"].seconds) / found["DELETE requests alone"].seconds

    return Plan(contenders, [Goal("the plan", lambda found: found["pod_gc, the plan alone"].seconds, seconds, "s"), Goal("× the requests", ratio, 1.2)], 0)


def _tasks(bench: Bench, count: int) -> Callable[[], Sample]:
    namespace, pool = bench.namespace(), _nodes(bench, 3)
    bench.cleanup.callback(bench.remove_all, "Pod", namespace)
    return partial(bench.operation, "task_pod", namespace=namespace, state="present", **scale.simulated_tasks(count, pool))


def _finished(bench: Bench, count: int) -> Callable[[], Sample]:
    namespace = bench.namespace()
    scale.add_finished_pods(bench.client, namespace, count, _nodes(bench, 1, simulated=False))
    return partial(bench.operation, "pod_gc", True, namespace=namespace, **RETENTION)


ROWS = [
    Row("batch", f"a batch of {REAL} pods", _pods),
    Row("batch-1000", "a batch of 1,000 pods on simulated nodes", partial(_simulated, full=1000)),
    Row("batch-5000", "a batch of 5,000 pods on simulated nodes", partial(_simulated, full=5000), heavy=True),
    Row("gc-5000", "5,000 finished pods, deleted", partial(_garbage, full=5000, seconds=3)),
    Row("gc-20000", "20,000 finished pods, deleted", partial(_garbage, full=20_000, seconds=10), heavy=True),
]
CURVES = [Curve("tasks", "tasks of a batch", (100, 500, 1000), _tasks), Curve("gc", "finished pods in a plan", (500, 1500, 4000), _finished)]
