#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_exec
short_description: Run a command in a pod's container
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - Runs a command in a running container over a websocket and returns its exit code and output, of one pod or of many at once.
  - A connection that ends before the command's exit status arrived is an error, never a success.
  - Where the image has a shell, a command with O(stdin), O(stdin_file), O(timeout), O(idle_timeout) or O(chdir) is started by it.
    That is what lets a timeout end the command in the container, and what keeps containerd from dropping the input of a command that closes its output.
notes:
  - In an image without a shell, a command whose time is over may run on; the message says so.
    One that closes its own output there loses the rest of its input, which no client can see.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes.command
options:
  pod:
    description: Name of the pod. Either this or O(label_selectors) is needed.
    type: str
  label_selectors:
    description: Run it at once in every running pod that all of these match, at most 16 at a time.
    type: list
    elements: str
  container:
    description: Name of the container. Where it is not given, the one named C(task), the one annotated as default, or the first.
    type: str
  command:
    description: The command, as a list of words, or as a string that is split into words as a shell would. No shell interprets them.
    type: raw
    required: true
  stdin:
    description: Text given to the command's standard input, followed by end of file.
    type: str
  stdin_file:
    description: File given to it instead, of any size, from where this task runs.
    type: path
  stdout_file:
    description:
      - File, where this task runs, that gets the standard output, of any size, instead of the result.
        It appears whole, once the command ended, and not at all where the connection was lost.
      - With O(label_selectors) a folder that gets a file named as each pod.
    type: path
  max_output_bytes:
    description: How much of standard output and of standard error the result holds. Beyond that RV(truncated) is true.
    type: int
    default: 10485760
  env:
    description: Environment variables. Needs the program C(env) in the image.
    type: dict
  chdir:
    description: Folder to run the command in. Needs a shell in the image.
    type: str
  creates:
    description: Path in the container. The command is skipped where it exists, also in check mode. Needs a shell in the image.
    type: str
  removes:
    description: Path in the container. The command is skipped where it does not exist.
    type: str
  timeout:
    description: Seconds that the command may take. It is ended in the container then (SIGTERM, two seconds later SIGKILL).
    type: float
  idle_timeout:
    description: Seconds in which the command must read some of its input or write something. It is ended otherwise.
    type: float
  tty:
    description: >-
      Whether the command gets a terminal. Its errors and the echo of its input are part of its output then, and the input ends as at a keyboard,
      with Ctrl-D. A terminal drops what is typed faster than it is read; leave this off for more than a few lines.
    type: bool
    default: false
  check_rc:
    description: Whether an exit code other than 0 is a failure.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: A pod to run commands in
  podwright.core.task_pod:
    name: toolbox
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [sleep, "3600"]
    termination_grace_period: 0

- name: Count the words of a text
  podwright.core.pod_exec:
    pod: toolbox
    namespace: default
    command: wc -w
    stdin: three words here
  register: words

- name: A shell is run where one is wanted
  podwright.core.pod_exec:
    pod: toolbox
    namespace: default
    command: [sh, -c, 'echo "$GREETING from $(pwd)"']
    chdir: /tmp
    env:
      GREETING: hello

- name: A dump of any size goes to a file, unless nothing came for a minute
  podwright.core.pod_exec:
    pod: toolbox
    namespace: default
    command: [tar, c, /etc]
    stdout_file: "{{ lookup('ansible.builtin.env', 'HOME') }}/.cache/podwright-example.tar"
    idle_timeout: 60

- name: In all pods of a set at once, and only once in each
  podwright.core.pod_exec:
    label_selectors: [podwright.io/task=toolbox]
    namespace: default
    command: [touch, /tmp/ready]
    creates: /tmp/ready
"""

RETURN = r"""
rc:
  description: Exit code of the command.
  returned: when it ended
  type: int
return_code:
  description: The same.
  returned: when it ended
  type: int
stdout:
  description: What it wrote to standard output.
  returned: when it was started
  type: str
stderr:
  description: What it wrote to standard error.
  returned: when it was started
  type: str
stdout_lines:
  description: The same as a list of lines.
  returned: when it ended
  type: list
  elements: str
stderr_lines:
  description: The same as a list of lines.
  returned: when it ended
  type: list
  elements: str
stdout_b64:
  description: The bytes of standard output as base64.
  returned: when they are not UTF-8
  type: str
stderr_b64:
  description: The bytes of standard error as base64.
  returned: when they are not UTF-8
  type: str
truncated:
  description: Whether output was left out for O(max_output_bytes).
  returned: when it ended
  type: bool
results:
  description: These fields for each pod, with V(pod), V(container) and, where it failed, V(msg).
  returned: with O(label_selectors)
  type: list
  elements: dict
duration:
  description: Seconds it took.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils.operations.pod_exec import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
