# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tasks that run in one cluster: their plan, and its execution."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from ..cancellation import cause_of
from .completion import Completion
from .leftovers import Leftovers
from .planner import Planner
from .prediction import predict
from .progress import progress_line
from .review import reviewed_changes
from .runner import TICK_SECONDS, Runner
from .runner_options import RunnerOptions
from .task_plan import BatchPlan
from .task_run import TaskRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..cluster.client import Client
    from ..console import Console
    from ..reconciler.plan import Change
    from ..values import Result
    from .observation import Observation, TaskName
    from .task_spec import TaskSpec

DELETE = "delete"


class Batch:
    """Tasks of one cluster.

    Args:
        cluster: the name of the cluster if there are several.
        company: the tasks that share its concurrency and its `on_error`, in one list for each Runner.

    Attributes:
        plan: the BatchPlan, after `predict` as the server's dry runs answered to it; None until all is planned.
        runner: the Runner, or None until the plan is carried out.
    """

    def __init__(
        self, client: Client, options: RunnerOptions, console: Console, cluster: str | None = None, company: list[list[TaskRun]] | None = None
    ) -> None:
        self.client, self.options, self.console, self.cluster = client, options, console, cluster
        self._company: list[list[TaskRun]] = [] if company is None else company
        self.plan: BatchPlan | None = None
        self.runner: Runner | None = None

    def prepare(
        self,
        specs: Sequence[TaskSpec],
        sets: Iterable[tuple[str, str]] = (),
        seen: Observation | None = None,
        elsewhere: Iterable[TaskName] = (),
    ) -> None:
        """Plan the tasks; the arguments are those of the Planner. Raises: PodwrightError."""
        self.plan = Planner(self.client, specs, self.options, self.console, elsewhere).plan(sets, seen)

    @property
    def runs(self) -> list[tuple[str | None, TaskRun]]:
        """(cluster, TaskRun) of each task; in check mode none of them has begun."""
        runs = self.runner.runs if self.runner else [TaskRun(task) for task in self.plan.tasks] if self.plan else []
        return [(self.cluster, run) for run in runs]

    @property
    def changes(self) -> list[tuple[str | None, Change]]:
        """(cluster, step of the plan); except in check mode, those that were carried out: none if the review failed."""
        parts = self.runner.runs if self.runner else self.plan.tasks if self.plan and self.options.check_mode else ()
        return [(self.cluster, change) for part in parts for change in part.changes]

    def describe(self) -> Result:
        """The fields of the result about the clusters of several."""
        return {}

    def predict(self) -> list[tuple[str | None, Change]]:
        """(cluster, change) of each change, for a review. In check mode, the prediction becomes the plan. Raises: PodwrightError."""
        if not self.plan:
            return []
        predicted = predict(self.client, self.plan, self.console)
        self.plan = predicted if self.options.check_mode else self.plan
        return [(self.cluster, change) for change in reviewed_changes(predicted.tasks)]

    def start(self, tick: float = TICK_SECONDS) -> Generator[None, None, None]:
        """The steps that carry out the plan, of so many seconds at most; what fails is noted in each TaskRun. Raises: PodwrightError if a watch fails."""
        self.runner = Runner(self.client, self.plan or BatchPlan(()), self.options, self.console, self._company)
        return self.runner.steps(tick)

    def complete(self) -> None:
        """Collect, record and clean up what has finished. Raises: PodwrightError."""
        Completion(self.client, self.runner.runs if self.runner else (), self.console).complete()

    @property
    def progress(self) -> str:
        """Its progress in one line."""
        return progress_line(self.runner.runs if self.runner else ()) + self.client.availability.describe()

    def leave(self, on_cancel: str) -> str:
        """Delete, or describe, what a cancelled run leaves behind, as its option says. Returns: one line about it."""
        if not self.plan or not self.runner:
            return ""
        leftovers = Leftovers(self.client, self.plan, self.runner.runs, self.runner.executor)
        return leftovers.delete() if on_cancel == DELETE else leftovers.describe()

    def run(self, on_cancel: str) -> None:
        """Carry out the plan and complete it. Raises: PodwrightError; not if tasks failed."""
        try:
            for _step in self.start():
                self.console.progress(self.progress)
            self.complete()
        except Exception:
            raise
        except BaseException as reason:
            self.console.take_leave(f"task_pod was cancelled by {cause_of(reason)}. {self.leave(on_cancel)}")
            raise
