# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logs of a task's init containers and sidecars: collected, streamed, and in the error if one of them failed."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import container_log
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import Kinds
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.log_gaps import Gap
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.streams import Streams
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.job_status import INDEX
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import explaining_container
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_logs, task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import log_streams, runner
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.container_logs import further_containers, share_of
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.executor import LOG_BYTES
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.indexes import describe_indexes
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.record import PREFIX, read_record
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_completion import TaskCompletion

from ..support.fuzzing import peak_memory
from .task_specs import spec
from .test_interrupted_tasks import NoWatcher, TaskCluster

ENDED = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}
PARTS = {"init_containers": [{"name": "fetch"}], "containers": [{"name": "proxy"}]}


def terminated(code):
    return {"state": {"terminated": ENDED | {"exitCode": code, "reason": "Error" if code else "Completed"}}}


RUNNING = {"state": {"running": {"startedAt": ENDED["startedAt"]}}}
CRASHING = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": terminated(1)["state"]}
WAITING = {"state": {"waiting": {"reason": "PodInitializing"}}}
NO_IMAGE = {"state": {"waiting": {"reason": "ImagePullBackOff"}}}


def status_of(phase="Running", **containers):
    """The status of a pod: `fetch` is an init container, `proxy` a sidecar."""
    groups = {"initContainerStatuses": ("fetch", "proxy"), "containerStatuses": ("task", "other")}
    return {"phase": phase} | {group: [{"name": name} | containers[name] for name in names if name in containers] for group, names in groups.items()}


def pod_with(**containers):
    return {"metadata": {"name": "t", "namespace": "n"}, "spec": {"containers": [{"name": "task"}, {"name": "other"}]}, "status": status_of(**containers)}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ({"task": terminated(0)}, "task"),
        ({"fetch": terminated(0), "task": terminated(3), "proxy": terminated(137)}, "task"),
        ({"fetch": terminated(3), "task": WAITING}, "fetch"),
        ({"fetch": terminated(0), "proxy": CRASHING, "task": WAITING}, "proxy"),
        ({"fetch": NO_IMAGE, "task": WAITING}, "task"),
        ({"task": RUNNING, "other": CRASHING}, "other"),
        ({"task": CRASHING, "other": CRASHING}, "task"),
        ({}, "task"),
    ],
)
def test_the_container_that_failed_is_the_one_whose_log_is_shown(containers, expected):
    assert explaining_container(pod_with(**containers)) == expected


def debugged_pod():
    pod = pod_with(task=RUNNING)
    pod["spec"]["ephemeralContainers"] = [{"name": "debugger"}]
    pod["status"]["ephemeralContainerStatuses"] = [{"name": "debugger"} | terminated(130)]
    return pod


def test_the_log_of_a_debug_container_explains_nothing():
    assert explaining_container(debugged_pod()) == "task"


@pytest.mark.parametrize("name", ["debugger", "nope"])
def test_the_log_of_a_debug_container_can_be_read(name):
    client = SimpleNamespace(kinds=Kinds(None), get=lambda *_key: debugged_pod())
    params = {name: entry.get("default") for name, entry in pod_logs.ARGUMENTS.items()} | {"name": "t", "container": name, "kind": "Pod"}
    invocation = SimpleNamespace(client=client, namespace="n", params=params)
    if name == "debugger":
        assert [log.container for log in pod_logs._select_logs(invocation)] == ["debugger"]
        return
    with pytest.raises(PodwrightError, match="containers: debugger, other, task"):
        pod_logs._select_logs(invocation)


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_logs_are_those_of_the_containers_that_were_requested(kind):
    files = {"inputs": [{"path": "/data/x", "content": "y"}]} | ({"results": {"value": "/output/value"}} if kind == "Pod" else {})
    patches = [{"op": "add", "path": f"{'/spec/template' if kind == 'Job' else ''}/spec/initContainers/0", "value": {"name": "first", "image": "i"}}]
    run = SimpleNamespace(manifest=build_manifest(spec(kind=kind, patches=patches, **PARTS, **files), "baseline"))
    assert further_containers(run) == ["first", "fetch", "proxy"]
    assert further_containers(SimpleNamespace(manifest=build_manifest(spec(kind=kind, **files), "baseline"))) == []


# -- collected ------------------------------------------------------------------------------------------------


