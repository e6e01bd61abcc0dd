# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Single rollouts in a simulated cluster: changes of the strategy, failures, objects of others, and what is refused before the first write."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import DEPLOYMENT, PORTS, ROLLED_BACK, STEP, annotation_of
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_deployment
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_secret import secret_name

from .model_rollouts import FATES, GENERATION, NAMESPACE, image_of
from .test_rollout_model import Session, complete, populate

ENTRY = {"prometheus": None, "request": None, "command": None, "success": None, "failure": None}
ROUTE = {"parents": ["edge"], "hostnames": []}


@pytest.fixture
def session():
    made = Session(0)
    populate(made)
    return made


def rollout(version, strategy="blue_green", **options):
    return {"image": f"app:{version}", "strategy": strategy, "replicas": 2, "service": "web", "state": "present"} | options


def canary(*steps, route=None, **entry):
    return {"steps": [{"pause": 0} | step for step in steps], "route": route, "analysis": [ENTRY | entry] if entry else None}


def deploy(session, *versions, **options):
    """Roll out versions without an error. Returns: the result of the last one."""
    result = None
    for version in versions:
        result, error = session.perform(rollout(version, **options))
        assert error is None, error
    return result


def refused(session, params):
    """The error of a run that writes nothing."""
    writes = len(session.cluster.history)
    _result, error = session.perform(params)
    assert error and len(session.cluster.history) == writes, error
    return error


@pytest.mark.parametrize("old", ["blue_green", "canary"])
@pytest.mark.parametrize("rolls_back", [False, True])
def test_pods_of_another_strategy_serve_until_those_of_rolling_are_ready(session, old, rolls_back):
    deploy(session, 1, strategy=old)
    session.cluster.fates["app:2"] = "never"
    _result, error = session.perform(rollout(2, "rolling", wait=False, rollback_on_failure=rolls_back))
    assert error.reason == "WaitFailed" and session.cluster.images() == ["app:1"] * 2
    assert ("that of the previous strategy stays in service" in str(error)) == rolls_back
    assert (("Deployment", NAMESPACE, "web") in session.cluster.objects) != rolls_back
    assert refused(session, rollout(2, "rolling", state="paused")).reason == "OtherStrategy"
    deploy(session, 3, strategy="rolling")
    assert session.cluster.images() == ["app:3"] * 2 and len(session.own("Deployment")) == 1


def test_a_canary_after_rolling_has_steps_and_can_be_aborted(session):
    deploy(session, 1, strategy="rolling")
    steps = canary({"weight": 40, "pause": True})
    result = deploy(session, 2, strategy="canary", canary=steps)
    assert session.cluster.images() == ["app:1", "app:1", "app:2"] and result["active"] == "rolling" and result["weights"][result["preview"]] == 33.3
    _result, error = session.perform(rollout(2, state="aborted"))
    assert error is None and session.cluster.images() == ["app:1"] * 2 and len(session.own("Deployment")) == 1
    assert deploy(session, 3, strategy="rolling")["revision"] == 2


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "canary"])
@pytest.mark.parametrize("before", ["rolling", "blue_green", "canary"])
def test_replicas_of_an_autoscaler_are_kept_by_the_versions_that_follow(session, before, strategy):
    deploy(session, 1, strategy=before)
    session.autoscale(5)
    session.cluster.settle()
    options = {"strategy": strategy, "canary": canary({"weight": 50}) if strategy == "canary" else None}
    predicted, _error = session.perform(rollout(2, **options), check_mode=True)
    created = [step["patch"][0]["value"] for step in predicted["plan"] if (step["kind"], step["action"]) == ("Deployment", "create")]
    assert [manifest["spec"]["replicas"] for manifest in created] == ([] if before == strategy == "rolling" else [5])
    deploy(session, 2, **options)
    assert session.cluster.images() == ["app:2"] * 5
    assert not deploy(session, 2, **options)["changed"]
    deploy(session, 3, **options)
    assert not deploy(session, 3, **options)["changed"]  # although the version with the autoscaler has been deleted
    assert session.cluster.images() == ["app:3"] * 5


def test_a_version_without_pods_is_rolled_out_again_although_an_autoscaler_scales_it(session):
    deploy(session, 1, strategy="canary")
    session.autoscale(3)
    deploy(session, 2, 1, strategy="canary")
    assert session.cluster.images() == ["app:1"] * 3


def test_a_version_whose_autoscaler_has_outlived_it_is_created_with_all_its_pods(session):
    deploy(session, 1)
    session.autoscale(3)
    deploy(session, 2, 3, 1)
    assert session.cluster.images() == ["app:1"] * 3


