# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Instant queries to Prometheus (https://prometheus.io/docs/prometheus/latest/querying/api/), directly or through the API server."""

from __future__ import annotations

import json
import math
import re
import urllib.parse
from typing import TYPE_CHECKING, Any, TypeAlias

from ..cluster.kinds import SERVICE
from ..cluster.request import ANYTHING, Request
from ..cluster.responses import decode_body
from ..errors import PodwrightError
from .urls import request_url

if TYPE_CHECKING:
    from ..cluster.client import Client

_HINT = "Set a URL that this machine can reach, or NAMESPACE/SERVICE:PORT of the cluster."
_MAX_SHOWN = 200  # characters of a response in an error
SERVICE_ADDRESS = re.compile(r"(?:(?P<namespace>[a-z0-9-]+)/)?(?P<service>[a-z0-9-]+):(?P<port>[a-z0-9-]+)")
Response: TypeAlias = dict[str, Any]


def is_address(server: str) -> bool:
    """Whether a server is a URL, or a Service as in `query_prometheus`."""
    try:
        url = urllib.parse.urlsplit(server)
        is_url = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and not re.search(r"\s", server)
    except ValueError:  # the port, or an IPv6 address
        return False
    return is_url or SERVICE_ADDRESS.fullmatch(server) is not None


def query_prometheus(client: Client, namespace: str, server: str, query: str) -> float | None:
    """The value of a query: the sum of its samples; None if there are none, or the sum is not a finite number.

    Args:
        namespace: of a Service without a namespace.
        server: a URL, or `SERVICE:PORT` or `NAMESPACE/SERVICE:PORT` of a Service, to which the API server proxies the request.

    Raises: PodwrightError if the server does not answer, or refuses the query.
    """
    path = "/api/v1/query?" + urllib.parse.urlencode({"query": query})
    service = SERVICE_ADDRESS.fullmatch(server)
    response = _query_service(client, service["namespace"] or namespace, service, path) if service else _query_url(server, path)
    if response.get("status") != "success":
        error = response.get("error", response)
        raise PodwrightError(f"Prometheus at {server} refused the query '{query}': {error}", reason="BadQuery", hint="Correct the query.")
    try:
        return _read_value(response["data"])
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise PodwrightError(f"Prometheus at {server} did not respond with the result of a query.", reason="NoPrometheus", hint=_HINT) from error


def _read_value(data: Response) -> float | None:
    result = data["result"]
    samples = [result] if data["resultType"] == "scalar" else [series["value"] for series in result] if data["resultType"] == "vector" else []
    values = [float(text) for _time, text in samples]
    total = sum(values) if values else math.nan
    return total if math.isfinite(total) else None


def _query_service(client: Client, namespace: str, service: re.Match[str], path: str) -> Response:
    target = SERVICE.path(namespace, f"{service['service']}:{service['port']}", "proxy") + path
    try:
        response = decode_body(client.fetch(Request("GET", target, accept=ANYTHING)))
    except PodwrightError as error:
        if error.status in (400, 422):  # what Prometheus responds to an invalid query, and to one that it cannot evaluate
            return {"error": error.message}
        raise
    return response if isinstance(response, dict) else {"error": str(response)[:_MAX_SHOWN]}


def _query_url(server: str, path: str) -> Response:
    try:
        _status, content = request_url("GET", server.rstrip("/") + path)
        response = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise PodwrightError(f"Prometheus at {server} does not answer: {error}.", reason="NoPrometheus", hint=_HINT) from error
    return response if isinstance(response, dict) else {"error": str(response)[:_MAX_SHOWN]}
