# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carrying out plans: waves, errors, check mode, replacement, deletion, takeover and waiting, against a cluster in memory."""

from __future__ import annotations

import copy
import json
import threading
import time
from dataclasses import fields

import jsonpatch
import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.availability import Availability
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import JSON_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import UNKNOWN_KIND, PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import AUTOSCALED, KUBERNETES_REVISION
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.resource_set import ARGUMENTS
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler import wait
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.alternatives import excluded_fields
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.definitions import OUTDATED_SECONDS
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.emptied import null_fields
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.ownership import HANDOVER, steps_of
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.plan import Applied, Change
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.reconciler import Reconciler, ReconcilerOptions
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.takeover import ATTEMPTS

from ..support.outcomes import checked
from .fake_cluster import FakeCluster, StubWatcher
from .fake_cluster import fields as managed
from .model_cluster import VirtualClock

KUBECTL = {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {"f:k": {}}}}
IMMUTABLE = PodwrightError(
    "it is invalid", status=422, reason="Invalid", causes=[{"field": "spec.selector", "message": "Invalid value: {}: field is immutable", "reason": ""}]
)


def manifest(kind="ConfigMap", name="a", api_version="v1", namespace="n", **rest):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name} | ({"namespace": namespace} if namespace else {})} | rest


def config(name="a", value="v", **metadata):
    item = manifest(name=name, data={"k": value})
    return item | {"metadata": item["metadata"] | metadata}


