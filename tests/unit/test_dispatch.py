# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks in several clusters: each runs once, wherever it is."""

from __future__ import annotations

import random
from signal import SIGTERM
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cancellation import Cancelled
from ansible_collections.podwright.core.plugins.module_utils._engine.dispatch import dispatcher, members
from ansible_collections.podwright.core.plugins.module_utils._engine.dispatch.placement import Placement, find_cluster
from ansible_collections.podwright.core.plugins.module_utils._engine.dispatch.rivals import Rivals
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import SET, label_of

from ..support.environment import scaled
from .model_fleet import Fleet, FleetWatcher, Site

NAMES = [f"t{number}" for number in range(6)]


def places(fields):
    """Name of each task -> its cluster."""
    return {task["name"]: task["cluster"] for task in fields["tasks"]}


def test_tasks_are_spread_and_run_once():
    fleet = Fleet("east", "west")
    fields, error = fleet.run(NAMES)
    assert error is None and [task["name"] for task in fields["tasks"]] == NAMES
    assert sorted(places(fields).values()) == ["east"] * 3 + ["west"] * 3
    assert {name: [cluster] for name, cluster in places(fields).items()} == fleet.started
    assert {task["state"] for task in fields["tasks"]} == {"succeeded"} and fields["summary"]["total"] == 6
    assert {step["cluster"] for step in fields["plan"]} == {"east", "west"}
    assert [(entry["name"], entry["reachable"], entry["tasks"]) for entry in fields["clusters"]] == [("east", True, 3), ("west", True, 3)]
    again, error = fleet.run(list(reversed(NAMES)), clusters=["west", "east"])
    assert error is None and places(again) == places(fields) and not again["changed"] and len(fleet.started) == 6


def test_check_mode_predicts_the_clusters():
    fleet = Fleet("east", "west", "north")
    predicted, error = fleet.run(NAMES, check_mode=True)
    assert error is None and fleet.started == {} and not any(site.objects for site in fleet.sites.values())
    assert places(predicted) == places(fleet.run(NAMES)[0])


def test_unreachable_cluster_is_left_out_with_a_warning():
    fleet = Fleet("east", "west")
    fleet["west"].is_down = True
    fields, error = fleet.run(NAMES)
    assert error is None and set(places(fields).values()) == {"east"}
    assert [text for text in fleet.console.warnings if "west" in text and "cannot be reached" in text]
    fleet["west"].is_down = False
    again, error = fleet.run(NAMES)
    assert error is None and not again["changed"] and set(places(again).values()) == {"east"}


def test_what_ran_in_a_cluster_that_is_lost_does_not_run_elsewhere():
    fleet = Fleet("east", "west")
    before = places(fleet.run(NAMES)[0])
    fleet["west"].is_down = True
    for check_mode in (True, False):
        fields, error = fleet.run([*NAMES, "new"], check_mode=check_mode)
        found = {task["name"]: task for task in fields["tasks"]}
        assert {name: task["cluster"] for name, task in found.items() if name != "new"} == before and found["new"]["cluster"] == "east"
        lost = {name for name, task in found.items() if task["reason"] == "ClusterUnreachable"}
        assert lost == {name for name, cluster in before.items() if cluster == "west"}
        assert (error is None) == check_mode
    assert "3 of 7 tasks failed" in error.message and "is not started again elsewhere" in error.message
    assert all(len(clusters) == 1 for clusters in fleet.started.values())
    fields, error = fleet.run(NAMES, clusters=["east"])  # the user decides that west is gone for good
    assert error is None and set(places(fields).values()) == {"east"}
    assert any("which clusters does not list any more" in text for text in fleet.console.warnings)


def test_the_latest_run_counts_if_a_task_exists_in_several_clusters():
    fleet = Fleet("east", "west")
    before = places(fleet.run(NAMES)[0])
    fleet.run(NAMES, clusters=["west"])
    fields, error = fleet.run(NAMES)
    assert error is None and not fields["changed"] and set(places(fields).values()) == {"west"}
    twice = [name for name, cluster in before.items() if cluster == "east"]
    assert sum("exists in several clusters" in text for text in fleet.console.warnings) == len(twice) == 3


def placed_sets(fleet, task):
    """The sets of the placements of a task."""
    placements = [site.objects.get(("ConfigMap", "n", f"podwright-placement-{task}")) for site in fleet.sites.values()]
    return [label_of(item, SET) if item else "deleted" for item in placements]


def move_to_another_set(is_missed):
    """(Fleet, the cluster of the task a), which has moved from the set s1 to s2, perhaps while another cluster could not be reached."""
    fleet = Fleet("east", "west")
    home = places(fleet.run(["a", "other"], set="s1")[0])["a"]
    for name, site in fleet.sites.items():
        site.is_down = is_missed and name != home
    fields, error = fleet.run(["a"], set="s2")
    assert error is None and fields["changed"] and sorted(placed_sets(fleet, "a")) == (["s1", "s2"] if is_missed else ["s2", "s2"])
    for site in fleet.sites.values():
        site.is_down = False
    return fleet, home


