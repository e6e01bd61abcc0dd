# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The targets of the Services and of the route of a deployment, which all strategies change alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.client import JSON_PATCH
from ..cluster.kinds import SERVICE
from ..objects.labels import ACTIVE, DEPLOYMENT, GENERATION, annotation_of
from .options import ROLLING
from .services import build_noted, noted_service, on_its_port, ports_of, selector_in, with_backends

if TYPE_CHECKING:
    from ..values import Patch
    from .deployer import Deployer


def select_generation(deployer: Deployer, generation: str) -> None:
    """Switch the live Service to a generation, with its ports, in one write; one with another name is replaced. Raises: PodwrightError."""
    selector, noted = {DEPLOYMENT: deployer.name, GENERATION: generation}, noted_service(deployer.deployments[generation])
    services = [item for item in deployer.services if not (noted and noted.name) or item["metadata"]["name"] == noted.name]
    if noted and noted.name and not services:
        missing = build_noted(noted.name, deployer.name, selector, noted.ports, generation)
        deployer.check_owner(SERVICE, missing)
        deployer.apply(missing, wait=False)
    path = f"/metadata/annotations/{ACTIVE.replace('/', '~1')}"
    body: Patch = [{"op": "add", "path": "/spec/selector", "value": selector}, {"op": "add", "path": path, "value": generation}]
    for service in services:
        if noted and noted.ports and ports_of(service) != noted.ports:
            # Applied and not patched: the next version must be able to remove a port.
            deployer.apply(build_noted(service["metadata"]["name"], deployer.name, selector, noted.ports, generation), wait=False)
        elif selector_in(service) != selector or (annotation_of(service, ACTIVE) or ROLLING) != generation:
            annotations = [] if service["metadata"].get("annotations") else [{"op": "add", "path": "/metadata/annotations", "value": {}}]
            deployer.patch(service, annotations + body, "all traffic is switched to one generation", JSON_PATCH)
    if noted and noted.name:
        deployer.observe_changes()
        delete_other_services(deployer, noted.name)


def delete_other_services(deployer: Deployer, name: str | None) -> None:
    """Delete the Services with other names; routes to them lead to that of the name, and are deleted without one. Raises: PodwrightError."""
    obsolete = {item["metadata"]["name"]: item for item in deployer.services if item["metadata"]["name"] != name}
    kept = next((item for item in deployer.services if item["metadata"]["name"] == name), None)
    for route in deployer.routes() if obsolete else ():
        if not kept:
            deployer.delete(route, "it has no Service any more")
            continue
        body = with_backends(route, lambda ref: on_its_port(ref | {"name": name} if ref["name"] in obsolete else ref, kept))
        deployer.patch(route, body, "the Service has another name")
    for item in obsolete.values():
        deployer.delete(item, "it is not that of the version in service")


def remove_route_split(deployer: Deployer) -> None:
    """Route all traffic to the Service again, on a port that it has, and delete the Service of the canary. Raises: PodwrightError."""
    names = [item["metadata"]["name"] for item in deployer.canary_services]
    services = [(change.before, change.after) for change in deployer.changes if change.kind == SERVICE]
    is_moved = any(before and after and ports_of(before) != ports_of(after) for before, after in services)
    for route in deployer.routes(is_optional=not names) if names or is_moved else ():
        body = with_backends(route, lambda ref: None if ref["name"] in names else on_its_port(ref, deployer.service))
        deployer.patch(route, body, "all traffic is routed to the Service")
    for item in deployer.canary_services:
        deployer.delete(item, "it receives no traffic")
