# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbook for AWX: its tasks have the options of awx.awx 24.6.1, its surveys are valid, and what they answer is what the playbooks read."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from jinja2 import Environment

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import CONNECTION

from ..support.environment import ROOT

# The options of modules, as awx.awx 24.6.1 documents them.
MODULES = json.loads((ROOT / "tests/unit/awx_options.json").read_text())
TYPES = {"str": str, "dict": dict, "list": list, "bool": bool, "int": int}
QUESTION = {"variable", "question_name", "question_description", "type", "required", "default", "min", "max", "choices"}


class Loader(yaml.SafeLoader):
    """Reads !unsafe as text, as Ansible does."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
DATA = yaml.load((ROOT / "playbooks/vars/awx.yml").read_text(), Loader)  # noqa: S506 - it is a SafeLoader
PLAY = yaml.load((ROOT / "playbooks/awx.yml").read_text(), Loader)[0]  # noqa: S506 - it is a SafeLoader
TASKS = [(name.removeprefix("awx.awx."), options) for task in PLAY["tasks"] for name, options in task.items() if name.startswith("awx.awx.")]
TEMPLATES = {template["name"]: template for template in DATA["awx_job_templates"]}
QUESTIONS = [(template["playbook"], question) for template in TEMPLATES.values() for question in template["survey_spec"]["spec"]]


def problems(given, known, path=""):
    """What is wrong with options."""
    found = [f"{path}{name}: unknown" for name in given.keys() - known.keys()]
    found += [f"{path}{name}: missing" for name, option in known.items() if option.get("required") and name not in given]
    for name in given.keys() & known.keys():
        value, option = given[name], known[name]
        if isinstance(value, str) and "{{" in value:
            continue
        if not isinstance(value, TYPES[option["type"]]):
            found.append(f"{path}{name}: is not of type {option['type']}")
        elif option.get("choices") and value not in option["choices"]:
            found.append(f"{path}{name}: is not one of {option['choices']}")
        if "options" in option:
            for item in value if isinstance(value, list) else [value]:
                found += problems(item, option["options"], f"{path}{name}.")
    return found


@pytest.mark.parametrize(("module", "options"), TASKS, ids=[module for module, _options in TASKS])
def test_tasks_have_options_of_the_modules(module, options):
    assert problems(options, MODULES[module]) == []


def test_the_error_without_the_collection_awx_shows_what_to_install():
    """Ansible shows two lines before the first task whose module it cannot resolve; those of module_defaults it resolves before, and shows no line."""
    lines = (ROOT / "playbooks/awx.yml").read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if line.lstrip().startswith("awx.awx."))
    assert lines[first - 2].endswith("ansible-galaxy collection install awx.awx")
    assert "module_defaults" not in PLAY


def test_problems_of_options_are_found():
    known = {"a": {"type": "str", "required": True}, "b": {"type": "str", "choices": ["x"]}, "c": {"type": "list", "options": {"d": {"type": "int"}}}}
    assert sorted(problems({"b": "y", "c": [{"d": "1"}], "e": 1}, known)) == ["a: missing", "b: is not one of ['x']", "c.d: is not of type int", "e: unknown"]


def test_kind_of_the_credential_type_is_one_of_a_cloud():
    assert problems(DATA["awx_credential_type"], MODULES["credential_type"]) == []


def test_credential_type_injects_variables_that_the_modules_read():
    kind = DATA["awx_credential_type"]
    fields = {field["id"] for field in kind["inputs"]["fields"]}
    assert set(kind["inputs"]["required"]) <= fields and [field["id"] for field in kind["inputs"]["fields"] if field.get("secret")] == ["kubeconfig"]
    read = {variable for spec in CONNECTION.values() if "fallback" in spec for variable in spec["fallback"][1]} | {"PODWRIGHT_NAMESPACE"}
    assert kind["injectors"]["env"].keys() <= read
    texts = [*kind["injectors"]["env"].values(), *kind["injectors"]["file"].values()]
    assert {name for text in texts for name in re.findall(r"\{\{ (\w+)", text)} == fields | {"tower"}
    # AWX renders an input without a value as an empty text, which must count as not set.
    assert Environment(autoescape=True).from_string(kind["injectors"]["env"]["K8S_AUTH_CONTEXT"]).render() == ""


@pytest.mark.parametrize(("playbook", "question"), QUESTIONS, ids=[question["variable"] for _playbook, question in QUESTIONS])
def test_surveys_ask_for_variables_of_the_playbooks(playbook, question):
    play = yaml.load((ROOT / playbook).read_text(), Loader)[0]  # noqa: S506 - it is a SafeLoader
    name, default = question["variable"], question["default"]
    assert question.keys() <= QUESTION and {"variable", "question_name", "type", "required"} <= question.keys()
    assert name in play["vars"]
    if question["type"] == "integer":
        assert question["min"] <= default <= question["max"]
    elif question["type"] == "multiplechoice":
        assert default in question["choices"]
    else:
        assert isinstance(default, str) and question["min"] <= len(default) <= question["max"]
    # Text that replaces a list or mapping is decoded by the playbook.
    if isinstance(play["vars"][name], (list, dict)):
        assert isinstance(yaml.safe_load(default), type(play["vars"][name])) and f"{name} | from_yaml if {name} is string" in str(play["vars"])


def test_workflow_runs_what_was_approved():
    workflow = next(task["awx.awx.workflow_job_template"] for task in PLAY["tasks"] if "awx.awx.workflow_job_template" in task)
    nodes = {node["identifier"]: node for node in workflow["workflow_nodes"]}
    following = {name: [item["identifier"] for item in node.get("related", {}).get("success_nodes", [])] for name, node in nodes.items()}
    assert following == {"check": ["approve"], "approve": ["run"], "run": []}
    assert (nodes["check"]["job_type"], nodes["run"]["job_type"]) == ("check", "run")
    assert nodes["approve"]["unified_job_template"]["type"] == "workflow_approval"
    template = TEMPLATES[DATA["awx_workflow"]["template"]]
    assert template["ask_job_type_on_launch"] and DATA["awx_workflow"]["survey_of"] in TEMPLATES
    # The check passes the digest, and the run expects it.
    text = (ROOT / template["playbook"]).read_text()
    assert "data: {podwright_expect:" in text and 'expect: "{{ podwright_expect | default(omit) }}"' in text
