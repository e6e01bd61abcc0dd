# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a task leaves is fetched once it has terminated, from a pod of this process whose commands run on this machine."""

from __future__ import annotations

import copy
import itertools
import json
import os
import queue
from functools import partial
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import POD_UID, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy, task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import (
    collector,
    completion,
    copies,
    delivery,
    file_containers,
    runner,
    task_completion,
    transfers,
)
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.inputs import INPUTS
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.small_files import NO_FILE, OUTSIDE, read_small_files

from .fake_cluster import FakeCluster
from .local_pod import TOOLS, LocalPod
from .test_runner import QueuedWatcher

POD = ("Pod", "n", "t")
HOLDER = file_containers.HOLDER


class HoldingCluster(FakeCluster):
    """Pods whose task terminates at once, and whose holder has the states in `holder`, one after the other.

    Attributes:
        code: the exit code of the task.
        commands: the LocalPod.
    """

    def __init__(self, tmp_path, commands, holder=("running",), code=0):
        super().__init__(tmp_path)
        self.changes, self.commands, self.holder, self.code, self.numbers = queue.Queue(), commands, holder, code, itertools.count(1)
        self.created, self.streams = 0, commands.client.streams

    def list(self, kind, namespace=None, label_selector=None, field_selector=None, metadata_only=False):
        return super().list(kind, namespace, None, field_selector)

    def create(self, kind, namespace, body, manager, dry_run=False):
        pod = copy.deepcopy(body)
        pod["metadata"] |= {"uid": f"uid-{next(self.numbers)}", "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
        if dry_run:
            return pod
        self.created += 1
        for number, state in enumerate(self.holder):
            pod["metadata"]["resourceVersion"] = str(next(self.numbers))
            pod["status"] = self.status(state)
            if number:
                self.changes.put(("MODIFIED", copy.deepcopy(pod)))
            else:
                answer = copy.deepcopy(pod)
        self.objects[POD] = pod
        return answer

    def delete(self, kind, namespace, name, uid=None, propagation="Background", grace=None):
        pod = self.objects.pop((kind.name, namespace, name), None)
        if pod:
            self.changes.put(("DELETED", pod))
        return pod is not None

    def status(self, state):
        """The status of a pod with this state of the holder, such as `running` or `waiting/ImagePullBackOff`."""
        word, _slash, reason = state.partition("/")
        ended = {
            "exitCode": self.code,
            "reason": "Error" if self.code else "Completed",
            "startedAt": "2026-01-01T00:00:00Z",
            "finishedAt": "2026-01-01T00:00:01Z",
        }
        states = {"task": {"terminated": ended | {"message": "fine"}}, HOLDER: {word: {"reason": reason, "message": "no such image", "exitCode": 0}}}
        return {"phase": "Running", "containerStatuses": [{"name": name, "state": value} for name, value in states.items()]}

    def branch(self):
        return self.commands.client.branch()

    def log(self, *arguments, **options):
        return b""

    def close(self):
        pass


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A LocalPod with a directory `out` that the task leaves."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(runner, "Watcher", QueuedWatcher)
    monkeypatch.setattr(runner, "TICK_SECONDS", 0)
    monkeypatch.setattr(completion, "wait_until_deleted", lambda *arguments: None)
    monkeypatch.setattr(task_completion, "list_events", lambda *arguments: [])
    monkeypatch.setattr(task_completion, "RELEASE_LOOKS", (0,))
    monkeypatch.setattr(transfers, "LOOKS", (0,))
    monkeypatch.setattr(collector, "RELEASE", ["sh", "-c", f": > {tmp_path}/released"])
    return LocalPod("gnu", tmp_path / "tools", monkeypatch)


@pytest.fixture
def cluster(tmp_path, local):
    return HoldingCluster(tmp_path, local)


def perform(cluster, tmp_path, check_mode=False, **options):
    files = {
        "results": {"r": {"path": f"{tmp_path}/out/r", "type": "json"}, "m": {"termination_message": True}},
        "artifacts": [{"path": f"{tmp_path}/out/a", "dest": f"{tmp_path}/copied/", "optional": False}],
    }
    defaults = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()}
    params = defaults | {"name": "t", "namespace": "n", "image": "i", "state": "completed", "wait_timeout": 20} | files | options
    console = Console()
    result, error = attempt(task_pod.OPERATION, Invocation(params, check_mode, False, console, cluster))
    return (
        result | {"results": result["tasks"][0].get("results"), "warnings": console.warnings} | ({"msg": str(error), "reason": error.reason} if error else {})
    )


def leave(tmp_path, **contents):
    for name, text in contents.items():
        (tmp_path / "out" / name).write_text(text)


def test_what_a_task_left_is_fetched_recorded_and_released(cluster, tmp_path):
    leave(tmp_path, r='{"n": 1}', a="artifact\n")
    first = perform(cluster, tmp_path)
    assert first["results"] == {"r": {"n": 1}, "m": "fine"} and first["state"] == "succeeded" and first["changed"]
    assert (tmp_path / "copied/a").read_text() == "artifact\n" and (tmp_path / "released").exists()
    assert first["artifacts"][0]["target"] == os.path.realpath(tmp_path / "copied/a"), "a directory is its dest"
    commands = cluster.commands.commands
    cluster.objects[POD]["status"] = cluster.status("terminated")
    again = perform(cluster, tmp_path)
    assert again["results"] == first["results"] and not again["changed"] and cluster.commands.commands == commands
    del cluster.objects[POD]
    recorded = perform(cluster, tmp_path)
    assert recorded["results"] == first["results"] and recorded["recorded"] and not recorded["changed"] and cluster.created == 1


