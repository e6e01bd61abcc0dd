#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_report
short_description: Write a report of tasks, quotas and autoscalers
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Writes one HTML page without scripts about the tasks of namespaces, with a timeline, the events and the end of the log of each that failed, and about the
    quotas and autoscalers of these namespaces.
  - It also shows what M(podwright.core.pod_gc) would delete and the drift that M(podwright.core.resource_set) finds, if their results are passed.
  - What the credentials may not list, apart from pods, is missing in the report, which says so.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes.reading
options:
  dest:
    description:
      - File to which the report is written.
      - A relative path is relative to the playbook. If the module runs on another host, the file is on that host.
      - A new file can be read by its owner only, an existing one keeps its mode. Check mode does not write it.
    type: path
    required: true
  namespaces:
    description: Namespaces to report, or V(['*']) for all. Defaults to O(namespace).
    type: list
    elements: str
  label_selectors:
    description: Report the pods, Jobs and records that match these selectors, instead of those that Podwright manages.
    type: list
    elements: str
  log_tail:
    description: Number of log lines of each failed task.
    type: int
    default: 20
  garbage:
    description:
      - Result of M(podwright.core.pod_gc) in check mode, to show what it would delete.
      - If it failed because the user is not allowed to list a kind, the report says so instead.
    type: dict
  drift:
    description: Results of M(podwright.core.resource_set) in check mode, to show the objects that differ from their desired state.
    type: list
    elements: dict
"""

EXAMPLES = r"""
- name: Look for objects to delete
  podwright.core.pod_gc:
    namespaces: [default]
    completed:
      max_age: 86400
  check_mode: true
  register: garbage

- name: Write a report
  podwright.core.pod_report:
    namespaces: [default]
    dest: report.html
    garbage: "{{ garbage }}"
"""

RETURN = r"""
changed:
  description: Whether the report differs from the file that existed, apart from the time at which it was generated.
  returned: always
  type: bool
report:
  description: Absolute path of the report.
  returned: success
  type: str
summary:
  description: Number of tasks in each state, and in total.
  returned: success
  type: dict
  sample: {succeeded: 8, total: 8}
duration:
  description: Duration of the invocation in seconds.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_report import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
