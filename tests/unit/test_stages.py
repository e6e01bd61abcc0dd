# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stages of a task: what may follow what, and that no stage is a dead end."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.stages import Stage, StageEvent, next_stage
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_run import TaskRun
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.turns import free_turns


def reachable(stage: Stage) -> set[Stage]:
    """The stages that one event leads to."""
    found = set()
    for event in StageEvent:
        try:
            found.add(next_stage(stage, event))
        except ValueError:
            pass
    return found


@pytest.mark.parametrize("stage", Stage)
def test_a_task_can_finish_in_every_stage(stage):
    assert next_stage(stage, StageEvent.FINISHED) is Stage.DONE


def test_a_finished_task_stays_finished():
    assert reachable(Stage.DONE) == {Stage.DONE}


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage.is_queued])
def test_a_queued_request_is_sent_before_it_is_answered(stage):
    assert {sent for sent in reachable(stage) if sent is not Stage.DONE} == {next_stage(stage, StageEvent.SENT)}
    assert next_stage(stage, StageEvent.SENT).is_sending


def test_nothing_is_created_before_what_it_replaces_is_deleted():
    assert Stage.CREATING not in reachable(Stage.DELETE) | reachable(Stage.DELETING) | reachable(Stage.WATCH)
    assert next_stage(Stage.WATCH, StageEvent.OUTDATED) is Stage.DELETE
    assert next_stage(Stage.WATCH, StageEvent.LOST) is Stage.CREATE


def test_every_stage_leads_to_the_watch():
    terminated = {Stage.DONE, Stage.COLLECT, Stage.COLLECTING, Stage.COMPLETE, Stage.COMPLETING}
    for start in set(Stage) - terminated:
        seen = {start}
        for _step in Stage:
            seen |= set(itertools.chain.from_iterable(map(reachable, seen)))
        assert Stage.WATCH in seen, start


def test_an_event_that_cannot_happen_is_a_fault():
    with pytest.raises(ValueError, match="ANSWERED cannot follow DELETE"):
        next_stage(Stage.DELETE, StageEvent.ANSWERED)


@pytest.mark.parametrize("stage", [Stage.DELIVER, Stage.COLLECT, Stage.COMPLETE])
def test_a_task_whose_pod_exists_keeps_its_turn(stage):
    (run,) = runs = [SimpleNamespace(stage=stage)]
    run.is_active = TaskRun.is_active.fget(run)
    assert free_turns(runs, [runs], 1) == 0
