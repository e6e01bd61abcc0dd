# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests and responses over a pool of persistent connections, with retries."""

from __future__ import annotations

import calendar
import copy
import email.utils
import json
import random
import re
from typing import TYPE_CHECKING, TypeVar

from ..clock import Clock
from ..errors import CONNECTION_LOST, PodwrightError
from ..libraries import load
from .responses import check_content_type, check_status, read_content, read_object
from .session import Sessions
from .streams import Streams

if TYPE_CHECKING:
    import socket

    from urllib3 import BaseHTTPResponse
    from urllib3.exceptions import HTTPError

    from ..values import Manifest
    from .configuration import Configuration
    from .request import Request
    from .session import Session

TransportT = TypeVar("TransportT", bound="Transport")

MAX_ATTEMPTS = 5
CONNECT_TIMEOUT = 10
MAX_RETRY_AFTER = 30  # seconds
MAX_ERROR_BODY = 1 << 20  # bytes that are read of the response to a stream request that failed


class Transport:
    """The connections to one API server; threads may share it.

    Args:
        connections: how many connections are kept open at most.

    Attributes:
        sessions: the credentials in use.
        streams: the open streams.
        clock: what the time is read from.
    """

    def __init__(self, configuration: Configuration, connections: int, clock: Clock | None) -> None:
        self.sessions = Sessions(configuration, connections)
        self.streams = Streams()
        self.clock = clock or Clock()
        self._clock_offset = 0.0  # seconds that the server's clock is ahead of this machine's

    @property
    def configuration(self) -> Configuration:
        """The configuration in use."""
        return self.sessions.current.configuration

    def branch(self: TransportT) -> TransportT:
        """The same connections and credentials with streams of its own, which can be cancelled without those of this client."""
        branch = copy.copy(self)
        branch.streams = Streams()
        return branch

    def close(self) -> None:
        """Close every connection."""
        self.sessions.close()

    def now(self) -> float:
        """Seconds since the epoch by the server's clock, according to its last response: the ages of objects are measured by it."""
        return self.clock.now() + self._clock_offset

    def send(self, request: Request) -> Manifest:
        """Send a request and return the object that the server responds with.

        Connection errors, 429 and 5xx are retried after `Retry-After` or with jittered exponential backoff if the request is retryable;
        a 401 is retried once with renewed credentials.

        Raises: PodwrightError, also if the response is not an object of the expected kind.
        """
        session, response = self._exchange(request)
        return read_object(request, response.status, response.headers, response.data, session.configuration)

    def fetch(self, request: Request) -> bytes:
        """Send a request that accepts `ANYTHING`, like `send`, and return the content of the response. Raises: PodwrightError."""
        session, response = self._exchange(request)
        return read_content(request, response.status, response.headers, response.data, session.configuration)

    def stream(self, request: Request) -> BaseHTTPResponse:
        """Open a response whose body the caller reads and closes (watch, log); a 401 is retried once with renewed credentials.

        Raises: PodwrightError, also if the content type is not the expected one.
        """
        self.streams.check()
        session, response = self._request(request, preload=False)
        if response.status == 401:
            response.drain_conn()
            self.sessions.renew(session)
            session, response = self._request(request, preload=False)
        try:
            if not 200 <= response.status < 300:
                check_status(request, response.status, response.headers, response.read(MAX_ERROR_BODY), session.configuration)
            check_content_type(request, response.status, response.headers, session.configuration)
        except PodwrightError:
            response.close()
            raise
        self.streams.add(socket_of(response))
        return response

    def _exchange(self, request: Request) -> tuple[Session, BaseHTTPResponse]:
        """The first response of status 2xx, with the session it was requested in."""
        attempt, was_renewed, was_lost = 0, False, False
        while True:
            attempt += 1
            response = None
            try:
                session, response = self._request(request)
                if response.status == 401 and not was_renewed:
                    self.sessions.renew(session)
                    was_renewed = True
                    continue
                check_status(request, response.status, response.headers, response.data, session.configuration)
                return session, response
            except PodwrightError as error:
                error.response_was_lost = was_lost
                if attempt >= MAX_ATTEMPTS or not request.retryable or not _is_transient(response, error):
                    raise
            was_lost |= response is None or response.status != 429
            self.clock.sleep(_backoff(attempt, response))

    def _request(self, request: Request, preload: bool = True) -> tuple[Session, BaseHTTPResponse]:
        """Send a request once. Raises: PodwrightError if the connection fails, or the credentials cannot be renewed."""
        urllib3 = load("urllib3")
        session = self.sessions.at(self.clock.now())
        headers = session.headers.copy()
        headers["Accept"] = request.accept
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        body = None if request.body is None else json.dumps(request.body).encode()
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=request.timeout)
        url = session.configuration.server + request.target
        try:
            response = session.pool.request(
                request.method, url, body=body, headers=headers, timeout=timeout, preload_content=preload, retries=False, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise _connection_error(error, session.configuration) from None
        date = email.utils.parsedate(response.headers.get("Date"))
        if date:
            self._clock_offset = calendar.timegm(date) - self.clock.now()
        return session, response


def socket_of(response: BaseHTTPResponse) -> socket.socket | None:
    """The socket of a response whose body is not read yet, or None."""
    return getattr(getattr(response, "_connection", None), "sock", None)


def _is_transient(response: BaseHTTPResponse | None, error: PodwrightError) -> bool:
    if response is None:
        return error.reason == CONNECTION_LOST
    return response.status == 429 or (response.status >= 500 and not error.is_schema_mismatch)


def _backoff(attempt: int, response: BaseHTTPResponse | None) -> float:
    """Seconds until the next attempt."""
    requested = response.headers.get("Retry-After", "") if response is not None else ""
    if requested.isdigit():
        return min(int(requested), MAX_RETRY_AFTER)
    return min(0.2 * 2.0 ** (attempt - 1), 5) * random.uniform(0.5, 1.5)


def _connection_error(error: HTTPError, configuration: Configuration) -> PodwrightError:
    cause = getattr(error, "reason", None) or error
    text = re.sub(r".*\[Errno -?\d+\] | \(_ssl\.c.*|^.*?\): ", "", str(cause)).strip("()' .")
    server = f"{configuration.server}{configuration.via} (from {configuration.source})"
    if "CERTIFICATE" in text.upper():
        return PodwrightError(
            f"The TLS connection to {server} failed: {text}",
            reason="Refused",
            hint="Check ca_cert and the expiry of the client certificate, or set validate_certs to false if you accept the risk.",
        )
    if "refused" in text or "Name or service" in text or "not known" in text:
        return PodwrightError(
            f"No API server responds at {server}: {text}", reason="Refused", hint="Check that the cluster is running and that its address is correct."
        )
    return PodwrightError(f"The connection to {server} failed: {text}", reason=CONNECTION_LOST, hint="Check the network between this machine and the cluster.")
