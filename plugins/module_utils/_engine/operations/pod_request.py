# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send HTTP or gRPC requests to a pod or Service through the API server, without an ingress."""

from __future__ import annotations

import base64
import http.client
import json
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from ..arguments import CONNECTION, given_options, item_arguments
from ..clients import grpc as grpc_call
from ..clients.http import (
    MAX_BODY_BYTES,
    SAFE_METHODS,
    HttpRequest,
    HttpResponse,
    authority_problem,
    encode_body,
    explain_failure,
    is_header_value,
    is_token,
    quote_target,
    send,
)
from ..cluster.endpoint import Endpoint, find_pod_endpoint, find_service_endpoint
from ..cluster.port_forward import Connection, Listener
from ..errors import PodwrightError, as_podwright_error, option_error
from ..operation import Invocation, Operation
from ..tasks.redactor import TaskRedactor
from ..text import scalar_text
from ..threads import call_in_threads

if TYPE_CHECKING:
    from ..arguments import Arguments
    from ..cluster.client import Client
    from ..values import Options, Result

MAX_RESPONSE = 4 * MAX_BODY_BYTES  # bytes that are received of an HTTP response, with its headers and encoding
NO_STATUS = -1  # of a request without a response, as with ansible.builtin.uri, so that `until: result.status == 200` waits for one
HEALTH_CHECK = f"{grpc_call.HEALTH}/Check"
LATE_HINT, PARTIAL_HINT = "Raise timeout, or find in the log of the server why it responds late.", "Find in the log of the server why it closed the connection."
# The headers with a field of their own, as with ansible.builtin.uri: a server must not choose the names of other fields.
NAMED_HEADERS = ("content_type", "content_length", "location", "set_cookie", "etag", "last_modified")

_REQUEST: Arguments = {
    "protocol": {"type": "str", "choices": ["http", "https", "grpc"], "default": "http"},
    "method": {"type": "str", "default": "GET"},
    "path": {"type": "str", "default": "/"},
    "headers": {"type": "dict", "default": {}},
    "body": {"type": "raw"},
    "body_format": {"type": "str", "choices": ["raw", "json", "form-urlencoded"], "default": "raw"},
    "status_code": {"type": "list", "elements": "int", "default": [200]},
    "return_content": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 30},
    "grpc_method": {"type": "str", "default": HEALTH_CHECK},
}

ARGUMENTS = {
    **CONNECTION,
    "pod": {"type": "str"},
    "service": {"type": "str"},
    "port": {"type": "str", "required": True},
    "server_name": {"type": "str"},
    "server_ca": {"type": "path"},
    **_REQUEST,
    "requests": {"type": "list", "elements": "dict", "options": item_arguments(_REQUEST)},
    "concurrency": {"type": "int", "default": 10},
}


@dataclass
class Exchange:
    """One request and its response.

    Attributes:
        options: the options of the request.
        http: the request as it is sent, unless its protocol is gRPC.
        is_safe: whether it is expected to change nothing. A gRPC server does not say which of its methods do.
        fields: fields of the result that the response determines.
        is_sent: whether the server may have received the request.
        error: why the request failed, or None.
        obstacle: why it could not be sent in check mode, or an empty string.
        elapsed: duration in seconds.
    """

    options: Options
    http: HttpRequest
    is_safe: bool
    fields: Result = field(default_factory=dict)
    is_sent: bool = False
    error: PodwrightError | None = None
    obstacle: str = ""
    elapsed: float = 0

    def __str__(self) -> str:
        return self.options["grpc_method"] if self.options["protocol"] == "grpc" else f"{self.http.method} {self.http.target}"


def run(invocation: Invocation, outcome: list[Exchange]) -> None:
    """Send the requests. Raises: PodwrightError, also for another status than `status_code` lists."""
    params = invocation.params
    defaults = {name: params[name] for name in _REQUEST}
    if problem := authority_problem(params["server_ca"]):
        raise option_error("server_ca", problem)
    if params["requests"] is None:
        exchanges = [prepare(defaults, "")]
    else:
        exchanges = [prepare(defaults | given_options(item), f"requests[{number}].") for number, item in enumerate(params["requests"])]
    outcome += exchanges
    try:
        endpoint = _find_endpoint(invocation)
    except PodwrightError as error:
        obstacle = invocation.missing_in_check_mode(error)
        for each in outcome:
            each.error, each.obstacle = None if obstacle else error, obstacle
        if obstacle:
            return
        raise
    client = invocation.client.branch()
    call_in_threads(lambda each: _perform(invocation, client, endpoint, each), outcome, params["concurrency"], client.streams.cancel)
    errors = [each.error for each in outcome if each.error]
    if errors:
        more = f" (and {len(errors) - 1} more of {len(outcome)} requests)" if len(errors) > 1 else ""
        raise PodwrightError(errors[0].message + more, status=errors[0].status, reason=errors[0].reason, hint=errors[0].hint)


