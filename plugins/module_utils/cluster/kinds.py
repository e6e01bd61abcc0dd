# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kinds of the API: a static table for the built-in ones, discovery with a private cache for the rest."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from dataclasses import dataclass

from .errors import PodwrightError

CACHE_SECONDS = 600


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
        """The API path of an object, or of the collection where no name is given."""
        parts = ["/apis" if "/" in self.api_version else "/api", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


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

    Args:
        fetch: a function from an API path to the decoded answer; raises PodwrightError.
        server: the server's address, which the cache is kept by.
        identity: whose view it is: discovery may differ by user.
    """

    def __init__(self, fetch, server, identity):
        self._fetch = fetch
        key = hashlib.sha256(f"{server} {identity}".encode()).hexdigest()[:32]
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self._file = os.path.join(base, "podwright", "discovery", f"{key}.json")
        self._defined = {}

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
        cached = self._read_cache()
        found = self._find(cached.get(api_version), api_version, name)
        if not found:
            listed = self._discover(api_version)
            found = self._find(listed, api_version, name)
            self._write_cache({**self._read_cache(), api_version: {"at": time.time(), "kinds": listed["kinds"]}})
        if not found:
            raise PodwrightError(
                f"The server does not know the kind {name} of {api_version}.",
                reason="UnknownKind",
                hint="Install its definition first, or correct api_version and kind (kubectl api-resources lists them).",
            )
        return found

    def find_served(self, group, name):
        """The Kind in the group's preferred version, or in another that is served. Raises: PodwrightError where there is none."""
        for (_version, built_in), kind in BUILT_IN.items():
            if built_in == name and kind.group == group:
                return kind
        versions = self.versions(group)
        if not versions:
            raise PodwrightError(
                f"This cluster has no {name}: the API group {group} is not installed.", reason="UnknownKind", hint=f"Install what serves {group} first."
            )
        for api_version in versions[:-1]:
            try:
                return self.resolve(api_version, name)
            except PodwrightError as error:
                if error.reason != "UnknownKind":
                    raise
        return self.resolve(versions[-1], name)

    def versions(self, group):
        """The API versions that are served of a group, the preferred one first; none where it is not installed."""
        if not group:
            return ["v1"]
        try:
            listed = self._fetch(f"/apis/{group}")
        except PodwrightError as error:
            if error.is_not_found:
                return []
            raise
        preferred = listed["preferredVersion"]["groupVersion"]
        return [preferred, *(version["groupVersion"] for version in listed["versions"] if version["groupVersion"] != preferred)]

    def find_if_served(self, group, name):
        """The Kind in the group's preferred version, or None where the group is not installed."""
        try:
            return self.find_served(group, name)
        except PodwrightError as error:
            if error.reason == "UnknownKind":
                return None
            raise

    def _discover(self, api_version):
        path = ("/apis/" if "/" in api_version else "/api/") + api_version
        try:
            listed = self._fetch(path)
        except PodwrightError as error:
            if error.is_not_found:
                return {"kinds": {}}
            raise
        kinds = {r["kind"]: [r["name"], r["namespaced"]] for r in listed.get("resources", []) if "/" not in r["name"]}
        return {"kinds": kinds}

    @staticmethod
    def _find(entry, api_version, name):
        if not entry or entry.get("at", time.time()) < time.time() - CACHE_SECONDS or name not in entry["kinds"]:
            return None
        plural, namespaced = entry["kinds"][name]
        return Kind(api_version, name, plural, namespaced)

    def _read_cache(self):
        try:
            with open(self._file, encoding="utf-8") as source:
                return json.load(source)
        except (OSError, ValueError):
            return {}

    def _write_cache(self, content):
        folder = os.path.dirname(self._file)
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=folder)  # 0600, renamed when whole
            with os.fdopen(handle, "w", encoding="utf-8") as sink:
                json.dump(content, sink)
            os.replace(partial, self._file)
        except OSError:
            pass  # a read-only home only costs the next discovery
