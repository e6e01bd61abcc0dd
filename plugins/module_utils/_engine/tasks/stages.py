# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stages of a task while its plan is carried out, and the events that lead from one to the next."""

from __future__ import annotations

from enum import Enum, auto


class Stage(Enum):
    """What a task waits for: the tasks that it needs, a turn to send a request, the answer to it, its own progress, or nothing any more."""

    NEEDS = auto()
    DELETE = auto()
    DELETING = auto()
    CREATE = auto()
    CREATING = auto()
    RESIZE = auto()
    RESIZING = auto()
    WATCH = auto()
    DELIVER = auto()
    DELIVERING = auto()
    COLLECT = auto()
    COLLECTING = auto()
    COMPLETE = auto()
    COMPLETING = auto()  # in a thread, which alone changes it meanwhile
    DONE = auto()

    @property
    def is_queued(self) -> bool:
        """Whether its next request has not been sent."""
        return self in _QUEUED

    @property
    def is_sending(self) -> bool:
        """Whether its request has not been answered."""
        return self in _SENDING

    @property
    def needs_turn(self) -> bool:
        """Whether its next request waits until fewer tasks are in progress than the concurrency allows."""
        return self in _BEGINNING


_BEGINNING = (Stage.DELETE, Stage.CREATE, Stage.RESIZE)
_QUEUED = (*_BEGINNING, Stage.DELIVER, Stage.COLLECT, Stage.COMPLETE)
_SENDING = (Stage.DELETING, Stage.CREATING, Stage.RESIZING, Stage.DELIVERING, Stage.COLLECTING, Stage.COMPLETING)


class StageEvent(Enum):
    """What happens to a task."""

    RELEASED = "the tasks that it needs reached their states"
    SENT = "its request is sent"
    CLEARED = "what had to be deleted before its creation does not exist any more"
    ANSWERED = "the server created or resized its pod, or it received its inputs"
    POSTPONED = "the server refused the request for now"
    OUTDATED = "its pod must be replaced, and exists"
    LOST = "its pod must be replaced, and does not exist any more"
    STOPPED = "its pod must be deleted, since another task failed"
    AWAITING = "its pod waits for its inputs"
    TERMINATED = "its pod has terminated, and holds files to fetch"
    COMPLETED = "it has finished or failed, and its result is to be kept"
    FINISHED = "it reached its state, or failed"


_NEXT = {
    (Stage.NEEDS, StageEvent.RELEASED): Stage.CREATE,
    (Stage.NEEDS, StageEvent.OUTDATED): Stage.DELETE,
    (Stage.DELETE, StageEvent.SENT): Stage.DELETING,
    (Stage.CREATE, StageEvent.SENT): Stage.CREATING,
    (Stage.RESIZE, StageEvent.SENT): Stage.RESIZING,
    (Stage.WATCH, StageEvent.AWAITING): Stage.DELIVER,
    (Stage.DELIVER, StageEvent.SENT): Stage.DELIVERING,
    (Stage.DELIVERING, StageEvent.ANSWERED): Stage.WATCH,
    (Stage.COLLECT, StageEvent.SENT): Stage.COLLECTING,
    (Stage.WATCH, StageEvent.TERMINATED): Stage.COLLECT,
    (Stage.WATCH, StageEvent.COMPLETED): Stage.COMPLETE,
    (Stage.COLLECTING, StageEvent.COMPLETED): Stage.COMPLETE,
    (Stage.COMPLETE, StageEvent.SENT): Stage.COMPLETING,
    (Stage.DELETING, StageEvent.CLEARED): Stage.CREATE,
    (Stage.CREATING, StageEvent.ANSWERED): Stage.WATCH,
    (Stage.RESIZING, StageEvent.ANSWERED): Stage.WATCH,
    (Stage.DELETING, StageEvent.POSTPONED): Stage.DELETE,
    (Stage.CREATING, StageEvent.POSTPONED): Stage.CREATE,
    (Stage.RESIZING, StageEvent.POSTPONED): Stage.RESIZE,
    (Stage.RESIZING, StageEvent.OUTDATED): Stage.DELETE,
    (Stage.WATCH, StageEvent.OUTDATED): Stage.DELETE,
    (Stage.WATCH, StageEvent.STOPPED): Stage.DELETE,
    (Stage.WATCH, StageEvent.LOST): Stage.CREATE,
    (Stage.RESIZING, StageEvent.LOST): Stage.CREATE,
}


def next_stage(stage: Stage, event: StageEvent) -> Stage:
    """The stage that an event leads to. Raises: ValueError if the event cannot happen in that stage."""
    if event is StageEvent.FINISHED:
        return Stage.DONE
    try:
        return _NEXT[stage, event]
    except KeyError:
        raise ValueError(f"{event.name} cannot follow {stage.name}") from None
