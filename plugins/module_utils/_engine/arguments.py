# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parts of argument specs, each with a doc fragment of its name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

from .cluster.kubeconfig import is_text, secrets_in, shown_paths
from .errors import option_error
from .option_reader import check_value
from .text import DNS_LABEL, LARGEST, url_passwords

if TYPE_CHECKING:
    from collections.abc import Callable

    from .values import Options

ALL_NAMESPACES = "*"
Arguments: TypeAlias = dict[str, dict[str, Any]]
"""An argument spec (https://docs.ansible.com/ansible/latest/dev_guide/developing_program_flow_modules.html#argument-spec)."""


def _from_environment(name: str) -> tuple[Callable[[str], str], list[str]]:
    return (_read_given_variable, [name])


def _read_given_variable(name: str) -> str:
    if name not in os.environ:
        raise _not_found()
    return os.environ[name]


def _start_proxy_headers(*names: str) -> dict[str, str]:
    # Ansible reads the variables of suboptions only if there is a mapping.
    if not any(map(os.environ.get, names)):
        raise _not_found()
    return {}


def _read_variable(name: str) -> str:
    if not os.environ.get(name):
        raise _not_found()
    return os.environ[name]


def _not_found() -> Exception:
    # Imported here: nothing else of the engine but its edge depends on the copy of Ansible in a module's payload.
    from ansible.module_utils.basic import AnsibleFallbackNotFound

    found: Exception = AnsibleFallbackNotFound()
    return found


def from_variable(name: str) -> tuple[Callable[[str], str], list[str]]:
    """The `fallback` of an option whose default is an environment variable; an empty one is not set."""
    return (_read_variable, [name])


_PROXY_HEADERS: Arguments = {
    "basic_auth": {"type": "str", "no_log": True, "fallback": from_variable("K8S_AUTH_PROXY_HEADERS_BASIC_AUTH")},
    "proxy_basic_auth": {"type": "str", "no_log": True, "fallback": from_variable("K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH")},
    "user_agent": {"type": "str", "fallback": from_variable("K8S_AUTH_PROXY_HEADERS_USER_AGENT")},
}
CONNECTION: Arguments = {
    "kubeconfig": {"type": "raw", "fallback": _from_environment("K8S_AUTH_KUBECONFIG")},
    "context": {"type": "str", "fallback": _from_environment("K8S_AUTH_CONTEXT")},
    "host": {"type": "str", "fallback": _from_environment("K8S_AUTH_HOST")},
    "api_key": {"type": "str", "no_log": True, "fallback": _from_environment("K8S_AUTH_API_KEY")},
    "username": {"type": "str", "fallback": _from_environment("K8S_AUTH_USERNAME")},
    "password": {"type": "str", "no_log": True, "fallback": _from_environment("K8S_AUTH_PASSWORD")},
    "validate_certs": {"type": "bool", "aliases": ["verify_ssl"], "fallback": from_variable("K8S_AUTH_VERIFY_SSL")},
    "verify_x509_strict": {"type": "bool", "default": False, "fallback": from_variable("K8S_AUTH_VERIFY_X509_STRICT")},
    "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"], "fallback": _from_environment("K8S_AUTH_SSL_CA_CERT")},
    "client_cert": {"type": "path", "aliases": ["cert_file"], "fallback": _from_environment("K8S_AUTH_CERT_FILE")},
    "client_key": {"type": "path", "no_log": False, "aliases": ["key_file"], "fallback": _from_environment("K8S_AUTH_KEY_FILE")},
    "proxy": {"type": "str", "fallback": _from_environment("K8S_AUTH_PROXY")},
    "no_proxy": {"type": "str", "fallback": _from_environment("K8S_AUTH_NO_PROXY")},
    "proxy_headers": {
        "type": "dict",
        "options": _PROXY_HEADERS,
        "fallback": (_start_proxy_headers, [name for spec in _PROXY_HEADERS.values() for name in spec["fallback"][1]]),
    },
    "impersonate_user": {"type": "str", "fallback": _from_environment("K8S_AUTH_IMPERSONATE_USER")},
    "impersonate_groups": {"type": "list", "elements": "str", "fallback": from_variable("K8S_AUTH_IMPERSONATE_GROUPS")},
    "namespace": {"type": "str"},
}

