# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps the compiled engine between processes. Import this before anything of the engine.

Ansible compiles the source of a collection in each process that imports it: its loader keeps no bytecode, and a module's is in an archive. That takes
longer than most tasks. Here it is kept in ~/.cache/podwright/code, by the digest of the source, in a directory that nobody else can write to.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import pkgutil
import stat
import sys
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from typing import TYPE_CHECKING, Any
from zipimport import zipimporter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

ENGINE = "ansible_collections.podwright.core.plugins.module_utils._engine"
MAX_FILES = 2000  # of which one version of the engine needs a tenth
_INTERPRETER = MAGIC_NUMBER + bytes([sys.flags.optimize])


class CodeCache:
    """A directory of compiled code in a home that belongs to this user alone; one that does not is not used."""

    def __init__(self, home: str) -> None:
        self._home, self._path = home, os.path.join(home, ".cache/podwright/code")

    def find(self, key: str) -> CodeType | None:
        """The code that was kept under the key, or None."""
        with suppress(OSError, ValueError, EOFError, TypeError):
            directory = self._open()
            try:
                with open(os.open(key, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory), "rb") as file:
                    return marshal.loads(file.read()) if _is_private(os.fstat(file.fileno())) else None  # noqa: S302
            finally:
                os.close(directory)
        return None

    def keep(self, key: str, code: CodeType) -> None:
        """Keep the code under the key, if that is possible."""
        with suppress(OSError):
            os.stat(self._home)  # one that does not exist is not created: that of some system users is /nonexistent
            os.makedirs(self._path, mode=0o700, exist_ok=True)
            directory = self._open()
            try:
                if len(os.listdir(directory)) >= MAX_FILES:
                    for name in os.listdir(directory):
                        os.unlink(name, dir_fd=directory)
                temporary = f"{key}.{os.getpid()}"
                with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory), "wb") as file:
                    marshal.dump(code, file)
                os.replace(temporary, key, src_dir_fd=directory, dst_dir_fd=directory)
            finally:
                os.close(directory)

    def _open(self) -> int:
        """A descriptor of the directory. Raises: OSError if it is not this user's alone."""
        directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if not _is_private(os.fstat(directory)):
            os.close(directory)
            raise PermissionError
        return directory


def _is_private(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o022


class CachedLoader(Loader):
    """Loads a module as another loader does, but for its code."""

    def __init__(self, loader: Any, cache: CodeCache) -> None:
        self._loader, self._cache = loader, cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the other loader."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run the code of the module, compiled now or before."""
        code = self.get_code(module.__name__)
        if code is not None:
            exec(code, module.__dict__)  # noqa: S102

    def get_source(self, fullname: str) -> str | None:
        """The source of the module, None if it has none."""
        source: str | bytes | None = self._loader.get_source(fullname)
        return source.decode() if isinstance(source, bytes) else source  # Ansible's loader returns bytes, which tracebacks fail to show

    def get_code(self, fullname: str) -> CodeType | None:
        """The code of the module, None if it has none."""
        source = self.get_source(fullname)
        if source is None:
            return None
        text = source.encode()
        key = hashlib.sha256(b"\0".join((_INTERPRETER, fullname.encode(), text))).hexdigest()
        code = self._cache.find(key)
        if code is None:
            # Not its path, which differs in each process if it is in an archive; tracebacks ask the loader for its lines.
            code = compile(text, f"{fullname.replace('.', '/')}.py", "exec", dont_inherit=True)
            self._cache.keep(key, code)
        return code


class CachedFinder(MetaPathFinder):
    """Finds the modules of the engine as the finders after it do, and has their code kept."""

    def __init__(self, cache: CodeCache) -> None:
        self._cache = cache

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module of the engine, None for others."""
        if path is None or not fullname.startswith(ENGINE):
            return None
        for entry in path:
            importer = pkgutil.get_importer(entry)
            if isinstance(importer, zipimporter):
                return self._find_archived(fullname, entry, importer)
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                if not isinstance(spec.loader, SourceFileLoader):  # which keeps bytecode itself
                    spec.loader = CachedLoader(spec.loader, self._cache)
                return spec
        return None

    def _find_archived(self, fullname: str, entry: str, importer: zipimporter) -> ModuleSpec | None:
        """As the importer's own `find_spec`, which compiles the module to know its path."""
        try:
            is_package = importer.is_package(fullname)
        except ImportError:
            return None
        spec = ModuleSpec(fullname, CachedLoader(importer, self._cache), is_package=is_package)
        if is_package:
            spec.submodule_search_locations = [os.path.join(entry, fullname.rpartition(".")[2])]
        return spec


def install() -> None:
    """Put a finder before the one that finds collections, once in a process."""
    if any(isinstance(finder, CachedFinder) for finder in sys.meta_path):
        return
    for index, finder in enumerate(sys.meta_path):
        if finder is PathFinder or finder.__class__.__name__ == "_AnsibleCollectionFinder":
            sys.meta_path.insert(index, CachedFinder(CodeCache(os.path.expanduser("~"))))
            return


install()
