# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What other runs did about a task meanwhile: they may have created its pod or Job, recorded its result and deleted it again."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ..errors import PodwrightError
from .observation import owner_job
from .outputs import why_incomplete
from .record import Record, find_record

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..values import Manifest
    from .task_plan import BatchPlan
    from .task_run import TaskRun
    from .task_spec import TaskSpec


class OtherRuns:
    """Finds what other runs have done about the tasks of a plan since that was made."""

    def __init__(self, client: Client, plan: BatchPlan) -> None:
        self._client = client
        items = [item for listed, _version in plan.lists.values() for item in listed]
        self._listed = {item["metadata"]["uid"] for item in items} | {owner_job(item) for item in items}  # the plan was made with these in mind

    def note(self, run: TaskRun, item: Manifest) -> None:
        """Note a pod or Job that the watch has reported."""
        uid = owner_job(item) or item["metadata"]["uid"]
        is_live = run.live is not None and run.live["metadata"]["uid"] == uid
        if uid not in run.to_delete and (is_live or uid not in self._listed):
            run.reported.add(uid)

    def take_record(self, run: TaskRun, spec: TaskSpec) -> bool:
        """Continue with the record of what was deleted, if another run has written one. Returns: whether there is one."""
        try:
            record = find_completed(self._client, spec, run.reported)
        except PodwrightError:
            record = None  # it is not waited for: the deletion is known in any case
        if record:
            take(run, record)
        return record is not None


def take(run: TaskRun, record: Record) -> None:
    """Continue with the record of a task that another run has completed."""
    run.record, run.attempt, run.live, run.pods = record, record.attempt, None, {}
    run.note = run.note if run.effects.created else "another run completed it at the same time"


def find_completed(client: Client, spec: TaskSpec, uids: Collection[str], since: str = "") -> Record | None:
    """The record of a task if it replaces one of its pods or Jobs, with the same options and with all that it should have left.

    Args:
        uids: those of the pods or Jobs.
        since: when it must have been created at the earliest, in the API's format.

    Raises: PodwrightError.
    """
    if not uids or not spec.keeps_record or (spec.state == "running" and not spec.is_job):
        return None
    try:
        record = find_record(client, spec.namespace, spec.name)
    except PodwrightError as error:
        if error.is_forbidden:
            return None  # there was a warning when the task was planned
        raise
    if not record or (record.job or record.uid) not in uids or (record.created_at or "") < since:
        return None
    if (record.hash, record.resources) != (spec.hash, spec.resources_hash):
        return None
    return None if record.status.state == "succeeded" and why_incomplete(spec.options, record, False) else record
