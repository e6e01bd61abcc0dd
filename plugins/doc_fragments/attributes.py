# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attributes that every module of the collection has."""

from __future__ import annotations


class ModuleDocFragment:
    """What the modules do in check mode, in diff mode and when run again."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what would change, without changing anything.
    support: full
  diff_mode:
    description: Returns what changed, or would change, in diff mode.
    support: full
  idempotent:
    description: Run again with the same options, it changes nothing.
    support: full
  action_group:
    description: Its defaults can be set for the whole collection.
    support: full
    membership: [podwright.core.all]
"""

    READING = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what would change, without changing anything.
    support: full
  diff_mode:
    description: Returns what changed, or would change, in diff mode.
    support: none
    details: It changes nothing.
  idempotent:
    description: Run again with the same options, it changes nothing.
    support: full
  action_group:
    description: Its defaults can be set for the whole collection.
    support: full
    membership: [podwright.core.all]
"""

    COMMAND = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what would change, without changing anything.
    support: partial
    details: The command is not run; O(creates) and O(removes) are looked at.
  diff_mode:
    description: Returns what changed, or would change, in diff mode.
    support: none
    details: What a command changes is not known.
  idempotent:
    description: Run again with the same options, it changes nothing.
    support: partial
    details: A command runs each time, unless O(creates) or O(removes) make it needless.
  action_group:
    description: Its defaults can be set for the whole collection.
    support: full
    membership: [podwright.core.all]
"""

    REQUEST = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what would change, without changing anything.
    support: partial
    details: Requests that only read are sent, others are not.
  diff_mode:
    description: Returns what changed, or would change, in diff mode.
    support: none
    details: What a request changes is not known.
  idempotent:
    description: Run again with the same options, it changes nothing.
    support: partial
    details: Requests that only read change nothing.
  action_group:
    description: Its defaults can be set for the whole collection.
    support: full
    membership: [podwright.core.all]
"""
