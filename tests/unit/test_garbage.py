# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pod_gc deletes: random clusters against an independent statement of the rules, and each rule mutated."""

from __future__ import annotations

import ast
import copy
import datetime
import inspect
import random
import sys
import types
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, JOB, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.garbage import retention as garbage

NOW = 1_000_000
CONFIG_MAP, POLICY = BUILT_IN["v1", "ConfigMap"], BUILT_IN["networking.k8s.io/v1", "NetworkPolicy"]
KINDS = {"Pod": POD, "Job": JOB, "ConfigMap": CONFIG_MAP, "NetworkPolicy": POLICY}
# Few different times, so that ages meet limits exactly, and some from a node whose clock is minutes ahead.
MOMENTS = [NOW + offset for offset in (-900, -600, -600, -300, -120, -60, -60, 0, 240)]
LIMITS = [0, 60, 120, 600]


@dataclass
class Link:
    """That one object belongs to another, as the world knows it."""

    kind: str
    name: str
    uid: str
    controls: bool
    truth: str  # alive, finished, gone, or unlisted
    by_label: bool = False


@dataclass
class Thing:
    """An object of a random cluster and the facts about it."""

    kind: str
    namespace: str
    name: str
    uid: str
    state: str  # one of a pod's in POD_PARTS, evicted, or a Job's; record or leftover
    created: int
    ended: int
    due: int | None
    ttl: int | None
    task: str | None
    scheduled: int | None = None
    is_blocked: bool = False  # its deletion waits for nothing but a finalizer
    links: list = field(default_factory=list)


def written(moment):
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def manifest(thing):
    """The object as the API server would hand it out."""
    metadata = {"name": thing.name, "namespace": thing.namespace, "uid": thing.uid, "resourceVersion": "1", "creationTimestamp": written(thing.created)}
    metadata |= {"labels": {}, "annotations": {}}
    metadata["labels"] |= {"podwright.io/task": thing.task} if thing.task else {}
    metadata["labels"] |= {"podwright.io/record": "true"} if thing.state == "record" else {}
    metadata["annotations"] |= {"podwright.io/ttl": str(thing.ttl)} if thing.ttl is not None else {}
    metadata |= {"deletionTimestamp": written(thing.due)} if thing.due is not None else {}
    metadata |= {"deletionGracePeriodSeconds": 0 if thing.is_blocked else 30, "finalizers": ["example.com/hold"]} if thing.due is not None else {}
    references = [link for link in thing.links if not link.by_label]
    metadata["ownerReferences"] = [{"apiVersion": api(k.kind), "kind": k.kind, "name": k.name, "uid": k.uid, "controller": k.controls} for k in references]
    for link in thing.links:
        if link.by_label:
            metadata["labels"]["podwright.io/parent"] = link.uid
            metadata["annotations"]["podwright.io/parent"] = f"{api(link.kind)} {link.kind} {link.name}"
    item = {"apiVersion": KINDS[thing.kind].api_version, "kind": thing.kind, "metadata": metadata}
    if thing.kind == "Pod":
        item |= pod_part(thing)
    if thing.state == "record":
        item["data"] = {"finished_at": written(thing.ended)}
    if thing.kind == "Job":
        over = {"succeeded": "Complete", "failed": "Failed"}.get(thing.state)
        item["status"] = {"conditions": [{"type": over, "status": "True", "lastTransitionTime": written(thing.ended)}] if over else []}
    return item


def api(kind):
    return {"Job": "batch/v1", "Widget": "example.com/v1", "Gadget": "example.com/v1"}.get(kind, "v1")


def terminated(code, moment):
    return {"terminated": {"exitCode": code, "finishedAt": written(moment)}}


