# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ready means for each kind: pure functions from an object to a Verdict."""

from __future__ import annotations

from typing import NamedTuple

PROGRESSING, READY, FAILED = "progressing", "ready", "failed"


class Verdict(NamedTuple):
    """Where an object stands and why."""

    state: str
    message: str = ""


def judge(item):
    """The Verdict on any object."""
    if item["metadata"].get("deletionTimestamp"):
        return Verdict(PROGRESSING, "it is being deleted")
    observed = (item.get("status") or {}).get("observedGeneration")
    if observed is not None and observed < item["metadata"].get("generation", 0):
        return Verdict(PROGRESSING, "its controller has not seen the change yet")
    return _JUDGES.get(item["kind"], _judge_conditions)(item)


def condition(item, name):
    """The condition of that type, or an empty mapping."""
    return next((c for c in (item.get("status") or {}).get("conditions") or [] if c.get("type") == name), {})


def _judge_replicas(item):
    spec, status = item.get("spec", {}), item.get("status") or {}
    progress = condition(item, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        return Verdict(FAILED, progress.get("message", "the progress deadline was exceeded"))
    if "observedGeneration" not in status:
        return Verdict(PROGRESSING, "its controller has not seen it yet")
    wanted = spec.get("replicas", 1)
    updated = status.get("updatedReplicas", wanted if item["kind"] == "ReplicaSet" else 0)
    counts = {"updated": updated, "ready": status.get("readyReplicas", 0), "available": status.get("availableReplicas", 0)}
    for name, count in counts.items():
        if count < wanted:
            return Verdict(PROGRESSING, f"{count} of {wanted} replicas {name}")
    if status.get("replicas", 0) > wanted:
        return Verdict(PROGRESSING, f"{status['replicas'] - wanted} old replicas still there")
    return Verdict(READY)


def _judge_daemon_set(item):
    status = item.get("status") or {}
    wanted = status.get("desiredNumberScheduled")
    if wanted is None or "observedGeneration" not in status:
        return Verdict(PROGRESSING, "its controller has not seen it yet")
    for field in ("updatedNumberScheduled", "numberReady"):
        if status.get(field, 0) < wanted:
            return Verdict(PROGRESSING, f"{status.get(field, 0)} of {wanted} pods ready")
    return Verdict(READY)


def _judge_job(item):
    failed = condition(item, "Failed")
    if failed.get("status") == "True":
        return Verdict(FAILED, f"{failed.get('reason', '')}: {failed.get('message', '')}")
    if condition(item, "Complete").get("status") == "True":
        return Verdict(READY)
    return Verdict(PROGRESSING, "not complete yet")


def _judge_pod(item):
    status = item.get("status") or {}
    if status.get("phase") == "Succeeded":
        return Verdict(READY)
    if status.get("phase") == "Failed":
        return Verdict(FAILED, status.get("message") or status.get("reason") or "a container failed")
    if condition(item, "Ready").get("status") == "True":
        return Verdict(READY)
    waiting = [c["state"]["waiting"].get("reason", "") for c in status.get("containerStatuses") or [] if "waiting" in c.get("state", {})]
    return Verdict(PROGRESSING, ", ".join(filter(None, waiting)) or condition(item, "PodScheduled").get("message") or f"phase {status.get('phase', 'Pending')}")


def _judge_claim(item):
    phase = (item.get("status") or {}).get("phase", "Pending")
    if phase == "Lost":
        return Verdict(FAILED, "its volume is lost")
    return Verdict(READY) if phase == "Bound" else Verdict(PROGRESSING, "not bound to a volume yet")


def _judge_namespace(item):
    phase = (item.get("status") or {}).get("phase")
    return Verdict(READY) if phase == "Active" else Verdict(PROGRESSING, f"phase {phase}")


def _judge_service(item):
    if item.get("spec", {}).get("type") == "LoadBalancer" and not ((item.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        return Verdict(PROGRESSING, "no load balancer address yet")
    return Verdict(READY)


def _judge_established(item):
    name = "Established" if item["kind"] == "CustomResourceDefinition" else "Available"
    found = condition(item, name)
    return Verdict(READY) if found.get("status") == "True" else Verdict(PROGRESSING, found.get("message") or f"not {name} yet")


def _judge_conditions(item):
    """Any other kind: ready unless it says otherwise by a Ready condition (as kstatus has it)."""
    ready = condition(item, "Ready")
    if ready.get("status") in ("False", "Unknown"):
        return Verdict(PROGRESSING, ready.get("message") or ready.get("reason") or "not Ready")
    return Verdict(READY)


_JUDGES = {
    "Deployment": _judge_replicas,
    "StatefulSet": _judge_replicas,
    "ReplicaSet": _judge_replicas,
    "ReplicationController": _judge_conditions,
    "DaemonSet": _judge_daemon_set,
    "Job": _judge_job,
    "Pod": _judge_pod,
    "PersistentVolumeClaim": _judge_claim,
    "Namespace": _judge_namespace,
    "Service": _judge_service,
    "CustomResourceDefinition": _judge_established,
    "APIService": _judge_established,
    "HorizontalPodAutoscaler": lambda item: Verdict(READY),
}
