# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An admission webhook in the process of the test, for namespaces of the test alone."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import urllib.parse
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH, Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, CONFIG_MAP, NAMESPACE

from ..cluster.certificates import Authority
from .waiting import wait_for

Review = dict[str, Any]
RESOURCES = [
    {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods", "configmaps", "services", "secrets"]},
    {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]},
    {"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"]},
]
_CONFIGURATION = BUILT_IN["admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"]


class Webhook:
    """Answers the reviews of an API server that can reach this machine. Use it as a context manager.

    It sees nothing but namespaces that `adopt` labels, and the API server proceeds if it does not answer: it cannot harm other tests.

    Attributes:
        reviews: namespace -> the requests that were reviewed in it.
    """

    def __init__(self, client: Client, directory: Path):
        self._client, self._name = client, f"podwright-test-{uuid.uuid4().hex[:8]}"
        self._responses: dict[str, Callable[[Review], Review]] = {}
        self.reviews: dict[str, list[Review]] = {}
        server = urllib.parse.urlsplit(client.configuration.server)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((server.hostname, server.port or 443))
            self._address = probe.getsockname()[0]
        authority = Authority(directory, with_identifiers=True)
        self._authority = authority.path.read_bytes()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = authority.issue("webhook", "webhook", addresses=(self._address,))
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._server = _Server((self._address, 0), self._handler())
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def __enter__(self) -> Webhook:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        url = f"https://{self._address}:{self._server.server_port}/"
        webhook = {"name": f"{self._name}.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Ignore"}
        webhook |= {"clientConfig": {"url": url, "caBundle": base64.b64encode(self._authority).decode()}, "timeoutSeconds": 5}
        webhook |= {"namespaceSelector": {"matchLabels": {self._name: "true"}}}
        webhook["rules"] = [rule | {"operations": ["CREATE", "UPDATE", "DELETE"]} for rule in RESOURCES]
        self._client.create(_CONFIGURATION, None, {"metadata": {"name": self._name}, "webhooks": [webhook]}, "test")
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.delete(_CONFIGURATION, None, self._name)
        self._server.shutdown()
        self._server.server_close()

    def adopt(self, namespace: str, respond: Callable[[Review], Review]) -> None:
        """Review a namespace from now on.

        Args:
            respond: called with a request; returns fields of the response other than `allowed: true`, with the JSON patch as a list.
        """
        self.reviews[namespace] = []
        self._responses[namespace] = lambda request: {}
        self._client.patch(NAMESPACE, None, namespace, {"metadata": {"labels": {self._name: "true"}}}, "test", MERGE_PATCH)
        wait_for(lambda: self._is_asked(namespace))
        self.reviews[namespace].clear()
        self._responses[namespace] = respond

    def _is_asked(self, namespace: str) -> bool:
        self._client.create(CONFIG_MAP, namespace, {"metadata": {"generateName": "probe-"}}, "test", dry_run=True)
        return bool(self.reviews[namespace])

    def _review(self, request: Review) -> Review:
        namespace = request.get("namespace", "")
        self.reviews.setdefault(namespace, []).append(request)
        response = {"uid": request["uid"], "allowed": True} | self._responses.get(namespace, lambda _request: {})(request)
        if response.get("patch"):
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(response["patch"]).encode()).decode()}
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        review = self._review

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its headers

            def do_POST(self) -> None:
                """Answer a review."""
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
                content = json.dumps(review(request)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Log nothing."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore connections that the API server closed."""
