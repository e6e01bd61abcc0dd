# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory of any pods with any options: each pod that should be is one host, under its own name, and hosts and groups of others stay as they were."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from contextlib import ExitStack

import pytest
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..support.environment import scaled
from ..support.hostile_server import HostileServer, behave
from ..support.inventory import read_inventory
from ..support.stub_cluster import STAMP, StubCluster, failure, live
from .test_inventory import is_template, texts

EXAMPLES = scaled(60)
TOKEN = "t0ken-of-the-model"
NAMES = ("web", "db", "all", "localhost", "pods", "ungrouped", "web-0", "a.task.default", "a", "007")
NAMESPACES = ("default", "builds", "team-a")
VALUES = ("web", "", "1.2", "my-app", "0lead", "all", "db", "x_y", "apps")
TEXTS = ("{{ 1/0 }}", "{% x %}", "#jinja2: variable_start_string:'['", "web", "phase_running", "localhost", "", " ", "a b", "x_y", "\u00e4", "label_app_web")
KEYS = ("app", "app.kubernetes.io/name", "team", "pod-template-hash", "podwright.io/set", "podwright.io/task")
STATES = ({"running": {}}, {"running": {}}, {"running": {}}, {"waiting": {"reason": "CrashLoopBackOff"}}, {"terminated": {"exitCode": 0}}, {})
RESERVED = ("localhost", "127.0.0.1", "all", "ungrouped", "pods")
OWN = ("pod-template-hash", "podwright.io/set", "podwright.io/task")
FAULTS = ("none", "none", "none", "expired", "busy", "refused")


class Pods:
    """The pods of a cluster, and a server that may refuse them.

    Attributes:
        refused: the namespace whose pods must not be listed, or None.
    """

    def __init__(self, rng, number):
        self.rng, self.number, self.fault = rng, number, rng.choice(FAULTS)
        self.refused = rng.choice(NAMESPACES) if self.fault == "refused" else None
        self.server = HostileServer(StubCluster([self.pod(name, place) for place in NAMESPACES for name in NAMES if rng.random() < 0.25]), self.respond)

    def pod(self, name, namespace):
        rng = self.rng
        containers = [{"name": each, "image": rng.choice(TEXTS)} for each in rng.sample(("task", "web", "side"), rng.randrange(1, 4))]
        spec = {"containers": containers, "nodeName": rng.choice(["node-1", "", "10.0.0.1"])}
        if rng.random() < 0.4:
            spec["initContainers"] = [{"name": "init"}, {"name": "mesh", "restartPolicy": "Always"}][rng.randrange(2) :]
        if rng.random() < 0.2:
            spec["ephemeralContainers"] = [{"name": "debugger"}]
        status = {"phase": rng.choice(["Running"] * 4 + ["Pending", "Failed", "Succeeded"])}
        parts = {"containers": "containerStatuses", "initContainers": "initContainerStatuses", "ephemeralContainers": "ephemeralContainerStatuses"}
        for part, group in parts.items():
            entries = [{"name": each["name"], "state": rng.choice(STATES)} for each in spec.get(part, []) if rng.random() < 0.9]
            status |= rng.choice([{group: entries}, {group: entries}, {group: entries}, {}, {group: None}])
        metadata = {"namespace": namespace, "uid": f"{self.number}-{namespace}-{name}"}
        metadata["labels"] = rng.choice([None, {key: rng.choice(VALUES) for key in KEYS if rng.random() < 0.4}])
        metadata["annotations"] = {"name": rng.choice(TEXTS), "kubectl.kubernetes.io/default-container": rng.choice(["side", "none"])}
        if rng.random() < 0.3:
            reference = {"apiVersion": "apps/v1", "kind": rng.choice(["ReplicaSet", "StatefulSet"]), "name": "web-1.2", "uid": "u", "controller": True}
            metadata["ownerReferences"] = [reference]
        if rng.random() < 0.1:
            metadata["deletionTimestamp"] = STAMP
        return live("v1", "Pod", name, metadata=metadata, spec=spec, status=rng.choice([status, status, status, status | {"conditions": None}]))

    def respond(self, call, connection, execute):
        """Answer a request, or fail as servers do."""
        if call.group == "list" and self.refused and call.namespace in (self.refused, None):
            connection.respond(failure(403, "Forbidden", 'pods is forbidden: User "jane" cannot list resource "pods"'))
        elif call.group == "list" and self.fault == "expired" and "continue" in call.query:
            connection.respond(failure(410, "Expired", "The provided continue parameter is too old"))
        elif call.group == "list" and self.fault == "busy" and len(self.server.calls) < 3:
            connection.respond(failure(429, "TooManyRequests", "slow down"))
        else:
            behave(call, connection, execute)

    def listed(self, scope):
        """The pods in a scope, in the order of the requests."""
        items = [item for (plural, _namespace, _name), item in self.server.cluster.objects.items() if plural == "pods"]
        if scope.get("all_namespaces"):
            return items
        return [item for place in dict.fromkeys(scope.get("namespaces") or ["default"]) for item in items if item["metadata"]["namespace"] == place]


