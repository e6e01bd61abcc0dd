# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a task's options to the manifest of its pod or Job."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from ansible.module_utils.parsing.convert_bool import boolean

from ..cluster.kinds import JOB, POD
from ..errors import option_error
from ..libraries import load
from ..objects.labels import ATTEMPT, HASH, MANAGED, MAX_CHILDREN, MAX_DEPTH, RESOURCES, SET, TASK, TTL, owner_reference
from ..objects.pod_status import TASK_CONTAINER
from ..objects.quantity import format_quantity, parse_quantity
from ..reconciler.manifest import drop_nulls, merge
from ..text import scalar_text
from . import options as opts
from .network_policy import build_policy
from .owner import read_parent
from .security_context import container_context, pod_context

WORKSPACE = "workspace"
STDIN_VOLUME, STDIN_FOLDER = "podwright-stdin", "/podwright"
SPIFFE_VOLUME, SPIFFE = "spiffe", {"driver": "csi.spiffe.io", "mount_path": "/spiffe-workload-api", "socket": "spire-agent.sock"}
DEFAULT_TIMEOUT = 3600
QUEUE = "kueue.x-k8s.io/queue-name"
RESIZABLE = ("resources", "request_ratio")
VOLUME_SOURCES = ("empty_dir", "host_path", "nfs", "claim", "ephemeral", "config_map", "secret", "projected", "csi")
# Below these keys names are the user's own and must not be respelt.
_VERBATIM = frozenset(("matchLabels", "labels", "annotations", "nodeSelector", "volumeAttributes"))


@dataclass
class TaskSpec:
    """One task as asked for.

    Attributes:
        options: its options, defaults merged in.
        state: the state it is wanted in.
        set_name: the set it belongs to, or None.
    """

    name: str
    namespace: str
    options: dict
    state: str
    set_name: str | None = None

    @property
    def is_job(self):
        """Whether it runs as a Job."""
        return self.options["kind"] == "Job"

    @property
    def kind(self):
        """The Kind of its object."""
        return JOB if self.is_job else POD

    @property
    def completes(self):
        """Whether it is expected to end by itself."""
        return self.is_job or self.state == "completed"

    @property
    def timeout(self):
        """Seconds that one attempt may take, or None."""
        given = self.options.get("timeout")
        return given if given is not None else DEFAULT_TIMEOUT if self.completes else None

    @property
    def hash(self):
        """A digest of what the user asked for, not of what is made of it: webhooks and new versions are no change.

        The resources of containers are not in it: those of a running pod can be changed in place.
        """
        own = {name: spec.get("default") for name, spec in opts.TASK.items() if name not in opts.CONDUCT or name in opts.CARRIED}
        asked = {name: self.options[name] for name, default in own.items() if self.options.get(name) not in (None, default)}
        asked = {name: value for name, value in asked.items() if name not in RESIZABLE}
        if not self.completes and asked.get("containers"):
            asked["containers"] = [{name: value for name, value in c.items() if name not in RESIZABLE} for c in asked["containers"]]
        asked["completes"] = self.completes
        return digest(asked | _order_of_references(self.options))

    @property
    def resources_hash(self):
        """A digest of the resources that can be changed in place."""
        return digest({name: {part: {k: str(parse_quantity(v)) for k, v in q.items()} for part, q in r.items()} for name, r in self.resources.items()})

    @property
    def resources(self):
        """Container name -> limits and requests, of the containers whose resources can be changed in place."""
        containers = [self.options | {"name": TASK_CONTAINER}] + ([] if self.completes else self.options.get("containers") or [])
        return {container["name"]: _build_resources(container) for container in containers}

    @property
    def keeps_record(self):
        """Whether its result is remembered when its pod is gone."""
        given = self.options.get("record")
        return given if given is not None else self.options["cleanup"] != "never"

    @property
    def stdin_name(self):
        """The name of the Secret that holds its standard input."""
        return f"{self.name}-stdin"


def _order_of_references(options):
    """The order of the variables of each container in which one refers to another by `$(NAME)`, which has to stand before it."""
    containers = [options, *(options.get("containers") or []), *(options.get("init_containers") or [])]
    orders = [list(c["env"]) if any("$(" in str(value) for value in (c.get("env") or {}).values()) else [] for c in containers]
    return {"order of variables": orders} if any(orders) else {}


