# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Placements: a small ConfigMap in each cluster that says in which one a task was started, should that one be unreachable later."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from ..objects.labels import MANAGED, PLACEMENT, RECORD, SET, TASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..tasks.task_spec import TaskSpec
    from ..values import Manifest

PREFIX = "podwright-placement-"


class Placement(NamedTuple):
    """The cluster in which a task was started.

    Attributes:
        time: when, in RFC 3339 with microseconds in UTC, so that the text can be compared.
        cluster: the context of the kubeconfig with which it was started.
        server: the URL of the API server.
    """

    time: str
    cluster: str
    server: str


def find_cluster(placement: Placement, servers: Mapping[str, str]) -> str | None:
    """The name of the cluster of a placement, or None if it is none of these.

    Contexts of the same server may have other names elsewhere, unless it is one of the host itself, such as the end of a tunnel, which says nothing there.

    Args:
        servers: name -> URL of the API server of each cluster.
    """
    named = placement.cluster if placement.cluster in servers else None
    same = next((name for name, server in servers.items() if server == placement.server), None)
    return named if named and (same is None or _is_of_host(placement.server)) else same


def _is_of_host(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    return host in ("localhost", "::1", "::", "0.0.0.0") or host.startswith("127.")  # noqa: S104 - nothing listens there


def place_at(seconds: float, cluster: str, server: str) -> Placement:
    """The Placement of a task that is started at that time, in seconds since the epoch."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return Placement(moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), cluster, server)


def build_placement(spec: TaskSpec, placement: Placement) -> Manifest:
    """The ConfigMap of the placement of a task."""
    labels = MANAGED | {TASK: spec.name, RECORD: PLACEMENT} | ({SET: spec.set_name} if spec.set_name else {})
    metadata: Manifest = {"name": PREFIX + spec.name, "namespace": spec.namespace, "labels": labels}
    data = placement._asdict() | ({"completes": "true"} if spec.completes else {})  # for pod_gc: no other cluster knows whether a service still runs
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def read_placement(item: Manifest) -> Placement:
    """The Placement in a ConfigMap; what is missing is empty."""
    data = item.get("data") or {}
    return Placement(*(str(data.get(name) or "") for name in Placement._fields))
