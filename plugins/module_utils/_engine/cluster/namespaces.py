# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Existence of namespaces: the API server lists the objects of a missing namespace like those of an empty one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import PodwrightError
from .kinds import NAMESPACE

if TYPE_CHECKING:
    from ..console import Console
    from .client import Client


def warn_of_missing_namespaces(client: Client, names: Iterable[str], console: Console) -> None:
    """Warn of each namespace that does not exist, unless reading namespaces is forbidden. Raises: PodwrightError for other errors."""
    for name in sorted(names):
        try:
            if client.get(NAMESPACE, None, name) is None:
                console.warn(f"Namespace '{name}' not found in {client.configuration.server}. Check the name and the connection to the cluster.")
        except PodwrightError as error:
            if not error.is_forbidden:
                raise
