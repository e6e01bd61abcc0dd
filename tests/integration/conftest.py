# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the integration tests share: a way to run plays against the test cluster, a namespace of their own, and the audit log."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD, Kind
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.readiness import READY, assess

from ..cluster import images
from ..cluster.cluster import Cluster
from ..cluster.definitions import read_definition
from ..support.audit import AuditLog
from ..support.cluster_lock import ClusterHold
from ..support.environment import CLUSTER, CLUSTER_NUMBER, CORES, KUBECONFIG
from ..support.namespaces import namespaces
from ..support.playbooks import Playbook, PlaybookServer, Played, mode_variables, needs_process
from ..support.podman import podman_host
from ..support.pods import start_pod
from ..support.relay import SEED, Relay
from ..support.scale import add_nodes, remove_nodes
from ..support.waiting import wait_for

LONGEST = ("test_deployments", "test_rbac", "test_targets", "test_autoscaling")
HOLD = pytest.StashKey[ClusterHold]()
_USUAL = re.compile("Failed to pipe|NotFound|inactive stream")  # what containerd takes for errors where clients leave


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order tests for workers that run them side by side: first those that run alone, while other checks use all cores, then the longest."""
    items.sort(key=lambda item: (not is_serial(item), item.path.stem not in LONGEST))
    for item in items:
        if is_serial(item):
            item.add_marker(pytest.mark.xdist_group("serial"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a pytest with which workers ignore groups."""
    grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
    if getattr(session.config.option, "loadgroup", False) and not all("@" in item.nodeid for item in grouped):
        raise pytest.UsageError("pytest-xdist ignores xdist_group with this version of pytest; use that of tests/requirements.txt")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Hold the cluster while a test runs, with all its fixtures, and through tests that run alone one after the other: between them others would begin."""
    hold = item.session.stash.setdefault(HOLD, ClusterHold())
    if KUBECONFIG:
        hold.take(KUBECONFIG, is_serial(item))
    try:
        return (yield)
    finally:
        if not (is_serial(item) and nextitem and is_serial(nextitem)):
            hold.release()


def is_serial(item: pytest.Item) -> bool:
    # What is installed for one test, operations in others would find and use.
    return item.get_closest_marker("serial") is not None or "define" in getattr(item, "fixturenames", ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Add to a failure what the node says: a runtime that stands still is not seen from the test."""
    report = yield
    if report.failed and (log := CLUSTER / "log/containerd.log").exists():
        said = [line[:300] for line in log.read_text().splitlines()[-400:] if "level=error" in line and not _USUAL.search(line)]
        runtimes = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "comm").read_text().startswith("containerd-shim"):
                    waits = Counter((thread / "wchan").read_text() for thread in (process / "task").iterdir())
                    runtimes.append(f"{process.name} {(process / 'stat').read_text().split()[2]} {dict(waits)}")
        report.sections.append(("runtimes: state, and what their threads wait for", "\n".join(runtimes)))
        report.sections.append(("containerd", "\n".join(said[-8:])))
    return report


@pytest.fixture(scope="session")
def playbooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaybookServer]:
    """What runs ansible-playbook."""
    # The workers of one run of pytest have the same parent directory.
    packed = tmp_path_factory.getbasetemp().parent / "packed" if "PYTEST_XDIST_WORKER" in os.environ else tmp_path_factory.mktemp("packed")
    with PlaybookServer(tmp_path_factory.mktemp("playbooks"), packed) as server:
        yield server


@pytest.fixture(scope="session")
def playbooks_of(playbooks: PlaybookServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], PlaybookServer]]:
    """A function that returns what runs ansible-playbook of a version of CORES."""
    with contextlib.ExitStack() as started:
        servers = {"this": playbooks}

        def serve(core: str) -> PlaybookServer:
            if core not in servers:
                servers[core] = started.enter_context(PlaybookServer(tmp_path_factory.mktemp(core), tmp_path_factory.mktemp("packed"), CORES[core]))
            return servers[core]

        yield serve


