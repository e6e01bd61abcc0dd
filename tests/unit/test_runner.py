# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order in which answers and the watch report what happened to a task does not matter."""

from __future__ import annotations

import copy
import itertools
import json
import queue
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import runner

from ..support.environment import scaled
from ..support.outcomes import result_of
from .fake_cluster import FakeCluster, StubWatcher

POD = ("Pod", "n", "t")


class WatchedCluster(FakeCluster):
    """A cluster that reports each change of a pod before, or after, it answers to the request; pods fail until the last attempt."""

    def __init__(self, tmp_path, late, failures):
        super().__init__(tmp_path)
        self.changes, self.late, self.failures, self.count = queue.Queue(), late, failures, itertools.count(1)

    def list(self, kind, namespace=None, label_selector=None, field_selector=None, metadata_only=False):
        return super().list(kind, namespace, None, field_selector)

    def create(self, kind, namespace, body, manager, dry_run=False):
        number = next(self.count)
        code = 1 if number <= self.failures else 0
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}
        status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [{"name": "task", "state": {"terminated": ended}}]}
        pod = copy.deepcopy(body) | {"status": status}
        pod["metadata"] |= {"uid": f"uid-{number}", "resourceVersion": str(number), "creationTimestamp": "2026-01-01T00:00:00Z"}
        if dry_run:
            return pod
        self._write("create", kind, namespace, pod["metadata"]["name"], lambda key: self.objects.__setitem__(key, pod))
        self._report("ADDED", pod, "create")
        return copy.deepcopy(pod)

    def delete(self, kind, namespace, name, uid=None, propagation="Background", grace=None):
        pod = self.objects.pop((kind.name, namespace, name), None)
        if pod:
            self._report("DELETED", pod, "delete")
        return pod is not None

    def _report(self, event, pod, verb):
        self.changes.put((event, copy.deepcopy(pod)))
        if verb in self.late:
            # The answer comes only once the runner has handled the change, as it asks for the next one.
            handled = threading.Event()
            self.changes.put(handled)
            assert handled.wait(10)

    def log(self, *arguments, **options):
        return b"done\n"

    def close(self):
        pass


class QueuedWatcher(StubWatcher):
    """Hands out the changes that the cluster has reported."""

    def next(self, timeout):
        try:
            change = self._client.changes.get(timeout=min(max(timeout, 0), 0.05))
        except queue.Empty:
            return None
        if isinstance(change, threading.Event):
            change.set()
            return None
        return change


def perform(cluster, **options):
    params = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()} | {"name": "t", "namespace": "n", "image": "i"} | options
    return result_of(task_pod.OPERATION, Invocation(params, False, False, Console(), cluster))


@pytest.fixture(autouse=True)
def watched(monkeypatch):
    monkeypatch.setattr(runner, "Watcher", QueuedWatcher)
    monkeypatch.setattr(runner, "TICK_SECONDS", 0)


@pytest.mark.parametrize("failures", [0, 1, 2])
@pytest.mark.parametrize("late", [set(), {"delete"}, {"create"}, {"create", "delete"}], ids=lambda late: "+".join(sorted(late)) or "none")
def test_a_task_is_created_whichever_report_comes_first(tmp_path, late, failures):
    cluster = WatchedCluster(tmp_path, late, failures)
    result = perform(cluster, state="completed", retries=2)
    assert (result["changed"], result["state"], result["attempt"]) == (True, "succeeded", failures + 1)
    assert [step["action"] for step in result["plan"]] == ["create"]
    assert cluster.objects[POD]["metadata"]["uid"] == f"uid-{failures + 1}"


@pytest.mark.parametrize("late", [set(), {"delete"}, {"create", "delete"}], ids=lambda late: "+".join(sorted(late)) or "none")
def test_a_replacement_is_reported_whichever_report_comes_first(tmp_path, late):
    cluster = WatchedCluster(tmp_path, late, 0)
    perform(cluster, state="completed")
    result = perform(cluster, state="completed", env={"A": "b"})
    assert result["changed"] and [step["action"] for step in result["plan"]] == ["replace"]


@pytest.mark.parametrize("late", [set(), {"delete"}], ids=lambda late: "+".join(sorted(late)) or "none")
def test_a_deletion_is_reported_whichever_report_comes_first(tmp_path, late):
    cluster = WatchedCluster(tmp_path, late, 0)
    perform(cluster, state="completed")
    result = perform(cluster, state="absent")
    assert result["changed"] and [step["action"] for step in result["plan"]] == ["delete"] and cluster.objects == {}
    again = perform(cluster, state="absent")
    assert not again["changed"]


def test_a_pod_that_is_being_deleted_is_waited_for_and_is_not_created_again(tmp_path):
    cluster = WatchedCluster(tmp_path, set(), 0)
    perform(cluster, state="completed")
    cluster.objects[POD]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:02Z"
    result = perform(cluster, state="absent")
    assert not result["changed"] and cluster.objects == {} and result["state"] == "absent"


TEXTS = ["", "odd", "\u00b2", "5", "-1", "9" * 400, "null", "[1]", '{"a": 1}', "2026-01-01T00:00:00Z", "yesterday", "succeeded", "failed", "[" * 9999]
FIELDS = ("state", "reason", "message", "rc", "attempt", "started_at", "finished_at", "log", "uid", "resources", "results", "artifacts", "odd")


@given(
    st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(TEXTS), max_size=6),
    st.sampled_from(["completed", "absent", "running"]),
    st.booleans(),
)
@settings(max_examples=scaled(40), database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_record_that_anybody_edited_is_read(tmp_path, data, state, is_again):
    cluster = WatchedCluster(tmp_path, set(), 0)
    perform(cluster, state="completed", cleanup="always")
    records = [item for (kind, _namespace, _name), item in cluster.objects.items() if kind == "ConfigMap"]
    assert len(records) == 1
    records[0]["data"] = data
    try:
        result = perform(cluster, state=state, wait_timeout=1, rerun="always" if is_again else "never")
    except PodwrightError as error:
        assert error.reason != "Unforeseen", error
    else:
        assert json.dumps(result)
