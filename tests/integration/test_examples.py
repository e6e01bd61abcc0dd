# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The examples of the modules, the README and the guides are run as a user would run them, from the first line to the last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT

FENCE = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/guides").glob("*.md"))]
NAMESPACE_KEYS = ("namespace", "ansible_podwright_namespace")
MODULES = sorted((ROOT / "plugins/modules").glob("*.py"))


def examples(path):
    """The tasks and plays of a page or a module, in order."""
    text = path.read_text()
    if path.suffix == ".md":
        return [yaml.safe_load(block) for block in FENCE.findall(text)]
    return [yaml.safe_load(re.search(r'EXAMPLES = r"""\n(.*?)"""', text, re.DOTALL).group(1))]


def in_namespace(value, namespace):
    """An example with the namespace of the test in place of `default`."""
    if isinstance(value, dict):
        return {key: namespace if key in NAMESPACE_KEYS and item == "default" else in_namespace(item, namespace) for key, item in value.items()}
    return [in_namespace(item, namespace) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", [path for path in [*PAGES, *MODULES] if examples(path)], ids=lambda path: path.stem)
def test_examples_run(path: Path, play, namespace):
    for block in examples(path):
        plays = block if "hosts" in block[0] else None
        tasks = in_namespace(block, namespace) if plays is None else in_namespace(plays[0]["tasks"], namespace)
        variables = plays[0].get("vars", {}) if plays else {}
        assert play(tasks, namespace=namespace, variables=variables).rc == 0
