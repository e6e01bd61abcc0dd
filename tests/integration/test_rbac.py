# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The purposes of the role rbac grant exactly the needed permissions, by comparison of their rules with the audit log."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN

from ..support.environment import KUBECONFIG, ROOT

RULES = yaml.safe_load((ROOT / "roles/rbac/vars/main.yml").read_text())
TARGETS = Path(__file__).parent / "targets"
# The audit log has the verb get for exec and port-forward over websockets; since Kubernetes 1.35 the verb create authorizes them.
UNLOGGED = {("create", "", "pods/exec"), ("create", "", "pods/portforward")}


def target(name):
    return yaml.safe_load((TARGETS / name / "tasks/main.yml").read_text())


def expand(rules):
    """{(verb, group, resource)} of a list of rules."""
    return {(verb, group, resource) for rule in rules for verb in rule["verbs"] for group in rule["apiGroups"] for resource in rule["resources"]}


def used_permissions(entries):
    """{(verb, group, resource)} of requests. An apply that creates its object needs the verb create as well."""
    found = set()
    for entry in entries:
        reference = entry.get("objectRef") or {}
        if "resource" not in reference:
            continue
        resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
        found.add((entry["verb"], reference.get("apiGroup", ""), resource))
        if entry["verb"] == "patch" and entry["responseStatus"].get("code") == 201:
            found.add(("create", reference.get("apiGroup", ""), resource))
    return found


@pytest.fixture
def credentials(play, tmp_path):
    """A function that returns the user name of a service account and a kubeconfig with a bound token of it."""

    def credentials_of(namespace, name):
        lookup = f"lookup('podwright.core.bound_token', '{name}', namespace='{namespace}', kubeconfig='{KUBECONFIG}')"
        token = play([{"name": "Token", "ansible.builtin.set_fact": {"token": "{{ " + lookup + " }}"}}]).of("Token")["ansible_facts"]["token"]
        config = yaml.safe_load(Path(KUBECONFIG).read_text())
        config["users"][0]["user"] = {"token": token}
        path = tmp_path / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return f"system:serviceaccount:{namespace}:{name}", path

    return credentials_of


@pytest.fixture
def account(namespace, play, credentials):
    """A function that creates a service account with purposes of the role rbac and returns its user name and a kubeconfig."""

    def create(name, purposes):
        role = {"rbac_namespace": namespace, "rbac_service_accounts": [{"name": name, "purposes": purposes}]}
        play([{"ansible.builtin.include_role": {"name": "podwright.core.rbac"}, "vars": role}])
        return credentials(namespace, name)

    return create


@pytest.fixture
def provisioner(client, play, namespace, make_namespace, credentials):
    """A service account that provisions the namespace from another one, so that it can delete the namespace: (user name, kubeconfig)."""
    home = make_namespace()
    name = f"provisioner-{namespace}"
    api = "rbac.authorization.k8s.io/v1"
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": home}]
    objects = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": home}}]
    purposes = ("provisioning", "task_running", "reading")
    for kind, metadata, rules in (
        ("Role", {"namespace": namespace}, [rule for purpose in purposes for rule in RULES["rbac_rules"][purpose]]),
        ("ClusterRole", {}, cluster_rules(namespace)),
    ):
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        objects.append({"apiVersion": api, "kind": kind, "metadata": {"name": name, **metadata}, "rules": rules})
        objects.append({"apiVersion": api, "kind": f"{kind}Binding", "metadata": {"name": name, **metadata}, "roleRef": reference, "subjects": subjects})
    play([{"podwright.core.resource_set": {"definition": objects}}])
    yield credentials(home, name)
    for kind in ("ClusterRoleBinding", "ClusterRole"):
        client.delete(BUILT_IN[api, kind], None, name)


def cluster_rules(namespace):
    """The cluster-scoped rules for that namespace."""
    rules = RULES["rbac_cluster_rules"] + RULES["rbac_storage_rules"]
    return [rule | ({"resourceNames": [namespace]} if "resourceNames" in rule else {}) for rule in rules]


