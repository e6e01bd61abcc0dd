# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pod_gc against a real cluster: owners of any kind, what changes while it works, thousands of pods, and permissions."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import CONNECTION
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH, Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, NAMESPACE, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_gc

from ..outcomes import result_of
from ..scale import add_finished_pods
from .conftest import KUBECONFIG, ROOT, wait_for

DEFINITION = BUILT_IN["apiextensions.k8s.io/v1", "CustomResourceDefinition"]
MANAGED = {"app.kubernetes.io/managed-by": "podwright"}


def pod(name, node=None, labels=None, annotations=None, owners=()):
    metadata = {"name": name, "labels": MANAGED | (labels or {}), "annotations": annotations or {}, "ownerReferences": list(owners)}
    spec = {"containers": [{"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}]}
    spec |= {"terminationGracePeriodSeconds": 0} | ({"nodeName": node} if node else {"nodeSelector": {"no": "such"}})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def params(namespace, **options):
    return dict.fromkeys(CONNECTION) | {n: s.get("default") for n, s in pod_gc.ARGUMENTS.items()} | {"kubeconfig": KUBECONFIG, "namespace": namespace} | options


@pytest.fixture
def widgets(client):
    """A kind of the test's own."""
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "garbage.example.com", "names": names, "scope": "Namespaced", "versions": [version]}
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.garbage.example.com"}, "spec": spec}
    client.create(DEFINITION, None, body, "test")
    kind = wait_for(lambda: served(client))
    yield kind
    client.delete(DEFINITION, None, "widgets.garbage.example.com")


def served(client):
    try:
        return client.kinds.find_served("garbage.example.com", "Widget")
    except Exception:
        return None


def widget(client, kind, namespace, name):
    item = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name}}
    return client.create(kind, namespace, item, "test")


def below(item):
    """Labels and annotations of a pod whose parent this is, without the reference that Kubernetes itself would act on."""
    metadata = item["metadata"]
    return {"podwright.io/parent": metadata["uid"]}, {"podwright.io/parent": f"{item['apiVersion']} {item['kind']} {metadata['name']}"}


def test_owners_of_any_kind_are_known_by_their_uid(client, play, namespace, widgets, audit):
    alive, replaced = widget(client, widgets, namespace, "alive"), widget(client, widgets, namespace, "replaced")
    client.delete(widgets, namespace, "replaced")
    widget(client, widgets, namespace, "replaced")  # of the same name, and another one
    unknown = {"podwright.io/parent": "lost"}, {"podwright.io/parent": "unknown.example.com/v1 Gadget g"}
    for name, marks in {"kept": below(alive), "orphan": below(replaced), "unknown": unknown}.items():
        client.create(POD, namespace, pod(name, labels=marks[0], annotations=marks[1]), "test")
    found = play([{"name": "Sweep", "podwright.core.pod_gc": {"orphaned": True}}], namespace=namespace)
    swept = found.of("Sweep")
    assert [(e["name"], e["reason"]) for e in swept["deleted"]] == [("orphan", "its owner Widget replaced is gone")]
    reasons = {entry["name"]: entry["reason"] for entry in swept["kept"]}
    assert reasons == {"kept": "its owner Widget alive is alive", "unknown": "its owner Gadget g cannot be looked at"}
    assert "What Gadget owns is kept" in found.output
    lists = [entry["objectRef"]["resource"] for entry in audit() if entry["verb"] == "list"]
    assert sorted(lists) == ["pods", "widgets"], "one LIST a kind"


class Meddler(Client):
    """A Client in whose cluster something happens just before the first delete."""

    meddle = None

    def delete(self, *arguments, **options):
        """Let it happen, then delete."""
        act, self.meddle = self.meddle, None
        if act:
            act()
        return super().delete(*arguments, **options)


