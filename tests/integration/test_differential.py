# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The local comparison and the API server: for generated live and desired states a dry-run apply decides which is right.

PODWRIGHT_SEED sets the seed, PODWRIGHT_KINDS limits the kinds (separated by commas).
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MANAGER, MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import DEFINITION
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import resource_set
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.fields import is_current, owned_fields
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import clean, difference

from ..support.environment import scaled
from ..support.mutation import Mutator, is_kept, value_at
from ..support.openapi import OpenApi
from ..support.operations import call, outline
from ..support.waiting import wait_for

SEED = int(os.environ.get("PODWRIGHT_SEED", "1"))
PAIRS = scaled(500)
KINDS = tuple(filter(None, os.environ.get("PODWRIGHT_KINDS", "").split(",")))
RUNS = PAIRS // 16
THREADS = 4
OTHER, APPLIER = "other", "another-applier"
pytestmark = pytest.mark.xdist_group("differential")  # one set of definitions
CORPUS = [manifest for manifest in yaml.safe_load((Path(__file__).parent / "corpus.yml").read_text()) if not KINDS or manifest["kind"] in KINDS]
DEFINITIONS = yaml.safe_load((Path(__file__).parent / "definitions.yml").read_text())
SHARED = ("ServiceCIDR", "APIService")  # these exist anyway
# What other managers must not change: pods would start, or be scheduled to a node that is none.
CALM = ("replicas", "suspend", "parallelism", "unschedulable", "taints", "schedulerName")


@pytest.fixture(scope="module")
def definitions(client):
    """The definitions of the custom resources in the corpus."""
    names = [definition["metadata"]["name"] for definition in DEFINITIONS]
    # Those of an earlier run may be about to vanish.
    wait_for(lambda: not any((client.get(DEFINITION, None, name) or {"metadata": {}})["metadata"].get("deletionTimestamp") for name in names))
    for definition in DEFINITIONS:
        client.apply(DEFINITION, None, definition["metadata"]["name"], definition, "test")
    wait_for(lambda: all(_is_served(client, definition["spec"]["names"]["kind"]) for definition in DEFINITIONS))
    yield
    for definition in DEFINITIONS:
        client.delete(DEFINITION, None, definition["metadata"]["name"])


def _is_served(client, kind):
    try:
        client.list(client.kinds.resolve("differential.example.com/v1", kind))
        return kind in OpenApi(client).schema("differential.example.com/v1", kind).own["x-kubernetes-group-version-kind"][0].values()
    except (PodwrightError, LookupError):
        return False


@pytest.fixture
def subjects(client, make_namespace, definitions):
    """A function that returns a Subject for each manifest of the corpus; the cluster-scoped objects are deleted afterwards."""
    made, namespace, limits = [], make_namespace(), make_namespace()

    def make():
        schemas = OpenApi(client)
        run = f"test-{uuid.uuid4().hex[:8]}"
        # Quotas would refuse the objects of others, once there are many.
        made.extend(Subject(client, schemas, limits if manifest["kind"] == "ResourceQuota" else namespace, manifest, run) for manifest in CORPUS)
        return made

    yield make
    with ThreadPoolExecutor(THREADS) as pool:
        done = [pool.submit(subject.delete) for subject in made]
    for future in done:
        future.result()


