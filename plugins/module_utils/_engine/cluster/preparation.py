# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is done once in a process that Ansible forks for each task."""

from __future__ import annotations

import gc
import importlib
import os
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from ..libraries import LIBRARIES
from .configuration import HOME_KUBECONFIG, Configuration
from .credentials import user_credentials

if TYPE_CHECKING:
    from .credentials import Credentials


def prepare_forks() -> None:
    """Import the installed libraries, and create the TLS context of the default kubeconfig: both take longer than most tasks.

    It runs no program. What is missing or invalid is left to the task that needs it to report.
    """
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the first context makes OpenSSL read its configuration
    kubeconfig = os.environ.get("K8S_AUTH_KUBECONFIG") or os.environ.get("KUBECONFIG") or HOME_KUBECONFIG
    # Not from a pipe, which can be read only once.
    if all(os.path.isfile(os.path.expanduser(path)) for path in kubeconfig.split(os.pathsep) if path):
        with suppress(Exception):
            _WithoutPrograms({"kubeconfig": kubeconfig, "context": os.environ.get("K8S_AUTH_CONTEXT")})
    gc.freeze()  # a garbage collection in a child would otherwise write to each object and copy its page


class _WithoutPrograms(Configuration):
    """A configuration that runs no credential plugin."""

    def _read_credentials(self) -> Credentials:
        user = {name: value for name, value in self._user.items() if name not in ("exec", "auth-provider")}
        return user_credentials(user, self._cluster, self.source)
