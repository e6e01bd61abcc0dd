# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What roles check, and what they wait for: the conditions of their tasks."""

from __future__ import annotations

import json
import re
import warnings

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from jinja2 import Environment

from ..support.documents import read_yaml
from ..support.environment import ROOT
from . import test_roles
from .test_provision import tasks_of, trusted
from .test_roles import SERVICE, render, trust_as_template

filters = test_roles.filters  # a fixture
NODES = {"gpu": True, "zone": 5, "arch": "amd64"}


def role_task(role, file, name):
    """A task of a role."""
    return next(task for task in tasks_of(ROOT / f"roles/{role}/tasks/{file}.yml") if task["name"] == name)


def evaluate(role, expression, task=None, **given):
    """An expression with the variables of a role and of a task of it."""
    return evaluate_text(role, "{{ " + expression + " }}", task, **given)


def evaluate_text(role, text, task=None, **given):
    """A template with the variables of a role and of a task of it."""
    variables = dict((task or {}).get("vars", {}))
    for file in ("vars/main.yml", "defaults/main.yml"):
        path = ROOT / "roles" / role / file
        variables |= read_yaml(path.read_text()) if path.exists() else {}
    return Templar(DataLoader(), variables=trusted(variables | given)).template(trust_as_template(text))


def fault(role, task, **given):
    """The message of a task that asserts something, or None if that holds."""
    options, variables = task["ansible.builtin.assert"], {f"{role}_namespace": "n"} | given
    conditions = [options["that"]] if isinstance(options["that"], str) else options["that"]
    # As Ansible does, which leaves the backslashes of a condition as they are.
    if all(evaluate_text(role, f"{{% if {condition} %}}yes{{% endif %}}", task, **variables) == "yes" for condition in conditions):
        return None
    variables |= {"message": options["fail_msg"]}
    return evaluate(role, "message", task, **variables)


# -- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "is_valid"),
    [
        ({"allow_ingress": [{"name": "in"}], "allow_egress": [{"name": "out"}]}, True),
        ({"allow_ingress": [{"name": "web"}], "allow_egress": [{"name": "web"}]}, False),
        ({"allow_ingress": [{"name": 1}, {"name": "1"}]}, False),
        ({"allow_egress": [{"name": "allow-dns"}]}, False),
        ({"allow_egress": [{"name": "allow-dns"}], "allow_dns": "no"}, True),  # for another DNS
        ({"allow_ingress": [{"name": "default-deny"}]}, False),
        ({"allow_ingress": [{"name": "default-deny"}], "deny_ingress": False, "deny_egress": "false"}, True),
        ({"allow_ingress": [{"name": "allow-same-namespace"}]}, True),
        ({"allow_ingress": [{"name": "allow-same-namespace"}], "allow_same_namespace": True}, False),
    ],
)
def test_each_network_policy_has_a_name_of_its_own(given, is_valid):
    task = role_task("network_policy", "validate", "Check that each policy has a name of its own")
    found = fault("network_policy", task, **{f"network_policy_{name}": value for name, value in given.items()})
    assert (found is None) == is_valid and (is_valid or found.startswith("network_policy_allow_ingress and network_policy_allow_egress: the name of each"))


@pytest.mark.parametrize(("names", "is_valid"), [(["a", "b"], True), (["a", "a"], False), ([1, "1"], False), ([], True)])
def test_a_service_account_is_listed_once(names, is_valid):
    task = role_task("rbac", "validate", "Check that each service account is listed once")
    assert (fault("rbac", task, rbac_service_accounts=[{"name": name} for name in names]) is None) == is_valid


def test_scopes_whose_names_are_the_same_text_are_refused():
    task = role_task("quota", "validate", "Check the quantities and names")
    scoped = [{"name": name, "scopes": ["Terminating"], "max_pods": 1} for name in (1, "1")]
    assert "quota_scoped[0].name: must be unique, got '1' more than once." in fault("quota", task, quota_scoped=scoped)


# -- numbers and quantities -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given"),
    [("Check the lifetime of pods", "quota_pod_lifetime_seconds"), ("Check the quantities and names", "quota_max_cpu")],
)
def test_text_with_a_line_break_is_no_number(name, given):
    task = role_task("quota", "validate", name)
    assert fault("quota", task, **{given: "50"}) is None
    assert fault("quota", task, **{given: "50\n"}).startswith(f"{given}: must be a ")


