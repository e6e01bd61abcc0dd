# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Streams of any size in constant memory, commands that close their streams, and copies of many files."""

from __future__ import annotations

import base64
import filecmp
import hashlib
import itertools
import json
import os
import re
import select
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec_stream as channel
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import execute
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import NOT_YET, STDOUT, V4, V5, Channel
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy, pod_exec, task_pod

from ..cluster import images
from ..cluster.cluster import Cluster
from ..support.covering import covering_array
from ..support.environment import CLUSTER, CLUSTER_NUMBER, KUBECONFIG, SCALE
from ..support.operations import IMAGE, call
from ..support.pods import first_process, run_script, start_pod
from ..support.scale import measure_operation
from ..support.waiting import wait_for

GIB = 1 << 30
# Runs in a separate process, to measure its memory.
MEASURE = """
import json, re, sys
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import execute
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
kubeconfig, pod, direction, size = sys.argv[1:]
size, count = int(size), 0
def take(data):
    global count
    count += len(data)
piece = bytes(1 << 18)
def source():
    for _ in range(size >> 18):
        yield piece
if direction == "out":
    command = Command(["dd", "if=/dev/zero", "bs=1048576", f"count={size >> 20}"])
else:
    command = Command(["sh", "-c", "wc -c; exit $?"], source=source, size=size)
output = bytearray()
with Client(Configuration({"kubeconfig": kubeconfig})) as client:
    rc = execute(client, Container("default", pod), command, take if direction == "out" else output.extend)
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())  # getrusage includes the parent process
print(json.dumps({"rc": rc, "count": count if direction == "out" else int(output), "rss": int(peak[1]) << 10}))
"""


@pytest.fixture(scope="module")
def box(client):
    """A Container of busybox in a namespace of its own."""
    name = f"box-{uuid.uuid4().hex[:6]}"
    start_pod(client, "default", name)
    yield Container("default", name)
    client.delete(POD, "default", name, grace_period=0)


