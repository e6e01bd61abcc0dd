# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks on Podman: what it gets, what its states mean, and what it cannot run. A program in place of podman answers."""

from __future__ import annotations

import json
import os
import re
import resource
import stat
import sys
import time

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import transport
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import read_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.task_pod import OPERATION
from ansible_collections.podwright.core.plugins.module_utils._engine.podman.expansion import expand
from ansible_collections.podwright.core.plugins.module_utils._engine.podman.feeds import Feed, PodFeed
from ansible_collections.podwright.core.plugins.module_utils._engine.podman.images import full_name, pull_policy
from ansible_collections.podwright.core.plugins.module_utils._engine.podman.pods import Pods
from ansible_collections.podwright.core.plugins.module_utils._engine.podman.program import Answer, Program
from ansible_collections.podwright.core.plugins.module_utils._engine.podman.status import build_status, deadline_of, read_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import runtimes
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest

from .fake_podman import INFO, FakePodman
from .stub_server import Response, StubServer
from .task_specs import spec

SECRET = "do-not-show-this"
LATE = 946684800  # seconds since the epoch: the year 2000, in which the pods of `status_of` were created


@pytest.fixture
def podman_program(monkeypatch, tmp_path):
    """Podman, each of whose commands is a process."""
    fake = FakePodman(tmp_path / "podman")
    for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "KUBERNETES_SERVICE_HOST", "PODWRIGHT_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in fake.environment.items():
        monkeypatch.setenv(name, value)
    return fake


@pytest.fixture
def podman(podman_program, monkeypatch):
    """Podman, whose commands are processes only if they follow logs."""

    def run_within(_program, *words, standard_input="", seconds=None):
        rc, output, error = podman_program.run(list(words), standard_input)
        return Answer(rc, output.encode(), error)

    monkeypatch.setattr(Program, "run", run_within)
    return podman_program


def run(check=False, **options):
    given = {"name": "job", "runtime": "podman", "image": "busybox", "state": "completed", "command": ["exit", "0"], "wait_timeout": 120} | options
    if "tasks" in options:
        given = {name: value for name, value in given.items() if name != "name"}
    checked = ArgumentSpecValidator(OPERATION.arguments, **OPERATION.rules).validate(given)
    assert not checked.error_messages
    return perform(OPERATION, checked.validated_parameters, check, False, Console(), masked=set(checked._no_log_values))


def verbs(podman):
    return [" ".join(words[:2]) for words, _text in podman.calls]


# -- results as those of Kubernetes ---------------------------------------------------------------------------


def test_second_run_changes_nothing(podman_program):
    first, second = run(logs="collect"), run(logs="collect")
    assert (first["changed"], first["rc"], first["state"], first["logs"]) == (True, 0, "succeeded", "line 1\nline 2\n")
    assert (second["changed"], second["uid"]) == (False, first["uid"])
    assert first["runtime"] == {"name": "podman", "reason": "It was requested."}
    assert verbs(podman_program).count("kube play") == 1


def test_changed_task_replaces_the_one_before(podman):
    first, second = run(), run(command=["exit", "4"])
    assert (second["changed"], second["rc"], second["reason"]) == (True, 4, "Error")
    assert second["plan"][0]["action"] == "replace" and second["uid"] != first["uid"]


def test_check_mode_predicts_and_starts_nothing(podman):
    assert run(check=True)["changed"] is True
    assert not {"kube play", "pull --quiet", "pod rm"} & set(verbs(podman))
    run()
    assert run(check=True)["changed"] is False


def test_failed_attempts_are_retried(podman):
    failed = run(command=["exit", "3"], retries=2, retry_on=[3])
    assert (failed["failed"], failed["attempt"], failed["rc"]) == (True, 3, 3)


def test_deadline_stops_a_task(podman):
    failed = run(command=["sleep"], timeout=1)
    assert (failed["reason"], failed["state"]) == ("DeadlineExceeded", "failed")
    assert "pod stop" in verbs(podman)
    assert "Raise timeout" in failed["msg"]


def test_sidecars_are_stopped_with_their_task(podman_program):
    assert run(containers=[{"name": "proxy", "command": ["sleep"]}])["state"] == "succeeded"
    deadline = time.monotonic() + 20
    while "pod stop" not in verbs(podman_program) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "pod stop" in verbs(podman_program)


