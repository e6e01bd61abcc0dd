# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pod_gc deletes: random clusters against an independent implementation of the policies, and each policy mutated."""

from __future__ import annotations

import ast
import copy
import datetime
import inspect
import random
import textwrap
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, JOB, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.garbage import reclaim, retention
from ansible_collections.podwright.core.plugins.module_utils._engine.garbage.candidate import Candidate, read_candidate
from ansible_collections.podwright.core.plugins.module_utils._engine.garbage.owners import Owners

from ..support.environment import scaled

NOW = 10_000_000
CONFIG_MAP, POLICY = BUILT_IN["v1", "ConfigMap"], BUILT_IN["networking.k8s.io/v1", "NetworkPolicy"]
KINDS = {"Pod": POD, "Job": JOB, "ConfigMap": CONFIG_MAP, "NetworkPolicy": POLICY}
# Few different times, so that ages equal limits exactly; the last one is from a node whose clock is minutes ahead.
MOMENTS = [NOW + offset for offset in (-900, -600, -600, -300, -120, -60, -60, 0, 240)]
LIMITS = [0, 60, 120, 600]
MONTH = 30 * 86400


@dataclass
class Dependency:
    """An owner of an object, and its actual state."""

    kind: str
    name: str
    uid: str
    is_controller: bool
    state: str  # active, finished, absent or unreadable
    by_label: bool = False


@dataclass
class Object:
    """An object of a random cluster and the facts about it."""

    kind: str
    namespace: str
    name: str
    uid: str
    state: str  # one of CONTAINER_STATUSES or evicted, a state of a Job, record, placement, service (its placement) or leftover
    created: int
    finished: int
    due: int | None
    ttl: int | str | None
    task: str | None
    scheduled: int | None = None
    is_blocked: bool = False  # its deletion only waits for a finalizer
    keeps_record: bool = False
    is_recorded: bool = False
    owners: list = field(default_factory=list)


def timestamp(moment):
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def manifest(obj):
    """The object as the API server returns it."""
    metadata = {"name": obj.name, "namespace": obj.namespace, "uid": obj.uid, "resourceVersion": "1", "creationTimestamp": timestamp(obj.created)}
    metadata |= {"labels": {}, "annotations": {}}
    metadata["labels"] |= {"podwright.io/task": obj.task} if obj.task else {}
    metadata["labels"] |= {"podwright.io/record": "true"} if obj.state == "record" else {}
    metadata["labels"] |= {"podwright.io/hash": obj.uid} if obj.task else {}
    metadata["annotations"] |= {"podwright.io/ttl": str(obj.ttl)} if obj.ttl is not None else {}
    metadata["annotations"] |= {"podwright.io/keeps-record": "true"} if obj.keeps_record else {}
    metadata |= {"deletionTimestamp": timestamp(obj.due)} if obj.due is not None else {}
    metadata |= {"deletionGracePeriodSeconds": 0 if obj.is_blocked else 30, "finalizers": ["example.com/hold"]} if obj.due is not None else {}
    metadata["ownerReferences"] = [
        {"apiVersion": api_version(owner.kind), "kind": owner.kind, "name": owner.name, "uid": owner.uid, "controller": owner.is_controller}
        for owner in obj.owners
        if not owner.by_label
    ]
    for owner in obj.owners:
        if owner.by_label:
            metadata["labels"]["podwright.io/parent"] = owner.uid
            metadata["annotations"]["podwright.io/parent"] = f"{api_version(owner.kind)} {owner.kind} {owner.name}"
    item = {"apiVersion": KINDS[obj.kind].api_version, "kind": obj.kind, "metadata": metadata}
    if obj.kind == "Pod":
        item |= pod_spec_and_status(obj)
    if obj.state == "record":
        item["data"] = {"finished_at": timestamp(obj.finished)}
    if obj.state in PLACEMENTS:
        metadata["labels"]["podwright.io/record"] = "placement"
        item["data"] = {"time": timestamp(obj.finished)} | ({"completes": "true"} if obj.state == "placement" else {})
    if obj.kind == "Job":
        condition = {"succeeded": "Complete", "failed": "Failed"}.get(obj.state)
        item["status"] = {"conditions": [{"type": condition, "status": "True", "lastTransitionTime": timestamp(obj.finished)}] if condition else []}
    return item


