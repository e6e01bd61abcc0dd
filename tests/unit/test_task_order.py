# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order the tasks of a batch run: siblings of a failed task, and what the next run repeats."""

from __future__ import annotations

import pytest

from .test_task_model import Session


def session(exits, seed=0):
    """A Session whose pods exit as given, in an order that depends on the seed."""
    made = Session(seed)
    made.cluster.exits = {name: list(codes) if isinstance(codes, list) else [codes] for name, codes in exits.items()}
    return made


def batch(*names, **options):
    tasks = [name if isinstance(name, dict) else {"name": name, "command": ["true"]} for name in names]
    return {"tasks": tasks, "state": "completed", "on_cancel": "keep"} | options


def states(fields):
    return {task["name"]: task["state"] for task in fields["tasks"]}


def pods(made):
    return {item["metadata"]["labels"]["podwright.io/task"] for (kind, _n, _name), item in made.cluster.objects.items() if kind == "Pod"}


@pytest.mark.parametrize("kind", ["Pod", "Job"])
@pytest.mark.parametrize("seed", range(5))
def test_stop_terminates_siblings_at_once(kind, seed):
    made = session({"bad": 3, "long": None, "good": 0}, seed)
    fields, error = made.perform(batch("long", "good", "bad", kind=kind, on_error="stop", retries=0))
    assert made.cluster.clock.time < 30, "it waited for the sibling"
    found = states(fields)
    assert found["bad"] == "failed" and found["long"] in ("stopped", "skipped") and found["good"] in ("succeeded", "stopped", "skipped")
    long = fields["tasks"][0]
    assert long["reason"] in ("Stopped", "NotStarted") and "because another task failed and on_error is stop" in long["msg"]
    assert "long" not in pods(made)
    assert str(error).startswith("1 of 3 tasks failed, ") and "'long'" not in str(error)
    assert fields["summary"]["failed"] == 1 and fields["summary"]["total"] == 3


def test_continue_waits_for_siblings():
    made = session({"bad": 3, "slow": 0})
    fields, error = made.perform(batch("slow", "bad"))
    assert states(fields) == {"slow": "succeeded", "bad": "failed"} and str(error).startswith("1 of 2 tasks failed.\n")


def test_a_stopped_task_runs_again_in_the_next_run():
    made = session({"bad": [3, 0], "long": [None, 0]})
    assert states(made.perform(batch("long", "bad", on_error="stop"))[0])["long"] == "stopped"
    fields, error = made.perform(batch("long", "bad", on_error="stop"))
    assert error is None and states(fields) == {"long": "succeeded", "bad": "succeeded"}
    assert {step["name"]: step["action"] for step in fields["plan"]} == {"long": "create", "bad": "replace"}


def test_stop_leaves_servers_of_earlier_runs_alone():
    made = session({})
    made.perform(batch("server", state="running"))
    before = made.cluster.objects["Pod", "n", "server"]["metadata"]["uid"]
    made.cluster.exits = {"bad": [1]}
    made.cluster.objects["Pod", "n", "server"]["status"]["conditions"] = []  # it is not ready at the moment
    bad = {"name": "bad", "command": ["false"], "restart_policy": "Never"}
    fields, error = made.perform(batch("server", bad, state="running", on_error="stop", wait_timeout=20))
    assert error and states(fields)["bad"] == "failed"
    assert made.cluster.objects["Pod", "n", "server"]["metadata"]["uid"] == before


def test_the_grace_period_of_a_stopped_pod_is_that_of_the_option():
    made, periods = session({"bad": 3, "long": None}), []
    delete = made.cluster.delete

    def record(kind, namespace, name, uid=None, propagation="Background", grace_period=None, **options):
        periods.append((name, grace_period))
        return delete(kind, namespace, name, uid, propagation, grace_period, **options)

    made.cluster.delete = record
    made.perform(batch("long", "bad", on_error="stop", stop_grace=3, grace_period=50))
    assert periods == [("long", 3)]


def test_stop_grace_without_stop_is_refused():
    fields, error = session({}).perform(batch("a", stop_grace=3))
    assert fields == {} and error.message == "stop_grace: requires on_error to be stop."


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_a_failed_task_runs_again_and_a_succeeded_one_does_not(kind):
    made = session({"flaky": [1, 0], "good": 0})
    first, error = made.perform(batch("flaky", "good", kind=kind))
    assert error and states(first) == {"flaky": "failed", "good": "succeeded"}
    predicted, _error = made.perform(batch("flaky", "good", kind=kind), check_mode=True)
    second, error = made.perform(batch("flaky", "good", kind=kind))
    assert error is None and states(second) == {"flaky": "succeeded", "good": "succeeded"}
    for fields in (predicted, second):
        assert {step["name"]: step["action"] for step in fields["plan"]} == {"flaky": "replace", "good": "none"}
        assert fields["plan"][0]["note"].startswith("it failed (")
    third, error = made.perform(batch("flaky", "good", kind=kind))
    assert error is None and not third["changed"]
