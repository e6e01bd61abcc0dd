# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the scripts print, read without trusting the container."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ..errors import PodwrightError
from ..text import decode, parse_integer
from .scripts import BLOCKED, DANGLING, IDENTITY
from .tree import DIRECTORY, FILE, LINK, ROOT, SPECIAL, Entry, Tree, ancestors, check_tree, mounts_below, show

MAX_ENTRIES = 1 << 20
MAX_PATH = 4096  # bytes of a path and of the target of a link, as Linux has it
MAX_SIZE, MAX_TIME = (1 << 63) - 1, 1 << 55  # bytes of a file, seconds since the epoch
_MAX_FACTS = 4096  # bytes before the root
_SEPARATOR = b"--\n"
_DENIED = b": Permission denied"
_TYPES = {0o100000: FILE, 0o040000: DIRECTORY, 0o120000: LINK}
_UMASK = re.compile("0?[0-7]{3}")
_SHA256 = re.compile(rb"[0-9a-f]{64}")
_ENTRY = re.compile(r"([0-9a-f]{1,8}) ([0-9]{1,19}) ([0-9]{1,10}) ([0-9]{1,10}) (-?[0-9]{1,20}) ([^ ]*) (.*)")


@dataclass(frozen=True)
class Listing:
    """What `LIST` prints.

    Attributes:
        tools: the tools of the image.
        umask: the umask of the container's user.
        is_dangling: whether the root is a dangling symbolic link.
        is_blocked: whether the root cannot be created, since a part of its path is not a directory.
        identity: what another container, also one under the same name, does not have.
        root: the root with its symbolic links resolved.
        tree: its entries.
        dangling: the symbolic links below it that cannot be followed, if they should be.
        closed: the directories that the user may not read.
        mounts: the mount points below it.
    """

    tools: frozenset[str]
    umask: int
    is_dangling: bool
    is_blocked: bool
    identity: str
    root: bytes
    tree: Tree
    dangling: frozenset[bytes] = frozenset()
    closed: frozenset[bytes] = frozenset()
    mounts: frozenset[bytes] = frozenset()


def read_listing(output: bytes) -> Listing:
    """The output of `LIST`.

    Raises: PodwrightError with the reason `Hostile` if it lists what cannot be; ValueError or LookupError if files changed while it was written.
    """
    if output.find(_SEPARATOR, 0, _MAX_FACTS) < 0:
        raise ValueError("no facts")
    rest = _Rest(output)
    words = frozenset(decode(rest.take(_SEPARATOR)).split())
    umask = next((int(word, 8) for word in words if _UMASK.fullmatch(word)), 0o022)
    identity = next((word.removeprefix(IDENTITY) for word in words if word.startswith(IDENTITY)), "")
    root = rest.take(b"\0", MAX_PATH)
    listing = Listing(words, umask, DANGLING in words, BLOCKED in words, identity, root, {})
    return listing if rest.is_empty else _read_notes(replace(listing, tree=_read_entries(root, rest)), rest)


class _Rest:
    """The rest of an output, which is read from its beginning without copying it."""

    def __init__(self, output: bytes) -> None:
        self._output, self._start = output, 0

    @property
    def is_empty(self) -> bool:
        """Whether everything was read."""
        return self._start >= len(self._output)

    def take(self, separator: bytes, limit: int | None = None) -> bytes:
        """The bytes up to a separator, which follows them. Raises: ValueError if it does not, or if there are more than `limit`."""
        stop = self._output.index(separator, self._start, None if limit is None else self._start + limit + len(separator))
        taken = self._output[self._start : stop]
        self._start = stop + len(separator)
        return taken

    def skip(self, expected: bytes) -> bool:
        """Skip these bytes if they are next. Returns: whether they were."""
        is_next = self._output.startswith(expected, self._start)
        self._start += len(expected) if is_next else 0
        return is_next

    def take_group(self) -> list[tuple[bytes, bytes]]:
        """[(line, name)] of the next group. Raises: ValueError."""
        count = parse_integer(decode(self.take(b"\n", 10)), MAX_ENTRIES)
        if count is None:
            raise ValueError("not a number of entries")
        lines = [self.take(b"\n", MAX_PATH) for _number in range(count)]
        return [(line, self.take(b"\0", MAX_PATH)) for line in lines]


