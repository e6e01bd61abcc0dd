# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deployments: the size of a canary, the outcome of a measurement, and invalid options."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.deployments.analysis import judge
from ansible_collections.podwright.core.plugins.module_utils._engine.deployments.manifests import build_deployment, build_service, canary_replicas
from ansible_collections.podwright.core.plugins.module_utils._engine.deployments.options import DEPLOYMENT_OPTIONS, validate
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

from .task_specs import spec


@given(st.integers(1, 200), st.integers(1, 99))
def test_a_canary_has_its_share_as_precisely_as_whole_pods_allow(replicas, weight):
    count = canary_replicas(replicas, weight)
    exact = replicas * weight / (100 - weight)
    assert count >= 1 and (count == 1 or abs(count - exact) <= 0.5)


@pytest.mark.parametrize(
    ("value", "success", "failure", "outcome"),
    [
        (0.01, "< 0.05", None, "success"),
        (0.05, "< 0.05", None, "failure"),
        (0.05, "<= 0.05", "> 0.1", "success"),
        (0.07, "< 0.05", "> 0.1", "inconclusive"),
        (0.2, "< 0.05", "> 0.1", "failure"),
        (1, ">= 1", ">= 1", "failure"),  # failure takes precedence
        (None, "< 0.05", None, "inconclusive"),
    ],
)
def test_outcome_of_a_measurement(value, success, failure, outcome):
    assert judge(value, success, failure) == outcome


def options(**given):
    return {name: spec.get("default") for name, spec in DEPLOYMENT_OPTIONS.items()} | {"wait": True, "service": "shop", "strategy": "canary"} | given


@pytest.mark.parametrize(("given", "counts"), [({}, (1, 0)), ({"max_surge": "25%", "max_unavailable": "1"}, ("25%", 1)), ({"max_unavailable": 2}, (1, 2))])
def test_a_rollout_replaces_as_many_pods_at_a_time_as_given(given, counts):
    params = options(name="web", ports=[80], **given)
    strategy = build_deployment(spec("running", "web"), params, "baseline", "rolling", 3)["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": dict(zip(("maxSurge", "maxUnavailable"), counts, strict=True))}


PROBE = {"exec": ["true"]}
PROMETHEUS = {"server": "http://a", "query": "x"}


@pytest.mark.parametrize(
    ("pod", "given", "seconds"),
    [({}, {}, 2), ({"readiness_probe": PROBE}, {}, None), ({"readiness_probe": PROBE}, {"min_ready_seconds": 0}, 0), ({}, {"min_ready_seconds": 9}, 9)]
    + [({}, {"progress_deadline": 2}, 1)],
)
def test_a_pod_counts_as_available_after_seconds_without_a_crash(pod, given, seconds):
    built = build_deployment(spec("running", "web", **pod), options(name="web", ports=[80], **given), "baseline", "rolling", 3)
    assert built["spec"].get("minReadySeconds") == seconds


