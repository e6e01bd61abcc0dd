# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The field status in manifests and patches: of kinds without the subresource status it is a field like any other."""

from __future__ import annotations

import copy

import jsonpatch
import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import JSON_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.resource_set import OPERATION

from .fake_cluster import FakeCluster, fields

KINDS = {"Plain": {}, "Gadget": {"status": {}}}


class Cluster(FakeCluster):
    """A cluster that serves a kind with the subresource status, and one without."""

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        for name, subresources in KINDS.items():
            names = {"kind": name, "plural": f"{name.lower()}s"}
            spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [{"name": "v1", "subresources": subresources}]}
            self.objects["CustomResourceDefinition", None, f"{name.lower()}s.example.com"] = {"metadata": {}, "spec": spec}

    def patch(self, kind, namespace, name, patch, manager, content_type=JSON_PATCH, subresource=None, dry_run=False):
        before = self.objects[kind.name, namespace, name]
        after = jsonpatch.apply_patch(before, patch) if content_type == JSON_PATCH else before | {key: patch[key] for key in ("status", "spec") if key in patch}
        after = copy.deepcopy(after)
        if kind.has_status:
            after["status"] = before.get("status")
        entry = {"manager": manager, "operation": "Update", "fieldsV1": fields(after)}
        after["metadata"]["managedFields"] = [*after["metadata"].get("managedFields", []), entry]
        if not dry_run:
            self.objects[kind.name, namespace, name] = after
        return after


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


def run(cluster, kind_name, phase, check_mode=False, **given):
    params = {name: spec.get("default") for name, spec in OPERATION.arguments.items()} | {"namespace": "n", "wait": False}
    manifest = {"apiVersion": "example.com/v1", "kind": kind_name, "metadata": {"name": "a"}, "spec": {}, "status": {"phase": phase}}
    return attempt(OPERATION, Invocation(params | {"definition": manifest} | given, check_mode, False, Console(), cluster))


def test_a_status_without_the_subresource_is_applied_and_compared(cluster):
    for phase, is_change in (("Old", True), ("Old", False), ("New", True)):
        result, error = run(cluster, "Plain", phase)
        assert error is None and result["changed"] is is_change and result["result"]["status"] == {"phase": phase}
    result, error = run(cluster, "Plain", "Newer", state="patched")
    assert error is None and result["changed"] and result["plan"][0]["patch"] == [{"op": "replace", "path": "/status/phase", "value": "Newer"}]
    operation = {"op": "replace", "path": "/status/phase", "value": "Newest"}
    result, error = run(cluster, "Plain", "", True, state="patched", definition=None, api_version="example.com/v1", kind="Plain", name="a", patch=[operation])
    assert error is None and result["changed"] and result["plan"][0]["patch"] == [operation]


def test_a_status_with_the_subresource_is_left_out_of_a_manifest_and_refused_in_a_patch(cluster):
    result, error = run(cluster, "Gadget", "Old")
    assert error is None and "status" not in result["result"]
    _result, error = run(cluster, "Gadget", "New", state="patched")
    assert str(error) == (
        "definition.status: must not be set: the API server ignores the status in a patch of Gadget 'a' in namespace 'n', whose kind has the subresource "
        "status. Remove it from the patch: the controller of the kind sets the status."
    )
    empty = {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "a"}, "spec": {"a": "b"}, "status": {}}
    assert run(cluster, "Gadget", "", state="patched", definition=empty)[1] is None


@pytest.mark.parametrize(
    ("operation", "option"),
    [
        ({"op": "add", "path": "/status/phase", "value": "x"}, "patch[0].path: must not be /status/phase"),
        ({"op": "remove", "path": "/status"}, "patch[0].path: must not be /status"),
        ({"op": "move", "path": "/spec/b", "from": "/status/phase"}, "patch[0].from: must not be /status/phase"),
        ({"op": "test", "path": "/status", "value": None}, None),
        ({"op": "add", "path": "/statuses", "value": "x"}, None),
    ],
)
def test_operations_that_write_the_status_are_refused_if_the_server_ignores_them(cluster, operation, option):
    run(cluster, "Gadget", "Old")
    cluster.objects["Gadget", "n", "a"]["status"] = None
    given = {"definition": None, "api_version": "example.com/v1", "kind": "Gadget", "name": "a", "state": "patched"}
    _result, error = run(cluster, "Gadget", "", patch=[operation], **given)
    assert error is None if option is None else str(error).startswith(f"{option}: the API server ignores the status in a patch of")


def test_metadata_that_a_patch_names_is_compared(cluster):
    run(cluster, "Plain", "Old")
    given = {"definition": None, "api_version": "example.com/v1", "kind": "Plain", "name": "a", "state": "patched"}
    cluster.objects["Plain", "n", "a"]["metadata"]["annotations"] = {}
    for patch in (
        [{"op": "add", "path": "/metadata/annotations/deployment.kubernetes.io~1revision", "value": "7"}],
        [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}],
    ):
        assert run(cluster, "Plain", "", patch=patch, **given)[0]["changed"]
