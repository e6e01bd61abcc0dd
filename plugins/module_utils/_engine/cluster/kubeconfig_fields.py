# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fields of a kubeconfig (v1) that are read, and the types that their values must have."""

from __future__ import annotations

import datetime
from typing import Any

_SCALARS = (str, bool, int, float, datetime.date)
_WORDS: dict[Any, str] = {str: "text", bool: "true or false", dict: "a mapping", list: "a list"}

# A type (str: any scalar, as YAML reads text without quotes as a number), a list with the shape of each item, or shapes by field,
# `*` for any field, with `!` for one that is required.
_EXEC = {
    **dict.fromkeys(("command", "apiVersion", "installHint"), str),
    "args": [str],
    "env": [{"name!": str, "value": str}],
    "provideClusterInfo": bool,
}
FIELDS: dict[str, dict[str, Any]] = {
    "clusters": {
        **dict.fromkeys(("server", "tls-server-name", "certificate-authority", "certificate-authority-data", "proxy-url"), str),
        "insecure-skip-tls-verify": bool,
        "extensions": [{"name": str}],
    },
    "users": {
        **dict.fromkeys(("client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile", "username", "password"), str),
        **dict.fromkeys(("as", "as-uid"), str),
        "as-groups": [str],
        "as-user-extra": {"*": [str]},
        "exec": _EXEC,
        "auth-provider": {"name": str, "config": {"*": str}},
    },
    "contexts": dict.fromkeys(("cluster", "user", "namespace"), str),
}


def find_fault(value: Any, shape: Any, path: str) -> str | None:
    """Which value has another type than in `shape`, and what it must be, such as `users[0].user.exec must be a mapping`; None if none has. Null is none."""
    if value is None:
        return None
    kind: Any = shape if isinstance(shape, type) else type(shape)
    types: Any = _SCALARS if kind is str else kind
    if not isinstance(value, types):
        return f"{path} must be {_WORDS[kind]}"
    if isinstance(shape, list):
        # A missing item has no meaning, unlike a missing field.
        faults = (f"{path}[{n}] must not be null" if item is None else find_fault(item, shape[0], f"{path}[{n}]") for n, item in enumerate(value))
        return next(filter(None, faults), None)
    if isinstance(shape, dict):
        fields = dict.fromkeys(value, shape["*"]) if "*" in shape else shape
        return next(filter(None, (_fault_in(value, name, part, path) for name, part in fields.items())), None)
    return None


def _fault_in(mapping: dict[Any, Any], name: Any, shape: Any, path: str) -> str | None:
    is_required = str(name).endswith("!")
    value, path = mapping.get(name[:-1] if is_required else name), f"{path}.{str(name).removesuffix('!')}"
    return f"{path} must be {_WORDS[shape]}" if is_required and value is None else find_fault(value, shape, path)
