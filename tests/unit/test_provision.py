# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbook provision takes every variable of the roles that it applies, with their defaults."""

from __future__ import annotations

import json

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ..support.documents import read_yaml
from ..support.environment import ROOT

try:
    from ansible.template import trust_as_template
except ImportError:  # before ansible-core 2.19
    trust_as_template = str

PLAY = read_yaml((ROOT / "playbooks/provision.yml").read_text())[0]
VARIABLES = read_yaml((ROOT / "playbooks/vars/provision.yml").read_text())
ROLES = [entry["role"] for entry in PLAY["vars"]["provision_given"]] + ["service"]
APPLIED = read_yaml((ROOT / "playbooks/tasks/apply_role.yml").read_text())[-1]
ELSEWHERE = {"task_runner"}  # runs tasks
# Defaults of the playbook that are not those of the role.
DEFAULTS = {
    "namespace_pod_security": "podwright_pod_security",
    "rbac_service_accounts": "provision_service_accounts",
    "quota_default_limits": "provision_default_limits",
    "image_policy_name": "'podwright-' ~ podwright_namespace",
    "image_policy_namespace_selector": "{'matchLabels': {'kubernetes.io/metadata.name': podwright_namespace | string}}",
    "queue_namespaces": "[podwright_namespace | string]",
    "queue_set_namespace": "podwright_namespace | string",
    "workload_identity_install": "false",
}


def of_role(role, file):
    return read_yaml((ROOT / "roles" / role / file).read_text())


