# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The content of small files in a container, by one command."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..text import encode
from .runner import ScriptRunner, names_input
from .scripts import Script

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.exec_command import Container

MAX_SMALL_FILES = 1000
_HEADER = re.compile(rb"([0-9]{1,19}) ([0-9a-f]{64})?")
_HEADER_BYTES = 128
_MISSING, _OUTSIDE, _SPECIAL = b"-", b">", b"/"
OUTSIDE = -1  # for a file outside the directories in which it may be
NO_FILE = -2  # for a directory or a special file

# Prints each file that standard input names: a line `SIZE SHA256` and its content, unless it has more than `limit` bytes; a line `-` if it is not a file;
# a line `>` if it is outside `roots`, paths with colons between them, to which symbolic links may lead.
READ_SMALL_FILES = Script(
    """
xargs -0 sh -c 'limit=$1 roots=$2; shift 2; set -f; IFS=:
  resolve() { resolved=$(readlink -f "$1"; echo .); resolved=${resolved%??}; }
  is_inside() {
    resolve "$1"; place=$resolved
    [ "$place" != "$1" ] || return 0
    for root in $roots; do resolve "$root"; case $place/ in "$resolved"/*) return 0 ;; esac; done
    return 1
  }
  for file; do
    size=$(stat -L -c %s "$file" 2>/dev/null)
    if [ -z "$size" ]; then echo -; continue; fi
    if [ "$roots" ] && ! is_inside "$file"; then echo ">"; continue; fi
    if ! [ -f "$file" ]; then echo "/"; continue; fi
    if [ "$size" -gt "$limit" ]; then echo "$size "; continue; fi
    if ! [ -r "$file" ]; then echo "0 "; continue; fi
    digest=$(sha256sum < "$file")
    echo "$size ${digest%% *}"
    head -c "$size" "$file"
  done' sh "$limit" "$roots"
""",
    ("roots",),
    ("limit",),
)


def read_small_files(
    client: Client, container: Container, paths: Sequence[str], limit: int, deadline: float | None, roots: Sequence[str] = ()
) -> list[bytes | int | None]:
    """The content of each file; its size if it has more than `limit` bytes; None if it does not exist; NO_FILE if it is a directory or a special file.

    Args:
        roots: the directories in which the files may be, all if there are none: symbolic links that lead elsewhere are OUTSIDE.

    Raises: PodwrightError, also if a file cannot be read or other content arrives than the container has.
    """
    if not paths:
        return []
    runner = ScriptRunner(client, container, paths[0] if len(paths) == 1 else f"{len(paths)} files", deadline)
    command = READ_SMALL_FILES.command(roots=encode(":".join(roots)), limit=limit)
    output = runner.query(command, names_input(map(encode, paths)), len(paths) * (limit + _HEADER_BYTES)).stdout
    found: list[bytes | int | None] = []
    for path in paths:
        content, output = _take(output, limit, f"{path} in {container}")
        found.append(content)
    return found


def _take(output: bytes, limit: int, file: str) -> tuple[bytes | int | None, bytes]:
    """(the next content, the rest of the output)."""
    header, _separator, rest = output.partition(b"\n")
    if header == _MISSING:
        return None, rest
    if header in (_OUTSIDE, _SPECIAL):
        return OUTSIDE if header == _OUTSIDE else NO_FILE, rest
    match = _HEADER.fullmatch(header)
    if match is None:
        raise PodwrightError(f"Cannot read {file}: the container answered with something else.", reason="Hostile")
    size = int(match[1])
    if size > limit:
        return size, rest
    content, rest = rest[:size], rest[size:]
    if match[2] is None:
        hint = "The user of the task must be able to read it; set run_as_user, so that its helper runs as the same user."
        raise PodwrightError(f"Cannot read {file}: permission denied.", reason="ReadFailed", hint=hint)
    if hashlib.sha256(content).hexdigest().encode() != match[2]:
        raise PodwrightError(f"{file} changed while it was read.", reason="Changed", hint="Run the task again.")
    return content, rest
