# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of invalid input name the option or file; nothing is changed."""

from __future__ import annotations

import os
import random

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD

from ..support.environment import CLUSTER, KUBECONFIG, ROOT, scaled
from ..support.playbooks import MODES

GOOD = {"name": "good", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["true"], "state": "completed"}
CERTIFICATES = CLUSTER / "certificates"

# case -> (module, options, what the message must hold)
CASES = {
    "wrong type": ("task_pod", GOOD | {"retries": "many"}, ["retries", "many"]),
    "unknown option": ("task_pod", GOOD | {"imge": "x"}, ["imge: unknown option; did you mean image"]),
    "unknown option in an item": (
        "task_pod",
        {"tasks": [{"name": "a", "image": "b", "imge": "x"}]},
        ["tasks[0].imge: unknown option of tasks; did you mean image"],
    ),
    "unknown suboption": ("task_pod", GOOD | {"resources": {"cpu": "1"}}, ["resources.cpu: unknown option of resources; options: claims, limits, requests."]),
    "a keyword of the task": ("task_pod", GOOD | {"register": "x"}, ["register: unknown option; register is a keyword of the task."]),
    "a boolean as text": ("task_pod", GOOD | {"shared_workspace": True}, ["shared_workspace: must be a string, got the boolean true."]),
    "a duration": ("task_pod", GOOD | {"timeout": "10m"}, ["timeout: must be an integer, got '10m'. Durations are in seconds."]),
    "no image": ("task_pod", {"name": "x", "command": ["true"]}, ["image:", "'x'"]),
    "no name": ("task_pod", {"image": "x"}, ["name", "tasks"]),
    "two names alike": ("task_pod", {"image": "x", "tasks": [{"name": "a"}, {"name": "a"}]}, ["tasks[1].name:", "'a'"]),
    "bad name": ("task_pod", GOOD | {"name": "Not_A_Name"}, ["name:", "Not_A_Name"]),
    "bad quantity": ("task_pod", GOOD | {"resources": {"limits": {"memory": "12 Mo"}}}, ["resources.limits.memory", "12 Mo"]),
    "bad patch": ("task_pod", GOOD | {"patches": [{"op": "replace", "path": "/no/where", "value": 1}]}, ["patches[0]:"]),
    "malformed patch": ("task_pod", GOOD | {"patches": [{"op": "frobnicate", "path": "/spec"}]}, ["patches[0]:"]),
    "command as text": ("task_pod", GOOD | {"command": "echo hello"}, ["command:", "list"]),
    "bad kind": ("task_pod", GOOD | {"kind": "Deployment"}, ["kind:", "Deployment"]),
    "bad probe": ("task_pod", GOOD | {"readiness_probe": {"htp": "/:80"}}, ["readiness_probe:", "htp"]),
    "bad env": ("task_pod", GOOD | {"env": {"A": {"secert": "x", "key": "y"}}}, ["env.A:"]),
    "two sources": ("task_pod", GOOD | {"volumes": [{"name": "v", "secret": "a", "config_map": "b"}]}, ["volumes[0]:", "'v'"]),
    "stdin without command": ("task_pod", {"name": "x", "image": "y", "stdin": "z"}, ["stdin:", "command"]),
    "prune without set": ("task_pod", GOOD | {"prune": True}, ["prune:", "set"]),
    "refused by the server": ("task_pod", GOOD | {"ports": [{"container_port": 99999}]}, ["containerPort", "65535"]),
    "two definitions of one object": (
        "resource_set",
        {"definition": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": value}} for value in "vw"]},
        ["Two different definitions", "'a'"],
    ),
    "no kind": ("resource_set", {"definition": {"apiVersion": "v1", "metadata": {"name": "a"}}}, ["kind"]),
    "bad YAML": ("resource_set", {"definition": "a: [1"}, ["definition", "line"]),
    "no text": ("resource_set", {"src": "/bin/true"}, ["src", "/bin/true", "UTF-8"]),
    "no file": ("resource_set", {"src": "no-such-file.yml"}, ["src", "no-such-file.yml"]),
    "nothing": ("resource_set", {}, ["definition"]),
    "unknown field": ("resource_set", {"definition": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "dta": {}}}, ["dta"]),
    "no pod to run in": ("pod_exec", {"command": "true"}, ["pod", "label_selectors"]),
    "two inputs": ("pod_exec", {"pod": "a", "command": "cat", "stdin": "x", "stdin_file": "/y"}, ["stdin", "stdin_file"]),
    "no input file": ("pod_exec", {"pod": "a", "command": "cat", "stdin_file": "/no/such"}, ["stdin_file:", "/no/such"]),
    "no time": ("pod_exec", {"pod": "a", "command": "cat", "timeout": -1}, ["timeout:"]),
    "bad variable": ("pod_exec", {"pod": "a", "command": "cat", "env": {"A=B": "c"}}, ["env", "A=B"]),
    "nothing to copy": ("pod_copy", {"pod": "a", "remote_path": "/x"}, ["local_path", "content"]),
    "no local file": ("pod_copy", {"pod": "a", "remote_path": "/x", "local_path": "/no/such"}, ["local_path:", "/no/such"]),
    "content from a pod": ("pod_copy", {"pod": "a", "remote_path": "/x", "content": "x", "state": "from_pod"}, ["content:"]),
    "bad mode": ("pod_copy", {"pod": "a", "remote_path": "/x", "content": "x", "mode": "rw"}, ["mode:", "rw"]),
    "times without times": ("pod_copy", {"pod": "a", "remote_path": "/x", "content": "x", "checksum": False}, ["checksum:", "content"]),
    "times that differ": (
        "pod_copy",
        {"pod": "a", "remote_path": "/x", "local_path": "x", "no_preserve": True, "checksum": 0},
        ["checksum:", "no_preserve"],
    ),
    "bad owner": ("pod_copy", {"pod": "a", "remote_path": "/x", "content": "x", "owner": "a b"}, ["owner:"]),
    "no pod to read": ("pod_logs", {}, ["name", "label_selectors"]),
    "two times": ("pod_logs", {"name": "a", "since_seconds": 1, "since_time": "2026-01-01T00:00:00Z"}, ["since_time:"]),
    "no such kind": ("pod_logs", {"kind": "Podd", "name": "a"}, ["Podd"]),
    "bad path": ("pod_request", {"pod": "a", "port": "1", "path": "x"}, ["path:", "slash"]),
    "bad method": ("pod_request", {"pod": "a", "port": "1", "protocol": "grpc", "grpc_method": "x"}, ["grpc_method:"]),
    "no method": ("pod_request", {"pod": "a", "port": "1", "method": "GET /"}, ["method:", "GET /"]),
    "no header": ("pod_request", {"pod": "a", "port": "1", "headers": {"a b": "c"}}, ["headers:", "a b"]),
    "two headers in one": ("pod_request", {"pod": "a", "port": "1", "headers": {"X-A": "b\r\nX-C: d"}}, ["headers.X-A:", "control"]),
    "no form": ("pod_request", {"pod": "a", "port": "1", "body": 5, "body_format": "form-urlencoded"}, ["body:", "form-urlencoded"]),
    "no authority": ("pod_request", {"pod": "a", "port": "1", "protocol": "https", "server_ca": "/no/such"}, ["server_ca:", "/no/such"]),
    "bad request in a list": ("pod_request", {"pod": "a", "port": "1", "requests": [{"path": "x"}]}, ["requests[0].path:"]),
    "a parent abroad": ("task_pod", GOOD | {"parent": {"name": "p", "namespace": "elsewhere"}}, ["parent.namespace:", "elsewhere"]),
    "no network": ("task_pod", GOOD | {"network": "closed"}, ["network:", "closed"]),
    "no range": ("task_pod", GOOD | {"network": {"egress": ["10.0.0.1/8"]}}, ["network.egress[0]:", "10.0.0.1/8"]),
    "no limit": ("task_pod", GOOD | {"max_children": -1}, ["max_children:"]),
    "a tree and a name": ("pod_info", {"name": "a", "parent": "b"}, ["name", "parent"]),
    "a tree and selectors": ("pod_info", {"label_selectors": ["a=b"], "parent": "b"}, ["label_selectors:", "parent"]),
    "a tree to wait for": ("pod_info", {"wait": True, "parent": "b"}, ["wait:", "parent"]),
    "a tree of Jobs": ("pod_info", {"kind": "Job", "api_version": "batch/v1", "parent": "b"}, ["kind:", "parent"]),
    "Jobs that run": ("pod_info", {"kind": "Job", "api_version": "batch/v1", "wait_for": "running"}, ["wait_for:", "kind Job", "wait_condition"]),
    "use of Jobs": ("pod_info", {"kind": "Job", "api_version": "batch/v1", "metrics": True}, ["metrics:", "kind Job"]),
    "a tree of nobody": ("pod_info", {"parent": "nobody"}, ["'nobody'", "does not exist"]),
    "negative age": ("pod_gc", {"completed": {"max_age": -1}}, ["completed.max_age:", "-1"]),
    "no rate": ("pod_gc", {"rate": 0}, ["rate:"]),
    "no namespaces": ("pod_gc", {"namespaces": []}, ["namespaces:"]),
    "all and one": ("pod_gc", {"namespaces": ["*", "a"]}, ["namespaces:", "*"]),
    "unknown leftovers": ("pod_gc", {"reclaim": ["Deployment"]}, ["reclaim", "Deployment"]),
    "nothing to scale by": ("pod_autoscale", {"name": "a"}, ["target_cpu:"]),
    "no range of replicas": (
        "pod_autoscale",
        {"name": "a", "target_cpu": 1, "min_replicas": 5, "max_replicas": 2},
        ["min_replicas:", "max_replicas (2), got 5"],
    ),
    "fixed and automatic": ("pod_autoscale", {"name": "a", "replicas": 1, "target_cpu": 5}, ["replicas:", "target_cpu"]),
    "a guard of nothing": ("pod_autoscale", {"name": "a", "target_cpu": 5, "current_replicas": 2}, ["current_replicas:", "fixed number"]),
    "to leave many": ("pod_autoscale", {"label_selectors": ["a=b"], "state": "absent"}, ["label_selectors:"]),
    "nothing to scale": ("pod_autoscale", {"replicas": 1}, ["name:"]),
    "no such condition": (
        "pod_deployment",
        {"name": "a", "image": "b", "service": "a", "strategy": "canary", "canary": {"analysis": [{"command": "true", "success": "good"}]}},
        ["canary.analysis[0].success:", "good"],
    ),
    "no way to change": ("pod_deployment", {"name": "a", "image": "b", "max_surge": 0}, ["max_surge:"]),
    "no service to turn": ("pod_deployment", {"name": "a", "image": "b", "strategy": "blue_green"}, ["service:", "blue_green"]),
    "weights that fall": (
        "pod_deployment",
        {"name": "a", "image": "b", "service": "a", "ports": [1], "strategy": "canary", "canary": {"steps": [{"weight": 50}, {"weight": 20}]}},
        ["canary.steps[1].weight:", "20"],
    ),
    "no ports": ("pod_deployment", {"name": "a", "image": "b", "service": "a"}, ["service.ports:", "Set"]),
    "nothing to go back to": ("pod_deployment", {"name": "a", "state": "rolled_back"}, ["'a'", "does not exist"]),
    "kubeconfig is missing": ("pod_info", {"kubeconfig": "/no/such/kubeconfig"}, ["/no/such/kubeconfig", "kubeconfig"]),
    "kubeconfig is not YAML": ("pod_info", {"kubeconfig": str(ROOT / "Makefile")}, ["Makefile"]),
    "no such context": ("pod_info", {"context": "nowhere"}, ["nowhere"]),
    "connection refused": ("pod_info", {"host": "https://127.0.0.1:1"}, ["https://127.0.0.1:1"]),
    "expired certificate": ("pod_info", {"kubeconfig": str(CERTIFICATES / "expired.kubeconfig")}, ["credentials"]),
    "untrusted server": ("pod_info", {"ca_cert": str(CERTIFICATES / "front-proxy-ca.crt")}, ["TLS", "ca_cert"]),
    "no such certificate": ("pod_info", {"client_cert": "/no/such.crt"}, ["client_cert", "/no/such.crt"]),
}


