# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the operation `pod_copy` in the controller's process if the task is local."""

from __future__ import annotations

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_copy import OPERATION
from ansible_collections.podwright.core.plugins.plugin_utils._operation_action import OperationAction


class ActionModule(OperationAction):
    """The action of the module of this name."""

    operation = OPERATION

    def prepare(self, args, task_vars):
        """The arguments with the path of what is copied to a pod as Ansible finds files."""
        is_upload = args.get("state", "to_pod") == "to_pod" and "local_path" in args
        return args | {"local_path": self.find_source(args["local_path"])} if is_upload else args
