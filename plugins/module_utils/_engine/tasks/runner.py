# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs tasks to the state they are wanted in: one LIST, one watch, as many requests at a time as allowed."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ..cluster.client import MANAGER, MERGE_PATCH, STRATEGIC_PATCH
from ..cluster.kinds import CONFIG_MAP, EVENT, JOB, NETWORK_POLICY, POD, SECRET
from ..cluster.watch import Watcher
from ..errors import PodwrightError
from ..objects.containers import TASK_CONTAINER
from ..objects.labels import HASH, RESOURCES, TASK, label_of, owner_reference
from ..objects.pod_status import FINAL, FIXABLE, SETTLING, TRANSIENT, Status, has_started, read_resize
from ..objects.readiness import deletion_obstacle
from ..reconciler.manifest import difference
from .decision import CREATE, NONE, REPLACE, RESIZE
from .log_streams import FINISHING_SECONDS, LogStreams
from .network_policy import build_policy
from .planner import immutable, owner_job
from .pod_template import build_manifest
from .standard_input import build_secret

THREADS = 16
SETTLING_SECONDS = 5
TICK_SECONDS = 1
LOOK_SECONDS = 2  # before the first look at events while tasks do not start; each later one takes twice as long
QUOTA_PAUSE = 2
MANY, FLOCK_SECONDS = 100, 0.05


