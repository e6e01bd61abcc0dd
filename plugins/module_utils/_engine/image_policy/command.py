# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A command that judges an image: exit code 0 accepts it, any other refuses it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence

from ..errors import option_error
from ..text import CONTROL_CHARACTERS, decode, strip_escapes

_SHOWN = 1000  # bytes at the end of its output


def judge(command: Sequence[str], image: str, timeout: float) -> str:
    """Why a command refuses an image, which is its last argument; an empty text if it accepts it.

    Raises: PodwrightError if it cannot be started.
    """
    with tempfile.TemporaryFile() as output:
        try:
            # The user names the program. There is no AnsibleModule, whose run_command pylint asks for.
            process = subprocess.Popen(  # noqa: S603  # pylint: disable=ansible-bad-function,consider-using-with
                [*command, image], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "an argument is invalid"
            raise option_error("image_policy.command", f"must be a command that can be started, but {command[0]!r} cannot: {reason}.") from None
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            return f"{command[0]} did not exit within {timeout:g} s"
        finally:
            with contextlib.suppress(OSError):  # with what it started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if not code:
            return ""
        output.seek(max(0, output.seek(0, os.SEEK_END) - _SHOWN))
        text = " ".join(CONTROL_CHARACTERS.sub(" ", strip_escapes(decode(output.read()))).split())
        return f"{command[0]} {f'exited with code {code}' if code > 0 else f'was terminated by signal {-code}'}{f': {text}' if text else ''}"
