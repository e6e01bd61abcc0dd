# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two runs of pod_deployment at the same moment: pods keep serving, an error says what the other run did, and a third run brings its version into service.

There is no lock: what a run reads and what it writes right after that are two requests. So pods are only demanded to keep serving while the other run acts
before a reading, not between the two.
"""

from __future__ import annotations

import threading
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import STEP_SINCE, annotation_of

from ..support.environment import scaled
from ..support.traces import shown_on_failure
from .model_rollouts import NAMESPACE, image_of
from .test_rollout_model import Session, calm_run, complete, draw, finish, populate, will_start
from .test_rollouts import canary, deploy, rollout

EXAMPLES = scaled(40)
REASONS = {None, "WaitFailed", "Analysis", "NothingToDo", "NoRevision", "BadOption", "Superseded"}
STATES = ["present", "present", "present", "promoted", "aborted", "rolled_back", "paused"]


class Turns:
    """Functions in threads of which one runs at a time; which one is chosen at each call of `pass_on`."""

    def __init__(self, rng):
        self._rng, self._turns, self._me = rng, [], threading.local()

    def run(self, *functions):
        """Returns: what each function returns. Raises: what the first of them raises."""
        outcomes = [None] * len(functions)
        turns = [threading.Semaphore(0) for _function in functions]
        self._turns = list(turns)
        end = threading.Semaphore(0)

        def act(number):
            self._me.turn = turns[number]
            self._me.turn.acquire()
            try:
                outcomes[number] = functions[number](), None
            except BaseException as error:
                outcomes[number] = None, error
            self._turns.remove(turns[number])
            (self._rng.choice(self._turns) if self._turns else end).release()

        threads = [threading.Thread(target=act, args=(number,), daemon=True) for number in range(len(functions))]
        for thread in threads:
            thread.start()
        self._rng.choice(self._turns).release()
        end.acquire()
        for thread in threads:
            thread.join()
        for _result, error in outcomes:
            if error:
                raise error
        return [result for result, _error in outcomes]

    def pass_on(self):
        """Let any of the functions run on; does nothing outside of them."""
        mine = getattr(self._me, "turn", None)
        chosen = self._rng.choice(self._turns) if mine else mine
        if chosen is not mine:
            chosen.release()
            mine.acquire()


class PairSession(Session):
    """A Session in which another run may bring the version into service that this one measures."""

    def measure(self, _invocation, operation, options, field):
        return self.outcomes.get(image_of(self.cluster.objects["Pod", NAMESPACE, options["pod"]]), 0), ""


def play(seed):
    session = PairSession(seed)
    rng, cluster = session.rng, session.cluster
    turns, is_close = Turns(rng), rng.random() < 0.3
    with shown_on_failure(cluster.trace):
        populate(session)
        strategy = rng.choice(["rolling", "blue_green", "canary"])
        for version in rng.sample(range(3), 2):
            calm_run(session, draw(rng, version, strategy) | {"state": "present", "service": "web"})
        cluster.settle()
        cluster.fates = {f"app:{version}": rng.choice(["ready", "late", "never"]) for version in (3, 4)}
        pair = [draw(rng, rng.randrange(5), strategy) | {"state": rng.choice(STATES), "service": "web"} for _run in range(2)]
        if rng.random() < 0.4:  # a version that fails, and its correction
            cluster.fates["app:3"] = "never"
            pair = [params | {"state": "present", "image": image, "rollback_on_failure": True} for params, image in zip(pair, ("app:3", "app:4"))]
        cluster.floor, cluster.allowed = 0 if is_close else min(1, *(session.promised(complete(params)) for params in pair)), None
        cluster.trace += [f"--- at the same moment {params}" for params in pair]
        setattr(cluster, "on_request" if is_close else "on_turn", turns.pass_on)
        with session.patches():
            outcomes = turns.run(*(partial(session.attempt, complete(params)) for params in pair))
        errors = [error for _result, error in outcomes]
        cluster.trace += [f"--- {error and error.reason} {error}" for error in errors]
        assert {error and error.reason for error in errors} <= REASONS | ({"NotFound"} if is_close else set()), errors
        cluster.settle()
        assert not cluster.violations, cluster.violations
        if strategy == "rolling":
            check_last(session, pair, errors)
        finish(session, strategy)


def check_last(session, pair, errors):
    """A version that a run has brought into service is only replaced by that of the other run."""
    succeeded = [params["image"] for params, error in zip(pair, errors) if error is None and params["state"] == "present"]
    if succeeded and all(params["state"] == "present" for params in pair):
        images = {params["image"] for params in pair if not is_undone(session, params)} or set(succeeded)
        assert set(image_in_service(session)) <= images, f"{image_in_service(session)} serves, {succeeded} succeeded"


def is_undone(session, params):
    """Whether a run returns to the version before."""
    return bool(params.get("rollback_on_failure")) and not will_start(session, params["image"])


@pytest.fixture
def session():
    made = PairSession(0)
    populate(made)
    return made


def run_while(session, first, when, act):
    """A run during which something is done as soon as `when` returns true. Returns: its result and error."""

    def turn():
        if when():
            session.cluster.on_turn = lambda: None
            act()

    session.cluster.on_turn, session.cluster.floor = turn, 0
    with session.patches():
        return session.attempt(complete(first))


def image_in_service(session):
    return [image_of(item["spec"]["template"]) for item in session.active()]


@pytest.mark.parametrize(("state", "images"), [("aborted", ["app:1"] * 2), ("rolled_back", ["app:0"] * 2), ("absent", []), ("promoted", ["app:2"] * 2)])
def test_a_canary_whose_rollout_another_run_finishes_says_so(session, state, images):
    deploy(session, 0, 1, strategy="canary")
    errors = []
    result, error = run_while(
        session,
        rollout(2, "canary", canary=canary({"weight": 50, "pause": 5}, {"weight": 60, "pause": 5})),
        when=lambda: any(annotation_of(item, STEP_SINCE) for item in session.own("Deployment")),
        act=lambda: errors.append(session.attempt(complete(rollout(3, state=state)))[1]),
    )
    session.cluster.settle()
    assert errors == [None] and session.cluster.images() == images
    if state == "promoted":
        assert error is None and result["changed"]
    else:
        assert error.reason == "Superseded" and "of deployment 'web' in namespace 'shop' was deleted during its rollout, probably by another run." in str(error)


def test_a_version_that_is_deleted_while_it_is_brought_into_service_leaves_the_traffic_to_pods(session):
    deploy(session, 0, 1)

    def delete():
        (item,) = session.active()
        session.cluster._delete(("Deployment", NAMESPACE, item["metadata"]["name"]))

    _result, error = run_while(session, rollout(2), lambda: image_in_service(session) == ["app:2"], delete)
    session.cluster.settle()
    assert error.reason == "Superseded" and "was deleted during its rollout" in str(error)
    assert session.cluster.images() == ["app:1"] * 2


def test_a_version_that_is_replaced_right_after_it_was_brought_into_service_says_so(session):
    deploy(session, 1)
    _result, error = run_while(
        session, rollout(2), lambda: image_in_service(session) == ["app:2"], lambda: session.attempt(complete(rollout(2, state="rolled_back")))
    )
    assert error.reason == "Superseded" and "was replaced by generation" in str(error)
    assert session.cluster.images() == ["app:1"] * 2


@pytest.mark.parametrize("request_number", range(8))
def test_a_clean_up_leaves_the_traffic_to_pods_when_another_run_switches_it_in_between(session, request_number):
    deploy(session, 1)
    deploy(session, 2, state="paused")
    left, errors = iter(range(request_number, -2, -1)), []

    def request():
        if image_in_service(session) == ["app:3"] and next(left, -1) == 0:
            errors.append(session.attempt(complete(rollout(2)))[1])

    session.cluster.floor, session.cluster.on_request = 0, request
    with session.patches():
        _result, error = session.attempt(complete(rollout(3)))
    session.cluster.settle()
    assert errors in ([], [None]) and (error is None or error.reason == "Superseded")
    assert session.cluster.images() in (["app:2"] * 2, ["app:3"] * 2)


@pytest.mark.parametrize("rolls_back", [False, True])
def test_a_canary_that_another_run_replaces_leaves_it_its_traffic(session, rolls_back):
    deploy(session, 1, strategy="canary")
    session.cluster.fates["app:2"] = "late"
    options = {"strategy": "canary", "canary": canary({"weight": 50, "pause": True})}
    errors = []
    _result, error = run_while(
        session,
        rollout(2, rollback_on_failure=rolls_back, **options),
        when=lambda: any(image_of(pod) == "app:2" for pod in session.cluster.of_kind("Pod")),
        act=lambda: errors.append(session.attempt(complete(rollout(3, **options)))[1]),
    )
    session.cluster.settle()
    assert errors == [None] and error.reason == "Superseded"
    assert {image_of(item["spec"]["template"]) for item in session.own("Deployment")} == set(session.cluster.images()) == {"app:1", "app:3"}


def test_a_new_strategy_that_loses_its_version_leaves_the_traffic_to_the_old_one(session):
    deploy(session, 1, strategy="rolling")

    def delete():
        (item,) = session.active()
        session.cluster._delete(("Deployment", NAMESPACE, item["metadata"]["name"]))

    _result, error = run_while(session, rollout(2), lambda: image_in_service(session) == ["app:2"], delete)
    session.cluster.settle()
    assert error.reason == "Superseded" and session.cluster.images() == ["app:1"] * 2


def test_generations_of_another_run_are_not_deleted(session):
    deploy(session, 0, 1)
    session.cluster.fates["app:2"] = "late"
    _result, error = run_while(
        session,
        rollout(2),
        when=lambda: any(image_of(pod) == "app:2" for pod in session.cluster.of_kind("Pod")),
        act=lambda: session.attempt(complete(rollout(3, state="paused"))),
    )
    assert error is None and session.cluster.images() == ["app:2"] * 2
    assert {image_of(item["spec"]["template"]) for item in session.own("Deployment")} == {"app:1", "app:2", "app:3"}


BAD = {"rollback_on_failure": True, "wait_timeout": 12}


@pytest.mark.parametrize("options", [{}, BAD])
@pytest.mark.parametrize(("state", "what", "images"), [("present", "changed", ["app:3"] * 2), ("aborted", "changed", ["app:1"] * 2), ("absent", "deleted", [])])
def test_a_rolling_update_that_another_run_replaces_says_so_and_undoes_nothing(session, options, state, what, images):
    deploy(session, 1, strategy="rolling")
    session.cluster.settle()
    session.cluster.fates |= {"app:2": "never", "app:3": "late"}
    errors = []
    result, error = run_while(
        session,
        rollout(2, "rolling", **options),
        when=lambda: any(image_of(pod) == "app:2" for pod in session.cluster.of_kind("Pod")),
        act=lambda: errors.append(session.attempt(complete(rollout(3, "rolling", state=state, wait=False)))[1]),
    )
    session.cluster.settle()
    assert errors == [None] and session.cluster.images() == images
    assert error.reason == "Superseded" and f"Deployment 'web' in namespace 'shop' was {what} during its rollout" in str(error)
    assert [step["action"] for step in result["plan"] if step["kind"] == "Deployment"] == ["patch"]


@pytest.mark.parametrize("state", ["aborted", "rolled_back"])
def test_a_return_to_a_revision_that_another_run_replaces_says_so(session, state):
    deploy(session, 1, 2, strategy="rolling")
    session.cluster.settle()
    if state == "aborted":
        deploy(session, 3, strategy="rolling", wait=False)
    writes = len(session.cluster.history)
    _result, error = run_while(
        session,
        rollout(2, state=state),
        when=lambda: len(session.cluster.history) > writes,
        act=lambda: session.attempt(complete(rollout(4, "rolling", wait=False))),
    )
    session.cluster.settle()
    assert error.reason == "Superseded" and session.cluster.images() == ["app:4"] * 2


def test_what_others_add_to_the_pods_replaces_no_version(session):
    deploy(session, 1, strategy="rolling")
    session.cluster.fates["app:2"] = "late"
    restart = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}
    _result, error = run_while(
        session,
        rollout(2, "rolling"),
        when=lambda: any(image_of(pod) == "app:2" for pod in session.cluster.of_kind("Pod")),
        act=lambda: session.cluster.update(("Deployment", NAMESPACE, "web"), {"apiVersion": "apps/v1", "kind": "Deployment"} | restart),
    )
    assert error is None and session.cluster.images() == ["app:2"] * 2


@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_two_rollouts_at_once_keep_their_promises(tried, seed):
    play(seed)
    tried("pairs of rollouts at the same moment in a simulated cluster", 1, "lost", "wrong")
