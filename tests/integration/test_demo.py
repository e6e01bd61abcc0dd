# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo, run twice as a new user runs it: the collection is installed from its tarball, outside of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ..support.environment import BIN, KUBECONFIG, ROOT
from ..support.playbooks import play_environment

NAMESPACE = "podwright-demo"
OLDEST = ROOT / ".venv/oldest"


@pytest.fixture
def installed(tmp_path):
    """A virtual environment with the oldest ansible-core; the collection is installed in its directory `collections` and nowhere else."""
    subprocess.run([str(BIN / "ansible-galaxy"), "collection", "build", "--output-path", str(tmp_path), str(ROOT)], check=True, capture_output=True)
    (tarball,) = tmp_path.glob("podwright-core-*.tar.gz")
    directory = ROOT / "tests/output/installed"
    shutil.rmtree(directory, ignore_errors=True)
    # Other tests compile files there: a temporary one may be renamed before it is linked.
    shutil.copytree(OLDEST, directory, symlinks=True, copy_function=os.link, ignore=shutil.ignore_patterns("*.pyc.*"))
    for checkout in directory.glob("lib/*/site-packages/ansible_collections/podwright"):
        shutil.rmtree(checkout)
    command = [str(directory / "bin/python"), str(directory / "bin/ansible-galaxy"), "collection", "install", "--offline"]
    subprocess.run([*command, "--collections-path", str(directory / "collections"), str(tarball)], check=True, capture_output=True, cwd=tmp_path)
    yield directory
    shutil.rmtree(directory)


def run(installed: Path, playbook: str, record: Path, *arguments: str, programs: Path | None = None) -> str:
    """Run a playbook of the installed collection, by default with its ansible-core, and return its output."""
    programs = programs or installed / "bin"
    command = [str(programs / "python"), str(programs / "ansible-playbook"), f"podwright.core.{playbook}", *arguments]
    environment = play_environment(record) | {"KUBECONFIG": KUBECONFIG, "ANSIBLE_COLLECTIONS_PATH": str(installed / "collections")}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300, cwd=record.parent)
    if done.returncode or "[DEPRECATION WARNING]" in done.stdout:
        pytest.fail(done.stdout[-4000:], pytrace=False)
    return done.stdout


@pytest.mark.usefixtures("client")
def test_the_second_demo_changes_nothing(installed, tmp_path):
    """The first runs with the oldest ansible-core, the second with the newest one."""
    record = tmp_path / "record"
    run(installed, "teardown", record, "-e", f"podwright_namespace={NAMESPACE}")
    output = tmp_path / "result" / "demo.txt"
    first = run(installed, "demo", record, "-e", f"demo_output={output}")
    second = run(installed, "demo", record, "-e", f"demo_output={output}", programs=BIN)
    run(installed, "teardown", record, "-e", f"podwright_namespace={NAMESPACE}")
    assert "changed=12 " in first and "changed=0 " in second and "failed=0" in second
    assert "Longest word" in first and "Longest word" in second
    table = [line for line in second.splitlines() if "count-" in line or "total" in line]
    assert len(table) == 9
    words = [int(line.split()[-3]) for line in table[:-1]]
    assert sum(words) == int(table[-1].split()[-2])
    assert sum(words) == int(output.read_text())
    assert (output.parent / "report.txt").read_text() == "The longest word is descriptions, with 12 letters.\n"
    assert any("  count-0 | " in line for line in first.splitlines())
