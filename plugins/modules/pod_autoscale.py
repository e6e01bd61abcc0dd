#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_autoscale
short_description: Scale what runs pods, to a fixed number or by its load
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - With O(replicas), scales to that number through the scale subresource and waits for the pods, as C(kubernetes.core.k8s_scale) does.
  - Else makes an autoscaler for the object, or with O(engine=direct) computes and takes one step itself.
  - A manifest that M(podwright.core.resource_set) applies again never resets the replicas of an object that is scaled automatically. With
    O(state=absent) the object keeps the number it has then, and its manifest sets it again.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes
options:
  kind:
    description: Kind of the object. A V(Pod) means its controller.
    type: str
    default: Deployment
  api_version:
    description: API version of the object, where the kind is none of Kubernetes' own.
    type: str
    aliases: [api, version]
  name:
    description: Name of the object, and of its autoscaler.
    type: str
  label_selectors:
    description: Label selectors that choose the objects to scale to a fixed number.
    type: list
    elements: str
    default: []
  resource_version:
    description: Scale only an object of this resource version.
    type: str
  continue_on_error:
    description: Whether to go on with the other objects where one cannot be scaled.
    type: bool
    default: false
  state:
    description: Whether there should be an autoscaler. V(absent) takes it away.
    type: str
    choices: [present, absent]
    default: present
  replicas:
    description: A fixed number of replicas; the parallelism of a Job.
    type: int
  current_replicas:
    description: Scale only an object that has this number of replicas.
    type: int
  min_replicas:
    description: The least number of replicas.
    type: int
    default: 1
  max_replicas:
    description: The greatest number of replicas.
    type: int
    default: 10
  target_cpu:
    description: Cpu in use that is aimed at, in percent of what the containers request.
    type: int
  target_memory:
    description: Memory in use that is aimed at, in percent of what the containers request.
    type: int
  metrics:
    description: Further metrics, as in a HorizontalPodAutoscaler of autoscaling/v2.
    type: list
    elements: dict
  prometheus:
    description: A query to scale by.
    type: dict
    suboptions:
      server:
        description: URL of Prometheus, or C(NAMESPACE/SERVICE:PORT) of a Service, which the API server passes the question on to (only with V(direct)).
        type: str
        required: true
      query:
        description: The query; its samples are added up.
        type: str
        required: true
      target:
        description: What one replica should have of it.
        type: float
        required: true
  scale_up_cooldown:
    description:
      - Seconds before another increase. With the engine V(direct), seconds since the last change.
      - With V(hpa) and V(keda) it becomes the stabilization window of C(behavior.scaleUp), which is not the same. The autoscaler then acts on the least that
        was recommended during the window, and no window is longer than 3600 seconds.
    type: int
  scale_down_cooldown:
    description: The same before a decrease; the autoscaler acts on the most that was recommended during the window. Kubernetes' default is 300 seconds.
    type: int
  behavior:
    description: The C(behavior) of the HorizontalPodAutoscaler in its own form; cool-downs fill in what it leaves open.
    type: dict
  engine:
    description:
      - V(hpa) makes a HorizontalPodAutoscaler (autoscaling/v2).
      - V(keda) makes a KEDA ScaledObject. Tested with KEDA's definition only, not with KEDA itself.
      - V(direct) takes one step in each run. It asks the metrics API or Prometheus, decides as a HorizontalPodAutoscaler would, and keeps the time of the
        last change on the object, so that cool-downs hold across runs and machines.
      - V(auto) is V(hpa); for O(prometheus) it is V(keda) where that is installed, else V(direct).
    type: str
    choices: [auto, hpa, keda, direct]
    default: auto
  wait:
    description: Whether to wait until the replicas are ready or the autoscaler can read its metrics. Without it, only for a fixed number.
    type: bool
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
- name: Something to scale
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

- name: Two of them
  podwright.core.pod_autoscale:
    name: web
    namespace: default
    replicas: 2

- name: As many as its load asks for
  podwright.core.pod_autoscale:
    name: web
    namespace: default
    min_replicas: 1
    max_replicas: 5
    target_cpu: 70
    scale_down_cooldown: 120

- name: No autoscaler
  podwright.core.pod_autoscale:
    name: web
    namespace: default
    state: absent
"""

RETURN = r"""
replicas:
  description: The number that was asked for before and is asked for now, and what it should be.
  returned: where the object is there
  type: dict
  contains:
    before:
      description: The number before.
      type: int
      returned: always
    after:
      description: The number now.
      type: int
      returned: always
    desired:
      description: What was asked for, or what the metrics ask for.
      type: int
      returned: always
engine:
  description: What scales, V(fixed) for a fixed number.
  returned: always
  type: str
metrics:
  description: The metrics as observed, by the autoscaler or by ourselves.
  returned: always
  type: list
  elements: dict
result:
  description: The object, or its autoscaler.
  returned: when O(state=present)
  type: dict
results:
  description: Name and numbers of each, where O(label_selectors) chose several.
  returned: for several objects
  type: list
  elements: dict
errors:
  description: What could not be scaled.
  returned: for a fixed number
  type: list
  elements: dict
plan:
  description: The steps, each with C(action) and C(patch).
  returned: always
  type: list
  elements: dict
duration:
  description: Seconds it took.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils.operations.pod_autoscale import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
