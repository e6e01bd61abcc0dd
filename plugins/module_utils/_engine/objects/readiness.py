# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The readiness of an object of any kind, as pure functions.

Any controller can write anything into a status: its values are read with `_mapping`, `whole_number` and `_text`, which accept every type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..text import LARGEST, parse_integer
from ..values import Manifest
from .labels import KUBERNETES_REVISION, QUEUE, annotation_of

PROGRESSING, READY, FAILED = "progressing", "ready", "failed"
# The condition of kinds that are ready when they have it, and have none before their controller has seen them.
_READY_CONDITIONS = {("kueue.x-k8s.io", "ClusterQueue"): "Active", ("kueue.x-k8s.io", "LocalQueue"): "Active", ("keda.sh", "ScaledObject"): "Ready"}
# Other groups have kinds named Job, Service or Deployment, too: they are assessed by their conditions.
_BUILT_IN_GROUPS = ("", "apps", "batch", "apiextensions.k8s.io", "apiregistration.k8s.io")

_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"  # the finalizer of a definition that has objects


class Readiness(NamedTuple):
    """The state of an object, one of `progressing`, `ready` and `failed`, and the reason as a sentence."""

    state: str
    message: str = ""


def assess(item: Manifest) -> Readiness:
    """The Readiness of an object."""
    if item["metadata"].get("deletionTimestamp"):
        return Readiness(PROGRESSING, "it is being deleted")
    observation = assess_observation(item)
    if observation.state != READY:
        return observation
    return _assessment_of(item)(item)


def _assessment_of(item: Manifest) -> Callable[[Manifest], Readiness]:
    group = str(item.get("apiVersion", "")).rpartition("/")[0]
    return _ASSESSMENTS.get(item["kind"], _assess_conditions) if group in _BUILT_IN_GROUPS else _assess_conditions


def assess_observation(item: Manifest) -> Readiness:
    """Whether the status of an object is that of its spec."""
    generation = whole_number(item["metadata"].get("generation"))
    is_observed = whole_number(_status(item).get("observedGeneration"), generation) >= generation
    return Readiness(READY) if is_observed else Readiness(PROGRESSING, "its controller has not observed the change yet")


def counted_pods(item: Manifest) -> int:
    """The number of ready pods that the status of a ready workload counts at least; 0 for other kinds."""
    assessment = _assessment_of(item)
    if assessment is _assess_daemon_set:
        return whole_number(_status(item).get("desiredNumberScheduled"))
    return whole_number(_mapping(item.get("spec")).get("replicas"), 1) if assessment is _assess_replicas and not _is_never_rolled_out(item) else 0


def is_held(item: Manifest) -> bool:
    """Whether a workload is a Deployment whose paused rollout keeps pods of an earlier template."""
    status, is_deployment = _status(item), _assessment_of(item) is _assess_replicas and item["kind"] == "Deployment"
    return is_deployment and _is_paused(item) and whole_number(status.get("updatedReplicas")) < whole_number(status.get("replicas"))


def _is_paused(item: Manifest) -> bool:
    return _mapping(item.get("spec")).get("paused") is True


def _is_never_rolled_out(item: Manifest) -> bool:
    """Whether a Deployment was paused before its first rollout: it gets no pod before it is resumed."""
    return _is_paused(item) and annotation_of(item, KUBERNETES_REVISION) is None


def condition(item: Manifest, name: str, any_case: bool = False) -> Manifest:
    """The condition of that type, or an empty mapping."""
    found = {str(entry.get("type")): entry for entry in reversed(list(_conditions(item)))}
    if any_case and name not in found:
        return next((entry for known, entry in found.items() if known.lower() == name.lower()), {})
    return found.get(name, {})


def deletion_obstacle(item: Manifest) -> str:
    """Why an object that is being deleted still exists."""
    finalizers = item["metadata"].get("finalizers") or []
    if finalizers:
        remaining = "; objects of its kind still exist" if _CLEANUP in finalizers else ""
        return f"deletion is blocked by finalizers: {', '.join(finalizers)}{remaining}"
    # The conditions of a namespace name the objects that remain in it.
    names = ("NamespaceDeletionDiscoveryFailure", "NamespaceDeletionContentFailure", "NamespaceFinalizersRemaining", "NamespaceContentRemaining")
    found = [condition(item, name) for name in names] if item.get("kind") == "Namespace" else []
    messages = [_text(c.get("message")) for c in found if c.get("status") == "True"]
    return "; ".join(filter(None, messages)) or "it is still terminating"


