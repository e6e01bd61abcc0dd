# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a report says of a run, and its file."""

from __future__ import annotations

import os
import stat
from types import SimpleNamespace

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import times
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.reports import file
from ansible_collections.podwright.core.plugins.module_utils._engine.reports.attempts import read_attempts, read_phases
from ansible_collections.podwright.core.plugins.module_utils._engine.reports.batch import first_part

from ..support.hostile_server import HostileServer
from ..support.reports import Page, entry, report
from ..support.stub_cluster import StubCluster, live
from .test_task_order import batch, session

EPOCH = 1_767_225_600  # of 2026-01-01T00:00:00Z


def at(seconds):
    return f"2026-01-01T00:00:{seconds:02d}Z"


def pod_at(created=0, scheduled=None, init=None, started=None, finished=None, phase="Pending", last=None, **metadata):
    """A pod with what its status says at those seconds."""
    own = {"startedAt": at(started)} if started is not None else {}
    state = {"terminated": own | {"finishedAt": at(finished), "exitCode": 0}} if finished is not None and own else {"running": own} if own else {"waiting": {}}
    status = {
        "phase": phase,
        "containerStatuses": [{"name": "task", "state": state} | ({"lastState": {"terminated": {"startedAt": at(last)}}} if last else {})],
    }
    status["conditions"] = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": at(scheduled)}] if scheduled is not None else []
    if init is not None:
        status["initContainerStatuses"] = [{"name": "first", "state": {"terminated": {"startedAt": at(init), "finishedAt": at(init + 1), "exitCode": 0}}}]
    metadata = {"name": "t", "namespace": "n", "uid": "u", "creationTimestamp": at(created)} | metadata
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "task"}], "restartPolicy": "Never"}, "status": status}


@pytest.mark.parametrize(
    ("times", "is_finished", "phases"),
    [
        ({}, False, [("waiting", 0, None)]),
        ({"scheduled": 3}, False, [("waiting", 0, 3), ("pulling", 3, None)]),
        ({"scheduled": 3, "init": 5}, False, [("waiting", 0, 3), ("pulling", 3, 5), ("initializing", 5, None)]),
        ({"scheduled": 3, "started": 5}, False, [("waiting", 0, 3), ("pulling", 3, 5), ("running", 5, None)]),
        ({"scheduled": 3, "started": 5, "finished": 9}, True, [("waiting", 0, 3), ("pulling", 3, 5), ("running", 5, 9)]),
        ({"created": 4, "scheduled": 3, "started": 3, "finished": 2}, True, [("waiting", 4, 4), ("pulling", 4, 4), ("running", 4, 4)]),
        ({"scheduled": 3, "started": 9, "last": 5, "finished": 12}, True, [("waiting", 0, 3), ("pulling", 3, 5), ("running", 5, 12)]),
        ({"scheduled": 3}, True, [("waiting", 0, 3), ("pulling", 3, 3)]),
        ({}, True, [("waiting", 0, None)]),
    ],
)
def test_phases_follow_each_other_whatever_the_clocks_of_nodes_say(times, is_finished, phases):
    found = read_phases(pod_at(**times), is_finished)
    assert [(phase["name"], phase["start"] - EPOCH, phase["end"] and phase["end"] - EPOCH) for phase in found] == phases


def test_a_container_that_could_not_be_started_has_no_start():
    """The kubelet reports the epoch."""
    pod = pod_at(scheduled=3, started=5, finished=9)
    pod["status"]["containerStatuses"][0]["state"]["terminated"]["startedAt"] = "1970-01-01T00:00:00Z"
    found = [(phase["name"], phase["start"] - EPOCH, phase["end"] - EPOCH) for phase in read_phases(pod, is_finished=True)]
    assert found == [("waiting", 0, 3), ("pulling", 3, 9)] and times(pod) == (None, at(9))


