# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a command in a container of one pod or of many pods, and return its exit code and output."""

from __future__ import annotations

import base64
import os
import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..arguments import CONNECTION, read_selector
from ..cluster.exec import Process, forward, path_exists
from ..cluster.exec_command import Command, Container
from ..cluster.exec_errors import exit_hint
from ..cluster.exec_output import LiveLines, Output
from ..cluster.kinds import POD
from ..errors import CONNECTION_LOST, PodwrightError, as_podwright_error, option_error
from ..files import AtomicFile, missing_source_error, read_pieces
from ..objects.containers import default_container
from ..objects.start_hints import output_hint
from ..operation import Invocation, Operation
from ..tasks.options import check_remote_path, check_variable, texts_of, words_of
from ..tasks.redactor import TaskRedactor
from ..text import decode, encode, shown_lines, split_lines
from ..threads import call_in_threads

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..values import Options, Result

THREADS = 16
# The exit code of a command that did not exit, for expressions such as `until: result.rc == 0`: since ansible-core 2.21, a result has no rc that is null.
NO_EXIT = -1
_OPERATORS = frozenset(("&&", "||", "|", ";", "&", "<", ">", ">>", "2>", "2>&1"))  # of a shell
_SCRIPT = re.compile("-[a-z]*c")  # the option of a shell before a script
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})(/.*)?")  # as a whole argument; programs such as awk have variables of their own

ARGUMENTS = {
    **CONNECTION,
    "pod": {"type": "str"},
    "label_selectors": {"type": "list", "elements": "str"},
    "container": {"type": "str"},
    "command": {"type": "raw", "required": True},
    "stdin": {"type": "str"},
    "stdin_file": {"type": "path"},
    "stdout_file": {"type": "path"},
    "max_output_bytes": {"type": "int", "default": 10 << 20},
    "strip_empty_ends": {"type": "bool", "default": True},
    "env": {"type": "dict"},
    "chdir": {"type": "str"},
    "creates": {"type": "str"},
    "removes": {"type": "str"},
    "timeout": {"type": "float"},
    "idle_timeout": {"type": "float"},
    "tty": {"type": "bool", "default": False},
    "stream": {"type": "bool", "default": False},
    "check_rc": {"type": "bool", "default": True},
}


@dataclass
class Execution:
    """The command in one container.

    Attributes:
        skipped: why it is skipped; empty if it is not.
        obstacle: why it is unknown in check mode whether it would be skipped, or an empty string.
        rc: its exit code, None until it is known.
        has_started: whether it reported its start or printed something.
        stdout, stderr: None until the command is started.
        error: why it failed, or None.
    """

    container: Container
    skipped: str = ""
    obstacle: str = ""
    rc: int | None = None
    has_started: bool = False
    stdout: Output | None = None
    stderr: Output | None = None
    error: PodwrightError | None = None

    @property
    def has_run(self) -> bool:
        """Whether the command was started, including a command whose exit was not observed."""
        return self.rc is not None or self.has_started or (self.error is not None and self.error.reason in (CONNECTION_LOST, "Timeout"))


@dataclass
class Executions:
    """The command in all containers.

    Attributes:
        obstacle: why there is none in check mode, or an empty string.
    """

    entries: list[Execution] = field(default_factory=list)
    obstacle: str = ""


def run(invocation: Invocation, outcome: Executions) -> None:
    """Run the command. Raises: PodwrightError, with check_rc also for an exit code other than 0."""
    params = invocation.params
    if params["pod"] and params["label_selectors"]:  # an empty list, which a template may return, excludes nothing
        raise option_error("pod", "must not be set with label_selectors.")
    command = _read_command(params)
    _warn_about_operators(invocation, command.words)
    try:
        containers = [Container(invocation.namespace, params["pod"], params["container"])] if params["pod"] else _find_containers(invocation)
    except PodwrightError as error:
        outcome.obstacle = invocation.missing_in_check_mode(error)
        if not outcome.obstacle:
            raise
        return
    entries = outcome.entries = [Execution(container) for container in containers]
    client = invocation.client.branch()
    call_in_threads(lambda execution: _run_in(invocation, client, execution, command), entries, THREADS, client.streams.cancel)
    errors = [execution.error for execution in entries if execution.error]
    if errors and params["pod"]:
        raise errors[0]
    if errors:
        lines = [f"The command failed in {len(errors)} of {len(entries)} pods.", *map(str, errors[:3])]
        raise PodwrightError("\n".join(lines), reason=errors[0].reason)


