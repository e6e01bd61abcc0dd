# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Operations as modules."""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

from .arguments import connection_secrets
from .cancellation import Cancelled, cancellable
from .console import Console
from .errors import PodwrightError
from .operation import Operation, perform
from .option_reader import normalize_options

if TYPE_CHECKING:
    from .values import Options


class OperationModule(AnsibleModule):  # type: ignore[misc]  # ansible-core has no types
    """An AnsibleModule that does not log its arguments to the system log: manifests can contain secrets."""

    def _load_params(self) -> None:
        """Read the options; Ansible's validation, which follows, raises exceptions for some that this rejects."""
        super()._load_params()
        try:
            self.params: Options = normalize_options(self.argument_spec, self.params, str(self.params.get("_ansible_module_name", "")).rpartition(".")[2])
        except PodwrightError as error:
            self.fail_json(str(error), reason=error.reason)

    def _log_invocation(self) -> None:
        pass

    def fail_json(self, msg: str, **kwargs: Any) -> None:
        """Fail before there is a result to mask, without the credentials of the connection in the message, also if the options are invalid."""
        self.no_log_values.update(connection_secrets(self.params))
        kwargs.setdefault("invocation", {"module_args": {}})  # invalid arguments cannot be redacted
        super().fail_json(msg, **kwargs)


def run_module(operation: Operation[Any]) -> None:
    """Run an operation as the module of the same name."""
    module = OperationModule(argument_spec=operation.arguments, supports_check_mode=True, **operation.rules)
    console = Console()
    try:
        with cancellable(_is_unheard):
            result = perform(operation, module.params, module.check_mode, module._diff, console, module.no_log, set(module.no_log_values))
    except Cancelled as cancelled:
        if cancelled.is_abandoned:
            raise SystemExit(1) from None
        module.fail_json(msg=console.farewell or f"{operation.name} was cancelled by {cancelled}.", reason="Cancelled")
    module.no_log_values = set()  # the result is masked; Ansible would replace the values in names of objects, in words and in numbers, too
    for text in result.pop("warnings", ()):
        module.warn(text)
    if result.get("failed"):
        AnsibleModule.fail_json(module, **result)
    module.exit_json(**result)


def _is_unheard() -> bool:
    """Whether nobody reads the standard output any more, to which the result is written: the worker or the connection that runs the module was killed."""
    poll = select.poll()
    poll.register(sys.__stdout__ or 1, 0)  # only errors and hang-ups
    return bool(poll.poll(0))
