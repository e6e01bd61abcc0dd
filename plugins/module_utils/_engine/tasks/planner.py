# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From tasks as asked for to what is to be done about each: one LIST a kind and namespace, and no change."""

from __future__ import annotations

from ..cluster.client import MANAGER
from ..cluster.kinds import CONFIG_MAP, JOB, NETWORK_POLICY, POD
from ..errors import PodwrightError
from ..objects.labels import HASH, MANAGED, MANAGED_BY, RECORD, SET, TASK, label_of, owner_reference
from ..reconciler.manifest import key_of
from ..reconciler.plan import Change, creation_patch
from ..reconciler.plan import plan as plan_objects
from .decision import CREATE, NONE, REPLACE, RESIZE, attempt_of, decide, next_attempt
from .network_policy import DEFAULT, build_policy, policy_name
from .owner import Parents
from .pod_template import build_manifest
from .record import read_record
from .security_context import choose_profile
from .task_run import TaskRun


class Planner:
    """Plans tasks.

    Args:
        client: a Client.
        specs: TaskSpecs, all checked.
        conduct: Conduct.
        console: a Console.

    Attributes:
        runs: a Run for each task, and for each object that is only deleted.
        lists: (Kind, namespace) -> (items, version to watch from).
        selectors: namespace -> the label selector of its lists.
    """

    def __init__(self, client, specs, options, console):
        self._client = client
        self._specs = specs
        self._options = options
        self._console = console
        self._profiles = {}
        self._queues = {}
        self._parents = Parents(client)
        self._policies = {}
        self.runs, self.lists, self.selectors = [], {}, {}

    def plan(self, set_names=()):
        """Observe and decide. Fills `runs`.

        Args:
            set_names: (namespace, set name) pairs whose tasks are wholly known: with `prune`, others of the set go.
        """
        self.lists = self._observe(set_names)
        found, records = _by_task(self.lists), self._list_records()
        self._policies = self._list_policies()
        for spec in self._specs:
            place = (spec.namespace, spec.name)
            self.runs.append(self._plan_one(spec, found.pop(place, []), records.get(place)))
        if self._options.prune:
            asked = {(spec.namespace, spec.name) for spec in self._specs} if self._options.state != "absent" else set()
            for place, item in records.items():
                if place not in asked:
                    found.setdefault(place, []).append((CONFIG_MAP, item))
            named, sets = {(spec.namespace, spec.name) for spec in self._specs}, set(set_names)
            for (namespace, name), objects in found.items():
                if (namespace, label_of(objects[0][1], SET)) in sets or (namespace, name) in named:
                    self.runs += [self._plan_delete(kind, item) for kind, item in objects if not owner_job(item)]
        return self.runs

    def _list_records(self):
        """{(namespace, task): ConfigMap} where some task may have one that matters."""
        if not self._options.prune and not any(spec.keeps_record for spec in self._specs):
            return {}
        records = {}
        for namespace, selector in self.selectors.items():
            try:
                items, _version = self._client.list(CONFIG_MAP, namespace, label_selector=f"{selector},{RECORD}")
            except PodwrightError as error:
                if not error.is_forbidden:
                    raise
                self._console.warn(f"Records of earlier results cannot be read: {error}")
                continue
            records |= {(namespace, label_of(item, TASK)): item for item in items}
        return records

    def _list_policies(self):
        """{namespace: {name: NetworkPolicy}} where a task has a network of its own and permission to list them is there.

        They are listed by name or all of them, since labels of one that was edited may be missing.
        """
        wanted = {}
        for spec in self._specs:
            if self._options.state != "absent" and spec.options["network"] not in (None, DEFAULT):
                wanted.setdefault(spec.namespace, []).append(policy_name(spec.name))
        policies = {}
        for namespace, names in wanted.items():
            selector = f"metadata.name={names[0]}" if len(names) == 1 else None
            try:
                items, _version = self._client.list(NETWORK_POLICY, namespace, field_selector=selector)
            except PodwrightError as error:
                if not error.is_forbidden:
                    raise
                self._console.warn(f"Deleted or edited NetworkPolicies of running tasks are not restored: {error}")
                continue
            policies[namespace] = {item["metadata"]["name"]: item for item in items}
        return policies

    def _observe(self, set_names):
        """{(Kind, namespace): (items, version)} with one LIST each; Jobs only where some are wanted or some pod is one's."""
        wanted = {namespace: [] for namespace, _name in set_names}
        for spec in self._specs:
            wanted.setdefault(spec.namespace, []).append(spec)
        lists = {}
        for namespace, specs in wanted.items():
            selector = self._selector(specs, [name for ns, name in set_names if ns == namespace])
            self.selectors[namespace] = selector
            lists[POD, namespace] = pods, _version = self._client.list(POD, namespace, label_selector=selector)
            if not specs or any(spec.is_job for spec in specs) or any(map(owner_job, pods)):
                lists[JOB, namespace] = self._client.list(JOB, namespace, label_selector=selector)
        return lists

    @staticmethod
    def _selector(specs, set_names):
        parts = [f"{MANAGED_BY}={MANAGED[MANAGED_BY]}"]
        if len(specs) == 1 and not set_names:
            parts.append(f"{TASK}={specs[0].name}")
        return ",".join(parts)

    def _plan_one(self, spec, objects, record):
        own = next((item for kind, item in objects if kind == spec.kind and not owner_job(item)), None)
        run = TaskRun(spec, live=own)
        run.record = read_record(record) if record and own is None and spec.keeps_record else None
        run.pods = {item["metadata"]["uid"]: item for kind, item in objects if kind == POD and owner_job(item)} if spec.is_job else {}
        others = [(kind, item) for kind, item in objects if item is not own and not (kind == POD and owner_job(item))]
        run.read()
        run.parent, orphaned = self._find_parent(spec)
        action, note = decide(spec, own, run.status, run.record, run.parent)
        if action == REPLACE and spec.options["on_immutable"] == "fail" and own is not None and label_of(own, HASH) != spec.hash:
            raise immutable(spec)
        if others:
            action, note = REPLACE, "it was of another kind"
        kept = action in (NONE, RESIZE)
        if kept:
            run.attempt = run.record.attempt if run.is_known_by_record else attempt_of(own)
        else:
            run.attempt = next_attempt(spec, own, run.status, run.record)
            run.record = None
            note = "; ".join(filter(None, (note, self._admit(run, orphaned))))
        manifest = build_manifest(spec, self.profile(spec), run.attempt, run.parent)
        if not kept and own:
            others.append((spec.kind, own))
        if action == NONE:
            run.stage = "watch"
        elif action == RESIZE:
            run.stage = "resize"
        else:
            run.to_delete = {item["metadata"]["uid"]: (kind, item) for kind, item in others}
            run.stage = "remove" if run.to_delete else "create"
        run.change = Change(action, key_of(manifest, spec.kind), spec.kind, manifest, own, own if kept else manifest, note=note)
        if action == CREATE:
            run.change.patch = creation_patch(manifest)
        run.policy = self._plan_correction(run) if kept else self.plan_policy(run)
        return run

    def _find_parent(self, spec):
        """(its Parent or None, the error where it should have one): a task that is done needs its parent no more."""
        if self._options.state == "absent":
            return None, None
        try:
            return self._parents.find(spec), None
        except PodwrightError as error:
            if error.reason != "NoParent":
                raise
            return None, error

    def _admit(self, run, orphaned):
        """Check what a task that is about to be made needs beside itself. Returns a note for the plan; raises PodwrightError."""
        if self._options.state == "absent":
            return ""
        if orphaned and not self._options.check_mode:
            raise orphaned
        if run.parent:
            self._parents.admit(run.spec, run.parent, run.live)
        if run.spec.options.get("queue"):
            self._check_queue(run.spec)
        return "predicted locally: its parent does not exist yet" if orphaned else ""

    def _check_queue(self, spec):
        """A task whose queue is not there would wait for ever. Raises: PodwrightError."""
        name = spec.options["queue"]
        place = (spec.namespace, name)
        if place not in self._queues:
            self._queues[place] = self._client.get(self._client.kinds.find_served("kueue.x-k8s.io", "LocalQueue"), *place)
        if self._queues[place] is None:
            raise PodwrightError(
                f"The task '{spec.name}' cannot be queued: there is no LocalQueue '{name}' in namespace '{spec.namespace}'.",
                reason="NoQueue",
                hint="Make the LocalQueue first, or correct queue.",
            )

    def plan_policy(self, run):
        """The creation of the policy that a task's network asks for, or None; it is there before the pod and owned by it afterwards."""
        manifest = build_policy(run.spec.name, run.spec.namespace, run.spec.options["network"])
        if manifest is None or self._options.state == "absent":
            return None
        return Change(CREATE, key_of(manifest, NETWORK_POLICY), NETWORK_POLICY, manifest, after=manifest, patch=creation_patch(manifest))

    def _plan_correction(self, run):
        """The Change that restores the policy of a task that stays, or None if nothing differs."""
        known = self._policies.get(run.spec.namespace)
        if known is None or run.live is None:
            return None
        manifest = build_policy(run.spec.name, run.spec.namespace, run.spec.options["network"], owner_reference(run.live))
        if manifest is None:
            return None
        key, live = key_of(manifest, NETWORK_POLICY), known.get(manifest["metadata"]["name"])
        change = plan_objects({key: (NETWORK_POLICY, manifest)}, {key: live} if live else {}, MANAGER, takes_over=False)[0]
        return change if change.is_change else None

    def _plan_delete(self, kind, item):
        key = key_of(item, kind)
        run = TaskRun(None, Change("delete", key, kind, before=item), item)
        run.to_delete = {item["metadata"]["uid"]: (kind, item)}
        run.stage = "remove"
        return run

    def profile(self, spec):
        """The Pod Security profile that a task's pod is made for."""
        asked = spec.options["security_profile"]
        place = (spec.namespace, asked)
        if place not in self._profiles:
            self._profiles[place] = choose_profile(self._client, spec.namespace, asked)
        return self._profiles[place]

    def plan_deletion(self):
        """Turn the plan into one of deletion: whatever is there of the tasks goes, and nothing is made."""
        for run in self.runs:
            if not run.spec:
                continue
            if run.live is not None:
                run.to_delete[run.live["metadata"]["uid"]] = (run.spec.kind, run.live)
            is_going = run.live is not None and run.live["metadata"].get("deletionTimestamp")
            action = NONE if not run.to_delete or is_going else "delete"
            run.change = Change(action, run.change.key, run.spec.kind, before=run.live)
            run.stage = "remove" if run.to_delete else "done"
            run.record = run.policy = run.status = None
            run.read()


def _by_task(lists):
    """{(namespace, task): [(Kind, object)]} of everything listed."""
    found = {}
    for (kind, namespace), (items, _version) in lists.items():
        for item in items:
            found.setdefault((namespace, label_of(item, TASK)), []).append((kind, item))
    return found


def owner_job(item):
    """The uid of the Job that owns a pod, or None."""
    return next((o["uid"] for o in item["metadata"].get("ownerReferences") or [] if o["kind"] == "Job"), None)


def immutable(spec, why="a pod cannot be changed in place"):
    """The error where what is there would have to be replaced, and must not be."""
    return PodwrightError(
        f"The options of task '{spec.name}' changed, and {why.rstrip('.')}.",
        reason="Immutable",
        hint="Set on_immutable to replace, or give the task another name.",
    )