def api_version(kind):
    return {"Job": "batch/v1", "Widget": "example.com/v1", "Gadget": "example.com/v1"}.get(kind, "v1")


def terminated(code, moment):
    return {"terminated": {"exitCode": code, "finishedAt": timestamp(moment)}}


# The container statuses of a pod by its state; the container of the task is first.
BACK_OFF, WAITING = {"waiting": {"reason": "ImagePullBackOff"}}, {"waiting": {"reason": "PodInitializing"}}
CONTAINER_STATUSES = {
    "unscheduled": lambda moment: {},
    "gated": lambda moment: {},
    "pulling": lambda moment: {"containerStatuses": [{"name": "task", "state": BACK_OFF}], "initContainerStatuses": [{"name": "init", "state": WAITING}]},
    "running": lambda moment: {"containerStatuses": [{"name": "task", "state": {"running": {}}}]},
    "crashing": lambda moment: {
        "containerStatuses": [{"name": "task", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": terminated(1, moment)}]
    },
    "restarted": lambda moment: {"containerStatuses": [{"name": "task", "state": BACK_OFF, "restartCount": 3}]},  # without a last state
    "initializing": lambda moment: {
        "containerStatuses": [{"name": "task", "state": WAITING}],
        "initContainerStatuses": [{"name": "init", "state": {"running": {}}}],
    },
    "initialized": lambda moment: {
        "containerStatuses": [{"name": "task", "state": BACK_OFF}],
        "initContainerStatuses": [{"name": "init", "state": terminated(0, moment)}],
    },
    "sidecar-pending": lambda moment: {"containerStatuses": [{"name": "task", "state": {"running": {}}}, {"name": "sidecar", "state": BACK_OFF}]},
    "debugged": lambda moment: {
        "containerStatuses": [{"name": "task", "state": BACK_OFF}],
        "ephemeralContainerStatuses": [{"name": "debug", "state": {"running": {}}}],
    },
    "succeeded": lambda moment: {"containerStatuses": [{"name": "task", "state": terminated(0, moment)}]},
    "failed": lambda moment: {"containerStatuses": [{"name": "task", "state": terminated(1, moment)}]},
}
FINISHED, NEVER_STARTED, PLACEMENTS = ("succeeded", "failed", "evicted"), ("unscheduled", "pulling"), ("placement", "service")


def pod_spec_and_status(obj):
    spec = {"restartPolicy": "Never", "containers": [{"name": "task"}]}
    if obj.state == "evicted":
        return {
            "spec": spec,
            "status": {"phase": "Failed", "reason": "Evicted", "conditions": [{"type": "Ready", "lastTransitionTime": timestamp(obj.finished)}]},
        }
    spec |= {"schedulingGates": [{"name": "example.com/queue"}]} if obj.state == "gated" else {}
    phase = "Running" if obj.state in (*FINISHED, "running") else "Pending"
    if obj.state in FINISHED and obj.task is None:
        phase = obj.state.title()  # of a pod that is not a task, no container runs any more
    status = {"phase": phase} | CONTAINER_STATUSES[obj.state](obj.finished)
    if obj.scheduled is not None:
        status["conditions"] = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp(obj.scheduled)}]
    return {"spec": spec, "status": status}


