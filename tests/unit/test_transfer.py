# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a copy transfers, and what it refuses from a container that cannot be trusted."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import STDERR, STDOUT
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer import archive, list_script, scripts, small_files
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.download import Download
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.local import LocalTree, digest_of
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.pair import download_pair
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.plan import CopyOptions, Plan, compare, containing_directories, same_size_files
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.remote import ContainerTree
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.scripts import BLOCK, Exit, Script, escape
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.tree import (
    DIRECTORY,
    FILE,
    LINK,
    ROOT,
    SPECIAL,
    Entry,
    check_tree,
    leaves_tree,
    without_excluded,
)
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.upload import LARGEST_PART, SMALLEST_PART, divide

from ..support.waiting import wait_for
from .local_pod import TOOLS, LocalPod

NAMES = st.sampled_from([b"a", b"b", b"c d", b"\xff", b"-x"])


@st.composite
def trees(draw):
    """Trees of a few files, directories and symbolic links."""
    tree = {ROOT: Entry(DIRECTORY, mode=0o755)}
    for _number in range(draw(st.integers(0, 8))):
        directory = draw(st.sampled_from([path for path, entry in tree.items() if entry.type == DIRECTORY]))
        name = draw(NAMES)
        path = directory + b"/" + name if directory else name
        if path in tree:
            continue
        content = draw(st.sampled_from(["", "x", "y", "long"]))
        mode = draw(st.sampled_from([0o644, 0o600]))
        tree[path] = draw(
            st.sampled_from([Entry(FILE, len(content), mode, digest=digest_of([content.encode()])), Entry(DIRECTORY, mode=0o755), Entry(LINK, target=b"a")])
        )
    return tree


def carry_out(plan, source, target):
    """The target after a plan."""

    def is_below(path, top):
        return path == top or path.startswith(top + b"/")

    target = {path: entry for path, entry in target.items() if not any(is_below(path, deleted) for deleted in [*plan.obstacles, *plan.delete])}
    for path in [*plan.directories, *plan.files, *plan.links, *plan.attributes]:
        target[path] = source[path]
    return target


@given(trees(), trees())
def test_plan_makes_target_like_source(source, target):
    options = CopyOptions(deletes=True)
    plan = compare(source, target, options)
    after = carry_out(plan, source, target)
    assert {path: replace(entry, mtime=0) for path, entry in after.items()} == source
    assert not compare(source, after, options).is_change
    kept = compare(source, target, CopyOptions(deletes=False))
    assert not kept.delete and kept.files == plan.files


@given(trees(), trees(), st.sampled_from(["a", "?", "*/b"]))
def test_excluded_paths_are_kept(source, target, pattern):
    source, shown = (without_excluded(tree, [pattern]) for tree in (source, target))
    excluded = target.keys() - shown.keys()
    options = CopyOptions(deletes=True)
    plan = compare(source, shown, options, excluded)
    if containing_directories(excluded).isdisjoint(plan.obstacles):  # which pod_copy refuses
        assert excluded <= carry_out(plan, source, target).keys()
        after = carry_out(plan, source, shown)
        assert {path for path in after if path not in source} == (containing_directories(excluded) & shown.keys()) - source.keys()
        assert not compare(source, after, options, excluded).is_change


@given(trees(), trees())
def test_only_differences_are_sent(source, target):
    plan = compare(source, target, CopyOptions())
    for path in plan.files:
        assert target.get(path, Entry(DIRECTORY)).type != FILE or target[path].digest != source[path].digest
    assert plan.unchanged == sum(1 for path in source if source[path].type == FILE and target.get(path) == source[path])


def test_files_of_same_size_are_compared_by_digest_or_time():
    source, target = {b"a": Entry(FILE, 3, mtime=1, digest="x")}, {b"a": Entry(FILE, 3, mtime=2, digest="x")}
    assert same_size_files(source, target) == [b"a"]
    assert not compare(source, target, CopyOptions()).is_change
    assert compare(source, target, CopyOptions(by_content=False)).files == [b"a"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*.log", {b"sub", b"sub/keep"}),
        ("sub", {b"x.log"}),
        ("sub/*.log", {b"x.log", b"sub", b"sub/keep"}),
        ("/sub/", {b"x.log"}),
        ("no", {b"x.log", b"sub", b"sub/keep", b"sub/y.log"}),
    ],
)
def test_patterns_exclude_paths(pattern, left):
    tree = {ROOT: Entry(DIRECTORY), b"x.log": Entry(FILE), b"sub": Entry(DIRECTORY), b"sub/keep": Entry(FILE), b"sub/y.log": Entry(FILE)}
    assert without_excluded(tree, [pattern]).keys() - {ROOT} == left


