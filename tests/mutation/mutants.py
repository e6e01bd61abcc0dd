# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mutants of the engine's modules by the operators of cosmic-ray, one replacement per operator and place."""

from __future__ import annotations

import ast
import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ENGINE = Path("plugins/module_utils/_engine")
ROOMS = ["reconciler/*.py", "tasks/decision.py", "garbage/*.py", "cluster/exec*.py"]
_BINARY = ["Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul", "BitOr_BitAnd", "BitAnd_BitOr", "LShift_RShift", "RShift_LShift"]
_COMPARISONS = [
    *("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt"),
    *("Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt", "Is_IsNot", "IsNot_Is"),
]
OPERATORS = [
    *(f"ReplaceBinaryOperator_{name}" for name in _BINARY),
    *(f"ReplaceComparisonOperator_{name}" for name in _COMPARISONS),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_USub_UAdd", "AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *("ExceptionReplacer", "NumberReplacer", "ZeroIterationForLoop"),
]


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        path: of the module, relative to the root of the collection.
        line: number of the changed line, from 1.
        before, after: the changed line, stripped.
        source: the whole module with the change.
        digest: identifies the change by what it changes rather than where: path, before, after, and which of the same kind it is.
    """

    path: str
    line: int
    before: str
    after: str
    source: str
    digest: str


def modules() -> list[Path]:
    """The modules whose mutants must be killed."""
    return sorted(path for room in ROOMS for path in ENGINE.glob(room) if path.stat().st_size)


def find_mutants(path: Path) -> Iterator[Mutant]:
    """The mutants of a module, except those that change only types, which do not exist at run time."""
    source = path.read_text()
    types = _lines_of_types(ast.parse(source))
    seen: dict[tuple[str, str], int] = {}
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        places = [place for node in ast_nodes(get_ast(source)) for place in operator.mutation_positions(node)]
        for occurrence, ((line, column), _end) in enumerate(places):
            if any(start <= (line, column) < end for start, end in types):
                continue
            mutated = None
            with contextlib.suppress(AttributeError):  # cosmic-ray cannot replace `except module.Error`
                mutated = mutate_code(source, operator, occurrence)
            if mutated is None or mutated == source:
                continue
            before, after = _first_change(source, mutated)
            seen[before, after] = seen.get((before, after), 0) + 1
            digest = hashlib.sha256(f"{path} {before} {after} {seen[before, after]}".encode()).hexdigest()[:10]
            yield Mutant(str(path), line, before, after, mutated, digest)


def _first_change(source: str, mutated: str) -> tuple[str, str]:
    """The first line that differs, stripped: as it was, and as it is."""
    before, after = next((a, b) for a, b in zip(source.splitlines(), mutated.splitlines(), strict=False) if a != b)
    return before.strip(), after.strip()


def _lines_of_types(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Ranges, each two of (line, column), of annotations and of what only a type checker reads."""
    ranges: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            ranges += [node.returns] if node.returns else []
        elif isinstance(node, (ast.arg, ast.AnnAssign)):
            ranges += [node.annotation] if node.annotation else []
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            ranges.append(node)
    return [((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)) for node in ranges]  # type: ignore[attr-defined]
