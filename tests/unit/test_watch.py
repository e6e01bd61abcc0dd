# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches against a stub server: which events they yield, and how they recover."""

from __future__ import annotations

import json
import threading
import time

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import watch
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.watch import Watcher
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

from .stub_server import LIVE_METADATA, Response, StubServer

FORBIDDEN = Response(403, {"kind": "Status", "reason": "Forbidden", "message": 'User "jane" cannot watch resource "pods"'})
EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}}


def pod(name, version="1"):
    """A pod whose uid is its name."""
    metadata = LIVE_METADATA | {"name": name, "uid": name, "resourceVersion": version}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"containers": [{"name": "task"}]}}


def event(event_type, name, version):
    """A watch event."""
    return {"type": event_type, "object": pod(name, version)}


def stream(*events):
    """The response to a watch request that yields events and is then closed."""
    return Response(200, b"".join(json.dumps(e).encode() + b"\n" for e in events))


class Collection:
    """Responds to watch requests with `watches`, one after the other, and then not until the test has finished; to lists with `items`."""

    def __init__(self, watches, items=()):
        self.watches, self.items, self.finished = list(watches), list(items), threading.Event()
        self.paths = []

    def __call__(self, handler):
        self.paths.append(handler.path)
        if "watch=true" not in handler.path:
            return Response(200, {"kind": "PodList", "metadata": {"resourceVersion": "50"}, "items": self.items})
        if not self.watches:
            self.finished.wait(30)
            return stream()
        return self.watches.pop(0)


def events_of(collection, count, known=()):
    """The first events of a watch from resource version 10, as (type, name)."""
    with StubServer(collection) as server, Client(Configuration({"host": server.url}), poll_seconds=0.01) as client:
        try:
            with Watcher(client) as watcher:
                watcher.follow(POD, "n", "10", label_selector="a=b", known=known)
                found = [watcher.next(10) for _number in range(count)]
                collection.finished.set()
                return [(event_type, item["metadata"]["name"]) for event_type, item in found]
        finally:
            collection.finished.set()


def test_closed_watch_is_reopened_from_the_last_resource_version():
    collection = Collection([stream(event("ADDED", "a", "11"), event("BOOKMARK", "", "20")), stream(event("DELETED", "a", "21"))])
    assert events_of(collection, 2) == [("ADDED", "a"), ("DELETED", "a")]
    assert ["resourceVersion=10&" in collection.paths[0], "resourceVersion=20&" in collection.paths[1]] == [True, True]
    assert all("labelSelector=a%3Db" in path for path in collection.paths)


def test_collection_is_listed_again_after_410():
    collection = Collection([stream(EXPIRED), stream(event("ADDED", "d", "51"))], [pod("b"), pod("c")])
    found = events_of(collection, 4, known=[pod("a"), pod("b")])
    assert found == [("DELETED", "a"), ("MODIFIED", "b"), ("MODIFIED", "c"), ("ADDED", "d")]
    assert "resourceVersion=50&" in collection.paths[2]


def test_collection_is_listed_repeatedly_if_watching_is_forbidden():
    collection = Collection([FORBIDDEN] * 2, [pod("a")])
    assert events_of(collection, 2) == [("MODIFIED", "a")] * 2


@pytest.mark.parametrize("status", [401, 404, 422])
def test_watch_fails_for_good_if_the_request_is_invalid(status):
    response = Response(status, {"kind": "Status", "reason": "Invalid", "message": "invalid"})
    with pytest.raises(PodwrightError, match="Could not watch Pods in namespace 'n'"):
        events_of(Collection([response] * 3), 1)


def test_next_returns_none_after_the_timeout():
    collection = Collection([])
    with StubServer(collection) as server, Client(Configuration({"host": server.url})) as client, Watcher(client) as watcher:
        watcher.follow(POD, "n", "10")
        assert watcher.next(0.05) is None
        collection.finished.set()


# -- servers that close, refuse or garble every watch -----------------------------------------------------------

INVALID_LINES = {
    "no JSON": b"<html>",
    "no mapping": b"5",
    "no type": b'{"object": {}}',
    "no object": b'{"type": "ADDED"}',
    "null object": b'{"type": "ADDED", "object": null}',
    "other type": json.dumps(event("GONE", "a", "11")).encode(),
    "other kind": json.dumps({"type": "ADDED", "object": pod("a") | {"kind": "Node"}}).encode(),
    "no uid": json.dumps({"type": "ADDED", "object": pod("a") | {"metadata": {"name": "a"}}}).encode(),
    "labels of another type": json.dumps({"type": "ADDED", "object": pod("a") | {"metadata": pod("a")["metadata"] | {"labels": []}}}).encode(),
    "bookmark without version": b'{"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {}}}',
    "error without object": b'{"type": "ERROR", "object": []}',
    "deep": b"[" * 100_000,
}


def requests_within(seconds, collection, monkeypatch):
    """The number of watches and lists that a Watcher requests in that time, with its own pauses."""
    monkeypatch.setattr(watch, "_PAUSE", 0.2)
    with StubServer(collection) as server, Client(Configuration({"host": server.url}), poll_seconds=0.1) as client:
        with Watcher(client) as watcher:
            watcher.follow(POD, "n", "10")
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                watcher.next(deadline - time.monotonic())
    is_watch = ["watch=true" in path for path in collection.paths]
    return sum(is_watch), len(is_watch) - sum(is_watch)


@pytest.mark.parametrize("response", [stream(), Response(200, b""), stream(EXPIRED), Response(410, EXPIRED["object"])], ids=["closed", "empty", "event", "410"])
def test_watch_that_never_works_does_not_loop_without_a_pause(response, monkeypatch):
    collection = Collection([response] * 10_000, [pod("a")])
    watches, lists = requests_within(1, collection, monkeypatch)
    assert 2 <= watches <= 12 and lists <= 12


def test_collection_is_listed_if_every_watch_is_closed_at_once():
    collection = Collection([stream()] * 3, [pod("a")])
    assert events_of(collection, 1) == [("MODIFIED", "a")]


@pytest.mark.parametrize("line", INVALID_LINES)
def test_invalid_line_is_an_error_that_is_reported(line):
    collection = Collection([Response(200, INVALID_LINES[line] + b"\n")] * 10)
    with pytest.raises(PodwrightError, match="sent a line that is not an event of a Pod"):
        events_of(collection, 1)


def test_length_of_a_line_is_limited(monkeypatch):
    monkeypatch.setattr(watch, "MAX_LINE", 1000)
    with pytest.raises(PodwrightError, match="not an event"):
        events_of(Collection([Response(200, b"x" * 100_000)] * 10), 1)


def test_valid_events_after_an_invalid_line_are_received():
    assert events_of(Collection([Response(200, b"garbage\n"), stream(event("ADDED", "a", "11"))]), 1) == [("ADDED", "a")]
