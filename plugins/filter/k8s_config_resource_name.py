# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The name of a ConfigMap or Secret with the hash of its content."""

from __future__ import annotations

DOCUMENTATION = r"""
name: k8s_config_resource_name
short_description: Name of a ConfigMap or Secret with the hash of its content
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Returns the name that M(podwright.core.resource_set) gives a ConfigMap or Secret with O(podwright.core.resource_set#module:append_hash), and
    C(kubectl kustomize) too, so that a pod can refer to it. The filter of that name in kubernetes.core returns the same name.
options:
  _input:
    description: Manifest of a ConfigMap or Secret with C(metadata.name).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the name of a ConfigMap with the hash of its content
  ansible.builtin.debug:
    msg: "{{ settings | podwright.core.k8s_config_resource_name }}"
  vars:
    settings:
      kind: ConfigMap
      metadata:
        name: settings
      data:
        level: debug
"""

RETURN = r"""
_value:
  description: The name, a hyphen and ten characters.
  type: str
"""

from ansible.errors import AnsibleFilterError

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.documents import as_json
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.sources import append_hash, is_hashed
from ansible_collections.podwright.core.plugins.plugin_utils._values import plain


def k8s_config_resource_name(resource):
    """The name with the hash. Raises: AnsibleFilterError."""
    manifest = plain(resource)
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    if not is_hashed(manifest) or not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise AnsibleFilterError("k8s_config_resource_name: must be the manifest of a ConfigMap or Secret with kind and metadata.name.")
    try:
        return append_hash(as_json(manifest))["metadata"]["name"]
    except PodwrightError as error:
        raise AnsibleFilterError(f"k8s_config_resource_name: {error}") from None


class FilterModule:
    """The filter."""

    def filters(self):
        """The functions by name."""
        return {"k8s_config_resource_name": k8s_config_resource_name}
