# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scale workloads: to a fixed number of replicas, by an autoscaler of the cluster, or directly, one step in each run."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ..arguments import CONNECTION, REVIEW, WAIT, with_defaults
from ..autoscaling.manifests import build_hpa, build_scaled_object
from ..autoscaling.metrics import list_pods, measure
from ..autoscaling.options import SCALING_OPTIONS, validate
from ..autoscaling.policy import Bounds, Measurement, Metric, decide, recommend
from ..autoscaling.scalers import ENGINES, SCALED_OBJECT, Scaler, assess_hpa, find_others, find_own, predict_successor, warn_of_obstacles
from ..autoscaling.targets import Target, autoscaler_of, find_kind, find_targets, write_unless_changed
from ..cluster.client import MANAGER, MERGE_PATCH
from ..cluster.diagnosis import explain_workload
from ..cluster.kinds import AUTOSCALER, JOB
from ..errors import PodwrightError, option_error
from ..objects.labels import AUTOSCALED, LAST_SCALED, annotation_of, number_of
from ..objects.readiness import Readiness, assess
from ..operation import Invocation, Operation
from ..reconciler.diff import yaml_diff
from ..reconciler.manifest import Redactor, drop_managed_fields, key_of
from ..reconciler.plan import Change
from ..reconciler.reconciler import Reconciler, ReconcilerOptions
from ..reconciler.wait import wait_until_ready
from ..text import url_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..cluster.kinds import Kind
    from ..objects.key import Key
    from ..reconciler.outcome import Outcome
    from ..values import Manifest, Options, Result

ARGUMENTS: dict[str, dict[str, Any]] = {**CONNECTION, **with_defaults(WAIT, wait_timeout=120), **REVIEW, **SCALING_OPTIONS}


@dataclass
class Scaling:
    """What was read and done so far.

    Attributes:
        engine: what scales the objects: `fixed`, `hpa`, `keda` or `direct`.
        targets: the objects whose replicas are scaled.
        changes: changes of autoscalers.
        desired: replicas that the autoscaler or the metrics recommend; None for the replicas of the object.
        autoscaler: the live autoscaler, or in check mode the predicted one.
        metrics: the current values.
        measurements: what engine direct has measured.
        errors: name and message of each object that could not be scaled.
    """

    engine: str = "none"
    targets: list[Target] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    desired: int | None = None
    autoscaler: Manifest | None = None
    metrics: list[Metric] | list[Manifest] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)

    @property
    def scales_targets(self) -> bool:
        """Whether the objects themselves are scaled, and no autoscaler is created."""
        return self.engine in ("fixed", "direct")

    @property
    def plan(self) -> list[Change]:
        """All changes. An object that an autoscaler scales has none, unless an annotation is removed from it."""
        return self.changes + [target.to_change() for target in self.targets if self.scales_targets or target.patch]


def run(invocation: Invocation, outcome: Scaling) -> None:
    """Scale. Raises: PodwrightError."""
    params = invocation.params
    validate(params, invocation.console)
    targets = find_targets(invocation.client, invocation.namespace, params)
    if params["state"] == "absent":
        _delete_autoscaler(invocation, outcome, targets[0] if targets else None)
    elif params["replicas"] is not None:
        _scale_to_fixed(invocation, outcome, targets)
    else:
        if targets[0].kind == JOB:
            raise option_error("kind", "must not be Job without replicas: a Job has no scale subresource.", "Set replicas to scale it to a fixed number.")
        outcome.engine = _choose_engine(invocation)
        (_take_step if outcome.engine == "direct" else _apply_autoscaler)(invocation, outcome, targets[0])


def _choose_engine(invocation: Invocation) -> str:
    """The engine of the options; `auto` is hpa, but for a Prometheus query keda if it is installed and direct otherwise."""
    params = invocation.params
    engine: str = params["engine"]
    if engine == "auto" and not params["prometheus"]:
        engine = "hpa"
    has_keda = engine in ("auto", "keda") and invocation.client.kinds.find_if_served(*SCALED_OBJECT) is not None
    if engine == "auto":
        engine = "keda" if has_keda else "direct"
    if engine == "keda" and not has_keda:
        raise PodwrightError("KEDA is not installed: this cluster does not serve keda.sh.", reason="NoKeda", hint="Install it, or set engine to hpa or direct.")
    if engine == "direct" and params["metrics"]:
        raise option_error("metrics", "must not be set with engine direct.", "Use target_cpu, target_memory or prometheus, or engine hpa.")
    if engine == "direct" and params["behavior"]:
        raise option_error("behavior", "must not be set with engine direct.", "Use scale_up_cooldown and scale_down_cooldown, or engine hpa.")
    return engine


