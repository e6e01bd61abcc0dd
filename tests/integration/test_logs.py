# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A followed log has every line once, in order, whatever happens to the connection, the file or the container."""

from __future__ import annotations

import re

import pytest

from ansible_collections.podwright.core.plugins.module_utils.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils.operations import pod_logs
from ansible_collections.podwright.core.plugins.module_utils.pods.log import Follower

from ..relay import DOWN, Mischief
from .conftest import connect, wait_for
from .test_hygiene import call

LINES = 2000


def start(client, namespace, name, script, restart_policy="Never"):
    """A pod that runs a shell script. Returns its manifest."""
    container = {"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    spec = {"containers": [container], "restartPolicy": restart_policy, "terminationGracePeriodSeconds": 0}
    return client.create(POD, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}, "test")


def follow(client, pod, stop_after=None):
    """The lines that a Follower gives, and its gaps."""
    lines = []

    def take(line, _moment):
        lines.append(line.decode())
        if len(lines) == stop_after:
            follower.stop()

    metadata = pod["metadata"]
    follower = Follower(client, metadata["namespace"], metadata["name"], metadata["uid"], "task", take, deadline=client.clock.monotonic() + 120)
    follower.follow()
    return lines, follower.gaps


def test_dropped_connections_lose_and_repeat_nothing(client, namespace, relay, box):
    script = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; echo same; i=$((i+1)); [ $((i % 100)) -gt 0 ] || sleep 0.1; done"
    pod = start(client, namespace, "dropped", script)
    # Many connections are cut in the middle of the log; the container's state is asked for through the same relay.
    relay.mischief = lambda number: Mischief((DOWN, 9000 + number * 1500))
    with connect(relay, box[1]) as through:
        lines, gaps = follow(through, pod)
    assert lines == [line for i in range(LINES) for line in (f"line {i}", "same")]
    assert gaps == []
    assert len(relay.counts) > 10


def test_a_log_that_is_cut_off_is_told(client, namespace, relay, box):
    start(client, namespace, "long", "seq 100000")
    wait_for(lambda: client.get(POD, namespace, "long")["status"].get("phase") == "Succeeded")
    relay.mischief = lambda number: Mischief((DOWN, 100_000))
    how = {"kubeconfig": None, "host": relay.url, "api_key": box[1], "validate_certs": False}
    cut = call(pod_logs, {"name": "long"} | how, namespace)
    assert cut["failed"] and cut["reason"] == "ConnectionLost" and "cut off" in cut["msg"]
    relay.mischief = lambda number: Mischief()
    assert len(call(pod_logs, {"name": "long"} | how, namespace)["log_lines"]) == 100_000


def test_rotation_loses_nothing_or_tells(client, namespace):
    # 24 MiB in about 14 s: the kubelet rotates at 10 MiB and looks every 10 s.
    script = "i=0; while [ $i -lt 24 ]; do seq $((i * 10000)) $((i * 10000 + 9999)) | sed 's/$/ " + "x" * 95 + "/'; sleep 0.5; i=$((i+1)); done"
    pod = start(client, namespace, "rotated", script)
    lines, gaps = follow(client, pod)
    whole = [re.fullmatch(r"(\d+) x{95}", line) for line in lines]
    numbers = [int(line[1]) for line in whole if line]
    assert numbers == sorted(set(numbers))
    # containerd cuts the line that it writes while its log is changed for a new one; only beside a gap are its ends not put together again.
    assert len(lines) - len(numbers) <= 2 * len(gaps)
    assert gaps or numbers == list(range(240_000))


def test_restarts_are_followed(client, namespace):
    pod = start(client, namespace, "restarted", "echo one; echo two; sleep 1; exit 1", "OnFailure")
    lines, _gaps = follow(client, pod, stop_after=4)
    assert lines == ["one", "two"] * 2


def test_another_pod_of_the_name_is_not_followed(client, namespace):
    pod = start(client, namespace, "again", "echo first")
    wait_for(lambda: client.get(POD, namespace, "again")["status"].get("phase") == "Succeeded")
    client.delete(POD, namespace, "again", grace_period=0)
    wait_for(lambda: client.get(POD, namespace, "again") is None)
    start(client, namespace, "again", "echo second")
    assert follow(client, pod) == ([], [])


@pytest.mark.parametrize("no_log", [False, True])
def test_lines_of_tasks_are_shown_as_they_come(no_log, play, namespace):
    tasks = [{"name": f"talk-{n}", "command": ["sh", "-c", f"printf '\\033[31mred {n}\\033[0m \\033]0;title\\007line\\n'; sleep 3"]} for n in range(2)]
    batch = {"tasks": tasks, "image": "busybox", "image_pull_policy": "IfNotPresent", "state": "completed", "logs": "stream", "termination_grace_period": 0}
    played = play([{"name": "Batch", "podwright.core.task_pod": batch, "no_log": no_log}], namespace=namespace)
    # On standard error: what a callback writes to standard output, JSON for instance, stays what it is.
    assert "| red" not in played.stdout and "running" not in played.stdout
    shown = [line for line in played.stderr.splitlines() if "| red" in line]
    assert sorted(shown) == ([] if no_log else ["  talk-0 | red 0 line", "  talk-1 | red 1 line"])
    if not no_log:
        assert "\x1b" not in played.output
        assert "2 running" in played.output
        assert [task["logs"] for task in played.of("Batch")["tasks"]] == [f"\x1b[31mred {n}\x1b[0m \x1b]0;title\x07line\n" for n in range(2)]
