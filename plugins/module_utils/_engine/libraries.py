# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Third-party libraries, imported when they are first needed."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from .errors import PodwrightError

if TYPE_CHECKING:
    from types import ModuleType

# import name -> package
LIBRARIES = {
    "urllib3": "urllib3",
    "yaml": "PyYAML",
    "jsonpatch": "jsonpatch",
    "websocket": "websocket-client",
}
# Not preloaded, since few tasks need them.
OPTIONAL = {
    "kubernetes.config": "kubernetes",  # for auth providers of a kubeconfig
    # for signatures of images
    **dict.fromkeys(("cryptography.exceptions", "cryptography.hazmat.primitives.serialization", "cryptography.hazmat.primitives.hashes"), "cryptography"),
    **{f"cryptography.hazmat.primitives.asymmetric.{name}": "cryptography" for name in ("ec", "rsa", "ed25519", "padding")},
    "grpc": "grpcio",
    "grpc_health.v1.health_pb2": "grpcio-health-checking",
    "grpc_reflection.v1alpha.proto_reflection_descriptor_database": "grpcio-reflection",
    "google.protobuf.json_format": "protobuf",
    "google.protobuf.descriptor_pool": "protobuf",
    "google.protobuf.message_factory": "protobuf",
}


def connection_errors() -> tuple[type[Exception], ...]:
    """What a stream raises if its connection is closed. A host with Podman may not have urllib3."""
    module = sys.modules.get("urllib3")
    return (OSError, module.exceptions.HTTPError) if module else (OSError,)


def load(name: str) -> ModuleType:
    """The library of that import name. Raises: PodwrightError that names the package and the interpreter if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = (LIBRARIES | OPTIONAL)[name]
        raise PodwrightError(
            f"The Python library {package} is not installed for {sys.executable} ({error}).",
            reason="MissingLibrary",
            hint=f"Install it with: {sys.executable} -m pip install {package}",
        ) from error
