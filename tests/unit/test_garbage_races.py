# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pod_gc deletes if the cluster changes or refuses requests meanwhile, and what check mode predicts."""

from __future__ import annotations

import copy
import datetime
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.dispatch.placement import build_placement, place_at
from ansible_collections.podwright.core.plugins.module_utils._engine.garbage.candidate import read_candidate
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import DEPLOYMENT
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_gc

from .fake_cluster import FakeCluster

NOW = 2_000_000_000
DAY = 86400
MANAGED = {"app.kubernetes.io/managed-by": "podwright"}
EVERYTHING = {"max_age": 0, "keep_last": 0}
STUCK = {"max_age": DAY, "force": False}
KEEPS_RECORD = {"podwright.io/keeps-record": "true"}
API_VERSIONS = {"Deployment": "apps/v1", "ReplicaSet": "apps/v1", "Job": "batch/v1", "NetworkPolicy": "networking.k8s.io/v1"}
PENDING = {"phase": "Pending"}
STARTED = {"phase": "Running", "containerStatuses": [{"name": "task", "state": {"running": {}}}]}


class Cluster(FakeCluster):
    """Honors the preconditions of deletions. `interfere` is called before the first one; `grace_periods` has that of each."""

    def __init__(self, *items):
        super().__init__(None)
        self.configuration = SimpleNamespace(namespace="n", server="fake")
        self.interfere, self.grace_periods = None, []
        for item in items:
            self.add(item)

    def add(self, item):
        metadata = item["metadata"]
        self.objects[item["kind"], metadata.get("namespace"), metadata["name"]] = copy.deepcopy(item)

    def now(self):
        return NOW

    def delete(self, kind, namespace, name, uid=None, propagation="Background", grace_period=None, dry_run=False, version=None):
        interfere, self.interfere = self.interfere, None
        if interfere:
            interfere(self)
        metadata = self.objects.get((kind.name, namespace, name), {"metadata": {"uid": None}})["metadata"]
        if metadata["uid"] != uid or (version and metadata["resourceVersion"] != version):
            return False
        self.grace_periods.append(grace_period)
        return super().delete(kind, namespace, name, uid, propagation, grace_period, dry_run, version)

    @property
    def left(self):
        return sorted(name for kind, _namespace, name in self.objects if kind != "Namespace")


def timestamp(moment):
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def thing(kind, name, task="t", created=NOW - 2 * DAY, version="1", labels=None, annotations=None, owner=None, **rest):
    labels = MANAGED | {"podwright.io/task": task, "podwright.io/hash": f"hash-{task}"} | (labels or {})
    metadata = {"name": name, "namespace": "n", "uid": f"uid-{name}", "resourceVersion": version, "creationTimestamp": timestamp(created)}
    metadata |= {"labels": labels, "annotations": annotations or {}}
    metadata |= {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": owner, "uid": f"uid-{owner}", "controller": True}]} if owner else {}
    return {"apiVersion": API_VERSIONS.get(kind, "v1"), "kind": kind, "metadata": metadata} | rest


def pod(name="p", status=None, finished=None, **rest):
    if finished is not None:
        status = {"phase": "Succeeded", "containerStatuses": [{"name": "task", "state": {"terminated": {"exitCode": 0, "finishedAt": timestamp(finished)}}}]}
    return thing("Pod", name, spec={"restartPolicy": "Never", "containers": [{"name": "task"}]}, status=status or PENDING, **rest)


def job(name="j", **rest):
    return thing("Job", name, spec={}, status={"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": timestamp(NOW - DAY)}]}, **rest)


def record(finished, version="1", name="r", data=None, **rest):
    data = {"finished_at": timestamp(finished)} | (data or {})
    return thing("ConfigMap", name, version=version, labels={"podwright.io/record": "true"}, data=data, **rest)


