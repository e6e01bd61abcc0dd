# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables that a playbook of the collection would ignore."""

from __future__ import annotations

DOCUMENTATION = r"""
name: playbook_faults
short_description: Misspelled variables of the playbooks of the collection
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Compares the names of the extra variables that begin with C(podwright_), or with nearly that, with those that a playbook and the plugins of the collection
    read, and returns one sentence for each that is unknown but nearly the name of one of them.
  - Ansible ignores a misspelled variable. C(-e podwright_expct=DIGEST) would run a plan that nobody has approved.
  - A variable of another playbook counts, too, such as C(podwright_namespace) for a playbook that reads C(podwright_namespaces), unless both are set. The
    playbook would use its default instead.
options:
  _terms:
    description: The name of the playbook.
    required: true
"""

EXAMPLES = r"""
# The first task of a playbook
- name: Check the names of the variables
  ansible.builtin.assert:
    that: query('podwright.core.playbook_faults', 'gc') | length == 0
    fail_msg: "{{ query('podwright.core.playbook_faults', 'gc') | join(' ') }}"
    quiet: true
"""

RETURN = r"""
_raw:
  description: The faults, without any value.
  type: list
  elements: str
"""

import re
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path

from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars

PREFIX = "podwright_"
SIMILARITY = 0.85  # of the prefix and of the rest of the name: one or two letters differ. Variables of a user's own may have the prefix, too.
ROOT = Path(__file__).parents[2]
PLUGINS = ("plugins/connection/*.py", "plugins/inventory/*.py")  # which have variables of hosts


class LookupModule(LookupBase):
    """Compares the names of variables with those that the collection reads."""

    def run(self, terms, variables=None, **_kwargs):
        """One sentence for each fault."""
        return list(find_misspelled(load_extra_vars(self._loader), read_names(terms[0]), read_names()).values())


def read_names(playbook="*"):
    """The names that a playbook (by default any) and the plugins read."""
    texts = (path.read_text(encoding="utf-8") for pattern in (f"playbooks/**/{playbook}.yml", *PLUGINS) for path in ROOT.glob(pattern))
    return {name for text in texts for name in re.findall(rf"\b{PREFIX}\w+", text)}


def find_misspelled(extra, own, known=()):
    """What is wrong with the names of variables, by name.

    Args:
        extra: the extra variables; those of an inventory have no effect on the playbooks, whose own variables precede them.
        own: the names that the playbook reads.
        known: the names that any playbook reads.
    """
    given = {name for name in extra if isinstance(name, str) and _part_to_compare(name) is not None}
    expected = {_part_to_compare(name): name for name in own - given}
    found = {name: get_close_matches(_part_to_compare(name), expected, 1, SIMILARITY) for name in sorted(given - own)}
    hints = {name: " Set both if these variables are for several playbooks." if name in known else "" for name in found}
    return {name: f"{name}: is not read by this playbook; did you mean {expected[similar[0]]}?{hints[name]}" for name, similar in found.items() if similar}


def _part_to_compare(name):
    """What follows the prefix, whatever the case and the word separators; None if nothing like the prefix is there."""
    head, _separator, rest = name.lower().replace("-", "_").partition("_")
    return rest if SequenceMatcher(None, f"{head}_", PREFIX).ratio() >= SIMILARITY else None
