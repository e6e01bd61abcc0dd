# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every operation and plugin against every fault of a hostile server: the right result or a clear error, and nothing done twice, shown or left.

`PODWRIGHT_SEED` chooses the cells and the random values of answers; a scale of 52 tests every cell.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import tempfile
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.playbook.play_context import PlayContext

from ansible_collections.podwright.core.plugins.connection.pod import Connection
from ansible_collections.podwright.core.plugins.lookup import bound_token, objects
from ansible_collections.podwright.core.plugins.module_utils._engine import operation
from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import client, session, transport, websocket
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
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
    pod_report,
    pod_request,
    resource_set,
    task_pod,
)
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import task_secret

from ..support.environment import scaled
from ..support.faults import FAULTS, Fault, Injected, changed
from ..support.hostile_server import HostileServer, behave
from ..support.inventory import read_inventory
from ..support.reliability import CHECKS
from ..support.stub_cluster import RUNNING, SUCCEEDED, StubCluster, live

pytestmark = pytest.mark.search

MARK = "c4n4ry"
LINES, QUOTED = f"{MARK}-one\n  {MARK}-two\n", f"{MARK}'\"\\{{{{ x }}}}"
HIDDEN = [MARK, *(base64.b64encode(text.encode()).decode() for text in (LINES, QUOTED))]
SECONDS = 10  # in which a cell must finish
SETTLE_SECONDS = 5  # in which threads that were stopped must be gone
# If the server is not slow, a busy machine may be.
PATIENT = {(session, "RESPONSE_SECONDS"): 60, (websocket, "CONNECT_TIMEOUT"): 60, (websocket, "UPGRADE_SECONDS"): 60}
SAMPLE, SEED = scaled(400), int(os.environ.get("PODWRIGHT_SEED", "0"))
BOX = {"image": "busybox", "command": ["true"], "env": {"LINES": LINES, "QUOTED": QUOTED}}
WAIT = {"wait_timeout": 1}

TASK = {"name": "task", "image": "busybox"}
MANAGED = {"labels": {"app.kubernetes.io/managed-by": "podwright", "podwright.io/task": "old", "app": "old"}}
OBJECTS = [
    live("v1", "Namespace", "default", status={"phase": "Active"}),
    live("v1", "Pod", "box", metadata={"labels": {"app": "box"}}, spec={"containers": [TASK]}, status=RUNNING),
    live("v1", "Pod", "other", metadata={"labels": {"app": "box"}}, spec={"containers": [TASK]}, status=RUNNING),
    live("v1", "Pod", "old", metadata=MANAGED, spec={"containers": [TASK], "restartPolicy": "Never"}, status=SUCCEEDED),
    live("v1", "Service", "web", spec={"selector": {"app": "box"}, "ports": [{"port": 80, "targetPort": 80}]}),
    live("v1", "Secret", "live", type="Opaque", data={"lines": base64.b64encode(LINES.encode()).decode()}),
    live("v1", "ConfigMap", "c", data={"a": "b"}),
    live("v1", "ServiceAccount", "builder"),
    live(
        "apps/v1",
        "Deployment",
        "web",
        spec={"replicas": 1, "selector": {"matchLabels": {"app": "box"}}},
        status={"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    ),
]
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"lines": LINES, "quoted": QUOTED}}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "changed"}}
WIDGET = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}}
POST = {"port": "80", "method": "POST", "headers": {"Authorization": QUOTED}, "body": LINES, "return_content": True, "timeout": 1}
PROMETHEUS = {"server": "prometheus:9090", "query": "x", "target": 1.0}
ROLLOUT = {"name": "d", "service": "d", "ports": [80], **BOX, **WAIT}

