#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_gc
short_description: Delete pods that are over, orphaned or stuck, and what tasks left behind
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - Looks at every pod in scope, decides by the policies that are given, and deletes what one of them lets go, by uid.
  - Without a policy nothing is deleted. Check mode shows what would go and why the rest stays.
  - Ages are reckoned by the API server's clock.
  - A pod whose Job has not ended is left to the Job, unless it is orphaned, evicted or stuck.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes
options:
  namespaces:
    description:
      - The namespaces to look at, instead of O(namespace). V(['*']) means all of them.
    type: list
    elements: str
  label_selectors:
    description: Label selectors that all must hold. Without them, only what Podwright manages is looked at.
    type: list
    elements: str
  completed:
    description: Let pods go whose task succeeded.
    type: dict
    suboptions: &keep
      max_age:
        description: Seconds since its end during which each stays.
        type: int
        default: 0
      keep_last:
        description: How many of the latest of each namespace stay, whatever their age.
        type: int
        default: 0
  failed:
    description: Let pods go whose task failed.
    type: dict
    suboptions: *keep
  records:
    description: Let the records go that M(podwright.core.task_pod) keeps of tasks. A task whose record is gone runs again when its playbook does.
    type: dict
    suboptions: *keep
  orphaned:
    description:
      - Let pods go when all their owners and parents are gone, or are tasks that have ended. Owners may be of any kind; they are known by uid, so that
        another object of the same name is no owner.
      - What a controller made, the pods of a Job for instance, is not orphaned by the controller's end.
      - Where the owner's kind cannot be listed, the pod stays, and a warning says so.
    type: bool
    default: false
  evicted:
    description: Let pods go that were evicted.
    type: bool
    default: false
  expired:
    description:
      - Let pods and records go whose C(ttl) has passed since their end. It is that of the task, else that of the namespace (its annotation
        C(podwright.io/ttl), which the role P(podwright.core.quota#role) sets).
    type: bool
    default: false
  stuck:
    description: Let pods go that do not get anywhere.
    type: dict
    suboptions:
      max_age:
        description: Seconds since its creation after which a pod that has not started goes.
        type: int
        default: 3600
      force:
        description:
          - Also end, at once, pods whose deletion has been due for O(stuck.max_age) seconds. What ran in them may still run, if their node is only cut off.
        type: bool
        default: false
  reclaim:
    description:
      - Kinds of objects that tasks may leave behind. One goes when all its owners are gone, or, where it has none and carries the label C(podwright.io/task),
        when no pod or Job of that task is left. A Job goes when it has ended and has no pods any more.
    type: list
    elements: str
    choices: [ConfigMap, Job, NetworkPolicy, PersistentVolumeClaim, Secret, Service]
    default: []
  reclaim_age:
    description: Seconds since its creation during which nothing is reclaimed; some objects exist before their pod does.
    type: int
    default: 600
  propagation_policy:
    description: What happens to what the deleted objects own.
    type: str
    choices: [Background, Foreground, Orphan]
    default: Background
  grace_period:
    description: Seconds that pods get to end. Without it, their own.
    type: int
  limit:
    description: How many objects to delete at most, those that ended first.
    type: int
  rate:
    description: How many deletes a second at most.
    type: float
  concurrency:
    description: How many deletes at a time.
    type: int
    default: 16
  wait:
    description: Whether to wait until what was deleted is gone. Pods that are over go at once.
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
"""

EXAMPLES = r"""
- name: What would go, and why the rest stays
  podwright.core.pod_gc:
    namespace: default
    completed: {max_age: 86400, keep_last: 10}
    failed: {max_age: 604800}
    orphaned: true
    evicted: true
    expired: true
    stuck: {max_age: 3600}
    reclaim: [ConfigMap, Secret, NetworkPolicy, Job]
  check_mode: true
  register: garbage

- name: Show it
  ansible.builtin.debug:
    var: garbage.deleted

- name: At most a hundred of those that are over
  podwright.core.pod_gc:
    namespace: default
    completed: {max_age: 86400}
    limit: 100
"""

RETURN = r"""
deleted:
  description: What was, or in check mode would be, deleted.
  returned: always
  type: list
  elements: dict
  contains: &entry
    kind:
      description: Kind of the object.
      type: str
      returned: always
    namespace:
      description: Namespace of the object.
      type: str
      returned: always
    name:
      description: Name of the object.
      type: str
      returned: always
    uid:
      description: Uid of the object.
      type: str
      returned: always
    policy:
      description: The policy that decided.
      type: str
      returned: where one did
    reason:
      description: Why.
      type: str
      returned: always
      sample: it ended 86420 s ago
kept:
  description: What was looked at and stays.
  returned: always
  type: list
  elements: dict
  contains: *entry
errors:
  description: What could not be deleted, with the error as C(msg).
  returned: always
  type: list
  elements: dict
  contains:
    msg:
      description: The error.
      type: str
      returned: always
reclaimed:
  description: What was given back. Pods that were over held no cpu, memory or GPUs any more.
  returned: always
  type: dict
  contains:
    cpu:
      description: Cores that the pods requested.
      type: float
      returned: always
    memory:
      description: Bytes of memory that the pods requested.
      type: int
      returned: always
    storage:
      description: Bytes that claims requested.
      type: int
      returned: always
    gpus:
      description: GPUs that the pods requested, of any vendor.
      type: int
      returned: always
    pods:
      description: Pods deleted.
      type: int
      returned: always
summary:
  description: Counts of what was deleted, kept and failed to be deleted.
  returned: always
  type: dict
plan:
  description: The deletes as steps of a plan, each with its reason as C(note).
  returned: always
  type: list
  elements: dict
duration:
  description: Seconds it took.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils.operations.pod_gc import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
