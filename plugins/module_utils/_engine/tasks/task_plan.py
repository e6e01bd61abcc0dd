# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a batch of tasks: complete before the first write, and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ..cluster.kinds import SECRET, Kind
from ..objects.pod_status import Status
from ..reconciler.manifest import key_of
from ..reconciler.plan import Change, creation_patch
from ..values import Manifest
from .collected import Collected
from .decision import CREATE, NONE, PATCH, REPLACE, RESIZE
from .owner import Parent
from .record import Record
from .stages import Stage
from .task_spec import TaskSpec

DELETE: Final = "delete"
Listed = tuple[Kind, Manifest]


@dataclass(frozen=True)
class TaskPlan:
    """What to do about one task, or about one object that is only deleted.

    Attributes:
        change: the step of the plan; its manifest is that of the first attempt.
        spec: the TaskSpec, or None for an object that belongs to no requested task.
        live: its pod or Job, or None.
        pods: the pods of its Job.
        to_delete: what must not exist any more before anything is created, as (Kind, object).
        attempt: the number of the attempt that is live, or is created first.
        profile: the Pod Security profile that its pod complies with.
        parent: its Parent, or None.
        policy: the creation or correction of its NetworkPolicy, or None.
        record: the Record of an earlier run that replaces its pod, or None.
        kept: the Record of an earlier run of the live pod or Job, or None.
        status: the Status of a live or recorded task that stays, or None.
        collected: in check mode, what would be fetched, or None.
        secret: in check mode, the creation of its Secret if that was deleted, or None.
    """

    change: Change
    spec: TaskSpec | None = None
    live: Manifest | None = None
    pods: tuple[Manifest, ...] = ()
    to_delete: tuple[Listed, ...] = ()
    attempt: int = 1
    profile: str = ""
    parent: Parent | None = None
    policy: Change | None = None
    record: Record | None = None
    kept: Record | None = None
    status: Status | None = None
    collected: Collected | None = None
    secret: Change | None = None

    @property
    def changes(self) -> list[Change]:
        """Its steps."""
        return [change for change in (self.policy, self.secret, self.change) if change]

    @property
    def created_at(self) -> str | None:
        """When its live or recorded Pod or Job was created, by the clock of the API server; None if that is unknown."""
        return created_at(self.live, self.record)

    @property
    def is_deletion(self) -> bool:
        """Whether nothing is created or kept."""
        return self.change.desired is None

    @property
    def had_finished(self) -> bool:
        """Whether the task had finished before, and nothing is planned that runs it again."""
        return self.status is not None and self.status.is_finished

    @property
    def first_stage(self) -> Stage:
        """The stage in which carrying it out begins."""
        if self.to_delete:
            return Stage.DELETE
        if self.is_deletion:
            return Stage.DONE
        return {NONE: Stage.WATCH, PATCH: Stage.WATCH, RESIZE: Stage.RESIZE, CREATE: Stage.CREATE, REPLACE: Stage.CREATE}[self.change.action]


@dataclass(frozen=True)
class BatchPlan:
    """The plans of all tasks, and what was listed for them.

    Attributes:
        lists: (Kind, namespace) -> (objects, resource version to watch from).
        selectors: namespace -> the label selector of its lists.
    """

    tasks: tuple[TaskPlan, ...]
    lists: Mapping[tuple[Kind, str], tuple[list[Manifest], str]] = field(default_factory=dict)
    selectors: Mapping[str, str] = field(default_factory=dict)


def created_at(live: Manifest | None, record: Record | None) -> str | None:
    """When a live or recorded Pod or Job was created, in the API's format, which can be compared as text; None if that is unknown."""
    return live["metadata"].get("creationTimestamp") if live else record.created_at if record else None


def secret_creation(secret: Manifest) -> Change:
    """The step of a plan that creates the Secret of a task."""
    return Change(CREATE, key_of(secret, SECRET), SECRET, secret, after=secret, patch=creation_patch(secret))