@pytest.mark.parametrize("holder", [("waiting/ContainerCreating", "running"), ("waiting/", "waiting/ImagePullBackOff", "running")])
def test_a_holder_that_has_not_started_is_waited_for(cluster, tmp_path, holder):
    leave(tmp_path, r="1", a="")
    cluster.holder = holder
    assert perform(cluster, tmp_path)["results"]["r"] == 1


def test_a_holder_that_cannot_start_is_named(cluster, tmp_path):
    cluster.holder = ("waiting/ErrImageNeverPull",)
    failed = perform(cluster, tmp_path)
    assert failed["state"] == "failed" and f"ErrImageNeverPull: {HOLDER}: no such image" in failed["msg"]


def test_a_failed_task_leaves_what_it_has(cluster, tmp_path):
    leave(tmp_path, a="core\n")
    cluster.code = 3
    failed = perform(cluster, tmp_path, rerun="on_change")
    assert failed["rc"] == 3 and failed["results"] == {"m": "fine"} and (tmp_path / "copied/a").read_text() == "core\n"
    assert "exit code 3" in failed["msg"] and "missing" not in failed["msg"]


@pytest.mark.parametrize(("log", "tail", "shown"), [(b"", 20, True), (b"all is fine\n", 20, False), (b"f", 20, False), (b"other\n", 20, True), (b"", 0, False)])
def test_a_termination_message_that_is_not_from_the_log_is_in_the_error(cluster, tmp_path, monkeypatch, log, tail, shown):
    cluster.code = 3
    monkeypatch.setattr(cluster, "log", lambda *arguments, **options: log)
    failed = perform(cluster, tmp_path, log_tail=tail)
    assert ("\nTermination message: fine" in failed["msg"]) == shown, failed["msg"]


@pytest.mark.parametrize("cleanup", ["never", "always"])
@pytest.mark.parametrize("rerun", ["on_change", "on_failure"])
def test_a_task_that_leaves_too_little_fails_every_time(cluster, tmp_path, rerun, cleanup):
    leave(tmp_path, a="x")
    for _run in range(2):
        failed = perform(cluster, tmp_path, rerun=rerun, cleanup=cleanup)
        assert failed["state"] == "failed" and failed["reason"] == "NoOutput" and f"its result 'r' is missing ({tmp_path}/out/r)" in failed["msg"]
    assert cluster.created == (2 if rerun == "on_failure" else 1)
    leave(tmp_path, r="1")
    last = perform(cluster, tmp_path, rerun=rerun, cleanup=cleanup)
    assert last["state"] == ("succeeded" if rerun == "on_failure" else "failed")


@pytest.mark.parametrize(("content", "reason"), [(b"\xff", "BadResult"), (b"{", "BadResult"), (b"1" * 70000, "ResultTooLarge")])
def test_a_later_run_says_the_same_of_what_was_wrong(cluster, tmp_path, content, reason):
    leave(tmp_path, a="x")
    (tmp_path / "out/r").write_bytes(content)
    first, second = (perform(cluster, tmp_path, rerun="on_change", cleanup="always") for _run in range(2))
    assert first["reason"] == second["reason"] == reason and "missing" not in second["msg"]
    assert first["msg"].split(".")[0] in second["msg"] and second["msg"].count("its result 'r'") == 1


@pytest.mark.parametrize("code", [0, 3])
def test_files_that_were_lost_with_the_pod_are_not_said_to_be_missing(cluster, tmp_path, code):
    """The deadline, an eviction or a deletion of the pod terminates the container that holds them."""
    leave(tmp_path, r="1", a="x")
    cluster.code, cluster.holder = code, ("terminated",)
    failed = perform(cluster, tmp_path)
    assert failed["state"] == "failed" and "missing" not in failed["msg"]
    assert (failed["reason"] == "FilesLost" and "were lost before this run fetched them" in failed["msg"]) if not code else failed["rc"] == 3
    lost = "What the failed task 't' left was lost: its pod was terminated before it was fetched (Error)."
    assert failed["warnings"] == ([lost] if code else [])
    cluster.holder = ("running",)
    assert perform(cluster, tmp_path)["tasks"][0]["attempt"] == 1 and cluster.created == 2


@pytest.mark.parametrize("cleanup", ["never", "always"])
@pytest.mark.parametrize("code", [0, 1])
def test_a_pod_stays_until_its_files_are_fetched(cluster, tmp_path, cleanup, code):
    leave(tmp_path, r="1", a="x")
    (tmp_path / "copied").write_text("a file, and no directory")
    cluster.code = code
    failed = perform(cluster, tmp_path, cleanup=cleanup, rerun="on_change")
    assert failed["state"] == "failed" and POD in cluster.objects and not (tmp_path / "released").exists()
    assert str(tmp_path / "copied") in (failed["msg"] if not code else failed["warnings"][0])
    (tmp_path / "copied").unlink()
    checked = perform(cluster, tmp_path, check_mode=True, cleanup=cleanup, rerun="on_change")
    assert checked["changed"] and not (tmp_path / "copied").exists() and checked["results"]["r"] == 1
    fetched = perform(cluster, tmp_path, cleanup=cleanup, rerun="on_change")
    assert fetched["changed"] and (tmp_path / "copied/a").read_text() == "x" and cluster.created == 1
    assert (POD in cluster.objects) == (cleanup == "never")


