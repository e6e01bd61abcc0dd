# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The event source of ansible-rulebook against a stub server: which events it yields, how it recovers, and that it stops."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import runpy
import threading
import time
from contextlib import contextmanager

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.event_source import stream as stream_module
from ansible_collections.podwright.core.plugins.module_utils._engine.event_source.options import OWN, read_options
from ansible_collections.podwright.core.plugins.module_utils._engine.event_source.payload import Describer
from ansible_collections.podwright.core.plugins.module_utils._engine.event_source.stream import EventStream

from ..support.documents import read_yaml
from ..support.environment import ROOT
from ..support.waiting import wait_for
from .stub_server import LIVE_METADATA, Response, StubServer
from .test_documentation import differences

PLUGIN = ROOT / "extensions/eda/plugins/event_source/events.py"
EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}}
CANARY = "canary-5d41402abc"
ENCODED = base64.b64encode(CANARY.encode()).decode()


def pod(name, version="1", exit_code=None, **metadata):
    """A pod whose uid is its name; it runs, or its container has terminated."""
    state = {"running": {}} if exit_code is None else {"terminated": {"exitCode": exit_code, "reason": "Completed" if exit_code == 0 else "Error"}}
    phase = "Running" if exit_code is None else "Failed" if exit_code else "Succeeded"
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": LIVE_METADATA | {"name": name, "namespace": "n", "uid": name, "resourceVersion": version} | metadata,
        "spec": {"containers": [{"name": "task"}], "restartPolicy": "Never", "nodeName": "node-1"},
        "status": {"phase": phase, "containerStatuses": [{"name": "task", "state": state, "restartCount": 0}]},
    }


def secret(**metadata):
    """A Secret that kubectl applied."""
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"data": {"key": ENCODED}})}
    return {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": LIVE_METADATA | {"name": "s", "namespace": "n", "uid": "s", "annotations": annotations} | metadata,
        "data": {"key": ENCODED},
    }


def change(event_type, item):
    return {"type": event_type, "object": item}


def lines(*events):
    """The response to a watch request that yields events and is then closed."""
    return Response(200, b"".join(json.dumps(e).encode() + b"\n" for e in events))


def failure(status, reason, message):
    return Response(status, {"kind": "Status", "reason": reason, "message": message})


