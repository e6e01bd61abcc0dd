# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One task on its way, and how a batch of them is run."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import PodwrightError
from ..objects.pod_status import Status, read_job, read_pod
from ..reconciler.plan import Change


@dataclass
class RunnerOptions:
    """How a batch is run; the names are those of task_pod."""

    state: str = "running"
    wait: bool = True
    wait_timeout: float = 300
    concurrency: int = 100
    on_error: str = "continue"
    prune: bool = False
    check_mode: bool = False


@dataclass
class TaskRun:
    """One task on its way.

    Attributes:
        spec: the TaskSpec, or None for what is only deleted.
        change: the Change of the plan.
        live: its pod or Job as last seen.
        pods: a Job's pods by uid.
        doomed: uid -> (Kind, object) that must be gone before it can be created.
        early: uid -> (type, object) of changes that came before the answer to its creation.
        stage: `remove`, `removing`, `create`, `creating`, `resize`, `resizing`, `watch` or `done`.
        error: why it failed, or None.
        parent: its Parent, or None.
        policy: the Change of its NetworkPolicy, or None.
        record: the Record of an earlier run of the same task, where its pod is gone; else None.
        is_unrecorded: its record could not be written.
    """

    spec: object
    change: Change | None = None
    live: dict | None = None
    pods: dict = field(default_factory=dict)
    to_delete: dict = field(default_factory=dict)
    early: dict = field(default_factory=dict)
    stage: str = "watch"
    status: Status | None = None
    attempt: int = 1
    problem_since: float | None = None
    refusal: PodwrightError | None = None
    not_before: float = 0
    created_at: float = 0
    error: PodwrightError | None = None
    logs: str | None = None
    events: list = field(default_factory=list)
    parent: object = None
    policy: Change | None = None
    record: object = None
    is_unrecorded: bool = False

    @property
    def pod(self):
        """Its pod, or its Job's latest."""
        if self.spec.is_job:
            return max(self.pods.values(), key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)
        return self.live

    @property
    def is_known_by_record(self):
        """Whether a record stands for its pod: there is none, and none is made."""
        return self.live is None and self.record is not None

    @property
    def changes(self):
        """Its steps of the plan."""
        return [self.policy, self.change] if self.policy else [self.change]

    @property
    def is_active(self):
        """Whether it counts towards the concurrency."""
        return self.stage in ("removing", "creating", "resizing", "watch")

    def read(self):
        """Read the status from what was last seen."""
        if self.live is None:
            self.status = self.record.status if self.record else None
        else:
            self.status = read_job(self.live, list(self.pods.values())) if self.spec.is_job else read_pod(self.live)
