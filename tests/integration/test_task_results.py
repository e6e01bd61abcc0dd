# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tasks leave, on a real cluster: results and artifacts of tasks that succeed, fail, or whose run is interrupted."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod

from ..support.operations import call

BOX = {"image": "busybox", "image_pull_policy": "IfNotPresent", "state": "completed"}
REPORT = "mkdir /output/report; echo one > /output/report/1; ln -s 1 /output/report/link"
LEAVE = f"""{REPORT}; echo '[1, {{"a": null}}]' > /output/values; printf fine > /dev/termination-log"""


@pytest.mark.parametrize("mode", ["action", "module"])
def test_results_and_artifacts_of_a_batch(client, play, namespace, tmp_path, mode):
    def item(name, code):
        return {
            "name": name,
            "command": ["sh", "-c", f"{LEAVE}; exit {code}"],
            "results": {"values": {"path": "/output/values", "type": "json"}, "message": {"termination_message": True}},
            "artifacts": [{"path": "/output/report", "dest": str(tmp_path / name)}, {"path": "/output/core", "dest": f"{tmp_path}/", "optional": True}],
        }

    run = {"name": "Run", "podwright.core.task_pod": BOX | {"tasks": [item("good", 0)], "cleanup": "always"}}
    failing = {"name": "Fail", "ignore_errors": True, "podwright.core.task_pod": BOX | item("bad", 3) | {"rerun": "on_change"}}
    tasks = [run | {"name": "Predict", "check_mode": True}, run, run | {"name": "Repeat"}, failing, failing | {"name": "Fail again"}]
    played = play(tasks, namespace=namespace, mode=mode)
    assert [played.of(name)["changed"] for name in ("Predict", "Run", "Repeat", "Fail", "Fail again")] == [True, True, False, True, False]
    for name in ("Run", "Repeat", "Fail", "Fail again"):
        task = played.of(name)["tasks"][0]
        assert task["results"] == {"values": [1, {"a": None}], "message": "fine"}, name
        assert [entry["exists"] for entry in task["artifacts"]] == [True, False], name
        assert [entry.get("target") for entry in task["artifacts"]] == [os.path.realpath(task["artifacts"][0]["dest"]), None], name
    assert played.of("Fail")["rc"] == 3 and "exit code 3" in played.of("Fail")["msg"]
    for name in ("good", "bad"):
        assert (tmp_path / name / "1").read_text() == "one\n" and (tmp_path / name / "link").is_symlink()
    assert client.get(POD, namespace, "good") is None


@pytest.mark.long
def test_a_run_that_could_not_fetch_is_resumed(client, play, namespace, tmp_path):
    dest = tmp_path / "report"
    run = {
        "name": "Run",
        "ignore_errors": True,
        "podwright.core.task_pod": BOX
        | {
            "name": "held",
            "command": ["sh", "-c", "cat /proc/sys/kernel/random/uuid > /output/once"],
            "cleanup": "always",
            "artifacts": [{"path": "/output/once", "dest": f"{dest}/once"}],
        },
    }
    dest.write_text("a file, and no directory\n")
    failed = play([run], namespace=namespace).of("Run")
    assert failed["state"] == "failed" and str(dest) in failed["msg"]
    uid = client.get(POD, namespace, "held")["metadata"]["uid"]
    dest.unlink()
    played = play([run | {"name": "Predict", "check_mode": True}, run, run | {"name": "Repeat"}], namespace=namespace)
    assert played.of("Predict")["changed"] and played.of("Run")["changed"] and not played.of("Repeat")["changed"]
    assert played.of("Run")["uid"] == uid and client.get(POD, namespace, "held") is None
    first = (dest / "once").read_text()
    (dest / "once").unlink()
    again = play([run], namespace=namespace).of("Run")
    assert again["changed"] and (dest / "once").read_text() != first