def test_what_changed_since_it_was_looked_at_stays(client, namespace, idle):
    """A pod of the same name that is another one by now, and one that has started since."""
    add_finished_pods(client, namespace, 1, idle)
    client.create(POD, namespace, pod("late", idle), "test")

    def meddle():
        client.delete(POD, namespace, "done-0", grace_period=0)
        client.create(POD, namespace, pod("done-0"), "test")
        started = {"name": "task", "state": {"running": {}}, "image": "busybox", "imageID": "", "ready": True, "restartCount": 0}
        client.patch(POD, namespace, "late", {"status": {"phase": "Running", "containerStatuses": [started]}}, "test", MERGE_PATCH, "status")

    meddler = Meddler(Configuration({"kubeconfig": KUBECONFIG}))
    meddler.meddle = meddle
    asked = params(namespace, completed={"max_age": 0, "keep_last": 0}, stuck={"max_age": 0, "force": False}, concurrency=1)
    task = Invocation(asked, False, False, Console(), meddler)
    result = result_of(pod_gc.OPERATION, task)
    task.close()
    assert result["deleted"] == [] and not result["changed"]
    assert [entry["reason"] for entry in result["kept"]] == ["it changed or was gone when it was to be deleted"] * 2
    assert {item["metadata"]["name"] for item in client.list(POD, namespace)[0]} == {"done-0", "late"}


def test_what_is_stuck_and_what_was_evicted(client, play, namespace, idle):
    for name in ("hangs", "evicted"):
        client.create(POD, namespace, pod(name, idle), "test")
    client.patch(
        POD, namespace, "evicted", {"status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"}}, "test", MERGE_PATCH, "status"
    )
    client.delete(POD, namespace, "hangs", grace_period=1)
    sweep = {"stuck": {"max_age": 0}, "evicted": True}
    gently, forced = {"name": "Gently", "podwright.core.pod_gc": sweep}, sweep | {"stuck": {"max_age": 0, "force": True}, "wait": True}
    played = play([gently, {"ansible.builtin.pause": {"seconds": 2}}, {"name": "By force", "podwright.core.pod_gc": forced}], namespace=namespace)
    assert [(e["name"], e["policy"]) for e in played.of("Gently")["deleted"]] == [("evicted", "evicted")]
    assert played.of("Gently")["kept"][0]["reason"] == "it is being deleted already (stuck.force would end that)"
    assert [(e["name"], e["policy"]) for e in played.of("By force")["deleted"]] == [("hangs", "stuck")]
    assert client.list(POD, namespace)[0] == []


def test_pods_whose_containers_have_been_started_are_never_stuck(client, play, namespace):
    """A crash loop, an init container that works, a pod whose sidecar cannot be pulled, and one that really is stuck."""
    box = {"image": "busybox", "imagePullPolicy": "IfNotPresent"}
    absent, stay, crash = {"image": "no.such/image", "imagePullPolicy": "Never"}, {"command": ["sleep", "3600"]}, {"command": ["false"]}
    pods = {
        "crash-loop": {"containers": [{"name": "task"} | box | crash]},
        "initializing": {"initContainers": [{"name": "init"} | box | stay], "containers": [{"name": "task"} | box | stay]},
        "lame": {"containers": [{"name": "task"} | box | stay, {"name": "sidecar"} | absent]},
        "stuck": {"containers": [{"name": "task"} | absent]},
    }
    for name, spec in pods.items():
        metadata = {"name": name, "labels": MANAGED}
        client.create(POD, namespace, {"metadata": metadata, "spec": spec | {"terminationGracePeriodSeconds": 0}}, "test")
    for name, reason in {"crash-loop": "CrashLoopBackOff", "lame": "ErrImageNeverPull", "stuck": "ErrImageNeverPull"}.items():
        wait_for(lambda name=name, reason=reason: reason in str(client.get(POD, namespace, name)["status"]))
    wait_for(lambda: "running" in str(client.get(POD, namespace, "initializing")["status"].get("initContainerStatuses")))
    wait_for(lambda: "running" in str(client.get(POD, namespace, "lame")["status"].get("containerStatuses")))
    sweep = play([{"name": "Sweep", "podwright.core.pod_gc": {"stuck": {"max_age": 0, "force": True}}}], namespace=namespace).of("Sweep")
    assert [(entry["name"], entry["policy"]) for entry in sweep["deleted"]] == [("stuck", "stuck")]
    assert {entry["name"] for entry in sweep["kept"]} == {"crash-loop", "initializing", "lame"}


