# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pod_info of pods in any state, with any metrics: pages are parts of the whole, a summary is what the API says, and nothing odd is an internal error."""

from __future__ import annotations

import json
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Page
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.quantity import parse_quantity
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_info

from ..support.environment import scaled
from .fake_cluster import FakeCluster

EXAMPLES = scaled(100)
QUANTITIES = ("0", "12m", "1.5", "3e2", "0.1E1", "7Ki", "1n", ".5", "2.", "-1", "NaN", "", "1 Gi", "1GB", None)
STATES = (
    {},
    {"waiting": {}},
    {"waiting": {"reason": "ImagePullBackOff"}},
    {"running": {}},
    {"terminated": {"exitCode": 3}},
    {"terminated": {"exitCode": 0, "reason": "Completed"}},
)


class InfoCluster(FakeCluster):
    """Pods, their metrics and pages of them."""

    def __init__(self, rng):
        super().__init__(None)
        self.rng, self.usage = rng, {}
        self.configuration = type("Configuration", (), {"server": "https://a", "source": "test", "namespace": "n"})()
        for number in range(rng.randrange(6)):
            self.add(f"web-{number}", rng.choice(["n", "n", "m"]))

    def add(self, name, namespace):
        rng = self.rng
        containers = [{"name": each} for each in ["task", "proxy"][: rng.randrange(1, 3)]]
        sidecars = [{"name": "mesh", "restartPolicy": "Always"}] * rng.randrange(2)
        spec = {"containers": containers} | ({"initContainers": [{"name": "init"}, *sidecars]} if rng.random() < 0.5 else {})
        groups = {"containerStatuses": containers, "initContainerStatuses": spec.get("initContainers", [])}
        status = {group: [self.status(each["name"]) for each in parts if rng.random() < 0.9] for group, parts in groups.items() if rng.random() < 0.9}
        status |= rng.choice([{}, {"phase": "Running"}, {"phase": "Failed", "reason": "Evicted"}, {"conditions": None}])
        metadata = {"name": name, "namespace": namespace, "uid": name, "labels": rng.choice([{}, {"app": "web"}]), "creationTimestamp": "2026-01-01T00:00:00Z"}
        item = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": rng.choice([status, status, None])}
        self.objects["Pod", namespace, name] = item
        usage = [{"name": each["name"], "usage": {kind: rng.choice(QUANTITIES) for kind in ("cpu", "memory") if rng.random() < 0.9}} for each in containers]
        self.objects["PodMetrics", namespace, name] = {"metadata": metadata, "containers": rng.choice([usage, usage, usage, [], None])}

    def status(self, name):
        return {"name": name, "ready": self.rng.random() < 0.5, "restartCount": self.rng.randrange(3), "state": self.rng.choice(STATES)}

    def now(self):
        return 1767225660.5

    def page(self, kind, namespace=None, label_selector=None, field_selector=None, metadata_only=False, limit=500, token=""):
        found = self.list(kind, namespace, label_selector, field_selector)[0]
        start, size = int(token or 0), min(limit, self.rng.randrange(1, 4))
        rest = len(found) - start - size
        return Page(found[start : start + size], str(start + size) if rest > 0 else "", None if label_selector else max(rest, 0), "1")

    def _versions(self, group):
        return ["metrics.k8s.io/v1beta1"] if group == "metrics.k8s.io" else super()._versions(group)


def perform(cluster, **params):
    """The result of a run without an error."""
    full = {name: entry.get("default") for name, entry in pod_info.ARGUMENTS.items()} | {"namespace": "n"} | params
    result, error = attempt(pod_info.OPERATION, Invocation(full, False, False, Console(), cluster))
    assert error is None, error
    json.dumps(result)
    return result


def play(seed):
    rng = random.Random(seed)
    cluster = InfoCluster(rng)
    where = rng.choice([{}, {"all_namespaces": True}, {"label_selectors": ["app=web"]}, {"name": "web-0"}])
    whole = perform(cluster, metrics=True, **where)
    for pod, item in zip(whole["pods"], whole["resources"], strict=True):
        check_summary(cluster, pod, item)
    if "name" in where:
        assert [pod["name"] for pod in whole["pods"]] == ["web-0"] * (("Pod", "n", "web-0") in cluster.objects)
        return
    pages, token = [], ""
    while token or not pages:
        page = perform(cluster, limit=rng.randrange(1, 5), continue_token=token or None, **where)
        assert (page["truncated"] == bool(page["continue_token"]) and len(page["resources"]) > 0) or not whole["resources"]
        token = page["continue_token"]
        pages.append(page["resources"])
    assert [item for page in pages for item in page] == whole["resources"]


def check_summary(cluster, pod, item):
    """A summary is what kubectl shows."""
    spec, status = item["spec"], item["status"] or {}
    names = [each["name"] for each in [*spec["containers"], *(each for each in spec.get("initContainers", []) if each.get("restartPolicy") == "Always")]]
    statuses = [each for group in ("containerStatuses", "initContainerStatuses") for each in status.get(group) or [] if each["name"] in names]
    assert pod["ready"] == f"{sum(each['ready'] for each in statuses)}/{len(names)}" and pod["age"] == 60
    assert pod["restarts"] == sum(each["restartCount"] for each in statuses)
    containers = cluster.objects["PodMetrics", pod["namespace"], pod["name"]]["containers"] or []
    for name, convert in (("cpu", float), ("memory", int)):
        total = total_of([each["usage"].get(name) for each in containers])
        assert pod.get(name) == (None if total is None else convert(total))


def total_of(texts):
    try:
        values = [parse_quantity(text) for text in texts]
    except ValueError:
        return None
    return sum(values) if values and min(values) >= 0 else None


@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_pods_are_described_as_they_are(tried, seed):
    play(seed)
    tried("pods in any state with any metrics, as a whole and in pages", 1, "lost", "wrong")
