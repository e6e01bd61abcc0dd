#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_deployment
short_description: Deploy pods that keep running, and change them without losing a request
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - Makes a Deployment and its Service as the options say. A change of the options is brought out by O(strategy), waited for, and reported with the
    reason of a pod that does not get ready.
  - All that a later run needs to know is kept on the objects, so that a run that was killed is resumed by the next.
  - A pod without a O(readiness_probe) counts as ready once it has run for two seconds.
  - The container's name is C(task), as in M(podwright.core.task_pod).
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.pod
  - podwright.core.attributes
options:
  name:
    description: Name of the deployment.
    type: str
    required: true
  state:
    description:
      - V(present) brings out what the options say. V(paused) stops on the way, with V(rolling) before any pod is changed, with V(blue_green) once the new pods
        are ready, with V(canary) at the first step.
      - V(promoted) goes on at once with what was paused or is a canary. V(aborted) returns to what was there before, if the change is not complete; what is
        in service is never made smaller for it.
      - V(rolled_back) returns to the revision before, or to O(revision). V(absent) deletes all of it.
    type: str
    choices: [present, absent, promoted, paused, aborted, rolled_back]
    default: present
  replicas:
    description: How many pods. An autoscaler that holds the Deployment decides instead.
    type: int
    default: 1
  service:
    description:
      - The Service that leads to the pods, its name or a mapping with C(name) and C(ports), each a number or C({port, target_port, name, protocol}).
        The container's ports where it names none.
    type: raw
  strategy:
    description:
      - V(rolling) replaces a few pods at a time.
      - V(blue_green) makes all new pods beside the old ones, and turns the Service in one write once they are ready. The old ones stay until the next
        change, for V(rolled_back).
      - V(canary) adds as many new pods to the old ones as the weight of each step asks for, judges each step by O(canary.analysis), and at last replaces
        the old ones.
    type: str
    choices: [rolling, blue_green, canary]
    default: rolling
  max_surge:
    description: How many pods, or what share, there may be beyond the number asked for while they are replaced.
    type: raw
    default: 1
  max_unavailable:
    description: How many pods, or what share, may be missing while they are replaced.
    type: raw
    default: 0
  progress_deadline:
    description: Seconds without progress after which a change has failed.
    type: int
    default: 600
  drain_seconds:
    description: Seconds for which a pod of a Service serves on after it was taken out of it, by a C(pre_stop) of its own where O(lifecycle) has none.
    type: int
    default: 5
  rollback_on_failure:
    description: Whether to return to what was there before when a change fails. The task fails all the same.
    type: bool
    default: false
  revision:
    description: The revision that V(rolled_back) returns to.
    type: int
  canary:
    description: The steps of a canary.
    type: dict
    suboptions:
      steps:
        description: One after the other.
        type: list
        elements: dict
        suboptions:
          weight:
            description: The share (%) of the traffic that the new pods take, by their number beside the old ones.
            type: int
            required: true
          pause:
            description: Seconds that the step lasts before it is judged; V(true) until it is promoted or aborted.
            type: raw
            default: 0
      route:
        description:
          - Divide the traffic by an HTTPRoute (Gateway API) instead of by the number of pods. It is named as the deployment, and the new pods get a Service
            of their own beside O(service), whose name ends with C(-canary), while they are a canary.
          - Tested with the Gateway API's definitions only, not with a gateway.
        type: dict
        suboptions:
          parents:
            description: The Gateways that the route belongs to, each a name or a C(parentRef).
            type: list
            elements: raw
            required: true
          hostnames:
            description: Host names that the route is for.
            type: list
            elements: str
            default: []
      analysis:
        description: What is measured at the end of each step. A failure aborts; what is neither success nor failure stops there, for a later run.
        type: list
        elements: dict
        suboptions:
          prometheus:
            description: A query and the Prometheus that answers it, as in M(podwright.core.pod_autoscale).
            type: dict
            suboptions:
              server:
                description: Its URL, or C(NAMESPACE/SERVICE:PORT).
                type: str
                required: true
              query:
                description: The query.
                type: str
                required: true
          request:
            description: Options of M(podwright.core.pod_request), without the pod, which is a new one. Its status is what is measured.
            type: dict
          command:
            description: A command to run in a new pod. Its exit code is what is measured.
            type: raw
          success:
            description: When it is a success, C(< 0.05) for instance. For a request C(< 400), for a command C(== 0) where it is not given.
            type: str
          failure:
            description: When it is a failure. Without it, whatever is no success.
            type: str
  wait:
    description: Whether to wait for the pods.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait. The O(progress_deadline) and a minute where it is not given.
    type: int
  wait_sleep:
    description: Seconds between two looks where the cluster allows no watch.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Two pods behind a Service
  podwright.core.pod_deployment:
    name: shop
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [httpd, -f, -p, "8080", -h, /etc]
    ports: [8080]
    readiness_probe: {tcp: 8080, interval: 1}
    replicas: 2
    service: {name: shop, ports: [{port: 80, target_port: 8080}]}

- name: All at once to another version, if it answers
  podwright.core.pod_deployment:
    name: blog
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [httpd, -f, -p, "8080", -h, /etc]
    ports: [8080]
    readiness_probe: {http: "/passwd:8080", interval: 1}
    service: blog
    strategy: blue_green
    rollback_on_failure: true

- name: A quarter of the traffic first
  podwright.core.pod_deployment:
    name: wiki
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [httpd, -f, -p, "8080", -h, /etc]
    ports: [8080]
    readiness_probe: {tcp: 8080, interval: 1}
    replicas: 3
    service: wiki
    strategy: canary
    canary:
      steps: [{weight: 25, pause: 1}]
      analysis:
        - request: {port: 8080, path: /passwd}
        - command: [test, -e, /etc/passwd]
"""

RETURN = r"""
revision:
  description: The revision in service.
  returned: always
  type: int
active:
  description: What is in service, the Deployment of V(rolling), else the generation.
  returned: always
  type: str
preview:
  description: The generation that is not in service yet.
  returned: always
  type: str
weights:
  description: The share (%) of the traffic by generation.
  returned: always
  type: dict
analysis:
  description: What was measured, each with C(step), C(weight), C(what), C(value) and C(outcome).
  returned: always
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
from ansible_collections.podwright.core.plugins.module_utils.operations.pod_deployment import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
