# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a command in a pod's container, or in those of many pods at once, and return how it ended."""

from __future__ import annotations

import os
import shlex
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ..arguments import CONNECTION
from ..cluster.exec import execute
from ..cluster.exec_command import Command, Container
from ..cluster.exec_stream import decode, describe_output
from ..cluster.kinds import POD
from ..errors import PodwrightError, as_podwright_error, option_error
from ..files import AtomicFile
from ..objects.containers import default_container
from ..operation import Invocation, Operation
from ..tasks.options import check_variable
from ..tasks.result import TaskRedactor
from ..text import scalar_text

PIECE = 1 << 18
THREADS = 16

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
    "env": {"type": "dict"},
    "chdir": {"type": "str"},
    "creates": {"type": "str"},
    "removes": {"type": "str"},
    "timeout": {"type": "float"},
    "idle_timeout": {"type": "float"},
    "tty": {"type": "bool", "default": False},
    "check_rc": {"type": "bool", "default": True},
}


@dataclass
class Execution:
    """What became of the command in one container.

    Attributes:
        skipped: why it was not run, or an empty string.
        rc: its exit code, None as long as that is not known.
        stdout, stderr: Outputs, None before it is started.
        error: why it failed, or None.
    """

    place: Container
    skipped: str = ""
    rc: int | None = None
    stdout: Output | None = None
    stderr: Output | None = None
    error: PodwrightError | None = None

    @property
    def has_run(self) -> bool:
        """Whether it ran; one whose end nobody saw did."""
        return self.rc is not None or (self.error is not None and self.error.reason in ("ConnectionLost", "Timeout"))


def run(invocation: Invocation, outcome: list[Execution]) -> None:
    """Run the command. Raises: PodwrightError, also for an exit code other than 0 under check_rc."""
    params = invocation.params
    command = _read_command(params)
    places = [Container(invocation.namespace, params["pod"], params["container"])] if params["pod"] else _find_containers(invocation)
    outcome += map(Execution, places)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda execution: _run_in(invocation, execution, command), outcome))
    errors = [execution.error for execution in outcome if execution.error]
    if errors and params["pod"]:
        raise errors[0]
    if errors:
        lines = [f"The command failed in {len(errors)} of {len(outcome)} pods.", *map(str, errors[:3])]
        raise PodwrightError("\n".join(lines), reason=errors[0].reason)


