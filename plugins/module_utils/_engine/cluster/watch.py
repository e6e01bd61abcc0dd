# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches of collections (https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes)."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from ..clock import pause_after
from ..errors import UNEXPECTED, PodwrightError, as_podwright_error
from ..libraries import connection_errors
from .api_errors import status_error
from .request import Request
from .shapes import find_misfit, is_bookmark
from .streams import shut_down
from .transport import socket_of

if TYPE_CHECKING:
    import socket

    from urllib3 import BaseHTTPResponse

    from ..values import Manifest
    from .client import Client
    from .kinds import Kind

Item = TypeVar("Item")
WATCH_TIMEOUT = 300  # seconds until the server closes a watch
SHORT_SECONDS = 1  # a watch that is closed earlier counts as failed, and as useless if it had no event
MAX_LINE = 1 << 26  # bytes of an event: an object is as large as etcd stores, 1.5 MiB, and the JSON of a custom resource a few times that
_MAX_FAILURES = 5
_PAUSE = 0.2
_MAX_BACKOFF = 5
_READ_SIZE = 1 << 16
_FULL_SECONDS = 0.5  # after which a thread that waits for room checks whether it is stopped
_USELESS = 2  # watches without an event after which the collection is listed
WatchEvent: TypeAlias = "tuple[str, Manifest]"
"""The type of an event (`ADDED`, `MODIFIED` or `DELETED`), and the object."""


def take(source: queue.Queue[Item | PodwrightError], timeout: float) -> Item | None:
    """The next item of a thread within `timeout` seconds, or None. Raises: PodwrightError if that is what the thread has put."""
    try:
        item = source.get(timeout=max(timeout, 0))
    except queue.Empty:
        return None
    if isinstance(item, PodwrightError):
        raise item
    return item


class Watcher:
    """Watches collections and yields their events in one stream; a context manager that stops its threads.

    A watch that is closed is opened again from the last resource version. After a 410 the collection is listed again: each of its objects
    is an event of type `MODIFIED`, those that no longer exist of type `DELETED`. If watching is forbidden, or every watch is closed at once
    and without an event, the collection is listed every `poll_seconds` of the client instead.

    Args:
        limit: how many events wait at most before the server has to wait; 0 for any number.
    """

    def __init__(self, client: Client, limit: int = 0) -> None:
        self._client = client
        self._queue: queue.Queue[WatchEvent | PodwrightError] = queue.Queue(limit)
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
        return take(self._queue, timeout)

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
        try:
            self._follow()
        except Exception as error:
            self._put(as_podwright_error(error))

    def _put(self, event: WatchEvent | PodwrightError) -> None:
        """Yield an event as soon as there is room for it, unless the thread is stopped."""
        while not self._stopped.is_set():
            try:
                self._sink.put(event, timeout=_FULL_SECONDS)
                return
            except queue.Full:
                pass

    def _follow(self) -> None:
        """Watch until `stop`. Raises: PodwrightError if the watch fails for good."""
        failures = closed = 0  # watches in a row that failed, and that were closed at once
        while not self._stopped.is_set():
            started, version = time.monotonic(), self._version
            try:
                self._watch_once()
                failures = 0
                is_short = time.monotonic() - started < SHORT_SECONDS
                closed = closed + 1 if is_short and self._version == version else 0
                if closed > _USELESS:
                    self._stopped.wait(self._client.poll_seconds)
                    self._relist()
                elif is_short:
                    self._stopped.wait(_PAUSE)
            except PodwrightError as error:
                failures += 1
                if error.status == 410:
                    self._stopped.wait(0 if failures == 1 else _backoff(failures))
                    self._relist()
                elif error.is_forbidden:
                    self._stopped.wait(self._client.poll_seconds)
                    self._relist()
                elif (error.status in (401, 403, 404, 422) or failures > _MAX_FAILURES) and not self._client.availability.lets_wait(error):
                    raise
                else:
                    self._stopped.wait(_backoff(failures))

    def _watch_once(self) -> None:
        """Take the events of one watch until it is closed. Raises: PodwrightError, also for an event that is invalid."""
        response = self._client.stream(self._request())
        self._socket = socket_of(response)
        try:
            if self._stopped.is_set():
                return  # `stop` was called before there was a socket to shut down
            for line in self._lines(response):
                self._take_event(self._read_event(line))
        except connection_errors():
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

    def _lines(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        """Complete lines of a response, as they are received. Raises: PodwrightError for a line that is too long."""
        pieces: list[bytes] = []
        size = 0
        for chunk in response.stream(_READ_SIZE):
            if self._stopped.is_set():
                return
            *lines, rest = chunk.split(b"\n")
            if lines:
                yield from filter(None, (b"".join([*pieces, lines[0]]), *lines[1:]))
                pieces, size = [], 0
            pieces.append(rest)
            size += len(rest)
            if size > MAX_LINE:
                raise self._invalid_line()

    def _read_event(self, line: bytes) -> WatchEvent:
        """The event of a line. Raises: PodwrightError if it is invalid, or reports an error."""
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        item = event.get("object") if isinstance(event, dict) and "type" in event else None
        if not isinstance(item, dict):
            raise self._invalid_line()
        if event["type"] == "ERROR":
            code = item.get("code")
            raise status_error(code if isinstance(code, int) else 0, item, self._request(), self._client.configuration)
        if event["type"] == "BOOKMARK":
            is_valid = is_bookmark(item)
        else:
            is_valid = event["type"] in ("ADDED", "MODIFIED", "DELETED") and item.get("kind") == self._kind.name and find_misfit(item, self._kind) is None
        if not is_valid:
            raise self._invalid_line()
        return event["type"], item

    def _invalid_line(self) -> PodwrightError:
        server = self._client.configuration
        message = f"{self._request().describe()}: {server.server} (from {server.source}) sent a line that is not an event of a {self._kind.name}."
        return PodwrightError(message, reason=UNEXPECTED, hint="Check the address of the API server, and the proxies in between.")

    def _take_event(self, event: WatchEvent) -> None:
        event_type, item = event
        self._version = item["metadata"]["resourceVersion"]
        if event_type == "BOOKMARK":
            return
        if event_type == "DELETED":
            self._known.pop(item["metadata"]["uid"], None)
        else:
            self._known[item["metadata"]["uid"]] = item
        self._put((event_type, item))

    def _relist(self) -> None:
        if self._stopped.is_set():
            return
        items, self._version = self._client.list(self._kind, self._namespace, self._label_selector, self._field_selector)
        before, self._known = self._known, {item["metadata"]["uid"]: item for item in items}
        for uid, item in before.items():
            if uid not in self._known:
                self._put(("DELETED", item))
        for item in items:
            self._put(("MODIFIED", item))


def _backoff(failures: int) -> float:
    return pause_after(failures, 2 * _PAUSE, _MAX_BACKOFF)
