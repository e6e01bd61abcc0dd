# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks on a real Podman, as actions and as modules: results, failures and second runs as on Kubernetes."""

from __future__ import annotations

import json

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.logs import LogFollower
from ansible_collections.podwright.core.plugins.module_utils._engine.podman.client import PodmanClient
from ansible_collections.podwright.core.plugins.module_utils._engine.podman.program import Program

from ..support.collector import Collector
from ..support.environment import ROOT
from ..support.playbooks import MODES
from ..support.podman import run
from .test_examples import run_examples

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("podman")]  # it installs Podman from Debian's packages
SECRET = "do-not-show-this"
SCRIPT = "cat; echo $TOKEN $(PLACE); id -u"


def task(name, *command, **options):
    """The task `name` of a playbook."""
    given = {"runtime": "podman", "name": name, "image": "busybox", "image_pull_policy": "IfNotPresent", "state": "completed", "command": list(command)}
    return {"name": name, "podwright.core.task_pod": given | options, "register": name, "ignore_errors": True}


def shell(name, script, **options):
    return task(name, "sh", "-c", script, **options)


BATCH = [
    {
        "name": "good",
        "command": ["sh", "-c", "cat; echo $TOKEN $(PLACE); id -u"],
        "stdin": "input\n",
        "secret_env": {"TOKEN": SECRET},
        "env": {"PLACE": "here"},
    },
    {"name": "bad", "command": ["sh", "-c", "echo failing; exit 3"], "needs": ["good"]},
    {"name": "greedy", "command": ["sh", "-c", "x=a; while :; do x=$x$x; done"], "resources": {"limits": {"memory": "32Mi"}}},
    {"name": "slow", "command": ["sleep", "60"], "timeout": 1, "termination_grace_period": 0},
    {"name": "absent", "command": ["no-such-command"]},
    {"name": "unpulled", "image": "registry.invalid/none:1"},
]
EXPECTED = {
    "good": ("succeeded", "Completed", 0),
    "bad": ("failed", "Error", 3),
    "greedy": ("failed", "OOMKilled", 137),
    "slow": ("failed", "DeadlineExceeded", 137),
    "absent": ("failed", "StartError", 128),
    "unpulled": ("failed", "ErrImagePull", None),
}


@pytest.mark.parametrize("mode", MODES)
def test_batch_has_the_results_of_kubernetes(play, podman, mode, namespace):
    options = {"tasks": BATCH, "logs": "collect", "run_as_user": 1000, "namespace": namespace}
    batch = {name: value for name, value in shell("batch", "true", **options)["podwright.core.task_pod"].items() if name != "name"}
    again = {**batch, "tasks": BATCH[:1]}
    steps = [
        {"name": "batch", "podwright.core.task_pod": batch, "ignore_errors": True},
        {"name": "again", "podwright.core.task_pod": again},
        {"name": "gone", "podwright.core.task_pod": {**batch, "state": "absent"}},
    ]
    played = play(steps, mode=mode, environment=podman)
    tasks = {entry["name"]: entry for entry in played.of("batch")["tasks"]}
    assert {name: (entry["state"], entry["reason"], entry["rc"]) for name, entry in tasks.items()} == EXPECTED
    assert tasks["good"]["logs"].splitlines()[::2] == ["input", "1000"] and tasks["good"]["logs"].splitlines()[1].endswith(" here")
    assert "Log:\n  failing" in tasks["bad"]["msg"]
    assert played.of("again")["changed"] is False and played.of("gone")["changed"] is True
    assert SECRET not in played.output + json.dumps(played.results)
    assert namespace not in run(podman, "pod", "ps") + run(podman, "volume", "ls")


def test_log_of_a_running_task_is_followed_to_its_end(play, podman, namespace, monkeypatch):
    script = "for i in 1 2 3; do echo line $i; sleep 1; done; touch /work/a; exit 4"
    sidecar = [{"name": "proxy", "command": ["sleep", "600"]}]
    options = {"containers": sidecar, "shared_workspace": "/work", "namespace": namespace, "termination_grace_period": 0}
    play([shell("lines", script, wait=False, **options)], environment=podman)
    for name, value in podman.items():
        monkeypatch.setenv(name, value)
    lines = []
    client = PodmanClient(Program())
    pod = client.get(POD, namespace, "lines")
    LogFollower(client.branch(), namespace, "lines", pod["metadata"]["uid"], "task", lambda line, _time: lines.append(line)).follow()
    assert lines == [b"line 1", b"line 2", b"line 3"]
    played = play([shell("lines", script, rerun="never", **options), task("lines", "true", **options | {"state": "absent"})], environment=podman)
    assert (played.results[0]["result"]["rc"], played.results[1]["result"]["changed"]) == (4, True)
    assert namespace not in run(podman, "pod", "ps") + run(podman, "volume", "ls")


