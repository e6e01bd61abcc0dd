# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The traffic that NetworkPolicies of tasks allow, according to the analyser cyclonus: one node cannot show all of it.

test_network_enforcement.py sends traffic.
"""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import NETWORK_POLICY, POD

from ..cluster import build

pytestmark = pytest.mark.xdist_group("networks")  # which builds the analyser
HOME = {"kubernetes.io/metadata.name": "tasks"}
TASK = {"Internal": {"PodLabels": {"podwright.io/task": "alone"}, "NamespaceLabels": HOME, "Namespace": "tasks"}, "IP": "10.200.0.1"}


def pod(labels, namespace="tasks", ip="10.200.0.2"):
    return {"Internal": {"PodLabels": labels, "NamespaceLabels": {"kubernetes.io/metadata.name": namespace}, "Namespace": namespace}, "IP": ip}


def outside(ip):
    return {"IP": ip}


NEIGHBOUR, DATABASE, WEB = pod({"app": "x"}), pod({"app": "pg"}, "db"), pod({"app": "web"}, "db")
NAMES = pod({"k8s-app": "kube-dns"}, "kube-system")
LISTS = {
    "egress": ["dns", {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"], "ports": [443]}, {"namespace": "db", "pods": {"app": "pg"}, "ports": ["5432/TCP"]}],
    "ingress": ["same_namespace", {"cidr": "192.0.2.0/24", "ports": ["53/UDP"]}],
}
# (network, source, destination, port, protocol, whether it is allowed)
TRAFFIC = [
    ("isolated", TASK, NEIGHBOUR, 80, "TCP", False),
    ("isolated", NEIGHBOUR, TASK, 80, "TCP", False),
    ("isolated", TASK, outside("192.0.2.1"), 443, "TCP", False),
    ("isolated", TASK, NAMES, 53, "UDP", False),
    ("isolated", NEIGHBOUR, DATABASE, 80, "TCP", True),  # other pods are not selected
    (LISTS, TASK, NAMES, 53, "UDP", True),
    (LISTS, TASK, NAMES, 53, "TCP", True),
    (LISTS, TASK, NAMES, 80, "TCP", False),
    (LISTS, TASK, outside("10.2.0.1"), 443, "TCP", True),
    (LISTS, TASK, outside("10.2.0.1"), 80, "TCP", False),
    (LISTS, TASK, outside("10.1.0.1"), 443, "TCP", False),
    (LISTS, TASK, outside("11.0.0.1"), 443, "TCP", False),
    (LISTS, TASK, DATABASE | {"IP": "172.16.0.1"}, 5432, "TCP", True),
    (LISTS, TASK, DATABASE | {"IP": "172.16.0.1"}, 5433, "TCP", False),
    (LISTS, TASK, WEB | {"IP": "172.16.0.1"}, 5432, "TCP", False),
    (LISTS, NEIGHBOUR, TASK, 1234, "TCP", True),
    (LISTS, DATABASE, TASK, 1234, "TCP", False),
    (LISTS, outside("192.0.2.7"), TASK, 53, "UDP", True),
    (LISTS, outside("192.0.2.7"), TASK, 53, "TCP", False),
]


@pytest.fixture(scope="module")
def analyser():
    """The analyser, built once from its pinned module."""
    build.ensure((build.ANALYSER,))
    return build.directory(build.ANALYSER) / "cyclonus"


@pytest.mark.parametrize("network", ["isolated", LISTS], ids=["isolated", "lists"])
def test_policies_allow_exactly_the_listed_traffic(network, analyser, client, play, namespace, tmp_path):
    """The analyser evaluates each connection against the policies that the task created."""
    box = {"name": "alone", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["sleep", "3600"], "termination_grace_period": 0}
    play([{"podwright.core.task_pod": box | {"network": network}}], namespace=namespace)
    policies = client.list(NETWORK_POLICY, namespace)[0]
    for policy in policies:
        policy["metadata"] = {"name": policy["metadata"]["name"], "namespace": "tasks"}
    (tmp_path / "policies.yml").write_text(yaml.safe_dump_all(policies))
    connections = [entry for entry in TRAFFIC if entry[0] == network]
    keys = ("Source", "Destination", "ResolvedPort", "Protocol")
    questions = [dict(zip(keys, entry[1:5])) | {"ResolvedPortName": ""} for entry in connections]
    (tmp_path / "traffic.json").write_text(json.dumps(questions))
    command = [analyser, "analyze", "--mode", "query-traffic", "--policy-path", tmp_path / "policies.yml", "--traffic-path", tmp_path / "traffic.json"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    answers = [word == "TRUE" for word in re.findall(r"IS ALLOWED\? \|\s+(TRUE|FALSE)", output)]
    assert answers == [entry[5] for entry in connections], output
    play([{"podwright.core.task_pod": {"name": "alone", "state": "absent"}}], namespace=namespace)
    assert not [item for item in client.list(POD, namespace)[0] if not item["metadata"].get("deletionTimestamp")]
