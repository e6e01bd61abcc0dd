# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Delete pods that are over, orphaned or stuck, and what tasks left behind: by uid, with a reason for each."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ..arguments import CONNECTION, WAIT, with_defaults
from ..cluster.kinds import BUILT_IN, JOB, NAMESPACE, POD
from ..cluster.namespaces import warn_of_missing_namespaces
from ..errors import UNKNOWN_KIND, PodwrightError, option_error
from ..garbage.retention import LEFTOVER, PENDING, Owners, RetentionPolicies, RetentionPolicy, plan, read_subject
from ..objects.key import Key
from ..objects.labels import MANAGED, MANAGED_BY, RECORD, TTL, number_of
from ..operation import Invocation, Operation
from ..reconciler.wait import wait_until_gone

EVERYWHERE = "*"
RECLAIMED_KINDS = {
    kind.name: kind
    for kind in (
        BUILT_IN["v1", "ConfigMap"],
        BUILT_IN["v1", "Secret"],
        BUILT_IN["v1", "Service"],
        BUILT_IN["v1", "PersistentVolumeClaim"],
        JOB,
        BUILT_IN["networking.k8s.io/v1", "NetworkPolicy"],
    )
}
_KEEP = {"max_age": {"type": "int", "default": 0}, "keep_last": {"type": "int", "default": 0}}

ARGUMENTS = {
    **CONNECTION,
    **with_defaults(WAIT, wait=False, wait_timeout=120),
    "namespaces": {"type": "list", "elements": "str"},
    "label_selectors": {"type": "list", "elements": "str"},
    "completed": {"type": "dict", "options": _KEEP},
    "failed": {"type": "dict", "options": _KEEP},
    "records": {"type": "dict", "options": _KEEP},
    "orphaned": {"type": "bool", "default": False},
    "evicted": {"type": "bool", "default": False},
    "expired": {"type": "bool", "default": False},
    "stuck": {"type": "dict", "options": {"max_age": {"type": "int", "default": 3600}, "force": {"type": "bool", "default": False}}},
    "reclaim": {"type": "list", "elements": "str", "choices": sorted(RECLAIMED_KINDS), "default": []},
    "reclaim_age": {"type": "int", "default": 600},
    "propagation_policy": {"type": "str", "choices": ["Background", "Foreground", "Orphan"], "default": "Background"},
    "grace_period": {"type": "int"},
    "limit": {"type": "int"},
    "rate": {"type": "float"},
    "concurrency": {"type": "int", "default": 16},
}


@dataclass
class Collection:
    """What was done so far.

    Attributes:
        sweep: the deletes, once it is decided what goes.
        kept: an entry of the result for each object that stays.
    """

    sweep: _Sweep | None = None
    kept: list[dict] = field(default_factory=list)


def run(invocation: Invocation, outcome: Collection) -> None:
    """Look, decide and delete. Raises: PodwrightError, also if a delete failed."""
    params, client = invocation.params, invocation.client
    _check(params)
    namespaces = [None] if params["namespaces"] == [EVERYWHERE] else params["namespaces"] or [invocation.namespace]
    invocation.console.progress("looking for what may go")
    subjects = [subject for namespace in namespaces for subject in _observe(client, params, namespace)]
    warn_of_missing_namespaces(client, {*namespaces} - {None} - {subject.namespace for subject in subjects}, invocation.console)
    owners = _look_up_owners(client, subjects, params, invocation.console)
    policies = _policies(params, _default_ttls(client, namespaces) if params["expired"] else {})
    decisions = plan(subjects, owners, policies, client.now())
    going = [decision for decision in decisions if decision.goes]
    kept = [_describe(decision) for decision in decisions if not decision.goes]
    if params["limit"] is not None:
        kept = [_describe(d) | {"reason": f"the limit of {params['limit']} is reached: {d.why}"} for d in going[params["limit"] :]] + kept
        going = going[: params["limit"]]
    outcome.kept = kept
    sweep = outcome.sweep = _Sweep(invocation, going)
    sweep.run()
    if sweep.errors:
        first = sweep.errors[0][1]
        raise PodwrightError(f"{len(sweep.errors)} of {len(going)} deletes failed. {first.message}", reason=first.reason, hint=first.hint)
    if params["wait"] and not invocation.check_mode:
        _wait(invocation, sweep.deleted)