class Subject:
    """A manifest of the corpus and its objects in the cluster."""

    def __init__(self, client, schemas, namespace, manifest, run):
        self.client = client
        self.kind = client.kinds.resolve(manifest["apiVersion"], manifest["kind"])
        self.namespace = namespace if self.kind.namespaced else None
        self.chance = random.Random(f"{SEED} {self.kind}")
        self._schemas = schemas
        self._run = run
        self._manifest = manifest
        self._names = set()

    def mutator(self):
        return Mutator(self._schemas.schema(self.kind.api_version, self.kind.name), self.chance)

    def manifest(self, number):
        """The manifest with a name of its own."""
        unique = self._run if self.kind == DEFINITION else f"{self._run}-{number}"
        text = json.dumps(self._manifest).replace("RUN", unique).replace("ADDRESS", f"{int(self._run[-4:], 16) | 0x1000:x}:{number + 1:x}")
        text = text.replace("NAMESPACE", self.namespace or "")
        manifest = json.loads(text)
        if self.namespace:
            manifest["metadata"]["name"] += f"-{number}"
        self._names.add(manifest["metadata"]["name"])
        return manifest

    def apply(self, manifest, manager=MANAGER, dry_run=False):
        return self.client.apply(self.kind, self.namespace, manifest["metadata"]["name"], clean(manifest), manager, dry_run=dry_run)

    def patch(self, manifest, patch):
        return self.client.patch(self.kind, self.namespace, manifest["metadata"]["name"], patch, OTHER, MERGE_PATCH)

    def get(self, manifest):
        return self.client.get(self.kind, self.namespace, manifest["metadata"]["name"])

    def accepted(self, manifest, times):
        """The manifest with further fields that the API server accepts and keeps, and in other spellings."""
        for _time in range(times):
            grown, mutator = copy.deepcopy(manifest), self.mutator()
            mutator.grow(grown) if self.chance.random() < 0.7 else mutator.respell(grown)
            with contextlib.suppress(PodwrightError, LookupError, TypeError):
                if is_kept(value_at(grown, mutator.added), value_at(self.apply(grown, dry_run=True), mutator.added)):
                    manifest = grown
        return manifest

    def delete(self):
        """Delete what was created: nobody else removes the finalizers that it may have."""
        for name in self._names:
            bare = {"apiVersion": self.kind.api_version, "kind": self.kind.name, "metadata": {"name": name}}
            if self.kind.name in SHARED:
                self.apply(bare)
                self.apply(bare, APPLIER)
                self.patch(bare, {"metadata": {"labels": {"theirs": None}, "annotations": {"theirs": None}}})
                continue
            if not self.namespace:
                self.client.delete(self.kind, None, name)
            item = self.get(bare)
            if item and item["metadata"].get("finalizers"):
                with contextlib.suppress(PodwrightError):  # its controller may remove them, too
                    self.patch(bare, {"metadata": {"finalizers": None}})


def live_states(subject, number) -> Iterator[tuple[str, dict, dict]]:
    """(description, manifest, live object): as applied; with additions and changes of other managers; with all defaults written out."""
    manifest = subject.manifest(number)
    manifest = subject.accepted(manifest, subject.chance.randint(0, 4))
    yield "applied", manifest, subject.apply(manifest)
    yield "added to", manifest, subject.patch(manifest, {"metadata": {"labels": {"theirs": "1"}, "annotations": {"theirs": "2"}}})
    taken = copy.deepcopy(manifest)
    if subject.kind.name not in (*SHARED, "Node", "IPAddress"):
        subject.mutator().mutate(taken)
    _calm(taken, manifest)
    try:
        yield "changed", manifest, subject.apply(taken, APPLIER)
    except PodwrightError:
        labels = {"metadata": {"labels": dict.fromkeys(manifest["metadata"].get("labels") or {}, "changed")}}
        yield "changed", manifest, subject.patch(manifest, labels)
    with contextlib.suppress(PodwrightError):  # a field that another manager made immutable cannot be taken back
        yield "taken back", manifest, subject.apply(manifest)
    exported = clean(subject.get(manifest))
    with contextlib.suppress(PodwrightError):
        yield "written out", exported, subject.apply(exported)


def _calm(value, original):
    """Restore the values that other managers must not change."""
    if isinstance(value, dict) and isinstance(original, dict):
        for key, item in original.items():
            if key in CALM or (key == "nodeSelector" and item):
                value[key] = copy.deepcopy(item)
            else:
                _calm(value.get(key), item)


def mutated(subject, manifest):
    """A desired state, and what was done to get there from the manifest."""
    desired, mutator, chance = copy.deepcopy(manifest), subject.mutator(), subject.chance
    draw = chance.random()
    if draw < 0.2:
        return desired, "nothing"
    if draw < 0.55:
        return desired, mutator.respell(desired)
    return desired, ", ".join(mutator.mutate(desired) for _time in range(chance.choice((1, 1, 1, 2, 3))))


def answer(subject, desired, live) -> str:
    """The answer of the API server to an apply: `same`, `owned` (only the ownership of fields would change), `changed` or `refused`."""
    try:
        after = subject.apply(desired, dry_run=True)
    except PodwrightError:
        return "refused"
    if difference(live, after):
        return "changed"
    return "same" if owned_fields(live, MANAGER) == owned_fields(after, MANAGER) else "owned"