def random_cluster(choose):
    """A random cluster: (objects in scope, policies)."""
    objects = []
    for number in range(choose.randint(1, 7)):
        kind = choose.choice(["Pod", "Pod", "Pod", "Job", "ConfigMap", "NetworkPolicy"])
        states = {
            "Pod": ["unscheduled", "succeeded", "succeeded", "failed", "evicted", *CONTAINER_STATUSES],
            "Job": ["running", "succeeded", "failed"],
            "ConfigMap": ["leftover", "leftover", "record", "record", "placement", "service"],
            "NetworkPolicy": ["leftover"],
        }
        state = choose.choice(states[kind])
        created, finished = choose.choice(MOMENTS), choose.choice(MOMENTS)
        if state == "leftover":
            finished = created
        if state in PLACEMENTS:
            finished -= choose.choice([0, MONTH, MONTH])
        due = choose.choice(MOMENTS) if choose.random() < 0.2 else None
        task = choose.choice([None, "build", "test"])
        ttl = choose.choice([None, None, 0, 60, 600, "7d"])
        scheduled, is_blocked = choose.choice([None, *MOMENTS]), choose.random() < 0.3
        name, namespace = f"n{choose.randint(0, 3)}", choose.choice("ab")
        keeps_record = kind in ("Pod", "Job") and task is not None and choose.random() < 0.5
        is_recorded = keeps_record and choose.random() < 0.5
        facts = (created, finished, due, ttl, task, scheduled, is_blocked, keeps_record, is_recorded)
        objects.append(Object(kind, namespace, name, f"u{number}", state, *facts))
    for obj in objects:
        obj.owners = random_owners(choose, objects, obj)
    policies = retention.RetentionPolicies(
        **{name: choose.choice([None, retention.RetentionPolicy(choose.choice(LIMITS), choose.randint(0, 2))]) for name in ("completed", "failed", "records")},
        **{name: choose.random() < 0.5 for name in ("orphaned", "evicted", "expired", "force")},
        stuck_after=choose.choice([None, *LIMITS]),
        reclaim=frozenset(choose.sample(["ConfigMap", "NetworkPolicy", "Job"], choose.randint(0, 3))),
        reclaim_age=choose.choice(LIMITS),
        namespace_ttls={"a": choose.choice(LIMITS)} if choose.random() < 0.5 else {},
    )
    return [obj for obj in objects if is_listed(obj, policies)], policies


def is_listed(obj, policies):
    """Whether pod_gc lists the object: pods, the kinds to reclaim, with them Jobs, and records if a policy needs them."""
    if obj.kind == "Pod" or obj.kind in policies.reclaim:
        return True
    return bool(policies.reclaim) if obj.kind == "Job" else obj.state in ("record", *PLACEMENTS) and bool(policies.records or policies.expired)


def random_owners(choose, objects, obj):
    owners = []
    for number in range(choose.choice([0, 0, 1, 1, 2])):
        others = [other for other in objects if other.kind in ("Pod", "Job") and other is not obj and other.namespace == obj.namespace]
        is_controller = number == 0 and choose.random() < 0.5
        if others and choose.random() < 0.5:
            other = choose.choice(others)
            uid, state = other.uid, "active" if other.due is not None or other.state not in FINISHED else "finished"
            if choose.random() < 0.3:  # a new object has its name
                uid, state = "old", "absent"
            owners.append(Dependency(other.kind, other.name, uid, is_controller, state))
        else:
            state = choose.choice(["active", "finished", "absent", "unreadable"])
            kind = "Gadget" if state == "unreadable" else choose.choice(["Widget", "Job", "Pod"])
            owners.append(Dependency(kind, "w", f"{obj.uid}-w{number}", is_controller, state))
    if owners and choose.random() < 0.2:
        owners[-1].by_label, owners[-1].is_controller = True, False
    return owners


# -- the policies, implemented a second time in another way ---------------------------------------------------


