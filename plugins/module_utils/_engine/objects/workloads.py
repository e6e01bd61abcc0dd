# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a Workload of Kueue says about the pod or Job that it admits. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .readiness import condition

if TYPE_CHECKING:
    from ..values import Manifest

GROUP, WORKLOAD, LOCAL_QUEUE = "kueue.x-k8s.io", "Workload", "LocalQueue"
GATE = "kueue.x-k8s.io/admission"  # scheduling gate of the pods that wait for their admission


def describe_workload(workload: Manifest) -> str:
    """Why a Workload is not admitted, as a sentence; empty if it says nothing about that."""
    spec, status = workload.get("spec") or {}, workload.get("status") or {}
    quota, evicted = condition(workload, "QuotaReserved"), condition(workload, "Evicted")
    eviction = str(evicted.get("message") or "") if evicted.get("status") == "True" else ""
    if spec.get("active") is False:
        return f"its Workload '{workload['metadata']['name']}' is deactivated{': ' if eviction else ''}{eviction}"
    if quota.get("status") == "True":
        waiting = [check for check in status.get("admissionChecks") or [] if check.get("state") != "Ready"]
        checks = ", ".join(f"{check.get('name')} ({check.get('message') or check.get('state')})" for check in waiting)
        return f"it has its quota, and waits for admission checks: {checks}" if checks else ""
    message = str(quota.get("message") or "")
    return f"{message} (it was evicted before: {eviction.rstrip('.')})" if eviction and message and eviction not in message else message or eviction


def owner_uids(workload: Manifest) -> set[str]:
    """The uids of the objects that a Workload is for."""
    return {str(owner.get("uid")) for owner in workload["metadata"].get("ownerReferences") or []}
