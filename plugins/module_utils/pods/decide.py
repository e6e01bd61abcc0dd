# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to do about a task, from what is asked and what is there. A pure function."""

from __future__ import annotations

from .manifest import ATTEMPT, HASH

CREATE, REPLACE, NONE = "create", "replace", "none"


def decide(spec, live, status):
    """The action for a task and why.

    Args:
        spec: the TaskSpec.
        live: its pod or Job, or None.
        status: the Status of the live one, or None.

    Returns: (action, note).
    """
    if live is None:
        return CREATE, ""
    if live["metadata"].get("deletionTimestamp"):
        return CREATE, "the one before is still being deleted"
    labels = live["metadata"].get("labels") or {}
    rerun = spec.options["rerun"]
    if labels.get(HASH) != spec.hash:
        return (NONE, "its options changed, and rerun is never") if rerun == "never" else (REPLACE, "its options changed")
    if not status.is_over:
        return NONE, ""
    if rerun == "always":
        return REPLACE, "rerun is always"
    if rerun == "never":
        return NONE, ""
    if status.state == "failed":
        if rerun == "on_failure":
            return REPLACE, f"it failed ({status.reason}) and rerun is on_failure"
        if not spec.is_job and attempt_of(live) <= spec.options["retries"]:
            return REPLACE, f"attempt {attempt_of(live)} failed ({status.reason})"
    if spec.state == "running" and not spec.is_job:
        return REPLACE, f"it ended ({status.reason}) and should be running"
    return NONE, ""


def attempt_of(live):
    """The number of the attempt that a pod is, from 1."""
    text = (live["metadata"].get("labels") or {}).get(ATTEMPT, "1")
    return int(text) if text.isdigit() else 1


def next_attempt(spec, live, status):
    """The attempt number of what replaces the live one: the same task that failed goes on counting, another starts anew."""
    same = live is not None and (live["metadata"].get("labels") or {}).get(HASH) == spec.hash
    return attempt_of(live) + 1 if same and status.state == "failed" else 1
