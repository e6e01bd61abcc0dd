# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Autoscaling by load: the metrics API with a HorizontalPodAutoscaler, a real Prometheus, and the definitions of KEDA and Kueue."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.clients.prometheus import query_prometheus
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import execute
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import AUTOSCALER, BUILT_IN, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_autoscale

from ..support.operations import call
from ..support.prometheus import Prometheus
from ..support.waiting import wait_for

DEPLOYMENT = BUILT_IN["apps/v1", "Deployment"]


def deployment(name="web", replicas=1, command=("sleep", "3600")):
    container = {"name": "web", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": list(command)}
    container["resources"] = {"requests": {"cpu": "50m"}, "limits": {"cpu": "100m"}}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template} | ({"replicas": replicas} if replicas is not None else {})
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def applied(name, manifest):
    return {"name": name, "podwright.core.resource_set": {"definition": manifest}}


def test_load_scales_up_to_the_maximum_and_back(client, play, namespace):
    """A pod uses cpu while a file exists; the HorizontalPodAutoscaler follows, and applying the manifest does not reset the replicas."""
    manifest = deployment(command=["sh", "-c", "touch /tmp/load; while true; do [ -e /tmp/load ] || sleep 1; done"])
    scale = {"name": "web", "max_replicas": 3, "target_cpu": 60, "scale_up_cooldown": 0, "scale_down_cooldown": 15, "wait": True}
    play([applied("Apply", manifest), {"podwright.core.pod_autoscale": scale}], namespace=namespace)
    wait_for(lambda: client.get(DEPLOYMENT, namespace, "web")["spec"]["replicas"] == 3, 120)
    again = play([applied("Again", manifest), {"name": "Scale", "podwright.core.pod_autoscale": scale}], namespace=namespace)
    assert not again.is_changed and again.of("Scale")["replicas"]["after"] == 3 and again.of("Scale")["metrics"]
    wait_for(lambda: all("running" in pod["status"]["containerStatuses"][0].get("state", {}) for pod in pods(client, namespace)), 60)
    for pod in pods(client, namespace):
        execute(client, Container(namespace, pod["metadata"]["name"]), Command(["rm", "-f", "/tmp/load"]))
    wait_for(lambda: client.get(DEPLOYMENT, namespace, "web")["spec"]["replicas"] == 1, 120)


def pods(client, namespace):
    return [pod for pod in client.list(POD, namespace, label_selector="app=web")[0] if (pod.get("status") or {}).get("containerStatuses")]


@pytest.fixture
def prometheus(tmp_path):
    """A Prometheus that the API server can connect to: it listens on this machine's address in the network of the cluster."""
    with Prometheus(tmp_path, "10.231.0.1") as prometheus:
        yield prometheus


def step(name, server, **options):
    query = {"server": server, "query": "load", "target": 10}
    return {"name": name, "podwright.core.pod_autoscale": {"name": "web", "prometheus": query, "max_replicas": 4} | options}


def test_a_step_by_prometheus_stores_its_cooldowns_on_the_object(client, play, namespace, prometheus):
    def replicas():
        return client.get(DEPLOYMENT, namespace, "web")["spec"]["replicas"]

    prometheus.set_load(25)
    up = step("Up", prometheus.url, scale_up_cooldown=600)
    played = play([applied("Apply", deployment()), up | {"check_mode": True, "name": "Check"}, up, up | {"name": "Again"}], namespace=namespace)
    assert played.of("Check")["replicas"] == played.of("Up")["replicas"] == {"before": 1, "after": 3, "desired": 3}
    assert played.of("Up")["engine"] == "direct" and played.of("Up")["metrics"][0]["value"] == 25.0
    assert not played.of("Again")["changed"] and replicas() == 3

    prometheus.set_load(1000)
    held = play([up, applied("Apply again", deployment())], namespace=namespace)
    assert not held.is_changed and "within the cooldown of 600 s" in held.of("Up")["plan"][0]["note"] and replicas() == 3
    assert play([step("More", prometheus.url)], namespace=namespace).of("More")["replicas"]["after"] == 4, "the maximum"

    prometheus.set_load(5)
    down = [step("Kept", prometheus.url, scale_down_cooldown=600), step("Down", prometheus.url)]
    played = play(down, namespace=namespace)
    assert not played.of("Kept")["changed"] and played.of("Down")["replicas"]["after"] == 1

    absent = {"name": "Absent", "podwright.core.pod_autoscale": {"name": "web", "state": "absent"}}
    played = play([absent, absent | {"name": "Absent again"}, applied("Manifest", deployment(replicas=2))], namespace=namespace)
    assert played.of("Absent")["changed"] and not played.of("Absent again")["changed"] and replicas() == 2


def test_nothing_is_scaled_without_a_metric(client, play, namespace, prometheus):
    play([applied("Apply", deployment())], namespace=namespace)
    cases = {
        "nothing": (step("nothing", prometheus.url) | {}, {"query": "absent_metric"}, "has no value"),
        "broken": (step("broken", prometheus.url), {"query": "sum("}, "refused the query"),
        "nobody": (step("nobody", "http://127.0.0.1:9"), {}, "does not answer"),
    }
    for name, (task, changed, message) in cases.items():
        task["podwright.core.pod_autoscale"]["prometheus"] |= changed
        assert message in play([task], namespace=namespace, expect=2).of(name)["msg"]
    assert client.get(DEPLOYMENT, namespace, "web")["spec"]["replicas"] == 1


