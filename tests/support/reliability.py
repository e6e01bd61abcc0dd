# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the tests that look for faults have tried, and what those that take long have shown: a line for each, from which docs/reliability.md is generated."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from .environment import ROOT, SCALE

LINES = ROOT / "tests/output/reliability.jsonl"
CHECKS = ("lost", "wrong", "hung", "shown")


def record_line(nodeid: str, faults: str, runs: int, checks: tuple[str, ...], seconds: float, figures: dict[str, Any], command: str = "") -> None:
    """Append what a passed test tried.

    Args:
        nodeid: pytest's name of the test.
        faults: what was tried, for the table.
        runs: how many times.
        checks: those of CHECKS of which the test has shown that there was none.
        seconds: the test's duration.
        figures: what was measured, {name: value}.
        command: what reproduces it, if that is not pytest.
    """
    given = {name: os.environ[name] for name in ("PODWRIGHT_SEED", "PODWRIGHT_CRASHES") if name in os.environ}
    scale = {"PODWRIGHT_SCALE": f"{SCALE:g}"} | given
    line = {"test": nodeid, "faults": faults, "runs": runs, "checks": checks, "seconds": round(seconds), "figures": figures, "scale": scale, "command": command}
    _append(line)


def record_long(reports: Iterable[pytest.TestReport]) -> None:
    """Append what each file of tests that take long has shown, from the reports of all phases of its tests; not of a file in which one did not pass."""
    files: dict[str, list[pytest.TestReport]] = {}
    for report in reports:
        files.setdefault(report.nodeid.partition("::")[0], []).append(report)
    for path, own in files.items():
        if all(report.passed for report in own):
            passed, seconds = sum(report.when == "call" for report in own), sum(report.duration for report in own)
            _append({"test": path, "passed": passed, "seconds": round(seconds)})


def _append(line: dict[str, Any]) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    line |= {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), "commit": commit}
    LINES.parent.mkdir(exist_ok=True)
    with LINES.open("a", encoding="utf-8") as sink:
        sink.write(json.dumps(line) + "\n")


def render(lines: list[dict[str, Any]]) -> str:
    """The page, with the newest line of each test; the parametrized forms of a test are one row, with the figures of the largest one."""
    rows: dict[str, dict[str, Any]] = {}
    newest = {line["test"]: line for line in lines}.values()
    for line in sorted((line for line in newest if "runs" in line), key=lambda line: line["runs"]):
        name = line["test"].partition("[")[0]
        known = rows.get(name)
        added = {} if known is None else {part: known[part] + line[part] for part in ("runs", "seconds")}
        rows[name] = line | added | {"test": name}
    head = "| faults tried | runs | lost | wrong | hung | shown | measured | seconds | date, commit | command |"
    tried = [head, "| --- " * (head.count("|") - 1) + "|", *(_row(rows[name]) for name in sorted(rows))]
    return "\n".join([*PREFACE, *tried, *LONG, *(_long_row(line) for line in sorted(newest, key=lambda line: line["test"]) if "passed" in line), ""])


PREFACE = [
    "# Reliability",
    "",
    "What was done to let Podwright lose data, report something wrong, hang, or show a secret. The tests fail at the first such case, so a line is here",
    "only with 0 of them; `–` means that the test does not look for it. `make reliability` runs the tests and generates this page.",
    "",
]


LONG = [
    "",
    "## Tests that take long",
    "",
    "They are not part of `make test`. `make test-long` runs them, against real components such as Kueue and SPIRE, and adds those files here in which every",
    "test has passed.",
    "",
    "| tests | passed | seconds | date, commit | command |",
    "| --- | --- | --- | --- | --- |",
]


def _long_row(line: dict[str, Any]) -> str:
    name = Path(line["test"]).stem.removeprefix("test_").replace("_", " ")
    command = f"`make test-long ARGS={line['test']}`"
    return f"| {name} | {line['passed']} | {line['seconds']} | {line['date']}, {line['commit']} | {command} |"


def _row(line: dict[str, Any]) -> str:
    path, _separator, name = line["test"].partition("::")
    assignments = "".join(f"{variable}={value} " for variable, value in line["scale"].items())
    command = line.get("command") or f"{assignments}make reliability ARGS='{path} -k {name}'"
    counts = ["0" if check in line["checks"] else "–" for check in CHECKS]
    measured = ", ".join(f"{name} {value}" for name, value in line["figures"].items()) or "–"
    cells = [line["faults"], f"{line['runs']:,}", *counts, measured, str(line["seconds"]), f"{line['date']}, {line['commit']}", f"`{command}`"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Generate docs/reliability.md from the lines of all runs and those that the page's own source keeps."""
    source = ROOT / "docs/reliability.jsonl"
    kept, tried = ([json.loads(text) for text in path.read_text().splitlines()] if path.exists() else [] for path in (source, LINES))
    again = {line["test"].partition("[")[0] for line in tried}  # a row is of one run: the forms of a test that were not run again are dropped
    newest = {line["test"]: line for line in [*(line for line in kept if line["test"].partition("[")[0] not in again), *tried]}
    source.write_text("".join(json.dumps(newest[test]) + "\n" for test in sorted(newest)))
    Path(ROOT / "docs/reliability.md").write_text(render(list(newest.values())))


if __name__ == "__main__":
    main()
