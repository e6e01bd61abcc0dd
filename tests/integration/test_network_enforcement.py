# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies of the role network_policy and of tasks, enforced by kube-router in a cluster of its own: what they allow gets through, nothing else does."""

from __future__ import annotations

import contextlib
import socketserver
import threading
import time
from functools import partial

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, NAMESPACE, POD

from ..cluster import build, images
from ..cluster.cluster import Cluster
from ..cluster.configuration import Layout
from ..support.pods import run_script
from ..support.waiting import wait_for

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("enforcement")]

NUMBER = 7  # of the cluster
PORTS = (8080, 9000, 9050, 9101)
SERVE = "; ".join(f"nc -ll -p {port} -e /bin/hostname &" for port in PORTS).replace("&;", "&") + " wait"
COREFILE = ".:53 {\n  hosts {\n    192.0.2.7 answer.example.org\n  }\n}\n"
ANSWER = "192.0.2.7"
CONFIG_MAP, ENTRY = BUILT_IN["v1", "ConfigMap"], {"image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 0}


class Outside(socketserver.BaseRequestHandler):
    """Answers each connection."""

    def handle(self):
        """Send a line."""
        self.request.sendall(b"outside\n")


class Network:
    """The cluster, with pods that answer on PORTS: web and db in `tasks`, web and db in `others`; DNS servers; and a server outside of the cluster."""

    def __init__(self, cluster: Cluster, client: Client, outside: tuple[str, int, int]):
        self.cluster, self.client, self.outside = cluster, client, outside
        for namespace in ("tasks", "others"):
            client.create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"team": namespace}}}, "test")
            wait_for(partial(client.get, BUILT_IN["v1", "ServiceAccount"], namespace, "default"))
            for name in ("web", "db"):
                self._start(namespace, name, {"app": name}, "busybox", ["sh", "-c", SERVE], ports=[{"name": "http", "containerPort": 8080}])
        client.create(
            CONFIG_MAP, "kube-system", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "names"}, "data": {"Corefile": COREFILE}}, "test"
        )
        mounts = {"volumeMounts": [{"name": "configuration", "mountPath": "/etc/coredns"}]}
        volumes = [{"name": "configuration", "configMap": {"name": "names"}}]
        command = ["/coredns", "-conf", "/etc/coredns/Corefile"]
        for name in ("kube-dns", "other-dns"):
            self._start("kube-system", name, {"k8s-app": name}, "docker.io/podwright/coredns", command, volumes, **mounts)

    def _start(self, namespace, name, labels, image, command, volumes=(), **container):
        container |= {"name": "task", "image": image, "imagePullPolicy": "IfNotPresent", "command": command}
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}}
        spec = {"containers": [container], "volumes": list(volumes), "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
        self.client.create(POD, namespace, manifest | {"spec": spec}, "test")
        wait_for(lambda: self.client.get(POD, namespace, name)["status"].get("phase") == "Running")

    def address(self, pod: str) -> str:
        """The IP address of a pod, such as `tasks/web`."""
        namespace, name = pod.split("/")
        return self.client.get(POD, namespace, name)["status"]["podIP"]

    def probe(self, source: str, target: str, port: int | str) -> bool:
        """Whether a pod reaches a port of a pod or of `outside`; `udp` is a DNS query."""
        address = self.outside[0] if target == "outside" else self.address(target)
        if port == "udp":
            script, answer = f"timeout 3 nslookup -type=a answer.example.org {address}", ANSWER
        else:
            script, answer = f"timeout 3 nc -w 2 {address} {port} </dev/null", "outside" if target == "outside" else target.split("/")[1]
        output = run_script(self.client, Container(*source.split("/")), f"{script} 2>&1; true")[1].decode()
        return answer in output

    def expect(self, table: list[tuple[str, str, int | str, bool]]) -> None:
        """Wait until each connection is allowed or refused as the table says, twice in a row: kube-router needs a few seconds."""
        deadline, streak = time.monotonic() + 60, 0
        while streak < 2:
            wrong = [row for row in table if self.probe(*row[:3]) != row[3]]
            streak = 0 if wrong else streak + 1
            assert time.monotonic() < deadline, f"not as expected: {wrong}"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A Network."""
    cluster = Cluster(tmp_path_factory.mktemp("network") / "state", NUMBER)
    (coredns,) = (group for group in build.ADDONS if group.name == "coredns")
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.down)
        build.ensure((coredns,))
        cluster.up(addons=False)
        cluster.enforce_network_policies()
        image = images.program_image(build.directory(coredns) / "coredns", coredns.image, coredns.entrypoint)
        cluster.load_image(image.save(cluster.state / "coredns.tar"))
        client = stack.enter_context(Client(Configuration({"kubeconfig": str(cluster.kubeconfig)})))
        address = Layout(cluster.state, NUMBER).host_address
        servers = [stack.enter_context(socketserver.ThreadingTCPServer((address, 0), Outside)) for _number in range(2)]
        for server in servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
        yield Network(cluster, client, (address, *(server.server_address[1] for server in servers)))


@pytest.fixture
def role(network, play):
    """A function that runs the role with variables, in namespace `tasks`."""

    def run(**given):
        variables = {"network_policy_namespace": "tasks"} | {f"network_policy_{name}": value for name, value in given.items()}
        tasks = [{"ansible.builtin.include_role": {"name": "podwright.core.network_policy"}, "vars": variables}]
        return play(tasks, namespace="tasks", kubeconfig=network.cluster.kubeconfig)

    yield run
    run(state="absent")


# What every pod may do without a policy; else a refused connection would prove nothing.
OPEN = [
    ("tasks/web", "tasks/db", 8080, True),
    ("tasks/web", "others/web", 9101, True),
    ("others/web", "tasks/web", 9050, True),
    ("tasks/web", "kube-system/kube-dns", "udp", True),
    ("tasks/web", "kube-system/other-dns", "udp", True),
]
CLOSED = [(*row[:3], False) for row in OPEN]
NAMES = [("tasks/web", "kube-system/kube-dns", "udp", True), ("tasks/web", "kube-system/other-dns", "udp", False)]


def test_the_role_denies_everything_but_dns_by_default(network, role):
    network.expect([*OPEN, ("tasks/web", "outside", network.outside[1], True)])
    assert role().is_changed
    assert not role().is_changed
    network.expect([*[row for row in CLOSED if row[2] != "udp"], *NAMES, ("tasks/web", "outside", network.outside[1], False)])
    role(allow_dns=False)
    network.expect([*CLOSED, ("tasks/web", "outside", network.outside[1], False)])
    role(state="absent")
    network.expect(OPEN)


def test_the_role_denies_one_direction(network, role):
    role(deny_egress=False)
    network.expect([("tasks/web", "others/web", 8080, True), ("tasks/web", "kube-system/other-dns", "udp", True), ("others/web", "tasks/web", 8080, False)])
    role(deny_ingress=False, allow_dns=False)
    network.expect([("tasks/web", "others/web", 8080, False), ("tasks/web", "kube-system/kube-dns", "udp", False), ("others/web", "tasks/web", 8080, True)])


def test_the_role_allows_the_namespace(network, role):
    role(allow_same_namespace=True)
    network.expect(
        [
            ("tasks/web", "tasks/db", 8080, True),
            ("tasks/db", "tasks/web", 9101, True),
            ("tasks/web", "others/web", 8080, False),
            ("others/web", "tasks/web", 8080, False),
        ]
    )


def test_the_role_allows_listed_ingress(network, role):
    """By namespace and labels, by a range of ports, by address, and only to the selected pods."""
    others = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "others"}}}
    role(
        allow_ingress=[
            {"name": "web", "pod_selector": {"app": "web"}, "peers": [others | {"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 8080}]},
            {"name": "range", "pod_selector": {"app": "web"}, "peers": [others], "ports": [{"port": 9000, "endPort": 9100}]},
            {"name": "address", "pod_selector": {"app": "db"}, "peers": [{"ipBlock": {"cidr": f"{network.address('others/db')}/32"}}]},
        ]
    )
    network.expect(
        [
            ("others/web", "tasks/web", 8080, True),
            ("others/db", "tasks/web", 8080, False),
            ("others/web", "tasks/db", 8080, False),
            ("others/db", "tasks/web", 9000, True),
            ("others/db", "tasks/web", 9050, True),
            ("others/db", "tasks/web", 9101, False),
            ("others/db", "tasks/db", 9101, True),
            ("others/web", "tasks/db", 9101, False),
        ]
    )


def test_the_role_allows_listed_egress(network, role):
    """To labels of another namespace, a range of ports, an address outside of the cluster, and a block with an exception."""
    host, first, second = network.outside
    web = {"namespaceSelector": {"matchLabels": {"team": "others"}}, "podSelector": {"matchLabels": {"app": "web"}}}
    exception = f"{network.address('others/db')}/32"
    role(
        allow_egress=[
            {"name": "web", "pod_selector": {"app": "web"}, "peers": [web], "ports": [{"port": 9000, "endPort": 9100, "protocol": "TCP"}]},
            {"name": "mirror", "peers": [{"ipBlock": {"cidr": f"{host}/32"}}], "ports": [{"port": first}]},
            {
                "name": "block",
                "pod_selector": {"app": "db"},
                "peers": [{"ipBlock": {"cidr": "10.244.0.0/16", "except": [exception]}}],
                "ports": [{"port": 8080}],
            },
        ]
    )
    network.expect(
        [
            ("tasks/web", "others/web", 9050, True),
            ("tasks/web", "others/web", 9101, False),
            ("tasks/web", "others/db", 9050, False),
            ("tasks/web", "outside", first, True),
            ("tasks/web", "outside", second, False),
            ("tasks/db", "others/web", 8080, True),
            ("tasks/db", "others/web", 9050, False),
            ("tasks/db", "others/db", 8080, False),
        ]
    )


TASK = ENTRY | {"name": "alone", "namespace": "tasks", "command": ["sh", "-c", SERVE], "ports": [{"name": "http", "container_port": 8080}]}


@pytest.fixture
def start(network, play):
    """A function that starts the task `alone` with a value of `network`; it is deleted afterwards."""
    settings = {"namespace": "tasks", "kubeconfig": network.cluster.kubeconfig}
    yield lambda policy, mode="action": play([{"podwright.core.task_pod": TASK | {"network": policy}}], mode=mode, **settings)
    play([{"podwright.core.task_pod": {"name": "alone", "state": "absent"}}], **settings)


@pytest.mark.parametrize("mode", ["action", "module"])
def test_an_isolated_task_reaches_nothing_and_nothing_reaches_it(network, start, mode):
    start("isolated", mode)
    network.expect(
        [
            ("tasks/alone", "tasks/web", 8080, False),
            ("tasks/alone", "outside", network.outside[1], False),
            ("tasks/alone", "kube-system/kube-dns", "udp", False),
            ("tasks/web", "tasks/alone", 8080, False),
            ("others/web", "tasks/alone", 8080, False),
            ("tasks/web", "tasks/db", 8080, True),
        ]
    )


@pytest.mark.parametrize("mode", ["action", "module"])
def test_a_task_reaches_what_it_lists(network, start, mode):
    host, first, second = network.outside
    lists = {
        "egress": [
            "dns",
            {"namespace": "others", "pods": {"app": "web"}, "ports": ["9000-9100"]},
            {"cidr": f"{host}/32", "ports": [first]},
            {"cidr": "10.244.0.0/16", "except": [f"{network.address('others/db')}/32", f"{network.address('others/web')}/32"], "ports": [8080]},
        ],
        "ingress": [
            {"namespace": "others", "pods": {"app": "web"}, "ports": ["http"]},
            {"pods": {"app": "db"}, "ports": ["9000/TCP"]},
            {"cidr": f"{network.address('others/db')}/32", "ports": ["9050-9101"]},
        ],
    }
    start(lists, mode)
    network.expect(
        [
            ("tasks/alone", "kube-system/kube-dns", "udp", True),
            ("tasks/alone", "kube-system/other-dns", "udp", False),
            ("tasks/alone", "others/web", 9050, True),
            ("tasks/alone", "others/web", 9101, False),
            ("tasks/alone", "others/web", 8080, False),
            ("tasks/alone", "others/db", 9050, False),
            ("tasks/alone", "others/db", 8080, False),
            ("tasks/alone", "tasks/web", 8080, True),
            ("tasks/alone", "tasks/web", 9000, False),
            ("tasks/alone", "outside", first, True),
            ("tasks/alone", "outside", second, False),
            ("others/web", "tasks/alone", 8080, True),
            ("others/web", "tasks/alone", 9000, False),
            ("tasks/db", "tasks/alone", 9000, True),
            ("tasks/db", "tasks/alone", 8080, False),
            ("others/db", "tasks/alone", 9101, True),
            ("others/db", "tasks/alone", 8080, False),
            ("tasks/web", "tasks/alone", 8080, False),
        ]
    )


def test_a_task_reaches_its_namespace(network, start):
    start({"egress": ["same_namespace"], "ingress": ["same_namespace"]})
    network.expect(
        [
            ("tasks/alone", "tasks/web", 9101, True),
            ("tasks/db", "tasks/alone", 9101, True),
            ("tasks/alone", "others/web", 8080, False),
            ("others/web", "tasks/alone", 8080, False),
        ]
    )
