# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manifests from a URL are complete, limited in size and time, or refused."""

from __future__ import annotations

import time

import pytest

from ansible_collections.podwright.core.plugins.action import resource_set as action

from .stub_server import Response, StubServer


@pytest.fixture
def limits(monkeypatch):
    """Limits that a test can reach."""
    monkeypatch.setattr(action, "MAX_DOWNLOAD", 1000)
    monkeypatch.setattr(action, "DOWNLOAD_SECONDS", 0.2)


def download(body, **headers):
    with StubServer(lambda handler: Response(200, body, headers)) as server:
        return action._download(server.url)


def test_the_content_is_returned_as_it_is():
    content = bytes(range(256)) * 1000
    assert download(content) == content and download(b"") == b""


def test_more_than_the_limit_is_refused(limits):
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        download(bytes(2000))


def test_a_lost_connection_is_not_the_end_of_the_content(monkeypatch):
    def respond(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nkind: Pod\n")
        handler.close_connection = True
        raise ConnectionAbortedError

    with StubServer(respond) as server, pytest.raises(ConnectionError, match="lost"):
        action._download(server.url)


def test_slow_content_is_refused(limits):
    def respond(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _piece in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    with StubServer(respond) as server, pytest.raises(TimeoutError, match=r"within 0\.2 s"):
        action._download(server.url)
