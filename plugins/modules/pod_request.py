#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_request
short_description: Send requests to pods and Services without an ingress
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - Sends HTTP, HTTPS or gRPC requests to a port of a pod, through the API server (port-forward).
    The port needs to be reachable from nowhere else, not even from other pods.
  - Of a Service, one of its ready pods is asked, at the port that the Service maps to.
  - The answer is returned as by M(ansible.builtin.uri). Redirects are not followed.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes.request
options:
  pod:
    description: Name of the pod. Either this or O(service) is needed.
    type: str
  service:
    description: Name of the Service.
    type: str
  port:
    description: Port, as a number or by its name in the pod or Service.
    type: str
    required: true
  server_name:
    description: Host that the request and TLS name. By default the pod's name, or the Service's with its namespace and C(.svc).
    type: str
  server_ca:
    description: File with the authority of the pod's own certificate, for V(https). Without it that certificate is not verified.
    type: path
  protocol:
    description:
      - V(http) or V(https), or V(grpc) for a unary call.
      - For V(grpc) the Python library grpcio is needed, grpcio-health-checking for the health check, and grpcio-reflection for other methods.
    type: str
    choices: [http, https, grpc]
    default: http
  method:
    description: HTTP method. V(GET), V(HEAD) and V(OPTIONS) count as reading; others report a change and are not sent in check mode.
    type: str
    default: GET
  path:
    description: Path and query. Characters that neither may hold are percent-encoded.
    type: str
    default: /
  headers:
    description: Headers, or metadata of a gRPC call.
    type: dict
    default: {}
  body:
    description: Body of the request. For V(grpc) the fields of the message.
    type: raw
  body_format:
    description: How the body is written where it is no text.
    type: str
    choices: [raw, json, form-urlencoded]
    default: raw
  status_code:
    description: Statuses that are no failure.
    type: list
    elements: int
    default: [200]
  return_content:
    description: Whether the result has the answer's body, of which at most 10 MiB are read.
    type: bool
    default: false
  timeout:
    description: Seconds in which something must come.
    type: float
    default: 30
  grpc_method:
    description:
      - The method to call, like V(package.Service/Method).
      - By default it is the health check, which fails unless the answer is C(SERVING). Other methods need a server with reflection.
    type: str
    default: grpc.health.v1.Health/Check
  requests:
    description: Many requests instead of one. What an item does not say is as beside the list.
    type: list
    elements: dict
    suboptions:
      protocol:
        description:
          - V(http) or V(https), or V(grpc) for a unary call.
          - For V(grpc) the Python library grpcio is needed, grpcio-health-checking for the health check, and grpcio-reflection for other methods.
        type: str
        choices: [http, https, grpc]
      method:
        description: HTTP method. V(GET), V(HEAD) and V(OPTIONS) count as reading; others report a change and are not sent in check mode.
        type: str
      path:
        description: Path and query.
        type: str
      headers:
        description: Headers, or metadata of a gRPC call.
        type: dict
      body:
        description: Body of the request. For V(grpc) the fields of the message.
        type: raw
      body_format:
        description: How the body is written where it is no text.
        type: str
        choices: [raw, json, form-urlencoded]
      status_code:
        description: Statuses that are no failure.
        type: list
        elements: int
      return_content:
        description: Whether the result has the answer's body, of which at most 10 MiB are read.
        type: bool
      timeout:
        description: Seconds in which something must come.
        type: float
      grpc_method:
        description:
          - The method to call, like V(package.Service/Method).
          - By default it is the health check, which fails unless the answer is C(SERVING). Other methods need a server with reflection.
        type: str
  concurrency:
    description: How many of the requests are sent at a time.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: A pod that serves its files
  podwright.core.task_pod:
    name: web
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [httpd, -f, -p, "8080", -h, /etc]
    ports: [{name: http, container_port: 8080}]
    readiness_probe: {tcp: http, interval: 1}
    termination_grace_period: 0

- name: Ask it
  podwright.core.pod_request:
    pod: web
    namespace: default
    port: http
    path: /group
    return_content: true
  register: answer

- name: Ask more than once, and expect an error
  podwright.core.pod_request:
    pod: web
    namespace: default
    port: 8080
    requests:
      - path: /passwd
      - path: /no-such-file
        status_code: [404]
"""

RETURN = r"""
status:
  description: HTTP status of the answer.
  returned: when there was an answer over HTTP
  type: int
url:
  description: What was asked.
  returned: always
  type: str
msg:
  description: The status in words.
  returned: always
  type: str
content:
  description: Body of the answer.
  returned: with O(return_content)
  type: str
truncated:
  description: Whether the answer was longer than what is read of it.
  returned: when there was an answer over HTTP
  type: bool
json:
  description: The body, where it is JSON, or the fields of a gRPC answer.
  returned: when it is JSON or gRPC
  type: raw
content_type:
  description: The header of that name. All headers are returned so, in lower case and with underscores.
  returned: when it was sent
  type: str
grpc_status:
  description: Name of the gRPC status.
  returned: for gRPC
  type: str
elapsed:
  description: Seconds until the answer was there.
  returned: always
  type: float
results:
  description: These fields for each request, in their order.
  returned: with O(requests)
  type: list
  elements: dict
duration:
  description: Seconds the whole took.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils.operations.pod_request import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
