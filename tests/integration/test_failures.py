# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks that cannot succeed: the message of each failure contains its reason, events and log, for Pods and Jobs."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, JOB, NAMESPACE
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_info, task_pod

from ..support.operations import call
from ..support.waiting import wait_for

QUOTA = BUILT_IN["v1", "ResourceQuota"]
IMAGE = {"image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 0}
SMALL = {"limits": {"cpu": "50m", "memory": "16Mi"}}

# name -> (options, possible reasons, what the message must contain)
FAILURES = {
    "no-image": ({"image": "podwright/missing:1"}, {"ErrImagePull", "ImagePullBackOff"}, ["podwright/missing"]),
    "exits": ({"command": ["sh", "-c", "echo words; echo last words; exit 3"], "log_tail": 1}, {"Error"}, ["exit code 3", "Log:\n  last words"]),
    "memory": ({"command": ["tail", "/dev/zero"], "resources": SMALL}, {"OOMKilled"}, ["more memory"]),
    "slow": ({"command": ["sh", "-c", "echo begun; sleep 60"], "timeout": 8}, {"DeadlineExceeded"}, ["active", "Log:\n  begun"]),
    "nowhere": (
        {"command": ["true"], "node_selector": {"no": "such"}},
        {"Unschedulable"},
        ["within 30 s", "didn't match Pod's node affinity/selector", "Correct node_selector"],
    ),
    "no-config": (
        {"command": ["true"], "env_from": [{"config_map": "missing"}]},
        {"CreateContainerConfigError"},
        ['configmap "missing" not found', 'Create configmap "missing" first.'],
    ),
    "no-volume": (
        {"command": ["true"], "volumes": [{"name": "v", "mount_path": "/v", "config_map": "missing"}]},
        {"FailedMount"},
        ['configmap "missing" not found', 'Create configmap "missing" first.'],
    ),
    "no-driver": ({"command": ["true"], "spiffe": True}, {"FailedMount"}, ["csi.spiffe.io not found", "Install the CSI driver"]),
    "bad-image": ({"image": "Not/A/Valid:Image"}, {"InvalidImageName"}, ["couldn't parse image", "Correct image."]),
    "no-program": ({"command": ["missing"]}, {"StartError"}, ["executable file not found", "Correct command"]),
}


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_the_message_of_each_failure_contains_its_reason_events_and_log(kind, namespace):
    tasks = [{"name": name, **IMAGE, **options} for name, (options, _reasons, _texts) in FAILURES.items()]
    result = call(task_pod, {"tasks": tasks, "kind": kind, "state": "completed", "wait_timeout": 30, "failure_grace": 4}, namespace)
    tasks_by_name = {task["name"]: task for task in result["tasks"]}
    for name, (_options, reasons, texts) in FAILURES.items():
        task = tasks_by_name[name]
        assert task["state"] == "failed" and task["reason"] in reasons, task
        assert task["events"] and "  Failed: Error: " not in task["msg"], task["msg"]
        for text in texts:
            assert text in task["msg"], task["msg"]
    first_lines = {task["msg"].splitlines()[0] for task in tasks_by_name.values()}
    assert len(first_lines) == len(FAILURES)
    assert result["failed"] and result["summary"] == {"failed": len(FAILURES), "total": len(FAILURES)}
    # All but the unschedulable one failed before the timeout.
    assert f"{len(FAILURES)} of {len(FAILURES)} tasks failed" in result["msg"]


def test_events_of_an_earlier_pod_of_the_same_name_are_not_reported(namespace):
    run = {"name": "again", "command": ["true"], "spiffe": True, "state": "completed", "wait_timeout": 60, "failure_grace": 2, "rerun": "always", **IMAGE}
    for _turn in range(2):
        result = call(task_pod, run, namespace)
        assert [event["reason"] for event in result["events"] if event["type"] == "Warning"] == ["FailedMount"], result["events"]


def limit_pods(client, namespace, number):
    """Create a quota of that many pods, and wait until it is in effect."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": {"hard": {"pods": str(number)}}}
    client.create(QUOTA, namespace, quota, "test")
    wait_for(lambda: (client.get(QUOTA, namespace, "tight").get("status") or {}).get("hard"))


def test_a_task_over_quota_waits_until_the_timeout_and_names_the_quota(client, namespace):
    limit_pods(client, namespace, 0)
    options = {"command": ["true"], "state": "completed", "wait_timeout": 12, **IMAGE}
    result = call(task_pod, options | {"tasks": [{"name": f"refused-{kind.lower()}", "kind": kind} for kind in ("Pod", "Job")]}, namespace)
    assert result["failed"]
    for task in result["tasks"]:
        assert "exceeded quota: tight" in task["msg"] and "within 12 s" in task["msg"], task
        assert task["state"] == "failed"


def test_a_task_over_quota_starts_when_others_finish(client, namespace):
    limit_pods(client, namespace, 2)
    tasks = [{"name": f"task-{number}", "command": ["sleep", "1"], **IMAGE} for number in range(4)]
    assert call(task_pod, {"tasks": tasks, "state": "completed"}, namespace)["summary"] == {"succeeded": 4, "total": 4}


def test_a_task_that_violates_pod_security_fails_immediately(client, namespace):
    client.patch(NAMESPACE, None, namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}, "test", MERGE_PATCH)
    options = {"command": ["true"], "state": "completed", **IMAGE}
    kinds = ("Pod", "Job")
    refused = call(task_pod, options | {"security_profile": "privileged", "tasks": [{"name": kind.lower(), "kind": kind} for kind in kinds]}, namespace)
    assert refused["failed"] and refused["duration"] < 120, refused
    assert all("violates PodSecurity" in task["msg"] for task in refused["tasks"]), refused
    # The same tasks with the profile of the namespace.
    strict = call(task_pod, options | {"security_profile": "auto", "tasks": [{"name": f"strict-{kind.lower()}", "kind": kind} for kind in kinds]}, namespace)
    assert [task["rc"] for task in strict["tasks"]] == [0, 0]


def test_a_replacement_that_the_server_refuses_keeps_the_existing_pod(namespace):
    options = {"name": "kept", "command": ["sleep", "3600"], **IMAGE}
    first = call(task_pod, options, namespace)
    refused = call(task_pod, options | {"patches": [{"op": "add", "path": "/spec/containers/0/imagePullPolicy", "value": "Sometimes"}]}, namespace)
    assert refused["failed"] and "Sometimes" in refused["msg"]
    again = call(task_pod, options, namespace)
    assert again["uid"] == first["uid"] and not again["changed"]


def test_a_failed_task_is_retried_and_then_left_alone(namespace):
    options = {"name": "stubborn", "command": ["sh", "-c", "exit 5"], "state": "completed", "retries": 1, "rerun": "on_change", **IMAGE}
    result = call(task_pod, options, namespace)
    assert result["failed"] and result["attempt"] == 2 and result["rc"] == 5
    again = call(task_pod, options, namespace)
    assert again["uid"] == result["uid"] and "earlier run" in again["msg"]
    rerun = call(task_pod, options | {"rerun": "on_failure", "retries": 0}, namespace)
    assert rerun["uid"] != result["uid"] and rerun["attempt"] == 1


def test_waiting_for_other_kinds_stops_when_they_are_ready_or_failed(client, namespace):
    pod = {"restartPolicy": "Never", "containers": [{"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["true"]}]}
    for name, command in (("good", ["true"]), ("bad", ["false"])):
        template = {"spec": pod | {"containers": [pod["containers"][0] | {"command": command}]}}
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template}}
        client.create(JOB, namespace, job, "test")
    of_jobs = {"kind": "Job", "api_version": "batch/v1", "wait": True}
    good = call(pod_info, of_jobs | {"name": "good"}, namespace)
    assert not good["failed"] and good["resources"][0]["status"]["succeeded"] == 1
    bad = call(pod_info, of_jobs | {"name": "bad"}, namespace)
    assert bad["failed"] and "cannot become ready: BackoffLimitExceeded" in bad["msg"] and bad["duration"] < 60
    tree = call(pod_info, {"parent": {"kind": "Job", "api_version": "batch/v1", "name": "good"}, "events": True}, namespace)
    assert [list(tree["events"])] == [[pod["name"] for pod in tree["pods"]]] and "Started" in str(tree["events"])
