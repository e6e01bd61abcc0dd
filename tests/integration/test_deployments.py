# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deployments under traffic: no request is lost, shares are right, bad images get none, and a killed run is resumed."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import execute
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import selector_of
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import is_serving
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_deployment

from ..outcomes import result_of
from ..prometheus import Prometheus
from ..relay import UP, Mischief, Relay
from ..support.mortal_client import Killed, MortalClient
from .conftest import KUBECONFIG, wait_for, write_kubeconfig

DEPLOYMENT, SERVICE = BUILT_IN["apps/v1", "Deployment"], BUILT_IN["v1", "Service"]

# Answers with its version; told to end, it finishes what it has and closes kept-alive connections after their next answer.
SERVER = """
import http.server, os, signal, threading
ending = threading.Event()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ["VERSION"].encode()
        self.send_response(int(os.environ.get("STATUS", 200)) if self.path == "/check" else 200)
        self.send_header("Content-Length", str(len(body)))
        if os.path.exists("/tmp/ending"):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
server = Server(("", 8080), Handler)
signal.signal(signal.SIGTERM, lambda *arguments: threading.Thread(target=server.shutdown).start())
server.serve_forever()
"""

# Asks a Service so many times a second over kept-alive connections until /tmp/stop is there, and counts answers and losses.
CLIENT = """
import collections, http.client, json, os, sys, threading, time
name, rate, workers = sys.argv[1], 50, 5
counts, losses, lock = collections.Counter(), [], threading.Lock()
def work(number):
    connection, at = None, time.monotonic() + number / rate
    while not os.path.exists("/tmp/stop"):
        time.sleep(max(0, at - time.monotonic()))
        at += workers / rate
        try:
            if connection is None:
                connection = http.client.HTTPConnection(name, 80, timeout=5)
            connection.request("GET", "/")
            answer = connection.getresponse()
            body = answer.read().decode()
            with lock:
                counts[body] += 1
            if answer.will_close:
                connection.close()
                connection = None
        except Exception as error:
            with lock:
                losses.append(f"{type(error).__name__}: {error}")
            connection = None
threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps({"counts": counts, "losses": losses}))
"""

# Asks a Service so many times, each over a connection of its own, and counts the answers.
SHARE = """
import collections, http.client, json, sys
counts = collections.Counter()
for _request in range(int(sys.argv[2])):
    connection = http.client.HTTPConnection(sys.argv[1], 80, timeout=5)
    connection.request("GET", "/")
    counts[connection.getresponse().read().decode()] += 1
    connection.close()
print(json.dumps(counts))
"""


def shop(image, version, strategy="rolling", **options):
    container = {"image": image, "image_pull_policy": "IfNotPresent", "command": ["python3", "-c", SERVER], "env": {"VERSION": version}}
    container |= {"readiness_probe": {"tcp": 8080, "interval": 1}, "lifecycle": {"pre_stop": {"exec": {"command": ["sh", "-c", "touch /tmp/ending; sleep 3"]}}}}
    service = {"name": "shop", "ports": [{"port": 80, "target_port": 8080}]}
    return {"name": version, "podwright.core.pod_deployment": {"name": "shop", "strategy": strategy, "replicas": 2, "service": service} | container | options}


@pytest.fixture
def visitor(client, play, namespace, python_image):
    """A Container in the namespace to ask from."""
    pod = {"name": "visitor", "image": python_image, "image_pull_policy": "IfNotPresent", "command": ["sleep", "3600"], "termination_grace_period": 0}
    play([{"podwright.core.task_pod": pod}], namespace=namespace)
    return Container(namespace, "visitor")


def ask(client, visitor, source, *arguments):
    """Run a program in the visitor's container; what it prints, decoded."""
    output = bytearray()
    assert execute(client, visitor, Command(["python3", "-c", source, *map(str, arguments)]), output.extend) == 0
    return json.loads(output)


@contextmanager
def visits(client, visitor):
    """Requests all the time: 50 a second over kept-alive connections. Yields what will hold `counts` and `losses` once they have ended."""
    execute(client, visitor, Command(["rm", "-f", "/tmp/stop"]))
    wait_for(lambda: execute(client, visitor, Command(["python3", "-c", SHARE, "shop", "1"])) == 0)  # the node's proxy follows a Service within a second or so
    found = {}
    thread = threading.Thread(target=lambda: found.update(ask(client, visitor, CLIENT, "shop")))
    thread.start()
    try:
        yield found
    finally:
        execute(client, visitor, Command(["touch", "/tmp/stop"]))
        thread.join()


