# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks in a service mesh: a task is done when its container is, and its proxy does not keep its pod or Job running."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.events import list_events
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.job_status import read_job
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.meshes import NATIVE_SIDECARS, QUIT_ENDPOINTS, idle_proxy
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import read_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import proxies, task_completion
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.threads import Pool

from ..support.hostile_server import HostileServer, behave
from ..support.local_commands import frame
from ..support.stub_cluster import StubCluster, failure, live
from .task_specs import spec
from .test_task_order import batch, session, states

STARTED, FINISHED, STAMP = "2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z", "2026-01-01T01:00:00Z"


def meshed(code=0, proxy="istio-proxy", policy="Never", phase="Running", state=None, **status):
    """A pod whose task has terminated, and whose proxy has the given state."""
    ended = {"terminated": {"exitCode": code, "finishedAt": FINISHED}} if code is not None else {"running": {}}
    entries = [{"name": proxy, "state": state or {"running": {}}}, {"name": "task", "state": ended}]
    return {
        "metadata": {"name": "t", "namespace": "n", "uid": "1", "creationTimestamp": STARTED},
        "spec": {"restartPolicy": policy, "activeDeadlineSeconds": 3600, "containers": [{"name": "task"}, {"name": proxy}]},
        "status": {"phase": phase, "startTime": STARTED, "containerStatuses": entries} | status,
    }


def job(**fields):
    return {"metadata": {"name": "t"}, "spec": {"backoffLimit": 2}, "status": {}} | fields


def test_tasks_that_complete_ask_for_native_sidecars():
    for kind in ("Pod", "Job"):
        manifest = build_manifest(spec(kind=kind, annotations={"sidecar.istio.io/nativeSidecar": "false"}), "baseline")
        annotations = (manifest["spec"]["template"] if kind == "Job" else manifest)["metadata"]["annotations"]
        assert {name: annotations[name] for name in NATIVE_SIDECARS} == NATIVE_SIDECARS | {"sidecar.istio.io/nativeSidecar": "false"}
    assert not NATIVE_SIDECARS.keys() & build_manifest(spec(state="running"), "baseline")["metadata"]["annotations"].keys()


@pytest.mark.parametrize(
    ("pod", "name"),
    [
        (meshed(), "istio-proxy"),
        (meshed(3), "istio-proxy"),
        (meshed(proxy="linkerd-proxy"), "linkerd-proxy"),
        (meshed(proxy="other"), None),
        (meshed(code=None), None),
        (meshed(3, policy="OnFailure"), None),
        (meshed(0, policy="OnFailure"), "istio-proxy"),
        (meshed(policy="Always"), None),
        (meshed(state={"terminated": {"exitCode": 0}}), None),
        (meshed(state={"waiting": {"reason": "ContainerCreating"}}), "istio-proxy"),
        (meshed(phase="Failed", reason="DeadlineExceeded"), None),
    ],
)
def test_a_proxy_is_idle_once_its_task_has_terminated(pod, name):
    assert idle_proxy(pod) == name


def test_a_task_is_done_when_its_container_is():
    assert read_pod(meshed()).state == "succeeded" and read_pod(meshed(3)).state == "failed"
    assert read_job(job(), [meshed()]).state == "succeeded"
    assert read_job(job(), [meshed(3)]).state == "pending"  # it retries once the proxy has terminated
    assert read_job(job(), [meshed(3, proxy="other")]).state == "failed"
    assert read_job(job(spec={"backoffLimit": 0}), [meshed(3)]).state == "failed"


