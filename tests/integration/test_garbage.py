# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pod_gc on a real cluster: owners of any kind, concurrent changes, stuck and evicted pods, TTLs and permissions."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import CONNECTION
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH, Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CONFIG_MAP, NAMESPACE, POD, Kind
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_gc, task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import task_completion

from ..support.environment import KUBECONFIG, ROOT
from ..support.operations import IMAGE, call
from ..support.outcomes import result_of
from ..support.scale import add_finished_pods
from ..support.waiting import wait_for

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
    """The Kind of a custom resource definition that exists during the test."""
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "garbage.example.com", "names": names, "scope": "Namespaced", "versions": [version]}
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.garbage.example.com"}, "spec": spec}
    client.create(DEFINITION, None, body, "test")
    kind = Kind("garbage.example.com/v1", "Widget", "widgets")
    wait_for(lambda: is_served(client, kind))
    yield kind
    client.delete(DEFINITION, None, "widgets.garbage.example.com")


def is_served(client, kind):
    try:
        client.kinds.find_served(kind.group, kind.name)  # discovery lags behind the requests that are answered
        client.list(kind)
        return True
    except PodwrightError:
        return False


def create_widget(client, kind, namespace, name):
    item = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name}}
    return client.create(kind, namespace, item, "test")


def parent_marks(item):
    """Labels and annotations of a pod whose parent is this object, without the owner reference on which Kubernetes itself would act."""
    metadata = item["metadata"]
    return {"podwright.io/parent": metadata["uid"]}, {"podwright.io/parent": f"{item['apiVersion']} {item['kind']} {metadata['name']}"}


def test_owners_of_any_kind_are_identified_by_uid(client, play, namespace, widgets, audit):
    alive, replaced = create_widget(client, widgets, namespace, "alive"), create_widget(client, widgets, namespace, "replaced")
    client.delete(widgets, namespace, "replaced")
    create_widget(client, widgets, namespace, "replaced")  # a new object with the same name
    unknown = {"podwright.io/parent": "lost"}, {"podwright.io/parent": "unknown.example.com/v1 Gadget g"}
    for name, marks in {"kept": parent_marks(alive), "orphan": parent_marks(replaced), "unknown": unknown}.items():
        client.create(POD, namespace, pod(name, labels=marks[0], annotations=marks[1]), "test")
    played = play([{"name": "Delete", "podwright.core.pod_gc": {"orphaned": True}}], namespace=namespace, kubeconfig=audit.kubeconfig)
    result = played.of("Delete")
    assert [(e["name"], e["reason"]) for e in result["deleted"]] == [("orphan", "its owner Widget replaced does not exist")]
    reasons = {entry["name"]: entry["reason"] for entry in result["kept"]}
    assert reasons == {"kept": "its owner Widget alive exists", "unknown": "its owner Gadget g cannot be read"}
    assert "Owners of kind Gadget could not be listed, so that their dependents are kept" in played.output
    lists = [entry["objectRef"]["resource"] for entry in audit.entries() if entry["verb"] == "list"]
    assert sorted(lists) == ["pods", "widgets"], "one LIST for each kind"


class InterferingClient(Client):
    """A Client in whose cluster something changes immediately before the first deletion."""

    interfere = None

    def delete(self, *arguments, **options):
        """Change the cluster, then delete."""
        interfere, self.interfere = self.interfere, None
        if interfere:
            interfere()
        return super().delete(*arguments, **options)


def test_pods_that_changed_since_they_were_listed_are_kept(client, namespace, idle):
    """One was replaced by a pod of the same name, the other one started."""
    add_finished_pods(client, namespace, 1, idle)
    client.create(POD, namespace, pod("late", idle), "test")

    def interfere():
        client.delete(POD, namespace, "done-0", grace_period=0)
        client.create(POD, namespace, pod("done-0"), "test")
        started = {"name": "task", "state": {"running": {}}, "image": "busybox", "imageID": "", "ready": True, "restartCount": 0}
        client.patch(POD, namespace, "late", {"status": {"phase": "Running", "containerStatuses": [started]}}, "test", MERGE_PATCH, "status")

    interfering = InterferingClient(Configuration({"kubeconfig": KUBECONFIG}))
    interfering.interfere = interfere
    options = params(namespace, completed={"max_age": 0, "keep_last": 0}, stuck={"max_age": 0, "force": False}, concurrency=1)
    invocation = Invocation(options, False, False, Console(), interfering)
    result = result_of(pod_gc.OPERATION, invocation)
    invocation.close()
    assert result["deleted"] == [] and not result["changed"]
    assert [entry["reason"] for entry in result["kept"]] == ["it changed or was deleted by another client before its deletion"] * 2
    assert {item["metadata"]["name"] for item in client.list(POD, namespace)[0]} == {"done-0", "late"}


