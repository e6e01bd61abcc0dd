# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ansible-playbook for tests: what runs it, what it is given and what it leaves behind."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from .environment import BIN, ROOT
from .forking import LARGEST

MODES = ("action", "module")
# Options of plugins, which are read in each run; Ansible reads its own settings when it starts.
READ_LATE = ("ANSIBLE_CALLBACK_RESULT_FORMAT",)
ACTIONS = [f"podwright.core.{path.stem}" for path in (ROOT / "plugins/action").glob("*.py")]

# What modules have as their Python: it passes its arguments, environment, directory and streams on to the server of modules.
# (The module `socket` alone would take longer to import than all the rest.)
INTERPRETER = """#!{python} -ISE
import _socket, os, sys
connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
connection.connect({address!r})
request = repr({{"arguments": sys.argv[1:], "environment": dict(os.environ), "directory": os.getcwd()}}).encode()
streams = b"".join(stream.to_bytes(4, sys.byteorder) for stream in range(3))
connection.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
connection.recv(100)
status = int(connection.recv(100))
sys.exit(status if status >= 0 else 128 - status)
"""


@dataclass
class Played:
    """What a run of ansible-playbook left behind."""

    rc: int
    stdout: str
    stderr: str
    results: list

    @property
    def output(self) -> str:
        """What was written to the terminal, by stream."""
        return self.stdout + self.stderr

    def of(self, task: str) -> dict:
        """The result of the task of that name (the last, if it ran more than once)."""
        return next(entry["result"] for entry in reversed(self.results) if entry["task"] == task)

    @property
    def is_changed(self) -> bool:
        """Whether any task reported a change."""
        return any(entry["result"].get("changed") for entry in self.results)

    def check(self, expect: int | None = 0) -> Played:
        """Fail the test if it exited with another code (None: any will do), had a traceback or uses what is deprecated. Returns itself."""
        if "Traceback" in self.output or "[DEPRECATION WARNING]" in self.output or (expect is not None and self.rc != expect):
            pytest.fail(f"ansible-playbook exited with {self.rc}:\n{self.stdout[-6000:]}{self.stderr[-3000:]}", pytrace=False)
        return self


def play_environment(record: Path | str) -> dict[str, str]:
    """The environment to run ansible-playbook in."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "K8S_AUTH"))}
    return environment | {
        "ANSIBLE_CONFIG": str(ROOT / "tests/ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/integration/callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "record",
        "ANSIBLE_NOCOLOR": "1",
        "PODWRIGHT_RECORD": str(record),
    }


def mode_variables(mode: str, interpreter: Path | None = None) -> dict:
    """Extra variables: with become a task runs as a module, with that interpreter; without it the action runs it in the controller's process."""
    if mode != "module":
        return {}
    return {"ansible_become": True, "ansible_become_method": "su"} | ({"ansible_python_interpreter": str(interpreter)} if interpreter else {})


@dataclass
class Playbook:
    """A run of ansible-playbook.

    Attributes:
        pid: its process ID; its children are Ansible's workers.
        record: the file with the results of its tasks, one JSON object a line.
        streams: the files with its standard output and error.
        await_exit: called with a timeout (seconds or None) once; returns its exit code (negative: a signal) or raises TimeoutError.
    """

    pid: int
    record: Path
    streams: list[Path]
    await_exit: Callable[[float | None], int]
    returncode: int | None = field(default=None, init=False)
    _waiting: threading.Lock = field(default_factory=threading.Lock, init=False)  # a test may kill it in one thread while another waits

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has terminated. Returns its exit code. Raises: TimeoutError."""
        with self._waiting:
            if self.returncode is None:
                self.returncode = self.await_exit(timeout)
            return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait until it has terminated. Returns what it wrote to standard output and error. Raises: TimeoutError."""
        self.wait(timeout)
        stdout, stderr = (path.read_text() for path in self.streams)
        return stdout, stderr

    def kill(self, workers: bool = True) -> None:
        """Kill it at once; with its workers, each of which has a session of its own."""
        os.kill(self.pid, signal.SIGSTOP)  # so that it starts no more of them
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split() if workers else []
        for pid in (*children, self.pid):
            os.kill(int(pid), signal.SIGKILL)
        self.wait()

    def finish(self, timeout: float) -> Played:
        """Wait until it has terminated; kill it after the timeout. Raises: TimeoutError."""
        try:
            stdout, stderr = self.communicate(timeout)
        except TimeoutError:
            self.kill()
            raise
        results = [json.loads(line) for line in self.record.read_text().splitlines()]
        for entry in results:
            entry["result"]["failed"] = entry["outcome"] == "failed"  # which Ansible leaves out of what it ignores
        return Played(self.wait(), stdout, stderr, results)


