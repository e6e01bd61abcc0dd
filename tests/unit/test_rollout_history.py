# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which version of a deployment was in service, which one is newer, and what check mode predicts of both."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.deployments.generations import Generations
from ansible_collections.podwright.core.plugins.module_utils._engine.deployments.rolling import Rolling
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
    killed_in(rollout(2, "rolling"), Rolling, "remove_route_split")
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
