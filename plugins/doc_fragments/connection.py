# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options in `module_utils/arguments.py: CONNECTION`."""

from __future__ import annotations


class ModuleDocFragment:
    """How to reach the cluster."""

    DOCUMENTATION = r"""
notes:
  - "The connection is looked for in this order: options, E(K8S_AUTH_KUBECONFIG) and its like, E(KUBECONFIG), the service account of the pod
    that runs the task, and C(~/.kube/config)."
  - "Where the task's connection is local, without C(become) and C(async), the operation runs in the controller's own process: the
    C(ansible_python_interpreter) variable is not used then, and the libraries are those of the controller."
requirements:
  - python >= 3.11
  - kubernetes >= 29
  - jsonpatch
  - PyYAML
  - websocket-client
options:
  kubeconfig:
    description:
      - Path of a kubeconfig file (several, separated by C(:), are merged), or its content as a mapping.
      - The variable E(K8S_AUTH_KUBECONFIG) stands for it.
    type: raw
  context:
    description:
      - Context of the kubeconfig to use.
      - The variable E(K8S_AUTH_CONTEXT) stands for it.
    type: str
  host:
    description:
      - Address of the API server.
      - The variable E(K8S_AUTH_HOST) stands for it.
    type: str
  api_key:
    description:
      - Bearer token.
      - The variable E(K8S_AUTH_API_KEY) stands for it.
    type: str
  username:
    description:
      - User name for basic authentication.
      - The variable E(K8S_AUTH_USERNAME) stands for it.
    type: str
  password:
    description:
      - Password for basic authentication.
      - The variable E(K8S_AUTH_PASSWORD) stands for it.
    type: str
  validate_certs:
    description:
      - Whether the API server's certificate must be valid. The kubeconfig decides where this is not given.
      - The variable E(K8S_AUTH_VERIFY_SSL) stands for it.
    type: bool
    aliases: [verify_ssl]
  ca_cert:
    description:
      - Path of the certificate authority's certificate.
      - The variable E(K8S_AUTH_SSL_CA_CERT) stands for it.
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description:
      - Path of the client certificate.
      - The variable E(K8S_AUTH_CERT_FILE) stands for it.
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the client certificate's key.
      - The variable E(K8S_AUTH_KEY_FILE) stands for it.
    type: path
    aliases: [key_file]
  proxy:
    description:
      - Address of an HTTP proxy.
      - The variable E(K8S_AUTH_PROXY) stands for it.
    type: str
  no_proxy:
    description:
      - Host names, separated by commas, that are reached without the proxy.
      - The variable E(K8S_AUTH_NO_PROXY) stands for it.
    type: str
  proxy_headers:
    description: Headers for the proxy.
    type: dict
    suboptions:
      basic_auth:
        description:
          - User and password, separated by a colon, for the server.
          - The variable E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH) stands for it.
        type: str
      proxy_basic_auth:
        description:
          - User and password, separated by a colon, for the proxy.
          - The variable E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH) stands for it.
        type: str
      user_agent:
        description:
          - The user agent to name.
          - The variable E(K8S_AUTH_PROXY_HEADERS_USER_AGENT) stands for it.
        type: str
  impersonate_user:
    description:
      - User to act as.
      - The variable E(K8S_AUTH_IMPERSONATE_USER) stands for it.
    type: str
  impersonate_groups:
    description:
      - Groups to act as.
      - The variable E(K8S_AUTH_IMPERSONATE_GROUPS) stands for it.
    type: list
    elements: str
  namespace:
    description: The namespace. Where it is not given, the context's, else V(default).
    type: str
"""
