#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_autoscale
short_description: Scale workloads to a fixed number of replicas or by their load
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - With O(replicas), scales an object through its scale subresource and waits for the pods, like C(kubernetes.core.k8s_scale).
  - Without O(replicas), creates an autoscaler for the object, or with O(engine=direct) computes and takes one scaling step itself.
  - An object has one autoscaler. One that an earlier task created with another O(engine) is deleted; an object that somebody else's autoscaler scales is
    refused, and so is a fixed number of replicas for an object with any autoscaler.
  - A HorizontalPodAutoscaler with the name of its object, such as one of C(kubectl autoscale), is taken over by O(engine=hpa), unless it is a member of a set
    of M(podwright.core.resource_set).
  - At 0 replicas, an autoscaler is paused, unless it is a ScaledObject; so is O(engine=direct), unless O(min_replicas) is 0. The object can then be scaled to a
    fixed number, which resumes it.
  - M(podwright.core.resource_set) never resets the replicas of an object that is scaled automatically. After O(state=absent) the object keeps its
    current replicas until its manifest is applied again.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.review
  - podwright.core.attributes
options:
  kind:
    description: Kind of the object. V(Pod) selects the controller of the pod.
    type: str
    default: Deployment
  api_version:
    description: API version of the object. Required for kinds that are not built into Kubernetes.
    type: str
    aliases: [api, version]
  name:
    description: Name of the object and of its autoscaler.
    type: str
  label_selectors:
    description: Label selectors of the objects to scale to a fixed number of replicas.
    type: list
    elements: str
    default: []
  resource_version:
    description: Scale the object only if it has this resource version.
    type: str
  continue_on_error:
    description: Continue with the other objects if one cannot be scaled.
    type: bool
    default: false
  state:
    description:
      - V(present) creates or updates the autoscaler, V(absent) deletes it.
      - V(absent) keeps an autoscaler that this module has not created, or that is a member of a set, and warns.
    type: str
    choices: [present, absent]
    default: present
  replicas:
    description: Fixed number of replicas, or parallelism of a Job.
    type: int
  current_replicas:
    description: Scale the object only if it has this number of replicas.
    type: int
  min_replicas:
    description: Minimum number of replicas.
    type: int
    default: 1
  max_replicas:
    description: Maximum number of replicas.
    type: int
    default: 10
  target_cpu:
    description: Target cpu utilization in percent of the containers' requests, which every container must have; O(engine=hpa) warns if one has not.
    type: int
  target_memory:
    description: Target memory utilization in percent of the containers' requests, which every container must have; O(engine=hpa) warns if one has not.
    type: int
  metrics:
    description: Additional metrics in the form of a HorizontalPodAutoscaler (autoscaling/v2).
    type: list
    elements: dict
  prometheus:
    description: Prometheus query to scale by.
    type: dict
    suboptions:
      server:
        description:
          - URL of Prometheus, or C(SERVICE:PORT) or C(NAMESPACE/SERVICE:PORT) of a Service, which O(engine=direct) reaches through the API server's proxy.
        type: str
        required: true
      query:
        description:
          - Query, whose samples are summed. Nothing is scaled without samples.
          - With O(engine=keda) it must not be a calculation with scalars, whose samples Prometheus cannot sum. Wrap it in V(vector(\)).
        type: str
        required: true
      target:
        description: Target value for each replica.
        type: float
        required: true
  scale_up_cooldown:
    description:
      - Minimum number of seconds since the last change before the replicas are increased with O(engine=direct).
      - With V(hpa) and V(keda), the stabilization window of C(behavior.scaleUp), at most 3600 seconds. It has a different effect, as the autoscaler uses
        the lowest recommendation of the window.
    type: int
  scale_down_cooldown:
    description:
      - Minimum number of seconds since the last change before the replicas are decreased with O(engine=direct).
      - With V(hpa) and V(keda), the stabilization window of C(behavior.scaleDown), of which the autoscaler uses the highest recommendation. Kubernetes
        defaults to 300 seconds.
      - With V(keda) and O(min_replicas) 0, also the time after which the last replica is removed.
    type: int
  behavior:
    description: The C(behavior) of the HorizontalPodAutoscaler in the API's form. Its own stabilization windows take precedence over the cooldowns.
    type: dict
  engine:
    description:
      - V(hpa) creates a HorizontalPodAutoscaler (autoscaling/v2).
      - V(keda) creates a KEDA ScaledObject.
      - V(direct) takes one step in each run, from the metrics API or Prometheus, with the algorithm of a HorizontalPodAutoscaler, so pods that are
        starting or have no metrics never cause a change.
      - V(direct) records the time of the last change on the object, so cooldowns apply across runs and machines.
      - V(auto) selects V(hpa), or for O(prometheus) V(keda) if KEDA is installed and V(direct) otherwise.
    type: str
    choices: [auto, hpa, keda, direct]
    default: auto
  wait:
    description:
      - Wait until the replicas are ready or the autoscaler reads its metrics. Defaults to V(true) for a fixed number of replicas only.
      - The replicas of a paused Deployment are waited for, too, since Kubernetes scales it with its earlier pods.
    type: bool
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
- name: Create a Deployment
  podwright.core.resource_set:
    namespace: default
    definition:
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: web}
      spec:
        selector: {matchLabels: {app: web}}
        template:
          metadata: {labels: {app: web}}
          spec:
            terminationGracePeriodSeconds: 0
            containers:
              - name: web
                image: busybox
                imagePullPolicy: IfNotPresent
                command: [httpd, -f, -p, "8080"]
                resources: {requests: {cpu: 10m}}

- name: Scale it to two replicas
  podwright.core.pod_autoscale:
    name: web
    namespace: default
    replicas: 2

- name: Scale it by cpu utilization
  podwright.core.pod_autoscale:
    name: web
    namespace: default
    min_replicas: 1
    max_replicas: 5
    target_cpu: 70
    scale_down_cooldown: 120

- name: Delete the autoscaler
  podwright.core.pod_autoscale:
    name: web
    namespace: default
    state: absent
"""

RETURN = r"""
replicas:
  description: Numbers of replicas before and after the task, and the desired number.
  returned: if the object exists
  type: dict
  contains:
    before:
      description: Replicas before the task.
      type: int
      returned: always
    after:
      description: Replicas after the task.
      type: int
      returned: always
    desired:
      description: Desired replicas, from O(replicas) or from the metrics.
      type: int
      returned: always
engine:
  description: Engine that scales the object, or V(fixed) for a fixed number of replicas.
  returned: always
  type: str
metrics:
  description:
    - Current values of the metrics, as read by the autoscaler or with O(engine=direct) by the module.
    - With O(engine=direct), C(value) and C(target) are percentages of the requests if C(per=share); if C(per=pod), the target is for each pod.
  returned: always
  type: list
  elements: dict
result:
  description: The scaled object, or its autoscaler.
  returned: when O(state=present)
  type: dict
results:
  description: Name, replicas and C(result) of each object.
  returned: if O(label_selectors) selects several objects
  type: list
  elements: dict
errors:
  description: Objects that could not be scaled, with their errors.
  returned: with O(replicas)
  type: list
  elements: dict
plan:
  description: Changes that were made, or would be made in check mode, each with C(action) and C(patch).
  returned: always
  type: list
  elements: dict
plan_digest:
  description: Digest of the plan for its review, see O(expect).
  returned: in check mode, or if O(expect) or O(plan_file) is set
  type: str
duration:
  description: Duration of the invocation in seconds.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_autoscale import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
