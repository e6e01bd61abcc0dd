# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role rbac grants what is needed and nothing more.

Probes of each module use exactly the permissions that docs/security.md lists for it, and each of these is needed: without it the
operation fails, or warns, and names it. That they suffice for everything else is shown by test_targets.py, where modules run with them alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, NAMESPACE
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import (
    pod_autoscale,
    pod_copy,
    pod_deployment,
    pod_exec,
    pod_gc,
    pod_info,
    pod_logs,
    pod_report,
    pod_request,
    resource_set,
    task_pod,
)

from ..support.environment import KUBECONFIG
from ..support.operations import IMAGE, call
from ..support.permissions import PURPOSES, ROLE, RULES, Permission, documented, expand, grant, impersonate, used_permissions, without
from ..support.waiting import wait_for

SLEEP = IMAGE | {"name": "NAME", "command": ["sleep", "3600"]}
RUN = IMAGE | {"name": "NAME", "command": ["true"], "state": "completed", "wait_sleep": 1}
FAIL = {"command": ["false"]}
LABELS = {"app.kubernetes.io/managed-by": "podwright", "podwright.io/task": "deleted", "case": "NAME"}
WEB = IMAGE | {"command": ["httpd", "-f", "-p", "80", "-h", "/etc"], "readiness_probe": {"tcp": 80, "interval": 1}}
DEPLOYMENT = WEB | {"name": "NAME", "service": {"name": "NAME", "ports": [{"port": 80}]}, "drain_seconds": 0, "wait_sleep": 1}
FAILING_DEPLOYMENT = DEPLOYMENT | FAIL | {"progress_deadline": 3}
ANALYSIS = [{"command": ["true"]}, {"request": {"port": 80, "path": "/passwd"}}]
CANARY = DEPLOYMENT | {"strategy": "canary", "canary": {"steps": [{"weight": 50}], "analysis": ANALYSIS}}
AUTOSCALER = {"name": "NAME", "min_replicas": 1, "max_replicas": 2, "target_cpu": 50}


def a(kind, api_version="v1", **fields):
    """A step that creates an object."""
    definition = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "NAME", "labels": LABELS}, **fields}
    return resource_set, {"definition": [definition], "wait": False}


def reclaim(kind, **options):
    return pod_gc, {"label_selectors": ["case=NAME"], "reclaim": [kind], "reclaim_age": 0, **options}


