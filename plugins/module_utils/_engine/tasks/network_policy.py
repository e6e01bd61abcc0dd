# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The NetworkPolicy that keeps a task to itself (https://kubernetes.io/docs/concepts/services-networking/network-policies/)."""

from __future__ import annotations

import ipaddress

from ..errors import option_error
from ..objects.labels import MANAGED, TASK

ISOLATED, DEFAULT = "isolated", "default"
DNS, SAME_NAMESPACE = "dns", "same_namespace"
NAMESPACE_NAME = "kubernetes.io/metadata.name"
_KEYS = {"cidr", "except", "namespace", "pods", "ports"}
_DIRECTIONS = {"ingress": "from", "egress": "to"}


def build_policy(name, namespace, network, owner=None):
    """The policy of a task, or None where its network is the namespace's own.

    Args:
        network: the option: `default`, `isolated`, or a mapping with lists `ingress` and `egress` of what is allowed.
        owner: the owner reference, once there is one.

    Raises: PodwrightError that names the entry at fault.
    """
    if network in (None, DEFAULT):
        return None
    if network != ISOLATED and not isinstance(network, dict):
        raise option_error("network", f"'{network}' is neither {DEFAULT} nor {ISOLATED} nor a mapping with ingress and egress.")
    allowed = {} if network == ISOLATED else network
    unknown = sorted(set(allowed) - set(_DIRECTIONS))
    if unknown:
        raise option_error("network", f"unknown key '{unknown[0]}'; known are ingress and egress.")
    spec = {"podSelector": {"matchLabels": {TASK: name}}, "policyTypes": ["Ingress", "Egress"]}
    for direction, side in _DIRECTIONS.items():
        # An empty list is named as well: what is not named belongs to whoever adds a rule by hand.
        spec[direction] = [_build_rule(direction, side, entry) for entry in allowed.get(direction) or []]
    metadata = {"name": policy_name(name), "namespace": namespace, "labels": MANAGED | {TASK: name}}
    metadata |= {"ownerReferences": [owner]} if owner else {}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def policy_name(name):
    """The name of a task's policy."""
    return f"{name}-network"


def _build_rule(direction, side, entry):
    if entry == DNS:
        servers = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: "kube-system"}}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
        return {side: [servers], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    if entry == SAME_NAMESPACE:
        return {side: [{"podSelector": {}}]}
    if isinstance(entry, str):
        entry = {"cidr": entry}
    if not isinstance(entry, dict) or not entry or set(entry) - _KEYS:
        hint = f"Each is {DNS}, {SAME_NAMESPACE}, a range of addresses, or a mapping with some of {', '.join(sorted(_KEYS))}."
        raise option_error(f"network.{direction}", f"'{entry}' is no entry.", hint)
    rule = {side: [_build_peer(direction, entry)]} if set(entry) - {"ports"} else {}
    return rule | ({"ports": [_build_port(direction, port) for port in entry["ports"]]} if entry.get("ports") else {})


def _build_peer(direction, entry):
    if "cidr" in entry:
        if "namespace" in entry or "pods" in entry:
            raise option_error(f"network.{direction}", "an entry names either addresses (cidr) or pods, not both.")
        block = {"cidr": _network(direction, entry["cidr"])}
        return {"ipBlock": block | ({"except": [_network(direction, part) for part in entry["except"]]} if entry.get("except") else {})}
    peer = {}
    if "namespace" in entry:
        peer["namespaceSelector"] = {"matchLabels": {NAMESPACE_NAME: str(entry["namespace"])}}
    if "pods" in entry:
        if not isinstance(entry["pods"], dict):
            raise option_error(f"network.{direction}.pods", f"'{entry['pods']}' is no mapping of labels.")
        peer["podSelector"] = {"matchLabels": {str(key): str(value) for key, value in entry["pods"].items()}}
    return peer


def _network(direction, text):
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise option_error(f"network.{direction}", f"{error}.", "Write a range as 10.0.0.0/8, one address as 10.1.2.3/32.") from error


def _build_port(direction, port):
    number, _slash, protocol = str(port).partition("/")
    if protocol.upper() not in ("", "TCP", "UDP", "SCTP") or not number:
        raise option_error(f"network.{direction}.ports", f"'{port}' is no port.", "Write a port as 443, 53/UDP or the name of a container's port.")
    return {"port": int(number) if number.isdigit() else number, "protocol": protocol.upper() or "TCP"}