def digest(value):
    """A short digest of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def check(spec):
    """Everything about a task that can be known without a server. Raises: PodwrightError that names the option."""
    options = spec.options
    opts.check_name("name", spec.name)
    if not options.get("image") and not _defines_image(options):
        raise option_error("image", f"the task '{spec.name}' has none.", "Every task needs an image.")
    names = [TASK_CONTAINER]
    for option in ("containers", "init_containers"):
        for container in options.get(option) or []:
            opts.check_name(f"{option}.name", container["name"])
            if not container.get("image") and not options.get("image"):
                raise option_error(f"{option}.image", f"the container '{container['name']}' has none.")
            names.append(container["name"])
    duplicates = {name for name in names if names.count(name) > 1}
    if duplicates:
        raise option_error("containers", f"two are named '{duplicates.pop()}' ('{TASK_CONTAINER}' is the task's own).")
    user = options.get("run_as_user")
    if user not in (None, "image") and not str(user).isdigit():
        raise option_error("run_as_user", f"'{user}' is neither a user's number nor the word image.")
    for option, source in (("", options), *((f"{o}.", c) for o in ("containers", "init_containers") for c in options.get(o) or [])):
        for part in ("limits", "requests"):
            opts.check_quantities(f"{option}resources.{part}", (source.get("resources") or {}).get(part))
        for name in source.get("env") or {}:
            opts.check_variable(f"{option}env", name)
    if options.get("stdin") is not None and not options.get("command"):
        raise option_error("stdin", "it needs command.", "The image's own entry point is not known here; a shell in the image passes the text to the command.")
    if options.get("restart_policy") == "Always" and spec.completes:
        raise option_error("restart_policy", "a task that completes is not restarted for ever.", "Use OnFailure or Never, or state: running.")
    for limit in ("max_depth", "max_children"):
        if options.get(limit) is not None and options[limit] < 0:
            raise option_error(limit, f"{options[limit]} is less than 0.")
    if options.get("parent"):
        read_parent(options["parent"], spec.namespace)
    build_policy(spec.name, spec.namespace, options.get("network"))
    build(spec, "baseline")


def _defines_image(options):
    pod = options.get("definition") or {}
    containers = (pod.get("spec") or {}).get("containers") or []
    return bool(options.get("patches")) or any(c.get("name") == TASK_CONTAINER and c.get("image") for c in containers)


def build(spec, profile, attempt=1, parent=None):
    """The manifest of the task's pod or Job for a Pod Security profile, as a child of its Parent. Raises: PodwrightError."""
    pod = _build_pod(spec, profile)
    metadata = {"name": spec.name, "namespace": spec.namespace, "labels": _labels(spec, attempt), "annotations": _annotations(spec)}
    if not spec.is_job:
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}
    else:
        template = {"metadata": {"labels": _labels(spec, attempt), "annotations": metadata["annotations"]}, "spec": pod}
        job = {"template": template, "backoffLimit": spec.options["retries"], "ttlSecondsAfterFinished": spec.options.get("ttl")}
        # One attempt's deadline is the pod's own, so that its log survives; the Job's covers them all.
        job["activeDeadlineSeconds"] = spec.timeout * (spec.options["retries"] + 1) + 600
        if spec.options.get("queue"):
            job["suspend"] = True  # until Kueue admits it
        manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job}
    manifest = _finish(spec, manifest)
    return parent.mark(manifest) if parent else manifest


def _finish(spec, manifest):
    """The user's own definition under the options, and the user's patches on the result."""
    options = spec.options
    if options.get("definition"):
        manifest = merge(options["definition"], manifest)
    manifest = drop_nulls(manifest)
    for operation in options.get("patches") or []:
        manifest = _patch(manifest, operation)
    return manifest


def _patch(manifest, operation):
    jsonpatch = load("jsonpatch")
    try:
        return jsonpatch.apply_patch(manifest, [operation])
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, KeyError, TypeError) as error:
        # The library's own message may show the whole manifest, secrets included.
        shown = f"{operation.get('op')} {operation.get('path')}"
        raise option_error("patches", f"the operation '{shown}' does not fit the task's manifest ({type(error).__name__}).") from None


def _labels(spec, attempt):
    own = MANAGED | {TASK: spec.name, ATTEMPT: str(attempt), HASH: spec.hash} | ({SET: spec.set_name} if spec.set_name else {})
    own |= {QUEUE: spec.options["queue"]} if spec.options.get("queue") else {}
    return {str(k): str(v) for k, v in (spec.options.get("labels") or {}).items()} | own


def _annotations(spec):
    annotations = {str(k): str(v) for k, v in (spec.options.get("annotations") or {}).items()} | {RESOURCES: spec.resources_hash}
    numbers = {TTL: "ttl", MAX_DEPTH: "max_depth", MAX_CHILDREN: "max_children"}
    return annotations | {name: str(spec.options[option]) for name, option in numbers.items() if spec.options.get(option) is not None}


