# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A failure is short: what failed and why, without what does not explain it."""

from __future__ import annotations

import os
import shlex
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import REVIEW
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.api_errors import admission_hint, status_error
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.diagnosis import Tail, explain_workload, format_diagnosis
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import STDERR
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kubeconfig import read_kubeconfig
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.files import missing_source_error
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.key import Key
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import Status, read_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.start_hints import output_hint, probe_hint, start_hint
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, Operation, perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_exec, task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.approval import PLAN_CHANGED
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import completion, problems, task_completion
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.problems import Problems, failure_hint
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.runner_options import RunnerOptions
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.stages import Stage

from .fake_cluster import FakeCluster
from .task_specs import spec
from .test_task_order import batch, needing, session

CREATED = {"action": "create", "patch": [{"op": "add", "path": "", "value": {"kind": "Pod"}}]}
CHANGED = {"action": "patch", "patch": [{"op": "replace", "path": "/data/a", "value": "b"}]}


def event(type_, reason):
    return {"type": type_, "reason": reason, "message": "so", "count": 1, "last_seen": ""}


def serving(name, is_ready, restarts, **metadata):
    container = {"name": "main", "restartCount": restarts, "ready": is_ready, "state": {"running": {}}}
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": str(is_ready)}]
    metadata = {"name": name, "namespace": "n", "uid": name, "labels": {"app": "shop"}} | metadata
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": "Running", "conditions": conditions, "containerStatuses": [container]},
    }


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([serving("a", True, 0), serving("b", True, 0)], ""),
        ([serving("a", True, 0), serving("b", True, 3)], "\nPod 'b': its containers were restarted 3 times\nLog:\n  boom"),
        ([serving("a", True, 3), serving("b", False, 0)], "\nPod 'b': it runs, but is not ready\nLog:\n  boom"),
        (
            [serving("a", False, 0, creationTimestamp="2026-01-01T00:00:00Z"), serving("b", False, 0, creationTimestamp="2026-01-01T00:00:09Z")],
            "\nPod 'b': it runs, but is not ready\nLog:\n  boom",
        ),
    ],
)
def test_a_workload_is_explained_by_a_pod_that_is_not_ready_or_was_restarted(pods, expected, tmp_path, monkeypatch):
    cluster = FakeCluster(tmp_path)
    monkeypatch.setattr(cluster, "log", lambda *_arguments, **_options: b"boom\n", raising=False)
    cluster.objects = {("Pod", "n", pod["metadata"]["name"]): pod for pod in pods}
    workload = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "shop", "namespace": "n", "uid": "d"}}
    cluster.objects["Deployment", "n", "shop"] = workload | {"spec": {"selector": {"matchLabels": {"app": "shop"}}}}
    assert explain_workload(cluster, Key("apps", "Deployment", "n", "shop")) == expected


def test_a_workload_is_explained_by_a_pod_of_its_present_revision(tmp_path, monkeypatch):
    """After a return to an earlier revision, the pods of the revision that was left can be newer."""
    cluster = FakeCluster(tmp_path)
    monkeypatch.setattr(cluster, "log", lambda *_arguments, **_options: b"", raising=False)
    pods = [serving(name, name == "e", 0, creationTimestamp=f"2026-01-01T00:00:0{number}Z") for number, name in enumerate("abcde")]
    for pod, template in zip(pods, "11221", strict=True):
        pod["metadata"]["labels"] |= {"pod-template-hash": template}
    cluster.objects = {("Pod", "n", pod["metadata"]["name"]): pod for pod in pods}
    number = "deployment.kubernetes.io/revision"
    for template, revision, uid in (("1", "3", "d"), ("2", "2", "d"), ("3", "3", "x")):
        owners = [{"kind": "Deployment", "name": "shop", "uid": uid, "controller": True}]
        metadata = {"name": f"shop-{template}", "namespace": "n", "labels": {"app": "shop", "pod-template-hash": template}, "annotations": {number: revision}}
        cluster.objects["ReplicaSet", "n", f"shop-{template}"] = {"kind": "ReplicaSet", "metadata": metadata | {"ownerReferences": owners}}
    workload = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "shop", "namespace": "n", "uid": "d", "annotations": {number: "3"}}}
    cluster.objects["Deployment", "n", "shop"] = workload | {"spec": {"selector": {"matchLabels": {"app": "shop"}}}}
    assert explain_workload(cluster, Key("apps", "Deployment", "n", "shop")) == "\nPod 'b': it runs, but is not ready"


