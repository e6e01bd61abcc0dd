#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_gc
short_description: Delete finished, expired, orphaned and stuck pods, and objects that tasks left behind
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Evaluates the retention policies that are set for every pod in scope, and deletes by UID the pods that a policy selects.
  - Without a policy nothing is deleted. Check mode returns what would be deleted and why the rest is kept.
  - Ages are calculated with the clock of the API server.
  - A pod of an unfinished Job is left to the Job unless it is orphaned, evicted or stuck.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.review
  - podwright.core.attributes
options:
  namespaces:
    description: Namespaces in scope, instead of O(namespace). V(['*']) selects all namespaces.
    type: list
    elements: str
  label_selectors:
    description: Label selectors that objects in scope must match. Defaults to the objects that Podwright manages.
    type: list
    elements: str
  completed:
    description:
      - Retention policy for succeeded pods.
      - A pod whose result is to be recorded (O(podwright.core.task_pod#module:record)) and is not, because its playbook was interrupted, is kept until
        the next run of the task records it, or as long as O(records) without C(keep_last) and O(expired) would keep its record.
      - At least one of O(completed.max_age) and O(completed.keep_last) must be set.
    type: dict
    suboptions: &retention
      max_age:
        description: Minimum retention in seconds since the object finished. Without it only C(keep_last) counts.
        type: int
      keep_last:
        description: Number of most recent objects to keep in each namespace, regardless of their age. Without it only C(max_age) counts.
        type: int
  failed:
    description: Retention policy for failed pods, as O(completed).
    type: dict
    suboptions: *retention
  records:
    description:
      - Retention policy for the records of M(podwright.core.task_pod), as O(completed). A task without a record runs again when its playbook runs again.
      - It also applies to the notes in which of several clusters a task was started, 30 days after that at the earliest. They are kept while this cluster
        has a Pod or Job of the task, and those of tasks that do not finish until the task is deleted.
    type: dict
    suboptions: *retention
  orphaned:
    description:
      - Delete pods whose owners and parents are all deleted or are finished tasks. Owners can be of any kind and are compared by UID.
      - A pod is not orphaned by the termination of its controller, such as the Job of the pod.
      - If the kind of an owner cannot be listed, the pod is kept with a warning.
    type: bool
    default: false
  evicted:
    description: Delete evicted pods, except for those with a result that is not recorded, as with O(completed).
    type: bool
    default: false
  expired:
    description:
      - Delete finished pods and records that are older than the C(ttl) of their task.
      - Pods without one have the TTL of the namespace, whose annotation C(podwright.io/ttl) is set by the role P(podwright.core.quota#role). As with
        O(completed), a pod with a result that is not recorded is kept.
    type: bool
    default: false
  stuck:
    description:
      - Policy for pods that do not start or do not terminate.
      - A pod is stuck if none of its containers has ever been started, init containers and sidecars included. A pod that runs, initializes or restarts its
        containers is never stuck, nor is a pod with a scheduling gate.
    type: dict
    suboptions:
      max_age:
        description:
          - Minimum waiting time in seconds, since the pod was scheduled, or since its creation if it has not been scheduled.
          - If the spec of an unscheduled pod was changed since, as a queue does when it admits the pod, this counts since then. Before Kubernetes 1.33, such a
            change is not noticed.
        type: int
        default: 3600
      force:
        description:
          - Also delete, without a grace period, pods whose deletion is overdue by O(stuck.max_age) seconds. If the node is only unreachable, their
            containers can keep running.
          - Other pods keep their grace period.
        type: bool
        default: false
  reclaim:
    description:
      - Kinds of objects to delete if tasks left them behind. An object is deleted if all its owners are deleted, or if it has no owner, has the label
        C(podwright.io/task), and no Pod or Job of that task exists.
      - If this run deletes the last of these, a later run deletes the object.
      - A Secret that M(podwright.core.pod_deployment) created for C(secret_env) is also deleted if no Deployment refers to it, nor a ReplicaSet that is kept
        for a rollback. This requires the permission to list both.
      - A Job is deleted after its pods if it has finished, except for one with a result that is not recorded, as with O(completed). A Job with pods that are
        not in scope is kept.
    type: list
    elements: str
    choices: [ConfigMap, Job, NetworkPolicy, PersistentVolumeClaim, Secret, Service]
    default: []
  reclaim_age:
    description: Minimum age in seconds of objects to reclaim. Some objects are created before their pod.
    type: int
    default: 600
  propagation_policy:
    description: Propagation policy of the deletions.
    type: str
    choices: [Background, Foreground, Orphan]
    default: Background
  grace_period:
    description: Deletion grace period in seconds. Defaults to the grace period of each pod.
    type: int
  limit:
    description: Maximum number of objects to delete. Pods are first, then Jobs, and of each those that finished first.
    type: int
  rate:
    description: Maximum number of deletions per second.
    type: float
  concurrency:
    description: Maximum number of deletions at the same time.
    type: int
    default: 16
  wait:
    description: Wait until the objects are deleted.
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
"""

EXAMPLES = r"""
- name: Preview what would be deleted
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

- name: Show the objects and the reasons
  ansible.builtin.debug:
    var: garbage.deleted

- name: Delete at most a hundred succeeded pods
  podwright.core.pod_gc:
    namespace: default
    completed: {max_age: 86400}
    limit: 100
"""

RETURN = r"""
deleted:
  description: Objects that were deleted, or would be deleted in check mode.
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
      description: UID of the object.
      type: str
      returned: always
    policy:
      description: Policy that selected the object.
      type: str
      returned: if one did
    reason:
      description: Why the object is deleted or kept.
      type: str
      returned: always
kept:
  description: Objects in scope that are kept.
  returned: always
  type: list
  elements: dict
  contains: *entry
errors:
  description: Objects that could not be deleted.
  returned: always
  type: list
  elements: dict
  contains:
    msg:
      description: Error message.
      type: str
      returned: always
reclaimed:
  description: Resources that were reclaimed. Finished pods hold no cpu, memory or GPUs.
  returned: always
  type: dict
  contains:
    cpu:
      description: Requested cpu of the pods in cores.
      type: float
      returned: always
    memory:
      description: Requested memory of the pods in bytes.
      type: int
      returned: always
    storage:
      description: Requested storage of the claims in bytes.
      type: int
      returned: always
    gpus:
      description: Requested GPUs of the pods, of any vendor.
      type: int
      returned: always
    pods:
      description: Number of deleted pods.
      type: int
      returned: always
summary:
  description: Numbers of deleted and kept objects, and of errors.
  returned: always
  type: dict
plan:
  description: Deletions that were made, or would be made in check mode, each with its reason as C(note).
  returned: always
  type: list
  elements: dict
plan_digest:
  description: Digest of the plan for its review, see O(expect), with the time for which ages were calculated.
  returned: in check mode, or if O(expect) or O(plan_file) is set
  type: str
duration:
  description: Duration of the invocation in seconds.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_gc import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