def collect(cluster, check_mode=False, **options):
    """(result, error) of pod_gc."""
    params = {name: spec.get("default") for name, spec in pod_gc.ARGUMENTS.items()} | {"namespace": "n", "concurrency": 1} | options
    return attempt(pod_gc.OPERATION, Invocation(params, check_mode, False, Console(), cluster))


def start(cluster):
    cluster.add(pod(status=STARTED, version="2"))


POLICY = thing("NetworkPolicy", "policy", created=NOW - 3 * DAY)


@pytest.mark.parametrize(
    ("interfere", "refusals", "limit", "left"),
    [(start, {}, None, ["p", "policy"]), (None, {("delete", "Pod"): 403}, None, ["p", "policy"]), (None, {}, 1, ["policy"]), (None, {}, None, ["policy"])],
)
def test_what_a_pod_needs_is_kept_as_long_as_the_pod_exists(interfere, refusals, limit, left):
    """Also if its deletion is accepted: it can run until its grace period expires."""
    cluster = Cluster(pod(), POLICY)
    cluster.interfere, cluster.refusals, cluster.refusal_reason = interfere, refusals, "Forbidden"
    result, _error = collect(cluster, stuck=STUCK, reclaim=["NetworkPolicy"], limit=limit)
    assert cluster.left == left and "the Pod p of its task exists" in [entry["reason"] for entry in result["kept"]]
    if left == ["policy"]:
        assert [entry["name"] for entry in collect(cluster, reclaim=["NetworkPolicy"])[0]["deleted"]] == ["policy"]


def replaced(cluster):
    """A pod of that name that is not the one that was listed."""
    item = pod(owner="j", status=STARTED, version="2")
    item["metadata"]["uid"] = "uid-other"
    cluster.add(item)


def collected_by_another_client(cluster):
    del cluster.objects["Pod", "n", "p"]


@pytest.mark.parametrize(
    ("interfere", "refusals", "limit", "left"),
    [
        (None, {}, None, []),
        (None, {("delete", "Pod"): 403}, None, ["j", "p"]),
        (replaced, {}, None, ["j", "p"]),
        (collected_by_another_client, {}, None, []),
        (None, {}, 1, ["j"]),
    ],
)
def test_a_job_is_deleted_after_its_pods_and_only_with_them(interfere, refusals, limit, left):
    cluster = Cluster(job(created=NOW - 3 * DAY), pod(owner="j", finished=NOW - DAY))
    cluster.interfere, cluster.refusals, cluster.refusal_reason = interfere, refusals, "Forbidden"
    result, error = collect(cluster, completed=EVERYTHING, reclaim=["Job"], limit=limit)
    assert cluster.left == left and bool(error) == bool(refusals)
    if "p" in left:
        assert "its pod p was not deleted" in [entry["reason"] for entry in result["kept"]]


@pytest.mark.parametrize("options", [{}, {"label_selectors": ["app=web"]}])
def test_a_job_is_kept_whose_pods_lack_its_labels(options):
    """Such as one of resource_set."""
    labels = {"app": "web"}
    other = pod(owner="j", finished=NOW - DAY)
    other["metadata"]["labels"] = {}
    cluster = Cluster(job(created=NOW - 3 * DAY, labels=labels), other, job(name="lone", created=NOW - 3 * DAY, labels=labels))
    result, error = collect(cluster, reclaim=["Job"], **options)
    assert error is None and cluster.left == ["j", "p"]
    assert "its pod p exists" in [entry["reason"] for entry in result["kept"]]


@pytest.mark.parametrize(
    ("before", "after", "options"),
    [
        (record(NOW - 40 * DAY), record(NOW, "2"), {"records": {"max_age": 30 * DAY, "keep_last": 0}}),
        (POLICY, thing("NetworkPolicy", "policy", version="2", owner="new"), {"reclaim": ["NetworkPolicy"]}),
    ],
)
def test_records_and_leftovers_that_a_run_wrote_meanwhile_are_kept(before, after, options):
    cluster = Cluster(before)
    cluster.interfere = lambda cluster: cluster.add(after)
    result, _error = collect(cluster, **options)
    assert not result["changed"] and result["kept"][0]["reason"] == "it changed or was deleted by another client before its deletion"


