# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Operations as actions: a local task runs in the controller's process instead of a module's."""

from __future__ import annotations

import multiprocessing
import os
import time
import zlib
from contextlib import contextmanager, suppress

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.podwright.core.plugins.module_utils._engine.cancellation import Cancelled, cancellable, cause_of
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.preparation import prepare_forks
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.masking import Masker
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.option_reader import normalize_options
from ansible_collections.podwright.core.plugins.module_utils._engine.text import last_state, printable
from ansible_collections.podwright.core.plugins.plugin_utils._kubeconfig_files import find_kubeconfig
from ansible_collections.podwright.core.plugins.plugin_utils._role_hints import name_variables
from ansible_collections.podwright.core.plugins.plugin_utils._values import plain

# Ansible loads the class of an action before it forks: these imports take their time once per playbook.
prepare_forks()

# A worker has no terminal, and nobody displays what it asks for once it is cancelled: it needs the standard error of the process that loads the class.
try:
    STDERR = os.dup(2)
except OSError:
    STDERR = -1

PLAYBOOKS = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../playbooks"))
PATH_VARIABLES = ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "K8S_AUTH_SSL_CA_CERT", "K8S_AUTH_CERT_FILE", "K8S_AUTH_KEY_FILE")
PROGRESS_SECONDS = 2
COLORS = ("cyan", "green", "yellow", "blue", "purple", "bright cyan", "bright green", "bright yellow", "bright blue", "bright purple")


class LiveConsole(Console):
    """Shows progress with Ansible's display, on stderr, so that callbacks that write results to stdout stay readable.

    Args:
        host: the host of the inventory that it names, as Ansible does, or an empty string in a play with one host.
    """

    def __init__(self, silent, host=""):
        super().__init__()
        self._silent = silent
        self._host = f"[{printable(host)}] " if host else ""
        self._last, self._next = "", time.monotonic() + PROGRESS_SECONDS

    def progress(self, text):
        """Show the text if it is new, at most every two seconds."""
        if self._silent or text == self._last or time.monotonic() < self._next:
            return
        self._last, self._next = text, time.monotonic() + PROGRESS_SECONDS
        Display().display(f"  … {self._host}{' '.join(printable(self.mask(text)).split())}", color="dark gray", stderr=True)

    def line(self, name, text):
        """Show a line of a pod's output, without the control characters of a terminal."""
        if self._silent:
            return
        text = printable(last_state(self.mask(text)).replace("\t", "    ")).replace("\n", "")
        color = COLORS[zlib.crc32(name.encode()) % len(COLORS)]
        Display().display(f"  {self._host}{name} | {text}" if name else f"  {self._host}| {text}", color=color, stderr=True)

    def take_leave(self, text):
        """Write a line to the terminal at once."""
        super().take_leave("What a cancelled task leaves behind is hidden because no_log is set." if self._silent else text)
        with suppress(OSError):
            os.write(STDERR, f"{self.farewell}\n".encode())


class OperationAction(ActionBase):
    """Base class of the actions; a subclass sets `operation`."""

    operation = None
    module_farewell = ""  # what to say if a module is cancelled, which can leave something behind
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp=None, task_vars=None):
        """Run the operation in this process if the task is local, without become and async, else the module."""
        result, known = super().run(tmp, task_vars), task_vars or {}
        host = known.get("inventory_hostname", "") if len(known.get("ansible_play_hosts_all") or ()) > 1 else ""
        args = self._find_kubeconfig(self.prepare(dict(self._task.args), task_vars))
        try:
            with cancellable(_is_orphan):
                if self._runs_here():
                    with _environment(self._task_environment()), _directory(self._loader.get_basedir()):
                        return result | self._with_variables(self._run_here(args, host))
                return result | self._with_variables(self._run_module(args, task_vars))
        except Cancelled as cancelled:
            os.kill(os.getpid(), cancelled.signum)  # so that the worker terminates as it would have without us
            raise

    def prepare(self, args, task_vars):
        """The arguments of the operation; a subclass can read files of the controller here."""
        return args

    def find_source(self, path):
        """The path of what a local task reads: as it is if it exists, else in `files` of the role or beside the playbook, as Ansible finds files."""
        if self._connection.transport != "local" or not isinstance(path, str) or not path:
            return path
        given = os.path.expanduser(path)
        if os.path.lexists(os.path.join(self._loader.get_basedir(), given)):  # in which local tasks run
            return path
        with suppress(AnsibleError):
            return os.path.abspath(self._find_needle("files", given)) + path[len(path.rstrip("/")) :]
        return path  # the operation reports that it does not exist

    def _find_kubeconfig(self, args):
        """The arguments of a local task with the path of a kubeconfig as Ansible finds files, or the content of an encrypted one."""
        if self._connection.transport != "local" or args.get("kubeconfig") is None:
            return args
        return args | {"kubeconfig": find_kubeconfig(args["kubeconfig"], lambda path: self._find_needle("files", path), self._loader)}

    def _runs_here(self):
        return self._connection.transport == "local" and not self._play_context.become and not self._task.async_val

    def _run_here(self, args, host=""):
        operation = self.operation
        try:
            given = normalize_options(operation.arguments, plain(args), operation.name)
        except PodwrightError as error:
            return {"failed": True, "changed": False, "msg": str(error), "reason": error.reason}
        checked = ArgumentSpecValidator(operation.arguments, **operation.rules).validate(given)
        masked = set(checked._no_log_values)
        params = checked.validated_parameters
        if checked.error_messages:
            message = Masker(masked).mask(checked.error_messages[0])
            return {"failed": True, "changed": False, "msg": printable(message)}
        no_log = bool(self._task.no_log)
        return perform(operation, params, self._task.check_mode, self._task.diff, LiveConsole(no_log, host), no_log, masked)

    def _run_module(self, args, task_vars):
        try:
            return self._execute_module(module_args=args, task_vars=task_vars, wrap_async=self._task.async_val)
        except Exception:
            raise
        except BaseException as error:
            if self.module_farewell:
                LiveConsole(silent=False).take_leave(f"{self.operation.name} was cancelled by {cause_of(error)}. {self.module_farewell}")
            raise

    def _with_variables(self, result):
        written = self._task.get_ds() or {}
        args = written.get(self._task.action)
        return name_variables(result, args if isinstance(args, dict) else {}, self._task.get_path().rpartition(":")[0])

    def _task_environment(self):
        variables = {}
        self._compute_environment_string(variables)
        return {name: str(value) for name, value in variables.items()}


def _is_orphan():
    """Whether the process that waits for this worker was killed."""
    parent = multiprocessing.parent_process()
    return parent is not None and os.getppid() != parent.pid


@contextmanager
def _environment(variables):
    """The environment of the task while the operation runs: credential plugins and fallbacks read the process's environment."""
    before = dict(os.environ)
    os.environ.update({name: _absolute(os.environ[name]) for name in PATH_VARIABLES if name in os.environ})
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _absolute(paths):
    """Paths of files from the environment of ansible-playbook, which mean its working directory."""
    return os.pathsep.join(os.path.abspath(path) if path and os.path.exists(path) else path for path in paths.split(os.pathsep))


@contextmanager
def _directory(playbook):
    """Relative paths mean the directory of the playbook, as for modules; for the playbooks of this collection, the working directory of ansible-playbook."""
    if os.path.realpath(playbook) == PLAYBOOKS:
        yield
        return
    try:
        before = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))  # it may be a directory that this user cannot read
    except OSError:
        before = None
    try:
        os.chdir(playbook)
        yield
    finally:
        if before is not None:
            with suppress(OSError):
                os.fchdir(before)
            os.close(before)
