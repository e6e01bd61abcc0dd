# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files that `src` of resource_set names: one, or those of a directory."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.podwright.core.plugins.action import resource_set
from ansible_collections.podwright.core.plugins.action.resource_set import ActionModule

from .stub_server import Response, StubServer


class Action(ActionModule):
    """The action of a task beside no playbook."""

    def __init__(self):
        self._loader = SimpleNamespace(get_real_file=str)

    def _find_needle(self, dirname, needle):
        return str(needle)


@pytest.fixture
def write(tmp_path):
    """A function that writes a file of the directory."""

    def write_file(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write_file


def read(path):
    return Action().prepare({"src": str(path), "set": "web"}, {})["definition"]


def test_the_files_of_a_directory_are_read_in_the_order_of_their_paths(write, tmp_path):
    for name in ("b.yml", "a/c.json", "a/b.yaml", "B.yml"):
        write(name, f'{{"kind": "ConfigMap", "metadata": {{"name": "{name}"}}}}')
    for name in ("README.md", ".hidden.yml", ".git/x.yml", "a.yml.orig"):
        write(name, "not: a manifest: {")
    write("z.yml", "kind: List\nitems: [{kind: Pod}, {kind: Service}]\n---\n")
    found = read(tmp_path)
    assert [item.get("metadata", {}).get("name", item["kind"]) for item in found] == ["B.yml", "a/b.yaml", "a/c.json", "b.yml", "Pod", "Service"]
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert len(read(tmp_path / "link")) == 2


def test_files_that_describe_an_object_differently_are_named(write, tmp_path):
    write("a.yml", "{apiVersion: v1, kind: Namespace, metadata: {name: n}}")
    write("b.yml", "{apiVersion: v1, kind: Namespace, metadata: {name: n}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: n, namespace: m}}")
    write("c.yml", "{apiVersion: v1, kind: Pod, metadata: {name: n}}\n---\n{kind: Pod, metadata: {name: n}}\n---\n{kind: Pod, metadata: 5}")
    assert len(read(tmp_path)) == 6  # those that are equal are one, which the operation sees to
    write("d.yml", "{apiVersion: v1, kind: Namespace, metadata: {name: n, labels: {a: b}}}")
    with pytest.raises(AnsibleActionFail) as caught:
        read(tmp_path)
    assert f"{tmp_path}/a.yml and {tmp_path}/d.yml describe Namespace 'n' differently" in str(caught.value)
    for options in ({"state": "patched"}, {"append_hash": True}, {"label_selectors": ["a"]}, {"ignored_fields": ["metadata.labels"]}):
        assert len(Action().prepare({"src": str(tmp_path), **options}, {})["definition"]) == 7


def test_a_link_to_a_directory_below_src_is_refused_unless_it_is_hidden(write, tmp_path):
    """As in a mounted ConfigMap, whose files are links into a hidden directory."""
    write("src/..2026/a.yml", "kind: Pod")
    (tmp_path / "src/..data").symlink_to("..2026")
    (tmp_path / "src/a.yml").symlink_to("..data/a.yml")
    assert len(read(tmp_path / "src")) == 1
    write("shared/b.yml", "kind: Pod")
    (tmp_path / "src/shared").symlink_to("../shared")
    with pytest.raises(AnsibleActionFail, match=r"src: \S*/src/shared is a symbolic link to a directory, and these are not followed\. Replace it"):
        read(tmp_path / "src")


@pytest.mark.parametrize("name", ["a.yml", "directory/a.yml"])
def test_an_error_names_the_file_and_the_line(name, write, tmp_path):
    write(name, "kind: Pod\nmetadata: {\n")
    with pytest.raises(AnsibleActionFail, match=rf"The YAML of src {tmp_path}/{name} is invalid at line 3"):
        read(tmp_path / name.partition("/")[0])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [cm.yaml]", "A Kustomization is not a manifest. Render it with kubectl"),
        ("replicas: 3", "A document is not a manifest: it lacks kind. Every manifest"),
        ("just text", "A document is not a manifest: it lacks kind"),
    ],
)
def test_what_is_not_a_manifest_is_refused_with_its_file(text, problem, write, tmp_path):
    write("a.yml", "kind: Pod")
    write("b.yml", text)
    with pytest.raises(AnsibleActionFail, match=f"src {tmp_path}/b.yml: {problem}"):
        read(tmp_path)


def test_a_file_may_leave_the_kind_to_the_task(write, tmp_path):
    write("a.yml", "data: {a: b}")
    assert Action().prepare({"src": str(tmp_path), "kind": "ConfigMap", "name": "a"}, {})["definition"] == [{"data": {"a": "b"}}]


@pytest.mark.parametrize("text", ["", "---\n# nothing\n---\n", "kind: List\nitems: []\n"])
def test_a_source_without_manifests_is_refused_so_that_no_set_is_pruned(text, write, tmp_path):
    write("a.yml", text)
    for path in (tmp_path, tmp_path / "a.yml"):
        with pytest.raises(AnsibleActionFail, match=f"src: no manifests found in {path}"):
            read(path)
    with StubServer(lambda handler: Response(200, text.encode())) as server, pytest.raises(AnsibleActionFail, match="no manifests found in http"):
        read(server.url)


def test_an_empty_src_is_not_the_directory_of_the_play():
    assert Action().prepare({"src": "", "set": "web"}, {}) == {"src": "", "set": "web"}


def test_a_file_in_another_encoding_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "a.yml").write_bytes("kind: Pod".encode("utf-16"))
    with pytest.raises(AnsibleActionFail, match=r"src: file \S*/a.yml must be text in UTF-8. Save it in that encoding."):
        read(tmp_path / "a.yml")


def test_what_is_no_file_is_refused(write, tmp_path):
    os.mkfifo(tmp_path / "pipe.yml")
    with pytest.raises(AnsibleActionFail, match=r"src: .*/pipe.yml must be a file."):
        read(tmp_path)
    (tmp_path / "pipe.yml").unlink()
    (tmp_path / "broken.yml").symlink_to(tmp_path / "missing")
    with pytest.raises(AnsibleActionFail, match=r"src: .*/broken.yml must be a file."):
        read(tmp_path)


@pytest.mark.parametrize(
    ("rendered", "text"),
    [("[] # nothing", "[] # nothing"), ([], "[]"), ({"kind": "Pod"}, '{"kind": "Pod"}'), (None, ""), ("", "")],
)
def test_a_template_of_an_empty_list_is_one_with_every_ansible_core(rendered, text, monkeypatch):
    """ansible-core 2.16 returns such a text as data, and None if nothing is left of it."""
    monkeypatch.setattr(resource_set, "lookup_loader", SimpleNamespace(get=lambda *_name, **_options: SimpleNamespace(run=lambda *_terms, **_more: [rendered])))
    action = Action()
    action._templar = None
    assert action.prepare({"template": "a.j2", "set": "web"}, {})["definition"] == text
