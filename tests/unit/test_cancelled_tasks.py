# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Signals, and results that nobody waits for: operations stop, say so once, and leave no files."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine import threads
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import leftovers
from ansible_collections.podwright.core.plugins.module_utils._engine.threads import Pool

from ..support.environment import ROOT
from ..support.waiting import wait_for
from .test_interrupted_tasks import NoWatcher, TaskCluster, perform, runner

ENGINE = "ansible_collections.podwright.core.plugins.module_utils._engine"
POD = {"namespace": "n", "pod": "p"}
OPTIONS = {
    "pod_autoscale": {"name": "p", "kind": "Deployment", "replicas": 1},
    "pod_copy": POD | {"remote_path": "/x", "content": "x"},
    "pod_deployment": {"name": "p", "image": "i"},
    "pod_exec": POD | {"command": "true"},
    "pod_gc": {"namespace": "n"},
    "pod_info": {"name": "p", "namespace": "n"},
    "pod_logs": {"name": "p", "namespace": "n", "follow": True},
    "pod_report": {"namespace": "n", "dest": "report.html"},
    "pod_request": POD | {"port": 80, "timeout": 30},
    "resource_set": {"definition": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}}},
    "task_pod": {"name": "t", "namespace": "n", "image": "i"},
}


def start(script, *arguments, **options):
    """A Python process that runs a script."""
    return subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture
def silent_server():
    """The address of a server that accepts connections and never answers; its second item is the number of connections."""
    accepted = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def accept():
            try:
                while True:
                    accepted.append(listener.accept()[0])
            except OSError:
                pass

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", accepted
        listener.shutdown(socket.SHUT_RDWR)


# Forks a process for each module, which takes its arguments from the command line; the first line that it prints has their ids.
MODULES = f"""
import importlib, json, os, sys
from {ENGINE}.module_edge import run_module
arguments = json.loads(sys.argv[1])
operations = {{name: importlib.import_module("{ENGINE}.operations." + name).OPERATION for name in arguments}}
pids = {{}}
for name, operation in operations.items():
    pids[name] = os.fork()
    if not pids[name]:
        output = os.open(os.path.join(sys.argv[2], name), os.O_WRONLY)
        sys.argv[1:] = [json.dumps({{"ANSIBLE_MODULE_ARGS": arguments[name]}})]
        os.dup2(output, 1)
        os.close(output)
        run_module(operation)
print(json.dumps(pids), flush=True)
for pid in pids.values():
    os.waitpid(pid, 0)
"""


