# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kinds of the API and the paths of their objects: a static table for the built-in ones, discovery for the rest."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass

from ..errors import UNEXPECTED, UNKNOWN_KIND, PodwrightError


def path_segment(text):
    """One component of an API path, percent-encoded. Raises: PodwrightError for what can be none: it would name another object or a collection."""
    if text in ("", ".", ".."):
        raise PodwrightError(f"A name or namespace must not be {text!r}: it is a component of the path of an object.", reason="BadName")
    return urllib.parse.quote(text, safe=":")


@dataclass(frozen=True)
class Kind:
    """One kind of one API version and where its objects live."""

    api_version: str
    name: str
    plural: str
    namespaced: bool = True

    @property
    def group(self):
        """The API group, empty for the core."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace=None, name=None, subresource=None):
        """The API path of an object, or of the collection if no name is given. Raises: PodwrightError for a name that cannot be in a path."""
        parts = ["namespaces", namespace] if self.namespaced and namespace else []
        parts += [part for part in (self.plural, name, subresource) if part is not None]
        return _version_path(self.api_version) + "".join(f"/{path_segment(part)}" for part in parts)


def _version_path(api_version):
    return "/".join(["/apis" if "/" in api_version else "/api", *map(path_segment, api_version.split("/"))])


_BUILT_IN = {
    # api version -> "Kind plural" (a leading - marks cluster scope)
    "v1": "-Namespace namespaces|-Node nodes|-PersistentVolume persistentvolumes|Pod pods|ConfigMap configmaps|Secret secrets|Service services"
    "|ServiceAccount serviceaccounts|PersistentVolumeClaim persistentvolumeclaims|ResourceQuota resourcequotas|LimitRange limitranges"
    "|Event events|Endpoints endpoints|ReplicationController replicationcontrollers|PodTemplate podtemplates",
    "apps/v1": "Deployment deployments|ReplicaSet replicasets|StatefulSet statefulsets|DaemonSet daemonsets|ControllerRevision controllerrevisions",
    "batch/v1": "Job jobs|CronJob cronjobs",
    "autoscaling/v2": "HorizontalPodAutoscaler horizontalpodautoscalers",
    "autoscaling/v1": "HorizontalPodAutoscaler horizontalpodautoscalers",
    "policy/v1": "PodDisruptionBudget poddisruptionbudgets",
    "networking.k8s.io/v1": "NetworkPolicy networkpolicies|Ingress ingresses|-IngressClass ingressclasses",
    "rbac.authorization.k8s.io/v1": "Role roles|RoleBinding rolebindings|-ClusterRole clusterroles|-ClusterRoleBinding clusterrolebindings",
    "storage.k8s.io/v1": "-StorageClass storageclasses|-VolumeAttachment volumeattachments|-CSIDriver csidrivers|-CSINode csinodes",
    "scheduling.k8s.io/v1": "-PriorityClass priorityclasses",
    "node.k8s.io/v1": "-RuntimeClass runtimeclasses",
    "discovery.k8s.io/v1": "EndpointSlice endpointslices",
    "coordination.k8s.io/v1": "Lease leases",
    "apiextensions.k8s.io/v1": "-CustomResourceDefinition customresourcedefinitions",
    "apiregistration.k8s.io/v1": "-APIService apiservices",
    "admissionregistration.k8s.io/v1": "-ValidatingWebhookConfiguration validatingwebhookconfigurations"
    "|-MutatingWebhookConfiguration mutatingwebhookconfigurations|-ValidatingAdmissionPolicy validatingadmissionpolicies"
    "|-ValidatingAdmissionPolicyBinding validatingadmissionpolicybindings",
    "certificates.k8s.io/v1": "-CertificateSigningRequest certificatesigningrequests",
    "metrics.k8s.io/v1beta1": "PodMetrics pods|-NodeMetrics nodes",
}


def _parse_table():
    table = {}
    for api_version, entries in _BUILT_IN.items():
        for entry in entries.split("|"):
            name, plural = entry.split()
            table[api_version, name.lstrip("-")] = Kind(api_version, name.lstrip("-"), plural, not name.startswith("-"))
    return table


BUILT_IN = _parse_table()
POD = BUILT_IN["v1", "Pod"]
NAMESPACE = BUILT_IN["v1", "Namespace"]
JOB = BUILT_IN["batch/v1", "Job"]
EVENT = BUILT_IN["v1", "Event"]
SECRET = BUILT_IN["v1", "Secret"]
CONFIG_MAP = BUILT_IN["v1", "ConfigMap"]
NETWORK_POLICY = BUILT_IN["networking.k8s.io/v1", "NetworkPolicy"]
AUTOSCALER = BUILT_IN["autoscaling/v2", "HorizontalPodAutoscaler"]


class Kinds:
    """Resolves (api version, kind) for one server.

    What discovery tells is kept for the life of this object and no longer: a definition may be replaced between two tasks.

    Args:
        fetch: a function from an API path to the decoded answer; raises PodwrightError.
    """

    def __init__(self, fetch):
        self._fetch = fetch
        self._discovered = {}  # api version -> {name: Kind}
        self._defined = {}

    def is_defined(self, kind):
        """Whether the Kind is of a definition that is about to be created."""
        return (kind.api_version, kind.name) in self._defined

    def define(self, definition):
        """Learn the kinds of a CustomResourceDefinition that is about to be created."""
        spec = definition.get("spec") or {}
        names, group = spec.get("names") or {}, spec.get("group")
        for version in spec.get("versions") or []:
            if group and names.get("kind") and names.get("plural") and version.get("name"):  # what is missing, the server will say
                api_version = f"{group}/{version['name']}"
                self._defined[api_version, names["kind"]] = Kind(api_version, names["kind"], names["plural"], spec.get("scope") == "Namespaced")

    def resolve(self, api_version, name):
        """The Kind. Raises: PodwrightError where the server does not know it."""
        known = BUILT_IN.get((api_version, name)) or self._defined.get((api_version, name))
        if known:
            return known
        if api_version not in self._discovered:
            self._discovered[api_version] = self._discover(api_version)
        found = self._discovered[api_version].get(name)
        if not found:
            raise PodwrightError(
                f"The server does not know the kind {name} of {api_version}.",
                reason=UNKNOWN_KIND,
                hint="Install its definition first, or correct api_version and kind (kubectl api-resources lists them).",
            )
        return found

    def find_served(self, group, name):
        """The Kind in the best version of the group that serves it, the preferred one first. Raises: PodwrightError if there is none."""
        for (_version, built_in), kind in BUILT_IN.items():
            if built_in == name and kind.group == group:
                return kind
        versions = self.versions(group)
        for version in versions:
            try:
                return self.resolve(version, name)
            except PodwrightError as error:
                if error.reason != UNKNOWN_KIND:
                    raise
        why = f"the API group {group} does not serve it" if versions else f"the API group {group} is not installed"
        raise PodwrightError(f"This cluster has no {name}: {why}.", reason=UNKNOWN_KIND, hint=f"Install what serves {group} first.")

    def versions(self, group):
        """The API versions that are served of a group, the preferred one first; none if it is not installed."""
        if not group:
            return ["v1"]
        answer = self._ask(f"/apis/{path_segment(group)}") or {}
        preferred = (answer.get("preferredVersion") or {}).get("groupVersion")
        versions = [version["groupVersion"] for version in answer.get("versions") or []]
        return sorted(versions, key=lambda version: version != preferred)

    def find_if_served(self, group, name):
        """The Kind in the best version of the group, or None if no version serves it."""
        try:
            return self.find_served(group, name)
        except PodwrightError as error:
            if error.reason == UNKNOWN_KIND:
                return None
            raise

    def _discover(self, api_version):
        listed = self._ask(_version_path(api_version)) or {}
        resources = [entry for entry in listed.get("resources") or [] if "/" not in entry["name"]]
        return {entry["kind"]: Kind(api_version, entry["kind"], entry["name"], entry["namespaced"]) for entry in resources}

    def _ask(self, path):
        """The answer, or None if the server does not serve the path: any server can say that, so it must show that it is an API server."""
        try:
            return self._fetch(path)
        except PodwrightError as error:
            if error.reason != UNKNOWN_KIND:
                raise
        try:
            self._fetch("/apis")
        except PodwrightError as error:
            if error.reason == UNKNOWN_KIND:
                error.reason = UNEXPECTED
            if not error.is_forbidden:
                raise
        return None
