# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Single runs of pod_autoscale in a simulated cluster: autoscalers of other engines and of others, odd metrics, and kinds that cannot be scaled."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import AUTOSCALED, LAST_SCALED, annotation_of
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_autoscale
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.sets import PART_OF

from .fake_cluster import Killed
from .model_rollouts import NAMESPACE
from .model_scaling import API_VERSIONS, HPA, KEDA, SCALED_OBJECT, replicas_of
from .test_scaling_model import Session

QUERY = {"server": "prom:9090", "query": "load", "target": 10.0}
DIRECT = {"engine": "direct", "prometheus": QUERY}
BY_CPU = {"target_cpu": 50}
BY_KEDA = {"engine": "keda", "target_cpu": 50}


@pytest.fixture
def session():
    """A Deployment and a custom object with two replicas each, with KEDA."""
    made = Session(0)
    made.cluster.define("scaledobjects", KEDA)
    for kind in ("Deployment", "Cluster"):
        made.cluster.add_workload(kind, "web", 2)
    made.cluster.settle()
    made.cluster.samples = {"resultType": "scalar", "result": [0, "40"]}
    return made


def scale(session, kind="Deployment", check_mode=False, **options):
    """(result, error) of a run."""
    return session.perform({"kind": kind, "api_version": API_VERSIONS[kind], "name": "web"} | options, check_mode)


def scaled(session, kind="Deployment", **options):
    """The result of a run without an error, and of a rehearsal that predicts it."""
    predicted, refusal = scale(session, kind, True, **options)
    result, error = scale(session, kind, **options)
    assert refusal is None and error is None, refusal or error
    assert actions_of(predicted) == actions_of(result)
    return result


def refused(session, kind="Deployment", **options):
    """The error of a run, also in check mode, that writes nothing."""
    writes = len(session.cluster.history)
    errors = [scale(session, kind, check_mode, **options)[1] for check_mode in (True, False)]
    assert str(errors[0]) == str(errors[1]) != "None" and len(session.cluster.history) == writes
    return errors[0]


def actions_of(result):
    return {(step["kind"], step["action"]) for step in result["plan"] if step["action"] != "none"}


def web(session, kind="Deployment"):
    return session.cluster.objects[kind, NAMESPACE, "web"]


def scalers(session, kind="Deployment"):
    found = session.cluster.scalers_of({"kind": kind, "name": "web"})
    return [scaler["kind"] for scaler in found] + (["direct"] if annotation_of(web(session, kind), AUTOSCALED) else [])


@pytest.mark.parametrize("first", [BY_CPU, BY_KEDA, DIRECT])
@pytest.mark.parametrize(("second", "expected"), [(BY_CPU, HPA), (BY_KEDA, SCALED_OBJECT), (DIRECT, "direct")])
def test_an_object_has_one_autoscaler_after_a_change_of_the_engine(session, first, second, expected):
    scaled(session, **first)
    scaled(session, **second)
    assert scalers(session) == [expected]
    assert not scaled(session, **second)["changed"]
    scaled(session, state="absent")
    assert scalers(session) == []


def be_killed(*_arguments, **_options):
    raise Killed


def test_a_change_of_the_engine_that_was_killed_is_completed_by_the_next_run(session):
    scaled(session, **BY_KEDA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session.cluster, "delete", be_killed)
        assert scale(session, **BY_CPU) == (None, None) and sorted(scalers(session)) == [HPA, SCALED_OBJECT]
    assert actions_of(scaled(session, **BY_CPU)) == {(SCALED_OBJECT, "delete")} and scalers(session) == [HPA]


@pytest.mark.parametrize("options", [BY_CPU, BY_KEDA, DIRECT])
@pytest.mark.parametrize("kind", [HPA, SCALED_OBJECT])
def test_an_object_that_somebody_else_scales_is_left_to_them(session, kind, options):
    session.cluster.add_scaler(kind, "theirs", ("Deployment", "web"))
    error = refused(session, **options)
    assert error.reason == "Autoscaled" and f"{kind} 'theirs' scales it." in str(error) and "Delete that autoscaler first" in str(error)
    assert f"{kind} 'theirs' scales it" in str(refused(session, replicas=5))
    assert not scaled(session, state="absent")["changed"]


