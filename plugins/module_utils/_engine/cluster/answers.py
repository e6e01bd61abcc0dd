# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What counts as an answer of an API server: a 2xx with an object of the expected kind, or a Status."""

from __future__ import annotations

import json
import re
import urllib.parse

from ..errors import UNEXPECTED, PodwrightError, status_error

_KIND_OF_SUBRESOURCE = {"scale": "Scale", "token": "TokenRequest", "eviction": "Status"}
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_NOT_PRINTABLE = re.compile(r"[^ -~\xa0-\U0010ffff]+")
_HINT = "Check the address of the API server; a login page, a proxy or another service may answer in its place."


def decode_body(content: bytes):
    """The JSON of a body's bytes, or their text if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")


def read_answer(request, status: int, headers, content: bytes, configuration):
    """What an API server answered.

    Args:
        request: the Request that was sent.
        headers: of the response, a mapping whose keys ignore case.
        configuration: the Configuration it was sent with.

    Returns: the decoded object, or bytes if the request accepts anything.
    Raises: PodwrightError for a status other than 2xx, and for an answer that is not of the expected kind.
    """
    check_status(request, status, headers, content, configuration)
    if request.accept == "*/*":
        check_content_type(request, status, headers, configuration)
        return content
    body = decode_body(content)
    if not isinstance(body, dict) or not _is_expected(body, request):
        raise _unexpected(request, status, _describe(body, headers, content), configuration)
    return body


def check_status(request, status: int, headers, content: bytes, configuration) -> None:
    """Raises: PodwrightError for every status other than 2xx; redirects are never followed."""
    if 200 <= status < 300:
        return
    if status < 400:
        place = urllib.parse.urlsplit(str(headers.get("Location") or ""))
        target = f" to {place.scheme}://{place.hostname}" if place.scheme and place.hostname else ""
        raise _unexpected(request, status, _printable(f"a redirect{target}, which is not followed"), configuration)
    body = decode_body(content)
    if isinstance(body, dict) and (body.get("kind") == "Status" or "message" in body):
        raise status_error(status, body, request, configuration.identity)
    text = _title(content) if _is_html(headers, content) else configuration.mask(_printable(str(body).strip()[:500]))
    raise status_error(status, text, request, configuration.identity)


def refuse_upgrade(request, status: int, headers, content: bytes, configuration) -> None:
    """Raises: PodwrightError for what a server answered instead of a websocket."""
    check_status(request, status, headers, content, configuration)
    raise _unexpected(request, status, _describe(decode_body(content), headers, content), configuration)


def check_content_type(request, status: int, headers, configuration) -> None:
    """Raises: PodwrightError if a response whose body is still to come cannot be what was requested."""
    given = str(headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    wrong = "html" in given if request.accept == "*/*" else given and given != "application/json"
    if wrong:
        raise _unexpected(request, status, _printable(given), configuration)


def _is_expected(body: dict, request) -> bool:
    kind = body.get("kind")
    if not isinstance(kind, str):
        return False
    if request.kind is None:
        return kind != "Status"
    if request.subresource in _KIND_OF_SUBRESOURCE:
        return kind == _KIND_OF_SUBRESOURCE[request.subresource]
    if request.method == "DELETE" and kind == "Status":
        return True
    if not isinstance(body.get("metadata"), dict):
        return False
    if request.method == "GET" and not request.name:
        # The kind of a custom resource's list is whatever its definition names.
        return kind != "Status" and "items" in body and isinstance(body["items"] or [], list)
    return kind == request.kind.name


def _unexpected(request, status: int, answered: str, configuration) -> PodwrightError:
    message = f"{request.describe()}: {configuration.server} (from {configuration.source}) answered {status} with {answered}, not as an API server does"
    return PodwrightError(message, status=status, reason=UNEXPECTED, hint=_HINT)


def _describe(body, headers, content: bytes) -> str:
    if not content:
        return "an empty body"
    if _is_html(headers, content):
        return f"an HTML page ({_title(content)})"
    if not isinstance(body, dict):
        return "text that is not JSON" if isinstance(body, str) else "JSON that is not an object"
    return _printable(f"an object of kind {str(body.get('kind'))[:100]!r}") if body.get("kind") else "a JSON object without a kind"


def _is_html(headers, content: bytes) -> bool:
    return "html" in str(headers.get("Content-Type") or "").lower() or content.lstrip()[:9].lower() in (b"<!doctype", b"<html")


def _title(content: bytes) -> str:
    found = _TITLE.search(content[:10_000])
    return f"titled {_printable(found[1].decode('utf-8', 'replace')).strip()!r}" if found else "an HTML page without a title"


def _printable(text: str) -> str:
    return _NOT_PRINTABLE.sub(" ", text)
