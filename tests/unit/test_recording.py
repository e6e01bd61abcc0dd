# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The recording of the README: what a terminal showed as an animated picture."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from ..recording.picture import PAUSE, Event, lines, picture
from ..support.environment import ROOT

GREEN = "#7ee787"


def texts(commands, columns=20):
    return ["".join(text for _colour, text in line.spans) for line in lines(commands, columns)[0]]


def test_commands_are_followed_by_their_output_in_its_colours():
    shown, _last = lines([("cat a", [Event(0.1, "one\r\n\x1b[0;32mt"), Event(0.2, "wo\x1b[0m!\r\n")])], 20)
    assert [line.spans for line in shown] == [[(GREEN, "$ "), ("#ffffff", "cat a")], [("", "one")], [(GREEN, "t"), (GREEN, "wo"), ("", "!")]]


def test_lines_are_wrapped_at_the_width_of_the_terminal():
    assert texts([("a", [Event(0, "0123456789\n")])], columns=4) == ["$ a", "0123", "4567", "89"]


def test_long_pauses_are_shortened_and_times_grow():
    shown, last = lines([("a", [Event(0, "one\n"), Event(60, "two\n")]), ("b", [])], 20)
    times = [line.time for line in shown]
    assert times == sorted(times) and round(shown[2].time - shown[1].time, 6) == PAUSE and last > times[-1]


def test_the_picture_is_xml_that_scrolls_without_scripts_and_escapes_text():
    svg = picture([("echo '<b>' && a", [Event(0, "".join(f"{number}\n" for number in range(9)))])], 40, 5)
    root = ElementTree.fromstring(svg)  # noqa: S314 - it is ours
    assert root.tag.endswith("svg") and "script" not in svg and "&lt;b&gt;" in svg
    assert re.search(r"translateY\(-90px\)", svg)  # ten lines in five rows of 18 pixels


def test_the_recording_shows_a_run_that_changes_and_one_that_does_not():
    text = "".join(ElementTree.fromstring((ROOT / "docs/images/recording.svg").read_text()).itertext())  # noqa: S314 - it is ours
    assert "build | compile" in text and "changed=1" in text and "changed=0" in text and "+    - for step in lint compile" in text
    assert not re.search(r"/(root|home|work|tmp)/", text)
