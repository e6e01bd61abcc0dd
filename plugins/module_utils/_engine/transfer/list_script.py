# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shell script that lists what is at a path in a container, see scripts.py."""

from __future__ import annotations

from .scripts import IDENTITY_FUNCTION, Script

# The helper would follow an absolute link of its target container to its own files: each component is resolved below HELPER_ROOT.
_RESOLVE = """
resolve() {
  rest=$1 resolved= links=0
  while [ "$rest" ]; do
    name=${rest%%/*}
    case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
    case $name in ''|.) continue ;; ..) resolved=${resolved%/*}; continue ;; esac
    if [ -L "$HELPER_ROOT$resolved/$name" ]; then
      links=$((links + 1)); [ $links -le $MAX_LINKS ] || exit $TOO_MANY_LINKS
      link=$(readlink "$HELPER_ROOT$resolved/$name"; echo .); link=${link%??}
      case $link in /*) resolved= ;; esac
      rest=$link/$rest
    else resolved=$resolved/$name; fi
  done
}
"""

# Prints the tools, the umask and the identity, a line each; `--`; the resolved root, NUL. If it exists, also its entries, in groups: the number of entries;
# a line `MODE SIZE UID GID MTIME USER GROUP` for each; each path, NUL. Last `--`, and pairs, each part with NUL: a link and its target;
# with `-L`, a link that cannot be followed, and nothing; a directory that the user may not read, and nothing; nothing, and the root without symbolic
# links, then nothing, and a mount point, both as in the mount namespace, the latter escaped as in /proc/PID/mountinfo and perhaps not below the root.
# What is named like one of the words in `pruned` is listed, but not what it contains. Of what the user may not read, standard error has lines.
# With `-L`, `find` fails at links that lead through a file or to themselves, instead of taking them for dangling ones.
# What vanishes meanwhile is not listed, nor is what the kernel shows as files in the root directory.
LIST = Script(
    _RESOLVE
    + IDENTITY_FUNCTION
    + """
for tool in find stat sha256sum xargs sed tar; do command -v $tool >/dev/null 2>&1 && echo $tool; done
dd iflag=fullblock count=0 </dev/null >/dev/null 2>&1 && echo dd
umask
echo "$IDENTITY$(identity)"
{ command -v find && command -v stat; } >/dev/null || { echo --; printf '%s\\0' "$root"; exit 0; }
case $root in
  $HELPER_ROOT/*) [ -d $HELPER_ROOT/ ] || exit $ACCESS_DENIED; resolve "${root#$HELPER_ROOT}"; root=$HELPER_ROOT${resolved:-/} ;;
  *) if [ -L "$root" ] && [ -e "$root" ]; then root=$(readlink -f "$root"; echo .); root=${root%??}; fi ;;
esac
if ! [ -e "$root" ]; then
  [ -L "$root" ] && echo $DANGLING
  parent=${root%/*}; while [ "$parent" ] && ! [ -e "$parent" ] && ! [ -L "$parent" ]; do parent=${parent%/*}; done
  [ -d "$parent/" ] || echo $BLOCKED
  echo --; printf '%s\\0' "$root"; exit 0
fi
echo --
printf '%s\\0' "$root"
case $root in /|$HELPER_ROOT/) tests="$tests ! ( -path ${root}proc -prune ) ! ( -path ${root}sys -prune )" ;; esac
for name in $pruned; do [ "$name" = "${root##*/}" ] || tests="$tests ! ( -name $name -prune ! -name $name )"; done
list() {
  find $follow "$root" $tests -exec sh -c 'follow=$1; shift
    read_attributes() { stat $follow -c "%f %s %u %g %Y %U %G" "$@"; }
    if lines=$(read_attributes "$@" 2>/dev/null); then printf "%s\\n" $# "$lines"; printf "%s\\0" "$@"; exit; fi
    failed=0; for entry; do line=$(read_attributes "$entry") || { failed=1; continue; }; printf "%s\\n" 1 "$line"; printf "%s\\0" "$entry"; done
    exit $failed' sh "$follow" {} +
}
exec 3>&1
errors=$(list 2>&1 >&3) || {
  code=$?; [ "$errors" ] || exit $code
  ignored='/: No such file or directory$/d'
  [ "$follow" ] && ignored="$ignored"'; /: Not a directory$/d; /: Too many levels of symbolic links$/d; /File system loop detected/d'
  errors=$(printf '%s\n' "$errors" | sed "$ignored")
  [ -z "$errors" ] || echo "$errors" >&2
  [ -z "$(printf '%s\n' "$errors" | sed '/: Permission denied$/d')" ] || exit $code
}
echo --
if [ "$errors" ]; then find $follow "$root" $tests -type d -exec sh -c 'for directory; do
    { [ -r "$directory" ] && [ -x "$directory" ]; } || printf "%s\\0\\0" "$directory"
  done' sh {} + 2>/dev/null; fi
list_mounts() {
  case $root in
    $HELPER_ROOT/*) process=1 place=${root#$HELPER_ROOT} ;;
    *) process=self place=$(cd "$root/" && pwd -P; echo .); place=${place%??} ;;
  esac
  printf '\\0%s\\0' "$place"
  prefix=${place%%[!a-zA-Z0-9/._-]*} point=
  while read -r _ _ _ _ point _; do case $point in "$prefix"*) printf '\\0%s\\0' "$point" ;; esac; done < /proc/$process/mountinfo
}
[ ! -d "$root/" ] || list_mounts 2>/dev/null
if [ "$follow" ]; then find -L "$root" $tests -type d -exec sh -c 'for directory; do
    for link in "${directory%/}"/* "${directory%/}"/.[!.]* "${directory%/}"/..?*; do [ -e "$link" ] || ! [ -L "$link" ] || printf "%s\\0\\0" "$link"; done
  done' sh {} + 2>/dev/null; exit 0; fi
find "$root" $tests -type l -exec sh -c '
  for link; do target=$(readlink "$link" && echo .) && printf "%s\\0%s\\0" "$link" "${target%??}"; done; :' sh {} + 2>/dev/null || :
""",
    words=("follow", "tests", "pruned"),
)
