# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carries out the plan of a batch of tasks: one watch for each list, as many requests at a time as allowed."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator
from functools import partial

from ..cluster.client import Client
from ..cluster.watch import Watcher
from ..console import Console
from ..errors import PodwrightError
from ..objects.job_status import SUSPENDED
from ..objects.pod_status import SKIPPED, Status
from ..threads import Pool
from ..values import Manifest
from .decision import attempt_of
from .executor import THREADS, Answer, Executor, refuses_resize
from .file_containers import holder_problem
from .indexes import awaits_pods
from .log_streams import FINISHING_SECONDS, LogStreams
from .needs import Needs
from .observation import TaskName, latest, owner_job, task_of
from .other_runs import OtherRuns, take
from .planner import plan_policy
from .pod_template import build_manifest
from .problems import Problems, failure_hint
from .proxies import Proxies
from .resizing import awaits_resize, replace_instead
from .restoration import restore
from .retries import can_retry, delay_before
from .runner_options import RunnerOptions
from .stages import Stage, StageEvent
from .stopping import stop_others
from .task_completion import TaskCompletion
from .task_plan import BatchPlan
from .task_run import TaskRun
from .task_spec import TaskSpec
from .transfers import Transfers
from .turns import free_turns

TICK_SECONDS = 1
BUSY_SECONDS = 0.02  # between checks for answers while requests are on their way
QUOTA_PAUSE = 2
_WATCHED = (Stage.WATCH, Stage.CREATING, Stage.RESIZING, Stage.DELIVER, Stage.DELIVERING)
LARGE_BATCH, BURST_SECONDS = 100, 0.05


