# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What scales workloads: the controllers of HorizontalPodAutoscalers and of KEDA, a metrics API and a Prometheus, each of which may report anything."""

from __future__ import annotations

import copy
import json

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import UNKNOWN_KIND, PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import AUTOSCALED, MANAGED, annotation_of

from .model_rollouts import NAMESPACE, RolloutCluster
from .model_server import is_terminating, leaves

HPA, SCALED_OBJECT = "HorizontalPodAutoscaler", "ScaledObject"
SCALABLE = ("Deployment", "StatefulSet", "ReplicaSet", "Cluster")
REPLICAS = {"Cluster": "size", "Job": "parallelism"}  # the field of a kind that is not called replicas
API_VERSIONS = dict.fromkeys(("Deployment", "StatefulSet", "ReplicaSet", "DaemonSet"), "apps/v1")
API_VERSIONS |= {"ConfigMap": "v1", "Job": "batch/v1", "Cluster": "example.com/v1"}
KEDA = {"group": "keda.sh", "names": {"kind": SCALED_OBJECT, "plural": "scaledobjects"}, "scope": "Namespaced", "versions": [{"name": "v1alpha1"}]}
CLUSTERS = {"group": "example.com", "names": {"kind": "Cluster", "plural": "clusters"}, "scope": "Namespaced", "versions": [{"name": "v1"}]}
# Usage of a container as the metrics API has been seen to report it: https://github.com/kubernetes-sigs/metrics-server/issues/473 and 207.
ODD_USAGE = ({}, {"cpu": "5m"}, {"memory": "1Mi"}, {"cpu": "NaN", "memory": "NaN"}, {"cpu": "-3m", "memory": "-1"}, {"cpu": "", "memory": ""})


