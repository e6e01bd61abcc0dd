# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real KEDA scales a Deployment by a query to a real Prometheus, to zero and back, in a cluster of its own."""

from __future__ import annotations

import functools
import os

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import AUTOSCALER
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import resource_set

from ..cluster import published
from ..cluster.cluster import Cluster
from ..cluster.configuration import Layout
from ..support.namespaces import namespaces
from ..support.operations import call
from ..support.prometheus import Prometheus
from ..support.waiting import wait_for
from .test_autoscaling import DEPLOYMENT, applied, deployment, step

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]  # other tests with clusters of their own use the same number
NUMBER = int(os.environ.get("PODWRIGHT_CLUSTER_NUMBER", "1"))
TIMEOUT = 300  # seconds; KEDA queries Prometheus every 30 s


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory):
    """A cluster with KEDA."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster") / "state", NUMBER)
    cluster.up()
    definition = published.keda(cluster.load_component("keda"))
    result = call(resource_set, {"kubeconfig": str(cluster.kubeconfig), "definition": definition, "wait_timeout": 300}, "default")
    assert not result["failed"], result["msg"]
    yield cluster
    cluster.down()


@pytest.fixture
def own_client(own_cluster):
    """A Client of that cluster."""
    with Client(Configuration({"kubeconfig": str(own_cluster.kubeconfig)})) as client:
        yield client


@pytest.fixture
def own_namespace(own_client):
    """A function that creates a namespace in that cluster; all are deleted afterwards."""
    yield from namespaces(own_client)


@pytest.mark.parametrize("mode", ["action", "module"])
def test_keda_scales_to_zero_and_back(play, own_cluster, own_client, own_namespace, tmp_path, mode):
    place = own_namespace()
    run = functools.partial(play, kubeconfig=own_cluster.kubeconfig, namespace=place, mode=mode)

    def has(replicas):
        return lambda: own_client.get(DEPLOYMENT, place, "web")["spec"]["replicas"] == replicas

    with Prometheus(tmp_path, Layout(own_cluster.state, NUMBER).host_address) as prometheus:
        prometheus.set_load(0)
        scale = step("Scale", prometheus.url, min_replicas=0, scale_down_cooldown=5, scale_up_cooldown=0, wait=True)
        before = {"name": "Before", "podwright.core.pod_autoscale": {"name": "web", "target_cpu": 50}}
        played = run([applied("Apply", deployment()), before, scale])
        scaled = played.of("Scale")
        assert scaled["engine"] == "keda" and [change["action"] for change in scaled["plan"]] == ["delete", "create"], scaled["plan"]
        assert [item["metadata"]["name"] for item in own_client.list(AUTOSCALER, place)[0]] == ["keda-hpa-web"]
        wait_for(has(0), TIMEOUT)
        assert not run([applied("Apply", deployment()), scale]).is_changed and has(0)(), "applying its manifest does not start it"
        prometheus.set_load(25)
        wait_for(has(3), TIMEOUT)
        again = run([applied("Apply", deployment()), scale])
        assert not again.is_changed and again.of("Scale")["replicas"]["desired"] == 3 and again.of("Scale")["metrics"]
        fixed = run([{"name": "Fixed", "podwright.core.pod_autoscale": {"name": "web", "replicas": 1}}], expect=2).of("Fixed")
        assert fixed["reason"] == "Autoscaled"
        prometheus.set_load(0)
        wait_for(has(0), TIMEOUT)
        absent = {"name": "Absent", "podwright.core.pod_autoscale": {"name": "web", "state": "absent"}}
        played = run([absent, absent | {"name": "Again"}])
        assert played.of("Absent")["changed"] and not played.of("Again")["changed"]
        wait_for(lambda: not own_client.list(AUTOSCALER, place)[0], TIMEOUT)