def test_cleanup_leaves_a_record(podman):
    first = run(cleanup="always", logs="collect")
    assert podman.pods == {} and first["state"] == "succeeded"
    second = run(cleanup="always", logs="collect")
    assert (second["changed"], second["recorded"], second["logs"]) == (False, True, "line 1\nline 2\n")
    files = list((podman.storage / "podwright").iterdir())
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] and stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700
    assert run(state="absent", command=None, image=None)["changed"] is True
    assert not list((podman.storage / "podwright").iterdir())


def test_absent_deletes_with_the_grace_period(podman):
    run(state="running", command=["sleep"])
    assert run(state="absent", grace_period=7)["changed"] is True
    assert [words for words, _text in podman.calls if words[:2] == ["pod", "rm"]] == [["pod", "rm", "--force", "--time", "7", "job.default"]]
    assert run(state="absent")["changed"] is False


def test_batch_runs_and_prunes(podman):
    tasks = [{"name": "a"}, {"name": "b", "needs": ["a"]}]
    assert run(tasks=tasks, set="s")["summary"] == {"succeeded": 2, "total": 2}
    assert run(tasks=tasks[:1], set="s", prune=True)["changed"] is True
    assert list(podman.pods) == ["a.default"]


@pytest.mark.parametrize("options", [{}, {"state": "running", "command": ["sleep"]}])
def test_set_of_a_task_changes_without_another_pod(podman, options):
    first = run(**options)
    predicted, changed = run(check=True, set="s", **options), run(set="s", **options)
    assert (predicted["changed"], changed["changed"], changed["failed"], changed["uid"]) == (True, True, False, first["uid"]), changed["msg"]
    assert run(set="s", **options)["changed"] is False
    removed = run(**options)
    assert (removed["changed"], removed["uid"]) == (True, first["uid"]) and run(check=True, **options)["changed"] is False
    run(set="s", **options)
    run(tasks=[{"name": "other"}], set="s", prune=True)
    assert list(podman.pods) == ["other.default"] and not list((podman.storage / "podwright/changes").iterdir())


def test_pods_of_others_are_left_alone(podman):
    run(namespace="one")
    run(namespace="two", command=["exit", "1"])
    assert list(podman.pods) == ["job.one", "job.two"]
    pods = podman.pods | {"other.default": {"labels": {"app.kubernetes.io/managed-by": "podwright"}, "created": "?", "containers": {}}}
    (podman.directory / "pods.json").write_text(json.dumps(pods))
    failed = run(name="other")
    assert (failed["failed"], failed["reason"]) == (True, "AlreadyExists")
    assert "other.default" in podman.pods


# -- failures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "error", "reason"),
    [
        ("pull", "Error: dial tcp: no such host\n", "ErrImagePull"),
        ("pull", "Error: parsing: invalid reference format\n", "InvalidImageName"),
        ("kube play", "Error: statfs /nowhere: no such file or directory\n", "CreateContainerError"),
    ],
)
def test_task_that_cannot_start_fails_at_once(podman, words, error, reason):
    podman.answer(words, error=error, rc=125)
    failed = run()
    assert (failed["failed"], failed["reason"], failed["rc"]) == (True, reason, None)
    assert error.strip().removeprefix("Error: ") in failed["msg"]
    assert podman.pods == {}


def test_name_of_an_image_is_never_an_option(podman):
    podman.answer("image exists", rc=1)
    run(image="--creds.x/y")
    assert [words for words, _text in podman.calls if "--creds.x/y" in words] == [["pull", "--quiet", "--", "--creds.x/y"]]


@pytest.mark.parametrize(
    ("kind", "path", "reason"),
    [("Directory", "/etc/passwd", "CreateContainerError"), ("File", "/etc", "CreateContainerError"), ("File", "/etc/passwd", "Completed")],
)
def test_types_of_host_paths_are_checked(podman, kind, path, reason):
    result = run(volumes=[{"name": "v", "mount_path": "/d", "host_path": {"path": path, "type": kind}}])
    assert result["reason"] == reason
    assert ("kube play" in verbs(podman)) == (reason == "Completed")