class Cluster(FakeCluster):
    """A cluster that records its requests.

    Attributes:
        log: each request as (verb, kind, name, further facts).
        answers: (verb, kind, name) -> errors to raise, the first first, or None; verbs are those of `log`.
        lingers: seconds for which a deleted object still exists.
        busy, busiest: the number of requests at this moment, and the largest one; a request waits until it was `expected`.
        later: (time, function) of what happens in the cluster while a client waits.
    """

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.clock, self.log, self.answers, self.lingers, self.later, self.events = VirtualClock(), [], {}, 0, [], []
        self.availability = Availability(self.clock)
        self.busy = self.busiest = 0
        self.expected = 1
        self.turn = threading.Condition()

    def add(self, item, **metadata):
        """Store a live object."""
        item = copy.deepcopy(item)
        item["metadata"] |= {"uid": f"uid-{item['metadata']['name']}", "resourceVersion": "1"} | metadata
        self.objects[item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]] = item
        return item

    def add_applied(self, item):
        """Store a live object that podwright applied."""
        tree = managed({name: value for name, value in item.items() if name != "metadata"})
        self.add(item, managedFields=[{"manager": "podwright", "operation": "Apply", "fieldsV1": tree}])

    def _note(self, verb, kind, name, *facts):
        self.log.append((verb, kind.name, name, *facts))
        errors = self.answers.get((verb, kind.name, name))
        if errors and (error := errors.pop(0)):
            raise error

    def apply(self, kind, namespace, name, body, manager, force=True, dry_run=False):
        with self.turn:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            self.turn.notify_all()
            self.turn.wait_for(lambda: self.busiest >= self.expected, 5)
        time.sleep(0.002)  # for more requests to come, should there be any
        try:
            self._note("try" if dry_run else "apply", kind, name, manager, force)
            return super().apply(kind, namespace, name, body, manager, force, dry_run)
        finally:
            with self.turn:
                self.busy -= 1

    def create(self, kind, namespace, body, manager, dry_run):
        self._note("create", kind, body["metadata"]["name"], dry_run)
        raise PodwrightError("exists", status=409, reason="AlreadyExists")

    def patch(self, kind, namespace, name, patch, manager, content_type=JSON_PATCH, dry_run=False):
        key = (kind.name, namespace if kind.namespaced else None, name)
        item = self.objects[key]
        if content_type == JSON_PATCH:
            self._note("patch", kind, name, patch, dry_run)
            item = jsonpatch.apply_patch(item, patch)
            self.objects[key] = self.objects[key] if dry_run else item
            return item
        self._note("patch", kind, name, patch["metadata"]["managedFields"])
        item["metadata"] |= patch["metadata"]
        return copy.deepcopy(item)

    def delete(self, kind, namespace, name, uid=None, propagation="Background", grace_period=None, dry_run=False, version=None):
        self._note("delete", kind, name, uid, propagation, grace_period, dry_run)
        if self.lingers and not dry_run:
            item = self.objects[kind.name, namespace, name]
            item["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self.later.append((self.clock.time + self.lingers, lambda: self.vanish(kind.name, namespace, name)))
            return True
        return super().delete(kind, namespace, name, uid, propagation, grace_period, dry_run, version)

    def vanish(self, kind_name, namespace, name):
        """Delete an object."""
        self.log.append(("gone", kind_name, name))
        self.events.append(("DELETED", self.objects.pop((kind_name, namespace, name))))

    def verbs(self, *names):
        """The requests of these verbs as (verb, kind, name)."""
        return [entry[:3] for entry in self.log if entry[0] in names]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    class Watcher(StubWatcher):
        def next(self, seconds):
            cluster = self._client
            cluster.clock.time += seconds
            for entry in [entry for entry in cluster.later if entry[0] <= cluster.clock.time]:
                cluster.later.remove(entry)
                entry[1]()
            return cluster.events.pop(0) if cluster.events else None

    monkeypatch.setattr(wait, "Watcher", Watcher)
    return Cluster(tmp_path)


def reconcile(cluster, manifests, verb="apply", set_name=None, console=None, **options):
    """The Outcome of a run, complete or not."""
    options = {"concurrency": 1, "wait_timeout": 20} | options
    return getattr(Reconciler(cluster, ReconcilerOptions(**options), console or Console()), verb)(copy.deepcopy(manifests), "n", set_name)


def actions(outcome):
    return [(change.action, change.key.name, change.note) for change in outcome.changes]


def test_defaults_are_those_of_resource_set():
    options = ReconcilerOptions()
    arguments = ARGUMENTS | ARGUMENTS["delete_options"]["options"]
    arguments |= arguments["preconditions"]["options"]
    names = {"manager": "field_manager", "propagation": "propagation_policy", "delete_uid": "uid", "delete_version": "resource_version"}
    for field in fields(options):
        if field.name not in ("check_mode", "keeps_existing"):
            assert getattr(options, field.name) == arguments[names.get(field.name, field.name)].get("default"), field.name
    assert options.check_mode is False and options.keeps_existing is False and options.takes_over


def test_without_a_set_what_the_field_manager_has_not_applied_is_spared_unless_it_may_be_adopted(cluster):
    cluster.add(config("theirs", "x", managedFields=[KUBECTL]))
    cluster.add_applied(config("ours", "x"))
    refused = reconcile(cluster, [config("theirs"), config("ours"), config("new")], adopt=False)
    assert "'podwright' has not applied must not be taken over: ConfigMap 'theirs' in namespace 'n'." in refused.error.message
    assert refused.error.reason == "ForeignObject" and not cluster.log
    assert actions(reconcile(cluster, [config("ours"), config("new")], adopt=False)) == [("patch", "ours", ""), ("create", "new", "")]
    removed = reconcile(cluster, [config("theirs"), config("ours")], "remove", adopt=False)
    assert ("none", "theirs", "kept: not ours, and adopt is false") in actions(removed)
    assert removed.error is None and sorted(cluster.objects) == [("ConfigMap", "n", "new"), ("ConfigMap", "n", "theirs")]
    assert actions(reconcile(cluster, [config("theirs")])) == [("patch", "theirs", "")]


# -- waves and errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [".", " (404 NotFound)"])
@pytest.mark.parametrize(("count", "more"), [(1, ""), (2, " 1 more object failed."), (3, " 2 more objects failed.")])
def test_first_error_of_a_wave_counts_the_others_and_later_waves_are_not_started(count, more, end, cluster):
    for number in range(count):
        cluster.answers["apply", "ConfigMap", f"c{number}"] = [PodwrightError(f"no {number}{end}", status=403, reason="Forbidden")]
    workload = manifest("Deployment", "later", "apps/v1")
    outcome = reconcile(cluster, [*(config(f"c{number}") for number in range(4)), workload])
    assert outcome.error.message == f"no 0{end}{'.' if more and end != '.' else ''}{more}"
    failed = [("none", f"c{number}", f"no {number}{end}") for number in range(count)]
    assert [entry[:2] for entry in actions(outcome)] == [*(entry[:2] for entry in failed), *(("create", f"c{n}") for n in range(count, 4))]
    assert [entry[2] for entry in actions(outcome)[1:count]] == [entry[2] for entry in failed[1:]]
    assert ("Deployment", "n", "later") not in cluster.objects and outcome.is_changed


@pytest.mark.parametrize("concurrency", [0, 1, 3])
def test_no_more_requests_at_once_than_the_option_says(concurrency, cluster):
    cluster.expected = max(concurrency, 1)
    checked(reconcile(cluster, [config(f"c{number}") for number in range(9)], concurrency=concurrency))
    assert cluster.busiest == max(concurrency, 1)


def test_internal_error_of_one_object_is_one_failed_object(cluster):
    cluster.answers["apply", "ConfigMap", "a"] = [ZeroDivisionError()]
    outcome = reconcile(cluster, [config("a"), config("b")])
    assert outcome.error.reason == "Unforeseen" and ("ConfigMap", "n", "b") in cluster.objects


def test_object_is_unchanged_if_the_server_changed_nothing(cluster):
    """A difference in notation that only the server knows; the request was needed to find out."""
    cluster.add(config("a"))
    outcome = checked(reconcile(cluster, [config("a")]))
    assert actions(outcome) == [("none", "a", "")] and not outcome.is_changed and cluster.verbs("apply")


def test_current_object_costs_no_write(cluster):
    cluster.add_applied(config("a"))
    assert actions(checked(reconcile(cluster, [config("a")]))) == [("none", "a", "")] and cluster.log == []


@pytest.mark.parametrize("check_mode", [False, True])
def test_outcome_has_plans_in_check_mode_and_what_was_done_otherwise(check_mode, cluster):
    cluster.add_applied(config("same"))
    cluster.add(config("changed", "old"))
    cluster.add(config("gone"))
    options = {"check_mode": check_mode, "wait": False}
    outcomes = [reconcile(cluster, [config("same"), config("changed"), config("new")], **options), reconcile(cluster, [config("gone")], "remove", **options)]
    changes = [change for outcome in outcomes for change in checked(outcome).changes]
    assert [change.action for change in changes] == ["none", "patch", "create", "delete"]
    assert {type(change) for change in changes} == {Change if check_mode else Applied}


# -- check mode -------------------------------------------------------------------------------------------------


def test_check_mode_writes_nothing_and_waits_for_nothing(cluster):
    cluster.add(config("changed"))
    before = copy.deepcopy(cluster.objects)
    cluster.lingers = 5
    outcome = checked(reconcile(cluster, [config("changed", "new"), config("new"), manifest("Namespace", "space", namespace=None)], check_mode=True))
    assert actions(outcome) == [("create", "space", ""), ("patch", "changed", ""), ("create", "new", "")]
    outcome = checked(reconcile(cluster, [config("changed")], "remove", check_mode=True))
    assert actions(outcome) == [("delete", "changed", "")]
    assert cluster.objects == before and cluster.writes == [] and cluster.clock.time == 0
    assert cluster.verbs("try", "apply", "delete") == [("try", "Namespace", "space"), ("try", "ConfigMap", "changed"), ("try", "ConfigMap", "new"),
                                                       ("delete", "ConfigMap", "changed")]  # fmt: skip


def test_predicted_patch_is_the_difference_to_the_servers_answer(cluster):
    cluster.add(config("a") | {"data": {"k": "old", "theirs": "kept"}})
    (change,) = checked(reconcile(cluster, [config("a")], check_mode=True)).changes
    assert change.after["data"] == {"k": "v"}, "the cluster in memory replaces fields as a whole, which the local prediction does not"
    assert {(entry["op"], entry["path"]) for entry in change.patch} == {("replace", "/data/k"), ("remove", "/data/theirs")}


def test_predicted_creation_shows_the_manifest_as_its_patch_and_the_servers_answer_as_the_object(cluster):
    (change,) = checked(reconcile(cluster, [config("a")], check_mode=True)).changes
    assert change.after["metadata"]["uid"] and change.after["data"] == config("a")["data"]
    assert change.patch == [{"op": "add", "path": "", "value": config("a")}]


# How the API server refuses a pod that refers to an object which the run, or a task before it, creates.
MISSING = {
    'error looking up service account n/runner: serviceaccount "runner" not found': "service account",
    "no PriorityClass with name high was found": "priority class",
    'pod rejected: RuntimeClass "sandbox" not found': "runtime class",
}


@pytest.mark.parametrize(
    ("error", "action", "note"),
    [
        (PodwrightError("no", status=404, reason="NotFound"), "create", "predicted locally: its namespace or definition does not exist yet"),
        (PodwrightError("no", status=404, reason=UNKNOWN_KIND), "create", "predicted locally: its namespace or definition does not exist yet"),
        (PodwrightError("webhook x does not support dry run", status=400), "create", "predicted locally: a webhook does not support dry run"),
        *(
            (PodwrightError(f'pods "a" is forbidden: {text}', status=403, reason="Forbidden"), "create", f"predicted locally: its {what} does not exist yet")
            for text, what in MISSING.items()
        ),
    ],
)
def test_prediction_without_an_answer_says_why(error, action, note, cluster):
    cluster.answers["try", "ConfigMap", "a"] = [error]
    assert actions(checked(reconcile(cluster, [config("a")], check_mode=True))) == [(action, "a", note)]


@pytest.mark.parametrize("error", [PodwrightError("denied", status=403, reason="Forbidden"), PodwrightError("no answer", reason="ConnectionLost")])
def test_prediction_that_is_refused_is_an_error(error, cluster):
    cluster.add(config("a", "old"))
    cluster.answers["try", "ConfigMap", "a"] = [error]
    outcome = reconcile(cluster, [config("a")], check_mode=True)
    assert outcome.error is error and actions(outcome) == [("none", "a", str(error))]


@pytest.mark.parametrize("on_immutable", ["fail", "replace"])
def test_predicted_replacement(on_immutable, cluster):
    cluster.add(config("a", "old"))
    cluster.answers["try", "ConfigMap", "a"] = [IMMUTABLE]
    outcome = reconcile(cluster, [config("a")], check_mode=True, on_immutable=on_immutable)
    assert cluster.writes == []
    if on_immutable == "replace":
        assert actions(checked(outcome)) == [("replace", "a", "immutable: spec.selector")]
    else:
        assert outcome.error.reason == "Immutable" and not outcome.is_changed


def test_predicted_replacement_is_what_the_run_does(cluster):
    """The new object has neither what others have set nor what a Service was assigned; a default that nobody has set stays."""
    theirs = {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:note": {}}}, "f:spec": {"f:type": {}}}}
    ours = {"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:spec": {"f:selector": {"f:app": {}}, "f:externalName": {}}}}
    spec = {"type": "NodePort", "selector": {"app": "a"}, "externalName": "x", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "sessionAffinity": "None"}
    port = {"port": 80, "protocol": "TCP", "targetPort": 80}
    live = manifest("Service", spec=spec | {"ports": [port | {"nodePort": 30080}]})
    desired = manifest("Service", spec={"selector": {"app": "b"}, "ports": [{"port": 80}]})
    patches = []
    for request, check_mode in (("try", True), ("apply", False)):
        cluster.add(live, annotations={"note": "x"}, managedFields=[theirs, ours])
        cluster.answers[request, "Service", "a"] = [IMMUTABLE]
        (change,) = checked(reconcile(cluster, [desired], on_immutable="replace", wait=False, check_mode=check_mode)).changes
        assert change.action == "replace" and "annotations" not in change.after["metadata"]
        patches.append({(entry["op"], entry["path"], entry.get("value")) for entry in change.patch})
    # Of an API server: the cluster in memory has none.
    defaults = {("remove", path, None) for path in ("/spec/sessionAffinity", "/spec/ports/0/protocol", "/spec/ports/0/targetPort")}
    assert patches[0] == patches[1] - defaults and defaults < patches[1]
    lost = ("/metadata/annotations", "/spec/type", "/spec/externalName", "/spec/clusterIP", "/spec/clusterIPs", "/spec/ports/0/nodePort")
    assert patches[0] == {*(("remove", path, None) for path in lost), ("replace", "/spec/selector/app", "b")}


# -- writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conflicts", ["take", "fail"])
def test_fields_are_taken_from_other_managers_only_if_conflicts_says_so(conflicts, cluster):
    cluster.add_applied(config("a", "old"))
    apply = FakeCluster.apply

    def apply_and_keep(self, *arguments, **options):
        item = apply(self, *arguments, **options)
        item["metadata"] |= {"managedFields": [KUBECTL, *item["metadata"]["managedFields"]], "resourceVersion": "2", "namespace": "n", "name": "a"}
        return item

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeCluster, "apply", apply_and_keep)
        outcome = checked(reconcile(cluster, [config("a")], conflicts=conflicts))
    assert [entry[3:] for entry in cluster.log if entry[0] == "apply"] == [("podwright", conflicts == "take")]
    patched = [[entry["manager"] for entry in line[3]] for line in cluster.log if line[0] == "patch"]
    assert patched == ([["podwright"]] if conflicts == "take" else [])
    managers = [entry["manager"] for entry in outcome.changes[0].after["metadata"]["managedFields"]]
    assert managers == (["podwright"] if conflicts == "take" else ["kubectl", "podwright"])