def test_a_deployment_that_an_autoscaler_has_scaled_to_0_gets_the_replicas_of_the_options(session):
    deploy(session, 1)
    session.autoscale(0)
    deploy(session, 2)
    assert session.cluster.images() == ["app:2"] * 2


def test_a_canary_of_a_deployment_without_pods_gets_none(session):
    deploy(session, 1, strategy="canary", replicas=0)
    steps = canary({"weight": 20, "pause": 3}, command=["check"])
    deploy(session, 2, strategy="canary", replicas=0, canary=steps)
    assert not session.measured and session.cluster._born.keys() == {"own-5"} and [item["spec"]["replicas"] for item in session.own("Deployment")] == [0, 0]


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_a_deployment_is_deleted_although_routes_must_not_be_listed(session, strategy):
    deploy(session, 1, strategy=strategy)
    session.cluster.unlistable = {"HTTPRoute"}
    with session.patches():
        console = Console()
        params = complete(rollout(1, strategy, state="absent"))
        _result, error = attempt(pod_deployment.OPERATION, Invocation(params, False, False, console, session.cluster))
    assert error is None and not session.own("Deployment") and not session.own("Service")
    assert console.warnings == ["Whether deployment 'web' has an HTTPRoute, which would be left, is unknown: it is forbidden: User x cannot do that"]


@pytest.mark.parametrize("state", ["promoted", "rolled_back"])
def test_traffic_is_switched_only_if_the_run_waits(session, state):
    deploy(session, 1, 2)
    assert "wait: must be true" in str(refused(session, rollout(2, state=state, wait=False)))


@pytest.mark.parametrize(
    ("kind", "name", "labels", "whose"),
    [
        ("Service", "web", {DEPLOYMENT: "website"}, "belongs to deployment 'website'"),
        ("Service", "web-canary", {}, "was not created by pod_deployment"),
        ("HTTPRoute", "web", {}, "was not created by pod_deployment"),
    ],
)
def test_objects_of_others_are_refused_before_the_first_write(session, kind, name, labels, whose):
    if kind != "Service" or name != "web":
        deploy(session, 1, strategy="canary")
    version = "v1" if kind == "Service" else "gateway.networking.k8s.io/v1"
    session.cluster.add({"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": {"selector": {"a": "b"}, "rules": []}})
    error = refused(session, rollout(2, "canary", canary=canary({"weight": 20}, route=ROUTE)))
    assert str(error).startswith(f"{kind} '{name}' in namespace 'shop' {whose}.") and error.reason == "NotOurs"


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_a_service_of_another_tool_is_refused_until_it_is_handed_over(session, strategy):
    theirs = session.cluster.add({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "theirs"}, "ports": []}})
    error = refused(session, rollout(1, strategy))
    assert str(error).startswith("Service 'web' in namespace 'shop' was not created by pod_deployment.") and f"{DEPLOYMENT}=web" in error.hint
    deploy(session, 1, strategy=strategy, service="front")
    assert session.perform(rollout(1, strategy, state="absent"))[1] is None and theirs in session.cluster.of_kind("Service")
    theirs["metadata"]["labels"] = {DEPLOYMENT: "web"}
    deploy(session, 1, strategy=strategy)
    assert session.cluster.images() == ["app:1"] * 2


def test_a_deployment_of_another_tool_is_refused(session):
    template = {"metadata": {"labels": {}}, "spec": {"containers": [{"image": "theirs"}]}}
    limits = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    spec = {"replicas": 0, "selector": {}, "template": template, "strategy": limits, "progressDeadlineSeconds": 9}
    session.cluster.add({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "generation": 1}, "spec": spec})
    assert "was not created by pod_deployment" in str(refused(session, rollout(1, "rolling")))


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_secret_that_may_not_be_created_is_refused_before_the_first_write(session, monkeypatch, check_mode):
    create = session.cluster.create

    def refuse(kind, *arguments, **options):
        if kind.name == "Secret":
            raise PodwrightError("no", status=403, reason="Forbidden")
        return create(kind, *arguments, **options)

    monkeypatch.setattr(session.cluster, "create", refuse)
    writes = len(session.cluster.history)
    _result, error = session.perform(rollout(1, secret_env={"TOKEN": "t"}), check_mode)
    assert error.reason == "Forbidden" and len(session.cluster.history) == writes


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_a_new_deployment_does_not_use_the_secret_of_a_deleted_one(session, monkeypatch, strategy):
    """It is garbage-collected, when the collector comes to it, although its name is that of the same data."""
    options = {"strategy": strategy, "secret_env": {"TOKEN": "t"}}
    deploy(session, 1, **options)
    monkeypatch.setattr(session.cluster, "collect_garbage", lambda: None)
    assert session.perform(rollout(1, state="absent"))[1] is None
    predicted = session.perform(rollout(1, **options), check_mode=True)[0]["plan"]
    result = deploy(session, 1, **options)
    assert [(step["action"], step["kind"], step["name"]) for step in predicted] == [(step["action"], step["kind"], step["name"]) for step in result["plan"]]
    monkeypatch.undo()
    session.cluster.settle()
    [secret], [deployment] = session.own("Secret"), session.own("Deployment")
    assert secret_name(deployment) == secret["metadata"]["name"]
    assert not deploy(session, 1, **options)["changed"]