def scope_of(rng):
    """Options that say which namespaces are read."""
    return rng.choice([{}, {"namespaces": ["builds"]}, {"namespaces": ["builds", "builds"]}, {"namespaces": ["default", "team-a"]}, {"all_namespaces": True}])


def options_of(rng):
    """The options beside the connection and the scope."""
    options = {"strict": rng.random() < 0.3, "only_running": rng.random() < 0.6, "containers": rng.random() < 0.4}
    if rng.random() < 0.5:
        options["hostnames"] = rng.sample(["pod_annotations.name", "pod_labels.app | default('')", "'host-' ~ pod_name", "'x_y'"], 2)
    if rng.random() < 0.5:
        options["default_groups"] = rng.sample(["namespace", "phase", "node", "cluster", "set", "owner", "label"], rng.randrange(8))
    if rng.random() < 0.5:
        options["compose"] = {"zone": "pod_labels.app | default('none')", "note": "'x' ~ pod_annotations.name", "whole": "pod_annotations"}
    if rng.random() < 0.5:
        options["groups"] = {"web": "pod_ready", "a-b": "pod_phase == 'Running'", "db": "true"}
    if rng.random() < 0.6:
        keyed = {"key": "pod_labels.app | default('none', true)", "prefix": rng.choice(["", "app"]), "separator": rng.choice(["", "_"])}
        parent = rng.choice([{}, {} if options["strict"] else {"parent_group": "apps"}])  # a loop of groups is an error then
        options["keyed_groups"] = [keyed | parent, {"key": "pod_annotations.name ~ '.'", "prefix": "note"}]
    return options


def sources_of(rng, clusters):
    """[(options of a file, [(cluster, its name, its scope)])]"""
    common = options_of(rng)
    secret = rng.choice([{}, {"api_key": TOKEN}, {"proxy_headers": {"user_agent": TOKEN}}, {"username": "jane", "password": TOKEN}])
    if rng.random() < 0.5:
        scopes = [scope_of(rng) for _cluster in clusters]
        connections = [{"name": f"c{cluster.number}", "host": cluster.server.url, **scope} for cluster, scope in zip(clusters, scopes)]
        return [(common | secret | {"connections": connections}, [(cluster, f"c{cluster.number}", scope) for cluster, scope in zip(clusters, scopes)])]
    found = []
    for cluster in clusters:
        scope = scope_of(rng)
        found.append((common | secret | scope | {"host": cluster.server.url}, [(cluster, None, scope)]))
    return found + found[:1] * rng.randrange(2)


# -- what the documentation says --------------------------------------------------------------------------------


def containers_of(pod, options):
    """The names of a pod's containers that are hosts."""
    spec, status = pod["spec"], pod["status"]
    if options["only_running"] and ("deletionTimestamp" in pod["metadata"] or status["phase"] != "Running"):
        return []
    names = [each["name"] for each in spec["containers"]]
    if options["containers"]:
        names += [each["name"] for each in spec.get("initContainers", []) if each.get("restartPolicy") == "Always"]
    else:
        names = ["task" if "task" in names else "side" if pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] in names else names[0]]
    states = {each["name"]: each["state"] for group in ("containerStatuses", "initContainerStatuses") for each in status.get(group) or []}
    return [name for name in names if not options["only_running"] or "running" in states.get(name, {})]


def wished_name(pod, container, cluster, scope, options):
    """The name of a host before conflicts are resolved."""
    labels, annotations = pod["metadata"]["labels"] or {}, pod["metadata"]["annotations"]
    values = {"pod_annotations.name": annotations["name"], "pod_labels.app | default('')": labels.get("app", ""), "'x_y'": "x_y"}
    values["'host-' ~ pod_name"] = f"host-{pod['metadata']['name']}"
    for expression in options.get("hostnames", []):
        if values[expression].strip():
            return values[expression].strip()
    several = scope.get("all_namespaces") or len(set(scope.get("namespaces", []))) > 1
    parts = [pod["metadata"]["name"], container if options["containers"] else None, pod["metadata"]["namespace"] if several else None, cluster]
    return ".".join(filter(None, parts))


