# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real KEDA scales a Deployment by a query to a real Prometheus, to zero and back, in a cluster of its own."""

from __future__ import annotations

import functools

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import AUTOSCALER

from ..cluster import published
from ..cluster.configuration import Layout
from ..support.component_cluster import NUMBER, component_cluster
from ..support.prometheus import Prometheus
from ..support.waiting import wait_for
from .test_autoscaling import DEPLOYMENT, applied, deployment, step

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]  # other tests with clusters of their own use the same number
TIMEOUT = 300  # seconds; KEDA queries Prometheus every 30 s


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory):
    """A cluster with KEDA."""
    with component_cluster(tmp_path_factory.mktemp("cluster"), "keda", published.keda) as cluster:
        yield cluster


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
