# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Both edges: every exception becomes a result, and no text contains control characters of a terminal."""

from __future__ import annotations

import base64
import dataclasses
import json
import random
import sys
import textwrap
import time
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.masking import MASK, Masker
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Operation, perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_request
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


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"headers": {"Authorization": "Bearer c4n4ry-1/c4n4ry+2"}, "body": "user=jane&code=c4n4ry-3;x"}, "Bearer of user jane"),
        ({"headers": {"Cookie": 'session="c4n4ry-1/c4n4ry+2"; path=/app'}, "body": '{"client_name": "c4n4ry-3"}'}, "session at /app, client_name"),
        ({"requests": [{"headers": {"X": "c4n4ry-1/c4n4ry+2 x"}, "body": {"a": ["<c4n4ry-3>"]}}]}, "user jane of /app"),
    ],
)
def test_messages_show_no_part_of_a_header_or_body(options, kept):
    """Which a server repeats; data is returned as it is."""
    defaults = {name: entry.get("default") for name, entry in pod_request.ARGUMENTS.items()}
    shown = f"c4n4ry-3 is invalid: {kept}, token c4n4ry-1/c4n4ry+2"

    def refuse(task, outcome):
        raise PodwrightError(shown)

    refused = dataclasses.replace(pod_request.OPERATION, run=refuse, describe=lambda task, outcome: {"content": shown})
    result = perform(refused, defaults | {"pod": "a", "port": "80"} | options, False, False, Console())
    assert (result["msg"], result["content"]) == (f"{MASK} is invalid: {kept}, token {MASK}", shown)


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
    assert (masked["image"], masked["data"], masked["words"]) == ("postgres:16", "********", "happy app1a ********-b")
    assert mask("1234", "12")({"pin": 1234, "rc": 12, "ok": True, "none": None}) == {"pin": "********", "rc": 12, "ok": True, "none": None}


def test_fields_that_playbooks_compare_are_kept_unless_they_hold_something_else():
    values = ("2026", "succeeded", "node-1", "Running", "1.36", "docker.io", "c4n4ry-1")
    times = dict.fromkeys(("started_at", "last_seen", "finishedAt", "creationTimestamp", "lastTransitionTime"), "2026-11-29T19:50:39Z")
    fields = times | {
        "labels": {"podwright.io/task": "node-1"},
        "state": "succeeded",
        "phase": "Running",
        "node": "node-1",
        "image": "docker.io/library/busybox:1.36@sha256:2026",
    }
    assert mask(*values)({"tasks": [fields]}) == {"tasks": [fields]}
    assert set(mask(*values)(dict.fromkeys((*times, "state", "phase", "log"), "c4n4ry-1 2026")).values()) == {f"{MASK} {MASK}"}
    assert mask(*values)({"image": "u:2026 c4n4ry-1", "state": "c4n4ry-1", "log": fields["started_at"]}) == {
        "image": f"u:{MASK} {MASK}",
        "state": MASK,
        "log": f"{MASK}-11-29T19:50:39Z",
    }


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
        {"name": "c", "results": {"image": "c4n4ry"}},
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
    other = key.replace("MIIEvQIBADANBg", "MIIBszCCAVmgAw").replace("kqhkiG9w0BAQ", "AAAAAAAAAAAA")
    assert mask(key)(other) == other


SECRETS = st.text(min_size=8, max_size=150).filter(lambda text: len(text.strip()) >= 8 and text == text.strip())
ENCODERS = {"standard": base64.b64encode, "URL": base64.urlsafe_b64encode}