def assert_all_go_to(client, visitor, version):
    """All requests go to that version, once the node's proxy has followed; no other comes again after that."""
    wait_for(lambda: ask(client, visitor, SHARE, "shop", 20) == {version: 20}, seconds=20)
    assert ask(client, visitor, SHARE, "shop", 50) == {version: 50}


def pods(client, namespace, generation=None):
    selector = "podwright.io/deployment=shop" + (f",podwright.io/generation={generation}" if generation else "")
    return [pod for pod in client.list(POD, namespace, label_selector=selector)[0] if not pod["metadata"].get("deletionTimestamp")]


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_five_changes_lose_no_request(strategy, client, play, namespace, python_image, visitor):
    play([shop(python_image, "v0", strategy)], namespace=namespace)
    with visits(client, visitor) as seen:
        changes = play([shop(python_image, f"v{number}", strategy) for number in range(1, 6)], namespace=namespace)
    assert all(changes.of(f"v{number}")["changed"] for number in range(1, 6))
    assert seen["losses"] == []
    assert set(seen["counts"]) <= {f"v{number}" for number in range(6)} and len(seen["counts"]) > 2
    assert sum(seen["counts"].values()) > 200
    assert_all_go_to(client, visitor, "v5")


def steps(*weights, pause=0, **analysis):
    return {"steps": [{"weight": weight, "pause": pause} for weight in weights]} | ({"analysis": [analysis]} if analysis else {})


def test_a_canary_takes_its_share_and_is_promoted(client, play, namespace, python_image, visitor):
    play([shop(python_image, "old", "canary", replicas=3)], namespace=namespace)
    told = play([shop(python_image, "new", "canary", replicas=3, canary=steps(25, pause=True))], namespace=namespace).of("new")
    assert told["weights"] == {told["active"]: 75.0, told["preview"]: 25.0} and told["revision"] == 1
    wait_for(lambda: len(ready_addresses(client, namespace)) == 4)
    wait_for(lambda: "new" in ask(client, visitor, SHARE, "shop", 20))
    counts = ask(client, visitor, SHARE, "shop", 2000)
    assert sum(counts.values()) == 2000 and abs(counts["new"] - 500) < 90, counts
    with visits(client, visitor) as seen:
        promoted = play([{"name": "Promote", "podwright.core.pod_deployment": {"name": "shop", "state": "promoted"}}], namespace=namespace).of("Promote")
        again = play([shop(python_image, "new", "canary", replicas=3, canary=steps(25, pause=True))], namespace=namespace).of("new")
    assert promoted["revision"] == 2 and promoted["active"] == told["preview"] and again["preview"] is None
    assert seen["losses"] == []
    assert_all_go_to(client, visitor, "new")


def ready_addresses(client, namespace):
    slices = client.list(BUILT_IN["discovery.k8s.io/v1", "EndpointSlice"], namespace, label_selector="kubernetes.io/service-name=shop")[0]
    return [address for item in slices for endpoint in item["endpoints"] or [] if endpoint["conditions"]["ready"] for address in endpoint["addresses"]]


def test_each_outcome_of_an_analysis(client, play, namespace, python_image, visitor, tmp_path):
    """A failure takes the canary away, something unclear keeps it where it is, a success goes on; the stable pods are never fewer."""
    play([shop(python_image, "old", "canary")], namespace=namespace)
    least = Least(client, namespace)
    with least, visits(client, visitor) as seen:
        request = steps(50, request={"port": 8080, "path": "/check"})
        failed = play([shop(python_image, "bad", "canary", env={"VERSION": "bad", "STATUS": "500"}, canary=request)], namespace=namespace, expect=2).of("bad")
        assert failed["reason"] == "Analysis" and "the request gave 500" in failed["msg"] and failed["preview"] is None
        assert failed["analysis"][0]["outcome"] == "failure"

        unclear = steps(50, command=["sh", "-c", "exit 2"], success="== 0", failure="== 1")
        held = play([shop(python_image, "held", "canary", canary=unclear)], namespace=namespace, expect=2).of("held")
        assert held["analysis"][0]["outcome"] == "inconclusive" and held["preview"] and "stays at its share" in held["msg"]
        aborted = {"name": "Abort", "podwright.core.pod_deployment": {"name": "shop", "state": "aborted"}}
        played = play([aborted, aborted | {"name": "Aborted"}], namespace=namespace)
        assert played.of("Abort")["changed"] and not played.of("Aborted")["changed"] and played.of("Abort")["active"] == failed["active"]

        with Prometheus(tmp_path) as prometheus:
            prometheus.set_load(0.01)
            query = {"server": prometheus.url, "query": "load"}
            good = play([shop(python_image, "good", "canary", canary=steps(20, 50, prometheus=query, success="< 0.05"))], namespace=namespace).of("good")
        assert [entry["outcome"] for entry in good["analysis"]] == ["success", "success"] and good["active"] != failed["active"]
    assert seen["losses"] == [] and least.ready >= 2
    assert_all_go_to(client, visitor, "good")


