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
  - An object that does not exist is left out. Use C(query) for a list; C(lookup) returns a single object as a mapping.
  - The options of the lookup P(kubernetes.core.k8s#lookup) are accepted.
notes:
  - A lookup runs on the controller. It is configured like the modules, except that the C(environment) of a task does not apply.
  - With O(secret_values), set C(no_log) in the task that contains the expression.
extends_documentation_fragment:
  - podwright.core.lookup
options:
  _terms:
    description: Names of the objects. Defaults to all objects that the selectors match.
  kind:
    description:
      - Kind of the objects. Its plural and its short name, such as V(deploy), are accepted in any case.
      - Required unless O(resource_definition), O(src) or O(cluster_info) is set.
    type: str
  api_version:
    description: API version of the objects. Optional unless several API groups have a kind of that name.
    type: str
    default: v1
    aliases: [api, version]
  resource_name:
    description: Name of an object, like a term.
    type: str
  namespace:
    description: Namespace of the objects. Defaults to E(PODWRIGHT_NAMESPACE), then to that of the context for pods and for names, else to all namespaces.
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
    aliases: [label_selector]
  field_selectors:
    description: Field selectors that the objects must match.
    type: list
    elements: str
    default: []
    aliases: [field_selector]
  resource_definition:
    description: Manifest, or list of manifests, whose live objects are read. Its kind, API version, name and namespace override the options.
    type: raw
  src:
    description: File with such manifests, in YAML or JSON, found like a file of M(ansible.builtin.copy).
    type: str
  cluster_info:
    description:
      - Read V(version), the version of the API server as a mapping with the key C(kubernetes), or V(api_groups), the names of its API groups as a list.
      - It cannot be combined with options that select objects.
    type: str
    choices: [version, api_groups]
  secret_values:
    description: Return the values of Secrets, encoded in base64, instead of digests.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the image of each pod
  ansible.builtin.debug:
    msg: "{{ query('podwright.core.objects', kind='pods', namespace='default') | map(attribute='spec.containers') | flatten | map(attribute='image') }}"

- name: Show the version of the API server
  ansible.builtin.debug:
    msg: "{{ lookup('podwright.core.objects', cluster_info='version').kubernetes.gitVersion }}"

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

import json
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import CONNECTION
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import ANYTHING, Request
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import UNEXPECTED, PodwrightError, option_error
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_info import OPERATION
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.documents import as_json, flatten, read_documents
from ansible_collections.podwright.core.plugins.plugin_utils._kubeconfig_files import find_kubeconfig_of
from ansible_collections.podwright.core.plugins.plugin_utils._options import check_names, read_names
from ansible_collections.podwright.core.plugins.plugin_utils._values import plain

SELECTION = ("kind", "resource_name", "label_selectors", "field_selectors", "resource_definition", "src", "all_namespaces", "secret_values")


class LookupModule(LookupBase):
    """Reads objects."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """The objects of these names, or all that the selectors match. Raises: AnsibleError."""
        try:
            check_names(self, kwargs)
            self.set_options(var_options=variables, direct=kwargs)
            find_kubeconfig_of(self, kwargs, variables)
            names = read_names([*terms, *self._option_names()])
            if terms and not names:
                return []  # an empty list of names
            if self.get_option("cluster_info"):
                return [self._read_cluster(names)]
            selected = self._read_selected(names, variables)
        except PodwrightError as error:
            raise AnsibleError(str(error)) from None  # the message is complete; Ansible would append the cause
        given = {name: plain(self.get_option(name)) for name in OPERATION.arguments if self.has_option(name)}
        params = {name: spec.get("default") for name, spec in OPERATION.arguments.items()} | given
        return [item for target in selected for item in self._read(params | target)]

    def _option_names(self) -> list[str]:
        name = self.get_option("resource_name")
        return [] if name is None else [name]

    def _read_selected(self, names: list[str], variables: dict[str, Any] | None) -> list[dict[str, Any]]:
        """The parameters that differ for each read. Raises: PodwrightError."""
        definition, source = self.get_option("resource_definition"), self.get_option("src")
        if definition is None and source is None:
            if not self.get_option("kind"):
                raise option_error("kind", "must be set, for example to Pod.")
            return [{"name": name} for name in names or [None]]
        if definition is not None and source is not None:
            raise option_error("src", "must not be set with resource_definition.")
        if names:
            raise option_error("resource_definition" if source is None else "src", "must not be set with names of objects.")
        return [self._target(manifest) for manifest in self._manifests(plain(definition), source, variables)]

    def _manifests(self, definition: Any, source: str | None, variables: dict[str, Any] | None) -> list[Any]:
        if source is not None:
            path = self.find_file_in_search_path(variables, "files", source)
            if path is None:
                raise option_error("src", f"must be a file, got '{source}', which was not found.")
            content, _is_vaulted = self._loader._get_file_contents(path)
            return flatten(read_documents(content.decode("utf-8", "replace"), "src"))
        documents = definition if isinstance(definition, list) else [definition]
        return flatten(part for item in documents for part in (read_documents(item, "resource_definition") if isinstance(item, str) else [as_json(item)]))

    def _target(self, manifest: Any) -> dict[str, Any]:
        metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
        if not isinstance(metadata, dict) or not isinstance(manifest.get("kind"), str) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
            raise option_error("src" if self.get_option("src") else "resource_definition", "must be manifests with kind and metadata.name.")
        target = {"api_version": manifest.get("apiVersion"), "kind": manifest["kind"], "name": metadata["name"], "namespace": metadata.get("namespace")}
        return {name: str(value) for name, value in target.items() if value}

    def _read_cluster(self, names: list[str]) -> Any:
        """What `cluster_info` asks for. Raises: PodwrightError."""
        given = [name for name in SELECTION if self.get_option(name)] or (["terms"] if names else [])
        if given:
            raise option_error("cluster_info", f"must not be set with {given[0]}.")
        with Client(Configuration({name: plain(self.get_option(name)) for name in CONNECTION if self.has_option(name)})) as client:
            if self.get_option("cluster_info") == "api_groups":
                groups = client.send(Request("GET", "/apis")).get("groups") or []
                return ["", *(str(group["name"]) for group in groups if isinstance(group.get("name"), str))]
            try:
                version = json.loads(client.fetch(Request("GET", "/version", accept=ANYTHING)))
            except ValueError:
                version = None
            if not isinstance(version, dict) or not isinstance(version.get("gitVersion"), str):
                hint = "Check the address of the API server, and the proxies in between."
                raise PodwrightError("The response to /version is not that of an API server.", reason=UNEXPECTED, hint=hint)
            return {"kubernetes": version}

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
