# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan is reviewed in check mode and carried out as it was reviewed, or not at all."""

from __future__ import annotations

import copy
import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.key import Key
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_autoscale, pod_deployment, pod_gc, resource_set, task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import Redactor
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.plan import Change
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.review import compare_plans, digest_of, outline, review_entries

from ..support.environment import ROOT
from ..support.hostile_server import HostileServer
from ..support.stub_cluster import RUNNING, SUCCEEDED, StubCluster, live, pod_status

TASK = {"name": "task", "image": "busybox"}
MANAGED = {"labels": {"app.kubernetes.io/managed-by": "podwright", "podwright.io/task": "old", "app": "old"}}
OBJECTS = [
    live("v1", "Namespace", "default", status={"phase": "Active"}),
    live("v1", "Pod", "old", metadata=MANAGED, spec={"containers": [TASK], "restartPolicy": "Never"}, status=SUCCEEDED),
    live("v1", "Pod", "box", metadata={"labels": {"app": "box"}}, spec={"containers": [TASK]}, status=RUNNING),
    live("v1", "Secret", "s", type="Opaque", data={"password": "b2xk", "user": "dXNlcg=="}),
    live("v1", "ConfigMap", "c", data={"a": "b"}),
    live(
        "apps/v1",
        "Deployment",
        "web",
        spec={"replicas": 1, "selector": {"matchLabels": {"app": "box"}}},
        status={"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    ),
]
WAIT = {"wait_timeout": 60, "wait_sleep": 1}
BOX = {"image": "busybox", "command": ["true"], "namespace": "default"}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "secret-of-new"}}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "changed"}}
PROMETHEUS = {"server": "prometheus:9090", "query": "x", "target": 1.0}
# name -> (module, options): each has something to do.
CALLS = {
    "task": (task_pod, {"name": "t", "state": "completed", "stdin": "secret-of-input", "env": {"P": "secret-of-env"}, "network": "isolated", **BOX, **WAIT}),
    "generated": (task_pod, {"generate_name": "t-", "state": "completed", "stdin": "secret-of-input", "selinux_options": "auto", **BOX, **WAIT}),
    "batch": (task_pod, {"tasks": [{"name": "a", **BOX}, {"name": "b", "kind": "Job", "timeout": 9, **BOX}], "state": "completed", **WAIT}),
    "replacement": (task_pod, {"name": "old", "state": "completed", "stdin": "x", **BOX, **WAIT}),
    "absent task": (task_pod, {"name": "old", "state": "absent", **WAIT}),
    "set": (resource_set, {"name": "set", "definition": [SECRET, CONFIG], "prune": True, **WAIT}),
    "absent set": (resource_set, {"state": "absent", "definition": [SECRET, CONFIG], **WAIT}),
    "gc": (pod_gc, {"completed": {"max_age": 1}}),
    "autoscaler": (pod_autoscale, {"name": "web", "target_cpu": 50, **WAIT}),
    "replicas": (pod_autoscale, {"name": "web", "replicas": 3, **WAIT}),
    "direct": (pod_autoscale, {"name": "web", "engine": "direct", "prometheus": PROMETHEUS, "max_replicas": 5, **WAIT}),
    "rolling": (pod_deployment, {"name": "d", "service": "d", "ports": [80], "strategy": "rolling", **BOX, **WAIT}),
    "blue_green": (pod_deployment, {"name": "d", "service": "d", "ports": [80], "strategy": "blue_green", **BOX, **WAIT}),
}
WRONG = "sha256:" + "0" * 64


@pytest.fixture
def cluster(monkeypatch):
    """A StubCluster behind a server, with `run` and the times of waits shortened."""
    monkeypatch.setattr(Clock, "sleep", staticmethod(lambda seconds: None))
    stub = StubCluster(OBJECTS)
    with HostileServer(stub) as server:
        yield SimpleNamespace(stub=stub, run=lambda call, check_mode=False, **options: run(server.url, call, check_mode, options))


def run(url, call, check_mode, options):
    """The result of a call with further options."""
    module, given = CALLS[call]
    operation = module.OPERATION
    params = {"namespace": "default", "host": url, **copy.deepcopy(given), **options}
    checked = ArgumentSpecValidator(operation.arguments, **operation.rules).validate(params)
    assert not checked.error_messages, checked.error_messages
    return perform(operation, checked.validated_parameters, check_mode, True, Console())


