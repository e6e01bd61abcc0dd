# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Thousands of pods: few requests, little memory. Their rates are timed by `make bench`."""

from __future__ import annotations

from collections import Counter

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD

from ..scale import add_finished_pods, add_nodes, in_parallel, measure_operation, remove_nodes, simulated_tasks


def verbs(entries, resource="pods"):
    return Counter(entry["verb"] for entry in entries if (entry.get("objectRef") or {}).get("resource") == resource)


def test_garbage(client, namespace, idle, audit):
    count = 2000
    add_finished_pods(client, namespace, count, idle)
    outcome = measure_operation("pod_gc", {"kubeconfig": str(audit.kubeconfig), "namespace": namespace, "completed": {"max_age": 0, "keep_last": 5}})
    assert outcome["result"]["summary"] == {"deleted": count - 5, "kept": 5, "failed": 0}
    assert outcome["peak"] < 120 << 20
    assert verbs(audit.entries()) == Counter(list=count // 500, delete=count - 5)


@pytest.fixture
def simulated(client):
    """A node that only pretends to run its pods."""
    add_nodes(client, ["simulated"])
    yield
    remove_nodes(client, ["simulated"])


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("count", [1000, pytest.param(5000, marks=pytest.mark.long)])
def test_a_batch(count, client, namespace, audit):
    options = {"kubeconfig": str(audit.kubeconfig), "namespace": namespace} | simulated_tasks(count)
    first = measure_operation("task_pod", options)
    made = verbs(audit.entries())
    assert first["result"]["summary"] == {"running": count, "total": count} and first["result"]["changed"]
    assert first["peak"] < 200 << 20
    # A watch is told twice: when it begins and when it ends.
    assert made == Counter(list=1, create=count, watch=2)
    again = measure_operation("task_pod", options)
    assert not again["result"]["changed"] and again["result"]["summary"] == first["result"]["summary"]
    assert verbs(audit.entries()) - made == Counter(list=count // 500)
    in_parallel(lambda pod: client.delete(POD, namespace, pod["metadata"]["name"], grace_period=0), client.list(POD, namespace)[0])
