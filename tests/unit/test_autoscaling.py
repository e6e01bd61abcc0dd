# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Autoscaling: recommended replicas, one step within its bounds, manifests of autoscalers, and invalid options."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import check_ranges
from ansible_collections.podwright.core.plugins.module_utils._engine.autoscaling.manifests import build_hpa, build_scaled_object
from ansible_collections.podwright.core.plugins.module_utils._engine.autoscaling.options import SCALING_OPTIONS, validate
from ansible_collections.podwright.core.plugins.module_utils._engine.autoscaling.policy import Bounds, Load, Measurement, decide, recommend
from ansible_collections.podwright.core.plugins.module_utils._engine.autoscaling.targets import find_targets
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import Kind, Kinds
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import UNKNOWN_KIND, PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_autoscale

COUNTS = st.integers(0, 50)


def measured(per, value, target, pods=()):
    """A Measurement; `pods` are the percentages of their requests that the ready pods use, None if unknown, or `starting` for a pod that is not ready."""
    loads = tuple(Load(Fraction(2), None if used in (None, "starting") else Fraction(used, 50), used != "starting") for used in pods)
    return Measurement({"name": "m", "value": value, "target": target, "per": per}, loads)


@pytest.mark.parametrize(
    ("current", "measurements", "recommended"),
    [
        (2, [("share", 100, 50, (100, 100))], 4),
        (2, [("share", 54, 50, (54, 54))], 2),  # within the tolerance
        (4, [("share", 10, 50, (10,) * 4)], 1),
        (3, [("share", 100, 50, (100, "starting", "starting"))], 3),  # they will take their share
        (3, [("share", 300, 50, (300, "starting", "starting"))], 6),
        (3, [("share", 20, 50, (20, None, None))], 3),  # what is unknown is taken for the whole request
        (4, [("share", 10, 50, (10, 10, 10, None))], 3),
        (3, [("share", 120, 50, (120, None))], 3),  # or for nothing
        (2, [("share", 150, 50, (150, None))], 3),
        (3, [("share", 90, 50, (90,))], 3),  # two pods do not exist yet: high usage never scales down
        (1, [("share", 20, 50, (20, 20, 20, 20))], 1),  # and low usage never up, as while a rollout has surplus pods
        (1, [("pod", 25, 10)], 3),
        (3, [("pod", 31, 10)], 3),
        (0, [("pod", 5, 10)], 1),
        (5, [("pod", 0, 10)], 0),
        (5, [("pod", -1e308, 1e-9)], 0),
        (1, [("pod", 1e308, 1e-9)], 2**31 - 1),
        (2, [("share", 10, 50, (10, 10)), ("pod", 45, 10)], 5),  # the largest recommendation
    ],
)
def test_replicas_that_metrics_recommend(current, measurements, recommended):
    assert recommend(current, [measured(*each) for each in measurements]) == recommended


