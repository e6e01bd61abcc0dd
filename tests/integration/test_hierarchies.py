# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parents and children: owner references, limits, garbage collection, and a pod that creates children itself."""

from __future__ import annotations

import json

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_gc, task_pod

from ..support.operations import call
from ..support.waiting import wait_for

BOX = {"image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 0, "command": ["sleep", "3600"]}
CONFIG_MAP = BUILT_IN["v1", "ConfigMap"]


def task(name, **options):
    return {"name": name, "podwright.core.task_pod": BOX | {"name": name} | options}


def names(client, namespace):
    return {pod["metadata"]["name"] for pod in client.list(POD, namespace)[0] if not pod["metadata"].get("deletionTimestamp")}


@pytest.fixture
def family(namespace):
    """A parent with two children, one of which has a child that is a Job. Returns: the tasks that create them again."""
    resources = {"limits": {"cpu": "20m", "memory": "16Mi"}}
    tasks = [
        task("lead", resources=resources, max_depth=2, max_children=2),
        task("one", parent="lead", resources=resources),
        task("two", parent={"name": "lead", "kind": "Pod"}),
        task("deep", parent="two", kind="Job", resources=resources),
    ]
    for item in tasks:
        created = call(task_pod, item["podwright.core.task_pod"], namespace)
        assert created["changed"] and not created["failed"], created
    return tasks


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
def test_children_of_a_deleted_parent_follow_the_propagation_policy(propagation, client, namespace):
    assert call(task_pod, {"name": "lead", "state": "absent", "propagation_policy": propagation}, namespace)["changed"]
    if propagation == "Orphan":
        assert {"one", "two"} <= names(client, namespace)
        # Kubernetes does not collect them any more; pod_gc finds their parent by its uid.
        deleted = call(pod_gc, {"orphaned": True}, namespace)["deleted"]
        assert {entry["name"] for entry in deleted} == {"one", "two"}
        assert all(entry["reason"] == "its owner Pod lead does not exist" for entry in deleted)
    if propagation == "Foreground":
        assert not names(client, namespace) & {"lead", "one", "two"}, "the parent is deleted last"
    wait_for(lambda: not names(client, namespace))


def test_a_hierarchy_is_idempotent_shown_as_a_tree_and_limited(family, client, play, namespace, make_namespace):
    """Exceeded limits and invalid parents are refused without a write; replacing a child does not count towards max_children."""
    tree = {"name": "Tree", "podwright.core.pod_info": {"parent": "lead"}}
    played = play([*family, tree], namespace=namespace)
    assert not played.is_changed
    found = played.of("Tree")
    root = found["tree"]
    assert {child["name"] for child in root["children"]} == {"one", "two"} and root["pods"] == 4
    job = next(child for child in root["children"] if child["name"] == "two")["children"][0]
    assert (job["kind"], job["name"], job["state"], len(job["children"])) == ("Job", "deep", "running", 1)
    assert root["cpu_requested"] == 0.03 and root["memory_requested"] == 3 * (8 << 20)
    assert {pod["name"].split("-")[0] for pod in found["pods"]} == {"one", "two", "deep"}

    before = names(client, namespace)
    deep = next(name for name in before if name.startswith("deep"))
    cases = {
        "three": ("lead", "Pod 'lead' has 2 children already (max_children)"),
        "deeper": (deep, f"Pod '{deep}' must not have tasks below it (max_depth)"),
        "lost": ("nobody", "The parent of task 'lost', Pod 'nobody' in namespace"),
        "stale": ({"name": "lead", "uid": "old"}, "has the uid"),
        "abroad": ({"name": "lead", "namespace": make_namespace()}, "parent.namespace: must be the namespace of the task"),
    }
    for name, (parent, message) in cases.items():
        refused = call(task_pod, BOX | {"name": name, "parent": parent}, namespace)
        assert refused["failed"] and message in refused["msg"], refused
    assert names(client, namespace) == before
    replaced = call(task_pod, BOX | {"name": "one", "parent": "lead", "env": {"CHANGED": "1"}}, namespace)
    assert replaced["plan"][0]["action"] == "replace" and not replaced["failed"]


def test_a_finished_parent_has_no_new_children_and_its_old_ones_are_orphaned(client, namespace):
    call(task_pod, BOX | {"name": "short", "command": ["sleep", "1"], "restart_policy": "Never", "state": "present"}, namespace)
    assert call(task_pod, BOX | {"name": "child", "parent": "short"}, namespace)["changed"]
    wait_for(lambda: client.get(POD, namespace, "short")["status"]["phase"] == "Succeeded")
    refused = call(task_pod, BOX | {"name": "late", "parent": "short"}, namespace)
    assert "Pod 'short' has terminated" in refused["msg"] and refused["reason"] == "ParentRefused"
    for check_mode in (True, False):
        deleted = call(pod_gc, {"orphaned": True}, namespace, check_mode)["deleted"]
        assert [(entry["name"], entry["reason"]) for entry in deleted] == [("child", "its owner Pod short has finished")]
    assert not call(pod_gc, {"orphaned": True}, namespace)["changed"]


def test_a_recorded_task_does_not_need_its_parent(client, namespace):
    """The child is recorded and deleted with its parent: the next run changes nothing."""
    child = BOX | {"name": "child", "parent": "lead", "command": ["true"], "state": "completed", "cleanup": "always"}
    for options in (BOX | {"name": "lead", "restart_policy": "Never"}, child, {"name": "lead", "state": "absent"}):
        assert not call(task_pod, options, namespace)["failed"]
    wait_for(lambda: not names(client, namespace))
    again = call(task_pod, child, namespace)
    assert not again["changed"] and again["recorded"] and again["rc"] == 0


def test_an_object_of_any_kind_can_be_a_parent(client, namespace):
    client.create(CONFIG_MAP, namespace, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "order"}}, "test")
    created = call(task_pod, BOX | {"name": "worker", "parent": {"kind": "ConfigMap", "name": "order"}}, namespace)
    assert created["pod"]["metadata"]["ownerReferences"][0]["kind"] == "ConfigMap"
    client.delete(CONFIG_MAP, namespace, "order")
    wait_for(lambda: not names(client, namespace))


