# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Thousands of pods for tests and benchmarks: on simulated nodes (KWOK), or with a status that says they have finished."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request

from .environment import ROOT

NODE = BUILT_IN["v1", "Node"]
THREADS = 16
LABELS = {"app.kubernetes.io/managed-by": "podwright"}
# Runs one operation as its action does. The kernel reports the peak memory.
PROGRAM = """
import importlib, json, sys, time
name, options, check_mode = json.load(sys.stdin)
PACKAGE = "ansible_collections.podwright.core.plugins.module_utils._engine"
load = lambda part: importlib.import_module(f"{PACKAGE}.{part}")
operation = load(f"operations.{name}").OPERATION
params = dict.fromkeys(load("arguments").CONNECTION) | {n: s.get("default") for n, s in operation.arguments.items()} | options
if "tasks" in options:
    item = {n: s.get("default") for n, s in operation.arguments["tasks"]["options"].items()}
    params["tasks"] = [item | task for task in options["tasks"]]
started = time.monotonic()
result = load("operation").perform(operation, params, check_mode, False, load("console").Console())
peak = open("/proc/self/status").read().split("VmHWM:")[1].split()[0]
kept = {name: result.get(name) for name in ("changed", "summary", "msg")}
print(json.dumps({"result": kept, "seconds": time.monotonic() - started, "peak": int(peak) * 1024}))
"""


def add_nodes(client, names, simulated=True, pool="fake"):
    """Create nodes for pods that tolerate the taint `fake`. KWOK simulates the pods on simulated nodes; on others nothing happens.

    Args:
        pool: the value of the label `type`, for node selectors.
    """
    for name in names:
        metadata = {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"} if simulated else {}, "labels": {"type": pool}}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": [{"key": "fake", "effect": "NoSchedule"}]}}
        client.create(NODE, None, node, "test")
        amounts = {"cpu": "1000", "memory": "1Ti", "pods": "2000"}
        client.patch(NODE, None, name, {"status": {"allocatable": amounts, "capacity": amounts}}, "test", MERGE_PATCH, "status")


def remove_nodes(client, names):
    """Delete nodes."""
    for name in names:
        client.delete(NODE, None, name)


def add_finished_pods(client, namespace, count, node):
    """Create succeeded pods on a node without a kubelet, so that nothing else changes them."""
    spec = {"nodeName": node, "restartPolicy": "Never", "containers": [{"name": "task", "image": "busybox", "command": ["true"]}]}
    status = {"phase": "Succeeded", "containerStatuses": []}
    terminated = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z"}}
    container = {"name": "task", "state": terminated, "image": "busybox", "imageID": "", "ready": False, "restartCount": 0}
    status["containerStatuses"].append(container)

    def add(number):
        metadata = {"name": f"done-{number}", "labels": LABELS | {"podwright.io/task": f"done-{number}"}}
        client.create(POD, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, "test")
        client.patch(POD, namespace, metadata["name"], {"status": status}, "test", MERGE_PATCH, "status")

    in_parallel(add, range(count))


def in_parallel(function, items):
    """Call the function for each item in THREADS threads. Returns: the results in order."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, items))


def delete_pods(client, namespace, names):
    """Only send parallel DELETE requests."""
    body = {"propagationPolicy": "Background"}
    in_parallel(lambda name: client.send(Request("DELETE", POD.path(namespace, name), body=body)), names)


def create_pods(client, namespace, like, count):
    """Only send that many parallel POST requests of pods like the given one."""
    metadata = {name: like["metadata"][name] for name in ("labels", "annotations")}
    spec = {name: value for name, value in like["spec"].items() if name != "nodeName"}

    def create(number):
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"name": f"bare-{number}"}, "spec": spec}
        client.send(Request("POST", POD.path(namespace), body=body))

    in_parallel(create, range(count))


def scheduling(pool="fake"):
    """Options of a task or deployment whose pods are scheduled to the nodes of a pool."""
    return {"node_selector": {"type": pool}, "tolerations": [{"key": "fake", "operator": "Exists"}]}


def simulated_tasks(count, pool="fake"):
    """Options of task_pod for that many tasks on simulated nodes."""
    tasks = [{"name": f"task-{number}"} for number in range(count)]
    return scheduling(pool) | {"image": "busybox", "command": ["sleep", "3600"], "tasks": tasks, "concurrency": count}


def measure_operation(name, options, check_mode=False):
    """Run an operation in a new process. Returns: {result, seconds, peak (bytes of memory)}."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, input=json.dumps([name, options, check_mode]), capture_output=True, text=True, cwd=ROOT, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