@given(COUNTS, COUNTS, COUNTS, COUNTS, st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_a_step_respects_its_bounds_and_cooldowns(current, recommended, least, span, up, down, ago):
    bounds = Bounds(least, least + span, up, down)
    replicas, reason = decide(current, recommended, bounds, 1000 - ago, 1000)
    assert reason
    is_within = bounds.min_replicas <= current <= bounds.max_replicas
    if current == 0 < least:
        assert replicas == 0, "its scaling is paused"
    elif replicas == current:
        assert is_within
        target = min(max(recommended, bounds.min_replicas), bounds.max_replicas)
        assert target == current or ago < (up if target > current else down)
    else:
        assert bounds.min_replicas <= replicas <= bounds.max_replicas
        assert not is_within or ago >= (up if replicas > current else down)


def options(**given):
    return {name: spec.get("default") for name, spec in SCALING_OPTIONS.items()} | {"name": "web"} | given


def test_cooldowns_become_stabilization_windows_unless_behavior_has_some():
    given = options(target_cpu=50, scale_up_cooldown=10, scale_down_cooldown=20, behavior={"scaleDown": {"stabilizationWindowSeconds": 5}})
    behavior = build_hpa(given, {"name": "web"})["spec"]["behavior"]
    assert behavior == {"scaleDown": {"stabilizationWindowSeconds": 5}, "scaleUp": {"stabilizationWindowSeconds": 10}}


def scaled_object(**given):
    return build_scaled_object(options(**given), {"name": "web"}, "n")["spec"]


@pytest.mark.parametrize(
    ("server", "address"),
    [("http://p.example:9090", "http://p.example:9090"), ("prometheus:9090", "http://prometheus.n.svc:9090"), ("ops/p:80", "http://p.ops.svc:80")],
)
def test_keda_gets_the_query_with_the_meaning_of_the_other_engines(server, address):
    spec = scaled_object(prometheus={"server": server, "query": "rate(x[1m])", "target": 12345678}, scale_down_cooldown=60)
    metadata = {"serverAddress": address, "query": "sum(rate(x[1m]))", "threshold": "12345678", "ignoreNullValues": "false"}
    assert spec["triggers"] == [{"type": "prometheus", "metadata": metadata}] and "cooldownPeriod" not in spec


@pytest.mark.parametrize(
    ("query", "sum_of"),
    [
        ("rate(x[1m]) # of all pods", "rate(x[1m]) # of all pods\n"),
        ("  x\n", "x"),
        ("scalar(max(x))", "vector(scalar(max(x)))"),
        ("scalar(x) * sum(y)", "scalar(x) * sum(y)"),
    ],
)
def test_keda_can_sum_a_query_with_a_comment_and_a_scalar(query, sum_of):
    spec = scaled_object(prometheus={"server": "http://p", "query": query, "target": 1})
    assert spec["triggers"][0]["metadata"]["query"] == f"sum({sum_of})"


def test_a_direction_of_the_behavior_that_is_null_is_absent():
    given = options(target_cpu=50, behavior={"scaleDown": None, "scaleUp": {"selectPolicy": "Max"}})
    assert build_hpa(given, {"name": "web"})["spec"]["behavior"] == {"scaleUp": {"selectPolicy": "Max"}}


def test_keda_scales_to_zero_after_the_cooldown_and_only_by_prometheus():
    query = {"server": "http://p", "query": "x", "target": 1.0}
    spec = scaled_object(prometheus=query, min_replicas=0, scale_down_cooldown=60)
    assert (spec["minReplicaCount"], spec["cooldownPeriod"]) == (0, 60) and "cooldownPeriod" not in scaled_object(prometheus=query, min_replicas=0)
    for bad, message in (
        ({"min_replicas": 0, "target_cpu": 50}, "min_replicas: must be 1 or greater without prometheus"),
        ({"prometheus": query | {"server": "p:web"}}, "prometheus.server: must have a port number with engine keda, got 'web'."),
        ({"prometheus": query, "metrics": [{}]}, "metrics: must not be set with engine keda."),
    ):
        with pytest.raises(PodwrightError, match=message):
            scaled_object(**bad)


@pytest.mark.parametrize("given", [{"target_cpu": 1, "scale_down_cooldown": 3601}, {"target_cpu": 1, "min_replicas": 0}, {"prometheus": {"target": 1}}])
def test_options_that_a_horizontal_pod_autoscaler_does_not_support_are_refused(given):
    with pytest.raises(PodwrightError):
        build_hpa(options(**given), {})


def warnings_about(**given):
    """The warnings of the validation of options. Raises: PodwrightError."""
    warnings, params = [], options(**given)
    check_ranges(SCALING_OPTIONS, params)  # as each operation does first
    validate(params, SimpleNamespace(warn=warnings.append))
    return warnings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": None, "replicas": 1}, "name: missing, and so is label_selectors."),
        ({"label_selectors": ["a=b"], "target_cpu": 50}, "label_selectors: must not be set for an autoscaler"),
        ({"label_selectors": ["a=b"], "state": "absent"}, "label_selectors: must not be set for an autoscaler"),
        ({"replicas": -1}, "replicas: must be 0 or greater, got -1."),
        ({"replicas": 1, "target_cpu": 50}, "replicas: must not be set together with target_cpu."),
        ({"target_cpu": 0}, "target_cpu: must be 1 or greater, got 0."),
        ({"target_cpu": 50, "max_replicas": 0}, "max_replicas: must be 1 or greater, got 0."),
        ({"target_cpu": 50, "min_replicas": 5, "max_replicas": 2}, "min_replicas: must not exceed max_replicas (2), got 5."),
        ({"target_cpu": 50, "scale_up_cooldown": -1}, "scale_up_cooldown: must be 0 or greater, got -1."),
        ({"prometheus": {"target": 0}}, "prometheus.target: must be a finite number greater than 0, got 0."),
        ({"prometheus": {"target": float("nan")}}, "prometheus.target: must be a finite number greater than 0, got nan."),
        ({"prometheus": {"target": float("inf")}}, "prometheus.target: must be a finite number greater than 0, got inf."),
        ({}, "target_cpu: missing, and so are target_memory, metrics and prometheus."),
        ({"target_cpu": 50, "current_replicas": 2}, "current_replicas: must not be set without replicas."),
    ],
)
def test_invalid_options_are_named(given, message):
    for valid in ({"target_cpu": 50}, {"replicas": 0}, {"name": None, "label_selectors": ["a=b"], "replicas": 1}, {"state": "absent"}):
        assert warnings_about(**valid) == []
    with pytest.raises(PodwrightError) as invalid:
        warnings_about(**given)
    assert str(invalid.value).startswith(message) and invalid.value.reason == "BadOption"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"state": "absent", "replicas": 5}, ["replicas"]),
        ({"replicas": 12, "min_replicas": 20, "max_replicas": 3}, ["min_replicas", "max_replicas"]),
        ({"replicas": 12, "min_replicas": 1, "max_replicas": 10}, []),
    ],
)
def test_options_without_effect_are_a_warning(given, names):
    assert [warning.split(" has no effect ")[0] for warning in warnings_about(**given)] == names


