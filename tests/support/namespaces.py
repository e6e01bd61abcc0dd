# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Namespaces of a test's own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, NAMESPACE, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

from .waiting import wait_for

MANY = 50  # pods


def namespaces(client: Client) -> Iterator[Callable[[], str]]:
    """The body of a fixture: a function that creates a namespace and returns its name; nothing runs in them afterwards."""
    names = []

    def make() -> str:
        name = f"test-{uuid.uuid4().hex[:8]}"
        client.create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, "test")
        names.append(name)
        wait_for(lambda: client.get(BUILT_IN["v1", "ServiceAccount"], name, "default"))
        return name

    yield make
    for name in names:
        _clear(client, name)


def _clear(client: Client, name: str) -> None:
    """Delete the pods that run in a namespace.

    The namespace, too, if controllers may create others, if there are many, or if the cluster is not the tests' own: it takes Kubernetes 90 requests.
    """
    pods = client.list(POD, name)[0]
    running = [pod["metadata"] for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")]
    if "PODWRIGHT_TEST_KUBECONFIG" in os.environ or len(pods) > MANY or any("ownerReferences" in pod["metadata"] for pod in pods):
        client.delete(NAMESPACE, None, name)
        return
    try:
        for metadata in running:
            client.delete(POD, name, metadata["name"], metadata["uid"], grace_period=0)
    except PodwrightError:  # a webhook of the test may still refuse it
        client.delete(NAMESPACE, None, name)