class Cluster:
    """Responds to lists and to watches with what a test put there; the last list stays, and a watch without a response waits for the test to finish."""

    def __init__(self, lists=((),), watches=()):
        self.lists, self.watches, self.finished, self.is_down = [*lists], [*watches], threading.Event(), False
        self.paths = []

    def __call__(self, handler):
        self.paths.append(handler.path)
        if self.is_down:
            raise ConnectionError("closes the connection")
        if "watch=true" in handler.path:
            if self.watches:
                return self.watches.pop(0)
            self.finished.wait(30)
            return lines() if not self.is_down else self(handler)
        if handler.path == "/api/v1/namespaces/n":
            return Response(200, {"kind": "Namespace", "apiVersion": "v1", "metadata": LIVE_METADATA | {"name": "n"}})
        if handler.path == "/api/v1/namespaces/missing":
            return failure(404, "NotFound", 'namespaces "missing" not found')
        given = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(given, Response):
            return given
        kind = "SecretList" if "secrets" in handler.path else "PodList"
        return Response(200, {"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "50"}, "items": list(given)})


@contextmanager
def streaming(cluster, **options):
    """An EventStream of the objects in a cluster."""
    with StubServer(cluster) as server:
        try:
            with EventStream({"host": server.url, "namespaces": ["n"], **options}, Console()) as stream:
                yield stream
                cluster.finished.set()
        finally:
            cluster.finished.set()


def wait_for_watch(cluster):
    wait_for(lambda: any("watch=true" in path for path in cluster.paths))


def take(stream, count):
    """The next events, as (type, name)."""
    return [(event["type"], event["name"]) for event in (stream.next(10) for _number in range(count))]


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """The stream reconnects and stops at once."""
    monkeypatch.setattr(stream_module, "_STEP", 0.02)
    monkeypatch.setattr(stream_module, "_FIRST_PAUSE", 0.01)


# -- events -----------------------------------------------------------------------------------------------------


def test_changes_are_events_that_describe_the_object():
    finished = pod("a", "12", 3, labels={"podwright.io/task": "build", "podwright.io/set": "nightly"})
    cluster = Cluster([[pod("a", "11")]], [lines(change("MODIFIED", finished), change("DELETED", finished))])
    with streaming(cluster) as stream:
        modified, deleted = stream.next(10), stream.next(10)
    assert modified["type"] == "MODIFIED" and deleted["type"] == "DELETED"
    expected = {"kind": "Pod", "api_version": "v1", "namespace": "n", "name": "a", "uid": "a", "resource_version": "12", "task": "build", "set": "nightly"}
    expected |= {"state": "failed", "reason": "Error", "phase": "Failed", "rc": 3, "exit_codes": {"task": 3}, "node": "node-1", "restarts": 0}
    assert expected.items() <= modified.items()
    assert modified["object"] == finished and modified["initial"] is False and modified["cluster"].startswith("http://127.0.0.1")


def test_existing_objects_are_events_only_if_requested():
    cluster = Cluster([[pod("a")]], [lines(change("ADDED", pod("b", "12")))])
    with streaming(cluster) as stream:
        assert take(stream, 1) == [("ADDED", "b")]
    with streaming(Cluster([[pod("a")]]), initial=True) as stream:
        event = stream.next(10)
    assert (event["type"], event["name"], event["initial"]) == ("ADDED", "a", True)


@pytest.mark.parametrize("kinds", [["po"], "v1/Pod", ["pods", "Pod"]])
def test_selectors_and_namespaces_are_those_of_the_requests(kinds):
    cluster = Cluster([[]])
    with streaming(cluster, namespaces="n", kinds=kinds, label_selectors=["a=b", "c"], field_selectors=["spec.nodeName=x"]) as stream:
        wait_for_watch(cluster)
        assert stream.next(0.3) is None
    watches = [path for path in cluster.paths if "watch=true" in path]
    assert len(watches) == 1 and all(
        path.startswith("/api/v1/namespaces/n/pods?") and "labelSelector=a%3Db%2Cc" in path and "fieldSelector=spec.nodeName%3Dx" in path for path in watches
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"states": ["failed"]}, [("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]),
        ({"states": ["failed"], "changed_fields": ["state"], "event_types": ["ADDED", "MODIFIED"]}, [("MODIFIED", "a"), ("ADDED", "c")]),
        ({"phases": ["Succeeded"]}, [("ADDED", "b")]),
        ({"phases": ["succeeded"], "reasons": ["completed"]}, [("ADDED", "b")]),
        ({"reasons": ["Completed"], "event_types": ["MODIFIED"]}, [("MODIFIED", "b")]),
        ({"changed_fields": ["object.metadata.labels[x]"], "event_types": ["MODIFIED"]}, [("MODIFIED", "b")]),
    ],
)
def test_filters_select_events(options, expected):
    first, again = pod("a", "12", 1), pod("a", "13", 1, labels={"y": "1"})
    changes = [change("MODIFIED", first), change("ADDED", pod("b", "14", 0)), change("MODIFIED", pod("b", "15", 0, labels={"x": "1"}))]
    changes += [change("MODIFIED", again), change("DELETED", again), change("ADDED", pod("c", "18", 1)), change("ADDED", pod("last", "19", 1))]
    with streaming(Cluster([[pod("a", "11")]], [lines(*changes)]), **options) as stream:
        assert take(stream, len(expected)) == expected


def test_heartbeats_show_that_the_source_is_connected():
    cluster = Cluster([failure(503, "ServiceUnavailable", "starting"), [pod("a")]])
    with streaming(cluster, heartbeat=1) as stream:
        beat = stream.next(10) or stream.next(10)  # None once it is due
    assert {"type": "HEARTBEAT", "connected": True, "objects": 1}.items() <= beat.items()


# -- recovery ---------------------------------------------------------------------------------------------------


def test_expired_history_yields_what_changed_and_nothing_else():
    cluster = Cluster(
        [[pod("same", "5"), pod("changed", "6"), pod("deleted", "7")], [pod("same", "5"), pod("changed", "40"), pod("new", "41")]],
        [lines(EXPIRED), lines(change("ADDED", pod("last", "51")))],
    )
    with streaming(cluster) as stream:
        assert take(stream, 4) == [("DELETED", "deleted"), ("MODIFIED", "changed"), ("ADDED", "new"), ("ADDED", "last")]


def test_objects_that_were_listed_again_and_again_yield_no_event():
    cluster = Cluster([[pod("a", "5")]], [lines(EXPIRED)] * 3 + [lines(change("MODIFIED", pod("a", "5"))), lines(change("MODIFIED", pod("a", "6", 0)))])
    with streaming(cluster) as stream:
        event = stream.next(10)
        assert (event["type"], event["resource_version"]) == ("MODIFIED", "6")
        assert stream.next(0.2) is None


def test_changes_during_an_outage_are_events_afterwards():
    cluster = Cluster([[pod("a", "5"), pod("b", "6")], [pod("b", "40", 1)]])
    with StubServer(cluster) as server:
        options = {"host": server.url, "namespaces": ["n"]}
        stream = EventStream(options, Console())
        stream.start()
        wait_for_watch(cluster)
        port, cluster.is_down = server.port, True
        cluster.finished.set()  # closes the watch
    # No server listens now: the watches wait for it.
    assert stream.next(0.5) is None
    cluster.watches, cluster.finished, cluster.is_down = [lines(EXPIRED)], threading.Event(), False
    with StubServer(cluster, port=port):
        try:
            assert take(stream, 2) == [("DELETED", "a"), ("MODIFIED", "b")]
        finally:
            stream.close()
            cluster.finished.set()


def test_token_that_expired_is_read_again(tmp_path):
    token = tmp_path / "token"
    token.write_text("new")
    user = {"name": "u", "user": {"tokenFile": str(token)}}

    class Expiring(Cluster):
        """Accepts one token."""

        def __call__(self, handler):
            if handler.headers.get("Authorization") != "Bearer new":
                token.write_text("new")
                return failure(401, "Unauthorized", "expired")
            return super().__call__(handler)

    with StubServer(Expiring([[]], [lines(change("ADDED", pod("a", "12")))])) as server:
        token.write_text("old")
        clusters = [{"name": "c", "cluster": {"server": server.url}}]
        contexts = [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "n"}}]
        kubeconfig = {"apiVersion": "v1", "kind": "Config", "clusters": clusters, "users": [user], "contexts": contexts, "current-context": "x"}
        with EventStream({"kubeconfig": kubeconfig}, Console()) as stream:
            assert take(stream, 1) == [("ADDED", "a")]


