# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every option of every operation with values of any type: an error names the option and nothing is written, or the operation ends with plain data.

PODWRIGHT_SEED is the seed of the examples.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import os
import re
import time
import urllib.parse
from contextlib import redirect_stdout

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import CONNECTION
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.masking import MASK
from ansible_collections.podwright.core.plugins.module_utils._engine.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, Operation, perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_gc, pod_info, pod_request, task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.option_reader import normalize_options

from ..support.environment import scaled
from .option_values import options
from .stub_server import Response, StubServer

pytestmark = [pytest.mark.usefixtures("elsewhere"), pytest.mark.search]

EXAMPLES, SEED = scaled(30), int(os.environ.get("PODWRIGHT_SEED", "1"))
PACKAGE = "ansible_collections.podwright.core.plugins.module_utils._engine.operations"
STAMP = "2001-01-01T00:00:00Z"
BOX = {"image": "busybox", "command": ["true"]}
# Values with which an operation gets as far as possible.
LIKELY = {
    "pod_autoscale": {"name": "web", "target_cpu": 50},
    "pod_copy": {"pod": "box", "content": "text", "remote_path": "/x"},
    "pod_deployment": {"name": "new", **BOX, "service": "new", "ports": [80]},
    "pod_exec": {"pod": "box", "command": ["true"]},
    "pod_gc": {"completed": {"max_age": 0}},
    "pod_info": {"name": "box"},
    "pod_logs": {"name": "box"},
    "pod_report": {"dest": "report.html"},
    "pod_request": {"pod": "box", "port": "80"},
    "resource_set": {"definition": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}]},
    "task_pod": {"name": "t", "state": "completed", **BOX},
}
VALIDATION = ("BadOption", "BadManifest", "BadName", "BadConfiguration")
KIND_OF = {kind.plural: kind.name for kind in BUILT_IN.values() if kind.name != "PodMetrics"}
generated = settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))


class Api:
    """An API server that has most objects that it is asked for, finished and ready, and accepts every write.

    Attributes:
        writes: method and path of each write.
        created: the objects that were written, by kind and name.
    """

    def __init__(self):
        self.writes, self.created, self.deleted = [], {}, set()

    def __call__(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        if handler.command == "GET":
            if "watch=true" in url.query or "Upgrade" in handler.headers:
                return Response(403, {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "User x cannot watch"})
            return Response(*self._look_up(url))
        if "dryRun" not in url.query and b'"dryRun"' not in handler.body:
            self.writes.append(f"{handler.command} {handler.path}")
        if handler.command == "DELETE":
            self.deleted.add(url.path)
            return Response(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})
        body = json.loads(handler.body or b"null")
        item = self._finish(body if isinstance(body, dict) and "kind" in body else self._look_up(url)[1])
        self.created[item["kind"], str(item["metadata"]["name"])] = item
        return Response(200, item)

    def _look_up(self, url):
        """(status, object) at a path."""
        *_rest, group, name = ["", "", *map(urllib.parse.unquote, url.path.strip("/").split("/"))]
        if name in KIND_OF:
            items = [item for (kind, own), item in self.created.items() if kind == KIND_OF[name] and f"{url.path}/{own}" not in self.deleted]
            return 200, {"kind": f"{KIND_OF[name]}List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}
        if name == "scale":
            return 200, {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "web"}, "spec": {"replicas": 1}}
        if group not in KIND_OF:
            return 200, {"kind": "APIResourceList", "resources": [], "versions": [], "preferredVersion": {}}
        if (KIND_OF[group], name) in self.created and url.path not in self.deleted:
            return 200, self.created[KIND_OF[group], name]
        if url.path in self.deleted or name == "new" or KIND_OF[group] in ("Service", "Job", "ConfigMap"):
            return 404, {"kind": "Status", "code": 404, "reason": "NotFound", "message": f'{group} "{name}" not found'}
        return 200, self._finish({"kind": KIND_OF[group], "metadata": {"name": name}})

    @staticmethod
    def _finish(item):
        metadata = {"name": "x", "namespace": "default", "uid": "u", "resourceVersion": "1", "creationTimestamp": STAMP, "generation": 1}
        given_metadata, given_spec = (item[name] if isinstance(item.get(name), dict) else {} for name in ("metadata", "spec"))
        spec = {"containers": [{"name": "task", "image": "i"}], "replicas": 1, "selector": {"matchLabels": {"a": "b"}}} | given_spec
        ended = {"name": "task", "state": {"terminated": {"exitCode": 0, "startedAt": STAMP, "finishedAt": STAMP}}, "ready": True}
        conditions = [{"type": name, "status": "True"} for name in ("Ready", "Complete", "PodScheduled", "Available", "AbleToScale", "ScalingActive")]
        replicas = {f"{name}Replicas": spec["replicas"] for name in ("updated", "ready", "available")} | {"replicas": spec["replicas"]}
        status = {"phase": "Succeeded", "containerStatuses": [ended], "conditions": conditions, "observedGeneration": 1, **replicas}
        return item | {"metadata": metadata | given_metadata, "spec": spec, "status": status}


