# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options for the review of a plan."""

from __future__ import annotations


class ModuleDocFragment:
    """The options `expect` and `plan_file`."""

    DOCUMENTATION = r"""
options:
  expect:
    description:
      - The plan that was reviewed, as the RV(plan_digest) of a run in check mode or as the path of its O(plan_file). If the plan differs, nothing
        is changed and the task fails with the difference.
      - A run without changes is always accepted, so an approved run can be repeated.
      - The digest covers the actions, the UIDs of live objects, the manifests of new objects, and the fields to change with their values before and after,
        but not values that results hide, such as those of Secrets. Of these it covers that they change, not what they change to.
    type: str
  plan_file:
    description:
      - File to which the plan is written as JSON, in check mode as well, before anything is changed. The file itself does not count as a change.
      - Only its owner can read it, and it contains no values that results hide.
    type: path
"""
