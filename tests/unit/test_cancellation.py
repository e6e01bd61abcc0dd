# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nothing waits for threads that read a silent server: not after Ctrl-C, not after Ansible's task timeout, not after an error of a sibling."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import signal
import sys
import threading
import time

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.podwright.core.plugins.module_utils._engine import threads
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import websocket
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.streams import Streams
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy, pod_exec, pod_logs, pod_request
from ansible_collections.podwright.core.plugins.module_utils._engine.threads import Pool, call_in_threads
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer import upload
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.local import LocalTree
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.plan import CopyOptions, Plan
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.remote import ContainerTree
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.tree import ROOT
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.upload import Upload

from ..support.waiting import wait_for
from .local_pod import LocalPod
from .stub_server import Response, StubServer
from .test_hostile_servers import CONTAINER, STARTED, live

STATUS = {"phase": "Running", "containerStatuses": [STARTED["containerStatuses"][0] | {"containerID": "containerd://x"}]}
PODS = [live("v1", "Pod", name, spec={"containers": [CONTAINER]}, status=STATUS) for name in ("one", "two")]
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class TaskTimeout(BaseException):
    """What Ansible raises in the thread that runs a task whose `timeout` has expired."""


class SilentServer(StubServer):
    """An API server with two pods, whose logs and websockets stay silent until it is closed.

    Args:
        upgrades: open the websockets first.
    """

    def __init__(self, upgrades=True):
        self._upgrades = upgrades
        self.is_closed = threading.Event()
        self.waiting = 0
        super().__init__(self._respond)

    def _respond(self, handler):
        path, _mark, _query = handler.path.partition("?")
        if "Upgrade" in handler.headers and not self._upgrades:
            return self._fall_silent(handler, "")
        if "Upgrade" in handler.headers:
            accept = base64.b64encode(hashlib.sha1(handler.headers["Sec-WebSocket-Key"].encode() + WEBSOCKET_GUID).digest()).decode()
            head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
            return self._fall_silent(handler, f"{head}Sec-WebSocket-Protocol: {handler.headers['Sec-WebSocket-Protocol'].split(',')[0]}\r\n\r\n")
        if path.endswith("/log"):
            return self._fall_silent(handler, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        if path.endswith("/pods"):
            return Response(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": PODS})
        return Response(200, next(pod for pod in PODS if pod["metadata"]["name"] == path.rpartition("/")[2]))

    def _fall_silent(self, handler, head):
        handler.wfile.write(head.encode())
        self.waiting += 1
        self.is_closed.wait(60)
        raise ConnectionAbortedError

    def __exit__(self, *exception):
        self.is_closed.set()
        super().__exit__(*exception)


CALLS = {
    "pod_exec": (pod_exec, {"pod": "one", "command": "x"}),
    "pod_exec of pods": (pod_exec, {"label_selectors": ["a=b"], "command": "x", "stdin": "y", "timeout": 900}),
    "pod_logs": (pod_logs, {"label_selectors": ["a=b"]}),
    "pod_logs follow": (pod_logs, {"label_selectors": ["a=b"], "follow": True}),
    "pod_request": (pod_request, {"pod": "one", "port": "80", "requests": [{"timeout": 900}, {"timeout": 900}]}),
}


@pytest.mark.parametrize("error_type", [KeyboardInterrupt, TaskTimeout])
@pytest.mark.parametrize("call", CALLS)
def test_interrupted_task_does_not_wait_for_a_silent_server(call, error_type):
    module, options = CALLS[call]
    operation = module.OPERATION
    before = set(threading.enumerate())
    with SilentServer() as server:
        checked = ArgumentSpecValidator(operation.arguments, **operation.rules).validate({"host": server.url, "namespace": "default", **options})
        assert not checked.error_messages
        invocation = Invocation(checked.validated_parameters, False, False, Console())
        expected, interrupted_at = 1 if "pod" in options and "requests" not in options else 2, []

        def interrupt(_signal, _frame):
            if server.waiting < expected:
                signal.setitimer(signal.ITIMER_REAL, 0.02)
                return
            interrupted_at.append(time.monotonic())
            raise error_type

        usual = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        try:
            with pytest.raises(error_type):
                operation.run(invocation, operation.outcome())
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, usual)
            invocation.close()
        assert time.monotonic() - interrupted_at[0] < 10
        assert not [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("podwright")]


def test_logs_are_returned_at_their_deadline_although_the_server_is_silent():
    with SilentServer() as server:
        params = dict.fromkeys(pod_logs.ARGUMENTS) | {"kind": "Pod", "api_version": "v1", "host": server.url, "namespace": "default", "max_bytes": 9}
        invocation, reading = Invocation(params | {"name": "one", "follow": True, "timeout": 0.3}, False, False, Console()), pod_logs.Reading()
        begun = time.monotonic()
        pod_logs.run(invocation, reading)
        invocation.close()
    assert 0.3 <= time.monotonic() - begun < 10 and [log.content for log in reading.logs] == [b""]


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (pod_exec, {"pod": "one", "command": "x"}),
        (pod_copy, {"pod": "one", "remote_path": "/x", "content": "x"}),
        (pod_request, {"pod": "one", "port": "80"}),
        (pod_request, {"pod": "one", "port": "80", "protocol": "grpc"}),
    ],
)
def test_timeouts_include_the_opening_of_a_websocket(module, options, monkeypatch):
    monkeypatch.setattr(websocket, "UPGRADE_SECONDS", 10)
    operation, before = module.OPERATION, set(threading.enumerate())
    with SilentServer(upgrades=False) as server:
        options = {"host": server.url, "namespace": "default", "timeout": 0.3, **options}
        checked = ArgumentSpecValidator(operation.arguments, **operation.rules).validate(options)
        result = perform(operation, checked.validated_parameters, False, False, Console())
        assert not [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("podwright")]
    assert result["failed"] and (result["reason"] == "Timeout" or "protocol" in options)


