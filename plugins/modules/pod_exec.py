#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_exec
short_description: Run a command in a pod's container
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - Runs a command in a running container over a websocket and returns its exit code and output.
  - A connection that ends before the command's exit status arrived is an error, never a success.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes.command
options:
  pod:
    description: Name of the pod.
    type: str
    required: true
  container:
    description: Name of the container. Where it is not given, the one named C(task), the one annotated as default, or the first.
    type: str
  command:
    description: The command, as a list of words, or as a string that is split into words as a shell would. No shell runs it.
    type: raw
    required: true
  stdin:
    description: Text given to the command's standard input, followed by end of file. Needs Kubernetes 1.30 or later.
    type: str
  env:
    description: Environment variables. Needs the program C(env) in the image.
    type: dict
  chdir:
    description: Folder to run the command in. Needs a shell in the image.
    type: str
  timeout:
    description: Seconds that the command may take. It may still run in the container afterwards.
    type: float
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
