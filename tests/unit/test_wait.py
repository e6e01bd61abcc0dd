# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting until objects are ready or deleted: what is requested, watched and reported, and for how long."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.availability import Availability
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CLAIM, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler import wait
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.goal import condition_assessment
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import key_of
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.wait import SELECTED_NODE, wait_until_deleted, wait_until_ready

from .fake_cluster import StubWatcher
from .model_cluster import VirtualClock

DEPLOYMENT, JOB = BUILT_IN["apps/v1", "Deployment"], BUILT_IN["batch/v1", "Job"]


def pod(name, phase="Pending", namespace="n", uid="1", **metadata):
    metadata = {"name": name, "namespace": namespace, "uid": uid} | metadata
    status = {"phase": phase} | ({"conditions": [{"type": "Ready", "status": "True"}]} if phase == "Running" else {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}


def own(name, phase="Running", owner=("Deployment", "web", "w"), **metadata):
    """A pod of a workload: kind, name and uid; a Deployment has a ReplicaSet that is named after it."""
    kind, title, uid = owner
    title, kind, uid = (f"{title}-7d", "ReplicaSet", f"{uid}-7d") if kind == "Deployment" else (title, kind, uid)
    reference = {"kind": kind, "name": title, "uid": uid, "controller": True}
    return pod(name, phase, labels={"pod-template-hash": "7d"}, ownerReferences=[reference], **metadata)


def replica_set(name, deployment):
    """A ReplicaSet of the Deployment with that uid."""
    reference = {"kind": "Deployment", "name": "web", "uid": deployment, "controller": True}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "n", "uid": name.replace("web", deployment), "ownerReferences": [reference]},
    }


def items(*objects):
    """Key -> (Kind, object)."""
    kinds = {item["kind"]: BUILT_IN[item["apiVersion"], item["kind"]] for item in objects}
    return {key_of(item, kinds[item["kind"]]): (kinds[item["kind"]], item) for item in objects}


class World:
    """A Client whose collections contain `objects`, and its Watcher, which delivers `events`: (seconds until then, type, object).

    Attributes:
        lists: (kind, namespace, field selector) of each LIST; follows: of each watch; shown: each progress text.
    """

    def __init__(self, *objects, events=()):
        self.objects, self.events, self.clock = list(objects), list(events), VirtualClock()
        self.availability = Availability(self.clock)
        self.lists, self.follows, self.shown, self.warnings, self.gets, self.classes = [], [], [], [], [], {}
        self.refusal, self.refusals = None, 0  # of the next LISTs with a label selector
        self.progress, self.warn = self.shown.append, self.warnings.append

    def list(self, kind, namespace=None, field_selector=None, label_selector=None, transform=None, metadata_only=False):
        self.lists.append((kind.name, namespace, label_selector or field_selector))
        if label_selector and self.refusals:
            self.refusals -= 1
            raise self.refusal
        name = (field_selector or "").removeprefix("metadata.name=")
        return [
            transform(item) if transform else item
            for item in self.objects
            if item["kind"] == kind.name and item["metadata"].get("namespace") == namespace and (not name or item["metadata"]["name"] == name)
        ], "7"

    def get(self, kind, namespace, name):
        self.gets.append(name)
        found = self.classes.get(name)
        if isinstance(found, PodwrightError):
            raise found
        return found


@pytest.fixture(autouse=True)
def watcher(monkeypatch):
    class Watcher(StubWatcher):
        def follow(self, kind, namespace, version, field_selector=None, known=()):
            self._client.follows.append((kind.name, namespace, field_selector))
            assert version == "7"

        def next(self, seconds):
            assert 0 < seconds <= 1, "the progress is shown at least once a second"
            world = self._client
            if world.events and world.events[0][0] <= world.clock.time + seconds:
                at, event, item = world.events.pop(0)
                world.clock.time = max(world.clock.time, at)
                return event, item
            world.clock.time += seconds
            return None

    monkeypatch.setattr(wait, "Watcher", Watcher)


def ready(world, *objects, timeout=30, **options):
    return wait_until_ready(world, items(*objects), timeout, world, **options)


