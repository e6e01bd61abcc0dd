# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From options to manifests, the status of pods, and the action for a task."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
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
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import options as opts
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.decision import CREATE, NONE, REPLACE, RESIZE, decide, next_attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.network_policy import build_policy
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.owner import Parent, read_parent
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.record import Record, build_record, read_record
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.security_context import pod_context
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_spec import TaskSpec
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate


def spec(state="completed", name="t", **options):
    defaults = {option: entry.get("default") for option, entry in opts.TASK.items()}
    return TaskSpec(name, "n", defaults | {"image": "i"} | options, state)


# -- manifests ------------------------------------------------------------------------------------------------


def test_a_task_that_completes_has_a_deadline_and_native_sidecars():
    pod = build_manifest(spec(containers=[{"name": "helper"}]), "baseline")["spec"]
    assert pod["activeDeadlineSeconds"] == 3600 and pod["restartPolicy"] == "Never"
    assert pod["initContainers"][0]["name"] == "helper" and pod["initContainers"][0]["restartPolicy"] == "Always"
    assert [container["name"] for container in pod["containers"]] == ["task"]


def test_a_task_that_keeps_running_has_no_deadline_and_ordinary_containers():
    pod = build_manifest(spec(state="running", containers=[{"name": "helper"}]), "baseline")["spec"]
    assert "activeDeadlineSeconds" not in pod and [c["name"] for c in pod["containers"]] == ["task", "helper"]


def test_the_deadline_of_a_job_includes_all_attempts():
    job = build_manifest(spec(kind="Job", retries=2, timeout=10, ttl=60), "baseline")["spec"]
    assert job["backoffLimit"] == 2 and job["ttlSecondsAfterFinished"] == 60
    assert job["template"]["spec"]["activeDeadlineSeconds"] == 10 < job["activeDeadlineSeconds"]


@pytest.mark.parametrize("profile", ["restricted", "baseline", "privileged"])
def test_security_contexts_follow_the_profile(profile):
    pod = build_manifest(spec(), profile)["spec"]
    container = pod["containers"][0].get("securityContext", {})
    assert pod["automountServiceAccountToken"] is False
    assert (pod.get("securityContext", {}).get("seccompProfile") is None) == (profile == "privileged")
    assert container.get("allowPrivilegeEscalation") == (None if profile == "privileged" else False)
    assert (container.get("capabilities") == {"drop": ["ALL"]}) == (profile == "restricted")
    assert pod.get("securityContext", {}).get("runAsUser") == (65532 if profile == "restricted" else None)


def test_automatic_selinux_levels_differ_between_tasks():
    levels = {pod_context("baseline", {"selinux_options": "auto"}, f"task-{n}")["seLinuxOptions"]["level"] for n in range(100)}
    assert len(levels) == 100
    assert all(len(set(level.removeprefix("s0:").split(","))) == 2 for level in levels)


def test_the_hash_includes_the_order_of_variables_if_one_refers_to_another():
    """The kubelet expands `$(NAME)` only if NAME is defined before it."""
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
def test_missing_requests_are_derived_from_the_limits(limits, requests):
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
def test_probes_accept_the_short_and_the_api_form(probe, built):
    assert build_manifest(spec(readiness_probe=probe), "baseline")["spec"]["containers"][0]["readinessProbe"] == built


