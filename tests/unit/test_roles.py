# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roles: the defaults are those of the argument spec, variables are prefixed with the name of the role, and manifests have the types of the API."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.filter import AnsibleJinja2Filter
from ansible.plugins.loader import filter_loader
from ansible.template import Templar
from jinja2 import Environment

from ansible_collections.podwright.core.plugins.filter.htpasswd import htpasswd
from ansible_collections.podwright.core.plugins.filter.server_certificate import server_certificate
from ansible_collections.podwright.core.plugins.filter.string_map import string_map
from ansible_collections.podwright.core.plugins.lookup.role_faults import find_faults
from ansible_collections.podwright.core.plugins.plugin_utils._role_hints import name_variables

from ..support.documents import read_all_yaml, read_yaml

try:
    from ansible.template import trust_as_template

    AS_TEXT = {}
except ImportError:  # before ansible-core 2.19
    AS_TEXT = {"convert_data": False}

    def trust_as_template(text):
        """Every text is a template."""
        return text


ROLES = sorted((Path(__file__).parents[2] / "roles").iterdir())


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_are_those_of_the_argument_spec(role):
    defaults = read_yaml((role / "defaults/main.yml").read_text())
    options = read_yaml((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert all(name.startswith(f"{role.name}_") for name in options)
    optional = {name: option.get("default") for name, option in options.items() if not option.get("required")}
    # The argument spec has no default that follows from other variables.
    assert {name: None if "{{" in str(value) else value for name, value in defaults.items()} == optional


def test_a_namespace_that_is_not_the_roles_is_refused_before_anything_is_deleted():
    directory = ROLES[0].parent / "namespace/tasks"
    imported, _secrets, applied = read_yaml((directory / "main.yml").read_text())[-3:]
    _read, found, *_refused = read_yaml((directory / "ownership.yml").read_text())
    assert imported["ansible.builtin.import_tasks"] == "ownership.yml" and "when" not in imported and "when" not in applied
    looked, options = (task["podwright.core.resource_set"] for task in (found, applied))
    assert found["check_mode"] is True and looked["state"] == "absent" and looked["adopt"] is False
    assert all(looked[name] == options[name] for name in ("name", "namespace", "field_manager", "template"))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_deletion_checks_only_what_it_uses(role):
    """Names say what is deleted; other values may be invalid then."""
    used = {"Check the types of the variables", "Check the namespaces", "Check the names"}
    tasks = read_yaml((role / "tasks/validate.yml").read_text())
    assert [task["name"] for task in tasks if task["name"] not in used and f"{role.name}_state == 'present'" not in str(task)] == []


def test_each_role_has_a_scenario_of_molecule():
    """One of its own, or a place in that of the roles that need no component."""
    scenarios = ROLES[0].parents[1] / "tests/molecule"
    together = read_yaml((scenarios / "default/vars/roles.yml").read_text())["molecule_roles"]
    assert {path.parent.name for path in scenarios.glob("*/molecule.yml")} - {"default"} == {role.name for role in ROLES} - set(together)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_templates_read_what_a_macro_returns_with_every_ansible_core(role):
    """Before 2.19 a macro that writes a mapping returns one, which from_json refuses."""
    assert not [path for path in (role / "templates").glob("*.j2") if "| from_json" in path.read_text()]


def test_sets_of_roles_neither_take_over_nor_delete_objects_of_others():
    """Only a namespace may exist before its role is applied; one that was not is not deleted."""
    tasks = [task for path in ROLES[0].parent.glob("*/tasks/*.yml") for task in walk(read_yaml(path.read_text()))]
    sets = [task["podwright.core.resource_set"] for task in tasks if "name" in task.get("podwright.core.resource_set", {})]
    adopting = {each["name"]: each.get("adopt") for each in sets if each.get("adopt") is not False}
    assert len(sets) >= 12 and adopting == {"namespace": "{{ namespace_state == 'present' }}"}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_each_role_first_checks_what_ansible_lets_pass(role):
    (first, *_others), (check, *_more) = (read_yaml((role / f"tasks/{name}.yml").read_text()) for name in ("main", "validate"))
    assert first["ansible.builtin.import_tasks"] == "validate.yml" and "when" not in check
    assert "query('podwright.core.role_faults'" in check["ansible.builtin.assert"]["that"]


def test_those_who_provision_are_a_set_that_a_run_without_them_leaves_alone():
    accounts = [{"name": "a", "purposes": ["reading", "provisioning"]}, {"name": "b", "purposes": ["reading"]}, {"name": "c"}]
    parts = {part: render("rbac", rbac_namespace="n", rbac_part=part, rbac_service_accounts=accounts) for part in ("rbac", "rbac-provisioning", "cluster")}
    names = {part: {name for kind, name in found if kind != "ServiceAccount"} for part, found in parts.items()}
    provisioning = {"podwright-provisioning", "podwright-provisioning-reading"}
    assert names == {"rbac": {"podwright-reading"}, "rbac-provisioning": provisioning, "cluster": {"podwright-provisioning-n"}}
    bound = [[subject["name"] for subject in item["subjects"]] for found in parts.values() for (kind, _name), item in found.items() if "Binding" in kind]
    assert bound == [["b"], ["a"], ["a"], ["a"]]
    kept = {name: "podwright.io/prune" in item["metadata"].get("annotations", {}) for (kind, name), item in parts["rbac"].items() if kind == "ServiceAccount"}
    assert kept == {"a": True, "b": False, "c": False}
    tasks = read_yaml((ROLES[0].parent / "rbac/tasks/main.yml").read_text())
    (when,) = [task["when"] for task in tasks if task.get("podwright.core.resource_set", {}).get("name") == "rbac-provisioning"]
    assert when == "rbac_state == 'absent' or rbac_provisioners | length > 0"
    binding = {"resources": [{"metadata": {}, "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "n"}]}]}
    deleted = render("rbac", rbac_namespace="n", rbac_state="absent", rbac_binding=binding)
    assert {("ServiceAccount", "a"), ("ClusterRole", "podwright-provisioning-n")} <= set(deleted)
    assert render("rbac", rbac_namespace="n", rbac_binding=binding) == {}


@pytest.mark.parametrize(
    ("role", "read", "given"),
    [
        ("rbac", "rbac_read", {"service_accounts": [{"name": "a", "purposes": ["provisioning"]}]}),
        ("quota", "quota_found", {"pod_lifetime_seconds": 60}),
        (
            "workload_identity",
            "workload_identity_found",
            {
                "trust_domain": "example.org",
                "install": True,
                "registrations": [{"name": "a", "namespace": "n", "service_account": "s"}],
                "token_reviewers": [{"name": "a", "namespace": "n"}],
            },
        ),
    ],
)
def test_cluster_scoped_objects_of_a_namespace_are_deleted_with_it(role, read, given):
    """Otherwise they would be in force in a namespace of that name that is created again, whose roles know nothing of them."""
    variables = {f"{role}_namespace": "n"} | {f"{role}_{name}": value for name, value in given.items()}
    found = {"resources": [{"metadata": {"name": "n", "uid": "0e1"}}]}
    owners = [{"apiVersion": "v1", "kind": "Namespace", "name": "n", "uid": "0e1"}]
    shared = ("CustomResourceDefinition", "CSIDriver")  # which have the same name, whatever the namespace is
    owned = [item for item in render(role, **{read: found}, **variables).values() if item["kind"] not in shared]
    scopes = [(item["metadata"].get("namespace"), item["metadata"].get("ownerReferences")) for item in owned]
    assert scopes and all(references == (None if namespace else owners) for namespace, references in scopes)
    planned = render(role, **{read: {"resources": []}}, **variables)  # in check mode, a namespace that is to be created has no uid
    assert len(planned) >= len(owned) and not [item for item in planned.values() if "ownerReferences" in item["metadata"]]
    reads = [task for path in (ROLES[0].parent / role / "tasks").glob("main.yml") for task in walk(read_yaml(path.read_text())) if task.get("register") == read]
    assert [task["podwright.core.pod_info"]["kind"] for task in reads] == ["Namespace"]


SPEC = read_yaml("""
name: {required: true}
image: {type: str, default: busybox}
tag: {default: ""}
size: {type: int, default: 1}
storage_size: {default: 10Gi}
selector: {type: dict}
users:
  type: list
  elements: dict
  options:
    name: {required: true}
    groups: {type: list, elements: str}
    limits: {type: dict, options: {cpu: {required: true}}}
""")


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({}, []),
        ({"name": "a", "image": "", "tag": None, "size": None, "selector": {}, "users": []}, []),
        ({"name": ""}, ["name: must not be empty."]),
        ({"name": None, "image": None}, ["name: must not be empty.", "image: must not be empty."]),
        ({"name": ["a"], "tag": {"a": "b"}}, ["name: must be a string, got a list.", "tag: must be a string, got a mapping."]),
        ({"storage_size": "10GB"}, ["storage_size: must be a quantity such as 500Mi or 10Gi."]),
        ({"storage_size": "0.5Gi", "users": [{"name": "a"}]}, []),
        ({"storage_size": 1024}, []),
        ({"name": 0, "selector": "a=b"}, ["selector: must be a mapping, got a string."]),
        ({"users": "[]"}, ["users: must be a list, got a string."]),
        ({"users": [None, "name=a"]}, ["users[0]: must not be null.", "users[1]: must be a mapping, got a string."]),
        ({"users": [{"name": ""}, {"groups": "a"}]}, ["users[0].name: must not be empty.", "users[1].groups: must be a list, got a string."]),
        ({"users": [{"groups": ["a", None]}, {"limits": {"cpu": None}}]}, ["users[0].groups[1]: must not be null.", "users[1].limits.cpu: must not be empty."]),
        ({"users": {"name": ""}, "size": "1", "selector": None, "other": ""}, []),  # Ansible refuses a mapping for a list
    ],
)
def test_faults_of_variables_are_those_that_ansible_lets_pass(values, faults):
    assert find_faults(SPEC, values) == faults


def walk(tasks):
    """All tasks, those in blocks, too."""
    for task in tasks:
        yield task
        yield from walk(task.get("block", []))


def render(role, **variables):
    """The manifests of a role with variables beside its defaults."""
    directory = ROLES[0].parent / role
    for file in ("vars/main.yml", "defaults/main.yml"):
        if (directory / file).exists():
            variables = read_yaml((directory / file).read_text()) | variables
    return {
        (item["kind"], item["metadata"]["name"]): item
        for item in read_all_yaml(fill((directory / "templates/objects.yml.j2").read_text(), variables) or "")
        if item
    }


FILTERS = {f"podwright.core.{function.__name__}": function for function in (server_certificate, htpasswd, string_map)}


@pytest.fixture(autouse=True)
def filters(monkeypatch):
    """The filters of this collection, which Ansible finds in a process of its own only."""
    find = filter_loader.get

    def get(name, *arguments, **options):
        if name not in FILTERS:
            return find(name, *arguments, **options)
        plugin = AnsibleJinja2Filter(FILTERS[name])
        plugin._load_name = plugin.ansible_name = name
        return plugin

    monkeypatch.setattr(filter_loader, "get", get)


CODE = {}  # that of each template so far


@pytest.fixture(autouse=True)
def templates_are_compiled_once(monkeypatch):
    """The same few templates are filled hundreds of times; to compile one takes longer than to fill it."""
    compile_template = Environment.compile

    def compile_once(self, source, *arguments, **options):
        if not isinstance(source, str) or arguments or options:
            return compile_template(self, source, *arguments, **options)
        key = (type(self), str(source))
        if key not in CODE:
            CODE[key] = compile_template(self, source)
        return CODE[key]

    monkeypatch.setattr(Environment, "compile", compile_once)


def fill(template, variables):
    """A text template with its variables filled in."""
    trusted = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in variables.items()}
    return Templar(DataLoader(), variables=trusted).template(trust_as_template(template), **AS_TEXT)


def test_a_string_map_is_made_of_any_mapping_and_of_nothing_else():
    given = {"a": "x", "b": None, "c": True, "d": 1.5, 5: [1, "é"]}
    assert string_map(given) == {"a": "x", "b": "", "c": "true", "d": "1.5", "5": '[1, "\\u00e9"]'}
    with pytest.raises(AnsibleFilterError, match='string_map: must be a mapping, got "a"'):
        string_map("a")


def test_values_of_labels_annotations_and_parameters_are_text():
    odd = {"a": True, "b": 1234, "c": 0.5, "d": None, "e": "it's {{ plain }}", 7: "Yes"}
    text = {"a": "true", "b": "1234", "c": "0.5", "d": "", "e": "it's {{ plain }}", "7": "Yes"}
    namespace = render("namespace", namespace_full_name="n", namespace_labels=odd, namespace_annotations=odd)["Namespace", "n"]["metadata"]
    assert namespace["annotations"] == text and text.items() <= namespace["labels"].items()
    assert render("storage", storage_classes=[{"name": "fast", "parameters": odd}])["StorageClass", "fast"]["parameters"] == text
    tasks = read_yaml((ROLES[0].parent / "storage/tasks/main.yml").read_text())
    (node,) = [task["podwright.core.resource_set"]["definition"] for task in tasks if "definition" in task.get("podwright.core.resource_set", {})]
    labels = {"item": {"value": odd}, "storage_state": "present", "storage_mark": "mark"}
    assert fill(node["metadata"]["labels"], labels) in (text | {"mark": ""}, str(text | {"mark": ""}))
    odd_texts = dict.fromkeys(("service_selector", "service_labels", "service_annotations"), odd)
    service = render("service", service_namespace="n", **SERVICE | odd_texts)["Service", "web"]
    assert service["spec"]["selector"] == service["metadata"]["labels"] == service["metadata"]["annotations"] == text
    binding = render("image_policy", image_policy_namespace_selector={"matchLabels": odd})["ValidatingAdmissionPolicyBinding", "podwright-images"]
    assert binding["spec"]["matchResources"]["namespaceSelector"] == {"matchLabels": text}
    policies = render("network_policy", network_policy_namespace="n", network_policy_allow_ingress=[{"name": "in", "pod_selector": odd}])
    assert policies["NetworkPolicy", "in"]["spec"]["podSelector"] == {"matchLabels": text}


def as_json(expression):
    """A template of the JSON of an expression."""
    return "{{ (" + expression.removeprefix("{{").removesuffix("}}") + ") | to_json }}"


@pytest.mark.parametrize(("state", "node_1"), [("present", {"a": "b", "storage.podwright.io/n": ""}), ("absent", {})])
def test_labels_of_a_node_that_leaves_the_variables_are_removed(state, node_1):
    """A label that the role adds names the nodes of the namespace."""
    directory = ROLES[0].parent / "storage"
    tasks = {task["name"].split(" are ")[0]: task for task in read_yaml((directory / "tasks/main.yml").read_text())}
    looked, applied = tasks["Look for nodes that have labels of an earlier run"], tasks["Ensure that the node labels"]
    variables = read_yaml((directory / "vars/main.yml").read_text()) | applied["vars"] | {
        "storage_namespace": "n",
        "storage_state": state,
        "storage_node_labels": {"node-1": {"a": "b"}, "gone": {"a": "b"}},
        "storage_nodes": {"results": [{"item": "node-1", "resources": [1]}, {"item": "gone", "resources": []}]},
        "storage_labeled": {"resources": [{"metadata": {"name": name}} for name in ("node-1", "node-2")]},
    }  # fmt: skip
    assert looked["register"] == "storage_labeled" and fill(looked["podwright.core.pod_info"]["label_selectors"][0], variables) == "storage.podwright.io/n"
    template = applied["podwright.core.resource_set"]["definition"]["metadata"]["labels"]
    items = json.loads(fill(as_json(applied["loop"]), variables))
    labels = {item["key"]: json.loads(fill(as_json(template), variables | {"item": item})) for item in items}
    assert labels == {"node-1": node_1, "node-2": {}}
    for result, is_failed in (({"failed": True, "reason": "Forbidden"}, False), ({"failed": True}, True), ({"failed": False}, False)):
        assert fill("{{ " + looked["failed_when"] + " }}", {"storage_labeled": result}) in (is_failed, str(is_failed))


def test_policies_are_checked_before_the_one_that_denies_everything_is_applied():
    _variables, checked, applied = read_yaml((ROLES[0].parent / "network_policy/tasks/main.yml").read_text())
    options = applied["podwright.core.resource_set"]
    assert checked["check_mode"] is True and checked["changed_when"] is False
    assert checked["podwright.core.resource_set"] == {name: value for name, value in options.items() if name not in ("state", "prune")}


@pytest.mark.parametrize(("ingress", "egress"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_policy_denies_no_direction_that_the_variables_leave_open(ingress, egress):
    entries = [{"name": "out", "pod_selector": {"app": "web"}, "ports": [{"port": 443}]}]
    given = {"network_policy_deny_ingress": ingress, "network_policy_deny_egress": egress, "network_policy_allow_same_namespace": True}
    policies = render("network_policy", network_policy_namespace="n", network_policy_allow_egress=entries, **given)
    specs = {name: policy["spec"] for (_kind, name), policy in policies.items()}
    listed = specs.pop("out")
    denied = {name for name, is_denied in (("Ingress", ingress), ("Egress", egress)) if is_denied}
    assert {direction for spec in specs.values() for direction in spec["policyTypes"]} == denied
    rules = {name.title() for name in specs.get("allow-same-namespace", {}) if name.endswith("gress")}
    assert rules == set(specs.get("allow-same-namespace", {}).get("policyTypes", ()))
    # Pods whose other egress traffic this policy alone denies resolve names.
    assert [rule.get("to") is not None for rule in listed["egress"]] == ([False] if egress else [False, True])


def test_an_ingress_without_a_selector_requires_its_service():
    tasks = read_yaml((ROLES[0].parent / "service/tasks/main.yml").read_text())
    (block,) = [task for task in tasks if task["name"] == "Check that the Service exists"]
    assert tasks.index(block) < next(index for index, task in enumerate(tasks) if "resource_set" in str(task))
    assert "service_selector | length == 0" in block["when"] and "ansible_check_mode" in block["when"]
    found, check = block["block"]
    names = {"service_name": "web", "service_namespace": "shop"}
    assert found["podwright.core.pod_info"]["kind"] == "Service" and found["register"] in check["ansible.builtin.assert"]["that"]
    assert fill(check["ansible.builtin.assert"]["fail_msg"], names).startswith("Service 'web' not found in namespace 'shop', so that its Ingress or route ")


@pytest.mark.parametrize(
    "name", ["docker.io", "docker.io/library", "localhost", "localhost:5000/a_b", "host:5000", "a.b-c.example/x__y", "HOST/x", "[::1]:5000/a"]
)
def test_a_registry_is_a_host_with_a_path(name):
    assert bad_registries([name]) == []


@pytest.mark.parametrize("name", ["*.example.com", "example.com/*", "exa mple.com", "https://a.b", "a.b/", "a.b/c:1", "busybox", "ex$mple.com", "-.b?", ""])
def test_a_registry_that_no_image_is_from_is_refused(name):
    """A policy with it would refuse every image."""
    assert bad_registries(["a.b", name]) == [name or "null"]


def bad_registries(names):
    """Those that the role image_policy refuses."""
    tasks = read_yaml((ROLES[0].parent / "image_policy/tasks/validate.yml").read_text())
    given = next(task for task in tasks if task["name"] == "Check the policy")["vars"]
    variables = {"image_policy_registries": names} | {name: trust_as_template(text) for name, text in given.items()}
    return Templar(DataLoader(), variables=variables).template(trust_as_template("{{ image_policy_bad_registries }}"))


HOSTS = ["registry.n", "registry", "registry.n.svc", "registry.n.svc.cluster.local", "10.0.0.1"]
REGISTRY = {"registry_address": HOSTS[-1], "registry_stored": server_certificate({}, HOSTS)}
SERVICE = {"service_name": "web", "service_selector": {"app": "web"}, "service_ports": [{"port": 80, "name": "http"}]}
# A value of each boolean variable in which it matters, and what else it needs.
BOOLEANS = {
    "service_headless": SERVICE,
    "service_publish_not_ready": SERVICE,
    "service_wait": None,
    "image_prepull_keep": None,
    "namespace_adopt": None,
    "network_policy_deny_ingress": {},
    "network_policy_deny_egress": {},
    "network_policy_allow_dns": {"network_policy_deny_egress": True},
    "network_policy_allow_same_namespace": {},
    "image_policy_require_digest": {},
    "monitoring_dashboard": {},
    "queue_flavors.shared": {"queue_name": "q", "queue_namespaces": ["n"]},
    "rbac_storage": {"rbac_service_accounts": [{"name": "a", "purposes": ["provisioning"]}]},
    "registry_trust_nodes": REGISTRY,
    "storage_wait": None,
    "storage_classes.default": {},
    "workload_identity_install": {"workload_identity_token_reviewers": [{"name": "n", "namespace": "b"}]},
}


@pytest.mark.parametrize("name", BOOLEANS)
def test_a_boolean_given_as_text_is_a_boolean(name):
    """Ansible validates the variables of a role, but does not convert them: those of `-e name=false` are text."""
    role = name.rpartition("_")[0] if name.startswith("rbac") else next(role.name for role in ROLES if name.startswith(role.name))
    if BOOLEANS[name] is None:
        texts = [(ROLES[0].parent / role / file).read_text() for file in ("tasks/main.yml", "templates/objects.yml.j2")]
        texts += [path.read_text() for path in (ROLES[0].parent / role / "tasks").glob("ownership.yml")]
        assert re.search(rf"\b{name.rpartition('.')[2]}( \| default\(false\))? \| bool", "".join(texts))
        return

    def rendered(value):
        variable, _dot, part = name.partition(".")
        given = {variable: [NEEDED[variable] | {part: value}]} if part else {name: value}
        return render(role, **{f"{role}_namespace": "n"} | BOOLEANS[name] | given)

    assert rendered(True) != rendered(False)
    assert [rendered(text) for text in ("false", "no", "0", "False")] == [rendered(False)] * 4
    assert [rendered(text) for text in ("true", "yes", "1", "True")] == [rendered(True)] * 4


def test_each_boolean_of_a_role_is_tested():
    found = []
    for role in ROLES:
        for name, option in read_yaml((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"].items():
            found += [name] if option["type"] == "bool" else [f"{name}.{part}" for part, inner in option.get("options", {}).items() if inner["type"] == "bool"]
    assert sorted(found) == sorted(BOOLEANS)


# Texts that mean something else in YAML or in a template.
ODD_TEXTS = [
    "a: b",
    "x\n---\nkind: Secret",
    "'",
    '"',
    "\\",
    "# x",
    "{{ 1 + 1 }}",
    "{% raw %}",
    "yes",
    "1e3",
    "null",
    "~",
    "- a",
    "\u2028",
    "\u0085x: y",
    "&a",
    "*a",
    "!!str",
    "%",
    "@",
    "\t",
]
TEXTS = {
    "service": [
        *("service_namespace", "service_name", "service_selector.a", "service_labels.a", "service_annotations.a"),
        *("service_ports.name", "service_ports.target_port", "service_ports.app_protocol"),
        *("service_ingress.class", "service_ingress.port", "service_ingress.tls_secret"),
    ],
    "namespace": ["namespace_labels.a", "namespace_annotations.a", "namespace_image_pull_secrets.registry", "namespace_image_pull_secrets.password"],
    "network_policy": ["network_policy_namespace", "network_policy_allow_ingress.name", "network_policy_allow_egress.name"],
    "rbac": ["rbac_namespace", "rbac_service_accounts.name"],
    "storage": [
        "storage_namespace",
        "storage_classes.name",
        "storage_classes.provisioner",
        "storage_claims.size",
        "storage_claims.name",
        "storage_claims.class",
    ],
    "image_policy": ["image_policy_namespace_selector.matchLabels"],
    "queue": ["queue_name", "queue_cluster_queue", "queue_cohort", "queue_flavors.name"],
    "quota": ["quota_namespace", "quota_max_cpu", "quota_default_limits.cpu"],
    "workload_identity": [
        "workload_identity_registrations.name",
        "workload_identity_token_reviewers.name",
        "workload_identity_token_reviewers.namespace",
    ],
    "image_prepull": ["image_prepull_namespace", "image_prepull_name", "image_prepull_helper_image", "image_prepull_node_selector.a"],
}
NEEDED = {
    "service_ports": {"port": 80},
    "namespace_image_pull_secrets": {"name": "n", "registry": "r", "username": "u", "password": "p"},
    "rbac_service_accounts": {"name": "n", "purposes": ["tasks"]},
    "storage_classes": {"name": "n"},
    "queue_flavors": {"name": "n", "quotas": {"cpu": 1}, "node_labels": {"a": True}},
    "storage_claims": {"name": "n", "size": "1Gi"},
    "workload_identity_registrations": {"name": "n", "namespace": "b", "path": "/p"},
    "workload_identity_token_reviewers": {"name": "n", "namespace": "b"},
}

SOME = {
    "service": SERVICE,
    "rbac": {"rbac_service_accounts": [NEEDED["rbac_service_accounts"]]},
    "storage": {"storage_claims": [NEEDED["storage_claims"]]},
    "quota": {"quota_max_pods": 1},
    "workload_identity": {"workload_identity_install": False},
    "queue": {"queue_name": "q", "queue_namespaces": ["n"], "queue_flavors": [NEEDED["queue_flavors"]]},
    "image_prepull": {"image_prepull_images": ["a"]},
}


SEALED = ("namespace_image_pull_secrets.registry", "namespace_image_pull_secrets.password")  # they become a part of another text


def render_texts(role, paths, text, part_text):
    """The manifests of a role whose variables at `paths` are `text`; `part_text` if the path is of a part of a variable."""
    variables = {"namespace_full_name": "n", f"{role}_namespace": "n"} | SOME.get(role, {})
    for path in paths:
        name, _dot, part = path.partition(".")
        if not part:
            variables[name] = text
        elif name in NEEDED or "_allow_" in name:
            variables[name] = [NEEDED.get(name, {}) | variables.get(name, [{}])[0] | {part: part_text}]
        else:
            variables[name] = variables.get(name, {}) | {part: part_text}
    return list(render(role, **variables).values())


@pytest.mark.parametrize(("role", "paths"), [*((role, [path for path in paths if path not in SEALED]) for role, paths in TEXTS.items()), ("namespace", SEALED)])
def test_texts_of_variables_remain_texts(role, paths):
    plain = json.dumps(render_texts(role, paths, "whole", "part"))
    for path in paths:
        assert paths is SEALED or f'"{path}"' in json.dumps(render_texts(role, [path], path, path)), f"{path} is not in a manifest"
    for text in ODD_TEXTS:
        whole = "whole" if text.startswith("{") else text  # a variable itself may be a template
        found = render_texts(role, paths, whole, text)
        expected = json.loads(plain.replace('"whole"', json.dumps(whole)).replace('"part"', json.dumps(text)))
        assert found == expected or paths is SEALED, text
        assert [item["kind"] for item in found] == [item["kind"] for item in expected], text


def test_names_and_credentials_that_look_like_numbers_are_text():
    secret = {"name": 1, "registry": "r", "username": 2, "password": 3}
    created = render("namespace", namespace_full_name="n", namespace_image_pull_secrets=[secret])
    login = {"username": "2", "password": "3", "auth": base64.b64encode(b"2:3").decode()}
    assert json.loads(created["Secret", "1"]["stringData"][".dockerconfigjson"]) == {"auths": {"r": login}}
    assert created["ServiceAccount", "default"]["imagePullSecrets"] == [{"name": "1"}]
    created = render("storage", storage_claims=[{"name": 1, "size": "1Gi", "class": 2, "volume": 3}], storage_volumes=[{"name": 4, "capacity": 5, "local": 6}])
    assert created["PersistentVolumeClaim", "1"]["spec"] | {"accessModes": [], "resources": {}} == {
        "accessModes": [],
        "resources": {},
        "storageClassName": "2",
        "volumeName": "3",
    }
    assert created["PersistentVolume", "4"]["spec"]["local"] == {"path": "6"}
    created = render("queue", queue_name=1, queue_namespaces=[2], queue_flavors=[{"name": 3, "quotas": {"cpu": 4}, "node_labels": {5: True}}])
    assert created["ResourceFlavor", "3"]["spec"]["nodeLabels"] == {"5": "true"} and created["LocalQueue", "1"]["metadata"]["namespace"] == "2"
    assert ("ServiceAccount", "8") in render("rbac", rbac_namespace="n", rbac_service_accounts=[{"name": 8, "purposes": ["reading"]}])


@pytest.mark.parametrize("role", ["image_prepull", "monitoring", "network_policy", "quota", "rbac", "registry", "service", "storage", "workload_identity"])
def test_a_namespace_that_looks_like_a_number_is_text(role):
    needed = {"registry": REGISTRY, "workload_identity": {"workload_identity_trust_domain": "d", "workload_identity_install": True}}
    found = render(role, **SOME.get(role, {}) | needed.get(role, {}) | {f"{role}_namespace": 20261129}).values()
    assert {item["metadata"]["namespace"] for item in found if "namespace" in item["metadata"]} == {"20261129"}


LABELS = {"applyset.kubernetes.io/id": "ours"}


@pytest.mark.parametrize(
    ("before", "part_of", "own", "given", "after"),
    [
        (["corp"], "", [], ["hub"], ["corp", "hub"]),
        (["hub", "corp"], "ours", ["hub"], ["hub"], ["hub", "corp"]),  # a controller has changed the order
        (["corp", "hub", "old"], "ours", ["hub", "old"], ["hub"], ["corp", "hub"]),
        (["corp", "hub"], "ours", ["hub"], [], ["corp"]),
        (["hub"], "ours", ["hub"], [], None),
        (["corp"], "", [], [], None),  # not a service account of this role
        (["corp"], "theirs", [], [], None),
        ([], "", [], ["7"], ["7"]),
    ],
)
def test_pull_secrets_of_others_stay_in_the_service_account(before, part_of, own, given, after):
    account = {"metadata": {"labels": {"applyset.kubernetes.io/part-of": part_of}}, "imagePullSecrets": [{"name": name} for name in before]}
    objects = render(
        "namespace",
        namespace_full_name="n",
        namespace_account={"resources": [account]},
        namespace_record={"resources": [{"metadata": {"labels": LABELS}}]},
        namespace_secrets={"resources": [{"metadata": {"name": name}} for name in own]},
        namespace_image_pull_secrets=[{"name": name, "registry": "r", "username": "u", "password": "p"} for name in given],
    )
    found = objects.get(("ServiceAccount", "default"))
    assert (found and [entry["name"] for entry in found["imagePullSecrets"]]) == after


def test_a_pull_secret_of_others_is_refused_before_anything_is_written():
    """The set takes over a namespace that exists, and nothing else."""
    directory = ROLES[0].parent / "namespace"
    names = [task.get("ansible.builtin.import_tasks") for task in read_yaml((directory / "tasks/main.yml").read_text())]
    checked = next(task for task in walk(read_yaml((directory / "tasks/pull_secrets.yml").read_text())) if "podwright.core.resource_set" in task)
    assert names.index("pull_secrets.yml") < len(names) - 1 and checked["check_mode"] is True
    assert checked["podwright.core.resource_set"]["adopt"] is False and "prune" not in checked["podwright.core.resource_set"]
    secret = {"name": "hub", "registry": "r", "username": "u", "password": "p"}
    assert list(render("namespace", namespace_full_name="n", namespace_image_pull_secrets=[secret], **checked["vars"])) == [("Secret", "hub")]


@pytest.mark.parametrize(
    ("annotation", "ttl", "expected"), [("100", 200, ["podwright.io/ttl"]), (200, "200", []), ("100", "", []), ("100", None, []), (None, 200, [])]
)
def test_the_annotation_of_the_ttl_is_not_set_to_two_values(annotation, ttl, expected):
    """Each run of the playbook provision would change it twice."""
    check = read_yaml((ROLES[0].parent / "namespace/tasks/validate.yml").read_text())[1]
    annotations = {"podwright.io/ttl": annotation} if annotation else {"a": "b"}
    variables = read_yaml((ROLES[0].parent / "namespace/defaults/main.yml").read_text()) | {"namespace_annotations": annotations, "quota_pod_ttl_seconds": ttl}
    own = [{name: fill(text, variables | {"namespace_given": annotations}) for name, text in entry.items()} for entry in check["vars"]["namespace_own"]]
    found = fill("{{ overridden }}", variables | {"namespace_given": annotations, "namespace_own": own, "overridden": check["vars"]["namespace_overridden"]})
    assert found in (expected, str(expected))
    assert expected == [] or "which quota_pod_ttl_seconds sets." in fill(check["ansible.builtin.assert"]["fail_msg"], {"namespace_overridden": expected})


@pytest.mark.parametrize(("fact", "target"), [("a", "a"), (False, "no"), ("no", "no")])
def test_a_name_that_yaml_reads_as_a_boolean_is_text(fact, target):
    """ansible-core 2.16 converts such a fact to a boolean."""
    assert list(render("namespace", namespace_name="no", namespace_full_name=fact)) == [("Namespace", target)]


def test_parts_of_a_name_are_text_with_native_templates():
    """ansible-core 2.16 converts a text such as 1e3 to a number unless `string` is the last filter."""
    build = read_yaml((ROLES[0].parent / "namespace/tasks/main.yml").read_text())[1]
    texts = build["vars"] | build["ansible.builtin.set_fact"]
    assert [name for name, text in texts.items() if not text.endswith("| string }}")] == ["namespace_room"]


def names_of(**variables):
    """(name of the namespace, whether the role shows what the build tag became) for variables of the role namespace."""
    build, show = read_yaml((ROLES[0].parent / "namespace/tasks/main.yml").read_text())[1:3]
    variables = {"namespace_prefix": "", "namespace_name": "shop", "namespace_build_tag": ""} | variables
    templar = Templar(loader=DataLoader(), variables=variables)
    known = dict(variables)
    for name, template in build["vars"].items():
        templar.available_variables = known
        known[name] = templar.template(trust_as_template(template))
    templar.available_variables = known
    name = templar.template(trust_as_template(build["ansible.builtin.set_fact"]["namespace_full_name"]))
    return name, str(templar.template(trust_as_template("{{ " + show["when"] + " }}"))) == "True"


@pytest.mark.parametrize(
    ("tag", "suffix"),
    [
        ("", ""), (None, ""), ("42", "-42"), (42, "-42"), (0, "-0"), ("a--b", "-a--b"), ("x" * 58, f"-{'x' * 58}"),
        ("Feature/Login", "-feature-login-1ce27709"), ("1.10", "-1-10-"), (1.5, "-1-5-"), ("a\n", "-a-"), ("-a", "-a-"), ("a-", "-a-"),
        ("\u00dcber/\u65e5\u672c", "-ber-"),
        ("\u65e5\u672c", "-"), ("x" * 59, f"-{'x' * 49}-"), ("y/" * 100, "-y-y-"), ("refs/heads/" + "A" * 190, "-refs-heads-aaa"),
    ],
)  # fmt: skip
def test_any_build_tag_becomes_part_of_a_valid_name(tag, suffix):
    name, is_shown = names_of(namespace_build_tag=tag)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) and name.startswith(f"shop{suffix}"), name
    digest = hashlib.sha256(str(tag).encode()).hexdigest()[:8]
    assert is_shown == name.endswith(digest) and (is_shown or name == f"shop{suffix}")


def test_different_build_tags_are_different_namespaces():
    tags = ["feature/a", "feature-a", "Feature-a", "feature_a", "feature/a/", "x" * 59, "x" * 60]
    assert len({names_of(namespace_build_tag=tag)[0] for tag in tags}) == len(tags)
    assert names_of(namespace_build_tag="A", namespace_prefix="p" * 20, namespace_name="n" * 33)[0] == f"{'p' * 20}-{'n' * 33}-559aead0"
    # A name without room for a tag is too long: the API refuses it.
    assert len(names_of(namespace_build_tag="A", namespace_name="n" * 60)[0]) > 63


def test_variables_of_spire_remain_text():
    text = "a: b # ' \\"
    names = ["server_image", "agent_image", "controller_manager_image", "csi_driver_image", "registrar_image", "storage_class"]
    variables = {f"workload_identity_{name}": text for name in names} | {"workload_identity_storage_size": "1Gi"}
    found = json.dumps(list(render("workload_identity", workload_identity_namespace="n", workload_identity_trust_domain="d", **variables).values()))
    assert found.count(json.dumps(text)) == len(names)


def test_spire_and_its_registrations_have_the_name_of_the_cluster():
    registration = {"name": "a", "namespace": "b", "path": "/c"}
    variables = {"workload_identity_namespace": "n", "workload_identity_trust_domain": "d", "workload_identity_registrations": [registration]}
    found = render("workload_identity", workload_identity_cluster_name="blue", **variables)
    server, agent = found["ConfigMap", "spire-server"]["data"], found["ConfigMap", "spire-agent"]["data"]
    assert '"blue" = {' in server["server.conf"] and 'cluster = "blue"' in agent["agent.conf"]
    assert json.loads(server["controller-manager.yaml"])["clusterName"] == "blue"
    assert found["ClusterStaticEntry", "podwright-nodes-n"]["spec"]["selectors"] == ["k8s_psat:cluster:blue"]


def test_the_cohort_of_a_queue_is_the_field_of_its_api_version():
    variables = {"queue_name": "q", "queue_namespaces": ["n"], "queue_quotas": {"cpu": 1}, "queue_cohort": "c"}
    for version, field in (("v1beta1", "cohort"), ("v1beta2", "cohortName")):
        created = render("queue", queue_api_version=f"kueue.x-k8s.io/{version}", **variables)
        assert {item["apiVersion"] for item in created.values()} == {f"kueue.x-k8s.io/{version}"}
        assert {name: value for name, value in created["ClusterQueue", "q"]["spec"].items() if name.startswith("cohort")} == {field: "c"}


def test_a_registration_becomes_an_entry_with_its_selectors():
    given = [
        {
            "name": "a",
            "namespace": "builds",
            "service_account": "runner",
            "pod_labels": {"app": True, "n": 1},
            "ttl": "1h",
            "jwt_ttl": "5m",
            "dns_names": ["a"],
        },
        {"name": "b", "namespace": "x", "path": "/q", "selectors": ["k8s:container-name:task"], "service_account": None, "ttl": None},
    ]
    variables = {"workload_identity_namespace": "spire", "workload_identity_trust_domain": "d", "workload_identity_install": False}
    entries = render("workload_identity", workload_identity_registrations=given, workload_identity_class_name="c", **variables)
    nodes = "spiffe://d/podwright/nodes/spire"
    parent = {"className": "c", "spiffeID": nodes, "parentID": "spiffe://d/spire/server", "selectors": ["k8s_psat:cluster:cluster"]}
    common = {"className": "c", "parentID": nodes}
    assert {name: entry["spec"] for (_kind, name), entry in entries.items()} == {
        "podwright-nodes-spire": parent,
        "a": common
        | {
            "spiffeID": "spiffe://d/ns/builds/sa/runner",
            "selectors": ["k8s:ns:builds", "k8s:sa:runner", "k8s:pod-label:app:true", "k8s:pod-label:n:1"],
            "x509SVIDTTL": "1h",
            "jwtSVIDTTL": "5m",
            "dnsNames": ["a"],
        },
        "b": common | {"spiffeID": "spiffe://d/q", "selectors": ["k8s:ns:x", "k8s:container-name:task"]},
    }


@pytest.mark.parametrize(
    ("registration", "fault"),
    [
        ({"path": "/a/b-c_d.e"}, ""),
        ({"service_account": "s"}, ""),
        ({"path": "/a", "ttl": "1h30m", "jwt_ttl": "10s"}, ""),
        ({}, ": must have a service_account or a path."),
        ({"path": "a"}, ".path: must be a path such as /builds/web, got 'a'."),
        ({"path": "/a/"}, ".path: must be a path such as /builds/web, got '/a/'."),
        ({"path": "/a/../b"}, ".path: must be a path such as /builds/web, got '/a/../b'."),
        ({"path": "/a b"}, ".path: must be a path such as /builds/web, got '/a b'."),
        ({"path": "/a", "ttl": "60"}, ".ttl: must be a time such as 1h, 30m or 90s, got '60'."),
        ({"path": "/a", "jwt_ttl": "1 h"}, ".jwt_ttl: must be a time such as 1h, 30m or 90s, got '1 h'."),
        ({"path": "/a", "name": "podwright-nodes-n"}, ".name: must not be podwright-nodes-n, which is the role's own."),
        ({"path": "/a", "name": "other"}, ".name: must be unique, got 'other' more than once."),
        ({"path": "/a", "name": "B_x"}, ".name: must be lower-case letters, digits, hyphens and dots that start and end with a letter or digit, got 'B_x'."),
    ],
)
def test_an_invalid_registration_is_refused_with_its_fault(registration, fault):
    tasks = read_yaml((ROLES[0].parent / "workload_identity/tasks/validate.yml").read_text())
    template = next(task for task in tasks if task["name"] == "Check the registrations")["vars"]["workload_identity_faults"]
    item = {"name": "a", "namespace": "n"} | registration
    variables = {"item": item, "workload_identity_registrations": [{"name": "other", "namespace": "n", "path": "/o"}, item], "workload_identity_number": 1}
    variables["workload_identity_namespace"] = "n"
    expected = [f"workload_identity_registrations[1]{fault}"] if fault else []
    assert Templar(DataLoader(), variables=variables).template(trust_as_template(template)) == expected


FRONT = {"service_namespace": "n"} | SERVICE


def service_faults(**variables):
    """What the role service says about its variables."""
    task = read_yaml((ROLES[0].parent / "service/tasks/validate.yml").read_text())[1]
    templar = Templar(loader=DataLoader(), variables=(known := read_yaml((ROLES[0].parent / "service/defaults/main.yml").read_text()) | FRONT | variables))
    for name, template in task["vars"].items():
        templar.available_variables = known
        known[name] = templar.template(trust_as_template(template))
    return known["service_faults"]


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"service_name": "Front"}, "service_name: must be at most 63 lower-case letters, digits and hyphens, got 'Front'."),
        ({"service_spec": {"type": "NodePort", "ports": []}}, "service_spec: must not contain ports, type, which the role sets from variables of its own."),
        ({"service_selector": {}}, "service_selector: must not be empty unless"),
        ({"service_ports": []}, "service_ports: must not be empty unless service_headless is true"),
        ({"service_ports": [], "service_headless": True, "service_ingress": {"hosts": ["a"]}}, "service_ports: must not be empty unless"),
        ({"service_ports": [{"port": 80, "name": "a"}, {"port": 81}]}, "service_ports: each must have a name of its own"),
        ({"service_ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}, "service_ports: each must have a name of its own"),
        ({"service_headless": "true", "service_type": "NodePort"}, "service_headless: must be false for the type NodePort."),
        ({"service_ports": [{"port": 80, "node_port": 30080}]}, "service_ports: node_port needs the service_type"),
        ({"service_ingress": {"port": "htp"}}, "service_ingress.port: unknown port 'htp'; ports: 80, http."),
        ({"service_route": {"port": 81, "parents": ["edge"]}}, "service_route.port: unknown port '81'; ports: 80, http."),
        ({"service_route": {"hostnames": ["a"]}}, "service_route.parents: must not be empty."),
        ({"service_route": {"kind": "GRPCRoute", "parents": ["edge"], "paths": ["/a"]}}, "service_route.paths: must be empty for a GRPCRoute."),
    ],
)
def test_the_service_role_names_invalid_variables(variables, fault):
    (found,) = service_faults(**variables)
    assert found.startswith(fault)


def test_the_service_role_accepts_valid_variables():
    route = {"kind": "GRPCRoute", "parents": ["edge"], "port": "http"}
    for variables in (
        {},
        {"service_headless": "yes", "service_ports": []},
        {"service_selector": {}, "service_ingress": {"port": "80"}},
        {"service_type": "NodePort", "service_ports": [{"port": "80", "node_port": 30080}], "service_headless": "false"},
        {"service_route": route, "service_ports": [{"port": 80, "name": "http"}, {"port": 81, "name": "b"}]},
    ):
        assert service_faults(**variables) == []


def test_objects_of_the_service_role():
    """Values as they come from the command line and from surveys: numbers are text."""
    ports = [
        {"port": "80", "name": "http", "target_port": "8080", "app_protocol": "http"},
        {"port": 443, "name": "tls", "target_port": "tls", "node_port": "30443"},
    ]
    ingress = {
        "hosts": ["a.example.com", "b.example.com"],
        "paths": ["/x", "/y"],
        "path_type": "Exact",
        "port": "443",
        "tls_secret": "pair",
        "annotations": {"a": 1},
    }
    route = {"parents": ["edge", {"name": "other", "namespace": "infra"}], "hostnames": ["a.example.com"], "port": "tls"}
    given = {"service_ports": ports, "service_type": "NodePort", "service_spec": {"sessionAffinity": "ClientIP", "type": "ExternalName"}}
    found = render("service", **FRONT | given, service_ingress=ingress, service_route=route)
    assert found["Service", "web"]["spec"] == {
        "type": "NodePort",
        "sessionAffinity": "ClientIP",
        "selector": {"app": "web"},
        "ports": [
            {"port": 80, "targetPort": 8080, "protocol": "TCP", "name": "http", "appProtocol": "http"},
            {"port": 443, "targetPort": "tls", "protocol": "TCP", "name": "tls", "nodePort": 30443},
        ],
    }
    backend = {"service": {"name": "web", "port": {"number": 443}}}
    paths = [{"path": path, "pathType": "Exact", "backend": backend} for path in ("/x", "/y")]
    hosts = ["a.example.com", "b.example.com"]
    assert found["Ingress", "web"]["metadata"]["annotations"] == {"a": "1"}
    assert found["Ingress", "web"]["spec"] == {
        "rules": [{"host": host, "http": {"paths": paths}} for host in hosts],
        "tls": [{"secretName": "pair", "hosts": hosts}],
    }
    assert found["HTTPRoute", "web"]["spec"] == {
        "parentRefs": [{"name": "edge"}, {"name": "other", "namespace": "infra"}],
        "hostnames": ["a.example.com"],
        "rules": [{"backendRefs": [{"name": "web", "port": 443}], "matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}],
    }
    (only,) = render("service", **FRONT | {"service_selector": {}}, service_ingress={"class": "nginx"}).values()
    (rule,) = only["spec"]["rules"]
    assert only["spec"]["ingressClassName"] == "nginx" and rule["http"]["paths"][0]["path"] == "/" and "host" not in rule
    grpc = render("service", **FRONT, service_route={"kind": "GRPCRoute", "parents": ["edge"]})["GRPCRoute", "web"]
    assert grpc["spec"]["rules"] == [{"backendRefs": [{"name": "web", "port": 80}]}]
    assert render("service", **FRONT, service_state="absent", service_ingress=ingress) == {}


def test_pods_that_pull_images_have_the_options_of_the_role_and_need_no_privilege():
    options = {"image_prepull_images": ["a", 1, "a"], "image_prepull_pull_secrets": ["s"], "image_prepull_tolerations": [{"key": "k"}]}
    options |= {"image_prepull_pull_policy": "Always", "image_prepull_node_selector": {"a": True}}
    spec = render("image_prepull", image_prepull_namespace="n", **options)["DaemonSet", "image-prepull"]["spec"]["template"]["spec"]
    assert [(c["name"], c["image"], c["imagePullPolicy"]) for c in spec["containers"]] == [("image-0", "a", "Always"), ("image-1", "1", "Always")]
    assert spec["nodeSelector"] == {"a": "true", "kubernetes.io/os": "linux"} and spec["tolerations"] == [{"key": "k"}]
    assert spec["imagePullSecrets"] == [{"name": "s"}] and spec["automountServiceAccountToken"] is False
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def test_registry_shows_its_credentials_only_in_secrets():
    user = {"name": 1, "password": "canary"}
    objects = render("registry", registry_namespace="n", registry_trust_nodes=True, registry_users=[user], **REGISTRY)
    stored = REGISTRY["registry_stored"]
    for (kind, _name), item in objects.items():
        shown = json.dumps(item)
        assert kind == "Secret" or not ("canary" in shown or "PRIVATE" in shown or "$2b$" in shown)
    secret = objects["Secret", "registry"]["stringData"]
    assert secret == stored | {"htpasswd": secret["htpasswd"]} and secret["htpasswd"].startswith("1:$2b$10$")
    login = {"username": "1", "password": "canary", "auth": base64.b64encode(b"1:canary").decode()}
    assert json.loads(objects["Secret", "registry-login"]["stringData"][".dockerconfigjson"]) == {"auths": {"registry.n:5000": login}}
    volumes = objects["Deployment", "registry"]["spec"]["template"]["spec"]["volumes"]
    assert [entry["key"] for volume in volumes for entry in volume.get("secret", {}).get("items", ())] == ["tls.crt", "tls.key", "htpasswd"]  # not ca.key


@pytest.mark.parametrize(("address", "url"), [("10.0.0.1", "https://10.0.0.1:5000"), ("fd00::1", "https://[fd00::1]:5000")])
def test_containerd_finds_the_registry_by_its_address(address, url):
    objects = render("registry", registry_namespace="n", registry_trust_nodes=True, registry_stored={}, registry_address=address)
    config = objects["ConfigMap", "registry-nodes"]["data"]
    parsed = pytest.importorskip("tomllib").loads(config["hosts.toml"])
    host = {"capabilities": ["pull", "resolve", "push"], "ca": "ca.crt"}
    assert parsed == {"server": url, "ca": "ca.crt", "host": {url: host}} and config["ca.crt"].startswith("-----BEGIN CERTIFICATE")
    spec = objects["DaemonSet", "registry-nodes"]["spec"]["template"]["spec"]
    assert spec["containers"][0]["env"] == [{"name": "DIRECTORY", "value": "/certs.d/registry.n:5000"}]


def test_text_of_the_registrys_variables_remains_text():
    odd = 'a: "b"\n---\nkind: Secret # '
    names = ("image", "storage_size", "storage_class", "nodes_directory", "nodes_image")
    given = {f"registry_{name}": odd + name for name in names} | {"registry_node_selector": {odd: odd}, "registry_trust_nodes": True}
    objects = render("registry", registry_namespace="n", **REGISTRY, **given)
    plain = render("registry", registry_namespace="n", registry_storage_class="", **REGISTRY)  # an empty answer of a survey, and the playbook's default
    assert "storageClassName" not in plain["PersistentVolumeClaim", "registry"]["spec"]
    expected = {"Secret", "ConfigMap", "PersistentVolumeClaim", "Deployment", "DaemonSet"}
    assert len(objects) == 7 and {kind for kind, _name in objects} == expected
    shown = json.dumps(list(objects.values()))
    assert all(json.dumps(odd + name) in shown for name in names)
    assert objects["DaemonSet", "registry-nodes"]["spec"]["template"]["spec"]["nodeSelector"] == {odd: odd, "kubernetes.io/os": "linux"}


@pytest.mark.parametrize(
    ("path", "args", "hint", "shown"),
    [
        ("roles/queue/tasks/main.yml", {"wait_timeout": "{{ queue_wait_timeout }}"}, "Increase wait_timeout.", "Increase queue_wait_timeout."),
        ("playbooks/reconcile.yml", {"wait_timeout": "{{ 1 if podwright_time is none else podwright_time }}"}, "Set wait_timeout.", "Set podwright_time."),
        ("roles/service/tasks/main.yml", {}, "Correct api_version.", "Correct api_version."),
        (
            "roles/service/tasks/main.yml",
            {},
            "Increase wait_timeout.",
            "Increase wait_timeout. No variable sets wait_timeout: set it with module_defaults of a play.",
        ),
        ("roles/storage/tasks/main.yml", {"conflicts": "fail"}, "Set conflicts to take.", "Set conflicts to take. The role sets conflicts itself."),
        ("tests/play.yml", {"wait_timeout": "{{ podwright_time }}"}, "Increase wait_timeout.", "Increase wait_timeout."),
    ],
)
def test_hints_name_the_variables_of_roles_and_playbooks(path, args, hint, shown):
    result = name_variables({"msg": f"It failed. {hint}", "hint": hint}, args, str(ROLES[0].parents[1] / path))
    assert result == {"msg": f"It failed. {shown}", "hint": shown}


def test_a_result_without_a_hint_is_left_as_it_is():
    assert name_variables({"changed": True}, {}, "") == {"changed": True}


@pytest.mark.parametrize("directory", ["roles", "roles/queue", "playbooks"])
def test_the_hint_of_an_ad_hoc_task_is_left_as_it_is(directory, monkeypatch):
    place, result = ROLES[0].parents[1] / directory, {"msg": "It failed. Increase wait_timeout.", "hint": "Increase wait_timeout."}
    monkeypatch.chdir(place)
    assert name_variables(result, {}, "") == result
    assert directory == "roles/queue" or name_variables(result, {}, str(place)) == result


@pytest.mark.parametrize(
    ("given", "is_checked"),
    [
        ({}, False),
        ({"registry_storage_size": ""}, True),
        ({"registry_storage_size": None}, True),
        ({"registry_storage_claim": "registry"}, True),
        ({"registry_storage_claim": "registry", "registry_state": "absent"}, True),
        ({"registry_storage_size": "", "registry_state": "absent"}, False),
        ({"registry_state": "absent"}, False),
    ],
)
def test_images_are_deleted_only_on_request(given, is_checked):
    """Each change that would prune the claim of the registry, and a deletion that is to keep one, look for it before anything is written."""
    directory = ROLES[0].parent / "registry"
    tasks = read_yaml((directory / "tasks/main.yml").read_text())
    included = [task.get("ansible.builtin.include_tasks") for task in tasks]
    assert included.index("claim.yml") < included.index("present.yml") < included.index("absent.yml")
    variables = read_yaml((directory / "defaults/main.yml").read_text()) | given
    assert fill("{{ " + tasks[included.index("claim.yml")]["when"] + " }}", variables) in (is_checked, str(is_checked))
    found, refused = read_yaml((directory / "tasks/claim.yml").read_text())
    assert found["check_mode"] is True and found["podwright.core.resource_set"]["state"] == "absent"
    for kinds in ([], ["Service"], ["Service", "PersistentVolumeClaim"]):
        members = {"plan": [{"kind": kind} for kind in kinds]}
        passed = fill("{{ " + refused["ansible.builtin.assert"]["that"] + " }}", {found["register"]: members})
        assert passed in ("PersistentVolumeClaim" not in kinds, str("PersistentVolumeClaim" not in kinds))


def test_the_plan_of_a_new_certificate_is_the_same_each_time():
    given = {"registry_namespace": "n", "registry_address": "", "registry_trust_nodes": True}
    one, other = (render("registry", **given, registry_stored={}, provision_check=True) for _attempt in range(2))
    assert one == other and one["ConfigMap", "registry-ca"]["data"] == {"ca.crt": "generated by the run"}
    assert render("registry", **given, registry_stored={}) != render("registry", **given, registry_stored={})
    stored = server_certificate({}, HOSTS[:-1])
    assert render("registry", **given, registry_stored=stored, provision_check=True) == render("registry", **given, registry_stored=stored)
    renewed = {"registry_names": ["a"], "provision_check": True}
    one, other = (render("registry", **given, registry_stored=stored, **renewed) for _attempt in range(2))
    assert one == other and one["ConfigMap", "registry-ca"]["data"] == {"ca.crt": stored["ca.crt"]}
    assert one["Secret", "registry"]["stringData"] == stored | dict.fromkeys(("tls.crt", "tls.key"), "generated by the run")


@pytest.mark.parametrize(
    ("found", "given", "is_planned"),
    [
        ([], {"quota_pod_ttl_seconds": 60}, True),  # the review of a new namespace
        ([], {}, False),
        ([], {"quota_pod_ttl_seconds": 60, "quota_state": "absent"}, False),
        ([{"metadata": {"annotations": {"podwright.io/ttl": "60"}}}], {"quota_pod_ttl_seconds": 60}, False),
        ([{"metadata": {"annotations": {"podwright.io/ttl": "60"}}}], {"quota_pod_ttl_seconds": 60, "quota_state": "absent"}, True),
        ([{"metadata": {}}], {"quota_pod_ttl_seconds": 60}, True),
    ],
)
def test_the_default_ttl_is_part_of_the_plan_of_a_new_namespace(found, given, is_planned):
    directory = ROLES[0].parent / "quota"
    last = read_yaml((directory / "tasks/main.yml").read_text())[-1]
    variables = read_yaml((directory / "defaults/main.yml").read_text()) | last["vars"] | given | {"quota_found": {"resources": found}}
    assert fill("{{ " + last["when"] + " }}", variables) in (is_planned, str(is_planned))
