# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a task pod is: options to manifest, status of pods, and what to do about a task."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import HASH
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import (
    FINAL,
    FIXABLE,
    SETTLING,
    TRANSIENT,
    Status,
    read_job,
    read_pod,
    read_resize,
)
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import options as opts
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.decision import CREATE, NONE, REPLACE, RESIZE, decide, next_attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.network_policy import build_policy
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.owner import Parent, read_parent
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.record import Record, build_record, read_record
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.security_context import pod_context
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_run import TaskRun
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_spec import TaskSpec
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate


def spec(state="completed", name="t", **options):
    defaults = {option: entry.get("default") for option, entry in opts.TASK.items()}
    return TaskSpec(name, "n", defaults | {"image": "i"} | options, state)


# -- manifests ------------------------------------------------------------------------------------------------


def test_a_task_that_completes_has_a_deadline_and_sidecars_that_end_with_it():
    pod = build_manifest(spec(containers=[{"name": "helper"}]), "baseline")["spec"]
    assert pod["activeDeadlineSeconds"] == 3600 and pod["restartPolicy"] == "Never"
    assert pod["initContainers"][0]["name"] == "helper" and pod["initContainers"][0]["restartPolicy"] == "Always"
    assert [container["name"] for container in pod["containers"]] == ["task"]


def test_a_task_that_keeps_running_has_neither():
    pod = build_manifest(spec(state="running", containers=[{"name": "helper"}]), "baseline")["spec"]
    assert "activeDeadlineSeconds" not in pod and [c["name"] for c in pod["containers"]] == ["task", "helper"]


def test_a_job_ends_with_its_attempts():
    job = build_manifest(spec(kind="Job", retries=2, timeout=10, ttl=60), "baseline")["spec"]
    assert job["backoffLimit"] == 2 and job["ttlSecondsAfterFinished"] == 60
    assert job["template"]["spec"]["activeDeadlineSeconds"] == 10 < job["activeDeadlineSeconds"]


@pytest.mark.parametrize("profile", ["restricted", "baseline", "privileged"])
def test_profiles(profile):
    pod = build_manifest(spec(), profile)["spec"]
    container = pod["containers"][0].get("securityContext", {})
    assert pod["automountServiceAccountToken"] is False
    assert (pod.get("securityContext", {}).get("seccompProfile") is None) == (profile == "privileged")
    assert container.get("allowPrivilegeEscalation") == (None if profile == "privileged" else False)
    assert (container.get("capabilities") == {"drop": ["ALL"]}) == (profile == "restricted")
    assert pod.get("securityContext", {}).get("runAsUser") == (65532 if profile == "restricted" else None)


def test_selinux_levels_are_each_tasks_own_and_stay():
    levels = {pod_context("baseline", {"selinux_options": "auto"}, f"task-{n}")["seLinuxOptions"]["level"] for n in range(100)}
    assert len(levels) == 100
    assert all(len(set(level.removeprefix("s0:").split(","))) == 2 for level in levels)


def test_the_order_of_variables_matters_if_one_refers_to_another():
    """The kubelet replaces `$(NAME)` only if NAME stands before it."""
    wrong, right = {"URL": "$(HOST)/x", "HOST": "web"}, {"HOST": "web", "URL": "$(HOST)/x"}
    assert spec(env=wrong).hash != spec(env=right).hash
    assert spec(env={"A": "1", "B": "2"}).hash == spec(env={"B": "2", "A": "1"}).hash
    sidecars = [[{"name": "s", "env": env}] for env in (wrong, right)]
    assert spec(containers=sidecars[0]).hash != spec(containers=sidecars[1]).hash


@pytest.mark.parametrize(
    ("limits", "requests"),
    [
        ({"cpu": "1"}, {"cpu": "500m"}),
        ({"cpu": "250m", "memory": "64Mi"}, {"cpu": "125m", "memory": "32Mi"}),
        ({"memory": "1G"}, {"memory": "500000000"}),
        ({"nvidia.com/gpu": "2"}, {"nvidia.com/gpu": "2"}),
        ({"memory": 2147483648}, {"memory": "1073741824"}),
    ],
)
def test_requests_are_half_the_limits(limits, requests):
    resources = build_manifest(spec(resources={"limits": limits, "requests": None}), "baseline")["spec"]["containers"][0]["resources"]
    assert resources["requests"] == requests


