# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`python -m tests.matrix`: run the tests marked `versions` with combinations of versions in which every two come together that can."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import shutil
import subprocess
from typing import Any

from ..cluster.build import KUBERNETES
from ..support.environment import ROOT
from . import page
from .combinations import AXES, VERSIONS, Combination, choose, find_pythons

ENVIRONMENTS, OUTPUT = ROOT / ".venv/matrix", ROOT / "tests/output/matrix"
EXACT = "import ansible.release, platform, kubernetes; print(ansible.release.__version__, platform.python_version(), kubernetes.__version__)"
SILENT = "tests/integration/test_connection.py::test_a_command_may_be_silent_for_minutes"  # which depends on no version
PYTEST = ("pytest", "tests/integration", "-m", "versions", "--deselect", SILENT, "--numprocesses", "4", "--dist", "loadgroup", "--no-loadscope-reorder")


def main() -> None:
    """Run the chosen combinations. Fails if a test failed; what could not be run is in the page."""
    parser = argparse.ArgumentParser(prog="make test-matrix", description=__doc__)
    pythons = find_pythons()
    for axis, versions in VERSIONS.items():
        # A cluster with another API server is built first, which takes minutes.
        usual = [version for version in versions if (axis != "python" or version in pythons) and (axis != "server" or version == versions[0])]
        parser.add_argument(f"--{axis}", nargs="+", choices=versions, default=usual, help=f"only these (default: {' '.join(usual)})")
    parser.add_argument("--list", action="store_true", help="print the combinations")
    parser.add_argument("--pytest", default="", help="more arguments of pytest; the result is not recorded")
    arguments = parser.parse_args()
    combinations = choose({axis: getattr(arguments, axis) for axis in AXES})
    if arguments.list:
        print(*combinations, sep="\n")
        return
    results, failed = page.read(), 0
    for number, combination in enumerate(combinations, 1):
        print(f"[{number}/{len(combinations)}] {combination}", flush=True)
        line = run(combination, pythons, shlex.split(arguments.pytest))
        print(f"[{number}/{len(combinations)}] {line}", flush=True)
        failed += line.get("failed", 0)
        if not arguments.pytest:
            results[combination] = line
            page.write(results, pythons)
    print(page.render(results, pythons))
    raise SystemExit(1 if failed else 0)


def run(combination: Combination, pythons: dict[str, str], arguments: list[str]) -> dict[str, Any]:
    """Run the tests with a combination. Returns its line in the record."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    line = {axis: getattr(combination, axis) for axis in AXES} | {"date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(), "commit": commit}
    if combination.python not in pythons:
        return line | {"missing": "no interpreter was found"}
    directory = ENVIRONMENTS / combination.name
    if why := install(combination, pythons[combination.python]):
        return line | {"missing": f"pip cannot install it: {why}"}
    OUTPUT.mkdir(parents=True, exist_ok=True)
    report, log = (OUTPUT / f"{combination.name}-server-{combination.server}.{kind}" for kind in ("json", "log"))
    report.unlink(missing_ok=True)
    environment = os.environ | cluster_variables(combination.server)
    environment |= {"PATH": f"{directory}/bin:{os.environ['PATH']}", "PODWRIGHT_COUNTS": str(report)}
    with log.open("wb") as sink:
        command = [ROOT / "tests/tools/with-test-cluster", directory / "bin/python", "-m", *PYTEST, *arguments]
        subprocess.run(command, cwd=ROOT, env=environment, stdout=sink, stderr=sink, check=False)
    counts = json.loads(report.read_text()) if report.exists() else {}
    if not counts.get("passed"):
        return line | {"missing": "no test passed", "failed": max(1, counts.get("failed", 0))}
    exact = subprocess.run([directory / "bin/python", "-c", EXACT], capture_output=True, text=True, check=True).stdout.split()
    if not counts["failed"] and not arguments:
        shutil.rmtree(directory)
    return line | counts | {"exact": [*exact, KUBERNETES[combination.server][0][1:]]}


def install(combination: Combination, python: str) -> str:
    """Create the environment of a combination. Returns why that is impossible, or an empty string."""
    kubernetes = "kubernetes" if combination.kubernetes == "newest" else f"kubernetes=={combination.kubernetes}.*"
    requirements = ["-r", "requirements.txt", "-r", "tests/integration/requirements.txt"]
    command = [ROOT / "tests/tools/make-venv", python, ENVIRONMENTS / combination.name, f"ansible-core=={combination.core}.*", kubernetes, *requirements]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip().splitlines()[-1] if done.returncode else ""


def cluster_variables(server: str) -> dict[str, str]:
    """The variables of the cluster with that API server: that of all tests, or one beside it."""
    if server == VERSIONS["server"][0]:
        return {}
    return {"PODWRIGHT_KUBERNETES": server, "PODWRIGHT_CLUSTER_STATE": f".cluster-{server}", "PODWRIGHT_CLUSTER_NUMBER": "7"}


if __name__ == "__main__":
    main()