def test_a_new_deployment_of_another_run_keeps_the_name_of_its_secret(session, monkeypatch):
    options = {"strategy": "rolling", "secret_env": {"TOKEN": "t"}, "service": None}
    deploy(session, 1, **options)
    monkeypatch.setattr(pod_deployment.Rolling, "observe", lambda self: None)  # the other run was faster
    assert not deploy(session, 1, **options)["changed"]


def test_a_service_without_ports_is_refused_before_the_first_write(session):
    assert str(refused(session, rollout(1, ports=None))).startswith("service.ports: missing")


@pytest.mark.parametrize("state", ["promoted", "aborted", "rolled_back"])
def test_a_deployment_that_does_not_exist_has_no_such_state(session, state):
    assert refused(session, rollout(1, state=state)).reason == "NothingToDo"


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_the_first_version_has_no_previous_one(session, strategy):
    deploy(session, 1, strategy=strategy)
    message = str(refused(session, rollout(1, state="rolled_back")))
    assert message.endswith("has no previous revision; revisions: 1. To change to another version, set its options with state present.")


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_an_unknown_revision_comes_with_those_that_exist(session, strategy):
    deploy(session, 1, 2, strategy=strategy)
    error = refused(session, rollout(2, state="rolled_back", revision=9))
    assert str(error).startswith("Deployment 'web' in namespace 'shop' has no revision 9; revisions: 1, 2.") and error.reason == "NoRevision"
    result, error = session.perform(rollout(2, state="rolled_back", revision=1))
    assert error is None and result["changed"] and set(session.cluster.images()) == {"app:1"}


@pytest.mark.parametrize("state", ["rolled_back", "promoted", "aborted"])
def test_a_service_that_somebody_has_deleted_is_created_by_present(session, state):
    deploy(session, 1, 2)
    del session.cluster.objects["Service", NAMESPACE, "web"]
    error = refused(session, rollout(2, state=state))
    assert str(error).startswith("Deployment 'web' in namespace 'shop' has no Service any more. Run its task with state present")
    deploy(session, 2)
    assert session.cluster.images() == ["app:2"] * 2


def test_abort_returns_to_the_revision_in_service_after_several_failures(session):
    deploy(session, 1, strategy="rolling")
    for version in (2, 3):
        session.cluster.fates[f"app:{version}"] = "never"
        assert session.perform(rollout(version, "rolling"))[1].reason == "WaitFailed"
    result, error = session.perform(rollout(3, state="aborted"))
    assert error is None and result["changed"] and session.cluster.images() == ["app:1"] * 2
    assert not [pod for pod in session.cluster.of_kind("Pod") if image_of(pod) in ("app:2", "app:3")]


def test_abort_of_a_complete_rollout_changes_nothing_but_the_pause(session):
    deploy(session, 1, 2, strategy="rolling")
    session.cluster.settle()
    deploy(session, 2, strategy="rolling", state="paused")
    result, error = session.perform(rollout(2, state="aborted"))
    assert error is None and [step["note"] for step in result["plan"]] == ["the rollout is resumed"]
    session.cluster.fates["app:2"] = "never"
    session.cluster.settle()
    result, error = session.perform(rollout(2, state="aborted", wait=False))
    assert error is None and not result["changed"]


def test_a_version_that_was_rolled_back_is_aborted_like_any_other(session):
    deploy(session, 1, 2, strategy="canary")
    assert session.perform(rollout(2, state="rolled_back"))[1] is None
    session.cluster.fates["app:2"] = "never"
    _result, error = session.perform(rollout(2, "canary", rollback_on_failure=True))
    assert "The new generation was deleted; generation" in str(error) and session.cluster.images() == ["app:1"] * 2
    assert len(session.own("Deployment")) == 1


