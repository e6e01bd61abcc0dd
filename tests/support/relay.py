# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A relay in front of the API server that cuts, splits, merges and delays connections, at positions that a seed selects."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import random
import select
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import CONNECTION
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration

UP, DOWN = "up", "down"
SEED = int(os.environ.get("PODWRIGHT_SEED", random.randrange(1 << 32)))
HELD = 1 << 18  # bytes that wait for one end before the other is no longer read


@dataclass
class Disruption:
    """How one connection is disturbed.

    Attributes:
        cut: (direction, offset) after which both ends are closed, or None.
        pieces: maximum size of the pieces, of random sizes, in which bytes are forwarded; 0 forwards them as they arrive.
        merges: whether bytes that arrive within a few milliseconds are forwarded as one piece.
        hidden_protocol: a subprotocol that the server does not support, or None.
        observe: called with (direction, bytes) before they are forwarded; both ends are closed instead if it returns False.
    """

    cut: tuple | None = None
    pieces: int = 0
    merges: bool = False
    hidden_protocol: bytes | None = None
    observe: object = None


@dataclass
class Relay:
    """A TLS server that forwards connections to the API server of a kubeconfig, without its client certificate.

    Attributes:
        disruption: called with the number of the connection, from 0; returns its Disruption.
        counts: {direction: bytes forwarded} of each connection.
    """

    kubeconfig: str
    directory: Path
    seed: int = 0
    disruption: object = lambda number: Disruption()
    counts: list = field(default_factory=list)

    def __enter__(self):
        config = yaml.safe_load(Path(self.kubeconfig).read_text())["clusters"][0]["cluster"]
        host, port = config["server"].removeprefix("https://").rsplit(":", 1)
        self._server = (host, int(port))
        self._upstream = ssl.create_default_context()
        self._upstream.check_hostname, self._upstream.verify_mode = False, ssl.CERT_NONE
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(_make_certificate(self.directory))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self):
        while True:
            try:
                sock, _address = self._listener.accept()
            except OSError:
                return
            number = len(self.counts)
            self.counts.append({UP: 0, DOWN: 0})
            thread = threading.Thread(target=self._serve, args=(sock, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock, number):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            client = stack.enter_context(self._tls.wrap_socket(sock, server_side=True))
            server = stack.enter_context(self._upstream.wrap_socket(socket.create_connection(self._server)))
            self._forward(client, server, self.disruption(number), number)

    def _forward(self, client, server, disruption, number):
        """Forward both directions in one thread: a TLS socket must not be used by two."""
        chance = random.Random(f"{self.seed}-{number}")
        waiting = {client: bytearray(), server: bytearray()}
        ways = {client: (server, UP), server: (client, DOWN)}
        for sock in ways:
            sock.setblocking(False)
        sizes = {}  # of pieces that a socket did not accept: OpenSSL requires the retry of a write not to be shorter
        is_cut = False
        while not is_cut:
            reading = [sock for sock, (sink, _direction) in ways.items() if len(waiting[sink]) < HELD]
            writing = [sock for sock, held in waiting.items() if held]
            if not any(sock.pending() for sock in reading):
                select.select(reading, writing, [])
            if disruption.merges:
                time.sleep(0.005)
            for source in reading:
                sink, direction = ways[source]
                data = _receive(source)
                if data is None or (data and disruption.observe and disruption.observe(direction, data) is False):
                    return
                if disruption.hidden_protocol and direction == UP:
                    data = data.replace(disruption.hidden_protocol, b"v0.channel.k8s.io")
                data, ends = self._limit(data, direction, disruption, number)
                waiting[sink] += data
                self.counts[number][direction] += len(data)
                is_cut = is_cut or ends
            for sink, held in waiting.items():
                while held:
                    size = sizes.pop(sink, 0) or (chance.randint(1, disruption.pieces) if disruption.pieces else HELD)
                    if not _send(sink, held, size):
                        sizes[sink] = size
                        break

    def _limit(self, data, direction, disruption, number):
        if not disruption.cut or disruption.cut[0] != direction:
            return data, False
        left = disruption.cut[1] - self.counts[number][direction]
        return data[:left], left <= len(data)


def _receive(sock):
    """The bytes that have arrived, b"" if there are none, None if the other end closed the connection."""
    try:
        return sock.recv(1 << 16) or None
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return b""


def _send(sock, held, size):
    """Send a piece. Returns: whether the socket accepted it."""
    try:
        del held[: sock.send(held[:size])]
        return True
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False


def _make_certificate(directory):
    """A self-signed certificate and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now - datetime.timedelta(hours=1), now + datetime.timedelta(hours=12))
    signed = certificate.add_extension(names, False).sign(key, hashes.SHA256())
    path = Path(directory) / "relay.pem"
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return path


def connect(relay: Relay, token: str) -> Client:
    """A Client through the relay."""
    return Client(Configuration(dict.fromkeys(CONNECTION) | {"host": relay.url, "api_key": token, "validate_certs": False}))


def write_kubeconfig(relay: Relay, token: str, path: Path) -> Path:
    """A kubeconfig that leads through the relay."""
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "relay", "users": [{"name": "relay", "user": {"token": token}}]}
    config |= {"clusters": [{"name": "relay", "cluster": {"server": relay.url, "insecure-skip-tls-verify": True}}]}
    config |= {"contexts": [{"name": "relay", "context": {"cluster": "relay", "user": "relay"}}]}
    path.write_text(yaml.safe_dump(config))
    return path
