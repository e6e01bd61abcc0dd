# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which objects are listed before tasks are planned."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import HASH, MANAGED, SET, TASK, selector_of
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.observation import LONGEST_SELECTOR, Observer, owner_job, task_of
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.planner import Planner
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.runner_options import RunnerOptions

from .fake_cluster import FakeCluster
from .task_specs import spec

ALL = selector_of(MANAGED)
LONG = [f"{'x' * 55}-{number}" for number in range(100)]


@pytest.mark.parametrize(
    ("names", "sets", "selector"),
    [
        (["one"], [], f"{ALL},podwright.io/task=one"),
        (["two", "one", "two"], [], f"{ALL},podwright.io/task in (one,two)"),
        (["one", "two"], [("n", "web")], ALL),
        (LONG[:30], [], f"{ALL},podwright.io/task in ({','.join(sorted(LONG[:30]))})"),
        (LONG, [], ALL),  # more than fit into the line of a request
        ([], [("n", "web")], ALL),
    ],
)
def test_tasks_are_listed_by_name_if_their_names_fit_into_a_request(names, sets, selector, tmp_path):
    cluster = FakeCluster(tmp_path)
    for name in ("one", "two", "three"):
        labels = MANAGED | {TASK: name, HASH: "x"}
        cluster.objects["Pod", "n", name] = {"kind": "Pod", "metadata": {"name": name, "namespace": "n", "uid": name, "labels": labels}}
    found = Observer(cluster, Console(), [spec(name=name) for name in names], sets, False).observe(False)
    assert found.selectors == {"n": selector} and len(selector) < LONGEST_SELECTOR + len(ALL) + 2
    expected = {"one", "two", "three"} if selector == ALL else {"one", "two", "three"} & set(names)
    assert {name for _namespace, name in found.by_task()} == expected


def owned_by(kind, name, controller=True):
    return [{"apiVersion": "v1", "kind": kind, "name": name, "uid": f"uid-{name}", "controller": controller}]


@pytest.mark.parametrize(
    ("name", "labels", "owners", "task"),
    [
        ("one", {TASK: "one", HASH: "x"}, [], "one"),
        ("one", {TASK: "one"}, [], "one"),
        ("one", {HASH: "x"}, [], "one"),  # others have removed the label
        ("one", {TASK: "one", HASH: "x"}, owned_by("Job", "parent", False), "one"),  # the Job is its parent
        ("one-x1", {TASK: "one", HASH: "x"}, owned_by("Job", "one"), "one"),
        ("one-x1", {HASH: "x"}, owned_by("Job", "one"), "one"),
        ("one-debug", {TASK: "one", HASH: "x"}, [], None),  # kubectl debug --copy-to --keep-labels
        ("copy-x1", {TASK: "one", HASH: "x"}, owned_by("Job", "copy"), None),
        ("web-1-x", {SET: "nightly", HASH: "x"}, owned_by("ReplicaSet", "web-1"), None),
        ("web-1-x", {SET: "nightly", TASK: "one"}, owned_by("ReplicaSet", "web-1"), None),
        ("other", {SET: "nightly"}, [], None),
        ("other", {}, [], None),
    ],
)
def test_labels_alone_make_no_object_that_of_a_task(name, labels, owners, task):
    item = {"metadata": {"name": name, "labels": MANAGED | labels, "ownerReferences": owners}}
    assert task_of(item) == task
    assert (owner_job(item) is None) == ("x1" not in name)


@pytest.mark.parametrize("state", ["completed", "absent"])
def test_only_tasks_of_a_set_are_pruned_with_it(state, tmp_path):
    cluster = FakeCluster(tmp_path)
    members = {"aaa": {}, "old": {TASK: "old", HASH: "x"}, "old-debug": {TASK: "old", HASH: "x"}, "web": {}}
    for name, labels in members.items():
        metadata = {"name": name, "namespace": "n", "uid": name, "labels": MANAGED | {SET: "nightly"} | labels}
        cluster.objects["Pod", "n", name] = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"containers": [{"name": "task"}]}, "status": {}}
    del cluster.objects["Pod", "n", "web"]["metadata"]["labels"][SET]
    options = RunnerOptions(state, wait=True, awaits_deletion=True, wait_timeout=1, concurrency=1, on_error="continue", prune=True)
    planned = Planner(cluster, [], options, Console()).plan([("n", "nightly")])
    assert [(task.change.action, task.change.key.name) for task in planned.tasks] == [("delete", "old")]