# name -> (operation, options); {tmp} is a directory of the cell, whose file `ran` gets a line for each command that runs.
RUNS = ["sh", "-c", "cat; echo ran >> {tmp}/ran"]
CALLS = {
    "task_pod": (task_pod, {"name": "t", "state": "completed", "stdin": LINES, "network": "isolated", **BOX, **WAIT}),
    "task_pod batch": (task_pod, {"tasks": [{"name": "one", **BOX}, {"name": "two", "kind": "Job", "timeout": 9, **BOX}], "state": "completed", **WAIT}),
    "task_pod running": (task_pod, {"name": "t", **BOX, **WAIT}),
    "task_pod absent": (task_pod, {"name": "old", "state": "absent", "wait": True, **WAIT}),
    "pod_exec": (pod_exec, {"pod": "box", "command": RUNS, "stdin": LINES, "env": {"P": QUOTED}, "timeout": 1}),
    "pod_exec many": (pod_exec, {"label_selectors": ["app=box"], "command": RUNS, "stdin": "x", "timeout": 1}),
    "pod_copy": (pod_copy, {"pod": "box", "content": LINES, "remote_path": "{tmp}/copied", "timeout": 1}),
    "pod_copy back": (pod_copy, {"pod": "box", "state": "from_pod", "local_path": "{tmp}/back", "remote_path": "{tmp}/source", "timeout": 1}),
    "pod_logs": (pod_logs, {"name": "old", "dest": "{tmp}/log"}),
    "pod_logs follow": (pod_logs, {"label_selectors": ["app=old"], "follow": True, "timeout": 1}),
    "pod_info": (pod_info, {"kind": "Secret", "name": "live"}),
    "pod_info all": (pod_info, {"events": True, "metrics": False}),
    "pod_info wait": (pod_info, {"name": "old", "wait_for": "completed", **WAIT}),
    "pod_info custom": (pod_info, {"api_version": "example.com/v1", "kind": "Widget", "name": "none", "wait_for": "deleted", **WAIT}),
    "pod_request": (pod_request, {"pod": "box", **POST}),
    "pod_request service": (pod_request, {"service": "web", **POST}),
    "pod_autoscale": (pod_autoscale, {"name": "web", "target_cpu": 50, **WAIT}),
    "pod_autoscale direct": (pod_autoscale, {"name": "web", "engine": "direct", "prometheus": PROMETHEUS, "max_replicas": 5, **WAIT}),
    "pod_autoscale replicas": (pod_autoscale, {"name": "web", "replicas": 3, **WAIT}),
    "pod_deployment": (pod_deployment, {"strategy": "blue_green", **ROLLOUT}),
    "pod_deployment rolling": (pod_deployment, {"strategy": "rolling", **ROLLOUT}),
    "pod_report": (pod_report, {"dest": "{tmp}/report.html"}),
    "pod_gc": (pod_gc, {"completed": {"max_age": 0, "keep_last": 0}, "reclaim": ["ConfigMap"], "orphaned": True, "wait": True, **WAIT}),
    "resource_set": (resource_set, {"name": "set", "definition": [SECRET, CONFIG], "prune": True, **WAIT}),
    "resource_set custom": (resource_set, {"definition": [WIDGET], "wait": False}),
    "resource_set absent": (resource_set, {"state": "absent", "definition": [SECRET | {"metadata": {"name": "live"}}, CONFIG], **WAIT}),
    "connection exec": (None, ("exec_command", "cat; echo ran >> {tmp}/ran", LINES.encode())),
    "connection put": (None, ("put_file", "{tmp}/source", "{tmp}/copied")),
    "connection fetch": (None, ("fetch_file", "{tmp}/source", "{tmp}/back")),
    "lookup": (None, ("bound_token", "builder")),
    "lookup objects": (None, ("objects", "live")),
    "inventory": (None, ("inventory",)),
}
# From which call of a group on a fault occurs, and how often.
TIMES = {"once": (1, 1), "the second": (2, 1), "always": (1, 10**9)}
PLUGINS = [name for name, (module, _options) in CALLS.items() if module is None]
MODES = [(call, check_mode) for call in CALLS for check_mode in (False, True) if not (check_mode and call in PLUGINS)]


def all_cells(directory):
    """Every combination of a call, a fault, a group of requests that it hits, how often, and the mode, in which the fault occurs."""
    cells = []
    for call, check_mode in MODES:
        groups = Counter(expected(call, check_mode, directory)[2])
        for name, fault in FAULTS.items():
            hit = [group for group in fault.groups if groups[group]]
            cells += [(call, name, (group,), times, check_mode) for group in hit for times, (first, _count) in TIMES.items() if groups[group] >= first]
            cells += [(call, name, fault.groups, "always", check_mode)] if len(hit) > 1 else []
    return cells


def chosen_cells(directory):
    """The cells to test, chosen by the seed."""
    cells = all_cells(directory)
    return random.Random(SEED).sample(cells, min(SAMPLE, len(cells)))