def test_every_role_of_a_namespace_is_applied():
    assert {path.name for path in (ROOT / "roles").iterdir()} - ELSEWHERE == set(ROLES)
    assert set(APPLIED["vars"]["provision_registered"]) == set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_each_variable_of_a_role_is_taken_with_its_default(role):
    options, defaults = of_role(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"], of_role(role, "defaults/main.yml")
    own = {f"{role}_namespace", "namespace_name"}
    expected = dict.fromkeys(own & options.keys(), "{{ podwright_namespace | string }}") | dict.fromkeys(
        {"namespace_prefix", "namespace_build_tag"} & options.keys(), ""
    )
    if role != "namespace":
        expected[f"{role}_state"] = f"{{{{ 'absent' if podwright_state == 'absent' else provision_{role}.state | default('present') }}}}"
    for name, option in options.items():
        source = f"provision_{role}.{name.removeprefix(role + '_')}"
        literal = json.dumps("" if defaults.get(name) is None else defaults[name]).replace('"', "'")  # none is a text in templates of ansible-core 2.16
        default = "podwright_state" if name == "namespace_state" else DEFAULTS.get(name, literal)
        is_required = option.get("required") and name not in DEFAULTS
        expected.setdefault(name, f"{{{{ {source} }}}}" if is_required else f"{{{{ {source} | default({default}) }}}}")
    assert {name: value for name, value in VARIABLES.items() if name in expected} == expected


def test_no_variable_is_set_that_no_role_has():
    assert set(VARIABLES) == {name for role in ROLES for name in of_role(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_checks_its_variables_before_any_request(role):
    """What is checked by an assertion at the beginning of a role is in validate.yml, which the playbook runs for all roles first."""
    first, second = of_role(role, "tasks/main.yml")[:2]
    assert first["ansible.builtin.import_tasks"] == "validate.yml" and "ansible.builtin.assert" not in second


def tasks_of(file):
    """All tasks of a file, those in blocks, too."""
    waiting = read_yaml(file.read_text())
    while waiting:
        task = waiting.pop()
        waiting += [inner for part in ("block", "rescue", "always") for inner in task.get(part, [])]
        yield task


@pytest.mark.parametrize("role", ROLES)
def test_the_digest_covers_each_plan_of_a_role(role):
    files = (ROOT / "roles" / role / "tasks").glob("*.yml")
    plans = [task for file in files for task in tasks_of(file) if "podwright.core.resource_set" in task and task.get("check_mode") is not True]
    assert plans and {task.get("register") for task in plans} <= set(APPLIED["vars"]["provision_registered"][role])


def test_the_digest_of_a_loop_has_that_of_each_object():
    loop = {"changed": True, "results": [{"plan_digest": "sha256:1"}, {"skipped": True}, {"plan_digest": "sha256:2"}]}
    plans = {"one": loop, "two": {"plan_digest": "sha256:3"}}
    variables = {"provision_step": ["storage", {}], "provision_registered": {"storage": ["one", "two", "three"]}, "plans": plans}
    template = APPLIED["vars"]["provision_results"].replace("lookup('ansible.builtin.vars', name, default={})", "plans[name] | default({})")
    found = Templar(DataLoader(), variables=variables).template(trust_as_template(template))
    assert [(entry["digest"], entry["changed"]) for entry in found] == [("sha256:1 sha256:2", True), ("sha256:3", False), ("", False)]


def trusted(value):
    """A value whose texts are templates, those inside, too."""
    if isinstance(value, dict):
        return {name: trusted(item) for name, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


def filled(name, given):
    """A variable of the playbook, with those that a user gives."""
    return Templar(DataLoader(), variables=trusted(PLAY["vars"] | VARIABLES | given)).template(trust_as_template("{{ " + name + " }}"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["service", "registry", "quota", "namespace", "image_policy"]),  # the namespace is deleted, and the policies and permissions in it
        ({"state": "present"}, ["service", "registry", "image_policy", "network_policy", "quota", "rbac", "namespace"]),
    ],
)
def test_policies_are_not_deleted_before_the_pods(options, expected):
    given = {"podwright_image_policy": {"registries": ["a"]}, "podwright_registry": {"state": "absent"}, "podwright_services": [{"name": "web"}]}
    steps = filled("provision_steps", given | {"podwright_state": "absent", "podwright_namespace_options": options})
    assert [role for role, _service in steps] == expected
    applied = filled("provision_steps", given)
    assert [role for role, _service in applied] == ["namespace", "rbac", "quota", "network_policy", "image_policy", "registry", "service"]


@pytest.mark.parametrize(("state", "expected"), [("present", "podwright"), ("absent", "")])
def test_no_namespace_is_deleted_by_default(state, expected):
    assert filled("podwright_namespace", {"podwright_state": state}) == expected
    (check,) = [task for task in PLAY["tasks"] if task["name"] == "Check the types of the variables"]
    faults = filled("faults", {"podwright_state": state, "faults": check["vars"]["provision_faults"]})
    assert faults == ([] if expected else ["podwright_namespace: must name the namespace to delete."])


@pytest.mark.parametrize(("state", "count"), [("present", 1), ("absent", 0)])
def test_a_namespace_is_not_deleted_before_the_roles_are_applied_in_it(state, count):
    (check,) = [task for task in PLAY["tasks"] if task["name"] == "Check the types of the variables"]
    given = {"podwright_state": state, "podwright_namespace": "n", "podwright_namespace_options": {"state": "absent"}}
    faults = filled("faults", given | {"faults": check["vars"]["provision_faults"]})
    assert faults == ["podwright_namespace_options.state: must be absent only with podwright_state: absent, as the playbook teardown has it."] * count


@pytest.mark.parametrize(
    ("given", "is_whole"),
    [
        ({"podwright_state": "absent"}, True),
        ({"podwright_state": "absent", "podwright_namespace_options": {"state": "present"}}, False),
        ({"podwright_state": "present"}, False),
    ],
)
@pytest.mark.parametrize("role", ["storage", "queue"])
def test_no_deletion_waits_for_what_pods_use_until_the_namespace_is_deleted(role, given, is_whole):
    (applied,) = [task["podwright.core.resource_set"] for task in of_role(role, "tasks/main.yml") if task.get("register") == f"{role}_applied"]
    assert filled("provision_is_whole", given) in (is_whole, str(is_whole))
    deletion = given | {"wait": applied["wait"], f"{role}_state": "absent"}
    assert filled("wait", deletion) in (not is_whole, str(not is_whole))
    of_the_role_alone = {"wait": applied["wait"], f"{role}_state": "absent", "provision_is_whole": False}
    assert filled("wait", of_the_role_alone) in (True, "True")


def test_whether_the_namespace_may_be_deleted_is_checked_before_anything_is_deleted():
    ownership = {"name": "podwright.core.namespace", "tasks_from": "ownership.yml"}
    (check,) = [task for task in PLAY["tasks"] if task.get("ansible.builtin.include_role") == ownership]
    first = next(task for task in PLAY["tasks"] if "apply_role.yml" in str(task))
    assert PLAY["tasks"].index(check) < PLAY["tasks"].index(first)
    assert check["vars"] == {"namespace_full_name": "{{ podwright_namespace }}"}
    assert check["when"] == "provision_is_whole | bool"


@pytest.mark.parametrize("role", ROLES)
def test_a_deletion_deletes_what_a_role_was_enabled_for(role):
    """`{state: present}` enables a role without other options; only the namespace is kept by it."""
    states = [("present", {"state": "present"}), ("present", {"state": "absent"}), ("absent", {}), ("absent", {"state": "present"})]
    found = [filled(f"{role}_state", {"podwright_state": state, f"provision_{role}": mapping}) for state, mapping in states]
    assert found == ["present", "absent", "absent", "present" if role == "namespace" else "absent"]


@pytest.mark.parametrize("name", [name for name, value in VARIABLES.items() if "podwright_namespace" in str(value) and name != "image_policy_name"])
def test_a_namespace_whose_name_looks_like_a_number_is_text(name):
    variables = {"podwright_namespace": 20261129, "provision_queue": {}, "provision_image_policy": {}}
    assert '"20261129"' in json.dumps(filled(name, variables))


@pytest.mark.parametrize(
    ("extra", "expected"),
    [({}, "podwright-demo"), ({"podwright_namespace": "other"}, "other"), ({"demo_namespace": "other"}, "other"), ({"podwright_namespace": 1}, "1")],
)
def test_the_demo_works_in_the_namespace_that_it_provisions(extra, expected):
    """`extra` are variables of the command line, which override those of a play."""
    provisioned, counted = read_yaml((ROOT / "playbooks/demo.yml").read_text())
    for play, name in ((provisioned, "podwright_namespace"), (counted, "demo_namespace")):
        text = "{{ " + name + " | string }}"
        own = {name: play["vars"][name]}
        assert Templar(DataLoader(), variables=trusted(own | extra)).template(trust_as_template(text)) == expected