@pytest.mark.parametrize(
    ("probe", "built"),
    [
        ({"http": "/health:8080", "interval": 2}, {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 2}),
        ({"tcp": 80, "initial_delay": 1}, {"tcpSocket": {"port": 80}, "initialDelaySeconds": 1}),
        ({"grpc": "9000"}, {"grpc": {"port": 9000}}),
        ({"exec": "test -e /ok"}, {"exec": {"command": ["sh", "-c", "test -e /ok"]}}),
        ({"exec": ["a", "b"]}, {"exec": {"command": ["a", "b"]}}),
        ({"httpGet": {"port": 80}, "failure_threshold": 3}, {"httpGet": {"port": 80}, "failureThreshold": 3}),
        ({"http_get": {"port": "http"}}, {"httpGet": {"port": "http"}}),
    ],
)
def test_probes(probe, built):
    assert build_manifest(spec(readiness_probe=probe), "baseline")["spec"]["containers"][0]["readinessProbe"] == built


@pytest.mark.parametrize(
    ("source", "built"),
    [
        ({"empty_dir": True}, {"emptyDir": {}}),
        ({"empty_dir": {"size_limit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1Gi"}}),
        ({"host_path": "/a"}, {"hostPath": {"path": "/a"}}),
        ({"nfs": "server:/share"}, {"nfs": {"server": "server", "path": "/share"}}),
        ({"claim": "c"}, {"persistentVolumeClaim": {"claimName": "c"}}),
        ({"config_map": "c"}, {"configMap": {"name": "c"}}),
        ({"secret": {"secret_name": "s", "items": [{"key": "k", "path": "p"}]}}, {"secret": {"secretName": "s", "items": [{"key": "k", "path": "p"}]}}),
        ({"csi": {"driver": "d", "read_only": True}}, {"csi": {"driver": "d", "readOnly": True}}),
        (
            {"ephemeral": {"storage": "1Gi"}},
            {"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}},
        ),
        ({"projected": {"sources": [{"service_account_token": {"path": "t"}}]}}, {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
    ],
)
def test_volumes(source, built):
    pod = build_manifest(
        spec(volumes=[{"name": "v", "mount_path": "/v", **source}, {"name": "v", "mount_path": "/w", "sub_path": "s", "read_only": True}]), "baseline"
    )["spec"]
    assert pod["volumes"] == [{"name": "v", **built}]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/w", "subPath": "s", "readOnly": True}]


def test_spiffe_is_a_volume_of_its_driver_and_a_variable_in_each_container():
    """SPIFFE_ENDPOINT_SOCKET is the name that the SPIFFE Workload Endpoint standard gives it."""
    pod = build_manifest(spec(spiffe={"mount_path": "/run/spiffe"}, env={"A": "1"}, init_containers=[{"name": "i"}]), "baseline")["spec"]
    assert pod["volumes"] == [{"name": "spiffe", "csi": {"driver": "csi.spiffe.io", "readOnly": True}}]
    for container in (*pod["containers"], *pod["initContainers"]):
        assert container["volumeMounts"] == [{"name": "spiffe", "mountPath": "/run/spiffe", "readOnly": True}]
        assert container["env"][0] == {"name": "SPIFFE_ENDPOINT_SOCKET", "value": "unix:///run/spiffe/spire-agent.sock"}
    own = {"SPIFFE_ENDPOINT_SOCKET": "unix:///own"}
    assert build_manifest(spec(spiffe=True, env=own), "baseline")["spec"]["containers"][0]["env"] == [
        {"name": "SPIFFE_ENDPOINT_SOCKET", "value": "unix:///own"}
    ]
    assert "volumes" not in build_manifest(spec(spiffe=False), "baseline")["spec"]


def test_names_below_selectors_keep_their_spelling():
    affinity = {
        "pod_anti_affinity": {
            "required_during_scheduling_ignored_during_execution": [{"label_selector": {"match_labels": {"my_app": "x"}}, "topology_key": "k"}]
        }
    }
    built = build_manifest(spec(affinity=affinity), "baseline")["spec"]["affinity"]
    assert built["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0] == {
        "labelSelector": {"matchLabels": {"my_app": "x"}},
        "topologyKey": "k",
    }


def test_every_pod_option_reaches_the_manifest_or_the_container():
    """No option is accepted and ignored: each, given, changes what is built."""
    samples = {
        "image": "other", "command": ["x"], "args": ["x"], "env": {"A": "b"}, "env_from": [{"secret": "s"}], "working_dir": "/w", "ports": [80],
        "resources": {"limits": {"cpu": "1"}}, "readiness_probe": {"tcp": 1}, "liveness_probe": {"tcp": 1}, "startup_probe": {"tcp": 1},
        "image_pull_policy": "Never", "lifecycle": {"pre_stop": {"sleep": {"seconds": 1}}}, "containers": [{"name": "c"}], "init_containers": [{"name": "c"}],
        "shared_workspace": "/w", "volumes": [{"name": "v", "mount_path": "/v", "claim": "c"}], "service_account": "s", "automount_service_account_token": True,
        "image_pull_secrets": ["s"], "run_as_user": 1, "run_as_group": 1, "fs_group": 1, "selinux_options": {"level": "s0"}, "node_selector": {"a": "b"},
        "affinity": {"node_affinity": {}}, "tolerations": [{"operator": "Exists"}], "priority_class": "p", "runtime_class": "r", "restart_policy": "OnFailure",
        "termination_grace_period": 1, "host_aliases": [{"ip": "1.1.1.1", "hostnames": ["a"]}], "dns": {"policy": "None"}, "labels": {"a": "b"},
        "annotations": {"a": "b"}, "definition": {"spec": {"hostname": "h"}}, "patches": [{"op": "add", "path": "/metadata/labels/z", "value": "y"}],
        "timeout": 5, "ttl": 5, "kind": "Job", "max_depth": 1, "max_children": 1, "queue": "q", "spiffe": True,
    }  # fmt: skip
    elsewhere = {"stdin", "security_profile", "request_ratio", "parent", "network"}  # those have tests of their own
    assert set(samples) | elsewhere == (set(opts.TASK) - set(opts.EXECUTION) - {"name", "generate_name"}) | set(opts.IN_MANIFEST)
    plain = build_manifest(spec(), "baseline")
    for option, value in samples.items():
        changed = spec(**{option: value})
        assert build_manifest(changed, "baseline")["spec"] != plain["spec"] or build_manifest(changed, "baseline")["metadata"] != plain["metadata"], option
        assert (changed.hash, changed.resources_hash) != (spec().hash, spec().resources_hash), option
    # Standard input: the command reads it from a Secret that is mounted.
    fed = build_manifest(spec(command=["wc", "-l"], stdin="x"), "baseline")["spec"]
    assert fed["containers"][0]["command"][-2:] == ["wc", "-l"] and fed["volumes"][0]["secret"]["secretName"] == "t-stdin"


def test_the_hash_is_of_what_the_user_asked_for():
    assert spec().hash == spec(retries=3, rerun="always", logs="collect", cleanup="never").hash
    assert spec().hash != spec(state="running").hash
    assert spec(network="isolated").hash != spec().hash != spec(parent="p").hash
    assert spec(env={"A": "1", "B": "2"}).hash == spec(env={"B": "2", "A": "1"}).hash


@pytest.mark.parametrize(
    "options",
    [
        {"image": None},
        {"containers": [{"name": "task"}]},
        {"restart_policy": "Always"},
        {"request_ratio": 2},
        {"env": {"A=B": "c"}},
        {"run_as_user": "root"},
        {"spiffe": {"sockt": "a"}},
        {"spiffe": "maybe"},
    ],
)
def test_bad_options_are_refused_before_anything_is_sent(options):
    with pytest.raises(PodwrightError):
        validate(spec(**options))


# -- status ---------------------------------------------------------------------------------------------------


def pod(phase="Running", state=None, policy="Never", conditions=(), reason=None, others=(), deleted=False):
    statuses = [{"name": "task", "state": state}] if state else []
    status = {"phase": phase, "containerStatuses": [*statuses, *others], "conditions": list(conditions)}
    metadata = {"name": "t", "creationTimestamp": "2026-01-01T00:00:00Z"} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {})
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "task"}], "restartPolicy": policy},
        "status": status | ({"reason": reason} if reason else {}),
    }


