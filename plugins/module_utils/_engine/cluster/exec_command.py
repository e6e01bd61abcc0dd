# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A command to run in a container, and where to run it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ..text import scalar_text

InputSource: TypeAlias = Callable[[], Iterable[bytes | None]]
"""Called for the pieces of standard input; None (`exec_stream.NOT_YET`) while there is nothing to send yet."""


POD_UID = "PODWRIGHT_POD_UID"  # environment variable of a container that knows the uid of its pod
OTHER_POD = 46  # exit code of a command that was not run, since its pod was replaced by another one of that name
_SHELL = re.compile(r"(.*/)?(ba|da|a|k|z)?sh")


@dataclass(frozen=True)
class Container:
    """A container of a pod.

    Attributes:
        name: None if the server selects it, which it does in a pod with one container.
        uid: that of the pod, if its container has the variable POD_UID and a shell: a command does not run in another pod of that name.
    """

    namespace: str
    pod: str
    name: str | None = None
    uid: str | None = None

    def __str__(self) -> str:
        container = f"container '{self.name}' of " if self.name else ""
        return f"{container}pod '{self.pod}' in namespace '{self.namespace}'"


@dataclass(frozen=True)
class Command:
    """A command and its options.

    Attributes:
        words: the program and its arguments.
        source: standard input, closed after the last piece; called again if the command is started again. None for no input.
        size: bytes of the input if known; required by servers that cannot close it (v4.channel.k8s.io).
        is_bounded: whether the program reads exactly `size` bytes and needs no end of file.
        chdir: working directory; requires a shell in the image. Empty like None.
        env: environment variables, scalars; require `env` in the image.
        timeout: seconds for the whole command.
        idle_timeout: seconds in which input or output must be transferred.
        tty: whether to allocate a terminal, which adds standard error and the echo of the input to standard output.
    """

    words: list[str]
    source: InputSource | None = None
    size: int | None = None
    is_bounded: bool = False
    chdir: str | None = None
    env: Mapping[str, object] = field(default_factory=dict)
    timeout: float | None = None
    idle_timeout: float | None = None
    tty: bool = False

    def within(self, container: Container) -> Command:
        """The command as it runs only in the pod of a container, if its uid is known; the containers of earlier versions lack the variable."""
        if container.uid is None:
            return self
        script = f'[ "${{{POD_UID}:-$0}}" = "$0" ] || exit {OTHER_POD}; exec "$@"'
        return replace(self, words=["sh", "-c", script, container.uid, *self.words])

    @property
    def needs_shell(self) -> bool:
        """Whether a shell runs the command, if the image has one.

        The shell reports a process id to signal after a timeout. It also keeps the outputs open: containerd drops the input of a command that closes
        or redirects its own.
        """
        return self.source is not None or self.timeout is not None or self.idle_timeout is not None or bool(self.chdir)

    @property
    def cd_argument(self) -> str | None:
        """The working directory as an argument of `cd` that is neither an option nor looked up in CDPATH."""
        return f"./{self.chdir}" if self.chdir and not self.chdir.startswith("/") else self.chdir

    def with_environment(self) -> list[str]:
        """The words, run by `env` if there are variables."""
        variables = [f"{name}={scalar_text(value)}" for name, value in self.env.items()]
        if variables and "=" in self.words[0]:
            return ["env", "--", *variables, "sh", "-c", 'exec "$@"', "sh", *self.words]  # env takes the word for a variable
        return ["env", "--", *variables, *self.words] if variables else list(self.words)

    def without_shell(self) -> list[str]:
        """The words of a command that no shell runs, with its environment.

        containerd gives a command without input a pipe that it closes at once, and may lose that end of file (containerd#4489): a command that reads it
        then never exits. A shell can read from /dev/null instead.
        """
        if self.source is None and not self.tty and _SHELL.fullmatch(self.words[0]):
            shell = self.words[0]
            return replace(self, words=[shell, "-c", 'exec "$@" < /dev/null', shell, *self.words]).with_environment()
        return self.with_environment()
