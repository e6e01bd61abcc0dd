# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Notes how many tests ran, for the closing line of `make test`."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Add this run's counts to those of the other checks."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # one of the workers: the counts are with who started them
        return
    counts = {name: len(reporter.stats.get(name, [])) for name in ("passed", "failed", "error")}
    suite = "integration" if any("integration" in argument for argument in session.config.args) else "unit"
    output = Path(__file__).parent / "output"
    output.mkdir(exist_ok=True)
    with (output / "results").open("a", encoding="utf-8") as sink:
        sink.write(f"{suite}: {counts['passed']} passed, {counts['failed'] + counts['error']} failed\n")
