# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Synchronize a path in a container with a local path, in either direction."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from ..arguments import CONNECTION
from ..cluster.exec_command import Container
from ..cluster.exec_errors import is_not_running
from ..errors import PodwrightError, option_error
from ..files import missing_source_error, read_mode
from ..operation import Invocation, Operation
from ..tasks.options import check_remote_path
from ..tasks.redactor import TaskRedactor
from ..transfer.download import Download
from ..transfer.helper import find_helper, start_helper
from ..transfer.local import LocalTree, Text
from ..transfer.pair import TreePair, download_pair
from ..transfer.plan import CopyOptions, Plan, compare, containing_directories
from ..transfer.remote import ContainerTree
from ..transfer.tree import DIRECTORY, FILE, ROOT, Tree, show, subtree
from ..transfer.upload import Upload
from ..values import Options, Result

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


@dataclass
class Copy:
    """What a copy has done so far.

    Attributes:
        remote_name: the path and the container, for a message.
        method: how files are copied, empty if that is unknown.
        done: the changes that were made, or would be made in check mode; None before they are known.
        sizes: the sizes of the files in the plan, by path.
        checksum: the sha256 if the source is a file.
        diff: Ansible's diff.
        is_complete: whether nothing is left to do.
        obstacle: why nothing could be compared in check mode, or an empty string.
    """

    remote_name: str = ""
    method: str = ""
    done: Plan | None = None
    sizes: dict[bytes, int] = field(default_factory=dict)
    checksum: str | None = None
    diff: list[dict[str, str]] = field(default_factory=list)
    is_complete: bool = False
    obstacle: str = ""


def run(invocation: Invocation, outcome: Copy) -> None:
    """Copy the differences. Raises: PodwrightError."""
    params = invocation.params
    check_remote_path("remote_path", params["remote_path"])
    options = read_options(params)
    try:
        everything = _observe(invocation)
    except PodwrightError as error:
        outcome.obstacle = invocation.missing_in_check_mode(error)
        if not outcome.obstacle:
            raise
        return
    if everything is None:
        outcome.method = "helper"
        return
    pair = everything.without_excluded(params["exclude"])
    if options.deletes and pair.source[ROOT].type == DIRECTORY:
        pair = pair.without_mounts(invocation.console)
    pair.check_listed(options.deletes)
    if options.by_content:
        pair = pair.with_digests()
    excluded = everything.target.keys() - pair.target.keys()
    plan = compare(pair.source, pair.target, options, excluded)
    if pair.is_upload:
        pair.local.check(plan.files)
    _check_obstacles(params, pair, plan, containing_directories(excluded))
    if invocation.diff_mode:
        outcome.diff = pair.diff(plan)
    outcome.remote_name, outcome.method = f"{params['remote_path']} in {pair.remote.container}", _method(params, pair)
    outcome.sizes = {path: pair.source[path].size for path in plan.files}
    outcome.done, digests = plan, {path: entry.digest for path, entry in pair.source.items()}
    if not invocation.check_mode and plan.is_change:
        digests |= _carry_out(invocation, pair, options, plan, outcome)
    elif plan.files == [ROOT] and options.by_content:
        digests |= (pair.local if pair.is_upload else pair.remote).digests([ROOT])
    if pair.source[ROOT].type == FILE:
        outcome.checksum = digests.get(ROOT)
    outcome.is_complete = True


# -- both sides -----------------------------------------------------------------------------------------------


def _observe(invocation: Invocation) -> TreePair | None:
    """Both sides with all they contain; None if that requires a helper container, which check mode does not start."""
    params = invocation.params
    deadline = None if params["timeout"] is None else invocation.client.clock.monotonic() + params["timeout"]
    return _observe_upload(invocation, deadline) if params["state"] == "to_pod" else _observe_download(invocation, deadline)


def _missing_hint(path: str) -> str:
    """What to do about a path that does not exist because it is meant as a pattern; empty if it does not look like one."""
    is_pattern = any(character in path for character in "*?[")
    return "A path is not a pattern: name one file, or a directory, with exclude for what it must not copy." if is_pattern else ""