def test_stuck_and_evicted_pods_are_deleted(client, play, namespace, idle):
    for name in ("hangs", "evicted"):
        client.create(POD, namespace, pod(name, idle), "test")
    client.patch(
        POD, namespace, "evicted", {"status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"}}, "test", MERGE_PATCH, "status"
    )
    client.delete(POD, namespace, "hangs", grace_period=1)
    graceful = {"stuck": {"max_age": 0}, "evicted": True}
    forced = graceful | {"stuck": {"max_age": 0, "force": True}, "wait": True}
    tasks = [
        {"name": "Gracefully", "podwright.core.pod_gc": graceful},
        {"ansible.builtin.pause": {"seconds": 2}},
        {"name": "By force", "podwright.core.pod_gc": forced},
    ]
    played = play(tasks, namespace=namespace)
    assert [(e["name"], e["policy"]) for e in played.of("Gracefully")["deleted"]] == [("evicted", "evicted")]
    assert played.of("Gracefully")["kept"][0]["reason"] == "it is being deleted; stuck.force deletes it without a grace period"
    assert [(e["name"], e["policy"]) for e in played.of("By force")["deleted"]] == [("hangs", "stuck")]
    assert client.list(POD, namespace)[0] == []


def test_pods_whose_containers_have_been_started_are_never_stuck(client, play, namespace):
    """A crash loop, a running init container, a sidecar whose image is missing, and a pod that is stuck."""
    box = {"image": "busybox", "imagePullPolicy": "IfNotPresent"}
    missing, stay, crash = {"image": "no.such/image", "imagePullPolicy": "Never"}, {"command": ["sleep", "3600"]}, {"command": ["false"]}
    pods = {
        "crash-loop": {"containers": [{"name": "task"} | box | crash]},
        "initializing": {"initContainers": [{"name": "init"} | box | stay], "containers": [{"name": "task"} | box | stay]},
        "sidecar-pending": {"containers": [{"name": "task"} | box | stay, {"name": "sidecar"} | missing]},
        "stuck": {"containers": [{"name": "task"} | missing]},
    }
    for name, spec in pods.items():
        metadata = {"name": name, "labels": MANAGED}
        client.create(POD, namespace, {"metadata": metadata, "spec": spec | {"terminationGracePeriodSeconds": 0}}, "test")
    for name, reason in {"crash-loop": "CrashLoopBackOff", "sidecar-pending": "ErrImageNeverPull", "stuck": "ErrImageNeverPull"}.items():
        wait_for(lambda name=name, reason=reason: reason in str(client.get(POD, namespace, name)["status"]))
    wait_for(lambda: "running" in str(client.get(POD, namespace, "initializing")["status"].get("initContainerStatuses")))
    wait_for(lambda: "running" in str(client.get(POD, namespace, "sidecar-pending")["status"].get("containerStatuses")))
    delete = play([{"name": "Delete", "podwright.core.pod_gc": {"stuck": {"max_age": 0, "force": True}}}], namespace=namespace).of("Delete")
    assert [(entry["name"], entry["policy"]) for entry in delete["deleted"]] == [("stuck", "stuck")]
    assert {entry["name"] for entry in delete["kept"]} == {"crash-loop", "initializing", "sidecar-pending"}


def test_namespaces_that_do_not_exist_are_reported(play, namespace):
    delete = {"name": "Delete", "podwright.core.pod_gc": {"namespaces": [namespace, "no-such-namespace"], "completed": {"max_age": 0}}}
    read = {"name": "Read", "podwright.core.pod_info": {"namespace": "no-such-namespace"}}
    played = play([delete, read], namespace=namespace)
    for name in ("Delete", "Read"):
        assert [line.split(" in https")[0] for line in played.of(name)["warnings"]] == ["Namespace 'no-such-namespace' not found"]


def test_a_namespace_sets_the_default_ttl_of_its_pods(client, play, namespace, idle):
    add_finished_pods(client, namespace, 3, idle)
    for name, ttl in (("done-1", "999999999"), ("done-2", "7d")):
        client.patch(POD, namespace, name, {"metadata": {"annotations": {"podwright.io/ttl": ttl}}}, "test", MERGE_PATCH)
    role = {"ansible.builtin.include_role": {"name": "podwright.core.quota"}}
    variables = {"quota_namespace": namespace, "quota_pod_ttl_seconds": 3600}
    delete = {"name": "Delete", "podwright.core.pod_gc": {"expired": True}}
    played = play([role | {"vars": variables}, role | {"vars": variables}, delete], namespace=namespace)
    assert [entry["name"] for entry in played.of("Delete")["deleted"]] == ["done-0"]
    assert played.of("Delete")["kept"][1]["reason"] == "its annotation podwright.io/ttl is not a number of seconds"
    assert [e["result"]["changed"] for e in played.results if e["task"].endswith("Ensure that the default TTL of pods is present")] == [True, False]
    play([role | {"vars": variables | {"quota_state": "absent"}}], namespace=namespace)
    assert "podwright.io/ttl" not in client.get(NAMESPACE, None, namespace)["metadata"].get("annotations", {})


