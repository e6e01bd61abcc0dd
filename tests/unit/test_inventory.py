# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory plugin against an API server in memory: which pods are hosts, how they are named and grouped, and what never becomes a template."""

from __future__ import annotations

import json
import re

import pytest
from ansible.errors import AnsibleError, AnsibleParserError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_hosts import groups_of, is_host, is_host_name, long_name, read_hosts
from ansible_collections.podwright.core.plugins.plugin_utils._values import inert

from ..support.hostile_server import HostileServer
from ..support.inventory import read_inventory
from ..support.stub_cluster import STAMP, StubCluster, live

TOKEN = "t0ken-of-the-inventory"
CONTAINERS = [{"name": "task", "image": "busybox"}, {"name": "side", "image": "proxy"}]
STATE = {"running": {"startedAt": STAMP}}
STATUS = {
    "phase": "Running",
    "podIP": "10.0.0.1",
    "conditions": [{"type": "Ready", "status": "True"}],
    "containerStatuses": [{"name": name, "state": STATE} for name in ("task", "side")],
}


def pod(name, namespace="default", labels=None, status=None, **metadata):
    """A running pod with two containers."""
    metadata = {"namespace": namespace, "uid": f"uid-{namespace}-{name}", "labels": labels or {}, **metadata}
    return live("v1", "Pod", name, metadata=metadata, spec={"containers": CONTAINERS, "nodeName": "node-1"}, status=status or STATUS)


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """A function that reads the inventory of objects, and keeps the requests in its attribute `calls`."""
    for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def read(objects, inventory=None, cache=False, file="a.pods.yml", **options):
        with HostileServer(StubCluster(objects)) as server:
            try:
                return read_inventory(tmp_path / file, {"host": server.url, **options}, inventory, cache)
            finally:
                read.calls = server.calls
                read.url = server.url

    return read


def groups(inventory, host):
    return {group.name for group in inventory.get_host(host).get_groups()} - {"all"}


# -- which pods are hosts ---------------------------------------------------------------------------------------


def test_running_pods_of_the_namespace_are_hosts_with_the_variables_of_the_connection(serve):
    inventory = serve([pod("web", labels={"app": "worker"}), pod("other", "elsewhere")])
    assert list(inventory.hosts) == ["web"]
    variables = inventory.get_host("web").vars
    connection = {name: variables[name] for name in variables if name.startswith("ansible_")}
    assert connection == {
        "ansible_connection": "podwright.core.pod",
        "ansible_podwright_pod": "web",
        "ansible_podwright_namespace": "default",
        "ansible_podwright_container": "task",
        "ansible_podwright_host": serve.url,
    }
    assert variables["pod_labels"] == {"app": "worker"} and variables["pod_image"] == "busybox" and variables["pod_containers"] == ["task", "side"]


@pytest.mark.parametrize("only_running", [True, False])
def test_pods_that_cannot_run_modules_are_left_out(serve, only_running):
    terminated = STATUS | {"containerStatuses": [{"name": "task", "state": {"terminated": {"exitCode": 0}}}, {"name": "side", "state": STATE}]}
    pods = [pod("web"), pod("gone", deletionTimestamp=STAMP), pod("done", status=terminated), pod("new", status={"phase": "Pending"})]
    inventory = serve(pods, only_running=only_running)
    assert sorted(inventory.hosts) == (["web"] if only_running else ["done", "gone", "new", "web"])
    selectors = [call.query.get("fieldSelector") for call in serve.calls]
    assert set(selectors) == {"status.phase=Running" if only_running else None}


def test_containers_can_be_hosts(serve):
    sidecar = pod("old")
    sidecar["spec"]["initContainers"] = [{"name": "mesh", "restartPolicy": "Always"}, {"name": "init"}]
    sidecar["status"] = STATUS | {"initContainerStatuses": [{"name": "mesh", "state": STATE}]}
    inventory = serve([pod("web"), sidecar], containers=True)
    assert list(inventory.hosts) == ["web.task", "web.side", "old.task", "old.side", "old.mesh"]
    assert inventory.get_host("web.side").vars["ansible_podwright_container"] == "side" and inventory.get_host("web.side").vars["pod_image"] == "proxy"


