# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each option of a container and of a pod sets its field of the manifest, of tasks and of deployments alike."""

from __future__ import annotations

from dataclasses import replace

import jsonpointer
import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.deployments.manifests import build_deployment
from ansible_collections.podwright.core.plugins.module_utils._engine.deployments.options import DEPLOYMENT_OPTIONS
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest

from .task_specs import spec

AFFINITY = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {"matchExpressions": []}}]}}
SNAKE_CASE = {"node_affinity": {"preferred_during_scheduling_ignored_during_execution": [{"weight": 1, "preference": {"match_expressions": []}}]}}
HTTP = {"httpGet": {"path": "/ready", "port": 8080}}

# (options, JSON Pointer below the pod, value)
FIELDS = [
    ({"command": ["a"]}, "/spec/containers/0/command", ["a"]),
    ({"args": ["a", "b"]}, "/spec/containers/0/args", ["a", "b"]),
    ({"working_dir": "/work"}, "/spec/containers/0/workingDir", "/work"),
    ({"image_pull_policy": "Always"}, "/spec/containers/0/imagePullPolicy", "Always"),
    ({"env": {"A": "1"}}, "/spec/containers/0/env", [{"name": "A", "value": "1"}]),
    (
        {"env_from": [{"secret": "s", "prefix": "P_"}, {"config_map": "c", "optional": True}]},
        "/spec/containers/0/envFrom",
        [{"prefix": "P_", "secretRef": {"name": "s"}}, {"configMapRef": {"name": "c", "optional": True}}],
    ),
    ({"ports": [8080]}, "/spec/containers/0/ports", [{"containerPort": 8080}]),
    ({"ports": [{"container_port": "8080", "host_port": "80"}]}, "/spec/containers/0/ports", [{"containerPort": 8080, "hostPort": 80}]),
    ({"ports": [{"container_port": 80, "host_ip": "::1"}]}, "/spec/containers/0/ports", [{"containerPort": 80, "hostIP": "::1"}]),
    ({"liveness_probe": {"http": "/ready:8080"}}, "/spec/containers/0/livenessProbe/httpGet", HTTP["httpGet"]),
    ({"readiness_probe": {"httpGet": HTTP["httpGet"]}}, "/spec/containers/0/readinessProbe", HTTP),
    ({"startup_probe": {"exec": ["true"]}}, "/spec/containers/0/startupProbe/exec/command", ["true"]),
    ({"lifecycle": {"post_start": {"exec": {"command": ["a"]}}}}, "/spec/containers/0/lifecycle/postStart/exec/command", ["a"]),
    ({"resources": {"limits": {"cpu": "1"}}, "request_ratio": 0.25}, "/spec/containers/0/resources", {"limits": {"cpu": "1"}, "requests": {"cpu": "250m"}}),
    (
        {"resources": {"limits": {"memory": "0.1Gi", "ephemeral-storage": "107374182400m"}, "requests": {"cpu": "0.0005", "memory": "1.5Gi"}}},
        "/spec/containers/0/resources",
        {
            "limits": {"memory": "107374183", "ephemeral-storage": "107374183"},
            "requests": {"cpu": "0.0005", "memory": "1.5Gi", "ephemeral-storage": "107374183"},
        },
    ),
    (
        {"resources": {"limits": {"memory": "100000001"}}},
        "/spec/containers/0/resources",
        {"limits": {"memory": "100000001"}, "requests": {"memory": "50000001"}},
    ),
    ({"resources": {"limits": {"memory": None, "cpu": 1}}, "request_ratio": 1}, "/spec/containers/0/resources/limits", {"cpu": "1"}),
    ({"termination_grace_period": 3}, "/spec/terminationGracePeriodSeconds", 3),
    ({"service_account": "builder"}, "/spec/serviceAccountName", "builder"),
    ({"automount_service_account_token": True}, "/spec/automountServiceAccountToken", True),
    ({}, "/spec/automountServiceAccountToken", False),
    ({"image_pull_secrets": ["a", "b"]}, "/spec/imagePullSecrets", [{"name": "a"}, {"name": "b"}]),
    ({"node_selector": {"disk": "fast"}}, "/spec/nodeSelector", {"disk": "fast"}),
    ({"affinity": SNAKE_CASE}, "/spec/affinity", AFFINITY),
    ({"affinity": AFFINITY}, "/spec/affinity", AFFINITY),
    ({"tolerations": [{"key": "a", "operator": "Exists"}]}, "/spec/tolerations", [{"key": "a", "operator": "Exists"}]),
    ({"priority_class": "high"}, "/spec/priorityClassName", "high"),
    ({"preemption_policy": "Never"}, "/spec/preemptionPolicy", "Never"),
    ({"runtime_class": "gvisor"}, "/spec/runtimeClassName", "gvisor"),
    ({"scheduler_name": "mine"}, "/spec/schedulerName", "mine"),
    ({"host_aliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}]}, "/spec/hostAliases", [{"ip": "10.0.0.1", "hostnames": ["db"]}]),
    ({"dns": {"policy": "None", "nameservers": ["1.1.1.1"]}}, "/spec/dnsConfig/nameservers", ["1.1.1.1"]),
    ({"dns": {"policy": "None", "nameservers": ["1.1.1.1"]}}, "/spec/dnsPolicy", "None"),
    ({"run_as_user": 7, "run_as_group": 8}, "/spec/securityContext/runAsUser", 7),
    ({"run_as_user": 7, "run_as_group": 8}, "/spec/securityContext/runAsGroup", 8),
    ({"fs_group": 9}, "/spec/securityContext/fsGroup", 9),
    ({"share_process_namespace": True}, "/spec/shareProcessNamespace", True),
    ({"labels": {"team": "a"}}, "/metadata/labels/team", "a"),
    ({"annotations": {"team": "a"}}, "/metadata/annotations/team", "a"),
    ({"definition": {"spec": {"hostname": "h"}}}, "/spec/hostname", "h"),
    ({"patches": [{"op": "add", "path": "/spec/hostname", "value": "h"}]}, "/spec/hostname", "h"),
    ({"init_containers": [{"name": "i", "image": "j"}]}, "/spec/initContainers/0/image", "j"),
    ({"containers": [{"name": "side", "command": ["b"]}]}, "/spec/containers/1/command", ["b"]),
    ({"shared_workspace": "/w"}, "/spec/containers/0/volumeMounts/0/mountPath", "/w"),
    ({"volumes": [{"name": "v", "mount_path": "/v", "claim": "c"}]}, "/spec/volumes/0/persistentVolumeClaim", {"claimName": "c"}),
    (
        {
            "volumes": [
                {"name": "v", "mount_path": "/v", "projected": {"sources": [{"downward_api": {"items": [{"path": "n", "field_ref": {"field_path": "f"}}]}}]}}
            ]
        },
        "/spec/volumes/0/projected/sources/0",
        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "f"}}]}},
    ),
    ({"spiffe": True}, "/spec/volumes/0/csi", {"driver": "csi.spiffe.io", "readOnly": True}),
]


