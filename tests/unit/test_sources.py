# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No source of input stalls a stream, whatever the sizes of its chunks."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import Process
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import NOT_YET, STDOUT
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.download import Download
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.local import LocalTree
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.plan import CopyOptions, compare
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.remote import ContainerTree
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.tree import FILE, with_digests
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.upload import Upload

from .local_pod import TOOLS, LocalPod

SIZES = (0, 1, 511, 512, 513, 10_239, 10_240, 10_241, 65_536)


@pytest.fixture(params=TOOLS)
def pod(request, tmp_path_factory, monkeypatch):
    """A LocalPod with each set of tools."""
    return LocalPod(request.param, tmp_path_factory.mktemp("bin"), monkeypatch)


@given(st.lists(st.sampled_from([b"", b"x", bytes(511), bytes(512), bytes(1 << 16), bytes((1 << 16) + 1)]), max_size=8), st.booleans())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_chunks_of_any_size_reach_a_command(pod, chunks, is_known):
    size = sum(map(len, chunks))
    with Process(pod.client, pod.container, Command(["wc", "-c"], lambda: iter(chunks), size if is_known else None)) as process:
        output = b"".join(data for stream, data in process if stream == STDOUT)
    assert int(output) == size and process.rc == 0 and pod.client.clock.stalls == 0


def test_input_may_wait_for_output(pod):
    """The password of `become` is sent after its prompt."""
    output = bytearray()

    def source():
        yield b""
        while b"name?" not in output:
            yield NOT_YET
        yield b""
        yield b"me\n"

    with Process(pod.client, pod.container, Command(["sh", "-c", "echo name?; read name; echo hello $name"], source)) as process:
        for _stream, data in process:
            output += data
    assert output == b"name?\nhello me\n" and pod.client.clock.stalls == 0


def make_tree(root, count):
    """Create a tree with files around the sizes of blocks, empty directories and that many empty files."""
    for number, size in enumerate((*SIZES, *SIZES[::-1])):
        (root / f"{number}-{size}").write_bytes(os.urandom(size))
    (root / "sparse").touch()
    os.truncate(root / "sparse", 3 << 20)
    (root / "many").mkdir()
    for number in range(count):
        (root / "many" / f"{number}").touch()
    for path in ("empty", "empty/deeper", "empty/deeper/still"):
        (root / path).mkdir()


def observe(root):
    """{path: Entry} with digests, and without the modification times of directories, which are not copied."""
    local = LocalTree(str(root))
    tree = {path: replace(entry, mtime=entry.type == FILE and entry.mtime) for path, entry in local.observe(Console()).items()}
    return with_digests(tree, local.digests([path for path, entry in tree.items() if entry.type == FILE]))


@pytest.mark.search
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize(("uses_tar", "count"), [(True, 1000), (False, 3)], ids=["tar", "stream"])
def test_a_tree_of_every_size_is_copied_without_a_stall(direction, uses_tar, count, pod, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    source, target = (here, there) if direction == "up" else (there, here)
    source.mkdir()
    make_tree(source, count)
    remote, local, options = ContainerTree(pod.client, pod.container, str(there)), LocalTree(str(here)), CopyOptions()
    ends = {"up": (local.observe(Console()), remote.observe()), "down": (remote.observe(), {})}[direction]
    plan = compare(*ends, options)
    carrier = Upload if direction == "up" else Download
    carrier(local, remote, ends[0], options, plan, uses_tar, Console()).run()
    assert observe(target) == observe(source)
    assert pod.client.clock.stalls == 0
