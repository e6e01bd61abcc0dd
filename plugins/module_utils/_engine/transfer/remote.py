# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The end of a copy in a container: what a shell, find, stat and sha256sum can tell and do there."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from functools import partial

from ..cluster.exec import Process
from ..cluster.exec_command import Command
from ..cluster.exec_stream import STDOUT, decode
from ..errors import PodwrightError
from .tree import DIRECTORY, FILE, LINK, ROOT, Entry, check_tree, leaves_tree, show

NEEDED = frozenset(("find", "stat", "sha256sum", "xargs", "sed", "dd"))
ASKED = 3  # times that a question is asked where the connection is lost
ATTEMPTS = 6  # times that content is carried where the connection is lost
CLEARING_SECONDS = 10
IDLE_SECONDS = 60  # in which bytes of a transfer must move
BLOCK = 65536  # bytes that dd moves at once, below
_LARGEST_ANSWER = 1 << 28
_SORTS = {0o100000: FILE, 0o040000: DIRECTORY, 0o120000: LINK}
_PLAIN = frozenset((string.ascii_letters + string.digits + "/._-").encode())

# Names of any bytes travel in ASCII, octal where needed; the dot keeps a line feed at the end.
_UNQUOTE = """u() { v=$(printf '%b.' "$1"); v=${v%.}; }; u "$1"; root=$v; shift; """
# What an absolute link of the container points to is not where it points for the helper: each component is resolved below PREFIX.
_RESOLVE = """
resolve() {
  rest=$1 at= links=0
  while [ "$rest" ]; do
    name=${rest%%/*}
    case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
    case $name in ''|.) continue ;; ..) at=${at%/*}; continue ;; esac
    if [ -L "/proc/1/root$at/$name" ]; then
      links=$((links + 1)); [ $links -le 40 ] || exit 7
      target=$(readlink "/proc/1/root$at/$name"; echo .); target=${target%??}
      case $target in /*) at= ;; esac
      rest=$target/$rest
    else at=$at/$name; fi
  done
}
"""
_OBSERVE = (
    _RESOLVE
    + """
for tool in find stat sha256sum xargs sed tar; do command -v $tool >/dev/null 2>&1 && echo $tool; done
dd iflag=fullblock count=0 </dev/null >/dev/null 2>&1 && echo dd; umask
case $root in
  /proc/1/root/*) [ -d /proc/1/root/ ] || exit 5; resolve "${root#/proc/1/root}"; root=/proc/1/root${at:-/} ;;
  *) if [ -L "$root" ] && [ -e "$root" ]; then root=$(readlink -f "$root"; echo .); root=${root%??}; fi ;;
esac
[ -e "$root" ] || { echo --; printf '%s\\0' "$root"; exit 0; }
if ! [ -O "$root/" ] || [ "$(stat -c %d "$root/")" != "$(stat -c %d "$root/..")" ]; then echo fixed; fi 2>/dev/null
echo --
printf '%s\\0' "$root"
find $1 "$root" $2 -exec sh -c 'l=$1; shift; echo $#; stat $l -c "%f %s %u %g %Y %U %G" "$@" || exit 1; printf "%s\\0" "$@"' sh "$1" {} + || exit 3
echo --
find $1 "$root" $2 -type l -exec sh -c 'for f; do t=$(readlink "$f"; echo .); printf "%s\\0%s\\0" "$f" "${t%??}"; done' sh {} +
"""
)
_DIGESTS = """cd "$root" && xargs -0 sh -c 'sha256sum "$@" | sed -n "s/^[\\\\]*\\([0-9a-f]\\{64\\}\\) [ *].*/\\1/p"' sh"""
# digest SIZE [BLOCKS]: the sha256 of its input of so many bytes; of so many blocks where its input is a file that is longer.
# Python uses the processor's own instructions where it has them, which busybox and coreutils mostly do not: worth its start for large files.
_DIGEST = """
digest() {
  if [ "$1" -ge 16777216 ] && command -v python3 >/dev/null 2>&1; then
    python3 -c 'import hashlib, sys
digest, left = hashlib.sha256(), int(sys.argv[1])
while left > 0:
    piece = sys.stdin.buffer.read(min(left, 1 << 20))
    left = left - len(piece) if piece else 0
    digest.update(piece)
print(digest.hexdigest())' "$1"
  elif [ "$2" ]; then dd bs=65536 count="$2" 2>/dev/null | sha256sum
  else sha256sum; fi
}
"""
# The file that bytes are written to before they get their name: beside its place, or the place itself if its directory takes no other file.
_PART = """
u "$1"; base=$v; u "$2"; place=$v; part=$base-$3
if ! (: >> "$part") 2>/dev/null && [ -f "$place" ] && [ -w "$place" ]; then part=$place; fi
"""
# Bytes of the input to their place in a file that has no name of its own yet, and what their sha256 is there. It needs no end of input.
# A command whose connection was lost may still write: it writes the same bytes to the same places as the one that comes after it.
_RECEIVE = (
    'u "$2"; mkdir -p "${v%/*}/" || exit'
    + _PART
    + """
start=$4; size=$5
if [ "$start" = 0 ]; then for f in "$base"-*; do [ "$f" = "$part" ] || rm -f "$f" || exit; done; fi
exec 3<> "$part" 4< "$part" || exit
take() { said=$("$@" 2>&1 >&3) || { echo "$said" >&2; exit 1; }; }
blocks=$((size / 65536)) rest=$((size % 65536)) first=$((start / 65536))
take dd bs=65536 iflag=fullblock seek=$first count=$blocks
[ $rest = 0 ] || take dd bs=$rest iflag=fullblock count=1
dd bs=65536 skip=$first count=0 <&4 2>/dev/null
[ $rest = 0 ] || blocks=
"""
)
_DIGEST_RECEIVED = """
got=$(digest $size $blocks <&4); got=${got%% *}
"""
_CUT_IN_PLACE = """
if [ "$part" = "$place" ]; then dd if=/dev/null of="$place" bs=1 seek="$size" 2>/dev/null || exit; fi
drop() { [ "$part" != "$place" ] || exit 6; rm -f "$part"; exit 4; }
"""
_COMPARE = (
    _CUT_IN_PLACE
    + _DIGEST_RECEIVED
    + """
digest=$6; shift 6
[ "$got" = "$digest" ] || { echo "sha256 $got" >&2; drop; }
"""
)
_CHECK_SIZE = (
    _PART
    + "size=$4; shift 4"
    + _CUT_IN_PLACE
    + """
[ "$(stat -c %s "$part")" = "$size" ] || { echo "not $size bytes" >&2; drop; }
"""
)
# A file that is a mount point cannot be replaced by another: it gets its content where it is.
_NAME = """
mode=$1; time=$2; owner=$3
dress() {
  if [ -n "$mode" ] && [ "$(stat -c %a "$1")" != "$mode" ]; then chmod "$mode" "$1" || exit; fi
  if [ -n "$time" ]; then touch -d "@$time" "$1" 2>/dev/null; fi
  if [ -n "$owner" ]; then chown "$owner" "$1" || exit; fi
}
if [ -z "$mode" ] && [ -f "$place" ]; then mode=$(stat -c %a "$place"); fi
dress "$part"
[ "$part" != "$place" ] || exit 0
said=$(mv -f "$part" "$place" 2>&1) && exit 0
if ! [ -f "$place" ] || [ -L "$place" ] || ! [ -w "$place" ]; then echo "$said" >&2; exit 1; fi
cat "$part" > "$place" && dress "$place" && rm -f "$part"
"""
_READ = """
u "$1"; f=$v; n=$3
if [ "$(stat -L -c %s "$f")" = "$n" ]; then
  whole() { cat "$f"; }; digest_whole() { digest $n < "$f"; }
else
  whole() { head -c $n "$f"; }; digest_whole() { whole | digest $n; }
fi
digest_whole >&2 &
if [ "$2" = 0 ]; then whole || exit; else tail -c +$(($2 + 1)) "$f" | head -c $((n - $2)) || exit; fi
wait
"""
# The directory where a tree is staged: in the root if that is there, since it may be a mount point; else beside it, to become the root.
_UNPACK = """
u "$1"; beside=$v; token=$2; stage=$root/.podwright-stage-$token
rm -rf "$beside"-* "$root"/.podwright-stage-*
if ! [ -d "$root" ]; then stage=$beside-$token; mkdir -p "$stage" || exit
elif ! mkdir "$stage" 2>/dev/null; then stage=$beside-$token; mkdir "$stage" 2>/dev/null || mkdir "$root/.podwright-stage-$token" || exit; fi
cd "$stage" || exit
tar xpf - || exit
find . -type f -exec sh -c 'echo $#; sha256sum "$@" | sed -n "s/^[\\\\]*\\([0-9a-f]\\{64\\}\\) [ *].*/\\1/p"; printf "%s\\0" "$@"' sh {} +
"""
_PLACE = """
u "$1"; beside=$v; stage=$root/.podwright-stage-$2; owner=$3
[ -d "$stage" ] || stage=$beside-$2
put() {
  find "$stage/$1" -mindepth 1 -maxdepth 1 ! -type d -exec sh -c 'to=$1; owner=$2; shift 2
    mv -f "$@" "$to" 2>/dev/null && exit
    for f; do
      said=$(mv -f "$f" "$to" 2>&1) && continue
      place=$to${f##*/}
      [ -e "$f" ] || continue
      if [ -L "$f" ] || ! [ -f "$place" ] || [ -L "$place" ] || ! [ -w "$place" ]; then echo "$said" >&2; exit 1; fi
      mode=$(stat -c %a "$f")
      cat "$f" > "$place" || exit
      [ "$(stat -c %a "$place")" = "$mode" ] || chmod "$mode" "$place" || exit
      if [ -n "$owner" ]; then chown "$owner" "$place" || exit; fi
      touch -r "$f" "$place" 2>/dev/null; rm -f "$f"
    done' sh "$root/$1" "$owner" {} + || return
  for f in "$stage/$1"/* "$stage/$1"/.[!.]* "$stage/$1"/..?*; do
    [ -d "$f" ] || continue
    n=$1${f##*/}
    if [ -d "$root/$n" ]; then put "$n/" || return; else mv "$f" "$root/$n" || return; fi
  done
}
if [ -n "$owner" ]; then chown -R -h "$owner" "$stage" || exit; fi
if [ -d "$root" ]; then put "" || exit; rm -rf "$stage"; else mkdir -p "$(dirname "$root")" && mv "$stage" "$root"; fi
"""
_CLEAR = """rm -rf "$root"/.podwright-stage-*; xargs -0 sh -c 'for n do rm -rf "$n"-*; done' sh"""


