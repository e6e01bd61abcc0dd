# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status of a task, read from its pod or Job."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.objects.job_status import read_job
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import (
    FINAL,
    FIXABLE,
    SETTLING,
    TRANSIENT,
    Status,
    exit_codes,
    explaining_container,
    read_pod,
    read_problems,
    read_resize,
)


def pod(phase="Running", state=None, policy="Never", conditions=(), reason=None, others=(), deleted=False):
    statuses = [{"name": "task", "state": state}] if state else []
    status = {"phase": phase, "containerStatuses": [*statuses, *others], "conditions": list(conditions)}
    metadata = {"name": "t", "creationTimestamp": "2026-01-01T00:00:00Z"} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "task"}], "restartPolicy": policy},
        "status": status | ({"reason": reason} if reason else {}),
    }


SUCCEEDED, FAILED, KILLED = ({"terminated": {"exitCode": code, "reason": word}} for code, word in ((0, "Completed"), (3, "Error"), (137, "OOMKilled")))


RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
SLOW = "failed to sync configmap cache: timed out waiting for the condition"


READY = {"type": "Ready", "status": "True"}


@pytest.mark.parametrize(
    ("given", "state", "reason", "grace"),
    [
        (pod("Pending"), "pending", "Starting", None),
        (pod(state=RUNNING), "running", "", None),
        (pod("Pending", others=[{"name": "task", "state": None, "lastState": None}]), "pending", "Starting", None),
        (pod("Succeeded", SUCCEEDED), "succeeded", "Completed", None),
        (pod("Running", SUCCEEDED), "succeeded", "Completed", None),  # a sidecar keeps the pod running
        (pod("Running", SUCCEEDED, policy="Always"), "pending", "Starting", None),
        (pod("Failed", FAILED), "failed", "Error", None),
        (pod("Running", FAILED), "failed", "Error", None),
        (pod("Running", FAILED, policy="OnFailure"), "pending", "Starting", None),
        (pod("Failed", KILLED), "failed", "OOMKilled", None),
        (pod("Failed", KILLED, reason="DeadlineExceeded"), "failed", "DeadlineExceeded", None),
        (pod("Failed", reason="Evicted"), "failed", "Evicted", None),
        (pod("Pending", {"waiting": {"reason": "ImagePullBackOff"}}), "pending", "ImagePullBackOff", TRANSIENT),
        (pod("Pending", {"waiting": {"reason": "InvalidImageName"}}), "pending", "InvalidImageName", FINAL),
        (pod("Pending", {"waiting": {"reason": "CreateContainerConfigError"}}), "pending", "CreateContainerConfigError", SETTLING),
        (pod("Pending", {"waiting": {"reason": "CreateContainerConfigError", "message": SLOW}}), "pending", "CreateContainerConfigError", FIXABLE),
        (pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]), "pending", "Unschedulable", FIXABLE),
        (pod("Running", RUNNING, deleted=True), "deleting", "Deleted", None),
    ],
)
def test_the_status_is_read_from_the_pod(given, state, reason, grace):
    status = read_pod(given)
    assert (status.state, status.reason, status.grace) == (state, reason, grace)


@pytest.mark.parametrize(
    ("created", "conditions", "grace", "message"),
    [
        (
            [],
            [],
            FIXABLE,
            "it has not been scheduled, which requires the ResourceClaim 'nic' and a ResourceClaim from the ResourceClaimTemplate 'gpus'",
        ),
        (["gpu"], [], FIXABLE, "it has not been scheduled, which requires the ResourceClaim 'nic'"),
        (["gpu"], [{"type": "PodScheduled", "status": "True"}], None, "its containers are being created"),
    ],
)
def test_claims_that_keep_a_pod_from_the_scheduler_are_named(created, conditions, grace, message):
    given = pod("Pending", conditions=conditions)
    given["spec"]["resourceClaims"] = [{"name": "nic", "resourceClaimName": "nic"}, {"name": "gpu", "resourceClaimTemplateName": "gpus"}]
    given["status"]["resourceClaimStatuses"] = [{"name": name, "resourceClaimName": f"t-{name}"} for name in created]
    assert read_pod(given) == Status("pending", "Starting", message, grace=grace)


