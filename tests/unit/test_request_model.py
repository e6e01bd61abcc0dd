# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pod_request to a server that answers anything: each request is sent once, in check mode only a safe one, and every answer is explained."""

from __future__ import annotations

import base64
import json
import random
import socket
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_request

from ..support.environment import scaled
from .fake_cluster import FakeCluster

EXAMPLES = scaled(60)
BODIES = (b"", b"hello", b'{"a": 1}', b'{"a": NaN, "b": "\\ud800"}', b"[" * 100_000, b"\xff\x00", b'{"a": 1', b"9" * 5000)
INTERIM = (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n")
TYPES = ("application/json", "application/problem+json; charset=utf-8", "text/plain", "")
ODD_HEADS = (b"", b"HTTP/1.1 2OO OK\r\n\r\n", b"SSH-2.0-server\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"HTTP/1.1 204 OK")
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"


class Server:
    """What listens in the pod. Each connection gets the answer to its request.

    Attributes:
        answers: path -> bytes to send, and whether they are a complete response.
        received: (method, path) of each request that has arrived.
    """

    def __init__(self):
        self.answers, self.received, self.refused = {}, [], set()

    def connection(self, *_arguments):
        """What replaces a Connection."""
        return Forward(self)


class Forward:
    error = ""

    def __init__(self, server):
        self._server = server
        if server.refused:
            raise PodwrightError("pods is forbidden: cannot create resource pods/portforward", status=403, reason="Forbidden")
        self.socket, self._outer = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with self._outer as outer:
            head = b""
            while b"\r\n\r\n" not in head:
                data = outer.recv(1 << 16)
                if not data:
                    return
                head += data
            method, target = head.decode("latin-1").split(" ")[:2]
            self._server.received.append((method, target))
            try:
                outer.sendall(self._server.answers[target])
                outer.shutdown(socket.SHUT_WR)
                while outer.recv(1 << 16):
                    pass  # to close it before the rest of the request is read would reset the connection, which does not complete a body
            except OSError:
                pass  # it was enough

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.socket.close()
        self._thread.join(5)


def answer(rng, method):
    """(bytes, status of the complete response in them or None, body)."""
    if rng.random() < 0.15:
        return rng.choice(ODD_HEADS), None, b""
    status, body = rng.choice([200, 200, 200, 201, 204, 301, 404, 500, 304, 599]), rng.choice(BODIES)
    has_body = method != "HEAD" and status not in (204, 304)
    length = rng.choice(["length", "length", "chunked", "close"])
    lines = [f"HTTP/1.1 {status} {rng.choice(['OK', '', 'Vary good'])}", *(f"Content-Type: {kind}" for kind in [rng.choice(TYPES)] if kind)]
    lines += [f"Content-Length: {len(body)}"] * (length == "length") + ["Transfer-Encoding: chunked"] * (length == "chunked")
    lines += ["Set-Cookie: a=1", "Set-Cookie: b=2"] * (rng.random() < 0.2)
    sent = body if has_body else b""
    if length == "chunked" and has_body:
        sent = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    content = b"".join(rng.sample(INTERIM, rng.choice([0, 0, 0, 1, 2]))) + "\r\n".join([*lines, "", ""]).encode() + sent
    if rng.random() < 0.2:
        cut = content[: rng.randrange(len(content) - 4)]  # the zero of the last chunk alone completes the body, too
        is_whole = (length == "close" or not has_body) and len(cut) >= len(content) - len(sent)
        return cut, status if is_whole else None, cut[len(content) - len(sent) :]
    return content, status, body if has_body else b""


def play(seed):
    rng, server = random.Random(seed), Server()
    requests = []
    for number in range(rng.randrange(1, 4)):
        method = rng.choice(["GET", "HEAD", "POST", "DELETE", "PATCH", "OPTIONS", "purge"])
        item = {"method": method, "path": f"/{number}", "status_code": rng.choice([[200], [200, 201, 204], [404]]), "return_content": rng.random() < 0.7}
        if method == "POST" and rng.random() < 0.5:
            item |= {"body": rng.choice(["text", {"a": [1, None]}, "ü"]), "body_format": rng.choice(["raw", "json"])}
        requests.append(item)
    expected = {item["path"]: answer(rng, item["method"]) for item in requests}
    server.answers = {path: content for path, (content, _status, _body) in expected.items()}
    server.refused = {True} if rng.random() < 0.1 else set()
    is_list, check_mode = len(requests) > 1 or rng.random() < 0.5, rng.random() < 0.3
    result, error = perform(server, {"requests": requests} if is_list else requests[0], check_mode)
    trace = f"{requests} {server.answers} {check_mode} {result} {error!r}"[:3000]
    assert error is None or error.reason != "Unforeseen", trace
    json.dumps(result)
    sent = {item["path"] for item in requests if not check_mode or item["method"] in ("GET", "HEAD", "OPTIONS")} if not server.refused else set()
    assert sorted(path for _method, path in server.received) == sorted(sent), f"sent {server.received} {trace}"
    results = result["results"] if is_list else [result]
    for item, own in zip(requests, results, strict=True):
        check(item, own, expected[item["path"]], item["path"] in sent, check_mode, trace)
    assert result["changed"] == any(own["changed"] for own in results) and bool(error) == any(own["failed"] for own in results), trace


def check(item, own, answered, is_sent, check_mode, trace):
    """One result is what the server answered."""
    _content, status, body = answered
    is_safe = item["method"] in ("GET", "HEAD", "OPTIONS")
    assert own["changed"] == (not is_safe and (is_sent or check_mode)), trace
    if not is_sent:
        assert own.get("skipped") if check_mode and not is_safe else own["failed"], trace
        return
    if status is None:
        assert own["failed"] and own["reason"] == "NoAnswer" and "No response to" in own["msg"], trace
        return
    assert own["status"] == status and own["failed"] == (status not in item["status_code"]), trace
    if item["return_content"]:
        assert own["content"] == body.decode("utf-8", "replace"), trace
        assert base64.b64decode(own.get("content_b64", "")) == (body if b"\xff" in body else b""), trace


@pytest.mark.parametrize(
    ("given", "reason"), [({"pod": "gone"}, "NotFound"), ({"port": "http"}, "BadOption"), ({"pod": None, "service": "gone"}, "NotFound"), ({}, "Forbidden")]
)
def test_a_request_without_a_response_has_the_status_of_uri(given, reason):
    """So that `until: result.status == 200` waits for a pod that is still to be created, or does not listen yet."""
    server = Server()
    server.refused = {True}
    result, error = perform(server, given)
    assert error.reason == reason and result["status"] == -1 and result["failed"] and not result["changed"]
    requests = {"requests": [{"path": "/a"}, {"method": "POST"}] if given else [{"path": "/a"}, {"path": "/b"}]}
    result, _error = perform(server, given | requests)
    assert [(own["status"], own["failed"], own["changed"], own["reason"]) for own in result["results"]] == [(-1, True, False, reason)] * 2


@pytest.mark.parametrize("given", [{"pod": "gone"}, {"pod": None, "service": "gone"}, {"pod": None, "service": "idle"}])
def test_requests_to_what_earlier_tasks_of_the_playbook_would_create_are_skipped_in_check_mode(given):
    result, error = perform(Server(), given | {"requests": [{"path": "/a"}, {"method": "POST"}]}, check_mode=True)
    assert error is None and result["changed"]
    assert [(own["status"], own["skipped"], own["failed"], own["changed"]) for own in result["results"]] == [(-1, True, False, False), (-1, True, False, True)]
    assert result["results"][0]["msg"].startswith("Check mode: GET /a was not sent: ") and f"'{given.get('service') or 'gone'}'" in result["results"][0]["msg"]
    _result, error = perform(Server(), given | {"port": "http"})
    assert error is not None


@pytest.mark.parametrize(
    ("answered", "problem", "hint"),
    [
        (None, "no complete response was received within 0.2 s", pod_request.LATE_HINT),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            "the connection was closed after 4 bytes of the body; 5 bytes are missing",
            pod_request.PARTIAL_HINT,
        ),
        (b"", "the connection was closed", "Check that a process listens on this port in the pod; localhost is sufficient."),
    ],
)
def test_the_hint_about_a_missing_response_fits_how_far_it_got(answered, problem, hint):
    server = Server()
    if answered is None:
        server.connection = lambda *_arguments: SilentForward()
    server.answers["/"] = answered
    _result, error = perform(server, {"timeout": 0.2 if answered is None else 5})
    assert error.message == f"No response to GET / from port 80 of pod 'web' in namespace 'n': {problem}" and error.hint == hint


class SilentForward:
    """A connection to a server that accepts it and does not respond."""

    error = ""

    def __enter__(self):
        self.socket, self._outer = socket.socketpair()
        return self

    def __exit__(self, *_exception):
        self.socket.close()
        self._outer.close()


@pytest.mark.parametrize("port", ["http", "0", "-1"])
def test_an_invalid_port_is_an_error_in_check_mode_too(port):
    _result, error = perform(Server(), {"port": port}, check_mode=True)
    assert error.reason == "BadOption"


def perform(server, params, check_mode=False):
    """(result, error) of a run against a pod with this server."""
    cluster = FakeCluster(None)
    cluster.branch = lambda: cluster
    cluster.streams = type("Streams", (), {"cancel": lambda self: None})()
    cluster.objects["Pod", "n", "web"] = {"metadata": {"name": "web", "namespace": "n"}, "spec": {"containers": [{"name": "task"}]}}
    cluster.objects["Service", "n", "idle"] = {"metadata": {"name": "idle"}, "spec": {"selector": {"a": "b"}, "ports": [{"name": "http", "port": 80}]}}
    full = {name: entry.get("default") for name, entry in pod_request.ARGUMENTS.items()} | {"namespace": "n", "pod": "web", "port": "80", "timeout": 5} | params
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pod_request, "Connection", server.connection)
        return attempt(pod_request.OPERATION, Invocation(full, check_mode, False, Console(), cluster))


@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_requests_hold_their_promises_whatever_is_answered(tried, seed):
    play(seed)
    tried("requests to a pod that answers anything, completely or not, in several pieces", 1, "lost", "wrong", "hung")


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("method", "is_safe", "is_failed"),
    [("/grpc.health.v1.Health/Check", True, True), ("grpc.health.v1.Health/List", True, False), ("a.B/Delete", False, False)],
)
def test_a_grpc_method_other_than_the_health_check_may_change_something(method, is_safe, is_failed, check_mode, monkeypatch):
    called = []

    def call(_path, _host, service, name, *_rest):
        called.append(f"{service}/{name}")
        _rest[-1]()
        return {"status": "NOT_SERVING"}

    monkeypatch.setattr(pod_request.grpc_call, "call", call)
    monkeypatch.setattr(pod_request, "Listener", lambda *_arguments: nullcontext(SimpleNamespace(path="", error="")))
    result, _error = perform(Server(), {"protocol": "grpc", "grpc_method": method}, check_mode)
    assert called == ([method.strip("/")] if is_safe or not check_mode else [])
    assert result["changed"] is not is_safe and result["failed"] is is_failed and bool(result.get("skipped")) is (check_mode and not is_safe)
