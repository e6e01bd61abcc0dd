# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kinds of the API and the paths of their objects: built-in kinds from a table, other kinds by discovery."""

from __future__ import annotations

import functools
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import UNEXPECTED, UNKNOWN_KIND, PodwrightError
from .kind_errors import ambiguous, unknown_anywhere, unknown_in_group, unknown_in_version

if TYPE_CHECKING:
    from ..values import Manifest


def path_segment(text: str) -> str:
    """A segment of an API path, percent-encoded. Raises: PodwrightError if it cannot be one: the path would be that of another object."""
    if text in ("", ".", ".."):
        raise PodwrightError(f"A name or namespace must not be {text!r}: names are segments of API paths.", reason="BadName", hint="Correct it.")
    if "/" in text or "%" in text:  # the API server decodes them, and looks for another path
        hint = "Write the name alone, without a kind or a namespace before it."
        raise PodwrightError(f"A name or namespace must not contain '/' or '%', got {text!r}.", reason="BadName", hint=hint)
    return urllib.parse.quote(text, safe=":")


@dataclass(frozen=True)
class Kind:
    """A kind in one API version; `plural` is the name of its resource, `has_status` whether that has the subresource status."""

    api_version: str
    name: str
    plural: str
    namespaced: bool = True
    has_status: bool = field(default=True, compare=False)

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def title(self) -> str:
        """Its plural as errors write it, such as `NetworkPolicies`; the name if the resource is called otherwise (`PodMetrics`)."""
        stem = self.name[:-1]
        return stem + self.plural[len(stem) :] if self.plural.startswith(stem.lower()) else self.name

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The API path of an object, or of the collection without a name. Raises: PodwrightError for an invalid name."""
        segments = ["namespaces", namespace] if self.namespaced and namespace else []
        segments += [segment for segment in (self.plural, name, subresource) if segment is not None]
        return _version_path(self.api_version) + "".join(f"/{path_segment(segment)}" for segment in segments)


def _version_path(api_version: str) -> str:
    return "/".join(["/apis" if "/" in api_version else "/api", *map(path_segment, api_version.split("/"))])


_BUILT_IN = {
    # API version -> "Kind plural", separated by |; a leading - marks a cluster-scoped kind
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


def _parse_table() -> dict[tuple[str, str], Kind]:
    table = {}
    for api_version, entries in _BUILT_IN.items():
        for entry in entries.split("|"):
            name, plural = entry.split()
            table[api_version, name.lstrip("-")] = Kind(api_version, name.lstrip("-"), plural, not name.startswith("-"))
    return table


BUILT_IN = _parse_table()
# As `kubectl api-resources` lists them.
_SHORT_NAMES = (
    "cm ConfigMap|ep Endpoints|ev Event|limits LimitRange|ns Namespace|no Node|pvc PersistentVolumeClaim|pv PersistentVolume|po Pod"
    "|rc ReplicationController|quota ResourceQuota|sa ServiceAccount|svc Service|ds DaemonSet|deploy Deployment|rs ReplicaSet|sts StatefulSet|cj CronJob"
    "|hpa HorizontalPodAutoscaler|pdb PodDisruptionBudget|ing Ingress|netpol NetworkPolicy|sc StorageClass|pc PriorityClass"
    "|crd CustomResourceDefinition|crds CustomResourceDefinition|csr CertificateSigningRequest"
)
# The groups of the API server itself, also those of which the table names no kind.
BUILT_IN_GROUPS = frozenset(kind.group for kind in BUILT_IN.values()) | {"events.k8s.io", "flowcontrol.apiserver.k8s.io", "resource.k8s.io"}
# Objects of these groups are questions (access and token reviews) that the API server answers and does not store.
ANSWERED_GROUPS = ("authentication.k8s.io", "authorization.k8s.io")
POD = BUILT_IN["v1", "Pod"]
NAMESPACE = BUILT_IN["v1", "Namespace"]
JOB = BUILT_IN["batch/v1", "Job"]
CRON_JOB = BUILT_IN["batch/v1", "CronJob"]
REPLICA_SET = BUILT_IN["apps/v1", "ReplicaSet"]
EVENT = BUILT_IN["v1", "Event"]
SECRET = BUILT_IN["v1", "Secret"]
CONFIG_MAP = BUILT_IN["v1", "ConfigMap"]
SERVICE = BUILT_IN["v1", "Service"]
CLAIM = BUILT_IN["v1", "PersistentVolumeClaim"]
DEFINITION = BUILT_IN["apiextensions.k8s.io/v1", "CustomResourceDefinition"]
NETWORK_POLICY = BUILT_IN["networking.k8s.io/v1", "NetworkPolicy"]
AUTOSCALER = BUILT_IN["autoscaling/v2", "HorizontalPodAutoscaler"]


@functools.cache
def _built_in_names() -> dict[str, list[Kind]]:
    """The built-in kinds by each name in lower case that kubectl accepts."""
    names: dict[str, list[Kind]] = {}
    short_names = [entry.split() for entry in _SHORT_NAMES.split("|")]
    for kind in BUILT_IN.values():
        for name in {kind.name.lower(), kind.plural, *(short for short, long in short_names if long == kind.name)}:
            names.setdefault(name, []).append(kind)
    return names


def find_built_in(api_version: str | None, name: str) -> Kind | None:
    """The built-in kind of that name, plural or short name in any case, or None; an api_version of None is any."""
    known = BUILT_IN.get((api_version or "v1", name))
    if known:
        return known
    kinds = _built_in_names().get(name.lower(), [])
    return next((kind for kind in kinds if api_version in (None, kind.api_version)), None)


def is_built_in(api_version: str) -> bool:
    """Whether the kinds of an API version are built in; all others are custom resources."""
    return api_version.rpartition("/")[0] in BUILT_IN_GROUPS


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class Kinds:
    """Finds the kinds that one API server serves.

    Kinds that were found are cached for the life of this object and no longer: a definition may be replaced between two tasks.

    Args:
        fetch: requests an API path and returns the decoded response; raises PodwrightError.
    """

    def __init__(self, fetch: Callable[[str], Manifest]) -> None:
        self._fetch = fetch
        self._discovered: dict[str, dict[str, Kind]] = {}  # by API version, by name
        self._names: dict[str, dict[str, Kind]] = {}  # by API version, by each name in lower case
        self._defined: dict[tuple[str, str], dict[str, Kind]] = {}  # by group and name, by API version
        self._former: dict[Kind, Kind | None] = {}

    def is_defined(self, kind: Kind) -> bool:
        """Whether the kind is one of a definition that is about to be applied."""
        return kind.api_version in self._defined.get((kind.group, kind.name), {})

    def find_coming(self, kind: Kind) -> Kind:
        """The kind in a version that its definition, if that is about to be applied, serves: in this one if possible."""
        defined = self._defined.get((kind.group, kind.name)) or {kind.api_version: kind}
        return defined.get(kind.api_version) or next(iter(defined.values()))

    def define(self, definition: Manifest) -> None:
        """Replace the served kinds by those of a CustomResourceDefinition that is about to be applied; an invalid one has none."""
        spec = _mapping(definition.get("spec"))
        names, versions = _mapping(spec.get("names")), spec.get("versions")
        for version in versions if isinstance(versions, list) else []:
            texts = (spec.get("group"), names.get("kind"), names.get("plural"), _mapping(version).get("name"))
            group, name, plural, number = (text if isinstance(text, str) else "" for text in texts)
            if group and name and plural and number and version.get("served") is not False:
                api_version = f"{group}/{number}"
                has_status = "status" in _mapping(_mapping(version).get("subresources"))
                kind = Kind(api_version, name, plural, spec.get("scope") == "Namespaced", has_status)
                self._defined.setdefault((group, name), {})[api_version] = kind

    def resolve(self, api_version: str, name: str) -> Kind:
        """The kind of that name. Raises: PodwrightError if the server does not serve it."""
        if kind := self._find(api_version, name):
            return kind
        raise self._unknown(api_version, name)

    def _find(self, api_version: str, name: str) -> Kind | None:
        defined = self._defined.get((api_version.rpartition("/")[0], name))
        known = BUILT_IN.get((api_version, name))
        return known or (defined.get(api_version) if defined else self._find_discovered(api_version, name))

    def _find_discovered(self, api_version: str, name: str) -> Kind | None:
        if name not in self._discovered.get(api_version, {}):
            # That a kind is missing is not cached: a new definition's group is served before its resources are.
            self._discovered[api_version] = self._discover(api_version)
        return self._discovered[api_version].get(name)

    def _is_served(self, api_version: str, name: str) -> bool:
        try:
            return self._find(api_version, name) is not None
        except PodwrightError:
            return False

    def _unknown(self, api_version: str, name: str) -> PodwrightError:
        """The error for a kind that was not found in an API version."""
        kinds, group = sorted(self._discovered.get(api_version, ())), api_version.rpartition("/")[0]
        defined = self._defined.get((group, name))
        others = [version for version in defined or (self.versions(group) if group else ()) if version != api_version]
        server = "its definition among the manifests" if defined else "the API server"
        missing = f"{server} does not serve {api_version}{', but ' + ', '.join(others) if others else ''}"
        # The kinds of the group extensions were moved to others, and it is not served any more.
        built_in = [kind.api_version for kind in BUILT_IN.values() if kind.name == name and group in (kind.group, "extensions")]
        successor = next(iter(built_in), None) or next((version for version in others if self._is_served(version, name)), None)
        return unknown_in_version(api_version, name, kinds, missing, successor)

    def find(self, api_version: str | None, name: str) -> Kind:
        """The kind that a user names: by its kind, or by the plural, singular or short name of its resource, in any case.

        Args:
            api_version: None searches every group.

        Raises: PodwrightError if the server does not serve it, or several groups do.
        """
        found = find_built_in(api_version, name)
        if found or api_version is None:
            return found or self._search(name)
        try:
            return self.resolve(api_version, name)
        except PodwrightError as error:
            named = self._names.get(api_version, {}).get(name.lower())
            if error.reason != UNKNOWN_KIND or not named:
                raise
            return named

    def find_optional(self, api_version: str | None, name: str) -> Kind:
        """Like `find`, for options whose `api_version` defaults to `v1` for every kind."""
        return self.find(None if api_version == "v1" else api_version, name)

    def _search(self, name: str) -> Kind:
        """The kind of that name in any group. Raises: PodwrightError."""
        versions, down = self._discover_all()
        found = self._named(name, versions)
        if len(found) == 1:
            return found[0]
        known = {kind.name: kind for version in versions for kind in self._discovered[version].values()}
        raise ambiguous(name, found) if found else unknown_anywhere(name, known.values(), down)

    def _named(self, name: str, versions: list[str]) -> list[Kind]:
        return [self._names[version][name.lower()] for version in versions if name.lower() in self._names[version]]

    def _discover_all(self) -> tuple[list[str], list[str]]:
        """Discover every group. Returns: its preferred versions, and those of them that cannot be read. Raises: PodwrightError."""
        groups = (self._request("/apis") or {}).get("groups") or []
        versions, down = [], []
        for api_version in ["v1", *(str(group["preferredVersion"]["groupVersion"]) for group in groups if group.get("preferredVersion"))]:
            try:
                self._discovered[api_version] = self._discover(api_version)
                versions.append(api_version)
            except PodwrightError as error:
                if (error.status or 0) < 500:
                    raise
                down.append(api_version)  # an aggregated API whose server is down
        return versions, down

    def namesakes(self, name: str) -> list[Kind]:
        """The kinds of that name in any group. Raises: PodwrightError."""
        built_in = [kind for kind in BUILT_IN.values() if kind.name == name]
        return built_in or [kind for kind in self._named(name, self._discover_all()[0]) if kind.name == name]

    def find_served(self, group: str, name: str) -> Kind:
        """The kind in the preferred version of the group, or in another version that serves it. Raises: PodwrightError if none does."""
        if built_in := next((kind for kind in BUILT_IN.values() if (kind.group, kind.name) == (group, name)), None):
            return built_in
        versions = self.versions(group)
        if found := next(filter(None, (self._find_discovered(version, name) for version in versions)), None):
            return found
        raise unknown_in_group(group, name, bool(versions))

    def find_if_served(self, group: str, name: str) -> Kind | None:
        """The kind in the best version of the group, or None if no version serves it. Raises: PodwrightError for other errors."""
        try:
            return self.find_served(group, name)
        except PodwrightError as error:
            if error.reason == UNKNOWN_KIND:
                return None
            raise

    def find_former(self, kind: Kind) -> Kind | None:
        """The kind in another version, if the server does not serve this one, but its definition is about to add it. Raises: PodwrightError."""
        if self.is_defined(kind) and kind not in self._former:
            served = [self._discover(version).get(kind.name) for version in self.versions(kind.group)]
            self._former[kind] = None if kind in served else next(filter(None, served), None)
        return self._former.get(kind)

    def versions(self, group: str) -> list[str]:
        """The served API versions of a group, the preferred one first; empty if the group is not installed. Raises: PodwrightError."""
        if not group:
            return ["v1"]
        response = self._request(f"/apis/{path_segment(group)}") or {}
        preferred = (response.get("preferredVersion") or {}).get("groupVersion")
        versions = [version["groupVersion"] for version in response.get("versions") or []]
        return sorted(versions, key=lambda version: bool(version != preferred))

    def _discover(self, api_version: str) -> dict[str, Kind]:
        response = self._request(_version_path(api_version)) or {}
        served = {entry["name"]: entry for entry in response.get("resources") or []}
        resources = {plural: entry for plural, entry in served.items() if "/" not in plural}
        kinds = [Kind(api_version, entry["kind"], plural, entry["namespaced"], f"{plural}/status" in served) for plural, entry in resources.items()]
        names = self._names[api_version] = {}
        for kind, entry in zip(kinds, resources.values()):
            names |= dict.fromkeys({kind.name.lower(), kind.plural, entry.get("singularName") or kind.plural, *(entry.get("shortNames") or [])}, kind)
        return {kind.name: kind for kind in kinds}

    def _request(self, path: str) -> Manifest | None:
        """The response, or None if the server does not serve the path: any server can say so, so `/apis` must show that it is an API server."""
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