class Runner:
    """Carries out the plan of a batch of tasks, and waits as the options say.

    Args:
        company: lists of the tasks that count towards one concurrency and stop together; its own is added.

    Attributes:
        runs: a TaskRun for each TaskPlan.
        executor: what sends the requests.
    """

    def __init__(self, client: Client, plan: BatchPlan, options: RunnerOptions, console: Console, company: list[list[TaskRun]]) -> None:
        self._client, self._plan, self._options, self._console = client, plan, options, console
        self.executor, self._others, self._company = Executor(client), OtherRuns(client, plan), company
        self._answers: queue.Queue[Callable[[], None]] = queue.Queue()  # what to do with an answer, in the main thread
        self._requests = 0  # that have not been answered
        self._early: dict[str, tuple[str, Manifest]] = {}  # uid -> what the watch reported before the answer to a creation
        self._transfers, self._completion = Transfers(client, console), TaskCompletion(client, console)
        self._streams = LogStreams(client, console, FINISHING_SECONDS if options.state == "completed" else 0)
        self.runs = [TaskRun(task) for task in plan.tasks]
        company.append(self.runs)
        self._needs = Needs(self.runs)
        self._proxies = Proxies(client, console)
        self._problems = Problems(client, self.executor, options, self._retry)
        self._by_name: dict[TaskName, list[TaskRun]] = {}
        for run in self.runs:
            name = run.spec.name if run.spec else (run.plan.change.before and task_of(run.plan.change.before)) or ""
            self._by_name.setdefault((run.plan.change.key.namespace, name), []).append(run)

    def steps(self, tick: float = TICK_SECONDS) -> Generator[None, None, None]:
        """Carry out the plan in steps, each of which waits so many seconds at most. What fails is noted in each TaskRun; only a failed watch is raised."""
        restore(self.executor, self.runs)
        for run in self.runs:
            self._settle(run)
        self._transfers.deadline = deadline = self._client.clock.monotonic() + self._options.wait_timeout
        try:
            with self._streams, Pool(THREADS) as pool, Watcher(self._client) as watcher:
                if any(run.stage not in (Stage.COMPLETE, Stage.DONE) for run in self.runs):
                    for (kind, namespace), (items, version) in self._plan.lists.items():
                        watcher.follow(kind, namespace, version, self._plan.selectors[namespace], known=items)
                while self._is_open():
                    if self._client.clock.monotonic() > deadline:
                        self._problems.give_up(self.runs)
                        break
                    self._needs.release()
                    self._send_requests(pool)
                    self._receive(watcher, tick)
                    self._problems.check(self.runs)
                    yield
        finally:
            self._transfers.cancel()
            self._handle_answers()  # also after a failed watch, or if it is cancelled: the result shows what was changed
            for run in self.runs:
                if run.stage in (Stage.COMPLETE, Stage.COMPLETING):
                    run.advance(StageEvent.FINISHED)  # what was not completed in time is completed with its batch

    def _is_open(self) -> bool:
        return self._requests > 0 or self._proxies.is_open or any(run.stage is not Stage.DONE for run in self.runs)

    # -- requests and their answers -------------------------------------------------------------------------

    def _send_requests(self, pool: Pool) -> None:
        if self._options.on_error == "stop" and any(run.has_failed for runs in self._company for run in runs):
            stop_others(self.runs)
        self._proxies.quit(pool)
        queued = [run for run in self.runs if run.stage.is_queued]
        free = free_turns(self.runs, self._company, self._options.concurrency) if queued else 0
        now = self._client.clock.monotonic()
        for run in queued:
            if run.timing.not_before <= now and (free > 0 or run.is_active or run.is_stopping):
                free -= not run.is_active
                self._send(pool, run)

    def _send(self, pool: Pool, run: TaskRun) -> None:
        spec = run.spec
        manifest = run.manifest = run.manifest and self._needs.hand_over(run, run.manifest)
        send: Callable[[], Answer]
        handle: Callable[[TaskRun, Answer], None]
        if run.is_stopping and spec:
            send, handle = partial(self.executor.stop, spec, run.live, list(run.pods.values()), self._options.stop_grace), self._deleted
        elif run.stage is Stage.DELETE or not spec or not manifest:
            send, handle = partial(self.executor.delete, spec, list(run.to_delete.values()), run.untried_replacement), self._deleted
        elif run.stage is Stage.RESIZE:
            send, handle = partial(self.executor.resize, spec), partial(self._resized, spec)
        elif run.stage is Stage.DELIVER:
            send, handle = partial(self._transfers.deliver, spec, run.pod or manifest), partial(self._delivered, spec)
        elif run.stage is Stage.COLLECT and run.pod:
            send, handle = partial(self._transfers.collect, spec, run.pod, run.error is None), TaskRun.take
        elif run.stage is Stage.COMPLETE:
            send, handle = partial(self._completion.try_completing, run, spec), TaskRun.end
        else:
            create = partial(self.executor.create, spec, manifest, frozenset(run.reported), self._needs.created_at(run))
            send, handle = create, partial(self._created, spec)
        run.advance(StageEvent.SENT)
        self._requests += 1
        pool.submit(self._request, run, send, handle)

    def _request(self, run: TaskRun, send: Callable[[], Answer], handle: Callable[[TaskRun, Answer], None]) -> None:
        """Send a request, in a thread of the pool. The Executor answers whatever happens."""
        self._answers.put(partial(handle, run, send()))

    def _handle_answers(self) -> bool:
        """Handle the answers that have arrived. Returns: whether there were any."""
        before = self._requests
        while self._requests:
            try:
                handle = self._answers.get_nowait()
            except queue.Empty:
                break
            self._requests -= 1
            handle()
        return self._requests < before

    def _deleted(self, run: TaskRun, answer: Answer) -> None:
        run.effects.deleted |= answer.deleted or bool(answer.error and answer.error.leaves_unknown and not run.to_delete)
        run.predicted = answer.predicted or run.predicted
        run.logs = run.logs if answer.log is None else answer.log
        # The watch may have reported the deletion before this answer came, or before the request was sent.
        run.forget(answer.missing)
        is_deleting = run.stage is Stage.DELETING
        run.effects.kept = is_deleting and bool(answer.error) and not run.plan.is_deletion and not run.is_stopping
        if not is_deleting:
            return
        if answer.error:
            self._refused(run, answer.error, "was not replaced" if run.effects.kept else "was not deleted")
        elif run.plan.is_deletion and not self._options.awaits_deletion:
            run.advance(StageEvent.FINISHED)

    def _created(self, spec: TaskSpec, run: TaskRun, answer: Answer) -> None:
        run.effects.policy = answer.policy or run.effects.policy
        if answer.live:
            run.effects.created |= answer.live["metadata"]["uid"] in self.executor.created
            run.note = run.note if run.effects.created or run.effects.adopt(answer.adopted, answer.live) else "another client created it at the same time"
            event, seen = self._early.pop(answer.live["metadata"]["uid"], ("ADDED", answer.live))
            run.live = latest(seen, answer.live)
            run.attempt = run.attempt if run.effects.created else attempt_of(run.live)  # another run has perhaps retried it
            # The Job that it replaces had pods, too, and another watch reports those.
            run.pods = {uid: pod for uid, pod in run.pods.items() if owner_job(pod) == answer.live["metadata"]["uid"]}
        if run.stage is not Stage.CREATING:
            return  # it timed out before the answer
        if answer.error:
            self._refused(run, answer.error)
            return
        run.advance(StageEvent.ANSWERED)
        run.timing.created_at = self._client.clock.monotonic()
        if answer.record:
            take(run, answer.record)
        elif event == "DELETED":
            self._lose(run, spec)
        self._settle(run)

    def _resized(self, spec: TaskSpec, run: TaskRun, answer: Answer) -> None:
        run.effects.resized = answer.live or run.effects.resized
        if run.stage is not Stage.RESIZING:
            return
        if answer.error and run.live and refuses_resize(answer.error):
            replace_instead(run, spec, run.live, answer.error.message)
        elif answer.error:
            self._refused(run, answer.error)
        else:
            run.live = latest(answer.live, run.live)
            run.advance(StageEvent.ANSWERED)
            self._settle(run)

    def _delivered(self, spec: TaskSpec, run: TaskRun, answer: Answer) -> None:
        if run.stage is not Stage.DELIVERING:
            return
        run.supplied = None if answer.error or not answer.live else answer.live["metadata"]["uid"]
        run.live = latest(answer.live, run.live) if answer.live and run.live else None
        run.advance(StageEvent.ANSWERED)
        run.read_status()
        if run.live is None:
            self._lose(run, spec)
        elif answer.error and not (run.status and run.status.is_finished):
            run.fail_because(answer.error.reason, f"did not receive its inputs: {answer.error.message}", answer.error.hint)
        else:
            self._settle(run)

    def _refused(self, run: TaskRun, error: PodwrightError, problem: str = "failed") -> None:
        """Postpone a request that exceeds a quota, which may be freed, or that reaches no server, which may return; other refusals are final."""
        is_outage = error.is_unreachable and self._client.availability.lets_wait(error)
        if not error.exceeds_quota and not is_outage:
            run.fail_because(error.reason, f"{problem}: {error.message}", error.hint)
        else:
            run.postpone(error, error.reason if is_outage else "QuotaExceeded", self._client.clock.monotonic() + QUOTA_PAUSE)

    # -- what the watch reports -----------------------------------------------------------------------------

    def _receive(self, watcher: Watcher, tick: float) -> None:
        """Handle answers, or wait briefly for events of the watch, and handle all that arrived."""
        was_busy = self._handle_answers()
        pause = 0 if was_busy else BUSY_SECONDS if self._requests else tick
        change = watcher.next(pause)
        # Events of a large batch arrive in bursts: a burst is handled as a whole before all runs are checked again.
        until = self._client.clock.monotonic() + (BURST_SECONDS if len(self.runs) > LARGE_BATCH else 0)
        while change:
            self._see(*change)
            change = watcher.next(until - self._client.clock.monotonic())
        for run in self.runs:
            if run.timing.failed_since is not None:
                self._settle(run)

    def _see(self, event: str, item: Manifest) -> None:
        uid = item["metadata"]["uid"]
        for run in self._by_name.get((item["metadata"]["namespace"], task_of(item) or ""), []):
            if event == "DELETED" and uid in run.to_delete:
                run.effects.deleted |= uid in self.executor.deleting
                run.forget([uid])
                continue
            self._others.note(run, item)
            if run.spec and run.stage in _WATCHED:
                self._update(run, run.spec, event, item)

    def _update(self, run: TaskRun, spec: TaskSpec, event: str, item: Manifest) -> None:
        uid = item["metadata"]["uid"]
        job = owner_job(item) if item["kind"] == "Pod" else None
        if spec.is_job and job:
            if event == "DELETED":
                run.pods.pop(uid, None)
            elif run.live is None or job == run.live["metadata"]["uid"]:
                run.pods[uid] = item
        elif run.stage is Stage.CREATING or run.live is None or uid != run.live["metadata"]["uid"]:
            # The watch may be faster than the answer to the creation, and may never report the object again.
            self._early[uid] = (event, item)
            return
        elif event == "DELETED" and run.stage in (Stage.DELIVER, Stage.DELIVERING):
            run.live = None  # noted again with the answer
        elif event == "DELETED":
            run.live = latest(item, run.live)
            self._lose(run, spec)
        else:
            run.live = latest(item, run.live)
        self._settle(run)

    def _lose(self, run: TaskRun, spec: TaskSpec) -> None:
        """Continue after the deletion of what was live: it may have succeeded before, unseen, and another run may have recorded its result."""
        if run.stage is Stage.RESIZING:
            run.advance(StageEvent.ANSWERED)
        is_recorded = self._others.take_record(run, spec)
        run.read_status()
        # Files that it left and that nobody has recorded are lost with its pod.
        has_succeeded = run.status and run.status.state in ("succeeded", SKIPPED) and not spec.leaves_files
        if not is_recorded and not has_succeeded:
            self._retry_or_fail(run, spec, run.lose())

    def _settle(self, run: TaskRun) -> None:
        """Decide whether a task has reached the requested state."""
        if run.stage is not Stage.WATCH or not run.spec:
            return
        run.read_status()
        status, state = run.status, self._options.state
        if not status:
            return
        self._streams.show(run, run.spec, status)
        self._proxies.note(run)
        if self._options.wait and awaits_resize(run, run.spec, status):
            return
        if status.is_ready or status.state == "succeeded":
            run.timing.problem_since = None
        has_completed = status.state in ("succeeded", SKIPPED) and (state == "completed" or run.spec.is_job)
        has_completed |= bool(run.spec.options.get("suspend")) and status.reason == SUSPENDED
        is_running = status.is_ready and status.state == "running" and state in ("running", "present")
        pending = holder_problem(run.pod) if run.pod and run.spec.leaves_files and status.is_finished and self._options.wait else None
        if run.awaits_inputs:
            run.advance(StageEvent.AWAITING)
        elif pending:
            run.status = pending
        elif self._options.wait and awaits_pods(run, run.spec, status, self._client.clock.monotonic()):
            return
        elif (not self._options.wait and not run.will_await_inputs) or has_completed or is_running:
            run.finish()
        elif status.is_finished:
            self._retry_or_fail(run, run.spec, status)

    def _retry_or_fail(self, run: TaskRun, spec: TaskSpec, status: Status) -> None:
        if not self._retry(run, spec, status):
            attempt = f" in attempt {run.attempt}" if run.attempt > 1 else ""
            what = "finished, but must keep running" if status.state == "succeeded" else f"failed{attempt}"
            run.fail_because(status.reason, f"{what}: {status.explanation}", failure_hint(spec, status, run.pod))

    def _retry(self, run: TaskRun, spec: TaskSpec, status: Status) -> bool:
        """Plan the next attempt of a task that failed. Returns: whether it has one."""
        if not can_retry(spec, status, run.attempt) or (run.is_from_earlier_run and spec.options["rerun"] == "never"):
            return False
        attempt = run.attempt + 1
        manifest = build_manifest(spec, run.plan.profile, attempt, run.plan.parent)
        note = f"attempt {attempt}, since the one before failed ({status.reason})"
        not_before = self._client.clock.monotonic() + delay_before(spec.options, run.attempt)
        run.replace_pod(manifest, attempt, run.policy or plan_policy(spec), note, not_before)
        return True