@pytest.mark.parametrize("user", [pod("new", status=STARTED), job("new")])
def test_leftovers_that_a_new_run_uses_meanwhile_are_kept(user):
    """The run need not change them."""
    claims = [thing("PersistentVolumeClaim", name, task, spec={}) for name, task in (("used", "t"), ("unused", "other"))]
    cluster = Cluster(pod("done", task="done", finished=NOW - DAY), *claims)
    cluster.interfere = lambda cluster: cluster.add(user)
    result, _error = collect(cluster, completed=EVERYTHING, reclaim=["PersistentVolumeClaim"])
    assert [entry["name"] for entry in result["deleted"]] == ["unused", "done"]
    assert [entry["reason"] for entry in result["kept"]] == [f"the {user['kind']} new of its task was created after it was listed"]


def test_a_plan_is_carried_out_although_a_pod_finished_after_its_review():
    cluster = Cluster(pod("old", finished=NOW - DAY))
    digest = collect(cluster, check_mode=True, completed=EVERYTHING)[0]["plan_digest"]
    cluster.add(pod("fresh", finished=NOW + 30))
    result, error = collect(cluster, completed=EVERYTHING, expect=digest)
    assert error is None and cluster.left == ["fresh"]
    assert [entry["reason"] for entry in result["kept"]] == ["it was created or finished after the review"]


def test_a_kind_that_is_named_twice_is_reclaimed_once():
    options = {"reclaim": ["NetworkPolicy", "NetworkPolicy"]}
    predicted, deleted = (collect(Cluster(POLICY), check_mode=check_mode, **options)[0]["summary"] for check_mode in (True, False))
    assert predicted == deleted == {"deleted": 1, "kept": 0, "failed": 0}


def test_force_leaves_their_grace_period_to_pods_that_were_not_to_be_deleted():
    cluster = Cluster(pod())
    collect(cluster, stuck={"max_age": 3600, "force": True}, grace_period=30)
    assert cluster.grace_periods == [30]


@pytest.mark.parametrize("name", ["completed", "failed", "records"])
def test_an_empty_policy_is_refused(name):
    cluster = Cluster(pod(finished=NOW - DAY))
    result, error = collect(cluster, **{name: {"max_age": None, "keep_last": None}})
    assert str(error).startswith(f"{name}: must set max_age or keep_last, got neither.") and not result and cluster.left == ["p"]
    assert collect(cluster, **{name: {"max_age": None, "keep_last": 1}})[1] is None


@pytest.mark.parametrize("is_recorded", [False, True])
@pytest.mark.parametrize(
    ("item", "options"),
    [
        (pod(finished=NOW - DAY, annotations=KEEPS_RECORD), {"expired": True}),
        (pod(status={"phase": "Failed", "reason": "Evicted"}, annotations=KEEPS_RECORD), {"evicted": True}),
        (job(annotations=KEEPS_RECORD), {"reclaim": ["Job"]}),
    ],
)
def test_what_has_the_only_result_of_a_task_is_kept(item, options, is_recorded):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "annotations": {"podwright.io/ttl": "3600"}}}
    cluster = Cluster(namespace, item, *([record(NOW - DAY)] if is_recorded else []))
    result, _error = collect(cluster, **options)
    assert result["changed"] is is_recorded
    if not is_recorded:
        assert [entry["reason"] for entry in result["kept"]] == ["the result of its task t has not been recorded yet; the next run of the task records it"]


@pytest.mark.parametrize("annotations", [{"podwright.io/ttl": "3600"}, {"podwright.io/ttl": "999999"}])
def test_a_result_is_kept_no_longer_than_its_record_would_be(annotations):
    cluster = Cluster(pod(finished=NOW - DAY, annotations=KEEPS_RECORD | annotations))
    assert collect(cluster, expired=True)[0]["changed"] is (annotations["podwright.io/ttl"] == "3600")