def test_an_error_while_a_failed_rollout_is_undone_hides_nothing(session, monkeypatch):
    deploy(session, 1)
    session.cluster.fates["app:2"] = "never"

    def refuse(*_arguments, **_options):
        raise PodwrightError("deployments is forbidden", status=403, reason="Forbidden")

    monkeypatch.setattr(session.cluster, "delete", refuse)
    _result, error = session.perform(rollout(2, rollback_on_failure=True))
    assert error.reason == "WaitFailed" and "the progress deadline was exceeded" in str(error)
    assert "Returning to the previous revision failed, too: deployments is forbidden" in str(error)


@pytest.mark.parametrize("outcome", [0, 1, 2])
def test_each_outcome_of_an_analysis(session, outcome):
    deploy(session, 1, strategy="canary")
    session.outcomes["app:2"] = outcome
    result, error = session.perform(rollout(2, "canary", canary=canary({"weight": 40}, command=["check"], success="== 0", failure="== 1")))
    assert [entry["outcome"] for entry in result["analysis"]] == [["success", "failure", "inconclusive"][outcome]]
    expected = (["app:2"] * 2, ["app:1"] * 2, ["app:1", "app:1", "app:2"])[outcome]
    assert session.cluster.images() == expected and (error is None) == (outcome == 0)
    assert outcome != 1 or f"generation {result['active']} stays in service." in str(error)
    assert outcome != 2 or "The canary keeps its share of the traffic." in str(error)


def test_measurements_by_a_request_and_by_prometheus(session, monkeypatch):
    deploy(session, 1, strategy="canary")
    monkeypatch.setattr(pod_deployment, "query_prometheus", lambda *_arguments: 0.2)
    query = {"prometheus": {"server": "http://p", "query": "errors"}, "success": "< 0.05"}
    result, error = session.perform(rollout(2, "canary", canary=canary({"weight": 40}, **query)))
    assert result["analysis"][0]["value"] == 0.2 and "errors returned 0.2" in str(error)
    monkeypatch.setattr(session, "measure", lambda _call, _operation, options, field: (500 if (options["port"], field) == ("80", "status") else None, ""))
    result, error = session.perform(rollout(2, "canary", canary=canary({"weight": 40}, request={"port": 80})))
    assert result["analysis"][0]["outcome"] == "failure" and "the request returned 500" in str(error)


@pytest.mark.parametrize(
    ("request_options", "message"),
    [
        ({"path": "/"}, "canary.analysis[0].request.port: must be set."),
        ({"port": 80, "pth": "/"}, "canary.analysis[0].request.pth: unknown option of canary.analysis.request; did you mean path?"),
        ({"port": 80, "timeout": "soon"}, "canary.analysis[0].request.timeout: must be a number, got 'soon'."),
        ({"port": 80, "protocol": "grpc"}, "canary.analysis[0].request.protocol: must be http or https, since the status is measured, got grpc."),
        ({"port": 80, "timeout": "0"}, "canary.analysis[0].request.timeout: must be greater than 0, got 0."),
        ({"port": 99999}, "canary.analysis[0].request.port: must be a port number from 1 to 65535 or the name of a port, got 99999."),
        ({"port": 80, "path": "x"}, "canary.analysis[0].request.path: must start with a slash, got 'x'."),
        ({"port": 80, "grpc_method": "a/b"}, "canary.analysis[0].request.grpc_method: must not be set"),
    ],
)
def test_the_request_of_an_analysis_is_validated(session, request_options, message):
    with session.patches():
        _result, error = session.attempt(complete(rollout(1, "canary", canary=canary({"weight": 40}, request=request_options))))
    assert str(error).startswith(message) and not session.cluster.images()


@pytest.mark.parametrize("command", [[], "", {"a": "b"}, 5, "'", [["a"]]])
def test_the_command_of_an_analysis_is_validated(session, command):
    with session.patches():
        _result, error = session.attempt(complete(rollout(1, "canary", canary=canary({"weight": 40}, command=command))))
    assert str(error).startswith("canary.analysis[0].command") and not session.own("Deployment")


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"rollback_on_failure": True, "wait": False}, "rollback_on_failure has no effect if wait is false"),
        ({"revision": 1}, "revision has no effect with the state present"),
        ({"rollback_on_failure": True}, None),
    ],
)
def test_options_without_an_effect_are_a_warning(session, options, warned):
    console = Console()
    with session.patches():
        attempt(pod_deployment.OPERATION, Invocation(complete(rollout(1, "rolling", **options)), True, False, console, session.cluster))
    assert [text.startswith(warned) for text in console.warnings] == ([True] if warned else [])