WAIT: Arguments = {
    "wait": {"type": "bool"},
    "wait_timeout": {"type": "int"},
    "wait_sleep": {"type": "int", "default": 5},
}

REVIEW: Arguments = {
    "expect": {"type": "str"},
    "plan_file": {"type": "path"},
}

CONDITION: Arguments = {
    "wait_condition": {
        "type": "dict",
        "options": {
            "type": {"type": "str", "required": True},
            "status": {"type": "str", "choices": ["True", "False", "Unknown"], "default": "True"},
            "reason": {"type": "str"},
        },
    },
}


def with_defaults(arguments: Arguments, **defaults: object) -> Arguments:
    """A copy of an argument spec with other defaults."""
    return {name: spec | ({"default": defaults[name]} if name in defaults else {}) for name, spec in arguments.items()}


def item_arguments(arguments: Arguments) -> Arguments:
    """The argument spec of a list's items whose defaults are options beside the list: without other defaults, so that `given_options` can be used."""
    return {name: {key: value for key, value in spec.items() if key != "fallback"} | {"default": None} for name, spec in arguments.items()}


def given_options(item: Options) -> Options:
    """The options that an item of `item_arguments` sets."""
    return {name: value for name, value in item.items() if value is not None}


_LONGEST, _MANY = 10 * 365 * 86_400, 10**6  # seconds; things
# The values of numeric options, by name: more than 0, or from a minimum to a maximum.
_POSITIVE = ("timeout", "idle_timeout", "rate", "schedule_timeout", "pull_timeout", "start_timeout", "command_timeout")
_RANGES = {
    **dict.fromkeys(("wait_timeout", "ttl", "grace_period", "stop_grace", "retry_delay", "retry_delay_max"), (0, _LONGEST)),
    **dict.fromkeys(("termination_grace_period", "failure_grace", "drain_seconds", "min_ready_seconds"), (0, _LONGEST)),
    **dict.fromkeys(("max_age", "reclaim_age", "heartbeat", "reconnect_timeout"), (0, _LONGEST)),
    **dict.fromkeys(("wait_sleep", "progress_deadline", "since_seconds"), (1, _LONGEST)),
    **dict.fromkeys(("retries", "log_tail", "max_depth", "max_children", "keep_last", "limit", "tail_lines"), (0, _MANY)),
    **dict.fromkeys(("completions", "parallelism"), (1, _MANY)),
    **dict.fromkeys(("backoff_limit_per_index", "max_failed_indexes"), (0, _MANY)),
    **dict.fromkeys(("max_bytes", "max_output_bytes"), (1, LARGEST)),
    **dict.fromkeys(("fs_group", "run_as_group"), (0, 2**31 - 1)),
    **dict.fromkeys(("replicas", "current_replicas", "min_replicas"), (0, 2**31 - 1)),
    **dict.fromkeys(("max_replicas", "target_cpu", "target_memory"), (1, 2**31 - 1)),
    "concurrency": (1, _MANY),
    "revision": (1, LARGEST),
}


def check_name(option: str, name: str, longest: int = 63) -> None:
    """Check a name that is the value of a label, too (RFC 1123, 63 characters). Raises: PodwrightError."""
    if len(name) > longest or not DNS_LABEL.fullmatch(name):
        rule = f"must consist of at most {longest} lower-case letters, digits and '-', and start and end with a letter or digit"
        raise option_error(option, f"{rule}, got {name!r}.")


