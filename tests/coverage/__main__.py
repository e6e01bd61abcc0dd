# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the table of docs/test-coverage.md from a report of coverage.py: `python -m tests.coverage unit|all REPORT`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from ..support.environment import ROOT

PAGE = ROOT / "docs/test-coverage.md"
ENGINE = "plugins/module_utils/_engine/"
TESTS = {"unit": "the unit tests alone", "all": "the unit tests and the integration tests"}
COUNTS = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def room(path: str) -> str:
    """The part of the collection in which a file is: a directory or file of the engine, or a type of plugin."""
    parts = path.removeprefix(ENGINE).split("/")
    return f"_engine/{parts[0]}" if path.startswith(ENGINE) else "/".join(parts[:2])


def percentage(covered: int, count: int) -> str:
    """A share in percent; `–` of nothing."""
    return f"{100 * covered / count:.1f} %" if count else "–"


def table(report: dict[str, Any]) -> str:
    """A row for each part, the engine and everything."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * len(COUNTS))
    for path, measured in report["files"].items():
        counts = [measured["summary"][count] for count in COUNTS]
        for name in (room(path), *(["**the engine**"] if path.startswith(ENGINE) else []), "**everything**"):
            sums[name] = [before + more for before, more in zip(sums[name], counts, strict=True)]
    rows = sorted(sums.items(), key=lambda row: (row[0].startswith("**"), row[0]))
    lines = [
        f"| {name} | {statements} | {percentage(covered, statements)} | {branches} | {percentage(taken, branches)} |"
        for name, (covered, statements, taken, branches) in rows
        if statements
    ]
    return "\n".join(("| part of `plugins` | lines | run | branches | taken |", "| --- | --- | --- | --- | --- |", *lines))


def page(scope: str, report: dict[str, Any]) -> str:
    """The page, whose text is always the same."""
    return f"""# Coverage of the tests

Lines and branches that run during {TESTS[scope]}, measured by coverage.py {report["meta"]["version"]}. `make coverage` measures it and generates this page;
`make coverage SCOPE=unit` runs the unit tests only. The measurement fails if less than 92 % of the lines and branches of the engine are run.

{table(report)}

A line that runs is not yet a line that is tested: `make mutation` changes the engine in one place at a time, of which a unit test has to notice.
"""


if __name__ == "__main__":
    PAGE.write_text(page(sys.argv[1], json.loads(Path(sys.argv[2]).read_text())))