def test_examples_of_the_guide(play, podman, namespace, tmp_path):
    def play_there(tasks, *arguments, environment, **options):
        return play(tasks, *arguments, environment=environment | podman, **options)

    run_examples(ROOT / "docs/guides/podman.md", play_there, namespace, tmp_path)


RUNNER = {
    "task_runner_namespace": "runner",
    "task_runner_tasks": [{"name": "job", "command": ["sh", "-c", "echo done"]}],
    "task_runner_options": {"image": "busybox", "image_pull_policy": "IfNotPresent", "logs": "collect"},
}
NOWHERE = {"task_runner_options": RUNNER["task_runner_options"] | {"kubeconfig": None, "host": "http://127.0.0.1:9"}}


def role(name, **variables):
    """A task that includes the role, and one named `name` that shows its result."""
    included = {"ansible.builtin.include_role": {"name": "podwright.core.task_runner"}, "vars": RUNNER | variables}
    return [included, {"name": name, "ansible.builtin.debug": {"var": "task_runner_result"}}]


@pytest.mark.parametrize("mode", MODES)
def test_role_falls_back_to_a_virtual_machine(play, podman, mode):
    machine = {"ansible.builtin.add_host": {"name": "machine", "ansible_connection": "local"}, "changed_when": False}
    steps = [machine]
    for name, variables in (("first", {}), ("second", {}), ("gone", {"task_runner_state": "absent"})):
        steps += role(name, **NOWHERE, task_runner_host="machine", **variables)
    played = play(steps, mode=mode, environment=podman)
    first, second, gone = (played.of(name)["task_runner_result"] for name in ("first", "second", "gone"))
    assert (first["runtime"]["name"], first["changed"], first["tasks"][0]["logs"]) == ("podman", True, "done\n")
    assert (second["changed"], gone["changed"]) == (False, True)
    assert "job.runner" not in run(podman, "pod", "ps")


def test_role_prefers_the_cluster_and_runs_a_failed_task_once(play, podman, namespace):
    failing = [{"name": "job", "command": ["sh", "-c", "exit 3"]}]
    steps = [
        *role("good", task_runner_namespace=namespace),
        {"block": role("unreached", task_runner_namespace=namespace, task_runner_tasks=failing), "rescue": role("bad")[1:]},
    ]
    played = play(steps, environment=podman)
    assert played.of("good")["task_runner_result"]["runtime"]["name"] == "kubernetes"
    failed = played.of("bad")["task_runner_result"]
    assert (failed["runtime"]["name"], failed["tasks"][0]["rc"]) == ("kubernetes", 3)
    assert "job" not in run(podman, "pod", "ps")


def test_role_refuses_options_that_it_sets_itself(play, tmp_path):
    options = {"logs": "none", "state": "running", "namespace": "elsewhere"}
    refused = play(role("never", task_runner_options=options), kubeconfig=tmp_path / "missing", expect=2)
    message = refused.of("podwright.core.task_runner : Check the options")["msg"]
    assert message.startswith("task_runner_options: must not contain") and "state" in message and "namespace" in message and "logs" not in message


def test_role_uses_only_the_runtime_that_it_is_given(play, podman, namespace):
    only = {"block": role("unreached", **NOWHERE, task_runner_runtime="kubernetes"), "rescue": role("refused")[1:]}
    steps = [only, *role("forced", task_runner_namespace=namespace, task_runner_runtime="podman"), *role("gone", task_runner_state="absent", **NOWHERE)]
    played = play(steps, environment=podman)
    refused = played.of("refused")["task_runner_result"]
    assert (refused["reason"], played.of("forced")["task_runner_result"]["runtime"]["name"]) == ("Refused", "podman")
    assert f"job.{namespace}" in run(podman, "pod", "ps") and "job.runner" not in run(podman, "pod", "ps")


@pytest.mark.parametrize("mode", MODES)
def test_a_task_on_podman_is_part_of_a_trace(play, podman, mode):
    with Collector() as collector:
        traced = shell(f"traced{mode}", "echo $TRACEPARENT", logs="collect", trace={"endpoint": collector.url})
        result = play([traced], mode=mode, environment=podman).of(f"traced{mode}")
    assert [span["name"] for span in collector.spans] == ["task_pod", f"traced{mode}", "attempt 1", "waiting", "running"]
    assert result["logs"].strip() == f"00-{result['trace_id']}-{collector.spans[1]['spanId']}-01"