def chosen_cases(mode):
    """All cases, or those to try with a process each: one of each module, and others by the seed (PODWRIGHT_SEED)."""
    if mode == "action":
        return CASES
    first = {module: case for case, (module, _options, _texts) in reversed(CASES.items())}
    others = [case for case in CASES if case not in first.values()]
    sample = random.Random(os.environ.get("PODWRIGHT_SEED", "0")).sample(others, min(scaled(4), len(others)))
    return {case: value for case, value in CASES.items() if case in first.values() or case in sample}


@pytest.mark.parametrize("mode", MODES)
def test_invalid_input_is_reported_and_changes_nothing(mode, play, namespace, client):
    cases = chosen_cases(mode)
    tasks = [{"name": case, f"podwright.core.{module}": options, "ignore_errors": True} for case, (module, options, _texts) in cases.items()]
    played = play(tasks, mode=mode, namespace=namespace)
    wrong = []
    for case, (_module, _options, texts) in cases.items():
        result = played.of(case)
        message = result.get("msg", "")
        if not result.get("failed") or any(text not in message for text in texts) or result.get("changed"):
            wrong.append(f"{case}: {message}")
    assert not wrong, "\n\n".join(wrong)
    assert client.list(POD, namespace)[0] == []


def test_kubeconfig_of_the_environment_is_named(play):
    task = {"name": "Read", "podwright.core.pod_info": {"kubeconfig": None}, "environment": {"KUBECONFIG": "/not/there"}}
    assert "KUBECONFIG=/not/there" in play([task], expect=2).of("Read")["msg"]


