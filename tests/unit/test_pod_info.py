# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pod_info reads, and what it waits for."""

from __future__ import annotations

import copy
from fractions import Fraction
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.events import read_events
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.resources import pod_requests
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt, perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_info

from ..support.hostile_server import HostileServer, behave
from ..support.stub_cluster import RUNNING, Answer, StubCluster, live
from .fake_cluster import FakeCluster

METADATA = {"name": "bad", "namespace": "n", "uid": "u"}
JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": METADATA, "spec": {}, "status": {"active": 1}}
FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}]}


def fail(cluster, **given):
    """The error of the operation."""
    params = {name: spec.get("default") for name, spec in pod_info.OPERATION.arguments.items()} | {"namespace": "n"} | given
    return attempt(pod_info.OPERATION, Invocation(params, False, False, Console(), cluster))[1]


@pytest.mark.parametrize("parent", [{}, "", {"kind": "Job"}])
def test_an_empty_parent_does_not_mean_all_pods(tmp_path, parent):
    assert fail(FakeCluster(tmp_path), parent=parent).message.startswith("parent: must be the name of a pod, or a mapping")


def test_an_object_that_fails_between_the_first_read_and_the_watch_is_not_waited_for(tmp_path):
    cluster = FakeCluster(tmp_path)
    cluster.objects["Job", "n", "bad"] = copy.deepcopy(JOB)
    read = cluster.get

    def get(*arguments):
        found = read(*arguments)
        cluster.objects["Job", "n", "bad"]["status"] = FAILED
        return found

    cluster.get = get
    error = fail(cluster, kind="Job", api_version="batch/v1", name="bad", wait=True, wait_timeout=30)
    assert "cannot become ready: BackoffLimitExceeded: too often" in error.message


def test_sidecars_and_what_is_measured_of_a_pod_are_in_its_summary():
    """As in the column READY of kubectl, and without what the metrics API does not report."""
    sidecar = {"name": "mesh", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}}
    spec = {"containers": [{"name": "task", "resources": {"requests": {"cpu": "100m"}}}], "initContainers": [{"name": "init"}, sidecar]}
    statuses = {"containerStatuses": [{"name": "task", "ready": True, "restartCount": 1}]}
    statuses["initContainerStatuses"] = [{"name": "init", "ready": True, "restartCount": 5}, {"name": "mesh", "ready": False, "restartCount": 2}]
    metadata = {"name": "web", "namespace": "n", "uid": "web", "creationTimestamp": "2026-01-01T00:00:00Z"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": statuses}
    summary = pod_info._summarize(pod, {("n", "web"): {"cpu": Fraction(1, 2)}}, 1767225600)
    assert (summary["ready"], summary["restarts"], summary["cpu"]) == ("1/2", 3, 0.5) and "memory" not in summary
    assert pod_requests(pod) == {"cpu": Fraction("0.15")}
    assert pod_requests(pod | {"spec": spec | {"resources": {"requests": {"cpu": "1"}}}}) == {"cpu": 1}


PODS = [live("v1", "Pod", f"p{number}", spec={"containers": [{"name": "task"}]}, status=RUNNING) for number in range(5)]


@pytest.mark.parametrize(
    ("ignores", "expected"),
    [(True, (2, True, "", 3)), (False, (2, True, "2", None))],
)
def test_a_server_that_ignores_the_limit_returns_no_more_objects(ignores, expected):
    """As metrics-server does."""

    def ignore(call, connection, execute):
        if ignores and call.group == "list":
            connection.respond(Answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": PODS}))
        else:
            behave(call, connection, execute)

    with HostileServer(StubCluster(PODS), ignore) as server:
        params = {name: spec.get("default") for name, spec in pod_info.OPERATION.arguments.items()} | {"namespace": "default", "host": server.url, "limit": 2}
        console = Console()
        result = perform(pod_info.OPERATION, params, False, False, console)
    assert (len(result["resources"]), result["truncated"], result["continue_token"], result["remaining"]) == expected
    warning = "The server ignores limit for kind Pod: 3 objects that follow were dropped, and there is no next page. Read all of them without limit."
    assert console.warnings == [warning] * ignores


def test_events_of_a_node_are_those_of_its_kubelet_too():
    """The kubelet writes the name of its node as the uid, and other components none at all."""
    node = live("v1", "Node", "node-1", status={})
    about = {"kind": "Node", "name": "node-1"}
    uids = {"Registered": node["metadata"]["uid"], "Ready": "node-1", "Drained": "", "Earlier": "of-an-earlier-node"}
    events = [live("v1", "Event", reason.lower(), involvedObject=about | {"uid": uid}, reason=reason, type="Normal") for reason, uid in uids.items()]
    events.append(live("v1", "Event", "nameless", involvedObject=about, reason="Nameless", type="Normal"))
    events.append(live("v1", "Event", "of-a-pod", involvedObject={"kind": "Pod", "name": "node-1", "uid": "node-1"}, reason="OfPod", type="Normal"))
    with HostileServer(StubCluster([node, *events])) as server, Client(Configuration({"host": server.url})) as client:
        assert {event["reason"] for event in read_events(client, node)} == {"Registered", "Ready", "Drained", "Nameless"}
        pod = PODS[0] | {"metadata": PODS[0]["metadata"] | {"name": "node-1", "uid": "another"}}
        assert read_events(client, pod) == []


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_namespace_that_a_run_may_create_is_not_missed_in_check_mode(check_mode, tmp_path):
    console, cluster = Console(), FakeCluster(tmp_path)
    cluster.configuration, cluster.now = SimpleNamespace(server="https://server", source="", namespace="n"), lambda: 0.0
    params = {name: spec.get("default") for name, spec in pod_info.OPERATION.arguments.items()} | {"namespace": "n"}
    assert attempt(pod_info.OPERATION, Invocation(params, check_mode, False, console, cluster))[1] is None
    assert any("Namespace 'n' not found" in text for text in console.warnings) != check_mode


@pytest.mark.parametrize(
    ("kind", "given", "variable", "namespace"),
    [
        ("ConfigMap", {}, "", None),
        ("ConfigMap", {}, "team", "team"),
        ("ConfigMap", {"namespace": "n"}, "team", "n"),
        ("ConfigMap", {"all_namespaces": True}, "team", None),
        ("Pod", {}, "", "of-context"),
        ("Namespace", {}, "team", None),
    ],
)
def test_the_variable_of_the_namespace_applies_to_all_kinds(kind, given, variable, namespace, monkeypatch):
    monkeypatch.setenv("PODWRIGHT_NAMESPACE", variable)
    params = {name: spec.get("default") for name, spec in pod_info.OPERATION.arguments.items()} | given
    invocation = Invocation(params, False, False, Console(), SimpleNamespace(configuration=SimpleNamespace(namespace=variable or "of-context")))
    assert pod_info._namespace(invocation, BUILT_IN["v1", kind]) == namespace