def test_check_mode_warns_of_a_copy_that_will_fail(cluster, tmp_path):
    leave(tmp_path, r="1", a="x")
    (tmp_path / "copied").write_text("a file, and no directory")
    perform(cluster, tmp_path, rerun="on_change")
    (warning,) = perform(cluster, tmp_path, check_mode=True, rerun="on_change")["warnings"]
    assert "succeeded, but not with all that it should leave" in warning and f"{tmp_path}/copied" in warning
    assert warning.endswith("The task is going to fail.")


def test_artifacts_do_not_replace_each_other_if_one_has_become_a_directory(cluster, tmp_path):
    """A plan cannot know that: the first copy creates the directory into which the second one goes."""
    leave(tmp_path, r="1", b="b")
    (tmp_path / "out/sub").mkdir()
    (tmp_path / "out/sub/b").write_text("other")
    entries = [(f"{tmp_path}/out/b", f"{tmp_path}/copied/d/b"), (f"{tmp_path}/out/sub/b", f"{tmp_path}/copied/d")]
    failed = perform(cluster, tmp_path, artifacts=[{"path": path, "dest": dest, "optional": False} for path, dest in entries])
    assert failed["reason"] == "Obstacle" and f"{tmp_path}/copied/d/b, which is the copy of {tmp_path}/out/b of task 't'" in failed["msg"]
    assert (tmp_path / "copied/d/b").read_text() == "b"


def test_a_pod_whose_release_failed_is_released_by_the_next_run(cluster, tmp_path, monkeypatch):
    leave(tmp_path, r="1", a="x")

    def refuse(*arguments):
        raise PodwrightError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(collector, "execute", refuse)
        first = perform(cluster, tmp_path)
    assert first["state"] == "succeeded" and "still holds its files" in first["warnings"][0]
    again = perform(cluster, tmp_path)
    assert not again["changed"] and (tmp_path / "released").exists() and not again["warnings"]


def test_what_another_pod_of_that_name_left_is_not_fetched(cluster, local, tmp_path):
    leave(tmp_path, r="1", a="x")
    local.environment[POD_UID] = "later"
    result = perform(cluster, tmp_path)
    assert result["reason"] == "Replaced" and "was replaced by another one of that name" in result["msg"] and "r" not in result["results"]
    assert not (tmp_path / "copied").exists() and not (tmp_path / "released").exists()
    assert "results" not in cluster.objects["ConfigMap", "n", "podwright-record-t"]["data"]


@pytest.mark.parametrize("uid", [None, "uid-1", "later"])
def test_another_pod_of_that_name_is_not_released(cluster, local, tmp_path, uid):
    local.environment |= {POD_UID: uid} if uid else {}
    pod = {"metadata": {"namespace": "n", "name": "t", "uid": "uid-1"}}
    release = partial(collector.Collector(cluster, Console()).release, pod)
    if uid == "later":
        with pytest.raises(PodwrightError, match=r"^Pod 't' in namespace 'n' was replaced by another one of that name"):
            release()
    else:
        release()
    assert (tmp_path / "released").exists() == (uid != "later")


def test_a_task_whose_copy_was_deleted_runs_again(cluster, tmp_path):
    leave(tmp_path, r="1", a="x")
    perform(cluster, tmp_path)
    cluster.objects[POD]["status"] = cluster.status("terminated")
    (tmp_path / "copied/a").unlink()
    again = perform(cluster, tmp_path)
    assert again["plan"][0]["action"] == "replace" and "does not exist any more" in again["plan"][0]["note"] and cluster.created == 2
    assert (tmp_path / "copied/a").exists()


@pytest.mark.parametrize(("change", "is_again"), [("touch", False), ("edit", True), ("directory", True), ("forget", False)])
def test_a_task_whose_copy_is_another_file_runs_again(cluster, tmp_path, monkeypatch, change, is_again):
    leave(tmp_path, r="1", a="x")
    checksum = perform(cluster, tmp_path)["artifacts"][0]["checksum"]
    cluster.objects[POD]["status"] = cluster.status("terminated")
    target = tmp_path / "copied/a"
    with monkeypatch.context() as patch:  # it is not read unless its size or its time differs
        patch.setattr(copies, "_digest", None)
        assert perform(cluster, tmp_path)["artifacts"][0]["checksum"] == checksum
    if change == "edit":
        target.write_text("of an older build")
    elif change == "directory":
        target.unlink()
        target.mkdir()
    elif change == "forget":  # as earlier versions recorded it
        target.write_text("of an older build")
        data = cluster.objects["ConfigMap", "n", "podwright-record-t"]["data"]
        data["artifacts"] = json.dumps([{"path": f"{tmp_path}/out/a", "dest": f"{tmp_path}/copied/", "target": str(target)}])
    else:
        os.utime(target, (1, 1))
    again = perform(cluster, tmp_path, check_mode=True)
    assert again["plan"][0]["action"] == ("replace" if is_again else "none")
    assert not is_again or again["plan"][0]["note"] == f"its artifact {tmp_path}/copied/ is another file now"


def test_a_relative_dest_means_another_directory_elsewhere(cluster, tmp_path, monkeypatch):
    leave(tmp_path, r="1", a="x")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        done = perform(cluster, tmp_path, artifacts=[{"path": f"{tmp_path}/out/a", "dest": "a", "optional": False}])
        cluster.objects[POD]["status"] = cluster.status("terminated")
        assert (tmp_path / name / "a").read_text() == "x"
    assert done["plan"][0]["note"] == "its artifact was not copied to a"