@pytest.mark.parametrize("options", [{}, {"stdin": "x"}, {"secret_env": {"T": SECRET}}])
def test_a_pod_that_another_run_starts_meanwhile_is_adopted(podman, monkeypatch, options):
    answer, started = Program.run, []
    options |= {"state": "running", "command": ["sleep"]}

    def run_after_another(program, *words, **others):
        if words[:2] == ("kube", "play") and not started:
            started.append(None)
            started.append(run(**options)["uid"])
        return answer(program, *words, **others)

    monkeypatch.setattr(Program, "run", run_after_another)
    result = run(**options)
    assert (result["uid"], result["changed"]) == (started[1], False), result["msg"]


def test_errors_of_podman_are_reported_without_urllib3(podman, monkeypatch):
    def fail(_feed, _size):
        monkeypatch.delitem(sys.modules, "urllib3", raising=False)
        monkeypatch.setattr(sys, "meta_path", [])
        yield b"\n"
        raise PodwrightError("database is locked", status=422, reason="PodmanFailed")

    monkeypatch.setattr(PodFeed, "stream", fail)
    assert run(command=["sleep"])["reason"] == "PodmanFailed"


def test_pull_policy_never_needs_the_image(podman):
    podman.answer("image exists", rc=1)
    assert run(image_pull_policy="Never")["reason"] == "ErrImageNeverPull"
    assert "pull --quiet" not in verbs(podman)


def test_pull_that_takes_too_long_is_terminated_and_reported(podman_program):
    podman_program.hang("pull")
    started = time.monotonic()
    failed = run(wait_timeout=3)
    assert failed["reason"] == "ErrImagePull"
    assert re.search(r"'docker.io/library/busybox' could not be pulled: it did not finish within [0-3] s", failed["msg"])
    assert time.monotonic() - started < 20 and podman_program.pods == {}


@pytest.mark.parametrize(("options", "reason"), [({"wait_timeout": 4}, "CreateContainerError"), ({"timeout": 2}, "DeadlineExceeded")])
def test_init_containers_do_not_exceed_timeouts(podman_program, options, reason):
    podman_program.hang("kube play")
    started = time.monotonic()
    failed = run(init_containers=[{"name": "i", "command": ["sleep"]}], **options)
    assert (failed["reason"], failed["state"]) == (reason, "failed"), failed["msg"]
    assert time.monotonic() - started < 40 and "pod rm" in verbs(podman_program)


def test_command_that_never_exits_is_terminated(podman_program, monkeypatch):
    podman_program.hang("pod ps")
    monkeypatch.setattr(Program.run, "__kwdefaults__", {"standard_input": "", "seconds": 3})
    failed = run()
    assert failed["reason"] == "PodmanFailed" and "'podman pod ps' failed" in failed["msg"] and "did not finish within" in failed["msg"]


def test_log_that_never_finishes_is_not_waited_for(podman_program, monkeypatch):
    podman_program.hang("logs")
    monkeypatch.setattr("ansible_collections.podwright.core.plugins.module_utils._engine.podman.client.COMMAND_SECONDS", 0.5)
    assert run(logs="collect")["state"] == "succeeded"


@pytest.mark.parametrize("policies", [("Always", "IfNotPresent"), ("IfNotPresent", "Always"), ("Never", "Always")])
def test_strictest_pull_policy_of_an_image_counts(podman, policies):
    first, second = policies
    others = [{"name": "b", "image": "docker.io/library/busybox:1", "image_pull_policy": second, "command": ["exit", "0"]}]
    run(image="busybox:1", image_pull_policy=first, containers=others)
    assert verbs(podman).count("pull --quiet") == 1


def test_feed_waits_with_many_open_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    files = [os.open("/dev/null", os.O_RDONLY) for _number in range(1100)]
    try:
        feed = Feed()
        assert feed._wait(0)
        feed.close()
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_missing_command_leaves_no_pod(podman_program):
    failed = run(command=["missing"], retries=1)
    assert (failed["reason"], failed["rc"], failed["attempt"]) == ("StartError", 128, 2)
    assert podman_program.pods == {}