# -- the pod --------------------------------------------------------------------------------------------------


def _build_pod(spec, profile):
    options = spec.options
    volumes, mounts = _build_volumes(spec)
    pod = {
        "containers": [_build_container(options | {"name": TASK_CONTAINER}, profile, mounts, options)],
        "initContainers": [_build_container(c, profile, mounts, options) for c in options.get("init_containers") or []],
        "volumes": volumes,
        "securityContext": pod_context(profile, options, spec.name),
        "automountServiceAccountToken": options["automount_service_account_token"],
        "restartPolicy": options.get("restart_policy") or ("Never" if spec.completes else "Always"),
        "activeDeadlineSeconds": spec.timeout,
        "enableServiceLinks": False,
    }
    for container in options.get("containers") or []:
        built = _build_container(container, profile, mounts, options)
        if spec.completes:
            # A native sidecar (KEP-753): it ends with the task's container, so that the pod completes.
            pod["initContainers"].append(built | {"restartPolicy": "Always"})
        else:
            pod["containers"].append(built)
    if options.get("stdin") is not None:
        _give_stdin(pod["containers"][0])
    for option, (field, convert) in _POD_FIELDS.items():
        if options.get(option) is not None:
            pod[field] = convert(options[option])
    if options.get("dns"):
        pod |= _build_dns(options["dns"])
    return {key: value for key, value in pod.items() if value not in ([], {}, None)}


def _camelize(value):
    """Kubernetes' own spelling of snake_case keys; names below label selectors and their like stay as they are."""
    if isinstance(value, list):
        return [_camelize(item) for item in value]
    if not isinstance(value, dict):
        return value
    respelt = {}
    for key, item in value.items():
        name = re.sub(r"_(\w)", lambda match: match.group(1).upper(), str(key))
        respelt[name] = item if name in _VERBATIM else _camelize(item)
    return respelt


def _as_is(value):
    return value


_POD_FIELDS = {
    "service_account": ("serviceAccountName", _as_is),
    "image_pull_secrets": ("imagePullSecrets", lambda names: [{"name": name} for name in names]),
    "node_selector": ("nodeSelector", lambda labels: {str(k): str(v) for k, v in labels.items()}),
    "affinity": ("affinity", _camelize),
    "tolerations": ("tolerations", _camelize),
    "priority_class": ("priorityClassName", _as_is),
    "runtime_class": ("runtimeClassName", _as_is),
    "termination_grace_period": ("terminationGracePeriodSeconds", _as_is),
    "host_aliases": ("hostAliases", _camelize),
}


def _build_dns(dns):
    known = {"policy", "nameservers", "searches", "options", "hostname", "subdomain"}
    unknown = sorted(set(dns) - known)
    if unknown:
        raise option_error("dns", f"unknown key '{unknown[0]}'; known are {', '.join(sorted(known))}.")
    config = {key: dns[key] for key in ("nameservers", "searches", "options") if dns.get(key)}
    return {"dnsPolicy": dns.get("policy"), "dnsConfig": config, "hostname": dns.get("hostname"), "subdomain": dns.get("subdomain")}


