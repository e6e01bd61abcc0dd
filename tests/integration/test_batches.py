# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What remains of finished tasks, and what the next run does, for each combination of three options that determine it."""

from __future__ import annotations

import random

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP, JOB, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod

from ..support.covering import covering_array
from ..support.environment import scaled
from ..support.operations import IMAGE, call
from ..support.relay import SEED

LABEL = "podwright.io/task"
FAILS = ["sh", "-c", "echo said; exit 3"]
# The batch sets retries: 1; an item overrides it, with the default of 0 as well.
ROWS = covering_array(
    [{"command": ["echo", "said"]}, {"command": FAILS}],
    [{"kind": "Pod"}, {"kind": "Job"}],
    [{}, {"cleanup": "always"}, {"cleanup": "on_success"}, {"cleanup": "on_failure"}],
    [{}, {"record": True}, {"record": False}],
    [{}, {"logs": "collect"}],
    [{}, {"rerun": "never"}, {"rerun": "on_change"}, {"rerun": "always"}],
    [{}, {"retries": 0}],
)


def test_combined_options_determine_what_remains_and_what_runs_again(client, namespace):
    """Half of the combinations, which PODWRIGHT_SEED chooses; all of them with a scale."""
    print(f"PODWRIGHT_SEED={SEED}")
    rows = random.Random(SEED).sample(ROWS, min(scaled(len(ROWS) // 2), len(ROWS)))
    tasks = [{"name": f"task-{number}"} | row for number, row in enumerate(rows)]
    batch = {"tasks": tasks, "retries": 1, "state": "completed", **IMAGE}
    actions, result = run(batch, namespace)
    assert set(actions.values()) == {"create"}
    left = remains(client, namespace)
    for task, fields in zip(tasks, result["tasks"], strict=True):
        check(task, fields, left)
        if task["kind"] == "Pod":
            assert fields["attempt"] == (2 if task["command"] == FAILS and "retries" not in task else 1), task
    actions, result = run(batch, namespace)
    for task in tasks:
        rerun = task.get("rerun", "on_failure")
        runs = rerun == "always" or (rerun == "on_failure" and task["command"] == FAILS)
        is_live, is_known = task["name"] in left["live"], task["name"] in left["live"] | left["recorded"]
        assert actions[task["name"]] == ("none" if is_known and not runs else "replace" if is_live else "create"), task
    left = remains(client, namespace)
    for task, fields in zip(tasks, result["tasks"], strict=True):
        check(task, fields, left)
    absent = {"state": "absent", "tasks": [{"name": task["name"], "kind": task["kind"]} for task in tasks]}
    assert call(task_pod, absent, namespace)["changed"] and remains(client, namespace) == {"live": set(), "recorded": set()}
    assert not call(task_pod, absent, namespace)["changed"]


def run(batch, namespace):
    """({task: action} as predicted in check mode and then carried out, the result)."""
    plans = []
    for check_mode in (True, False):
        result = call(task_pod, batch, namespace, check_mode)
        plans.append({change["name"]: change["action"] for change in result["plan"]})
    assert plans[0] == plans[1]
    assert result["changed"] == (set(plans[1].values()) != {"none"})
    return plans[1], result


def remains(client, namespace):
    """The names of the tasks that have a pod or Job, and of those that have a record."""
    kinds = {"live": (POD, JOB), "recorded": (CONFIG_MAP,)}
    found = {state: [item["metadata"] for kind in group for item in client.list(kind, namespace, label_selector=LABEL)[0]] for state, group in kinds.items()}
    # The pods of a deleted Job are garbage-collected a little later.
    return {state: {item["labels"][LABEL] for item in items if "ownerReferences" not in item} for state, items in found.items()}


def check(task, fields, left):
    """Check the result of a task, and what remains of it, against its options."""
    fails, cleanup = task["command"] == FAILS, task.get("cleanup", "never")
    assert (fields["state"], fields["rc"]) == (("failed", 3) if fails else ("succeeded", 0)), (task, fields)
    assert (fields["logs"] or "").strip() == ("said" if fails or "logs" in task else ""), (task, fields)
    assert (task["name"] in left["live"]) == (cleanup not in ("always", "on_failure" if fails else "on_success")), task
    assert (task["name"] in left["recorded"]) == task.get("record", cleanup != "never"), task
