# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reconciler on a real API server: requests in the audit log, drift, other field managers, check mode."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, NAMESPACE

from ..support.waiting import wait_for

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"tier": "front"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            # No node has the label: the subject is the object, and its pods never start.
            "spec": {"nodeSelector": {"no": "such"}, "containers": [{"name": "web", "image": "busybox", "env": [{"name": "COLOUR", "value": "blue"}]}]},
        },
    },
}
CLUSTER_ROLE = BUILT_IN["rbac.authorization.k8s.io/v1", "ClusterRole"]
DEFINITION = BUILT_IN["apiextensions.k8s.io/v1", "CustomResourceDefinition"]
QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "limits"}, "spec": {"hard": {"pods": "10", "requests.cpu": "2000m"}}}
POLICY = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}


def apply(definition, **options):
    """A task that applies a set without waiting."""
    return {"name": "Apply", "podwright.core.resource_set": {"definition": definition, "wait": False, **options}}


def counted(entries):
    """Requests by (verb, resource)."""
    return Counter((entry["verb"], entry["objectRef"]["resource"]) for entry in entries)


@pytest.mark.parametrize("name", [None, "many"])
def test_unchanged_set_costs_one_list_per_kind(name, play, namespace, audit):
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"item-{n}"}, "data": {"n": str(n)}} for n in range(100)]
    objects += [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"item-{n}"}, "stringData": {"n": f"value-{n}"}} for n in range(100)]
    options = {"name": name} if name else {}
    assert play([apply(objects, **options)], namespace=namespace).is_changed
    assert not play([apply(objects, **options)], namespace=namespace, kubeconfig=audit.kubeconfig).is_changed
    requests = counted(audit.entries())
    expected = {("list", "configmaps"): 1, ("list", "secrets"): 1}
    assert requests == (expected | {("get", "configmaps"): 1} if name else expected)  # the named set's parent is read, too


def test_drift_is_reported_and_repaired(play, namespace, client):
    definition = [DEPLOYMENT, QUOTA, POLICY]
    play([apply(definition)], namespace=namespace)
    kinds = {m["kind"]: BUILT_IN[m["apiVersion"], m["kind"]] for m in definition}
    by_hand = {
        "Deployment": {
            "metadata": {"labels": {"tier": None}},
            "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "busybox", "env": [{"name": "COLOUR", "value": "red"}]}]}}},
        },
        "ResourceQuota": {"spec": {"hard": {"pods": "20"}}},
    }
    for kind, body in by_hand.items():
        client.patch(kinds[kind], namespace, {"Deployment": "web", "ResourceQuota": "limits"}[kind], body, "kubectl-edit", MERGE_PATCH)
    client.delete(kinds["NetworkPolicy"], namespace, "deny")
    checked = play([apply(definition)], "--check", namespace=namespace).of("Apply")
    repaired = play([apply(definition)], namespace=namespace).of("Apply")
    assert checked["plan"] == repaired["plan"]
    patches = {entry["kind"]: entry for entry in repaired["plan"]}
    assert sorted(operation["path"] for operation in patches["Deployment"]["patch"]) == ["/metadata/labels", "/spec/template/spec/containers/0/env/0/value"]
    assert patches["ResourceQuota"]["patch"] == [{"op": "replace", "path": "/spec/hard/pods", "value": "10"}]
    assert patches["NetworkPolicy"]["action"] == "create"
    assert not play([apply(definition)], namespace=namespace).is_changed


def test_every_character_is_applied_as_it_is(play, namespace, client):
    text = "\N{GRINNING FACE}\U000e0041\ufeff\u2028\u0085\x7f\u202e\t\r\n'\"\\ \\ud83d\\ude00: #"
    definition = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "text", "annotations": {"text": text}}, "data": {"text": text}}
    assert play([apply(definition)], namespace=namespace).is_changed
    live = client.get(BUILT_IN["v1", "ConfigMap"], namespace, "text")
    assert live["data"] == live["metadata"]["annotations"] == {"text": text}
    assert not play([apply(definition)], namespace=namespace).is_changed


def test_namespace_that_is_being_deleted_is_named_and_its_next_objects_are_predicted(play, make_namespace, client):
    namespace, config_map = make_namespace(), BUILT_IN["v1", "ConfigMap"]
    stuck = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stuck", "finalizers": ["example.com/stay"]}}
    client.create(config_map, namespace, stuck, "test")
    client.delete(NAMESPACE, None, namespace)
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"level": "info"}}
    both = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, settings]
    try:
        refused = play([apply(settings)], namespace=namespace, expect=2).of("Apply")["msg"]
        assert f"Run the task again when the namespace is deleted: kubectl get namespace {namespace}" in refused and "webhook" not in refused
        assert play([apply(both, wait=True) | {"check_mode": True}], namespace=namespace).of("Apply")["summary"] == {"create": 2}
    finally:
        client.patch(config_map, namespace, "stuck", {"metadata": {"finalizers": None}}, "test", MERGE_PATCH)
    assert play([apply(both, wait=True)], namespace=namespace).of("Apply")["summary"] == {"create": 2}
    assert client.get(config_map, namespace, "settings")["data"] == {"level": "info"}


