# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which owners are looked up before garbage is collected, and what is kept if they cannot be listed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CONFIG_MAP, JOB, POD, Kind
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import UNKNOWN_KIND, PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.garbage.candidate import (
    FAILED,
    LEFTOVER,
    RECORDED,
    RUNNING,
    SUCCEEDED,
    Candidate,
    Owner,
    read_candidate,
)
from ansible_collections.podwright.core.plugins.module_utils._engine.garbage.owners import ABSENT, ACTIVE, FINISHED, UNREADABLE, Owners, find_owners
from ansible_collections.podwright.core.plugins.module_utils._engine.garbage.reclaim import plan_deletion
from ansible_collections.podwright.core.plugins.module_utils._engine.garbage.retention import RetentionPolicies, RetentionPolicy
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_gc import ARGUMENTS

WIDGET, NODE = Kind("example.com/v1", "Widget", "widgets", True), BUILT_IN["v1", "Node"]


def owner(kind=WIDGET, uid="1", name="w", is_controller=False):
    return Owner(kind.api_version, kind.name, name, uid, is_controller)


def leftover(*owners, **rest):
    return candidate(*owners, kind=CONFIG_MAP, state=LEFTOVER, **rest)


def candidate(*owners, kind=POD, uid="c", state=FAILED, namespace="n", **rest):
    return Candidate(kind, namespace, f"name-{uid}", uid, state, 0, owners=owners, **rest)


class Cluster:
    """Owners by (kind name, namespace), or an error; `lists` has (kind name, namespace, metadata only) of each LIST."""

    def __init__(self, found=None, unknown=()):
        self.found, self.lists, self.warnings = found or {}, [], []
        self.kinds = SimpleNamespace(resolve=lambda api_version, name: self.resolve(api_version, name, unknown))
        self.warn = self.warnings.append

    @staticmethod
    def resolve(api_version, name, unknown):
        if name in unknown:
            raise PodwrightError(f"the server does not serve {name}", reason=UNKNOWN_KIND)
        return WIDGET if name == WIDGET.name else BUILT_IN[api_version, name]

    def list(self, kind, namespace, metadata_only=False, transform=None):
        self.lists.append((kind.name, namespace, metadata_only))
        found = self.found.get((kind.name, namespace), [])
        if isinstance(found, PodwrightError):
            raise found
        return [transform(item) for item in found], "1"


def item(uid, kind=WIDGET, **rest):
    metadata = {"uid": uid, "name": uid, "namespace": "n", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, "spec": {"containers": [{"name": "task"}]}, "status": {}} | rest


def job(uid, is_finished):
    condition = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return item(uid, JOB, status={"conditions": [condition]} if is_finished else {})


def test_owners_in_scope_are_known_without_a_request():
    cluster, running = Cluster(), candidate(kind=JOB, uid="running", state=RUNNING)
    done, pod = candidate(kind=JOB, uid="done", state=SUCCEEDED), candidate(kind=POD, uid="pod", state=FAILED)
    of_them = [leftover(owner(JOB, uid, is_controller=True), uid=f"of-{uid}") for uid in ("running", "done", "pod")]
    record = candidate(kind=CONFIG_MAP, uid="record", state=SUCCEEDED)  # only pods and Jobs count as owners that finish
    owners = find_owners(cluster, [running, done, pod, record, *of_them], True, cluster)
    assert cluster.lists == [] and owners == Owners(frozenset({"running"}), frozenset({"done", "pod"}))


def test_owners_are_listed_once_for_each_kind_and_namespace_and_cluster_scoped_ones_once():
    cluster = Cluster({("Widget", "n"): [item("1")], ("Node", None): [item("9", NODE)], ("Job", "m"): [job("5", True), job("6", False)]})
    candidates = [
        leftover(owner(uid="1"), uid="a"), leftover(owner(uid="2"), uid="b"), leftover(owner(uid="3"), uid="c", namespace="m"),
        leftover(owner(NODE, "9"), uid="d"), leftover(owner(NODE, "8"), uid="e", namespace="m"),
        leftover(owner(JOB, "5", is_controller=True), uid="f", namespace="m"),
    ]  # fmt: skip
    owners = find_owners(cluster, candidates, True, cluster)
    # Whether an owner has finished matters of pods and Jobs only: of all others the metadata is enough.
    assert sorted(cluster.lists, key=str) == [("Job", "m", False), ("Node", None, True), ("Widget", "m", True), ("Widget", "n", True)]
    assert owners == Owners(frozenset({"1", "9", "6"}), frozenset({"5"})) and cluster.warnings == []
    assert [owners.state(owner(uid=uid)) for uid in ("1", "5", "2")] == [ACTIVE, FINISHED, ABSENT]