def test_a_job_whose_proxy_ran_until_the_deadline_has_succeeded():
    failed = job(status={"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]})
    killed = meshed(phase="Failed", reason="DeadlineExceeded", state={"terminated": {"exitCode": 0, "finishedAt": STAMP}})
    assert read_job(failed, [killed]).state == "succeeded"
    assert read_job(failed | {"spec": {"completions": 2}}, [killed]).state == "failed"


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_each_idle_proxy_is_asked_once_to_terminate(kind, monkeypatch):
    made, asked = session({}), []
    monkeypatch.setattr(proxies, "_ask", lambda _client, pod, container: asked.append((pod["metadata"]["uid"], container)) or (200, ""))
    step = made.cluster._pod_step

    entries = meshed()["status"]["containerStatuses"]

    def run_on(pod):
        if pod["status"]["phase"] != "Running" or asked:
            return step(pod)
        if pod["status"]["containerStatuses"] == entries:
            return None
        return lambda: made.cluster._modify(pod, lambda it: it["status"].update(containerStatuses=entries))

    made.cluster._pod_step = run_on
    fields, error = made.perform(batch("t", kind=kind))
    assert error is None and states(fields) == {"t": "succeeded"}
    pod = next(item for (name, _n, _name), item in made.cluster.objects.items() if name == "Pod")
    assert asked == [(pod["metadata"]["uid"], "istio-proxy")] and set(QUIT_ENDPOINTS) == {"istio-proxy", "linkerd-proxy"}


def test_the_events_of_a_proxy_do_not_explain_the_failure_of_a_command(monkeypatch):
    left_out = []
    monkeypatch.setattr(task_completion, "list_events", lambda _client, _item, besides: left_out.append(set(besides)) or [])
    session({"bad": 2}).perform(batch("bad"))
    assert left_out == [set(QUIT_ENDPOINTS)]
    about = {"kind": "Pod", "name": "t", "uid": "1"}
    fields = {"proxy": "spec.initContainers{istio-proxy}", "task": "spec.containers{task}", "pod": None}
    place = {"namespace": "n"}
    events = [live("v1", "Event", name, metadata=place, involvedObject=about | {"fieldPath": path}, reason=name) for name, path in fields.items()]
    pod = meshed() | {"apiVersion": "v1", "kind": "Pod"}
    with HostileServer(StubCluster([pod, *events])) as server, Client(Configuration({"host": server.url})) as client:
        assert {event["reason"] for event in list_events(client, pod, QUIT_ENDPOINTS)} == {"task", "pod"}
        assert {event["reason"] for event in list_events(client, pod)} == set(fields)


REFUSED = "failed to connect to localhost:15020: connection refused"


def quit_proxy(monkeypatch, respond, is_upgraded=True):
    """(paths that the proxy has received, the warnings) after it was asked to terminate. `respond` is given each port-forward: (server, connection, number)."""
    monkeypatch.setattr(proxies, "PAUSE_SECONDS", 0.01)
    asked = []

    def fault(call, connection, execute):
        if call.subresource != "portforward":
            return behave(call, connection, execute)
        asked.append(call)
        if is_upgraded:
            connection.upgrade(call)
        return respond(connection.server, connection, len(asked))

    pod, console = meshed() | {"apiVersion": "v1", "kind": "Pod"}, Console()
    with HostileServer(StubCluster([pod]), fault) as server, Client(Configuration({"host": server.url})) as client:
        open_proxies = proxies.Proxies(client, console)
        open_proxies.note(SimpleNamespace(spec=None, live=pod))
        with Pool(1) as pool:
            while open_proxies.is_open:
                open_proxies.quit(pool)
                time.sleep(0.01)
        return server.requests, console.warnings


def refuse(_server, connection, _number):
    connection.send(frame(b"\0\x50\0") + frame(b"\1\x50\0") + frame(b"\1" + REFUSED.encode()))


def test_a_proxy_that_does_not_listen_yet_is_asked_again(monkeypatch):
    received, warnings = quit_proxy(
        monkeypatch, lambda server, connection, number: refuse(server, connection, number) if number < 4 else server.forward(connection.sock)
    )
    assert received == [("POST", "/quitquitquit")] and not warnings


def test_a_proxy_that_has_terminated_is_not_asked_again(monkeypatch):
    def terminate(server, connection, number):
        server.cluster.objects["pods", "n", "t"]["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 0}}
        refuse(server, connection, number)

    assert quit_proxy(monkeypatch, terminate) == ([], [])
    assert quit_proxy(monkeypatch, lambda server, connection, number: (server.cluster.objects.clear(), refuse(server, connection, number))) == ([], [])


def test_a_proxy_that_never_listens_is_reported(monkeypatch):
    monkeypatch.setattr(proxies, "START_SECONDS", 0.1)
    received, [warning] = quit_proxy(monkeypatch, refuse)
    assert not received and REFUSED in warning and "proxy 'istio-proxy' could not be terminated" in warning


def test_a_run_that_may_not_forward_ports_asks_once(monkeypatch):
    asked = []

    def refuse_access(_server, connection, number):
        asked.append(number)
        connection.respond(failure(403, "Forbidden", 'pods "t" is forbidden: User "u" cannot create resource "pods/portforward" in API group ""'))

    received, [warning] = quit_proxy(monkeypatch, refuse_access, is_upgraded=False)
    assert asked == [1] and not received and "cannot create resource" in warning
