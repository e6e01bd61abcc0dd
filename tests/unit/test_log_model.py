# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pod_logs on simulated nodes whose containers restart and whose connections are lost: no line is lost or repeated, and options mean what they say."""

from __future__ import annotations

import datetime
import random
from itertools import pairwise
from types import SimpleNamespace

import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import log_rotation
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.log_lines import UNAVAILABLE
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_logs

from ..support.environment import scaled
from .fake_cluster import FakeCluster
from .model_cluster import VirtualClock

EXAMPLES = scaled(120)
LINES = (b"", b"a", b"a", b"line", b"\xff\xfe", b"ends\r", b"2026-01-01T00:00:00Z is no timestamp", b"\xe2\x82\xac", b" indented", b"xxxx")
UNFINISHED = b"no line feed"  # a last line without one
REST = b"~"  # marks the rest of a line
REST_SECONDS = 0.0005  # after the begin of its line
START = 1767225600  # 2026-01-01T00:00:00Z


class Run:
    """One run of a container: its lines, each with the time at which it was written, and its exit code while it does not run."""

    def __init__(self, number):
        self.number, self.lines, self.rotated, self.code, self.exited_at = number, [], 0, None, 0.0
        self.rest = None  # of the line that the last rotation has split


class Container:
    """A container of a pod on a node with a time zone, in seconds east of UTC."""

    def __init__(self, rng, name, policy, zone):
        self.rng, self.name, self.policy, self.zone = rng, name, policy, zone
        self.runs, self.last_runs = [], rng.choice([0, 1, 1, 2, 3])
        self.waits, self.next_rotation = True, 0.0

    @property
    def is_running(self):
        return bool(self.runs) and self.runs[-1].code is None

    @property
    def is_finished(self):
        """Whether it will write nothing any more."""
        return not self.is_running and bool(self.runs) and (self.policy == "Never" or (self.policy == "OnFailure" and self.runs[-1].code == 0))

    def count_passed(self):
        """How many lines runs have written that another follows."""
        return sum(len(run.lines) for run in self.runs[:-1])

    def is_settled(self, now):
        """Whether it has written nothing for a while."""
        return bool(self.runs) and not self.is_running and now > self.runs[-1].exited_at + 5

    def tick(self, now, may_rotate):
        """A moment passes."""
        if self.is_running:
            run = self.runs[-1]
            for _line in range(self.rng.choice([0, 0, 1, 1, 2, 3])):
                moment = max(now + self.rng.choice([0, 0, 0.25]), run.lines[-1][0] + 0.001 * may_rotate if run.lines else 0)
                run.lines.append((moment, f"{run.number}.{len(run.lines)}".encode() if may_rotate else self.rng.choice(LINES)))
            if may_rotate and self.rng.random() < 0.1 and now > self.next_rotation:
                self.next_rotation = now + 3
                run.rotated = self.rng.randrange(run.rotated, len(run.lines) + 1)
                run.rest = None
                if run.rotated and self.rng.random() < 0.5:
                    moment, line = run.lines[run.rotated - 1]
                    run.rest = moment + REST_SECONDS, line + REST
            if self.rng.random() < 0.15:
                run.code, run.exited_at = self.rng.choice([0, 1]) if self.last_runs > len(self.runs) else 0, now
        elif not self.is_finished and len(self.runs) < max(self.last_runs, 1) and self.rng.random() < 0.4:
            self.runs.append(Run(len(self.runs)))

    def status(self):
        state = {"waiting": {"reason": "ContainerCreating"}}
        if self.is_running:
            state = {"running": {}}
        elif self.runs:
            state = {"terminated": {"exitCode": self.runs[-1].code}}
        if self.runs and not self.is_running and not self.is_finished and self.rng.random() < 0.5:
            state, last = {"waiting": {"reason": "CrashLoopBackOff"}}, state
            return {"name": self.name, "state": state, "lastState": last, "restartCount": len(self.runs) - 1, "containerID": f"{self.name}-{len(self.runs)}"}
        status = {"name": self.name, "state": state, "restartCount": max(len(self.runs) - 1, 0)}
        return status | ({"containerID": f"{self.name}-{len(self.runs)}"} if self.runs else {})


