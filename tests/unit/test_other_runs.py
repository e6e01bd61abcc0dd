# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A task that another run completes, records and deletes while this run waits does not run twice."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import other_runs, runner

from .fake_cluster import StubWatcher
from .test_interrupted_tasks import COMPLETED, TaskCluster

ONE = {"concurrency": 1, "tasks": [{"name": "block"}, {"name": "t"}]}
NEEDS = {"tasks": [{"name": "block"}, {"name": "t", "needs": ["block"]}]}
LATER_NEED = {"tasks": [{"name": "block"}, {"name": "middle", "needs": ["block"]}, {"name": "t", "needs": ["middle"]}]}
MET, UNMET = "another run completed it at the same time", ""


class SharedCluster(TaskCluster):
    """A cluster that several runs use.

    Attributes:
        held: the names of tasks that keep running once they are created.
        story: the events that the watch of the next run reports, and what happens between them.
    """

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.held, self.story, self.lists = set(), iter(()), []

    def list(self, kind, namespace=None, label_selector=None, field_selector=None, metadata_only=False):
        self.lists.append((kind.name, field_selector))
        return super().list(kind, namespace, label_selector, field_selector)

    def _start(self, key, pod):
        if key[2] in self.held:
            pod["status"] = {"phase": "Running", "containerStatuses": [{"name": "task", "state": {"running": {}}}]}
        elif key[0] == "Job":
            pod["status"] = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
        super()._start(key, pod)

    def finish(self, key):
        """Finish a task that was held. Returns: its pod."""
        pod = self.objects[key]
        self._version += 1
        pod["metadata"]["resourceVersion"] = str(self._version)
        pod["status"] = self._status()
        return copy.deepcopy(pod)

    def count(self, verb, name="t"):
        return sum(write[0] == verb and write[1] in ("Pod", "Job") and write[2] == name for write in self.writes)


class StoryWatcher(StubWatcher):
    """Reports the events of the story to the first run that watches."""

    def __init__(self, client):
        super().__init__(client)
        self._story, client.story = client.story, iter(())

    def next(self, timeout):
        return next(self._story, None)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "Watcher", StoryWatcher)
    monkeypatch.setattr(runner, "TICK_SECONDS", 0)
    return SharedCluster(tmp_path)


def perform(cluster, **options):
    """A run of task_pod. Returns: its result, also if tasks have failed."""
    params = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()} | {"name": "t", "namespace": "n", "image": "i"} | COMPLETED | options
    fields, _error = attempt(task_pod.OPERATION, Invocation(params, False, False, Console(), cluster))
    return fields


def run_while_it_waits(cluster, outcome=0, kind="Pod", **options):
    """The story in which another run does `t` while `block` runs, which then finishes."""
    block = ("Pod", "n", "block")
    while block not in cluster.objects:
        yield None
    cluster.outcome = outcome
    created = []
    cluster.held, start = set(), cluster._start
    cluster._start = lambda key, pod: (start(key, pod), created.append(copy.deepcopy(pod)))
    perform(cluster, kind=kind, **options)
    cluster._start, cluster.outcome = start, 0
    for pod in created:
        yield "ADDED", pod
        yield "DELETED", pod
    yield "MODIFIED", cluster.finish(block)


def perform_batch(cluster, **options):
    cluster.held = {"block"}
    result = perform(cluster, name=None, **options)
    step = next(step for step in result["plan"] if step["name"] == "t")
    return next(task for task in result["tasks"] if task["name"] == "t"), step


@pytest.mark.parametrize(
    "batch, other, note",
    [
        (ONE, {}, MET),
        (NEEDS, {}, MET),
        (LATER_NEED, {}, UNMET),
        (ONE, {"kind": "Job"}, UNMET),
        (ONE, {"env": {"A": "b"}}, UNMET),
        (ONE, {"resources": {"limits": {"cpu": "2"}}}, UNMET),
        (ONE | {"record": False}, {}, UNMET),
    ],
    ids=["concurrency", "needs", "older than its need", "other kind", "other options", "other resources", "no record"],
)
def test_a_task_that_another_run_completed_while_it_waited_does_not_run_again(cluster, batch, other, note):
    cluster.story = run_while_it_waits(cluster, **other)
    task, step = perform_batch(cluster, **batch)
    assert (step["action"], step.get("note", "")) == ("none" if note else "create", note)
    assert cluster.count("create") == 2 - bool(note)
    assert (task["state"], task.get("recorded", False)) == ("succeeded", bool(note))


@pytest.mark.parametrize("retries, state, attempt", [(0, "failed", 1), (1, "succeeded", 2)])
def test_a_failure_of_another_run_is_that_of_an_attempt(cluster, retries, state, attempt):
    cluster.story = run_while_it_waits(cluster, outcome=3)
    task, step = perform_batch(cluster, **ONE, retries=retries)
    assert (task["state"], task["attempt"], step["action"]) == (state, attempt, "create" if retries else "none")
    assert cluster.count("create") == attempt


def test_records_are_not_read_for_tasks_that_no_other_run_has_created(cluster):
    def finish():
        while ("Pod", "n", "block") not in cluster.objects:
            yield None
        yield "MODIFIED", cluster.finish(("Pod", "n", "block"))

    cluster.story = finish()
    perform_batch(cluster, **ONE)
    creation = [entry for entry in cluster.lists if entry == ("ConfigMap", "metadata.name=podwright-record-t")]
    assert len(creation) == 1  # before it is recorded


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize("is_seen", [True, False])
@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_a_task_whose_success_was_not_seen_before_it_was_deleted_is_not_retried(cluster, kind, is_recorded, is_seen):
    key = (kind, "n", "t")

    def delete():
        while key not in cluster.objects:
            yield None
        cluster.held, item = set(), copy.deepcopy(cluster.objects[key])
        cluster._start(key, cluster.objects[key] | {"status": cluster._status()})
        finished = copy.deepcopy(cluster.objects[key])
        if is_recorded:
            perform(cluster, kind=kind)
        cluster.objects.pop(key, None)
        yield "DELETED", finished if is_seen else item

    cluster.story, cluster.held = delete(), {"t"}
    result = perform(cluster, kind=kind, retries=1 if kind == "Pod" else 0)
    is_known = is_recorded or is_seen
    assert cluster.count("create") == (1 if is_known or kind == "Job" else 2)
    assert result["state"] == ("succeeded" if is_known or kind == "Pod" else "failed")
    assert result["tasks"][0].get("recorded", False) == is_recorded


@pytest.mark.parametrize("status, is_raised", [(403, False), (500, True)])
def test_a_record_that_cannot_be_read_does_not_keep_a_task_from_running_unless_the_server_may_return(cluster, status, is_raised):
    cluster.story = run_while_it_waits(cluster)
    find, asked = other_runs.find_record, []
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*arguments):
            asked.append(find(*arguments))
            raise PodwrightError('User "u" cannot list resource "configmaps"', status=status, reason="Forbidden" if status == 403 else "InternalError")

        patch.setattr(other_runs, "find_record", refuse)
        task, _step = perform_batch(cluster, **ONE)
    assert asked and task["state"] == ("failed" if is_raised else "succeeded")
