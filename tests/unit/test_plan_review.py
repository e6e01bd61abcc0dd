# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan as its reviewer reads it: entries, digest, outline and difference."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.key import Key
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import LAST_SCALED
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import Redactor
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.plan import Change
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.review import compare_plans, digest_of, outline, review_entries

CONFIG_MAP = BUILT_IN["v1", "ConfigMap"]


def item(name="c", annotations=None, **data):
    metadata = {"name": name, "namespace": "n", "uid": f"uid-{name}"} | ({} if annotations is None else {"annotations": annotations})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def change(action, before=None, after=None, name="c", **rest):
    return Change(action, Key("", "ConfigMap", "n", name), CONFIG_MAP, before=before, after=after, **rest)


def entry(*arguments, **named):
    (only,) = review_entries([change(*arguments, **named)], Redactor)
    return only


def test_an_entry_shows_fields_of_a_change_and_manifests_of_what_is_new():
    patched = entry("patch", item(a="1", b="2"), item(a="1", b="3"))
    assert patched["fields"] == {"/data/b": {"before": "2", "after": "3"}} and patched["uid"] == "uid-c" and "manifest" not in patched
    created = entry("create", None, item(a="1"), desired=item(a="0"))
    assert created["manifest"]["data"] == {"a": "0"} and "uid" not in created and "fields" not in created
    assert entry("create", item(a="old"), item(a="1")).get("uid") is None
    assert entry("delete", item(a="1")) == {"action": "delete", "api_version": "v1", "kind": "ConfigMap", "namespace": "n", "name": "c", "uid": "uid-c"}


def test_a_note_is_shown_only_if_there_is_one():
    assert entry("delete", item(), note="no longer desired")["note"] == "no longer desired"
    assert "note" not in entry("delete", item())


def test_times_in_annotations_are_no_change():
    def with_time(value, **others):
        return entry("patch", item(a="1", annotations={LAST_SCALED: value, **others}), item(a="2", annotations={LAST_SCALED: "now", **others}))

    assert with_time("then") == with_time("before") == entry("patch", item(a="1"), item(a="2"))
    kept = entry("create", None, item(annotations={LAST_SCALED: "now", "team": "a"}))
    assert kept["manifest"]["metadata"]["annotations"] == {"team": "a"}
    assert "annotations" not in entry("create", None, item(annotations={LAST_SCALED: "now"}))["manifest"]["metadata"]


def test_values_that_python_takes_for_equal_differ():
    assert entry("patch", item() | {"data": {"a": True}}, item() | {"data": {"a": 1}})["fields"] == {"/data/a": {"before": True, "after": 1}}


def test_the_order_of_keys_and_changes_does_not_count():
    one, other = entry("patch", item(a="1", b="1"), item(a="2", b="2")), entry("patch", item(b="1", a="1"), item(b="2", a="2"))
    assert digest_of([one]) == digest_of([other])
    assert review_entries([change("none", item(), item())], Redactor) == []
    pair = review_entries([change("delete", item("a"), name="a"), change("delete", item("b"), name="b")], Redactor)
    assert digest_of(pair) == digest_of(pair[::-1]) and digest_of(pair) != digest_of(pair[:1])


def test_the_outline_has_a_line_for_each_object_and_field():
    plan = review_entries([change("patch", item(a="1"), item(a="2", b={"y": 1, "x": "ü"})), change("delete", item("z"), name="z")], Redactor)
    assert outline(plan) == (
        "- delete ConfigMap 'z' in namespace 'n'\n"
        "- patch ConfigMap 'c' in namespace 'n'\n"
        '  /data/a: "1" -> "2"\n'
        "  /data/b/x: absent -> \"ü\"\n"
        "  /data/b/y: absent -> 1"
    )  # fmt: skip


@pytest.mark.parametrize(("fields", "is_cut"), [(29, False), (30, True)])
def test_long_objects_are_cut(fields, is_cut):
    values = {f"k{number:02}": "1" for number in range(fields)}
    lines = outline([entry("patch", item(**values), item(**dict.fromkeys(values, "2")))]).splitlines()
    assert (lines[-1] == "  …") is is_cut and len(lines) == 30 + is_cut


def test_many_objects_are_counted():
    plan = review_entries([change("delete", item(f"c{number:02}"), name=f"c{number:02}") for number in range(23)], Redactor)
    assert outline(plan).splitlines()[-1] == "… and 3 more objects" and len(outline(plan).splitlines()) == 21
    assert "more objects" not in outline(plan[:20])


def test_the_difference_of_two_plans_names_what_changed():
    kept, gone, new = (entry("delete", item(name), name=name) for name in "abc")
    before, after = entry("patch", item("d", x="1"), item("d", x="2"), name="d"), entry("patch", item("d", x="1"), item("d", x="3"), name="d")
    text = compare_plans([kept, gone, before], [kept, new, after])
    assert text.splitlines()[:3] == [
        "- no longer planned: delete ConfigMap 'b' in namespace 'n'",
        "- not reviewed: delete ConfigMap 'c' in namespace 'n'",
        "- differs: patch ConfigMap 'd' in namespace 'n'",
    ]
    assert "after: '2'" in text and "after: '3'" in text and "'a'" not in text
    assert compare_plans([kept, before], [before | {"note": "why"}, kept]) == ""
