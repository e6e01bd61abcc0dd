# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every operation against API servers that deny requests, send invalid responses or close connections: the result is plain data without secrets."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import (
    pod_autoscale,
    pod_copy,
    pod_deployment,
    pod_exec,
    pod_gc,
    pod_info,
    pod_logs,
    pod_request,
    resource_set,
    task_pod,
)

from .stub_server import Response, StubServer, html

pytestmark = pytest.mark.search

MARK = "c4n4ry"
# Multi-line, quoted and short values.
LINES, QUOTED, SHORT = f"{MARK}-one\n  {MARK}-two\n", f"{MARK}'\"\\{{{{ x }}}}", f"{MARK}"
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"lines": LINES, "quoted": QUOTED, "short": SHORT}}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}}
BOX = {"image": "busybox", "command": ["true"], "env": {"LINES": LINES, "QUOTED": QUOTED, "SHORT": SHORT}}
UNFINISHED = {"wait_timeout": 1}

MEASURED = {"server": f"http://u:{MARK}@127.0.0.1:9", "query": "x"}
ANALYSIS = [{"request": {"port": 80, "headers": {"Authorization": SHORT}}}, {"command": ["echo", LINES]}, {"prometheus": MEASURED, "success": "< 1"}]
CANARY = {"steps": [{"weight": 10, "pause": 0}], "analysis": ANALYSIS}

CALLS = {
    "task_pod": (task_pod, {"name": "t", "state": "completed", "stdin": LINES, "network": "isolated", **BOX, **UNFINISHED}),
    "task_pod batch": (task_pod, {"tasks": [{"name": "one", **BOX}, {"name": "two", "kind": "Job", "timeout": 9, **BOX}], **UNFINISHED}),
    "task_pod patches": (
        task_pod,
        {"name": "t", "image": "i", "patches": [{"op": "add", "path": "/spec/containers/0/env", "value": [{"name": "P", "value": LINES}]}], **UNFINISHED},
    ),
    "pod_exec": (pod_exec, {"pod": "box", "command": "cat", "stdin": LINES, "env": {"P": QUOTED}, "timeout": 2}),
    "pod_copy": (pod_copy, {"pod": "box", "content": LINES, "remote_path": "/x", "timeout": 2}),
    "pod_logs": (pod_logs, {"name": "box"}),
    "pod_info": (pod_info, {"kind": "Secret", "name": "live"}),
    "pod_request": (pod_request, {"pod": "box", "port": "80", "headers": {"Authorization": QUOTED}, "body": LINES, "method": "POST", "timeout": 2}),
    "pod_autoscale": (pod_autoscale, {"name": "web", "target_cpu": 50, **UNFINISHED}),
    "pod_autoscale prometheus": (pod_autoscale, {"name": "web", "engine": "direct", "prometheus": MEASURED | {"target": 1.0}, **UNFINISHED}),
    "pod_autoscale replicas": (pod_autoscale, {"name": "web", "replicas": 3, **UNFINISHED}),
    "pod_deployment": (pod_deployment, {"name": "d", "service": "d", "ports": [80], "strategy": "blue_green", **BOX, **UNFINISHED}),
    "pod_deployment canary": (pod_deployment, {"name": "d", "service": "d", "ports": [80], "strategy": "canary", "canary": CANARY, **BOX, **UNFINISHED}),
    "pod_gc": (pod_gc, {"completed": {"max_age": 0, "keep_last": 0}, **UNFINISHED}),
    "resource_set": (resource_set, {"name": "set", "definition": [SECRET, ACCOUNT, CONFIG], **UNFINISHED}),
    "resource_set text": (resource_set, {"definition": json.dumps(SECRET | {"data": {"b": base64.b64encode(LINES.encode()).decode()}}), **UNFINISHED}),
    "resource_set YAML": (
        resource_set,
        {"definition": f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData:\n  a: |\n    {MARK}\n    b\n  b: {MARK}"},
    ),
    "resource_set list": (resource_set, {"definition": {"apiVersion": "v1", "kind": "List", "items": [SECRET]}, **UNFINISHED}),
    "resource_set invalid metadata": (resource_set, {"definition": SECRET | {"metadata": LINES}, **UNFINISHED}),
    "resource_set unreadable": (resource_set, {"definition": f"a: [{MARK}", **UNFINISHED}),
    "resource_set absent": (resource_set, {"state": "absent", "definition": [SECRET | {"metadata": {"name": "live"}}, CONFIG], **UNFINISHED}),
}


def live(api_version, kind, name, **rest):
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1", "creationTimestamp": "2001-01-01T00:00:00Z"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata | rest.pop("metadata", {}), **rest}


CONTAINER = {"name": "task", "image": "busybox"}
STARTED = {"containerStatuses": [{"name": "task", "state": {"running": {"startedAt": "2001-01-01T00:00:00Z"}}, "ready": True}]}
SUCCEEDED = {"containerStatuses": [{"name": "task", "state": {"terminated": {"exitCode": 0, "finishedAt": "2001-01-01T00:00:00Z"}}}]}
MANAGED = {"labels": {"app.kubernetes.io/managed-by": "podwright", "podwright.io/task": "old"}}
LIVE = [
    live("v1", "Pod", "box", spec={"containers": [CONTAINER]}, status={"phase": "Running", **STARTED}),
    live("v1", "Pod", "old", metadata=MANAGED, spec={"containers": [CONTAINER]}, status={"phase": "Succeeded", **SUCCEEDED}),
    live("v1", "Secret", "live", data={"lines": base64.b64encode(LINES.encode()).decode()}),
    live("v1", "ConfigMap", "c", data={"a": "b"}),
    live("apps/v1", "Deployment", "web", spec={"replicas": 1, "selector": {"matchLabels": {"a": "b"}}}, status={"replicas": 1}),
    live("v1", "Namespace", "default", status={"phase": "Active"}),
]


def status(code, reason, message):
    return Response(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message, "metadata": {}})