class Runner:
    """Carries a plan of tasks out.

    Args:
        client: a Client.
        planner: the Planner, which has planned.
        conduct: Conduct.
        console: a Console.
    """

    def __init__(self, client, planner, options, console):
        self._client = client
        self._planner = planner
        self._options = options
        self._console = console
        self._finished = queue.Queue()  # (run, function to call in the main thread) from the pool
        self._watcher = None
        self._streams = LogStreams(client, console, FINISHING_SECONDS if options.state == "completed" else 0)
        self._next_look, self._look_pause = 0, LOOK_SECONDS
        self.runs = planner.runs

    # -- check mode -----------------------------------------------------------------------------------------

    def predict(self):
        """Ask the server, by dry run, about what would be created; a replacement's difference becomes its patch."""
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._predict_one, [run for run in self.runs if run.change.action in (CREATE, REPLACE)]))
            list(pool.map(self._predict_resize, [run for run in self.runs if run.change.action == RESIZE]))

    def _predict_one(self, run):
        change = run.change
        body = change.desired
        if change.action == REPLACE:
            # Under a generated name, since its own is taken.
            metadata = {key: value for key, value in body["metadata"].items() if key != "name"} | {"generateName": f"{run.spec.name}-"}
            body = body | {"metadata": metadata}
        try:
            answer = self._client.create(run.spec.kind, run.spec.namespace, body, MANAGER, dry_run=True)
        except PodwrightError as error:
            if error.is_not_found:
                change.note = "predicted locally: its namespace does not exist yet"
            elif _is_quota(error):
                change.note = f"it would have to wait: {error.message}"
            else:
                raise
            return
        if change.action == REPLACE and change.before and change.before["kind"] == answer["kind"]:
            change.after = _in_place_of(change.before, answer)
            change.patch = difference(change.before, change.after)

    # -- running --------------------------------------------------------------------------------------------

    def run(self):
        """Carry the plan out and wait as the conduct says. Failures are noted in each Run, not raised."""
        try:
            self._carry_out()
        finally:
            for change in (change for run in self.runs for change in run.changes):
                change.stop(change.note)

    def _carry_out(self):
        options, clock = self._options, self._client.clock
        self._restore()
        for run in self.runs:
            self._settle(run)
        deadline = clock.monotonic() + options.wait_timeout
        with self._streams, ThreadPoolExecutor(THREADS) as pool, Watcher(self._client) as watcher:
            self._watcher = watcher
            self._pool = pool
            if self._open():
                for (kind, namespace), (items, version) in self._planner.lists.items():
                    watcher.follow(kind, namespace, version, self._planner.selectors[namespace], known=items)
            while self._open():
                if clock.monotonic() > deadline:
                    self._give_up()
                    break
                self._launch()
                self._next_change()
                self._tick()
                self._console.progress(self.progress())

    def _open(self):
        return any(run.stage != "done" for run in self.runs)

    def progress(self):
        """How far the batch is, in one line, and why the first that waits does."""
        counts = {"done": 0, "running": 0, "pending": 0, "failed": 0}
        waiting = None
        for run in self.runs:
            state = _progress_of(run)
            counts[state] += 1
            if state == "pending":
                waiting = waiting or run
        if len(self.runs) == 1:
            line = f"{self.runs[0].change.key.name} is {_progress_of(self.runs[0])}"
        else:
            line = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        if waiting and waiting.status and waiting.status.reason not in ("", "Starting"):
            name = f"{waiting.change.key.name}: " if len(self.runs) > 1 else ""
            line += f"; {name}{waiting.status.reason}: {waiting.status.message}"
        return line

    def _launch(self):
        active = sum(run.is_active for run in self.runs)
        stopped = self._options.on_error == "stop" and any(run.error for run in self.runs)
        now = self._client.clock.monotonic()
        for run in self.runs:
            if run.stage not in ("remove", "create", "resize") or run.not_before > now:
                continue
            if stopped and run.spec:
                self._fail(run, "NotStarted", "it was not started, since another task failed and on_error is stop")
            elif active < self._options.concurrency:
                active += 1
                self._submit(run)

    def _submit(self, run):
        if run.stage == "remove":
            run.stage = "removing"
            self._pool.submit(self._in_pool, run, self._remove)
        elif run.stage == "resize":
            run.stage = "resizing"
            self._pool.submit(self._in_pool, run, self._resize)
        else:
            run.stage = "creating"
            self._pool.submit(self._in_pool, run, self._create)

    def _in_pool(self, run, act):
        try:
            finish = act(run)
        except PodwrightError as error:
            finish = partial(self._refused, run, error)
        except Exception as error:  # a fault of ours must end the batch, not hang it
            finish = partial(self._raise, error)
        self._finished.put(finish)

    @staticmethod
    def _raise(error):
        raise error

    def _remove(self, run):
        if run.spec and not run.spec.is_job and run.change.action == REPLACE and run.change.before:
            self._check_replacement(run)
        options = run.spec.options if run.spec else {}
        grace = 0 if options.get("force") else options.get("grace_period")
        gone = []
        for uid, (kind, item) in list(run.to_delete.items()):  # the watch may take some away meanwhile
            metadata = item["metadata"]
            policy = options.get("propagation_policy", "Background")
            # A Job's pods would outlive it otherwise, under the name of the next one.
            policy = "Foreground" if kind == JOB and policy == "Background" else policy
            existed = self._client.delete(kind, metadata["namespace"], metadata["name"], uid, policy, grace)
            # The watch may have told of it before the answer came, and the new one be there by now.
            if existed and run.change.action != NONE and run.change.done == NONE:
                run.change.done = "delete"
            if not existed or kind == CONFIG_MAP:  # which nobody watches, and which is gone at once
                gone.append(uid)
        return lambda: [self._forget(run, uid) for uid in gone]

    def _check_replacement(self, run):
        """What would refuse the new one must be known before the old one goes."""
        if not run.change.patch:
            self._predict_one(run)
            if run.change.note.startswith("it would have to wait"):
                run.change.note = ""  # the old one's share of the quota is about to be free

    def _create(self, run):
        change, spec = run.change, run.spec
        if run.policy:
            self._apply_policy(run)
        try:
            live = self._client.create(spec.kind, spec.namespace, change.desired, MANAGER)
        except PodwrightError as error:
            if error.status != 409 or error.reason != "AlreadyExists":
                raise
            live = self._adopt(spec)
        change.done = change.action
        if spec.options.get("stdin") is not None:
            self._give_stdin(spec, live)
        if run.policy:
            self._apply_policy(run, live)
        return lambda: self._created(run, live)

    def _apply_policy(self, run, owner=None):
        """Make the task's NetworkPolicy, owned by what it is for once that is there."""
        manifest = build_policy(run.spec.name, run.spec.namespace, run.spec.options["network"], owner and owner_reference(owner))
        run.policy.after = self._client.apply(NETWORK_POLICY, run.spec.namespace, manifest["metadata"]["name"], manifest, MANAGER)
        run.policy.done = run.policy.action
        if run.policy.before:
            run.policy.patch = difference(run.policy.before, run.policy.after)

    def _resize(self, run):
        """Change the resources of a running pod in place (KEP-1287)."""
        live = self._send_resize(run)
        run.change.done = RESIZE
        annotations = {"metadata": {"annotations": {RESOURCES: run.spec.resources_hash}}}
        self._client.patch(POD, run.spec.namespace, run.spec.name, annotations, MANAGER, MERGE_PATCH)
        return lambda: self._resized(run, live)

    def _send_resize(self, run, dry_run=False):
        # Replaced whole, so that what is no longer asked for goes, too (or is refused).
        containers = [{"name": name, "resources": {"$patch": "replace"} | resources} for name, resources in run.spec.resources.items()]
        return self._client.patch(
            POD, run.spec.namespace, run.spec.name, {"spec": {"containers": containers}}, MANAGER, STRATEGIC_PATCH, subresource="resize", dry_run=dry_run
        )

    def _predict_resize(self, run):
        change = run.change
        try:
            change.after = self._send_resize(run, dry_run=True)
        except PodwrightError as error:
            if not _cannot_resize(error):
                raise
            self._replace_instead(run, error.message)
            self._predict_one(run)
            return
        change.patch = difference(change.before, change.after)

    def _replace_instead(self, run, why):
        """Where a pod cannot be resized, a new one takes its place. Raises: PodwrightError where that is not wanted."""
        if run.spec.options["on_immutable"] == "fail":
            raise immutable(run.spec, f"its pod cannot be resized: {why}")
        run.change.action, run.change.after, run.change.patch = REPLACE, run.change.desired, []
        run.change.note = f"its resources changed, and cannot in place: {why}"
        run.to_delete = {run.live["metadata"]["uid"]: (POD, run.live)}
        run.policy = self._planner.plan_policy(run)
        run.stage = "remove"

    def _replace_or_fail(self, run, why):
        try:
            self._replace_instead(run, why)
        except PodwrightError as error:
            run.change.action, run.error, run.stage = NONE, error, "done"

    def _resized(self, run, live):
        run.live = max(run.live, live, key=lambda pod: int(pod["metadata"]["resourceVersion"]))  # the watch may be ahead
        run.change.after, run.change.patch = live, difference(run.change.before, live)
        run.stage = "watch"
        self._settle(run)

    def _adopt(self, spec):
        """Somebody made it meanwhile, or an answer was lost: it is ours if it is the same task."""
        live = self._client.get(spec.kind, spec.namespace, spec.name)
        if live and label_of(live, HASH) == spec.hash and label_of(live, TASK) == spec.name:
            return live
        raise PodwrightError(
            f"{spec.kind.name} '{spec.name}' in namespace '{spec.namespace}' exists already and is not this task's.",
            reason="AlreadyExists",
            hint="Give the task another name, or delete what is there.",
        )

    def _give_stdin(self, spec, live):
        try:
            self._client.create(SECRET, spec.namespace, build_secret(spec, live), MANAGER)
        except PodwrightError as error:
            if error.reason != "AlreadyExists":
                raise

    def _restore(self):
        """Restore what was deleted or edited of tasks that stay: their policies, and the standard input of those that have not started."""
        kept = [run for run in self.runs if run.spec and run.live and run.change.action in (NONE, RESIZE)]
        if kept:
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(self._restore_one, kept))

    def _restore_one(self, run):
        try:
            if run.policy:
                self._apply_policy(run, run.live)
            if run.change.action == NONE and run.status.state == "pending" and run.spec.options.get("stdin") is not None:
                self._give_stdin(run.spec, run.live)
        except PodwrightError as error:
            self._fail(run, error.reason, f"lacks an object that belongs to it: {error}")

    # -- what happened --------------------------------------------------------------------------------------

    def _next_change(self):
        """Handle one finished request, else wait a little for what the watch has to say, and handle all that came."""
        handled = False
        while True:
            try:
                self._finished.get_nowait()()
                handled = True
            except queue.Empty:
                break
        busy = any(run.stage in ("creating", "removing", "resizing") for run in self.runs)
        change = self._watcher.next(0 if handled else 0.02 if busy else TICK_SECONDS)
        # News of a large batch comes in flocks: each is gathered before all runs are looked at again.
        until = self._client.clock.monotonic() + (FLOCK_SECONDS if len(self.runs) > MANY else 0)
        while change:
            self._see(*change)
            change = self._watcher.next(until - self._client.clock.monotonic())

    def _see(self, sort, item):
        uid = item["metadata"]["uid"]
        for run in self._runs_of(item):
            if sort == "DELETED" and uid in run.to_delete:
                self._forget(run, uid)
            elif run.spec and run.stage in ("watch", "creating", "resizing"):
                self._update(run, sort, item, uid)

    def _runs_of(self, item):
        if not hasattr(self, "_index"):
            self._index = {}
            for run in self.runs:
                name = run.spec.name if run.spec else label_of(run.change.before, TASK)
                self._index.setdefault((run.change.key.namespace, name), []).append(run)
        return self._index.get((item["metadata"]["namespace"], label_of(item, TASK)), [])

    def _update(self, run, sort, item, uid):
        job = owner_job(item) if item["kind"] == "Pod" else None
        if run.spec.is_job and job:
            if sort == "DELETED":
                run.pods.pop(uid, None)
            elif run.live is None or job == run.live["metadata"]["uid"]:
                run.pods[uid] = item
        elif run.live is not None and uid == run.live["metadata"]["uid"]:
            if sort == "DELETED":
                self._lost(run)
                return
            run.live = item
        else:
            # The watch may be faster than the answer to the creation; there may never be another word about it.
            run.early[uid] = (sort, item)
            return
        if run.stage == "watch":
            self._settle(run)

    def _created(self, run, live):
        sort, run.live = run.early.get(live["metadata"]["uid"], ("ADDED", live))
        run.early = {}
        run.stage = "watch"
        run.created_at = self._client.clock.monotonic()
        if sort == "DELETED":
            self._lost(run)
            return
        if run.change.action == CREATE:
            run.change.after = live
        self._settle(run)

    def _forget(self, run, uid):
        run.to_delete.pop(uid, None)
        if run.stage != "removing" or run.to_delete:
            return
        run.live, run.pods, run.status = None, {}, None
        run.stage = "create" if run.spec and run.change.action != "delete" else "done"

    def _lost(self, run):
        run.status = Status("failed", "Deleted", "it was deleted from outside while it was waited for", is_interrupted=True)
        self._retry_or_fail(run, gone=True)

    def _settle(self, run):
        """Decide whether a task is where it should be."""
        if run.stage != "watch" or not run.spec:
            return
        run.read()
        status, state = run.status, self._options.state
        self._show_output(run)
        if run.change.action == RESIZE and not status.is_finished and self._options.wait:
            resize = read_resize(run.live)
            if resize and resize.reason == "Infeasible":
                self._replace_or_fail(run, resize.message)
                return
            if resize:
                run.status = resize
                return
        if status.is_ready or status.state == "succeeded":
            run.problem_since = None
        has_ended_well = status.state == "succeeded" and (state == "completed" or run.spec.is_job)
        runs_as_wanted = status.is_ready and status.state == "running" and state in ("running", "present")
        if not self._options.wait or has_ended_well or runs_as_wanted:
            run.stage = "done"
        elif status.is_finished:
            self._retry_or_fail(run)

    def _show_output(self, run):
        """Show the task's lines as they come, where asked for; not again those of a task that ended in an earlier run."""
        is_old = run.change.action == NONE and run.status.is_finished
        if run.spec.options["logs"] == "stream" and run.pod and has_started(run.pod, TASK_CONTAINER) and not is_old:
            self._streams.begin(run.spec.name, run.pod)

    def _retry_or_fail(self, run, gone=False):
        spec = run.spec
        can_retry = not spec.is_job and run.attempt <= spec.options["retries"] and run.status.state == "failed"
        if not can_retry or (run.change.action == NONE and spec.options["rerun"] == "never"):
            what = "ended, and should be running" if run.status.state == "succeeded" else "failed"
            self._fail(run, run.status.reason, f"{what}: {run.status.reason}{': ' + run.status.message if run.status.message else ''}")
            return
        run.attempt += 1
        run.change.desired = build_manifest(spec, self._planner.profile(spec), run.attempt, run.parent)
        run.change.action = REPLACE if run.change.before else CREATE
        run.change.note = f"attempt {run.attempt}, since the one before failed ({run.status.reason})"
        run.to_delete = {} if gone else {run.live["metadata"]["uid"]: (spec.kind, run.live)}
        run.problem_since = None
        run.stage = "create" if gone else "remove"
        if gone:
            run.live = None

    def _refused(self, run, error):
        """A create or delete was refused: a quota may free up, the rest is final."""
        if run.stage == "resizing" and _cannot_resize(error):
            self._replace_or_fail(run, error.message)
            return
        if run.stage in ("creating", "resizing") and _is_quota(error):
            run.stage = "create" if run.stage == "creating" else "resize"
            run.not_before = self._client.clock.monotonic() + QUOTA_PAUSE
            run.status = Status("pending", "QuotaExceeded", error.message, grace=FIXABLE)
            run.refusal = error
            return
        self._fail(run, error.reason, str(error))

    def _fail(self, run, reason, why):
        name = run.spec.name if run.spec else run.change.key.name
        kind = "Job" if run.spec and run.spec.is_job else "task"
        run.error = PodwrightError(f"The {kind} '{name}' in namespace '{run.change.key.namespace}' {why}", reason=reason)
        run.stage = "done"

    def _tick(self):
        """Problems that lasted too long, and those that only events tell."""
        now = self._client.clock.monotonic()
        self._look_at_events(now)
        for run in self.runs:
            status = run.status
            if run.stage != "watch" or not status or status.grace in (None, FIXABLE):
                continue
            run.problem_since = now if run.problem_since is None else run.problem_since
            grace = {FINAL: 0, SETTLING: SETTLING_SECONDS, TRANSIENT: run.spec.options["failure_grace"]}[status.grace]
            if now - run.problem_since >= grace:
                self._fail(run, status.reason, f"cannot start: {status.reason}: {status.message}")

    def _look_at_events(self, now):
        """Mount failures and a Job's refused pods are in no status: one LIST of events per namespace and reason tells."""
        if now < self._next_look:
            return
        self._next_look = now + self._look_pause
        slow = [
            run for run in self.runs if run.stage == "watch" and run.status and run.status.reason in _TOLD_BY_EVENTS and now - run.created_at > LOOK_SECONDS
        ]
        self._look_pause = min(self._look_pause * 2, 30) if slow else LOOK_SECONDS
        for namespace, reason in {(run.spec.namespace, "FailedMount" if run.pod else "FailedCreate") for run in slow}:
            try:
                events, _version = self._client.list(EVENT, namespace, field_selector=f"reason={reason}")
            except PodwrightError:
                continue  # without leave to read events the task only fails later
            latest = {event["involvedObject"].get("uid"): event.get("message", "") for event in events}
            for run in slow:
                subject = run.pod or run.live
                message = latest.get(subject["metadata"]["uid"])
                if message and run.spec.namespace == namespace:
                    run.status = Status("pending", reason, message, grace=_event_grace(message))

    def _describe_obstacles(self, run):
        """Why what the run deletes is still there, or an empty text."""
        obstacles = []
        for kind, item in list(run.to_delete.values()):  # the watch may take some away meanwhile
            try:
                live = self._client.get(kind, item["metadata"].get("namespace"), item["metadata"]["name"])
            except PodwrightError:
                continue  # what is known of it is in the message anyway
            if live and live["metadata"].get("deletionTimestamp"):
                obstacles.append(f"{kind.name} '{live['metadata']['name']}': {deletion_obstacle(live)}")
        return "; ".join(obstacles)

    def _give_up(self):
        for run in self.runs:
            if run.stage == "done":
                continue
            status = run.status
            state = f"{status.reason or status.state}: {status.message}" if status else "nothing was seen of it"
            state = self._describe_obstacles(run) or state
            goal = "gone" if not run.spec or run.change.action == "delete" else {"completed": "completed"}.get(self._options.state, "running and ready")
            self._fail(run, status.reason if status else "Timeout", f"was not {goal} within {self._options.wait_timeout} s: {state}")
            if run.refusal:
                run.error.hint = run.refusal.hint