@pytest.mark.parametrize(
    ("revision", "partition", "hint"), [("1", 0, ". It is of an earlier revision, and its StatefulSet"), ("2", 0, "\n"), ("1", 1, "\n"), (None, 0, "\n")]
)
def test_the_pod_that_a_stateful_set_does_not_replace_is_to_be_deleted(revision, partition, hint, tmp_path, monkeypatch):
    cluster = FakeCluster(tmp_path)
    monkeypatch.setattr(cluster, "log", lambda *_arguments, **_options: b"boom\n", raising=False)
    pod = serving("shop-0", False, 0)
    pod["metadata"]["labels"] |= {"controller-revision-hash": revision} if revision else {}
    spec = {"selector": {"matchLabels": {"app": "shop"}}, "updateStrategy": {"rollingUpdate": {"partition": partition}}}
    workload = {"kind": "StatefulSet", "apiVersion": "apps/v1", "metadata": {"name": "shop", "namespace": "n", "uid": "d"}, "spec": spec}
    cluster.objects = {("Pod", "n", "shop-0"): pod, ("StatefulSet", "n", "shop"): workload | {"status": {"updateRevision": "2"}}}
    said = explain_workload(cluster, Key("apps", "StatefulSet", "n", "shop"))
    assert said.startswith(f"\nPod 'shop-0': it runs, but is not ready{hint}")


def test_a_batch_counts_all_skipped_tasks():
    made = session({"bad": 3, "maybe": 99})
    fields, error = made.perform(batch("bad", "maybe", needing("next", "maybe"), skip_on=[99]))
    assert str(error).startswith("1 of 3 tasks failed, 2 skipped.\n") and fields["summary"] == {"failed": 1, "skipped": 2, "total": 3}


def test_a_refused_replacement_is_not_explained_by_what_stays(monkeypatch):
    made = session({"bad": 3})
    assert "Log:" in str(made.perform(batch("bad", log_tail=5))[1])
    create = made.cluster.create

    def refuse(kind, namespace, body, *arguments, **options):
        if options.get("dry_run"):
            raise PodwrightError("Could not create it", status=422, reason="Invalid")
        return create(kind, namespace, body, *arguments, **options)

    monkeypatch.setattr(made.cluster, "create", refuse)
    fields, error = made.perform(batch({"name": "bad", "command": ["other"]}, log_tail=5))
    assert str(error).splitlines() == ["The task 'bad' in namespace 'n' was not replaced: Could not create it"]
    assert not fields["changed"] and fields["tasks"][0]["logs"] is None and fields["tasks"][0]["events"] == []


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("exec /bin/sh: argument list too long\n", "stdin"),
        ("a\nexec sh: argument list too long", "stdin"),
        ("exec /in/run.sh: no such file or directory", "Windows line endings"),
        ("exec /in/run.sh: exec format error", "#!/bin/sh"),
        ("exec /in/run.sh: permission denied", "executable"),
    ],
)
def test_a_program_that_the_kernel_does_not_execute_has_a_hint(text, hint):
    assert hint in output_hint(text)


@pytest.mark.parametrize(("rc", "option"), [(137, "liveness_probe"), (143, "liveness_probe"), (3, ""), (None, "")])
def test_a_container_that_was_terminated_because_of_a_probe_has_a_hint(rc, option):
    killing = "Container %s failed liveness probe, will be restarted"
    assert option in probe_hint(["Pulled", killing % "task"], "task", rc)
    # One that failed once does not terminate its container, and a sidecar is another one.
    assert not probe_hint(["Liveness probe failed: Get timeout", "Stopping container task", killing % "proxy"], "task", rc)


@pytest.mark.parametrize("text", ["", "sh: exec: argument list too long!", "cat: exec x: no such file or directory", "exec x: no such file or directory: y"])
def test_output_of_a_program_has_no_hint(text):
    assert not output_hint(text)


@pytest.mark.parametrize(("reason", "code", "is_warned"), [("OOMKilled", 0, True), ("OOMKilled", 137, False), ("Completed", 0, False)])
def test_a_task_that_succeeds_without_a_process_that_was_killed_for_its_memory_is_a_warning(reason, code, is_warned):
    """Kubernetes reports the exit code of the container's first process, so that the pod has succeeded."""
    status = {"phase": "Running", "containerStatuses": [{"name": "task", "state": {"terminated": {"exitCode": code, "reason": reason}}}]}
    pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "task"}], "restartPolicy": "Never"}, "status": status}
    console = Console()
    run = SimpleNamespace(pod=pod, pods={}, status=read_pod(pod))
    completion.Completion(None, [], console)._warn_of_killed_process(run, SimpleNamespace(name="a", namespace="n"))
    assert [("OOMKilled" in text and "resources.limits.memory" in text) for text in console.warnings] == [True] * is_warned