def test_an_autoscaler_that_0_replicas_pause_is_a_warning_and_is_resumed_by_a_fixed_number(session):
    scaled(session, replicas=0)
    scaled(session, **BY_CPU)
    assert session.console.warnings == [
        "Deployment 'web' has 0 replicas, at which a HorizontalPodAutoscaler does not scale it. Scale it to 1 first, with the option replicas."
    ]
    assert scaled(session, replicas=1)["replicas"]["after"] == 1
    error = refused(session, replicas=2)
    assert "HorizontalPodAutoscaler 'web' scales it" in str(error) and error.hint.endswith("or delete it with state absent first.")


@pytest.mark.parametrize(
    ("resources", "options", "lacks"),
    [
        ({}, BY_CPU, "cpu"),
        ({"requests": {"cpu": "1"}}, {"target_memory": 50}, "memory"),
        ({"requests": {"cpu": "1"}}, BY_CPU, ""),
        ({"limits": {"cpu": "1"}}, BY_CPU, ""),
    ],
)
def test_a_container_without_the_request_of_a_utilization_is_a_warning(session, resources, options, lacks):
    web(session)["spec"]["template"]["spec"]["containers"][0]["resources"] = resources
    scaled(session, **options)
    said = [text.partition(", ")[0] for text in session.console.warnings]
    assert said == ([f"Container 'task' of Deployment 'web' has no {lacks} request"] if lacks else [])
    web(session)["spec"]["template"]["spec"]["resources"] = {"requests": {"cpu": "1", "memory": "1Mi"}}
    session.console.warnings.clear()
    scaled(session, **options)
    assert not session.console.warnings


def test_at_0_replicas_keda_alone_excludes_a_fixed_number(session):
    scaled(session, replicas=0)
    session.cluster.add_scaler(SCALED_OBJECT, "theirs", ("Deployment", "web"))
    assert "ScaledObject 'theirs' scales it" in str(refused(session, replicas=1))


def test_direct_scaling_by_utilization_at_0_replicas_says_how_to_begin(session):
    scaled(session, replicas=0)
    assert "scale the object to 1 or more first" in str(refused(session, **DIRECT | {"target_cpu": 50, "prometheus": None}))


@pytest.mark.parametrize(("kind", "options"), [(HPA, BY_CPU), (SCALED_OBJECT, BY_KEDA)])
def test_the_autoscaler_of_another_object_with_that_name_is_neither_changed_nor_deleted(session, kind, options):
    session.cluster.add_workload("StatefulSet", "web", 1)
    session.cluster.add_scaler(kind, "web", ("StatefulSet", "web"))
    error = refused(session, **options)
    assert error.reason == "Autoscaled" and f"{kind} 'web' scales StatefulSet 'web' in namespace 'shop'. Rename one" in str(error)
    result = scaled(session, state="absent")
    assert not result["changed"] and "kept: it scales StatefulSet 'web' in namespace 'shop'" in [step.get("note") for step in result["plan"]]


def test_an_autoscaler_that_somebody_else_created_for_the_object_is_deleted_only_once_it_is_taken_over(session):
    session.cluster.add_scaler(HPA, "web", ("Deployment", "web"), is_foreign=False)  # by kubectl autoscale
    assert refused(session, replicas=5).hint.endswith("or delete it with resource_set and state absent first.")
    result = scaled(session, state="absent")
    assert not result["changed"] and "kept: pod_autoscale has not applied it" in [step.get("note") for step in result["plan"]] and scalers(session) == [HPA]
    stays = "HorizontalPodAutoscaler 'web' is kept and scales Deployment 'web' in namespace 'shop', since pod_autoscale has not applied it."
    assert session.console.warnings == [f"{stays} To stop that, delete it with resource_set and state absent."]
    assert scaled(session, **BY_CPU)["changed"] and scaled(session, state="absent")["changed"] and scalers(session) == []


