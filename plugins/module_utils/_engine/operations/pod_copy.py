# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a path in a container like one here, or the other way round, and send only what differs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace

from ..arguments import CONNECTION
from ..cluster.exec_command import Container
from ..errors import PodwrightError, option_error
from ..operation import Invocation, Operation
from ..tasks.result import TaskRedactor
from ..transfer.download import Download
from ..transfer.helper import PREFIX, find_helper, start_helper
from ..transfer.local import LocalTree, digest_of
from ..transfer.remote import ContainerTree
from ..transfer.tree import (
    DIRECTORY,
    FILE,
    LINK,
    ROOT,
    CopyOptions,
    Entry,
    Plan,
    compare,
    directories_of,
    duplicates,
    leaves_tree,
    show,
    with_digests,
    without_excluded,
)
from ..transfer.upload import Upload

SHOWN_FILES, SHOWN_BYTES = 20, 1 << 16  # what diff mode shows at most

ARGUMENTS = {
    **CONNECTION,
    "pod": {"type": "str", "required": True},
    "container": {"type": "str"},
    "remote_path": {"type": "str", "required": True},
    "local_path": {"type": "path"},
    "content": {"type": "str"},
    "state": {"type": "str", "choices": ["to_pod", "from_pod"], "default": "to_pod"},
    "no_preserve": {"type": "bool", "default": False},
    "mode": {"type": "raw"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "delete": {"type": "bool", "default": False},
    "follow": {"type": "bool", "default": False},
    "checksum": {"type": "bool", "default": True},
    "timeout": {"type": "float"},
    "method": {"type": "str", "choices": ["auto", "tar", "stream", "helper"], "default": "auto"},
    "helper_image": {"type": "str", "default": "busybox"},
}


class Text:
    """Content that was given as text, read like a file of this machine."""

    def __init__(self, text):
        self._content = text.encode()

    def observe(self, _console=None, _depth=None):
        """{path: Entry} of one file."""
        return {ROOT: Entry(FILE, len(self._content))}

    def digests(self, paths):
        """{path: sha256}."""
        return {path: digest_of([self._content]) for path in paths}

    def place(self, _path):
        """What it is called, for a person."""
        return b"content"

    def pieces(self, _path, start=0, size=None):
        """The content from an offset on, all of it or so many bytes."""
        yield self._content[start:] if size is None else self._content[start : start + size]


@dataclass
class Ends:
    """Both ends of a copy and what is there, {path: Entry}; only what is to be copied, nothing that is excluded."""

    local: object
    remote: ContainerTree
    here: dict
    there: dict


@dataclass
class Copy:
    """What was done so far.

    Attributes:
        place: the container's end, for a person.
        method: how it is copied.
        done: a Plan of what was carried out, or would be in check mode; None before it is known what differs.
        sizes: {path: bytes} of the source.
        checksum: of a single file, where known.
        diff: what diff mode shows.
    """

    place: str = ""
    method: str = ""
    done: Plan | None = None
    sizes: dict[bytes, int] = field(default_factory=dict)
    checksum: str | None = None
    diff: list[dict] = field(default_factory=list)


def run(invocation: Invocation, outcome: Copy) -> None:
    """Copy what differs. Raises: PodwrightError."""
    params = invocation.params
    wish = _read_wish(params)
    deadline = None if params["timeout"] is None else invocation.client.clock.monotonic() + params["timeout"]
    local = Text(params["content"]) if params["content"] is not None else LocalTree(params["local_path"], params["follow"])
    goes_up = params["state"] == "to_pod"
    here = local.observe(invocation.console) if goes_up else {}
    if goes_up and not here:
        raise option_error("local_path", f"there is no {params['local_path']} where this task runs.")
    remote, there = _observe_remote(invocation, deadline, shallow=goes_up and here[ROOT].sort == FILE)
    if remote is None:
        outcome.method = "helper"
        return
    ends = _meet_up(params, local, remote, here, there) if goes_up else _meet_down(invocation, local, remote, there)
    everything = ends.there if goes_up else ends.here
    ends.here, ends.there = (without_excluded(tree, params["exclude"]) for tree in (ends.here, ends.there))
    if wish.by_content:
        _compute_digests(ends)
    source, target = (ends.here, ends.there) if goes_up else (ends.there, ends.here)
    kept = everything.keys() - target.keys()
    plan = compare(source, target, wish, kept)
    _check_obstacles(params, source, target, plan, directories_of(kept))
    outcome.place, outcome.method = f"{params['remote_path']} in {ends.remote.container}", _name_method(params, remote, source)
    outcome.sizes = {path: source[path].size for path in plan.send}
    if invocation.diff_mode:
        outcome.diff = _text_diff(ends, source, target, plan, goes_up)
    digests = {path: entry.digest for path, entry in source.items()}
    outcome.done = plan
    if not invocation.check_mode and plan.is_change:
        carrier = (Upload if goes_up else Download)(ends.local, ends.remote, source, wish, plan, _uses_tar(params, remote), invocation.console)
        outcome.done, digests = carrier.done, carrier.digests
        order = {path: number for number, path in enumerate(plan.send)}
        try:
            carrier.run()
        finally:
            outcome.done.send.sort(key=order.__getitem__)  # as check mode has it, whatever was sent first
    if source[ROOT].sort == FILE:
        outcome.checksum = digests.get(ROOT)


# -- both ends ------------------------------------------------------------------------------------------------


def _observe_remote(invocation, deadline, shallow):
    """The container's end and what is there, through a helper where it has no tools of its own. (None, None) where check mode forbids that."""
    params = invocation.params
    container = Container(invocation.namespace, params["pod"], params["container"])
    if params["method"] != "helper":
        remote = ContainerTree(invocation.client, container, params["remote_path"], deadline=deadline)
        try:
            return remote, remote.observe(_follows(params), shallow)
        except PodwrightError as error:
            if error.reason not in ("NoShell", "NoTools") or params["method"] != "auto":
                raise
    helper, pod = find_helper(invocation.client, container, params["helper_image"])
    if helper is None:
        if invocation.check_mode:
            return None, None
        invocation.console.progress(f"starting a helper container in pod {params['pod']}")
        helper = start_helper(invocation.client, container, pod, params["helper_image"])
    remote = ContainerTree(invocation.client, helper, params["remote_path"], PREFIX, deadline)
    return remote, remote.observe(_follows(params), shallow)


def _follows(params):
    return params["follow"] and params["state"] == "from_pod"


def _meet_up(params, local, remote, here, there):
    """A file goes into a folder that is there under its own name; a folder's content becomes that of the folder there."""
    into = (ROOT in there and there[ROOT].sort == DIRECTORY) or params["remote_path"].endswith("/")
    if here[ROOT].sort == FILE and into:
        if params["local_path"] is None:
            raise option_error("remote_path", "it is a folder, and content has no name.", "Name the file.")
        name = os.path.basename(os.path.realpath(params["local_path"]) if not os.path.basename(params["local_path"]) else params["local_path"])
        return Ends(local, remote.child(name), here, _below(there, os.fsencode(name)))
    if remote.is_fixed and there[ROOT].sort == DIRECTORY:
        here = here | {ROOT: replace(here[ROOT], mode=there[ROOT].mode)}
    return Ends(local, remote, here, there)


def _meet_down(invocation, local, remote, there):
    params = invocation.params
    if not there:
        raise PodwrightError(f"There is no {params['remote_path']} in {remote.container}.", reason="NotFound", hint="Check remote_path and container.")
    for path in [path for path, entry in there.items() if entry.sort == LINK and leaves_tree(there, path)]:
        invocation.console.warn(f"{show(path)} links to {show(there[path].target)}, outside of {params['remote_path']}, and is left out.")
        del there[path]
    if there[ROOT].sort == FILE and (os.path.isdir(params["local_path"]) or params["local_path"].endswith("/")):
        name = os.path.basename(params["remote_path"].rstrip("/"))
        local = LocalTree(os.path.join(params["local_path"], name))
    return Ends(local, remote, local.observe(invocation.console, 0 if there[ROOT].sort == FILE else None), there)


def _below(tree, name):
    """The part of a tree below a name."""
    return {path[len(name) + 1 :]: entry for path, entry in tree.items() if path == name or path.startswith(name + b"/")}


def _compute_digests(ends):
    paths = duplicates(ends.here, ends.there)
    ends.here = with_digests(ends.here, ends.local.digests(paths))
    ends.there = with_digests(ends.there, ends.remote.digests(paths))


def _check_obstacles(params, source, target, plan, holding):
    """A folder is replaced by something else only where deleting was asked for, and never as the root itself or with what is excluded in it."""
    option = "remote_path" if params["state"] == "to_pod" else "local_path"
    for path in plan.obstacles:
        if path == ROOT:
            raise option_error(option, f"{params[option]} is a {target[ROOT].sort}, and what is to be copied there a {source[ROOT].sort}.", "Remove it first.")
        if path in holding:
            raise option_error(option, f"{show(path)} is a folder there that holds what is excluded, and a {source[path].sort} here.", "Remove it first.")
        if target[path].sort == DIRECTORY and not params["delete"]:
            raise option_error(option, f"{show(path)} is a folder there, and a {source[path].sort} here.", "Set delete, to replace it with all that it holds.")


def _uses_tar(params, remote):
    if params["method"] == "tar" and "tar" not in remote.tools:
        raise PodwrightError(f"The image of {remote.container} has no tar.", reason="NoTools", hint="Set method to auto or stream.")
    return params["method"] != "stream" and "tar" in remote.tools


def _name_method(params, remote, source):
    """How it is copied: the helper is told apart from what it does itself."""
    if remote.root.startswith(PREFIX.encode()):
        return "helper"
    return "tar" if _uses_tar(params, remote) and source[ROOT].sort == DIRECTORY else "stream"


# -- reading the options --------------------------------------------------------------------------------------


def _read_wish(params):
    goes_up = params["state"] == "to_pod"
    if not goes_up and params["content"] is not None:
        raise option_error("content", "it can only go to a pod.", "Give local_path.")
    if params["content"] is None and not params["local_path"]:
        raise option_error("local_path", "there is neither it nor content.")
    for name in ("owner", "group"):
        if params[name] is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", params[name]):
            raise option_error(name, f"'{params[name]}' is no name and no number.")
    if not params["remote_path"] or "\0" in params["remote_path"]:
        raise option_error("remote_path", "it is a path in the container.")
    if params["timeout"] is not None and params["timeout"] <= 0:
        raise option_error("timeout", "it is more than 0.")
    preserves = not params["no_preserve"] and params["content"] is None
    if not params["checksum"] and not preserves:
        source = "no_preserve does not keep" if params["no_preserve"] else "content does not have"
        raise option_error("checksum", f"without it files are compared by their times, which {source}.", "Leave it out.")
    return CopyOptions(
        preserves=preserves,
        mode=_read_mode(params["mode"]),
        owner=params["owner"],
        group=params["group"],
        deletes=params["delete"],
        by_content=params["checksum"],
    )


def _read_mode(mode):
    """Permission bits, or None. A number is taken as YAML made it of an octal one; text is octal."""
    if mode is None or mode == "preserve":
        return None
    if isinstance(mode, int) and not isinstance(mode, bool) and 0 <= mode <= 0o777:
        return mode
    if isinstance(mode, str) and re.fullmatch(r"0?[0-7]{3}", mode):
        return int(mode, 8)
    raise option_error("mode", f"'{mode}' is no octal mode.", "Write it in quotes, like '0644'.")


# -- describing what happened ---------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: Copy) -> dict:
    """The result's fields, as far as it got."""
    params, done = invocation.params, outcome.done
    if done is None and not outcome.method:
        return {}
    if done is None:
        note = "Check mode: what differs is not known, since that would need a helper container in the pod."
        return {"changed": True, "result": note, "method": outcome.method}
    result = {
        "changed": done.is_change,
        "files": {"copied": len(done.send), "unchanged": done.unchanged, "deleted": len(done.delete)},
        "bytes": sum(outcome.sizes[path] for path in done.send),
        "method": outcome.method,
        "changes": done.lines(),
    }
    here = "The content" if params["content"] is not None else params["local_path"]
    names = (here, outcome.place) if params["state"] == "to_pod" else (outcome.place, here)
    result["result"] = f"{names[0]} is copied to {names[1]}." if done.is_change else f"{names[1]} is like {names[0]} already."
    result |= {"checksum": outcome.checksum} if outcome.checksum else {}
    return result | ({"diff": outcome.diff} if invocation.diff_mode else {})


def _text_diff(ends, source, target, plan, goes_up):
    """Ansible's `diff`: the texts that differ, and a line for what is no text or too much."""
    entries = []
    for path in plan.send[:SHOWN_FILES]:
        sizes = [tree[path].size for tree in (source, target) if path in tree]
        name = f"{show(ends.remote.full(path)) if goes_up else show(ends.local.place(path))}"
        if max(sizes) > SHOWN_BYTES:
            entries.append({"before_header": name, "after_header": name, "before": "", "after": f"({source[path].size} bytes)\n"})
            continue
        here, there = _text(_read_here(ends, path)), _text(_read_there(ends, path))
        before, after = (there, here) if goes_up else (here, there)
        entries.append({"before_header": name, "after_header": name, "before": before, "after": after})
    rest = [line for line in plan.lines() if not line.startswith("copy ")]
    rest += [f"copy {show(path)}" for path in plan.send[SHOWN_FILES:]]
    return entries + ([{"prepared": "\n".join(rest) + "\n"}] if rest else [])


def _read_here(ends, path):
    return b"".join(ends.local.pieces(path)) if path in ends.here and ends.here[path].sort == FILE else b""


def _read_there(ends, path):
    content = bytearray()
    if path in ends.there and ends.there[path].sort == FILE:
        ends.remote.read(path, 0, ends.there[path].size, content.extend)
    return bytes(content)


def _text(content):
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"({len(content)} bytes that are no text)\n"


def redact(params):
    """The parameters as they may be shown: not the content."""
    if params.get("content") is None:
        return params
    return dict(params) | {"content": f"{len(params['content'].encode())} bytes, {TaskRedactor().digest(params['content'])}"}


OPERATION = Operation(
    "pod_copy",
    ARGUMENTS,
    Copy,
    run,
    describe,
    rules={"mutually_exclusive": [("local_path", "content")], "required_one_of": [("local_path", "content")]},
    redact=redact,
)