def test_one_list_request_is_sent_for_each_namespace(serve):
    inventory = serve([pod("web"), pod("web", "builds"), pod("x", "other")], namespaces=["builds", "default", "builds"], label_selectors=[])
    assert list(inventory.hosts) == ["web.builds", "web.default"]
    assert [call.path for call in serve.calls] == ["/api/v1/namespaces/builds/pods", "/api/v1/namespaces/default/pods"]


def test_all_namespaces_are_one_list(serve):
    inventory = serve([pod("web"), pod("web", "builds")], all_namespaces=True)
    assert list(inventory.hosts) == ["web.default", "web.builds"] and [call.path for call in serve.calls] == ["/api/v1/pods"]


def test_selectors_are_sent_to_the_server(serve):
    inventory = serve([pod("web", labels={"app": "a"}), pod("db", labels={"app": "b"})], label_selectors=["app=a"], field_selectors=["spec.nodeName=node-1"])
    assert list(inventory.hosts) == ["web"]
    assert serve.calls[0].query["fieldSelector"] == "spec.nodeName=node-1,status.phase=Running"


def test_a_namespace_that_does_not_exist_is_warned_of(serve, monkeypatch):
    warnings = []
    monkeypatch.setattr("ansible.utils.display.Display.warning", lambda _self, text, *_args, **_kwargs: warnings.append(text))
    serve([], namespaces=["nope"])
    assert len(warnings) == 1 and "Namespace 'nope' not found" in warnings[0]


# -- several clusters -------------------------------------------------------------------------------------------


def test_clusters_have_options_of_their_own_and_defaults_beside(serve):
    connections = [{"name": "one", "namespaces": ["builds"]}, {"name": "two", "label_selectors": ["app=b"], "validate_certs": False}]
    inventory = serve([pod("web", labels={"app": "a"}), pod("web", "builds"), pod("db", labels={"app": "b"})], connections=connections)
    assert list(inventory.hosts) == ["web.one", "db.two"]
    assert groups(inventory, "db.two") >= {"cluster_two", "label_app_b"}
    assert inventory.get_host("db.two").vars["ansible_podwright_validate_certs"] is False
    assert "ansible_podwright_validate_certs" not in inventory.get_host("web.one").vars


def test_all_namespaces_beside_the_connections_yield_to_namespaces_of_one(serve):
    connections = [{"name": "one", "namespaces": ["builds"]}, {"name": "two"}]
    serve([pod("web")], connections=connections, all_namespaces=True)
    assert [call.path for call in serve.calls if call.group == "list"] == ["/api/v1/namespaces/builds/pods", "/api/v1/pods"]


# -- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "all", "ungrouped", "pods"])
def test_a_pod_never_becomes_localhost_or_a_group(serve, name):
    inventory = serve([pod(name)])
    assert list(inventory.hosts) == [f"{name}.task.default"] and inventory.localhost is None


def test_a_pod_never_takes_over_a_host_of_another_source(serve):
    inventory = serve([])
    inventory.add_host("db")
    inventory.set_variable("db", "ansible_host", "192.0.2.1")
    serve([pod("db")], inventory)
    assert list(inventory.hosts) == ["db", "db.task.default"] and "ansible_connection" not in inventory.get_host("db").vars


def test_a_pod_never_takes_over_a_group(serve):
    inventory = serve([])
    inventory.add_group("db")
    inventory.add_host("machine", "db")
    serve([pod("db"), pod("web")], inventory, groups={"web": "true"})
    assert sorted(inventory.hosts) == ["db.task.default", "machine", "web.task.default"]
    assert inventory.groups["db"].vars == {} and groups(inventory, "db.task.default") >= {"web"}


def test_a_group_never_takes_over_a_pod(serve):
    pods = [pod("web", labels={"app": "db"}), pod("db", labels={"app": "db"}), pod("x", labels={"app": "all-of-us"})]
    inventory = serve(pods, keyed_groups=[{"key": "pod_labels.app", "separator": "", "parent_group": "web"}])
    assert sorted(inventory.hosts) == ["db", "web", "x"] and inventory.get_host("db").vars["pod_name"] == "db"
    assert groups(inventory, "web") >= {"db_", "web_"} and groups(inventory, "x") >= {"all_of_us", "web_"}
    inventory.reconcile_inventory()


