# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Named sets on a server that refuses, loses answers and is used by others: nothing foreign is deleted, and no member is forgotten."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler import executor, reconciler
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.reconciler import Reconciler, ReconcilerOptions
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.sets import GROUP_KINDS, NAMESPACES, PART_OF, ApplySet

from ..support.environment import scaled
from ..support.traces import shown_on_failure
from .fake_cluster import Killed
from .model_server import OURS, ModelServer, is_terminating

PARENT = ("ConfigMap", "shop", "podwright-set-web")
RBAC = "rbac.authorization.k8s.io/v1"
EXAMPLES = scaled(80)


def manifest(kind, name, api_version="v1", namespace=None, **rest):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name} | ({"namespace": namespace} if namespace else {})} | rest


def definition():
    names = {"kind": "Gadget", "plural": "gadgets"}
    spec = {"group": "example.com", "names": names, "scope": "Namespaced", "versions": [{"name": "v1"}]}
    return manifest("CustomResourceDefinition", "gadgets.example.com", "apiextensions.k8s.io/v1", spec=spec)


def universe(rng):
    """All objects that may be in the set, each with one of few contents."""

    def content():
        return {"data": {name: rng.choice("xy") for name in rng.sample("abc", rng.randrange(1, 3))}}

    return [
        manifest("ConfigMap", "one", **content()),
        manifest("ConfigMap", "two", **content()),
        manifest("ConfigMap", "far", namespace="other", **content()),
        manifest("Namespace", "other"),
        manifest("Deployment", "web", "apps/v1", **content()),
        manifest("Role", "reader", RBAC, **content()),
        manifest("ClusterRole", "admin", RBAC, **content()),
        manifest("Gadget", "toy", "example.com/v1", **content()),
        definition(),
    ]


