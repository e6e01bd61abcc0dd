# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What task_pod leaves of tasks that end, and does when it runs again, for every three of the options that say so."""

from __future__ import annotations

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP, JOB, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod

from .conftest import choose
from .test_hygiene import IMAGE, call

LABEL = "podwright.io/task"
FAILS = ["sh", "-c", "echo said; exit 3"]
# Beside the tasks stands retries: 1, of which an item's own is told, the usual 0 too.
ROWS = choose(
    [{"command": ["echo", "said"]}, {"command": FAILS}],
    [{"kind": "Pod"}, {"kind": "Job"}],
    [{}, {"cleanup": "always"}, {"cleanup": "on_success"}, {"cleanup": "on_failure"}],
    [{}, {"record": True}, {"record": False}],
    [{}, {"logs": "collect"}],
    [{}, {"rerun": "never"}, {"rerun": "on_failure"}, {"rerun": "always"}],
    [{}, {"retries": 0}],
)


def test_options_of_tasks_go_together(client, namespace):
    tasks = [{"name": f"task-{number}"} | row for number, row in enumerate(ROWS)]
    batch = {"tasks": tasks, "retries": 1, "state": "completed", **IMAGE}
    actions, result = run(batch, namespace)
    assert set(actions.values()) == {"create"}
    left = look(client, namespace)
    for task, told in zip(tasks, result["tasks"], strict=True):
        check(task, told, left)
        if task["kind"] == "Pod":
            assert told["attempt"] == (2 if task["command"] == FAILS and "retries" not in task else 1), task
    actions, result = run(batch, namespace)
    for task in tasks:
        rerun = task.get("rerun", "on_change")
        runs = rerun == "always" or (rerun == "on_failure" and task["command"] == FAILS)
        lives, is_known = task["name"] in left["live"], task["name"] in left["live"] | left["recorded"]
        assert actions[task["name"]] == ("none" if is_known and not runs else "replace" if lives else "create"), task
    left = look(client, namespace)
    for task, told in zip(tasks, result["tasks"], strict=True):
        check(task, told, left)
    absent = {"state": "absent", "tasks": [{"name": task["name"], "kind": task["kind"]} for task in tasks]}
    assert call(task_pod, absent, namespace)["changed"] and look(client, namespace) == {"live": set(), "recorded": set()}
    assert not call(task_pod, absent, namespace)["changed"]


def run(batch, namespace):
    """What check mode foretells, {task: action}, which must be what is done then; and the result."""
    plans = []
    for check_mode in (True, False):
        result = call(task_pod, batch, namespace, check_mode)
        plans.append({change["name"]: change["action"] for change in result["plan"]})
    assert plans[0] == plans[1]
    assert result["changed"] == (set(plans[1].values()) != {"none"})
    return plans[1], result


def look(client, namespace):
    """The names of the tasks that have a pod or Job, and of those that have a record."""
    kinds = {"live": (POD, JOB), "recorded": (CONFIG_MAP,)}
    found = {state: [item["metadata"] for kind in group for item in client.list(kind, namespace, label_selector=LABEL)[0]] for state, group in kinds.items()}
    # The pods of a Job that is gone go soon after it.
    return {state: {item["labels"][LABEL] for item in items if "ownerReferences" not in item} for state, items in found.items()}


def check(task, told, left):
    """Fails where what is told of a task, or left of it, is not what its options say."""
    fails, cleanup = task["command"] == FAILS, task.get("cleanup", "never")
    assert (told["state"], told["rc"]) == (("failed", 3) if fails else ("succeeded", 0)), (task, told)
    assert (told["logs"] or "").strip() == ("said" if fails or "logs" in task else ""), (task, told)
    assert (task["name"] in left["live"]) == (cleanup not in ("always", "on_failure" if fails else "on_success")), task
    assert (task["name"] in left["recorded"]) == task.get("record", cleanup != "never"), task
