# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks in the mesh of a real Istio, in a cluster of its own: its webhook injects its agent with Envoy, which redirects the traffic of the pods."""

from __future__ import annotations

import functools
import json
import re

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import JOB, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.containers import container_names
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.meshes import idle_proxy

from ..cluster import istio
from ..support.component_cluster import component_cluster
from ..support.operations import IMAGE
from ..support.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]  # other tests with clusters of their own use the same number
MODES = pytest.mark.parametrize("mode", ["action", "module"])
ORDINARY = {"sidecar.istio.io/nativeSidecar": "false"}
HELD = ORDINARY | {"proxy.istio.io/config": json.dumps({"holdApplicationUntilProxyStarts": True})}
SIDECARS = {"ordinary": ORDINARY, "held": HELD, "native": {}}  # held: Istio makes the proxy the first container
EACH = pytest.mark.parametrize("sidecar", SIDECARS)
UNREDIRECTED = {"sidecar.istio.io/interceptionMode": "NONE"}  # needs no init container with the capability NET_ADMIN
WEB = "mkdir /tmp/w; echo hello > /tmp/w/name; exec httpd -f -p 8080 -h /tmp/w"
ASK = "wget -S -q -O - http://web:8080/name 2>&1"


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory):
    """A cluster with Istio."""
    with component_cluster(tmp_path_factory.mktemp("cluster"), "istio", istio.manifests) as cluster:
        yield cluster


@pytest.fixture
def meshed(play, own_cluster, own_client, own_namespace):
    """A function that returns what runs tasks in a new namespace with a Pod Security level, into whose pods Istio injects sidecars, and its name."""

    def make(security="privileged"):
        place = own_namespace()
        variables = {"namespace_name": place, "namespace_mesh": "istio", "namespace_adopt": True, "namespace_pod_security": security}
        play([{"ansible.builtin.include_role": {"name": "podwright.core.namespace"}, "vars": variables}], kubeconfig=own_cluster.kubeconfig)
        wait_for(functools.partial(is_injected, own_client, place))
        return functools.partial(play, kubeconfig=own_cluster.kubeconfig, namespace=place), place

    return make