@pytest.mark.parametrize("remover", ["kube play", "pod rm"])
def test_a_pod_that_could_not_be_started_exists_until_it_has_failed(podman, monkeypatch, remover):
    """Podman may also have removed it itself."""
    pods, answer, looks = Pods(Program(), Clock()), Program.run, []

    def run_and_look(program, *words, **options):
        found = answer(program, *words, **options)
        if " ".join(words[:2]) == remover:
            pods.select(lambda _pod: True)
            answer(program, "pod", "rm", "job.n")
            looks.append([pod["metadata"]["uid"] for pod in pods.select(lambda _pod: True)])
        return found

    monkeypatch.setattr(Program, "run", run_and_look)
    failed = pods.start(pods.identify(build_manifest(spec(name="job", command=["missing"]), "baseline")), {})
    assert looks == [[failed["metadata"]["uid"]]] and podman.pods == {}
    assert [read_pod(pod).reason for pod in pods.select(lambda _pod: True)] == ["StartError"]


# -- secrets --------------------------------------------------------------------------------------------------


def test_secrets_reach_podman_by_standard_input_alone(podman_program):
    result = run(command=["sh", "-c", "x"], stdin=SECRET, secret_env={"TOKEN": SECRET}, state="running")
    words = [word for words, _text in podman_program.calls for word in words]
    assert SECRET not in json.dumps(words)
    config_map, pod = map(json.loads, next(text for words, text in podman_program.calls if words[0] == "kube").split("\n---\n"))
    assert config_map["data"] == {"stdin": SECRET}
    assert {"name": "TOKEN", "value": SECRET} in pod["spec"]["containers"][0]["env"]
    assert SECRET not in json.dumps(pod["metadata"])
    files = [path.read_text() for path in podman_program.directory.rglob("*") if path.is_file() and path.name not in ("calls", "podman")]
    assert not any(SECRET in text for text in files)
    assert SECRET not in json.dumps(result)
    run(state="absent")
    assert ["volume", "rm", "--force", "job.default__private"] in [words for words, _text in podman_program.calls]


# -- what Podman gets -----------------------------------------------------------------------------------------


def test_manifest_is_that_of_kubernetes_made_explicit(podman):
    run(
        command=["sh", "-c", "echo $(B) $$(C) $(UNKNOWN)"],
        env={"A": "1", "B": "x$(A)", "NAME": {"field": "metadata.name"}, "TIER": {"field": "metadata.labels['tier']"}},
        labels={"tier": "back"},
        shared_workspace="/work",
        state="running",
    )
    pod = json.loads(next(text for words, text in podman.calls if words[0] == "kube"))
    container = pod["spec"]["containers"][0]
    assert container["command"] == ["sh", "-c", "echo x1 $(C) $(UNKNOWN)"]
    assert container["env"] == [{"name": name, "value": value} for name, value in {"A": "1", "B": "x1", "NAME": "job", "TIER": "back"}.items()]
    assert (container["image"], container["imagePullPolicy"]) == ("docker.io/library/busybox", "Never")
    assert container["volumeMounts"] == [{"name": "job.default_workspace", "mountPath": "/work"}]
    assert pod["spec"]["volumes"] == [{"name": "job.default_workspace", "emptyDir": {}}]
    assert (pod["metadata"]["name"], pod["spec"]["hostname"]) == ("job.default", "job")


def test_any_character_reaches_podman(podman):
    """YAML, as which Podman reads it, has no surrogate pairs and forbids some characters."""
    text = "say \U0001f600\x7f\x85\ufeff\ufffe\u2028é\x1b"
    run(command=["echo", text], state="running")
    played = next(written for words, written in podman.calls if words[0] == "kube")
    assert yaml.safe_load(played)["spec"]["containers"][0]["command"] == ["echo", text]