@pytest.mark.parametrize("rerun", ["on_change", "never"])
def test_a_task_whose_files_were_lost_runs_again(cluster, tmp_path, rerun):
    leave(tmp_path, r="1", a="x")
    perform(cluster, tmp_path)
    cluster.objects[POD]["status"] = cluster.status("terminated")
    del cluster.objects["ConfigMap", "n", "podwright-record-t"]
    again = perform(cluster, tmp_path, rerun=rerun)
    assert cluster.created == (2 if rerun == "on_change" else 1)
    assert again["state"] == ("succeeded" if rerun == "on_change" else "failed")


@pytest.mark.parametrize("is_optional", [True, False])
@pytest.mark.parametrize("code", [0, 3])
def test_a_task_that_never_runs_again_promises_nothing(cluster, tmp_path, code, is_optional):
    """Its record was deleted once its files were fetched and its pod had completed."""
    leave(tmp_path, a="x")
    cluster.code = code
    only = {"results": {}, "artifacts": [{"path": f"{tmp_path}/out/a", "dest": f"{tmp_path}/copied/", "optional": is_optional}], "rerun": "never"}
    assert perform(cluster, tmp_path, **only)["state"] == ("failed" if code else "succeeded")
    cluster.objects[POD]["status"] = cluster.status("terminated")
    del cluster.objects["ConfigMap", "n", "podwright-record-t"]
    again = perform(cluster, tmp_path, **only)
    assert again["state"] == ("succeeded" if is_optional and not code else "failed") and not again["warnings"] and cluster.created == 1
    if not code and not is_optional:
        assert again["reason"] == "FilesLost" and "neither its pod nor its record" in again["msg"] and "terminated" not in again["msg"]
        assert again["msg"].count("rerun") == 1


@pytest.mark.parametrize("is_here", [True, False])
@pytest.mark.parametrize("code", [0, 3])
def test_files_that_another_run_has_fetched_are_not_lost(cluster, tmp_path, code, is_here):
    """Two runs at the same time: the faster one fetches them, records them and releases the pod, on this host or another one."""
    record = ("ConfigMap", "n", "podwright-record-t")
    leave(tmp_path, r="1", a="x")
    cluster.code = code
    perform(cluster, tmp_path)
    recorded = cluster.objects.pop(record)
    del cluster.objects[POD]
    if not is_here:
        (tmp_path / "copied/a").unlink()
    create = cluster.create

    def overtake(*arguments, **options):
        pod = create(*arguments, **options)
        recorded["data"]["uid"] = pod["metadata"]["uid"]
        cluster.objects[record] = recorded
        return pod

    cluster.create, cluster.holder = overtake, ("terminated",)
    slower = perform(cluster, tmp_path)
    assert slower["state"] == ("failed" if code or not is_here else "succeeded"), slower
    assert slower["results"] == ({"r": 1, "m": "fine"} if is_here else {"m": "fine"})
    assert is_here or (slower["rc"] == 3 and slower["warnings"] if code else slower["reason"] == "FilesLost")
    assert not is_here or not slower["warnings"]
    assert json.loads(cluster.objects[record]["data"]["results"]) == {"r": "1", "m": "fine"}


@pytest.mark.parametrize("code", [0, 3])
def test_files_are_not_lost_because_the_record_cannot_be_read(cluster, tmp_path, monkeypatch, code):
    record = ("ConfigMap", "n", "podwright-record-t")
    leave(tmp_path, r="1", a="x")
    perform(cluster, tmp_path)
    recorded = cluster.objects.pop(record)
    del cluster.objects[POD]
    create, list_objects = cluster.create, cluster.list

    def overtake(*arguments, **options):
        pod = create(*arguments, **options)
        recorded["data"]["uid"] = pod["metadata"]["uid"]
        cluster.objects[record] = recorded
        monkeypatch.setattr(cluster, "list", list_pods)
        return pod

    def list_pods(kind, *arguments, **selectors):
        if kind.name == "ConfigMap":
            raise PodwrightError("etcd has no leader", status=500, reason="InternalError")
        return list_objects(kind, *arguments, **selectors)

    with monkeypatch.context() as patch:
        patch.setattr(cluster, "create", overtake)
        patch.setattr(cluster, "holder", ("terminated",))
        patch.setattr(cluster, "code", code)
        slower = perform(cluster, tmp_path)
    assert code or (slower["reason"] == "InternalError" and "no leader" in slower["msg"])
    assert not any("is held in its pod" in text for text in slower["warnings"])
    if code:
        return
    monkeypatch.setattr(cluster, "list", list_objects)
    again = perform(cluster, tmp_path)
    assert again["results"]["r"] == 1 and cluster.created == 2


def fetch_by_another_run(cluster, tmp_path):
    """Let a run fetch what a task left. Returns: the key of the record, and the record, which is still to appear."""
    leave(tmp_path, r="1", a="x")
    perform(cluster, tmp_path)
    key = ("ConfigMap", "n", "podwright-record-t")
    return key, cluster.objects.pop(key)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_run_that_could_not_fetch_keeps_the_record_of_one_that_could(cluster, tmp_path, monkeypatch, is_deleted):
    """Two runs at the same time: the faster one, on another host, deletes the pod while the other one copies from it."""
    record, recorded = fetch_by_another_run(cluster, tmp_path)

    def overtake(*arguments):
        cluster.objects[record] = copy.deepcopy(recorded)
        (tmp_path / "copied/a").rename(tmp_path / "elsewhere")
        raise PodwrightError("The copy failed")

    with monkeypatch.context() as patch:
        patch.setattr(collector, "read_small_files", overtake)
        assert perform(cluster, tmp_path)["state"] == "failed"
    assert json.loads(cluster.objects[record]["data"]["results"]) == {"r": "1", "m": "fine"}
    (tmp_path / "elsewhere").rename(tmp_path / "copied/a")
    if is_deleted:
        del cluster.objects[POD]
    again = perform(cluster, tmp_path)
    assert not again["changed"] and again["results"]["r"] == 1 and cluster.created == 1


