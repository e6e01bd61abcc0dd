# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks in queues of the real Kueue, in a cluster of its own, and the role that provisions the queues."""

from __future__ import annotations

import functools

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP

from ..cluster import published
from ..support.component_cluster import component_cluster
from ..support.environment import ROOT
from ..support.examples import examples, lines_of
from ..support.operations import IMAGE
from ..support.waiting import wait_for
from .test_examples import in_namespace, missing_lines

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("cluster")]  # other tests with clusters of their own use the same number
KINDS = pytest.mark.parametrize("kind", ["Pod", "Job"])
MODES = pytest.mark.parametrize("mode", ["action", "module"])
SHARE = {"requests": {"cpu": "700m", "memory": "8Mi"}}  # two tasks do not fit into the queue


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory):
    """A cluster with Kueue."""
    with component_cluster(tmp_path_factory.mktemp("cluster"), "kueue", published.kueue, addons=False) as cluster:
        yield cluster


@pytest.fixture
def place(own_namespace):
    """A namespace in that cluster."""
    return own_namespace()


@pytest.fixture
def run(play, own_cluster, place):
    """A function that runs tasks in that namespace."""
    return functools.partial(play, kubeconfig=own_cluster.kubeconfig, namespace=place)


def queue(name, place, **variables):
    """The role for a queue whose quota is 1 cpu."""
    given = {"queue_name": name, "queue_namespaces": [place], "queue_quotas": {"cpu": 1, "memory": "1Gi"}, "queue_cluster_queue": place} | variables
    return {"name": "Queue", "ansible.builtin.include_role": {"name": "podwright.core.queue"}, "vars": given}


def task(name, **options):
    """A task in the queue `builds`, and its result under its name."""
    given = IMAGE | {"name": name, "queue": "builds", "command": ["true"], "state": "completed", "resources": SHARE} | options
    return {"name": name, "podwright.core.task_pod": given, "ignore_errors": True}


def kinds(client, place, names):
    """How many objects of kinds of Kueue exist."""
    return [len(client.list(client.kinds.find_served("kueue.x-k8s.io", name), place if name == "LocalQueue" else None)[0]) for name in names]


@MODES
def test_the_role_converges_and_deletes_what_it_created(own_client, run, place, mode):
    names = ("ClusterQueue", "ResourceFlavor", "LocalQueue", "WorkloadPriorityClass")
    flavors = [{"name": f"{place}-{name}", "quotas": {"cpu": 1, "memory": "1Gi"}, "lending_limits": {"cpu": "500m"}} for name in ("one", "two")]
    wanted = queue("builds", place, queue_quotas={}, queue_flavors=flavors, queue_cohort=place, queue_priorities={place: 7})
    before = kinds(own_client, place, names)
    assert run([wanted], "--check", mode=mode).is_changed and kinds(own_client, place, names) == before
    assert run([wanted], mode=mode).is_changed
    assert kinds(own_client, place, names) == [count + more for count, more in zip(before, (1, 2, 1, 1))]
    assert not run([wanted], mode=mode).is_changed and not run([wanted], "--check", mode=mode).is_changed
    assert run([task("used")], mode=mode).of("used")["state"] == "succeeded"
    fewer = queue("builds", place, queue_quotas={}, queue_flavors=flavors[:1], queue_cohort=place, queue_stop_policy="Hold")
    assert run([fewer], mode=mode).is_changed, "a queue that is stopped on purpose is ready"
    assert kinds(own_client, place, names) == [count + more for count, more in zip(before, (1, 1, 1, 0))]
    held = run([task("stopped", wait_timeout=6)], mode=mode).of("stopped")
    assert held["reason"] == "Queued" and "is inactive" in held["msg"], held["msg"]
    run([{"podwright.core.task_pod": {"name": "stopped", "state": "absent", "wait": True}}], mode=mode)
    absent = queue("builds", place, queue_quotas={}, queue_state="absent")
    assert run([absent], mode=mode).is_changed and not run([absent], mode=mode).is_changed
    assert kinds(own_client, place, names) == before


