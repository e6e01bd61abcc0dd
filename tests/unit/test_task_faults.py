# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults that the model of test_task_model found: each test is one sequence of events, without chance."""

from __future__ import annotations

import base64
import contextlib
import copy
import threading

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import JOB, SECRET
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD as POD_KIND
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import RESOURCES, owner_reference
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import runner
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_secret import check_secret, create_secret

from .test_runner import POD, QueuedWatcher, WatchedCluster

RUNNING = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "task", "state": {"running": {}}}]}
STARTING = {"phase": "Pending"}
FORBIDDEN = PodwrightError("pods is forbidden: User x cannot create resource", status=403, reason="Forbidden")
QUOTA = PodwrightError("secrets is forbidden: exceeded quota: q", status=403, reason="Forbidden")
EXISTS = PodwrightError("it exists already", status=409, reason="AlreadyExists")


class FaultyCluster(WatchedCluster):
    """A cluster that refuses some creations.

    Attributes:
        faults: kind name -> errors of the next creations; None for one that succeeds.
        status: the status of the pods that are created, or None for one that has terminated.
    """

    def __init__(self, tmp_path):
        super().__init__(tmp_path, set(), 0)
        self.faults, self.status = {}, RUNNING

    def create(self, kind, namespace, body, manager, dry_run=False):
        if dry_run and (kind.name, namespace, body["metadata"].get("name")) in self.objects:
            raise EXISTS
        if not dry_run and self.faults.get(kind.name):
            error = self.faults[kind.name].pop(0)
            if error:
                raise error
        if "name" not in body["metadata"]:
            body = body | {"metadata": body["metadata"] | {"name": "generated"}}
        item = super().create(kind, namespace, body, manager, dry_run)
        if kind.name == "Pod" and not dry_run and self.status:
            self.objects[kind.name, namespace, item["metadata"]["name"]]["status"] = copy.deepcopy(self.status)
            item["status"] = copy.deepcopy(self.status)
            self.changes.put(("MODIFIED", copy.deepcopy(item)))
        return item

    def report(self, event, key, **fields):
        """Let the watch report an object, with other fields than in the cluster."""
        self.changes.put((event, copy.deepcopy(self.objects[key]) | fields))


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "Watcher", QueuedWatcher)
    monkeypatch.setattr(runner, "TICK_SECONDS", 0)
    return FaultyCluster(tmp_path)


def perform(cluster, check_mode=False, **options):
    """A run of task_pod: (the fields of its result, its error or None)."""
    params = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()}
    params |= {"name": "t", "namespace": "n", "image": "i", "wait_timeout": 3} | options
    return attempt(task_pod.OPERATION, Invocation(params, check_mode, False, Console(), cluster))


def actions(fields):
    return [step["action"] for step in fields["plan"]]


@pytest.mark.parametrize(("found", "is_refused"), [({"kind": "Secret"}, False), (None, True), (FORBIDDEN, True)])
def test_a_full_quota_does_not_hide_that_the_secret_exists(found, is_refused):
    """The API server checks the quota before the name."""

    class Full:
        def create(self, *arguments, **options):
            raise QUOTA

        def get(self, *arguments):
            if found is FORBIDDEN:
                raise found
            return found

    secret = {"metadata": {"name": "t-private-0", "namespace": "n"}}
    with pytest.raises(PodwrightError, match="exceeded quota") if is_refused else contextlib.nullcontext():
        assert create_secret(Full(), secret) is None
    with pytest.raises(PodwrightError, match="exceeded quota") if is_refused else contextlib.nullcontext():
        check_secret(Full(), secret)


def test_a_kept_pod_that_is_deleted_and_not_created_again_is_reported_as_deleted(cluster):
    cluster.status = STARTING
    perform(cluster, wait=False)
    cluster.report("MODIFIED", POD, status={"phase": "Failed"})
    cluster.faults = {"Pod": [FORBIDDEN]}
    fields, error = perform(cluster, retries=1)
    assert error.reason == "Forbidden" and cluster.objects == {}
    assert fields["changed"] and actions(fields) == ["delete"]


