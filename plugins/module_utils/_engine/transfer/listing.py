# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the scripts print, read without trusting the container."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ..errors import PodwrightError
from ..text import decode
from .scripts import KEEPS_MODE
from .tree import DIRECTORY, FILE, LINK, ROOT, Entry, Tree, check_tree, show

_SEPARATOR = b"--\n"
_TYPES = {0o100000: FILE, 0o040000: DIRECTORY, 0o120000: LINK}
_UMASK = re.compile("0?[0-7]{3}")
_SHA256 = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True)
class Listing:
    """What `scripts.LIST` prints.

    Attributes:
        tools: the tools of the image.
        umask: the umask of the container's user.
        keeps_mode: whether the mode of the root must not be changed: it is a mount point or belongs to another user.
        root: the root with its symbolic links resolved.
        tree: its entries.
    """

    tools: frozenset[str]
    umask: int
    keeps_mode: bool
    root: bytes
    tree: Tree


def read_listing(output: bytes) -> Listing:
    """The output of `scripts.LIST`.

    Raises: PodwrightError with the reason `Hostile` if it lists what cannot be; ValueError or LookupError if files changed while it was written.
    """
    facts, _separator, rest = output.partition(_SEPARATOR)
    words = frozenset(decode(facts).split())
    umask = next((int(word, 8) for word in words if _UMASK.fullmatch(word)), 0o022)
    root, _separator, rest = rest.partition(b"\0")
    return Listing(words, umask, KEEPS_MODE in words, root, _read_tree(root, rest) if rest else {})


def _read_tree(root: bytes, rest: bytes) -> Tree:
    tree: Tree = {}
    while not rest.startswith(_SEPARATOR):
        lines, names, rest = _take_group(rest)
        for line, name in zip(lines, names, strict=True):
            entry = _read_entry(decode(line))
            if entry:
                tree[_relative_path(name, root)] = entry
    links = rest[len(_SEPARATOR) :].split(b"\0")[:-1]
    for name, target in zip(links[::2], links[1::2], strict=True):
        path = _relative_path(name, root)
        if path in tree and tree[path].type == LINK:
            tree[path] = replace(tree[path], target=target)
    if not tree:
        raise PodwrightError(f"{show(root)} must be a file or a directory in the container.", reason="BadOption", hint="Check remote_path.")
    problem = check_tree(tree)
    if problem:
        raise PodwrightError(f"The container sent an inconsistent list of files: {problem}.", reason="Hostile")
    return tree


def _take_group(output: bytes) -> tuple[list[bytes], list[bytes], bytes]:
    """The lines and the names of the first group, and what follows it."""
    count, _separator, rest = output.partition(b"\n")
    *lines, rest = rest.split(b"\n", int(count))
    *names, rest = rest.split(b"\0", int(count))
    return lines, names, rest


def _read_entry(line: str) -> Entry | None:
    """The entry of a line of stat, or None if it is neither a file, a directory nor a symbolic link."""
    mode, size, uid, gid, mtime, user, group = line.split(" ", 6)
    bits = int(mode, 16)
    kind = _TYPES.get(bits & 0o170000)
    if kind is None:
        return None
    return Entry(kind, int(size) if kind == FILE else 0, bits & 0o777, int(mtime), owners=frozenset((uid, user)), groups=frozenset((gid, group)))


def _relative_path(name: bytes, root: bytes) -> bytes:
    if name == root:
        return ROOT
    prefix = root.rstrip(b"/") + b"/"
    if not name.startswith(prefix):
        raise PodwrightError(f"The container listed {show(name)!r}, which is not below {show(root)!r}.", reason="Hostile")
    return name[len(prefix) :]


def read_digests(output: bytes) -> dict[bytes, str]:
    """The digests by path that `scripts.UNPACK` prints. Raises: ValueError if one is missing."""
    digests = {}
    while output:
        lines, names, output = _take_group(output)
        for line, name in zip(lines, names, strict=True):
            if not _SHA256.fullmatch(line):
                raise ValueError("not a sha256")
            digests[name.removeprefix(b"./")] = decode(line)
    return digests
