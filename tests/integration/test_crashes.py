# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API server, etcd, the kubelet or containerd is killed while an operation runs: the next call completes it, and nothing is done twice."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from pathlib import Path

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CONFIG_MAP, JOB, NETWORK_POLICY, POD, SECRET
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy, pod_deployment, pod_exec, pod_gc, resource_set, task_pod

from ..cluster.cluster import Cluster
from ..support.crashes import COMPONENTS, Crash, crashing, draw, measured
from ..support.namespaces import namespaces
from ..support.operations import IMAGE, call
from ..support.pods import run_script, start_pod
from ..support.relay import SEED
from ..support.waiting import wait_for

pytestmark = pytest.mark.xdist_group("cluster")  # the tests of the cluster use the same number
NUMBER = int(os.environ.get("PODWRIGHT_CLUSTER_NUMBER", "1"))
ROUNDS = int(os.environ.get("PODWRIGHT_CRASHES", "8"))  # of each scenario
CLEAR = {"ConnectionLost", "Refused", "Timeout", "ServiceUnavailable", "InternalError", "WaitFailed", "ServerTimeout"}
NO_RUNTIME = "The container runtime does not respond."
TASKS = 8
DEPLOYMENT, REPLICA_SET = BUILT_IN["apps/v1", "Deployment"], BUILT_IN["apps/v1", "ReplicaSet"]
KINDS = (POD, JOB, CONFIG_MAP, SECRET, NETWORK_POLICY, DEPLOYMENT, REPLICA_SET)
WAIT = 90  # seconds


class Scenario:
    """An operation that is called until it has nothing left to do.

    Attributes:
        module, options: what is called.
        namespace: of its own.
        directory: of this machine and of the node, of its own.
    """

    module = task_pod

    def __init__(self, client: Client, kubeconfig: Path, namespace: str, directory: Path):
        self.client, self.namespace, self.directory = client, namespace, directory
        self.kubeconfig = str(kubeconfig)
        self.options = self.prepare()

    def prepare(self) -> dict:
        """Create what the operation starts from. Returns: its options."""
        raise NotImplementedError

    def check(self) -> None:
        """Assert that the operation is complete, with all its effects once, and has left nothing else."""
        raise NotImplementedError

    def call(self, module=None, options=None) -> dict:
        """A call of the operation, or of another one."""
        module, options = module or type(self).module, self.options if options is None else options
        return call(module, {"kubeconfig": self.kubeconfig} | options, self.namespace)

    def prepared(self, module, options) -> None:
        """Call an operation that must succeed."""
        result = self.call(module, options)
        assert not result["failed"], result["msg"]

    def names(self, kind, **selectors) -> list[str]:
        """The names of the objects of a kind in the namespace that Kubernetes has not created itself."""
        items, _version = self.client.list(kind, self.namespace, **selectors)
        return sorted(name for name in (item["metadata"]["name"] for item in items) if name != "kube-root-ca.crt")

    def uids(self) -> set[str]:
        """The uids of what exists, and whether it is being deleted."""
        items = [item["metadata"] for kind in KINDS for item in self.client.list(kind, self.namespace)[0]]
        return {f"{metadata['uid']} {'deletionTimestamp' in metadata}" for metadata in items}


