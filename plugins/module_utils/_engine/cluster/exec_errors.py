# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a command could not be run in a container: what the API server and the container runtime report, and what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import CONNECTION_LOST, PodwrightError, not_found_error
from ..objects.containers import default_container, will_not_run
from .kinds import POD

if TYPE_CHECKING:
    from ..values import Manifest
    from .client import Client
    from .exec_command import Command, Container

# Messages of the kubelet and of container runtimes while the container does not run, or has terminated and the kubelet does not know it yet: the command
# has not started. A kubelet that was restarted does not know its pods for a moment.
_NOT_RUNNING = re.compile(
    r"container not found|error dialing backend|unable to upgrade connection|is not created or running|container is in CONTAINER_(CREATED|EXITED)"
    r"|pod does not exist|no running task found|[Cc]ontainer (\S+ )?(is )?not running|cannot exec (in )?a (container that has |\w+ )?(run and )?stopped"
)
# containerd could not determine within 2 s whether the container runs, or does not run itself: the command has not started.
_NO_ANSWER = re.compile(r"failed to load task: .*deadline exceeded|Error while dialing")
# Of a node whose kubelet or container runtime is being restarted.
_RESTARTING = re.compile(r"error dialing backend: .*connection refused|pod does not exist|Error while dialing")
_NO_PROGRAM = re.compile(r"executable file.*not found|no such file or directory|stat .*: not found", re.IGNORECASE)
_BUILTIN = re.compile(r'exec: "(alias|cd|exit|export|set|source|ulimit|umask|unset)"')
_SHELL = re.compile(r"""["`'](/[\w./-]+/)?sh["`']""")


def is_not_running(error: PodwrightError) -> bool:
    """Whether the container does not run, or not yet."""
    return bool(_NOT_RUNNING.search(error.message))


def has_not_started(error: PodwrightError) -> bool:
    """Whether the command has certainly not started, and can start on a retry."""
    return is_not_running(error) or bool(_NO_ANSWER.search(error.message))


def never_starts(error: PodwrightError, container: Container, client: Client) -> bool:
    """Whether the container does not run and will not any more. One GET, if it does not run."""
    pod = _read_pod(container, client) if is_not_running(error) else None
    return pod is not None and will_not_run(pod, container.name or default_container(pod))


def is_node_restarting(error: PodwrightError) -> bool:
    """Whether the kubelet or the container runtime may be restarted, which takes longer than the start of a container."""
    return bool(_RESTARTING.search(error.message))


def lacks_shell(error: PodwrightError) -> bool:
    """Whether the image has no shell."""
    return bool(_NO_PROGRAM.search(error.message) and _SHELL.search(error.message))


def is_protocol_refused(error: PodwrightError) -> bool:
    """Whether a server may have refused the websocket because of its subprotocol: it gives no reason of its own then."""
    return error.status in (400, 403, 500, 501) and error.reason.startswith("HTTP ") and not has_not_started(error)


def pod_not_found(container: Container) -> PodwrightError:
    """The error for a pod that does not exist."""
    return not_found_error("Pod", container.pod, container.namespace, "Check pod and namespace.")


def pod_replaced(container: Container) -> PodwrightError:
    """The error for a pod in whose place another one of its name exists."""
    message = f"Pod '{container.pod}' in namespace '{container.namespace}' was replaced by another one of that name, in which the command was not run."
    return PodwrightError(message, reason="Replaced", hint="Check whether another run has other options for the same task.")


def explain_refusal(error: PodwrightError, container: Container, client: Client) -> PodwrightError:
    """The error for a request to start a command that the API server refused; for a container that does not exist, with those that do."""
    if error.is_not_found:
        return pod_not_found(container)
    if error.status == 400 and "is not valid for pod" in error.message:
        return _container_not_found(error, container, client)
    if error.status in (414, 431):
        problem = f"The command for {container} is too long: it is part of the URL of the request, with the variables of env (HTTP {error.status})."
        return PodwrightError(problem, status=error.status, reason="TooLong", hint="Pass long text by stdin, or by a file with pod_copy.")
    if error.status == 400 and "host assigned" in error.message:
        pod = f"Pod '{container.pod}' in namespace '{container.namespace}'"
        return PodwrightError(f"{pod} has not been scheduled.", reason="NotRunning", hint="Wait for it with pod_info: wait_for: running.")
    return error


