# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Integration targets with the oldest supported versions; all other tests run with newer ones."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from ..support.environment import CORES, KUBECONFIG
from ..support.playbooks import MODES, mode_variables

TARGETS = Path(__file__).parent / "targets"


# With the oldest version test_playbooks and test_user_input run actions.
@pytest.mark.parametrize("mode", [pytest.param(mode, marks=pytest.mark.long if mode == "action" else ()) for mode in MODES])
@pytest.mark.parametrize("core", ["oldest"], indirect=True)
def test_targets_pass_with_the_oldest_versions(core, mode, playbooks_of, namespace, tmp_path):
    versions = "import ansible.release, kubernetes; print(ansible.release.__version__, kubernetes.__version__)"
    shown = subprocess.run([CORES[core] / "python", "-c", versions], check=True, capture_output=True, text=True).stdout
    assert shown.split()[0].startswith("2.16.") and shown.split()[1].startswith("29."), shown
    defaults = {"group/podwright.core.all": {"namespace": namespace, "kubeconfig": KUBECONFIG}}
    tasks = [task for target in ("pod_exec", "pod_info") for task in yaml.safe_load((TARGETS / target / "tasks/main.yml").read_text())]
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}], sort_keys=False))
    server = playbooks_of(core)
    variables = {"test_namespace": namespace} | mode_variables(mode, server.interpreter)
    server.start([str(playbook), "--extra-vars", json.dumps(variables)], tmp_path, {}).finish(300).check()