class Batch(Scenario):
    """Tasks that append a line to a file outside of their pods, with standard input and a policy each."""

    cleanup = "never"

    def prepare(self):
        self.traces = self.directory / "traces"
        self.traces.mkdir()
        self.traces.chmod(0o777)
        script = "read line; echo $line >> /traces/%s; sleep 1"
        tasks = [
            {"name": f"task-{n}", "kind": "Job" if n % 4 == 3 else "Pod", "stdin": f"line {n}\n", "command": ["sh", "-c", script % n]} for n in range(TASKS)
        ]
        volumes = [{"name": "traces", "mount_path": "/traces", "host_path": str(self.traces)}]
        return {"tasks": tasks, "state": "completed", "network": "isolated", "volumes": volumes, "cleanup": self.cleanup, "wait_timeout": WAIT, **IMAGE}

    def check(self):
        traces = {path.name: path.read_text() for path in self.traces.iterdir()}
        for number in range(3, TASKS, 4):  # Kubernetes itself may start the pod of a Job twice
            assert traces[str(number)] in (f"line {number}\n", f"line {number}\n" * self.count_pods(f"task-{number}"))
            traces[str(number)] = f"line {number}\n"
        assert traces == {str(n): f"line {n}\n" for n in range(TASKS)}
        pods, jobs = ([], []) if self.cleanup == "always" else ([f"task-{n}" for n in range(TASKS) if n % 4 != 3], [f"task-{n}" for n in range(3, TASKS, 4)])
        records = [f"podwright-record-task-{n}" for n in range(TASKS)]
        wait_for(lambda: len(self.names(POD)) == len(pods) + len(jobs))  # the garbage collector deletes those of Jobs
        assert set(self.names(POD)) >= set(pods)
        assert self.names(JOB) == jobs
        wait_for(lambda: len(self.names(NETWORK_POLICY)) == len(pods) + len(jobs))
        if self.cleanup == "always":
            assert self.names(CONFIG_MAP) == records
            wait_for(lambda: self.names(SECRET) == [])

    def count_pods(self, job: str) -> int:
        """How many pods of a Job were created, which itself was created once."""
        created = []
        for line in (Path(self.kubeconfig).parent / "audit.log").read_text().splitlines():
            if self.namespace in line and '"verb":"create"' in line and line.endswith("}"):
                entry = json.loads(line)
                if entry["objectRef"].get("namespace") == self.namespace and entry["responseStatus"]["code"] == 201:
                    created.append((entry["objectRef"]["resource"], entry["objectRef"].get("name") or "", entry["user"]["username"]))
        assert len([name for resource, name, _user in created if (resource, name) == ("jobs", job)]) <= 1, created
        return len([name for resource, name, _user in created if resource == "pods" and name.startswith(job)])


class CleanedBatch(Batch):
    """The same without pods in the end."""

    cleanup = "always"


class Copy(Scenario):
    """A tree to a container."""

    module = pod_copy

    def prepare(self):
        self.tree = self.directory / "tree"
        for number in range(40):
            path = self.tree / f"directory-{number % 3}" / f"file-{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(hashlib.shake_256(bytes([number])).digest(20_000_000 if number < 3 else 3000 * number))
        start_pod(self.client, self.namespace, "box")
        return {"pod": "box", "local_path": str(self.tree), "remote_path": "/srv/tree"}

    def digests(self):
        return sorted(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(self.tree)}" for path in self.tree.rglob("*") if path.is_file())

    def check(self):
        script = "cd /srv/tree; find . -type f -exec sha256sum {} +; find / -xdev -name '.podwright*' 2>/dev/null; ls -A /tmp /srv"
        code, output = run_script(self.client, Container(self.namespace, "box", "task"), script)
        lines = output.decode().splitlines()
        assert code == 0 and sorted(lines[:40]) == self.digests()
        assert lines[40:] == ["/srv:", "tree", "", "/tmp:"], lines[40:]


class CopyBack(Copy):
    """A tree from a container."""

    def prepare(self):
        options = super().prepare()
        self.prepared(pod_copy, options)
        self.target = self.directory / "copies" / "tree"
        return options | {"state": "from_pod", "local_path": str(self.target)}

    def check(self):
        super().check()
        found = {f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(self.target)}" for path in self.target.rglob("*") if path.is_file()}
        assert sorted(found) == self.digests()
        assert os.listdir(self.target.parent) == ["tree"]