@pytest.mark.parametrize(("value", "group"), [("apps", "apps"), ("all", "all_"), ("ungrouped", "ungrouped_")])
def test_a_label_never_makes_a_loop_of_groups(serve, value, group):
    keyed = [{"key": "pod_labels.app", "separator": "", "parent_group": "apps"}, {"key": "pod_name", "prefix": "name"}]
    inventory = serve([pod("web", labels={"app": value}), pod("x", labels={"app": "b"})], keyed_groups=keyed)
    assert groups(inventory, "web") >= {group, "apps", "name_web"} and groups(inventory, "x") >= {"apps", "b", "name_x"}
    inventory.reconcile_inventory()


def test_pods_of_two_clusters_in_two_sources_are_two_hosts(serve):
    inventory = serve([pod("web")])
    serve([pod("web", uid="of-another-cluster")], inventory, file="b.pods.yml")
    assert list(inventory.hosts) == ["web", "web.task.default"]
    assert [host.vars["pod_uid"] for host in inventory.hosts.values()] == ["uid-default-web", "of-another-cluster"]


def test_a_namespace_that_is_repeated_is_one_namespace(serve):
    assert list(serve([pod("web", "builds")], namespaces=["builds", "builds"]).hosts) == ["web"]


def test_the_same_pod_in_two_sources_is_one_host(serve):
    inventory = serve([pod("web")])
    serve([pod("web")], inventory, file="b.pods.yml", compose={"more": "pod_name", "ports": "{8080: pod_name, true: none}"})
    variables = inventory.get_host("web").vars
    assert list(inventory.hosts) == ["web"] and variables["more"] == "web" and variables["ports"] == {8080: "web", True: None}


def test_expressions_name_hosts_and_repeated_names_are_made_longer(serve):
    pods = [pod("a", labels={"app": "x"}), pod("b", labels={"app": "x"}), pod("c", labels={"app": "y"}), pod("d"), pod("e", labels={"app": "_"})]
    inventory = serve(pods, hostnames=["pod_labels['app']", "'host-' ~ pod_name"])
    assert sorted(inventory.hosts) == ["_", "a.task.default", "b.task.default", "host-d", "y"]


def test_a_failing_expression_is_an_error_if_strict(serve):
    assert list(serve([pod("d")], hostnames=["pod_labels.app.x"]).hosts) == ["d"]
    with pytest.raises(AnsibleParserError, match=r"hostnames: pod_labels.app.x failed for pod 'd'"):
        serve([pod("d")], hostnames=["pod_labels.app.x"], strict=True)


def test_an_author_of_a_pod_cannot_choose_a_dangerous_name(serve):
    pods = [
        pod(f"p{number}", annotations={"name": name})
        for number, name in enumerate(["localhost", "ALL", "a:b", "../x", "{{ 1 }}", "a b", "\n", "!x", "x" * 2000])
    ]
    inventory = serve(pods, hostnames=["pod_annotations.name"])
    assert sorted(inventory.hosts) == [
        "p0.task.default",
        "p1.task.default",
        *(f"p{n}.task.default" for n in (2, 3, 4, 5)),
        "p6",
        "p7.task.default",
        "p8.task.default",
    ]


# -- groups and expressions -------------------------------------------------------------------------------------


def test_groups_come_out_of_the_box_and_have_valid_names(serve):
    labels = {"app.kubernetes.io/name": "my-app", "pod-template-hash": "abc", "empty": "", "podwright.io/set": "nightly", "podwright.io/task": "t-1"}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-abc", "uid": "u", "controller": True}
    inventory = serve([pod("web", labels=labels, ownerReferences=[owner])])
    expected = {"pods", "namespace_default", "phase_running", "node_node_1", "set_nightly", "deployment_web"}
    assert groups(inventory, "web") == expected | {"label_app_kubernetes_io_name_my_app", "label_empty"}
    assert all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in inventory.groups)


def test_default_groups_can_be_chosen(serve):
    assert groups(serve([pod("web", labels={"a": "b"})], default_groups=["phase"]), "web") == {"pods", "phase_running"}
    assert groups(serve([pod("web", labels={"a": "b"})], default_groups=[]), "web") == {"pods"}


def test_owners_other_than_replica_sets_keep_their_name():
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": True}
    assert "statefulset_db" in groups_of(read_hosts(pod("db-0", ownerReferences=[{**owner, "controller": False}, owner]), False, True)[0], ["owner"])


