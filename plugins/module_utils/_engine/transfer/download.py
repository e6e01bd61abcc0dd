# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a container to here: only what was asked for is written, and nothing outside of the folder asked for."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile

from ..errors import PodwrightError
from .archive import unpack
from .local import finish
from .remote import persist
from .tree import FILE, ROOT, Plan, show
from .upload import LARGE


class Download:
    """Carries a Plan out that makes a path of this machine like one of a container; the arguments are those of Upload."""

    def __init__(self, local, remote, tree, wish, plan, uses_tar, console):
        self.done = Plan(unchanged=plan.unchanged)
        self.digests = {}
        self._local, self._remote, self._tree, self._wish, self._plan, self._console = local, remote, tree, wish, plan, console
        self._uses_tar = uses_tar and tree[ROOT].sort != FILE
        self._parts = {}
        self._total = sum(tree[path].size for path in plan.send)
        self._received = 0

    def run(self) -> None:
        """Copy. Raises: PodwrightError; what was put in place before that is whole."""
        try:
            self._copy()
        except OSError as error:
            raise PodwrightError(
                f"{show(self._local.root)} cannot be written: {error.strerror} ({error.filename or 'no file'}).",
                reason="WriteFailed",
                hint="Check the path, its permissions and the space on its disk.",
            ) from error
        finally:
            for part in self._parts.values():
                if os.path.exists(part):
                    os.unlink(part)

    def _copy(self):
        plan, done, local, tree = self._plan, self.done, self._local, self._tree
        local.remove(plan.obstacles)
        done.obstacles = plan.obstacles
        parent = os.path.dirname(os.path.abspath(local.root))
        os.makedirs(parent, exist_ok=True)
        self._check_space(parent)
        local.make_folders(plan.directories)
        done.directories = plan.directories
        for path in plan.links:
            local.make_link(path, tree[path].target)
            done.links.append(path)
        together = [path for path in plan.send if self._uses_tar and tree[path].size < LARGE]
        arrived = self._receive_together(together) if together else set()
        for path in plan.send:
            if path not in arrived:
                self._receive_alone(path)
        for path in [*plan.attributes, *plan.directories, *plan.links]:
            local.set_attributes(path, tree[path], self._wish)
        done.attributes = plan.attributes
        local.remove(plan.delete)
        done.delete = plan.delete

    def _check_space(self, directory):
        free = shutil.disk_usage(directory).free
        if self._total > free:
            raise PodwrightError(f"{self._total >> 20} MiB are to be copied to {show(self._local.root)}, where {free >> 20} MiB are free.", reason="NoSpace")

    def _open_part(self, path):
        place = self._local.place(path)
        directory = os.path.dirname(os.path.abspath(place))
        if os.path.isfile(place) and not os.access(directory, os.W_OK):
            directory = None  # the file itself may be written
        descriptor, self._parts[path] = tempfile.mkstemp(prefix=b".podwright-", dir=directory)
        return open(descriptor, "wb")

    def _finish(self, path):
        finish(self._parts[path], self._local.place(path), self._tree[path], self._wish)
        if os.path.exists(self._parts[path]):
            os.unlink(self._parts[path])
        del self._parts[path]
        self.done.send.append(path)

    def _receive_together(self, paths):
        """Everything small in one archive. Returns the paths that are in place; the others have to come by themselves."""
        expected = {path: self._tree[path] for path in paths}

        def receive():
            try:
                with self._remote.open_archive(paths) as process:
                    return unpack(process, expected, self._open_part)
            except PodwrightError:
                for part in list(self._parts):
                    os.unlink(self._parts.pop(part))
                raise

        digests = persist(receive)
        there = self._remote.digests(list(digests))
        same = {path for path, digest in digests.items() if there[path] == digest}
        for path in digests:
            if path in same:
                self.digests[path] = there[path]
                self._finish(path)
            else:  # it changed meanwhile: once more, by itself
                os.unlink(self._parts.pop(path))
        return same

    def _receive_alone(self, path):
        """One file, which goes on from where a lost connection left it."""
        size, digest, written = self._tree[path].size, hashlib.sha256(), 0
        with self._open_part(path) as part:

            def take(data):
                nonlocal written
                if written + len(data) > size:
                    raise PodwrightError(f"{self._remote.container} sent more of {show(path) or self._remote.path} than it had.", reason="Changed")
                part.write(data)
                digest.update(data)
                written += len(data)
                self._received += len(data)
                self._console.progress(f"{self._received >> 20} of {self._total >> 20} MiB received from {self._remote.container}")

            there = persist(lambda: self._remote.read(path, written, size, take))
        if written != size or digest.hexdigest() != there:
            raise PodwrightError(
                f"{self._remote.path} ({show(path) or 'the file'}) changed in {self._remote.container} while it was read: "
                f"{written} of {size} bytes, sha256 {digest.hexdigest()}, there {there or 'unknown'}. Nothing was put in its place.",
                reason="Changed",
                hint="Run it again.",
            )
        self.digests[path] = there
        self._finish(path)