# What a pod's status says of its containers in each state; the task's own container is first.
BACK_OFF, WAITING = {"waiting": {"reason": "ImagePullBackOff"}}, {"waiting": {"reason": "PodInitializing"}}
POD_PARTS = {
    "unseen": lambda moment: {},  # no kubelet has said a word
    "gated": lambda moment: {},
    "pulling": lambda moment: {"containerStatuses": [{"name": "task", "state": BACK_OFF}], "initContainerStatuses": [{"name": "init", "state": WAITING}]},
    "running": lambda moment: {"containerStatuses": [{"name": "task", "state": {"running": {}}}]},
    "crashing": lambda moment: {
        "containerStatuses": [{"name": "task", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": terminated(1, moment)}]
    },
    "restarted": lambda moment: {"containerStatuses": [{"name": "task", "state": BACK_OFF, "restartCount": 3}]},  # its last state was lost
    "initializing": lambda moment: {
        "containerStatuses": [{"name": "task", "state": WAITING}],
        "initContainerStatuses": [{"name": "init", "state": {"running": {}}}],
    },
    "initialized": lambda moment: {
        "containerStatuses": [{"name": "task", "state": BACK_OFF}],
        "initContainerStatuses": [{"name": "init", "state": terminated(0, moment)}],
    },
    "lame": lambda moment: {"containerStatuses": [{"name": "task", "state": {"running": {}}}, {"name": "sidecar", "state": BACK_OFF}]},
    "debugged": lambda moment: {
        "containerStatuses": [{"name": "task", "state": BACK_OFF}],
        "ephemeralContainerStatuses": [{"name": "debug", "state": {"running": {}}}],
    },
    "succeeded": lambda moment: {"containerStatuses": [{"name": "task", "state": terminated(0, moment)}]},
    "failed": lambda moment: {"containerStatuses": [{"name": "task", "state": terminated(1, moment)}]},
}
OVER, NEVER_STARTED = ("succeeded", "failed", "evicted"), ("unseen", "pulling")


def pod_part(thing):
    spec = {"restartPolicy": "Never", "containers": [{"name": "task"}]}
    if thing.state == "evicted":
        return {"spec": spec, "status": {"phase": "Failed", "reason": "Evicted", "conditions": [{"type": "Ready", "lastTransitionTime": written(thing.ended)}]}}
    spec |= {"schedulingGates": [{"name": "example.com/queue"}]} if thing.state == "gated" else {}
    status = {"phase": "Running" if thing.state in (*OVER, "running") else "Pending"} | POD_PARTS[thing.state](thing.ended)
    if thing.scheduled is not None:
        status["conditions"] = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": written(thing.scheduled)}]
    return {"spec": spec, "status": status}


def make_world(choose):
    """A random cluster: (things, policies, names of kinds that cannot be listed)."""
    things = []
    for number in range(choose.randint(1, 7)):
        kind = choose.choice(["Pod", "Pod", "Pod", "Job", "ConfigMap", "NetworkPolicy"])
        states = {"Pod": ["unseen", "succeeded", "succeeded", "failed", "evicted", *POD_PARTS], "Job": ["running", "succeeded", "failed"]}
        state = choose.choice(states.get(kind, ["leftover"] if kind == "NetworkPolicy" else ["leftover", "record"]))
        created, ended = choose.choice(MOMENTS), choose.choice(MOMENTS)
        if state == "leftover":
            ended = created
        due = choose.choice(MOMENTS) if choose.random() < 0.2 else None
        task = choose.choice([None, "build", "test"])
        ttl = choose.choice([None, None, 0, 60, 600])
        scheduled, is_blocked = choose.choice([None, *MOMENTS]), choose.random() < 0.3
        things.append(Thing(kind, choose.choice("ab"), f"n{choose.randint(0, 3)}", f"u{number}", state, created, ended, due, ttl, task, scheduled, is_blocked))
    for thing in things:
        thing.links = make_links(choose, things, thing)
    policies = garbage.RetentionPolicies(
        **{name: choose.choice([None, garbage.RetentionPolicy(choose.choice(LIMITS), choose.randint(0, 2))]) for name in ("completed", "failed", "records")},
        **{name: choose.random() < 0.5 for name in ("orphaned", "evicted", "expired", "force")},
        stuck_after=choose.choice([None, *LIMITS]),
        reclaim=frozenset(choose.sample(["ConfigMap", "NetworkPolicy", "Job"], choose.randint(0, 3))),
        reclaim_age=choose.choice(LIMITS),
        default_ttl={"a": choose.choice(LIMITS)} if choose.random() < 0.5 else {},
    )
    return [thing for thing in things if is_listed(thing, policies)], policies


def is_listed(thing, policies):
    """What the operation would have asked for: pods, what is to be reclaimed, Jobs beside it, records where wanted."""
    if thing.kind == "Pod" or thing.kind in policies.reclaim:
        return True
    return bool(policies.reclaim) if thing.kind == "Job" else thing.state == "record" and bool(policies.records or policies.expired)


def make_links(choose, things, thing):
    links = []
    for number in range(choose.choice([0, 0, 1, 1, 2])):
        others = [other for other in things if other.kind in ("Pod", "Job") and other is not thing and other.namespace == thing.namespace]
        if others and choose.random() < 0.5:
            other = choose.choice(others)
            uid, truth = other.uid, "alive" if other.due is not None or other.state not in OVER else "finished"
            if choose.random() < 0.3:  # its name was taken over by another one
                uid, truth = "old", "gone"
            links.append(Link(other.kind, other.name, uid, number == 0 and choose.random() < 0.5, truth))
        else:
            truth = choose.choice(["alive", "finished", "gone", "unlisted"])
            kind = "Gadget" if truth == "unlisted" else choose.choice(["Widget", "Job", "Pod"])
            links.append(Link(kind, "w", f"{thing.uid}-w{number}", number == 0 and choose.random() < 0.5, truth))
    if links and choose.random() < 0.2:
        links[-1].by_label, links[-1].controls = True, False
    return links


# -- the rules, stated once more and in another way -----------------------------------------------------------


def expected(things, policies):
    """uid -> (rule, whether by force) of exactly those that go."""
    going = {}
    for pod in (thing for thing in things if thing.kind == "Pod"):
        rules = pod_rules(pod, things, policies)
        if rules:
            going[pod.uid] = rules[0]
    for job in (thing for thing in things if thing.kind == "Job" and "Job" in policies.reclaim):
        has_pods = any(p.kind == "Pod" and p.uid not in going and any(k.controls and k.uid == job.uid for k in first_controller(p)) for p in things)
        if job.due is None and job.state != "running" and not has_pods and NOW - job.created >= policies.reclaim_age:
            going[job.uid] = ("reclaim", False)
    users = {(t.namespace, t.task) for t in things if t.kind in ("Pod", "Job") and t.uid not in going}
    for thing in (thing for thing in things if thing.kind not in ("Pod", "Job")):
        if thing.due is not None:
            continue
        if thing.state == "record":
            if policies.expired and thing.ttl is not None and NOW - thing.ended >= thing.ttl:
                going[thing.uid] = ("expired", False)
            elif policies.records and NOW - thing.ended >= policies.records.max_age and later(thing, things) >= policies.records.keep_last:
                going[thing.uid] = ("records", False)
        elif NOW - thing.created >= policies.reclaim_age:
            lonely = all(k.truth == "gone" for k in thing.links) if thing.links else thing.task and (thing.namespace, thing.task) not in users
            if lonely:
                going[thing.uid] = ("reclaim", False)
    return going


def pod_rules(pod, things, policies):
    if pod.due is not None:
        late = policies.stuck_after is not None and policies.force and not pod.is_blocked and NOW - pod.due >= policies.stuck_after
        return [("stuck", True)] if late else []
    over = pod.state in OVER
    is_free = not any(k.kind == "Job" and k.truth in ("alive", "unlisted") for k in first_controller(pod))
    age = NOW - pod.ended
    ttl = policies.default_ttl.get(pod.namespace) if pod.ttl is None else pod.ttl
    rules = []
    if policies.orphaned and pod.links and all(k.truth == "gone" or (k.truth == "finished" and not k.controls) for k in pod.links):
        rules.append(("orphaned", False))
    if policies.evicted and pod.state == "evicted":
        rules.append(("evicted", False))
    if policies.expired and over and is_free and ttl is not None and age >= ttl:
        rules.append(("expired", False))
    waits_since = pod.created if pod.scheduled is None else pod.scheduled
    if policies.stuck_after is not None and pod.state in NEVER_STARTED and NOW - waits_since >= policies.stuck_after:
        rules.append(("stuck", policies.force))
    for rule, keep, states in (("completed", policies.completed, ["succeeded"]), ("failed", policies.failed, ["failed", "evicted"])):
        if keep and pod.state in states and is_free and age >= keep.max_age and later(pod, things) >= keep.keep_last:
            rules.append((rule, False))
    return rules


def first_controller(pod):
    return [k for k in pod.links if k.controls][:1]


def later(thing, things):
    """How many of its namespace and sort ended after it (by name where at the same time)."""
    sort = {"evicted": "failed"}.get(thing.state, thing.state)
    alike = [
        t for t in things if t.kind == thing.kind and t.namespace == thing.namespace and t.due is None and {"evicted": "failed"}.get(t.state, t.state) == sort
    ]
    alike.sort(key=lambda t: (-t.ended, t.name))
    return next(number for number, t in enumerate(alike) if t is thing)


# -- the comparison -------------------------------------------------------------------------------------------


def planned(module, things, policies):
    """The same by the code under test: uid -> (rule, whether by force)."""
    subjects = [module.read_subject(KINDS[thing.kind], manifest(thing)) for thing in things]
    links = [link for thing in things for link in thing.links]
    known = {truth: frozenset(link.uid for link in links if link.truth == truth) for truth in ("alive", "finished")}
    kinds = frozenset((api(link.kind), link.kind) for link in links if link.truth == "unlisted")
    decisions = module.plan(subjects, module.Owners(known["alive"], known["finished"], kinds), policies, NOW)
    first = [decision.goes for decision in decisions]
    assert first == sorted(first, reverse=True), "what goes comes first"
    assert all(decision.why for decision in decisions)
    return {decision.subject.uid: (decision.rule, decision.force) for decision in decisions if decision.goes}


@settings(max_examples=1500, deadline=None)
@given(st.randoms(use_true_random=False))
def test_exactly_what_the_rules_say_goes(choose):
    things, policies = make_world(choose)
    assert planned(garbage, things, policies) == expected(things, policies)


SWAPS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.GtE: ast.Gt, ast.Gt: ast.GtE, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In}
SWAPS |= {ast.Is: ast.IsNot, ast.IsNot: ast.Is}
TREE = ast.parse(inspect.getsource(garbage))
WORLDS = 4000


def mutations():
    """(function, position of the node in it, change) for each decision in a rule: comparisons turned and shifted, and/or swapped, not left out."""
    for function in (
        node for node in TREE.body if isinstance(node, ast.FunctionDef) and node.name.startswith(("_decide", "_judge", "_owner_state", "_busy", "_why"))
    ):
        wording = {id(part) for node in ast.walk(function) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
        wording |= {
            id(part) for node in ast.walk(function) if isinstance(node, ast.Assign) and node.targets[0].id in ("what", "reason") for part in ast.walk(node)
        }
        for position, node in enumerate(ast.walk(function)):
            if id(node) not in wording:
                for change in changes_of(node):
                    yield function.name, position, change


def changes_of(node):
    if isinstance(node, ast.Compare):
        return ["turned", "shifted"] if isinstance(node.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) else ["turned"]
    if isinstance(node, ast.BoolOp):
        return ["swapped"]
    return ["dropped"] if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) else []


def mutate(function_name, position, change):
    """(the module with that change, source of what was changed)."""
    tree = copy.deepcopy(TREE)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function_name)
    node = list(ast.walk(function))[position]
    before = ast.unparse(node)
    if change == "turned":
        turned = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}
        node.ops[0] = (turned.get(type(node.ops[0])) or SWAPS[type(node.ops[0])])()
    elif change == "shifted":
        node.ops[0] = SWAPS[type(node.ops[0])]()
    elif change == "swapped":
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    else:
        node.op = ast.UAdd()
    module = types.ModuleType(garbage.__name__ + "_mutated")
    module.__package__ = garbage.__package__
    sys.modules[module.__name__] = module
    exec(compile(ast.fix_missing_locations(tree), "mutated", "exec"), module.__dict__)
    return module, before


def test_unmutated_the_same_clusters_hold():
    choose = random.Random(1)
    for _world in range(WORLDS):
        things, policies = make_world(choose)
        assert planned(garbage, things, policies) == expected(things, policies)


@pytest.mark.parametrize(("function", "position", "change"), list(mutations()))
def test_each_rule_mutated_is_noticed(function, position, change):
    module, before = mutate(function, position, change)
    choose = random.Random(1)
    for _world in range(WORLDS):
        things, policies = make_world(choose)
        try:
            if planned(module, things, policies) != expected(things, policies):
                return
        except Exception:
            return  # noticed as well
    pytest.fail(f"{function}: '{before}' {change} makes no difference in {WORLDS} clusters")