SCALED = {"replicas": 0, "selector": {"matchLabels": {"case": "NAME"}}}
SCALED["template"] = {
    "metadata": {"labels": LABELS},
    "spec": {"containers": [{"name": "task", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "9"]}]},
}
CRON = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": {"spec": {**SCALED["template"]["spec"], "restartPolicy": "Never"}}}}}
SCALED = a("Deployment", "apps/v1", spec=SCALED)
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}, "storageClassName": "none"}
LABELED_JOB = SLEEP | {"kind": "Job", "labels": {"tier": "test"}}
EDITED_JOB = {"definition": {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "NAME", "labels": {"tier": "x"}}}, "wait": False}
REPORT = {"dest": "DIRECTORY/NAME.html", "label_selectors": ["case=NAME"]}
# Per case the steps, (module, options) with a unique name for NAME: the last one runs as the user, those before as the administrator.
# The pod `web` runs already. Fast ones come first: the first that uses a permission is the one that is repeated without it.
PROBES: list[list[tuple[Any, dict[str, Any]]]] = [
    [(pod_exec, {"pod": "web", "command": "true"})],  # in its default container
    [(pod_exec, {"label_selectors": ["app=web"], "command": "true"})],
    [(pod_logs, {"name": "web"})],
    [(task_pod, SLEEP | {"kind": "Job"}), (pod_logs, {"kind": "Job", "name": "NAME"})],
    [a("CronJob", "batch/v1", spec=CRON), (pod_logs, {"kind": "CronJob", "name": "NAME"})],
    [(pod_request, {"service": "web", "port": "80", "path": "/passwd"})],
    [(pod_request, {"pod": "web", "port": "http", "path": "/passwd"})],
    [(task_pod, SLEEP | {"image": "podwright/static", "command": None}), (pod_copy, {"pod": "NAME", "content": "x", "remote_path": "/srv/x"})],
    [(task_pod, SLEEP | {"network": "isolated"})],
    [(task_pod, SLEEP | {"stdin": "x"})],
    [(task_pod, SLEEP | {"resources": {"limits": {"cpu": cpu}}}) for cpu in ("10m", "20m")],
    [(task_pod, RUN | {"cleanup": "always"}), (task_pod, {"name": "NAME", "state": "absent"})],
    [(task_pod, RUN | {"cleanup": "always", "logs": "collect"})],
    [(task_pod, RUN | {"logs": "stream"})],
    [(task_pod, RUN | {"kind": "Job", "cleanup": "always"})],
    [(task_pod, LABELED_JOB), (resource_set, EDITED_JOB), (task_pod, LABELED_JOB)],
    [(task_pod, RUN | FAIL)],
    [(pod_info, {"metrics": True})],
    [(pod_info, {"name": "web", "events": True})],
    [(pod_info, {"label_selectors": ["case=none"]})],
    [
        (task_pod, SLEEP | {"state": "present", "readiness_probe": {"exec": "true", "initial_delay": 1, "interval": 1}}),
        (pod_info, {"name": "NAME", "wait_for": "ready", "wait_sleep": 1}),
    ],
    [
        (task_pod, SLEEP | FAIL | {"state": "present", "restart_policy": "Never", "readiness_probe": {"exec": "false"}}),
        (pod_info, {"name": "NAME", "wait_for": "ready", "wait_sleep": 1}),
    ],
    [(task_pod, RUN | FAIL | {"labels": {"case": "NAME"}}), (pod_report, REPORT)],
    [(pod_report, REPORT)],
    [SCALED, (pod_autoscale, {"name": "NAME", "replicas": 1, "wait": False})],
    [SCALED, (pod_autoscale, {"label_selectors": ["case=NAME"], "replicas": 1, "wait_sleep": 1})],
    [(task_pod, SLEEP | {"state": "present"}), (pod_autoscale, {"kind": "Pod", "name": "NAME", "replicas": 2})],
    [SCALED, (pod_autoscale, AUTOSCALER)],
    [SCALED, (pod_autoscale, AUTOSCALER), (pod_autoscale, {"name": "NAME", "state": "absent"})],
    [SCALED, (pod_autoscale, AUTOSCALER | {"engine": "direct"})],
    [(pod_deployment, DEPLOYMENT | {"replicas": 0}), (pod_deployment, {"name": "NAME", "state": "absent"})],
    [(pod_deployment, DEPLOYMENT | {"replicas": 0}), (pod_deployment, {"name": "NAME", "state": "rolled_back"})],
    [(pod_deployment, DEPLOYMENT | {"secret_env": {"A": "b"}})],
    [(pod_deployment, CANARY), (pod_deployment, CANARY | {"env": {"A": "b"}})],
    [
        (pod_deployment, FAILING_DEPLOYMENT | {"wait": False}),
        (pod_info, {"label_selectors": ["podwright.io/deployment=NAME"], "wait_for": "running"}),  # else there might be no log yet
        (pod_deployment, FAILING_DEPLOYMENT),
    ],
    [a("ConfigMap"), reclaim("ConfigMap", expired=True)],
    [a("Secret"), reclaim("Secret")],
    [a("Service", spec={"ports": [{"port": 80}]}), reclaim("Service")],
    [a("PersistentVolumeClaim", spec=CLAIM), reclaim("PersistentVolumeClaim")],
    [a("NetworkPolicy", "networking.k8s.io/v1", spec={"podSelector": {}}), reclaim("NetworkPolicy")],
    [
        (task_pod, RUN | {"kind": "Job", "labels": {"case": "NAME"}}),
        (pod_info, {"kind": "Job", "api_version": "batch/v1", "name": "NAME", "wait_condition": {"type": "Complete"}}),
        reclaim("Job", completed={"max_age": 0}),
    ],
    [(task_pod, RUN), (pod_gc, {"label_selectors": ["podwright.io/task=NAME"], "completed": {"max_age": 0}})],
]


class Case(NamedTuple):
    """A run of a probe."""

    steps: Sequence[tuple[Any, dict[str, Any]]]
    name: str
    missing: Permission | None = None

    @property
    def module(self) -> str:
        """The module that the user runs."""
        return str(self.steps[-1][0].OPERATION.name)


class Prober:
    """Runs cases in a namespace, each as a user of its own with the permissions of the module's purpose, but for one."""

    def __init__(self, client, namespace, directory, audit):
        self._client, self._namespace, self._directory, self._audit = client, namespace, directory, audit

    def run(self, case):
        user = f"{self._namespace}:{case.name}"
        rules = RULES[PURPOSES[case.module]]
        grant(self._client, user, self._namespace, without(rules, case.missing) if case.missing else rules, case.name)
        steps = [(module, fill(options, {"NAME": case.name, "DIRECTORY": str(self._directory)})) for module, options in case.steps]
        for module, options in steps[:-1]:
            call(module, options, self._namespace)
        module, options = steps[-1]
        return call(module, options | {"kubeconfig": str(impersonate(user, self._directory))}, self._namespace)

    def run_all(self, cases):
        """The result of each case. They run side by side."""
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(self.run, cases))

    def used(self, case):
        """The permissions that a case used."""
        return used_permissions(self._audit.entries(f"{self._namespace}:{case.name}"))