class LogNodes(FakeCluster):
    """Pods with logs; time passes while somebody waits or reads.

    Attributes:
        faults: how many connections may still be lost.
        may_rotate: whether logs are rotated.
        may_delete: whether logs of previous runs may be deleted.
    """

    def __init__(self, rng, pods, faults, may_rotate):
        super().__init__(None)
        self.rng, self.faults, self.may_rotate, self.clock, self.trace = rng, faults, may_rotate, VirtualClock(), []
        self.may_delete = False
        self.streams = SimpleNamespace(cancelled=SimpleNamespace(wait=self.wait, is_set=lambda: False), cancel=lambda: None)
        self.pods = pods
        for name, containers in pods.items():
            spec = {"containers": [{"name": container.name} for container in containers], "restartPolicy": containers[0].policy}
            metadata = {"name": name, "namespace": "n", "uid": name, "labels": {"app": "web"}}
            self.objects["Pod", "n", name] = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}
            self.update(name)

    def branch(self):
        return self

    def wait(self, seconds):
        self.clock.time += max(seconds, 0.3)  # pauses are short in unit tests
        self.tick()

    def tick(self):
        for name, containers in self.pods.items():
            for container in containers:
                container.tick(self.clock.now(), self.may_rotate)
            self.update(name)

    def update(self, name):
        containers = self.pods[name]
        is_finished = all(container.is_finished for container in containers)
        phase = "Succeeded" if is_finished else "Running" if any(container.runs for container in containers) else "Pending"
        self.objects["Pod", "n", name]["status"] = {"phase": phase, "containerStatuses": [container.status() for container in containers]}

    def is_faulty(self):
        if self.faults <= 0 or self.rng.random() >= 0.3:
            return False
        self.faults -= 1
        return True

    def get(self, kind, namespace, name):
        self.fail()
        return super().get(kind, namespace, name)

    def fail(self):
        if self.is_faulty() and self.rng.random() < 0.3:
            raise PodwrightError("the server is currently unable to handle the request", status=503, reason="ServiceUnavailable")

    def stream(self, request):
        """The log subresource, as the API server and the kubelet answer it: whole seconds of sinceTime count."""
        query = dict(request.query)
        if "limitBytes" not in query:
            self.wait(0.3)  # checks are rare and quick
        self.fail()
        container = next(each for each in self.pods[request.name] if each.name == query["container"])
        self.trace.append(f"{request.name} {query}")
        number = len(container.runs) - 1
        if query.get("previous") == "true":
            number -= 1
            if number < 0 or (self.may_delete and self.rng.random() < 0.1):
                raise PodwrightError(f'previous terminated container "{container.name}" in pod "{request.name}" not found', status=400, reason="BadRequest")
        elif number < 0:
            message = f'container "{container.name}" in pod "{request.name}" is waiting to start: ContainerCreating'
            raise PodwrightError(message, status=400, reason="BadRequest")
        return Body(self, container, container.runs[number], query)


class Body:
    """The body of a response, as urllib3 has it."""

    status, chunked, headers = 200, True, {}

    def __init__(self, nodes, container, run, query):
        self.nodes, self.container, self.run, self.query = nodes, container, run, query

    def stream(self, _size):
        rng, run, nodes = self.nodes.rng, self.run, self.nodes
        position, is_first = self.first(), True
        idle = 0
        while True:
            rest = [run.rest] if run.rest and (self.shows_rest(position) if is_first else position < run.rotated) else []
            data = b"".join(self.show(line) for line in [*rest, *run.lines[max(position, run.rotated) :]])
            is_first = False
            position = len(run.lines)
            if data and nodes.is_faulty():
                yield data[: rng.randrange(len(data))]
                raise urllib3.exceptions.ProtocolError("Connection broken")
            while data:
                size = rng.randrange(1, len(data) + 1)
                yield data[:size]
                data = data[size:]
            if self.query.get("follow") != "true" or run.code is not None:
                return
            if nodes.is_faulty():
                if rng.random() < 0.5:
                    return  # some streams end without an error
                raise urllib3.exceptions.ProtocolError("Connection broken")
            nodes.wait(0.3)
            idle = idle + 0.3 if position == len(run.lines) else 0
            if idle > 30:
                raise urllib3.exceptions.ReadTimeoutError(None, "", "Read timed out.")

    def since(self):
        if "sinceTime" in self.query:
            return int(datetime.datetime.fromisoformat(self.query["sinceTime"]).timestamp())
        return self.nodes.clock.now() - int(self.query["sinceSeconds"]) if "sinceSeconds" in self.query else None

    def shows_rest(self, position):
        """Whether the file begins with the rest of a line that a rotation has split."""
        return position == self.run.rotated and "tailLines" not in self.query and (self.since() or 0) <= self.run.rest[0]

    def first(self):
        """The index of the first line."""
        lines, since = self.run.lines, self.since()
        first = next((index for index, line in enumerate(lines) if since is None or line[0] >= since), len(lines))
        tail = self.query.get("tailLines")
        return max(first, len(lines) - int(tail) if tail else 0, self.run.rotated)

    def show(self, line):
        if UNAVAILABLE.fullmatch(line[1]):
            return line[1]  # by the kubelet itself
        return (
            (stamp(line[0], self.container.zone).encode() + b" " if self.query.get("timestamps") == "true" else b"") + line[1] + b"\n" * (line[1] != UNFINISHED)
        )

    def close(self):
        """Nothing is open."""