def test_expressions_add_variables_and_groups(serve):
    inventory = serve(
        [pod("web", labels={"version": "1.2"}), pod("db")],
        compose={"ansible_remote_tmp": "'/tmp/ansible'", "app_version": "pod_labels.version"},
        groups={"ready": "pod_ready", "never": "pod_labels.nope == 1"},
        keyed_groups=[{"key": "pod_labels.version", "prefix": "version"}],
    )
    assert groups(inventory, "web") >= {"ready", "version_1_2"} and "never" not in groups(inventory, "web")
    assert inventory.get_host("web").vars["app_version"] == "1.2" and inventory.get_host("web").vars["ansible_remote_tmp"] == "/tmp/ansible"
    with pytest.raises(AnsibleError, match="app_version"):
        serve([pod("db")], compose={"app_version": "pod_labels.version.x"}, strict=True)


# -- options and credentials ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"namespcaes": ["x"]}, r"namespcaes: unknown option; did you mean namespaces\?"),
        ({"namespace": "x"}, r"namespace: unknown option; did you mean namespaces\?"),
        ({"zzz": "x"}, r"zzz: unknown option; options: all_namespaces, "),
        ({"all_namespaces": True, "namespaces": ["x"]}, "all_namespaces: must not be set with namespaces"),
        ({"namespaces": ["a", ""]}, r"namespaces\[1\]: must be the name of a namespace, got ''"),
        ({"namespaces": [5, "*"]}, r"namespaces\[1\]: must be the name of a namespace, got '\*'"),
        ({"label_selectors": [" "]}, r"label_selectors\[0\]: must not be empty"),
        ({"connections": [{"name": "a"}, {"name": "a"}]}, "connections: must have unique names, got 'a' twice"),
        ({"connections": ["a"]}, r"connections\[0\]: must be a mapping, got str"),
        ({"connections": [None]}, r"connections\[0\]: must be a mapping, got nothing"),
        ({"connections": [{"name": "eu:1"}]}, r"connections\[0\]\.name: must consist of letters, digits, .* got 'eu:1'"),
        ({"connections": [{"name": "a"}, {"name": ""}]}, r"connections\[1\]\.name: must consist"),
        ({"connections": [{"namespaces": ["a"]}]}, r"connections\[0\]: missing required arguments: name"),
        ({"connections": [{"name": "a", "namspaces": ["a"]}]}, r"connections\[0\]: unknown option namspaces\. Supported parameters include"),
        ({"connections": [{"name": "a", "namespaces": ["a"], "all_namespaces": True}]}, r"connections\[0\]\.all_namespaces: must not"),
        ({"default_groups": ["nope"]}, "(?s)default_groups.*nope|nope.*default_groups"),
    ],
)
def test_invalid_options_are_refused_before_the_first_request(serve, options, message):
    with pytest.raises(AnsibleError, match=message):
        serve([pod("web")], **options)
    assert not serve.calls


def test_templates_in_options_are_evaluated(serve, monkeypatch):
    monkeypatch.setenv("TEAM", "builds")
    inventory = serve([pod("web", "builds")], namespaces="{{ [lookup('env', 'TEAM')] }}")
    assert list(inventory.hosts) == ["web"]


def test_credentials_are_used_and_never_become_variables(serve):
    kubeconfig = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    options = {"proxy_headers": {"user_agent": TOKEN}, "kubeconfig": kubeconfig, "connections": [{"name": "a"}, {"name": "b", "api_key": f"{TOKEN}-b"}]}
    inventory = serve([pod("web")], **options)
    assert [call.headers["authorization"] for call in serve.calls] == [f"Bearer {TOKEN}", f"Bearer {TOKEN}-b"]
    assert TOKEN not in str([host.vars for host in inventory.hosts.values()])
    with pytest.raises(AnsibleError) as failure:
        serve([pod("web")], host="http://127.0.0.1:1", api_key=TOKEN, kubeconfig=kubeconfig)
    assert TOKEN not in str(failure.value) and "127.0.0.1:1" in str(failure.value)


