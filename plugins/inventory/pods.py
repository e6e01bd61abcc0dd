# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventory plugin: pods, or their containers, as hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pods
short_description: Use pods as hosts
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Reads pods, with one list request for each namespace, and adds each as a host that the connection plugin P(podwright.core.pod#connection) reaches.
  - "The source is a YAML file with any name, for example C(builds.pods.yml), which contains C(plugin: podwright.core.pods)."
  - Every host is in the group C(pods), and in the groups that O(default_groups) selects.
  - "The variables of a host are C(pod_name), C(pod_namespace), C(pod_cluster) (the name in O(connections)), C(pod_uid), C(pod_created), C(pod_phase),
    C(pod_ready), C(pod_terminating), C(pod_node), C(pod_ip), C(pod_labels), C(pod_annotations), C(pod_owner) (C(kind) and C(name) of its controller),
    C(pod_service_account), C(pod_container), C(pod_containers), C(pod_image), C(pod_set), C(pod_task), and those of the connection. All expressions
    can use them."
  - Values from the cluster are never used as templates.
notes:
  - Options other than O(compose), O(groups), O(keyed_groups) and O(hostnames) can be templates, for example with the lookup
    P(ansible.builtin.env#lookup).
  - Credentials in the file (O(api_key), O(username), O(password), O(proxy_headers), the content of a kubeconfig) are used to read the pods. They do not
    become variables of hosts, which C(ansible-inventory) shows. For the connection, use C(K8S_AUTH_*), the path of a kubeconfig, or set
    C(ansible_podwright_api_key) for the group C(pods).
extends_documentation_fragment:
  - podwright.core.lookup
  - constructed
  - inventory_cache
options:
  plugin:
    description: Must be V(podwright.core.pods).
    type: str
    required: true
    choices: [podwright.core.pods]
  connections:
    description:
      - Several clusters or contexts. Each item has a C(name) and any of the connection options, O(namespaces), O(all_namespaces), O(label_selectors)
        and O(field_selectors). The options beside the list are their defaults.
    type: list
    elements: dict
    default: []
  namespaces:
    description: Namespaces of the pods. Defaults to E(PODWRIGHT_NAMESPACE), then to the namespace of the context, then to V(default).
    type: list
    elements: str
    default: []
  all_namespaces:
    description: Read the pods of all namespaces instead of O(namespaces), with one list request.
    type: bool
    default: false
  label_selectors:
    description: Label selectors that the pods must match.
    type: list
    elements: str
    default: []
  field_selectors:
    description: Field selectors that the pods must match, for example V(spec.nodeName=node-1).
    type: list
    elements: str
    default: []
  only_running:
    description: Leave out pods that do not run or are being deleted, and containers that do not run. Modules cannot run in these.
    type: bool
    default: true
  containers:
    description:
      - Add each container as a host, instead of each pod. Init containers are added only if they are sidecars.
      - The host of a pod is its container C(task), the one annotated as default, or the first, in this order.
    type: bool
    default: false
  hostnames:
    description:
      - Expressions for the name of a host, in order of preference. The first that is not empty is used.
      - Defaults to the name of the pod, followed by that of its container with O(containers), by that of its namespace if several namespaces
        are read, and by that of its cluster with several O(connections), separated by dots.
      - Hosts that would get the same name, that of a host or group of another source or of a group in O(groups), or a name such as V(localhost) or
        V(all), are named V(POD.CONTAINER.NAMESPACE.CLUSTER) instead.
    type: list
    elements: str
    default: []
  default_groups:
    description:
      - "Groups that are created without further options: V(namespace_NAME), V(phase_running), V(node_NAME), V(cluster_NAME) (with O(connections)),
        V(set_NAME) (of M(podwright.core.task_pod)), V(deployment_NAME) and other kinds of controllers (V(owner)), and
        V(label_NAME_VALUE)."
      - Characters that are invalid in the names of groups become V(_), and V(_) is appended to V(all), V(ungrouped) and the name of a host. Labels that
        identify a single pod or revision have no groups.
    type: list
    elements: str
    choices: [namespace, phase, node, cluster, set, owner, label]
    default: [namespace, phase, node, cluster, set, owner, label]
"""

EXAMPLES = r"""
# The running pods of a namespace, in groups such as label_app_worker
plugin: podwright.core.pods
namespaces: [builds]

---
# The pods of a set in two clusters, with names, variables and groups of one's own
plugin: podwright.core.pods
connections:
  - name: staging
    context: staging
  - name: production
    context: production
    namespaces: [builds, nightly]
namespaces: [builds]
label_selectors: [podwright.io/set=workers]
hostnames:
  - pod_labels['app'] ~ '-' ~ pod_uid[:8]
compose:
  ansible_remote_tmp: "'/tmp/ansible'"
  zone: pod_labels['topology.kubernetes.io/zone'] | default('none')
groups:
  not_ready: not pod_ready
keyed_groups:
  - key: pod_labels['app.kubernetes.io/version']
    prefix: version
strict: false
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /tmp/inventory-cache
"""

import hashlib
import json
import os
from collections import Counter

from ansible import constants as C
from ansible.errors import AnsibleParserError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

from ansible_collections.podwright.core.plugins.connection import pod  # pylint: disable=unused-import  # noqa: F401 - for the tasks that Ansible forks
from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import (
    CONNECTION,
    check_namespace,
    connection_secrets,
    given_options,
    item_arguments,
    read_selector,
)
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration, Context
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kubeconfig import is_text
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.namespaces import warn_of_missing_namespaces
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.preparation import prepare_forks
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError, as_podwright_error, option_error
from ansible_collections.podwright.core.plugins.module_utils._engine.masking import Masker
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_hosts import (
    groups_of,
    is_host,
    is_host_name,
    join_names,
    long_name,
    read_hosts,
)
from ansible_collections.podwright.core.plugins.module_utils._engine.text import url_password
from ansible_collections.podwright.core.plugins.plugin_utils._options import check_names
from ansible_collections.podwright.core.plugins.plugin_utils._values import inert, plain, unmark_harmless

prepare_forks()  # for the connection plugin

EXPRESSIONS = ("compose", "groups", "keyed_groups", "hostnames")
SCOPE = {
    "namespaces": {"type": "list", "elements": "str"},
    "all_namespaces": {"type": "bool"},
    "label_selectors": {"type": "list", "elements": "str"},
    "field_selectors": {"type": "list", "elements": "str"},
}
CREDENTIALS = ("api_key", "username", "password", "proxy_headers")  # which no variable of a host holds
CONNECTION_OPTIONS = {name: spec for name, spec in CONNECTION.items() if name != "namespace"}
ITEM = {"name": {"type": "str", "required": True}, **item_arguments({**CONNECTION_OPTIONS, **SCOPE})}
PATHS = ("kubeconfig", "ca_cert", "client_cert", "client_key")
SHOWN = 5  # names in a warning


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Adds pods as hosts."""

    NAME = "podwright.core.pods"

    def verify_file(self, path):
        """Whether the source is a YAML file."""
        return super().verify_file(path) and path.endswith(tuple(C.YAML_FILENAME_EXTENSIONS))

    def parse(self, inventory, loader, path, cache=True):
        """Add the pods to the inventory. Raises: AnsibleParserError."""
        super().parse(inventory, loader, path, cache)
        console, secrets = Console(), set()
        try:
            config = self._read_config_data(path)
            clusters = self._clusters(config, os.path.dirname(os.path.abspath(path)))
            for cluster in clusters:
                secrets |= connection_secrets(cluster) | {cluster[name] for name in ("api_key", "password") if cluster.get(name)}
            hosts = self._cached(path, clusters, cache) or self._read(path, clusters, console)
            self._populate(hosts, clusters, console)
        except AnsibleParserError:
            raise
        except PodwrightError as error:
            raise AnsibleParserError(Masker(secrets).mask(str(error))) from None  # the message is complete; Ansible would append the cause
        for text in console.warnings:
            self.display.warning(Masker(secrets).mask(text))

    # -- options --------------------------------------------------------------------------------------------

    def set_options(self, task_keys=None, var_options=None, direct=None):
        """Set the options from the file, whose templates are evaluated. Raises: PodwrightError for an unknown option."""
        known = check_names(self, direct or ())
        templated = {known[name]: value if name in EXPRESSIONS else self.templar.template(value) for name, value in (direct or {}).items()}
        super().set_options(task_keys=task_keys, var_options=var_options, direct=templated)

    def _clusters(self, config, directory):
        """The options of each cluster to read, with `given`, those that the file sets. Raises: PodwrightError."""
        names = (*CONNECTION_OPTIONS, *SCOPE)
        common = {name: plain(self.get_option(name)) for name in names}
        given = {name: common[name] for name in names if name in config or any(alias in config for alias in CONNECTION.get(name, {}).get("aliases", ()))}
        items = [self._validated(index, item) for index, item in enumerate(plain(self.get_option("connections")))]
        for index, item in enumerate(items):
            if not is_host_name(item["name"]):
                raise option_error(
                    f"connections[{index}].name", f"must consist of letters, digits, '.', '_' and '-' as in names of hosts, got '{item['name']}'."
                )
        repeated = [name for name, count in Counter(item["name"] for item in items).items() if count > 1]
        if repeated:
            raise option_error("connections", f"must have unique names, got '{repeated[0]}' twice.")
        clusters = [common | item | {"given": given | item} for item in items or [{}]]
        for index, cluster in enumerate(clusters):
            path = f"connections[{index}]." if items else ""
            item = items[index] if items else {}
            if "namespaces" in item and "all_namespaces" not in item:
                cluster["all_namespaces"] = False
            if cluster["all_namespaces"] and cluster["namespaces"] and not ("all_namespaces" in item and "namespaces" not in item):
                raise option_error(f"{path}all_namespaces", "must not be set with namespaces.")
            read_selector(cluster, "field_selectors")  # no part is empty
            cluster["namespaces"] = list(dict.fromkeys(map(str, cluster["namespaces"])))
            for number, name in enumerate(cluster["namespaces"]):
                check_namespace(f"{path}namespaces[{number}]", name)
            for name in PATHS:
                cluster[name] = _absolute(cluster[name], directory)
            cluster["label_selector"] = read_selector(cluster) or None
            fields = [*cluster["field_selectors"], *(["status.phase=Running"] if self.get_option("only_running") else [])]
            cluster["field_selector"] = ",".join(fields) or None
        return clusters

    @staticmethod
    def _validated(index, item):
        if not isinstance(item, dict):
            raise option_error(f"connections[{index}]", f"must be a mapping, got {'nothing' if item is None else item.__class__.__name__}.")
        checked = ArgumentSpecValidator(ITEM).validate(item)
        if checked.error_messages:
            message = Masker(set(checked._no_log_values)).mask(checked.error_messages[0])
            raise option_error(f"connections[{index}]", f"{'unknown option ' * bool(checked.unsupported_parameters)}{message}")
        aliases = {alias for spec in ITEM.values() for alias in spec.get("aliases", ())}
        return {name: value for name, value in given_options(checked.validated_parameters).items() if name not in aliases}

    # -- reading --------------------------------------------------------------------------------------------

    def _cached(self, path, clusters, cache):
        """The hosts of each cluster from the cache, or None."""
        if not (cache and self.get_option("cache")):
            return None
        try:
            entry = plain(self._cache[self.get_cache_key(path)])
        except Exception:  # there is none, or the cache plugin cannot read it, of which it warns
            return None
        if not isinstance(entry, dict) or entry.get("of") != self._fingerprint(path, clusters):
            return None
        hosts = entry.get("hosts")
        is_valid = isinstance(hosts, list) and len(hosts) == len(clusters) and all(isinstance(members, list) for members in hosts)
        return hosts if is_valid and all(is_host(host) for members in hosts for host in members) else None

    def _read(self, path, clusters, console):
        """The hosts of each cluster. Raises: PodwrightError."""
        try:
            hosts = [self._read_cluster(cluster, console) for cluster in clusters]
        except Exception as error:
            raise as_podwright_error(error) from None
        if self.get_option("cache"):
            self._cache[self.get_cache_key(path)] = {"of": self._fingerprint(path, clusters), "hosts": hosts}
        return hosts

    def _read_cluster(self, cluster, console):
        per_container, only_running = self.get_option("containers"), self.get_option("only_running")
        hosts = []
        with Client(Configuration(cluster)) as client:
            for namespace in [None] if cluster["all_namespaces"] else cluster["namespaces"] or [client.configuration.namespace]:
                found = client.list(
                    POD,
                    namespace,
                    cluster["label_selector"],
                    cluster["field_selector"],
                    transform=lambda pod: read_hosts(pod, per_container, only_running),
                )[0]
                if namespace and not found:
                    warn_of_missing_namespaces(client, [namespace], console)
                hosts += [host | ({"pod_cluster": cluster["name"]} if "name" in cluster else {}) for group in found for host in group]
        return hosts

    def _fingerprint(self, path, clusters):
        """A digest of what is read, without credentials: the cache of another query, or of another cluster, is not used."""
        scopes = [{name: value for name, value in cluster.items() if name not in (*CREDENTIALS, "given") and not is_content(value)} for cluster in clusters]
        contexts = [(context.server, context.namespace) for context in map(Context, clusters)]
        query = [os.path.abspath(path), scopes, contexts, self.get_option("containers"), self.get_option("only_running")]
        return hashlib.sha256(json.dumps(query, sort_keys=True).encode()).hexdigest()

    # -- hosts ----------------------------------------------------------------------------------------------

    def _populate(self, hosts, clusters, console):
        pairs = []
        for members, cluster in zip(hosts, clusters):
            given = cluster["given"] | {name: cluster[name] for name in PATHS if name in cluster["given"]}
            connection = _connection_variables(given, cluster)
            for host in members:
                container = {"ansible_podwright_container": host["pod_container"]}
                target = {"ansible_podwright_pod": host["pod_name"], "ansible_podwright_namespace": host["pod_namespace"]} | container
                variables = {**host, "ansible_connection": "podwright.core.pod", **connection, **target}
                pairs.append((host, {name: inert(value) for name, value in variables.items()}))
        kinds = self.get_option("default_groups")
        named = [(host, variables, name) for (host, variables), name in zip(pairs, self._names(pairs, clusters, console)) if name is not None]
        for _host, variables, name in named:  # all hosts before the first group, which must not have the name of one
            self.inventory.add_host(name)
            for variable, value in variables.items():
                self.inventory.set_variable(name, variable, value)
        for host, variables, name in named:
            for group in groups_of(host, kinds):
                self.inventory.add_host(name, self.inventory.add_group(self._sanitize_group_name(group)))
            self._construct(name, variables)

    def _construct(self, name, variables):
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict)
        for keyed in self.get_option("keyed_groups"):
            try:
                self._add_host_to_keyed_groups([keyed], variables, name, strict)
            except AnsibleParserError:
                raise
            except Exception:  # a label names the parent of its own group
                if strict:
                    raise

    def _sanitize_group_name(self, name):
        """A valid name that no host has, for which Ansible would set the variables of the group, and that is not a group of Ansible."""
        group = super()._sanitize_group_name(name)
        return f"{group}_" if group in self.inventory.hosts or group in ("all", "ungrouped") else group

    def _compose(self, *args, **kwargs):
        return unmark_harmless(super()._compose(*args, **kwargs))

    def _names(self, pairs, clusters, console):
        """The name of each host, None for one that is left out."""
        many_clusters, many_namespaces = len(clusters) > 1, any(cluster["all_namespaces"] or len(cluster["namespaces"]) > 1 for cluster in clusters)
        names = []
        for host, variables in pairs:
            container = host["pod_container"] if self.get_option("containers") else None
            namespace, cluster = host["pod_namespace"] if many_namespaces else None, host.get("pod_cluster") if many_clusters else None
            name = self._named_by_user(host, variables) or join_names(host["pod_name"], container, namespace, cluster)
            names.append(name if is_host_name(name) and not self._is_other(name, host) else None)
        counts = Counter(names)
        repeated = sorted(name for name, count in counts.items() if name and count > 1)
        if repeated:
            shown = ", ".join(repeated[:SHOWN])
            console.warn(f"Several pods have the same host name, and are named POD.CONTAINER.NAMESPACE instead: {shown}. Set hostnames to name them.")
        taken = {name for name, count in counts.items() if count == 1}
        for index, (host, _variables) in enumerate(pairs):
            if counts[names[index]] > 1 or names[index] is None:
                longer = long_name(host)
                if longer in taken or self._is_other(longer, host):
                    console.warn(f"Pod '{host['pod_name']}' in namespace '{host['pod_namespace']}' was left out: another host is named '{longer}'.")
                    longer = None
                names[index] = longer
                taken.add(longer)
        return names

    def _named_by_user(self, host, variables):
        """The first name of the option `hostnames` that is not empty, or an empty string."""
        for expression in self.get_option("hostnames"):
            try:
                name = self._compose(expression, variables)
            except Exception as error:
                if self.get_option("strict"):
                    raise AnsibleParserError(f"hostnames: {expression} failed for pod '{host['pod_name']}': {error}") from None
                continue
            if name is not None and str(name).strip():
                return str(name).strip()
        return ""

    def _is_other(self, name, host):
        """Whether a host that is not this container, or a group, has that name: of another source, or of the option `groups`."""
        other = self.inventory.hosts.get(name)
        if other is None:
            return name in self.inventory.groups or name in map(self._sanitize_group_name, self.get_option("groups") or ())
        return any(other.vars.get(part) != host[part] for part in ("pod_uid", "pod_container"))  # other clusters have pods of the same name


def is_content(value):
    """Whether a value is the content of a kubeconfig instead of its path."""
    return isinstance(value, dict) or is_text(value)


def _absolute(value, directory):
    """A path, or several of kubeconfigs, relative to the directory of the inventory if it exists there."""
    if not isinstance(value, str) or is_text(value):
        return value
    return os.pathsep.join(_beside(path, directory) for path in value.split(os.pathsep))


def _beside(path, directory):
    path = os.path.expanduser(path)
    beside = os.path.join(directory, path)
    return beside if path and os.path.exists(beside) else path


def _connection_variables(given, cluster):
    """The variables with which the connection plugin reaches the cluster, without credentials: tasks do not follow `kubectl config use-context`."""
    names = [name for name in CONNECTION_OPTIONS if name not in CREDENTIALS and given.get(name) is not None]
    found = {name: given[name] for name in names if not is_content(given[name]) and not (name == "proxy" and url_password(given[name]))}
    is_inline = is_content(given.get("kubeconfig"))
    lacks_host, lacks_context = is_inline or url_password(found.get("host")), not is_inline and not found.get("context")
    context = Context(cluster) if lacks_host or lacks_context else None
    if context and lacks_host:
        found["host"] = context.server
    if context and lacks_context and context.context:
        found["context"] = context.context
    return {f"ansible_podwright_{name}": value for name, value in found.items()}
