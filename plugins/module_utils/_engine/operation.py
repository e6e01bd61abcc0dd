# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Operations, and how both edges (module and action) run one."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Set
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .arguments import check_namespace, check_ranges, connection_secrets, redact_connection
from .cluster.client import CONNECTIONS, Client
from .cluster.configuration import Configuration
from .errors import NO_PODS, PodwrightError, as_podwright_error
from .masking import Masker, clean_texts
from .reconciler.approval import PLAN_CHANGED, Approval
from .reconciler.manifest import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .console import Console
    from .reconciler.plan import Change
    from .values import Options, Result

OutcomeT = TypeVar("OutcomeT")
_WORD = re.compile(r"[A-Za-z]?[a-z]{0,15}|[0-9.]{1,5}|.{1,3}", re.DOTALL)  # messages contain such words anyway

_SEPARATORS = re.compile(r"""[\s=:;,&<>"'{}[\]]+""")
_LEAST_PART, _MOST_IN_PARTS = 8, 20_000  # characters


@dataclass(frozen=True)
class Operation(Generic[OutcomeT]):
    """What one module does: parameters in, result out.

    Attributes:
        name: the name of the module.
        arguments: the argument spec.
        outcome: creates the empty outcome, which holds what a run does and reads.
        run: called with the Invocation and the outcome, which it fills; raises PodwrightError.
        describe: called with both after the run, failed or not; returns the fields of the result and sends no request.
        rules: further arguments for the validation (`mutually_exclusive`, `required_if`, …).
        secrets: returns the secret values in the parameters.
        redact: returns the parameters as results may show them.
        mostly_public: options that `redact` hides although `secrets` finds the secret values in them.
        structured: options whose texts have parts, such as fields of a form, each of which may be secret by itself.
        redactor: what replaces secret values in the objects of the plan.
        predicted: returns the changes in the outcome of a run in check mode, for an operation whose plan is not complete before its first write; its
            review requires such a run first. Other operations that plan call `Invocation.review`.
    """

    name: str
    arguments: dict[str, Any]
    outcome: Callable[[], OutcomeT]
    run: Callable[[Invocation, OutcomeT], None]
    describe: Callable[[Invocation, OutcomeT], Result]
    rules: dict[str, Any] = field(default_factory=dict)
    secrets: Callable[[Options], set[str]] = lambda params: set()
    redact: Callable[[Options], Options] = lambda params: params
    mostly_public: Set[str] = frozenset()
    structured: Set[str] = frozenset()
    redactor: type[Redactor] = Redactor
    predicted: Callable[[OutcomeT], Iterable[Change]] | None = None


