# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compiled code of the engine is kept between processes: compiled once, never used when its source is another one or others could have written it."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
import traceback
import zipfile
from importlib.util import module_from_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils import _bytecode
from ansible_collections.podwright.core.plugins.module_utils._bytecode import ENGINE, CachedFinder, CachedLoader, CodeCache

NAME = f"{ENGINE}.sample"
ENTRY = ENGINE.replace(".", "/")


class Archive:
    """An archive as a module's, with one module of the engine, and the finder of a process that imports it."""

    def __init__(self, directory: Path) -> None:
        self.path, self.directory = directory / "0.zip", directory / "home/.cache/podwright/code"
        self.home = directory / "home"
        self.home.mkdir()
        self.cache = CodeCache(str(self.home))

    def write(self, source: str) -> None:
        """Write an archive with that source, of another name: those of the last are cached."""
        self.path = self.path.with_name(f"{int(self.path.stem) + 1}.zip")
        with zipfile.ZipFile(self.path, "w") as archive:
            archive.writestr(f"{ENTRY}/__init__.py", "")
            archive.writestr(f"{ENTRY}/sample.py", source)

    def run(self) -> dict[str, object]:
        """Import the module. Returns: its variables."""
        spec = CachedFinder(self.cache).find_spec(NAME, [f"{self.path}/{ENTRY}"])
        assert spec and spec.loader
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return vars(module)

    def kept(self) -> list[Path]:
        """The files of the cache."""
        return sorted(self.directory.iterdir()) if self.directory.is_dir() else []


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An archive whose module says that it is the first version."""
    made = Archive(tmp_path)
    made.write("VERSION = 1\n")
    return made


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The file names of what was compiled since the test began."""
    names: list[str] = []

    def compile_counted(source, filename, *arguments, **options):
        names.append(filename)
        return builtins.compile(source, filename, *arguments, **options)

    monkeypatch.setattr(_bytecode, "compile", compile_counted, raising=False)
    return names


def test_a_module_is_compiled_once(archive, compiled):
    assert [archive.run()["VERSION"], archive.run()["VERSION"]] == [1, 1]
    assert compiled == [f"{ENTRY}/sample.py"]
    assert [path.stat().st_mode & 0o777 for path in (archive.directory, *archive.kept())] == [0o700, 0o600]


def test_another_source_is_compiled_too(archive, compiled):
    archive.run()
    archive.write("VERSION = 2222\n")
    assert archive.run()["VERSION"] == 2222
    assert (len(compiled), len(archive.kept())) == (2, 2)


@pytest.mark.parametrize("content", [b"", b"x", b"\xe3", None])
def test_a_damaged_file_is_not_used(archive, compiled, content):
    archive.run()
    (kept,) = archive.kept()
    kept.write_bytes(kept.read_bytes()[:-9] if content is None else content)
    assert archive.run()["VERSION"] == 1 and archive.run()["VERSION"] == 1
    assert len(compiled) == 2  # it is replaced


@pytest.mark.parametrize("what", ["writable directory", "writable file", "foreign directory", "linked directory", "linked file"])
def test_what_others_could_have_written_is_not_used(archive, compiled, monkeypatch, what, tmp_path):
    archive.run()
    target = archive.directory if "directory" in what else archive.kept()[0]
    if "writable" in what:
        target.chmod(0o722)
    elif "linked" in what:
        target.rename(tmp_path / "elsewhere")
        target.symlink_to(tmp_path / "elsewhere")
    else:
        monkeypatch.setattr(_bytecode.os, "geteuid", lambda: os.getuid() + 1)
    assert archive.run()["VERSION"] == 1
    assert len(compiled) == 2


def test_a_home_that_does_not_exist_is_not_created(archive, compiled):
    archive.home.rmdir()
    assert [archive.run()["VERSION"], archive.run()["VERSION"]] == [1, 1]
    assert len(compiled) == 2 and not archive.home.exists()


@pytest.mark.parametrize("home", ["/proc", "/dev/null", "/proc/self/fd"])
def test_a_home_that_cannot_be_written_to_is_no_error(archive, compiled, home):
    archive.cache = CodeCache(home)
    assert [archive.run()["VERSION"], archive.run()["VERSION"]] == [1, 1]
    assert len(compiled) == 2


def test_the_cache_does_not_grow_without_end(archive, monkeypatch):
    monkeypatch.setattr(_bytecode, "MAX_FILES", 3)
    for version in range(10):
        archive.write(f"VERSION = {10**version}\n")
        assert archive.run()["VERSION"] == 10**version
        assert len(archive.kept()) <= 3


def test_a_traceback_shows_the_lines_of_an_archive(archive):
    archive.write("def fail():\n    raise KeyError('nothing')  # in the archive\n")
    archive.run()
    with pytest.raises(KeyError) as failure:
        archive.run()["fail"]()
    assert "# in the archive" in "".join(traceback.format_exception(failure.value))


def test_the_source_of_a_collection_is_text_for_tracebacks(archive):
    """Ansible's loader returns bytes, with which `linecache` fails, so that the error itself is lost."""
    loader = CachedLoader(SimpleNamespace(get_source=lambda name: f"NAME = '{name} é'\n".encode()), archive.cache)
    assert loader.get_source("a") == "NAME = 'a é'\n"
    assert loader.get_code("a").co_names == ("NAME",)


def test_other_modules_are_left_to_other_finders(archive, monkeypatch):
    finder = CachedFinder(archive.cache)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    assert finder.find_spec("ansible_collections.podwright.core.plugins.modules.pod_gc", [str(archive.path)]) is None
    assert finder.find_spec(f"{ENGINE}.missing", [f"{archive.path}/{ENTRY}"]) is None


def test_an_action_and_a_module_find_the_code_that_another_process_kept(tmp_path):
    """Ansible's own loader of collections, in two processes."""
    program = (
        "import builtins, sys; from ansible.plugins.loader import init_plugin_loader, action_loader; init_plugin_loader()\n"
        "from ansible_collections.podwright.core.plugins.module_utils import _bytecode\n"
        "names = []; _bytecode.compile = lambda source, name, *rest, **options: names.append(name) or builtins.compile(source, name, *rest, **options)\n"
        "assert action_loader.get('podwright.core.pod_info', class_only=True).operation.name == 'pod_info'\n"
        "print(len(names))"
    )
    environment = os.environ | {"HOME": str(tmp_path)}
    runs = [subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True) for _number in range(2)]
    assert int(runs[0].stdout) > 40 and int(runs[1].stdout) == 0
