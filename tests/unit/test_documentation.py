# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of an option is written once: suboptions with the same text are anchors, items of a batch are derived."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.podwright.core.plugins.doc_fragments.task import ModuleDocFragment, items_documentation

from .test_vocabulary import ROOT, documents

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
    tasks = yaml.safe_load(items_documentation(document))["options"]["tasks"]
    assert tasks == {"suboptions": {"kind": {"description": "With O(tasks[].retries) or O(state)"}, "retries": {"type": "int"}}}


def test_items_of_a_batch_are_documented_with_every_option_of_a_task():
    items = yaml.safe_load(ModuleDocFragment.TASKS)["options"]["tasks"]["suboptions"]
    assert {"name", "retries", "image", "containers", "patches"} <= items.keys()
