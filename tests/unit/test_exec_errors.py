# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of commands say what failed, why and what to do, and which of them allow a retry."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec_errors
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

CONTAINER = Container("default", "web", "task")
NO_SHELL = (
    'failed to exec in container: OCI runtime exec failed: exec failed: unable to start container process: exec: "sh": executable file not found in $PATH'
)
NO_ENV, NO_PROGRAM = NO_SHELL.replace('"sh"', '"env"'), NO_SHELL.replace('"sh"', '"nope"')
NOT_RUNNING = "unable to upgrade connection: container not found"
RESTARTED = "pod does not exist"  # says a kubelet that has just been started
NO_RUNTIME = (
    'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix /run/containerd.sock: connection refused"'
)
# A container that has terminated, before the kubelet knows it: of containerd, runc, CRI-O and Docker.
TERMINATED = (
    "error executing command in container: failed to exec in container: failed to load task: no running task found: not found",
    "failed to exec in container: container is in CONTAINER_EXITED state",
    "OCI runtime exec failed: exec failed: cannot exec in a stopped container: unknown",
    "OCI runtime exec failed: exec failed: cannot exec in a stopped state: unknown",
    "oci runtime error: exec failed: cannot exec a container that has run and stopped",
    "OCI runtime exec failed: exec failed: cannot exec a container that has stopped: unknown",
    "rpc error: code = Unknown desc = container is not created or running",
    "Error response from daemon: Container 4f1e is not running",
)
NO_ANSWER = "failed to exec in container: failed to load task: context deadline exceeded: deadline exceeded"


@pytest.mark.parametrize(
    ("message", "command", "hint", "reason"),
    [
        (NO_SHELL, Command(["x"], timeout=1), "The image has no shell.", "NoShell"),
        (NO_SHELL.replace('"sh"', '"/bin/sh"'), Command(["/bin/sh", "-c", "x"]), "The image has no shell.", "NoShell"),
        (NO_SHELL, Command(["x"], chdir="/tmp"), "The option chdir needs a shell in the image.", "NoShell"),
        (NO_ENV, Command(["x"], env={"A": "b"}), "The option env needs the program env in the image.", "InternalError"),
        (NO_PROGRAM, Command(["nope"]), "Check that the program exists in the image.", "InternalError"),
        (NOT_RUNNING, Command(["x"]), "The container does not run. Wait for it, or check its state with pod_info.", "InternalError"),
        (
            NO_ANSWER,
            Command(["x"]),
            "The container runtime does not respond. Check the node (pod_info returns its name), or create the pod again.",
            "InternalError",
        ),
        ("something else", Command(["x"]), "", "InternalError"),
    ],
)
def test_failures_of_the_runtime_are_explained(message, command, hint, reason):
    error = exec_errors.explain_failure(PodwrightError(message, reason="InternalError"), CONTAINER, command, OnePod())
    assert error.message == f"The command in container 'task' of pod 'web' in namespace 'default' could not be run: {message}"
    assert (error.hint, error.reason) == (hint, reason)


def test_a_container_that_does_not_run_is_no_failure_of_the_api_server():
    error = exec_errors.explain_failure(
        PodwrightError(NOT_RUNNING, status=500, reason="HTTP 500", hint="Check the API server."), CONTAINER, Command(["x"]), OnePod()
    )
    assert error.hint == "The container does not run. Wait for it, or check its state with pod_info."


def test_a_runtime_that_does_not_run_is_no_failure_of_the_api_server():
    error = exec_errors.explain_failure(
        PodwrightError(NO_RUNTIME, status=500, reason="HTTP 500", hint="Check the API server."), CONTAINER, Command(["x"]), OnePod()
    )
    assert error.hint.startswith("The container runtime does not respond. Check the node")


@pytest.mark.parametrize("error", [PodwrightError("explained", hint="Do this."), PodwrightError("refused", status=403, reason="Forbidden")])
def test_explained_failures_are_unchanged(error):
    assert exec_errors.explain_failure(error, CONTAINER, Command(["x"]), OnePod()) is error


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        *((message, True) for message in (NOT_RUNNING, NO_ANSWER, RESTARTED, NO_RUNTIME, *TERMINATED)),
        *((message, False) for message in (NO_SHELL, NO_PROGRAM, "the server is not running", "")),
    ],
)
def test_only_commands_that_have_not_started_can_be_retried(message, expected):
    assert exec_errors.has_not_started(PodwrightError(message)) == expected


@pytest.mark.parametrize(
    ("status", "reason", "message", "expected"),
    [
        (400, "HTTP 400", "unable to negotiate protocol", True),
        (403, "HTTP 403", "", True),
        (403, "Forbidden", "pods is forbidden", False),
        (500, "HTTP 500", NOT_RUNNING, False),
        (500, "HTTP 500", NO_RUNTIME, False),
        (404, "NotFound", "", False),
    ],
)
def test_refused_protocol_is_distinguished_from_a_refused_command(status, reason, message, expected):
    assert exec_errors.is_protocol_refused(PodwrightError(message, status=status, reason=reason)) == expected


