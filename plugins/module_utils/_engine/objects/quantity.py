# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Quantities of the API (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/)."""

from __future__ import annotations

import re
from fractions import Fraction

_SUFFIXES = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(10**3)}
_SUFFIXES |= {letter: Fraction(10 ** (3 * power)) for power, letter in enumerate("MGTPE", 2)}
_SUFFIXES |= {f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", 1)}
_PATTERN = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)")


def parse_quantity(text: object) -> Fraction:
    """The exact value of a quantity such as `500m` or `1Gi`, as a Fraction. Raises: ValueError."""
    match = _PATTERN.fullmatch(str(text).strip())
    if not match:
        raise ValueError(f"'{text}' is not a quantity such as 500m, 2, 128Mi or 1Gi")
    number, exponent, suffix = match.groups()
    return Fraction(number) * (Fraction(10) ** int(exponent) if exponent else _SUFFIXES[suffix or ""])


def format_quantity(value: Fraction, like: str) -> str:
    """A quantity of that value, rounded up: in binary units, or in whole numbers and thousandths if `like` is decimal."""
    if str(like).strip()[-1:].isdigit() or str(like).strip().endswith(("m", "u", "n")):
        thousandths = -(-value * 1000 // 1)
        return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"
    whole = -(-value // 1)
    for letter, power in zip("EPTGMK", range(6, 0, -1)):
        if whole and whole % 1024**power == 0:
            return f"{whole // 1024**power}{letter}i"
    return str(whole)


def same_quantity(one: object, other: object) -> bool:
    """Whether both are quantities that the API accepts and writes the same: equal values, and both decimal, binary or with an exponent."""
    return bool(_format_of(one)) and _format_of(one) == _format_of(other) and parse_quantity(one) == parse_quantity(other)


def _format_of(quantity: object) -> str:
    """The format of a quantity; empty if it is none, or if it has a sign, which the API keeps in some fields."""
    match = _PATTERN.fullmatch(str(quantity))
    if not match or match[0].startswith("+"):
        return ""
    return "binary" if str(match[3]).endswith("i") else "exponent" if match[2] else "decimal"
