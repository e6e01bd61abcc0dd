# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Streams from a Podman host in the form of responses to requests: the log of a container, and the changes of pods."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..values import Manifest

POLL_SECONDS = 0.3
_READ_SIZE = 1 << 16


class Feed:
    """A response that finishes once its socket is shut down, as that of a connection does."""

    status, chunked, headers = 200, True, {}  # type: ignore[var-annotated]  # as those of urllib3's response

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        self._connection = SimpleNamespace(sock=ours)

    def stream(self, size: int) -> Iterator[bytes]:
        """The content in pieces."""
        raise NotImplementedError

    def close(self) -> None:
        """End the stream."""
        self._connection.sock.close()
        self._theirs.close()

    def _wait(self, seconds: float | None, *files: int) -> bool:
        """Wait until one of the files is readable, or that long. Returns: whether the stream is still open."""
        end, poll = self._theirs.fileno(), select.poll()  # select.select fails from file number 1024 on
        for file in (end, *files):
            poll.register(file, select.POLLIN)
        return end not in dict(poll.poll(None if seconds is None else seconds * 1000))


class LogFeed(Feed):
    """The log of a container, until the container terminates.

    Args:
        process: `podman logs --follow`.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self._process = process

    def stream(self, size: int) -> Iterator[bytes]:
        """The lines of the log as they arrive."""
        output = self._process.stdout
        while output and self._wait(None, output.fileno()):
            piece = os.read(output.fileno(), min(size, _READ_SIZE))
            if not piece:
                return
            yield piece

    def close(self) -> None:
        """Stop reading."""
        self._process.kill()
        self._process.communicate()
        super().close()


class PodFeed(Feed):
    """The changes of pods as events of a watch.

    Args:
        observe: returns the pods.
        known: those that the reader knows, by uid.
        deleted: those that this process deletes, by uid, as far as it got.
    """

    def __init__(self, observe: Callable[[], list[Manifest]], known: Mapping[str, Manifest], deleted: Mapping[str, Manifest]) -> None:
        super().__init__()
        self._observe, self._known, self._deleted = observe, dict(known), deleted

    def stream(self, size: int) -> Iterator[bytes]:
        """Lines of JSON, an event each, and empty ones, at which the reader can stop. Raises: PodwrightError."""
        shown: dict[str, Manifest] = {}
        reported: set[str] = set()
        is_open = True
        while is_open:
            observed = self._observe()
            deleted = dict(self._deleted)  # also those that came and went within a polling interval
            pods = {pod["metadata"]["uid"]: pod for pod in observed if pod["metadata"]["uid"] not in deleted}
            for uid, pod in (self._known | deleted).items():
                if uid not in pods and uid not in reported:
                    reported.add(uid)
                    yield _event("DELETED", pod)
            for uid, pod in pods.items():
                if uid not in shown or _content(shown[uid]) != _content(pod):
                    yield _event("MODIFIED", pod)
            self._known = shown = pods
            yield b"\n"
            is_open = self._wait(POLL_SECONDS)


def _content(pod: Manifest) -> Manifest:
    return pod | {"metadata": {key: value for key, value in pod["metadata"].items() if key != "resourceVersion"}}


def _event(kind: str, pod: Manifest) -> bytes:
    return json.dumps({"type": kind, "object": pod}).encode() + b"\n"