class StubClient:
    """Objects by name; no kind needs discovery."""

    kinds = Kinds(None)

    def __init__(self, *items):
        self._items = {item["metadata"]["name"]: item for item in items}

    def get(self, _kind, _namespace, name):
        return self._items.get(name)


def item(kind, name, controller=None):
    api_version = "v1" if kind == "Pod" else "apps/v1"
    references = [{"apiVersion": "apps/v1", "kind": controller[0], "name": controller[1], "controller": True}] if controller else []
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "n", "uid": name, "ownerReferences": references}, "spec": {}}


def test_a_pod_selects_its_topmost_controller():
    client = StubClient(item("Pod", "web-1-a", ("ReplicaSet", "web-1")), item("ReplicaSet", "web-1", ("Deployment", "web")), item("Deployment", "web"))
    assert [target.title for target in find_targets(client, "n", options(kind="Pod", name="web-1-a"))] == ["Deployment 'web'"]


@pytest.mark.parametrize(("spec", "replicas"), [({}, 1), ({"replicas": None}, 1), ({"replicas": "x"}, 1), ({"replicas": 0}, 0), ({"replicas": 3}, 3)])
def test_an_object_that_does_not_say_its_replicas_has_the_default(spec, replicas):
    (target,) = find_targets(StubClient(item("Deployment", "web") | {"spec": spec}), "n", options(kind="Deployment", name="web"))
    assert target.replicas == target.replicas_after == replicas


@pytest.mark.parametrize(
    ("items", "message", "reason"),
    [
        ([], "Pod 'a' not found in namespace 'n'.", "NotFound"),
        ([item("Pod", "a")], "Pod 'a' cannot be scaled: it has no controller.", "NotScalable"),
        ([item("Pod", "a", ("ReplicaSet", "b"))], "Pod 'a' has a controller that does not exist: ReplicaSet 'b'.", "NotFound"),
        (
            [item("Pod", "a", ("ReplicaSet", "b")), item("ReplicaSet", "b", ("Deployment", "c")), item("Deployment", "c", ("ReplicaSet", "b"))],
            "Pod 'a' cannot be scaled: the owner references of ReplicaSet 'b' form a cycle.",
            "NotScalable",
        ),
    ],
)
def test_a_pod_without_a_controller_cannot_be_scaled(items, message, reason):
    with pytest.raises(PodwrightError) as missing:
        find_targets(StubClient(*items), "n", options(kind="Pod", name="a"))
    assert (missing.value.message, missing.value.reason) == (message, reason)


class ScaledServer:
    """A client of one object of a custom kind whose replicas only its scale subresource knows."""

    def __init__(self, scale):
        self.item = {"metadata": {"name": "db", "namespace": "n", "resourceVersion": "7"}, "spec": {"size": 5}}
        self.scale, self.patches, self.kinds = scale, [], Kinds(lambda path: {})
        self.kinds.resolve = lambda api_version, kind: Kind(api_version, kind, "clusters")

    def get(self, kind, namespace, name, subresource=None):
        if not subresource:
            return self.item
        if self.scale is None:
            raise PodwrightError("the server could not find the requested resource", status=404, reason=UNKNOWN_KIND)
        return self.scale

    def list(self, kind, namespace, label_selector=None):
        return [], "1"

    def patch(self, kind, namespace, name, patch, manager, content_type="", subresource=None, dry_run=False):
        if not dry_run:
            self.patches.append((patch, subresource))
        if subresource:
            return self.scale | {"spec": patch["spec"]}
        self.item = {**self.item, "metadata": {**self.item["metadata"], "annotations": patch["metadata"].get("annotations", {})}}
        return self.item

    def now(self):
        return 1000


def scale(server, check_mode=False, **given):
    defaults = {name: spec.get("default") for name, spec in pod_autoscale.ARGUMENTS.items()}
    params = defaults | {"namespace": "n", "kind": "Cluster", "api_version": "example.com/v1", "name": "db"} | given
    return attempt(pod_autoscale.OPERATION, Invocation(params, check_mode, False, Console(), server))


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_custom_kind_is_scaled_by_its_scale_subresource(check_mode):
    server = ScaledServer({"spec": {"replicas": 5}, "status": {"selector": "app=db"}})
    fields, error = scale(server, check_mode, replicas=1, wait=False)
    assert error is None and fields["changed"] and fields["replicas"] == {"before": 5, "after": 1, "desired": 1}
    assert fields["plan"][0]["patch"] == [{"op": "replace", "path": "/spec/replicas", "value": 1}]
    assert server.patches == ([] if check_mode else [({"spec": {"replicas": 1}}, "scale")])
    assert not scale(server, replicas=5, wait=False)[0]["changed"]


