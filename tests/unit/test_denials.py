# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an error names if RBAC denies a request, and which other refusals are not taken for that."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.api_errors import status_error
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CONFIG_MAP, JOB, NETWORK_POLICY, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_autoscale, pod_deployment, pod_info
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.reconciler import Reconciler, ReconcilerOptions

from .fake_cluster import FakeCluster
from .stub_server import Response, StubServer

USER = "system:serviceaccount:n:runner"
CANNOT = f'is forbidden: User "{USER}" cannot'
EXEC = {"kind": POD, "namespace": "n", "name": "a", "subresource": "exec"}
APPLY = Request("PATCH", "/p", kind=CONFIG_MAP, namespace="n", name="a")
DENIALS = {
    "get": (
        Request("GET", "/p", kind=JOB, namespace="n", name="a"),
        f'jobs.batch "a" {CANNOT} get resource "jobs" in API group "batch" in the namespace "n"',
        f"the verb 'get' on 'jobs.batch' in namespace 'n' to the user '{USER}'",
    ),
    "apply that creates": (
        APPLY,
        f'configmaps "a" {CANNOT} create resource "configmaps" in API group "" in the namespace "n"',
        f"the verb 'create' on 'configmaps' in namespace 'n' to the user '{USER}'",
    ),
    "cluster scope": (
        Request("GET", "/p", kind=POD),
        f'pods {CANNOT} list resource "pods" in API group "" at the cluster scope',
        f"the verb 'list' on 'pods' to the user '{USER}'",
    ),
    "impersonation": (
        APPLY,
        'users "x" is forbidden: User "u" cannot impersonate resource "users" in API group "" at the cluster scope',
        "the verb 'impersonate' on 'users' to the user 'u'",
    ),
    "websocket without a word": (Request("GET", "/p", **EXEC), 'pods "a" is forbidden: ', "the verb 'create' on 'pods/exec' in namespace 'n' to me"),
    "other words": (
        Request("GET", "/p", kind=POD, namespace="n"),
        'User "u" cannot list pods in project "n"',
        "the verb 'list' on 'pods' in namespace 'n' to the user 'u'",
    ),
}
OTHERS = {
    "webhook": ('admission webhook "w" denied the request: User "u" cannot create images from there', "A webhook or policy"),
    "policy": ("pods \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: you cannot", "A webhook or policy"),
    "owner": ('pods "a" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can\'t set finalizers on: , <nil>', ""),
    "quota": ('pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1', "Raise the ResourceQuota"),
    "level": ('pods "a" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true', "Set security_profile"),
    "escalation": (
        'roles "r" is forbidden: user "u" (groups=["g"]) is attempting to grant RBAC permissions not currently held:\n{}',
        "Grant these permissions to the user 'u' first",
    ),
}


def refuse(request, text):
    return status_error(403, {"kind": "Status", "reason": "Forbidden", "message": text}, request, SimpleNamespace(identity="me", mask=str))


@pytest.mark.parametrize(("request_", "text", "permission"), DENIALS.values(), ids=DENIALS)
def test_denial_names_the_permission_that_is_missing(request_, text, permission):
    error = refuse(request_, text)
    assert error.is_forbidden
    assert error.hint.startswith(f"Grant {permission},"), error.hint
    # The role rbac grants nothing outside of namespaces.
    assert ("ClusterRole" in error.hint, "podwright.core.rbac" in error.hint) == ((True, False) if "at the cluster scope" in text else (False, True))
    assert ("or set namespace" in error.hint) == (request_ is DENIALS["cluster scope"][0])


@pytest.mark.parametrize(("text", "hint"), OTHERS.values(), ids=OTHERS)
def test_refusal_by_admission_is_not_taken_for_a_missing_permission(text, hint):
    error = refuse(APPLY, text)
    assert not error.is_forbidden
    assert error.is_denied_by_admission == ("request" in text and "requested" not in text)
    assert error.hint.startswith(hint) and "Grant the verb" not in error.hint


def test_denied_deletion_is_not_taken_for_a_missing_object():
    """A webhook chooses the status of its denial."""
    status = {"kind": "Status", "reason": "NotFound", "message": 'admission webhook "w" denied the request: there is no such registry'}
    error = status_error(404, status, APPLY, SimpleNamespace(identity="me", mask=str))
    assert not error.is_not_found
    with StubServer(lambda handler: Response(404, status)) as server, Client(Configuration({"host": server.url})) as client:
        with pytest.raises(PodwrightError, match="denied the request"):
            client.delete(CONFIG_MAP, "n", "a")