@pytest.mark.parametrize("is_missed", [False, True])
def test_a_task_that_left_a_set_is_not_forgotten_when_that_is_pruned(is_missed):
    fleet, home = move_to_another_set(is_missed)
    fields, error = fleet.run(["other"], set="s1", prune=True)
    assert error is None and not fields["changed"] and "deleted" not in placed_sets(fleet, "a")
    fleet[home].is_down = True
    assert fleet.run(["a"], set="s2")[1].reason == "ClusterUnreachable" and fleet.started["a"] == [home]


@pytest.mark.parametrize("is_missed", [False, True])
@pytest.mark.parametrize("how", [{"prune": True}, {"state": "absent"}])
def test_a_task_is_pruned_with_the_set_that_it_moved_to(how, is_missed):
    fleet, home = move_to_another_set(is_missed)
    fields, error = fleet.run(["b"] if "prune" in how else None, set="s2", **how)
    assert error is None and fields["changed"] and placed_sets(fleet, "a") == ["deleted", "deleted"] and "s1" in placed_sets(fleet, "other")
    fleet[home].is_down = True
    assert fleet.run(["a"], set="s2")[1] is None


def test_a_task_without_a_set_any_more_is_not_pruned():
    fleet = Fleet("east", "west")
    fleet.run(["a", "other"], set="s1")
    assert fleet.run(["a"])[1] is None and placed_sets(fleet, "a") == [None, None]
    assert not fleet.run(["other"], set="s1", prune=True)[0]["changed"]


def test_deletion_is_one_in_every_cluster():
    fleet = Fleet("east", "west")
    fleet.run(NAMES)
    fields, error = fleet.run(NAMES, state="absent")
    assert error is None and fields["changed"] and len(fields["tasks"]) == 6 and not any(site.objects for site in fleet.sites.values())
    assert not fleet.run(NAMES, state="absent")[0]["changed"]


def test_deletion_fails_if_a_cluster_cannot_be_reached():
    fleet = Fleet("east", "west")
    fleet.run(NAMES)
    fleet["west"].is_down = True
    _fields, error = fleet.run(NAMES, state="absent")
    assert error.reason == "ClusterUnreachable" and "'west' was not deleted" in error.message
    assert not [key for key in fleet["east"].objects if key[0] == "Pod"]
    fields, _error = fleet.run(NAMES)
    assert sum(task["reason"] == "ClusterUnreachable" for task in fields["tasks"]) == 3, "they still exist there"


@pytest.mark.parametrize("lack", ["has_quota", "has_room"])
def test_cluster_without_room_is_left_out(lack):
    fleet = Fleet("east", "west")
    setattr(fleet["east"], lack, False)
    fields, error = fleet.run(NAMES)
    assert error is None and set(places(fields).values()) == {"west"} and len(fields["tasks"]) == 6
    assert all(clusters == ["west"] for clusters in fleet.started.values()) and len(fleet.started) == 6
    assert sum("'east' does not run" in text for text in fleet.console.warnings) == 3
    assert not [key for key in fleet["east"].objects if key[0] == "Pod"]
    assert sorted(step["action"] for step in fields["plan"]) == ["create"] * 6 + ["none"] * 3


def test_without_room_anywhere_tasks_wait():
    fleet = Fleet("east", "west")
    fleet["east"].has_room = fleet["west"].has_room = False
    fields, error = fleet.run(["a"], wait_timeout=60)
    assert error.reason == "Unschedulable" and fleet.started == {} and len(fields["tasks"]) == 1
    assert len(fleet.console.warnings) == 1, "it is moved once"
    fleet["west"].has_room = True
    fields, error = fleet.run(["a"])
    assert error is None and fleet.started == {"a": ["west"]}


def test_a_pod_that_is_scheduled_in_the_meantime_stays():
    fleet = Fleet("east", "west")
    home = places(fleet.run(["a"], check_mode=True)[0])["a"]
    fleet[home].has_room = False
    withdrawn = fleet[home].delete

    def schedule_first(*arguments, **options):
        fleet[home].has_room = True
        while fleet[home].act():
            pass
        return withdrawn(*arguments, **options)

    fleet[home].delete = schedule_first
    fields, error = fleet.run(["a"])
    assert error is None and fleet.started == {"a": [home]} and places(fields) == {"a": home}


