# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The examples of pages and plugins. As a program: write them as one playbook into a file, for ansible-lint."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .documents import read_yaml
from .environment import ROOT

FENCE = re.compile(r"^```(yaml|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
DOCUMENTED = re.compile(r'^EXAMPLES = r?"""\n(.*?)"""', re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/guides").glob("*.md"))]
PLUGINS = sorted(path for kind in ("modules", "lookup", "connection") for path in (ROOT / "plugins" / kind).glob("*.py"))
PLAY = "- name: Example\n  hosts: localhost\n  gather_facts: false\n  tasks:\n"


@dataclass
class Example:
    """A list of tasks or plays, the lines of output that follow it on the page, and the file of an inventory before it; or the inventory alone.

    Attributes:
        text: the tasks or plays as they are printed.
    """

    tasks: list[dict[str, Any]]
    text: str
    output: list[str] = field(default_factory=list)
    inventory: dict[str, Any] | None = None

    @property
    def playbook(self) -> str:
        """A playbook with the tasks or plays; empty if there is only an inventory."""
        if not self.tasks or {"hosts", "ansible.builtin.import_playbook"} & self.tasks[0].keys():
            return self.text if self.tasks else ""
        return PLAY + re.sub(r"^(?=[^\n])", "    ", self.text, flags=re.MULTILINE)


def lines_of(text: str) -> list[str]:
    """The lines of Ansible's output, without what depends on the width of the terminal."""
    return [stripped for line in text.splitlines() if (stripped := re.sub(r" \*+$", "", line.rstrip()))]


def examples(path: Path) -> list[Example]:
    """The examples of a page or a plugin, in order."""
    text = path.read_text()
    if path.suffix == ".py":
        return [Example(read_yaml(block), block) for block in DOCUMENTED.findall(text)]
    found: list[Example] = []
    for language, block in FENCE.findall(text):
        if language == "yaml":
            content = read_yaml(block)
            is_inventory = isinstance(content, dict)
            before = content if is_inventory else found[-1].inventory if found else None
            found.append(Example([] if is_inventory else content, block, [], before))
        else:
            found[-1].output = lines_of(block)
    return found


def playbook() -> str:
    """One playbook with all examples, since ansible-lint takes a second for each file. A comment before each names its file."""
    found = [(path.relative_to(ROOT), example.playbook) for path in (*PAGES, *PLUGINS) for example in examples(path)]
    return "---\n" + "\n".join(f"# {path}\n{text}" for path, text in found if text)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(playbook())
