# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connection plugin: the prompt of `become` in output that arrives in any pieces, and output without end."""

from __future__ import annotations

import itertools
import time

import pytest
from ansible.plugins.become.sudo import BecomeModule

from ansible_collections.podwright.core.plugins.connection import pod as plugin
from ansible_collections.podwright.core.plugins.connection.pod import _Conversation
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import STDERR, STDOUT
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

SUCCESS = b"BECOME-SUCCESS-abc\n"
PROMPT = b"[sudo via ansible, key=abc] password:"


def sudo(password: object = "secret"):  # noqa: S107
    """The plugin `sudo` of Ansible with a command of its own."""
    plugin = BecomeModule()
    plugin.prompt, plugin.success = PROMPT.decode() if password else "", "BECOME-SUCCESS-abc"
    plugin.get_option = lambda name, **_options: password if name == "become_pass" else None
    return plugin


def test_a_password_is_sent_only_after_its_prompt():
    conversation = _Conversation(sudo(), b"module")
    pieces = conversation.input()
    assert next(pieces) is None
    conversation.add_output(STDERR, b"lecture\n" + PROMPT)
    assert next(pieces) == b"secret\n" and next(pieces) is None
    conversation.add_output(STDOUT, SUCCESS)
    conversation.add_output(STDERR, b"\nproblem")
    assert list(pieces) == [b"module"] and (bytes(conversation.stdout), bytes(conversation.stderr)) == (SUCCESS, b"\nproblem")


@pytest.mark.parametrize("password", ["secret", None])
def test_input_is_sent_if_no_password_was_needed(password):
    conversation = _Conversation(sudo(password), b"module")
    pieces = conversation.input()
    assert next(pieces) is None
    conversation.add_output(STDOUT, SUCCESS)
    assert list(pieces) == [b"module"]


def test_a_password_may_be_a_number_and_need_no_input():
    conversation = _Conversation(sudo(1234), b"")
    pieces = conversation.input()
    conversation.add_output(STDERR, PROMPT)
    assert conversation.has_input and next(pieces) == b"1234\n"
    conversation.add_output(STDOUT, SUCCESS)
    assert not list(pieces)


@pytest.mark.parametrize("output", [b"Sorry, try again.\n", b"\n" + PROMPT, PROMPT])
def test_a_wrong_password_is_an_error_instead_of_a_reason_to_send_input(output):
    conversation = _Conversation(sudo(), b"module")
    pieces = conversation.input()
    conversation.add_output(STDERR, PROMPT)
    assert next(pieces) == b"secret\n" and next(pieces) is None
    with pytest.raises(PodwrightError, match=r"Incorrect sudo password\. Set ansible_become_password") as caught:
        conversation.add_output(STDERR, output)
    assert caught.value.reason == "BadPassword" and next(pieces) is None


def test_a_missing_password_is_an_error():
    with pytest.raises(PodwrightError, match="Missing sudo password"):
        _Conversation(sudo(None), b"module").add_output(STDERR, b"sudo: a password is required\n")


def test_become_that_does_not_succeed_is_an_error():
    conversation = _Conversation(sudo(None), b"module", prompt_seconds=-1)
    with pytest.raises(PodwrightError, match="become did not succeed; printed was ''") as caught:
        next(conversation.input())
    assert caught.value.reason == "NoPrompt"


def test_a_prompt_that_does_not_appear_is_an_error():
    conversation = _Conversation(sudo(), b"module", prompt_seconds=-1)
    conversation.add_output(STDERR, b"Kennwort:")
    with pytest.raises(PodwrightError, match=r"did not appear; printed was 'Kennwort:'\. Check become_method"):
        next(conversation.input())


@pytest.mark.parametrize("sizes", [[1] * 200, [len(PROMPT)], [7] * 40, [5000]])
def test_prompt_is_found_in_pieces_after_much_output(sizes):
    conversation, content = _Conversation(sudo(), b"input"), b"motd " * 50_000 + b"\n" + PROMPT
    pieces = conversation.input()
    begun, start = time.thread_time(), len(content) - len(PROMPT)
    for at in range(0, start, 100):
        conversation.add_output(STDERR, content[at : min(at + 100, start)])
    assert next(pieces) is None and time.thread_time() - begun < 2
    for size in sizes:
        if start < len(content):
            conversation.add_output(STDERR, content[start : start + size])
            start += size
    assert next(pieces) == b"secret\n" and not conversation.stderr.strip()


def test_output_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(plugin, "MAX_OUTPUT", 1 << 20)
    conversation = _Conversation(None, None)
    with pytest.raises(PodwrightError, match="more than 1 MiB") as caught:
        for stream in itertools.cycle((STDOUT, STDERR)):
            conversation.add_output(stream, bytes(1000))
    assert caught.value.reason == "TooLarge" and len(conversation.stdout) + len(conversation.stderr) < (1 << 20) + 1001
