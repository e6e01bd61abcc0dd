# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One Deployment, whose controller replaces its pods a few at a time."""

from __future__ import annotations

from ..cluster.kinds import BUILT_IN
from ..errors import PodwrightError
from ..objects.labels import DEPLOYMENT, ROLLED_BACK, annotation_of, number_of
from ..objects.readiness import READY, assess
from .deployer import DEPLOYMENT_KIND, Deployer
from .manifests import ROLLING, build_deployment, build_service

REPLICA_SET = BUILT_IN["apps/v1", "ReplicaSet"]
KUBERNETES_REVISION = "deployment.kubernetes.io/revision"


class Rolling(Deployer):
    """One Deployment, whose controller replaces its pods a few at a time."""

    def present(self):
        """Roll to what is asked for, and back where that fails and is wanted."""
        before = self._revision()
        try:
            self._apply(paused=False)
        except PodwrightError as error:
            if self.params["rollback_on_failure"] and before and self._revision(fresh=True) != before:
                self._roll_back(before)
                error.message += f"\nIt was rolled back to revision {before}."
            raise
        for generation, item in self.deployments.items():
            if generation != ROLLING:
                self.remove(item, "another strategy made it")

    def paused(self):
        """Take the new pods' description, and change no pod yet."""
        self._apply(paused=True)

    def _apply(self, paused):
        deployment = build_deployment(self.spec(), self.params, self.profile(), ROLLING, self.params["replicas"])
        live = self.deployments.get(ROLLING)
        if not live:
            self._refuse_foreign()
        if paused or (live and live["spec"].get("paused")):
            deployment["spec"]["paused"] = paused  # else left out, as the API does
        self.apply(deployment, build_service(self.params, deployment["spec"]["selector"]["matchLabels"]), wait=not paused)

    def _refuse_foreign(self):
        name = self.params["name"]
        if self.client.get(DEPLOYMENT_KIND, self.namespace, name):
            message = f"There is a Deployment '{name}' in namespace '{self.namespace}' that pod_deployment did not make."
            hint = "Its selector cannot be changed: take another name, or delete it first."
            raise PodwrightError(message, reason="NotOurs", hint=hint)

    def promoted(self):
        """Go on with what was paused."""
        live = self.require(self.deployments.get(ROLLING), "Deployment")
        self.wait([self.patch(live, {"spec": {"paused": False}}, "it goes on") if live["spec"].get("paused") else live])

    def aborted(self):
        """Return to the revision before, where the latest is not complete."""
        live = self.require(self.deployments.get(ROLLING), "Deployment")
        if live["spec"].get("paused") or (assess(live).state != READY and not annotation_of(live, ROLLED_BACK)):
            self._roll_back(self._previous())
        else:
            self.wait([live])  # what was begun is not undone: the revision before it is the one that was left

    def rolled_back(self):
        """Return to a revision, the one before where none is named; not once more where that was done."""
        live = self.require(self.deployments.get(ROLLING), "Deployment")
        asked = self.params["revision"]
        done = annotation_of(live, ROLLED_BACK)
        if done is None or asked not in (None, int(done)):
            self._roll_back(asked or self._previous())
        else:
            self.wait([live])

    def _revision(self, fresh=False):
        live = self.client.get(DEPLOYMENT_KIND, self.namespace, self.params["name"]) if fresh else self.deployments.get(ROLLING)
        return live and number_of(live, KUBERNETES_REVISION)

    def _replica_sets(self):
        uid = self.deployments[ROLLING]["metadata"]["uid"]
        items = self.client.list(REPLICA_SET, self.namespace, label_selector=f"{DEPLOYMENT}={self.params['name']}")[0]
        owned = [item for item in items if any(o["uid"] == uid for o in item["metadata"].get("ownerReferences") or [])]
        return {number_of(item, KUBERNETES_REVISION) or 0: item for item in owned}

    def _previous(self):
        """The latest revision but the one that the Deployment asks for now."""
        live = self.deployments[ROLLING]["spec"]["template"]
        return max((number for number, item in self._replica_sets().items() if _bare_template(item) != live), default=None)

    def _roll_back(self, revision):
        known = self._replica_sets()
        found = known.get(revision)
        if not found:
            raise self.no_revision(revision, known)
        live = self.client.get(DEPLOYMENT_KIND, self.namespace, self.params["name"])
        # Applied, not patched: what the old description has beyond the new one is ours to take away again.
        kept = ("replicas", "selector", "strategy", "progressDeadlineSeconds", "minReadySeconds")
        spec = {name: live["spec"][name] for name in kept if name in live["spec"]}
        metadata = {"name": self.params["name"], "labels": live["metadata"]["labels"], "annotations": {ROLLED_BACK: str(revision)}}
        spec |= {"template": _bare_template(found), "paused": False}
        self.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})

    def situation(self):
        """Revision, active and preview."""
        live = self.deployments.get(ROLLING)
        return {"revision": self._revision(), "active": live and live["metadata"]["name"], "preview": None, "weights": {}}


def _bare_template(replica_set):
    template = replica_set["spec"]["template"]
    labels = {key: value for key, value in template["metadata"]["labels"].items() if key != "pod-template-hash"}
    return template | {"metadata": template["metadata"] | {"labels": labels}}
