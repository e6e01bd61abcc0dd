# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text, exit codes and arguments between operations and containers are not interpreted."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import Process
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import STDOUT, exit_code
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.log_lines import MAX_LINE, lines_of
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_exec import describe_output
from ansible_collections.podwright.core.plugins.module_utils._engine.text import decode, last_state
from ansible_collections.podwright.core.plugins.plugin_utils import _operation_action

from .local_pod import TOOLS, LocalPod


def test_invalid_utf8_is_replaced():
    assert decode(b"caf\xc3\xa9 \xff") == "caf\u00e9 \ufffd" and decode(bytearray(b"a")) == "a"


def test_lines_are_separated_by_line_feeds_alone():
    text = "a\u2028b\x0bc\x85d\r\n10 %\r20 %\n\nlast"
    assert describe_output(text.encode(), b"", True)["stdout_lines"] == ["a\u2028b\x0bc\x85d", "10 %\r20 %", "", "last"]


BAR = " 10 %\r 90 %\r100 %"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (BAR, "100 %"),
        (f"{BAR}\r", "100 %"),
        (f"\r{BAR}\r\x1b[K\r   \r", "100 %"),
        (" indented\r", " indented"),
        ("plain ", "plain "),
        ("\r\r", ""),
        ("", ""),
    ],
)
def test_a_line_that_is_overwritten_is_shown_in_its_last_state(line, shown, monkeypatch):
    found = []
    monkeypatch.setattr(_operation_action, "Display", lambda: SimpleNamespace(display=lambda text, **_options: found.append(text)))
    _operation_action.LiveConsole(silent=False).line("task", line)
    assert last_state(line) == shown and found == [f"  task | {shown}"]


def test_the_lines_of_a_play_with_several_hosts_name_theirs(monkeypatch):
    found = []
    monkeypatch.setattr(_operation_action, "Display", lambda: SimpleNamespace(display=lambda text, **_options: found.append(text)))
    monkeypatch.setattr(_operation_action, "PROGRESS_SECONDS", -1)
    console = _operation_action.LiveConsole(silent=False, host="db\x1b[31m1")
    for name in ("task", ""):
        console.line(name, "text")
    console.progress("1 of 2 pods ready")
    assert found == ["  [db1] task | text", "  [db1] | text", "  … [db1] 1 of 2 pods ready"]


@pytest.mark.parametrize(
    ("content", "stripped", "stripped_lines", "kept_lines"),
    [
        (b"", "", [], []),
        (b"\n", "", [], [""]),
        (b"\r\n\n", "", [], ["", ""]),
        (b"a", "a", ["a"], ["a"]),
        (b"a\n", "a", ["a"], ["a"]),
        (b"a\r\n", "a", ["a"], ["a"]),
        (b"a\n\n", "a", ["a"], ["a", ""]),
        (b"\n\na\n", "\n\na", ["", "", "a"], ["", "", "a"]),
        (b"a \t\n \n", "a \t\n ", ["a \t", " "], ["a \t", " "]),
    ],
)
def test_trailing_line_breaks_are_stripped_unless_kept(content, stripped, stripped_lines, kept_lines):
    fields = describe_output(content, content, strip=True)
    assert fields == {"stdout": stripped, "stdout_lines": stripped_lines, "stderr": stripped, "stderr_lines": stripped_lines}
    fields = describe_output(content, content, strip=False)
    kept = content.decode()
    assert fields == {"stdout": kept, "stdout_lines": kept_lines, "stderr": kept, "stderr_lines": kept_lines}


@given(st.binary(max_size=50), st.booleans())
def test_output_that_is_not_text_is_complete_in_base64(content, strip):
    fields = describe_output(content, b"", strip)
    whole = base64.b64decode(fields["stdout_b64"]) if "stdout_b64" in fields else content
    assert whole == content and ("stdout_b64" in fields) == (content.decode(errors="replace").encode() != content)
    assert strip or fields["stdout"] == content.decode(errors="replace")


@pytest.mark.parametrize("code", ["\u00b2", "9" * 5000, "256", "-1", ""])
def test_invalid_exit_code_is_an_error(code):
    causes = [{"reason": "ExitCode", "message": code}]
    with pytest.raises(PodwrightError):
        exit_code({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}})


@pytest.mark.parametrize("tools", TOOLS)
@pytest.mark.parametrize("name", ["-P", "--", "-"])
def test_names_that_start_with_a_dash_are_not_options(name, tools, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    pod = LocalPod(tools, tmp_path / "bin", monkeypatch)
    for words, expected in ((["pwd"], {str(tmp_path / name)}), (["env"], {"--chdir=/", "-i=", "YES=true"})):
        command = Command(words, chdir=name, env={"--chdir": "/", "-i": None, "YES": True})
        with Process(pod.client, pod.container, command) as process:
            said = b"".join(data for stream, data in process if stream == STDOUT).decode().split("\n")
        assert process.rc == 0 and expected <= set(said)


def test_overlong_line_is_split_in_linear_time():
    chunks = [bytes(1 << 16)] * 1024
    response = SimpleNamespace(stream=lambda size: iter([b"a\nb", b"c\n", b"\n", *chunks, b"x\ny"]))
    lines = [piece.content for piece in lines_of(response)]
    assert lines[:3] == [b"a", b"bc", b""] and lines[-1] == b"y" and max(map(len, lines)) <= MAX_LINE
    assert sum(map(len, lines[3:-1])) == (64 << 20) + 1
