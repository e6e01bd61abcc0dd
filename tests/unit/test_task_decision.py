# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action for a task, and the record that replaces a deleted pod."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.diagnosis import Tail
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP
from ansible_collections.podwright.core.plugins.module_utils._engine.garbage.candidate import read_candidate
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import ATTEMPT, HASH, PARENT
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import Status
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.decision import CREATE, NONE, REPLACE, RESIZE, attempt_of, decide, next_attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.owner import Parent
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.record import Record, build_record, read_record
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_spec import digest

from .task_specs import spec

STATES = {"active": Status("running"), "succeeded": Status("succeeded", rc=0), "failed": Status("failed", "Error", rc=1)}


# (rerun, same options) -> {state of the live object: action}; every combination is listed
DECISIONS = {
    ("never", True): {"active": NONE, "succeeded": NONE, "failed": NONE},
    ("never", False): {"active": NONE, "succeeded": NONE, "failed": NONE},
    ("on_change", True): {"active": NONE, "succeeded": NONE, "failed": NONE},
    ("on_change", False): {"active": REPLACE, "succeeded": REPLACE, "failed": REPLACE},
    ("on_failure", True): {"active": NONE, "succeeded": NONE, "failed": REPLACE},
    ("on_failure", False): {"active": REPLACE, "succeeded": REPLACE, "failed": REPLACE},
    ("always", True): {"active": NONE, "succeeded": REPLACE, "failed": REPLACE},
    ("always", False): {"active": REPLACE, "succeeded": REPLACE, "failed": REPLACE},
}


@pytest.mark.parametrize(("rerun", "same", "state"), list(itertools.product(("never", "on_change", "on_failure", "always"), (True, False), STATES)))
def test_rerun_determines_the_action_for_an_existing_task(rerun, same, state):
    asked = spec(rerun=rerun)
    live = build_manifest(asked, "baseline")
    live["metadata"]["labels"][HASH] = asked.hash if same else "other"
    assert decide(asked, live, STATES[state])[0] == DECISIONS[rerun, same][state]


def test_a_missing_or_deleting_task_is_created():
    assert decide(spec(), None, None)[0] == CREATE
    assert decide(spec(), {"metadata": {"deletionTimestamp": "x"}}, Status("deleting"))[0] == CREATE


def test_an_interrupted_run_resumes_the_count_of_retries():
    asked = spec(retries=1, rerun="on_change")
    live = build_manifest(asked, "baseline", 1)
    assert decide(asked, live, STATES["failed"])[0] == REPLACE
    live["metadata"]["labels"]["podwright.io/attempt"] = "2"
    assert decide(asked, live, STATES["failed"])[0] == NONE


def test_each_run_has_its_own_retries():
    asked = spec(retries=2)
    assert decide(asked, live_task(asked, 3), STATES["failed"]) == (REPLACE, "it failed (Error)")
    assert [next_attempt(asked, live_task(asked, number), STATES["failed"]) for number in (1, 2, 3)] == [2, 3, 1]
    assert [next_attempt(asked, None, STATES["failed"], record_of(asked, "failed", number)) for number in (1, 2, 3)] == [2, 3, 1]

    # A failure that is not retried has used up no retries.
    others = spec(retries=2, retry_on=[75])
    assert next_attempt(others, live_task(others, 1), STATES["failed"]) == 1
    assert next_attempt(others, None, STATES["failed"], record_of(others, "failed", 2)) == 1
    assert next_attempt(others, live_task(others, 1), Status("failed", "Error", rc=75)) == 2


@pytest.mark.parametrize(("rerun", "action"), [("never", NONE), ("on_change", REPLACE), ("on_failure", REPLACE), ("always", REPLACE)])
def test_an_interrupted_task_runs_again_without_using_up_an_attempt(rerun, action):
    asked = spec(rerun=rerun)
    live = build_manifest(asked, "baseline", 2)
    evicted = Status("failed", "Evicted", rc=None, is_interrupted=True)
    assert decide(asked, live, evicted)[0] == action
    assert next_attempt(asked, live, evicted) == 2
    recorded = read_record(build_record(asked, evicted, None, 2, Tail()))
    assert decide(asked, None, recorded.status, recorded)[0] == (CREATE if action == REPLACE else NONE)


def test_a_terminated_task_whose_state_is_running_is_replaced():
    asked = spec(state="running")
    assert decide(asked, {"metadata": {"labels": {HASH: asked.hash}}}, STATES["succeeded"])[0] == REPLACE


RESIZED = {"resources": {"limits": {"cpu": "2"}}}


