# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Modules of Ansible run in a container through the connection plugin, as in Ansible's connection tests, also with unusual file names."""

from __future__ import annotations

import hashlib

import pytest

from ..support.environment import KUBECONFIG

pytestmark = pytest.mark.versions

ODD = "ünïcode 'quoted' $HOME; -x"
NAME = "ünïcode 'quoted' ; -x"  # Ansible expands variables in paths


@pytest.mark.parametrize("pipelining", [True, False])
def test_modules_run_in_a_container(pipelining, play, namespace, python_image, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(hashlib.shake_256(b"large").digest(1 << 20) * 12)
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/sh\necho script says $1 in $(hostname)\n")
    pod = {"name": "box", "image": python_image, "image_pull_policy": "IfNotPresent", "command": ["sleep", "3600"], "termination_grace_period": 0}
    host = {"name": "box", "ansible_connection": "podwright.core.pod", "ansible_podwright_namespace": namespace, "ansible_podwright_kubeconfig": KUBECONFIG}
    host |= {"ansible_python_interpreter": "/usr/bin/python3", "ansible_pipelining": pipelining, "ansible_remote_tmp": "/tmp/ansible"}
    inside = {"delegate_to": "box", "vars": {"ansible_become": False}}
    tasks = [
        {"podwright.core.task_pod": pod},
        {"ansible.builtin.add_host": host},
        {"name": "Raw", "ansible.builtin.raw": f'echo "{ODD}"; echo wrong >&2; exit 3', "failed_when": False, **inside},
        {"name": "Ping", "ansible.builtin.ping": {}, **inside},
        {"name": "Facts", "ansible.builtin.setup": {"gather_subset": ["!all", "min"]}, **inside},
        {"name": "Command", "ansible.builtin.command": {"argv": ["printf", "%s", ODD], "stdin": None}, **inside},
        {"name": "Shell", "ansible.builtin.shell": {"cmd": "cat", "stdin": "given in\nlines"}, **inside},
        {"name": "Script", "ansible.builtin.script": f"{script} hello", **inside},
        {"name": "Copy", "ansible.builtin.copy": {"content": "ünï\n", "dest": f"/tmp/{NAME}", "mode": "0640"}, **inside},
        {"name": "Copy again", "ansible.builtin.copy": {"content": "ünï\n", "dest": f"/tmp/{NAME}", "mode": "0640"}, **inside},
        {"name": "Large", "ansible.builtin.copy": {"src": str(large), "dest": "/tmp/large"}, **inside},
        {"name": "Fetch", "ansible.builtin.fetch": {"src": "/tmp/large", "dest": f"{tmp_path}/fetched", "flat": True}, **inside},
        {"name": "Fetch odd", "ansible.builtin.fetch": {"src": f"/tmp/{NAME}", "dest": f"{tmp_path}/odd", "flat": True}, **inside},
        {"name": "Slurp", "ansible.builtin.slurp": {"src": f"/tmp/{NAME}"}, **inside},
        {"name": "Missing", "ansible.builtin.fetch": {"src": "/no/such", "dest": f"{tmp_path}/missing", "flat": True}, "ignore_errors": True, **inside},
        {"name": "Become", "ansible.builtin.command": "id -un", **inside, "vars": {"ansible_become": True, "ansible_become_method": "su"}},
    ]
    played = play(tasks, namespace=namespace)
    raw = played.of("Raw")
    assert (raw["rc"], raw["stdout_lines"]) == (3, ["ünïcode 'quoted' /root; -x"]) and "wrong" in raw["stderr"]
    assert played.of("Ping")["ping"] == "pong"
    assert played.of("Facts")["ansible_facts"]["ansible_hostname"] == "box"
    assert played.of("Command")["stdout"] == "ünïcode 'quoted' /root; -x"  # the module expands variables
    assert played.of("Shell")["stdout"] == "given in\nlines"
    assert played.of("Script")["stdout"] == "script says hello in box\n"
    assert played.of("Copy")["changed"] and not played.of("Copy again")["changed"]
    assert (tmp_path / "fetched").read_bytes() == large.read_bytes()
    assert (tmp_path / "odd").read_text() == "ünï\n"
    assert "does not exist" in played.of("Missing")["msg"]
    assert played.of("Become")["stdout"] == "root"


def test_missing_pod_is_unreachable(play, namespace):
    host = {"name": "nobody", "ansible_connection": "podwright.core.pod", "ansible_podwright_namespace": namespace, "ansible_podwright_kubeconfig": KUBECONFIG}
    tasks = [{"ansible.builtin.add_host": host}, {"name": "Ping", "ansible.builtin.raw": "true", "delegate_to": "nobody"}]
    played = play(tasks, namespace=namespace, expect=4)
    assert "Pod 'nobody' not found" in played.output


def test_command_uses_one_websocket(play, namespace, python_image, audit):
    pod = {"name": "box", "image": python_image, "image_pull_policy": "IfNotPresent", "command": ["sleep", "3600"], "termination_grace_period": 0}
    host = {
        "name": "box",
        "ansible_connection": "podwright.core.pod",
        "ansible_podwright_namespace": namespace,
        "ansible_podwright_kubeconfig": str(audit.kubeconfig),
    }
    tasks = [{"podwright.core.task_pod": pod}, {"ansible.builtin.add_host": host}, {"ansible.builtin.raw": "true", "delegate_to": "box"}]
    play(tasks, namespace=namespace)
    urls = [entry["requestURI"] for entry in audit.entries() if entry["stage"] == "ResponseComplete" and "/exec" in entry["requestURI"]]
    assert len(urls) == 1
