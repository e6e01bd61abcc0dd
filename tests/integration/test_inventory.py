# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory plugin with the oldest and the newest ansible-core: ansible-inventory, and modules in the pods of a label."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD

from ..support.environment import CORES, KUBECONFIG
from ..support.playbooks import play_environment
from ..support.pods import start_pod


@pytest.fixture
def pods(client, namespace, tmp_path):
    """Two workers and a pod, whose author means harm. Returns: the file that must not be written."""
    mark = tmp_path / "harm"
    annotations = {"note": "{{ lookup('pipe', 'touch " + str(mark) + "') }}", "plain": "hello"}
    for name, app in (("worker-0", "worker"), ("worker-1", "worker"), ("localhost", "evil")):
        start_pod(client, namespace, name)
        client.patch(POD, namespace, name, {"metadata": {"labels": {"app": app}, "annotations": annotations}}, "test", MERGE_PATCH)
    return mark


def list_hosts(core, inventory):
    """What ansible-inventory says of an inventory."""
    environment = play_environment("/dev/null") | {"KUBECONFIG": KUBECONFIG}
    command = [CORES[core] / "ansible-inventory", "--inventory", inventory, "--list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "DEPRECATION" not in done.stderr and "Traceback" not in done.stderr, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.xdist_group("oldest")  # both versions run in it
def test_modules_run_in_the_pods_of_a_label(pods, playbooks_of, namespace, tmp_path):
    inventory, playbook = tmp_path / "all.pods.yml", tmp_path / "play.yml"
    compose = {"note": "'say ' ~ pod_annotations.note", "plain": "'say ' ~ pod_annotations.plain"}
    inventory.write_text(yaml.safe_dump({"plugin": "podwright.core.pods", "namespaces": [namespace], "compose": compose}))
    tasks = [
        {"name": "Run a command", "ansible.builtin.raw": "hostname"},
        {"name": "Show values", "ansible.builtin.debug": {"msg": "{{ note }} {{ pod_annotations.note }} {{ pod_annotations }}"}},
        {"name": "Stay here", "ansible.builtin.command": "hostname", "delegate_to": "localhost", "run_once": True, "register": "here"},
        {"name": "Check", "ansible.builtin.assert": {"that": "here.stdout != 'localhost'"}},
    ]
    playbook.write_text(yaml.safe_dump([{"hosts": "label_app_worker", "gather_facts": False, "tasks": tasks}]))
    for core in CORES:
        listed = list_hosts(core, inventory)
        variables = listed["_meta"]["hostvars"]["worker-0"]
        assert variables["plain"] == "say hello" and variables["pod_labels"] == {"app": "worker"}  # not as mappings, which AWX would pass on
        assert sorted(listed["label_app_worker"]["hosts"]) == ["worker-0", "worker-1"]
        assert listed["label_app_evil"]["hosts"] == [f"localhost.task.{namespace}"]
        arguments = ["--inventory", str(inventory), str(playbook), "-v"]
        shown = playbooks_of(core).start(arguments, tmp_path, {"KUBECONFIG": KUBECONFIG}).finish(300).check().stdout
        assert all(f"changed: [{name}]" in shown for name in ("worker-0", "worker-1")) and "lookup(" in shown
        assert not pods.exists(), "a template in an annotation was evaluated"