def failure(function, *arguments, **options):
    with pytest.raises(PodwrightError) as caught:
        function(*arguments, **options)
    assert caught.value.reason == "WaitFailed"
    return caught.value


# -- ready ------------------------------------------------------------------------------------------------------


def test_objects_that_are_ready_cost_no_request():
    world, running = World(), pod("a", "Running")
    assert ready(world, running) == {key_of(running, POD): running}
    assert world.lists == world.follows == world.gets == world.shown == []


def test_object_that_became_ready_before_it_was_listed_is_not_watched():
    world = World(pod("a", "Running"))
    assert ready(world, pod("a"))[key_of(pod("a"), POD)] == pod("a", "Running")
    assert world.lists == [("Pod", "n", "metadata.name=a")] and world.follows == [] and world.clock.time == 0


def test_only_collections_with_pending_objects_are_watched():
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "n", "uid": "2"}, "status": {}}
    done = job | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    world = World(pod("a", "Running"), pod("b"), pod("c", "Running", "m"), job, events=[(5, "MODIFIED", pod("b", "Running")), (9, "MODIFIED", done)])
    latest = ready(world, pod("a"), pod("b"), pod("c", namespace="m"), job)
    # A field selector is for one name: several objects of a namespace are listed and watched together.
    assert world.lists == [("Pod", "n", None), ("Pod", "m", "metadata.name=c"), ("Job", "n", "metadata.name=j")]
    assert world.follows == [("Pod", "n", None), ("Job", "n", "metadata.name=j")] and world.clock.time == 9
    assert latest[key_of(done, JOB)] == done and [item["metadata"]["name"] for item in latest.values()] == ["a", "b", "c", "j"]


def test_cluster_scoped_objects_are_listed_without_a_namespace():
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "uid": "1"}}
    world = World(namespace | {"status": {"phase": "Active"}})
    ready(world, namespace)
    assert world.lists == [("Namespace", None, "metadata.name=x")]


def test_events_of_other_objects_and_of_ready_ones_are_ignored():
    others = [(1, "MODIFIED", pod("x", "Failed")), (2, "DELETED", pod("x")), (3, "MODIFIED", pod("b", "Running"))]
    late = [(4, "MODIFIED", pod("b", "Failed")), (5, "DELETED", pod("b")), (6, "MODIFIED", pod("a", "Running"))]
    world = World(pod("a"), pod("b"), events=others + late)
    assert ready(world, pod("a"), pod("b"))[key_of(pod("b"), POD)]["status"]["phase"] == "Running"
    assert world.clock.time == 6


def test_object_that_is_missing_from_the_list_was_deleted():
    world = World(pod("b", "Running"))
    assert "'a' in namespace 'n' failed: it was deleted before it became ready" in failure(ready, world, pod("a"), pod("b")).message
    assert world.clock.time == 0 and not world.follows


def test_object_without_a_uid_is_created_later():
    world = World(events=[(5, "ADDED", pod("a", "Running"))])
    expected = pod("a")
    del expected["metadata"]["uid"]
    ready(world, expected)
    assert world.clock.time == 5 and len(world.follows) == 1


def test_failed_object_stops_the_wait_at_once_and_is_explained():
    world = World(pod("a"), pod("b"), events=[(4, "MODIFIED", pod("b", "Failed") | {"status": {"phase": "Failed", "message": "evicted."}})])
    error = failure(ready, world, pod("a"), pod("b"), explain=lambda key: f" Logs of {key.name}.")
    assert error.message.startswith("Pod 'b' in namespace 'n' failed: ") and error.message.endswith(". Logs of b.") and ".." not in error.message
    assert world.clock.time == 4


def test_object_that_is_deleted_while_it_is_awaited_is_an_error():
    world = World(pod("a"), events=[(4, "DELETED", pod("a"))])
    assert "'a' in namespace 'n' failed: it was deleted before it became ready" in failure(ready, world, pod("a")).message
    assert world.clock.time == 4