@pytest.mark.parametrize("call", CALLS)
def test_what_was_reviewed_is_carried_out(cluster, call):
    reviewed = cluster.run(call, check_mode=True)
    assert reviewed["changed"] and not reviewed["failed"] and not cluster.stub.effects, reviewed
    again = cluster.run(call, check_mode=True)["plan_digest"]
    assert again.partition("@")[0] == reviewed["plan_digest"].partition("@")[0]  # with another time, if a second has passed
    done = cluster.run(call, expect=reviewed["plan_digest"])
    assert done["changed"] and not done["failed"] and cluster.stub.effects, done
    assert done["plan_digest"] == reviewed["plan_digest"]


@pytest.mark.parametrize("call", CALLS)
def test_another_plan_is_refused_before_any_write(cluster, call):
    for check_mode in (False, True):
        refused = cluster.run(call, check_mode, expect=WRONG)
        assert refused["failed"] and refused["reason"] == "PlanChanged" and not refused["changed"], refused
        assert not cluster.stub.effects
        assert refused["plan"] and refused["diff"] and refused["plan_digest"] in refused["msg"] and "- " in refused["msg"]
        assert "secret-of-" not in json.dumps(refused)


@pytest.mark.parametrize("call", [call for call in CALLS if call not in ("generated", "gc", "absent task")])
def test_an_approved_run_can_be_repeated(cluster, call):
    digest = cluster.run(call, check_mode=True)["plan_digest"]
    cluster.run(call, expect=digest)
    again = cluster.run(call, expect=digest)
    assert not again["failed"] and not again["changed"], again


