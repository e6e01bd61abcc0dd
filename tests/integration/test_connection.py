# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Modules of Ansible run in a container through the connection plugin, as in Ansible's connection tests, also with unusual file names."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
import sys
import tarfile

import pytest
import yaml

from ..support.environment import CORES, KUBECONFIG
from ..support.pods import start_pod

STATIC = "podwright/static"  # an image without a shell

pytestmark = pytest.mark.versions

ODD = "ünïcode 'quoted' $HOME; -x"
UTF_8 = {"LC_ALL": "C.UTF-8"}
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


def test_command_uses_one_websocket(play, box, audit):
    container, _token = box
    host = {"name": "box", "ansible_host": container.pod, "ansible_connection": "podwright.core.pod", "ansible_podwright_namespace": container.namespace}
    host["ansible_podwright_kubeconfig"] = str(audit.kubeconfig)
    play([{"ansible.builtin.add_host": host}, {"ansible.builtin.raw": "true", "delegate_to": "box"}])
    urls = [entry["requestURI"] for entry in audit.entries() if entry["stage"] == "ResponseComplete" and "/exec" in entry["requestURI"]]
    assert len(urls) == 1


def inventory_of(path, namespace, **hosts):
    """An inventory file with pods as hosts, each with its variables."""
    variables = {"ansible_connection": "podwright.core.pod", "ansible_podwright_namespace": namespace, "ansible_podwright_kubeconfig": KUBECONFIG}
    path.write_text(yaml.safe_dump({"pods": {"hosts": hosts, "vars": variables}}))
    return str(path)


AS_NOBODY = {"become": True, "become_method": "su", "become_user": "nobody", "become_flags": "-s /bin/sh"}


@pytest.mark.parametrize("core", [core if core == "this" else pytest.param(core, marks=pytest.mark.long) for core in CORES])
def test_connection_does_what_ansible_expects(core, playbooks_of, client, namespace, python_image, tmp_path):
    idle = {"imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}
    start_pod(client, namespace, "box", containers=[{"name": "side", "image": "busybox", **idle}, {"name": "work", "image": python_image, **idle}])
    start_pod(client, namespace, "bare", containers=[{"name": "task", "image": STATIC, "imagePullPolicy": "IfNotPresent"}])
    box = {"ansible_podwright_container": "work", "ansible_pipelining": True, "ansible_remote_tmp": "/tmp/remote", "ansible_timeout": 20}
    inventory = inventory_of(tmp_path / "hosts.yml", namespace, box=box, bare={})
    source = tmp_path / f"file {NAME}"
    source.write_bytes(bytes(range(256)) * 20)
    tasks = [
        {"ansible.builtin.wait_for_connection": {"timeout": 20}},
        {"ansible.builtin.raw": "exit {{ item }}", "loop": [0, 1, 126, 127, 255], "failed_when": False, "register": "codes"},
        {"ansible.builtin.shell": {"cmd": "id -un; mkdir -m 1777 -p /var/tmp"}, "register": "user"},  # the interpreter is discovered
        {"ansible.builtin.command": "sleep 1", "async": 20, "poll": 1},
        {"ansible.builtin.file": {"path": "/tmp/ünï dir", "state": "directory", "mode": "0755"}},
        {"ansible.builtin.copy": {"src": str(source), "dest": "/tmp/ünï dir/", "mode": "0644"}},
        {"ansible.builtin.fetch": {"src": f"/tmp/ünï dir/{source.name}", "dest": f"{tmp_path}/fetched/"}},
        {"ansible.builtin.command": "head -c 9000000 /dev/zero", "register": "large", "no_log": True},
        {"ansible.builtin.meta": "reset_connection"},
        {"ansible.builtin.command": "id -un", "register": "nobody", **AS_NOBODY},
        {"ansible.builtin.raw": "cat /proc/1/cmdline", "vars": {"ansible_podwright_container": "side"}},
        {"ansible.builtin.raw": "sleep 60", "timeout": 1, "ignore_errors": True, "register": "slow"},
        {
            "ansible.builtin.assert": {
                "that": [
                    "codes.results | map(attribute='rc') | list == [0, 1, 126, 127, 255]",
                    "user.stdout == 'root' and nobody.stdout == 'nobody'",
                    "large.stdout | length == 9000000",
                    "slow is failed",
                ]
            },
            "no_log": True,
        },
    ]
    bare = [{"name": "No shell", "ansible.builtin.raw": "true", "ignore_unreachable": True, "register": "shell"}]
    bare.append({"ansible.builtin.assert": {"that": "'The image has no shell. Ansible needs one' in shell.msg"}})
    playbook = tmp_path / "play.yml"
    plays = [{"hosts": "box", "gather_facts": False, "tasks": tasks}, {"hosts": "bare", "gather_facts": False, "tasks": bare}]
    playbook.write_text(yaml.safe_dump(plays, sort_keys=False, allow_unicode=True))
    playbooks_of(core).start(["--inventory", inventory, str(playbook)], tmp_path, UTF_8).finish(300).check()
    assert (tmp_path / "fetched/box/tmp/ünï dir" / source.name).read_bytes() == source.read_bytes()


@pytest.mark.long
def test_tests_of_ansible_for_connections_pass(playbooks_of, client, namespace, python_image, tmp_path):
    """Those of the source distribution of the installed ansible-core."""
    version = importlib.metadata.version("ansible-core")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "ansible-core", "--dest", str(tmp_path)]
    subprocess.run([*command, f"ansible-core=={version}"], check=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    (directory,) = tmp_path.glob("ansible_core-*/test/integration/targets/connection")
    start_pod(client, namespace, "box", containers=[{"name": "task", "image": python_image, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"]}])
    hosts = {f"box-{pipelining}": {"ansible_host": "box", "ansible_pipelining": pipelining} for pipelining in (True, False)}
    inventory = inventory_of(tmp_path / "hosts.yml", namespace, **hosts)
    variables = {"target_hosts": "pods", "action_prefix": "", "local_tmp": f"{tmp_path}/local", "remote_tmp": "/tmp/remote"}
    for core in CORES:
        # One of them is new in ansible-core 2.18.
        tests = [path for name in ("connection", "reset_connection*") for path in sorted(directory.glob(f"test_{name}.yml"))]
        assert len(tests) >= 2
        for path in tests:
            arguments = ["--inventory", inventory, "--extra-vars", json.dumps(variables), str(path)]
            playbooks_of(core).start(arguments, tmp_path, UTF_8).finish(600).check()


@pytest.mark.long
def test_a_command_may_be_silent_for_minutes(playbooks, client, namespace, tmp_path):
    start_pod(client, namespace, "box")
    inventory = inventory_of(tmp_path / "hosts.yml", namespace, box={})
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "box", "gather_facts": False, "tasks": [{"ansible.builtin.raw": "sleep 300; echo awake"}]}]))
    played = playbooks.start(["--inventory", inventory, str(playbook)], tmp_path, UTF_8).finish(400).check()
    assert "changed: [box]" in played.stdout
