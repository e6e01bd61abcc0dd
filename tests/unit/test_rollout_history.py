# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which version of a deployment was in service, which one is newer, and what check mode predicts of both."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.deployments import rolling
from ansible_collections.podwright.core.plugins.module_utils._engine.deployments.generations import Generations
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import ROLLED_BACK, SERVED

from .fake_cluster import Killed
from .model_rollouts import NAMESPACE, image_of
from .test_rollout_model import Session, populate
from .test_rollouts import canary, deploy, rollout


@pytest.fixture
def session():
    made = Session(0)
    populate(made)
    return made


@pytest.fixture
def killed_in(session, monkeypatch):
    """Kill a run when it calls a method."""

    def kill(params, owner, method):
        def die(*_arguments):
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(owner, method, die)
            assert session.perform(params) == (None, None)

    return kill


def images(session):
    """The images of all Deployments."""
    return {image_of(item["spec"]["template"]) for item in session.own("Deployment")}


def change(session, body):
    """Another client changes the Deployment."""
    session.cluster.update(("Deployment", NAMESPACE, "web"), {"apiVersion": "apps/v1", "kind": "Deployment"} | body)


def change_template(session, **fields):
    change(session, {"spec": {"template": fields}})


def roll_back(session, **options):
    """Returns: whether the rollback changed anything."""
    result, error = session.perform(rollout(0, state="rolled_back", **options))
    assert error is None, error
    session.cluster.settle()
    return result["changed"]


def forget(session):
    """As an earlier version of the collection has left the Deployments."""
    for item in session.own("Deployment"):
        item["metadata"]["annotations"].pop(SERVED, None)


# -- generations ----------------------------------------------------------------------------------------------


def test_a_version_that_never_was_in_service_is_deleted(session):
    session.cluster.fates["app:1"] = "never"
    assert session.perform(rollout(1))[1].reason == "WaitFailed"
    predicted, _error = session.perform(rollout(2), check_mode=True)
    assert ("delete", "it is not in service") in [(step["action"], step.get("note")) for step in predicted["plan"]]
    deploy(session, 2)
    assert images(session) == {"app:2"} and not deploy(session, 2)["changed"]


def test_a_rollback_returns_to_no_version_that_never_was_in_service(session, killed_in):
    deploy(session, 1)
    deploy(session, 2, state="paused")
    killed_in(rollout(3), Generations, "_clean_up")
    assert images(session) == {"app:1", "app:2", "app:3"} and roll_back(session)
    assert session.cluster.images() == ["app:1"] * 2


def test_versions_of_an_earlier_collection_are_kept_for_a_rollback(session):
    deploy(session, 1, 2)
    forget(session)
    assert not deploy(session, 2)["changed"] and images(session) == {"app:1", "app:2"}
    deploy(session, 3)
    assert images(session) == {"app:2", "app:3"}
    forget(session)
    assert roll_back(session) and session.cluster.images() == ["app:2"] * 2 and not roll_back(session)


# -- an interrupted change of the strategy to rolling -----------------------------------------------------------


@pytest.fixture
def incomplete(session):
    """A change of the strategy whose new pods are not ready."""
    deploy(session, 1)
    session.cluster.fates["app:2"] = "never"
    result, error = session.perform(rollout(2, "rolling"))
    assert error.reason == "WaitFailed" and session.cluster.images() == ["app:1"] * 2
    return result


def test_abort_deletes_the_pods_of_the_new_strategy(session, incomplete):
    predicted, _error = session.perform(rollout(2, state="promoted"), check_mode=True)
    assert predicted["preview"] is None and predicted["active"] == "rolling"
    result, error = session.perform(rollout(2, state="aborted"))
    assert error is None and [(step["action"], step["name"]) for step in result["plan"]] == [("delete", "web")]
    assert session.cluster.images() == ["app:1"] * 2 and images(session) == {"app:1"} and result["preview"] is None


def test_promote_completes_the_change_of_the_strategy(session, incomplete):
    assert session.perform(rollout(2, state="promoted"))[1].reason == "WaitFailed" and session.cluster.images() == ["app:1"] * 2
    session.cluster.fates["app:2"] = "ready"
    session.cluster.settle()
    assert session.perform(rollout(2, state="promoted"))[1] is None
    assert session.cluster.images() == ["app:2"] * 2 and images(session) == {"app:2"}
    assert not deploy(session, 2, strategy="rolling")["changed"]


