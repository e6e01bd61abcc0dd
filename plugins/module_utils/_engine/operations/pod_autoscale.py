# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scale what runs pods: to a fixed number, by an autoscaler of the cluster, or by one step of our own."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from ..arguments import CONNECTION, WAIT, url_passwords, with_defaults
from ..autoscaling import policy as scaling
from ..clients.prometheus import query_prometheus
from ..cluster.client import MANAGER, MERGE_PATCH
from ..cluster.diagnosis import explain_workload
from ..cluster.kinds import AUTOSCALER, POD
from ..cluster.metrics import read_usage
from ..errors import PodwrightError, option_error
from ..objects.labels import annotation_of, selector_of
from ..objects.pod_status import is_serving
from ..objects.readiness import PROGRESSING, READY, Readiness, assess, condition
from ..objects.resources import pod_requests
from ..operation import Invocation, Operation
from ..reconciler.diff import yaml_diff
from ..reconciler.manifest import Redactor, difference, drop_managed_fields, key_of
from ..reconciler.observe import AUTOSCALED, target_of
from ..reconciler.plan import Change
from ..reconciler.reconciler import Options, Reconciler
from ..reconciler.wait import wait_until_ready

SCALED_OBJECT = ("keda.sh", "ScaledObject")
_API_VERSIONS = {"Deployment": "apps/v1", "ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "ReplicationController": "v1", "Job": "batch/v1", "Pod": "v1"}
_GUARDS = ("resource_version", "current_replicas", "continue_on_error")
_AUTOMATIC = ("target_cpu", "target_memory", "metrics", "prometheus", "scale_up_cooldown", "scale_down_cooldown", "behavior")

ARGUMENTS = {
    **CONNECTION,
    **with_defaults(WAIT, wait_timeout=120),
    "kind": {"type": "str", "default": "Deployment"},
    "api_version": {"type": "str", "aliases": ["api", "version"]},
    "name": {"type": "str"},
    "label_selectors": {"type": "list", "elements": "str", "default": []},
    "resource_version": {"type": "str"},
    "continue_on_error": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "replicas": {"type": "int"},
    "current_replicas": {"type": "int"},
    "min_replicas": {"type": "int", "default": 1},
    "max_replicas": {"type": "int", "default": 10},
    "target_cpu": {"type": "int"},
    "target_memory": {"type": "int"},
    "metrics": {"type": "list", "elements": "dict"},
    "prometheus": {
        "type": "dict",
        "options": {
            "server": {"type": "str", "required": True},
            "query": {"type": "str", "required": True},
            "target": {"type": "float", "required": True},
        },
    },
    "scale_up_cooldown": {"type": "int"},
    "scale_down_cooldown": {"type": "int"},
    "behavior": {"type": "dict"},
    "engine": {"type": "str", "choices": ["auto", "hpa", "keda", "direct"], "default": "auto"},
}


@dataclass
class Scaling:
    """What was read and done so far.

    Attributes:
        engine: what scales.
        changes: the steps.
        scaled: a Change of each object whose replicas it is about, also if the step changes its autoscaler.
        desired: how many replicas there should be; None for as many as there are.
        subject: the Change whose object the result shows, or None.
        metrics: as observed.
        errors: what could not be scaled.
    """

    engine: str = "none"
    changes: list[Change] = field(default_factory=list)
    scaled: list[Change] = field(default_factory=list)
    desired: int | None = None
    subject: Change | None = None
    metrics: list[dict] = field(default_factory=list)
    errors: list[dict] = field(default_factory=list)


def run(invocation: Invocation, outcome: Scaling) -> None:
    """Scale. Raises: PodwrightError."""
    params = invocation.params
    if (params["state"] == "absent" or params["replicas"] is None) and params["label_selectors"]:
        raise option_error("label_selectors", "an autoscaler holds one object.", "Give name, or replicas for a fixed number.")
    if params["state"] == "present" and params["replicas"] is None:
        scaling.check(params)
        given = next((name for name in _GUARDS if params[name]), None)
        if given:
            raise option_error(given, "it is for a fixed number.", "Leave it out, or give replicas.")
    if params["replicas"] is not None and (params["replicas"] < 0 or any(params[name] is not None for name in _AUTOMATIC)):
        given = next((name for name in _AUTOMATIC if params[name] is not None), None)
        raise option_error("replicas", f"a fixed number does not go with {given}." if given else f"{params['replicas']} is less than 0.")
    found = _find(invocation)
    if params["state"] == "absent":
        _leave(invocation, outcome, *(found[0] if found else (None, None)))
    elif params["replicas"] is not None:
        _scale_all(invocation, outcome, found)
    else:
        outcome.engine = _choose_engine(invocation)
        (_step if outcome.engine == "direct" else _reconcile)(invocation, outcome, *found[0])


def _choose_engine(invocation):
    """The engine asked for; `auto` is hpa, but where Prometheus is to be asked keda where it is installed, else direct."""
    engine, params = invocation.params["engine"], invocation.params
    if engine == "auto" and not params["prometheus"]:
        engine = "hpa"
    has_keda = engine in ("auto", "keda") and invocation.client.kinds.find_if_served(*SCALED_OBJECT) is not None
    if engine == "auto":
        engine = "keda" if has_keda else "direct"
    if engine == "keda" and not has_keda:
        raise PodwrightError("This cluster has no KEDA: keda.sh is not installed.", reason="NoKeda", hint="Install KEDA, or set engine to hpa or direct.")
    if engine == "direct" and params["metrics"]:
        raise option_error(
            "metrics", "the engine direct asks the metrics API and Prometheus only.", "Use target_cpu, target_memory or prometheus, or engine hpa."
        )
    if engine == "direct" and params["behavior"]:
        raise option_error("behavior", "it is an autoscaler's own form.", "Use scale_up_cooldown and scale_down_cooldown, or another engine.")
    return engine


# -- finding what is scaled -----------------------------------------------------------------------------------


def _find(invocation):
    """(Kind, object) pairs: the one of that name, or those that the selectors choose.

    Raises: PodwrightError where there are none; but an autoscaler can be taken away from what is gone already.
    """
    params, client = invocation.params, invocation.client
    if not params["name"] and not params["label_selectors"]:
        raise option_error("name", "there is none.", "Give name or label_selectors.")
    api_version = params["api_version"]
    if api_version in (None, "v1") and params["kind"] in _API_VERSIONS:
        api_version = _API_VERSIONS[params["kind"]]  # k8s_scale's default is v1 for any kind
    kind = client.kinds.resolve(api_version or "apps/v1", params["kind"])
    if params["name"]:
        item = client.get(kind, invocation.namespace, params["name"])
        items = [item] if item else []
    else:
        items = client.list(kind, invocation.namespace, label_selector=",".join(params["label_selectors"]))[0]
    if not items and (params["state"] == "present" or kind == POD):
        chosen = f" '{params['name']}'" if params["name"] else " of the selection"
        raise PodwrightError(
            f"There is no {kind.name}{chosen} in namespace '{invocation.namespace}'.", reason="NotFound", hint="Check name, kind, selectors and namespace."
        )
    if kind != POD:
        return [(kind, item) for item in items]
    climbed = [_climb(client, kind, item) for item in items]
    return list({item["metadata"]["uid"]: (kind, item) for kind, item in climbed}.values())


def _climb(client, kind, item):
    """From a pod up to the last controller: (Kind, object)."""
    while True:
        owner = next((o for o in item["metadata"].get("ownerReferences") or [] if o.get("controller")), None)
        if owner is None:
            break
        kind = client.kinds.resolve(owner["apiVersion"], owner["kind"])
        item = client.get(kind, item["metadata"]["namespace"], owner["name"])
    if kind == POD:
        raise PodwrightError(f"Pod '{item['metadata']['name']}' has no controller, and a pod alone cannot be scaled.", reason="NotScalable")
    return kind, item


def _replicas(kind, item):
    return item["spec"].get("parallelism" if kind.name == "Job" else "replicas", 1)


# -- a fixed number -------------------------------------------------------------------------------------------


def _scale_all(invocation, outcome, found):
    params = invocation.params
    outcome.engine, outcome.desired = "fixed", params["replicas"]
    outcome.changes = outcome.scaled = [Change("none", key_of(item, kind), kind, before=item, after=item) for kind, item in found]
    outcome.subject = outcome.changes[0]
    for change in outcome.changes:
        try:
            _scale(invocation, change)
        except PodwrightError as error:
            if not params["continue_on_error"]:
                raise
            change.note = error.message
            outcome.errors.append({"name": change.key.name, "msg": str(error)})
    if params["wait"] is not False and not invocation.check_mode:
        waited = [change for change in outcome.changes if not change.note and change.kind.name != "Job"]
        _wait(invocation, waited)


def _wait(invocation, changes, judge_item=assess):
    """Wait until the objects are ready. Raises: PodwrightError."""
    items = {change.key: (change.kind, change.after) for change in changes}
    explain = partial(explain_workload, invocation.client)
    latest = wait_until_ready(invocation.client, items, invocation.params["wait_timeout"], invocation.console, judge_item, explain)
    for change in changes:
        change.after = latest[change.key]


def _scale(invocation, change):
    """Write the number through the scale subresource. Raises: PodwrightError; the Change says what was done before that."""
    params, client, kind, item = invocation.params, invocation.client, change.kind, change.before
    metadata, wanted, current = item["metadata"], params["replicas"], _replicas(kind, item)
    version = params["resource_version"]
    if version is not None and version != metadata["resourceVersion"]:
        change.note = f"its resource version is {metadata['resourceVersion']}, not {version}"
    elif params["current_replicas"] not in (None, current):
        change.note = f"it has {current} replicas, not {params['current_replicas']}"
    if change.note or wanted == current:
        return
    holder = _find_holder(client, kind, item)
    if holder:
        raise PodwrightError(
            f"The replicas of {kind.name} '{metadata['name']}' belong to {holder}.",
            reason="Autoscaled",
            hint="Change its bounds with min_replicas and max_replicas, or take it away first with state: absent.",
        )
    spec = {"parallelism" if kind.name == "Job" else "replicas": wanted}
    if not invocation.check_mode:
        body = {"spec": spec} | ({"metadata": {"resourceVersion": version}} if version else {})
        subresource = None if kind.name == "Job" else "scale"  # a Job has none
        client.patch(kind, metadata.get("namespace"), metadata["name"], body, MANAGER, MERGE_PATCH, subresource)
    change.action, change.after = "patch", item | {"spec": item["spec"] | spec}
    change.patch = difference(item, change.after)
    if not invocation.check_mode:
        change.after = client.get(kind, metadata.get("namespace"), metadata["name"]) or change.after
        change.patch = difference(item, change.after)


def _find_holder(client, kind, item):
    """What scales an object by itself, for a person; None where nothing does, or it may not be looked at."""
    if annotation_of(item, AUTOSCALED):
        return "pod_autoscale with the engine direct"
    try:
        autoscalers = client.list(AUTOSCALER, item["metadata"].get("namespace"))[0]
    except PodwrightError as error:
        if error.is_forbidden:
            return None
        raise
    holder = next((autoscaler for autoscaler in autoscalers if target_of(autoscaler) == key_of(item, kind)), None)
    return holder and f"HorizontalPodAutoscaler '{holder['metadata']['name']}'"


# -- an autoscaler of the cluster -----------------------------------------------------------------------------


def _reconcile(invocation, outcome, kind, item):
    params = invocation.params
    build = scaling.build_hpa if outcome.engine == "hpa" else scaling.build_scaled_object
    manifest = build(params, {"apiVersion": kind.api_version, "kind": kind.name, "name": item["metadata"]["name"]})
    outcome.scaled = [Change("none", key_of(item, kind), kind, before=item, after=item)]
    _carry_out(invocation, outcome, "apply", [manifest], wait=False)
    scaler = outcome.subject = outcome.changes[0]
    if params["wait"] and not invocation.check_mode and outcome.engine == "hpa":
        _wait(invocation, [scaler], _judge_hpa)
    status = (scaler.after or {}).get("status") or {}
    outcome.desired = status.get("desiredReplicas") or None
    outcome.metrics = status.get("currentMetrics") or []


def _carry_out(invocation, outcome, verb, manifests, **options):
    """Have the reconciler apply or remove autoscalers. Raises: PodwrightError once its changes are noted."""
    options = Options(check_mode=invocation.check_mode, wait_timeout=invocation.params["wait_timeout"], **options)
    reconciler = Reconciler(invocation.client, options, invocation.console, partial(explain_workload, invocation.client))
    done = getattr(reconciler, verb)(manifests, invocation.namespace)
    outcome.changes += done.changes
    done.check()


def _judge_hpa(item):
    """Ready once it can read its metrics and scale."""
    for name in ("AbleToScale", "ScalingActive"):
        found = condition(item, name)
        if found.get("status") != "True" and found.get("reason") != "ScalingDisabled":
            return Readiness(PROGRESSING, f"{name}: {found.get('reason', 'nothing yet')}: {found.get('message', '')}")
    return Readiness(READY)


def _leave(invocation, outcome, kind, item):
    """Take the autoscaler away; the object, if it is there, keeps the number it has, and its manifest may set it again."""
    client = invocation.client
    metadata = {"name": item["metadata"]["name"] if item else invocation.params["name"]}
    if item:
        outcome.scaled = [Change("none", key_of(item, kind), kind, before=item, after=item)]
    manifests = [{"apiVersion": AUTOSCALER.api_version, "kind": AUTOSCALER.name, "metadata": metadata}]
    keda = client.kinds.find_if_served(*SCALED_OBJECT)
    if keda:
        manifests.append({"apiVersion": keda.api_version, "kind": keda.name, "metadata": metadata})
    _carry_out(invocation, outcome, "remove", manifests)
    if item and annotation_of(item, AUTOSCALED):
        marks = {"metadata": {"annotations": {AUTOSCALED: None, scaling.LAST_SCALED: None}}}
        after = client.patch(kind, invocation.namespace, item["metadata"]["name"], marks, MANAGER, MERGE_PATCH, dry_run=invocation.check_mode)
        outcome.changes.append(Change("patch", key_of(item, kind), kind, before=item, after=after, patch=difference(item, after)))


# -- one step of our own --------------------------------------------------------------------------------------


def _step(invocation, outcome, kind, item):
    """Read the metrics, decide, and write the number and the time in one request, so that two machines cannot both act on the same state."""
    params, client = invocation.params, invocation.client
    if kind.name == "Job":
        raise option_error("engine", "direct does not scale Jobs.", "Give replicas for a fixed number.")
    pods = _ready_pods(client, invocation.namespace, item)
    outcome.metrics = _read_metrics(invocation, pods)
    current = _replicas(kind, item)
    bounds = scaling.Bounds(params["min_replicas"], params["max_replicas"], params["scale_up_cooldown"] or 0, params["scale_down_cooldown"] or 0)
    last = annotation_of(item, scaling.LAST_SCALED)
    now = client.now()
    outcome.desired = scaling.recommend(current, len(pods), outcome.metrics)
    wanted, why = scaling.decide(current, outcome.desired, bounds, float(last) if last else None, now)
    annotations = {AUTOSCALED: "direct"} | ({scaling.LAST_SCALED: f"{now:.0f}"} if wanted != current else {})
    change = outcome.subject = Change("none", key_of(item, kind), kind, before=item, after=item, note=why)
    outcome.changes = outcome.scaled = [change]
    if wanted != current or not annotation_of(item, AUTOSCALED):
        metadata = {"resourceVersion": item["metadata"]["resourceVersion"], "annotations": annotations}
        body = {"metadata": metadata} | ({"spec": {"replicas": wanted}} if wanted != current else {})
        change.after = client.patch(kind, invocation.namespace, item["metadata"]["name"], body, MANAGER, MERGE_PATCH, dry_run=invocation.check_mode)
        change.action, change.patch = "patch", difference(item, change.after)
        if params["wait"] and not invocation.check_mode:
            _wait(invocation, [change])


def _ready_pods(client, namespace, item):
    labels = ((item["spec"].get("selector") or {}).get("matchLabels")) or {}
    if not labels:
        raise PodwrightError(f"{item['kind']} '{item['metadata']['name']}' selects its pods by no labels.", reason="NotScalable")
    pods = client.list(POD, namespace, label_selector=selector_of(labels))[0]
    return [pod for pod in pods if is_serving(pod)]


def _read_metrics(invocation, pods):
    """The metrics as observed: `{name, value, target, per}` each. Raises: PodwrightError where one has no value: nothing is scaled on a guess."""
    params, client = invocation.params, invocation.client
    metrics = []
    asked = [name for name in ("cpu", "memory") if params[f"target_{name}"]]
    usage = read_usage(client, invocation.namespace) if asked else {}
    for name in asked:
        known = [pod for pod in pods if pod["metadata"]["name"] in usage]
        requested = sum(pod_requests(pod).get(name, 0) for pod in known)
        if not requested:
            raise PodwrightError(
                f"There is no {name} to compare with: no ready pod has metrics and requests {name}.",
                reason="NoMetrics",
                hint=f"Give the containers a request of {name}, and wait until the metrics API knows the pods.",
            )
        used = sum(usage[pod["metadata"]["name"]][name] for pod in known)
        metrics.append({"name": name, "value": round(float(used / requested * 100), 1), "target": params[f"target_{name}"], "per": "share"})
    if params["prometheus"]:
        asked = params["prometheus"]
        value = query_prometheus(client, invocation.namespace, asked["server"], asked["query"])
        if value is None:
            raise PodwrightError(f"The query '{asked['query']}' has no value.", reason="NoMetrics", hint="Nothing is scaled without a value; check the query.")
        metrics.append({"name": "prometheus", "value": value, "target": asked["target"], "per": "pod"})
    return metrics


# -- describing -----------------------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: Scaling) -> dict:
    """The result's fields, as far as it got."""
    redactor, changes = Redactor(), outcome.changes
    result = {"changed": any(change.is_change for change in changes), "plan": [change.describe(redactor) for change in changes]}
    result |= {"engine": outcome.engine, "metrics": outcome.metrics}
    numbers = [_numbers(change, outcome.desired) for change in outcome.scaled]
    if numbers:
        result["replicas"] = numbers[0]
    if len(numbers) > 1:
        result["results"] = [{"name": change.key.name} | entry for change, entry in zip(outcome.scaled, numbers)]
    if outcome.engine == "fixed":
        result["errors"] = outcome.errors
    if outcome.subject:
        result["result"] = outcome.subject.after and drop_managed_fields(outcome.subject.after)
    return result | ({"diff": yaml_diff(changes, redactor)} if invocation.diff_mode else {})


def _numbers(change, desired):
    before, after = _replicas(change.kind, change.before), _replicas(change.kind, change.after)
    return {"before": before, "after": after, "desired": after if desired is None else desired}


def secrets(params):
    """The password in the address of Prometheus."""
    return url_passwords([(params["prometheus"] or {}).get("server")])


OPERATION = Operation("pod_autoscale", ARGUMENTS, Scaling, run, describe, secrets=secrets)