ENDED, FAILED, KILLED = ({"terminated": {"exitCode": code, "reason": word}} for code, word in ((0, "Completed"), (3, "Error"), (137, "OOMKilled")))
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
READY = {"type": "Ready", "status": "True"}


@pytest.mark.parametrize(
    ("given", "state", "reason", "grace"),
    [
        (pod("Pending"), "pending", "Starting", None),
        (pod(state=RUNNING), "running", "", None),
        (pod("Succeeded", ENDED), "succeeded", "Completed", None),
        (pod("Running", ENDED), "succeeded", "Completed", None),  # a sidecar keeps the pod running
        (pod("Running", ENDED, policy="Always"), "pending", "Starting", None),
        (pod("Failed", FAILED), "failed", "Error", None),
        (pod("Running", FAILED), "failed", "Error", None),
        (pod("Running", FAILED, policy="OnFailure"), "pending", "Starting", None),
        (pod("Failed", KILLED), "failed", "OOMKilled", None),
        (pod("Failed", KILLED, reason="DeadlineExceeded"), "failed", "DeadlineExceeded", None),
        (pod("Failed", reason="Evicted"), "failed", "Evicted", None),
        (pod("Pending", {"waiting": {"reason": "ImagePullBackOff"}}), "pending", "ImagePullBackOff", TRANSIENT),
        (pod("Pending", {"waiting": {"reason": "InvalidImageName"}}), "pending", "InvalidImageName", FINAL),
        (pod("Pending", {"waiting": {"reason": "CreateContainerConfigError"}}), "pending", "CreateContainerConfigError", SETTLING),
        (pod("Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]), "pending", "Unschedulable", FIXABLE),
        (pod("Running", RUNNING, deleted=True), "deleting", "Deleted", None),
    ],
)
def test_status_of_a_pod(given, state, reason, grace):
    status = read_pod(given)
    assert (status.state, status.reason, status.grace) == (state, reason, grace)


def test_interruptions_are_told_from_failures():
    disrupted = pod(
        "Failed",
        {"terminated": {"exitCode": 137, "reason": "Error"}},
        conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
    )
    assert read_pod(disrupted).is_interrupted and read_pod(disrupted).reason == "PreemptionByScheduler"
    assert not read_pod(pod("Failed", FAILED)).is_interrupted


def test_a_job_decides_and_its_last_pod_explains():
    job = {"kind": "Job", "metadata": {"name": "j"}, "status": {}}
    assert read_job(job, []).state == "pending"
    assert read_job(job, [pod("Failed", FAILED)]).state == "pending"  # the Job may try again
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}
    assert read_job(job, [pod("Failed", KILLED)]).reason == "OOMKilled"
    assert read_job(job, []).reason == "BackoffLimitExceeded"


# -- decisions ------------------------------------------------------------------------------------------------

STATES = {"active": Status("running"), "succeeded": Status("succeeded", rc=0), "failed": Status("failed", "Error", rc=1)}
# (rerun, same options, state of the live one) -> action; every combination stands here
DECISIONS = {
    ("never", True): {"active": NONE, "succeeded": NONE, "failed": NONE},
    ("never", False): {"active": NONE, "succeeded": NONE, "failed": NONE},
    ("on_change", True): {"active": NONE, "succeeded": NONE, "failed": NONE},
    ("on_change", False): {"active": REPLACE, "succeeded": REPLACE, "failed": REPLACE},
    ("on_failure", True): {"active": NONE, "succeeded": NONE, "failed": REPLACE},
    ("on_failure", False): {"active": REPLACE, "succeeded": REPLACE, "failed": REPLACE},
    ("always", True): {"active": NONE, "succeeded": REPLACE, "failed": REPLACE},
    ("always", False): {"active": REPLACE, "succeeded": REPLACE, "failed": REPLACE},
}


@pytest.mark.parametrize(("rerun", "same", "state"), list(itertools.product(("never", "on_change", "on_failure", "always"), (True, False), STATES)))
def test_decisions(rerun, same, state):
    asked = spec(rerun=rerun)
    live = {"metadata": build_manifest(asked, "baseline")["metadata"]}
    live["metadata"]["labels"][HASH] = asked.hash if same else "other"
    assert decide(asked, live, STATES[state])[0] == DECISIONS[rerun, same][state]


def test_what_is_not_there_is_made_and_what_goes_is_made_anew():
    assert decide(spec(), None, None)[0] == CREATE
    assert decide(spec(), {"metadata": {"deletionTimestamp": "x"}}, Status("deleting"))[0] == CREATE


def test_an_interrupted_run_goes_on_with_its_retries():
    asked = spec(retries=1)
    live = {"metadata": build_manifest(asked, "baseline", 1)["metadata"]}
    assert decide(asked, live, STATES["failed"])[0] == REPLACE
    live["metadata"]["labels"]["podwright.io/attempt"] = "2"
    assert decide(asked, live, STATES["failed"])[0] == NONE


@pytest.mark.parametrize(("rerun", "action"), [("never", NONE), ("on_change", REPLACE), ("on_failure", REPLACE), ("always", REPLACE)])
def test_a_task_that_was_ended_from_outside_runs_again_and_that_is_no_attempt_of_its_own(rerun, action):
    asked = spec(rerun=rerun)
    live = {"metadata": build_manifest(asked, "baseline", 2)["metadata"]}
    evicted = Status("failed", "Evicted", rc=None, is_interrupted=True)
    assert decide(asked, live, evicted)[0] == action
    assert (next_attempt(asked, live, evicted), next_attempt(asked, live, STATES["failed"])) == (2, 3)


def test_a_task_that_should_run_and_ended_is_started_again():
    asked = spec(state="running")
    assert decide(asked, {"metadata": {"labels": {HASH: asked.hash}}}, STATES["succeeded"])[0] == REPLACE


RESIZED = {"resources": {"limits": {"cpu": "2"}}}


@pytest.mark.parametrize(
    ("options", "state", "action"),
    [
        ({"state": "running"}, "active", RESIZE),
        ({"state": "running", "rerun": "never"}, "active", NONE),
        ({"state": "completed"}, "active", RESIZE),
        ({"state": "completed"}, "succeeded", REPLACE),
        ({"state": "completed", "kind": "Job"}, "active", REPLACE),
    ],
)
def test_resources_change_in_place_where_they_can(options, state, action):
    live = {"metadata": build_manifest(spec(**options), "baseline")["metadata"]}
    assert decide(spec(**options, **RESIZED), live, STATES[state])[0] == action
    equal = {"resources": {"limits": {"cpu": "2000m"}, "requests": {"cpu": "1"}}}
    live = {"metadata": build_manifest(spec(**options, **RESIZED), "baseline")["metadata"]}
    if state == "active":
        assert decide(spec(**options, **equal), live, STATES[state])[0] == NONE


def test_resources_of_sidecars_that_keep_running_change_in_place_too():
    one, other = ({"containers": [{"name": "side", "request_ratio": 0.5, "resources": {"limits": {"cpu": cpu}}}]} for cpu in ("1", "2"))
    live = {"metadata": build_manifest(spec(state="running", **one), "baseline")["metadata"]}
    assert decide(spec(state="running", **other), live, STATES["active"])[0] == RESIZE
    live = {"metadata": build_manifest(spec(**one), "baseline")["metadata"]}
    assert decide(spec(**other), live, STATES["active"])[0] == REPLACE


def pod_with(spec_cpu, actual_cpu, conditions=(), observed=2):
    containers = [{"name": "task", "resources": {"requests": {"cpu": spec_cpu}}}]
    statuses = [{"name": "task", "resources": {"requests": {"cpu": actual_cpu}}}]
    status = {"conditions": list(conditions), "containerStatuses": statuses, "observedGeneration": observed}
    return {"metadata": {"generation": 2}, "spec": {"containers": containers}, "status": status}


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (pod_with("1", "1000m"), None),
        (pod_with("1", "500m"), "Resizing"),
        (pod_with("1", "1", observed=1), "Resizing"),
        (pod_with("1", "1", [{"type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": "no"}]), "Infeasible"),
        (pod_with("1", "1", [{"type": "PodResizeInProgress", "status": "True"}]), "Resizing"),
    ],
)
def test_how_far_a_resize_is(pod, reason):
    status = read_resize(pod)
    assert (status and status.reason) == reason


