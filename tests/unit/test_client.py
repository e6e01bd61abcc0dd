# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Retries, credentials and errors of the client against a stub server; integration tests use a real API server."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import client as client_module
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import session, transport
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH, Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.transport import MAX_ATTEMPTS, MAX_RETRY_AFTER
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import TOO_LARGE, PodwrightError

from .stub_server import LIVE_METADATA, POD_OBJECT, StubServer


class Clock:
    """A clock that advances only when it is slept on."""

    def __init__(self):
        self.slept = []

    def monotonic(self):
        return sum(self.slept)

    now = monotonic

    def sleep(self, seconds):
        self.slept.append(seconds)


@pytest.fixture(autouse=True)
def impatient():
    """Clients pause as long as they do elsewhere: their clock is simulated here."""


@pytest.fixture
def server():
    """A server that sends the responses in `responses` one after the other and records the requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def respond(self):
            self.server.requests.append((self.command, self.path, dict(self.headers), self.headers.get_all("Impersonate-Group")))
            self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            status, headers, body = self.server.responses.pop(0)
            if status is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            content = json.dumps(body).encode()
            self.send_response_only(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = respond

        def log_message(self, *arguments):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.responses, running.requests, running.bodies = [], [], []
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def connect(server):
    """A function that creates a Client of the server with connection options."""
    clients = []

    def create(**options):
        options = {"host": f"http://127.0.0.1:{server.server_port}"} | options
        clients.append(Client(Configuration(options), clock=Clock()))
        return clients[-1]

    yield create
    for client in clients:
        client.close()


OK = (200, {}, POD_OBJECT)
BUSY = (429, {"Retry-After": "7"}, {"message": "slow down"})
BROKEN = (503, {}, {"message": "not now"})


@pytest.mark.parametrize("value", [2.0, [1e3], {"a": {"b": -3.0}}, 1e17])
def test_whole_numbers_are_sent_as_integers(value, server, connect):
    server.responses = [OK]
    body = {"spec": value, "text": "2.0, 1e+17}", "half": 0.5}
    connect().patch(POD, "n", "a", body, "m")
    sent = json.loads(server.bodies[0], parse_float=lambda text: text)
    assert sent == body | {"half": "0.5"} and server.requests[0][0] == "PATCH"


def test_429_and_5xx_are_retried(server, connect):
    server.responses = [BUSY, BROKEN, OK]
    client = connect()
    assert client.get(POD, "n", "a")["kind"] == "Pod"
    assert client.clock.slept[0] == 7 and len(server.requests) == 3


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("7", 7, 7),
        ("99999999999999999999", MAX_RETRY_AFTER, MAX_RETRY_AFTER),
        ("Thu, 01 Jan 1970 00:00:12 GMT", 11, 12),
        ("Fri, 01 Jan 2100 00:00:00 GMT", MAX_RETRY_AFTER, MAX_RETRY_AFTER),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.1, 0.3),
        ("0", 0.1, 0.3),
        ("-1", 0.1, 0.3),
        ("\u00b2", 0.1, 0.3),
        ("Thu, 99 Jan 99999999999999999999 00:00:00 GMT", 0.1, 0.3),
        ("soon", 0.1, 0.3),
    ],
)
def test_retry_after_is_respected_up_to_a_limit(value, low, high, server, connect):
    server.responses = [(429, {"Retry-After": value, "Date": "Thu, 01 Jan 1970 00:00:00 GMT"}, {"message": "slow down"}), OK]
    client = connect()
    assert client.get(POD, "n", "a")
    assert low <= client.clock.slept[0] <= high


@pytest.mark.parametrize("date", ["", "never", "Thu, 99 Jan 99999999999999999999 00:00:00 GMT", "0"])
def test_invalid_dates_of_a_server_are_ignored(date, server, connect):
    server.responses = [(200, {"Date": date}, POD_OBJECT)]
    client = connect()
    client.get(POD, "n", "a")
    assert client.now() == client.clock.now()


def test_list_without_an_end_is_an_error(server, connect, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_PAGES", 3)
    server.responses = [(200, {}, {"kind": "PodList", "metadata": {"continue": "t"}, "items": []})] * 3
    with pytest.raises(PodwrightError, match="more than 3 pages"):
        connect().list(POD, "n")


def test_size_of_a_response_is_limited(server, connect, monkeypatch):
    monkeypatch.setattr(transport, "MAX_BODY", 1000)
    server.responses = [(200, {}, POD_OBJECT | {"padding": "x" * 2000})]
    with pytest.raises(PodwrightError, match="responded with more than 1000 bytes"):
        connect().get(POD, "n", "a")


@pytest.mark.parametrize("part", ["head", "body"])
def test_response_must_be_complete_before_a_deadline(part, monkeypatch):
    """Though a byte arrives every 20 ms."""
    monkeypatch.setattr(session, "RESPONSE_SECONDS", 0.2)
    monkeypatch.setattr(transport, "MAX_ATTEMPTS", 1)

    def drip(handler):
        if part == "body":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        for byte in b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 1000:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.02)

    started = time.monotonic()
    with StubServer(drip) as running, Client(Configuration({"host": running.url})) as client:
        with pytest.raises(PodwrightError, match="timed out"):
            client.get(POD, "n", "a")
        assert time.monotonic() - started < 10  # all of it would take 20 s


def test_request_is_retried_after_connection_loss(server, connect):
    server.responses = [(None, {}, {}), OK]
    assert connect().get(POD, "n", "a")["kind"] == "Pod"


def test_retries_are_limited(server, connect):
    server.responses = [BROKEN] * MAX_ATTEMPTS
    with pytest.raises(PodwrightError) as caught:
        connect().get(POD, "n", "a")
    assert caught.value.status == 503 and len(server.requests) == MAX_ATTEMPTS


def test_422_is_not_retried_and_has_the_causes_of_the_status(server, connect):
    causes = [{"field": "spec.x", "message": "bad", "reason": "FieldValueInvalid"}]
    server.responses = [(422, {}, {"kind": "Status", "message": "no", "reason": "Invalid", "details": {"causes": causes}})]
    with pytest.raises(PodwrightError) as caught:
        connect().create(CONFIG_MAP, "n", {"metadata": {"name": "a"}}, "me")
    assert caught.value.causes == causes and caught.value.reason == "Invalid" and len(server.requests) == 1


def test_error_shows_the_text_of_a_response_without_status(server, connect):
    server.responses = [(400, {}, "go away")]
    with pytest.raises(PodwrightError, match="go away"):
        connect().list(POD, "n")


def test_credentials_are_renewed_once_after_401(server, connect):
    server.responses = [(401, {}, {"message": "Unauthorized"}), OK, (401, {}, {"message": "Unauthorized"}), (401, {}, {"message": "Unauthorized"})]
    client = connect(api_key="token")
    assert client.get(POD, "n", "a")
    with pytest.raises(PodwrightError, match="does not accept the token"):
        client.get(POD, "n", "a")
    assert len(server.requests) == 4


def test_headers_for_authentication_and_impersonation_are_sent(server, connect):
    server.responses = [OK]
    connect(api_key="token", impersonate_user="jane", impersonate_groups=["a", "b"]).get(POD, "n", "a")
    _method, _path, headers, groups = server.requests[0]
    assert headers["Authorization"] == "Bearer token" and headers["Impersonate-User"] == "jane" and groups == ["a", "b"]


def test_list_is_paged_and_starts_over_with_one_page_when_the_continue_token_expires(server, connect):
    page = {"kind": "PodList", "metadata": {"continue": "t", "resourceVersion": "1"}, "items": [POD_OBJECT]}
    last = {"kind": "PodList", "metadata": {"resourceVersion": "2"}, "items": [POD_OBJECT | {"metadata": LIVE_METADATA | {"name": "b"}}]}
    whole = last | {"items": page["items"] + last["items"]}
    server.responses = [(200, {}, page), (410, {}, {"message": "expired"}), (200, {}, whole)]
    items, version = connect().list(POD, "n")
    assert [item["metadata"]["name"] for item in items] == ["a", "b"] and version == "2"
    assert [path.partition("?")[2] for _method, path, *_rest in server.requests] == ["limit=500", "limit=500&continue=t", ""]


def test_list_that_starts_over_and_is_too_large_for_one_page_is_read_in_pages(server, connect, monkeypatch):
    page = {"kind": "PodList", "metadata": {"continue": "t", "resourceVersion": "1"}, "items": [POD_OBJECT]}
    last = page | {"metadata": {"resourceVersion": "2"}}
    expired = (410, {}, {"message": "expired"})
    client, send = connect(), Client.send

    def refuse_large(self, request):
        if not request.query:
            raise PodwrightError("the response is larger than 64 MiB", reason=TOO_LARGE)
        return send(self, request)

    monkeypatch.setattr(Client, "send", refuse_large)
    server.responses = [(200, {}, page), expired, (200, {}, last)]
    assert len(client.list(POD, "n")[0]) == 1
    assert [path.partition("?")[2] for _method, path, *_rest in server.requests] == ["limit=500", "limit=500&continue=t", "limit=50"]
    server.responses = [(200, {}, page), expired, (200, {}, page), expired]
    with pytest.raises(PodwrightError, match="expired"):  # it does not start over for ever
        client.list(POD, "n")


def test_error_of_a_proxy_says_why_it_cannot_be_reached(connect):
    with socket.socket() as closed, pytest.raises(PodwrightError) as caught:
        closed.bind(("127.0.0.1", 0))
        connect(host="https://127.0.0.1:1", proxy=f"http://127.0.0.1:{closed.getsockname()[1]}").get(POD, "n", "a")
    assert caught.value.message.endswith(": Connection refused")


def test_error_names_the_package_of_a_missing_library(monkeypatch):
    from ansible_collections.podwright.core.plugins.module_utils._engine import libraries

    def refuse(name):
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(libraries.importlib, "import_module", refuse)
    with pytest.raises(PodwrightError, match="pip install websocket-client"):
        libraries.load("websocket")


NOT_FOUND = (404, {}, {"kind": "Status", "reason": "NotFound", "message": 'configmaps "a" not found'})
OTHER_UID = (409, {}, {"reason": "Conflict", "message": "Precondition failed: UID in precondition: u, UID in object meta: v"})
LOST, CREATED = (None, {}, {}), "2026-01-01T00:00:00Z"


CONFLICT = (409, {}, {"kind": "Status", "reason": "Conflict", "message": "the object has been modified"})
PATCH = {"metadata": {"resourceVersion": "1", "annotations": {"a": "b", "c": None}}}
PATCHED = (200, {}, POD_OBJECT | {"metadata": POD_OBJECT["metadata"] | {"annotations": {"a": "b"}}})


@pytest.mark.parametrize(
    ("responses", "is_patched"),
    [([LOST, CONFLICT, PATCHED], True), ([BROKEN, CONFLICT, PATCHED], True), ([LOST, CONFLICT, OK], False), ([CONFLICT], False), ([BUSY, CONFLICT], False)],
)
def test_patch_is_looked_up_if_the_response_to_an_earlier_attempt_was_lost(server, connect, responses, is_patched):
    """Its resource version is no longer the one that the patch requires then."""
    server.responses[:] = responses
    if is_patched:
        assert connect().patch(POD, "n", "a", PATCH, "me", MERGE_PATCH) == PATCHED[2]
    else:
        with pytest.raises(PodwrightError, match="has been modified"):
            connect().patch(POD, "n", "a", PATCH, "me", MERGE_PATCH)
    assert not server.responses


@pytest.mark.parametrize(
    ("responses", "deleted"),
    [
        ([NOT_FOUND], False),
        ([BUSY, NOT_FOUND], False),
        ([LOST, NOT_FOUND], True),
        ([BROKEN, NOT_FOUND], True),
        ([LOST, BUSY, OTHER_UID], True),
        ([OTHER_UID], False),
        ([LOST] * MAX_ATTEMPTS + [NOT_FOUND], True),
        ([OK, NOT_FOUND], True),  # a pod in response to the deletion of a ConfigMap
    ],
)
def test_delete_is_reported_if_the_response_to_an_earlier_attempt_was_lost(server, connect, responses, deleted):
    server.responses[:] = responses
    assert connect().delete(CONFIG_MAP, "n", "a", "u") is deleted
    assert not server.responses


@pytest.mark.parametrize("found", [[OK], [LOST] * MAX_ATTEMPTS])
def test_delete_fails_if_every_response_was_lost_and_the_object_still_exists(server, connect, found):
    server.responses[:] = [LOST] * MAX_ATTEMPTS + found
    with pytest.raises(PodwrightError) as caught:
        connect().delete(POD, "n", "a", LIVE_METADATA["uid"])
    assert caught.value.reason == "ConnectionLost" and not server.responses


@pytest.mark.parametrize(
    ("live", "deleted"),
    [
        ({"uid": "u"}, False),  # the lost request was not executed, and another client changed the object
        ({"uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}, True),
        ({"uid": "v"}, True),
        (None, True),
    ],
)
def test_conflict_after_a_lost_deletion_is_judged_by_the_live_object(server, connect, live, deleted):
    conflict = (409, {}, {"reason": "Conflict", "message": "Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta: 2"})
    server.responses[:] = [
        LOST,
        conflict,
        (
            200,
            {},
            {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "n", "resourceVersion": "2", "creationTimestamp": CREATED} | live},
        )
        if live
        else NOT_FOUND,
    ]
    assert connect().delete(CONFIG_MAP, "n", "a", "u", version="1") is deleted
    assert len(server.requests) == 3


def test_pages_that_are_too_large_are_requested_again_with_fewer_objects(server, connect, monkeypatch):
    monkeypatch.setattr(transport, "MAX_BODY", 1 << 11)

    def page(names, token=""):
        items = [{"metadata": LIVE_METADATA | {"name": name, "namespace": "n", "annotations": {"a": "x" * 420}}} for name in names]
        return 200, {}, {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1", "continue": token}, "items": items}

    server.responses[:] = [page("abcdef", "1"), page("abc", "2"), page("defg", "3"), page("d", "4"), page("e")]
    items, _version = connect().list(CONFIG_MAP, "n")
    assert "".join(item["metadata"]["name"] for item in items) == "abcde"
    asked = [dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query)) for _method, path, *_rest in server.requests]
    assert [(query["limit"], query.get("continue")) for query in asked] == [("500", None), ("50", None), ("50", "2"), ("5", "2"), ("5", "4")]


def test_list_with_an_object_twice_is_refused(server, connect):
    item = {"metadata": LIVE_METADATA | {"name": "a", "namespace": "n"}}
    server.responses[:] = [(200, {}, {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {}, "items": [item, item]})]
    with pytest.raises(PodwrightError, match="ConfigMap 'a' twice"):
        connect().list(CONFIG_MAP, "n")
