# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs ansible-playbook in processes forked from this one, which has imported Ansible and its plugins already.

Starting ansible-playbook costs 0.8 s of CPU time, most of it imports; a fork costs 0.1 s. Every run is a process of its own
with its own arguments, environment, directory and temporary directory, and can be killed like any other.

Started by `playbooks.PlaybookServer` with the file descriptor of a listening socket. A connection carries one request,
{arguments, environment, directory} with the descriptors for standard output and error, and gets two answers:
the process ID, and once the process has terminated its exit code (negative: the signal). The server exits when its input closes.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile

LARGEST = 1 << 20
ACTIONS = ("add_host", "assert", "command", "copy", "debug", "fail", "include_role", "include_tasks", "normal", "raw", "set_fact")
PLUGINS = (("strategy", "linear"), ("connection", "local"), ("become", "su"), ("shell", "sh"), ("cache", "memory"), ("callback", "default"))
INVENTORIES = ("host_list", "script", "auto", "yaml", "ini", "toml")
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
    for group in (loader.vars_loader, loader.filter_loader, loader.test_loader):
        list(group.all())
    return modules[0].PlaybookCLI


def serve(listener, command):
    """Serve connections until the standard input closes."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the handlers
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _address = listener.accept()
        if not os.fork():
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            handle(connection, command)
            os._exit(0)
        connection.close()


def handle(connection, command):
    """Run the playbook of one connection."""
    content, descriptors, _flags, _address = socket.recv_fds(connection, LARGEST, 2)
    request = json.loads(content)
    pid = os.fork()
    if not pid:
        connection.close()
        prepare(request, descriptors)
        command.cli_executor(request["arguments"])
    connection.send(str(pid).encode())
    _pid, status = os.waitpid(pid, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def prepare(request, descriptors):
    """Make this process what a new one with that request would be."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in zip((nothing, *descriptors), range(3)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    sys.argv[:] = request["arguments"]
    constants = importlib.import_module("ansible.constants")
    atexit.unregister(importlib.import_module("ansible.utils.path").cleanup_tmp_file)  # the server's own directory stays
    constants.DEFAULT_LOCAL_TMP = tempfile.mkdtemp(prefix=f"ansible-local-{os.getpid()}", dir=os.path.dirname(constants.DEFAULT_LOCAL_TMP))
    atexit.register(shutil.rmtree, constants.DEFAULT_LOCAL_TMP, ignore_errors=True)


if __name__ == "__main__":
    command = preload(sys.argv[2:])
    gc.collect()
    gc.freeze()  # or each fork's garbage collections would copy all pages
    serve(socket.socket(fileno=int(sys.argv[1])), command)
