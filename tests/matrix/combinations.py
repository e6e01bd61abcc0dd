# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which versions are tested together."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..cluster.build import KUBERNETES
from ..support.covering import covering_pairs
from ..support.environment import ROOT

# The versions of Python on which ansible-core runs, as its documentation has them; pip installs some on others, too.
CORES = {
    "2.16": ("3.10", "3.11", "3.12"),
    "2.17": ("3.10", "3.11", "3.12"),
    "2.18": ("3.11", "3.12", "3.13"),
    "2.19": ("3.11", "3.12", "3.13"),
    "2.20": ("3.12", "3.13", "3.14"),
    "2.21": ("3.12", "3.13", "3.14"),
}
VERSIONS = {
    "core": list(CORES),
    "python": ["3.10", "3.11", "3.12", "3.13", "3.14"],
    "kubernetes": ["29", "31", "34", "newest"],
    "server": list(KUBERNETES),
}
Pair = tuple[tuple[str, str], tuple[str, str]]  # of axes and versions, in the order of VERSIONS


@dataclass(frozen=True)
class Combination:
    """Versions of ansible-core, Python, the library `kubernetes` and the API server."""

    core: str
    python: str
    kubernetes: str
    server: str

    @property
    def name(self) -> str:
        """The name of its environment, which does not depend on the API server."""
        return f"core-{self.core}-python-{self.python}-kubernetes-{self.kubernetes}"

    def pairs(self) -> set[Pair]:
        """The pairs of versions that come together in it."""
        return set(itertools.combinations(asdict(self).items(), 2))


AXES = tuple(field.name for field in fields(Combination))


def find_pythons() -> dict[str, str]:
    """{version: path} of the interpreters on this machine."""
    listed = subprocess.run([ROOT / "tests/tools/find-python"], check=True, capture_output=True, text=True).stdout
    return dict(line.split(maxsplit=1) for line in listed.splitlines())


def choose(versions: dict[str, list[str]]) -> list[Combination]:
    """Combinations in which every two of the versions come together that can. Raises: SystemExit if there are none."""
    cores = [core for core in versions["core"] if set(CORES[core]) & set(versions["python"])]
    pythons = [python for python in versions["python"] if any(python in CORES[core] for core in cores)]
    if not cores:
        raise SystemExit("ansible-core of these versions does not run on these versions of Python.")
    rows = covering_pairs(versions | {"core": cores, "python": pythons}, _contradict)
    return sorted((Combination(**row) for row in rows), key=lambda row: [VERSIONS[axis].index(getattr(row, axis)) for axis in ("server", *AXES)])


def missing_pairs(tested: Iterable[Combination]) -> list[Pair]:
    """The pairs of versions that come together in no tested combination."""
    couples = (((one, i), (other, j)) for one, other in itertools.combinations(VERSIONS, 2) for i in VERSIONS[one] for j in VERSIONS[other])
    covered = set().union(*(combination.pairs() for combination in tested))
    return [couple for couple in couples if not _contradict(dict(couple)) and couple not in covered]


def _contradict(option: dict[str, Any]) -> bool:
    return {"core", "python"} == option.keys() and option["python"] not in CORES[option["core"]]