@pytest.mark.parametrize(
    ("source", "built"),
    [
        ({"empty_dir": True}, {"emptyDir": {}}),
        ({"empty_dir": {"size_limit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1Gi"}}),
        ({"host_path": "/a"}, {"hostPath": {"path": "/a"}}),
        ({"nfs": "server:/share"}, {"nfs": {"server": "server", "path": "/share"}}),
        ({"nfs": {"server": "s", "path": "/", "read_only": True}}, {"nfs": {"server": "s", "path": "/", "readOnly": True}}),
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
def test_each_volume_source_is_built_and_can_be_mounted_twice(source, built):
    pod = build_manifest(
        spec(volumes=[{"name": "v", "mount_path": "/v", **source}, {"name": "v", "mount_path": "/w", "sub_path": "s", "read_only": True}]), "baseline"
    )["spec"]
    assert pod["volumes"] == [{"name": "v", **built}]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/w", "subPath": "s", "readOnly": True}]


def test_spiffe_adds_a_csi_volume_and_an_environment_variable_to_each_container():
    """The SPIFFE Workload Endpoint standard defines the name SPIFFE_ENDPOINT_SOCKET."""
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


def test_keys_of_label_selectors_keep_their_spelling():
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
    """No option is accepted and ignored: each changes the manifest and a hash."""
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
    elsewhere = {"stdin", "security_profile", "request_ratio", "parent", "network"}  # these have tests of their own
    assert set(samples) | elsewhere == (set(opts.TASK) - set(opts.EXECUTION) - {"name", "generate_name"}) | set(opts.IN_MANIFEST)
    plain = build_manifest(spec(), "baseline")
    for option, value in samples.items():
        changed = spec(**{option: value})
        assert build_manifest(changed, "baseline")["spec"] != plain["spec"] or build_manifest(changed, "baseline")["metadata"] != plain["metadata"], option
        assert (changed.hash, changed.resources_hash) != (spec().hash, spec().resources_hash), option


def test_the_command_reads_standard_input_from_a_secret():
    fed = build_manifest(spec(command=["wc", "-l"], stdin="x"), "baseline")["spec"]
    assert fed["containers"][0]["command"][-2:] == ["wc", "-l"] and fed["volumes"][0]["secret"]["secretName"] == "t-stdin"


def test_the_hash_depends_on_the_options_that_define_the_task_only():
    assert spec().hash == spec(retries=3, rerun="always", logs="collect", cleanup="never").hash
    assert spec().hash != spec(state="running").hash
    assert spec(network="isolated").hash != spec().hash != spec(parent="p").hash
    assert spec(env={"A": "1", "B": "2"}).hash == spec(env={"B": "2", "A": "1"}).hash


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": None}, "image: must be set for task 't'."),
        ({"containers": [{"name": "task"}]}, "containers[0].name: must be unique in the pod, got 'task'"),
        ({"init_containers": [{"name": "A"}]}, "init_containers[0].name: must consist of"),
        ({"resources": {"limits": {"cpu": "one"}}}, "resources.limits.cpu: must be a quantity such as 500m, 2 or 128Mi, got 'one'."),
        ({"containers": [{"name": "c", "ports": [1, "x"]}]}, "containers[0].ports[1]: must be a number or a mapping with container_port, got 'x'."),
        (
            {"containers": [{"name": "c", "liveness_probe": {"http": "80"}}]},
            "containers[0].liveness_probe.http: must be PATH:PORT such as /healthz:8080",
        ),
        ({"restart_policy": "Always"}, "restart_policy: must be OnFailure or Never for a task that completes, got 'Always'."),
        ({"request_ratio": 2}, "request_ratio: must be greater than 0 and at most 1, got 2."),
        ({"env": {"A=B": "c"}}, "env: must have names without '=' and control characters, got 'A=B'."),
        ({"env": {"A": {"secert": "s"}}}, "env.A: must be a literal"),
        ({"env_from": [{"secrets": "s"}]}, "env_from[0]: must be {secret: NAME} or {config_map: NAME}"),
        ({"volumes": [{"name": "v"}]}, "volumes[0]: must give volume 'v' a source, one of empty_dir, host_path,"),
        ({"volumes": [{"name": "workspace", "claim": "c"}], "shared_workspace": "/w"}, "volumes: must not contain a volume 'workspace'"),
        ({"dns": {"polcy": "None"}}, "dns: unknown key 'polcy'; use policy,"),
        ({"max_depth": -1}, "max_depth: must be at least 0, got -1."),
        ({"patches": [{"op": "remove", "path": "/none"}]}, "patches[0]: must apply to the manifest of the task, got 'remove /none'"),
        ({"run_as_user": "root"}, "run_as_user: must be a user ID or 'image', got 'root'."),
        ({"spiffe": {"sockt": "a"}}, "spiffe: unknown key 'sockt'; use driver, mount_path, socket."),
        ({"spiffe": "maybe"}, "spiffe: must be true, false or a mapping"),
        ({"stdin": "x"}, "stdin: requires command, which is not set."),
    ],
)
def test_invalid_options_are_refused_without_a_request(options, message):
    with pytest.raises(PodwrightError) as caught:
        validate(spec(**options))
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": [{"name": "a"}, {"name": "b", "retries": 1, "max_depth": -1}]}, "tasks[1].max_depth: must be at least 0"),
        ({"tasks": [{"name": "a"}], "max_depth": -1}, "max_depth: must be at least 0"),  # set beside the list
        ({"tasks": [{"name": "a"}, {"name": "a"}]}, "tasks[1].name: must be unique in namespace 'n', got 'a' again."),
        ({"tasks": [{"image": "i"}]}, "tasks[0].name: must be set unless generate_name is."),
        ({"tasks": [{"name": "a", "kind": "Deployment"}]}, "tasks[0].kind: must be Pod or Job, got 'Deployment'."),
        ({"name": "a", "prune": True}, "prune: requires set"),
    ],
)
def test_an_error_contains_the_full_path_of_the_option(options, message):
    defaults = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()}
    call = Invocation(defaults | {"namespace": "n", "image": "i"} | options, False, False, Console())
    with pytest.raises(PodwrightError) as caught:
        task_pod.run(call, task_pod.Tasks())
    assert caught.value.message.startswith(message) and caught.value.reason == "BadOption"


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


