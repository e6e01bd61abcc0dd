# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Raw JSON requests to the API server over one pool of kept-alive connections."""

from __future__ import annotations

import calendar
import email.utils
import json
import random
import re
import socket
import urllib.parse
from dataclasses import dataclass, field

from ..clock import Clock
from ..errors import UNKNOWN_KIND, PodwrightError
from ..libraries import load
from .answers import check_content_type, check_status, read_answer
from .kinds import POD, Kinds
from .session import Sessions

MANAGER = "podwright"  # the field manager of what is written
PAGE = 500
ATTEMPTS = 5
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 90
LONGEST_REFUSAL = 1 << 20  # bytes read of a stream that was refused
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True)
class Request:
    """One request as a value: pure code prepares it, `Client.send` drives it."""

    method: str
    path: str
    query: tuple = ()
    body: object = None
    content_type: str = "application/json"
    kind: object = None
    namespace: str | None = None
    name: str | None = None
    subresource: str | None = None
    retryable: bool = True
    accept: str = "application/json"
    timeout: float = field(default=READ_TIMEOUT, compare=False)

    @property
    def resource(self):
        """The resource as RBAC names it."""
        if not self.kind:
            return self.path
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural

    @property
    def verb(self):
        """The verb as RBAC names it."""
        if self.method == "GET" and not self.name:
            return "watch" if ("watch", "true") in self.query else "list"
        return {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}[self.method]

    @property
    def target(self):
        """Path and query."""
        return self.path + ("?" + urllib.parse.urlencode(self.query) if self.query else "")

    def describe(self):
        """What was asked, for a person."""
        if not self.kind:
            return f"{self.method} {self.path}"
        where = f" in namespace '{self.namespace}'" if self.namespace else ""
        part = f"{self.subresource} of " if self.subresource else ""
        return f"Could not {self.verb} {part}{self.kind.name}{' ' + repr(self.name) if self.name else 's'}{where}"


