# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Outcomes in tests."""

from __future__ import annotations

from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, Operation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.outcome import Outcome


def checked(outcome: Outcome) -> Outcome:
    """The outcome. Raises: its error."""
    if outcome.error:
        raise outcome.error
    return outcome


def result_of(operation: Operation, task: Invocation) -> dict:
    """The result's fields of an operation. Raises: what stopped it."""
    fields, error = attempt(operation, task)
    if error:
        raise error
    return fields
