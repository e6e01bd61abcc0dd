# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What others changed of a live task is distinguished from what webhooks changed by the owner of the field: every field, kind and author."""

from __future__ import annotations

import copy
import dataclasses
import itertools

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import Status
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import merge
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.decision import NONE, REPLACE, RESIZE, decide
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.live_state import find_correction
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest

from .task_specs import spec

ACTIVE = Status("running", "Running", "")
OPTIONS = {"image": "i", "timeout": 60, "retries": 2, "ttl": 9, "labels": {"a": "b"}, "annotations": {"n": "x"}, "resources": {"limits": {"cpu": "1"}}}
OPTIONS |= {"containers": [{"name": "side", "image": "s", "resources": {"limits": {"cpu": "2"}}}], "init_containers": [{"name": "init", "image": "n"}]}
AUTHORS = ("webhook", "somebody", "unknown")  # at the creation, later, and on a server that keeps no managedFields


def owned(value, step=""):
    """The managedFields tree of a value, lists of containers by name."""
    if isinstance(value, dict):
        return {f"f:{name}": owned(item, name) for name, item in value.items()}
    if isinstance(value, list) and step in ("containers", "initContainers"):
        return {f'k:{{"name":"{item["name"]}"}}': owned(item) for item in value}
    return {}


def live_object(asked):
    """What a server would answer to the creation of the task's object."""
    item = copy.deepcopy(build_manifest(asked, "baseline"))
    item["metadata"]["managedFields"] = [{"manager": "podwright", "operation": "Update", "fieldsV1": owned({"spec": item["spec"]})}]
    item["metadata"]["uid"] = "u"
    return item


def change(item, path, value, author):
    """Change a field; whoever does so after the creation owns it."""
    parent = item
    for step in path[:-1]:
        parent = parent[step] if not isinstance(parent, list) else next(entry for entry in parent if entry["name"] == step)
    parent[path[-1]] = value
    entries = item["metadata"]["managedFields"]
    if author == "unknown":
        entries.clear()
    elif author == "somebody":
        tree, steps, is_list = entries[0]["fieldsV1"], [], False
        for step in path:
            steps.append(f'k:{{"name":"{step}"}}' if is_list else f"f:{step}")
            is_list = step in ("containers", "initContainers")
        for step in steps[:-1]:
            tree = tree[step]
        del tree[steps[-1]]
        entries.append({"manager": "somebody", "operation": "Update", "fieldsV1": {}})


INDEXED = {"kind": "Job", "completion_mode": "Indexed", "completions": 3}
SPEC_EDITS = {
    "image": ({}, ("spec", "containers", "task", "image"), "other"),
    "additional container": ({}, ("spec", "containers", "side", "image"), "other"),
    "init container": ({}, ("spec", "initContainers", "init", "image"), "other"),
    "retries": ({"kind": "Job"}, ("spec", "backoffLimit"), 7),
    "deadline of a Job": ({"kind": "Job"}, ("spec", "activeDeadlineSeconds"), 7),
    "ttl of a Job": ({"kind": "Job"}, ("spec", "ttlSecondsAfterFinished"), 7),
    "parallelism": ({"kind": "Job", "parallelism": 2}, ("spec", "parallelism"), 0),
    "parallelism of an Indexed Job": (INDEXED | {"parallelism": 2}, ("spec", "parallelism"), 0),
    "completions": (INDEXED | {"parallelism": 3}, ("spec", "completions"), 5),
    "failed indexes": (INDEXED | {"backoff_limit_per_index": 1, "max_failed_indexes": 2}, ("spec", "maxFailedIndexes"), 7),
}