# -- a fixed number of replicas -------------------------------------------------------------------------------


def _scale_to_fixed(invocation: Invocation, outcome: Scaling, targets: list[Target]) -> None:
    params = invocation.params
    outcome.engine, outcome.desired, outcome.targets = "fixed", params["replicas"], targets
    for target in targets:
        try:
            _scale(invocation, target)
        except PodwrightError as error:
            if not params["continue_on_error"]:
                raise
            target.note = error.message
            outcome.errors.append({"name": target.name, "msg": str(error)})
    if params["wait"] is not False and not invocation.check_mode:
        _wait_for_targets(invocation, [target for target in targets if not target.note and target.kind != JOB])


def _scale(invocation: Invocation, target: Target) -> None:
    """Write the replicas through the scale subresource; a Job has none, so its parallelism is patched. Raises: PodwrightError."""
    params, client, item = invocation.params, invocation.client, target.before
    version, metadata = params["resource_version"], item["metadata"]
    if version is not None and version != metadata["resourceVersion"]:
        target.note = f"its resource version is {metadata['resourceVersion']}, not {version}"
    elif params["current_replicas"] not in (None, target.replicas):
        target.note = f"it has {target.replicas} replicas, not {params['current_replicas']}"
    if target.note or params["replicas"] == target.replicas:
        return
    autoscaler, removal = autoscaler_of(client, target, invocation.console)
    if autoscaler and (target.replicas or autoscaler.startswith(ENGINES["keda"])):  # the others are paused at 0 replicas
        raise PodwrightError(
            f"{target.title} cannot be scaled to a fixed number: {autoscaler} scales it.",
            reason="Autoscaled",
            hint=f"Set min_replicas and max_replicas instead, or {removal} first.",
        )
    spec = {target.replicas_field: params["replicas"]}
    scale = target.scale and target.scale | {"spec": spec}
    after = item if scale else item | {"spec": item["spec"] | spec}
    if not invocation.check_mode:
        subresource = None if target.kind == JOB else "scale"

        def write(guard: Manifest) -> Manifest:
            body = {"spec": spec} | ({"metadata": guard} if guard else {})
            return client.patch(target.kind, metadata.get("namespace"), target.name, body, MANAGER, MERGE_PATCH, subresource)

        if version is None and params["current_replicas"] is not None:
            write_unless_changed(client, target, write)
        else:
            write({"resourceVersion": version} if version else {})
        target.record(after, scale)  # in case the object cannot be read
        after = client.get(target.kind, metadata.get("namespace"), target.name) or after
    target.record(after, scale)


def _wait_for_targets(invocation: Invocation, targets: list[Target]) -> None:
    latest = _wait(invocation, {target.key: (target.kind, target.after) for target in targets})
    for target in targets:
        target.after = latest[target.key]


def _wait(invocation: Invocation, items: dict[Key, tuple[Kind, Manifest]], assess_item: Callable[[Manifest], Readiness] = assess) -> dict[Key, Manifest]:
    explain = partial(explain_workload, invocation.client)
    return wait_until_ready(invocation.client, items, invocation.params["wait_timeout"], invocation.console, assess_item, explain)


# -- an autoscaler of the cluster -----------------------------------------------------------------------------


