# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The examples of the modules, the README and the guides run as they are printed, and print the output that is shown with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ..support.environment import ROOT
from ..support.examples import PAGES, examples, lines_of

# Guides whose examples the tests of their component run.
NEED_COMPONENTS = ("devices", "identity", "monitoring", "podman", "queues", "registry", "several-clusters")
MODULES = sorted((ROOT / "plugins/modules").glob("*.py"))


def in_namespace(value, namespace, pull_policy="image_pull_policy"):
    """An example with the namespace of the test in place of `default`; the local cluster cannot pull its image.

    Args:
        pull_policy: how the pull policy is written: as an option, or as in a manifest.
    """
    if isinstance(value, dict):
        local = {pull_policy: "IfNotPresent"} if value.get("image") == "busybox" else {}
        return local | {key: _replaced(key, item, namespace, "imagePullPolicy" if key == "definition" else pull_policy) for key, item in value.items()}
    return [in_namespace(item, namespace, pull_policy) for item in value] if isinstance(value, list) else value


def _replaced(key, item, namespace, pull_policy):
    if key.lower().endswith("namespace") and item == "default":
        return namespace
    return [namespace] if key in ("namespaces", "queue_namespaces") and item == ["default"] else in_namespace(item, namespace, pull_policy)


def missing_lines(expected: list[str], output: str) -> list[str]:
    """The expected lines from the first that the output does not contain, in their order."""
    printed = iter(lines_of(output))
    return next((expected[index:] for index, line in enumerate(expected) if line not in printed), [])


@pytest.mark.parametrize("path", [path for path in [*PAGES, *MODULES] if examples(path) and path.stem not in NEED_COMPONENTS], ids=lambda path: path.stem)
def test_examples_run(path: Path, play, namespace, tmp_path):
    run_examples(path, play, namespace, tmp_path)


def run_examples(path: Path, play, namespace, tmp_path, *given):
    """Run the examples of a page or a module, with the given arguments of ansible-playbook, and compare their output."""
    for example in examples(path):
        arguments, environment = [*given], {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
        if example.inventory:
            file = tmp_path / "builds.pods.yml"
            file.write_text(yaml.safe_dump(in_namespace(example.inventory, namespace)))
            arguments, environment = [*given, "--inventory", str(file)], environment | {"ANSIBLE_INVENTORY_UNPARSED_FAILED": "true"}
        tasks = in_namespace(example.tasks, namespace) or [{"hosts": "pods", "gather_facts": False, "tasks": [{"ansible.builtin.raw": "true"}]}]
        result = play(tasks, *arguments, namespace=namespace, environment=environment)
        streamed = lines_of(result.stderr)  # what the terminal shows among the lines of Ansible's output
        assert not missing_lines([line for line in example.output if line not in streamed], result.stdout), result.output


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_start_with_a_playbook_and_its_output(path: Path):
    first = examples(path)[0]
    assert "hosts" in first.tasks[0] and first.output