def test_no_check_of_a_role_accepts_a_line_break_at_the_end():
    for path in ROOT.glob("roles/*/*/*.yml"):
        for line in path.read_text().splitlines():
            assert not ("match" in line and ("$'" in line or '$"' in line)), f"{path}: {line}"


def test_an_empty_name_of_the_resource_of_gpus_is_the_default():
    quota = render("quota", quota_namespace="n", quota_max_gpus=2, quota_gpu_resource="")["ResourceQuota", "podwright"]
    assert quota["spec"]["hard"] == {"requests.nvidia.com/gpu": "2"}


# -- selectors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "file", "more"), [("image_prepull", "once", []), ("registry", "nodes", ["kubernetes.io/os=linux"])])
def test_nodes_are_selected_by_text_as_in_the_manifest(role, file, more):
    task = role_task(role, file, "Read the nodes")
    template = task["podwright.core.pod_info"]["label_selectors"].strip("{} ")
    assert evaluate(role, template, **{f"{role}_node_selector": NODES}) == ["arch=amd64", "gpu=true", *more, "zone=5"]


def test_the_agents_of_spire_are_selected_by_text():
    objects = render("workload_identity", workload_identity_namespace="n", workload_identity_trust_domain="d", workload_identity_node_selector=NODES)
    assert objects["DaemonSet", "spire-agent"]["spec"]["template"]["spec"]["nodeSelector"] == {"gpu": "true", "zone": "5", "arch": "amd64"}


def test_namespaces_that_register_workloads_have_nothing_in_common():
    """A cluster-scoped object of two sets would be refused in the second; entries with the same IDs and selectors are masked."""
    variables = {"workload_identity_trust_domain": "d", "workload_identity_install": False}
    found = []
    for name in ("one", "two"):
        registration = {"name": name, "namespace": name, "service_account": "a"}
        found += render("workload_identity", workload_identity_namespace=name, workload_identity_registrations=[registration], **variables).items()
    assert len(dict(found)) == 4
    assert len({(entry["spec"]["spiffeID"], entry["spec"]["parentID"]) for _name, entry in found}) == 4
    waiting = role_task("workload_identity", "main", "Wait until SPIRE has the registrations")
    names = evaluate("workload_identity", "workload_identity_names", waiting, workload_identity_namespace="two", workload_identity_registrations=[registration])
    assert names == ["two", "podwright-nodes-two"]


@pytest.mark.parametrize(
    ("selector", "sent", "asked"),
    [
        ({"matchLabels": None, "matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"matchExpressions": [{"key": "a", "operator": "Exists"}]}, ["a"]),
        ({"matchLabels": {"a": 1}, "matchExpressions": None}, {"matchLabels": {"a": "1"}}, ["a=1"]),
        (
            {"matchExpressions": [{"key": "a", "operator": "In", "values": [1, True, "c"]}, {"key": "b", "operator": "DoesNotExist", "values": None}]},
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "true", "c"]}, {"key": "b", "operator": "DoesNotExist", "values": None}]},
            ["a in (1,true,c)", "!b"],
        ),
    ],
)
def test_nulls_and_numbers_in_the_selector_of_an_image_policy(selector, sent, asked):
    binding = render("image_policy", image_policy_namespace_selector=selector)["ValidatingAdmissionPolicyBinding", "podwright-images"]
    assert binding["spec"]["matchResources"]["namespaceSelector"] == sent
    task = role_task("image_policy", "main", "Find a namespace that the policy selects")
    assert evaluate("image_policy", "image_policy_labels + image_policy_expressions", task, image_policy_namespace_selector=selector) == asked


INVALID_SELECTORS = [{"matchExpressions": ["a"]}, {"matchExpressions": "a"}, {"matchExpressions": {"a": 1}}, {"matchExpressions": 5}, {"matchLabels": ["a"]}]


@pytest.mark.parametrize("selector", INVALID_SELECTORS)
def test_an_invalid_selector_of_an_image_policy_is_refused(selector):
    task = role_task("image_policy", "validate", "Check the policy")
    rule = next(each for each in task["loop"] if each["rule"].startswith("must have only matchLabels"))
    assert evaluate("image_policy", rule["holds"].strip("{} \n"), task, image_policy_namespace_selector=selector) in (False, "False")


