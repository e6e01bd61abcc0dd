# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Readiness of what the world has: statuses that no schema describes, and objects that nobody will change further."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.readiness import FAILED, PROGRESSING, READY, assess, condition, deletion_obstacle
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import key_of
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.wait import wait_until_ready

KINDS = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Namespace"),
    ("v1", "Service"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("example.com/v1", "Gadget"),
]
NAMES = (
    *("conditions", "type", "status", "reason", "message", "observedGeneration", "phase", "spec", "rollingUpdate", "partition"),
    *("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "desiredNumberScheduled", "numberReady"),
    *("containerStatuses", "state", "waiting", "loadBalancer", "ingress"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["True", "False", "Ready", "1", "²", "9" * 5000]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(NAMES), below, max_size=4),
    max_leaves=15,
)


@given(st.sampled_from(KINDS), VALUES, VALUES, VALUES)
def test_any_status_has_a_readiness(kind, status, spec, generation):
    item = {"apiVersion": kind[0], "kind": kind[1], "metadata": {"name": "a", "generation": generation}, "status": status}
    if kind[0] not in ("v1", "apps/v1", "batch/v1"):
        item["spec"] = spec  # those of the API's own kinds fit its schema
    verdict = assess(item)
    assert verdict.state in (PROGRESSING, READY, FAILED) and isinstance(verdict.message, str)
    assert isinstance(condition(item, "Ready"), dict) and isinstance(deletion_obstacle(item), str)


def thing(kind, api_version="apps/v1", spec=None, status=None, **metadata):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "generation": 2} | metadata, "spec": spec or {}, "status": status}


def test_a_definition_whose_names_are_taken_says_so():
    names = {"type": "NamesAccepted", "status": "False", "reason": "ListKindConflict", "message": '"GadgetList" is already in use'}
    established = {"type": "Established", "status": "False", "message": "not all names are accepted"}
    item = thing("CustomResourceDefinition", "apiextensions.k8s.io/v1", status={"conditions": [names, established]})
    assert assess(item) == (PROGRESSING, 'its names are not accepted: "GadgetList" is already in use')


