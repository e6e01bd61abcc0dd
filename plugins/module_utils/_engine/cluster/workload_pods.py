# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pods of a workload, or of another object with a selector for pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PodwrightError, not_found_error
from ..objects.controllers import controller_reference
from ..objects.selectors import pod_selector
from .kinds import CRON_JOB, JOB, POD

if TYPE_CHECKING:
    from ..values import Manifest
    from .client import Client
    from .kinds import Kind


START_SECONDS = 20  # in which a controller creates the first pod of a workload, as long as kubectl logs waits
POLL_SECONDS = 0.5


def find_pods_of(client: Client, kind: Kind, namespace: str, name: str, seconds: float = 0) -> list[Manifest]:
    """The pods that an object selects; those of its newest Job if it is a CronJob.

    Args:
        seconds: how long to wait for the first pod, unless the object is suspended.

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
    is_suspended = (owner.get("spec") or {}).get("suspend")
    deadline = client.clock.monotonic() + (0 if is_suspended else seconds)
    while not (pods := client.list(POD, namespace, label_selector=selector)[0]):
        if client.clock.monotonic() >= deadline:
            hint = "It is suspended." if is_suspended else "It has not created one yet, or they were deleted: its events explain more."
            raise PodwrightError(f"{title} has no pod.", status=404, reason="NotFound", hint=hint)
        client.clock.sleep(POLL_SECONDS)
    return pods


def _newest_job(client: Client, cron_job: Manifest) -> Manifest:
    """The last Job of a CronJob, whether or not it has finished. Raises: PodwrightError if there is none."""
    metadata = cron_job["metadata"]
    jobs = [job for job in client.list(JOB, metadata["namespace"])[0] if (controller_reference(job) or {}).get("uid") == metadata["uid"]]
    if not jobs:
        hint = "It has not run yet, or its history limits or ttlSecondsAfterFinished keep none."
        raise PodwrightError(f"CronJob '{metadata['name']}' in namespace '{metadata['namespace']}' has no Job.", status=404, reason="NotFound", hint=hint)
    return max(jobs, key=lambda job: (job["metadata"]["creationTimestamp"], job["metadata"]["name"]))
