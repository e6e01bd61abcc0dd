# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects that belong to a task, on a real API server: restored policies, records over quota."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CONFIG_MAP, NETWORK_POLICY, POD

BOX = {"image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 0}
OPEN = {"spec": {"ingress": [{}], "egress": [{}]}}
NARROW = {"spec": {"policyTypes": ["Ingress"], "podSelector": {"matchLabels": {"podwright.io/task": "another"}}}}
ORPHAN = {"metadata": {"ownerReferences": None, "labels": None}}


@pytest.mark.parametrize("network", ["isolated", {"egress": ["dns"]}], ids=["isolated", "rules"])
def test_a_policy_changed_by_hand_is_restored_for_a_running_task(client, play, namespace, network):
    run = {"name": "Run", "podwright.core.task_pod": BOX | {"name": "alone", "command": ["sleep", "3600"], "network": network}}
    play([run], namespace=namespace)
    right = client.get(NETWORK_POLICY, namespace, "alone-network")
    uid = client.get(POD, namespace, "alone")["metadata"]["uid"]
    for change in (None, OPEN, NARROW, ORPHAN):
        if change:
            client.patch(NETWORK_POLICY, namespace, "alone-network", change, "kubectl-edit", MERGE_PATCH)
        else:
            client.delete(NETWORK_POLICY, namespace, "alone-network")
        played = play([run | {"check_mode": True, "name": "Predict"}, run, run | {"name": "Repeat"}], namespace=namespace)
        expected = [("create" if change is None else "patch", "NetworkPolicy"), ("none", "Pod")]
        for name in ("Predict", "Run"):
            assert [(step["action"], step["kind"]) for step in played.of(name)["plan"]] == expected, (name, change)
            assert played.of(name)["plan"][0]["patch"]
        assert not played.of("Repeat")["changed"]
        live = client.get(NETWORK_POLICY, namespace, "alone-network")
        assert live["spec"] == right["spec"], change
        assert live["metadata"]["labels"] == right["metadata"]["labels"]
        assert [owner["uid"] for owner in live["metadata"]["ownerReferences"]] == [uid]
    assert client.get(POD, namespace, "alone")["metadata"]["uid"] == uid


def test_a_task_whose_record_exceeds_a_quota_keeps_its_pod_and_runs_once(client, play, namespace):
    quota = BUILT_IN["v1", "ResourceQuota"]
    limits = {"metadata": {"name": "full"}, "spec": {"hard": {"count/configmaps": "0"}}}
    client.create(quota, namespace, limits, "test")
    run = {"name": "Run", "podwright.core.task_pod": BOX | {"name": "once", "command": ["true"], "state": "completed", "cleanup": "always"}}
    first = play([run], namespace=namespace).of("Run")
    assert first["state"] == "succeeded" and "exceeded quota" in first["warnings"][0] and "Its Pod is kept" in first["warnings"][0]
    pod = client.get(POD, namespace, "once")
    assert not play([run], namespace=namespace).of("Run")["changed"]
    assert client.get(POD, namespace, "once")["metadata"]["uid"] == pod["metadata"]["uid"]
    client.delete(quota, namespace, "full")
    played = play([run, run | {"name": "Repeat"}], namespace=namespace)
    assert "warnings" not in played.of("Run") and not played.of("Repeat")["changed"]
    assert client.get(POD, namespace, "once") is None
    assert client.get(CONFIG_MAP, namespace, "podwright-record-once")["data"]["finished_at"] == played.of("Repeat")["finished_at"]
