# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A task and what belongs to it, in a cluster of this process: killed at each write, refused records, policies edited by hand."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import STRATEGIC_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import merge
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import completion, runner
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.collected import Collected
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.executor import Answer, Executor
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.file_containers import HOLDER
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_completion import TaskCompletion
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.transfers import Transfers

from ..support.outcomes import result_of
from .fake_cluster import FakeCluster, Killed, StubWatcher
from .task_specs import spec

POLICY = ("NetworkPolicy", "n", "t-network")


class TaskCluster(FakeCluster):
    """A cluster in which a task has finished as soon as its pod is created.

    Attributes:
        started: how many pods have been started.
        outcome: the exit code of the tasks, or None for tasks that keep running.
        loses_answers: whether a write of a record is carried out and its answer lost.
    """

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.started, self.outcome, self.is_dead, self.loses_answers = 0, 0, False, False

    def list(self, kind, namespace=None, label_selector=None, field_selector=None, metadata_only=False):
        return super().list(kind, namespace, None, field_selector)

    def create(self, kind, namespace, body, manager, dry_run=False):
        name = body["metadata"].get("name") or body["metadata"]["generateName"]
        if self.objects.get((kind.name, namespace, name)):
            raise PodwrightError("it exists already", status=409, reason="AlreadyExists")
        pod = copy.deepcopy(body) | {"status": self._status()}
        pod["metadata"] |= {"uid": f"uid-{self._version}", "resourceVersion": str(self._version), "creationTimestamp": f"2026-01-01T00:{self.started:02}:00Z"}
        if dry_run:
            return pod
        self._write("create", kind, namespace, name, lambda key: self._start(key, pod))
        return copy.deepcopy(pod)

    def _start(self, key, pod):
        self.started += 1
        self.objects[key] = pod

    def _status(self):
        if self.outcome is None:
            return {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "task", "state": {"running": {}}}]}
        ended = {"exitCode": self.outcome, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}
        return {"phase": "Failed" if self.outcome else "Succeeded", "containerStatuses": [{"name": "task", "state": {"terminated": ended}}]}

    def patch(self, kind, namespace, name, patch, manager, content_type=""):
        assert content_type == STRATEGIC_PATCH
        pod = self.objects[kind.name, namespace, name]
        assert patch["metadata"].pop("uid") == pod["metadata"]["uid"]
        self._write("patch", kind, namespace, name, lambda _key: pod.update(merge(pod, patch)))
        labels = pod["metadata"]["labels"]
        pod["metadata"]["labels"] = {label: value for label, value in labels.items() if value is not None}
        return copy.deepcopy(pod)

    def apply(self, kind, *arguments, **options):
        after = super().apply(kind, *arguments, **options)
        if self.loses_answers and kind.name == "ConfigMap":
            raise PodwrightError("the connection was lost", reason="ConnectionLost")
        return after

    def log(self, *arguments, **options):
        return b"done\n"

    def close(self):
        pass

    def _refuse(self, verb, kind):
        if self.is_dead:
            raise Killed
        status, message = self.refusals.get((verb, kind.name), (None, ""))
        if status:
            raise PodwrightError(message, status=status, reason="Forbidden")

    def _write(self, *arguments):
        try:
            super()._write(*arguments)
        except Killed:
            self.is_dead = True
            raise


class NoWatcher(StubWatcher):
    """Nothing changes by itself in this cluster; a killed process does not wait."""

    def next(self, timeout):
        if self._client.is_dead:
            raise Killed


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "Watcher", NoWatcher)
    monkeypatch.setattr(runner, "TICK_SECONDS", 0)
    return TaskCluster(tmp_path)


def perform(cluster, check_mode=False, console=None, **options):
    """A run of task_pod: (its result, its warnings)."""
    params = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()} | {"name": "t", "namespace": "n", "image": "i"} | options
    console = console or Console()
    return result_of(task_pod.OPERATION, Invocation(params, check_mode, False, console, cluster)), console.warnings


def test_the_manifest_of_a_pod_is_returned_once(cluster):
    cluster.outcome = None
    single, _warnings = perform(cluster)
    assert single["pod"]["metadata"]["name"] == "t" and "pod" not in single["tasks"][0]
    for full in (False, True):
        batch_result, _warnings = perform(cluster, name=None, tasks=[{"name": "t"}], full=full)
        assert "pod" not in batch_result and ("pod" in batch_result["tasks"][0]) == full


