# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster of this process in which a random generator decides what happens next: it runs pods and Jobs, refuses, loses and delays."""

from __future__ import annotations

import copy
from collections import deque

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP, JOB, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import HASH, RECORD, TASK, label_of, owner_reference
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.selectors import matches

from .fake_cluster import FakeCluster

NAMESPACE = "n"
QUOTA = PodwrightError("pods is forbidden: exceeded quota: q", status=403, reason="Forbidden")
REFUSALS = {
    "forbidden": PodwrightError("pods is forbidden: User x cannot do that", status=403, reason="Forbidden"),
    "quota": QUOTA,
    "invalid": PodwrightError("it is invalid", status=422, reason="Invalid"),
}
STAMP = "2026-01-01T00:00:00Z"


class VirtualClock:
    """Time passes only while nothing can happen."""

    def __init__(self):
        self.time, self.on_sleep = 0.0, lambda: None

    def monotonic(self):
        return self.time

    def now(self):
        return 1767225600 + self.time

    def sleep(self, seconds):
        self.time += seconds
        self.on_sleep()


class ModelCluster(FakeCluster):
    """A cluster whose controllers act in any order.

    Attributes:
        disturbances: how many faults may still happen.
        streams: kind name -> events that its watch has not delivered.
        history: (verb, kind name, task name, certainty) of each write: "sure", "lost" if its answer was not received.
        requests: requests that a thread of the pool has not sent yet.
        answers: answers that the runner has not received yet.
        can_resize: whether pods can be resized.
        foreign: uids of what somebody else created.
        on_create: called with each Pod or Job that a client asks to create.
        exits: task name -> the exit codes of its pods, one after the other, the last one also later; None: it does not exit.
    """

    def __init__(self, tmp_path, rng, can_resize=True):
        super().__init__(tmp_path)
        self.rng, self.can_resize, self.clock = rng, can_resize, VirtualClock()
        self.disturbances, self.history, self.trace = 0, [], []
        self.streams, self.requests, self.answers, self.ready = {}, [], [], deque()
        self.fates, self.foreign, self.exits = {}, set(), {}
        self.clock.on_sleep, self.on_create = self.act, lambda body: None

    # -- requests -------------------------------------------------------------------------------------------

    def get(self, kind, namespace, name):
        self._interfere()
        return copy.deepcopy(self.objects.get((kind.name, namespace, name)))

    def list(self, kind, namespace=None, label_selector=None, field_selector=None, metadata_only=False, transform=None):
        found = [item for (name, _namespace, _name), item in self.objects.items() if name == kind.name]
        if label_selector:
            found = [item for item in found if matches(label_selector, item["metadata"].get("labels") or {})]
        if field_selector and field_selector.startswith("metadata.name="):
            found = [item for item in found if item["metadata"]["name"] == field_selector.partition("=")[2]]
        found = copy.deepcopy(found)
        return [transform(item) for item in found] if transform else found, str(self._version)

    def create(self, kind, namespace, body, manager, dry_run=False):
        if not dry_run:
            self._interfere(kind, body)
        name = body["metadata"].get("name") or f"{body['metadata']['generateName']}x"
        if (kind.name, namespace, name) in self.objects:
            raise PodwrightError(f"{name} exists already", status=409, reason="AlreadyExists")
        if dry_run:
            return self._stamp(body, name)
        if kind in (POD, JOB):
            self.on_create(body)
        return self._answer("create", kind, lambda: self._add(kind, self._stamp(body, name)), label_of(body, TASK))

    def apply(self, kind, namespace, name, body, manager, force=True, dry_run=False):
        known, data = (item.get("data") or {} for item in (self.objects.get((kind.name, namespace, name), {}), body))
        if kind == CONFIG_MAP and data.get("uid") and data["uid"] != known.get("uid"):
            assert known.get("created_at", "") <= data["created_at"], "the record of a later pod is overwritten"
        self._interfere()
        self._version += 1  # of which the uid is made
        return self._answer("apply", kind, lambda: super(ModelCluster, self).apply(kind, namespace, name, body, manager), label_of(body, TASK))

    def patch(self, kind, namespace, name, patch, manager, content_type="", subresource=None, dry_run=False):
        if not dry_run:
            self._interfere()
        if not self.can_resize and subresource:
            raise REFUSALS["invalid"]
        item = self.objects.get((kind.name, namespace, name))
        if item is None:
            raise PodwrightError(f"{name} not found", status=404, reason="NotFound")

        def change(pod):
            if not subresource:
                for field in ("labels", "annotations"):
                    pod["metadata"][field] = pod["metadata"].get(field, {}) | patch["metadata"].get(field, {})
                return
            wanted = {container["name"]: container["resources"] for container in patch["spec"]["containers"]}
            for container in pod["spec"]["containers"]:
                container["resources"] = {key: value for key, value in wanted[container["name"]].items() if key != "$patch"}
            pod["metadata"]["generation"] = pod["metadata"].get("generation", 1) + 1

        if dry_run:
            answer = copy.deepcopy(item)
            change(answer)
            return answer
        return self._answer(
            "resize" if subresource else "label" if "uid" in patch["metadata"] else "annotate", kind, lambda: self._modify(item, change), label_of(item, TASK)
        )

    def delete(self, kind, namespace, name, uid=None, propagation="Background", grace_period=None, dry_run=False, version=None):
        self._interfere()
        item = self.objects.get((kind.name, namespace, name))
        if item is None or (uid and item["metadata"]["uid"] != uid):
            return False
        verb = "terminating" if item["metadata"].get("deletionTimestamp") else "delete"
        self._answer(verb, kind, lambda: self._begin_deletion(item), label_of(item, TASK))
        return True

    def log(self, namespace, name, *arguments, **options):
        self._interfere()
        pod = self.objects.get(("Pod", namespace, name))
        if pod is None:
            raise PodwrightError(f"{name} not found", status=404, reason="NotFound")
        return f"log of {pod['metadata']['uid']}\n".encode()

    def close(self):
        pass

    def _answer(self, verb, kind, write, task):
        """Carry out a write, or refuse it, or lose the answer."""
        if self.is_disturbed(0.12):
            fault = self.rng.choice(["forbidden", "quota", "quota", "lost", "crash before", "crash after", "invalid"])
            self.trace.append(f"{fault}: {verb} {kind.name} of {task}")
            if fault == "crash before":
                raise OSError(fault)
            if fault in REFUSALS:
                raise REFUSALS[fault]
            write()
            self.history.append((verb, kind.name, task, "lost"))
            raise OSError(fault) if fault == "crash after" else PodwrightError("the connection was lost", reason="ConnectionLost")
        answer = write()
        self.history.append((verb, kind.name, task, "sure"))
        self.trace.append(f"{verb} {kind.name} of {task}")
        return copy.deepcopy(answer)

    # -- objects --------------------------------------------------------------------------------------------

    def _stamp(self, body, name):
        item = copy.deepcopy(body)
        self._version += 1
        item["metadata"] |= {"name": name, "uid": f"uid-{self._version}", "resourceVersion": str(self._version), "creationTimestamp": f"{self._version:09}"}
        return item

    def _add(self, kind, item):
        if kind == POD:
            item["status"] = {"phase": "Pending"}
            will_fail = self.is_disturbed(0.3)
            codes = self.exits.get(label_of(item, TASK), [])
            own = codes.pop(0) if len(codes) > 1 else codes[0] if codes else 0
            self.fates[item["metadata"]["uid"]] = will_fail or (own if item["spec"].get("restartPolicy") == "Never" else None)
        if kind in (POD, JOB) and item["metadata"]["namespace"] == NAMESPACE:
            self._check_alone(item)
        self.objects[kind.name, NAMESPACE, item["metadata"]["name"]] = item
        self._report("ADDED", item)
        return item

    def _check_alone(self, item):
        """Never two pods of one task, except those of its Job and of somebody else."""
        if item["metadata"]["uid"] in self.foreign or any(owner["kind"] == "Job" for owner in item["metadata"].get("ownerReferences") or []):
            return
        others = [other for (kind, _n, _name), other in self.objects.items() if kind == "Pod" and label_of(other, TASK) == label_of(item, TASK)]
        others = [other for other in others if other["metadata"]["uid"] not in self.foreign]
        assert not others, f"{item['kind']} created while {[other['metadata']['uid'] for other in others]} exist"

    def _modify(self, item, change):
        change(item)
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self._report("MODIFIED", item)
        return item

    def _begin_deletion(self, item):
        kind = item["kind"]
        if kind in ("ConfigMap", "NetworkPolicy") or (kind == "Pod" and self.rng.random() < 0.3):
            self._remove(item)
        elif not item["metadata"].get("deletionTimestamp"):
            self._modify(item, lambda it: it["metadata"].update(deletionTimestamp=STAMP))
        return item

    def _remove(self, item):
        self.objects.pop((item["kind"], NAMESPACE, item["metadata"]["name"]))
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self._report("DELETED", item)

    def _report(self, event, item):
        self.trace.append(f"    {event} {item['kind']} {item['metadata']['uid']}")
        if item["kind"] in self.streams:
            self.streams[item["kind"]].append((event, copy.deepcopy(item)))

    # -- what happens by itself -----------------------------------------------------------------------------

    def is_disturbed(self, probability):
        """Whether a fault happens now."""
        if self.disturbances <= 0 or self.rng.random() >= probability:
            return False
        self.disturbances -= 1
        return True

    def _interfere(self, kind=None, body=None):
        """While a request is on its way, the cluster changes; somebody else may create the same object."""
        for _step in range(self.rng.randrange(3)):
            self.act()
        if body and kind in (POD, JOB) and self.is_disturbed(0.08) and (kind.name, NAMESPACE, body["metadata"]["name"]) not in self.objects:
            item = self._stamp(body, body["metadata"]["name"])
            if self.rng.random() < 0.5:
                item["metadata"]["labels"] = item["metadata"]["labels"] | {HASH: "another"}
            self.foreign.add(item["metadata"]["uid"])
            self.trace.append("somebody else creates it")
            self._add(kind, item)

    def act(self):
        """One step of a controller, or a disturbance. Returns whether anything happened."""
        if self.is_disturbed(0.05):
            victims = [item for (kind, _n, _name), item in self.objects.items() if kind in ("Pod", "Job")]
            if victims:
                victim = self.rng.choice(victims)
                self.trace.append(f"somebody deletes {victim['metadata']['uid']}")
                if victim["kind"] == "Job" and self.rng.random() < 0.5:
                    self._remove(victim)  # in the background: its pods follow
                else:
                    self._begin_deletion(victim)
        if self.is_disturbed(0.05):
            for item in [item for item in self.objects.values() if "app" in (item["metadata"].get("labels") or {})][:1]:
                self.trace.append(f"somebody removes a label of {item['metadata']['uid']}")
                self._modify(item, lambda it: it["metadata"]["labels"].pop("app"))
        if self.is_disturbed(0.02):
            self._relist()
        steps = [step for item in self.objects.values() if (step := self._step_of(item))]
        if not steps:
            return False
        self.rng.choice(steps)()
        return True

    def overtake(self):
        """Another run with other options replaces a pod that has finished, and records the result of its own."""
        pods = [item for (kind, _n, _name), item in self.objects.items() if kind == "Pod" and self.is_finished(item)]
        pods = [pod for pod in pods if not pod["metadata"].get("ownerReferences") and not pod["metadata"].get("deletionTimestamp")]
        if not pods:
            return
        old = self.rng.choice(pods)
        self._remove(old)
        new = self._stamp(old, old["metadata"]["name"])
        new["metadata"]["labels"] = new["metadata"]["labels"] | {HASH: "another"}
        self.foreign.add(new["metadata"]["uid"])
        self.trace.append(f"another run replaces {old['metadata']['uid']} by {new['metadata']['uid']}")
        status = new["status"]
        self._add(POD, new)
        self._modify(new, lambda pod: pod.update(status=status))
        labels = {name: value for name, value in new["metadata"]["labels"].items() if name != "app"} | {RECORD: "true"}
        name = f"podwright-record-{label_of(new, TASK)}"
        data = {"state": "succeeded", "uid": new["metadata"]["uid"], "created_at": new["metadata"]["creationTimestamp"]}
        self.objects["ConfigMap", NAMESPACE, name] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels, "uid": f"record-{self._version}"},
            "data": data,
        }

    def _relist(self):
        """A watch that has expired lists again: what it has not reported yet is merged into one event for each object."""
        kind = self.rng.choice(["Pod", "Job"])
        if kind not in self.streams:
            return
        deleted = [(event, item) for event, item in self.streams[kind] if event == "DELETED"]
        live = [("MODIFIED", copy.deepcopy(item)) for (name, _n, _name), item in self.objects.items() if name == kind]
        self.streams[kind] = deque(deleted + live)

    def _step_of(self, item):
        kind, metadata = item["kind"], item["metadata"]
        owners = metadata.get("ownerReferences") or []
        uids = {other["metadata"]["uid"] for other in self.objects.values()}
        if owners and not any(owner["uid"] in uids for owner in owners):
            return lambda: self._remove(item)
        if kind == "Pod":
            return self._pod_step(item)
        return self._job_step(item) if kind == "Job" else None

    def _pod_step(self, pod):
        metadata, status = pod["metadata"], pod["status"]
        if metadata.get("deletionTimestamp"):
            return lambda: self._remove(pod)
        if status["phase"] == "Pending":
            secrets = [volume["secret"]["secretName"] for volume in pod["spec"].get("volumes", []) if "secret" in volume]
            if any(("Secret", NAMESPACE, name) not in self.objects for name in secrets):
                return None
            if self.is_disturbed(0.1):
                waiting = [{"name": "task", "state": {"waiting": {"reason": self.rng.choice(["ErrImagePull", "InvalidImageName"]), "message": "no image"}}}]
                return lambda: self._modify(pod, lambda p: p["status"].update(containerStatuses=waiting))
            ready = {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "task", "state": {"running": {}}}]}
            return lambda: self._modify(pod, lambda p: p["status"].update(ready, phase="Running"))
        if status["phase"] == "Running" and metadata.get("generation", 1) > status.get("observedGeneration", 1):
            is_infeasible = self.is_disturbed(0.5)
            news = {"observedGeneration": metadata["generation"]}
            if is_infeasible:
                news["conditions"] = [*status["conditions"], {"type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": "too large"}]
            return lambda: self._modify(pod, lambda p: p["status"].update(news))
        fate = self.fates[metadata["uid"]]
        if status["phase"] == "Running" and fate is not None:
            ended = {"exitCode": int(fate), "startedAt": STAMP, "finishedAt": STAMP}
            final = {"phase": "Failed" if fate else "Succeeded", "containerStatuses": [{"name": "task", "state": {"terminated": ended}}], "conditions": []}
            return lambda: self._modify(pod, lambda p: p["status"].update(final))
        return None

    def _job_step(self, job):
        metadata = job["metadata"]
        pods = [item for (kind, _n, _name), item in self.objects.items() if kind == "Pod" and _is_owned(item, metadata["uid"])]
        if metadata.get("deletionTimestamp"):
            alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
            return (lambda: self._begin_deletion(alive[0])) if alive else None if pods else (lambda: self._remove(job))
        if job.get("status", {}).get("conditions"):
            return None
        finished = [pod for pod in pods if pod["status"]["phase"] in ("Succeeded", "Failed")]
        if finished:
            has_succeeded = finished[0]["status"]["phase"] == "Succeeded"
            reason = {"reason": "CompletionsReached"} if has_succeeded else {"reason": "BackoffLimitExceeded", "message": "Too often"}
            status = {"conditions": [{"type": "Complete" if has_succeeded else "Failed", "status": "True"} | reason]}
            return lambda: self._modify(job, lambda j: j.update(status=status))
        if pods:
            return None
        template = job["spec"]["template"]
        owned = copy.deepcopy(template["metadata"]) | {"namespace": NAMESPACE, "ownerReferences": [owner_reference(job) | {"controller": True}]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": owned, "spec": copy.deepcopy(template["spec"])}
        return lambda: self._add(POD, self._stamp(body, f"{metadata['name']}-{self._version}"))

    @staticmethod
    def uid_of(item):
        """The uid of an object; a ConfigMap has none in this cluster."""
        return item["metadata"].get("uid")

    @staticmethod
    def is_finished(item):
        """Whether a pod or Job has terminated."""
        status = item.get("status", {})
        return status.get("phase") in ("Succeeded", "Failed") or any(condition["type"] in ("Complete", "Failed") for condition in status.get("conditions", []))

    def will_fail(self, item):
        """Whether a pod has failed or will, or cannot be resized."""
        conditions = item.get("status", {}).get("conditions", [])
        return bool(self.fates.get(item["metadata"]["uid"])) or any(condition.get("reason") == "Infeasible" for condition in conditions)

    def calm(self):
        """Let everything happen that happens by itself."""
        self.disturbances = 0
        while self.act():
            pass


def _is_owned(item, uid):
    return any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or [])