@pytest.mark.parametrize(
    ("options", "state", "action"),
    [
        ({"state": "running"}, "active", RESIZE),
        ({"state": "running", "rerun": "never"}, "active", NONE),
        ({"state": "completed"}, "active", RESIZE),
        ({"state": "completed"}, "succeeded", REPLACE),
        ({"state": "completed", "kind": "Job"}, "active", REPLACE),
    ],
)
def test_resources_of_a_running_pod_are_resized_in_place(options, state, action):
    live = build_manifest(spec(**options), "baseline")
    assert decide(spec(**options, **RESIZED), live, STATES[state])[0] == action
    equal = {"resources": {"limits": {"cpu": "2000m"}, "requests": {"cpu": "1"}}}
    live = build_manifest(spec(**options, **RESIZED), "baseline")
    if state == "active":
        assert decide(spec(**options, **equal), live, STATES[state])[0] == NONE


def test_fractions_of_bytes_are_rounded_up_for_a_resize_and_run_no_task_again():
    """A kubelet reports whole bytes for ever, so that the resize to 107374182.4 bytes never completes; earlier versions have run tasks with as much."""
    asked = spec(resources={"limits": {"memory": "0.1Gi"}}, request_ratio=0.5)
    assert asked.resources == asked.resources_with_claims == {"task": {"limits": {"memory": "107374183"}, "requests": {"memory": "53687092"}}}
    written = digest({"task": {"limits": {"memory": "536870912/5"}, "requests": {"memory": "53687092"}}})
    assert asked.resources_hash == written != spec(resources=asked.resources["task"]).resources_hash


def test_resources_of_ordinary_containers_are_resized_in_place_too():
    one, other = ({"containers": [{"name": "side", "request_ratio": 0.5, "resources": {"limits": {"cpu": cpu}}}]} for cpu in ("1", "2"))
    live = build_manifest(spec(state="running", **one), "baseline")
    assert decide(spec(state="running", **other), live, STATES["active"])[0] == RESIZE
    live = build_manifest(spec(**one), "baseline")
    assert decide(spec(**other), live, STATES["active"])[0] == REPLACE


def record_of(asked, state, attempt=1):
    status = STATES[state]
    return Record(asked.hash, asked.resources_hash, status, attempt, None, None, Tail())


@pytest.mark.parametrize(
    ("options", "state", "action"),
    [
        ({}, "succeeded", NONE),
        ({}, "failed", CREATE),
        ({"rerun": "on_change"}, "succeeded", NONE),
        ({"rerun": "on_change"}, "failed", NONE),
        ({"rerun": "always"}, "succeeded", CREATE),
        ({"retries": 1}, "failed", CREATE),
        ({"state": "running"}, "succeeded", CREATE),
    ],
)
def test_a_record_replaces_a_deleted_pod(options, state, action):
    asked = spec(**options)
    assert decide(asked, None, STATES[state], record_of(asked, state))[0] == action
    other = spec(**options, env={"A": "b"})
    assert decide(other, None, STATES[state], record_of(asked, state))[0] == CREATE
    assert decide(spec(**options, **RESIZED), None, STATES[state], record_of(asked, state))[0] == CREATE


@pytest.mark.parametrize("tail", [Tail("line"), Tail("line", "fetch"), Tail()])
def test_a_record_is_read_as_it_was_written(tail):
    asked = spec(cleanup="always", ttl=5)
    status = Status("failed", "Error", "exit code 3", 3)
    assert read_record(build_record(asked, status, None, 2, tail)) == Record(asked.hash, asked.resources_hash, status, 2, None, None, tail)
    assert asked.keeps_record and not spec().keeps_record and not spec(cleanup="always", record=False).keeps_record