def parts_of(value, before, after, encode):
    """The base64 of a value between others: what is before it, what it alone determines, and what follows."""
    start, end = len(before) * 8, (len(before) + len(value.encode())) * 8
    encoded = encode(before + value.encode() + after).decode()
    return encoded[: -(-start // 6)], encoded[-(-start // 6) : end // 6], encoded[end // 6 :]


@given(SECRETS, st.binary(max_size=80), st.binary(max_size=80), st.sampled_from([None, 20, 64, 76]), st.sampled_from([*ENCODERS]))
def test_a_value_is_masked_within_anything_in_base64(value, before, after, width, alphabet):
    parts = parts_of(value, before, after, ENCODERS[alphabet])
    wrapped = "\n".join(textwrap.wrap("".join(parts), width)) if width else "".join(parts)
    shown = "".join(mask(value)(f"x {wrapped}\ny").split())
    assert parts[1] not in shown and shown[0] == "x" and shown[-1] == "y" and len(shown) <= len("".join(parts)) + 10 - len(parts[1])


@given(SECRETS, st.binary(max_size=80), st.binary(max_size=80), st.sampled_from([64, 76]), st.sampled_from([*ENCODERS]))
def test_a_value_is_masked_in_wrapped_base64_that_is_shown_line_by_line(value, before, after, width, alphabet):
    """As in live output and in lists of lines."""
    parts = parts_of(value, before, after, ENCODERS[alphabet])
    encoded, start, end = "".join(parts), len(parts[0]), len(parts[0] + parts[1])
    for at in range(0, len(encoded), width):
        piece = encoded[max(at, start) : min(at + width, end)] if start < at + width and at < end else ""
        assert len(piece) < 8 or piece not in Masker([value]).mask(encoded[at : at + width])


@pytest.mark.parametrize(
    "command", ["echo $S | base64", "printf user:$S | base64", "echo $(echo $S$S$S$S$S$S | base64)", "printf %s $S | base64", "openssl base64"]
)
def test_output_of_the_usual_commands_has_no_value(command):
    value = "Hunter2-Zebra!"
    content = {"echo": f"{value}\n", "prin": value, "open": value * 9}[command[:4]]
    content = f"user:{value}" if "user" in command else value * 6 + "\n" if "$S$S" in command else content
    encoded = base64.b64encode(content.encode()).decode()
    lines = textwrap.wrap(encoded, 64 if "openssl" in command else 76)
    for text in ("\n".join(lines), " ".join(lines), f"b64={' '.join(lines)}", *(lines if len(lines) > 1 else ())):
        shown = mask(value)(text)
        assert MASK in shown and not any(base64.b64encode(value.encode())[at : at + 8].decode() in shown for at in range(10))
    assert mask(value)(base64.b64encode(value.encode()).decode()) == MASK


def test_base64_of_something_else_is_not_masked():
    value, pem = "Hunter2-Zebra!", "-----BEGIN KEY-----\nHunter2\n-----END KEY-----\n"
    others = ["Hunter2-Zebrb!", "Hunter2", "hunter2-zebra!", "Zebr", "unter2-Zebra", pem.replace("Hunter2", "Hunter3"), pem[:-10], "-----"]
    texts = [base64.b64encode(before + other.encode() + after).decode() for other in others for before in (b"", b"a", b"ab") for after in (b"", b"?", b"??")]
    texts += [line for other in others if "-----" not in other for line in textwrap.wrap(base64.b64encode(other.encode() * 9).decode(), 76)]
    texts += ["SHVudGV", "deadbeef", "password", "a" * 64]
    assert [text for text in texts if mask(value, pem, "abc", "abcd", "my-password")(text) != text] == []


@pytest.mark.parametrize("value", ["c4n4ry-c4n4ry", "c4n4", "c4n4ry-\xfc\xdf"])
def test_bytes_in_base64_can_be_decoded_after_masking(value):
    """As those of output that is not valid UTF-8."""
    output = [f"{before}{value}!\n".encode() + b"\xff\0" for before in ("", "a ", "ab ")]
    shown = mask(value)([{"stdout_b64": base64.b64encode(content).decode()} for content in output])
    assert [base64.b64decode(entry["stdout_b64"]) for entry in shown] == [content.replace(value.encode(), MASK.encode()) for content in output]
    assert mask(value)({"log_b64": f"{value} /"}) == {"log_b64": f"{MASK} /"}
    kept = {"stdout_b64": base64.b64encode(b"c4n5ry\xff").decode()}
    assert mask(value)(kept) == kept


def test_a_large_value_is_masked_in_base64_in_time():
    value = "".join(random.Random(1).choices("abcdef012345", k=1_000_000))
    encoded = base64.b64encode(b"a" + value.encode()).decode()
    started = time.monotonic()
    assert len(mask(value)("\n".join(textwrap.wrap(encoded, 76)))) < 20 and time.monotonic() - started < 10


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
