# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run has changed of a task so far, and when."""

from __future__ import annotations

from dataclasses import dataclass

from ..values import Manifest


@dataclass
class Effects:
    """What carrying out a plan has changed in the cluster so far.

    Attributes:
        policy: the NetworkPolicy as the server answered, or None.
        resized: the pod as the server answered to its resize, or None.
        corrected: the pod or Job as the server answered when what others changed was restored, or None.
        adopted: the pod or Job that was to be created and existed without a label that identifies its task, or None.
        secret: the Secret that was restored, or None.
        kept: whether the pod or Job stays that was to be replaced, since the server refused the new one.
    """

    deleted: bool = False
    created: bool = False
    resized: Manifest | None = None
    corrected: Manifest | None = None
    adopted: Manifest | None = None
    secret: Manifest | None = None
    policy: Manifest | None = None
    kept: bool = False

    def adopt(self, before: Manifest | None, after: Manifest | None) -> bool:
        """Note an object that was not created, but found and corrected. Returns: whether there is one."""
        if before:
            self.adopted, self.corrected = before, after
        return before is not None


@dataclass
class Timing:
    """Moments of one attempt, in seconds of the monotonic clock.

    Attributes:
        created_at: when the server answered to its creation.
        not_before: when its next request may be sent.
        problem_since: when a problem that may pass was first seen, or None.
        phase: the timeout that applies before its container starts, or None.
        phase_since: since when.
        scheduled_since: when it was first seen scheduled to a node, or None.
        failed_since: when its Job was seen to have failed while what is known of its pod is older, or None.
    """

    created_at: float = 0.0
    not_before: float = 0.0
    problem_since: float | None = None
    phase: str | None = None
    phase_since: float = 0.0
    scheduled_since: float | None = None
    failed_since: float | None = None