class ApiServer:
    """An API server with the objects of LIVE, whose responses to writes a function chooses.

    Args:
        write: called with the handler and the number of the write, from 0; returns a Response.
        read: called with the Response to a read; returns the one to send.
    """

    def __init__(self, write, read=lambda response: response):
        self._write, self._read = write, read
        self._number, self._lock = 0, threading.Lock()

    def __call__(self, handler):
        if handler.command == "GET" and "Upgrade" not in handler.headers:
            return self._read(self._look_up(urllib.parse.urlsplit(handler.path)))
        with self._lock:
            number, self._number = self._number, self._number + 1
        return self._write(handler, number)

    @staticmethod
    def _look_up(url):
        if "watch=true" in url.query:
            return status(403, "Forbidden", "watching is denied")
        parts = url.path.strip("/").split("/")
        parts = parts[1:]  # without api or apis
        rest = parts[1:] if parts[0] == "v1" else parts[2:]
        api_version = "/".join(parts[: len(parts) - len(rest)])
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            rest = rest[2:]
        kind = next((k for k in BUILT_IN.values() if k.api_version == api_version and rest and k.plural == rest[0]), None)
        if kind is None:
            return status(404, "NotFound", "the server could not find the requested resource")
        found = [item for item in LIVE if item["kind"] == kind.name]
        if len(rest) == 1:
            return Response(200, {"kind": f"{kind.name}List", "apiVersion": api_version, "metadata": {"resourceVersion": "1"}, "items": found})
        named = next((item for item in found if item["metadata"]["name"] == rest[1]), None)
        return Response(200, named) if named else status(404, "NotFound", f'{kind.plural} "{rest[1]}" not found')


def deny(_handler, _number):
    return status(403, "Forbidden", "denied by webhook: \x1b[31mno")


def deny_second(handler, number):
    """Accept the first write like an API server, and deny the others."""
    if number or "Upgrade" in handler.headers:
        return deny(handler, number)
    body = json.loads(handler.body or b"{}")
    if handler.command == "DELETE" or "kind" not in body:
        return Response(200, {"kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {}})
    metadata = {"uid": "new", "resourceVersion": "2", "creationTimestamp": "2001-01-01T00:00:00Z", "namespace": "default"} | body["metadata"]
    return Response(201, body | {"metadata": metadata})


def close_early(handler, _number=0):
    """Close the connection in the middle of a response."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"kind":')
    raise ConnectionAbortedError


SERVERS = {
    "denies every write": ApiServer(deny),
    "denies the second write": ApiServer(deny_second),
    "responds to writes with null": ApiServer(lambda _handler, _number: Response(200, None)),
    "responds to writes with HTML": ApiServer(lambda _handler, _number: html()),
    "closes the connection during a response to a write": ApiServer(close_early),
    "responds with HTML": lambda _handler: html(),
    "responds with another object": lambda _handler: Response(200, {"kind": "Hostile", "metadata": {}, "data": {"ansible_facts": {}}}),
    "closes the connection during every response": close_early,
}


def run_operation(module, url, check_mode, **options):
    """The masked result of an operation, as both edges run it with validated options."""
    operation = module.OPERATION
    checked = ArgumentSpecValidator(operation.arguments, **operation.rules).validate({"host": url, "api_key": f"{MARK}-key", "namespace": "default", **options})
    assert not checked.error_messages
    params = checked.validated_parameters
    return perform(operation, params, check_mode, True, Console(), masked=set(checked._no_log_values))


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("call", CALLS)
def test_result_is_plain_data_without_secrets(call, server, check_mode):
    module, options = CALLS[call]
    respond = SERVERS[server]
    if isinstance(respond, ApiServer):
        respond = ApiServer(respond._write)
    before, started = set(threading.enumerate()), time.monotonic()
    with StubServer(respond) as opened:
        result = run_operation(module, opened.url, check_mode, **options)
    assert time.monotonic() - started < 30
    text = json.dumps(result)
    hidden = [base64.b64encode(value.encode()).decode() for value in (LINES, QUOTED)]
    assert not [value for value in (MARK, *hidden) if value in text]
    assert result["failed"] in (True, False) and result["changed"] in (True, False)
    assert not result["failed"] or (result["msg"] and result["reason"] not in ("", "Unforeseen")), result["msg"]
    assert "ansible_facts" not in result
    assert "\x1b" not in result.get("msg", "") + "".join(result.get("warnings", ()))
    # Threads of the stub server may still be closing their connections.
    assert not [thread.name for thread in set(threading.enumerate()) - before if "process_request" not in thread.name]
