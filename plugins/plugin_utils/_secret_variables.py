# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Environment variables that are known to be secret: those from a vault, and all of a task with no_log."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.podwright.core.plugins.module_utils._engine.text import scalar_text

try:
    from ansible.parsing.vault import VaultHelper  # ansible-core 2.19 and later

    def is_vaulted(value):
        """Whether a value was decrypted from a vault."""
        return VaultHelper.get_ciphertext(value, with_tags=False) is not None

except ImportError:
    from ansible.parsing.yaml.objects import AnsibleVaultEncryptedUnicode

    def is_vaulted(value):
        """Whether a value was decrypted from a vault."""
        return isinstance(value, AnsibleVaultEncryptedUnicode)


_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def keep_secrets(args, is_secret):
    """The arguments of a module with variables of `env` moved to `secret_env`, of the task, of its containers and of the items of `tasks`.

    Args:
        is_secret: whether all literals are secret, as with no_log; otherwise those from a vault are.
    """
    if not isinstance(args, Mapping):
        return args
    kept = dict(args)
    for name in ("tasks", "containers", "init_containers"):
        if isinstance(kept.get(name), (list, tuple)):
            kept[name] = [keep_secrets(item, is_secret) for item in kept[name]]
    if not isinstance(kept.get("env"), Mapping) or not isinstance(kept.get("secret_env") or {}, Mapping):
        return kept
    values, literals = {}, {}
    for name, value in kept["env"].items():
        is_literal = is_vaulted(value) or not isinstance(value, (Mapping, list, tuple))
        text = _expand(scalar_text(value), literals) if is_literal else None
        if text is not None:
            literals[str(name)] = text
            if (is_secret or is_vaulted(value)) and name not in (kept.get("secret_env") or {}):
                values[name] = text
    if values:
        kept["env"] = {name: value for name, value in kept["env"].items() if name not in values}
        kept["secret_env"] = values | dict(kept.get("secret_env") or {})
    return kept


def _expand(text, literals):
    """The text as the kubelet expands a literal; None if it refers to a variable whose value is not known here.

    Args:
        literals: the values of the variables before it.
    """
    if any(match[1] is not None and match[1] not in literals for match in _REFERENCE.finditer(text)):
        return None
    return _REFERENCE.sub(lambda match: "$" if match[1] is None else literals[match[1]], text)
