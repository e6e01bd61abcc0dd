# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the operation `pod_exec` in the controller's process if the task is local."""

from __future__ import annotations

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_exec import OPERATION
from ansible_collections.podwright.core.plugins.plugin_utils._operation_action import OperationAction


class ActionModule(OperationAction):
    """The action of the module of this name."""

    operation = OPERATION

    def prepare(self, args, task_vars):
        """The arguments with the path of the standard input as Ansible finds files."""
        return args | {"stdin_file": self.find_source(args["stdin_file"])} if "stdin_file" in args else args