@pytest.mark.parametrize(
    ("message", "shown", "grace"),
    [
        ('0/1 nodes are available: persistentvolumeclaim "a" not found. not found', '0/1 nodes are available: persistentvolumeclaim "a" not found', SETTLING),
        (
            "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found.",
            "0/2 nodes are available: 2 Insufficient cpu.",
            FIXABLE,
        ),
        ("0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available.", "0/1 nodes are available: 1 Insufficient cpu.", FIXABLE),
        ("pod has unbound immediate PersistentVolumeClaims", "pod has unbound immediate PersistentVolumeClaims", FIXABLE),
    ],
)
def test_the_message_of_the_scheduler_is_shown_without_its_noise(message, shown, grace):
    refused = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    assert read_pod(pod("Pending", conditions=[refused])) == Status("pending", "Unschedulable", shown, grace=grace)


def test_interruptions_are_distinguished_from_failures():
    disrupted = pod(
        "Failed",
        {"terminated": {"exitCode": 137, "reason": "Error"}},
        conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
    )
    assert read_pod(disrupted).is_interrupted and read_pod(disrupted).reason == "PreemptionByScheduler"
    assert not read_pod(pod("Failed", FAILED)).is_interrupted


@pytest.mark.parametrize("reason", ["OutOfcpu", "OutOfephemeral-storage", "OutOfnvidia.com/gpu", "TopologyAffinityError"])
def test_a_pod_that_its_node_rejects_is_interrupted(reason):
    assert read_pod(pod("Failed", reason=reason)).is_interrupted and not read_pod(pod("Failed", reason="SysctlForbidden")).is_interrupted


def test_a_container_that_its_node_has_lost_is_an_interruption():
    lost = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": "The container could not be located", "finishedAt": None}}
    status = read_pod(pod("Failed", lost))
    assert (status.reason, status.message, status.is_interrupted) == ("ContainerStatusUnknown", "The container could not be located", True)
    item = pod("Failed")
    item["status"]["initContainerStatuses"] = [{"name": "i", "state": lost}]
    status = read_pod(item)
    assert status.is_interrupted and status.message == "the init container 'i' was lost: The container could not be located"


@pytest.mark.parametrize(
    ("code", "word", "finished", "reason"),
    [
        (137, "Error", "2026-01-01T00:01:00Z", "Deleted"),  # at the end of the grace period
        (143, "Error", "2026-01-01T00:00:30Z", "Deleted"),
        (143, "Error", None, "Deleted"),
        (137, "ContainerStatusUnknown", None, "Deleted"),
        (3, "Error", "2026-01-01T00:00:29Z", "Error"),  # it had failed before
        (137, "OOMKilled", "2026-01-01T00:00:40Z", "OOMKilled"),
        (0, "Completed", "2026-01-01T00:00:31Z", "Deleted"),  # it stopped because of the signal
        (0, "Completed", "2026-01-01T00:00:30Z", "Completed"),  # it had perhaps finished before, within the second
        (0, "Completed", None, "Completed"),
    ],
)
@pytest.mark.parametrize("phase", ["Running", "Failed"])
def test_a_task_whose_pod_is_deleted_while_it_runs_is_interrupted(code, word, finished, reason, phase):
    """Whatever its exit code is then: the task has not failed by itself if somebody deletes its pod or drains its node."""
    terminated = {"terminated": {"exitCode": code, "reason": word, "finishedAt": finished}}
    item = pod(phase if code else "Running", terminated)
    item["metadata"] |= {"deletionTimestamp": "2026-01-01T00:01:00Z", "deletionGracePeriodSeconds": 30}
    status = read_pod(item)
    assert (status.reason, status.rc, status.is_interrupted) == (reason, code, reason == "Deleted")
    assert ("deleted from outside while it ran; " in status.message) == status.is_interrupted
    item["status"] = {"phase": "Failed", "initContainerStatuses": [{"name": "i", "state": terminated}]}
    assert not code or read_pod(item).is_interrupted == status.is_interrupted