def canary(*steps, **entry):
    empty = dict.fromkeys(("prometheus", "request", "command", "success", "failure"))
    return {"canary": {"steps": [{"pause": 0} | step for step in steps], "analysis": [empty | entry] if entry else []}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"replicas": -1}, "replicas: must be 0 or greater, got -1."),
        ({"service": None}, "service: must be set for the strategy canary."),
        ({"service": {"ports": [80]}}, "service.name: missing."),
        ({"service": True}, "service: must be a name or a mapping with name and ports, got 'True'."),
        ({"service": {"name": "web", "port": 80}}, "service.port: unknown option; a service has name and ports."),
        ({"service": {"name": 5}}, "service.name: must be a string, got '5'."),
        ({"service": "Web"}, "service: must consist of at most 63 lower-case letters, digits and '-'"),
        ({"service": {"name": "w" * 64}}, "service.name: must consist of at most 63 lower-case letters"),
        ({"service": "w" * 57, "canary": {"steps": [], "route": {"parents": ["a"]}, "analysis": []}}, "service: must consist of at most 56 "),
        ({"service": {"name": "web", "ports": 80}}, "service.ports: must be a list of ports, got '80'."),
        ({"wait": False}, "wait: must be true for the strategy canary."),
        ({"min_ready_seconds": 600}, "min_ready_seconds: must be less than progress_deadline (600), got 600."),
        ({"max_surge": "0%"}, "max_surge: must be greater than 0 if max_unavailable is 0."),
        ({"termination_grace_period": 5}, "termination_grace_period: must be greater than drain_seconds (5), got 5."),
        ({"definition": {"kind": "Deployment"}}, "definition.kind: must be Pod."),
        ({"definition": {"spec": {"revisionHistoryLimit": 0}}}, "definition.spec.revisionHistoryLimit: unknown field of a Pod."),
        ({"definition": {"spec": {"template": {}}}}, "definition.spec.template: unknown field of a Pod. definition and patches are for the manifest of a Pod"),
        ({"patches": [{"op": "add", "path": "/spec/paused", "value": True}]}, "patches[0].path: unknown field of a Pod, spec.paused."),
        (canary({"weight": 100}), "canary.steps[0].weight: must be between 1 and 99, got 100."),
        (canary({"weight": 50}, {"weight": 20}), "canary.steps[1].weight: must be between 50 and 99, got 20."),
        (canary({"weight": 50, "pause": "later"}), "canary.steps[0].pause: must be a number of seconds or true, got 'later'."),
        (canary(success="< 1"), "canary.analysis[0]: must have exactly one of prometheus, request and command, got none."),
        (canary(command="true", request={}), "canary.analysis[0]: must have exactly one of prometheus, request and command, got request and command."),
        (canary(command="true", success="good"), "canary.analysis[0].success: must be a condition such as < 0.05, >= 1 or == 200, got 'good'."),
        (canary(prometheus=PROMETHEUS), "canary.analysis[0].success: must be set for a Prometheus query"),
        (canary(prometheus=PROMETHEUS | {"query": " "}, success="< 1"), "canary.analysis[0].prometheus.query: must not be empty."),
        *(
            (
                canary(prometheus=PROMETHEUS | {"server": server}, success="< 1"),
                "canary.analysis[0].prometheus.server: must be a URL such as http://prometheus:9090",
            )
            for server in ("no url", "http://no url", "prometheus.example.com", "http://", "http://a:port", "http://[", "ftp://a")
        ),
    ],
)
def test_invalid_options_are_named(given, message):
    validate(options(**canary({"weight": 20}, {"weight": 20, "pause": True}, command="true", success=" == 0 ")))
    validate(options(definition={"kind": "Pod", "spec": {}}, patches=[{"op": "add", "path": "/spec/hostname", "value": "a"}, {"op": "test"}]))
    for server in ("http://a", "https://user:p%20w@[::1]:9090/prometheus", "prometheus:9090", "monitoring/prometheus:web"):
        validate(options(**canary(prometheus=PROMETHEUS | {"server": server}, success="< 1")))
    with pytest.raises(PodwrightError) as invalid:
        validate(options(**given))
    assert str(invalid.value).startswith(message) and invalid.value.reason == "BadOption"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "service.ports: missing"),
        ({"ports": ["web"]}, "ports[0]: must be"),
        ({"ports": [80, 81]}, "ports: each must have a name of its own if there are several."),
        ({"service": {"name": "a", "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}}, "service.ports: each must have a name of its own"),
        ({"service": {"name": "a", "ports": [1, "b"]}}, "service.ports[1]: must be"),
        ({"service": {"name": "a", "ports": [{"name": "http", "target_port": 80}]}}, "service.ports[0]: must be a port number from 1 to 65535 or a mapping"),
        ({"service": {"name": "a", "ports": [{"port": 80, "targetport": 8080}]}}, "service.ports[0].targetport: unknown option; a port of a Service has port"),
        ({"service": {"name": "a", "ports": [{"container_port": 80}]}}, "service.ports[0].container_port: unknown option"),
    ],
)
def test_invalid_ports_of_a_service_are_named(given, message):
    with pytest.raises(PodwrightError) as invalid:
        build_service(options(name="shop") | given, {})
    assert str(invalid.value).startswith(message)


@pytest.mark.parametrize(
    ("given", "port", "target"),
    [
        ({"service": {"name": "a", "ports": [{"port": "80", "target_port": "8080"}]}}, 80, 8080),
        ({"service": {"name": "a", "ports": [{"port": 80, "targetPort": "http"}]}}, 80, "http"),
        ({"service": "a", "ports": [{"container_port": "8080", "host_port": 80, "host_ip": "10.0.0.1"}]}, 8080, 8080),
        ({"service": "a", "ports": [{"containerPort": 8080, "hostIP": "10.0.0.1"}]}, 8080, 8080),
    ],
)
def test_ports_of_a_service_from_variables_are_numbers(given, port, target):
    """The value of a template is text."""
    assert build_service(options(name="shop") | given, {})["spec"]["ports"] == [{"port": port, "targetPort": target, "protocol": "TCP"}]
