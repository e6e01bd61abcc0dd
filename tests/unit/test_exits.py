# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No command is waited for without end: one that reads an input which it does not have, and one whose status is lost."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec as execution
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec_stream
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import EXIT_SECONDS, Process
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import PING_SECONDS
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import PONG, WebSocket

from ..support.local_commands import frame
from .local_pod import TOOLS, LocalPod
from .test_websocket import InstantClock


@pytest.fixture(params=TOOLS)
def pod(request, tmp_path_factory, monkeypatch):
    """A LocalPod with each set of tools, which never closes the input of a command."""
    return LocalPod(request.param, tmp_path_factory.mktemp("bin"), monkeypatch)


@pytest.mark.parametrize("options", [{}, {"env": {"WORD": "a b"}}, {"chdir": "/"}, {"timeout": 20.0}, {"idle_timeout": 20.0}], ids=str)
@pytest.mark.parametrize("script", ["cat; echo $# $1 ${WORD:-none}; exit 3", "# a comment\ncat; echo $# $1 ${WORD:-none}; exit 3"])
def test_shell_without_input_reads_an_empty_one(script, options, pod):
    words = ["sh", "-c", script, "name", "one  two"]
    with Process(pod.client, pod.container, Command(words, **options)) as process:
        output = b"".join(data for _stream, data in process)
    assert process.rc == 3 and output == f"1 one two {options.get('env', {}).get('WORD', 'none')}\n".encode()


def test_other_program_without_input_reads_an_empty_one_if_a_shell_runs_it(pod):
    with Process(pod.client, pod.container, Command(["cat"], timeout=20.0)) as process:
        assert list(process) == []
    assert process.rc == 0


def test_words_without_a_shell_are_not_changed():
    for words in (["cat"], ["/bin/ssh", "sh"], ["fish"]):
        assert Command(words).without_shell() == words
    assert Command(["sh"], tty=True).without_shell() == ["sh"]


@pytest.mark.parametrize("deadline", [None, 5.0])
def test_exit_code_is_returned_if_no_status_follows_the_exit(deadline, monkeypatch):
    """A process in the background holds the outputs open, or the container runtime lost the status; the server answers pings."""
    monkeypatch.setattr(execution.secrets, "token_hex", lambda size: "feed")
    ours, theirs = socket.socketpair()
    clock = InstantClock()
    begun = clock.now_at
    with ours, theirs:
        theirs.setblocking(False)
        monkeypatch.setattr(exec_stream, "open_websocket", lambda client, request, protocols: WebSocket(ours, exec_stream.V5))
        theirs.sendall(frame(b"\2feed:12\n") + frame(b"\1out") + frame(b"\2feed:end:7\n") + frame(b"\1late"))
        answers = [frame(b"", PONG)]
        clock.meanwhile = lambda: theirs.sendall(answers.pop()) if answers and clock.now_at - begun >= PING_SECONDS else None
        command = Command(["x"], lambda: iter([b"input"]), 5, timeout=deadline)
        with Process(SimpleNamespace(clock=clock), Container("n", "p"), command) as process:
            output = b"".join(data for _stream, data in process)
    assert (process.rc, output) == (7, b"outlate") and clock.now_at - begun <= (deadline or EXIT_SECONDS) + 1