def test_attempts_are_in_the_order_of_their_creation_with_their_own_events():
    later = pod_at(5, uid="b", labels={"podwright.io/attempt": "2"})
    indexed = pod_at(7, uid="c", annotations={"batch.kubernetes.io/job-completion-index": "4"})
    event = {"type": "Normal", "reason": "Pulled", "message": "m", "count": 1, "last_seen": at(1)}
    found = read_attempts([indexed, later, pod_at(0, uid="a")], {"b": [event] * 30})
    assert [attempt["title"] for attempt in found] == ["attempt 1", "attempt 2", "index 4"]
    assert [len(attempt["events"]) for attempt in found] == [0, 20, 0]


def test_the_pods_of_a_job_are_numbered_in_the_order_of_their_creation():
    """They have the labels of its template."""
    given = {"labels": {"podwright.io/attempt": "1"}, "ownerReferences": [{"kind": "Job", "name": "t", "uid": "j", "controller": True}]}
    pods = [pod_at(second, uid=str(second), **given) for second in (5, 0, 7)]
    pods += [
        pod_at(second, uid=str(second), annotations={"batch.kubernetes.io/job-completion-index": index}, **given)
        for second, index in ((8, "0"), (9, "1"), (10, "0"))
    ]
    titles = [attempt["title"] for attempt in read_attempts(pods, {})]
    assert titles == ["attempt 1", "attempt 2", "attempt 3", "index 0", "index 1", "index 0, attempt 2"]


def test_the_message_of_a_task_is_shown_without_what_the_report_shows_elsewhere():
    message = "The task 't' failed: exit code 1\nTermination message: why\nEvents:\n  BackOff: x\nLog:\n  last line"
    assert first_part(message) == "The task 't' failed: exit code 1\nTermination message: why"
    assert first_part("one\nLog of container 'first':\n  x") == "one" and first_part("Log in first") == "Log in first"


# -- the file -------------------------------------------------------------------------------------------------


def test_a_new_file_is_private_and_another_one_keeps_its_mode(tmp_path):
    path = tmp_path / "report.html"
    source = report(entry())
    assert file.differs(str(path), source)
    file.write(str(path), source)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and os.listdir(tmp_path) == ["report.html"]
    assert not file.differs(str(path), source | {"generated": 1.0}) and file.differs(str(path), report())
    path.chmod(0o644)
    file.write(str(path), report())
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.write_bytes(b"\xff" * 9000)
    assert file.differs(str(path), source)


# -- runs in a model of a cluster -----------------------------------------------------------------------------


def model(exits):
    made = session(exits)
    made.cluster.configuration, made.cluster.now = SimpleNamespace(server="https://model"), made.cluster.clock.now
    return made


def test_each_attempt_of_a_task_is_in_the_report(tmp_path):
    made = model({"flaky": [3, 0], "bad": 4})
    path = tmp_path / "report.html"
    fields, error = made.perform(batch("flaky", {"name": "bad", "retries": 0}, retries=1, report=str(path)))
    assert error and fields["report"] == str(path)
    page = Page(path.read_text())
    assert ("1 of 2 tasks failed", "h1") in page.texts and "namespace 'n' failed" in page.text
    assert [text.strip() for text, around in page.texts if around == "h3" and text.startswith("Attempt")] == ["Attempt 1", "Attempt 2"]
    assert fields["changed"]
    again, _error = made.perform(batch("flaky", retries=1, report=str(path)))
    assert not again["changed"], "the file does not count as a change"


def test_a_follower_that_did_not_start_is_in_the_report(tmp_path):
    path = tmp_path / "report.html"
    model({"bad": 3}).perform(batch("bad", {"name": "next", "needs": ["bad"]}, retries=0, report=str(path)))
    assert "It needs bad." in Page(path.read_text()).text


# -- runs against a server ------------------------------------------------------------------------------------

EVENTS = [
    live("v1", "Event", "t.1", involvedObject={"kind": "Pod", "name": "t", "uid": "uid-10"}, type="Normal", reason="Pulled", message="it has secret-of-env"),
    live("v1", "Event", "t.2", involvedObject={"kind": "Pod", "name": "t", "uid": "another"}, type="Normal", reason="Foreign", message="of another pod"),
]