def operation_of(name):
    return importlib.import_module(f"{PACKAGE}.{name}").OPERATION


def validated(operation, given_options):
    """The ValidationResult of options, or None if one is refused before it."""
    # Relative paths without slashes: nothing is written elsewhere.
    paths = {name for name, spec in operation.arguments.items() if spec["type"] == "path"}
    safe = {name: value.strip("/.").replace("/", "_") if name in paths and isinstance(value, str) else value for name, value in given_options.items()}
    try:
        checked = ArgumentSpecValidator(operation.arguments, **operation.rules).validate(normalize_options(operation.arguments, safe))
    except PodwrightError as error:
        assert names_option(error.message, operation.arguments), error.message
        return None
    return None if checked.error_messages else checked


def names_option(message, arguments):
    path = re.match(r"(\w+)(?:[.\[].*|): ", message, re.DOTALL)
    return bool(path) and path[1] in arguments


@pytest.mark.parametrize("name", LIKELY)
def test_options_of_any_value_are_refused_before_a_write_or_end_with_plain_data(name, tried):
    operation, api = operation_of(name), Api()

    @seed(SEED)
    @generated
    @given(options(operation.arguments, skipped={*CONNECTION, "wait_timeout"} - {"namespace"}, likely=LIKELY[name]), st.booleans())
    def run(given_options, check_mode):
        checked = validated(operation, {"namespace": "default", **given_options} | ({"wait_timeout": 1} if "wait_timeout" in operation.arguments else {}))
        if checked is None:
            return
        api.writes.clear()
        api.created.clear()
        api.deleted.clear()
        started = time.monotonic()
        params = checked.validated_parameters | {"host": server.url}
        result = perform(operation, params, check_mode, True, Console(), masked=set(checked._no_log_values))
        assert time.monotonic() - started < 10
        assert result.get("reason") != "Unforeseen", result["msg"]
        assert not api.writes or not (check_mode or result.get("reason") in VALIDATION), (api.writes, result.get("msg"))
        if result.get("reason") == "BadOption":  # a secret value may be the name of an option
            assert result["msg"].startswith(f"{MASK}: ") or names_option(result["msg"], operation.arguments), result["msg"]
        json.dumps({field: value for field, value in result.items() if field != "invocation"}, allow_nan=False).encode()

    with StubServer(api) as server:
        run()
    tried("options of any type and value, for every module", EXAMPLES, "wrong", "hung")


@seed(SEED)
@settings(generated, max_examples=10 * EXAMPLES)
@given(options(task_pod.ARGUMENTS, skipped={*CONNECTION, "name", "generate_name", "set", "prune"}, likely=BOX))
def test_options_of_a_task_are_refused_or_become_a_manifest(given_options):
    checked = validated(task_pod.OPERATION, {"name": "t", "namespace": "n"} | given_options)
    if checked is None:
        return
    params = checked.validated_parameters
    task_pod.OPERATION.redact(params)
    try:
        for spec in task_pod._read_specs(Invocation(params, False, True, Console())):
            json.dumps([spec.hash, spec.resources_hash])
    except PodwrightError as error:
        assert error.reason == "BadOption" and names_option(error.message, task_pod.ARGUMENTS), error.message


def as_module(operation, arguments, monkeypatch):
    """What the module of an operation prints for its arguments."""
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit):
        run_module(operation)
    return json.loads(printed.getvalue())


@pytest.mark.parametrize("is_failing", [False, True])
def test_a_module_masks_values_as_an_action_does(is_failing, monkeypatch):
    """AnsibleModule would replace them in names of objects, within words and in numbers as well, so that `rc` were lost."""

    def run(task, outcome):
        if is_failing:
            raise PodwrightError("namespace 'app1x' has 4 apps", reason="NotFound")

    described = {"version": "1.4.2", "rc": 4, "words": "apps app1", "long": "c4n4ry-c4n4ry", "json": "4", "tasks": [{"name": "c4n4ry-c4n4ry"}]}
    arguments = {"secret_env": {"type": "dict", "no_log": True}, "host": {"type": "str"}}
    operation = Operation("nothing", arguments, list, run, lambda task, outcome: {"changed": False} | described)
    given = {"secret_env": {"A": "4", "B": "app1", "C": "c4n4ry-c4n4ry"}}
    result = as_module(operation, given | {"host": "https://u:4@192.0.2.1"}, monkeypatch)
    shown = {name: result[name] for name in described}
    assert shown == described | {"words": "apps ********", "long": "********", "json": "********"}
    assert result.get("msg") == ("namespace 'app1x' has 4 apps" if is_failing else None)