@pytest.mark.parametrize("seed", range(3))
def test_a_group_of_which_one_pod_is_scheduled_in_the_meantime_stays(seed):
    """What was withdrawn before is created again."""
    fleet = Fleet("east", "west", seed=seed)
    tasks = [{"name": "a", "command": ["x"]}, {"name": "b", "command": ["x"]}, {"name": "c", "command": ["x"], "needs": ["a", "b"]}]
    home = places(fleet.run(tasks, check_mode=True)[0])["a"]
    fleet[home].has_room = False
    delete, deleted = fleet[home].delete, []

    def schedule_before_the_second(kind, namespace, name, *arguments, **options):
        deleted.append(name)
        if len(deleted) == 2:
            fleet[home].has_room = True
            while fleet[home].act():
                pass
        return delete(kind, namespace, name, *arguments, **options)

    fleet[home].delete = schedule_before_the_second
    fields, error = fleet.run(tasks)
    assert error is None and deleted[:2] == ["a", "b"] and set(places(fields).values()) == {home}
    assert fleet.started == {name: [home] for name in "abc"}


def test_a_pod_of_which_it_is_unknown_whether_it_is_deleted_is_created_again():
    fleet = Fleet("east", "west")
    home = places(fleet.run(["a"], check_mode=True)[0])["a"]
    site = fleet[home]
    site.has_room = False
    get, delete, lost = site.get, site.delete, []

    def note(*arguments, **options):
        lost.append(arguments)
        return delete(*arguments, **options)

    def lose(*arguments):
        if len(lost) == 1:
            site.has_room = True
            raise PodwrightError("the connection was lost", reason="ConnectionLost")
        return get(*arguments)

    site.delete, site.get = note, lose
    fields, error = fleet.run(["a"])
    assert error is None and places(fields) == {"a": home} and fleet.started == {"a": [home]}


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_task_that_is_moved_leaves_no_network_policy(is_refused):
    fleet = Fleet("east", "west")
    home = places(fleet.run(["a"], check_mode=True)[0])["a"]
    fleet[home].has_quota = False
    if is_refused:

        def refuse(*arguments, **options):
            raise PodwrightError("networkpolicies is forbidden: User x cannot delete", status=403, reason="Forbidden")

        fleet[home].delete = refuse
    fields, error = fleet.run([{"name": "a", "command": ["x"], "network": "isolated"}])
    left = [key for key in fleet[home].objects if key[0] == "NetworkPolicy"]
    assert error is None and len(left) == is_refused == any("'a-network'" in text for text in fleet.console.warnings)
    planned = [step["action"] for step in fields["plan"] if step["cluster"] == home]
    assert planned == ["none", "none"]


def test_network_policy_in_a_lost_cluster_is_not_waited_for():
    fleet = Fleet("east", "west")
    home = places(fleet.run(["a"], check_mode=True)[0])["a"]
    fleet[home].has_quota = False
    requests = []

    def lose():
        fleet[home].is_down |= any(key[0] == "NetworkPolicy" for key in fleet[home].objects)

    fleet.during, fleet[home].delete = lose, lambda *arguments, **options: requests.append(arguments)
    fields, error = fleet.run([{"name": "a", "command": ["x"], "network": "isolated"}])
    assert error is None and places(fields)["a"] != home and not requests
    assert any("'a-network'" in text and "does not respond" in text for text in fleet.console.warnings)


@pytest.mark.parametrize("later", ["is_down", "has_quota"])
@pytest.mark.parametrize("seed", range(4))
def test_a_creation_without_an_answer_is_not_repeated_elsewhere(later, seed):
    """The pod that it created may be what uses up the quota."""
    fleet = Fleet("east", "west", seed=seed)
    home = places(fleet.run(["a"], check_mode=True)[0])["a"]
    site = fleet[home]
    site.loses = 1
    create = site.create

    def lose(kind, *arguments, **options):
        try:
            return create(kind, *arguments, **options)
        finally:
            if kind.name == "Pod":
                setattr(site, later, later == "is_down")

    site.create = lose
    fleet.run(["a"], wait_timeout=100)
    site.is_down, site.has_quota, site.create = False, True, create
    fields, error = fleet.run(["a"])
    assert error is None and fleet.started == {"a": [home]} and places(fields) == {"a": home}


def test_a_pod_that_finds_a_node_soon_is_not_moved():
    fleet = Fleet("east", "west")
    home = places(fleet.run(["a"], check_mode=True)[0])["a"]
    fleet[home].has_room = False

    def make_room():
        fleet[home].has_room = fleet.clock.time > 6

    fleet.during = make_room
    fields, error = fleet.run(["a"])
    assert error is None and places(fields) == {"a": home} and not fleet.console.warnings


def test_a_schedule_timeout_is_one_of_each_cluster():
    fleet = Fleet("east", "west")
    fleet["east"].has_room = fleet["west"].has_room = False
    _fields, error = fleet.run([{"name": "a", "command": ["x"], "schedule_timeout": 4}])
    assert error.reason == "ScheduleTimeout" and len(fleet.console.warnings) == 1 and fleet.clock.time < 12


