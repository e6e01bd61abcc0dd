# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shell scripts that a copy runs in a container, with their variables and exit codes.

Two scripts that print files are in list_script.py and small_files.py. They need a POSIX shell and `TOOLS` as busybox and coreutils have them. In the text
of a script, `$CAPITALS` are constants of this file.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from enum import IntEnum

from .tree import MAX_LINKS

TOOLS = frozenset(("find", "stat", "sha256sum", "xargs", "sed", "dd"))
BLOCK = 1 << 16  # bytes that dd copies at once; parts of a file begin at a multiple of it
HELPER_ROOT = "/proc/1/root"  # where a helper container finds the root directory of its target container
DANGLING = "dangling"  # what it prints if the root is a dangling symbolic link
IDENTITY = "identity:"  # what it prints before the identity of the container
BLOCKED = "blocked"  # what it prints if the root cannot be created, since a part of its path is not a directory
PART, STAGE = ".podwright-part", ".podwright-stage"  # in the names of temporary files and directories


class Exit(IntEnum):
    """Exit codes that the scripts themselves choose; others are those of a tool."""

    REJECTED = 40  # the content that arrived is not that which was sent; the target is unchanged
    REJECTED_IN_PLACE = 41  # the same, but the target itself was written
    ACCESS_DENIED = 42  # the helper runs as another user than its target container
    TOO_MANY_LINKS = 43  # a path resolves through more than MAX_LINKS symbolic links
    STAGE_DELETED = 44  # an attempt that lost its connection began only now, and deleted the staging directory of this one
    LACKS_TOOL = 45  # the image lacks a tool; the target is unchanged
    REPLACED = 46  # the container is another than the one that was listed; the script has not run


_WORDS = {"BLOCKED": BLOCKED, "DANGLING": DANGLING, "HELPER_ROOT": HELPER_ROOT, "IDENTITY": IDENTITY, "STAGE": STAGE}
_CONSTANTS: dict[str, str | int] = {"BLOCK": BLOCK, "MAX_LINKS": MAX_LINKS, **_WORDS, **{code.name: code.value for code in Exit}}
_CONSTANT = re.compile(r"\$([A-Z][A-Z_]+)")
_UNESCAPED = frozenset((string.ascii_letters + string.digits + "/._-").encode())
# In another locale, GNU sed does not match bytes that are not valid there, and messages have another language.
_BYTES = "export LC_ALL=C"
# A command substitution strips line feeds at the end of its output: a dot protects those of the name.
_UNESCAPE = """unescape() { unescaped=$(printf '%b.' "$1"); unescaped=${unescaped%.}; }"""


@dataclass(frozen=True)
class Script:
    """A shell script.

    Attributes:
        text: the script.
        paths: the names of the variables that hold paths. These may consist of any bytes but NUL.
        words: the names of its other variables.
    """

    text: str
    paths: tuple[str, ...] = ("root",)
    words: tuple[str, ...] = ()

    def command(self, **values: bytes | str | int) -> list[str]:
        """The command that runs the script with a value for each variable."""
        lines, arguments = [_BYTES, *([_UNESCAPE] if self.paths else [])], []
        for number, name in enumerate((*self.paths, *self.words), 1):
            value = values.pop(name)
            lines.append(f'unescape "${{{number}}}"; {name}=$unescaped' if name in self.paths else f"{name}=${{{number}}}")
            arguments.append(escape(value) if isinstance(value, bytes) else str(value))
        if values:
            raise TypeError(f"unknown variables: {', '.join(values)}")
        text = _CONSTANT.sub(lambda match: str(_CONSTANTS[match[1]]), self.text)
        return ["sh", "-c", "; ".join(lines) + "\n" + text, "sh", *arguments]


def escape(path: bytes) -> str:
    """Bytes as ASCII from which the shell's `printf %b` restores them."""
    return "".join(chr(byte) if byte in _UNESCAPED else f"\\0{byte:03o}" for byte in path)


