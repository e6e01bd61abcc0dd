# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action for a task, decided from its options and what exists of it. Pure functions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..objects.labels import ATTEMPT, HASH, PARENT, RESOURCES, annotation_of, label_of
from ..objects.pod_status import SKIPPED
from ..text import parse_integer
from .live_state import has_edited_resources, has_shortened_deadline
from .record import MAX_ATTEMPT
from .retries import can_retry

if TYPE_CHECKING:
    from ..objects.pod_status import Status
    from ..reconciler.plan import Action
    from ..values import Manifest
    from .owner import Parent
    from .record import Record
    from .task_spec import TaskSpec

CREATE: Final = "create"
REPLACE: Final = "replace"
RESIZE: Final = "resize"
NONE: Final = "none"
PATCH: Final = "patch"
RELABELED: Final = "its labels were changed by others"  # the note for a task whose object is found by its name alone


def decide(
    spec: TaskSpec, live: Manifest | None, status: Status | None, record: Record | None = None, parent: Parent | None = None, lost: str = ""
) -> tuple[Action, str]:
    """(the action for a task, its reason as a note for the plan).

    Args:
        live: its Pod or Job, or None.
        status: the Status of the live object or of the record, or None if there is neither.
        record: the Record of an earlier run if there is no live object, or None.
        parent: its Parent, or None.
        lost: why what it left cannot be returned, or an empty text.
    """
    if live is None or status is None:
        return _decide_by_record(spec, record, status or record.status, lost) if record else (CREATE, "")
    if live["metadata"].get("deletionTimestamp"):
        return CREATE, "the previous one is still being deleted"
    is_never = spec.options["rerun"] == "never"
    change = _find_change(spec, live, status, parent)
    if change:
        return (NONE, f"{change}, and rerun is never") if is_never else (REPLACE, change)
    if not status.is_finished:
        if is_never or spec.is_job:
            return NONE, ""
        if annotation_of(live, RESOURCES) != spec.resources_hash:
            return RESIZE, "its resources changed"
        return (RESIZE, "its resources were changed by others") if has_edited_resources(spec, live) else (NONE, "")
    why = _why_rerun(spec, status, attempt_of(live), lost)
    return (REPLACE, why) if why else (NONE, "")


def _find_change(spec: TaskSpec, live: Manifest, status: Status, parent: Parent | None) -> str | None:
    """Why the live object is not that of the requested task, or None."""
    if label_of(live, HASH) != spec.hash:
        return _describe_change(spec, label_of(live, HASH))
    if annotation_of(live, RESOURCES) != spec.resources_hash and (spec.is_job or status.is_finished):
        return "its resources changed"
    if parent and label_of(live, PARENT) != parent.uid and not status.is_finished:
        return "its parent changed"
    if not spec.is_job and not status.is_finished and has_shortened_deadline(spec, live):
        return "its deadline was shortened by others"
    return None


def _describe_change(spec: TaskSpec, former: str | None) -> str:
    """What changed of a task that had another hash."""
    if not spec.is_job and former == replace(spec, state="running" if spec.completes else "completed").hash:
        return f"its state changed {'to' if spec.completes else 'from'} completed"
    return "its options changed"


def _decide_by_record(spec: TaskSpec, record: Record, status: Status, lost: str) -> tuple[Action, str]:
    if spec.state == "running" and not spec.is_job:
        return CREATE, ""
    if (record.hash, record.resources) != (spec.hash, spec.resources_hash):
        change = _describe_change(spec, record.hash)
        return (NONE, f"{change}, and rerun is never") if spec.options["rerun"] == "never" else (CREATE, change)
    why = _why_rerun(spec, status, record.attempt, lost)
    return (CREATE, why) if why else (NONE, f"it {'was ' if status.state == SKIPPED else ''}{status.state} in an earlier run, according to its record")


def _why_rerun(spec: TaskSpec, status: Status, attempt: int, lost: str) -> str | None:
    """Why a finished task runs again, or None."""
    rerun = spec.options["rerun"]
    if rerun == "always":
        return "rerun is always"
    if rerun == "never":
        return None
    if status.state == "failed":
        if status.is_interrupted:
            return f"it was interrupted ({status.reason})"
        if can_retry(spec, status, attempt):
            return f"attempt {attempt} failed ({status.reason})"
        if rerun == "on_failure":
            return f"it failed ({status.reason})"
    if spec.state == "running" and not spec.is_job:
        return f"it terminated ({status.reason}) and must be running"
    return lost if lost and status.state == "succeeded" else None


def attempt_of(live: Manifest) -> int:
    """The number of the attempt that a live object is, from 1."""
    return parse_integer(label_of(live, ATTEMPT), MAX_ATTEMPT, 1) or 1


def next_attempt(spec: TaskSpec, live: Manifest | None, status: Status | None, record: Record | None = None) -> int:
    """The number of the attempt that replaces the live or recorded one.

    It increases if the same task failed and is to be retried, is the same if it was interrupted, else it is 1: each run has its own retries.
    """
    if status is None or status.state != "failed":
        return 1
    last = attempt_of(live) if live else record.attempt if record else 0
    if (label_of(live, HASH) if live else record.hash if record else None) != spec.hash:
        return 1
    if status.is_interrupted:
        return last
    return last + 1 if can_retry(spec, status, last) else 1