def _check(params):
    numbers = [(f"{option}.{name}", params[option][name]) for option in ("completed", "failed", "records") if params[option] for name in _KEEP]
    numbers += [(name, params[name]) for name in ("reclaim_age", "grace_period", "limit", "rate") if params[name] is not None]
    numbers += [("stuck.max_age", params["stuck"]["max_age"])] if params["stuck"] else []
    for option, number in numbers:
        if number < 0:
            raise option_error(option, f"{number} is less than 0.")
    if params["concurrency"] < 1:
        raise option_error("concurrency", f"{params['concurrency']} is less than 1.")
    if params["rate"] == 0:
        raise option_error("rate", "at 0 deletes a second nothing would ever go.", "Use check mode to see what would be deleted.")
    if params["namespaces"] == []:
        raise option_error("namespaces", "the list is empty.", f"Name them, or leave the option out, or give ['{EVERYWHERE}'] for all.")
    if EVERYWHERE in (params["namespaces"] or []) and len(params["namespaces"]) > 1:
        raise option_error("namespaces", f"'{EVERYWHERE}' means all of them and stands alone.")


def _policies(params, default_ttl):
    keeps = {name: RetentionPolicy(**params[name]) if params[name] else None for name in ("completed", "failed", "records")}
    stuck = params["stuck"] or {"max_age": None, "force": False}
    flags = {name: params[name] for name in ("orphaned", "evicted", "expired", "reclaim_age")}
    return RetentionPolicies(
        **keeps, **flags, stuck_after=stuck["max_age"], force=stuck["force"], reclaim=frozenset(params["reclaim"]), default_ttl=default_ttl
    )


# -- looking --------------------------------------------------------------------------------------------------


def _observe(client, params, namespace):
    """The Subjects of a namespace (None: of all), with one LIST a kind."""
    selectors = params["label_selectors"] or [f"{MANAGED_BY}={MANAGED[MANAGED_BY]}"]
    subjects = _list(client, POD, namespace, selectors)
    for name in params["reclaim"]:
        subjects += _list(client, RECLAIMED_KINDS[name], namespace, selectors)
    if params["reclaim"] and JOB.name not in params["reclaim"]:
        subjects += _list(client, JOB, namespace, selectors)
    if (params["records"] or params["expired"]) and "ConfigMap" not in params["reclaim"]:
        subjects += _list(client, RECLAIMED_KINDS["ConfigMap"], namespace, [*selectors, RECORD])
    return subjects


def _list(client, kind, namespace, selectors):
    return client.list(kind, namespace, label_selector=",".join(selectors), transform=lambda item: read_subject(kind, item))[0]


def _default_ttls(client, namespaces):
    """{namespace: seconds} where a namespace says how long what is over may stay."""
    everywhere = namespaces == [None]
    items = client.list(NAMESPACE, metadata_only=True)[0] if everywhere else [client.get(NAMESPACE, None, name) for name in namespaces]
    found = {item["metadata"]["name"]: number_of(item, TTL) for item in items if item}
    return {name: seconds for name, seconds in found.items() if seconds is not None}


def _look_up_owners(client, subjects, params, console):
    """The Owners, read after what they own: whoever owned it then is there now, or gone for good."""
    alive = {s.uid for s in subjects if s.kind in (POD, JOB) and not s.is_finished}
    finished = {s.uid for s in subjects if s.kind in (POD, JOB) and s.is_finished}
    unreadable = set()
    for (api_version, kind_name), namespaces in _missing_owners(subjects, params, alive | finished).items():
        try:
            kind = client.kinds.resolve(api_version, kind_name)
            for namespace in namespaces if kind.namespaced else [None]:
                for uid, is_finished in _list_owners(client, kind, namespace):
                    (finished if is_finished else alive).add(uid)
        except PodwrightError as error:
            if not (error.reason == UNKNOWN_KIND or error.is_forbidden or error.is_not_found):
                raise
            unreadable.add((api_version, kind_name))
            console.warn(f"What {kind_name or 'an owner of an unknown kind'} owns is kept, since its owners could not be listed: {error.message}")
    return Owners(frozenset(alive), frozenset(finished), frozenset(unreadable))


def _missing_owners(subjects, params, known):
    """{(api version, kind): namespaces} of owners that decide something and were not listed as subjects."""
    missing = {}
    for subject in subjects:
        for owner in subject.owners:
            decides = params["orphaned"] or (owner.controls and owner.kind == JOB.name) or subject.state == LEFTOVER
            if decides and owner.uid not in known:
                missing.setdefault((owner.api_version, owner.kind), set()).add(subject.namespace)
    return missing


def _list_owners(client, kind, namespace):
    """(uid, whether it is over) of all objects of a kind; only pods and Jobs are read beyond their metadata."""
    if kind in (POD, JOB):
        return client.list(kind, namespace, transform=lambda item: (item["metadata"]["uid"], read_subject(kind, item).is_finished))[0]
    return client.list(kind, namespace, metadata_only=True, transform=lambda item: (item["metadata"]["uid"], False))[0]


# -- deleting -------------------------------------------------------------------------------------------------