def _find_containers(invocation: Invocation) -> list[Container]:
    """The container of each running pod that the selectors match, sorted by pod."""
    selector = read_selector(invocation.params)
    if not selector:
        raise option_error("pod", "must be set unless label_selectors is.")
    pods, _version = invocation.client.list(POD, invocation.namespace, label_selector=selector)
    states = [(pod, "being deleted" if pod["metadata"].get("deletionTimestamp") else (pod.get("status") or {}).get("phase")) for pod in pods]
    running = [pod for pod, state in states if state == "Running"]
    if not running:
        others = f" ({len(pods)} matching pods do not run)" if pods else ""
        hint = "Check label_selectors, or wait for the pods with pod_info."
        problem = f"No running pod in namespace '{invocation.namespace}' matches {selector}{others}."
        raise PodwrightError(problem, status=404, reason="NotFound", hint=hint)
    skipped = sorted(f"{pod['metadata']['name']} ({state})" for pod, state in states if state not in ("Running", "Succeeded", "Failed"))
    if skipped:
        invocation.console.warn(f"Pods that match {selector} were skipped because they are not running: {', '.join(skipped)}.")
    name = invocation.params["container"]
    containers = [Container(invocation.namespace, pod["metadata"]["name"], name or default_container(pod)) for pod in running]
    return sorted(containers, key=lambda container: container.pod)


def _run_in(invocation: Invocation, client: Client, execution: Execution, command: Command) -> None:
    """Run the command in one container; a failure becomes the error of the Execution."""
    path = invocation.params["stdout_file"]
    if path and not invocation.params["pod"]:
        path = os.path.join(path, execution.container.pod)
    try:
        _execute(invocation, client, execution, command, path)
    except Exception as error:
        execution.error = as_podwright_error(error)


def _execute(invocation: Invocation, client: Client, execution: Execution, command: Command, stdout_file: str | None) -> None:
    params, container = invocation.params, execution.container
    if params["creates"] or params["removes"]:
        deadline = None if command.timeout is None else client.clock.monotonic() + command.timeout
        try:
            execution.skipped = _find_reason_to_skip(invocation, client, container, deadline)
        except PodwrightError as error:
            execution.obstacle = invocation.missing_in_check_mode(error)
            if not execution.obstacle:
                raise
        command = replace(command, timeout=_seconds_until(client, deadline))
    if execution.skipped or invocation.check_mode:
        return
    limit = params["max_output_bytes"]
    stdout, stderr = execution.stdout, execution.stderr = Output(limit), Output(limit)
    with LiveLines(invocation.console if params["stream"] else None, "" if params["pod"] else container.pod) as live:
        if stdout_file:
            # The file appears once the exit code is known, and not after a connection loss.
            with AtomicFile(stdout_file, creates_parents=not params["pod"]) as file:
                _run_process(client, execution, command, file.write, live.shown(stderr.add))
                file.finish()
        else:
            _run_process(client, execution, command, live.shown(stdout.add), live.shown(stderr.add))
    if execution.rc and params["check_rc"]:
        last = shown_lines(decode(stderr.content).strip() or decode(stdout.content).strip())[-5:]
        output = ":\n  " + "\n  ".join(last) if last else "."
        message = f"The command in {container} failed with exit code {execution.rc}{output}"
        raise PodwrightError(message, reason="NonZeroExitCode", hint=output_hint("\n".join(last)) or exit_hint(execution.rc, bool(params["env"])))


def _run_process(client: Client, execution: Execution, command: Command, on_stdout: Callable[[bytes], object], on_stderr: Callable[[bytes], object]) -> None:
    with Process(client, execution.container, command) as process:
        try:
            forward(process, on_stdout, on_stderr)
        finally:
            execution.has_started = process.has_started
    execution.rc = process.rc


def _seconds_until(client: Client, deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - client.clock.monotonic(), 0.01)


def _find_reason_to_skip(invocation: Invocation, client: Client, container: Container, deadline: float | None) -> str:
    """Why `creates` or `removes` skips the command; empty if neither does."""
    for option, skips_if_found in (("creates", True), ("removes", False)):
        if not invocation.params[option]:  # an empty path is not set, as in ansible.builtin.command
            continue
        path = posixpath.join(invocation.params["chdir"] or "", invocation.params[option])
        if path_exists(client, container, path, _seconds_until(client, deadline)) == skips_if_found:
            return f"{option}: {path} {'exists' if skips_if_found else 'does not exist'} in {container}."
    return ""


def _warn_about_operators(invocation: Invocation, words: Sequence[str]) -> None:
    """Warn if a command that was given as text contains an operator or a variable of a shell, which the program gets as an argument."""
    if not isinstance(invocation.params["command"], str) or any(_SCRIPT.fullmatch(word) for word in words[1:]):
        return
    operator = next((word for word in words if word in _OPERATORS), None)
    # Any other word may be secret, also the first: VARIABLE=value.
    found = f"'{operator}'" if operator else "a variable" if any(map(_VARIABLE.fullmatch, words)) else ""
    if found:
        invocation.console.warn(f'No shell interprets command: {found} is an argument of the program. For a shell, write [sh, -c, "…"].')