@pytest.mark.parametrize("call", CALLS)
def test_the_file_of_a_plan_is_private_has_no_secrets_and_approves_the_plan(cluster, call, tmp_path):
    path = tmp_path / "plan.json"
    reviewed = cluster.run(call, check_mode=True, plan_file=str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and os.listdir(tmp_path) == ["plan.json"]
    content = json.loads(path.read_text())
    assert content["plan_digest"] == reviewed["plan_digest"] and content["changes"] and "secret-of-" not in path.read_text()
    assert not cluster.stub.effects
    again = tmp_path / "again.json"
    done = cluster.run(call, expect=str(path), plan_file=str(again))
    assert done["changed"] and not done["failed"], done
    assert digest_of(json.loads(again.read_text())["changes"]) == reviewed["plan_digest"].partition("@")[0]


@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_changed_if_the_file_of_a_plan_cannot_be_written(cluster, call, tmp_path):
    failed = cluster.run(call, plan_file=str(tmp_path / ("x" * 300)))
    assert failed["reason"] == "WriteFailed" and not failed["changed"] and not failed.get("plan") and not cluster.stub.effects


def test_a_file_that_exists_becomes_private(cluster, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("old")
    path.chmod(0o644)
    cluster.run("set", check_mode=True, plan_file=str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("call", "edit", "shown"),
    [
        ("set", lambda items: items["configmaps", "default", "c"]["data"].update(a="meanwhile"), '"meanwhile"'),
        ("set", lambda items: items["configmaps", "default", "c"]["metadata"].update(uid="another"), "another"),
        ("set", lambda items: items["secrets", "default", "s"].update(data={"user": "dXNlcg=="}), "/data/password"),
        ("absent set", lambda items: items["configmaps", "default", "c"]["metadata"].update(uid="another"), "another"),
        ("absent set", lambda items: items.pop(("configmaps", "default", "c")), "no longer planned: delete ConfigMap 'c'"),
        ("replacement", lambda items: items["pods", "default", "old"]["metadata"].update(uid="another"), "another"),
        ("absent task", lambda items: items["pods", "default", "old"]["metadata"].update(uid="another"), "another"),
        ("gc", lambda items: items["pods", "default", "old"]["metadata"].update(uid="another"), "another"),
        ("replicas", lambda items: items["deployments", "default", "web"]["spec"].update(replicas=2), "before: 2"),
    ],
)
def test_what_happened_since_the_review_is_shown(cluster, tmp_path, call, edit, shown):
    path = tmp_path / "plan.json"
    digest = cluster.run(call, check_mode=True, plan_file=str(path))["plan_digest"]
    edit(cluster.stub.objects)
    refused = cluster.run(call, expect=str(path))
    assert refused["reason"] == "PlanChanged" and not cluster.stub.effects
    assert shown.strip('"') in refused["msg"], refused["msg"]
    assert "secret-of-" not in refused["msg"]
    assert cluster.run(call, expect=digest)["reason"] == "PlanChanged" and not cluster.stub.effects


def test_what_others_write_to_the_same_objects_does_not_invalidate_a_review(cluster):
    digest = cluster.run("set", check_mode=True)["plan_digest"]
    item = cluster.stub.objects["configmaps", "default", "c"]
    item["metadata"] |= {"resourceVersion": "99", "generation": 7, "labels": {"team": "x"}}
    item["data"]["other"] = "x"
    assert cluster.run("set", expect=digest)["changed"]


def finished_pod(name, moment):
    """A finished pod of a task."""
    stamp = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    terminated = {"exitCode": 0, "reason": "Completed", "startedAt": stamp, "finishedAt": stamp}
    metadata = {"labels": MANAGED["labels"], "creationTimestamp": stamp}
    return live("v1", "Pod", name, metadata=metadata, spec={"containers": [TASK]}, status=pod_status({"terminated": terminated}, ready=False))


@pytest.mark.parametrize("as_file", [False, True])
def test_a_reviewed_cleanup_stays_valid_while_time_passes(cluster, monkeypatch, tmp_path, as_file):
    now = 1_700_000_000.9
    monkeypatch.setattr(Client, "now", lambda self: now)
    cluster.stub.objects["pods", "default", "aged"] = finished_pod("aged", int(now) - 100)
    cluster.stub.objects["pods", "default", "young"] = finished_pod("young", int(now) - 50)
    options = {"completed": {"max_age": 60, "keep_last": 1}}
    path = tmp_path / "plan"
    reviewed = cluster.run("gc", check_mode=True, plan_file=str(path), **options)
    assert [entry["name"] for entry in reviewed["deleted"]] == ["aged", "old"] and reviewed["plan_digest"].endswith("@1700000000")
    now += 1000  # `young` exceeds its age, and another pod takes its place as the most recent
    cluster.stub.objects["pods", "default", "later"] = finished_pod("later", int(now) - 900)
    assert len(cluster.run("gc", check_mode=True, **options)["deleted"]) == 3
    cleaned = cluster.run("gc", expect=str(path) if as_file else reviewed["plan_digest"], **options)
    assert [entry["name"] for entry in cleaned["deleted"]] == ["aged", "old"] and not cleaned["failed"], cleaned
    assert cleaned["plan_digest"] == reviewed["plan_digest"]


def test_a_pod_that_was_evicted_after_the_review_is_kept(cluster, monkeypatch):
    now = 1_700_000_000.0
    monkeypatch.setattr(Client, "now", lambda self: now)
    options = {"evicted": True, "completed": {"max_age": 60}}
    digest = cluster.run("gc", check_mode=True, **options)["plan_digest"]
    evicted = finished_pod("evicted", int(now) + 10)
    evicted["status"] = {"phase": "Failed", "reason": "Evicted", "conditions": [{"type": "Ready", "lastTransitionTime": "2023-11-14T22:13:30Z"}]}
    cluster.stub.objects["pods", "default", "evicted"] = evicted
    now += 20
    cleaned = cluster.run("gc", expect=digest, **options)
    assert [entry["name"] for entry in cleaned["deleted"]] == ["old"], cleaned
    assert "it was created or finished after the review" in [entry["reason"] for entry in cleaned["kept"]]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"expect": ""}, "expect: must be a plan_digest"),
        ({"expect": "sha256:12"}, "expect: must be a plan_digest"),
        ({"expect": "{tmp}/none.json"}, "expect: must be a plan_digest"),
        ({"expect": "{tmp}/text"}, "expect: must be a file that plan_file wrote"),
        ({"expect": "{tmp}/edited"}, "expect: must be an unchanged file"),
        ({"expect": "{tmp}/other-format"}, "expect: must be an unchanged file"),
        ({"plan_file": "{tmp}"}, "plan_file: must be a file in an existing directory"),
        ({"plan_file": "{tmp}/none/plan"}, "plan_file: must be a file in an existing directory"),
        ({"plan_file": "{tmp}/../plans/plan", "expect": "{tmp}/plan"}, "plan_file: must not be the file of expect."),
    ],
)
def test_invalid_options_are_refused_before_the_first_request(options, error, tmp_path_factory):
    directory = tmp_path_factory.getbasetemp() / "plans"
    directory.mkdir(exist_ok=True)
    plan = {"format": 1, "changes": [], "plan_digest": digest_of([])}
    texts = {"text": "{", "plan": json.dumps(plan), "edited": json.dumps(plan | {"changes": [{"action": "delete"}]})}
    for name, text in (texts | {"other-format": json.dumps(plan | {"format": 2})}).items():
        (directory / name).write_text(text)
    refused = run("http://127.0.0.1:1", "set", False, {name: value.replace("{tmp}", str(directory)) for name, value in options.items()})
    assert refused["msg"].startswith(error) and refused["reason"] == "BadOption", refused


