# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result of pod_copy compared with a model of its options. The trees are read without the code of the copy."""

from __future__ import annotations

import fnmatch
import os
import random
import shutil
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy

from ..support.covering import covering_array
from ..support.environment import SCALE
from ..support.operations import call
from ..support.pods import first_process

EARLIER, LATER = 1_600_000_000, 1_700_000_000
# Each is set or not set.
CHOICES = [
    {"state": "from_pod"},
    {"method": "stream"},
    {"no_preserve": True},
    {"mode": "0604"},
    {"owner": "1234", "group": "4321"},
    {"exclude": ["*.log"]},
    {"delete": True},
    {"follow": True},
    {"checksum": False},
]


@dataclass(frozen=True)
class Node:
    """A file (content), a symbolic link (target) or a directory (neither). mode and mtime are None if any will do."""

    content: bytes | None = None
    target: bytes | None = None
    mode: int | None = 0o644
    mtime: int | None = EARLIER
    owner: tuple = (0, 0)


DIRECTORY = Node(mode=0o755, mtime=None)


def link(target, owner=(0, 0)):
    """A symbolic link."""
    return Node(target=target, mode=None, mtime=None, owner=owner)


OF_DIRECTORIES = [{"exclude": ["*.log"]}, {"delete": True}]
EXISTING = {
    "absent": None,
    "same content": Node(b"text", mode=0o600, mtime=LATER, owner=(77, 78)),
    "same size": Node(b"evil", mode=0o601),
    "longer": Node(b"longer", mode=0o777),
    "directory": DIRECTORY,
}
SOURCE = {
    b"": DIRECTORY,
    b"same": Node(b"same"),
    b"touched": Node(b"touched", mode=0o640),
    b"swapped": Node(b"good"),
    b"grown": Node(b"grown", mode=0o755),
    b"fresh": Node(b"fresh", mode=0o750),
    b"no bytes": Node(b""),
    b"odd \n'\"$x\\ \xff": Node(b"odd"),
    b"-rf": Node(b"dash"),
    b"skip.log": Node(b"log"),
    b"empty": DIRECTORY,
    b"private": replace(DIRECTORY, mode=0o700),
    b"private/skip.log": Node(b"log"),
    b"private/deep": DIRECTORY,
    b"private/deep/file": Node(b"deep"),
    b"to-fresh": link(b"fresh"),
    b"to-deep": link(b"private/deep"),
    b"moved": link(b"fresh"),
    b"was-link": Node(b"a file now"),
    b"nowhere": link(b"nothing"),
}
TARGET = {
    b"": replace(DIRECTORY, mode=0o1777, owner=(77, 78)),
    b"same": Node(b"same"),
    b"touched": Node(b"touched", mode=0o600, mtime=LATER, owner=(77, 78)),
    b"swapped": Node(b"evil"),
    b"grown": Node(b"gr", mode=0o711, owner=(77, 78)),
    b"private": replace(DIRECTORY, mode=0o1750),
    b"moved": link(b"same"),
    b"was-link": link(b"same"),
    b"extra": Node(b"extra"),
    b"extra-link": link(b"extra"),
    b"keep.log": Node(b"keep"),
    b"old": DIRECTORY,
    b"old/file": Node(b"old"),
    b"old/keep.log": Node(b"keep"),
    b"older": DIRECTORY,
    b"older/file": Node(b"older"),
}


def write(root, tree):
    """Write a tree to a directory."""
    for path, node in sorted(tree.items()):
        full_path = os.path.join(os.fsencode(root), path)
        if node.target is not None:
            os.symlink(node.target, full_path)
        elif node.content is None:
            os.mkdir(full_path)
        else:
            Path(os.fsdecode(full_path)).write_bytes(node.content)
            os.utime(full_path, (node.mtime, node.mtime))
        os.chown(full_path, *node.owner, follow_symlinks=False)
        if node.mode is not None:
            os.chmod(full_path, node.mode)


