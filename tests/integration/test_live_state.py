# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What others change of live task pods and Jobs: shown in check mode, restored by one run; what they add is left alone."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import JSON_PATCH, STRATEGIC_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import JOB, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod

from ..support.operations import IMAGE, call

SIDECAR = {"name": "sidecar", "command": ["sleep", "3600"], **IMAGE}
SIDECAR.pop("termination_grace_period")
OPTIONS = {
    "set": "edited",
    "command": ["sleep", "3600"],
    "timeout": 3600,
    "ttl": 600,
    "retries": 1,
    "labels": {"tier": "test"},
    "annotations": {"note": "ours"},
    "resources": {"limits": {"cpu": "20m", "memory": "16Mi"}},
    "containers": [SIDECAR],
    "wait_timeout": 120,
    "wait_sleep": 1,
    **IMAGE,
}
# name -> (kind, what somebody changes, subresource, the action that restores it)
EDITS = {
    "label": (POD, {"metadata": {"labels": {"tier": None}}}, None, "patch"),
    "other-label": (POD, {"metadata": {"labels": {"tier": "edited"}}}, None, "patch"),
    "task-label": (POD, {"metadata": {"labels": {"podwright.io/task": None}}}, None, "patch"),
    "managed-by": (POD, {"metadata": {"labels": {"app.kubernetes.io/managed-by": None, "tier": "edited"}}}, None, "patch"),
    "annotation": (POD, {"metadata": {"annotations": {"note": None}}}, None, "patch"),
    "ttl": (POD, {"metadata": {"annotations": {"podwright.io/ttl": "1"}}}, None, "patch"),
    "owner": (POD, {"metadata": {"ownerReferences": None}}, None, "patch"),
    "image": (POD, {"spec": {"containers": [{"name": "task", "image": "busybox:edited"}]}}, None, "patch"),
    "sidecar": (POD, {"spec": {"containers": [{"name": "sidecar", "image": "busybox:edited"}]}}, None, "patch"),
    "limit": (POD, {"spec": {"containers": [{"name": "task", "resources": {"limits": {"cpu": "30m"}}}]}}, "resize", "resize"),
    "request": (POD, {"spec": {"containers": [{"name": "task", "resources": {"requests": {"cpu": "5m"}}}]}}, "resize", "resize"),
    "deadline": (POD, {"spec": {"activeDeadlineSeconds": 1800}}, None, "replace"),
    "foreign-label": (POD, {"metadata": {"labels": {"foreign": "x"}, "annotations": {"foreign": "x"}}}, None, "none"),
    "toleration": (POD, {"spec": {"tolerations": [{"key": "foreign", "operator": "Exists"}]}}, None, "none"),
    "debugger": (POD, {"spec": {"ephemeralContainers": [{"name": "d", "image": "busybox", "imagePullPolicy": "Never"}]}}, "ephemeralcontainers", "none"),
    "unchanged": (POD, None, None, "none"),
    "job-label": (JOB, {"metadata": {"labels": {"tier": None}}}, None, "patch"),
    "job-managed-by": (JOB, {"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}, None, "patch"),
    "job-task-label": (JOB, {"metadata": {"labels": {"podwright.io/task": None}}}, None, "patch"),
    "job-annotation": (JOB, {"metadata": {"annotations": {"note": "edited"}}}, None, "patch"),
    "job-retries": (JOB, {"spec": {"backoffLimit": 5}}, None, "patch"),
    "job-deadline": (JOB, {"spec": {"activeDeadlineSeconds": 100000}}, None, "patch"),
    "job-ttl": (JOB, {"spec": {"ttlSecondsAfterFinished": 5}}, None, "patch"),
    "job-added": (JOB, {"metadata": {"labels": {"foreign": "x"}}, "spec": {"parallelism": 1}}, None, "none"),
    "job-unchanged": (JOB, None, None, "none"),
}


def tasks():
    """The tasks, one for each edit."""
    return [{"name": name, "kind": kind.name, **({"parent": "parent"} if kind == POD else {})} for name, (kind, *_rest) in EDITS.items()]


def edit(client, namespace, name):
    """Change a live object as somebody else."""
    kind, body, subresource, _action = EDITS[name]
    if body == EDITS["owner"][1]:
        remove = [{"op": "remove", "path": "/metadata/ownerReferences"}]
        client.patch(kind, namespace, name, remove, "somebody", JSON_PATCH)
    elif body:
        client.patch(kind, namespace, name, body, "somebody", STRATEGIC_PATCH, subresource=subresource)


def essence(item):
    """What a task sets in its live object."""
    spec, metadata = item["spec"], item["metadata"]
    containers = [(container["name"], container["image"], container.get("resources")) for container in spec.get("containers") or []]
    numbers = [spec.get(name) for name in ("activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")]
    annotations = metadata.get("annotations") or {}
    texts = [metadata["labels"].get("tier"), metadata["labels"].get("podwright.io/set"), annotations.get("note"), annotations.get("podwright.io/ttl")]
    return containers, numbers, texts, [owner["uid"] for owner in metadata.get("ownerReferences") or []]


def test_what_others_change_of_live_tasks_is_shown_and_restored(client, namespace):
    call(task_pod, {"name": "parent", "command": ["sleep", "3600"], **IMAGE}, namespace)
    options = OPTIONS | {"tasks": tasks()}
    assert call(task_pod, options, namespace)["summary"].get("failed") is None
    before = {name: client.get(kind, namespace, name) for name, (kind, *_rest) in EDITS.items()}
    assert not call(task_pod, options, namespace)["changed"]
    for name in EDITS:
        edit(client, namespace, name)
    edited = {name: client.get(kind, namespace, name) for name, (kind, *_rest) in EDITS.items()}
    for check_mode in (True, False):
        plan = call(task_pod, options, namespace, check_mode)["plan"]
        assert {step["name"]: step["action"] for step in plan} == {name: action for name, (*_rest, action) in EDITS.items()}, check_mode
        assert not [step for step in plan if step["action"] not in ("none", "resize") and not step["patch"]]
    after = {name: client.get(kind, namespace, name) for name, (kind, *_rest) in EDITS.items()}
    for name, (_kind, body, _subresource, action) in EDITS.items():
        assert essence(after[name]) == essence(before[name]), name
        assert (after[name]["metadata"]["uid"] == before[name]["metadata"]["uid"]) == (action != "replace")
        if body and action == "none":
            assert after[name]["spec"] == edited[name]["spec"] and after[name]["metadata"]["labels"] == edited[name]["metadata"]["labels"]
    again = call(task_pod, options, namespace)
    assert not again["changed"], [step for step in again["plan"] if step["action"] != "none"]


@pytest.mark.parametrize("on_immutable", ["fail", "never"])
def test_a_shortened_deadline_replaces_a_pod_only_if_that_is_allowed(client, namespace, on_immutable):
    options = OPTIONS | {"name": "one", "on_immutable": "fail"} if on_immutable == "fail" else OPTIONS | {"name": "one", "rerun": "never"}
    call(task_pod, options, namespace)
    client.patch(POD, namespace, "one", EDITS["deadline"][1], "somebody", STRATEGIC_PATCH)
    result = call(task_pod, options, namespace)
    assert not result["changed"] and (result.get("reason") == "Immutable") == (on_immutable == "fail"), result


def test_finished_tasks_are_left_alone(client, namespace):
    names = ["label", "image", "foreign-label"]
    options = OPTIONS | {"command": ["true"], "state": "completed", "containers": None, "tasks": [{"name": name} for name in names]}
    call(task_pod, options, namespace)
    for name in names:
        edit(client, namespace, name)
    assert not call(task_pod, options, namespace)["changed"]