def test_what_another_run_fetches_meanwhile_is_no_failure(cluster, tmp_path, monkeypatch):
    """The faster run releases and deletes the pod while this one copies from it."""
    record, recorded = fetch_by_another_run(cluster, tmp_path)

    def overtake(*arguments):
        cluster.objects[record] = copy.deepcopy(recorded)
        del cluster.objects[POD]
        raise PodwrightError("The copy failed with exit code 137", reason="CopyFailed")

    monkeypatch.setattr(collector, "read_small_files", overtake)
    slower = perform(cluster, tmp_path, cleanup="always")
    assert "msg" not in slower and slower["results"] == {"r": 1, "m": "fine"} and slower["artifacts"][0]["exists"] and not slower["warnings"]
    assert json.loads(cluster.objects[record]["data"]["results"]) == {"r": "1", "m": "fine"}


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize("looks", [0, 1])
def test_a_timeout_during_the_fetching_is_named(cluster, tmp_path, monkeypatch, code, looks):
    """The API server may know that later than this run."""
    leave(tmp_path, r="1", a="x")
    cluster.code, get = code, cluster.get

    def look(kind, namespace, name):
        looked.append(kind)
        if len(looked) > looks:
            cluster.objects[POD]["status"] |= {"phase": "Failed", "reason": "DeadlineExceeded"}
        return get(kind, namespace, name)

    def time_out(*arguments):
        monkeypatch.setattr(cluster, "get", look)
        raise PodwrightError("The copy failed with exit code 137", reason="CopyFailed")

    looked = []
    monkeypatch.setattr(collector, "read_small_files", time_out)
    failed = perform(cluster, tmp_path, rerun="on_change")
    lost = "What the failed task 't' left was lost: its pod was terminated before it was fetched (Error)."
    assert failed["warnings"] == ([lost] if code else [])
    assert code or (failed["reason"] == "FilesLost" and "because its pod was terminated at its timeout." in failed["msg"] and "Raise timeout" in failed["msg"])
    assert "results" not in cluster.objects["ConfigMap", "n", "podwright-record-t"]["data"]


def test_what_a_deleted_pod_of_a_failed_task_left_is_lost(cluster, tmp_path, monkeypatch):
    leave(tmp_path, r="1", a="x")
    cluster.code = 3

    def delete(*arguments):
        del cluster.objects[POD]
        raise PodwrightError("The copy failed with exit code 137", reason="CopyFailed")

    monkeypatch.setattr(collector, "read_small_files", delete)
    failed = perform(cluster, tmp_path, rerun="on_change")
    assert failed["rc"] == 3 and failed["warnings"] == ["What the failed task 't' left was lost: its pod was deleted before it was fetched."]


def test_a_pod_that_another_run_has_just_released_holds_nothing(cluster, tmp_path, monkeypatch):
    """The kubelet reports that later."""
    leave(tmp_path, r="1", a="x")
    get = cluster.get

    def look(kind, namespace, name):
        found = copy.deepcopy(get(kind, namespace, name))
        cluster.objects[POD]["status"] = cluster.status("terminated")
        return found

    def refuse(*arguments):
        monkeypatch.setattr(cluster, "get", look)
        raise PodwrightError("container not created: not found")

    monkeypatch.setattr(collector, "execute", refuse)
    assert not perform(cluster, tmp_path)["warnings"]


def test_results_in_a_record_that_was_edited_are_missing(cluster, tmp_path):
    leave(tmp_path, r="1", a="x")
    perform(cluster, tmp_path)
    record = cluster.objects["ConfigMap", "n", "podwright-record-t"]
    assert json.loads(record["data"]["results"]) == {"r": "1", "m": "fine"}
    record["data"]["results"] = '{"r": 5}'
    cluster.objects[POD]["status"] = cluster.status("terminated")
    assert "its result 'r' is missing" in perform(cluster, tmp_path, rerun="on_change")["msg"]


@pytest.mark.parametrize(
    ("containers", "size", "is_cut"), [(0, 4095, False), (0, 4096, True), (2, 3071, False), (2, 3072, True), (10, 1023, False), (10, 1024, True)]
)
def test_a_termination_message_is_refused_rather_than_cut(cluster, tmp_path, containers, size, is_cut):
    """The kubelet keeps 12 KiB of those of a pod, to which the task and what holds its files belong."""
    leave(tmp_path, r="1", a="x")
    status = cluster.status("running")
    status["containerStatuses"][0]["state"]["terminated"]["message"] = "x" * size
    cluster.status = lambda state: status
    done = perform(cluster, tmp_path, containers=[{"name": f"c{number}", "image": "i"} for number in range(containers)])
    assert ("m" not in done["results"]) == is_cut == (done.get("reason") == "ResultTooLarge")
    assert not is_cut or f"has {size} bytes, but at most {size - 1} are returned" in done["msg"]