LARGE = [b"line %07d of a long build\n" % number for number in range(3 * LOG_BYTES // 30)] + [b"LAST\n"]


class LoggingCluster(TaskCluster):
    """A cluster whose containers have logs.

    Attributes:
        containers: name of a container -> its status.
        asked: the names of the containers whose logs were read.
    """

    def __init__(self, tmp_path, **containers):
        super().__init__(tmp_path)
        self.containers, self.asked, self.unreadable, self.full = containers, [], (), ()
        self.body, self.lost, self.responses = LARGE, (), 0

    def _status(self):
        return status_of("Failed" if terminated(1) in self.containers.values() else "Succeeded", **self.containers)

    def log(self, _namespace, _name, container, limit_bytes=None, tail_lines=None):
        self.asked.append(container)
        if container in self.unreadable:
            raise PodwrightError("it cannot be read")
        return b"x" * limit_bytes if container in self.full else f"one\nof {container}\n".encode()

    def stream(self, request):
        assert dict(request.query)["container"] in self.full and "limitBytes" not in dict(request.query)
        self.responses += 1
        return Body(iter(self.body), self.responses in self.lost)


class Body:
    """A response whose connection may be lost after its first piece."""

    chunked, status = True, 200

    def __init__(self, pieces, is_lost):
        self._pieces, self._is_lost, self.closed = pieces, is_lost, False

    def stream(self, _size):
        for piece in self._pieces:
            yield piece
            if self._is_lost:
                raise ConnectionResetError("reset by peer")

    def close(self):
        self.closed = True


@pytest.fixture
def perform(monkeypatch):
    monkeypatch.setattr(runner, "Watcher", NoWatcher)
    monkeypatch.setattr(runner, "TICK_SECONDS", 0)

    def run(cluster, console=None, **options):
        defaults = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()} | {"name": "t", "namespace": "n", "image": "i"}
        invocation = Invocation(defaults | {"state": "completed", "logs": "collect"} | options, False, False, console or Console(), cluster)
        return attempt(task_pod.OPERATION, invocation)

    return run


def test_a_task_with_one_container_costs_one_request_and_its_result_has_no_other_logs(perform, tmp_path):
    cluster = LoggingCluster(tmp_path, task=terminated(0))
    fields, error = perform(cluster)
    assert error is None and cluster.asked == ["task"]
    assert fields["logs"] == "one\nof task\n" and "container_logs" not in fields and "container_logs" not in fields["tasks"][0]


def test_logs_of_init_containers_and_sidecars_are_returned_by_name(perform, tmp_path):
    cluster = LoggingCluster(tmp_path, fetch=terminated(0), proxy=RUNNING, task=terminated(0))
    fields, _error = perform(cluster, **PARTS)
    assert fields["logs"] == "one\nof task\n"
    assert fields["container_logs"] == fields["tasks"][0]["container_logs"] == {"fetch": "one\nof fetch\n", "proxy": "one\nof proxy\n"}
    cluster = LoggingCluster(tmp_path, fetch=terminated(0), proxy=RUNNING, task=terminated(0))
    assert "container_logs" not in perform(cluster, **PARTS, logs="none")[0] and cluster.asked == []


def test_a_record_has_the_last_lines_not_the_last_states_of_one(perform, tmp_path, monkeypatch):
    cluster = LoggingCluster(tmp_path, task=terminated(0))
    monkeypatch.setattr(cluster, "log", lambda *_arguments, **_options: b"first\nsecond\n10 %\r90 %\r100 %\n")
    _fields, error = perform(cluster, cleanup="always", record=True, log_tail=2)
    assert error is None and read_record(cluster.objects["ConfigMap", "n", f"{PREFIX}t"]).tail.text == "second\n10 %\r90 %\r100 %\n"


def test_a_log_that_cannot_be_read_is_missing_with_a_warning(perform, tmp_path):
    cluster, console = LoggingCluster(tmp_path, fetch=terminated(0), proxy=RUNNING, task=terminated(0)), Console()
    cluster.unreadable = ("fetch",)
    fields, _error = perform(cluster, console, **PARTS)
    assert list(fields["container_logs"]) == ["proxy"]
    assert console.warnings == ["The log of container 'fetch' of task 't' could not be read: it cannot be read"]


@pytest.mark.parametrize("lost", [(), (1,)])
def test_of_a_long_log_the_end_is_returned_now_and_from_the_record(perform, tmp_path, lost):
    """What a playbook looks for at its end, such as why it failed, would be missing otherwise."""
    cluster, console = LoggingCluster(tmp_path, fetch=terminated(0), proxy=RUNNING, task=terminated(0)), Console()
    cluster.full, cluster.lost = ("task",), lost
    options = PARTS | {"cleanup": "always", "log_tail": 2}
    fields, _error = perform(cluster, console, **options)
    assert LOG_BYTES - 50 < len(fields["logs"]) <= LOG_BYTES and fields["logs"].startswith("line 00") and fields["logs"].endswith(" build\nLAST\n")
    remedy = "Read all with pod_logs, for which cleanup must keep the pod, or let the task write a file that artifacts copies."
    assert console.warnings == [f"Only the last {LOG_BYTES} bytes of the log of task 't' are returned. {remedy}"]
    again, error = perform(cluster, **options)
    assert error is None and cluster.started == 1 and again["tasks"][0]["recorded"] and again["logs"].count("\n") == 2
    assert fields["logs"].endswith(again["logs"]) and again["exit_codes"] == fields["exit_codes"] == {"fetch": 0, "task": 0}


def test_the_end_of_an_endless_log_is_not_awaited_and_little_of_it_is_kept(perform, tmp_path, monkeypatch):
    monkeypatch.setattr(container_log, "READING_SECONDS", 0.2)
    cluster, console = LoggingCluster(tmp_path, task=terminated(0)), Console()
    cluster.full, cluster.body = ("task",), iter(lambda: b"x" * (1 << 16), b"")
    found = []
    assert peak_memory(lambda: found.append(perform(cluster, console))) < 8 * LOG_BYTES
    fields, error = found[0]
    assert error is None and fields["logs"] is None
    assert console.warnings == ["The log of task 't' could not be read: its end was not reached within 0.2 s"]


def test_the_error_says_why_an_init_container_could_not_be_started(perform, tmp_path):
    state = {"terminated": ENDED | {"exitCode": 128, "reason": "StartError", "message": 'exec: "mak": executable file not found in $PATH'}}
    _fields, error = perform(LoggingCluster(tmp_path, fetch={"state": state}, other=terminated(1), task=WAITING), **PARTS)
    assert "the init container 'fetch' could not be started: exec: \"mak\": executable file not found" in error.message
    assert error.reason == "InitStartError" and error.hint.startswith("Correct command and working_dir")


@pytest.mark.parametrize("logs", ["none", "collect"])
def test_the_error_has_the_log_of_the_init_container_that_failed(perform, tmp_path, logs):
    cluster = LoggingCluster(tmp_path, fetch=terminated(1), task=WAITING)
    options = {"logs": logs, "cleanup": "always", "rerun": "on_change", **PARTS}
    fields, error = perform(cluster, **options)
    assert "the init container 'fetch' failed with exit code 1" in error.message
    assert error.message.endswith("\nLog of container 'fetch':\n  one\n  of fetch")
    assert fields["logs"] is None and fields["container_logs"] == {"fetch": "one\nof fetch\n"}
    fields, error = perform(cluster, **options)
    assert cluster.started == 1 and error.message.endswith("\nLog of container 'fetch':\n  one\n  of fetch")
    assert fields["logs"] is None and fields["container_logs"] == {"fetch": "one\nof fetch\n"}


def test_each_index_of_a_job_has_the_logs_of_all_its_containers():
    asked = spec(kind="Job", completions=2, completion_mode="Indexed", logs="collect", **PARTS)
    pods = {}
    for index in range(2):
        pod = copy.deepcopy(pod_with(fetch=terminated(0), task=terminated(0)))
        pod["metadata"] |= {"ownerReferences": [{"kind": "Job", "name": "t", "uid": "j", "controller": True}]}
        pod["metadata"] |= {"uid": str(index), "name": f"t-{index}", "annotations": {INDEX: str(index)}, "creationTimestamp": ENDED["startedAt"]}
        pods[str(index)] = pod
    plan, manifest = SimpleNamespace(is_deletion=False), build_manifest(asked, "baseline")
    run = SimpleNamespace(spec=asked, pods=pods, plan=plan, record=None, logs=None, index_logs={}, manifest=manifest)
    limits = []

    def log(_namespace, name, container, limit_bytes):
        limits.append(limit_bytes)
        return f"{name} {container}\r\x0c!".encode()

    TaskCompletion(SimpleNamespace(log=log), Console()).complete_logs(run, asked)
    assert run.logs == "[0] t-0 task\r\x0c!\n[1] t-1 task\r\x0c!\n" and limits == [share_of(4)] * 4
    found = describe_indexes(asked, run)["indexes"]
    expected = [(f"t-{index} task\r\x0c!", {"fetch": f"t-{index} fetch\r\x0c!"}) for index in range(2)]
    assert [(entry["logs"], entry["container_logs"]) for entry in found] == expected


# -- streamed -------------------------------------------------------------------------------------------------


class Follower:
    """Writes one line and, for a sidecar, never stops by itself."""

    def __init__(self, client, _namespace, _pod, _uid, container, on_line):
        self._client, self._container, self._on_line, self.gaps = client, container, on_line, []

    def follow(self):
        self._on_line(f"from {self._container}".encode(), "")
        if self._container == "proxy":
            self._client.streams.cancelled.wait(20)


class Lines(Console):
    def __init__(self):
        super().__init__()
        self.shown = []

    def line(self, name, text):
        self.shown.append((name, text))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [({}, [("t", "from task")]), (PARTS, [("t", "from task"), ("t/fetch", "from fetch"), ("t/proxy", "from proxy")])],
    ids=["one", "several"],
)
def test_streamed_lines_name_their_container_if_it_is_not_that_of_the_task(monkeypatch, parts, expected):
    monkeypatch.setattr(log_streams, "LogFollower", Follower)
    asked, console = spec(logs="stream", **parts), Lines()
    pod = build_manifest(asked, "baseline")
    names = ["fetch", "proxy", "task"] if parts else ["task"]
    pod["metadata"]["uid"] = "1"
    pod["status"] = status_of(**{name: RUNNING if name == "proxy" else terminated(0) for name in names})
    run = SimpleNamespace(manifest=pod, pod=pod, pods={}, is_from_earlier_run=False)
    clock = Clock()
    client = SimpleNamespace(clock=clock, branch=lambda: SimpleNamespace(streams=Streams()))
    with log_streams.LogStreams(client, console, 30) as streams:
        for _event in range(2):
            streams.show(run, asked, SimpleNamespace(is_finished=True))
        begun = clock.monotonic()
    assert sorted(console.shown) == expected
    assert clock.monotonic() - begun < 10, "a sidecar that is still terminating holds nobody up"
    assert console.warnings == []


