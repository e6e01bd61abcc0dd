#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_deployment
short_description: Deploy pods that keep running, and update them without losing a request
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Creates a Deployment and its Service, rolls out changes by the chosen O(strategy), waits for them and reports why a pod does not become ready.
  - The progress of a rollout is stored on the objects, so the next run resumes one that was interrupted.
  - A pod without a O(readiness_probe) counts as ready after it has run for two seconds.
  - The container is named C(task), as in M(podwright.core.task_pod).
  - O(definition) is the manifest of a Pod, and O(patches) change it; the other fields of the Deployment are set by options.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.pod
  - podwright.core.review
  - podwright.core.attributes
options:
  name:
    description: Name of the Deployment.
    type: str
    required: true
  state:
    description:
      - V(present) rolls out the options.
      - V(paused) pauses the rollout, with V(rolling) before the first pod is replaced, with V(blue_green) when the new pods are ready, and with V(canary)
        at the first step.
      - V(promoted) completes a paused rollout, a canary or an interrupted change of the strategy to V(rolling) immediately.
      - V(aborted) returns to the previous revision if the rollout is incomplete. The pods in service are never scaled down for it.
      - V(rolled_back) returns to the previous revision, with V(blue_green) and V(canary) to one that was in service, or to O(revision). A second rollback
        changes nothing, unless somebody has changed the pods since.
      - V(absent) deletes the Deployment and everything that belongs to it.
    type: str
    choices: [present, absent, promoted, paused, aborted, rolled_back]
    default: present
  replicas:
    description: Number of pods. While an autoscaler scales the Deployment in service, or one before it, a new version gets as many pods as that in service has.
    type: int
    default: 1
  service:
    description:
      - Service of the pods, a name or a mapping with C(name) and C(ports), each port a number or C({port, target_port, name, protocol}). C(ports) defaults
        to the ports of the container.
      - A rollout deletes a Service that this option does not name any more.
      - The Service belongs to the version. Its ports change when the pods are ready, and a return to another version restores the Service of that version.
      - A Service that another tool created is refused, unless it has the label C(podwright.io/deployment) with O(name) as its value.
    type: raw
  strategy:
    description:
      - V(rolling) replaces a few pods at a time.
      - V(blue_green) creates all new pods beside the old ones and switches the Service in one write when they are ready. The old pods are kept until the next
        rollout, for V(rolled_back).
      - V(canary) adds new pods to the old ones by the weight of each step, judges each step by O(canary.analysis), and finally replaces the old pods.
      - The pods of another strategy stay in service until the new ones are ready. O(state=paused) cannot change the strategy to V(rolling).
    type: str
    choices: [rolling, blue_green, canary]
    default: rolling
  max_surge:
    description: Maximum number or percentage of pods above O(replicas) during a rollout.
    type: raw
    default: 1
  max_unavailable:
    description: Maximum number or percentage of unavailable pods during a rollout.
    type: raw
    default: 0
  progress_deadline:
    description:
      - Seconds without progress after which a rollout fails.
      - Kubernetes does not always count them while pods return to an earlier revision, such as one that failed before. Then O(wait_timeout) applies.
    type: int
    default: 600
  min_ready_seconds:
    description:
      - Seconds for which a new pod must be ready, without a crash, before it counts as available. Must be less than O(progress_deadline).
      - Defaults to 2 without O(readiness_probe), since a container that exits at once is ready for a moment, and to 0 with it.
    type: int
  drain_seconds:
    description: Seconds for which a pod keeps serving after its removal from the Service. Implemented by a C(pre_stop) hook unless O(lifecycle) has one.
    type: int
    default: 5
  rollback_on_failure:
    description: Return to the previous revision if a rollout fails. The task still fails.
    type: bool
    default: false
  revision:
    description: Revision to which O(state=rolled_back) returns, at least 1. Without it, the previous one.
    type: int
  canary:
    description: Steps of a canary rollout.
    type: dict
    suboptions:
      steps:
        description: Steps, in this order.
        type: list
        elements: dict
        suboptions:
          weight:
            description: Share of the new pods, in percent of the traffic.
            type: int
            required: true
          pause:
            description: Duration of the step in seconds before it is judged, or V(true) to wait for O(state=promoted) or O(state=aborted).
            type: raw
            default: 0
      route:
        description:
          - Split the traffic by an HTTPRoute (Gateway API) instead of by the number of pods. The route has the name of the Deployment.
          - During a canary rollout the new pods have a Service of their own, named as O(service) with the suffix C(-canary).
          - Tested with the definitions of the Gateway API only, not with a gateway.
        type: dict
        suboptions:
          parents:
            description: Gateways of the route, each a name or a C(parentRef).
            type: list
            elements: raw
            required: true
          hostnames:
            description: Host names of the route.
            type: list
            elements: str
            default: []
      analysis:
        description:
          - Measurements at the end of each step.
          - A failure aborts the rollout. An inconclusive measurement fails the task and keeps the step.
        type: list
        elements: dict
        suboptions:
          prometheus:
            description: Prometheus query, as in M(podwright.core.pod_autoscale).
            type: dict
            suboptions:
              server:
                description: URL of Prometheus, or C(NAMESPACE/SERVICE:PORT).
                type: str
                required: true
              query:
                description: Query.
                type: str
                required: true
          request:
            description: Request to a new pod, with C(port) and other options of M(podwright.core.pod_request). Its status is the measured value.
            type: dict
          command:
            description: Command in a new pod, with O(wait_timeout) as its timeout. Its exit code is the measured value.
            type: raw
          success:
            description: Success condition, such as C(< 0.05). Defaults to C(< 400) for a request and to C(== 0) for a command.
            type: str
          failure:
            description: Failure condition. Defaults to the opposite of O(canary.analysis[].success).
            type: str
  wait:
    description:
      - Wait until the rollout is complete. Must be V(true) if the Service is switched, with V(blue_green), V(canary) and O(state=rolled_back).
      - With V(rolling), a rollout that changes the selector or the ports of the Service waits for the pods in any case.
    type: bool
    default: true
  wait_timeout:
    description: Timeout of the wait in seconds. Defaults to O(progress_deadline) plus 60.
    type: int
  wait_sleep:
    description: Polling interval in seconds if watching is forbidden.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Deploy two pods behind a Service
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

- name: Switch the Service to a new version when its pods are ready, and roll back on failure
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

- name: Roll out with a canary at 25 % of the traffic
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
  description: Revision in service.
  returned: always
  type: int
active:
  description: Generation in service, or with O(strategy=rolling) the Deployment.
  returned: always
  type: str
preview:
  description: Generation that is not yet in service.
  returned: always
  type: str
weights:
  description: Share of the traffic of each generation in percent.
  returned: always
  type: dict
analysis:
  description: Measurements, each with C(step), C(weight), C(what), C(value), C(outcome), and C(message) (why there is no value, if that is known).
  returned: always
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
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_deployment import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
