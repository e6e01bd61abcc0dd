# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Websockets through real proxies, over HTTP and TLS, to servers over HTTP and TLS."""

from __future__ import annotations

import base64
import hashlib
import select
import socket
import ssl
import threading
from contextlib import suppress

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import sockets, websocket
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.streams import Streams
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from tests.cluster.certificates import Authority

from ..support.local_commands import frame
from .stub_server import Response, StubServer

EXEC = Request("GET", POD.path("n", "a", "exec"), kind=POD, subresource="exec", namespace="n", name="a", retryable=False)


class Proxy:
    """A context manager that runs a proxy for CONNECT.

    Args:
        context: its ssl.SSLContext, or None for plain HTTP.
        response: its status line.

    Attributes:
        url: its URL, with a login.
        heads: the request line and headers of each request as text.
    """

    def __init__(self, context=None, response="HTTP/1.1 200 Connection established"):
        self._context, self._response, self.heads = context, response, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if context else 'http'}://jane:pass%3Aword@127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._try_to_serve, args=(client,), daemon=True).start()

    def _try_to_serve(self, client):
        with suppress(OSError):  # of a client that rejects the certificate
            self._serve(client)

    def _serve(self, client):
        client = self._context.wrap_socket(client, server_side=True) if self._context else client
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.heads.append(head.decode())
        client.sendall(f"{self._response}\r\n\r\n".encode())
        if " 200 " in self._response:
            host, _colon, port = head.split()[1].decode().rpartition(":")
            sockets._relay(socket.create_connection((host, int(port))), client)
        client.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The TLS context of a server on this machine."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = authority.issue("server", "server", addresses=("127.0.0.1",))
    context.load_cert_chain(path, path.with_suffix(".key"))
    return context


def refusal(**options):
    """The error of a websocket that the server does not open."""
    with Client(Configuration(options | {"api_key": "t0ken", "validate_certs": False})) as client, pytest.raises(PodwrightError) as caught:
        websocket.open_websocket(client, EXEC, ["v5.channel.k8s.io"])
    return caught.value


def accept(handler):
    """Open the websocket that was requested, with a first message."""
    key = f"{handler.headers['Sec-WebSocket-Key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accepted = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accepted, "Sec-WebSocket-Protocol": "v5.channel.k8s.io"}
    return Response(101, frame(b"hello"), headers)


@pytest.mark.parametrize("server_has_tls", [True, False])
@pytest.mark.parametrize("proxy_has_tls", [True, False])
def test_websockets_use_the_proxy_of_the_configuration_whatever_no_proxy_says(proxy_has_tls, server_has_tls, certificate, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(ssl, "create_default_context", unverified(ssl.create_default_context))
    options = {"no_proxy": "example.com", "proxy_headers": {"basic_auth": "root:s3cret", "user_agent": "agent"}, "api_key": "t0ken", "validate_certs": False}
    with Proxy(certificate if proxy_has_tls else None) as proxy, StubServer(accept, certificate if server_has_tls else None) as server:
        with Client(Configuration(options | {"host": server.url, "proxy": proxy.url})) as client:
            opened = websocket.open_websocket(client, EXEC, ["v5.channel.k8s.io"])
            opened.fill()  # what TLS has decrypted already
            while (message := opened.receive()) is None:
                select.select([opened.sock], [], [])
                opened.fill()
            opened.close()
    assert message == (websocket.BINARY, b"hello") and opened.protocol == "v5.channel.k8s.io" and "t0ken" in server.heads[0]
    line, *headers = proxy.heads[0].splitlines()
    assert line == f"CONNECT 127.0.0.1:{server.port} HTTP/1.1" and "t0ken" not in proxy.heads[0]
    assert "user-agent: agent" in headers and not any(header.startswith("authorization") for header in headers)
    assert f"proxy-authorization: Basic {base64.b64encode(b'jane:pass:word').decode()}" in headers


def unverified(create):
    """A function that creates contexts which trust any proxy."""

    def create_unverified(*arguments, **options):
        context = create(*arguments, **options)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    return create_unverified


def test_certificate_of_a_proxy_is_verified(certificate):
    with Proxy(certificate) as proxy, pytest.raises(ssl.SSLCertVerificationError):
        sockets.connect(Configuration({"host": "http://192.0.2.1", "proxy": proxy.url}), 30, Streams())


def test_ipv6_server_behind_a_proxy_that_refuses():
    with Proxy(response="HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0") as proxy:
        error = refusal(host="https://[2001:db8::1]:6443", proxy=proxy.url)
    assert proxy.heads[0].startswith("CONNECT [2001:db8::1]:6443 HTTP/1.1\r\nHost: [2001:db8::1]:6443\r\n")
    assert "through the proxy http://127.0.0.1:" in str(error) and "responded to CONNECT with 407. Set proxy_headers.proxy_basic_auth" in str(error)


@pytest.mark.parametrize("source", ["the option proxy", "K8S_AUTH_PROXY", "HTTPS_PROXY"])
def test_a_proxy_that_does_not_respond_is_named_with_its_origin(source, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    if source.isupper():
        monkeypatch.setenv(source, url)
    options = {"host": "https://192.0.2.1:6443"} | ({} if source == "HTTPS_PROXY" else {"proxy": url})
    with Client(Configuration(options)) as client, pytest.raises(PodwrightError) as caught:
        client.get(POD, "n", "a")
    error = caught.value
    assert error.message.startswith(f"No proxy responds at {url} (from {source}) for https://192.0.2.1:6443 (from the option host): ")
    assert error.is_unreachable and "add the server to no_proxy" in error.hint


def test_ports_are_those_of_the_schemes():
    assert [sockets._address(url) for url in ("https://a", "http://a", "https://[::1]:1")] == [("a", 443), ("a", 80), ("::1", 1)]


def receive(sock, size):
    """So many bytes from a socket."""
    received = bytearray()
    while len(received) < size:
        piece = sock.recv(1 << 16)
        assert piece, "closed early"
        received += piece
    return bytes(received)


def test_large_data_in_both_directions_within_the_tls_of_a_proxy(certificate, monkeypatch):
    monkeypatch.setattr(ssl, "create_default_context", unverified(ssl.create_default_context))
    content = bytes(range(256)) * (1 << 14)
    listener = socket.create_server(("127.0.0.1", 0))

    def echo():
        with listener.accept()[0] as peer:
            while piece := peer.recv(1 << 16):
                peer.sendall(piece)

    threading.Thread(target=echo, daemon=True).start()
    with listener, Proxy(certificate) as proxy:
        options = {"host": f"http://127.0.0.1:{listener.getsockname()[1]}", "proxy": proxy.url}
        with sockets.connect(Configuration(options), 30, Streams()) as sock:
            sock.settimeout(None)
            threading.Thread(target=sock.sendall, args=(content,), daemon=True).start()
            received = receive(sock, len(content))
    assert received == content


def test_response_to_an_upgrade_may_take_as_long_as_the_server_waits_for_a_node(monkeypatch):
    opened, timeouts = [], []

    def connect(*arguments):
        opened.append(sockets.connect(*arguments))
        return opened[0]

    def respond(handler):
        timeouts.append(opened[0].gettimeout())
        return Response()

    monkeypatch.setattr(websocket, "connect", connect)
    with StubServer(respond) as server:
        refusal(host=server.url)
    assert timeouts == [websocket.UPGRADE_SECONDS] and websocket.UPGRADE_SECONDS > websocket.CONNECT_TIMEOUT
