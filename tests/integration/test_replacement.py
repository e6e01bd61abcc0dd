# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Immutable fields on a real API server: objects that are replaced, replacements that are refused before anything is deleted."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import merge
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.reconciler import Reconciler, ReconcilerOptions

from ..support.outcomes import checked

RBAC = "rbac.authorization.k8s.io"
POD = {"containers": [{"name": "web", "image": "busybox", "command": ["sleep", "1"]}], "terminationGracePeriodSeconds": 0}
IDLE = {"nodeSelector": {"nobody": "has"}}
APP = {"metadata": {"labels": {"app": "a"}}, "spec": POD}


def named(api_version, kind, **rest):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "web"}} | rest


# (manifest, what is merged into it and cannot be changed in place)
IMMUTABLE = [
    (
        named("apps/v1", "Deployment", spec={"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": APP}),
        {"spec": {"selector": {"matchLabels": {"app": "b"}}, "template": {"metadata": {"labels": {"app": "b"}}}}},
    ),
    (
        named("apps/v1", "StatefulSet", spec={"replicas": 0, "serviceName": "a", "selector": {"matchLabels": {"app": "a"}}, "template": APP}),
        {"spec": {"serviceName": "b"}},
    ),
    (
        named("batch/v1", "Job", spec={"suspend": True, "template": {"spec": POD | {"restartPolicy": "Never"}}}),
        {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "busybox", "command": ["sleep", "2"]}]}}}},
    ),
    (named("v1", "Pod", spec=POD | IDLE), {"spec": {"containers": [{"name": "web", "image": "busybox", "command": ["sleep", "2"]}]}}),
    (named("v1", "Secret", type="Opaque", data={"username": "YQ=="}), {"type": "kubernetes.io/basic-auth"}),
    (named("v1", "ConfigMap", immutable=True, data={"a": "1"}), {"data": {"a": "2"}}),
    (named("v1", "Service", spec={"ports": [{"port": 80}]}), {"spec": {"clusterIP": "None"}}),
    (
        named("v1", "PersistentVolumeClaim", spec={"storageClassName": "a", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}),
        {"spec": {"storageClassName": "b"}},
    ),
    (
        named(f"{RBAC}/v1", "RoleBinding", roleRef={"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}),
        {"roleRef": {"name": "edit"}},
    ),
]
IDS = [manifest["kind"] for manifest, _change in IMMUTABLE]


def run(client, namespace, manifest, **options):
    options = {"wait": False, "wait_timeout": 20, "on_immutable": "replace"} | options
    return checked(Reconciler(client, ReconcilerOptions(**options), Console()).apply([copy.deepcopy(manifest)], namespace)).changes[0]


def live(client, namespace, manifest):
    return client.get(BUILT_IN[manifest["apiVersion"], manifest["kind"]], namespace, "web")


@pytest.mark.parametrize(("manifest", "change"), IMMUTABLE, ids=IDS)
def test_immutable_field_is_named_or_its_object_replaced(manifest, change, namespace, client):
    run(client, namespace, manifest)
    before = live(client, namespace, manifest)
    changed = merge(manifest, change)
    with pytest.raises(PodwrightError, match="immutable") as caught:
        run(client, namespace, changed, on_immutable="fail")
    assert caught.value.reason == "Immutable"
    predicted = run(client, namespace, changed, check_mode=True)
    assert live(client, namespace, manifest)["metadata"]["uid"] == before["metadata"]["uid"]
    done = run(client, namespace, changed)
    assert (predicted.action, predicted.note) == (done.action, done.note) and done.action == "replace"
    assert live(client, namespace, manifest)["metadata"]["uid"] != before["metadata"]["uid"]
    assert run(client, namespace, changed).action == "none"


def refuse_partial(client, namespace, manifest):
    return manifest | {"spec": {"replicas": 2}}, "Required value"


def refuse_invalid(client, namespace, manifest):
    changed = merge(manifest, IMMUTABLE[0][1])
    return merge(changed, {"spec": {"template": {"metadata": {"labels": {"app": "c"}}}}}), "selector"


def refuse_admission(client, namespace, manifest):
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    client.patch(BUILT_IN["v1", "Namespace"], None, namespace, labels, "test", MERGE_PATCH)
    return merge(IMMUTABLE[3][0], {"spec": {"hostNetwork": True}}), "PodSecurity"


@pytest.mark.parametrize("refuse", [refuse_partial, refuse_invalid, refuse_admission])
def test_object_is_kept_if_its_replacement_would_be_refused(refuse, namespace, client):
    manifest = IMMUTABLE[3 if refuse is refuse_admission else 0][0]
    run(client, namespace, manifest)
    before = live(client, namespace, manifest)
    changed, why = refuse(client, namespace, manifest)
    messages = set()
    for check_mode in (True, False):
        with pytest.raises(PodwrightError, match=why) as caught:
            run(client, namespace, changed, check_mode=check_mode)
        messages.add(caught.value.message)
    assert len(messages) == 1
    after = live(client, namespace, manifest)
    assert after["metadata"]["uid"] == before["metadata"]["uid"] and not after["metadata"].get("deletionTimestamp")


def test_replacement_fits_a_quota_that_counts_the_old_object(namespace, client):
    manifest = IMMUTABLE[0][0]
    run(client, namespace, manifest)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one"}, "spec": {"hard": {"count/deployments.apps": "1"}}}
    client.create(BUILT_IN["v1", "ResourceQuota"], namespace, quota, "test")
    assert run(client, namespace, merge(manifest, IMMUTABLE[0][1])).action == "replace"


def test_replacement_blocked_by_a_finalizer_is_completed_by_the_next_run(namespace, client):
    manifest = IMMUTABLE[5][0]
    run(client, namespace, manifest)
    kind = BUILT_IN["v1", "ConfigMap"]
    client.patch(kind, namespace, "web", {"metadata": {"finalizers": ["example.com/hold"]}}, "test", MERGE_PATCH)
    changed = merge(manifest, IMMUTABLE[5][1])
    with pytest.raises(PodwrightError, match=r"was deleted to be replaced.*example\.com/hold"):
        run(client, namespace, changed, wait_timeout=0.5)
    client.patch(kind, namespace, "web", {"metadata": {"finalizers": None}}, "test", MERGE_PATCH)
    assert run(client, namespace, changed).action == "create"
    assert live(client, namespace, manifest)["data"] == {"a": "2"}
