# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a deployment is made of, and the arithmetic of its strategies. Pure functions."""

from __future__ import annotations

import operator
import re

from ..errors import option_error
from ..objects.labels import ACTIVE, ATTEMPT, DEPLOYMENT, GENERATION, HASH, MANAGED, RESOURCES, REVISION, STRATEGY, TASK
from ..tasks.pod_template import build_manifest
from ..tasks.task_spec import digest

ROLLING, BLUE_GREEN, CANARY = "rolling", "blue_green", "canary"
UNPROBED_SECONDS = 2  # that a pod without a readiness probe must run: else one that ends at once counts as ready for a moment
SUCCESS, FAILURE, INCONCLUSIVE = "success", "failure", "inconclusive"
_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}
_CONDITION = re.compile(r"(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)")
_TEMPLATE_LABELS = (HASH, ATTEMPT, TASK)


def generation_of(spec):
    """The generation that a TaskSpec asks for: a digest of its options, resources among them."""
    return digest([spec.hash, spec.resources_hash])[:10]


def build_deployment(spec, params, profile, generation, replicas, revision=None):
    """The Deployment of one generation.

    Args:
        spec: the TaskSpec of its pods.
        params: the module's options.
        generation: its digest, or `rolling` for the only one that there is.
    """
    pod = build_manifest(spec, profile)
    own = {DEPLOYMENT: params["name"], GENERATION: generation}
    labels = {key: value for key, value in pod["metadata"]["labels"].items() if key not in _TEMPLATE_LABELS} | own
    annotations = {key: value for key, value in pod["metadata"]["annotations"].items() if key != RESOURCES}
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": _drain(pod["spec"], params)}
    rolling = {"maxSurge": _number(params["max_surge"]), "maxUnavailable": _number(params["max_unavailable"])}
    deployment = {"replicas": replicas, "selector": {"matchLabels": own}, "template": template, "progressDeadlineSeconds": params["progress_deadline"]}
    deployment |= {"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    if "readinessProbe" not in pod["spec"]["containers"][0]:
        deployment["minReadySeconds"] = UNPROBED_SECONDS
    metadata = {"name": deployment_name(params["name"], generation), "labels": MANAGED | own}
    metadata |= {"annotations": {REVISION: str(revision), STRATEGY: params["strategy"]}} if revision else {}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment}


def deployment_name(name, generation):
    """The name of a generation's Deployment."""
    return name if generation == ROLLING else f"{name}-{generation}"


def _number(value):
    """A count or a share as the API writes it."""
    return int(value) if str(value).isdigit() else str(value)


def _drain(pod, params):
    """Pods of a Service go on serving for a while after they were taken out of it: what is on its way to them still arrives."""
    container, seconds = pod["containers"][0], params["drain_seconds"]
    if not params["service"] or not seconds or (container.get("lifecycle") or {}).get("preStop"):
        return pod
    lifecycle = (container.get("lifecycle") or {}) | {"preStop": {"sleep": {"seconds": seconds}}}
    return pod | {"containers": [container | {"lifecycle": lifecycle}, *pod["containers"][1:]]}


def build_service(params, selector, active=None, canary=None):
    """The Service of a deployment, or None where it has none.

    Args:
        selector: the labels of the pods that traffic goes to.
        active: the generation that counts, noted for the next run.
        canary: the generation that it is for, where a route divides the traffic between two Services.
    """
    given = params["service"]
    if not given:
        return None
    given = {"name": given} if isinstance(given, str) else given
    ports = [_build_port(port) for port in given.get("ports") or params["ports"] or []]
    if not ports:
        raise option_error("service", "it has no ports.", "Give service.ports, or the container's ports.")
    metadata = {"name": given["name"], "labels": MANAGED | {DEPLOYMENT: params["name"]}}
    metadata |= {"annotations": {ACTIVE: active}} if active else {}
    if canary:
        metadata |= {"name": f"{given['name']}-canary", "labels": metadata["labels"] | {GENERATION: canary}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector, "ports": ports}}


