# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""More work than a server or a controller takes at once: requests refused by priority and fairness, and 200 forks."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import Kind
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_gc, pod_info, resource_set, task_pod

from ..support.operations import IMAGE, call
from ..support.scale import simulated_tasks
from ..support.waiting import wait_for

API = "flowcontrol.apiserver.k8s.io/v1"
LEVELS, SCHEMAS = Kind(API, "PriorityLevelConfiguration", "prioritylevelconfigurations", False), Kind(API, "FlowSchema", "flowschemas", False)
FORKS = 200
TASKS = 300


@pytest.fixture
def throttled(client, audit):
    """The kubeconfig of a user of whom the API server serves one request at a time and refuses the others with 429."""
    name = audit.user
    limited = {"nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}
    level = {"apiVersion": API, "kind": "PriorityLevelConfiguration", "metadata": {"name": name}, "spec": {"type": "Limited", "limited": limited}}
    rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    rules = [{"subjects": [{"kind": "User", "user": {"name": name}}], "resourceRules": [rule]}]
    spec = {"priorityLevelConfiguration": {"name": name}, "matchingPrecedence": 2, "distinguisherMethod": {"type": "ByUser"}, "rules": rules}
    # system:masters is exempt from priority and fairness.
    config = yaml.safe_load(audit.kubeconfig.read_text())
    config["users"][0]["user"] |= {"as-groups": ["podwright:throttled"]}
    audit.kubeconfig.write_text(yaml.safe_dump(config))
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name}}
    binding |= {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}}
    binding |= {"subjects": [{"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}]}
    client.create(LEVELS, None, level, "test")
    client.create(SCHEMAS, None, {"apiVersion": API, "kind": "FlowSchema", "metadata": {"name": name}, "spec": spec}, "test")
    bindings = Kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", False)
    client.create(bindings, None, binding, "test")
    wait_for(lambda: not call(pod_info, {"kubeconfig": str(audit.kubeconfig)}, "default")["failed"])
    yield str(audit.kubeconfig)
    for kind in (SCHEMAS, LEVELS, bindings):
        client.delete(kind, None, name)


@pytest.mark.long
def test_requests_refused_by_priority_and_fairness_are_sent_later(client, namespace, simulated, audit, throttled, tried):
    tasks = simulated_tasks(TASKS, simulated)
    maps = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"map-{number}"}, "data": {"a": "b"}} for number in range(50)]
    for module, options in (
        (task_pod, tasks),
        (task_pod, tasks),
        (resource_set, {"name": "set", "definition": maps}),
        (resource_set, {"name": "set", "definition": maps}),
        (task_pod, tasks | {"state": "absent", "force": True, "wait_timeout": 200}),
        (pod_gc, {"completed": {"max_age": 0, "keep_last": 0}}),
    ):
        result = call(module, {"kubeconfig": throttled} | options, namespace)
        assert not result["failed"], result["msg"]
    codes = Counter(entry["responseStatus"]["code"] for entry in audit.entries())
    refused, created = codes[429], codes[201]
    assert created == TASKS + len(maps) + 1 and refused > 20, codes
    tried("requests refused with 429 by the server's priority and fairness", sum(codes.values()), "lost", "wrong", "hung", refused=refused)


@pytest.mark.long
def test_two_hundred_hosts_at_once(play, client, namespace, tmp_path, tried):
    call(task_pod, {"name": "box", "command": ["sleep", "3600"], "state": "running", **IMAGE}, namespace)
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {f"host-{number}": {"ansible_connection": "local"} for number in range(FORKS)}}}))
    command = {"pod": "box", "command": ["echo", "{{ inventory_hostname }}"]}
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ inventory_hostname }}"}, "data": {"host": "{{ inventory_hostname }}"}}
    tasks = [
        {"name": "Run a command", "podwright.core.pod_exec": command, "register": "executed"},
        {"name": "Compare", "ansible.builtin.assert": {"that": ["executed.stdout == inventory_hostname"]}},
        {"name": "Apply", "podwright.core.resource_set": {"definition": data}, "register": "applied"},
        {"name": "Apply again", "podwright.core.resource_set": {"definition": data}, "register": "again"},
        {"name": "Compare changes", "ansible.builtin.assert": {"that": ["applied.changed", "not again.changed"]}},
    ]
    plays = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    played = play(plays, "--inventory", str(inventory), "--forks", str(FORKS), namespace=namespace, timeout=900)
    assert played.output.count("failed=0") == FORKS and played.output.count("unreachable=0") == FORKS, json.dumps(played.output[-3000:])
    tried("hosts of one play in as many forks, three operations each", FORKS, "lost", "wrong", "hung", forks=FORKS)