def prepare(options: Options, prefix: str) -> Exchange:
    """The Exchange of a request that is still to be sent. Raises: PodwrightError that names an invalid option."""
    if not options["path"].startswith("/"):
        raise option_error(f"{prefix}path", f"must start with a slash, got '{options['path']}'.")
    options = options | {"grpc_method": options["grpc_method"].strip("/")}
    if options["protocol"] == "grpc" and options["grpc_method"].count("/") != 1:
        raise option_error(f"{prefix}grpc_method", f"must be like package.Service/Method, got '{options['grpc_method']}'.")
    if not is_token(options["method"]):
        raise option_error(f"{prefix}method", f"must be an HTTP method such as GET, got '{options['method']}'.")
    headers = {scalar_text(name): scalar_text(value) for name, value in options["headers"].items()}
    for name, value in headers.items():
        if not is_token(name):
            raise option_error(f"{prefix}headers", f"must have valid header names, got '{name}'.")
        if not is_header_value(value):
            raise option_error(f"{prefix}headers.{name}", "must not contain control characters or characters beyond Latin-1.")
    if options["protocol"] == "grpc":
        options |= grpc_call.read_options(prefix, options["body"], headers)
    try:
        body, headers = encode_body(options["body"], options["body_format"], headers)
    except (TypeError, ValueError) as error:
        raise option_error(f"{prefix}body", f"could not be encoded as {options['body_format']}: {error}.") from error
    request = HttpRequest(options["protocol"], options["method"].upper(), quote_target(options["path"]), headers, body, options["timeout"])
    is_safe = options["grpc_method"].startswith(f"{grpc_call.HEALTH}/") if options["protocol"] == "grpc" else request.method in SAFE_METHODS
    return Exchange(options, request, is_safe)


# -- the endpoint ---------------------------------------------------------------------------------------------


def _find_endpoint(invocation: Invocation) -> Endpoint:
    """The port of the pod; for a Service, of one of its pods. Raises: PodwrightError."""
    params, client, namespace = invocation.params, invocation.client, invocation.namespace
    if params["pod"]:
        found = find_pod_endpoint(client, namespace, params["pod"], params["port"])
    elif params["service"]:
        found = find_service_endpoint(client, namespace, params["service"], params["port"])
    else:
        raise option_error("pod", "must be set unless service is.")
    return replace(found, host=params["server_name"] or found.host)


# -- sending --------------------------------------------------------------------------------------------------


def _perform(invocation: Invocation, client: Client, endpoint: Endpoint, each: Exchange) -> None:
    """Send one request; its error becomes part of the Exchange."""
    if invocation.check_mode and not each.is_safe:
        return
    started = time.monotonic()
    try:
        if each.options["protocol"] == "grpc":
            _call_grpc(client, endpoint, each)
        else:
            _send_http(invocation, client, endpoint, each)
    except Exception as error:
        each.error = as_podwright_error(error)
    each.elapsed = round(time.monotonic() - started, 3)


def _send_http(invocation: Invocation, client: Client, endpoint: Endpoint, each: Exchange) -> None:
    request = each.http
    each.fields["url"] = f"{request.scheme}://{endpoint.host}:{endpoint.host_port}{request.target}"
    deadline = client.clock.monotonic() + request.timeout
    with Connection(client, endpoint.namespace, endpoint.pod, endpoint.port, MAX_RESPONSE, deadline) as forward:
        left = replace(request, timeout=max(deadline - client.clock.monotonic(), 0.01))
        try:
            response = send(forward.socket, endpoint.host, endpoint.host_port, left, invocation.params["server_ca"], partial(setattr, each, "is_sent", True))
        except (http.client.HTTPException, OSError) as error:
            is_partial = isinstance(error, http.client.IncompleteRead)
            problem = "" if is_partial else forward.error
            hint = "" if problem else LATE_HINT if isinstance(error, TimeoutError) else PARTIAL_HINT if is_partial else ""
            raise _no_response(endpoint, each, problem or explain_failure(error, request.timeout), hint) from error
    _read_response(response, each)