@pytest.fixture
def cluster(monkeypatch):
    """A StubCluster behind a server, and `run`, which runs a task in it."""
    monkeypatch.setattr(Clock, "sleep", staticmethod(lambda seconds: None))
    stub = StubCluster([live("v1", "Namespace", "default", status={"phase": "Active"}), *EVENTS])

    def run(url, check_mode=False, no_log=False, **options):
        params = {"namespace": "default", "host": url, "name": "t", "image": "busybox", "command": ["true"], "state": "completed", "wait_timeout": 60} | options
        checked = ArgumentSpecValidator(task_pod.ARGUMENTS).validate(params)
        assert not checked.error_messages, checked.error_messages
        return perform(task_pod.OPERATION, checked.validated_parameters, check_mode, False, Console(), no_log, {"line 1"})

    with HostileServer(stub) as server:
        yield SimpleNamespace(stub=stub, run=lambda *arguments, **options: run(server.url, *arguments, **options))


def test_secrets_are_masked_in_the_report_as_in_the_result(cluster, tmp_path):
    path = tmp_path / "report.html"
    done = cluster.run(report=str(path), logs="collect", env={"P": "secret-of-env"})
    assert not done["failed"] and "line 1" not in done["logs"], done
    page = Page(path.read_text())
    assert "line 0" in page.text and "line 1" not in path.read_text() and "secret-of-env" not in path.read_text()
    assert "Pulled" in page.text and "of another pod" not in page.text


def test_no_output_is_in_the_report_of_a_task_with_no_log(cluster, tmp_path):
    path = tmp_path / "report.html"
    cluster.run(report=str(path), logs="collect", no_log=True)
    text = Page(path.read_text()).text
    assert "line 0" not in text and "The output is hidden because no_log is set." in text and "Pulled" not in text


def test_check_mode_writes_nothing(cluster, tmp_path):
    done = cluster.run(check_mode=True, report=str(tmp_path / "report.html"))
    assert done["changed"] and "report" not in done and not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["missing/report.html", "."])
def test_a_file_that_cannot_be_written_is_refused_before_the_first_request(name, cluster, tmp_path):
    done = cluster.run(report=str(tmp_path / name))
    assert done["failed"] and done["msg"].startswith("report: must be a file in an existing directory") and not cluster.stub.effects


def test_invalid_options_write_nothing(cluster, tmp_path):
    done = cluster.run(report=str(tmp_path / "report.html"), name="Not_A_Name")
    assert done["failed"] and not os.listdir(tmp_path)


def test_a_run_that_fails_before_its_first_task_has_a_report(cluster, tmp_path):
    path = tmp_path / "report.html"
    done = cluster.run(report=str(path), expect="sha256:" + "0" * 64)
    assert done["failed"] and ("The run failed", "h1") in Page(path.read_text()).texts and "the plan is not the reviewed one" in path.read_text()


def test_a_run_that_starts_nothing_does_not_replace_a_report(cluster, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("good")
    for given in ({"expect": "sha256:" + "0" * 64}, {"image": "evil.example/x", "image_policy": {"registries": ["docker.io"]}}):
        done = cluster.run(report=str(path), **given)
        assert done["failed"] and "report" not in done and path.read_text() == "good"
    assert cluster.run(report=str(path))["report"] == str(path) and path.read_text() != "good"


def test_a_report_that_could_not_be_written_hides_no_failure(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(file, "AtomicFile", lambda *_arguments, **_options: refuse())
    done = cluster.run(report=str(tmp_path / "report.html"))
    assert done["failed"] and done["reason"] == "WriteFailed" and done["tasks"][0]["state"] == "succeeded"
    failed = cluster.run(report=str(tmp_path / "report.html"), name="other", expect="sha256:" + "0" * 64)
    assert failed["reason"] == "PlanChanged" and failed["warnings"] == ["The report was not written: Could not write it."]
    assert "report" not in done and "report" not in failed


def refuse():
    raise PodwrightError("Could not write it.", reason="WriteFailed")
