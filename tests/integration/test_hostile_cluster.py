# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clusters that change, default, delay and refuse what is sent to them: no false change, no restart, and clear errors."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CONFIG_MAP, NAMESPACE, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_deployment, pod_gc, resource_set, task_pod

from ..support.operations import IMAGE, call
from ..support.webhook import Webhook

SLEEP = IMAGE | {"command": ["sleep", "3600"]}
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER = {"name": "web", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"], "ports": [{"containerPort": 80}]}
CONTAINER |= {"env": [{"name": "A", "value": "b"}], "securityContext": RESTRICTED | {"runAsNonRoot": True, "runAsUser": 65532}}
TEMPLATE = {"terminationGracePeriodSeconds": 0, "containers": [CONTAINER]}
MANIFESTS = [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "labels": {"a": "b"}}, "data": {"a": "b"}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "set"}, "spec": {"selector": {"app": "set"}, "ports": [{"port": 80}]}},
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "set"}, "spec": TEMPLATE},
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "set"},
        "spec": {
            "selector": {"matchLabels": {"app": "set"}},
            "template": {"metadata": {"labels": {"app": "set"}}, "spec": TEMPLATE},
        },
    },
]
# (module, options): each is run twice.
OPERATIONS = {
    "task": (task_pod, SLEEP | {"name": "runs", "env": {"A": "b"}, "labels": {"a": "b"}}),
    "batch": (task_pod, IMAGE | {"state": "completed", "command": ["true"], "set": "batch", "tasks": [{"name": "one"}, {"name": "two", "stdin": "x"}]}),
    "record": (task_pod, IMAGE | {"state": "completed", "name": "recorded", "command": ["true"], "cleanup": "always"}),
    "job": (task_pod, IMAGE | {"state": "completed", "name": "job", "kind": "Job", "command": ["true"]}),
    "set": (resource_set, {"name": "set", "prune": True, "definition": MANIFESTS}),
    "rolling": (pod_deployment, SLEEP | {"name": "rolling", "service": {"name": "rolling", "ports": [{"port": 80}]}, "drain_seconds": 0}),
    "generations": (
        pod_deployment,
        SLEEP | {"name": "green", "strategy": "blue_green", "service": {"name": "green", "ports": [{"port": 80}]}, "drain_seconds": 0},
    ),
}


def mutate(request):
    """What meshes, registries' mirrors and policies do to a pod or the template of one, as a JSON patch."""
    if request["operation"] == "DELETE":
        return {}
    path, item, patch = "", request["object"], []
    if "labels" not in item["metadata"]:
        patch.append({"op": "add", "path": "/metadata/labels", "value": {}})
    patch.append({"op": "add", "path": "/metadata/labels/injected", "value": "true"})
    patch.append({"op": "add", "path": "/metadata/annotations", "value": item["metadata"].get("annotations", {}) | {"injected": "true"}})
    if request["kind"]["kind"] in ("Deployment", "Job"):
        path, item = "/spec/template", item["spec"]["template"]
    elif request["kind"]["kind"] != "Pod":
        return {"patch": patch}
    is_mutable = request["kind"]["kind"] != "Pod" or request["operation"] == "CREATE"
    names = [container["name"] for container in item["spec"]["containers"]]
    for number, container in enumerate(item["spec"]["containers"]):
        where = f"{path}/spec/containers/{number}"
        if container["image"] == "busybox" and container["name"] != "proxy":
            patch.append({"op": "replace", "path": f"{where}/image", "value": "docker.io/library/busybox"})
        if is_mutable and container["name"] != "proxy" and all(variable["name"] != "INJECTED" for variable in container.get("env", [])):
            patch.append({"op": "add", "path": f"{where}/env", "value": [{"name": "INJECTED", "value": "x"}, *container.get("env", [])]})
    if is_mutable and "proxy" not in names:
        proxy = {"name": "proxy", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}
        patch.append({"op": "add", "path": f"{path}/spec/containers/-", "value": proxy})
    toleration = {"key": "injected", "operator": "Exists"}
    if is_mutable and toleration not in item["spec"].get("tolerations", []):
        patch.append({"op": "add", "path": f"{path}/spec/tolerations", "value": [*item["spec"].get("tolerations", []), toleration]})
    return {"patch": patch}


@pytest.fixture(scope="module")
def webhook(client, tmp_path_factory):
    with Webhook(client, tmp_path_factory.mktemp("webhook")) as webhook:
        yield webhook


def run_all(namespace, check_mode=False, names=tuple(OPERATIONS)):
    """The result of each operation; they run side by side."""
    with ThreadPoolExecutor(len(names)) as pool:
        results = pool.map(lambda name: call(OPERATIONS[name][0], OPERATIONS[name][1] | {"wait_timeout": 60}, namespace, check_mode), names)
        return dict(zip(names, results, strict=True))