def _apply_autoscaler(invocation: Invocation, outcome: Scaling, target: Target) -> None:
    params = invocation.params
    reference = {"apiVersion": target.kind.api_version, "kind": target.kind.name, "name": target.name}
    is_hpa = outcome.engine == "hpa"
    manifest = build_hpa(params, reference) if is_hpa else build_scaled_object(params, reference, invocation.namespace)
    others = find_others(invocation.client, target, outcome.engine, invocation.console)
    outcome.targets = [target]
    if is_hpa:
        warn_of_obstacles(invocation.console, target, params)
    else:
        _replace(invocation, outcome, manifest, others)
    reconciled = _reconciler(invocation, wait=False).apply([manifest], invocation.namespace)
    _record(outcome, predict_successor(reconciled, manifest) if invocation.check_mode and others else reconciled)
    change = outcome.changes[-1]
    outcome.autoscaler = change.after
    if is_hpa:
        _delete(invocation, outcome, others)
    _unmark(invocation, target)
    if outcome.autoscaler and params["wait"] and not invocation.check_mode:
        outcome.autoscaler = _wait(invocation, {change.key: (change.kind, outcome.autoscaler)}, assess_hpa if is_hpa else assess)[change.key]
    if (status := (outcome.autoscaler or {}).get("status") or {}).get("hpaName"):
        status = (invocation.client.get(AUTOSCALER, invocation.namespace, status["hpaName"]) or {}).get("status") or {}
    outcome.desired = status.get("desiredReplicas") or None
    outcome.metrics = status.get("currentMetrics") or []


def _delete(invocation: Invocation, outcome: Scaling, scalers: Iterable[Scaler]) -> None:
    """Delete autoscalers, and wait until they are deleted. Raises: PodwrightError, also if somebody has replaced one of them."""
    for scaler in scalers:
        reconciled = _reconciler(invocation, delete_uid=scaler.uid).remove([scaler.reference], invocation.namespace)
        if reconciled.error and reconciled.error.status == 409:
            raise PodwrightError(f"{scaler.title} was replaced during the run, and is kept.", status=409, reason="Conflict", hint="Run the task again.")
        _record(outcome, reconciled)


def _replace(invocation: Invocation, outcome: Scaling, manifest: Manifest, others: list[Scaler]) -> None:
    """Delete the autoscalers that a ScaledObject replaces if it is not refused. Raises: PodwrightError."""
    if others and not invocation.check_mode:
        refusal = _reconciler(invocation, wait=False, check_mode=True).apply([manifest], invocation.namespace).error
        if refusal and not refusal.is_denied_by_admission:  # as by the webhook of KEDA, because of the others
            raise refusal
    _delete(invocation, outcome, others)


def _unmark(invocation: Invocation, target: Target) -> None:
    """Remove the annotations of engine direct from an object."""
    if annotation_of(target.before, AUTOSCALED):
        body = {"metadata": {"annotations": {AUTOSCALED: None, LAST_SCALED: None}}}
        target.record(invocation.client.patch(target.kind, invocation.namespace, target.name, body, MANAGER, MERGE_PATCH, dry_run=invocation.check_mode))


def _reconciler(invocation: Invocation, **given: Any) -> Reconciler:
    options = ReconcilerOptions(**{"check_mode": invocation.check_mode, "wait_timeout": invocation.params["wait_timeout"], **given})
    return Reconciler(invocation.client, options, invocation.console, partial(explain_workload, invocation.client))


def _record(outcome: Scaling, reconciled: Outcome) -> None:
    """Record changes of autoscalers. Raises: PodwrightError that stopped them."""
    outcome.changes += reconciled.changes
    reconciled.raise_error()


def _delete_autoscaler(invocation: Invocation, outcome: Scaling, target: Target | None) -> None:
    """Delete the autoscaler. The object, if it exists, keeps its replicas until its manifest is applied."""
    client, params, namespace = invocation.client, invocation.params, invocation.namespace
    kind = target.kind if target else find_kind(client, params)
    scaled = key_of({"metadata": {"name": target.name if target else params["name"], "namespace": namespace}}, kind)
    outcome.targets = [target] if target else []
    scalers, outcome.changes = find_own(client, scaled, invocation.console)
    _delete(invocation, outcome, scalers)
    if target:
        _unmark(invocation, target)


# -- direct scaling -------------------------------------------------------------------------------------------