def _observe_upload(invocation: Invocation, deadline: float | None) -> TreePair | None:
    params = invocation.params
    local = Text(params["content"]) if params["content"] is not None else LocalTree(params["local_path"], params["follow"], params["exclude"])
    local_tree = local.observe(invocation.console)
    if not local_tree:
        raise missing_source_error("local_path", params["local_path"], _missing_hint(params["local_path"]))
    if local_tree[ROOT].type == FILE and (params["local_path"] or "").endswith("/"):
        raise option_error("local_path", f"must not end with '/' unless it is a directory, got {params['local_path']}.")
    observed = _observe_remote(invocation, deadline, is_shallow=local_tree[ROOT].type == FILE)
    if observed is None:
        return None
    remote, remote_tree = observed
    is_into_directory = (ROOT in remote_tree and remote_tree[ROOT].type == DIRECTORY) or params["remote_path"].endswith("/")
    if local_tree[ROOT].type == FILE and is_into_directory:
        if params["local_path"] is None:
            raise option_error("remote_path", f"must name a file, got the directory {params['remote_path']}; content has no name of its own.")
        name = os.path.basename(params["local_path"]) or os.path.basename(os.path.realpath(params["local_path"]))
        return TreePair(True, local, remote.child(name), local_tree, subtree(remote_tree, os.fsencode(name)))
    if remote.is_blocked:
        raise option_error("remote_path", f"must be below directories, but a part of {params['remote_path']} is not a directory.", "Delete it first.")
    if remote.is_dangling and local_tree[ROOT].type == DIRECTORY:
        raise option_error("remote_path", f"must be a directory, but {params['remote_path']} is a dangling symbolic link.", "Delete it first.")
    return TreePair(True, local, remote, local_tree, remote_tree, local.skipped)


def _observe_download(invocation: Invocation, deadline: float | None) -> TreePair | None:
    params = invocation.params
    observed = _observe_remote(invocation, deadline)
    if observed is None:
        return None
    remote, remote_tree = observed
    if not remote_tree:
        hint = _missing_hint(params["remote_path"]) or "Check remote_path and container."
        raise PodwrightError(f"{params['remote_path']} not found in {remote.container}.", reason="NotFound", hint=hint)
    return download_pair(remote, remote_tree, params["local_path"], invocation.console)


def _observe_remote(invocation: Invocation, deadline: float | None, is_shallow: bool = False) -> tuple[ContainerTree, Tree] | None:
    """The side in the container and its tree, through a helper container if the image lacks tools."""
    params = invocation.params
    container = Container(invocation.namespace, params["pod"], params["container"])
    if params["method"] != "helper":
        remote = ContainerTree(invocation.client, container, params["remote_path"], deadline=deadline, exclude=params["exclude"])
        try:
            return remote, _list(params, remote, is_shallow)
        except PodwrightError as error:
            if is_not_running(error):
                hint = "Wait for it if it has not started. Files of a container that has terminated are lost; artifacts of task_pod brings them out of a task."
                raise PodwrightError(error.message, status=error.status, reason=error.reason, hint=hint) from None
            if error.reason not in ("NoShell", "NoTools") or params["method"] != "auto":
                raise
    helper, pod = find_helper(invocation.client, container, params["helper_image"])
    if helper is None:
        if invocation.check_mode:
            return None
        invocation.console.progress(f"starting a helper container in pod {params['pod']}")
        helper = start_helper(invocation.client, container, pod, params["helper_image"])
    remote = ContainerTree(invocation.client, helper, params["remote_path"], is_helper=True, deadline=deadline, exclude=params["exclude"])
    return remote, _list(params, remote, is_shallow)


def _list(params: Options, remote: ContainerTree, is_shallow: bool) -> Tree:
    return remote.observe_target(shallow=is_shallow) if params["state"] == "to_pod" else remote.observe(params["follow"])


# -- carrying out the plan ------------------------------------------------------------------------------------


def _check_obstacles(params: Options, pair: TreePair, plan: Plan, kept: set[bytes]) -> None:
    """A directory is replaced only with `delete`. The root, a mount point and what contains an excluded path or a mount point, as `kept` does, never is."""
    option = "remote_path" if pair.is_upload else "local_path"
    for path in plan.obstacles:
        source, target = pair.source[path].type, pair.target[path].type
        if path == ROOT:
            raise option_error(option, f"must be a {source} like the source, but {params[option]} is a {target}.", "Delete it first.")
        if path in kept:
            raise option_error(option, f"{show(path)} is a directory with excluded paths or mount points, but a {source} in the source.", "Delete it first.")
        if path in pair.mounts:
            raise option_error(option, f"{show(path)} is a mount point ({target}), but a {source} in the source.", "Unmount or exclude it.")
        if target == DIRECTORY and not params["delete"]:
            raise option_error(option, f"{show(path)} is a directory, but a {source} in the source.", "Set delete to replace it with all that it contains.")


