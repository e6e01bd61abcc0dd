# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Delete finished, expired, orphaned and stuck pods, and objects that tasks left behind: by UID, with a reason for each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from ..arguments import CONNECTION, REVIEW, WAIT, read_namespaces, read_selector, with_defaults
from ..cluster.kinds import CLAIM, CONFIG_MAP, JOB, NAMESPACE, NETWORK_POLICY, POD, SECRET, SERVICE
from ..cluster.namespaces import warn_of_missing_namespaces
from ..errors import PodwrightError, option_error
from ..garbage.candidate import PLACED, Candidate, TaskRun, read_candidate, read_metadata
from ..garbage.deleter import Deleter
from ..garbage.owners import find_owners, find_unused_secrets
from ..garbage.reclaim import plan_deletion
from ..garbage.retention import RetentionPolicies, RetentionPolicy
from ..objects.key import Key
from ..objects.labels import MANAGED, RECORD, TASK, TTL, annotation_of, number_of, selector_of
from ..operation import Invocation, Operation
from ..reconciler.manifest import Redactor
from ..reconciler.plan import Change
from ..reconciler.wait import wait_until_deleted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..garbage.retention import Decision
    from ..values import Options, Result

RECLAIMABLE_KINDS = {kind.name: kind for kind in (CONFIG_MAP, SECRET, SERVICE, CLAIM, JOB, NETWORK_POLICY)}
# Without defaults: an empty mapping says neither that everything is deleted nor that nothing is.
_RETENTION = {"max_age": {"type": "int"}, "keep_last": {"type": "int"}}

ARGUMENTS = {
    **CONNECTION,
    **with_defaults(WAIT, wait=False, wait_timeout=120),
    **REVIEW,
    "namespaces": {"type": "list", "elements": "str"},
    "label_selectors": {"type": "list", "elements": "str"},
    "completed": {"type": "dict", "options": _RETENTION},
    "failed": {"type": "dict", "options": _RETENTION},
    "records": {"type": "dict", "options": _RETENTION},
    "orphaned": {"type": "bool", "default": False},
    "evicted": {"type": "bool", "default": False},
    "expired": {"type": "bool", "default": False},
    "stuck": {"type": "dict", "options": {"max_age": {"type": "int", "default": 3600}, "force": {"type": "bool", "default": False}}},
    "reclaim": {"type": "list", "elements": "str", "choices": sorted(RECLAIMABLE_KINDS), "default": []},
    "reclaim_age": {"type": "int", "default": 600},
    "propagation_policy": {"type": "str", "choices": ["Background", "Foreground", "Orphan"], "default": "Background"},
    "grace_period": {"type": "int"},
    "limit": {"type": "int"},
    "rate": {"type": "float"},
    "concurrency": {"type": "int", "default": 16},
}


@dataclass
class Collection:
    """What the operation has done so far.

    Attributes:
        deleter: what carries out the deletions, once they are planned.
        kept: an entry of the result for each object that is kept.
    """

    deleter: Deleter | None = None
    kept: list[Result] = field(default_factory=list)


def run(invocation: Invocation, outcome: Collection) -> None:
    """Evaluate the policies and delete what they select. Raises: PodwrightError, also if a deletion failed."""
    params, client = invocation.params, invocation.client
    policies = _policies(params)
    namespaces = read_namespaces(params) or [invocation.namespace]
    invocation.console.progress("listing the objects in scope")
    candidates = [candidate for namespace in namespaces for candidate in _list_candidates(client, params, namespace)]
    warn_of_missing_namespaces(client, {name for name in namespaces if name} - {candidate.namespace for candidate in candidates}, invocation.console)
    owners = find_owners(client, candidates, params["orphaned"], invocation.console)
    if params["expired"]:
        policies = replace(policies, namespace_ttls=_namespace_ttls(invocation, namespaces))
    reviewed_at = invocation.approval.as_of
    now = int(client.now()) if reviewed_at is None else reviewed_at
    records, others = _list_records(invocation, namespaces, candidates), _list_others(client, params, namespaces, candidates)
    unused = find_unused_secrets(client, candidates, invocation.console)
    decisions = plan_deletion(candidates, owners, policies, now, records, reviewed_at, others, unused)
    deletions = [decision for decision in decisions if decision.is_deletion]
    kept = [_describe(decision) for decision in decisions if not decision.is_deletion]
    if params["limit"] is not None:
        kept = [_describe(d) | {"reason": f"the limit of {params['limit']} deletions is reached: {d.reason}"} for d in deletions[params["limit"] :]] + kept
        deletions = deletions[: params["limit"]]
    outcome.kept = kept
    if invocation.review:
        invocation.review(map(_change, _sorted(deletions)), now)
    deleter = outcome.deleter = Deleter(client, invocation.console, params, deletions)
    if invocation.check_mode:
        deleter.predict()
    else:
        secrets = [candidate for candidate in candidates if candidate.uid in unused]
        deleter.run(
            lambda used: _list_users(client, [name for name in namespaces if name is None or name in used]),
            lambda: unused - find_unused_secrets(client, secrets, invocation.console),
        )
    if deleter.errors:
        first = deleter.errors[0][1]
        raise PodwrightError(f"{len(deleter.errors)} of {len(deletions)} deletions failed. {first.message}", reason=first.reason, hint=first.hint)
    if params["wait"] and not invocation.check_mode:
        _wait(invocation, deleter.deleted)