@pytest.mark.parametrize(
    "tree",
    [
        {ROOT: Entry(DIRECTORY), b"/etc/passwd": Entry(FILE)},
        {ROOT: Entry(DIRECTORY), b"../x": Entry(FILE)},
        {ROOT: Entry(DIRECTORY), b"a": Entry(DIRECTORY), b"a/../../x": Entry(FILE)},
        {ROOT: Entry(DIRECTORY), b"a": Entry(LINK, target=b"/etc"), b"a/passwd": Entry(FILE)},
        {ROOT: Entry(DIRECTORY), b"a/b": Entry(FILE)},
        {ROOT: Entry(FILE), b"a": Entry(FILE)},
        {ROOT: Entry(DIRECTORY), b"a//b": Entry(FILE), b"a": Entry(DIRECTORY)},
    ],
)
def test_inconsistent_trees_are_refused(tree):
    assert check_tree(tree)


@pytest.mark.parametrize(
    ("path", "target", "leaves"),
    [
        (b"a", b"b", False),
        (b"a", b"../b", True),
        (b"a/b", b"../c", False),
        (b"a/b", b"../../c", True),
        (b"a", b"/etc", True),
        (b"a", b"b/../../c", True),
        (b"a", b"", True),
        (b"a/b/c", b"../../x/../../y", True),
    ],
)
def test_links_out_of_a_tree_are_found(path, target, leaves):
    assert leaves_tree({ROOT: Entry(DIRECTORY), path: Entry(LINK, target=target)}, path) == leaves


PARTS = st.sampled_from([b"a", b"b", b"c", b"..", b".", b"up", b"out"])


@given(st.dictionaries(st.sampled_from([b"up", b"out", b"a/up", b"a/out", b"a/b/up", b"a/b/out"]), st.lists(PARTS, min_size=1, max_size=6), min_size=1))
@example({b"a/b/up": [b".."], b"out": [b"a", b"b", b"up", b"..", b".."]})
@example({b"up": [b"up"]})
def test_links_that_stay_in_a_tree_resolve_in_it(links):
    """Also through chains of links."""
    with tempfile.TemporaryDirectory() as top:
        root = os.path.join(os.fsencode(os.path.realpath(top)), b"x/y/z/root")
        os.makedirs(os.path.join(root, b"a/b/c"))
        tree = {ROOT: Entry(DIRECTORY), b"a": Entry(DIRECTORY), b"a/b": Entry(DIRECTORY), b"a/b/c": Entry(DIRECTORY)}
        for path, parts in links.items():
            tree[path] = Entry(LINK, target=b"/".join(parts))
            os.symlink(tree[path].target, os.path.join(root, path))
        for path in links:
            if not leaves_tree(tree, path):
                try:
                    resolved = os.path.realpath(os.path.join(root, path), strict=True)
                except OSError:
                    continue  # it is dangling
                assert resolved == root or resolved.startswith(root + b"/")


@given(st.binary(max_size=40).filter(lambda name: b"\0" not in name))
def test_paths_of_any_bytes_are_escaped(name):
    text = escape(name)
    assert text.isascii() and " " not in text and "'" not in text
    restored = b"".join(bytes([int(text[i + 2 : i + 5], 8)]) if text[i] == "\\" else text[i].encode() for i in _starts(text))
    assert restored == name


def _starts(text):
    at = 0
    while at < len(text):
        yield at
        at += 5 if text[at] == "\\" else 1


class Sent:
    """A Process that prints prepared output."""

    def __init__(self, content, rc=0, piece=1000, stderr=b""):
        self._content, self._piece, self.rc, self._stderr = content, piece, rc, stderr

    def __iter__(self):
        yield STDERR, self._stderr
        for start in range(0, len(self._content), self._piece):
            yield STDOUT, self._content[start : start + self._piece]


