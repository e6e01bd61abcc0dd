# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbooks of molecule's scenario without molecule, for the versions with which it does not run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.environment import KUBECONFIG, ROOT
from ..support.playbooks import play_environment

pytestmark = [pytest.mark.versions, pytest.mark.long, pytest.mark.serial]  # molecule uses the same names

SCENARIO = ROOT / "tests/molecule/default"


def test_the_roles_converge_change_nothing_again_and_delete_what_they_created(tmp_path):
    changes = {}
    for number, name in enumerate(("converge", "converge", "verify", "cleanup")):
        command = [Path(sys.executable).with_name("ansible-playbook"), SCENARIO / f"{name}.yml"]
        environment = play_environment(tmp_path / "record") | {"KUBECONFIG": KUBECONFIG}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path)
        assert done.returncode == 0 and "[DEPRECATION WARNING]" not in done.stderr, done.stdout[-4000:] + done.stderr[-2000:]
        changes[number] = sum(map(int, re.findall(r"changed=(\d+)", done.stdout)))
    assert changes[0] > 0 and changes[1] == 0 and changes[3] > 0  # verifying runs a task
