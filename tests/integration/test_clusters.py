# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks in two real clusters, the API server of one of which is killed: each task runs once."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import replace

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CONFIG_MAP, NAMESPACE, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.dispatch.claims import claim
from ansible_collections.podwright.core.plugins.module_utils._engine.dispatch.members import Member, look_around
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import TASK

from ..cluster.cluster import Cluster
from ..support.environment import KUBECONFIG, ROOT
from ..support.playbooks import MODES
from ..support.waiting import wait_for
from ..unit.task_specs import spec as make_spec
from .test_examples import run_examples

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]  # other tests with clusters of their own use the same number
NUMBER = int(os.environ.get("PODWRIGHT_CLUSTER_NUMBER", "1"))
NAMES = ["t0", "t1", "t2", "t3"]
NODE, QUOTA = BUILT_IN["v1", "Node"], BUILT_IN["v1", "ResourceQuota"]
RUN = {"clusters": ["east", "west"], "image": "busybox", "image_pull_policy": "IfNotPresent", "state": "completed"}

SHARE = {"context": "{{ inventory_hostname }}", "name": "host", "image": "busybox", "image_pull_policy": "IfNotPresent", "state": "completed"}
ON_HOSTS = [{"hosts": "all", "connection": "local", "gather_facts": False, "tasks": [{"name": "share", "podwright.core.task_pod": SHARE}]}]


@pytest.fixture(scope="module")
def west(tmp_path_factory):
    """The second cluster."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster") / "state", NUMBER)
    cluster.up(addons=False)
    yield cluster
    cluster.down()


@pytest.fixture(scope="module")
def contexts(west):
    """The path of a kubeconfig with the contexts `east`, the cluster of all tests, and `west`."""
    merged = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
    for name, path in (("east", KUBECONFIG), ("west", west.kubeconfig)):
        with open(path) as file:
            config = yaml.safe_load(file)
        merged["clusters"].append({"name": name, "cluster": config["clusters"][0]["cluster"]})
        merged["users"].append({"name": name, "user": config["users"][0]["user"]})
        merged["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    path = west.state / "contexts.kubeconfig"
    path.write_text(yaml.safe_dump(merged))
    return path


@pytest.fixture
def clients(contexts, namespace):
    """Name of each cluster -> its Client; both have the namespace."""
    clients = {name: Client(Configuration({"kubeconfig": str(contexts), "context": name})) for name in ("east", "west")}
    clients["west"].create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, "test")
    wait_for(lambda: clients["west"].get(BUILT_IN["v1", "ServiceAccount"], namespace, "default"))
    yield clients
    clients["west"].delete(NAMESPACE, None, namespace)
    for client in clients.values():
        client.close()


def pods(client, namespace):
    """Name of each task -> the uid of its pod."""
    return {pod["metadata"]["labels"][TASK]: pod["metadata"]["uid"] for pod in client.list(POD, namespace)[0]}


def batch(names, command="true", **options):
    """A playbook's task `batch`."""
    given = RUN | {"command": ["sh", "-c", command], "tasks": [{"name": name} for name in names]} | options
    return [{"name": "batch", "podwright.core.task_pod": given}]


@pytest.mark.parametrize("mode", MODES)
def test_tasks_run_once_although_a_cluster_is_killed(mode, play, west, contexts, clients, namespace):
    run = functools.partial(play, mode=mode, namespace=namespace, kubeconfig=contexts)
    predicted = {task["name"]: task["cluster"] for task in run(batch(NAMES), "--check").of("batch")["tasks"]}
    result = run(batch(NAMES)).of("batch")
    places = {task["name"]: task["cluster"] for task in result["tasks"]}
    assert places == predicted and sorted(places.values()) == ["east", "east", "west", "west"] and result["summary"] == {"succeeded": 4, "total": 4}
    before = {name: pods(client, namespace) for name, client in clients.items()}
    assert {task: name for name, found in before.items() for task in found} == places
    assert not run(batch(list(reversed(NAMES)), clusters=["west", "east"])).is_changed
    west.kill("apiserver")
    try:
        for arguments, rc in ((["--check"], 0), ([], 2)):
            played = run(batch([*NAMES, "new"]), *arguments, expect=rc)
            found = {task["name"]: (task["cluster"], task["reason"]) for task in played.of("batch")["tasks"]}
            assert found.pop("new")[0] == "east"
            assert found == {name: (cluster, "Completed" if cluster == "east" else "ClusterUnreachable") for name, cluster in places.items()}
            assert "Cluster 'west' is left out, because it cannot be reached" in " ".join(played.output.split())
        recap = run(ON_HOSTS, "--inventory", "east,west,", expect=2).stdout
        assert re.search(r"east +: ok=1 .* failed=0", recap) and re.search(r"west +: ok=0 .* failed=1", recap), "each cluster is a host"
        assert run(batch(NAMES, state="absent", tasks=[{"name": "none"}]), expect=2).of("batch")["reason"] == "ClusterUnreachable"
    finally:
        west.restart("apiserver")
        west.wait_until_ready()
    assert not run(batch([*NAMES, "new"])).is_changed
    after = {name: pods(client, namespace) for name, client in clients.items()}
    assert after["west"] == before["west"] and after["east"] == before["east"] | {name: after["east"][name] for name in ("new", "host")}
    assert run(batch([*NAMES, "new", "host"], state="absent")).of("batch")["summary"] == {"absent": 6, "total": 6}
    for client in clients.values():
        assert pods(client, namespace) == {} and [item["metadata"]["name"] for item in client.list(CONFIG_MAP, namespace)[0]] == ["kube-root-ca.crt"]


