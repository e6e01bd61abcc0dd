# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the operation `resource_set` in the controller's process if the task is local."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.loader import lookup_loader

from ansible_collections.podwright.core.plugins.module_utils._engine.operations.resource_set import OPERATION
from ansible_collections.podwright.core.plugins.plugin_utils._operation_action import OperationAction


class ActionModule(OperationAction):
    """The action of the module of this name; `src` and `template` are files of the controller."""

    operation = OPERATION

    def prepare(self, args, task_vars):
        """Read `src` and render `template` into `definition`."""
        if args.get("definition") is not None or (args.get("src") and args.get("template")):
            return args  # the validation reports options that exclude each other
        for option, directory in (("src", "files"), ("template", "templates")):
            if args.get(option):
                rest = {name: value for name, value in args.items() if name != option}
                return rest | {"definition": self._read(str(args[option]), directory, option, task_vars)}
        return args

    def _read(self, path, directory, option, task_vars):
        try:
            found = self._find_needle(directory, path)
        except AnsibleError as error:
            raise AnsibleActionFail(f"{option}: file {path} does not exist in {directory}/ of the role or beside the play.") from error
        if option == "template":
            lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
            return lookup.run([found], variables=task_vars)[0] or ""  # None if nothing is left of it
        try:
            with open(self._loader.get_real_file(found), encoding="utf-8") as source:
                return source.read()
        except (OSError, UnicodeDecodeError) as error:
            raise AnsibleActionFail(f"{option}: file {path} cannot be read: {error}") from error
