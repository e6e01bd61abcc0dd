# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page about what was tried: it contains what has passed, and the figures of the largest run."""

from __future__ import annotations

import json

from pytest import TestReport

from ..support import reliability
from ..support.reliability import record_line, record_long, render


def test_the_page_has_a_row_for_each_test_and_for_each_file_in_which_all_passed(tmp_path, monkeypatch):
    lines = tmp_path / "output/lines"
    monkeypatch.setattr(reliability, "LINES", lines)
    for size, vain in ((20000, "1.3%"), (500, "1.8%")):
        record_line(f"tests/a.py::test_pairs[{size}]", "pairs", size, ("wrong",), 2.4, {"needless": vain})
    good, bad = "tests/integration/test_queues.py", "tests/integration/test_keda.py"
    tests = [(good, "a", "setup", "passed", 1.2), (good, "a", "call", "passed", 1.6), (good, "b", "call", "passed", 1)]
    tests += [(bad, "a", "call", "passed", 5), (bad, "a", "teardown", "failed", 1), ("tests/integration/test_x.py", "a", "setup", "skipped", 0)]
    record_long(TestReport(f"{path}::{name}", (path, 1, name), {}, outcome, None, when, duration=took) for path, name, when, outcome, took in tests)
    page = render([json.loads(line) for line in lines.read_text().splitlines()])
    (pairs,) = [line for line in page.splitlines() if line.startswith("| pairs")]
    assert pairs.startswith("| pairs | 20,500 | – | 0 | – | – | needless 1.3% | 4 | ") and pairs.endswith("ARGS='tests/a.py -k test_pairs'` |")
    (queues,) = [line for line in page.splitlines() if "make test-long ARGS" in line]
    assert queues.startswith("| queues | 2 | 4 | ") and queues.endswith(f"| `make test-long ARGS={good}` |")
