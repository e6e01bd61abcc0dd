# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a batch of tasks in several clusters: each task in one of them, and in another one if it has no room or cannot be reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..cancellation import cause_of
from ..cluster.availability import REQUEST_OUTAGE
from ..errors import PodwrightError
from ..tasks.batch import Batch
from ..tasks.completion import raise_or_warn
from ..tasks.decision import CREATE, REPLACE
from ..tasks.stages import Stage
from ..threads import call_in_threads
from .assignment import Assignment, Group, assign, choose, find_placements, find_sightings, group_by_needs
from .claims import claim
from .members import UNREACHABLE, check_number, complete, in_cluster, is_outage, leave_out, look_around
from .moves import fail_unwatched, hold, is_unscheduled, is_untouched, take_away, why_move, withdraw
from .placement import find_cluster
from .pruning import settle_sets
from .rivals import Rivals

if TYPE_CHECKING:
    from ..console import Console
    from ..reconciler.plan import Change
    from ..tasks.observation import TaskName
    from ..tasks.runner_options import RunnerOptions
    from ..tasks.task_run import TaskRun
    from ..tasks.task_spec import TaskSpec
    from ..values import Result
    from .members import Member

TICK = 0.1  # seconds that a step of each cluster waits at most


class Dispatcher:
    """Tasks of several clusters; its methods are those of a Batch.

    Args:
        minimum: how many clusters must be reachable.
    """

    def __init__(self, members: Sequence[Member], options: RunnerOptions, console: Console, minimum: int) -> None:
        self._members = {member.name: member for member in members}
        self._options, self._console, self._minimum = options, console, minimum
        self._batches: list[Batch] = []
        self._held: list[tuple[str | None, TaskRun]] = []
        self._moved: set[int] = set()  # ids of TaskRuns
        self._groups: dict[TaskName, Group] = {}
        self._tried: dict[TaskName, set[str]] = {}  # names of clusters, by the first task of a group
        self._specs: list[TaskName] = []  # in the order of the options
        self._full: set[str] = set()
        self._rivals = Rivals({})
        self._deadline = 0.0
        self._since: dict[int, float] = {}  # id of a TaskRun -> since when its pod is unschedulable
        self._company: list[list[TaskRun]] = []

    @property
    def _reachable(self) -> list[Member]:
        return [member for member in self._members.values() if not member.problem]

    # -- planning -------------------------------------------------------------------------------------------

    def prepare(self, specs: Sequence[TaskSpec], sets: Sequence[tuple[str, str]] = ()) -> None:
        """Observe all clusters, and plan the tasks of each. Raises: PodwrightError."""
        self._specs = [spec.task_name for spec in specs]
        self._groups = {spec.task_name: group for group in group_by_needs(specs) for spec in group}
        self._rivals = Rivals(self._groups)
        look_around(list(self._members.values()), self._console, specs, sets, self._options.state == "absent")
        while not self._plan(specs, sets):
            self._batches.clear()
            self._held.clear()
            self._company.clear()

    def _plan(self, specs: Sequence[TaskSpec], sets: Sequence[tuple[str, str]]) -> bool:
        """Plan the tasks of each cluster. Returns: whether all of them could still be reached. Raises: PodwrightError."""
        is_deletion = self._options.state == "absent"
        check_number(self._members.values(), 1 if is_deletion else self._minimum)
        if len(self._reachable) < len(self._members):
            self._keep_placements([] if is_deletion else self._specs)
        settle_sets(self._reachable, self._specs, sets)
        if is_deletion:
            planned = [self._prepare(member, specs, sets, ()) for member in self._reachable]
            return all(planned)
        assigned = self._assign(specs)
        held = [(entry.cluster, spec) for entry in assigned if entry.is_held for spec in entry.group]
        self._held += [(cluster, hold(spec, cluster)) for cluster, spec in held]
        self._company += [[run for _cluster, run in self._held]] if held else []
        shares = [(member, [spec for entry in assigned if entry.cluster == member.name for spec in entry.group]) for member in self._reachable]
        planned = [self._prepare(member, own, sets, set(self._specs) - {spec.task_name for spec in own}) for member, own in shares if own or sets]
        return all(planned)

    def _keep_placements(self, known: Iterable[TaskName]) -> None:
        """Do not delete placements, except of these tasks: they say what exists in clusters that cannot be reached."""
        for member in self._reachable:
            for task in member.seen.placements.keys() - set(known):
                del member.seen.placements[task]

    def _assign(self, specs: Sequence[TaskSpec]) -> list[Assignment]:
        # Also what was seen in those that were lost since.
        seen = {member.name: member.seen for member in self._members.values()}
        sightings, placements = find_sightings(specs, seen), find_placements(specs, seen)
        servers = {member.name: member.server for member in self._members.values()}
        reachable = {member.name: member.server for member in self._reachable}
        for spec in specs:
            places = sorted({sighting.cluster for sighting in sightings.get(spec.task_name, ()) if sighting.is_live})
            if len(places) > 1:
                counts = sightings[spec.task_name][-1].cluster
                self._console.warn(f"Task '{spec.name}' exists in several clusters: {', '.join(places)}. That in '{counts}' counts, which is the latest one.")
            placement = placements.get(spec.task_name)
            if placement and not places and not find_cluster(placement, servers):
                self._console.warn(f"Task '{spec.name}' ran in cluster '{placement.cluster}' ({placement.server}), which clusters does not list any more.")
        unreachable = {name: server for name, server in servers.items() if name not in reachable}
        return assign(group_by_needs(specs), sightings, placements, reachable, unreachable)

    def _prepare(self, member: Member, specs: Sequence[TaskSpec], sets: Sequence[tuple[str, str]], elsewhere: Iterable[tuple[str, str]]) -> bool:
        batch = Batch(member.client, self._options, self._console, member.name, self._company)
        try:
            batch.prepare(specs, sets, member.seen, elsewhere)
        except PodwrightError as error:
            if not is_outage(error):
                raise in_cluster(member.name, error) from None
            leave_out(member, error.message, self._console)
            return False
        self._batches.append(batch)
        return True

    # -- the outcome ----------------------------------------------------------------------------------------

    @property
    def runs(self) -> list[tuple[str | None, TaskRun]]:
        """(cluster, TaskRun) of each task, in the order of the options; a deletion has one for each cluster that had the task."""
        found = [entry for batch in self._batches for entry in batch.runs if id(entry[1]) not in self._moved]
        if self._options.state == "absent":
            present = {run.spec.task_name for _cluster, run in found if run.spec and run.plan.to_delete}
            first = self._reachable[0].name if self._reachable else None
            return [(name, run) for name, run in found if run.plan.to_delete or (name == first and run.spec and run.spec.task_name not in present)]
        order = {task: index for index, task in enumerate(self._specs)}
        return sorted(found + self._held, key=lambda entry: order[entry[1].spec.task_name] if entry[1].spec else len(order))

    @property
    def changes(self) -> list[tuple[str | None, Change]]:
        """(cluster, step of the plan); after a run those that were carried out."""
        found: list[tuple[str | None, Change]] = [entry for batch in self._batches for entry in batch.changes]
        return found + [(cluster, change) for cluster, run in self._held for change in run.changes]

    def predict(self) -> list[tuple[str | None, Change]]:
        """(cluster, change) of each change, for a review. In check mode, the prediction becomes the plan. Raises: PodwrightError."""
        return [entry for batch in self._batches for entry in batch.predict()]

    def describe(self) -> Result:
        """The field `clusters` of the result."""
        counts = Counter(cluster for cluster, run in self.runs if run.spec)
        described = [
            {"name": member.name, "server": member.server, "reachable": not member.problem, "msg": member.problem, "tasks": counts[member.name]}
            for member in self._members.values()
        ]
        return {"clusters": described}

    # -- running --------------------------------------------------------------------------------------------

    def run(self, on_cancel: str) -> None:
        """Carry out the plans and complete them. Raises: PodwrightError; not if tasks failed."""
        try:
            if self._options.state != "absent":
                self._claim_all()
            self._carry_out()
            alive = [batch for batch in self._batches if not self._member(batch).problem]
            problems = call_in_threads(complete, alive, len(self._members))
        except Exception:
            raise
        except BaseException as reason:
            left = " ".join(f"Cluster '{batch.cluster}': {text}" for batch in self._batches if (text := batch.leave(on_cancel)))
            self._console.take_leave(f"task_pod was cancelled by {cause_of(reason)}. {left}")
            raise
        raise_or_warn(filter(None, problems), (run for _cluster, run in self.runs), self._console)
        for cluster, run in self.runs:
            run.error = in_cluster(cluster or "", run.error) if run.error else None
        lost = [member.name for member in self._members.values() if member.problem]
        if lost and self._options.state == "absent":
            message = f"What exists of the tasks in cluster {', '.join(map(repr, lost))} was not deleted, because it cannot be reached."
            raise PodwrightError(message, reason=UNREACHABLE, hint="Run it again when the cluster can be reached, or remove the cluster from clusters.")

    def _member(self, batch: Batch) -> Member:
        return self._members[batch.cluster or ""]

    def _claim_all(self) -> None:
        """Write the placements of all tasks before the first is started. Raises: PodwrightError."""
        for batch in self._batches:
            plans = {plan.spec.task_name: plan for plan in (batch.plan.tasks if batch.plan else ()) if plan.spec and not plan.is_deletion}
            starting = {task for task, plan in plans.items() if plan.change.action in (CREATE, REPLACE)}
            lost = self._claim(self._member(batch), [plan.spec for plan in plans.values() if plan.spec], starting)
            if batch.plan:
                batch.plan = replace(batch.plan, tasks=tuple(plan for plan in batch.plan.tasks if not plan.spec or plan.spec.task_name not in lost))

    def _claim(self, member: Member, specs: Sequence[TaskSpec], starting: Collection[TaskName]) -> set[TaskName]:
        """Write the placements of tasks. Returns: the names of those that must not be started there. Raises: PodwrightError."""
        found = claim(self._members.values(), member, specs, starting, self._minimum, self._console)
        lost, failed = self._rivals.note(found, starting)
        for spec, error in failed:
            self._refuse(member, spec, error)
        return lost

    def _refuse(self, member: Member, spec: TaskSpec, error: PodwrightError) -> None:
        run = hold(spec, member.name)
        run.fail(in_cluster(member.name, error))
        self._held.append((member.name, run))

    def _join_others(self) -> list[Batch]:
        """Follow other runs that start tasks in other clusters at the same time. Returns: the Batches of these tasks."""
        found = []
        for cluster, specs in self._rivals.take():
            member = self._members.get(cluster)
            if member and not member.problem:
                found += [self._start(member, specs)]
            else:
                self._held += [(cluster, hold(spec, cluster)) for spec in specs]
        return [batch for batch in found if batch]

    def _carry_out(self) -> None:
        steps: dict[Batch, Generator[None, None, None]] = {batch: batch.start(TICK) for batch in self._batches}
        self._deadline = self._now() + self._options.wait_timeout
        steps |= {batch: batch.start(TICK) for batch in self._join_others()}
        try:
            while steps:
                for batch in list(steps):
                    if not self._step(batch, steps[batch]):
                        del steps[batch]
                for batch in self._move():
                    steps[batch] = batch.start(TICK)
                self._console.progress("; ".join(f"{batch.cluster}: {batch.progress}" for batch in self._batches))
            for batch in self._batches:
                self._give_up(batch)
        finally:
            for generator in steps.values():
                generator.close()

    def _step(self, batch: Batch, generator: Iterator[None]) -> bool:
        """Let a batch proceed. Returns: whether it is not done."""
        try:
            next(generator)
            return True
        except StopIteration:
            return False
        except PodwrightError as error:
            member = self._member(batch)
            if is_outage(error):
                leave_out(member, error.message, self._console)
            if batch.runner:
                fail_unwatched(batch.runner, member.name, error)
            return False

    def _give_up(self, batch: Batch) -> None:
        """Fail the tasks that could not be started in a cluster that was lost, nor in another one."""
        for run in batch.runner.runs if batch.runner else ():
            if run.stage is not Stage.DONE:
                why = f"was not started in cluster '{batch.cluster}', nor in another one: {self._member(batch).problem}"
                run.fail_because(UNREACHABLE, why, "Run it again when the cluster can be reached.")

    def _now(self) -> float:
        return next(iter(self._members.values())).client.clock.monotonic()

    # -- moving tasks ---------------------------------------------------------------------------------------

    def _move(self) -> list[Batch]:
        """Start tasks in another cluster that cannot start in theirs. Returns: the Batches of these tasks."""
        moved: dict[str, list[TaskSpec]] = {}
        for batch in self._batches:
            for run in [run for run in (batch.runner.runs if batch.runner else ()) if run.spec]:
                group = self._groups.get(run.spec.task_name) if run.spec and run.stage is not Stage.DONE else None
                why = self._why_move(batch, run) if group else ""
                target = self._withdraw(batch, group, why, moved) if group and why else None
                if target:
                    moved.setdefault(target, []).extend(group or ())
        started = [new for name, specs in moved.items() if (new := self._start(self._members[name], specs))]
        return started + self._join_others()

    def _why_move(self, batch: Batch, run: TaskRun) -> str:
        if not batch.runner:
            return ""
        now, failing_since = batch.client.clock.monotonic(), batch.client.availability.failing_since
        is_out = bool(self._member(batch).problem) or (failing_since is not None and now - failing_since > REQUEST_OUTAGE)
        if not is_unscheduled(run):
            self._since.pop(id(run), None)
        return why_move(run, batch.runner.executor, now - self._since.setdefault(id(run), now) if is_unscheduled(run) else 0, is_out)

    def _withdraw(self, batch: Batch, group: Group, why: str, moved: Mapping[str, Sequence[TaskSpec]]) -> str | None:
        """Take a group of tasks away from its cluster, if none of them can have run there. Returns: the name of the next cluster, or None."""
        runner, member, names = batch.runner, self._member(batch), [spec.task_name for spec in group]
        tried = self._tried.setdefault(names[0], set())
        tried |= {member.name}
        others = {name: load + len(moved.get(name, ())) for name, load in self._loads().items() if name not in tried}
        runs = [run for run in (runner.runs if runner else ()) if run.spec and run.spec.task_name in names]
        if not others or not runner or not all(is_untouched(run, runner.executor) or is_unscheduled(run) for run in runs):
            return None
        self._full |= {member.name}
        if not all(withdraw(run, batch.client) for run in runs):
            return None
        target = choose(group, others, self._full)
        listed = ", ".join(f"'{name}'" for _namespace, name in names)
        self._console.warn(f"Cluster '{member.name}' does not run {listed}, because {why}. Cluster '{target}' does instead.")
        for run in runs:
            take_away(run, batch.client, f"{why}; it runs in cluster '{target}'", self._console)
            self._moved.add(id(run))
        return target

    def _loads(self) -> dict[str, int]:
        """Name of each cluster that responds -> number of tasks that have not finished there."""
        loads = {member.name: 0 for member in self._reachable if member.client.availability.failing_since is None}
        for batch in self._batches:
            if batch.cluster in loads and batch.runner:
                loads[batch.cluster] += sum(run.stage is not Stage.DONE for run in batch.runner.runs)
        return loads

    def _start(self, member: Member, specs: Sequence[TaskSpec]) -> Batch | None:
        """Plan tasks in another cluster than before. Returns: their Batch, or None if they cannot be started."""
        options = replace(self._options, prune=False, wait_timeout=max(self._deadline - self._now(), 0))
        batch = Batch(member.client, options, self._console, member.name, self._company)
        try:
            lost = self._claim(member, specs, [spec.task_name for spec in specs])
            specs = [spec for spec in specs if spec.task_name not in lost]
            if not specs:
                return None
            batch.prepare(specs)
        except PodwrightError as error:
            for spec in specs:
                self._refuse(member, spec, error)
            return None
        self._batches.append(batch)
        return batch
