# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo, run twice as a new user runs it."""

from __future__ import annotations

import subprocess

import pytest

from ..support.environment import KUBECONFIG, ROOT
from ..support.playbooks import play_environment

NAMESPACE = "podwright-demo"


def run(playbook, record, *arguments):
    """Run a playbook of the collection and return its output."""
    command = [str(ROOT / ".venv/bin/ansible-playbook"), f"podwright.core.{playbook}", *arguments]
    environment = play_environment(record) | {"KUBECONFIG": KUBECONFIG}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300)
    if done.returncode:
        pytest.fail(done.stdout[-4000:], pytrace=False)
    return done.stdout


@pytest.mark.xdist_group("demo")
@pytest.mark.usefixtures("client")
def test_the_second_demo_changes_nothing(tmp_path):
    record = tmp_path / "record"
    run("teardown", record, "-e", f"podwright_namespace={NAMESPACE}")
    output = tmp_path / "result" / "demo.txt"
    first = run("demo", record, "-e", f"demo_output={output}")
    second = run("demo", record, "-e", f"demo_output={output}")
    run("teardown", record, "-e", f"podwright_namespace={NAMESPACE}")
    assert "changed=12 " in first and "changed=0 " in second and "failed=0" in second
    table = [line for line in second.splitlines() if "count-" in line or "total" in line]
    assert len(table) == 9
    words = [int(line.split()[-3]) for line in table[:-1]]
    assert sum(words) == int(table[-1].split()[-2])
    assert sum(words) == int(output.read_text())
    assert (output.parent / "report.txt").read_text() == "The longest word is descriptions, with 12 letters.\n"
    assert any("  count-0 | " in line for line in first.splitlines())