@pytest.mark.parametrize(("edit", "author"), list(itertools.product(SPEC_EDITS, AUTHORS)))
def test_a_field_of_the_spec_is_restored_if_its_value_is_that_of_somebody_else(edit, author):
    options, path, value = SPEC_EDITS[edit]
    asked = spec(state="running", **OPTIONS | options)
    live = live_object(asked)
    right = copy.deepcopy(live["spec"])
    assert find_correction(asked, live, build_manifest(asked, "baseline")) == {}
    change(live, path, value, author)
    correction = find_correction(asked, live, build_manifest(asked, "baseline"))
    assert bool(correction) == (author == "somebody") and set(correction) <= {"spec"}
    assert (merge(live, correction)["spec"] == right) == (author == "somebody")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"kind": "Job", "parallelism": 2, "queue": "q"}, "parallelism"),  # Kueue may admit it with less
        (INDEXED | {"parallelism": 2}, "completions"),  # the server refuses to change it to another number than parallelism
        ({"kind": "Job", "parallelism": 3, "completions": 3}, "completions"),  # or if the Job is not Indexed
    ],
)
def test_what_a_controller_scales_or_nobody_can_restore_is_left(options, field):
    asked = spec(state="running", **OPTIONS | options)
    live = live_object(asked)
    change(live, ("spec", field), 1, "somebody")
    assert find_correction(asked, live, build_manifest(asked, "baseline")) == {}


@pytest.mark.parametrize("kind", ["Pod", "Job"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda metadata: metadata["labels"].pop("a"),
        lambda metadata: metadata["labels"].update(a="c"),
        lambda metadata: metadata["labels"].pop("podwright.io/set"),
        lambda metadata: metadata["annotations"].pop("n"),
        lambda metadata: metadata["annotations"].update({"podwright.io/ttl": "1"}),
        lambda metadata: metadata.pop("annotations"),
        lambda metadata: metadata["ownerReferences"].clear(),
    ],
)
def test_labels_annotations_and_owners_are_restored(kind, edit):
    asked = dataclasses.replace(spec(state="running", kind=kind, **OPTIONS), set_name="s")
    live = live_object(asked)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p"}
    live["metadata"]["ownerReferences"] = [owner]
    desired = build_manifest(asked, "baseline")
    desired["metadata"]["ownerReferences"] = [owner]
    right = copy.deepcopy(live)
    assert find_correction(asked, live, desired) == {}
    edit(live["metadata"])
    after = merge(live, find_correction(asked, live, desired))
    for item in (right, after):  # the decision, or nothing, compares the other annotations
        item["metadata"]["annotations"] = {name: item["metadata"]["annotations"].get(name) for name in ("n", "podwright.io/ttl")}
    assert after == right


@pytest.mark.parametrize("author", AUTHORS)
@pytest.mark.parametrize("container", ["task", "side"])
@pytest.mark.parametrize("value", ["2000m", "7", "none", None])
def test_resources_are_resized_if_somebody_else_changed_their_value(author, container, value):
    asked = spec(state="running", **OPTIONS)
    live = live_object(asked)
    assert decide(asked, live, ACTIVE)[0] == NONE
    change(live, ("spec", "containers", container, "resources", "limits", "cpu"), value, author)
    is_same = container == "side" and value == "2000m"
    assert decide(asked, live, ACTIVE)[0] == (RESIZE if author == "somebody" and not is_same else NONE)
    assert decide(spec(state="running", rerun="never", **OPTIONS), live, ACTIVE)[0] == NONE


@pytest.mark.parametrize("author", AUTHORS)
@pytest.mark.parametrize("seconds", [30, 60, 90])
def test_a_shortened_deadline_replaces_a_pod_that_has_not_finished(author, seconds):
    asked = spec(state="running", **OPTIONS)
    live = live_object(asked)
    change(live, ("spec", "activeDeadlineSeconds"), seconds, author)
    is_shortened = author == "somebody" and seconds == 30
    assert decide(asked, live, ACTIVE)[0] == (REPLACE if is_shortened else NONE)
    assert decide(spec(state="running", rerun="never", **OPTIONS), live, ACTIVE)[0] == NONE
    completed = spec(**OPTIONS)
    assert decide(completed, live_object(completed) | {"spec": live["spec"]}, Status("succeeded", "Completed", ""))[0] == NONE