def _assess_replicas(item: Manifest) -> Readiness:
    spec, status = _mapping(item.get("spec")), _status(item)
    if _is_never_rolled_out(item):
        return Readiness(READY, "its rollout is paused")
    progress, refusal, is_paused = condition(item, "Progressing"), condition(item, "ReplicaFailure"), _is_paused(item)
    why = f": {_text(refusal.get('message'))}" if refusal.get("status") == "True" else ""
    if is_progress_failure(progress) and not is_paused:
        return Readiness(FAILED, (_text(progress.get("message")) or "the progress deadline was exceeded").rstrip(".") + why)
    if "observedGeneration" not in status:
        return Readiness(PROGRESSING, "its controller has not observed it yet")
    wanted = whole_number(spec.get("replicas"), 1)
    to_update = _pods_to_update(item, wanted)
    counts = {"updated": (whole_number(status.get("updatedReplicas")), to_update)}
    counts |= {name: (whole_number(status.get(f"{name}Replicas")), wanted) for name in ("ready", "available")}
    for name, (count, needed) in counts.items():
        if count < needed:
            return Readiness(PROGRESSING, f"{count} of {needed} replicas {name}{why}")
    surplus = 0 if is_paused else whole_number(status.get("replicas")) - wanted
    return Readiness(PROGRESSING, f"{surplus} old replicas still exist") if surplus > 0 else Readiness(READY)


def is_progress_failure(progress: Manifest) -> bool:
    """Whether the condition Progressing of a Deployment says that its deadline was exceeded."""
    return progress.get("reason") == "ProgressDeadlineExceeded"


def _pods_to_update(item: Manifest, wanted: int) -> int:
    """The number of pods that the controller updates by itself after a change."""
    spec = _mapping(item.get("spec"))
    strategy = _mapping(spec.get("updateStrategy"))
    if item["kind"] in ("ReplicaSet", "ReplicationController") or strategy.get("type") == "OnDelete" or _is_paused(item):
        return 0
    return max(wanted - whole_number(_mapping(strategy.get("rollingUpdate")).get("partition")), 0) if item["kind"] == "StatefulSet" else wanted


def _assess_daemon_set(item: Manifest) -> Readiness:
    status = _status(item)
    if "observedGeneration" not in status or "desiredNumberScheduled" not in status:
        return Readiness(PROGRESSING, "its controller has not observed it yet")
    wanted = whole_number(status["desiredNumberScheduled"])
    counts = {"updated": ("updatedNumberScheduled", _pods_to_update(item, wanted)), "ready": ("numberReady", wanted), "available": ("numberAvailable", wanted)}
    for name, (field, needed) in counts.items():
        if whole_number(status.get(field)) < needed:
            return Readiness(PROGRESSING, f"{whole_number(status.get(field))} of {needed} pods {name}")
    return Readiness(READY)


def _assess_job(item: Manifest) -> Readiness:
    failed = condition(item, "Failed")
    if failed.get("status") == "True":
        return Readiness(FAILED, f"{_text(failed.get('reason'))}: {_text(failed.get('message'))}")
    if condition(item, "Complete").get("status") == "True":
        return Readiness(READY)
    if condition(item, "Suspended").get("status") == "True":
        if _mapping(item.get("spec")).get("suspend") is not True:
            return Readiness(PROGRESSING, "its controller has not resumed it yet")
        return Readiness(READY, "it is suspended") if _is_suspension_desired(item) else Readiness(PROGRESSING, "it is suspended, for example by a queue")
    return Readiness(PROGRESSING, "it is not complete yet")


def _is_suspension_desired(item: Manifest) -> bool:
    """Whether a manifest suspends the Job, instead of a queue that starts it later."""
    entries = item["metadata"].get("managedFields") or []
    applied = [_mapping(_mapping(entry.get("fieldsV1")).get("f:spec")) for entry in entries if entry.get("operation") == "Apply"]
    if applied:
        return any("f:suspend" in spec for spec in applied)
    return QUEUE not in (item["metadata"].get("labels") or {})


def _assess_pod(item: Manifest) -> Readiness:
    status = _status(item)
    if status.get("phase") == "Succeeded":
        return Readiness(READY)
    if status.get("phase") == "Failed":
        return Readiness(FAILED, _text(status.get("message")) or _text(status.get("reason")) or "one of its containers failed")
    if condition(item, "Ready").get("status") == "True":
        return Readiness(READY)
    states = [_mapping(_mapping(c.get("state")).get("waiting")) for c in _mappings(status.get("containerStatuses"))]
    waiting = ", ".join(filter(None, (_text(state.get("reason")) for state in states)))
    return Readiness(PROGRESSING, waiting or _text(condition(item, "PodScheduled").get("message")) or f"phase {status.get('phase', 'Pending')}")


