# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the options of a task to the manifest of its Pod or Job, and to its hash."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import options as opts
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.network_policy import build_policy
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.security_context import pod_context

from .task_specs import spec


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


def test_scalars_are_text_as_yaml_spells_it():
    """In fields that are strings in the API, true is `true`, not Python's `True`."""
    odd = {"yes": True, "no": False, "one": 1, "half": 0.5, "none": None, True: "key"}
    text = {"yes": "true", "no": "false", "one": "1", "half": "0.5", "none": "", "true": "key"}
    options = {"labels": odd, "annotations": odd, "node_selector": odd, "env": odd, "command": list(odd.values()), "args": list(odd.values())}
    manifest = build_manifest(spec(**options, liveness_probe={"exec": [True]}), "baseline")
    container = manifest["spec"]["containers"][0]
    for built in (manifest["metadata"]["labels"], manifest["metadata"]["annotations"], manifest["spec"]["nodeSelector"]):
        assert text.items() <= built.items()
    assert container["command"] == container["args"] == list(text.values())
    assert {item["name"]: item["value"] for item in container["env"]} == text
    assert container["livenessProbe"]["exec"]["command"] == ["true"]
    rule = build_policy("t", "n", {"ingress": [{"pods": odd, "namespace": 7}]})["spec"]["ingress"][0]["from"][0]
    assert rule["podSelector"]["matchLabels"] == text and rule["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "7"}


def test_spelling_of_arguments_is_no_change_of_a_task():
    """Ansible converted `args` to text before: an upgrade must not run tasks again."""
    assert spec(args=["1", "0.5"]).hash == spec(args=[1, 0.5]).hash != spec(args=["2", "0.5"]).hash
    assert spec(containers=[{"name": "c", "args": [1]}]).hash == spec(containers=[{"name": "c", "args": ["1"]}]).hash


@pytest.mark.parametrize("option", ["labels", "annotations", "node_selector", "env"])
@pytest.mark.parametrize("value", [["secret"], {"secret": {"secret": 1}}])
def test_lists_and_mappings_are_no_text(option, value):
    with pytest.raises(PodwrightError, match=rf"^{option}\.a: must be") as caught:
        build_manifest(spec(**{option: {"a": value}}), "baseline")
    assert "secret'" not in str(caught.value)


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
        "privileged": True, "allow_privilege_escalation": True, "capabilities": {"add": ["CHOWN"]}, "read_only_root_filesystem": True, "proc_mount": "Default",
        "run_as_non_root": True, "seccomp": "Unconfined", "apparmor": "RuntimeDefault", "fs_group_change_policy": "Always", "supplemental_groups": [1],
        "supplemental_groups_policy": "Strict", "sysctls": {"kernel.msgmax": 1}, "host_network": True, "host_pid": True, "host_ipc": True, "host_users": False,
        "share_process_namespace": True, "topology_spread": ["zone"], "scheduler_name": "s", "preemption_policy": "Never",
        "resource_claims": [{"name": "gpu", "claim": "c"}], "registry": "r.example", "secret_env": {"A": "b"},
        "timeout": 5, "ttl": 5, "kind": "Job", "max_depth": 1, "max_children": 1, "queue": "q", "spiffe": True,
        "inputs": [{"path": "/in/a", "content": "x"}], "results": {"r": "/out/r"}, "artifacts": [{"path": "/out/a", "dest": "a"}],
    }  # fmt: skip
    elsewhere = {"stdin", "security_profile", "request_ratio", "parent", "network"}  # these have tests of their own
    assert set(samples) | elsewhere == (set(opts.TASK_OPTIONS) - set(opts.EXECUTION_OPTIONS) - set(opts.JOB_OPTIONS) - {"name", "generate_name"}) | set(
        opts.IN_MANIFEST
    )
    plain = build_manifest(spec(), "baseline")
    of_jobs = {
        "completions": 2, "parallelism": 2, "completion_mode": "NonIndexed", "backoff_limit_per_index": 1, "max_failed_indexes": 1,
        "pod_failure_policy": {"rules": [{"action": "Ignore", "on_pod_conditions": [{"type": "DisruptionTarget"}]}]},
    }  # fmt: skip
    assert set(of_jobs) == set(opts.JOB_OPTIONS)
    job = build_manifest(spec(kind="Job"), "baseline")
    for option, value in of_jobs.items():
        changed = spec(kind="Job", **{option: value})
        assert build_manifest(changed, "baseline")["spec"] != job["spec"] and changed.hash != spec(kind="Job").hash, option
    for option, value in samples.items():
        changed = spec(**{option: value})
        assert build_manifest(changed, "baseline")["spec"] != plain["spec"] or build_manifest(changed, "baseline")["metadata"] != plain["metadata"], option
        assert (changed.hash, changed.resources_hash) != (spec().hash, spec().resources_hash), option


def test_the_command_reads_standard_input_from_a_secret():
    fed = build_manifest(spec(command=["wc", "-l"], stdin="x"), "baseline")["spec"]
    assert fed["containers"][0]["command"][-2:] == ["wc", "-l"] and fed["volumes"][0]["secret"]["secretName"].startswith("t-private-")


def test_the_hash_includes_the_order_of_variables_if_one_refers_to_another():
    """The kubelet expands `$(NAME)` only if NAME is defined before it."""
    wrong, right = {"URL": "$(HOST)/x", "HOST": "web"}, {"HOST": "web", "URL": "$(HOST)/x"}
    assert spec(env=wrong).hash != spec(env=right).hash
    assert spec(env={"A": "1", "B": "2"}).hash == spec(env={"B": "2", "A": "1"}).hash
    sidecars = [[{"name": "s", "env": env}] for env in (wrong, right)]
    assert spec(containers=sidecars[0]).hash != spec(containers=sidecars[1]).hash


@pytest.mark.parametrize("option", ["env", "node_selector", "sysctls"])
def test_the_hash_of_a_number_is_that_of_its_text(option):
    """ansible-core before 2.19 makes text of the number that a template results in."""
    assert spec(**{option: {"A": 5, "B": True}}).hash == spec(**{option: {"A": "5", "B": "true"}}).hash != spec(**{option: {"A": "6", "B": "true"}}).hash


def test_the_hash_depends_on_the_options_that_define_the_task_only():
    assert spec().hash == spec(retries=3, rerun="always", logs="collect", cleanup="never").hash
    assert spec().hash != spec(state="running").hash
    assert spec(network="isolated").hash != spec().hash != spec(parent="p").hash
    assert spec(env={"A": "1", "B": "2"}).hash == spec(env={"B": "2", "A": "1"}).hash
