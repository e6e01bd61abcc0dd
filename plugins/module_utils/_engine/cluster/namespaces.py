# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether namespaces exist: the API server lists the objects of one that does not as if it were empty."""

from __future__ import annotations

from ..errors import PodwrightError
from .kinds import NAMESPACE


def warn_of_missing_namespaces(client, names, console) -> None:
    """Warn of each namespace that does not exist. Without permission to read namespaces nothing is said.

    Args:
        client: a Client.
        names: names of namespaces in which nothing was found.
        console: a Console.
    """
    for name in sorted(names):
        try:
            if client.get(NAMESPACE, None, name) is None:
                console.warn(f"Namespace '{name}' not found. Check the name, and which cluster is selected: {client.configuration.server}")
        except PodwrightError as error:
            if not error.is_forbidden:
                raise