def test_a_later_attempt_stays_in_its_cluster():
    fleet = Fleet("east", "west")
    home = places(fleet.run(["a"], check_mode=True)[0])["a"]
    fleet[home].exits["a"] = [1, 0]

    def fill():
        fleet[home].has_room = not fleet[home].started or fleet.clock.time > 100

    fleet.during = fill
    fields, error = fleet.run([{"name": "a", "command": ["x"], "retries": 1}])
    assert error is None and fleet.started == {"a": [home, home]} and fields["tasks"][0]["attempt"] == 2


def test_cluster_that_is_lost_during_the_run_keeps_what_it_has_started():
    """Its other tasks run elsewhere."""
    fleet = Fleet("east", "west")
    west = fleet["west"]

    def lose():
        west.is_down = west.is_down or len(west.started) >= 2

    fleet.during = lose
    names = [f"t{number}" for number in range(20)]
    fields, error = fleet.run(names, concurrency=3, wait_timeout=3000)
    found = {task["name"]: task for task in fields["tasks"]}
    assert len(found) == len(names) == len(fields["tasks"])
    assert all(len(clusters) == 1 for clusters in fleet.started.values())
    unfinished = {name for name, task in found.items() if task["state"] != "succeeded"}
    assert unfinished <= set(west.started) and len(fleet.started) == len(names)
    assert error is None or error.reason == "ClusterUnreachable"
    west.is_down, fleet.during = False, lambda: None
    fields, error = fleet.run(names)
    assert error is None and all(len(clusters) == 1 for clusters in fleet.started.values())


def test_tasks_that_need_each_other_run_in_one_cluster():
    fleet = Fleet("east", "west")
    chain = [{"name": "a", "command": ["x"]}, {"name": "b", "command": ["x"], "needs": ["a"]}]
    tasks = [*chain, "c", {"name": "d", "command": ["x"], "needs": ["c"]}]
    found = places(fleet.run(tasks)[0])
    assert found["a"] == found["b"] != found["c"] == found["d"]
    fleet = Fleet("east", "west")
    fleet["west"].has_room = False
    assert set(places(fleet.run(tasks)[0]).values()) == {"east"} and len(fleet.started) == 4


def test_tasks_in_different_clusters_cannot_need_each_other():
    fleet = Fleet("east", "west")
    before = places(fleet.run(["a", "b"])[0])
    assert before["a"] != before["b"]
    _fields, error = fleet.run(["a", {"name": "b", "command": ["true"], "needs": ["a"]}])
    assert error.reason == "DifferentClusters" and len(fleet.started) == 2


def test_a_majority_can_be_required():
    fleet = Fleet("east", "west", "north")
    fleet["west"].is_down = True
    assert fleet.run(NAMES, min_clusters=2)[1] is None
    fleet["east"].is_down = True
    _fields, error = fleet.run(["new"], min_clusters=2)
    assert error.reason == "ClusterUnreachable" and "1 of 3 clusters can be reached, and 2 must be" in error.message
    assert "new" not in fleet.started


def test_stop_reaches_all_clusters():
    fleet = Fleet("east", "west")
    home = places(fleet.run(["bad"], check_mode=True)[0])["bad"]
    fleet[home].exits["bad"] = [1]
    for site in fleet.sites.values():
        site.exits |= {name: [None] for name in NAMES}
    fields, error = fleet.run(["bad", *NAMES], on_error="stop")
    assert error is not None and {task["state"] for task in fields["tasks"]} <= {"failed", "stopped", "skipped"}


def test_concurrency_is_one_of_all_clusters():
    fleet = Fleet("east", "west")
    most = 0

    def count():
        nonlocal most
        pods = [item for site in fleet.sites.values() for key, item in site.objects.items() if key[0] == "Pod"]
        most = max(most, sum(pod["status"]["phase"] not in ("Succeeded", "Failed") for pod in pods))

    fleet.during = count
    assert fleet.run(NAMES, concurrency=2)[1] is None
    assert most <= 2


