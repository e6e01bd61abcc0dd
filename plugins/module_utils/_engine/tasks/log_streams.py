# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The output of many tasks on the console while they run."""

from __future__ import annotations

import threading

from ..cluster.exec_stream import decode
from ..cluster.logs import LogFollower
from ..errors import PodwrightError
from ..objects.containers import TASK_CONTAINER

MOST = 100  # logs that are followed at a time, a thread and a connection each
FINISHING_SECONDS = 5  # for the last lines of tasks that have ended


class LogStreams:
    """Follows the logs of tasks, a thread each. Use it as a context manager: leaving it waits for the last lines.

    Args:
        client: a Client.
        console: a Console, whose `line` gets every line.
        seconds: how long the last lines are waited for; 0 where the tasks go on.
    """

    def __init__(self, client, console, seconds):
        self._client, self._console, self._seconds = client, console, seconds
        self._threads = {}  # the pod's uid -> (thread, Follower)

    def begin(self, name, pod):
        """Follow a pod's task container, if that is not done yet; the name stands before its lines."""
        metadata = pod["metadata"]
        if metadata["uid"] in self._threads:
            return
        if sum(thread.is_alive() for thread, _follower in self._threads.values()) >= MOST:
            self._console.warn(f"More than {MOST} tasks run at a time: not all of their lines are shown as they come.")
            return

        def show(line, _moment):
            self._console.line(name, decode(line))

        follower = LogFollower(self._client, metadata["namespace"], metadata["name"], metadata["uid"], TASK_CONTAINER, show)
        thread = threading.Thread(target=self._follow, args=(name, follower), daemon=True, name=f"podwright-log-{name}")
        self._threads[metadata["uid"]] = thread, follower
        thread.start()

    def _follow(self, name, follower):
        try:
            follower.follow()
        except PodwrightError as error:
            self._console.warn(f"The log of task '{name}' could not be followed: {error}")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        deadline = self._client.clock.monotonic() + (self._seconds if exception[0] is None else 0)
        for thread, _follower in self._threads.values():
            thread.join(max(deadline - self._client.clock.monotonic(), 0))
        for thread, follower in self._threads.values():
            follower.stop()
            thread.join()
