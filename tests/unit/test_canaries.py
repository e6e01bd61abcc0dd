# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A canary in every option that can contain a secret: no result shows it, whatever its form, whether the operation succeeds or fails, in both modes."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.parse

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.transport import Transport
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.option_reader import normalize_options
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import completion, task_spec

from .stub_server import Response, StubServer
from .task_specs import spec
from .test_option_fuzz import BOX, Api, as_module, operation_of, validated

pytestmark = [pytest.mark.usefixtures("elsewhere"), pytest.mark.search]

FORMS = {
    "long": "c4n4ry-0123456789abcdef",
    "lines": "c4n4ry-line-one\n  c4n4ry: line 'two'\n\tc4n4ry \"three\"\n",
    "short": "c4n4",
    "quoted": "c4n4ry'\"\\{{ x }}$(y)%20&",
    "controls": "c4n4ry\x1b[31m\u202ered\x9b\u2028end",
}
BYTES = "c4n4ry\udcff\udc80-bytes"
MARKS = ("c4n4", base64.b64encode(b"c4n4ry-").decode()[:8], base64.b64encode(b"c4n4ry'\"\\").decode()[:8])
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
REQUEST = {"pod": "box", "port": "80", "timeout": 1}
ROLLOUT = {"name": "new", **BOX, "service": "d", "ports": [80], "strategy": "canary"}
PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh"}


def encoded(text):
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def kubeconfig(user):
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    return {"current-context": "x", "clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": user}]}


def variables(canary):
    return [{"name": "P", "value": canary}]


def analysis(*entries):
    return {**ROLLOUT, "canary": {"steps": [{"weight": 10}], "analysis": list(entries)}}


def url(canary):
    return f"http://user:{urllib.parse.quote(canary, safe='')}@127.0.0.1:9"