def test_each_cluster_gets_its_share_of_the_concurrency():
    fleet = Fleet("east", "west")
    for site in fleet.sites.values():
        site.exits |= {name: [None] for name in NAMES}
    counts = []
    fleet.during = lambda: counts.append(sorted(len(site.started) for site in fleet.sites.values()))
    fleet.run(NAMES, concurrency=3, wait_timeout=20)
    assert counts[len(counts) // 2] == [1, 2]
    fleet.run([*NAMES, "more"], clusters=["east"], concurrency=100, wait_timeout=20)
    assert len(fleet["east"].started) > 2, "with others alone it may use all"


def test_a_set_is_pruned_in_every_cluster():
    fleet = Fleet("east", "west")
    fleet.run(NAMES, set="s", prune=True)
    fields, error = fleet.run(NAMES[:2], set="s", prune=True)
    left = {item["metadata"]["labels"]["podwright.io/task"] for site in fleet.sites.values() for item in site.objects.values()}
    assert error is None and fields["changed"] and left == set(NAMES[:2])
    assert len(fleet.started) == 6


def test_pruning_keeps_what_is_known_of_a_lost_cluster():
    fleet = Fleet("east", "west")
    before = places(fleet.run(NAMES, set="s", prune=True)[0])
    fleet["west"].is_down = True
    lost = [name for name, cluster in before.items() if cluster == "west"]
    fleet.run([name for name in NAMES if name not in lost], set="s", prune=True)
    fields, _error = fleet.run(NAMES, set="s", prune=True)
    assert {task["name"] for task in fields["tasks"] if task["reason"] == "ClusterUnreachable"} == set(lost)


def test_a_reviewed_plan_includes_the_clusters():
    fleet = Fleet("east", "west")
    digest = fleet.run(NAMES, check_mode=True)[0]["plan_digest"]
    fleet["west"].is_down = True
    fields, error = fleet.run(NAMES, expect=digest)
    assert error.reason == "PlanChanged" and fleet.started == {} and not fields["changed"]
    fleet["west"].is_down = False
    assert fleet.run(NAMES, expect=digest)[1] is None and len(fleet.started) == 6


@pytest.mark.parametrize("on_cancel", ["keep", "delete"])
def test_a_cancelled_run_reports_what_it_leaves_in_each_cluster(on_cancel):
    fleet = Fleet("east", "west")
    for site in fleet.sites.values():
        site.exits |= {name: [None] for name in NAMES}

    def cancel():
        if len(fleet.started) == len(NAMES):
            raise Cancelled(SIGTERM)

    fleet.during = cancel
    with pytest.raises(Cancelled):
        fleet.run(NAMES, on_cancel=on_cancel)
    farewell = fleet.console.farewell
    assert farewell.startswith("task_pod was cancelled by SIGTERM. Cluster 'east': It ") and "Cluster 'west': It " in farewell
    left = [item for site in fleet.sites.values() for key, item in site.objects.items() if key[0] == "Pod"]
    assert all(bool(pod["metadata"].get("deletionTimestamp")) == (on_cancel == "delete") for pod in left)


@pytest.mark.parametrize("has_failed", [False, True])
def test_the_other_clusters_are_completed_if_one_fails(has_failed):
    """Its error does not hide that tasks of another one have failed."""
    fleet = Fleet("east", "west")
    fleet["east"].exits = dict.fromkeys(NAMES, [3] * 9) if has_failed else {}
    delete = fleet["west"].delete

    def refuse(kind, *arguments, **options):
        raise PodwrightError("pods is forbidden: User x cannot delete", status=403, reason="Forbidden")

    fleet["west"].delete = refuse
    _fields, error = fleet.run(NAMES, cleanup="always")
    assert error.message.startswith("3 of 6 tasks failed" if has_failed else "Cluster 'west': ")
    assert any("User x cannot delete" in text for text in fleet.console.warnings) is has_failed
    assert not [key for key, item in fleet["east"].objects.items() if key[0] == "Pod" and not item["metadata"].get("deletionTimestamp")]
    fleet["west"].delete = delete
    if has_failed:
        return
    fields, error = fleet.run(NAMES, cleanup="always")
    assert error is None and len(fleet.started) == 6 and {task["state"] for task in fields["tasks"]} == {"succeeded"}


def test_a_denied_watch_is_not_an_unreachable_cluster():
    fleet = Fleet("east", "west")
    follow = FleetWatcher.next

    def deny(watcher, timeout):
        if watcher._site.name == "west" and any(pod["status"]["phase"] == "Succeeded" for key, pod in watcher._site.objects.items() if key[0] == "Pod"):
            raise PodwrightError("Could not watch pods", status=403, reason="Forbidden", hint="Grant the verb watch.")
        return follow(watcher, timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FleetWatcher, "next", deny)
        fields, error = fleet.run(NAMES, cleanup="always")
    failed = [task for task in fields["tasks"] if task["state"] == "failed"]
    assert failed and {task["reason"] for task in failed} == {"Forbidden"} and error.reason == "Forbidden"
    assert "Grant the verb watch" in str(error) and "can be reached" not in str(error)
    assert not fleet.console.warnings and all(cluster["reachable"] for cluster in fields["clusters"])


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("number", range(4))
def test_two_runs_at_the_same_time_start_a_task_once(is_known, number):
    """They would choose different clusters; whatever is left of the task from before."""
    fleet, name = Fleet("east", "west"), f"t{number}"
    if is_known:
        fleet.run([name])
        for site in fleet.sites.values():
            site.objects = {key: item for key, item in site.objects.items() if key[0] != "Pod"}
            site.started.clear()
    home = places(fleet.run([name], check_mode=True)[0])[name]
    other = next(cluster for cluster in fleet.sites if cluster != home)
    look = dispatcher.look_around

    def look_before_the_other_starts(*arguments):
        look(*arguments)
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(dispatcher, "look_around", look)
            assert fleet.run([name], clusters=[other])[1] is None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatcher, "look_around", look_before_the_other_starts)
        fields, error = fleet.run([name])
    assert error is None and places(fields) == {name: other} and fleet.started == {name: [other]} and len(fields["tasks"]) == 1