def test_environment_of_the_task_is_used_and_named_in_the_error(play):
    task = {"name": "Read", "podwright.core.pod_info": {"kubeconfig": None}, "environment": {"KUBECONFIG": KUBECONFIG}}
    result = play([task]).of("Read")
    assert result["cluster"]["source"] == f"KUBECONFIG={KUBECONFIG}"


def test_missing_permission_names_verb_resource_and_namespace(play, namespace):
    task = {"name": "Read", "podwright.core.pod_info": {"impersonate_user": "nobody"}}
    message = play([task], namespace=namespace, expect=2).of("Read")["msg"]
    assert all(text in message for text in ("'list'", "'pods'", namespace, "nobody"))


def test_a_missing_permission_for_a_stream_names_the_subresource(play, namespace, client):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "box"}, "spec": {"containers": [{"name": "task", "image": "busybox"}]}}
    client.create(POD, namespace, pod, "test")
    task = {"name": "Run", "podwright.core.pod_exec": {"pod": "box", "command": "true", "impersonate_user": "nobody"}}
    message = play([task], namespace=namespace, expect=2).of("Run")["msg"]
    # A websocket is authorized by both verbs since Kubernetes 1.35; the first that is missing is named.
    assert all(text in message for text in ("'get'", "'pods/exec'", namespace, "nobody"))