def read(root):
    """The tree in a directory."""
    tree = {}
    pending = [b""]
    while pending:
        path = pending.pop()
        full_path = os.path.join(os.fsencode(root), path)
        status = os.lstat(full_path)
        owner = (status.st_uid, status.st_gid)
        if stat.S_ISLNK(status.st_mode):
            tree[path] = link(os.readlink(full_path), owner)
        elif stat.S_ISDIR(status.st_mode):
            tree[path] = replace(DIRECTORY, mode=stat.S_IMODE(status.st_mode), owner=owner)
            pending += [os.path.join(path, name) for name in os.listdir(full_path)]
        else:
            content = Path(os.fsdecode(full_path)).read_bytes()
            tree[path] = Node(content, mode=stat.S_IMODE(status.st_mode), mtime=int(status.st_mtime), owner=owner)
    return tree


def expect_file(node, current, options):
    """The file at the target after a copy; `current` is the file there before, or None."""
    preserves = "no_preserve" not in options and "content" not in options
    owner = (1234, 4321) if "owner" in options else None
    same = current and current.content == node.content
    if "checksum" in options and node.content:
        same = current and len(current.content) == len(node.content) and current.mtime == node.mtime
    mode = int(options["mode"], 8) if "mode" in options else node.mode if preserves else current.mode if current else 0o644
    if same:
        return replace(current, mode=mode, owner=owner or current.owner)
    return Node(node.content, mode=mode, mtime=node.mtime if preserves else None, owner=owner or (0, 0))


def expect(options):
    """The target after a copy of SOURCE to TARGET with these options."""

    def excluded(path):
        return "exclude" in options and any(fnmatch.fnmatch(part, b"*.log") for part in path.split(b"/"))

    source = dict(SOURCE)
    if "follow" in options:
        source |= {b"to-fresh": SOURCE[b"fresh"], b"moved": SOURCE[b"fresh"], b"to-deep": SOURCE[b"private/deep"]}
        source |= {b"to-deep/file": SOURCE[b"private/deep/file"]}
        source = {path: node for path, node in source.items() if node.target is None}
    source = {path: node for path, node in source.items() if not excluded(path)}
    result = dict(TARGET)
    if "delete" in options:
        kept = {path for path in TARGET if excluded(path)}
        kept |= {os.path.dirname(path) for path in kept}
        result = {path: node for path, node in TARGET.items() if path in source or path in kept}
    preserves = "no_preserve" not in options
    owner = (1234, 4321) if "owner" in options else None
    for path, node in source.items():
        current = result.get(path)
        if current and (current.content is None, current.target is None) != (node.content is None, node.target is None):
            current = None
        if node.target is not None:
            expected = link(node.target, owner or (current.owner if current and current.target == node.target else (0, 0)))
        elif node.content is None:
            mode = (node.mode | (current.mode & 0o7000 if current else 0)) if preserves else (current.mode if current else 0o755)
            expected = replace(DIRECTORY, mode=mode, owner=owner or (current.owner if current else (0, 0)))
        else:
            expected = expect_file(node, current, options)
        result[path] = expected
    return result | {b"": TARGET[b""]}


TOOLS = ("busybox", "gnu")


def with_tools(rows):
    """The rows that each kind of tools copies: by the seed (PODWRIGHT_SEED) each row is of one of them, with a larger PODWRIGHT_SCALE of both."""
    seed = os.environ.get("PODWRIGHT_SEED", "0")
    return [(tools, row) for tools in TOOLS for number, row in enumerate(rows) if SCALE > 1 or tools == random.Random(f"{seed} {number}").choice(TOOLS)]


ROWS = covering_array(*([{}, choice] for choice in CHOICES))
DIRECTORY_COPIES = [pytest.param(tools, options, id=f"{tools}-{'-'.join(options) or 'none'}") for tools, options in with_tools(ROWS)]


@pytest.mark.parametrize(("tooled", "options"), DIRECTORY_COPIES, indirect=["tooled"])
def test_options_of_a_directory_copy_combine(options, client, tooled, tmp_path):
    root = Path(f"/proc/{first_process(client, tooled)}/root")
    local, remote = tmp_path / "copy", root / "copy"
    source, target = (remote, local) if "state" in options else (local, remote)
    shutil.rmtree(remote, ignore_errors=True)
    write(source, SOURCE)
    write(target, TARGET)
    options = options | {"pod": tooled.pod, "local_path": str(local), "remote_path": "/copy"}
    if "no_preserve" in options and "checksum" in options:
        refused = call(pod_copy, options, tooled.namespace)
        assert refused["failed"] and "compared by modification time" in refused["msg"]
        del options["checksum"]
    planned = call(pod_copy, options, tooled.namespace, check_mode=True)
    assert read(target) == TARGET
    result = call(pod_copy, options, tooled.namespace)
    assert not result["failed"], result
    assert result["changed"] and planned["changed"] and result["changes"] == planned["changes"]
    found, expected = read(target), expect(options)
    assert sorted(found) == sorted(expected)
    for path, node in expected.items():
        assert node.mtime or not found[path].mtime or found[path].mtime > LATER
        assert replace(found[path], mtime=node.mtime and found[path].mtime) == node, (path, options)
    again = call(pod_copy, options, tooled.namespace)
    assert not again["changed"] and not again["changes"], again
    assert read(target) == found


