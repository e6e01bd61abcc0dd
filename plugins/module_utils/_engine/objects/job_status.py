# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status of a task from its Job and the Job's pods, also of a Job with several completions. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..text import parse_integer
from ..values import Manifest
from .containers import default_container
from .labels import annotation_of
from .meshes import idle_proxy
from .pod_status import DELETED, FIXABLE, Status, read_pod
from .readiness import condition

DEFAULT_BACKOFF_LIMIT = 6  # API reference, JobSpec, backoffLimit
INDEX = "batch.kubernetes.io/job-completion-index"  # annotation of the pods of an Indexed Job
MAX_INDEX = 10**5
SUSPENDED = "Suspended"


def deciding_pod(job: Manifest | None, pods: Iterable[Manifest]) -> Manifest | None:
    """The pod that says what a Job does: its latest one.

    If it has several completions, a failed one if it has failed, which deletes the others, else one that has not finished.
    """
    latest = sorted(pods, key=_age)
    if job and completions_of(job) > 1 and latest:
        states = [(pod, read_pod(pod)) for pod in latest]
        if condition(job, "Failed").get("status") == "True":
            failed = [(pod, status) for pod, status in states if status.state == "failed"]
            chosen = [pod for pod, status in failed if status.reason != DELETED] or [pod for pod, _status in failed]
        else:
            chosen = [pod for pod, status in states if not status.is_finished]
        latest = chosen or latest
    return latest[-1] if latest else None


def _age(pod: Manifest) -> tuple[str, int, str]:
    """What sorts pods by their age, of which only whole seconds are known; those of the same second by their index and name."""
    index = parse_integer(annotation_of(pod, INDEX), MAX_INDEX, 0)
    return pod["metadata"]["creationTimestamp"], -1 if index is None else index, pod["metadata"].get("name") or ""


def pods_by_index(pods: Iterable[Manifest]) -> dict[int, Manifest]:
    """The latest pod of each index of an Indexed Job, in order."""
    found = {}
    for pod in sorted(pods, key=_age):
        index = parse_integer(annotation_of(pod, INDEX), MAX_INDEX, 0)
        if index is not None:
            found[index] = pod
    return dict(sorted(found.items()))


def completions_of(job: Manifest) -> int:
    """How many pods of a Job must succeed."""
    completions: int = (job.get("spec") or {}).get("completions") or 1
    return completions


def read_job(job: Manifest, pods: Sequence[Manifest]) -> Status:
    """The Status of a task from its Job and the Job's pods. The Job decides whether the task is finished, its last pod why."""
    last = deciding_pod(job, pods)
    latest = read_pod(last) if last else None
    if any(condition(job, name).get("status") == "True" for name in ("Complete", "SuccessCriteriaMet")):
        return Status("succeeded", "Completed", "", latest.rc if latest and latest.rc is not None and completions_of(job) == 1 else 0)
    failed = condition(job, "Failed")
    if failed.get("status") == "True":
        # A proxy may have kept the pod of a task that succeeded running until its deadline.
        # The Job controller deletes the pods that still run when a Job has failed.
        if latest and latest.reason != DELETED and (latest.state == "failed" or (latest.state == "succeeded" and completions_of(job) == 1)):
            return _with_indexes(job, latest, last)
        return Status("failed", failed.get("reason") or "Failed", failed.get("message") or "", latest.rc if latest else None)
    if job["metadata"].get("deletionTimestamp"):
        return Status("deleting", DELETED, "it is being deleted", is_interrupted=True)
    if condition(job, SUSPENDED).get("status") == "True" and job["spec"].get("suspend"):
        return Status("pending", SUSPENDED, "its Job is suspended", grace=FIXABLE)
    if last and latest and _is_held_open(job, pods):
        retries = job["spec"].get("backoffLimit", DEFAULT_BACKOFF_LIMIT) - (job.get("status") or {}).get("failed", 0)
        if latest.state == "succeeded" or retries <= 0 or not idle_proxy(last):
            return latest
        return Status("pending", "Starting", "its Job retries it when its proxy has terminated")
    if latest is None or latest.is_finished:
        return Status("pending", "Starting", "its Job has not created a pod yet" if latest is None else "its Job is about to finish or to retry")
    return latest


def _is_held_open(job: Manifest, pods: Sequence[Manifest]) -> bool:
    """Whether the task is finished but its Job never will be: a container that a webhook added to the pod, such as a proxy, still runs."""
    if completions_of(job) > 1 or not all(read_pod(pod).is_finished for pod in pods):
        return False
    others = [entry for pod in pods for entry in pod["status"].get("containerStatuses") or [] if entry["name"] != default_container(pod)]
    return any("running" in (entry.get("state") or {}) for entry in others)


def _with_indexes(job: Manifest, status: Status, pod: Manifest | None) -> Status:
    """The status of a failed pod with the indexes of its Job that failed: all if each has a limit of its own, else that of the pod."""
    indexes = (job.get("status") or {}).get("failedIndexes")
    index = annotation_of(pod, INDEX) if pod and not indexes else ""
    what = f"failed indexes: {indexes}" if indexes else f"index {index}" if index else ""
    return replace(status, message=f"{status.message} ({what})") if what else status
