# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests and responses over a pool of persistent connections, with retries."""

from __future__ import annotations

import copy
import email.utils
import random
import re
from typing import TYPE_CHECKING, TypeVar

from ..clock import Clock, pause_after
from ..errors import BAD_CERTIFICATE, CONNECTION_LOST, TOO_LARGE, PodwrightError
from ..libraries import load
from ..text import json_as_yaml, parse_integer, with_integers
from .availability import Availability
from .responses import check_content_type, check_status, read_content, read_object
from .server_warnings import ServerWarnings
from .session import Sessions
from .streams import Streams

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

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
MAX_BODY = 1 << 27  # bytes of a response; its objects need several times that. The pages of a list shrink until they fit.
MAX_CONTENT = 64 << 20  # bytes of a response that is not an object: a pod may have written it
_PROXY_HINT = "Check the proxy and the network, or add the server to no_proxy if it is reached without the proxy."
_WHOLE = re.compile(r"(\.0|e\+[0-9]+)[]},]")  # the end of a number that may be whole
MAX_ERROR_BODY = 1 << 20  # bytes that are read of the response to a stream request that failed
_READ_SIZE = 1 << 18


class Transport:
    """The connections to one API server; threads may share it.

    Args:
        connections: how many connections are kept open at most.

    Attributes:
        sessions: the credentials in use.
        streams: the open streams.
        clock: what the time is read from.
        availability: the outages of the server.
        warnings: what the server warns of.
    """

    def __init__(self, configuration: Configuration, connections: int, clock: Clock | None) -> None:
        self.sessions = Sessions(configuration, connections)
        self.streams = Streams()
        self.clock = clock or Clock()
        self.availability = Availability(self.clock)
        self.warnings = ServerWarnings()
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

        Connection errors, 429 and 5xx are retried after `Retry-After` or with jittered exponential backoff if the request is retryable, for longer
        if a server that has responded before cannot be reached; a 401 is retried once with renewed credentials.

        Raises: PodwrightError, also if the response is not an object of the expected kind.
        """
        session, response, content = self._exchange(request)
        return read_object(request, response.status, response.headers, content, session.configuration)

    def fetch(self, request: Request) -> bytes:
        """Send a request that accepts `ANYTHING`, like `send`, and return the content of the response, at most MAX_CONTENT. Raises: PodwrightError."""
        session, response, content = self._exchange(request, MAX_CONTENT)
        return read_content(request, response.status, response.headers, content, session.configuration)

    def stream(self, request: Request) -> BaseHTTPResponse:
        """Open a response whose body the caller reads and closes (watch, log); a 401 is retried once with renewed credentials.

        Raises: PodwrightError, also if the content type is not the expected one.
        """
        self.streams.check()
        session, response = self._request(request)
        if response.status == 401:
            response.close()
            self.sessions.renew(session)
            session, response = self._request(request)
        try:
            if not 200 <= response.status < 300:
                content = self._read(request, response, session.configuration, MAX_ERROR_BODY)
                check_status(request, response.status, response.headers, content, session.configuration)
            check_content_type(request, response.status, response.headers, session.configuration)
        except PodwrightError:
            response.close()
            raise
        without_deadline(response)
        self.streams.add(socket_of(response))
        return response

    def _exchange(self, request: Request, limit: int | None = None) -> tuple[Session, BaseHTTPResponse, bytes]:
        """The first response of status 2xx and its content, with the session it was requested in."""
        attempt, was_renewed, was_lost = 0, False, False
        failing_since = None
        while True:
            attempt += 1
            response = None
            try:
                session, response = self._request(request)
                content = self._read(request, response, session.configuration, limit or MAX_BODY)
                if response.status == 401 and not was_renewed:
                    self.sessions.renew(session)
                    was_renewed = True
                    continue
                check_status(request, response.status, response.headers, content, session.configuration)
                self.warnings.read(request, response.headers)
                return session, response, content
            except PodwrightError as error:
                error.response_was_lost = was_lost
                failing_since = self.clock.monotonic() if failing_since is None else failing_since
                is_transient = attempt < MAX_ATTEMPTS and _is_transient(response, error)
                if not request.retryable or not (is_transient or self.availability.lets_retry(error, failing_since)):
                    raise
                was_lost |= not error.is_unreachable and (error.status is None or error.status >= 500)
            self.clock.sleep(_backoff(attempt, response, self.now()))

    def _request(self, request: Request) -> tuple[Session, BaseHTTPResponse]:
        """Send a request once and read the head of the response. Raises: PodwrightError if the connection fails, or the credentials cannot be renewed."""
        urllib3 = load("urllib3")
        session = self.sessions.at(self.clock.now())
        pool, headers = session.open()
        headers = headers.copy()
        headers["Accept"] = request.accept
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        body = None if request.body is None else _encode(request.body)
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=request.timeout)
        url = session.configuration.server + request.target
        try:
            response = pool.request(request.method, url, body=body, headers=headers, timeout=timeout, preload_content=False, retries=False, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            self.availability.note_failure()
            raise _connection_error(error, session.configuration) from None
        self.availability.note_response()
        date = _parse_date(response.headers.get("Date"))
        if date is not None:
            self._clock_offset = date - self.clock.now()
        return session, response

    @staticmethod
    def _read(request: Request, response: BaseHTTPResponse, configuration: Configuration, limit: int) -> bytes:
        """The content of a response. Raises: PodwrightError if the connection fails, or there is more than the limit."""
        pieces, size = [], 0
        if response.status < 200:
            response.close()  # what follows on the connection belongs to no request
            return b""
        try:
            for piece in pieces_of(response, _READ_SIZE):
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    break
        except (load("urllib3").exceptions.HTTPError, OSError) as error:
            response.close()
            raise _connection_error(error, configuration) from None
        if size > limit:
            response.close()
            message = f"{request.describe()}: {configuration.server} (from {configuration.source}) responded with more than {limit} bytes."
            raise PodwrightError(message, status=response.status, reason=TOO_LARGE, hint="Check the address of the API server, or select fewer objects.")
        return b"".join(pieces)


def pieces_of(response: BaseHTTPResponse, size: int) -> Iterator[bytes]:
    """The body of a response in pieces of at most so many bytes, as they arrive. Raises: urllib3's HTTPError and OSError if the connection fails."""
    is_empty = True
    for piece in response.stream(size):
        is_empty = False
        yield piece
    if is_empty and _has_no_length(response):
        # The HTTP library takes a head that is cut by a closed connection for a complete one.
        raise ConnectionError("the connection was closed within the head of the response")