@pytest.mark.parametrize("state", ["promoted", "aborted"])
def test_a_strategy_that_has_been_replaced_is_not_brought_into_service_again(session, killed_in, state):
    deploy(session, 1)
    killed_in(rollout(2, "rolling"), rolling, "remove_route_split")
    result, error = session.perform(rollout(2, state=state))
    assert error is None and session.cluster.images() == ["app:2"] * 2 and result["active"] == "rolling"
    assert images(session) == {"app:2"} | ({"app:1"} if state == "aborted" else set())


# -- the mark of a rollback with the strategy rolling -----------------------------------------------------------


@pytest.fixture
def rolled_back(session):
    deploy(session, 1, 2, strategy="rolling")
    session.cluster.settle()
    assert roll_back(session, wait=False) and not roll_back(session, wait=False) and not roll_back(session, revision=1)
    assert session.cluster.images() == ["app:1"] * 2


def test_a_rollback_is_repeated_once_somebody_has_changed_the_pods(session, rolled_back):
    change_template(session, spec={"containers": [{"name": "task", "image": "app:3"}]})
    session.cluster.settle()
    assert session.cluster.images() == ["app:3"] * 2
    assert roll_back(session) and session.cluster.images() == ["app:1"] * 2 and not roll_back(session)


def test_pods_that_somebody_changes_after_a_rollback_can_be_aborted(session, rolled_back):
    session.cluster.fates["app:3"] = "never"
    change_template(session, spec={"containers": [{"name": "task", "image": "app:3"}]})
    session.cluster.clock.sleep(5)
    assert session.perform(rollout(0, state="aborted"))[1] is None
    assert session.cluster.images() == ["app:1"] * 2 and not [pod for pod in session.cluster.of_kind("Pod") if image_of(pod) == "app:3"]


