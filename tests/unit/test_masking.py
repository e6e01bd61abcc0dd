# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Both edges: every exception becomes a result, and no text contains control characters of a terminal."""

from __future__ import annotations

import base64
import json
import sys
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.masking import Masker
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Operation, perform
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import LAST_APPLIED
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.redactor import TaskRedactor, redact_options
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.result import warn_of_masked
from ansible_collections.podwright.core.plugins.module_utils._engine.text import printable

MARK = "c4n4ry"


def fail(*_arguments):
    raise KeyError(MARK)


def operation(**parts):
    """An operation that does nothing, but for its parts."""
    usual = {"outcome": list, "run": lambda task, outcome: None, "describe": lambda task, outcome: {"changed": False}}
    return Operation("nothing", {}, **usual | parts)


@pytest.mark.parametrize("part", ["run", "describe", "secrets", "redact"])
@pytest.mark.parametrize("no_log", [False, True])
def test_unforeseen_exceptions_become_failures(part, no_log):
    result = perform(operation(**{part: fail}), {}, False, False, Console(), no_log)
    assert result["failed"] and result["reason"] == "Unforeseen" and "invocation" in result
    assert ("KeyError" in result["msg"]) == (not no_log) and MARK not in json.dumps(result)


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}])
def test_result_that_is_nested_too_deeply_is_a_failure(wrap):
    """Not an exception, which Ansible would report as a crash: a server may have sent it as JSON."""
    value = "end"
    for _level in range(10 * sys.getrecursionlimit()):
        value = wrap(value)
    result = perform(operation(describe=lambda task, outcome: {"changed": True, "json": value}), {}, False, False, Console())
    assert (result["failed"], result["changed"], result["reason"]) == (True, True, "TooDeep") and "json" not in result


def test_result_that_is_not_plain_data_is_an_unforeseen_failure():
    params = {"api_key": MARK}
    result = perform(operation(describe=lambda task, outcome: {"changed": True, "value": object()}), params, False, False, Console(), masked={MARK})
    assert (result["failed"], result["changed"], result["reason"]) == (True, True, "Unforeseen")
    assert MARK not in json.dumps(result)


def test_operation_whose_secrets_are_unknown_does_not_run():
    ran = []
    perform(operation(secrets=fail, run=lambda task, outcome: ran.append(task)), {}, False, False, Console())
    assert not ran


def test_escape_sequences_are_removed_from_results():
    def refuse(task, outcome):
        task.console.warn("one\x1b[2Jtwo")
        raise PodwrightError("no\x1b]0;title\x07 \x1b[31mred\r\n  next", reason="For\x1bbidden", hint="Do\x9b it.")

    diff = [{"before": "\x1b[8mhidden", "after": "a\tb\n"}]
    result = perform(operation(run=refuse, describe=lambda task, outcome: {"diff": diff}), {}, False, True, Console())
    assert result["msg"] == "no red\n  next\nDo it."
    assert (result["warnings"], result["diff"]) == (["onetwo"], [{"before": "hidden", "after": "a\tb\n"}])


HOSTILE = "a\x1b]0;t\x07\x9b31mb\u202ec\u2028d\u2066e\x00\r\U000e0041\udc80f"


@pytest.mark.parametrize("field", ["tasks", "results", "plan", "pods", "kept", "deleted", "errors", "analysis"])
def test_text_for_people_in_entries_cannot_control_a_terminal_and_data_is_kept(field):
    entry = {"msg": HOSTILE, "reason": HOSTILE, "note": HOSTILE, "stdout": HOSTILE, "events": [{"message": HOSTILE}]}
    given_fields = {field: [entry], "events": {"pod": [{"message": HOSTILE}]}, "stdout": HOSTILE}
    result = perform(operation(describe=lambda task, outcome: given_fields), {}, False, False, Console())
    shown, kept = printable(HOSTILE), HOSTILE.replace("\udc80", "\ufffd")
    assert shown == "a31mbcdef" and result["stdout"] == kept
    assert result[field] == [{"msg": shown, "reason": shown, "note": shown, "stdout": kept, "events": [{"message": shown}]}]
    assert result["events"] == {"pod": [{"message": shown}]}


def mask(*values):
    return Masker(values).clean


def test_names_of_objects_and_parts_of_words_are_not_masked():
    item = {"kind": "Deployment", "metadata": {"name": "postgres", "namespace": "app1"}, "image": "postgres:16", "data": "app1", "words": "happy app1a app1-b"}
    masked = mask("postgres", "app1")(item)
    assert masked["metadata"] == item["metadata"] and masked["kind"] == "Deployment"
    assert (masked["image"], masked["data"], masked["words"]) == ("********:16", "********", "happy app1a ********-b")
    assert mask("1234", "12")({"pin": 1234, "rc": 12, "ok": True, "none": None}) == {"pin": "********", "rc": 12, "ok": True, "none": None}


