# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attributes that every module of the collection has."""

from __future__ import annotations


class ModuleDocFragment:
    """Support of check mode, diff mode and idempotence."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return the changes it would make.
    support: full
  diff_mode:
    description: Returns the differences in diff mode.
    support: full
  idempotent:
    description: Changes nothing when run again with the same options.
    support: full
  action_group:
    description: Defaults can be set for the whole collection.
    support: full
    membership: [podwright.core.all]
"""

    READING = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return the changes it would make.
    support: full
  diff_mode:
    description: Returns the differences in diff mode.
    support: none
    details: Changes nothing.
  idempotent:
    description: Changes nothing when run again with the same options.
    support: full
  action_group:
    description: Defaults can be set for the whole collection.
    support: full
    membership: [podwright.core.all]
"""

    COMMAND = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return the changes it would make.
    support: partial
    details: Evaluates O(creates) and O(removes), but does not run the command.
  diff_mode:
    description: Returns the differences in diff mode.
    support: none
    details: The changes that a command makes are unknown.
  idempotent:
    description: Changes nothing when run again with the same options.
    support: partial
    details: Runs the command again unless O(creates) or O(removes) skips it.
  action_group:
    description: Defaults can be set for the whole collection.
    support: full
    membership: [podwright.core.all]
"""

    REQUEST = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return the changes it would make.
    support: partial
    details: Sends only requests that read.
  diff_mode:
    description: Returns the differences in diff mode.
    support: none
    details: The changes that a request makes are unknown.
  idempotent:
    description: Changes nothing when run again with the same options.
    support: partial
    details: Requests that read change nothing.
  action_group:
    description: Defaults can be set for the whole collection.
    support: full
    membership: [podwright.core.all]
"""
