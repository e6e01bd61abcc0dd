# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scale what runs pods: to a fixed number, by an autoscaler of the cluster, or by one step of our own."""

from __future__ import annotations

from ..arguments import CONNECTION, WAIT, piece
from ..cluster.client import MANAGER, MERGE_PATCH
from ..cluster.errors import PodwrightError
from ..cluster.kinds import AUTOSCALER, POD
from ..cluster.prometheus import ask_prometheus
from ..operation import Operation, yaml_diff
from ..pods import scaling
from ..pods.labels import annotation_of, selector_of
from ..pods.options import bad
from ..pods.status import is_serving
from ..pods.usage import read_usage, requests_of
from ..reconciler.manifest import Veil, difference, drop_managed_fields, key_of
from ..reconciler.observe import AUTOSCALED, target_of
from ..reconciler.plan import Change
from ..reconciler.ready import PROGRESSING, READY, Verdict, condition
from ..reconciler.reconciler import Options, Reconciler
from ..reconciler.wait import wait_until_ready

SCALED_OBJECT = ("keda.sh", "ScaledObject")
_API_VERSIONS = {"Deployment": "apps/v1", "ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "ReplicationController": "v1", "Job": "batch/v1", "Pod": "v1"}
_GUARDS = ("resource_version", "current_replicas", "continue_on_error")
_AUTOMATIC = ("target_cpu", "target_memory", "metrics", "prometheus", "scale_up_cooldown", "scale_down_cooldown", "behavior")

ARGUMENTS = {
    **CONNECTION,
    **piece(WAIT, wait_timeout=120),
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


def run(task):
    """Scale. Returns the result's fields; raises PodwrightError."""
    params = task.params
    if (params["state"] == "absent" or params["replicas"] is None) and params["label_selectors"]:
        raise bad("label_selectors", "an autoscaler holds one object.", "Give name, or replicas for a fixed number.")
    if params["state"] == "present" and params["replicas"] is None:
        scaling.check(params)
        given = next((name for name in _GUARDS if params[name]), None)
        if given:
            raise bad(given, "it is for a fixed number.", "Leave it out, or give replicas.")
    if params["replicas"] is not None and (params["replicas"] < 0 or any(params[name] is not None for name in _AUTOMATIC)):
        given = next((name for name in _AUTOMATIC if params[name] is not None), None)
        raise bad("replicas", f"a fixed number does not go with {given}." if given else f"{params['replicas']} is less than 0.")
    found = _find(task)
    if params["state"] == "absent":
        return _leave(task, *(found[0] if found else (None, None)))
    if params["replicas"] is not None:
        return _scale_all(task, found)
    engine = _choose_engine(task)
    kind, item = found[0]
    if engine == "direct":
        return _step(task, kind, item)
    build = scaling.build_hpa if engine == "hpa" else scaling.build_scaled_object
    manifest = build(params, {"apiVersion": kind.api_version, "kind": kind.name, "name": item["metadata"]["name"]})
    return _reconcile(task, kind, item, manifest, engine)


def _choose_engine(task):
    """The engine asked for; `auto` is hpa, but where Prometheus is to be asked keda where it is installed, else direct."""
    engine, params = task.params["engine"], task.params
    if engine == "auto" and not params["prometheus"]:
        engine = "hpa"
    has_keda = engine in ("auto", "keda") and task.client.kinds.find_if_served(*SCALED_OBJECT) is not None
    if engine == "auto":
        engine = "keda" if has_keda else "direct"
    if engine == "keda" and not has_keda:
        raise PodwrightError("This cluster has no KEDA: keda.sh is not installed.", reason="NoKeda", hint="Install KEDA, or set engine to hpa or direct.")
    if engine == "direct" and params["metrics"]:
        raise bad("metrics", "the engine direct asks the metrics API and Prometheus only.", "Use target_cpu, target_memory or prometheus, or engine hpa.")
    if engine == "direct" and params["behavior"]:
        raise bad("behavior", "it is an autoscaler's own form.", "Use scale_up_cooldown and scale_down_cooldown, or another engine.")
    return engine


# -- finding what is scaled -----------------------------------------------------------------------------------


def _find(task):
    """(Kind, object) pairs: the one of that name, or those that the selectors choose.

    Raises: PodwrightError where there are none; but an autoscaler can be taken away from what is gone already.
    """
    params, client = task.params, task.client
    if not params["name"] and not params["label_selectors"]:
        raise bad("name", "there is none.", "Give name or label_selectors.")
    api_version = params["api_version"]
    if api_version in (None, "v1") and params["kind"] in _API_VERSIONS:
        api_version = _API_VERSIONS[params["kind"]]  # k8s_scale's default is v1 for any kind
    kind = client.kinds.resolve(api_version or "apps/v1", params["kind"])
    if params["name"]:
        item = client.get(kind, task.namespace, params["name"])
        items = [item] if item else []
    else:
        items = client.list(kind, task.namespace, label_selector=",".join(params["label_selectors"]))[0]
    if not items and (params["state"] == "present" or kind == POD):
        chosen = f" '{params['name']}'" if params["name"] else " of the selection"
        raise PodwrightError(
            f"There is no {kind.name}{chosen} in namespace '{task.namespace}'.", reason="NotFound", hint="Check name, kind, selectors and namespace."
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


def _scale_all(task, found):
    params = task.params
    changes, errors, before = [], [], {}
    for kind, item in found:
        before[key_of(item, kind)] = _replicas(kind, item)
        try:
            changes.append(_scale(task, kind, item))
        except PodwrightError as error:
            if not params["continue_on_error"]:
                raise
            errors.append({"name": item["metadata"]["name"], "msg": str(error)})
            changes.append(Change("none", key_of(item, kind), kind, before=item, after=item, note=error.message))
    if params["wait"] is not False and not task.check_mode:
        scaled = {change.key: (change.kind, change.after) for change in changes if not change.note and change.kind.name != "Job"}
        latest = wait_until_ready(task.client, scaled, params["wait_timeout"], task.console)
        for change in changes:
            change.after = latest.get(change.key, change.after)
    entries = [{"name": c.key.name, "before": before[c.key], "after": _replicas(c.kind, c.after), "desired": params["replicas"]} for c in changes]
    result = _result(task, changes, "fixed") | {"replicas": {name: entries[0][name] for name in ("before", "after", "desired")}, "errors": errors}
    result["result"] = drop_managed_fields(changes[0].after)
    return result | ({"results": entries} if len(entries) > 1 else {})


def _scale(task, kind, item):
    """Write the number through the scale subresource. Returns a Change."""
    params, client = task.params, task.client
    metadata, wanted, current = item["metadata"], params["replicas"], _replicas(kind, item)
    change = Change("none", key_of(item, kind), kind, before=item, after=item)
    version = params["resource_version"]
    if version is not None and version != metadata["resourceVersion"]:
        change.note = f"its resource version is {metadata['resourceVersion']}, not {version}"
    elif params["current_replicas"] not in (None, current):
        change.note = f"it has {current} replicas, not {params['current_replicas']}"
    if change.note or wanted == current:
        return change
    holder = _find_holder(client, kind, item)
    if holder:
        raise PodwrightError(
            f"The replicas of {kind.name} '{metadata['name']}' belong to {holder}.",
            reason="Autoscaled",
            hint="Change its bounds with min_replicas and max_replicas, or take it away first with state: absent.",
        )
    change.action = "patch"
    spec = {"parallelism" if kind.name == "Job" else "replicas": wanted}
    if not task.check_mode:
        body = {"spec": spec} | ({"metadata": {"resourceVersion": version}} if version else {})
        subresource = None if kind.name == "Job" else "scale"  # a Job has none
        client.patch(kind, metadata.get("namespace"), metadata["name"], body, MANAGER, MERGE_PATCH, subresource)
    change.after = item | {"spec": item["spec"] | spec} if task.check_mode else client.get(kind, metadata.get("namespace"), metadata["name"])
    change.patch = difference(item, change.after)
    return change


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


def _reconcile(task, kind, item, manifest, engine):
    params = task.params
    options = Options(check_mode=task.check_mode, wait=False, wait_timeout=params["wait_timeout"])
    outcome = Reconciler(task.client, options, task.console).apply([manifest], task.namespace)
    scaler = outcome.changes[0]
    if params["wait"] and not task.check_mode and engine == "hpa":
        latest = wait_until_ready(task.client, {scaler.key: (scaler.kind, scaler.after)}, params["wait_timeout"], task.console, _judge_hpa)
        scaler.after = latest[scaler.key]
    status = (scaler.after or {}).get("status") or {}
    current = _replicas(kind, item)
    numbers = {"before": current, "after": current, "desired": status.get("desiredReplicas") or current}
    return _result(task, outcome.changes, engine) | {
        "replicas": numbers,
        "metrics": status.get("currentMetrics") or [],
        "result": drop_managed_fields(scaler.after) if scaler.after else None,
    }


def _judge_hpa(item):
    """Ready once it can read its metrics and scale."""
    for name in ("AbleToScale", "ScalingActive"):
        found = condition(item, name)
        if found.get("status") != "True" and found.get("reason") != "ScalingDisabled":
            return Verdict(PROGRESSING, f"{name}: {found.get('reason', 'nothing yet')}: {found.get('message', '')}")
    return Verdict(READY)


def _leave(task, kind, item):
    """Take the autoscaler away; the object, if it is there, keeps the number it has, and its manifest may set it again."""
    params, client = task.params, task.client
    metadata = {"name": item["metadata"]["name"] if item else params["name"]}
    manifests = [{"apiVersion": AUTOSCALER.api_version, "kind": AUTOSCALER.name, "metadata": metadata}]
    keda = client.kinds.find_if_served(*SCALED_OBJECT)
    if keda:
        manifests.append({"apiVersion": keda.api_version, "kind": keda.name, "metadata": metadata})
    options = Options(check_mode=task.check_mode, wait_timeout=params["wait_timeout"])
    changes = Reconciler(client, options, task.console).remove(manifests, task.namespace).changes
    if item is None:
        return _result(task, changes, "none")
    if annotation_of(item, AUTOSCALED):
        marks = {"metadata": {"annotations": {AUTOSCALED: None, scaling.LAST_SCALED: None}}}
        after = client.patch(kind, task.namespace, item["metadata"]["name"], marks, MANAGER, MERGE_PATCH, dry_run=task.check_mode)
        changes.append(Change("patch", key_of(item, kind), kind, before=item, after=after, patch=difference(item, after)))
    current = _replicas(kind, item)
    return _result(task, changes, "none") | {"replicas": {"before": current, "after": current, "desired": current}}


# -- one step of our own --------------------------------------------------------------------------------------


def _step(task, kind, item):
    """Read the metrics, decide, and write the number and the time in one request, so that two machines cannot both act on the same state."""
    params, client = task.params, task.client
    if kind.name == "Job":
        raise bad("engine", "direct does not scale Jobs.", "Give replicas for a fixed number.")
    pods = _ready_pods(client, task.namespace, item)
    metrics = _read_metrics(task, pods)
    current = _replicas(kind, item)
    bounds = scaling.Bounds(params["min_replicas"], params["max_replicas"], params["scale_up_cooldown"] or 0, params["scale_down_cooldown"] or 0)
    last = annotation_of(item, scaling.LAST_SCALED)
    now = client.now()
    recommended = scaling.recommend(current, len(pods), metrics)
    wanted, why = scaling.decide(current, recommended, bounds, float(last) if last else None, now)
    annotations = {AUTOSCALED: "direct"} | ({scaling.LAST_SCALED: f"{now:.0f}"} if wanted != current else {})
    change = Change("none", key_of(item, kind), kind, before=item, after=item, note=why)
    if wanted != current or not annotation_of(item, AUTOSCALED):
        metadata = {"resourceVersion": item["metadata"]["resourceVersion"], "annotations": annotations}
        body = {"metadata": metadata} | ({"spec": {"replicas": wanted}} if wanted != current else {})
        change.action = "patch"
        change.after = client.patch(kind, task.namespace, item["metadata"]["name"], body, MANAGER, MERGE_PATCH, dry_run=task.check_mode)
        change.patch = difference(item, change.after)
        if params["wait"] and not task.check_mode:
            change.after = wait_until_ready(client, {change.key: (kind, change.after)}, params["wait_timeout"], task.console)[change.key]
    numbers = {"before": current, "after": wanted, "desired": recommended}
    return _result(task, [change], "direct") | {"replicas": numbers, "metrics": metrics, "result": drop_managed_fields(change.after)}


def _ready_pods(client, namespace, item):
    labels = ((item["spec"].get("selector") or {}).get("matchLabels")) or {}
    if not labels:
        raise PodwrightError(f"{item['kind']} '{item['metadata']['name']}' selects its pods by no labels.", reason="NotScalable")
    pods = client.list(POD, namespace, label_selector=selector_of(labels))[0]
    return [pod for pod in pods if is_serving(pod)]


def _read_metrics(task, pods):
    """The metrics as observed: `{name, value, target, per}` each. Raises: PodwrightError where one has no value: nothing is scaled on a guess."""
    params, client = task.params, task.client
    metrics = []
    asked = [name for name in ("cpu", "memory") if params[f"target_{name}"]]
    usage = read_usage(client, task.namespace) if asked else {}
    for name in asked:
        known = [pod for pod in pods if pod["metadata"]["name"] in usage]
        requested = sum(requests_of(pod).get(name, 0) for pod in known)
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
        value = ask_prometheus(client, task.namespace, asked["server"], asked["query"])
        if value is None:
            raise PodwrightError(f"The query '{asked['query']}' has no value.", reason="NoMetrics", hint="Nothing is scaled without a value; check the query.")
        metrics.append({"name": "prometheus", "value": value, "target": asked["target"], "per": "pod"})
    return metrics


# -- describing -----------------------------------------------------------------------------------------------


def _result(task, changes, engine):
    veil = Veil()
    result = {"changed": any(change.is_change for change in changes), "plan": [change.describe(veil) for change in changes], "engine": engine, "metrics": []}
    return result | ({"diff": yaml_diff(changes, veil)} if task.diff_mode else {})


OPERATION = Operation("pod_autoscale", ARGUMENTS, run)