def without_deadline(response: BaseHTTPResponse) -> None:
    """Let the body of a response take as long as it needs."""
    original = getattr(response, "_original_response", None)
    if original is not None:
        original.deadline = None


def socket_of(response: BaseHTTPResponse) -> socket.socket | None:
    """The socket of a response whose body is not read yet, or None."""
    return getattr(getattr(response, "_connection", None), "sock", None)


def _has_no_length(response: BaseHTTPResponse) -> bool:
    """Whether a response that may have a body does not state its length (RFC 9112, 6.3); a header that is cut does not state it either."""
    return response.status not in (204, 304) and not response.chunked and not response.headers.get("Content-Length", "").isdigit()


def _is_transient(response: BaseHTTPResponse | None, error: PodwrightError) -> bool:
    if error.reason == CONNECTION_LOST or response is None:
        return error.reason == CONNECTION_LOST
    return response.status == 429 or (response.status >= 500 and not (error.is_schema_mismatch or error.exceeds_storage))


def _encode(body: object) -> bytes:
    """The JSON of a body. Servers read that of an apply patch as YAML.

    A number such as 2.0, the result of a division in Jinja, is 2: servers refuse others for integers, except in an apply patch.
    """
    text = json_as_yaml(body)
    return (json_as_yaml(with_integers(body)) if _WHOLE.search(text) else text).encode()


def _backoff(attempt: int, response: BaseHTTPResponse | None, now: float) -> float:
    """Seconds until the next attempt: what the response requests (RFC 9110, 10.2.3), up to a limit, but at least what an attempt without it waits."""
    seconds = pause_after(attempt, 0.2, 5) * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
    requested = response.headers.get("Retry-After", "").strip() if response is not None else ""
    date = _parse_date(requested)
    if date is not None:
        return min(max(date - now, seconds), MAX_RETRY_AFTER)
    if requested.isascii() and requested.isdigit():
        wanted = parse_integer(requested, MAX_RETRY_AFTER)
        return max(MAX_RETRY_AFTER if wanted is None else wanted, seconds)
    return seconds


def _parse_date(text: str | None) -> float | None:
    """A date of HTTP in seconds since the epoch, or None."""
    try:
        return email.utils.parsedate_to_datetime(text or "").timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _connection_error(error: HTTPError | OSError, configuration: Configuration) -> PodwrightError:
    cause = getattr(error, "reason", None) or error
    text = re.sub(r".*\[Errno -?\d+\] | \(_ssl\.c.*|^.*?\): ", "", str(cause)).strip("()'\" .")
    # These show what the server sent, which may be an object with secrets.
    text = re.sub(r"(BadStatusLine|InvalidChunkLength).*", "the response is not one of HTTP", text, flags=re.DOTALL)
    if "CERTIFICATE" in text.upper():
        return PodwrightError(
            f"The TLS connection to {configuration.place} failed: {text}",
            reason=BAD_CERTIFICATE,
            hint="Check ca_cert and the expiry of the client certificate, or set validate_certs to false if you accept the risk.",
        )
    if "refused" in text or "Name or service" in text or "not known" in text:
        silent = f"proxy responds at {configuration.proxy_place} for" if configuration.proxy else "API server responds at"
        hint = _PROXY_HINT if configuration.proxy else "Check that the cluster is running and that its address is correct."
        server = f"{configuration.server} (from {configuration.server_source})"
        unreachable = PodwrightError(f"No {silent} {server}: {text}", reason="Refused", hint=hint)
        unreachable.is_unreachable = True
        return unreachable
    hint = _PROXY_HINT if configuration.proxy else "Check the network between this machine and the cluster."
    return PodwrightError(f"The connection to {configuration.place} failed: {text}", reason=CONNECTION_LOST, hint=hint)
