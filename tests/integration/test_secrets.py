# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A canary in every option that can contain a secret: it must appear in the cluster only."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD

from ..support.environment import KUBECONFIG
from ..support.playbooks import MODES

CANARY = "canary-7Yq2"
LINES = f"{CANARY}-line\n  {CANARY}: 'quoted' \"twice\" {{x}}\n\t{CANARY}-last\n"
IMAGE = {"image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 0}
SERVED = {"image": "busybox", "image_pull_policy": "IfNotPresent", "service": "d", "ports": [80], "drain_seconds": 0}


def canary_tasks():
    """One task for each option that can contain a secret, one of which fails."""
    kubeconfig = yaml.safe_load(Path(KUBECONFIG).read_text())
    with_token = json.loads(json.dumps(kubeconfig))
    with_token["users"][0]["user"] = {"token": f"{CANARY}-token"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    encoded = base64.b64encode(f"{CANARY}-data".encode()).decode()
    return [
        ("resource_set", {"definition": secret | {"stringData": {"a": f"{CANARY}-text"}}}),
        ("resource_set", {"definition": [secret | {"data": {"a": encoded}}]}),
        ("resource_set", {"definition": yaml.safe_dump(secret | {"stringData": {"a": f"{CANARY}-yaml"}})}),
        ("resource_set", {"definition": secret | {"stringData": {"a": f"{CANARY}-bad"}, "nonsense": 1}}),
        ("resource_set", {"definition": secret | {"stringData": {"a": LINES}}}),
        ("task_pod", {"name": "lines", "command": ["false"], "env": {"P": LINES}, "stdin": LINES, "state": "completed", "cleanup": "always", **IMAGE}),
        ("pod_info", {"kind": "Secret", "name": "s"}),
        ("task_pod", {"name": "env", "command": ["true"], "env": {"PASSWORD": f"{CANARY}-env"}, "state": "completed", **IMAGE}),
        ("task_pod", {"name": "env", "command": ["true"], "env": {"PASSWORD": f"{CANARY}-env-changed"}, "state": "completed", **IMAGE}),
        ("task_pod", {"full": True, "tasks": [{"name": "item", "command": ["true"], "env": {"P": f"{CANARY}-item"}, **IMAGE}], "state": "completed"}),
        ("task_pod", {"name": "fails", "command": ["false"], "env": {"P": f"{CANARY}-failing"}, "state": "completed", **IMAGE}),
        ("task_pod", {"name": "input", "command": ["wc"], "stdin": f"{CANARY}-stdin", "state": "completed", **IMAGE}),
        ("task_pod", {"name": "box", "command": ["sleep", "3600"], **IMAGE}),
        ("pod_exec", {"pod": "box", "command": "wc", "stdin": f"{CANARY}-stdin"}),
        ("pod_exec", {"pod": "box", "command": "true", "env": {"P": f"{CANARY}-env"}}),
        ("pod_exec", {"pod": "box", "command": "sleep 9", "stdin": f"{CANARY}-stdin", "timeout": 1}),
        ("pod_copy", {"pod": "nobody", "content": f"{CANARY}-content", "remote_path": "/x"}),
        ("pod_logs", {"name": "input"}),
        ("pod_request", {"pod": "box", "port": "9", "headers": {"Authorization": f"{CANARY}-header"}, "body": f"{CANARY}-body", "method": "POST"}),
        ("pod_deployment", {"name": "d", "command": ["sleep", "60"], "env": {"P": f"{CANARY}-deployed"}, "termination_grace_period": 1, **SERVED}),
        ("pod_deployment", {"name": "d", "command": ["sleep", "60"], "env": {"P": f"{CANARY}-changed"}, "strategy": "blue_green", **SERVED}),
        ("task_pod", {"name": "gone", "command": ["true"], "env": {"P": f"{CANARY}-gone"}, "state": "completed", "cleanup": "always", **IMAGE}),
        ("pod_info", {"api_key": f"{CANARY}-key"}),
        ("pod_gc", {"api_key": f"{CANARY}-key"}),
        ("pod_autoscale", {"name": "d", "replicas": 1, "api_key": f"{CANARY}-key"}),
        ("pod_info", {"username": "u", "password": f"{CANARY}-password"}),
        ("pod_info", {"proxy": f"http://user:{CANARY}-in-address@127.0.0.1:9"}),
        ("pod_info", {"kubeconfig": with_token}),
        ("pod_info", {"proxy_headers": {"basic_auth": f"u:{CANARY}-proxy"}}),
    ]


@pytest.mark.parametrize("mode", MODES)
def test_secrets_appear_in_no_output(mode, play, namespace, client, temporary):
    """Each module is a process of its own here, in which Python starts and compiles the payload; in other tests it is mostly a fork."""
    tasks = [{"name": str(n), f"podwright.core.{module}": options, "ignore_errors": True} for n, (module, options) in enumerate(canary_tasks())]
    environment = {"TMPDIR": str(temporary), "ANSIBLE_LOCAL_TEMP": str(temporary / "local"), "ANSIBLE_REMOTE_TEMP": str(temporary / "remote")}
    pull_secret = {"name": "pull", "registry": "r.example", "username": "u", "password": LINES}
    role = {"name": "podwright.core.namespace"}
    variables = {"namespace_name": namespace, "namespace_adopt": True, "namespace_image_pull_secrets": [pull_secret]}
    tasks += [{"name": "role", "ansible.builtin.include_role": role, "vars": variables, "ignore_errors": True}]
    wrong = {"namespace_name": namespace, "namespace_image_pull_secrets": [pull_secret | {"name": ["a"]}], "namespace_pod_security": "wrong"}
    tasks += [{"name": "wrong", "ansible.builtin.include_role": role, "vars": wrong}]  # the last, since it fails
    played = play(tasks, "-vvvv", "--diff", mode=mode, namespace=namespace, environment=environment, expect=2)
    encoded = base64.b64encode(CANARY.encode()).decode()[:12]
    for canary in (CANARY, encoded):
        assert [line for line in _without_paths(played.output).splitlines() if canary in line] == []
        assert canary not in json.dumps(played.results)
        for path in temporary.rglob("*"):
            assert not path.is_file() or canary.encode() not in path.read_bytes(), path
    # Left by neither way: the client's decoded keys, Ansible's own files.
    assert not [path for path in temporary.rglob("*") if path.is_file()]
    for kind in (POD, BUILT_IN["v1", "ConfigMap"]):
        for item in client.list(kind, namespace)[0]:
            assert CANARY not in json.dumps(item["metadata"].get("annotations", {}))
    # The secret must reach its object.
    assert CANARY in json.dumps([item["spec"] for item in client.list(POD, namespace)[0]])


def _without_paths(output):
    """The output without the lines of the play that Ansible shows beside the error of a failed task: they are the user's own."""
    kept, in_excerpt = [], False
    for line in output.splitlines():
        if line.startswith("Origin:"):
            in_excerpt = True
        elif in_excerpt and line and not line[0].isdigit() and not line.startswith(" "):
            in_excerpt = False
        if not in_excerpt:
            kept.append(line)
    return "\n".join(kept)