def _read_retention(params: Options, name: str) -> RetentionPolicy | None:
    """The policy of an option, or None. Raises: PodwrightError."""
    given = {limit: value for limit, value in (params[name] or {}).items() if value is not None}
    if params[name] is not None and not given:
        hint = "Omit it to keep everything; max_age: 0 selects whatever has finished."
        raise option_error(name, "must set max_age or keep_last, got neither.", hint)
    return RetentionPolicy(**given) if given else None


def _policies(params: Options) -> RetentionPolicies:
    """The policies but for the TTLs of namespaces. Raises: PodwrightError."""
    completed, failed, records = (_read_retention(params, name) for name in ("completed", "failed", "records"))
    stuck = params["stuck"] or {"max_age": None, "force": False}
    return RetentionPolicies(
        completed,
        failed,
        records,
        params["orphaned"],
        params["evicted"],
        params["expired"],
        stuck["max_age"],
        stuck["force"],
        frozenset(params["reclaim"]),
        params["reclaim_age"],
    )


# -- listing --------------------------------------------------------------------------------------------------


def _list_candidates(client: Client, params: Options, namespace: str | None) -> list[Candidate]:
    """The objects in scope of a namespace (None: of all), with one LIST for each kind."""
    selectors = [read_selector(params) or selector_of(MANAGED)]
    candidates = _list(client, POD, namespace, selectors)
    for name in dict.fromkeys(params["reclaim"]):
        candidates += _list(client, RECLAIMABLE_KINDS[name], namespace, selectors)
    if (params["records"] or params["expired"]) and CONFIG_MAP.name not in params["reclaim"]:
        candidates += _list(client, CONFIG_MAP, namespace, [*selectors, RECORD])
    if JOB.name not in params["reclaim"] and _depends_on_tasks(params, candidates):
        candidates += _list(client, JOB, namespace, selectors)
    return candidates


def _depends_on_tasks(params: Options, candidates: Iterable[Candidate]) -> bool:
    """Whether the decision about an object depends on the pods and Jobs of its task."""
    return bool(params["reclaim"] or (params["records"] and any(candidate.state == PLACED for candidate in candidates)))


def _list(client: Client, kind: Kind, namespace: str | None, selectors: Sequence[str]) -> list[Candidate]:
    return client.list(kind, namespace, label_selector=",".join(selectors), transform=lambda item: read_candidate(kind, item))[0]


def _list_others(client: Client, params: Options, namespaces: Sequence[str | None], candidates: Sequence[Candidate]) -> list[Candidate]:
    """The pods and Jobs that are not in scope, if the decision about an object depends on them. They are listed after the objects."""
    # The pods of a Job need not have its labels.
    reclaims_jobs = JOB.name in params["reclaim"] and any(candidate.kind == JOB and candidate.is_finished for candidate in candidates)
    if not (reclaims_jobs or (params["label_selectors"] and _depends_on_tasks(params, candidates))):
        return []
    known = {candidate.uid for candidate in candidates}
    users = _list_users(client, namespaces, None if reclaims_jobs else TASK)
    return [user for user in users if user.uid not in known]


def _list_users(client: Client, namespaces: Sequence[str | None], pod_selector: str | None = TASK) -> list[Candidate]:
    """The metadata of these pods, and of the Jobs of tasks."""
    return [
        user
        for namespace in namespaces
        for kind, selector in ((POD, pod_selector), (JOB, TASK))
        for user in client.list(kind, namespace, label_selector=selector, metadata_only=True, transform=partial(read_metadata, kind))[0]
    ]


def _list_records(invocation: Invocation, namespaces: Sequence[str | None], candidates: Iterable[Candidate]) -> dict[TaskRun, Candidate]:
    """The record of each task that has one, if the decision about a finished pod or Job depends on it. They are listed after these."""
    params = invocation.params
    depends = any(params[name] for name in ("completed", "failed", "evicted", "expired")) or JOB.name in params["reclaim"]
    awaited = {c.namespace for c in candidates if depends and c.keeps_record and c.is_finished}
    records: dict[TaskRun, Candidate] = {}
    for namespace in [name for name in namespaces if awaited and (name is None or name in awaited)]:
        try:
            records |= {record.run_of_task: record for record in _list(invocation.client, CONFIG_MAP, namespace, [RECORD])}
        except PodwrightError as error:
            if not error.is_forbidden:
                raise
            invocation.console.warn(f"Records could not be listed, so that pods and Jobs whose results are to be recorded are kept: {error.message}")
    return records