@pytest.mark.parametrize("is_deleted", [False, True])
@pytest.mark.parametrize("rerun", ["on_failure", "never"])
def test_a_recorded_result_belongs_to_its_file_and_not_to_its_name(cluster, tmp_path, is_deleted, rerun):
    leave(tmp_path, a="A", b="B", r="C")
    a, b, message = f"{tmp_path}/out/a", f"{tmp_path}/out/b", {"termination_message": True}
    perform(cluster, tmp_path, artifacts=[], results={"x": a, "y": b, "m": message})
    cluster.objects[POD]["status"] = cluster.status("terminated")
    if is_deleted:
        del cluster.objects[POD]
    for _run in range(2):  # the second one knows what the first one has recorded
        exchanged = perform(cluster, tmp_path, artifacts=[], results={"x": b, "m": a, "y": message}, rerun=rerun)
        assert exchanged["results"] == {"x": "B", "m": "A", "y": "fine"} and not exchanged["changed"] and cluster.created == 1
    artifact = {"path": a, "dest": f"{tmp_path}/copied/", "optional": False}
    moved = perform(cluster, tmp_path, check_mode=True, artifacts=[artifact], results={"x": b, "m": a}, rerun=rerun)
    assert rerun == "never" or moved["plan"][0]["note"] == f"its artifact was not copied to {tmp_path}/copied/"


def test_a_path_that_was_an_artifact_is_no_recorded_result(cluster, tmp_path):
    leave(tmp_path, a="A")
    artifact = {"path": f"{tmp_path}/out/a", "dest": f"{tmp_path}/copied/", "optional": False}
    perform(cluster, tmp_path, artifacts=[artifact], results={})
    cluster.objects[POD]["status"] = cluster.status("terminated")
    optional = {"x": {"path": f"{tmp_path}/out/a", "optional": True}}
    again = perform(cluster, tmp_path, artifacts=[], results=optional)
    assert again["results"] == {"x": "A"} and again["plan"][0]["note"] == f"its result 'x' was not fetched from {tmp_path}/out/a" and cluster.created == 2


@pytest.mark.parametrize(("reason", "is_failure"), [("WaitFailed", False), ("Forbidden", True)])
def test_a_pod_that_takes_long_to_terminate_is_no_failure(cluster, tmp_path, monkeypatch, reason, is_failure):
    """A finalizer blocks its deletion, or a sidecar uses up its grace period."""

    def refuse(*arguments):
        raise PodwrightError("Pod 't' in namespace 'n' was not deleted within 60 s: it is still terminating.", reason=reason)

    monkeypatch.setattr(completion, "wait_until_deleted", refuse)
    leave(tmp_path, r="1", a="x")
    done = perform(cluster, tmp_path, cleanup="always")
    assert ("msg" in done) == is_failure and done["state"] == "succeeded"
    assert is_failure or "was not deleted within 60 s" in done["warnings"][0]


def test_a_run_without_waiting_keeps_the_pod_for_the_next(cluster, tmp_path):
    leave(tmp_path, r="1", a="x")
    cluster.holder = ("waiting/ContainerCreating",)
    started = perform(cluster, tmp_path, wait=False, cleanup="always")
    assert POD in cluster.objects and "msg" not in started
    cluster.objects[POD]["status"] = cluster.status("running")
    assert perform(cluster, tmp_path, wait=False, cleanup="always")["results"]["r"] == 1 and POD not in cluster.objects
    assert cluster.get(CONFIG_MAP, "n", "podwright-record-t")


def test_a_copy_from_a_container_that_has_terminated_says_what_can_be_done(cluster, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PodwrightError('container not found ("task")', status=500, reason="HTTP 500")

    monkeypatch.setattr(pod_copy.ContainerTree, "observe", refuse)
    given = {"pod": "t", "namespace": "n", "remote_path": "/x", "local_path": str(tmp_path / "x"), "state": "from_pod"}
    params = {name: entry.get("default") for name, entry in pod_copy.ARGUMENTS.items()} | given
    _fields, error = attempt(pod_copy.OPERATION, Invocation(params, False, False, Console(), cluster))
    assert "artifacts of task_pod" in error.hint and error.message == 'container not found ("task")'


# -- inputs ---------------------------------------------------------------------------------------------------


class WaitingCluster(HoldingCluster):
    """Pods that wait for inputs, and whose task terminates once they have them.

    Attributes:
        lost: how many pods are deleted while they receive their inputs.
    """

    lost = 0

    def create(self, kind, namespace, body, manager, dry_run=False):
        answer = super().create(kind, namespace, body, manager, dry_run)
        if not dry_run:
            self.started = False
            answer["status"] = self.objects[POD]["status"] = self.waiting("running")
        return answer

    def waiting(self, state):
        """The status of a pod that waits for inputs, or did."""
        return {"phase": "Pending", "initContainerStatuses": [{"name": INPUTS, "state": {state: {"exitCode": 0}}}], "containerStatuses": []}

    def branch(self):
        if self.lost:
            self.lost -= 1
            self.changes.put(("DELETED", copy.deepcopy(self.objects.pop(POD))))
            raise PodwrightError("pod not found", status=404, reason="NotFound")
        pod = copy.deepcopy(self.objects[POD])
        pod["metadata"]["resourceVersion"] = str(next(self.numbers))
        pod["status"] = self.waiting("terminated") | {"phase": "Succeeded", "containerStatuses": self.status("terminated")["containerStatuses"][:1]}
        self.objects[POD] = pod
        self.changes.put(("MODIFIED", copy.deepcopy(pod)))  # before the answer
        return super().branch()


@pytest.fixture
def waiting(tmp_path, local, monkeypatch):
    monkeypatch.setattr(delivery, "START", ["sh", "-c", f": > {tmp_path}/ready"])
    return WaitingCluster(tmp_path, local)


def supply(waiting, tmp_path, **options):
    inputs = [
        {"path": f"{tmp_path}/work/text", "content": "canary-3141\n", "src": None, "mode": "0600"},
        {"path": f"{tmp_path}/work/tree", "content": None, "src": f"{tmp_path}/src", "mode": None},
    ]
    own = {"inputs": inputs, "results": None, "artifacts": None, "shared_workspace": f"{tmp_path}/work"}
    return perform(waiting, tmp_path, **own | options)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "src/sub").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "src/sub/a").write_bytes(b"\0" * 1000)
    return tmp_path / "src"


