# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Combinations of versions, and the page about them."""

from __future__ import annotations

import pytest

from tests.matrix.combinations import CORES, VERSIONS, Combination, choose, missing_pairs
from tests.matrix.page import render

LINE = {"date": "2026-11-26", "commit": "abc", "exact": ["2.21.5", "3.13.0", "37.0.2", "1.36.3"], "passed": 9, "failed": 0, "skipped": 0}


def test_every_two_versions_come_together_if_they_can():
    combinations = choose(VERSIONS)
    assert missing_pairs(combinations) == []
    assert all(combination.python in CORES[combination.core] for combination in combinations)
    assert set(missing_pairs(combinations[1:])) <= combinations[0].pairs()


def test_versions_that_do_not_go_together_are_refused():
    (only,) = choose(VERSIONS | {"core": ["2.16", "2.21"], "python": ["3.10"], "kubernetes": ["29"], "server": ["1.36"]})
    assert only == Combination("2.16", "3.10", "29", "1.36")
    with pytest.raises(SystemExit, match="does not run on these versions of Python"):
        choose(VERSIONS | {"core": ["2.21"], "python": ["3.10"]})


def test_the_page_names_what_was_not_tested():
    pythons = {version: "/python" for version in VERSIONS["python"] if version != "3.14"}
    tested = dict.fromkeys(choose(VERSIONS | {"python": list(pythons)}), LINE)
    page = render(tested, pythons)
    assert page.endswith("\nNot tested: Python 3.14 (no interpreter was found).\n")
    assert "| 2.21.5 | 3.13.0 | 37.0.2 | 1.36.3 | 9 passed | 2026-11-26, abc |" in page
    failed = next(iter(tested))
    page = render({failed: LINE | {"failed": 2}}, pythons)
    assert "| 2 failed, 9 passed |" in page and "Not tested: ansible-core 2.16, ansible-core 2.17," in page
    two = [Combination("2.21", "3.13", "29", "1.36"), Combination("2.21", "3.12", "34", "1.36")]
    page = render(dict.fromkeys(two, LINE), pythons)
    assert page.endswith("not with |\n| --- | --- |\n| Python 3.12 | kubernetes 29 |\n| Python 3.13 | kubernetes 34 |\n")
    missing = {"date": "2026-11-26", "commit": "abc", "missing": "no interpreter was found"}
    assert "| 2.21 | 3.14 | 29 | 1.36 | no interpreter was found |" in render({Combination("2.21", "3.14", "29", "1.36"): missing}, pythons)
