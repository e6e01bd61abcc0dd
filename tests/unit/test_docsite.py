# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pages of docs as reStructuredText for the docsite, and the index from which they are reached."""

from __future__ import annotations

import re

import pytest

from ..docsite import architecture
from ..docsite.__main__ import sections
from ..docsite.pages import Page
from ..support.environment import ROOT
from .test_structure import ENGINE, LEVEL

LABEL = "ansible_collections.podwright.core.docsite"


def convert(tmp_path, markdown: str, known: str | None = None) -> str:
    """A page of docs/guides with this text; `known` is another page of the docsite."""
    path = tmp_path / "page.md"
    path.write_text(markdown)
    page = Page(path)
    page.path = ROOT / "docs/guides/page.md"
    page.__dict__["_tree"] = Page(path)._tree
    pages = [Page(ROOT / known)] if known else []
    return page.rst({other.path: other for other in pages}).partition("\n\n")[2]


@pytest.mark.parametrize(
    ("markdown", "rst"),
    [
        ("# A `b`", f".. _{LABEL}.page:\n\nA ``b``\n=======\n"),
        ("## What is it, then?", f".. _{LABEL}.page.what-is-it-then:\n\nWhat is it, then?\n-----------------\n"),
        ("a *b* **c** d_ e_f `g`s", "a *b* **c** d\\_ e_f ``g``\\ s\n"),
        (
            "use `task_pod` or `podwright.core.pod_gc`",
            "use :ansplugin:`task_pod <podwright.core.task_pod#module>` or :ansplugin:`pod_gc <podwright.core.pod_gc#module>`\n",
        ),
        ("[a](https://x.y) [b](tasks.md#states)", f"`a <https://x.y>`__ :ref:`b <{LABEL}.tasks.states>`\n"),
        ("[m](../reference/pod_gc_module.rst)", ":ansplugin:`m <podwright.core.pod_gc#module>`\n"),
        ("[s](../../SECURITY.md)", "`s <https://github.com/podwright/podwright/blob/main/SECURITY.md>`__\n"),
        ("```yaml\na:\n\n  b\n```", ".. code-block:: yaml+jinja\n\n    a:\n\n      b\n"),
        ("```yaml rulebook\na: b\n```", ".. code-block:: yaml+jinja\n\n    a: b\n"),
        ("- a\n  b\n- c", "- a\n  b\n- c\n"),
        ("1. a\n2. b", "#. a\n#. b\n"),
        ("![a](../images/b.svg)", ".. image:: https://raw.githubusercontent.com/podwright/podwright/main/docs/images/b.svg\n    :alt: a\n"),
        ("> a\n> b", "    a\n    b\n"),
        (
            "| a | b |\n| --- | --- |\n| c | `d` |",
            ".. list-table::\n    :header-rows: 1\n    :widths: auto\n\n    * - a\n      - b\n    * - c\n      - ``d``\n",
        ),
    ],
)
def test_markdown_becomes_restructuredtext(tmp_path, markdown, rst):
    assert convert(tmp_path, markdown, "docs/guides/tasks.md") == rst


@pytest.mark.parametrize("markdown", ["<b>a</b>", "a ![b](c.svg)", "---"])
def test_what_no_page_uses_is_refused(tmp_path, markdown):
    with pytest.raises(KeyError):
        convert(tmp_path, markdown)


def test_every_page_is_reached_from_the_index():
    pages = {page.path.relative_to(ROOT) for group in sections().values() for page in group}
    existing = {path.relative_to(ROOT) for pattern in ("docs/*.md", "docs/guides/*.md") for path in ROOT.glob(pattern)}
    assert existing - pages == {(ROOT / "docs/README.md").relative_to(ROOT)}


def test_labels_are_unique():
    pages = {page.path: page for group in sections().values() for page in group}
    labels = [label for page in pages.values() for label in re.findall(r"^\.\. _(\S+):$", page.rst(pages), re.MULTILINE)]
    assert len(labels) > 100 and sorted(labels) == sorted(set(labels))


def test_the_picture_of_the_architecture_shows_the_layers_of_the_engine():
    layers = [[room for name, _text in layer for room in name.split(" · ")] for layer in architecture.LAYERS[architecture.OUTSIDE :]]
    lowest = [min(LEVEL[room] for room in layer) for layer in layers]
    assert lowest == sorted(lowest, reverse=True)
    assert {path.name for path in ENGINE.iterdir() if path.is_dir() and path.name != "__pycache__"} <= {room for layer in layers for room in layer}
    assert architecture.TARGET.read_text() == architecture.picture()
