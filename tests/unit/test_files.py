# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Local files are written atomically, with the mode that they would have by the umask."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.files import AtomicFile, check_file, file_mode


def test_new_files_have_the_mode_of_the_umask_without_changing_it(tmp_path, monkeypatch):
    expected = tmp_path / "usual"
    expected.touch()
    monkeypatch.setattr(os, "umask", None)
    assert file_mode(str(tmp_path / "new")) == expected.stat().st_mode & 0o777
    with AtomicFile(str(tmp_path / "new/deep/file"), creates_parents=True) as file:
        file.finish()
    assert (tmp_path / "new/deep/file").stat().st_mode == expected.stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["new", "usual"]


@pytest.mark.parametrize("error", [None, PermissionError, OSError(22, "Invalid argument")])
def test_a_file_has_the_owner_and_mode_of_the_one_that_it_replaces(tmp_path, monkeypatch, error):
    calls = []

    def change(path, owner, group):
        calls.append((owner, group))
        os.chmod(path, 0o600)  # as the kernel may
        if error:
            raise error

    path = tmp_path / "report.html"
    path.write_text("old")
    path.chmod(0o640)
    status = path.stat()
    monkeypatch.setattr(os, "chown", change)
    for name, mode in (("report.html", None), ("new", None), ("report.html", 0o640)):
        with AtomicFile(str(tmp_path / name), mode=mode) as file:
            file.write(b"new")
            file.finish()
    assert calls == [(status.st_uid, status.st_gid)] and path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("special", ["pipe", "directory", "/dev/null", "new/", "file/"])
def test_what_is_no_regular_file_is_neither_read_nor_replaced(tmp_path, special):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("old")
    path = os.path.join(tmp_path, special)
    before = os.stat(path) if special[-1] != "/" else None
    with pytest.raises(PodwrightError, match=r"is not a regular file"):
        AtomicFile(path)
    with pytest.raises(PodwrightError, match=r"^report: must be a file in an existing directory, got "):
        check_file("report", path)
    assert not before or os.stat(path).st_ino == before.st_ino
    assert sorted(os.listdir(tmp_path)) == ["directory", "file", "pipe"]


@pytest.mark.parametrize("has_target", [True, False])
def test_a_symbolic_link_is_followed_and_stays(tmp_path, has_target):
    (tmp_path / "data").mkdir()
    target, link = tmp_path / "data/real", tmp_path / "link"
    link.symlink_to("data/real")
    if has_target:
        target.write_text("old")
        target.chmod(0o640)
    with AtomicFile(str(link)) as file:
        file.write(b"new")
        assert file.differs()
        file.finish()
    assert link.is_symlink() and target.read_text() == "new" and os.listdir(tmp_path / "data") == ["real"]
    assert not has_target or target.stat().st_mode & 0o777 == 0o640


def test_a_full_disk_is_reported_once(tmp_path, monkeypatch):
    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    with pytest.raises(PodwrightError, match="No space left on device"), AtomicFile(str(tmp_path / "file")) as file:
        monkeypatch.setattr(file, "_sink", SimpleNamespace(write=fail, close=fail))
        file.write(b"data")
    assert os.listdir(tmp_path) == []


def test_an_empty_path_is_refused():
    with pytest.raises(PodwrightError, match=r"^report: must be a file in an existing directory, got "):
        check_file("report", "")