def stamp(moment, zone):
    """A timestamp as the kubelet writes it, in the time zone of the node."""
    whole, rest = divmod(round(moment * 10**9), 10**9)
    local = datetime.datetime.fromtimestamp(whole, datetime.timezone(datetime.timedelta(seconds=zone)))
    text = local.isoformat()
    return f"{text[:19]}.{rest:09}{text[19:] if zone else 'Z'}"


def play(seed):
    rng = random.Random(seed)
    policy, zone = rng.choice(["Never", "Never", "OnFailure", "Always"]), rng.choice([0, 0, 7200, -5 * 3600])
    names = [["task"], ["task", "proxy"]][rng.randrange(2)]
    pods = {f"web-{number}": [Container(rng, name, policy, zone) for name in names] for number in range(rng.choice([1, 1, 2]))}
    nodes = LogNodes(rng, pods, rng.randrange(4), rng.random() < 0.3)
    for _moment in range(rng.randrange(12)):
        nodes.wait(rng.choice([0.3, 2]))
    params = draw(rng, nodes)
    nodes.may_delete = params.get("follow")
    nodes.trace.append(f"--- {params}")
    try:
        check(nodes, params, *perform(nodes, params, 1 if nodes.may_rotate else rng.choice([1, 20, 1 << 20])))
    except BaseException:
        print("\n".join(nodes.trace))
        raise


def draw(rng, nodes):
    params = {"name": "web-0"} if rng.random() < 0.5 else {"label_selectors": ["app=web"]}
    if rng.random() < 0.5:
        params["all_containers"] = True
    params["timestamps"] = rng.random() < 0.4
    if rng.random() < 0.5:
        params |= {"follow": True, "timeout": rng.choice([None, 60.0])}
        if params["timeout"] is None and any(container.policy == "Always" for containers in nodes.pods.values() for container in containers):
            params["timeout"] = 60.0
    elif rng.random() < 0.3:
        params["previous"] = True
    if rng.random() < 0.2:
        params["tail_lines"] = rng.choice([0, 1, 3])
    if rng.random() < 0.2:
        params["since_time"] = stamp(nodes.clock.now() - rng.choice([0.5, 1, 3]), rng.choice([0, 3600]))
    return params


def perform(nodes, params, check_bytes=log_rotation.CHECK_BYTES):
    full = {name: entry.get("default") for name, entry in pod_logs.ARGUMENTS.items()} | {"namespace": "n"} | params
    console = Console()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_rotation, "CHECK_BYTES", check_bytes)
        patch.setattr(pod_logs, "call_in_threads", lambda function, items, *_limits: list(map(function, items)))
        nodes.written = {container: [len(run.lines) for run in container.runs] for containers in nodes.pods.values() for container in containers}
        nodes.passed = {container: container.count_passed() for containers in nodes.pods.values() for container in containers}
        result, error = attempt(pod_logs.OPERATION, Invocation(full, False, False, console, nodes))
    nodes.trace.append(f"--- {error!r} {result.get('logs')} {result.get('gaps')} {console.warnings}")
    assert error is None or error.reason != "Unforeseen", str(error)
    return result, error, console


def check(nodes, params, result, error, console):
    selected = [("web-0", container) for container in nodes.pods["web-0"]]
    if "label_selectors" in params:
        selected = [(name, container) for name, containers in nodes.pods.items() for container in containers]
    selected = [(pod, container) for pod, container in selected if params.get("all_containers") or container.name == "task"]
    if error:
        check_error(nodes, params, error, selected)
        return
    for pod, container in selected:
        shown = result["logs"][pod][container.name].encode().split(b"\n")[:-1]
        if params.get("follow"):
            check_followed(nodes, params, result, pod, container, shown)
        elif not nodes.may_rotate:
            check_read(nodes, params, container, shown, console, pod)


