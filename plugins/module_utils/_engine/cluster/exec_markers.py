# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lines by which the shell that runs a command reports the command's process id and exit code.

The shell writes them to standard error, or to the terminal if there is one:

    TOKEN:PID        before the command starts
    TOKEN:end:CODE   after the command has exited, unless it reads a bounded input and succeeds, or the shell closes its input

A marker can follow output without a line feed, and can arrive in any number of pieces. Everything else is the command's own output.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from .exec_command import Command

START_LIMIT = 1 << 16  # bytes of output in which the first marker must arrive
_LONGEST_START = len(":0123456789\r\n")  # after the token
_LONGEST_EXIT = len(":end:255\r\n")


@dataclass(frozen=True)
class Started:
    """The command starts.

    Attributes:
        pid: process id of the shell, which leads the command's process group; None if no marker arrived within START_LIMIT bytes.
    """

    pid: int | None


@dataclass(frozen=True)
class Exited:
    """The command has exited. What its background processes write can follow."""

    exit_code: int


MarkerEvent: TypeAlias = bytes | Started | Exited


class Markers:
    """The markers of one command: `wrap` returns a script that writes them, `feed` removes them from the output.

    Args:
        token: hexadecimal digits that the output does not contain by chance.

    Attributes:
        has_started: whether Started was returned.
    """

    def __init__(self, token: str) -> None:
        self.has_started = False
        self._token = token
        self._awaits_exit = True
        self._start_line = re.compile(rb"%s:(\d{1,10})\r?\n" % token.encode())
        self._exit_line = re.compile(rb"%s:end:(\d{1,3})\r?\n" % token.encode())
        self._exit_prefix = b"%s:end:" % token.encode()
        self._exit_rest = re.compile(rb"\d{0,3}|\d{1,3}\r")  # of a line that is still incomplete, after the prefix
        self._held = b""  # output that may contain a part of a marker

    def wrap(self, command: Command, size: int | None = None) -> list[str]:
        """The words that run a command in a shell which writes the markers.

        The shell reads what the command leaves of its input: a server that still has input for a command that has exited never reports the status.

        Args:
            size: bytes of the input if the shell has to close it, or None if the server can.
        """
        script = f"echo {self._token}:$$ >&2; "
        if command.chdir:
            script += 'cd -- "$0" || exit; '
        report = f"echo {self._token}:end:$rc >&2; "
        drain = "cat > /dev/null 2>&1; "
        if command.tty:
            script += f'"$@"; rc=$?; {report}exit $rc'  # the terminal itself takes what the command leaves
        elif command.source is None:
            script += f'"$@" < /dev/null; rc=$?; {report}exit $rc'  # see Command.without_shell
        elif command.is_bounded:
            script += f'"$@"; rc=$?; [ $rc = 0 ] || {{ {report}{drain}}}; exit $rc'
        elif size is None:
            script += f'"$@"; rc=$?; {report}{drain}exit $rc'
        else:
            script += f'head -c {size} | {{ "$@"; rc=$?; {drain}exit $rc; }}'
        return ["sh", "-c", script, command.cd_argument or "sh", *command.with_environment()]

    def feed(self, data: bytes) -> list[MarkerEvent]:
        """The events in the next piece of output: pieces of the command's own output, Started and Exited, in order. Holds back what may be part of a marker."""
        events: list[MarkerEvent] = []
        if not self.has_started:
            data = self._take_start(data, events)
        if self._awaits_exit and data:
            data = self._take_exit(data, events)
        return [*events, data] if data else events

    def finish(self) -> bytes:
        """The output that is still held back, once no more follows."""
        held, self._held = self._held, b""
        return held

    def _take_start(self, data: bytes, events: list[MarkerEvent]) -> bytes:
        """The output without the first marker; nothing until it has arrived."""
        known = len(self._held)
        self._held += data
        line = self._start_line.search(self._held, max(0, known - len(self._token) - _LONGEST_START))
        if line is None and len(self._held) < START_LIMIT:
            return b""
        self.has_started = True
        events.append(Started(int(line[1]) if line else None))
        output = self.finish()
        return output[: line.start()] + output[line.end() :] if line else output

    def _take_exit(self, data: bytes, events: list[MarkerEvent]) -> bytes:
        """The output after the last marker, or before what may be the beginning of it."""
        data = self.finish() + data
        line = self._exit_line.search(data)
        if line is None:
            end = len(data) - self._partial_exit(data)
            self._held = data[end:]
            return data[:end]
        self._awaits_exit = False
        if line.start():
            events.append(data[: line.start()])
        events.append(Exited(int(line[1])))
        return data[line.end() :]

    def _partial_exit(self, data: bytes) -> int:
        """How many bytes at the end can be the beginning of the last marker."""
        for size in range(min(len(self._token) + _LONGEST_EXIT - 1, len(data)), 0, -1):
            tail = data[-size:]
            prefix = self._exit_prefix[:size]
            if tail.startswith(prefix) and (size < len(self._exit_prefix) or self._exit_rest.fullmatch(tail, len(prefix))):
                return size
        return 0
