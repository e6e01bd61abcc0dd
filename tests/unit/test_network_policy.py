# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The NetworkPolicy of a task."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.network_policy import build_policy
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate

from .task_specs import spec
from .test_task_order import batch, session


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("open", "network: must be default, isolated or a mapping with ingress and egress, got 'open'."),
        ({"egres": []}, "network: unknown key 'egres'; use ingress, egress."),
        ({"egress": "dns"}, "network.egress: must be a list, got 'dns'."),
        ({"egress": [{}]}, "network.egress[0]: must be dns, same_namespace, a CIDR or a mapping"),
        ({"egress": ["dns", "10.0.0.1/8"]}, "network.egress[1]: must be dns, same_namespace or a CIDR such as 10.0.0.0/8"),
        ({"egress": [{"cidr": "10.0.0.0/8", "pods": {}}]}, "network.egress[0]: must have either cidr, or namespace and pods"),
        (
            {"egress": [{"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"]}]},
            "network.egress[0].except[0]: must be a part of 10.0.0.0/8, got '192.168.0.0/16'.",
        ),
        ({"egress": [{"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}]}, "network.egress[0].except[0]: must be a part of 10.0.0.0/8"),
        ({"egress": [{"cidr": "::/0", "except": ["10.1.0.0/16"]}]}, "network.egress[0].except[0]: must be a part of ::/0"),
        ({"egress": [{"pods": {"a": "b"}, "except": ["10.1.0.0/16"]}]}, "network.egress[0].except: requires cidr, which is not set."),
        ({"ingress": [{"port": 1}]}, "network.ingress[0]: unknown key 'port'; use cidr, except, namespace, pods, ports."),
        ({"ingress": [{"ports": ["80/HTTP"]}]}, "network.ingress[0].ports[0]: must be a port such as 443 or 53/UDP"),
        ({"ingress": [{"ports": [0]}]}, "network.ingress[0].ports[0]: must be a port such as 443 or 53/UDP, a range such as 8000-8100, or the name"),
        ({"ingress": [{"ports": ["65536"]}]}, "network.ingress[0].ports[0]: must be a port"),
        ({"ingress": [{"ports": ["8100-8000"]}]}, "network.ingress[0].ports[0]: must be a port"),
        ({"ingress": [{"ports": ["8000-"]}]}, "network.ingress[0].ports[0]: must be a port"),
        ({"ingress": [{"ports": ["8000-8100-8200"]}]}, "network.ingress[0].ports[0]: must be a port"),
        ({"egress": [{"ports": []}]}, "network.egress[0].ports: must not be empty."),
        ({"egress": [{"namespace": "x", "ports": None}]}, "network.egress[0].ports: must not be empty."),
        ({"egress": [{"cidr": "10.0.0.0/8", "except": []}]}, "network.egress[0].except: must not be empty."),
        ({"ingress": [{"pods": "web"}]}, "network.ingress[0].pods: must be a mapping of labels, got 'web'."),
    ],
)
def test_an_invalid_network_is_refused(network, message):
    with pytest.raises(PodwrightError) as caught:
        validate(spec(network=network))
    assert caught.value.message.startswith(message)


def test_an_isolated_task_is_denied_ingress_and_egress():
    policy = build_policy("t", "n", "isolated")["spec"]
    expected = {"podSelector": {"matchLabels": {"podwright.io/task": "t"}}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}
    assert policy == expected
    assert build_policy("t", "n", "default") is None


def test_ports_are_numbers_names_or_ranges():
    policy = build_policy("t", "n", {"ingress": [{"ports": [443, "53/udp", "8000-8100/TCP", "9-9", "web-8080"]}]})["spec"]
    assert policy["ingress"][0]["ports"] == [
        {"port": 443, "protocol": "TCP"},
        {"port": 53, "protocol": "UDP"},
        {"port": 8000, "endPort": 8100, "protocol": "TCP"},
        {"port": 9, "endPort": 9, "protocol": "TCP"},
        {"port": "web-8080", "protocol": "TCP"},
    ]


OURS = {"app.kubernetes.io/managed-by": "podwright", "podwright.io/task": "web"}


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(("labels", "is_refused"), [({}, True), (OURS | {"podwright.io/task": "other"}, True), (OURS, False)])
def test_the_policy_of_somebody_else_is_not_overwritten(labels, is_refused, check_mode):
    made = session({"web": 0})
    metadata = {"name": "web-network", "namespace": "n", "labels": labels, "uid": "f", "resourceVersion": "1"}
    foreign = {"kind": "NetworkPolicy", "metadata": metadata, "spec": {"podSelector": {"matchLabels": {"app": "web"}}}}
    made.cluster.objects["NetworkPolicy", "n", "web-network"] = foreign
    fields, error = made.perform(batch("web", network="isolated"), check_mode=check_mode)
    assert (error is not None) is is_refused, fields
    if error:
        assert "NetworkPolicy 'web-network' in namespace 'n' exists already" in error.message and not fields.get("changed")
        assert made.cluster.objects["NetworkPolicy", "n", "web-network"] == foreign