@pytest.mark.parametrize(("strategy", "is_warned"), [("rolling", True), ("blue_green", True), ("canary", False)])
def test_steps_of_a_canary_that_another_strategy_ignores_are_a_warning(session, strategy, is_warned):
    console = Console()
    params = complete(rollout(1, strategy, canary=canary({"weight": 40})))
    with session.patches():
        attempt(pod_deployment.OPERATION, Invocation(params, True, False, console, session.cluster))
    assert ["canary has no effect with the strategy" in text for text in console.warnings] == [True] * is_warned


def test_a_request_without_a_response_is_inconclusive_and_says_why(session, monkeypatch):
    asked = []

    def answer(operation, invocation):
        asked.append(invocation.params)
        return {"status": -1}, PodwrightError("No response to GET /.")

    measure = pod_deployment._measure_by
    deploy(session, 1, strategy="canary")
    monkeypatch.setattr(session, "measure", measure)
    monkeypatch.setattr(pod_deployment, "attempt", answer)
    request = {"port": 80, "timeout": "2.5", "status_code": "200, 204"}  # text, as from a template
    result, error = session.perform(rollout(2, "canary", canary=canary({"weight": 40}, request=request)))
    (measured,) = result["analysis"]
    assert (measured["value"], measured["outcome"], measured["message"]) == (None, "inconclusive", "No response to GET /.")
    assert "is inconclusive: the request has no value: No response to GET /. The canary keeps its share of the traffic." in str(error)
    assert [(params["timeout"], params["status_code"]) for params in asked] == [(2.5, [200, 204])]


def test_a_canary_without_a_ready_pod_is_not_measured(session, monkeypatch):
    monkeypatch.setitem(FATES, "crashes", (1, 10))
    deploy(session, 1, strategy="canary")
    session.cluster.fates["app:2"] = "crashes"
    result, error = session.perform(rollout(2, "canary", canary=canary({"weight": 40, "pause": 15}, command=["check"])))
    assert "has no ready pod of generation" in str(error) and not result["analysis"] and session.cluster.images() == ["app:1"] * 2


def test_the_duration_of_a_step_counts_from_its_start(session):
    deploy(session, 1, strategy="canary")
    session.outcomes["app:2"] = 1
    params = rollout(2, "canary", canary=canary({"weight": 40, "pause": 100}, command=["check"], success="== 0", failure="== 2"))
    start = session.cluster.clock.time
    assert session.perform(params)[1].reason == "Analysis"
    first = session.cluster.clock.time
    assert first - start >= 100
    session.outcomes["app:2"] = 0
    assert session.perform(params)[1] is None and session.cluster.clock.time - first < 50


def test_a_route_follows_its_service_and_splits_the_traffic(session):
    deploy(session, 1, strategy="canary")
    steps = canary({"weight": 20, "pause": True}, route=ROUTE)
    result = deploy(session, 2, strategy="canary", canary=steps)
    route = session.own("HTTPRoute")[0]
    assert [(ref["name"], ref["weight"]) for ref in route["spec"]["rules"][0]["backendRefs"]] == [("web", 80), ("web-canary", 20)]
    assert result["weights"][result["preview"]] == 20 and session.cluster.images() == ["app:1"] * 2
    deploy(session, 2, strategy="canary", canary=canary({"weight": 20, "pause": True}))  # by the number of pods instead
    assert session.cluster.images() == ["app:1", "app:1", "app:2"] and len(session.own("Service")) == 1
    deploy(session, 3, strategy="blue_green", service="front")
    route = session.own("HTTPRoute")[0]
    assert [ref["name"] for ref in route["spec"]["rules"][0]["backendRefs"]] == ["front"]
    assert [item["metadata"]["name"] for item in session.own("Service")] == ["front"]
    deploy(session, 3, strategy="rolling", service=None)
    assert not session.own("HTTPRoute") and not session.own("Service")


def test_a_paused_deployment_of_a_generation_is_resumed_before_it_gets_traffic(session):
    deploy(session, 1, 2)
    for item in session.own("Deployment"):
        session.cluster.update(("Deployment", NAMESPACE, item["metadata"]["name"]), {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"paused": True}})
    assert session.perform(rollout(2, state="rolled_back"))[1] is None
    deploy(session, 2)
    assert session.cluster.images() == ["app:2"] * 2 and not [item for item in session.own("Deployment") if item["spec"].get("paused")]