def _namespace_ttls(invocation: Invocation, namespaces: Sequence[str | None]) -> dict[str, int]:
    """{namespace: TTL in seconds} of the namespaces that set one."""
    client = invocation.client
    if namespaces == [None]:
        items = client.list(NAMESPACE, metadata_only=True)[0]
    else:
        items = [item for name in namespaces if name and (item := client.get(NAMESPACE, None, name))]
    ttls = {item["metadata"]["name"]: (annotation_of(item, TTL), number_of(item, TTL)) for item in items}
    invalid = [name for name, (text, seconds) in sorted(ttls.items()) if text is not None and seconds is None]
    if invalid:
        invocation.console.warn(f"The annotation {TTL} is not a number of seconds in these namespaces, so that it has no effect: {', '.join(invalid)}.")
    return {name: seconds for name, (_text, seconds) in ttls.items() if seconds is not None}


def _wait(invocation: Invocation, deleted: Iterable[Decision]) -> None:
    """Wait until the objects are deleted. Raises: PodwrightError that names one that still exists."""
    items = {}
    for decision in deleted:
        candidate = decision.candidate
        key = Key(candidate.kind.group, candidate.kind.name, candidate.namespace, candidate.name)
        items[key] = (candidate.kind, {"metadata": {"name": candidate.name, "namespace": candidate.namespace, "uid": candidate.uid}})
    wait_until_deleted(invocation.client, items, invocation.params["wait_timeout"], invocation.console)


# -- describing -----------------------------------------------------------------------------------------------


def _describe(decision: Decision) -> Result:
    candidate = decision.candidate
    entry = {"kind": candidate.kind.name, "namespace": candidate.namespace, "name": candidate.name, "uid": candidate.uid, "reason": decision.reason}
    return entry | ({"policy": decision.policy} if decision.policy else {})


def describe(invocation: Invocation, outcome: Collection) -> Result:
    """The fields of the result, as far as the operation got."""
    deleter = outcome.deleter
    if deleter is None:
        return {}
    redactor, decisions = Redactor(), _sorted(deleter.deleted)  # threads finish in any order
    deleted = [_describe(decision) for decision in decisions]
    kept = outcome.kept + [_describe(decision) for decision in deleter.kept]
    errors = [_describe(d) | {"msg": str(error)} for d, error in deleter.errors]
    result = {
        "changed": bool(deleted),
        "plan": [_change(decision).describe(redactor) for decision in decisions],
        "deleted": deleted,
        "kept": sorted(kept, key=_sort_key),
        "errors": sorted(errors, key=_sort_key),
        "reclaimed": _reclaimed(decision.candidate for decision in decisions),
        "summary": {"deleted": len(deleted), "kept": len(kept), "failed": len(errors)},
    }
    if invocation.diff_mode:
        lines = "".join(f"{e['kind']} {e['namespace']}/{e['name']} ({e['reason']})\n" for e in deleted)
        result["diff"] = {"before_header": "objects to delete", "after_header": "after the deletion", "before": lines, "after": ""}
    return result


def _change(decision: Decision) -> Change:
    """A deletion as an entry of the plan."""
    candidate = decision.candidate
    key = Key(candidate.kind.group, candidate.kind.name, candidate.namespace, candidate.name)
    return Change("delete", key, candidate.kind, before={"metadata": {"uid": candidate.uid}}, note=decision.reason)


def _sorted(decisions: Iterable[Decision]) -> list[Decision]:
    return sorted(decisions, key=lambda decision: (decision.candidate.namespace, decision.candidate.kind.name, decision.candidate.name))


def _sort_key(entry: Result) -> tuple[str, str, str]:
    return entry["namespace"], entry["kind"], entry["name"]


def _reclaimed(candidates: Iterable[Candidate]) -> Result:
    """The number of pods, and the amounts that the objects requested: cores, bytes of memory and storage, GPUs."""
    cpu, amounts = 0.0, {"memory": 0, "storage": 0, "gpus": 0, "pods": 0}
    for candidate in candidates:
        amounts["pods"] += candidate.kind == POD
        if candidate.is_finished:
            continue  # a finished pod holds no resources on its node
        for name, amount in candidate.requests.items():
            if name == "cpu":
                cpu = round(cpu + float(amount), 3)
            elif name in ("memory", "storage"):
                amounts[name] += int(amount)
            elif name.endswith("gpu"):
                amounts["gpus"] += int(amount)
    return {"cpu": cpu} | amounts


OPERATION = Operation("pod_gc", ARGUMENTS, Collection, run, describe)
