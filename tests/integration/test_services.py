# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role service by use: names and virtual IPs between pods, the balancing of gRPC over real servers, and routes with the definitions of the Gateway API."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CONFIG_MAP

from ..support.environment import ROOT
from ..support.playbooks import MODES
from .test_examples import in_namespace

GUIDE = ROOT / "docs/guides/services.md"
SERVICE, INGRESS, NODE = BUILT_IN["v1", "Service"], BUILT_IN["networking.k8s.io/v1", "Ingress"], BUILT_IN["v1", "Node"]
BOX = {"image": "busybox", "image_pull_policy": "IfNotPresent", "termination_grace_period": 0}
WEB = BOX | {"command": ["sh", "-c", "mkdir /tmp/w; hostname > /tmp/w/name; exec httpd -f -p 8080 -h /tmp/w"], "labels": {"app": "web"}}
WEB |= {"readiness_probe": {"tcp": 8080, "interval": 1}}

# Answers each health check, and returns its name in the metadata.
SERVER = """
import os
from concurrent import futures
import grpc
from grpc_health.v1 import health, health_pb2_grpc
class Named(health.HealthServicer):
    def Check(self, request, context):
        context.send_initial_metadata((("server", os.environ["HOSTNAME"]),))
        return super().Check(request, context)
server = grpc.server(futures.ThreadPoolExecutor(4))
health_pb2_grpc.add_HealthServicer_to_server(Named(), server)
server.add_insecure_port("0.0.0.0:50051")
server.start()
server.wait_for_termination()
"""
# Waits until the name has so many addresses and each has answered once, at most 30 s, then prints the names of the servers of 60 calls.
CLIENT = """
import contextlib, socket, time
from grpc_health.v1 import health_pb2, health_pb2_grpc
def addresses():
    with contextlib.suppress(socket.gaierror):
        return {address[4] for address in socket.getaddrinfo("NAME", 50051, type=socket.SOCK_STREAM)}
    return set()
end = time.monotonic() + 30
while len(addresses()) < NUMBER and time.monotonic() < end:
    time.sleep(0.5)
CHANNEL
stub = health_pb2_grpc.HealthStub(channel)
def ask():
    return dict(stub.Check.with_call(health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True)[1].initial_metadata())["server"]
seen = set()
while len(seen) < NUMBER and time.monotonic() < end:
    seen.add(ask())
print("addresses", len(addresses()))
for call in range(60):
    print(ask())
"""


def block(language):
    """The tasks of the guide in a block of that language."""
    return re.search(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)[1]


def service(namespace, name="front", **variables):
    """A task that includes the role."""
    variables = {f"service_{key}": value for key, value in {"namespace": namespace, "name": name, **variables}.items()}
    return {"ansible.builtin.include_role": {"name": "podwright.core.service"}, "vars": variables}


def ask(name, url):
    """A task whose log is what a pod gets from a URL, once it is answered: nodes and the cluster DNS follow a Service some seconds later."""
    command = f"until wget -qO- {url} 2>/dev/null; do sleep 0.5; done"
    options = BOX | {"name": name, "command": ["sh", "-c", command], "timeout": 60, "state": "completed", "logs": "collect"}
    return {"name": name, "podwright.core.task_pod": options}


@pytest.mark.parametrize("mode", MODES)
def test_a_service_is_reached_by_its_name_changes_and_disappears(mode, client, play, namespace):
    """One virtual IP, then a port of the node, then a name of each pod: each is used by a request from another pod."""
    (address,) = (entry["address"] for entry in client.get(NODE, None, "node-1")["status"]["addresses"] if entry["type"] == "InternalIP")
    given = {"selector": {"app": "web"}, "ports": [{"port": 80, "target_port": 8080}]}
    present = service(namespace, **given, ingress={"hosts": ["web.example.com"]}, labels={"tier": 1})
    applied = "podwright.core.service : Ensure that the Service and what leads to it are present"
    played = play([present], "--check", mode=mode, namespace=namespace)
    assert [(step["action"], step["kind"]) for step in played.of(applied)["plan"]][-2:] == [("create", "Service"), ("create", "Ingress")]
    assert client.get(SERVICE, namespace, "front") is None
    run = {"podwright.core.task_pod": WEB | {"tasks": [{"name": "web-0", "dns": {"subdomain": "front"}}]}}
    played = play([present, present, run, ask("virtual", "http://front/name")], mode=mode, namespace=namespace)
    assert not played.of(applied)["changed"] and played.of("virtual")["logs"].split() == ["web-0"]
    rule = client.get(INGRESS, namespace, "front")["spec"]["rules"][0]
    assert (rule["host"], rule["http"]["paths"][0]["backend"]["service"]) == ("web.example.com", {"name": "front", "port": {"number": 80}})

    node_port = service(namespace, **given, type="NodePort")
    played = play([node_port], mode=mode, namespace=namespace)
    (port,) = client.get(SERVICE, namespace, "front")["spec"]["ports"]
    assert client.get(INGRESS, namespace, "front") is None
    headless = service(namespace, selector={"app": "web"}, headless=True)
    by_port = ask("node-port", f"http://{address}:{port['nodePort']}/name")
    by_name = ask("named", "http://web-0.front:8080/name")
    played = play([by_port, headless, headless, by_name], mode=mode, namespace=namespace)
    assert played.of("node-port")["logs"].split() == ["web-0"] and not played.of(applied)["changed"]
    assert played.of("named")["logs"].split() == ["web-0"] and client.get(SERVICE, namespace, "front")["spec"]["clusterIP"] == "None"

    virtual = service(namespace, selector={"app": "web"}, ports=[{"port": 8080}])
    assert play([virtual], "--check", mode=mode, namespace=namespace).is_changed
    played = play([virtual, virtual], mode=mode, namespace=namespace)
    assert not played.of(applied)["changed"] and client.get(SERVICE, namespace, "front")["spec"]["clusterIP"] not in ("None", "")

    absent = service(namespace, state="absent")
    deleted = "podwright.core.service : Ensure that the Service and what leads to it are absent"
    played = play([absent, absent], mode=mode, namespace=namespace)
    assert not played.of(deleted)["changed"] and client.get(SERVICE, namespace, "front") is None
    assert client.get(CONFIG_MAP, namespace, "podwright-set-service-front") is None


