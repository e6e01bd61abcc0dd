"""A test server on localhost: HTTP on port 8080, HTTPS on 8443 once a certificate exists, gRPC with reflection on 50051."""

import http.server
import json
import os
import ssl
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection


class Echo(http.server.BaseHTTPRequestHandler):
    """Returns the request that it received; some paths select another response."""

    def do_GET(self):
        """Respond."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/slow":
            time.sleep(30)
        if self.path == "/close":
            return
        request = {"method": self.command, "path": self.path, "body": body, "type": self.headers.get("Content-Type"), "host": self.headers["Host"]}
        content = b"x" * 3_000_000 if self.path == "/large" else json.dumps(request).encode()
        self.send_response(int(self.path[1:]) if self.path[1:].isdigit() else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content) + (1000 if self.path == "/short" else 0)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    do_POST = do_PUT = do_DELETE = do_GET


def main():
    """Serve until the process is killed."""
    threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Echo).serve_forever).start()
    file = descriptor_pb2.FileDescriptorProto(name="echo.proto", package="test", syntax="proto3")
    note = file.message_type.add(name="Note")
    note.field.add(name="text", number=1, type=9, label=1)
    note.field.add(name="times", number=2, type=5, label=1)
    file.service.add(name="Echo").method.add(name="Say", input_type=".test.Note", output_type=".test.Note")
    descriptor_pool.Default().Add(file)
    kind = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName("test.Note"))
    server = grpc.server(futures.ThreadPoolExecutor(4))
    say = grpc.unary_unary_rpc_method_handler(
        lambda request, context: kind(text=request.text * request.times, times=request.times), kind.FromString, kind.SerializeToString
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Say": say})])
    states = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    states.set("sick", health_pb2.HealthCheckResponse.NOT_SERVING)
    reflection.enable_server_reflection(["test.Echo", reflection.SERVICE_NAME], server)
    server.add_insecure_port("127.0.0.1:50051")
    server.start()
    while not os.path.exists("/tmp/cert.pem"):
        time.sleep(0.1)
    secure = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Echo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tmp/cert.pem")
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    secure.serve_forever()


main()
