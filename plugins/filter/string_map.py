# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Labels, annotations and selectors from a mapping with values of any type."""

from __future__ import annotations

DOCUMENTATION = r"""
name: string_map
short_description: Labels, annotations and selectors from a mapping with values of any type
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Returns a mapping of strings, as the API of Kubernetes requires for labels, annotations, selectors and parameters.
  - A string remains as it is, V(null) becomes the empty string, and any other value its JSON, such as C(true) and C(1.5).
options:
  _input:
    description: The mapping.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Write a number and a boolean as labels
  ansible.builtin.set_fact:
    labels: "{{ {'shard': 1, 'gpu': true} | podwright.core.string_map }}"
"""

RETURN = r"""
_value:
  description: The mapping of strings.
  type: dict
"""

import json

from ansible.errors import AnsibleFilterError

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.text import json_text
from ansible_collections.podwright.core.plugins.plugin_utils._values import plain


def string_map(values):
    """The mapping of strings. Raises: AnsibleFilterError."""
    values = plain(values)
    if not isinstance(values, dict):
        raise AnsibleFilterError(f"string_map: must be a mapping, got {json.dumps(values)}.")
    return {str(name): "" if value is None else json_text(value) for name, value in values.items()}


class FilterModule:
    """The filter."""

    def filters(self):
        """The function by name."""
        return {"string_map": string_map}