@pytest.mark.parametrize("source", ["option", "variable", "home"])
def test_hosts_stay_in_the_context_that_was_the_current_one(source, tmp_path, monkeypatch):
    """Another program may change the current context while a playbook runs."""
    for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".kube" / "config"
    path.parent.mkdir()
    if source == "variable":
        monkeypatch.setenv("KUBECONFIG", str(path))
    with HostileServer(StubCluster([pod("web")])) as server:
        contexts = [{"name": name, "context": {"cluster": name}} for name in ("first", "second")]
        clusters = [{"name": "first", "cluster": {"server": "http://127.0.0.1:1"}}, {"name": "second", "cluster": {"server": server.url}}]
        path.write_text(json.dumps({"clusters": clusters, "contexts": contexts, "users": [], "current-context": "second"}))
        inventory = read_inventory(tmp_path / "a.pods.yml", {"kubeconfig": str(path)} if source == "option" else {})
    variables = inventory.get_host("web").vars
    assert variables["ansible_podwright_context"] == "second" and "ansible_podwright_host" not in variables


def test_hosts_with_another_server_stay_in_the_context_of_their_credentials(tmp_path, monkeypatch):
    with HostileServer(StubCluster([pod("web")])) as server:
        content = {"clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1"}}], "contexts": [{"name": "x", "context": {"cluster": "c"}}]}
        (tmp_path / "config").write_text(json.dumps(content | {"current-context": "x"}))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        found = [read_inventory(tmp_path / "a.pods.yml", {"host": server.url} | options).get_host("web").vars for options in ({}, {"api_key": TOKEN})]
    assert [variables["ansible_podwright_host"] for variables in found] == [server.url] * 2
    assert [variables.get("ansible_podwright_context") for variables in found] == ["x", None]


def test_hosts_of_the_content_of_a_kubeconfig_have_its_server(tmp_path):
    with HostileServer(StubCluster([pod("web")])) as server:
        clusters = [{"name": "c", "cluster": {"server": server.url}}]
        kubeconfig = {"clusters": clusters, "users": [], "contexts": [{"name": "prod", "context": {"cluster": "c"}}]}
        inventory = read_inventory(tmp_path / "a.pods.yml", {"connections": [{"name": "a", "kubeconfig": kubeconfig, "context": "prod"}]})
    assert inventory.get_host("web").vars["ansible_podwright_host"] == server.url  # KUBECONFIG may have another cluster `prod`


def test_the_password_of_a_url_never_becomes_a_variable(tmp_path):
    with HostileServer(StubCluster([pod("web")])) as server:
        inventory = read_inventory(tmp_path / "a.pods.yml", {"host": server.url.replace("//", f"//jane:{TOKEN}@")})
    assert inventory.get_host("web").vars["ansible_podwright_host"] == server.url and TOKEN not in str(inventory.get_host("web").vars)


def test_paths_are_relative_to_the_inventory(serve, tmp_path, monkeypatch):
    (tmp_path / "config").write_text(json.dumps({"clusters": [], "users": [{"name": "u", "user": {"token": TOKEN}}], "contexts": []}))
    for paths in ("config", "missing:config", ":config:"):
        with pytest.raises(AnsibleError, match=paths.strip(":").replace("config", str(tmp_path / "config"))):
            serve([pod("web")], kubeconfig=paths)


# -- cache ------------------------------------------------------------------------------------------------------


