# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A report of a cluster: what is read, what is missing if it may not be, and when the file counts as changed."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_report
from ansible_collections.podwright.core.plugins.module_utils._engine.reports.live_limits import read_autoscaler, read_quota

from ..support.hostile_server import HostileServer
from ..support.reports import Page
from ..support.stub_cluster import RUNNING, SUCCEEDED, StubCluster, failure, live, pod_status

LABELS = {"app.kubernetes.io/managed-by": "podwright"}
FAILED = pod_status({"terminated": {"exitCode": 3, "reason": "Error", "startedAt": "2001-01-01T00:00:01Z", "finishedAt": "2001-01-01T00:00:04Z"}}, ready=False)


def task(name, status, **metadata):
    labels = {"labels": LABELS | {"podwright.io/task": name}}
    return live(
        "v1", "Pod", metadata.pop("pod", name), metadata=labels | metadata, spec={"containers": [{"name": "task"}], "restartPolicy": "Never"}, status=status
    )


DENIAL = failure(403, "Forbidden", 'things is forbidden: User "u" cannot list resource "things" in API group "" in the namespace "default"')
RECORD = {"state": "succeeded", "rc": "0", "log": "what the record says", "started_at": "2001-01-01T00:00:00Z", "finished_at": "2001-01-01T00:00:09Z"}
JOB = {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "uid-Job-j", "controller": True}]}
OBJECTS = [
    live("v1", "Namespace", "default", status={"phase": "Active"}),
    task("good", SUCCEEDED),
    task("bad", FAILED | {"phase": "Failed"}),
    task("busy", RUNNING),
    live(
        "batch/v1",
        "Job",
        "j",
        metadata={"labels": LABELS | {"podwright.io/task": "j"}},
        spec={},
        status={"conditions": [{"type": "Complete", "status": "True"}]},
    ),
    task("j", FAILED | {"phase": "Failed"}, pod="j-1", **JOB),
    task("j", SUCCEEDED, pod="j-2", **JOB),
    live("v1", "Pod", "foreign", spec={"containers": [{"name": "task"}]}, status=RUNNING),
    live("v1", "ConfigMap", "r", metadata={"labels": LABELS | {"podwright.io/task": "gone", "podwright.io/record": "true"}}, data=RECORD),
    live("v1", "ConfigMap", "r2", metadata={"labels": LABELS | {"podwright.io/task": "good", "podwright.io/record": "true"}}, data=RECORD),
    live("v1", "Event", "e", involvedObject={"kind": "Pod", "name": "bad", "uid": "uid-Pod-bad"}, type="Warning", reason="BackOff", message="again"),
    live("v1", "ResourceQuota", "quota", status={"hard": {"pods": "4", "odd": "x"}, "used": {"pods": "3"}}),
    live("autoscaling/v2", "HorizontalPodAutoscaler", "web", spec={"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 7}),
]


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """A StubCluster behind a server, and `run`, which writes a report of it into a file."""
    monkeypatch.setattr(Clock, "sleep", staticmethod(lambda seconds: None))
    stub, path = StubCluster(OBJECTS), tmp_path / "report.html"

    def run(url, check_mode=False, no_log=False, **options):
        params = {"namespace": "default", "host": url, "dest": str(path)} | options
        checked = ArgumentSpecValidator(pod_report.ARGUMENTS).validate(params)
        assert not checked.error_messages, checked.error_messages
        return perform(pod_report.OPERATION, checked.validated_parameters, check_mode, False, Console(), no_log, {"line 1"})

    with HostileServer(stub) as server:
        yield SimpleNamespace(stub=stub, path=path, run=lambda **options: run(server.url, **options), page=lambda: Page(path.read_text()))


def test_tasks_quotas_and_autoscalers_are_reported(cluster):
    done = cluster.run()
    assert done["changed"] and done["report"] == str(cluster.path), done
    assert done["summary"] == {"succeeded": 3, "failed": 1, "running": 1, "total": 5}, "a record counts if its pod is deleted; pods of others do not"
    page = cluster.page()
    assert ("1 of 5 tasks failed", "h1") in page.texts and "foreign" not in page.text
    for part in ("Attempt 1", "Attempt 2", "what the record says", "BackOff", "3 of 4 (75 %)", "Deployment web: 0 replicas, from 1 to 7"):
        assert part in page.text, part
    assert "line 0" in page.text and "line 1" not in cluster.path.read_text(), "the log of the failed task, without secrets"
    assert page.text.count("The log was not collected.") == 3 and not cluster.stub.effects


def test_the_same_report_is_no_change_and_check_mode_predicts_one(cluster):
    predicted = cluster.run(check_mode=True)
    assert predicted["changed"] and not cluster.path.exists()
    cluster.run()
    assert not cluster.run()["changed"] and not cluster.run(check_mode=True)["changed"]
    del cluster.stub.objects["pods", "default", "bad"]
    before = cluster.path.read_bytes()
    assert cluster.run(check_mode=True)["changed"] and cluster.path.read_bytes() == before
    assert cluster.run()["changed"] and cluster.run()["summary"]["total"] == 4


def test_a_copy_of_a_pod_is_not_another_attempt_of_its_task(cluster):
    def count(name):
        return [text for text, _tag in cluster.page().texts].count(name)

    cluster.run()
    before = count("bad")
    copy = task("bad", RUNNING, pod="debugger")  # as of `kubectl debug --copy-to --keep-labels`
    cluster.stub.objects["pods", "default", "debugger"] = copy
    cluster.run()
    assert count("debugger") > 0 and count("bad") == before


def test_selectors_and_namespaces_select(cluster):
    assert cluster.run(label_selectors=["podwright.io/task=good"])["summary"] == {"succeeded": 1, "total": 1}
    assert cluster.run(namespaces=["*"])["summary"]["total"] == 5
    missing = cluster.run(namespaces=["default", "missing"])
    assert missing["summary"]["total"] == 5 and "Namespace 'missing' not found" in missing["warnings"][0]


@pytest.mark.parametrize("plural", ["jobs", "configmaps", "events", "resourcequotas", "horizontalpodautoscalers"])
def test_what_may_not_be_listed_is_missing_with_a_note(plural, cluster, monkeypatch):
    answer = cluster.stub.answer
    monkeypatch.setattr(cluster.stub, "answer", lambda call: DENIAL if call.plural == plural else answer(call))
    assert not cluster.run()["failed"]
    notes = [text for text, around in cluster.page().texts if around == "li" and ("missing" in text or "could not be listed" in text)]
    assert len(notes) == 1 and plural[:3] in notes[0].lower(), notes


@pytest.mark.parametrize("plural", ["events", "resourcequotas", "horizontalpodautoscalers"])
def test_a_kind_that_the_server_does_not_have_is_missing_with_a_note(plural, cluster, monkeypatch):
    answer, missing = cluster.stub.answer, failure(404, "NotFound", "the server could not find the requested resource")
    monkeypatch.setattr(cluster.stub, "answer", lambda call: missing if call.plural == plural else answer(call))
    done = cluster.run()
    assert not done["failed"] and done["summary"]["total"] == 5, done
    notes = [text for text, around in cluster.page().texts if around == "li" and ("missing" in text or "could not be listed" in text)]
    assert len(notes) == 1 and plural[:3] in notes[0].lower(), notes


def test_logs_that_may_not_be_read_are_missing_with_a_note(cluster, monkeypatch):
    answer = cluster.stub.answer
    monkeypatch.setattr(cluster.stub, "answer", lambda call: DENIAL if call.group == "log" else answer(call))
    assert not cluster.run()["failed"]
    [note] = [text for text, around in cluster.page().texts if around == "li" and "missing" in text]
    assert note.startswith("The logs of 1 failed task are missing: ") and "cannot list resource" in note, note


def test_an_event_without_values_is_shown(cluster):
    fields = {"involvedObject": {"kind": "Pod", "name": "bad", "uid": "uid-Pod-bad"}, "type": None, "reason": None, "message": None, "count": "7"}
    cluster.stub.objects["events", "default", "e"] = live("v1", "Event", "e", **fields)
    assert not cluster.run()["failed"] and "×7" in cluster.page().text


def test_pods_must_be_listed(cluster, monkeypatch):
    answer = cluster.stub.answer
    monkeypatch.setattr(cluster.stub, "answer", lambda call: DENIAL if call.plural == "pods" else answer(call))
    assert cluster.run()["reason"] == "Forbidden" and not cluster.path.exists()


def test_no_output_is_in_the_report_of_a_task_with_no_log(cluster):
    condition = {"type": "ScalingActive", "status": "False", "message": "what the autoscaler says"}
    scaler = live("autoscaling/v2", "HorizontalPodAutoscaler", "stuck", spec={"maxReplicas": 2}, status={"conditions": [condition]})
    event = live("v1", "Event", "of-it", involvedObject={"uid": scaler["metadata"]["uid"]}, type="Warning", reason="Refused", message="what its event says")
    cluster.stub.objects |= {("horizontalpodautoscalers", "default", "stuck"): scaler, ("events", "default", "of-it"): event}
    cluster.run()
    assert "what the autoscaler says" in cluster.page().text and "what its event says" in cluster.page().text
    cluster.run(no_log=True)
    text = cluster.page().text
    assert "what the autoscaler says" not in text and "what its event says" not in text and "stuck" in text
    assert "line 0" not in text and "what the record says" not in text and "BackOff" not in text and "bad" in text


def test_logs_can_be_left_out(cluster):
    cluster.run(log_tail=0)
    assert "line 0" not in cluster.page().text


def test_results_of_other_modules_are_shown_but_not_repeated_in_the_result(cluster):
    garbage = {"deleted": [{"kind": "Pod", "namespace": "n", "name": "old", "reason": "it expired"}], "kept": [], "reclaimed": {"cpu": 1}}
    drift = [{"plan": [{"action": "patch", "kind": "Service", "name": "web", "patch": [{"op": "replace", "path": "/spec/x", "value": "long-value-of-it"}]}]}]
    record = {"action": "none", "kind": "ConfigMap", "name": "podwright-set-web", "patch": []}
    done = cluster.run(garbage=garbage, drift=[*drift, {"plan": [record, record | {"name": "settings"}]}])
    text = cluster.page().text
    assert "1 of 2 objects" in text, "the record of a set is not an object"
    assert "it expired" in text and 'replace /spec/x "long-value-of-it"' in text and "it expired" not in str(done)


def test_garbage_that_must_not_be_listed_is_missing_with_a_note(cluster):
    """The purpose reading does not permit it. An empty result would say that there is none."""
    done = cluster.run(garbage={"deleted": [], "kept": [], "reason": "Forbidden", "msg": "Could not list NetworkPolicies"})
    assert not done["failed"]
    [note] = [text for text, around in cluster.page().texts if around == "li" and "missing" in text]
    assert note == "The objects that garbage collection would delete are missing: Could not list NetworkPolicies"
    assert "Garbage collection" not in cluster.page().text


def test_a_namespace_that_is_named_twice_is_reported_once(cluster):
    assert cluster.run(namespaces=["default", "default"])["summary"] == cluster.run(namespaces=["default"])["summary"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dest": "/nonexistent/x.html"}, "dest: must be a file in an existing directory"),
        ({"namespaces": []}, "namespaces: must not be empty."),
        ({"namespaces": ["*", "a"]}, "namespaces: must be ['*'] or names of namespaces, got both."),
        ({"namespaces": ["a", ""]}, "namespaces[1]: must be the name of a namespace, got ''."),
        ({"namespaces": ["a/b"]}, "namespaces[0]: must be the name of a namespace, got 'a/b'."),
        ({"garbage": {"changed": False}}, "garbage: must be the result of pod_gc."),
        ({"garbage": {"deleted": ["x"], "kept": []}}, "garbage: must be the result of pod_gc."),
        ({"drift": [{"plan": []}, {"changed": True}]}, "drift[1]: must be a result with a plan."),
        ({"log_tail": -1}, "log_tail: must be 0 or greater, got -1."),
        ({"label_selectors": [" "]}, "label_selectors[0]: must not be empty, which would select every object."),
    ],
)
def test_invalid_options_are_refused(options, message, cluster):
    done = cluster.run(**options)
    assert done["failed"] and done["msg"].startswith(message), done["msg"]
    assert not os.path.exists(cluster.path)


METRIC = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
NOW = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 92}}}
EXTERNAL = {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "30"}}}