@pytest.mark.parametrize("values", ["prod", "", {"a": "prod"}, 5, 0, True, False])
def test_values_in_the_selector_of_an_image_policy_are_a_list(values):
    """Of text, each letter would be a value: a policy that applies to no namespace, or with NotIn to all."""
    task = role_task("image_policy", "validate", "Check the policy")
    entries = [{"key": "a", "operator": "In", "values": ["prod"]}, {"key": "b", "operator": "Exists"}, {"key": "c", "operator": "Exists", "values": None}]
    for number, more in enumerate([[], [{"key": "env", "operator": "NotIn", "values": values}]]):
        given = {"image_policy_namespace_selector": {"matchExpressions": entries + more}}
        rule = next(each for each in task["loop"] if "a list as values" in each["rule"])
        assert evaluate("image_policy", rule["holds"].strip("{} "), task, **given) in (not number, str(not number))
    assert evaluate("image_policy", "message", task, message=trust_as_template(rule["rule"]), **given).endswith(f"got {json.dumps(values)}.")


@pytest.mark.parametrize("size", [1, 500, 501, 2000])
def test_no_expression_of_an_image_policy_is_too_long_for_the_api_server(size):
    given = {"digests": [f"sha512:{number:0128x}" for number in range(size)], "registries": [f"r{number}.example.com/{'p' * 90}" for number in range(size)]}
    policy = render("image_policy", **{f"image_policy_{name}": value for name, value in given.items()})["ValidatingAdmissionPolicy", "podwright-images"]["spec"]
    texts = {entry["name"]: entry["expression"] for entry in policy["variables"]}
    for name, value in given.items():
        parts = [part for part in texts if part.startswith(name)]
        assert [item for part in parts for item in json.loads(texts[part])] == value
        assert f"[{', '.join(f'variables.{part}' for part in parts)}].exists(list, " in texts["unreviewed" if name == "digests" else "foreign"]
    texts |= {"message": max((text for entry in policy["validations"] for text in entry.values()), key=len)}
    assert max(map(len, texts.values())) < 100_000
    assert ("or one of 1980 more" in texts["message"]) == (size == 2000)


def test_an_action_of_an_image_policy_is_sent_once():
    """The API server fails with status 500 otherwise."""
    binding = render("image_policy", image_policy_actions=["Deny", "Audit", "Deny"])["ValidatingAdmissionPolicyBinding", "podwright-images"]
    assert binding["spec"]["validationActions"] == ["Deny", "Audit"]


def test_the_ttl_of_a_quota_is_that_of_a_namespace_whose_name_is_a_number():
    task = role_task("quota", "main", "Ensure that the default TTL of pods is {{ quota_state }}")
    name = task["podwright.core.resource_set"]["definition"]["metadata"]["name"]
    assert evaluate("quota", name.strip("{} ") + " | to_json", quota_namespace=20261129) in ("20261129", '"20261129"')
    assert evaluate("quota", f"({name.strip('{} ')}) is string", quota_namespace=20261129) in (True, "True")


# -- what roles wait for --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespaces", "used"),
    [([{"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}, {"name": "b"}], "b"), ([{"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}], None)],
)
def test_an_image_policy_is_tried_in_a_namespace_that_stays(namespaces, used):
    block = role_task("image_policy", "main", "Wait until the API server enforces the policy")
    found = {"image_policy_namespaces": {"resources": [{"metadata": each} for each in namespaces]}}
    assert evaluate("image_policy", "image_policy_wanted", block, **found) in (used is not None, str(used is not None))
    assert used is None or evaluate("image_policy", "image_policy_namespace", block, **found) == used


@pytest.mark.parametrize(
    ("refusal", "shown"),
    [
        ({"changed": True}, "was not refused."),
        ({"msg": "forbidden."}, "failed with: forbidden."),
        ({"msg": "a: The image policy is enforced. (HTTP 422)"}, None),
    ],
)
def test_an_image_policy_that_was_not_seen_to_be_enforced_is_an_error(refusal, shown):
    block = role_task("image_policy", "main", "Wait until the API server enforces the policy")
    waiting, check = block["block"][-2:]
    assert waiting["when"] == check["when"] and waiting["register"] == "image_policy_refusal"
    found = fault("image_policy", check, image_policy_refusal=refusal, image_policy_namespace="b")
    assert found is None if shown is None else f"a dry run in namespace 'b' {shown} Increase image_policy_wait_timeout" in found


