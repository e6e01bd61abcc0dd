# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Retries by exit code and reason, their delays, failures that count as skipped, and the timeouts before a task runs."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.diagnosis import Tail
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import TASK, label_of
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import Status
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.decision import CREATE, NONE, REPLACE, decide
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.record import build_record, read_record
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.retries import can_retry, delay_before, total_delay, with_skips
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.start_timeouts import PULL, SCHEDULE, START, read_phase
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate

from .task_specs import spec
from .test_task_order import batch, needing, pods, session, states

FAILED = Status("failed", "Error", rc=75)
EVICTED = Status("failed", "Evicted", rc=137, is_interrupted=True)


@pytest.mark.parametrize(
    ("conditions", "status", "is_retried"),
    [
        (None, FAILED, True),
        ([], FAILED, False),
        ([75], FAILED, True),
        (["75"], FAILED, True),
        ([1, 2], FAILED, False),
        (["Error"], FAILED, True),
        (["OOMKilled"], FAILED, False),
        ([75], EVICTED, False),
        (["Evicted"], EVICTED, True),
        (["Interrupted"], EVICTED, True),
        (["OutOfephemeral-storage"], Status("failed", "OutOfephemeral-storage"), True),
        (["OutOfnvidia.com/gpu"], FAILED, False),
        (["Interrupted"], FAILED, False),
        (None, Status("succeeded", rc=0), False),
    ],
)
def test_retry_on_names_exit_codes_and_reasons(conditions, status, is_retried):
    assert can_retry(spec(retries=1, retry_on=conditions), status, 1) == is_retried
    assert not can_retry(spec(retries=1, retry_on=conditions), status, 2)
    assert not can_retry(spec(retries=1, retry_on=conditions, kind="Job"), status, 1)


def test_a_failure_that_skip_on_names_is_skipped():
    assert with_skips(spec(skip_on=[75]), FAILED) == Status("skipped", "Error", rc=75)
    assert with_skips(spec(skip_on=["OOMKilled"]), FAILED) == with_skips(spec(), FAILED) == FAILED
    assert with_skips(spec(skip_on=[75]), EVICTED) == EVICTED
    succeeded = Status("succeeded", rc=0)
    assert with_skips(spec(skip_on=[75]), succeeded) == succeeded


def test_delays_grow_up_to_a_maximum():
    options = {"retries": 5, "retry_delay": 10, "retry_backoff": 2.0, "retry_delay_max": 60}
    assert [delay_before(options, attempt) for attempt in range(1, 6)] == [10, 20, 40, 60, 60] and total_delay(options) == 190
    assert delay_before({"retry_delay": 10}, 7) == 10 and delay_before({"retry_delay": 10, "retry_backoff": 3.0}, 10**6) == 600
    assert delay_before({"retry_delay": 900}, 1) == 600 and delay_before({}, 3) == 0
    assert total_delay({"retries": 10**6, "retry_delay": 10, "retry_backoff": 2.0}) > 10**8 and total_delay({"retries": 0, "retry_delay": 1}) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry_on": [0]}, "retry_on[0]: must be an exit code from 1 to 255 or a reason such as OOMKilled or Interrupted, got 0."),
        ({"retry_on": [256]}, "got 256."),
        ({"retry_on": ["OOMkilled"]}, "retry_on[0]: unknown reason 'OOMkilled'; did you mean OOMKilled?"),
        ({"skip_on": [3, "OutOfCPU"]}, "skip_on[1]: unknown reason 'OutOfCPU'; did you mean OutOfcpu?"),
        ({"skip_on": [75, "oom killed"]}, "skip_on[1]: must be an exit code"),
        ({"skip_on": [True]}, "got True."),
        ({"skip_on": [{"a": "b"}]}, "skip_on[0]: must be an exit code from 1 to 255 or a reason such as OOMKilled or Interrupted."),
        ({"retry_backoff": 2.0}, "retry_backoff: requires retry_delay, which is not set."),
        ({"retry_delay_max": 5}, "retry_delay_max: requires retry_delay"),
        ({"retry_delay": 1, "retry_backoff": 0.5}, "retry_backoff: must be 1 or greater, got 0.5."),
        ({"skip_on": [1], "state": "running"}, "skip_on: requires state to be completed"),
        ({"kind": "Job", "retry_delay": 5}, "retry_delay: must not be set for a Job."),
        ({"kind": "Job", "retry_on": ["OOMKilled"]}, "retry_on: must be exit codes or Interrupted for a Job, got 'OOMKilled'."),
        ({"kind": "Job", "skip_on": [3], "restart_policy": "OnFailure"}, "restart_policy: must be Never for a Job with retry_on or skip_on"),
    ],
)
def test_options_of_retries_are_validated(options, message):
    with pytest.raises(PodwrightError) as caught:
        validate(spec(**options))
    assert message in caught.value.message


