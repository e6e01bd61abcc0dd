# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Single logs of simulated nodes: time zones, moments with fractions of a second, and containers that have not restarted."""

from __future__ import annotations

import random
import re

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_logs

from .stub_server import Response, StubServer
from .test_log_model import START, UNFINISHED, Container, LogNodes, Run, perform, stamp


def nodes_with(*runs, zone=0, names=("task",)):
    """Nodes with one pod whose container `task` has these runs, each a list of (seconds, line); the last one has terminated. Others have one run."""
    containers = [Container(random.Random(0), name, "Never", zone) for name in names]
    for container in containers:
        for number, lines in enumerate(runs if container.name == "task" else runs[:1]):
            run = Run(number)
            run.lines, run.code = [(START + second, line) for second, line in lines], 0
            container.runs.append(run)
    return LogNodes(random.Random(0), {"web-0": containers}, 0, False)


@pytest.mark.parametrize("since", ["yesterday", "2026-11-28", "2026-11-28 12:00:00Z", "2026-11-28T12:00:00", "2026-11-28T12:00Z"])
def test_since_time_must_be_a_time_with_its_zone(since):
    _result, error, _console = perform(nodes_with([(1, b"early")]), {"name": "web-0", "since_time": since})
    assert error.message == f"since_time: must be a time with its zone, such as 2026-01-31T12:00:00Z, got '{since}'."


def test_all_containers_and_one_of_them_exclude_each_other():
    _result, error, _console = perform(nodes_with([(1, b"early")]), {"name": "web-0", "container": "task", "all_containers": True})
    assert error.message == "all_containers: must not be true with container."


def test_a_pod_that_is_not_scheduled_has_no_log():
    _result, error, _console = perform(nodes_with(), {"name": "web-0"})
    assert error.message == "Container 'task' of pod 'web-0' has not started and has no log." and "follow" in error.hint


@pytest.mark.parametrize("last", [b"whole", UNFINISHED])
@pytest.mark.parametrize("timestamps", [True, False])
def test_a_log_is_the_same_however_it_is_read(last, timestamps):
    """Its last line may lack a line feed."""
    runs = [[(1, b"a"), (2, last)], [(3, b"b"), (4, last)]]
    ways = [{}, {"since_time": "2026-01-01T00:00:00.5Z"}, {"follow": True}]
    logs = [perform(nodes_with(runs[1]), {"name": "web-0", "timestamps": timestamps} | way)[0]["log"] for way in ways]
    assert logs == logs[:1] * 3 and logs[0].endswith("\n") == (last != UNFINISHED) and logs[0].count("\n") == 1 + (last != UNFINISHED)


def test_a_line_follows_the_unfinished_last_line_of_the_run_before():
    nodes = nodes_with([(1, b"a"), (2, UNFINISHED)])
    (container,) = nodes.pods["web-0"]
    container.policy, container.last_runs, container.runs[0].code = "OnFailure", 2, 1
    nodes.objects["Pod", "n", "web-0"]["spec"]["restartPolicy"] = "OnFailure"
    nodes.tick = lambda: None
    nodes.update("web-0")

    def restart(_seconds):
        nodes.clock.time += 0.5
        if len(container.runs) == 1 and nodes.clock.now() > START + 5:
            container.runs.append(Run(1))
            container.runs[1].lines, container.runs[1].code = [(START + 6, b"b")], 0
        nodes.update("web-0")

    nodes.wait = nodes.streams.cancelled.wait = restart
    result, error, _console = perform(nodes, {"name": "web-0", "follow": True})
    assert error is None and result["log"] == f"a\n{UNFINISHED.decode()}\nb\n" and result["gaps"] == []