def test_cache_is_used_until_it_is_flushed_or_the_query_changes(serve, tmp_path):
    cached = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache"), "host": "http://127.0.0.1:1"}
    connection = {"connections": [{"name": "a", "api_key": TOKEN}]}
    with HostileServer(StubCluster([pod("web", annotations={"a": "{{ 1 }}"})])) as server:
        options = cached | connection | {"host": server.url}
        read_inventory(tmp_path / "a.yml", options, cache=True)
        again = read_inventory(tmp_path / "a.yml", options, cache=True)
        assert len(server.calls) == 1 and list(again.hosts) == ["web"]
        assert type(again.get_host("web").vars["pod_annotations"]["a"]) is type(inert("{{ 1 }}"))
        read_inventory(tmp_path / "a.yml", options, cache=False)
        assert len(server.calls) == 2
        read_inventory(tmp_path / "a.yml", options | {"label_selectors": ["a=b"]}, cache=True)
        assert len(server.calls) > 2
    assert TOKEN not in "".join(path.read_text() for path in (tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    "edit",
    [{"pod_owner": {"kind": 5, "name": "a"}}, {"pod_owner": {"kind": "Job"}}, {"pod_labels": {"a": 1}}, {"pod_containers": [{}]}, {"pod_cluster": 5}],
)
def test_a_cached_host_of_another_shape_is_not_used(edit):
    host = read_hosts(pod("web"), False, True)[0]
    assert is_host(host) and is_host(host | {"pod_owner": {"kind": "Job", "name": "a"}, "pod_cluster": "a"}) and not is_host(host | edit)


@pytest.mark.parametrize("content", ["", "{", "null", "[]", '{"of": 1}', "\0"])
def test_a_cache_that_cannot_be_read_is_none(tmp_path, content):
    with HostileServer(StubCluster([pod("web")])) as server:
        options = {"host": server.url, "cache": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache")}
        for number in (1, 2):
            assert list(read_inventory(tmp_path / "a.yml", options, cache=True).hosts) == ["web"] and len(server.calls) == number
            for path in (tmp_path / "cache").iterdir():
                path.write_text(content)


@pytest.mark.parametrize("is_inline", [False, True])
def test_the_cache_of_another_context_is_not_used(tmp_path, monkeypatch, is_inline):
    cached = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache")}
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with HostileServer(StubCluster([pod("staging"), pod("other", "builds")])) as staging, HostileServer(StubCluster([pod("production")])) as production:

        def read(url, namespace):
            cluster = {"name": "c", "cluster": {"server": url}}
            context = {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}
            user = {"name": "u", "user": {"token": TOKEN}}
            content = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "x"}
            (tmp_path / "config").write_text(json.dumps(content))
            return list(read_inventory(tmp_path / "a.yml", cached | ({"kubeconfig": content} if is_inline else {}), cache=True).hosts)

        assert read(staging.url, "default") == ["staging"] == read(staging.url, "default") and len(staging.calls) == 1
        assert read(production.url, "default") == ["production"]
        assert read(staging.url, "builds") == ["other"]


# -- hostile clusters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["{{ 1 }}", "a\nb", "A", "", "-", "a/b", "x" * 300])
@pytest.mark.parametrize("field", ["name", "namespace", "container"])
def test_names_that_the_api_does_not_allow_are_refused(name, field):
    item = pod("web")
    if field == "container":
        item["spec"]["containers"][0]["name"] = name
        item["status"] = {}
    else:
        item["metadata"][field] = name
    with pytest.raises(PodwrightError, match=f"invalid {'pod' if field == 'name' else field} name"):
        read_hosts(item, True, False)


TEXT = st.text(max_size=20) | st.sampled_from(["{{ 1/0 }}", "{% x %}", "#jinja2: variable_start_string:'['", "localhost", "all"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(labels=st.dictionaries(TEXT, TEXT, max_size=4), annotations=st.dictionaries(TEXT, TEXT, max_size=4), phase=TEXT, node=TEXT, image=TEXT)
def test_whatever_labels_say_names_stay_valid_and_nothing_is_a_template(tmp_path_factory, labels, annotations, phase, node, image):
    item = pod("web", labels=labels, annotations=annotations, status=STATUS | {"phase": phase})
    item["spec"] = {"containers": [{"name": "task", "image": image}], "nodeName": node}
    with HostileServer(StubCluster([item])) as server:
        options = {"host": server.url, "hostnames": ["pod_image", "pod_labels | first"], "only_running": False, "field_selectors": []}
        keyed = {"keyed_groups": [{"key": "pod_labels"}, {"key": "pod_annotations", "prefix": "note"}], "compose": {"note": "'x' ~ pod_annotations | string"}}
        inventory = read_inventory(tmp_path_factory.mktemp("fuzz") / "a.yml", options | keyed)
    assert len(inventory.hosts) == 1
    name = min(inventory.hosts)
    assert is_host_name(name)
    assert all(re.fullmatch(r"[^\W\d]\w*", group) for group in inventory.groups), list(inventory.groups)
    for text in texts(inventory.get_host(name).vars):
        assert "{" not in text or not is_template(text), text


def texts(value):
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def is_template(text):
    """Whether Ansible would evaluate a text."""
    try:
        from ansible._internal._datatag._tags import TrustedAsTemplate

        return TrustedAsTemplate.is_tagged_on(text)
    except ImportError:
        from ansible.utils.unsafe_proxy import AnsibleUnsafe

        return not isinstance(text, AnsibleUnsafe) and (text.startswith("#jinja2:") or any(begin in text for begin in ("{{", "{%", "{#")))


def test_long_names_of_containers_differ():
    hosts = [host | {"pod_cluster": "c"} for item in (pod("a.b"), pod("a", "b")) for host in read_hosts(item, True, True)]
    assert len({long_name(host) for host in hosts}) == len(hosts)
