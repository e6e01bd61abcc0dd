# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Trees of files as a copy may find them, and what its documentation promises of them. Nothing here uses the code of the copy."""

from __future__ import annotations

import fnmatch
import os
import shutil
import stat
from dataclasses import dataclass

NAMES = [
    b"a",
    b"b",
    b"A",
    b"sub",
    b"c d",
    b"new\nline",
    b"end\n",
    b"\n",
    b"q'uo\"te",
    b"-rf",
    b"--",
    b"\xff\xfe",
    "ünï".encode(),
    b"x" * 255,
    b"[a]",
    b"*",
    b"?",
]
NAMES += [
    b"..data",
    b"...",
    b".hidden",
    b"back\\slash",
    b"\\0101",
    b"$HOME",
    b"`id`",
    b"%s",
    b"a:b",
    b"{}",
    b"~",
    b" ",
    b"tab\t",
    b"\r",
    b"#",
    b"a;b",
    b"=",
    b"y" * 120,
]
SIZES = [0, 1, 2, 7, 511, 512, 513, 65_535, 65_536, 65_537, 140_000, 300_000]
TIMES = [1_000_000_000, 1_600_000_000, 1_600_000_000.5, 1_700_000_000, 0, -5, 1 << 32, 1 << 34]
FILE_MODES = [0o644, 0o644, 0o600, 0o755, 0o444, 0o400, 0o200, 0o000, 0o4755, 0o666, 0o775]
DIRECTORY_MODES = [0o755, 0o755, 0o755, 0o700, 0o555, 0o777, 0o1777, 0o2775, 0o300, 0o600, 0o444, 0o775]
FILE, DIRECTORY, LINK, SPECIAL = "file", "directory", "link", "special"


@dataclass(frozen=True)
class Node:
    """What is at a path; anything, if a field is None."""

    type: str
    content: bytes | None = None
    mode: int | None = None
    mtime: int | None = None
    owner: int | None = None
    group: int | None = None
    links: int = 1

    def __str__(self):
        content = len(self.content) if self.type == FILE else self.content or ""
        return f"({self.type} {content} {oct(self.mode or 0)} {self.mtime})"


