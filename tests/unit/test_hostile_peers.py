# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP, gRPC and Prometheus servers that answer anything, or nothing: a clear error within the timeout, in limited memory."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
import time
from concurrent import futures
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine import threads
from ansible_collections.podwright.core.plugins.module_utils._engine.clients import grpc as grpc_client
from ansible_collections.podwright.core.plugins.module_utils._engine.clients import http as http_client
from ansible_collections.podwright.core.plugins.module_utils._engine.clients import otlp, prometheus, urls
from ansible_collections.podwright.core.plugins.module_utils._engine.clients.grpc import CallFailed
from ansible_collections.podwright.core.plugins.module_utils._engine.clients.http import HttpRequest
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import transport
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_request import Exchange, _read_response

from ..support.fuzzing import JSON, fuzz, peak_memory
from .stub_server import Response, StubServer

pytestmark = pytest.mark.search

HEAD = b"HTTP/1.1 200 OK\r\n"


def request(pieces, timeout=5.0, pause=0.0):
    """The response to a request, if the server sends these pieces and closes the connection."""
    here, there = socket.socketpair()

    def serve():
        with there, suppress(OSError):
            there.recv(1 << 16)
            for piece in pieces:
                there.sendall(piece)
                time.sleep(pause)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    try:
        return http_client.send(here, "web", 80, HttpRequest("http", "GET", "/", {}, None, timeout), None, lambda: None)
    finally:
        here.close()
        server.join(5)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"H"),
        (HEAD, b"X-A: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (HEAD + b"\r\n", b"x"),
        (HEAD + b"Content-Length: 99999\r\n\r\n", b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"Trailer: x\r\n"),
    ],
)
def test_timeout_holds_for_a_response_that_arrives_byte_by_byte(head, piece):
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        request(itertools.chain([head], itertools.repeat(piece)), timeout=0.3, pause=0.02)
    assert 0.25 < time.monotonic() - begun < 10


