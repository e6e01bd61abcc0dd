#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_logs
short_description: Read or follow the logs of containers
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - Reads the logs of one pod or of every pod that is selected, of one container each or of all of them.
  - With O(follow) it goes on until the containers have ended. Dropped connections, rotations and restarts neither lose nor repeat a line.
    Where lines were rotated away before they could be read, RV(gaps) says so.
  - Run on the controller, the lines that are followed appear in the terminal as they come.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes.reading
options:
  kind:
    description: Kind of O(name). For others than Pod the pods that it selects are meant, like those of a Job or Deployment.
    type: str
    default: Pod
  api_version:
    description: Its API version. Kinds of Kubernetes itself are found without.
    type: str
    default: v1
    aliases: [api, version]
  name:
    description: Name of the pod or of what selects pods. Either this or O(label_selectors) is needed.
    type: str
  label_selectors:
    description: Labels that all pods to read have.
    type: list
    elements: str
  container:
    description: Name of the container. Where it is not given, the one named C(task), the one annotated as default, or the first.
    type: str
  all_containers:
    description: Whether to read all containers, init containers included.
    type: bool
    default: false
  since_seconds:
    description: Only lines of the last so many seconds.
    type: int
  since_time:
    description: Only lines from that time on, like V(2026-01-31T12:00:00Z).
    type: str
  previous:
    description: Whether to read the log of the container's instance before its last restart.
    type: bool
    default: false
  tail_lines:
    description: Only so many lines from the end.
    type: int
  timestamps:
    description: Whether each line begins with its time.
    type: bool
    default: false
  follow:
    description: Whether to wait for the containers' start, and to read on until they end, or until O(timeout).
    type: bool
    default: false
  timeout:
    description: Seconds after which O(follow) ends, which is no failure.
    type: float
  max_bytes:
    description: How much of each log the result holds, counted from its end. O(dest) gets all of it.
    type: int
    default: 10485760
  dest:
    description:
      - File, where this task runs, that gets the log, of any size.
      - For more than one container, or with a slash at its end, a folder with a file C(POD/CONTAINER.log) for each, made where there is none.
    type: path
"""

EXAMPLES = r"""
- name: A task that says something
  podwright.core.task_pod:
    name: talker
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [sh, -c, "for i in 1 2 3; do echo line $i; sleep 0.2; done"]
    restart_policy: Never
    state: present

- name: Follow it to its end
  podwright.core.pod_logs:
    name: talker
    namespace: default
    follow: true
    timeout: 60
  register: talk

- name: The last lines of every pod of a label, each into its own file
  podwright.core.pod_logs:
    label_selectors: [podwright.io/task=talker]
    namespace: default
    tail_lines: 100
    timestamps: true
    dest: "{{ lookup('ansible.builtin.env', 'HOME') }}/.cache/podwright-example-logs/"
"""

RETURN = r"""
log:
  description: The log as text. Of more than one container each line begins with C(POD/CONTAINER).
  returned: success
  type: str
log_lines:
  description: The same as a list of lines.
  returned: success
  type: list
  elements: str
logs:
  description: The log of each container, by pod and container.
  returned: success
  type: dict
log_b64:
  description: The bytes of the log as base64.
  returned: where there is one container and they are not UTF-8
  type: str
gaps:
  description: Where lines may be lost, with C(pod), C(container), and the times C(after) and C(before) which they were.
  returned: success
  type: list
  elements: dict
truncated:
  description: Whether lines were left out for O(max_bytes).
  returned: success
  type: bool
duration:
  description: Seconds it took.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils.operations.pod_logs import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