INIT_FAILED = {
    "phase": "Failed",
    "initContainerStatuses": [{"name": "first", "state": {"terminated": {"exitCode": 1}}}],
    "containerStatuses": [{"name": "task", "state": {"waiting": {"reason": "PodInitializing"}}}],
}
NO_IMAGE = {"phase": "Pending", "containerStatuses": [{"name": "task", "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "no image"}}}]}


@pytest.mark.parametrize(
    ("status", "problem", "is_final"),
    [
        (INIT_FAILED, "the pod has terminated: the init container 'first' failed with exit code 1. Create the pod again.", True),
        (None, "the pod was deleted before the container started. Create the pod again.", True),
        (NO_IMAGE, "the container does not run: ErrImageNeverPull: no image. Set image_pull_policy to IfNotPresent, or load the image onto the node.", False),
        ({"phase": "Pending"}, "the container has not started. Find the cause with pod_info: events: true.", False),
    ],
)
def test_a_followed_log_of_a_container_that_never_started_is_explained(status, problem, is_final):
    """As without follow, it is an error if nothing more can come, and a warning if the timeout is reached before."""
    nodes = nodes_with()
    nodes.objects["Pod", "n", "web-0"]["status"] = status or {"phase": "Pending"}
    nodes.tick = lambda: nodes.objects.pop(("Pod", "n", "web-0"), None) if status is None else None
    result, error, console = perform(nodes, {"name": "web-0", "follow": True, "timeout": 5.0})
    text = f"Container 'task' of pod 'web-0' has no log: {problem}"
    assert (str(error) if error else None, console.warnings) == ((text, []) if is_final else (None, [text]))
    assert result["log"] == "" and (error is None or error.reason == "NotStarted")


def test_previous_logs_require_that_one_container_has_run_before():
    started, waiting = nodes_with([(1, b"only")]).pods["web-0"], nodes_with().pods["web-0"]
    nodes = LogNodes(random.Random(0), {"web-0": started, "web-1": waiting}, 0, False)
    _result, error, _console = perform(nodes, {"label_selectors": ["app=web"], "previous": True})
    assert error is not None and "previous terminated container" in error.message and "leave out previous" in error.hint


def job_of(cron_job, name, created, uid="cron"):
    """A Job of a CronJob."""
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": cron_job, "uid": uid, "controller": True}
    metadata = {"name": name, "namespace": "n", "uid": name, "creationTimestamp": created, "ownerReferences": [reference]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"selector": {"matchLabels": {"controller-uid": name}}}}


@pytest.mark.parametrize(("kind", "api_version"), [("CronJob", "v1"), ("cj", "v1"), ("cronjobs", "batch/v1")])
def test_the_log_of_a_cron_job_is_that_of_its_newest_job(kind, api_version):
    nodes = nodes_with([(1, b"run")])
    nodes.objects["CronJob", "n", "nightly"] = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "n", "uid": "cron"}}
    params = {"name": "nightly", "kind": kind, "api_version": api_version}
    _result, error, _console = perform(nodes, params)
    assert error.message == "CronJob 'nightly' in namespace 'n' has no Job." and "history limits" in error.hint
    jobs = [job_of("nightly", "nightly-2", "2026-01-01T00:02:00Z"), job_of("nightly", "nightly-9", "2026-01-01T00:01:00Z")]
    jobs += [job_of("nightly", "of-an-earlier-one", "2026-01-01T00:03:00Z", "deleted"), job_of("weekly", "weekly-1", "2026-01-01T00:04:00Z", "weekly")]
    nodes.objects.update({("Job", "n", job["metadata"]["name"]): job for job in jobs})
    _result, error, _console = perform(nodes, params)
    assert error.message == "Job 'nightly-2' in namespace 'n' has no pod." and "not created one yet" in error.hint
    nodes.objects["Pod", "n", "web-0"]["metadata"]["labels"] = {"controller-uid": "nightly-2"}
    result, error, _console = perform(nodes, params)
    assert error is None and result["log"] == "run\n"


def finished(name):
    return {"status": {"conditions": [{"type": name, "status": "True"}]}}


@pytest.mark.parametrize(
    ("api_version", "kind", "fields", "hint"),
    [
        ("batch/v1", "Job", {"spec": {"suspend": True}}, "It is suspended."),
        ("batch/v1", "Job", finished("Complete"), "It has finished, and its pods were deleted."),
        ("batch/v1", "Job", finished("Failed"), "It has finished, and its pods were deleted."),
        ("apps/v1", "Deployment", {"spec": {"replicas": 0}}, "Its number of replicas is 0."),
        ("apps/v1", "StatefulSet", {"spec": {"replicas": 0}}, "Its number of replicas is 0."),
        ("v1", "Service", {}, "It selects the pods of other objects, and none of them has its labels: check its selector."),
    ],
)
def test_the_first_pod_of_an_object_that_creates_none_is_not_awaited(api_version, kind, fields, hint):
    nodes = nodes_with([(1, b"run")])
    late = job_of("nightly", "late", "2026-01-01T00:02:00Z")
    nodes.objects[kind, "n", "late"] = late | fields | {"kind": kind, "apiVersion": api_version, "spec": late["spec"] | fields.get("spec", {})}
    begun = nodes.clock.monotonic()
    _result, error, _console = perform(nodes, {"name": "late", "kind": kind, "follow": True})
    assert str(error) == f"{kind} 'late' in namespace 'n' has no pod. {hint}" and nodes.clock.monotonic() == begun


