# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The content of an htpasswd file with bcrypt."""

from __future__ import annotations

DOCUMENTATION = r"""
name: htpasswd
short_description: Content of an htpasswd file with bcrypt
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Returns a line with the name and the bcrypt hash of the password for each user, as C(htpasswd -B) does.
  - The line of a user whose password has not changed remains as it is stored.
  - Uses the Python package C(bcrypt), C(libcrypt) of Linux, or C(passlib), whichever the controller has.
options:
  _input:
    description: Users, each with C(name) and C(password).
    type: list
    elements: dict
    required: true
  stored:
    description: Content of the file as it is.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Hash the password of a user
  ansible.builtin.set_fact:
    content: "{{ [{'name': 'builder', 'password': password}] | podwright.core.htpasswd }}"
  vars:
    password: an example
  no_log: true
"""

RETURN = r"""
_value:
  description: The lines.
  type: str
"""

import ctypes
import secrets
import string

from ansible.errors import AnsibleFilterError

from ansible_collections.podwright.core.plugins.plugin_utils._values import plain

LONGEST = 72  # bytes of a password that bcrypt uses
_ALPHABET = "./" + string.ascii_letters + string.digits
_COST = "$2b$10$"


def htpasswd(users, stored=""):
    """The lines. Raises: AnsibleFilterError."""
    known = dict(line.split(":", 1) for line in plain(stored).splitlines() if ":" in line)
    lines = {}
    for index, user in enumerate(plain(users)):
        name, password = _read_user(user, f"htpasswd: [{index}]")
        if name in lines:
            raise AnsibleFilterError(f"htpasswd: [{index}].name: must be unique, got '{name}' twice.")
        lines[name] = known[name] if name in known and _hash(password, known[name]) == known[name] else _hash(password, _new_salt())
    return "".join(f"{name}:{value}\n" for name, value in lines.items())


def _read_user(user, path):
    """The name and password as text."""
    if not isinstance(user, dict) or user.get("name") in (None, "") or user.get("password") in (None, ""):
        raise AnsibleFilterError(f"{path}: must have a name and a password.")
    name, password = str(user["name"]), str(user["password"])
    if not name.isprintable() or ":" in name:
        raise AnsibleFilterError(f"{path}.name: must not contain a colon or control characters.")
    if len(password.encode()) > LONGEST or "\0" in password:
        raise AnsibleFilterError(f"{path}.password: must have at most {LONGEST} bytes and no null byte, which is all that bcrypt supports.")
    return name, password


def _new_salt():
    """A setting of bcrypt: 128 random bits, of which the last character has two."""
    return _COST + "".join(secrets.choice(_ALPHABET) for _position in range(21)) + secrets.choice(".Oeu")


def _hash(password, setting):
    """The hash of a password with the cost and salt of a setting, or of another hash; an empty string if the setting is not of bcrypt."""
    for method in (_by_package, _by_library, _by_passlib):
        value = method(password.encode(), setting[:29].encode())
        if value is not None:
            return value
    raise AnsibleFilterError("htpasswd: the controller cannot compute bcrypt hashes. Install the Python package bcrypt.")


def _by_package(password, setting):
    try:
        import bcrypt
    except ImportError:
        return None
    try:
        return bcrypt.hashpw(password, setting).decode()
    except ValueError:
        return ""


def _by_library(password, setting):
    for name in ("libcrypt.so.2", "libcrypt.so.1"):
        try:
            crypt = ctypes.CDLL(name).crypt
        except (OSError, AttributeError):
            continue
        crypt.restype, crypt.argtypes = ctypes.c_char_p, (ctypes.c_char_p, ctypes.c_char_p)
        value = (crypt(password, setting) or b"").decode()
        if value.startswith(_COST[:2]):
            return value
        if crypt(b"", _COST.encode() + b"." * 22):  # it supports bcrypt, but this is not a setting of it
            return ""
    return None


def _by_passlib(password, setting):
    try:
        from passlib.hash import bcrypt
    except ImportError:
        return None
    try:
        return bcrypt.using(salt=setting[7:29].decode(), rounds=int(setting[4:6]), ident="2b").hash(password)
    except (ValueError, TypeError):
        return ""


class FilterModule:
    """The filter."""

    def filters(self):
        """The functions by name."""
        return {"htpasswd": htpasswd}
