# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the options of a task to the manifest of its Pod or Job."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import option_error
from ..libraries import load
from ..objects.containers import TASK_CONTAINER
from ..objects.labels import ATTEMPT, HASH, KEEPS_RECORD, MANAGED, MAX_CHILDREN, MAX_DEPTH, QUEUE, RESOURCES, SET, TASK, TTL
from ..objects.meshes import NATIVE_SIDECARS
from ..objects.workloads import GATE
from ..reconciler.manifest import drop_nulls, merge
from ..text import DNS_LABEL
from ..values import Manifest, Options, Patch
from .containers import build_container
from .definition import defined_template, yield_defaults
from .field_names import camelize
from .file_containers import build_holder, build_waiter
from .job import build_job
from .manifest_shape import check_patched, check_place, check_shape
from .options import check_keys, labels_of, texts_of
from .pod_security import profile_of
from .scheduling import build_claims, build_spread
from .security_context import namespace_fields, pod_context
from .standard_input import redirect_input
from .task_secret import rename_secret, secret_name, unique_name
from .volumes import build_volumes

if TYPE_CHECKING:
    from .owner import Parent
    from .task_spec import TaskSpec


def build_manifest(spec: TaskSpec, profile: str, attempt: int = 1, parent: Parent | None = None) -> Manifest:
    """The manifest of a task's Pod or Job: as its validation built it, if that was for the same profile and attempt.

    Args:
        profile: the Pod Security profile.
        attempt: number of the attempt.
        parent: the owner of the task, or None.

    Raises: PodwrightError that names the invalid option.
    """
    manifest = spec.validated.pop((profile, attempt), None) or _build(spec, profile, attempt)
    return parent.as_child(manifest) if parent else manifest


def preview_manifest(spec: TaskSpec) -> Manifest:
    """The manifest of a task's first attempt under the profile of its options, to be read only: `build_manifest` takes it. Raises: as `build_manifest`."""
    profile = profile_of(spec.options["security_profile"])
    return spec.validated.setdefault((profile, 1), build_manifest(spec, profile))


def _build(spec: TaskSpec, profile: str, attempt: int) -> Manifest:
    if spec.options.get("definition"):
        check_shape(spec.options["definition"], "definition")
        check_place(spec.options["definition"], spec.kind.name, spec.namespace, is_chosen=bool(spec.options.get("namespace")))
    labels, annotations = _labels(spec, attempt), _annotations(spec)
    metadata = {"name": spec.name, "namespace": spec.namespace, "labels": labels, "annotations": annotations}
    pod = _build_pod(spec, profile)
    if spec.is_job:
        template = {"metadata": {"labels": dict(labels), "annotations": annotations}, "spec": pod}
        manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": build_job(spec, template)}
    else:
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}
    if spec.options.get("definition"):
        yield_defaults(manifest, spec.options, spec.adopted)
        manifest = merge(spec.options["definition"], manifest)
    manifest = drop_nulls(manifest)
    _name_host(spec, manifest["spec"])
    if spec.options.get("patches"):
        manifest = _apply_patches(manifest, spec.options["patches"])
    return manifest


def _apply_patches(manifest: Manifest, patches: Patch) -> Manifest:
    """The manifest after the operations of a JSON Patch (RFC 6902)."""
    jsonpatch = load("jsonpatch")
    patched = manifest
    for index, operation in enumerate(patches):
        try:
            patched = jsonpatch.apply_patch(patched, [operation])
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, AttributeError, LookupError, TypeError, ValueError) as error:
            # The library's own message may contain the whole manifest, secrets included.
            shown = f"{operation.get('op')} {operation.get('path')}"
            raise option_error(f"patches[{index}]", f"must apply to the manifest of the task, got '{shown}' ({type(error).__name__}).") from None
    check_patched(patched, manifest)
    return patched


def _labels(spec: TaskSpec, attempt: int) -> dict[str, str]:
    own = MANAGED | {TASK: spec.name, ATTEMPT: str(attempt), HASH: spec.hash} | ({SET: spec.set_name} if spec.set_name else {})
    own |= {QUEUE: spec.options["queue"]} if spec.options.get("queue") else {}
    return labels_of("labels", spec.options.get("labels")) | own