ALL_READY = {"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "availableReplicas": 2}
HAS_FAILED = {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}
ROLLED_OUT = {"deployment.kubernetes.io/revision": "1"}
ALL_SCHEDULED = {"observedGeneration": 2, "desiredNumberScheduled": 2, "numberReady": 2, "numberAvailable": 2}
IS_READY = {"type": "Ready", "status": "True", "observedGeneration": 2}
STALLED = {"type": "Stalled", "status": "True", "reason": "BuildFailed"}
SUSPENDED = {"conditions": [{"type": "Suspended", "status": "True"}]}
BY_MANIFEST = [{"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:spec": {"f:suspend": {}}}}]
BY_A_QUEUE = [{"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {}}}}]


@pytest.mark.parametrize(
    ("item", "state"),
    [
        (thing("Rollout", "argoproj.io/v1", status={"observedGeneration": "2"}), READY),
        (thing("Rollout", "argoproj.io/v1", status={"observedGeneration": "1"}), PROGRESSING),
        (thing("StatefulSet", spec={"replicas": 2, "updateStrategy": {"type": "OnDelete"}}, status=ALL_READY), READY),
        (thing("StatefulSet", spec={"replicas": 3, "updateStrategy": {"type": "OnDelete"}}, status=ALL_READY), PROGRESSING),
        (thing("StatefulSet", spec={"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 2}}}, status=ALL_READY), READY),
        (thing("StatefulSet", spec={"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 5}}}, status=ALL_READY), READY),
        (thing("StatefulSet", spec={"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}}, status=ALL_READY), PROGRESSING),
        (
            thing("StatefulSet", spec={"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}}, status=ALL_READY | {"updatedReplicas": 1}),
            READY,
        ),
        (thing("StatefulSet", spec={"replicas": 2}, status=ALL_READY), PROGRESSING),
        (thing("DaemonSet", spec={"updateStrategy": {"type": "OnDelete"}}, status=ALL_SCHEDULED), READY),
        (thing("DaemonSet", spec={"updateStrategy": {"type": "RollingUpdate"}}, status=ALL_SCHEDULED), PROGRESSING),
        (thing("DaemonSet", status=ALL_SCHEDULED | {"updatedNumberScheduled": 2}), READY),
        (thing("DaemonSet", status=ALL_SCHEDULED | {"updatedNumberScheduled": 2, "numberAvailable": 1}), PROGRESSING),  # minReadySeconds
        (thing("Deployment", spec={"replicas": 2, "paused": True}, status={"observedGeneration": 2}), READY),
        (thing("Deployment", spec={"replicas": 2, "paused": True}, status={"observedGeneration": 1}), PROGRESSING),
        # A paused Deployment is scaled with its earlier pods, once it has some.
        (thing("Deployment", spec={"replicas": 3, "paused": True}, status=ALL_READY, annotations=ROLLED_OUT), PROGRESSING),
        (thing("Deployment", spec={"replicas": 2, "paused": True}, status=ALL_READY | HAS_FAILED, annotations=ROLLED_OUT), READY),
        (thing("Deployment", spec={"replicas": 2, "paused": True}, status=ALL_READY | {"replicas": 3}, annotations=ROLLED_OUT), READY),
        (thing("Job", "batch/v1", {"suspend": True}, SUSPENDED, managedFields=BY_MANIFEST), READY),
        (thing("Job", "batch/v1", {"suspend": True}, SUSPENDED, managedFields=BY_A_QUEUE), PROGRESSING),
        (thing("Job", "batch/v1", {"suspend": True}, SUSPENDED), READY),
        # It has just been resumed: the condition is that of the previous spec, and a Job has no observed generation.
        (thing("Job", "batch/v1", {"suspend": False}, SUSPENDED, managedFields=BY_MANIFEST), PROGRESSING),
        (thing("Job", "batch/v1", {}, SUSPENDED), PROGRESSING),
        (thing("ClusterQueue", "kueue.x-k8s.io/v1beta2", {}, {}), PROGRESSING),
        (thing("ClusterQueue", "kueue.x-k8s.io/v1beta2", {}, {"conditions": [{"type": "Active", "status": "False", "reason": "FlavorNotFound"}]}), PROGRESSING),
        (thing("ClusterQueue", "kueue.x-k8s.io/v1beta2", {}, {"conditions": [{"type": "Active", "status": "False", "reason": "Stopped"}]}), READY),
        (thing("LocalQueue", "kueue.x-k8s.io/v1beta2", {}, {"conditions": [{"type": "Active", "status": "True"}]}), READY),
        (thing("ScaledObject", "keda.sh/v1alpha1", {}, {}), PROGRESSING),
        (thing("ScaledObject", "keda.sh/v1alpha1", {}, {"conditions": [{"type": "Ready", "status": "True"}]}), READY),
        (thing("Job", "batch/v1", {"suspend": True}, SUSPENDED, labels={"kueue.x-k8s.io/queue-name": "q"}), PROGRESSING),
        (thing("Job", "batch/v1", {"suspend": True}, {}), PROGRESSING),
        (thing("ReplicationController", "v1", {"replicas": 2}, ALL_READY), READY),
        (thing("ReplicationController", "v1", {"replicas": 3}, ALL_READY), PROGRESSING),
        (thing("ReplicationController", "v1", {"replicas": 0}, {"observedGeneration": 2, "replicas": 1}), PROGRESSING),
        # Kinds of other groups are assessed by their conditions, whatever their names.
        (thing("Job", "batch.volcano.sh/v1alpha1", status={"state": "Running"}), READY),
        (thing("Service", "serving.knative.dev/v1", status={"conditions": [{"type": "Ready", "status": "Unknown"}]}), PROGRESSING),
        (thing("Kustomization", "kustomize.toolkit.fluxcd.io/v1", status={"conditions": [{"type": "Ready", "status": "False"}, STALLED]}), FAILED),
        (thing("Kustomization", "kustomize.toolkit.fluxcd.io/v1", status={"conditions": [STALLED | {"status": "False"}]}), READY),
        (thing("Certificate", "cert-manager.io/v1", status={"conditions": [IS_READY]}), READY),
        (thing("Certificate", "cert-manager.io/v1", status={"conditions": [IS_READY | {"observedGeneration": 1}]}), PROGRESSING),
        (thing("Certificate", "cert-manager.io/v1", status={"conditions": [IS_READY, STALLED | {"observedGeneration": 1}]}), READY),
        (thing("Cluster", "cluster.x-k8s.io/v1beta2", status={"conditions": [{"type": "Reconciling", "status": "True"}]}), PROGRESSING),
    ],
)
def test_object_in_its_desired_state_is_ready(item, state):
    assert assess(item).state == state


def test_the_refusal_of_its_pods_is_part_of_the_message_about_a_workload():
    refusal = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "pods is forbidden: exceeded quota"}
    item = thing("Deployment", spec={"replicas": 2}, status=ALL_READY | {"conditions": [refusal]})
    assert assess(item) == (PROGRESSING, "0 of 2 replicas updated: pods is forbidden: exceeded quota")
    item["status"]["conditions"].append(HAS_FAILED["conditions"][0] | {"message": 'ReplicaSet "a-7d" has timed out progressing.'})
    assert assess(item) == (FAILED, 'ReplicaSet "a-7d" has timed out progressing: pods is forbidden: exceeded quota')
    item["status"]["conditions"] = [refusal | {"status": "False"}]
    assert assess(item).message == "0 of 2 replicas updated"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (thing("Pod", "v1", finalizers=["a.com/x", "b"]), "blocked by finalizers: a.com/x, b"),
        (thing("CustomResourceDefinition", finalizers=["customresourcecleanup.apiextensions.k8s.io"]), "objects of its kind still exist"),
        (thing("Pod", "v1"), "still terminating"),
        (
            thing(
                "Namespace", "v1", status={"conditions": [{"type": "NamespaceFinalizersRemaining", "status": "True", "message": "Some content: a.com/x in 1"}]}
            ),
            "a.com/x in 1",
        ),
        (
            thing("Namespace", "v1", status={"conditions": [{"type": "NamespaceContentRemaining", "status": "False", "message": "none"}]}),
            "still terminating",
        ),
    ],
)
def test_blocked_deletion_names_the_obstacle(item, said):
    assert said in deletion_obstacle(item)


class Server:
    """A client that returns a storage class, or is not allowed to read it."""

    def __init__(self, mode):
        self.mode = mode

    def get(self, kind, namespace, name):
        if self.mode == "hidden":
            raise PodwrightError('User "u" cannot get resource', status=403)
        return {"volumeBindingMode": self.mode} if self.mode else None

    def list(self, *arguments, **options):
        raise InterruptedError  # it is waited for


@pytest.mark.parametrize(
    ("mode", "annotations", "is_awaited"),
    [
        ("WaitForFirstConsumer", {}, False),
        ("WaitForFirstConsumer", {"volume.kubernetes.io/selected-node": "n"}, True),
        ("Immediate", {}, True),
        ("hidden", {}, True),
        (None, {}, True),
    ],
)
def test_claim_with_late_binding_is_not_awaited_before_its_first_pod(mode, annotations, is_awaited):
    claim = thing("PersistentVolumeClaim", "v1", {"storageClassName": "late"}, {"phase": "Pending"}, annotations=annotations)
    kind = BUILT_IN["v1", "PersistentVolumeClaim"]
    server = Server(mode)
    server.clock = type("Clock", (), {"monotonic": staticmethod(lambda: 0)})
    try:
        wait_until_ready(server, {key_of(claim, kind): (kind, claim)}, 1, Console())
        waited = False
    except InterruptedError:
        waited = True
    assert waited is is_awaited