def renamed(fleet, **names):
    """The same clusters, whose contexts have other names for another user: the new name -> that in `fleet`."""
    other = Fleet()
    other.clock, other.sites = fleet.clock, {name: fleet[known] for name, known in names.items()}
    return other


@pytest.mark.parametrize("minimum", [1, 2])
@pytest.mark.parametrize("number", range(3))
def test_two_runs_whose_contexts_have_other_names_start_a_task_once(number, minimum):
    """The second one comes after the first has written the placement, and before it creates the pod."""
    fleet, name = Fleet("east", "west"), f"t{number}"
    claim_all, others = dispatcher.Dispatcher._claim_all, []

    def claim_and_let_the_other_run(own):
        claim_all(own)
        if not others:
            others.append(None)
            others[0] = renamed(fleet, blue="east", green="west").run([name], min_clusters=minimum)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatcher.Dispatcher, "_claim_all", claim_and_let_the_other_run)
        _fields, error = fleet.run([name], min_clusters=minimum)
    assert error is None and others[0][1] is None and len(fleet.started[name]) == 1


@pytest.mark.parametrize("number", range(4))
def test_a_rival_whose_contexts_have_other_names_is_followed(number):
    fleet, name = Fleet("east", "west"), f"t{number}"
    other = "west" if places(fleet.run([name], check_mode=True)[0])[name] == "east" else "east"
    rival, look = renamed(fleet, blue="east", green="west"), dispatcher.look_around

    def look_before_the_other_starts(*arguments):
        look(*arguments)
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(dispatcher, "look_around", look)
            assert rival.run([name], clusters=[{"east": "blue", "west": "green"}[other]])[1] is None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatcher, "look_around", look_before_the_other_starts)
        fields, error = fleet.run([name])
    assert error is None and places(fields) == {name: other} and fleet.started == {name: [other]}


def test_contexts_with_swapped_names_do_not_hide_a_cluster():
    fleet = Fleet("east", "west")
    swapped, before = renamed(fleet, east="west", west="east"), places(fleet.run(NAMES)[0])
    fleet["west"].is_down = True  # the context east of the other user
    there = [name for name in NAMES if before[name] == "east"]
    fields, error = swapped.run(there)
    assert error is None and not fields["changed"] and set(places(fields).values()) == {"west"}


def test_one_rival_does_not_fail_what_moves_with_its_task():
    """It is followed into the cluster of the other run, which has no room either, and moves from there."""
    fleet = Fleet("east", "west")
    fleet["east"].has_room = False
    claim, found = dispatcher.claim, []

    def claim_against_another_run(clusters, own, specs, starting, *arguments):
        rivals = claim(clusters, own, specs, starting, *arguments)
        if own.name == "west" and len(specs) == len(starting) == 2 and not found:
            found.append(specs)
            return {specs[0].task_name: "east"}
        return rivals

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatcher, "claim", claim_against_another_run)
        fields, error = fleet.run(NAMES)
    assert found and error is None and fleet.started == {name: ["west"] for name in NAMES} and len(fields["tasks"]) == len(NAMES)


@pytest.mark.parametrize(("found", "is_followed"), [({"a": "west", "b": "west"}, True), ({"a": "west"}, True), ({"a": "west", "b": "north"}, False)])
def test_a_group_is_followed_as_a_whole_and_once(found, is_followed):
    group = tuple(SimpleNamespace(task_name=("n", name)) for name in "ab")
    rivals = Rivals({spec.task_name: group for spec in group})
    named, names = {("n", name): cluster for name, cluster in found.items()}, {spec.task_name for spec in group}
    lost, failed = rivals.note(named, names)
    assert lost == names and [spec for spec, _error in failed] == ([] if is_followed else list(group))
    assert rivals.take() == ([("west", list(group))] if is_followed else []) and rivals.take() == []
    assert len(rivals.note(named, names)[1]) == 2