def _take_step(invocation: Invocation, outcome: Scaling, target: Target) -> None:
    """Read the metrics, decide, and write the replicas unless the object has changed since, so that of two concurrent runs only one scales."""
    params, client, item = invocation.params, invocation.client, target.before
    others = find_others(client, target, outcome.engine, invocation.console)
    pods = list_pods(client, invocation.namespace, target)
    # What was approved was computed from the metrics of the rehearsal.
    measured = invocation.rehearsal.measurements if invocation.rehearsal else measure(client, invocation.namespace, params, pods)
    outcome.measurements, outcome.metrics = measured, [each.metric for each in measured]
    bounds = Bounds(params["min_replicas"], params["max_replicas"], params["scale_up_cooldown"] or 0, params["scale_down_cooldown"] or 0)
    last, now = number_of(item, LAST_SCALED), client.now()
    recommended = recommend(target.replicas, measured)
    outcome.desired = bounds.clamp(recommended)
    replicas, target.note = decide(target.replicas, recommended, bounds, last, now)
    outcome.targets = [target]
    is_scaled = replicas != target.replicas
    if not is_scaled and annotation_of(item, AUTOSCALED):
        _delete(invocation, outcome, others)
        return
    annotations = {AUTOSCALED: "direct"} | ({LAST_SCALED: f"{now:.0f}"} if is_scaled else {})
    spec = {"spec": {"replicas": replicas}} if is_scaled else {}
    write = partial(client.patch, target.kind, invocation.namespace, target.name, manager=MANAGER, content_type=MERGE_PATCH, dry_run=invocation.check_mode)
    by_scale = bool(target.scale and is_scaled)  # the replicas are in a field that only the subresource knows
    # Refused before the first write, if it is.
    scale = write(spec, subresource="scale", dry_run=True) if by_scale else None
    if others:
        _rehearse(partial(write, {"metadata": {"annotations": annotations}} | ({} if by_scale else spec)))
    _delete(invocation, outcome, others)
    if by_scale:
        # The time first: a change without it would be followed by another one within the cooldown.
        annotated = write_unless_changed(client, target, lambda guard: write({"metadata": {**guard, "annotations": annotations}}))
        target.record(annotated)
        if not invocation.check_mode:
            scale = write_unless_changed(client, target, lambda guard: write({"metadata": guard} | spec, subresource="scale"), annotated)
        target.record(annotated, scale)
    else:
        target.record(write_unless_changed(client, target, lambda guard: write({"metadata": {**guard, "annotations": annotations}} | spec)))
    if params["wait"] and not invocation.check_mode:
        _wait_for_targets(invocation, [target])


def _rehearse(write: Callable[..., Manifest]) -> None:
    """Raises: PodwrightError if the server refuses a write, as far as a dry run says so."""
    try:
        write(dry_run=True)
    except PodwrightError as error:
        if not error.is_dry_run_refused:
            raise


# -- the result -----------------------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: Scaling) -> Result:
    """The fields of the result."""
    redactor, plan = Redactor(), outcome.plan
    result = {"changed": any(change.is_change for change in plan), "plan": [change.describe(redactor) for change in plan]}
    result |= {"engine": outcome.engine, "metrics": outcome.metrics}
    targets = outcome.targets
    if targets:
        result["replicas"] = _replicas(targets[0], outcome.desired)
    if len(targets) > 1:
        result["results"] = [{"name": target.name, "result": _shown(target)} | _replicas(target, outcome.desired) for target in targets]
    if outcome.engine == "fixed":
        result["errors"] = outcome.errors
    if outcome.scales_targets and targets:
        result["result"] = _shown(targets[0])
    elif outcome.autoscaler:
        result["result"] = drop_managed_fields(outcome.autoscaler)
    return result | ({"diff": yaml_diff(plan, redactor, invocation.clean)} if invocation.diff_mode else {})


def _shown(target: Target) -> Manifest:
    return drop_managed_fields(target.after) | {"apiVersion": target.kind.api_version, "kind": target.kind.name}


def _replicas(target: Target, desired: int | None) -> dict[str, int]:
    return {"before": target.replicas, "after": target.replicas_after, "desired": target.replicas_after if desired is None else desired}


def secrets(params: Options) -> set[str]:
    """The password in the URL of Prometheus."""
    return url_passwords([(params["prometheus"] or {}).get("server")])


OPERATION = Operation("pod_autoscale", ARGUMENTS, Scaling, run, describe, secrets=secrets, predicted=lambda outcome: outcome.plan)