def test_ports_are_opened_on_the_host_only_if_they_have_a_host_port(podman):
    run(ports=[8099, {"containerPort": 80, "hostPort": 8100}], state="running", command=["sleep"])
    pod = json.loads(next(text for words, text in podman.calls if words[0] == "kube"))
    assert pod["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 8100}]


def test_names_of_different_pods_differ(podman):
    """No volume has the name of the one with the standard input either."""

    def mount(name):
        return [{"name": name, "mount_path": "/d", "empty_dir": {}}]

    run(
        name="x",
        namespace="build",
        wait=False,
        stdin="a",
        volumes=[*mount("ci-data"), *mount("private")],
        containers=[{"name": "ci-task", "command": ["exit", "0"]}],
    )
    run(name="x", namespace="build-ci", wait=False, stdin="a", volumes=mount("data"))
    documents = [json.loads(document) for words, text in podman.calls if words[0] == "kube" for document in text.split("\n---\n")]
    volumes = [volume["name"] for document in documents for volume in document.get("spec", {}).get("volumes", []) if "emptyDir" in volume]
    names = volumes + [document["metadata"]["name"] for document in documents]
    containers = [name for pod in podman.pods.values() for name in pod["containers"]]
    assert len(names) == len(set(names)) == 7 and len(containers) == len(set(containers)) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$(A)", "1"), ("$$(A)", "$(A)"), ("$$$(A)", "$1"), ("$(B)", "$(B)"), ("$A", "$A"), ("a$", "a$"), ("$(A", "$(A"), ("$(A)$(A)", "11"), ("$()", "$()")],
)
def test_expansion(text, expected):
    assert expand(text, {"A": "1"}) == expected


@pytest.mark.parametrize(
    ("image", "name", "policy"),
    [
        ("busybox", "docker.io/library/busybox", "Always"),
        ("busybox:1", "docker.io/library/busybox:1", "IfNotPresent"),
        ("a/b:latest", "docker.io/a/b:latest", "Always"),
        ("quay.io/a/b", "quay.io/a/b", "Always"),
        ("localhost/b:2", "localhost/b:2", "IfNotPresent"),
        ("registry:5000/b", "registry:5000/b", "Always"),
        ("Registry/app", "Registry/app", "Always"),
        ("b@sha256:12", "docker.io/library/b@sha256:12", "IfNotPresent"),
    ],
)
def test_images_have_the_names_and_policies_of_kubernetes(image, name, policy):
    assert (full_name(image), pull_policy({"image": image})) == (name, policy)


# -- states ---------------------------------------------------------------------------------------------------


def status_of(state, policy="Never", limits=None, deadline=None, restarts=0, now=LATE + 10, is_starting=False):
    container = {"name": "task", "image": "i", "resources": {"limits": limits or {}}}
    spec = {"containers": [container], "restartPolicy": policy} | ({"activeDeadlineSeconds": deadline} if deadline else {})
    pod = {"metadata": {"name": "p", "namespace": "n", "creationTimestamp": "2000-01-01T00:00:00Z"}, "spec": spec}
    inspected = [{"Id": "1", "Name": "p.n-_task", "State": state, "RestartCount": restarts}] if state else []
    return read_pod(pod | {"status": build_status(pod, inspected, now, "host", is_starting)})


def terminated(code, seconds=5, **others):
    return {"Status": "exited", "ExitCode": code, "StartedAt": "2000-01-01T00:00:01.123456789Z", "FinishedAt": f"2000-01-01T00:00:{seconds:02}Z"} | others


RUNNING = {"Status": "running", "StartedAt": "2000-01-01T01:00:00+01:00"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"state": None, "is_starting": True}, ("pending", "Starting")),
        ({"state": {"Status": "created"}, "now": LATE + 59}, ("pending", "Starting")),
        ({"state": {"Status": "created"}, "now": LATE + 61}, ("failed", "Terminated")),
        ({"state": {"Status": "created"}, "now": LATE + 61, "is_starting": True}, ("pending", "Starting")),
        ({"state": RUNNING}, ("running", "")),
        ({"state": RUNNING, "policy": "Always", "restarts": 5, "now": LATE + 3}, ("pending", "CrashLoopBackOff")),
        ({"state": RUNNING, "policy": "Always", "restarts": 5}, ("running", "")),
        ({"state": terminated(0)}, ("succeeded", "Completed")),
        ({"state": terminated(3)}, ("failed", "Error")),
        ({"state": terminated(137)}, ("failed", "Error")),
        ({"state": terminated(137), "limits": {"memory": "1Gi"}}, ("failed", "OOMKilled")),
        ({"state": terminated(1, OOMKilled=True)}, ("failed", "OOMKilled")),
        ({"state": terminated(137, 9), "limits": {"memory": "1Gi"}, "deadline": 9}, ("failed", "DeadlineExceeded")),
        ({"state": terminated(3, 8), "deadline": 9}, ("failed", "Error")),
        ({"state": terminated(127, StartedAt="0001-01-01T00:00:00Z")}, ("failed", "StartError")),
        ({"state": terminated(0, 5), "policy": "Always", "now": LATE + 6}, ("pending", "Starting")),
        ({"state": terminated(0, 5), "policy": "Always", "now": LATE + 20}, ("failed", "Shutdown")),
        ({"state": terminated(1, 5), "policy": "Always", "restarts": 4, "now": LATE + 6}, ("pending", "CrashLoopBackOff")),
    ],
)
def test_states_of_containers(options, expected):
    status = status_of(**options)
    assert (status.state, status.reason) == expected
    assert status.is_interrupted == (status.reason in ("Terminated", "Shutdown"))