class Invocation:
    """One invocation of a module.

    Attributes:
        params: the validated parameters.
        check_mode, diff_mode: those of the Ansible task.
        console: a Console.
        client: a Client to share, or None to open one.
        approval: the Approval of its plan.
        rehearsal: the outcome of the run in check mode that was approved, or None.
        no_log: whether the Ansible task has `no_log`.
        clean: removes secret values from a mapping such as a result.
    """

    def __init__(
        self,
        params: Options,
        check_mode: bool,
        diff_mode: bool,
        console: Console,
        client: Client | None = None,
        approval: Approval | None = None,
        no_log: bool = False,
        clean: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        self.clean = clean
        self.approval = approval or Approval(params)
        self.rehearsal: Any = None
        self.params = params
        self.check_mode = check_mode
        self.diff_mode = diff_mode
        self.console = console
        self.no_log = no_log
        self._client = client
        self._others: list[Client] = []

    def connect(self, context: str) -> Client:
        """A Client of another context of the kubeconfig, which is closed with that of the invocation. Raises: PodwrightError."""
        client = self._open(self.params | {"context": context})
        self._others.append(client)
        return client

    def _open(self, params: Options) -> Client:
        connections = min(params.get("concurrency") or CONNECTIONS, CONNECTIONS)
        client = Client(Configuration(params), connections, poll_seconds=params.get("wait_sleep") or 5)
        client.sessions.renewed = self._conceal
        self._conceal(client.configuration)
        if not self.no_log:  # a webhook may quote values
            client.warnings.warn = self.console.warn
        return client

    def _conceal(self, configuration: Configuration) -> None:
        self.console.conceal(configuration.secrets)

    @property
    def client(self) -> Client:
        """The Client, opened at its first use."""
        if self._client is None:
            self._client = self._open(self.params)
        return self._client

    def use(self, client: Client) -> None:
        """Use another Client from now on."""
        self.close()
        self._client = client

    @property
    def namespace(self) -> str:
        """The namespace of the option, else of the variable PODWRIGHT_NAMESPACE, else of the context, else `default`. Raises: PodwrightError."""
        namespace: str = self.params.get("namespace") or self.client.configuration.namespace
        check_namespace("namespace", namespace)
        return namespace

    def missing_in_check_mode(self, error: PodwrightError) -> str:
        """Why an object does not exist that an earlier task of the playbook may create; empty for any other error, and without check mode.

        Warns of a namespace that does not exist either. Raises: PodwrightError if that cannot be read.
        """
        if not self.check_mode or not (error.is_not_found or error.reason == NO_PODS):
            return ""
        from .cluster.namespaces import warn_of_missing_namespaces  # few runs are in check mode

        warn_of_missing_namespaces(self.client, [self.namespace], self.console)
        return error.message

    @property
    def review(self) -> Callable[..., None] | None:
        """`Approval.submit`: takes the complete plan, as predicted by dry runs, before anything is written; None if nobody reviews it."""
        return self.approval.submit if self.check_mode or self.approval.is_requested else None

    def close(self) -> None:
        """Close the connections."""
        for client in filter(None, (self._client, *self._others)):
            client.close()


def secrets_of(operation: Operation[OutcomeT], params: Options) -> set[str]:
    """The secret values in the parameters besides those that the argument spec marks with `no_log`."""
    return operation.secrets(params) | connection_secrets(params)


def attempt(operation: Operation[OutcomeT], invocation: Invocation) -> tuple[Result, PodwrightError | None]:
    """Run an operation. Returns: the fields of the result, also of a failed run, and the error or None."""
    outcome = operation.outcome()
    stopped: PodwrightError | None = None
    try:
        check_ranges(operation.arguments, invocation.params)
        invocation.approval.prepare()
        _run(operation, invocation, outcome)
    except Exception as error:
        stopped = as_podwright_error(error)
    try:
        return operation.describe(invocation, outcome) | invocation.approval.describe(invocation.diff_mode), stopped
    except Exception as error:
        return {}, stopped or as_podwright_error(error)


def _run(operation: Operation[OutcomeT], invocation: Invocation, outcome: OutcomeT) -> None:
    """Run an operation; one whose plan is only known after a run in check mode rehearses, if the plan is reviewed."""
    if operation.predicted and invocation.review:
        rehearsal, predicted = invocation, outcome
        if not invocation.check_mode:
            rehearsal, predicted = Invocation(invocation.params, True, False, invocation.console, invocation.client), operation.outcome()
        operation.run(rehearsal, predicted)
        invocation.approval.submit(operation.predicted(predicted))
        invocation.rehearsal = predicted
    if not (operation.predicted and invocation.check_mode):
        operation.run(invocation, outcome)


def perform(
    operation: Operation[OutcomeT],
    params: Options,
    check_mode: bool,
    diff_mode: bool,
    console: Console,
    no_log: bool = False,
    masked: Set[str] = frozenset(),
) -> Result:
    """Run an operation. Raises nothing but what cancels it: an unforeseen exception is a failure, too.

    Args:
        no_log: whether the Ansible task has `no_log`; ansible-core 2.19 and later print `msg` regardless, so that it must not contain output.
        masked: secret values that the edge knows besides those of the operation.

    Returns: the result without secret values: `changed`, `duration`, the operation's fields; of a failure also `failed`, `msg`, `reason`, `hint`.
    """
    started = time.monotonic()
    try:
        # First of all, since an operation whose secrets cannot be masked must not run.
        shown = redact_connection(operation.redact(params))
        secrets = Masker(masked | secrets_of(operation, params))
        console.mask, console.conceal, hidden = secrets.mask, secrets.add, Masker(_hidden_texts(operation, params, shown))
    except Exception as error:
        return _failure(as_podwright_error(error), no_log) | {"changed": False, "duration": 0.0, "invocation": {"module_args": {}}}
    clean = partial(_clean, secrets, hidden)
    approval = Approval(params, operation.redactor, clean)
    fields, stopped = _attempt_and_close(operation, Invocation(params, check_mode, diff_mode, console, None, approval, no_log, clean))
    # Ansible treats a result with an rc other than 0, or null, as failed unless it sets `failed`.
    result: Result = {"changed": False, "failed": False} | fields
    if stopped:
        result |= _failure(stopped, no_log) | ({} if check_mode or diff_mode or stopped.reason == PLAN_CHANGED else _shorten(result))
    result["duration"] = round(time.monotonic() - started, 3)
    result["invocation"] = {"module_args": shown}
    if console.warnings:
        result["warnings"] = list(console.warnings)
    try:
        return clean(result)
    except (TypeError, RecursionError) as error:  # a value that is not plain data
        return _failure(_unreturnable(error), no_log) | {"changed": result["changed"], "duration": 0.0, "invocation": {"module_args": {}}}


def _unreturnable(error: TypeError | RecursionError) -> PodwrightError:
    if isinstance(error, TypeError):
        return as_podwright_error(error)
    return PodwrightError("The result cannot be returned: its data is nested too deeply.", reason="TooDeep", hint="Request less of the data.")


def _clean(secrets: Masker, hidden: Masker, fields: Result) -> Result:
    """Fields without secret values. Raises: TypeError for a value that is not plain data."""
    cleaned: Result = secrets.clean(clean_texts(fields, hidden))
    return cleaned


def _attempt_and_close(operation: Operation[OutcomeT], invocation: Invocation) -> tuple[Result, PodwrightError | None]:
    try:
        fields, stopped = attempt(operation, invocation)
    except BaseException:  # it was cancelled
        with suppress(Exception):
            invocation.close()
        raise
    try:
        invocation.close()
    except Exception as error:
        stopped = stopped or as_podwright_error(error)
    return fields, stopped


def _failure(error: PodwrightError, no_log: bool) -> Result:
    shown = _without_output(error) if no_log else error
    details = {"reason": shown.reason, "hint": shown.hint}
    return {"failed": True, "msg": str(shown)} | {name: text for name, text in details.items() if text}


def _shorten(result: Result) -> Result:
    """The plan of a failed run without the manifests of objects that it created, which Ansible would print after the message."""
    entries = [entry for entry in result.get("plan") or () if isinstance(entry.get("patch"), list)]
    short = [entry | {"patch": [part for part in entry["patch"] if part["path"]]} for entry in entries]
    return {"plan": short} if entries and len(entries) == len(result["plan"]) else {}


def _hidden_texts(operation: Operation[OutcomeT], params: Options, shown: Options) -> set[str]:
    """Texts in the parameters that an invocation does not show: any of them may be secret, and messages of servers repeat them."""
    given = {name: value for name, value in params.items() if name != "kubeconfig" and name not in operation.mostly_public}
    hidden, public = _texts(given), _texts(shown)
    parts = {part for text in _texts({name: params.get(name) for name in operation.structured}) - public for part in _parts(text)}
    return {text for text in (hidden | parts) - public if not _WORD.fullmatch(text)}


def _parts(text: str) -> set[str]:
    """The texts in JSON; in another text, such as a header or a form, what separators enclose, unless it is short."""
    try:
        return _texts(json.loads(text))
    except (ValueError, RecursionError):
        return {part for part in _SEPARATORS.split(text[:_MOST_IN_PARTS]) if len(part) >= _LEAST_PART}


def _texts(value: Any) -> set[str]:
    """The texts in plain data that are not empty."""
    found: set[str] = set()
    rest = [value]
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, (dict, list)):
            # Most options are not set.
            rest += filter(None, value.values() if isinstance(value, dict) else value)
    return found


def _without_output(error: PodwrightError) -> PodwrightError:
    """The error without text that may be output of a container or a server: its reason, if that is a single word."""
    reason = error.reason if re.fullmatch("[A-Za-z0-9]{1,64}", error.reason) else "Error"
    return PodwrightError(f"The task failed: {reason}.", reason=reason, hint="Its details are hidden because no_log is set.")