@pytest.mark.parametrize(("login", "shown"), [({"status": 200}, None), ({"status": 401}, "status 401"), ({"status": -1, "msg": "refused"}, "an error")])
def test_the_registry_role_waits_until_changed_users_may_log_in(login, shown):
    """Kubelets write a changed Secret into a running pod within about a minute."""
    waiting = role_task("registry", "check", "Log in as the first user")
    given = {"registry_login": login, "registry_timeout": "120", "registry_users": [{"name": "a", "password": "canary"}]}
    assert evaluate("registry", waiting["until"], **given) in (shown is None, str(shown is None))
    assert int(evaluate("registry", waiting["retries"].strip("{} "), **given)) * waiting["delay"] == 120
    assert waiting["no_log"] is True and waiting["failed_when"] is False
    found = fault("registry", role_task("registry", "check", "Check that it may log in"), **given)
    assert found is None if shown is None else f"within 120 s: it responded with {shown}." in found and "canary" not in found


@pytest.mark.parametrize(("members", "is_kept"), [([], True), (["Ingress"], True), (["Ingress", "Service"], False)])
def test_a_service_that_its_ingress_needs_is_not_deleted(members, is_kept):
    tasks = read_yaml((ROOT / "roles/service/tasks/main.yml").read_text())
    block = next(task for task in tasks if task["name"] == "Check that the Service is not the role's own")
    looked, check = block["block"]
    options, applied = looked["podwright.core.resource_set"], tasks[-1]["podwright.core.resource_set"]
    assert options["state"] == "absent" and looked["check_mode"] is True and looked["changed_when"] is False
    assert all(options[name] == applied[name] for name in ("name", "namespace", "field_manager", "adopt"))
    given = {"service_members": {"plan": [{"kind": kind} for kind in members]}} | SERVICE
    found = fault("service", check, **given)
    assert found is None if is_kept else found.startswith("Nothing was changed, because Service 'web' in namespace 'n' would be deleted")


@pytest.mark.parametrize(
    ("place", "runtime", "reason"),
    [
        ("cluster", "auto", "A cluster is configured and responds."),
        ("cluster", "kubernetes", "It was requested."),
        ("host", "auto", "No cluster can be used: None responds."),
        ("host", "podman", "It was requested."),
    ],
)
def test_the_result_of_the_task_runner_says_why_its_runtime_was_chosen(place, runtime, reason):
    kept = [task for task in tasks_of(ROOT / "roles/task_runner/tasks/main.yml") if task["name"] == "Keep the result"]
    (task,) = [task for task in kept if f"task_runner_on_{place} |" in str(task["ansible.builtin.set_fact"])]
    chosen = {"changed": True, "runtime": {"name": "x", "reason": "It was requested."}}
    given = {"task_runner_on_cluster": {"failed": True, "msg": "None responds."}, f"task_runner_on_{place}": chosen, "task_runner_runtime": runtime}
    expression = task["ansible.builtin.set_fact"]["task_runner_result"][2:-2]
    found = evaluate("task_runner", expression, task, **given)
    assert found["changed"] is True and found["runtime"]["reason"] == reason
    assert evaluate("task_runner", expression, task, **given | {f"task_runner_on_{place}": {"failed": True}}) == {"failed": True}