@pytest.mark.parametrize("size", [GIB // 4, pytest.param(2 * GIB, marks=pytest.mark.long)], ids=["256 MiB", "2 GiB"])
@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_stream_takes_less_than_a_hundred_megabytes_of_memory(direction, size, box):
    done = subprocess.run([sys.executable, "-c", MEASURE, KUBECONFIG, box.pod, direction, str(size)], capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["rc"] == 0 and measured["count"] == size
    assert measured["rss"] < 100_000_000


@pytest.mark.long
def test_a_copy_of_two_gibibytes_takes_less_than_a_hundred_and_fifty_megabytes_of_memory(client, namespace, tmp_path):
    start_pod(client, namespace, "box")
    piece = os.urandom(1 << 20)
    with (tmp_path / "source").open("wb") as source:
        for _piece in range(2 * GIB >> 20):
            source.write(piece)
    copy = {"kubeconfig": KUBECONFIG, "namespace": namespace, "pod": "box", "remote_path": "/srv/copy"}
    for options in ({"local_path": str(tmp_path / "source")}, {"local_path": str(tmp_path / "back"), "state": "from_pod"}):
        measured = measure_operation("pod_copy", copy | options)
        assert measured["result"]["changed"] and measured["peak"] < 150_000_000, measured
    assert filecmp.cmp(tmp_path / "source", tmp_path / "back", shallow=False)


@pytest.mark.parametrize("size", [GIB // 8, pytest.param(GIB, marks=pytest.mark.long)], ids=["128 MiB", "1 GiB"])
def test_stdout_file_receives_a_large_output(size, play, box, tmp_path):
    path = tmp_path / "out"
    options = {"pod": box.pod, "command": ["dd", "if=/dev/zero", "bs=1048576", f"count={size >> 20}"], "stdout_file": str(path)}
    result = play([{"name": "Dump", "podwright.core.pod_exec": options}], namespace="default").of("Dump")
    assert path.stat().st_size == size and result["rc"] == 0 and result["stdout"] == ""
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".podwright")] == []


def test_large_file_is_hashed_by_the_python_of_the_image(play, client, namespace, python_image, tmp_path):
    """Files of this size are hashed by Python if the image has it, so that sha256sum is not needed."""
    pod = {"name": "snake", "image": python_image, "image_pull_policy": "IfNotPresent", "command": ["sleep", "3600"], "termination_grace_period": 0}
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(40 << 20))
    up = {"name": "Up", "podwright.core.pod_copy": {"pod": "snake", "local_path": str(source), "remote_path": "/tmp/copied"}}
    down = {"name": "Down", "podwright.core.pod_copy": {"pod": "snake", "state": "from_pod", "remote_path": "/tmp/copied", "local_path": str(back)}}
    broken = {"podwright.core.pod_exec": {"pod": "snake", "command": ["sh", "-c", "rm /bin/sha256sum; ln -s /bin/false /bin/sha256sum"]}}
    mended = {"podwright.core.pod_exec": {"pod": "snake", "command": ["ln", "-sf", "/bin/busybox", "/bin/sha256sum"]}}
    tasks = [{"podwright.core.task_pod": pod}, broken, up, down, mended, up | {"name": "Up again"}, down | {"name": "Down again"}]
    played = play(tasks, namespace=namespace)
    assert back.read_bytes() == source.read_bytes() and played.of("Up")["checksum"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert played.of("Up")["changed"] and not played.of("Up again")["changed"] and not played.of("Down again")["changed"]


def test_command_that_closes_its_output_receives_its_input(client, box):
    pieces = [bytes([number]) * (1 << 20) for number in range(10)]
    assert run_script(client, box, "exec >&- 2>&-; cat > /tmp/closed", pieces)[0] == 0
    assert run_script(client, box, "wc -c < /tmp/closed")[1].strip() == str(10 << 20).encode()


@pytest.mark.parametrize("script", ["true", "head -c 100 > /dev/null; echo done", "exec <&-; sleep 0.2"])
def test_command_need_not_read_its_input(script, client, box):
    pieces = [bytes(1 << 20)] * 64
    rc, output = run_script(client, box, script, pieces, timeout=60)
    assert (rc, output) == (0, b"done\n" if "done" in script else b"")


def test_characters_split_between_frames_are_decoded(client, box):
    text = "é" * 200_000
    assert run_script(client, box, "printf x; cat", [text.encode()])[1].decode() == "x" + text


@pytest.mark.parametrize("protocol", [V4, V5])
def test_command_without_output_is_waited_for(protocol, client, box, monkeypatch):
    """The other end, the API server or the container runtime, answers pings."""
    monkeypatch.setattr(channel, "PING_SECONDS", 0.1)
    words = ["sh", "-c", "sleep 2; echo done"]
    with Channel(client, box.namespace, box.pod, "task", words, protocols=(protocol,)) as opened:
        assert opened.read() == (STDOUT, b"done\n") and opened.read() is None


def test_options_of_a_command_can_be_combined(tooled, tmp_path):
    """Input, output, terminal, environment, working directory and timeouts: every three of them, or (PODWRIGHT_SCALE) every combination."""
    given, taken = tmp_path / "given", tmp_path / "taken"
    given.write_text("one\ntwo")
    script = "echo in $PWD with ${WORD:-nothing}; echo odd >&2; cat; exit 3"
    inputs = [{}, {"stdin": ""}, {"stdin": "one\ntwo"}, {"stdin_file": str(given)}]
    choices = [{"tty": True}, {"env": {"WORD": "a b"}}, {"chdir": "/tmp"}, {"timeout": 30, "idle_timeout": 20}, {"stdout_file": str(taken)}]
    groups = [inputs, *([{}, choice] for choice in choices)]
    every = ({name: value for part in chosen for name, value in part.items()} for chosen in itertools.product(*groups))
    for options in every if SCALE > 1 else covering_array(*groups):
        result = call(pod_exec, {"pod": tooled.pod, "command": ["sh", "-c", script], "check_rc": False, "strip_empty_ends": False} | options, tooled.namespace)
        assert result.get("rc") == 3, (options, result)
        output = taken.read_bytes().decode() if "stdout_file" in options else result["stdout"]
        expected = f"in {options.get('chdir', '/')} with {'a b' if 'env' in options else 'nothing'}\n"
        text = "one\ntwo" if options.get("stdin") or "stdin_file" in options else ""
        if "tty" not in options:
            assert (output, result["stderr"]) == (expected + text, "odd\n"), options
        else:  # the echo of the input can appear anywhere
            assert expected.strip() in output and "odd" in output and result["stderr"] == "", (options, output)
            assert output.count("one") == output.count("two") == (2 if text else 0), (options, output)


def test_each_pod_has_its_stdout_file(namespace, tmp_path):
    names = ["many-1", "many-2"]
    call(
        task_pod, {"tasks": [{"name": name} for name in names], "labels": {"app": "many"}, "command": ["sleep", "3600"], "state": "running", **IMAGE}, namespace
    )
    options = {"label_selectors": ["app=many"], "command": ["hostname"]}
    directory = tmp_path / "of/each"
    call(pod_exec, options | {"stdout_file": str(directory)}, namespace, check_mode=True)
    assert not list(tmp_path.iterdir())
    assert call(pod_exec, options | {"stdout_file": str(directory)}, namespace)["rc"] == 0
    assert {path.name: path.read_text() for path in directory.iterdir()} == {name: f"{name}\n" for name in names}
    in_the_way = call(pod_exec, options | {"stdout_file": str(directory / "many-1")}, namespace)
    assert [entry["reason"] for entry in in_the_way["results"]] == ["WriteFailed"] * 2
    unreadable = call(pod_exec, options | {"stdin_file": "/proc/self/mem"}, namespace)
    assert [entry["reason"] for entry in unreadable["results"]] == ["ReadFailed"] * 2


def test_empty_input_is_closed(client, box):
    assert run_script(client, box, "wc -c", [b""])[1].strip() == b"0"


def test_attach_reads_the_output_of_the_container(client, namespace):
    script = "read line; echo got $line; cat"
    container = {"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script], "stdin": True, "stdinOnce": True}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asks"}, "spec": {"containers": [container], "restartPolicy": "Never"}}
    client.create(POD, namespace, manifest, "test")
    wait_for(lambda: client.get(POD, namespace, "asks")["status"].get("phase") == "Running")
    output = bytearray()

    def say():
        yield b"hello\n"
        while not output:
            yield NOT_YET  # until the container has answered

    with Channel(client, namespace, "asks", "task", None, say()) as attached:
        while (piece := attached.read(client.clock.monotonic() + 30)) is not None:
            output += piece[1]
    assert output == b"got hello\n"


def test_pod_that_has_not_been_scheduled_is_an_error(client, namespace):
    container = {"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent"}
    spec = {"containers": [container], "nodeSelector": {"no": "such"}}
    client.create(POD, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "unscheduled"}, "spec": spec}, "test")
    with pytest.raises(PodwrightError, match="has not been scheduled") as caught:
        execute(client, Container(namespace, "unscheduled"), Command(["true"]))
    assert "pod_info" in caught.value.hint