def read(root):
    """{path: Node} of what is at a path and below it, without following links; the root itself is followed."""
    found = {}

    def visit(path, full_path):
        try:
            status = os.lstat(full_path) if path else os.stat(full_path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError:
            status = os.lstat(full_path)  # a link that leads to itself
        found[path] = node = _node(full_path, status)
        if node.type == DIRECTORY:
            for name in sorted(os.listdir(full_path)):
                visit(path + b"/" + name if path else name, full_path + b"/" + name)

    visit(b"", root)
    return found


def _node(full_path, status):
    mode, rest = stat.S_IMODE(status.st_mode), {"mtime": status.st_mtime_ns // 10**9, "owner": status.st_uid, "group": status.st_gid}
    rest["links"] = 1 if stat.S_ISDIR(status.st_mode) else status.st_nlink
    if stat.S_ISREG(status.st_mode):
        with open(full_path, "rb") as source:
            return Node(FILE, source.read(), mode, **rest)
    if stat.S_ISDIR(status.st_mode):
        return Node(DIRECTORY, None, mode, **rest)
    if stat.S_ISLNK(status.st_mode):
        return Node(LINK, os.readlink(full_path), None, **rest)
    return Node(SPECIAL, None, mode, **rest)


def followed(root):
    """({path: Node} with links followed, those that cannot be as SPECIAL, whether a directory contains itself)."""
    found, loops = {}, []

    def visit(path, full_path, above):
        try:
            status = os.stat(full_path)
        except OSError:
            if path:
                found[path] = Node(SPECIAL)
            return
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            loops.append(path)
            found[path] = Node(SPECIAL)
            return
        found[path] = node = _node(full_path, status)
        for name in os.listdir(full_path) if node.type == DIRECTORY else ():
            visit(path + b"/" + name if path else name, full_path + b"/" + name, {*above, identity})

    visit(b"", root, set())
    return found, bool(loops)


def leaves(tree, path):
    """Whether a link points outside its tree, also through other links; one that is absolute does."""
    parts, at, links = path.split(b"/")[::-1], [], 0
    while parts:
        part = parts.pop()
        if part == b"..":
            if not at:
                return True
            at.pop()
        elif part not in (b"", b"."):
            at.append(part)
            node = tree.get(b"/".join(at))
            if node and node.type == LINK:
                links += 1
                if node.content.startswith(b"/"):
                    return True
                if links > 40:
                    return False
                at.pop()
                parts += node.content.split(b"/")[::-1]
    return False


def is_excluded(path, patterns):
    """Whether a pattern matches a path or a directory that contains it."""
    parts = path.split(b"/")
    for length in range(1, len(parts) + 1):
        for pattern in map(os.fsencode, patterns):
            if path and fnmatch.fnmatchcase(b"/".join(parts[:length]) if b"/" in pattern else parts[length - 1], pattern):
                return True
    return False


def show(path):
    """A path as results show it."""
    return path.decode("utf-8", "backslashreplace")


def is_below(path, top):
    """Whether a path is below another one."""
    return path != top and (not top or path.startswith(top + b"/"))


@dataclass(frozen=True)
class Expectation:
    """What a copy should do.

    Attributes:
        tree: the target afterwards.
        refusal: why it may refuse, or empty.
        skipped: the paths of which a warning says that they are skipped.
    """

    tree: dict
    refusal: str = ""
    skipped: tuple = ()


def expect(source, target, options, umask, user):
    """The Expectation of a copy.

    Args:
        source, target: trees as `read` returns them, of the source perhaps as `followed` does.
        options: those of pod_copy.
        umask, user: of the process that writes the target.
    """
    patterns, skipped = options.get("exclude", []), []
    wanted = {path: node for path, node in source.items() if not is_excluded(path, patterns)}
    for path, node in list(wanted.items()):
        if node.type == SPECIAL or (options.get("state") == "from_pod" and node.type == LINK and leaves(source, path)):
            skipped.append(path)
            del wanted[path]
    kept = {path for path in target if is_excluded(path, patterns) or any(path == top or is_below(path, top) for top in skipped)}
    after = {}
    for path, node in target.items():
        holds_kept = any(is_below(other, path) for other in kept)
        if path in kept or path in wanted or holds_kept or not options.get("delete"):
            after[path] = node
    refusal = ""
    for path, node in wanted.items():
        current = target.get(path)
        if current and current.type != node.type:
            below = [other for other in after if is_below(other, path)]
            if not path or (current.type == DIRECTORY and (not options.get("delete") or set(below) & kept)):
                refusal = refusal or f"{path!r} is a {current.type} and becomes a {node.type}"
            for other in below:
                after.pop(other, None)
            current = None
        after[path] = desired(node, current, options, umask, user)
        if not path and current and node.type == DIRECTORY:
            after[path] = current
    return Expectation(after, refusal, tuple(skipped))


def desired(node, current, options, umask, user):
    """What the copy of an entry should be where `current` was, which is of the same type."""
    preserves = not options.get("no_preserve") and "content" not in options
    owner = options.get("owner")
    group = options.get("group")
    owned = {"owner": int(owner) if owner else current.owner if current else user, "group": int(group) if group else current.group if current else None}
    if node.type == LINK:
        return Node(LINK, node.content, **owned)
    if node.type == DIRECTORY:
        mode = node.mode & 0o777 if preserves else current.mode & 0o777 if current else 0o777 & ~umask
        return Node(DIRECTORY, None, mode | (current.mode & 0o7000 if current else 0), **owned)
    if options.get("checksum", True):
        is_same = current is not None and current.content == node.content
    else:
        is_same = current is not None and (current.mtime, len(current.content)) == (node.mtime, len(node.content))
    mode = node.mode & 0o777 if preserves else current.mode & 0o777 if current else 0o666 & ~umask
    if options.get("mode"):
        mode = int(options["mode"], 8)
    if is_same:
        return Node(FILE, current.content, mode, current.mtime, **owned)
    if current and not owner:
        owned["owner"] = None  # the file is another one, or written in place
    if current and not group:
        owned["group"] = None
    return Node(FILE, node.content, mode, node.mtime if preserves else None, **owned)


def differences(found, expected):
    """What differs between a tree and an expected one, as texts."""
    lines = [f"{path!r} is missing: {_short(expected[path])}" for path in expected.keys() - found.keys()]
    lines += [f"{path!r} is too much: {_short(found[path])}" for path in found.keys() - expected.keys()]
    for path in expected.keys() & found.keys():
        for name in ("type", "content", "mode", "mtime", "owner", "group"):
            want, got = getattr(expected[path], name), getattr(found[path], name)
            is_shared = name in ("mode", "owner", "group", "mtime") and found[path].links > 1
            if want is None or got is None or is_shared or (name == "mtime" and found[path].type == DIRECTORY):
                continue
            if (want & 0o777 != got & 0o777 or want & ~got) if name == "mode" else want != got:
                shown = (oct(want), oct(got)) if name == "mode" else (_short(want), _short(got))
                lines.append(f"{path!r}: {name} is {shown[1]}, not {shown[0]}")
    return sorted(lines)


def _short(value):
    text = repr(value)
    return text if len(text) < 90 else f"{text[:60]}...{len(text)}"


# -- changes ------------------------------------------------------------------------------------------------


class Gardener:
    """Changes trees at random.

    Args:
        names: the names that it uses.
        outside: a directory outside the trees to which links lead.
        users: the owners that entries may have, empty if it cannot change owners.
    """

    def __init__(self, rng, names, outside, users):
        self.rng, self.names, self.outside, self.users = rng, names, outside, users

    def change(self, root, other):
        """A few changes below a directory, some of them such that it resembles another one."""
        if os.path.lexists(root) and not os.path.isdir(root):
            remove(root)
        os.makedirs(root, exist_ok=True)
        for _number in range(self.rng.choice([0, 1, 2, 4, 7])):
            directories = [path for path, node in read(root).items() if node.type == DIRECTORY]
            path = self._path(self.rng.choice(directories))
            if len(path) < 900:
                self.grow(root + b"/" + path)
        paths = [path for path in read(other) if path] if os.path.isdir(other) else []
        for _number in range(self.rng.choice([0, 1, 3]) if paths else 0):
            self.imitate(root, other, self.rng.choice(paths))
        for path in [path for path in read(root) if path]:
            if self.rng.random() < 0.3:
                self.perturb(root + b"/" + path)

    def _path(self, directory):
        name = self.rng.choice(self.names)
        return directory + b"/" + name if directory else name

    def grow(self, full_path):
        """Something new at a path."""
        if os.path.lexists(full_path):
            if self.rng.random() < 0.6:
                return
            remove(full_path)
        kind = self.rng.choice(["file"] * 6 + ["directory"] * 4 + ["link"] * 3 + ["hard link", "fifo"])
        if kind == "file":
            self.fill(full_path)
        elif kind == "directory":
            os.mkdir(full_path)
            if self.rng.random() < 0.5:
                self.grow(full_path + b"/" + self.rng.choice(self.names))
            os.chmod(full_path, self.rng.choice(DIRECTORY_MODES))
        elif kind == "link":
            os.symlink(self.target(), full_path)
        elif kind == "fifo":
            os.mkfifo(full_path)
        else:
            candidates = [path for path in siblings(full_path) if os.path.isfile(path) and not os.path.islink(path)]
            os.link(self.rng.choice(candidates), full_path) if candidates else self.fill(full_path)
        if self.users and self.rng.random() < 0.2 and os.stat(full_path, follow_symlinks=False).st_nlink < 2:
            os.chown(full_path, self.rng.choice(self.users), self.rng.choice(self.users), follow_symlinks=False)

    def target(self):
        name, other = self.rng.choice(self.names), self.rng.choice(self.names)
        candidates = [name, name, b"../" + name, b"./" + name + b"/" + other, b"../../" + name, b"..", b".", b"missing", self.outside, self.outside + b"/file"]
        return self.rng.choice([*candidates, b"../../outside/file", b"/etc/hostname", name + b"/../" + other])

    def fill(self, full_path, size=None):
        """Write a file."""
        size = self.rng.choice(SIZES) if size is None else size
        with open(full_path, "wb") as sink:
            if size > 1000 and self.rng.random() < 0.3:
                sink.truncate(size)
                sink.seek(self.rng.randrange(size))
                size = 1
            sink.write(self.rng.randbytes(size))
        os.chmod(full_path, self.rng.choice(FILE_MODES))
        seconds = self.rng.choice(TIMES)
        os.utime(full_path, (seconds, seconds))

    def imitate(self, root, other, path):
        """Have what another tree has at a path."""
        if not os.path.isdir(os.path.dirname(root + b"/" + path)) or has_links(root, path):
            return
        status = os.lstat(other + b"/" + path)
        if os.path.lexists(root + b"/" + path):
            remove(root + b"/" + path)
        if stat.S_ISDIR(status.st_mode):
            shutil.copytree(other + b"/" + path, root + b"/" + path, symlinks=True, copy_function=copy_file)
        else:
            copy_file(other + b"/" + path, root + b"/" + path)

    def perturb(self, full_path):
        """Change an entry a little."""
        if not os.path.lexists(full_path):
            return
        status = os.lstat(full_path)
        if not stat.S_ISREG(status.st_mode):
            if stat.S_ISDIR(status.st_mode):
                os.chmod(full_path, self.rng.choice(DIRECTORY_MODES))
            return
        if status.st_nlink > 1:
            return
        what = self.rng.choice(["content", "content", "time", "time", "mode", "size", "touch", "owner"])
        if what == "content" and status.st_size:
            with open(full_path, "r+b") as sink:
                sink.write(bytes([self.rng.randrange(256)]))
            os.utime(full_path, (status.st_mtime, status.st_mtime))
        elif what == "time":
            seconds = self.rng.choice([*TIMES, status.st_mtime + 0.25])
            os.utime(full_path, (seconds, seconds))
        elif what == "mode":
            os.chmod(full_path, self.rng.choice(FILE_MODES))
        elif what == "size":
            os.truncate(full_path, max(0, status.st_size + self.rng.choice([-1, 1])))
        elif what == "owner" and self.users:
            os.chown(full_path, self.rng.choice(self.users), self.rng.choice(self.users))


def has_links(root, path):
    parts = path.split(b"/")
    return any(os.path.islink(root + b"/" + b"/".join(parts[:length])) for length in range(1, len(parts)))


def siblings(full_path):
    directory = os.path.dirname(full_path)
    return [directory + b"/" + name for name in sorted(os.listdir(directory))]


def copy_file(source, target, **_options):
    """Copy a file with its times and mode, a link or anything else."""
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
    elif os.path.isfile(source):
        shutil.copy2(source, target)
    else:
        os.mkfifo(target)
    return target


def remove(full_path):
    """Delete whatever is there."""
    if os.path.isdir(full_path) and not os.path.islink(full_path):
        shutil.rmtree(full_path)
    else:
        os.unlink(full_path)
