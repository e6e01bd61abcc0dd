# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects of the local cluster, each with its API path and a body for server-side apply."""

from __future__ import annotations


def bootstrap(node_address: str) -> list[dict]:
    """Objects that must exist before the first pod: the Service kube-dns."""
    return _service("kube-dns", node_address, "10.96.0.10", [("dns", 53, "UDP"), ("dns-tcp", 53, "TCP")])


def addons(node_address: str) -> list[dict]:
    """The metrics API, with a Service without selector for the process of metrics-server."""
    api_service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "metrics-server", "namespace": "kube-system", "port": 4443},
        },
    }
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    return [*_service("metrics-server", node_address, None, [("https", 4443, "TCP")]), {"path": path, "body": api_service}]


def _service(name: str, address: str, cluster_ip: str | None, ports: list[tuple[str, int, str]]) -> list[dict]:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"name": n, "port": p, "protocol": t} for n, p, t in ports]} | ({"clusterIP": cluster_ip} if cluster_ip else {}),
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-node", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": n, "port": p, "protocol": t} for n, p, t in ports],
    }
    return [
        {"path": "/api/v1/namespaces/kube-system/services", "body": service},
        {"path": "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", "body": endpoints},
    ]
