#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_request
short_description: Send requests to pods and Services without an ingress
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Sends HTTP, HTTPS or gRPC requests to a port of a pod through a port-forward of the API server. The port need not be reachable from other pods.
  - For a Service, sends the requests to one of the pods to which it sends traffic, at the target port. They name the port of the Service.
  - In check mode, requests to a pod or Service that does not exist yet are skipped, since an earlier task may create it.
  - Returns the response like M(ansible.builtin.uri). Redirects are not followed.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.attributes.request
options:
  requests:
    description: Several requests. The options beside O(requests) are the defaults of each item.
    type: list
    elements: dict
    suboptions:
      protocol: &protocol
        description:
          - V(http), V(https), or V(grpc) for a unary call.
          - V(grpc) requires the Python libraries grpcio, grpcio-health-checking (for the health check) and grpcio-reflection (for other methods).
        type: str
        choices: [http, https, grpc]
      method: &method
        description: HTTP method. Methods other than V(GET), V(HEAD) and V(OPTIONS) report a change and are not sent in check mode.
        type: str
      path: &path
        description: Path and query. Characters that are not allowed in them are percent-encoded, and a percent sign that encodes none.
        type: str
      headers: &headers
        description: HTTP headers, or metadata of a gRPC call, in which the value of a name with the suffix C(-bin) is in base64.
        type: dict
      body: &body
        description: Body of the request, or fields of the gRPC message as a mapping or in JSON.
        type: raw
      body_format: &body_format
        description: Encoding of a body that is not text.
        type: str
        choices: [raw, json, form-urlencoded]
      status_code: &status_code
        description: HTTP status codes that count as success.
        type: list
        elements: int
      return_content: &return_content
        description: Return the body of the response, at most 10 MiB.
        type: bool
      timeout: &timeout
        description: Timeout in seconds for the whole response, with the connection to the port.
        type: float
      grpc_method: &grpc_method
        description:
          - gRPC method, such as V(package.Service/Method). Methods other than the health check require server reflection.
          - They also report a change and are not sent in check mode, since a server does not say which of its methods only read.
          - The health check fails unless the response is C(SERVING).
        type: str
  pod:
    description: Name of the pod. Required unless O(service) is set.
    type: str
  service:
    description: Name of the Service.
    type: str
  port:
    description: Number of the TCP port, or its name in the pod or Service.
    type: str
    required: true
  server_name:
    description: Host name of the requests and of TLS. Defaults to the name of the pod, or to C(SERVICE.NAMESPACE.svc).
    type: str
  server_ca:
    description: File with the CA of the pod's certificate, or its content in PEM, for V(https). Without it the certificate is not verified.
    type: path
  protocol:
    <<: *protocol
    default: http
  method:
    <<: *method
    default: GET
  path:
    <<: *path
    default: /
  headers:
    <<: *headers
    default: {}
  body: *body
  body_format:
    <<: *body_format
    default: raw
  status_code:
    <<: *status_code
    default: [200]
  return_content:
    <<: *return_content
    default: false
  timeout:
    <<: *timeout
    default: 30
  grpc_method:
    <<: *grpc_method
    default: grpc.health.v1.Health/Check
  concurrency:
    description: Maximum number of requests at the same time.
    type: int
    default: 10
"""

EXAMPLES = r"""
- name: Start a pod that serves files
  podwright.core.task_pod:
    name: web
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [httpd, -f, -p, "8080", -h, /etc]
    ports: [{name: http, container_port: 8080}]
    readiness_probe: {tcp: http, interval: 1}
    termination_grace_period: 0

- name: Request a file
  podwright.core.pod_request:
    pod: web
    namespace: default
    port: http
    path: /group
    return_content: true
  register: answer

- name: Send two requests and expect an error from one of them
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
  description: HTTP status code of the response, or -1 if there was none, such as because no process listens on the port yet.
  returned: for HTTP
  type: int
url:
  description: URL of the request.
  returned: always
  type: str
msg:
  description: Status as text.
  returned: always
  type: str
content:
  description: Body of the response.
  returned: with O(return_content)
  type: str
content_b64:
  description: Body of the response in base64.
  returned: with O(return_content), if the body is not valid in its character set
  type: str
truncated:
  description: Whether the response exceeded the maximum size.
  returned: for an HTTP response
  type: bool
json:
  description: JSON body of the response, or fields of a gRPC response.
  returned: for a JSON or gRPC response
  type: raw
headers:
  description: Response headers by lower-case name. Values of one name are joined by a comma and a space.
  returned: for an HTTP response
  type: dict
  sample: {content-type: application/json, x-request-id: "7"}
content_type:
  description: The header of this name.
  returned: if the response has it
  type: str
content_length:
  description: The header of this name.
  returned: if the response has it
  type: str
location:
  description: The header of this name.
  returned: if the response has it
  type: str
set_cookie:
  description: The headers of this name, joined by a comma and a space.
  returned: if the response has it
  type: str
etag:
  description: The header of this name.
  returned: if the response has it
  type: str
last_modified:
  description: The header of this name.
  returned: if the response has it
  type: str
grpc_status:
  description: Name of the gRPC status.
  returned: for gRPC
  type: str
elapsed:
  description: Response time in seconds.
  returned: always
  type: float
results:
  description: These values for each request, in the order of O(requests).
  returned: with O(requests)
  type: list
  elements: dict
duration:
  description: Duration of the invocation in seconds.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_request import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
