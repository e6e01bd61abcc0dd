# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a pod was terminated from outside: by Kubernetes, by its deadline, or because somebody deleted it. Pure functions."""

from __future__ import annotations

from ..values import Manifest
from .controllers import controller_reference
from .readiness import condition
from .timestamps import read_timestamp

# Conditions of a pod that is terminated from outside: by Kubernetes (KEP-3329), or by Kueue, which evicts a Workload.
_TERMINATIONS = ("DisruptionTarget", "TerminationTarget")
_INTERRUPTIONS = (
    "Evicted",
    "NodeLost",
    "Preempting",
    "Preempted",
    "Shutdown",
    "NodeShutdown",
    "Terminated",
    "NodeAffinity",
    "TopologyAffinityError",
    "UnexpectedAdmissionError",
)
_OUT_OF = "OutOf"  # with the name of any resource that the node lacks, as in OutOfcpu or OutOfephemeral-storage


def termination(pod: Manifest) -> Manifest:
    """The condition of a pod that is or was terminated from outside, or an empty mapping."""
    return next((found for name in _TERMINATIONS if (found := condition(pod, name)).get("status") == "True"), {})


def read_interruption(pod: Manifest) -> str | None:
    """Why a pod was terminated from outside, as one word; None if it was not, or was only deleted."""
    reason: str | None = termination(pod).get("reason")
    own: str = (pod.get("status") or {}).get("reason") or ""
    return own if own in _INTERRUPTIONS or own.startswith(_OUT_OF) else reason


def was_terminated(pod: Manifest, terminated: Manifest) -> bool:
    """Whether the task's container was running when its failed pod was terminated: by its deadline, an eviction or the loss of its node."""
    status = pod.get("status") or {}
    if status.get("phase") != "Failed" or not (status.get("reason") or read_interruption(pod)):
        return False
    end = read_timestamp(termination(pod).get("lastTransitionTime"))
    if status.get("reason") == "DeadlineExceeded":
        start, seconds = read_timestamp(status.get("startTime")), pod["spec"].get("activeDeadlineSeconds")
        end = start + seconds if start is not None and seconds else None
    finished = read_timestamp(terminated.get("finishedAt"))
    return end is None or finished is None or finished >= end


def deletion_requested_at(pod: Manifest) -> float | None:
    """When the deletion of a pod was requested, in seconds since the epoch; None if it was not."""
    due = read_timestamp(pod["metadata"].get("deletionTimestamp"))
    return None if due is None else due - (pod["metadata"].get("deletionGracePeriodSeconds") or 0)


def was_stopped(pod: Manifest, terminated: Manifest) -> bool:
    """Whether the task's container, which exited with 0, did so because its pod was deleted, evicted or preempted: its work may be incomplete.

    Not of a Job, which decides by itself: Kubernetes may count such a pod as succeeded.
    """
    requested, finished = deletion_requested_at(pod), read_timestamp(terminated.get("finishedAt"))
    owner = controller_reference(pod)
    if requested is None or finished is None or (owner and owner["kind"] == "Job"):
        return False
    # Times have whole seconds. Within the same one, somebody who deletes a pod has perhaps seen that it had finished: to repeat what was complete may
    # do harm. Who evicts or preempts a pod has chosen it because it runs.
    return finished > requested or (finished == requested and bool(termination(pod)))