def test_promoted_and_paused_canaries(session):
    deploy(session, 1, strategy="canary")
    paused = deploy(session, 2, strategy="canary", state="paused")  # without steps, all new pods run beside the old ones
    assert session.cluster.images() == ["app:1"] * 2 and paused["preview"] and paused["revision"] == 1
    result, error = session.perform(rollout(2, state="promoted"))
    assert error is None and result["revision"] == 2 and result["active"] == paused["preview"] and session.cluster.images() == ["app:2"] * 2
    assert session.cluster.service()["spec"]["selector"] == {DEPLOYMENT: "web", GENERATION: result["active"]}


def test_a_run_after_an_inconclusive_measurement_repeats_that_step_only(session):
    deploy(session, 1, strategy="canary")
    exit_codes = iter([0, 1, 0])
    session.measure = lambda *_arguments: (next(exit_codes), "")
    params = rollout(2, "canary", canary=canary({"weight": 20}, {"weight": 40}, command=["check"], success="== 0", failure="== 2"))
    first, error = session.perform(params)
    assert [entry["step"] for entry in first["analysis"]] == [1, 2] and error.reason == "Analysis"
    second, error = session.perform(params)
    assert [entry["step"] for entry in second["analysis"]] == [2] and error is None


def test_a_canary_that_is_paused_after_its_last_step_gets_no_more_pods(session):
    deploy(session, 1, strategy="canary")
    params = rollout(2, "canary", state="paused", canary=canary({"weight": 40}))
    assert session.perform(params)[1] is None
    name = next(item["metadata"]["name"] for item in session.own("Deployment") if image_of(item["spec"]["template"]) == "app:2")
    session.cluster.update(("Deployment", NAMESPACE, name), {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"annotations": {STEP: "1"}}})
    result, error = session.perform(params)
    assert error is None and not result["changed"] and session.cluster.images() == ["app:1", "app:1", "app:2"]


def test_pods_of_another_canary_are_deleted_before_the_service_selects_all(session):
    deploy(session, 1, 2)
    deploy(session, 3, state="paused")
    deploy(session, 1, strategy="canary", canary=canary({"weight": 40, "pause": True}))  # whose pods are ready already
    assert session.cluster.images() == ["app:1", "app:2", "app:2"]


def test_a_version_that_is_rolled_out_again_has_a_new_revision(session):
    assert [deploy(session, version)["revision"] for version in (1, 2, 1)] == [1, 2, 3]


def test_a_rollback_returns_to_the_version_that_was_in_service_and_is_not_repeated(session):
    deploy(session, 1)
    deploy(session, 2, state="paused")
    deploy(session, 3)
    for is_first in (True, False):
        result, error = session.perform(rollout(3, state="rolled_back"))
        assert error is None and result["changed"] == is_first and session.cluster.images() == ["app:1"] * 2


def test_a_change_to_rolling_removes_a_canary_with_its_route(session):
    deploy(session, 1, strategy="canary")
    deploy(session, 2, strategy="canary", canary=canary({"weight": 20, "pause": True}, route=ROUTE))
    deploy(session, 3, strategy="rolling")
    assert [ref["name"] for ref in session.own("HTTPRoute")[0]["spec"]["rules"][0]["backendRefs"]] == ["web"]
    assert len(session.own("Service")) == 1
    deploy(session, 3, strategy="rolling", service="front")
    assert [ref["name"] for ref in session.own("HTTPRoute")[0]["spec"]["rules"][0]["backendRefs"]] == ["front"]


def test_pods_of_the_same_version_that_fail_are_not_rolled_back(session):
    deploy(session, 1, 2, strategy="rolling")
    session.cluster.fates["app:2"] = "never"
    session.cluster.settle()
    result, error = session.perform(rollout(2, "rolling", replicas=3, rollback_on_failure=True))
    assert error.reason == "WaitFailed" and "revision" not in str(error)
    assert [step["action"] for step in result["plan"] if step["kind"] == "Deployment"] == ["patch"]


def test_a_rollback_after_a_failure_restores_the_settings_of_the_deployment_but_no_number_of_replicas(session):
    def settings():
        item = session.own("Deployment")[0]
        spec = item["spec"]
        return spec["minReadySeconds"], spec["progressDeadlineSeconds"], spec["strategy"], item["metadata"]["labels"]

    options = {"min_ready_seconds": 1, "progress_deadline": 50, "max_surge": 1, "labels": {"app": "old"}}
    deploy(session, 1, strategy="rolling", **options)
    before = settings()
    session.cluster.fates["app:2"] = "never"
    failing = {"min_ready_seconds": 0, "progress_deadline": 5, "max_surge": 2, "labels": {"app": "new"}, "rollback_on_failure": True}
    assert session.perform(rollout(2, "rolling", replicas=3, **failing))[1].reason == "WaitFailed"
    assert settings() == before and session.cluster.images() == ["app:1"] * 3
    plan = deploy(session, 1, strategy="rolling", replicas=3, **options)["plan"]
    assert [change["path"] for step in plan for change in step["patch"]] == ["/metadata/annotations/podwright.io~1rolled-back"]


