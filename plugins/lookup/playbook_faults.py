# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables that a playbook of the collection would ignore."""

from __future__ import annotations

DOCUMENTATION = r"""
name: playbook_faults
short_description: Misspelled variables of the playbooks of the collection
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Compares the names of the variables of a play that begin with C(podwright_) with those that the playbooks and plugins of the collection read, and returns
    one sentence for each that is unknown but nearly the name of one of them.
  - Ansible ignores a misspelled variable. C(-e podwright_expct=DIGEST) would run a plan that nobody has approved.
"""

EXAMPLES = r"""
# The first task of a playbook
- name: Check the names of the variables
  ansible.builtin.assert:
    that: query('podwright.core.playbook_faults') | length == 0
    fail_msg: "{{ query('podwright.core.playbook_faults') | join(' ') }}"
    quiet: true
"""

RETURN = r"""
_raw:
  description: The faults, without any value.
  type: list
  elements: str
"""

import re
from difflib import get_close_matches
from pathlib import Path

from ansible.plugins.lookup import LookupBase

PREFIX = "podwright_"
SIMILARITY = 0.85  # of the rest of the name: one or two letters differ. Variables of a user's own may have the prefix, too.
ROOT = Path(__file__).parents[2]
READERS = ("playbooks/**/*.yml", "playbooks/**/*.j2", "plugins/connection/*.py", "plugins/inventory/*.py")


class LookupModule(LookupBase):
    """Compares the names of variables with those that the collection reads."""

    def run(self, terms, variables=None, **_kwargs):
        """One sentence for each fault."""
        return find_misspelled(variables or {}, read_names())


def read_names():
    """The names with the prefix that the playbooks and plugins of the collection use."""
    texts = (path.read_text(encoding="utf-8") for pattern in READERS for path in ROOT.glob(pattern))
    return {name for text in texts for name in re.findall(rf"\b{PREFIX}(\w+)", text)}


def find_misspelled(variables, names):
    """What is wrong with the names of variables, of which the collection reads those that are the prefix and one of the names."""
    given = sorted(name.removeprefix(PREFIX) for name in variables if name.startswith(PREFIX))
    found = {name: get_close_matches(name, names, 1, SIMILARITY) for name in given if name not in names}
    return [f"{PREFIX}{name}: unknown variable, which would be ignored; did you mean {PREFIX}{similar[0]}?" for name, similar in found.items() if similar]
