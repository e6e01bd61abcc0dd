# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What counts as a response of an API server: status 2xx with an object of the expected kind, or a Status."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import UNEXPECTED, PodwrightError
from ..text import CONTROL_CHARACTERS, decode
from .api_errors import status_error
from .request import ANYTHING
from .shapes import find_discovery_misfit, find_misfit

if TYPE_CHECKING:
    from ..values import Manifest
    from .configuration import Configuration
    from .request import Request

_KIND_OF_SUBRESOURCE = {"scale": "Scale", "token": "TokenRequest", "eviction": "Status"}
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_NOT_PRINTABLE = re.compile(f"{CONTROL_CHARACTERS.pattern}+")
_MAX_SHOWN = 500  # characters of a response in an error
_HINT = "Check the address of the API server; a login page, a proxy or another service may respond instead of it."


def decode_body(content: bytes) -> Any:
    """The decoded JSON of a body, or its text if it is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return decode(content)


def read_object(request: Request, status: int, headers: Mapping[str, str], content: bytes, configuration: Configuration) -> Manifest:
    """The object in a response of status 2xx. Raises: PodwrightError if it is not an object of the kind that was requested."""
    body = decode_body(content)
    if not isinstance(body, dict) or not _is_expected(body, request):
        raise _unexpected(request, status, _describe(body, headers, content), configuration)
    misfit = _find_misfit(body, request)
    if misfit:
        raise _unexpected(request, status, _printable(f"an object of kind {body['kind']!r} with an invalid field {misfit[:200]}"), configuration)
    if _is_other(body, request):
        raise _unexpected(request, status, _printable(f"{body['kind']} {body['metadata']['name'][:200]!r}"), configuration)
    return body


def read_content(request: Request, status: int, headers: Mapping[str, str], content: bytes, configuration: Configuration) -> bytes:
    """The content of a response of status 2xx to a request that accepts anything. Raises: PodwrightError if it is an HTML page."""
    check_content_type(request, status, headers, configuration)
    return content


def check_status(request: Request, status: int, headers: Mapping[str, str], content: bytes, configuration: Configuration) -> None:
    """Raises: PodwrightError for every status other than 2xx; redirects are never followed."""
    if 200 <= status < 300:
        return
    if status < 300:
        raise _unexpected(request, status, "an informational response", configuration)
    if status < 400:
        location = urllib.parse.urlsplit(str(headers.get("Location") or ""))
        target = f" to {location.scheme}://{location.hostname}" if location.scheme and location.hostname else ""
        raise _unexpected(request, status, _printable(f"a redirect{target}, which is not followed"), configuration)
    body = decode_body(content)
    if isinstance(body, dict) and (body.get("kind") == "Status" or "message" in body):
        raise status_error(status, body, request, configuration)
    text = _title(content) if _is_html(headers, content) else _printable(str(body).strip()[:_MAX_SHOWN])
    raise status_error(status, text, request, configuration)


def refuse_upgrade(request: Request, status: int, headers: Mapping[str, str], content: bytes, configuration: Configuration) -> None:
    """Raises: PodwrightError for a response that is not the upgrade to a websocket."""
    check_status(request, status, headers, content, configuration)
    raise _unexpected(request, status, _describe(decode_body(content), headers, content), configuration)


def check_content_type(request: Request, status: int, headers: Mapping[str, str], configuration: Configuration) -> None:
    """Raises: PodwrightError if the content type of a response cannot be that of what was requested."""
    content_type = str(headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    is_wrong = "html" in content_type if request.accept == ANYTHING else content_type not in ("", "application/json")
    if is_wrong:
        raise _unexpected(request, status, _printable(content_type), configuration)


def _is_expected(body: Manifest, request: Request) -> bool:
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
    if _is_list(request):
        # The kind of a list of custom resources is whatever their definition names.
        return kind != "Status" and "items" in body and isinstance(body["items"] or [], list)
    return kind == request.kind.name


def _is_list(request: Request) -> bool:
    return request.method == "GET" and not request.name


def _find_misfit(body: Manifest, request: Request) -> str | None:
    """The path of a field that an object of the requested kind and name cannot have, or None."""
    if request.kind is None:
        return find_discovery_misfit(body)
    if body["kind"] in _KIND_OF_SUBRESOURCE.values():
        return None
    if _is_list(request):
        kind = None if "PartialObjectMetadata" in request.accept else request.kind
        misfits = ((index, find_misfit(item, kind)) for index, item in enumerate(body["items"] or []))
        found = next(((index, misfit) for index, misfit in misfits if misfit is not None), None)
        return f"items[{found[0]}].{found[1]}" if found else None
    return find_misfit(body, request.kind)


def _is_other(body: Manifest, request: Request) -> bool:
    """Whether it is another object than the named one, for example the late response to another request on the same connection."""
    if not request.name or not request.kind or body["kind"] != request.kind.name:
        return False
    metadata = body["metadata"]
    return metadata["name"] != request.name or (request.kind.namespaced and metadata.get("namespace") != request.namespace)


def _unexpected(request: Request, status: int, content: str, configuration: Configuration) -> PodwrightError:
    server = f"{configuration.server} (from {configuration.source})"
    message = f"{request.describe()}: {server} responded with {status} and {configuration.mask(content)}, not as an API server does"
    return PodwrightError(message, status=status, reason=UNEXPECTED, hint=_HINT)


def _describe(body: object, headers: Mapping[str, str], content: bytes) -> str:
    if not content:
        return "an empty body"
    if _is_html(headers, content):
        return f"an HTML page ({_title(content)})"
    if not isinstance(body, dict):
        return "text that is not JSON" if isinstance(body, str) else "JSON that is not an object"
    return _printable(f"an object of kind {str(body.get('kind'))[:100]!r}") if body.get("kind") else "a JSON object without a kind"


def _is_html(headers: Mapping[str, str], content: bytes) -> bool:
    return "html" in str(headers.get("Content-Type") or "").lower() or content.lstrip()[:9].lower() in (b"<!doctype", b"<html")


def _title(content: bytes) -> str:
    found = _TITLE.search(content[:10_000])
    return f"titled {_printable(decode(found[1])).strip()!r}" if found else "an HTML page without a title"


def _printable(text: str) -> str:
    return _NOT_PRINTABLE.sub(" ", text)