def test_metrics_of_autoscalers_are_shown_with_their_targets():
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 9, "metrics": [METRIC, EXTERNAL]}
    conditions = [{"type": "AbleToScale", "status": "True"}, {"type": "ScalingActive", "status": "False", "message": "no metrics"}]
    status = {"currentReplicas": 3, "desiredReplicas": 5, "currentMetrics": [NOW, {}], "conditions": conditions}
    found = read_autoscaler({"metadata": {"name": "web", "namespace": "n", "uid": "u"}, "spec": spec, "status": status}, {})
    assert found["metrics"] == ["cpu: 92 % (target 70 %)", "queue: unknown (target 30)"]
    assert (found["current"], found["desired"], found["minimum"], found["maximum"], found["problem"]) == (3, 5, 2, 9, "no metrics")


def test_metrics_of_one_name_have_values_of_their_own():
    def metric(container, **amount):
        return {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": container, **amount}}

    wanted = [metric("a", target={"averageUtilization": 50}), metric("b", target={"averageUtilization": 90})]
    observed = [metric("b", current={"averageUtilization": 95}), metric("a", current={"averageUtilization": 10})]
    found = read_autoscaler({"metadata": {"name": "web"}, "spec": {"metrics": wanted}, "status": {"currentMetrics": observed}}, {})
    assert found["metrics"] == ["cpu: 10 % (target 50 %)", "cpu: 95 % (target 90 %)"]


@pytest.mark.parametrize(
    ("used", "hard", "share"), [("3", "4", 0.75), ("500m", "2", 0.25), ("1Gi", "512Mi", 2.0), ("0", "0", 1.0), ("x", "1", None), ("1", "x", None)]
)
def test_the_share_of_a_quota_is_that_of_quantities(used, hard, share):
    item = {"metadata": {"name": "q", "namespace": "n"}, "status": {"hard": {"r": hard}, "used": {"r": used}}}
    assert read_quota(item)["limits"] == [{"resource": "r", "used": used, "hard": hard, "share": share}]
