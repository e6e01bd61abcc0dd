# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The end of a copy where this process runs."""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import shutil
import stat

from ..errors import PodwrightError
from ..files import file_mode
from .tree import DIRECTORY, FILE, LINK, ROOT, Entry, show

PIECE = 1 << 18
_NO_RENAME = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS)


class LocalTree:
    """A path of this machine and what is below it.

    Args:
        path: text; the root of every relative path given to the methods.
        follow: whether symbolic links below it are followed.
    """

    def __init__(self, path, follow=False):
        self.root = os.fsencode(path)
        self._follow = follow

    def observe(self, console, depth=None):
        """{path: Entry} of what is there, so many folders deep; empty where nothing is.

        What is no file, folder or link is left out with a warning.
        """
        tree = {}
        self._observe_into(tree, ROOT, os.path.realpath(self.root), console, (), depth)
        return tree

    def _observe_into(self, tree, path, place, console, above, depth):
        try:
            status = os.stat(place) if self._follow or path == ROOT else os.lstat(place)
        except FileNotFoundError:
            if path != ROOT:
                console.warn(f"{show(place)} leads nowhere and is left out.")
            return
        except OSError as error:
            raise _unreadable(place, error) from error
        entry = _entry(place, status)
        if entry is None:
            console.warn(f"{show(place)} is no file, folder or link and is left out.")
            return
        tree[path] = entry
        identity = (status.st_dev, status.st_ino)
        if entry.sort != DIRECTORY or identity in above or len(above) == depth:
            return
        try:
            names = sorted(os.listdir(place))
        except OSError as error:
            raise _unreadable(place, error) from error
        for name in names:
            self._observe_into(tree, path + b"/" + name if path else name, os.path.join(place, name), console, (*above, identity), depth)

    def place(self, path):
        """The full path, bytes."""
        return os.path.join(self.root, path) if path else self.root

    def pieces(self, path, start=0, size=None):
        """A file's content in pieces, from an offset on, all of it or so many bytes. Raises: PodwrightError, also where there are fewer."""
        left = size
        try:
            with open(self.place(path), "rb") as source:
                source.seek(start)
                while piece := source.read(PIECE if left is None else min(PIECE, left)):
                    yield piece
                    left = None if left is None else left - len(piece)
        except OSError as error:
            raise _unreadable(self.place(path), error) from error
        if left:
            raise changed(self.place(path))

    def digests(self, paths):
        """{path: sha256} of files."""
        return {path: digest_of(self.pieces(path)) for path in paths}

    # -- writing --------------------------------------------------------------------------------------------

    def remove(self, paths):
        """Remove files, links and whole folders."""
        for path in paths:
            place = self.place(path)
            if os.path.isdir(place) and not os.path.islink(place):
                shutil.rmtree(place)
            elif os.path.lexists(place):
                os.unlink(place)

    def make_folders(self, paths):
        """Make folders, parents first."""
        for path in paths:
            place = self.place(path)
            if path == ROOT:
                os.makedirs(place, exist_ok=True)
            elif not os.path.isdir(place):
                os.mkdir(place)

    def make_link(self, path, target):
        """Make a symbolic link, in the place of one that is there."""
        place = self.place(path)
        if os.path.lexists(place):
            os.unlink(place)
        os.symlink(target, place)

    def set_attributes(self, path, entry, wish):
        """Give a file or folder the mode and owner that the wish has for the source's entry."""
        _give_attributes(self.place(path), entry, wish)


def _give_attributes(place, entry, wish):
    mode = wish.mode_of(entry)
    if wish.owner is not None or wish.group is not None:
        try:
            os.chown(place, _number(pwd.getpwnam, wish.owner), _number(grp.getgrnam, wish.group), follow_symlinks=False)
        except (OSError, KeyError) as error:
            raise PodwrightError(
                f"{show(place)} could not be given to {wish.owner or ''}:{wish.group or ''}: {error}",
                reason="OwnerFailed",
                hint="Only root may give files away, and both must exist.",
            ) from error
    if entry.sort == LINK:
        return
    if mode is not None:
        os.chmod(place, mode)


def finish(part, place, entry, wish):
    """Rename a file that is complete and verified into place, with its attributes.

    A mount point, and a file whose directory takes no other, get its content where they are; the file stays beside them then.
    """
    if wish.mode_of(entry) is None:
        os.chmod(part, file_mode(place))
    _give_attributes(part, entry, wish)
    if wish.preserves:
        os.utime(part, (entry.mtime, entry.mtime))
    try:
        os.replace(part, place)
    except OSError as error:
        if error.errno not in _NO_RENAME or not os.path.isfile(place) or os.path.islink(place):
            raise
        shutil.copyfile(part, place)
        shutil.copystat(part, place)


def _number(look_up, name):
    if name is None:
        return -1
    return int(name) if name.isdigit() else look_up(name)[2]


def _entry(place, status):
    common = {
        "mode": stat.S_IMODE(status.st_mode) & 0o777,
        "mtime": int(status.st_mtime),
        "owners": _names(pwd.getpwuid, status.st_uid),
        "groups": _names(grp.getgrgid, status.st_gid),
    }
    if stat.S_ISREG(status.st_mode):
        return Entry(FILE, size=status.st_size, **common)
    if stat.S_ISDIR(status.st_mode):
        return Entry(DIRECTORY, **common)
    if stat.S_ISLNK(status.st_mode):
        return Entry(LINK, target=os.readlink(place), **common)
    return None


def _names(look_up, number):
    try:
        return frozenset((str(number), look_up(number)[0]))
    except KeyError:
        return frozenset((str(number),))


def digest_of(pieces):
    """The sha256 of pieces of bytes, in hexadecimal."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def changed(place):
    """The error where a file is not the same any more while it is copied."""
    return PodwrightError(f"{show(place)} changed while it was read. Nothing was put in place.", reason="Changed", hint="Run it again.")


def _unreadable(place, error):
    return PodwrightError(f"{show(place)} cannot be read: {error.strerror}.", reason="ReadFailed", hint="Check that it exists and its permissions.")