# (operation, options with a secret) by name.
OPTIONS = {
    "stdin of a task": ("task_pod", lambda c: {"name": "t", **BOX, "stdin": c}),
    "env of a task": ("task_pod", lambda c: {"name": "t", **BOX, "env": {"P": c}}),
    "env and stdin of tasks": ("task_pod", lambda c: {"tasks": [{"name": "a", **BOX, "stdin": c}, {"name": "b", "kind": "Job", **BOX, "env": {"P": c}}]}),
    "env of containers": (
        "task_pod",
        lambda c: {"name": "t", **BOX, "containers": [{"name": "c", "env": {"P": c}}], "init_containers": [{"name": "i", "env": {"P": c}}]},
    ),
    "definition of a task": (
        "task_pod",
        lambda c: {"name": "t", "definition": {"spec": {"containers": [{"name": "task", "image": "i", "env": variables(c)}]}}},
    ),
    "patches of a task": (
        "task_pod",
        lambda c: {"name": "t", **BOX, "patches": [{"op": "add", "path": "/spec/containers/0/env", "value": variables(c)}]},
    ),
    "stdin of a command": ("pod_exec", lambda c: {"pod": "box", "command": "cat", "stdin": c, "timeout": 1}),
    "env of a command": ("pod_exec", lambda c: {"pod": "box", "command": "cat", "env": {"P": c}, "timeout": 1}),
    "content": ("pod_copy", lambda c: {"pod": "box", "content": c, "remote_path": "/x", "timeout": 1}),
    "header": ("pod_request", lambda c: {**REQUEST, "headers": {"Authorization": c}}),
    "body": ("pod_request", lambda c: {**REQUEST, "body": c, "method": "POST"}),
    "body of several requests": ("pod_request", lambda c: {**REQUEST, "requests": [{"body": {"a": [c]}, "body_format": "json", "headers": {"X": c}}]}),
    "env of a deployment": ("pod_deployment", lambda c: {"name": "new", **BOX, "env": {"P": c}, "containers": [{"name": "c", "env": {"P": c}}]}),
    "analysis": ("pod_deployment", lambda c: analysis({"request": {"port": 1, "headers": {"A": c}, "body": c}}, {"command": ["echo", c]})),
    "Prometheus of an analysis": ("pod_deployment", lambda c: analysis({"prometheus": {"server": url(c), "query": "x"}, "success": "< 1"})),
    "Prometheus": ("pod_autoscale", lambda c: {"name": "web", "engine": "direct", "prometheus": {"server": url(c), "query": "x", "target": 1}}),
    "stringData": ("resource_set", lambda c: {"definition": SECRET | {"stringData": {"a": c}}}),
    "data": ("resource_set", lambda c: {"definition": [SECRET | {"data": {"a": encoded(c)}}]}),
    "text": ("resource_set", lambda c: {"definition": json.dumps(SECRET | {"stringData": {"a": c}})}),
    "List": ("resource_set", lambda c: {"definition": {"apiVersion": "v1", "kind": "List", "items": [SECRET | {"stringData": {"a": c}}]}}),
    "malformed text": ("resource_set", lambda c: {"definition": f"a: [{json.dumps(c)}"}),
    "malformed Secret": ("resource_set", lambda c: {"definition": SECRET | {"stringData": c, "data": [c], "metadata": {"name": "s", "annotations": c}}}),
    "deletion": ("resource_set", lambda c: {"state": "absent", "wait": False, "definition": SECRET | {"stringData": {"a": c}}}),
    "api_key": ("pod_info", lambda c: {"name": "box", "api_key": c}),
    "password": ("pod_logs", lambda c: {"name": "box", "username": "u", "password": c}),
    "proxy": ("pod_info", lambda c: {"name": "box", "proxy": url(c), "host": "http://192.0.2.1"}),
    "proxy without a scheme": ("pod_info", lambda c: {"name": "box", "proxy": f"user:{c}@127.0.0.1:9", "host": "http://192.0.2.1"}),
    "proxy with unencoded characters": ("pod_info", lambda c: {"name": "box", "proxy": f"http://user:{c}/#@127.0.0.1:9", "host": "http://192.0.2.1"}),
    "kubeconfig of one line": ("pod_info", lambda c: {"name": "box", "kubeconfig": f"token: {c}"}),
    "endpoint of a trace": ("task_pod", lambda c: {"name": "t", **BOX, "trace": {"endpoint": f"http://user:{c}@127.0.0.1:9"}}),
    "host": ("pod_gc", lambda c: {"completed": {"max_age": 0}, "host": url(c)}),
    "proxy_headers": ("pod_gc", lambda c: {"completed": {"max_age": 0}, "proxy_headers": {"basic_auth": f"u:{c}", "proxy_basic_auth": f"u:{c}"}}),
    "token in a kubeconfig": ("pod_info", lambda c: {"name": "box", "kubeconfig": kubeconfig({"token": c})}),
    "password in a kubeconfig": ("pod_exec", lambda c: {"pod": "box", "command": "a", "kubeconfig": kubeconfig({"username": "u", "password": c})}),
    "key in a kubeconfig": (
        "pod_copy",
        lambda c: {
            "pod": "box",
            "content": "x",
            "remote_path": "/x",
            "kubeconfig": kubeconfig({"client-key-data": encoded(c), "client-certificate-data": encoded(c)}),
        },
    ),
    "kubeconfig as text": ("resource_set", lambda c: {"definition": SECRET, "kubeconfig": json.dumps(kubeconfig({"token": c}))}),
    "malformed kubeconfig": ("task_pod", lambda c: {"name": "t", **BOX, "kubeconfig": f"users: [{json.dumps(c)}"}),
    "exec plugin": (
        "pod_info",
        lambda c: {"name": "box", "kubeconfig": kubeconfig({"exec": {**PLUGIN, "args": ["-c", "exit 3", c], "env": variables(c)}})},
    ),
}
BINARY = ("stdin of a task", "stdin of a command", "content", "data")


class Echo(Api):
    """An API server that refuses every request with credentials, and others that write or upgrade, and repeats what it received in the reason."""

    def __call__(self, handler):
        if handler.command == "GET" and not {"Upgrade", "Authorization", "Proxy-Authorization"} & set(handler.headers):
            return super().__call__(handler)
        body = json.loads(handler.body or b"null")
        received = [handler.path, urllib.parse.unquote_plus(handler.path), handler.body.decode(), str(handler.headers), *map(repr, leaves(body)), *leaves(body)]
        message = "\n".join(f'Invalid value: "{text}"' for text in received)
        return Response(422, {"kind": "Status", "code": 422, "reason": "Invalid", "message": message, "details": {"causes": [{"message": message}]}})


