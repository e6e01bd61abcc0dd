# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs of tasks as parts of a trace in the real Jaeger, to which the tasks add spans of their own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from ..cluster import build
from ..cluster.configuration import Layout
from ..support.environment import CLUSTER, CLUSTER_NUMBER
from ..support.operations import IMAGE
from ..support.waiting import wait_for

pytestmark = pytest.mark.long

TIMEOUT = 300
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# What a program that uses OpenTelemetry does: it records a span in the context of TRACEPARENT.
RECORD = """
IFS=- read -r _ trace parent _ <<X
$TRACEPARENT
X
now=$(date +%%s)000000000
span="{\\"traceId\\": \\"$trace\\", \\"spanId\\": \\"00000000000000ab\\", \\"parentSpanId\\": \\"$parent\\", \\"name\\": \\"own\\", \\"kind\\": 1"
span="$span, \\"startTimeUnixNano\\": \\"$now\\", \\"endTimeUnixNano\\": \\"$now\\"}"
wget -qO- --header Content-Type:application/json --post-data "{\\"resourceSpans\\": [{\\"scopeSpans\\": [{\\"spans\\": [$span]}]}]}" %s/v1/traces
"""


def free_ports(address, count):
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(HTTPServer((address, 0), BaseHTTPRequestHandler)).server_port for _number in range(count)]


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory):
    """(URL for OTLP, URL of its API) of a Jaeger that keeps traces in memory; pods can connect to it."""
    [group] = [group for group in build.COMPONENTS if group.name == "jaeger"]
    build.ensure((group,))
    directory, address = tmp_path_factory.mktemp("jaeger"), Layout(CLUSTER, CLUSTER_NUMBER).host_address
    otlp, api, grpc = (f"{address}:{port}" for port in free_ports(address, 3))
    query = {"storage": {"traces": "memory"}, "http": {"endpoint": api}, "grpc": {"endpoint": grpc}}
    config = {
        "extensions": {"jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 1000}}}}, "jaeger_query": query},
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": otlp}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            "telemetry": {"metrics": {"level": "none"}},
        },
    }
    (directory / "config.yml").write_text(yaml.safe_dump(config))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([Path(build.directory(group)) / "jaeger", f"--config={directory}/config.yml"], stdout=log, stderr=log)
    try:
        wait_for(lambda: spans_of(f"http://{api}", TRACE) is not None or process.poll() is not None, TIMEOUT)
        assert process.poll() is None, (directory / "log").read_text()[-2000:]
        yield f"http://{otlp}", f"http://{api}"
    finally:
        process.kill()
        process.wait()


def spans_of(api, trace):
    """The spans of a trace: {id: span}; None if Jaeger does not respond."""
    try:
        with urllib.request.urlopen(f"{api}/api/traces/{trace}", timeout=10) as response:
            return {span["spanID"]: span for entry in json.loads(response.read())["data"] for span in entry["spans"]}
    except urllib.error.HTTPError as error:
        return {} if error.code == 404 else None
    except OSError:
        return None


def path_of(span, known):
    """The names of a span and of those around it, the outermost first."""
    parents = [reference["spanID"] for reference in span["references"] if reference["refType"] == "CHILD_OF"]
    return [*(path_of(known[parents[0]], known) if parents and parents[0] in known else []), span["operationName"]]


@pytest.mark.parametrize("mode", ["action", "module"])
def test_a_run_and_its_tasks_are_parts_of_a_trace(play, namespace, jaeger, mode):
    otlp, api = jaeger
    trace = ("a" if mode == "action" else "b") + TRACE[1:]
    tasks = [
        {"name": "build", "command": ["sh", "-c", RECORD % otlp]},
        {"name": "test", "command": ["sh", "-c", "exit 3"], "needs": ["build"], "retries": 1, "retry_delay": 0},
        {"name": "job", "command": ["true"], "kind": "Job"},
    ]
    task = IMAGE | {"state": "completed", "set": "pipeline", "tasks": tasks, "trace": {"endpoint": otlp}}
    run = {"name": "run", "podwright.core.task_pod": task, "ignore_errors": True}
    environment = {"TRACEPARENT": f"00-{trace}-{PARENT}-01"}
    result = play([run], namespace=namespace, mode=mode, environment=environment).of("run")
    assert result["failed"] and result["trace_id"] == trace and not result.get("warnings"), result
    known = wait_for(lambda: spans_of(api, trace), TIMEOUT)
    paths = {"/".join(path_of(span, known)): span for span in known.values()}
    expected = {"task_pod", "task_pod/build/own", "task_pod/build/attempt 1/running", "task_pod/test/attempt 1/running", "task_pod/test/attempt 2/running"}
    assert expected <= paths.keys() and any(path.startswith("task_pod/job/") and path.endswith("/running") for path in paths), sorted(paths)
    assert paths["task_pod"]["references"][0]["spanID"] == PARENT
    tags = {tag["key"]: tag["value"] for tag in paths["task_pod/test/attempt 2"]["tags"]}
    assert tags["process.exit.code"] == 3 and tags["k8s.pod.name"] == "test" and tags["error"] is True
    again = {"name": "again", "podwright.core.task_pod": task | {"tasks": [tasks[0]], "trace": {"endpoint": otlp, "parent": f"00-{TRACE}-{PARENT}-01"}}}
    assert not play([again], namespace=namespace, mode=mode).of("again")["changed"]
    names = [span["operationName"] for span in wait_for(lambda: spans_of(api, TRACE), TIMEOUT).values()]
    assert set(names) == {"task_pod"}, "a task that does not run again has no span"