@pytest.mark.parametrize(
    ("sidecar", "is_warned"),
    [
        ({"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}, True),
        ({"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}, True),
        ({"state": {"terminated": {"exitCode": 137, "reason": "Error"}}, "lastState": {}}, False),
        ({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}, False),
    ],
)
def test_a_sidecar_that_was_killed_for_its_memory_is_a_warning(sidecar, is_warned):
    done = {"name": "task", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    status = {"phase": "Running", "containerStatuses": [done], "initContainerStatuses": [{"name": "db"} | sidecar]}
    containers = {"containers": [{"name": "task"}], "initContainers": [{"name": "db", "restartPolicy": "Always"}], "restartPolicy": "Never"}
    pod, console = {"metadata": {"name": "a"}, "spec": containers, "status": status}, Console()
    run = SimpleNamespace(pod=pod, pods={}, status=read_pod(pod))
    completion.Completion(None, [], console)._warn_of_killed_process(run, SimpleNamespace(name="a", namespace="n"))
    assert ["succeeded, but its sidecar 'db' was killed" in text for text in console.warnings] == [True] * is_warned


def test_a_killed_process_of_any_pod_of_a_job_is_a_warning():
    def of(code, reason):
        state = {"terminated": {"exitCode": code, "reason": reason}}
        spec = {"containers": [{"name": "task"}], "restartPolicy": "Never"}
        return {"metadata": {"name": "a"}, "spec": spec, "status": {"phase": "Running", "containerStatuses": [{"name": "task", "state": state}]}}

    for pods, is_warned in (([of(0, "OOMKilled"), of(0, "Completed")], True), ([of(0, "Completed"), of(137, "OOMKilled")], False)):
        console = Console()
        run = SimpleNamespace(pod=pods[-1], pods=dict(enumerate(pods)), status=Status("succeeded", "Completed"))
        completion.Completion(None, [], console)._warn_of_killed_process(run, SimpleNamespace(name="a", namespace="n"))
        assert bool(console.warnings) == is_warned


@pytest.mark.parametrize(
    ("exited", "restarts", "completes", "is_warned"),
    [
        ({"exitCode": 1, "finishedAt": "1970-01-01T00:20:00Z"}, 2, False, True),
        ({"exitCode": 1, "finishedAt": "1970-01-01T00:20:00Z"}, 1, False, False),
        ({"exitCode": 1, "finishedAt": "1970-01-01T00:20:00Z"}, 2, True, False),  # what a task that completes did last is its result
        ({"exitCode": 1, "finishedAt": "1970-01-01T00:00:00Z"}, 2, False, False),  # a server that has run well since
        ({"exitCode": 137, "finishedAt": "1970-01-01T00:20:00Z"}, 2, False, False),  # as when its image was changed in place
        (None, 0, False, False),
    ],
)
def test_a_task_that_keeps_running_but_whose_command_exits_again_and_again_is_a_warning(exited, restarts, completes, is_warned):
    status = {"name": "task", "state": {"running": {}}, "restartCount": restarts, "lastState": {"terminated": exited} if exited else {}}
    pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "task"}]}, "status": {"phase": "Running", "containerStatuses": [status]}}
    console, client = Console(), SimpleNamespace(clock=SimpleNamespace(now=lambda: 1210.0))
    run = SimpleNamespace(pod=pod, error=None, plan=SimpleNamespace(is_deletion=False))
    completion.Completion(client, [], console)._warn_of_restarts(run, SimpleNamespace(name="a", namespace="n", completes=completes))
    what = "exited with code 1 and was restarted, 2 times so far. If it is meant to exit, set state to completed."
    assert [what in text for text in console.warnings] == [True] * is_warned


@pytest.mark.parametrize("stdin", ["", None])
def test_an_image_without_a_shell_for_standard_input_has_a_hint(stdin):
    """The shell is not in the command that the user wrote."""
    status = Status("failed", "StartError", 'its command could not be started: exec: "sh": executable file not found in $PATH')
    hint = failure_hint(spec(stdin=stdin, command=["/app"]), status)
    assert hint.startswith("Correct command" if stdin is None else "The option stdin requires a shell")


@pytest.mark.parametrize("reason", ["OOMKilled", "Error"])
def test_an_init_container_that_was_killed_for_its_memory_has_a_hint(reason):
    init = [{"name": "fetch", "state": {"terminated": {"exitCode": 137, "reason": reason}}}]
    status = read_pod({"metadata": {}, "spec": {"containers": [{"name": "task"}]}, "status": {"phase": "Failed", "initContainerStatuses": init}})
    assert ("memory" in status.message) == ("memory" in failure_hint(spec(), status)) == (reason == "OOMKilled")


@pytest.mark.parametrize("names", [("bad",), ("bad", "fine")])
def test_a_hint_is_shown_once(monkeypatch, names):
    made = session({"fine": 0})
    create = made.cluster.create

    def refuse(kind, namespace, body, *arguments, **options):
        if body["metadata"]["name"] == "bad":
            raise PodwrightError("Could not create it", status=422, reason="Invalid", hint="Correct it.")
        return create(kind, namespace, body, *arguments, **options)

    monkeypatch.setattr(made.cluster, "create", refuse)
    assert str(made.perform(batch(*names))[1]).count("Correct it.") == 1


@pytest.mark.parametrize(
    ("status", "obstacle", "reason", "text"),
    [
        (
            Status("running"),
            "",
            "Timeout",
            "was not completed within 5 s: running. It still runs: raise wait_timeout, or run it again to wait for it.",
        ),
        (Status("running"), "", "Timeout", "was not running and ready within 5 s: running. It still runs: raise wait_timeout."),
        (Status("pending", "Unschedulable", "no node"), "", "Unschedulable", "was not running and ready within 5 s: Unschedulable: no node"),
        (
            None,
            "",
            "Timeout",
            "was not running and ready within 5 s: no request was sent for it in that time. "
            "Set wait to false not to wait, or raise wait_timeout, and concurrency if other tasks took its turn.",
        ),
        (
            Status("succeeded", "Completed", rc=0),  # that of the pod that is still being deleted
            "Pod 'a': deletion is blocked by finalizers: x/y",
            "Timeout",
            "was not running and ready within 5 s: Pod 'a': deletion is blocked by finalizers: x/y. Only the owner of a finalizer can remove it.",
        ),
    ],
)
def test_a_task_that_is_given_up_says_what_it_waited_for(status, obstacle, reason, text):
    failures = []
    plan = SimpleNamespace(is_deletion=False)
    run = SimpleNamespace(stage=Stage.WATCH if status else Stage.CREATE, status=status, refusal=None, to_delete={}, is_stopping=False, plan=plan, pod=None)
    run.fail_because = lambda *arguments: failures.append(arguments)
    executor = SimpleNamespace(describe_obstacles=lambda _objects: obstacle)
    client = SimpleNamespace(clock=None, availability=SimpleNamespace(describe=str))
    Problems(client, executor, RunnerOptions(state="completed" if "completed" in text else "running", wait_timeout=5), None).give_up([run])
    ((found, message, hint),) = failures
    assert (found, str(PodwrightError(message, hint=hint))) == (reason, text)


@pytest.mark.parametrize(
    ("options", "unready", "remedy"),
    [
        ({}, {"task": {}}, ""),
        ({}, {}, ""),  # a readiness gate
        ({"readiness_probe": {}}, {}, ""),
        ({"readiness_probe": {"tcp": 1}}, {"task": {"started": True}}, ", or correct its readiness_probe"),
        ({"readiness_probe": {"tcp": 1}, "startup_probe": {"tcp": 1}}, {"task": {"started": False}}, ", or correct its startup_probe"),
        ({"readiness_probe": {"tcp": 1}}, {"proxy": {}}, ", or find out why its container 'proxy' is not ready"),
        ({}, {"db": {"started": False}}, ", or find out why its container 'db' is not ready"),
    ],
)
def test_a_task_that_is_not_ready_names_the_probe_to_correct(options, unready, remedy):
    names = ("task", "proxy", "init", "db")
    statuses = [{"name": name, "ready": name not in unready and name != "init"} | unready.get(name, {}) for name in names]
    containers = {"containers": [{"name": "task"}, {"name": "proxy"}], "initContainers": [{"name": "init"}, {"name": "db", "restartPolicy": "Always"}]}
    pod = {"metadata": {"name": "t"}, "spec": containers, "status": {"containerStatuses": statuses[:2], "initContainerStatuses": statuses[2:]}}
    run = SimpleNamespace(status=Status("running"), spec=spec(**options), pod=pod)
    assert problems._waiting_hint(run, "running and ready") == f"It still runs: raise wait_timeout{remedy}."


def test_a_failed_task_names_its_attempt_and_its_exit_code():
    _fields, error = session({"bad": 3}).perform(batch("bad", retries=1))
    assert str(error).splitlines()[0] == "The task 'bad' in namespace 'n' failed in attempt 2: its command failed with exit code 3"


def test_the_reason_error_is_not_shown_beside_a_message():
    assert Status("failed", "Error", "so").explanation == "so" and Status("failed", "Error").explanation == "Error"
    assert Status("failed", "OOMKilled", "so").explanation == "OOMKilled: so" and Status("failed", "Lost").explanation == "Lost"


def test_events_are_shown_if_they_explain_more_than_the_log():
    usual, warning = event("Normal", "Pulled"), event("Warning", "BackOff")
    assert format_diagnosis([usual], Tail("x\n")) == "\nLog:\n  x"
    assert format_diagnosis([usual], Tail()) == "\nEvents:\n  Pulled: so"
    assert format_diagnosis([usual, warning], Tail("x")) == "\nEvents:\n  BackOff: so\nLog:\n  x"
    assert format_diagnosis([], Tail("10 %\r90 %\r\nfailed\r\n")) == "\nLog:\n  90 %\n  failed"


def test_events_that_only_repeat_the_error_are_left_out():
    cause = 'failed to resolve image: failed to do request: Head "https://r.invalid/v2/x/manifests/1": dial tcp: i/o timeout'
    pull = event("Warning", "Failed") | {"message": f'Failed to pull image "r.invalid/x:1": {cause}'}
    bare = event("Warning", "Failed") | {"message": "Error: ImagePullBackOff"}
    earlier = pull | {"message": pull["message"].replace('/1"', '/2"')}
    assert format_diagnosis([earlier, pull], Tail()).splitlines()[1:] == ["Events:", f"  Failed: {pull['message']}"]
    error = f"The task 'a' was not running within 60 s: ErrImagePull: task: {cause}"
    assert format_diagnosis([pull, bare], Tail(), error) == ""
    config = event("Warning", "Failed") | {"message": 'Error: secret "token" not found'}
    assert format_diagnosis([pull, config, event("Warning", "BackOff") | {"message": ""}], Tail(), error).splitlines()[1:] == [
        "Events:",
        '  Failed: Error: secret "token" not found',
        "  BackOff: ",
    ]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_failed_job_reads_the_same_whether_or_not_its_event_is_there_yet(monkeypatch, is_late):
    def list_events(_client, item, _besides):
        if item["kind"] != "Job" or is_late:
            return []
        (condition,) = item["status"]["conditions"]  # its controller writes the same message twice
        return [event("Warning", condition["reason"]) | {"message": condition["message"]}]

    monkeypatch.setattr(task_completion, "list_events", list_events)
    fields, error = session({"bad": 2}).perform(batch("bad", kind="Job", retries=0))
    expected = "The Job 'bad' in namespace 'n' failed: its command failed with exit code 2\nLog:\n  log of "
    assert str(error).rpartition("uid-")[0] == expected
    assert bool(fields["tasks"][0]["events"]) != is_late


@pytest.mark.parametrize(
    ("reason", "message", "what"),
    [
        # As Docker, containerd and CRI-O write them.
        ("ErrImagePull", "failed to resolve reference: r.io/a:1: pull access denied, repository does not exist or may require authorization", "credentials"),
        ("ImagePullBackOff", "pulling from host r.io failed with status code [manifests 1]: 401 Unauthorized", "credentials"),
        ("ErrImagePull", "Get http://nexus:8083/v2/a/manifests/1: no basic auth credentials", "credentials"),
        ("ErrImagePull", "failed to copy: httpReadSeeker: failed open: unexpected status code: 429 Too Many Requests - toomanyrequests: limit", "limit"),
        ("ErrImagePull", "failed to resolve reference: docker.io/library/nosuch:1: not found", "the name or the tag"),
        ("ErrImagePull", "reading manifest 9 in quay.io/a/b: manifest unknown", "the name or the tag"),
        ("ErrImagePull", "failed to do request: Head: tls: failed to verify certificate: x509: certificate signed by unknown authority", "trust"),
        ("ErrImagePull", "http: server gave HTTP response to HTTPS client", "trust"),
        ("ErrImagePull", "dial tcp: lookup nohost.invalid on 10.0.0.10:53: no such host", "reach"),
        ("ErrImagePull", "no match for platform in manifest: not found", "platform"),
        ("ErrImagePull", "no matching manifest for linux/arm64/v8 in the manifest list entries", "platform"),
        ("ImagePullBackOff", 'Back-off pulling image "a:1"', "Check image, its registry and image_pull_secrets."),
        ("InvalidImageName", "Failed to apply default image tag", "Correct image."),
        ("ErrImageNeverPull", 'Container image "a" is not present with pull policy of Never', "image_pull_policy"),
        ("CreateContainerConfigError", "container has runAsNonRoot and image will run as root", "run_as_user"),
        ("CreateContainerConfigError", "couldn't find key token in Secret n/login", "Add the key token to Secret n/login first."),
        ("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "s" not found', 'Create secret "s" first.'),
        ("FailedMount", "references non-existent secret key: tls.key", "Add the key tls.key first."),
        ("FailedMount", "driver name csi.spiffe.io not found in the list of registered CSI drivers", "CSI driver"),
        ("FailedMount", 'volume mode "Ephemeral" not supported by driver csi.spiffe.io (no CSIDriver object)', "CSI driver"),
        ("StartError", 'exec: "mak": executable file not found in $PATH', "Correct command"),
        ("StartError", 'exec: "/run.sh": permission denied', "executable"),
        ("StartError", "runc create failed: Cwd must be an absolute path", "working_dir"),
        ("StartError", "error during container init: mkdir /bin/sh: not a directory", "working_dir"),
        ("StartError", 'chdir to cwd ("/root/x") set in config.json failed: permission denied', "working_dir"),
        ("StartError", 'error mounting "/v/c" to rootfs at "/etc/passwd/x": open o_path procfd: open /etc/passwd/x: not a directory', "mount_path"),
        ("InitStartError", 'exec: "mak": executable file not found in $PATH', "Correct command"),
        (
            "Unschedulable",
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available",
            "Lower resources.requests, or free or add nodes.",
        ),
        (
            "Unschedulable",
            "0/2 nodes: 1 node(s) had untolerated taint {a: b}, 1 node(s) didn't match Pod's node affinity/selector.",
            "tolerations. Correct node_s",
        ),
        ("Unschedulable", "pod has unbound immediate PersistentVolumeClaims", "StorageClass"),
        ("Unschedulable", "1 node(s) didn't have free ports for the requested pod ports.", "host_port"),
        ("Unschedulable", 'persistentvolumeclaim "data" not found', "Create the PersistentVolumeClaim first."),
        ("Unschedulable", "0/1 nodes are available: 1 cannot allocate all claims. still not schedulable", "Request fewer or other devices"),
        ("Unschedulable", "0/1 nodes are available: request gpu: device class nope.example.com does not exist.", "Correct deviceClassName"),
        ("Starting", "it has not been scheduled, which requires the ResourceClaim 'gpu'", "correct resource_claims"),
        (
            "FailedResourceClaimCreation",
            'PodResourceClaim gpu: resource claim template "a": resourceclaimtemplate.resource.k8s.io "a" not found',
            "Create the Res",
        ),
        ("FailedResourceClaimCreation", 'PodResourceClaim gpu: create ResourceClaim : "a-gpu-x" is forbidden: exceeded quota: q', "raise the quota"),
        ("FailedPrepareDynamicResources", "prepare dynamic resources: DRA driver gpu.example.com is not registered", "Start the driver"),
    ],
)
def test_a_pod_that_does_not_start_says_what_to_do(reason, message, what):
    assert what in start_hint(reason, message)


def test_nothing_is_said_where_nothing_is_known():
    assert [start_hint(reason, "x") for reason in ("Unschedulable", "FailedMount", "StartError", "CrashLoopBackOff", "")] == [""] * 5


@pytest.mark.parametrize(
    ("reason", "check_mode", "diff_mode", "is_short"),
    [("Error", False, False, True), ("Error", True, False, False), ("Error", False, True, False), (PLAN_CHANGED, False, False, False)],
)
def test_the_plan_of_a_failed_run_lacks_manifests(reason, check_mode, diff_mode, is_short):
    def run(invocation, outcome):
        raise PodwrightError("no", reason=reason)

    operation = Operation("x", REVIEW, list, run, lambda invocation, outcome: {"plan": [CREATED, CHANGED]})
    result = perform(operation, {"expect": None, "plan_file": None}, check_mode, diff_mode, Console())
    assert result["plan"] == [CREATED | {"patch": []} if is_short else CREATED, CHANGED]


def test_a_default_that_does_not_suit_an_item_names_the_item():
    defaults = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()}
    options = {"namespace": "n", "image": "i", "retry_delay": 5, "tasks": [{"name": "a"}, {"name": "b", "kind": "Job"}]}
    with pytest.raises(PodwrightError) as caught:
        task_pod.run(Invocation(defaults | options, False, False, Console()), task_pod.Tasks())
    assert str(caught.value).startswith("retry_delay: must not be set for a Job. tasks[1] ('b') has no retry_delay of its own. Kubernetes delays")


@pytest.mark.parametrize(
    ("given", "end"),
    [("/nowhere/plan.json", ", which does not exist."), ("plan.json", ", which does not exist in {cwd}."), ("sha256:12", "."), (".", ".")],
)
def test_a_plan_file_that_does_not_exist_is_named(given, end):
    operation = Operation("x", REVIEW, list, lambda *_: None, lambda *_: {})
    message = perform(operation, {"expect": given, "plan_file": None}, False, False, Console())["msg"]
    assert message.endswith(f"or the path of a plan_file, got '{given}'" + end.format(cwd=os.getcwd()))


def test_a_source_that_does_not_exist_is_named_with_the_directory_that_was_searched():
    assert str(missing_source_error("local_path", "/a")) == "local_path: not found on the host that runs this task: /a."
    expected = f"local_path: not found in {os.getcwd()} on the host that runs this task: a. A local task also searches the directory files of its role and"
    assert str(missing_source_error("local_path", "a")).startswith(expected)
    assert str(missing_source_error("local_path", "*", "No patterns.")).endswith("runs this task: *. No patterns.")
    with pytest.raises(PodwrightError, match="The kubeconfig file nowhere does not exist in "):
        read_kubeconfig("nowhere", "kubeconfig ")


@pytest.mark.parametrize(("message", "text"), [("no (403 Forbidden)", "no (403 Forbidden). Do it."), ("no.", "no. Do it."), ("(no.)", "(no.) Do it.")])
def test_a_hint_is_a_sentence_of_its_own(message, text):
    assert str(PodwrightError(message, hint="Do it.")) == text


def test_a_failure_says_what_to_raise():
    late, killed = Status("failed", "DeadlineExceeded"), Status("failed", "OOMKilled")
    assert failure_hint(spec(timeout=5, state="completed"), late) == "Raise timeout, which is 5 s, or speed up the task."
    for options in ({"timeout": 5}, {"timeout": None, "state": "running"}):
        limited = failure_hint(spec(**options), late, {"spec": {"activeDeadlineSeconds": 4}})
        assert limited.startswith("The namespace limits the lifetime of pods to 4 s")
    assert "Raise timeout" in failure_hint(spec(timeout=5), late, {"spec": {"activeDeadlineSeconds": 5}})
    assert failure_hint(spec(), killed) == "Raise resources.limits.memory." and failure_hint(spec(), Status("failed", "Error")) == ""
    assert "set retries" in failure_hint(spec(), Status("failed", "OutOfexample.com/gpu"))
    evicted = Status("failed", "EvictionByEvictionAPI", "Eviction API: evicting", 137, is_interrupted=True)
    assert failure_hint(spec("completed"), evicted).startswith("It was interrupted from outside: run it again, or set retries")
    assert not any(failure_hint(task, evicted) for task in (spec("completed", retries=1), spec("completed", kind="Job"), spec("running")))


CONVERT = "Write numbers and booleans without quotes, and variables that are text, such as those of the command line, with the filter int or bool."


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (
            ".data.a: expected string, got &value.valueUnstructured{Value:true}",
            '.data.a: expected string, got true (HTTP 500). Quote the value, such as "1" or "true".',
        ),
        (".dta: field not declared in schema", ".dta: field not declared in schema (HTTP 500). Correct the fields that the message names."),
        (".spec.replicas: expected numeric (int or float), got string", "got string (HTTP 500). " + CONVERT),
        (".spec.containers: expected list, got string", "expected list, got string (HTTP 500). Write the value as a list."),
        ("json: cannot unmarshal string into Go struct field PodDNSConfig.searches of type []string", "Write the value as a list."),
        (
            '.data.a: expected string, got &value.valueUnstructured{Value:map[string]interface {}{"a":1}}',
            "(HTTP 500). The filter to_json makes text of a mapping or a list.",
        ),
        ('.data.a: expected string, got []interface {{"a", "b"}}', "(HTTP 500). The filter to_json makes text of a mapping or a list."),
        (".spec.paused: expected boolean, got &{true}", ".spec.paused: expected boolean, got true (HTTP 500). " + CONVERT),
    ],
)
def test_a_value_of_the_wrong_type_in_a_manifest_is_shown_as_it_is_written(text, end):
    body = {"kind": "Status", "message": f"failed to create typed patch object (n/c; /v1, Kind=ConfigMap): {text}"}
    assert str(status_error(500, body, Request("PATCH", "/api/v1/namespaces/n/configmaps/c"), Configuration({"host": "https://x"}))).endswith(end)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("json: cannot unmarshal number into Go struct field ConfigMap.data of type string", 'Quote the value, such as "1" or "true".'),
        ("json: cannot unmarshal number into Go struct field Secret.data of type []uint8", 'Quote the value, such as "1" or "true".'),
        ("cannot convert int64 to string", 'Quote the value, such as "1" or "true".'),
        ("json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32", CONVERT),
        ("cannot convert string to bool", CONVERT),
        ("unrecognized type: int32", CONVERT),
        ("unrecognized type: bool", CONVERT),
        ("unrecognized type: string", "The filter to_json makes text of a mapping or a list."),
        ("json: cannot unmarshal array into Go struct field ConfigMap.data of type string", "The filter to_json makes text of a mapping or a list."),
        ("cannot restore slice from map", "Write the value as a list."),
        ('spec.ports[0].targetPort: Invalid value: "8080": must contain at least one letter (a-z)', CONVERT),
    ],
)
@pytest.mark.parametrize("value", [r'"{\"data\":{\"pw\":\"bGl2ZQ==\"}}"', r'"map[data:map[pw:bGl2ZQ==]]"'])
def test_a_patch_with_a_value_of_the_wrong_type_does_not_show_the_object(value, text, hint):
    """The API server repeats the whole object, with values of a Secret that no parameter has and nothing masks."""
    body = {"kind": "Status", "reason": "Invalid", "message": f' "" is invalid: patch: Invalid value: {value}: {text}'}
    error = status_error(422, body, Request("PATCH", "/api/v1/namespaces/n/secrets/s"), Configuration({"host": "https://x"}))
    assert error.message.endswith(f"patch: {text} (422 Invalid)") and error.hint == hint