def _annotations(spec: TaskSpec) -> dict[str, str]:
    # A proxy that a mesh injects must terminate with a task that completes.
    defined = (defined_template(spec.options).get("metadata") or {}).get("annotations") or {}
    annotations = {name: value for name, value in NATIVE_SIDECARS.items() if spec.completes and name not in defined}
    annotations |= texts_of("annotations", spec.options.get("annotations")) | {RESOURCES: spec.resources_hash}
    annotations |= {KEEPS_RECORD: "true"} if spec.keeps_record and spec.completes else {}
    numbers = {TTL: "ttl", MAX_DEPTH: "max_depth", MAX_CHILDREN: "max_children"}
    return annotations | {name: str(spec.options[option]) for name, option in numbers.items() if spec.options.get(option) is not None}


def _build_pod(spec: TaskSpec, profile: str) -> Manifest:
    options = spec.options
    volumes, mounts = build_volumes(spec)
    own = build_container(TASK_CONTAINER, options, spec, profile, mounts)
    additional, init = (
        [build_container(c["name"], c, spec, profile, mounts, f"{name}[{index}].") for index, c in enumerate(options.get(name) or [])]
        for name in ("containers", "init_containers")
    )
    if spec.completes:
        # Native sidecars (KEP-753) terminate with the task's container, so that the pod completes.
        init += [container | {"restartPolicy": "Always"} for container in additional]
        additional = []
    pod = {
        "containers": [redirect_input(own) if options.get("stdin") is not None else own, *additional, *build_holder(spec, profile, mounts)],
        "initContainers": build_waiter(spec, profile, mounts) + init,
        "volumes": volumes,
        "securityContext": pod_context(profile, options, spec.name),
        "automountServiceAccountToken": options["automount_service_account_token"],
        "restartPolicy": options.get("restart_policy") or ("Never" if spec.completes else "Always"),
        "activeDeadlineSeconds": spec.timeout,
        "enableServiceLinks": False,
        "topologySpreadConstraints": build_spread(options.get("topology_spread"), spec.group),
        "resourceClaims": build_claims(options.get("resource_claims")),
        **namespace_fields(options),
    }
    for option, (field, convert) in _POD_FIELDS.items():
        if options.get(option) is not None:
            pod[field] = convert(options[option])
    if options.get("queue") and not spec.is_job:
        pod["schedulingGates"] = [{"name": GATE}]  # otherwise the pod would run at once where Kueue does not manage pods
    pod |= _build_dns(options.get("dns") or {})
    if secret_name({"spec": pod}):
        rename_secret({"spec": pod}, unique_name(spec.name))
    return {key: value for key, value in pod.items() if value not in ([], {}, None)}


def _as_is(value: Any) -> Any:
    return value


# Option -> (field of the pod's spec, conversion of the value).
_POD_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "service_account": ("serviceAccountName", _as_is),
    "image_pull_secrets": ("imagePullSecrets", lambda names: [{"name": name} for name in names]),
    "node_selector": ("nodeSelector", lambda labels: labels_of("node_selector", labels)),
    "affinity": ("affinity", camelize),
    "tolerations": ("tolerations", camelize),
    "scheduler_name": ("schedulerName", _as_is),
    "priority_class": ("priorityClassName", _as_is),
    "preemption_policy": ("preemptionPolicy", _as_is),
    "runtime_class": ("runtimeClassName", _as_is),
    "termination_grace_period": ("terminationGracePeriodSeconds", _as_is),
    "host_aliases": ("hostAliases", camelize),
}


def _build_dns(dns: Options) -> Manifest:
    check_keys("dns", dns, ("policy", "nameservers", "searches", "options", "hostname", "subdomain"))
    config = {key: dns[key] for key in ("nameservers", "searches", "options") if dns.get(key)}
    return {"dnsPolicy": dns.get("policy"), "dnsConfig": config, "hostname": dns.get("hostname"), "subdomain": dns.get("subdomain")}


def _name_host(spec: TaskSpec, pod: Manifest) -> None:
    """Set the host name of a pod with a subdomain: the cluster DNS has a record HOSTNAME.SUBDOMAIN only if both are set (API reference, PodSpec)."""
    is_shared = spec.is_job or spec.peers  # pods of a Job or a Deployment would have the same name
    if pod.get("subdomain") and not pod.get("hostname") and not is_shared and DNS_LABEL.fullmatch(spec.name):
        pod["hostname"] = spec.name