@pytest.mark.parametrize("was_ours", [False, True])
def test_first_apply_takes_an_object_from_another_applier_and_later_ones_share_it(was_ours, cluster):
    argo = {"manager": "argocd", "operation": "Apply", "fieldsV1": {"f:data": {"f:k": {}}}}
    ours = {"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:data": {"f:k": {}}}}
    cluster.add(config("a", "old"), managedFields=[argo, *([ours] if was_ours else [])])
    apply = FakeCluster.apply

    def apply_and_keep(self, *arguments, **options):
        return apply(self, *arguments, **options) | {"metadata": {"name": "a", "namespace": "n", "resourceVersion": "2", "managedFields": [argo, ours]}}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeCluster, "apply", apply_and_keep)
        checked(reconcile(cluster, [config("a")], wait=False))
    assert bool(cluster.verbs("patch")) == (not was_ours)


def workload(**spec):
    return manifest("Deployment", "a", "apps/v1", spec=spec)


@pytest.mark.parametrize(
    ("ours", "wanted", "handed"),
    [
        ({"f:replicas": {}, "f:paused": {}}, {"replicas": 2, "paused": True}, [5]),  # an autoscaler scales it from now on
        ({"f:replicas": {}, "f:paused": {}}, {"paused": True}, [5]),  # the manifest leaves them to others
        ({"f:paused": {}}, {"replicas": 2, "paused": True}, []),
    ],
)
def test_replicas_that_are_no_longer_applied_keep_their_number(ours, wanted, handed, cluster):
    """The API server resets a field that loses its only owner to its default, which is one replica."""
    entry = {"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:spec": ours}}
    is_autoscaled = {"annotations": {AUTOSCALED: "true"}} if "replicas" in wanted else {}
    cluster.add(workload(replicas=5, paused=False), managedFields=[entry], **is_autoscaled)
    bodies = []
    apply = FakeCluster.apply

    def keep(self, kind, namespace, name, body, manager, *rest):
        bodies.append((manager, body))
        return apply(self, kind, namespace, name, body, manager, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeCluster, "apply", keep)
        checked(reconcile(cluster, [workload(**wanted)], wait=False))
    assert [body["spec"]["replicas"] for manager, body in bodies if manager == HANDOVER] == handed
    assert bodies[-1][0] == "podwright" and bodies[-1][1]["spec"] == {"paused": True} and len(bodies) == len(handed) + 1
    assert all(body["kind"] == "Deployment" and body["metadata"]["name"] == "a" for _manager, body in bodies)


@pytest.mark.parametrize(("spec", "updated", "is_warned"), [({}, 0, True), ({"paused": True}, 0, False), ({}, 2, False)])
def test_rollout_that_somebody_has_paused_is_reported(spec, updated, is_warned, cluster):
    owned = [{"manager": "podwright", "operation": "Apply", "fieldsV1": managed({"spec": {"replicas": 2} | spec})}]
    live = cluster.add(workload(replicas=2, paused=True), generation=1, annotations={KUBERNETES_REVISION: "1"}, managedFields=owned)
    live["status"] = {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": updated}
    console = Console()
    checked(reconcile(cluster, [workload(replicas=2, **spec)], console=console))
    said = ["Deployment 'a' in namespace 'n' is paused: its pods keep the earlier template until its rollout is resumed."]
    assert console.warnings == (said if is_warned else [])


def test_replicas_in_the_manifest_are_applied(cluster):
    cluster.add_applied(workload(replicas=5))
    checked(reconcile(cluster, [workload(replicas=2)], wait=False))
    assert [entry[3] for entry in cluster.log] == ["podwright"]


@pytest.mark.parametrize(("autoscaler", "is_created"), [("live", False), ("desired", False), ("live", True)])
def test_replicas_are_left_to_an_autoscaler_of_that_object_only(autoscaler, is_created, cluster):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}
    scaler = manifest("HorizontalPodAutoscaler", "scaler", "autoscaling/v2", spec={"scaleTargetRef": target})
    if autoscaler == "live":
        cluster.add(scaler)
    if not is_created:
        cluster.add(workload(replicas=5))
    others = [workload(replicas=2) | {"metadata": {"name": "b", "namespace": "n"}}, workload(replicas=2) | {"metadata": {"name": "a", "namespace": "m"}}]
    desired = [workload(replicas=2), *others, *([scaler] if autoscaler == "desired" else [])]
    outcome = checked(reconcile(cluster, desired, wait=False))
    applied = {(c.key.namespace, c.key.name): c.desired["spec"] for c in outcome.changes if c.key.kind == "Deployment"}
    assert applied == {("n", "a"): {"replicas": 2} if is_created else {}, ("n", "b"): {"replicas": 2}, ("m", "a"): {"replicas": 2}}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(("written", "number"), [({"replicas": 4}, 7), ({}, 7), ({"replicas": 4}, 0)])
def test_object_that_is_created_again_starts_with_the_replicas_of_its_autoscaler(written, number, check_mode, cluster):
    """The default of one replica would be an outage until the autoscaler has caught up."""
    cluster.add(workload(replicas=number), annotations={AUTOSCALED: "true"})
    cluster.answers["try" if check_mode else "apply", "Deployment", "a"] = [IMMUTABLE]
    (change,) = checked(reconcile(cluster, [workload(**written)], on_immutable="replace", wait=False, check_mode=check_mode)).changes
    assert (change.action, change.after["spec"]["replicas"]) == ("replace", number)


@pytest.mark.parametrize(("written", "live", "number"), [({"replicas": 4}, 7, 7), ({}, 7, 7), ({"replicas": 4}, 0, 4), ({}, 0, None)])
def test_object_that_is_being_deleted_leaves_its_replicas_to_the_next_one(written, live, number, cluster):
    cluster.add(workload(replicas=live), annotations={AUTOSCALED: "true"}, deletionTimestamp="2026-01-01T00:00:00Z")
    cluster.later.append((1, lambda: cluster.vanish("Deployment", "n", "a")))
    (change,) = checked(reconcile(cluster, [workload(**written)], wait=False)).changes
    assert (change.action, change.after["spec"].get("replicas")) == ("create", number)


EXCLUDED = "may not be specified when strategy `type` is 'Recreate'"


def alternative(field):
    return PodwrightError("it is invalid", status=422, reason="Invalid", causes=[{"field": field, "message": f"Forbidden: {EXCLUDED}", "reason": ""}])


