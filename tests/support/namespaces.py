# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Namespaces of a test's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, NAMESPACE

from .waiting import wait_for


def namespaces(client: Client) -> Iterator[Callable[[], str]]:
    """The body of a fixture: a function that creates a namespace and returns its name; all are deleted afterwards."""
    names = []

    def make() -> str:
        name = f"test-{uuid.uuid4().hex[:8]}"
        client.create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, "test")
        names.append(name)
        wait_for(lambda: client.get(BUILT_IN["v1", "ServiceAccount"], name, "default"))
        return name

    yield make
    for name in names:
        client.delete(NAMESPACE, None, name)
