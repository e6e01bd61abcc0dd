# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches of collections (https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes)."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from ..errors import PodwrightError
from ..libraries import load
from .request import Request
from .streams import shut_down
from .transport import socket_of

if TYPE_CHECKING:
    import socket

    from urllib3 import BaseHTTPResponse

    from ..values import Manifest
    from .client import Client
    from .kinds import Kind

WATCH_TIMEOUT = 300  # seconds until the server closes a watch
_MAX_FAILURES = 5
_MAX_BACKOFF = 5
_READ_SIZE = 1 << 16
WatchEvent: TypeAlias = "tuple[str, Manifest]"
"""The type of an event (`ADDED`, `MODIFIED` or `DELETED`), and the object."""


class Watcher:
    """Watches collections and yields their events in one stream; a context manager that stops its threads.

    A watch that is closed is opened again from the last resource version. After a 410 the collection is listed again: each of its objects
    is an event of type `MODIFIED`, those that no longer exist of type `DELETED`. If watching is forbidden, the collection is listed
    every `poll_seconds` of the client instead.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._queue: queue.Queue[WatchEvent | PodwrightError] = queue.Queue()
        self._watches: list[_Watch] = []

    def follow(
        self,
        kind: Kind,
        namespace: str | None,
        resource_version: str,
        label_selector: str | None = None,
        field_selector: str | None = None,
        known: Iterable[Manifest] = (),
    ) -> None:
        """Start to watch a collection from the resource version of a list, whose objects are `known`."""
        watch = _Watch(self._client, self._queue, kind, namespace, label_selector, field_selector)
        self._watches.append(watch)
        watch.start_from(resource_version, known)

    def next(self, timeout: float) -> WatchEvent | None:
        """The next event within `timeout` seconds, or None. Raises: PodwrightError if a watch failed for good."""
        try:
            event = self._queue.get(timeout=max(timeout, 0))
        except queue.Empty:
            return None
        if isinstance(event, PodwrightError):
            raise event
        return event

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_exception: object) -> None:
        for watch in self._watches:
            watch.stop()
        for watch in self._watches:
            watch.join()


class _Watch(threading.Thread):
    def __init__(
        self,
        client: Client,
        sink: queue.Queue[WatchEvent | PodwrightError],
        kind: Kind,
        namespace: str | None,
        label_selector: str | None,
        field_selector: str | None,
    ) -> None:
        super().__init__(daemon=True, name=f"podwright-watch-{kind.plural}")
        self._client, self._sink, self._kind, self._namespace = client, sink, kind, namespace
        self._label_selector, self._field_selector = label_selector, field_selector
        self._version = ""
        self._known: dict[str, Manifest] = {}  # by uid
        self._stopped = threading.Event()
        self._socket: socket.socket | None = None

    def start_from(self, resource_version: str, known: Iterable[Manifest]) -> None:
        """Start the thread."""
        self._version = resource_version
        self._known = {item["metadata"]["uid"]: item for item in known}
        self.start()

    def stop(self) -> None:
        """Stop the thread, also while it waits for the server."""
        self._stopped.set()
        shut_down(self._socket)

    def run(self) -> None:
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
                elif error.status in (401, 403, 404, 422) or failures > _MAX_FAILURES:
                    self._sink.put(error)
                    return
                else:
                    self._stopped.wait(min(0.2 * 2**failures, _MAX_BACKOFF))

    def _watch_once(self) -> None:
        response = self._client.stream(self._request())
        self._socket = socket_of(response)
        try:
            if self._stopped.is_set():
                return  # `stop` was called before there was a socket to shut down
            for line in _lines(response, self._stopped):
                self._take_event(json.loads(line))
        except (load("urllib3").exceptions.HTTPError, OSError, ValueError):
            pass  # the connection was closed; the watch is opened again from the last resource version
        finally:
            self._socket = None
            response.close()

    def _request(self) -> Request:
        query = [("watch", "true"), ("resourceVersion", self._version), ("allowWatchBookmarks", "true"), ("timeoutSeconds", str(WATCH_TIMEOUT))]
        query += [("labelSelector", self._label_selector)] if self._label_selector else []
        query += [("fieldSelector", self._field_selector)] if self._field_selector else []
        path = self._kind.path(self._namespace)
        return Request("GET", path, tuple(query), kind=self._kind, namespace=self._namespace, timeout=WATCH_TIMEOUT + 30)

    def _take_event(self, event: Manifest) -> None:
        event_type, item = event["type"], event["object"]
        if event_type == "ERROR":
            raise PodwrightError(item.get("message", "the watch failed"), status=item.get("code"), reason=item.get("reason", ""))
        self._version = item["metadata"]["resourceVersion"]
        if event_type == "BOOKMARK":
            return
        if event_type == "DELETED":
            self._known.pop(item["metadata"]["uid"], None)
        else:
            self._known[item["metadata"]["uid"]] = item
        self._sink.put((event_type, item))

    def _relist(self) -> None:
        if self._stopped.is_set():
            return
        try:
            items, self._version = self._client.list(self._kind, self._namespace, self._label_selector, self._field_selector)
        except PodwrightError as error:
            self._sink.put(error)
            self._stopped.set()
            return
        before, self._known = self._known, {item["metadata"]["uid"]: item for item in items}
        for uid, item in before.items():
            if uid not in self._known:
                self._sink.put(("DELETED", item))
        for item in items:
            self._sink.put(("MODIFIED", item))


def _lines(response: BaseHTTPResponse, stopped: threading.Event) -> Iterator[bytes]:
    """Complete lines of a chunked response, as they are received."""
    buffer = b""
    for chunk in response.stream(_READ_SIZE):
        if stopped.is_set():
            return
        buffer += chunk
        *lines, buffer = buffer.split(b"\n")
        yield from filter(None, lines)