def test_inputs_are_copied_before_the_task_starts(waiting, tmp_path, source):
    first = supply(waiting, tmp_path)
    assert first["state"] == "succeeded" and (tmp_path / "ready").exists()
    assert (tmp_path / "work/text").read_text() == "canary-3141\n" and (tmp_path / "work/text").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "work/tree/sub/a").read_bytes() == b"\0" * 1000
    commands = waiting.commands.commands
    assert not supply(waiting, tmp_path)["changed"] and waiting.commands.commands == commands
    (source / "sub/a").write_text("other")
    assert supply(waiting, tmp_path)["plan"][0]["action"] == "replace" and (tmp_path / "work/tree/sub/a").read_text() == "other"
    assert "canary-3141" not in str(waiting.objects) + str(first)


def test_inputs_are_not_copied_to_another_pod_of_that_name(waiting, local, tmp_path, source, monkeypatch):
    monkeypatch.setattr(waiting, "branch", lambda: HoldingCluster.branch(waiting))
    local.environment[POD_UID] = "later"
    result = supply(waiting, tmp_path)
    assert "did not receive its inputs: Pod 't' in namespace 'n' was replaced by another one of that name" in result["msg"]
    assert not (tmp_path / "ready").exists() and not list((tmp_path / "work").iterdir()) and local.commands == 1


def test_a_run_without_waiting_delivers_inputs(waiting, tmp_path, source):
    supply(waiting, tmp_path, wait=False)
    assert (tmp_path / "ready").exists()


def test_a_run_resumes_a_pod_that_waits_for_inputs(waiting, tmp_path, source):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delivery, "_copy", lambda *arguments: "other")
        patch.setattr(waiting, "branch", lambda: HoldingCluster.branch(waiting))
        failed = supply(waiting, tmp_path)
    assert failed["state"] == "failed" and "did not receive its inputs" in failed["msg"] and not (tmp_path / "ready").exists()
    waiting.objects[POD]["status"] = waiting.waiting("running")
    again = supply(waiting, tmp_path)
    assert again["state"] == "succeeded" and not again["changed"] and (tmp_path / "ready").exists() and waiting.created == 1


@pytest.mark.parametrize("retries", [0, 1])
def test_a_pod_that_is_lost_while_it_receives_inputs_is_retried(waiting, tmp_path, source, retries):
    waiting.lost = 1
    result = supply(waiting, tmp_path, retries=retries)
    assert waiting.created == 1 + retries and result["state"] == ("succeeded" if retries else "failed")


@pytest.mark.parametrize(
    ("reason", "failures", "is_delivered", "attempts"),
    [
        ("CopyFailed", 1, True, 1),  # another run has delivered them meanwhile
        ("Changed", 1, True, 1),
        ("CopyFailed", 2, False, 3),  # another run was about to, and deleted what this one had sent
        ("ConnectionLost", 2, False, 3),
        ("CopyFailed", 9, False, 5),
        ("HTTP 500", 2, False, 3),  # another run has started the task, which the status of the pod does not show yet
        ("Changed", 2, False, 3),  # another run deleted a part of what had arrived
    ],
)
def test_two_runs_that_deliver_inputs_at_once_both_succeed(waiting, tmp_path, source, monkeypatch, reason, failures, is_delivered, attempts):
    deliver, made = delivery.deliver, []

    def contend(*arguments):
        made.append(arguments)
        if len(made) <= failures:
            raise PodwrightError("container not found" if reason == "HTTP 500" else "mv: x: No such file or directory", reason=reason)
        deliver(*arguments)
        WaitingCluster.branch(waiting)

    monkeypatch.setattr(delivery, "deliver", contend)
    monkeypatch.setattr(transfers, "PAUSES", (0, 0, 0, 0))
    if not is_delivered:
        monkeypatch.setattr(waiting, "branch", lambda: HoldingCluster.branch(waiting))
    result = supply(waiting, tmp_path)
    assert len(made) == attempts and result["state"] == ("failed" if failures == 9 else "succeeded")


@pytest.mark.parametrize(
    ("reason", "message", "seconds"),
    [
        ("CopyFailed", "dd: error writing 'x': No space left on device", 300),
        ("CopyFailed", "mkdir: can't create directory 'x': Permission denied", 300),
        ("Obstacle", "x is a directory in the pod", 300),
        ("Changed", "in.txt changed while the task was started.", 300),
        ("Forbidden", "pods is forbidden", 300),
        ("CopyFailed", "mv: x: No such file or directory", 20),  # until the deadline
    ],
)
def test_inputs_are_not_copied_again_without_a_chance(waiting, tmp_path, source, monkeypatch, reason, message, seconds):
    made = []

    def refuse(*arguments):
        made.append(arguments)
        raise PodwrightError(message, reason=reason)

    monkeypatch.setattr(delivery, "deliver", refuse)
    monkeypatch.setattr(transfers, "PAUSES", (100, 100))
    monkeypatch.setattr(waiting, "branch", lambda: HoldingCluster.branch(waiting))
    failed = supply(waiting, tmp_path, wait_timeout=seconds)
    assert len(made) == 1 and failed["state"] == "failed" and message in failed["msg"]


