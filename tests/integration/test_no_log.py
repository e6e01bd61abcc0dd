# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""With no_log no output of a container is printed, on the oldest and the newest ansible-core, of which some print `msg` regardless."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from ..support.environment import CORES, KUBECONFIG
from ..support.playbooks import mode_variables, play_environment
from ..support.pods import start_pod

CANARY = "canary-5Zt9"
POD = {"image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 0}
SERVER = f"while :; do printf 'HTTP/1.0 500 Sorry\\r\\n\\r\\n{CANARY}' | nc -lp 8080; done"
FAILING = {
    "pod_exec": {"pod": "box", "command": ["sh", "-c", f"echo {CANARY}; echo {CANARY} >&2; exit 3"]},
    "task_pod": {"name": "fails", "command": ["sh", "-c", f"echo {CANARY}; exit 1"], "state": "completed", **POD},
    "pod_request": {"pod": "box", "port": "8080", "return_content": True},
    "pod_info": {"kind": "Secret", "name": CANARY, "wait": True, "wait_timeout": 1, "wait_condition": {"type": CANARY}},
}


@pytest.mark.parametrize("mode", ["action", "module"])
@pytest.mark.parametrize("core", CORES)
def test_failure_with_no_log_shows_no_output(core, mode, namespace, client, tmp_path):
    start_pod(client, namespace, "box", containers=[{"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", SERVER]}])
    defaults = {"group/podwright.core.all": {"namespace": namespace, "kubeconfig": KUBECONFIG}}
    tasks = [{"name": name, f"podwright.core.{name}": options, "no_log": True, "ignore_errors": True, "register": name} for name, options in FAILING.items()]
    failed = [f"{name} is failed and '{CANARY}' not in {name}.msg and {name}.reason != ''" for name in FAILING]
    tasks.append({"name": "All failed", "ansible.builtin.assert": {"that": [*failed, "pod_exec.rc == 3", f"'{CANARY}' in pod_exec.stdout"]}})
    book = tmp_path / "play.yml"
    book.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}], sort_keys=False))
    command = [str(CORES[core] / "ansible-playbook"), str(book), "--extra-vars", json.dumps(mode_variables(mode)), "-vvv"]
    environment = play_environment(tmp_path / "record")
    del environment["ANSIBLE_CALLBACKS_ENABLED"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=tmp_path)
    shown = [line for line in done.stdout.splitlines() if CANARY in line]
    assert (done.returncode, shown) == (0, []), done.stdout[-4000:]
