# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Thousands of pods: numbers of requests and memory. `make bench` measures the rates."""

from __future__ import annotations

from collections import Counter

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD

from ..support.scale import add_finished_pods, in_parallel, measure_operation, simulated_tasks

# Alone: under load the API server closes slow watches, which are then requested again.
pytestmark = pytest.mark.serial


def verbs(entries, resource="pods"):
    return Counter(entry["verb"] for entry in entries if (entry.get("objectRef") or {}).get("resource") == resource)


@pytest.mark.parametrize("count", [1000, pytest.param(5000, marks=pytest.mark.long)])
def test_pod_gc_deletes_thousands_of_pods_with_one_list(count, client, namespace, idle, audit):
    add_finished_pods(client, namespace, count, idle)
    outcome = measure_operation("pod_gc", {"kubeconfig": str(audit.kubeconfig), "namespace": namespace, "completed": {"max_age": 0, "keep_last": 5}})
    assert outcome["result"]["summary"] == {"deleted": count - 5, "kept": 5, "failed": 0}
    assert outcome["peak"] < (100 + count // 100) << 20
    assert verbs(audit.entries()) == Counter(list=count // 500, delete=count - 5)


@pytest.mark.parametrize("count", [500, pytest.param(5000, marks=pytest.mark.long)])
def test_task_pod_creates_thousands_of_tasks_with_one_list_and_one_watch(count, client, namespace, simulated, audit):
    options = {"kubeconfig": str(audit.kubeconfig), "namespace": namespace} | simulated_tasks(count, simulated)
    first = measure_operation("task_pod", options)
    requests = verbs(audit.entries())
    assert first["result"]["summary"] == {"running": count, "total": count} and first["result"]["changed"]
    assert first["peak"] < (100 + count // 10) << 20
    # The audit log has two entries for a watch: when it starts and when it is closed. The server may close a slow one, which is resumed.
    watches = requests["watch"]
    assert requests == Counter(list=1, create=count, watch=watches) and (watches == 2 if count == 500 else watches % 2 == 0)
    again = measure_operation("task_pod", options)
    assert not again["result"]["changed"] and again["result"]["summary"] == first["result"]["summary"]
    assert verbs(audit.entries()) - requests == Counter(list=count // 500)
    in_parallel(lambda pod: client.delete(POD, namespace, pod["metadata"]["name"], grace_period=0), client.list(POD, namespace)[0])