def expected(objects, policies):
    """{UID: (policy, whether by force)} of exactly the objects to delete."""
    deleted = {}
    for pod in (obj for obj in objects if obj.kind == "Pod"):
        matching = policies_of_pod(pod, objects, policies)
        if matching:
            deleted[pod.uid] = matching[0]
    for job in (obj for obj in objects if obj.kind == "Job" and "Job" in policies.reclaim):
        has_pods = any(p.kind == "Pod" and p.uid not in deleted and any(owner.uid == job.uid for owner in controllers(p)) for p in objects)
        if job.due is None and job.state != "running" and not has_pods and not is_needed(job, policies) and NOW - job.created >= policies.reclaim_age:
            deleted[job.uid] = ("reclaim", False)
    used = {(obj.namespace, obj.task) for obj in objects if obj.kind in ("Pod", "Job")}  # also by those that are still being deleted
    for obj in (obj for obj in objects if obj.kind not in ("Pod", "Job")):
        if obj.due is not None:
            continue
        if obj.state == "record":
            if policies.expired and isinstance(obj.ttl, int) and age_of(obj) >= obj.ttl:
                deleted[obj.uid] = ("expired", False)
            elif policies.records and age_of(obj) >= policies.records.max_age and newer(obj, objects) >= policies.records.keep_last:
                deleted[obj.uid] = ("records", False)
        elif obj.state in PLACEMENTS:
            if obj.state == "placement" and policies.records and (obj.namespace, obj.task) not in used:
                is_old = age_of(obj) >= MONTH and age_of(obj) >= policies.records.max_age
                deleted |= {obj.uid: ("records", False)} if is_old and newer(obj, objects) >= policies.records.keep_last else {}
        elif NOW - obj.created >= policies.reclaim_age:
            is_left_behind = all(owner.state == "absent" for owner in obj.owners) if obj.owners else obj.task and (obj.namespace, obj.task) not in used
            if is_left_behind:
                deleted[obj.uid] = ("reclaim", False)
    return deleted


def age_of(obj):
    """The clock of a node may be ahead."""
    return max(NOW - obj.finished, 0)


def is_needed(obj, policies):
    """Whether the result is to be recorded, and is not though the record would be kept."""
    is_outdated = policies.records and not policies.records.keep_last and age_of(obj) >= policies.records.max_age
    is_outdated = is_outdated or (policies.expired and isinstance(obj.ttl, int) and age_of(obj) >= obj.ttl)
    return obj.keeps_record and not obj.is_recorded and not is_outdated


def policies_of_pod(pod, objects, policies):
    """(policy, whether by force) of each policy that deletes a pod."""
    if pod.due is not None:
        is_overdue = policies.stuck_after is not None and policies.force and not pod.is_blocked and NOW - pod.due >= policies.stuck_after
        return [("stuck", True)] if is_overdue else []
    is_finished = pod.state in FINISHED
    is_counted = any(owner.kind == "Job" and owner.state in ("active", "unreadable") for owner in controllers(pod))
    age = age_of(pod)
    ttl = policies.namespace_ttls.get(pod.namespace) if pod.ttl is None else pod.ttl
    matching = []
    if policies.orphaned and pod.owners and all(o.state == "absent" or (o.state == "finished" and not o.is_controller) for o in pod.owners):
        matching.append(("orphaned", False))
    is_unrecorded = is_needed(pod, policies)
    if policies.evicted and pod.state == "evicted" and (is_counted or not is_unrecorded):
        matching.append(("evicted", False))
    if policies.expired and is_finished and not is_counted and isinstance(ttl, int) and age >= ttl and not is_unrecorded:
        matching.append(("expired", False))
    pending_since = pod.created if pod.scheduled is None else pod.scheduled
    if policies.stuck_after is not None and pod.state in NEVER_STARTED and NOW - pending_since >= policies.stuck_after:
        matching.append(("stuck", False))
    for name, policy, states in (("completed", policies.completed, ["succeeded"]), ("failed", policies.failed, ["failed", "evicted"])):
        if policy and pod.state in states and not is_counted and not is_unrecorded and age >= policy.max_age and newer(pod, objects) >= policy.keep_last:
            matching.append((name, False))
    return matching


