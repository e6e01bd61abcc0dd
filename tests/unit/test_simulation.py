# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The simulation: what is calculated from the metrics of an API server and from processes, and its tables."""

from __future__ import annotations

import math
import os

import pytest

from ..bench.simulation import BEGIN, END, PAGE, describe_interval, describe_times, read_times
from ..bench.simulation_page import render
from ..bench.usage import Interval, Process, Snapshot, quantile_of, read_process, read_samples

METRICS = """
# TYPE apiserver_request_duration_seconds histogram
apiserver_request_duration_seconds_bucket{resource="pods",subresource="",verb="POST",le="0.1"} %(fast)s
apiserver_request_duration_seconds_bucket{resource="pods",subresource="",verb="POST",le="0.2"} %(slow)s
apiserver_request_duration_seconds_bucket{resource="pods",subresource="",verb="POST",le="+Inf"} %(slow)s
apiserver_request_duration_seconds_count{resource="pods",subresource="",verb="POST"} %(slow)s
apiserver_request_duration_seconds_count{resource="leases",subresource="",verb="PUT"} 5
apiserver_watch_events_total{group="",resource="pods",version="v1"} %(slow)s
apiserver_flowcontrol_nominal_limit_seats{priority_level="workload-low"} 245
apiserver_flowcontrol_nominal_limit_seats{priority_level="system"} 74
apiserver_storage_size_bytes{storage_cluster_id="etcd-0"} 1.048576e+06
process_cpu_seconds_total 7
"""
POST = {"verb": "POST", "resource": "pods", "subresource": ""}


def snapshot(at, fast, slow, cpu):
    return Snapshot(at, read_samples(METRICS % {"fast": fast, "slow": slow}), {"apiserver": Process(cpu, 1 << 20, 2 << 20)})


@pytest.fixture
def interval():
    return Interval(snapshot(10, 100, 200, cpu=3), snapshot(20, 130, 300, cpu=8))


def test_counters_are_compared_between_two_times(interval):
    assert (interval.seconds, interval.cpu("apiserver")) == (10, 5)
    assert interval.increase("apiserver_request_duration_seconds_count", **POST) == 100
    assert interval.increase("apiserver_request_duration_seconds_count", verb="DELETE") == 0


def test_a_quantile_is_that_of_the_observations_between_two_times(interval):
    assert interval.quantile("apiserver_request_duration_seconds", 0.15, **POST) == pytest.approx(0.05)
    assert interval.quantile("apiserver_request_duration_seconds", 0.65, **POST) == pytest.approx(0.15)
    assert interval.quantile("apiserver_request_duration_seconds", 0.5, verb="DELETE") is None
    assert quantile_of({0.1: 1, 0.2: 1, math.inf: 10}, 0.99) == 0.2


def test_a_process_that_was_restarted_has_the_time_since_its_start():
    assert Interval(snapshot(0, 1, 1, cpu=9), snapshot(1, 1, 1, cpu=2)).cpu("apiserver") == 2


def test_the_time_and_memory_of_a_process_are_read():
    sum(range(3_000_000))
    process = read_process(os.getpid())
    assert process.cpu > 0 and process.peak >= process.memory > 1 << 20


def test_an_interval_is_described_by_components_and_requests(interval):
    found = describe_interval(interval)
    assert found["cpu"] == {"apiserver": 5} and found["peak"] == {"apiserver": 2 << 20}
    assert found["requests"] == {"create a pod": [100, pytest.approx(0.12857, abs=1e-5), pytest.approx(0.19857, abs=1e-5)]}
    assert (found["all_requests"], found["watch_events"], found["seats"], found["etcd_bytes"], found["rejected"]) == (100, 100, 245, 1 << 20, 0)


def pod(created, scheduled=None, finished=None):
    stamp = "2026-01-01T00:00:{:02}Z".format
    status = {}
    if scheduled is not None:
        status["conditions"] = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(scheduled)}]
    if finished is not None:
        status["containerStatuses"] = [{"state": {"terminated": {"finishedAt": stamp(finished)}}}]
    return {"metadata": {"creationTimestamp": stamp(created)}, "status": status}


def test_times_are_those_since_the_creation_of_each_pod():
    pods = [read_times(pod(1, 2, 5)), read_times(pod(10, 13, 20)), read_times(pod(20, 25)), read_times(pod(30))]
    assert describe_times(pods) == {"finished": 2, "until_scheduled": [3, 5], "until_finished": [10, 10]}
    assert describe_times([]) == {"finished": 0}


def entry(name, **fields):
    figures = {"name": name, "load": 1.0, "tasks": 100, "seconds": 10, "cpu": {"apiserver": 1.5, "etcd": 0.2}, "peak": {"apiserver": 5 << 20}, "requests": {}}
    figures |= {"all_requests": 450, "watch_events": 400, "waited": None, "rejected": 0, "seats": 245, "etcd_bytes": 3 << 20}
    return figures | {"client_cpu": 0.3, "client_peak": 60 << 20, "batch": 50, "processes": 2, "until_finished": [2, 4]} | fields


def test_the_page_shows_what_a_task_and_a_request_cost_and_what_failed():
    report = {"command": "make simulation", "date": "2026-01-01", "machine": "2 cores", "kubernetes": "v1", "nodes": 10}
    report |= {"idle": [entry("idle", all_requests=50, cpu={"apiserver": 0.5, "etcd": 0.1})], "garbage": [entry("pod_gc")]}
    report |= {"growth": [entry("100", requests={"create a pod": [100, 0.004, 0.02]}), entry("200", error="TimeoutError: 9 s")]}
    report |= {"settings": [entry(name, seconds=seconds) for name, seconds in (("defaults", 10), ("more", 2)) for _kind in range(3)]}
    report |= {"processes": [entry("1 × 100")], "reading 100": [entry("`pod_info`")]}
    text = render(report)
    assert "| 100 | 10.0 | – | 2 / 4 s | 1.00 | 4.00 | 3 MiB | 0.20 |" in text
    assert "| 100 | 3.00 | 0.00 | 0.00 | 0.00 | 3.33 | 0.44 |" in text
    assert "| 200 | failed: TimeoutError: 9 s | – |" in text and "| 100 | 4.00 / 20.0 | – | 0 |" in text
    assert "| one Indexed Job | 100 | 10.0 | 50.0 |" in text and "| `pod_info` | 10.0 s, 60 MiB |" in text
    assert "245 requests at a time" in text and "deletes 100 pods in 10.0 s" in text


def test_the_page_has_a_place_for_the_figures():
    assert f"\n{BEGIN}\n" in PAGE.read_text() and f"\n{END}\n" in PAGE.read_text()