def test_a_rollback_that_fails_leaves_the_version_in_service(session):
    deploy(session, 1, 2, strategy="canary")
    session.cluster.fates["app:1"] = "never"
    assert session.perform(rollout(2, state="rolled_back"))[1].reason == "WaitFailed"
    assert session.cluster.images() == ["app:2"] * 2
    deploy(session, 2, strategy="canary")
    assert not [item for item in session.own("Deployment") if annotation_of(item, ROLLED_BACK)]
    assert [item["spec"]["replicas"] for item in session.own("Deployment") if image_of(item["spec"]["template"]) == "app:1"] == [0]


def test_an_abort_waits_until_the_controller_has_observed_the_rollout(session, monkeypatch):
    deploy(session, 1, strategy="rolling")
    with monkeypatch.context() as stopped:
        stopped.setattr(session.cluster, "_reconcile", lambda item: None)
        deploy(session, 2, strategy="rolling", wait=False)
        end = session.cluster.clock.time + 9
        session.cluster.on_turn = lambda: stopped.undo() if session.cluster.clock.time > end else None
        _result, error = session.perform(rollout(2, "rolling", state="aborted", wait_timeout=1, wait=False))
    session.cluster.settle()
    assert error is None and session.cluster.images() == ["app:1"] * 2


def listening(version, target, strategy="blue_green", **options):
    """Options of a version whose pods listen on a port of their own."""
    return rollout(version, strategy, service={"name": "web", "ports": [{"port": 80, "target_port": target}]}, **options)


def targets(session):
    """The target ports of the Service."""
    return [port["targetPort"] for port in session.cluster.service()["spec"]["ports"]]


@pytest.mark.parametrize(
    ("strategy", "given", "after", "expected"),
    [
        ("rolling", {}, {"state": "rolled_back"}, [8080]),
        ("rolling", {"state": "paused"}, {"state": "promoted"}, [9090]),
        ("rolling", {"state": "paused"}, {"state": "aborted"}, [8080]),
        ("blue_green", {}, {"state": "rolled_back"}, [8080]),
        ("blue_green", {"state": "paused"}, {"state": "promoted"}, [9090]),
        ("canary", {}, {"state": "rolled_back"}, [8080]),
        ("canary", {"canary": canary({"weight": 50, "pause": True}, route=ROUTE)}, {"state": "aborted"}, [8080]),
        ("canary", {"canary": canary({"weight": 50, "pause": True}, route=ROUTE)}, {"state": "promoted"}, [9090]),
    ],
)
def test_the_ports_of_the_service_are_those_of_the_version_in_service(session, strategy, given, after, expected):
    for params in (listening(1, 8080, strategy), listening(2, 9090, strategy, **given)):
        assert session.perform(params)[1] is None
    assert targets(session) == ([9090] if not given else [8080])
    predicted, _error = session.perform(rollout(2, strategy, **after), check_mode=True)
    result, error = session.perform(rollout(2, strategy, **after))
    assert error is None and targets(session) == expected
    steps = [[(step["action"], step["kind"]) for step in outcome["plan"] if step["kind"] == "Service"] for outcome in (predicted, result)]
    assert steps[0] == steps[1]
    again, error = session.perform(rollout(2, strategy, **after))
    assert error is None and not again["changed"]
    version, port = (1, 8080) if expected == [8080] else (2, 9090)
    assert session.perform(listening(version, port, strategy))[1] is None and targets(session) == expected
    assert not session.perform(listening(version, port, strategy))[0]["changed"]


def test_a_port_that_only_another_version_has_is_removed_by_a_rollback_and_by_the_next_rollout(session):
    for version, port in ((1, 80), (2, 81)):
        assert session.perform(rollout(version, service={"name": "web", "ports": [port]}))[1] is None
    for params, expected in ((rollout(2, state="rolled_back"), 80), (rollout(2, service={"name": "web", "ports": [81]}), 81)):
        assert session.perform(params)[1] is None
        assert [port["port"] for port in session.cluster.service()["spec"]["ports"]] == [expected]


