# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The events of a cluster as one stream, which survives outages: its threads list and watch, and whoever uses it takes one event after the other."""

from __future__ import annotations

import queue
import random
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ..clock import Clock, pause_after
from ..cluster.client import Client
from ..cluster.configuration import Configuration
from ..cluster.namespaces import warn_of_missing_namespaces
from ..cluster.streams import CANCELLED
from ..cluster.watch import Watcher, take
from ..errors import CONNECTION_LOST, PodwrightError, as_podwright_error, option_error
from .options import read_options
from .payload import Describer

if TYPE_CHECKING:
    from ..cluster.kinds import Kind
    from ..console import Console
    from ..values import Manifest, Options, Result

MAX_WAITING = 100  # events that wait for a rule engine that is busy; then the watches wait, and at last the API server closes them
STOP_SECONDS = 5
_STEP = 0.5  # seconds after which a thread checks whether it is stopped
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30


class _Collection(NamedTuple):
    """The objects of a kind in a namespace; None is all namespaces."""

    kind: Kind
    namespace: str | None

    @property
    def title(self) -> str:
        """What it is in a sentence."""
        place = f"namespace '{self.namespace}'" if self.namespace else "all namespaces"
        return f"{self.kind.title} in {place}" if self.kind.namespaced else self.kind.title

    def holds(self, item: Manifest) -> bool:
        """Whether an object that was in one of the collections is in this one."""
        is_same = item["kind"] == self.kind.name and item.get("apiVersion") == self.kind.api_version
        return is_same and self.namespace in (None, item["metadata"].get("namespace"))


class _Known(NamedTuple):
    """An object as it was last seen."""

    item: Manifest
    fingerprint: str | None


class _StoppableClock(Clock):
    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped

    def sleep(self, seconds: float) -> None:  # type: ignore[override]  # that of the base class is static
        """Wait. Raises: PodwrightError if the stream is closed."""
        if self._stopped.wait(seconds):
            raise PodwrightError("The event source was stopped.", reason=CANCELLED)


