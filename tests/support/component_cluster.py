# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster of a test's own with a component."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible_collections.podwright.core.plugins.module_utils._engine.operations import resource_set

from ..cluster.cluster import Cluster
from .operations import call

NUMBER = int(os.environ.get("PODWRIGHT_CLUSTER_NUMBER", "1"))  # the same for all such tests, which run one after the other
TIMEOUT = 300  # seconds


@contextlib.contextmanager
def component_cluster(directory: Path, component: str, read_manifests: Callable[[Path], list[dict]], **options: bool) -> Iterator[Cluster]:
    """A Cluster with a component, installed by the manifests of its authors. It is stopped afterwards.

    Args:
        directory: for its state.
        read_manifests: returns the manifests in the component's source, such as `published.kueue`.
        options: of `Cluster.up`.
    """
    cluster = Cluster(directory / "state", NUMBER)
    cluster.up(**options)
    try:
        definition = read_manifests(cluster.load_component(component))
        result = call(resource_set, {"kubeconfig": str(cluster.kubeconfig), "definition": definition, "wait_timeout": TIMEOUT}, "default")
        assert not result["failed"], result["msg"]
        yield cluster
    finally:
        cluster.down()