def record_of(asked, state, attempt=1):
    status = STATES[state]
    return Record(asked.hash, asked.resources_hash, status, attempt, None, None, "")


@pytest.mark.parametrize(
    ("options", "state", "action"),
    [
        ({}, "succeeded", NONE),
        ({}, "failed", NONE),
        ({"rerun": "on_failure"}, "succeeded", NONE),
        ({"rerun": "on_failure"}, "failed", CREATE),
        ({"rerun": "always"}, "succeeded", CREATE),
        ({"retries": 1}, "failed", CREATE),
        ({"state": "running"}, "succeeded", CREATE),
    ],
)
def test_a_record_stands_for_a_pod_that_is_gone(options, state, action):
    asked = spec(**options)
    assert decide(asked, None, STATES[state], record_of(asked, state))[0] == action
    other = spec(**options, env={"A": "b"})
    assert decide(other, None, STATES[state], record_of(asked, state))[0] == CREATE
    assert decide(spec(**options, **RESIZED), None, STATES[state], record_of(asked, state))[0] == CREATE


def test_what_is_written_into_a_record_is_read_from_it():
    asked = spec(cleanup="always", ttl=5)
    run = TaskRun(asked, status=Status("failed", "Error", "it broke", 3), attempt=2)
    assert read_record(build_record(run, "line")) == Record(asked.hash, asked.resources_hash, run.status, 2, None, None, "line")
    assert asked.keeps_record and not spec().keeps_record and not spec(cleanup="always", record=False).keeps_record


