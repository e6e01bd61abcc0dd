# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The analysis of a canary: conditions, and how a measurement is judged by them. Pure functions."""

from __future__ import annotations

import operator
import re
from typing import TypedDict

SUCCESS, FAILURE, INCONCLUSIVE = "success", "failure", "inconclusive"
_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}
_CONDITION = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)\s*")


class Measurement(TypedDict):
    """One measurement.

    Attributes:
        what: the query, or `the request` or `the command`.
        value: None if there is none.
        outcome: `success`, `failure` or `inconclusive`.
        message: why there is no value, if that is known; else empty.
    """

    what: str
    value: float | None
    outcome: str
    message: str


def is_condition(text: str) -> bool:
    """Whether a text is a comparison with a number, such as `< 0.05`."""
    return _CONDITION.fullmatch(text) is not None


def judge(value: float | None, success: str | None, failure: str | None) -> str:
    """The outcome of a measurement: `success`, `failure` or `inconclusive`.

    Args:
        value: None if there is none, which is inconclusive.
        success: condition, or None.
        failure: condition, which takes precedence; without one, whatever does not succeed fails.
    """
    if value is None:
        return INCONCLUSIVE
    if failure and _holds(value, failure):
        return FAILURE
    if success and _holds(value, success):
        return SUCCESS
    return INCONCLUSIVE if failure else FAILURE


def _holds(value: float, condition: str) -> bool:
    match = _CONDITION.fullmatch(condition)
    if not match:
        raise ValueError(condition)
    return bool(_COMPARISONS[match[1]](value, float(match[2])))
