# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Batches of tasks in a cluster where anything happens in any order: what is reported is what was written, and everything returns in time."""

from __future__ import annotations

import base64
import random
import threading
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cancellation import Cancelled
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import TASK, label_of
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import batch, completion, leftovers, prediction, restoration, runner

from ..support.environment import scaled
from ..support.traces import shown_on_failure
from .model_cluster import ModelCluster
from .model_scheduler import ModelPool, ModelThread, ModelWatcher, answer_queue

TIMEOUT, LITTLE = 60, 3


def call_in_turn(function, items, _threads):
    return [function(item) for item in items]


EXAMPLES = scaled(60)


def name_of_input(owner):
    """The name of the Secret that a pod or Job mounts as standard input, or None."""
    pod = owner["spec"].get("template", owner)["spec"]
    return next((volume["secret"]["secretName"] for volume in pod.get("volumes", ()) if volume["name"] == "podwright-stdin"), None)


class Session:
    """Runs task_pod in a ModelCluster and checks each run."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.cluster = ModelCluster(None, self.rng, can_resize=self.rng.random() < 0.7)
        self.first_cleanup = None
        self.needs = {}  # of tasks that must complete

    def perform(self, params, check_mode=False):
        session, cluster = self, self.cluster
        full = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()} | {"namespace": "n", "image": "i", "wait_timeout": TIMEOUT} | params
        self.first_cleanup = None
        self.needs = {task["name"]: task.get("needs", ()) for task in full["tasks"]} if full["state"] == "completed" else {}
        cluster.on_create = self.check_started

        class Completion(completion.Completion):
            def complete(self):
                session.first_cleanup = len(cluster.history)
                super().complete()

        class Leftovers(leftovers.Leftovers):
            def delete(self):
                session.first_cleanup = len(cluster.history)
                return super().delete()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batch, "Leftovers", Leftovers)
            patch.setattr(runner, "Watcher", ModelWatcher)
            patch.setattr(runner, "queue", answer_queue(cluster))
            patch.setattr(runner, "Pool", ModelPool(cluster))
            for module in (restoration, prediction, completion, leftovers):
                patch.setattr(module, "call_in_threads", call_in_turn)
            patch.setattr(leftovers, "threading", SimpleNamespace(Thread=ModelThread))
            patch.setattr(completion, "wait_until_deleted", lambda *arguments: None)
            patch.setattr(batch, "Completion", Completion)
            start, since, threads = cluster.clock.time, len(cluster.history), threading.active_count()
            cluster.trace.append(f"--- {'check' if check_mode else 'run'} {params}")
            console, before = Console(), set(map(cluster.uid_of, cluster.objects.values()))
            try:
                fields, error = attempt(task_pod.OPERATION, Invocation(full, check_mode, False, console, cluster))
            except Cancelled as cancelled:
                fields, error = {}, cancelled
            cluster.trace.append(f"--- {error!r} {[(s['action'], s['kind'], s['name']) for s in fields.get('plan', [])]}")
        assert threading.active_count() <= threads
        if isinstance(error, Cancelled):
            self.check_cancelled(params, console.farewell, before)
            return fields, error
        assert cluster.clock.time - start <= TIMEOUT + LITTLE, "it returned late"
        assert not cluster.requests and not cluster.answers, "a request is on its way after the run"
        has_crashed = any("crash" in line for line in cluster.trace)
        assert error is None or error.reason != "Unforeseen" or has_crashed, str(error)
        if not check_mode and not has_crashed:
            self.check_stopped(full, fields, error)
            self.check_needs(full, fields)
            self.check_logs(fields)
        written = cluster.history[since : self.first_cleanup]
        if check_mode:
            assert not written
        else:
            self.check_plan(fields, written)
            if params["state"] == "absent":
                assert not [entry for entry in written if entry[0] == "create"]
        return fields, error

    def check_cancelled(self, params, farewell, before):
        """A cancelled run says what it leaves, which is nothing that it started if on_cancel is delete."""
        self.cluster.requests.clear()
        assert farewell.startswith("task_pod was cancelled by SIGTERM. ") and "\n" not in farewell
        if params["on_cancel"] == "keep" or "could not be deleted" in farewell:
            return
        deleted = {task for verb, _kind, task, _certainty in self.cluster.history[self.first_cleanup :] if verb == "delete"}
        for item in self.cluster.objects.values():
            is_task = item["kind"] == "Job" or (item["kind"] == "Pod" and not item["metadata"].get("ownerReferences"))
            if self.cluster.uid_of(item) in self.cluster.foreign:
                assert label_of(item, TASK) not in deleted, f"{item['metadata']['name']} of somebody else was deleted"
            elif is_task and self.cluster.uid_of(item) not in before and not self.cluster.is_finished(item):
                assert item["metadata"].get("deletionTimestamp"), f"{item['metadata']['name']} is left: {farewell}"

    def check_needs(self, params, fields):
        """A task starts only if all its needs succeeded, and is skipped only if one did not."""
        found = {task["name"]: task for task in fields.get("tasks", ())}
        started = {step["name"] for step in fields.get("plan", ()) if step["action"] in ("create", "replace") and step["kind"] in ("Pod", "Job")}
        for task in params["tasks"] if params["state"] != "absent" else ():
            if not task.get("needs") or task["name"] not in found:
                continue
            needs = [found[need]["state"] for need in task["needs"]]
            if task["name"] in started:
                assert not set(needs) & {"failed", "stopped", "skipped"}, f"{task['name']} was started although its needs are {needs}"
            if found[task["name"]]["reason"] == "NeedFailed":
                assert set(needs) & {"failed", "stopped", "skipped"}, f"{task['name']} was skipped although its needs are {needs}"

    def check_started(self, body):
        """What a task needs has finished when it is created."""
        task = self.needs.get(label_of(body, TASK), ())
        for item in self.cluster.objects.values():
            if item["kind"] in ("Pod", "Job") and not item["metadata"].get("ownerReferences") and label_of(item, TASK) in task:
                is_own = self.cluster.uid_of(item) not in self.cluster.foreign and not item["metadata"].get("deletionTimestamp")
                assert not is_own or self.cluster.is_finished(item), f"{label_of(body, TASK)} was created while {label_of(item, TASK)} runs"

    @staticmethod
    def check_logs(fields):
        """The log of a task is that of its own pod, not of a later one of that name."""
        for task in fields.get("tasks", ()):
            if task["kind"] == "Pod" and task["uid"] and task["logs"]:
                assert task["logs"] == f"log of {task['uid']}\n"

    def check_stopped(self, params, fields, error):
        """A task that was stopped has no pod, and on_error: stop leaves none running that must complete."""
        may_stop = params["on_error"] == "stop" and error is not None
        stops = may_stop and "the watch failed" not in str(error)
        for task in fields.get("tasks", ()):
            assert (task["state"] != "stopped" and task["reason"] != "NotStarted") or may_stop
            pod = self.cluster.objects.get((task["kind"], "n", task["name"]))
            is_own = pod and task["uid"] == self.cluster.uid_of(pod) and not self.cluster.is_finished(pod)
            assert task["state"] != "stopped" or not is_own, "it was reported as stopped"
            if stops and params["state"] == "completed" and params["wait"] is not False:
                assert task["state"] in ("succeeded", "failed", "stopped", "skipped"), f"{task['name']} is {task['state']}"

    @staticmethod
    def check_plan(fields, written):
        if not fields.get("plan"):
            assert not [entry for entry in written if entry[3] == "sure"]
            return
        assert fields["changed"] == any(step["action"] != "none" for step in fields["plan"])
        steps = {}
        for step in fields["plan"]:
            if step["kind"] in ("Pod", "Job"):
                steps.setdefault(step["name"], []).append(step["action"])
        tasks = {entry[2] for entry in written}
        for name, actions in steps.items():
            mine = [(verb, kind) for verb, kind, task, _certainty in written if task == name and kind in ("Pod", "Job")]
            if any(entry[3] == "lost" for entry in written if entry[2] == name):
                continue
            verbs = {verb for verb, _kind in mine}
            done = (
                "create" if "create" in verbs else "delete" if "delete" in verbs else "resize" if "resize" in verbs else "patch" if "label" in verbs else "none"
            )
            allowed = {"create": {"create", "replace"}, "delete": {"delete"}, "resize": {"resize"}, "patch": {"patch"}, "none": {"none"}}[done]
            allowed |= {"delete"} if "terminating" in verbs else set()  # somebody else had deleted it just before
            assert set(actions) & allowed, f"{name}: {actions} after {mine}"
            assert done != "none" or set(actions) <= allowed, f"{name}: {actions} after {mine}"
        names = set(steps) | {step["name"].removeprefix("podwright-record-") for step in fields["plan"] if step["kind"] == "ConfigMap"}
        assert tasks <= names, f"unreported writes: {written}"


def draw(rng, state, names):
    tasks = []
    wait = rng.choice([None, None, True, False])
    can_need = wait or (wait is None and state in ("running", "completed")) or state == "absent"
    for index, name in enumerate(names):
        task = {"name": name, "command": ["true"]}
        if can_need and index and rng.random() < 0.4:
            task["needs"] = rng.sample(names[:index], rng.randrange(1, index + 1))
        if rng.random() < 0.25:
            task["kind"] = "Job"
        if rng.random() < 0.3:
            task["env"] = {"A": rng.choice("xy")}
        if rng.random() < 0.3:
            task["resources"] = {"limits": {"cpu": rng.choice(["1", "2"])}}
        if rng.random() < 0.3:
            task["labels"] = {"app": "x"}
        if rng.random() < 0.3:
            task["network"] = "isolated"
        if rng.random() < 0.3:
            task["stdin"] = rng.choice(["p", "q"])
        tasks.append(task)
    rng.shuffle(tasks)
    return {
        "tasks": tasks,
        "state": state,
        "set": "s",
        "retries": rng.randrange(3),
        "retry_delay": rng.choice([None, 3]) if not any("kind" in task for task in tasks) else None,
        "retry_on": rng.choice([None, None, [1], [2, "Interrupted"]]),
        "skip_on": rng.choice([None, None, [1]]) if state == "completed" else None,
        "pull_timeout": rng.choice([None, 5]),
        "concurrency": rng.choice([1, 2, 100]),
        "on_error": rng.choice(["continue", "stop"]),
        "prune": rng.random() < 0.5,
        "record": rng.random() < 0.4,
        "cleanup": rng.choice(["never", "never", "always"]),
        "logs": rng.choice(["none", "none", "collect"]),
        "on_cancel": rng.choice(["keep", "delete"]),
        "wait": wait,
        "rerun": rng.choice(["on_change", "on_change", "on_failure", "never"]),
    }


def play(seed):
    session = Session(seed)
    rng, cluster = session.rng, session.cluster
    state = rng.choice(["present", "running", "completed"])
    with shown_on_failure(cluster.trace):
        for _run in range(rng.randrange(1, 4)):
            if rng.random() < 0.2:
                state = rng.choice(["present", "running", "completed", "absent"])
            params = draw(rng, state, rng.sample(["a", "b", "c"], rng.randrange(1, 4)))
            if rng.random() < 0.6:
                cluster.disturbances = rng.randrange(1, 25)
                session.perform(params)
                cluster.disturbances = 0
            if rng.random() < 0.6:
                cluster.calm()
            calm_run(session, params)


def calm_run(session, params):
    """Without disturbances check mode predicts the run, and a second run changes nothing."""
    cluster = session.cluster
    cluster.disturbances = 0
    stable = not cluster_moves(cluster)
    will_fail = any(map(cluster.will_fail, cluster.objects.values()))
    predicted, refusal = session.perform(params, check_mode=True)
    done, error = session.perform(params)
    if refusal:
        assert error or not stable, f"check mode failed, the run did not: {refusal}"
    elif stable and not error and not will_fail:
        assert actions_of(predicted) == actions_of(done)
    cluster.calm()
    if error:
        return
    if params["state"] == "absent":
        names = {task["name"] for task in params["tasks"]}
        assert not [key for key, item in cluster.objects.items() if label_of(item, TASK) in names and key[0] in ("Pod", "Job")]
    skipped = {task["name"] for task in done.get("tasks", ()) if task["reason"] in ("NeedFailed", "NeedSkipped")}
    for task in params["tasks"]:
        if task["name"] in skipped:
            continue
        owner = cluster.objects.get((task.get("kind", "Pod"), "n", task["name"]))
        secret = cluster.objects.get(("Secret", "n", name_of_input(owner))) if owner else None
        if owner and task.get("stdin") and params["state"] != "absent" and params["rerun"] != "never":
            assert secret and secret["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"], "the standard input is missing"
            assert base64.b64decode(secret["data"]["stdin"]).decode() == task["stdin"]
    is_kept = params["cleanup"] == "never" or (params["record"] and params["state"] != "running")
    if is_kept and not will_fail and not any(map(cluster.will_fail, cluster.objects.values())):
        again, error = session.perform(params)
        assert error is None and not again["changed"], f"a second run changed something: {error}"


def cluster_moves(cluster):
    return any(cluster._step_of(item) for item in cluster.objects.values())


def actions_of(fields):
    """The steps of a plan, without the unchanged policies of skipped tasks, which check mode leaves out."""
    steps = [(step["action"], step["kind"], step["name"]) for step in fields["plan"]]
    return [step for step in steps if step[:2] != ("none", "NetworkPolicy")]


@settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_batches_hold_their_promises_whatever_happens(tried, seed):
    play(seed)
    tried("batches in a simulated cluster whose answers and events come late, twice or never, in any order", 1, "lost", "wrong", "hung")
