# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A certificate of a server inside a cluster, which is renewed before it expires."""

from __future__ import annotations

DOCUMENTATION = r"""
name: server_certificate
short_description: Issue or renew the TLS certificate of a server in a cluster
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Returns a certificate for the names of a server, its private key and the certificate of its authority, which is created if none is given.
  - Returns the stored data as they are as long as their certificate has these names, is of this authority and does not expire soon.
  - Runs on the controller with the C(cryptography) that ansible-core requires.
options:
  _input:
    description: Data that the filter returned before, with C(tls.crt), C(tls.key), C(ca.crt) and C(ca.key) in PEM. An empty mapping creates everything.
    type: dict
    required: true
  names:
    description: DNS names and IP addresses of the server.
    type: list
    elements: str
    required: true
  days:
    description:
      - Validity of the certificate in days, at most 36500, and not beyond that of its authority.
      - That of an authority that the filter creates is 3650 days.
    type: int
    default: 365
  renew_days:
    description: Days before the expiry from which the certificate is renewed.
    type: int
    default: 30
  ca_certificate:
    description: Certificate of the authority in PEM. Defaults to that of the stored data or to a new one.
    type: str
    default: ""
  ca_key:
    description: Private key of O(ca_certificate) in PEM, without a passphrase. It is not returned.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Create a certificate
  ansible.builtin.set_fact:
    certificate: "{{ {} | podwright.core.server_certificate(names=['web.default', '10.96.7.8']) }}"
  no_log: true
"""

RETURN = r"""
_value:
  description: Data with C(tls.crt), C(tls.key), C(ca.crt), and C(ca.key) if the authority is the filter's own.
  type: dict
"""

from ansible.errors import AnsibleFilterError

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.text import parse_integer
from ansible_collections.podwright.core.plugins.plugin_utils._certificates import Pair, create_authority, is_issued, is_name, is_valid, issue_certificate
from ansible_collections.podwright.core.plugins.plugin_utils._values import plain

LONGEST = 36500  # days


def server_certificate(stored, names, days=365, renew_days=30, ca_certificate="", ca_key=""):
    """The data with a valid certificate. Raises: AnsibleFilterError."""
    stored, names = plain(stored or {}), plain(names)
    if not isinstance(stored, dict) or not isinstance(names, list) or not names:
        raise AnsibleFilterError("server_certificate: must have a mapping as its input and a list of DNS names and IP addresses.")
    for name in names:
        if not isinstance(name, str) or not is_name(name):
            raise AnsibleFilterError(f"server_certificate: must have a list of DNS names and IP addresses, got {name!r} in it.")
    # A template may give both as text.
    validity, renewal = parse_integer(plain(days), LONGEST, 1), parse_integer(plain(renew_days))
    if validity is None:
        raise AnsibleFilterError(f"server_certificate: days must be an integer from 1 to {LONGEST}, got {days!r}.")
    if renewal is None or renewal >= validity:
        raise AnsibleFilterError(f"server_certificate: renew_days must be an integer, 0 or greater and less than days, got {renew_days!r} and {days!r}.")
    if bool(ca_certificate) != bool(ca_key):
        raise AnsibleFilterError("server_certificate: ca_certificate and ca_key must be set together.")
    stored = {part: text for part, text in stored.items() if isinstance(text, str)}
    authority = _authority(stored, names[0], renewal, Pair(str(plain(ca_certificate)), str(plain(ca_key))) if ca_key else None)
    data = {"ca.crt": authority.certificate} | ({} if ca_key else {"ca.key": authority.key})
    try:
        server = Pair(stored.get("tls.crt", ""), stored.get("tls.key", ""))
        is_current = stored.get("ca.crt") == authority.certificate and is_issued(server, authority)
        if not (is_current and is_valid(server.certificate, names, renewal, authority)):
            server = issue_certificate(authority, names, validity)
    except ValueError as error:
        raise AnsibleFilterError(f"server_certificate: {error}") from None
    return data | {"tls.crt": server.certificate, "tls.key": server.key}


def _authority(stored, name, renew_days, given):
    """The Pair that is given, that is stored and still valid, or a new one."""
    if given:
        return given
    if stored.get("ca.key") and is_valid(stored.get("ca.crt", ""), [], renew_days):
        return Pair(stored["ca.crt"], stored["ca.key"])
    return create_authority(f"{name} CA")


class FilterModule:
    """The filter."""

    def filters(self):
        """The functions by name."""
        return {"server_certificate": server_certificate}
