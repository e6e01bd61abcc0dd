# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The port of a pod to which requests to a pod or Service are sent, as Kubernetes itself would send them."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.endpoint import Endpoint, find_pod_endpoint, find_service_endpoint
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

from .fake_cluster import FakeCluster

HTTP = {"name": "http", "containerPort": 8080}


@pytest.fixture
def cluster(tmp_path):
    return FakeCluster(tmp_path)


def add_pod(cluster, name, *ports, is_ready=True, phase="Running", **spec):
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": str(is_ready)}]}
    metadata = {"name": name, "namespace": "n", "labels": {"app": "web"}}
    cluster.objects["Pod", "n", name] = {"metadata": metadata, "spec": {"containers": [{"name": "c", "ports": list(ports)}], **spec}, "status": status}


def add_service(cluster, *ports, **spec):
    cluster.objects["Service", "n", "web"] = {"metadata": {"name": "web", "namespace": "n"}, "spec": {"selector": {"app": "web"}, "ports": ports, **spec}}


def test_port_names_of_sidecars_are_found(cluster):
    sidecar = {"name": "proxy", "restartPolicy": "Always", "ports": [HTTP, {"name": "quic", "containerPort": 5353, "protocol": "UDP"}]}
    setup = {"name": "setup", "ports": [{"name": "gone", "containerPort": 1}]}
    add_pod(cluster, "web", initContainers=[setup, sidecar])
    assert find_pod_endpoint(cluster, "n", "web", "http") == Endpoint("n", "web", 8080, "web", 8080)
    for name in ("gone", "quic"):
        with pytest.raises(PodwrightError, match=rf"'{name}' not found in pod 'web'; TCP ports: 8080 \(http\)"):
            find_pod_endpoint(cluster, "n", "web", name)


def test_a_pod_without_the_named_target_port_is_skipped(cluster):
    """An old pod, in which the port had another name: Kubernetes sends nothing to it."""
    add_pod(cluster, "a-old", {"containerPort": 8080})
    add_service(cluster, {"port": 80, "targetPort": "http"})
    with pytest.raises(PodwrightError, match="'http' not found in pod 'a-old'; TCP ports: 8080"):
        find_service_endpoint(cluster, "n", "web", "80")
    add_pod(cluster, "b-new", HTTP)
    assert find_service_endpoint(cluster, "n", "web", "80") == Endpoint("n", "b-new", 8080, "web.n.svc", 80)


@pytest.mark.parametrize(("cluster_ip", "host_port"), [("10.0.0.1", 80), ("None", 8081)])
def test_requests_name_the_port_at_which_a_service_is_reached(cluster_ip, host_port, cluster):
    add_pod(cluster, "a")
    add_service(cluster, {"name": "u", "port": 80, "protocol": "UDP", "targetPort": 5353}, {"name": "t", "port": 80, "targetPort": 8081}, clusterIP=cluster_ip)
    for port in ("80", "t"):
        assert find_service_endpoint(cluster, "n", "web", port) == Endpoint("n", "a", 8081, "web.n.svc", host_port)
    with pytest.raises(PodwrightError, match=r"'u' not found in Service 'web'; TCP ports: 80 \(t\)"):
        find_service_endpoint(cluster, "n", "web", "u")


def test_pods_that_are_not_ready_are_used_only_if_the_service_publishes_them(cluster):
    add_pod(cluster, "a", is_ready=False)
    add_pod(cluster, "done", is_ready=False, phase="Succeeded")
    add_service(cluster, {"port": 80})
    with pytest.raises(PodwrightError, match="has no ready pods; it selects 2 pods"):
        find_service_endpoint(cluster, "n", "web", "80")
    add_service(cluster, {"port": 80}, publishNotReadyAddresses=True)
    assert find_service_endpoint(cluster, "n", "web", "80").pod == "a"
    add_pod(cluster, "b")
    assert find_service_endpoint(cluster, "n", "web", "80").pod == "b"
    del cluster.objects["Pod", "n", "a"], cluster.objects["Pod", "n", "b"]
    with pytest.raises(PodwrightError, match="has no running pods"):
        find_service_endpoint(cluster, "n", "web", "80")