def persist(attempt, times=ATTEMPTS):
    """Call it, and again where the connection was lost, so many times. Returns what it returns."""
    for _time in range(times - 1):
        try:
            return attempt()
        except PodwrightError as error:
            if error.reason != "ConnectionLost":
                raise
    return attempt()


class ContainerTree:
    """A path in a container and what is below it.

    Args:
        client: a Client.
        container: a Container.
        path: text, as the user gave it.
        prefix: where the container's files are seen from where the commands run: empty, or the helper's way to them.
        deadline: the clock's time by which everything must be over, or None.
    """

    def __init__(self, client, container, path, prefix="", deadline=None):
        self._client = client
        self.container = container
        self.path = path
        name = path.encode("utf-8", "surrogateescape")
        if not name.startswith(b"/"):
            name = (b"/" if prefix else b"./") + name
        self._prefix = prefix
        self.root = prefix.encode() + (name.rstrip(b"/") or b"/")
        self._deadline = deadline
        self._follow = ""
        self.tools = frozenset()
        self.umask = 0o022
        self.is_fixed = False

    def child(self, name):
        """The same container, one name further down (text)."""
        other = ContainerTree(self._client, self.container, f"{self.path.rstrip('/')}/{name}", self._prefix, self._deadline)
        other.root = self.root.rstrip(b"/") + b"/" + name.encode("utf-8", "surrogateescape")
        other.tools, other.umask = self.tools, self.umask
        return other

    # -- observing ------------------------------------------------------------------------------------------

    def observe(self, follow=False, shallow=False):
        """{path: Entry} of what is there, empty where nothing is. Learns what tools the image has (`tools`), its `umask`, and
        whether the root `is_fixed`: a mount point, or another user's, whose mode is not to be changed.

        Args:
            follow: whether links are followed.
            shallow: whether what is in folders of the root is left out.

        Raises: PodwrightError; reason `NoShell` or `NoTools` where the image cannot tell.
        """
        if follow and self._prefix:
            self._refuse_links_that_leave(self.observe(shallow=shallow))
        # A link that leads nowhere cannot be followed.
        self._follow = "h" if follow else ""
        arguments = ["-L" if follow else "", ("-maxdepth 1" if shallow else "") + (" ! -type l" if follow else "")]
        try:
            answer = self._ask(_OBSERVE, *arguments).stdout
        except _Failed as error:
            raise self._explain(error) from error
        tools, _separator, rest = answer.partition(b"--\n")
        words = decode(tools).split()
        self.tools = frozenset(words)
        self.umask = next((int(word, 8) for word in words if re.fullmatch("0?[0-7]{3}", word)), 0o022)
        self.is_fixed = "fixed" in self.tools
        missing = NEEDED - self.tools
        if missing:
            raise PodwrightError(f"The image of {self.container} lacks {', '.join(sorted(missing))}.", reason="NoTools", hint="Set method to helper.")
        root, _separator, rest = rest.partition(b"\0")
        if self._prefix:
            self.root = root
        try:
            return self._read_tree(root, rest) if rest else {}
        except (ValueError, LookupError) as error:
            raise PodwrightError(
                f"What is below {self.path} in {self.container} changed while it was listed.", reason="Changed", hint="Run it again."
            ) from error

    def _explain(self, error):
        if error.rc == 7:
            return PodwrightError(f"{self.path} in {self.container} leads through too many symbolic links.", reason="BadOption", hint="Check remote_path.")
        if error.rc != 5:
            return error
        return PodwrightError(
            f"{self.container} runs as another user than the container whose files it should see.",
            reason="HelperRefused",
            hint="Name the user in the pod (run_as_user), so that the helper can be the same, or use an image with a shell.",
        )

    def _refuse_links_that_leave(self, tree):
        """A helper cannot follow links out of a tree: they would lead to its own files."""
        for path, entry in tree.items():
            if entry.sort == LINK and leaves_tree(tree, path):
                raise PodwrightError(
                    f"A helper container cannot follow {show(path)}, which links to {show(entry.target)}, outside of {self.path} in {self.container}.",
                    reason="HelperRefused",
                    hint="Remove follow, and copy the target of the link by itself.",
                )

    def _read_tree(self, root, rest):
        tree = {}
        while True:
            line, _separator, rest = rest.partition(b"\n")
            if line == b"--":
                break
            count = int(line)
            *lines, rest = rest.split(b"\n", count)
            names = rest.split(b"\0", count)
            rest = names.pop()
            for text, name in zip(lines, names, strict=True):
                entry = _read_entry(decode(text))
                if entry:
                    tree[_relative(name, root)] = entry
        pairs = rest.split(b"\0")[:-1]
        for name, target in zip(pairs[::2], pairs[1::2], strict=True):
            path = _relative(name, root)
            if path in tree and tree[path].sort == LINK:
                tree[path] = replace(tree[path], target=target)
        problem = check_tree({path: entry for path, entry in tree.items() if path != ROOT} | {ROOT: tree[ROOT]})
        if problem:
            raise PodwrightError(f"{self.container} describes {self.path} in an impossible way: {problem}.", reason="Hostile")
        return tree

    def digests(self, paths):
        """{path: sha256} of files below the root."""
        if not paths:
            return {}
        if paths == [ROOT]:
            answer = self._ask(_DIGEST + 'digest $(stat -L -c %s "$root") < "$root"')
            lines = decode(answer.stdout).split()[:1]
        else:
            answer = self._ask(_DIGESTS, names=[b"./" + path for path in paths])
            lines = decode(answer.stdout).split()
        if len(lines) != len(paths):
            raise PodwrightError(f"A file below {self.path} in {self.container} cannot be read: {decode(answer.stderr).strip()[:500]}", reason="ReadFailed")
        return dict(zip(paths, lines, strict=True))

    def _split(self):
        directory, _slash, name = self.root.rpartition(b"/")
        return directory or b"/", b"./" + name

    # -- changing -------------------------------------------------------------------------------------------

    def each(self, command, paths):
        """Run a command of the image with the paths below the root as its last arguments."""
        directory, names = self.root, [b"./" + path if path else b"." for path in paths]
        if paths == [ROOT]:
            directory, name = self._split()
            names = [name]
        if paths:
            self._sh(f'cd "$root" && xargs -0 {command}', root=directory, names=names)

    def make_root(self):
        """Make the root a folder."""
        self._sh('mkdir -p "$root"')

    def make_links(self, links):
        """Make symbolic links from {path: target}."""
        if links:
            self._sh('cd "$root" && xargs -0 -n 2 ln -s -n -f --', names=[name for path, target in links.items() for name in (target, b"./" + path)])

    def write(self, path, source, size, digest, attributes, token):
        """Write a file beside its place, verify it there and rename it.

        Args:
            source: called for its bytes; size: how many they are.
            digest: their sha256.
            attributes: (mode, mtime, owner), each None or empty where it is left as it is.
            token: names this attempt.

        Raises: PodwrightError; reason `Changed` where what arrived has another digest.
        """
        self._write(_DIGEST + _RECEIVE + _COMPARE + _NAME, path, token, 0, size, digest, *_words(attributes), source=source, size=size)

    def write_part(self, path, source, start, size, token):
        """Write bytes to their place in a file that `name` gives its name. Returns the sha256 that the container has of them.

        Args:
            start: where they begin, a multiple of BLOCK; size: how many they are, a multiple of it but for the last part.
            token: names this attempt at the whole file; its parts may be written at once.
        """
        answer = self._write(_DIGEST + _RECEIVE + _DIGEST_RECEIVED + 'echo "$got"', path, token, start, size, source=source, size=size)
        return decode(answer.stdout).strip()

    def name(self, path, size, attributes, token):
        """Give a file that was written in parts its attributes and its name. The arguments are those of `write`."""
        self._write(_CHECK_SIZE + _NAME, path, token, size, *_words(attributes))

    def _write(self, script, path, *arguments, **rest):
        names = [quote(self._part_of(path)), quote(self.full(path))]
        try:
            return self._sh(script, *names, *map(str, arguments), is_bounded=True, **rest)
        except _Failed as error:
            if error.rc not in (4, 6):
                raise
            raise self.arrived_changed(path, is_in_place=error.rc == 6) from error

    def arrived_changed(self, path, is_in_place=False):
        """The error if something else arrived than what was sent."""
        return PodwrightError(
            f"{self.path} ({show(path) or 'the file'}) arrived in {self.container} with another digest than it was sent with: "
            "it changed while it was read, or bytes were lost. "
            + ("It was overwritten, since its directory takes no other file." if is_in_place else "Nothing was put in its place."),
            reason="Changed",
            hint="Run it again.",
        )

    def unpack(self, token, archive):
        """Unpack a tar into the staging directory of that token. Returns {path: sha256} of the files that are there then."""
        answer = self._sh(_UNPACK, quote(self._stage), token, source=archive)
        return _read_digests(answer.stdout)

    def place(self, token, owner):
        """Move what is staged to the root, file by file where folders are there already."""
        self._sh(_PLACE, quote(self._stage), token, owner)

    def clear(self, paths):
        """Remove what failed attempts left of these files and of a staging directory, if that can be done, also after the deadline."""
        self._deadline = self._client.clock.monotonic() + CLEARING_SECONDS
        try:
            self._sh(_CLEAR, names=[self._stage, *(self._part_of(path) for path in paths)])
        except PodwrightError:
            pass  # what went wrong before counts

    @property
    def _stage(self):
        directory, _slash, name = self.root.rpartition(b"/")
        return directory + b"/." + name[:200] + b".podwright-stage"

    def full(self, path):
        """The full path, bytes."""
        return self.root + b"/" + path if path else self.root

    def _part_of(self, path):
        directory, _slash, name = self.full(path).rpartition(b"/")
        return directory + b"/." + name[:200] + b".podwright-part"

    # -- reading --------------------------------------------------------------------------------------------

    def read(self, path, start, size, sink):
        """Hand a file's bytes from an offset up to a size on to the sink. Returns the sha256 that the container has of them all."""
        answer = self._sh(_DIGEST + _READ, quote(self.full(path)), str(start), str(size), sink=sink)
        return (decode(answer.stderr).split() or [""])[0]

    def open_archive(self, paths):
        """A Process that writes files of the tree as tar archives, one after the other."""
        names = b"".join(b"./" + path + b"\0" for path in paths)
        return self._process('cd "$root" && xargs -0 tar c$1f -', (self._follow,), self.root, partial(iter, [names]), len(names))

    # -- running --------------------------------------------------------------------------------------------

    def _process(self, script, arguments, root, source, size, is_bounded=False):
        words = ["sh", "-c", _UNQUOTE + script, "sh", quote(root), *arguments]
        left = None if self._deadline is None else max(self._deadline - self._client.clock.monotonic(), 0.01)
        return Process(self._client, self.container, Command(words, source, size, is_bounded, timeout=left, idle_timeout=IDLE_SECONDS))

    def _ask(self, script, *arguments, **rest):
        """Run a script that changes nothing, and again where the connection was lost."""
        return persist(lambda: self._sh(script, *arguments, **rest), ASKED)

    def _sh(self, script, *arguments, root=None, source=None, size=None, is_bounded=False, names=None, sink=None):
        if names is not None:
            listed = b"".join(name + b"\0" for name in names)
            source, size = partial(iter, [listed]), len(listed)
        stdout, stderr = bytearray(), bytearray()
        with self._process(script, arguments, self.root if root is None else root, source, size, is_bounded) as process:
            for stream, data in process:
                if stream == STDOUT and sink:
                    sink(data)
                    continue
                kept = stdout if stream == STDOUT else stderr
                kept += data
                if len(kept) > _LARGEST_ANSWER:
                    raise PodwrightError(f"{self.container} answers without end.", reason="Hostile")
        if process.rc:
            raise _Failed(process.rc, self, bytes(stderr))
        return _Answer(bytes(stdout), bytes(stderr))