@pytest.mark.parametrize("existing", EXISTING, ids=EXISTING)
@pytest.mark.parametrize("tooled", TOOLS, indirect=True)
def test_options_of_a_file_copy_combine(existing, client, tooled, tmp_path):
    root = Path(f"/proc/{first_process(client, tooled)}/root")
    sources = [{"source": b"file"}, {"source": b"link"}, {"source": None}]  # the last is content
    rows = covering_array(sources, *([{}, choice] for choice in CHOICES if choice not in OF_DIRECTORIES))
    for number, row in [(number, row) for number, (tools, row) in enumerate(with_tools(rows)) if f"-{tools}-" in tooled.pod]:
        options = {name: value for name, value in row.items() if name != "source"}
        local, remote = tmp_path / str(number), root / tmp_path.name / str(number)
        remote_path = f"/{remote.relative_to(root)}"
        source, target = (remote, local) if "state" in options else (local, remote)
        source.mkdir(parents=True)
        write(source, {b"file": Node(b"text", mode=0o640), b"link": link(b"file")})
        if EXISTING[existing]:
            target.mkdir(parents=True)
            write(target, {b"to": EXISTING[existing]})
        name = os.fsdecode(row["source"] or b"")
        if "state" in options:
            options |= {"remote_path": f"{remote_path}/{name}", "local_path": f"{local}/to"}
        else:
            options |= {"remote_path": f"{remote_path}/to", "local_path": f"{local}/{name}"}
        options["pod"] = tooled.pod
        if not row["source"]:
            options = {option: value for option, value in options.items() if option != "local_path"} | {"content": "text"}
            if options.keys() & {"state", "checksum"} or existing == "directory":
                assert call(pod_copy, options, tooled.namespace)["reason"] == "BadOption", row
                continue
        elif "no_preserve" in options:
            options.pop("checksum", None)
        result = call(pod_copy, options, tooled.namespace)
        assert not result["failed"], (row, result)
        path = f"to/{name}".encode() if existing == "directory" else b"to"
        expected = expect_file(Node(b"text", mode=0o640), None if existing == "directory" else EXISTING[existing], options)
        found = read(target)
        assert found.keys() == {b"", b"to", path}
        assert expected.mtime or found[path].mtime > LATER
        assert replace(found[path], mtime=expected.mtime and found[path].mtime) == expected, row
        again = call(pod_copy, options, tooled.namespace)
        assert not again["failed"] and not again["changed"] and read(target) == found, (row, again)


def test_directory_is_replaced_only_with_delete(client, tooled, tmp_path):
    root = Path(f"/proc/{first_process(client, tooled)}/root")
    options = {"pod": tooled.pod, "local_path": str(tmp_path / "copy"), "remote_path": "/replaced"}
    existing = {b"": DIRECTORY, b"thing": DIRECTORY, b"thing/keep.log": Node(b"keep"), b"thing/file": Node(b"file")}
    write(tmp_path / "copy", {b"": DIRECTORY, b"thing": Node(b"thing")})
    write(root / "replaced", existing)
    for more, message in (({}, "Set delete"), ({"delete": True, "exclude": ["*.log"]}, "with excluded paths")):
        for check_mode in (True, False):
            refused = call(pod_copy, options | more, tooled.namespace, check_mode)
            assert refused["failed"] and message in refused["msg"] and read(root / "replaced").keys() == existing.keys()
    replaced = call(pod_copy, options | {"delete": True}, tooled.namespace)
    assert replaced["changes"] == ["replace thing", "copy thing"]
    assert read(root / "replaced")[b"thing"] == Node(b"thing")