def test_patches_that_the_api_server_cannot_merge_have_a_hint():
    request, configuration = Request("PATCH", "/apis/apps/v1/namespaces/n/deployments/d"), Configuration({"host": "https://x"})
    status = {"kind": "Status", "message": "map: map[image:x] does not contain declared merge key: name"}
    error = status_error(500, status, request, configuration)
    assert error.hint == "Add name to each item of the list: items are merged by it." and error.is_refusal
    status = {"kind": "Status", "message": "the body of the request was in an unknown format", "reason": "UnsupportedMediaType"}
    assert "omit merge_type, or set it to merge" in status_error(415, status, request, configuration).hint


def test_a_refusal_does_not_repeat_the_template_of_a_workload():
    """It may be long, and the values of its variables may be secret."""
    template = '{"Containers":[{"Env":[{"Name":"A","Value":"%s"}]}]}' % ("c4n4ry" * 100)
    causes = [
        {"field": "spec.backoffLimit", "message": "Invalid value: -1: must be 0"},
        {"field": "spec.template", "message": f"Invalid value: {template}: field is immutable"},
    ]
    text = "Job is invalid: [" + ", ".join(f"{cause['field']}: {cause['message']}" for cause in causes) + "]"
    body = {"kind": "Status", "reason": "Invalid", "message": text, "details": {"causes": causes}}
    error = status_error(422, body, Request("PATCH", "/apis/batch/v1/namespaces/n/jobs/j"), Configuration({"host": "https://x"}))
    assert error.message.endswith("[spec.backoffLimit: Invalid value: -1: must be 0, spec.template: Invalid value: {…}: field is immutable] (422 Invalid)")


