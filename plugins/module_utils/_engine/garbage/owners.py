# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which owners of the objects in scope exist, have finished or are absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..cluster.kinds import JOB, POD, REPLICA_SET
from ..errors import UNKNOWN_KIND, PodwrightError
from ..objects.labels import DEPLOYMENT
from ..tasks.task_secret import DEPLOYMENT_KIND, secret_name
from .candidate import LEFTOVER, read_candidate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..console import Console
    from ..values import Manifest
    from .candidate import Candidate, Owner

ACTIVE, FINISHED, ABSENT, UNREADABLE = "active", "finished", "absent", "unreadable"
STATE_TEXTS = {ACTIVE: "exists", FINISHED: "has finished", ABSENT: "does not exist", UNREADABLE: "cannot be read"}


@dataclass(frozen=True)
class Owners:
    """What is known of owners.

    Attributes:
        active, finished: UIDs of existing owners.
        unreadable: (API version, kind) of the owners that could not be listed.
    """

    active: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()
    unreadable: frozenset[tuple[str, str]] = frozenset()

    def state(self, owner: Owner) -> str:
        """`active`, `finished`, `absent` or `unreadable`."""
        if owner.uid in self.active:
            return ACTIVE
        if owner.uid in self.finished:
            return FINISHED
        return UNREADABLE if (owner.api_version, owner.kind) in self.unreadable else ABSENT


def find_owners(client: Client, candidates: Iterable[Candidate], with_orphaned: bool, console: Console) -> Owners:
    """Look up the owners on which a decision depends, with one LIST for each kind and namespace.

    They are listed after the objects that they own, so that an owner that is missing was deleted.

    Args:
        with_orphaned: whether orphaned pods are to be deleted, for which every owner counts.
        console: gets a warning for each kind that cannot be listed.
    """
    candidates = list(candidates)
    active = {c.uid for c in candidates if c.kind in (POD, JOB) and not c.is_finished}
    finished = {c.uid for c in candidates if c.kind in (POD, JOB) and c.is_finished}
    unreadable = set()
    for (api_version, kind_name), namespaces in _unknown_owners(candidates, with_orphaned, active | finished).items():
        try:
            kind = client.kinds.resolve(api_version, kind_name)
            for namespace in namespaces if kind.namespaced else [None]:
                for uid, is_finished in _list(client, kind, namespace):
                    (finished if is_finished else active).add(uid)
        except PodwrightError as error:
            # Whatever a server answers, such as that of an API service that is down or a conversion webhook, is about this kind; 401 is about all of them.
            if error.reason != UNKNOWN_KIND and error.status in (None, 401):
                raise
            unreadable.add((api_version, kind_name))
            owner = f"Owners of kind {kind_name}" if kind_name else "Owners of an unknown kind"
            console.warn(f"{owner} could not be listed, so that their dependents are kept: {error.message}")
    return Owners(frozenset(active), frozenset(finished), frozenset(unreadable))


def _unknown_owners(candidates: list[Candidate], with_orphaned: bool, known: set[str]) -> dict[tuple[str, str], set[str]]:
    """{(API version, kind): namespaces} of the owners that matter and are not in scope themselves."""
    unknown: dict[tuple[str, str], set[str]] = {}
    for candidate in candidates:
        for owner in candidate.owners:
            matters = with_orphaned or (owner.is_controller and owner.kind == JOB.name) or candidate.state == LEFTOVER
            if matters and owner.uid not in known:
                unknown.setdefault((owner.api_version, owner.kind), set()).add(candidate.namespace)
    return unknown


def _list(client: Client, kind: Kind, namespace: str | None) -> list[tuple[str, bool]]:
    """(UID, whether it has finished) of each object of a kind; only of pods and Jobs more than the metadata is read."""
    is_task = kind in (POD, JOB)

    def read(item: Manifest) -> tuple[str, bool]:
        return item["metadata"]["uid"], is_task and read_candidate(kind, item).is_finished

    return client.list(kind, namespace, metadata_only=not is_task, transform=read)[0]


def find_unused_secrets(client: Client, candidates: Iterable[Candidate], console: Console) -> set[str]:
    """The UIDs of the Secrets of pod_deployment to which no pod template refers: neither of a Deployment, nor of a ReplicaSet for a rollback.

    With a warning, none of a namespace whose Deployments and ReplicaSets must not be listed.
    """
    unused = set()
    secrets = [candidate for candidate in candidates if candidate.is_private]
    for namespace in sorted({secret.namespace for secret in secrets}):
        try:
            names = [client.list(kind, namespace, label_selector=DEPLOYMENT, transform=secret_name)[0] for kind in (DEPLOYMENT_KIND, REPLICA_SET)]
        except PodwrightError as error:
            if not error.is_forbidden:
                raise
            console.warn(f"Which Secrets of Deployments are in use is unknown, so that they are kept: {error.message}")
            continue
        unused |= {secret.uid for secret in secrets if secret.namespace == namespace and not any(secret.name in used for used in names)}
    return unused
