# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for a state or a condition: when it is met, when it never can be, and what a timeout says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.readiness import FAILED, PROGRESSING, READY, assess
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler import goal as module
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.goal import Goal, condition_assessment, wait_for

JOB = BUILT_IN["batch/v1", "Job"]
COMPLETE = {"type": "Complete", "status": "True", "reason": None}
FAILED_JOB = {"kind": "Job", "metadata": {"name": "web"}, "spec": {}, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}
DEPLOYMENT = BUILT_IN["apps/v1", "Deployment"]
READY_POD = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "task", "state": {"running": {}}}]}
RUNNING = {"phase": "Running", "containerStatuses": [{"name": "task", "state": {"running": {}}}]}
PENDING = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}
SCHEDULED = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}
SUCCEEDED = {"phase": "Succeeded", "containerStatuses": [{"name": "task", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}
BROKEN = {"phase": "Failed", "containerStatuses": [{"name": "task", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}


def pod(status, name="web"):
    return {"kind": "Pod", "metadata": {"name": name, "namespace": "n", "uid": f"uid-{name}"}, "spec": {"containers": [{"name": "task"}]}, "status": status}


def deployment(*conditions):
    available = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    status = {"conditions": list(conditions)} | (available if not conditions else {})
    return {"kind": "Deployment", "metadata": {"name": "web", "namespace": "n", "uid": "uid-web", "generation": 1}, "spec": {"replicas": 1}, "status": status}


def goal(kind=POD, name="web", wait_for="ready", wait_condition=None):
    return Goal(kind, {"wait_condition": wait_condition, "wait_for": wait_for, "wait_timeout": 5, "name": name})


@pytest.fixture
def wait(monkeypatch):
    """A function that waits among events, {seconds of the clock: event}, and returns the objects, what was shown, and the seconds that passed."""

    def wait(wanted, found, events=(), version="1", listed=()):
        now, events, shown = [0.0], dict(events), []

        class Watcher:
            def __init__(self, client):
                pass

            def __enter__(self):
                return self

            def __exit__(self, *exception):
                pass

            def follow(self, kind, namespace, version, known, **selectors):
                shown.append(f"watch from {version} with {len(known)}")

            def next(self, seconds):
                now[0] += seconds
                return events.pop(now[0], None)

        class Quiet(Console):
            def progress(self, text):
                shown.append(text)

        availability = SimpleNamespace(describe=lambda: "")
        client = SimpleNamespace(clock=SimpleNamespace(monotonic=lambda: now[0]), availability=availability, list=lambda *_a, **_s: (list(listed), "9"))
        monkeypatch.setattr(module, "Watcher", Watcher)
        monkeypatch.setattr(module, "list_events", lambda *_arguments: [])
        monkeypatch.setattr(module, "log_tail", lambda *_arguments: module.Tail())
        found = {item["metadata"]["uid"]: item for item in found}
        wait_for(client, Quiet(), wanted, "n", found, version, {"label_selector": None, "field_selector": None})
        return found, shown, now[0]

    return wait


@pytest.mark.parametrize(
    ("state", "met", "unmet"),
    [
        ("scheduled", [SCHEDULED], [PENDING, {}]),
        ("running", [RUNNING, READY_POD], [PENDING, SUCCEEDED]),
        ("ready", [READY_POD, SUCCEEDED], [RUNNING, PENDING, BROKEN]),
        ("completed", [SUCCEEDED, BROKEN], [RUNNING, READY_POD]),
        ("deleted", [], [RUNNING, SUCCEEDED]),
    ],
)
def test_a_pod_meets_a_state(state, met, unmet):
    wanted = goal(wait_for=state)
    assert all(wanted.is_met_by(pod(status)) for status in met) and not any(wanted.is_met_by(pod(status)) for status in unmet)
    assert wanted.text == state and wanted.subject == "Pod 'web'" and wanted.is_deletion == (state == "deleted")


@pytest.mark.parametrize(("status", "is_ready"), [(READY_POD, True), (SUCCEEDED, True), (RUNNING, False), (PENDING, False), (BROKEN, False)])
def test_a_pod_is_ready_by_the_rules_of_sets(status, is_ready):
    """As the guide says: selectors may match the finished pods of a Job; only a condition is that of the pod itself."""
    assert goal().is_met_by(pod(status)) == (assess(pod(status)).state == READY) == is_ready
    assert goal(wait_condition={"type": "Ready", "status": "True", "reason": None}).is_met_by(pod(status)) == (status is READY_POD)


def test_a_pod_that_its_node_refused_was_scheduled():
    """The kubelet rejects a pod without conditions."""
    rejected = pod({"phase": "Failed", "reason": "UnexpectedAdmissionError"})
    rejected["spec"]["nodeName"] = "node-1"
    assert goal(wait_for="scheduled").is_met_by(rejected) and goal(wait_for="scheduled").obstacle(rejected) is None


def test_objects_of_other_kinds_are_ready_by_their_own_rules():
    wanted = goal(DEPLOYMENT, name=None, wait_for=None)
    assert wanted.is_met_by(deployment()) and not wanted.is_met_by(deployment({"type": "Available", "status": "False"}))
    assert wanted.subject == "Deployment that matches the selectors" and wanted.text == "ready"


def test_a_goal_is_reached_by_all_objects_and_not_by_none():
    wanted = goal()
    assert not wanted.is_reached({}) and wanted.is_reached({"1": pod(READY_POD)}) and not wanted.is_reached({"1": pod(READY_POD), "2": pod(RUNNING)})
    assert goal(wait_for="deleted").is_reached({}) and not goal(wait_for="deleted").is_reached({"1": pod(SUCCEEDED)})


@pytest.mark.parametrize(
    ("wanted", "item", "obstacle"),
    [
        (goal(wait_for="running"), pod(SUCCEEDED), "has terminated, and is not running any more"),
        (goal(wait_for="running"), pod(BROKEN), "has terminated, and is not running any more"),
        (goal(wait_for="running"), pod(PENDING), None),
        (goal(wait_for="scheduled"), pod(BROKEN), "terminated before it was scheduled"),
        (goal(wait_for="scheduled"), pod(PENDING), None),
        (goal(), pod(BROKEN), "terminated before it was ready"),
        (goal(), pod(SUCCEEDED), None),
        (goal(), pod(RUNNING), None),
        (goal(wait_for="completed"), pod(BROKEN), None),
        (goal(DEPLOYMENT), deployment({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}), "cannot become ready"),
        (goal(DEPLOYMENT), deployment(), None),
        (
            goal(DEPLOYMENT, wait_condition=COMPLETE | {"type": "Available"}),
            deployment({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}),
            None,
        ),
        (goal(JOB, wait_condition=COMPLETE), FAILED_JOB, "cannot be in condition Complete=True"),
        (goal(JOB, wait_condition=COMPLETE | {"type": "Failed"}), FAILED_JOB, None),
        (goal(wait_condition=COMPLETE | {"type": "ready"}), pod(SUCCEEDED), "has terminated, and cannot be in condition ready=True any more"),
        (goal(wait_condition=COMPLETE | {"type": "ContainersReady"}), pod(BROKEN), "has terminated, and cannot be in condition ContainersReady=True any more"),
        (goal(wait_condition=COMPLETE | {"type": "PodScheduled"}), pod(SUCCEEDED | {"conditions": SCHEDULED["conditions"]}), None),
        (goal(wait_condition=COMPLETE | {"type": "Ready"}), pod(PENDING), None),
        (goal(wait_condition=COMPLETE | {"type": "Ready", "status": "False"}), pod(SUCCEEDED), None),
        (goal(wait_condition=COMPLETE | {"type": "example.com/archived"}), pod(SUCCEEDED), None),
    ],
)
def test_a_goal_that_cannot_be_met_any_more_is_seen(wanted, item, obstacle):
    assert wanted.obstacle(item) == obstacle


def test_a_condition_may_name_its_reason():
    option = {"type": "Ready", "status": "True", "reason": None}
    assert goal(wait_condition=option).text == "in condition Ready=True" and goal(wait_condition=option).is_met_by(pod(READY_POD))
    assert not goal(wait_condition=option | {"reason": "Other"}).is_met_by(pod(READY_POD))


def test_a_condition_may_be_written_in_any_case():
    assert goal(wait_condition={"type": "ready", "status": "True", "reason": None}).is_met_by(pod(READY_POD))
    both = pod({"conditions": [{"type": "ready", "status": "False"}, {"type": "Ready", "status": "True"}]})
    assert goal(wait_condition={"type": "Ready", "status": "True", "reason": None}).is_met_by(both), "its own case comes first"


def test_an_object_without_the_condition_is_described():
    by_condition = condition_assessment({"type": "Ready", "status": "True", "reason": None})
    assert by_condition(pod(READY_POD)).state == READY
    missing, refused = by_condition(pod(RUNNING)), by_condition(deployment({"type": "Ready", "status": "False", "reason": "Busy"}))
    assert missing.state == PROGRESSING and missing.message.startswith("condition Ready is missing")
    assert refused.message.startswith("condition Ready is False (Busy)")
    assert by_condition(pod(BROKEN)).state == FAILED and by_condition(pod(SUCCEEDED)).state == FAILED
    assert condition_assessment({"type": "archived", "status": "True", "reason": None})(pod(SUCCEEDED)).state == PROGRESSING


def test_a_goal_that_is_reached_needs_no_watch(wait):
    assert wait(goal(), [pod(READY_POD)]) == ({"uid-web": pod(READY_POD)}, [], 0.0)


def test_events_reach_the_goal(wait):
    found, shown, seconds = wait(goal(), [pod(PENDING)], {1.0: ("MODIFIED", pod(RUNNING)), 3.0: ("MODIFIED", pod(READY_POD))})
    assert seconds == 3.0 and found == {"uid-web": pod(READY_POD)}
    assert shown == ["watch from 1 with 1", *["0 of 1 pods ready"] * 3]


def test_deletions_reach_their_goal(wait):
    found, _shown, seconds = wait(
        goal(wait_for="deleted"), [pod(RUNNING), pod(RUNNING, "b")], {1.0: ("DELETED", pod(RUNNING)), 2.0: ("DELETED", pod(RUNNING, "b"))}
    )
    assert not found and seconds == 2.0


def test_without_a_version_the_objects_are_listed_again(wait):
    found, shown, seconds = wait(goal(), [pod(RUNNING, "old")], {1.0: ("MODIFIED", pod(READY_POD))}, version=None, listed=[pod(RUNNING)])
    assert found == {"uid-web": pod(READY_POD)} and shown[0] == "watch from 9 with 1" and seconds == 1.0


def test_a_timeout_says_what_is_missing(wait):
    with pytest.raises(PodwrightError) as error:
        wait(goal(), [pod(PENDING)])
    assert str(error.value).startswith("Pod 'web' in namespace 'n' was not ready within 5 s: Unschedulable: 0/1 nodes.") and error.value.reason == "WaitFailed"
    with pytest.raises(PodwrightError, match=r"^No Pod 'web' was found within 5 s\."):
        wait(goal(), [])


def test_a_timeout_is_kept(wait):
    found, _shown, seconds = wait(goal(), [pod(RUNNING)], {5.0: ("MODIFIED", pod(READY_POD))})
    assert seconds == 5.0 and found
    with pytest.raises(PodwrightError, match="was not ready within 5 s"):
        wait(goal(), [pod(RUNNING)], {6.0: ("MODIFIED", pod(READY_POD))})


@pytest.mark.parametrize("when", [None, 2.0])
def test_an_object_that_cannot_meet_it_fails_the_wait(wait, when):
    with pytest.raises(PodwrightError, match=r"^Pod 'web' in namespace 'n' terminated before it was ready: Error"):
        wait(goal(), [pod(BROKEN if when is None else RUNNING)], {when: ("MODIFIED", pod(BROKEN))} if when else {})


def test_a_failed_object_of_another_kind_is_described(wait):
    broken = deployment({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "it took too long"})
    with pytest.raises(PodwrightError, match=r"^Deployment 'web' in namespace 'n' cannot become ready: .*it took too long"):
        wait(goal(DEPLOYMENT), [broken])


def test_a_failure_of_an_earlier_spec_does_not_fail_the_wait(wait):
    failed = deployment({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "it took too long"})
    changed = failed | {"metadata": failed["metadata"] | {"generation": 2}}
    written, observed = (changed | {"status": failed["status"] | {"observedGeneration": number}} for number in (1, 2))
    done = deployment() | {"metadata": changed["metadata"], "status": deployment()["status"] | {"observedGeneration": 2}}
    assert wait(goal(DEPLOYMENT), [written], {1.0: ("MODIFIED", observed), 2.0: ("MODIFIED", done)})[2] == 2.0
