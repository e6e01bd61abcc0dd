# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Users with permissions of the role rbac, and the permissions that their requests used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request

from .audit import Entry
from .environment import KUBECONFIG, ROOT
from .waiting import wait_for

Rule = dict[str, Any]
ROLE = yaml.safe_load((ROOT / "roles/rbac/vars/main.yml").read_text())
RULES: dict[str, list[Rule]] = ROLE["rbac_rules"]
# The purpose whose permissions a module needs; resource_set needs those of the objects in its manifests.
PURPOSES = dict.fromkeys(("task_pod", "pod_exec", "pod_copy", "pod_logs", "pod_request"), "task_running") | {
    "pod_info": "reading",
    "pod_report": "reading",
    "pod_deployment": "deploying",
    "pod_autoscale": "deploying",
    "pod_gc": "garbage_collecting",
}
_API = "rbac.authorization.k8s.io/v1"


class Permission(NamedTuple):
    """A verb on a resource (with its subresource) of an API group."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        name, slash, subresource = self.resource.partition("/")
        return f"'{self.verb}' on '{name}{'.' if self.group else ''}{self.group}{slash}{subresource}'"


class Documented(NamedTuple):
    """What docs/security.md lists for a module: permissions that it needs, and those without which it works with less comfort."""

    needed: set[Permission]
    comfort: set[Permission]


def expand(rules: Iterable[Rule]) -> set[Permission]:
    """The permissions of rules."""
    return {Permission(verb, group, resource) for rule in rules for verb in rule["verbs"] for group in rule["apiGroups"] for resource in rule["resources"]}


def documented() -> dict[str, Documented]:
    """The table of docs/security.md, by module."""
    lines = re.findall(r"^\| `(\w+)` \| (`.*) \| (.*) \|$", (ROOT / "docs/security.md").read_text(), re.MULTILINE)
    return {module: Documented(_read_cell(needed), _read_cell(comfort)) for module, needed, comfort in lines}


def _read_cell(cell: str) -> set[Permission]:
    found = set()
    for resource, group, subresource, verbs in re.findall(r"`([a-z]+)(?:\.([a-z.0-9]+))?(/[a-z]+)?` ([a-z ]+)", cell):
        found |= {Permission(verb, group, resource + subresource) for verb in verbs.split()}
    return found


def without(rules: Iterable[Rule], permission: Permission) -> list[Rule]:
    """Rules that grant what these do, except for one permission."""
    return [
        {**rule, "apiGroups": [one.group], "resources": [one.resource], "verbs": [one.verb]} for rule in rules for one in sorted(expand([rule]) - {permission})
    ]


def used_permissions(entries: Iterable[Entry]) -> set[Permission]:
    """The permissions that requests needed. An apply that creates its object needs the verb create as well."""
    found = set()
    for entry in entries:
        reference = entry.get("objectRef") or {}
        if "resource" not in reference:
            continue
        resource, group = "/".join(filter(None, (reference["resource"], reference.get("subresource")))), reference.get("apiGroup", "")
        verb = entry["verb"]
        if resource in ("pods/exec", "pods/portforward"):
            found.add(Permission("create", group, resource))  # besides the verb of the method, which the audit log has: since Kubernetes 1.35
        found.add(Permission(verb, group, resource))
        if verb == "patch" and entry["responseStatus"].get("code") == 201:
            found.add(Permission("create", group, resource))
    return found


def service_account(namespace: str, name: str) -> str:
    """The user name of a service account. It need not exist to be impersonated."""
    return f"system:serviceaccount:{namespace}:{name}"


def impersonate(user: str, directory: Path) -> Path:
    """A kubeconfig of the administrator that impersonates a user."""
    config = yaml.safe_load(Path(KUBECONFIG).read_text())
    config["users"][0]["user"]["as"] = user
    path = directory / f"{user.replace(':', '.')}.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def grant(client: Client, user: str, namespace: str, rules: Sequence[Rule], name: str) -> None:
    """Create a Role and a RoleBinding of that name, and wait until the API server applies them to the user."""
    for item in binding(user, namespace, rules, name):
        client.create(BUILT_IN[_API, item["kind"]], namespace, item, "test")
    wait_for(lambda: is_allowed(client, user, namespace, rules[0]))


def binding(user: str, namespace: str | None, rules: Sequence[Rule], name: str) -> list[Rule]:
    """A Role and its RoleBinding for a user; without a namespace a ClusterRole and its ClusterRoleBinding."""
    kind, metadata = ("Role", {"name": name, "namespace": namespace}) if namespace else ("ClusterRole", {"name": name})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
    return [
        {"apiVersion": _API, "kind": kind, "metadata": metadata, "rules": list(rules)},
        {"apiVersion": _API, "kind": f"{kind}Binding", "metadata": metadata, "roleRef": reference, "subjects": subjects},
    ]


def is_allowed(client: Client, user: str, namespace: str, rule: Rule) -> bool:
    """Whether the API server allows a user what a rule grants first."""
    resource, _slash, subresource = rule["resources"][0].partition("/")
    attributes = {"namespace": namespace, "verb": rule["verbs"][0], "group": rule["apiGroups"][0], "resource": resource, "subresource": subresource}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": user, "resourceAttributes": attributes}}
    allowed: bool = client.send(Request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=review))["status"]["allowed"]
    return allowed