EARLIER, LATER = NOW - 3 * DAY, NOW - DAY  # than the creation of pods and Jobs


@pytest.mark.parametrize(
    ("owner", "finished", "data", "left"),
    [
        (None, LATER, {"uid": "uid-p"}, ["r"]),
        (None, LATER, {"uid": "uid-replaced"}, ["p", "r"]),  # its clock may be ahead
        (None, EARLIER, {}, ["j", "p", "r"]),  # of an earlier version
        (None, LATER, {}, ["r"]),
        ("j", LATER, {"uid": "uid-deciding", "job_uid": "uid-j"}, ["r"]),
        ("j", LATER, {"uid": "uid-replaced", "job_uid": "uid-replaced"}, ["j", "p", "r"]),
        ("j", LATER, {"uid": "uid-deciding"}, ["r"]),
        ("j", EARLIER, {"uid": "uid-replaced"}, ["j", "p", "r"]),
    ],
)
def test_a_record_of_an_earlier_run_is_not_that_of_a_pod_or_job(owner, finished, data, left):
    items = pod(owner=owner, finished=NOW - DAY, annotations=KEEPS_RECORD), job(annotations=KEEPS_RECORD)
    cluster = Cluster(*items, record(finished, data=data))
    collect(cluster, completed=EVERYTHING, reclaim=["Job"])
    assert cluster.left == left


@pytest.mark.parametrize(("records", "is_deleted"), [({"max_age": 3600}, True), ({"keep_last": 100}, False), ({"max_age": 3600, "keep_last": 100}, False)])
def test_a_result_is_kept_at_any_age_if_its_record_could_be(records, is_deleted):
    cluster = Cluster(pod(finished=NOW - DAY, annotations=KEEPS_RECORD))
    assert collect(cluster, completed=EVERYTHING, records=records)[0]["changed"] is is_deleted


# -- placements -------------------------------------------------------------------------------------------------


def placement(started, completes=True, name="placement", task="t"):
    data = {"time": timestamp(started), "cluster": "east", "server": "https://east"} | ({"completes": "true"} if completes else {})
    return thing("ConfigMap", name, task, created=NOW - 90 * DAY, labels={"podwright.io/record": "placement"}, data=data)


@pytest.mark.parametrize(
    ("items", "records", "left"),
    [
        ([placement(NOW - 40 * DAY)], {"max_age": 30 * DAY, "keep_last": 0}, []),
        ([placement(NOW - 60)], {"max_age": 30 * DAY, "keep_last": 0}, ["placement"]),  # written again into the same object
        ([placement(NOW - 40 * DAY)], {"max_age": 50 * DAY, "keep_last": 0}, ["placement"]),
        ([placement(NOW - 20 * DAY)], EVERYTHING, ["placement"]),  # it may run in the other cluster
        ([placement(NOW - 40 * DAY, completes=False)], EVERYTHING, ["placement"]),
        ([placement(NOW - 40 * DAY), pod(status=STARTED)], EVERYTHING, ["p", "placement"]),
        ([placement(NOW - 40 * DAY), job()], EVERYTHING, ["j", "placement"]),
        ([placement(NOW - 40 * DAY), placement(NOW - 50 * DAY, name="older", task="u")], {"max_age": 0, "keep_last": 1}, ["placement"]),
        ([placement(NOW), record(NOW - DAY)], {"max_age": 0, "keep_last": 1}, ["placement", "r"]),  # it is not the record of a task
    ],
)
def test_placements_are_kept_as_long_as_a_task_may_run(items, records, left):
    cluster = Cluster(*items)
    collect(cluster, records=records)
    assert cluster.left == left


def test_placements_stay_without_a_policy_for_records():
    cluster = Cluster(placement(NOW - 90 * DAY))
    assert [entry["reason"] for entry in collect(cluster, reclaim=["ConfigMap"])[0]["kept"]] == ["it is the placement of a task and no policy applies"]


