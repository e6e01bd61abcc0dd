# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs modules as a Python interpreter does, in processes forked from this one, which has compiled what their payload contains.

A module that is a process of its own costs 0.45 s of CPU time, most of it to start Python, import the standard library and compile the
files of the payload; a fork costs 0.17 s. Each still imports Ansible and the engine from its own payload. Files whose content is not that
of the repository are compiled.

Started by `playbooks.PlaybookServer` with the file descriptor of a listening socket.
"""

from __future__ import annotations

import _imp
import contextlib
import importlib
import runpy
import socket
import sys
import zipimport
from pathlib import Path

from forking import serve

PACKAGES = ("ansible", "ansible_collections")
MODULES = "ansible_collections.podwright.core.plugins.modules"


def preload():
    """Import all modules, forget them, and let archives find the code of their files."""
    directory = importlib.import_module(MODULES).__path__
    for path in Path(next(iter(directory))).glob("[a-z]*.py"):
        importlib.import_module(f"{MODULES}.{path.stem}")
    with contextlib.suppress(ImportError):  # before ansible-core 2.19
        importlib.import_module("ansible.module_utils._internal._ansiballz._loader")
    codes = {}
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        spec = sys.modules.pop(name).__spec__
        if spec.has_location:
            codes[Path(spec.origin).read_bytes()] = spec.loader.get_code(spec.name)
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


def run_file():
    """Run the file that the arguments name."""
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    del sys.path[0]  # the directory of this file
    preload()
    serve(socket.socket(fileno=int(sys.argv[-1])), run_file)
