# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a killed process leaves beside the files that it was writing is deleted by the next one, and nothing that is in use."""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import time

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine import scratch
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.files import AtomicFile
from ansible_collections.podwright.core.plugins.module_utils._engine.scratch import Scratch, create_locked, delete_leftovers
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.download import Download
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.local import LocalTree
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.plan import CopyOptions, compare
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.remote import ContainerTree

from .local_pod import LocalPod

FORK = multiprocessing.get_context("fork")


def names(directory):
    return sorted(os.path.relpath(os.path.join(place, name), directory) for place, _directories, files in os.walk(directory) for name in files)


@contextlib.contextmanager
def process(function, *arguments):
    """A process that has called a function and then does not exit. Yields: a function that kills it."""
    ready = FORK.Event()

    def run():
        function(*arguments)
        ready.set()
        time.sleep(60)

    child = FORK.Process(target=run)
    child.start()
    assert ready.wait(30)

    def kill():
        child.kill()  # SIGKILL
        child.join()

    try:
        yield kill
    finally:
        kill()


def write_file(directory):
    write_file.file = AtomicFile(str(directory / "target"))
    write_file.file.write(b"secret")
    write_file.file._sink.flush()


def write_tree(directory):
    write_tree.scratch = Scratch(os.fsencode(directory)).__enter__()
    for place in (directory, directory / "below"):
        os.close(write_tree.scratch.create(os.fsencode(place))[0])


def use_file(directory):
    with AtomicFile(str(directory / "other")) as file:
        file.finish()


def use_tree(directory):
    with Scratch(os.fsencode(directory)) as used:
        os.rename(used.create(os.fsencode(directory))[1], os.fsencode(directory / "other"))


@pytest.mark.parametrize("use", [use_file, use_tree])
@pytest.mark.parametrize("write", [write_file, write_tree])
def test_the_next_process_deletes_what_a_killed_one_left(tmp_path, write, use):
    (tmp_path / "below").mkdir()
    (tmp_path / "below/.podwright-0123456789abcdef-1").touch()
    with process(write, tmp_path) as kill:
        before = names(tmp_path)
        use(tmp_path)
        assert set(names(tmp_path)) == {*before, "other"}, "the process lives"
        kill()
        use(tmp_path)
        assert names(tmp_path) == ["below/.podwright-0123456789abcdef-1", "other"]


def pull(pod, container, local, hangs):
    """Download a directory; if it hangs, then before the last file is renamed."""
    remote = ContainerTree(pod.client, pod.container, str(container))
    source = remote.observe()
    plan = compare(source, LocalTree(str(local)).observe(Console()), CopyOptions())
    download = Download(LocalTree(str(local)), remote, source, CopyOptions(), plan, True, Console())
    if not hangs:
        return download.run()
    finish, ready = download._finish, hangs

    def hang(path):
        if path == b"sub/b":
            ready.set()
            time.sleep(60)
        finish(path)

    download._finish = hang
    return download.run()


def test_a_killed_download_is_cleaned_up_by_the_next_and_two_at_once_do_not_disturb_each_other(tmp_path, monkeypatch):
    pod = LocalPod("gnu", tmp_path, monkeypatch)
    local, container = tmp_path / "local", tmp_path / "container"
    (container / "sub").mkdir(parents=True)
    for name in ("a", "sub/b"):
        (container / name).write_text(name)
    ready = FORK.Event()
    child = FORK.Process(target=pull, args=(pod, container, local, ready))
    child.start()
    try:
        assert ready.wait(60)
        left = [name for name in names(local) if ".podwright-" in name]
        assert len(left) == 2 and left[0].endswith(".lock") and left[1].startswith("sub/")
        pull(pod, container, local, None)
        assert names(local) == sorted([*left, "a", "sub/b"])
    finally:
        child.kill()
        child.join()
    (container / "a").write_text("changed")
    pull(pod, container, local, None)
    assert names(local) == ["a", "sub/b"] and (local / "a").read_text() == "changed"


def test_files_that_only_look_like_leftovers_stay(tmp_path, monkeypatch):
    """Names that others chose, links, directories, pipes, journals that list files of others, and files of another user."""
    kept = [".podwright-note", ".podwright-0123456789abcde", ".podwright-0123456789abcdef.txt", "x.podwright-0123456789abcdef", "victim"]
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / ".podwright-1111111111111111").symlink_to("victim")
    (tmp_path / ".podwright-2222222222222222").mkdir()
    os.mkfifo(tmp_path / ".podwright-3333333333333333")
    journal = tmp_path / ".podwright-4444444444444444.lock"
    journal.write_bytes(b"victim\0../victim\0x/../victim\0" + os.fsencode(tmp_path / "victim") + b"\0.podwright-4444444444444444-1\0\xff\0")
    (tmp_path / ".podwright-4444444444444444-1").touch()
    before = set(os.listdir(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: -1)
        delete_leftovers(os.fsencode(tmp_path))
        assert set(os.listdir(tmp_path)) == before
    delete_leftovers(os.fsencode(tmp_path))
    assert before - set(os.listdir(tmp_path)) == {journal.name, ".podwright-4444444444444444-1"}


def test_without_locks_nothing_is_deleted(tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    descriptor, path = create_locked(os.fsencode(tmp_path))
    use_file(tmp_path)
    use_tree(tmp_path)
    assert names(tmp_path) == sorted([os.path.basename(os.fsdecode(path)), "other"])
    os.close(descriptor)


def test_a_file_that_is_deleted_before_it_is_locked_is_created_again(tmp_path, monkeypatch):
    lock, deleted = fcntl.flock, []

    def delete(descriptor, operation):
        if not deleted:
            deleted.extend(os.listdir(tmp_path))
            (tmp_path / deleted[0]).unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(scratch.fcntl, "flock", delete)
    descriptor, path = create_locked(os.fsencode(tmp_path))
    assert deleted and os.fsdecode(path) == str(tmp_path / os.listdir(tmp_path)[0])
    os.close(descriptor)


def test_a_directory_that_accepts_no_files_needs_no_journal(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()

    def refuse(*_arguments):
        raise PermissionError(13, "denied")

    monkeypatch.setattr(scratch, "create_locked", refuse)
    with Scratch(os.fsencode(tmp_path)) as used:
        os.rename(used.create(os.fsencode(tmp_path / "below"))[1], os.fsencode(tmp_path / "below/file"))
    assert names(tmp_path) == ["below/file"]


def test_many_files_need_few_descriptors(tmp_path):
    with Scratch(os.fsencode(tmp_path)) as used:
        before = len(os.listdir("/proc/self/fd"))
        for _number in range(300):
            descriptor, path = used.create(os.fsencode(tmp_path))
            os.close(descriptor)
            os.unlink(path)
        assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert os.listdir(tmp_path) == []
