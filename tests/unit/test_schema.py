# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the API server sets, omits and normalizes in objects of built-in kinds, and that nothing is assumed of custom resources."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.fields import is_same
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.schema import Schema, keeps_null

POD, GADGET = Schema("v1", "Pod"), Schema("example.com/v1", "Gadget")
DEFINITION = Schema("apiextensions.k8s.io/v1", "CustomResourceDefinition")
VOLUME = ("spec", "volumes", "projected", "sources", "serviceAccountToken", "expirationSeconds")


def test_schemas_of_built_in_kinds_are_known_except_of_those_with_values_of_any_type():
    assert POD.is_known and not GADGET.is_known and not DEFINITION.is_known and not Schema("apps/v1", "ControllerRevision").is_known
    assert keeps_null("example.com/v1") and not keeps_null("v1") and not keeps_null("apps/v1")


@pytest.mark.parametrize(
    ("path", "value", "other"),
    [
        (VOLUME, 3600, 3601),
        (VOLUME, 3600, 3599),
        (("spec", "ports", "protocol"), "TCP", "UDP"),
        (("spec", "volumeClaimTemplates", "status"), {"phase": "Pending"}, {}),
        (("spec", "volumeClaimTemplates", "spec", "volumeMode"), "Filesystem", "Block"),
        (("subjects", "apiGroup"), "rbac.authorization.k8s.io", ""),
        (("x", "rules", "scope"), "*", "Namespaced"),
        (("requests", "exactly", "count"), 1, 2),
        (("requests", "exactly", "count"), 1, 0),
    ],
)
def test_defaults_are_known_by_the_end_of_the_path_and_the_value(path, value, other):
    assert POD.is_default(path, value) and not POD.is_default(path, other)
    assert not GADGET.is_default(path, value) and not DEFINITION.is_default(path, value)
    # The field of another object, or a key of that name elsewhere, has no default.
    assert not POD.is_default((*path[:-2], "elsewhere", path[-1]), value) and not POD.is_default((path[-1],), value)
    assert not POD.is_default((*path, "deeper"), value)


def test_default_mode_of_a_volume_is_one_of_a_template_only():
    assert not POD.is_default(("spec", "volumeMode"), "Filesystem") and not POD.is_default(("volumeClaimTemplates", "volumeMode"), "Filesystem")


@pytest.mark.parametrize(
    ("path", "value", "is_owned", "expected"),
    [
        (("spec", "env"), [], False, True),  # a list with merge keys has no owner while it is empty
        (("spec", "args"), [], False, False),
        (("spec", "args"), [], True, True),
        (("data",), {}, True, True),
        (("data",), {}, False, False),
        (("spec", "args"), ["x"], True, False),
        (("spec", "hostNetwork"), False, True, True),
        (("spec", "template", "spec", "hostNetwork"), False, True, True),
        (("spec", "hostNetwork", "deeper"), False, True, False),
        (("spec", "hostNetwork"), False, False, False),
        (("spec", "hostNetwork"), True, True, False),
        (("spec", "hostNetwork"), 0, True, False),
        (("spec", "minReadySeconds"), 0, True, True),
        (("spec", "minReadySeconds"), False, True, False),
        (("spec", "replicas"), 0, True, False),  # a pointer in the API: 0 is a value
        (("metadata", "finalizers"), [], False, True),
        (("spec", "finalizers"), [], False, False),
        (("metadata", "ownerReferences"), [], False, True),
        (("spec", "ownerReferences"), [], False, False),
    ],
)
def test_empty_values_that_the_api_server_omits(path, value, is_owned, expected):
    assert POD.leaves_out(path, value, is_owned) == expected
    assert not GADGET.leaves_out(path, value, is_owned)


def test_defaults_of_merge_keys_are_those_of_their_list():
    assert POD.default_of_key(("spec", "containers", "ports"), "protocol") == "TCP" and POD.default_of_key(("spec", "env"), "protocol") is None
    assert POD.default_of_key((), "protocol") is None and GADGET.default_of_key(("spec", "ports"), "protocol") is None
    assert POD.default_of_key(("ports", "spec"), "protocol") is None


@pytest.mark.parametrize(
    ("schema", "path", "same"),
    [
        (POD, ("spec", "containers", "resources", "limits", "cpu"), True),
        (POD, ("resources", "limits", "any"), True),
        (POD, ("limits", "cpu"), False),
        (POD, ("resources", "limits"), False),
        (POD, ("resources", "limits", "cpu", "deeper"), False),
        (POD, ("spec", "hard", "cpu"), False),
        (Schema("v1", "ResourceQuota"), ("spec", "hard", "cpu"), True),
        (Schema("v1", "LimitRange"), ("spec", "limits", "max", "cpu"), True),
        (Schema("v1", "LimitRange"), ("spec", "limits", "most", "cpu"), False),
        (GADGET, ("resources", "limits", "cpu"), False),
        (Schema("v1", "ConfigMap"), ("data", "max"), False),
    ],
)
def test_quantities_are_compared_by_value_where_the_schema_has_them(schema, path, same):
    assert schema.is_equal(path, "1000m", "1") == same and not schema.is_equal(path, "1000m", "2") and schema.is_equal(path, "1", "1")


