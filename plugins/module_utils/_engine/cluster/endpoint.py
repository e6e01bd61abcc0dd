# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The port of a pod to which requests to a pod or Service are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import NO_PODS, PodwrightError, not_found_error, option_error
from ..objects.containers import long_running_containers
from ..objects.pod_status import is_serving
from ..objects.selectors import pod_selector
from ..text import MAX_PORT, parse_integer
from .kinds import POD, SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..values import Manifest
    from .client import Client


@dataclass(frozen=True)
class Endpoint:
    """A port of a pod, and the host and port that the requests name."""

    namespace: str
    pod: str
    port: int
    host: str
    host_port: int

    def __str__(self) -> str:
        return f"port {self.port} of pod '{self.pod}' in namespace '{self.namespace}'"


def find_pod_endpoint(client: Client, namespace: str, name: str, port: str) -> Endpoint:
    """A port of a pod, by its number or name. Raises: PodwrightError."""
    pod = client.get(POD, namespace, name)
    if pod is None:
        raise not_found_error("Pod", name, namespace, "Check pod and namespace.")
    number = _number_of(pod, port)
    if number is None:
        raise _port_not_found(port, f"pod '{name}'", _ports_of(pod))
    return Endpoint(namespace, name, number, name, number)


def find_service_endpoint(client: Client, namespace: str, name: str, port: str) -> Endpoint:
    """The target port of a Service in one of the pods to which it sends traffic. Raises: PodwrightError."""
    service = client.get(SERVICE, namespace, name)
    if service is None:
        raise not_found_error("Service", name, namespace, "Check service and namespace.")
    ports = [entry for entry in service["spec"].get("ports") or [] if _is_tcp(entry)]
    found = next((entry for entry in ports if port in (str(entry["port"]), entry.get("name"))), None)
    if found is None:
        raise _port_not_found(port, f"Service '{name}'", [(entry["port"], entry.get("name")) for entry in ports])
    pods = _backends(client, service, namespace)
    target = str(found.get("targetPort") or found["port"])
    for pod in pods:
        if (number := _number_of(pod, target)) is not None:
            # The name of a headless Service is that of its pods.
            host_port = number if service["spec"].get("clusterIP") == "None" else found["port"]
            return Endpoint(namespace, pod["metadata"]["name"], number, f"{name}.{namespace}.svc", host_port)
    raise _port_not_found(target, " and ".join(f"pod '{pod['metadata']['name']}'" for pod in pods[:2]), _ports_of(pods[0]))


def _backends(client: Client, service: Manifest, namespace: str) -> list[Manifest]:
    """The pods to which a Service sends traffic, ready ones first. Raises: PodwrightError if there are none."""
    name, selector = service["metadata"]["name"], pod_selector(service)
    if not selector:
        raise PodwrightError(f"Service '{name}' in namespace '{namespace}' has no selector.", reason=NO_PODS, hint="Set pod instead of service.")
    pods, _version = client.list(POD, namespace, label_selector=selector)
    includes_running = bool(service["spec"].get("publishNotReadyAddresses"))
    found = [pod for pod in pods if is_serving(pod) or (includes_running and (pod.get("status") or {}).get("phase") == "Running")]
    if not found:
        message = f"Service '{name}' in namespace '{namespace}' has no {'running' if includes_running else 'ready'} pods; it selects {len(pods)} pods."
        raise PodwrightError(message, reason=NO_PODS, hint="Wait for them with pod_info and wait_for: ready.")
    return sorted(found, key=lambda pod: (not is_serving(pod), pod["metadata"]["name"]))


def _number_of(pod: Manifest, port: str) -> int | None:
    """The number of a port, from its number or name; None if the pod has none of that name."""
    number = parse_integer(port, MAX_PORT, 1)
    return number if number is not None else next((number for number, name in _ports_of(pod) if name == port), None)


def _ports_of(pod: Manifest) -> list[tuple[int, str | None]]:
    entries = (entry for container in long_running_containers(pod) for entry in container.get("ports") or [])
    return [(int(entry["containerPort"]), entry.get("name")) for entry in entries if _is_tcp(entry)]


def _is_tcp(entry: dict[str, Any]) -> bool:
    return bool(entry.get("protocol", "TCP") == "TCP")


def _port_not_found(port: str, place: str, ports: Iterable[tuple[int, str | None]]) -> PodwrightError:
    known = ", ".join(f"{number} ({name})" if name else str(number) for number, name in ports)
    return option_error("port", f"'{port}' not found in {place}; TCP ports: {known or 'none'}.")
