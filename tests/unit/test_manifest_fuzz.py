# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manifests as nobody should write them: a result or a clear error, and nothing is written before all of them are valid."""

from __future__ import annotations

import copy
import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.quantity import format_quantity, parse_quantity, same_quantity
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt, secrets_of
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import resource_set
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler import documents
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.documents import read_documents
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.fields import is_current, owned_fields
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import clean, predict
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.ownership import released_entries

from ..support.environment import scaled
from ..support.mutation import places, value_at
from .fake_cluster import FakeCluster

pytestmark = pytest.mark.search

EXAMPLES = scaled(60)
fuzz = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([2**70, 1.5, "", " ", "a", "²", "\ud83d\ude00", "a/b", "..", "x" * 300, "v1", "List"]),
    st.sampled_from([[], {}, [None], [[]], [1, "a", {}], {"a": None}, {"name": None}, {"": ""}, [{"name": "a"}, {"name": "a"}]]),
)  # fmt: skip
MANIFESTS = (
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n", "labels": {"a": "b"}, "annotations": {"c": "d"}}, "data": {"e": "f"}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"a": "eA=="}, "stringData": {"b": "text"}},
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "finalizers": ["x"]}},
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "env": [{"name": "A", "value": "b"}], "ports": [{"containerPort": 1}]}]}}},
    },
    {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}, "maxReplicas": 2},
    },
    {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "a"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": 1}}]}},
    {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"}, "versions": [{"name": "v1", "served": True}]},
    },
    {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"replicas": 1, "any": [{"a": None}]}},
    {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}]},
)


class Cluster(FakeCluster):
    """A FakeCluster that serves definitions at once."""

    def apply(self, kind, *arguments, **options):
        after = super().apply(kind, *arguments, **options)
        return after | {"status": {"conditions": [{"type": name, "status": "True"} for name in ("Established", "NamesAccepted")]}}


@st.composite
def manifests(draw, objects=MANIFESTS):
    """A manifest with up to three odd values in place of its own."""
    manifest = copy.deepcopy(draw(st.sampled_from(objects)))
    for _time in range(draw(st.integers(0, 3))):
        paths = [*places(manifest), ("metadata",), ("spec",), ("kind",), ("apiVersion",), ("metadata", "name"), ("metadata", "namespace")]
        path = draw(st.sampled_from(paths))
        try:
            parent = value_at(manifest, path[:-1])
            parent[path[-1]] = copy.deepcopy(draw(ODD))
        except (LookupError, TypeError):
            continue
    return manifest


@pytest.mark.parametrize("state", ["present", "absent"])
@given(
    documents=st.lists(manifests() | ODD, min_size=1, max_size=3),
    name=st.sampled_from([None, "set"]),
    check_mode=st.booleans(),
    is_text=st.booleans(),
    are_there=st.booleans(),
)
@fuzz
def test_odd_manifests_have_a_clear_result(tmp_path, state, documents, name, check_mode, is_text, are_there):
    definition = yaml.safe_dump_all(documents) if is_text else documents
    cluster = Cluster(tmp_path)
    for manifest in MANIFESTS[:7] if are_there else []:
        cluster.apply(cluster.kinds.resolve(manifest["apiVersion"], manifest["kind"]), "n", manifest["metadata"]["name"], clean(manifest), "podwright")
    cluster.writes.clear()
    defaults = {option: spec.get("default") for option, spec in resource_set.ARGUMENTS.items()}
    params = defaults | {"definition": definition, "namespace": "n", "name": name, "state": state, "wait": False}
    secrets_of(resource_set.OPERATION, params)
    json.dumps(resource_set.OPERATION.redact(params))
    result, error = attempt(resource_set.OPERATION, Invocation(params, check_mode, True, Console(), cluster))
    json.dumps(result)
    assert not error or error.reason != "Unforeseen", error
    assert not check_mode or not cluster.writes
    if error and error.reason in ("BadManifest", "BadName"):
        assert not cluster.writes


FRAGMENTS = ["a: 1", "- a", "a", ":", "- ", "? a", "<<: *x", "&x", "*x", "{", "}", "[", "]", ",", "|", ">", "---", "...", "\ufeff", "\t", "\r\n", "\n", "  "]
FRAGMENTS += ["# a", "!!binary", "!!set", "!!omap", "!!timestamp", "!!bool a", "!x", "%YAML 1.1", "2024-01-01", "0x1F", "1e999", ".nan", "'", '"', "\\"]
FRAGMENTS += ["\x00", "\x85", "9" * 400, "kind: List"]


@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=25).map("".join))
@fuzz
def test_odd_text_is_parsed_or_rejected(text):
    try:
        json.dumps(read_documents(text, "src"))
    except PodwrightError as error:
        assert error.reason == "BadManifest"


STEPS = st.sampled_from(
    ["f:spec", "f:metadata", "f:labels", "f:a", "f:", "f", "", ".", "k:{", 'k:{"name":"a"}', "k:[1]", "k:1", "v:1", "v:", 'v:{"a":1}', "i:0", "x:y"]
)
TREES = st.recursive(st.just({}) | ODD, lambda below: st.dictionaries(STEPS, below, max_size=3), max_leaves=12)


@given(manifests(MANIFESTS[:7]), manifests(MANIFESTS[:7]), TREES, st.booleans())
@fuzz
def test_odd_managed_fields_are_read(desired, live, tree, is_first):
    """What a server, or a proxy, claims about the ownership of fields: the comparison answers, or the object is invalid."""
    entry = {"manager": "podwright", "operation": "Apply", "fieldsV1": tree}
    try:
        desired, live = clean(desired), clean(live)
    except PodwrightError:
        return
    live["metadata"]["managedFields"] = [entry, entry | {"manager": "other", "operation": "Update"}]
    assert is_current(desired, live, "podwright") in (True, False)
    owned = owned_fields(live, "podwright")
    predict(live, desired, [] if owned is None else [owned])
    released_entries(live, "podwright", is_first)


@given(st.text("0123456789.eE+-mkKMGTPi²١ ", max_size=12) | st.integers() | st.floats() | ODD, st.text(max_size=4))
@fuzz
def test_odd_quantities_are_parsed_or_rejected(value, like):
    try:
        quantity = parse_quantity(value)
    except ValueError:
        assert not same_quantity(value, value)
        return
    assert parse_quantity(format_quantity(quantity, like)) >= quantity
    assert len(str(quantity)) < 200 or len(str(value)) > 90


def test_text_is_parsed_once():
    before = documents._parse.cache_info().misses
    params = {option: spec.get("default") for option, spec in resource_set.ARGUMENTS.items()} | {"definition": "kind: Secret\na: once", "namespace": "n"}
    secrets_of(resource_set.OPERATION, params)
    attempt(resource_set.OPERATION, Invocation(params, True, False, Console()))
    assert documents._parse.cache_info().misses == before + 1
