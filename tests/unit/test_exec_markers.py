# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The markers of a shell are found in output that arrives in any pieces, and everything else is output."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_markers import START_LIMIT, Exited, Markers, Started

TOKEN = "feedfacefeedface"
START, EXIT = f"{TOKEN}:12\n".encode(), f"{TOKEN}:end:7\n".encode()
MARKER_LIKE = [b"feed", TOKEN.encode(), b":12\n", f"{TOKEN}:".encode(), f"{TOKEN}:end:".encode(), f"{TOKEN}:end:7".encode(), b"\r", b"\n", b"\r\n"]
# Output that contains beginnings of markers, but never a whole one: each piece that could complete one starts with a character that cannot.
OUTPUT = st.lists(st.sampled_from([b"/" + text for text in MARKER_LIKE]) | st.binary(max_size=20).map(lambda data: b"/" + data), max_size=10).map(b"".join)


def read(data, sizes=()):
    """The events in the data, which arrives in pieces of these sizes, and the output that is left at its end."""
    markers = Markers(TOKEN)
    events = []
    for size in [*sizes, len(data)]:
        piece, data = data[:size], data[size:]
        if piece:
            events += markers.feed(piece)
    return events, markers.finish()


def output_of(events):
    """The output among the events."""
    return b"".join(event for event in events if isinstance(event, bytes))


def reports_of(events):
    """The events that are not output."""
    return [event for event in events if not isinstance(event, bytes)]


@given(OUTPUT, OUTPUT, OUTPUT, st.lists(st.integers(1, 40), max_size=60))
def test_markers_are_found_in_any_pieces(before, between, after, sizes):
    events, rest = read(before + START + between + EXIT + after, sizes)
    assert reports_of(events) == [Started(12), Exited(7)]
    assert output_of(events) + rest == before + between + after
    assert output_of(events[: events.index(Exited(7))]) == before + between


@given(OUTPUT, st.lists(st.integers(1, 40), max_size=60))
def test_output_without_exit_marker_is_complete(output, sizes):
    events, rest = read(START + output, sizes)
    assert reports_of(events) == [Started(12)] and output_of(events) + rest == output


@given(OUTPUT, st.lists(st.integers(1, 40), max_size=60))
def test_output_without_any_marker_is_complete(output, sizes):
    events, rest = read(output, sizes)
    assert events == [] and rest == output


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_markers_split_at_every_byte(line_end):
    for code in (7, 255):
        start, end = START.replace(b"\n", line_end), f"{TOKEN}:end:{code}".encode() + line_end
        data = start + b"no line feed" + end + b"more"
        for cut in range(len(data) + 1):
            events, rest = read(data, [cut])
            assert reports_of(events) == [Started(12), Exited(code)]
            assert output_of(events) + rest == b"no line feedmore"


@pytest.mark.parametrize("code", [0, 1, 9, 10, 99, 100, 126, 127, 137, 255])
def test_exit_codes(code):
    events, rest = read(START + f"{TOKEN}:end:{code}\n".encode(), [1] * 100)
    assert events == [Started(12), Exited(code)] and rest == b""


@pytest.mark.parametrize("tail", [b":end:\n", b":end:x\n", b":end:1000\n", b":end:7\rx\n", b":end7\n", b":endless\n", b":end:7 \n", b"0:end:7\n", b":end:-1\n"])
def test_lines_like_the_exit_marker_are_output(tail):
    output = TOKEN.encode() + tail
    for sizes in ([], [1] * len(START + output)):
        events, rest = read(START + output + b"x", sizes)
        assert reports_of(events) == [Started(12)] and output_of(events) + rest == output + b"x"


@pytest.mark.parametrize("tail", [b":\n", b":x\n", b":12345678901\n", b":12\rx", b"12\n", b":-1\n"])
def test_lines_like_the_start_marker_are_output(tail):
    events, rest = read(TOKEN.encode() + tail + START + b"x")
    assert events == [Started(12), TOKEN.encode() + tail + b"x"] and rest == b""