@pytest.mark.long
def test_a_task_without_its_outputs_fails(play, namespace, tmp_path):
    outputs = {
        "results": {
            "none": "/output/none",
            "large": "/output/large",
            "bad": {"path": "/output/bad", "type": "json"},
            "binary": "/output/binary",
            "link": "/output/link",
        },
        "artifacts": [{"path": "/output/missing", "dest": str(tmp_path / "missing")}],
    }
    command = "head -c 70000 /dev/zero > /output/large; echo '{' > /output/bad; printf '\\377' > /output/binary; ln -s /etc/passwd /output/link"
    run = {"name": "Run", "ignore_errors": True, "podwright.core.task_pod": BOX | outputs | {"name": "poor", "command": ["sh", "-c", command]}}
    failed = play([run], namespace=namespace).of("Run")
    for part in (
        "'large' has 70000 bytes",
        "'bad' is not valid JSON",
        "'binary' is not text in UTF-8",
        "'link' (/output/link) is a symbolic link",
        "artifact is missing (/output/missing)",
    ):
        assert part in failed["msg"], failed["msg"]
    assert failed["rc"] == 0 and failed["state"] == "failed" and failed["tasks"][0]["results"] == {}


def test_runs_at_the_same_time_deliver_the_inputs_of_a_task_together(namespace, tmp_path):
    """Each upload deletes the temporary files of earlier ones."""
    (tmp_path / "large").write_bytes(os.urandom(20 << 20))
    options = BOX | {"name": "shared", "command": ["sha256sum", "/in"], "logs": "collect", "inputs": [{"path": "/in", "src": str(tmp_path / "large")}]}
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _run: call(task_pod, options, namespace), range(3)))
    assert [result["state"] for result in results] == ["succeeded"] * 3, [result.get("msg") for result in results]
    digest = hashlib.sha256((tmp_path / "large").read_bytes()).hexdigest()
    assert {(result["uid"], result["logs"]) for result in results} == {(results[0]["uid"], f"{digest}  /in\n")}
    assert [result["changed"] for result in results].count(True) == 1


@pytest.mark.parametrize("mode", ["action", pytest.param("module", marks=pytest.mark.long)])
def test_inputs_in_a_restricted_namespace_with_a_quota(client, play, namespace, tmp_path, mode):
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    client.patch(BUILT_IN["v1", "Namespace"], None, namespace, labels, "test", MERGE_PATCH)
    hard = {name: value for part in ("requests", "limits") for name, value in ((f"{part}.cpu", "1"), (f"{part}.memory", "1Gi"))}
    client.create(BUILT_IN["v1", "ResourceQuota"], namespace, {"metadata": {"name": "q"}, "spec": {"hard": hard}}, "test")
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub/run").write_text('#!/bin/sh\necho "$(id -u) $(cat /etc/app.conf)" > /output/r\n')
    (source / "sub/run").chmod(0o755)
    options = BOX | {
        "name": "given",
        "command": ["/in/sub/run"],
        "resources": {"limits": {"cpu": "100m", "memory": "32Mi"}},
        "inputs": [{"path": "/in", "src": str(source)}, {"path": "/etc/app.conf", "content": "canary-2718", "mode": "0600"}],
        "results": {"r": "/output/r"},
    }
    run = {"name": "Run", "podwright.core.task_pod": options}
    played = play([run | {"name": "Predict", "check_mode": True}, run, run | {"name": "Repeat"}], "-vvv", namespace=namespace, mode=mode)
    assert played.of("Run")["tasks"][0]["results"] == {"r": "65532 canary-2718\n"}
    assert [played.of(name)["changed"] for name in ("Predict", "Run", "Repeat")] == [True, True, False]
    shown = [{key: value for key, value in played.of(name).items() if key != "tasks"} for name in ("Predict", "Run", "Repeat")]
    assert "canary-2718" not in str(shown) and "canary-2718" not in str(client.get(POD, namespace, "given"))


@pytest.mark.parametrize("mode", ["action", "module"])
def test_relative_paths_mean_the_directory_of_the_playbook(play, namespace, tmp_path, mode):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in.txt").write_text("hi\n")
    paths = {"inputs": [{"path": "/in", "src": "in.txt"}], "artifacts": [{"path": "/output/a", "dest": "out/"}], "plan_file": "plan.json"}
    run = {"name": "Run", "podwright.core.task_pod": BOX | paths | {"name": "relative", "command": ["cp", "/in", "/output/a"]}}
    played = play([run, run | {"name": "Repeat"}], namespace=namespace, mode=mode, directory=tmp_path / "elsewhere")
    assert [played.of(name)["changed"] for name in ("Run", "Repeat")] == [True, False]
    assert (tmp_path / "out/a").read_text() == "hi\n" and (tmp_path / "plan.json").exists() and not list((tmp_path / "elsewhere").iterdir())