def check_error(nodes, params, error, selected):
    """There is a reason to fail."""
    if params.get("previous"):
        is_alone = all(len(nodes.written[container]) < 2 for _pod, container in selected)
        assert is_alone or error.reason == "ConnectionLost" or error.status == 503, f"others have a log: {error}"
    elif not params.get("follow"):
        assert error.reason in ("ConnectionLost", "ServiceUnavailable") or (len(selected) == 1 and not selected[0][1].runs), error
    else:
        assert error.status == 503 or (params.get("timeout") and "The log of container" in error.message), error


def text_of(params, container, line):
    return ((stamp(line[0], container.zone).encode() + b" " if params["timestamps"] else b"") + line[1]).decode("utf-8", "replace").encode()


def check_read(nodes, params, container, shown, console, pod):
    number = len(container.runs) - (2 if params.get("previous") else 1)
    if number < 0 or number >= len(nodes.written[container]):
        assert number >= 0 or (not shown and any(f"container '{container.name}' of pod '{pod}'" in text.lower() for text in console.warnings))
        return
    lines = container.runs[number].lines
    if "since_time" in params:
        lines = [line for line in lines if round(line[0] * 10**9) >= exact(params["since_time"])]
    expected = [text_of(params, container, line) for line in lines]
    is_settled = nodes.written[container] == [len(run.lines) for run in container.runs]
    if "tail_lines" in params:
        assert len(shown) <= params["tail_lines"] and (not is_settled or shown == expected[len(expected) - len(shown) :])
    else:  # lines that were written after the answer are not shown
        assert shown == (expected if is_settled else expected[: len(shown)]), f"{shown} instead of {expected}"


def exact(text):
    """Nanoseconds since the epoch of a timestamp."""
    moment = datetime.datetime.fromisoformat(text[:19] + text[29:])
    return int(moment.timestamp()) * 10**9 + int(text[20:29])


def check_followed(nodes, params, result, pod, container, shown):
    lines = [line for run in container.runs for line in run.lines]
    if "since_time" in params:
        lines = [line for line in lines if round(line[0] * 10**9) >= exact(params["since_time"])]
    expected = [text_of(params, container, line) for line in lines]
    gaps = [gap for gap in result["gaps"] if (gap["pod"], gap["container"]) == (pod, container.name)]
    if nodes.may_rotate or gaps or "tail_lines" in params:
        shown = without_rests(shown)
        rest = iter(expected)  # of lines with the same timestamp, some may be those that tail_lines excludes
        assert "tail_lines" in params or all(any(line == other for other in rest) for line in shown), f"repeated or in another order: {shown} of {expected}"
        if nodes.may_rotate and "tail_lines" not in params:
            check_gaps(container, shown, gaps)
    elif container.is_finished or not params["timeout"] or container.is_settled(nodes.clock.now()):
        assert shown == expected[len(expected) - len(shown) :], f"{shown} of {expected}"
        if len(result["logs"]) > 1 or len(result["logs"][pod]) > 1:
            return  # the second log is followed after the first here
        least = len(expected) - nodes.passed[container]  # the log of the run before the first that was seen is not read
        assert len(shown) >= least or "since_time" in params or len(container.runs) > len(nodes.written[container]) + 1, f"lost: {shown} of {expected}"


def without_rests(shown):
    """The lines but the rests of lines. Of a line that was read already, a rest is shown at most right after it, beside a gap."""
    for index, line in enumerate(shown):
        if line.endswith(REST):
            whole = line.rpartition(b" ")[2].removesuffix(REST)
            earlier = [other.rpartition(b" ")[2] for other in shown[: max(index - 1, 0)]]
            assert whole not in earlier, f"the rest of a line is repeated: {shown}"
    return [line for line in shown if not line.endswith(REST)]


def check_gaps(container, shown, gaps):
    """Lines that were rotated out between two lines of a run are in a gap."""
    indexes = [tuple(map(int, line.decode().rpartition(" ")[2].split("."))) for line in shown]
    between = {(gap["after"], gap["before"]) for gap in gaps}
    for (run, index), (other, following) in pairwise(indexes):
        if run != other or following == index + 1:
            continue
        moments = [container.runs[run].lines[place][0] for place in (index, following - 1, following)]
        begins = [stamp(moment, container.zone) for moment in (moments[1] + REST_SECONDS, moments[2])]  # of the file: the rest of a line, or a line
        assert any(after <= stamp(moments[0], container.zone) and before in begins for after, before in between), (
            f"{run}: {index + 1} to {following - 1} are missing, gaps {between}"
        )


@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_logs_hold_their_promises_whatever_happens(tried, seed):
    play(seed)
    tried("logs of simulated nodes in several time zones, with restarts, rotations and lost connections", 1, "lost", "wrong", "hung")
