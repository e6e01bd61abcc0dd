# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A unary gRPC call whose types the server itself describes (gRPC server reflection, v1alpha)."""

from __future__ import annotations

from ..libraries import load


class CallFailed(Exception):
    """The server, or the way to it, answered with another status than OK.

    Attributes:
        code: the status's name, like `NOT_FOUND`.
        details: what the server said.
        hint: what to do, or an empty string.
    """

    def __init__(self, code, details, hint=""):
        super().__init__(f"{code}: {details}")
        self.code, self.details, self.hint = code, details, hint


def call(path, authority, service, method, body, timeout, metadata):
    """Call a method and return its answer as plain values (the JSON mapping of protobuf).

    Args:
        path: of the Unix socket that leads to the server.
        authority: the host that the call names.
        service, method: names, the service's with its package.
        body: mapping of the request's fields, or None for an empty one.
        timeout: seconds.
        metadata: mapping of further metadata.

    Raises: CallFailed; PodwrightError where a library is missing.
    """
    grpc, json_format = load("grpc"), load("google.protobuf.json_format")
    options = [("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0)]
    pairs = [(name.lower(), str(value)) for name, value in metadata.items()]
    with grpc.insecure_channel(f"unix:{path}", options) as channel:
        try:
            request_type, response_type = _find_types(channel, service, method)
            try:
                request = json_format.ParseDict(body or {}, request_type())
            except json_format.ParseError as error:
                raise CallFailed("INVALID_ARGUMENT", f"body: {error}") from error
            stub = channel.unary_unary(
                f"/{service}/{method}", request_serializer=request_type.SerializeToString, response_deserializer=response_type.FromString
            )
            answer = stub(request, timeout=timeout, metadata=pairs)
        except grpc.RpcError as error:
            hint = "The server must offer gRPC server reflection, which tells the types of its methods." if error.code().name == "UNIMPLEMENTED" else ""
            raise CallFailed(error.code().name, error.details(), hint) from error
    return json_format.MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _find_types(channel, service, method):
    """The classes of a method's request and answer; the health check's are known, all others the server tells."""
    if service == "grpc.health.v1.Health":
        health = load("grpc_health.v1.health_pb2")
        return health.HealthCheckRequest, health.HealthCheckResponse
    reflection, pool = load("grpc_reflection.v1alpha.proto_reflection_descriptor_database"), load("google.protobuf.descriptor_pool")
    factory = load("google.protobuf.message_factory")
    types = pool.DescriptorPool(reflection.ProtoReflectionDescriptorDatabase(channel))
    try:
        found = types.FindServiceByName(service).FindMethodByName(method)
    except KeyError as error:
        raise CallFailed("UNIMPLEMENTED", f"the server has no service {service} with a method {method}") from error
    if found is None:
        raise CallFailed("UNIMPLEMENTED", f"the service {service} has no method {method}")
    if found.client_streaming or found.server_streaming:
        raise CallFailed("UNIMPLEMENTED", f"{service}/{method} is a stream", "Only unary calls can be made.")
    return factory.GetMessageClass(found.input_type), factory.GetMessageClass(found.output_type)
