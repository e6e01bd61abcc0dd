# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The clusters of a run: which of them can be reached, what they have of its tasks, and what each notes about their clusters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..cluster.kinds import CONFIG_MAP
from ..errors import CONNECTION_LOST, PodwrightError, option_error
from ..tasks.executor import THREADS
from ..tasks.observation import Observation, Observer
from ..tasks.runtimes import KUBERNETES, why_unusable
from ..threads import call_in_threads

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..tasks.batch import Batch
    from ..tasks.task_spec import TaskSpec
    from ..values import Options

_OWN_OBJECT = "metadata.name=kube-root-ca.crt"  # a ConfigMap that each cluster has in each namespace
UNREACHABLE = "ClusterUnreachable"  # the reason of a task or a run that needs an unreachable cluster


@dataclass
class Member:
    """One of the clusters.

    Attributes:
        name: its context in the kubeconfig.
        problem: why it is left out, as a sentence; empty if it can be used.
        seen: what it has of the tasks.
        identity: the uid of an object that no other cluster has; empty if that is unknown.
    """

    name: str
    client: Client
    problem: str = ""
    seen: Observation = field(default_factory=lambda: Observation({}, {}))
    identity: str = ""

    @property
    def server(self) -> str:
        """The URL of its API server."""
        return self.client.configuration.server

    def look(self, console: Console, specs: Sequence[TaskSpec], sets: Iterable[tuple[str, str]], is_deletion: bool) -> None:
        """Read what it has of the tasks, unless it is unreachable. Raises: PodwrightError if it responds with an error."""
        try:
            self.problem = why_unusable(lambda: self.client) or ""
            if self.problem:
                return
            self.seen = Observer(self.client, console, specs, sets, is_deletion).observe(prunes=True, with_placements=True)
            self.identity = self._identify()
        except PodwrightError as error:
            if not is_outage(error):
                raise in_cluster(self.name, error) from None
            self.problem = error.message

    def _identify(self) -> str:
        """Its identity; two URLs may be of one cluster."""
        try:
            namespace = next(iter(self.seen.selectors), None)
            found = self.client.list(CONFIG_MAP, namespace, field_selector=_OWN_OBJECT)[0] if namespace else []
        except PodwrightError as error:
            if not error.is_forbidden:
                raise
            return ""
        return str(found[0]["metadata"]["uid"]) if found else ""


def open_members(params: Options, connect: Callable[[str], Client]) -> list[Member]:
    """The clusters that the option `clusters` lists; no request is sent.

    Args:
        connect: returns the Client of a context; raises PodwrightError.

    Raises: PodwrightError that names the invalid option.
    """
    names: list[str] = params["clusters"]
    if not names:
        raise option_error("clusters", "must not be empty.", "List contexts of the kubeconfig, or omit it to use the current one.")
    _check_options(params, len(names))
    for index, name in enumerate(names):
        if not name.strip():
            raise option_error(f"clusters[{index}]", "must be the name of a context, got an empty text.")
        if name in names[:index]:
            raise option_error(f"clusters[{index}]", f"must be unique, got '{name}' again.")
    members = [Member(name, connect(name)) for name in names]
    known: dict[str, str] = {}
    for index, member in enumerate(members):
        if member.server in known:
            problem = f"must not be the cluster of '{known[member.server]}', got '{member.name}' with the same server {member.server}."
            raise option_error(f"clusters[{index}]", problem)
        known[member.server] = member.name
    namespaces = {member.client.configuration.namespace: member.name for member in members}
    if not params["namespace"] and len(namespaces) > 1:
        found = ", ".join(f"'{namespace}' of '{name}'" for namespace, name in sorted(namespaces.items()))
        raise option_error("namespace", f"must be set, since those of the contexts differ: {found}.")
    return members


def _check_options(params: Options, count: int) -> None:
    """Check the options that do not go with several clusters. Raises: PodwrightError."""
    if params["host"]:
        raise option_error("host", "must not be set if clusters is: it would be the server of all of them.", "Unset K8S_AUTH_HOST, too.")
    if params["context"] and params["context"] != os.environ.get("K8S_AUTH_CONTEXT"):
        raise option_error("context", "must not be set if clusters is, which lists contexts.")
    if params["runtime"] != KUBERNETES:
        raise option_error("runtime", f"must be {KUBERNETES} if clusters is set, got {params['runtime']}.")
    if params["report"]:
        raise option_error("report", "must not be set if clusters is: a report is one of a single cluster.", "Use pod_report for each cluster.")
    if not 1 <= params["min_clusters"] <= count:
        raise option_error("min_clusters", f"must be 1 to {count}, the number of clusters, got {params['min_clusters']}.")


def is_outage(error: PodwrightError) -> bool:
    """Whether the server cannot be reached or does not work, rather than refuses a request."""
    return error.is_unreachable or error.reason == CONNECTION_LOST or (error.status is not None and error.status >= 500)


def in_cluster(name: str, error: PodwrightError) -> PodwrightError:
    """The error with the cluster in which it happened, unless it names that."""
    if f"cluster '{name}'".lower() in error.message.lower():
        return error
    return PodwrightError(f"Cluster '{name}': {error.message}", status=error.status, reason=error.reason, causes=error.causes, hint=error.hint)


def leave_out(member: Member, problem: str, console: Console) -> None:
    """Do not use a cluster any more, with a warning."""
    member.problem = problem
    console.warn(f"Cluster '{member.name}' is left out, because it cannot be reached: {problem}")


def check_number(members: Iterable[Member], minimum: int) -> None:
    """Check that enough clusters can be reached. Raises: PodwrightError."""
    problems = [f"Cluster '{member.name}': {member.problem}" if member.problem else "" for member in members]
    if problems.count("") < minimum:
        message = f"{problems.count('')} of {len(problems)} clusters can be reached, and {minimum} must be (min_clusters)."
        raise PodwrightError("\n".join([message, *filter(None, problems)]), reason=UNREACHABLE, hint="Nothing was changed.")


def look_around(members: Sequence[Member], console: Console, specs: Sequence[TaskSpec], sets: Sequence[tuple[str, str]], is_deletion: bool) -> None:
    """Read what the clusters have of the tasks, all at the same time, and warn of those that are left out. Raises: PodwrightError."""
    call_in_threads(lambda member: member.look(console, specs, sets, is_deletion), members, THREADS)
    for member in members:
        if member.problem:
            leave_out(member, member.problem, console)
    owners: dict[str, str] = {}  # uid of an object -> cluster
    for member in members:
        uids = [item["metadata"]["uid"] for items, _version in member.seen.lists.values() for item in items]
        for uid in [member.identity, *uids] if member.identity else uids:
            other = owners.setdefault(uid, member.name)
            if other != member.name:
                raise option_error("clusters", f"must list different clusters, but '{other}' and '{member.name}' are the same one.")


def complete(batch: Batch) -> PodwrightError | None:
    """Complete the tasks of a cluster, whatever happens in the others. Returns: the error or None."""
    try:
        batch.complete()
    except PodwrightError as error:
        return in_cluster(batch.cluster or "", error)
    return None