def test_pods_that_the_selector_omits_protect_the_objects_of_their_tasks(client, play, namespace):
    client.create(POD, namespace, pod("runs", labels={"podwright.io/task": "build"}), "test")
    for name, task in (("used", "build"), ("unused", "test")):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"team": "a", "podwright.io/task": task}}}
        client.create(CONFIG_MAP, namespace, body, "test")
    options = {"label_selectors": ["team=a"], "reclaim": ["ConfigMap", "Job"], "reclaim_age": 0}
    result = play([{"name": "Delete", "podwright.core.pod_gc": options}], namespace=namespace).of("Delete")
    assert [entry["name"] for entry in result["deleted"]] == ["unused"]
    assert [entry["reason"] for entry in result["kept"]] == ["the Pod runs of its task exists"]


def test_a_forbidden_deletion_is_reported_and_requested_only_once(client, play, namespace, idle, tmp_path, audit):
    add_finished_pods(client, namespace, 20, idle)
    api = "rbac.authorization.k8s.io/v1"
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    subjects = [{"kind": "User", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"}]
    client.create(BUILT_IN[api, "Role"], namespace, {"apiVersion": api, "kind": "Role", "metadata": {"name": "reader"}, "rules": rules}, "test")
    binding = {"apiVersion": api, "kind": "RoleBinding", "metadata": {"name": "reader"}, "roleRef": reference, "subjects": subjects}
    client.create(BUILT_IN[api, "RoleBinding"], namespace, binding, "test")
    delete = {"name": "Delete", "podwright.core.pod_gc": {"completed": {"max_age": 0}, "impersonate_user": "reader", "concurrency": 2}}
    result = play([delete], namespace=namespace, expect=2).of("Delete")
    assert result["msg"].startswith("20 of 20 deletions failed. Could not delete Pod 'done-") and "Grant the verb 'delete' on 'pods'" in result["msg"]
    assert len(result["errors"]) == 20 and result["deleted"] == [] and not result["changed"]
    for error in result["errors"]:
        assert f"Could not delete Pod '{error['name']}'" in error["msg"] or error["msg"].startswith("Not requested, since another request was refused: ")
    assert 1 <= len([entry for entry in audit.entries("reader") if entry["verb"] == "delete"]) <= 2


def test_all_namespaces_and_the_scheduled_playbook(client, play, make_namespace, idle):
    namespaces = [make_namespace(), make_namespace()]
    for namespace in namespaces:
        add_finished_pods(client, namespace, 2, idle)
    delete = {"name": "Delete", "podwright.core.pod_gc": {"namespaces": ["*"], "completed": {"max_age": 0}}, "check_mode": True}
    everywhere = {(entry["namespace"], entry["name"]) for entry in play([delete]).of("Delete")["deleted"]}
    assert {(namespace, f"done-{number}") for namespace in namespaces for number in range(2)} <= everywhere
    playbook = yaml.safe_load((ROOT / "playbooks/gc.yml").read_text())[0]
    variables = playbook["vars"] | {"podwright_namespaces": namespaces, "podwright_completed": {"max_age": 3600, "keep_last": 1}}
    check, *tasks = playbook["tasks"]
    check["ansible.builtin.import_tasks"] = str(ROOT / "playbooks" / check["ansible.builtin.import_tasks"])
    played = play([check, *tasks], namespace=namespaces[0], variables=variables)
    assert "Pod " + namespaces[0] + "/done-" in played.output and "2 objects deleted, 2 kept" in played.output
    assert len(client.list(POD, namespaces[0])[0]) == len(client.list(POD, namespaces[1])[0]) == 1


def test_a_finished_pod_is_kept_until_its_result_is_recorded(namespace, monkeypatch):
    task = IMAGE | {"name": "once", "command": ["true"], "state": "completed", "cleanup": "on_failure"}
    with monkeypatch.context() as interrupted:
        interrupted.setattr(task_completion.TaskCompletion, "_record", lambda *arguments: None)
        assert call(task_pod, task, namespace)["state"] == "succeeded"
    kept = call(pod_gc, {"completed": {"max_age": 0, "keep_last": 0}}, namespace)
    assert not kept["changed"] and "has not been recorded yet" in kept["kept"][0]["reason"]
    assert not call(task_pod, task, namespace)["changed"]
    assert [entry["name"] for entry in call(pod_gc, {"completed": {"max_age": 0, "keep_last": 0}}, namespace)["deleted"]] == ["once"]
    again = call(task_pod, task, namespace)
    assert again["recorded"] and not again["changed"]