def test_the_wait_for_the_first_pod_is_part_of_the_timeout(monkeypatch):
    nodes = nodes_with([(1, b"run")])
    nodes.objects["Job", "n", "soon"] = job_of("nightly", "soon", "2026-01-01T00:02:00Z")
    begun, sleep, deadlines = nodes.clock.monotonic(), nodes.clock.sleep, []

    def create(pause):
        sleep(pause)
        nodes.objects["Pod", "n", "web-0"]["metadata"]["labels"] = {"controller-uid": "soon"}

    monkeypatch.setattr(nodes.clock, "sleep", create)
    monkeypatch.setattr(pod_logs, "_follow", lambda invocation, client, log, deadline, is_one_of_many: deadlines.append(deadline))
    perform(nodes, {"name": "soon", "kind": "Job", "follow": True, "timeout": 3.0})
    assert deadlines == [begun + 3] and nodes.clock.monotonic() > begun


def test_the_first_pod_is_not_awaited_longer_than_the_timeout():
    nodes = nodes_with([(1, b"run")])
    nodes.objects["Job", "n", "soon"] = job_of("nightly", "soon", "2026-01-01T00:02:00Z")
    begun = nodes.clock.monotonic()
    _result, error, _console = perform(nodes, {"name": "soon", "kind": "Job", "follow": True, "timeout": 0.2})
    assert "has no pod" in error.message and nodes.clock.monotonic() == pytest.approx(begun + 0.2)


@pytest.mark.parametrize(("seconds", "params", "is_found"), [(5, {"follow": True}, True), (5, {"follow": True, "timeout": 3.0}, False), (5, {}, False)])
def test_the_first_pod_of_a_job_is_awaited_if_its_log_is_followed(seconds, params, is_found, monkeypatch):
    nodes = nodes_with([(1, b"run")])
    nodes.objects["Job", "n", "soon"] = job_of("nightly", "soon", "2026-01-01T00:02:00Z")
    begun, sleep = nodes.clock.monotonic(), nodes.clock.sleep

    def pass_time(pause):
        sleep(pause)
        if nodes.clock.monotonic() - begun >= seconds:
            nodes.objects["Pod", "n", "web-0"]["metadata"]["labels"] = {"controller-uid": "soon"}

    monkeypatch.setattr(nodes.clock, "sleep", pass_time)
    result, error, _console = perform(nodes, {"name": "soon", "kind": "Job"} | params)
    assert result["log"] == "run\n" if is_found else "has no pod" in error.message


@pytest.mark.parametrize("zone", [0, 8 * 3600, -5 * 3600])
def test_a_followed_log_resumes_in_the_time_zone_of_its_node(zone):
    """https://github.com/fluent/fluentd-kubernetes-daemonset/issues/1494 shows such a log."""
    nodes = nodes_with([(second, b"%d" % second) for second in range(6)], zone=zone)
    broken = iter([True])
    nodes.is_faulty = lambda: next(broken, False)
    nodes.fail = lambda: None
    nodes.rng.seed(3)
    result, error, _console = perform(nodes, {"name": "web-0", "follow": True})
    assert error is None and result["log_lines"] == [*"012345"] and len(nodes.trace) == 3, nodes.trace
    assert re.search("'sinceTime': '(2025-12-31T23:59:59|2026-01-01T00:00:0.)Z'", nodes.trace[1]) and result["gaps"] == []


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("zone", [0, 3600])
def test_since_time_includes_no_earlier_line_of_the_same_second(follow, timestamps, zone):
    """The API server ignores fractions: https://github.com/kubernetes/kubernetes/issues/77856."""
    nodes = nodes_with([(1.25, b"early"), (1.5, b""), (1.75, b"late")], zone=zone)
    params = {"name": "web-0", "since_time": stamp(START + 1.5, 7200), "follow": follow, "timestamps": timestamps}
    result, error, _console = perform(nodes, params)
    prefixes = [f"{stamp(START + second, zone)} " if timestamps else "" for second in (1.5, 1.75)]
    assert error is None and result["log"] == f"{prefixes[0]}\n{prefixes[1]}late\n"


@pytest.mark.parametrize("since", [START + 9.5, START + 10])
def test_there_may_be_no_line_since_a_moment(since):
    result, error, _console = perform(nodes_with([(1, b"early")]), {"name": "web-0", "since_time": stamp(since, 0)})
    assert error is None and result["log"] == ""


def test_previous_logs_are_read_of_the_containers_that_have_restarted():
    """https://github.com/kubernetes/kubernetes/issues/97530."""
    params = {"name": "web-0", "all_containers": True, "previous": True}
    result, error, console = perform(nodes_with([(1, b"first")], [(2, b"second")], names=("proxy", "task")), params)
    assert error is None and result["logs"] == {"web-0": {"proxy": "", "task": "first\n"}}
    missing = 'previous terminated container "proxy" in pod "web-0" not found'
    assert console.warnings == [f"The log of container 'proxy' of pod 'web-0' is missing: {missing}"]
    _result, error, console = perform(nodes_with([(1, b"first")], names=("proxy", "task")), params)
    assert error.status == 400 and "previous terminated container" in str(error) and not console.warnings


UNAVAILABLE = b"unable to retrieve container logs for containerd://1a917d082b47b63ac416fa66967e8d7d"


