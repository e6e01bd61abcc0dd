# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of an option is written once, and agrees with the argument spec."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.cli.doc import DocCLI

from ansible_collections.podwright.core.plugins.doc_fragments.task import ModuleDocFragment, items_documentation

from ..support.documents import read_yaml
from .test_vocabulary import DOCUMENTED, ROOT, documents, load, strings

_SHORT = 40  # characters; a text such as "Timeout in seconds." may repeat


def paragraphs(node: yaml.Node, seen: set[int]) -> list[str]:
    """Each long text under a node of a YAML document; what an alias repeats counts once."""
    if id(node) in seen:
        return []
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        return [node.value] if len(node.value) > _SHORT else []
    children = [child for pair in node.value for child in pair] if isinstance(node, yaml.MappingNode) else node.value
    return [text for child in children for text in paragraphs(child, seen)]


PLUGINS = "ansible_collections.podwright.core.plugins"
MODULES = sorted((ROOT / "plugins/modules").glob("*.py"))
COMPARED = {"type": "str", "elements": None, "required": False, "default": None, "choices": None, "aliases": None}


@pytest.mark.parametrize(
    "path", [path for place in ("modules", "doc_fragments") for path in sorted((ROOT / "plugins" / place).glob("*.py"))], ids=lambda path: path.stem
)
def test_no_description_of_an_option_is_written_twice(path: Path):
    root = yaml.compose(documents(path).get("DOCUMENTATION", "options: {}"))
    options = next((value for key, value in root.value if key.value == "options"), None)
    texts = paragraphs(options, set()) if options else []
    assert sorted(texts) == sorted(set(texts))


def test_items_of_a_batch_have_the_options_of_a_task_without_defaults():
    document = "options: {kind: {default: Pod, description: With O(retries) or O(state)}, retries: {type: int, default: 0}}"
    tasks = read_yaml(items_documentation(document))["options"]["tasks"]
    assert tasks == {"suboptions": {"kind": {"description": "With O(tasks[].retries) or O(state)"}, "retries": {"type": "int"}}}


def test_items_of_a_batch_are_documented_with_every_option_of_a_task():
    items = read_yaml(ModuleDocFragment.TASKS)["options"]["tasks"]["suboptions"]
    assert {"name", "retries", "image", "containers", "patches"} <= items.keys()


def documented_options(path: Path) -> dict[str, Any]:
    """The options of a module with those of its fragments, merged as Ansible does."""
    own = read_yaml(documents(path)["DOCUMENTATION"])
    options: dict[str, Any] = own.get("options") or {}
    for reference in own["extends_documentation_fragment"]:
        name, _dot, part = reference.removeprefix("podwright.core.").partition(".")
        fragment = import_module(f"{PLUGINS}.doc_fragments.{name}").ModuleDocFragment
        added = read_yaml(getattr(fragment, part.upper() or "DOCUMENTATION")).get("options") or {}
        options |= {option: documentation | options.get(option, {}) for option, documentation in added.items()}
    return options


def differences(documented: dict[str, Any], specified: dict[str, Any], path: str = "") -> list[str]:
    """What differs between the documentation of options and their argument specs, with the path of the option."""
    found = [f"{path}{name}: is documented or specified only" for name in sorted(documented.keys() ^ specified.keys())]
    for name in sorted(documented.keys() & specified.keys()):
        option, spec = documented[name], specified[name]
        found += [
            f"{path}{name}: {key} is {option.get(key, missing)!r}, specified {spec.get(key, missing)!r}"
            for key, missing in COMPARED.items()
            if option.get(key, missing) != spec.get(key, missing)
        ]
        found += differences(option.get("suboptions") or {}, spec.get("options") or {}, f"{path}{name}.")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_documentation_agrees_with_the_argument_spec(path: Path):
    arguments = import_module(f"{PLUGINS}.module_utils._engine.operations.{path.stem}").ARGUMENTS
    assert differences(documented_options(path), arguments) == []


def test_differences_between_documentation_and_argument_spec_are_found():
    documented = {"a": {"type": "int", "default": 1}, "b": {}, "c": {"type": "dict", "suboptions": {"d": {"required": True}}}}
    specified = {"a": {"type": "int", "default": 2}, "c": {"type": "dict", "options": {"d": {"required": True}, "e": {}}}}
    found = ["b: is documented or specified only", "a: default is 1, specified 2", "c.e: is documented or specified only"]
    assert differences(documented, specified) == found


def cut_markup(texts: list[str]) -> list[str]:
    """What `ansible-doc` shows of texts and shows wrongly: only V, O, RV and E allow a bracket, if it is escaped."""
    return [text for text in map(DocCLI.tty_ify, texts) if re.search(r"`[^`']*\([^)`']*'|\\[()]", text)]


@pytest.mark.parametrize("path", DOCUMENTED, ids=lambda path: str(path.relative_to(ROOT)))
def test_ansible_doc_shows_brackets_as_they_are_written(path: Path):
    pages = [path.read_text()] if path.suffix == ".yml" else [text for name, text in documents(path).items() if name != "EXAMPLES"]
    assert cut_markup([text for page in pages for text in strings(load(page))]) == []


def test_brackets_that_cut_markup_are_found():
    assert cut_markup(["C($(NAME)) is cut", "C(vector(\\)) too", "V(vector(\\)) is not", "V($(NAME\\)), (C(a))"]) == ["`$(NAME') is cut", "`vector(\\') too"]


def test_a_guide_has_the_variables_of_the_playbook_gc_and_their_defaults():
    rows = re.findall(r"^\| `(podwright_\w+)` \| `([^`]*)`", (ROOT / "docs/guides/cleanup.md").read_text(), re.MULTILINE)
    variables = load((ROOT / "playbooks/gc.yml").read_text())[0]["vars"]
    assert {name: load(default) for name, default in rows} == {name: value for name, value in variables.items() if name.startswith("podwright_")}
