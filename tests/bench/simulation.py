# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many tasks on many simulated nodes in a cluster of its own: what they cost Podwright and each component. `make simulation`; docs/scale.md has the figures."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.timestamps import parse_timestamp

from ..cluster.build import KUBERNETES_VERSION
from ..support import scale
from ..support.environment import BIN, ROOT
from . import page, simulation_page
from .measuring import Bench, run
from .model import Sample, describe
from .peers import Peers
from .simulated_cluster import LABEL, POOL, SimulatedCluster, simulated_cluster
from .usage import Interval

PAGE, BEGIN, END = ROOT / "docs/scale.md", "## What a simulation shows", "## Limits, one by one"
OUTPUT = ROOT / "tests/output"
MANAGED = "app.kubernetes.io/managed-by=podwright"
RETENTION: dict[str, Any] = {"completed": {"max_age": 0, "keep_last": 0}}
IDLE_SECONDS = 20
PODS_OF_NAMESPACE = 2500  # of those that are created finished: Kubernetes is tested with 3,000
DURATION, WAIT = "apiserver_request_duration_seconds", "apiserver_flowcontrol_request_wait_duration_seconds"
REQUESTS = {
    "create a pod": {"verb": "POST", "resource": "pods", "subresource": ""},
    "bind it to a node": {"verb": "POST", "resource": "pods", "subresource": "binding"},
    "write its status": {"verb": "PATCH", "resource": "pods", "subresource": "status"},
    "list pods": {"verb": "LIST", "resource": "pods"},
    "delete a pod": {"verb": "DELETE", "resource": "pods", "subresource": ""},
}


