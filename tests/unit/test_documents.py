# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The limits of documents with manifests, and the line and column of errors."""

from __future__ import annotations

import sys

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.documents import as_json, flatten, read_documents, repeated_keys

LARGEST = int(sys.float_info.max)


def error_of(function, *arguments):
    with pytest.raises(PodwrightError) as caught:
        function(*arguments)
    assert caught.value.reason == "BadManifest"
    return caught.value


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: ]", "at line 1, column 4"),
        ("a: 1\nb: 2\n  c: 3\n", "at line 3, column 4"),
        ("---\nkind: Pod\n---\na: b: c\n", "at line 4, column 5"),
    ],
)
def test_syntax_error_has_its_line_and_column_as_editors_count_them(text, place):
    message = error_of(read_documents, text, "src web.yml").message
    assert message.startswith(f"The YAML of src web.yml is invalid {place}: ") and message.endswith(".")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: 1\nb:\n\tc: 2\n", "Indent it by spaces"),
        ("a: {{ b }}\n", "option template"),
        ("{% if b %}\na: 1\n{% endif %}", "option template"),
        ("a:\tb\nc: ]", ""),
    ],
)
def test_what_is_often_no_yaml_has_a_hint(text, hint):
    found = error_of(read_documents, text, "src").hint
    assert found.count(hint) and bool(found) == bool(hint)


def test_fault_without_a_place_is_described():
    assert error_of(read_documents, "a: \x00", "src").message.startswith("The YAML of src is invalid: ")


def nested(depth, wrap):
    value = "leaf"
    for _level in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}, lambda value: [{"a": value}]])
def test_values_may_be_nested_200_levels_deep(wrap):
    levels = 2 if isinstance(wrap(0), list) and isinstance(wrap(0)[0], dict) else 1
    assert as_json(nested(200 // levels, wrap)) == nested(200 // levels, wrap)
    message = error_of(as_json, nested(200 // levels + 1, wrap)).message
    assert message == "A definition is nested more than 200 levels deep."


def aliases(count):
    """A text of 1,000 characters whose `count` aliases repeat 100 values each."""
    text = "- &a [" + ", ".join("0" * 99) + "]\n" + "- *a\n" * count
    return text + "#" * (1000 - len(text))


def test_aliases_may_add_ten_values_for_each_character():
    """A few characters can repeat any number of values, each of which is copied and compared."""
    assert len(read_documents(aliases(90), "src")[0]) == 91
    assert "aliases that expand to too many values" in error_of(read_documents, aliases(110), "src").message


def test_all_documents_of_a_text_share_the_limit_of_expansion():
    assert "expand" in error_of(read_documents, "\n---\n".join([aliases(80)[:-300]] * 1 + ["- &b [" + "0, " * 99 + "0]\n" + "- *b\n" * 140] * 3), "src").message


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2**1024, "int"),
        (-(2**1024), "int"),
        ("\ud800secret", "str"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (b"secret", "bytes"),  # what the tag !!binary makes
        (1j, "complex"),
        ({1}, "set"),
    ],
)
def test_value_that_no_object_has_is_named_unless_it_may_be_a_secret(value, shown):
    error = error_of(as_json, {"a": [value]})
    assert error.message == f"A definition contains a value that is not JSON: {shown}." and "quotes" in error.hint


@pytest.mark.parametrize("value", [LARGEST, -LARGEST, 2**63, 0, True, None, 1.5, "é", "😀", "", [], {}])
def test_any_number_of_the_api_and_any_unicode_text_is_a_value(value):
    assert as_json([value]) == [value] and type(as_json(value)) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(text, 1000) for text in ("1e3", "1E+3", "1.0e3", "+1_0.0e+2")],
        *[("-2E-1", -0.2), (".5", 0.5), ("1.5", 1.5), ("1.", 1)],
        *[(text, text) for text in ("1:30.5", "12:30:45.25", "1.2.3", "12e4567", "1e", "v1e3", "e3", "._5")],
    ],
)
def test_numbers_are_those_of_json_and_times_are_text(text, value):
    assert read_documents(f"a: {text}", "src a.yml") == [{"a": value}]
    assert read_documents('{"a": 1e3}', "src a.json") == [{"a": 1000}]