def compare(subject, manifest, live):
    """(local answer, the server's answer, what was done)."""
    desired, done = mutated(subject, manifest)
    try:
        cleaned = clean(desired)
    except PodwrightError:
        return False, "refused", done
    local, remote = is_current(cleaned, live, MANAGER), answer(subject, desired, live)
    if local != (remote == "same"):  # a controller may have changed the object meanwhile
        live = subject.get(manifest)
        local, remote = is_current(cleaned, live, MANAGER), answer(subject, desired, live)
    return local, remote, done


def compare_all(subject, count):
    """Compare that many pairs. Returns: the number of each (local answer, answer of the server); descriptions of needless requests and of wrong answers."""
    counts, needless, wrong = Counter(), [], []
    number, each = 0, max(2, min(10, count // 5))
    while counts.total() < count:
        for state, manifest, live in live_states(subject, number):
            for _pair in range(min(each, count - counts.total())):
                local, remote, done = compare(subject, manifest, live)
                counts[local, remote] += 1
                if local and remote != "same":
                    wrong.append(f"{subject.kind.name} {state}: {done} is {remote}")
                elif remote == "same" and not local:
                    needless.append(f"{subject.kind.name} {state}: {done}")
            if counts.total() >= count:
                break
        number += 1
    return counts, needless, wrong


def test_corpus_has_every_built_in_kind(client):
    applicable, others = OpenApi(client).applicable_kinds()
    print("cannot be applied, since the server serves no patch:", *sorted(others))
    assert not applicable - {(manifest["apiVersion"], manifest["kind"]) for manifest in CORPUS}


@pytest.mark.parametrize("pairs", [PAIRS, pytest.param(20_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_local_comparison_agrees_with_the_api_server(subjects, pairs, tried):
    """No object is reported as unchanged that an apply would change or the API server refuses, and few requests are sent in vain."""
    made = subjects()
    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(lambda subject: compare_all(subject, -(-pairs // len(made))), made))
    counts = sum((result[0] for result in results), Counter())
    needless = [text for result in results for text in result[1]]
    wrong = [text for result in results for text in result[2]]
    print(f"PODWRIGHT_SEED={SEED}: {counts.total()} pairs; {len(wrong)} wrong; {len(needless)} needless requests")
    for subject, (own, vain, _wrong) in zip(made, results):
        print(f"  {subject.kind.name}: {len(vain)} of {own.total()} needless; {dict(own)}")
    print(*wrong, *sorted(needless), sep="\n")
    assert not wrong
    assert len(needless) < 0.02 * counts.total()
    vain = f"{len(needless) / counts.total():.1%}"
    tried("live and desired objects of every kind, compared as a dry-run apply compares them", counts.total(), "wrong", needless=vain, seed=SEED)


def predict_and_run(subject, count):
    """Whether check mode predicts what a run does, and a second run changes nothing, for that many pairs. Returns: descriptions of those that differ."""
    wrong, number = [], 0
    while number < count:
        for state, manifest, _live in live_states(subject, number):
            if number >= count:
                break
            desired, done = mutated(subject, manifest)
            options = {"definition": desired, "wait": False}
            checked, ran, again = (call(resource_set, options, subject.namespace, is_check) for is_check in (True, False, False))
            if "timeAdded" in json.dumps(ran.get("plan")):
                pass  # to a taint without a time the API server adds the current one, at each apply
            elif ran["failed"] != checked["failed"] or outline(ran) != outline(checked):
                wrong.append(f"{subject.kind.name} {state}: {done}: {outline(checked)} was predicted, {outline(ran)} happened")
            elif not ran["failed"] and again["changed"]:  # the API server refuses some objects that it has accepted
                wrong.append(f"{subject.kind.name} {state}: {done}: changed again {outline(again)}")
            number += 1
    return wrong


def test_check_mode_predicts_what_a_run_does(subjects, tried):
    made = [subject for subject in subjects() if subject.kind.name not in (*SHARED, "Node")]  # whose taints a controller changes
    chosen = made if len(made) < RUNS else random.Random(SEED).sample(made, RUNS)
    with ThreadPoolExecutor(THREADS) as pool:
        wrong = list(pool.map(lambda subject: predict_and_run(subject, -(-RUNS // len(chosen))), chosen))
    print(f"PODWRIGHT_SEED={SEED}: {RUNS} runs")
    wrong = [text for texts in wrong for text in texts]
    print(*wrong, sep="\n")
    assert not wrong
    tried("check mode, a run and a second run of the same objects", RUNS, "wrong", seed=SEED)
