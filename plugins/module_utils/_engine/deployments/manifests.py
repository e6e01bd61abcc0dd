# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The objects of a deployment: Deployments, Services and an HTTPRoute. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import option_error
from ..objects.labels import ACTIVE, ATTEMPT, DEPLOYMENT, GENERATION, HASH, MANAGED, RESOURCES, REVISION, STRATEGY, TASK
from ..tasks.field_names import camelize
from ..tasks.pod_template import build_manifest
from ..tasks.task_secret import lasting_name, rename_secret, secret_name
from ..tasks.task_spec import digest
from ..text import MAX_PORT, parse_integer
from .options import CANARY_SUFFIX, ROLLING
from .services import note_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..cluster.kinds import Kind
    from ..tasks.task_spec import TaskSpec
    from ..values import Manifest, Options

# minReadySeconds of pods without a readiness probe: a container that exits immediately would otherwise be ready for a moment.
MIN_READY_SECONDS = 2
MAX_COUNT = 2**31 - 1
GENERATION_LENGTH = 10  # hexadecimal digits
_LABELS_OF_TASKS = (HASH, ATTEMPT, TASK)
_PORT_OPTIONS = ("port", "target_port", "name", "protocol")
_PORT_FIELDS = frozenset(camelize(dict.fromkeys(_PORT_OPTIONS)))
_CONTAINER_PORT_FIELDS = frozenset(("containerPort", "hostPort", "hostIP"))


def generation_of(spec: TaskSpec) -> str:
    """The generation of a pod template: a digest of its options, including the resources."""
    return digest([spec.hash, spec.resources_hash])[:GENERATION_LENGTH]


def deployment_name(name: str, generation: str) -> str:
    """The name of the Deployment of a generation."""
    return name if generation == ROLLING else f"{name}-{generation}"


def build_deployment(spec: TaskSpec, params: Options, profile: str, generation: str, replicas: int, revision: int | None = None) -> Manifest:
    """The Deployment of a generation.

    Args:
        spec: the pods.
        params: options of pod_deployment.
        profile: Pod Security profile of the pods.
        generation: from `generation_of`, or `rolling` for a single Deployment whose controller replaces the pods.
        revision: number of the generation; None for `rolling`, whose revisions Kubernetes counts.
    """
    pod = build_manifest(spec, profile)
    own = {DEPLOYMENT: params["name"], GENERATION: generation}
    labels = {key: value for key, value in pod["metadata"]["labels"].items() if key not in _LABELS_OF_TASKS} | own
    of_pods = {key: value for key, value in pod["metadata"]["annotations"].items() if key != RESOURCES}
    rolling_update = {"maxSurge": _count_or_percentage(params["max_surge"]), "maxUnavailable": _count_or_percentage(params["max_unavailable"])}
    deployment = {
        "replicas": replicas,
        "selector": {"matchLabels": own},
        "template": {"metadata": {"labels": labels, "annotations": of_pods}, "spec": _add_drain(pod["spec"], params)},
        "progressDeadlineSeconds": params["progress_deadline"],
        "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling_update},
    }
    if params["min_ready_seconds"] is not None:
        deployment["minReadySeconds"] = params["min_ready_seconds"]
    elif "readinessProbe" not in pod["spec"]["containers"][0]:
        deployment["minReadySeconds"] = min(MIN_READY_SECONDS, params["progress_deadline"] - 1)  # the API server requires that it is less
    name = deployment_name(params["name"], generation)
    metadata = {"name": name, "labels": MANAGED | own}
    service = build_service(params, {})
    annotations = ({REVISION: str(revision), STRATEGY: params["strategy"]} if revision else {}) | note_of(service)
    metadata |= {"annotations": annotations}
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment}
    return rename_secret(manifest, lasting_name(name, spec.options)) if secret_name(manifest) else manifest


def _count_or_percentage(value: Any) -> int | str:
    number = parse_integer(value, MAX_COUNT)
    return str(value) if number is None else number


def _add_drain(pod: Manifest, params: Options) -> Manifest:
    """The pod spec with a preStop hook that waits: requests arrive until every node knows that the pod is no longer an endpoint of the Service."""
    container, seconds = pod["containers"][0], params["drain_seconds"]
    lifecycle = container.get("lifecycle") or {}
    if not params["service"] or not seconds or lifecycle.get("preStop"):
        return pod
    drained = container | {"lifecycle": lifecycle | {"preStop": {"sleep": {"seconds": seconds}}}}
    return pod | {"containers": [drained, *pod["containers"][1:]]}


