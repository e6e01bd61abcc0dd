# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users write: text that is JSON, relative paths, encrypted files, kubeconfigs as text and mapping, defaults and variables of the environment."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from ..support.environment import CORES, KUBECONFIG
from ..support.playbooks import MODES, mode_variables

pytestmark = pytest.mark.versions

LIMITS = {"limits": {"cpu": "100m", "memory": "16Mi"}}
# test_versions runs modules with the oldest version.
CASES = [pytest.param(core, mode, marks=pytest.mark.long if (core, mode) == ("oldest", "module") else ()) for core in CORES for mode in MODES]
TASKS = [{"name": "greet", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["echo", "hello"], "resources": LIMITS}]
MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "given"}, "data": {"port": "8080"}}
READ = {"kind": "ConfigMap", "name": "given"}
EMPTY = {"KUBECONFIG": "/not/there"}  # so that only what the task has can be the source


def steps(namespace):
    """{name: module, options and environment} of the tasks."""
    given = {name: {"podwright.core.pod_info": READ | {"kubeconfig": value}, "environment": EMPTY} for name, value in KUBECONFIGS.items()}
    return {
        "tasks as text": {"podwright.core.task_pod": {"tasks": "{{ given_tasks }}", "state": "completed", "kubeconfig": "relative/config"}},
        "encrypted manifest in files": {"podwright.core.resource_set": {"name": "given", "src": "manifest.yml", "kubeconfig": "relative/config"}},
        **given,
        "variable of the environment": {"podwright.core.pod_info": READ, "environment": {"K8S_AUTH_KUBECONFIG": KUBECONFIG}},
        "namespace of the environment": {
            "podwright.core.pod_info": READ | {"kubeconfig": KUBECONFIG, "namespace": None},
            "environment": {"PODWRIGHT_NAMESPACE": namespace},
        },
        "selectors as text": {"podwright.core.pod_info": {"kubeconfig": KUBECONFIG, "label_selectors": '["podwright.io/task in (greet, other)"]'}},
    }


KUBECONFIGS = {
    "relative path": "relative/config",
    "path in files": "plain",
    "encrypted file": "encrypted",
    "text": "{{ lookup('ansible.builtin.file', 'plain') }}",
    "mapping": "{{ lookup('ansible.builtin.file', 'plain') | from_yaml }}",
}


@pytest.mark.parametrize(("core", "mode"), CASES, indirect=["core"])
def test_values_are_accepted_as_users_write_them(core, mode, playbooks_of, namespace, tmp_path):
    vault = VaultLib([("default", VaultSecret(b"password"))])
    kubeconfig = Path(KUBECONFIG).read_bytes()
    contents = {"relative/config": kubeconfig, "files/plain": kubeconfig, "files/encrypted": vault.encrypt(kubeconfig)}
    contents |= {"files/manifest.yml": vault.encrypt(yaml.safe_dump(MANIFEST)), "password": b"password"}
    for name, content in contents.items():
        (tmp_path / "plays" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plays" / name).write_bytes(content)
    tasks = [{"name": name} | step for name, step in steps(namespace).items()]
    defaults = {"group/podwright.core.all": {"namespace": namespace}}
    play = {"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}
    (tmp_path / "plays/play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    server = playbooks_of(core)
    variables = mode_variables(mode, server.interpreter) | {"given_tasks": json.dumps(TASKS)}
    arguments = ["plays/play.yml", "--extra-vars", json.dumps(variables), "--vault-password-file", "plays/password"]
    played = server.start(arguments, tmp_path, {"HOME": os.environ["HOME"]} | EMPTY).finish(300).check()
    results = {entry["task"]: entry["result"] for entry in played.results}
    assert [(task["name"], task["state"]) for task in results["tasks as text"]["tasks"]] == [("greet", "succeeded")]
    assert [pod["name"] for pod in results["selectors as text"]["pods"]] == ["greet"]
    for name in (*KUBECONFIGS, "variable of the environment", "namespace of the environment"):
        assert [item["data"] for item in results[name]["resources"]] == [MANIFEST["data"]], name