@pytest.mark.parametrize("rolls_back", [False, True])
def test_ports_of_a_version_that_fails_or_is_refused_never_reach_the_service(session, monkeypatch, rolls_back):
    assert session.perform(listening(1, 8080, "rolling"))[1] is None
    session.cluster.fates["app:2"] = "never"
    result, error = session.perform(listening(2, 9090, "rolling", wait=False, rollback_on_failure=rolls_back))
    assert error.reason == "WaitFailed" and "Service" not in {step["kind"] for step in result["plan"] if step["action"] != "none"}

    def refuse(kind, *arguments, **options):
        if kind.name == "Deployment":
            raise PodwrightError("maxSurge: invalid", status=422, reason="Invalid")
        return apply(kind, *arguments, **options)

    apply = session.cluster.apply
    monkeypatch.setattr(session.cluster, "apply", refuse)
    assert refused(session, listening(3, 9090, "rolling")).reason == "Invalid" and targets(session) == [8080]


def test_a_version_that_an_earlier_collection_has_created_gets_its_ports_back(session):
    assert session.perform(listening(1, 8080))[1] is None
    for item in session.own("Deployment"):
        del item["metadata"]["annotations"][PORTS]
    for params in (listening(2, 9090), rollout(2, state="rolled_back")):
        assert session.perform(params)[1] is None
    assert targets(session) == [8080]


def test_a_revision_whose_ports_are_unknown_is_a_warning(session):
    assert session.perform(listening(1, 8080, "rolling"))[1] is None
    for item in [*session.own("Deployment"), *session.cluster.of_kind("ReplicaSet")]:
        item["metadata"]["annotations"].pop(PORTS, None)
    assert session.perform(listening(2, 9090, "rolling"))[1] is None
    console = Console()
    with session.patches():
        attempt(pod_deployment.OPERATION, Invocation(complete(rollout(2, state="rolled_back")), False, False, console, session.cluster))
    assert ["that of revision 1, which an earlier Podwright created, is unknown" in text for text in console.warnings] == [True]


@pytest.mark.parametrize(
    ("before", "after", "is_refused"),
    [(8080, 9090, True), ("http", 9090, True), (8080, "http", False), ("http", "http", False), (80, "unknown", False)],
)
def test_a_canary_whose_service_cannot_lead_to_both_versions_is_refused(session, before, after, is_refused):
    ports = {"ports": [{"container_port": 8080, "name": "http"}]}
    assert session.perform(listening(1, before, "canary", **ports))[1] is None
    params = listening(2, after, "canary", canary=canary({"weight": 50, "pause": True}), **ports)
    if is_refused:
        assert f"the target port of port 80 changes from {before} to {after}." in str(refused(session, params))
    else:
        assert session.perform(params)[1] is None and targets(session) == [before]


def test_a_changed_target_port_is_a_warning_of_rolling(session):
    assert session.perform(listening(1, 8080, "rolling"))[1] is None
    console = Console()
    with session.patches():
        attempt(pod_deployment.OPERATION, Invocation(complete(listening(2, 9090, "rolling")), True, False, console, session.cluster))
    assert [text.partition(": ")[0] for text in console.warnings] == ["Requests can be lost during the rollout"]


@pytest.mark.parametrize("state", ["aborted", "rolled_back"])
def test_a_route_follows_the_ports_of_its_service(session, state):
    steps = canary({"weight": 20, "pause": state == "aborted"}, route=ROUTE)
    for version, port in ((1, 80), (2, 81)):
        assert session.perform(rollout(version, "canary", canary=steps, service={"name": "web", "ports": [port]}))[1] is None
    refs = [(ref["name"], ref["port"]) for ref in session.own("HTTPRoute")[0]["spec"]["rules"][0]["backendRefs"]]
    assert refs == ([("web", 80), ("web-canary", 81)] if state == "aborted" else [("web", 81)])
    assert session.perform(rollout(2, state=state))[1] is None
    assert [(ref["name"], ref["port"]) for ref in session.own("HTTPRoute")[0]["spec"]["rules"][0]["backendRefs"]] == [("web", 80)]


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "canary"])
@pytest.mark.parametrize("state", ["present", "paused", "promoted", "aborted", "rolled_back", "absent"])
def test_a_service_without_a_selector_and_a_rule_without_backends_are_accepted(session, strategy, state):
    """Both are what somebody else may have edited."""
    deploy(session, 1, strategy="canary", canary=canary(route=ROUTE))
    deploy(session, 2, strategy="canary", canary=canary({"weight": 20, "pause": True}, route=ROUTE))
    session.own("HTTPRoute")[0]["spec"]["rules"].append({"filters": [{"type": "RequestRedirect"}]})
    del session.cluster.service()["spec"]["selector"]
    _result, error = session.perform(rollout(2, strategy, state=state, service="front"))
    assert error is None or error.reason in ("OtherStrategy", "NoRevision"), error
