# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects on a real API server that are in their desired state although their controllers do nothing: no waiting."""

from __future__ import annotations

import copy
import threading

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import is_serving
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import key_of, merge
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.reconciler import Reconciler, ReconcilerOptions
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.wait import wait_until_ready

from ..support.outcomes import checked

POD = {"containers": [{"name": "web", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}], "terminationGracePeriodSeconds": 0}


def workload(kind, **spec):
    template = {"metadata": {"labels": {"app": "web"}}, "spec": POD}
    manifest = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}}
    return manifest | {"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template} | spec}


def apply(client, namespace, *manifests, timeout=20):
    checked(Reconciler(client, ReconcilerOptions(wait_timeout=timeout), Console()).apply(copy.deepcopy(list(manifests)), namespace))


@pytest.mark.parametrize(
    "manifest",
    [
        workload("StatefulSet", replicas=1, serviceName="web", updateStrategy={"type": "OnDelete"}),
        workload("StatefulSet", replicas=2, serviceName="web", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}),
        workload("DaemonSet", updateStrategy={"type": "OnDelete"}),
        workload("Deployment", replicas=1, paused=True),
    ],
    ids=["StatefulSet OnDelete", "StatefulSet partition", "DaemonSet OnDelete", "Deployment paused"],
)
def test_pods_that_their_controller_does_not_update_are_not_awaited(manifest, namespace, client):
    apply(client, namespace, manifest)
    apply(client, namespace, merge(manifest, {"spec": {"template": {"metadata": {"annotations": {"a": "changed"}}}}}))


NOWHERE, ANYWHERE = ({"spec": {"template": {"spec": {"nodeSelector": selector}}}} for selector in ({"example.com/none": "x"}, None))
PATCHES = {kind: [{"spec": {"replicas": replicas}} for replicas in (0, 1)] for kind in ("Deployment", "StatefulSet")} | {"DaemonSet": [NOWHERE, ANYWHERE]}


@pytest.mark.parametrize("kind", PATCHES)
def test_workload_whose_pods_are_deleted_and_created_is_not_ready_without_them(kind, namespace, client):
    """Its status counts pods that its controller has deleted already, under load in a quarter of all cases."""
    options = {"Deployment": {"replicas": 1}, "StatefulSet": {"replicas": 1, "serviceName": "web"}, "DaemonSet": {}}
    manifest = workload(kind, **options[kind])
    apply(client, namespace, manifest)
    resource, (away, back) = BUILT_IN["apps/v1", kind], PATCHES[kind]
    for turn in range(8):
        client.patch(resource, namespace, "web", away, "test", MERGE_PATCH)
        threading.Event().wait(turn / 100)  # the moments at which the controllers read and write
        item = client.patch(resource, namespace, "web", back, "test", MERGE_PATCH)
        wait_until_ready(client, {key_of(item, resource): (resource, item)}, 20, Console())
        assert any(map(is_serving, client.list(BUILT_IN["v1", "Pod"], namespace)[0])), turn


def test_suspended_job_and_claim_without_a_pod_are_not_awaited(namespace, client):
    name = f"{namespace}-late"
    kind = BUILT_IN["storage.k8s.io/v1", "StorageClass"]
    storage_class = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer", "metadata": {"name": name}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "later"}}
    job["spec"] = {"suspend": True, "template": {"spec": POD | {"restartPolicy": "Never"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}}
    claim["spec"] = {"storageClassName": name, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    try:
        apply(client, namespace, {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass"} | storage_class, job, claim)
    finally:
        client.delete(kind, None, name)


def test_blocked_deletion_of_a_namespace_names_its_content(make_namespace, client):
    namespace = make_namespace()
    kind = BUILT_IN["v1", "ConfigMap"]
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    client.create(kind, namespace, held, "test")
    try:
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        with pytest.raises(PodwrightError, match=r"example\.com/hold"):
            checked(Reconciler(client, ReconcilerOptions(wait_timeout=15), Console()).remove([manifest], "default"))
    finally:
        client.patch(kind, namespace, "held", {"metadata": {"finalizers": None}}, "test", MERGE_PATCH)


def test_task_whose_old_pod_remains_names_the_finalizer(namespace, client, play):
    pod = BUILT_IN["v1", "Pod"]

    def task(number, **options):
        common = {"image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 0, "wait_timeout": 4}
        return [{"name": "Run", "podwright.core.task_pod": {"name": "held", "command": ["sleep", str(number)], **common, **options}}]

    play(task(3600, wait_timeout=60), namespace=namespace)
    client.patch(pod, namespace, "held", {"metadata": {"finalizers": ["example.com/hold"]}}, "test", MERGE_PATCH)
    try:
        for tasks in (task(3601), task(3601, state="absent", wait=True)):
            assert "example.com/hold" in play(tasks, namespace=namespace, expect=2).of("Run")["msg"]
    finally:
        client.patch(pod, namespace, "held", {"metadata": {"finalizers": None}}, "test", MERGE_PATCH)
