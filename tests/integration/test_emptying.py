# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Custom resources of which fields are emptied: the object becomes what the manifest alone makes of it, beside what others own, as check mode predicts.

PODWRIGHT_SEED sets the seed.
"""

from __future__ import annotations

import copy
import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import DEFINITION
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import resource_set
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import difference

from ..support.environment import scaled
from ..support.mutation import Mutator
from ..support.openapi import OpenApi
from ..support.operations import call, outline
from ..support.waiting import wait_for

SEED = int(os.environ.get("PODWRIGHT_SEED", "1"))
PAIRS = scaled(40)
THREADS = 4
DATA = yaml.safe_load((Path(__file__).parent / "emptying.yml").read_text())
BASE = {key: DATA["object"][key] for key in ("apiVersion", "kind")}
pytestmark = pytest.mark.xdist_group("emptying")  # one definition


@pytest.fixture(scope="module")
def schema(client):
    """The schema of the kind."""
    definition, kind = DATA["definition"], (BASE["apiVersion"], BASE["kind"])
    name = definition["metadata"]["name"]
    wait_for(lambda: not (client.get(DEFINITION, None, name) or {"metadata": {}})["metadata"].get("deletionTimestamp"))
    client.apply(DEFINITION, None, name, definition, "test")
    wait_for(lambda: is_served(client, kind))
    yield OpenApi(client).schema(*kind)
    client.delete(DEFINITION, None, name)


def is_served(client, kind):
    try:
        client.list(client.kinds.resolve(*kind))
        return "spec" in OpenApi(client).schema(*kind).properties()
    except (PodwrightError, LookupError):
        return False


def test_what_is_emptied_is_empty(client, namespace, schema):
    def run(number):
        return Pair(client, namespace, schema, number).find_problem()

    with ThreadPoolExecutor(THREADS) as pool:
        outcomes = list(pool.map(run, range(PAIRS)))
    problems = [problem for problem in outcomes if problem]
    print(f"PODWRIGHT_SEED={SEED}: {PAIRS} pairs")
    assert not problems, "\n".join(problems)


def test_runs_at_the_same_time_that_fill_and_empty_a_map_do_not_fail(namespace, schema):
    given = [BASE | {"metadata": {"name": "v"}, "spec": DATA["object"]["spec"] | {"texts": texts}} for texts in ({}, {"a": "x"}, {"a": "y", "c": "z"})]

    def run(number):
        return call(resource_set, {"definition": given[number % len(given)], "wait": False}, namespace)

    run(1)
    with ThreadPoolExecutor(9) as pool:
        results = list(pool.map(run, range(9)))
    assert [result["msg"] for result in results if result["failed"]] == []
    (live,) = run(0)["resources"]
    assert live["spec"]["texts"] == {}


class Pair:
    """Two manifests of an object, and what others do to it in between."""

    def __init__(self, client, namespace, schema, number):
        self._client, self._namespace = client, namespace
        self._kind = client.kinds.resolve(BASE["apiVersion"], BASE["kind"])
        self._number = number
        chance = random.Random(f"{SEED} {number}")
        mutator = Mutator(schema, chance)
        self._before = self._mutated(mutator, chance, DATA["object"], chance.choice([0, 0, 1, 3, 6]))
        self._after = self._mutated(mutator, chance, self._before if chance.random() < 0.7 else DATA["object"], chance.choice([1, 1, 2, 3, 5, 9]))
        self._others = chance.choice([("applied", part) for part in DATA["applied"]] + [("merged", part) for part in DATA["merged"]] + [None] * 6)
        self._options = {"wait": False, "conflicts": "fail" if chance.random() < 0.2 else "take"}

    def _mutated(self, mutator, chance, manifest, times):
        """Changes a manifest that many times; a state that the API server refuses as a new object is none."""
        for _time in range(times):
            changed = copy.deepcopy(manifest)
            mutator.empty(changed) if chance.random() < 0.8 else mutator.mutate(changed)
            if self._is_valid(changed):
                manifest = changed
        return manifest

    def _is_valid(self, manifest):
        # The API server takes an item whose merge key is null for another one in the next apply. Nobody would remove finalizers and owners.
        if '"protocol": null' in json.dumps(manifest) or manifest.get("metadata", {}).keys() & {"finalizers", "ownerReferences"}:
            return False
        try:
            self._client.apply(self._kind, self._namespace, "new", self._named(manifest, "new"), "test", dry_run=True)
        except PodwrightError:
            return False
        return True

    def find_problem(self):
        """What is wrong, if anything."""
        name, fresh = f"v-{self._number}", f"f-{self._number}"
        first = self._run(self._before, name)
        if first["failed"]:
            return self._describe(f"{first['msg']} at the first run")
        self._change_as_others(name)
        checked, ran = self._run(self._after, name, is_check=True), self._run(self._after, name)
        again = self._run(self._after, name)
        if outline(checked) != outline(ran):
            return self._describe(f"{checked.get('msg') or outline(checked)} was predicted, {ran.get('msg') or outline(ran)} happened")
        if ran["failed"]:
            is_explained = self._options["conflicts"] == "fail" and "conflict" in ran["msg"]
            return "" if is_explained else self._describe(ran["msg"])
        if again["failed"] or again["changed"]:
            return self._describe(f"changed again: {again.get('msg') or outline(again)}")
        self._run(self._after, fresh)
        self._change_as_others(fresh)
        made, ran = (self._run(self._after, other) for other in (fresh, name))
        if made["failed"]:
            return ""  # others conflict with it
        rest = difference(*(self._named(self._in_order(result["resources"][0]), name) for result in (made, ran)))
        return self._describe(f"differs from a new object: {rest}") if rest else ""

    def _run(self, manifest, name, is_check=False):
        return call(resource_set, self._options | {"definition": self._named(manifest, name)}, self._namespace, is_check)

    def _named(self, manifest, name):
        metadata = {key: value for key, value in (manifest.get("metadata") or {}).items() if key != "name"}
        return manifest | {"metadata": metadata | {"name": name}}

    def _change_as_others(self, name):
        if not self._others:
            return
        verb, part = self._others
        if verb == "applied":
            self._client.apply(self._kind, self._namespace, name, self._named(BASE | part, name), "another-applier")
        else:
            self._client.patch(self._kind, self._namespace, name, part, "other", MERGE_PATCH)

    def _in_order(self, value):
        """A value whose lists are sorted if others have added to them, in whichever order; without empty ones, which have no owner: an apply keeps them."""
        if isinstance(value, dict):
            return {key: self._in_order(item) for key, item in value.items() if item != []}
        if isinstance(value, list) and self._others:
            return sorted(map(self._in_order, value), key=json.dumps)
        return value

    def _describe(self, problem):
        patch = difference(self._named(self._before, "x"), self._named(self._after, "x"))
        return f"{self._number} {self._options['conflicts']}: {problem}\n  from {json.dumps(self._before)}\n  by {json.dumps(patch)}\n  others {self._others}"
