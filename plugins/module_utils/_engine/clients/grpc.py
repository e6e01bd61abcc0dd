# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Unary gRPC calls, with types from server reflection (https://grpc.io/docs/guides/reflection/, v1alpha)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..libraries import load

if TYPE_CHECKING:
    from google.protobuf.message import Message

HEALTH = "grpc.health.v1.Health"


class CallFailed(Exception):
    """A call whose status is not OK.

    Attributes:
        code: the name of the status code, such as `NOT_FOUND`.
        details: the message of the status.
        hint: what to do, or an empty string.
    """

    def __init__(self, code: str, details: str, hint: str = "") -> None:
        super().__init__(f"{code}: {details}")
        self.code, self.details, self.hint = code, details, hint


def call(
    path: str, authority: str, service: str, method: str, body: Mapping[str, object] | None, timeout: float, metadata: Mapping[str, object]
) -> dict[str, Any]:
    """Call a method and return the message of the response as a mapping (the JSON mapping of protobuf).

    Args:
        path: of the Unix socket that is forwarded to the server.
        authority: the host name of the call.
        service: the full name of the service, with its package.
        body: the fields of the request's message; None for an empty one.
        timeout: in seconds.

    Raises: CallFailed; PodwrightError if a library is not installed.
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
            response = stub(request, timeout=timeout, metadata=pairs)
        except grpc.RpcError as error:
            code = error.code().name
            hint = "The server must support gRPC server reflection, which describes its methods." if code == "UNIMPLEMENTED" else ""
            raise CallFailed(code, error.details(), hint) from error
    message: dict[str, Any] = json_format.MessageToDict(response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return message


def _find_types(channel: Any, service: str, method: str) -> tuple[type[Message], type[Message]]:
    """The classes of a method's request and response: known for the health check, from reflection for all others."""
    if service == HEALTH:
        health = load("grpc_health.v1.health_pb2")
        return health.HealthCheckRequest, health.HealthCheckResponse
    reflection, pool = load("grpc_reflection.v1alpha.proto_reflection_descriptor_database"), load("google.protobuf.descriptor_pool")
    types = pool.DescriptorPool(reflection.ProtoReflectionDescriptorDatabase(channel))
    try:
        descriptor = types.FindServiceByName(service).FindMethodByName(method)
    except KeyError as error:
        raise CallFailed("UNIMPLEMENTED", f"the server has no service {service} with a method {method}") from error
    if descriptor is None:
        raise CallFailed("UNIMPLEMENTED", f"the service {service} has no method {method}")
    if descriptor.client_streaming or descriptor.server_streaming:
        raise CallFailed("UNIMPLEMENTED", f"{service}/{method} is a streaming method", "Call a unary method.")
    factory = load("google.protobuf.message_factory")
    return factory.GetMessageClass(descriptor.input_type), factory.GetMessageClass(descriptor.output_type)