# -- the digest -----------------------------------------------------------------------------------------------

POD, CONFIG_KIND, SECRET_KIND = (BUILT_IN["v1", kind] for kind in ("Pod", "ConfigMap", "Secret"))


def change(action="patch", kind=CONFIG_KIND, before=None, after=None, name="c", note=""):
    """A change of an object whose states are given without metadata."""
    metadata = {"name": name, "namespace": "n", "uid": "u", "resourceVersion": "1"}
    states = [state and {"apiVersion": "v1", "kind": kind.name, "metadata": metadata, **state} for state in (before, after)]
    return Change(action, Key("", kind.name, "n", name), kind, states[1], *states, note=note)


def digest(*changes):
    return digest_of(review_entries(changes, Redactor))


def test_a_digest_depends_on_everything_that_changes_and_nothing_else():
    first = change(before={"data": {"a": "1"}}, after={"data": {"a": "2"}})
    second = change("delete", before={"data": {}}, name="d")
    assert digest(first, second) == digest(second, first, change("none", before={"data": {}}, name="e"))
    assert digest(first) == digest(change(before={"data": {"b": "x", "a": "1"}}, after={"data": {"a": "2", "b": "x"}}, note="42 s ago"))
    others = [
        change(before={"data": {"a": "0"}}, after={"data": {"a": "2"}}),
        change(before={"data": {"a": "1"}}, after={"data": {"a": "3"}}),
        change(before={"data": {"a": "1"}}, after={"data": {}}),
        change(before={"data": {"a": True}}, after={"data": {"a": 1}}),
        change(before={"data": {"a": [1]}}, after={"data": {"a": [1, 2]}}),
        change("replace", before={"data": {"a": "1"}}, after={"data": {"a": "2"}}),
        change("create", after={"data": {"a": "2"}}),
        change("delete", before={"data": {"a": "1"}}),
        change("delete", POD, before={"data": {"a": "1"}}),
    ]
    assert len({digest(), digest(first), digest(first, second), *map(digest, others)}) == len(others) + 3


def test_values_of_secrets_take_part_as_changes_only():
    def replaced(before, after):
        return change(kind=SECRET_KIND, before={"data": before}, after={"data": after})

    assert digest(replaced({"a": "x", "b": "y"}, {"a": "new", "b": "y"})) == digest(replaced({"b": "1", "a": "2"}, {"b": "1", "a": "3"}))
    assert digest(replaced({"a": "x", "b": "y"}, {"a": "new", "b": "y"})) != digest(replaced({"a": "x", "b": "y"}, {"a": "x", "b": "new"}))
    assert digest(change("create", SECRET_KIND, after={"data": {"a": "x"}})) == digest(change("create", SECRET_KIND, after={"data": {"a": "y"}}))


SCRIPT = """
import json, sys
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.key import Key
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import Redactor
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.plan import Change
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.review import digest_of, review_entries
before, after = ({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": dict.fromkeys(names, "x")} for names in ("abcdef", "ghijkl"))
print(digest_of(review_entries([Change("patch", Key("", "ConfigMap", "n", "c"), CONFIG_MAP, after, before, after)], Redactor)))
"""


def test_a_digest_does_not_depend_on_the_order_of_hashes():
    found = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": str(seed)}
        ).stdout
        for seed in range(3)
    }
    assert len(found) == 1 and found.pop().startswith("sha256:")


def test_changes_of_the_same_object_are_compared_together():
    first, second = (change(before={"data": {"a": "1"}}, after={"data": {"a": value}}) for value in "23")
    reviewed, present = review_entries([first], Redactor), review_entries([first, second], Redactor)
    text = compare_plans(reviewed, present)
    assert text.startswith("- differs: patch ConfigMap 'c'") and "+    after: '3'" in text
    assert compare_plans(present, present[::-1]) == ""


def test_texts_are_bounded():
    entries = review_entries([change("create", after={"data": {"a": "\n".join("x" * 200)}}, name=f"n{number}") for number in range(1000)], Redactor)
    assert "… and 980 more objects" in outline(entries) and len(outline(entries)) < 4000
    assert len(compare_plans(entries, [entry | {"uid": "u"} for entry in entries])) < 40_000
