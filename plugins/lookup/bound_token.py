# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bound token of a service account, by the TokenRequest API (KEP-1205)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: bound_token
short_description: Request a bound token of a service account
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Requests a token of a service account through the TokenRequest API. The token expires, and becomes invalid when the service account is deleted.
  - Unlike a token in a Secret, it is not stored. Each lookup requests a new one.
notes:
  - A lookup runs on the controller. It is configured like the modules, except that the C(environment) of a task does not apply.
  - Requires the permission to C(create) C(serviceaccounts/token) in the namespace.
extends_documentation_fragment:
  - podwright.core.lookup
options:
  _terms:
    description: Names of the service accounts.
    required: true
  namespace:
    description: Namespace of the service accounts. Defaults to the namespace of the context, then to V(default).
    type: str
  seconds:
    description: Lifetime of the tokens in seconds. The cluster enforces a minimum, usually 600.
    type: int
    default: 3600
  audiences:
    description: Audiences of the tokens. Defaults to the API server.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Read pods as a service account
  podwright.core.pod_info:
    namespace: builds
    api_key: "{{ lookup('podwright.core.bound_token', 'dashboard', namespace='builds') }}"
"""

RETURN = r"""
_raw:
  description: Tokens, in the order of the service accounts.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import CONNECTION
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.plugin_utils._kubeconfig_files import find_kubeconfig_of
from ansible_collections.podwright.core.plugins.plugin_utils._options import check_names, read_names


class LookupModule(LookupBase):
    """Requests tokens."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """One token for each named service account. Raises: AnsibleError."""
        try:
            check_names(self, kwargs)
            names = read_names(terms)
            self.set_options(var_options=variables, direct=kwargs)
            find_kubeconfig_of(self, kwargs, variables)
            configuration = Configuration({name: self.get_option(name) for name in CONNECTION if self.has_option(name)})
            with Client(configuration) as client:
                return [self._request(client, name) for name in names]
        except PodwrightError as error:
            raise AnsibleError(str(error)) from None  # the message is complete; Ansible would append the cause

    def _request(self, client: Client, name: str) -> str:
        kind = BUILT_IN["v1", "ServiceAccount"]
        namespace = self.get_option("namespace") or client.configuration.namespace
        spec = {"expirationSeconds": self.get_option("seconds"), "audiences": self.get_option("audiences")}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        request = Request("POST", kind.path(namespace, name, "token"), body=body, kind=kind, namespace=namespace, name=name, subresource="token")
        status = client.send(request).get("status")
        token = status.get("token") if isinstance(status, dict) else None
        if not isinstance(token, str) or not token:
            raise PodwrightError(
                f"The API server created no token of ServiceAccount '{name}' in namespace '{namespace}'.",
                reason="NoToken",
                hint="Check that it serves the TokenRequest API: kubectl create token NAME.",
            )
        return token
