# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP requests over a connected socket: encoding, responses, and connections that are closed too early."""

from __future__ import annotations

import gzip
import http.client
import socket
import ssl
import threading
from contextlib import suppress

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.clients import http as client
from ansible_collections.podwright.core.plugins.module_utils._engine.clients.http import HttpRequest
from tests.cluster.certificates import Authority

FORM, JSON = {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "body_format", "headers", "encoded", "sent"),
    [
        (None, "json", {}, None, {}),
        ("text", "raw", {}, b"text", {}),
        ({"a": [1]}, "raw", {}, b'{"a": [1]}', {}),
        ({"a": [1]}, "json", {}, b'{"a": [1]}', JSON),
        ('{"a":1}', "json", {}, b'{"a":1}', JSON),
        ({"a": "b c", "d": [1, 2]}, "form-urlencoded", {}, b"a=b+c&d=1&d=2", FORM),
        ("a=b", "form-urlencoded", {"content-type": "text/plain"}, b"a=b", {"content-type": "text/plain"}),
    ],
)
def test_a_body_is_encoded_with_its_content_type(body, body_format, headers, encoded, sent):
    assert client.encode_body(body, body_format, headers) == (encoded, sent)


def test_a_body_that_is_not_a_form_is_an_error():
    with pytest.raises(TypeError):
        client.encode_body(5, "form-urlencoded", {})


def test_only_characters_that_a_target_cannot_have_are_encoded():
    assert client.quote_target("/a b/ä?c=d%20e&f=[1]#g") == "/a%20b/%C3%A4?c=d%20e&f=[1]%23g"
    assert client.quote_target("/100%/5%2/%zz/%2F") == "/100%25/5%252/%25zz/%2F"


def respond(content):
    """The response to a GET request, or the exception, if the server sends this and closes the connection."""
    here, there = socket.socketpair()
    request = HttpRequest("http", "GET", "/path", {"X-Y": "z"}, None, 5)

    def serve():
        with there:
            assert there.recv(1 << 16).startswith(b"GET /path HTTP/1.1\r\nHost: web:8080\r\n")
            there.sendall(content)

    server = threading.Thread(target=serve)
    server.start()
    connection = client.open_connection(here, "web", 8080, request, None)
    try:
        return client.exchange(connection, request)
    finally:
        connection.close()
        server.join()


def test_a_response_is_read():
    response = respond(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nno")
    assert (response.status, response.reason, response.content, response.is_truncated) == (404, "Not Found", b"no", False)
    assert response.headers == {"content-length": "2", "set-cookie": "a, b"}


INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("text/plain", "utf-8"),
        ("text/plain; charset=ISO-8859-1", "latin-1"),
        ('text/html; charset="windows-1252"; x=y', "cp1252"),
        ("text/plain;charset=utf-16", "utf-16"),
        ("text/plain; charset=punycode", "utf-8"),
        ("text/plain; charset=nope", "utf-8"),
    ],
)
def test_a_response_is_decoded_by_its_content_type(content_type, encoding):
    response = respond(f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n".encode() + "Grüße".encode(encoding))
    assert response.text == "Grüße"


def test_the_response_after_interim_ones_is_read():
    response = respond(INTERIM + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (response.status, response.headers, response.content) == (200, {"content-length": "2"}, b"ok")
    assert respond(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n").status == 101


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("header", [b"Transfer-Encoding: chunked", b"Content-Length: 5"])
def test_a_response_without_body_is_complete_whatever_its_headers_say(status, header):
    response = respond(b"HTTP/1.1 %d Any\r\n%s\r\n\r\n" % (status, header))
    assert (response.status, response.content, response.is_truncated) == (status, b"", False)


def test_a_response_before_the_end_of_the_request_is_read():
    here, there = socket.socketpair()
    with there:
        there.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    request = HttpRequest("http", "POST", "/", {}, bytes(1 << 20), 5)
    connection = client.open_connection(here, "web", 8080, request, None)
    assert client.exchange(connection, request).status == 413
    connection.close()


@pytest.mark.parametrize(
    ("content", "read", "is_truncated"),
    [
        (gzip.compress(b"abc", mtime=0), b"abc", False),
        (gzip.compress(b"abcde", mtime=0), b"abcd", True),
        (gzip.compress(b"ab", mtime=0) + gzip.compress(b"cd", mtime=0), b"abcd", False),
        (gzip.compress(b"ab", mtime=0) + gzip.compress(b"cde", mtime=0), b"abcd", True),
        (gzip.compress(b"ab", mtime=0) + b"padding", b"ab", False),
        (gzip.compress(b"", mtime=0) * 20, b"", True),
        (b"ab", b"ab", False),
    ],
)
def test_a_body_that_was_compressed_without_being_asked_is_decompressed(monkeypatch, content, read, is_truncated):
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content)
    decompress = client.decompress
    with monkeypatch.context() as patch:
        patch.setattr(client, "MAX_MEMBERS", 10)
        patch.setattr(client, "decompress", lambda *arguments: (patch.setattr(client, "MAX_BODY_BYTES", 4), decompress(*arguments))[1])
        response = respond(head + content)
    assert (response.content, response.is_truncated) == (read, is_truncated)


def test_a_compressed_body_that_is_not_complete_is_an_error():
    content = gzip.compress(b"abc" * 100)[:-9]
    with pytest.raises(http.client.IncompleteRead):
        respond(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content) + content)


@pytest.mark.parametrize("with_identifiers", [True, False])
def test_a_server_is_verified_with_and_without_key_identifiers(with_identifiers, tmp_path):
    authority = Authority(tmp_path, with_identifiers=with_identifiers)
    path = authority.issue("server", "server", addresses=("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, path.with_suffix(".key"))
    here, there = socket.socketpair()

    def serve():
        with suppress(OSError), context.wrap_socket(there, server_side=True) as connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        request = HttpRequest("https", "GET", "/", {}, None, 60)
        assert client.send(here, "127.0.0.1", 443, request, str(authority.path), bool).content == b"ok"
    finally:
        thread.join()


def test_a_long_body_is_truncated(monkeypatch):
    monkeypatch.setattr(client, "MAX_BODY_BYTES", 3)
    response = respond(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde")
    assert response.content == b"abc" and response.is_truncated


@pytest.mark.parametrize(
    ("content", "explanation"),
    [
        (b"", "the connection was closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "the connection was closed after 3 bytes of the body; 2 bytes are missing"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", "the connection was closed after 5 bytes of the body; the rest is missing"),
        (b"HTTP/1.1 204 No", "the connection was closed"),
        (b"HTTP/1.1 200 OK\r\nX-A: b", "the connection was closed"),
        (INTERIM, "the connection was closed"),
        (b"hello\r\n", "hello\r\n"),
    ],
    ids=["no response", "partial body", "partial chunks", "partial status", "partial head", "interim responses only", "another protocol"],
)
def test_a_missing_response_is_explained(content, explanation):
    with pytest.raises((OSError, http.client.HTTPException)) as caught:
        respond(content)
    assert client.explain_failure(caught.value, 5) == explanation


def test_a_timeout_is_explained():
    assert client.explain_failure(TimeoutError(), 1.5) == "no complete response was received within 1.5 s"
