# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A followed log has every line once and in order after connection losses, rotations and restarts."""

from __future__ import annotations

import base64
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import execute
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.logs import LogFollower
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_logs

from ..support.covering import covering_array
from ..support.operations import call
from ..support.relay import DOWN, Disruption, connect
from ..support.waiting import wait_for

LINES = 2000


def start(client, namespace, name, script, restart_policy="Never"):
    """A pod that runs a shell script. Returns its manifest."""
    container = {"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    spec = {"containers": [container], "restartPolicy": restart_policy, "terminationGracePeriodSeconds": 0}
    return client.create(POD, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}, "test")


def follow(client, pod, stop_after=None, first=None, timestamps=None):
    """The lines and the gaps of a LogFollower."""
    lines = []

    def take(line, moment):
        lines.append(line.decode())
        if timestamps is not None:
            timestamps.append(moment)
        if len(lines) == stop_after:
            branch.streams.cancel()

    metadata = pod["metadata"]
    branch = client.branch()
    follower = LogFollower(branch, metadata["namespace"], metadata["name"], metadata["uid"], "task", take, first, client.clock.monotonic() + 120)
    follower.follow()
    return lines, follower.gaps


def test_connection_losses_neither_lose_nor_repeat_lines(client, namespace, relay, box):
    script = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; echo same; i=$((i+1)); [ $((i % 100)) -gt 0 ] || sleep 0.1; done"
    pod = start(client, namespace, "dropped", script)
    # Connections are cut in the middle of the log; the state of the container is read through the same relay.
    relay.disruption = lambda number: Disruption((DOWN, 9000 + number * 1500))
    with connect(relay, box[1]) as through:
        lines, gaps = follow(through, pod)
    assert lines == [line for i in range(LINES) for line in (f"line {i}", "same")]
    assert gaps == []
    assert len(relay.counts) > 10


def test_log_that_is_cut_off_is_an_error(client, namespace, relay, box):
    start(client, namespace, "long", "seq 100000")
    wait_for(lambda: client.get(POD, namespace, "long")["status"].get("phase") == "Succeeded")
    relay.disruption = lambda number: Disruption((DOWN, 100_000))
    how = {"kubeconfig": None, "host": relay.url, "api_key": box[1], "validate_certs": False}
    cut = call(pod_logs, {"name": "long"} | how, namespace)
    assert cut["failed"] and cut["reason"] == "ConnectionLost" and "cut off" in cut["msg"]
    relay.disruption = lambda number: Disruption()
    assert len(call(pod_logs, {"name": "long"} | how, namespace)["log_lines"]) == 100_000


def test_rotation_loses_no_line_without_a_gap(client, namespace):
    # 24 MiB in about 14 s: the kubelet rotates at 10 MiB and checks every 10 s.
    script = "i=0; while [ $i -lt 24 ]; do seq $((i * 10000)) $((i * 10000 + 9999)) | sed 's/$/ " + "x" * 95 + "/'; sleep 0.5; i=$((i+1)); done"
    pod = start(client, namespace, "rotated", script)
    timestamps = []
    lines, gaps = follow(client, pod, timestamps=timestamps)
    # containerd splits the line that it writes during a rotation.
    whole = [(-1, "")] + [(int(match[1]), moment) for line, moment in zip(lines, timestamps) if (match := re.fullmatch(r"(\d+) x{95}", line))]
    assert whole[-1][0] == 239_999 and gaps
    assert len(lines) + 1 - len(whole) <= 2 * len(gaps)
    for (number, moment), (following, next_moment) in pairwise(whole):
        assert following > number
        assert following == number + 1 or any(moment <= gap.before and gap.after <= next_moment for gap in gaps)


def test_log_is_followed_over_restarts(client, namespace):
    pod = start(client, namespace, "restarted", "echo one; echo two; sleep 1; exit 1", "OnFailure")
    lines, _gaps = follow(client, pod, stop_after=4)
    assert lines == ["one", "two"] * 2


@pytest.mark.parametrize("first", [{}, {"tailLines": 2}, {"tailLines": 0}, {"sinceSeconds": 3600}, {"sinceTime": "2020-01-01T00:00:00Z"}])
def test_log_is_followed_from_the_selected_line(first, client, namespace):
    pod = start(client, namespace, "begun", "seq 5; while [ ! -e /go ]; do sleep 0.1; done; seq 6 8")
    wait_for(lambda: call(pod_logs, {"name": "begun"}, namespace).get("log_lines", [])[4:])
    reading, stream = threading.Event(), client.stream

    def notify(request):
        response = stream(request)
        reading.set()
        return response

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor() as pool:
        patch.setattr(client, "stream", notify)
        following = pool.submit(follow, client, pod, first=first)
        reading.wait(30)
        execute(client, Container(namespace, "begun"), Command(["touch", "/go"]))
        lines, _gaps = following.result(60)
    assert lines == [str(number) for number in range({2: 4, 0: 6}.get(first.get("tailLines"), 1), 9)]


def test_following_an_init_container_stops_when_it_terminates(client, namespace):
    before = {"name": "before", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["echo", "done"]}
    after = before | {"name": "task", "command": ["sleep", "3600"]}
    spec = {"initContainers": [before], "containers": [after], "terminationGracePeriodSeconds": 0}
    client.create(POD, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "runs"}, "spec": spec}, "test")
    result = call(pod_logs, {"name": "runs", "container": "before", "follow": True, "timeout": 120}, namespace)
    assert result["log"] == "done\n" and result["duration"] < 100