class Rollout(Scenario):
    """Another version of a deployment."""

    module = pod_deployment

    def prepare(self):
        service = {"name": "web", "ports": [{"port": 80}]}
        deployment = {"name": "web", "replicas": 3, "service": service, "command": ["sleep", "3600"], "env": {"VERSION": "1"}, "wait_timeout": WAIT}
        deployment |= {"image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 1, "drain_seconds": 0}
        self.prepared(pod_deployment, deployment)
        return deployment | {"env": {"VERSION": "2"}}

    def check(self):
        pods = self.client.list(POD, self.namespace)[0]
        live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        versions = [variable["value"] for pod in live for variable in pod["spec"]["containers"][0].get("env", []) if variable["name"] == "VERSION"]
        assert versions == ["2"] * 3, versions
        assert self.names(DEPLOYMENT) == ["web"]


class Prune(Scenario):
    """A named set whose members change, join and leave."""

    module = resource_set

    @staticmethod
    def member(number, value):
        if number % 3 == 2:
            return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"member-{number}"}, "stringData": {"value": value}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"member-{number}"}, "data": {"value": value}}

    def prepare(self):
        self.client.create(CONFIG_MAP, self.namespace, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign"}}, "test")
        before = {"name": "set", "prune": True, "definition": [self.member(number, "1") for number in range(12)]}
        self.prepared(resource_set, before)
        return before | {"definition": [self.member(number, "2") for number in range(6, 16)], "wait_timeout": WAIT}

    def check(self):
        members = [f"member-{number}" for number in range(6, 16)]
        assert sorted([*self.names(CONFIG_MAP), *self.names(SECRET)]) == sorted(["foreign", "podwright-set-set", *members])
        for item in (item for kind in (CONFIG_MAP, SECRET) for item in self.client.list(kind, self.namespace)[0]):
            if item["metadata"]["name"] in members:
                assert item["data"]["value"] in ("2", "Mg==")


class Absent(Scenario):
    """The deletion of a batch, with what belongs to its tasks."""

    def prepare(self):
        self.client.create(CONFIG_MAP, self.namespace, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign"}}, "test")
        start_pod(self.client, self.namespace, "foreign")
        tasks = [{"name": f"task-{n}", "kind": "Job" if n % 4 == 3 else "Pod", "stdin": "x", "command": ["sleep", "3600"]} for n in range(TASKS)]
        self.prepared(task_pod, {"tasks": tasks, "set": "batch", "state": "present", "network": "isolated", "wait": False, **IMAGE})
        finished = [{"name": f"done-{n}", "command": ["true"]} for n in range(2)]
        self.prepared(task_pod, {"tasks": finished, "set": "batch", "state": "completed", "cleanup": "always", "wait_timeout": WAIT, **IMAGE})
        return {"set": "batch", "state": "absent", "wait_timeout": WAIT}

    def check(self):
        assert self.names(CONFIG_MAP) == self.names(POD) == ["foreign"]
        assert self.names(JOB) == []
        wait_for(lambda: [*self.names(SECRET), *self.names(NETWORK_POLICY)] == [])


class Garbage(Scenario):
    """Finished pods, and a ConfigMap whose owner does not exist."""

    module = pod_gc

    def prepare(self):
        start_pod(self.client, self.namespace, "foreign")
        tasks = [{"name": f"task-{n}", "command": ["true"]} for n in range(TASKS)]
        for number in range(4):
            leftover = {"name": f"leftover-{number}", "labels": {"podwright.io/task": "gone", "app.kubernetes.io/managed-by": "podwright"}}
            self.client.create(CONFIG_MAP, self.namespace, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": leftover}, "test")
        self.prepared(task_pod, {"tasks": tasks, "state": "completed", "network": "isolated", "wait_timeout": WAIT, **IMAGE})
        self.prepared(task_pod, {"name": "live", "command": ["sleep", "3600"], "wait_timeout": WAIT, **IMAGE})
        return {"completed": {"max_age": 0, "keep_last": 0}, "reclaim": ["ConfigMap"], "reclaim_age": 0, "wait": True, "wait_timeout": WAIT}

    def check(self):
        assert self.names(POD) == ["foreign", "live"]
        assert [name for name in self.names(CONFIG_MAP) if name.startswith("leftover")] == []
        wait_for(lambda: self.names(NETWORK_POLICY) == [])


SCENARIOS = (Batch, CleanedBatch, Copy, CopyBack, Rollout, Prune, Absent, Garbage)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of its own, whose etcd writes to the disk before it answers."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster") / "state", NUMBER, durable=True)
    cluster.up(addons=False)
    yield cluster
    cluster.down()


@pytest.fixture(scope="module")
def own_client(cluster):
    """A Client of that cluster."""
    with Client(Configuration({"kubeconfig": str(cluster.kubeconfig)})) as client:
        yield client


@pytest.fixture(scope="module")
def kubeconfig(cluster, own_client):
    """A kubeconfig of a service account, whose token and permissions the API server has to look up: it does not for its administrators."""
    api = "rbac.authorization.k8s.io"
    binding = {"apiVersion": f"{api}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "crashes"}}
    binding |= {"roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "cluster-admin"}}
    binding |= {"subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]}
    own_client.create(BUILT_IN[f"{api}/v1", "ClusterRoleBinding"], None, binding, "test")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 36000}}
    answer = own_client.send(Request("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", body=review))
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": answer["status"]["token"]}
    path = cluster.state / "token.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def make_own_namespace(own_client):
    """A function that creates a namespace of the test's own; all are deleted afterwards."""
    yield from namespaces(own_client)


@pytest.fixture
def namespaced(make_own_namespace):
    """A namespace of the test's own."""
    return make_own_namespace()


@pytest.fixture
def begin(kubeconfig, own_client, make_own_namespace, tmp_path):
    """A function that prepares a scenario in a namespace and a directory of its own."""

    def make(scenario):
        name = make_own_namespace()
        directory = tmp_path / name
        directory.mkdir()
        tmp_path.chmod(0o755)
        return scenario(own_client, kubeconfig, name, directory)

    return make


def survive(cluster, case: Scenario, crash: Crash) -> bool:
    """Call an operation while a component crashes, then until it has nothing left to do. Returns: whether the first call succeeded."""
    before, started = case.uids(), time.monotonic()
    with crashing(cluster, crash):
        first = case.call()
    seconds = time.monotonic() - started
    said = first.get("msg", "")[: 600 if first.get("reason") in CLEAR else None]
    print(f"{type(case).__name__} {crash} took {seconds:.1f} s: {first['failed']} {first['changed']} {first.get('reason')} {said}", flush=True)
    if first["failed"]:
        assert first["reason"] in CLEAR or first["msg"].count(NO_RUNTIME), first
    assert seconds < WAIT + 60
    assert not first["changed"] or case.uids() != before or case.module in (pod_copy, resource_set)
    second = case.call()
    assert not second["failed"], second["msg"]
    assert first["failed"] or not second["changed"], second
    case.check()
    third = case.call()
    assert not third["failed"] and not third["changed"], third
    case.check()
    return not first["failed"]


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_component_is_killed_at_any_point_of_an_operation(scenario, cluster, begin, tried):
    print(f"PODWRIGHT_SEED={SEED}")
    chance = random.Random(f"{SEED} {scenario.__name__}")
    usual = begin(scenario)
    with measured() as extent:
        assert not usual.call()["failed"]
    usual.check()
    succeeded = 0
    for turn in range(ROUNDS):
        succeeded += survive(cluster, begin(scenario), draw(chance, extent[0], COMPONENTS[turn % len(COMPONENTS)]))
    tried("components of the cluster killed at any point of an operation", ROUNDS, "lost", "wrong", "hung", seed=SEED, succeeded=succeeded)


COMMANDS = {"alone": {}, "input": {"stdin": "x" * 100_000}, "limits": {"timeout": 60}, "terminal": {"tty": True}}


@pytest.mark.long
@pytest.mark.parametrize("component", COMPONENTS)
def test_a_command_that_was_cut_off_has_not_succeeded(component, cluster, own_client, kubeconfig, namespaced, tried):
    """Kubernetes reports success if the node is lost (https://github.com/kubernetes/kubectl/issues/1726)."""
    start_pod(own_client, namespaced, "box")
    for name, options in COMMANDS.items():
        with crashing(cluster, Crash(component, None, 1.5, 0.5)):
            command = {"pod": "box", "command": ["sh", "-c", "cat > /dev/null; echo begun; sleep 3; echo done"]} | options
            result = call(pod_exec, {"kubeconfig": str(kubeconfig)} | command, namespaced)
        print(component, name, {k: v for k, v in result.items() if k in ("rc", "stdout", "stderr", "failed", "changed", "reason", "msg")}, flush=True)
        assert result["failed"] or "done" in result["stdout"], (name, result)
        assert result["changed"]
    tried("commands whose node or API server is killed", len(COMMANDS), "wrong", "hung")
