# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs ansible-playbook in processes forked from this one, which has imported Ansible and its plugins already.

Starting ansible-playbook costs 0.8 s of CPU time, most of it imports; a fork costs 0.1 s. Every run is a process of its own
with its own arguments, environment, directory and temporary directory, and can be killed like any other.

Started by `playbooks.PlaybookServer` with the directory of packed modules, action plugins and the file descriptor of a listening socket.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import shutil
import socket
import sys
import tempfile
from functools import partial

from forking import serve

ACTIONS = ("add_host", "assert", "command", "copy", "debug", "fail", "include_role", "include_tasks", "normal", "raw", "set_fact")
PLUGINS = (("strategy", "linear"), ("cache", "memory"))
READ_BY_ALL = ("callback", "connection", "become", "shell")  # a play reads the options of all of them, which takes a third of its CPU time
INVENTORIES = ("host_list", "script", "auto", "yaml", "ini", "toml")
POLL_INTERVAL = 0.01  # seconds; polling every 0.001 s, the default of Ansible, takes 1 % of a core while a play waits
MODULES = ("cli.playbook", "executor.task_queue_manager", "executor.process.worker", "executor.module_common", "plugins.strategy")


def preload(actions):
    """Import what a play needs. `actions` are full names of action plugins."""
    modules = [importlib.import_module(f"ansible.{name}") for name in MODULES]
    loader = importlib.import_module("ansible.plugins.loader")
    loader.init_plugin_loader(None)
    importlib.import_module("ansible.cli").init_plugin_loader = lambda _path=None: None  # it warns if it is called again
    for name in (*(f"ansible.builtin.{action}" for action in ACTIONS), *actions):
        loader.action_loader.get(name, class_only=True)
    for kind, name in PLUGINS:
        getattr(loader, f"{kind}_loader").get(name, class_only=True)
    for name in INVENTORIES:
        loader.inventory_loader.get(name, class_only=True)
    for kind in READ_BY_ALL:
        list(getattr(loader, f"{kind}_loader").all(class_only=True))
    for group in (loader.vars_loader, loader.filter_loader, loader.test_loader):
        list(group.all())
    return modules[0].PlaybookCLI


def run(command, packed):
    """Run ansible-playbook with the arguments of this process and a temporary directory of its own.

    Args:
        command: as `preload` returns it.
        packed: a directory with the modules that runs have packed; to pack one costs 0.4 s of CPU time.
    """
    constants = importlib.import_module("ansible.constants")
    constants.DEFAULT_INTERNAL_POLL_INTERVAL = POLL_INTERVAL
    atexit.unregister(importlib.import_module("ansible.utils.path").cleanup_tmp_file)  # the server's own directory stays
    constants.DEFAULT_LOCAL_TMP = tempfile.mkdtemp(prefix=f"ansible-local-{os.getpid()}", dir=os.path.dirname(constants.DEFAULT_LOCAL_TMP))
    atexit.register(shutil.rmtree, constants.DEFAULT_LOCAL_TMP, ignore_errors=True)
    own = os.path.join(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache")
    share(packed, own)
    atexit.register(share, own, packed)
    command.cli_executor(sys.argv)


def share(source, destination):
    """Link packed modules of a directory into another one that lacks them."""
    for directory in (source, destination):
        os.makedirs(directory, exist_ok=True)
    for name in set(os.listdir(source)) - set(os.listdir(destination)):
        if not name.endswith("-part"):  # which a worker that was killed has left
            with contextlib.suppress(FileExistsError):
                os.link(os.path.join(source, name), os.path.join(destination, name))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[-1])), partial(run, preload(sys.argv[2:-1]), sys.argv[1]))
