# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the operation `task_pod` in the controller's process if the task is local."""

from __future__ import annotations

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.task_pod import OPERATION
from ansible_collections.podwright.core.plugins.plugin_utils._operation_action import OperationAction
from ansible_collections.podwright.core.plugins.plugin_utils._secret_variables import keep_secrets


class ActionModule(OperationAction):
    """The action of the module of this name."""

    operation = OPERATION
    module_farewell = (
        "It ran as a module, which deletes what it started if on_cancel is delete; otherwise that keeps running, and the next run resumes it. "
        "To list it: kubectl get pods --all-namespaces --selector app.kubernetes.io/managed-by=podwright"
    )

    def prepare(self, args, task_vars):
        """The arguments with secret variables in `secret_env`, and the paths of inputs as Ansible finds files."""
        if args.get("state") == "absent" and not any(args.get(option) for option in ("name", "generate_name", "tasks")):
            # A template that yields null names nothing, and does not mean the whole set.
            args |= {option: empty for option, empty in (("name", ""), ("tasks", [])) if option in args and args[option] is None}
        return self._find_inputs(keep_secrets(args, is_secret=bool(self._task.no_log)))

    def _find_inputs(self, options):
        found = dict(options)
        if isinstance(found.get("inputs"), list):
            found["inputs"] = [
                entry | {"src": self.find_source(entry["src"])} if isinstance(entry, dict) and "src" in entry else entry for entry in found["inputs"]
            ]
        if isinstance(found.get("tasks"), list):
            found["tasks"] = [self._find_inputs(item) if isinstance(item, dict) else item for item in found["tasks"]]
        return found
