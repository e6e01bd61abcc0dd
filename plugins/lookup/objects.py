# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects of the cluster as values of an expression."""

from __future__ import annotations

DOCUMENTATION = r"""
name: objects
short_description: Read objects in an expression
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Returns the manifests of objects, by name or all that the selectors match, like M(podwright.core.pod_info).
  - An object that does not exist is left out. Use C(query) for a list.
notes:
  - A lookup runs on the controller. It is configured like the modules, except that the C(environment) of a task does not apply.
  - With O(secret_values), set C(no_log) in the task that contains the expression.
extends_documentation_fragment:
  - podwright.core.lookup
options:
  _terms:
    description: Names of the objects. Defaults to all objects that the selectors match.
  kind:
    description: Kind of the objects. Its plural and its short name, such as V(deploy), are accepted in any case.
    type: str
    required: true
  api_version:
    description: API version of the objects. Optional unless several API groups have a kind of that name.
    type: str
    default: v1
  namespace:
    description: Namespace of the objects. Defaults to that of the context for pods and for names, else to all namespaces.
    type: str
  all_namespaces:
    description: Read the objects of all namespaces instead of O(namespace).
    type: bool
    default: false
  label_selectors:
    description: Label selectors that the objects must match.
    type: list
    elements: str
    default: []
  field_selectors:
    description: Field selectors that the objects must match.
    type: list
    elements: str
    default: []
  secret_values:
    description: Return the values of Secrets, encoded in base64, instead of digests.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the image of each pod
  ansible.builtin.debug:
    msg: "{{ query('podwright.core.objects', kind='pods', namespace='default') | map(attribute='spec.containers') | flatten | map(attribute='image') }}"

- name: Use the value of a Secret
  ansible.builtin.debug:
    msg: "{{ (query('podwright.core.objects', 'login', kind='Secret', namespace='default', secret_values=true) | first).data.password | b64decode }}"
  no_log: true
  when: false
"""

RETURN = r"""
_raw:
  description: Manifests of the objects, without C(managedFields).
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_info import OPERATION


class LookupModule(LookupBase):
    """Reads objects."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """The objects of these names, or all that the selectors match. Raises: AnsibleError."""
        self.set_options(var_options=variables, direct=kwargs)
        given = {name: self.get_option(name) for name in OPERATION.arguments if self.has_option(name)}
        params = {name: spec.get("default") for name, spec in OPERATION.arguments.items()} | given
        return [item for name in terms or [None] for item in self._read(params | {"name": None if name is None else str(name)})]

    @staticmethod
    def _read(params: dict[str, Any]) -> list[dict[str, Any]]:
        console = Console()
        result = perform(OPERATION, params, False, False, console, no_log=params["secret_values"])
        for text in console.warnings:
            Display().warning(text)
        if result.get("failed"):
            raise AnsibleError(result["msg"])
        resources: list[dict[str, Any]] = result["resources"]
        return resources
