# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Maps and lists of custom resources that a manifest empties, which an apply would set to null."""

from __future__ import annotations

import json

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.emptied import (
    emptied_fields,
    emptying_patch,
    with_emptied,
    without_emptied,
)

from .fake_cluster import fields

ONE, TWO = ('k:{"name":"one"}', 'k:{"name":"two"}')
ITEM = {".": {}, "f:name": {}}
ANSWER = {"a": [{"name": "one"}, {"name": "two"}]}
FILLED = {"a": [{"name": "one"}, {"name": "two", "b": {}}]}


def gadget(spec, own=None, *others, api_version="example.com/v1"):
    """A live object with the trees of fields below its spec, of podwright and of others; by default podwright has applied it."""
    trees = [("podwright", "Apply", fields(spec) if own is None else own), *(("other", operation, tree) for operation, tree in others)]
    entries = [{"manager": manager, "operation": operation, "fieldsV1": {"f:spec": tree}} for manager, operation, tree in trees]
    return {"apiVersion": api_version, "kind": "Gadget", "metadata": {"name": "g", "resourceVersion": "7", "managedFields": entries}, "spec": spec}


TWICE = [{"port": 80, "protocol": protocol, "b": {"c": 1}} for protocol in ("TCP", "UDP")]
PORTS = gadget({"a": TWICE}, {"f:a": {f'k:{{"port":80,"protocol":"{item["protocol"]}"}}': {".": {}, "f:b": {"f:c": {}}} for item in TWICE}})


@pytest.mark.parametrize(
    ("live", "spec", "paths"),
    [
        (gadget({"a": {"b": "c"}}), {"a": {}}, [["f:spec", "f:a"]]),
        (gadget({"a": {"b": {"c": 1}}, "d": 1}), {"a": {"b": {}}, "d": 2}, [["f:spec", "f:a", "f:b"]]),
        (gadget({"a": {"b": {"c": 1}}}), {"a": {}}, [["f:spec", "f:a"]]),
        (gadget({"a": {"b": {"c": 1}}}), {}, [["f:spec"]]),
        (gadget({"a": [{"name": "one", "port": 1}]}, {"f:a": {ONE: ITEM}}), {"a": []}, [["f:spec", "f:a"]]),
        (gadget({"a": ["x"]}, {"f:a": {'v:"x"': {}}}), {"a": []}, [["f:spec", "f:a"]]),
        (
            gadget({"a": [{"name": "one"}, {"name": "two", "b": {"c": 1}}]}, {"f:a": {ONE: ITEM, TWO: ITEM | {"f:b": {"f:c": {}}}}}),
            {"a": [{"name": "two", "b": {}}, {"name": "one"}]},
            [["f:spec", "f:a", TWO, "f:b"]],
        ),
        # What the API server does not set to null.
        (gadget({"a": {"b": "c"}}), {"a": {"d": "e"}}, []),
        (gadget({"a": {"b": "c"}}), {"d": {}}, []),
        (gadget({"a": {}}), {"a": {}}, []),
        (gadget({"a": {"b": "c"}}, {"f:a": {}}), {"a": {}}, []),
        (gadget({"a": {"b": "c", "default": 1}}, {"f:a": {"f:b": {}}}), {"a": {}}, []),
        (gadget({"a": [{"name": "one"}, {"name": "two"}]}, {"f:a": {ONE: ITEM}}), {"a": []}, []),
        (gadget({"a": {"b": "c"}}, {"f:a": {"f:b": {}}}, ("Apply", {"f:a": {"f:b": {}}})), {"a": {}}, []),
        (gadget({"a": {"b": "c"}}, {"f:a": {"f:b": {}}}, ("Update", {"f:d": {}})), {"a": {}}, [["f:spec", "f:a"]]),
        (gadget({"a": {"b": "c"}}), {"a": []}, []),
        (gadget({"a": {"b": "c"}}), None, []),
        (gadget({"a": {"b": "c"}}, api_version="apps/v1"), {"a": {}}, []),
        # An item that lacks a key which has a default is none of them for certain; one that lacks all of them is not emptied.
        (PORTS, {"a": [{"port": 80, "b": {}}]}, []),
        (gadget({"a": [{"port": 80}]}, {"f:a": {'k:{"port":80}': {".": {}, "f:port": {}}}}), {"a": [{}]}, []),
    ],
)
def test_what_an_apply_would_set_to_null_is_found(live, spec, paths):
    desired = {"apiVersion": live["apiVersion"], "kind": "Gadget", "metadata": {"name": "g"}, "spec": spec}
    assert emptied_fields(desired, json.loads(json.dumps(live)), "podwright") == paths


def test_the_patch_is_for_this_version_of_the_object():
    live = gadget({"a": {"b/c~": {"d": 1}}, "e": [1], "f": [{"name": "one"}, {"name": "two", "g": [1]}]})
    assert emptying_patch(live, [["f:spec", "f:a", "f:b/c~"], ["f:spec", "f:e"], ["f:spec", "f:f", TWO, "f:g"]]) == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "replace", "path": "/spec/a/b~1c~0", "value": {}},
        {"op": "replace", "path": "/spec/e", "value": []},
        {"op": "replace", "path": "/spec/f/1/g", "value": []},
    ]


@pytest.mark.parametrize(
    ("spec", "path", "reduced", "answer", "filled"),
    [
        ({"a": {}, "b": 1}, ["f:a"], {"spec": {"b": 1}}, {"b": 1}, {"a": {}, "b": 1}),
        ({"a": {"b": [], "c": 1}}, ["f:a", "f:b"], {"spec": {"a": {"c": 1}}}, {"a": {"b": None, "c": 1}}, {"a": {"b": [], "c": 1}}),
        ({"a": {"b": {}}}, ["f:a", "f:b"], {}, {"d": 1}, None),  # defaults of what contains it are unknown
        ({"a": [{"name": "two", "b": {}}]}, ["f:a", TWO, "f:b"], {"spec": {"a": [{"name": "two"}]}}, ANSWER, FILLED),
        ({}, [], {}, {"d": 1}, None),  # such as a default
    ],
)
def test_an_apply_that_drops_a_value_is_completed_with_the_empty_one(spec, path, reduced, answer, filled):
    """The list of the answer has an item of another manager in front."""
    desired = {"metadata": {"name": "g"}, "spec": spec}
    paths = [["f:spec", *path]]
    assert without_emptied(desired, paths) == {"metadata": {"name": "g"}} | reduced and desired["spec"] == spec
    expected = None if filled is None else {"metadata": {}, "spec": filled}
    assert with_emptied({"metadata": {}, "spec": answer}, paths, desired) == expected