# -- networks and parents -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "network",
    ["open", {"egres": []}, {"egress": [{}]}, {"egress": ["10.0.0.1/8"]}, {"egress": [{"cidr": "10.0.0.0/8", "pods": {}}]}, {"ingress": [{"port": 1}]},
     {"ingress": [{"ports": ["80/HTTP"]}]}, {"ingress": [{"pods": "web"}]}],
)  # fmt: skip
def test_a_network_that_says_nothing_clear_is_refused(network):
    with pytest.raises(PodwrightError, match="network"):
        validate(spec(network=network))


def test_an_isolated_task_is_denied_both_ways():
    policy = build_policy("t", "n", "isolated")["spec"]
    expected = {"podSelector": {"matchLabels": {"podwright.io/task": "t"}}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}
    assert policy == expected
    assert build_policy("t", "n", "default") is None


@pytest.mark.parametrize("parent", [5, {}, {"name": "p", "color": "red"}, {"name": "p", "namespace": "other"}])
def test_a_parent_that_cannot_be_one_is_refused(parent):
    with pytest.raises(PodwrightError, match="parent"):
        read_parent(parent, "n")


def test_a_child_carries_its_owner_and_what_is_left_of_the_limits():
    annotations = {"podwright.io/max-depth": "2", "podwright.io/max-children": "3"}
    item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "u", "annotations": annotations}}
    metadata = build_manifest(spec(), "baseline", 1, Parent(item, False))["metadata"]
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "blockOwnerDeletion": True}
    assert metadata["ownerReferences"] == [reference] and metadata["labels"]["podwright.io/parent"] == "u"
    assert metadata["annotations"]["podwright.io/max-depth"] == "1" and metadata["annotations"]["podwright.io/max-children"] == "3"
    deeper = build_manifest(spec(max_depth=5), "baseline", 1, Parent(item, False))["metadata"]["annotations"]
    assert deeper["podwright.io/max-depth"] == "1", "a child cannot allow itself more than its parent does"
