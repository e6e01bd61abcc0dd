# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Combinations of options for tests that cannot run all of them."""

from __future__ import annotations

import itertools
import random
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