def test_replicas_of_an_autoscaled_object_are_kept(play, namespace, client):
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {"minReplicas": 3, "maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    }
    deployments = BUILT_IN["apps/v1", "Deployment"]
    play([apply([DEPLOYMENT])], namespace=namespace)
    # The moment the autoscaler joins, replicas are ours alone: they must be handed over, not reset to 1.
    play([apply([DEPLOYMENT, autoscaler])], namespace=namespace)
    assert client.get(deployments, namespace, "web")["spec"]["replicas"] >= 2
    client.patch(deployments, namespace, "web", {"spec": {"replicas": 4}}, "kube-controller-manager", MERGE_PATCH, subresource="scale")
    again = play([apply([DEPLOYMENT, autoscaler])], namespace=namespace)
    assert not again.is_changed
    assert client.get(deployments, namespace, "web")["spec"]["replicas"] != 2


def test_fields_of_other_managers_are_kept(play, namespace, client):
    play([apply([DEPLOYMENT])], namespace=namespace)
    sidecar = [{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "injected", "image": "busybox"}}]
    client.patch(BUILT_IN["apps/v1", "Deployment"], namespace, "web", sidecar, "a-webhook")
    assert not play([apply([DEPLOYMENT])], namespace=namespace).is_changed
    containers = client.get(BUILT_IN["apps/v1", "Deployment"], namespace, "web")["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["web", "injected"]


def test_conflicts_fail_if_not_taken_over(play, namespace):
    for manager in ("somebody", "another"):
        theirs = {"metadata": {"name": "limits", "labels": {manager: "owner"}}, "spec": {"hard": {"pods": "10"}}}
        play([apply([QUOTA | theirs], field_manager=manager, conflicts="fail")], namespace=namespace)
    ours = QUOTA | {"spec": {"hard": {"pods": "7"}}}
    refused = play([apply([ours], conflicts="fail")], namespace=namespace, expect=2).of("Apply")
    assert all(words in refused["msg"] for words in ("somebody", "another", "set conflicts to take"))
    assert play([apply([ours])], namespace=namespace).is_changed


def test_fields_of_client_side_tools_are_taken_over(play, namespace, client):
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "old", "namespace": namespace}, "data": {"named": "1", "theirs": "2"}}
    kind = BUILT_IN["v1", "ConfigMap"]
    client.create(kind, namespace, manifest, "kubectl-client-side-apply")
    for data, patch in (({"named": "1"}, None), ({}, [{"op": "remove", "path": "/data/named"}])):
        ours = manifest | {"data": data}
        checked = play([apply([ours])], "--check", namespace=namespace).of("Apply")
        applied = play([apply([ours])], namespace=namespace).of("Apply")
        assert checked["plan"] == applied["plan"] and applied["plan"][0]["patch"] == (patch or [])
    assert client.get(kind, namespace, "old")["data"] == {"theirs": "2"}


