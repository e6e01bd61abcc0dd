# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches: what happens to objects, from a resource version on, for as long as somebody listens."""

from __future__ import annotations

import json
import queue
import threading

from ..errors import PodwrightError
from ..libraries import load
from .request import Request
from .transport import shut_down, socket_of

SERVER_SECONDS = 300


class Watcher:
    """Follows collections and hands out their changes in one stream.

    A watch that the server ends is opened again from the last version seen; after a 410 the collection is listed anew and
    each of its objects is handed out as `MODIFIED`, those gone as `DELETED`. Where watching is forbidden, the collection is
    listed every `poll_seconds` of the client instead. Use it as a context manager: leaving ends its threads.
    """

    def __init__(self, client):
        self._client = client
        self._queue = queue.Queue()
        self._follows = []

    def follow(self, kind, namespace, resource_version, label_selector=None, field_selector=None, known=()):
        """Start to follow a collection. `known` are the objects of the LIST that gave the version."""
        follow = _Follow(self._client, self._queue, kind, namespace, label_selector, field_selector, resource_version, known)
        self._follows.append(follow)
        follow.start()

    def next(self, timeout):
        """The next (type, object) within `timeout` seconds, or None. Raises: PodwrightError where a watch cannot go on."""
        try:
            change = self._queue.get(timeout=max(timeout, 0))
        except queue.Empty:
            return None
        if isinstance(change, Exception):
            raise change
        return change

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for follow in self._follows:
            follow.stop()
        for follow in self._follows:
            follow.join()


class _Follow(threading.Thread):
    def __init__(self, client, sink, kind, namespace, label_selector, field_selector, resource_version, known):
        super().__init__(daemon=True, name=f"podwright-watch-{kind.plural}")
        self._client, self._sink, self._kind, self._namespace = client, sink, kind, namespace
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._version = resource_version
        self._known = {item["metadata"]["uid"]: item for item in known}
        self._stopped = threading.Event()
        self._socket = None

    def stop(self):
        """End the thread, also while it waits for the server."""
        self._stopped.set()
        shut_down(self._socket)

    def run(self):
        failures = 0
        while not self._stopped.is_set():
            try:
                self._watch_once()
                failures = 0
            except PodwrightError as error:
                failures += 1
                if error.status == 410:
                    self._relist()
                elif error.is_forbidden:
                    self._stopped.wait(self._client.poll_seconds)
                    self._relist()
                elif error.status in (401, 403, 404, 422) or failures > 5:
                    self._sink.put(error)
                    return
                else:
                    self._stopped.wait(min(0.2 * 2**failures, 5))

    def _watch_once(self):
        query = [("watch", "true"), ("resourceVersion", self._version), ("allowWatchBookmarks", "true"), ("timeoutSeconds", str(SERVER_SECONDS))]
        query += [
            (key, value) for key, value in (("labelSelector", self._selectors["label_selector"]), ("fieldSelector", self._selectors["field_selector"])) if value
        ]
        request = Request("GET", self._kind.path(self._namespace), tuple(query), kind=self._kind, namespace=self._namespace, timeout=SERVER_SECONDS + 30)
        response = self._client.stream(request)
        self._socket = socket_of(response)
        try:
            if self._stopped.is_set():
                return  # stopped while the connection was being made
            for line in _lines(response, self._stopped):
                self._hand_out(json.loads(line))
        except (load("urllib3").exceptions.HTTPError, OSError, ValueError):
            pass  # an ended watch is not an end: it is opened again from the last version seen
        finally:
            self._socket = None
            response.close()

    def _hand_out(self, change):
        kind, item = change["type"], change["object"]
        if kind == "ERROR":
            raise PodwrightError(item.get("message", "the watch failed"), status=item.get("code"), reason=item.get("reason", ""))
        self._version = item["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self._known.pop(item["metadata"]["uid"], None)
        else:
            self._known[item["metadata"]["uid"]] = item
        self._sink.put((kind, item))

    def _relist(self):
        if self._stopped.is_set():
            return
        try:
            items, self._version = self._client.list(self._kind, self._namespace, **self._selectors)
        except PodwrightError as error:
            self._sink.put(error)
            self._stopped.set()
            return
        gone = {uid: item for uid, item in self._known.items() if uid not in {i["metadata"]["uid"] for i in items}}
        self._known = {item["metadata"]["uid"]: item for item in items}
        for item in gone.values():
            self._sink.put(("DELETED", item))
        for item in items:
            self._sink.put(("MODIFIED", item))


def _lines(response, stopped):
    """Whole lines of a chunked response, as they come."""
    buffer = b""
    for chunk in response.stream(1 << 16):
        if stopped.is_set():
            return
        buffer += chunk
        *lines, buffer = buffer.split(b"\n")
        yield from filter(None, lines)