def _build_container(options, profile, mounts, pod_options):
    container = {
        "name": options["name"],
        "image": options.get("image") or pod_options.get("image"),
        "command": _words(options.get("command")),
        "args": options.get("args"),
        "env": _build_env(_spiffe_env(pod_options) | (options.get("env") or {})),
        "envFrom": [_build_env_from(entry) for entry in options.get("env_from") or []],
        "workingDir": options.get("working_dir"),
        "ports": [_build_port(port) for port in options.get("ports") or []],
        "resources": _build_resources(options),
        "volumeMounts": mounts,
        "securityContext": container_context(profile),
        "imagePullPolicy": options.get("image_pull_policy") or pod_options.get("image_pull_policy"),
        "lifecycle": _camelize(options.get("lifecycle")),
        # What a task says last is in its status even where its log is lost.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    for probe in ("readiness", "liveness", "startup"):
        if options.get(f"{probe}_probe"):
            container[f"{probe}Probe"] = _build_probe(f"{probe}_probe", options[f"{probe}_probe"])
    return {key: value for key, value in container.items() if value not in ([], {}, None)}


def _words(command):
    if command is None or isinstance(command, list):
        return [str(word) for word in command] if command else None
    raise option_error("command", "it is a list of words; no shell splits it.", 'Write for instance: command: [sh, -c, "echo hello"]')


def _build_env(variables):
    return [{"name": str(name), **_env_value(name, value)} for name, value in variables.items()]


def _env_value(name, value):
    if not isinstance(value, dict):
        return {"value": scalar_text(value)}
    for source, field in (("secret", "secretKeyRef"), ("config_map", "configMapKeyRef")):
        if set(value) in ({source, "key"}, {source, "key", "optional"}):
            rest = {"optional": value["optional"]} if "optional" in value else {}
            return {"valueFrom": {field: {"name": value[source], "key": value["key"]} | rest}}
    if set(value) == {"field"}:
        return {"valueFrom": {"fieldRef": {"fieldPath": value["field"]}}}
    if set(value) == {"resource"}:
        return {"valueFrom": {"resourceFieldRef": {"resource": value["resource"]}}}
    raise option_error(f"env.{name}", "a mapping is one of {secret: NAME, key: KEY}, {config_map: NAME, key: KEY}, {field: PATH} and {resource: NAME}.")


def _build_env_from(entry):
    for source, field in (("secret", "secretRef"), ("config_map", "configMapRef")):
        if source in entry and set(entry) <= {source, "prefix", "optional"}:
            reference = {"name": entry[source]} | ({"optional": entry["optional"]} if "optional" in entry else {})
            return {field: reference} | ({"prefix": entry["prefix"]} if "prefix" in entry else {})
    raise option_error("env_from", "each entry is {secret: NAME} or {config_map: NAME}, with prefix and optional where wanted.")


def _build_port(port):
    if isinstance(port, (int, str)) and str(port).isdigit():
        return {"containerPort": int(port)}
    if not isinstance(port, dict):
        raise option_error("ports", f"'{port}' is neither a number nor a mapping with container_port.")
    if not ({"container_port", "containerPort"} & set(port)):
        raise option_error("ports", "a mapping needs container_port.")
    return _camelize(port)


def _build_resources(options):
    """Limits and requests; where only limits are named, requests are the ratio of cpu and memory, and equal for what cannot be overcommitted."""
    given = options.get("resources") or {}
    limits = {name: str(text) for name, text in (given.get("limits") or {}).items()}
    requests = {name: str(text) for name, text in (given.get("requests") or {}).items()}
    ratio = options.get("request_ratio", 0.5)
    if not 0 < ratio <= 1:
        raise option_error("request_ratio", f"{ratio} is not above 0 and at most 1.")
    for name, text in limits.items():
        if name in requests:
            continue
        if name in ("cpu", "memory"):
            share = parse_quantity(text) * parse_quantity(str(ratio))
            requests[name] = format_quantity(share, text)
        else:
            requests[name] = text
    return {key: value for key, value in (("limits", limits), ("requests", requests)) if value}


_INTERVALS = {
    "initial_delay": "initialDelaySeconds",
    "interval": "periodSeconds",
    "timeout": "timeoutSeconds",
    "success_threshold": "successThreshold",
    "failure_threshold": "failureThreshold",
    "termination_grace_period": "terminationGracePeriodSeconds",
}
_KUBERNETES_PROBE = {"httpGet", "tcpSocket", "grpc", "exec", *_INTERVALS.values()}


def _build_probe(option, probe):
    built = {}
    for key, value in probe.items():
        if key in _INTERVALS:
            built[_INTERVALS[key]] = value
        elif key == "http":
            path, _colon, port = str(value).rpartition(":")
            if not path.startswith("/") or not port:
                raise option_error(f"{option}.http", f"'{value}' is not PATH:PORT, as in /healthz:8080.")
            built["httpGet"] = {"path": path, "port": _port(port)}
        elif key == "tcp":
            built["tcpSocket"] = {"port": _port(value)}
        elif key == "grpc" and not isinstance(value, dict):
            built["grpc"] = {"port": _port(value)}
        elif key == "exec" and not isinstance(value, dict):
            built["exec"] = {"command": value if isinstance(value, list) else ["sh", "-c", str(value)]}
        elif _camelize({key: 0}).keys() & _KUBERNETES_PROBE:
            built |= _camelize({key: value})
        else:
            raise option_error(option, f"unknown key '{key}'; known are http, tcp, grpc, exec, {', '.join(_INTERVALS)} and Kubernetes' own.")
    return built


def _port(value):
    return int(value) if str(value).isdigit() else str(value)


# -- volumes and standard input -------------------------------------------------------------------------------


def _build_volumes(spec):
    """(volumes of the pod, mounts of every container)."""
    volumes, mounts = {}, []
    for entry in spec.options.get("volumes") or []:
        name = entry["name"]
        sources = [source for source in VOLUME_SOURCES if entry.get(source) is not None]
        if len(sources) > 1:
            raise option_error("volumes", f"'{name}' has more than one source: {', '.join(sources)}.")
        if sources:
            if name in volumes:
                raise option_error("volumes", f"two are named '{name}'.", "Name the source once; further entries of that name only mount it elsewhere.")
            volumes[name] = {"name": name, **_SOURCES[sources[0]](entry[sources[0]])}
        elif name not in volumes:
            raise option_error("volumes", f"'{name}' has no source; one of {', '.join(VOLUME_SOURCES)}.")
        if entry.get("mount_path"):
            mount = {"name": name, "mountPath": entry["mount_path"], "subPath": entry.get("sub_path"), "readOnly": entry.get("read_only") or None}
            mounts.append(drop_nulls(mount))
    if spec.options.get("shared_workspace"):
        volumes[WORKSPACE] = {"name": WORKSPACE, "emptyDir": {}}
        mounts.append({"name": WORKSPACE, "mountPath": spec.options["shared_workspace"]})
    spiffe = _read_spiffe(spec.options.get("spiffe"))
    if spiffe:
        volumes[SPIFFE_VOLUME] = {"name": SPIFFE_VOLUME, "csi": {"driver": spiffe["driver"], "readOnly": True}}
        mounts.append({"name": SPIFFE_VOLUME, "mountPath": spiffe["mount_path"], "readOnly": True})
    if spec.options.get("stdin") is not None:
        volumes[STDIN_VOLUME] = {"name": STDIN_VOLUME, "secret": {"secretName": spec.stdin_name}}
    return list(volumes.values()), mounts


def _read_spiffe(value):
    """What the option `spiffe` asks for, or None."""
    if isinstance(value, dict):
        unknown = sorted(set(value) - set(SPIFFE))
        if unknown:
            raise option_error("spiffe", f"unknown key '{unknown[0]}'; known are {', '.join(SPIFFE)}.")
        return SPIFFE | value
    try:
        return SPIFFE if value is not None and boolean(value) else None
    except TypeError:
        raise option_error("spiffe", f"'{value}' is neither true, false nor a mapping.") from None


def _spiffe_env(options):
    """Where programs look for the Workload API (SPIFFE Workload Endpoint, section 4)."""
    spiffe = _read_spiffe(options.get("spiffe"))
    return {"SPIFFE_ENDPOINT_SOCKET": f"unix://{spiffe['mount_path']}/{spiffe['socket']}"} if spiffe else {}


def _named(field, key):
    return lambda value: {field: {key: value} if isinstance(value, str) else _camelize(value)}


def _nfs(value):
    if isinstance(value, str):
        server, _colon, path = value.partition(":")
        value = {"server": server, "path": path}
    return {"nfs": value}


def _ephemeral(value):
    if "storage" not in value:
        return {"ephemeral": _camelize(value)}
    claim = {
        "accessModes": value.get("access_modes") or ["ReadWriteOnce"],
        "storageClassName": value.get("storage_class"),
        "resources": {"requests": {"storage": value["storage"]}},
    }
    return {"ephemeral": {"volumeClaimTemplate": {"spec": drop_nulls(claim)}}}


_SOURCES = {
    "empty_dir": lambda value: {"emptyDir": _camelize(value) if isinstance(value, dict) else {}},
    "host_path": _named("hostPath", "path"),
    "nfs": _nfs,
    "claim": _named("persistentVolumeClaim", "claimName"),
    "ephemeral": _ephemeral,
    "config_map": _named("configMap", "name"),
    "secret": _named("secret", "secretName"),
    "projected": lambda value: {"projected": _camelize(value)},
    "csi": lambda value: {"csi": _camelize(value)},
}


def _give_stdin(container):
    """Feed the command from a mounted Secret: unlike an attach, that survives an interrupted run and cannot be cut short."""
    words = container["command"] + (container.pop("args", None) or [])
    container["command"] = ["sh", "-c", f'exec "$@" < {STDIN_FOLDER}/stdin', "sh", *words]
    mounts = container.get("volumeMounts", [])
    container["volumeMounts"] = [*mounts, {"name": STDIN_VOLUME, "mountPath": STDIN_FOLDER, "readOnly": True}]


def stdin_secret(spec, owner):
    """The Secret that holds the task's standard input; it goes with its owner (the live pod or Job)."""
    labels = MANAGED | {TASK: spec.name}
    metadata = {"name": spec.stdin_name, "namespace": spec.namespace, "labels": labels, "ownerReferences": [owner_reference(owner)]}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"stdin": spec.options["stdin"]}}
