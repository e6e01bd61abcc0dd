#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_logs
short_description: Read or follow the logs of containers
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Reads the logs of one pod or of all selected pods, for one container or all containers of each pod.
  - With O(follow), reads until the containers have terminated. Connection losses, log rotations and restarts repeat no line,
    and RV(gaps) reports where lines may be missing.
  - If one of several logs cannot be read, the others are read and written to O(dest), and then the task fails.
  - In check mode, the logs of pods that do not exist yet are skipped, since an earlier task may create them.
  - On the controller, followed lines appear in the terminal as they arrive.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes.reading
options:
  kind:
    description:
      - Kind of the object O(name), or its plural or short name. For kinds other than Pod, such as Job and Deployment, reads the pods that the
        object selects, and for a CronJob those of its newest Job.
    type: str
    default: Pod
  api_version:
    description: API version of the object. Optional unless several API groups have a kind of that name.
    type: str
    default: v1
    aliases: [api, version]
  name:
    description: Name of the pod, or of the object that selects pods. Required unless O(label_selectors) is set.
    type: str
  label_selectors:
    description: Label selectors that the pods must match. Excludes O(name).
    type: list
    elements: str
  container:
    description:
      - Name of the container, init container or ephemeral container. Defaults to the container C(task), the one annotated as default, or the first, in this
        order.
    type: str
  all_containers:
    description: Read all containers, including init containers. Excludes O(container).
    type: bool
    default: false
  since_seconds:
    description: Maximum age of the lines in seconds.
    type: int
  since_time:
    description: Time of the oldest line to return, with its zone, such as V(2026-01-31T12:00:00Z) or V(2026-01-31T13:00:00+01:00).
    type: str
  previous:
    description: Read the log of the container before its last restart. Of several containers, at least one must have restarted.
    type: bool
    default: false
  tail_lines:
    description: Number of lines to return from the end of the log.
    type: int
  timestamps:
    description: Prefix each line with its timestamp.
    type: bool
    default: false
  follow:
    description:
      - Wait for the containers to start, and read until they terminate or until O(timeout). At most 64 logs are followed at a time.
      - For the first pod of O(name), waits for at most 20 s if it may still create one. The first Job of a CronJob is not waited for.
    type: bool
    default: false
  timeout:
    description: Duration of O(follow) in seconds, with the wait for the first pod. Reaching it is not a failure if there is a pod.
    type: float
  max_bytes:
    description: Maximum size of each log in the result in bytes, counted from its end. O(dest) receives the complete log.
    type: int
    default: 10485760
  dest:
    description:
      - File for the log, of any size, on the host that runs this task. A symbolic link is followed.
      - For several containers, or with a trailing slash, a directory that receives a file C(POD/CONTAINER.log) for each container. It is created if missing.
    type: path
"""

EXAMPLES = r"""
- name: Start a task that writes a log
  podwright.core.task_pod:
    name: talker
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [sh, -c, "for i in 1 2 3; do echo line $i; sleep 0.2; done"]
    restart_policy: Never
    state: present

- name: Follow its log until it terminates
  podwright.core.pod_logs:
    name: talker
    namespace: default
    follow: true
    timeout: 60
  register: talk

- name: Write the last lines of each pod with a label to a file of its own
  podwright.core.pod_logs:
    label_selectors: [podwright.io/task=talker]
    namespace: default
    tail_lines: 100
    timestamps: true
    dest: "{{ lookup('ansible.builtin.env', 'HOME') }}/.cache/podwright-example-logs/"
"""

RETURN = r"""
log:
  description: Log as text. For several containers each line has the prefix C(POD/CONTAINER).
  returned: success
  type: str
log_lines:
  description: RV(log) as a list of lines.
  returned: success
  type: list
  elements: str
logs:
  description: Log of each container, by pod and container.
  returned: success
  type: dict
log_b64:
  description: Log in base64.
  returned: if there is one container and its log is not valid UTF-8
  type: str
gaps:
  description: Gaps in which lines may be missing, each with C(pod), C(container) and the times C(after) and C(before).
  returned: success
  type: list
  elements: dict
truncated:
  description: Whether a log exceeded O(max_bytes).
  returned: success
  type: bool
duration:
  description: Duration of the invocation in seconds.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_logs import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
