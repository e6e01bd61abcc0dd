# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The server's end of a websocket for commands: it runs them on this machine, with their streams in the protocol of the API server."""

from __future__ import annotations

import json
import struct
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import STATUS, STDERR, STDOUT, STREAM_CLOSE, V5
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import BINARY, PING, PONG


def frame(payload, opcode=BINARY, final=True):
    """A frame of a websocket server."""
    size = len(payload)
    length = bytes([size]) if size < 126 else struct.pack(">BH", 126, size) if size < 1 << 16 else struct.pack(">BQ", 127, size)
    return bytes([(0x80 if final else 0) | opcode]) + length + payload


def read_frames(sock):
    """The opcode and payload of each frame of a client, until it closes the connection."""
    received = sock.makefile("rb")
    with received, suppress(OSError):
        while head := received.read(2):
            size = head[1] & 0x7F
            if size >= 126:
                size = int.from_bytes(received.read(2 if size == 126 else 8), "big")
            key, payload = received.read(4), received.read(size)
            if len(key) + len(payload) < 4 + size:
                return
            yield head[0] & 0x0F, (int.from_bytes(payload, "big") ^ int.from_bytes((key * (size // 4 + 1))[:size], "big")).to_bytes(size, "big")


def serve_command(sock, words, has_input, protocol, environment, **options):
    """Run a command, with options of Popen, and close the connection once the client has closed its end."""
    pipe = subprocess.PIPE
    program = Path(environment["PATH"].split(":")[0]) / words[0]
    process = subprocess.Popen(
        words, executable=program if program.exists() else None, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, **options
    )  # standard input stays open also without input, like that of a runtime which loses the end of file
    lock = threading.Lock()
    pumps = [threading.Thread(target=_pump, args=(source, stream, sock, lock)) for source, stream in ((process.stdout, STDOUT), (process.stderr, STDERR))]
    reader = threading.Thread(target=_feed, args=(sock, lock, process.stdin if has_input else None, protocol), daemon=True)
    for thread in [*pumps, reader]:
        thread.start()
    for thread in pumps:
        thread.join()
    rc = process.wait()
    rc = rc if rc >= 0 else 128 - rc  # of a signal, as runtimes report it
    status = {"status": "Success"}
    if rc:
        status = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": str(rc)}]}}
    with lock, suppress(OSError):
        sock.sendall(frame(bytes([STATUS]) + json.dumps(status).encode()))
    reader.join()
    sock.close()
    with suppress(OSError):
        process.stdin.close()


def _pump(source, stream, sock, lock):
    with source, suppress(OSError):
        while data := source.read1(1 << 15):
            with lock:
                sock.sendall(frame(bytes([stream]) + data))


def _feed(sock, lock, sink, protocol):
    """Pass the input of the client on to the command until the client closes the connection."""
    for opcode, payload in read_frames(sock):
        if opcode == PING:
            with lock, suppress(OSError):
                sock.sendall(frame(payload, PONG))
        elif payload == bytes([STREAM_CLOSE, 0]) and protocol == V5:
            with suppress(OSError):
                sink.close()
        elif payload[:1] == b"\0" and sink:
            with suppress(OSError, ValueError):
                sink.write(payload[1:])
                sink.flush()
    if sink:
        with suppress(OSError):
            sink.close()