def test_what_the_kubelet_writes_instead_of_a_log_is_not_its_content():
    nodes = nodes_with([(1, UNAVAILABLE)])
    result, error, _console = perform(nodes, {"name": "web-0"})
    assert error.reason == "NoLog" and "Container 'task' of pod 'web-0' has no log any more." in str(error) and result["log"] == ""
    result, error, console = perform(nodes, {"name": "web-0", "follow": True})
    assert error is None and result["log"] == "" and len(result["gaps"]) == 1 and "may be missing" in console.warnings[0]
    result, error, _console = perform(nodes_with([(1, UNAVAILABLE + b" is what it says")]), {"name": "web-0"})
    assert error is None and len(result["log_lines"]) == 1
    with StubServer(lambda handler: Response(200, UNAVAILABLE)) as running, Client(Configuration({"host": running.url})) as client:
        with pytest.raises(PodwrightError, match=r"Container 'task' of pod 'web-0' has no log any more\."):
            client.log("n", "web-0", "task")


@pytest.mark.parametrize(
    ("lines", "kept"), [([b"first", b"x" * 30], "x" * 9 + "\n"), ([b"x" * 30, b"last"], "last\n"), ([b"x" * 30, b"123456789"], "123456789\n")]
)
def test_max_bytes_keeps_the_end_of_a_last_line_that_is_longer(lines, kept):
    result, error, _console = perform(nodes_with(list(enumerate(lines))), {"name": "web-0", "max_bytes": 10})
    assert error is None and (result["log"], result["truncated"]) == (kept, True)


def three_pods():
    """Nodes with three pods, the second of which has a log that cannot be read."""
    nodes = LogNodes(random.Random(0), {name: nodes_with([(1, name.encode())]).pods["web-0"] for name in ("web-a", "web-b", "web-c")}, 0, False)
    stream = nodes.stream

    def refuse(request):
        if request.name == "web-b":
            raise PodwrightError("no route to host", status=500, reason="InternalError")
        return stream(request)

    nodes.stream = refuse
    return nodes


@pytest.mark.parametrize("follow", [False, True])
def test_the_logs_that_can_be_read_are_written_although_another_cannot(follow, tmp_path):
    result, error, _console = perform(three_pods(), {"label_selectors": ["app=web"], "follow": follow, "dest": f"{tmp_path}/"})
    assert error.message == "1 of 3 logs could not be read or written; the result contains the others.\nweb-b/task: no route to host"
    assert (error.status, error.reason) == (500, "InternalError") and result["changed"]
    assert result["logs"] == {"web-a": {"task": "web-a\n"}, "web-b": {"task": ""}, "web-c": {"task": "web-c\n"}}
    assert {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.log")} == {"web-a/task.log": "web-a\n", "web-c/task.log": "web-c\n"}


def test_the_logs_that_can_be_written_are_although_another_cannot(tmp_path):
    """A directory appeared in the place of a file while the logs were read."""
    nodes = three_pods()
    nodes.stream = lambda request: (tmp_path / "web-b/task.log").mkdir(parents=True, exist_ok=True) or LogNodes.stream(nodes, request)
    result, error, _console = perform(nodes, {"label_selectors": ["app=web"], "dest": f"{tmp_path}/"})
    assert "web-b/task: Could not write" in error.message and result["changed"]
    assert sorted(path.parent.name for path in tmp_path.rglob("*.log") if path.is_file()) == ["web-a", "web-c"]


def test_a_followed_log_that_cannot_be_read_is_shown_while_the_others_are_followed(monkeypatch):
    lines = []
    monkeypatch.setattr(Console, "line", lambda _self, name, text: lines.append((name, text)))
    perform(three_pods(), {"label_selectors": ["app=web"], "follow": True})
    assert lines == [("web-a", "web-a"), ("web-b", "no route to host"), ("web-c", "web-c")]


def test_logs_that_are_not_followed_yet_are_mentioned(monkeypatch):
    monkeypatch.setattr(pod_logs, "THREADS", 2)
    _result, error, console = perform(LogNodes(random.Random(0), three_pods().pods, 0, False), {"label_selectors": ["app=web"], "follow": True})
    assert error is None
    assert console.warnings == ["3 logs are selected, and 2 are followed at a time: another one follows once one of them has been read."]


def test_an_empty_list_of_selectors_does_not_exclude_a_name():
    result, error, _console = perform(nodes_with([(1, b"only")]), {"name": "web-0", "label_selectors": []})
    assert error is None and result["log"] == "only\n" and "mutually_exclusive" not in pod_logs.OPERATION.rules
    _result, error, _console = perform(nodes_with([(1, b"only")]), {"name": "web-0", "label_selectors": ["app=web"]})
    assert error.message == "name: must not be set with label_selectors."
