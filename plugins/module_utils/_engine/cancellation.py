# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cancellation of an operation: by a signal, or because nobody waits for its result any more.

Whatever cancels an operation, Ansible's `timeout` too, raises a BaseException other than an Exception in the main thread.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CHECK_SECONDS = 1.0
STOPPING_SECONDS = 20.0  # after which a cancelled process exits, whatever it waits for


class Cancelled(BaseException):
    """The operation must stop. Its text is the cause.

    Attributes:
        signum: the number of the signal.
        is_abandoned: whether nobody waits for the result any more.
    """

    def __init__(self, signum: int, is_abandoned: bool = False) -> None:
        super().__init__("the exit of the process that waited for it" if is_abandoned else signal.Signals(signum).name)
        self.signum, self.is_abandoned = signum, is_abandoned


def cause_of(error: BaseException) -> str:
    """What cancelled an operation, in a few words."""
    return "Ansible's timeout" if "Timeout" in type(error).__name__ else str(error) or type(error).__name__


@contextmanager
def cancellable(is_abandoned: Callable[[], bool]) -> Iterator[None]:
    """While the block runs, the first SIGINT or SIGTERM raises Cancelled in the main thread, and so does being abandoned.

    Further signals are ignored: they must not interrupt what follows the first one, which takes STOPPING_SECONDS at most.

    Args:
        is_abandoned: returns whether nobody waits for the result any more; called every second, in a thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return
    cancelled, abandoned, finished, main = threading.Event(), threading.Event(), threading.Event(), threading.get_ident()

    def cancel(signum: int, _frame: FrameType | None) -> None:
        if not cancelled.is_set():
            cancelled.set()
            signal.alarm(0)  # that of Ansible's `timeout`
            raise Cancelled(signum, abandoned.is_set())

    def watch() -> None:
        while not finished.wait(CHECK_SECONDS):
            if is_abandoned():
                abandoned.set()
                signal.pthread_kill(main, signal.SIGTERM)
            if cancelled.is_set():
                break
        if not finished.wait(STOPPING_SECONDS) and cancelled.is_set():
            os._exit(1)

    before = {signum: signal.signal(signum, cancel) for signum in SIGNALS}
    watcher = threading.Thread(target=watch, daemon=True, name="podwright-cancellation")
    watcher.start()
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler or signal.SIG_DFL)
        finished.set()
        watcher.join()
