# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The progress of a batch in one line."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import FIXABLE, Status
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.progress import progress_line
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.stages import Stage

RUNNING, PULLING = Status("running", ""), Status("pending", "ErrImagePull", "task: not found")


def run(name, stage, status=None, completes=True, is_deletion=False, is_stopping=False, attempt=1, error=None):
    plan = SimpleNamespace(change=SimpleNamespace(key=SimpleNamespace(name=name)), is_deletion=is_deletion)
    asked = SimpleNamespace(completes=completes)
    return SimpleNamespace(stage=stage, status=status, error=error, outcome="failed", plan=plan, spec=asked, is_stopping=is_stopping, attempt=attempt)


@pytest.mark.parametrize(
    ("runs", "line"),
    [
        ([run("a", Stage.WATCH, RUNNING), run("b", Stage.CREATE)], "1 running, 1 pending"),
        ([run("a", Stage.DONE), run("b", Stage.WATCH, PULLING)], "1 done, 1 pending; b: ErrImagePull: task: not found"),
        ([run("a", Stage.WATCH, Status("pending", "Starting", "its containers are being created"))], "a is pending"),
        ([run("a", Stage.WATCH, Status("pending", "Starting", "no claim", grace=FIXABLE))], "a is pending; Starting: no claim"),
        ([run("a", Stage.DONE, completes=False)], "a is ready"),
        ([run("a", Stage.DONE, completes=False, is_deletion=True)], "a is done"),
        # What a pod was does not matter any more.
        ([run("a", Stage.DELETING, RUNNING), run("b", Stage.DELETE, Status("succeeded", "Completed"), is_deletion=True)], "2 deleting"),
        # One that waits for a turn, or for `retry_delay`.
        ([run("a", Stage.DELETE, Status("failed", "Error", "exit code 3"), attempt=2)], "a is pending (attempt 2); exit code 3"),
        ([run("a", Stage.WATCH, RUNNING, attempt=2)], "a is running (attempt 2)"),
        # Its files are fetched, or it never started and its events are read.
        ([run("a", Stage.COLLECTING, Status("succeeded", "Completed"))], "a is running"),
        ([run("a", Stage.COMPLETING, PULLING, error="cannot start")], "a has failed"),
        ([run("a", Stage.COMPLETING, PULLING, error="cannot start"), run("b", Stage.COMPLETE, RUNNING)], "1 running, 1 failed"),
        ([run("a", Stage.DONE, PULLING, error="cannot start")], "a has failed"),
        ([run("a", Stage.DELETE, Status("succeeded", "Completed")), run("b", Stage.DELETE, RUNNING)], "2 pending"),
        ([run("a", Stage.DELETE, RUNNING, is_stopping=True)], "a is being deleted"),
        ([run("a", Stage.DELETING, RUNNING)], "a is being deleted"),
    ],
)
def test_a_line_counts_the_tasks_and_says_why_one_waits(runs, line):
    assert progress_line(runs) == line
