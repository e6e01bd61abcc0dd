# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secret environment variables reach the containers, and no manifest of a pod contains them."""

from __future__ import annotations

import json

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD, SECRET
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_deployment

from ..support.operations import IMAGE, call

PASSWORD, TOKEN, HIDDEN = "canary-password-1", "canary-token-22", "canary-hidden-333"


@pytest.fixture
def vault(tmp_path):
    """Arguments of ansible-playbook that define `password`, encrypted in a vault."""
    (tmp_path / "key").write_text("vault-key")
    lines = VaultLib([("default", VaultSecret(b"vault-key"))]).encrypt(PASSWORD).decode().splitlines()
    (tmp_path / "vars.yml").write_text("password: !vault |\n" + "".join(f"  {line}\n" for line in lines))
    return ["--vault-password-file", str(tmp_path / "key"), "--extra-vars", f"@{tmp_path / 'vars.yml'}"]


@pytest.mark.parametrize("mode", ["action", "module"])
def test_secret_variables_are_in_a_secret_of_the_task(mode, vault, client, play, namespace):
    script = 'test "$TOKEN" = canary-"token-22" && test "$URL" = http://canary-"password-1"@h && echo "$PASSWORD" | wc -c'
    prepare = {"name": "prepare", "command": ["sh", "-c", 'test "$HIDDEN" = canary-"hidden-333"'], "secret_env": {"HIDDEN": HIDDEN}}
    options = IMAGE | {"state": "completed", "logs": "collect", "command": ["sh", "-c", script]}
    options |= {"env": {"PASSWORD": "{{ password }}", "URL": "http://$(PASSWORD)@h"}, "secret_env": {"TOKEN": TOKEN}, "init_containers": [prepare]}
    changed = options | {"name": "t", "secret_env": {"TOKEN": TOKEN + "x"}, "command": ["true"]}
    tasks = [
        {"name": "Run", "podwright.core.task_pod": options | {"name": "t"}},
        {"name": "Again", "podwright.core.task_pod": options | {"name": "t"}},
        {"name": "Hidden", "podwright.core.task_pod": IMAGE | {"name": "u", "state": "completed", "command": ["true"], "env": {"A": HIDDEN}}, "no_log": True},
        {"name": "Predict", "podwright.core.task_pod": changed, "check_mode": True},
    ]
    played = play(tasks, *vault, "-vvv", mode=mode, namespace=namespace)
    assert played.of("Run")["logs"] == f"{len(PASSWORD) + 1}\n" and played.of("Again")["changed"] is False
    assert [change["action"] for change in played.of("Predict")["plan"]] == ["replace"]
    pods = {pod["metadata"]["name"]: pod for pod in client.list(POD, namespace)[0]}
    owners = {secret["metadata"]["ownerReferences"][0]["uid"]: len(secret["data"]) for secret in client.list(SECRET, namespace)[0]}
    assert owners == {pods["t"]["metadata"]["uid"]: 3, pods["u"]["metadata"]["uid"]: 1}
    for text in (json.dumps(pods), played.stdout, played.stderr):
        assert not [canary for canary in (PASSWORD, TOKEN, HIDDEN) if canary in text]


def test_a_secret_that_was_deleted_is_restored_while_the_task_runs(client, play, namespace):
    options = IMAGE | {"name": "t", "command": ["sleep", "99"], "secret_env": {"TOKEN": TOKEN}}
    play([{"name": "Run", "podwright.core.task_pod": options}], namespace=namespace)
    client.delete(SECRET, namespace, client.list(SECRET, namespace)[0][0]["metadata"]["name"])
    tasks = [
        {"name": "Predict", "podwright.core.task_pod": options, "check_mode": True},
        {"name": "Restore", "podwright.core.task_pod": options},
        {"name": "Again", "podwright.core.task_pod": options},
    ]
    played = play(tasks, namespace=namespace)
    for name in ("Predict", "Restore"):
        assert [(change["kind"], change["action"]) for change in played.of(name)["plan"]] == [("Secret", "create"), ("Pod", "none")]
    assert not played.of("Again")["changed"] and len(client.list(SECRET, namespace)[0]) == 1


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_the_secret_of_a_deployment_belongs_to_its_template(strategy, client, namespace):
    options = IMAGE | {"name": "web", "strategy": strategy, "drain_seconds": 0, "command": ["sh", "-c", '[ "$TOKEN" ] && exec sleep 99']}
    options |= {"service": {"name": "web", "ports": [80]}, "wait_timeout": 90}
    seen = []
    for token in (TOKEN, TOKEN, TOKEN + "x"):
        predicted = call(pod_deployment, options | {"secret_env": {"TOKEN": token}}, namespace, check_mode=True)
        result = call(pod_deployment, options | {"secret_env": {"TOKEN": token}}, namespace)
        assert not result["failed"] and predicted["changed"] == result["changed"], result
        assert TOKEN not in json.dumps([predicted, result])
        seen.append(result["changed"])
    assert seen == [True, False, True]
    deployments = {item["metadata"]["uid"]: item for item in client.list(BUILT_IN["apps/v1", "Deployment"], namespace)[0]}
    assert TOKEN not in json.dumps(list(deployments.values()))
    secrets = client.list(SECRET, namespace)[0]
    assert {secret["metadata"]["ownerReferences"][0]["uid"] for secret in secrets} <= set(deployments) and secrets