# Prints what another container, also one under the same name, does not have: the start of its first process, and the device of its root directory.
IDENTITY_FUNCTION = """
identity() {
  first= host=; read -r first < /proc/1/stat; read -r host < /proc/sys/kernel/hostname
  set -- ${first##*) }; echo "${20}:$host:$(stat -c %d /)"
} 2>/dev/null
"""
# Runs the command in its further arguments if that is `expected`.
GUARD = Script(
    IDENTITY_FUNCTION
    + """
[ "$(identity)" = "$expected" ] || { echo "the pod was replaced, or its container restarted, after the files were listed" >&2; exit $REPLACED; }
shift; exec "$@"
""",
    (),
    ("expected",),
)

# sha256 SIZE [BLOCKS] hashes standard input, which has SIZE bytes. If it is a file with more, SIZE must be that many BLOCKS.
# Python hashes with the instructions of the processor, which most builds of sha256sum do not: worth its start time for large files.
_SHA256 = """
sha256() {
  if [ "$1" -ge 16777216 ] && python3 -c 'import hashlib' >/dev/null 2>&1; then
    python3 -c 'import hashlib, sys
digest, left = hashlib.sha256(), int(sys.argv[1])
while left > 0:
    piece = sys.stdin.buffer.read(min(left, 1 << 20))
    left = left - len(piece) if piece else 0
    digest.update(piece)
print(digest.hexdigest())' "$1"
  elif [ "$2" ]; then dd bs=$BLOCK count="$2" 2>/dev/null | sha256sum
  else sha256sum; fi
}
"""
# Strips the backslash that marks an escaped name, and the name.
_SHA256_ONLY = r"""sed -n "s/^[\\]*\([0-9a-f]\{64\}\) [ *].*/\1/p" """

# Print the sha256 of the root, and of the files below it that standard input names (each with NUL), a line each.
DIGEST_ROOT = Script(_SHA256 + 'sha256 $(stat -L -c %s "$root") < "$root"')
DIGEST_FILES = Script(f"""cd "$root" && xargs -0 sh -c 'sha256sum "$@" | {_SHA256_ONLY}' sh""")

# Prints those of the entries of the root that standard input names which do not exist, each with NUL.
FIND_MISSING = Script("""cd "$root" && xargs -0 sh -c 'for path do [ -e "$path" ] || [ -L "$path" ] || printf "%s\\0" "$path"; done' sh""")

# Change the entries of the root that standard input names.
DELETE = Script('cd "$root" && xargs -0 rm -rf --')
CREATE_DIRECTORIES = Script('cd "$root" && xargs -0 mkdir -p --')
CREATE_LINKS = Script('cd "$root" && xargs -0 -n 2 ln -s -n -f --')  # target, link
SET_MODE = Script('cd "$root" && xargs -0 chmod "$mode" --', words=("mode",))
SET_OWNER = Script('cd "$root" && xargs -0 chown -h "$owner" --', words=("owner",))
CREATE_ROOT = Script('mkdir -p "$root"')