class ForkServer:
    """A process that runs a program in forks of its own. Use it as a context manager.

    Args:
        address: of its socket.
        python: what runs the program.
        program: a script of this directory that serves.
        arguments: of the script.

    Attributes:
        address: as given.
    """

    def __init__(self, address: Path, python: Path, program: str, *arguments: str):
        self.address = str(address)
        self._command = [str(python), str(Path(__file__).with_name(program)), *arguments]

    def __enter__(self) -> ForkServer:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self.address)
            listener.listen(64)
            command = [*self._command, str(listener.fileno())]
            self._process = subprocess.Popen(command, env=play_environment(""), stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def start(self, request: dict, descriptors: list[int]) -> tuple[int, socket.socket]:
        """Start the program. Returns its process ID and the connection that receives its exit code."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(self.address)
        socket.send_fds(connection, [repr(request).encode()], descriptors)
        return int(connection.recv(LARGEST)), connection


class PlaybookServer:
    """Starts playbooks in forks of a process that has imported Ansible already, and their modules in forks of another. Use it as a context manager.

    Args:
        directory: for the files of the runs.
        packed: for the modules that they have packed; several servers of the same version can share it.
        programs: the directory of ansible-playbook and its Python.

    Attributes:
        interpreter: the Python of modules.
    """

    def __init__(self, directory: Path, packed: Path, programs: Path = BIN):
        self._directory, self._programs = directory, programs
        self._numbers = itertools.count()
        self._playbooks = ForkServer(directory / "playbooks", programs / "python", "playbook_server.py", str(packed), *ACTIONS)
        self._modules = ForkServer(directory / "modules", programs / "python", "module_server.py")
        self.interpreter = directory / "python"

    def __enter__(self) -> PlaybookServer:
        self._playbooks.__enter__()
        self._modules.__enter__()
        self.interpreter.write_text(INTERPRETER.format(python=self._programs / "python", address=self._modules.address))
        self.interpreter.chmod(0o755)
        return self

    def __exit__(self, *exception: object) -> None:
        self._modules.__exit__()
        self._playbooks.__exit__()

    def start(self, arguments: list[str], directory: Path, environment: dict[str, str]) -> Playbook:
        """Start ansible-playbook.

        Args:
            arguments: of the command line, without its name.
            directory: its working directory.
            environment: variables beside those of every run. With settings that Ansible reads when it starts it gets a process of its own.
        """
        number = next(self._numbers)
        record, *streams = (self._directory / f"{number}.{name}" for name in ("record", "stdout", "stderr"))
        record.touch()
        command, variables = [str(self._programs / "ansible-playbook"), *arguments], play_environment(record) | environment
        with streams[0].open("wb") as stdout, streams[1].open("wb") as stderr, open(os.devnull, "rb") as nothing:
            if needs_process(environment):
                process = subprocess.Popen(command, env=variables, cwd=directory, stdout=stdout, stderr=stderr)
                return Playbook(process.pid, record, streams, partial(_await_process, process))
            request = {"arguments": command, "environment": variables, "directory": str(directory)}
            pid, connection = self._playbooks.start(request, [nothing.fileno(), stdout.fileno(), stderr.fileno()])
        return Playbook(pid, record, streams, partial(_await_answer, connection))


def needs_process(environment: dict[str, str]) -> bool:
    """Whether a playbook and its modules have to be processes of their own: Python and Ansible read such variables when they start."""
    return any(name.startswith(("ANSIBLE_", "TMPDIR")) and name not in READ_LATE for name in environment)


def _await_process(process: subprocess.Popen, timeout: float | None) -> int:
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(str(error)) from None


def _await_answer(connection: socket.socket, timeout: float | None) -> int:
    connection.settimeout(timeout)
    code = int(connection.recv(LARGEST))
    connection.close()
    return code
