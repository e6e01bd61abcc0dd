# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A path in a container as one side of a copy."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..text import decode
from . import scripts
from .list_script import LIST
from .listing import denied_directories, read_digests, read_listing
from .listing_errors import check_links, explain_listing
from .local import size_mismatch
from .runner import MAX_ERRORS, MAX_LISTING, NO_INPUT, Attributes, Input, Output, ScriptFailed, ScriptRunner, names_below, names_input
from .scripts import HELPER_ROOT, PART, STAGE, TOOLS, Exit, Script
from .tree import FILE, ROOT, Tree, hidden, show, without_excluded

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.exec import Process
    from ..cluster.exec_command import Container

CLEAN_UP_SECONDS = 10
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._+@%=,:-]+")  # a pattern that find(1) matches like `without_excluded`
_DIGEST_LINES = 128  # bytes that UNPACK prints for a file beside its path, at most


class ContainerTree:
    """A path in a container and what it contains. Methods take paths relative to it, and raise PodwrightError.

    Args:
        container: the container in which commands run: a helper, if `is_helper`, that accesses the files of its target container.
        path: the path as the user wrote it.
        deadline: the time of the client's clock at which a command is terminated, or None.
        exclude: the patterns of what is excluded; that is listed, but not what it contains, as far as it is simple.

    Attributes:
        root: the path for commands in the container; `observe` resolves it for a helper.
        tools: the tools of the image, known after `observe`.
        umask: the umask of the container's user, known after `observe`.
        is_dangling, is_blocked: whether it is a dangling symbolic link; whether a part of its path is not a directory. Known after `observe`.
        is_link: whether the root is a symbolic link that is followed, known after `observe`.
        skipped: the paths that `observe` found and left out of the tree: symbolic links that cannot be followed.
        mounts: the mount points below the root, known after `observe`.
        closed: the error of each directory that could not be listed, by path, known after `observe_target`.
    """

    def __init__(
        self, client: Client, container: Container, path: str, is_helper: bool = False, deadline: float | None = None, exclude: Sequence[str] = ()
    ) -> None:
        self._runner = ScriptRunner(client, container, path, deadline)
        self.container = container
        self.path = path
        self.is_helper = is_helper
        name = path.encode("utf-8", "surrogateescape")
        if not name.startswith(b"/"):
            name = (b"/" if is_helper else b"./") + name
        self.root = (HELPER_ROOT.encode() if is_helper else b"") + (name.rstrip(b"/") or b"/")
        self._follows = False
        self.tools: frozenset[str] = frozenset()
        self.umask = 0o022
        self.is_link = self.is_dangling = self.is_blocked = False
        self.exclude = exclude
        self.skipped: frozenset[bytes] = frozenset()
        self.mounts: frozenset[bytes] = frozenset()
        self.closed: dict[bytes, PodwrightError] = {}

    def child(self, name: str) -> ContainerTree:
        """The path of that name in this directory."""
        child = copy.copy(self)
        child.path = f"{self.path.rstrip('/')}/{name}"
        child._runner = replace(self._runner, path=child.path)
        child.mounts, child.closed = frozenset(), {}
        child.root = self.root.rstrip(b"/") + b"/" + name.encode("utf-8", "surrogateescape")
        return child

    def branch(self) -> ContainerTree:
        """The same path; `cancel` closes the streams of this branch alone."""
        branch = copy.copy(self)
        branch._runner = self._runner.branch()
        return branch

    def cancel(self) -> None:
        """Close the streams, so that threads which wait for them stop waiting."""
        self._runner.client.streams.cancel()

    def full_path(self, path: bytes) -> bytes:
        """The path from the root directory or the working directory of the container."""
        return self.root + b"/" + path if path else self.root

    # -- reading --------------------------------------------------------------------------------------------

    def observe(self, follow: bool = False, shallow: bool = False) -> Tree:
        """The tree in the container as a source: a directory that cannot be listed is an error, unless it is excluded. Otherwise like `observe_target`."""
        tree = self.observe_target(follow, shallow)
        for path in without_excluded({path: tree[path] for path in self.closed}, self.exclude):
            raise self.closed[path]
        return tree

    def observe_target(self, follow: bool = False, shallow: bool = False) -> Tree:
        """The tree in the container.

        Args:
            follow: whether symbolic links are followed. Dangling links are not listed then.
            shallow: whether only the root and what it directly contains is listed.

        Raises: PodwrightError; its reason is `NoShell` or `NoTools` if the image lacks a tool.
        """
        if follow:
            linked = without_excluded(self.observe_target(shallow=shallow), self._pruned)
            check_links(linked, self.root, self._runner, self.is_helper)
        self._follows = follow
        tests = ("-maxdepth 1" if shallow else "") + (" ! -type l" if follow else "")
        command = LIST.command(root=self.root, follow="-L" if follow else "", tests=tests, pruned=" ".join(self._pruned))
        try:
            output = self._runner.query(command, limit=MAX_LISTING)
        except ScriptFailed as error:
            raise explain_listing(error) from error
        try:
            listing = read_listing(output.stdout)
        except (ValueError, LookupError) as error:
            raise PodwrightError(
                f"Cannot list {self.path} in {self.container}: its files changed meanwhile.", reason="Changed", hint="Run the task again."
            ) from error
        missing = TOOLS - listing.tools
        if missing:
            raise PodwrightError(f"The image of {self.container} lacks {', '.join(sorted(missing))}.", reason="NoTools", hint="Set method to helper.")
        self.tools, self.umask = listing.tools, listing.umask
        self.is_link, self.is_dangling, self.is_blocked = listing.root != self.root, listing.is_dangling, listing.is_blocked
        self._runner = replace(self._runner, identity=listing.identity)
        if self.is_helper or (ROOT in listing.tree and listing.tree[ROOT].type == FILE):
            self.root = listing.root  # the file that a symbolic link leads to is replaced, not the link
        self.skipped, self.mounts = listing.dangling, listing.mounts
        denied = denied_directories(listing, output.stderr)
        if ROOT in denied or (denied and len(output.stderr) >= MAX_ERRORS):
            raise self._runner.failure(output.stderr)
        self.closed = {path: self._runner.failure(line) for path, line in denied.items()}
        return listing.tree

    @property
    def _pruned(self) -> list[str]:
        return [pattern.strip("/") for pattern in self.exclude if _PLAIN_NAME.fullmatch(pattern.strip("/"))]

    def digests(self, paths: Sequence[bytes]) -> dict[bytes, str]:
        """The sha256 of each file, by path."""
        if not paths:
            return {}
        if list(paths) == [ROOT]:
            output = self._runner.query(scripts.DIGEST_ROOT.command(root=self.root))
            lines = decode(output.stdout).split()[:1]
        else:
            output = self._runner.query(scripts.DIGEST_FILES.command(root=self.root), names_below(paths), 66 * len(paths) + MAX_ERRORS)
            lines = decode(output.stdout).split()
        if len(lines) != len(paths):
            raise PodwrightError(f"Cannot read a file below {self.path} in {self.container}: {decode(output.stderr).strip()[:500]}", reason="ReadFailed")
        return dict(zip(paths, lines, strict=True))

    def read(self, path: bytes, start: int, size: int, sink: Callable[[bytes], object]) -> str:
        """Call the sink with the bytes of a file from `start` up to `size`. Returns: the sha256 of all `size` bytes that the container computed."""
        left = size - start

        def take(data: bytes) -> None:
            nonlocal left
            left -= len(data)
            if left < 0 and not size:
                raise size_mismatch(f"{show(path) or self.path} from {self.container}")
            if left < 0:
                message = f"Received more than the {size} bytes of {show(path) or self.path} from {self.container}."
                raise PodwrightError(message, reason="Changed", hint="Run the task again.")
            sink(data)

        output = self._runner.run(scripts.READ_FILE.command(file=self.full_path(path), start=start, size=size), sink=take)
        return (decode(output.stderr).split() or [""])[0]

    def open_archive(self, paths: Iterable[bytes]) -> Process:
        """A process that prints files of the tree as tar archives, one after the other."""
        return self._runner.process(scripts.READ_FILES.command(root=self.root, flags="chf" if self._follows else "cf"), names_below(paths))

    # -- writing --------------------------------------------------------------------------------------------

    def create_root(self) -> None:
        """Create the root as a directory."""
        self._runner.run(scripts.CREATE_ROOT.command(root=self.root))

    def create_directories(self, paths: Sequence[bytes]) -> None:
        """Create directories below the root, and their parents."""
        self._change(scripts.CREATE_DIRECTORIES, paths)

    def create_links(self, links: Mapping[bytes, bytes]) -> None:
        """Create symbolic links or replace those that exist.

        Args:
            links: their targets, by path.
        """
        if links:
            names = names_input(name for path, target in links.items() for name in (target, b"./" + path))
            self._runner.run(scripts.CREATE_LINKS.command(root=self.root), names)

    def missing(self, paths: Sequence[bytes]) -> list[bytes]:
        """Those of the entries that are known not to exist."""
        try:
            output = self._runner.query(scripts.FIND_MISSING.command(root=self.root), names_below(paths), sum(len(path) + 3 for path in paths))
        except PodwrightError:
            return []
        found = {name.removeprefix(b"./") for name in output.stdout.split(b"\0")}
        return [path for path in paths if path in found]

    def delete(self, paths: Sequence[bytes]) -> None:
        """Delete entries with what they contain."""
        self._change(scripts.DELETE, paths)

    def set_mode(self, paths: Sequence[bytes], mode: str) -> None:
        """Set the mode of files and directories, as for chmod(1)."""
        self._change(scripts.SET_MODE, paths, mode=mode)

    def set_owner(self, paths: Sequence[bytes], owner: str) -> None:
        """Set the owner and group of entries, `OWNER:GROUP` as for chown(1)."""
        self._change(scripts.SET_OWNER, paths, owner=owner)

    def _change(self, script: Script, paths: Sequence[bytes], **variables: str) -> None:
        if list(paths) == [ROOT]:  # which may be a file
            directory, _slash, name = self.root.rpartition(b"/")
            self._runner.run(script.command(root=directory or b"/", **variables), names_input([b"./" + name]))
        elif paths:
            self._runner.run(script.command(root=self.root, **variables), names_below(paths))

    def write(self, path: bytes, source: Callable[[], Iterable[bytes]], size: int, digest: str, attributes: Attributes, token: str) -> None:
        """Write a file under a temporary name, verify it and rename it.

        Args:
            source: called for the content.
            size: its bytes.
            digest: its sha256.
            token: a name for this attempt.

        Raises: PodwrightError; its reason is `Changed` if other content arrives.
        """
        command = scripts.WRITE_FILE.command(**self._names(path), token=token, size=size, expected=digest, **attributes.variables())
        self._write(path, command, Input(source, size, is_bounded=True))

    def create(self, path: bytes, token: str) -> None:
        """Create the temporary file of an attempt whose parts `write_part` writes; deletes those of earlier attempts."""
        self._write(path, scripts.CREATE_FILE.command(**self._names(path), token=token))

    def write_part(self, path: bytes, source: Callable[[], Iterable[bytes]], start: int, size: int, token: str) -> str:
        """Write a part of a file under a temporary name, which `finish` renames. Several may be written at once.

        Args:
            source: called for the content.
            start: the offset of the part in the file, a multiple of `scripts.BLOCK`.
            size: its bytes, a multiple of `scripts.BLOCK` unless it is the last part.
            token: a name for this attempt at the whole file.

        Returns: the sha256 of the part that the container computed.
        """
        command = scripts.WRITE_PART.command(**self._names(path), token=token, start=start, size=size)
        output = self._write(path, command, Input(source, size, is_bounded=True))
        return decode(output.stdout).strip()

    def finish(self, path: bytes, size: int, attributes: Attributes, token: str) -> None:
        """Rename a file of `size` bytes whose parts are written, and set its attributes."""
        self._write(path, scripts.FINISH_FILE.command(**self._names(path), token=token, size=size, **attributes.variables()))

    def _names(self, path: bytes) -> dict[str, bytes]:
        return {"prefix": self._part_prefix(path), "target": self.full_path(path)}

    def _write(self, path: bytes, command: list[str], given: Input = NO_INPUT) -> Output:
        try:
            return self._runner.run(command, given)
        except ScriptFailed as error:
            if error.rc not in (Exit.REJECTED, Exit.REJECTED_IN_PLACE):
                raise
            raise self.content_changed(path, is_in_place=error.rc == Exit.REJECTED_IN_PLACE) from error

    def content_changed(self, path: bytes, is_in_place: bool | None = False) -> PodwrightError:
        """The error if other content arrived than was sent.

        Args:
            is_in_place: whether the target itself was written, or None if that is unknown.
        """
        consequences = {
            False: "The target is unchanged.",
            True: "The target was overwritten, since its directory accepts no other file.",
            None: "The target is unchanged, unless its directory accepts no other file.",
        }
        return PodwrightError(
            f"{self.path} ({show(path) or 'the file'}) arrived in {self.container} with another sha256 than it was sent with: "
            f"it changed while it was read, or bytes were lost. {consequences[is_in_place]}",
            reason="Changed",
            hint="Run the task again.",
        )

    def unpack(self, token: str, archive: Callable[[], Iterable[bytes]], paths: Iterable[bytes]) -> dict[bytes, str]:
        """Unpack a tar archive into a staging directory. Returns: the sha256 of each file in it, by path.

        Args:
            token: a name for the staging directory.
            archive: called for the bytes of the archive.
            paths: what it contains.
        """
        limit = sum(len(path) + _DIGEST_LINES for path in paths) + MAX_ERRORS
        output = self._runner.run(scripts.UNPACK.command(root=self.root, prefix=self._stage_prefix, token=token), Input(archive), limit=limit)
        try:
            return read_digests(output.stdout)
        except ValueError as error:
            message = f"Cannot compute the sha256 of the files that arrived in {self.container}."
            raise PodwrightError(message, reason="CopyFailed", hint="Run the task again, or set method to stream.") from error

    def install(self, token: str, owner: str) -> None:
        """Move the content of a staging directory to the root, with that owner unless it is empty. Directories that exist are merged."""
        self._runner.run(scripts.INSTALL.command(root=self.root, prefix=self._stage_prefix, token=token, owner=owner))

    def clean_up(self, paths: Iterable[bytes], run: str) -> None:
        """Delete staging directories and the temporary files of these paths if possible, also after the deadline; only those whose tokens begin with `run`."""
        runner = replace(self._runner, deadline=self._runner.client.clock.monotonic() + CLEAN_UP_SECONDS, identity="")
        try:
            runner.run(scripts.CLEAN_UP.command(root=self.root, run=run), names_input([self._stage_prefix, *(self._part_prefix(path) for path in paths)]))
        except PodwrightError:
            pass  # the error that led here is reported

    @property
    def _stage_prefix(self) -> bytes:
        return hidden(self.root, STAGE)

    def _part_prefix(self, path: bytes) -> bytes:
        return hidden(self.full_path(path), PART)
