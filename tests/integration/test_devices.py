# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks with devices of a real driver of dynamic resource allocation (DRA), which has two simulated GPUs."""

from __future__ import annotations

import contextlib
import functools
import re

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, JOB, POD, Kind

from ..cluster.configuration import NODE
from ..support.device_driver import DEVICES, DRIVER, SLICE, device_driver
from ..support.environment import CLUSTER, ROOT
from ..support.namespaces import namespaces
from ..support.operations import IMAGE
from ..support.waiting import wait_for
from .test_examples import run_examples

# Tasks of other tests would get its devices, and a node has one driver of a name.
pytestmark = [pytest.mark.long, pytest.mark.serial]

API = "resource.k8s.io/v1"
CLAIM, CLASS = Kind(API, "ResourceClaim", "resourceclaims"), Kind(API, "DeviceClass", "deviceclasses", namespaced=False)
GPU, SHARED = [{"name": "gpu", "template": "one-gpu"}], [{"name": "gpu", "claim": "shared-gpu"}]
SHOW = ["sh", "-c", "env | grep '^GPU_DEVICE_[0-9]*=' || echo none"]
DEPLOYMENT = BUILT_IN["apps/v1", "Deployment"]
IMAGE_OF_CONTAINER = {"image": "busybox", "image_pull_policy": "IfNotPresent"}
MODES = pytest.mark.parametrize("mode", ["action", "module"])