@pytest.fixture(scope="module", autouse=True)
def _fast(tmp_path_factory):
    """Waits of seconds become waits of milliseconds; temporary files are in a directory of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
        patch.setenv("TMPDIR", tempfile.tempdir)
        patch.setattr(task_secret, "os", SimpleNamespace(urandom=bytes))  # the Secrets of all runs have the same names
        patch.setattr(Clock, "sleep", staticmethod(lambda seconds: time.sleep(min(seconds, 0.005))))
        patch.setattr(session, "RESPONSE_SECONDS", 0.15)
        patch.setattr(transport, "MAX_BODY", 1 << 20)
        patch.setattr(client, "MAX_PAGES", 20)
        patch.setattr(operation, "Client", lambda *arguments, **options: Client(*arguments, **options | {"poll_seconds": 0.02}))
        patch.setattr(websocket, "CONNECT_TIMEOUT", 0.3)
        patch.setattr(websocket, "UPGRADE_SECONDS", 0.3)
        for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "http_proxy"):
            patch.delenv(name, raising=False)
        yield


def filled(value, directory):
    """Options with the directory of the cell."""
    return json.loads(json.dumps(value).replace("{tmp}", str(directory)))


def use(call, url, check_mode, directory, is_slow=True):
    """The result of an operation as both edges run it, or of a plugin as a result; with time limits of a minute unless the server is slow."""
    if is_slow:
        return run_call(*CALLS[call], url, check_mode, directory)
    module, options = CALLS[call]
    if module:
        options = options | {name: 60 for name in ("timeout", "wait_timeout") if name in options}
    with pytest.MonkeyPatch.context() as patch:
        for (target, name), seconds in PATIENT.items():
            patch.setattr(target, name, seconds)
        return run_call(module, options, url, check_mode, directory)


def run_call(module, options, url, check_mode, directory):
    connection = {"host": url, "api_key": f"{MARK}-key"}
    if module is None:
        return use_plugin(options, connection, directory)
    run = module.OPERATION
    checked = ArgumentSpecValidator(run.arguments, **run.rules).validate({"namespace": "default", **connection, **filled(options, directory)})
    assert not checked.error_messages, checked.error_messages
    return perform(run, checked.validated_parameters, check_mode, True, Console(), masked=set(checked._no_log_values))


def with_options(plugin, options):
    """A plugin with options, which Ansible reads from its documentation otherwise."""
    plugin.set_options, plugin.get_option, plugin.has_option = lambda **_given: None, options.get, options.__contains__
    return plugin


LOOKUPS = {"bound_token": (bound_token, {"seconds": 3600, "audiences": []}), "objects": (objects, {"kind": "Secret", "api_version": "v1"})}


def use_plugin(options, connection, directory):
    """The result of the connection plugin or the lookup; raises anything but Ansible's errors."""
    method, *arguments = [value.replace("{tmp}", str(directory)) if isinstance(value, str) else value for value in options]
    try:
        if method in LOOKUPS:
            module, given = LOOKUPS[method]
            lookup = with_options(module.LookupModule(), {"namespace": "default", **given, **connection})
            found = lookup.run(arguments)
            names = [item["metadata"]["name"] if isinstance(item, dict) else item for item in found]
            return {"failed": False, "changed": False, "content": names, "resources": found}  # each run has other digests
        if method == "inventory":
            found = read_inventory(directory.parent / "hosts.pods.yml", {"namespaces": ["default"], **connection}).hosts
            variables = {name: host.vars | {"ansible_podwright_host": "", "inventory_file": "", "inventory_dir": ""} for name, host in found.items()}
            return {"failed": False, "changed": False, "content": json.dumps(variables)}
        plugin = with_options(Connection(PlayContext(), os.devnull), {"pod": "box", "namespace": "default", **connection})
        try:
            found = getattr(plugin, method)(*arguments)
        finally:
            plugin.close()
        return {"failed": False, "changed": True, "content": str(found)}
    except AnsibleError as error:
        return {"failed": True, "changed": False, "msg": str(error), "reason": type(error).__name__}


# Fields of a result that hold what the user asked to see.
SHOWN = {"pod_exec": ("stdout", "stdout_lines", "results"), "connection": ("content",), "pod_copy": ("diff",)}
FIELDS = ("failed", "changed", "rc", "stdout", "status", "content", "log", "engine", "replicas", "active", "skipped")


# The time, the server's port and the digest of what holds them.
VOLATILE = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|127\.0\.0\.1:\d+|sha256:[0-9a-f]{64}")


def observe(call, check_mode, fault, directory, is_slow=True):
    """(result, what was done) of a call."""
    directory.mkdir()
    (directory / "source").write_text(LINES)
    cluster = StubCluster(OBJECTS)
    with HostileServer(cluster, fault) as server:
        result = use(call, server.url, check_mode, directory, is_slow)
    ran = (directory / "ran").read_text().count("ran") if (directory / "ran").exists() else 0
    files = {path.name: VOLATILE.sub(b"", path.read_bytes()) for path in directory.iterdir() if path.name not in ("ran", "source")}
    done = {"effects": sorted(cluster.effects), "ran": ran, "requests": sorted(server.requests), "files": files, "objects": sorted(map(str, cluster.objects))}
    return result, done, [request.group for request in server.calls]


