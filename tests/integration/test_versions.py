# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Integration targets with the oldest supported versions; all other tests run with newer ones."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from ..support.environment import KUBECONFIG, ROOT
from ..support.playbooks import mode_variables, play_environment

OLDEST = ROOT / ".venv/oldest/bin"
TARGETS = Path(__file__).parent / "targets"


@pytest.mark.parametrize("mode", ["action", "module"])
@pytest.mark.parametrize("target", ["pod_exec", "pod_info"])
def test_targets_pass_with_the_oldest_versions(target, mode, namespace, tmp_path):
    record = tmp_path / "record"
    record.touch()
    environment = play_environment(record)
    versions = "import ansible.release, kubernetes; print(ansible.release.__version__, kubernetes.__version__)"
    shown = subprocess.run([OLDEST / "python", "-c", versions], env=environment, check=True, capture_output=True, text=True).stdout
    assert shown.split()[0].startswith("2.16.") and shown.split()[1].startswith("29."), shown
    defaults = {"group/podwright.core.all": {"namespace": namespace, "kubeconfig": KUBECONFIG}}
    tasks = yaml.safe_load((TARGETS / target / "tasks/main.yml").read_text())
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}], sort_keys=False))
    variables = {"test_namespace": namespace} | mode_variables(mode)
    command = [str(OLDEST / "ansible-playbook"), str(playbook), "--extra-vars", json.dumps(variables)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=tmp_path)
    if done.returncode:
        pytest.fail(done.stdout[-4000:], pytrace=False)
