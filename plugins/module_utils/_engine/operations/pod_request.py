# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask a pod or Service over HTTP or gRPC, through the API server, without an ingress."""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ..arguments import CONNECTION, given_options, item_arguments
from ..clients import grpc as grpc_call
from ..cluster.exec_stream import decode
from ..cluster.kinds import BUILT_IN, POD
from ..cluster.port_forward import Connection, Listener
from ..errors import PodwrightError, as_podwright_error, option_error
from ..objects.containers import default_container
from ..objects.labels import selector_of
from ..objects.pod_status import is_serving
from ..operation import Invocation, Operation
from ..tasks.result import TaskRedactor

SERVICE = BUILT_IN["v1", "Service"]
READING = ("GET", "HEAD", "OPTIONS")
HEALTH = "grpc.health.v1.Health/Check"
LARGEST = 10 << 20  # bytes of an answer that are read
# The headers with a field of their own, as with ansible.builtin.uri: no name that a server chose may be a key of the result.
NAMED_HEADERS = ("content_type", "content_length", "location", "set_cookie", "etag", "last_modified")
# RFC 9110, 5.1 and 5.5
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_AS_IS = "/?:@!$&'()*+,;=-._~%[]"  # what a path and query hold as it is (RFC 3986, 3.3); the rest is percent-encoded

_REQUEST = {
    "protocol": {"type": "str", "choices": ["http", "https", "grpc"], "default": "http"},
    "method": {"type": "str", "default": "GET"},
    "path": {"type": "str", "default": "/"},
    "headers": {"type": "dict", "default": {}},
    "body": {"type": "raw"},
    "body_format": {"type": "str", "choices": ["raw", "json", "form-urlencoded"], "default": "raw"},
    "status_code": {"type": "list", "elements": "int", "default": [200]},
    "return_content": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 30},
    "grpc_method": {"type": "str", "default": HEALTH},
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


@dataclass(frozen=True)
class Target:
    """What is asked: a port of a pod, and the host that the request names."""

    namespace: str
    pod: str
    port: int
    host: str

    def __str__(self):
        return f"port {self.port} of pod '{self.pod}' in namespace '{self.namespace}'"


@dataclass
class Answer:
    """What became of one request.

    Attributes:
        fields: what came back.
        is_sent: whether the peer may have got the request.
        error: why it failed, or None.
        elapsed: seconds.
    """

    request: dict
    fields: dict = field(default_factory=dict)
    is_sent: bool = False
    error: PodwrightError | None = None
    elapsed: float = 0

    @property
    def is_reading(self) -> bool:
        """Whether the request changes nothing, by its method."""
        return self.request["protocol"] == "grpc" or self.request["method"].upper() in READING


def run(invocation: Invocation, outcome: list[Answer]) -> None:
    """Send the requests. Raises: PodwrightError, also for a status that was not asked for."""
    params = invocation.params
    given = {name: params[name] for name in _REQUEST}
    items = [{}] if params["requests"] is None else params["requests"]
    if params["server_ca"] and not os.path.isfile(params["server_ca"]):
        raise option_error("server_ca", f"there is no file {params['server_ca']} where this task runs.")
    wanted = [_prepare(given | given_options(item), f"requests[{number}]." if params["requests"] is not None else "") for number, item in enumerate(items)]
    target = _find_target(invocation)
    outcome += map(Answer, wanted)
    with ThreadPoolExecutor(max(params["concurrency"], 1)) as pool:
        list(pool.map(lambda answer: _ask(invocation, target, answer), outcome))
    errors = [answer.error for answer in outcome if answer.error]
    if errors:
        more = f" (and {len(errors) - 1} more of {len(outcome)} requests)" if len(errors) > 1 else ""
        raise PodwrightError(errors[0].message + more, reason=errors[0].reason, hint=errors[0].hint)


def _prepare(request, where):
    """The request as it is sent: its path percent-encoded, and its `encoded` body and headers. Raises: PodwrightError that names the option at fault."""
    if not request["path"].startswith("/"):
        raise option_error(f"{where}path", f"'{request['path']}' does not begin with a slash.")
    if request["protocol"] == "grpc" and request["grpc_method"].strip("/").count("/") != 1:
        raise option_error(f"{where}grpc_method", f"'{request['grpc_method']}' is not like package.Service/Method.")
    if request["timeout"] <= 0:
        raise option_error(f"{where}timeout", "it is more than 0.")
    if not _TOKEN.fullmatch(request["method"]):
        raise option_error(f"{where}method", f"'{request['method']}' is not the name of a method.")
    for name, value in request["headers"].items():
        if not _TOKEN.fullmatch(str(name)):
            raise option_error(f"{where}headers", f"'{name}' is not the name of a header.")
        if not _VALUE.fullmatch(str(value)):
            raise option_error(f"{where}headers.{name}", "its value has control characters, or some beyond Latin-1, which no header can have.")
    try:
        encoded = _encode(request)
    except (TypeError, ValueError) as error:
        raise option_error(f"{where}body", f"it cannot be written as {request['body_format']}: {error}.") from error
    return request | {"path": urllib.parse.quote(request["path"], safe=_AS_IS), "encoded": encoded}