FIELDS = (
    b"Content-Length: 3",
    b"Content-Length: -1",
    b"Content-Length: 9e9",
    b"Transfer-Encoding: chunked",
    b"Content-Type: application/json",
    b": x",
    b" folded",
)
LINES = [HEAD, b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", *(field + b"\r\n" for field in FIELDS)]
LINES += [b"\r\n", b"3\r\nabc\r\n", b"-1\r\n", b"0\r\n", b"[[1"]
RESPONSES = st.lists(st.sampled_from(LINES) | st.binary(max_size=12), max_size=8).map(lambda pieces: HEAD + b"".join(pieces))


@given(RESPONSES)
@fuzz
def test_any_response_is_read_or_refused(content):
    try:
        response = request([content])
    except (http.client.HTTPException, OSError) as error:
        assert http_client.explain_failure(error, 5)
        return
    each = Exchange({"return_content": True, "status_code": [response.status]}, HttpRequest("http", "GET", "/", {}, None, 5), True, {"url": "x"})
    _read_response(response, each)
    assert isinstance(each.fields["content"], str)


def test_nested_json_is_content():
    content = b"[" * 100_000
    response = request([HEAD + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n" + content])
    each = Exchange({"return_content": True, "status_code": [200]}, HttpRequest("http", "GET", "/", {}, None, 5), True, {"url": "x"})
    _read_response(response, each)
    assert "json" not in each.fields and each.fields["content"] == content.decode()


# -- gRPC ---------------------------------------------------------------------------------------------------


@contextmanager
def grpc_server(path, behavior):
    """A gRPC server whose every method, also that of reflection, has this behavior: called with the iterator of requests; yields bytes."""
    grpc = pytest.importorskip("grpc")

    class Handler(grpc.GenericRpcHandler):
        """Handles every method."""

        def service(self, _details):
            """The handler."""
            return grpc.stream_stream_rpc_method_handler(behavior)

    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Handler()])
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield
    finally:
        server.stop(0)


def call_grpc(path, service="a.B", timeout=5.0):
    """Call a method."""
    return grpc_client.call(str(path), "web", service, "C", None, timeout, {}, list)


@pytest.mark.parametrize("service", ["a.B", grpc_client.HEALTH])
def test_timeout_holds_for_a_grpc_server_that_never_answers(service, tmp_path):
    released = threading.Event()

    def stay_silent(_requests, _context):
        released.wait(20)
        yield b""

    with grpc_server(tmp_path / "s", stay_silent):
        begun = time.monotonic()
        with pytest.raises(CallFailed) as caught:
            call_grpc(tmp_path / "s", service, timeout=0.5)
        released.set()
        assert caught.value.code == "DEADLINE_EXCEEDED" and time.monotonic() - begun < 15


def test_timeout_holds_for_a_grpc_server_that_never_speaks(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        begun = time.monotonic()
        with pytest.raises(CallFailed):
            call_grpc(tmp_path / "s", timeout=0.5)
        assert time.monotonic() - begun < 15


def described(*files):
    """A response of reflection with these file descriptors."""
    reflection = pytest.importorskip("grpc_reflection.v1alpha.reflection_pb2")
    return reflection.ServerReflectionResponse(file_descriptor_response={"file_descriptor_proto": files}).SerializeToString()


def file_descriptor(**fields):
    """A serialized FileDescriptorProto."""
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    return descriptor_pb2.FileDescriptorProto(**fields).SerializeToString()


SERVICE = {"name": "B", "method": [{"name": "C", "input_type": ".a.M", "output_type": ".a.M"}]}
LOOP = {"name": "M", "field": [{"name": "m", "number": 1, "type": 11, "type_name": ".a.M", "label": 1}]}


@pytest.mark.parametrize(
    "answer",
    [
        lambda: b"",
        lambda: b"\xff" * 20,
        described,
        lambda: described(b"\xff\xff"),
        lambda: described(file_descriptor(name="other", package="b")),
        lambda: described(file_descriptor(name="x", package="a", service=[SERVICE])),
        lambda: described(file_descriptor(name="x", package="a", dependency=["x"], service=[SERVICE])),
        lambda: described(file_descriptor(name="x", package="a", dependency=["y"], service=[SERVICE])),
        lambda: described(file_descriptor(name="x", package="a", service=[SERVICE | {"method": []}], message_type=[LOOP])),
    ],
)
def test_odd_reflection_is_a_failed_call(answer, tmp_path):
    def reflect(requests, _context):
        for _request in requests:
            yield answer()

    with grpc_server(tmp_path / "s", reflect), pytest.raises(CallFailed) as caught:
        call_grpc(tmp_path / "s", timeout=3.0)
    assert caught.value.code != "OK" and caught.value.details


def test_types_of_several_files_are_described(tmp_path):
    files = {
        "x": file_descriptor(name="x", package="a", service=[SERVICE], dependency=["y", "z"]),
        "y": file_descriptor(name="y", package="a", message_type=[LOOP], dependency=["z"]),
        "z": file_descriptor(name="z", package="z"),
    }
    reflection = pytest.importorskip("grpc_reflection.v1alpha.reflection_pb2")

    def reflect(requests, _context):
        for content in requests:
            asked = reflection.ServerReflectionRequest.FromString(content)
            yield described(files[asked.file_by_filename or "x"]) if content else b""

    with grpc_server(tmp_path / "s", reflect):
        assert call_grpc(tmp_path / "s") == {}


# -- Prometheus ---------------------------------------------------------------------------------------------

ODD = JSON | st.fixed_dictionaries(
    {},
    optional={
        "status": st.just("success") | JSON,
        "error": JSON,
        "data": JSON | st.fixed_dictionaries({"resultType": st.sampled_from(["scalar", "vector", "matrix"]), "result": JSON}),
    },
)


@given(ODD)
@fuzz
def test_any_answer_of_prometheus_is_a_number_or_an_error(value):
    client = SimpleNamespace(fetch=lambda request: json.dumps(value).encode())
    try:
        found = prometheus.query_prometheus(client, "n", "prometheus:80", "up")
    except PodwrightError as error:
        assert error.reason in ("BadQuery", "NoPrometheus")
        return
    assert found is None or isinstance(found, float)


URLS = [lambda url: prometheus.query_prometheus(None, "n", url, "up"), lambda url: otlp.send_spans(url, {}, [{}])]


@pytest.mark.parametrize("ask", URLS, ids=["prometheus", "collector"])
def test_a_server_that_never_finishes_its_answer_times_out(monkeypatch, ask):
    monkeypatch.setattr(urls, "TIMEOUT", 0.3)
    monkeypatch.setattr(threads, "STOP_SECONDS", 0.1)
    stopped = threading.Event()

    def drip(handler):
        handler.wfile.write(HEAD)
        while not stopped.wait(0.02):
            handler.wfile.write(b"X-A: b\r\n")
        raise ConnectionAbortedError

    with StubServer(drip) as server:
        begun = time.monotonic()
        with pytest.raises(PodwrightError, match=r"within 0\.3 s"):
            ask(server.url)
        stopped.set()
        assert time.monotonic() - begun < 15


def test_answers_that_a_pod_may_have_written_have_a_limited_size(monkeypatch):
    monkeypatch.setattr(transport, "MAX_CONTENT", 1000)
    monkeypatch.setattr(urls, "MAX_BYTES", 1000)
    body = b"x" * (8 << 20)
    with StubServer(lambda handler: Response(200, body, {"Content-Type": "text/plain"})) as server, Client(Configuration({"host": server.url})) as client:

        def read():
            with pytest.raises(PodwrightError, match="more than"):
                client.log("n", "p", "c")
            for ask in URLS:
                with pytest.raises(PodwrightError, match="more than"):
                    ask(server.url)

        assert peak_memory(read) < 1 << 20