class _Answer:
    def __init__(self, stdout, stderr):
        self.stdout, self.stderr = stdout, stderr


class _Failed(PodwrightError):
    """A script of ours ended with an exit code."""

    def __init__(self, rc, remote, stderr):
        said = decode(stderr).strip()[:500]
        super().__init__(
            f"The copy failed at {remote.path} in {remote.container}: {said or f'exit code {rc}'}",
            reason="CopyFailed",
            hint="Check the path, and that the container's user may use it." if "ermission denied" in said or "Read-only" in said else "",
        )
        self.rc, self.stderr = rc, stderr


def quote(name):
    """Bytes as ASCII that printf's %b makes the same bytes of."""
    return "".join(chr(byte) if byte in _PLAIN else f"\\0{byte:03o}" for byte in name)


def _words(attributes):
    mode, mtime, owner = attributes
    return "" if mode is None else f"{mode:o}", "" if mtime is None else mtime, owner


def _relative(name, root):
    if name == root:
        return ROOT
    prefix = root.rstrip(b"/") + b"/"
    if not name.startswith(prefix):
        raise PodwrightError(f"The container names {show(name)!r}, which is not below {show(root)!r}.", reason="Hostile")
    return name[len(prefix) :]


def _read_entry(text):
    """The Entry of one line of stat, or None where it is no file, folder or link."""
    mode, size, uid, gid, mtime, user, group = text.split(" ", 6)
    bits = int(mode, 16)
    sort = _SORTS.get(bits & 0o170000)
    if sort is None:
        return None
    return Entry(sort, int(size) if sort == FILE else 0, bits & 0o777, int(mtime), owners=frozenset((uid, user)), groups=frozenset((gid, group)))


def _read_digests(answer):
    digests = {}
    while answer:
        line, _separator, answer = answer.partition(b"\n")
        count = int(line)
        *lines, answer = answer.split(b"\n", count)
        names = answer.split(b"\0", count)
        answer = names.pop()
        if not all(re.fullmatch(rb"[0-9a-f]{64}", text) for text in lines):
            raise PodwrightError("The container could not compute the digests of what arrived.", reason="CopyFailed")
        digests |= {name.removeprefix(b"./"): decode(text) for name, text in zip(names, lines, strict=True)}
    return digests