def leaves(value):
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value] if isinstance(value, str) else []


def fail(*_arguments, **_options):
    raise KeyError(FORMS["long"], FORMS["short"])


ENDINGS = {"success": Api, "refusal that repeats the request": Echo, "unforeseen exception": Api}


@pytest.fixture(scope="module", params=ENDINGS)
def ending(request):
    api = ENDINGS[request.param]()
    with StubServer(api) as server:
        yield request.param, api, server.url


@pytest.mark.parametrize("mode", ["action", "module"])
@pytest.mark.parametrize("name", OPTIONS)
def test_no_result_shows_a_canary(name, mode, ending, monkeypatch):
    how, api, address = ending
    if how == "unforeseen exception":
        monkeypatch.setattr(Transport, "_request", fail)
    module, build = OPTIONS[name]
    operation = operation_of(module)
    forms = {"bytes": BYTES} if name in BINARY and mode == "action" else {}  # ansible-core sends modules no text that is not UTF-8
    forms |= FORMS if isinstance(api, Echo) else {"lines": FORMS["lines"]}
    for form, canary in forms.items():
        own = build(canary)
        api.created.clear()
        api.deleted.clear()
        given_options = {"namespace": "default", **({} if "kubeconfig" in own else {"host": address}), **own}
        given_options |= {"state": "completed"} if module == "task_pod" else {}
        given_options |= {"wait_timeout": 1} if "wait_timeout" in operation.arguments else {}
        if mode == "module":
            result = as_module(operation, given_options | {"_ansible_diff": True}, monkeypatch)
        else:
            checked = validated(operation, normalize_options(operation.arguments, given_options))
            result = perform(operation, checked.validated_parameters, False, True, Console(), masked=set(checked._no_log_values)) if checked else {}
        shown = json.dumps(result)
        assert not [mark for mark in MARKS if mark in shown], (form, shown[max(shown.find("c4n4") - 200, 0) :][:500])


class LoggingApi(Api):
    """An API server whose pods write a canary into their logs."""

    def __call__(self, handler):
        if urllib.parse.urlsplit(handler.path).path.endswith("/log"):
            return Response(200, FORMS["long"].encode(), {"Content-Type": "text/plain"})
        return super().__call__(handler)


@pytest.mark.parametrize("logs", ["none", "collect"])
def test_record_has_no_log_unless_logs_are_wanted(logs, monkeypatch):
    monkeypatch.setattr(completion, "wait_until_deleted", lambda *_: None)
    api, operation = LoggingApi(), operation_of("task_pod")
    with StubServer(api) as server:
        given_options = {"host": server.url, "namespace": "n", "name": "t", **BOX, "state": "completed", "cleanup": "always", "logs": logs, "wait_timeout": 120}
        perform(operation, validated(operation, given_options).validated_parameters, False, False, Console())
    record = api.created["ConfigMap", "podwright-record-t"]
    assert (record["data"]["rc"], record["data"]["log"]) == ("0", FORMS["long"] if logs == "collect" else "")


def test_digest_of_input_in_a_label_is_slow_and_salted(monkeypatch):
    hashes = {spec(name=name, stdin=text, command=["a"]).hash for name in ("a", "b") for text in ("1234", "4321")}
    assert len(hashes) == 4 and spec(name="a", stdin="1234", command=["a"]).hash in hashes
    tried = []
    monkeypatch.setattr(task_spec.hashlib, "pbkdf2_hmac", lambda *arguments: tried.append(arguments) or b"digest")
    assert spec(name="a", stdin="1234").hash == spec(name="a", stdin="4321").hash
    assert {arguments[3] for arguments in tried} == {task_spec.ITERATIONS} and task_spec.ITERATIONS >= 10_000


def test_command_whose_name_contains_an_equals_sign_runs_with_variables(tmp_path):
    program = tmp_path / "a=b"
    program.write_text('#!/bin/sh\necho "$X $1"\n')
    program.chmod(0o755)
    words = Command([str(program), "y z"], env={"X": "1"}).with_environment()
    assert subprocess.run(words, capture_output=True, check=True).stdout == b"1 y z\n"