class _Sweep:
    """Deletes what goes, concurrently and no faster than asked for.

    Attributes:
        deleted: the Decisions carried out.
        missed: (Decision, why) of those that changed or were gone meanwhile.
        errors: (Decision, PodwrightError).
    """

    def __init__(self, invocation, going):
        self._task = invocation
        self._going = going
        self._lock = threading.Lock()
        self._refused = {}
        self.deleted, self.missed, self.errors = [], [], []

    def run(self):
        """Delete; in check mode only say so."""
        if self._task.check_mode:
            self.deleted = list(self._going)
            return
        self._started = self._task.client.clock.monotonic()
        with ThreadPoolExecutor(self._task.params["concurrency"]) as pool:
            for number, _done in enumerate(pool.map(self._delete, range(len(self._going)), self._going), 1):
                self._task.console.progress(f"{number} of {len(self._going)} deleted")

    def _delete(self, number, decision):
        self._pace(number)
        subject, params = decision.subject, self._task.params
        place = (subject.kind, subject.namespace)
        try:
            if place in self._refused:
                raise self._refused[place]
            existed = self._task.client.delete(
                subject.kind,
                subject.namespace,
                subject.name,
                subject.uid,
                params["propagation_policy"],
                0 if decision.force else params["grace_period"],
                # One that was pending may have started since.
                version=subject.version if subject.state == PENDING else None,
            )
        except PodwrightError as error:
            with self._lock:
                if error.is_forbidden:
                    self._refused[place] = error  # the next would be refused as well
                self.errors.append((decision, error))
            return
        with self._lock:
            (self.deleted if existed else self.missed).append(decision)

    def _pace(self, number):
        rate, clock = self._task.params["rate"], self._task.client.clock
        if rate:
            ahead = self._started + number / rate - clock.monotonic()
            if ahead > 0:
                clock.sleep(ahead)


def _wait(invocation, deleted):
    """Wait until what was deleted is gone. Raises: PodwrightError that names what is still there."""
    items = {}
    for decision in deleted:
        subject = decision.subject
        key = Key(subject.kind.group, subject.kind.name, subject.namespace, subject.name)
        items[key] = (subject.kind, {"metadata": {"name": subject.name, "namespace": subject.namespace, "uid": subject.uid}})
    wait_until_gone(invocation.client, items, invocation.params["wait_timeout"], invocation.console)


# -- describing -----------------------------------------------------------------------------------------------


def _describe(decision):
    subject = decision.subject
    entry = {"kind": subject.kind.name, "namespace": subject.namespace, "name": subject.name, "uid": subject.uid, "reason": decision.why}
    return entry | ({"policy": decision.rule} if decision.rule else {})


def describe(invocation: Invocation, outcome: Collection) -> dict:
    """The result's fields, as far as it got."""
    sweep = outcome.sweep
    if sweep is None:
        return {}
    done = sorted(sweep.deleted, key=lambda d: _place(_describe(d)))  # threads finish in any order
    deleted = [_describe(decision) for decision in done]
    kept = outcome.kept + [_describe(d) | {"reason": "it changed or was gone when it was to be deleted"} for d in sweep.missed]
    errors = [_describe(d) | {"msg": str(error)} for d, error in sweep.errors]
    result = {
        "changed": bool(deleted),
        "plan": [_step(decision) for decision in done],
        "deleted": deleted,
        "kept": sorted(kept, key=_place),
        "errors": errors,
        "reclaimed": _add_up(decision.subject for decision in sweep.deleted),
        "summary": {"deleted": len(deleted), "kept": len(kept), "failed": len(errors)},
    }
    if invocation.diff_mode:
        lines = "".join(f"{e['kind']} {e['namespace']}/{e['name']} ({e['reason']})\n" for e in deleted)
        result["diff"] = {"before_header": "to be deleted", "after_header": "afterwards", "before": lines, "after": ""}
    return result


def _step(decision):
    subject = decision.subject
    step = {"action": "delete", "api_version": subject.kind.api_version, "kind": subject.kind.name, "namespace": subject.namespace}
    return step | {"name": subject.name, "patch": [], "note": decision.why}


def _place(entry):
    return entry["namespace"], entry["kind"], entry["name"]


def _add_up(subjects):
    """How many pods went, and what the deleted objects held: cores, bytes of memory and storage, GPUs."""
    total = {"cpu": 0.0, "memory": 0, "storage": 0, "gpus": 0, "pods": 0}
    for subject in subjects:
        total["pods"] += subject.kind == POD
        if subject.is_finished:
            continue  # it holds nothing on its node any more
        for name, amount in subject.requests.items():
            if name == "cpu":
                total["cpu"] = round(total["cpu"] + float(amount), 3)
            elif name in ("memory", "storage"):
                total[name] += int(amount)
            elif name.endswith("gpu"):
                total["gpus"] += int(amount)
    return total


OPERATION = Operation("pod_gc", ARGUMENTS, Collection, run, describe)
