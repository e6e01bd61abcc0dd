# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parts of the reconciler that are pure: quantities, manifests, readiness, sets."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.key import Key
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.quantity import format_quantity, parse_quantity, same_quantity
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.readiness import FAILED, PROGRESSING, READY, assess
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.fields import is_current
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import Redactor, clean, difference, merge, secret_values
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.sets import ApplySet


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("500m", Fraction(1, 2)),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("1e3", 1000),
        ("2E", 2 * 10**18),
        ("100n", Fraction(1, 10**7)),
        (".5", Fraction(1, 2)),
    ],
)
def test_quantities_have_exact_values(text, value):
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "1 Gi", "Gi", "1gb", "--1", "1ee3", "0x1", "½"])
def test_invalid_quantity_is_rejected(text):
    with pytest.raises(ValueError, match="not a quantity"):
        parse_quantity(text)


@given(st.integers(min_value=1, max_value=10**9))
def test_formatted_quantity_has_the_same_value(thousandths):
    value = Fraction(thousandths, 1000)
    assert parse_quantity(format_quantity(value, "1m")) == value
    assert parse_quantity(format_quantity(Fraction(thousandths), "1Mi")) == thousandths
    assert same_quantity(f"{thousandths}m", str(float(value)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4), st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_merge_contains_the_desired_state_and_is_idempotent(live, desired):
    merged = merge(live, desired)
    assert merge(merged, desired) == merged
    assert all(merged[key] == value for key, value in desired.items() if not isinstance(value, dict))


def manifest(**rest):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}} | rest


def test_difference_ignores_status_and_metadata_of_the_server():
    one = manifest(status={"x": 1})
    two = manifest(metadata={"name": "a", "uid": "u", "resourceVersion": "2", "managedFields": [], "generation": 2})
    assert difference(one, two) == []


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"kind": "X"},
        {"apiVersion": "v1", "kind": "X"},
        {"apiVersion": "v1", "kind": "X", "metadata": None},
        {"apiVersion": "v1", "kind": "X", "metadata": {"name": 3}},
    ],
)
def test_manifest_without_identity_is_rejected(broken):
    with pytest.raises(PodwrightError, match="lacks"):
        clean(broken)


def test_equal_secret_values_have_equal_digests():
    secret = manifest(kind="Secret", data={"a": "eA==", "b": "eA==", "c": "eQ=="})
    shown = Redactor().redact(secret)["data"]
    assert shown["a"] == shown["b"] != shown["c"] and "eA==" not in str(shown)
    assert Redactor().redact(secret)["data"]["a"] != shown["a"]  # each Redactor has its own key: a digest cannot be looked up
    assert secret_values([manifest(kind="Secret", stringData={"p": "hunter22"})]) == {"hunter22", "aHVudGVyMjI="}


@pytest.mark.parametrize(
    ("kind", "rest", "state"),
    [
        (
            "Deployment",
            {"spec": {"replicas": 2}, "status": {"observedGeneration": 1, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "replicas": 2}},
            READY,
        ),
        ("Deployment", {"spec": {"replicas": 2}, "status": {"observedGeneration": 1, "updatedReplicas": 2, "readyReplicas": 1}}, PROGRESSING),
        # Ready for a moment is not available: the API leaves a count of 0 out.
        ("Deployment", {"spec": {"replicas": 1}, "status": {"observedGeneration": 1, "updatedReplicas": 1, "readyReplicas": 1, "replicas": 1}}, PROGRESSING),
        ("Deployment", {"spec": {"replicas": 0}, "status": {"observedGeneration": 1}}, READY),
        ("Deployment", {"spec": {}, "status": {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}}, FAILED),
        ("Deployment", {"spec": {}}, PROGRESSING),
        ("DaemonSet", {"status": {"observedGeneration": 1, "desiredNumberScheduled": 0}}, READY),
        ("Job", {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}, READY),
        ("Job", {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}, FAILED),
        ("Job", {"status": {}}, PROGRESSING),
        ("Pod", {"status": {"phase": "Succeeded"}}, READY),
        ("Pod", {"status": {"phase": "Failed"}}, FAILED),
        ("PersistentVolumeClaim", {"status": {"phase": "Lost"}}, FAILED),
        ("Namespace", {"status": {"phase": "Active"}}, READY),
        ("ConfigMap", {}, READY),
        ("Gadget", {"status": {"conditions": [{"type": "Ready", "status": "False", "message": "no"}]}}, PROGRESSING),
    ],
)
def test_readiness_of_each_kind(kind, rest, state):
    assert assess({"kind": kind, "metadata": {"name": "a", "generation": 1}} | rest).state == state


def test_object_is_progressing_until_its_controller_observes_it():
    item = {"kind": "Gadget", "metadata": {"name": "a", "generation": 2}, "status": {"observedGeneration": 1}}
    assert assess(item).state == PROGRESSING


def test_set_has_the_labels_and_annotations_of_the_specification():
    applyset = ApplySet("web", "shop")
    assert applyset.id == "applyset-" + _expected_digest("podwright-set-web.shop.ConfigMap.") + "-v1"
    parent = applyset.parent([Key("", "Secret", "shop", "a"), Key("apps", "Deployment", "other", "b")])["metadata"]
    assert parent["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "Deployment.apps,Secret"
    assert parent["annotations"]["applyset.kubernetes.io/additional-namespaces"] == "other"


def _expected_digest(identity):
    import base64
    import hashlib

    return base64.urlsafe_b64encode(hashlib.sha256(identity.encode()).digest()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("desired", "live", "same"),
    [
        ({"app": "web"}, {"app": "web"}, True),
        ({"app": "web"}, {"app": "web", "generation": "1"}, False),
        ([{"cidr": "10.0.0.0/8"}], [{"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}], False),
        ({"ports": [{"port": 80}]}, {"ports": [{"port": 80, "protocol": "TCP"}]}, True),
        ({"cpu": "1"}, {"cpu": "1000m"}, False),
    ],
)
def test_atomic_value_is_compared_as_a_whole(desired, live, same):
    """A selector or a list without a live part must be applied: nothing else removes that part."""
    managed = [{"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:spec": {"f:part": {}}}}]
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    item = policy | {"metadata": {"name": "x", "managedFields": managed}, "spec": {"part": live}}
    assert is_current(policy | {"metadata": {"name": "x"}, "spec": {"part": desired}}, item, "podwright") == same