def test_a_rollback_of_pods_to_which_others_have_added_something_is_not_repeated(session):
    deploy(session, 1, 2, strategy="rolling")
    change_template(session, metadata={"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}})
    session.cluster.settle()
    assert roll_back(session, revision=1) and not roll_back(session) and session.cluster.images() == ["app:1"] * 2


def test_the_mark_of_an_earlier_collection_counts(session, rolled_back):
    change(session, {"metadata": {"annotations": {ROLLED_BACK: "1"}}})
    assert not roll_back(session) and session.cluster.images() == ["app:1"] * 2


def test_a_rollback_to_the_revision_in_service_changes_nothing(session):
    revision = deploy(session, 1, 2, strategy="rolling")["revision"]
    assert not roll_back(session, revision=revision) and session.cluster.images() == ["app:2"] * 2
    assert roll_back(session) and session.cluster.images() == ["app:1"] * 2


# -- check mode -----------------------------------------------------------------------------------------------


def described(result):
    steps = [(step["action"], step["name"], step.get("note"), step["patch"] if step["action"] == "patch" else None) for step in result["plan"]]
    return steps, result["active"], result["preview"], result["weights"]


@pytest.mark.parametrize(
    ("before", "then"),
    [
        ([rollout(1, "canary"), rollout(2, "canary")], {"state": "rolled_back"}),
        ([rollout(1), rollout(2), rollout(2, state="rolled_back")], {}),
        ([rollout(1, "canary")], {"strategy": "canary", "canary": canary({"weight": 50, "pause": True})}),
        ([rollout(1, "canary"), rollout(2, "canary", canary=canary({"weight": 50, "pause": True}))], {"state": "promoted"}),
    ],
)
def test_check_mode_predicts_the_plan_and_the_status(session, before, then):
    for params in before:
        assert session.perform(params)[1] is None
    predicted, _error = session.perform(rollout(2, **then), check_mode=True)
    result, error = session.perform(rollout(2, **then))
    assert error is None and described(predicted) == described(result)


def test_check_mode_wakes_a_version_that_an_autoscaler_scales(session):
    deploy(session, 1, strategy="canary")
    session.autoscale(3)
    deploy(session, 2, strategy="canary")
    assert session.perform(rollout(1, "canary"), check_mode=True)[1] is None


# -- the Service that belongs to a version ------------------------------------------------------------------------


def names(session):
    """The names of the Services, and of the generations that they select."""
    found = {item["metadata"]["name"]: item["spec"]["selector"] for item in session.own("Service")}
    active = {item["spec"]["selector"]["matchLabels"]["podwright.io/generation"] for item in session.active()}
    assert all(selector.get("podwright.io/generation") in active for selector in found.values())
    return sorted(found)


def behind(name, version, strategy="rolling", **options):
    service = {"name": name, "ports": [{"port": 80, "target_port": 8080 + version}]}
    return rollout(version, strategy, **({"service": service if name else None} | options))


@pytest.mark.parametrize(
    ("strategy", "before", "after"),
    [(strategy, "front", "other") for strategy in ("rolling", "blue_green", "canary")] + [("rolling", "front", None), ("rolling", None, "other")],
)
def test_a_version_returns_with_its_service(session, strategy, before, after):
    for name, version in ((before, 1), (after, 2)):
        assert session.perform(behind(name, version, strategy))[1] is None and names(session) == ([name] if name else [])
    back = behind(None, 0, state="rolled_back")
    predicted, _error = session.perform(back, check_mode=True)
    result, error = session.perform(back)
    assert error is None and names(session) == ([before] if before else []) and session.cluster.images() == (["app:1"] * 2 if before else [])
    done, expected = ([(step["action"], step["name"]) for step in run["plan"] if step["kind"] == "Service"] for run in (result, predicted))
    assert done == expected and ("delete", after) in done if after else ("create", before) in done
    session.cluster.settle()
    assert not session.perform(back)[0]["changed"]


@pytest.mark.parametrize("rolls_back", [True, False])
def test_the_service_of_a_version_that_failed_is_deleted(session, rolls_back):
    assert session.perform(behind("front", 1))[1] is None
    session.cluster.fates["app:2"] = "never"
    assert session.perform(behind("other", 2, rollback_on_failure=rolls_back))[1].reason == "WaitFailed"
    if not rolls_back:
        assert session.perform(behind("other", 2, state="aborted"))[1] is None
    assert names(session) == ["front"] and session.cluster.images() == ["app:1"] * 2


def test_a_promoted_version_has_its_service_alone(session):
    assert session.perform(behind("front", 1))[1] is None and session.perform(behind("other", 2, state="paused"))[1] is None
    assert session.perform(behind("other", 2, state="promoted"))[1] is None and names(session) == ["other"]
    assert not session.perform(behind("other", 2))[0]["changed"]


def test_an_aborted_canary_leaves_the_service_before_it(session):
    assert session.perform(behind("front", 1, "canary", service={"name": "front", "ports": [80]}))[1] is None
    steps = {"service": {"name": "other", "ports": [80]}, "canary": canary({"weight": 50, "pause": True})}
    assert session.perform(behind("other", 2, "canary", **steps))[1] is None
    assert session.perform(behind("other", 2, "canary", state="aborted"))[1] is None
    assert names(session) == ["front"] and session.cluster.images() == ["app:1"] * 2


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_a_return_to_a_service_that_belongs_to_somebody_else_is_refused(session, strategy):
    assert session.perform(behind("front", 1, strategy))[1] is None and session.perform(behind("other", 2, strategy))[1] is None
    session.cluster.add({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}, "spec": {"selector": {"a": "b"}}})
    _result, error = session.perform(behind("other", 2, state="rolled_back"))
    assert error.reason == "NotOurs" and names(session) == ["other"] and session.cluster.images() == ["app:2"] * 2


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_a_version_of_an_earlier_collection_keeps_the_service_that_exists(session, strategy):
    assert session.perform(behind("front", 1, strategy))[1] is None
    for item in [*session.own("Deployment"), *session.cluster.of_kind("ReplicaSet")]:
        item["metadata"]["annotations"]["podwright.io/service-ports"] = '[{"port": 80, "protocol": "TCP", "targetPort": 8081}]'
    assert session.perform(behind("front", 2, strategy))[1] is None
    assert session.perform(behind("front", 2, state="rolled_back"))[1] is None
    assert names(session) == ["front"] and session.cluster.service()["spec"]["ports"][0]["targetPort"] == 8081
