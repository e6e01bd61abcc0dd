# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rooms of the engine: imports point down, and files, functions and nesting stay small."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

import pytest

ENGINE = Path(__file__).parents[2] / "plugins/module_utils/_engine"
FILES = sorted(path for path in ENGINE.rglob("*.py") if path.name != "__init__.py")
EDGES = sorted(path for path in ENGINE.parents[1].glob("*/*.py") if path.parent.name in ("action", "connection", "inventory", "lookup", "modules"))
# From the bottom to the top; the rooms of one line do not import each other.
LAYERS = (
    {"cancellation", "clock", "text", "threads", "values"},
    {"console", "errors"},
    {"scratch"},
    {"files", "libraries", "masking", "option_reader"},
    {"objects"},
    {"cluster"},
    {"arguments", "clients", "image_policy", "podman", "reconciler", "transfer"},
    {"tasks"},
    {"autoscaling", "deployments", "dispatch", "event_source", "garbage", "reports"},
    {"operation"},
    {"operations"},
    {"module_edge"},
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_NESTING, MEDIAN_FUNCTION_LINES = 340, 40, 4, 7
_BLOCKS = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Match, ast.AsyncFor, ast.AsyncWith)


def name_of(path: Path) -> str:
    """A file's path below the engine, without its suffix, such as `cluster/client`."""
    return str(path.relative_to(ENGINE).with_suffix(""))


def room_of(path: Path) -> str:
    """The room of a file: its directory, or itself at the top."""
    return path.relative_to(ENGINE).with_suffix("").parts[0]


@cache
def tree(path: Path) -> ast.Module:
    """The code of a file."""
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """The absolute name of each imported module; a relative one starts with `.`, seen from the engine."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            parts = path.relative_to(ENGINE).parent.parts
            base = (*parts[: len(parts) - node.level + 1], *(node.module or "").split("."))
            yield from (f".{'.'.join(filter(None, (*base, '' if any(base) and base[-1] else alias.name)))}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    """Every function and method of a file."""
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: ast.FunctionDef) -> int:
    """The lines of a function, without decorators."""
    return function.end_lineno - function.lineno + 1


def nesting(node: ast.AST, is_elif: bool = False) -> int:
    """How deep blocks lie in each other; an elif is as deep as its if."""
    deepest = 0
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.FunctionDef | ast.ClassDef | ast.Lambda):
                is_chained = isinstance(node, ast.If) and field == "orelse" and isinstance(child, ast.If) and len(value) == 1
                deepest = max(deepest, nesting(child, is_chained))
    return deepest + (isinstance(node, _BLOCKS) and not is_elif)


def test_the_architecture_names_files_that_exist():
    named = re.findall(r"`(\w+/\w+\.py)`", (ENGINE.parents[2] / "docs/architecture.md").read_text())
    assert len(named) > 20 and [name for name in named if not (ENGINE / name).is_file()] == []


def fault_of(room: str, name: str) -> str:
    """Why a room must not import a module; empty if it may."""
    if name.startswith(("ansible_collections", "ansible.plugins", "ansible.utils.display")):
        return "belongs to the edges"
    target = name[1:].split(".", maxsplit=1)[0]
    if not name.startswith(".") or target == room:
        return ""
    if target not in LEVEL:
        return "is in no layer"
    return "lies above" if LEVEL[target] >= LEVEL[room] else ""


def test_imports_point_down():
    every = [(path, name) for path in FILES for name in imports(path)]
    assert len(every) > 500
    assert [f"{name_of(path)} imports {name}: it {fault}" for path, name in every if (fault := fault_of(room_of(path), name))] == []


def test_only_the_edges_depend_on_ansible():
    """Else tests could not share the engine among modules, each of which has its own copy of Ansible in its payload."""
    at_import = [(path, node.module or "") for path in FILES for node in tree(path).body if isinstance(node, ast.ImportFrom)]
    stateless = "ansible.module_utils.parsing."
    dependent = {name_of(path) for path, name in at_import if name.startswith("ansible.") and not name.startswith(stateless)}
    assert dependent == {"module_edge", "event_source/options"}


def test_files_are_short():
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_an_import_from_above_is_found():
    assert [fault_of("objects", name) for name in (".cluster.client", "ansible.plugins.loader", ".text", ".objects.labels", "json")] == [
        "lies above", "belongs to the edges", "", "", "",
    ]  # fmt: skip
    assert fault_of("objects", ".nowhere") == "is in no layer"


def test_functions_are_short():
    every = [(name_of(path), function) for path in FILES for function in functions(path)]
    found = [f"{name}: {function.name} has {length(function)} lines" for name, function in every if length(function) > MAX_FUNCTION_LINES]
    deep = [f"{name}: {function.name} is nested {nesting(function)} deep" for name, function in every if nesting(function) > MAX_NESTING]
    assert found + deep == []
    assert median(length(function) for _name, function in every) <= MEDIAN_FUNCTION_LINES


@pytest.mark.parametrize("path", EDGES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_engine_is_not_compiled_in_each_process(path):
    """What imports it first imports what keeps its bytecode."""
    imported = [line for line in path.read_text().splitlines() if line.startswith("from ansible_collections.podwright.core.plugins.module_utils")]
    assert not imported or "import _bytecode" in imported[0], imported[0]
