# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Maps and lists of custom resources that a manifest empties, which an apply would set to null."""

from __future__ import annotations

import json

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.emptied import (
    applied_paths,
    change_patch,
    emptied_fields,
    with_empty,
    with_values,
    without_values,
)

from .fake_cluster import fields

ONE, TWO = ('k:{"name":"one"}', 'k:{"name":"two"}')
ITEM = {".": {}, "f:name": {}}
ANSWER = {"a": [{"name": "one"}, {"name": "two", "b": {"c": 1}}]}
FILLED = {"a": [{"name": "one"}, {"name": "two", "b": {}}]}


def gadget(spec, own=None, *others, api_version="example.com/v1"):
    """A live object with the trees of fields below its spec, of podwright and of others; by default podwright has applied it."""
    trees = [("podwright", "Apply", fields(spec) if own is None else own), *(("other", operation, tree) for operation, tree in others)]
    entries = [{"manager": manager, "operation": operation, "fieldsV1": {"f:spec": tree}} for manager, operation, tree in trees]
    return {"apiVersion": api_version, "kind": "Gadget", "metadata": {"name": "g", "resourceVersion": "7", "managedFields": entries}, "spec": spec}


TWICE = [{"port": 80, "protocol": protocol, "b": {"c": protocol}} for protocol in ("TCP", "UDP")]
TCP, UDP = (f'k:{{"port":80,"protocol":"{item["protocol"]}"}}' for item in TWICE)
PORTS = gadget({"a": TWICE}, {"f:a": {step: {".": {}, "f:b": {"f:c": {}}} for step in (TCP, UDP)}})


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
        # What another applier keeps empty.
        (gadget({"a": {"b": "c"}}, {"f:a": {"f:b": {}}}, ("Apply", {"f:a": {}})), {"d": 1}, [["f:spec", "f:a"]]),
        (gadget({"a": {"b": {"c": 1}}}, {"f:a": {"f:b": {"f:c": {}}}}, ("Apply", {"f:a": {"f:b": {}}})), {"d": 1}, [["f:spec", "f:a", "f:b"]]),
        (gadget({"a": {"b": "c"}}, {"f:a": {"f:b": {}}}, ("Apply", {"f:d": {}})), {"d": 1}, []),
        (gadget({"a": {"b": "c"}}, {"f:a": {"f:b": {}}}, ("Apply", {"f:a": {}})), {"a": None}, []),
        (gadget({"a": {"b": "c"}}), {"a": []}, []),
        (gadget({"a": {"b": "c"}}), None, []),
        (gadget({"a": {"b": "c"}}, api_version="apps/v1"), {"a": {}}, []),
        # An item that lacks a key which has a default may be either, unless the other one has it; one that lacks all of them is not emptied.
        (PORTS, {"a": [{"port": 80, "b": {}}]}, [["f:spec", "f:a", step, "f:b"] for step in (TCP, UDP)]),
        (PORTS, {"a": [{"port": 80, "b": {}}, {"port": 80, "protocol": "UDP", "b": {}}]}, [["f:spec", "f:a", step, "f:b"] for step in (TCP, UDP)]),
        (PORTS, {"a": [{"port": 80, "b": {}}, TWICE[1]]}, [["f:spec", "f:a", TCP, "f:b"]]),
        # Defaults below a part that is removed are removed with it.
        (gadget({"a": {"b": {"c": 1, "default": 2}}}, {"f:a": {"f:b": {"f:c": {}}}}), {"a": {}}, [["f:spec", "f:a"]]),
        (gadget({"a": [{"port": 80}]}, {"f:a": {'k:{"port":80}': {".": {}, "f:port": {}}}}), {"a": [{}]}, []),
    ],
)
def test_what_an_apply_would_set_to_null_is_found(live, spec, paths):
    desired = {"apiVersion": live["apiVersion"], "kind": "Gadget", "metadata": {"name": "g"}, "spec": spec}
    assert emptied_fields(desired, json.loads(json.dumps(live)), "podwright") == paths


def test_the_patch_is_for_this_version_of_the_object():
    live = gadget({"a": {"b": 1}})
    assert change_patch(live, live | {"spec": {"a": {}}}) == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "remove", "path": "/spec/a/b"},
    ]


@pytest.mark.parametrize(
    ("spec", "path", "reduced", "answer", "filled"),
    [
        ({"a": {}, "b": 1}, ["f:a"], {"spec": {"b": 1}}, {"a": {"c": 1}, "b": 1}, {"a": {}, "b": 1}),
        ({"a": {"b": [], "c": 1}}, ["f:a", "f:b"], {"spec": {"a": {"c": 1}}}, {"a": {"b": None, "c": 1}}, {"a": {"b": [], "c": 1}}),
        ({"a": {"b": {}}}, ["f:a", "f:b"], {}, {"d": 1}, {"a": {"b": {}}, "d": 1}),
        ({"a": {"b": {}, "c": 1}}, ["f:a", "f:b"], {"spec": {"a": {"c": 1}}}, {"d": 1}, {"a": {"b": {}}, "d": 1}),
        ({"a": {"b": {}}}, ["f:a", "f:b"], {}, {"a": None}, {"a": None}),
        ({"a": [{"name": "two", "b": {}}]}, ["f:a", TWO, "f:b"], {"spec": {"a": [{"name": "two"}]}}, ANSWER, FILLED),
        ({"a": [{"name": "two", "b": {}}]}, ["f:a", TWO, "f:b"], {"spec": {"a": [{"name": "two"}]}}, {"a": []}, {"a": []}),
        ({"a": [{"port": 80, "b": {}}]}, ["f:a", TCP, "f:b"], {"spec": {"a": [{"port": 80}]}}, {"a": TWICE}, {"a": [TWICE[0] | {"b": {}}, TWICE[1]]}),
        ({"a": [{"name": "two", "b": {}}]}, ["f:a", TWO, "f:b"], {"spec": {"a": [{"name": "two"}]}}, {"d": 1}, {"d": 1}),
        ({"e": 1}, ["f:a", "f:b"], {"spec": {"e": 1}}, {"d": 1}, {"d": 1}),
    ],
)
def test_values_are_copied_to_where_another_object_has_their_place(spec, path, reduced, answer, filled):
    """The list of the answer has an item of another manager in front."""
    desired, paths = {"spec": spec}, [["f:spec", *path]]
    before = json.dumps([desired, answer])
    assert without_values(desired, paths) == reduced
    assert with_values({"spec": answer}, desired, paths) == with_empty(with_values({"spec": answer}, desired, paths), paths) == {"spec": filled}
    assert json.dumps([desired, answer]) == before


def test_the_answer_of_the_api_server_shows_which_item_one_without_a_merge_key_is():
    both = [["f:spec", "f:a", step, "f:b"] for step in (TCP, UDP)]
    answer = gadget({"a": [TWICE[0]]}, {"f:a": {TCP: {".": {}, "f:b": {"f:c": {}}}}})
    assert applied_paths(both, answer, "podwright") == both[:1] and applied_paths(both, answer, "other") == []
