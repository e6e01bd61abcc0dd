# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of plugins, of which Ansible ignores those that it does not know."""

from __future__ import annotations

from difflib import get_close_matches

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import option_error
from ansible_collections.podwright.core.plugins.plugin_utils._values import plain


def check_names(plugin, given):
    """The names of the plugin's options, by themselves and their aliases. Raises: PodwrightError if an option is given that does not exist."""
    definitions = plugin.option_definitions if given else {}
    known = {alias: name for name, definition in definitions.items() for alias in (name, *(definition.get("aliases") or ()))}
    for name in given:
        if name not in known:
            names = sorted(set(known.values()) - {"_terms"})
            similar = get_close_matches(str(name), names, 1, 0.7)
            raise option_error(str(name), f"unknown option; did you mean {similar[0]}?" if similar else f"unknown option; options: {', '.join(names)}.")
    return known


def read_names(terms):
    """The names that the terms of a lookup are, or lists of them. Raises: PodwrightError for a name that is empty, or no text."""
    names = []
    for term in terms:
        if isinstance(term, (list, tuple)):
            names += read_names(term)
        elif not isinstance(term, str) or not term.strip():
            raise option_error("terms", f"must be names of objects, got {plain(term)!r}.")
        else:
            names.append(plain(term))
    return names