@pytest.mark.parametrize(("kind", "options"), [(HPA, BY_CPU), (SCALED_OBJECT, BY_KEDA), (HPA, BY_KEDA)])
def test_an_autoscaler_that_is_a_member_of_a_set_stays_as_it_is(session, kind, options):
    labels = session.cluster.add_scaler(kind, "web", ("Deployment", "web"), is_foreign=False, own=True)["metadata"]["labels"]
    labels[PART_OF] = "applyset-theirs-v1"
    error = refused(session, **options)
    assert error.reason == ("Autoscaled" if kind == HPA and options == BY_KEDA else "ForeignMember")
    assert refused(session, replicas=5).hint.endswith("or remove it from the manifests of its set first.")
    result = scaled(session, state="absent")
    assert session.console.warnings[-1].endswith("since a set contains it. To stop that, remove it from the manifests of its set.")
    assert not result["changed"] and "kept: a set contains it" in [step.get("note") for step in result["plan"]]
    del labels[PART_OF]
    assert scaled(session, state="absent")["changed"]


def test_an_autoscaler_is_deleted_although_those_of_keda_must_not_be_read(session, monkeypatch):
    scaled(session, **BY_CPU)
    read = session.cluster.get

    def get(kind, *arguments, **options):
        if kind.name == SCALED_OBJECT:
            raise PodwrightError("scaledobjects is forbidden: User x cannot get it", status=403, reason="Forbidden")
        return read(kind, *arguments, **options)

    monkeypatch.setattr(session.cluster, "get", get)
    assert scaled(session, state="absent")["changed"] and scalers(session) == []
    assert "has a ScaledObject, which would be left, is unknown: scaledobjects is forbidden" in session.console.warnings[0]


@pytest.mark.parametrize("fault", ["refused", "killed"])
def test_a_step_of_a_custom_kind_that_fails_in_between_is_not_repeated_within_the_cooldown(session, monkeypatch, fault):
    write = session.cluster.patch

    def patch(kind, namespace, name, body, manager, content_type="", subresource=None, dry_run=False):
        if subresource and not dry_run and fault == "killed":
            raise Killed
        if subresource and fault == "refused":
            raise PodwrightError("clusters/scale is forbidden: User x cannot patch it", status=403, reason="Forbidden")
        return write(kind, namespace, name, body, manager, content_type, subresource, dry_run)

    options = {**DIRECT, "scale_up_cooldown": 3600}
    with monkeypatch.context() as broken:
        broken.setattr(session.cluster, "patch", patch)
        if fault == "refused":
            assert refused(session, "Cluster", **options).reason == "Forbidden"
        else:
            assert scale(session, "Cluster", **options) == (None, None)
    expected = {"refused": (2, 4), "killed": (2, 2)}[fault]
    assert (web(session, "Cluster")["spec"]["size"], scaled(session, "Cluster", **options)["replicas"]["after"]) == expected
    session.cluster.samples["result"][1] = "80"
    assert scaled(session, "Cluster", **options)["replicas"]["after"] == expected[1]


FORBIDDEN = PodwrightError("web is forbidden: User x cannot patch it", status=403, reason="Forbidden")
NO_DRY_RUN = PodwrightError("admission webhook w does not support dry run", status=400, reason="BadRequest")


@pytest.mark.parametrize(
    ("options", "kind", "verb"),
    [(DIRECT, "Deployment", "patch"), (DIRECT, "Cluster", "patch"), (BY_KEDA, "Deployment", "apply"), (BY_KEDA, "Cluster", "apply")],
)
def test_an_autoscaler_stays_if_what_replaces_it_is_refused(session, monkeypatch, options, kind, verb):
    scaled(session, kind, **BY_CPU)

    def refuse(*_arguments, **_options):
        raise FORBIDDEN

    monkeypatch.setattr(session.cluster, verb, refuse)
    assert refused(session, kind, **options).reason == "Forbidden" and scalers(session, kind) == [HPA]


def test_an_autoscaler_is_replaced_although_a_webhook_does_not_support_dry_runs(session, monkeypatch):
    scaled(session, **BY_CPU)
    write = session.cluster.patch

    def patch(*arguments, dry_run=False, **options):
        if dry_run:
            raise NO_DRY_RUN
        return write(*arguments, **options)

    monkeypatch.setattr(session.cluster, "patch", patch)
    assert scale(session, **DIRECT)[1] is None and scalers(session) == ["direct"]