def test_a_group_of_which_something_exists_is_not_started_elsewhere():
    group = tuple(SimpleNamespace(task_name=("n", name)) for name in "ab")
    rivals = Rivals({spec.task_name: group for spec in group})
    _lost, failed = rivals.note({("n", "b"): "west"}, [("n", "b")])
    assert len(failed) == 2 and rivals.take() == []


def test_the_cluster_of_an_error_is_named_once():
    error = PodwrightError("Cluster 'west': it failed", reason="Conflict")
    assert members.in_cluster("west", members.in_cluster("west", error)).message == error.message


def test_a_failure_names_the_cluster():
    fleet = Fleet("east", "west")
    fleet["east"].exits["t0"] = fleet["west"].exits["t0"] = [3]
    fields, error = fleet.run(["t0"])
    assert error.message.startswith(f"Cluster '{fields['tasks'][0]['cluster']}': The task 't0' in namespace 'n' failed")


def test_a_cluster_that_is_lost_before_the_first_task_is_asked_once():
    """Not once for each task: a request that reaches no server is sent again for a while."""
    fleet = Fleet("east", "west")
    look, asked = dispatcher.look_around, []

    def lose(*arguments):
        look(*arguments)
        fleet["west"].is_down = True

    def reach():
        asked.append(fleet.clock.time)
        Site._reach(fleet["west"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatcher, "look_around", lose)
        patch.setattr(fleet["west"], "create", lambda *arguments, **options: reach())
        fields, error = fleet.run(NAMES)
    assert error is None and set(places(fields).values()) == {"east"} and len(fleet.started) == 6
    assert len([moment for moment in asked if moment == asked[0]]) <= 2


def test_what_only_a_lost_cluster_knows_may_run_again_with_a_warning():
    """Each of two clusters was lost while the other one was used: only a majority excludes that."""
    fleet = Fleet("east", "west")
    fleet["west"].is_down = True
    fleet.run(["a"])
    fleet["west"].is_down, fleet["east"].is_down = False, True
    fleet.run(["a"])
    assert fleet.started == {"a": ["east", "west"]} and any("'east' is left out" in text for text in fleet.console.warnings)
    fleet = Fleet("east", "west")
    fleet["west"].is_down = True
    fleet.run(["a"])
    fleet["west"].is_down = False
    fleet.run(["a"])  # one that reaches both is enough
    fleet["east"].is_down = True
    assert fleet.run(["a"])[1].reason == "ClusterUnreachable" and fleet.started == {"a": ["east"]}


def test_what_was_seen_in_a_cluster_that_is_lost_before_the_plan_is_complete_does_not_run_elsewhere():
    """Also if only that cluster knows it, as after runs without the option clusters."""
    fleet = Fleet("east", "west")
    fleet["east"].is_down = True
    fleet.run(NAMES)
    fleet["east"].is_down = False
    look = dispatcher.look_around

    def lose(*arguments):
        look(*arguments)
        fleet["west"].is_down = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatcher, "look_around", lose)
        fields, error = fleet.run([*NAMES, "new"])
    assert error.reason == "ClusterUnreachable" and fleet.started == {name: ["west"] for name in NAMES} | {"new": ["east"]}
    assert places(fields) == dict.fromkeys(NAMES, "west") | {"new": "east"}


def test_deletion_needs_no_majority():
    fleet = Fleet("east", "west")
    fleet.run(NAMES)
    fleet["west"].is_down = True
    assert fleet.run(NAMES, state="absent", min_clusters=2)[0]["changed"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"clusters": []}, "clusters: must not be empty"),
        ({"clusters": ["east", "east"]}, "clusters[1]: must be unique"),
        ({"clusters": ["east", ""]}, "clusters[1]: must be the name of a context"),
        ({"clusters": [" "]}, "clusters[0]: must be the name of a context"),
        ({"host": "https://x"}, "host: must not be set"),
        ({"context": "east"}, "context: must not be set"),
        ({"runtime": "auto"}, "runtime: must be kubernetes"),
        ({"report": "x.html"}, "report: must not be set"),
        ({"min_clusters": 3}, "min_clusters: must be 1 to 2"),
        ({"min_clusters": 0}, "min_clusters: must be 1 to 2"),
    ],
)
def test_invalid_options_send_no_request(params, message):
    fleet = Fleet("east", "west")
    for site in fleet.sites.values():
        site.fetch = site.list = None
    defaults = {"clusters": ["east", "west"]} | params
    _fields, error = fleet.run(["a"], **defaults)
    assert error.reason == "BadOption" and error.message.startswith(message)