# -- where to -------------------------------------------------------------------------------------------------


def _find_target(invocation):
    """The pod and its port; of a Service one of its ready pods and the port it maps to."""
    params = invocation.params
    if params["pod"]:
        pod = invocation.client.get(POD, invocation.namespace, params["pod"])
        if pod is None:
            raise PodwrightError(f"There is no pod '{params['pod']}' in namespace '{invocation.namespace}'.", status=404, reason="NotFound")
        host = params["server_name"] or params["pod"]
        return Target(invocation.namespace, params["pod"], _number(pod, params["port"], "port"), host)
    service = invocation.client.get(SERVICE, invocation.namespace, params["service"])
    if service is None:
        raise PodwrightError(f"There is no Service '{params['service']}' in namespace '{invocation.namespace}'.", status=404, reason="NotFound")
    ports = service["spec"].get("ports") or []
    port = next((port for port in ports if params["port"] in (str(port["port"]), port.get("name"))), None)
    if port is None:
        known = ", ".join(f"{port['port']}{' (' + port['name'] + ')' if port.get('name') else ''}" for port in ports)
        raise option_error("port", f"Service '{params['service']}' has no port {params['port']}.", f"It has: {known}.")
    pod = _choose_pod(invocation, service)
    host = params["server_name"] or f"{params['service']}.{invocation.namespace}.svc"
    return Target(invocation.namespace, pod["metadata"]["name"], _number(pod, str(port.get("targetPort") or port["port"]), "port"), host)


def _choose_pod(invocation, service):
    name, labels = service["metadata"]["name"], service["spec"].get("selector")
    if not labels:
        raise PodwrightError(f"Service '{name}' selects no pods.", reason="NoPods", hint="Name a pod instead.")
    pods, _version = invocation.client.list(POD, invocation.namespace, label_selector=selector_of(labels))
    ready = [pod for pod in pods if is_serving(pod)]
    if not ready:
        raise PodwrightError(
            f"None of the {len(pods)} pods of Service '{name}' in namespace '{invocation.namespace}' is ready.",
            reason="NoPods",
            hint="Wait for them with pod_info: wait_for: ready.",
        )
    return min(ready, key=lambda pod: pod["metadata"]["name"])


def _number(pod, port, option):
    """The number of a port that is given as one or as the name of a container's port."""
    if port.isdigit():
        return int(port)
    for container in pod["spec"]["containers"]:
        for entry in container.get("ports") or []:
            if entry.get("name") == port:
                return entry["containerPort"]
    raise option_error(option, f"pod '{pod['metadata']['name']}' has no port named '{port}' ({default_container(pod)} and its others).")


# -- asking ---------------------------------------------------------------------------------------------------


def _ask(invocation, target, answer):
    """Send one request; what fails is noted in the Answer."""
    if invocation.check_mode and not answer.is_reading:
        return
    started = time.monotonic()
    try:
        (_call if answer.request["protocol"] == "grpc" else _send)(invocation, target, answer)
    except Exception as error:
        answer.error = as_podwright_error(error)
    answer.elapsed = round(time.monotonic() - started, 3)


def _send(invocation, target, answer):
    request = answer.request
    answer.fields["url"] = f"{request['protocol']}://{target.host}:{target.port}{request['path']}"
    with Connection(invocation.client, target.namespace, target.pod, target.port) as connection:
        try:
            response, content = _exchange(invocation.params, connection, target, answer)
        except (http.client.HTTPException, OSError) as error:
            is_cut = isinstance(error, http.client.IncompleteRead)
            raise _unanswered(target, request, _words(error, request) if is_cut else connection.error or _words(error, request)) from error
    _read_response(response, content, answer)


def _exchange(params, connection, target, answer):
    """(response, its content)."""
    request = answer.request
    body, headers = request["encoded"]
    sock = connection.socket
    sock.settimeout(request["timeout"])
    if request["protocol"] == "https":
        sock = _context(params["server_ca"]).wrap_socket(sock, server_hostname=target.host)
    link = http.client.HTTPConnection(target.host, target.port)
    link.sock = sock
    try:
        answer.is_sent = True
        link.request(request["method"].upper(), request["path"], body, headers)
        response = link.getresponse()
        content = response.read(LARGEST)
        if response.length and len(content) < LARGEST:  # read() alone does not tell
            raise http.client.IncompleteRead(content, response.length)
        answer.fields["truncated"] = bool(response.read(1))
    finally:
        link.close()
    return response, content


def _context(ca):
    """TLS to the pod itself: verified only where the authority of its certificate was given."""
    context = ssl.create_default_context(cafile=ca)
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _encode(request):
    """The body as bytes or None, and the headers."""
    body, form = request["body"], request["body_format"]
    headers = {str(name): str(value) for name, value in request["headers"].items()}
    names = {name.lower() for name in headers}
    if body is None:
        return None, headers
    if form == "json":
        content, kind = body if isinstance(body, str) else json.dumps(body), "application/json"
    elif form == "form-urlencoded":
        content, kind = body if isinstance(body, str) else urllib.parse.urlencode(body, doseq=True), "application/x-www-form-urlencoded"
    else:
        content, kind = body if isinstance(body, str) else json.dumps(body), None
    if kind and "content-type" not in names:
        headers["Content-Type"] = kind
    return content.encode(), headers


