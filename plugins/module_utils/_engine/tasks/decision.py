# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to do about a task, from what is asked and what is there. A pure function."""

from __future__ import annotations

from ..objects.labels import ATTEMPT, HASH, PARENT, RESOURCES, annotation_of, label_of

CREATE, REPLACE, RESIZE, NONE = "create", "replace", "resize", "none"


def decide(spec, live, status, record=None, parent=None):
    """The action for a task and why.

    Args:
        spec: the TaskSpec.
        live: its pod or Job, or None.
        status: the Status of the live one, or of the record, or None.
        record: the Record of an earlier run, where there is no live one; or None.
        parent: its Parent, or None.

    Returns: (action, note).
    """
    if live is None:
        return _decide_by_record(spec, status, record) if record else (CREATE, "")
    if live["metadata"].get("deletionTimestamp"):
        return CREATE, "the one before is still being deleted"
    rerun = spec.options["rerun"]
    change = _find_change(spec, live, status, parent)
    if change:
        return (NONE, f"{change}, and rerun is never") if rerun == "never" else (REPLACE, change)
    if not status.is_finished:
        # Whatever else changed, a running task's resources can follow without a new pod.
        return (NONE, "") if rerun == "never" or annotation_of(live, RESOURCES) == spec.resources_hash else (RESIZE, "its resources changed")
    why = _why_again(spec, status, attempt_of(live))
    return (REPLACE, why) if why else (NONE, "")


def _find_change(spec, live, status, parent):
    """Why the live one is another task than what is asked for, or None."""
    if label_of(live, HASH) != spec.hash:
        return "its options changed"
    if annotation_of(live, RESOURCES) != spec.resources_hash and (spec.is_job or status.is_finished):
        return "its resources changed"
    if parent and label_of(live, PARENT) != parent.uid and not status.is_finished:
        return "its parent is another one now"
    return None


def _decide_by_record(spec, status, record):
    rerun = spec.options["rerun"]
    if spec.state == "running" and not spec.is_job:
        return CREATE, ""
    if (record.hash, record.resources) != (spec.hash, spec.resources_hash):
        return (NONE, "its options changed, and rerun is never") if rerun == "never" else (CREATE, "its options changed")
    why = _why_again(spec, status, record.attempt)
    return (CREATE, why) if why else (NONE, f"it {status.state} in an earlier run, as its record tells")


def _why_again(spec, status, attempt):
    """Why a task that is over runs again, or None."""
    rerun = spec.options["rerun"]
    if rerun == "always":
        return "rerun is always"
    if rerun == "never":
        return None
    if status.state == "failed":
        if status.is_interrupted:
            return f"it was ended from outside ({status.reason}), which is no result of its own"
        if rerun == "on_failure":
            return f"it failed ({status.reason}) and rerun is on_failure"
        if not spec.is_job and attempt <= spec.options["retries"]:
            return f"attempt {attempt} failed ({status.reason})"
    if spec.state == "running" and not spec.is_job:
        return f"it ended ({status.reason}) and should be running"
    return None


def attempt_of(live):
    """The number of the attempt that a pod is, from 1."""
    text = label_of(live, ATTEMPT) or "1"
    return int(text) if text.isdigit() else 1


def next_attempt(spec, live, status, record=None):
    """The attempt number of what replaces the live or recorded one: the same task that failed by itself goes on counting, another starts anew."""
    if live is None and record and record.hash == spec.hash and status.state == "failed":
        return record.attempt + 1
    if live is None or label_of(live, HASH) != spec.hash or status.state != "failed":
        return 1
    return attempt_of(live) + (0 if status.is_interrupted else 1)
