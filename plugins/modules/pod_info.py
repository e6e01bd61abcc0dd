#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_info
short_description: Read pods or other objects, and wait for them
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Reads pods, or objects of any kind with O(kind) and O(api_version), by name or by selectors.
  - Waits by watch until all of them meet O(wait_for) or O(wait_condition), and reports why an object cannot meet it.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes.reading
options:
  name:
    description: Name of the object. Defaults to all objects that the selectors match.
    type: str
  kind:
    description: Kind of the objects. Its plural and its short name, such as V(deploy), are accepted in any case.
    type: str
    default: Pod
  api_version:
    description: API version of the objects. Optional unless several API groups have a kind of that name.
    type: str
    default: v1
    aliases: [api, version]
  label_selectors:
    description: Label selectors that the objects must match.
    type: list
    elements: str
    default: []
  field_selectors:
    description: Field selectors that the objects must match.
    type: list
    elements: str
    default: []
  all_namespaces:
    description:
      - Read the objects of all namespaces instead of O(namespace). The keys of RV(events) are then C(NAMESPACE/NAME).
      - Kinds other than Pod are read from all namespaces also if none of O(name), O(namespace) and E(PODWRIGHT_NAMESPACE) is set.
    type: bool
    default: false
  limit:
    description:
      - Maximum number of objects to read, in the order of the API server. RV(truncated) reports whether there may be more.
      - A server that ignores it, such as metrics-server, has no next page. RV(truncated) then comes with a warning and an empty RV(continue_token).
    type: int
  continue_token:
    description: RV(continue_token) of the previous page, to read the page that follows it. It expires after about five minutes.
    type: str
  metadata_only:
    description: Read nothing but the metadata of the objects.
    type: bool
    default: false
  hidden_fields:
    description: Paths of fields to remove from RV(resources), such as V(status) or V(metadata.annotations[example.com/owner]).
    type: list
    elements: str
    default: []
  secret_values:
    description:
      - Return the values of Secrets, encoded in base64, instead of digests.
      - Requires C(no_log=true) in the task. The tasks that use the values need C(no_log), too.
    type: bool
    default: false
  parent:
    description:
      - Object whose tree to read, the name of a pod or a mapping with C(name), C(kind) and, if several API groups have such a kind, C(api_version).
        Returns all pods below it, also through Jobs, ReplicaSets and other kinds in between.
      - With C(uid) in the mapping, an object of that name with another uid is an error.
    type: raw
  events:
    description: Return the events of each object.
    type: bool
    default: false
  metrics:
    description: Return the cpu and memory usage of each pod. Requires the metrics API.
    type: bool
    default: false
  wait:
    description: Wait for O(wait_for) or O(wait_condition), which imply it, or without them for V(ready).
    type: bool
    default: false
  wait_timeout:
    description: Timeout of the wait in seconds.
    type: int
    default: 120
  wait_sleep:
    description: Polling interval in seconds if watching is forbidden.
    type: int
    default: 5
  wait_for:
    description:
      - State to wait for. Except for V(deleted), at least one object must exist.
      - V(scheduled), V(running) and V(completed) apply to pods only. V(completed) means that the task's container has terminated, even if other containers
        are running.
      - V(ready) applies the readiness rules of M(podwright.core.resource_set), for instance that a Job is complete or a pod has succeeded. For the
        condition C(Ready) of a pod itself, set O(wait_condition).
    type: str
    choices: [scheduled, running, ready, completed, deleted]
  wait_condition:
    description: Condition in the status of the objects to wait for.
    type: dict
    suboptions:
      type:
        description: Type of the condition.
        type: str
        required: true
      status:
        description: Status of the condition.
        type: str
        choices: ["True", "False", "Unknown"]
        default: "True"
      reason:
        description: Reason of the condition. Defaults to any reason.
        type: str
"""

EXAMPLES = r"""
- name: Read the pods that Podwright manages
  podwright.core.pod_info:
    namespace: default
    label_selectors: [app.kubernetes.io/managed-by=podwright]
    events: true
  register: found

- name: Start a task
  podwright.core.task_pod:
    name: lead
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [sleep, "600"]

- name: Read the task, the pods below it and their resource requests
  podwright.core.pod_info:
    namespace: default
    parent: lead
  register: family

- name: Read an object of another kind
  podwright.core.pod_info:
    kind: Namespace
    name: default

- name: Read the first 10 pods of all namespaces
  podwright.core.pod_info:
    all_namespaces: true
    limit: 10
"""

RETURN = r"""
resources:
  description:
    - Manifests of the objects, without C(managedFields). Digests replace the values of Secrets, and literal environment variables of pods that
      Podwright manages.
    - Digests also replace annotations of a Secret that contain one of its values, or may hold its whole manifest, as some tools store it.
  returned: always
  type: list
  elements: dict
api_found:
  description: Whether the API server serves the kind. The task fails if it does not.
  returned: if the server was asked
  type: bool
truncated:
  description: Whether there may be more objects than O(limit). With selectors, the next page can be empty.
  returned: with O(limit)
  type: bool
continue_token:
  description: Value of O(continue_token) for the next page. Empty if there is none.
  returned: with O(limit)
  type: str
remaining:
  description: Number of objects after these. Null if the API server does not report it, as with selectors.
  returned: with O(limit)
  type: int
pods:
  description: Summary of each pod.
  returned: for pods, unless O(metadata_only) is set
  type: list
  elements: dict
  contains:
    name:
      description: Name of the pod.
      type: str
      returned: always
    namespace:
      description: Namespace of the pod.
      type: str
      returned: always
    phase:
      description: Phase of the pod.
      type: str
      returned: always
    ready:
      description: Number of ready containers and of all containers, with sidecars.
      type: str
      returned: always
      sample: 1/1
    restarts:
      description: Total restarts of the containers and sidecars.
      type: int
      returned: always
    reason:
      description: Reason of the pod's state, as in the Kubernetes API.
      type: str
      returned: always
    message:
      description: The reason as a sentence, or an empty string.
      type: str
      returned: always
    problems:
      description:
        - Containers that cannot start, for example because their image cannot be pulled. Each has C(container), C(image), C(reason) and C(message).
      type: list
      elements: dict
      returned: always
    node:
      description: Node to which the pod was scheduled.
      type: str
      returned: always
    age:
      description: Seconds since the pod was created.
      type: int
      returned: always
    exit_codes:
      description: Exit codes of the terminated containers.
      type: dict
      returned: always
    cpu:
      description: Cpu usage in cores.
      type: float
      returned: with O(metrics)
    memory:
      description: Memory usage in bytes.
      type: int
      returned: with O(metrics)
tree:
  description:
    - The object with its C(children), which have the same fields. The requests of an object are summed over its unfinished pods and those below it.
  returned: with O(parent)
  type: dict
  sample: {kind: Pod, name: lead, state: running, children: [], pods: 1, cpu_requested: 0.5, memory_requested: 134217728}
events:
  description: Events by name of the object, oldest first.
  returned: with O(events)
  type: dict
cluster:
  description: Address of the API server and the source of its configuration.
  returned: always
  type: dict
duration:
  description: Duration of the invocation in seconds.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_info import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
