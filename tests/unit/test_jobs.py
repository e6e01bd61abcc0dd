# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs with several completions, and suspended ones."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.diagnosis import Tail
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.job_status import INDEX, deciding_pod, pods_by_index, read_job
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import key_of
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.plan import Change
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.indexes import describe_indexes, has_reported, named_pods, summarize
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.job import attempts_in_a_row
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.live_state import find_correction
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.problems import failure_hint
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.record import build_record, read_record, with_indexes
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_completion import TaskCompletion
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_plan import TaskPlan
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_run import TaskRun
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate

from .task_specs import spec
from .test_task_order import batch, needing, session, states

INDEXED = {"kind": "Job", "completions": 3, "completion_mode": "Indexed"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"completions": 2}, "completions: requires kind to be Job."),
        ({"suspend": False}, "suspend: requires kind to be Job."),
        ({"kind": "Job", "completion_mode": "Indexed"}, "completions: must be from 1 to 100000 if completion_mode is Indexed, got nothing."),
        ({"kind": "Job", "completion_mode": "Indexed", "completions": 100001}, "got 100001."),
        ({"kind": "Job", "backoff_limit_per_index": 1}, "backoff_limit_per_index: requires completion_mode to be Indexed."),
        (INDEXED | {"max_failed_indexes": 1}, "max_failed_indexes: requires backoff_limit_per_index, which is not set."),
        ({"kind": "Job", "suspend": True, "queue": "q"}, "suspend: must not be set with queue"),
        ({"kind": "Job", "pod_failure_policy": {"rule": []}}, "pod_failure_policy: unknown key 'rule'; use rules."),
        ({"kind": "Job", "pod_failure_policy": {"rules": [1]}}, "pod_failure_policy.rules: must be a list of mappings"),
        ({"kind": "Job", "pod_failure_policy": {"rules": []}, "retry_on": [1]}, "pod_failure_policy: must not be set with retry_on, which becomes one."),
        (
            {"kind": "Job", "pod_failure_policy": {"rules": []}, "restart_policy": "OnFailure"},
            "restart_policy: must be Never for a Job with pod_failure_policy",
        ),
        (INDEXED | {"backoff_limit_per_index": 1, "restart_policy": "OnFailure"}, "restart_policy: must be Never for a Job with backoff_limit_per_index"),
    ],
)
def test_options_of_jobs_are_validated(options, message):
    with pytest.raises(PodwrightError) as caught:
        validate(spec(**options))
    assert message in caught.value.message


def test_options_of_jobs_are_fields_of_the_job():
    policy = {"rules": [{"action": "FailJob", "on_exit_codes": {"operator": "In", "values": [3]}}]}
    options = INDEXED | {"parallelism": 2, "backoff_limit_per_index": 1, "max_failed_indexes": 2, "pod_failure_policy": policy, "suspend": True, "timeout": 10}
    job = build_manifest(spec(**options), "baseline")["spec"]
    assert {name: value for name, value in job.items() if name not in ("template", "activeDeadlineSeconds")} == {
        "completions": 3,
        "parallelism": 2,
        "completionMode": "Indexed",
        "backoffLimitPerIndex": 1,
        "maxFailedIndexes": 2,
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}]},
        "suspend": True,
    }
    assert job["activeDeadlineSeconds"] == 10 * 2 * 2 + 600  # two attempts, of two pods at a time
    assert build_manifest(spec(**options, retries=4), "baseline")["spec"]["backoffLimit"] == 4
    longest = build_manifest(spec(kind="Job", completions=1000, retries=20, timeout=604800), "baseline")["spec"]
    assert longest["activeDeadlineSeconds"] * 10**9 < 2**63
    assert attempts_in_a_row({"retries": 1}) == 2 and attempts_in_a_row({"retries": 0, "completions": 5}) == 5