def test_the_record_of_a_job_has_the_uids_of_the_job_and_its_pod():
    job, pod = ({"metadata": {"uid": uid}, "spec": {"containers": [{"name": "task"}]}, "status": {}} for uid in ("of-job", "of-pod"))
    record = build_record(spec(), STATES["succeeded"], pod, 1, Tail(), job=job)
    record["metadata"] |= {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    candidate = read_candidate(CONFIG_MAP, record)
    assert (candidate.recorded_pod, candidate.recorded_job) == ("of-pod", "of-job")


def live_task(asked, attempt=1, **labels):
    manifest = build_manifest(asked, "baseline", attempt)
    return manifest | {"metadata": manifest["metadata"] | {"labels": manifest["metadata"]["labels"] | labels}}


@pytest.mark.parametrize(("uid", "state", "action"), [("1", "active", NONE), ("2", "active", REPLACE), ("2", "succeeded", NONE), (None, "active", NONE)])
def test_running_task_moves_to_a_new_parent_and_a_finished_one_stays(uid, state, action):
    asked, parent = spec(), Parent({"metadata": {"uid": uid}}, False) if uid else None
    assert decide(asked, live_task(asked, **{PARENT: "1"}), STATES[state], None, parent) == (action, "its parent changed" if action == REPLACE else "")


@pytest.mark.parametrize(("label", "attempt"), [(None, 1), ("", 1), ("0", 1), ("-3", 1), ("x", 1), ("1", 1), ("4", 4), ("9" * 50, 1)])
def test_attempt_without_a_valid_label_is_the_first(label, attempt):
    assert attempt_of({"metadata": {"labels": {} if label is None else {ATTEMPT: label}}}) == attempt


def test_attempts_are_counted_across_runs_of_the_same_task_only():
    asked, other = spec(retries=5), spec(retries=5, env={"A": "b"})
    for state in ("active", "succeeded"):
        assert next_attempt(asked, live_task(asked, 3), STATES[state]) == next_attempt(asked, None, STATES[state], record_of(asked, state, 3)) == 1
    assert next_attempt(asked, None, None) == next_attempt(asked, live_task(asked, 3), None) == 1
    failed = STATES["failed"]
    assert [next_attempt(asked, live_task(asked, number), failed) for number in (1, 3)] == [2, 4]
    assert [next_attempt(asked, None, failed, record_of(asked, "failed", number)) for number in (1, 3)] == [2, 4]
    assert next_attempt(other, live_task(asked, 3), failed) == next_attempt(other, None, failed, record_of(asked, "failed", 3)) == 1
    assert next_attempt(asked, None, failed) == 1


@pytest.mark.parametrize(
    ("options", "state", "note"),
    [
        ({"rerun": "always"}, "succeeded", "rerun is always"),
        ({}, "failed", "it failed (Error)"),
        ({"retries": 1}, "failed", "attempt 1 failed (Error)"),
        ({"state": "running", "rerun": "on_change"}, "failed", "it terminated (Error) and must be running"),
        ({"state": "running", "kind": "Job", "rerun": "on_change"}, "failed", None),
        ({"kind": "Job", "retries": 3, "rerun": "on_change"}, "failed", None),  # the Job counts its attempts itself
        ({"rerun": "on_change"}, "failed", None),
    ],
)
def test_plan_says_why_a_task_runs_again(options, state, note):
    asked = spec(**options)
    assert decide(asked, live_task(asked), STATES[state]) == ((REPLACE, note) if note else (NONE, ""))
    if options.get("state") == "running" and "kind" not in options:
        assert decide(asked, None, STATES[state], record_of(asked, state)) == (CREATE, "")  # the record is that of a pod that must run
    else:
        kept = f"it {state} in an earlier run, according to its record"
        assert decide(asked, None, STATES[state], record_of(asked, state)) == ((CREATE, note) if note else (NONE, kept))


@pytest.mark.parametrize("rerun", ["never", "on_change"])
def test_plan_says_what_changed(rerun):
    asked, never = spec(rerun=rerun), rerun == "never"
    for other, note in ((spec(rerun=rerun, env={"A": "b"}), "its options changed"), (spec(rerun=rerun, **RESIZED), "its resources changed")):
        expected = (NONE, f"{note}, and rerun is never") if never else (REPLACE, note)
        assert decide(other, live_task(asked), STATES["succeeded"]) == expected
        expected = (NONE, "its options changed, and rerun is never") if never else (CREATE, "its options changed")
        assert decide(other, None, STATES["succeeded"], record_of(asked, "succeeded")) == expected
    for state, other, note in (("running", "completed", "to"), ("present", "completed", "to"), ("completed", "present", "from")):
        expected = f"its state changed {note} completed"
        expected = (NONE, f"{expected}, and rerun is never") if never else (REPLACE, expected)
        assert decide(spec(other, rerun=rerun, env={"A": "b"}), live_task(spec(state, rerun=rerun, env={"A": "b"})), STATES["active"]) == expected
        assert decide(spec(other, rerun=rerun), live_task(spec(state, rerun=rerun, env={"A": "b"})), STATES["active"])[1].startswith("its options changed")
    assert decide(spec(rerun=rerun, **RESIZED), live_task(asked), STATES["active"]) == ((NONE, "") if never else (RESIZE, "its resources changed"))
    deleting = live_task(asked)
    deleting["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert decide(asked, deleting, STATES["succeeded"]) == (CREATE, "the previous one is still being deleted")
    assert decide(asked, None, None) == decide(asked, live_task(asked), None) == (CREATE, "")
