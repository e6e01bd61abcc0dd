# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deployments under traffic: no request is lost, shares are correct, failing pods receive no traffic, and a killed run is resumed."""

from __future__ import annotations

import json
import random
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
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import STEP_SINCE, annotation_of, selector_of
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import is_serving
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_deployment

from ..support.environment import KUBECONFIG, scaled
from ..support.mortal_client import Killed, MortalClient
from ..support.outcomes import result_of
from ..support.prometheus import Prometheus
from ..support.relay import SEED, UP, Disruption, Relay, write_kubeconfig
from ..support.scale import scheduling
from ..support.waiting import wait_for

DEPLOYMENT, SERVICE = BUILT_IN["apps/v1", "Deployment"], BUILT_IN["v1", "Service"]

# Answers with its version. After SIGTERM it completes open requests, and closes each persistent connection after the next answer.
SERVER = """
import http.server, os, signal, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ["VERSION"].encode()
        self.send_response(int(os.environ.get("STATUS", 200)) if self.path == "/check" else 200)
        self.send_header("Content-Length", str(len(body)))
        if os.path.exists("/tmp/terminating"):
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

# Sends requests to a Service at a constant rate over persistent connections until /tmp/stop exists, and counts answers and errors.
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

# Sends a number of requests to a Service, each over a new connection, and counts the answers.
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
    container |= {
        "readiness_probe": {"tcp": 8080, "interval": 1},
        "lifecycle": {"pre_stop": {"exec": {"command": ["sh", "-c", "touch /tmp/terminating; sleep 3"]}}},
    }
    service = {"name": "shop", "ports": [{"port": 80, "target_port": 8080}]}
    return {"name": version, "podwright.core.pod_deployment": {"name": "shop", "strategy": strategy, "replicas": 2, "service": service} | container | options}


@pytest.fixture
def requester(client, play, namespace, python_image):
    """A container in the namespace that sends the requests."""
    pod = {"name": "requester", "image": python_image, "image_pull_policy": "IfNotPresent", "command": ["sleep", "3600"], "termination_grace_period": 0}
    play([{"podwright.core.task_pod": pod}], namespace=namespace)
    return Container(namespace, "requester")


def run_program(client, requester, source, *arguments):
    """Run a program in the container. Returns: its decoded output."""
    output = bytearray()
    assert execute(client, requester, Command(["python3", "-c", source, *map(str, arguments)]), output.extend) == 0
    return json.loads(output)


@contextmanager
def traffic(client, requester):
    """50 requests per second over persistent connections. Yields a mapping that has `counts` and `losses` after the context is left."""
    execute(client, requester, Command(["rm", "-f", "/tmp/stop"]))
    # kube-proxy needs about a second to program a new Service.
    wait_for(lambda: execute(client, requester, Command(["python3", "-c", SHARE, "shop", "1"])) == 0)
    found = {}
    thread = threading.Thread(target=lambda: found.update(run_program(client, requester, CLIENT, "shop")))
    thread.start()
    try:
        yield found
    finally:
        execute(client, requester, Command(["touch", "/tmp/stop"]))
        thread.join()


def assert_all_traffic_to(client, requester, version):
    """All requests are answered by that version as soon as kube-proxy has followed, and by no other one afterwards."""
    wait_for(lambda: run_program(client, requester, SHARE, "shop", 20) == {version: 20}, seconds=20)
    assert run_program(client, requester, SHARE, "shop", 50) == {version: 50}


def pods(client, namespace, generation=None):
    selector = "podwright.io/deployment=shop" + (f",podwright.io/generation={generation}" if generation else "")
    return [pod for pod in client.list(POD, namespace, label_selector=selector)[0] if not pod["metadata"].get("deletionTimestamp")]


@pytest.mark.parametrize("strategy", ["rolling", "blue_green"])
def test_rollouts_lose_no_request(strategy, client, play, namespace, python_image, requester):
    """Two rollouts, or as many more as PODWRIGHT_SCALE says."""
    play([shop(python_image, "v0", strategy)], namespace=namespace)
    last = min(scaled(2), 5)
    with traffic(client, requester) as observed:
        changes = play([shop(python_image, f"v{number}", strategy) for number in range(1, last + 1)], namespace=namespace)
        wait_for(lambda: "v0" not in versions(client, namespace))  # its pods close their connections as they terminate
    assert all(changes.of(f"v{number}")["changed"] for number in range(1, last + 1))
    assert observed["losses"] == []
    assert set(observed["counts"]) <= {f"v{number}" for number in range(last + 1)} and len(observed["counts"]) > 1
    assert sum(observed["counts"].values()) > 200
    assert_all_traffic_to(client, requester, f"v{last}")


def versions(client, namespace):
    """The versions of the pods that exist, those that terminate included."""
    found = client.list(POD, namespace, label_selector="podwright.io/deployment=shop")[0]
    return {entry["value"] for pod in found for entry in pod["spec"]["containers"][0]["env"] if entry["name"] == "VERSION"}


def steps(*weights, pause=0, **analysis):
    return {"steps": [{"weight": weight, "pause": pause} for weight in weights]} | ({"analysis": [analysis]} if analysis else {})


def test_a_canary_receives_its_share_and_is_promoted(client, play, namespace, python_image, requester):
    play([shop(python_image, "old", "canary", replicas=3)], namespace=namespace)
    result = play([shop(python_image, "new", "canary", replicas=3, canary=steps(25, pause=True))], namespace=namespace).of("new")
    assert result["weights"] == {result["active"]: 75.0, result["preview"]: 25.0} and result["revision"] == 1
    wait_for(lambda: len(ready_addresses(client, namespace)) == 4)
    wait_for(lambda: "new" in run_program(client, requester, SHARE, "shop", 20))
    counts = run_program(client, requester, SHARE, "shop", 2000)
    assert sum(counts.values()) == 2000 and abs(counts["new"] - 500) < 90, counts
    with traffic(client, requester) as observed:
        promoted = play([{"name": "Promote", "podwright.core.pod_deployment": {"name": "shop", "state": "promoted"}}], namespace=namespace).of("Promote")
        again = play([shop(python_image, "new", "canary", replicas=3, canary=steps(25, pause=True))], namespace=namespace).of("new")
    assert promoted["revision"] == 2 and promoted["active"] == result["preview"] and again["preview"] is None
    assert observed["losses"] == []
    assert_all_traffic_to(client, requester, "new")


def ready_addresses(client, namespace):
    slices = client.list(BUILT_IN["discovery.k8s.io/v1", "EndpointSlice"], namespace, label_selector="kubernetes.io/service-name=shop")[0]
    return [address for item in slices for endpoint in item["endpoints"] or [] if endpoint["conditions"]["ready"] for address in endpoint["addresses"]]


def test_each_outcome_of_an_analysis(client, play, namespace, python_image, requester, tmp_path):
    """A failure deletes the canary, an inconclusive analysis keeps it, a success completes the rollout; the stable pods never become fewer."""
    play([shop(python_image, "old", "canary")], namespace=namespace)
    fewest = FewestReady(client, namespace)
    with fewest, traffic(client, requester) as observed:
        request = steps(50, request={"port": 8080, "path": "/check"})
        failed = play([shop(python_image, "bad", "canary", env={"VERSION": "bad", "STATUS": "500"}, canary=request)], namespace=namespace, expect=2).of("bad")
        assert failed["reason"] == "Analysis" and "the request returned 500" in failed["msg"] and failed["preview"] is None
        assert failed["analysis"][0]["outcome"] == "failure"

        inconclusive = steps(50, command=["sh", "-c", "exit 2"], success="== 0", failure="== 1")
        held = play([shop(python_image, "held", "canary", canary=inconclusive)], namespace=namespace, expect=2).of("held")
        assert held["analysis"][0]["outcome"] == "inconclusive" and held["preview"] and "keeps its share" in held["msg"]
        aborted = {"name": "Abort", "podwright.core.pod_deployment": {"name": "shop", "state": "aborted"}}
        played = play([aborted, aborted | {"name": "Aborted"}], namespace=namespace)
        assert played.of("Abort")["changed"] and not played.of("Aborted")["changed"] and played.of("Abort")["active"] == failed["active"]

        with Prometheus(tmp_path) as prometheus:
            prometheus.set_load(0.01)
            query = {"server": prometheus.url, "query": "load"}
            good = play([shop(python_image, "good", "canary", canary=steps(20, 50, prometheus=query, success="< 0.05"))], namespace=namespace).of("good")
        assert [entry["outcome"] for entry in good["analysis"]] == ["success", "success"] and good["active"] != failed["active"]
    assert observed["losses"] == [] and fewest.ready >= 2
    assert_all_traffic_to(client, requester, "good")


def test_a_route_splits_the_traffic_if_the_gateway_api_is_installed(client, namespace, define):
    """The Service of the canary has a weight while there is a canary; all traffic is routed to the other Service before and after."""
    missing = {"steps": [{"weight": 20, "pause": True}], "route": {"parents": ["edge"], "hostnames": ["shop.example"]}, "analysis": None}
    deploy(client, namespace, strategy="canary", env={"VERSION": "old"}, canary=missing)
    with pytest.raises(PodwrightError, match="HTTPRoute"):
        deploy(client, namespace, strategy="canary", env={"VERSION": "new"}, canary=missing)
    route = define("gateway", "gateway.networking.k8s.io_httproutes.yaml")

    def backends():
        return [(ref["name"], ref["port"], ref["weight"]) for ref in client.get(route, namespace, "shop")["spec"]["rules"][0]["backendRefs"]]

    result = deploy(client, namespace, strategy="canary", env={"VERSION": "new"}, canary=missing)
    assert backends() == [("shop", 8080, 80), ("shop-canary", 8080, 20)] and result["weights"] == {result["active"]: 80.0, result["preview"]: 20.0}
    assert client.get(SERVICE, namespace, "shop-canary")["spec"]["selector"]["podwright.io/generation"] == result["preview"]
    assert not deploy(client, namespace, strategy="canary", env={"VERSION": "new"}, canary=missing)["changed"]
    aborted = deploy(client, namespace, state="aborted")
    assert backends() == [("shop", 8080, 80)] and aborted["active"] == result["active"] and client.get(SERVICE, namespace, "shop-canary") is None
    deploy(client, namespace, strategy="canary", env={"VERSION": "new"}, canary=missing)
    promoted = deploy(client, namespace, state="promoted")
    assert len(backends()) == 1 and promoted["active"] == result["preview"] and promoted["preview"] is None
    deploy(client, namespace, state="absent")
    assert client.get(route, namespace, "shop") is None and client.list(DEPLOYMENT, namespace)[0] == []


class FewestReady(threading.Thread):
    """Records the smallest number of ready pods of the Service. Use it as a context manager."""

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
def test_a_missing_image_is_reported_and_receives_no_traffic(strategy, client, play, namespace, python_image, requester):
    options = {"canary": steps(50)} if strategy == "canary" else {}
    play([shop(python_image, "good", strategy, **options)], namespace=namespace)
    bad = shop("docker.io/podwright/none:1", "bad", strategy, image_pull_policy="Always", progress_deadline=8, rollback_on_failure=True, **options)
    with traffic(client, requester) as observed:
        result = play([bad], namespace=namespace, expect=2).of("bad")
    # On a busy machine the event can be reported before the status of the container.
    assert any(reason in result["msg"] for reason in ("ErrImagePull", "ImagePullBackOff", "none:1: not found"))
    assert set(observed["counts"]) == {"good"} and observed["losses"] == []
    assert not play([shop(python_image, "good", strategy, **options)], namespace=namespace).of("good")["changed"] or strategy == "rolling"
    assert {pod["spec"]["containers"][0]["image"] for pod in pods(client, namespace)} == {python_image}


def test_a_crash_loop_is_reported_with_its_log(play, namespace):
    options = {"name": "crash", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["sh", "-c", "echo boom; exit 3"]}
    options |= {"min_ready_seconds": 20, "progress_deadline": 21}  # a busy kubelet notices the exit after seconds
    result = play([{"name": "Crash", "podwright.core.pod_deployment": options}], namespace=namespace, expect=2).of("Crash")
    assert "has timed out progressing" in result["msg"] and "boom" in result["msg"]


# -- interrupted runs -----------------------------------------------------------------------------------------


def deploy(client, namespace, **options):
    """Run pod_deployment in this process."""
    defaults = {name: spec.get("default") for name, spec in pod_deployment.ARGUMENTS.items()}
    return result_of(pod_deployment.OPERATION, Invocation(defaults | {"namespace": namespace} | BOX | options, False, False, Console(), client))


BOX = {"image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["httpd", "-f", "-p", "8080"], "ports": [8080], "drain_seconds": 0}
BOX |= {"termination_grace_period": 0, "name": "shop", "service": "shop", "readiness_probe": {"tcp": 8080, "interval": 1}}


class Interruption:
    """Kills a playbook, whose requests pass a Relay, at one of its writes.

    Args:
        at: number of the write, from 0.
        after: kill it when the server has answered, so that only the answer is lost.
    """

    def __init__(self, relay, at, after):
        self._left, self._after, self._is_due = at, after, False
        self.process, self.has_killed = None, False
        self._launched = threading.Event()
        relay.disruption = lambda number: Disruption(observe=self._overhear)

    def launch(self, launch, *arguments, **options):
        """Run the playbook. Returns: whether it was killed."""
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


# Name -> versions that are deployed before, options, and the version in service afterwards.
TRANSITIONS = {
    "the first": ([], {"version": "new"}, "new"),
    "present": (["old"], {"version": "new"}, "new"),
    "promoted": (["old", "incomplete"], {"state": "promoted"}, "new"),
    "aborted": (["old", "incomplete"], {"state": "aborted"}, "old"),
    "rolled_back": (["old", "new"], {"state": "rolled_back"}, "old"),
}


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "canary"])
def test_a_run_that_is_killed_at_any_write_is_resumed(strategy, client, make_namespace, simulated):
    """A run is killed before or after writes of each transition; the next run has the same result as an uninterrupted one.

    PODWRIGHT_SEED chooses a third of the writes, and for each transition before or after; with a scale it is killed before and after each.
    Many pods are started: KWOK simulates them.
    """
    print(f"PODWRIGHT_SEED={SEED}")
    chance = random.Random(SEED)
    sides = [(False, True) if scaled(1) > 1 else (chance.choice((False, True)),) for _transition in TRANSITIONS]
    cases = [(transition, after, chance.random()) for transition, its in zip(TRANSITIONS, sides, strict=True) for after in its]

    def kill_at_writes(case):
        kill_at_writes_of(client, make_namespace(), scheduling(simulated), strategy, *case)

    with ThreadPoolExecutor(len(cases)) as pool:  # they mostly wait
        list(pool.map(kill_at_writes, cases))


def kill_at_writes_of(client, namespace, common, strategy, transition, after, seed):
    """Run a transition several times, kill each run before or after a later write until none is left, and run it again."""
    chance = random.Random(seed)

    def run(client, **options):
        return deploy(client, namespace, **common, **options)

    before, given, serving = TRANSITIONS[transition]
    writes, killed, is_killed = 0, 0, True
    while is_killed:
        names = {name: f"{transition}-{name}-{writes}".replace(" ", "-") for name in ("old", "new")}
        if transition == "the first":
            run(client, state="absent")
            wait_for(lambda: not client.list(DEPLOYMENT, namespace)[0])
        for version in before:
            run(client, **options_of(strategy, names["old" if version == "old" else "new"], incomplete=version == "incomplete"))
        options = options_of(strategy, names[given["version"]]) if "version" in given else given
        try:
            run(MortalClient(client, writes, after), **options)
            is_killed = False
        except Killed:
            run(client, **options)
        again = run(client, **options)
        assert not again["changed"], (transition, writes, again["plan"])
        assert versions_in_service(client, namespace) == {names[serving]}, (transition, writes)
        live = [item for item in client.list(DEPLOYMENT, namespace)[0] if item["spec"]["replicas"]]
        assert len(live) <= (2 if strategy == "blue_green" else 1), (transition, writes)
        killed += is_killed
        writes += 1 if scaled(1) > 1 else chance.randint(1, 5)
    print(f"{transition}: killed at {killed} writes")
    assert killed, f"{transition} of {strategy} was never killed"


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "canary"])
def test_a_playbook_that_is_killed_is_resumed(strategy, client, namespace, launch, box, tmp_path):
    """ansible-playbook is killed when the API server has answered its first write."""
    deploy(client, namespace, **options_of(strategy, "old"))
    options = options_of(strategy, "new")
    with Relay(KUBECONFIG, tmp_path) as relay:
        kubeconfig = write_kubeconfig(relay, box[1], tmp_path / "kubeconfig")
        tasks = [{"podwright.core.pod_deployment": BOX | options}]
        assert Interruption(relay, at=0, after=True).launch(launch, tasks, namespace=namespace, kubeconfig=kubeconfig)
    assert deploy(client, namespace, **options)["revision"] == 2
    assert not deploy(client, namespace, **options)["changed"]
    assert versions_in_service(client, namespace) == {"new"}


def options_of(strategy, version, incomplete=False):
    """Options that roll out a version of the deployment, or half of it."""
    canary = {"steps": [{"weight": 50, "pause": incomplete or 0}]} if strategy == "canary" else None
    return {"strategy": strategy, "env": {"VERSION": version}, "canary": canary, "state": "paused" if incomplete and strategy != "canary" else "present"}


def versions_in_service(client, namespace):
    """The versions of the ready pods that the Service selects."""
    selector = client.get(SERVICE, namespace, "shop")["spec"]["selector"]
    pods = client.list(POD, namespace, label_selector=selector_of(selector))[0]
    return {pod["spec"]["containers"][0]["env"][0]["value"] for pod in pods if is_serving(pod)}


def test_a_change_of_strategy_leaves_no_objects_of_the_previous_one(client, namespace):
    """No third version ever receives traffic, and pods that another strategy kept for a rollback do not count in a canary."""
    for number, strategy in enumerate(("rolling", "blue_green", "blue_green", "canary", "blue_green", "rolling")):
        if strategy == "canary":
            deploy(client, namespace, **options_of(strategy, str(number), incomplete=True))
            assert versions_in_service(client, namespace) == {str(number - 1), str(number)}
        deploy(client, namespace, **options_of(strategy, str(number)))
        assert versions_in_service(client, namespace) == {str(number)}, strategy
        assert not deploy(client, namespace, **options_of(strategy, str(number)))["changed"]
    assert [item["metadata"]["name"] for item in client.list(DEPLOYMENT, namespace)[0]] == ["shop"]


def test_a_version_that_was_rolled_back_can_be_rolled_out_again(client, namespace):
    for version in ("old", "new"):
        deploy(client, namespace, **options_of("canary", version))
    back = deploy(client, namespace, state="rolled_back")
    assert versions_in_service(client, namespace) == {"old"} and back["preview"] is None
    tried = deploy(client, namespace, **options_of("canary", "new", incomplete=True))
    assert versions_in_service(client, namespace) == {"old", "new"} and tried["preview"] and tried["active"] == back["active"]
    assert deploy(client, namespace, state="aborted")["changed"]
    assert versions_in_service(client, namespace) == {"old"}


def test_an_incomplete_abort_is_not_aborted(client, namespace):
    """With rolling, the first abort returns to the previous revision; a second one before its pods are ready only waits for them."""
    deploy(client, namespace, env={"VERSION": "old"})
    deploy(client, namespace, env={"VERSION": "new"}, wait=False)
    assert deploy(client, namespace, state="aborted", wait=False)["changed"]
    client.patch(DEPLOYMENT, namespace, "shop", {"spec": {"replicas": 3}}, "test", MERGE_PATCH)
    assert not deploy(client, namespace, state="aborted")["changed"]
    assert versions_in_service(client, namespace) == {"old"} and len(pods(client, namespace)) == 3


def test_a_deployment_with_another_owner_is_not_changed(client, namespace):
    labels = {"app": "shop"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    theirs = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}}
    theirs = client.create(DEPLOYMENT, namespace, theirs | {"spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}}, "test")
    with pytest.raises(PodwrightError, match="was not created by pod_deployment") as refused:
        deploy(client, namespace)
    assert "another name" in refused.value.hint
    assert client.get(DEPLOYMENT, namespace, "shop")["metadata"]["generation"] == theirs["metadata"]["generation"]
    assert client.get(SERVICE, namespace, "shop") is None


def test_a_playbook_that_is_killed_during_a_step_resumes_it(client, namespace, launch):
    """The pause counts from the start of the step, and no second canary is created."""
    deploy(client, namespace, strategy="canary", env={"VERSION": "old"})
    options = {"strategy": "canary", "env": {"VERSION": "new"}, "canary": {"steps": [{"weight": 50, "pause": 3600}]}}
    process = launch([{"podwright.core.pod_deployment": BOX | options}], namespace=namespace)

    def find_started():
        return next((item for item in client.list(DEPLOYMENT, namespace)[0] if annotation_of(item, STEP_SINCE)), None)

    canary = wait_for(find_started)
    process.kill()
    step = annotation_of(canary, STEP_SINCE).partition("@")[0]
    almost_over = {"metadata": {"annotations": {STEP_SINCE: f"{step}@{client.now() - 3594:.3f}"}}}
    client.patch(DEPLOYMENT, namespace, canary["metadata"]["name"], almost_over, "test", MERGE_PATCH)
    patched = time.monotonic()
    result = deploy(client, namespace, **options)
    assert time.monotonic() - patched >= 4 and result["revision"] == 2 and result["preview"] is None