class Client:
    """Talks to one API server; safe to share among threads.

    Args:
        configuration: a Configuration.
        connections: how many connections are kept at most.
        clock: a Clock.
        poll_seconds: how often a collection is listed where it may not be watched.
    """

    def __init__(self, configuration, connections=16, clock=None, poll_seconds=5):
        self.sessions = Sessions(configuration, connections)
        self.poll_seconds = poll_seconds
        self.clock = clock or Clock()
        self._ahead = 0  # seconds that the server's clock is ahead of this machine's
        self.kinds = Kinds(lambda path: self.send(Request("GET", path)))

    @property
    def configuration(self):
        """The Configuration in use."""
        return self.sessions.current.configuration

    def close(self):
        """Close every connection."""
        self.sessions.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def now(self):
        """Seconds since the epoch by the server's clock, as its last answer told it: ages of objects are not for this machine's."""
        return self.clock.now() + self._ahead

    # -- objects --------------------------------------------------------------------------------------------

    def get(self, kind, namespace, name):
        """One object, or None if it, its namespace or a definition that is about to be created does not exist."""
        try:
            return self.send(self._object_request("GET", kind, namespace, name))
        except PodwrightError as error:
            if error.is_not_found or (error.reason == UNKNOWN_KIND and self.kinds.is_defined(kind)):
                return None
            raise

    def list(self, kind, namespace=None, label_selector=None, field_selector=None, transform=None, metadata_only=False):
        """All objects of a kind, paged.

        Args:
            transform: what to keep of each object; each page is dropped before the next one is requested.
            metadata_only: leave out everything but the metadata (the API's PartialObjectMetadata).

        Returns: (items, resource version to watch from). Items carry apiVersion and kind.
        """
        accept = METADATA if metadata_only else Request.accept
        items, token = [], None
        while True:
            query = [("limit", str(PAGE))]
            query += [(key, value) for key, value in (("labelSelector", label_selector), ("fieldSelector", field_selector), ("continue", token)) if value]
            try:
                page = self.send(Request("GET", kind.path(namespace), tuple(query), kind=kind, namespace=namespace, accept=accept))
            except PodwrightError as error:
                if error.status == 410 and token:  # the continuation expired: from the start, and once more
                    items, token = [], None
                    continue
                raise
            for item in page.get("items") or []:
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.name)
                items.append(transform(item) if transform else item)
            token = page["metadata"].get("continue")
            if not token:
                return items, page["metadata"].get("resourceVersion", "")

    def create(self, kind, namespace, body, manager, dry_run=False):
        """POST an object under its own name. A repeated create may answer AlreadyExists: observe again."""
        query = _write_query(manager, dry_run)
        request = Request("POST", kind.path(namespace), query, body, kind=kind, namespace=namespace)
        return self.send(request)

    def apply(self, kind, namespace, name, body, manager, force=True, dry_run=False):
        """Server-side apply (KEP-555). Returns the object as it then is."""
        query = (*_write_query(manager, dry_run), ("force", "true" if force else "false"))
        return self.send(self._object_request("PATCH", kind, namespace, name, query=query, body=body, content_type=APPLY))

    def patch(self, kind, namespace, name, patch, manager, content_type=JSON_PATCH, subresource=None, dry_run=False):
        """PATCH an object or a subresource of it."""
        query = _write_query(manager, dry_run)
        return self.send(self._object_request("PATCH", kind, namespace, name, subresource, query=query, body=patch, content_type=content_type))

    def delete(self, kind, namespace, name, uid=None, propagation="Background", grace_period=None, dry_run=False, version=None):
        """DELETE an object, only the one of that uid where given. Returns False where there was none, unless an answer was lost before.

        Args:
            grace_period: seconds; 0 kills at once; None is the object's own.
            version: the resource version that it must still have, or None.
        """
        body = {"propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid} | ({"resourceVersion": version} if version else {})
        if grace_period is not None:
            body["gracePeriodSeconds"] = grace_period
        if dry_run:
            body["dryRun"] = ["All"]
        try:
            self.send(self._object_request("DELETE", kind, namespace, name, body=body))
            return True
        except PodwrightError as error:
            if error.is_not_found or (error.status == 409 and "precondition" in error.message.lower()):
                return error.response_was_lost
            raise

    def log(self, namespace, pod, container, tail_lines=None, previous=False, limit_bytes=None):
        """A container's log as bytes."""
        query = [("container", container)]
        if tail_lines is not None:
            query.append(("tailLines", str(tail_lines)))
        if limit_bytes is not None:
            query.append(("limitBytes", str(limit_bytes)))
        if previous:
            query.append(("previous", "true"))
        return self.send(
            Request("GET", POD.path(namespace, pod, "log"), tuple(query), kind=POD, namespace=namespace, name=pod, subresource="log", accept="*/*")
        )

    @staticmethod
    def _object_request(method, kind, namespace, name, subresource=None, **rest):
        namespace = namespace if kind.namespaced else None
        return Request(method, kind.path(namespace, name, subresource), kind=kind, namespace=namespace, name=name, subresource=subresource, **rest)

    # -- the wire -------------------------------------------------------------------------------------------

    def send(self, request):
        """Send a request, repeated where that is safe and may help.

        Connection errors, 429 and 5xx are tried again with Retry-After or jittered backoff; a 401 once, with fresh credentials.

        Returns: the decoded object, or bytes where anything was accepted.
        Raises: PodwrightError, also where what came back is not of the expected kind.
        """
        refused = None
        response_was_lost = False
        for attempt in range(1, ATTEMPTS + 1):
            session, response, error = self._try(request)
            if response is not None:
                try:
                    return read_answer(request, response.status, response.headers, response.data, session.configuration)
                except PodwrightError as caught:
                    error = caught
                if response.status == 401 and refused is None:
                    refused = self.sessions.renew(session)
                    continue
                is_final = response.status < 500 or not request.retryable or error.is_schema_mismatch
                error.response_was_lost = response_was_lost
                if response.status != 429 and is_final:
                    raise error
            if attempt == ATTEMPTS or not request.retryable or error.reason == "Refused":
                raise error
            response_was_lost |= response is None or response.status != 429
            self.clock.sleep(_pause(attempt, response))
        raise error

    def stream(self, request):
        """Open a response and leave its body to the caller (watch, log follow); a 401 once more with fresh credentials.

        Raises: PodwrightError, also where the content cannot be what was requested.
        """
        session, response, error = self._try(request, preload=False)
        if response is not None and response.status == 401:
            response.drain_conn()
            self.sessions.renew(session)
            session, response, error = self._try(request, preload=False)
        if error:
            raise error
        try:
            if not 200 <= response.status < 300:
                check_status(request, response.status, response.headers, response.read(LONGEST_REFUSAL), session.configuration)
            check_content_type(request, response.status, response.headers, session.configuration)
        except PodwrightError:
            response.close()
            raise
        return response

    def _try(self, request, preload=True):
        """(Session that was used, response or None, error or None)."""
        urllib3 = load("urllib3")
        session = self.sessions.at(self.clock.now())
        headers = session.headers.copy()
        headers["Accept"] = request.accept
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        body = None if request.body is None else json.dumps(request.body).encode()
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=request.timeout)
        try:
            url = session.configuration.server + request.target
            response = session.pool.request(
                request.method, url, body=body, headers=headers, timeout=timeout, preload_content=preload, retries=False, redirect=False
            )
            told = email.utils.parsedate(response.headers.get("Date"))
            if told:
                self._ahead = calendar.timegm(told) - self.clock.now()
            return session, response, None
        except urllib3.exceptions.HTTPError as error:
            return session, None, self._connection_error(error)

    def _connection_error(self, error):
        configuration = self.configuration
        cause = getattr(error, "reason", None) or error
        text = re.sub(r".*\[Errno -?\d+\] | \(_ssl\.c.*|^.*?\): ", "", str(cause)).strip("()' .")
        where = f"{configuration.server}{configuration.via} (from {configuration.source})"
        if "CERTIFICATE" in text.upper() or "certificate" in text:
            return PodwrightError(
                f"The TLS connection to {where} failed: {text}",
                reason="Refused",
                hint="Check ca_cert and the client certificate's dates, or set validate_certs to false where you accept the risk.",
            )
        if "refused" in text or "Name or service" in text or "not known" in text:
            return PodwrightError(
                f"No API server answers at {where}: {text}", reason="Refused", hint="Check that the cluster runs and that the address is right."
            )
        return PodwrightError(f"The connection to {where} failed: {text}", reason="ConnectionLost", hint="Check the network between here and the cluster.")


def socket_of(response):
    """The socket of a response whose body is still to come, or None."""
    return getattr(getattr(response, "_connection", None), "sock", None)


def shut_down(sock):
    """End whatever waits for a socket, in another thread, at once."""
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _write_query(manager, dry_run):
    return (("fieldManager", manager), ("fieldValidation", "Strict"), *((("dryRun", "All"),) if dry_run else ()))


def _pause(attempt, response):
    """Seconds until the next attempt: what the server asks for, else exponential with jitter."""
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    if asked.isdigit():
        return min(int(asked), 30)
    return min(2 ** (attempt - 1) * 0.2, 5) * random.uniform(0.5, 1.5)