def fill(value, names):
    """A value in whose texts each of the names is replaced by its value."""
    if isinstance(value, dict):
        return {key: fill(item, names) for key, item in value.items()}
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(name, text)
    return [fill(item, names) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("purpose", sorted(set(PURPOSES.values())))
def test_each_permission_of_a_purpose_is_needed_and_named_if_it_is_missing(purpose, client, namespace, audit, tmp_path):
    web = WEB | {"name": "web", "labels": {"app": "web"}, "ports": [{"name": "http", "container_port": 80}]}
    call(task_pod, web | {"containers": [{"name": "other", "command": ["sleep", "3600"]}]}, namespace)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    call(resource_set, {"definition": [service]}, namespace)
    prober = Prober(client, namespace, tmp_path, audit)
    cases = [case for number, steps in enumerate(PROBES) if PURPOSES[(case := Case(steps, f"full-{number}")).module] == purpose]
    full = list(zip(cases, prober.run_all(cases), strict=True))
    needed: dict[tuple[str, Permission], tuple[Case, dict[str, Any]]] = {}
    for case, result in full:
        for permission in prober.used(case):
            # A task that is a Pod looks for a Job of its name if it may.
            is_needed = permission.resource != "jobs" or case.module != "task_pod" or "Job" in str(case.steps)
            if is_needed:
                needed.setdefault((case.module, permission), (case, result))
    used = {module: {permission for name, permission in needed if name == module} for module, its in PURPOSES.items() if its == purpose}
    assert used == {module: listed.needed | listed.comfort for module, listed in documented().items() if module in used}
    denied = [Case(case.steps, f"denied-{number}", permission) for number, ((_module, permission), (case, _result)) in enumerate(needed.items())]
    for case, result, (_case, before) in zip(denied, prober.run_all(denied), needed.values(), strict=True):
        check(case, result, before, namespace)


def check(case, result, before, namespace):
    """Whether a result without a permission names it; or is as it is with it, if that gives only comfort."""
    hint = f"Grant the verb {case.missing} in namespace '{namespace}'"
    where = (case.module, case.missing, result.get("msg"), result.get("warnings"))
    assert "Traceback" not in str(result) and result.get("reason") != "Unforeseen", where
    if case.missing in documented()[case.module].comfort and hint not in str(result):
        assert result["failed"] == before["failed"] and result["changed"] == before["changed"], where
    elif result["failed"]:
        assert hint in result["msg"], where
    else:
        assert hint in str(result.get("warnings")).replace("\\", ""), where


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


def include(role, **variables):
    return {"ansible.builtin.include_role": {"name": f"podwright.core.{role}"}, "vars": {f"{role}_{name}": value for name, value in variables.items()}}


PROVISIONER = {"name": "provisioner", "purposes": ["provisioning", "task_running", "reading"]}


@pytest.fixture
def provisioner(client, play, credentials):
    """A service account that the roles let provision its namespace: (namespace, user name, kubeconfig)."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    play([include("namespace", name=namespace), include("rbac", namespace=namespace, service_accounts=[PROVISIONER], storage=True)])
    yield namespace, *credentials(namespace, PROVISIONER["name"])
    client.delete(NAMESPACE, None, namespace)


@pytest.mark.serial  # labels the only real node, as the molecule scenario does
@pytest.mark.parametrize("with_workloads", [False, pytest.param(True, marks=pytest.mark.long)])
def test_provisioning_grants_exactly_what_is_needed(with_workloads, provisioner, play, audit, client, load_component):
    """The account provisions its own namespace, and finally deletes it."""
    namespace, user, kubeconfig = provisioner
    accounts = [{"name": "runner", "purposes": ["task_running", "reading"]}]
    roles = {
        "namespace": {"namespace_name": namespace, "namespace_image_pull_secrets": [{"name": "r", "registry": "r", "username": "u", "password": "p"}]},
        "rbac": {"rbac_namespace": namespace, "rbac_service_accounts": accounts},
        "quota": {"quota_namespace": namespace, "quota_max_pods": 50, "quota_default_limits": {"cpu": "100m"}, "quota_pod_ttl_seconds": 60},
        "network_policy": {"network_policy_namespace": namespace},
        "service": {
            "service_namespace": namespace,
            "service_name": "web",
            "service_selector": {"app": "web"},
            "service_ports": [{"port": 80}],
            "service_ingress": {"hosts": ["web.example.com"]},
        },
        "storage": {
            "storage_namespace": namespace,
            "storage_classes": [{"name": namespace}],
            "storage_volumes": [{"name": namespace, "capacity": "1Gi", "class": namespace, "host_path": "/tmp/podwright-rbac"}],
            "storage_claims": [{"name": "data", "size": "1Gi", "class": namespace}],
            "storage_node_labels": {"node-1": {f"podwright.io/{namespace}": "true"}},
        },
    }

    if with_workloads:
        load_component("registry")
        roles["monitoring"] = {"monitoring_namespace": namespace}
        roles["registry"] = {"registry_namespace": namespace, "registry_storage_size": ""}
        roles["image_prepull"] = {
            "image_prepull_namespace": namespace,
            "image_prepull_images": ["busybox"],
            "image_prepull_helper_image": "busybox",
            "image_prepull_keep": False,
            "image_prepull_node_selector": {"kubernetes.io/hostname": "node-1"},
        }

    def ensure(role, state):
        return {"ansible.builtin.include_role": {"name": f"podwright.core.{role}"}, "vars": roles[role] | {f"{role}_state": state}}

    play([ensure(role, "present") for role in roles], kubeconfig=kubeconfig)
    if with_workloads:
        play([ensure("image_prepull", "present")], "--check", kubeconfig=kubeconfig)
    # Whether it lists itself or not, and others or not, its permissions stay as they are.
    assert not play([include("rbac", namespace=namespace, service_accounts=[*accounts, PROVISIONER], storage=True)], kubeconfig=kubeconfig).is_changed
    assert play([include("rbac", namespace=namespace)], kubeconfig=kubeconfig).is_changed
    play([ensure(role, "absent") for role in reversed(roles) if role != "rbac"], kubeconfig=kubeconfig)
    owned = BUILT_IN["rbac.authorization.k8s.io/v1", "ClusterRole"], BUILT_IN["rbac.authorization.k8s.io/v1", "ClusterRoleBinding"]
    wait_for(lambda: not any(client.get(kind, None, f"podwright-provisioning-{namespace}") for kind in owned))
    granted = expand(RULES["provisioning"] + ROLE["rbac_cluster_rules"] + ROLE["rbac_storage_rules"])
    used = used_permissions(audit.entries(user))
    assert used - granted == set()
    # A watch is opened only if an object is not ready, or not deleted, at once.
    unused = {entry for entry in granted - used if entry.verb != "watch"}
    workloads = {"deployments", "daemonsets", "pods", "pods/portforward", "events", "horizontalpodautoscalers"}
    assert {entry.resource for entry in unused - {Permission("list", "", "nodes")}} == (set() if with_workloads else workloads)
    assert not (with_workloads and unused)


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


def test_an_account_does_not_silently_keep_or_lose_the_purpose_provisioning(play, namespace, client):
    def accounts(*purposes):
        return include("rbac", namespace=namespace, service_accounts=[{"name": "a", "purposes": list(purposes)}])

    def kept():
        kinds = (BUILT_IN["rbac.authorization.k8s.io/v1", kind] for kind in ("RoleBinding", "ClusterRoleBinding"))
        names = ("podwright-provisioning", f"podwright-provisioning-{namespace}")
        return [bool(client.get(kind, namespace if kind.namespaced else None, name)) for kind, name in zip(kinds, names, strict=True)]

    play([accounts("reading")])
    account = client.get(BUILT_IN["v1", "ServiceAccount"], namespace, "a")
    play([accounts("reading", "provisioning")])
    assert client.get(BUILT_IN["v1", "ServiceAccount"], namespace, "a")["metadata"]["uid"] == account["metadata"]["uid"] and kept() == [True, True]
    assert "a may provision" in " ".join(play([accounts("reading")], "--check", expect=2).output.split())
    play([include("rbac", namespace=namespace)])
    assert kept() == [True, True]
    play([include("rbac", namespace=namespace, state="absent")])
    assert kept() == [False, False] and client.get(BUILT_IN["v1", "ServiceAccount"], namespace, "a") is None


def test_a_token_of_a_missing_service_account_is_an_error(play, namespace):
    lookup = f"lookup('podwright.core.bound_token', 'missing', namespace='{namespace}', kubeconfig='{KUBECONFIG}')"
    played = play([{"name": "Token", "ansible.builtin.set_fact": {"token": "{{ " + lookup + " }}"}}], expect=2)
    assert 'serviceaccounts "missing" not found' in played.output