def _uses_tar(params: Options, remote: ContainerTree) -> bool:
    if params["method"] == "tar" and "tar" not in remote.tools:
        raise PodwrightError(f"The image of {remote.container} lacks tar.", reason="NoTools", hint="Set method to auto or stream.")
    return params["method"] != "stream" and "tar" in remote.tools


def _method(params: Options, pair: TreePair) -> str:
    if pair.remote.is_helper:
        return "helper"
    return "tar" if _uses_tar(params, pair.remote) and pair.source[ROOT].type == DIRECTORY else "stream"


def _carry_out(invocation: Invocation, pair: TreePair, options: CopyOptions, plan: Plan, outcome: Copy) -> dict[bytes, str]:
    """Execute a plan. Returns: the sha256 of the files that were copied, by path."""
    arguments = pair.remote, pair.source, options, plan, _uses_tar(invocation.params, pair.remote), invocation.console
    transfer = Upload(pair.local, *arguments) if pair.is_upload or isinstance(pair.local, Text) else Download(pair.local, *arguments)
    outcome.done = transfer.done
    order = {path: number for number, path in enumerate(plan.files)}
    try:
        transfer.run()
    finally:
        transfer.done.files.sort(key=order.__getitem__)  # as in check mode, in whichever order they were sent
    return transfer.digests


# -- options --------------------------------------------------------------------------------------------------


def read_options(params: Options) -> CopyOptions:
    """The options of the copy. Raises: PodwrightError that names an invalid one."""
    if params["state"] == "from_pod" and params["content"] is not None:
        raise option_error("content", "must not be set with state=from_pod.", "Set local_path.")
    if params["content"] is None and not params["local_path"]:
        raise option_error("local_path", "must be a path, got an empty string.")
    for name in ("owner", "group"):
        if params[name] is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", params[name]):
            raise option_error(name, f"must be a name or an ID, got '{params[name]}'.")
    if not params["remote_path"] or "\0" in params["remote_path"]:
        raise option_error("remote_path", f"must be a path in the container, got {params['remote_path']!r}.")
    preserves = not params["no_preserve"] and params["content"] is None
    if not params["checksum"] and not preserves:
        cause = "no_preserve ignores" if params["no_preserve"] else "content does not have"
        raise option_error("checksum", f"must be true: files are compared by modification time otherwise, which {cause}.")
    return CopyOptions(preserves, read_mode("mode", params["mode"]), params["owner"], params["group"], params["delete"], params["checksum"])


# -- result ---------------------------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: Copy) -> Result:
    """The result's fields, as far as they are known."""
    params, done = invocation.params, outcome.done
    if outcome.obstacle:
        note = f"Check mode: nothing was compared: {outcome.obstacle}"
        return {"changed": True, "skipped": True, "msg": note, "result": note}
    if done is None and not outcome.method:
        return {}
    if done is None:
        note = "Check mode: the differences are unknown, since listing the files requires a helper container in the pod."
        return {"changed": True, "result": note, "method": outcome.method}
    local_name = "The content" if params["content"] is not None else params["local_path"]
    source, target = (local_name, outcome.remote_name) if params["state"] == "to_pod" else (outcome.remote_name, local_name)
    if outcome.is_complete:
        text = f"{source} is copied to {target}." if done.is_change else f"{target} already matches {source}."
    else:
        text = f"{source} is copied to {target} in part." if done.is_change else f"Nothing is copied to {target}."
    result = {
        "changed": done.is_change,
        "result": text,
        "files": {"copied": len(done.files), "unchanged": done.unchanged, "deleted": len(done.delete)},
        "bytes": sum(outcome.sizes[path] for path in done.files),
        "method": outcome.method,
        "changes": done.lines(),
    }
    result |= {"checksum": outcome.checksum} if outcome.checksum else {}
    return result | ({"diff": outcome.diff} if invocation.diff_mode else {})


def redact(params: Options) -> Options:
    """The parameters without the content, for the invocation that Ansible shows."""
    if params.get("content") is None:
        return params
    return dict(params) | {"content": TaskRedactor().summarize(params["content"])}


OPERATION = Operation(
    "pod_copy",
    ARGUMENTS,
    Copy,
    run,
    describe,
    rules={"mutually_exclusive": [("local_path", "content")], "required_one_of": [("local_path", "content")]},
    redact=redact,
)