@pytest.mark.parametrize("conflicts", ["take", "fail"])
def test_a_field_that_excludes_a_desired_one_is_claimed_and_so_removed(conflicts, cluster):
    """An apply removes neither the rollingUpdate that the API server set, which no field manager owns, nor that of another manager."""
    live = workload(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, paused=True)
    desired = workload(strategy={"type": "Recreate"}, paused=True)
    theirs = {
        "manager": "kubectl-create",
        "operation": "Update",
        "fieldsV1": {"f:spec": {"f:replicas": {}, "f:strategy": {"f:rollingUpdate": {"f:maxSurge": {}}}}},
    }
    cluster.add(live, managedFields=[{"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:spec": {"f:paused": {}}}}, theirs])
    for verb in ("try", "apply"):
        cluster.answers[verb, "Deployment", "a"] = [alternative("spec.strategy.rollingUpdate")]
    predicted = reconcile(cluster, [desired], check_mode=True, wait=False, conflicts=conflicts)
    cluster.answers["patch", "Deployment", "a"] = [None, PodwrightError("changed", status=409)]
    done = reconcile(cluster, [desired], wait=False, conflicts=conflicts)
    if conflicts == "fail":
        for error in (predicted.error, done.error):
            assert "spec.strategy.rollingUpdate (of 'kubectl-create')" in error.message and "Set conflicts to take" in error.hint
        assert not cluster.verbs("patch")
        return
    (expected,), (change,) = checked(predicted).changes, checked(done).changes
    assert expected.patch == change.patch and change.after["spec"] == desired["spec"]
    # Nothing but owners changes before the API server, which knows them all, changes the rest.
    assert [entry[0] for entry in cluster.log] == ["try", "patch", "apply", "patch", "patch", "patch", "apply"]
    others, own = cluster.log[5][3]
    assert others == theirs | {"fieldsV1": {"f:spec": {"f:replicas": {}}}}
    assert own["manager"] == "podwright" and own["fieldsV1"] == {"f:spec": {"f:paused": {}, "f:strategy": {"f:rollingUpdate": {}}}}


@pytest.mark.parametrize(("is_valid", "begin"), [(True, "As a new object it would be accepted. "), (False, "")])
def test_a_refusal_because_of_fields_that_the_manifest_does_not_contain_says_so(is_valid, begin, cluster):
    cluster.add(workload(paused=False))
    refusal = PodwrightError("it is invalid", status=422, reason="Invalid", causes=[{"field": "spec.x", "message": "Forbidden: y", "reason": ""}])
    cluster.answers = {("apply", "Deployment", "a"): [refusal], ("create", "Deployment", "a"): [] if is_valid else [copy.copy(refusal)]}
    error = reconcile(cluster, [workload(paused=True)], wait=False).error
    assert error.status == 422 and error.hint.startswith(begin) and bool(error.hint) == is_valid


@pytest.mark.parametrize("dropped", [["serviceAccountName"], ["serviceAccount"], ["serviceAccount", "serviceAccountName"]])
def test_the_other_name_of_a_dropped_field_is_claimed_before_it_is_dropped(dropped, cluster):
    """From it, the API server would restore the field: the pods would keep their rights."""
    live = workload(template={"spec": {"serviceAccountName": "builder", "serviceAccount": "builder"}})
    tree = {"f:spec": {"f:template": {"f:spec": {f"f:{name}": {} for name in dropped}}}}
    cluster.add(live, managedFields=[{"manager": "podwright", "operation": "Apply", "fieldsV1": tree}])
    desired = workload(template={"spec": {}})
    (expected,) = checked(reconcile(cluster, [desired], check_mode=True, wait=False)).changes
    (change,) = checked(reconcile(cluster, [desired], wait=False)).changes
    assert {operation["path"].rpartition("/")[2] for operation in expected.patch} == {"serviceAccountName", "serviceAccount"}
    assert expected.patch == change.patch and [entry[0] for entry in cluster.log] == ["try", "patch", "patch", "apply"]
    assert cluster.log[2][3][0]["fieldsV1"]["f:spec"]["f:template"]["f:spec"] == {"f:serviceAccountName": {}, "f:serviceAccount": {}}
    cluster.log.clear()
    checked(reconcile(cluster, [workload(template={"spec": {"serviceAccountName": "other"}})], wait=False))
    assert [entry[0] for entry in cluster.log] == ["apply"]


def test_owners_do_not_change_for_a_change_that_is_refused(cluster):
    cluster.add(workload(strategy={"type": "RollingUpdate", "rollingUpdate": {}}))
    denied = PodwrightError("denied by a policy", status=403, reason="Forbidden")
    cluster.answers = {("apply", "Deployment", "a"): [alternative("spec.strategy.rollingUpdate")], ("patch", "Deployment", "a"): [denied]}
    done = reconcile(cluster, [workload(strategy={"type": "Recreate"})], wait=False)
    assert done.error is denied and [entry[0] for entry in cluster.log] == ["apply", "patch"]


@pytest.mark.parametrize(("status", "is_final"), [(422, False), (500, True), (None, True)])
def test_an_alias_is_not_left_because_a_dry_run_failed(status, is_final, cluster):
    """The next run would not know that the field was dropped."""
    tree = {"f:spec": {"f:template": {"f:spec": {"f:serviceAccountName": {}}}}}
    live = workload(template={"spec": {"serviceAccountName": "builder", "serviceAccount": "builder"}})
    cluster.add(live, managedFields=[{"manager": "podwright", "operation": "Apply", "fieldsV1": tree}])
    cluster.answers["patch", "Deployment", "a"] = [PodwrightError("failed", status=status)]
    done = reconcile(cluster, [workload(template={"spec": {}})], wait=False)
    assert bool(done.error) == is_final and [entry[0] for entry in cluster.log] == (["patch"] if is_final else ["patch", "apply"])


@pytest.mark.parametrize("template", [5, {"spec": 5}, {"spec": True}, "x"])
def test_a_template_of_another_type_is_refused_by_the_api_server(template, cluster):
    tree = {"f:spec": {"f:template": {"f:spec": {"f:serviceAccountName": {}}}}}
    cluster.add(
        workload(template={"spec": {"serviceAccountName": "b", "serviceAccount": "b"}}),
        managedFields=[{"manager": "podwright", "operation": "Apply", "fieldsV1": tree}],
    )
    cluster.answers["apply", "Deployment", "a"] = [PodwrightError("expected map", status=500)]
    assert reconcile(cluster, [workload(template=template)], wait=False).error.message == "expected map"


@pytest.mark.parametrize("theirs", ["serviceAccountName", "serviceAccount"])
def test_a_field_that_another_applier_owns_keeps_its_other_name(theirs, cluster):
    trees = {manager: {"f:spec": {"f:template": {"f:spec": {f"f:{name}": {}}}}} for manager, name in (("podwright", "serviceAccountName"), ("argocd", theirs))}
    live = workload(template={"spec": {"serviceAccountName": "builder", "serviceAccount": "builder"}})
    cluster.add(live, managedFields=[{"manager": name, "operation": "Apply", "fieldsV1": tree} for name, tree in trees.items()])
    checked(reconcile(cluster, [workload(template={"spec": {}})], wait=False))
    assert [entry[0] for entry in cluster.log] == ["apply"]


ROLLING = {"type": "RollingUpdate", "rollingUpdate": {}}
RECREATE = {"strategy": {"type": "Recreate"}}, {"strategy": ROLLING}


def pod(container, **spec):
    return {"template": {"spec": {"containers": [{"name": "c"} | container]} | spec}}