def _container_not_found(error: PodwrightError, container: Container, client: Client) -> PodwrightError:
    pod = _read_pod(container, client)
    if pod is None:
        return error
    spec = pod.get("spec") or {}
    names = [entry["name"] for part in ("containers", "initContainers", "ephemeralContainers") for entry in spec.get(part) or []]
    message = f"Container '{container.name}' not found in pod '{container.pod}' in namespace '{container.namespace}'; containers: {', '.join(names)}."
    return PodwrightError(message, status=error.status, reason=error.reason)


def _read_pod(container: Container, client: Client) -> Manifest | None:
    try:
        return client.get(POD, container.namespace, container.pod)
    except PodwrightError:  # a Role that allows commands and not to read pods
        return None


def explain_failure(error: PodwrightError, container: Container, command: Command, client: Client) -> PodwrightError:
    """The error for a command that the container runtime did not run."""
    is_of_node = error.status == 500 and has_not_started(error)  # the hint for a failing API server does not help
    if not is_of_node and (error.hint or (error.status is not None and not has_not_started(error))):
        return error  # it is explained already
    hint, reason, problem = "", error.reason, error.message
    if lacks_shell(error):
        hint, reason = "The option chdir needs a shell in the image." if command.chdir else "The image has no shell.", "NoShell"
    elif _NO_PROGRAM.search(error.message):
        builtin = _BUILTIN.search(error.message)
        hint = "The option env needs the program env in the image." if '"env"' in error.message else "Check that the program exists in the image."
        hint = f"{builtin[1]} is a command of the shell: run one by [sh, -c, …], or set chdir." if builtin else hint
    elif "permission denied" in error.message:
        hint = "The program must be executable by the user of the container."
    elif is_not_running(error):
        problem, hint = _explain_state(error, container, client)
    elif _NO_ANSWER.search(error.message):
        hint = "The container runtime does not respond. Check the node (pod_info returns its name), or create the pod again."
    return PodwrightError(f"The command in {container} could not be run: {problem}", reason=reason, causes=error.causes, hint=hint)


def _explain_state(error: PodwrightError, container: Container, client: Client) -> tuple[str, str]:
    """Why a container does not run, and what to do."""
    from .diagnosis import explain_container  # a command that runs does without what reads the status of pods

    pod = _read_pod(container, client)
    known = explain_container(pod, container.name) if pod else None
    return known or (error.message, "The container does not run. Wait for it, or check its state with pod_info.")


def input_cannot_end(container: Container) -> PodwrightError:
    """The error for a server that cannot end the input of a command which needs its end."""
    return PodwrightError(
        f"Standard input of a command in {container} cannot be closed: the API server does not support v5.channel.k8s.io.",
        reason="NoEndOfInput",
        hint="Use Kubernetes 1.30 or later, an image with a shell, or pass the input as a file with pod_copy.",
    )


def connection_lost(container: Container, received: int, cause: Exception) -> PodwrightError:
    """The error for a connection that closed before the status arrived, after so many bytes of output."""
    return PodwrightError(
        f"The connection to {container} was lost after {received} bytes of output, before the exit status of the command arrived ({cause}).",
        reason=CONNECTION_LOST,
        hint="Whether the command finished is unknown: check before you run it again.",
    )


def timed_out(container: Container, command: Command, limit: str, is_terminated: bool, rc: int | None = None) -> PodwrightError:
    """The error for a command that reached a limit, `timeout` or `idle_timeout`; its exit code is known if its output did not end after it had exited."""
    seconds = command.timeout if limit == "timeout" else command.idle_timeout
    problem = "did not exit" if limit == "timeout" else "neither read input nor wrote output"
    if is_terminated:
        state, hint = "it was terminated", "change the command so that it exits earlier."
    else:
        state, hint = "its state is unknown: it may still run", "look for it in the container."
    if rc is not None:
        problem, hint = f"exited with code {rc}, but its output did not end", "redirect the output of the processes that it leaves in the background."
    return PodwrightError(f"The command in {container} {problem} within {seconds:g} s; {state}.", reason="Timeout", hint=f"Raise {limit}, or {hint}")


def exit_hint(rc: int, has_variables: bool) -> str:
    """What to do about the exit code of a command, with environment variables or without; empty if it does not say more."""
    if rc == 127 and has_variables:
        return "Check that the image has the command, and the program env, which the option env requires."
    if rc == 126:
        return "Check that the program is executable."
    if rc == 137:
        return "It was killed, perhaps with its container: pod_info shows whether that restarted, or exceeded its limit of memory (OOMKilled)."
    return ""