@pytest.mark.parametrize("before", [[], [[pod("a")]]], ids=["first kind", "second kind"])
@pytest.mark.parametrize(("status", "reason"), [(401, "Unauthorized"), (403, "Forbidden"), (404, "NotFound")])
def test_denied_requests_fail_at_the_start(status, reason, before):
    with streaming(Cluster([*before, failure(status, reason, 'User "jane" cannot list resource "pods"')]), kinds=["Pod", "Secret"]) as stream:
        with pytest.raises(PodwrightError):
            stream.next(10)


def test_server_that_does_not_respond_fails_after_the_reconnect_timeout():
    cluster, console = Cluster([[]]), Console()
    with StubServer(cluster) as server:
        stream = EventStream({"host": server.url, "namespaces": ["n"], "reconnect_timeout": 1}, console)
        stream.start()
        assert stream.next(0.5) is None
        cluster.is_down = True
        cluster.finished.set()  # closes the watch
    try:
        with pytest.raises(PodwrightError, match=r"has not responded for 1 s|Could not connect"):
            stream.next(30)
    finally:
        stream.close()
    assert any("The event source reconnects" in text for text in console.warnings)


def test_a_stream_that_is_closed_reports_no_outage():
    cluster, console = Cluster([[]]), Console()
    with StubServer(cluster) as server:
        with EventStream({"host": server.url, "namespaces": ["n"]}, console) as stream:
            assert stream.next(0.5) is None
        cluster.finished.set()
    assert console.warnings == []


def test_rule_engine_that_is_busy_makes_the_server_wait():
    changes = [change("ADDED", pod(f"p{number}", str(100 + number))) for number in range(1000)]
    with streaming(Cluster([[]], [lines(*changes)])) as stream:
        time.sleep(0.5)
        assert stream._queue.qsize() <= stream_module.MAX_WAITING
        assert [name for _type, name in take(stream, 1000)] == [f"p{number}" for number in range(1000)]


# -- what events contain ----------------------------------------------------------------------------------------


def describe(item, **options):
    """The event of an object."""
    describer = Describer(read_options(options), "https://api")
    return describer.event("ADDED", describer.describe(item), False)


def test_values_of_secrets_are_included_only_if_requested():
    event = describe(secret())
    assert CANARY not in json.dumps(event) and ENCODED not in json.dumps(event) and event["object"]["data"]["key"].startswith("secret:")
    assert describe(secret(), secret_values=True)["object"]["data"]["key"] == ENCODED


def test_copies_of_a_secret_in_annotations_of_other_tools_are_redacted():
    event = describe(secret(annotations={"kapp.k14s.io/original": json.dumps({"stringData": {"key": CANARY}}), "team": "a"}))
    assert CANARY not in json.dumps(event) and event["object"]["metadata"]["annotations"]["team"] == "a"


