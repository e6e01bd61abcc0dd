# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Both edges: every exception becomes a result, and no text contains control characters of a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Operation, perform
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


def test_result_that_is_not_plain_data_is_an_unforeseen_failure():
    result = perform(operation(describe=lambda task, outcome: {"changed": True, "value": object()}), {}, False, False, Console())
    assert (result["failed"], result["changed"], result["reason"]) == (True, True, "Unforeseen")
    json.dumps(result)


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


@given(st.text(alphabet=st.sampled_from("\x1b[]0;m\x07\\\x9b\r\n\tab\x00\x7f"), max_size=40))
def test_printable_text_has_no_control_characters(text):
    assert not [character for character in printable(text) if character not in "\t\n" and not character.isprintable()]


@pytest.mark.parametrize(("reason", "hint"), [("", ""), ("NotFound", ""), ("", "Check name.")])
def test_reason_and_hint_are_in_a_result_only_if_there_is_one(reason, hint):
    def refuse(task, outcome):
        raise PodwrightError("no", reason=reason, hint=hint)

    result = perform(operation(run=refuse), {}, False, False, Console())
    assert (result.get("reason"), result.get("hint")) == (reason or None, hint or None)