def _find_containers(invocation):
    """The running pods that the selectors match, by name."""
    selector = ",".join(invocation.params["label_selectors"])
    pods, _version = invocation.client.list(POD, invocation.namespace, label_selector=selector)
    running = [pod for pod in pods if pod["status"].get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")]
    if not running:
        raise PodwrightError(
            f"No running pod in namespace '{invocation.namespace}' matches {selector} ({len(pods)} match that do not run).",
            reason="NotFound",
            hint="Check label_selectors, or wait for the pods with pod_info.",
        )
    wanted = invocation.params["container"]
    places = [Container(invocation.namespace, pod["metadata"]["name"], wanted or default_container(pod)) for pod in running]
    return sorted(places, key=lambda place: place.pod)


def _run_in(invocation, execution, command):
    """Run it in one container; what fails is noted in the Execution."""
    path = invocation.params["stdout_file"]
    if path and not invocation.params["pod"]:
        path = os.path.join(path, execution.place.pod)
    try:
        _execute(invocation, execution, command, path)
    except Exception as error:
        execution.error = as_podwright_error(error)


def _execute(invocation, execution, command, stdout_file):
    params, place = invocation.params, execution.place
    execution.skipped = _find_reason_to_skip(invocation, place)
    if execution.skipped or invocation.check_mode:
        return
    cap = params["max_output_bytes"]
    execution.stdout, execution.stderr = Output(cap), Output(cap)
    if stdout_file:
        # It appears once the command's status is known, and not at all where that never comes.
        with AtomicFile(stdout_file, creates_parents=not params["pod"]) as sink:
            execution.rc = execute(invocation.client, place, command, sink.write, execution.stderr.add)
            sink.finish()
    else:
        execution.rc = execute(invocation.client, place, command, execution.stdout.add, execution.stderr.add)
    if execution.rc and params["check_rc"]:
        last = (decode(execution.stderr.content).strip() or decode(execution.stdout.content).strip()).splitlines()[-5:]
        said = ":\n  " + "\n  ".join(last) if last else "."
        message = f"The command in {place} ended with exit code {execution.rc}{said}"
        raise PodwrightError(message, reason="NonZeroExitCode", hint=_explain(execution.rc, params))


def _find_reason_to_skip(invocation, place):
    """Why `creates` or `removes` make the command needless, or an empty string."""
    for option, skips_where_found in (("creates", True), ("removes", False)):
        path = invocation.params[option]
        if path is not None and _exists(invocation, place, path) == skips_where_found:
            return f"{option}: {path} {'exists' if skips_where_found else 'does not exist'} in {place}."
    return ""


def _exists(invocation, place, path):
    rc = execute(invocation.client, place, Command(["sh", "-c", '[ -e "$0" ] || [ -L "$0" ]', path]))
    if rc not in (0, 1):
        raise PodwrightError(f"Whether {path} exists in {place} could not be found out: exit code {rc}.", reason="ExecFailed")
    return rc == 0


def _explain(rc, params):
    if rc == 127 and params["env"]:
        return "The program env must be in the image for the option env, and the command itself."
    if rc == 126:
        return "The program is there and cannot be executed."
    return ""


# -- reading the options --------------------------------------------------------------------------------------


def _read_command(params):
    words = params["command"]
    if isinstance(words, str):
        try:
            words = shlex.split(words)
        except ValueError as error:
            raise option_error("command", f"it cannot be split into words: {error}.") from error
    if not isinstance(words, list) or not words:
        raise option_error("command", "it is a string or a list of words, and not empty.")
    for name in params["env"] or {}:
        check_variable("env", name)
    for name in ("timeout", "idle_timeout", "max_output_bytes"):
        if params[name] is not None and params[name] <= 0:
            raise option_error(name, "it is more than 0.")
    command = Command(
        [scalar_text(word) for word in words],
        chdir=params["chdir"],
        env=params["env"] or {},
        timeout=params["timeout"],
        idle_timeout=params["idle_timeout"],
        tty=params["tty"],
    )
    return _give_input(command, params)


def _give_input(command, params):
    if params["stdin"] is not None:
        content = params["stdin"].encode()
        return replace(command, source=lambda: iter([content] if content else []), size=len(content))
    path = params["stdin_file"]
    if path is None:
        return command
    if not os.path.isfile(path):
        raise option_error("stdin_file", f"there is no file {path} where this task runs.")
    return replace(command, source=lambda: read_pieces(path), size=os.path.getsize(path))


def read_pieces(path):
    """A file's content in pieces. Raises: PodwrightError where it cannot be read."""
    try:
        with open(path, "rb") as source:
            while piece := source.read(PIECE):
                yield piece
    except OSError as error:
        raise PodwrightError(f"stdin_file: {path} cannot be read: {error.strerror}.", reason="ReadFailed", hint="Check its permissions.") from error


# -- describing -----------------------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: list[Execution]) -> dict:
    """The result's fields, as far as it got."""
    if invocation.params["pod"]:
        return _describe_one(invocation, outcome[0]) if outcome else {}
    results = []
    for execution in outcome:
        error, place = execution.error, execution.place
        entry = {"pod": place.pod, "container": place.name, "failed": bool(error), "rc": None} | _describe_one(invocation, execution)
        results.append(entry | ({"msg": str(error), "reason": error.reason} if error else {}))
    is_failed = any(entry["failed"] for entry in results)
    rc = next((entry["rc"] for entry in results if entry["rc"]), None if is_failed else 0)
    return {"changed": any(entry["changed"] for entry in results), "results": results, "rc": rc, "return_code": rc}


def _describe_one(invocation, execution):
    if execution.skipped:
        return {"changed": False, "skipped": True, "msg": execution.skipped, "rc": 0, "return_code": 0, **describe_output(b"", b"")}
    if invocation.check_mode and not execution.error:
        return {"changed": True, "skipped": True, "msg": "Check mode: the command was not run."}
    if execution.stdout is None:
        return {"changed": False}
    stdout, stderr = execution.stdout, execution.stderr
    fields = {"changed": execution.has_run, "truncated": stdout.is_cut or stderr.is_cut, **describe_output(stdout.content, stderr.content)}
    return fields | ({} if execution.rc is None else {"rc": execution.rc, "return_code": execution.rc})


# -- output ---------------------------------------------------------------------------------------------------


class Output:
    """What is kept of an output: its first bytes, up to a limit."""

    def __init__(self, limit):
        self._limit = limit
        self._kept = bytearray()
        self.is_cut = False

    def add(self, data):
        """Take a piece."""
        room = self._limit - len(self._kept)
        self._kept += data[:room]
        self.is_cut = self.is_cut or len(data) > room

    @property
    def content(self):
        """The bytes kept; a character that the limit cut in two is left out."""
        kept = bytes(self._kept)
        if self.is_cut:
            for missing in range(4):
                try:
                    kept[: len(kept) - missing].decode()
                    return kept[: len(kept) - missing]
                except UnicodeDecodeError:
                    continue
        return kept


def redact(params):
    """The parameters as they may be shown: no standard input, no value of an environment variable."""
    redactor = TaskRedactor()
    shown = dict(params)
    if shown.get("env"):
        shown["env"] = {name: redactor.digest(value) for name, value in shown["env"].items()}
    if shown.get("stdin") is not None:
        shown["stdin"] = f"{len(shown['stdin'].encode())} bytes, {redactor.digest(shown['stdin'])}"
    return shown


OPERATION = Operation(
    "pod_exec",
    ARGUMENTS,
    list,
    run,
    describe,
    rules={"required_one_of": [("pod", "label_selectors")], "mutually_exclusive": [("pod", "label_selectors"), ("stdin", "stdin_file")]},
    redact=redact,
)