# -- records --------------------------------------------------------------------------------------------------

COMPLETED = {"state": "completed", "cleanup": "always"}


@pytest.mark.parametrize("kind", ["Pod", "Job"])
@pytest.mark.parametrize("dies_after", [False, True])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_task_runs_once_whichever_write_kills_the_run(cluster, number, dies_after, kind):
    if kind == "Job":
        cluster._status = lambda: {"conditions": [{"type": "Complete", "status": "True"}]}
    cluster.die_at, cluster.dies_after = number, dies_after
    try:
        perform(cluster, kind=kind, **COMPLETED)
    except Killed:
        cluster.is_dead, cluster.die_at = False, 0
    else:
        assert number == 4, "a run makes three writes: the pod, the record, the deletion"
    for _run in range(2):
        result, _warnings = perform(cluster, kind=kind, **COMPLETED)
    assert not result["changed"] and result["state"] == "succeeded"
    assert cluster.started == 1
    assert [key[0] for key in cluster.objects] == ["ConfigMap"]


@pytest.mark.parametrize("rerun", ["never", "on_failure"])
def test_a_task_whose_recorded_pod_is_still_being_deleted_does_not_run_again(cluster, rerun):
    options = COMPLETED | {"rerun": rerun}
    perform(cluster, **options | {"cleanup": "never", "record": True})
    own = cluster.objects["Pod", "n", "t"]
    own["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:02Z"  # its sidecar uses the grace period, or somebody's finalizer keeps it
    predicted, _warnings = perform(cluster, check_mode=True, **options)
    result, _warnings = perform(cluster, **options)
    assert not result["changed"] and not predicted["changed"] and result["state"] == "succeeded" and result["tasks"][0]["recorded"]
    assert cluster.started == 1
    delete = cluster.delete
    cluster.delete = lambda *arguments: delete(*arguments) and False
    options |= {"rerun": "on_failure", "image": "other", "cleanup": "never"}
    assert perform(cluster, check_mode=True, **options)[0]["changed"]
    changed, _warnings = perform(cluster, **options)
    assert changed["changed"] and cluster.started == 2
    assert [entry[0] for entry in cluster.writes[-2:]] == ["delete", "create"], "a new one is created only after the old one"


@pytest.mark.parametrize("data", [{}, None, {"state": "failed"}, {"rc": "x", "attempt": "-1"}], ids=str)
def test_a_record_that_was_emptied_does_not_run_a_task_again_if_rerun_is_never(cluster, data):
    perform(cluster, **COMPLETED)
    cluster.objects["ConfigMap", "n", "podwright-record-t"]["data"] = data
    with pytest.raises(PodwrightError, match="failed"):
        perform(cluster, **COMPLETED, rerun="never", retries=2)
    assert cluster.started == 1


FORBIDDEN = 'configmaps is forbidden: User "u" cannot patch resource'
QUOTA = "configmaps is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=5, limited: count/configmaps=5"


@pytest.mark.parametrize("message", [FORBIDDEN, QUOTA, None], ids=["forbidden", "quota", "lost answer"])
def test_without_a_record_the_pod_is_kept_and_the_next_run_records_it(cluster, message):
    cluster.refusals = {("patch", "ConfigMap"): (403, message)} if message else {}
    cluster.loses_answers = message is None
    for _run in range(2):
        result, warnings = perform(cluster, **COMPLETED)
        assert result["state"] == "succeeded"
        assert ("Pod", "n", "t") in cluster.objects
        assert len(warnings) == 1 and "Its Pod is kept" in warnings[0] and (message or "lost") in warnings[0]
    cluster.refusals, cluster.loses_answers = {}, False
    _result, warnings = perform(cluster, **COMPLETED)
    assert warnings == [] and [key[0] for key in cluster.objects] == ["ConfigMap"]
    assert not perform(cluster, **COMPLETED)[0]["changed"]
    assert cluster.started == 1


def test_a_task_that_keeps_no_record_is_cleaned_up(cluster):
    cluster.refusals = {("patch", "ConfigMap"): (403, FORBIDDEN)}
    _result, warnings = perform(cluster, record=False, **COMPLETED)
    assert warnings == [] and cluster.objects == {}


class HoldingCluster(TaskCluster):
    """A TaskCluster in which a container holds the files of each task until it is released; its quota allows one pod that runs."""

    def _start(self, key, pod):
        if any(item["kind"] == "Pod" and item["status"]["phase"] == "Running" for item in self.objects.values()):
            raise PodwrightError("pods is forbidden: exceeded quota: q", status=403, reason="Forbidden")
        super()._start(key, pod)
        pod["status"]["phase"] = "Running"
        pod["status"]["containerStatuses"].append({"name": HOLDER, "state": {"running": {}}})

    def release(self, task, pod):
        assert ("ConfigMap", "n", f"podwright-record-{task.name}") in self.objects, "its files are only held there"
        self.objects["Pod", "n", pod["metadata"]["name"]]["status"]["phase"] = "Succeeded"


def test_a_task_is_recorded_and_its_pod_released_before_others_of_its_batch_run(tmp_path, monkeypatch, cluster):
    cluster = HoldingCluster(tmp_path)
    monkeypatch.setattr(TaskCompletion, "_release", cluster.release)
    monkeypatch.setattr(Transfers, "collect", lambda *_arguments: Answer(collected=Collected({"r": "1"})))
    tasks = [{"name": name, "results": {"r": "/out/r"}} for name in "abc"]
    result, _warnings = perform(cluster, name=None, tasks=tasks, concurrency=1, state="completed", wait_timeout=30)
    assert [task["state"] for task in result["tasks"]] == ["succeeded"] * 3


def delete_at_once(cluster, monkeypatch):
    monkeypatch.setattr(cluster, "delete", lambda *arguments: FakeCluster.delete(cluster, *arguments) and False)


@pytest.mark.parametrize("record", [True, False])
def test_the_log_of_a_pod_that_is_deleted_right_after_it_was_read_is_returned(cluster, monkeypatch, record):
    perform(cluster, state="completed", cleanup="always", record=record, rerun="always")  # its record is older

    def delete_afterwards(*_arguments, **_options):
        cluster.objects.pop(("Pod", "n", "t"))
        return b"precious"

    monkeypatch.setattr(cluster, "log", delete_afterwards)
    result, warnings = perform(cluster, state="completed", record=record, logs="collect", rerun="always")
    assert result["logs"] == "precious" and not warnings


@pytest.mark.parametrize("cleanup", ["always", "never"])
@pytest.mark.parametrize("logs", ["collect", "none"])
def test_a_run_keeps_nothing_of_a_pod_that_has_replaced_its_own(cluster, monkeypatch, logs, cleanup):
    others, later = [], {"env": {"V": "2"}, "state": "completed", "record": True, "cleanup": cleanup}
    cluster.outcome = 0 if logs == "collect" else 1

    def overtake(*_arguments, **_options):
        if not others:
            others.append(cluster.outcome)
            cluster.outcome = 0
            perform(cluster, **later)
        return b"of the later one"

    monkeypatch.setattr(cluster, "log", overtake)
    delete_at_once(cluster, monkeypatch)
    if logs == "collect":
        result, warnings = perform(cluster, state="completed", record=True, logs=logs)
        assert result["logs"] is None and len(warnings) == 1 and "another run has replaced pod 't' in namespace 'n'" in warnings[0]
    else:
        with pytest.raises(PodwrightError) as caught:
            perform(cluster, state="completed", record=True)
        assert "of the later one" not in str(caught.value)
    assert not perform(cluster, **later)[0]["changed"] and cluster.started == 2


@pytest.mark.parametrize(("uid", "log"), [("own", "done\n"), ("later", None)])
def test_a_task_that_is_stopped_returns_its_own_log(cluster, uid, log):
    cluster.outcome = None
    perform(cluster)
    own = cluster.objects["Pod", "n", "t"]
    cluster.objects["Pod", "n", "t"] = own | {"metadata": own["metadata"] | {"uid": uid if uid == "later" else own["metadata"]["uid"]}}
    assert Executor(cluster).stop(spec(logs="collect"), own, [], 0).log == log


def test_a_batch_that_still_runs_leaves_the_record_of_a_later_run_alone(cluster, monkeypatch):
    start, others = cluster._start, []

    def overtake(key, pod):
        start(key, pod)
        if key[2] == "slow":
            others.append(perform(cluster, name="quick", env={"V": "2"}, **COMPLETED)[0]["state"])

    monkeypatch.setattr(cluster, "_start", overtake)
    delete_at_once(cluster, monkeypatch)
    perform(cluster, name=None, tasks=[{"name": "quick", "env": {"V": "1"}}, {"name": "slow"}], concurrency=1, **COMPLETED)
    assert others == ["succeeded"]
    assert not perform(cluster, name="quick", env={"V": "2"}, **COMPLETED)[0]["changed"]


def test_a_record_that_was_refused_is_written_once_all_tasks_have_finished(cluster, monkeypatch):
    start, cluster.refusals = cluster._start, {("patch", "ConfigMap"): (403, FORBIDDEN)}

    def grant(key, pod):
        start(key, pod)
        cluster.refusals = {} if key[2] == "slow" else cluster.refusals

    monkeypatch.setattr(cluster, "_start", grant)
    _result, warnings = perform(cluster, name=None, tasks=[{"name": "quick"}, {"name": "slow"}], concurrency=1, state="completed", record=True)
    assert not warnings and ("ConfigMap", "n", "podwright-record-quick") in cluster.objects


# -- policies -------------------------------------------------------------------------------------------------


def edit(policy):
    policy["spec"]["ingress"] = [{}]


def disown(policy):
    policy["metadata"]["ownerReferences"] = []


def widen(policy):
    policy["spec"]["podSelector"] = {"matchLabels": {"nothing": "matches"}}


def halve(policy):
    policy["spec"]["policyTypes"] = ["Ingress"]


def unlabel(policy):
    policy["metadata"]["labels"] = {}


@pytest.mark.parametrize("outcome", [None, 0], ids=["running", "succeeded"])
@pytest.mark.parametrize("change", [None, edit, disown, widen, halve, unlabel], ids=lambda change: change.__name__ if change else "delete")
def test_a_policy_changed_by_hand_is_shown_in_check_mode_and_restored(cluster, change, outcome):
    cluster.outcome = outcome
    options = {"network": "isolated", "state": "running" if outcome is None else "completed"}
    perform(cluster, **options)
    right = copy.deepcopy(cluster.objects[POLICY])
    assert right["metadata"]["ownerReferences"][0]["uid"] == cluster.objects["Pod", "n", "t"]["metadata"]["uid"]
    assert not perform(cluster, **options)[0]["changed"]
    if change:
        change(cluster.objects[POLICY])
    else:
        del cluster.objects[POLICY]
    writes = len(cluster.writes)
    predicted = perform(cluster, check_mode=True, **options)[0]
    assert predicted["changed"] and len(cluster.writes) == writes
    assert [(step["action"], step["kind"]) for step in predicted["plan"]] == [("patch" if change else "create", "NetworkPolicy"), ("none", "Pod")]
    assert predicted["plan"][0]["patch"]
    done = perform(cluster, **options)[0]
    assert done["changed"] and done["plan"][0]["patch"]
    restored = cluster.objects[POLICY]
    assert restored["spec"] == right["spec"]
    assert all(restored["metadata"][name] == right["metadata"][name] for name in ("labels", "ownerReferences"))
    assert not perform(cluster, **options)[0]["changed"]
    assert cluster.started == 1


def test_a_policy_that_cannot_be_restored_fails_the_task(cluster):
    cluster.outcome = None
    perform(cluster, network="isolated")
    del cluster.objects[POLICY]
    cluster.refusals = {("patch", "NetworkPolicy"): (403, "networkpolicies is forbidden")}
    with pytest.raises(PodwrightError, match=r"lacks an object that belongs to it.*networkpolicies is forbidden"):
        perform(cluster, network="isolated")


def test_policies_that_cannot_be_listed_are_reported(cluster):
    cluster.outcome = None
    cluster.refusals = {("list", "NetworkPolicy"): (403, 'networkpolicies is forbidden: User "u" cannot list resource')}
    _result, warnings = perform(cluster, network="isolated")
    assert len(warnings) == 1 and "are not restored" in warnings[0]
    assert POLICY in cluster.objects


# -- labels and annotations -----------------------------------------------------------------------------------

METADATA = {"labels": {"app": "x", "tier": "y"}, "annotations": {"note": "z"}}
EDITS = {
    "a label is removed": lambda metadata: metadata["labels"].pop("app"),
    "a label is changed": lambda metadata: metadata["labels"].update(tier="other"),
    "the set is removed": lambda metadata: metadata["labels"].pop("podwright.io/set"),
    "an annotation is removed": lambda metadata: metadata["annotations"].pop("note"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_metadata_of_a_live_pod_changed_by_hand_is_shown_in_check_mode_and_restored(cluster, edit):
    cluster.outcome = None
    options = {"set": "s"} | METADATA
    perform(cluster, **options)
    pod = cluster.objects["Pod", "n", "t"]
    pod["metadata"]["labels"]["foreign"] = pod["metadata"]["annotations"]["foreign"] = "stays"
    right = copy.deepcopy(pod["metadata"])
    assert not perform(cluster, **options)[0]["changed"]
    edit(pod["metadata"])
    predicted = perform(cluster, check_mode=True, **options)[0]
    assert [step["action"] for step in predicted["plan"]] == ["patch"] and pod["metadata"] != right
    done = perform(cluster, **options)[0]
    assert done["changed"] and done["plan"][0]["patch"] == predicted["plan"][0]["patch"] != []
    assert pod["metadata"] == right and cluster.started == 1
    assert all(done["pod"]["metadata"][part] == right[part] for part in ("labels", "annotations"))
    assert not perform(cluster, **options)[0]["changed"]


@pytest.mark.parametrize(("outcome", "is_listed"), [(None, True), (None, False), (0, False)])
def test_a_pod_that_only_its_name_identifies_is_found_and_its_labels_are_restored(cluster, monkeypatch, outcome, is_listed):
    def list_labeled(self, *arguments, **options):
        items, version = FakeCluster.list(self, *arguments, **options)
        return [item for item in items if is_listed or "podwright.io/task" in item["metadata"]["labels"]], version

    monkeypatch.setattr(TaskCluster, "list", lambda self, kind, namespace=None, *_selectors, **_more: list_labeled(self, kind, namespace))
    cluster.outcome = outcome
    options = {"state": "running" if outcome is None else "completed"} | METADATA
    perform(cluster, **options)
    pod = cluster.objects["Pod", "n", "t"]
    right = copy.deepcopy(pod["metadata"])
    del pod["metadata"]["labels"]["podwright.io/task"]
    predicted = perform(cluster, check_mode=True, **options)[0]
    assert [step["action"] for step in predicted["plan"]] == ["patch"] and pod["metadata"] != right
    done = perform(cluster, **options)[0]
    assert done["changed"] and done["plan"] == predicted["plan"] and done["plan"][0]["patch"]
    assert pod["metadata"] == right and cluster.started == 1
    assert not perform(cluster, **options)[0]["changed"]


def test_a_pod_of_the_same_name_that_is_another_is_not_changed(cluster):
    cluster.outcome = None
    perform(cluster)
    pod = cluster.objects["Pod", "n", "t"]
    for labels in ({}, {"podwright.io/hash": pod["metadata"]["labels"]["podwright.io/hash"], "podwright.io/task": "another"}):
        pod["metadata"]["labels"] = labels
        for check_mode in (True, False):
            with pytest.raises(PodwrightError, match="exists already"):
                perform(cluster, check_mode=check_mode)
        assert pod["metadata"]["labels"] == labels


def test_metadata_of_a_finished_pod_and_of_other_options_is_left_alone(cluster):
    perform(cluster, state="completed", **METADATA)
    cluster.objects["Pod", "n", "t"]["metadata"]["labels"].pop("app")
    assert not perform(cluster, state="completed", **METADATA)[0]["changed"]
    assert not perform(cluster, state="completed", rerun="never", labels={"app": "new"})[0]["changed"]


@pytest.mark.parametrize("moved", ["b", None])
@pytest.mark.parametrize(
    ("options", "stored"),
    [
        ({"state": "completed"}, "Pod"),
        ({"state": "completed", "rerun": "never", "env": {"A": "b"}}, "Pod"),
        ({"state": "running"}, "Pod"),
        (COMPLETED, "ConfigMap"),
    ],
)
def test_an_existing_task_moves_to_another_set(cluster, options, stored, moved):
    cluster.outcome = None if options["state"] == "running" else 0
    perform(cluster, **options | {"env": None}, set="a")
    item = next(item for key, item in cluster.objects.items() if key[0] == stored)
    assert not perform(cluster, **options, set="a")[0]["changed"] and item["metadata"]["labels"]["podwright.io/set"] == "a"
    predicted = perform(cluster, check_mode=True, **options, set=moved)[0]
    assert predicted["changed"] and item["metadata"]["labels"]["podwright.io/set"] == "a"
    done = perform(cluster, **options, set=moved)[0]
    assert done["changed"] and done["plan"] == predicted["plan"] and done["plan"][0]["patch"]
    assert not perform(cluster, **options, set=moved)[0]["changed"] and cluster.started == 1
    perform(cluster, name=None, state="absent", set="a", wait=False)
    assert any(key[0] == stored for key in cluster.objects)
    perform(cluster, name=None, state="absent", set=moved or "a", wait=False)
    assert any(key[0] == stored for key in cluster.objects) == (moved is None)


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(("options", "why"), [({"rerun": "never"}, "because rerun is never"), ({"on_immutable": "fail"}, "a Pod cannot become a Job")])
def test_a_task_of_another_kind_is_not_replaced_if_its_options_forbid_it(cluster, check_mode, options, why):
    cluster.outcome = None
    perform(cluster)
    writes = list(cluster.writes)
    with pytest.raises(PodwrightError, match=why) as caught:
        perform(cluster, check_mode=check_mode, kind="Job", **options)
    assert caught.value.reason == "Immutable" and cluster.writes == writes
    cluster.objects["Pod", "n", "t"]["metadata"]["deletionTimestamp"] = "x"
    assert perform(cluster, check_mode=True, kind="Job", **options)[0]["changed"]


# -- standard input and Jobs ----------------------------------------------------------------------------------

STDIN = {"command": ["cat"], "stdin": "secret words"}


def input_of(cluster):
    """The key of the Secret that the pod mounts as its standard input."""
    volumes = cluster.objects["Pod", "n", "t"]["spec"]["volumes"]
    return "Secret", "n", next(volume["secret"]["secretName"] for volume in volumes if volume["name"] == "podwright-stdin")


def test_restored_standard_input_is_reported_without_its_text(cluster):
    cluster._status = lambda: {"phase": "Pending"}
    perform(cluster, state="present", **STDIN)
    secret = input_of(cluster)
    right = cluster.objects.pop(secret)
    predicted = perform(cluster, check_mode=True, state="present", **STDIN)[0]
    assert predicted["changed"] and [(step["action"], step["kind"]) for step in predicted["plan"]] == [("create", "Secret"), ("none", "Pod")]
    assert secret not in cluster.objects and right["data"]["stdin"] not in str(predicted)
    done = perform(cluster, state="present", wait=False, **STDIN)[0]
    assert done["changed"] and [(step["action"], step["kind"]) for step in done["plan"]] == [("create", "Secret"), ("none", "Pod")]
    assert cluster.objects[secret]["data"] == right["data"] and right["data"]["stdin"] not in str(done)
    assert not perform(cluster, state="present", wait=False, **STDIN)[0]["changed"]


def test_a_secret_that_an_earlier_pod_or_somebody_else_left_is_not_taken_for_standard_input(cluster):
    perform(cluster, state="completed", **STDIN)
    old = input_of(cluster)
    del cluster.objects["Pod", "n", "t"]  # by a deletion that orphans the Secret
    cluster.objects[old]["metadata"]["ownerReferences"] = []
    cluster.objects["Secret", "n", "t-stdin"] = {"kind": "Secret", "metadata": {"name": "t-stdin", "namespace": "n", "uid": "u"}}
    perform(cluster, state="completed", propagation_policy="Orphan", **STDIN)
    new = cluster.objects[input_of(cluster)]
    assert new["metadata"]["ownerReferences"] and new["data"] == cluster.objects[old]["data"] and input_of(cluster) != old
    assert cluster.objects["Secret", "n", "t-stdin"]["metadata"]["uid"] == "u"


def test_a_job_without_pods_is_deleted_with_its_task(cluster):
    cluster.objects["Job", "n", "t"] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "t", "namespace": "n", "uid": "j", "labels": {"app.kubernetes.io/managed-by": "podwright", "podwright.io/task": "t"}},
    }
    assert perform(cluster, state="absent", wait=False)[0]["changed"]
    assert not cluster.objects


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_a_deleted_task_should_have_left_does_not_matter(cluster, check_mode):
    perform(cluster, state="completed")
    invalid = {"results": {"x y": 1}, "artifacts": [{"path": "/a", "dest": "/b"}, {"path": "/c", "dest": "/b"}], "inputs": [{"path": "a"}]}
    assert perform(cluster, state="absent", check_mode=check_mode, wait=False, **invalid)[0]["changed"]


def test_a_deletion_is_not_waited_for_if_wait_is_false(cluster, monkeypatch):
    cluster.outcome = None
    perform(cluster)
    asked = []
    monkeypatch.setattr(cluster, "delete", lambda *arguments: asked.append(arguments) or True)  # it takes its grace period
    done = perform(cluster, state="absent", wait=False, grace_period=20, wait_timeout=600)[0]
    assert done["changed"] and len(asked) == 1
    assert [key[0] for key in cluster.objects] == ["Pod"]


def test_a_finished_task_that_is_being_deleted_is_not_recorded(cluster, monkeypatch):
    perform(cluster, state="completed", record=True)
    cluster.objects = {key: item for key, item in cluster.objects.items() if key[0] == "Pod"}
    monkeypatch.setattr(cluster, "delete", lambda *arguments: True)  # a finalizer holds it
    perform(cluster, state="absent", wait=False, record=True)
    assert [key[0] for key in cluster.objects] == ["Pod"]


def test_a_pod_needs_no_permission_to_list_jobs(cluster):
    cluster.refusals = {("list", "Job"): (403, "jobs.batch is forbidden: User x cannot list resource")}
    assert perform(cluster, state="completed")[0]["state"] == "succeeded"


def attempt_task(cluster, **options):
    """A run of task_pod: (its result, its error, its warnings)."""
    params = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()} | {"name": "t", "namespace": "n", "image": "i"} | options
    console = Console()
    return *attempt(task_pod.OPERATION, Invocation(params, False, False, console, cluster)), console.warnings


