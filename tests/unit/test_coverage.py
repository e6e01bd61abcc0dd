# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docs/coverage.md: each option of each module and role is part of a feature, described by a guide and used by a test."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from ..support.documents import read_yaml
from ..support.environment import ROOT
from .test_documentation import MODULES, documented_options

PAGE = ROOT / "docs/coverage.md"
OPTIONS = {path.stem: set(documented_options(path)) for path in MODULES}
CONNECTION = set.intersection(*OPTIONS.values())  # those of every module, `namespace` among them
ROLES = {path.parents[1].name: path for path in ROOT.glob("roles/*/meta/argument_specs.yml")}
OPTIONS |= {role: set(read_yaml(path.read_text())["argument_specs"]["main"]["options"]) for role, path in ROLES.items()}
PLAYBOOKS = sorted(path.stem for path in ROOT.glob("playbooks/*.yml"))


class Row(NamedTuple):
    """A feature, the options of each module that it consists of, and the files of its guide and its tests."""

    feature: str
    options: dict[str, list[str]]
    guides: list[str]
    tests: list[str]


def read_options(cell: str) -> dict[str, list[str]]:
    """The options in a cell such as ``` `pod_logs`, `pod_info`: `name`, `kind`; `pod_gc`: `limit` ```; every module has those after `all`."""
    options: dict[str, list[str]] = {}
    for part in cell.split(";"):
        modules, _colon, names = part.partition(":")
        for module in OPTIONS.keys() - ROLES.keys() if modules.strip() == "all" else re.findall(r"`(\w+)`", modules):
            options.setdefault(module, []).extend(re.findall(r"`(\w+)`", names))
    return options


def rows() -> list[Row]:
    found = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ") and not line.startswith(("| feature", "| ---"))]
    return [Row(cells[0].strip(), read_options(cells[1]), re.findall(r"\]\((\S+)\)", cells[2]), re.findall(r"`(\S+)`", cells[3])) for cells in found]


ROWS = rows()


def text_of(name: str) -> str:
    """The text of a test, or of the files of an integration target."""
    path = ROOT / "tests" / name
    files = sorted(path.rglob("*.yml")) if path.is_dir() else [path]
    return "\n".join(file.read_text() for file in files)


def missing(names: list[str], text: str, prefix: str = "") -> list[str]:
    """The names that the text does not contain, with or without the prefix, which tests of a role add to all of its variables."""
    return [name for name in names if not re.search(rf"\b({name}|{name.removeprefix(prefix)})\b", text)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.feature)
def test_options_of_a_feature_are_described_by_its_guide_and_used_by_its_tests(row: Row):
    assert row.guides and row.tests
    guide = "\n".join((ROOT / "docs" / name.partition("#")[0]).read_text() for name in row.guides)
    tests = "\n".join(map(text_of, row.tests))
    for module, names in row.options.items():
        assert not set(names) - OPTIONS[module], f"{module} has no such option"
        assert not missing(names, guide), f"{row.guides} do not describe them"
        assert not missing(names, tests, f"{module}_"), f"{row.tests} do not use them"


@pytest.mark.parametrize("module", sorted(OPTIONS))
def test_each_option_belongs_to_a_feature(module: str):
    assert not OPTIONS[module] - {name for row in ROWS for name in row.options.get(module, [])}


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_each_playbook_is_a_feature_described_by_a_guide_and_run_by_a_test(playbook: str):
    (line,) = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and f"`podwright.core.{playbook}`" in line.split("|")[2]]
    cells = line.strip("|").split("|")
    guides = [(ROOT / "docs" / name).read_text() for name in re.findall(r"\]\((\S+)\)", cells[2])]
    assert any(f"podwright.core.{playbook}" in guide or f"make {playbook}" in guide for guide in guides)
    assert any(re.search(rf"\b{playbook}\b", text_of(name)) for name in re.findall(r"`(\S+)`", cells[3]))