@pytest.mark.parametrize("condition", ["DisruptionTarget", "TerminationTarget"])
@pytest.mark.parametrize(("phase", "policy"), [("Running", "Never"), ("Succeeded", "Never"), ("Succeeded", "OnFailure"), ("Failed", "Never")])
def test_a_task_that_exits_with_0_because_it_is_evicted_is_interrupted(condition, phase, policy):
    """The time of the condition is that of the request; a pod that had finished by then, or that a Job counts, has succeeded."""
    cause = {"type": condition, "status": "True", "reason": "EvictionByEvictionAPI", "message": "evicting", "lastTransitionTime": "2026-01-01T00:00:30Z"}
    terminated = {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-01-01T00:00:30Z"}
    item = pod(phase, {"terminated": terminated}, policy, [cause])
    item["metadata"] |= {"deletionTimestamp": "2026-01-01T00:01:00Z", "deletionGracePeriodSeconds": 30}
    status = read_pod(item)
    assert (status.state, status.reason, status.rc, status.is_interrupted) == ("failed", "EvictionByEvictionAPI", 0, True)
    assert status.message.startswith("evicting")
    terminated["finishedAt"] = "2026-01-01T00:00:29Z"
    assert (read_pod(item).state, read_pod(item).rc) == ("succeeded", 0)


def test_kubernetes_decides_about_a_deleted_pod_of_a_job_and_nobody_about_one_that_was_not_deleted():
    terminated = {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-01-01T00:00:40Z"}
    item = pod("Succeeded", {"terminated": terminated}, conditions=DISRUPTED)  # it was not preempted after all
    assert read_pod(item).state == "succeeded"
    item["metadata"] |= {"deletionTimestamp": "2026-01-01T00:01:00Z", "deletionGracePeriodSeconds": 30}
    assert read_pod(item).state == "failed"
    item["metadata"]["ownerReferences"] = [{"kind": "Job", "name": "j", "uid": "u", "controller": True}]
    assert read_pod(item).state == "succeeded"
    evicted = failed_pod(0, "2026-01-01T00:00:40Z", "Evicted", conditions=DISRUPTED)
    assert read_pod(evicted).is_interrupted  # by its kubelet, which deletes nothing


def test_a_container_that_is_about_to_be_restarted_is_not_being_created():
    status = read_pod(pod("Running", FAILED, policy="Always"))
    assert (status.state, status.reason, status.rc) == (
        "pending",
        "Starting",
        3,
    ) and status.message == "its command exited with exit code 3, and is being restarted"


@pytest.mark.parametrize(
    ("started", "waiting", "message"),
    [
        (True, {"running": {}}, "its init container 'wait-db' is running"),
        (False, {"waiting": {"reason": "PodInitializing"}}, "its init container 'proxy' is running"),
        (True, {"terminated": {"exitCode": 0}}, "its containers are being created"),
    ],
)
def test_a_pod_that_is_started_says_which_init_container_it_waits_for(started, waiting, message):
    item = pod("Pending", {"waiting": {"reason": "PodInitializing"}})
    item["spec"]["initContainers"] = [{"name": "proxy", "restartPolicy": "Always"}, {"name": "wait-db"}]
    item["status"] |= {
        "conditions": [{"type": "PodScheduled", "status": "True"}],
        "initContainerStatuses": [{"name": "proxy", "started": started, "state": {"running": {}}}, {"name": "wait-db", "state": waiting}],
    }
    assert read_pod(item).message == message


def test_an_init_container_that_failed_is_named_instead_of_the_sidecar_that_was_terminated_after_it():
    """The proxy of a service mesh is the first init container, and is killed when another one fails."""
    item = pod("Failed")
    item["spec"]["initContainers"] = [{"name": "proxy", "restartPolicy": "Always"}, {"name": "migrate"}]
    killed = {"name": "proxy", "state": {"terminated": {"exitCode": 143, "reason": "Error"}}}
    item["status"]["initContainerStatuses"] = [killed, {"name": "migrate", "state": FAILED}]
    status = read_pod(item)
    assert (status.reason, status.rc, status.message) == ("InitError", 3, "the init container 'migrate' failed with exit code 3")
    assert explaining_container(item) == "migrate"
    item["status"]["initContainerStatuses"] = [killed]
    assert read_pod(item).rc == 143 and explaining_container(item) == "proxy"


@pytest.mark.parametrize(("policy", "state"), [("Never", "running"), ("OnFailure", "running"), ("Always", "pending")])
def test_a_task_that_runs_does_not_fail_because_of_a_sidecar(policy, state):
    """It completes when its own container terminates; a task that keeps running is not ready without its other containers."""
    crashing = {"name": "log", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": FAILED}
    status = read_pod(pod("Running", RUNNING, policy=policy, others=[crashing]))
    assert (status.state, status.reason, status.message, status.rc) == (state, "CrashLoopBackOff", "log: back-off", None)
    assert (status.grace is None) == (state == "running")
    assert read_pod(pod("Pending", {"waiting": {}}, policy=policy, others=[crashing])).grace == TRANSIENT


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"])
def test_a_task_whose_other_container_cannot_start_waits_for_it(reason):
    """It may be what the command of the task waits for."""
    waiting = {"name": "worker", "state": {"waiting": {"reason": reason, "message": "no"}}}
    crashing = {"name": "log", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": FAILED}
    status = read_pod(pod("Pending", RUNNING, policy="Never", others=[crashing, waiting]))
    assert (status.state, status.reason, status.rc) == ("pending", reason, None) and status.grace is not None


def test_a_failed_job_is_not_blamed_on_the_deletion_of_its_other_pods():
    job = {"kind": "Job", "metadata": {"name": "j"}, "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "FailedIndexes"}]}}
    status = read_job(job, [pod("Failed", FAILED, deleted=True)])
    assert (status.reason, status.rc, status.is_interrupted) == ("FailedIndexes", 3, False)


def test_the_state_of_a_job_comes_from_its_conditions_and_the_reason_from_its_last_pod():
    job = {"kind": "Job", "metadata": {"name": "j"}, "status": {}}
    assert read_job(job, []).state == "pending"
    assert read_job(job, [pod("Failed", FAILED)]).state == "pending"  # the Job may retry
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}
    assert read_job(job, [pod("Failed", KILLED)]).reason == "OOMKilled"
    assert read_job(job, []).reason == "BackoffLimitExceeded"


def test_exit_codes_are_those_of_the_containers_that_terminated():
    restarted = {"name": "restarted", "state": RUNNING, "lastState": FAILED}
    item = pod(state=SUCCEEDED, others=[restarted, {"name": "new", "state": None, "lastState": None}, {"name": "waits"}])
    assert exit_codes(item) == {"task": 0, "restarted": 3} and exit_codes({}) == {}


@pytest.mark.parametrize(
    ("completions", "states", "state"),
    [
        (1, [SUCCEEDED], "succeeded"),
        (1, [FAILED], "failed"),
        (1, [RUNNING], "running"),
        (1, [SUCCEEDED, RUNNING], "running"),
        (2, [SUCCEEDED], "pending"),  # the Job would have to start another pod
    ],
)
def test_a_job_is_finished_if_nothing_but_a_container_of_a_webhook_runs(completions, states, state):
    job = {"kind": "Job", "metadata": {"name": "j"}, "spec": {"completions": completions}, "status": {}}
    pods = [pod("Running", state, others=[{"name": "proxy", "state": RUNNING}]) for state in states]
    for number, item in enumerate(pods):
        item["spec"]["containers"].append({"name": "proxy"})
        item["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:0{number}Z"
    assert read_job(job, pods).state == state


def pod_with(spec_cpu, actual_cpu, conditions=(), observed=2):
    containers = [{"name": "task", "resources": {"requests": {"cpu": spec_cpu}}}]
    statuses = [{"name": "task", "resources": {"requests": {"cpu": actual_cpu}}}]
    status = {"conditions": list(conditions), "containerStatuses": statuses, "observedGeneration": observed}
    return {"metadata": {"generation": 2}, "spec": {"containers": containers}, "status": status}


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (pod_with("1", "1000m"), None),
        (pod_with("1", "500m"), "Resizing"),
        (pod_with("1", "1", observed=1), "Resizing"),
        (pod_with("1", "1", [{"type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": "no"}]), "Infeasible"),
        (pod_with("1", "1", [{"type": "PodResizeInProgress", "status": "True"}]), "Resizing"),
    ],
)
def test_the_progress_of_a_resize_is_read_from_the_pod(pod, reason):
    status = read_resize(pod)
    assert (status and status.reason) == reason


STARTED = "2026-01-01T00:00:00Z"


def failed_pod(code, finished, reason="DeadlineExceeded", deadline=60, **status):
    state = {"terminated": {"exitCode": code, "reason": "Completed", "finishedAt": finished}}
    status = {"phase": "Failed", "reason": reason, "startTime": STARTED, "containerStatuses": [{"name": "task", "state": state}]} | status
    return {"metadata": {}, "spec": {"restartPolicy": "Never", "activeDeadlineSeconds": deadline, "containers": [{"name": "task"}]}, "status": status}


DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "lastTransitionTime": "2026-01-01T00:00:30Z"}]


@pytest.mark.parametrize(
    ("pod", "state"),
    [
        (failed_pod(0, "2026-01-01T00:00:05Z"), "succeeded"),  # a proxy ran until the deadline
        (failed_pod(0, "2026-01-01T00:01:00Z"), "failed"),  # it exited with 0 when the deadline terminated it
        (failed_pod(0, "2026-01-01T00:01:05Z"), "failed"),
        (failed_pod(0, None), "failed"),
        (failed_pod(1, "2026-01-01T00:00:05Z"), "failed"),
        (failed_pod(0, "2026-01-01T00:00:05Z", "Evicted", conditions=DISRUPTED), "succeeded"),
        (failed_pod(0, "2026-01-01T00:00:40Z", "Evicted", conditions=DISRUPTED), "failed"),
        (failed_pod(0, "2026-01-01T00:00:05Z", "Evicted"), "failed"),
        (failed_pod(0, "2026-01-01T00:00:05Z", None), "succeeded"),  # another container failed
    ],
)
def test_a_task_that_had_succeeded_when_its_pod_was_terminated_has_succeeded(pod, state):
    assert read_pod(pod).state == state


@pytest.mark.parametrize(
    ("message", "is_interrupted"),
    [
        ("failed to create containerd task: failed to create shim task: context canceled", True),  # the kubelet was killed
        ("failed to create containerd task: context deadline exceeded", True),
        ("failed to start containerd task: ttrpc: closed: unknown", True),
        ('exec: "nope": executable file not found in $PATH', False),
        ("", False),
    ],
)
def test_a_start_that_was_cancelled_is_an_interruption(message, is_interrupted):
    status = read_pod(pod("Failed", {"terminated": {"exitCode": 128, "reason": "StartError", "message": message}}))
    assert (status.state, status.reason, status.rc, status.is_interrupted) == ("failed", "StartError", 128, is_interrupted)
    assert status.message == f"its command could not be started: {message or 'the container runtime gave no reason'}"


def test_containers_that_cannot_start_are_problems_with_their_image():
    def waiting(name, reason, message):
        return {"name": name, "image": "", "state": {"waiting": {"reason": reason, "message": message}}}

    spec = {"initContainers": [{"name": "first", "image": "i:1"}], "containers": [{"name": "task", "image": "i:2"}, {"name": "other", "image": "i:3"}]}
    given = pod(others=[waiting("other", "ImagePullBackOff", "not found"), waiting("task", "ContainerCreating", "")]) | {"spec": spec}
    assert read_problems(given) == [{"container": "other", "image": "i:3", "reason": "ImagePullBackOff", "message": "not found"}]
    given["status"]["initContainerStatuses"] = [waiting("first", "InvalidImageName", "bad")]
    assert [problem["image"] for problem in read_problems(given)] == ["i:1", "i:3"]
    assert read_problems(pod("Pending") | {"status": {}}) == []


@pytest.mark.parametrize(
    ("node", "scheduled", "message"),
    [
        (None, False, "it has not been scheduled"),
        ("gone", False, "its node 'gone' has not accepted it"),  # without a scheduler
        ("node-1", True, "its containers are being created"),
    ],
)
def test_a_pod_without_containers_says_what_it_waits_for(node, scheduled, message):
    waiting = pod("Pending", conditions=[{"type": "PodScheduled", "status": "True"}] if scheduled else ())
    waiting["spec"] |= {"nodeName": node} if node else {}
    assert read_pod(waiting).message == message
