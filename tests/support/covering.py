# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Combinations of options for tests that cannot run all of them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

Option = dict[str, Any]
Row = tuple[int, ...]  # for each choice the number of its option


def covering_array(*choices: list[Option]) -> list[Option]:
    """Options such that every three choices come together in each way: a covering array of strength 3, made greedily.

    Args:
        choices: for each choice the options, dicts, to choose from.
    """
    chance = random.Random(0)
    chosen: list[Option] = []
    places = list(itertools.combinations(range(len(choices)), 3))
    rows = list(itertools.product(*(range(len(options)) for options in choices)))

    def threes(row: Row) -> set[tuple[Row, Row]]:
        return {(three, tuple(row[place] for place in three)) for three in places}

    missing: set[tuple[Row, Row]] = set().union(*map(threes, rows))
    while missing:
        row = max(chance.sample(rows, min(len(rows), 100)), key=lambda row: len(threes(row) & missing))
        missing -= threes(row)
        chosen.append({name: value for options, index in zip(choices, row, strict=True) for name, value in options[index].items()})
    return chosen


def covering_pairs(values: dict[str, list[Any]], contradict: Callable[[Option], bool], tries: int = 10) -> list[Option]:
    """Options such that every two values that do not contradict each other come together: a covering array of strength 2 for many options, made greedily.

    Args:
        values: the values of each option.
        contradict: whether the values of two options contradict each other.
    """
    chance = random.Random(0)
    numbered = {name: range(len(choices)) for name, choices in values.items()}
    couples = [((one, i), (other, j)) for one, other in itertools.combinations(values, 2) for i in numbered[one] for j in numbered[other]]
    allowed = {couple for couple in couples if not contradict({name: values[name][index] for name, index in couple})}
    allowed |= {(second, first) for first, second in allowed}
    missing = {couple for couple in couples if couple in allowed}

    def grow() -> dict[str, int]:
        row = dict(chance.choice(sorted(missing)))
        for name in chance.sample(list(values), len(values)):
            gains = {
                index: sum(((name, index), item) in missing or (item, (name, index)) in missing for item in row.items())
                for index in numbered[name]
                if all(((name, index), item) in allowed for item in row.items())
            }
            if name not in row:
                row[name] = max(gains, key=lambda index: (gains[index], chance.random()))
        return row

    rows = []
    while missing:
        grown = [grow() for _try in range(tries)]
        best = max(grown, key=lambda row: sum(couple in missing for couple in itertools.combinations(sorted(row.items(), key=_place(values)), 2)))
        missing -= set(itertools.combinations(sorted(best.items(), key=_place(values)), 2))
        rows.append({name: values[name][best[name]] for name in values})
    return rows


def _place(values: dict[str, list[Any]]) -> Callable[[tuple[str, int]], int]:
    order = list(values)
    return lambda item: order.index(item[0])
