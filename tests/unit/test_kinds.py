# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Discovery of the kinds that an API server serves."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD, Kinds
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import UNKNOWN_KIND, PodwrightError

GROUP, VERSION = "shop.example.com", "shop.example.com/v1"
GADGET = {"kind": "Gadget", "name": "gadgets", "namespaced": True}


class Discovery:
    """The discovery documents of an API server, and the paths that were requested."""

    def __init__(self):
        self.resources, self.requests = [], []

    def fetch(self, path):
        self.requests.append(path)
        if path == f"/apis/{GROUP}":
            return {"preferredVersion": {"groupVersion": VERSION}, "versions": [{"groupVersion": VERSION}, {"groupVersion": f"{GROUP}/v2"}]}
        return {"resources": self.resources}


@pytest.mark.parametrize("name", ["pod/web", "shop/web", "a%2Fb", "/"])
def test_a_name_with_a_slash_is_refused_before_it_is_requested(name):
    for arguments in ((name, "web"), ("shop", name)):
        with pytest.raises(PodwrightError, match="must not contain '/' or '%'") as caught:
            POD.path(*arguments)
        assert caught.value.reason == "BadName" and repr(name) in caught.value.message and "without a kind" in caught.value.hint


def test_a_kind_is_found_once_it_is_served_although_its_group_was_listed_before():
    discovery = Discovery()
    kinds = Kinds(discovery.fetch)
    with pytest.raises(PodwrightError) as caught:
        kinds.find_served(GROUP, "Gadget")
    assert caught.value.reason == UNKNOWN_KIND and kinds.find_if_served(GROUP, "Gadget") is None
    discovery.resources.append(GADGET)
    assert kinds.find_served(GROUP, "Gadget").plural == "gadgets"


def test_a_kind_that_was_found_is_not_discovered_again():
    discovery = Discovery()
    discovery.resources.append(GADGET)
    kinds = Kinds(discovery.fetch)
    found = [kinds.resolve(VERSION, "Gadget") for _time in range(3)]
    assert found[0] == found[2] and discovery.requests == [f"/apis/{VERSION}"]


def definition(served, *versions):
    names = {"kind": "Gadget", "plural": "gadgets"}
    entries = [{"name": version, "served": version in served} for version in versions]
    return {"kind": "CustomResourceDefinition", "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": entries}}


def test_a_kind_has_the_subresource_status_that_the_server_serves():
    discovery = Discovery()
    discovery.resources += [GADGET, {"kind": "Widget", "name": "widgets", "namespaced": True}, GADGET | {"name": "gadgets/status"}]
    kinds = Kinds(discovery.fetch)
    assert [kinds.resolve(VERSION, name).has_status for name in ("Gadget", "Widget")] == [True, False] and POD.has_status
    for subresources, expected in (({"status": {}}, True), ({"scale": {}}, False), (None, False)):
        described = definition(["v1"], "v1")
        described["spec"]["versions"][0]["subresources"] = subresources
        kinds.define(described)
        assert kinds.resolve(VERSION, "Gadget").has_status is expected


def test_a_definition_replaces_the_served_versions():
    discovery = Discovery()
    discovery.resources.append(GADGET)
    kinds = Kinds(discovery.fetch)
    kinds.define(definition(["v2", "v3"], "v1", "v2", "v3"))
    assert kinds.resolve(f"{GROUP}/v3", "Gadget").plural == "gadgets" and discovery.requests == []
    with pytest.raises(PodwrightError, match=r"its definition among the manifests does not serve shop\.example\.com/v1, but shop\.example\.com/v2") as caught:
        kinds.resolve(VERSION, "Gadget")
    assert "Set api_version to shop.example.com/v2" in caught.value.hint


@pytest.mark.parametrize(("version", "former"), [("v3", VERSION), ("v1", None), ("v2", None)])
def test_a_kind_has_a_former_version_if_the_server_does_not_serve_this_one(version, former):
    discovery = Discovery()
    discovery.resources.append(GADGET)
    kinds = Kinds(discovery.fetch)
    kinds.define(definition(["v1", "v2", "v3"], "v1", "v2", "v3"))
    found = kinds.find_former(kinds.resolve(f"{GROUP}/{version}", "Gadget"))
    assert (found and found.api_version) == former and kinds.find_former(POD) is None


@pytest.mark.parametrize(
    ("api_version", "kind", "successor"),
    [
        ("extensions/v1beta1", "Ingress", "networking.k8s.io/v1"),
        ("extensions/v1beta1", "Deployment", "apps/v1"),
        ("policy/v1beta1", "PodDisruptionBudget", "policy/v1"),
        ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "autoscaling/v2"),
        (f"{GROUP}/v1alpha1", "Gadget", VERSION),
        (f"{GROUP}/v1alpha1", "Other", None),
        ("other.example.com/v1", "Gadget", None),
    ],
)
def test_a_kind_of_a_version_that_is_not_served_comes_with_the_version_that_is(api_version, kind, successor):
    discovery = Discovery()
    discovery.resources.append(GADGET)

    def fetch(path):
        if path == f"/apis/{GROUP}/v2":
            raise PodwrightError("the server is currently unable to handle the request", status=503)
        return discovery.fetch(path) if path in (f"/apis/{GROUP}", f"/apis/{VERSION}") else None

    with pytest.raises(PodwrightError) as caught:
        Kinds(fetch).resolve(api_version, kind)
    assert caught.value.message.startswith(f"Kind '{kind}' not found in {api_version}; the API server does not serve {api_version}")
    hint = f"Set api_version to {successor}, which has this kind" if successor else "Install its definition first, or correct api_version and kind"
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize("name", ["Gadget", "Widget"])
def test_a_kind_is_searched_in_the_groups_whose_server_is_up(name):
    """The API server serves an aggregated API as long as its APIService exists."""

    def fetch(path):
        if path == "/apis":
            return {"groups": [{"preferredVersion": {"groupVersion": version}} for version in ("metrics.example.com/v1", VERSION)]}
        if path == "/apis/metrics.example.com/v1":
            raise PodwrightError("the server is currently unable to handle the request", status=503)
        return {"resources": [GADGET] if path == f"/apis/{VERSION}" else []}

    if name == "Gadget":
        assert Kinds(fetch).find(None, name).api_version == VERSION
        return
    with pytest.raises(PodwrightError, match=r"Kind 'Widget' not found in any API group; .*; metrics.example.com/v1 cannot be read\.") as caught:
        Kinds(fetch).find(None, name)
    assert caught.value.reason == UNKNOWN_KIND
