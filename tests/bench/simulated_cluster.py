# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A local cluster of its own with simulated nodes (KWOK) and the settings of Kubernetes, for `make simulation`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import ANYTHING, Request

from ..cluster import build
from ..cluster.cluster import Cluster
from ..support import scale
from ..support.permissions import binding, service_account
from ..support.waiting import wait_for
from .usage import Snapshot, take_snapshot

NUMBER = int(os.environ.get("PODWRIGHT_CLUSTER_NUMBER", "2"))
POOL, LABEL = "scale", {"simulated": "completes"}
RUNNING_MILLISECONDS = 1000, 3000  # how long a task runs, at least and at most
USER = service_account("default", "simulation")
EVERYTHING = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
# What the local cluster sets otherwise than Kubernetes. Without the garbage collection of terminated pods, so that all stay.
DEFAULTS = {
    "etcd": (),
    "apiserver": ("--audit-policy-file=", "--audit-log-path=", "--max-requests-inflight=400", "--max-mutating-requests-inflight=200"),
    "controller-manager": ("--terminated-pod-gc-threshold=0",),
    "scheduler": (),
}
LIMITED = ("scheduler", "controller-manager")  # whose requests are limited by default: to 50 a second, and to 20 of each controller


class SimulatedCluster:
    """The cluster.

    Attributes:
        client: of its administrator.
        kubeconfig: of a service account that may do everything: priority and fairness does not exempt it, as it does administrators.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.client = Client(Configuration({"kubeconfig": str(cluster.kubeconfig)}))
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        config["users"][0]["user"]["as"] = USER
        self.kubeconfig = cluster.state / "simulation.kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(config))
        for item in binding(USER, None, EVERYTHING, "simulation"):
            self.client.create(BUILT_IN["rbac.authorization.k8s.io/v1", item["kind"]], None, item, "simulation")

    def snapshot(self) -> Snapshot:
        """What the API server has counted and each process has used until now."""
        metrics = self.client.fetch(Request("GET", "/metrics", accept=ANYTHING)).decode()
        return take_snapshot(metrics, self._cluster.processes())

    def add_nodes(self, count: int) -> None:
        """Create simulated nodes, and wait until they are ready."""
        scale.add_nodes(self.client, [f"{POOL}-{number}" for number in range(count)], pool=POOL)
        wait_for(lambda: all(map(_is_ready, self.client.list(scale.NODE, label_selector=f"type={POOL}")[0])), 300)

    def raise_limits(self) -> None:
        """Restart the scheduler and the controllers, so that they may send 1,000 requests a second."""
        for name in LIMITED:
            self._cluster.kill(name)
            self._cluster.restart(name, "--kube-api-qps=1000", "--kube-api-burst=1000")


@contextlib.contextmanager
def simulated_cluster(directory: Path) -> Iterator[SimulatedCluster]:
    """Start a cluster whose etcd writes to the disk before it answers. It is deleted afterwards.

    Args:
        directory: for its state.
    """
    cluster = Cluster(directory / "state", NUMBER, durable=True)
    try:
        cluster.up(addons=False)
        for name in reversed(DEFAULTS):
            cluster.kill(name)
        for name, flags in DEFAULTS.items():
            cluster.restart(name, *flags, GOGC="100")
        cluster.wait_until_ready()
        cluster.start_kwok(yaml.safe_dump(_completion()))
        simulated = SimulatedCluster(cluster)
        with simulated.client:
            yield simulated
    finally:
        cluster.down()


def _is_ready(node: dict) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", ()))


def _completion() -> dict:
    """A stage that completes tasks, made of that which completes the pods of Jobs."""
    stages = yaml.safe_load_all((build.directory(build.KWOK) / "data.yml").read_text())
    stage = next(stage for stage in stages if stage["metadata"]["name"] == "pod-complete")
    conditions = [one for one in stage["spec"]["selector"]["matchExpressions"] if "ownerReferences" not in one["key"]]
    shortest, longest = RUNNING_MILLISECONDS
    delay = {"durationMilliseconds": shortest, "jitterDurationMilliseconds": longest}
    spec = stage["spec"] | {"selector": {"matchLabels": LABEL, "matchExpressions": conditions}, "delay": delay}
    return stage | {"metadata": {"name": "task-complete"}, "spec": spec}
