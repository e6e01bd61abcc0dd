# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Failures in the status of a Deployment that are older than the last change of its spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..objects.readiness import READY, assess_observation, condition, is_progress_failure, whole_number

if TYPE_CHECKING:
    from ..clock import Clock
    from ..values import Manifest

DEFAULT_DEADLINE = 600  # seconds, the default of `progressDeadlineSeconds`


class EarlierFailures:
    """Hides a condition ProgressDeadlineExceeded while it is that of an earlier spec.

    When the pods of a Deployment return to an existing ReplicaSet, its controller sets `observedGeneration` and keeps the condition until it
    sees progress. Without progress it keeps it for ever, since an exceeded deadline is not counted again. So it is counted here.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._earlier: dict[str, tuple[Manifest, float]] = {}  # by UID: the condition before the change, and when the deadline after it expires
        self._hidden: dict[str, float] = {}  # by UID: when the condition that is hidden counts again

    def hide(self, item: Manifest) -> Manifest:
        """The object, without the condition if it is an earlier failure whose deadline has not expired since."""
        uid, progress = item["metadata"].get("uid", ""), condition(item, "Progressing")
        now = self._clock.monotonic()
        self._hidden.pop(uid, None)
        if not is_progress_failure(progress):
            return item
        if assess_observation(item).state != READY:
            self._earlier[uid] = progress, now + whole_number(item["spec"].get("progressDeadlineSeconds"), DEFAULT_DEADLINE)
        earlier, deadline = self._earlier.get(uid, ({}, 0))
        if progress != earlier or now >= deadline:
            return item
        self._hidden[uid] = deadline
        return item | {"status": item["status"] | {"conditions": [entry for entry in item["status"]["conditions"] if entry != progress]}}

    def is_due(self, item: Manifest) -> bool:
        """Whether the condition that was hidden counts now, although nothing has changed."""
        return self._clock.monotonic() >= self._hidden.get(item["metadata"].get("uid", ""), float("inf"))