class OnePod:
    """A client of a pod with two containers, the status of whose `task` is given, or of one that must not be read."""

    def __init__(self, error=None, init=None, phase="Pending", policy="Always", **state):
        self._error, self._init, self._phase, self._policy, self._state = error, init or [], phase, policy, state

    def get(self, _kind, _namespace, _name):
        if self._error:
            raise self._error
        statuses = [{"name": "task", "state": self._state}]
        status = {"phase": self._phase, "initContainerStatuses": self._init, "containerStatuses": statuses}
        spec = {"restartPolicy": self._policy, "containers": [{"name": "task"}, {"name": "web"}], "initContainers": [{"name": "proxy"}]}
        return {"metadata": {"name": "web"}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("state", "problem", "hint"),
    [
        (
            {"waiting": {"reason": "ErrImagePull", "message": "a:1: not found"}},
            "the container does not run: ErrImagePull: a:1: not found",
            "Correct the name or",
        ),
        ({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, "the container does not run: CrashLoopBackOff: back-off 10s", "Read its log"),
        ({"policy": "Never", "terminated": {"exitCode": 3}}, "the container has terminated with exit code 3", "Create the pod again. The files"),
        ({"policy": "OnFailure", "terminated": {"exitCode": 3}}, "the container has terminated with exit code 3", "Its node starts it again"),
        ({"terminated": {"exitCode": 3}}, "the container has terminated with exit code 3", "Its node starts it again"),
        ({"phase": "Failed", "terminated": {"exitCode": 3}}, "the container has terminated with exit code 3", "Create the pod again. The files"),
        (
            {"phase": "Failed", "init": [{"name": "proxy", "state": {"terminated": {"exitCode": 1}}}], "waiting": {"reason": "PodInitializing"}},
            "the pod has terminated: the init container 'proxy' failed with exit code 1",
            "Create the pod again.",
        ),
        ({"waiting": {"reason": "ContainerCreating"}}, NOT_RUNNING, "The container does not run. Wait for it"),
        ({}, NOT_RUNNING, "The container does not run. Wait for it"),
    ],
)
def test_a_container_that_does_not_run_says_why(state, problem, hint):
    error = exec_errors.explain_failure(PodwrightError(NOT_RUNNING, status=500), CONTAINER, Command(["x"]), OnePod(**state))
    assert error.message == f"The command in container 'task' of pod 'web' in namespace 'default' could not be run: {problem}"
    assert error.hint.startswith(hint)


def test_an_init_container_that_has_finished_is_named_as_such():
    init = [{"name": "proxy", "state": {"terminated": {"exitCode": 0}}}]
    container = Container("default", "web", "proxy")
    error = exec_errors.explain_failure(PodwrightError(NOT_RUNNING, status=500), container, Command(["x"]), OnePod(init=init, phase="Running"))
    assert error.hint == "An init container does not run again: set container to one that runs."


def test_a_container_that_waits_for_an_init_container_says_what_holds_that_up():
    init = [{"name": "proxy", "state": {"waiting": {"reason": "ErrImagePull", "message": "a:1: not found"}}}]
    error = exec_errors.explain_failure(
        PodwrightError(NOT_RUNNING, status=500), CONTAINER, Command(["x"]), OnePod(init=init, waiting={"reason": "PodInitializing"})
    )
    assert "could not be run: the container has not started: " in error.message and "a:1: not found" in error.message
    assert error.hint.startswith("Correct the name or")


def test_a_container_whose_pod_must_not_be_read_is_explained_as_the_kubelet_does():
    error = exec_errors.explain_failure(PodwrightError(NOT_RUNNING), CONTAINER, Command(["x"]), OnePod(PodwrightError("no", status=403)))
    assert NOT_RUNNING in error.message and error.hint.startswith("The container does not run.")


def test_a_container_that_does_not_exist_comes_with_those_that_do():
    refused = PodwrightError("container task is not valid for pod web (400 BadRequest)", status=400, reason="BadRequest")
    named = exec_errors.explain_refusal(refused, CONTAINER, OnePod())
    assert str(named) == "Container 'task' not found in pod 'web' in namespace 'default'; containers: task, web, proxy." and named.reason == "BadRequest"
    assert exec_errors.explain_refusal(refused, CONTAINER, OnePod(PodwrightError("no", status=403))) is refused
    other = PodwrightError("no", status=400)
    assert exec_errors.explain_refusal(other, CONTAINER, OnePod()) is other


def test_refusals_name_the_pod():
    missing = exec_errors.explain_refusal(PodwrightError("x", status=404, reason="NotFound"), CONTAINER, OnePod())
    assert missing.message == "Pod 'web' not found in namespace 'default'." and missing.is_not_found
    for status in (414, 431):
        long = exec_errors.explain_refusal(PodwrightError("no message", status=status, reason=f"HTTP {status}"), CONTAINER, OnePod())
        assert long.reason == "TooLong" and "is too long" in long.message and "stdin" in long.hint
    pending = exec_errors.explain_refusal(PodwrightError("pod web does not have a host assigned", status=400, reason="BadRequest"), CONTAINER, OnePod())
    assert pending.message == "Pod 'web' in namespace 'default' has not been scheduled." and pending.reason == "NotRunning"


@pytest.mark.parametrize(
    ("limit", "is_terminated", "rc", "expected"),
    [
        ("timeout", True, None, "did not exit within 5 s; it was terminated. Raise timeout, or change the command so that it exits earlier."),
        (
            "idle_timeout",
            False,
            None,
            "neither read input nor wrote output within 2.5 s; its state is unknown: it may still run. Raise idle_timeout, or look for it in the container.",
        ),
        (
            "timeout",
            True,
            0,
            "exited with code 0, but its output did not end within 5 s; it was terminated. "
            "Raise timeout, or redirect the output of the processes that it leaves in the background.",
        ),
    ],
)
def test_timeouts_say_whether_the_command_was_terminated(limit, is_terminated, rc, expected):
    error = exec_errors.timed_out(CONTAINER, Command(["x"], timeout=5, idle_timeout=2.5), limit, is_terminated, rc)
    assert str(error) == f"The command in container 'task' of pod 'web' in namespace 'default' {expected}" and error.reason == "Timeout"