def test_a_route_divides_the_traffic_where_the_gateway_api_is_installed(client, namespace, define):
    """Against its definition: a share for the canary's own Service while there is one, all for the other before and after."""
    missing = {"steps": [{"weight": 20, "pause": True}], "route": {"parents": ["edge"], "hostnames": ["shop.example"]}, "analysis": None}
    deploy(client, namespace, strategy="canary", env={"VERSION": "old"}, canary=missing)
    with pytest.raises(PodwrightError, match="HTTPRoute"):
        deploy(client, namespace, strategy="canary", env={"VERSION": "new"}, canary=missing)
    route = define("gateway", "gateway.networking.k8s.io_httproutes.yaml")

    def backends():
        return [(ref["name"], ref["port"], ref["weight"]) for ref in client.get(route, namespace, "shop")["spec"]["rules"][0]["backendRefs"]]

    told = deploy(client, namespace, strategy="canary", env={"VERSION": "new"}, canary=missing)
    assert backends() == [("shop", 8080, 80), ("shop-canary", 8080, 20)] and told["weights"] == {told["active"]: 80.0, told["preview"]: 20.0}
    assert client.get(SERVICE, namespace, "shop-canary")["spec"]["selector"]["podwright.io/generation"] == told["preview"]
    assert not deploy(client, namespace, strategy="canary", env={"VERSION": "new"}, canary=missing)["changed"]
    aborted = deploy(client, namespace, state="aborted")
    assert backends() == [("shop", 8080, 80)] and aborted["active"] == told["active"] and client.get(SERVICE, namespace, "shop-canary") is None
    deploy(client, namespace, strategy="canary", env={"VERSION": "new"}, canary=missing)
    promoted = deploy(client, namespace, state="promoted")
    assert len(backends()) == 1 and promoted["active"] == told["preview"] and promoted["preview"] is None
    deploy(client, namespace, state="absent")
    assert client.get(route, namespace, "shop") is None and client.list(DEPLOYMENT, namespace)[0] == []


class Least(threading.Thread):
    """Watches how few pods of the Service are ever ready. Use it as a context manager."""

    def __init__(self, client, namespace):
        super().__init__()
        self._client, self._namespace = client, namespace
        self._stopped = threading.Event()
        self.ready = 99

    def run(self):
        while not self._stopped.wait(0.05):
            self.ready = min(self.ready, len(ready_addresses(self._client, self._namespace)))

    def __enter__(self):
        self.start()

    def __exit__(self, *exception):
        self._stopped.set()
        self.join()


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "canary"])
def test_a_bad_image_takes_no_traffic_and_is_told(strategy, client, play, namespace, python_image, visitor):
    options = {"canary": steps(50)} if strategy == "canary" else {}
    play([shop(python_image, "good", strategy, **options)], namespace=namespace)
    bad = shop("docker.io/podwright/none:1", "bad", strategy, image_pull_policy="Always", progress_deadline=4, rollback_on_failure=True, **options)
    with visits(client, visitor) as seen:
        told = play([bad], namespace=namespace, expect=2).of("bad")
    assert "ErrImagePull" in told["msg"] or "ImagePullBackOff" in told["msg"]
    assert set(seen["counts"]) == {"good"} and seen["losses"] == []
    assert not play([shop(python_image, "good", strategy, **options)], namespace=namespace).of("good")["changed"] or strategy == "rolling"
    assert {pod["spec"]["containers"][0]["image"] for pod in pods(client, namespace)} == {python_image}


def test_a_pod_that_ends_again_and_again_is_told(play, namespace):
    options = {"name": "crash", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["sh", "-c", "echo boom; exit 3"], "progress_deadline": 6}
    told = play([{"name": "Crash", "podwright.core.pod_deployment": options}], namespace=namespace, expect=2).of("Crash")
    assert "has timed out progressing" in told["msg"] and "boom" in told["msg"]


# -- runs that are killed -------------------------------------------------------------------------------------


def deploy(client, namespace, **options):
    """Run pod_deployment in this process with that Client."""
    defaults = {name: spec.get("default") for name, spec in pod_deployment.ARGUMENTS.items()}
    return result_of(pod_deployment.OPERATION, Invocation(defaults | {"namespace": namespace} | BOX | options, False, False, Console(), client))


