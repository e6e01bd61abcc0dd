# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lines of a command's output on the console."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_output import LONGEST_LINE, LiveLines, Output


class Lines:
    """A console that keeps the lines."""

    def __init__(self):
        self.lines = []

    def line(self, name, text):
        """Keep a line."""
        self.lines.append((name, text))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_are_shown_as_soon_as_they_are_complete_whatever_the_pieces(size):
    console, output, text = Lines(), Output(1000), "één\r\n\nlast".encode()
    with LiveLines(console, "web") as live:
        add = live.shown(output.add)
        for start in range(0, len(text), size):
            add(text[start : start + size])
        assert console.lines == [("web", "één"), ("web", "")], "before the command has finished"
    assert console.lines == [("web", "één"), ("web", ""), ("web", "last")] and output.content == text


def test_the_last_lines_are_shown_if_the_connection_is_lost():
    console = Lines()
    with pytest.raises(OSError, match="lost"), LiveLines(console, "") as live:
        live.shown(lambda piece: None)(b"half a li")
        raise OSError("lost")
    assert console.lines == [("", "half a li")]


def test_a_line_without_end_is_shown_in_pieces():
    console = Lines()
    with LiveLines(console, "") as live:
        add = live.shown(lambda piece: None)
        for _piece in range(5):
            add(b"x" * (LONGEST_LINE // 2 + 1))
    assert [len(text) for _name, text in console.lines] == [LONGEST_LINE + 2, LONGEST_LINE + 2, LONGEST_LINE // 2 + 1]


@pytest.mark.parametrize("limit", range(8))
def test_a_limit_splits_no_character(limit):
    output, text = Output(limit), "aé€🚢"
    output.add(text.encode())
    kept = output.content.decode()
    assert text.startswith(kept) and len(kept.encode()) <= limit < len((kept + text[len(kept)]).encode())


def test_what_is_no_text_is_cut_at_the_limit():
    output = Output(6)
    output.add(b"\xff" * 8)
    assert output.content == b"\xff" * 6


def test_without_a_console_the_output_is_only_kept():
    output = Output(4)
    with LiveLines(None, "web") as live:
        live.shown(output.add)(b"a\nb\nc\n")
    assert output.content == b"a\nb\n" and output.is_truncated