@pytest.mark.parametrize(
    ("one", "other", "same"), [(1, 1.0, True), (True, 1, False), (0, False, False), (True, True, True), ("1", 1, False), (None, None, True)]
)
def test_scalars_are_equal_as_in_json(one, other, same):
    assert GADGET.is_equal(("spec", "x"), one, other) == same == GADGET.is_equal(("spec", "x"), other, one)


@pytest.mark.parametrize(
    ("one", "same"),
    [("aGVsbG8=\n", True), ("aGVs\r\nbG8=", True), ("aGVsbG8", False), ("aGVsbG9=", True), ("aGVsbG8x", False), ("a b=", False), (5, False), ("", False)],
)
def test_bytes_are_compared_by_value_in_secrets_only(one, same):
    secret = Schema("v1", "Secret")
    assert secret.is_equal(("data", "k"), one, "aGVsbG8=") == secret.is_equal(("data", "k"), "aGVsbG8=", one) == same
    assert not Schema("v1", "ConfigMap").is_equal(("data", "k"), one, "aGVsbG8=")
    assert Schema("v1", "ConfigMap").is_equal(("binaryData", "k"), one, "aGVsbG8=") == same and not secret.is_equal(("metadata", "data"), one, "aGVsbG8=")


# -- additions --------------------------------------------------------------------------------------------------


def toleration(state, seconds=300):
    return {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}


ADDED, OURS, PATH = [toleration("not-ready"), toleration("unreachable")], {"key": "ours", "operator": "Exists"}, ("spec", "tolerations")


@pytest.mark.parametrize(
    ("desired", "live", "seen"),
    [
        ([OURS], [OURS, *ADDED], [OURS]),
        (None, ADDED, []),
        ([ADDED[0]], ADDED, [ADDED[0]]),  # written in the manifest: not an addition
        ([OURS], [OURS, toleration("not-ready", 299)], [OURS, toleration("not-ready", 299)]),
        ([OURS], [OURS, toleration("not-ready", 301)], [OURS, toleration("not-ready", 301)]),
        ([OURS], "text", "text"),
    ],
)
def test_tolerations_that_the_api_server_adds_to_pods_are_no_difference(desired, live, seen):
    assert POD.without_additions(PATH, desired, live) == seen
    for schema, path in ((POD, ("spec", "template", "tolerations")), (Schema("apps/v1", "Deployment"), PATH), (GADGET, PATH)):
        assert schema.without_additions(path, desired, live) == live


def test_limits_are_completed_as_the_api_server_does():
    limit_range = Schema("v1", "LimitRange")

    def completed(**item):
        return limit_range.complete({"spec": {"limits": [item]}})["spec"]["limits"][0]

    container = {"type": "Container"}
    assert completed(**container, max={"cpu": "2"}) == container | {"max": {"cpu": "2"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2"}}
    assert completed(**container, default={"cpu": "1"}, max={"cpu": "2"}, min={"cpu": "0.1", "memory": "1Mi"}) == container | {
        "default": {"cpu": "1"}, "max": {"cpu": "2"}, "min": {"cpu": "0.1", "memory": "1Mi"}, "defaultRequest": {"cpu": "1", "memory": "1Mi"}
    }  # fmt: skip
    assert completed(**container, defaultRequest={"cpu": "1"}, max={"cpu": "2"})["defaultRequest"] == {"cpu": "1"}
    for unchanged in ({"type": "Pod", "max": {"cpu": "2"}}, container, container | {"max": "2"}, container | {"min": ["x"]}):
        assert completed(**unchanged) == unchanged
    for desired in ({}, {"spec": None}, {"spec": {}}, {"spec": {"limits": []}}, {"spec": {"limits": "x"}}, {"spec": {"limits": ["x"]}}):
        assert limit_range.complete(desired) == desired
    written = {"spec": {"limits": [container | {"max": {"cpu": "2"}}]}}
    assert POD.complete(written) is written and GADGET.complete(written) is written


def test_spec_of_a_signing_request_is_kept_whatever_is_applied():
    request = Schema("certificates.k8s.io/v1", "CertificateSigningRequest")
    assert request.is_reset(("spec",)) and not request.is_reset(("spec", "x")) and not POD.is_reset(("spec",)) and not GADGET.is_reset(("spec",))


# -- atomic values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("desired", "live", "same"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({}, [], False),
        ([], {}, False),
        ({"a": 1}, [{"a": 1}], False),
        ([{"a": 1}], {"a": 1}, False),
        ({"a": 1}, None, False),
        ("x", ["x"], False),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ([[1]], [[1]], True),
        ({"port": 80}, {"port": 80, "protocol": "TCP"}, True),
        ({"port": 80}, {"port": 80, "protocol": "UDP"}, False),
        ({"port": 80, "protocol": "TCP"}, {"port": 80}, False),
    ],
)
def test_atomic_value_is_the_live_one_apart_from_defaults(desired, live, same):
    assert is_same(Schema("networking.k8s.io/v1", "NetworkPolicy"), ("spec", "ingress", "ports"), desired, live) == same
