# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects of other tools on a real API server: fields in the manifest are taken over, other fields are kept."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH, STRATEGIC_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, NAMESPACE
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.reconciler import Reconciler, ReconcilerOptions

from ..support.outcomes import checked

CONTAINER = {"name": "web", "image": "busybox", "env": [{"name": "COLOUR", "value": "blue"}, {"name": "SIZE", "value": "1"}]}
SIDECAR = {"name": "proxy", "image": "busybox", "ports": [{"containerPort": 80}, {"containerPort": 81}]}
VOLUMES = [{"name": "one", "configMap": {"name": "one"}}, {"name": "two", "emptyDir": {}}]
OBJECTS = {
    "ConfigMap": {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "web", "labels": {"app": "web", "team": "a"}, "annotations": {"note": "x"}},
        "data": {"one": "1", "two": "2"},
    },
    "Service": {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web", "tier": "x"}, "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81, "protocol": "UDP"}]},
    },
    "Deployment": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web", "x": "y"}}, "spec": {"containers": [CONTAINER, SIDECAR], "volumes": VOLUMES}},
        },
    },
}
POD = ("spec", "template", "spec")
# (kind, path of a mapping's key or of a list's item): what a manifest may drop.
DROPS = [
    ("ConfigMap", ("data", "two")),
    ("ConfigMap", ("data",)),
    ("ConfigMap", ("metadata", "labels", "team")),
    ("ConfigMap", ("metadata", "annotations")),
    ("Service", ("spec", "ports", 1)),
    ("Service", ("spec", "ports", 0)),
    ("Deployment", ("spec", "template", "metadata", "labels", "x")),
    ("Deployment", (*POD, "containers", 1)),
    ("Deployment", (*POD, "containers", 0, "env", 1)),
    ("Deployment", (*POD, "containers", 0, "env")),
    ("Deployment", (*POD, "containers", 1, "ports", 0)),
    ("Deployment", (*POD, "volumes", 0)),
    ("Deployment", (*POD, "volumes")),
]


def run(client, namespace, manifest, **options):
    """The only Change of an apply."""
    return checked(Reconciler(client, ReconcilerOptions(wait=False, **options), Console()).apply([copy.deepcopy(manifest)], namespace)).changes[0]


def settled(item):
    """The spec of an object and its field managers, without what its controller writes."""
    entries = [(e["manager"], e["operation"], e["fieldsV1"]) for e in item["metadata"]["managedFields"] if e["manager"] != "kube-controller-manager"]
    return item.get("spec"), item.get("data"), item["metadata"].get("labels"), sorted(map(str, entries))


def both(client, namespace, manifest):
    """The Change of an apply; check mode must predict the same and write nothing."""
    kind = BUILT_IN[manifest["apiVersion"], manifest["kind"]]
    before = client.get(kind, namespace, manifest["metadata"]["name"])
    predicted = run(client, namespace, manifest, check_mode=True)
    assert settled(client.get(kind, namespace, manifest["metadata"]["name"])) == settled(before)
    done = run(client, namespace, manifest)
    assert (predicted.action, predicted.patch, predicted.note) == (done.action, done.patch, done.note)
    return done


def without(manifest, path):
    """The manifest without the value at the path."""
    rest = copy.deepcopy(manifest)
    parent = rest
    for step in path[:-1]:
        parent = parent[step]
    del parent[path[-1]]
    return rest


@pytest.mark.parametrize("manager", ["kubectl-client-side-apply", "OpenAPI-Generator", "podwright"])
@pytest.mark.parametrize("kind_name", OBJECTS)
def test_same_manifest_changes_nothing_in_an_object_of_another_tool(kind_name, manager, namespace, client):
    manifest = OBJECTS[kind_name]
    client.create(BUILT_IN[manifest["apiVersion"], kind_name], namespace, manifest, manager)
    assert both(client, namespace, manifest).action == "none"
    before = settled(client.get(BUILT_IN[manifest["apiVersion"], kind_name], namespace, "web"))
    done = both(client, namespace, manifest)
    assert done.action == "none" and done.after is done.before and settled(done.after) == before


