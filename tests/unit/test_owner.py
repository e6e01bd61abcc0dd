# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parent of a task: its option, and what a child gets from it."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.hierarchy import read_hierarchy
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.owner import Parent, Parents, read_parent
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest

from .fake_cluster import FakeCluster
from .task_specs import spec


@pytest.mark.parametrize("parent", [5, {}, {"name": "p", "color": "red"}, {"name": "p", "namespace": "other"}, {"name": ["p"]}, {"name": "p", "kind": {}}])
def test_an_invalid_parent_is_refused(parent):
    with pytest.raises(PodwrightError, match="parent"):
        read_parent(parent, "n")


def test_a_parent_may_have_numbers_in_place_of_text():
    assert read_parent({"name": 5, "kind": 3, "api_version": 1, "uid": 7}, "n") == ("1", "3", "5", "7")


@pytest.mark.parametrize("kind", ["CronJob", "cj", "cronjobs"])
@pytest.mark.parametrize("version", [{}, {"api_version": "batch/v1"}])
def test_a_parent_is_named_as_elsewhere(tmp_path, kind, version):
    cluster = FakeCluster(tmp_path)
    item = cluster.objects["CronJob", "n", "tick"] = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick", "namespace": "n", "uid": "u"}}
    parent = {"kind": kind, "name": "tick"} | version
    assert Parents(cluster).find(spec(namespace="n", parent=parent)).item == item
    assert read_hierarchy(cluster, parent, "n").describe(None)["name"] == "tick"


def test_the_kind_of_parents_is_searched_once(tmp_path, monkeypatch):
    cluster, sought = FakeCluster(tmp_path), []
    find = cluster.kinds.find_optional
    monkeypatch.setattr(cluster.kinds, "find_optional", lambda *names: sought.append(names) or find(*names))
    for name in ("a", "b"):
        cluster.objects["CronJob", "n", name] = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": "n", "uid": name}}
    parents = Parents(cluster)
    assert [parents.find(spec(namespace="n", parent={"kind": "CronJob", "name": name})).uid for name in ("a", "b")] == ["a", "b"]
    assert sought == [("v1", "CronJob")]


def test_a_child_has_an_owner_reference_and_the_remaining_limits():
    annotations = {"podwright.io/max-depth": "2", "podwright.io/max-children": "3"}
    item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "u", "annotations": annotations}}
    metadata = build_manifest(spec(), "baseline", 1, Parent(item, False))["metadata"]
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "blockOwnerDeletion": True}
    assert metadata["ownerReferences"] == [reference] and metadata["labels"]["podwright.io/parent"] == "u"
    assert metadata["annotations"]["podwright.io/max-depth"] == "1" and metadata["annotations"]["podwright.io/max-children"] == "3"
    deeper = build_manifest(spec(max_depth=5), "baseline", 1, Parent(item, False))["metadata"]["annotations"]
    assert deeper["podwright.io/max-depth"] == "1", "a child must not exceed the limits of its parent"