# A file is written to `prefix`-`token`; to the target itself if its directory accepts no other file. That may be longer than its new content.
_TEMPORARY = """
temporary=$prefix-$token
if ! (: >> "$temporary") 2>/dev/null && [ -f "$target" ] && [ -w "$target" ]; then temporary=$target; fi
truncate_target() { [ "$temporary" != "$target" ] || dd if=/dev/null of="$target" bs=1 seek="$1" 2>/dev/null; }
reject() { [ "$temporary" != "$target" ] || { echo "$1" >&2; exit $REJECTED_IN_PLACE; }; rm -f "$temporary"; echo "$1" >&2; exit $REJECTED; }
"""
_CHECK_TOOLS = 'for tool in dd sha256sum stat; do command -v $tool >/dev/null || { echo "the image lacks $tool" >&2; exit $LACKS_TOOL; }; done\n'
# Writes `size` bytes of standard input from `start` on, a multiple of BLOCK unless they are the last, without an end of input.
# After a connection loss, a script may still write while its successor does: both write the same bytes to the same place.
_RECEIVE = (
    'mkdir -p "${target%/*}/" || exit'
    + _TEMPORARY
    + """
if [ "$start" = 0 ]; then for file in "$prefix"-*; do [ "$file" = "$temporary" ] || rm -f "$file" || exit; done; fi
exec 3<> "$temporary" 4< "$temporary" || exit
receive() { error=$("$@" 2>&1 >&3) || { echo "$error" >&2; exit 1; }; }
blocks=$((size / $BLOCK)) rest=$((size % $BLOCK)) first=$((start / $BLOCK))
receive dd bs=$BLOCK iflag=fullblock seek=$first count=$blocks
[ $rest = 0 ] || receive dd bs=$rest iflag=fullblock count=1
dd bs=$BLOCK skip=$first count=0 <&4 2>/dev/null
[ $rest = 0 ] || { blocks=; truncate_target $((start + size)) || exit; }
actual=$(sha256 $size $blocks <&4); actual=${actual%% *}
"""
)
# A mount point cannot be replaced by rename(2): it is written in place.
_FINISH = """
set_attributes() {
  if [ -n "$mode" ] && [ "$(stat -L -c %a "$1")" != "$mode" ]; then chmod "$mode" "$1" || exit; fi
  if [ -n "$mtime" ]; then touch -d "@$mtime" "$1" 2>/dev/null; fi
  if [ -n "$owner" ]; then chown "$owner" "$1" || exit; fi
}
if [ -z "$mode" ] && [ -f "$target" ]; then mode=$(stat -L -c %a "$target"); fi
set_attributes "$temporary"
[ "$temporary" != "$target" ] || exit 0
if [ -d "$target" ]; then echo "it is a directory. Name a file in it" >&2; exit 1; fi
error=$(mv -f "$temporary" "$target" 2>&1) && exit 0
if ! [ -f "$target" ] || [ -L "$target" ] || ! [ -w "$target" ]; then echo "$error" >&2; exit 1; fi
cat "$temporary" > "$target" && set_attributes "$target" && rm -f "$temporary"
"""
_FILE = ("prefix", "target")
_ATTRIBUTES = ("mode", "mtime", "owner")  # each may be empty

# A part that begins only after the file was deleted, since another part failed, does not create it again.
_MUST_EXIST = """
if ! [ -e "$prefix-$token" ] && (: >> "$prefix-$token") 2>/dev/null; then
  rm -f "$prefix-$token"; echo "the temporary file was deleted" >&2; exit $STAGE_DELETED
fi
"""

# Write a whole file; create a file for parts (both check the tools, see `put_file`); write a part and print its sha256; finish a file whose parts are written.
WRITE_FILE = Script(
    _CHECK_TOOLS + "start=0;" + _SHA256 + _RECEIVE + '[ "$actual" = "$expected" ] || reject "sha256 $actual"; truncate_target "$size" || exit' + _FINISH,
    _FILE,
    ("token", "size", "expected", *_ATTRIBUTES),
)
CREATE_FILE = Script(_CHECK_TOOLS + 'mkdir -p "${target%/*}/" || exit; rm -f "$prefix"-*; ' + _TEMPORARY, _FILE, ("token",))
WRITE_PART = Script(_SHA256 + _MUST_EXIST + _RECEIVE + 'echo "$actual"', _FILE, ("token", "start", "size"))
FINISH_FILE = Script(
    _MUST_EXIST + _TEMPORARY + 'truncate_target "$size" || exit; [ "$(stat -c %s "$temporary")" = "$size" ] || reject "not $size bytes"' + _FINISH,
    _FILE,
    ("token", "size", *_ATTRIBUTES),
)

# Prints the bytes of a file from `start` to `size`, and the sha256 of all `size` bytes to standard error.
READ_FILE = Script(
    _SHA256
    + """
if [ "$(stat -L -c %s "$file")" = "$size" ]; then
  content() { cat "$file"; }; digest() { sha256 $size < "$file"; }
else
  content() { head -c $size "$file"; }; digest() { content | sha256 $size; }
fi
digest >&2 &
if [ "$start" = 0 ]; then content || exit; else tail -c +$((start + 1)) "$file" | head -c $((size - start)) || exit; fi
wait
""",
    ("file",),
    ("start", "size"),
)