# What Ansible's validation of a role accepts, or describes without the name of the variable, and what is said about it.
ROLE_INPUT = [
    ("network_policy", {"namespace": ""}, "network_policy_namespace: must not be empty."),
    ("storage", {"namespace": "", "state": "absent"}, "storage_namespace: must not be empty."),
    ("namespace", {"name": "n", "labels": "a=b"}, "namespace_labels: must be a mapping, got a string; write extra variables of the command line as JSON"),
    (
        "namespace",
        {"name": "n", "image_pull_secrets": [{"name": "a", "registry": "r", "username": "", "password": ""}]},
        "namespace_image_pull_secrets[0].username: must not be empty. namespace_image_pull_secrets[0].password: must not be empty.",
    ),
    (
        "rbac",
        {"namespace": "n", "service_accounts": [{"name": "a", "purposes": "reading"}]},
        "rbac_service_accounts[0].purposes: must be a list, got a string.",
    ),
    (
        "namespace",
        {"name": "n", "mesh": "istio", "labels": {"pod-security.kubernetes.io/enforce": "privileged", "istio-injection": "disabled"}},
        "namespace_labels and namespace_annotations: must not contain pod-security.kubernetes.io/enforce, istio-injection, which the role sets from variables",
    ),
    ("rbac", {"namespace": "n", "service_accounts": ["name=a"]}, "rbac_service_accounts[0]: must be a mapping, got a string."),
    (
        "quota",
        {"namespace": "n", "scoped": [{"name": "a", "priority_classes": "high", "max_pods": 1}]},
        "quota_scoped[0].priority_classes: must be a list, got a string.",
    ),
    ("image_policy", {"name": "", "registries": ["a.b"], "namespace_selector": {"matchLabels": {"a": "b"}}}, "image_policy_name: must not be empty."),
    ("image_prepull", {"namespace": "n", "images": "busybox"}, "image_prepull_images: must be a list, got a string; write extra variables"),
    ("registry", {"namespace": "n", "names": "registry.local"}, "registry_names: must be a list, got a string; write extra variables"),
    ("monitoring", {"namespace": "n", "dashboard_labels": "a=b"}, "monitoring_dashboard_labels: must be a mapping, got a string; write extra variables"),
    ("service", {"namespace": "n", "name": "w", "selector": {"a": "b"}, "ingress": {"hosts": "a.b"}}, "service_ingress.hosts: must be a list, got a string."),
    ("task_runner", {"tasks": [], "options": "rerun=always"}, "task_runner_options: must be a mapping, got a string; write extra variables"),
    (
        "workload_identity",
        {"namespace": "n", "node_selector": "a=b"},
        "workload_identity_node_selector: must be a mapping, got a string; write extra variables",
    ),
]


def test_roles_refuse_text_for_lists_and_empty_names_before_any_request(play):
    said = {"ansible.builtin.debug": {"msg": "{{ ansible_failed_result.msg }}"}}
    tasks = []
    for number, (role, variables, _words) in enumerate(ROLE_INPUT):
        given = {f"{role}_{name}": value for name, value in variables.items()}
        include = {"ansible.builtin.include_role": {"name": f"podwright.core.{role}"}, "vars": given}
        tasks.append({"block": [include], "rescue": [said | {"name": f"case {number}"}]})
    played = play(tasks, kubeconfig="/dev/null")
    for number, (_role, _variables, words) in enumerate(ROLE_INPUT):
        assert played.of(f"case {number}")["msg"].startswith(words)