BOX = {"image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["httpd", "-f", "-p", "8080"], "ports": [8080], "drain_seconds": 0}
BOX |= {"termination_grace_period": 0, "name": "shop", "service": "shop", "readiness_probe": {"tcp": 8080, "interval": 1}}


class Reaper:
    """Kills a playbook, whose requests go through a Relay, at one of its writes.

    Args:
        at: the number of the write, from 0.
        after: whether the server has done it, so that only its answer is lost.
    """

    def __init__(self, relay, at, after):
        self._left, self._after, self._is_due = at, after, False
        self.process, self.has_killed = None, False
        self._launched = threading.Event()
        relay.mischief = lambda number: Mischief(overhears=self._overhear)

    def launch(self, launch, *arguments, **options):
        """Start the playbook, and wait for its end. Returns whether it was killed."""
        self.process = launch(*arguments, **options)
        self._launched.set()
        stdout, stderr = self.process.communicate(timeout=120)
        assert self.has_killed or self.process.returncode == 0, stdout + stderr
        return self.has_killed

    def _overhear(self, direction, data):
        line = data.split(b"\r\n", 1)[0]
        if direction == UP and line.startswith((b"POST ", b"PATCH ", b"PUT ", b"DELETE ")) and b"dryRun=" not in line:
            self._left -= 1
            self._is_due = self._left < 0
        if not self._is_due or (self._after and direction == UP):
            return True
        self._launched.wait()
        self.has_killed = True
        self.process.kill()
        return False


# Verb -> what is there before, what the verb is told, and the version that serves in the end, of those that `old` and `new` stand for.
VERBS = {
    "the first": ([], {"version": "new"}, "new"),
    "present": (["old"], {"version": "new"}, "new"),
    "promoted": (["old", "halfway"], {"state": "promoted"}, "new"),
    "aborted": (["old", "halfway"], {"state": "aborted"}, "old"),
    "rolled_back": (["old", "new"], {"state": "rolled_back"}, "old"),
}


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "canary"])
def test_a_run_that_is_killed_at_any_write_is_resumed(strategy, client, make_namespace):
    """At each write of each verb, before it and right after; the same again ends as if nothing had been."""

    def kill_at_each_write(after):
        namespace = make_namespace()
        for verb in VERBS:
            kill_verb_at_each_write(client, namespace, strategy, verb, after)

    with ThreadPoolExecutor() as pool:
        list(pool.map(kill_at_each_write, (False, True)))


def kill_verb_at_each_write(client, namespace, strategy, verb, after):
    """Run a verb as often as it has writes, kill it at one after the other, and run it again."""
    before, told, serving = VERBS[verb]
    writes, is_killed = 0, True
    while is_killed:
        names = {name: f"{verb}-{name}-{writes}".replace(" ", "-") for name in ("old", "new")}
        if verb == "the first":
            deploy(client, namespace, state="absent")
            wait_for(lambda: not client.list(DEPLOYMENT, namespace)[0])
        for state in before:
            deploy(client, namespace, **options_of(strategy, names["old" if state == "old" else "new"], halfway=state == "halfway"))
        asked = options_of(strategy, names[told["version"]]) if "version" in told else told
        try:
            deploy(MortalClient(client, writes, after), namespace, **asked)
            is_killed = False
        except Killed:
            deploy(client, namespace, **asked)
        again = deploy(client, namespace, **asked)
        assert not again["changed"], (verb, writes, again["plan"])
        assert versions_in_service(client, namespace) == {names[serving]}, (verb, writes)
        live = [item for item in client.list(DEPLOYMENT, namespace)[0] if item["spec"]["replicas"]]
        assert len(live) <= (2 if strategy == "blue_green" else 1), (verb, writes)
        writes += 1
    print(f"{verb}: killed at each of {writes - 1} writes")
    assert writes > 1, f"{verb} of {strategy} was never killed"


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "canary"])
def test_a_playbook_that_is_killed_is_resumed(strategy, client, namespace, launch, box, tmp_path):
    """The whole of ansible-playbook is killed when the API server has done its first write."""
    deploy(client, namespace, **options_of(strategy, "old"))
    asked = options_of(strategy, "new")
    with Relay(KUBECONFIG, tmp_path) as relay:
        kubeconfig = write_kubeconfig(relay, box[1], tmp_path / "kubeconfig")
        tasks = [{"podwright.core.pod_deployment": BOX | asked}]
        assert Reaper(relay, at=0, after=True).launch(launch, tasks, namespace=namespace, kubeconfig=kubeconfig)
    assert deploy(client, namespace, **asked)["revision"] == 2
    assert not deploy(client, namespace, **asked)["changed"]
    assert versions_in_service(client, namespace) == {"new"}


