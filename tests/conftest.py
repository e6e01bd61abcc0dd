# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Notes how many tests ran, for the closing line of `make test`, and what those that look for faults have tried."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .support.reliability import CHECKS, record_line, record_long


@pytest.hookimpl(tryfirst=True)  # before pytest selects by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that declare what they have tried, and those whose inputs are generated."""
    for item in items:
        is_tried = "tried" in getattr(item, "fixturenames", ())
        if is_tried:
            item.add_marker(pytest.mark.tried)
        if is_tried or getattr(getattr(item, "function", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.search)


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """A function by which a test declares what it has tried, for docs/reliability.md: faults, runs, checks (of CHECKS) and figures by name.

    Runs of the same faults are added up.
    """
    declared: dict[str, dict[str, Any]] = {}
    started, failed_before = time.monotonic(), request.session.testsfailed

    def declare(faults: str, runs: int, *checks: str, **figures: Any) -> None:
        assert set(checks) <= set(CHECKS)
        known = declared.setdefault(faults, {"faults": faults, "runs": 0, "checks": checks, "figures": {}})
        known["runs"] += runs
        known["figures"] |= figures

    yield declare
    for line in declared.values() if request.session.testsfailed == failed_before else ():
        record_line(request.node.nodeid.partition("@")[0], seconds=time.monotonic() - started, **line)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Add this run's counts to those of the other checks."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or "PYTEST_XDIST_WORKER" in os.environ:  # the counts of workers are with who started them
        return
    counts = {name: len(reporter.stats.get(name, [])) for name in ("passed", "failed", "error")}
    if path := os.environ.get("PODWRIGHT_COUNTS"):  # of tests/matrix
        skipped = len(reporter.stats.get("skipped", []))
        Path(path).write_text(json.dumps({"passed": counts["passed"], "failed": counts["failed"] + counts["error"], "skipped": skipped}))
        return
    is_whole = exitstatus <= pytest.ExitCode.TESTS_FAILED and not any("::" in argument for argument in session.config.args)
    if session.config.option.markexpr == "long" and not session.config.option.keyword and is_whole:
        record_long(report for reports in reporter.stats.values() for report in reports if isinstance(report, pytest.TestReport))
    suite = "integration" if any("integration" in argument for argument in session.config.args) else "unit"
    output = Path(__file__).parent / "output"
    output.mkdir(exist_ok=True)
    with (output / "results").open("a", encoding="utf-8") as sink:
        sink.write(f"{suite}: {counts['passed']} passed, {counts['failed'] + counts['error']} failed\n")
