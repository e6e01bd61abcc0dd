# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Unary gRPC calls, with types from server reflection (https://grpc.io/docs/guides/reflection/, v1alpha)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import option_error
from ..libraries import load
from ..threads import Deadline

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message import Message

Fields = Mapping[str, object]
_METADATA_NAME = re.compile(r"[0-9a-z_.-]+")
HEALTH = "grpc.health.v1.Health"
MAX_DESCRIPTION = 16 << 20  # bytes of the files that describe a service


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


def read_options(prefix: str, body: object, headers: Mapping[str, str]) -> dict[str, Fields]:
    """The options `body` and `headers` as the fields of a message and as metadata. Raises: PodwrightError for an invalid option; `prefix` is its path."""
    try:
        message = (json.loads(body) if body else {}) if isinstance(body, str) else {} if body is None else body
    except ValueError:
        message = None
    if not isinstance(message, dict):
        given = "other text" if isinstance(body, str) else type(body).__name__  # not the value, which may be secret
        raise option_error(f"{prefix}body", f"must be a mapping of the fields of the gRPC message, or one in JSON, got {given}.")
    metadata: dict[str, str | bytes] = {}
    for name, value in headers.items():
        key = name.lower()
        if not _METADATA_NAME.fullmatch(key):
            raise option_error(f"{prefix}headers", f"must have names of gRPC metadata, of letters, digits, '-', '_' and '.', got '{name}'.")
        try:
            # The padding may be missing, as in the protocol.
            metadata[key] = base64.b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4), validate=True) if key.endswith("-bin") else value
        except ValueError:
            raise option_error(f"{prefix}headers.{name}", "must be in base64, since the suffix -bin is that of binary metadata.") from None
        if not (value.isascii() and value.isprintable()):
            raise option_error(f"{prefix}headers.{name}", "must be printable ASCII, as metadata of a gRPC call; name it with the suffix -bin for other data.")
    return {"body": message, "headers": metadata}


def call(
    path: str, authority: str, service: str, method: str, body: Fields | None, timeout: float, metadata: Fields, on_sent: Callable[[], object]
) -> dict[str, Any]:
    """Call a method and return the message of the response as a mapping (the JSON mapping of protobuf).

    Args:
        path: of the Unix socket that is forwarded to the server.
        authority: the host name of the call.
        service: the full name of the service, with its package.
        body: the fields of the request's message; None for an empty one.
        timeout: in seconds, with the reflection.
        metadata: as `read_options` returns it.
        on_sent: called before the method itself is called.

    Raises: CallFailed; PodwrightError if a library is not installed.
    """
    grpc, json_format = load("grpc"), load("google.protobuf.json_format")
    options = [("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"unix:{path}", options) as channel, Deadline(timeout, channel.close) as deadline:
        try:
            request_type, response_type = _find_types(channel, service, method)
            try:
                request = json_format.ParseDict(body or {}, request_type())
            except json_format.ParseError as error:
                raise CallFailed("INVALID_ARGUMENT", f"body: {error}") from error
            stub = channel.unary_unary(
                f"/{service}/{method}", request_serializer=request_type.SerializeToString, response_deserializer=response_type.FromString
            )
            on_sent()
            response = stub(request, timeout=timeout, metadata=list(metadata.items()))
            return _to_mapping(response)
        except (grpc.RpcError, ValueError) as error:
            if deadline.has_passed:
                raise CallFailed("DEADLINE_EXCEEDED", f"no response was received within {timeout:g} s") from error
            if isinstance(error, ValueError):
                raise CallFailed("INVALID_ARGUMENT", str(error)) from error
            code = error.code().name
            hint = "The server must support gRPC server reflection, which describes its methods." if code == "UNIMPLEMENTED" else ""
            raise CallFailed(code, error.details(), hint) from error


def _to_mapping(message: Message) -> dict[str, Any]:
    json_format = load("google.protobuf.json_format")
    try:
        mapping: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    except (ValueError, TypeError, KeyError, RecursionError) as error:  # a time out of range, a message of an unknown type
        raise CallFailed("INTERNAL", f"the response has no JSON mapping: {error}") from error
    return mapping


def _describe(channel: Any, service: str) -> DescriptorPool:
    """The types of a service. Raises: KeyError if the server does not know it; ValueError and others for invalid descriptions.

    A pool that asks the server by itself crashes the process if files depend on each other in a circle.
    """
    database = load("grpc_reflection.v1alpha.proto_reflection_descriptor_database").ProtoReflectionDescriptorDatabase(channel)
    pool: DescriptorPool = load("google.protobuf.descriptor_pool").DescriptorPool()
    first = database.FindFileContainingSymbol(service)
    path, added, size = [(first, iter(first.dependency))], set(), 0
    while path:
        file, dependencies = path[-1]
        name = next((name for name in dependencies if name not in added), None)
        if name is None:
            path.pop()
            added.add(file.name)
            pool.AddSerializedFile(file.SerializeToString())
            continue
        dependency = database.FindFileByName(name)
        size += dependency.ByteSize()
        if dependency.name != name or any(name == above.name for above, _rest in path) or size > MAX_DESCRIPTION:
            raise ValueError(f"file {name[:100]!r} is another one, depends on itself or is too large")
        path.append((dependency, iter(dependency.dependency)))
    return pool


def _find_types(channel: Any, service: str, method: str) -> tuple[type[Message], type[Message]]:
    """The classes of a method's request and response: known for the health check, from reflection for all others."""
    if service == HEALTH:
        health = load("grpc_health.v1.health_pb2")
        return health.HealthCheckRequest, health.HealthCheckResponse
    try:
        descriptor = _describe(channel, service).FindServiceByName(service).FindMethodByName(method)
    except KeyError as error:
        raise CallFailed("UNIMPLEMENTED", f"the server has no service {service} with a method {method}") from error
    except (TypeError, ValueError, LookupError, RecursionError, load("google.protobuf.message").DecodeError) as error:
        raise CallFailed("INTERNAL", f"the server describes {service} wrongly: {error}") from error
    if descriptor is None:
        raise CallFailed("UNIMPLEMENTED", f"the service {service} has no method {method}")
    if descriptor.client_streaming or descriptor.server_streaming:
        raise CallFailed("UNIMPLEMENTED", f"{service}/{method} is a streaming method", "Call a unary method.")
    factory = load("google.protobuf.message_factory")
    return factory.GetMessageClass(descriptor.input_type), factory.GetMessageClass(descriptor.output_type)