def test_variables_of_tasks_are_redacted():
    item = pod("a", labels={"app.kubernetes.io/managed-by": "podwright"})
    item["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": CANARY}]
    assert CANARY not in json.dumps(describe(item))


@pytest.mark.parametrize("value", ["x" * 100_000, float("nan")])
def test_events_that_are_too_large_lack_the_object(value):
    item = pod("a", exit_code=1)
    item["spec"]["extra"] = value
    event = describe(item)
    assert "object" not in event and event["truncated"] is True and event["state"] == "failed"


def test_events_are_plain_json_of_bounded_size():
    item = pod("a", exit_code=1, labels={f"label-{number}": "x" * 60 for number in range(1000)})
    item["status"]["message"] = "\x1b[31m\U0001f600" * 10_000
    item["status"]["reason"] = "DeadlineExceeded"
    event = describe(item, max_bytes=4096)
    assert len(json.dumps(event, allow_nan=False)) <= 4096 and (event["name"], event["state"]) == ("a", "failed") and event["truncated"] is True


def test_objects_can_be_left_out():
    assert "object" not in describe(pod("a"), include_object=False)


def test_events_of_the_cluster_have_their_reason_and_object():
    about = {"kind": "Pod", "namespace": "n", "name": "a", "uid": "u", "fieldPath": "spec"}
    metadata = LIVE_METADATA | {"name": "e", "namespace": "n"}
    item = {"kind": "Event", "apiVersion": "v1", "metadata": metadata, "type": "Warning", "reason": "BackOff", "message": "restarting", "count": 4}
    expected = {"reason": "BackOff", "message": "restarting", "severity": "Warning", "count": 4, "regarding": {k: about[k] for k in about if k != "fieldPath"}}
    assert expected.items() <= describe(item | {"involvedObject": about}).items()
    newer = {
        "kind": "Event",
        "apiVersion": "events.k8s.io/v1",
        "metadata": metadata,
        "type": "Normal",
        "reason": "Pulled",
        "note": "ok",
        "series": {"count": 3},
    }
    assert {"message": "ok", "count": 3, "regarding": {"kind": "Pod", "name": "a"}}.items() <= describe(
        newer | {"regarding": {"kind": "Pod", "name": "a"}}
    ).items()


@pytest.mark.parametrize("reason", ["CrashLoopBackOff", "ImagePullBackOff"])
def test_containers_that_do_not_start_are_the_reason(reason):
    item = pod("a")
    item["spec"]["restartPolicy"] = "Always"
    item["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": reason, "message": "back-off"}}
    event = describe(item)
    assert event["reason"] == reason and event["state"] in ("pending", "running")


def test_node_that_is_not_ready_is_progressing():
    item = {"kind": "Node", "apiVersion": "v1", "metadata": LIVE_METADATA | {"name": "node-1"}, "spec": {}}
    conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]
    assert describe(item | {"status": {"conditions": conditions}})["state"] in ("progressing", "failed")
    conditions[1]["status"] = "True"
    assert describe(item | {"status": {"conditions": conditions}})["state"] == "ready"


def test_rollout_that_failed_has_that_state():
    status = {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}]}
    item = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": LIVE_METADATA | {"name": "d"}, "spec": {"replicas": 1}, "status": status}
    assert (describe(item)["state"], describe(item)["message"]) == ("failed", "late")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, "pending"),
        ({"active": 1}, "running"),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, "succeeded"),
        ({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}, "failed"),
    ],
)
def test_jobs_have_the_states_of_tasks(status, state):
    item = {"kind": "Job", "apiVersion": "batch/v1", "metadata": LIVE_METADATA | {"name": "j", "namespace": "n"}, "spec": {}, "status": status}
    assert describe(item)["state"] == state


@pytest.mark.parametrize("status", [None, {"phase": "Bound"}, {"phase": 5, "conditions": [5]}, [], "text"])
def test_other_kinds_have_a_state_whatever_their_status_is(status):
    item = {"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": "w", "uid": "w"}, "status": status}
    assert describe(item)["state"] in ("progressing", "ready", "failed")