def test_check_mode_predicts_a_child_whose_parent_does_not_exist_yet(play, client, namespace):
    played = play([task("lead"), task("child", parent="lead")], "--check", namespace=namespace)
    assert played.of("child")["plan"][0]["note"] == "predicted locally: its parent does not exist yet"
    assert not names(client, namespace)


AGENT = """
import json, os, ssl, urllib.request, urllib.error
directory = "/var/run/secrets/kubernetes.io/serviceaccount"
token, namespace = open(directory + "/token").read(), open(directory + "/namespace").read()
api = "https://" + os.environ["KUBERNETES_SERVICE_HOST"] + "/api/v1/namespaces/" + namespace + "/pods"
owner = {"apiVersion": "v1", "kind": "Pod", "name": os.environ["NAME"], "uid": os.environ["ID"]}
context = ssl.create_default_context(cafile=directory + "/ca.crt")
context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the default since Python 3.13; certificates of clusters often lack what it requires
for number in range(3):
    labels = {"app.kubernetes.io/managed-by": "podwright", "podwright.io/task": f"child-{number}"}
    container = {"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}
    container["resources"] = {"limits": {"cpu": "10m", "memory": "8Mi"}}
    pod = {"metadata": {"name": f"child-{number}", "labels": labels, "ownerReferences": [owner]}, "spec": {"containers": [container]}}
    pod["spec"]["terminationGracePeriodSeconds"] = 0
    request = urllib.request.Request(api, json.dumps(pod).encode(), {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    try:
        print(urllib.request.urlopen(request, context=context).status, flush=True)
    except urllib.error.HTTPError as error:
        print(error.code, "quota" if "exceeded quota" in error.read().decode() else "", flush=True)
"""


def test_a_pod_creates_children_within_its_quota(play, client, namespace, python_image):
    """With a service account and a quota of three pods, an agent creates two children and is refused a third."""
    roles = [
        ("rbac", {"rbac_namespace": namespace, "rbac_service_accounts": [{"name": "agent", "purposes": ["task_running"]}]}),
        ("quota", {"quota_namespace": namespace, "quota_max_pods": 3}),
    ]
    setup = [{"ansible.builtin.include_role": {"name": f"podwright.core.{name}"}, "vars": variables} for name, variables in roles]
    agent = BOX | {"name": "agent", "image": python_image, "service_account": "agent", "automount_service_account_token": True}
    agent |= {"command": ["sh", "-c", 'python3 -c "$SOURCE"; sleep 3600'], "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}}}
    agent["env"] = {"SOURCE": AGENT, "NAME": {"field": "metadata.name"}, "ID": {"field": "metadata.uid"}}
    agent["env"]["KUBERNETES_SERVICE_HOST"] = "kubernetes.default.svc"
    play([*setup, {"podwright.core.task_pod": agent}], namespace=namespace)
    wait_for(lambda: client.log(namespace, "agent", "task").decode().split() == ["201", "201", "403", "quota"])
    tree = play([{"name": "Tree", "podwright.core.pod_info": {"parent": "agent"}}], namespace=namespace).of("Tree")["tree"]
    assert [child["name"] for child in tree["children"]] == ["child-0", "child-1"] and tree["pods"] == 3, json.dumps(tree)
    play([{"podwright.core.task_pod": {"name": "agent", "state": "absent"}}], namespace=namespace)
    wait_for(lambda: not names(client, namespace))