# -- reading the options --------------------------------------------------------------------------------------


def _read_command(params: Options) -> Command:
    """The command of the options. Raises: PodwrightError for an invalid option."""
    words = words_of("command", params["command"])
    for name in params["env"] or {}:
        check_variable("env", name)
    for option in ("chdir", "creates", "removes"):
        check_remote_path(option, params[option])
    command = Command(
        words,
        chdir=params["chdir"],
        env=texts_of("env", params["env"]),
        timeout=params["timeout"],
        idle_timeout=params["idle_timeout"],
        tty=params["tty"],
    )
    return _with_input(command, params)


def _with_input(command: Command, params: Options) -> Command:
    """The command with the standard input of the options."""
    if params["stdin"] is not None:
        content: bytes = encode(params["stdin"])
        return replace(command, source=lambda: iter([content] if content else []), size=len(content))
    path: str | None = params["stdin_file"]
    if path is None:
        return command
    if not os.path.isfile(path):
        if not os.path.exists(path):
            raise missing_source_error("stdin_file", path)
        raise option_error("stdin_file", f"must be a file, got {path}.")
    return replace(command, source=lambda: read_pieces("stdin_file", path), size=os.path.getsize(path))


# -- describing -----------------------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: Executions) -> Result:
    """The fields of the result, complete or not."""
    if invocation.params["pod"]:
        return {"rc": NO_EXIT, "return_code": NO_EXIT} | (_describe_execution(invocation, outcome.entries[0]) if outcome.entries else {})
    if outcome.obstacle:
        return {"changed": True, "skipped": True, "msg": _not_run(outcome.obstacle), "results": [], "rc": 0, "return_code": 0}
    results = []
    for execution in outcome.entries:
        error, container = execution.error, execution.container
        entry = {"pod": container.pod, "container": container.name, "failed": bool(error), "rc": None} | _describe_execution(invocation, execution)
        results.append(entry | ({"msg": str(error), "reason": error.reason} if error else {}))
    has_succeeded = bool(results) and not any(entry["failed"] for entry in results)  # no pod, no exit code: `until: result.rc == 0` continues
    rc = next((entry["rc"] for entry in results if entry["rc"]), 0 if has_succeeded else NO_EXIT)
    return {"changed": any(entry["changed"] for entry in results), "results": results, "rc": rc, "return_code": rc}


def _not_run(obstacle: str) -> str:
    return f"Check mode: the command was not run{f': {obstacle}' if obstacle else '.'}"


def _describe_execution(invocation: Invocation, execution: Execution) -> Result:
    if execution.skipped:
        return {"changed": False, "skipped": True, "msg": execution.skipped, "rc": 0, "return_code": 0, **describe_output(b"", b"", True)}
    if invocation.check_mode and not execution.error:
        text = _not_run(execution.obstacle)
        return {"changed": True, "skipped": True, "msg": text, "rc": 0, "return_code": 0, **describe_output(b"", b"", True)}
    stdout, stderr = execution.stdout, execution.stderr
    if stdout is None or stderr is None:
        return {"changed": False}
    fields = {"changed": execution.has_run, "truncated": stdout.is_truncated or stderr.is_truncated}
    fields |= describe_output(stdout.content, stderr.content, invocation.params["strip_empty_ends"])
    return fields | ({} if execution.rc is None else {"rc": execution.rc, "return_code": execution.rc})


def describe_output(stdout: bytes, stderr: bytes, strip: bool) -> Result:
    """The fields for the output of a command: text, lines, and every byte in base64 if it is not valid UTF-8.

    Args:
        strip: whether to remove trailing line breaks from the text, as ansible.builtin.command does.
    """
    fields: Result = {}
    for name, content in (("stdout", stdout), ("stderr", stderr)):
        text = decode(content)
        if text.encode() != content:
            fields[f"{name}_b64"] = base64.b64encode(content).decode()
        if strip:
            text = text.rstrip("\r\n")
        fields |= {name: text, f"{name}_lines": split_lines(text)}
    return fields


def redact(params: Options) -> Options:
    """The parameters without standard input and values of environment variables."""
    redactor = TaskRedactor()
    shown = dict(params)
    if shown.get("env"):
        shown["env"] = {name: redactor.digest(value) for name, value in shown["env"].items()}
    if shown.get("stdin") is not None:
        shown["stdin"] = redactor.summarize(shown["stdin"])
    return shown


OPERATION = Operation(
    "pod_exec",
    ARGUMENTS,
    Executions,
    run,
    describe,
    rules={"required_one_of": [("pod", "label_selectors")], "mutually_exclusive": [("stdin", "stdin_file")]},
    redact=redact,
)