def _read_entries(root: bytes, rest: _Rest) -> Tree:
    tree: Tree = {}
    names: dict[str, frozenset[str]] = {}  # the sets of names and IDs that entries share
    while not rest.skip(_SEPARATOR):
        for line, name in rest.take_group():
            tree[_relative_path(name, root)] = _read_entry(decode(line), names)
        if len(tree) > MAX_ENTRIES:
            raise PodwrightError(f"{show(root)} contains more than {MAX_ENTRIES} entries.", reason="TooLarge", hint="Copy its directories separately.")
    if not tree or (ROOT in tree and tree[ROOT].type == SPECIAL):
        raise PodwrightError(f"{show(root)} must be a file or a directory in the container.", reason="BadOption", hint="Name a file or a directory.")
    problem = check_tree(tree)
    if problem:
        raise PodwrightError(f"The container sent an inconsistent list of files: {problem}.", reason="Hostile")
    return tree


def _read_notes(listing: Listing, rest: _Rest) -> Listing:
    """The listing with what follows the entries."""
    tree, points = listing.tree, []
    dangling: set[bytes] = set()
    closed: set[bytes] = set()
    while not rest.is_empty:
        name = rest.take(b"\0", MAX_PATH)
        target = rest.take(b"\0", MAX_PATH if name else 4 * MAX_PATH)  # a byte of a mount point can be escaped by four
        path = _relative_path(name, listing.root) if name else ROOT
        if not name:
            points.append(target)
        elif path in tree and tree[path].type == LINK:
            tree[path] = replace(tree[path], target=target)
        elif not target:
            (closed if path in tree else dangling).add(path)
    return replace(listing, dangling=frozenset(dangling), closed=frozenset(closed), mounts=mounts_below(points[1:], points[0]) if points else frozenset())


def _read_entry(line: str, names: dict[str, frozenset[str]]) -> Entry:
    """The entry of a line of stat. Raises: ValueError."""
    match = _ENTRY.fullmatch(line)
    if match is None:
        raise ValueError("not a line of stat")
    mode, digits, uid, gid, seconds, user, group = match.groups()
    bits, size, mtime = int(mode, 16), int(digits), int(seconds)
    kind = _TYPES.get(bits & 0o170000, SPECIAL)
    if size > MAX_SIZE:
        raise ValueError("not the size of a file")
    # Some file systems have times that no other can store.
    mtime = max(-MAX_TIME, min(mtime, MAX_TIME))
    owners = names.setdefault(f"{uid} {user}", frozenset((uid, user)))
    groups = names.setdefault(f"{gid} {group}", frozenset((gid, group)))
    return Entry(kind, size if kind == FILE else 0, bits & 0o777, mtime, owners=owners, groups=groups)


def _relative_path(name: bytes, root: bytes) -> bytes:
    if name == root:
        return ROOT
    prefix = root.rstrip(b"/") + b"/"
    if not name.startswith(prefix):
        raise PodwrightError(f"The container listed {show(name)!r}, which is not below {show(root)!r}.", reason="Hostile")
    return name[len(prefix) :]


def denied_directories(listing: Listing, errors: bytes) -> dict[bytes, bytes]:
    """The directories that could not be listed, and why: a line of the standard error of `LIST` for each, that of ROOT if another cause is possible."""
    denied: dict[bytes, bytes] = {}
    for line in errors.splitlines():
        if line.endswith(_DENIED):
            path = line.partition(listing.root)[2].removesuffix(_DENIED).removesuffix(b"'").lstrip(b"/")
            directory = next((directory for directory in [*ancestors(path)[1:], path] if directory in listing.closed), ROOT)
            denied.setdefault(directory, line)
    return denied


def read_digests(output: bytes) -> dict[bytes, str]:
    """The digests by path that `scripts.UNPACK` prints. Raises: ValueError if one is missing."""
    digests, rest = {}, _Rest(output)
    while not rest.is_empty:
        for line, name in rest.take_group():
            if not _SHA256.fullmatch(line):
                raise ValueError("not a sha256")
            digests[name.removeprefix(b"./")] = decode(line)
    return digests
