# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the guides for the docsite: the Markdown pages of docs as reStructuredText in docs/docsite/rst, with docs/docsite/extra-docs.yml.

The pages of the index docs/README.md are written in its order, each section of its table as a section of the docsite.
"""

from __future__ import annotations

import re
import shutil

import yaml

from ..support.environment import ROOT
from .pages import Page

INDEX = ROOT / "docs/README.md"
TARGET = ROOT / "docs/docsite"
SECTION = re.compile(r"^## (.+?)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([\w/-]+)\.md\)")


def sections() -> dict[str, list[Page]]:
    """The pages of each section of the index, in its order."""
    text = INDEX.read_text()
    found = {title: [Page(ROOT / f"docs/{name}.md") for name in dict.fromkeys(LINK.findall(body))] for title, body in SECTION.findall(text)}
    return {title: pages for title, pages in found.items() if pages}


def write() -> None:
    """Write all pages and their index."""
    rst = TARGET / "rst"
    shutil.rmtree(rst, ignore_errors=True)
    rst.mkdir(parents=True)
    pages = sections()
    known = {page.path: page for group in pages.values() for page in group}
    for page in known.values():
        (rst / f"{page.name}.rst").write_text(page.rst(known))
    index = {"sections": [{"title": title, "toctree": [page.name for page in group]} for title, group in pages.items()]}
    (TARGET / "extra-docs.yml").write_text(yaml.safe_dump(index, sort_keys=False))


if __name__ == "__main__":
    write()