def test_a_custom_kind_without_scale_subresource_is_refused():
    _fields, error = scale(ScaledServer(None), replicas=1, wait=False)
    assert error.reason == "NotScalable" and "no scale subresource" in error.message


def test_direct_scaling_of_a_custom_kind_writes_its_replicas_to_the_subresource(monkeypatch):
    server = ScaledServer({"spec": {}, "status": {"selector": "app=db"}})  # a Scale omits 0 replicas
    monkeypatch.setattr(pod_autoscale, "measure", lambda *arguments: [measured("pod", 90, 10)])
    fields, error = scale(server, engine="direct", min_replicas=0, max_replicas=4, prometheus={"server": "http://p", "query": "q", "target": 10})
    assert error is None and fields["replicas"] == {"before": 0, "after": 4, "desired": 4}  # within the bounds
    first, second = server.patches
    assert first[0]["metadata"]["annotations"] == {"podwright.io/autoscaled": "direct", "podwright.io/last-scaled": "1000"} and "spec" not in first[0]
    assert second == ({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 4}}, "scale")


@pytest.mark.parametrize(("changed", "error_reason"), [({"status": {"replicas": 1}}, None), ({"metadata": {"generation": 2}}, "Conflict")])
def test_a_step_is_written_again_only_if_nothing_but_the_status_changed(changed, error_reason, monkeypatch):
    server = ScaledServer({"spec": {}, "status": {"selector": "app=db"}})
    server.item["metadata"] |= {"uid": "u", "generation": 1}
    monkeypatch.setattr(pod_autoscale, "measure", lambda *arguments: [measured("pod", 90, 10)])
    write = server.patch

    def patch(kind, namespace, name, body, *arguments, **options):
        if body.get("metadata", {}).get("resourceVersion") == "7":  # another client has written since
            metadata = server.item["metadata"] | {"resourceVersion": "8"} | changed.get("metadata", {})
            server.item = server.item | changed | {"metadata": metadata}
            raise PodwrightError("the object has been modified", status=409, reason="Conflict")
        return write(kind, namespace, name, body, *arguments, **options)

    server.patch = patch
    fields, error = scale(server, engine="direct", min_replicas=0, max_replicas=4, prometheus={"server": "http://p", "query": "q", "target": 10})
    assert (error and error.reason, fields["changed"]) == (error_reason, error_reason is None)
    assert [body["spec"] for body, subresource in server.patches if subresource] == ([] if error_reason else [{"replicas": 4}])


@pytest.mark.parametrize(
    ("condition", "note"),
    [
        ({"resource_version": "7", "current_replicas": 5}, None),
        ({"resource_version": "6"}, "its resource version is 7, not 6"),
        ({"current_replicas": 4}, "it has 5 replicas, not 4"),
    ],
)
def test_an_object_is_scaled_only_under_the_given_conditions(condition, note):
    server = ScaledServer({"spec": {"replicas": 5}, "status": {"selector": "app=db"}})
    fields, error = scale(server, replicas=1, wait=False, **condition)
    assert error is None and fields["changed"] == (note is None)
    # The server compares the version once more.
    version = {"metadata": {"resourceVersion": "7"}} if condition.get("resource_version") else {}
    assert server.patches == ([] if note else [({"spec": {"replicas": 1}} | version, "scale")])


@pytest.mark.parametrize("continue_on_error", [False, True])
def test_an_object_that_cannot_be_scaled_keeps_others_from_it_unless_continued(continue_on_error):
    server = ScaledServer({"spec": {"replicas": 5}, "status": {"selector": "app=db"}})
    items = [server.item | {"metadata": server.item["metadata"] | {"name": name}} for name in ("a", "b")]
    server.list = lambda kind, namespace, label_selector=None: (items if kind.name == "Cluster" else [], "1")
    write, names = server.patch, []

    def patch(kind, namespace, name, *arguments):
        names.append(name)
        if name == "a":
            raise PodwrightError("denied", status=403, reason="Forbidden")
        return write(kind, namespace, name, *arguments)

    server.patch = patch
    fields, error = scale(server, name=None, label_selectors=["app=db"], replicas=1, wait=False, continue_on_error=continue_on_error)
    assert names == (["a", "b"] if continue_on_error else ["a"]) and fields["changed"] == continue_on_error
    assert (error is not None) != continue_on_error