# -- files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", sorted(path.name for path in (ROOT / "roles").iterdir()))
def test_no_string_of_a_template_has_an_invalid_escape(role):
    """Ansible doubles backslashes in `{{ }}`, but neither in conditions nor in `{% %}`."""
    texts = [path.read_text() for path in (ROOT / "roles" / role).glob("templates/*.j2")]
    for path in (ROOT / "roles" / role).glob("*/*.yml"):
        for name, text in strings_of(read_yaml(path.read_text())):
            texts += ["".join(re.findall("(?s){%.*?%}", text))] + ([f"{{{{ {text} }}}}"] if name in ("that", "when", "until") else [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in texts:
            Environment(autoescape=True).parse(text)


def strings_of(value, name=""):
    """(key, text) of each text in data of YAML."""
    if isinstance(value, str):
        yield name, value
    for key, item in value.items() if isinstance(value, dict) else ((name, item) for item in value) if isinstance(value, list) else ():
        yield from strings_of(item, key)


class Strict(yaml.SafeLoader):
    """Like Ansible with DUPLICATE_YAML_DICT_KEY=error."""

    def construct_mapping(self, node, deep=False):
        """A mapping, each of whose keys is there once, those that are merged in included."""
        self.flatten_mapping(node)
        keys = [key.value for key, _value in node.value]
        assert len(set(keys)) == len(keys), f"a key is there twice: {node.start_mark}"
        return super().construct_mapping(node, deep)


Strict.add_multi_constructor("!", lambda loader, _tag, node: node.value)


def test_no_file_has_a_key_twice():
    """Ansible warns of it, and can be set to fail."""
    for path in [*ROOT.glob("roles/**/*.yml"), *ROOT.glob("playbooks/**/*.yml")]:
        list(yaml.load_all(path.read_text(), Strict))


def test_the_guide_about_approval_names_the_roles_that_read_provision_check():
    readers = {path.parents[1].name for path in ROOT.glob("roles/*/*/*.yml") if "provision_check" in path.read_text()}
    (sentence,) = [part for part in (ROOT / "docs/guides/approval.md").read_text().split("\n\n") if part.startswith("With `provision_check: true`, the roles")]
    assert readers == {name for name in sentence.split("`") if (ROOT / "roles" / name).is_dir() and name.strip()}


@pytest.mark.parametrize(("text", "fields"), [("- data.x\n- data.y", ["data.x", "data.y"]), ('["data.x"]', ["data.x"]), ("", None), (["a"], ["a"])])
def test_fields_that_a_reconciliation_ignores_can_be_text(text, fields):
    play = read_yaml((ROOT / "playbooks/reconcile.yml").read_text())[0]
    (applied,) = [task["block"][0] for task in play["tasks"] if "block" in task]
    assert "reconcile_ignored_fields" in applied["podwright.core.resource_set"]["ignored_fields"]
    assert play["tasks"][0]["vars"]["text_variables"] == ["podwright_ignored_fields"]
    variables = trusted({"podwright_ignored_fields": text, "reconcile_ignored_fields": play["vars"]["reconcile_ignored_fields"]})
    found = Templar(DataLoader(), variables=variables).template(trust_as_template("{{ reconcile_ignored_fields }}"))
    assert found == fields or (not found and not fields)


# -- quota ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [("deployments", False), ("count/cronjobs", False), ("Pods", False)]
    + [(name, True) for name in ("pods", "count/secrets", "deployments.apps", "count/jobs.batch", "services.nodeports", "requests.nvidia.com/gpu")],
)
def test_a_number_of_objects_that_would_limit_nothing_is_refused(name, is_valid):
    """ResourceQuota accepts any name, and counts nothing under that of a resource whose group is missing."""
    found = fault("quota", role_task("quota", "validate", "Check the quantities and names"), quota_max_objects={name: 0})
    assert found is None if is_valid else found.startswith(f"quota_max_objects.{name}: must have a group, as in deployments.apps.")


# -- namespaces of others -------------------------------------------------------------------------------------


STRANGE, OURS = ([{"kind": "Namespace", "note": note}] for note in ("kept: not ours, and adopt is false", ""))


@pytest.mark.parametrize(
    ("state", "plan", "annotation", "given", "words"),
    [
        ("present", [], None, {}, None),
        ("present", OURS, None, {}, None),
        ("present", OURS, "disabled", {}, None),
        ("present", STRANGE, None, {}, "Namespace 'n' exists, and this role has not created it."),
        ("present", STRANGE, None, {"namespace_adopt": "no"}, "Namespace 'n' exists, and this role has not created it."),
        ("present", STRANGE, None, {"namespace_adopt": True}, None),
        ("absent", [], None, {}, None),
        ("absent", OURS, None, {}, None),
        ("absent", OURS, "enabled", {}, None),
        ("absent", OURS, "disabled", {}, "Namespace 'n' is not deleted, because its annotation podwright.io/prune is disabled"),
        ("absent", STRANGE, None, {"namespace_adopt": True}, "Namespace 'n' is not deleted, because this role has not created it."),
    ],
)
def test_a_namespace_of_others_is_neither_changed_unasked_nor_deleted(state, plan, annotation, given, words):
    metadata = {"name": "n", "annotations": {"podwright.io/prune": annotation}} if annotation else {"name": "n"}
    live = {"namespace_found": {"plan": plan}, "namespace_live": {"resources": [metadata and {"metadata": metadata}] if plan else []}}
    variables = {"namespace_state": state, "namespace_name": "n", "namespace_full_name": "n"} | live | given
    checks = [task for task in tasks_of(ROOT / "roles/namespace/tasks/ownership.yml") if "ansible.builtin.assert" in task]
    found = [fault("namespace", task, **variables) for task in checks if task["when"] == f"namespace_state == '{state}'"]
    messages = [" ".join(message.split()) for message in found if message]
    assert not messages if words is None else messages[-1].startswith(words)  # tasks_of begins with the last
    if state == "present" and words is None:
        applied = render("namespace", **variables)["Namespace", "n"]["metadata"].get("annotations", {})
        assert applied == ({"podwright.io/prune": "disabled"} if annotation or plan == STRANGE else {})
