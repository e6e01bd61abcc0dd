# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connection plugin: the prompt of `become` in output that arrives in any pieces, and output without end."""

from __future__ import annotations

import itertools
import time

import pytest

from ansible_collections.podwright.core.plugins.connection import pod as plugin
from ansible_collections.podwright.core.plugins.connection.pod import _Conversation
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import STDERR, STDOUT
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

PROMPT = b"[sudo via ansible, key=abc] password:"


class Sudo:
    """A become plugin whose password is asked for."""

    @staticmethod
    def expect_prompt():
        """Always."""
        return True

    @staticmethod
    def check_password_prompt(output):
        """Whether the prompt has appeared."""
        return PROMPT in output

    @staticmethod
    def get_option(_name):
        """The password."""
        return "secret"

    @staticmethod
    def check_success(output):
        """Whether no password was needed."""
        return b"BECOME-SUCCESS" in output


def test_a_password_is_sent_only_after_its_prompt():
    for output, expected in ((b"BECOME-SUCCESS-key\n", [b"module"]), (PROMPT, [b"secret\n", b"module"])):
        conversation = _Conversation(Sudo(), b"module")
        pieces = conversation.input()
        assert next(pieces) is None
        conversation.add_output(STDOUT, output)
        assert list(pieces) == expected


def test_a_prompt_that_does_not_appear_is_an_error():
    conversation = _Conversation(Sudo(), b"module", prompt_seconds=-1)
    conversation.add_output(STDERR, b"Kennwort:")
    with pytest.raises(PodwrightError, match=r"did not appear; printed was 'Kennwort:'\. Check become_method"):
        next(conversation.input())


@pytest.mark.parametrize("sizes", [[1] * 200, [len(PROMPT)], [7] * 40, [5000]])
def test_prompt_is_found_in_pieces_after_much_output(sizes):
    conversation, content = _Conversation(Sudo(), b"input"), b"motd " * 50_000 + PROMPT
    begun, start = time.thread_time(), len(content) - len(PROMPT)
    for at in range(0, start, 100):
        conversation.add_output(STDERR, content[at : min(at + 100, start)])
    assert conversation.awaits_prompt and time.thread_time() - begun < 2
    for size in sizes:
        if start < len(content):
            conversation.add_output(STDERR, content[start : start + size])
            start += size
    assert not conversation.awaits_prompt and bytes(conversation.stderr) == content


def test_output_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(plugin, "MAX_OUTPUT", 1 << 20)
    conversation = _Conversation(None, None)
    with pytest.raises(PodwrightError, match="more than 1 MiB") as caught:
        for stream in itertools.cycle((STDOUT, STDERR)):
            conversation.add_output(stream, bytes(1000))
    assert caught.value.reason == "TooLarge" and len(conversation.stdout) + len(conversation.stderr) < (1 << 20) + 1001
