# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks whose API server cannot be reached for longer than a request waits, or whose node is slow: they continue, and each is started once."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.availability import WAIT_OUTAGE
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import FIXABLE, Status
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import runner, start_events
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.start_events import StartEvents

from .model_cluster import VirtualClock
from .test_interrupted_tasks import NoWatcher, TaskCluster, perform


def refused(was_lost=False):
    """The error of a request that reached no server; an earlier attempt may have been executed."""
    error = PodwrightError("No API server responds at https://s", reason="Refused")
    error.is_unreachable, error.response_was_lost = True, was_lost
    return error


class OutageCluster(TaskCluster):
    """A cluster whose writes of some verb fail for some seconds, the first of them after it was executed if its answer is lost."""

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.clock, self.verb, self.seconds, self.is_lost = VirtualClock(), "", 0, False
        self.availability._clock, self.events = self.clock, []
        self.availability.note_response()

    def _write(self, verb, *arguments):
        if verb == self.verb and self.clock.monotonic() < self.seconds:
            if self.is_lost:
                super()._write(verb, *arguments)
            self.availability.note_failure()
            is_lost, self.is_lost = self.is_lost, False
            raise refused(is_lost)
        super()._write(verb, *arguments)

    def _delete(self, key):
        self.events.append(("DELETED", self.objects[key]))
        super()._delete(key)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    class Watcher(NoWatcher):
        def next(self, timeout):
            super().next(timeout)
            time.sleep(0.001)  # for the threads that send requests
            self._client.clock.sleep(timeout if timeout >= 1 else 0)
            return self._client.events.pop() if self._client.events else None

    monkeypatch.setattr(runner, "Watcher", Watcher)
    return OutageCluster(tmp_path)


@pytest.mark.parametrize("is_lost", [False, True])
def test_creation_is_postponed_until_the_server_returns(cluster, is_lost):
    cluster.verb, cluster.seconds, cluster.is_lost = "create", 100, is_lost
    result, _warnings = perform(cluster, state="completed")
    assert result["state"] == "succeeded" and result["changed"] and cluster.started == 1
    assert [step["action"] for step in result["plan"]] == ["create"]


@pytest.mark.parametrize("is_lost", [False, True])
def test_deletion_is_postponed_until_the_server_returns(cluster, is_lost):
    perform(cluster, state="completed", record=False)
    cluster.verb, cluster.seconds, cluster.is_lost = "delete", cluster.clock.monotonic() + 100, is_lost
    result, _warnings = perform(cluster, state="absent")
    assert result["changed"] and cluster.objects == {}


def test_a_replacement_that_was_postponed_fails_with_its_own_log(cluster):
    cluster.outcome = 3
    with pytest.raises(PodwrightError, match="exit code 3"):
        perform(cluster, state="completed", record=False)
    cluster.verb, cluster.seconds = "delete", cluster.clock.monotonic() + 100
    with pytest.raises(PodwrightError, match=r"exit code 3\.?\nLog"):
        perform(cluster, state="completed", record=False, args=["other"])
    assert cluster.started == 2


def test_server_that_does_not_return_fails_the_task(cluster):
    cluster.verb, cluster.seconds = "create", float("inf")
    with pytest.raises(PodwrightError, match="No API server responds"):
        perform(cluster, state="completed", wait_timeout=10 * WAIT_OUTAGE)
    assert WAIT_OUTAGE <= cluster.clock.monotonic() < 2 * WAIT_OUTAGE


def test_timeout_during_an_outage_says_so(cluster):
    cluster.verb, cluster.seconds = "create", float("inf")
    with pytest.raises(PodwrightError, match=r"not completed within 60 s: Refused: No API server .*; the API server has not responded for 6\d s"):
        perform(cluster, state="completed", wait_timeout=60)


MISSING = 'MountVolume.SetUp failed for volume "%s" : secret "s" not found'


@pytest.mark.parametrize(
    ("volume", "sandbox", "reason", "grace"),
    [
        ("data", "False", "FailedMount", start_events.SETTLING),
        ("data", "True", "Starting", None),  # it pulls an image now
        ("podwright-stdin", "False", "FailedMount", start_events.FIXABLE),  # its Secret is created after the pod
    ],
)
def test_outdated_events_do_not_fail_a_task(volume, sandbox, reason, grace):
    run = slow_run(sandbox)
    event = {"involvedObject": {"uid": "u"}, "message": MISSING % volume}
    StartEvents(SimpleNamespace(availability=SimpleNamespace(failing_since=None), list=lambda *arguments, **options: ([event], "1"))).read([run], 10)
    assert (run.status.reason, run.status.grace) == (reason, grace)


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        ({}, "FailedResourceClaimCreation", 'resource claim template "gpus" not found'),
        ({"nodeName": "node"}, "FailedPrepareDynamicResources", "DRA driver gpu.example.com is not registered"),
    ],
)
def test_an_event_about_devices_explains_why_a_task_does_not_start(spec, reason, message):
    run = slow_run("False", resourceClaims=[{"name": "gpu"}], **spec)

    def read(_kind, _namespace, field_selector):
        return [{"involvedObject": {"uid": "u"}, "message": message}] if field_selector == f"reason={reason}" else [], "1"

    StartEvents(SimpleNamespace(availability=SimpleNamespace(failing_since=None), list=read)).read([run], 10)
    assert run.status == Status("pending", reason, message, grace=FIXABLE)


def slow_run(sandbox, **spec):
    """A task that has not started for a while; `sandbox` is the status of the condition of its pod, whose spec may have fields."""
    pod = {"metadata": {"uid": "u"}, "spec": spec, "status": {"conditions": [{"type": "PodReadyToStartContainers", "status": sandbox}]}}
    return SimpleNamespace(
        status=SimpleNamespace(reason="Starting", grace=None),
        timing=SimpleNamespace(created_at=0),
        plan=SimpleNamespace(change=SimpleNamespace(key=SimpleNamespace(namespace="n"))),
        pod=pod,
        live=pod,
    )


def test_events_are_not_requested_during_an_outage():
    """The request would wait for the server, and with it the tasks of other clusters."""
    StartEvents(SimpleNamespace(availability=SimpleNamespace(failing_since=1.0), list=None)).read([slow_run("False")], 10)
