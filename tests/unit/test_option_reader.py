# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a user gets who mistypes the name, the type or the place of an option."""

from __future__ import annotations

import re

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy, pod_exec, pod_gc, pod_info, task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.option_reader import normalize_options

from ..support.environment import ROOT


def refusal(given, operation=task_pod):
    """The message for options that must be refused."""
    with pytest.raises(PodwrightError) as caught:
        normalize_options(operation.ARGUMENTS, given, operation.OPERATION.name)
    assert caught.value.reason == "BadOption"
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"comand": ["true"]}, "comand: unknown option; did you mean command?"),
        ({"imagePullPolicy": "Always"}, "imagePullPolicy: unknown option; did you mean image_pull_policy?"),
        ({"limits": {"cpu": 1}}, "limits: unknown option; did you mean resources.limits?"),
        ({"needs": ["a"]}, "needs: unknown option; did you mean tasks[].needs?"),
        ({"register": "x"}, "register: unknown option; register is a keyword of the task. Indent it like the name of the module."),
        ({"qqq": 1}, "qqq: unknown option. List the options with: ansible-doc podwright.core.task_pod"),
        ({"qqq": None}, "qqq: unknown option. List the options with: ansible-doc podwright.core.task_pod"),
        ({"resources": {"cpu": 1}}, "resources.cpu: unknown option of resources; options: claims, limits, requests."),
        ({"tasks": [{}, {"state": "present"}]}, "tasks[1].state: unknown option of tasks; state is an option of the module, beside tasks."),
        ({"tasks": [{"volumes": [{"emptyDir": {}}]}]}, "tasks[0].volumes[0].emptyDir: unknown option of tasks.volumes; did you mean empty_dir?"),
        ({"containers": [{"image": "i"}]}, "containers[0].name: must be set."),
    ],
)
def test_unknown_and_missing_names_are_refused_with_those_that_exist(given, message):
    assert refusal(given) == message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": [{}, None]}, "tasks[1]: must be a mapping, got null."),
        ({"volumes": [None]}, "volumes[0]: must be a mapping, got null."),
        ({"timeout": "10m"}, "timeout: must be an integer, got '10m'. Durations are in seconds."),
        ({"timeout": ""}, "timeout: must be an integer, got ''. Use default(omit) for a variable that may be empty."),
        ({"timeout": 1.5}, "timeout: must be an integer, got 1.5."),
        ({"retries": True}, "retries: must be an integer, got true."),
        ({"retry_backoff": "fast"}, "retry_backoff: must be a number, got 'fast'."),
        ({"retry_backoff": "nan"}, "retry_backoff: must be a number, got 'nan'."),
        ({"wait": "maybe"}, "wait: must be true or false, got 'maybe'."),
        ({"state": "complete"}, "state: must be one of present, running, completed, absent, got 'complete'."),
        ({"logs": True}, "logs: must be one of none, collect, stream, got true."),
        ({"env": [{"name": "A", "value": "b"}]}, "env: must be a mapping, got a list. Write NAME: VALUE for each entry."),
        ({"definition": "spec:\n  hostname: a\n"}, "definition: must be a mapping, got a string. The filter from_yaml reads YAML text as a mapping."),
        ({"env": ""}, "env: must be a mapping, got a string. Use default(omit) for a variable that may be empty."),
        ({"inputs": [{"path": "/a", "content": {}}]}, "inputs[0].content: must be a string, got a mapping. The filter to_json makes text of it."),
        ({"readiness_probe": "/:80"}, "readiness_probe: must be a mapping, got a string."),
        ({"volumes": ["/x:/y"]}, "volumes[0]: must be a mapping, got a string."),
        ({"tasks": "[{name: a}]"}, "tasks: must be a list of mappings, got a string."),
        ({"tasks": {"name": "a"}}, "tasks: must be a list of mappings, got a mapping."),
        ({"image_pull_secrets": [{"name": "x"}]}, "image_pull_secrets[0]: must be a string, got a mapping."),
        ({"image_pull_secrets": {"name": "x"}}, "image_pull_secrets: must be a list of strings, got a mapping."),
        ({"stdin": {"a": 1}}, "stdin: must be a string, got a mapping. The filter to_json makes text of it."),
        ({"shared_workspace": True}, "shared_workspace: must be a string, got the boolean true. Quote it if it is meant as text."),
        ({"state": "x" * 100}, f"state: must be one of present, running, completed, absent, got '{'x' * 59}…."),
    ],
)
def test_values_of_another_type_are_refused_with_the_path_of_the_option(given, message):
    assert refusal(given) == message


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        (task_pod, {"name": 5, "timeout": "60", "wait": "yes", "retries": 2.0, "image_pull_secrets": "a,b", "env": "A=b", "node_selector": '{"a": "b"}'}),
        (task_pod, {"name": "a", "skip_on": 99, "resources": {"limits": {"cpu": 1}}, "labels": {"a": 1}, "ports": 80, "_ansible_check_mode": True}),
        (pod_info, {"wait_condition": {"type": "Ready", "status": True}}),
        (pod_gc, {"completed": '{"max_age": 5}'}),
        (pod_copy, {"pod": "p", "content": "5", "remote_path": "/x", "mode": 0o644}),
    ],
)
def test_what_ansible_converts_is_accepted(operation, given):
    read = normalize_options(operation.ARGUMENTS, given)
    checked = ArgumentSpecValidator(operation.ARGUMENTS, **operation.OPERATION.rules).validate({k: v for k, v in read.items() if k[0] != "_"})
    assert not checked.error_messages


def test_the_options_of_a_module_with_few_are_listed_without_those_of_the_connection():
    message = refusal({"qqq": 1}, pod_copy)
    assert message.startswith("qqq: unknown option; options: ") and " local_path, " in message and "api_key" not in message


def test_the_json_text_of_a_list_is_read_as_the_list():
    assert normalize_options(task_pod.ARGUMENTS, {"tasks": '[{"name": "a"}]'}) == {"tasks": [{"name": "a"}]}
    assert refusal({"tasks": '[{"nam": "a"}]'}).startswith("tasks[0].nam: unknown option of tasks; did you mean name")
    tasks = normalize_options(task_pod.ARGUMENTS, {"command": '["echo", "a b"]', "tasks": [{"name": "a", "command": '["b"]'}]})
    assert tasks == {"command": ["echo", "a b"], "tasks": [{"name": "a", "command": ["b"]}]}
    assert normalize_options(pod_exec.ARGUMENTS, {"command": "[ -e /x ]"}) == {"command": "[ -e /x ]"}


def test_the_guide_shows_messages_as_they_are():
    section = (ROOT / "docs/guides/failures.md").read_text().partition("## Invalid options")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| `(\w+(?:\[.*?)?: .*?)` \|", section, re.MULTILINE)
    mistakes = [
        {"comand": []},
        {"tasks": [{}, {"state": "present"}]},
        {"register": "x"},
        {"timeout": "10m"},
        {"image_pull_secrets": [{"name": "a"}]},
        {"env": [{"name": "HOME", "value": "/work"}]},
    ]
    assert len(shown) == len(mistakes)
    for message, mistake in zip(shown, mistakes):
        assert refusal(mistake).startswith(message)


def test_secret_values_are_not_shown():
    assert "hunter2" not in refusal({"api_key": ["hunter2"]})
