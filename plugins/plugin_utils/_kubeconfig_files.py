# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The option kubeconfig of actions and lookups, which run on the controller: a path as Ansible finds files, which may be encrypted."""

from __future__ import annotations

import os
from contextlib import suppress

from ansible.errors import AnsibleError
from ansible.parsing.vault import is_encrypted_file

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kubeconfig import is_text


def find_kubeconfig(given, find, loader):
    """The path of a kubeconfig file, the content of an encrypted one, or the value as it is if that file does not exist or it is something else.

    Args:
        find: returns the path of a file by a relative one, searched in `files`; or None, or raises AnsibleError.
    """
    if not isinstance(given, str) or is_text(given) or os.pathsep in given:
        return given
    path = os.path.expanduser(given)
    if not os.path.isabs(path):
        with suppress(AnsibleError):  # it may still be in the working directory of ansible-playbook
            path = find(path) or path
    with suppress(AnsibleError, OSError):
        with open(path, "rb") as file:
            is_encrypted = is_encrypted_file(file)
        if is_encrypted:
            decrypted = loader.get_real_file(path)
            try:
                with open(decrypted, encoding="utf-8") as file:
                    return file.read()
            finally:
                loader.cleanup_tmp_file(decrypted)
        return os.path.abspath(path)
    return given  # the operation reports a file that does not exist or cannot be read


def find_kubeconfig_of(lookup, given, variables):
    """Set the option of a lookup to what `find_kubeconfig` returns; a path from the environment means the working directory of ansible-playbook.

    Args:
        given: the options in the expression.
    """
    if given.get("kubeconfig") is not None:

        def find(path):
            return lookup.find_file_in_search_path(variables, "files", path, ignore_missing=True)

        lookup.set_option("kubeconfig", find_kubeconfig(given["kubeconfig"], find, lookup._loader))
