# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pod that runs its commands on this machine, with their streams in the protocol of the API server."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec_stream as channel
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import STATUS, STDERR, STDOUT, STREAM_CLOSE, V5
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.streams import Streams
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import BINARY, PING, PONG, WebSocket

BUSYBOX = Path("/bin/busybox")
TOOLS = ["gnu", "busybox"] if BUSYBOX.exists() else ["gnu"]


def frame(payload, opcode=BINARY, final=True):
    """A frame of a websocket server."""
    size = len(payload)
    length = bytes([size]) if size < 126 else struct.pack(">BH", 126, size) if size < 1 << 16 else struct.pack(">BQ", 127, size)
    return bytes([(0x80 if final else 0) | opcode]) + length + payload


class CountingClock(Clock):
    """A clock that counts the waits in which a socket did not become ready: `stalls`."""

    def __init__(self):
        self.stalls = 0

    def wait_for(self, sock, writing, seconds):
        """Wait as Clock does."""
        ready = super().wait_for(sock, writing, seconds)
        self.stalls += not any(ready)
        return ready


class LocalPod:
    """Runs the commands of Channels on this machine, with the tools named: `gnu` (those of PATH) or `busybox`.

    Attributes:
        client: has the attributes of a Client that exec uses.
        container: a Container.
    """

    def __init__(self, tools, directory, monkeypatch, path=None):
        self.client = SimpleNamespace(clock=CountingClock(), streams=Streams())
        self.client.branch = lambda: SimpleNamespace(**vars(self.client) | {"streams": Streams()})
        self.container = Container("n", "p", "c")
        self._environment = dict(os.environ) | ({"PATH": path} if path else {})
        if tools == "busybox":
            self._environment["PATH"] = str(directory)
            for applet in subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split():
                (directory / applet).symlink_to(BUSYBOX)
        self.commands = 0
        monkeypatch.setattr(channel, "open_websocket", self._open)

    def _open(self, client, request, protocols):
        client.streams.check()
        self.commands += 1
        ours, theirs = socket.socketpair()
        words = [value for name, value in request.query if name == "command"]
        has_input = ("stdin", "true") in request.query
        threading.Thread(target=self._serve, args=(theirs, words, has_input, protocols[0]), daemon=True).start()
        client.streams.add(ours)
        return WebSocket(ours, protocols[0])

    def _serve(self, sock, words, has_input, protocol):
        pipe = subprocess.PIPE
        program = Path(self._environment["PATH"].split(":")[0]) / words[0]
        process = subprocess.Popen(
            words, executable=program if program.exists() else None, env=self._environment, stdin=pipe, stdout=pipe, stderr=pipe
        )  # standard input stays open also without input, like that of a runtime which loses the end of file
        lock = threading.Lock()
        pumps = [threading.Thread(target=_pump, args=(source, stream, sock, lock)) for source, stream in ((process.stdout, STDOUT), (process.stderr, STDERR))]
        reader = threading.Thread(target=_feed, args=(sock, lock, process.stdin if has_input else None, protocol), daemon=True)
        for thread in [*pumps, reader]:
            thread.start()
        for thread in pumps:
            thread.join()
        rc = process.wait()
        status = {"status": "Success"}
        if rc:
            status = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": str(rc)}]}}
        with lock, suppress(OSError):
            sock.sendall(frame(bytes([STATUS]) + json.dumps(status).encode()))
        reader.join()
        sock.close()


def _pump(source, stream, sock, lock):
    with source, suppress(OSError):
        while data := source.read1(1 << 15):
            with lock:
                sock.sendall(frame(bytes([stream]) + data))


def _feed(sock, lock, sink, protocol):
    """Pass the input of the client on to the command until the client closes the connection."""
    received = sock.makefile("rb")
    while head := received.read(2):
        size = head[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(received.read(2 if size == 126 else 8), "big")
        key, payload = received.read(4), received.read(size)
        payload = (int.from_bytes(payload, "big") ^ int.from_bytes((key * (size // 4 + 1))[:size], "big")).to_bytes(size, "big")
        if head[0] & 0x0F == PING:
            with lock, suppress(OSError):
                sock.sendall(frame(payload, PONG))
        elif payload == bytes([STREAM_CLOSE, 0]) and protocol == V5:
            with suppress(OSError):
                sink.close()
        elif payload[:1] == b"\0":
            with suppress(OSError, ValueError):
                sink.write(payload[1:])
                sink.flush()
    if sink:
        with suppress(OSError):
            sink.close()