class Session:
    """Runs of one set on one server, each checked."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.server = ModelServer(self.rng)
        self.id = ApplySet("web", "shop").id
        self.server.on_delete = self._check_deletion
        self.named, self.violations = set(), []

    def run(self, verb, manifests, **options):
        """One run. Returns: (outcome, error or None); an outcome of None if the process was killed."""
        server, since = self.server, len(self.server.history)
        server.is_dead, server.taken = False, set()
        foreign = {key for key, item in server.objects.items() if self._label(item) not in (None, self.id)}
        self.named = {(m["kind"], m["metadata"].get("namespace", "shop"), m["metadata"]["name"]) for m in manifests} if verb == "remove" else set()
        server.trace.append(f"--- {verb} {[(m['kind'], m['metadata']['name'], m.get('data')) for m in manifests]} {options}")
        server.kinds.__init__(server._discover)  # another process
        options = ReconcilerOptions(**{"concurrency": 1, "wait": False} | options)
        with pytest.MonkeyPatch.context() as patch:
            for module in (executor, reconciler):
                patch.setattr(module, "wait_until_ready", lambda client, items, *rest, **options: {key: item for key, (_kind, item) in items.items()})
            patch.setattr(executor, "wait_until_deleted", lambda client, items, *rest: self._wait_for_deletions(items))
            try:
                outcome = getattr(Reconciler(server, options, Console()), verb)(manifests, "shop", "web")
            except Killed:
                outcome = None
        server.is_dead = False
        error = outcome.error if outcome else None
        server.trace.append(f"--- {'killed' if outcome is None else error or [(c.action, c.key.kind, c.key.name) for c in outcome.changes]}")
        assert error is None or error.reason != "Unforeseen", str(error)
        assert not self.violations
        written = server.history[since:]
        assert not foreign & {key for _verb, key, _certain in written}, "an object of another set was written"
        if options.check_mode:
            assert not written
        elif outcome:
            self._check_report(outcome, written)
        self._check_record()
        return outcome, error

    def _wait_for_deletions(self, items):
        if self.server.is_disturbed(0.2):
            raise PodwrightError("deletion is blocked by finalizers", reason="WaitFailed")
        self.server.finish_deletions()
        live = {item["metadata"]["uid"] for item in self.server.objects.values()}
        assert not live & {item["metadata"]["uid"] for _kind, item in items.values()}, "it waits for what is not being deleted"

    @staticmethod
    def _label(item):
        return (item["metadata"].get("labels") or {}).get(PART_OF)

    def _check_deletion(self, item):
        metadata = item["metadata"]
        key = (item["kind"], metadata.get("namespace"), metadata["name"])
        is_controlled = any(owner.get("controller") for owner in metadata.get("ownerReferences") or [])
        is_named = (item["kind"], metadata.get("namespace") or "shop", metadata["name"]) in self.named
        if key != PARENT and not is_named and (self._label(item) != self.id or is_controlled):
            self.violations.append(f"{key} is deleted, and is not ours")

    def _check_report(self, outcome, written):
        reported = {(c.key.kind, c.key.namespace or None, c.key.name) for c in outcome.changes if c.is_change}
        sure = {key for _verb, key, certain in written if certain}
        assert outcome.is_changed == bool(reported)
        # The record is shortened after a prune, and that of a new set without members is deleted again.
        record_only = {PARENT} if outcome.is_changed or PARENT not in self.server.objects else set()
        assert sure <= reported | record_only, f"not reported: {sure - reported}"
        assert reported <= {key for _verb, key, _certain in written}, f"reported, not done: {reported - {key for _verb, key, _certain in written}}"

    def _check_record(self):
        """Every member can be found from the parent's record."""
        parent = self.server.objects.get(PARENT)
        annotations = parent["metadata"].get("annotations", {}) if parent else {}
        kinds, namespaces = annotations.get(GROUP_KINDS, "").split(","), [*annotations.get(NAMESPACES, "").split(","), "shop"]
        for (kind, namespace, name), item in self.server.objects.items():
            is_controlled = bool(item["metadata"].get("ownerReferences"))
            if self._label(item) != self.id or is_controlled or is_terminating(item):
                continue
            group = item["apiVersion"].rpartition("/")[0]
            assert parent, f"{kind} {name} is a member of a set without a parent"
            assert f"{kind}.{group}".rstrip(".") in kinds and (namespace is None or namespace in namespaces), f"{kind} {name} is forgotten"

    def members(self):
        """Keys of the members that no controller created."""
        found = [key for key, item in self.server.objects.items() if self._label(item) == self.id and not item["metadata"].get("ownerReferences")]
        return {key for key in found if not is_terminating(self.server.objects[key])}


def key_of(item):
    metadata = item["metadata"]
    is_cluster_scoped = item["kind"] in ("Namespace", "ClusterRole", "CustomResourceDefinition")
    return item["kind"], None if is_cluster_scoped else metadata.get("namespace", "shop"), metadata["name"]


def populate(session):
    """What is there before: objects of nobody, of another set, and of controllers."""
    rng, server = session.rng, session.server
    if rng.random() < 0.5:
        server.namespaces.add("other")
    for item in universe(rng)[:6]:
        if rng.random() < 0.15:
            labels = {PART_OF: "applyset-theirs-v1"} if rng.random() < 0.3 else {}
            server.update(key_of(item), item | {"metadata": item["metadata"] | {"labels": labels}})
            server.namespaces.add(item["metadata"].get("namespace", "shop"))  # there is no object without its namespace
    inherited = manifest("ConfigMap", "inherited", data={"a": "x"})
    inherited["metadata"] |= {"labels": {PART_OF: session.id}, "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": True}]}
    server.update(("ConfigMap", "shop", "inherited"), inherited)


def draw(rng):
    everything = universe(rng)
    chosen = [item for item in everything if rng.random() < 0.5]
    if any(item["kind"] == "Gadget" for item in chosen) and rng.random() < 0.9:
        chosen = [item for item in chosen if item["kind"] != "CustomResourceDefinition"] + [definition()]
    return chosen