@pytest.mark.parametrize(("options", "pointer", "value"), FIELDS, ids=[f"{pointer} of {', '.join(options)}" for options, pointer, _value in FIELDS])
def test_option_sets_its_field_of_a_task(options, pointer, value):
    assert jsonpointer.resolve_pointer(build_manifest(spec("running", **options), "baseline"), pointer) == value


@pytest.mark.parametrize(("options", "pointer", "value"), FIELDS, ids=[f"{pointer} of {', '.join(options)}" for options, pointer, _value in FIELDS])
def test_option_sets_its_field_of_a_deployment(options, pointer, value):
    params = {name: entry.get("default") for name, entry in DEPLOYMENT_OPTIONS.items()} | {"name": "web", "drain_seconds": 0}
    template = build_deployment(spec("running", "web", **options), params, "baseline", "rolling", 3)["spec"]["template"]
    assert jsonpointer.resolve_pointer(template, pointer) == value


@pytest.mark.parametrize(
    ("dns", "more", "hostname"),
    [
        ({"subdomain": "workers"}, {}, "first"),
        ({"subdomain": "workers", "hostname": "other"}, {}, "other"),
        ({"subdomain": "workers"}, {"definition": {"spec": {"hostname": "other"}}}, "other"),
        ({"policy": "None"}, {"definition": {"spec": {"subdomain": "workers"}}}, "first"),
        ({"policy": "None"}, {}, None),
        ({"subdomain": "workers"}, {"kind": "Job"}, None),
        ({"subdomain": "workers"}, {"name": "not.a.label"}, None),
    ],
)
def test_a_task_with_a_subdomain_has_its_name_as_its_host_name(dns, more, hostname):
    pod = build_manifest(spec("running", **{"name": "first", "dns": dns} | more), "baseline")["spec"]
    assert (pod["template"]["spec"] if "template" in pod else pod).get("hostname") == hostname


def test_pods_of_a_deployment_with_a_subdomain_do_not_share_a_host_name():
    shared = replace(spec("running", "web", dns={"subdomain": "workers"}), peers={"podwright.io/deployment": "web"})
    assert "hostname" not in build_manifest(shared, "baseline")["spec"]