@pytest.fixture(params=[pytest.param(name, marks=[] if name == "this" else pytest.mark.xdist_group(name)) for name in CORES])
def core(request: pytest.FixtureRequest) -> str:
    """Each version of CORES. Tests with another than that of this Python run in one worker, which starts what runs its playbooks."""
    name: str = request.param
    return name


@pytest.fixture
def launch(playbooks: PlaybookServer, tmp_path: Path) -> Callable[..., Playbook]:
    """A function that starts ansible-playbook with tasks or plays. Returns the Playbook."""
    counter = itertools.count()

    def start(tasks, *arguments, mode="action", namespace="default", variables=None, environment=None, kubeconfig=None, directory=None):
        defaults = {"group/podwright.core.all": {"namespace": namespace, "kubeconfig": str(kubeconfig or KUBECONFIG)}}
        plays = tasks if tasks and "hosts" in tasks[0] else [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]
        plays = [{"module_defaults": defaults} | play for play in plays]
        path = tmp_path / f"play-{next(counter)}.yml"
        path.write_text(yaml.safe_dump(plays, sort_keys=False))
        environment = environment or {}
        interpreter = None if needs_process(environment) else playbooks.interpreter
        extra = {"test_namespace": namespace} | mode_variables(mode, interpreter) | (variables or {})
        return playbooks.start([str(path), "--extra-vars", json.dumps(extra), *arguments], directory or tmp_path, environment)

    return start


@pytest.fixture
def play(launch: Callable[..., Playbook]) -> Callable[..., Played]:
    """A function that runs tasks and returns a Played."""

    def run(tasks, *arguments, timeout=300, expect=0, **options):
        return launch(tasks, *arguments, **options).finish(timeout).check(expect)

    return run


@pytest.fixture(scope="session")
def client():
    """A Client of the test cluster's administrator."""
    assert KUBECONFIG, "Run this through tests/tools/with-test-cluster: tests never touch a cluster that was not made for them."
    with Client(Configuration({"kubeconfig": KUBECONFIG})) as client:
        yield client


@pytest.fixture(scope="session")
def python_image():
    """An image with Python on the local cluster's node; a user's own cluster is expected to pull or have it."""
    if "PODWRIGHT_TEST_KUBECONFIG" not in os.environ:
        Cluster(CLUSTER, CLUSTER_NUMBER).load_python_image()
    return images.PYTHON


@pytest.fixture(scope="session")
def load_component() -> Callable[[str], Path]:
    """A function that takes the name of a component, imports the images `podwright/PROGRAM` of its programs, and returns the directory of its source."""
    return Cluster(CLUSTER, CLUSTER_NUMBER).load_component


@pytest.fixture
def make_namespace(client):
    """A function that creates a namespace of the test's own; nothing runs in them afterwards."""
    yield from namespaces(client)


@pytest.fixture
def namespace(make_namespace):
    """A namespace of the test's own."""
    return make_namespace()


@pytest.fixture
def audit(tmp_path: Path) -> AuditLog:
    """The audit log of the local cluster."""
    log = CLUSTER / "audit.log"
    if not log.exists():
        pytest.fail(f"The test cluster has no audit log at {log}: requests cannot be counted.")
    return AuditLog(log, KUBECONFIG, tmp_path)


@pytest.fixture
def idle(client):
    """A node that does nothing: what runs there stays as it is."""
    name = f"idle-{uuid.uuid4().hex[:8]}"
    add_nodes(client, [name], simulated=False, pool=name)
    yield name
    remove_nodes(client, [name])


@pytest.fixture
def simulated(client: Client) -> Iterator[str]:
    """A pool of nodes whose pods KWOK simulates: they run and are ready at once. They hold 6,000 pods."""
    pool = f"simulated-{uuid.uuid4().hex[:8]}"
    names = [f"{pool}-{number}" for number in range(3)]
    add_nodes(client, names, pool=pool)
    yield pool
    remove_nodes(client, names)