def test_task_running_grants_exactly_what_is_needed(account, play, namespace, audit):
    user, kubeconfig = account("runner", ["task_running"])
    play([task for task in target("task_pod_lifecycle") if "podwright.core.task_pod" in task], namespace=namespace, kubeconfig=kubeconfig)
    for name in ("task_pod", "pod_exec", "pod_copy", "pod_logs"):
        play(target(name), namespace=namespace, kubeconfig=kubeconfig)
    web = {"name": "web", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["httpd", "-f", "-p", "80", "-h", "/etc"]}
    web |= {"labels": {"app": "web"}, "readiness_probe": {"tcp": 80, "interval": 1}, "termination_grace_period": 0}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    play([{"podwright.core.task_pod": web}, {"podwright.core.resource_set": {"definition": service}}], namespace=namespace)
    play([{"podwright.core.pod_request": {"service": "web", "port": "80", "path": "/passwd"}}], namespace=namespace, kubeconfig=kubeconfig)
    task = {"name": "fails", "image": "busybox", "image_pull_policy": "IfNotPresent", "state": "completed"}
    play([{"name": "Fail", "podwright.core.task_pod": task | {"command": ["false"]}}], namespace=namespace, kubeconfig=kubeconfig, expect=2)
    job = task | {"command": ["true"], "kind": "Job", "cleanup": "always"}
    play([{"name": "Run as a Job", "podwright.core.task_pod": job}], namespace=namespace, kubeconfig=kubeconfig)
    granted = expand(RULES["rbac_rules"]["task_running"])
    used = used_permissions(audit.entries(user))
    assert used - granted == set()
    assert granted - used <= UNLOGGED


def test_reading_grants_exactly_what_is_needed(account, play, namespace, audit):
    user, kubeconfig = account("reader", ["reading"])
    pod = {
        "name": "healthy",
        "image": "busybox",
        "image_pull_policy": "IfNotPresent",
        "command": ["sleep", "3600"],
        "state": "present",
        "termination_grace_period": 0,
    }
    play([{"podwright.core.task_pod": pod}], namespace=namespace)
    bad = pod | {"name": "bad", "command": ["sh", "-c", "exit 2"], "restart_policy": "Never", "readiness_probe": {"exec": "false"}}
    play([{"podwright.core.task_pod": bad}], namespace=namespace)
    tasks = [
        {"podwright.core.pod_info": {"name": "healthy", "wait_for": "ready", "events": True}},
        {"podwright.core.pod_info": {"metrics": True}},
        {"name": "Unreachable", "podwright.core.pod_info": {"name": "bad", "wait_for": "ready", "wait_timeout": 20}, "ignore_errors": True},
        {"podwright.core.pod_info": {"label_selectors": ["no=such"], "wait_for": "ready", "wait_timeout": 1}, "ignore_errors": True},
    ]
    assert play(tasks, namespace=namespace, kubeconfig=kubeconfig).of("Unreachable")["failed"]
    assert used_permissions(audit.entries(user)) == expand(RULES["rbac_rules"]["reading"]) | {("get", "", "pods/log")}


def test_deploying_grants_exactly_what_is_needed(account, play, namespace, audit):
    user, kubeconfig = account("deployer", ["deploying"])
    play(target("pod_deployment"), namespace=namespace, kubeconfig=kubeconfig)
    for task in target("pod_autoscale"):  # another user creates the objects that it scales
        play([task], namespace=namespace, kubeconfig=kubeconfig if "podwright.core.pod_autoscale" in task else None, expect=None)
    bad = {"name": "bad", "image": "docker.io/podwright/none:1", "image_pull_policy": "Always", "progress_deadline": 3}
    direct = {"name": "web", "target_cpu": 50, "engine": "direct"}
    tasks = [{"podwright.core.pod_deployment": bad, "ignore_errors": True}, {"podwright.core.pod_autoscale": direct, "ignore_errors": True}]
    crash = {"name": "crash", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["sh", "-c", "exit 1"], "progress_deadline": 3}
    play([*tasks, {"podwright.core.pod_deployment": crash, "ignore_errors": True}], namespace=namespace, kubeconfig=kubeconfig)
    granted, used = expand(RULES["rbac_rules"]["deploying"]), used_permissions(audit.entries(user))
    assert used - granted == set()
    assert granted - used <= UNLOGGED | {("get", "", "pods")}


def test_garbage_collecting_grants_exactly_what_is_needed(account, play, namespace, audit):
    user, kubeconfig = account("collector", ["garbage_collecting"])
    for task in (task for task in target("pod_gc") if "ansible.builtin.assert" not in task):  # another user creates the objects
        play([task], namespace=namespace, kubeconfig=kubeconfig if "podwright.core.pod_gc" in task else None, expect=None)
    job = {"name": "finished", "kind": "Job", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["true"], "state": "completed"}
    record = {"name": "short", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["true"], "state": "completed", "cleanup": "always"}
    play([{"podwright.core.task_pod": job}, {"podwright.core.task_pod": record}], namespace=namespace)
    options = {"completed": {}, "records": {}, "expired": True, "reclaim": ["Job"], "reclaim_age": 0}
    play([{"podwright.core.pod_gc": options}], namespace=namespace, kubeconfig=kubeconfig)
    assert used_permissions(audit.entries(user)) == expand(RULES["rbac_rules"]["garbage_collecting"])


