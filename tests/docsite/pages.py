# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A page in Markdown as reStructuredText: what the pages of docs use, and no more."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from ..support.environment import ROOT

LABEL = "ansible_collections.podwright.core.docsite"
BLOB = "https://github.com/podwright/podwright/blob/main"
RAW = "https://raw.githubusercontent.com/podwright/podwright/main"
_UNDERLINES = "=-^~"
_LANGUAGES = {"yaml": "yaml+jinja", "": "text"}
_PLUGINS = {path.stem: "module" for path in (ROOT / "plugins/modules").glob("*.py")}
_REFERENCE = re.compile(r"(\w+)_(module|lookup|connection|inventory|role)\.rst$")
_SPECIAL = re.compile(r"([\\*`|])|(_)(?!\w)")


def slug(heading: str) -> str:
    """The anchor of a heading at GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def escape(text: str) -> str:
    """Text whose special characters mean themselves."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def plain(node: SyntaxTreeNode) -> str:
    """The text of a node without its markup."""
    return "".join(" " if child.type.endswith("break") else child.content or plain(child) for child in node.children)


def indent(text: str, width: int) -> str:
    """Lines shifted to the right, except empty ones and the first."""
    return re.sub(r"\n(?=[^\n])", "\n" + " " * width, text)


class Page:
    """A page.

    Attributes:
        path: its file.
        name: that of its file on the docsite.
    """

    def __init__(self, path: Path):
        self.path, self.name = path, path.stem.replace("-", "_")
        self._known: dict[Path, Page] = {}

    @cached_property
    def _tree(self) -> SyntaxTreeNode:
        return SyntaxTreeNode(MarkdownIt("commonmark").enable("table").parse(self.path.read_text()))

    def label(self, anchor: str = "") -> str:
        """The label of the page or of one of its headings."""
        return ".".join(filter(None, (LABEL, self.name, anchor)))

    def rst(self, known: dict[Path, Page]) -> str:
        """The page; links to pages in `known` stay within the docsite, those to other files lead to the repository."""
        self._known = known
        return f".. The source of this page is {self.path.relative_to(ROOT)}; `make docsite` generates it.\n\n{self._blocks(self._tree)}"

    def _blocks(self, node: SyntaxTreeNode) -> str:
        return "\n".join(self._block(child) for child in node.children)

    def _block(self, node: SyntaxTreeNode) -> str:
        """A block with a newline at its end. Raises: KeyError for what no page uses."""
        blocks: dict[str, Callable[[SyntaxTreeNode], str]] = {
            "heading": self._heading,
            "paragraph": self._paragraph,
            "fence": self._fence,
            "table": self._table,
            "blockquote": lambda node: "    " + indent(self._blocks(node), 4),
            "bullet_list": lambda node: self._list(node, "-"),
            "ordered_list": lambda node: self._list(node, "#."),
        }
        return blocks[node.type](node)

    def _heading(self, node: SyntaxTreeNode) -> str:
        level, title = int(node.tag[1]) - 1, self._inline(node.children[0])
        anchor = slug(plain(node.children[0])) if level else ""
        return f".. _{self.label(anchor)}:\n\n{title}\n{_UNDERLINES[level] * len(title)}\n"

    def _paragraph(self, node: SyntaxTreeNode) -> str:
        (inline,) = node.children
        if [child.type for child in inline.children] == ["image"]:
            (image,) = inline.children
            file = (self.path.parent / str(image.attrs["src"])).resolve().relative_to(ROOT)
            return f".. image:: {RAW}/{file}\n    :alt: {plain(image)}\n"
        return self._inline(inline) + "\n"

    @staticmethod
    def _fence(node: SyntaxTreeNode) -> str:
        language = node.info.partition(" ")[0]  # what follows is for the tests
        return f".. code-block:: {_LANGUAGES.get(language, language)}\n\n    {indent(node.content, 4)}"

    def _list(self, node: SyntaxTreeNode, bullet: str) -> str:
        width = len(bullet) + 1
        return "".join(f"{bullet} {indent(self._blocks(item), width)}" for item in node.children)

    def _table(self, node: SyntaxTreeNode) -> str:
        rows = [row for part in node.children for row in part.children]
        cells = [[self._inline(cell.children[0]) if cell.children else "" for cell in row.children] for row in rows]
        items = "".join("    * - " + "\n      - ".join(row) + "\n" for row in cells)
        return f".. list-table::\n    :header-rows: 1\n    :widths: auto\n\n{items}"

    def _inline(self, node: SyntaxTreeNode) -> str:
        text = ""
        for child in node.children:
            part = self._span(child)
            is_markup = child.type not in ("text", "softbreak", "hardbreak")
            # Markup must not touch a letter.
            if text and part and ((is_markup and text[-1].isalnum()) or (text.endswith(("``", "`", "__", "*")) and part[0].isalnum())):
                text += "\\ "
            text += part
        return text

    def _span(self, node: SyntaxTreeNode) -> str:
        """A part of a line. Raises: KeyError for what no page uses."""
        spans: dict[str, Callable[[SyntaxTreeNode], str]] = {
            "text": lambda node: escape(node.content),
            "softbreak": lambda node: "\n",
            "hardbreak": lambda node: "\n",
            "code_inline": self._code,
            "strong": lambda node: f"**{escape(plain(node))}**",
            "em": lambda node: f"*{escape(plain(node))}*",
            "link": self._link,
        }
        return spans[node.type](node)

    @staticmethod
    def _code(node: SyntaxTreeNode) -> str:
        name = node.content.removeprefix("podwright.core.")
        if name in _PLUGINS:
            return f":ansplugin:`{name} <podwright.core.{name}#{_PLUGINS[name]}>`"
        return f"``{node.content}``"

    def _link(self, node: SyntaxTreeNode) -> str:
        href, text = str(node.attrs["href"]), escape(plain(node))
        name, _hash, anchor = href.partition("#")
        if href.startswith(("https:", "http:")):
            return f"`{text} <{href}>`__"
        target = (self.path.parent / name).resolve() if name else self.path
        if target in self._known:
            return f":ref:`{text} <{self._known[target].label(anchor)}>`"
        reference = _REFERENCE.search(name)
        if reference:
            return f":ansplugin:`{text} <podwright.core.{reference[1]}#{reference[2]}>`"
        return f"`{text} <{BLOB}/{target.relative_to(ROOT)}{'#' + anchor if anchor else ''}>`__"