def is_injected(client, place):
    """Whether the webhook answers."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "runAsUser": 1000}
    container = {"name": "probe", "image": "busybox", "securityContext": context | {"seccompProfile": {"type": "RuntimeDefault"}}}
    metadata = {"generateName": "probe-", "annotations": UNREDIRECTED}
    spec = {"containers": [container], "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}
    try:
        return "istio-proxy" in container_names(client.create(POD, place, {"metadata": metadata, "spec": spec}, "test", dry_run=True))
    except PodwrightError:
        return False


def task(name, command, annotations, **options):
    """A task of a batch."""
    return {"name": name, "command": ["sh", "-c", command], "annotations": annotations, **options}


def batch(name, tasks, **options):
    """A batch, and its result under its name."""
    return {"name": name, "ignore_errors": True, "podwright.core.task_pod": IMAGE | {"tasks": tasks, "state": "completed", "wait_timeout": 240} | options}


def check(step, name="Predict"):
    """A step in check mode."""
    return step | {"name": name, "check_mode": True}


@EACH
@MODES
def test_pods_and_jobs_complete_beside_sidecars(meshed, own_client, sidecar, mode):
    run, place = meshed()
    annotations = SIDECARS[sidecar]
    tasks = [
        task("pod", "echo from the task", annotations),
        task("failing", "echo out of order; exit 3", annotations),
        task("job", "echo from the job", annotations, kind="Job"),
        task("retried", "echo once more; exit 4", annotations, kind="Job", retries=1),
    ]
    step = batch("Run", tasks, logs="collect", rerun="on_change")
    played = run([check(step), step, step | {"name": "Repeat"}, check(step, "Predict again")], mode=mode)
    changed = [played.of(name)["changed"] for name in ("Predict", "Run", "Repeat", "Predict again")]
    result = played.of("Run")["tasks"]
    assert [(entry["state"], entry["rc"]) for entry in result] == [("succeeded", 0), ("failed", 3), ("succeeded", 0), ("failed", 4)], result
    assert [entry["logs"].strip() for entry in result] == ["from the task", "out of order", "from the job", "once more"]
    assert changed == [True, True, False, False]
    assert not any("probe failed" in entry["msg"] for entry in result if entry["state"] == "failed"), "those of the proxy"
    assert wait_for(lambda: own_client.get(POD, place, "pod")["status"]["phase"] == "Succeeded")
    assert wait_for(lambda: own_client.get(POD, place, "failing")["status"]["phase"] == "Failed")
    assert wait_for(lambda: own_client.get(JOB, place, "job")["status"].get("succeeded") == 1)
    assert wait_for(lambda: own_client.get(JOB, place, "retried")["status"].get("failed") == 2)
    pod = own_client.get(POD, place, "pod")
    ordinary = [container["name"] for container in pod["spec"]["containers"]]
    expected = {"ordinary": ["task", "istio-proxy"], "held": ["istio-proxy", "task"], "native": ["task"]}[sidecar]
    assert ordinary == expected and {"istio-init", "istio-proxy"} <= set(container_names(pod))


def test_a_later_run_terminates_the_proxies_of_an_earlier_one(meshed, own_client):
    run, place = meshed()
    tasks = [task("pod", "sleep 1", ORDINARY), task("indexed", "sleep 1", ORDINARY, kind="Job", completions=2, parallelism=2, completion_mode="Indexed")]
    run([batch("Start", tasks, wait=False)])

    def are_idle():
        pods = own_client.list(POD, place)[0]
        return len(pods) == 3 and all(idle_proxy(pod) for pod in pods)

    wait_for(are_idle)
    played = run([batch("Run", tasks)])
    assert [entry["state"] for entry in played.of("Run")["tasks"]] == ["succeeded", "succeeded"] and not played.is_changed
    assert wait_for(lambda: own_client.get(POD, place, "pod")["status"]["phase"] == "Succeeded")
    assert wait_for(lambda: own_client.get(JOB, place, "indexed")["status"].get("succeeded") == 2)


@EACH
def test_results_inputs_and_artifacts_beside_sidecars(meshed, own_client, tmp_path, sidecar):
    run, place = meshed()
    (tmp_path / "given").write_text("given\n")
    command = "cp /input/given /output/report; echo '[1]' > /output/values; printf fine > /dev/termination-log; exit "
    outputs = {"results": {"values": {"path": "/output/values", "type": "json"}, "message": {"termination_message": True}}}
    outputs |= {"inputs": [{"src": str(tmp_path / "given"), "path": "/input/given"}]}
    tasks = [
        task(f"left-{code}", f"{command}{code}", SIDECARS[sidecar], artifacts=[{"path": "/output/report", "dest": str(tmp_path / f"{code}")}], **outputs)
        for code in (0, 3)
    ]
    played = run([batch("Run", tasks)])
    result = played.of("Run")["tasks"]
    assert [(entry["state"], entry["rc"], entry["results"]) for entry in result] == [
        ("succeeded", 0, {"values": [1], "message": "fine"}),
        ("failed", 3, {"values": [1], "message": "fine"}),
    ], result
    assert [(tmp_path / name).read_text() for name in ("0", "3")] == ["given\n"] * 2
    assert wait_for(lambda: own_client.get(POD, place, "left-0")["status"]["phase"] == "Succeeded")


@MODES
def test_additions_of_the_webhook_are_not_changes(meshed, own_client, mode):
    run, place = meshed()
    lasting = batch("Start", [task(name, "sleep 600", annotations) for name, annotations in SIDECARS.items()], state="running")
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"}}
    bare["spec"] = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "busybox:musl", "command": ["sleep", "600"]}]}
    applied = {"name": "Apply", "podwright.core.resource_set": {"definition": bare}}
    deployed = {"name": "Deploy", "podwright.core.pod_deployment": IMAGE | {"name": "web", "command": ["sleep", "600"], "drain_seconds": 0}}
    steps = [lasting, applied, deployed]
    predicted = run([check(step, step["name"]) for step in steps], mode=mode)
    assert all(predicted.of(step["name"])["changed"] for step in steps)
    played = run(steps, mode=mode)
    assert all(played.of(step["name"])["changed"] for step in steps) and not played.of("Start")["failed"]
    for arguments in ([], ["--check"]):
        again = run(steps, *arguments, mode=mode)
        assert [again.of(step["name"])["changed"] for step in steps] == [False, False, False], arguments
    assert all("istio-proxy" in container_names(own_client.get(POD, place, name)) for name in (*SIDECARS, "bare"))
    running = [{"name": f"In {name}", "podwright.core.pod_exec": {"pod": name, "command": ["hostname"]}} for name in (*SIDECARS, "bare")]
    played = run(running, mode=mode)
    assert [played.of(f"In {name}")["stdout"].strip() for name in (*SIDECARS, "bare")] == [*SIDECARS, "bare"]
    absent = {"name": "Delete", "podwright.core.task_pod": {"tasks": [{"name": name} for name in SIDECARS], "state": "absent", "wait": True}}
    played = run([check(absent), absent, absent | {"name": "Repeat"}], mode=mode)
    assert [played.of(name)["changed"] for name in ("Predict", "Delete", "Repeat")] == [True, True, False]


def test_the_traffic_of_a_task_passes_the_mesh_from_its_start(meshed, own_client):
    run, place = meshed()
    mutual = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default"}, "spec": {"mtls": {"mode": "STRICT"}}}
    service = {"service_name": "web", "service_namespace": place, "service_selector": {"app": "web"}}
    service |= {"service_ports": [{"name": "http", "port": 8080, "app_protocol": "http"}]}
    web = task("web", WEB, {}, labels={"app": "web"}, readiness_probe={"http": "/name:8080", "interval": 1})
    steps = [
        {"name": "Require TLS", "podwright.core.resource_set": {"definition": mutual}},
        batch("Serve", [web], state="running"),
        {"name": "Publish", "ansible.builtin.include_role": {"name": "podwright.core.service"}, "vars": service},
        batch("Ask", [task(name, ASK, SIDECARS[name]) for name in ("held", "native")], logs="collect"),
        {"name": "Request", "podwright.core.pod_request": {"pod": "web", "port": 8080, "path": "/name", "return_content": True}},
        batch("Ask from outside", [task("outside", ASK, {}, labels={"sidecar.istio.io/inject": "false"})], logs="collect"),
    ]
    played = run(steps)
    for entry in played.of("Ask")["tasks"]:
        assert entry["rc"] == 0 and entry["logs"].strip().endswith("hello") and re.search("server: envoy", entry["logs"]), entry
    assert played.of("Request")["content"].strip() == "hello", "port-forward bypasses the mesh"
    [outside] = played.of("Ask from outside")["tasks"]
    assert outside["rc"] == 1 and "hello" not in outside["logs"], outside


@MODES
def test_a_restricted_namespace(meshed, own_client, mode):
    run, _place = meshed("restricted")
    kinds = {"native": UNREDIRECTED, "ordinary": UNREDIRECTED | ORDINARY}
    tasks = [task(f"{kind.lower()}-{name}", "id -u", annotations, kind=kind) for kind in ("Pod", "Job") for name, annotations in kinds.items()]
    step = batch("Run", tasks, security_profile="restricted", logs="collect")
    played = run([check(step), step, step | {"name": "Repeat"}], mode=mode)
    result = played.of("Run")["tasks"]
    assert [(entry["state"], entry["rc"]) for entry in result] == [("succeeded", 0)] * 4, result
    assert all(entry["logs"].strip() not in ("", "0") for entry in result)
    assert [played.of(name)["changed"] for name in ("Predict", "Run", "Repeat")] == [True, True, False]
    refused = run([batch("Redirected", [task("redirected", "true", {})], security_profile="restricted")], mode=mode).of("Redirected")
    assert refused["failed"] and "istio-init" in refused["msg"] and "NET_ADMIN" in refused["msg"], refused
