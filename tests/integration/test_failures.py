# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks that cannot succeed: the message of each failure contains its reason, events and log, for Pods and Jobs."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import JOB
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_info

from ..support.operations import call

IMAGE = {"image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 0}
SMALL = {"limits": {"cpu": "50m", "memory": "16Mi"}}

# name -> (options, possible reasons, what the message must contain)
FAILURES = {
    "no-image": ({"image": "podwright/missing:1"}, {"ErrImagePull", "ImagePullBackOff"}, ["podwright/missing", "Failed"]),
    "exits": ({"command": ["sh", "-c", "echo words; echo last words; exit 3"], "log_tail": 1}, {"Error"}, ["exit code 3", "Log:\n  last words"]),
    "memory": ({"command": ["tail", "/dev/zero"], "resources": SMALL}, {"OOMKilled"}, ["more memory"]),
    "slow": ({"command": ["sh", "-c", "echo begun; sleep 60"], "timeout": 2}, {"DeadlineExceeded"}, ["active", "Log:\n  begun"]),
    "nowhere": ({"command": ["true"], "node_selector": {"no": "such"}}, {"Unschedulable"}, ["within 15 s", "didn't match Pod's node affinity/selector"]),
    "no-config": ({"command": ["true"], "env_from": [{"config_map": "missing"}]}, {"CreateContainerConfigError"}, ['configmap "missing" not found']),
    "no-volume": (
        {"command": ["true"], "volumes": [{"name": "v", "mount_path": "/v", "config_map": "missing"}]},
        {"FailedMount"},
        ['configmap "missing" not found'],
    ),
    "no-driver": ({"command": ["true"], "spiffe": True}, {"FailedMount"}, ["csi.spiffe.io not found"]),
    "bad-image": ({"image": "Not/A/Valid:Image"}, {"InvalidImageName"}, ["couldn't parse image"]),
}


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_the_message_of_each_failure_contains_its_reason_events_and_log(kind, play, namespace):
    tasks = [{"name": name, **IMAGE, **options} for name, (options, _reasons, _texts) in FAILURES.items()]
    batch = {"tasks": tasks, "kind": kind, "state": "completed", "wait_timeout": 15, "failure_grace": 4}
    played = play([{"name": "Fail", "podwright.core.task_pod": batch}], namespace=namespace, expect=2)
    result = played.of("Fail")
    tasks_by_name = {task["name"]: task for task in result["tasks"]}
    for name, (_options, reasons, texts) in FAILURES.items():
        task = tasks_by_name[name]
        assert task["state"] == "failed" and task["reason"] in reasons, task
        assert task["events"], task["msg"]
        for text in texts:
            assert text in task["msg"], task["msg"]
    first_lines = {task["msg"].splitlines()[0] for task in tasks_by_name.values()}
    assert len(first_lines) == len(FAILURES)
    assert result["summary"] == {"failed": len(FAILURES), "total": len(FAILURES)}
    # All but the unschedulable one failed before the timeout.
    assert f"{len(FAILURES)} of {len(FAILURES)} tasks failed" in result["msg"]


def test_events_of_an_earlier_pod_of_the_same_name_are_not_reported(play, namespace):
    run = {"name": "again", "command": ["true"], "spiffe": True, "state": "completed", "wait_timeout": 8, "failure_grace": 2, **IMAGE}
    task = {"name": "Fail", "podwright.core.task_pod": run | {"rerun": "always"}, "ignore_errors": True}
    played = play([task, task | {"name": "Again"}], namespace=namespace)
    for result in (played.of("Fail"), played.of("Again")):
        assert [event["reason"] for event in result["events"] if event["type"] == "Warning"] == ["FailedMount"], result["events"]


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_a_task_over_quota_waits_until_the_timeout_and_names_the_quota(kind, play, namespace):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": {"hard": {"pods": "0"}}}
    options = {"name": "refused", "kind": kind, "command": ["true"], "state": "completed", "wait_timeout": 6, **IMAGE}
    played = play(
        [
            {"name": "Limit", "podwright.core.resource_set": {"definition": quota}},
            {"name": "Wait for the quota's status", "podwright.core.pod_info": {"kind": "ResourceQuota", "name": "tight"}, **until("status.hard")},
            {"name": "Fail", "podwright.core.task_pod": options},
        ],
        namespace=namespace,
        expect=2,
    )
    result = played.of("Fail")
    assert "exceeded quota: tight" in result["msg"] and "within 6 s" in result["msg"]
    assert result["state"] == "failed"


def test_a_task_over_quota_starts_when_others_finish(play, namespace, client):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": {"hard": {"pods": "2"}}}
    tasks = [{"name": f"task-{number}", "command": ["sleep", "1"], **IMAGE} for number in range(6)]
    played = play(
        [
            {"name": "Limit", "podwright.core.resource_set": {"definition": quota}},
            {"name": "Wait for the quota's status", "podwright.core.pod_info": {"kind": "ResourceQuota", "name": "tight"}, **until("status.hard")},
            {"name": "Run", "podwright.core.task_pod": {"tasks": tasks, "state": "completed"}},
        ],
        namespace=namespace,
    )
    assert played.of("Run")["summary"] == {"succeeded": 6, "total": 6}


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_a_task_that_violates_pod_security_fails_immediately(kind, play, namespace):
    level = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    options = {"name": "privileged", "kind": kind, "command": ["true"], "state": "completed", "security_profile": "privileged", **IMAGE}
    played = play(
        [{"name": "Tighten", "podwright.core.resource_set": {"definition": level}}, {"name": "Fail", "podwright.core.task_pod": options}],
        namespace=namespace,
        expect=2,
    )
    result = played.of("Fail")
    assert "violates PodSecurity" in result["msg"] and result["duration"] < 30
    # The same task with the profile of the namespace.
    options = options | {"name": "strict", "security_profile": "auto"}
    assert play([{"name": "Run", "podwright.core.task_pod": options}], namespace=namespace).of("Run")["rc"] == 0


def test_a_replacement_that_the_server_refuses_keeps_the_existing_pod(play, namespace):
    options = {"name": "kept", "command": ["sleep", "3600"], **IMAGE}
    first = play([{"name": "Run", "podwright.core.task_pod": options}], namespace=namespace).of("Run")
    refused = options | {"patches": [{"op": "add", "path": "/spec/containers/0/imagePullPolicy", "value": "Sometimes"}]}
    played = play([{"name": "Fail", "podwright.core.task_pod": refused}], namespace=namespace, expect=2)
    assert "Sometimes" in played.of("Fail")["msg"]
    again = play([{"name": "Run", "podwright.core.task_pod": options}], namespace=namespace).of("Run")
    assert again["uid"] == first["uid"] and not again["changed"]


def test_a_failed_task_is_retried_and_then_left_alone(play, namespace):
    options = {"name": "stubborn", "command": ["sh", "-c", "exit 5"], "state": "completed", "retries": 2, "rerun": "on_change", **IMAGE}
    result = play([{"name": "Fail", "podwright.core.task_pod": options}], namespace=namespace, expect=2).of("Fail")
    assert result["attempt"] == 3 and result["rc"] == 5
    again = play([{"name": "Fail", "podwright.core.task_pod": options}], namespace=namespace, expect=2).of("Fail")
    assert again["uid"] == result["uid"] and "earlier run" in again["msg"]
    rerun = play([{"name": "Fail", "podwright.core.task_pod": options | {"rerun": "on_failure", "retries": 0}}], namespace=namespace, expect=2).of("Fail")
    assert rerun["uid"] != result["uid"] and rerun["attempt"] == 1


def until(path):
    """Keywords that repeat a pod_info until a field of its only resource is set."""
    return {"register": "seen", "until": f"(seen.resources | first).{path} is defined", "retries": 20, "delay": 1}


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
