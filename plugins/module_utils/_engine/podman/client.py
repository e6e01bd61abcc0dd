# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A client whose requests are answered by Podman on this machine instead of an API server, for what tasks need."""

from __future__ import annotations

import copy
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..clock import Clock
from ..cluster.availability import Availability
from ..cluster.client import Client
from ..cluster.configuration import Configuration
from ..cluster.kinds import CONFIG_MAP, EVENT, JOB, POD, SECRET, Kinds
from ..cluster.streams import Streams
from ..errors import REPLACED, PodwrightError
from ..objects.selectors import matches
from ..text import decode, parse_integer
from ..threads import Deadline
from .feeds import LogFeed, PodFeed
from .played_manifest import container_name, pod_name, secret_of
from .pods import Pods
from .program import COMMAND_SECONDS
from .records import Records

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from ..cluster.request import Request
    from ..values import Manifest
    from .program import Program

RECORDS, CHANGES = "podwright", "changes"  # the directory in that of Podman's storage, and one in it


class PodmanConfiguration(Configuration):
    """Takes the place of the connection to a cluster.

    Args:
        host: the name of the machine.
    """

    def __init__(self, host: str) -> None:  # pylint: disable=super-init-not-called
        self.server, self.source = f"Podman on host '{host}'", "runtime podman"
        self.namespace = os.environ.get("PODWRIGHT_NAMESPACE") or "default"