class ScalingCluster(RolloutCluster):
    """A cluster with autoscalers.

    Attributes:
        usage: usage of each container in percent of its request.
        odd_pods: uid -> what the metrics API reports as the containers of a pod, or None if it does not know the pod.
        has_metrics: whether the metrics API is served.
        samples: the result of every Prometheus query, or the PodwrightError that the server answers.
        active: whether autoscalers read their metrics.
    """

    def __init__(self, rng):
        super().__init__(rng)
        self.usage, self.odd_pods, self.has_metrics, self.samples, self.active = 50, {}, True, [], True
        self._version = 1000  # none of those that `add` gives
        self.define("clusters", CLUSTERS)

    def define(self, name, spec):
        """Install the definition of a kind."""
        self.objects["CustomResourceDefinition", None, name] = {"kind": "CustomResourceDefinition", "metadata": {"name": name, "uid": name}, "spec": spec}
        self.owners[name] = {}

    # -- requests -------------------------------------------------------------------------------------------

    def get(self, kind, namespace, name, subresource=None):
        item = super().get(kind, namespace, name)
        return self._scale_of(kind, item) if subresource and item else item

    @staticmethod
    def _scale_of(kind, item):
        if kind.name not in SCALABLE:
            raise PodwrightError("the server could not find the requested resource", status=404, reason=UNKNOWN_KIND)
        replicas = item["spec"].get(REPLICAS.get(kind.name, "replicas"), 0)
        metadata = {name: item["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
        status = {"replicas": replicas, "selector": f"app={item['metadata']['name']}"}
        return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": replicas} if replicas else {}, "status": status}

    def patch(self, kind, namespace, name, patch, manager, content_type="", subresource=None, dry_run=False):
        if "managedFields" in patch.get("metadata", {}):
            return super().patch(kind, namespace, name, patch, manager, content_type, subresource, dry_run)
        key = self._key(kind, namespace, name)
        if subresource and kind.name not in SCALABLE and key in self.objects:
            raise PodwrightError("the server could not find the requested resource", status=404, reason=UNKNOWN_KIND)
        body = copy.deepcopy(patch)
        version = body.get("metadata", {}).pop("resourceVersion", None)
        if self.is_disturbed(0.15):
            self.disturb(key)
        if version and key in self.objects and self.objects[key]["metadata"]["resourceVersion"] != version:
            raise PodwrightError("the object has been modified; please apply your changes to the latest version", status=409, reason="Conflict")
        if subresource:
            body["spec"] = {REPLICAS.get(kind.name, "replicas"): body["spec"]["replicas"]}
        answer = super().patch(kind, namespace, name, body, manager, content_type, None, dry_run)
        return self._scale_of(kind, answer) if subresource else answer

    def list(self, kind, namespace=None, label_selector=None, field_selector=None, metadata_only=False, transform=None):
        if kind.group != "metrics.k8s.io":
            return super().list(kind, namespace, label_selector, field_selector, metadata_only, transform)
        self._arrive()
        if not self.has_metrics:
            raise PodwrightError("the server is currently unable to handle the request", status=503, reason="ServiceUnavailable")
        found = [self._measure(pod) for pod in self.of_kind("Pod") if self.odd_pods.get(pod["metadata"]["uid"], ()) is not None]
        return found, "1"

    def _measure(self, pod):
        odd = self.odd_pods.get(pod["metadata"]["uid"], ())
        containers = [{"name": "task", "usage": {"cpu": f"{self.usage}m", "memory": f"{self.usage}Ki"}}]
        return {"metadata": {name: pod["metadata"][name] for name in ("name", "namespace")}, "containers": containers if odd == () else odd}

    def fetch(self, request):
        """The response of Prometheus, by the proxy of the API server."""
        self._arrive()
        if isinstance(self.samples, PodwrightError):
            raise self.samples
        return self.samples if isinstance(self.samples, bytes) else json.dumps({"status": "success", "data": self.samples}).encode()

    def apply(self, kind, namespace, name, body, manager, force=True, dry_run=False):
        """The webhook of KEDA refuses a second autoscaler of an object, also in a dry run."""
        if kind.name == SCALED_OBJECT:
            others = [item for item in self.scalers_of(body["spec"]["scaleTargetRef"]) if item["kind"] == HPA and not self.is_controlled(item)]
            if others:
                name = others[0]["metadata"]["name"]
                message = f"admission webhook \"vscaledobject.kb.io\" denied the request: the workload is already managed by the hpa '{name}'"
                raise PodwrightError(message, status=403, reason="Forbidden")
        return super().apply(kind, namespace, name, body, manager, force, dry_run)

    def _versions(self, group):
        return ["metrics.k8s.io/v1beta1"] if group == "metrics.k8s.io" else super()._versions(group)

    def _terminate(self, key):
        super()._terminate(key)
        self.collect_garbage()

    # -- controllers ----------------------------------------------------------------------------------------

    def tick(self):
        super().tick()
        for item in self.of_kind("StatefulSet"):
            self._complete(item)
        for item in self.of_kind(SCALED_OBJECT):
            self._keda(item)
        for item in self.of_kind(HPA):
            self._autoscale(item)

    def _complete(self, item):
        replicas = item["spec"]["replicas"]
        counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), replicas)
        item["status"] = counts | {"observedGeneration": item["metadata"].get("generation", 0)}

    def _keda(self, item):
        """The operator of KEDA: it creates a HorizontalPodAutoscaler."""
        name, spec = f"keda-hpa-{item['metadata']['name']}", item["spec"]
        if is_terminating(item):
            return
        if (HPA, NAMESPACE, name) not in self.objects:
            own = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment"} | spec["scaleTargetRef"], "minReplicas": max(1, spec["minReplicaCount"])}
            body = {"apiVersion": "autoscaling/v2", "kind": HPA, "metadata": {"name": name}, "spec": own | {"maxReplicas": spec["maxReplicaCount"]}}
            self.add(body, item)
        item["status"] = {"hpaName": name, "conditions": [{"type": "Ready", "status": "True" if self.active else "False"}]}

    def _autoscale(self, item):
        """The controller of HorizontalPodAutoscalers: it brings the replicas within the limits."""
        reference = item["spec"]["scaleTargetRef"]
        target = self.objects.get((reference["kind"], NAMESPACE, reference["name"]))
        is_able = target is not None and reference["kind"] in SCALABLE
        conditions = {"AbleToScale": is_able, "ScalingActive": is_able and self.active}
        item["status"] = {"conditions": [{"type": name, "status": str(value), "reason": "Any"} for name, value in conditions.items()]}
        if not is_able:
            return
        field = REPLICAS.get(reference["kind"], "replicas")
        replicas = min(max(target["spec"].get(field, 1), item["spec"]["minReplicas"]), item["spec"]["maxReplicas"])
        item["status"] |= {"desiredReplicas": replicas, "currentReplicas": target["spec"].get(field, 1)}
        if target["spec"].get(field, 1) != replicas:
            target["spec"][field] = replicas
            self._touch(target)

    # -- what there is --------------------------------------------------------------------------------------

    @staticmethod
    def is_controlled(item):
        """Whether a controller has created it."""
        return bool(item["metadata"].get("ownerReferences"))

    def scalers_of(self, reference):
        """The autoscalers of an object that exist, without those that KEDA has created."""
        found = [item for kind in (HPA, SCALED_OBJECT) for item in self.of_kind(kind) if not is_terminating(item) and not self.is_controlled(item)]
        wanted = (reference.get("kind", "Deployment"), reference["name"])
        return [item for item in found if (item["spec"]["scaleTargetRef"].get("kind", "Deployment"), item["spec"]["scaleTargetRef"]["name"]) == wanted]

    def add_workload(self, kind, name, replicas, image="app:ready", requests=None):
        """A workload of somebody."""
        labels = {"app": name, "tier": "front"}
        containers = [{"name": "task", "image": image, "resources": {"requests": {"cpu": "100m", "memory": "100Ki"} if requests is None else requests}}]
        template = {"metadata": {"labels": dict(labels)}, "spec": {"containers": containers}}
        spec = {REPLICAS.get(kind, "replicas"): replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
        if kind == "Deployment":
            limits = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
            spec |= {"strategy": limits, "progressDeadlineSeconds": 600}
        item = {"apiVersion": API_VERSIONS[kind], "kind": kind, "metadata": {"name": name, "labels": labels, "generation": 1}}
        return self.add(item | ({"data": {}} if kind == "ConfigMap" else {"spec": spec}))

    def add_scaler(self, kind, name, target, is_foreign=True, own=False):
        """An autoscaler of somebody."""
        spec = {"scaleTargetRef": {"apiVersion": API_VERSIONS[target[0]], "kind": target[0], "name": target[1]}}
        spec |= {"minReplicas": 1, "maxReplicas": 4} if kind == HPA else {"minReplicaCount": 1, "maxReplicaCount": 4, "triggers": []}
        item = self.add({"apiVersion": "autoscaling/v2" if kind == HPA else "keda.sh/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
        if is_foreign:
            self.foreign.add((kind, NAMESPACE, name))
        if own:
            item["metadata"]["labels"] = dict(MANAGED)
            self.owners[item["metadata"]["uid"]] = {("podwright", "Apply"): set(leaves(item))}
        return item

    def disturb(self, key):
        """Somebody else does something to an object."""
        item = self.objects.get(key)
        if item is None or key in self.foreign:
            return
        act = self.rng.choice(["scale", "scale", "delete", "forget", "status"] if key[0] in SCALABLE else ["delete", "hold", "edit"])
        self.trace.append(f"somebody: {act} {key}")
        if act == "delete":
            self._delete(key)
        elif act == "hold":
            item["metadata"]["finalizers"] = ["example.com/hold"]
        elif act == "scale":
            item["spec"][REPLICAS.get(key[0], "replicas")] = self.rng.randrange(5)
            self._touch(item)
        elif act == "status":
            item.setdefault("status", {})["seen"] = self.rng.random()
            item["metadata"]["resourceVersion"] += "0"
        elif act == "forget":
            (item["metadata"].get("annotations") or {}).pop(AUTOSCALED, None)
            self._touch(item)
        elif act == "edit" and key[0] == HPA:
            self.update(key, {"apiVersion": item["apiVersion"], "kind": HPA, "spec": {"maxReplicas": self.rng.randrange(4, 9)}})

    def _check_traffic(self, when):
        """Nothing here is about traffic."""


def replicas_of(item):
    return item["spec"].get(REPLICAS.get(item["kind"], "replicas"))


def scales_directly(item):
    return annotation_of(item, AUTOSCALED) is not None


def odd_samples(rng):
    """The answer of Prometheus to a query, and the sum of its samples or None: https://prometheus.io/docs/prometheus/latest/querying/api/."""
    texts = rng.choice([["0"], ["5"], ["25.5"], ["-7"], ["1e308", "1e308"], ["1e300"], ["NaN"], ["+Inf"], ["3", "NaN"], ["4", "6"], [], ["0.0000001"]])
    return {"resultType": "vector", "result": [{"metric": {}, "value": [1.5, text]} for text in texts]}


BROKEN_SAMPLES = (
    b"<html>",
    b"[]",
    b"null",
    b'{"status":"success"}',
    b'{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1,"2"]]}]}}',
    b'{"status":"success","data":{"resultType":"string","result":[1,"2"]}}',
    b'{"status":"success","data":{"resultType":"vector","result":[{"value":[1]}]}}',
    b'{"status":"success","data":{"resultType":"vector","result":[{"histogram":[1,{"count":"2"}]}]}}',
    PodwrightError("parse error", status=400, reason="BadRequest"),
    PodwrightError("found duplicate series", status=422, reason="Invalid"),
    PodwrightError("no endpoints available for service", status=503, reason="ServiceUnavailable"),
)