@pytest.mark.serial  # labels the only real node, as the molecule scenario does
def test_provisioning_grants_exactly_what_is_needed(provisioner, play, namespace, audit):
    user, kubeconfig = provisioner
    roles = {
        "namespace": {"namespace_name": namespace, "namespace_image_pull_secrets": [{"name": "r", "registry": "r", "username": "u", "password": "p"}]},
        "rbac": {"rbac_namespace": namespace, "rbac_service_accounts": [{"name": "runner", "purposes": ["task_running", "reading"]}]},
        "quota": {"quota_namespace": namespace, "quota_max_pods": 50, "quota_default_limits": {"cpu": "100m"}, "quota_pod_ttl_seconds": 60},
        "network_policy": {"network_policy_namespace": namespace},
        "storage": {
            "storage_namespace": namespace,
            "storage_classes": [{"name": namespace}],
            "storage_volumes": [{"name": namespace, "capacity": "1Gi", "class": namespace, "host_path": "/tmp/podwright-rbac"}],
            "storage_claims": [{"name": "data", "size": "1Gi", "class": namespace}],
            "storage_node_labels": {"node-1": {f"podwright.io/{namespace}": "true"}},
        },
    }

    def include(role, state):
        return {"ansible.builtin.include_role": {"name": f"podwright.core.{role}"}, "vars": roles[role] | {f"{role}_state": state}}

    play([include(role, "present") for role in roles], kubeconfig=kubeconfig)
    play([include(role, "absent") for role in reversed(roles)], kubeconfig=kubeconfig)
    # Its Role was deleted with the namespace; the ClusterRole lets it create the namespace again.
    definition = {"definition": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, "wait": False}
    play([{"podwright.core.resource_set": definition}], kubeconfig=kubeconfig)
    granted = expand(RULES["rbac_rules"]["provisioning"] + RULES["rbac_cluster_rules"] + RULES["rbac_storage_rules"])
    used = used_permissions(audit.entries(user))
    assert used - granted == set()
    # A watch is opened only if an object is not ready, or not deleted, at once.
    assert {entry for entry in granted - used if entry[0] != "watch"} == set()


def test_without_permission_to_list_or_watch_objects_are_read_and_polled(client, play, namespace, credentials):
    api = "rbac.authorization.k8s.io/v1"
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    ]
    subjects = [{"kind": "ServiceAccount", "name": "restricted", "namespace": namespace}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "restricted"}
    objects = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "restricted"}},
        {"apiVersion": api, "kind": "Role", "metadata": {"name": "restricted"}, "rules": rules},
        {"apiVersion": api, "kind": "RoleBinding", "metadata": {"name": "restricted"}, "roleRef": reference, "subjects": subjects},
    ]
    pod = {"name": "late", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["sleep", "3600"], "state": "present"}
    pod |= {"termination_grace_period": 0, "readiness_probe": {"exec": "true", "initial_delay": 2}}
    play([{"podwright.core.resource_set": {"definition": objects}}, {"podwright.core.task_pod": pod}], namespace=namespace)
    _user, kubeconfig = credentials(namespace, "restricted")
    configs = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c-{n}"}, "data": {"n": str(n)}} for n in range(5)]
    apply = {"name": "Apply", "podwright.core.resource_set": {"definition": configs}}
    wait = {"name": "Wait", "podwright.core.pod_info": {"name": "late", "wait_for": "ready", "wait_sleep": 1}}
    played = play([apply, apply | {"name": "Again"}, wait], namespace=namespace, kubeconfig=kubeconfig)
    assert played.of("Apply")["changed"] and not played.of("Again")["changed"]
    assert played.of("Wait")["pods"][0]["ready"] == "1/1"


def test_a_token_of_a_missing_service_account_is_an_error(play, namespace):
    lookup = f"lookup('podwright.core.bound_token', 'missing', namespace='{namespace}', kubeconfig='{KUBECONFIG}')"
    played = play([{"name": "Token", "ansible.builtin.set_fact": {"token": "{{ " + lookup + " }}"}}], expect=2)
    assert 'serviceaccounts "missing" not found' in played.output