def test_keys_are_texts_as_in_json():
    assert as_json({True: "b", None: "c", 1.5: "d", "e": "f"}) == {"true": "b", "null": "c", "1.5": "d", "e": "f"}
    assert as_json({9000: "a", False: "b"}) == {"9000": "a", "false": "b"}
    assert "not JSON" in error_of(as_json, {(1, 2): "a"}).message


@pytest.mark.parametrize("text", ['{\t"a": {"b": [1, 2]}}', '{"a":\t1, "b": 2}', ' \n{\t"a": 1}'])
def test_json_may_be_indented_with_tabs(text):
    assert len(read_documents(text, "src")) == 1


def test_json_documents_may_follow_one_another():
    documents = '{"a": 1}\n{"b":\t[{}]} {"c": "}{"}\n'
    assert read_documents(documents, "src") == [{"a": 1}, {"b": [{}]}, {"c": "}{"}]


@pytest.mark.parametrize("text", ['{"a": 1}\n{"b": ', '{"a": 1} 7', '{"a": 1}\n[{"b": 2}]', '{"a": 1}\nb: 2', '{"a": 1}{b: 2}', '{"a":' * 100000])
def test_what_follows_a_json_document_and_is_none_is_refused(text):
    assert error_of(read_documents, text, "src").reason == "BadManifest"


@pytest.mark.parametrize("text", ["{a:\t1}", "{a: [\t1, 2]}\n---\n{b: 3}", "- a\t# comment"])
def test_yaml_with_a_tab_is_no_json(text):
    assert read_documents(text, "src")[0] in ({"a": 1}, {"a": [1, 2]}, ["a"])


def test_merge_keys_do_not_replace_keys_of_the_mapping():
    text = "base: &base {a: 1, b: 1}\nwith: {<<: *base, b: 2}\nnone: {b: 3, c: [1]}"
    assert read_documents(text, "src") == [{"base": {"a": 1, "b": 1}, "with": {"a": 1, "b": 2}, "none": {"b": 3, "c": [1]}}]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\nb: {c: 1,\n  c: 2}\n---\na: 1\n'a': 2\n", [("c", 3), ("a", 6)]),
        ("base: &base {a: 1}\none: &one {<<: *base, a: 2}\ntwo: {<<: [*base, *one], a: 3}\nthree: *one\n", []),  # a merge is what may be overridden
        ("a: &x {b: 1, b: 2}\nc: *x\n", [("b", 1)]),
        ("yes: 1\n'yes': 2\n1: 3\n'1': 4\n", [("1", 4)]),
        ("{]", []),
    ],
)
def test_keys_that_are_repeated_are_warned_of(text, lines):
    assert repeated_keys(text, "src a.yml") == [f"src a.yml: the key '{key}' is repeated at line {line}; only its last value is used." for key, line in lines]


def test_only_lists_of_items_are_flattened():
    pod = {"apiVersion": "v1", "kind": "Pod"}
    assert flatten([{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {}}, "text"]}]) == [pod | {"metadata": {}}, "text"]
    named = {"apiVersion": "acl.example.com/v1", "kind": "AllowList", "metadata": {"name": "office"}, "items": ["10.0.0.0/8"]}
    others = [named, named | {"items": []}, {"kind": "AllowList", "items": {"a": 1}}, {"kind": "AllowList"}, {"kind": "Listing", "items": [pod]}]
    for other in (*others, {"items": [pod]}, "text", 5):
        assert flatten([other]) == [other]
    assert flatten([{"kind": "List", "items": [pod, None]}, None, {"kind": "PodList", "items": None}]) == [pod]
    assert flatten([[pod, [pod], None], []]) == [pod, pod], "as a list variable that is written as YAML, or a list of results"
    assert flatten([{"kind": "PodList", "apiVersion": "v1", "items": [{"kind": "Job", "apiVersion": "batch/v1"}]}]) == [
        {"kind": "Job", "apiVersion": "batch/v1"}
    ]
