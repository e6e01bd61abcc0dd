# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exec in a container over a websocket: v5.channel.k8s.io, then v4 (KEP-4006)."""

from __future__ import annotations

import base64
import json
import threading
import urllib.parse
from dataclasses import dataclass

from ..libraries import load
from .client import CONNECT_TIMEOUT, USER_AGENT, Request
from .errors import PodwrightError, status_error
from .kinds import POD

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
FRAME = 1 << 15


@dataclass(frozen=True)
class Execution:
    """How a command ended and what it wrote."""

    rc: int
    stdout: bytes
    stderr: bytes


def execute(client, namespace, pod, container, command, stdin=None, timeout=None, tty=False):
    """Run a command in a container to its end.

    Args:
        command: list of words; no shell is involved.
        stdin: bytes given to it, followed by end of file; None leaves it without standard input.
        timeout: seconds for the whole command, or None.

    Returns: an Execution.
    Raises: PodwrightError; its reason is `ConnectionLost` where the connection ended before the command's status came
        (what had arrived is in `results`), `Timeout`, or the API's own.
    """
    request = _request(namespace, pod, container, command, stdin is not None, tty)
    deadline = None if timeout is None else client.clock.monotonic() + timeout
    connection = _connect(client, request)
    sender = None
    try:
        if stdin is not None:
            # Beside the receiver: a command that writes while it reads would block both ends otherwise.
            sender = _start_sender(connection, stdin)
        return _receive(connection, request, client.clock, deadline, timeout)
    finally:
        connection.shutdown()
        if sender:
            sender.join()


def _request(namespace, pod, container, command, has_stdin, tty):
    query = [("command", word) for word in command]
    query += [("container", container)] if container else []
    query += [("stdin", str(has_stdin).lower()), ("stdout", "true"), ("stderr", str(not tty).lower()), ("tty", str(tty).lower())]
    return Request("POST", POD.path(namespace, pod, "exec"), tuple(query), kind=POD, namespace=namespace, name=f"{pod}/exec", repeatable=False)


def _connect(client, request):
    websocket = load("websocket")
    configuration = client.configuration
    options = {}
    if configuration.tls:
        options["sslopt"] = {"context": configuration.tls}
        if configuration.tls_server_name:
            options["sslopt"]["server_hostname"] = configuration.tls_server_name
    if configuration.proxy:
        proxy = urllib.parse.urlsplit(configuration.proxy)
        options |= {"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port, "proxy_type": proxy.scheme}
        if proxy.username:
            options["http_proxy_auth"] = (proxy.username, proxy.password)
    else:
        options["http_no_proxy"] = ["*"]
    url = "ws" + configuration.server.removeprefix("http") + request.target
    headers = [f"{name}: {value}" for name, value in configuration.headers()] + [f"User-Agent: {USER_AGENT}"]
    try:
        connection = websocket.create_connection(
            url, timeout=CONNECT_TIMEOUT, header=headers, subprotocols=[V5, V4], enable_multithread=True, skip_utf8_validation=True, **options
        )
    except websocket.WebSocketBadStatusException as error:
        body = error.resp_body or b""
        try:
            body = json.loads(body)
        except ValueError:
            body = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        raise status_error(error.status_code, body, request, configuration.identity) from error
    except (websocket.WebSocketException, OSError) as error:
        raise PodwrightError(
            f"No connection to {configuration.server} (from {configuration.source}) for a command in pod '{request.name}': {error}", reason="Refused"
        ) from error
    return connection


def _start_sender(connection, stdin):
    if connection.getsubprotocol() != V5:
        raise PodwrightError(
            "This API server cannot end a command's standard input (it speaks only v4.channel.k8s.io).",
            reason="NoEndOfInput",
            hint="Use Kubernetes 1.30 or later, or give the input with pod_copy.",
        )
    sender = threading.Thread(target=_send_input, args=(connection, stdin), daemon=True, name="podwright-stdin")
    sender.start()
    return sender


def _send_input(connection, stdin):
    try:
        for start in range(0, len(stdin), FRAME):
            connection.send_binary(bytes([STDIN]) + stdin[start : start + FRAME])
        connection.send_binary(bytes([CLOSE, STDIN]))
    except (load("websocket").WebSocketException, OSError):
        pass  # a command may end without reading all of its input; its status decides


def _receive(connection, request, clock, deadline, timeout):
    websocket = load("websocket")
    output = {STDOUT: bytearray(), STDERR: bytearray()}
    status = None
    while status is None:
        try:
            connection.settimeout(None if deadline is None else max(deadline - clock.monotonic(), 0.001))
            opcode, data = connection.recv_data()
        except websocket.WebSocketTimeoutException as error:
            raise PodwrightError(
                f"The command in {request.name.removesuffix('/exec')} did not end within {timeout} s; it may still run there.",
                reason="Timeout",
                hint="Raise timeout, or make the command end by itself.",
                results=_partial(output),
            ) from error
        except (websocket.WebSocketException, OSError) as error:
            raise _lost(output, request) from error
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise _lost(output, request)
        if data and data[0] in output:
            output[data[0]] += data[1:]
        elif data and data[0] == ERROR:
            status = json.loads(data[1:])
    return Execution(_exit_code(status, request, output), bytes(output[STDOUT]), bytes(output[STDERR]))


def _exit_code(status, request, output):
    if status.get("status") == "Success":
        return 0
    causes = (status.get("details") or {}).get("causes") or []
    if status.get("reason") == "NonZeroExitCode":
        for cause in causes:
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
    raise PodwrightError(
        f"The command in {request.name.removesuffix('/exec')} could not be run: {status.get('message', 'no message')}",
        reason=status.get("reason") or "ExecFailed",
        causes=causes,
        hint="Check that the program exists in the image." if "executable file" in status.get("message", "") else "",
        results=_partial(output),
    )


def _lost(output, request):
    arrived = sum(map(len, output.values()))
    return PodwrightError(
        f"The connection to {request.name.removesuffix('/exec')} was lost before the command's exit status came, after {arrived} bytes of output.",
        reason="ConnectionLost",
        hint="Whether the command ended is unknown: check before running it again.",
        results=_partial(output),
    )


def _partial(output):
    return describe_output(bytes(output[STDOUT]), bytes(output[STDERR]))


def describe_output(stdout, stderr):
    """A command's output as result fields: text, lines, and base64 of what is no UTF-8."""
    fields = {}
    for name, content in (("stdout", stdout), ("stderr", stderr)):
        text = decode(content)
        fields |= {name: text, f"{name}_lines": text.splitlines()}
        if text.encode() != content:
            fields[f"{name}_b64"] = base64.b64encode(content).decode()
    return fields


def decode(content):
    """Text of bytes that should be UTF-8; others are replaced (the bytes themselves are returned as base64 beside it)."""
    return content.decode("utf-8", "replace")