def test_options_of_reading_can_be_combined(client, namespace, tmp_path):
    """Of terminated containers that wrote bytes which are neither text nor complete lines."""
    written = {"before": b"one\ntwo\n", "beside": b"x" * 9 + b"\n\n" * 20}
    written["task"] = b"".join(b"line %d\n" % number for number in range(1000)) + b"odd \xff\t\nno end"
    containers = []
    for name, content in written.items():
        words = ["printf", "".join(f"\\{byte:03o}" for byte in content)]
        containers.append({"name": name, "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": words})
    spec = {"initContainers": containers[:1], "containers": containers[1:], "restartPolicy": "Never"}
    client.create(POD, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "many", "labels": {"a": "b"}}, "spec": spec}, "test")
    wait_for(lambda: client.get(POD, namespace, "many")["status"].get("phase") == "Succeeded")
    rows = covering_array(
        [{"name": "many"}, {"label_selectors": ["a=b"]}],
        [{}, {"container": "before"}, {"container": "beside"}, {"all_containers": True}],
        [{}, {"since_seconds": 3600}, {"since_time": "2020-01-01T00:00:00Z"}],
        [{}, {"tail_lines": 5}],
        [{}, {"timestamps": True}],
        [{}, {"follow": True}, {"follow": True, "timeout": 30}],
        [{}, {"max_bytes": 100}],
        [{}, {"dest": "log"}, {"dest": "logs/"}],
    )
    for number, options in enumerate(rows):
        names = ["before", "beside", "task"] if "all_containers" in options else [options.get("container", "task")]
        expected = {name: selected(written[name], options) for name in names}
        kept = {name: last(content, options.get("max_bytes", 1 << 20)) for name, content in expected.items()}
        directory = tmp_path / str(number)
        directory.mkdir()
        if "dest" in options:
            options |= {"dest": f"{directory}/{options['dest']}"}
            assert call(pod_logs, options, namespace, check_mode=True)["changed"] and not list(directory.iterdir())
        result = call(pod_logs, options, namespace)
        assert not result["failed"] and result["changed"] == ("dest" in options), (options, result)
        assert {name: unstamped(log.encode()) for name, log in result["logs"]["many"].items()} == {
            name: content.decode(errors="replace").encode() for name, content in kept.items()
        }, options
        lines = [(name, line) for name in names for line in kept[name].decode(errors="replace").splitlines()]
        wanted = [f"many/{name}: {line}" if len(names) > 1 else line for name, line in lines]
        assert [unstamped(line.encode()).decode() for line in result["log_lines"]] == wanted, options
        assert result["truncated"] == (kept != expected) and not result["gaps"]
        if names == ["task"]:
            assert unstamped(base64.b64decode(result["log_b64"])) == kept["task"]
        if "dest" in options:
            files = {path.stem if path.parent != directory else names[0]: unstamped(path.read_bytes()) for path in directory.rglob("*") if path.is_file()}
            assert files == expected, options
            assert not call(pod_logs, options, namespace)["changed"]
    (tmp_path / "file").write_text("in the way")
    refused = call(pod_logs, {"name": "many", "dest": f"{tmp_path}/file/"}, namespace)
    assert refused["reason"] == "WriteFailed" and str(tmp_path / "file") in refused["msg"]


STAMP = b"0" * 30 + b" "


def selected(content, options):
    """The part of a container's output that the options select, with STAMP for each timestamp."""
    lines = content.splitlines(keepends=True)
    return b"".join((STAMP if "timestamps" in options else b"") + line for line in lines[-options.get("tail_lines", len(lines)) :])


def last(content, limit):
    """The last whole lines of at most so many bytes."""
    lines = content.splitlines(keepends=True)
    while sum(map(len, lines)) > limit:
        lines.pop(0)
    return b"".join(lines)


def unstamped(content):
    """The content with STAMP for each timestamp."""
    return re.sub(rb"(?m)(^|^many/\w+: )\d{4}-\d\d-\d\dT[\d:.]{18}Z ", rb"\g<1>" + STAMP, content)


def test_new_pod_of_the_same_name_is_not_followed(client, namespace):
    pod = start(client, namespace, "again", "echo first")
    wait_for(lambda: client.get(POD, namespace, "again")["status"].get("phase") == "Succeeded")
    client.delete(POD, namespace, "again", grace_period=0)
    wait_for(lambda: client.get(POD, namespace, "again") is None)
    start(client, namespace, "again", "echo second")
    assert follow(client, pod) == ([], [])


@pytest.mark.parametrize("no_log", [False, True])
def test_lines_of_tasks_appear_as_they_arrive(no_log, play, namespace):
    tasks = [{"name": f"talk-{n}", "command": ["sh", "-c", f"printf '\\033[31mred {n}\\033[0m \\033]0;title\\007line\\n'; sleep 3"]} for n in range(2)]
    batch = {"tasks": tasks, "image": "busybox", "image_pull_policy": "IfNotPresent", "state": "completed", "logs": "stream", "termination_grace_period": 0}
    played = play([{"name": "Batch", "podwright.core.task_pod": batch, "no_log": no_log}], namespace=namespace)
    # On standard error: standard output belongs to the callback plugin, which may write JSON.
    assert "| red" not in played.stdout and "running" not in played.stdout
    shown = [line for line in played.stderr.splitlines() if "| red" in line]
    assert sorted(shown) == ([] if no_log else ["  talk-0 | red 0 line", "  talk-1 | red 1 line"])
    if not no_log:
        assert "\x1b" not in played.output
        assert "2 running" in played.output
        assert [task["logs"] for task in played.of("Batch")["tasks"]] == [f"\x1b[31mred {n}\x1b[0m \x1b]0;title\x07line\n" for n in range(2)]