# -- options ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": []}, "kinds: must not be empty"),
        ({"kinds": [" "]}, r"kinds\[0\]: must not be empty"),
        ({"kind": None, "event_types": []}, "event_types: must not be empty"),
        ({"namespaces": ["a", " b"]}, r"namespaces\[1\]: must be the name of a namespace, got ' b'"),
        ({"namespaces": ["a"], "all_namespaces": True}, "all_namespaces: must not be set with namespaces"),
        ({"label_selectors": [""]}, r"label_selectors\[0\]: must not be empty"),
        ({"states": ["broken"]}, "states.*must be one"),
        ({"changed_fields": ["stat"]}, r"changed_fields\[0\]: unknown field 'stat' of an event; fields: kind"),
        ({"max_bytes": 10}, "max_bytes: must be 4096 or greater, got 10"),
        ({"heartbeat": -1}, "heartbeat: must be 0 or greater, got -1"),
        ({"secret_values": True, "include_object": False}, "secret_values: must not be set with include_object: false"),
        ({"namespce": "a"}, "namespce: unknown option; did you mean namespace"),
        ({"heartbeat": "often"}, "heartbeat"),
    ],
)
def test_invalid_options_are_refused_before_the_first_request(options, message):
    with pytest.raises(PodwrightError, match=message):
        EventStream({"host": "http://127.0.0.1:1"} | options, Console())


def test_namespaces_are_refused_for_kinds_without_them():
    with streaming(Cluster([[]]), kinds=["Node"]) as stream, pytest.raises(PodwrightError, match=r"namespaces: must not be set for kinds .*: Node"):
        stream.next(10)


def test_connection_options_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("K8S_AUTH_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("K8S_AUTH_API_KEY", "token")
    assert read_options({})["host"] == "http://127.0.0.1:1" and read_options({"api_key": None})["api_key"] == "token"


def test_options_are_documented():
    documented = read_yaml(runpy.run_path(str(PLUGIN))["DOCUMENTATION"])["options"]
    assert differences(documented, OWN) == []


# -- the plugin -------------------------------------------------------------------------------------------------


def sockets():
    """The open sockets of this process."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if link.startswith("socket:"):
            found.add(link)
    return found


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("podwright")}


def run_plugin(server, until, **options):
    """The events that the plugin puts into a queue until it fails, or is cancelled: once `until` is true, which is called with the events."""
    found, plugin = [], runpy.run_path(str(PLUGIN))["main"]
    plugin.__globals__["WAIT_SECONDS"] = 0.05

    class Queue:
        """Like that of ansible-rulebook."""

        async def put(self, event):
            """Keep an event."""
            found.append(event)

    async def cancelled():
        args = {"host": server.url, "namespaces": ["n"], "eda_feedback_queue": object(), **options}
        task = asyncio.create_task(plugin(Queue(), args))
        deadline = time.monotonic() + 30
        while not until(found) and not task.done() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.done()
        return task

    task = asyncio.run(cancelled())
    if not task.cancelled():
        task.result()
    return found


@pytest.mark.parametrize("is_reconnecting", [False, True])
def test_cancelled_plugin_leaves_no_thread_and_no_socket(is_reconnecting):
    cluster = Cluster([[], failure(503, "ServiceUnavailable", "stopped")] if is_reconnecting else [[]], [lines(change("ADDED", pod("a", "12")))])
    cluster.watches += [lines(EXPIRED)] if is_reconnecting else []
    with StubServer(cluster) as server:
        before, idle = threads(), sockets()
        try:
            assert [event["name"] for event in run_plugin(server, lambda found: found and not cluster.watches)] == ["a"]
            assert threads() == before
        finally:
            cluster.finished.set()
    deadline = time.monotonic() + 5
    while not sockets() <= idle and time.monotonic() < deadline:
        time.sleep(0.05)  # the threads of the server close theirs
    assert sockets() <= idle


def test_plugin_fails_with_the_error_of_the_stream():
    with StubServer(Cluster([failure(403, "Forbidden", 'User "jane" cannot list resource "pods"')])) as server:
        with pytest.raises(Exception, match="cannot list"):
            run_plugin(server, lambda _found: False)


def test_plugin_logs_what_it_does(caplog):
    with caplog.at_level(logging.INFO), StubServer(Cluster([failure(500, "InternalError", "broken"), []])) as server:
        run_plugin(server, lambda _found: "Watching" in caplog.text, namespaces=["missing", "n"])
    assert [record.name for record in caplog.records if "Namespace 'missing' not found" in record.getMessage()] == ["podwright.core.events"]
    assert "Watching Pods in namespace 'missing', Pods in namespace 'n'." in caplog.text


def test_plugin_names_the_package_that_is_missing(monkeypatch):
    plugin = runpy.run_path(str(PLUGIN))

    def fail(name):
        raise ModuleNotFoundError("No module named 'ansible'", name="ansible")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(RuntimeError, match=r"needs ansible-core in the Python of ansible-rulebook .*pip install ansible-core"):
        plugin["load_engine"]("console")