def test_a_value_of_fewer_than_4_characters_is_masked_only_as_the_whole_text():
    """Else a playbook deploys 1.********.2."""
    result = {"version": "1.4.2", "retries": "4", "log": "4\n", "lines": ["4", "4 of 4"], "rc": 4, "port": 4444, "url": "%404", "ci": "ci/v"}
    masked = {"retries": "********", "log": "********\n", "lines": ["********", "4 of 4"]}
    assert mask("4", " ci\n")(result) == result | masked
    assert mask("\x1b\x1b\x1b\x1bab")("ab cd") == "ab cd"  # its printable form is short
    assert mask("pass word\n", "pass word")(base64.b64encode(b"pass word\n").decode()) == "********"


@pytest.mark.parametrize("key", ["dest", "path", "report"])
def test_paths_that_the_user_wrote_are_masked_only_for_long_values(key):
    clean = mask("prod", "c4n4ry-c4n4ry")
    assert clean({"artifacts": [{key: "/srv/prod/v"}], key: "/srv/c4n4ry-c4n4ry/prod"}) == {"artifacts": [{key: "/srv/prod/v"}], key: "/srv/********/prod"}
    assert clean({key: "prod", "text": "/srv/prod"}) == {key: "********", "text": "/srv/********"}


def test_results_that_are_changed_by_masking_are_named():
    tasks = [
        {"name": "a", "results": {"version": "1.4.2", "retries": "4", "deep": {"x": ["c4n4ry"]}, "stars": "********"}},
        {"name": "b", "indexes": [{"results": {"n": 4}}, {"results": {"n": "c4n4ry"}}, {"results": {"n": "c4n4ry"}}]},
        {"name": "c"},
    ]
    console, named = Console(), [("retries", "a"), ("deep", "a"), ("n", "b")]
    warn_of_masked(tasks, mask("4", "c4n4ry"), console)
    assert [text.partition(" contains")[0] for text in console.warnings] == [f"Result '{name}' of task '{task}'" for name, task in named]
    assert "c4n4ry" not in str(console.warnings)


@given(st.text(min_size=8, max_size=30).filter(lambda text: len(text.strip()) >= 8), st.sampled_from(["{}", "a{}b", "x\n  {}\n"]))
def test_values_are_masked_in_every_form(value, frame):
    value = value.strip()
    forms = [value, json.dumps(value)[1:-1], base64.b64encode(value.encode()).decode(), urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value)]
    for form in forms:
        assert form not in mask(value)({"stdout": frame.format(form)})["stdout"]


def test_each_line_of_a_value_is_masked():
    key = "-----BEGIN KEY-----\n  MIIEvQIBADANBg\n\tkqhkiG9w0BAQ\n-----END KEY-----\n"
    shown = mask(key)(f"Log:\n    MIIEvQIBADANBg\n{json.dumps(key)} kqhkiG9w0BAQ")
    assert not [part for part in ("MIIE", "kqhk") if part in shown] and shown.startswith("Log:\n    ***")


INTERNAL = ("_ansible_no_log", "_ansible_verbose_always", "__ansible_type", "__ansible_vault", "__ansible_unsafe", "_ansible_\udc80")


@pytest.mark.parametrize("key", INTERNAL)
def test_internal_keys_of_ansible_are_data(key):
    result = perform(operation(describe=lambda task, outcome: {"json": [{key: {key: "\ud800"}}], key: 1}), {}, False, False, Console())
    assert not [word for word in ("_ansible", "\\ud800", "\\udc80") if f'"{word}' in json.dumps(result)]
    assert next(iter(result["json"][0].values())) and "\ufffd" in json.dumps(result, ensure_ascii=False)


@given(st.text(alphabet=st.sampled_from("\x1b[]0;m\x07\\\x9b\r\n\tab\x00\x7f\u2028\u202e\u2066\udc80"), max_size=40))
def test_printable_text_has_no_control_characters(text):
    assert not [character for character in printable(text) if character not in "\t\n" and not character.isprintable()]


@pytest.mark.parametrize(("reason", "hint"), [("", ""), ("NotFound", ""), ("", "Check name.")])
def test_reason_and_hint_are_in_a_result_only_if_there_is_one(reason, hint):
    def refuse(task, outcome):
        raise PodwrightError("no", reason=reason, hint=hint)

    result = perform(operation(run=refuse), {}, False, False, Console())
    assert (result.get("reason"), result.get("hint")) == (reason or None, hint or None)


@pytest.mark.parametrize("kind", ["Pod", "ReplicaSet", "StatefulSet", "CronJob"])
def test_variables_of_whatever_has_pods_are_redacted(kind):
    containers = {"containers": [{"name": "c", "env": [{"name": "A", "value": MARK}]}]}
    assert MARK not in json.dumps(TaskRedactor().redact({"kind": kind, "spec": {"template": {"spec": containers}}}))
    assert MARK not in json.dumps(redact_options({"definition": {"kind": kind.lower(), "spec": containers}}))
    applied = {"annotations": {LAST_APPLIED: json.dumps({"spec": containers})}}
    assert MARK not in json.dumps(TaskRedactor().redact({"kind": kind, "metadata": applied, "spec": {}}))
