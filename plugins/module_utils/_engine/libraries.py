# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Third-party libraries, imported when first needed and named clearly where one is missing."""

from __future__ import annotations

import gc
import importlib
import ssl
import sys

from .errors import PodwrightError

# import name -> name on PyPI
LIBRARIES = {
    "urllib3": "urllib3",
    "yaml": "PyYAML",
    "jsonpatch": "jsonpatch",
    "websocket": "websocket-client",
}
# Needed by few tasks only, and not imported before.
OPTIONAL = {
    "kubernetes.config": "kubernetes",  # for an auth-provider of a kubeconfig only
    "grpc": "grpcio",
    "grpc_health.v1.health_pb2": "grpcio-health-checking",
    "grpc_reflection.v1alpha.proto_reflection_descriptor_database": "grpcio-reflection",
    "google.protobuf.json_format": "protobuf",
    "google.protobuf.descriptor_pool": "protobuf",
    "google.protobuf.message_factory": "protobuf",
}


def load(name):
    """The library of that import name. Raises: PodwrightError that names the package and the interpreter."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = (LIBRARIES | OPTIONAL)[name]
        raise PodwrightError(
            f"The Python library {package} is missing for {sys.executable} ({error}).",
            reason="MissingLibrary",
            hint=f"Install it with: {sys.executable} -m pip install {package}",
        ) from error


def preload():
    """Import everything that is there, and make it cheap to fork: each task of a playbook is a process forked from this one."""
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # `load` names it when it is needed
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # with the first one OpenSSL reads its configuration
    # A child that collects garbage writes to each object, which copies its page (the documentation of gc.freeze).
    gc.freeze()