@pytest.mark.parametrize(
    ("finished", "code", "expected"),
    [("05.1", 0, ("succeeded", "Completed")), ("05.9", 137, ("failed", "Error")), ("05.96", 137, ("failed", "DeadlineExceeded"))],
)
def test_deadline_is_as_precise_as_podman(finished, code, expected):
    manifest = {
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"containers": [{"name": "task", "image": "i"}], "restartPolicy": "Never", "activeDeadlineSeconds": 5},
    }
    labels = {"podwright.io/uid": "u", "podwright.io/manifest": json.dumps(manifest | {"metadata": manifest["metadata"] | {"labels": {}}})}
    pod = read_manifest({"Name": "p.n", "Created": "2000-01-01T00:00:00.951234567Z", "Labels": labels})
    state = terminated(code, StartedAt="2000-01-01T00:00:00.97Z", FinishedAt=f"2000-01-01T00:00:{finished}Z")
    assert deadline_of(pod) == pytest.approx(LATE + 5.951234, abs=1e-5)
    status = read_pod(pod | {"status": build_status(pod, [{"Id": "1", "Name": "p.n-_task", "State": state}], LATE + 10, "host", False)})
    assert (status.state, status.reason) == expected


@pytest.mark.parametrize(
    "labels",
    [{}, {"podwright.io/manifest": "["}, {"podwright.io/manifest": "{}"}, {"podwright.io/manifest": json.dumps({"metadata": None, "spec": {}})}],
)
def test_pods_without_a_manifest_are_none_of_ours(labels):
    assert read_manifest({"Name": "p.n", "Created": "2000-01-01T00:00:00Z", "Labels": labels}) is None


