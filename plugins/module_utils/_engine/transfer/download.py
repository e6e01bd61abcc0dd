# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copy from a container: nothing but the requested files is written, and nothing outside the target."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING

from ..errors import PodwrightError
from ..scratch import PREFIX, Scratch
from .archive import unpack
from .local import size_mismatch
from .plan import LARGE, CopyOptions, Plan, split_attributes
from .runner import retry_on_connection_loss
from .tree import FILE, ROOT, Tree, show

if TYPE_CHECKING:
    from ..console import Console
    from .local import LocalTree
    from .remote import ContainerTree


class Download:
    """Executes the plan of a copy from a container. The arguments and attributes are those of Upload."""

    def __init__(self, local: LocalTree, remote: ContainerTree, tree: Tree, options: CopyOptions, plan: Plan, uses_tar: bool, console: Console) -> None:
        self.done = Plan(unchanged=plan.unchanged)
        self.digests: dict[bytes, str] = {}
        self._local, self._remote, self._tree, self._options, self._plan, self._console = local, remote, tree, options, plan, console
        self._uses_tar = uses_tar and tree[ROOT].type != FILE
        self._temporary: dict[bytes, bytes] = {}  # the temporary file of each path
        top = os.path.abspath(local.root)
        self._scratch = Scratch(os.path.dirname(top) if tree[ROOT].type == FILE else top)
        self._total = sum(tree[path].size for path in plan.files)
        self._received = 0

    def run(self) -> None:
        """Copy. Raises: PodwrightError; the files in `done` are complete."""
        try:
            with self._scratch:
                try:
                    self._copy()
                finally:
                    self._discard(list(self._temporary))
        except OSError as error:
            place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
            raise PodwrightError(
                f"Cannot copy to {show(self._local.root)}: {place}{error.strerror}.",
                reason="WriteFailed",
                hint="Check the path, its permissions and the free disk space.",
            ) from error

    def _copy(self) -> None:
        plan, done, local, tree = self._plan, self.done, self._local, self._tree
        early, late = split_attributes(plan.attributes, tree, self._options)
        self._each(early, self._set_attributes, done.attributes)
        self._each(plan.obstacles, local.delete, done.obstacles)
        parent = os.path.dirname(os.path.abspath(local.root))
        os.makedirs(parent, exist_ok=True)
        self._check_space(parent)
        self._each(plan.directories, local.create_directory, done.directories)
        self._each(plan.links, lambda path: local.create_link(path, tree[path].target), done.links)
        # GNU tar interprets backslashes in the names that it is given.
        archived = [path for path in plan.files if self._uses_tar and tree[path].size < LARGE and b"\\" not in path]
        received = self._receive_archive(archived) if archived else set()
        for path in plan.files:
            if path not in received:
                self._receive_file(path)
        self._each(plan.delete, local.delete, done.delete)
        for path in [*plan.links, *reversed(plan.directories)]:
            self._set_attributes(path)
        self._each(reversed(late), self._set_attributes, done.attributes)
        done.attributes = plan.attributes

    def _set_attributes(self, path: bytes) -> None:
        self._local.set_attributes(path, self._tree[path], self._options)

    def _each(self, paths: Iterable[bytes], change: Callable[[bytes], None], done: list[bytes]) -> None:
        """Change each path."""
        for path in paths:
            self.done.is_uncertain = True
            change(path)
            done.append(path)
            self.done.is_uncertain = False

    def _check_space(self, directory: bytes) -> None:
        free = shutil.disk_usage(directory).free
        if self._total > free:
            message = f"Cannot copy {self._total >> 20} MiB to {show(self._local.root)}: {free >> 20} MiB are free."
            raise PodwrightError(message, reason="NoSpace", hint="Free disk space there, or copy to another path.")

    # -- temporary files ------------------------------------------------------------------------------------

    def _open_temporary(self, path: bytes) -> IO[bytes]:
        target = self._local.full_path(path)
        directory = os.path.dirname(os.path.abspath(target))
        is_in_place = os.path.isfile(target) and not os.access(directory, os.W_OK, effective_ids=True)
        descriptor, self._temporary[path] = tempfile.mkstemp(prefix=PREFIX) if is_in_place else self._scratch.create(directory)
        return open(descriptor, "wb")

    def _discard(self, paths: list[bytes]) -> None:
        for path in paths:
            temporary = self._temporary.pop(path)
            if os.path.exists(temporary):
                os.unlink(temporary)

    def _finish(self, path: bytes) -> None:
        self._local.finish(self._temporary[path], path, self._tree[path], self._options)
        self._discard([path])
        self.done.files.append(path)

    # -- receiving ------------------------------------------------------------------------------------------

    def _receive_archive(self, paths: list[bytes]) -> set[bytes]:
        """Receive files as an archive. Returns: the paths that are finished; the others must be received separately."""
        expected = {path: self._tree[path] for path in paths}

        def receive() -> dict[bytes, str]:
            try:
                with self._remote.open_archive(paths) as process:
                    return unpack(process, expected, self._open_temporary)
            except PodwrightError:
                self._discard(list(self._temporary))
                raise

        digests = retry_on_connection_loss(receive)
        sent = self._remote.digests(list(digests))
        verified = {path for path, digest in digests.items() if sent[path] == digest}
        for path in digests:
            if path in verified:
                self.digests[path] = sent[path]
                self._finish(path)
            else:  # it changed meanwhile
                self._discard([path])
        return verified

    def _receive_file(self, path: bytes) -> None:
        """Receive a file; after a connection loss, the rest of it."""
        size, digest, written = self._tree[path].size, hashlib.sha256(), 0
        with self._open_temporary(path) as temporary:

            def take(data: bytes) -> None:
                nonlocal written
                temporary.write(data)
                digest.update(data)
                written += len(data)
                self._received += len(data)
                if self._total >> 20:
                    self._console.progress(f"{self._received >> 20} of {self._total >> 20} MiB received from {self._remote.container}")

            sent = retry_on_connection_loss(lambda: self._remote.read(path, written, size, take))
        if written < size and digest.hexdigest() == sent:
            raise self._size_mismatch(path)
        if written != size or digest.hexdigest() != sent:
            raise PodwrightError(
                f"{self._remote.path} ({show(path) or 'the file'}) changed in {self._remote.container} while it was read: "
                f"received {written} of {size} bytes with sha256 {digest.hexdigest()}, sent with {sent or 'an unknown one'}. The target is unchanged.",
                reason="Changed",
                hint="Run the task again.",
            )
        self.digests[path] = sent
        self._finish(path)

    def _size_mismatch(self, path: bytes) -> PodwrightError:
        return size_mismatch(f"{show(path) or self._remote.path} from {self._remote.container}")
