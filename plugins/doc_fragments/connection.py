# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options in `module_utils/_engine/arguments.py: CONNECTION`."""

from __future__ import annotations


class ModuleDocFragment:
    """The connection to the cluster."""

    DOCUMENTATION = r"""
notes:
  - "The connection is configured by, in this order: the options, the variables C(K8S_AUTH_*), E(KUBECONFIG), the service account of the pod that runs
    Ansible, and C(~/.kube/config)."
  - "With a local connection and without C(become) and C(async), the module runs in the process of the controller, with its Python and its libraries, and
    C(ansible_python_interpreter) is ignored."
requirements:
  - python >= 3.10
  - kubernetes >= 29
  - jsonpatch
  - PyYAML
  - websocket-client
options:
  kubeconfig:
    description:
      - Path of a kubeconfig file, its content as YAML or JSON text, or its content as a mapping. Several paths separated by C(:) are merged
        like C(kubectl) merges them.
      - Can be set by the environment variable E(K8S_AUTH_KUBECONFIG).
    type: raw
  context:
    description:
      - Context of the kubeconfig.
      - Can be set by the environment variable E(K8S_AUTH_CONTEXT).
    type: str
  host:
    description:
      - URL of the API server. It replaces the server of the kubeconfig, whose other settings and credentials are used.
      - With O(api_key), O(username) or O(client_cert) these are the only credentials, and no kubeconfig is read unless O(kubeconfig) is set.
      - Credentials of a kubeconfig are sent to a server with C(http://) only if that is on the same machine, and the kubeconfig names it or is set by
        O(kubeconfig).
      - Can be set by the environment variable E(K8S_AUTH_HOST).
    type: str
  api_key:
    description:
      - Bearer token. Whitespace around it is removed.
      - Can be set by the environment variable E(K8S_AUTH_API_KEY).
    type: str
  username:
    description:
      - User name for basic authentication.
      - Can be set by the environment variable E(K8S_AUTH_USERNAME).
    type: str
  password:
    description:
      - Password for basic authentication.
      - Can be set by the environment variable E(K8S_AUTH_PASSWORD).
    type: str
  validate_certs:
    description:
      - Verify the certificate of the API server. Defaults to the setting of the kubeconfig.
      - Can be set by the environment variable E(K8S_AUTH_VERIFY_SSL).
    type: bool
    aliases: [verify_ssl]
  verify_x509_strict:
    description:
      - Reject certificates that do not strictly conform to RFC 5280 (V(VERIFY_X509_STRICT) of OpenSSL), for example of a certificate authority
        without key identifiers. The chain and the host name are verified in any case.
      - Can be set by the environment variable E(K8S_AUTH_VERIFY_X509_STRICT).
    type: bool
    default: false
  ca_cert:
    description:
      - Path of the CA certificate of the API server.
      - Can be set by the environment variable E(K8S_AUTH_SSL_CA_CERT).
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description:
      - Path of the client certificate.
      - Can be set by the environment variable E(K8S_AUTH_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the key of the client certificate.
      - Can be set by the environment variable E(K8S_AUTH_KEY_FILE).
    type: path
    aliases: [key_file]
  proxy:
    description:
      - URL of the HTTP proxy, for example V(http://proxy.example.com:3128). SOCKS is not supported.
      - Can be set by the environment variable E(K8S_AUTH_PROXY).
    type: str
  no_proxy:
    description:
      - Comma-separated host names, IP addresses and CIDRs, each with an optional port, that are reached without the proxy. V(*) disables the
        proxy.
      - Can be set by the environment variable E(K8S_AUTH_NO_PROXY).
    type: str
  proxy_headers:
    description: Headers of requests through the proxy.
    type: dict
    suboptions:
      basic_auth:
        description:
          - User and password for the API server, separated by a colon.
          - Can be set by the environment variable E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH).
        type: str
      proxy_basic_auth:
        description:
          - User and password for the proxy, separated by a colon.
          - Can be set by the environment variable E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH).
        type: str
      user_agent:
        description:
          - User agent.
          - Can be set by the environment variable E(K8S_AUTH_PROXY_HEADERS_USER_AGENT).
        type: str
  impersonate_user:
    description:
      - User to impersonate.
      - Can be set by the environment variable E(K8S_AUTH_IMPERSONATE_USER).
    type: str
  impersonate_groups:
    description:
      - Groups to impersonate.
      - Can be set by the environment variable E(K8S_AUTH_IMPERSONATE_GROUPS).
    type: list
    elements: str
  namespace:
    description: Namespace. Defaults to E(PODWRIGHT_NAMESPACE), then to the namespace of the context, then to V(default).
    type: str
"""