CONVERTED = {"conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"caBundle": "Y2E="}}}}
NO_WEBHOOK = "Forbidden: should not be set when strategy is not set to Webhook"


@pytest.mark.parametrize(
    ("kind", "specs", "messages", "excluded"),
    [
        ("Deployment", RECREATE, [EXCLUDED], ["strategy/rollingUpdate"]),
        ("Deployment", RECREATE, [EXCLUDED, "must be greater than 0"], []),
        ("Deployment", RECREATE, [], []),
        ("Deployment", ({"strategy": {}}, {"strategy": ROLLING}), [EXCLUDED], []),
        (
            "Deployment",  # what the manifest does not choose is left to its owner
            (
                pod({"livenessProbe": {"periodSeconds": 5}, "env": [{"name": "B", "value": "x"}]}) | {"strategy": {"type": "RollingUpdate"}},
                pod({"livenessProbe": {"exec": {}}, "env": [{"name": "B", "valueFrom": {}}]}) | {"strategy": ROLLING},
            ),
            ["may not be specified when `value` is not empty"],
            ["template/spec/containers/0/env/0/valueFrom"],
        ),
        (
            "StatefulSet",
            ({"updateStrategy": {"type": "OnDelete"}}, {"updateStrategy": ROLLING}),
            ["only allowed for updateStrategy 'RollingUpdate'"],
            ["updateStrategy/rollingUpdate"],
        ),
        ("StatefulSet", ({"updateStrategy": {"rollingUpdate": {}}}, {"updateStrategy": {"type": "OnDelete"}}), [EXCLUDED], ["updateStrategy/type"]),
        ("CustomResourceDefinition", ({"conversion": {"strategy": "None"}}, CONVERTED), [NO_WEBHOOK], ["conversion/webhook"]),
        ("CustomResourceDefinition", ({"conversion": {"strategy": "Webhook"}}, CONVERTED), [NO_WEBHOOK], []),
        ("CustomResourceDefinition", ({"conversion": {"strategy": "None", "webhook": {}}}, CONVERTED), [NO_WEBHOOK], []),
        ("Ingress", ({"defaultBackend": {"resource": {}}}, {"defaultBackend": {"service": {}}}), ["cannot set both resource and"], ["defaultBackend/service"]),
        (
            "PodDisruptionBudget",
            ({"maxUnavailable": 1}, {"minAvailable": 1, "selector": {}}),
            ["minAvailable and maxUnavailable cannot be both set"],
            ["minAvailable"],
        ),
        (
            "Job",
            (
                pod({"livenessProbe": {"exec": {}}, "env": [{"name": "B", "value": "x"}]}, volumes=[{"name": "b", "secret": {}}, {"name": "c"}]),
                pod(
                    {"livenessProbe": {"grpc": {}, "periodSeconds": 5}, "env": [{"name": "A"}, {"name": "B", "valueFrom": {}}]},
                    volumes=[{"name": "a"}, {"name": "b", "emptyDir": {}}],
                ),
            ),
            ["may not specify more than 1 volume type", "may not be specified when `value` is not empty", "may not specify more than 1 handler type"],
            ["template/spec/containers/0/env/1/valueFrom", "template/spec/containers/0/livenessProbe/grpc", "template/spec/volumes/1/emptyDir"],
        ),
    ],
)
def test_only_what_desired_fields_exclude_is_found(kind, specs, messages, excluded):
    desired, live = specs
    refusal = PodwrightError("no", status=422, causes=[{"field": "", "message": message, "reason": ""} for message in messages])
    kinds = {name: found for (_version, name), found in BUILT_IN.items()}
    paths = excluded_fields(kinds[kind], manifest(kind, api_version=kinds[kind].api_version, spec=desired), {"spec": live}, {}, refusal)
    assert sorted("/".join(map(str, path)) for path in paths) == [f"spec/{path}" for path in excluded]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("conversion", [{"conversion": {"strategy": "None"}}, {}])
def test_a_removed_conversion_takes_the_certificate_of_another_manager_with_it(conversion, check_mode, cluster):
    given = definition()
    webhook = {"clientConfig": {"service": {"name": "w"}}, "conversionReviewVersions": ["v1"]}
    before = given | {"spec": given["spec"] | {"conversion": {"strategy": "Webhook", "webhook": webhook}}}
    cluster.add_applied(before | {"status": {"conditions": [{"type": "Established", "status": "True"}]}})
    live = cluster.objects["CustomResourceDefinition", None, given["metadata"]["name"]]
    live["spec"]["conversion"]["webhook"] = webhook | {"clientConfig": webhook["clientConfig"] | {"caBundle": "Y2E="}}
    causes = [{"field": "spec.conversion.webhookClientConfig", "message": NO_WEBHOOK, "reason": ""}]
    refusal = PodwrightError("no", status=422, reason="Invalid", causes=causes)
    cluster.answers["try" if check_mode else "apply", "CustomResourceDefinition", given["metadata"]["name"]] = [refusal, None]
    outcome = reconcile(cluster, [given | {"spec": given["spec"] | conversion}], check_mode=check_mode)
    assert outcome.error is None and "webhook" not in outcome.objects[0]["spec"].get("conversion", {})


@pytest.mark.parametrize(("field", "is_about_them"), [("spec.containers[0].volumeMounts[0].name", True), ("spec.containers[0].image", False)])
def test_a_mount_of_a_volume_with_two_sources_does_not_hide_the_cause(field, is_about_them):
    causes = [("spec.volumes[0].configMap", "Forbidden: may not specify more than 1 volume type"), (field, 'Not found: "v"')]
    refusal = PodwrightError("no", status=422, causes=[{"field": path, "message": message, "reason": ""} for path, message in causes])
    desired = manifest("Pod", spec={"volumes": [{"name": "v", "configMap": {"name": "c"}}]})
    live = {"metadata": {}, "spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    assert bool(excluded_fields(BUILT_IN["v1", "Pod"], desired, live, {}, refusal)) == is_about_them


@pytest.mark.parametrize(("fields", "removed"), [(["livenessProbe.httpGet.port"], [1, 2]), (["livenessProbe.httpGet.port", "image"], []), ([], [])])
def test_what_is_left_of_a_dropped_field_is_removed_if_it_is_not_valid(fields, removed):
    """The tool that created the object owns the defaults in it, such as the scheme and period of a probe."""
    ours = {".": {}, "f:name": {}, "f:livenessProbe": {"f:httpGet": {"f:port": {}}}}
    tree = {"f:spec": {"f:template": {"f:spec": {"f:containers": {json.dumps({"name": name}).join(("k:", "")): ours for name in "cd"}}}}}
    probe = {"httpGet": {"port": 80, "scheme": "HTTP"}, "periodSeconds": 10}
    live = pod({}, containers=[{"name": "proxy"}, *({"name": name, "livenessProbe": probe} for name in "cd")])
    desired = manifest("Deployment", api_version="apps/v1", spec=pod({}, containers=[{"name": "c"}, {"name": "d"}]))
    causes = [{"field": f"spec.template.spec.containers[0].{field}", "message": "Required value", "reason": ""} for field in fields]
    refusal = PodwrightError("no", status=422, causes=causes)
    paths = excluded_fields(BUILT_IN["apps/v1", "Deployment"], desired, {"metadata": {}, "spec": live}, tree, refusal)
    assert paths == [["spec", "template", "spec", "containers", index, "livenessProbe"] for index in removed]


WEB, WEB_81 = {"name": "web", "port": 80, "protocol": "TCP"}, {"name": "web", "port": 81, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("wanted", "live", "message", "excluded"),
    [
        ([{"name": "web", "port": 80}], [WEB_81], "Duplicate value", [0]),
        ([{"name": "web", "port": 80}], [{"name": "x", "port": 99}, WEB, WEB_81], "Duplicate value", [2]),
        ([{"name": "web", "port": 80}], [WEB | {"protocol": "UDP"}], "Duplicate value", [0]),
        ([{"name": "a", "port": 80, "nodePort": 30080}], [WEB_81 | {"nodePort": 30080}], "Duplicate value", [0]),
        ([{"port": 80}], [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}], "Required value", [1]),
        ([{"name": "web", "port": 80}], [{"port": 81, "protocol": "TCP"}, {"name": "x", "port": 99}], "Required value", [0]),
        ([{"name": "web", "port": 80}, {"name": "web", "port": 82}], [WEB], "Duplicate value", []),
        ([{"name": "web", "port": 80}], [WEB_81], "Invalid value", []),
    ],
)
def test_a_port_that_others_made_of_a_desired_one_is_excluded_by_it(wanted, live, message, excluded):
    cause = {"field": "spec.ports[1].name", "message": message, "reason": ""}
    refusal = PodwrightError("no", status=422, causes=[cause])
    paths = excluded_fields(BUILT_IN["v1", "Service"], manifest("Service", spec={"ports": wanted}), {"spec": {"ports": live}}, {}, refusal)
    assert paths == [["spec", "ports", index] for index in excluded]


def test_a_container_port_that_others_changed_is_excluded_and_claimed():
    ports = [{"name": "http", "containerPort": 81, "protocol": "TCP"}]
    live = manifest("Pod", spec={"containers": [{"name": "c", "ports": ports}]})
    desired = manifest("Pod", spec={"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 80}]}]})
    cause = {"field": "spec.containers[0].ports[1].name", "message": 'Duplicate value: "http"', "reason": ""}
    paths = excluded_fields(BUILT_IN["v1", "Pod"], desired, live, {}, PodwrightError("no", status=422, causes=[cause]))
    assert paths == [["spec", "containers", 0, "ports", 0]]
    assert steps_of(paths[0], live) == ["f:spec", "f:containers", 'k:{"name":"c"}', "f:ports", 'k:{"containerPort":81,"protocol":"TCP"}']


# -- replacing and deleting -------------------------------------------------------------------------------------


def test_replacement_waits_until_the_object_and_its_dependents_are_gone(cluster):
    cluster.add(config("a", "old"))
    cluster.lingers, cluster.answers["apply", "ConfigMap", "a"] = 5, [IMMUTABLE]
    outcome = checked(reconcile(cluster, [config("a")], on_immutable="replace", grace_period=3))
    assert actions(outcome) == [("replace", "a", "immutable: spec.selector")]
    assert [entry[:1] + entry[3:] for entry in cluster.log if entry[0] in ("delete", "gone", "apply")] == [
        ("apply", "podwright", True), ("delete", "uid-a", "Foreground", 3, False), ("gone",), ("apply", "podwright", True)
    ]  # fmt: skip
    (change,) = outcome.changes
    assert change.after["metadata"]["uid"] != "uid-a" and change.after["data"] == {"k": "v"}


@pytest.mark.parametrize("propagation", ["Background", "Orphan"])
def test_replacement_deletes_with_the_propagation_policy_of_the_user(propagation, cluster):
    cluster.add(config("a", "old"))
    cluster.answers["apply", "ConfigMap", "a"] = [IMMUTABLE]
    outcome = checked(reconcile(cluster, [config("a")], on_immutable="replace", propagation=propagation, delete_uid="uid-a", delete_version="1"))
    assert [entry[4] for entry in cluster.log if entry[0] == "delete"] == [propagation] and outcome.changes[0].action == "replace"


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("option", ["delete_uid", "delete_version"])
def test_an_object_other_than_that_of_the_preconditions_is_not_replaced(option, check_mode, cluster):
    cluster.add(config("a", "old"))
    cluster.answers["try" if check_mode else "apply", "ConfigMap", "a"] = [IMMUTABLE]
    outcome = reconcile(cluster, [config("a")], on_immutable="replace", check_mode=check_mode, **{option: "other"})
    assert outcome.error.message.startswith("ConfigMap 'a' in namespace 'n' is not deleted: delete_options.preconditions.")
    assert cluster.verbs("delete") == [] and not outcome.is_changed


@pytest.mark.parametrize("why", ["refused", "finalizer"])
def test_replacement_that_stops_half_way_says_that_the_object_was_deleted(why, cluster):
    cluster.add(config("a", "old"))
    cluster.answers["apply", "ConfigMap", "a"] = [IMMUTABLE, PodwrightError("quota.", status=403, reason="Forbidden")]
    cluster.lingers = 0 if why == "refused" else 100
    outcome = reconcile(cluster, [config("a")], on_immutable="replace")
    assert outcome.error.message.startswith("ConfigMap 'a' in namespace 'n' was deleted to be replaced, and has not been created again. ")
    assert outcome.error.hint and [entry[:2] for entry in actions(outcome)] == [("delete", "a")] and outcome.is_changed and outcome.objects == []


@pytest.mark.parametrize("propagation", ["Background", "Orphan"])
def test_object_is_deleted_as_it_was_seen(propagation, cluster):
    cluster.add(config("a"))
    outcome = checked(reconcile(cluster, [config("a"), config("b")], "remove", propagation=propagation, grace_period=7))
    assert cluster.log == [("delete", "ConfigMap", "a", "uid-a", propagation, 7, False)]
    assert [entry[:2] for entry in actions(outcome)] == [("delete", "a"), ("none", "b")] and outcome.objects == []


def test_object_that_another_client_deletes_first_is_no_change(cluster):
    cluster.add(config("a"))
    cluster.delete = lambda *arguments, **options: False
    assert actions(reconcile(cluster, [config("a")], "remove")) == [("none", "a", "it does not exist any more")]


def test_deletions_are_complete_before_the_next_wave(cluster):
    """A namespace or definition that is deleted first would delete the objects without their own rules."""
    cluster.add(manifest("Deployment", "web", "apps/v1"))
    cluster.add(config("a"))
    cluster.lingers = 5
    checked(reconcile(cluster, [config("a"), manifest("Deployment", "web", "apps/v1")], "remove"))
    assert [entry[:3] for entry in cluster.log] == [
        ("delete", "Deployment", "web"), ("gone", "Deployment", "web"), ("delete", "ConfigMap", "a"), ("gone", "ConfigMap", "a")
    ]  # fmt: skip
    assert cluster.clock.time == 10


def test_deletions_are_not_awaited_if_wait_is_false(cluster):
    cluster.add(config("a"))
    cluster.lingers = 5
    checked(reconcile(cluster, [config("a")], "remove", wait=False))
    assert cluster.clock.time == 0


def test_deletion_that_began_before_is_awaited_and_is_no_change(cluster):
    cluster.add(config("a"), deletionTimestamp="2026-01-01T00:00:00Z")
    cluster.later.append((4, lambda: cluster.vanish("ConfigMap", "n", "a")))
    outcome = checked(reconcile(cluster, [config("a")], "remove"))
    assert actions(outcome) == [("none", "a", "it is being deleted already")] and cluster.clock.time == 4 and not outcome.is_changed


def test_deletion_that_does_not_complete_is_an_error_and_a_change(cluster):
    cluster.add(config("a", finalizers=["example.com/keep"]))
    cluster.lingers = 100
    outcome = reconcile(cluster, [config("a")], "remove")
    assert "example.com/keep" in outcome.error.message and cluster.clock.time == 20 and outcome.is_changed


def test_name_of_an_object_that_is_being_deleted_is_awaited(cluster):
    cluster.add(config("a", "old"), deletionTimestamp="2026-01-01T00:00:00Z")
    cluster.later.append((4, lambda: cluster.vanish("ConfigMap", "n", "a")))
    outcome = checked(reconcile(cluster, [config("a")]))
    assert actions(outcome) == [("create", "a", "")] and [entry[0] for entry in cluster.log] == ["gone", "apply"]


# -- waiting ----------------------------------------------------------------------------------------------------


def definition():
    names = {"kind": "Gadget", "plural": "gadgets"}
    spec = {"group": "example.com", "names": names, "scope": "Namespaced", "versions": [{"name": "v1"}]}
    return manifest("CustomResourceDefinition", "gadgets.example.com", "apiextensions.k8s.io/v1", namespace=None, spec=spec)


@pytest.mark.parametrize("wait_option", [False, True])
def test_definition_is_served_before_its_objects_are_applied(wait_option, cluster):
    key = ("CustomResourceDefinition", None, "gadgets.example.com")

    def establish():
        cluster.objects[key]["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        cluster.log.append(("established",))
        cluster.events.append(("MODIFIED", cluster.objects[key]))

    cluster.later.append((3, establish))
    checked(reconcile(cluster, [manifest("Gadget", "g", "example.com/v1"), definition()], wait=wait_option))
    assert [entry[0] for entry in cluster.log] == ["apply", "established", "apply"]


MISMATCH = PodwrightError("failed to create typed patch object (n/g; example.com/v1, Kind=Gadget): .spec.new: field not declared in schema", status=500)
TERMINATING = PodwrightError("create not allowed while custom resource definition is terminating", status=403, reason="Forbidden")
INVALID = PodwrightError("spec.new: Unsupported value", status=422, reason="Invalid")


def add_definition(cluster, *versions):
    """Store a definition that podwright applied and that serves these versions; a manifest with other ones changes it."""
    served = definition()
    served["spec"]["versions"] = [{"name": version} for version in versions]
    cluster.add_applied(served | {"status": {"conditions": [{"type": "Established", "status": "True"}]}})


def establish_later(cluster):
    """Let the API server serve a definition a second after it was created."""

    def establish():
        stored = cluster.objects["CustomResourceDefinition", None, "gadgets.example.com"]
        stored["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        cluster.events.append(("MODIFIED", stored))

    cluster.later.append((1, establish))


@pytest.mark.parametrize("error", [MISMATCH, INVALID])
@pytest.mark.parametrize("is_changed", [False, True])
def test_a_refusal_by_the_former_schema_of_a_changed_definition_is_predicted_locally(is_changed, error, cluster):
    add_definition(cluster, *(["v1", "old"] if is_changed else ["v1"]))
    cluster.answers["try", "Gadget", "g"] = [error]
    outcome = reconcile(cluster, [definition(), manifest("Gadget", "g", "example.com/v1", spec={"new": 1})], check_mode=True)
    note = f"predicted locally, since its definition changes, too. By the former one: {error.message}" if is_changed else str(error)
    assert actions(outcome)[-1] == ("create" if is_changed else "none", "g", note)
    assert outcome.error is (None if is_changed else error)


@pytest.mark.parametrize(
    ("served", "errors", "is_final"),
    [
        (["v1", "old"], [MISMATCH, INVALID, None], False),
        (["v1", "old"], [MISMATCH] * 99, True),
        (["v1", "old"], [PodwrightError("denied", status=403, reason="Forbidden"), None], True),
        (["v1"], [MISMATCH, None], True),  # the definition does not change
        ([], [PodwrightError("404 page not found", status=404, reason=UNKNOWN_KIND), None], False),
        (["v1", "old"], [IMMUTABLE, None], True),
        ([], [TERMINATING, None], False),
        ([], [INVALID, None], True),  # a new definition has no former schema
    ],
)
def test_a_refusal_by_the_former_schema_of_a_changed_definition_is_retried_for_a_while(served, errors, is_final, cluster):
    if served:
        add_definition(cluster, *served)
    else:
        establish_later(cluster)
    cluster.answers["apply", "Gadget", "g"] = list(errors)
    outcome = reconcile(cluster, [definition(), manifest("Gadget", "g", "example.com/v1", spec={"new": 1})], wait=False)
    assert (outcome.error and outcome.error.status) == (errors[0].status if is_final else None)
    assert cluster.clock.time <= OUTDATED_SECONDS + 2


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_objects_of_a_replaced_definition_are_created_again(check_mode, cluster):
    """The API server deletes them with it, also those that would not change."""
    add_definition(cluster, "v1", "old")
    cluster.add_applied(manifest("Gadget", "g", "example.com/v1", spec={"a": 1}))
    cluster.answers["try" if check_mode else "apply", "CustomResourceDefinition", "gadgets.example.com"] = [IMMUTABLE, None]
    establish_later(cluster)
    given = [definition(), manifest("Gadget", "g", "example.com/v1", spec={"a": 1})]
    outcome = checked(reconcile(cluster, given, check_mode=check_mode, on_immutable="replace", wait=False))
    assert [change.action for change in outcome.changes] == ["replace", "create"]
    assert outcome.changes[1].note == "the replacement of its definition deletes it"


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_object_in_a_version_that_a_replaced_definition_lacks_is_an_error(check_mode, cluster):
    add_definition(cluster, "v1", "old")
    cluster.answers["try" if check_mode else "apply", "CustomResourceDefinition", "gadgets.example.com"] = [IMMUTABLE, None]
    establish_later(cluster)
    given = [definition(), manifest("Gadget", "g", "example.com/old")]
    outcome = reconcile(cluster, given, check_mode=check_mode, on_immutable="replace", continue_on_error=True, wait=False)
    assert outcome.error.reason == UNKNOWN_KIND and "Set api_version to example.com/v1" in str(outcome.error) and cluster.clock.time < 3


@pytest.mark.parametrize("check_mode", [False, True])
def test_members_of_a_replaced_definition_are_deleted_with_it(check_mode, cluster):
    add_definition(cluster, "v1", "old")
    gadget = manifest("Gadget", "g", "example.com/v1")
    checked(reconcile(cluster, [gadget], set_name="s", wait=False))
    cluster.answers["try" if check_mode else "apply", "CustomResourceDefinition", "gadgets.example.com"] = [IMMUTABLE, None]
    establish_later(cluster)
    outcome = reconcile(cluster, [definition()], set_name="s", prune=True, check_mode=check_mode, on_immutable="replace", wait=False)
    assert actions(outcome)[-1] == ("none", "g", "the replacement of its definition deletes it")


@pytest.mark.parametrize("key", ["spec", "names"])
def test_an_invalid_definition_does_not_keep_others_from_being_planned(key, cluster):
    broken = definition()
    del (broken if key == "spec" else broken["spec"])[key]
    cluster.answers["try", "CustomResourceDefinition", "gadgets.example.com"] = [PodwrightError("spec: Required value", status=422)]
    outcome = reconcile(cluster, [broken, manifest("ConfigMap", "c")], check_mode=True, continue_on_error=True, wait=False)
    assert outcome.error.status == 422 and [change.key.name for change in outcome.changes] == ["gadgets.example.com", "c"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_label_of_a_definition_explains_no_refusal_of_its_objects(check_mode, cluster):
    add_definition(cluster, "v1")
    labeled = definition()
    labeled["metadata"]["labels"] = {"chart": "2"}
    labeled["spec"]["versions"] = [{"name": "v1"}]
    cluster.answers["try" if check_mode else "apply", "Gadget", "g"] = [INVALID]
    outcome = reconcile(cluster, [labeled, manifest("Gadget", "g", "example.com/v1")], check_mode=check_mode, wait=False)
    assert outcome.error is INVALID and outcome.changes[0].is_change and cluster.clock.time < 2


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("value", ["same", "other"])
@pytest.mark.parametrize("has_answer", [False, True])
def test_an_object_is_found_in_the_former_version_of_its_definition(has_answer, value, check_mode, cluster):
    add_definition(cluster, "v1")
    cluster.add_applied(manifest("Gadget", "g", "example.com/v1", spec={"a": "same"}))
    upgraded = definition()
    upgraded["spec"]["versions"] = [{"name": "v1"}, {"name": "v2"}]
    unknown = PodwrightError("404 page not found", status=404, reason=UNKNOWN_KIND)
    cluster.answers["try", "Gadget", "g"] = [unknown, None if has_answer else unknown]
    outcome = checked(reconcile(cluster, [upgraded, manifest("Gadget", "g", "example.com/v2", spec={"a": value})], check_mode=check_mode, wait=False))
    note = "predicted by the former version" if has_answer else "predicted locally, since its definition changes"
    assert outcome.changes[-1].note.startswith(note) or not check_mode or value == "same"
    assert [change.action for change in outcome.changes] == ["patch", "none" if value == "same" else "patch"]
    assert [entry["path"] for entry in outcome.changes[-1].patch] == ([] if value == "same" else ["/spec/a"])


@pytest.mark.parametrize("check_mode", [False, True])
def test_fields_that_a_former_version_lacks_are_applied(check_mode, cluster):
    add_definition(cluster, "v1")
    live = manifest("Gadget", "g", "example.com/v1", spec={"a": 1})
    entry = {"manager": "podwright", "operation": "Apply", "apiVersion": "example.com/v1beta1", "fieldsV1": managed({"spec": live["spec"]})}
    cluster.add(live, managedFields=[entry, KUBECTL])
    text = "failed to prune fields: failed to convert merged object to last applied version: .spec.b: field not declared in schema"
    cluster.answers["try" if check_mode else "apply", "Gadget", "g"] = [PodwrightError(text, status=500)]
    outcome = checked(reconcile(cluster, [live | {"spec": {"a": 1, "b": 2}}], check_mode=check_mode, wait=False))
    assert outcome.changes[0].patch == [{"op": "add", "path": "/spec/b", "value": 2}]
    patches = [entry[3:] for entry in cluster.log if entry[0] == "patch"]
    assert check_mode or patches == [([entry | {"apiVersion": "example.com/v1"}, KUBECTL],)]


def full_gadget(cluster):
    """A live custom resource that podwright applied."""
    add_definition(cluster, "v1")
    cluster.add_applied(manifest("Gadget", "g", "example.com/v1", spec={"a": {"b": "c"}, "d": 1}))


EMPTY = manifest("Gadget", "g", "example.com/v1", spec={"a": {}, "d": 2})
VERSION = {"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}
EMPTIED = [{"op": "remove", "path": "/spec/a/b"}, {"op": "replace", "path": "/spec/d", "value": 2}]


@pytest.mark.parametrize("conflicts", ["take", "fail"])
@pytest.mark.parametrize("check_mode", [False, True])
def test_an_object_whose_map_is_emptied_is_patched_before_an_apply_would_set_the_map_to_null(check_mode, conflicts, cluster):
    full_gadget(cluster)
    outcome = checked(reconcile(cluster, [EMPTY], check_mode=check_mode, conflicts=conflicts))
    assert outcome.objects[0]["spec"] == {"a": {}, "d": 2} and outcome.changes[0].patch == EMPTIED
    assert [entry[0] for entry in cluster.log] == ["try", "patch", *([] if check_mode else ["apply"])]
    assert cluster.log[1][3:] == ([VERSION, *EMPTIED], check_mode)


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_map_is_emptied_if_the_rest_of_the_change_requires_that(check_mode, cluster):
    full_gadget(cluster)
    cluster.answers["try", "Gadget", "g"] = [PodwrightError("spec.a must be empty", status=422), None]
    outcome = checked(reconcile(cluster, [EMPTY], check_mode=check_mode))
    assert outcome.objects[0]["spec"] == {"a": {}, "d": 2} and outcome.changes[0].patch == EMPTIED


def test_a_map_is_emptied_although_a_webhook_does_not_support_dry_run(cluster):
    full_gadget(cluster)
    cluster.answers["try", "Gadget", "g"] = [PodwrightError("admission webhook w does not support dry run", status=400)]
    assert checked(reconcile(cluster, [EMPTY])).objects[0]["spec"] == {"a": {}, "d": 2}
    assert [entry[3] for entry in cluster.log if entry[0] == "patch"] == [[VERSION, EMPTIED[0]]]


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("status", [409, 422])
def test_a_map_that_another_run_empties_at_the_same_time_is_no_failure(status, check_mode, cluster):
    """An operation of the patch fails, or the patch is for another version."""
    full_gadget(cluster)
    refusal = PodwrightError("the server rejected our request due to an error in our request", status=status, reason="Invalid")
    cluster.answers["patch", "Gadget", "g"] = [refusal, None]

    def patch(*arguments, **options):
        cluster.objects["Gadget", "n", "g"]["spec"] = {"a": {}, "d": 1}
        return Cluster.patch(cluster, *arguments, **options)

    cluster.patch = patch
    outcome = checked(reconcile(cluster, [EMPTY], check_mode=check_mode))
    assert outcome.objects[0]["spec"] == {"a": {}, "d": 2} and outcome.changes[0].patch == EMPTIED


NULL = PodwrightError('spec.a: Invalid value: "null": spec.a in body must be of type object: "null"', status=422)


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("times", [1, 3, 2 * ATTEMPTS])
def test_a_map_that_another_run_fills_meanwhile_is_emptied_again(times, check_mode, cluster):
    """The API server refuses the null that the apply leaves."""
    full_gadget(cluster)
    filled, apply, left = cluster.objects["Gadget", "n", "g"], cluster.apply, [NULL] * times
    cluster.add_applied(EMPTY)

    def fill_before(*arguments, **options):
        if left and options["dry_run"] is check_mode:
            cluster.objects["Gadget", "n", "g"] = copy.deepcopy(filled)
            raise left.pop()
        return apply(*arguments, **options)

    cluster.apply = fill_before
    outcome = reconcile(cluster, [EMPTY | {"spec": EMPTY["spec"] | {"d": 3}}], check_mode=check_mode)
    if times > ATTEMPTS:
        assert outcome.error is NULL and "state: patched" in NULL.hint
    else:
        assert checked(outcome).objects[0]["spec"] == {"a": {}, "d": 3}


@pytest.mark.parametrize("extra", [{"free": {"g": None}}, {"list": [{"a": None}]}])
def test_a_map_is_emptied_again_although_the_manifest_has_null_elsewhere(extra, cluster):
    full_gadget(cluster)
    cluster.add_applied(EMPTY)
    cluster.answers["apply", "Gadget", "g"] = [NULL]
    outcome = reconcile(cluster, [EMPTY | {"spec": EMPTY["spec"] | {"d": 3} | extra}])
    assert checked(outcome).objects[0]["spec"]["d"] == 3


@pytest.mark.parametrize("path", ["spec.a", "spec.list[0].b", "spec.list[{k: v}].b"])
def test_the_fields_of_a_refused_null_are_those_of_the_manifest(path):
    refusal = PodwrightError(f'{path}: Invalid value: "null": {path.replace(" ", "")} in body must be of type object: "null"', status=422)
    assert refusal.null_fields and refusal.null_fields < null_fields({"spec": {"a": None, "list": [{"b": None}]}})
    assert not PodwrightError(refusal.message, status=400).null_fields


@pytest.mark.parametrize("check_mode", [False, True])
def test_null_in_a_manifest_is_refused_at_once(check_mode, cluster):
    full_gadget(cluster)
    cluster.answers["try" if check_mode else "apply", "Gadget", "g"] = [NULL]
    outcome = reconcile(cluster, [manifest("Gadget", "g", "example.com/v1", spec={"a": None, "d": 1})], check_mode=check_mode)
    assert outcome.error is NULL and len(cluster.log) == 1


def test_what_was_emptied_before_a_failure_is_a_change(cluster):
    full_gadget(cluster)
    cluster.answers["apply", "Gadget", "g"] = [PodwrightError("lost", status=500)]
    outcome = reconcile(cluster, [EMPTY])
    assert outcome.error.message == "lost" and [change.action for change in outcome.changes] == ["patch"]


@pytest.mark.parametrize("refusals", [{"try": [409]}, {"try": [422, 422]}, {"patch": [403]}, {"patch": [422] * ATTEMPTS}])
def test_nothing_is_emptied_for_a_change_that_is_refused(refusals, cluster):
    full_gadget(cluster)
    for verb, statuses in refusals.items():
        cluster.answers[verb, "Gadget", "g"] = [PodwrightError(str(number), status=status) for number, status in enumerate(statuses)]
    error = reconcile(cluster, [EMPTY]).error
    assert (error.status, error.message) == ((422, str(ATTEMPTS - 1)) if len(statuses) == ATTEMPTS else (statuses[0], "0"))
    assert cluster.objects["Gadget", "n", "g"]["spec"] == {"a": {"b": "c"}, "d": 1}


@pytest.mark.parametrize("wait_option", [False, True])
def test_outcome_has_the_objects_as_they_became_ready(wait_option, cluster):
    """Objects that are unchanged are awaited, too: an earlier run may have reached its timeout."""
    cluster.add_applied(manifest("Job", "old", "batch/v1"))
    done = {"conditions": [{"type": "Complete", "status": "True"}]}

    def complete():
        for name in ("new", "old"):
            cluster.objects["Job", "n", name]["status"] = done
            cluster.events.append(("MODIFIED", cluster.objects["Job", "n", name]))

    cluster.later.append((3, complete))
    outcome = checked(reconcile(cluster, [manifest("Job", name, "batch/v1") for name in ("old", "new")], wait=wait_option))
    assert [item.get("status") == done for item in outcome.objects] == [wait_option] * 2
    assert cluster.clock.time == (4 if wait_option else 0)


def test_object_that_does_not_become_ready_is_explained(cluster):
    reconciler = Reconciler(cluster, ReconcilerOptions(wait_timeout=5), Console(), lambda key: f" Events of {key.name}.")
    outcome = reconciler.apply([manifest("Job", "j", "batch/v1")], "n")
    assert outcome.error.message.endswith(" Events of j.") and cluster.clock.time == 5 and outcome.is_changed


@pytest.mark.parametrize(("exists", "seconds"), [(False, 3), (True, 0)])
def test_new_namespace_is_awaited_until_it_has_its_service_account(exists, seconds, cluster):
    """Pods are refused until a controller has created it."""
    space = manifest("Namespace", "space", namespace=None, status={"phase": "Active"})
    account = manifest("ServiceAccount", "default", namespace="space")
    if exists:
        cluster.add(space)
    cluster.later.append((3, lambda: cluster.events.append(("ADDED", cluster.add(account)))))
    assess = wait.assess
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wait.wait_until_ready, "__defaults__", (lambda item: assess(item | {"status": {"phase": "Active"}}), wait.explain_nothing))
        checked(reconcile(cluster, [space, config("a")]))
    assert cluster.clock.time == seconds


def test_missing_service_account_of_a_new_namespace_is_an_error(cluster):
    with pytest.MonkeyPatch.context() as patch:
        assess = wait.assess
        patch.setattr(wait.wait_until_ready, "__defaults__", (lambda item: assess(item | {"status": {"phase": "Active"}}), wait.explain_nothing))
        outcome = reconcile(cluster, [manifest("Namespace", "space", namespace=None)])
    assert "ServiceAccount 'default' in namespace 'space'" in outcome.error.message and "does not exist yet" in outcome.error.message
