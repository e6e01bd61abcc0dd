# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Calls in several threads, none of which is waited for once one of them has failed."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeVar

STOP_SECONDS = 2  # in which calls should return once they are to stop
WAKE_SECONDS = 1.0  # how long to wait at most: a signal that arrives just before a wait does not interrupt it, and is handled after it

Item = TypeVar("Item")
Result = TypeVar("Result")


def call_in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int, stop: Callable[[], object] | None = None, seconds: float | None = None
) -> list[Result]:
    """Call a function with each item, in up to so many threads, and return the results in the order of the items.

    The first exception, also one of this thread such as those of Ctrl-C and of the task timeout of Ansible, is raised at once: no other call starts, and
    those that still run get STOP_SECONDS to return.

    Args:
        stop: called after an exception, so that the calls which still run return; or None.
        seconds: in which all calls must return, or None.

    Raises: TimeoutError after `seconds`.
    """
    calls = _Calls(function, items)
    try:
        return calls.run(threads, seconds)
    except BaseException:
        calls.abandon(stop)
        raise


class Pool:
    """Daemon threads for calls that come one by one; a context manager that waits for them.

    After an exception no other call starts. If that cancels the operation, those that still run get STOP_SECONDS to return.

    Args:
        size: the number of threads at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, function: Callable[..., Result], *arguments: object) -> Future[Result]:
        """Call a function in one of the threads."""
        future: Future[Result] = Future()

        def call() -> None:
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)

        self._calls.put(call)
        if len(self._threads) < self._size:
            self._threads.append(threading.Thread(target=self._work, daemon=True, name="podwright-pool"))
            self._threads[-1].start()
        return future

    def _work(self) -> None:
        while call := self._calls.get():
            call()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            with suppress(queue.Empty):
                while True:
                    self._calls.get_nowait()
        for _thread in self._threads:
            self._calls.put(None)
        is_cancelled = error is not None and not isinstance(error, Exception)
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            while thread.is_alive() and not (is_cancelled and time.monotonic() >= deadline):
                thread.join(WAKE_SECONDS)


class Deadline:
    """A context manager that calls a function after so many seconds, in another thread, unless its block was left before.

    Attributes:
        has_passed: whether the function was called.
    """

    def __init__(self, seconds: float, action: Callable[[], object]) -> None:
        self.has_passed = False
        self._action = action
        self._timer = threading.Timer(seconds, self._pass)
        self._timer.daemon = True
        self._timer.name = "podwright-deadline"

    def _pass(self) -> None:
        self.has_passed = True
        self._action()

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._timer.cancel()
        self._timer.join(STOP_SECONDS)


class _Calls(Generic[Item, Result]):
    def __init__(self, function: Callable[[Item], Result], items: Iterable[Item]) -> None:
        self._function = function
        self._pending = deque(enumerate(items))
        self._results: dict[int, Result] = {}
        self._finished: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._workers: list[threading.Thread] = []

    def run(self, threads: int, seconds: float | None) -> list[Result]:
        """Call the function with each item."""
        count, deadline = len(self._pending), None if seconds is None else time.monotonic() + seconds
        # A thread that is not a daemon would be waited for when the process exits.
        self._workers = [threading.Thread(target=self._work, daemon=True, name=f"podwright-call-{number}") for number in range(min(threads, count))]
        for worker in self._workers:
            worker.start()
        for _call in range(count):
            self._await_next(deadline)
        for worker in self._workers:
            worker.join()
        return [self._results[number] for number in range(count)]

    def _work(self) -> None:
        while True:
            try:
                number, item = self._pending.popleft()
            except IndexError:
                return
            try:
                self._results[number] = self._function(item)
            except BaseException as error:
                self._pending.clear()
                self._finished.put(error)
            else:
                self._finished.put(None)

    def _await_next(self, deadline: float | None) -> None:
        while True:
            left = WAKE_SECONDS if deadline is None else max(deadline - time.monotonic(), 0)
            try:
                error = self._finished.get(timeout=min(left, WAKE_SECONDS))
            except queue.Empty:
                if left > WAKE_SECONDS or deadline is None:
                    continue
                raise TimeoutError from None
            if error is not None:
                raise error
            return

    def abandon(self, stop: Callable[[], object] | None) -> None:
        """Start no other call, and wait a little for those that still run."""
        self._pending.clear()
        if stop:
            stop()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in filter(threading.Thread.is_alive, self._workers):
            worker.join(max(deadline - time.monotonic(), 0))