@pytest.mark.parametrize(
    ("server", "servers", "found"),
    [
        ("https://a", {"west": "https://a", "east": "https://b"}, "west"),  # another name for the same server
        ("https://a", {"west": "https://a"}, "west"),
        ("https://a", {"east": "https://b"}, "east"),
        ("https://a", {"west": "https://b"}, None),
        ("https://127.0.0.1:6443", {"west": "https://127.0.0.1:6443", "east": "https://127.0.0.1:7443"}, "east"),  # tunnels of another host
        ("https://localhost:6443", {"west": "https://localhost:6443"}, "west"),
    ],
)
def test_a_placement_is_found_by_its_server_or_name(server, servers, found):
    assert find_cluster(Placement("", "east", server), servers) == found


def test_one_cluster_is_not_two():
    fleet = Fleet("east", "west")
    fleet["west"].configuration.server = fleet["east"].configuration.server
    assert "must not be the cluster of 'east'" in fleet.run(["a"])[1].message
    fleet["west"].configuration.server = "https://other-name"
    fleet.run(["a"], clusters=["east"])
    fleet["west"].objects = fleet["east"].objects
    assert "'east' and 'west' are the same one" in fleet.run(["a"])[1].message


@pytest.mark.parametrize("check_mode", [True, False])
def test_one_cluster_is_not_two_before_the_first_task(check_mode):
    """With two URLs, such as https://192.0.2.1 and https://[::ffff:192.0.2.1]; a quorum of one cluster would be none."""
    fleet = Fleet("east", "west")
    for site in fleet.sites.values():
        site.objects["ConfigMap", "n", "kube-root-ca.crt"] = {"kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": "n", "uid": "u"}}
    _fields, error = fleet.run(["a"], check_mode=check_mode, min_clusters=2)
    assert error.reason == "BadOption" and "'east' and 'west' are the same one" in error.message and fleet.started == {}


def test_a_cluster_whose_identity_must_not_be_read_is_used():
    fleet = Fleet("east", "west")
    listed = fleet["west"].list

    def deny(kind, *arguments, **options):
        if kind.name == "ConfigMap":
            raise PodwrightError("configmaps is forbidden: User x cannot list", status=403, reason="Forbidden")
        return listed(kind, *arguments, **options)

    fleet["west"].list = deny
    fields, error = fleet.run(NAMES)
    assert error is None and sorted(places(fields).values()) == ["east"] * 3 + ["west"] * 3


@pytest.mark.parametrize("reason", ["BadCertificate", "ExecPlugin", "MissingLibrary", "BadConfiguration"])
def test_a_cluster_whose_configuration_is_wrong_is_not_left_out(reason):
    fleet = Fleet("east", "west")

    def refuse(_request):
        raise PodwrightError("certificate verify failed", reason=reason)

    fleet["west"].fetch = refuse
    _fields, error = fleet.run(NAMES)
    assert (error.reason, error.message) == (reason, "Cluster 'west': certificate verify failed") and fleet.started == {} and not fleet.console.warnings


@pytest.mark.parametrize(("failures", "is_left_out"), [(1, False), (2, True)])
def test_a_cluster_that_reports_a_fault_of_its_own_is_asked_again(failures, is_left_out):
    fleet = Fleet("east", "west")
    answers = [PodwrightError("starting", status=503, reason="ServiceUnavailable")] * failures

    def respond(_request):
        if answers:
            raise answers.pop()
        return b"{}"

    fleet["west"].fetch = respond
    fields, error = fleet.run(NAMES)
    assert error is None and not answers and fields["clusters"][1]["reachable"] is not is_left_out


@settings(max_examples=scaled(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6))
def test_no_task_runs_twice_whatever_happens(seed):
    """With a majority, clusters are lost and return, are full and have room again, and lose answers, in any order."""
    fleet, rng = Fleet("east", "west", "north", seed=seed), random.Random(seed)

    def disturb():
        if rng.random() < 0.1:
            site = rng.choice(list(fleet.sites.values()))
            what = rng.choice(["is_down", "is_down", "has_room", "has_quota", "loses"])
            setattr(site, what, 1 if what == "loses" else not getattr(site, what))

    tasks = [*NAMES, {"name": "after", "command": ["true"], "needs": ["t0", "t1"]}]
    fleet.during = disturb
    for _run in range(rng.randrange(1, 4)):
        fields, error = fleet.run(tasks, min_clusters=2, wait_timeout=rng.choice([5, 60, 400]), concurrency=rng.choice([2, 100]))
        assert error is None or error.reason != "Unforeseen", str(error)
        assert not fields or sorted(task["name"] for task in fields["tasks"]) == sorted([*NAMES, "after"])
    for site in fleet.sites.values():
        site.is_down, site.has_room, site.has_quota, site.loses = False, True, True, 0
    fleet.during = lambda: None
    fields, error = fleet.run(tasks, min_clusters=2)
    assert error is None, str(error)
    assert {task: len(clusters) for task, clusters in fleet.started.items()} == {task["name"]: 1 for task in fields["tasks"]}
    assert {task["name"]: [task["cluster"]] for task in fields["tasks"]} == fleet.started
