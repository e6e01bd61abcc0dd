# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is copied is decided by pure functions, and what a container sends is not trusted."""

from __future__ import annotations

import errno
import io
import os
import tarfile
import tempfile
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import STDOUT
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer import archive
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.download import Download
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.local import LocalTree, digest_of
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.remote import BLOCK, ContainerTree, quote
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.tree import (
    DIRECTORY,
    FILE,
    LINK,
    ROOT,
    CopyOptions,
    Entry,
    check_tree,
    compare,
    directories_of,
    duplicates,
    leaves_tree,
    without_excluded,
)
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.upload import LARGEST_PART, SMALLEST_PART, divide

from .local_pod import LocalPod

NAMES = st.sampled_from([b"a", b"b", b"c d", b"\xff", b"-x"])


@st.composite
def trees(draw):
    """A tree of a few files, folders and links, with its folders' parents."""
    tree = {ROOT: Entry(DIRECTORY, mode=0o755)}
    for _turn in range(draw(st.integers(0, 8))):
        directory = draw(st.sampled_from([path for path, entry in tree.items() if entry.sort == DIRECTORY]))
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
    """The target after a plan, as the two carriers would leave it."""

    def below(path, top):
        return path == top or path.startswith(top + b"/")

    target = {path: entry for path, entry in target.items() if not any(below(path, gone) for gone in [*plan.obstacles, *plan.delete])}
    for path in [*plan.directories, *plan.send, *plan.links, *plan.attributes]:
        target[path] = source[path]
    return target


@given(trees(), trees())
def test_a_plan_makes_the_target_like_the_source(source, target):
    wish = CopyOptions(deletes=True)
    plan = compare(source, target, wish)
    after = carry_out(plan, source, target)
    assert {path: replace(entry, mtime=0) for path, entry in after.items()} == source
    assert not compare(source, after, wish).is_change
    kept = compare(source, target, CopyOptions(deletes=False))
    assert not kept.delete and kept.send == plan.send


@given(trees(), trees(), st.sampled_from(["a", "?", "*/b"]))
def test_what_is_excluded_stays(source, target, pattern):
    source, shown = (without_excluded(tree, [pattern]) for tree in (source, target))
    excluded = target.keys() - shown.keys()
    wish = CopyOptions(deletes=True)
    plan = compare(source, shown, wish, excluded)
    if directories_of(excluded).isdisjoint(plan.obstacles):  # which pod_copy refuses
        assert excluded <= carry_out(plan, source, target).keys()
        after = carry_out(plan, source, shown)
        assert {path for path in after if path not in source} == (directories_of(excluded) & shown.keys()) - source.keys()
        assert not compare(source, after, wish, excluded).is_change


@given(trees(), trees())
def test_only_what_differs_is_sent(source, target):
    plan = compare(source, target, CopyOptions())
    for path in plan.send:
        assert target.get(path, Entry(DIRECTORY)).sort != FILE or target[path].digest != source[path].digest
    assert plan.unchanged == sum(1 for path in source if source[path].sort == FILE and target.get(path) == source[path])


def test_files_of_one_size_are_told_apart_by_digest_or_time():
    source, target = {b"a": Entry(FILE, 3, mtime=1, digest="x")}, {b"a": Entry(FILE, 3, mtime=2, digest="x")}
    assert duplicates(source, target) == [b"a"]
    assert not compare(source, target, CopyOptions()).is_change
    assert compare(source, target, CopyOptions(by_content=False)).send == [b"a"]


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
def test_patterns_exclude(pattern, left):
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
def test_impossible_descriptions_are_refused(tree):
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
def test_links_that_leave_the_tree(path, target, leaves):
    assert leaves_tree({ROOT: Entry(DIRECTORY), path: Entry(LINK, target=target)}, path) == leaves


PARTS = st.sampled_from([b"a", b"b", b"c", b"..", b".", b"up", b"out"])


@given(st.dictionaries(st.sampled_from([b"up", b"out", b"a/up", b"a/out", b"a/b/up", b"a/b/out"]), st.lists(PARTS, min_size=1, max_size=6), min_size=1))
@example({b"a/b/up": [b".."], b"out": [b"a", b"b", b"up", b"..", b".."]})
@example({b"up": [b"up"]})
def test_links_lead_where_the_file_system_says(links):
    """Whatever chains they make: a link of which this says that it stays does not resolve to anything outside."""
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
                    place = os.path.realpath(os.path.join(root, path), strict=True)
                except OSError:
                    continue  # it leads nowhere
                assert place == root or place.startswith(root + b"/")


