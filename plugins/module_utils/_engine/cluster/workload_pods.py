# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pods of a workload, or of another object with a selector for pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PodwrightError, not_found_error
from ..objects.controllers import controller_reference
from ..objects.readiness import condition
from ..objects.selectors import pod_selector
from .kinds import BUILT_IN_GROUPS, CRON_JOB, JOB, POD

if TYPE_CHECKING:
    from ..values import Manifest
    from .client import Client
    from .kinds import Kind


START_SECONDS = 20  # in which a controller creates the first pod of a workload, as long as kubectl logs waits
POLL_SECONDS = 0.5
_CREATORS = ("Job", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController")


def find_pods_of(client: Client, kind: Kind, namespace: str, name: str, deadline: float = 0) -> list[Manifest]:
    """The pods that an object selects; those of its newest Job if it is a CronJob.

    Args:
        deadline: until when, on the client's clock, to wait for the first pod if one may still be created.

    Raises: PodwrightError if there is none.
    """
    owner = client.get(kind, namespace, name)
    if owner is None:
        raise not_found_error(kind.name, name, namespace, "Check kind and name.")
    if kind is CRON_JOB:
        owner, kind = _newest_job(client, owner), JOB
    title = f"{kind.name} '{owner['metadata']['name']}' in namespace '{namespace}'"
    selector = pod_selector(owner)
    if not selector:
        raise PodwrightError(f"{title} has no selector for pods.", reason="NotFound", hint="Check kind and name, or set label_selectors.")
    obstacle = _why_none(kind, owner)
    while not (pods := client.list(POD, namespace, label_selector=selector)[0]):
        left = deadline - client.clock.monotonic()
        if obstacle or left <= 0:
            hint = obstacle or "It has not created one yet, or they were deleted: its events explain more."
            raise PodwrightError(f"{title} has no pod.", status=404, reason="NotFound", hint=hint)
        client.clock.sleep(min(POLL_SECONDS, left))
    return pods


def _why_none(kind: Kind, owner: Manifest) -> str:
    """Why an object that has no pod does not create one either; empty if it may."""
    spec = owner.get("spec") or {}
    if spec.get("suspend"):
        return "It is suspended."
    if kind is JOB and any(condition(owner, name).get("status") == "True" for name in ("Complete", "Failed")):
        return "It has finished, and its pods were deleted."
    if kind.group in BUILT_IN_GROUPS and kind.name not in _CREATORS:
        return "It selects the pods of other objects, and none of them has its labels: check its selector."
    return "Its number of replicas is 0." if spec.get("replicas") == 0 else ""


def _newest_job(client: Client, cron_job: Manifest) -> Manifest:
    """The last Job of a CronJob, whether or not it has finished. Raises: PodwrightError if there is none."""
    metadata = cron_job["metadata"]
    jobs = [job for job in client.list(JOB, metadata["namespace"])[0] if (controller_reference(job) or {}).get("uid") == metadata["uid"]]
    if not jobs:
        hint = "It has not run yet, or its history limits or ttlSecondsAfterFinished keep none."
        raise PodwrightError(f"CronJob '{metadata['name']}' in namespace '{metadata['namespace']}' has no Job.", status=404, reason="NotFound", hint=hint)
    return max(jobs, key=lambda job: (job["metadata"]["creationTimestamp"], job["metadata"]["name"]))