SUCCEEDED, FAILED, KILLED = ({"terminated": {"exitCode": code, "reason": word}} for code, word in ((0, "Completed"), (3, "Error"), (137, "OOMKilled")))
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
READY = {"type": "Ready", "status": "True"}


@pytest.mark.parametrize(
    ("given", "state", "reason", "grace"),
    [
        (pod("Pending"), "pending", "Starting", None),
        (pod(state=RUNNING), "running", "", None),
        (pod("Succeeded", SUCCEEDED), "succeeded", "Completed", None),
        (pod("Running", SUCCEEDED), "succeeded", "Completed", None),  # a sidecar keeps the pod running
        (pod("Running", SUCCEEDED, policy="Always"), "pending", "Starting", None),
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
def test_the_status_is_read_from_the_pod(given, state, reason, grace):
    status = read_pod(given)
    assert (status.state, status.reason, status.grace) == (state, reason, grace)


def test_interruptions_are_distinguished_from_failures():
    disrupted = pod(
        "Failed",
        {"terminated": {"exitCode": 137, "reason": "Error"}},
        conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
    )
    assert read_pod(disrupted).is_interrupted and read_pod(disrupted).reason == "PreemptionByScheduler"
    assert not read_pod(pod("Failed", FAILED)).is_interrupted


def test_the_state_of_a_job_comes_from_its_conditions_and_the_reason_from_its_last_pod():
    job = {"kind": "Job", "metadata": {"name": "j"}, "status": {}}
    assert read_job(job, []).state == "pending"
    assert read_job(job, [pod("Failed", FAILED)]).state == "pending"  # the Job may retry
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}
    assert read_job(job, [pod("Failed", KILLED)]).reason == "OOMKilled"
    assert read_job(job, []).reason == "BackoffLimitExceeded"


# -- decisions ------------------------------------------------------------------------------------------------

STATES = {"active": Status("running"), "succeeded": Status("succeeded", rc=0), "failed": Status("failed", "Error", rc=1)}
# (rerun, same options) -> {state of the live object: action}; every combination is listed
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
def test_rerun_determines_the_action_for_an_existing_task(rerun, same, state):
    asked = spec(rerun=rerun)
    live = {"metadata": build_manifest(asked, "baseline")["metadata"]}
    live["metadata"]["labels"][HASH] = asked.hash if same else "other"
    assert decide(asked, live, STATES[state])[0] == DECISIONS[rerun, same][state]


def test_a_missing_or_deleting_task_is_created():
    assert decide(spec(), None, None)[0] == CREATE
    assert decide(spec(), {"metadata": {"deletionTimestamp": "x"}}, Status("deleting"))[0] == CREATE


def test_an_interrupted_run_resumes_the_count_of_retries():
    asked = spec(retries=1)
    live = {"metadata": build_manifest(asked, "baseline", 1)["metadata"]}
    assert decide(asked, live, STATES["failed"])[0] == REPLACE
    live["metadata"]["labels"]["podwright.io/attempt"] = "2"
    assert decide(asked, live, STATES["failed"])[0] == NONE


@pytest.mark.parametrize(("rerun", "action"), [("never", NONE), ("on_change", REPLACE), ("on_failure", REPLACE), ("always", REPLACE)])
def test_an_interrupted_task_runs_again_without_using_up_an_attempt(rerun, action):
    asked = spec(rerun=rerun)
    live = {"metadata": build_manifest(asked, "baseline", 2)["metadata"]}
    evicted = Status("failed", "Evicted", rc=None, is_interrupted=True)
    assert decide(asked, live, evicted)[0] == action
    assert (next_attempt(asked, live, evicted), next_attempt(asked, live, STATES["failed"])) == (2, 3)


def test_a_terminated_task_whose_state_is_running_is_replaced():
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
def test_resources_of_a_running_pod_are_resized_in_place(options, state, action):
    live = {"metadata": build_manifest(spec(**options), "baseline")["metadata"]}
    assert decide(spec(**options, **RESIZED), live, STATES[state])[0] == action
    equal = {"resources": {"limits": {"cpu": "2000m"}, "requests": {"cpu": "1"}}}
    live = {"metadata": build_manifest(spec(**options, **RESIZED), "baseline")["metadata"]}
    if state == "active":
        assert decide(spec(**options, **equal), live, STATES[state])[0] == NONE


def test_resources_of_ordinary_containers_are_resized_in_place_too():
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
def test_the_progress_of_a_resize_is_read_from_the_pod(pod, reason):
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
def test_a_record_replaces_a_deleted_pod(options, state, action):
    asked = spec(**options)
    assert decide(asked, None, STATES[state], record_of(asked, state))[0] == action
    other = spec(**options, env={"A": "b"})
    assert decide(other, None, STATES[state], record_of(asked, state))[0] == CREATE
    assert decide(spec(**options, **RESIZED), None, STATES[state], record_of(asked, state))[0] == CREATE


def test_a_record_is_read_as_it_was_written():
    asked = spec(cleanup="always", ttl=5)
    status = Status("failed", "Error", "exit code 3", 3)
    assert read_record(build_record(asked, status, None, 2, "line")) == Record(asked.hash, asked.resources_hash, status, 2, None, None, "line")
    assert asked.keeps_record and not spec().keeps_record and not spec(cleanup="always", record=False).keeps_record


# -- networks and parents -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("open", "network: must be default, isolated or a mapping with ingress and egress, got 'open'."),
        ({"egres": []}, "network: unknown key 'egres'; use ingress, egress."),
        ({"egress": "dns"}, "network.egress: must be a list, got 'dns'."),
        ({"egress": [{}]}, "network.egress[0]: must be dns, same_namespace, a CIDR or a mapping"),
        ({"egress": ["dns", "10.0.0.1/8"]}, "network.egress[1]: must be dns, same_namespace or a CIDR such as 10.0.0.0/8"),
        ({"egress": [{"cidr": "10.0.0.0/8", "pods": {}}]}, "network.egress[0]: must have either cidr, or namespace and pods"),
        ({"ingress": [{"port": 1}]}, "network.ingress[0]: unknown key 'port'; use cidr, except, namespace, pods, ports."),
        ({"ingress": [{"ports": ["80/HTTP"]}]}, "network.ingress[0].ports[0]: must be a port such as 443 or 53/UDP"),
        ({"ingress": [{"pods": "web"}]}, "network.ingress[0].pods: must be a mapping of labels, got 'web'."),
    ],
)
def test_an_invalid_network_is_refused(network, message):
    with pytest.raises(PodwrightError) as caught:
        validate(spec(network=network))
    assert caught.value.message.startswith(message)