def _read_response(response, content, answer):
    """The answer in the fields of ansible.builtin.uri. Raises: PodwrightError for a status that was not asked for."""
    request, fields = answer.request, answer.fields
    headers = _join_headers(response.getheaders())
    fields |= {"headers": headers} | {name: headers[name.replace("_", "-")] for name in NAMED_HEADERS if name.replace("_", "-") in headers}
    fields |= {"status": response.status, "redirected": False, "msg": f"{response.status} {response.reason}".strip()}
    if request["return_content"]:
        fields["content"] = decode(content)
    if "json" in fields.get("content_type", ""):
        try:
            fields["json"] = json.loads(content)
        except ValueError:
            pass
    if response.status in request["status_code"]:
        return
    wanted = ", ".join(map(str, request["status_code"]))
    said = decode(content[:300]).strip()
    raise PodwrightError(
        f"{request['method'].upper()} {fields['url']} answered {response.status} {response.reason} instead of {wanted}{': ' + said if said else '.'}",
        reason="Status",
    )


def _join_headers(pairs):
    """{lower-case name: value}; values of one name are joined by a comma, as RFC 9110 (5.3) has it."""
    headers = {}
    for name, value in pairs:
        headers.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(values) for name, values in headers.items()}


def _unanswered(target, request, why):
    what = f"{request['method'].upper()} {request['path']}" if request["protocol"] != "grpc" else request["grpc_method"]
    return PodwrightError(
        f"There was no answer to {what} from {target}: {why}",
        reason="NoAnswer",
        hint="Check that something listens on that port in the pod, also on its localhost.",
    )


def _words(error, request):
    if isinstance(error, TimeoutError):
        return f"nothing came within {request['timeout']:g} s"
    if isinstance(error, (http.client.RemoteDisconnected, ConnectionError)):
        return "the connection was closed"
    if isinstance(error, http.client.IncompleteRead):
        return f"the connection was closed after {len(error.partial)} bytes of the answer, {error.expected} before its end"
    return str(error) or type(error).__name__


# -- gRPC -----------------------------------------------------------------------------------------------------


def _call(invocation, target, answer):
    request = answer.request
    service, method = request["grpc_method"].strip("/").split("/")
    answer.fields["url"] = f"grpc://{target.host}:{target.port}/{service}/{method}"
    with Listener(invocation.client, target.namespace, target.pod, target.port) as listener:
        try:
            message = grpc_call.call(listener.path, target.host, service, method, request["body"], request["timeout"], request["headers"])
        except grpc_call.CallFailed as error:
            if error.code == "UNAVAILABLE":
                raise _unanswered(target, request, listener.error or error.details) from error
            answer.fields["grpc_status"] = error.code
            raise PodwrightError(f"{service}/{method} at {target} answered {error.code}: {error.details}", reason="GrpcStatus", hint=error.hint) from error
    answer.fields |= {"grpc_status": "OK", "json": message, "msg": "OK"}
    if request["grpc_method"] == HEALTH and message.get("status") != "SERVING":
        raise PodwrightError(f"{target} says that it is {message.get('status', 'UNKNOWN')}.", reason="NotServing")


# -- describing -----------------------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: list[Answer]) -> dict:
    """The result's fields, as far as it got."""
    answers = [_describe_one(invocation, answer) for answer in outcome]
    changed = any(answer["changed"] for answer in answers)
    if invocation.params["requests"] is None:
        return {**answers[0], "changed": changed} if answers else {}
    return {"changed": changed, "results": answers}


def _describe_one(invocation, answer):
    error = answer.error
    if invocation.check_mode and not answer.is_reading:
        return {"changed": True, "failed": False, "skipped": True, "msg": f"Check mode: the {answer.request['method'].upper()} was not sent."}
    fields = {"failed": bool(error), "changed": answer.is_sent and not answer.is_reading, "elapsed": answer.elapsed} | answer.fields
    return fields | ({"msg": error.message, "reason": error.reason, "hint": error.hint} if error else {})


def redact(params):
    """The parameters as they may be shown: no body and no value of a header."""
    redactor = TaskRedactor()
    shown = dict(params)
    if shown.get("requests"):
        shown["requests"] = [redact(item) for item in shown["requests"]]
    if shown.get("headers"):
        shown["headers"] = {name: redactor.digest(str(value)) for name, value in shown["headers"].items()}
    if shown.get("body") is not None:
        shown["body"] = redactor.digest(json.dumps(shown["body"]))
    return shown


OPERATION = Operation(
    "pod_request",
    ARGUMENTS,
    list,
    run,
    describe,
    redact=redact,
    rules={"required_one_of": [("pod", "service")], "mutually_exclusive": [("pod", "service")]},
)
