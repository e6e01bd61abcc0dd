# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real driver of dynamic resource allocation (DRA) on the node of the local cluster. Its GPUs are simulated: a container finds variables of those it gets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import Kind
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import resource_set

from ..cluster.configuration import NODE
from .operations import call
from .waiting import wait_for

DRIVER = "gpu.example.com"  # the driver's own name for itself, and that of its DeviceClass
DEVICES = 2
SLICE = Kind("resource.k8s.io/v1", "ResourceSlice", "resourceslices", namespaced=False)
_API = "rbac.authorization.k8s.io/v1"
_ALL = ["get", "list", "watch", "create", "update", "patch", "delete"]
_RULES = [
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
    {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["resource.k8s.io"], "resources": ["resourceslices"], "verbs": _ALL},
]


@contextlib.contextmanager
def device_driver(client: Client, namespace: str, kubelet: Path) -> Iterator[None]:
    """Run the driver in a namespace, until it has registered itself with the kubelet and offers its devices.

    Args:
        kubelet: the directory of the kubelet.
    """
    definition = _manifests(namespace, str(kubelet))
    try:
        result = call(resource_set, {"name": "device-driver", "definition": definition, "wait_timeout": 120}, namespace)
        assert not result["failed"], result["msg"]
        wait_for(lambda: sum(len(item["spec"]["devices"]) for item in slices(client)) == DEVICES)
        yield
    finally:
        call(resource_set, {"name": "device-driver", "state": "absent", "wait": True, "wait_timeout": 120}, namespace)
        for item in slices(client):  # the kubelet deletes them a while after the driver has stopped
            client.delete(SLICE, None, item["metadata"]["name"])


def slices(client: Client) -> list[dict]:
    """The ResourceSlices of the driver."""
    return [item for item in client.list(SLICE)[0] if item["spec"]["driver"] == DRIVER]


def _manifests(namespace: str, kubelet: str) -> list[dict]:
    directories = {"registry": f"{kubelet}/plugins_registry", "plugins": f"{kubelet}/plugins", "cdi": "/var/run/cdi"}
    environment = {
        "NODE_NAME": NODE,
        "NUM_DEVICES": str(DEVICES),
        "CDI_ROOT": directories["cdi"],
        "KUBELET_REGISTRAR_DIRECTORY_PATH": directories["registry"],
        "KUBELET_PLUGINS_DIRECTORY_PATH": directories["plugins"],
    }
    container = {
        "name": "driver",
        "image": "podwright/dra-example-kubeletplugin",
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in directories.items()],
    }
    pod = {
        "serviceAccountName": "device-driver",
        "nodeName": NODE,
        "terminationGracePeriodSeconds": 2,
        "containers": [container],
        "volumes": [{"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}} for name, path in directories.items()],
    }
    role, account = f"device-driver-{namespace}", {"kind": "ServiceAccount", "name": "device-driver", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    selectors = [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "device-driver", "namespace": namespace}},
        {"apiVersion": _API, "kind": "ClusterRole", "metadata": {"name": role}, "rules": _RULES},
        {"apiVersion": _API, "kind": "ClusterRoleBinding", "metadata": {"name": role}, "roleRef": reference, "subjects": [account]},
        {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": DRIVER}, "spec": {"selectors": selectors}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "device-driver", "namespace": namespace}, "spec": pod},
    ]
