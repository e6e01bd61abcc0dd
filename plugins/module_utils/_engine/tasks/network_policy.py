# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The NetworkPolicy that restricts a task's traffic (https://kubernetes.io/docs/concepts/services-networking/network-policies/)."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from ..errors import option_error
from ..objects.labels import MANAGED, TASK
from ..text import MAX_PORT, parse_integer
from .options import check_keys, text_of, texts_of

if TYPE_CHECKING:
    from ..values import Manifest

ISOLATED, DEFAULT = "isolated", "default"
DNS, SAME_NAMESPACE = "dns", "same_namespace"
NAMESPACE_NAME = "kubernetes.io/metadata.name"
_PEER_KEYS = ("cidr", "except", "namespace", "pods", "ports")
_DIRECTIONS = {"ingress": "from", "egress": "to"}


def build_policy(name: str, namespace: str, network: Any, owner: Manifest | None = None) -> Manifest | None:
    """The manifest of a task's NetworkPolicy, or None if it has none of its own.

    Args:
        name: the name of the task.
        network: the option: `default`, `isolated`, or a mapping with lists `ingress` and `egress` of allowed peers.
        owner: the owner reference to the task's Pod or Job, or None before that exists.

    Raises: PodwrightError that names the invalid option.
    """
    if network in (None, DEFAULT):
        return None
    if network != ISOLATED and not isinstance(network, dict):
        raise option_error("network", f"must be {DEFAULT}, {ISOLATED} or a mapping with {' and '.join(_DIRECTIONS)}, got {network!r}.")
    allowed = {} if network == ISOLATED else network
    check_keys("network", allowed, _DIRECTIONS)
    spec: Manifest = {"podSelector": {"matchLabels": {TASK: name}}, "policyTypes": ["Ingress", "Egress"]}
    for direction, side in _DIRECTIONS.items():
        # An empty list is applied, too: Podwright would not own a field that it leaves out.
        peers = _list(allowed.get(direction), f"network.{direction}")
        spec[direction] = [_build_rule(peer, side, f"network.{direction}[{index}]") for index, peer in enumerate(peers)]
    metadata: Manifest = {"name": policy_name(name), "namespace": namespace, "labels": MANAGED | {TASK: name}}
    metadata |= {"ownerReferences": [owner]} if owner else {}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def policy_name(name: str) -> str:
    """The name of a task's NetworkPolicy."""
    return f"{name}-network"


def _list(value: Any, option: str) -> list[Any]:
    if not isinstance(value or [], list):
        raise option_error(option, f"must be a list, got {value!r}.")
    return value or []


def _build_rule(peer: Any, side: str, option: str) -> Manifest:
    """The rule that allows a peer; `side` is the field for peers, `from` or `to`."""
    if peer == DNS:
        servers = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: "kube-system"}}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
        return {side: [servers], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    if peer == SAME_NAMESPACE:
        return {side: [{"podSelector": {}}]}
    if isinstance(peer, str):
        return {side: [{"ipBlock": {"cidr": _cidr(peer, option)}}]}
    if not isinstance(peer, dict) or not peer:
        raise option_error(option, f"must be {DNS}, {SAME_NAMESPACE}, a CIDR or a mapping with some of {', '.join(_PEER_KEYS)}, got {peer!r}.")
    check_keys(option, peer, _PEER_KEYS)
    rule = {side: [_build_peer(peer, option)]} if set(peer) - {"ports"} else {}
    ports = _given_list(peer, "ports", option)
    return rule | ({"ports": [_build_port(port, f"{option}.ports[{index}]") for index, port in enumerate(ports)]} if ports else {})


def _given_list(peer: Manifest, name: str, option: str) -> list[Any]:
    """A list of a peer; empty only if it is left out, since without it the API allows everything. Raises: PodwrightError."""
    found = _list(peer.get(name), f"{option}.{name}")
    if name in peer and not found:
        raise option_error(f"{option}.{name}", "must not be empty.", f"Leave out {name} if all are allowed, or the peer if none is.")
    return found


def _build_peer(peer: Manifest, option: str) -> Manifest:
    if "cidr" in peer:
        if "namespace" in peer or "pods" in peer:
            raise option_error(option, "must have either cidr, or namespace and pods, got both.")
        block: Manifest = {"cidr": _cidr(peer["cidr"], f"{option}.cidr")}
        exceptions = _given_list(peer, "except", option)
        parts = [_part(text, block["cidr"], f"{option}.except[{index}]") for index, text in enumerate(exceptions)]
        return {"ipBlock": block | ({"except": parts} if parts else {})}
    if "except" in peer:
        raise option_error(f"{option}.except", "requires cidr, which is not set.")
    built: Manifest = {}
    if "namespace" in peer:
        built["namespaceSelector"] = {"matchLabels": {NAMESPACE_NAME: text_of(f"{option}.namespace", peer["namespace"])}}
    if "pods" in peer:
        if not isinstance(peer["pods"], dict):
            raise option_error(f"{option}.pods", f"must be a mapping of labels, got {peer['pods']!r}.")
        built["podSelector"] = {"matchLabels": texts_of(f"{option}.pods", peer["pods"])}
    return built


def _cidr(text: str, option: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        forms = f"{DNS}, {SAME_NAMESPACE} or a CIDR" if option.endswith("]") else "a CIDR"
        raise option_error(option, f"must be {forms} such as 10.0.0.0/8 or 10.1.2.3/32, got {text!r} ({error}).") from error


def _part(text: str, cidr: str, option: str) -> str:
    """A CIDR within another one. Raises: PodwrightError for one that is not."""
    part: Any = ipaddress.ip_network(_cidr(text, option))
    whole = ipaddress.ip_network(cidr)
    if part.version != whole.version or part == whole or not part.subnet_of(whole):
        raise option_error(option, f"must be a part of {cidr}, got {text!r}.")
    return str(part)


def _build_port(port: Any, option: str) -> Manifest:
    """A port, by number or by the name of a container's port, or a range of ports (`endPort`, KEP-2079)."""
    number, _slash, protocol = str(port).partition("/")
    parts = number.split("-", 1)
    bounds = [bound for text in parts if (bound := parse_integer(text, MAX_PORT, 1)) is not None]
    is_range = len(bounds) == len(parts) and bounds == sorted(bounds)
    if protocol.upper() not in ("", "TCP", "UDP", "SCTP") or not (is_range or re.search("[a-z]", number)):
        raise option_error(option, f"must be a port such as 443 or 53/UDP, a range such as 8000-8100, or the name of a container's port, got {port!r}.")
    built: Manifest = {"port": bounds[0] if is_range else number, "protocol": protocol.upper() or "TCP"}
    return built | ({"endPort": bounds[1]} if is_range and len(bounds) > 1 else {})