def controllers(pod):
    return [owner for owner in pod.owners if owner.is_controller][:1]


def newer(obj, objects):
    """How many objects of its kind, state and namespace finished after it, or at the same time and sort before it by name."""
    state = {"evicted": "failed"}.get(obj.state, obj.state)
    alike = [
        o for o in objects if o.kind == obj.kind and o.namespace == obj.namespace and o.due is None and {"evicted": "failed"}.get(o.state, o.state) == state
    ]
    alike.sort(key=lambda o: (-o.finished, o.name))
    return next(number for number, o in enumerate(alike) if o is obj)


# -- the comparison -------------------------------------------------------------------------------------------


def planned(objects, policies):
    """{UID: (policy, whether by force)} of the objects to delete, by the code under test."""
    candidates = [read_candidate(KINDS[obj.kind], manifest(obj)) for obj in objects]
    every = [owner for obj in objects for owner in obj.owners]
    known = {state: frozenset(owner.uid for owner in every if owner.state == state) for state in ("active", "finished")}
    unreadable = frozenset((api_version(owner.kind), owner.kind) for owner in every if owner.state == "unreadable")
    recorded = [obj for obj in objects if obj.is_recorded]
    records = {(o.namespace, o.task, o.uid): Candidate(CONFIG_MAP, o.namespace, "record", "r", "record", o.created, finished_at=o.created) for o in recorded}
    decisions = reclaim.plan_deletion(candidates, Owners(known["active"], known["finished"], unreadable), policies, NOW, records)
    order = [decision.is_deletion for decision in decisions]
    assert order == sorted(order, reverse=True), "the deletions come first"
    assert all(decision.reason for decision in decisions)
    return {decision.candidate.uid: (decision.policy, decision.force) for decision in decisions if decision.is_deletion}


@settings(max_examples=scaled(300), deadline=None)
@given(st.randoms(use_true_random=True))  # a tenth of the time; a failing cluster is not made smaller
def test_exactly_the_objects_that_the_policies_select_are_deleted(choose):
    objects, policies = random_cluster(choose)
    assert planned(objects, policies) == expected(objects, policies)


# -- pods in any state ------------------------------------------------------------------------------------------

STATES = st.sampled_from(
    [
        {},
        {"waiting": {"reason": "ImagePullBackOff"}},
        {"waiting": {"reason": "CrashLoopBackOff"}},
        {"waiting": {}},
        {"running": {}},
        terminated(0, NOW),
        terminated(1, NOW),
    ]
)
OPTIONAL = {"lastState": STATES, "restartCount": st.integers(0, 2), "started": st.booleans()}
STATUSES = st.lists(st.fixed_dictionaries({"state": STATES}, optional=OPTIONAL), max_size=2)
PODS = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(["", "Pending", "Running", "Succeeded", "Failed", "Unknown"]),
        "containerStatuses": STATUSES,
        "initContainerStatuses": STATUSES,
        "ephemeralContainerStatuses": STATUSES,
        "conditions": st.lists(st.sampled_from([{"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp(NOW - 600)}]), max_size=1),
    },
)


def has_run(status):
    """Whether anything in the status of a pod shows that a container ran."""
    groups = [entries for name, entries in status.items() if name.endswith("Statuses")]
    texts = [str(entry) for entries in groups for entry in entries]
    seen = any(word in text for text in texts for word in ("running", "terminated", "'started': True", "'restartCount': 1", "'restartCount': 2"))
    return seen or status.get("phase") in ("Running", "Succeeded", "Failed", "Unknown")


@settings(max_examples=scaled(200), deadline=None)
@given(PODS, st.booleans(), st.sampled_from(["Never", "OnFailure", "Always"]))
def test_what_ever_ran_and_has_not_finished_is_never_deleted(status, is_task, restart_policy):
    for name in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        status = status | {name: [{"name": f"{name[0]}{number}", **entry} for number, entry in enumerate(status.get(name, []))]}
    metadata = {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1", "creationTimestamp": timestamp(NOW - 900)}
    metadata["labels"] = {"podwright.io/task": "a"} if is_task else {}
    spec = {"restartPolicy": restart_policy, "containers": [{"name": "c0"}, {"name": "c1"}]}
    pod = read_candidate(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})
    everything = retention.RetentionPolicy()
    policies = retention.RetentionPolicies(everything, everything, everything, True, True, True, 0, True, namespace_ttls={"n": 0})
    (decision,) = reclaim.plan_deletion([pod], Owners(), policies, NOW)
    if decision.policy == "stuck":
        assert decision.is_deletion is not has_run(status)
    elif decision.is_deletion and not is_task:
        assert status.get("phase") in ("Succeeded", "Failed")
    elif decision.is_deletion:  # the container of the task has terminated for good
        states = [entry["state"] for entry in status["containerStatuses"][:1]]
        assert status.get("phase") in ("Succeeded", "Failed") or (restart_policy != "Always" and any("terminated" in state for state in states))


SWAPS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.GtE: ast.Gt, ast.Gt: ast.GtE, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In}
SWAPS |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is}
NEGATIONS = SWAPS | {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}
PREFIXES = ("decide_", "_decide_", "_evaluate_", "_state_as_owner", "_unfinished_job", "missing_record")
RULES = {name: function for module in (retention, reclaim) for name, function in inspect.getmembers(module, inspect.isfunction) if name.startswith(PREFIXES)}
CLUSTERS = 4000