def play(seed):
    session = Session(seed)
    rng, server = session.rng, session.server
    with shown_on_failure(server.trace):
        populate(session)
        for _run in range(rng.randrange(1, 4)):
            verb = "remove" if rng.random() < 0.25 else "apply"
            manifests = draw(rng) if verb == "apply" or rng.random() < 0.3 else []
            options = {"prune": verb == "apply" and rng.random() < 0.8, "wait": rng.random() < 0.3, "conflicts": rng.choice(["take", "take", "fail"])}
            server.unlistable = set(rng.sample(["ConfigMap", "Role", "Gadget", "ClusterRole", "Deployment"], rng.choice([0, 0, 0, 1, 2])))
            for key in rng.sample(sorted(session.members(), key=str), min(len(session.members()), rng.choice([0, 0, 1, 3]))):
                server.disturb(key)
            if rng.random() < 0.7:
                server.disturbances = rng.randrange(1, 6)
                session.run(verb, manifests, **options)
                server.disturbances = 0
            if rng.random() < 0.7:
                server.finish_deletions()
            calm_run(session, verb, manifests, options)
        finish(session)


def calm_run(session, verb, manifests, options):
    """Undisturbed, check mode predicts the run, and a second run changes nothing."""
    predicted, refusal = session.run(verb, manifests, **options, check_mode=True)
    done, error = session.run(verb, manifests, **options)
    # Check mode does not know whether a missing namespace will be there.
    assert bool(refusal) == bool(error) or (error and error.is_not_found), f"check mode: {refusal}; the run: {error}"
    if error:
        return
    assert actions_of(predicted) == actions_of(done)
    live = {key for key, item in session.server.objects.items() if not is_terminating(item)}
    assert verb == "remove" or {key_of(item) for item in manifests} <= live
    writes = len(session.server.history)
    again, error = session.run(verb, manifests, **options)
    assert error is None
    if "Gadget" in session.server.unlistable and ("delete", "CustomResourceDefinition") in {(c.action, c.key.kind) for c in done.changes}:
        return  # that there are no more Gadgets is known once their definition is deleted
    assert not again.is_changed and len(session.server.history) == writes, "a second run changed something"


def actions_of(outcome):
    return [(change.action, change.key) for change in outcome.changes]


def kept_of(outcome):
    return {(c.key.kind, c.key.namespace or None, c.key.name) for c in outcome.changes if c.note.startswith("kept")}


def finish(session):
    """Once everything is allowed, a prune leaves exactly the desired members, and a removal nothing."""
    server, rng = session.server, session.rng
    server.unlistable = set()
    server.finish_deletions()
    manifests = [item for item in draw(rng) if session._label(server.objects.get(key_of(item)) or item) in (None, session.id)]
    if not any(item["kind"] == "Namespace" for item in manifests) and "other" not in server.namespaces:
        manifests = [item for item in manifests if item["metadata"].get("namespace") != "other"]
    if not any(item["kind"] == "CustomResourceDefinition" for item in manifests):
        manifests = [item for item in manifests if item["kind"] != "Gadget"]
    done, error = session.run("apply", manifests, prune=True)
    server.finish_deletions()
    if error and error.reason == "ForeignSet":
        return  # somebody has a ConfigMap of the parent's name
    assert error is None, str(error)
    wanted = {key_of(item) for item in manifests}
    assert session.members() == wanted | kept_of(done)
    for item in manifests:
        live = server.objects[key_of(item)]
        assert live.get("data", {}).items() >= item.get("data", {}).items()
        owned = {path for (manager, _operation), paths in server.owners[live["metadata"]["uid"]].items() if manager == OURS for path in paths}
        assert {path[1] for path in owned if path[0] == "data"} == set(item.get("data", {}))
    done, error = session.run("remove", [])
    server.finish_deletions()
    kept = kept_of(done) - {PARENT}  # definitions of objects that are not members
    assert error is None and session.members() == kept and (PARENT in server.objects) == bool(kept)
    assert {kind for kind, _namespace, _name in kept} <= {"CustomResourceDefinition"}
    assert not kept or any(kind == "Gadget" for kind, _namespace, _name in server.objects)
    assert ("ConfigMap", "shop", "inherited") in server.objects


@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_sets_hold_their_promises_whatever_happens(tried, seed):
    play(seed)
    tried("sets in a simulated cluster that refuses, loses answers and is changed by others, with kills", 1, "lost", "wrong")