@pytest.mark.parametrize("returns", [True, False])
def test_exec_is_retried_if_the_runtime_does_not_respond(returns, client, box, monkeypatch):
    output = bytearray()
    runtime = int(re.search(r"^PPid:\t(\d+)", Path(f"/proc/{first_process(client, box)}/status").read_text(), re.MULTILINE)[1])
    monkeypatch.setattr(client.clock, "sleep", lambda seconds: os.kill(runtime, signal.SIGCONT if returns else signal.SIGSTOP))
    os.kill(runtime, signal.SIGSTOP)
    # A thread that still runs may answer that the container exists: the start that follows has no time limit in containerd.
    wait_for(lambda: all(" T " in stat.read_text() for stat in Path(f"/proc/{runtime}/task").glob("*/stat")))
    try:
        command = Command(["sh", "-c", "cat; exit 3"], source=lambda: iter([b"input"]))
        if returns:
            assert (execute(client, box, command, output.extend), output) == (3, b"input")
        else:
            with pytest.raises(PodwrightError, match=r"could not be run: .*deadline exceeded") as caught:
                execute(client, box, command, output.extend)
            assert "does not respond" in caught.value.hint and not output
    finally:
        os.kill(runtime, signal.SIGCONT)


def test_terminated_container_is_an_error(client, namespace):
    container = {"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["true"]}
    spec = {"containers": [container], "restartPolicy": "Never"}
    client.create(POD, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "terminated"}, "spec": spec}, "test")
    wait_for(lambda: client.get(POD, namespace, "terminated")["status"].get("phase") == "Succeeded")
    with pytest.raises(PodwrightError) as caught:
        execute(client, Container(namespace, "terminated"), Command(["true"]))
    assert "the container has terminated with exit code 0" in caught.value.message and caught.value.hint.startswith("Create the pod again.")


