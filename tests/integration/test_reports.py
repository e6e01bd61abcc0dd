# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users of this and other tools reported in public, and only a real API server or ansible-playbook can show; unit tests cover the rest."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, DEFINITION, NAMESPACE
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_autoscale, pod_logs, resource_set, task_pod

from ..support.operations import IMAGE, call
from ..support.waiting import wait_for

ACCOUNT, NODE = BUILT_IN["v1", "ServiceAccount"], BUILT_IN["v1", "Node"]


def workload(kind, name, labels, selector, api_version="apps/v1", **container):
    main = {"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", f"echo of {name}; sleep 3600"]} | container
    template = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [main]}}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": {"selector": selector, "template": template}}


def test_logs_are_those_of_the_pods_that_an_object_selects(namespace):
    labels = {"matchLabels": {"app": "web"}}
    expressions = [{"key": "tier", "operator": "NotIn", "values": ["cache"]}, {"key": "tier", "operator": "Exists"}]
    manifests = [
        workload("Deployment", "both", {"app": "web", "tier": "front"}, labels | {"matchExpressions": expressions}),
        workload("Deployment", "cache", {"app": "web", "tier": "cache"}, {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["cache"]}]}),
        workload("ReplicationController", "flat", {"app": "flat"}, {"app": "flat"}, "v1"),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "flat"}, "spec": {"selector": {"app": "flat"}, "ports": [{"port": 80}]}},
    ]
    call(resource_set, {"definition": manifests}, namespace)
    for kind, name in (("Deployment", "both"), ("Deployment", "cache"), ("ReplicationController", "flat"), ("Service", "flat")):
        wait_for(lambda kind=kind, name=name: call(pod_logs, {"kind": kind, "name": name}, namespace)["log_lines"] == [f"of {name}"])


def test_a_default_limit_below_the_requests_is_named_as_the_cause(namespace):
    spec = {"limits": [{"type": "Container", "default": {"memory": "64Mi"}}]}
    call(resource_set, {"definition": {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": spec}}, namespace)
    requests = {"requests": {"memory": "128Mi"}}
    task = IMAGE | {"name": "hungry", "command": ["true"], "resources": requests, "state": "completed", "wait_timeout": 10}
    failures = [call(task_pod, task | {"kind": kind}, namespace) for kind in ("Pod", "Job")]
    deployment = workload("Deployment", "hungry", {"app": "hungry"}, {"matchLabels": {"app": "hungry"}}, resources=requests)
    failures.append(call(resource_set, {"definition": deployment, "wait_timeout": 10}, namespace))
    for failure in failures:
        assert failure["failed"] and "memory limit of 64Mi" in failure["msg"] and f"LimitRange in namespace '{namespace}'" in failure["hint"], failure


def test_replicas_of_a_custom_kind_are_those_of_its_scale_subresource(namespace, client):
    group = f"{namespace}.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"scale": scale}}
    names = {"kind": "Cluster", "plural": "clusters", "singular": "cluster"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    definition = {"apiVersion": DEFINITION.api_version, "kind": DEFINITION.name, "metadata": {"name": f"clusters.{group}"}, "spec": spec}
    cluster = {"apiVersion": f"{group}/v1", "kind": "Cluster", "metadata": {"name": "db"}, "spec": {"size": 5}}
    options = {"api_version": f"{group}/v1", "kind": "Cluster", "name": "db", "replicas": 1, "wait": False}
    try:
        call(resource_set, {"definition": [definition, cluster]}, namespace)
        predicted, done = (call(pod_autoscale, options, namespace, check_mode) for check_mode in (True, False))
        assert done["replicas"] == {"before": 5, "after": 1, "desired": 1} and done["result"]["spec"] == {"size": 1}
        assert predicted["plan"] == done["plan"] and predicted["replicas"] == done["replicas"]
        assert not call(pod_autoscale, options, namespace)["changed"]
    finally:
        client.delete(DEFINITION, None, f"clusters.{group}")


def role(name, **variables):
    return {"name": f"Role {name}", "ansible.builtin.include_role": {"name": f"podwright.core.{name}"}, "vars": variables}


def test_roles_and_tasks_that_apply_the_same_objects_keep_the_fields_of_each_other(make_namespace, client, play):
    one, other = make_namespace(), make_namespace()
    metadata = {"name": f"{one}-node", "labels": {"kubernetes.io/hostname": one}}
    client.create(NODE, None, {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"unschedulable": True}}, "test")
    secret = {"name": "registry", "registry": "r.example.com", "username": "u", "password": "p"}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "annotations": {"team": "a"}}}
    labeled = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one, "labels": {"team": "a"}}}
    tasks = [
        role("namespace", namespace_name=one, namespace_adopt=True, namespace_image_pull_secrets=[secret]),
        role("rbac", rbac_namespace=one, rbac_service_accounts=[{"name": "default", "purposes": ["reading"]}]),
        role("quota", quota_namespace=one, quota_pod_ttl_seconds=60),
        {"name": "Label", "podwright.core.resource_set": {"definition": [account, labeled]}},
        role("storage", storage_namespace=one, storage_node_labels={metadata["name"]: {"both": "x", "one": "x"}}),
        role("storage", storage_namespace=other, storage_node_labels={metadata["name"]: {"both": "x", "other": "x"}}),
    ]
    objects = (NAMESPACE, one), (ACCOUNT, "default")

    def versions():
        return [client.get(kind, one if kind.namespaced else None, name)["metadata"]["resourceVersion"] for kind, name in objects]

    try:
        play(tasks, namespace=one)
        before = versions()
        play([*tasks, tasks[-1] | {"vars": tasks[-1]["vars"] | {"storage_state": "absent"}}], namespace=one)
        namespace, default = (client.get(kind, one if kind.namespaced else None, name) for kind, name in objects)
        assert namespace["metadata"]["labels"].items() >= {"team": "a", "pod-security.kubernetes.io/enforce": "baseline"}.items()
        assert namespace["metadata"]["annotations"]["podwright.io/ttl"] == "60"
        assert default["imagePullSecrets"] == [{"name": "registry"}] and default["metadata"]["annotations"] == {"team": "a"}
        assert versions() == before
        labels = client.get(NODE, None, metadata["name"])["metadata"]["labels"]
        assert labels.items() >= {"both": "x", "one": "x"}.items() and "other" not in labels
    finally:
        client.delete(NODE, None, metadata["name"])


@pytest.mark.parametrize("user", ["deploy"])
def test_the_user_of_a_container_counts_and_not_that_of_the_play(user, play, namespace, tmp_path):
    script = tmp_path / "say.sh"
    script.write_text("#!/bin/sh\necho user $(id -u) at $HOME\n")
    volume = {"name": "home", "empty_dir": True, "mount_path": "/home"}
    start = IMAGE | {"name": "host", "command": ["sleep", "3600"], "run_as_user": 65532, "fs_group": 65532, "env": {"HOME": "/home"}, "working_dir": "/home"}
    host = {"name": "host", "ansible_connection": "podwright.core.pod", "ansible_podwright_namespace": namespace, "ansible_user": user}
    played = play(
        [
            {"podwright.core.task_pod": start | {"volumes": [volume]}},
            {"ansible.builtin.add_host": host},
            {"name": "Say", "ansible.builtin.script": str(script), "delegate_to": "host"},
            {"name": "List", "ansible.builtin.raw": "ls -A /home", "delegate_to": "host"},
        ],
        namespace=namespace,
    )
    assert "user 65532 at /home" in played.of("Say")["stdout"] and f"~{user}" not in played.of("List")["stdout"]
