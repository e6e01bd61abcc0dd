# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Quotas, limits and the lifetime of pods that the role quota sets: what the API server refuses, and when the kubelet terminates a pod."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, NAMESPACE, POD, Kind
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod

from ..support.operations import IMAGE, call
from ..support.waiting import wait_for

QUOTA, LIMITS, CLAIM = (BUILT_IN["v1", kind] for kind in ("ResourceQuota", "LimitRange", "PersistentVolumeClaim"))
JOB = BUILT_IN["batch/v1", "Job"]
POLICY = Kind("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies")
BINDING = Kind("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings")
TINY = {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"cpu": "20m", "memory": "16Mi"}}
EVERYTHING = {
    "quota_max_cpu": "1",
    "quota_max_gpus": 0,
    "quota_gpu_resource": "example.com/gpu",
    "quota_max_total_requests": {"memory": "40Mi"},
    "quota_max_total_limits": {"cpu": "2", "memory": "80Mi", "ephemeral-storage": ""},
    "quota_max_objects": {"jobs.batch": 0, "services.nodeports": 0, "count/configmaps": 3},
    "quota_max_storage_by_class": {"fast": {"size": "2Gi", "claims": 1}},
    "quota_scoped": [
        {"name": "endless", "scopes": ["NotTerminating"], "max_pods": 0},
        {"name": "urgent", "priority_classes": ["system-node-critical"], "max_pods": 0},
    ],
    "quota_max_limits": {"memory": "64Mi"},
    "quota_min_requests": {"memory": "4Mi"},
    "quota_max_limit_request_ratio": {"cpu": "4"},
    "quota_max_pod_limits": {"cpu": "1"},
    "quota_min_pod_requests": {"cpu": "5m"},
    "quota_max_claim_size": "3Gi",
    "quota_min_claim_size": "1Mi",
}


def role(namespace, state="present", **variables):
    """A task that includes the role."""
    return {"ansible.builtin.include_role": {"name": "podwright.core.quota"}, "vars": {"quota_namespace": namespace, "quota_state": state} | variables}


def a_pod(containers=1, priority=None, deadline=60, **resources):
    own = {"name": "task", "image": "busybox", "resources": TINY | resources}
    spec = {"containers": [own | {"name": f"c-{number}"} for number in range(containers)], "priorityClassName": priority, "activeDeadlineSeconds": deadline}
    return POD, {"metadata": {"name": "probe"}, "spec": {name: value for name, value in spec.items() if value is not None}}


def a_claim(size, storage_class):
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class, "resources": {"requests": {"storage": size}}}
    return CLAIM, {"metadata": {"name": "probe"}, "spec": spec}