class PodmanClient(Client):
    """Pods, Secrets of pods, and records; other kinds do not exist.

    Args:
        wait_timeout: that of the operation in seconds, or None.
    """

    def __init__(self, program: Program, wait_timeout: float | None = None, clock: Clock | None = None) -> None:  # pylint: disable=super-init-not-called
        self.streams, self.clock = Streams(), clock or Clock()
        self.availability = Availability(self.clock)
        self.kinds = Kinds(lambda _path: {"resources": []})
        self.poll_seconds = 1
        self._program, self._configuration = program, PodmanConfiguration(program.host)
        self._clock_offset = 0.0
        self._records = Records(os.path.join(program.directory, RECORDS))
        self._pods = Pods(program, self.clock, wait_timeout, Records(os.path.join(program.directory, RECORDS, CHANGES)))
        self._held: dict[tuple[str, str], Manifest] = {}  # pods that wait for their Secrets, by the names of these
        self._lock = threading.Lock()

    @property
    def configuration(self) -> Configuration:
        """Takes the place of the configuration of a connection."""
        return self._configuration

    def branch(self) -> PodmanClient:
        """The same client with streams of its own."""
        branch = copy.copy(self)
        branch.streams = Streams()
        return branch

    def close(self) -> None:
        """There is no connection to close."""

    def send(self, request: Request) -> Manifest:
        """Answer a request as an API server does. Raises: PodwrightError."""
        answers: dict[str, Callable[[Request], Manifest]] = {POD.name: self._answer_pod, CONFIG_MAP.name: self._answer_record, SECRET.name: self._answer_secret}
        name = request.kind.name if request.kind else ""
        if name in answers:
            return answers[name](request)
        if name in (JOB.name, EVENT.name) and request.verb == "list":
            return _listing([])
        raise _error(request, 404, "NotFound", f"Podman has no {name or 'such'} objects")

    def fetch(self, request: Request) -> bytes:
        """The log of a container. Raises: PodwrightError."""
        query = dict(request.query)
        limit = parse_integer(query.get("limitBytes"))
        tail = ["--tail", query["tailLines"]] if "tailLines" in query else []
        with self._read_log(request, tail) as process, Deadline(COMMAND_SECONDS, process.kill) as deadline:
            content = process.stdout.read(-1 if limit is None else limit) if process.stdout else b""
            if limit is not None and len(content) >= limit:
                process.kill()
        if deadline.has_passed:
            raise _error(request, 500, "PodmanFailed", f"'podman logs' did not finish within {COMMAND_SECONDS} s")
        if process.returncode > 0:
            raise _error(request, 500, "PodmanFailed", decode(content[-1000:]).strip().removeprefix("Error: ").rstrip("."))
        return content

    def stream(self, request: Request) -> BaseHTTPResponse:
        """The changes of pods, or the log of a container, as it is written. Raises: PodwrightError."""
        self.streams.check()
        feed: Any
        if request.subresource == "log":
            since = [word for name, value in request.query if name == "sinceTime" for word in ("--since", value)]
            feed = LogFeed(self._read_log(request, ["--follow", "--timestamps", *since]))
        else:
            chosen = _chosen(request)
            known = {uid: pod for uid, pod in self._pods.seen.items() if chosen(pod)}
            feed = PodFeed(lambda: self._pods.select(chosen, enforce=True), known, self._pods.deleted)
        self.streams.add(feed._connection.sock)
        response: BaseHTTPResponse = feed
        return response

    def _read_log(self, request: Request, options: list[str]) -> subprocess.Popen[bytes]:
        if self._pods.is_missing(request.namespace, request.name):
            raise _error(request, 404, "NotFound", "it was never started")
        container = container_name({"metadata": {"name": request.name, "namespace": request.namespace}}, dict(request.query)["container"])
        return self._program.start(["logs", *options, container], subprocess.STDOUT)

    # -- pods -----------------------------------------------------------------------------------------------

    def _answer_pod(self, request: Request) -> Manifest:
        if request.verb == "list":
            return _listing(self._pods.select(_chosen(request)))
        if request.verb == "create":
            return self._create(request)
        pod = self._find(request)
        if request.verb == "get":
            return pod
        if request.verb == "delete":
            return self._delete(request, pod)
        if request.verb == "patch" and not request.subresource and isinstance(request.body, dict) and set(request.body) == {"metadata"}:
            if request.body["metadata"].get("uid") not in (None, pod["metadata"]["uid"]):
                raise _error(request, 409, "Conflict", "Precondition failed: it has another uid")
            return self._pods.change(pod, request.body["metadata"], ("dryRun", "All") in request.query)
        raise _error(request, 422, "Invalid", "Podman does not change pods in place")

    def _find(self, request: Request) -> Manifest:
        found = self._pods.select(lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"]) == (request.namespace, request.name))
        if not found:
            raise _error(request, 404, "NotFound", f"pods {request.name!r} not found")
        return found[0]

    def _create(self, request: Request) -> Manifest:
        body: Manifest = request.body  # type: ignore[assignment]
        pod = self._pods.identify(body)
        if ("dryRun", "All") in request.query:
            return pod
        self._pods.begin()
        if self._pods.exists(pod):
            raise _error(request, 409, "AlreadyExists", f"a pod of the name {pod_name(pod)!r} exists already on host '{self._program.host}'")
        secret = secret_of(pod)
        if secret is None:
            return self._pods.start(pod, {})
        with self._lock:
            self._held[request.namespace or "", secret] = pod
        return pod

    def _delete(self, request: Request, pod: Manifest) -> Manifest:
        options: Mapping[str, Any] = request.body if isinstance(request.body, dict) else {}
        if (options.get("preconditions") or {}).get("uid") not in (None, pod["metadata"]["uid"]):
            raise _error(request, 409, "Conflict", "Precondition failed: it has another uid")
        if "dryRun" not in options:
            self._pods.begin()
            self._pods.delete(pod, options.get("gracePeriodSeconds"))
        return pod

    def _answer_secret(self, request: Request) -> Manifest:
        """Start the pod that waits for a Secret, which is kept nowhere."""
        body: Any = request.body
        with self._lock:
            pod = self._held.pop((request.namespace or "", body["metadata"]["name"]), None) if request.verb == "create" else None
        if pod is None:
            raise _error(request, 409, "AlreadyExists", "its pod has it already")
        try:
            self._pods.start(pod, body["data"])
        except PodwrightError as error:
            # It is the pod that exists already, not the Secret.
            raise PodwrightError(error.message, status=error.status, reason=REPLACED if error.status == 409 else error.reason, hint=error.hint) from None
        return dict(body)

    # -- records --------------------------------------------------------------------------------------------

    def _answer_record(self, request: Request) -> Manifest:
        namespace, name = request.namespace or "", request.name or ""
        if request.verb == "list":
            chosen = _chosen(request)
            return _listing([item for item in self._records.list() if chosen(item)])
        if request.verb == "patch" and isinstance(request.body, dict):  # server-side apply
            return self._records.write(request.body)
        found = self._records.get(namespace, name)
        if found is None or (request.verb == "delete" and not self._records.delete(namespace, name)):
            raise _error(request, 404, "NotFound", f"configmaps {name!r} not found")
        return found


def _chosen(request: Request) -> Callable[[Manifest], bool]:
    """Whether an object is one of those that a request lists or watches."""
    query = dict(request.query)
    labels, fields = query.get("labelSelector"), query.get("fieldSelector")

    def is_chosen(item: Manifest) -> bool:
        metadata = item["metadata"]
        is_selected = not labels or matches(labels, metadata.get("labels") or {})
        is_named = not fields or matches(fields, {f"metadata.{name}": value for name, value in metadata.items()})
        return request.namespace in (None, metadata["namespace"]) and is_selected and is_named

    return is_chosen


def _listing(items: list[Manifest]) -> Manifest:
    versions = [parse_integer(item["metadata"].get("resourceVersion")) or 0 for item in items]
    return {"kind": "List", "items": copy.deepcopy(items), "metadata": {"resourceVersion": str(max(versions, default=0))}}


def _error(request: Request, status: int, reason: str, why: str) -> PodwrightError:
    return PodwrightError(f"{request.describe()}: {why}.", status=status, reason=reason)