@pytest.mark.parametrize("count", [1000, pytest.param(5000, marks=pytest.mark.long)])
def test_one_changed_file_of_thousands_is_copied(count, play, namespace, client, tmp_path):
    start_pod(client, namespace, "box")
    for number in range(count):
        directory = tmp_path / "tree" / str(number % 50)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"file-{number}").write_text(f"text {number}")
    copy = {"pod": "box", "local_path": str(tmp_path / "tree"), "remote_path": "/srv/tree"}
    first = play([{"name": "Copy", "podwright.core.pod_copy": copy}], namespace=namespace).of("Copy")
    (tmp_path / "tree/7/file-7").write_text("TEXT 7")
    second = play([{"name": "Copy", "podwright.core.pod_copy": copy}], namespace=namespace).of("Copy")
    assert first["files"]["copied"] == count
    assert second["changes"] == ["copy 7/file-7"] and second["files"]["unchanged"] == count - 1


def test_running_init_container_receives_a_file(play, namespace, client):
    alone = "set -- /proc/[0-9]*; [ $# = 1 ]"  # else it could end before the copy is confirmed
    script = f"until [ -e /tmp/go ] && {{ {alone}; }}; do sleep 0.1; done"
    waits = {"name": "waits", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    start_pod(client, namespace, "box", initContainers=[waits])
    wait_for(lambda: "running" in (client.get(POD, namespace, "box")["status"].get("initContainerStatuses") or [{}])[0].get("state", {}))
    copy = {"pod": "box", "container": "waits", "content": "go", "remote_path": "/tmp/go"}
    assert play([{"name": "Copy", "podwright.core.pod_copy": copy}], namespace=namespace).of("Copy")["changed"]
    wait_for(lambda: client.get(POD, namespace, "box")["status"].get("phase") == "Running")


def test_helper_that_is_not_allowed_is_an_error(play, namespace, client):
    spec = {"containers": [{"name": "task", "image": "podwright/static", "imagePullPolicy": "IfNotPresent"}], "shareProcessNamespace": True}
    start_pod(client, namespace, "shared", **spec)
    start_pod(client, namespace, "plain", containers=spec["containers"])
    copy = {"content": "x", "remote_path": "/x"}
    tasks = [
        {"name": "Shared", "podwright.core.pod_copy": copy | {"pod": "shared"}, "ignore_errors": True},
        {"name": "No image", "podwright.core.pod_copy": copy | {"pod": "plain", "helper_image": "NO SUCH"}, "ignore_errors": True},
    ]
    played = play(tasks, namespace=namespace)
    assert "shareProcessNamespace" in played.of("Shared")["msg"]
    assert "helper_image" in played.of("No image")["msg"] and played.of("No image")["reason"] == "HelperFailed"


def test_helper_of_another_user_is_an_error(play, namespace, client, tmp_path):
    image = images.Image("docker.io/podwright/user:latest", ["/sleep", "3600"], {"sleep": images.BUSYBOX.read_bytes()}, User="1000")
    Cluster(CLUSTER, CLUSTER_NUMBER).load_image(image.save(tmp_path / "image.tar"))
    container = {"name": "task", "image": "podwright/user", "imagePullPolicy": "IfNotPresent"}
    start_pod(client, namespace, "unnamed", containers=[container])
    start_pod(client, namespace, "named", containers=[container | {"securityContext": {"runAsUser": 1000}}])
    copy = {"state": "from_pod", "remote_path": "/sleep", "local_path": str(tmp_path / "sleep")}
    tasks = [
        {"name": "Unnamed", "podwright.core.pod_copy": copy | {"pod": "unnamed"}, "ignore_errors": True},
        {"name": "Named", "podwright.core.pod_copy": copy | {"pod": "named"}},
    ]
    played = play(tasks, namespace=namespace)
    assert "another user" in played.of("Unnamed")["msg"] and "run_as_user" in played.of("Unnamed")["msg"]
    assert played.of("Named")["changed"] and (tmp_path / "sleep").read_bytes() == images.BUSYBOX.read_bytes()


def test_file_that_changes_while_it_is_read_is_never_incomplete(client, box, tmp_path):
    run_script(client, box, "while :; do head -c 3000000 /dev/urandom > /tmp/busy; done >/dev/null 2>&1 & echo started")
    for _turn in range(5):
        target = tmp_path / "busy"
        options = {"pod": box.pod, "state": "from_pod", "remote_path": "/tmp/busy", "local_path": str(target)}
        result = call(pod_copy, options, "default")
        assert (
            (result["reason"] in ("Changed", "CopyFailed", "NoSize")) if result["failed"] else (target.stat().st_size == result["bytes"] or not result["bytes"])
        )


def test_full_disk_is_reported(client, namespace, tmp_path):
    mount = {
        "name": "task",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "3600"],
        "volumeMounts": [{"name": "tiny", "mountPath": "/tiny"}],
    }
    start_pod(client, namespace, "tiny", containers=[mount], volumes=[{"name": "tiny", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}])
    for size in (3 << 20, 40 << 20):
        (tmp_path / "source").write_bytes(os.urandom(size))
        result = call(pod_copy, {"pod": "tiny", "local_path": str(tmp_path / "source"), "remote_path": "/tiny/copied"}, namespace)
        assert result["failed"] and "No space left on device" in result["msg"], result["msg"]
        assert run_script(client, Container(namespace, "tiny"), "ls -A /tiny") == (0, b"")