@pytest.mark.parametrize("completes", [True, False])
def test_placement_says_whether_its_task_finishes(completes):
    spec = SimpleNamespace(name="t", namespace="n", set_name=None, completes=completes)
    item = build_placement(spec, place_at(NOW, "east", "https://east"))
    item["metadata"] |= {"uid": "u", "resourceVersion": "1", "creationTimestamp": timestamp(NOW - DAY)}
    assert read_candidate(CONFIG_MAP, item).finished_at == (NOW if completes else None)


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": timestamp(NOW - 2 * DAY)}
CREATION = {"manager": "kubectl", "time": timestamp(NOW - 2 * DAY), "fieldsV1": {"f:spec": {"f:containers": {}}}}
SCHEDULER = {"manager": "kube-scheduler", "subresource": "status", "fieldsV1": {"f:status": {"f:conditions": {}}}}


@pytest.mark.parametrize(
    ("generation", "entries", "is_deleted"),
    [
        (1, [CREATION, SCHEDULER | {"time": timestamp(NOW)}], True),
        (2, [CREATION | {"time": timestamp(NOW - 60)}], False),
        (2, [CREATION, SCHEDULER | {"time": timestamp(NOW - 60)}], False),  # a gate that is only removed leaves no time
        (2, [CREATION | {"time": timestamp(NOW - DAY)}, SCHEDULER | {"time": timestamp(NOW - 60)}], True),
        (2, [], True),
        (2, [{"time": None, "fieldsV1": None}], True),
    ],
)
def test_a_pod_waits_since_its_scheduling_gate_was_removed(generation, entries, is_deleted):
    gated = pod(status=PENDING | {"conditions": [UNSCHEDULABLE]})
    gated["metadata"] |= {"generation": generation, "managedFields": entries}
    cluster = Cluster(gated)
    assert collect(cluster, stuck=STUCK)[1] is None and cluster.left == ([] if is_deleted else ["p"])


def template(kind, name, secret):
    """A Deployment or ReplicaSet whose pods have a variable from a Secret."""
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": secret, "key": "env.task.TOKEN"}}}
    pod_spec = {"containers": [{"name": "task", "env": [variable]}]}
    return thing(kind, name, labels={DEPLOYMENT: "web"}, spec={"template": {"spec": pod_spec}})


def private(name, created=NOW - 2 * DAY):
    """The Secret of a Deployment."""
    item = thing("Secret", name, labels={DEPLOYMENT: "web"}, created=created)
    item["metadata"]["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-web"}]
    return item


def use_again(cluster):
    cluster.add(template("Deployment", "web", "web-private-00000001"))


@pytest.mark.parametrize(
    ("interfere", "refusals", "left"),
    [(None, {}, []), (use_again, {}, ["web-private-00000001"]), (None, {("list", "ReplicaSet"): 403}, ["web-private-00000001"])],
)
def test_secrets_to_which_no_pod_template_refers_are_reclaimed(interfere, refusals, left):
    needed = [private("web-private-00000002"), private("web-private-00000003"), private("web-private-00000004", created=NOW)]
    templates = [template("Deployment", "web", "web-private-00000003"), template("ReplicaSet", "web-1", "web-private-00000002")]
    other = thing("Secret", "web-token", labels={DEPLOYMENT: "web"}, owner="web")  # of somebody else
    cluster = Cluster(private("web-private-00000001"), *needed, *templates, other, pod(finished=NOW - DAY))
    cluster.interfere, cluster.refusals = interfere, refusals
    predicted = collect(cluster, check_mode=True, completed=EVERYTHING, reclaim=["Secret"])[0]
    result, error = collect(cluster, completed=EVERYTHING, reclaim=["Secret"])
    kept = [item["metadata"]["name"] for item in (*needed, *templates, other)]
    assert error is None and cluster.left == sorted([*left, *kept])
    assert len(predicted["deleted"]) == (1 if refusals else 2)
    if interfere:
        assert "a Deployment refers to it again" in [entry["reason"] for entry in result["kept"]]