@pytest.mark.parametrize(("kind_name", "path"), DROPS)
def test_field_taken_over_is_removed_when_the_manifest_drops_it(kind_name, path, namespace, client):
    manifest = OBJECTS[kind_name]
    kind = BUILT_IN[manifest["apiVersion"], kind_name]
    client.create(kind, namespace, manifest, "kubectl-client-side-apply")
    both(client, namespace, manifest)
    done = both(client, namespace, without(manifest, path))
    assert [operation["op"] for operation in done.patch] in (["remove"], ["replace", "remove"], ["remove", "remove"])
    fresh = without(manifest, path) | {"metadata": without(manifest, path)["metadata"] | {"name": "fresh"}}
    expected = run(client, namespace, fresh).after
    left = client.get(kind, namespace, "web")
    assert left.get("data") == expected.get("data") and left["metadata"].get("labels") == expected["metadata"].get("labels")
    for item in (left, expected):
        for name in ("clusterIP", "clusterIPs"):
            item.get("spec", {}).pop(name, None)
    assert left.get("spec") == expected.get("spec")


@pytest.mark.parametrize(("kind_name", "path"), DROPS)
def test_field_that_the_manifest_never_had_is_kept(kind_name, path, namespace, client):
    manifest = OBJECTS[kind_name]
    kind = BUILT_IN[manifest["apiVersion"], kind_name]
    created = client.create(kind, namespace, manifest, "OpenAPI-Generator")
    assert both(client, namespace, without(manifest, path)).action == "none"
    after = client.get(kind, namespace, "web")
    assert [after.get(part) for part in ("spec", "data")] == [created.get(part) for part in ("spec", "data")]
    assert after["metadata"].get("labels") == created["metadata"].get("labels")
    owned = {entry["operation"]: str(entry["fieldsV1"]) for entry in after["metadata"]["managedFields"] if not entry.get("subresource")}
    assert "f:" in owned["Update"]


def test_field_of_another_manager_is_removed_with_its_container(namespace, client):
    manifest = OBJECTS["Deployment"]
    run(client, namespace, manifest)
    added = {"spec": {"template": {"spec": {"containers": [{"name": "proxy", "env": [{"name": "DEBUG", "value": "1"}]}]}}}}
    client.patch(BUILT_IN["apps/v1", "Deployment"], namespace, "web", added, "kubectl-set", STRATEGIC_PATCH)
    assert both(client, namespace, manifest).action == "none"
    done = both(client, namespace, without(manifest, (*POD, "containers", 1)))
    assert [container["name"] for container in done.after["spec"]["template"]["spec"]["containers"]] == ["web"]


def test_object_moves_from_another_applier_and_can_be_shared_afterwards(namespace, client):
    manifest, kind = OBJECTS["ConfigMap"] | {"metadata": {"name": "web"}}, BUILT_IN["v1", "ConfigMap"]
    client.apply(kind, namespace, "web", manifest, "kubectl")
    smaller = without(manifest, ("data", "two"))
    assert both(client, namespace, smaller).action == "none"
    assert both(client, namespace, manifest).action == "none"
    client.apply(kind, namespace, "web", smaller, "kubectl")  # which stops applying `two`, and shares `one`
    assert both(client, namespace, without(manifest, ("data", "one"))).action == "none"
    assert both(client, namespace, without(manifest, ("data",))).patch == [{"op": "remove", "path": "/data/two"}]
    assert client.get(kind, namespace, "web")["data"] == {"one": "1"}