def request_for(device_class=DRIVER, **fields):
    """The spec of a claim."""
    return {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": device_class} | fields}]}}


def template(name, spec):
    return {"apiVersion": API, "kind": "ResourceClaimTemplate", "metadata": {"name": name}, "spec": {"spec": spec}}


def device_class(name, driver, **fields):
    selectors = [{"cel": {"expression": f"device.driver == '{driver}'"}}]
    return {"apiVersion": API, "kind": "DeviceClass", "metadata": {"name": name}, "spec": {"selectors": selectors} | fields}


@pytest.fixture(scope="module")
def driver(client, load_component):
    """The driver, in a namespace of its own."""
    load_component("dra-example-driver")
    with contextlib.contextmanager(namespaces)(client) as make, device_driver(client, make(), CLUSTER.resolve() / "kubelet"):
        yield


@pytest.fixture
def place(driver, client, namespace):
    """A namespace. Its pods are deleted afterwards: the next test needs all devices."""
    yield namespace
    for kind in (DEPLOYMENT, JOB, POD):
        for item in client.list(kind, namespace)[0]:
            client.delete(kind, namespace, item["metadata"]["name"], grace_period=0)
    wait_for(lambda: not allocated(client, namespace))


@pytest.fixture
def run(play, place):
    """A function that runs tasks in a namespace with two templates and a claim."""
    claim = {"apiVersion": API, "kind": "ResourceClaim", "metadata": {"name": "shared-gpu"}, "spec": request_for()}
    definition = [template("one-gpu", request_for()), template("many-gpus", request_for(count=DEVICES + 1)), claim]
    run = functools.partial(play, namespace=place)
    run([{"podwright.core.resource_set": {"name": "devices", "definition": definition}}])
    return run


@pytest.fixture
def create(client):
    """A function that creates cluster-scoped objects of a kind; all are deleted afterwards."""
    with contextlib.ExitStack() as created:

        def create_one(kind, body):
            client.create(kind, None, body, "test")
            created.callback(client.delete, kind, None, body["metadata"]["name"])

        yield create_one


def allocated(client, namespace):
    """The names of the claims that have a device."""
    return [item["metadata"]["name"] for item in client.list(CLAIM, namespace)[0] if (item.get("status") or {}).get("allocation")]


def task(title, **options):
    return {"name": title, "podwright.core.task_pod": IMAGE | {"name": title, "command": SHOW, "state": "completed", "logs": "collect"} | options}


def server(title, **options):
    """A task that holds its devices until it is deleted."""
    return task(title, **{"command": ["sleep", "3600"], "state": "running", "logs": "none"} | options)


def show(pod):
    """A task that shows the devices of a pod."""
    return {"name": f"show {pod}", "podwright.core.pod_exec": {"pod": pod, "command": ["sh", "-c", "env | grep GPU_DEVICE | sort"]}}


@pytest.mark.parametrize("kind", ["Pod", "Job"])
@MODES
def test_a_task_gets_the_device_of_its_claim(run, client, namespace, mode, kind):
    wanted = task("train", kind=kind, resource_claims=GPU)
    assert run([wanted], "--check", mode=mode).is_changed and not client.list(POD, namespace)[0]
    played = run([wanted], mode=mode)
    assert re.fullmatch(r"GPU_DEVICE_(\d)=gpu-\1\n", played.of("train")["logs"]), played.of("train")
    assert not run([wanted], mode=mode).is_changed and not run([wanted], "--check", mode=mode).is_changed
    # Kubernetes deletes what it created from the template once the pod has completed.
    wait_for(lambda: [item["metadata"]["name"] for item in client.list(CLAIM, namespace)[0]] == ["shared-gpu"])


@MODES
def test_tasks_share_a_claim_and_others_wait_for_devices(run, client, namespace, mode):
    sharing = server("Share", name=None, resource_claims=SHARED, tasks=[{"name": "first"}, {"name": "second"}])
    played = run([sharing, show("first"), show("second"), server("other", resource_claims=GPU), show("other")], mode=mode)
    first, second, other = (played.of(f"show {pod}")["stdout"] for pod in ("first", "second", "other"))
    assert first == second != other and "RESOURCE_CLAIM=" in first
    assert not run([sharing], mode=mode).is_changed and not run([sharing], "--check", mode=mode).is_changed

    late = task("late", resource_claims=GPU)
    waiting = run([late | {"podwright.core.task_pod": late["podwright.core.task_pod"] | {"wait_timeout": 20}}], mode=mode, expect=2).of("late")
    assert waiting["reason"] == "Unschedulable" and "cannot allocate all claims" in waiting["msg"]
    assert "Request fewer or other devices, or free or add some" in waiting["msg"]
    played = run([{"name": "Free", "podwright.core.task_pod": {"name": "other", "state": "absent", "wait": True}}, late], mode=mode)
    assert played.of("late")["state"] == "succeeded" and played.of("late")["logs"].startswith("GPU_DEVICE_")


def test_a_task_that_cannot_get_its_devices_says_why(run, client, namespace, create):
    """The fourth names a class whose devices belong to a driver that does not run on the node."""
    unknown, absent = f"unknown-{namespace}", f"absent-{namespace}"
    pool = {"name": NODE, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": f"{absent}.example.com", "nodeName": NODE, "pool": pool, "devices": [{"name": "one"}]}
    create(SLICE, {"apiVersion": API, "kind": "ResourceSlice", "metadata": {"name": absent}, "spec": spec})
    create(CLASS, device_class(absent, spec["driver"]))
    expected = {
        "many-gpus": ("Unschedulable", "cannot allocate all claims", "Request fewer or other devices"),
        unknown: ("Unschedulable", f"device class {unknown} does not exist", "Correct deviceClassName"),
        "missing": ("FailedResourceClaimCreation", 'resource claim template "missing"', "Create the ResourceClaimTemplate"),
        absent: ("FailedPrepareDynamicResources", f"DRA driver {absent}.example.com is not registered", "Start the driver"),
    }
    templates = [template(name, request_for(name)) for name in (unknown, absent)]
    tasks = [{"name": f"task-{number}", "resource_claims": [{"name": "gpu", "template": name}]} for number, name in enumerate(expected)]
    tasks += [{"name": "task-4", "resource_claims": [{"name": "gpu", "claim": "missing"}]}]
    definition = {"podwright.core.resource_set": {"name": "templates", "definition": templates}}
    played = run([definition, task("Wait", name=None, tasks=tasks, wait_timeout=30)], expect=2)
    found = {item["name"]: item for item in played.of("Wait")["tasks"]}
    for number, (reason, why, remedy) in enumerate([*expected.values(), ("Starting", "requires the ResourceClaim 'missing'", "Create what does not exist")]):
        failed = found[f"task-{number}"]
        assert failed["reason"] == reason and why in failed["msg"] and remedy in failed["msg"], failed


@MODES
def test_a_claim_belongs_to_its_pod(run, client, namespace, mode):
    def names():
        return {item["metadata"]["name"] for item in client.list(CLAIM, namespace)[0]} - {"shared-gpu"}

    limits = {"limits": {"cpu": "200m", "memory": "32Mi"}}
    web = server("web", resource_claims=GPU, resources=limits)
    assert run([web], mode=mode).is_changed and len(names()) == 1
    assert not run([web], mode=mode).is_changed
    # Kubernetes does not resize containers with claims (1.36).
    larger = server("web", resource_claims=GPU, resources={"limits": limits["limits"] | {"cpu": "300m"}})
    predicted, played = run([larger], "--check", mode=mode).of("web"), run([larger], mode=mode).of("web")
    assert [[change["action"] for change in result["plan"]] for result in (predicted, played)] == [["replace"]] * 2
    assert not run([larger], mode=mode).is_changed
    played = run([server("web", resource_claims=SHARED, resources=limits)], mode=mode)
    assert [change["action"] for change in played.of("web")["plan"]] == ["replace"]
    wait_for(lambda: not names())
    cleaned = task("cleaned", resource_claims=GPU, cleanup="always")
    assert run([cleaned], mode=mode).of("cleaned")["logs"].startswith("GPU_DEVICE_")
    wait_for(lambda: not names())
    assert not client.get(POD, namespace, "cleaned") and not run([cleaned], mode=mode).is_changed
    run([{"podwright.core.task_pod": {"name": "web", "state": "absent", "wait": True}}], mode=mode)
    wait_for(lambda: not allocated(client, namespace))


def test_containers_get_the_claims_that_they_name(run):
    init = IMAGE_OF_CONTAINER | {"name": "init", "command": SHOW, "resources": {"claims": [{"name": "gpu", "request": "gpu"}]}}
    sidecar = IMAGE_OF_CONTAINER | {"name": "side", "command": ["sh", "-c", f"{SHOW[2]}; sleep 3600"]}
    result = run([task("train", resource_claims=GPU, init_containers=[init], containers=[sidecar])]).of("train")
    assert result["container_logs"] == {"init": result["logs"], "side": "none\n"} and result["logs"].startswith("GPU_DEVICE_")
    for number, claims in enumerate(([], [{"name": "gpu", "request": "missing"}])):
        assert run([task(f"without-{number}", resource_claims=GPU, resources={"claims": claims})]).of(f"without-{number}")["logs"] == "none\n"


@MODES
def test_each_replica_gets_a_device_of_its_own(run, client, namespace, mode):
    options = {"name": "web", "replicas": DEVICES, "command": ["sleep", "3600"], "resource_claims": GPU}
    web = {"name": "Deploy", "podwright.core.pod_deployment": IMAGE | options}
    assert run([web], "--check", mode=mode).is_changed
    assert run([web], mode=mode).is_changed
    assert not run([web], mode=mode).is_changed
    claims = [item["status"]["allocation"]["devices"]["results"] for item in client.list(CLAIM, namespace)[0] if item["metadata"]["name"] != "shared-gpu"]
    assert sorted(result["device"] for results in claims for result in results) == [f"gpu-{number}" for number in range(DEVICES)]


def test_a_class_with_a_resource_name_needs_no_claim(run, namespace, create):
    resource = f"{namespace}.example.com/gpu"
    create(CLASS, device_class(namespace, DRIVER, extendedResourceName=resource))
    wanted = task("train", resources={"limits": {resource: 1}})
    assert run([wanted]).of("train")["logs"].startswith("GPU_DEVICE_")
    assert not run([wanted]).is_changed


def test_the_examples_of_the_guide_run(play, place, tmp_path):
    run_examples(ROOT / "docs/guides/devices.md", play, place, tmp_path)