# Reasons under which a task may wait for something that only events tell.
_TOLD_BY_EVENTS = ("Starting", "FailedMount", "FailedCreate")


def _progress_of(run):
    if run.stage == "done":
        return "failed" if run.error else "done"
    return "running" if run.status and run.status.state == "running" else "pending"


def _event_grace(message):
    if "exceeded quota" in message:
        return FIXABLE
    if "PodSecurity" in message:
        return FINAL
    return SETTLING if "not found" in message else TRANSIENT


def _cannot_resize(error):
    """Whether the server refuses to resize a pod at all, or in this way; it is too old where it has no such subresource."""
    return error.status in (404, 422) or (error.status == 403 and "exceeded quota" not in error.message and not error.is_forbidden)


def _is_quota(error):
    return error.status == 403 and "exceeded quota" in error.message


def _in_place_of(before, answer):
    """What a dry run under a generated name would be under the old one's name and place, to compare the two."""
    metadata = {key: value for key, value in answer["metadata"].items() if key not in ("generateName", "finalizers")}
    metadata["name"] = before["metadata"]["name"]
    metadata |= {"finalizers": before["metadata"]["finalizers"]} if "finalizers" in before["metadata"] else {}
    kept = {key: before["spec"][key] for key in ("nodeName", "selector") if key in before["spec"]}
    return answer | {"metadata": metadata, "spec": answer["spec"] | kept}
