# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The manifests that Kueue, KEDA and kube-state-metrics publish in their modules, as they are installed into a local cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

USER = 65532  # the images of the local cluster name no user, and these pods must not run as root
NOT_PREFIXED = ("CustomResourceDefinition", "APIService", "Namespace")
NOT_OBJECTS = ("Configuration", "Kustomization", "PrefixSuffixTransformer")
FRAMEWORKS = ("batch/job", "pod")  # what Kueue queues here
WEBHOOKS = ("job", "pod", "workload", "clusterqueue", "resourceflavor", "cohort")
READER = "extension-apiserver-authentication-reader"  # a Role of Kubernetes
SYSTEM = ["kube-system", "kueue-system"]


def kueue(source: Path) -> list[dict[str, Any]]:
    """The objects of Kueue, in the order in which they are created. What kustomize would do is done here.

    Args:
        source: the directory of its module.
    """
    parts = source / "config/components"
    objects = [item for name in ("crd/bases", "manager", "rbac", "visibility", "internalcert", "webhook") for item in _read(parts / name)]
    wanted = [item for item in objects if item.get("kind") not in NOT_OBJECTS and not item["metadata"]["name"].startswith(("visibility-server", "v1beta"))]
    configuration = next(item for item in objects if item.get("kind") == "Configuration")
    configuration |= {"leaderElection": {"leaderElect": False}, "integrations": {"frameworks": list(FRAMEWORKS)}}
    data = {"controller_manager_config.yaml": yaml.safe_dump(configuration)}
    wanted += [item for item in objects if item.get("metadata", {}).get("name") == "visibility-server-auth-reader"]  # Kueue does not start without it
    wanted.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "manager-config", "namespace": "system"}, "data": data})
    for item in wanted:
        _prefix(item)
        _ADAPT.get(item["kind"], _keep)(item)
    return wanted


def keda(source: Path) -> list[dict[str, Any]]:
    """The objects of KEDA, in the order in which they are created, without its validating webhooks.

    Args:
        source: the directory of its module.
    """
    parts = source / "config"
    names = ("general", "crd/bases", "service_account", "rbac", "manager", "metrics-server")
    objects = [item for name in names for item in _read(parts / name)]
    wanted = [item for item in objects if item.get("kind") not in NOT_OBJECTS]
    for item in wanted:
        if item["kind"] == "Deployment":
            program = "operator" if item["metadata"]["name"] == "keda-operator" else "adapter"
            container = _use_image(item, program)
            container["args"] = [argument for argument in container["args"] if argument != "--leader-elect"]
            container.get("livenessProbe", {}).pop("initialDelaySeconds", None)
    return wanted


def kube_state_metrics(source: Path, namespace: str) -> list[dict[str, Any]]:
    """The objects of kube-state-metrics in a namespace. It exports the labels of tasks.

    Args:
        source: the directory of its module.
    """
    objects = [item for item in _read(source / "examples/standard") if item["kind"] not in NOT_OBJECTS]
    for item in objects:
        for reference in (item["metadata"], *item.get("subjects", ())):
            reference |= {"namespace": namespace} if "namespace" in reference else {}
        if item["kind"].startswith("ClusterRole"):
            item["metadata"]["name"] += f"-{namespace}"
            item.get("roleRef", {})["name"] = item["metadata"]["name"]
        elif item["kind"] == "Deployment":
            labels = "app.kubernetes.io/managed-by,podwright.io/task,podwright.io/set"
            container = _use_image(item, "kube-state-metrics")
            container["args"] = ["--resources=pods,resourcequotas", f"--metric-labels-allowlist=pods=[{labels}]"]
    return objects


def _read(directory: Path) -> list[dict[str, Any]]:
    """The documents of a directory, in the order of its files."""
    return [
        item
        for file in sorted(directory.glob("*.yaml"))
        for item in yaml.safe_load_all(file.read_text(encoding="utf-8"))
        if isinstance(item, dict) and "kind" in item
    ]