@pytest.mark.parametrize(
    ("dependent", "with_orphaned", "matters"),
    [
        (candidate(owner()), True, True),
        (candidate(owner()), False, False),
        (candidate(owner(is_controller=True)), False, False),
        (candidate(owner(JOB)), False, False),
        (candidate(owner(JOB, is_controller=True)), False, True),  # an unfinished Job counts its pods, whatever the policy
        (candidate(owner(), kind=CONFIG_MAP, state=LEFTOVER), False, True),
        (candidate(owner(), kind=CONFIG_MAP, state=RECORDED), False, False),
    ],
)
def test_only_owners_that_matter_are_listed(dependent, with_orphaned, matters):
    cluster = Cluster()
    find_owners(cluster, [dependent], with_orphaned, cluster)
    assert bool(cluster.lists) == matters


DENIED = PodwrightError('widgets is forbidden: User "u" cannot list resource', status=403, reason="Forbidden")
GONE = PodwrightError("the server could not find the requested resource", status=404, reason="NotFound")


CONVERSION = PodwrightError("conversion webhook for example.com/v1, Kind=Widget failed", status=500, reason="InternalError")
DOWN = PodwrightError("the server is currently unable to handle the request", status=503, reason="ServiceUnavailable")
UNLISTABLE = PodwrightError("the server does not allow this method on the requested resource", status=405, reason="MethodNotAllowed")


@pytest.mark.parametrize("why", ["unknown", DENIED, GONE, CONVERSION, DOWN, UNLISTABLE])
def test_dependents_of_owners_that_cannot_be_listed_are_kept_with_a_warning(why):
    cluster = Cluster({("Widget", "n"): why}, unknown=("Widget",) if why == "unknown" else ())
    owners = find_owners(cluster, [candidate(owner())], True, cluster)
    assert owners.state(owner()) == UNREADABLE and owners.state(owner(JOB)) == ABSENT
    (warning,) = cluster.warnings
    assert warning.startswith(f"Owners of kind Widget could not be listed, so that their dependents are kept: {getattr(why, 'message', 'the server')}")
    decisions = plan_deletion([candidate(owner())], owners, RetentionPolicies(orphaned=True), 10**6)
    assert not decisions[0].is_deletion and "its owner Widget w cannot be read" in decisions[0].reason


def test_owner_without_a_kind_is_named_as_unknown():
    cluster = Cluster(unknown=("",))
    find_owners(cluster, [candidate(Owner("", "", "", "1"))], True, cluster)
    assert cluster.warnings[0].startswith("Owners of an unknown kind could not be listed")


@pytest.mark.parametrize("error", [PodwrightError("no route to host"), PodwrightError("the token has expired", status=401, reason="Unauthorized")])
def test_errors_about_all_kinds_stop_the_collection(error):
    cluster = Cluster({("Widget", "n"): error})
    with pytest.raises(PodwrightError, match=error.message):
        find_owners(cluster, [candidate(owner())], True, cluster)


# -- policies ---------------------------------------------------------------------------------------------------


EVERYTHING = (
    candidate(uid="failed", finished_at=5, ttl=1, reason="Evicted"),
    candidate(uid="succeeded", state=SUCCEEDED, finished_at=5, ttl=1),
    candidate(owner(), uid="orphan", finished_at=5),
    candidate(uid="pending", state="pending", pending_since=5),
    candidate(uid="deleting", state="deleting", deletion_due=5),
    candidate(kind=CONFIG_MAP, uid="record", state=RECORDED, finished_at=5, ttl=1),
)


def deleted(policies, candidates=EVERYTHING, owners=None):
    return [d.candidate.uid for d in plan_deletion(candidates, owners or Owners(), policies, 10**6) if d.is_deletion]


