#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_copy
short_description: Copy files and folders into and out of containers
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - Makes a path in a container like one where the task runs, or the other way round. Only what differs is sent.
  - Every file is written beside its place, its sha256 is compared at both ends, and only then it is renamed. A file is there whole or not at all.
  - A large file goes up in parts over several connections at once. One whose connection was lost goes on where it stopped.
  - A file that is copied to a folder goes into it under its own name. The content of a folder becomes the content of the folder named as target.
  - Works in containers that have a shell with C(find), C(stat), C(xargs), C(sed), C(dd) and C(sha256sum), as busybox has, with C(tar) or without.
    For others a helper container is added to the pod.
notes:
  - Owners are those of the container's user unless O(owner) and O(group) say otherwise. The bits setuid, setgid and sticky are not copied.
  - Links that point out of a folder that is copied from a pod are left out, with a warning.
  - A helper container needs the permission to patch C(pods/ephemeralcontainers). It stays in the pod, which Kubernetes cannot change,
    ends by itself after an hour and is used again until then. It sees the files of containers whose user it may run as,
    which is where the pod names the user or the user is root.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes
options:
  pod:
    description: Name of the pod.
    type: str
    required: true
  container:
    description: Name of the container, an init container that runs included. Where it is not given, the task's own, the default, or the first.
    type: str
  remote_path:
    description: Path in the container. Folders above it are made.
    type: str
    required: true
  local_path:
    description: Path where this task runs. Either this or O(content) is needed.
    type: path
  content:
    description: Text of a file in the container, instead of a local one.
    type: str
  state:
    description: The direction.
    type: str
    choices: [to_pod, from_pod]
    default: to_pod
  no_preserve:
    description: Whether modes and times of the source do not matter. New files get the target's defaults then, and others keep theirs.
    type: bool
    default: false
  mode:
    description: Mode of every file that is copied, octal and in quotes, like V('0640').
    type: raw
  owner:
    description: Owner of what is copied, as name or number. In a container it takes root to give files away.
    type: str
  group:
    description: Group of what is copied, as name or number.
    type: str
  exclude:
    description:
      - Patterns of what is neither copied nor deleted. A folder that holds such a thing stays.
      - One with a slash is for the path below the copied folder, another for a name at any depth.
    type: list
    elements: str
    default: []
  delete:
    description: Whether what the source does not have is deleted from the target folder.
    type: bool
    default: false
  follow:
    description: Whether links are followed, so that the files they point to are copied. Links that lead nowhere are left out.
    type: bool
    default: false
  checksum:
    description:
      - Whether files of the same size are compared by their content. Else their times are compared, which is faster for large files.
      - V(false) goes with neither O(no_preserve) nor O(content), which leave no times to compare.
    type: bool
    default: true
  timeout:
    description: Seconds for the whole copy. Whatever it is, a transfer in which nothing moves for a minute counts as lost.
    type: float
  method:
    description:
      - V(tar) sends the small files of a folder as one archive and V(stream) each file by itself.
      - V(helper) does it from a helper container.
      - V(auto) takes what the image has.
    type: str
    choices: [auto, tar, stream, helper]
    default: auto
  helper_image:
    description: Image of the helper container.
    type: str
    default: busybox
"""

EXAMPLES = r"""
- name: A pod to copy to
  podwright.core.task_pod:
    name: toolbox
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [sleep, "3600"]
    termination_grace_period: 0

- name: A configuration from a text
  podwright.core.pod_copy:
    pod: toolbox
    namespace: default
    content: "level = debug\n"
    remote_path: /etc/tool/tool.conf
    mode: "0600"

- name: A folder, made the same there
  podwright.core.pod_copy:
    pod: toolbox
    namespace: default
    local_path: "{{ playbook_dir }}"
    remote_path: /srv/input
    exclude: ["*.log", .git]
    delete: true

- name: A result, brought back
  podwright.core.pod_copy:
    pod: toolbox
    namespace: default
    state: from_pod
    remote_path: /etc/tool/tool.conf
    local_path: "{{ lookup('ansible.builtin.env', 'HOME') }}/.cache/podwright-example.conf"
"""

RETURN = r"""
result:
  description: What was copied where, for a person.
  returned: success
  type: str
files:
  description: How many files were C(copied), C(unchanged) and C(deleted). Deleting a folder counts as one.
  returned: success
  type: dict
bytes:
  description: Bytes of the files that were copied.
  returned: success
  type: int
changes:
  description: What was done, or in check mode would be, a line each.
  returned: success
  type: list
  elements: str
checksum:
  description: The sha256 of the file.
  returned: where the source is a file
  type: str
method:
  description: How it was copied, V(tar), V(stream) or V(helper).
  returned: success
  type: str
duration:
  description: Seconds it took.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils.operations.pod_copy import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