def pod(index, created, phase="Succeeded", code=0):
    state = {"running": {}} if phase == "Running" else {"terminated": {"exitCode": code, "startedAt": created, "finishedAt": created}}
    metadata = {"name": f"t-{index}-{created}", "namespace": "n", "uid": f"{index}-{created}", "creationTimestamp": created, "annotations": {INDEX: str(index)}}
    metadata["ownerReferences"] = [{"kind": "Job", "name": "t", "uid": "j", "controller": True}]
    spec_ = {"restartPolicy": "Never", "containers": [{"name": "task"}], "nodeName": "node"}
    return {"metadata": metadata, "spec": spec_, "status": {"phase": phase, "containerStatuses": [{"name": "task", "state": state}]}}


JOB = {"metadata": {"name": "t"}, "spec": {"completions": 3}, "status": {}}
FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "FailedIndexes", "message": "m"}], "failedIndexes": "1"}
T = [f"2026-01-01T00:00:0{second}Z" for second in range(6)]
PODS = [pod(0, T[0]), pod(1, T[1], "Failed", 3), pod(1, T[4], "Failed", 4), pod(2, T[2])]


def test_a_failed_pod_decides_about_a_job_that_failed_and_an_active_one_about_one_that_has_not():
    assert deciding_pod(JOB | {"status": FAILED}, PODS) is PODS[2]
    active = pod(2, T[1], "Running")
    assert deciding_pod(JOB, [*PODS, active]) is active and read_job(JOB, [*PODS, active]).state == "running"
    assert deciding_pod(JOB, PODS) is PODS[2] and read_job(JOB, PODS).state == "pending"
    assert deciding_pod({"spec": {}}, PODS) is PODS[2] and deciding_pod(None, []) is None
    status = read_job(JOB | {"status": FAILED}, PODS)
    assert (status.state, status.rc) == ("failed", 4) and status.message.endswith("(failed indexes: 1)")
    stopped = JOB | {"status": {"conditions": FAILED["conditions"]}}  # by one index, without a limit for each
    assert read_job(stopped, PODS).message == "its command failed with exit code 4 (index 1)"
    complete = {"conditions": [{"type": "Complete", "status": "True"}]}
    assert read_job(JOB | {"status": complete}, PODS).rc == 0  # an attempt that failed was retried


def test_a_pod_that_failed_by_itself_decides_before_those_that_the_failure_of_the_job_deleted():
    deleted = pod(2, T[5], "Failed", 143)
    deleted["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:34Z", "deletionGracePeriodSeconds": 30}
    failed = JOB | {"status": FAILED}
    assert deciding_pod(failed, [*PODS, deleted]) is PODS[2] and read_job(failed, [*PODS, deleted]).rc == 4
    assert deciding_pod(failed, [PODS[0], deleted]) is deleted