def test_no_policy_deletes_nothing():
    assert deleted(RetentionPolicies()) == []


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        (RetentionPolicies(completed=RetentionPolicy()), ["succeeded"]),
        (RetentionPolicies(failed=RetentionPolicy()), ["failed", "orphan"]),
        (RetentionPolicies(records=RetentionPolicy()), ["record"]),
        (RetentionPolicies(orphaned=True), ["orphan"]),
        (RetentionPolicies(evicted=True), ["failed"]),
        (RetentionPolicies(expired=True), ["failed", "record", "succeeded"]),
        (RetentionPolicies(stuck_after=60), ["pending"]),
        (RetentionPolicies(stuck_after=60, force=True), ["deleting", "pending"]),
    ],
)
def test_each_policy_selects_its_own_objects(policies, expected):
    assert sorted(deleted(policies)) == expected


def test_defaults_of_policies_are_those_of_pod_gc():
    """With neither max_age nor keep_last a policy deletes what finished at this moment."""
    now = 10**6
    fresh = [candidate(uid="fresh", state=SUCCEEDED, finished_at=now), candidate(uid="older", state=SUCCEEDED, finished_at=now - 1)]
    assert sorted(deleted(RetentionPolicies(completed=RetentionPolicy()), fresh)) == ["fresh", "older"]
    assert RetentionPolicies().reclaim_age == ARGUMENTS["reclaim_age"]["default"]


def test_pods_and_jobs_out_of_scope_protect_what_belongs_to_their_tasks():
    """The label_selectors of an operator select a claim or a Job, and not its pods."""
    used, unused = leftover(uid="used", task="build"), leftover(uid="unused", task="test")
    finished = [candidate(kind=JOB, uid=uid, state=SUCCEEDED, finished_at=5) for uid in ("kept", "lone")]
    pod = candidate(owner(JOB, "kept", is_controller=True), uid="pod", task="build")
    policies = RetentionPolicies(reclaim=frozenset(("Job", "ConfigMap")))
    for others, expected in (([pod], ["lone", "unused"]), ([], ["kept", "lone", "unused", "used"])):
        decisions = plan_deletion([used, unused, *finished], Owners(), policies, 10**6, others=others)
        assert sorted(d.candidate.uid for d in decisions if d.is_deletion) == expected


def test_a_clock_that_is_ahead_and_an_invalid_ttl_are_named():
    early = candidate(uid="early", state=SUCCEEDED, finished_at=10**6 + 600)
    assert [d.reason for d in plan_deletion([early], Owners(), RetentionPolicies(completed=RetentionPolicy(max_age=60)), 10**6)] == [
        "it finished 0 s ago, and max_age is 60 s"
    ]
    metadata = {"name": "a", "uid": "u", "creationTimestamp": "1970-01-01T00:00:00Z", "resourceVersion": "1", "labels": {"podwright.io/record": "true"}}
    for text in ("7d", "-1", "9" * 30, ""):
        record = read_candidate(CONFIG_MAP, {"metadata": metadata | {"annotations": {"podwright.io/ttl": text}}})
        pod = candidate(state=SUCCEEDED, finished_at=5, has_invalid_ttl=record.has_invalid_ttl)
        decisions = plan_deletion([record, pod], Owners(), RetentionPolicies(expired=True, namespace_ttls={"n": 1}), 10**6)
        assert [(d.is_deletion, d.reason) for d in decisions] == [(False, "its annotation podwright.io/ttl is not a number of seconds")] * 2


def test_reason_names_the_first_owner_and_its_state():
    owners = Owners(finished=frozenset({"2"}))
    both = candidate(owner(uid="1", name="gone"), owner(uid="2", name="done"))
    (decision,) = plan_deletion([both], owners, RetentionPolicies(orphaned=True), 10**6)
    assert decision.is_deletion and decision.reason == "its owner Widget gone does not exist"


@pytest.mark.parametrize("text", ["yesterday", "2026-13-45T00:00:00Z", 5, None])
def test_malformed_time_of_a_record_is_unknown(text):
    """Anybody can edit a ConfigMap: the time of its creation counts."""
    record = item("r", CONFIG_MAP, data={"finished_at": text})
    record["metadata"]["labels"] = {"podwright.io/record": "true"}
    found = read_candidate(CONFIG_MAP, record)
    assert found.state == RECORDED and found.finished_at == found.created
