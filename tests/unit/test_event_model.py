# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The event source while watches break, expire and repeat themselves: each change is one event, in order, and a source that is closed leaves nothing."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.parse

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import watch
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.event_source import stream as stream_module
from ansible_collections.podwright.core.plugins.module_utils._engine.event_source.stream import EventStream

from ..support.environment import scaled
from .stub_server import LIVE_METADATA, Response, StubServer
from .test_event_source import EXPIRED, change, failure, pod

EXAMPLES = scaled(40)
PAGE = 2
BUSY = [failure(503, "ServiceUnavailable", "starting"), failure(429, "TooManyRequests", "slow down"), failure(500, "InternalError", "etcdserver: timeout")]


class World:
    """Pods in namespaces that change while their collections are listed and watched.

    Attributes:
        history: (version, type, object) of each change.
        lists: namespace -> how often its first page was listed.
        since: namespace -> the version of its first list.
    """

    def __init__(self, rng, namespaces):
        self.rng, self.version, self.live, self.history, self.steps = rng, 10, {}, [], rng.randrange(5, 40)
        self.namespaces, self.lists, self.since, self.snapshots = namespaces, dict.fromkeys(namespaces, 0), {}, {}
        self.faults, self.expiries, self.lock, self.finished = rng.randrange(8), rng.randrange(3), threading.Lock(), threading.Event()
        for _number in range(rng.randrange(6)):
            self.step()

    def step(self):
        """A pod is created, changed or deleted; the last one of each namespace is named `last`."""
        self.version += self.rng.randrange(1, 4)
        uid = self.rng.choice(sorted(self.live)) if self.live and self.rng.random() < 0.6 else None
        if uid is None:
            namespace, name = self.rng.choice(self.namespaces), f"p{self.rng.randrange(4)}"
            if not any((item["metadata"]["namespace"], item["metadata"]["name"]) == (namespace, name) for item in self.live.values()):
                self.store("ADDED", self.make(name, f"u{self.version}", namespace))
        elif self.rng.random() < 0.3:
            item = self.live[uid]
            self.store("DELETED", item | {"metadata": item["metadata"] | {"resourceVersion": str(self.version)}})
        else:
            metadata = self.live[uid]["metadata"]
            self.store("MODIFIED", self.make(metadata["name"], uid, metadata["namespace"]))

    def make(self, name, uid, namespace):
        return pod(name, str(self.version), self.rng.choice([None, None, 0, 1]), uid=uid, namespace=namespace)

    def store(self, event_type, item):
        self.history.append((self.version, event_type, item))
        self.live.pop(item["metadata"]["uid"], None)
        if event_type != "DELETED":
            self.live[item["metadata"]["uid"]] = item  # the newest one is the last

    def advance(self):
        """Time passes."""
        for _number in range(min(self.rng.choice([0, 0, 1, 2, 5]), self.steps)):
            self.step()
            self.steps -= 1
        if self.steps == 0 and len(self.since) == len(self.namespaces):
            self.steps = -1
            for namespace in self.namespaces:
                self.version += 1
                self.store("ADDED", self.make("last", f"last-{namespace}", namespace))

    def __call__(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        query, parts = dict(urllib.parse.parse_qsl(url.query)), url.path.split("/")
        namespace = parts[4]
        if len(parts) == 5:
            return Response(200, {"kind": "Namespace", "apiVersion": "v1", "metadata": LIVE_METADATA | {"name": namespace}})
        with self.lock:
            self.advance()
            if self.faults and self.rng.random() < 0.2:
                self.faults -= 1
                return self.rng.choice(BUSY)
            answer = self.watch(namespace, int(query["resourceVersion"])) if "watch" in query else self.list(namespace, query.get("continue"))
        if answer is None:
            self.finished.wait(30)
            answer = Response(200, b"")
        return answer

    def list(self, namespace, token):
        if token is None:
            self.lists[namespace] += 1
            self.since.setdefault(namespace, self.version)
            items = [item for item in self.live.values() if item["metadata"]["namespace"] == namespace]
            token = f"{self.version}-{namespace}-0"
            self.snapshots[token.rpartition("-")[0]] = items
        key, _dash, start = token.rpartition("-")
        items, first = self.snapshots[key], int(start)
        metadata = {"resourceVersion": key.partition("-")[0]} | ({"continue": f"{key}-{first + PAGE}"} if first + PAGE < len(items) else {})
        return Response(200, {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items[first : first + PAGE]})

    def watch(self, namespace, since):
        """Some events since a version, and then the end of the response; None if nothing will happen any more."""
        rng = self.rng
        if self.expiries and rng.random() < 0.1:
            self.expiries -= 1
            return rng.choice([failure(410, "Expired", "too old resource version"), lines([EXPIRED])])
        found = [(version, change(kind, item)) for version, kind, item in self.history if item["metadata"]["namespace"] == namespace]
        after = [event for version, event in found if version > since]
        if not after and self.steps < 0 and rng.random() < 0.7:
            return None
        sent = after[: rng.randrange(len(after) + 1)]
        again = [event for version, event in found if version == since][: rng.randrange(2)]  # from a cache that repeats the last one
        events = again + sent
        if len(sent) == len(after) and rng.random() < 0.5:
            metadata = {"resourceVersion": str(self.version), "creationTimestamp": None}
            events.append({"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1", "metadata": metadata}})
        if rng.random() < 0.1 and self.expiries:
            self.expiries -= 1
            events.append(EXPIRED)
        return lines(events, json.dumps(after[0])[: rng.randrange(40)].encode() if after and rng.random() < 0.2 else b"")