@pytest.mark.parametrize("timeout", [0, 0.25, 1, 2.5, 30])
def test_wait_stops_at_its_timeout_with_the_last_state(timeout):
    changed = pod("a") | {"spec": {"containers": []}}
    world = World(changed)
    error = failure(ready, world, pod("a"), timeout=timeout, explain=lambda key: " See its events.")
    assert f"did not become ready within {timeout} s: " in error.message and error.message.endswith(" See its events.")
    assert world.clock.time == timeout


@pytest.mark.parametrize(
    ("count", "shown"), [(1, "Pod p0"), (3, "Pod p0, Pod p1, Pod p2"), (4, "Pod p0, Pod p1, Pod p2 and 1 more"), (9, "Pod p0, Pod p1, Pod p2 and 6 more")]
)
def test_progress_names_a_few_pending_objects_and_counts_the_rest(count, shown):
    objects = [pod(f"p{number}") for number in range(count)]
    world = World(*objects, pod("ready", "Running"))
    failure(ready, world, *objects, pod("ready"), timeout=2)
    assert set(world.shown) == {f"waiting for {shown}"}


# -- replicas ---------------------------------------------------------------------------------------------------


def deployment(generation=2, **spec):
    """A Deployment that was scaled to 0 and back, whose status counts two ready pods."""
    metadata = {"name": "web", "namespace": "n", "uid": "w", "generation": 2}
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 2)
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}} | spec
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "status": counts | {"observedGeneration": generation}}


def exceeded(generation, at, **spec):
    """A Deployment whose pods are not ready, with the progress deadline exceeded at that time."""
    progress = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "lastUpdateTime": at, "message": "It has timed out."}
    item = deployment(generation, progressDeadlineSeconds=20, **spec)
    return item | {"status": item["status"] | {"readyReplicas": 0, "conditions": [progress]}}


CONDITION = {"type": "Available", "status": "True", "reason": None}


@pytest.mark.parametrize("options", [{}, {"assess_item": condition_assessment(CONDITION)}])
def test_exceeded_deadline_of_an_earlier_spec_is_no_failure(options):
    """The controller observes a return to an existing ReplicaSet before it replaces the condition."""
    done = deployment() | {"status": deployment()["status"] | {"conditions": [{"type": "Available", "status": "True"}]}}
    world = World(exceeded(2, "1"), own("a"), own("b"), events=[(4, "MODIFIED", done)])
    assert ready(world, exceeded(1, "1"), **options) == {key_of(done, DEPLOYMENT): done}


def test_exceeded_deadline_of_an_earlier_spec_counts_a_deadline_later():
    world = World(exceeded(2, "1"))
    assert "failed: It has timed out." in failure(ready, world, exceeded(1, "1"), timeout=99).message
    assert world.clock.time == 20, "the controller never sets the condition again"


@pytest.mark.parametrize(("written", "events"), [(exceeded(2, "1"), []), (exceeded(1, "1"), [(3, "MODIFIED", exceeded(2, "2"))])])
def test_exceeded_deadline_of_the_spec_is_a_failure_at_once(written, events):
    world = World(exceeded(2, "1"), events=events)
    assert "failed: It has timed out." in failure(ready, world, written).message
    assert world.clock.time == (3 if events else 0)


def test_workload_that_became_ready_has_the_pods_that_its_status_counts():
    terminating = own("c", deletionTimestamp="2001-01-01T00:00:00Z")
    world = World(deployment(), own("a"), own("b", "Pending"), terminating)
    expected = "did not become ready within 9 s: its status counts 2 ready pods, but only 1 exist."
    assert expected in failure(ready, world, deployment(1), timeout=9).message
    # At 0, 1, 3, 5, 7 and 9 s, since nothing changes in the Deployment when its pods do.
    assert [name for _kind, _namespace, name in world.lists] == ["metadata.name=web", *["app=web"] * 6] and world.clock.time == 9
    world.objects[2] = own("b")
    assert ready(world, deployment(1)) == {key_of(deployment(), DEPLOYMENT): deployment()} and world.clock.time == 9


def test_pods_are_counted_again_while_other_objects_change():
    world = World(deployment(), own("a"))
    world.events = [(second / 2, "MODIFIED", deployment() | {"metadata": {"name": "other", "namespace": "n", "uid": "o"}}) for second in range(30)]
    world.progress = lambda _text: world.objects.append(own("b")) if world.clock.time >= 3 and len(world.objects) == 2 else None
    ready(world, deployment(1))
    assert world.clock.time < 6