def test_calls_of_grpc_are_balanced_over_the_pods_of_a_headless_service(play, namespace, python_image):
    """The servers and the client of the guide; behind a virtual IP, the same client has all its calls answered by one server."""
    python = {"image": python_image, "image_pull_policy": "IfNotPresent", "termination_grace_period": 0, "env": {"PYTHONPATH": "/opt/grpc"}}
    create, start = in_namespace(yaml.safe_load(block("yaml grpc")), namespace)
    start["podwright.core.task_pod"] |= python | {"command": ["python3", "-c", SERVER]}
    names = [task["name"] for task in start["podwright.core.task_pod"]["tasks"]]
    virtual = service(namespace, "virtual", selector={"app": "greeter"}, ports=[{"port": 50051}])
    program = CLIENT.replace("CHANNEL", block("python"))

    def count(target, number):
        code = program.replace("NAME", target).replace("NUMBER", str(number)).replace("dns:///greeter:", f"dns:///{target}:")
        task = python | {"name": f"ask-{target}", "command": ["python3", "-c", code], "state": "completed", "logs": "collect"}
        return {"name": target, "podwright.core.task_pod": task}

    played = play([create, virtual, start, count("greeter", 3), count("virtual", 1)], namespace=namespace)
    addresses, *servers = played.of("greeter")["logs"].splitlines()
    assert addresses == "addresses 3" and Counter(servers) == dict.fromkeys(names, 20), servers
    addresses, *servers = played.of("virtual")["logs"].splitlines()
    assert addresses == "addresses 1" and max(Counter(servers).values()) == 60, servers


def test_routes_are_valid_by_the_definitions_of_the_gateway_api(client, play, namespace, define):
    (example,) = in_namespace(yaml.safe_load(block("yaml route")), namespace)
    failed = play([example], namespace=namespace, expect=2)
    assert (
        "the API server does not serve gateway.networking.k8s.io/v1. Install the Gateway API first" in failed.output
        and client.get(SERVICE, namespace, "front") is None
    )
    http, grpc = (define("gateway", f"gateway.networking.k8s.io_{plural}.yaml") for plural in ("httproutes", "grpcroutes"))
    changed = service(namespace, selector={"app": "web"}, ports=[{"port": 80, "name": "rpc"}], route={"kind": "GRPCRoute", "parents": ["edge"], "port": "rpc"})
    applied = "podwright.core.service : Ensure that the Service and what leads to it are present"
    assert not play([example, example], namespace=namespace).of(applied)["changed"]
    spec = client.get(http, namespace, "front")["spec"]
    assert spec["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/name"}}]
    assert (spec["parentRefs"][0]["namespace"], spec["rules"][0]["backendRefs"][0]["port"]) == ("infra", 80)
    assert not play([changed, changed], namespace=namespace).of(applied)["changed"]
    assert client.get(http, namespace, "front") is None
    assert client.get(grpc, namespace, "front")["spec"]["rules"][0]["backendRefs"][0]["port"] == 80
    play([service(namespace, state="absent")], namespace=namespace)
    assert client.list(grpc, namespace)[0] == [] and client.get(SERVICE, namespace, "front") is None


def test_a_service_of_others_is_neither_replaced_nor_deleted(client, play, namespace):
    """Not even a headless one, which the role replaces if it is its own."""
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}, "spec": {"clusterIP": "None", "selector": {"app": "theirs"}}}
    created = client.create(SERVICE, namespace, theirs, "test")
    refused = play([service(namespace, selector={"app": "web"}, ports=[{"port": 80}])], namespace=namespace, expect=2)
    assert "must not take over objects that exist and are not its members: Service 'front'" in " ".join(refused.output.split())
    assert not play([service(namespace, state="absent")], namespace=namespace).is_changed
    assert client.get(SERVICE, namespace, "front")["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
    assert client.get(CONFIG_MAP, namespace, "podwright-set-service-front") is None


def test_invalid_variables_are_refused_before_anything_is_created(client, play, namespace):
    invalid = service(namespace, selector={"app": "web"}, ports=[{"port": 80}], headless=True, type="NodePort", ingress={"port": "htp"})
    output = " ".join(play([invalid], namespace=namespace, expect=2).output.split())
    fields = service(namespace, "Front.end", selector={"app": "web"}, ports=[{"port": 80}], spec={"type": "NodePort", "ports": [{"port": 81}]})
    said = " ".join(play([fields], namespace=namespace, expect=2).output.replace("''", "'").split())
    assert "service_name: must be at most 63 lower-case letters, digits and hyphens, got 'Front.end'." in said
    assert "service_spec: must not contain ports, type, which the role sets from variables of its own." in said
    assert "service_headless: must be false for the type NodePort." in output and "service_ingress.port: unknown port 'htp'; ports: 80." in output
    assert client.get(CONFIG_MAP, namespace, "podwright-set-service-front") is None