def _no_response(endpoint: Endpoint, each: Exchange, explanation: str, hint: str = "") -> PodwrightError:
    hint = hint or "Check that a process listens on this port in the pod; localhost is sufficient."
    if "WRONG_VERSION_NUMBER" in explanation:
        hint = "The port does not serve TLS: set protocol to http, or another port."
    return PodwrightError(f"No response to {each} from {endpoint}: {explanation}", reason="NoAnswer", hint=hint)


def _read_response(response: HttpResponse, each: Exchange) -> None:
    """The response as the fields of ansible.builtin.uri. Raises: PodwrightError for another status than `status_code` lists."""
    options, fields, headers = each.options, each.fields, response.headers
    fields |= {"headers": headers, "truncated": response.is_truncated}
    fields |= {name: headers[name.replace("_", "-")] for name in NAMED_HEADERS if name.replace("_", "-") in headers}
    fields |= {"status": response.status, "redirected": False, "msg": f"{response.status} {response.reason}".strip()}
    if options["return_content"]:
        fields["content"] = response.text
        fields |= {} if response.is_text else {"content_b64": base64.b64encode(response.content).decode()}
    if "json" in fields.get("content_type", ""):
        try:
            fields["json"] = json.loads(response.content)
        except (ValueError, RecursionError):
            pass
    if response.status in options["status_code"]:
        return
    expected = ", ".join(map(str, options["status_code"]))
    start = response.text[:300].strip()
    raise PodwrightError(
        f"{each.http.method} {fields['url']} returned {response.status} {response.reason} instead of {expected}{': ' + start if start else '.'}",
        reason="Status",
        hint="Add the status to status_code if it is expected.",
    )


def _call_grpc(client: Client, endpoint: Endpoint, each: Exchange) -> None:
    options = each.options
    service, method = options["grpc_method"].split("/")
    each.fields["url"] = f"grpc://{endpoint.host}:{endpoint.host_port}/{service}/{method}"
    with Listener(client, endpoint.namespace, endpoint.pod, endpoint.port, client.clock.monotonic() + options["timeout"]) as listener:
        try:
            message = grpc_call.call(
                listener.path, endpoint.host, service, method, options["body"], options["timeout"], options["headers"], partial(setattr, each, "is_sent", True)
            )
        except grpc_call.CallFailed as error:
            if error.code == "UNAVAILABLE":
                raise _no_response(endpoint, each, listener.error or error.details) from error
            each.fields["grpc_status"] = error.code
            raise PodwrightError(f"{service}/{method} on {endpoint} returned {error.code}: {error.details}", reason="GrpcStatus", hint=error.hint) from error
    each.fields |= {"grpc_status": "OK", "json": message, "msg": "OK"}
    if options["grpc_method"] == HEALTH_CHECK and message.get("status") != "SERVING":
        raise PodwrightError(f"The health check of {endpoint} returned {message.get('status', 'UNKNOWN')}.", reason="NotServing", hint="Read the pod's log.")


# -- describing -----------------------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: list[Exchange]) -> Result:
    """The fields of the result, as far as the operation got."""
    results = [_describe(invocation, each) for each in outcome]
    changed = any(result["changed"] for result in results)
    if invocation.params["requests"] is None:
        return {**results[0], "changed": changed} if results else {}
    return {"changed": changed, "results": results}


def _describe(invocation: Invocation, each: Exchange) -> Result:
    error = each.error
    fields: Result = {} if each.options["protocol"] == "grpc" else {"status": NO_STATUS}
    if invocation.check_mode and not error and (each.obstacle or not each.is_safe):
        why = f": {each.obstacle}" if each.obstacle else "."
        return fields | {"changed": not each.is_safe, "failed": False, "skipped": True, "msg": f"Check mode: {each} was not sent{why}"}
    fields |= {"failed": bool(error), "changed": each.is_sent and not each.is_safe, "elapsed": each.elapsed} | each.fields
    if error:
        fields |= {"msg": error.message, "reason": error.reason} | ({"hint": error.hint} if error.hint else {})
    return fields


def redact(params: Options) -> Options:
    """The parameters as they may be shown: without the body and the values of headers."""
    redactor = TaskRedactor()
    shown = dict(params)
    if shown.get("requests"):
        shown["requests"] = [redact(item) for item in shown["requests"]]
    if shown.get("headers"):
        shown["headers"] = {name: redactor.digest(str(value)) for name, value in shown["headers"].items()}
    if shown.get("body") is not None:
        shown["body"] = redactor.digest(json.dumps(shown["body"]))
    return shown


_RULES = {"required_one_of": [("pod", "service")], "mutually_exclusive": [("pod", "service")]}
OPERATION = Operation("pod_request", ARGUMENTS, list, run, describe, redact=redact, rules=_RULES, structured={"headers", "body", "requests"})