def test_status_that_stays_as_it_is_without_its_pods_is_believed_with_a_warning():
    """The API server of Karmada has Deployments, but not their pods."""
    world = World(deployment())
    ready(world, deployment(1), timeout=60)
    assert 30 <= world.clock.time <= 35 and len(world.lists) < 20
    why = "for 30 s its status counts 2 ready pods, but only 0 exist."
    assert world.warnings == [f"Deployment 'web' in namespace 'n' is reported as ready, although {why}"]


def test_daemon_set_that_became_ready_has_the_pods_that_its_status_counts():
    status = dict.fromkeys(("desiredNumberScheduled", "updatedNumberScheduled", "numberReady", "numberAvailable", "observedGeneration"), 2)
    changed = deployment() | {"kind": "DaemonSet", "status": status}
    agent = ("DaemonSet", "web", "w")
    world = World(changed, own("a", owner=agent))
    before = changed | {"status": status | {"observedGeneration": 1}}
    assert "its status counts 2 ready pods, but only 1 exist." in failure(ready, world, before, timeout=2).message
    world.objects.append(own("b", owner=agent))
    ready(world, before)


def test_pods_of_another_workload_with_the_same_selector_do_not_count():
    others = [own("c", owner=("Deployment", "web-7d", "x")), own("d", owner=("ReplicaSet", "web", "y")), pod("e", "Running")]
    world = World(deployment(), own("a"), *others, replica_set("web-7d", "w"), replica_set("web-7d-7d", "x"))
    assert "but only 1 exist." in failure(ready, world, deployment(1), timeout=0.5).message
    assert [(kind, name) for kind, _namespace, name in world.lists] == [("Deployment", "metadata.name=web"), ("Pod", "app=web"), ("ReplicaSet", "app=web")]


def test_pods_of_a_replica_set_that_was_adopted_count():
    pods = [own(name, owner=("Deployment", "before", "before")) for name in "ab"]
    ready(World(deployment(), *pods, replica_set("before-7d", "w")), deployment(1), timeout=0.5)
    assert "but only 0 exist." in failure(ready, World(deployment(), *pods, replica_set("before-7d", "x")), deployment(1), timeout=0.5).message


@pytest.mark.parametrize("spec", [{"replicas": 0}, {"paused": True}])
def test_workload_without_counted_pods_is_ready_without_them(spec):
    world = World(deployment(**spec) | ({"status": {"observedGeneration": 2}} if "replicas" in spec else {}))
    ready(world, deployment(1, **spec))
    assert [name for _kind, _namespace, name in world.lists] == ["metadata.name=web"]


def test_status_of_a_workload_is_believed_with_a_warning_if_pods_may_not_be_read():
    world = World(deployment())
    world.refusal, world.refusals = PodwrightError('pods is forbidden: User "u" cannot list resource "pods"', status=403), 1
    ready(world, deployment(1))
    (warning,) = world.warnings
    assert warning.startswith("Ready pods could not be counted") and "pods is forbidden" in warning


def test_pods_that_cannot_be_listed_for_a_while_are_counted_later():
    world = World(deployment(), own("a"), own("b"))
    world.refusal, world.refusals = PodwrightError("the server is broken", status=500), 9
    assert "its pods cannot be listed: the server is broken" in failure(ready, world, deployment(1), timeout=2).message
    world.refusals = 3
    assert ready(world, deployment(1), timeout=30) == {key_of(deployment(), DEPLOYMENT): deployment()}


# -- claims -----------------------------------------------------------------------------------------------------


def claim(name="c", storage_class="local", **metadata):
    spec = {"storageClassName": storage_class} if storage_class else {}
    metadata = {"name": name, "namespace": "n", "uid": "1"} | metadata
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


LATE, IMMEDIATE = {"volumeBindingMode": "WaitForFirstConsumer"}, {"volumeBindingMode": "Immediate"}