def test_each_limit_refuses_what_exceeds_it_and_nothing_else(play, client, namespace):
    play([role(namespace, **EVERYTHING)])
    assert not play([role(namespace, **EVERYTHING)]).is_changed
    wait_for(lambda: all((item.get("status") or {}).get("hard") == item["spec"]["hard"] for item in client.list(QUOTA, namespace)[0]))

    def refusal(kind, body):
        try:
            client.create(kind, namespace, {"apiVersion": kind.api_version, "kind": kind.name} | body, "test", dry_run=True)
        except PodwrightError as error:
            return str(error)
        return ""

    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "busybox"}]}}
    assert not refusal(*a_pod())
    for body, words in (
        (a_pod(requests={"cpu": "10m", "memory": "48Mi"}, limits={"cpu": "20m", "memory": "64Mi"}), "requested: requests.memory=48Mi"),
        (a_pod(3, requests={"cpu": "10m", "memory": "8Mi"}, limits={"cpu": "20m", "memory": "32Mi"}), "requested: limits.memory=96Mi"),
        (a_pod(limits={"cpu": "20m", "memory": "65Mi"}), "maximum memory usage per Container is 64Mi"),
        (a_pod(requests={"cpu": "10m", "memory": "1Mi"}), "minimum memory usage per Container is 4Mi"),
        (a_pod(limits={"cpu": "50m", "memory": "16Mi"}), "cpu max limit to request ratio per Container is 4"),
        (a_pod(3, requests={"cpu": "100m", "memory": "8Mi"}, limits={"cpu": "400m", "memory": "16Mi"}), "maximum cpu usage per Pod is 1"),
        (a_pod(requests={"cpu": "4m", "memory": "8Mi"}, limits={"cpu": "5m", "memory": "16Mi"}), "minimum cpu usage per Pod is 5m"),
        (a_pod(limits=TINY["limits"] | {"example.com/gpu": 1}), "requested: requests.example.com/gpu=1"),
        (a_pod(deadline=None), "exceeded quota: podwright-endless"),
        (a_pod(priority="system-node-critical"), "exceeded quota: podwright-urgent"),
        (a_claim("3Gi", "fast"), "fast.storageclass.storage.k8s.io/requests.storage=3Gi"),
        (a_claim("4Gi", "slow"), "maximum storage usage per PersistentVolumeClaim is 3Gi"),
        (a_claim("1Ki", "slow"), "minimum storage usage per PersistentVolumeClaim is 1Mi"),
        ((JOB, {"metadata": {"name": "probe"}, "spec": {"template": template}}), "requested: count/jobs.batch=1"),
        ((BUILT_IN["v1", "Service"], {"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 1}]}}), "requested: services.nodeports=1"),
    ):
        assert words in refusal(*body), words
    assert not refusal(*a_claim("2Gi", "fast")) and not refusal(*a_claim("3Gi", "slow"))
    # The scopes of a quota cannot be changed in place; a quota that the variables no longer describe is deleted.
    play([role(namespace, quota_scoped=[{"name": "endless", "scopes": ["Terminating"], "max_pods": 9}])])
    (left,) = client.list(QUOTA, namespace)[0]
    assert left["metadata"]["name"] == "podwright-endless" and left["spec"] == {"hard": {"pods": "9"}, "scopes": ["Terminating"]}
    assert not client.list(LIMITS, namespace)[0]
    play([role(namespace, "absent")])
    assert not client.list(QUOTA, namespace)[0]


@pytest.fixture
def lifetime(client, play, namespace):
    """A function that sets the lifetime of the pods of the namespace; nothing is left afterwards."""
    try:
        client.list(POLICY, None)
    except PodwrightError:
        pytest.skip("the API server has no MutatingAdmissionPolicy")

    def set_lifetime(seconds):
        played = play([role(namespace, quota_pod_lifetime_seconds=seconds)])
        wait_for(lambda: deadline_of(client, namespace) == seconds)
        return played

    yield set_lifetime
    play([role(namespace, "absent")])
    assert not [kind.name for kind in (POLICY, BINDING) if client.get(kind, None, f"podwright-lifetime-{namespace}")]


def deadline_of(client, namespace, owner=None, **options):
    """The deadline that the API server gives a pod."""
    kind, body = a_pod(**{"deadline": None} | options)
    body["metadata"] |= {"ownerReferences": [owner]} if owner else {}
    created = client.create(kind, namespace, {"apiVersion": "v1", "kind": "Pod"} | body, "test", dry_run=True)
    return created["spec"].get("activeDeadlineSeconds")


def test_pods_are_terminated_at_the_end_of_their_lifetime(client, play, namespace, make_namespace, lifetime):
    lifetime(2)
    task = IMAGE | {"name": "endless", "command": ["sleep", "3600"]}
    done = call(task_pod, task | {"state": "completed"}, namespace)
    assert done["reason"] == "DeadlineExceeded"
    assert "The namespace limits the lifetime of pods to 2 s: speed up the task, or raise quota_pod_lifetime_seconds" in done["msg"]
    assert deadline_of(client, namespace, deadline=1) == 1 and deadline_of(client, make_namespace()) is None
    owner = {"apiVersion": "apps/v1", "name": "web", "uid": "a-b-c", "controller": True}
    assert deadline_of(client, namespace, owner | {"kind": "ReplicaSet"}) is None
    assert deadline_of(client, namespace, owner | {"kind": "Job"}) == 2
    assert deadline_of(client, namespace, owner | {"kind": "ReplicaSet", "controller": False}) == 2
    # A deadline that the policy shortened is not an edit that would replace the pod.
    lifetime(3600)
    for timeout in (None, 7200):
        given = task | {"name": f"running-{timeout or 0}", "timeout": timeout}
        assert call(task_pod, given, namespace)["changed"] and not call(task_pod, given, namespace)["changed"]
    again = play([role(namespace, quota_pod_lifetime_seconds=3600)])
    assert not again.is_changed
    play([role(namespace)])
    wait_for(lambda: deadline_of(client, namespace) is None)


INVALID = [
    ({"quota_max_cpu": "half"}, "quota_max_cpu: must be a quantity such as 500m or 2Gi, got 'half'."),
    ({"quota_max_total_requests": {"cpu": "1 core"}}, "quota_max_total_requests.cpu: must be a quantity"),
    ({"quota_max_total_limits": {"nvidia.com/gpu": 1}}, "quota_max_total_limits.nvidia.com/gpu: unknown resource"),
    ({"quota_max_storage_by_class": {"fast": {"count": 1}}}, "quota_max_storage_by_class.fast: must be a mapping of size and claims"),
    ({"quota_max_objects": {"deployments": 0}}, "quota_max_objects.deployments: must have a group"),
    ({"quota_scoped": [{"name": "a", "max_pods": 1}]}, "quota_scoped[0]: must have scopes or priority_classes."),
    ({"quota_scoped": [{"name": "a", "scopes": ["Terminating"]}]}, "quota_scoped[0]: must have max_pods, requests or limits."),
    ({"quota_scoped": [{"name": "a", "scopes": ["Terminating"], "max_pods": 1}] * 2}, "quota_scoped[1].name: must be unique"),
    ({"quota_pod_lifetime_seconds": 0}, "quota_pod_lifetime_seconds: must be a whole number greater than 0, got '0'."),
    ({"quota_pod_ttl_seconds": "soon"}, "quota_pod_ttl_seconds: must be a whole number, got 'soon'."),
]


def test_invalid_variables_are_refused_before_any_request(play):
    tasks = [{"block": [role("default", **variables)], "rescue": [{"ansible.builtin.debug": {"msg": "refused"}}]} for variables, _message in INVALID]
    played = play(tasks, kubeconfig="/dev/null")
    for _variables, message in INVALID:
        assert message in " ".join(played.output.split()), message
    assert played.output.count('"msg": "refused"') + played.output.count("msg: refused") == len(INVALID) and "kubeconfig" not in played.output


def test_what_is_in_force_for_a_namespace_is_deleted_with_it(play, client, make_namespace):
    namespace = make_namespace()
    play([role(namespace, quota_pod_lifetime_seconds=60)])
    assert not play([role(namespace, quota_pod_lifetime_seconds=60)]).is_changed
    assert client.get(POLICY, None, f"podwright-lifetime-{namespace}")
    client.delete(NAMESPACE, None, namespace)
    wait_for(lambda: not any(client.get(kind, None, f"podwright-lifetime-{namespace}") for kind in (POLICY, BINDING)))
