# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Client whose process is killed at one of its writes."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client

WRITES = ("apply", "create", "delete", "patch")


class Killed(BaseException):
    """The process was killed."""


class MortalClient:
    """Raises Killed at one write, and from then on whatever is asked of it: a dead process sends nothing more.

    Args:
        client: the Client to pass everything on to.
        write: the number of the write, from 0; dry runs do not count.
        after: whether the server has received that write, so that only its answer is lost.
    """

    def __init__(self, client: Client, write: int, after: bool):
        self._client, self._left, self._after = client, write, after
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if self._left < 0:
            raise Killed
        value = getattr(self._client, name)
        return self._counted(value) if name in WRITES else value

    def _counted(self, write: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(write)

        def act(*arguments: Any, **options: Any) -> Any:
            if signature.bind(*arguments, **options).arguments.get("dry_run"):
                return write(*arguments, **options)
            with self._lock:
                self._left -= 1
                left = self._left
            if left < -1 or (left == -1 and not self._after):
                raise Killed
            answer = write(*arguments, **options)
            if left == -1:
                raise Killed
            return answer

        return act
