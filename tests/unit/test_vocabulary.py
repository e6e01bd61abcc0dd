# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What users read is written in the words of the Kubernetes API and of Ansible, in guides, documentation, changelog, roles and playbooks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# A regular expression, and what to write instead.
WORDS = {
    r"folders?": "directory",
    r"where (?:the|an?|it|its|there|no|none|not|nothing|that|they|this|possible|needed)": "if or when (for a condition)",
    r"(?:take|takes|took|taken|taking)(?: \S+){0,3} away": "delete or remove",
    r"lets? (?:\S+ ){0,3}go|(?:go|goes) with (?:it|them|the)|(?:may|would|could) go": "delete or remove",
    r"doom(?:s|ed)?": "delete",
    r"(?:is|are|was|were) gone": "deleted",
    r"ended|(?<!both )ends(?! with)|(?:to|for) (?:its|their) end|(?:has|have) an end": "terminate, stop, exit or finish",
    r"(?:is|are|was|were) over": "terminated, finished, succeeded, failed or expired",
    r"tells?|told|telling": "report, say or distinguish",
    r"(?:makes?|made|making) (?:an?|the|its|their|new|all|it|them|pods?|files?|objects?|namespaces?|service)": "create",
    r"made (?:anew|again|first)": "create",
    r"(?:try|tries|tried|trying) (?:(?:it|them) )?again": "retry",
    r"(?:is|are|was|were) on (?:an?|no|its) node": "scheduled to a node",
    r"^\S*: (?:it is|they are)": "must be or must not be",
    r"(?<!there )(?:is|are|was|were) no(?! longer)": "invalid, unknown or missing",
    r"sorts? of": "type (of a value) or kind (of an object)",
    r"(?:go|goes|went|going|come|comes|came) on": "resume or continue",
    r"anew": "again, or a new one",
    r"as (?:it|they) should be": "desired",
    r"stands? for": "replace, or set",
    r"gi(?:ve|ves|ven|ving) back": "reclaim",
    r"two looks": "polling interval",
}
_FORBIDDEN = [(re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE), instead) for words, instead in WORDS.items()]
_ANY = re.compile(rf"(?<![\w-])(?:{'|'.join(WORDS)})(?![\w-])", re.IGNORECASE)  # one search finds most texts right

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`]*`|\b[A-Z]{1,2}\([^)]*\)|\{[{%].*?[}%]\}|https?://\S+")
_PROSE_KEYS = {"description", "short_description", "notes", "details", "returned"}
_MESSAGE_KEYS = {"fail_msg", "success_msg", "msg"}


def prose(text: str) -> str:
    """A text without code and links, in one line."""
    return " ".join(_CODE.sub("x", text).split())


def load(text: str):
    """The value of a YAML document."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 - it is a SafeLoader


def strings(value) -> Iterator[str]:
    """Each string in a value."""
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(item)


def descriptions(value) -> Iterator[str]:
    """Each paragraph of a description in documentation or in an argument spec."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key in _PROSE_KEYS and not isinstance(item, dict):
            yield from strings(item)
        else:
            yield from descriptions(item)


def task_texts(value) -> Iterator[str]:
    """The names of plays and tasks, and the messages that tasks show."""
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            yield item.get("name", "")
            for argument in item.values():
                yield from task_texts(argument)
                if isinstance(argument, dict):
                    yield from (text for name, text in argument.items() if name in _MESSAGE_KEYS and isinstance(text, str))


def documents(path: Path) -> dict[str, str]:
    """The documentation in a Python file, by the names to which it is assigned."""
    assignments = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    return {
        target.id: node.value.value
        for node in assignments
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper() and isinstance(node.value.value, str)
    }


def of_page(path: Path) -> Iterator[str]:
    """The paragraphs of a page, and the names of the tasks in its examples."""
    text = path.read_text()
    for block in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from task_texts(load(block))
    yield from re.split(r"\n\s*\n|\n(?=[|#*-] ?)", _FENCE.sub("", text))


def of_plugin(path: Path) -> Iterator[str]:
    """The descriptions in the documentation of a plugin, and the names of the tasks in its examples."""
    for name, text in documents(path).items():
        yield from task_texts(load(text)) if name == "EXAMPLES" else descriptions(load(text))


