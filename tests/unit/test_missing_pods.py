# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check mode of tasks with pods that an earlier task of the playbook would create: they are skipped; mistakes that check mode can find are errors."""

from __future__ import annotations

import re

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy, pod_exec, pod_logs, pod_request

from .stub_server import LIVE_METADATA, Response, StubServer

TASKS = {
    "creates": (pod_exec, {"pod": "web", "command": "true", "creates": "/x"}, True),
    "selectors": (pod_exec, {"label_selectors": ["app=web"], "command": "true"}, True),
    "upload": (pod_copy, {"pod": "web", "content": "x", "remote_path": "/x"}, True),
    "download": (pod_copy, {"pod": "web", "local_path": "/nonexistent/x", "remote_path": "/x", "state": "from_pod"}, True),
    "helper": (pod_copy, {"pod": "web", "content": "x", "remote_path": "/x", "method": "helper"}, True),
    "log": (pod_logs, {"name": "web"}, False),
    "log of a Deployment": (pod_logs, {"name": "web", "kind": "Deployment", "api_version": "apps/v1"}, False),
    "logs": (pod_logs, {"label_selectors": ["app=web"]}, False),
    "log to a file": (pod_logs, {"name": "web", "dest": "/nonexistent/x"}, True),
    "request": (pod_request, {"pod": "web", "port": "80"}, False),
}
TEXTS = {pod_exec: "the command was not run", pod_copy: "nothing was compared", pod_logs: "no log was read", pod_request: "GET / was not sent"}


def status(code, reason, message):
    return Response(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})


def run(task, check_mode, has_namespace=True, refusal=None):
    """The result of a task in a cluster without pods, and its warnings; or one that refuses each request."""
    module, options, _changed = TASKS[task]

    def respond(handler):
        name = handler.path.partition("?")[0].rpartition("/")[2]
        if refusal:
            return refusal
        if name == "n":
            return (
                Response(200, {"apiVersion": "v1", "kind": "Namespace", "metadata": LIVE_METADATA | {"name": "n"}})
                if has_namespace
                else status(404, "NotFound", "not found")
            )
        if name == "pods":
            return Response(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []})
        return status(404, "NotFound", 'pods "web" not found')

    with StubServer(respond) as server:
        params = {name: spec.get("default") for name, spec in module.ARGUMENTS.items()} | {"namespace": "n", "host": server.url} | options
        return perform(module.OPERATION, params, check_mode, False, Console())


@pytest.mark.parametrize("task", TASKS)
def test_a_task_with_a_missing_pod_is_skipped_in_check_mode(task):
    module, _options, changed = TASKS[task]
    result = run(task, check_mode=True)
    assert not result["failed"] and result["skipped"] and result["changed"] == changed and "warnings" not in result
    assert re.fullmatch(f"Check mode: {TEXTS[module]}: .* (not found in namespace 'n'|in namespace 'n' matches app=web)\\.", result["msg"])
    fields = {pod_exec: {"rc": 0}, pod_copy: {"result": result["msg"]}, pod_logs: {"log": "", "log_lines": [], "logs": {}}, pod_request: {"status": -1}}
    assert fields[module].items() <= result.items(), "what later tasks of the playbook read"
    assert run(task, check_mode=False)["reason"] == "NotFound"


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_namespace_is_a_warning_in_check_mode(task):
    """An earlier task may create it, or its name may be wrong."""
    result = run(task, check_mode=True, has_namespace=False)
    assert result["skipped"] and len(result["warnings"]) == 1 and result["warnings"][0].startswith("Namespace 'n' not found in http://127.0.0.1")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (status(403, "Forbidden", 'pods "web" is forbidden: User "u" cannot get resource "pods" in API group "" in the namespace "n"'), "Forbidden"),
        (status(404, "HTTP 404", "the server could not find the requested resource"), "UnknownKind"),
        (status(401, "Unauthorized", "Unauthorized"), "Unauthorized"),
    ],
)
def test_refused_requests_are_errors_in_check_mode_too(task, refusal, reason):
    result = run(task, check_mode=True, refusal=refusal)
    assert result["failed"] and result["reason"] == reason and "skipped" not in result


@pytest.mark.parametrize("task", ["upload", "log"])
def test_invalid_options_are_errors_in_check_mode_too(task, monkeypatch):
    module, options, changed = TASKS[task]
    monkeypatch.setitem(TASKS, task, (module, options | {"owner": "a b", "since_time": "yesterday"}, changed))
    assert run(task, check_mode=True)["reason"] == "BadOption"
