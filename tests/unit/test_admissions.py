# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks that Kueue does not admit: what is said of them, and when Workloads are read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import Status, read_deleted, read_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.workloads import describe_workload
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.admissions import FIRST_PAUSE, LONGEST_PAUSE, QUEUED, Admissions
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.problems import failure_hint

from .task_specs import spec

NO_QUOTA = {"type": "QuotaReserved", "status": "False", "message": "300m more needed"}
QUOTA = {"type": "QuotaReserved", "status": "True"}
EVICTED = {"type": "Evicted", "status": "True", "reason": "Preempted", "message": "Preempted by another."}


def workload(*conditions, uid="1", checks=(), **spec):
    metadata = {"name": "pod-a-1", "namespace": "n", "ownerReferences": [{"uid": uid}]}
    return {"metadata": metadata, "spec": spec, "status": {"conditions": list(conditions), "admissionChecks": list(checks)}}


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (workload(), ""),
        (workload(NO_QUOTA), "300m more needed"),
        (workload(NO_QUOTA, EVICTED), "300m more needed (it was evicted before: Preempted by another)"),
        (workload(EVICTED), "Preempted by another."),
        (workload(EVICTED, active=False), "its Workload 'pod-a-1' is deactivated: Preempted by another."),
        (workload(QUOTA), ""),
        (
            workload(QUOTA, checks=[{"name": "nodes", "state": "Pending", "message": "no nodes yet"}, {"name": "budget", "state": "Ready"}]),
            "it has its quota, and waits for admission checks: nodes (no nodes yet)",
        ),
    ],
)
def test_a_workload_says_why_it_is_not_admitted(item, text):
    assert describe_workload(item) == text


class Server:
    """Answers to LIST requests for Workloads, or refuses them."""

    def __init__(self, *workloads):
        self.workloads, self.requests, self.error = list(workloads), 0, None
        self.kinds = SimpleNamespace(find_served=lambda group, name: (group, name))
        self.availability = SimpleNamespace(failing_since=None)

    def list(self, kind, namespace):
        assert kind == ("kueue.x-k8s.io", "Workload") and namespace == "n"
        self.requests += 1
        if self.error:
            raise self.error
        return self.workloads, "1"


def held(uid="1", reason="SchedulingGated", queue="builds", created_at=0.0):
    plan = SimpleNamespace(change=SimpleNamespace(key=SimpleNamespace(namespace="n")))
    spec = SimpleNamespace(options={"queue": queue})
    return SimpleNamespace(
        live={"metadata": {"uid": uid}}, status=Status("pending", reason), spec=spec, plan=plan, timing=SimpleNamespace(created_at=created_at)
    )


def test_workloads_are_read_only_for_tasks_that_are_not_admitted_soon():
    server = Server(workload(NO_QUOTA))
    admissions, run = Admissions(server), held()
    admissions.read([run], FIRST_PAUSE)
    assert server.requests == 0 and (run.status.reason, run.status.message) == (QUEUED, "LocalQueue 'builds' has not admitted it")
    admissions.read([held(reason="Starting"), held(queue=None)], 100)
    assert server.requests == 0
    moments = [0.1 * tick for tick in range(21, 1200)]
    for now in moments:
        admissions.read([run], now)
    assert run.status.message == "LocalQueue 'builds' has not admitted it: 300m more needed"
    assert server.requests == len([2.1, 6.1, 14.1, 30.1, 60.1, 90.1]), f"the pause grows to {LONGEST_PAUSE} s"


def test_a_task_that_waits_later_is_not_reported_as_unknown():
    server = Server(workload(NO_QUOTA))
    admissions, first = Admissions(server), held()
    admissions.read([first], 50)
    late = held("2", "Suspended", created_at=50)
    admissions.read([first, late], 51)
    assert server.requests == 1 and late.status.message == "LocalQueue 'builds' has not admitted it"
    server.workloads.append(workload({"type": "QuotaReserved", "status": "False", "message": "too large"}, uid="2"))
    admissions.read([first, late], 52.5)
    admissions.read([first, late], 54.6)
    assert late.status.message.endswith(": too large") and first.status.message.endswith(": 300m more needed")


def test_what_kueue_does_not_know_and_what_cannot_be_read_is_said():
    server = Server()
    run = held()
    Admissions(server).read([run], 50)
    assert "Kueue has no Workload for it" in run.status.message and "WorkloadPriorityClass" not in run.status.message
    run.live["metadata"]["labels"] = {"kueue.x-k8s.io/priority-class": "urgentt"}
    Admissions(server).read([run], 50)
    assert "and that the WorkloadPriorityClass 'urgentt' of its label kueue.x-k8s.io/priority-class exists" in run.status.message
    server.error = PodwrightError("the Role lacks 'list' on 'workloads.kueue.x-k8s.io'", status=403)
    Admissions(server).read([run], 50)
    assert run.status.message.endswith("the Role lacks 'list' on 'workloads.kueue.x-k8s.io'")


def pod(*conditions, **status):
    metadata = {"name": "a", "namespace": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": {"restartPolicy": "Never", "containers": [{"name": "task"}]}, "status": {"conditions": list(conditions)} | status}


TERMINATED = {"phase": "Failed", "containerStatuses": [{"name": "task", "state": {"terminated": {"exitCode": 143}}}]}
TARGET = {"type": "TerminationTarget", "status": "True", "reason": "WorkloadEvictedDueToPreempted", "message": "Preempted by another."}


def test_a_pod_that_kueue_evicts_is_interrupted_and_says_why():
    cause = ("WorkloadEvictedDueToPreempted", "Preempted by another.", True)
    for status in (read_pod(pod(TARGET)), read_pod(pod(TARGET, **TERMINATED)), read_deleted(pod(TARGET))):
        assert (status.reason, status.message, status.is_interrupted) == cause
    assert {read_pod(pod(**TERMINATED)).reason, read_deleted(pod()).reason, read_deleted(None).reason} == {"Deleted"}
    queued, other = (spec(queue=queue) for queue in ("builds", None))
    status = read_deleted(pod(TARGET))
    assert "Set retries" in failure_hint(queued, status) and "queue" not in failure_hint(other, status)


def test_a_queued_pod_is_gated_and_a_queued_job_is_suspended():
    queued, other = (build_manifest(spec(queue=queue), "baseline") for queue in ("builds", None))
    job = build_manifest(spec(queue="builds", kind="Job"), "baseline")
    assert queued["spec"]["schedulingGates"] == [{"name": "kueue.x-k8s.io/admission"}] and "schedulingGates" not in other["spec"]
    assert job["spec"]["suspend"] and "schedulingGates" not in job["spec"]["template"]["spec"]
