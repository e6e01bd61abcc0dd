# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docs/versions.md: which combinations were tested, and which pairs of versions were not."""

from __future__ import annotations

import json
from typing import Any

from ..support.environment import ROOT
from .combinations import AXES, CORES, VERSIONS, Combination, missing_pairs

PAGE, RECORD = ROOT / "docs/versions.md", ROOT / "docs/versions.jsonl"
TITLES = {"core": "ansible-core", "python": "Python", "kubernetes": "kubernetes", "server": "API server"}
PREFACE = """# Supported versions

Podwright supports these versions of ansible-core, on the versions of Python on which ansible-core runs:

| ansible-core | Python |
| --- | --- |
"""
TESTED = """
It needs version 29 or later of the library `kubernetes`, and a cluster of a minor version that the Kubernetes project supports.

## Tested combinations

In each combination run all modules as action and as module, the commands of the playbooks, the roles and the connection plugin, on a real cluster. A
deprecation warning is a failure. `make test-matrix` runs the tests and generates this page.

"""
Line = dict[str, Any]


def read() -> dict[Combination, Line]:
    """The last result of each combination."""
    lines = [json.loads(text) for text in RECORD.read_text().splitlines()] if RECORD.exists() else []
    return {Combination(**{axis: line[axis] for axis in AXES}): line for line in lines}


def write(results: dict[Combination, Line], pythons: dict[str, str]) -> None:
    """Write the results and the page. `pythons` are the interpreters on this machine."""
    RECORD.write_text("".join(f"{json.dumps(results[combination])}\n" for combination in sorted(results, key=_place)))
    PAGE.write_text(render(results, pythons))


def render(results: dict[Combination, Line], pythons: dict[str, str]) -> str:
    """The page."""
    supported = "".join(f"| {core} | {', '.join(versions)} |\n" for core, versions in CORES.items())
    head = f"| {' | '.join(TITLES.values())} | tests | date, commit |\n{'| --- ' * 6}|\n"
    rows = "".join(_row(combination, results[combination]) for combination in sorted(results, key=_place))
    passed = [combination for combination, line in results.items() if line.get("passed") and not line["failed"]]
    return PREFACE + supported + TESTED + head + rows + _untested(passed, pythons)


def _row(combination: Combination, line: Line) -> str:
    versions = line.get("exact") or [getattr(combination, axis) for axis in AXES]
    failed = f"{line['failed']} failed, " if line.get("failed") else ""
    tests = line.get("missing") or f"{failed}{line['passed']} passed" + (f", {line['skipped']} skipped" if line["skipped"] else "")
    return f"| {' | '.join([*versions, tests])} | {line['date']}, {line['commit']} |\n"


def _untested(passed: list[Combination], pythons: dict[str, str]) -> str:
    """What no combination has tested: versions, and pairs of versions that were tested with others."""
    tested = {(axis, getattr(combination, axis)) for combination in passed for axis in AXES}
    alone = [(axis, version) for axis in AXES for version in VERSIONS[axis] if (axis, version) not in tested]
    why = {("python", version): " (no interpreter was found)" for version in VERSIONS["python"] if version not in pythons}
    names = [_title(version) + why.get(version, "") for version in alone]
    apart: dict[str, list[str]] = {}
    for one, other in missing_pairs(passed):
        if one not in alone and other not in alone:
            apart.setdefault(_title(one), []).append(_title(other))
    rows = "".join(f"| {one} | {', '.join(others)} |\n" for one, others in apart.items())
    table = f"\nTested, but not together:\n\n| version | not with |\n| --- | --- |\n{rows}" if rows else ""
    return (f"\nNot tested: {', '.join(names)}.\n" if names else "") + table


def _title(version: tuple[str, str]) -> str:
    return f"{TITLES[version[0]]} {version[1]}"


def _place(combination: Combination) -> list[int]:
    return [VERSIONS[axis].index(getattr(combination, axis)) for axis in ("server", *AXES)]