@pytest.mark.parametrize("is_deleted", [False, True])
@pytest.mark.parametrize("outcome", [0, 1])
def test_an_error_of_the_cleanup_does_not_hide_that_a_task_failed(outcome, is_deleted, cluster, monkeypatch):
    def refuse(*_arguments):
        raise PodwrightError('pods is forbidden: User "u" cannot delete or watch pods', status=403, reason="Forbidden")

    cluster.outcome = outcome
    monkeypatch.setattr(*(completion, "wait_until_deleted") if is_deleted else (cluster, "delete"), refuse)
    _result, error, warnings = attempt_task(cluster, state="completed", cleanup="always")
    assert ("exit code 1" in str(error), "cannot delete" in str(error)) == (bool(outcome), not outcome)
    assert any("The cleanup of finished tasks failed: " in text for text in warnings) is bool(outcome)


def test_attempts_of_another_run_count(cluster, monkeypatch):
    create = cluster.create
    cluster.outcome = 1

    def retried_meanwhile(kind, namespace, body, manager, dry_run=False):
        if kind.name == "Pod" and not cluster.started:
            other = body | {"metadata": body["metadata"] | {"labels": body["metadata"]["labels"] | {"podwright.io/attempt": "3"}}}
            create(kind, namespace, other, manager)
        return create(kind, namespace, body, manager, dry_run)

    monkeypatch.setattr(cluster, "create", retried_meanwhile)
    result, error, _warnings = attempt_task(cluster, state="completed", retries=2)
    assert "failed in attempt 3" in str(error) and cluster.started == 1 and result["attempt"] == 3
