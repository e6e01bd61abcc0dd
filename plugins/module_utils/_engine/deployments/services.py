# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The selector and ports of a Service, which belong to a version of the pods, and the references of a route to Services. Pure functions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ..objects.labels import ACTIVE, DEPLOYMENT, MANAGED, PORTS, annotation_of
from ..tasks.field_names import camelize
from ..text import MAX_PORT, parse_integer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..values import Manifest, Options

_FIELDS = ("name", "port", "targetPort", "protocol")


class Noted(NamedTuple):
    """The Service of a version; the name is empty if it has none, and None if an earlier version of this collection has noted the ports only."""

    name: str | None
    ports: list[Manifest]


UNKNOWN = Noted(None, [])


def selector_in(service: Manifest) -> dict[str, str]:
    """The selector of a live Service; empty if it has none, such as one that somebody has taken out of service."""
    return service["spec"].get("selector") or {}


def ports_of(service: Manifest) -> list[Manifest]:
    """The ports of a Service without what the API server and others add."""
    return [{name: port[name] for name in _FIELDS if port.get(name)} for port in service["spec"].get("ports") or []]


def note_of(service: Manifest | None) -> dict[str, str]:
    """The annotation of a Deployment for its Service, or for none. The controller of Deployments copies it to the ReplicaSet of that version."""
    noted = {"name": service["metadata"]["name"], "ports": ports_of(service)} if service else {"name": ""}
    return {PORTS: json.dumps(noted, sort_keys=True)}


def noted_service(item: Manifest) -> Noted | None:
    """The Service of a version, by its Deployment or ReplicaSet; None if an earlier version of this collection has created that."""
    try:
        noted = json.loads(annotation_of(item, PORTS) or "null")
        name, ports = (None, noted) if isinstance(noted, list) else (str(noted["name"]), noted.get("ports"))
        return Noted(name, ports_of({"spec": {"ports": ports}})) if ports or name == "" else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def leads_elsewhere(live: Manifest, desired: Manifest) -> bool:
    """Whether a Service would select other pods, or have other ports."""
    return selector_in(live) != selector_in(desired) or ports_of(live) != ports_of(desired)


def build_noted(name: str, deployment: str | None, selector: dict[str, str], ports: list[Manifest], active: str | None = None) -> Manifest:
    """The manifest of the Service of a version that returns.

    Args:
        active: the generation in service, which is stored as an annotation.
    """
    metadata = {"name": name, "labels": MANAGED | {DEPLOYMENT: deployment}} | ({"annotations": {ACTIVE: active}} if active else {})
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector, "ports": ports}}


def moved_target(live: Manifest, desired: Manifest, params: Options) -> str | None:
    """How the target port of a port changes, by which pods of two versions cannot serve at the same time; None if it does not, or that is unknown.

    Args:
        params: options of pod_deployment, which name the ports of the container.
    """
    containers = [camelize(port) for port in params["ports"] or [] if isinstance(port, dict)]
    numbers = {port["name"]: port.get("containerPort") for port in containers if port.get("name")}
    targets = {(port["port"], port["protocol"]): port["targetPort"] for port in ports_of(desired)}
    for port in ports_of(live):
        before = port.get("targetPort", port["port"])
        after = targets.get((port["port"], port.get("protocol")), before)
        old, new = (parse_integer(numbers.get(target, target), MAX_PORT) for target in (before, after))
        if None not in (old, new) and old != new:
            return f"the target port of port {port['port']} changes from {before} to {after}"
    return None


def with_backends(route: Manifest, change: Callable[[Any], Any]) -> Manifest:
    """The patch of a route that changes its references to Services. A rule without any, such as a redirect, stays as it is.

    Args:
        change: called with each reference; returns what replaces it, or None to remove it.
    """
    rules = route["spec"].get("rules") or []
    changed = [rule | {"backendRefs": [ref for ref in map(change, rule["backendRefs"]) if ref]} if rule.get("backendRefs") else rule for rule in rules]
    return {"spec": {"rules": changed}}


def on_its_port(ref: Any, service: Manifest | None) -> Any:
    """A reference of a route, on a port that its Service has."""
    ports = [port["port"] for port in service["spec"].get("ports") or []] if service and ref["name"] == service["metadata"]["name"] else []
    return ref | {"port": ports[0]} if ports and ref.get("port") not in ports else ref


def backends_of(route: Manifest) -> list[Any]:
    """The references of a route to Services."""
    return [ref for rule in route["spec"].get("rules") or [] for ref in rule.get("backendRefs") or []]
