# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The benchmark: how contenders are measured, and its tables and chart."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from ..bench.chart import draw
from ..bench.measuring import read_operation
from ..bench.model import LIMIT, OURS, PEER, RUNS, Contender, Curve, Goal, Plan, Row, Sample, fit_exponent, measure_curve, measure_row
from ..bench.page import BEGIN, CHART, END, publish, render
from ..support.environment import ROOT

GOALS = [Goal("× the limit", lambda found: found["ours"].seconds / found["bare"].seconds, 1.3), Goal("of the peer", lambda found: found["peer"].cpu, 1, "s")]


def runs(*seconds):
    """What takes these durations in turn."""
    samples = iter([Sample(one, one / 2, 1 << 20) for one in seconds])
    return lambda: next(samples)


def broken():
    raise RuntimeError("no | such\ncluster")


def row(*contenders, repeats=2):
    plan = Plan(contenders, GOALS, repeats, facts=lambda: {"requests": 7})
    return measure_row(Row("name", "the work", lambda bench: plan), plan)


@pytest.fixture(scope="module")
def measured():
    return row(Contender("bare", LIMIT, runs(9, 1, 1)), Contender("ours", OURS, runs(9, 2, 4)), Contender("peer", PEER, broken))


def report(*rows, curves=()):
    about = {"command": "make bench", "date": "2026-01-01", "commit": "abc", "machine": "2 cores", "versions": {"kubectl": "1"}, "absent": {"kr8s": "none"}}
    return about | {"rows": [*rows], "curves": [*curves]}


def cells(page, name):
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in page.splitlines() if line.startswith(f"| {name} |")]


def test_the_first_run_is_not_measured_and_the_median_counts(measured):
    bare, ours, _peer = measured["contenders"]
    assert (bare["seconds"], bare["runs"]) == (1, 2)
    assert (ours["seconds"], ours["low"], ours["high"], ours["cpu"]) == (3, 2, 4, 1.5)


def test_a_contender_that_fails_affects_neither_the_others_nor_their_goals(measured):
    assert "no | such cluster" in measured["contenders"][2]["error"]
    first, second = measured["goals"]
    assert (first["value"], first["met"]) == (3, False)
    assert (second["value"], second["met"]) == (None, None)


def test_an_operation_that_failed_is_not_a_measurement():
    sample = Sample(2, 1.5, 7)
    done = {"result": {"changed": False, "summary": None, "msg": None}, "seconds": 1, "peak": 9}
    assert read_operation(json.dumps(done), sample) == Sample(1, 1.5, 9)
    with pytest.raises(RuntimeError, match="no such option"):
        read_operation(json.dumps(done | {"result": done["result"] | {"msg": "no such option"}}), sample)


def test_an_absent_contender_is_not_run():
    assert row(Contender("peer", PEER, broken, absent="not installed"))["contenders"][0]["error"] == "not installed"


def test_a_slow_contender_is_not_run_again(monkeypatch):
    monkeypatch.setitem(measure_row.__globals__, "SECONDS", 0)
    found = row(Contender("slow", PEER, runs(50)))["contenders"][0]
    assert (found["seconds"], found["runs"]) == (50, 1)


def test_each_goal_is_a_line_of_the_table(measured):
    first, *_others = cells(render(report(measured)), "the work")
    assert first == ["the work", "3.00 s", "not measured", "bare 1.00 s", "at most 1.30 × the limit", "no: 3.00"]
    assert cells(render(report(measured)), "") == [["", "", "", "", "at most 1.00 s of the peer", "not measured"]]


def test_the_page_says_what_is_missing_and_what_failed(measured):
    failed = {"name": "other", "work": "other work", "contenders": [], "goals": [], "facts": {}, "error": "TimeoutError: 9 s"}
    page = render(report(measured, failed))
    assert "Not measured: kr8s (none)." in page and "- the work: requests 7." in page
    assert cells(page, "other work") == [["other work", "failed: TimeoutError: 9 s", "–", "–", "–", "–"]]
    assert ["the work", "peer", r"RuntimeError: no \| such cluster", "–", "–", "–"] in cells(page, "the work")


def test_only_what_is_generated_is_replaced():
    page = f"before\n{BEGIN}\n\nold\n\n{END}\nafter"
    assert publish(page, "new\n") == f"before\n{BEGIN}\n\n{CHART}\n\nnew\n\n{END}\nafter"
    assert BEGIN in (ROOT / "docs/performance.md").read_text() and END in (ROOT / "docs/performance.md").read_text()


def test_the_chart_has_a_mark_for_each_contender_in_the_colors_of_the_viewer(measured):
    empty = {"name": "other", "work": "other work", "contenders": [], "goals": []}
    picture = draw([measured, empty])
    root = ElementTree.fromstring(picture)  # noqa: S314
    titles = [one.text for one in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "ours: 3.00 s" in titles and "bare: 1.00 s" in titles and not any("peer:" in text for text in titles)
    assert "prefers-color-scheme:dark" in picture and "other work" not in picture
    ElementTree.fromstring(draw([]))  # noqa: S314


@pytest.mark.parametrize("exponent", [0.5, 1, 1.4, 2])
def test_the_exponent_is_that_of_the_growing_part(exponent):
    points = [(size, 3 + 0.01 * size**exponent) for size in (100, 500, 1000)]
    assert fit_exponent(points) == pytest.approx(exponent, abs=0.02)


def test_what_does_not_grow_has_the_exponent_0():
    assert fit_exponent([(1, 5), (2, 5), (3, 5)]) == 0


def test_each_size_of_a_curve_is_measured_after_a_warm_up():
    asked = []

    def prepare(_bench, size):
        asked.append(size)
        return lambda: Sample(size, size * 2, size << 20)

    curve = measure_curve(None, Curve("tasks", "tasks", (10, 20, 40), prepare))
    assert asked == [10, *[10] * RUNS, *[20] * RUNS, *[40] * RUNS] and curve["exponents"] == {"seconds": 1.0, "cpu": 1.0, "peak": 1.0}
    assert cells(render(report(curves=[curve])), "tasks")[0][:3] == ["tasks", "10 / 20 / 40", "10.0 / 20.0 / 40.0"]
