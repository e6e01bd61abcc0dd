# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults in the variables of a role that Ansible's validation lets pass."""

from __future__ import annotations

DOCUMENTATION = r"""
name: role_faults
short_description: Faults in the variables of a role that Ansible's validation accepts
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Compares the variables of the role that uses it with the argument spec in its C(meta/argument_specs.yml), and returns what is wrong, one sentence for each
    fault.
  - Ansible's own validation accepts text for a list or a mapping, but passes it to the role as it is, which then uses each character as an item. It also
    accepts V(null) and empty text for a required string, and sizes that are not quantities, such as C(10GB).
options:
  _terms:
    description: Names of further variables that must not be empty, although they have a default.
    required: false
"""

EXAMPLES = r"""
# The first task of a role
- name: Check the types of the variables
  ansible.builtin.assert:
    that: query('podwright.core.role_faults') | length == 0
    fail_msg: "{{ query('podwright.core.role_faults') | join(' ') }}"
    quiet: true
"""

RETURN = r"""
_raw:
  description: The faults, without any value.
  type: list
  elements: str
"""

from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.quantity import parse_quantity
from ansible_collections.podwright.core.plugins.plugin_utils._values import plain

_TEXT_AS = {"list": "must be a list, got a string", "dict": "must be a mapping, got a string"}


class LookupModule(LookupBase):
    """Compares variables with the argument spec of their role."""

    def run(self, terms, variables=None, **_kwargs):
        """One sentence for each fault. Raises: AnsibleError if no role uses the lookup."""
        if not variables or "role_path" not in variables:
            raise AnsibleError("role_faults: must be used in a role.")
        path = Path(plain(variables["role_path"])) / "meta/argument_specs.yml"
        options = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
        names = [name for name in options if name in variables]
        reader = lookup_loader.get("ansible.builtin.vars", loader=self._loader, templar=self._templar)
        values = dict(zip(names, plain(reader.run(names, variables=variables))))
        named = {name: option | {"required": option.get("required") or name in terms} for name, option in options.items()}
        return [_with_example(fault, values, options) for fault in find_faults(named, values)]


def find_faults(options, values, path=""):
    """What is wrong with the values of options, which are a mapping of the argument spec."""
    return [fault for name, option in options.items() if name in values for fault in _faults_of(option, values[name], f"{path}{name}")]


def _faults_of(option, value, path):
    kind = option.get("type", "str")
    if kind == "str":
        if isinstance(value, (dict, list)):
            return [f"{path}: must be a string, got a {'list' if isinstance(value, list) else 'mapping'}."]
        if path.endswith("size") and not _is_quantity(value):
            return [f"{path}: must be a quantity such as 500Mi or 10Gi."]
        is_empty = value is None or (value == "" and option.get("required"))
        return [f"{path}: must not be empty."] if is_empty and (option.get("required") or option.get("default")) else []
    if isinstance(value, str) and kind in _TEXT_AS:
        return [f"{path}: {_TEXT_AS[kind]}."]
    if kind == "dict" and isinstance(value, dict):
        return find_faults(option.get("options") or {}, value, f"{path}.")
    if kind == "list" and isinstance(value, list):
        return [fault for index, item in enumerate(value) for fault in _faults_of_item(option, item, f"{path}[{index}]")]
    return []


def _is_quantity(value):
    """Whether a value is empty, or a quantity of the API."""
    if value in (None, ""):
        return True
    try:
        parse_quantity(value)
    except ValueError:
        return False
    return True


def _faults_of_item(option, item, path):
    if item is None:
        return [f"{path}: must not be null."]
    return _faults_of({"type": option.get("elements", "raw"), "options": option.get("options")}, item, path)


def _with_example(fault, values, options):
    """A fault of text for a whole variable with how to write it."""
    name = fault.partition(":")[0]
    if name not in values or "got a string" not in fault:
        return fault
    example = f'{{"{name}": {"[…]" if options[name]["type"] == "list" else "{…}"}}}'
    return f"{fault.removesuffix('.')}; write extra variables of the command line as JSON, such as -e '{example}'."