def test_the_role_refuses_bad_variables_before_anything_is_created(own_client, run, place):
    before = kinds(own_client, place, ("ClusterQueue", "ResourceFlavor"))
    one, two = {"name": "one", "quotas": {"cpu": 1}}, {"name": "two", "quotas": {"memory": "1Gi"}}
    cases = {
        "exactly one of queue_quotas and queue_flavors must be set, got neither.": {"queue_quotas": {}},
        "exactly one of queue_quotas and queue_flavors must be set, got both.": {"queue_flavors": [one]},
        "queue_name: must be lower-case letters, digits, hyphens and dots": {"queue_name": "Builds"},
        "queue_priorities.urgent: must be a whole number, got 'high'.": {"queue_priorities": {"urgent": "high"}},
        "must have the same resources, got memory for 'two' and cpu for 'one'": {"queue_quotas": {}, "queue_flavors": [one, two]},
        "require queue_cohort": {"queue_quotas": {}, "queue_flavors": [one | {"lending_limits": {"cpu": 1}}]},
        "must be for resources with a quota, got memory": {"queue_quotas": {}, "queue_flavors": [one | {"borrowing_limits": {"memory": 1}}]},
        "queue_namespaces: must not be empty": {"queue_namespaces": []},
        "queue_namespaces: must be a list, got a string": {"queue_namespaces": "builds"},
        "value of queue_strategy must be one of": {"queue_strategy": "LIFO"},
    }
    for message, variables in cases.items():
        assert message in run([queue("builds", place, **variables)], expect=2).output
    missing = queue("builds", place, queue_quotas={}, queue_flavors=[one | {"name": "missing", "shared": True}], queue_wait_timeout=5)
    assert "missing" in run([missing], expect=2).output, "the ClusterQueue is not active without its flavor"
    run([queue("builds", place, queue_quotas={}, queue_state="absent")])
    assert kinds(own_client, place, ("ClusterQueue", "ResourceFlavor")) == before


def test_a_flavor_of_others_is_neither_changed_nor_deleted(own_client, run, place):
    kind = own_client.kinds.find("kueue.x-k8s.io/v1beta2", "ResourceFlavor")
    theirs = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ResourceFlavor", "metadata": {"name": f"theirs-{place}"}, "spec": {"nodeLabels": {"a": "b"}}}
    uid = own_client.create(kind, None, theirs, "test")["metadata"]["uid"]
    flavors = [{"name": f"theirs-{place}", "quotas": {"cpu": 1}}]
    refused = run([queue("builds", place, queue_quotas={}, queue_flavors=flavors)], expect=2)
    assert f"not its members: ResourceFlavor 'theirs-{place}'" in refused.output
    assert not run([queue("builds", place, queue_quotas={}, queue_flavors=flavors, queue_state="absent")]).is_changed
    assert own_client.get(kind, None, f"theirs-{place}")["metadata"]["uid"] == uid
    own_client.delete(kind, None, f"theirs-{place}")
    run([queue("builds", place, queue_set_namespace="default")])
    assert own_client.get(CONFIG_MAP, "default", f"podwright-set-queue-{place}") and not own_client.get(CONFIG_MAP, place, f"podwright-set-queue-{place}")
    assert run([queue("builds", place, queue_set_namespace="default", queue_state="absent")]).is_changed