def test_other_tasks_of_a_cluster_that_is_killed_run_elsewhere(launch, west, contexts, clients, namespace, tmp_path):
    """Those that it has started are waited for, and are not started again."""
    traces = tmp_path / "traces"
    traces.mkdir(mode=0o777)
    traces.chmod(0o777)
    names = [f"t{number}" for number in range(8)]
    options = {
        "env": {"TASK": {"field": "metadata.name"}},
        "volumes": [{"name": "traces", "mount_path": "/traces", "host_path": str(traces)}],
        "concurrency": 4,
        "wait_timeout": 280,
    }
    # The first tasks of each cluster run until the API server of one is killed.
    command = "echo ran >> /traces/$TASK; while ! test -e /traces/open; do sleep 0.2; done"
    playbook = launch(batch(names, command, **options), namespace=namespace, kubeconfig=contexts)
    wait_for(lambda: len(list(traces.iterdir())) == 4)
    started = pods(clients["west"], namespace)
    west.kill("apiserver")
    try:
        (traces / "open").touch()
        wait_for(lambda: len(pods(clients["east"], namespace)) == len(names) - len(started), 120)
    finally:
        west.restart("apiserver")
        west.wait_until_ready()
    played = playbook.finish(300)
    result = played.of("batch")
    assert played.rc == 0 and result["summary"] == {"succeeded": 8, "total": 8}, played.output
    assert len(started) == 2 and {task["name"] for task in result["tasks"] if task["cluster"] == "west"} == set(started)
    assert {name: (traces / name).read_text() for name in names} == dict.fromkeys(names, "ran\n")


def test_of_two_runs_at_the_same_time_one_finds_the_other(clients, namespace):
    """What both have observed before is outdated for one of them."""
    spec = replace(make_spec(name="a"), namespace=namespace)

    def members():
        found = [Member(name, client) for name, client in clients.items()]
        look_around(found, Console(), [spec], [], False)
        return {member.name: member for member in found}

    for _known in range(2):
        first, second = members(), members()
        claims = [claim(run.values(), run[name], [spec], [spec.task_name], 1, Console()) for run, name in ((first, "east"), (second, "west"), (second, "east"))]
        assert claims == [{}, {spec.task_name: "east"}, {}], "the second one finds the placement of the first, and follows it"


@pytest.mark.parametrize("mode", MODES)
def test_cluster_without_room_is_left_out(mode, play, contexts, clients, namespace):
    """Its quota refuses pods, or no node accepts them."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    clients["west"].create(QUOTA, namespace, quota, "test")
    wait_for(lambda: (clients["west"].get(QUOTA, namespace, "none") or {}).get("status", {}).get("hard"))
    run = functools.partial(play, mode=mode, namespace=namespace, kubeconfig=contexts)
    played = run(batch(NAMES))
    assert {task["cluster"] for task in played.of("batch")["tasks"]} == {"east"}
    assert "because a quota is exceeded. Cluster 'east' does instead" in " ".join(played.output.split())
    clients["west"].delete(QUOTA, namespace, "none")
    (node,) = clients["west"].list(NODE)[0]
    clients["west"].patch(NODE, None, node["metadata"]["name"], [{"op": "add", "path": "/spec/unschedulable", "value": True}], "test")
    try:
        wait_for(lambda: not accepts_pods(clients["west"], namespace))
        played = run(batch(["u0", "u1", "u2", "u3"]))
    finally:
        clients["west"].patch(NODE, None, node["metadata"]["name"], [{"op": "remove", "path": "/spec/unschedulable"}], "test")
    assert {task["cluster"] for task in played.of("batch")["tasks"]} == {"east"}
    assert "because no node has room. Cluster 'east' does instead" in " ".join(played.output.split())
    assert pods(clients["west"], namespace) == {} and len(pods(clients["east"], namespace)) == 8


def accepts_pods(client, namespace):
    """Whether the scheduler finds a node for a pod: it sees later than others that nodes are cordoned."""
    spec = {"containers": [{"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent"}], "terminationGracePeriodSeconds": 0}
    name = client.create(POD, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "probe-"}, "spec": spec}, "test")["metadata"]["name"]

    def scheduled():
        return next((c["status"] for c in client.get(POD, namespace, name)["status"].get("conditions", ()) if c["type"] == "PodScheduled"), None)

    is_scheduled = wait_for(scheduled) == "True"
    client.delete(POD, namespace, name, grace_period=0)
    wait_for(lambda: client.get(POD, namespace, name) is None)
    return is_scheduled


def test_examples_run(play, contexts, clients, namespace, tmp_path):
    run_examples(ROOT / "docs/guides/several-clusters.md", functools.partial(play, kubeconfig=contexts), namespace, tmp_path)