@pytest.mark.parametrize("fault", ["source", "part"])
def test_failed_part_of_an_upload_stops_the_others(fault, tmp_path, monkeypatch):
    """One part fails, or the source changes, while the container takes no input from the others."""
    monkeypatch.setattr(upload, "LARGE", 1 << 20)
    monkeypatch.setattr(upload, "SMALLEST_PART", 1 << 20)
    pod = LocalPod("gnu", tmp_path, monkeypatch)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(6 << 20))
    local, remote = LocalTree(str(source)), ContainerTree(pod.client, pod.container, str(tmp_path / "target"))
    tree, pieces, numbers, ran = local.observe(Console()), LocalTree.pieces, itertools.count(), ContainerTree.write_part

    def change(self, path, start=0, size=None):
        if fault == "source" and next(numbers) == 5:
            raise PodwrightError("The source has changed.", reason="Changed")
        yield from pieces(self, path, start, size)

    def write_part(self, path, content, start, size, token):
        if start:
            pod_runs.set()
            self._runner.run(["sleep", "60"])
        elif fault == "part":
            pod_runs.wait(5)
            raise PodwrightError("The source has changed.", reason="Changed")
        return ran(self, path, content, start, size, token)

    pod_runs = threading.Event()
    monkeypatch.setattr(LocalTree, "pieces", change)
    monkeypatch.setattr(ContainerTree, "write_part", write_part)
    begun, before = time.monotonic(), set(threading.enumerate())
    with pytest.raises(PodwrightError, match="source has changed"):
        Upload(local, remote, tree, CopyOptions(), Plan(files=[ROOT]), False, Console()).run()
    assert time.monotonic() - begun < 30
    assert not [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("podwright")]
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".target")]


def test_results_are_in_the_order_of_the_items():
    assert call_in_threads(lambda number: number * 2, range(100), 7, lambda: None) == list(range(0, 200, 2))
    assert call_in_threads(len, [], 7, lambda: None) == []


def test_no_call_starts_after_an_error_and_those_that_do_not_return_are_not_waited_for(monkeypatch):
    monkeypatch.setattr(threads, "STOP_SECONDS", 0.1)
    made, stopped = [], []

    def call(number):
        made.append(number)
        if number == 1:
            raise IndexError("the caller's own")
        threading.Event().wait(30)

    begun = time.monotonic()
    with pytest.raises(IndexError, match="own"):
        call_in_threads(call, range(9), 2, lambda: stopped.append(True))
    assert sorted(made) == [0, 1] and stopped == [True] and time.monotonic() - begun < 10


@pytest.mark.parametrize("wait", ["calls", "pool"])
def test_a_signal_that_interrupts_no_wait_is_handled_soon(wait, monkeypatch):
    """A signal that arrives just before a wait begins, here in another thread, does not interrupt it."""
    for name in ("WAKE_SECONDS", "STOP_SECONDS"):
        monkeypatch.setattr(threads, name, 0.1)

    def call(_item):
        wait_for(is_waiting, 30)  # Python itself does not expect a signal everywhere, such as in the start of a thread
        signal.raise_signal(signal.SIGUSR1)
        stopped.wait(30)

    def interrupt(_signal, _frame):
        raise KeyboardInterrupt

    def is_waiting():
        frame, names = sys._current_frames()[threading.main_thread().ident], set()
        while frame:
            names.add(frame.f_code.co_name)
            frame = frame.f_back
        return bool(names & {"_await_next", "__exit__"})

    stopped, usual, begun = threading.Event(), signal.signal(signal.SIGUSR1, interrupt), time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            if wait == "calls":
                call_in_threads(call, [1], 1, stopped.set)
            else:
                with Pool(1) as pool:
                    pool.submit(call, 1)
        assert time.monotonic() - begun < 10
    finally:
        stopped.set()
        signal.signal(signal.SIGUSR1, usual)


def test_no_stream_opens_after_the_cancellation():
    streams = Streams()
    streams.check()
    streams.cancel()
    with pytest.raises(PodwrightError) as caught:
        streams.check()
    assert caught.value.reason == "Cancelled"
