# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which objects are listed before tasks are planned."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import HASH, MANAGED, TASK, selector_of
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.observation import LONGEST_SELECTOR, Observer

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
