# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From any manifest of an object to any other: the object becomes what the other manifest alone makes of it, and check mode predicts it.

PODWRIGHT_SEED sets the seed, PODWRIGHT_KINDS limits the kinds (separated by commas).
"""

from __future__ import annotations

import copy
import itertools
import os
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.operations import resource_set
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import difference

from ..support.environment import scaled
from ..support.operations import call

SEED = int(os.environ.get("PODWRIGHT_SEED", "1"))
KINDS = tuple(filter(None, os.environ.get("PODWRIGHT_KINDS", "").split(",")))
PAIRS = scaled(60)
THREADS = 4
OTHER = "kubectl-create"
DATA = yaml.safe_load((Path(__file__).parent / "transitions.yml").read_text())
IDENTITY = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "name", "namespace", "annotations")
ALLOCATED = ("clusterIP", "clusterIPs", "healthCheckNodePort", "nodePort")
KEPT = ("replicas", "rollingUpdate")  # left to an autoscaler if they are dropped; allowed beside the type OnDelete


def merged(one, other):
    """Two mappings, merged recursively."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return copy.deepcopy(other)
    return one | {key: merged(one[key], value) if key in one else copy.deepcopy(value) for key, value in other.items()}


def read_variants():
    """[(title, {name of the variant: manifest})]."""
    found = []
    deployment = next(kind for kind in DATA["kinds"] if kind["kind"] == "Deployment")
    (container,) = deployment["common"]["spec"]["template"]["spec"]["containers"]
    variants = {}
    for name, parts in DATA["pods"].items():
        spec = {"containers": [container | parts.get("container", {})]} | parts.get("spec", {})
        variants[name] = {"spec": {"replicas": 0, "template": {"spec": spec}}}
    for title, kind in [("Pods", deployment | {"variants": variants}), *((kind.get("title", kind["kind"]), kind) for kind in DATA["kinds"])]:
        base = {"apiVersion": kind["apiVersion"], "kind": kind["kind"], "metadata": {}}
        base = merged(base, kind.get("common", {}))
        if not KINDS or title in KINDS:
            found.append((title, {name: merged(base, variant) for name, variant in kind["variants"].items()}))
    return found


VARIANTS = read_variants()
TRANSITIONS = [(title, before, after) for title, variants in VARIANTS for before, after in itertools.permutations(variants, 2)]


def test_each_transition_leads_to_what_a_creation_leads_to(client, namespace):
    chosen = random.Random(SEED).sample(TRANSITIONS, min(PAIRS, len(TRANSITIONS)))
    problems = problems_of(client, namespace, chosen)
    assert chosen and not problems, "\n".join(problems)


@pytest.mark.long
@pytest.mark.parametrize("title", [title for title, _variants in VARIANTS])
def test_every_transition_leads_to_what_a_creation_leads_to(client, namespace, title):
    problems = problems_of(client, namespace, [transition for transition in TRANSITIONS if transition[0] == title])
    assert not problems, "\n".join(problems)


def problems_of(client, namespace, transitions):
    """What is wrong with some transitions."""
    variants = dict(VARIANTS)

    def run(transition):
        title, before, after = transition
        found = Transition(client, namespace).find_problems(variants[title][before], variants[title][after])
        return [f"{title}: {before} -> {after}: {problem}" for problem in found]

    with ThreadPoolExecutor(THREADS) as pool:
        return list(itertools.chain.from_iterable(pool.map(run, transitions)))


class Transition:
    """One object, which two manifests describe one after the other."""

    def __init__(self, client, namespace):
        self._client, self._namespace = client, namespace

    def find_problems(self, before, after):
        """What is wrong, if anything: with an object that Podwright applied, and with one that another tool created."""
        fresh, first, theirs = (f"t-{uuid.uuid4().hex[:12]}" for _number in range(3))
        try:
            expected = self._state_of(self._apply(after, fresh))
            assert not self._apply(before, first)["failed"]
            yield from self._change(after, first, expected)
            kind = self._client.kinds.resolve(before["apiVersion"], before["kind"])
            self._client.create(kind, self._namespace, named(before, theirs), OTHER)
            yield from (f"{problem} (of another tool)" for problem in self._change(after, theirs, None))
        finally:
            for name in (fresh, first, theirs):
                bare = {"apiVersion": after["apiVersion"], "kind": after["kind"], "metadata": {"name": name}}
                call(resource_set, {"definition": bare, "state": "absent", "wait": False}, self._namespace)

    def _change(self, manifest, name, expected):
        predicted, done = self._apply(manifest, name, check_mode=True), self._apply(manifest, name)
        if done["failed"]:
            # Another tool's fields may exclude those of the manifest; those of Podwright never do.
            is_explained = done["reason"] == "Immutable" or (expected is None and "null" in done["msg"])
            if not is_explained or not predicted["failed"]:
                yield f"failed: {done['msg']}"
            return
        if predicted["failed"] or predicted["changed"] != done["changed"]:
            yield f"predicted {predicted.get('msg') or predicted['changed']}, but {done['changed']}"
        again = self._apply(manifest, name)
        if again["failed"] or again["changed"]:
            yield f"changed again: {again['plan']}"
        if expected is not None and (rest := difference(expected, self._state_of(again))):
            yield f"differs from a creation: {rest}"

    def _apply(self, manifest, name, check_mode=False):
        return call(resource_set, {"definition": named(manifest, name), "wait": False}, self._namespace, check_mode)

    def _state_of(self, result):
        """What the manifest determines of an object, without what is empty."""
        assert not result["failed"], result["msg"]
        (item,) = result["resources"]
        fields = {key: value for key, value in item.items() if key not in ("metadata", "status", *(["data"] if item["kind"] == "Secret" else []))}
        return _solid(fields) | {"metadata": _solid({key: value for key, value in item["metadata"].items() if key not in IDENTITY})}


def named(manifest, name):
    """The manifest with a name."""
    return manifest | {"metadata": manifest["metadata"] | {"name": name}}


def _solid(value):
    if isinstance(value, dict):
        solid = {key: _solid(item) for key, item in value.items() if key not in KEPT and (key not in ALLOCATED or item in ("None", ["None"]))}
        return {key: item for key, item in solid.items() if item not in (None, {}, [])}
    return [_solid(item) for item in value] if isinstance(value, list) else value
