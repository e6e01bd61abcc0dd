# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an operation is, and how both edges (module and action) run one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ansible.module_utils.common.parameters import remove_values

from .arguments import connection_secrets, redact_connection
from .cluster.client import Client
from .cluster.configuration import Configuration
from .errors import PodwrightError, as_podwright_error
from .text import printable

if TYPE_CHECKING:
    from .console import Console
    from .values import Options, Result

Record = TypeVar("Record")


@dataclass(frozen=True)
class Operation(Generic[Record]):
    """One verb of the collection: parameters in, outcome out.

    Attributes:
        name: the module's name.
        arguments: the argument spec.
        outcome: makes the empty record of what a run has done and read so far.
        run: called with a Task and that record, which it fills; raises PodwrightError.
        describe: called with both once the run has ended, failed or not; returns the result's fields and sends no request.
        rules: further arguments of the validation (`mutually_exclusive`, `required_if`, …).
        secrets: from the parameters to the set of secret values in them.
        redact: from the parameters to how the invocation may be shown.
    """

    name: str
    arguments: dict[str, Any]
    outcome: Callable[[], Record]
    run: Callable[[Invocation, Record], None]
    describe: Callable[[Invocation, Record], Result]
    rules: dict[str, Any] = field(default_factory=dict)
    secrets: Callable[[Options], set[str]] = lambda params: set()
    redact: Callable[[Options], Options] = lambda params: params


class Invocation:
    """One call of an operation: its parameters and what it may use.

    Attributes:
        params: validated parameters.
        check_mode, diff_mode: as the play has them.
        console: a Console.
        client: a Client to share, or None for one of its own.
    """

    def __init__(self, params: Options, check_mode: bool, diff_mode: bool, console: Console, client: Client | None = None):
        self.params = params
        self.check_mode = check_mode
        self.diff_mode = diff_mode
        self.console = console
        self._client = client

    @property
    def client(self) -> Client:
        """The Client, opened when first used."""
        if self._client is None:
            connections = min(self.params.get("concurrency") or 16, 16)
            self._client = Client(Configuration(self.params), connections, poll_seconds=self.params.get("wait_sleep") or 5)
        return self._client

    @property
    def namespace(self) -> str:
        """The namespace: the option, the context's, or `default`."""
        namespace: str = self.params.get("namespace") or self.client.configuration.namespace
        return namespace

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()


def secrets_of(operation: Operation[Record], params: Options) -> set[str]:
    """Every secret value in the parameters that the argument spec itself does not mark."""
    return operation.secrets(params) | set(connection_secrets(params))


def attempt(operation: Operation[Record], invocation: Invocation) -> tuple[Result, PodwrightError | None]:
    """Run an operation to its end. Returns: (the result's fields as far as it got, what stopped it or None)."""
    outcome = operation.outcome()
    stopped: PodwrightError | None = None
    try:
        operation.run(invocation, outcome)
    except Exception as error:
        stopped = as_podwright_error(error)
    try:
        return operation.describe(invocation, outcome), stopped
    except Exception as error:
        return {}, stopped or as_podwright_error(error)


def perform(
    operation: Operation[Record],
    params: Options,
    check_mode: bool,
    diff_mode: bool,
    console: Console,
    no_log: bool = False,
    masked: Set[str] = frozenset(),
) -> Result:
    """Run an operation to a result that an edge can hand to Ansible.

    Args:
        no_log: whether the task has `no_log`: ansible-core 2.19 and later print `msg` all the same, so that it must not hold any output.
        masked: secret values that the edge knows beside those of the operation.

    Returns: a dict without any secret value, with `changed`, `duration`, the operation's own fields and, where it failed, `failed`, `msg`, `reason` and `hint`.
    """
    started = time.monotonic()
    try:
        # Before anything is done: what cannot be masked is not run.
        secret, shown = masked | secrets_of(operation, params), redact_connection(operation.redact(params))
    except Exception as error:
        return _failure(as_podwright_error(error), no_log) | {"changed": False, "duration": 0.0, "invocation": {"module_args": {}}}
    invocation = Invocation(params, check_mode, diff_mode, console)
    fields, stopped = _attempt_and_close(operation, invocation)
    # Ansible takes an rc other than 0, or none, for a failure unless the result says otherwise.
    result: Result = {"changed": False, "failed": False} | fields
    if "diff" in result:
        result["diff"] = _printable_values(result["diff"])
    if stopped:
        result |= _failure(stopped, no_log)
    result["duration"] = round(time.monotonic() - started, 3)
    result["invocation"] = {"module_args": shown}
    if console.warnings:
        result["warnings"] = list(console.warnings)
    try:
        cleared: Result = remove_values(result, {value for value in secret if value})
        return cleared
    except TypeError as error:  # a value that is no plain data
        return _failure(as_podwright_error(error), no_log) | {name: result[name] for name in ("changed", "duration", "invocation")}


def _attempt_and_close(operation: Operation[Record], invocation: Invocation) -> tuple[Result, PodwrightError | None]:
    fields, stopped = attempt(operation, invocation)
    try:
        invocation.close()
    except Exception as error:
        stopped = stopped or as_podwright_error(error)
    return fields, stopped


def _failure(error: PodwrightError, no_log: bool) -> Result:
    told = _without_output(error) if no_log else error
    return {"failed": True, "msg": str(told), "reason": printable(told.reason), "hint": printable(told.hint)}


def _printable_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _printable_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable_values(item) for item in value]
    return printable(value) if isinstance(value, str) else value


def _without_output(error: PodwrightError) -> PodwrightError:
    """The error without anything that a container, a log or a server may have said; its reason is one word."""
    reason = error.reason if re.fullmatch("[A-Za-z0-9]{1,64}", error.reason) else "Error"
    return PodwrightError(f"The task failed: {reason}.", reason=reason, hint="Its details are hidden, since no_log is set.")
