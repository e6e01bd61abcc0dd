# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs modules as a Python interpreter does, in processes forked from this one, which has imported the engine.

A module that is a process of its own costs 0.45 s of CPU time, most of it to start Python and to import the standard library and the engine;
a fork costs 0.1 s. Each still imports Ansible and what depends on it from its own payload, and of the engine only what its payload contains.
Files whose content is not that of the repository are imported from the payload, too.

Started by `playbooks.PlaybookServer` with the file descriptor of a listening socket.
"""

from __future__ import annotations

import _imp
import contextlib
import importlib
import pkgutil
import runpy
import socket
import sys
import zipimport
from importlib.util import spec_from_loader
from pathlib import Path

from forking import serve

PACKAGES = ("ansible", "ansible_collections")
MODULES = "ansible_collections.podwright.core.plugins.modules"
SHARED = "ansible_collections.podwright.core.plugins.module_utils."
DEPENDENT = ("module_edge", "event_source")  # on Ansible, of which each payload has its own


def preload():
    """Import all modules and forget them, but let imports from archives find the engine, and of other files the code."""
    directory = importlib.import_module(MODULES).__path__
    for path in Path(next(iter(directory))).glob("[a-z]*.py"):
        importlib.import_module(f"{MODULES}.{path.stem}")
    with contextlib.suppress(ImportError):  # before ansible-core 2.19
        importlib.import_module("ansible.module_utils._internal._ansiballz._loader")
    codes, shared = {}, {}
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        module = sys.modules.pop(name)
        spec = module.__spec__
        if spec.has_location:
            codes[Path(spec.origin).read_bytes()] = spec.loader.get_code(spec.name)
            if name.startswith(SHARED) and spec.submodule_search_locations is None and not set(name.split(".")) & set(DEPENDENT):
                shared[name] = module, Path(spec.origin).read_text()
    sys.meta_path.insert(0, SharedFinder(shared))
    zipimport._compile_source = Compiler(codes, zipimport._compile_source)


class Compiler:
    """Compiles files of an archive unless their code is known.

    Args:
        codes: by source.
        compile_source: what compiles the others.
    """

    def __init__(self, codes, compile_source):
        self._codes, self._compile_source = codes, compile_source

    def __call__(self, path, source):
        code = self._codes.get(source)
        if code is None:
            return self._compile_source(path, source)
        _imp._fix_co_filename(code, path)
        return code


class SharedFinder:
    """Finds modules that are imported already, if an archive in the path has them with the same source.

    Args:
        modules: module and source by name.
    """

    def __init__(self, modules):
        self._modules = modules

    def find_spec(self, name, path, _target=None):
        """The spec of an imported module, None for others."""
        module, source = self._modules.get(name, (None, None))
        for entry in path if module else ():
            with contextlib.suppress(ImportError):
                if pkgutil.get_importer(entry).get_source(name) == source:
                    return spec_from_loader(name, SharedLoader(module))
        return None


class SharedLoader:
    """Loads a module that is imported already."""

    def __init__(self, module):
        self._module = module

    def create_module(self, _spec):
        """The module."""
        return self._module

    def exec_module(self, _module):
        """Do nothing."""


def run_file():
    """Run the file that the arguments name."""
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    del sys.path[0]  # the directory of this file
    preload()
    serve(socket.socket(fileno=int(sys.argv[-1])), run_file)