@pytest.fixture(scope="session")
def podman() -> Iterator[dict[str, str]]:
    """The environment of a Podman with a storage of its own, which has the image busybox."""
    with podman_host() as environment:
        yield environment


@pytest.fixture
def own_client(own_cluster):
    """A Client of the cluster that the tests of a module have of their own."""
    with Client(Configuration({"kubeconfig": str(own_cluster.kubeconfig)})) as client:
        yield client


@pytest.fixture
def own_namespace(own_client):
    """A function that creates a namespace in that cluster; all are deleted afterwards."""
    yield from namespaces(own_client)


@pytest.fixture
def define(client):
    """A function that installs a definition of another project; it is deleted afterwards."""
    names = []

    def install(project, file):
        definition = read_definition(project, file)
        names.append(definition["metadata"]["name"])
        client.create(BUILT_IN["apiextensions.k8s.io/v1", "CustomResourceDefinition"], None, definition, "test")
        spec = definition["spec"]
        version = next(v["name"] for v in spec["versions"] if v["storage"])
        wait_for(lambda: assess(client.get(BUILT_IN["apiextensions.k8s.io/v1", "CustomResourceDefinition"], None, names[-1])).state == READY)
        kind = Kind(f"{spec['group']}/{version}", spec["names"]["kind"], spec["names"]["plural"])
        wait_for(lambda: is_served(client, kind))
        return kind

    yield install
    for name in names:
        client.delete(BUILT_IN["apiextensions.k8s.io/v1", "CustomResourceDefinition"], None, name)


def is_served(client, kind):
    try:
        client.kinds.find_served(kind.group, kind.name)
        client.list(kind, "default")
        return True
    except Exception:
        return False


@pytest.fixture(scope="module")
def box(client):
    """A Container to run commands in, and a token that may do everything."""
    api = "rbac.authorization.k8s.io/v1"
    name = f"test-relay-{os.getpid()}"
    binding = {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}}
    binding |= {"apiVersion": api, "kind": "ClusterRoleBinding", "metadata": {"name": name}}
    binding |= {"subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]}
    role_binding = BUILT_IN[api, "ClusterRoleBinding"]
    start_pod(client, "default", name)
    client.create(role_binding, None, binding, "test")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 14400}}  # the soak test takes 90 minutes
    token = client.send(Request("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", body=review))["status"]["token"]
    yield Container("default", name), token
    client.delete(POD, "default", name, grace_period=0)
    client.delete(role_binding, None, name)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A directory for TMPDIR, with a short path: ansible-core 2.21 creates a socket there."""
    with tempfile.TemporaryDirectory(prefix="test-", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture(scope="module", params=["busybox", "gnu"])
def tooled(request, client):
    """A Container with a shell and the tools of busybox, and one with those of this machine (Debian: dash, GNU coreutils, findutils and tar)."""
    name = f"test-{request.param}-{uuid.uuid4().hex[:8]}"  # a name that is used again could be deleted late
    directories = {"/bin": "/usr/bin", "/lib": "/usr/lib", "/lib64": "/usr/lib64", "/usr": "/usr"} if request.param == "gnu" else {}
    volumes = [{"name": path.strip("/"), "hostPath": {"path": own}} for path, own in directories.items()]
    start_pod(client, "default", name, [{"name": path.strip("/"), "mountPath": path, "readOnly": True} for path in directories], volumes=volumes)
    yield Container("default", name)
    client.delete(POD, "default", name, grace_period=0)


@pytest.fixture
def relay(tmp_path):
    """A Relay; its seed is shown if the test fails."""
    print(f"PODWRIGHT_SEED={SEED}")
    with Relay(KUBECONFIG, tmp_path, SEED) as relay:
        yield relay