def check_namespace(option: str, name: str) -> None:
    """Check that a text can be the name of a namespace; an empty one would be all namespaces. Raises: PodwrightError."""
    if not DNS_LABEL.fullmatch(name):
        raise option_error(option, f"must be the name of a namespace, got '{name}'.", "Such a name consists of lower-case letters, digits and '-'.")


def check_ranges(arguments: Arguments, params: Options, path: str = "") -> None:
    """Check the numbers in validated options. Raises: PodwrightError that names the option."""
    for name, spec in arguments.items():
        value = params.get(name)
        if value is None or value.__class__ is str:
            continue
        suboptions = spec.get("options")
        if suboptions and value:
            items = [(f"{path}{name}[{index}].", item) for index, item in enumerate(value)] if isinstance(value, list) else [(f"{path}{name}.", value)]
            for prefix, item in items:
                check_ranges(suboptions, item, prefix)
        elif isinstance(value, int) and abs(value) > LARGEST:  # it was text
            check_value(value, f"{path}{name}", False)
        elif isinstance(value, (int, float)) and (name in _RANGES or name in _POSITIVE):
            low, high = _RANGES.get(name, (0, _LONGEST))
            shown = value if isinstance(value, int) else f"{value:g}"
            if value < low or (name in _POSITIVE and value == 0):
                raise option_error(f"{path}{name}", f"must be {'greater than 0' if name in _POSITIVE else f'{low} or greater'}, got {shown}.")
            if not value <= high:
                raise option_error(f"{path}{name}", f"must be {high} or less, got {shown}.")


def read_selector(params: Options, option: str = "label_selectors") -> str:
    """The selector that an option lists the parts of; empty if there are none. Raises: PodwrightError for an empty part, which selects every object."""
    for index, part in enumerate(params[option] or ()):
        if not part.strip():
            raise option_error(f"{option}[{index}]", "must not be empty, which would select every object.")
    return ",".join(params[option] or ())


def read_namespaces(params: Options) -> list[str | None]:
    """The namespaces of the option `namespaces`, each once; [None] for all, [] if it is not set. Raises: PodwrightError for what names no namespace."""
    names = params["namespaces"]
    if names == []:
        raise option_error("namespaces", "must not be empty.", f"Name the namespaces, omit the option, or use ['{ALL_NAMESPACES}'] for all namespaces.")
    if ALL_NAMESPACES in (names or ()) and set(names) != {ALL_NAMESPACES}:
        raise option_error("namespaces", f"must be ['{ALL_NAMESPACES}'] or names of namespaces, got both.")
    for index, name in enumerate(names or ()):
        if name != ALL_NAMESPACES:
            check_namespace(f"namespaces[{index}]", name)
    return [None if name == ALL_NAMESPACES else name for name in dict.fromkeys(names or ())]


def connection_secrets(params: Options) -> set[str]:
    """The secrets in connection options that the argument spec cannot mark as such, for the edges to mask."""
    found: set[str] = set()
    kubeconfig = params.get("kubeconfig")
    if is_text(kubeconfig) or isinstance(kubeconfig, dict):
        found = secrets_in(kubeconfig) | ({kubeconfig} if isinstance(kubeconfig, str) else set())
    elif isinstance(kubeconfig, str) and shown_paths(kubeconfig) != kubeconfig:
        found.add(kubeconfig)
    if is_text(params.get("client_key")):
        found.add(params["client_key"])
    if isinstance(params.get("password"), str):
        found.add(f"{params.get('username')}:{params['password']}")  # as basic authentication encodes them
    return found | url_passwords(url for url in (params.get("host"), params.get("proxy")) if isinstance(url, str))


def redact_connection(params: Options) -> Options:
    """The parameters as an invocation may show them: with the path of a kubeconfig, but without what may be its content."""
    kubeconfig = params.get("kubeconfig")
    if not kubeconfig or (isinstance(kubeconfig, str) and shown_paths(kubeconfig) == kubeconfig):
        return params
    return params | {"kubeconfig": "(content, not shown)"}