def expected_hosts(options, parts, before):
    """[(uid, container, name)] of a source; the name is None for a host that is left out."""
    many, several = len(parts) > 1, any(len(set(scope.get("namespaces", []))) > 1 or scope.get("all_namespaces") for _cluster, _name, scope in parts)
    rows = []
    for cluster, name, scope in parts:
        for pod in cluster.listed(scope):
            for container in containers_of(pod, options):
                wide = {"all_namespaces": True} if several else {}
                wished = wished_name(pod, container, name if many else None, wide, options)
                long = ".".join(filter(None, [pod["metadata"]["name"], container, pod["metadata"]["namespace"], name]))
                rows.append([pod["metadata"]["uid"], container, wished, long])
    literal = {re.sub(r"\W", "_", each) for each in options.get("groups", {})}

    def is_free(name, row):
        own = before.hosts.get(name)
        is_same = own is not None and [own.vars.get("pod_uid"), own.vars.get("pod_container")] == row[:2]
        return name not in before.groups and name not in literal and (own is None or is_same)

    for row in rows:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", row[2]) or row[2] in RESERVED or not is_free(row[2], row):
            row[2] = None
    counts = Counter(row[2] for row in rows)
    taken = {name for name, count in counts.items() if count == 1 and name}
    found = []
    for row in rows:
        name = row[2]
        if name is None or counts[name] > 1:
            name = row[3] if row[3] not in taken and is_free(row[3], row) else None
            taken.add(name)
        found.append((row[0], row[1], name))
    return found


def expected_groups(pod, cluster, options):
    """The groups of a host, before any of them gives way to a host."""
    labels, phase, node = pod["metadata"]["labels"] or {}, pod["status"]["phase"], pod["spec"]["nodeName"]
    kinds = options.get("default_groups", ["namespace", "phase", "node", "cluster", "set", "owner", "label"])
    owners = [f"{each['kind'].lower()}_{each['name']}" for each in pod["metadata"].get("ownerReferences", [])]
    if owners == ["replicaset_web-1.2"] and labels.get("pod-template-hash") == "1.2":
        owners = ["deployment_web"]
    values = {
        "namespace": [f"namespace_{pod['metadata']['namespace']}"],
        "phase": [f"phase_{phase.lower()}"],
        "node": [f"node_{node}"] if node else [],
        "cluster": [f"cluster_{cluster}"] if cluster else [],
        "set": [f"set_{labels['podwright.io/set']}"] if labels.get("podwright.io/set") else [],
        "owner": owners,
        "label": [f"label_{key}_{value}" if value else f"label_{key}" for key, value in labels.items() if key not in OWN],
    }
    found = ["pods", *(name for kind in kinds for name in values[kind])]
    found += ["a-b"] * (phase == "Running" and "groups" in options) + ["db"] * ("groups" in options)
    for keyed in options.get("keyed_groups", [])[:1]:
        found.append(f"{keyed['prefix']}{keyed['separator']}{labels.get('app') or 'none'}")
    found += [f"note_{pod['metadata']['annotations']['name']}."] if "keyed_groups" in options else []
    return {re.sub(r"^\d|\W", "_", name) for name in found}


# -- checks -----------------------------------------------------------------------------------------------------


def contents(inventory):
    """Hosts and groups as plain data."""
    groups = {name: [sorted(map(str, group.hosts)), sorted(each.name for each in group.child_groups), group.vars] for name, group in inventory.groups.items()}
    return json.loads(json.dumps([{name: host.vars for name, host in inventory.hosts.items()}, groups], sort_keys=True))


def others():
    """An inventory with a host and a group of another source."""
    inventory = InventoryData()
    inventory.add_host("db")
    inventory.set_variable("db", "ansible_host", "192.0.2.1")
    inventory.add_group("web")
    inventory.add_host("static", "web")
    inventory.set_variable("web", "ansible_connection", "ssh")
    return inventory


def check(inventory, rows, options, parts):
    """Each host of a source is its pod."""
    pods = {pod["metadata"]["uid"]: (pod, name) for cluster, name, scope in parts for pod in cluster.listed(scope)}
    for uid, container, name in rows:
        if name is None:
            continue
        (pod, cluster), host = pods[uid], inventory.hosts[name]
        metadata = pod["metadata"]
        assert (host.vars["pod_uid"], host.vars["pod_container"]) == (uid, container)
        target = {"ansible_podwright_pod": metadata["name"], "ansible_podwright_namespace": metadata["namespace"], "ansible_podwright_container": container}
        target |= {"ansible_connection": "podwright.core.pod", "pod_labels": metadata["labels"] or {}, "pod_annotations": metadata["annotations"]}
        assert {key: host.vars[key] for key in target} == target
        if "compose" in options:
            assert host.vars["whole"] == metadata["annotations"] and host.vars["note"] == f"x{metadata['annotations']['name']}"
        wanted = {f"{each}_" if each in inventory.hosts or each == "all" else each for each in expected_groups(pod, cluster, options)}
        assert wanted <= {group.name for group in host.groups}, options


