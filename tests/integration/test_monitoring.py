# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role monitoring: a real Prometheus finds task pods by it, scrapes them and kube-state-metrics, and evaluates its rules."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from functools import partial

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CONFIG_MAP
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_request, resource_set

from ..cluster import published
from ..support.environment import ROOT
from ..support.operations import IMAGE, call
from ..support.waiting import wait_for
from .test_examples import run_examples

pytestmark = pytest.mark.long

TIMEOUT = 300
METRICS = "mkdir /tmp/w; printf 'jobs_done{kind=\"test\"} 7\\n' > /tmp/w/counts.txt; exec httpd -f -p 9100 -h /tmp/w"
SERVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/metrics" else 404)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b'jobs_done{kind="test"} 7\\n')
HTTPServer(("", 9100), Handler).serve_forever()
"""
METRICS_PORT = {"ports": [{"name": "metrics", "container_port": 9100}]}
PROMETHEUS = {
    "name": "prometheus",
    "image": "prom/prometheus:v3.14.0",
    "image_pull_policy": "IfNotPresent",
    "args": ["--config.file=/etc/podwright/prometheus.yml", "--storage.tsdb.path=/data"],
    "service_account": "prometheus",
    "automount_service_account_token": True,
    "readiness_probe": {"http": "/-/ready:9090", "interval": 1},
    "termination_grace_period": 0,
}


@pytest.fixture(scope="module", autouse=True)
def images(load_component):
    """The image of Prometheus on the node."""
    load_component("prometheus")


@pytest.fixture
def home(client, make_namespace):
    """A namespace with a service account for Prometheus."""
    namespace = make_namespace()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "prometheus"}}
    client.create(BUILT_IN["v1", "ServiceAccount"], namespace, account, "test")
    return namespace


@pytest.fixture
def state_metrics(load_component, home):
    """The address of a kube-state-metrics. What it consists of is deleted afterwards."""
    known = {"definition": published.kube_state_metrics(load_component("kube-state-metrics"), home), "wait_timeout": TIMEOUT}
    result = call(resource_set, known, "default")
    assert not result["failed"], result["msg"]
    yield f"kube-state-metrics.{home}.svc:8080"
    call(resource_set, known | {"state": "absent"}, "default")


def role(**variables):
    """A task that runs the role."""
    return {"ansible.builtin.include_role": {"name": "podwright.core.monitoring"}, "vars": variables}


def prometheus(namespace, home):
    """A task that runs Prometheus in a namespace, with the configuration for another one."""
    config = {"name": "config", "mount_path": "/etc/podwright", "config_map": f"podwright-monitoring-{namespace}"}
    volumes = [config, {"name": "data", "mount_path": "/data", "empty_dir": {}}]
    return {"podwright.core.task_pod": PROMETHEUS | {"namespace": home, "volumes": volumes}}


def query(home, expression):
    """The samples of a query: {values of the labels: value}, with the labels in alphabetical order, without those of every target."""
    path = f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    answer = call(pod_request, {"pod": "prometheus", "port": "9090", "path": path, "return_content": True}, home)
    assert not answer["failed"], answer["msg"]
    hidden = ("__name__", "instance", "job", "namespace")
    return {
        tuple(value for name, value in sorted(item["metric"].items()) if name not in hidden): float(item["value"][1])
        for item in answer["json"]["data"]["result"]
    }


def settle(read, expected):
    """Wait until what is read is what is expected."""
    with contextlib.suppress(AssertionError):
        wait_for(lambda: read() == expected, TIMEOUT)
    assert read() == expected


def objects(client, namespace, home):
    """Which of the objects of the role exist."""
    kinds = (BUILT_IN["rbac.authorization.k8s.io/v1", "Role"], BUILT_IN["rbac.authorization.k8s.io/v1", "RoleBinding"])
    found = [client.get(kind, namespace, "podwright-monitoring") for kind in kinds]
    found += [client.get(CONFIG_MAP, home, f"podwright-{name}-{namespace}") for name in ("monitoring", "dashboard")]
    return [item["kind"] for item in found if item]


@pytest.mark.parametrize("mode", ["action", "module"])
def test_prometheus_scrapes_tasks_and_evaluates_the_rules(play, client, namespace, home, state_metrics, python_image, mode):
    run = partial(play, namespace=namespace, mode=mode)
    variables = {"monitoring_namespace": namespace, "monitoring_interval": "1s"}
    variables |= {"monitoring_prometheus_namespace": home, "monitoring_service_account": "prometheus"}
    wanted = role(**variables, monitoring_kube_state_metrics=state_metrics)
    assert run([wanted], "--check").is_changed and not objects(client, namespace, home)
    assert run([wanted]).is_changed
    assert objects(client, namespace, home) == ["Role", "RoleBinding", "ConfigMap", "ConfigMap"]
    assert not run([wanted]).is_changed and not run([wanted], "--check").is_changed
    dashboard = client.get(CONFIG_MAP, home, f"podwright-dashboard-{namespace}")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"][f"podwright-{namespace}.json"])["title"] == f"Tasks in {namespace}"

    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "10"}}}
    tasks = [
        METRICS_PORT | {"name": "served", "image": python_image, "command": ["python3", "-c", SERVER]},
        METRICS_PORT | {"name": "elsewhere", "command": ["sh", "-c", METRICS], "annotations": {"prometheus.io/path": "/counts.txt"}},
        METRICS_PORT | {"name": "broken", "command": ["sleep", "3600"]},
        {"name": "hidden", "command": ["sleep", "3600"]},
    ]
    finished = IMAGE | {"name": "finished", "set": "done", "command": ["sleep", "2"], "state": "completed"} | METRICS_PORT
    waiting = {"name": "waiting", "image": "registry.example.com/missing", "image_pull_policy": "Never", "state": "present"}
    batch = {"podwright.core.task_pod": IMAGE | {"set": "jobs", "tasks": tasks}}
    single = [{"podwright.core.task_pod": task} for task in (finished, waiting)]
    run([{"podwright.core.resource_set": {"definition": quota}}, prometheus(namespace, home), batch, *single])

    ask = partial(query, home)
    settle(lambda: ask('jobs_done{kind="test"}'), {("test", name, "jobs", name): 7 for name in ("elsewhere", "served")})
    up = {"served": 1, "elsewhere": 1, "broken": 0}
    settle(lambda: ask(f'up{{job="podwright-{namespace}"}}'), {(name, "jobs", name): value for name, value in up.items()})
    expected = {
        "namespace_set:podwright_targets_up:sum": {("jobs",): 2},
        "namespace_set:podwright_targets_down:sum": {("jobs",): 1},
        'namespace_phase:podwright_pods:sum{phase=~"Running|Succeeded|Pending"}': {("Running",): 4, ("Succeeded",): 1, ("Pending",): 1},
        "namespace_set_phase:podwright_tasks:sum > 0": {("Running", "jobs"): 4, ("Succeeded", "done"): 1, ("Pending",): 1},
        "namespace_reason:podwright_containers_waiting:sum > 0": {("ErrImageNeverPull",): 1},
        "namespace_resource:podwright_quota_used:ratio": {("pods",): 0.5},
    }
    settle(lambda: {expression: ask(expression) for expression in expected}, expected)
    wait_for(lambda: 2 <= ask("namespace:podwright_duration_seconds:avg").get((), 0) < TIMEOUT, TIMEOUT)
    assert 0 <= ask("namespace:podwright_schedule_seconds:avg")[()] < TIMEOUT
    rules = call(pod_request, {"pod": "prometheus", "port": "9090", "path": "/api/v1/rules", "return_content": True}, home)["json"]["data"]["groups"]
    assert [rule["health"] for group in rules for rule in group["rules"]] == ["ok"] * 8

    assert not query(home, f'kube_pod_info{{namespace!="{namespace}"}}'), "nothing of other namespaces"
    assert run([role(**variables, monitoring_dashboard=False)]).is_changed
    assert objects(client, namespace, home) == ["Role", "RoleBinding", "ConfigMap"]
    assert run([role(**variables, monitoring_state="absent")]).is_changed and not objects(client, namespace, home)
    assert not run([role(**variables, monitoring_state="absent")]).is_changed


def test_without_the_permission_prometheus_finds_nothing(play, client, namespace, home):
    play(
        [role(monitoring_namespace=namespace, monitoring_prometheus_namespace=home, monitoring_interval="1s"), prometheus(namespace, home)], namespace=namespace
    )
    log = partial(call, pod_request, {"pod": "prometheus", "port": "9090", "path": "/metrics", "return_content": True}, home)
    wait_for(lambda: "prometheus_sd_kubernetes_failures_total 0" not in log()["content"], TIMEOUT)
    assert objects(client, namespace, home) == ["ConfigMap", "ConfigMap"] and not query(home, "up")


def test_variables_are_checked_before_the_first_request(play, client, namespace):
    cases = {
        "monitoring_interval: must be a number with the unit ms, s, m or h, such as 30s, got '30'": {"monitoring_interval": 30},
        "monitoring_kube_state_metrics: must be a host and a port": {"monitoring_kube_state_metrics": "http://metrics:8080/"},
        "value of monitoring_state must be one of": {"monitoring_state": "running"},
    }
    for message, variables in cases.items():
        assert message in play([role(monitoring_namespace=namespace, **variables)], namespace=namespace, expect=2).output
    assert not objects(client, namespace, namespace)


def test_the_examples_of_the_guide_run(play, client, namespace, tmp_path):
    run_examples(ROOT / "docs/guides/monitoring.md", play, namespace, tmp_path)
    assert not objects(client, namespace, namespace), "the last example deletes them"