def tar(*members):
    """A tar archive of (TarInfo, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive_file:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            archive_file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name, kind=tarfile.REGTYPE, target=""):
    """A TarInfo."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def unpack(content, expected, tmp_path, **options):
    """Unpack to a directory. Returns the sha256 of each file, by path."""
    return archive.unpack(Sent(content, **options), expected, lambda path: (tmp_path / os.fsdecode(path).replace("/", "_")).open("wb"))


EXPECTED = {b"a": Entry(FILE, 3)}


@pytest.mark.parametrize(
    "members",
    [
        [(member("/etc/passwd"), b"abc")],
        [(member("../a"), b"abc")],
        [(member("x/../a"), b"abc")],
        [(member("other"), b"abc")],
        [(member("a", tarfile.SYMTYPE, "/etc/passwd"), b"")],
        [(member("a", tarfile.LNKTYPE, "/etc/passwd"), b"")],
        [(member("a", tarfile.CHRTYPE), b"")],
        [(member("a", tarfile.FIFOTYPE), b"")],
        [(member("a", tarfile.DIRTYPE), b"")],
        [(member("a"), b"more than three"), (member("a"), b"abc")],
        [(member("a"), b"abc"), (member("a"), b"xyz")],
        [(member("a"), b"abc"), (member("b", tarfile.SYMTYPE, ".."), b"")],
    ],
    ids=lambda members: "-".join(f"{info.name}-{info.type.decode()}" for info, _content in members),
)
def test_hostile_archives_are_refused(members, tmp_path):
    with pytest.raises(PodwrightError) as caught:
        unpack(tar(*members), EXPECTED, tmp_path)
    assert caught.value.reason == "Hostile"
    assert {path.name for path in tmp_path.iterdir()} <= {"a"}


def test_endless_archives_are_refused(tmp_path):
    with pytest.raises(PodwrightError, match="more bytes than the requested files"):
        unpack(tar((member("a"), b"abc")) + bytes(archive.GROWTH + (1 << 22)), EXPECTED, tmp_path)


@pytest.mark.parametrize("content", [b"", tar(), b"garbage" * 300, tar((member("a"), b"abc"))[:700]])
def test_incomplete_archives_are_reported(content, tmp_path):
    with pytest.raises(PodwrightError) as caught:
        unpack(content, EXPECTED, tmp_path, rc=1)
    assert caught.value.reason == "CopyFailed"


def test_a_file_that_grew_is_left_out_and_the_others_are_unpacked(tmp_path):
    content = tar((member("./a"), b"more than three"), (member("./c"), b"de"))
    process = Sent(content, rc=1, stderr=b"tar: ./a: file changed as we read it\n")  # as GNU tar exits
    digests = archive.unpack(process, EXPECTED | {b"c": Entry(FILE, 2)}, lambda path: (tmp_path / os.fsdecode(path)).open("wb"))
    assert digests == {b"c": digest_of([b"de"])} and [path.name for path in tmp_path.iterdir()] == ["c"]


def test_consecutive_archives_with_hard_links_are_unpacked(tmp_path):
    first = tar((member("./a"), b"abc"), (member("./b", tarfile.LNKTYPE, "./a"), b""))
    expected = EXPECTED | {b"b": Entry(FILE, 3), b"c": Entry(FILE, 2)}
    digests = unpack(first + tar((member("./c"), b"de")), expected, tmp_path, piece=333)
    assert digests == {b"a": digest_of([b"abc"]), b"c": digest_of([b"de"])}


