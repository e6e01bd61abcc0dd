# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Named sets on a real API server: killed runs, members that controllers created, other sets."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CONFIG_MAP, NAMESPACE
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.reconciler import Reconciler, ReconcilerOptions
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.sets import PART_OF, ApplySet

from ..support.mortal_client import Killed, MortalClient
from ..support.outcomes import checked
from ..support.waiting import wait_for

RBAC = "rbac.authorization.k8s.io"
SLICE = BUILT_IN["discovery.k8s.io/v1", "EndpointSlice"]
KEPT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}


def members_of(namespace):
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": f"{namespace}-x"}
    return [
        KEPT,
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}},
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": role["name"]}, "rules": []},
        {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": {"name": "web"}, "roleRef": role},
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": f"{namespace}-x"}, "value": 1},
    ]


def run(client, namespace, verb, manifests=(), name="web", **options):
    reconciler = Reconciler(client, ReconcilerOptions(**{"concurrency": 1, "wait_timeout": 30, "prune": True} | options), Console())
    return checked(getattr(reconciler, verb)(copy.deepcopy(list(manifests)), namespace, name))


def members(client, namespace):
    """The members of the set that no controller created."""
    selector = f"{PART_OF}={ApplySet('web', namespace).id}"
    kinds = [BUILT_IN[key] for key in ((m["apiVersion"], m["kind"]) for m in members_of(namespace))]
    return [item["metadata"]["name"] for kind in kinds for item in client.list(kind, label_selector=selector)[0]]


def parent(client, namespace):
    return client.get(CONFIG_MAP, namespace, "podwright-set-web")


@pytest.mark.parametrize("after", [False, True])
def test_a_removal_killed_at_any_write_is_completed_by_the_next(after, namespace, client):
    for number in range(6):
        run(client, namespace, "apply", members_of(namespace))
        with pytest.raises(Killed):
            run(MortalClient(client, number, after), namespace, "remove")
        run(client, namespace, "remove")
        assert members(client, namespace) == [] and parent(client, namespace) is None


@pytest.mark.parametrize("after", [False, True])
def test_a_prune_killed_at_any_write_is_completed_by_the_next(after, namespace, client):
    for number in range(5):
        run(client, namespace, "apply", members_of(namespace))
        with pytest.raises(Killed):
            run(MortalClient(client, number, after), namespace, "apply", [KEPT])
        run(client, namespace, "apply", [KEPT])
        assert members(client, namespace) == ["kept"]
        assert parent(client, namespace)["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap"
        assert not run(client, namespace, "apply", [KEPT]).is_changed
    run(client, namespace, "remove")


def test_objects_that_controllers_created_are_kept(namespace, client):
    own = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "own"}, "addressType": "IPv4", "endpoints": []}
    service = members_of(namespace)[1]
    run(client, namespace, "apply", [service, own], wait=False)
    inherited = wait_for(lambda: [i for i in client.list(SLICE, namespace)[0] if PART_OF in i["metadata"]["labels"] and i["metadata"]["name"] != "own"])[0]
    done = run(client, namespace, "apply", [service])
    assert [change.key.name for change in done.changes if change.action == "delete"] == ["own"]
    assert client.get(SLICE, namespace, inherited["metadata"]["name"])["metadata"]["uid"] == inherited["metadata"]["uid"]
    assert not run(client, namespace, "apply", [service]).is_changed


def test_an_object_belongs_to_one_set(namespace, client):
    run(client, namespace, "apply", [KEPT])
    for check_mode in (True, False):
        with pytest.raises(PodwrightError, match=r"'kept'.*the set 'web'"):
            run(client, namespace, "apply", [KEPT], name="other", check_mode=check_mode)
    assert client.get(CONFIG_MAP, namespace, "podwright-set-other") is None
    assert not run(client, namespace, "apply", [KEPT]).is_changed


def test_a_set_is_removed_with_its_own_namespace(client, make_namespace):
    namespace = make_namespace()
    own = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    run(client, namespace, "apply", [own, *members_of(namespace)])
    with pytest.raises(Killed):
        run(MortalClient(client, 4, True), namespace, "remove")
    assert parent(client, namespace)
    predicted = run(client, namespace, "remove", check_mode=True)
    done = run(client, namespace, "remove")
    assert [(c.action, c.key) for c in predicted.changes] == [(c.action, c.key) for c in done.changes]
    assert members(client, namespace) == [] and client.get(NAMESPACE, None, namespace) is None


def test_custom_objects_and_their_definition_are_removed_however_often_a_run_is_killed(namespace, client):
    group = f"{namespace}.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {"group": group, "scope": "Namespaced", "names": {"kind": "Gadget", "plural": "gadgets", "singular": "gadget"}}
    spec["versions"] = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"gadgets.{group}"}, "spec": spec}
    gadget = {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": "one"}}
    kind = BUILT_IN["apiextensions.k8s.io/v1", "CustomResourceDefinition"]
    try:
        run(client, namespace, "apply", [definition, gadget])
        for write in (0, 1):  # the gadget, the definition
            with pytest.raises(Killed):
                run(MortalClient(client, write, after=write == 1), namespace, "remove")
        wait_for(lambda: not client.kinds.versions(group))
        assert parent(client, namespace)
        run(client, namespace, "remove")
        assert parent(client, namespace) is None
    finally:
        client.delete(kind, None, f"gadgets.{group}")


@pytest.mark.parametrize("verb", ["apply", "remove"])
def test_default_service_account_is_released_and_not_deleted(verb, namespace, client):
    kind = BUILT_IN["v1", "ServiceAccount"]
    before = client.get(kind, namespace, "default")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}, "imagePullSecrets": [{"name": "registry"}]}
    run(client, namespace, "apply", [KEPT, account])
    manifests = [KEPT] if verb == "apply" else []
    predicted = run(client, namespace, verb, manifests, check_mode=True)
    done = run(client, namespace, verb, manifests)
    assert [(c.action, c.key, c.patch) for c in predicted.changes] == [(c.action, c.key, c.patch) for c in done.changes]
    after = client.get(kind, namespace, "default")
    assert after["metadata"]["uid"] == before["metadata"]["uid"] and "imagePullSecrets" not in after and "labels" not in after["metadata"]
    assert not run(client, namespace, verb, manifests).is_changed