def of_fragment(path: Path) -> Iterator[str]:
    """The entries of a changelog fragment."""
    return strings(load(path.read_text()))


def of_specs(path: Path) -> Iterator[str]:
    """The descriptions of a role and of its variables."""
    return descriptions(load(path.read_text()))


def of_tasks(path: Path) -> Iterator[str]:
    """The names, messages and comments of plays and tasks."""
    text = path.read_text()
    yield from task_texts(load(text))
    yield from re.findall(r"^ *# (.*)", text, re.MULTILINE)


def of_code(path: Path) -> Iterator[str]:
    """The strings, docstrings and comments in Python code, and the words of which its names consist."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.split(r"\n\s*\n|\n(?=\s*\w+: )", node.value)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.arg):
            yield from re.findall(r"[a-z]+|[A-Z][a-z]*", node.name if not isinstance(node, ast.arg) else node.arg)
    yield from re.findall(r"^[^\"']*# (.*)", text, re.MULTILINE)


SOURCES = {
    of_page: ("*.md", "docs/*.md", "docs/guides/*.md", "roles/*/*.md"),
    of_plugin: ("plugins/modules/*.py", "plugins/doc_fragments/*.py", "plugins/lookup/*.py", "plugins/connection/*.py"),
    of_code: ("plugins/module_utils/**/*.py", "plugins/plugin_utils/*.py", "plugins/connection/*.py", "plugins/lookup/*.py", "tests/**/*.py"),
    of_fragment: ("changelogs/fragments/*.yml",),
    of_specs: ("roles/*/meta/*.yml",),
    of_tasks: ("roles/*/tasks/*.yml", "roles/*/vars/*.yml", "playbooks/*.yml", "tests/molecule/**/*.yml"),
}


def files(patterns: tuple[str, ...]) -> list[Path]:
    """The files that patterns name, but this one and what tests wrote."""
    found = [path for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file()]
    return [path for path in found if path != Path(__file__) and ROOT / "tests/output" not in path.parents]


def findings(path: Path, read) -> list[str]:
    """What a file says in other words than it should."""
    texts = [prose(text) for text in read(path)]
    return [
        f"{match[0]!r} in {text!r}: write {instead}" for text in texts if _ANY.search(text) for words, instead in _FORBIDDEN for match in words.finditer(text)
    ]


@pytest.mark.parametrize("read", SOURCES, ids=lambda read: read.__name__)
def test_prose_uses_the_words_of_kubernetes_and_ansible(read):
    paths = files(SOURCES[read])
    found = [f"{path.relative_to(ROOT)}: {finding}" for path in paths for finding in findings(path, read)]
    assert paths and not found, "\n".join(found)


def test_every_word_to_avoid_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("A folder is made anew where it is gone.\n\n```\na folder\n```\n\n`folder` and [folder](x)\n")
    assert sorted(text.split("'")[1] for text in findings(page, of_page)) == ["anew", "folder", "folder", "is gone", "made anew", "where it"]


DOCUMENTED = [path for path in files(SOURCES[of_plugin] + SOURCES[of_specs]) if path.suffix == ".py" or path.name == "argument_specs.yml"]


@pytest.mark.parametrize("path", DOCUMENTED, ids=lambda path: str(path.relative_to(ROOT)))
def test_descriptions_of_options_have_at_most_two_sentences(path: Path):
    if path.suffix == ".yml":
        options = load(path.read_text())["argument_specs"]["main"]["options"]
    else:
        options = load(documents(path).get("DOCUMENTATION", "{}")).get("options") or {}
    assert not [text for text in descriptions(options) if len(re.findall(r"[.;](?: |$)", prose(text))) > 2]


def test_changelog_marks_literals_as_restructuredtext_does():
    found = [(path.name, *re.findall(r"\b[CVOM]\([^)]*\)", path.read_text())) for path in files(SOURCES[of_fragment])]
    assert not [entry for entry in found if len(entry) > 1], "Write ``name`` instead of C(name): antsibull-changelog prints the latter as it is."