@pytest.mark.parametrize("options", [{"state": "absent"}, DIRECT])
@pytest.mark.parametrize("is_replaced", [True, False])
def test_an_autoscaler_that_somebody_creates_during_the_run_is_kept(session, monkeypatch, options, is_replaced):
    if is_replaced:
        scaled(session, **BY_CPU)

    def look(function):
        def look_and_be_overtaken(*arguments):
            found = function(*arguments)
            session.cluster.objects.pop((HPA, NAMESPACE, "web"), None)
            session.cluster.add_scaler(HPA, "web", ("Deployment", "web"), is_foreign=False)
            return found

        return look_and_be_overtaken

    for name in ("find_own", "find_others"):
        monkeypatch.setattr(pod_autoscale, name, look(getattr(pod_autoscale, name)))
    _result, error = scale(session, **options)
    assert (error and error.reason) == ("Conflict" if is_replaced else None) and HPA in scalers(session)
    assert error is None or str(error) == "HorizontalPodAutoscaler 'web' was replaced during the run, and is kept. Run the task again."


def test_the_autoscaler_of_a_kind_that_is_not_served_any_more_is_deleted(session):
    scaled(session, "Cluster", **BY_CPU)
    del session.cluster.objects["CustomResourceDefinition", None, "clusters"]
    assert actions_of(scaled(session, "Cluster", state="absent")) == {(HPA, "delete")} and scalers(session, "Cluster") == []
    assert refused(session, "Cluster", **BY_CPU).reason == "UnknownKind"


@pytest.mark.parametrize("least", [0, 1])
def test_direct_scaling_is_paused_at_0_replicas_unless_these_are_within_the_bounds(session, least):
    scaled(session, replicas=0)
    assert scaled(session, min_replicas=least, **DIRECT)["replicas"]["after"] == (0 if least else 4)
    if least:
        scaled(session, replicas=1)
        assert scaled(session, **DIRECT)["replicas"]["after"] == 4


def test_a_scaled_object_that_names_no_kind_scales_a_deployment(session):
    item = session.cluster.add_scaler(SCALED_OBJECT, "theirs", ("Deployment", "web"))
    item["spec"]["scaleTargetRef"] = {"name": "web"}
    assert "ScaledObject 'theirs' scales it" in str(refused(session, **BY_CPU))


def test_the_autoscaler_of_that_name_is_found_although_autoscalers_must_not_be_listed(session):
    session.cluster.add_scaler(HPA, "web", ("StatefulSet", "web"))
    session.cluster.unlistable = {HPA, SCALED_OBJECT}
    assert refused(session, **BY_CPU).reason == "Autoscaled"
    assert "Whether an autoscaler scales Deployment 'web' is unknown" in session.console.warnings[0]


@pytest.mark.parametrize("kind", ["DaemonSet", "ConfigMap"])
def test_a_kind_without_replicas_is_refused_in_check_mode_too(session, kind):
    session.cluster.add_workload(kind, "web", 1)
    for options in ({"replicas": 3}, BY_CPU, DIRECT):
        error = refused(session, kind, **options)
        assert error.reason == "NotScalable" and "its kind has no scale subresource. Scale one of these kinds: Deployment" in str(error)
    assert not scaled(session, kind, state="absent")["changed"]


def test_replicas_that_a_controller_would_reset_are_refused(session):
    live = session.cluster.add_workload("ReplicaSet", "web", 1)
    live["metadata"]["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": True}]
    for options in ({"replicas": 3}, BY_CPU, DIRECT):
        assert str(refused(session, "ReplicaSet", **options)).endswith("its controller, Deployment 'web', sets its replicas. Scale Deployment 'web'.")
    assert not scaled(session, "ReplicaSet", state="absent")["changed"]


def test_a_job_is_scaled_to_a_fixed_number_only(session):
    session.cluster.add_workload("Job", "web", 1)
    for options in (BY_CPU, BY_KEDA, DIRECT):
        assert str(refused(session, "Job", **options)).startswith("kind: must not be Job without replicas")
    assert scaled(session, "Job", replicas=3)["replicas"] == {"before": 1, "after": 3, "desired": 3}


def test_replicas_of_a_custom_kind_that_does_not_change_are_those_of_its_scale(session):
    assert scaled(session, "Cluster", replicas=2)["replicas"] == {"before": 2, "after": 2, "desired": 2}
    assert scaled(session, "Cluster", state="absent")["replicas"]["before"] == 2