class Simulation:
    """Runs tasks and operations in a simulated cluster, and notes what they cost.

    Attributes:
        report: what was measured, for `simulation_page.render`.
    """

    def __init__(self, cluster: SimulatedCluster, bench: Bench, report: dict[str, Any]) -> None:
        self._cluster, self._bench, self.report = cluster, bench, report
        self._namespaces: list[str] = []

    def measure(self, part: str, name: str, work: Callable[[], dict[str, Any]], tasks: int = 0) -> None:
        """Do some work, and add what it cost to a part of the report. Work that failed is reported with its error."""
        print(f"{part}: {name}", flush=True)
        before = self._cluster.snapshot()
        try:
            done = work()
        except Exception as error:
            done = {"error": describe(error)}
        interval = Interval(before, self._cluster.snapshot())
        entry = {"name": name, "tasks": tasks, "seconds": interval.seconds, "load": os.getloadavg()[0]} | describe_interval(interval) | done
        self.report.setdefault(part, []).append(entry)
        (OUTPUT / "simulation.json").write_text(json.dumps(self.report, indent=1))
        print(f"  {entry['seconds']:.1f} s {entry.get('error', '')}", flush=True)

    # -- work -----------------------------------------------------------------------------------------------

    def batches(self, count: int, size: int, processes: int = 1, shared: bool = False, **options: Any) -> dict[str, Any]:
        """Run tasks until they have completed, in batches.

        Args:
            size: tasks of a batch.
            processes: batches at a time, each in a process of its own.
            shared: whether all are in one namespace; otherwise each has its own.
        """
        sizes = [min(size, count - start) for start in range(0, count, size)]
        first = self._bench.namespace()
        spaces = [first if shared or not number else self._bench.namespace() for number in range(len(sizes))]
        self._namespaces += dict.fromkeys(spaces)
        started = time.monotonic()
        with ThreadPoolExecutor(processes) as pool:
            samples = list(pool.map(partial(self._batch, options), spaces, sizes, range(len(sizes))))
        seconds = time.monotonic() - started
        found = [pod for space in dict.fromkeys(spaces) for pod in self._cluster.client.list(POD, space, transform=read_times)[0]]
        return _describe_samples(samples) | {"seconds": seconds, "processes": processes, "batch": size} | describe_times(found)

    def _batch(self, options: dict[str, Any], namespace: str, size: int, number: int) -> Sample:
        tasks = [{"name": f"task-{number}-{index}"} for index in range(size)]
        common = scale.scheduling(POOL) | {"image": "busybox", "command": ["true"], "labels": LABEL, "concurrency": size, "state": "completed"}
        return self._bench.operation("task_pod", **(common | {"namespace": namespace, "tasks": tasks, "wait_timeout": 900} | options))

    def indexed(self, completions: int) -> dict[str, Any]:
        """Run one Indexed Job."""
        job = {"tasks": [{"name": "indexed"}], "kind": "Job", "completion_mode": "Indexed", "completions": completions, "parallelism": completions}
        common = scale.scheduling(POOL) | {"image": "busybox", "command": ["true"], "state": "completed", "wait_timeout": 900}
        namespace = self._bench.namespace()
        self._namespaces.append(namespace)
        return _describe_samples([self._bench.operation("task_pod", **(common | job | {"namespace": namespace}))])

    def operation(self, name: str, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        """Run an operation once, in a process of its own."""
        return _describe_samples([self._bench.operation(name, check_mode, **options)])

    def inventory(self) -> dict[str, Any]:
        """Read all pods as an inventory."""
        source = self._bench.directory / "simulation.pods.yml"
        options = {"kubeconfig": self._bench.kubeconfig, "all_namespaces": True, "label_selectors": [MANAGED], "only_running": False}
        source.write_text(json.dumps({"plugin": "podwright.core.pods"} | options))
        command = [str(BIN / "ansible-inventory"), "-i", str(source), "--list", "--output", str(self._bench.directory / "inventory.json")]
        return _describe_samples(
            [run(command, environment={"ANSIBLE_CONFIG": str(ROOT / "tests/ansible.cfg"), "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FATAL": "true"})[0]]
        )

    def clear(self) -> None:
        """Delete what the batches so far have left."""
        for namespace in self._namespaces:
            self._bench.operation("pod_gc", namespace=namespace, reclaim=["Job", "ConfigMap"], reclaim_age=0, **RETENTION)
        self._namespaces.clear()

    # -- parts ----------------------------------------------------------------------------------------------

    def compare_settings(self, tasks: int) -> None:
        """The same work with the limits of Kubernetes' defaults, and with higher ones."""
        few = max(tasks // 10, 10)
        for name in ("defaults", "1,000 requests a second"):
            self.measure("settings", name, partial(self.batches, tasks, tasks), tasks)
            self.measure("settings", name, partial(self.batches, few, few, kind="Job"), few)
            self.measure("settings", name, partial(self.indexed, tasks // 2), tasks // 2)
            if name == "defaults":
                self._cluster.raise_limits()
        self.clear()

    def compare_processes(self, tasks: int) -> None:
        """The same tasks in one batch, in several at a time, and with their pods deleted."""
        for processes in (1, 2, 4):
            self.measure("processes", f"{processes} × {tasks // processes:,}", partial(self.batches, tasks, tasks // processes, processes), tasks)
        self.measure("processes", f"2 × {tasks // 2:,} in one namespace", partial(self.batches, tasks, tasks // 2, 2, shared=True), tasks)
        self.measure("processes", f"1 × {tasks:,}, concurrency 100", partial(self.batches, tasks, tasks, concurrency=100), tasks)
        for record in (True, False):
            name = f"1 × {tasks:,}, cleanup on_success, record {str(record).lower()}"
            self.measure("processes", name, partial(self.batches, tasks, tasks, cleanup="on_success", record=record), tasks)
        self.clear()

    def grow(self, sizes: list[int], batch: int, processes: int, most: int) -> None:
        """Add tasks, whose pods stay, and read them at each size. Of those of a size, at most that many run; the pods of the others are created finished."""
        reached = 0
        for size in sizes:
            count = min(size - reached, most)
            self._add_finished(size - reached - count)
            self.measure("growth", f"{size:,}", partial(self.batches, count, batch, processes), count)
            reached = size
            pods = {"all_namespaces": True, "label_selectors": [MANAGED]}
            reads: dict[str, Callable[[], dict[str, Any]]] = {
                "`pod_info`, the first 500": partial(self.operation, "pod_info", **pods, limit=500),
                "`pod_info`, `metadata_only`": partial(self.operation, "pod_info", **pods, metadata_only=True),
                "`pod_info`": partial(self.operation, "pod_info", **pods),
                "`pod_gc`, the plan": partial(self.operation, "pod_gc", True, namespaces=["*"], **RETENTION),
                "`pod_report`": partial(self.operation, "pod_report", namespaces=["*"], dest=str(self._bench.directory / "report.html")),
                "the inventory `pods`": self.inventory,
            }
            for name, work in reads.items():
                self.measure(f"reading {size:,}", name, work)
        self._namespaces.clear()  # these pods stay

    def _add_finished(self, count: int) -> None:
        """Create pods of tasks that have succeeded, in namespaces of their own, each on another node."""
        for number, start in enumerate(range(0, count, PODS_OF_NAMESPACE)):
            scale.add_finished_pods(self._cluster.client, self._bench.namespace(), min(PODS_OF_NAMESPACE, count - start), f"{POOL}-{number}")

    def collect_garbage(self, tasks: int) -> None:
        """Delete all pods."""
        self.measure("garbage", "pod_gc", partial(self.operation, "pod_gc", namespaces=["*"], **RETENTION), tasks)


def idle() -> dict[str, Any]:
    """Wait, to measure what the nodes alone cost."""
    time.sleep(IDLE_SECONDS)
    return {}


def describe_interval(interval: Interval) -> dict[str, Any]:
    """What was used: by components, by requests (count and quantiles in seconds), and how large etcd is then, in bytes."""
    requests = {}
    for name, labels in REQUESTS.items():
        count = interval.increase(f"{DURATION}_count", **labels)
        if count:
            requests[name] = [count, interval.quantile(DURATION, 0.5, **labels), interval.quantile(DURATION, 0.99, **labels)]
    processes = interval.after.processes
    level = {"priority_level": "workload-low"}
    storage = [value for (name, _labels), value in interval.after.samples.items() if name == "apiserver_storage_size_bytes"]
    seats = [value for (name, found), value in interval.after.samples.items() if name.endswith("nominal_limit_seats") and level.items() <= dict(found).items()]
    return {
        "cpu": {name: interval.cpu(name) for name in processes},
        "memory": {name: process.memory for name, process in processes.items()},
        "peak": {name: process.peak for name, process in processes.items()},
        "requests": requests,
        "all_requests": interval.increase(f"{DURATION}_count"),
        "watch_events": interval.increase("apiserver_watch_events_total", resource="pods"),
        "waited": interval.quantile(WAIT, 0.99, execute="true", **level),
        "rejected": interval.increase("apiserver_flowcontrol_rejected_requests_total"),
        "seats": max(seats, default=None),
        "etcd_seconds": interval.quantile("etcd_request_duration_seconds", 0.99),
        "etcd_bytes": max(storage, default=None),
    }


def _describe_samples(samples: list[Sample]) -> dict[str, Any]:
    """What processes of Podwright took: the longest, the CPU time of all, the memory of the largest in bytes."""
    return {
        "seconds": max(sample.seconds for sample in samples),
        "client_cpu": sum(sample.cpu for sample in samples),
        "client_peak": max(sample.peak for sample in samples),
    }


def read_times(pod: dict[str, Any]) -> list[float | None]:
    """When a pod was created, scheduled and finished; None for what has not happened."""
    status = pod.get("status") or {}
    scheduled = next((one["lastTransitionTime"] for one in status.get("conditions", ()) if one["type"] == "PodScheduled" and one["status"] == "True"), None)
    finished = next((one["state"]["terminated"]["finishedAt"] for one in status.get("containerStatuses", ()) if "terminated" in one["state"]), None)
    return [text and parse_timestamp(text) for text in (pod["metadata"]["creationTimestamp"], scheduled, finished)]


def describe_times(pods: list[list[float | None]]) -> dict[str, Any]:
    """How many pods have finished, and the median and the 99th percentile of the seconds until they were scheduled and finished."""
    found: dict[str, Any] = {"finished": sum(finished is not None for _created, _scheduled, finished in pods)}
    for number, name in ((1, "until_scheduled"), (2, "until_finished")):
        waited = sorted(pod[number] - pod[0] for pod in pods if pod[number] is not None)  # type: ignore[operator]
        if waited:
            found[name] = [waited[len(waited) // 2], waited[len(waited) * 99 // 100]]
    return found


def main() -> None:
    """Measure everything, and write JSON and Markdown."""
    parser = argparse.ArgumentParser(prog="make simulation ARGS=…", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", default="5000,10000,20000,50000", help="sizes at which is measured, in order (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=5000, help="tasks of a batch (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="batches at a time (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=2000, help="tasks with which settings are compared, or 0 not to compare them (default: %(default)s)")
    parser.add_argument("--run", type=int, help="tasks that run to reach each size, at most; the pods of the others are created finished (default: all)")
    parser.add_argument("--publish", action="store_true", help="also write docs/scale.md")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.pods.split(",")]
    OUTPUT.mkdir(exist_ok=True)
    machine = f"{os.cpu_count()} cores, {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 30} GiB, Python {platform.python_version()}"
    command = " ".join(["make simulation", *([f"ARGS='{' '.join(sys.argv[1:])}'"] if sys.argv[1:] else [])])
    report: dict[str, Any] = {"command": command, "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "machine": machine}
    report |= {"kubernetes": KUBERNETES_VERSION, "nodes": arguments.nodes}
    with tempfile.TemporaryDirectory() as directory, simulated_cluster(Path(directory)) as cluster:
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        bench = Bench(Peers(), False, Path(directory))
        simulation = Simulation(cluster, bench, report)
        with bench.client:
            started = time.monotonic()
            cluster.add_nodes(arguments.nodes)
            report["nodes_seconds"] = time.monotonic() - started
            simulation.measure("idle", "idle", idle)
            if arguments.tasks:
                simulation.compare_settings(arguments.tasks // 2)
            else:
                cluster.raise_limits()
            simulation.grow(sizes, arguments.batch, arguments.processes, arguments.run or sizes[-1])
            if arguments.tasks:
                simulation.compare_processes(arguments.tasks)
            simulation.collect_garbage(sizes[-1])
    generated = simulation_page.render(report)
    print(generated)
    (OUTPUT / "simulation.md").write_text(generated)
    if arguments.publish:
        PAGE.write_text(page.replace_section(PAGE.read_text(), BEGIN, END, generated))


if __name__ == "__main__":
    main()