def _assess_claim(item: Manifest) -> Readiness:
    phase = _status(item).get("phase", "Pending")
    if phase == "Lost":
        return Readiness(FAILED, "its volume is lost")
    if phase == "Bound":
        return Readiness(READY)
    if volume := _mapping(item.get("spec")).get("volumeName"):
        return Readiness(PROGRESSING, f"it is not bound to volume '{volume}' yet, whose claimRef may still name a deleted claim")
    return Readiness(PROGRESSING, "it is not bound to a volume yet")


def _assess_namespace(item: Manifest) -> Readiness:
    phase = _status(item).get("phase")
    return Readiness(READY) if phase == "Active" else Readiness(PROGRESSING, f"phase {phase}")


def _assess_service(item: Manifest) -> Readiness:
    if _mapping(item.get("spec")).get("type") == "LoadBalancer" and not _mapping(_status(item).get("loadBalancer")).get("ingress"):
        return Readiness(PROGRESSING, "its load balancer has no address yet")
    return Readiness(READY)


def _assess_established(item: Manifest) -> Readiness:
    name = "Established" if item["kind"] == "CustomResourceDefinition" else "Available"
    found = condition(item, name)
    names = condition(item, "NamesAccepted")
    if names.get("status") == "False":
        return Readiness(PROGRESSING, f"its names are not accepted: {_text(names.get('message')) or _text(names.get('reason'))}")
    return Readiness(READY) if found.get("status") == "True" else Readiness(PROGRESSING, _text(found.get("message")) or f"not {name} yet")


def _assess_conditions(item: Manifest) -> Readiness:
    """Any other kind is ready unless its conditions say otherwise: Stalled, Reconciling and Ready as in kstatus."""
    own = _READY_CONDITIONS.get((str(item.get("apiVersion", "")).rpartition("/")[0], item["kind"]))
    stalled, reconciling, ready = (condition(item, name) for name in ("Stalled", "Reconciling", own or "Ready"))
    if stalled.get("status") == "True" and not _is_outdated(stalled, item):
        return Readiness(FAILED, _text(stalled.get("message")) or _text(stalled.get("reason")) or "Stalled")
    if reconciling.get("status") == "True":
        return Readiness(PROGRESSING, _text(reconciling.get("message")) or _text(reconciling.get("reason")) or "Reconciling")
    if _is_outdated(ready, item):
        return Readiness(PROGRESSING, "its controller has not observed the change yet")
    if own and not ready:
        return Readiness(PROGRESSING, "its controller has not observed it yet")
    if ready.get("status") in ("False", "Unknown") and not (own == "Active" and ready.get("reason") == "Stopped"):
        return Readiness(PROGRESSING, _text(ready.get("message")) or _text(ready.get("reason")) or "not Ready")
    return Readiness(READY)


def _is_outdated(found: Manifest, item: Manifest) -> bool:
    """Whether a condition says that it is about an earlier generation of the object."""
    generation = whole_number(item["metadata"].get("generation"))
    return whole_number(found.get("observedGeneration"), generation) < generation


def _status(item: Manifest) -> Manifest:
    return _mapping(item.get("status"))


def _conditions(item: Manifest) -> list[Manifest]:
    return _mappings(_status(item).get("conditions"))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def whole_number(value: object, default: int = 0) -> int:
    """A whole number, also one in a string; the default for anything else."""
    number = parse_integer(int(value) if isinstance(value, float) and value == value // 1 else value, minimum=-LARGEST)
    return default if number is None else number


def _text(value: object) -> str:
    return "" if value is None else str(value)


_ASSESSMENTS: dict[str, Callable[[Manifest], Readiness]] = {
    "Deployment": _assess_replicas,
    "StatefulSet": _assess_replicas,
    "ReplicaSet": _assess_replicas,
    "ReplicationController": _assess_replicas,
    "DaemonSet": _assess_daemon_set,
    "Job": _assess_job,
    "Pod": _assess_pod,
    "PersistentVolumeClaim": _assess_claim,
    "Namespace": _assess_namespace,
    "Service": _assess_service,
    "CustomResourceDefinition": _assess_established,
    "APIService": _assess_established,
}
