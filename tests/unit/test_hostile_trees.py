# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tar archives, lists of files and digests from a container that sends anything: a clear error, in limited memory and time of the processor."""

from __future__ import annotations

import io
import itertools
import os
import tarfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import STDERR, STDOUT
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer import archive, listing
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.listing import read_digests, read_listing
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.remote import ContainerTree
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.runner import MAX_ERRORS, MAX_OUTPUT, ScriptRunner
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.tar import InvalidArchive, read_members
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.tree import DIRECTORY, FILE, LINK, ROOT, Entry, leaves_tree

from ..support.fuzzing import fuzz, peak_memory
from .local_pod import LocalPod

pytestmark = pytest.mark.search

BLOCK = tarfile.BLOCKSIZE


class Printed:
    """A process that prints pieces."""

    rc = 0

    def __init__(self, pieces, stream=STDOUT):
        self._pieces, self._stream = pieces, stream
        self.count = 0

    def __iter__(self):
        for piece in self._pieces:
            self.count += len(piece)
            yield self._stream, piece

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        """Do nothing."""


def header(name="a", type_=tarfile.REGTYPE, size=0, link=""):
    """A header as it is, also if it lies about what follows it."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = type_, size, link
    return info.tobuf(tarfile.GNU_FORMAT)


def reader(content):
    """A function that reads the content."""
    return io.BytesIO(content).read


def pax(text):
    """A pax header."""
    return header("x", tarfile.XHDTYPE, len(text)) + text + bytes(-len(text) % BLOCK)


# -- archives -----------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=120).filter(lambda name: name not in (".", ".."))
CONTENTS = st.sampled_from([0, 1, 511, 512, 513, 10_240]).map(bytes)


@given(st.dictionaries(NAMES, CONTENTS, max_size=4), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
@fuzz
def test_members_are_those_that_tarfile_writes(files, format_):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=format_, pax_headers={"comment": "ü"} if format_ == tarfile.PAX_FORMAT else None) as writer:
        for name, content in files.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(content)
            writer.addfile(info, io.BytesIO(content))
        for name in files:
            info = tarfile.TarInfo("./links/" + name)
            info.type, info.linkname = tarfile.LNKTYPE, "./" + name
            writer.addfile(info)
    read, found = reader(sink.getvalue() * 2), []
    for member in read_members(read):
        found.append((member.path, member.target, read(member.size) if member.type != tarfile.LNKTYPE else None))
    expected = [(os.fsencode(name), b"", content) for name, content in files.items()]
    assert found == 2 * (expected + [(b"links/" + os.fsencode(name), os.fsencode(name), None) for name in files])


ARCHIVES = st.lists(
    st.sampled_from(
        [
            header("./a", size=3) + b"abc".ljust(BLOCK, b"\0"),
            header("./b", tarfile.LNKTYPE, link="./a"),
            header("x", tarfile.GNUTYPE_LONGNAME, 3) + b"./b".ljust(BLOCK, b"\0"),
            header("x", tarfile.GNUTYPE_SPARSE, 3),
            header("x", tarfile.CHRTYPE),
            pax(b"12 path=./b\n"),
            pax(b"30 GNU.sparse.size=abcdefghij\n"),
            bytes(BLOCK),
        ]
    )
    | st.binary(max_size=BLOCK),
    max_size=6,
).map(b"".join)


@pytest.mark.parametrize("growth", [1, 2_000_000])
def test_a_file_that_has_grown_is_left_out_and_the_others_are_unpacked(growth):
    content, sink = bytes(3 + growth), io.BytesIO()
    printed = [header("./a", size=len(content)), content, bytes(-len(content) % BLOCK), header("./b", size=3), b"abc".ljust(3 * BLOCK, b"\0")]
    assert set(archive.unpack(Printed(printed), {b"a": Entry(FILE, 3), b"b": Entry(FILE, 3)}, lambda _path: sink)) == {b"b"}


@given(ARCHIVES, st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=3), st.integers(1, 700))
@fuzz
def test_any_archive_is_unpacked_or_refused(tmp_path, content, changes, piece):
    damaged = bytearray(content)
    for at, byte in changes:
        if at < len(damaged):
            damaged[at] = byte
    opened = []

    def open_file(path):
        opened.append(path)
        return (tmp_path / os.fsdecode(path)).open("wb")

    expected = {b"a": Entry(FILE, 3), b"b": Entry(FILE, 3)}
    try:
        digests = archive.unpack(Printed([bytes(damaged[at : at + piece]) for at in range(0, len(damaged), piece)]), expected, open_file)
        assert set(digests) == set(opened)
    except PodwrightError as error:
        assert error.reason in ("Hostile", "CopyFailed")
    assert set(opened) <= set(expected)


@pytest.mark.parametrize("type_", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_header_of_hundreds_of_mebibytes_is_refused_before_it_is_read(type_):
    printed = Printed(itertools.chain([header("x", type_, 400 << 20)], itertools.repeat(bytes(1 << 16), 6400)))

    def unpack():
        with pytest.raises(PodwrightError, match="a header has 419430400 bytes"):
            archive.unpack(printed, {b"a": Entry(FILE, 1 << 30)}, lambda path: io.BytesIO())

    assert peak_memory(unpack) < 1 << 20 and printed.count < 1 << 18


@pytest.mark.parametrize(
    "content",
    [
        pax(b"99999999999999999999 path=x\n"),
        pax(b"5 path"),
        pax(b"0 path=x\n"),
        pax(b"3 =\n"[:3]),
        pax(b"13 size=abc\n\n") + header(),
        pax(b"11 size=-1\n") + header(),
        pax(b"21 GNU.sparse.size=1\n") + header(),
        header(size=-1),
        header()[:100],
        header("x", tarfile.XHDTYPE, 100),
    ],
)
def test_invalid_headers_are_refused(content):
    with pytest.raises(InvalidArchive):
        list(read_members(reader(content)))


def test_archive_of_many_short_headers_is_refused_in_time():
    begun = time.thread_time()
    with pytest.raises(PodwrightError):
        archive.unpack(Printed(itertools.repeat(pax(b"12 path=./b\n") * 60)), {b"a": Entry(FILE, 3)}, lambda path: io.BytesIO())
    assert time.thread_time() - begun < 3


# -- lists of files -----------------------------------------------------------------------------------------

FACTS = b"find\nstat\n0022\n--\n/r\0"
ROOT_ENTRY = b"1\n41ed 0 0 0 1 root root\n/r\0"
FILE_LINE = b"81a4 1 0 0 1 root root\n"
LISTINGS = st.lists(
    st.sampled_from(
        [FACTS, ROOT_ENTRY, b"1\n", b"2\n", FILE_LINE, b"/r/a\0", b"/r/../x\0", b"--\n", b"/r/a/b\0", b"a1ff 1 0 0 1 root root\n", b"\0", b"\n", b"-1\n"]
    )
    | st.binary(max_size=9),
    max_size=12,
).map(b"".join)


@given(LISTINGS, st.booleans())
@fuzz
def test_any_list_is_read_or_refused(content, is_begun):
    try:
        tree = read_listing(FACTS + ROOT_ENTRY + content if is_begun else content).tree
    except (PodwrightError, ValueError, LookupError):
        return
    assert all(isinstance(entry.size, int) and b".." not in path for path, entry in tree.items())


@given(st.lists(st.sampled_from([b"1\n", b"2\n", b"a" * 64 + b"\n", b"./x\0", b"\0", b"\n"]) | st.binary(max_size=9), max_size=12).map(b"".join))
@fuzz
def test_any_digests_are_read_or_refused(content):
    try:
        assert all(len(digest) == 64 for digest in read_digests(content).values())
    except ValueError:
        pass


@pytest.mark.parametrize(
    "content",
    [
        FACTS + b"99999999999999999999\n",
        FACTS + b"2000000\n",
        FACTS + b"1\n41ed 0 0 0 1 root root\n/r" + b"/a" * 5000 + b"\0--\n",
        FACTS + b"1\n81a4 " + b"9" * 5000 + b" 0 0 1 root root\n/r\0--\n",
        FACTS + "1\n81a4 ² 0 0 1 root root\n/r\0--\n".encode(),
        FACTS + b"1\n81a4 1_0 0 0 1 root root\n/r\0--\n",
        FACTS + ROOT_ENTRY + b"1\na1ff 0 0 0 1 root root\n/r/l\0--\n/r/l\0" + b"../" * 5000 + b"\0",
        b"word\n" * 100_000 + FACTS,
    ],
)
def test_invalid_lists_are_refused(content):
    with pytest.raises(ValueError, match=r".+"):
        read_listing(content)


def test_times_that_cannot_be_stored_are_limited():
    tree = read_listing(FACTS + b"2\n81a4 1 0 0 18446744073709551615 root root\n41ed 1 0 0 -18446744073709551615 root root\n/r/a\0/r\0--\n").tree
    assert tree[b"a"].mtime == listing.MAX_TIME and tree[ROOT].mtime == -listing.MAX_TIME


def in_groups_of_one(count):
    """A list of so many files in a directory."""
    return FACTS + ROOT_ENTRY + b"".join(b"1\n%s/r/%d\0" % (FILE_LINE, number) for number in range(count)) + b"--\n"


def test_list_in_groups_of_one_is_read_in_linear_time_and_memory():
    count, content = 20_000, in_groups_of_one(20_000)
    begun = time.thread_time()
    assert len(read_listing(content).tree) == count + 1 and time.thread_time() - begun < 3
    assert peak_memory(lambda: read_listing(in_groups_of_one(2000))) < 700 * 2000
    begun = time.thread_time()
    assert len(read_digests(b"".join(b"1\n%064x\n./%d\0" % (number, number) for number in range(count)))) == count and time.thread_time() - begun < 3


def test_deep_list_is_checked_in_linear_time():
    names = [b"/r" + b"/a" * depth for depth in range(1, 2000)]
    content = FACTS + ROOT_ENTRY + b"".join(b"1\n41ed 0 0 0 1 root root\n%s\0" % name for name in names) + b"--\n"
    begun = time.thread_time()
    assert len(read_listing(content).tree) == 2000 and time.thread_time() - begun < 2


def test_links_that_refer_to_themselves_over_many_directories_are_resolved_in_time():
    deep = b"/".join([b"d"] * 1000)
    tree = {deep[:length]: Entry(DIRECTORY) for length in range(0, len(deep) + 1, 2)}
    link = deep + b"/l"
    tree |= {ROOT: Entry(DIRECTORY), deep: Entry(DIRECTORY), link: Entry(LINK, target=b"../" * 1000 + link)}
    begun = time.thread_time()
    assert all(leaves_tree(tree, link) for _number in range(10))
    assert time.thread_time() - begun < 2


def test_list_of_too_many_entries_is_refused(monkeypatch):
    monkeypatch.setattr(listing, "MAX_ENTRIES", 100)
    with pytest.raises(PodwrightError, match="more than 100 entries"):
        read_listing(in_groups_of_one(101))


# -- outputs ------------------------------------------------------------------------------------------------


@pytest.fixture
def runner(monkeypatch):
    """A function that returns a ScriptRunner whose commands print this."""

    def make(printed):
        monkeypatch.setattr(ScriptRunner, "process", lambda self, command, given=None: printed)
        return ScriptRunner(None, None, "/x")

    return make


def test_output_of_a_script_is_limited(runner):
    with pytest.raises(PodwrightError, match="printed more than") as caught:
        runner(Printed(itertools.repeat(bytes(1 << 16)))).run(["x"])
    assert caught.value.reason == "Hostile"


def test_errors_of_a_script_are_cut(runner):
    printed = Printed([bytes(1 << 16)] * 100, STDERR)
    assert peak_memory(lambda: len(runner(printed).run(["x"]).stderr)) < 4 * MAX_ERRORS
    assert MAX_ERRORS < MAX_OUTPUT


def test_file_that_grows_while_it_is_shown_is_not_read_on(tmp_path, monkeypatch):
    """For a diff, the content of a small file is kept in memory."""
    pod, received = LocalPod("gnu", tmp_path, monkeypatch), []
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    monkeypatch.setattr(ScriptRunner, "process", lambda self, command, given=None: Printed(itertools.repeat(b"x" * 60)))
    with pytest.raises(PodwrightError, match="more than the 100 bytes"):
        ContainerTree(pod.client, pod.container, str(path)).read(ROOT, 0, 100, received.append)
    assert received == [b"x" * 60]
