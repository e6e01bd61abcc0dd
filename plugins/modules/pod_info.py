#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_info
short_description: Read pods or other objects, and wait for them
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - Reads pods, or with O(kind) and O(api_version) objects of any kind, by name or by selectors.
  - Waits, by watch, until all of them are as O(wait_for) or O(wait_condition) says, and says why not where they do not get there.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes.reading
options:
  name:
    description: Name of the object. Without it, all that the selectors choose.
    type: str
  kind:
    description: Kind of the objects.
    type: str
    default: Pod
  api_version:
    description: API version of the objects.
    type: str
    default: v1
    aliases: [api, version]
  label_selectors:
    description: Label selectors that all must hold.
    type: list
    elements: str
    default: []
  field_selectors:
    description: Field selectors that all must hold.
    type: list
    elements: str
    default: []
  parent:
    description:
      - The object whose tree to read, the name of a pod or a mapping with C(name), C(kind) and C(api_version). The pods below it are returned, through
        Jobs, ReplicaSets and any other kinds that stand between.
    type: raw
  events:
    description: Whether to return the events about each object.
    type: bool
    default: false
  metrics:
    description: Whether to return the cpu and memory in use by each pod. Needs the metrics API.
    type: bool
    default: false
  wait:
    description: Whether to wait; O(wait_for) and O(wait_condition) imply it. Alone, it waits for V(ready).
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait.
    type: int
    default: 120
  wait_sleep:
    description: Seconds between two looks where the cluster allows no watch.
    type: int
    default: 5
  wait_for:
    description:
      - What to wait for. At least one object must be there, but for V(deleted).
      - V(scheduled), V(running) and V(completed) are for pods. V(ready) of another kind is what M(podwright.core.resource_set) waits for, that a
        Job is complete for instance.
      - V(completed) means that the task's container ended, whatever else runs in the pod.
    type: str
    choices: [scheduled, running, ready, completed, deleted]
  wait_condition:
    description: A condition in the objects' status to wait for.
    type: dict
    suboptions:
      type:
        description: Type of the condition.
        type: str
        required: true
      status:
        description: Its status.
        type: str
        choices: ["True", "False", "Unknown"]
        default: "True"
      reason:
        description: Its reason, where that matters.
        type: str
"""

EXAMPLES = r"""
- name: The pods of this namespace that Podwright manages
  podwright.core.pod_info:
    namespace: default
    label_selectors: [app.kubernetes.io/managed-by=podwright]
    events: true
  register: found

- name: A task
  podwright.core.task_pod:
    name: lead
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [sleep, "600"]

- name: The task, what it has started and what all that asks for
  podwright.core.pod_info:
    namespace: default
    parent: lead
  register: family

- name: Any kind
  podwright.core.pod_info:
    kind: Namespace
    name: default
"""

RETURN = r"""
resources:
  description: The objects' manifests; a digest stands for each value of a Secret, and for literal environment variables of Podwright's own pods.
  returned: always
  type: list
  elements: dict
pods:
  description: The pods in one line each.
  returned: for pods
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
      description: Ready containers of all.
      type: str
      returned: always
      sample: 1/1
    restarts:
      description: Restarts of all containers.
      type: int
      returned: always
    reason:
      description: Why it is as it is, in one word.
      type: str
      returned: always
    node:
      description: The node it runs on.
      type: str
      returned: always
    age:
      description: Seconds since its creation.
      type: int
      returned: always
    exit_codes:
      description: Exit code by container, for those that ended.
      type: dict
      returned: always
    cpu:
      description: Cores in use.
      type: float
      returned: with O(metrics)
    memory:
      description: Bytes of memory in use.
      type: int
      returned: with O(metrics)
tree:
  description:
    - The object with C(children), each of which has the same fields. What it uses is counted from its pods and those below it that have not ended.
  returned: with O(parent)
  type: dict
  sample: {kind: Pod, name: lead, state: running, children: [], pods: 1, cpu_requested: 0.5, memory_requested: 134217728}
events:
  description: The events by object name, oldest first.
  returned: with O(events)
  type: dict
cluster:
  description: The server that answered and where its address came from.
  returned: always
  type: dict
duration:
  description: Seconds it took.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils.operations.pod_info import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