def restarts(client, namespace):
    """{name and UID of each pod: restarts of its containers}."""
    pods = client.list(POD, namespace)[0]
    return {(p["metadata"]["name"], p["metadata"]["uid"]): sum(s["restartCount"] for s in p["status"].get("containerStatuses", [])) for p in pods}


def assert_stable(client, namespace, names=tuple(OPERATIONS)):
    """Run operations; then predicted and repeated, they change nothing."""
    first = run_all(namespace, names=names)
    assert {name: (result["failed"], result["changed"], result.get("msg")) for name, result in first.items() if result["failed"] or not result["changed"]} == {}
    pods = restarts(client, namespace)
    for check_mode in (True, False):
        again = run_all(namespace, check_mode, names)
        unstable = {name: (check_mode, result.get("msg"), result.get("plan")) for name, result in again.items() if result["failed"] or result["changed"]}
    assert unstable == {}
    assert restarts(client, namespace) == pods and set(pods.values()) == {0}


def test_objects_that_a_webhook_rewrites_do_not_change_again(client, namespace, webhook):
    webhook.adopt(namespace, mutate)
    assert_stable(client, namespace)
    assert len(client.get(POD, namespace, "runs")["spec"]["containers"]) == 2


def test_dry_runs_that_a_webhook_refuses_are_predicted_locally(client, namespace, webhook):
    refusal = {"allowed": False, "status": {"code": 400, "message": "this webhook does not support dry run"}}
    webhook.adopt(namespace, lambda request: refusal if request["dryRun"] else {})
    predicted = run_all(namespace, check_mode=True)
    assert {name: (result["failed"], result["changed"]) for name, result in predicted.items()} == dict.fromkeys(OPERATIONS, (False, True)), predicted
    assert_stable(client, namespace, ["task", "set"])


def test_a_slow_webhook_delays_and_does_not_repeat(namespace, webhook):
    webhook.adopt(namespace, lambda request: time.sleep(1) or {})
    steps = [OPERATIONS["task"], (resource_set, {"definition": MANIFESTS[:1]})]
    for changed in (True, False):
        with ThreadPoolExecutor() as pool:
            results = list(pool.map(lambda step: call(step[0], step[1], namespace), steps))
        assert [(result["failed"], result["changed"]) for result in results] == [(False, changed)] * 2
    created = [request["name"] for request in webhook.reviews[namespace] if request["operation"] == "CREATE"]
    # A controller creates another object in each namespace, also more than once.
    assert sorted(name for name in created if name != "kube-root-ca.crt") == ["runs", "settings"], created


DENIALS = {
    "escape": (403, "Forbidden", "\x1b[31mred\x1b[0m \x9b2Jno"),
    "lines": (403, "Forbidden", "first\nsecond\r\nthird"),
    "long": (403, "Forbidden", "x" * 20_000),
    "empty": (403, "", ""),
    "permission": (403, "Forbidden", 'User "u" cannot create images from there'),
    "quota": (403, "Forbidden", "exceeded quota: no more"),
    "missing": (404, "NotFound", "there is no such registry"),
    "conflict": (409, "Conflict", "conflict with the policy"),
    "exists": (409, "AlreadyExists", "already exists"),
    "immutable": (422, "Invalid", "spec: Forbidden: field is immutable"),
    "expired": (410, "Expired", "too old"),
    "login": (401, "Unauthorized", "please log in"),
    "success": (200, "", "fine"),
    "unknown": (599, "Nonsense", "no"),
    "busy": (429, "TooManyRequests", "later"),
}


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE", "DELETE"])
def test_denials_of_a_webhook_are_reported_in_its_words(operation, client, namespace, webhook):
    is_open = True

    def respond(request):
        name = request["name"].partition("-")[0]
        if request["operation"] != operation or name not in DENIALS or is_open:
            return {}
        code, reason, message = DENIALS[name]
        return {"allowed": False, "status": {"code": code, "reason": reason, "message": message}}

    def run(entry):
        name, is_task = entry
        state = "absent" if operation == "DELETE" and not is_open else "present"
        if is_task:
            # A quota may be freed: a task waits for it until its timeout.
            timeout = {"wait_timeout": 3 if name == "quota" else 60}
            unscheduled = {"node_selector": {"no": "such"}, "wait": False} if is_open else {}  # what is denied later need not run
            return call(task_pod, SLEEP | {"name": f"{name}-pod", "state": state} | timeout | unscheduled, namespace)
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{name}-map"}, "data": {"open": str(is_open)}}
        return call(resource_set, {"definition": [manifest], "state": state}, namespace)

    webhook.adopt(namespace, respond)
    entries = [(name, is_task) for name in DENIALS for is_task in (False, *([True] * (operation != "UPDATE")))]
    with ThreadPoolExecutor(16) as pool:
        if operation != "CREATE":
            assert not [result["msg"] for result in pool.map(run, entries) if result["failed"]]
        before = live(client, namespace)
        is_open = False
        results = list(pool.map(run, entries))
    assert live(client, namespace) == before
    for (name, is_task), result in zip(entries, results, strict=True):
        message = DENIALS[name][2].replace("\x1b[31mred\x1b[0m \x9b2Jno", "red ").splitlines() or ["without explanation"]
        assert result["failed"] and not result["changed"], (name, is_task, result)
        assert message[0][:100] in result["msg"] and "denied the request" in result["msg"], (name, is_task, result["msg"])
        assert "\x1b" not in result["msg"] and len(result["msg"]) < 11_000, (name, is_task)
        assert result["hint"].startswith("A webhook or policy of the cluster refuses it") or name == "immutable", (name, is_task, result["hint"])


