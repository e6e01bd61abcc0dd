# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tree of an object's dependents, whatever owner references they have: whoever may create pods chooses those of theirs."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.hierarchy import MAX_LEVELS, Hierarchy, read_hierarchy

from .fake_cluster import FakeCluster


def pod(name, *owners, parent=None):
    """A pod whose uid is its name."""
    labels = {"podwright.io/parent": parent} if parent else {}
    metadata = {"name": name, "uid": name, "labels": labels, "ownerReferences": [{"uid": owner} for owner in owners]}
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "task"}]}}


def names(tree):
    """The names in a tree as nested lists."""
    return [tree["name"], *map(names, tree["children"])]


def test_an_object_with_several_owners_is_counted_once():
    tree = Hierarchy(pod("root"), [pod("a", "root"), pod("b", "a", "root"), pod("c", "a", parent="b"), pod("other", "none")])
    assert names(tree.describe(None)) == ["root", ["a", ["c"]], ["b"]]
    assert tree.describe(None)["pods"] == 4 and [item["metadata"]["name"] for item in tree.pods] == ["a", "c", "b"]


def test_owner_references_that_form_a_cycle_are_read():
    tree = Hierarchy(pod("root", "b"), [pod("root", "b"), pod("a", "root", "a"), pod("b", "a")])
    assert names(tree.describe(None)) == ["root", ["a", ["b"]]]


@pytest.mark.parametrize("levels", [MAX_LEVELS, MAX_LEVELS + 1, 5000])
def test_levels_are_limited(levels):
    items = [pod(str(number), str(number - 1)) for number in range(1, levels + 1)]
    if levels <= MAX_LEVELS:
        assert Hierarchy(pod("0"), items).describe(None)["pods"] == levels + 1
    else:
        with pytest.raises(PodwrightError, match=f"Pod '0' has more than {MAX_LEVELS} levels of dependents") as caught:
            Hierarchy(pod("0"), items)
        assert caught.value.reason == "TooLarge"


@pytest.mark.parametrize("uid", [None, "root", "other"])
def test_a_parent_of_another_uid_is_not_read(uid, tmp_path):
    cluster = FakeCluster(tmp_path)
    cluster.objects["Pod", "n", "root"] = pod("root")
    if uid == "other":
        with pytest.raises(PodwrightError, match=r"^Pod 'root' in namespace 'n' has the uid 'root', not 'other'\. Correct parent.uid"):
            read_hierarchy(cluster, {"name": "root", "uid": uid}, "n")
    else:
        assert read_hierarchy(cluster, {"name": "root", "uid": uid}, "n").root == pod("root")