def test_a_job_gets_a_failure_policy():
    def rules(**options):
        return build_manifest(spec(kind="Job", **options), "baseline")["spec"].get("podFailurePolicy", {}).get("rules")

    def exits(operator, *values):
        return {"action": "FailJob", "onExitCodes": {"containerName": "task", "operator": operator, "values": list(values)}}

    disrupted = {"action": "Count", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert rules() is None and rules(skip_on=["Interrupted"]) is None
    assert rules(skip_on=[9, 3]) == [exits("In", 3, 9)]
    assert rules(retry_on=[75, "Interrupted"], skip_on=[3]) == [disrupted, exits("In", 3), exits("NotIn", 75)]
    assert rules(retry_on=["Interrupted"]) == [disrupted, exits("NotIn", 0)]


def test_a_skipped_task_stays_skipped():
    asked = spec(skip_on=[75], rerun="on_failure")
    live = {"metadata": build_manifest(asked, "baseline")["metadata"]}
    status = with_skips(asked, FAILED)
    assert decide(asked, live, status) == (NONE, "")
    record = read_record(build_record(asked, status, None, 1, Tail()))
    assert read_record({"metadata": {}, "data": {"state": "pending"}}).status.state == "failed", "a run would wait for it for ever"
    assert record.status.state == "skipped" and decide(asked, None, status, record) == (NONE, "it was skipped in an earlier run, according to its record")
    assert decide(spec(skip_on=[75], rerun="always"), live, status)[0] == REPLACE
    assert decide(spec(skip_on=[75], env={"A": "b"}), None, status, record)[0] == CREATE


# -- in a batch -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_a_skipped_task_fails_nothing_and_its_followers_are_skipped(kind):
    made = session({"maybe": 99})
    params = batch("maybe", needing("next", "maybe"), "other", skip_on=[99], kind=kind, retries=2)
    fields, error = made.perform(params)
    assert error is None and states(fields) == {"maybe": "skipped", "next": "skipped", "other": "succeeded"}
    by_name = {task["name"]: task for task in fields["tasks"]}
    assert (by_name["maybe"]["rc"], by_name["next"]["reason"]) == (99, "NeedSkipped")
    assert by_name["next"]["msg"].endswith("was skipped, because its need 'maybe' was skipped")
    predicted, _error = made.perform(params, check_mode=True)
    again, error = made.perform(params)
    assert error is None and not again["changed"] and not predicted["changed"]


def test_retries_are_delayed():
    made = session({"flaky": [1, 1, 0]})
    fields, error = made.perform(batch("flaky", retries=2, retry_delay=10, retry_backoff=2.0))
    assert error is None and fields["tasks"][0]["attempt"] == 3
    assert 30 <= made.cluster.clock.time < 40


def test_only_what_retry_on_names_is_retried():
    made = session({"flaky": [75, 2, 0]})
    fields, error = made.perform(batch("flaky", retries=5, retry_on=[75]))
    assert error and (fields["tasks"][0]["attempt"], fields["tasks"][0]["rc"]) == (2, 2)


def drained(made, name):
    """Evict the first pod of a task in the middle of its work; its command stops cleanly, with exit code 0."""
    step, evicted = made.cluster._pod_step, []
    request = {"deletionTimestamp": "2026-01-01T00:01:00Z", "deletionGracePeriodSeconds": 30}
    target = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "evicting"}
    ended = {"name": "task", "state": {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-01-01T00:00:31Z"}}}

    def evict(pod):
        evicted.append(pod)
        pod["metadata"] |= request
        pod["status"] |= {"phase": "Succeeded", "conditions": [target], "containerStatuses": [ended]}

    def advance(pod):
        if evicted or label_of(pod, TASK) != name or pod["status"]["phase"] != "Running":
            return step(pod)
        return lambda: made.cluster._modify(pod, evict)

    made.cluster._pod_step = advance


@pytest.mark.parametrize(("retries", "attempt"), [(1, 2), (0, 1)])
def test_a_task_that_stopped_cleanly_because_it_was_evicted_is_run_again_before_others_use_its_work(retries, attempt):
    made = session({})
    drained(made, "build")
    params = batch("build", needing("publish", "build"), retries=retries, retry_on=["Interrupted"], cleanup="on_success", record=True)
    fields, error = made.perform(params)
    by_name = {task["name"]: task for task in fields["tasks"]}
    assert by_name["build"]["attempt"] == attempt and bool(error) == (not retries)
    if retries:
        assert states(fields) == {"build": "succeeded", "publish": "succeeded"}
        return
    assert states(fields) == {"build": "failed", "publish": "skipped"} and by_name["publish"]["reason"] == "NeedFailed"
    assert (by_name["build"]["reason"], by_name["build"]["rc"]) == ("EvictionByEvictionAPI", 0)
    record = read_record(made.cluster.objects["ConfigMap", "n", "podwright-record-build"])
    assert record.status.state == "failed" and record.status.is_interrupted
    fields, error = made.perform(params)
    assert error is None and states(fields) == {"build": "succeeded", "publish": "succeeded"}


def test_stop_does_not_wait_for_a_delayed_retry():
    made = session({"flaky": [1, 0], "bad": 1})
    fields, error = made.perform(batch("flaky", {"name": "bad", "command": ["false"], "retries": 0}, retries=1, retry_delay=50, on_error="stop"))
    assert error and states(fields)["bad"] == "failed" and states(fields)["flaky"] in ("stopped", "skipped") and made.cluster.clock.time < 40


def pending(made, name, **status):
    """Keep the pods of a task as they are, with a status."""
    step = made.cluster._pod_step

    def stay(pod):
        if pod["metadata"]["labels"]["podwright.io/task"] != name or pod["metadata"].get("deletionTimestamp"):
            return step(pod)
        if pod["status"] == {"phase": "Pending", **status}:
            return None
        return lambda: made.cluster._modify(pod, lambda it: it.update(status={"phase": "Pending", **status}))

    made.cluster._pod_step = stay


CREATING = [{"name": "task", "state": {"waiting": {"reason": "ContainerCreating"}}}]
SCHEDULED = {"type": "PodScheduled", "status": "True"}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node fits"}
NO_SANDBOX, SANDBOX = ({"type": "PodReadyToStartContainers", "status": status} for status in ("False", "True"))
PHASES = {
    "schedule_timeout": (
        {"conditions": [UNSCHEDULABLE]},
        "ScheduleTimeout",
        "was not scheduled to a node within 7 s (schedule_timeout): Unschedulable",
    ),
    "pull_timeout": ({"conditions": [SCHEDULED, SANDBOX], "containerStatuses": CREATING}, "PullTimeout", "did not get its images within 7 s (pull_timeout)"),
    "start_timeout": (
        {"conditions": [SCHEDULED, NO_SANDBOX], "containerStatuses": CREATING},
        "StartTimeout",
        "did not start within 7 s after it was",
    ),
}


@pytest.mark.parametrize("option", PHASES)
def test_each_timeout_has_its_own_message(option):
    status, reason, text = PHASES[option]
    made = session({})
    pending(made, "slow", **status)
    others = dict.fromkeys(set(PHASES) - {option, "start_timeout"}, 2) if option != "start_timeout" else {"schedule_timeout": 2, "pull_timeout": 2}
    fields, error = made.perform(batch("slow", **{option: 7}, **others))
    assert error and (fields["tasks"][0]["state"], fields["tasks"][0]["reason"]) == ("failed", reason) and text in fields["tasks"][0]["msg"]
    assert option in error.hint and 6 < made.cluster.clock.time < 15 and pods(made) == {"slow"}


def test_the_hint_of_a_schedule_timeout_follows_from_what_the_scheduler_reports():
    made = session({})
    pending(made, "slow", conditions=[UNSCHEDULABLE | {"message": "0/1 nodes are available: 1 Insufficient cpu."}])
    _fields, error = made.perform(batch("slow", schedule_timeout=7))
    assert error.hint == "Lower resources.requests, or free or add nodes, or raise schedule_timeout."


def test_a_missing_claim_is_waited_for_like_any_missing_object():
    made = session({})
    pending(made, "slow", conditions=[UNSCHEDULABLE | {"message": 'persistentvolumeclaim "data" not found'}])
    _fields, error = made.perform(batch("slow"))
    assert error.hint == "Create the PersistentVolumeClaim first." and 5 < made.cluster.clock.time < 8


def test_a_pull_counts_towards_the_timeout_of_the_start():
    made = session({})
    pending(made, "slow", **PHASES["pull_timeout"][0])
    fields, _error = made.perform(batch("slow", pull_timeout=30, start_timeout=5))
    assert fields["tasks"][0]["reason"] == "StartTimeout"


def test_a_task_that_did_not_start_in_time_is_retried_and_cleaned_up():
    made = session({})
    pending(made, "slow", **PHASES["pull_timeout"][0])
    fields, error = made.perform(batch("slow", pull_timeout=3, retries=2, cleanup="on_failure"))
    assert error and (fields["tasks"][0]["reason"], fields["tasks"][0]["attempt"]) == ("PullTimeout", 3)
    made.cluster.calm()
    assert pods(made) == set()


def test_a_problem_of_the_start_is_retried_only_if_it_is_named():
    waiting = [{"name": "task", "state": {"waiting": {"reason": "ErrImagePull", "message": "no image"}}}]
    for named, attempt in (({}, 1), ({"retry_on": ["ErrImagePull"]}, 3)):
        made = session({})
        pending(made, "slow", containerStatuses=waiting)
        fields, error = made.perform(batch("slow", retries=2, failure_grace=1, **named))
        assert error and (fields["tasks"][0]["reason"], fields["tasks"][0]["attempt"]) == ("ErrImagePull", attempt)


def pod(conditions=(), statuses=(), init=()):
    status = {"conditions": list(conditions), "containerStatuses": list(statuses), "initContainerStatuses": list(init)}
    return {"metadata": {}, "spec": {"containers": [{"name": "task"}]}, "status": status}


def test_the_phase_of_a_start_is_read_from_the_pod():
    running, waiting, done = {"running": {}}, {"waiting": {"reason": "PodInitializing"}}, {"terminated": {"exitCode": 0}}
    ready = (SCHEDULED, SANDBOX)
    assert read_phase(None) == read_phase(pod()) == read_phase(pod([UNSCHEDULABLE])) == SCHEDULE
    assert read_phase(pod([SCHEDULED])) == START  # the kubelet has not seen it
    assert read_phase(pod([SCHEDULED, NO_SANDBOX], CREATING)) == START
    assert read_phase(pod(ready, CREATING)) == PULL
    assert read_phase(pod(ready, CREATING, [{"name": "i", "state": running}])) == START
    assert read_phase(pod(ready, CREATING, [{"name": "i", "state": running, "started": True}])) == PULL  # a sidecar
    assert read_phase(pod(ready, CREATING, [{"name": "i", "state": done}])) == PULL
    assert read_phase(pod(ready, [{"name": "task", "state": waiting}], [{"name": "i", "state": waiting}])) == PULL
    assert read_phase(pod(ready, [{"name": "task", "state": running}])) is None
    assert read_phase(pod(ready, [{"name": "task", "state": done}])) is None