@given(st.binary(max_size=40).filter(lambda name: b"\0" not in name))
def test_names_of_any_bytes_travel(name):
    text = quote(name)
    assert text.isascii() and " " not in text and "'" not in text
    restored = b"".join(bytes([int(text[i + 2 : i + 5], 8)]) if text[i] == "\\" else text[i].encode() for i in _starts(text))
    assert restored == name


def _starts(text):
    at = 0
    while at < len(text):
        yield at
        at += 5 if text[at] == "\\" else 1


class Sent:
    """A Process that writes what was prepared by hand."""

    def __init__(self, content, rc=0, piece=1000):
        self._content, self._piece, self.rc = content, piece, rc

    def __iter__(self):
        for start in range(0, len(self._content), self._piece):
            yield STDOUT, self._content[start : start + self._piece]


def tar(*members):
    """A tar archive of (TarInfo, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as made:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name, sort=tarfile.REGTYPE, target=""):
    """A TarInfo."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = sort, target
    return info


def unpack(content, expected, tmp_path, **how):
    """Unpack into a folder. Returns {path: sha256}."""
    return archive.unpack(Sent(content, **how), expected, lambda path: (tmp_path / os.fsdecode(path).replace("/", "_")).open("wb"))


WANTED = {b"a": Entry(FILE, 3)}


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
        [(member("a"), b"more than three")],
        [(member("a"), b"abc"), (member("a"), b"xyz")],
        [(member("a"), b"abc"), (member("b", tarfile.SYMTYPE, ".."), b"")],
    ],
    ids=lambda members: "-".join(f"{info.name}-{info.type.decode()}" for info, _content in members),
)
def test_hostile_archives_are_refused(members, tmp_path):
    with pytest.raises(PodwrightError) as caught:
        unpack(tar(*members), WANTED, tmp_path)
    assert caught.value.reason == "Hostile"
    assert {path.name for path in tmp_path.iterdir()} <= {"a"}


def test_a_bomb_is_stopped(tmp_path):
    with pytest.raises(PodwrightError, match="on and on"):
        unpack(tar((member("a"), b"abc")) + bytes(1 << 22), WANTED, tmp_path)


@pytest.mark.parametrize("content", [b"", tar(), b"garbage" * 300, tar((member("a"), b"abc"))[:700]])
def test_archives_that_lack_something_are_told(content, tmp_path):
    with pytest.raises(PodwrightError) as caught:
        unpack(content, WANTED, tmp_path, rc=1)
    assert caught.value.reason == "CopyFailed"


def test_two_archives_and_hard_links_within(tmp_path):
    first = tar((member("./a"), b"abc"), (member("./b", tarfile.LNKTYPE, "./a"), b""))
    wanted = WANTED | {b"b": Entry(FILE, 3), b"c": Entry(FILE, 2)}
    digests = unpack(first + tar((member("./c"), b"de")), wanted, tmp_path, piece=333)
    assert digests == {b"a": digest_of([b"abc"]), b"c": digest_of([b"de"])}


def test_what_is_packed_can_be_read(tmp_path):
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


def test_a_file_that_shrinks_while_it_is_read_is_told(tmp_path):
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
def test_no_part_of_a_download_is_left(fault, tmp_path, monkeypatch):
    """An owner that does not exist, and a mount point, which cannot be replaced."""
    pod = LocalPod("gnu", tmp_path, monkeypatch)
    here, there = tmp_path / "here", tmp_path / "there"
    for directory in (here, there):
        directory.mkdir()
        (directory / "a").write_bytes(bytes(directory == there) * 5)
    remote = ContainerTree(pod.client, pod.container, str(there))
    source, wish = remote.observe(), CopyOptions(owner="no-such-user" if fault == "owner" else None)
    plan = compare(source, LocalTree(str(here)).observe(Console()), wish)
    download = Download(LocalTree(str(here)), remote, source, wish, plan, True, Console())

    def refuse(part, place):
        raise OSError(errno.EBUSY, "Device or resource busy", place)

    if fault == "busy":
        monkeypatch.setattr(os, "replace", refuse)
        download.run()
    else:
        with pytest.raises(PodwrightError, match="no-such-user"):
            download.run()
    assert os.listdir(here) == ["a"] and (here / "a").read_bytes() == (bytes(5) if fault == "busy" else b"")
