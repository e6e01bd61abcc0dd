# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests to an API server that is restarted: they are sent again until it permits them, and fail soon if it does not return."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import pause_after
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import availability, watch
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.availability import REQUEST_OUTAGE, STARTING, WAIT_OUTAGE, Availability
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.watch import Watcher
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import open_websocket
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

from .stub_server import POD_OBJECT, Response, StubServer
from .test_client import Clock

DENIED = Response(403, {"kind": "Status", "reason": "Forbidden", "message": 'pods "a" is forbidden: User "u" cannot get resource "pods": RBAC: not found'})
UNKNOWN_TOKEN = Response(401, {"kind": "Status", "reason": "Unauthorized", "message": "Unauthorized"})


class RestartedServer:
    """A server that does not run for some seconds of the clock of its client, which advances only while that sleeps."""

    def __init__(self, *answers):
        self.answers, self.clock, self.requests = list(answers), Clock(), 0
        self._server, self._port, self._returns_at = None, 0, float("inf")
        self.clock.sleep = self._sleep
        self.start()

    def start(self):
        """Start it, at the same port."""
        self._server = StubServer(self._respond, port=self._port).__enter__()
        self._port = self._server.port

    def stop(self, seconds=float("inf")):
        """Stop it for some seconds."""
        self._returns_at = self.clock.monotonic() + seconds
        if self._server:
            self._server.__exit__()
        self._server = None

    def connect(self):
        """A Client."""
        return Client(Configuration({"host": f"http://127.0.0.1:{self._port}", "api_key": "token"}), clock=self.clock)

    def _sleep(self, seconds):
        self.clock.slept.append(seconds)
        if self._server is None and self.clock.monotonic() > self._returns_at:
            self.start()

    def _respond(self, handler):
        self.requests += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return replace(answer, headers=answer.headers | {"Connection": "close"})


@pytest.fixture(autouse=True)
def impatient():
    """Clients pause as long as they do elsewhere: their clock is simulated here, too."""


@pytest.fixture
def serve():
    """A function that returns a RestartedServer."""
    servers = []

    def start(*answers):
        servers.append(RestartedServer(*answers or [Response()]))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.mark.parametrize("seconds", [2, 20])
def test_request_is_sent_again_until_a_server_returns(serve, seconds):
    server = serve()
    with server.connect() as client:
        client.get(POD, "n", "a")
        server.stop(seconds)
        assert client.get(POD, "n", "a") == POD_OBJECT
    assert seconds < server.clock.monotonic() < seconds + 10


def test_server_that_does_not_return_is_an_error_and_then_one_at_once(serve):
    server = serve()
    with server.connect() as client:
        client.get(POD, "n", "a")
        server.stop()
        for expected in (REQUEST_OUTAGE, 0):
            started = server.clock.monotonic()
            with pytest.raises(PodwrightError, match="No API server responds"):
                client.get(POD, "n", "a")
            assert expected <= server.clock.monotonic() - started <= expected + 10


def test_server_that_never_responded_is_an_error_at_once(serve):
    server = serve()
    server.stop()
    with server.connect() as client, pytest.raises(PodwrightError, match="No API server responds"):
        client.get(POD, "n", "a")
    assert server.clock.slept == []


@pytest.mark.parametrize("denial", [DENIED, UNKNOWN_TOKEN])
def test_server_that_starts_denies_what_it_then_permits(serve, denial):
    server = serve(Response(), denial, denial, denial, Response())
    with server.connect() as client:
        client.get(POD, "n", "a")
        server.stop(2)
        assert client.get(POD, "n", "a") == POD_OBJECT


@pytest.mark.parametrize("is_restarted", [True, False])
def test_denial_is_an_error(serve, is_restarted):
    server = serve(Response(), DENIED)
    with server.connect() as client:
        client.get(POD, "n", "a")
        server.stop(2) if is_restarted else None
        with pytest.raises(PodwrightError, match="cannot get resource"):
            client.get(POD, "n", "a")
    waited = server.clock.monotonic()
    assert STARTING < waited < STARTING + 20 if is_restarted else waited == 0


def test_refused_connections_were_not_executed(serve):
    """An object that a request finds deleted after them was deleted by somebody else."""
    missing = Response(404, {"kind": "Status", "reason": "NotFound", "message": 'pods "a" not found'})
    server = serve(Response(), missing)
    with server.connect() as client:
        client.get(POD, "n", "a")
        server.stop(5)
        assert client.delete(POD, "n", "a") is False


def test_websocket_is_requested_again_until_a_server_returns(serve):
    server = serve(Response(), DENIED, Response(404, {"kind": "Status", "reason": "NotFound", "message": "no such pod"}))
    with server.connect() as client:
        client.get(POD, "n", "a")
        server.stop(5)
        request = Request("POST", POD.path("n", "a", "exec"), kind=POD, namespace="n", name="a", subresource="exec", retryable=False)
        with pytest.raises(PodwrightError, match="no such pod"):
            open_websocket(client, request, ["v4.channel.k8s.io"])
    assert server.requests == 3


def test_websocket_is_not_requested_after_its_deadline(serve):
    server = serve(Response())
    with server.connect() as client:
        client.get(POD, "n", "a")
        server.stop()
        request = Request("POST", POD.path("n", "a", "exec"), kind=POD, namespace="n", name="a", deadline=client.clock.monotonic() + 2.5)
        with pytest.raises(PodwrightError) as caught:
            open_websocket(client, request, ["v4.channel.k8s.io"])
    assert caught.value.reason == "Timeout" and server.clock.slept == [1, 1, 0.5]


def test_watch_outlasts_a_restart(serve, monkeypatch):
    monkeypatch.setattr(watch, "_MAX_BACKOFF", 0.01)
    event = b'{"type": "ADDED", "object": {"kind": "Pod", "apiVersion": "v1", "spec": {"containers": [{"name": "task"}]}, "metadata": '
    event += b'{"name": "late", "uid": "u", "namespace": "n", "resourceVersion": "11", "creationTimestamp": "2001-01-01T00:00:00Z"}}}\n'
    server = serve(Response(), Response(200, event))
    with server.connect() as client:
        client.get(POD, "n", "a")
        server.stop()
        with Watcher(client) as watcher:
            watcher.follow(POD, "n", "10")
            assert watcher.next(0.5) is None  # far more failures than a watch of a server that responds may have
            server.start()
            assert watcher.next(10)[1]["metadata"]["name"] == "late"


def test_watch_of_a_server_that_does_not_return_fails(serve, monkeypatch):
    monkeypatch.setattr(watch, "_MAX_BACKOFF", 0.01)
    monkeypatch.setattr(availability, "WAIT_OUTAGE", 0)
    server = serve()
    with server.connect() as client:
        client.get(POD, "n", "a")
        server.stop()
        with Watcher(client) as watcher, pytest.raises(PodwrightError, match="No API server responds"):
            watcher.follow(POD, "n", "10")
            watcher.next(10)


def test_requests_that_succeed_do_not_prolong_another(monkeypatch):
    clock = Clock()
    outages, error = Availability(clock), PodwrightError("refused", reason="Refused")
    error.is_unreachable = True
    for _second in range(WAIT_OUTAGE):
        outages.note_response()
        outages.note_failure()
        clock.sleep(1)
    assert not outages.lets_retry(error, 0) and outages.lets_retry(error, clock.monotonic())


def test_pauses_double_up_to_the_longest_one_however_long_an_outage_lasts():
    assert [pause_after(failures, 0.2, 5) for failures in (1, 2, 3, 6, 10**6)] == pytest.approx([0.2, 0.4, 0.8, 5, 5])
