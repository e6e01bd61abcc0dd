# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lookups and the filter against an API server in memory: the options of kubernetes.core, and terms of any kind."""

from __future__ import annotations

import base64
import json

import pytest
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.filter.k8s_config_resource_name import k8s_config_resource_name
from ansible_collections.podwright.core.plugins.lookup import bound_token, objects

from ..support.hostile_server import HostileServer
from ..support.inventory import look_up
from ..support.stub_cluster import Answer, StubCluster, live

CANARY = "canary-of-the-lookups"
OBJECTS = [
    live("v1", "Namespace", "default", status={"phase": "Active"}),
    live("v1", "ConfigMap", "one", metadata={"labels": {"app": "web"}}, data={"a": "b"}),
    live("v1", "ConfigMap", "two", data={"a": "c"}),
    live("v1", "ServiceAccount", "builder"),
    live("v1", "Secret", "login", type="Opaque", data={"password": base64.b64encode(CANARY.encode()).decode()}),
]


class Cluster(StubCluster):
    """A cluster that reports its version."""

    def answer(self, call):
        """The answer to a request."""
        return Answer(200, {"major": "1", "gitVersion": "v1.36.0"}) if call.path == "/version" else super().answer(call)


@pytest.fixture(scope="module")
def server():
    """The API server."""
    with HostileServer(Cluster(OBJECTS)) as running:
        yield running


def names(server, *terms, **options):
    return [item["metadata"]["name"] for item in look_up(objects, *terms, host=server.url, **options)]


MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two", "namespace": "default"}}


@pytest.mark.parametrize(
    ("terms", "options", "found"),
    [
        (["one", "nobody", "two"], {"kind": "cm"}, ["one", "two"]),
        ([[]], {"kind": "cm"}, []),
        ([["two", "one"]], {"kind": "ConfigMap"}, ["two", "one"]),
        ([], {"kind": "ConfigMap", "resource_name": "one", "namespace": "default"}, ["one"]),
        ([], {"kind": "ConfigMap", "label_selector": "app=web"}, ["one"]),
        ([], {"kind": "ConfigMap", "field_selector": "metadata.name=two", "api_version": "v1"}, ["two"]),
        ([], {"resource_definition": MANIFEST}, ["two"]),
        ([], {"resource_definition": [MANIFEST, MANIFEST | {"metadata": {"name": "one"}}], "namespace": "default"}, ["two", "one"]),
        ([], {"resource_definition": json.dumps(MANIFEST)}, ["two"]),
        ([], {"kind": "Secret", "resource_name": "login"}, ["login"]),
    ],
)
def test_objects_are_read_with_the_options_of_kubernetes_core(server, terms, options, found):
    assert names(server, *terms, **options) == found


def test_manifests_of_a_file_are_read(server, tmp_path):
    path = tmp_path / "manifests.yml"
    path.write_text(f"{json.dumps(MANIFEST)}\n---\nkind: ConfigMap\nmetadata: {{name: one}}\n")
    assert names(server, src=str(path), namespace="default") == ["two", "one"]


@pytest.mark.parametrize("plugin", [objects, bound_token])
def test_a_kubeconfig_is_found_beside_the_playbook(server, plugin, tmp_path, monkeypatch):
    """As by the modules; one from the environment is in the working directory of ansible-playbook."""
    config = {"clusters": [{"name": "c", "cluster": {"server": server.url}}], "contexts": [{"name": "c", "context": {"cluster": "c"}}], "current-context": "c"}
    for path in ("play/files/found", "elsewhere/last"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path / "elsewhere")
    lookup = plugin.LookupModule(loader=DataLoader())
    lookup._load_name = lookup.ansible_name = plugin.__name__.rpartition(".")[2]
    options, variables = ({"kind": "ConfigMap"} if plugin is objects else {}), {"ansible_search_path": [str(tmp_path / "play")]}
    for path in ("found", "last", str(tmp_path / "play/files/found")):
        assert lookup.run([], variables, kubeconfig=path, namespace="default", **options) is not None
        assert lookup.get_option("kubeconfig") == str(tmp_path / ("elsewhere/last" if path == "last" else "play/files/found"))


def test_cluster_info_is_the_version_or_the_groups(server):
    assert look_up(objects, host=server.url, cluster_info="version") == [{"kubernetes": {"major": "1", "gitVersion": "v1.36.0"}}]
    assert look_up(objects, host=server.url, cluster_info="api_groups") == [[""]]


@pytest.mark.parametrize(
    ("terms", "options", "message"),
    [
        ([""], {"kind": "Pod"}, "terms: must be names of objects, got ''"),
        ([None], {"kind": "Pod"}, "terms: must be names of objects, got None"),
        ([{"a": 1}], {"kind": "Pod"}, "terms: must be names of objects"),
        ([], {"kind": "Pod", "resource_name": ""}, "terms: must be names of objects"),
        ([], {}, "kind: must be set"),
        ([], {"kid": "Pod"}, "kid: unknown option; did you mean kind?"),
        (["a"], {"resource_definition": MANIFEST}, "resource_definition: must not be set with names"),
        ([], {"resource_definition": MANIFEST, "src": "x"}, "src: must not be set with resource_definition"),
        ([], {"resource_definition": {"kind": "Pod"}}, "resource_definition: must be manifests with kind and metadata.name"),
        ([], {"resource_definition": "a: [", "kind": "Pod"}, "resource_definition"),
        ([], {"src": "/no/such/file"}, "src: must be a file, got '/no/such/file'"),
        ([], {"cluster_info": "version", "kind": "Pod"}, "cluster_info: must not be set with kind"),
        (["a"], {"cluster_info": "version"}, "cluster_info: must not be set with terms"),
        ([], {"cluster_info": "nope"}, "cluster_info"),
    ],
)
def test_invalid_terms_and_options_are_refused_before_the_first_request(server, terms, options, message):
    before = len(server.calls)
    with pytest.raises(AnsibleError, match=message):
        look_up(objects, *terms, host=server.url, **options)
    assert len(server.calls) == before


@pytest.mark.parametrize("term", ["", None, {"a": 1}])
def test_names_of_service_accounts_are_names(server, term):
    with pytest.raises(AnsibleError, match="terms: must be names of objects"):
        look_up(bound_token, term, host=server.url)


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=12), lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(terms=st.lists(VALUES, max_size=3), kind=st.sampled_from(["ConfigMap", "Secret", "secrets"]) | st.text(max_size=8))
def test_any_terms_return_those_objects_or_a_clear_error(server, terms, kind):
    try:
        found = look_up(objects, *terms, host=server.url, kind=kind, namespace="default")
    except AnsibleError as error:
        assert "Internal error" not in str(error) and CANARY not in str(error)
    else:
        assert not terms or all(item["metadata"]["name"] in json.dumps(terms) for item in found)
        assert base64.b64encode(CANARY.encode()).decode() not in json.dumps(found)


def test_filter_appends_the_hash_of_the_content():
    assert k8s_config_resource_name({"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"level": "debug"}}) == "settings-28b4m4ff52"


@pytest.mark.parametrize(
    "value", [None, "text", {}, {"kind": "Pod", "metadata": {"name": "a"}}, {"kind": "Secret"}, {"kind": "Secret", "metadata": {"name": 5}}]
)
def test_filter_refuses_what_has_no_such_name(value):
    with pytest.raises(AnsibleFilterError, match="must be the manifest of a ConfigMap or Secret"):
        k8s_config_resource_name(value)
