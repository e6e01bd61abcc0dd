# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One HTTP request over a connected socket, and its response (RFC 9110)."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import urllib.parse
import zlib
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..cluster.streams import shut_down
from ..cluster.tls import verify_as_go
from ..files import searched_in
from ..threads import Deadline

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping

MAX_BODY_BYTES = 10 << 20  # of a response
MAX_MEMBERS = 1000  # of gzip in a body: each copies those that follow
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # RFC 9110, 9.2.1
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: methods and names of headers
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")  # RFC 9110, 5.5
# Python knows further names, of encodings that take quadratic time.
_CHARSET = re.compile(
    r';\s*charset="?(us-ascii|utf-8|utf-(?:16|32)(?:[bl]e)?|iso-8859-(?:1[0134-6]?|[2-9])|windows-125[0-8]|koi8-[ru]|shift_jis|euc-(?:jp|kr)'
    r'|gbk|gb2312|gb18030|big5)"?\s*(?:;|$)',
    re.IGNORECASE,
)
_GZIP = b"\x1f\x8b"
_LONE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_TARGET_CHARACTERS = "/?:@!$&'()*+,;=-._~%[]"  # RFC 3986, 3.3 and 3.4


@dataclass(frozen=True)
class HttpRequest:
    """A request.

    Attributes:
        scheme: `http` or `https`.
        target: path and query, percent-encoded.
        timeout: seconds in which the response must arrive.
    """

    scheme: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None
    timeout: float


@dataclass(frozen=True)
class HttpResponse:
    """A response.

    Attributes:
        headers: values by lower-case name.
        content: at most MAX_BODY_BYTES of its body; `is_truncated` if there is more.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes
    is_truncated: bool

    @property
    def text(self) -> str:
        """The content in the character set that the header Content-Type names, else in UTF-8; what is invalid is replaced by U+FFFD."""
        return self.content.decode(self._charset, "replace")

    @property
    def is_text(self) -> bool:
        """Whether the text has all of the content."""
        try:
            self.content.decode(self._charset)
        except UnicodeDecodeError:
            return False
        return True

    @property
    def _charset(self) -> str:
        named = _CHARSET.search(self.headers.get("content-type", ""))
        return named[1] if named else "utf-8"


class _Head:
    """A stream of which the head of a response is read. `last` is the last line: empty if the connection was closed within the head."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.last = stream, b""
        self.close = stream.close

    def readline(self, size: int = -1) -> bytes:
        """The next line."""
        self.last = self._stream.readline(size)
        return self.last


class FinalResponse(http.client.HTTPResponse):
    """The response after all interim ones (RFC 9110, 15.2), of which the library skips only 100, and with a complete head."""

    def begin(self) -> None:
        """Read the head. Raises: OSError or http.client.HTTPException."""
        if self.headers is not None:
            return
        stream: Any = self.fp
        head: Any = _Head(stream)
        self.fp = head
        try:
            super().begin()
            while 100 <= self.status < 200 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
                self.__dict__["headers"] = None  # read again
                super().begin()
        finally:
            self.fp = stream if self.fp is head else None  # None once it is closed
        if not head.last:
            raise http.client.RemoteDisconnected
        if self.length == 0:
            self.chunked = False  # 204 and 304 have no body, whatever their headers say (RFC 9112, 6.3)


def is_token(text: str) -> bool:
    """Whether a text can be a method or the name of a header."""
    return bool(_TOKEN.fullmatch(text))


def is_header_value(text: str) -> bool:
    """Whether a text can be the value of a header."""
    return bool(_HEADER_VALUE.fullmatch(text))


def quote_target(text: str) -> str:
    """A path and query whose other characters than those of RFC 3986 are percent-encoded, also a percent sign that encodes none."""
    return urllib.parse.quote(_LONE_PERCENT.sub("%25", text), safe=_TARGET_CHARACTERS)


def encode_body(body: Any, body_format: str, headers: dict[str, str]) -> tuple[bytes | None, dict[str, str]]:
    """(encoded body, headers with its content type unless they have one).

    Args:
        body: text is sent as it is; None sends an empty request.
        body_format: `raw`, `json` or `form-urlencoded`.

    Raises: TypeError or ValueError if the body cannot be encoded in that format.
    """
    if body is None:
        return None, headers
    content_type = {"json": "application/json", "form-urlencoded": "application/x-www-form-urlencoded"}.get(body_format)
    if content_type and "content-type" not in {name.lower() for name in headers}:
        headers = {**headers, "Content-Type": content_type}
    if isinstance(body, str):
        text = body
    elif body_format == "form-urlencoded":
        text = urllib.parse.urlencode(body, doseq=True)
    else:
        text = json.dumps(body)
    return text.encode(), headers


