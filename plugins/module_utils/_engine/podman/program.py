# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the program podman of this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import PodwrightError
from ..text import decode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OLDEST = (4, 3)  # of which `podman kube play` is known to run tasks
COMMAND_SECONDS = 120  # for a command that waits for nothing
STOP_SECONDS = 5  # in which a command releases the locks of Podman's storage
TIMED_OUT = 124  # the exit code of `timeout`
MAX_OUTPUT = 64 << 20  # bytes
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})")
_DIRECTORIES = "/usr/local/bin:/usr/bin:/bin"


class Answer(NamedTuple):
    """The exit code, standard output and standard error of a command of podman."""

    rc: int
    output: bytes
    error: str


class Program:
    """The program podman, which keeps its pods and images for the user who runs it.

    Attributes:
        host: the name of this machine.
        version: such as 4.3.1.
        directory: that of its storage.

    Raises: PodwrightError if it is not installed, too old, or does not work.
    """

    def __init__(self) -> None:
        self.host = socket.gethostname()
        path = shutil.which("podman", path=f"{os.environ.get('PATH') or ''}:{_DIRECTORIES}")
        if not path:
            raise self._unusable("the program podman is not installed", "Install the package podman there.")
        self._path = path
        facts = self._read_facts()
        self.version = str(facts["version"]["Version"])
        self.directory = str(facts["store"]["graphRoot"])
        numbers = _VERSION.match(self.version)
        if not numbers or (int(numbers[1]), int(numbers[2])) < OLDEST:
            raise self._unusable(f"podman has version {self.version}", f"Install version {OLDEST[0]}.{OLDEST[1]} or later.")
        if facts["host"].get("serviceIsRemote"):
            raise self._unusable("podman is a client of another machine", "Run the task on that machine.")

    def _read_facts(self) -> dict[str, Any]:
        answer = self.run("info", "--format", "json")
        try:
            facts = json.loads(answer.output)
            if answer.rc == 0 and isinstance(facts["version"]["Version"], str) and facts["store"]["graphRoot"] and isinstance(facts["host"], dict):
                return dict(facts)
        except (ValueError, LookupError, TypeError, RecursionError):
            pass
        raise self._unusable(f"'podman info' failed: {summarize(answer) if answer.rc else 'its output is invalid'}", "Correct its configuration.")

    def _unusable(self, why: str, hint: str) -> PodwrightError:
        return PodwrightError(f"Podman cannot be used on host '{self.host}': {why}.", reason="NoPodman", hint=hint)

    def run(self, *words: str, standard_input: str = "", seconds: float | None = COMMAND_SECONDS) -> Answer:
        """Run a command until it exits, or that long if not None. Raises: PodwrightError only if it cannot be started, or its output is too large."""
        with self.start(words, subprocess.PIPE) as process:
            try:
                output, error = process.communicate(standard_input.encode(), timeout=seconds)
            except subprocess.TimeoutExpired:
                _stop(process)
                return Answer(TIMED_OUT, b"", f"Error: it did not finish within {seconds:.0f} s.")
        if len(output) > MAX_OUTPUT:
            raise self._failed(words, f"its output is larger than {MAX_OUTPUT >> 20} MiB.")
        return Answer(process.returncode, output, decode(error))

    def exists(self, kind: str, name: str) -> bool:
        """Whether there is a pod or an image of that name. Raises: PodwrightError if that is unknown."""
        words = (kind, "exists", "--", name)
        answer = self.run(*words)
        if answer.rc not in (0, 1):
            raise self._failed(words, summarize(answer))
        return answer.rc == 0

    def list(self, *words: str, absent: str = "") -> list[Mapping[str, Any]]:
        """The mappings in the JSON list that a command prints.

        Args:
            absent: what all errors say if the command fails only because some of what it lists does not exist.

        Raises: PodwrightError if it fails, or prints something else.
        """
        answer = self.run(*words)
        if answer.rc and not (absent and _only_says(answer.error, absent)):
            raise self._failed(words, summarize(answer))
        try:
            value = json.loads(answer.output.strip() or b"null")
        except (ValueError, RecursionError):
            value = answer.output
        if value is not None and not isinstance(value, list):
            raise self._failed(words, "its output is not a list in JSON.")
        return [entry for entry in value or [] if isinstance(entry, dict)]

    def _failed(self, words: Sequence[str], why: str) -> PodwrightError:
        return PodwrightError(f"'podman {' '.join(words[:2])}' failed on host '{self.host}': {why}", reason="PodmanFailed")

    def start(self, words: Sequence[str], error: int) -> subprocess.Popen[bytes]:
        """Start a command. Not in the process group of this process: an interrupted podman leaves half of a pod."""
        environment = os.environ | {"LC_ALL": "C"}
        try:
            return subprocess.Popen(  # noqa: S603 - no shell  # pylint: disable=ansible-bad-function
                [self._path, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=error, cwd="/", env=environment, start_new_session=True
            )
        except OSError as failure:
            raise self._unusable(f"{self._path} cannot be started ({failure.strerror})", "Correct its installation.") from None


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate a command and what it has started, except for containers."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.communicate(timeout=STOP_SECONDS)
            return


def _only_says(error: str, text: str) -> bool:
    """Whether there are errors, each of which contains the text; warnings do not matter."""
    errors = [line for line in error.splitlines() if line.lower().startswith("error")]
    return bool(errors) and all(text in line for line in errors)


def summarize(answer: Answer) -> str:
    """Why a command failed, as one line, with a full stop."""
    lines = [line.strip() for line in answer.error.splitlines() if line.strip()]
    errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    causes = [line for line in lines if line.startswith(("[starting", "starting", "[init", "init"))]
    text = "; ".join([*errors, *causes] or lines[-1:]) or f"exit code {answer.rc}"
    return text.rstrip(".") + "."
