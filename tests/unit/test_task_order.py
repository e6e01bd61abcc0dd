# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order the tasks of a batch run: siblings of a failed task, and what the next run repeats."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import Status
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import needs
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.file_containers import HOLDER
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.inputs import INPUTS
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.needs import variables_of, with_variables

from .task_specs import spec
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


def needing(name, *needs, **options):
    return {"name": name, "command": ["true"], "needs": list(needs)} | options


def created(made):
    return [task for verb, kind, task, _certainty in made.cluster.history if verb == "create" and kind in ("Pod", "Job")]


@pytest.mark.parametrize("seed", range(5))
def test_tasks_start_after_those_that_they_need(seed):
    made = session({}, seed)
    fields, error = made.perform(batch(needing("last", "left", "right"), needing("left", "first"), needing("right", "first"), "first", "alone"))
    assert error is None and set(states(fields).values()) == {"succeeded"}
    order = created(made)
    assert order.index("first") < min(order.index("left"), order.index("right")) and order.index("last") > max(order.index("left"), order.index("right"))


def test_followers_of_a_failed_task_are_skipped_and_others_are_not():
    made = session({"bad": 2})
    fields, error = made.perform(batch("bad", needing("next", "bad"), needing("after", "next"), needing("free", "good"), "good"))
    assert states(fields) == {"bad": "failed", "next": "skipped", "after": "skipped", "free": "succeeded", "good": "succeeded"}
    by_name = {task["name"]: task for task in fields["tasks"]}
    assert by_name["next"]["reason"] == by_name["after"]["reason"] == "NeedFailed"
    assert by_name["next"]["msg"].endswith("was skipped, because its need 'bad' failed (Error)")
    assert by_name["after"]["msg"].endswith("was skipped, because its need 'next' was skipped")
    assert str(error).startswith("1 of 5 tasks failed, 2 skipped.") and fields["summary"] == {"failed": 1, "skipped": 2, "succeeded": 2, "total": 5}
    assert {step["name"]: step["action"] for step in fields["plan"]} == {"bad": "create", "next": "none", "after": "none", "free": "create", "good": "create"}
    assert {"next", "after"} & pods(made) == set()


def test_check_mode_predicts_what_is_skipped():
    made = session({"bad": 2})
    params = batch("bad", needing("next", "bad"), needing("after", "next"), rerun="on_change")
    made.perform(params)
    predicted, _error = made.perform(params, check_mode=True)
    done, _error = made.perform(params)
    steps = [[(step["name"], step["action"]) for step in fields["plan"]] for fields in (predicted, done)]
    assert steps[0] == steps[1] == [("bad", "none"), ("next", "none"), ("after", "none")]
    assert [step.get("note") for step in predicted["plan"]][1:] == [
        "was skipped, because its need 'bad' failed (Error)",
        "was skipped, because its need 'next' was skipped",
    ]


def test_followers_run_again_after_what_they_need():
    made = session({})
    plain = batch("build", needing("test", "build"), "other")
    made.perform(plain)
    assert not made.perform(plain)[0]["changed"]
    changed = batch("build", needing("test", "build"), "other")
    changed["tasks"][0]["env"] = {"A": "b"}
    for check_mode in (True, False):
        fields, error = made.perform(changed, check_mode=check_mode)
        assert error is None
        assert {step["name"]: (step["action"], step.get("note", "")) for step in fields["plan"]} == {
            "build": ("replace", "its options changed"),
            "test": ("replace", "its need 'build' runs again"),
            "other": ("none", ""),
        }
    assert not made.perform(changed)[0]["changed"]


@pytest.mark.parametrize("kind", ["Pod", "Job"])
@pytest.mark.parametrize("first", ["never", "always"])
@pytest.mark.parametrize("second", ["never", "always"])
def test_a_follower_that_is_older_than_its_need_runs_again(first, second, kind):
    made = session({})
    build = {"name": "build", "command": ["true"], "env": {"A": "b"}, "cleanup": second}
    made.perform(batch({"name": "build", "command": ["true"]}, needing("test", "build"), cleanup=first, kind=kind))
    made.cluster.calm()
    made.perform(batch(build, kind=kind))  # an interrupted run got no further
    made.cluster.calm()
    fields, _error = made.perform(batch(build, needing("test", "build"), cleanup=first, kind=kind, rerun="never"))
    assert not fields["changed"]
    fields, _error = made.perform(batch(build, needing("test", "build"), cleanup=first, kind=kind))
    assert [(step["action"], step.get("note", "")) for step in fields["plan"]][1] == (
        "replace" if first == "never" else "create",
        "its need 'build' ran after it",
    )
    made.cluster.calm()
    assert not made.perform(batch(build, needing("test", "build"), cleanup=first, kind=kind))[0]["changed"]