def open_connection(sock: socket.socket, host: str, port: int, request: HttpRequest, authority: str | None) -> http.client.HTTPConnection:
    """An HTTP connection over a connected socket.

    Args:
        host, port: those of the request, and the name that the certificate must have.
        authority: file or PEM of the CA by which an `https` server is verified; None does not verify it.

    Raises: OSError if the TLS handshake fails.
    """
    sock.settimeout(request.timeout)
    connection = http.client.HTTPConnection(host, port)
    connection.response_class = FinalResponse
    connection.sock = _tls_context(authority).wrap_socket(sock, server_hostname=host) if request.scheme == "https" else sock
    return connection


def authority_problem(authority: str | None) -> str:
    """Why a server cannot be verified by a CA; an empty string if it can."""
    try:
        _tls_context(authority)
    except FileNotFoundError:
        return f"file {authority} not found{searched_in(authority or '')} on the host that runs this task."
    except (OSError, ValueError):
        return "must be a file with certificates in PEM, or such certificates as text."
    return ""


def _tls_context(authority: str | None) -> ssl.SSLContext:
    """What verifies a server by a CA: its file, or its certificates in PEM. Raises: ssl.SSLError, or OSError for the file."""
    if authority is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # to load the CAs of the host would take 20 ms
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif "-----BEGIN" in authority:
        context = ssl.create_default_context(cadata=authority)
    else:
        context = ssl.create_default_context(cafile=authority)
    verify_as_go(context)
    return context


def send(sock: socket.socket, host: str, port: int, request: HttpRequest, authority: str | None, on_connected: Callable[[], object]) -> HttpResponse:
    """Send a request over a connected socket and read the response within the timeout. The arguments are those of `open_connection`.

    Args:
        on_connected: called before the request is sent.

    Raises: OSError or http.client.HTTPException.
    """
    with Deadline(request.timeout, partial(shut_down, sock)) as deadline:
        try:
            with closing(open_connection(sock, host, port, request, authority)) as connection:
                on_connected()
                response = exchange(connection, request)
        except (OSError, http.client.HTTPException):
            if not deadline.has_passed:
                raise
    if deadline.has_passed:  # also if the response seems complete, since a closed connection can terminate it
        raise TimeoutError
    return response


def exchange(connection: http.client.HTTPConnection, request: HttpRequest) -> HttpResponse:
    """Send the request and read the response. Raises: OSError or http.client.HTTPException."""
    try:
        connection.request(request.method, request.target, request.body, dict(request.headers))
    except (BrokenPipeError, ConnectionResetError):
        pass  # a server may respond, for example with 413, and close the connection before it has read the body
    response = connection.getresponse()
    content = response.read(MAX_BODY_BYTES)
    if response.length and len(content) < MAX_BODY_BYTES:  # read() with a size does not raise it
        raise http.client.IncompleteRead(content, response.length)
    headers, is_truncated = join_headers(response.getheaders()), bool(response.read(1))
    if headers.get("content-encoding", "").strip().lower() == "gzip":
        content, is_longer = decompress(content, is_truncated)
        is_truncated |= is_longer
    return HttpResponse(response.status, response.reason, headers, content, is_truncated)


def decompress(content: bytes, is_truncated: bool) -> tuple[bytes, bool]:
    """(at most MAX_BODY_BYTES of a body that a server has compressed without being asked, whether there is more); a body that is not gzip as it is.

    Args:
        is_truncated: whether only the beginning of the body was read.

    Raises: http.client.IncompleteRead for an incomplete member (RFC 1952, 2.2) otherwise.
    """
    found, rest, members = bytearray(), content, 0
    while rest.startswith(_GZIP) and len(found) <= MAX_BODY_BYTES and members < MAX_MEMBERS:
        decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            found += decompressor.decompress(rest, MAX_BODY_BYTES + 1 - len(found))
        except zlib.error:
            return content, False
        if not (decompressor.eof or is_truncated or len(found) > MAX_BODY_BYTES):
            raise http.client.IncompleteRead(bytes(found))
        rest, members = decompressor.unused_data, members + 1
    return (bytes(found[:MAX_BODY_BYTES]), len(found) > MAX_BODY_BYTES or rest.startswith(_GZIP)) if members else (content, False)


def join_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """{lower-case name: value}; several values of a name are joined by commas (RFC 9110, 5.3)."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(items) for name, items in values.items()}


def explain_failure(error: Exception, timeout: float) -> str:
    """Why there was no complete response."""
    if isinstance(error, TimeoutError):
        return f"no complete response was received within {timeout:g} s"
    if isinstance(error, http.client.IncompleteRead):
        missing = "the rest is" if error.expected is None else f"{error.expected} bytes are"
        return f"the connection was closed after {len(error.partial)} bytes of the body; {missing} missing"
    if isinstance(error, ConnectionError):  # also http.client.RemoteDisconnected
        return "the connection was closed"
    return str(error) or type(error).__name__
