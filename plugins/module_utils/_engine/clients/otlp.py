# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Spans to a collector of OpenTelemetry, by OTLP over HTTP with JSON (https://opentelemetry.io/docs/specs/otlp/#otlphttp)."""

from __future__ import annotations

import json
from typing import Any

from ..errors import PodwrightError
from ..text import decode
from ..values import Options
from .urls import request_url

PATH = "/v1/traces"
_SCOPE = "podwright.core"
_MAX_SHOWN = 200  # characters of a response in an error


def send_spans(endpoint: str, headers: Options, spans: list[dict[str, Any]]) -> None:
    """Send spans.

    Args:
        endpoint: URL of the collector, with or without the path for traces. A query stays; errors do not show it, since it may be a key.

    Raises: PodwrightError if it does not take all of them.
    """
    base, mark, query = endpoint.partition("?")
    url = base.rstrip("/").removesuffix(PATH) + PATH
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "podwright"}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": _SCOPE}, "spans": spans}]}]}
    given = {str(name): str(value) for name, value in headers.items()} | {"Content-Type": "application/json"}
    try:
        status, content = request_url("POST", url + mark + query, json.dumps(body).encode(), given)
    except (OSError, ValueError) as error:
        raise _refusal(url, f"it does not respond: {str(error).replace(mark + query, '')}") from error
    text = decode(content)
    if not 200 <= status < 300:
        raise _refusal(url, f"it responded with status {status}: {text[:_MAX_SHOWN]}")
    rejected = _read_rejected(text)
    if rejected is None:
        raise _refusal(url, f"its response is not that of a collector: {text[:_MAX_SHOWN]}")
    if rejected:
        raise _refusal(url, f"it rejected {rejected} of {len(spans)}: {text[:_MAX_SHOWN]}")


def _read_rejected(text: str) -> int | None:
    """How many spans a response with success rejects; None if it is not one of a collector, such as a login page."""
    try:
        return int((json.loads(text.strip() or "{}").get("partialSuccess") or {}).get("rejectedSpans") or 0)
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def _refusal(url: str, why: str) -> PodwrightError:
    hint = "Set trace.endpoint to the URL of a collector that receives OTLP over HTTP."
    return PodwrightError(f"The spans of the tasks were not sent to {url}: {why}", reason="NoCollector", hint=hint)