def stream(monkeypatch, console, seconds, follow):
    """Stream the log of the pod `t` with a Follower whose `follow` is given."""
    monkeypatch.setattr(Follower, "follow", follow)
    monkeypatch.setattr(log_streams, "LogFollower", Follower)
    client = SimpleNamespace(clock=Clock(), branch=lambda: SimpleNamespace(streams=Streams()))
    with log_streams.LogStreams(client, console, seconds) as streams:
        streams.begin("t", {"metadata": {"namespace": "n", "name": "t", "uid": "1"}, "spec": {"containers": [{"name": "task"}]}})


def test_all_lines_of_a_finished_task_are_streamed(monkeypatch):
    def follow(follower):
        for number in range(8):
            follower._on_line(b"%d" % number, "")
            if follower._client.streams.cancelled.wait(0.3):  # longer together than the limit
                return

    console = Lines()
    stream(monkeypatch, console, 0.9, follow)
    assert console.shown == [("t", str(number)) for number in range(8)]


def test_lines_that_were_not_streamed_are_a_warning(monkeypatch):
    def follow(follower):
        follower.gaps.extend([Gap("t", "task", "10:00", "10:01"), Gap("t", "task", "10:02", "")])

    console = Console()
    stream(monkeypatch, console, 30, follow)
    (warning,) = console.warnings
    assert warning.startswith("Lines of task 't' between 10:00 and 10:01 may be missing") and warning.endswith("There are 2 such gaps.")


@pytest.mark.parametrize(("is_finished", "seconds"), [(True, 1), (True, 0), (False, 1)])
def test_a_log_that_stalls_at_the_end_of_its_task_is_a_warning(monkeypatch, is_finished, seconds):
    monkeypatch.setattr(Follower, "follow", lambda follower: follower._client.streams.cancelled.wait(20))
    monkeypatch.setattr(log_streams, "LogFollower", Follower)
    asked, console = spec(logs="stream"), Lines()
    pod = build_manifest(asked, "baseline")
    pod["metadata"]["uid"], pod["status"] = "1", status_of(task=terminated(0) if is_finished else RUNNING)
    run = SimpleNamespace(manifest=pod, pod=pod, pods={}, is_from_earlier_run=False)
    client = SimpleNamespace(clock=Clock(), branch=lambda: SimpleNamespace(streams=Streams()))
    with log_streams.LogStreams(client, console, seconds) as streams:
        streams.show(run, asked, SimpleNamespace(is_finished=is_finished))
    assert console.warnings == (["The last lines of t may be missing: none arrived for 1 s."] if is_finished and seconds else [])