def test_modules_stop_at_a_signal_or_when_nobody_reads_their_result(silent_server, tmp_path):
    """All at the same time, since each waits for a server that does not answer; with credentials given as text, which are files for a while."""
    host, accepted = silent_server
    assert {path.stem for path in (ROOT / "plugins/modules").glob("*.py")} == set(OPTIONS)
    kubeconfig = {
        "clusters": [{"name": "c", "cluster": {"server": host}}],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    pipes, temporary = tmp_path / "pipes", tmp_path / "temporary"
    pipes.mkdir()
    temporary.mkdir()
    outputs = {}
    for name in OPTIONS:
        os.mkfifo(pipes / name)
        outputs[name] = os.open(pipes / name, os.O_RDONLY | os.O_NONBLOCK)
    arguments = {name: options | {"kubeconfig": kubeconfig, "_ansible_remote_tmp": str(temporary)} for name, options in OPTIONS.items()}
    process = start(MODULES, json.dumps(arguments), str(pipes), env=os.environ | {"TMPDIR": str(temporary)})
    pids = json.loads(process.stdout.readline())
    wait_for(lambda: len(accepted) >= len(OPTIONS), 30)
    for number, name in enumerate(OPTIONS):
        if number % 2:
            os.kill(pids[name], signal.SIGTERM)
        else:
            os.close(outputs.pop(name))
    process.communicate(timeout=30)
    results = {name: json.loads(os.read(output, 100_000)) for name, output in outputs.items()}
    for output in outputs.values():
        os.close(output)
    assert {result["reason"] for result in results.values()} == {"Cancelled"}
    assert {result["msg"].partition(".")[0] for result in results.values()} == {f"{name} was cancelled by SIGTERM" for name in results}
    assert [str(path) for path in temporary.rglob("*") if path.is_file()] == []


HANDLED = f"""
import os, signal, sys, threading, time
from {ENGINE} import cancellation
from {ENGINE}.cancellation import Cancelled, cancellable
before = [signal.getsignal(number) for number in cancellation.SIGNALS]
cancellation.CHECK_SECONDS = 0.01
causes = []
for abandoned in (False, True):
    begun = threading.Event()
    try:
        with cancellable(lambda: abandoned and begun.is_set()):
            try:
                begun.set()
                if not abandoned:
                    os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGINT)
                causes.append("cleaned up")
    except Cancelled as error:
        causes.append(str(error))
assert causes == ["cleaned up", "SIGINT", "cleaned up", "the exit of the process that waited for it"], causes
assert before == [signal.getsignal(number) for number in cancellation.SIGNALS]
assert threading.active_count() == 1
cancellation.STOPPING_SECONDS = 0.1
with cancellable(lambda: False):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    finally:
        time.sleep(30)
"""


def test_the_first_signal_cancels_and_later_ones_do_not_interrupt_what_follows():
    process = start(HANDLED)
    _stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 1 and not stderr, stderr  # 30 s were cut short


def test_a_pool_of_a_cancelled_operation_drops_what_has_not_begun(monkeypatch):
    monkeypatch.setattr(threads, "STOP_SECONDS", 0.1)
    begun, release = [], threading.Event()

    def request(number):
        begun.append(number)
        release.wait(30)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Pool(2) as pool:
        for number in range(50):
            pool.submit(request, number)
        raise KeyboardInterrupt
    assert time.monotonic() - started < 20  # less than a request takes
    release.set()
    assert len(begun) <= 2


class Timeout(BaseException):
    """That of Ansible's keyword `timeout`."""


class Impatient(NoWatcher):
    """Cancels the run once two tasks are running."""

    def next(self, timeout):
        if sum("running" in str(item.get("status")) for item in self._client.objects.values()) == 2:
            raise Timeout
        time.sleep(0.001)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "Watcher", Impatient)
    cluster = TaskCluster(tmp_path)
    cluster.outcome = None
    return cluster


def cancel(cluster, **options):
    """What a run says that is cancelled as soon as it has created its tasks."""
    said = []
    options = {"name": None, "tasks": [{"name": "a"}, {"name": "b"}], "state": "completed"} | options
    with pytest.raises(Timeout):
        perform(cluster, console=Farewells(said), **options)
    assert len(said) == 1
    return said[0]


class Farewells(runner.Console):
    """Keeps what a cancelled operation says."""

    def __init__(self, said):
        super().__init__()
        self._said = said

    def take_leave(self, text):
        self._said.append(text)


def test_a_cancelled_task_says_what_it_leaves_behind(cluster):
    said = cancel(cluster)
    assert said == (
        "task_pod was cancelled by Ansible's timeout. It leaves running 2 in namespace 'n': Pod 'a', Pod 'b'. "
        "The next run resumes them; on_cancel: delete deletes them."
    )
    assert [key[0] for key in cluster.objects] == ["Pod", "Pod"]


def test_a_cancelled_task_deletes_what_it_started_and_nothing_else(cluster):
    cluster.outcome = 0
    perform(cluster, name="earlier", state="completed")
    cluster.outcome = None
    tasks = [{"name": "earlier"}, {"name": "a"}, {"name": "b"}]
    said = cancel(cluster, on_cancel="delete", tasks=tasks)
    assert said == "task_pod was cancelled by Ansible's timeout. It deleted 2 in namespace 'n': Pod 'a', Pod 'b'."
    assert list(cluster.objects) == [("Pod", "n", "earlier")]


def test_a_cancelled_task_says_what_it_could_not_delete(cluster):
    cluster.refusals = {("delete", "Pod"): (403, "pods is forbidden")}
    said = cancel(cluster, on_cancel="delete")
    assert "Pod 'a' in namespace 'n' could not be deleted: pods is forbidden" in said and "\n" not in said


def test_a_cancelled_task_does_not_wait_for_a_server_that_does_not_answer(cluster, monkeypatch):
    monkeypatch.setattr(leftovers, "DELETION_SECONDS", 0.1)
    answered = threading.Event()
    monkeypatch.setattr(cluster, "delete", lambda *arguments: answered.wait(5))
    said = cancel(cluster, on_cancel="delete")
    answered.set()
    assert "The API server did not answer within 0.1 s: pods that this run started may still exist." in said