def build_route(kind, params, service, canary, weight):
    """The HTTPRoute (Gateway API) that divides the traffic between two Services.

    Args:
        kind: the Kind that the cluster serves.
        service, canary: manifests of the Services; weight: the canary's share (%).
    """
    asked = params["canary"]["route"]
    shares = ((service, 100 - weight), (canary, weight))
    backends = [{"name": item["metadata"]["name"], "port": item["spec"]["ports"][0]["port"], "weight": share} for item, share in shares]
    spec = {"parentRefs": [{"name": name} if isinstance(name, str) else name for name in asked["parents"]], "rules": [{"backendRefs": backends}]}
    spec |= {"hostnames": asked["hostnames"]} if asked["hostnames"] else {}
    metadata = {"name": params["name"], "labels": MANAGED | {DEPLOYMENT: params["name"]}}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": spec}


def _build_port(port):
    if isinstance(port, dict):
        number = port.get("port") or port.get("container_port") or port.get("containerPort")
        built = {"port": number, "targetPort": port.get("target_port") or port.get("targetPort") or number, "protocol": port.get("protocol", "TCP")}
        return built | ({"name": port["name"]} if port.get("name") else {})
    return {"port": int(port), "targetPort": int(port), "protocol": "TCP"}


def check(params):
    """What can be known without a server. Raises: PodwrightError that names the option."""
    if params["replicas"] < 0:
        raise option_error("replicas", f"{params['replicas']} is less than 0.")
    if params["strategy"] != ROLLING and not params["service"]:
        raise option_error("service", f"the strategy {params['strategy']} needs one.", "It is the Service that turns traffic from one generation to the next.")
    if params["strategy"] != ROLLING and not params["wait"]:
        raise option_error(
            "wait", f"the strategy {params['strategy']} turns traffic only to pods that it has seen ready.", "Leave wait at true, or use rolling."
        )
    if str(params["max_surge"]) in ("0", "0%") and str(params["max_unavailable"]) in ("0", "0%"):
        raise option_error("max_surge", "with max_unavailable 0 it must be more than 0, or nothing could ever change.")
    if isinstance(params["service"], dict) and not params["service"].get("name"):
        raise option_error("service", "it has no name.")
    grace = params.get("termination_grace_period")
    if params["service"] and params["drain_seconds"] and grace is not None and grace <= params["drain_seconds"]:
        raise option_error("termination_grace_period", f"{grace} s leaves nothing after drain_seconds ({params['drain_seconds']} s).", "Make it longer.")
    last = 0
    for step in (params["canary"] or {}).get("steps") or []:
        if not 0 < step["weight"] < 100 or step["weight"] < last:
            raise option_error("canary.steps", f"the weight {step['weight']} is not above 0, below 100 and at least the one before.")
        last = step["weight"]
    for analysis in (params["canary"] or {}).get("analysis") or []:
        if sum(analysis[name] is not None for name in ("prometheus", "request", "command")) != 1:
            raise option_error("canary.analysis", "each entry asks one of prometheus, request and command.")
        for name in (SUCCESS, FAILURE):
            if analysis[name] is not None and not _CONDITION.fullmatch(analysis[name].strip()):
                raise option_error(f"canary.analysis.{name}", f"'{analysis[name]}' is no condition.", "Write one as < 0.05, >= 1 or == 200.")
        if analysis["prometheus"] and not analysis[SUCCESS]:
            raise option_error("canary.analysis.success", "a query needs one.", "Write one as < 0.05.")


def canary_replicas(replicas, weight):
    """How many pods beside all the stable ones take about that share (%) of the traffic; the stable ones are never fewer."""
    return max(1, round(replicas * weight / (100 - weight)))


def share_of(count, other):
    """The share (%) of the traffic that so many pods beside so many others take."""
    return round(100 * count / (count + other), 1) if count + other else 0


def judge_value(value, success, failure):
    """The outcome of a measurement: `success`, `failure` or `inconclusive`.

    Args:
        value: a number, or None where there is none.
        success, failure: conditions such as `< 0.05`; without a failure, whatever is no success is one.
    """
    if value is None:
        return INCONCLUSIVE
    if failure and _holds(value, failure):
        return FAILURE
    if success and _holds(value, success):
        return SUCCESS
    return INCONCLUSIVE if failure else FAILURE


def _holds(value, text):
    comparison, number = _CONDITION.fullmatch(text.strip()).groups()
    return _COMPARISONS[comparison](value, float(number))