def check_whole(inventory, warnings):
    """Nothing is a template or a secret, names are valid and those of others are theirs."""
    shown = json.dumps([contents(inventory), warnings])
    assert TOKEN not in shown
    assert inventory.hosts["db"].vars["ansible_host"] == "192.0.2.1" and "pod_uid" not in inventory.hosts["db"].vars | inventory.hosts["static"].vars
    assert inventory.groups["web"].vars == {"ansible_connection": "ssh"} and all(not group.vars for name, group in inventory.groups.items() if name != "web")
    assert not set(inventory.hosts) & set(inventory.groups) and all(re.fullmatch(r"[^\W\d]\w*", name) for name in inventory.groups)
    for host in inventory.hosts.values():
        for text in texts(host.vars):
            assert not re.search(r"{[{%#]|^#jinja2", text) or not is_template(text), text
    inventory.reconcile_inventory()
    assert inventory.localhost is None


def damage(rng, directory):
    """Leave in each file of the cache what another version, or a full disk, may have left."""
    for path in directory.iterdir():
        text = path.read_text()
        whole = json.loads(text)
        entry = whole if "of" in whole else next((value for value in whole.values() if isinstance(value, dict) and "of" in value), whole)
        odd = rng.choice([None, 5, [], [None], [[{}]], [[{"pod_name": "web"}]] * 2, "missing"])
        entry |= {"hosts": odd}
        if odd == "missing":
            del entry["hosts"]
        path.write_text(rng.choice([json.dumps(whole), text[: len(text) // 2], "", "[]", "null", "\0"]))


def play(seed, directory, warnings):
    rng = random.Random(seed)
    clusters = [Pods(rng, number) for number in range(rng.choice([1, 1, 2]))]
    sources = sources_of(rng, clusters)
    cache = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(directory / "cache")} if rng.random() < 0.5 else {}
    with ExitStack() as stack:
        for cluster in clusters:
            stack.enter_context(cluster.server)

        def read():
            inventory = others()
            for number, (options, parts) in enumerate(sources):
                rows = expected_hosts(options, parts, inventory)
                read_inventory(directory / f"{number}.pods.yml", options | cache, inventory, cache=True)
                check(inventory, rows, options, parts)
                left_out = sum(name is None for _uid, _container, name in rows)
                assert sum("was left out" in text for text in warnings) == left_out, (rows, warnings)
                warnings.clear()
            whole = contents(inventory)
            check_whole(inventory, warnings)
            return whole

        if any(cluster.fault == "refused" for cluster in clusters):
            check_refusal(directory, clusters, sources, cache)
            return
        whole = read()
        if cache:
            count = [len(cluster.server.calls) for cluster in clusters]
            assert read() == whole and [len(cluster.server.calls) for cluster in clusters] == count
            assert TOKEN not in "".join(path.read_text() for path in (directory / "cache").iterdir())
            damage(rng, directory / "cache")
            assert read() == whole
            count = [len(cluster.server.calls) for cluster in clusters]
            assert read() == whole and [len(cluster.server.calls) for cluster in clusters] == count


def check_refusal(directory, clusters, sources, cache):
    """A namespace that may not be listed is an error, and no part of that source is read."""
    for options, parts in sources:
        inventory = others()
        before = contents(inventory)
        is_refused = any(
            cluster.refused and (scope.get("all_namespaces") or cluster.refused in scope.get("namespaces", ["default"])) for cluster, _name, scope in parts
        )
        if is_refused:
            with pytest.raises(AnsibleParserError, match="cannot list"):
                read_inventory(directory / "refused.pods.yml", options | cache, inventory, cache=True)
            assert contents(inventory) == before


@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_hosts_are_the_pods_whatever_they_are_called(tried, tmp_path_factory, seed):
    warnings = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ansible.utils.display.Display.warning", lambda _self, text, *_args, **_kwargs: warnings.append(text))
        for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "KUBERNETES_SERVICE_HOST", "PODWRIGHT_NAMESPACE"):
            patch.delenv(name, raising=False)
        play(seed, tmp_path_factory.mktemp("model"), warnings)
    tried("pods with any names, labels and containers as hosts, with any options, faults and caches of the inventory", 1, "lost", "wrong", "shown")