def summary(result):
    """What must be equal in two results."""
    tasks = [(task["name"], task["state"]) for task in result.get("tasks", ())]
    plan = sorted((entry["action"], entry["kind"], entry["name"]) for entry in result.get("plan", ()))
    return {name: result[name] for name in FIELDS if name in result} | {"tasks": tasks, "plan": plan}


EXPECTED = {}


def expected(call, check_mode, directory):
    """What a call results in without faults."""
    key = call, check_mode
    if key not in EXPECTED:
        directory = directory / f"expected-{len(EXPECTED)}"
        result, done, groups = observe(call, check_mode, behave, directory, is_slow=False)
        assert not result["failed"], result["msg"]
        EXPECTED[key] = json.loads(json.dumps(summary(result)).replace(str(directory), "{tmp}")), done, groups
    return EXPECTED[key]


def resources():
    """What a cell must not leave behind: threads, as many numbers as there are open descriptors, and names of files."""
    files = [name for name in os.listdir(tempfile.gettempdir()) if name.startswith(("podwright", ".podwright"))]
    return {"threads": set(threading.enumerate()), "descriptors": set(range(len(os.listdir("/proc/self/fd")))), "files": set(files)}


def left_since(before):
    """What is there more than before, once what stops by itself has stopped."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        left = {kind: found - before[kind] for kind, found in resources().items() if found - before[kind]}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


def check_cell(cell, directory):
    """Run a cell of the matrix. Raises: AssertionError."""
    call, name, groups, times, check_mode = cell
    fault = FAULTS[name]
    right, right_done, right_groups = expected(call, check_mode, directory)
    injected = Injected(fault, groups, *TIMES[times])
    must_succeed = fault.outcome == "same" or (fault.outcome == "once" and times != "always")
    before, started = resources(), time.monotonic()
    result, done, calls = observe(call, check_mode, injected, directory / "cell", fault.is_slow or not must_succeed)
    seconds, text = time.monotonic() - started, json.dumps(result)
    assert seconds < SECONDS, f"it took {seconds:.1f} s"
    assert not left_since(before)
    shown = json.dumps({name: value for name, value in result.items() if name not in SHOWN.get(call.split()[0], ())})
    assert not [value for value in HIDDEN if value in shown], shown
    assert "\x1b" not in json.dumps(result.get("msg", "")) + json.dumps(result.get("warnings", [])) and "\\u001b" not in text
    assert "ansible_facts" not in result and "Internal error" not in text and "Unforeseen" not in text, text
    # Nothing is done twice, and nothing else than without a fault.
    assert done["ran"] <= right_done["ran"] and done["requests"] == right_done["requests"][: len(done["requests"])]
    extra = list(done["effects"])
    for effect in right_done["effects"]:
        if effect in extra:
            extra.remove(effect)
    assert not [effect for effect in extra if effect[0] == "create"] or result["failed"], extra
    # No more requests than with each sent again.
    assert len(calls) <= 8 * len(right_groups) + 60, f"{len(calls)} requests instead of {len(right_groups)}"
    found = json.loads(json.dumps(summary(result)).replace(str(directory / "cell"), "{tmp}"))
    if done["effects"] and not ("write" in groups and result["failed"]):
        assert result["changed"], "a change that is not reported"
    if result["changed"] and not check_mode and call.split()[0] not in ("pod_exec", "pod_request", "connection", "lookup", "inventory"):
        assert done["effects"] or done["files"], "a report of a change that was not made"
    if result["failed"]:
        assert result["msg"] and result.get("reason"), result
        assert not must_succeed, result["msg"]
        if check_mode:
            assert not done["effects"]
    elif must_succeed or not injected.occurred:
        assert found == right
        assert (done["effects"], done["ran"], done["requests"], done["objects"]) == (
            right_done["effects"],
            right_done["ran"],
            right_done["requests"],
            right_done["objects"],
        )
        assert done["files"] == right_done["files"]
    elif fault.outcome != "other":
        assert found == right


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("check_mode", [False, True])
def test_calls_succeed_without_a_fault(call, check_mode, tmp_path):
    if not (check_mode and call in PLUGINS):
        before = resources()
        EXPECTED.pop((call, check_mode), None)
        expected(call, check_mode, tmp_path)
        assert not left_since(before)


# Cells that failed once.
REGRESSIONS = [
    ("pod_exec many", "the same page again", ("list",), "once", False),
    ("pod_gc", "enormous body", ("list",), "once", False),
    ("task_pod absent", "101", ("write",), "once", False),
    ("task_pod absent", "closed after", ("write",), "always", False),
    ("task_pod absent", "other kind", ("get", "list", "discovery", "write"), "always", False),
    ("pod_copy back", "308", ("upgrade",), "the second", False),
    ("pod_logs follow", "500", ("get",), "always", False),
    ("pod_logs follow", "silence", ("get",), "always", False),
    ("pod_logs follow", "log cut off", ("log",), "always", False),
    ("pod_request service", "spec null", ("get",), "once", True),
    ("pod_logs", "head without its end", ("log",), "always", False),
    ("pod_info", "head without its end", ("get",), "once", False),
    ("task_pod batch", "half a body", ("write",), "once", False),
    ("pod_exec", "upgrade drip", ("upgrade",), "always", False),
    ("resource_set absent", "half a head", ("write",), "once", True),
    ("pod_deployment", "half a head", ("get",), "the second", True),
    ("task_pod", "watch of null objects", ("watch",), "once", False),
    ("task_pod", "watch closed", ("watch",), "always", False),
    ("pod_info all", "continue tokens expire", ("list",), "always", False),
    ("pod_info all", "the same page again", ("list",), "always", False),
    ("pod_gc", "odd labels", ("list",), "always", False),
    ("lookup", "status text", ("write",), "always", False),
    ("pod_info", "429 odd", ("get",), "once", False),
    ("pod_info", "endless drip", ("get",), "once", False),
    ("pod_autoscale", "spec null", ("get",), "once", True),
    ("pod_deployment", "HTTP/0.9", ("write",), "always", True),
    ("pod_info", "enormous body", ("get",), "always", False),
]


@pytest.mark.parametrize("cell", REGRESSIONS, ids=lambda cell: f"{cell[0]}, {cell[1]}")
def test_cell_that_failed_once_holds(cell, tmp_path):
    check_cell(cell, tmp_path)


PARTS = 20


@pytest.mark.parametrize("part", range(PARTS))
def test_result_is_right_or_a_clear_error(part, tmp_path, tried):
    """A part of the cells: a test for each of them would take longer than the cell."""
    failures = []
    cells = chosen_cells(tmp_path)[part::PARTS]
    for number, cell in enumerate(cells):
        directory = tmp_path / str(number)
        directory.mkdir()
        try:
            check_cell(cell, directory)
        except Exception as error:
            failures.append(f"{cell}: {type(error).__name__}: {error}")
    assert not failures, f"{len(failures)} cells:\n" + "\n".join(failures)
    tried("every module, the connection, the lookups and the inventory against an API server, exec and forwarding that fail in every way", len(cells), *CHECKS)


# -- answers with any value ---------------------------------------------------------------------------------------

MUTATIONS = scaled(120)
ODD = [None, 5, -1, True, 1.5, "", "odd", "\xb2", [], [None], [5], ["a"], {}, {"a": None}, {"a": {"b": [1]}}]


def paths_in(value, path=()):
    """The path of each node below a value."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from paths_in(item, (*path, key))


def mutate(chance, changes):
    """A change of an answer: any of its values is replaced by any other."""

    def change(body):
        paths = list(paths_in(body))
        if paths:
            *parents, last = chance.choice(paths)
            parent = body
            for key in parents:
                parent = parent[key]
            parent[last] = chance.choice(ODD)
            changes.append((parents, last, parent[last]))
        return body

    return change


def test_any_value_of_an_answer_may_be_any_other(tmp_path, tried):
    chance, failures = random.Random(SEED), []
    for number in range(MUTATIONS):
        (call, check_mode), changes = chance.choice(MODES), []
        groups = chance.choice([("get",), ("list",), ("write",), ("watch",), ("get", "list", "write")])
        injected = Injected(Fault(changed(mutate(chance, changes)), groups), groups, chance.choice([1, 1, 2, 3]), chance.choice([1, 10**9]))
        try:
            result = observe(call, check_mode, injected, tmp_path / str(number))[0]
            assert "Internal error" not in json.dumps(result), result["msg"]
        except Exception as error:
            failures.append(f"{call}, {check_mode}, {changes}: {type(error).__name__}: {error}")
    assert not failures, "\n".join(failures)
    tried("answers of the API server with a random value in any place", MUTATIONS, "hung")