def test_a_pod_that_is_deleted_from_outside_before_its_turn_is_replaced_at_once(cluster):
    cluster.status = STARTING
    perform(cluster, name=None, tasks=[{"name": "first"}, {"name": "t"}], wait=False)
    cluster.status = RUNNING
    while not cluster.changes.empty():
        cluster.changes.get()
    cluster.report("DELETED", POD)
    del cluster.objects[POD]["metadata"]["labels"]["podwright.io/hash"]
    cluster.report("MODIFIED", ("Pod", "n", "first"), status=RUNNING)
    seen = copy.deepcopy(cluster.objects[POD])
    listed = cluster.list
    cluster.list = lambda kind, *arguments, **options: (listed(kind, *arguments, **options), cluster.objects.pop(POD, None))[0]
    fields, error = perform(cluster, name=None, tasks=[{"name": "first"}, {"name": "t"}], concurrency=1)
    assert error is None and actions(fields) == ["none", "replace"]
    assert cluster.objects[POD]["metadata"]["uid"] != seen["metadata"]["uid"]


def test_a_resize_is_not_complete_when_the_watch_reports_what_was_before(cluster, monkeypatch):
    perform(cluster, resources={"limits": {"cpu": "1"}})
    before = copy.deepcopy(cluster.objects[POD])
    after = copy.deepcopy(before)
    after["metadata"] |= {"resourceVersion": "100", "generation": 2}
    after["metadata"]["annotations"][RESOURCES] = "new"
    after["status"]["observedGeneration"] = 1
    complete = copy.deepcopy(after)
    complete["metadata"]["resourceVersion"], complete["status"]["observedGeneration"] = "101", 2
    cluster.patch = lambda *arguments, **options: copy.deepcopy(after)
    settle = runner.Runner._resized

    def resized(*arguments):
        settle(*arguments)
        cluster.changes.put(("MODIFIED", before))
        cluster.changes.put(("MODIFIED", complete))

    monkeypatch.setattr(runner.Runner, "_resized", resized)
    fields, error = perform(cluster, resources={"limits": {"cpu": "2"}})
    assert error is None and actions(fields) == ["resize"]
    assert fields["pod"]["metadata"]["resourceVersion"] == "101"


def test_a_resize_before_a_replacement_that_is_refused_is_reported(cluster):
    perform(cluster, resources={"limits": {"cpu": "1"}})
    resized = copy.deepcopy(cluster.objects[POD])
    resized["metadata"]["resourceVersion"] = "100"

    def patch(*arguments, subresource=None, **options):
        if subresource:
            return copy.deepcopy(resized)
        cluster.objects.pop(POD)
        raise PodwrightError("pods t not found", status=404, reason="NotFound")

    cluster.patch, cluster.faults = patch, {"Pod": [FORBIDDEN]}
    fields, error = perform(cluster, resources={"limits": {"cpu": "2"}})
    assert error.reason == "Forbidden"
    assert fields["changed"] and actions(fields) == ["resize"]


def test_what_was_created_before_a_watch_fails_is_reported(cluster, monkeypatch):
    has_failed, created = threading.Event(), cluster.create

    def fail(_self, _timeout):
        has_failed.set()
        raise PodwrightError("pods is forbidden", status=403, reason="Forbidden")

    def create(*arguments, **options):
        assert has_failed.wait(10)
        return created(*arguments, **options)

    cluster.create = create
    monkeypatch.setattr(QueuedWatcher, "next", fail)
    fields, error = perform(cluster)
    assert error.reason == "Forbidden" and POD in cluster.objects
    assert fields["changed"] and actions(fields) == ["create"]


def test_a_pod_that_disappears_while_its_secret_waits_for_quota_is_retried(cluster, monkeypatch):
    monkeypatch.setattr(runner, "QUOTA_PAUSE", 0)
    cluster.late = {"delete"}

    def get(kind, namespace, name):
        found = copy.deepcopy(cluster.objects.get((kind.name, namespace, name)))
        if kind.name == "Pod":
            cluster.delete(kind, namespace, name)  # by somebody else; the watch reports it before the creation is answered
        return found

    cluster.get = get
    cluster.faults = {"Secret": [QUOTA], "Pod": [None, EXISTS]}
    fields, error = perform(cluster, stdin="text", command=["cat"], retries=1)
    assert error is None and (fields["attempt"], actions(fields)) == (2, ["create"])
    assert cluster.objects[POD]["metadata"]["uid"] == fields["uid"]