def test_an_isolated_task_is_denied_ingress_and_egress():
    policy = build_policy("t", "n", "isolated")["spec"]
    expected = {"podSelector": {"matchLabels": {"podwright.io/task": "t"}}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}
    assert policy == expected
    assert build_policy("t", "n", "default") is None


@pytest.mark.parametrize("parent", [5, {}, {"name": "p", "color": "red"}, {"name": "p", "namespace": "other"}])
def test_an_invalid_parent_is_refused(parent):
    with pytest.raises(PodwrightError, match="parent"):
        read_parent(parent, "n")


def test_a_child_has_an_owner_reference_and_the_remaining_limits():
    annotations = {"podwright.io/max-depth": "2", "podwright.io/max-children": "3"}
    item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "u", "annotations": annotations}}
    metadata = build_manifest(spec(), "baseline", 1, Parent(item, False))["metadata"]
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "blockOwnerDeletion": True}
    assert metadata["ownerReferences"] == [reference] and metadata["labels"]["podwright.io/parent"] == "u"
    assert metadata["annotations"]["podwright.io/max-depth"] == "1" and metadata["annotations"]["podwright.io/max-children"] == "3"
    deeper = build_manifest(spec(max_depth=5), "baseline", 1, Parent(item, False))["metadata"]["annotations"]
    assert deeper["podwright.io/max-depth"] == "1", "a child must not exceed the limits of its parent"
