# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The local comparison and the API server: for generated live and desired states a dry-run apply decides which is right."""

from __future__ import annotations

import copy
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MANAGER, MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.fields import is_current
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import clean, difference

from ..support.waiting import wait_for

SEED = int(os.environ.get("PODWRIGHT_SEED", "1"))
PAIRS = int(os.environ.get("PODWRIGHT_PAIRS", "40"))  # for each live state
pytestmark = pytest.mark.xdist_group("differential")  # one definition of Gadget
CORPUS = yaml.safe_load((Path(__file__).parent / "corpus.yml").read_text())
GADGETS = BUILT_IN["apiextensions.k8s.io/v1", "CustomResourceDefinition"]
FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SPEC = {
    "interval": {"type": "integer", "nullable": True, "default": 30},
    "limits": {"type": "object", "additionalProperties": {"type": "string"}},
    "resources": FREE,
    "port": {"x-kubernetes-int-or-string": True, "default": 8080},
    "ports": {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["number", "protocol"],
        "items": {
            "type": "object",
            "required": ["number"],
            "properties": {"number": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "note": {"type": "string"}},
        },
    },
    "free": FREE,
    "atoms": {"type": "array", "items": {"type": "string"}},
    "unique": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    "whole": FREE | {"x-kubernetes-map-type": "atomic"},
}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gadgets.differential.example.com"},
    "spec": {
        "group": "differential.example.com",
        "scope": "Namespaced",
        "names": {"kind": "Gadget", "plural": "gadgets"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": SPEC}}}},
            }
        ],
    },
}
RESPELLED = {
    "1000m": ["1", 1, "1.0", "1e0"],
    "1024Mi": ["1Gi", "1073741824"],
    "0.5": ["500m", 0.5],
    "2000m": ["2", 2],
    "512Mi": ["0.5Gi"],
    "1.10": ["1.1", 1.1],
}


@pytest.fixture(scope="module")
def gadgets(client):
    client.apply(GADGETS, None, DEFINITION["metadata"]["name"], DEFINITION, "test")
    kind = wait_for(lambda: _served(client))
    yield kind
    client.delete(GADGETS, None, DEFINITION["metadata"]["name"])


def _served(client):
    try:
        kind = client.kinds.find_served("differential.example.com", "Gadget")
        client.list(kind, "default")
        return kind
    except PodwrightError:
        return None


def places(value: object, path: tuple = ()) -> Iterator[tuple]:
    """The paths of everything in a manifest that may be mutated."""
    if path and path[0] not in ("apiVersion", "kind") and path not in (("metadata",), ("metadata", "name"), ("spec",)):
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def mutate(manifest: dict, chance: random.Random) -> str:
    """Change one value of a manifest in place. Returns a description."""
    paths = list(places(manifest))
    if not paths:
        return "nothing"
    path = chance.choice(paths)
    parent = manifest
    for step in path[:-1]:
        parent = parent[step]
    key = path[-1]
    value = parent[key]
    actions = {"remove": None, "null": None} | ({"empty map": {}, "empty list": []} if value else {})
    if isinstance(value, list) and value:
        actions |= {
            "shuffle": chance.sample(value, len(value)),
            "repeat": [*value, copy.deepcopy(value[0])],
            "shorten": value[1:],
            "reverse": value[::-1],
        }
    elif isinstance(value, dict):
        actions |= {"add": value | {"added": "1"}, "other order": dict(reversed(value.items()))}
    elif isinstance(value, bool):
        actions |= {"flip": not value, "as number": int(value)}
    elif isinstance(value, (int, float)):
        actions |= {"more": value + 1, "as text": str(value)}
    elif isinstance(value, str):
        actions |= {"other": value + "x", "respelled": chance.choice(RESPELLED.get(value, [value])), "upper": value.upper()}
    name = chance.choice(list(actions))
    if name == "remove":
        del parent[key]
    else:
        parent[key] = actions[name]
    return f"{name} {'.'.join(map(str, path))}"


def live_states(client, kind, namespace, manifest) -> Iterator[dict]:
    """The object as applied; with additions of other managers; and with changes of other managers."""
    name = manifest["metadata"]["name"]
    desired = clean(manifest)
    yield client.apply(kind, namespace, name, desired, MANAGER)
    yield client.patch(kind, namespace, name, {"metadata": {"labels": {"theirs": "1"}, "annotations": {"theirs": "2"}}}, "other", MERGE_PATCH)
    labels = manifest["metadata"].get("labels") or {}
    if labels:
        yield client.patch(kind, namespace, name, {"metadata": {"labels": {min(labels): "changed"}}}, "other", MERGE_PATCH)
    client.apply(kind, namespace, name, desired, MANAGER)
    other = {key: manifest[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": name, "labels": labels | {"shared": "1"}}}
    yield client.apply(kind, namespace, name, other, "another-applier")


def answer(client, kind, namespace, desired, live) -> str:
    """The answer of the API server to an apply: `same`, `changed` or `refused`."""
    try:
        after = client.apply(kind, namespace, desired["metadata"]["name"], desired, MANAGER, dry_run=True)
    except PodwrightError:
        return "refused"
    return "changed" if difference(live, after) else "same"


@pytest.mark.parametrize("manifest", CORPUS, ids=[manifest["kind"] for manifest in CORPUS])
def test_unchanged_object_is_unchanged_by_an_apply(client, namespace, gadgets, manifest):
    """No object is reported as unchanged that an apply changes or the API server refuses."""
    kind = BUILT_IN.get((manifest["apiVersion"], manifest["kind"]), gadgets)
    chance = random.Random(f"{SEED} {manifest['kind']}")
    counts, wrong = Counter(), []
    for number, live in enumerate(live_states(client, kind, namespace, manifest)):
        for _pair in range(PAIRS):
            mutant = copy.deepcopy(manifest)
            done = [mutate(mutant, chance) for _time in range(chance.choice((0, 1, 1, 1, 2, 3)))]
            desired = clean(mutant)
            local, told = is_current(desired, live, MANAGER), answer(client, kind, namespace, desired, live)
            counts[local, told] += 1
            if local and told != "same":
                wrong.append(f"live state {number}: {', '.join(done) or 'nothing'} is {told}")
    print(f"{manifest['kind']}: {dict(counts)} PODWRIGHT_SEED={SEED}")
    assert not wrong
    # What a LimitRange defaults from its other values, and a definition's own defaults, costs a request each time.
    assert counts[True, "same"] or manifest["kind"] in ("LimitRange", "Gadget")