@pytest.mark.parametrize(
    ("reason", "policy", "options", "is_explained"),
    [
        ("BackoffLimitExceeded", "Never", {}, True),
        ("FailedIndexes", "Never", {}, False),
        # At the limit, the controller deletes what still runs itself.
        ("BackoffLimitExceeded", "OnFailure", {}, False),
        ("BackoffLimitExceeded", "Never", {"parallelism": 2}, False),
        ("BackoffLimitExceeded", "Never", {"completions": 2}, False),
    ],
)
def test_a_job_counts_a_deleted_pod_as_a_failure(reason, policy, options, is_explained):
    failed = {"metadata": {"name": "t"}, "spec": {}} | {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": reason, "message": "m"}]}}
    deleted = pod(2, T[5], "Failed", 143)
    deleted["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:34Z", "deletionGracePeriodSeconds": 30}
    deleted["spec"] |= {"restartPolicy": policy}
    late = copy.deepcopy(deleted)  # after it had failed by itself
    late["metadata"]["deletionTimestamp"] = "2026-01-01T00:05:00Z"
    hints = [failure_hint(spec(kind="Job", **options), read_job(failed, pods), deciding_pod(failed, pods)) for pods in ([], [deleted], [late])]
    assert ["deleted" in hint for hint in hints] == [False, is_explained, False]


def test_each_index_has_a_result_and_a_log():
    asked = spec(**INDEXED, logs="collect")
    assert [entry["metadata"]["name"] for entry in pods_by_index(PODS).values()] == [PODS[0]["metadata"]["name"], PODS[2]["metadata"]["name"], "t-2-" + T[2]]
    run = SimpleNamespace(
        spec=asked, pods={item["metadata"]["uid"]: item for item in PODS}, plan=SimpleNamespace(is_deletion=False), pod=PODS[2], logs=None, index_logs={},
        is_stopping=False, collected=None, error=None, manifest=None, record=None,
    )  # fmt: skip
    limits = []

    def log(_namespace, name, _container, limit_bytes):
        limits.append(limit_bytes)
        if name.startswith("t-2"):
            raise PodwrightError("it was deleted")
        return f"of {name[:3]}\nmore".encode()

    TaskCompletion(SimpleNamespace(log=log), Console()).complete_logs(run, asked)
    assert run.logs == "[0] of t-0\n[0] more\n[1] of t-1\n[1] more\n" and sum(limits) <= 1 << 20
    found = describe_indexes(asked, run)["indexes"]
    assert [(entry["index"], entry["state"], entry["rc"], entry["logs"]) for entry in found] == [
        (0, "succeeded", 0, "of t-0\nmore"),
        (1, "failed", 4, "of t-1\nmore"),
        (2, "succeeded", 0, None),
    ]
    assert [name for name, _pod in named_pods(run, asked)] == ["t[0]", "t[1]", "t[2]"] and describe_indexes(spec(), run) == {}


@pytest.mark.parametrize("options", [{"completions": 3}, {"completions": 3, "parallelism": 3}, {"parallelism": 2}])
def test_each_pod_of_a_job_without_indexes_has_a_log(options):
    asked = spec(kind="Job", logs="collect", **options)
    pods = {item["metadata"]["uid"]: item for item in reversed(PODS[:2])}
    run = SimpleNamespace(spec=asked, pods=pods, pod=PODS[1], logs=None, index_logs={}, container_logs={}, manifest=None)
    TaskCompletion(SimpleNamespace(log=lambda _n, name, *_a, **_o: f"of {name}\nmore".encode()), Console()).complete_logs(run, asked)
    names = sorted(item["metadata"]["name"] for item in PODS[:2])
    assert run.logs == "".join(f"[{name}] of {name}\n[{name}] more\n" for name in names) and run.index_logs == {}
    assert [name for name, _pod in named_pods(run, asked)] == names and describe_indexes(asked, run) == {}
    assert [name for name, _pod in named_pods(run, spec(kind="Job", completions=1, parallelism=3))] == ["t"]


def finished(index, message, code=0):
    """The pod of an index that has terminated with a message."""
    item = pod(index, T[0], "Failed" if code else "Succeeded", code)
    item["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = message
    return item


def with_results(*pods, **options):
    """The TaskRun of an Indexed Job with a result, which has succeeded."""
    asked = spec(**INDEXED, results={"number": {"termination_message": True, "type": "json"} | options})
    manifest = build_manifest(asked, "baseline")
    job = manifest | {"metadata": manifest["metadata"] | {"uid": "job"}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    change = Change("none", key_of(manifest, asked.kind), asked.kind, manifest, job, job)
    return TaskRun(TaskPlan(change, asked, job, pods))


def test_each_index_has_its_own_results():
    run = with_results(finished(0, "10"), finished(1, "x", 1), finished(2, '{"a": 1}'))
    assert [entry["results"] for entry in describe_indexes(run.spec, run)["indexes"]] == [{"number": 10}, {}, {"number": {"a": 1}}]


def test_a_record_keeps_the_results_of_each_index():
    run = with_results(finished(0, "10"), finished(1, "x", 1), finished(2, '{"a": 1}'))
    known = describe_indexes(run.spec, run)["indexes"]
    manifest = build_record(run.spec, run.status, run.pod, 1, Tail(), run.left, run.live)
    manifest = with_indexes(manifest, summarize(run.spec, run.pods.values()))
    recorded = TaskRun(replace(run.plan, change=replace(run.plan.change, before=None), live=None, pods=(), record=read_record(manifest)))
    assert recorded.is_known_by_record and describe_indexes(run.spec, recorded)["indexes"] == known and recorded.left.results(run.spec) == {"number": {"a": 1}}
    edited = read_record(manifest | {"data": manifest["data"] | {"indexes": '[5, {"index": "1"}, {"index": 2, "message": 7}]'}})
    assert edited.indexes == [{"index": 2, "message": 7}]
    recorded.record = edited
    assert describe_indexes(run.spec, recorded)["indexes"] == [dict.fromkeys(known[2]) | {"index": 2, "results": {}}]


def test_a_record_has_no_room_for_any_number_of_indexes():
    run = with_results(*(finished(index, json.dumps("x" * 4000)) for index in range(80)))
    warnings, applied = [], []
    client = SimpleNamespace(list=lambda *_arguments, **_options: ([], ""), apply=lambda *arguments: applied.append(arguments[3]))
    TaskCompletion(client, SimpleNamespace(warn=warnings.append)).complete(
        run, replace(run.spec, options=run.spec.options | {"record": True, "logs": "none", "log_tail": 0})
    )
    assert "indexes" not in applied[0]["data"] and len(warnings) == 1 and "later runs do not return their results. Set cleanup to never" in warnings[0]


def test_pods_of_the_same_second_are_ordered_by_their_index():
    pods = [finished(index, "") for index in (10, 2, 9)]
    assert deciding_pod(None, pods) is deciding_pod(None, reversed(pods)) is pods[0]


def test_every_index_that_succeeds_must_have_its_results():
    run = with_results(finished(0, "10"), finished(1, ""), finished(2, "no json"))
    run.finish()
    assert "result 'number' is missing (a termination message) in index 1" in run.error.message
    assert "result 'number' is not valid JSON, at most 100 levels deep and with numbers of at most 64 bits in index 2" in run.error.message
    run = with_results(finished(0, "10"), finished(1, ""), finished(2, "30"), optional=True)
    run.finish()
    assert run.error is None and len(describe_indexes(run.spec, run)["indexes"]) == 3
    run = with_results(finished(0, "10"), finished(1, "20"), finished(2, "30"))
    run.finish()
    assert run.error is None


def test_a_job_is_known_to_have_succeeded_before_its_pods_are():
    run = with_results(finished(0, "10"), pod(1, T[0], "Running"), finished(2, "30"))
    assert not has_reported(run, run.spec)
    run.pods[f"1-{T[0]}"] = finished(1, "20")
    assert has_reported(run, run.spec)


def test_a_suspended_job_is_not_waited_for_and_resumed_in_place():
    made = session({})
    params = batch("job", needing("next", "job"), kind="Job")
    step = made.cluster._job_step

    def run_on(job):
        if not job["spec"].get("suspend") or job["metadata"].get("deletionTimestamp"):
            return step(job)
        wanted = {"conditions": [{"type": "Suspended", "status": "True"}]}
        return None if job.get("status") == wanted else lambda: made.cluster._modify(job, lambda it: it.update(status=wanted))

    made.cluster._job_step = run_on
    suspended = {"tasks": [params["tasks"][0] | {"suspend": True}, params["tasks"][1]]}
    fields, error = made.perform(params | suspended)
    assert error is None and states(fields) == {"job": "pending", "next": "skipped"} and fields["tasks"][0]["reason"] == "Suspended"
    assert not made.perform(params | suspended)[0]["changed"]
    live = made.cluster.objects["Job", "n", "job"]
    assert find_correction(spec(kind="Job", name="job", suspend=False), live, live) == {"spec": {"suspend": False}}
    assert find_correction(spec(kind="Job", name="job"), live, live) == {} == find_correction(spec(kind="Job", name="job", suspend=True), live, live)