def test_a_pod_is_reported_if_something_unforeseen_happens_after_its_creation(cluster):
    cluster.faults = {"Secret": [KeyError("unforeseen")]}
    fields, error = perform(cluster, stdin="text", command=["cat"])
    assert error.reason == "Unforeseen" and POD in cluster.objects
    assert fields["changed"] and actions(fields) == ["create"]


def test_check_mode_predicts_the_creation_after_a_deletion_that_is_under_way(cluster):
    perform(cluster)
    cluster.objects[POD]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:02Z"
    fields, error = perform(cluster, check_mode=True)
    assert error is None and actions(fields) == ["create"]
    assert actions(perform(cluster)[0]) == ["create"]


@pytest.mark.parametrize(
    ("status", "text", "note"),
    [
        (400, 'admission webhook "w" denied the request: no dry run', "a webhook does not support dry run"),
        (403, 'error looking up service account n/r: serviceaccount "r" not found', "its service account does not exist yet"),
    ],
)
def test_check_mode_predicts_locally_what_no_dry_run_can_answer(status, text, note, cluster, monkeypatch):
    def refuse(kind, namespace, body, manager, dry_run=False):
        raise PodwrightError(text, status=status)

    monkeypatch.setattr(cluster, "create", refuse)
    fields, error = perform(cluster, check_mode=True)
    assert error is None and actions(fields) == ["create"] and fields["plan"][0]["note"] == f"predicted locally: {note}"


def test_standard_input_is_not_that_of_the_pod_before(cluster):
    """The garbage collector deletes a Secret some time after its owner, and the response to a creation can be lost."""
    perform(cluster, stdin="old", command=["cat"])
    old = {key: copy.deepcopy(item) for key, item in cluster.objects.items() if key[0] == SECRET.name}
    assert len(old) == 1
    cluster.faults = {"Secret": [PodwrightError("cut", reason="ConnectionLost")]}
    perform(cluster, stdin="new", command=["cat"])
    cluster.objects |= old
    cluster.objects[POD]["status"] = STARTING
    cluster.status = STARTING
    assert perform(cluster, stdin="new", command=["cat"], state="present", wait=False)[1] is None
    pod = cluster.objects[POD]
    mounted = next(volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume)
    secret = cluster.objects[SECRET.name, "n", mounted]
    assert base64.b64decode(secret["data"]["stdin"]) == b"new"
    assert secret["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]


@pytest.mark.parametrize("state", ["absent", "running"])
def test_pods_of_a_deleted_job_are_deleted_before_anything_is_created(cluster, state):
    perform(cluster)
    job = {"apiVersion": JOB.api_version, "kind": "Job", "metadata": {"name": "t", "uid": "deleted"}}
    old = cluster.objects.pop(POD)
    old["metadata"] |= {"name": "t-x1", "uid": "old", "ownerReferences": [owner_reference(job) | {"controller": True}]}
    cluster.objects[POD_KIND.name, "n", "t-x1"] = old
    fields, error = perform(cluster, state=state)
    assert error is None and actions(fields) == ["delete" if state == "absent" else "create"]
    assert ("Pod", "n", "t-x1") not in cluster.objects


def test_a_quota_that_is_exceeded_until_the_old_pod_is_deleted_is_not_noted(cluster):
    perform(cluster)
    created = cluster.create

    def create(kind, namespace, body, manager, dry_run=False):
        if dry_run:
            raise QUOTA
        return created(kind, namespace, body, manager)

    cluster.create = create
    fields, error = perform(cluster, env={"A": "b"})
    assert error is None and actions(fields) == ["replace"]
    assert fields["plan"][0]["note"] == "its options changed"
