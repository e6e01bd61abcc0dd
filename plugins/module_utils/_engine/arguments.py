# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parts of argument specs, each with a doc fragment of its name."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from ansible.module_utils.basic import env_fallback

from .cluster.kubeconfig import is_text, secrets_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from .values import Options

Arguments: TypeAlias = dict[str, dict[str, Any]]
"""An argument spec (https://docs.ansible.com/ansible/latest/dev_guide/developing_program_flow_modules.html#argument-spec)."""


def _from_environment(name: str) -> tuple[Callable[..., Any], list[str]]:
    return (env_fallback, [name])


CONNECTION: Arguments = {
    "kubeconfig": {"type": "raw", "fallback": _from_environment("K8S_AUTH_KUBECONFIG")},
    "context": {"type": "str", "fallback": _from_environment("K8S_AUTH_CONTEXT")},
    "host": {"type": "str", "fallback": _from_environment("K8S_AUTH_HOST")},
    "api_key": {"type": "str", "no_log": True, "fallback": _from_environment("K8S_AUTH_API_KEY")},
    "username": {"type": "str", "fallback": _from_environment("K8S_AUTH_USERNAME")},
    "password": {"type": "str", "no_log": True, "fallback": _from_environment("K8S_AUTH_PASSWORD")},
    "validate_certs": {"type": "bool", "aliases": ["verify_ssl"], "fallback": _from_environment("K8S_AUTH_VERIFY_SSL")},
    "verify_x509_strict": {"type": "bool", "default": False, "fallback": _from_environment("K8S_AUTH_VERIFY_X509_STRICT")},
    "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"], "fallback": _from_environment("K8S_AUTH_SSL_CA_CERT")},
    "client_cert": {"type": "path", "aliases": ["cert_file"], "fallback": _from_environment("K8S_AUTH_CERT_FILE")},
    "client_key": {"type": "path", "no_log": False, "aliases": ["key_file"], "fallback": _from_environment("K8S_AUTH_KEY_FILE")},
    "proxy": {"type": "str", "fallback": _from_environment("K8S_AUTH_PROXY")},
    "no_proxy": {"type": "str", "fallback": _from_environment("K8S_AUTH_NO_PROXY")},
    "proxy_headers": {
        "type": "dict",
        "options": {
            "basic_auth": {"type": "str", "no_log": True, "fallback": _from_environment("K8S_AUTH_PROXY_HEADERS_BASIC_AUTH")},
            "proxy_basic_auth": {"type": "str", "no_log": True, "fallback": _from_environment("K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH")},
            "user_agent": {"type": "str", "fallback": _from_environment("K8S_AUTH_PROXY_HEADERS_USER_AGENT")},
        },
    },
    "impersonate_user": {"type": "str", "fallback": _from_environment("K8S_AUTH_IMPERSONATE_USER")},
    "impersonate_groups": {"type": "list", "elements": "str", "fallback": _from_environment("K8S_AUTH_IMPERSONATE_GROUPS")},
    "namespace": {"type": "str"},
}

WAIT: Arguments = {
    "wait": {"type": "bool"},
    "wait_timeout": {"type": "int"},
    "wait_sleep": {"type": "int", "default": 5},
}


def with_defaults(arguments: Arguments, **defaults: object) -> Arguments:
    """A copy of an argument spec with other defaults."""
    return {name: spec | ({"default": defaults[name]} if name in defaults else {}) for name, spec in arguments.items()}


def item_arguments(arguments: Arguments) -> Arguments:
    """The argument spec of a list's items whose defaults are options beside the list: without defaults, so that `given_options` can be used."""
    return {name: spec | {"default": None} for name, spec in arguments.items()}


def given_options(item: Options) -> Options:
    """The options that an item of `item_arguments` sets."""
    return {name: value for name, value in item.items() if value is not None}


def connection_secrets(params: Options) -> set[str]:
    """The secrets in connection options that the argument spec cannot mark as such, for the edges to mask."""
    found: set[str] = set()
    kubeconfig = params.get("kubeconfig")
    if is_text(kubeconfig) or isinstance(kubeconfig, dict):
        found = secrets_in(kubeconfig) | ({kubeconfig} if isinstance(kubeconfig, str) else set())
    if is_text(params.get("client_key")):
        found.add(params["client_key"])
    return found | url_passwords((params.get("host"), params.get("proxy")))


def redact_connection(params: Options) -> Options:
    """The parameters as an invocation may show them: with the path of a kubeconfig, but without its content."""
    kubeconfig = params.get("kubeconfig")
    if not kubeconfig or (isinstance(kubeconfig, str) and not is_text(kubeconfig)):
        return params
    return params | {"kubeconfig": "(content, not shown)"}


def url_passwords(urls: Iterable[str | None]) -> set[str]:
    """The passwords in URLs, as written and decoded."""
    found = {password for password in map(url_password, urls) if password}
    return found | {urllib.parse.unquote(password) for password in found}


def url_password(url: str | None) -> str | None:
    """The password in a URL, as written, or None."""
    try:
        return urllib.parse.urlsplit(url or "").password
    except ValueError:  # an invalid URL is rejected later
        return None