# Prints tar archives, one after the other, of the files below the root that standard input names.
READ_FILES = Script('cd "$root" && xargs -0 tar "$flags" -', words=("flags",))

# The tar of busybox applies the umask to what it creates, unless the user is root. No other user may enter the staging directory.
# Unpacks a tar archive into a staging directory: in the root if it exists, since that may be a mount point; else beside it, to become the root.
# Prints its files in groups: the number of files; the sha256 of each, a line each; each path, NUL.
UNPACK = Script(
    """
stage=$root/$STAGE-$token
rm -rf "$prefix"-* "$root"/$STAGE-*
if ! [ -d "$root" ]; then stage=$prefix-$token; mkdir -p "$stage" || exit
elif ! mkdir "$stage" 2>/dev/null; then rm -rf "$stage"; stage=$prefix-$token; mkdir "$stage" 2>/dev/null || mkdir "$root/$STAGE-$token" || exit; fi
cd "$stage" || { code=$?; [ -d "$stage" ] || exit $STAGE_DELETED; exit $code; }
chmod 700 . || exit
mask=$(umask); umask 0; tar xpf - || { code=$?; [ -d "$(pwd)" ] || exit $STAGE_DELETED; exit $code; }
umask $mask
"""
    + f"""find . -type f -exec sh -c 'echo $#; sha256sum "$@" | {_SHA256_ONLY}; printf "%s\\0" "$@"' sh {{}} +""",
    ("root", "prefix"),
    ("token",),
)

# Moves the entries of the staging directory to the root, and merges directories that exist there. A new root has the mode of the umask.
INSTALL = Script(
    """
stage=$root/$STAGE-$token
[ -d "$stage" ] || stage=$prefix-$token
merge() {
  find "$stage/$1" -mindepth 1 -maxdepth 1 ! -type d -exec sh -c 'directory=$1; owner=$2; shift 2
    mv -f "$@" "$directory" 2>/dev/null && exit
    for file; do
      error=$(mv -f "$file" "$directory" 2>&1) && continue
      target=$directory${file##*/}
      [ -e "$file" ] || continue
      if [ -L "$file" ] || ! [ -f "$target" ] || [ -L "$target" ] || ! [ -w "$target" ]; then echo "$error" >&2; exit 1; fi
      mode=$(stat -c %a "$file")
      cat "$file" > "$target" || exit
      [ "$(stat -c %a "$target")" = "$mode" ] || chmod "$mode" "$target" || exit
      if [ -n "$owner" ]; then chown "$owner" "$target" || exit; fi
      touch -r "$file" "$target" 2>/dev/null; rm -f "$file"
    done' sh "$root/$1" "$owner" {} + || return
  for entry in "$stage/$1"/* "$stage/$1"/.[!.]* "$stage/$1"/..?*; do
    [ -d "$entry" ] || continue
    path=$1${entry##*/}
    if [ -d "$root/$path" ]; then merge "$path/" || return; else mv "$entry" "$root/$path" || return; fi
  done
}
if [ -n "$owner" ]; then chown -R -h "$owner" "$stage" || exit; fi
if [ -d "$root" ]; then merge "" || exit; rm -rf "$stage"; else mkdir -p "$(dirname "$root")" && chmod =rwx "$stage" && mv "$stage" "$root"; fi
""",
    ("root", "prefix"),
    ("token", "owner"),
)

# Deletes what the attempts of a run left, whose tokens begin with its own: staging directories in the root, and what begins with one of the
# prefixes that standard input names. Another run to the same place may be about to succeed.
CLEAN_UP = Script("""rm -rf "$root"/$STAGE-$run*; run=$run xargs -0 sh -c 'for prefix do rm -rf "$prefix-$run"*; done' sh""", words=("run",))