class EventStream(threading.Thread):
    """Events that describe how objects change, in the order of the API server; a context manager that stops its threads.

    Each change of an object is one event, also after a connection loss or if the history of the API server has expired: the collection is listed
    then, and compared with what is known.

    Args:
        options: as a user sets them.
        console: reports outages as warnings.

    Raises: PodwrightError for invalid options.
    """

    def __init__(self, options: Options, console: Console) -> None:
        super().__init__(daemon=True, name="podwright-events")
        self._options, self._console = read_options(options), console
        self._configuration = Configuration(self._options)
        self._describer = Describer(self._options, self._configuration.server)
        self._queue: queue.Queue[Result | PodwrightError | None] = queue.Queue(MAX_WAITING)
        self._stopped = threading.Event()
        self._client = Client(self._configuration, clock=_StoppableClock(self._stopped))
        self._known: dict[tuple[str, str, str], _Known] = {}  # by API version, kind and uid
        self._listed: set[_Collection] = set()  # at least once
        self._has_started = False  # every collection was listed
        self._failing_since: float | None = None
        self._next_beat = time.monotonic() + self._options["heartbeat"]

    def __enter__(self) -> EventStream:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, also while the server does not respond."""
        self._stopped.set()
        with suppress(queue.Full):
            self._queue.put_nowait(None)  # so that `next` returns at once
        self._client.sessions.sockets.cancel()
        self.join(STOP_SECONDS)

    def next(self, timeout: float) -> Result | None:
        """The next event within `timeout` seconds, or None. Raises: PodwrightError if the stream failed for good."""
        beat = self._options["heartbeat"]
        if beat and time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + beat
            connected = self._failing_since is None and bool(self._listed)
            return {"type": "HEARTBEAT", "cluster": self._configuration.server, "connected": connected, "objects": len(self._known)}
        return take(self._queue, min(timeout, self._next_beat - time.monotonic()) if beat else timeout)

    # -- the thread ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            with self._client:
                self._serve()
        except Exception as error:
            self._put(as_podwright_error(error))

    def _serve(self) -> None:
        """List and watch, again after each failure. Raises: PodwrightError for an error that is final, or lasts too long."""
        failures, collections = 0, list[_Collection]()
        while not self._stopped.is_set():
            try:
                collections = collections or self._find_collections()
                self._watch([(collection, *self._list(collection)) for collection in collections])
            except PodwrightError as error:
                if self._stopped.is_set():
                    return
                failures = 0 if self._failing_since is None else failures + 1
                self._check_failure(error)
                pause = pause_after(failures + 1, _FIRST_PAUSE, _LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311 - not a secret
                self._console.warn(f"{error} The event source reconnects in {pause:.1f} s.")
                self._stopped.wait(pause)

    def _check_failure(self, error: PodwrightError) -> None:
        """Raises: the error if it is final, or has lasted too long."""
        now, timeout = time.monotonic(), self._options["reconnect_timeout"]
        self._failing_since = now if self._failing_since is None else self._failing_since
        is_temporary = error.is_unreachable or error.reason == CONNECTION_LOST or (error.status or 0) >= 500 or error.status in (410, 429)
        if not (is_temporary or self._has_started) or (timeout and now - self._failing_since >= timeout):
            raise error

    def _find_collections(self) -> list[_Collection]:
        """Raises: PodwrightError for a kind that the API server does not serve, and for namespaces that no kind has."""
        kinds = list(dict.fromkeys(self._find_kind(*text.strip().rpartition("/")) for text in self._options["kinds"]))
        if self._options["namespaces"] and not any(kind.namespaced for kind in kinds):
            raise option_error("namespaces", f"must not be set for kinds that have no namespace: {', '.join(kind.name for kind in kinds)}.")
        if self._options["all_namespaces"]:
            return [_Collection(kind, None) for kind in kinds]
        namespaces = list(dict.fromkeys(self._options["namespaces"] or [self._client.configuration.namespace]))
        if any(kind.namespaced for kind in kinds):
            warn_of_missing_namespaces(self._client, namespaces, self._console)
        return [_Collection(kind, namespace) for kind in kinds for namespace in (namespaces if kind.namespaced else [None])]

    def _find_kind(self, api_version: str, _separator: str, name: str) -> Kind:
        return self._client.kinds.find(api_version, name) if api_version else self._client.kinds.find_optional("v1", name)

    def _list(self, collection: _Collection) -> tuple[list[Manifest], str]:
        """List a collection and yield what changed since it was last seen. Returns: the objects, and the resource version to watch from."""
        items, version = self._client.list(collection.kind, collection.namespace, *self._selectors)
        present = {_identity(item) for item in items}
        is_first = collection not in self._listed
        for identity, known in list(self._known.items()):
            if identity not in present and collection.holds(known.item):
                self._take("DELETED", known.item)
        for item in items:
            self._take("ADDED", item, is_first)
        self._listed.add(collection)
        return items, version

    @property
    def _selectors(self) -> tuple[str | None, str | None]:
        return ",".join(self._options["label_selectors"]) or None, ",".join(self._options["field_selectors"]) or None

    def _watch(self, lists: list[tuple[_Collection, list[Manifest], str]]) -> None:
        """Yield the events of all collections until the stream is closed. Raises: PodwrightError."""
        self._failing_since, self._has_started = None, True
        self._console.progress(f"Watching {', '.join(collection.title for collection, _items, _version in lists)}.")
        with Watcher(self._client, MAX_WAITING) as watcher:
            for (kind, namespace), items, version in lists:
                watcher.follow(kind, namespace, version, *self._selectors, known=items)
            while not self._stopped.is_set():
                event = watcher.next(_STEP)
                if event:
                    self._take(*event)
                elif not self._stopped.is_set():  # which closes the connections
                    self._check_outage()

    def _check_outage(self) -> None:
        """Report an outage during which the watches wait, once. Raises: PodwrightError if it lasts too long."""
        since, timeout = self._client.availability.failing_since, self._options["reconnect_timeout"]
        if since is None:
            self._failing_since = None
        elif timeout and time.monotonic() - since >= timeout:
            raise PodwrightError(f"{self._configuration.server} (from {self._configuration.source}) has not responded for {timeout} s.", reason=CONNECTION_LOST)
        elif self._failing_since is None:
            self._failing_since = since
            self._console.warn(f"{self._configuration.server} (from {self._configuration.source}) does not respond. The event source reconnects.")

    def _take(self, event_type: str, item: Manifest, is_initial: bool = False) -> None:
        """Yield an event unless the object is unchanged, or the options exclude it."""
        identity = _identity(item)
        before = self._known.pop(identity, None)
        if event_type == "DELETED":
            if before:
                self._yield(event_type, self._describer.describe(item))
        elif before and before.item["metadata"].get("resourceVersion") == item["metadata"].get("resourceVersion"):
            self._known[identity] = before
        else:
            fields = self._describer.describe(item)
            now = self._known[identity] = _Known(item, self._describer.fingerprint(fields))
            if before and (now.fingerprint is None or now.fingerprint != before.fingerprint):
                self._yield("MODIFIED", fields)
            elif not before and (self._options["initial"] or not is_initial):
                self._yield("ADDED", fields, is_initial)

    def _yield(self, event_type: str, fields: Result, is_initial: bool = False) -> None:
        if self._describer.matches(event_type, fields):
            self._put(self._describer.event(event_type, fields, is_initial))

    def _put(self, event: Result | PodwrightError) -> None:
        """Yield an event as soon as there is room for it, unless the stream is closed."""
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._queue.put(event, timeout=_STEP)
                return


def _identity(item: Manifest) -> tuple[str, str, str]:
    values: Any = (item.get("apiVersion"), item["kind"], item["metadata"]["uid"])
    return tuple(map(str, values))  # type: ignore[return-value]