FORWARD = """
import socket, threading
def copy(one, other):
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)
listener = socket.create_server(("", 9090))
while True:
    near, far = listener.accept()[0], socket.create_connection(("10.231.0.1", %d))
    for pair in ((near, far), (far, near)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""


def test_prometheus_is_queried_through_a_service(client, play, namespace, prometheus, python_image):
    """The proxy of the API server connects to Services of pods only, so a pod forwards to the real Prometheus."""
    pod = {"name": "prometheus", "image": python_image, "image_pull_policy": "IfNotPresent", "command": ["python3", "-c", FORWARD % prometheus.port]}
    pod |= {"labels": {"app": "prometheus"}, "readiness_probe": {"tcp": 9090, "interval": 1}, "termination_grace_period": 0}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "prometheus"}}
    service["spec"] = {"selector": {"app": "prometheus"}, "ports": [{"port": 80, "targetPort": 9090}]}
    prometheus.set_load(15)
    play([applied("Apply", [deployment(), service]), {"podwright.core.task_pod": pod}], namespace=namespace)
    wait_for(lambda: answers(client, namespace, "prometheus:80"))  # the API server learns of a Service with a delay
    assert play([step("Up", "prometheus:80", engine="direct")], namespace=namespace).of("Up")["replicas"]["after"] == 2
    assert "refused the query" in play([broken(f"{namespace}/prometheus:80")], namespace=namespace, expect=2).of("Broken")["msg"]


def answers(client, namespace, server):
    try:
        return query_prometheus(client, namespace, server, "load") is not None
    except PodwrightError:
        return False


def broken(server):
    task = step("Broken", server, engine="direct")
    task["podwright.core.pod_autoscale"]["prometheus"]["query"] = "sum("
    return task


def test_a_scaled_object_is_valid_by_the_definition_of_keda(client, play, namespace, define):
    scaled_object = define("keda", "keda.sh_scaledobjects.yaml")
    query = {"server": "http://prometheus.example:9090", "query": "load", "target": 2.5}
    scale = {"name": "web", "min_replicas": 0, "prometheus": query, "target_cpu": 50, "scale_down_cooldown": 60}
    tasks = [applied("Apply", deployment()), {"name": "Scale", "podwright.core.pod_autoscale": scale}, {"name": "Again", "podwright.core.pod_autoscale": scale}]
    played = play(tasks, namespace=namespace)
    assert played.of("Scale")["engine"] == "keda" and played.of("Scale")["changed"] and not played.of("Again")["changed"]
    triggers = client.get(scaled_object, namespace, "web")["spec"]["triggers"]
    assert [trigger["type"] for trigger in triggers] == ["cpu", "prometheus"] and triggers[1]["metadata"]["threshold"] == "2.5"
    deleted = play([{"name": "Absent", "podwright.core.pod_autoscale": {"name": "web", "state": "absent"}}], namespace=namespace)
    assert deleted.of("Absent")["changed"] and client.get(scaled_object, namespace, "web") is None and not client.list(AUTOSCALER, namespace)[0]


def test_kueue_queues_jobs(client, play, namespace, define):
    queue = define("kueue", "kueue.x-k8s.io_localqueues.yaml")
    box = {"image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["true"], "state": "present", "queue": "builds"}
    missing = play([{"name": "Missing", "podwright.core.task_pod": box | {"name": "early"}}], namespace=namespace, expect=2).of("Missing")
    assert missing["reason"] == "NoQueue" and "LocalQueue 'builds' does not exist" in missing["msg"]
    tasks = [{"name": "Predicted", "podwright.core.task_pod": box | {"tasks": [{"name": "early"}, {"name": "late"}]}}]
    predicted = play(tasks, "--check", namespace=namespace).of("Predicted")
    warning = f"LocalQueue 'builds' does not exist in namespace '{namespace}'; queues: none. Create it before the task 'early' runs, or correct queue."
    assert predicted["changed"] and predicted["warnings"] == [warning], "an earlier task of the playbook may create the queue"
    item = {"apiVersion": queue.api_version, "kind": queue.name, "metadata": {"name": "builds"}, "spec": {"clusterQueue": "all"}}
    client.create(queue, namespace, item, "test")
    job = play([{"name": "Job", "podwright.core.task_pod": box | {"name": "job", "kind": "Job"}}], namespace=namespace).of("Job")
    live = client.get(BUILT_IN["batch/v1", "Job"], namespace, "job")
    assert job["changed"] and live["spec"]["suspend"] and live["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "builds"


def test_a_pod_selects_its_controller_and_an_autoscaler_can_outlive_it(client, namespace):
    for name in ("one", "two"):
        manifest = deployment(name)
        manifest["spec"]["template"]["metadata"]["labels"]["tier"] = "front"
        client.create(DEPLOYMENT, namespace, manifest, "test")

    def pods_of(name):
        return client.list(POD, namespace, label_selector=f"app={name}")[0]

    wait_for(lambda: pods_of("one") and pods_of("two"))
    fixed = call(pod_autoscale, {"kind": "Pod", "label_selectors": ["tier=front"], "replicas": 2}, namespace)
    assert [(entry["name"], entry["after"]) for entry in fixed["results"]] == [("one", 2), ("two", 2)]
    assert [(entry["result"]["kind"], entry["result"]["spec"]["replicas"]) for entry in fixed["results"]] == [("Deployment", 2)] * 2
    by_pod = {"kind": "Pod", "name": pods_of("one")[0]["metadata"]["name"], "target_cpu": 50}
    assert call(pod_autoscale, by_pod, namespace)["changed"]
    assert [item["metadata"]["name"] for item in client.list(AUTOSCALER, namespace)[0]] == ["one"]
    client.delete(DEPLOYMENT, namespace, "one")
    wait_for(lambda: client.get(DEPLOYMENT, namespace, "one") is None)
    deleted = [call(pod_autoscale, {"name": "one", "state": "absent"}, namespace) for _turn in range(2)]
    assert [result["changed"] for result in deleted] == [True, False] and not client.list(AUTOSCALER, namespace)[0]