def test_packed_archives_can_be_read(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/ünï").write_bytes(b"x" * 1000)
    (tmp_path / "link").symlink_to("sub")
    local = LocalTree(str(tmp_path))
    tree, digests = local.observe(Console()), {}
    content = b"".join(archive.pack(local, tree, sorted(tree), lambda path: (0o640, 7), digests))
    with tarfile.open(fileobj=io.BytesIO(content)) as read:
        assert sorted(read.getnames()) == [".", "./link", "./sub", "./sub/ünï"]
        assert {(entry.mode, entry.mtime) for entry in read} == {(0o640, 7)}
        assert digest_of([read.extractfile("./sub/ünï").read()]) == digests["sub/ünï".encode()]


def test_file_that_shrinks_while_it_is_read_is_reported(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 1000)
    local = LocalTree(str(tmp_path))
    tree = local.observe(Console())
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(PodwrightError, match="changed while it was read"):
        list(archive.pack(local, tree, sorted(tree), lambda path: (0o640, 7), {}))


@given(st.integers(0, 1 << 42))
def test_parts_cover_a_file(size):
    parts = divide(size)
    assert [start for start, _size in parts] == [0, *(start + length for start, length in parts[:-1])] and sum(length for _start, length in parts) == size
    assert all(length % BLOCK == 0 and SMALLEST_PART <= length <= LARGEST_PART for _start, length in parts[:-1])
    assert len(parts) == 1 or BLOCK < parts[-1][1] <= LARGEST_PART + BLOCK


@pytest.mark.parametrize("fault", ["owner", "busy"])
def test_download_leaves_no_temporary_file(fault, tmp_path, monkeypatch):
    """The owner does not exist; the target is a mount point, which cannot be replaced."""
    pod = LocalPod("gnu", tmp_path, monkeypatch)
    local, container = tmp_path / "local", tmp_path / "container"
    for directory in (local, container):
        directory.mkdir()
        (directory / "a").write_bytes(bytes(directory == container) * 5)
    remote = ContainerTree(pod.client, pod.container, str(container))
    source, options = remote.observe(), CopyOptions(owner="no-such-user" if fault == "owner" else None)
    plan = compare(source, LocalTree(str(local)).observe(Console()), options)
    download = Download(LocalTree(str(local)), remote, source, options, plan, True, Console())

    def refuse(_temporary, target):
        raise OSError(errno.EBUSY, "Device or resource busy", target)

    if fault == "busy":
        monkeypatch.setattr(os, "replace", refuse)
        download.run()
    else:
        with pytest.raises(PodwrightError, match="no-such-user"):
            download.run()
    assert os.listdir(local) == ["a"] and (local / "a").read_bytes() == (bytes(5) if fault == "busy" else b"")


SCRIPTS = {name: script for name, script in (vars(scripts) | vars(small_files) | vars(list_script)).items() if isinstance(script, Script)}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_use_each_variable_that_they_declare_or_assign(name):
    script = SCRIPTS[name]
    declared = {*script.paths, *script.words}
    python = re.sub(r"python3 -c '[^']*'", "", script.text)
    used = set(re.findall(r"\$\{?([a-z]\w*)", python))
    assigned = set(re.findall(r"(?:^|[\s;({'])([a-z]\w*)=", python)) | set(re.findall(r"for (\w+)", python))
    assert declared <= used <= declared | assigned
    command = script.command(**dict.fromkeys(declared, b""))
    assert subprocess.run(["sh", "-n", "-c", command[2]], check=False).returncode == 0 and not re.search(r"\$[A-Z]", command[2])


def test_scripts_get_variables_of_any_bytes(tmp_path):
    script = Script('printf "%s|%s" "$path" "$word"', ("path",), ("word",))
    assert subprocess.run(script.command(path=b"a\n'$(x)\\\xff \n", word="$b"), check=True, capture_output=True).stdout == b"a\n'$(x)\\\xff \n|$b"
    with pytest.raises(TypeError, match="nope"):
        script.command(path=b"", word="", nope="")
    with pytest.raises(KeyError, match="word"):
        script.command(path=b"")


@pytest.mark.parametrize("code", Exit)
def test_exit_codes_are_those_of_no_tool(code):
    assert 10 < code < 64 and any(f"exit ${code.name}" in script.text for script in SCRIPTS.values())


@pytest.fixture(params=TOOLS)
def pod(request, tmp_path_factory, monkeypatch):
    """A LocalPod with each set of tools."""
    return LocalPod(request.param, tmp_path_factory.mktemp("bin"), monkeypatch)


def test_listing_of_what_is_neither_file_nor_directory_is_refused(pod, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(PodwrightError, match="must be a file or a directory"):
        ContainerTree(pod.client, pod.container, str(tmp_path / "fifo")).observe()


def test_what_a_download_skips_is_named_in_warnings(pod, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(source / "socket"))
    remote, console = ContainerTree(pod.client, pod.container, str(source)), Console()
    pair = download_pair(remote, remote.observe(), str(tmp_path / "target"), console)
    assert sorted(pair.source) == [b"", b"a"]
    assert sorted(console.warnings) == [
        f"{name} is skipped: it is neither a file, a directory nor a symbolic link in {pod.container}." for name in ("fifo", "socket")
    ]
    console = Console()
    download_pair(remote, pair.source | {b"%d" % number: Entry(SPECIAL) for number in range(100)}, str(tmp_path / "target"), console)
    assert len(console.warnings) == 21 and console.warnings[-1] == f"80 more entries of {source} are skipped for the same reasons."


def test_a_download_does_not_replace_a_device(pod, tmp_path):
    """As root it would: `local_path: /dev/null` must not make that a file."""
    (tmp_path / "source").write_text("a")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    remote = ContainerTree(pod.client, pod.container, str(tmp_path / "source"))
    for name in ("fifo", "link"):
        with pytest.raises(PodwrightError, match="neither a file nor a directory"):
            download_pair(remote, remote.observe(), f"{tmp_path}/{name}", Console())


def test_an_attempt_whose_staging_directory_an_earlier_one_deleted_is_repeated(pod, tmp_path):
    """A command whose connection was lost can begin after that of the next attempt."""
    stage = tmp_path / "root/.podwright-stage-token"
    stage.parent.mkdir()
    remote = ContainerTree(pod.client, pod.container, str(stage.parent))
    remote.observe()

    def delete_stage():
        wait_for(stage.is_dir)
        stage.rmdir()
        yield tar((member("./a"), b"abc"))

    with pytest.raises(PodwrightError) as caught:
        remote.unpack("token", delete_stage, [b"a"])
    assert caught.value.reason == "ConnectionLost"


@pytest.mark.parametrize("missing", ["find", "stat", "sed"])
def test_missing_tools_are_reported(missing, tmp_path, monkeypatch):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in {"sh", "readlink", "tar", "cat", *scripts.TOOLS} - {missing}:
        (tools / tool).symlink_to(shutil.which(tool))
    pod = LocalPod("gnu", tmp_path, monkeypatch, path=str(tools))
    with pytest.raises(PodwrightError, match=missing) as caught:
        ContainerTree(pod.client, pod.container, str(tmp_path)).observe()
    assert caught.value.reason == "NoTools"


def test_files_without_their_reported_size_are_refused_by_a_download(pod, tmp_path):
    """Files of /proc report the size 0, those of /sys the size of a page."""
    for path in ("/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"):
        remote, local = ContainerTree(pod.client, pod.container, path), LocalTree(tmp_path / "copy")
        tree = remote.observe()
        with pytest.raises(PodwrightError, match="size that it reports") as caught:
            Download(local, remote, tree, CopyOptions(), compare(tree, {}, CopyOptions()), False, Console()).run()
        assert path in caught.value.message and caught.value.reason == "NoSize" and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_files_without_their_reported_size_are_refused_by_an_upload(path):
    local = LocalTree(path)
    tree = local.observe(Console())
    with pytest.raises(PodwrightError, match="size that it reports"):
        list(archive.pack(local, tree, [ROOT], lambda _path: (0o644, 0), {}))


def test_a_file_whose_size_is_0_is_compared_by_its_content():
    source, target = {ROOT: Entry(FILE, 0, digest="a")}, {ROOT: Entry(FILE, 0, digest="b")}
    assert same_size_files(source, target) == [ROOT]
    assert compare(source, target, CopyOptions()).files == [ROOT]
    assert same_size_files({ROOT: Entry(DIRECTORY), b"a": Entry(FILE)}, {ROOT: Entry(DIRECTORY), b"a": Entry(FILE)}) == []


@pytest.mark.parametrize(
    ("done", "is_complete", "text"),
    [
        (Plan(), True, "/remote in pod 'p' already matches /local."),
        (Plan(files=[b"a"]), True, "/local is copied to /remote in pod 'p'."),
        (Plan(), False, "Nothing is copied to /remote in pod 'p'."),
        (Plan(files=[b"a"]), False, "/local is copied to /remote in pod 'p' in part."),
    ],
)
def test_result_of_a_failed_copy_claims_no_more_than_was_done(done, is_complete, text):
    outcome = pod_copy.Copy("/remote in pod 'p'", "tar", done, {b"a": 1}, is_complete=is_complete)
    params = {"content": None, "local_path": "/local", "state": "to_pod"}
    assert pod_copy.describe(Invocation(params, False, False, Console(), None), outcome)["result"] == text