def test_rules_of_an_aggregated_cluster_role_are_left_to_their_controller(play, namespace, client):
    role, label = f"gather-{namespace}", {f"aggregate-to-{namespace}": "true"}
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    part = {"apiVersion": CLUSTER_ROLE.api_version, "kind": "ClusterRole", "metadata": {"name": f"{role}-part", "labels": label}, "rules": rules}
    whole = part | {"metadata": {"name": role}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": label}]}, "rules": []}
    options = {"namespace": namespace, "name": "roles"}
    play([apply([part, whole], **options)])
    wait_for(lambda: client.get(CLUSTER_ROLE, None, role).get("rules") == rules)
    copied = client.get(CLUSTER_ROLE, None, role)
    for definition in (whole, copied):
        assert not play([apply([part, definition], **options)]).is_changed
        assert client.get(CLUSTER_ROLE, None, role)["rules"] == rules
    play([apply(None, state="absent", **options)])


def test_killed_prune_is_completed_by_the_next_run(play, namespace, client):
    def config(name):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}}

    play([apply([config("a"), config("b"), POLICY], name="s", prune=True)], namespace=namespace)
    result = play([apply([config("a")], name="s", prune=True)], namespace=namespace).of("Apply")
    assert {entry["name"] for entry in result["plan"] if entry["action"] == "delete"} == {"b", "deny"}
    parent = client.get(BUILT_IN["v1", "ConfigMap"], namespace, "podwright-set-s")
    assert parent["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap"
    assert not play([apply([config("a")], name="s", prune=True)], namespace=namespace).is_changed


def test_custom_objects_are_applied_with_their_definition(play, namespace, client):
    group = f"{namespace}.example.com"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Gadget", "plural": "gadgets", "singular": "gadget"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
            ],
        },
    }
    gadget = {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": "one"}, "spec": {"size": 3}}
    try:
        checked = play([apply([gadget, definition])], "--check", namespace=namespace).of("Apply")
        applied = play([apply([gadget, definition])], namespace=namespace).of("Apply")
        assert [entry["action"] for entry in checked["plan"]] == [entry["action"] for entry in applied["plan"]] == ["create", "create"]
        assert [entry["kind"] for entry in applied["plan"]] == ["CustomResourceDefinition", "Gadget"]
        assert not play([apply([gadget, definition])], namespace=namespace).is_changed
    finally:
        client.delete(DEFINITION, None, definition["metadata"]["name"])


def test_check_mode_predicts_what_roles_and_a_task_do_and_changes_nothing(play, client, audit):
    """What the demo does first, before its namespace exists."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    roles = {
        "namespace": {"namespace_name": namespace, "namespace_pod_security": "restricted"},
        "rbac": {"rbac_namespace": namespace, "rbac_service_accounts": [{"name": "runner", "purposes": ["task_running"]}]},
        "quota": {"quota_namespace": namespace, "quota_max_pods": 20, "quota_default_limits": {"cpu": "100m"}},
        "network_policy": {"network_policy_namespace": namespace},
        "storage": {"storage_namespace": namespace, "storage_claims": [{"name": "data", "size": "1Gi"}]},
    }
    tasks = [{"ansible.builtin.include_role": {"name": f"podwright.core.{role}"}, "vars": variables} for role, variables in roles.items()]
    task = {"name": "task", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["true"], "state": "completed"}
    tasks.append({"name": "Run", "podwright.core.task_pod": task | {"namespace": namespace}})
    checked = play(tasks, "--check", "--diff", kubeconfig=audit.kubeconfig)
    requests = audit.entries()
    reading = ("get", "list", "watch")
    assert requests and not [entry for entry in requests if entry["verb"] not in reading and "dryRun=All" not in entry["requestURI"]]
    done = play(tasks)
    plans = ([entry for entry in played.results if "plan" in entry["result"]] for played in (checked, done))
    # The role network_policy looks at its plan before it carries it out.
    predicted, happened = ([_steps(entry) for entry in entries if "Check all policies" not in entry["task"]] for entries in plans)
    assert predicted == happened and sum(map(len, happened)) > 12
    client.delete(NAMESPACE, None, namespace)


def _steps(entry):
    return [(step["action"], step["kind"], step["namespace"], step["name"]) for step in entry["result"]["plan"]]


@pytest.fixture
def gadgets(client):
    """A function that returns a definition, which is deleted at the end, from the fields of the spec in each of its versions; the last one is stored."""
    group = f"gadgets-{uuid.uuid4().hex[:8]}.example.com"

    def make(versions, **spec):
        entries = []
        for version, properties in versions.items():
            schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
            stored = version == list(versions)[-1]
            entries.append({"name": version, "served": True, "storage": stored, "schema": {"openAPIV3Schema": schema}})
        names = {"kind": "Gadget", "plural": "gadgets"}
        spec = {"group": group, "scope": "Namespaced", "names": names, "versions": entries} | spec
        return {"apiVersion": DEFINITION.api_version, "kind": DEFINITION.name, "metadata": {"name": f"gadgets.{group}"}, "spec": spec}

    yield make
    client.delete(DEFINITION, None, f"gadgets.{group}")


MAP, TEXT = {"type": "object", "additionalProperties": {"type": "string"}}, {"type": "string"}
SERVICE = {"conversionReviewVersions": ["v1"], "clientConfig": {"service": {"namespace": "default", "name": "absent"}}}


def test_custom_resources_follow_their_definition(play, namespace, gadgets):
    """Each state is applied after the one before it: check mode predicts it, and a second run changes nothing."""
    first, second = {"v1": {"text": TEXT, "map": MAP}}, {"v1": {"text": TEXT, "map": MAP}, "v2": {"text": TEXT, "map": MAP, "new": TEXT}}
    states = [
        (gadgets(first), "v1", {"text": "a", "map": {"a": "b"}}),
        (gadgets(first), "v1", {"text": "a", "map": {}}),  # an apply alone would set it to null
        (gadgets({"v1": second["v2"]}), "v1", {"text": "a", "map": {}, "new": "b"}),
        (gadgets(second), "v2", {"text": "b", "map": {}}),
        (gadgets(second), "v2", {"text": "b", "map": {}, "new": "c"}),  # which the version lacks in which it was applied at first
        (gadgets(second, conversion={"strategy": "Webhook", "webhook": SERVICE}), "v2", {"text": "b"}),
        (gadgets(second), "v2", {"text": "b", "map": {"c": "d"}}),
    ]
    for definition, version, spec in states:
        api_version = f"{definition['spec']['group']}/{version}"
        objects = [definition, {"apiVersion": api_version, "kind": "Gadget", "metadata": {"name": "g"}, "spec": spec}]
        predicted = play([apply(objects, set="gadgets")], "--check", namespace=namespace).of("Apply")
        applied = play([apply(objects, set="gadgets")], namespace=namespace).of("Apply")
        shown = [[(entry["kind"], entry["action"], entry["patch"]) for entry in result["plan"]] for result in (predicted, applied)]
        assert shown[0] == shown[1]
        assert applied["resources"][-1]["spec"] == spec
        assert not play([apply(objects, set="gadgets")], namespace=namespace).is_changed
