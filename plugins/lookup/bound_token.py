# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bound token of a service account, by the TokenRequest API (KEP-1205)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: bound_token
short_description: Request a bound token of a service account
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - Requests a token of a service account through the TokenRequest API. The token expires, and becomes invalid when the service account is deleted.
  - Unlike a token in a Secret, it is not stored. Each lookup requests a new one.
notes:
  - A lookup runs on the controller. It is configured like the modules, except that the C(environment) of a task does not apply.
  - Requires the permission to C(create) C(serviceaccounts/token) in the namespace.
requirements:
  - kubernetes >= 29
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
  kubeconfig:
    description: Path of a kubeconfig file.
    type: path
    env:
      - name: K8S_AUTH_KUBECONFIG
  context:
    description: Context of the kubeconfig.
    type: str
    env:
      - name: K8S_AUTH_CONTEXT
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

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.podwright.core.plugins.module_utils.cluster.client import Client, Request
from ansible_collections.podwright.core.plugins.module_utils.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils.cluster.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils.cluster.kinds import BUILT_IN


class LookupModule(LookupBase):
    """Requests tokens."""

    def run(self, terms, variables=None, **kwargs):
        """One token for each named service account."""
        self.set_options(var_options=variables, direct=kwargs)
        try:
            configuration = Configuration({name: self.get_option(name) for name in ("kubeconfig", "context")})
            with Client(configuration) as client:
                return [self._request(client, str(name)) for name in terms]
        except PodwrightError as error:
            raise AnsibleError(str(error)) from error

    def _request(self, client, name):
        kind = BUILT_IN["v1", "ServiceAccount"]
        namespace = self.get_option("namespace") or client.configuration.namespace
        spec = {"expirationSeconds": self.get_option("seconds"), "audiences": self.get_option("audiences")}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        request = Request("POST", kind.path(namespace, name, "token"), body=body, kind=kind, namespace=namespace, name=f"{name}/token")
        return client.send(request)["status"]["token"]