@pytest.mark.parametrize(("replicas", "scaled_to", "reason"), [(2, 4, None), (3, 3, "Conflict")])
def test_current_replicas_hold_until_the_write(session, replicas, scaled_to, reason):
    listed = session.cluster.list
    web(session)["metadata"]["generation"] = 9

    def read(kind, *arguments, **options):
        if kind.name == HPA:  # after the object was read, and before it is written
            web(session)["spec"]["replicas"] = replicas
            web(session)["metadata"] |= {"resourceVersion": "2000", "generation": 7 + replicas}
        return listed(kind, *arguments, **options)

    session.cluster.list = read
    _result, error = scale(session, replicas=4, current_replicas=2, wait=False)
    assert (error and error.reason, replicas_of(web(session))) == (reason, scaled_to)


@pytest.mark.parametrize("usage", [[], None, [{}], [{"cpu": "10m"}, {}], [{"cpu": "NaN"}], [{"cpu": "-1m"}], [{"memory": "1Mi"}]])
def test_a_pod_whose_usage_is_unknown_does_not_scale_down(session, usage):
    """The metrics API lists pods without containers, and containers without usage: https://github.com/kubernetes-sigs/metrics-server/issues/473."""
    session.cluster.usage = 20
    pods = [pod for pod in session.cluster.of_kind("Pod") if pod["metadata"]["labels"]["app"] == "web"]
    session.cluster.odd_pods[pods[0]["metadata"]["uid"]] = usage and [{"name": "task", "usage": entry} for entry in usage]
    result = scaled(session, engine="direct", **BY_CPU)
    assert result["replicas"]["after"] == 2 and result["metrics"] == [{"name": "cpu", "value": 20.0, "target": 50, "per": "share"}]
    session.cluster.odd_pods[pods[1]["metadata"]["uid"]] = []
    assert refused(session, engine="direct", **BY_CPU).reason == "NoMetrics"


def test_usage_is_compared_with_the_requests_of_all_containers_that_run(session):
    for pod in session.cluster.of_kind("Pod"):
        requests = pod["spec"]["containers"][0]["resources"]
        pod["spec"] = pod["spec"] | {"initContainers": [{"name": "proxy", "restartPolicy": "Always", "resources": requests}, {"name": "init"}]}
    assert scaled(session, engine="direct", **BY_CPU)["metrics"][0]["value"] == 25.0  # 50m of 200m
    for pod in session.cluster.of_kind("Pod"):
        pod["spec"] = pod["spec"] | {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]}
    assert "container 'proxy' of pod 'web-" in str(refused(session, engine="direct", **BY_CPU))
    for pod in session.cluster.of_kind("Pod"):
        pod["spec"] = pod["spec"] | {"resources": {"requests": {"cpu": "1"}}}  # of the whole pod
    assert scaled(session, engine="direct", **BY_CPU)["metrics"][0]["value"] == 5.0


@pytest.mark.parametrize("stamp", ["99999999999", "4611686018427387904"])
@pytest.mark.parametrize("cooldown", [None, 0, 600])
def test_a_cooldown_does_not_last_longer_because_a_clock_is_wrong(session, stamp, cooldown):
    web(session)["metadata"]["annotations"][LAST_SCALED] = stamp
    assert scaled(session, **DIRECT, scale_up_cooldown=cooldown)["replicas"]["after"] == 4


def test_a_cooldown_holds_while_clocks_differ_a_little(session):
    web(session)["metadata"]["annotations"][LAST_SCALED] = f"{session.cluster.now() + 60:.0f}"
    result = scaled(session, **DIRECT, scale_up_cooldown=600)
    assert result["replicas"]["after"] == 2 and "the last change was 0 s ago, within the cooldown of 600 s" in result["plan"][0]["note"]


@pytest.mark.parametrize(("value", "target", "replicas"), [(str(0.1 + 0.2), 0.1, 3), ("3.0001", 1, 4), ("1e308", 1e-9, 4), ("-1e308", 1e-9, 1), ("0", 1e17, 1)])
def test_values_of_any_size_are_limited_by_the_replicas(session, value, target, replicas):
    session.cluster.samples["result"][1] = value
    assert scaled(session, engine="direct", prometheus=QUERY | {"target": target}, max_replicas=4)["replicas"]["after"] == replicas


def test_a_query_that_prometheus_cannot_evaluate_is_named(session):
    session.cluster.samples = PodwrightError("found duplicate series", status=422, reason="Invalid")
    assert "refused the query 'load': found duplicate series. Correct the query." in str(refused(session, **DIRECT))