def test_results_of_needs_are_variables_of_those_that_follow():
    made = session({})
    own = needing("test", "build-1", env={"PODWRIGHT_NEED_BUILD_1_RC": "mine", "OWN": "$(PODWRIGHT_NEED_BUILD_1_POD)"}, init_containers=[{"name": "i"}])
    made.perform(batch("build-1", own | {"kind": "Job"}))
    spec = made.cluster.objects["Job", "n", "test"]["spec"]["template"]["spec"]
    variables = [(entry["name"], entry["value"]) for entry in spec["containers"][0]["env"]]
    assert variables[:2] == [("PODWRIGHT_NEED_BUILD_1_STATE", "succeeded"), ("PODWRIGHT_NEED_BUILD_1_POD", "build-1")]
    assert dict(variables[2:]) == {"PODWRIGHT_NEED_BUILD_1_RC": "mine", "OWN": "$(PODWRIGHT_NEED_BUILD_1_POD)"}
    assert {"name": "PODWRIGHT_NEED_BUILD_1_RC", "value": "0"} in spec["initContainers"][0]["env"]
    assert not made.perform(batch("build-1", own | {"kind": "Job"}))[0]["changed"]


def test_a_need_is_met_by_its_record():
    made = session({})
    params = batch("build", needing("test", "build"), cleanup="always")
    assert made.perform(params)[1] is None
    made.cluster.calm()
    assert pods(made) == set()
    fields, error = made.perform(params)
    assert error is None and not fields["changed"]
    params["tasks"].append(needing("more", "build"))
    made.perform(params | {"cleanup": "never", "record": True})
    variables = {entry["name"]: entry["value"] for entry in made.cluster.objects["Pod", "n", "more"]["spec"]["containers"][0]["env"]}
    assert variables == {"PODWRIGHT_NEED_BUILD_STATE": "succeeded", "PODWRIGHT_NEED_BUILD_RC": "0"}


def test_servers_start_when_those_that_they_need_are_ready():
    made = session({})
    fields, error = made.perform(batch(needing("app", "db"), "db", state="running"))
    assert error is None and created(made) == ["db", "app"] and states(fields) == {"app": "running", "db": "running"}


def test_needs_work_with_a_concurrency_of_one_and_stop():
    made = session({"bad": 1})
    fields, _error = made.perform(batch(needing("c", "b"), needing("b", "a"), "a", concurrency=1))
    assert created(made) == ["a", "b", "c"] and set(states(fields).values()) == {"succeeded"}
    fields, _error = made.perform(batch(needing("d", "bad"), "bad", on_error="stop"))
    assert {task["name"]: task["reason"] for task in fields["tasks"]} in ({"d": "NotStarted", "bad": "Error"}, {"d": "NeedFailed", "bad": "Error"})


def test_a_follower_whose_need_does_not_finish_in_time_is_skipped():
    made = session({"long": None})
    fields, _error = made.perform(batch(needing("next", "long"), "long", wait_timeout=5))
    assert states(fields) == {"next": "skipped", "long": "failed"} and fields["tasks"][0]["reason"] == "Timeout"
    assert "its needs have not finished" in fields["tasks"][0]["msg"]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([needing("a", "x"), "b"], "tasks[0].needs[0]: unknown task 'x'; other tasks: b."),
        ([needing("a", "x")], "tasks[0].needs[0]: unknown task 'x'; there is no other task."),
        (["b", needing("a", "b", "a")], "tasks[1].needs[1]: must not be the task itself, got 'a'."),
        ([needing("a", "b"), needing("b", "c"), needing("c", "b")], "tasks[1].needs: must not form a cycle, got b -> c -> b."),
        ([needing("a", "m/b"), {"name": "b", "namespace": "o"}], "tasks[0].needs[0]: unknown task 'm/b'; other tasks: o/b."),
        ([needing("a", "b"), {"name": "b", "namespace": "o"}], "tasks[0].needs[0]: unknown task 'b'; other tasks: o/b."),
        (
            [needing("a", "three-a/b", "three/a-b", namespace="o"), {"name": "b", "namespace": "three-a"}, {"name": "a-b", "namespace": "three"}],
            "tasks[0].needs[1]: must not give a variable that exists already: PODWRIGHT_NEED_THREE_A_B_STATE would be that of 'three-a/b' and of 'three/a-b'.",
        ),
        (
            [needing("a", "b-result", "b"), "b-result", {"name": "b", "results": {"pod": "/o/p"}}],
            "tasks[0].needs[1]: must not give a variable that exists already: "
            "PODWRIGHT_NEED_B_RESULT_POD would be that of 'b-result' and of result 'pod' of 'b'.",
        ),
        (
            [needing("a", "b"), {"name": "b", "results": {"size": "/o/s", "Size": "/o/S"}}],
            "tasks[0].needs[0]: must not give a variable that exists already: "
            "PODWRIGHT_NEED_B_RESULT_SIZE would be that of result 'size' of 'b' and of result 'Size' of 'b'.",
        ),
    ],
)
def test_needs_are_validated_before_the_first_request(tasks, message):
    made = session({})
    fields, error = made.perform(batch(*tasks))
    assert (fields, error.message, made.cluster.history) == ({}, message, [])