def test_an_address_that_another_service_has_is_to_be_left_out():
    body = {"kind": "Status", "reason": "Invalid", "message": "spec.clusterIPs: failed to allocate IP 10.0.0.1: provided IP is already allocated"}
    error = status_error(422, body, Request("PATCH", "/api/v1/namespaces/n/services/s"), Configuration({"host": "https://x"}))
    assert error.hint.startswith("Leave out the addresses and node ports")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (422, "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"),
        (422, "spec.clusterIPs: failed to allocate IP 1.2.3.4: the provided IP (1.2.3.4) is not in the valid range."),
        (500, "duplicate nodePort: {TCP 30556}"),
    ],
)
def test_an_address_that_a_service_cannot_have_is_to_be_left_out(status, message):
    """A dry run does not find it, so that without a hint the new object seemed to be valid."""
    body = {"kind": "Status", "reason": "Invalid", "message": message}
    error = status_error(status, body, Request("PATCH", "/api/v1/namespaces/n/services/s"), Configuration({"host": "https://x"}))
    assert error.hint.startswith("Leave out clusterIP, clusterIPs or nodePort")


def test_a_missing_service_account_is_named_as_what_to_create():
    text = 'pods "m" is forbidden: error looking up service account n/nope: serviceaccount "nope" not found'
    assert admission_hint(text, "n").startswith("Create the service account in namespace 'n' first")


