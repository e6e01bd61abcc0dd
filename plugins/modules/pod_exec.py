#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_exec
short_description: Run a command in a container
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Runs a command in a running container of one pod or of many pods over a websocket, and returns its exit code and output.
  - A connection that closes before the exit status arrives is an error, never a success.
  - In check mode, a command in a pod that does not exist yet is skipped, since an earlier task may create it.
  - If the image has a shell, a command with O(stdin), O(stdin_file), O(timeout), O(idle_timeout) or O(chdir) is started by it. The shell enforces timeouts
    in the container, and keeps containerd from dropping the input of a command that closes its output.
notes:
  - If the image has no shell, a command can keep running after its timeout; the error message says so. A command that closes its own output there loses
    the rest of its input, which no client can detect.
  - Processes that a command leaves in the background keep its output open. If a shell starts the command, the task reports its exit code once they have
    printed nothing for 30 seconds, or at O(timeout) if they have printed nothing for 2 seconds, and they keep running.
  - Without a shell, the task waits until they exit, as C(kubectl exec) does. Redirect their output, for example C([sh, -c, "server > /tmp/log 2>&1 &"]), and
    the task does not wait for them.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes.command
options:
  pod:
    description: Name of the pod. Required unless O(label_selectors) is set.
    type: str
  label_selectors:
    description:
      - Label selectors of the pods to run the command in, at most 16 pods at a time. A pod must match all of them.
      - Excludes O(pod). Pods that are not running are skipped, with a warning unless they have terminated.
    type: list
    elements: str
  container:
    description: Name of the container. Defaults to the container C(task), the one annotated as default, or the first, in this order.
    type: str
  command:
    description: Command as a list of strings, or as one string that is split by the rules of a shell. No shell interprets it.
    type: raw
    required: true
  stdin:
    description:
      - Text for the standard input of the command.
      - Set it to an empty string for a program other than a shell that reads standard input without needing any; containerd can otherwise leave that input
        open under load, so the program never exits.
    type: str
  stdin_file:
    description:
      - File for the standard input of the command, of any size, on the host that runs this task.
      - A local task also finds it in C(files) of the role or beside the playbook.
    type: path
  stdout_file:
    description:
      - File for the standard output of the command, of any size, on the host that runs this task. It replaces RV(stdout).
      - The file appears when the command has exited, but not after a connection loss. A symbolic link is followed.
      - With O(label_selectors), a directory that receives one file for each pod, named as the pod.
    type: path
  max_output_bytes:
    description: Maximum size of RV(stdout) and of RV(stderr) in bytes. RV(truncated) reports excess output.
    type: int
    default: 10485760
  strip_empty_ends:
    description:
      - Remove trailing line breaks from RV(stdout) and RV(stderr), as M(ansible.builtin.command) does.
      - Set it to V(false) to keep every byte. O(stdout_file), RV(stdout_b64) and RV(stderr_b64) always contain every byte.
    type: bool
    default: true
  env:
    description:
      - Environment variables. Requires the program C(env) in the image.
      - Like the command they are part of the request's URL, which the API server writes to its audit log. Pass secrets by O(stdin).
    type: dict
  chdir:
    description: Working directory of the command. Requires a shell in the image.
    type: str
  creates:
    description: Path in the container, relative to O(chdir), whose existence skips the command, also in check mode. Requires a shell in the image.
    type: str
  removes:
    description: Path in the container, relative to O(chdir), whose absence skips the command, also in check mode. Requires a shell in the image.
    type: str
  timeout:
    description:
      - Timeout of the command in seconds, with the checks of O(creates) and O(removes). The command then receives SIGTERM, and SIGKILL two seconds later.
    type: float
  idle_timeout:
    description: Timeout in seconds in which the command must read input or write output. It is then terminated as after O(timeout).
    type: float
  tty:
    description:
      - Allocate a terminal. RV(stdout) then also contains standard error and the echo of the input, which is closed with Ctrl-D.
      - A terminal drops input that arrives faster than it is read. Leave it off for more than a few lines of input.
    type: bool
    default: false
  stream:
    description:
      - Show the lines of the output as they are received, with O(label_selectors) behind the name of their pod. With O(stdout_file), those of standard
        error.
      - On the controller only. A module that runs on another host, or with C(become) or C(async), shows nothing before it exits.
    type: bool
    default: false
  check_rc:
    description: Fail if the exit code is not 0.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Start a pod
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

- name: Run a shell command
  podwright.core.pod_exec:
    pod: toolbox
    namespace: default
    command: [sh, -c, 'echo "$GREETING from $(pwd)"']
    chdir: /tmp
    env:
      GREETING: hello

- name: Write output of any size to a file, and fail if none arrives for a minute
  podwright.core.pod_exec:
    pod: toolbox
    namespace: default
    command: [tar, c, /etc]
    stdout_file: "{{ lookup('ansible.builtin.env', 'HOME') }}/.cache/podwright-example.tar"
    idle_timeout: 60

- name: Show the output of a long command as it is received
  podwright.core.pod_exec:
    pod: toolbox
    namespace: default
    command: [sh, -c, "echo started; sleep 1; echo finished"]
    stream: true

- name: Run a command once in each pod with a label
  podwright.core.pod_exec:
    label_selectors: [podwright.io/task=toolbox]
    namespace: default
    command: [touch, /tmp/ready]
    creates: /tmp/ready
"""

RETURN = r"""
rc:
  description: Exit code of the command; V(-1) if it did not exit, and V(0) if it was skipped, as in check mode.
  returned: unless the options are invalid
  type: int
return_code:
  description: The same as RV(rc).
  returned: unless the options are invalid
  type: int
stdout:
  description: Standard output of the command.
  returned: if it was started
  type: str
stderr:
  description: Standard error of the command.
  returned: if it was started
  type: str
stdout_lines:
  description: RV(stdout) as a list of lines.
  returned: if it exited
  type: list
  elements: str
stderr_lines:
  description: RV(stderr) as a list of lines.
  returned: if it exited
  type: list
  elements: str
stdout_b64:
  description: Standard output in base64, with every byte.
  returned: if it is not valid UTF-8
  type: str
stderr_b64:
  description: Standard error in base64, with every byte.
  returned: if it is not valid UTF-8
  type: str
truncated:
  description: Whether the output exceeded O(max_output_bytes).
  returned: if it exited
  type: bool
results:
  description: These values for each pod, with C(pod), C(container) and, if it failed, C(msg).
  returned: with O(label_selectors)
  type: list
  elements: dict
duration:
  description: Duration of the invocation in seconds.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_exec import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