def service_name(params: Options) -> str | None:
    """The name of the Service of a deployment, or None if it has none."""
    service = params["service"]
    name: str | None = service.get("name") if isinstance(service, dict) else service
    return name or None


def build_service(params: Options, selector: dict[str, str], active: str | None = None, canary: str | None = None) -> Manifest | None:
    """The Service of a deployment, or None if it has none.

    Args:
        selector: labels of the pods.
        active: the generation in service, which is stored as an annotation.
        canary: the generation of a second Service, for a route that splits the traffic.

    Raises: PodwrightError if no ports are given.
    """
    service = params["service"]
    if not service:
        return None
    name, service = service_name(params), service if isinstance(service, dict) else {}
    option, known = ("service.ports", _PORT_FIELDS) if service.get("ports") else ("ports", _PORT_FIELDS | _CONTAINER_PORT_FIELDS)
    ports = [_build_port(f"{option}[{index}]", port, known) for index, port in enumerate(service.get("ports") or params["ports"] or [])]
    if not ports:
        raise option_error("service.ports", "missing, and the container has no ports either.", "Set service.ports or ports.")
    if 1 < len(ports) > len({port["name"] for port in ports if "name" in port}):
        raise option_error(option, "each must have a name of its own if there are several.")
    metadata: Manifest = {"name": name, "labels": MANAGED | {DEPLOYMENT: params["name"]}}
    metadata |= {"annotations": {ACTIVE: active}} if active else {}
    if canary:
        metadata |= {"name": f"{name}{CANARY_SUFFIX}", "labels": metadata["labels"] | {GENERATION: canary}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector, "ports": ports}}


def _build_port(option: str, port: Any, known: Collection[str]) -> Manifest:
    """The port of a Service.

    Args:
        port: a number, or a mapping: an entry of `service.ports`, or a port of the container.
        known: the keys that a mapping may have.
    """
    entry: Manifest = camelize(port) if isinstance(port, dict) else {"port": port}
    unknown = [name for name in port if not camelize({name: None}).keys() <= known] if isinstance(port, dict) else []
    if unknown:
        raise option_error(f"{option}.{unknown[0]}", f"unknown option; a port of a Service has {', '.join(_PORT_OPTIONS)}.")
    number = parse_integer(entry.get("port") or entry.get("containerPort"), MAX_PORT, 1)
    if number is None:
        raise option_error(option, f"must be a port number from 1 to {MAX_PORT} or a mapping with port, got {port!r}.")
    target = entry.get("targetPort") or number
    built = {"port": number, "targetPort": parse_integer(target, MAX_PORT, 1) or target, "protocol": entry.get("protocol") or "TCP"}
    return built | ({"name": entry["name"]} if entry.get("name") else {})


def build_route(kind: Kind, params: Options, service: Manifest, canary: Manifest | None, weight: int) -> Manifest:
    """The HTTPRoute that splits the traffic between two Services (https://gateway-api.sigs.k8s.io/reference/spec/#httproute).

    Args:
        kind: HTTPRoute in the version that the cluster serves.
        canary: None once its Service has been deleted.
        weight: share of the canary in percent.
    """
    route = params["canary"]["route"]
    shares = ((service, 100 - weight), (canary, weight))
    backends = [{"name": item["metadata"]["name"], "port": item["spec"]["ports"][0]["port"], "weight": share} for item, share in shares if item]
    spec = {"parentRefs": [{"name": name} if isinstance(name, str) else name for name in route["parents"]], "rules": [{"backendRefs": backends}]}
    spec |= {"hostnames": route["hostnames"]} if route["hostnames"] else {}
    metadata = {"name": params["name"], "labels": MANAGED | {DEPLOYMENT: params["name"]}}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}


def canary_replicas(replicas: int, weight: int) -> int:
    """The number of canary pods beside all stable pods that receives about that share of the traffic in percent."""
    return max(1, round(replicas * weight / (100 - weight)))


def share_of(count: float, other: float) -> float:
    """The share of `count` in the sum of both, in percent."""
    return round(100 * count / (count + other), 1) if count + other else 0