def lines(events, rest=b""):
    """The response with these events, and the start of another."""
    return Response(200, b"".join(json.dumps(each).encode() + b"\n" for each in events) + rest)


def collect(stream, world):
    """The events until the last one of each namespace, by namespace."""
    found = {namespace: [] for namespace in world.namespaces}
    deadline = time.monotonic() + 60
    while not all(events and events[-1]["name"] == "last" for events in found.values()):
        assert time.monotonic() < deadline, found
        event = stream.next(1)
        if event:
            found[event["namespace"]].append(event)
    return found


def check(world, namespace, events, initial):
    history = [(kind, item) for version, kind, item in world.history if item["metadata"]["namespace"] == namespace]
    shown = [(event["type"], event["uid"], int(event["resource_version"])) for event in events if not event["initial"]]
    made = [(kind, item["metadata"]["uid"], int(item["metadata"]["resourceVersion"])) for kind, item in history]
    assert len(set(shown)) == len(shown), shown
    if world.lists[namespace] == 1:
        assert shown == [each for each in made if each[2] > world.since[namespace]]
    before, first = {}, {}
    for kind, uid, version in made:
        if version <= world.since[namespace]:
            first.pop(uid, None)
            if kind != "DELETED":
                first[uid] = version
    assert [(each["uid"], int(each["resource_version"])) for each in events if each["initial"]] == (list(first.items()) if initial else [])
    before = dict(first)
    versions = {(uid, version) for _kind, uid, version in made}
    for kind, uid, version in shown:
        assert (kind == "ADDED") == (uid not in before) and (uid, version) in versions, (kind, uid, version)
        assert version > before.get(uid, 0) or kind == "DELETED"
        if kind == "DELETED":
            del before[uid]
        else:
            before[uid] = version
    alive = {uid: int(item["metadata"]["resourceVersion"]) for uid, item in world.live.items() if item["metadata"]["namespace"] == namespace}
    assert before == alive
    for event in events:
        if event["type"] != "DELETED":
            assert event["object"] in [item for _kind, item in history]


def play(seed):
    rng = random.Random(seed)
    world = World(rng, rng.choice([["n"], ["n", "m"]]))
    initial, is_cancelled = rng.random() < 0.5, rng.random() < 0.2
    console = Console()
    with StubServer(world) as server:
        try:
            stream = EventStream({"host": server.url, "namespaces": world.namespaces, "initial": initial}, console)
            stream._client.poll_seconds = 0.01
            with stream:
                if is_cancelled:
                    for _number in range(rng.randrange(4)):
                        stream.next(rng.choice([0, 0.02]))
                else:
                    found = collect(stream, world)
                started = time.monotonic()
            assert time.monotonic() - started < 20 and not stream.is_alive()  # the server answers such a watch after 30 s
            assert not [thread for thread in threading.enumerate() if thread.name.startswith("podwright")]
        finally:
            world.finished.set()
    if not is_cancelled:
        for namespace in world.namespaces:
            check(world, namespace, found[namespace], initial)


@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_each_change_is_one_event_whatever_happens_to_the_watches(tried, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "_STEP", 0.02)
        patch.setattr(stream_module, "_FIRST_PAUSE", 0.005)
        patch.setattr(watch, "_PAUSE", 0.002)
        play(seed)
    tried("events of pods while watches break, expire and repeat events, and lists come in pages or are refused", 1, "lost", "wrong", "hung")