class Proxy(socketserver.BaseRequestHandler):
    """An HTTP proxy that supports CONNECT with basic authentication."""

    targets = []

    def handle(self):
        """Forward a connection."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.request.recv(1)
        if base64.b64encode(b"user:secret") not in head:
            self.request.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        host, port = head.split()[1].decode().rsplit(":", 1)
        self.targets.append(f"{host}:{port}")
        with socket.create_connection((host, int(port))) as server:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            ways = {self.request: server, server: self.request}
            while True:
                for source in select.select(list(ways), [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    ways[source].sendall(data)


def test_requests_and_streams_use_the_proxy(play, box):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://user:secret@127.0.0.1:{server.server_address[1]}"
        bare = address.replace("user:secret@", "")
        options = {"pod": box.pod, "command": "cat", "stdin": "through", "proxy": address}
        tasks = [
            {"name": "Read", "podwright.core.pod_info": {"proxy": address}},
            {"name": "Run", "podwright.core.pod_exec": options},
            {"name": "Named apart", "podwright.core.pod_exec": options | {"proxy": bare, "proxy_headers": {"proxy_basic_auth": "user:secret"}}},
            {"name": "Around", "podwright.core.pod_exec": options | {"no_proxy": "10.231.0.2,127.0.0.1"}},
        ]
        played = play(tasks, namespace="default")
        server.shutdown()
        thread.join()
    assert played.of("Run")["stdout"] == "through" and played.of("Read")["pods"]
    assert played.of("Named apart")["stdout"] == "through"
    assert len(Proxy.targets) == 3