@pytest.mark.parametrize("manager", ["kubectl-client-side-apply", "podwright"])
def test_fields_that_exclude_each_other_take_the_place_of_the_former_ones(manager, namespace, client):
    """Also of defaults, which no manager owns; the API server words the refusals of an apply in several ways."""
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": {"minAvailable": 1}}
    workload = copy.deepcopy(OBJECTS["Deployment"])
    pod = workload["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "one"}, {"name": "two", "secret": {"secretName": "two"}}]
    pod["containers"][0] |= {"livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 7}, "lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}
    stateful = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}, "spec": workload["spec"] | {"serviceName": "web"}}
    for manifest in (budget, workload, stateful):
        kind = BUILT_IN[manifest["apiVersion"], manifest["kind"]]
        run(client, namespace, manifest) if manager == "podwright" else client.create(kind, namespace, manifest, manager)
    budget["spec"] = {"maxUnavailable": 1}
    workload["spec"]["strategy"], stateful["spec"]["updateStrategy"] = {"type": "Recreate"}, {"type": "OnDelete"}
    pod["volumes"] = [{"name": "one", "configMap": {"name": "one"}}, {"name": "two", "emptyDir": {}}]
    pod["containers"][0] |= {"livenessProbe": {"tcpSocket": {"port": 80}}, "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}
    pod["containers"][0]["env"] = [{"name": "COLOUR", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    for manifest in (budget, workload, stateful):
        assert both(client, namespace, manifest).action == "patch"
        assert both(client, namespace, manifest).action == "none"
    pod["volumes"] = [{"name": "one"}, {"name": "two"}]
    del pod["containers"][0]["livenessProbe"], pod["containers"][0]["lifecycle"]
    assert both(client, namespace, workload).action == "patch"  # without what is left of the fields: defaults that the manager owns


def test_a_namespace_keeps_the_labels_of_others(namespace, client):
    labels = {"metadata": {"labels": {"istio-injection": "enabled", "team": "payments"}, "annotations": {"contact": "a@example.com"}}}
    client.patch(NAMESPACE, None, namespace, labels, "kubectl-client-side-apply", MERGE_PATCH)
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"team": "billing"}}}
    assert both(client, namespace, manifest).patch == [{"op": "replace", "path": "/metadata/labels/team", "value": "billing"}]
    metadata = client.get(NAMESPACE, None, namespace)["metadata"]
    assert metadata["labels"]["istio-injection"] == "enabled" and metadata["annotations"]["contact"] == "a@example.com"


def test_the_role_keeps_the_labels_of_a_namespace(namespace, client, play):
    theirs = {"metadata": {"labels": {"istio-injection": "enabled"}, "annotations": {"contact": "a@example.com"}}}
    client.patch(NAMESPACE, None, namespace, theirs, "kubectl-client-side-apply", MERGE_PATCH)
    role = {"ansible.builtin.include_role": {"name": "podwright.core.namespace"}, "vars": {"namespace_name": namespace}}
    assert "and this role has not created it" in " ".join(play([role], "--check", expect=2).output.split())
    adopting = role | {"vars": role["vars"] | {"namespace_adopt": True}}
    play([adopting], "--check")
    play([adopting])
    metadata = client.get(NAMESPACE, None, namespace)["metadata"]
    assert metadata["labels"]["istio-injection"] == "enabled" and metadata["annotations"]["contact"] == "a@example.com"
    assert not play([role]).is_changed and not play([adopting]).is_changed
    deletion = role | {"vars": role["vars"] | {"namespace_state": "absent"}}
    assert "its annotation podwright.io/prune is disabled" in " ".join(play([deletion], expect=2).output.split())
    client.patch(NAMESPACE, None, namespace, {"metadata": {"annotations": {"podwright.io/prune": None}}}, "kubectl-annotate", MERGE_PATCH)
    assert not play([role]).is_changed
    play([deletion])
    assert client.get(NAMESPACE, None, namespace) is None


def test_nothing_is_taken_over_if_conflicts_fail(namespace, client):
    manifest = OBJECTS["ConfigMap"]
    client.create(BUILT_IN["v1", "ConfigMap"], namespace, manifest, "kubectl-client-side-apply")
    run(client, namespace, manifest, conflicts="fail")
    assert run(client, namespace, without(manifest, ("data", "two")), conflicts="fail").action == "none"
