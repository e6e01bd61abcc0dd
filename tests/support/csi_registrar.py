# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Registers a CSI driver with the kubelet, as the sidecar node-driver-registrar does with the same options, whose modules cannot be built.

The service is `pluginregistration.Registration` of k8s.io/kubelet/pkg/apis/pluginregistration/v1. Runs in the image with Python.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor

import grpc


def field(number: int, text: str) -> bytes:
    """A text field of a protobuf message."""
    content = text.encode()
    return bytes([number << 3 | 2, len(content)]) + content


def main() -> None:
    """Serve until the container is stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-csi-address", required=True)
    parser.add_argument("-kubelet-registration-path", required=True)
    arguments = parser.parse_args()
    with grpc.insecure_channel(f"unix:{arguments.csi_address}") as channel:
        answer = channel.unary_unary("/csi.v1.Identity/GetPluginInfo")(b"", wait_for_ready=True, timeout=60)
    name = answer[2 : 2 + answer[1]].decode()  # the first field of the message
    information = field(1, "CSIPlugin") + field(2, name) + field(3, arguments.kubelet_registration_path) + field(4, "1.0.0")

    def notify(status: bytes, _context: grpc.ServicerContext) -> bytes:
        print(f"status of the registration: {status!r}", flush=True)
        return b""

    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {
        "GetInfo": grpc.unary_unary_rpc_method_handler(lambda _request, _context: information),
        "NotifyRegistrationStatus": grpc.unary_unary_rpc_method_handler(notify),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("pluginregistration.Registration", handlers)])
    server.add_insecure_port(f"unix:/registration/{name}-reg.sock")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