def test_requests_are_described_by_the_object_that_they_create_or_by_the_plural():
    body = {"metadata": {"name": "a"}}
    assert Request("POST", "/p", body=body, kind=POD, namespace="n").describe() == "Could not create Pod 'a' in namespace 'n'"
    assert Request("POST", "/p", body={"metadata": {"generateName": "a-"}}, kind=POD).describe() == "Could not create Pod"
    apply = Request("PATCH", "/p", body=body, kind=POD, namespace="n", name="a", content_type="application/apply-patch+yaml")
    assert apply.describe() == "Could not apply Pod 'a' in namespace 'n'" and apply.verb == "patch"
    titles = {kind.name: Request("GET", "/p", kind=kind).describe().rpartition(" ")[2] for kind in (POD, NETWORK_POLICY)}
    assert titles == {"Pod": "Pods", "NetworkPolicy": "NetworkPolicies"}
    assert {kind.name: kind.title for kind in BUILT_IN.values() if kind.title != f"{kind.name}s"} == {
        "Endpoints": "Endpoints",
        "Ingress": "Ingresses",
        "IngressClass": "IngressClasses",
        "NetworkPolicy": "NetworkPolicies",
        "NodeMetrics": "NodeMetrics",
        "PodMetrics": "PodMetrics",
        "PriorityClass": "PriorityClasses",
        "RuntimeClass": "RuntimeClasses",
        "StorageClass": "StorageClasses",
        "ValidatingAdmissionPolicy": "ValidatingAdmissionPolicies",
    }


# -- what operations do without a permission -----------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path):
    cluster = FakeCluster(tmp_path)
    spec = {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}}
    cluster.objects["Deployment", "n", "web"] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "n", "uid": "u"},
        "spec": spec,
    }
    return cluster


@pytest.mark.parametrize(("replicas", "warns"), [(5, True), (2, False)])
def test_manifest_that_sets_replicas_warns_if_autoscalers_cannot_be_listed(replicas, warns, cluster):
    cluster.refusals["list", "HorizontalPodAutoscaler"] = 403
    console = Console()
    live = cluster.objects["Deployment", "n", "web"]
    outcome = Reconciler(cluster, ReconcilerOptions(wait=False), console).apply([live | {"spec": live["spec"] | {"replicas": replicas}}], "n")
    assert not outcome.error
    assert ["Whether an autoscaler scales Deployment 'web'" in text for text in console.warnings] == [True] * warns


def test_scaling_to_a_number_warns_if_autoscalers_cannot_be_listed(cluster):
    cluster.refusals["list", "HorizontalPodAutoscaler"] = 403
    console = Console()
    target = pod_autoscale.Target.of(BUILT_IN["apps/v1", "Deployment"], cluster.objects["Deployment", "n", "web"])
    assert pod_autoscale.autoscaler_of(cluster, target, console) == ("", "")
    assert "Whether an autoscaler scales Deployment 'web'" in console.warnings[0]


def test_requested_events_that_cannot_be_listed_are_an_error(cluster):
    cluster.objects["Pod", "n", "a"] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n", "uid": "u"}}
    cluster.refusals["list", "Event"] = 403
    params = {name: spec.get("default") for name, spec in pod_info.ARGUMENTS.items()} | {"namespace": "n", "name": "a", "events": True}
    with pytest.raises(PodwrightError, match="cannot list"):
        pod_info.run(Invocation(params, False, False, Console(), cluster), pod_info.Found())


def test_measurement_that_is_not_allowed_is_an_error_and_not_inconclusive(monkeypatch, cluster):
    denied = refuse(Request("GET", "/p", **EXEC), 'pods "a" is forbidden: ')
    monkeypatch.setattr(pod_deployment, "attempt", lambda *_arguments: ({}, denied))
    entry = {"prometheus": None, "request": None, "command": ["true"], "success": None, "failure": None}
    invocation = SimpleNamespace(namespace="n", console=Console(), client=cluster)
    with pytest.raises(PodwrightError, match="Grant the verb 'create' on 'pods/exec'"):
        pod_deployment._measure(invocation, entry, lambda: "a", 9)