def test_output_after_the_exit_marker_is_not_searched():
    events, rest = read(START + EXIT + EXIT + START)
    assert events == [Started(12), Exited(7), EXIT + START] and rest == b""
    events, rest = read(START + EXIT + EXIT + START, [len(START + EXIT), len(EXIT)])
    assert events == [Started(12), Exited(7), EXIT, START] and rest == b""


def test_a_token_of_another_command_is_output():
    other = EXIT.replace(b"feed", b"beef")
    events, rest = read(START + other)
    assert reports_of(events) == [Started(12)] and output_of(events) + rest == other


@pytest.mark.parametrize("size", [1000, 1 << 15, START_LIMIT, 1 << 20])
def test_command_counts_as_started_without_a_marker_after_the_limit(size):
    markers = Markers(TOKEN)
    piece, events = b"x" * size, []
    while not markers.has_started:
        events += markers.feed(piece)
    assert events[0] == Started(None) and len(output_of(events)) <= START_LIMIT + size
    assert markers.feed(START + EXIT) == [START, Exited(7)]


def test_output_is_held_back_up_to_the_limit_before_the_command_counts_as_started():
    markers = Markers(TOKEN)
    assert markers.feed(b"x" * (START_LIMIT - 1)) == [] and not markers.has_started
    assert markers.feed(b"x") == [Started(None), b"x" * START_LIMIT] and markers.has_started


@pytest.mark.parametrize("output", [b"\n" * (1 << 16), f"{TOKEN}:end:7".encode() * 5000, bytes(range(256)) * 300])
def test_little_is_held_back_of_large_output(output):
    markers = Markers(TOKEN)
    markers.feed(START)
    passed = b""
    for at in range(0, len(output), 1 << 12):
        passed += output_of(markers.feed(output[at : at + (1 << 12)]))
        assert len(passed) >= min(len(output), at + (1 << 12)) - len(EXIT) - 4
    assert passed + markers.finish() == output


INPUT = {"source": lambda: iter([b"in"]), "size": 2}
WAYS = {
    "no input": ({"timeout": 9}, None, 3),
    "terminal without input": ({"timeout": 9, "tty": True}, None, 3),
    "terminal": (INPUT | {"tty": True}, None, 3),
    "input of unknown size": ({"source": INPUT["source"]}, None, 3),
    "input that the shell closes": (INPUT, 2, None),
    "bounded input": (INPUT | {"is_bounded": True}, None, 3),
}


@pytest.mark.parametrize(("options", "size", "reported"), WAYS.values(), ids=WAYS)
def test_a_shell_writes_what_is_read(options, size, reported, tmp_path):
    command = Command(["sh", "-c", "pwd; cat; echo problem >&2; exit 3"], chdir=str(tmp_path), env={"A": True}, **options)
    markers = Markers(TOKEN)
    done = subprocess.run(markers.wrap(command, size), input=b"in" if command.source else b"", capture_output=True, check=False)
    events = markers.feed(done.stderr)
    started, *exited = reports_of(events)
    assert done.returncode == 3 and done.stdout == f"{tmp_path}\n{'in' if command.source else ''}".encode()
    assert isinstance(started, Started) and started.pid and exited == ([Exited(reported)] if reported else [])
    assert output_of(events) + markers.finish() == b"problem\n"


def test_bounded_input_reports_failures_only():
    command = Command(["true"], INPUT["source"], 2, is_bounded=True)
    for words, expected in ((["true"], []), (["false"], [Exited(1)])):
        markers = Markers(TOKEN)
        done = subprocess.run(markers.wrap(replace(command, words=words)), input=b"in", capture_output=True, check=False)
        assert reports_of(markers.feed(done.stderr))[1:] == expected


def test_a_missing_directory_is_an_exit_code_of_the_shell(tmp_path):
    markers = Markers(TOKEN)
    done = subprocess.run(markers.wrap(Command(["true"], chdir=str(tmp_path / "missing"))), capture_output=True, check=False)
    events = markers.feed(done.stderr)
    assert done.returncode in (1, 2) and b"missing" in output_of(events)