def tree_of(name):
    return ast.parse(textwrap.dedent(inspect.getsource(RULES[name])))


def mutations():
    """(function, position of a node in its syntax tree, mutation) for each decision in a rule, without the wording of reasons."""
    for name in RULES:
        tree = tree_of(name)
        wording = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
        for position, node in enumerate(ast.walk(tree)):
            if id(node) not in wording:
                for mutation in mutations_of(node):
                    yield name, position, mutation


def mutations_of(node):
    if isinstance(node, ast.Compare):
        return ["negated", "shifted"] if isinstance(node.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) else ["negated"]
    if isinstance(node, ast.BoolOp):
        return ["swapped"]
    return ["dropped"] if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) else []


def mutate(name, position, mutation):
    """(code of the mutated function, source of the mutated expression)."""
    tree = copy.deepcopy(tree_of(name))
    node = list(ast.walk(tree))[position]
    before = ast.unparse(node)
    if mutation == "negated":
        node.ops[0] = NEGATIONS[type(node.ops[0])]()
    elif mutation == "shifted":
        node.ops[0] = SWAPS[type(node.ops[0])]()
    elif mutation == "swapped":
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    else:
        node.op = ast.UAdd()
    names = dict(RULES[name].__globals__)
    exec(compile(ast.fix_missing_locations(tree), "mutated", "exec", dont_inherit=True, flags=annotations.compiler_flag), names)
    return names[name].__code__, before


@pytest.mark.search
def test_without_mutation_the_same_clusters_pass():
    choose = random.Random(1)
    for _number in range(CLUSTERS):
        objects, policies = random_cluster(choose)
        assert planned(objects, policies) == expected(objects, policies)


@pytest.mark.search
@pytest.mark.parametrize(("function", "position", "mutation"), list(mutations()))
def test_each_mutation_of_a_rule_is_detected(function, position, mutation, monkeypatch):
    code, before = mutate(function, position, mutation)
    monkeypatch.setattr(RULES[function], "__code__", code)
    choose = random.Random(1)
    for _number in range(CLUSTERS):
        objects, policies = random_cluster(choose)
        try:
            if planned(objects, policies) != expected(objects, policies):
                return
        except Exception:
            return  # detected as well
    pytest.fail(f"{function}: '{before}' {mutation} makes no difference in {CLUSTERS} clusters")
