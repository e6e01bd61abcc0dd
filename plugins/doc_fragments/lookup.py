# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connection options of lookups and of the inventory, which are set by options or by the environment of the controller."""

from __future__ import annotations


class ModuleDocFragment:
    """The cluster and the credentials."""

    DOCUMENTATION = r"""
requirements:
  - kubernetes >= 29
options:
  host:
    description: URL of the API server. It replaces the server of the kubeconfig, unless O(api_key), O(username) or O(client_cert) is set.
    type: str
    env:
      - name: K8S_AUTH_HOST
  api_key:
    description: Bearer token.
    type: str
    env:
      - name: K8S_AUTH_API_KEY
  username:
    description: User name for basic authentication.
    type: str
    env:
      - name: K8S_AUTH_USERNAME
  password:
    description: Password for basic authentication.
    type: str
    env:
      - name: K8S_AUTH_PASSWORD
  validate_certs:
    description: Verify the certificate of the API server.
    type: raw
    aliases: [verify_ssl]
    env:
      - name: K8S_AUTH_VERIFY_SSL
  verify_x509_strict:
    description: Reject certificates that do not strictly conform to RFC 5280, for example of a certificate authority without key identifiers.
    type: raw
    default: false
    env:
      - name: K8S_AUTH_VERIFY_X509_STRICT
  ca_cert:
    description: Path of the CA certificate of the API server.
    type: path
    aliases: [ssl_ca_cert]
    env:
      - name: K8S_AUTH_SSL_CA_CERT
  client_cert:
    description: Path of the client certificate.
    type: path
    aliases: [cert_file]
    env:
      - name: K8S_AUTH_CERT_FILE
  client_key:
    description: Path of the key of the client certificate.
    type: path
    aliases: [key_file]
    env:
      - name: K8S_AUTH_KEY_FILE
  proxy:
    description: URL of the HTTP proxy.
    type: str
    env:
      - name: K8S_AUTH_PROXY
  no_proxy:
    description: Comma-separated host names, IP addresses and CIDRs that are reached without the proxy.
    type: str
    env:
      - name: K8S_AUTH_NO_PROXY
  proxy_headers:
    description:
      - Headers of requests through the proxy, a mapping of V(basic_auth), V(proxy_basic_auth) and V(user_agent).
      - Each can be set by the environment variable E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH), E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH) or
        E(K8S_AUTH_PROXY_HEADERS_USER_AGENT).
    type: dict
  impersonate_user:
    description: User to impersonate.
    type: str
    env:
      - name: K8S_AUTH_IMPERSONATE_USER
  impersonate_groups:
    description: Groups to impersonate.
    type: list
    elements: str
    env:
      - name: K8S_AUTH_IMPERSONATE_GROUPS
  context:
    description: Context of the kubeconfig.
    type: str
    env:
      - name: K8S_AUTH_CONTEXT
  kubeconfig:
    description:
      - Path of a kubeconfig file, its content as YAML or JSON text, or its content as a mapping. Several paths separated by C(:) are merged
        like C(kubectl) merges them.
    type: raw
    env:
      - name: K8S_AUTH_KUBECONFIG
"""