def live(client, namespace):
    """{UID of each pod and ConfigMap}."""
    return {item["metadata"]["uid"] for kind in (POD, CONFIG_MAP) for item in client.list(kind, namespace)[0] if item["metadata"]["name"] != "kube-root-ca.crt"}


def test_defaults_and_limits_of_a_namespace_change_nothing_again(client, namespace):
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    client.patch(NAMESPACE, None, namespace, labels, "test", MERGE_PATCH)
    defaults = {"type": "Container", "default": {"cpu": "100m", "memory": "64Mi"}, "defaultRequest": {"cpu": "10m", "memory": "16Mi"}}
    client.create(BUILT_IN["v1", "LimitRange"], namespace, {"metadata": {"name": "defaults"}, "spec": {"limits": [defaults]}}, "test")
    quota = {"hard": {"pods": "20", "requests.cpu": "2", "limits.memory": "4Gi", "count/configmaps": "20"}}
    client.create(BUILT_IN["v1", "ResourceQuota"], namespace, {"metadata": {"name": "quota"}, "spec": quota}, "test")
    assert_stable(client, namespace, ["task", "record", "set", "rolling"])
    privileged = TEMPLATE | {"containers": [CONTAINER | {"securityContext": {"privileged": True}}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "privileged"}, "spec": privileged}
    refused = (resource_set, {"definition": [pod]}, 'violates PodSecurity "restricted')
    for module, options, text in (refused, (task_pod, SLEEP | {"name": "open", "patches": [PRIVILEGED]}, "enforces restricted")):
        result = call(module, options, namespace)
        assert result["failed"] and not result["changed"] and text in result["msg"] and "level" in result["msg"] + result["hint"], result


PRIVILEGED = {"op": "add", "path": "/spec/hostNetwork", "value": True}


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_that_is_wrong_changes_and_deletes_nothing(minutes, client, namespace, monkeypatch):
    monkeypatch.setattr(Clock, "now", staticmethod(lambda: time.time() + 60 * minutes))
    young = {"completed": {"max_age": 300}, "failed": {"max_age": 300}, "records": {"max_age": 300}, "stuck": {"max_age": 300}, "expired": True}
    waiting = IMAGE | {"name": "waiting", "command": ["true"], "state": "present", "node_selector": {"such": "none"}}
    ends = IMAGE | {"command": ["true"], "state": "completed", "tasks": [{"name": "kept", "ttl": 300}, {"name": "expired", "ttl": 0}]}
    for changed in (True, False):
        results = [call(task_pod, options, namespace) for options in (waiting, ends)]
        assert [(result["failed"], result["changed"]) for result in results] == [(False, changed)] * 2
    assert [item["name"] for item in call(pod_gc, young, namespace)["deleted"]] == ["expired"]
    assert not call(pod_gc, young, namespace)["changed"]


def test_what_a_foreign_finalizer_keeps_is_named_and_is_not_deleted_again(client, namespace):
    assert not call(task_pod, IMAGE | {"name": "held", "command": ["true"], "state": "completed"}, namespace)["failed"]
    client.patch(POD, namespace, "held", {"metadata": {"finalizers": ["example.com/hold"]}}, "test", MERGE_PATCH)
    try:
        first = call(pod_gc, {"completed": {"max_age": 0}, "wait": True, "wait_timeout": 1}, namespace)
        assert first["failed"] and first["changed"] and "example.com/hold" in first["msg"]
        again = call(pod_gc, {"completed": {"max_age": 0}}, namespace)
        assert not again["changed"] and "example.com/hold" in str(again["kept"])
        absent = call(task_pod, {"name": "held", "state": "absent", "wait_timeout": 1}, namespace)
        assert absent["failed"] and not absent["changed"] and "example.com/hold" in absent["msg"]
    finally:
        client.patch(POD, namespace, "held", {"metadata": {"finalizers": None}}, "test", MERGE_PATCH)