def test_an_input_that_changes_while_the_task_starts_is_refused(waiting, tmp_path, source):
    create = waiting.create

    def change(*arguments, **options):
        (source / "sub/a").write_text("other")
        return create(*arguments, **options)

    waiting.create = change
    waiting.status = lambda state: {"phase": "Pending", "containerStatuses": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting, "branch", lambda: HoldingCluster.branch(waiting))
        failed = supply(waiting, tmp_path)
    assert "src changed while the task was started" in failed["msg"] and not (tmp_path / "ready").exists()


# -- small files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tools", TOOLS)
def test_small_files_are_read_by_one_command(tmp_path, monkeypatch, tools):
    (tmp_path / "tools").mkdir()
    pod = LocalPod(tools, tmp_path / "tools", monkeypatch)
    contents = {"empty": b"", "text": b"one\ntwo", "binary": bytes(range(256)), "-n 'name' $x": b"-\n", "full": b"x" * 100}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "large").write_bytes(b"y" * 101)
    (tmp_path / "link").symlink_to("text")
    names = [*contents, "large", "missing", "tools", "link"]
    found = read_small_files(pod.client, pod.container, [f"{tmp_path}/{name}" for name in names], 100, None)
    assert found == [*(content if len(content) <= 100 else 256 for content in contents.values()), 101, None, NO_FILE, b"one\ntwo"]
    assert pod.commands == 1 and read_small_files(pod.client, pod.container, [], 100, None) == []


@pytest.mark.parametrize("tools", TOOLS)
def test_links_to_small_files_outside_their_directories_are_not_followed(tmp_path, monkeypatch, tools):
    """The container that holds the files of a task has others than the task has at the same paths."""
    (tmp_path / "tools").mkdir()
    pod = LocalPod(tools, tmp_path / "tools", monkeypatch)
    (tmp_path / "a b*/sub").mkdir(parents=True)
    (tmp_path / "mount").symlink_to("a b*")
    (tmp_path / "a b*/sub/text").write_text("in")
    (tmp_path / "other").write_text("out")
    for name, target in {"near": "sub/text", "absolute": tmp_path / "mount/sub/text", "far": "../other", "up": "..", "lost": "../none"}.items():
        (tmp_path / "a b*" / name).symlink_to(target)
    names = ["near", "absolute", "sub/text", "far", "up/other", "up", "lost", "none"]
    found = read_small_files(pod.client, pod.container, [f"{tmp_path}/mount/{name}" for name in names], 100, None, ["/nope", f"{tmp_path}/mount"])
    assert found == [b"in", b"in", b"in", OUTSIDE, OUTSIDE, OUTSIDE, None, None]


def test_what_a_task_links_to_outside_its_volumes_is_not_fetched(cluster, tmp_path):
    """Its result would be a file of the other container, as of every other image."""
    (tmp_path / "secret").write_text("1")
    for name in ("r", "a"):
        (tmp_path / "out" / name).symlink_to("../secret")
    failed = perform(cluster, tmp_path)
    assert failed["state"] == "failed" and failed["reason"] == "BadResult" and not (tmp_path / "copied").exists()
    for what, name in (("result 'r'", "r"), ("artifact", "a")):
        assert f"its {what} ({tmp_path}/out/{name}) is a symbolic link to a path outside the volumes of the task" in failed["msg"]
    assert (tmp_path / "released").exists(), "another run would find the same"


def test_a_result_that_is_a_directory_is_not_said_to_be_missing(cluster, tmp_path):
    leave(tmp_path, a="x")
    (tmp_path / "out/r").mkdir()
    left_out = perform(cluster, tmp_path, results={"r": {"path": f"{tmp_path}/out/r", "optional": True}})
    assert left_out["state"] == "succeeded" and left_out["results"] == {}
    failed = perform(cluster, tmp_path)
    assert failed["reason"] == "BadResult" and f"its result 'r' ({tmp_path}/out/r) is not a regular file" in failed["msg"]


def test_links_within_the_volumes_of_a_task_are_followed(cluster, tmp_path):
    leave(tmp_path, real="1")
    for name in ("r", "a"):
        (tmp_path / "out" / name).symlink_to("real")
    assert perform(cluster, tmp_path)["results"]["r"] == 1 and (tmp_path / "copied/a").read_text() == "1"


@pytest.mark.parametrize("output", [b"", b"5 \nabc", b"3 " + b"0" * 64 + b"\nabc", b"9" * 30 + b" x\n", b"3 \xff\n"])
def test_what_a_hostile_container_answers_is_an_error(monkeypatch, output):
    client = SimpleNamespace()
    monkeypatch.setattr(
        "ansible_collections.podwright.core.plugins.module_utils._engine.transfer.runner.ScriptRunner.query", lambda *a, **k: SimpleNamespace(stdout=output)
    )
    with pytest.raises(PodwrightError):
        read_small_files(client, Container("n", "p", "c"), ["/f"], 100, None)
