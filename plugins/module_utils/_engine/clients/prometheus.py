# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Instant queries to Prometheus (https://prometheus.io/docs/prometheus/latest/querying/api/), directly or through the API server."""

from __future__ import annotations

import json
import math
import re
import urllib.parse

from ..cluster.kinds import BUILT_IN
from ..cluster.request import Request
from ..cluster.responses import decode_body
from ..errors import PodwrightError
from ..libraries import load

TIMEOUT = 10
_SERVICE = re.compile(r"(?:(?P<namespace>[a-z0-9-]+)/)?(?P<service>[a-z0-9-]+):(?P<port>[a-z0-9-]+)")


def query_prometheus(client, namespace, server, query):
    """The value of a query: of its only sample, or the sum of all of them; None where it has none, or it is not a number.

    Args:
        server: a URL, or `SERVICE:PORT` or `NAMESPACE/SERVICE:PORT` of a Service in the cluster, which the API server passes the question on to.
        namespace: of the Service where it names none.

    Raises: PodwrightError where the server does not answer, or refuses the query.
    """
    path = "/api/v1/query?" + urllib.parse.urlencode({"query": query})
    within = _SERVICE.fullmatch(server)
    answer = _ask_through(client, within["namespace"] or namespace, within, path) if within else _ask_directly(server, path)
    if answer.get("status") != "success":
        raise PodwrightError(f"Prometheus at {server} refused the query '{query}': {answer.get('error', answer)}", reason="BadQuery", hint="Correct the query.")
    return _read_value(answer["data"])


def _read_value(data):
    samples = [data["result"]] if data["resultType"] == "scalar" else [entry["value"] for entry in data["result"]] if data["resultType"] == "vector" else []
    values = [float(text) for _time, text in samples]
    total = sum(values) if values else math.nan
    return total if math.isfinite(total) else None


def _ask_through(client, namespace, within, path):
    target = BUILT_IN["v1", "Service"].path(namespace, f"{within['service']}:{within['port']}", "proxy") + path
    try:
        answer = decode_body(client.fetch(Request("GET", target, accept="*/*")))
    except PodwrightError as error:
        if error.status == 400:  # Prometheus' own word for a query that it cannot read
            return {"error": error.message}
        raise
    return answer if isinstance(answer, dict) else {"error": str(answer)[:200]}


def _ask_directly(server, path):
    urllib3 = load("urllib3")
    try:
        with urllib3.PoolManager() as pool:
            response = pool.request("GET", server.rstrip("/") + path, timeout=TIMEOUT, retries=False)
            return json.loads(response.data)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise PodwrightError(
            f"Prometheus at {server} does not answer: {error}.",
            reason="NoPrometheus",
            hint="Give a URL that is reached from here, or NAMESPACE/SERVICE:PORT of the cluster.",
        ) from error