def test_namespaces_that_do_not_exist_are_reported(play, namespace):
    sweep = {"name": "Sweep", "podwright.core.pod_gc": {"namespaces": [namespace, "no-such-namespace"], "completed": {}}}
    look = {"name": "Look", "podwright.core.pod_info": {"namespace": "no-such-namespace"}}
    played = play([sweep, look], namespace=namespace)
    for name in ("Sweep", "Look"):
        assert [line.split(".")[0] for line in played.of(name)["warnings"]] == ["Namespace 'no-such-namespace' not found"]


def test_a_namespaces_own_time_to_live(client, play, namespace, idle):
    add_finished_pods(client, namespace, 2, idle)
    client.patch(POD, namespace, "done-1", {"metadata": {"annotations": {"podwright.io/ttl": "999999999"}}}, "test", MERGE_PATCH)
    role = {"ansible.builtin.include_role": {"name": "podwright.core.quota"}}
    variables = {"quota_namespace": namespace, "quota_pod_ttl_seconds": 3600}
    sweep = {"name": "Sweep", "podwright.core.pod_gc": {"expired": True}}
    played = play([role | {"vars": variables}, role | {"vars": variables}, sweep], namespace=namespace)
    assert [entry["name"] for entry in played.of("Sweep")["deleted"]] == ["done-0"]
    assert [e["result"]["changed"] for e in played.results if e["task"].endswith("Ensure that the default TTL of pods is present")] == [True, False]
    play([role | {"vars": variables | {"quota_state": "absent"}}], namespace=namespace)
    assert "podwright.io/ttl" not in client.get(NAMESPACE, None, namespace)["metadata"].get("annotations", {})


def test_without_permission_it_says_so_and_does_not_try_each(client, play, namespace, idle, tmp_path, audit):
    add_finished_pods(client, namespace, 20, idle)
    api = "rbac.authorization.k8s.io/v1"
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "looker"}
    subjects = [{"kind": "User", "name": "looker", "apiGroup": "rbac.authorization.k8s.io"}]
    client.create(BUILT_IN[api, "Role"], namespace, {"apiVersion": api, "kind": "Role", "metadata": {"name": "looker"}, "rules": rules}, "test")
    binding = {"apiVersion": api, "kind": "RoleBinding", "metadata": {"name": "looker"}, "roleRef": reference, "subjects": subjects}
    client.create(BUILT_IN[api, "RoleBinding"], namespace, binding, "test")
    sweep = {"name": "Sweep", "podwright.core.pod_gc": {"completed": {}, "impersonate_user": "looker", "concurrency": 2}}
    result = play([sweep], namespace=namespace, expect=2).of("Sweep")
    assert result["msg"].startswith("20 of 20 deletes failed. Could not delete Pod 'done-") and "Grant the verb 'delete' on 'pods'" in result["msg"]
    assert len(result["errors"]) == 20 and result["deleted"] == [] and not result["changed"]
    assert len([entry for entry in audit() if entry["verb"] == "delete"]) <= 2


def test_all_namespaces_and_the_playbook_for_a_schedule(client, play, make_namespace, idle):
    places = [make_namespace(), make_namespace()]
    for place in places:
        add_finished_pods(client, place, 2, idle)
    sweep = {"name": "Sweep", "podwright.core.pod_gc": {"namespaces": ["*"], "completed": {}}, "check_mode": True}
    everywhere = {(entry["namespace"], entry["name"]) for entry in play([sweep]).of("Sweep")["deleted"]}
    assert {(place, f"done-{number}") for place in places for number in range(2)} <= everywhere
    book = yaml.safe_load((ROOT / "playbooks/gc.yml").read_text())[0]
    variables = book["vars"] | {"podwright_namespaces": places, "podwright_completed": {"max_age": 3600, "keep_last": 1}}
    played = play(book["tasks"], namespace=places[0], variables=variables)
    assert "Pod " + places[0] + "/done-" in played.output and "2 objects deleted, 2 kept" in played.output
    assert len(client.list(POD, places[0])[0]) == len(client.list(POD, places[1])[0]) == 1