def test_a_module_that_refuses_its_options_masks_credentials(monkeypatch):
    given = {"secret_env": "c4n4ry-1", "host": "https://u:c4n4ry-2@192.0.2.1", "password": "c4n4ry-3", "wait_timeout": "c4n4ry-1 c4n4ry-2 c4n4ry-3"}
    result = as_module(task_pod.OPERATION, given, monkeypatch)
    assert result["failed"] and "c4n4ry" not in json.dumps(result)


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        (pod_gc, {"completed": True}, "completed: must be a mapping, got a boolean."),
        (pod_gc, {"rate": float("nan")}, "rate: must be a finite number, got nan."),
        (pod_gc, {"limit": 10**30}, "limit: must be between"),
        (pod_gc, {"unknown": None}, "unknown: unknown option"),
        (pod_request, {"pod": None, "port": "1"}, "one of the following is required: pod, service"),
        (pod_request, {"pod": "x", "port": None}, "port: must be set."),
        (pod_info, {"proxy": ["a"], "host": {"a": 1}, "wait": "q"}, "proxy: must be a string, got a list."),
        (task_pod, {"tasks": ["a=b", 5]}, "tasks[1]: must be a mapping, got a number."),
    ],
)
def test_options_that_validation_cannot_read_are_refused_in_both_modes(module, arguments, message, monkeypatch):
    assert as_module(module.OPERATION, arguments, monkeypatch)["msg"].startswith(message)
    assert "unknown" in arguments or validated(module.OPERATION, arguments) is None


def test_text_that_is_not_unicode_is_refused():
    """By actions; ansible-core sends modules no such text."""
    assert validated(pod_gc.OPERATION, {"label_selectors": ["a\ud800"]}) is None


def test_one_value_of_a_list_is_checked_like_an_item():
    with pytest.raises(PodwrightError, match=r"^requests\[0\].status_code: must be a finite number, got inf"):
        normalize_options(operation_of("pod_request").arguments, {"requests": [{"status_code": math.inf}]})


@pytest.mark.parametrize(("name", "option"), [("pod_gc", "plan_file"), ("pod_exec", "stdin_file"), ("pod_logs", "dest"), ("resource_set", "src")])
def test_path_with_a_null_character_is_refused(name, option):
    value = ["a\0b"] if operation_of(name).arguments[option]["type"] == "list" else "a\0b"
    with pytest.raises(PodwrightError, match=rf"^{option}(\[0\])?: must be a path, got text with a null character"):
        normalize_options(operation_of(name).arguments, {option: value})


def test_options_that_are_null_are_not_set():
    given_options = {"name": "a", "tasks": None, "state": None, "env": {"A": None}, "volumes": [{"name": "v", "read_only": None, "empty_dir": None}]}
    normalized = normalize_options(task_pod.ARGUMENTS, given_options)
    assert normalized == {"name": "a", "env": {"A": None}, "volumes": [{"name": "v"}]}
    assert validated(task_pod.OPERATION, given_options).validated_parameters["state"] == "running"


@pytest.mark.parametrize(
    ("name", "given_options", "message"),
    [
        ("pod_exec", {"label_selectors": [], "command": "a"}, "pod: must be set unless"),
        ("pod_exec", {"label_selectors": ["app=a", " "], "command": "a"}, "label_selectors[1]: must not be empty"),
        ("pod_logs", {"label_selectors": []}, "name: must be set unless"),
        ("pod_logs", {"label_selectors": [""]}, "label_selectors[0]: must not be empty"),
        ("pod_request", {"pod": "", "port": "1"}, "pod: must be set unless"),
        ("pod_gc", {"label_selectors": [""]}, "label_selectors[0]: must not be empty"),
        ("pod_info", {"label_selectors": [""]}, "label_selectors[0]: must not be empty"),
        ("pod_autoscale", {"label_selectors": [""], "replicas": 1}, "label_selectors[0]: must not be empty"),
        ("pod_logs", {"name": "a", "tail_lines": "1" * 400}, "tail_lines: must be between -9223372036854775807 and"),
        ("pod_exec", {"pod": "a", "command": "a", "timeout": 0}, "timeout: must be greater than 0, got 0."),
        ("pod_info", {"wait_sleep": 0}, "wait_sleep: must be 1 or greater, got 0."),
        ("pod_gc", {"completed": {"max_age": -1}}, "completed.max_age: must be 0 or greater, got -1."),
        ("task_pod", {"tasks": [{"name": "a"}, {"name": "b", "retries": -1}], "image": "i"}, "tasks[1].retries: must be 0 or greater, got -1."),
    ],
)
def test_empty_selectors_and_numbers_out_of_range_are_refused_without_a_request(name, given_options, message):
    with StubServer(Api()) as server:
        checked = validated(operation_of(name), {"host": server.url, "namespace": "n"} | given_options)
        result = perform(operation_of(name), checked.validated_parameters, False, False, Console())
    assert result["msg"].startswith(message) and server.heads == []
