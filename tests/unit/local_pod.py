# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pod that runs its commands on this machine, with their streams in the protocol of the API server."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec_stream as channel
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.streams import Streams
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import WebSocket
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy

from ..support.local_commands import serve_command

BUSYBOX = Path("/bin/busybox")
TOOLS = ["gnu", "busybox"] if BUSYBOX.exists() else ["gnu"]


class CountingClock(Clock):
    """A clock that counts the waits in which a socket did not become ready: `stalls`."""

    def __init__(self):
        self.stalls = 0

    def wait_for(self, sock, writing, seconds):
        """Wait as Clock does."""
        ready = super().wait_for(sock, writing, seconds)
        self.stalls += not any(ready)
        return ready


def run_copy(client, options, check_mode=False, diff_mode=False):
    """Run pod_copy. Returns: (result, error or None, warnings)."""
    params = {name: entry.get("default") for name, entry in pod_copy.ARGUMENTS.items()} | {"pod": "p", "container": "c", "namespace": "n"} | options
    console = Console()
    result, error = attempt(pod_copy.OPERATION, Invocation(params, check_mode, diff_mode, console, client))
    assert error is None or error.reason != "Unforeseen", str(error)
    return result, error, console.warnings


class LocalPod:
    """Runs the commands of Channels on this machine, with the tools named: `gnu` (those of PATH) or `busybox`.

    Args:
        options: further ones of Popen.

    Attributes:
        environment: the variables of its containers.
        client: has the attributes of a Client that exec uses.
        container: a Container.
    """

    def __init__(self, tools, directory, monkeypatch, path=None, **options):
        self.commands = 0
        self.client = SimpleNamespace(clock=CountingClock(), streams=Streams())
        self.client.branch = lambda: SimpleNamespace(**vars(self.client) | {"streams": Streams()})
        self.container = Container("n", "p", "c")
        self.options = options
        self.environment = dict(os.environ) | ({"PATH": path} if path else {})
        if tools == "busybox":
            self.environment["PATH"] = str(directory)
            for applet in subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split():
                (directory / applet).symlink_to(BUSYBOX)
        monkeypatch.setattr(channel, "open_websocket", self._open)

    def _open(self, client, request, protocols):
        client.streams.check()
        self.commands += 1
        ours, theirs = socket.socketpair()
        words = [value for name, value in request.query if name == "command"]
        has_input = ("stdin", "true") in request.query
        threading.Thread(target=self.serve, args=(theirs, words, has_input, protocols[0], self.environment, self.commands), daemon=True).start()
        client.streams.add(ours)
        return WebSocket(ours, protocols[0])

    def serve(self, sock, words, has_input, protocol, environment, _number):
        """Run a command, which is that of this number, see `serve_command`."""
        serve_command(sock, words, has_input, protocol, environment, **self.options)