def test_claim_that_waits_for_its_first_pod_is_not_awaited():
    world = World()
    world.classes = {"local": LATE}
    assert ready(world, claim("a"), claim("b")) == {key_of(c, CLAIM): c for c in (claim("a"), claim("b"))}
    assert world.lists == [] and world.gets == ["local"]  # once for all claims of the class


@pytest.mark.parametrize(
    ("waiting", "found", "gets"),
    [
        (claim(), IMMEDIATE, ["local"]),
        (claim(), None, ["local"]),  # the class was deleted
        (claim(), PodwrightError('storageclasses is forbidden: User "u" cannot get resource', status=403, reason="Forbidden"), ["local"]),
        (claim(annotations={SELECTED_NODE: "node-1"}), LATE, []),  # its first pod was scheduled
        (claim(storage_class=None), LATE, []),
        (claim() | {"spec": {"storageClassName": "local", "volumeName": "v"}}, LATE, []),  # bound without a pod, if ever
    ],
)
def test_other_claims_are_awaited(waiting, found, gets):
    bound = waiting | {"status": {"phase": "Bound"}}
    world = World(waiting, events=[(3, "MODIFIED", bound)])
    world.classes = {"local": found}
    assert ready(world, waiting)[key_of(waiting, CLAIM)] == bound
    assert world.clock.time == 3 and world.gets == gets


def test_a_claim_that_cannot_be_bound_to_the_volume_that_it_names_fails():
    waiting = claim() | {"spec": {"storageClassName": "local", "volumeName": "v"}}
    world = World(waiting)
    world.classes = {"local": LATE}
    assert "it is not bound to volume 'v' yet, whose claimRef may still name a deleted claim" in failure(ready, world, waiting).message


def test_lost_claim_fails_although_its_class_binds_late():
    world = World(claim() | {"status": {"phase": "Lost"}})
    world.classes = {"local": LATE}
    assert "'c' in namespace 'n' failed" in failure(ready, world, claim() | {"status": {"phase": "Lost"}}).message


def test_other_errors_of_a_storage_class_are_reported():
    world = World(claim())
    world.classes = {"local": PodwrightError("no route to host")}
    with pytest.raises(PodwrightError, match="no route"):
        ready(world, claim())


# -- deleted ----------------------------------------------------------------------------------------------------


def deleted(world, *objects, timeout=30):
    wait_until_deleted(world, items(*objects), timeout, world)


def test_objects_that_are_gone_or_were_created_again_are_deleted():
    world = World(pod("b", uid="other"))
    deleted(world, pod("a"), pod("b"))
    assert world.clock.time == 0 and world.follows == []


def test_deletion_is_awaited_by_events():
    world = World(pod("a"), pod("b"), events=[(1, "MODIFIED", pod("a")), (2, "DELETED", pod("a")), (4, "ADDED", pod("b", uid="other"))])
    world.events.insert(1, (1, "MODIFIED", pod("c", uid="of somebody else")))
    deleted(world, pod("a"), pod("b"))
    assert world.clock.time == 4
    assert list(dict.fromkeys(world.shown)) == ["waiting until Pod a, Pod b are deleted", "waiting until Pod b is deleted"]


def test_wait_for_nothing_costs_no_request():
    world = World()
    deleted(world)
    assert world.lists == world.shown == []


def test_object_that_remains_is_reported_with_what_blocks_it():
    world = World(pod("a"), events=[(1, "MODIFIED", pod("a", finalizers=["example.com/keep"]))])
    error = failure(deleted, world, pod("a"), timeout=5)
    assert error.message == "Pod 'a' in namespace 'n' was not deleted within 5 s: deletion is blocked by finalizers: example.com/keep."
    assert "remove its finalizer" in error.hint
    assert "wait_timeout" in error.hint and world.clock.time == 5


def test_namespace_that_remains_is_reported_with_its_condition():
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "uid": "1"}}
    remaining = {"type": "NamespaceContentRemaining", "status": "True", "message": "pods. has 2 instances"}
    world = World(namespace | {"status": {"phase": "Terminating", "conditions": [remaining]}})
    assert "pods. has 2 instances" in failure(wait_until_deleted, world, items(namespace), 5, world).message