@pytest.mark.parametrize(
    ("command", "warnings"),
    [
        ("echo a && exit 3", ["No shell interprets command: '&&' is an argument of the program. For a shell, write [sh, -c, \"…\"]."]),
        ("sh -c 'echo a && exit 3'", []),
        ("bash -lc '$JAVA_HOME/bin/java' &&", []),
        (
            "login -p '$3cr3t/xyz'",
            ['No shell interprets command: a variable is an argument of the program. For a shell, write [sh, -c, "…"].'],
        ),  # may be secret
        ("PWD=s3cr3t dump ${HOME}/x", ['No shell interprets command: a variable is an argument of the program. For a shell, write [sh, -c, "…"].']),
        ("awk '{print $NF}' /etc/passwd", []),
        (["echo", "&&"], []),
    ],
)
def test_operators_of_a_shell_in_a_command_as_text_are_warned_of(command, warnings):
    invocation = Invocation({"command": command}, False, False, Console())
    pod_exec._warn_about_operators(invocation, command if isinstance(command, list) else shlex.split(command))
    assert invocation.console.warnings == warnings


def failed_command(monkeypatch, rc, stderr=b""):
    """The error of pod_exec for a command that fails with an exit code and that standard error."""
    process = MagicMock(rc=rc, has_started=True)
    process.__enter__.return_value = process
    process.__iter__.return_value = iter([(STDERR, stderr)] if stderr else [])
    monkeypatch.setattr(pod_exec, "Process", lambda *_arguments: process)
    params = {name: entry.get("default") for name, entry in pod_exec.ARGUMENTS.items()} | {"pod": "p"}
    run = pod_exec.Execution(Container("n", "p", "c"))
    with pytest.raises(PodwrightError) as caught:
        pod_exec._execute(Invocation(params, False, False, Console()), None, run, Command(["x"]), None)
    return caught.value


def test_a_progress_bar_leaves_room_for_the_lines_before_it(monkeypatch):
    stderr = b"No space left on device\n" + b"".join(b"%d %%\r" % part for part in range(100)) + b"\n"
    assert failed_command(monkeypatch, 1, stderr).message.splitlines()[1:] == ["  No space left on device", "  99 %"]


@pytest.mark.parametrize(("rc", "hint"), [(137, "OOMKilled"), (126, "executable"), (1, "")])
def test_the_exit_code_of_a_command_has_a_hint(monkeypatch, rc, hint):
    found = failed_command(monkeypatch, rc).hint
    assert hint in found and bool(hint) == bool(found)