@pytest.mark.parametrize("options", [{"wait": False}, {"state": "present"}])
def test_needs_require_waiting(options):
    fields, error = session({}).perform(batch("a", needing("b", "a"), **options))
    assert fields == {} and error.message.startswith("wait: must be true if tasks have needs.")


def test_an_empty_list_of_tasks_to_delete_is_not_the_whole_set():
    made = session({"a": 0, "b": 0})
    made.perform(batch("a", "b", set="s"))
    assert not made.perform(batch(set="s", state="absent"))[0]["changed"] and pods(made) == {"a", "b"}
    assert made.perform({"set": "s", "state": "absent"})[0]["changed"] and pods(made) == set()


def test_needs_of_deleted_tasks_do_not_matter():
    made = session({})
    made.perform(batch("a", needing("b", "a")))
    _fields, error = made.perform(batch(needing("b", "a"), state="absent"))
    assert error is None and pods(made) == {"a"}


def test_a_retried_follower_keeps_its_variables():
    made = session({"test": [1, 0]})
    fields, error = made.perform(batch("build", needing("test", "build"), retries=1))
    assert error is None and fields["tasks"][1]["attempt"] == 2
    assert made.cluster.objects["Pod", "n", "test"]["spec"]["containers"][0]["env"][0]["name"] == "PODWRIGHT_NEED_BUILD_STATE"


def test_the_timeout_of_the_batch_allows_for_tasks_in_a_row():
    tasks = [spec(name=name, timeout=100) for name in "abc"]
    chain = [replace(task, needs=tuple(("n", other) for other in "abc"[:index][-1:])) for index, task in enumerate(tasks)]
    params = {"wait_timeout": None, "state": "completed", "concurrency": 100}
    assert [task_pod._wait_timeout(params, specs) - task_pod.STARTING_SECONDS for specs in (tasks, chain)] == [100, 300]


def test_results_of_needs_are_handed_over_unless_they_are_too_large():
    texts = {"size": 3, "text": "t", "large": "x" * 40_000, "nul": "a\0"}
    run = SimpleNamespace(spec=spec(results={"size": {}}), status=Status("succeeded", rc=0), pod=None, left=SimpleNamespace(results=lambda _spec: texts))
    assert variables_of(run) == {"STATE": "succeeded", "RC": "0", "RESULT_SIZE": "3", "RESULT_TEXT": "t"}


def test_kubernetes_expands_nothing_in_what_a_need_left():
    pod = {"kind": "Pod", "spec": {"containers": [{"name": "task", "env": [{"name": "B", "value": "$(A)"}]}]}}
    env = with_variables(pod, {"A": "$(HOME) $$(B) $", "B": "b"})["spec"]["containers"][0]["env"]
    assert env == [{"name": "A", "value": "$$(HOME) $$$$(B) $$"}, {"name": "B", "value": "$(A)"}]


def test_containers_that_only_hold_files_get_no_variables():
    pod = {"kind": "Pod", "spec": {"containers": [{"name": "task"}, {"name": HOLDER}], "initContainers": [{"name": INPUTS}, {"name": "init"}]}}
    spec = with_variables(pod, {"A": "a"})["spec"]
    assert [container["name"] for field in spec.values() for container in field if "env" in container] == ["task", "init"]


@pytest.mark.parametrize(("containers", "is_refused"), [(8, False), (9, True)])
def test_a_task_whose_needs_left_more_than_a_pod_can_have_is_not_created(monkeypatch, containers, is_refused):
    made = session({})
    monkeypatch.setattr(needs, "variables_of", lambda run: {f"RESULT_{number}": "x" * 32768 for number in range(4)})
    sidecars = [{"name": f"c{number}"} for number in range(1, containers)]
    fields, error = made.perform(batch("a", needing("b", "a", containers=sidecars), needing("c", "b")))
    assert states(fields) == ({"a": "succeeded", "b": "failed", "c": "skipped"} if is_refused else dict.fromkeys("abc", "succeeded"))
    if is_refused:
        assert fields["tasks"][1]["reason"] == "ResultTooLarge" and "b" not in pods(made)
        assert "the results of what it needs would add 1179648 bytes to its pod, more than 1048576" in str(error)