# -- what Podman cannot run -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"kind": "Job"}, "kind"),
        ({"network": "isolated"}, "network"),
        ({"queue": "builds"}, "queue"),
        ({"parent": "other"}, "parent"),
        ({"spiffe": "/run"}, "spiffe"),
        ({"service_account": "a"}, "service_account"),
        ({"image_pull_secrets": ["a"]}, "image_pull_secrets"),
        ({"node_selector": {"a": "b"}}, "node_selector"),
        ({"affinity": {"node_affinity": {}}}, "affinity"),
        ({"priority_class": "a"}, "priority_class"),
        ({"topology_spread": ["zone"]}, "topology_spread"),
        ({"fs_group": 5}, "fs_group"),
        ({"seccomp": "Unconfined"}, "seccomp"),
        ({"run_as_non_root": True}, "run_as_non_root"),
        ({"resources": {"limits": {"nvidia.com/gpu": 1}}}, "resources.limits.nvidia.com/gpu"),
        ({"liveness_probe": {"tcp": 80}}, "liveness_probe"),
        ({"volumes": [{"name": "v", "mount_path": "/v", "claim": "c"}]}, "volumes[0]"),
        ({"volumes": [{"name": "v", "mount_path": "/v", "sub_path": "s", "empty_dir": {}}]}, "volumes"),
        ({"env": {"A": {"secret": "s", "key": "k"}}}, "env.A"),
        ({"env_from": [{"secret": "s"}]}, "env_from"),
        ({"containers": [{"name": "c", "lifecycle": {"pre_stop": {"sleep": {"seconds": 1}}}}]}, "containers[0].lifecycle"),
        ({"ttl": 5}, "ttl"),
        ({"volumes": [{"name": "v", "mount_path": "/a:ro", "empty_dir": {}}]}, "volumes[0].mount_path"),
        ({"shared_workspace": "/a:ro"}, "shared_workspace"),
        ({"stdin": "\n\nx: 1\n", "command": ["cat"]}, "stdin"),
        ({"env": {"A": "\n-a\n+b\n"}}, "env.A"),
        ({"env": {"A": "$(B)b", "B": "x"}, "secret_env": {"C": "\n"}}, "secret_env.C"),
        ({"command": ["sh", "-c", "\n  set -e\n  echo a\n"]}, "command"),
        ({"args": ["x", "\techo a\necho b"]}, "args"),
        ({"env": {"A": " a\n"}, "args": ["$(A)"]}, "env.A"),
        ({"containers": [{"name": "c", "command": ["\n"]}]}, "containers[0].command"),
        ({"schedule_timeout": 5}, "schedule_timeout"),
        ({"results": {"a": "/output/a"}}, "results.a"),
        ({"inputs": [{"path": "/a", "content": "b"}]}, "inputs"),
        ({"definition": {"spec": {"affinity": {"nodeAffinity": {}}}}}, "definition or patches (affinity)"),
        ({"definition": {"spec": {"containers": [{"name": "x"}]}}}, "definition or patches (containers[0].image)"),
        ({"patches": [{"op": "add", "path": "/spec/hostPID", "value": True}]}, "definition or patches (host_pid)"),
    ],
)
def test_what_podman_lacks_is_refused_by_name(podman, options, path):
    failed = run(**options)
    assert failed["reason"] == "BadOption"
    assert failed["msg"].startswith(f"{path}: must "), failed["msg"]
    assert set(verbs(podman)) == {"info --format"}


def test_option_of_an_item_is_named(podman):
    assert run(tasks=[{"name": "a"}, {"name": "b", "queue": "q"}])["msg"].startswith("tasks[1].queue: must not be set")


# -- the choice -----------------------------------------------------------------------------------------------


def test_auto_falls_back_without_a_cluster(podman):
    result = run(runtime="auto")
    assert result["runtime"]["name"] == "podman" and "No cluster is configured" in result["runtime"]["reason"]
    assert len(result["warnings"]) == 1 and "No cluster is configured" in result["warnings"][0]
    refused = run(runtime="auto", queue="q", name="other")
    assert refused["msg"].startswith("queue: ") and "No cluster is configured" in refused["msg"]


def test_auto_falls_back_if_the_server_does_not_respond(podman):
    result = run(runtime="auto", host="http://127.0.0.1:9")
    assert result["runtime"]["name"] == "podman" and "http://127.0.0.1:9" in result["runtime"]["reason"]


@pytest.mark.parametrize("options", [{"host": "no-url"}, {"kubeconfig": "/nonexistent"}])
def test_auto_does_not_hide_invalid_connection_options(podman, options):
    assert run(runtime="auto", **options)["failed"] is True
    assert podman.calls == []


def test_auto_falls_back_if_the_file_that_the_environment_names_does_not_exist(podman, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    assert run(runtime="auto")["runtime"]["name"] == "podman"


def test_auto_without_either_names_both(podman, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("ansible_collections.podwright.core.plugins.module_utils._engine.podman.program._DIRECTORIES", str(tmp_path))
    failed = run(runtime="auto")
    assert failed["reason"] == "NoRuntime"
    assert "No cluster is configured" in failed["msg"] and "podman is not installed" in failed["msg"]


def test_auto_does_not_hide_a_plugin_that_fails(podman):
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "false", "interactiveMode": "Never"}
    names = {"cluster": "c", "user": "u"}
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": names}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"exec": plugin}}],
    }
    assert run(runtime="auto", kubeconfig=config)["reason"] == "ExecPlugin" and podman.calls == []


def test_auto_does_not_take_a_missing_library_for_a_missing_cluster(podman, monkeypatch):
    def fail(name):
        raise PodwrightError(f"{name} is not installed", reason="MissingLibrary")

    monkeypatch.setattr(transport, "load", fail)
    assert run(runtime="auto", host="http://127.0.0.1:9")["reason"] == "MissingLibrary" and podman.calls == []
    assert run(runtime="auto")["runtime"]["name"] == "podman"