def options_of(strategy, version, halfway=False):
    """What makes a version of the deployment, or gets it half of the way."""
    canary = {"steps": [{"weight": 50, "pause": halfway or 0}]} if strategy == "canary" else None
    return {"strategy": strategy, "env": {"VERSION": version}, "canary": canary, "state": "paused" if halfway and strategy != "canary" else "present"}


def versions_in_service(client, namespace):
    """The versions of the ready pods that the Service selects."""
    selector = client.get(SERVICE, namespace, "shop")["spec"]["selector"]
    pods = client.list(POD, namespace, label_selector=selector_of(selector))[0]
    return {pod["spec"]["containers"][0]["env"][0]["value"] for pod in pods if is_serving(pod)}


def test_a_change_of_strategy_leaves_nothing_of_the_one_before(client, namespace):
    """Traffic never goes to a third version, and what another strategy kept for a return does not count in a canary."""
    for number, strategy in enumerate(("rolling", "blue_green", "blue_green", "canary", "blue_green", "rolling")):
        if strategy == "canary":
            deploy(client, namespace, **options_of(strategy, str(number), halfway=True))
            assert versions_in_service(client, namespace) == {str(number - 1), str(number)}
        deploy(client, namespace, **options_of(strategy, str(number)))
        assert versions_in_service(client, namespace) == {str(number)}, strategy
        assert not deploy(client, namespace, **options_of(strategy, str(number)))["changed"]
    assert [item["metadata"]["name"] for item in client.list(DEPLOYMENT, namespace)[0]] == ["shop"]


def test_a_version_that_was_rolled_back_can_be_tried_again(client, namespace):
    for version in ("old", "new"):
        deploy(client, namespace, **options_of("canary", version))
    back = deploy(client, namespace, state="rolled_back")
    assert versions_in_service(client, namespace) == {"old"} and back["preview"] is None
    tried = deploy(client, namespace, **options_of("canary", "new", halfway=True))
    assert versions_in_service(client, namespace) == {"old", "new"} and tried["preview"] and tried["active"] == back["active"]
    assert deploy(client, namespace, state="aborted")["changed"]
    assert versions_in_service(client, namespace) == {"old"}


def test_an_abort_that_is_under_way_is_not_undone(client, namespace):
    """Rolling: an abort right after the change began is one, and another before its pods are all there only waits for them."""
    deploy(client, namespace, env={"VERSION": "old"})
    deploy(client, namespace, env={"VERSION": "new"}, wait=False)
    assert deploy(client, namespace, state="aborted", wait=False)["changed"]
    client.patch(DEPLOYMENT, namespace, "shop", {"spec": {"replicas": 3}}, "test", MERGE_PATCH)
    assert not deploy(client, namespace, state="aborted")["changed"]
    assert versions_in_service(client, namespace) == {"old"} and len(pods(client, namespace)) == 3


def test_a_deployment_of_somebody_else_is_left_alone(client, namespace):
    labels = {"app": "shop"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    theirs = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}}
    theirs = client.create(DEPLOYMENT, namespace, theirs | {"spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}}, "test")
    with pytest.raises(PodwrightError, match="did not make") as refused:
        deploy(client, namespace)
    assert "another name" in refused.value.hint
    assert client.get(DEPLOYMENT, namespace, "shop")["metadata"]["generation"] == theirs["metadata"]["generation"]
    assert client.get(SERVICE, namespace, "shop") is None


def test_a_playbook_that_is_killed_in_a_pause_goes_on_where_it_was(client, namespace, launch):
    """The pause goes on from when it began, and no second canary appears."""
    deploy(client, namespace, strategy="canary", env={"VERSION": "old"})
    asked = {"strategy": "canary", "env": {"VERSION": "new"}, "canary": {"steps": [{"weight": 50, "pause": 6}]}}
    process = launch([{"podwright.core.pod_deployment": BOX | asked}], namespace=namespace)
    wait_for(lambda: any("podwright.io/step-since" in (i["metadata"].get("annotations") or {}) for i in client.list(DEPLOYMENT, namespace)[0]))
    began = time.monotonic()
    process.kill()
    told = deploy(client, namespace, **asked)
    assert 5 <= time.monotonic() - began < 16 and told["revision"] == 2 and told["preview"] is None