@MODES
@KINDS
def test_a_task_is_admitted_or_says_why_not(run, own_client, place, kind, mode):
    keeper = task("keeper", kind=kind, command=["sleep", "600"], state="running")
    tasks = [
        queue("builds", place),
        task("admitted", kind=kind, logs="collect", command=["echo", "hello"]),
        keeper,
        task("held", kind=kind, wait_timeout=6),
        task("scheduled", kind=kind, schedule_timeout=5),
        task("large", kind=kind, wait_timeout=6, resources={"requests": {"cpu": "5", "memory": "8Mi"}}),
        task("unknown", kind=kind, queue="nope"),
    ]
    played = run(tasks, mode=mode)
    assert played.of("admitted")["logs"].strip() == "hello" and played.of("keeper")["state"] == "running"
    held, scheduled, large = (played.of(name) for name in ("held", "scheduled", "large"))
    assert held["reason"] == "Queued" and "insufficient unused quota for cpu" in held["msg"] and "Raise the quota" in held["msg"]
    assert scheduled["reason"] == "ScheduleTimeout" and "insufficient unused quota for cpu" in scheduled["msg"]
    assert large["reason"] == "Queued" and "maximum capacity (1)" in large["msg"]
    assert played.of("unknown")["reason"] == "NoQueue" and "queues: builds" in played.of("unknown")["msg"]
    waiting = task("held", kind=kind)
    absent = {"podwright.core.task_pod": {"name": "keeper", "kind": kind, "state": "absent"}}
    later = run([task("large", kind=kind, state="absent"), task("scheduled", kind=kind, state="absent"), absent, waiting], mode=mode)
    assert later.of("held")["state"] == "succeeded", "it is admitted when the quota is free"


@pytest.mark.parametrize(("kind", "retries"), [("Pod", 0), ("Pod", 1), ("Job", 0)])
def test_a_task_is_preempted_and_queued_again(launch, run, own_cluster, place, kind, retries, tmp_path):
    """Its second attempt succeeds at once; the task that has preempted it runs until that one is queued."""
    traces = tmp_path / "traces"
    traces.mkdir()
    traces.chmod(0o777)
    mounted = {"volumes": [{"name": "traces", "mount_path": "/traces", "host_path": str(traces)}]}
    run([queue("builds", place, queue_preemption={"within_cluster_queue": "LowerPriority"}, queue_priorities={place: 100})])
    script = "trap 'touch /traces/preempted; exit 3' TERM; touch /traces/started; until test -e /traces/preempted; do sleep 0.1; done"
    low = task("low", kind=kind, retries=retries, command=["sh", "-c", script], termination_grace_period=30, wait_timeout=200, **mounted)
    playbook = launch([low], kubeconfig=own_cluster.kubeconfig, namespace=place)
    wait_for((traces / "started").exists)
    messages = playbook.streams[1]
    before = len(messages.read_text())
    command = ["sh", "-c", "until test -e /traces/queued; do sleep 0.1; done"]
    urgent = task("urgent", labels={"kueue.x-k8s.io/priority-class": place}, command=command, **mounted)
    preempting = launch([urgent], kubeconfig=own_cluster.kubeconfig, namespace=place)
    wait_for((traces / "preempted").exists)
    is_queued_again = kind == "Job" or retries > 0
    if is_queued_again:
        # That it was preempted is shown, too, unless it is queued again before the next line of progress.
        wait_for(lambda: "Queued: LocalQueue 'builds' has not admitted it" in messages.read_text()[before:])
    (traces / "queued").touch()
    assert preempting.finish(300).check().of("urgent")["state"] == "succeeded"
    result = playbook.finish(300).of("low")
    if is_queued_again:
        assert (result["state"], result["attempt"]) == ("succeeded", 1 + retries), result.get("msg")
    else:
        assert (result["state"], result["reason"]) == ("failed", "WorkloadEvictedDueToPreempted"), result
        assert "Preempted to accommodate a workload" in result["msg"] and "Set retries, so that the task is queued again" in result["msg"]
    run([queue("builds", place, queue_state="absent")])


def test_the_examples_of_the_guide_run(run, place):
    for example in examples(ROOT / "docs/guides/queues.md"):
        result = run(in_namespace(example.tasks, place), environment={"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"})
        streamed = lines_of(result.stderr)
        expected = [line.replace("namespace 'default'", f"namespace '{place}'") for line in example.output]
        assert not missing_lines([line for line in expected if line not in streamed], result.stdout), result.output
    run([queue("builds", place, queue_cluster_queue="builds", queue_state="absent")])