@pytest.mark.parametrize(("failures", "expected"), [(1, ("HTTP 403", False)), (2, ("Completed", True))])
def test_auto_asks_a_server_that_reports_a_fault_of_its_own_again(failures, expected, podman, monkeypatch):
    monkeypatch.setattr(runtimes, "_PAUSE", 0)
    answers = [Response(503)] * failures
    with StubServer(lambda handler: answers.pop() if answers else Response(403)) as server:
        result = run(runtime="auto", host=server.url)
        assert not answers and (result.get("reason"), "runtime" in result) == expected


def test_kubernetes_is_the_default_and_needs_no_podman(podman):
    failed = run(runtime="kubernetes")
    assert failed["reason"] == "NoConfiguration" and podman.calls == []


@pytest.mark.parametrize(
    ("output", "rc", "why"),
    [
        ("", 125, "failed: exit code 125"),
        ("not json", 0, "its output is invalid"),
        ("[]", 0, "its output is invalid"),
        (json.dumps(INFO | {"version": {"Version": "3.4.4"}}), 0, "its output is invalid"),
        (json.dumps(INFO | {"version": {"Version": "4.2.9"}, "store": {"graphRoot": "/s"}}), 0, "version 4.2.9"),
        (json.dumps(INFO | {"store": {"graphRoot": "/s"}, "host": {"serviceIsRemote": True}}), 0, "client of another machine"),
    ],
)
def test_unusable_podman_says_why(podman_program, output, rc, why):
    podman_program.answer("info", output, rc=rc)
    with pytest.raises(PodwrightError, match=why):
        Program()


@pytest.mark.parametrize("answer", ["", "null", '[{"Name": 1}, 5, {"Labels": {"a": "b"}}]'])
def test_odd_lists_are_empty(podman, answer):
    run()
    podman.answer("pod ps", answer)
    assert run(check=True)["changed"] is True


@pytest.mark.parametrize("answer", ["{}", "not json", '[{"Name": "job.de'])
def test_what_is_no_list_does_not_count_as_an_empty_one(podman, answer):
    run()
    podman.answer("pod ps", answer)
    failed = run(state="absent")
    assert failed["reason"] == "PodmanFailed" and "'podman pod ps'" in failed["msg"] and "not a list in JSON" in failed["msg"]


def test_output_that_is_too_large_is_not_cut(podman_program, monkeypatch):
    monkeypatch.setattr("ansible_collections.podwright.core.plugins.module_utils._engine.podman.program.MAX_OUTPUT", 1 << 20)
    podman_program.answer("pod ps", "[" + " " * (1 << 20) + "]")
    failed = run(state="absent")
    assert failed["reason"] == "PodmanFailed" and "larger than 1 MiB" in failed["msg"]


@pytest.mark.parametrize("error", ["Error: database is locked\n", "Error: inspecting object: no such container id-job.default-_task\n"])
def test_task_whose_containers_cannot_be_inspected_is_not_replaced(podman, error):
    """Neither if that fails, nor if a container was removed since the pod was listed."""
    first = run(command=["sleep"], wait=False)
    pods = podman.pods
    pods["job.default"]["created"] = "2026-11-28T00:00:00+00:00"
    (podman.directory / "pods.json").write_text(json.dumps(pods))
    podman.answer("container inspect", "[]", error, 125)
    again = run(command=["sleep"], wait=False)
    assert "pod rm" not in verbs(podman) and not again["changed"]
    assert again["uid"] == first["uid"] if "no such" in error else again["reason"] == "PodmanFailed"


def test_unknown_existence_is_not_absence(podman):
    podman.answer("image exists", error="Error: database is locked\n", rc=125)
    failed = run(image_pull_policy="Never")
    assert failed["reason"] == "PodmanFailed" and "database is locked" in failed["msg"]


def test_failing_podman_is_reported(podman_program):
    podman_program.answer("pod ps", error="Error: database is locked\n", rc=125)
    failed = run()
    assert failed["reason"] == "PodmanFailed" and "database is locked" in failed["msg"] and os.uname().nodename in failed["msg"]
