#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_copy
short_description: Copy files and directories to and from containers
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Synchronizes a path in a container with a local path, in either direction. Only differences are transferred.
  - Each file is written to a temporary name, verified by sha256 at both ends and then renamed, so a partial file is never visible. A file that cannot
    be replaced, such as one mounted with C(subPath), is written in place.
  - Large files are uploaded in parts over parallel connections. After a connection loss a transfer resumes.
  - A file copied to an existing directory is placed in it under its own name. A directory copied to a directory copies its contents.
  - The container needs a shell with C(find), C(stat), C(xargs), C(sed), C(dd) and C(sha256sum), which busybox provides; C(tar) is optional. For other
    images a helper container is added to the pod.
  - In check mode, a copy to or from a pod that does not exist yet is skipped, since an earlier task may create it.
notes:
  - Copied files belong to the user of the container unless O(owner) and O(group) are set. The setuid, setgid and sticky bits are not copied, and
    directories that exist keep theirs.
  - A target directory that exists keeps its own mode, owner and group; one that the copy creates gets those of the source, O(owner) and O(group).
  - A directory that cannot be read is an error, unless it is excluded, or it is below the target, the source has nothing at its path and O(delete) is not set.
  - Symbolic links that point outside a directory copied from a pod are skipped with a warning. Those below the target are replaced, never followed.
  - Special files, such as pipes and sockets, are not copied. Those of the target are replaced and deleted like files.
  - A directory in a container can have at most 1048576 entries, with paths of at most 4096 bytes.
  - A helper container is an ephemeral container and needs the permission to patch C(pods/ephemeralcontainers). It terminates after an hour and is reused
    until then; Kubernetes cannot remove it from the pod.
  - A helper container can access the files of a container if it can run as the same user, that is if the pod sets the user or the user is root.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes
options:
  pod:
    description: Name of the pod.
    type: str
    required: true
  container:
    description: Name of a running container or init container. Defaults to the container C(task), the one annotated as default, or the first, in this order.
    type: str
  remote_path:
    description:
      - Path in the container, in which no shell expands C(~) or patterns. Missing parent directories are created.
      - A target that is a symbolic link to a file or directory is followed, here and in O(local_path). A dangling link is replaced by a file.
    type: str
    required: true
  local_path:
    description:
      - Path on the host that runs this task. Required unless O(content) is set.
      - What a local task copies to a pod is also found in the directory C(files) of the role or beside the playbook, like the files of
        M(ansible.builtin.copy).
      - A file that is encrypted with Ansible Vault is copied as it is. To decrypt it, set O(content) with the lookup P(ansible.builtin.file#lookup).
    type: path
  content:
    description: Text content of the file in the container, instead of O(local_path).
    type: str
  state:
    description: Direction of the copy.
    type: str
    choices: [to_pod, from_pod]
    default: to_pod
  no_preserve:
    description: Ignore modes and times of the source. New files get the defaults of the target, existing files keep theirs.
    type: bool
    default: false
  mode:
    description: Mode of all copied files, as a quoted octal number such as V('0640').
    type: raw
  owner:
    description: Owner of all copied files and directories, by name or ID. The user in the container must be root to change owners.
    type: str
  group:
    description: Group of all copied files and directories, by name or ID.
    type: str
  exclude:
    description:
      - Patterns of paths that are neither copied nor deleted. A directory that contains an excluded path is kept.
      - A pattern with a slash matches the path relative to the copied directory, one without a slash matches a name at any depth.
      - What is excluded need not be readable.
    type: list
    elements: str
    default: []
  delete:
    description:
      - Delete files from the target directory that the source does not contain. What is skipped in the source, with a warning, is kept in the target.
      - A mount point that the source does not contain, such as a volume below O(remote_path), is kept with its contents and a warning.
    type: bool
    default: false
  follow:
    description:
      - Copy the targets of symbolic links instead of the links. Dangling links are skipped.
      - A link to a directory that contains it is skipped in a copy to a pod, and an error in a copy from a pod.
    type: bool
    default: false
  checksum:
    description:
      - Compare files of the same size by sha256. V(false) compares modification times, which is faster for large files.
      - V(false) cannot be combined with O(no_preserve) or O(content).
    type: bool
    default: true
  timeout:
    description: Timeout of the whole copy in seconds. A connection without progress for 60 seconds always counts as lost.
    type: float
  method:
    description:
      - V(tar) sends small files of a directory as one archive. V(stream) sends each file separately.
      - V(helper) copies from a helper container.
      - V(auto) selects the method by what the image contains.
    type: str
    choices: [auto, tar, stream, helper]
    default: auto
  helper_image:
    description: Image of the helper container.
    type: str
    default: busybox
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

- name: Copy text to a file
  podwright.core.pod_copy:
    pod: toolbox
    namespace: default
    content: "level = debug\n"
    remote_path: /etc/tool/tool.conf
    mode: "0600"

- name: Mirror a directory to the container
  podwright.core.pod_copy:
    pod: toolbox
    namespace: default
    local_path: "{{ playbook_dir }}"
    remote_path: /srv/input
    exclude: ["*.log", .git]
    delete: true

- name: Copy a file from the container
  podwright.core.pod_copy:
    pod: toolbox
    namespace: default
    state: from_pod
    remote_path: /etc/tool/tool.conf
    local_path: "{{ lookup('ansible.builtin.env', 'HOME') }}/.cache/podwright-example.conf"
"""

RETURN = r"""
result:
  description: Summary of the copy in one sentence.
  returned: success
  type: str
files:
  description: Numbers of files C(copied), C(unchanged) and C(deleted). A deleted directory counts once.
  returned: success
  type: dict
bytes:
  description: Total size of the copied files in bytes.
  returned: success
  type: int
changes:
  description: Changes that were made, or would be made in check mode, one line each.
  returned: success
  type: list
  elements: str
checksum:
  description: The sha256 of the file.
  returned: if the source is a file
  type: str
method:
  description: Method of the copy, V(tar), V(stream) or V(helper).
  returned: success
  type: str
duration:
  description: Duration of the invocation in seconds.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_copy import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