def _prefix(item: dict[str, Any]) -> None:
    """Give an object and those that it refers to the names and the namespace that Kueue's kustomization gives them."""
    metadata = item["metadata"]
    if item["kind"] not in NOT_PREFIXED:
        metadata["name"] = f"kueue-{metadata['name']}"
    if metadata.get("namespace") == "system":
        metadata["namespace"] = "kueue-system"
    for reference in (item.get("roleRef", {}), *item.get("subjects", ())):
        reference |= {"name": f"kueue-{reference['name']}"} if reference and reference["name"] != READER else {}
        reference |= {"namespace": "kueue-system"} if "namespace" in reference else {}
    for webhook in item.get("webhooks", ()):
        webhook["clientConfig"]["service"] |= {"name": "kueue-webhook-service", "namespace": "kueue-system"}


def _keep(item: dict[str, Any]) -> None:
    """Leave an object as it is."""


def _adapt_definition(item: dict[str, Any]) -> None:
    if len(item["spec"]["versions"]) > 1:
        service = {"name": "kueue-webhook-service", "namespace": "kueue-system", "path": "/convert"}
        item["spec"]["conversion"] = {"strategy": "Webhook", "webhook": {"clientConfig": {"service": service}, "conversionReviewVersions": ["v1"]}}


def _adapt_namespace(item: dict[str, Any]) -> None:
    item["metadata"]["name"] = "kueue-system"


def _adapt_service(item: dict[str, Any]) -> None:
    item["spec"]["selector"] = {"control-plane": "controller-manager"}


def _adapt_webhooks(item: dict[str, Any]) -> None:
    item["webhooks"] = [webhook for webhook in item["webhooks"] if webhook["name"].split(".")[0][1:] in WEBHOOKS]
    for webhook in item["webhooks"]:
        if webhook["name"] in ("mpod.kb.io", "vpod.kb.io"):
            webhook["namespaceSelector"] = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": SYSTEM}]}


def _adapt_deployment(item: dict[str, Any]) -> None:
    labels = {"control-plane": "controller-manager"}
    item["spec"]["selector"] = {"matchLabels": labels}
    item["spec"]["template"]["metadata"]["labels"] = labels
    pod = item["spec"]["template"]["spec"]
    pod["serviceAccountName"] = "kueue-controller-manager"
    container = _use_image(item, "kueue")
    container["args"] = ["--config=/etc/kueue/controller_manager_config.yaml", "--zap-log-level=2"]
    certificates = "/tmp/k8s-webhook-server/serving-certs"
    container["volumeMounts"] = [
        {"name": "config", "mountPath": "/etc/kueue"},
        {"name": "cert", "mountPath": certificates},
        {"name": "visibility", "mountPath": "/visibility"},
    ]
    pod["volumes"] = [
        {"name": "config", "configMap": {"name": "kueue-manager-config"}},
        {"name": "cert", "secret": {"secretName": "kueue-webhook-server-cert"}},
        {"name": "visibility", "emptyDir": {}},
    ]


def _use_image(item: dict[str, Any], program: str) -> dict[str, Any]:
    """Let a Deployment run the local image of a program, with few resources. Returns: its container."""
    pod = item["spec"]["template"]["spec"]
    pod["securityContext"] = pod.get("securityContext", {}) | {"runAsUser": USER}
    container: dict[str, Any] = pod["containers"][0]
    container |= {"image": f"podwright/{program}", "imagePullPolicy": "IfNotPresent", "resources": {"requests": {"cpu": "10m"}}}
    container.pop("command", None)
    container["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 1}
    return container


_ADAPT = {
    "CustomResourceDefinition": _adapt_definition,
    "Namespace": _adapt_namespace,
    "Service": _adapt_service,
    "MutatingWebhookConfiguration": _adapt_webhooks,
    "ValidatingWebhookConfiguration": _adapt_webhooks,
    "Deployment": _adapt_deployment,
}
