# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A helper container sees the files of another: what is an absolute link there is not one for the helper."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Container
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy

from .conftest import start
from .test_hygiene import call
from .test_streams import run

LINKS = (
    "mkdir -p /tmp/deep /a/b && ln -s /tmp /var-run && ln -s ../../second /a/b/first && ln -s /tmp/deep /second && ln -s /loop /loop && ln -s /later /dangling"
)


@pytest.fixture
def linked(client, namespace):
    """A Container with links of every kind."""
    start(client, namespace, "linked")
    assert run(client, Container(namespace, "linked"), LINKS)[0] == 0
    return Container(namespace, "linked")


def test_absolute_links_lead_into_the_container(client, linked, tmp_path):
    tree, back = tmp_path / "tree", tmp_path / "back"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_text("text")
    for remote_path, place in (("/var-run", "/tmp"), ("/a/b/first/new", "/tmp/deep/new"), ("/dangling", "/later"), ("/a/../var-run/./x", "/tmp/x")):
        copy = {"pod": linked.pod, "method": "helper", "remote_path": remote_path, "local_path": str(tree)}
        first, second = (call(pod_copy, copy, linked.namespace) for _turn in range(2))
        assert first.get("msg") is None and first["changed"] and not second["changed"], (remote_path, first, second)
        assert run(client, linked, f"cat {place}/sub/file") == (0, b"text"), remote_path
        copy |= {"state": "from_pod", "remote_path": f"{remote_path}/sub/file", "local_path": str(back)}
        assert call(pod_copy, copy, linked.namespace)["changed"] and back.read_text() == "text"
        back.unlink()
    assert "too many symbolic links" in call(pod_copy, copy | {"remote_path": "/loop/x"}, linked.namespace)["msg"]


def test_links_out_of_a_tree_are_not_followed_by_a_helper(client, linked, tmp_path):
    run(client, linked, "mkdir -p /t/sub; echo in > /t/file; ln -s ../file /t/sub/inside")
    copy = {"pod": linked.pod, "method": "helper", "state": "from_pod", "remote_path": "/t", "local_path": str(tmp_path / "t"), "follow": True}
    assert call(pod_copy, copy, linked.namespace).get("msg") is None
    assert (tmp_path / "t/sub/inside").read_text() == "in\n" and not (tmp_path / "t/sub/inside").is_symlink()
    run(client, linked, "ln -s /etc/passwd /t/outside")
    refused = call(pod_copy, copy, linked.namespace)
    assert refused["reason"] == "HelperRefused" and "outside" in refused["msg"]


def test_a_chain_of_links_that_leaves_the_tree_is_left_out(client, linked, tmp_path):
    run(client, linked, "mkdir -p /chain/a/b; ln -s .. /chain/a/b/up; ln -s a/b/up/../../.. /chain/out")
    copy = {"pod": linked.pod, "state": "from_pod", "remote_path": "/chain", "local_path": str(tmp_path / "chain")}
    assert call(pod_copy, copy, linked.namespace)["changed"]
    assert (tmp_path / "chain/a/b/up").is_symlink() and not (tmp_path / "chain/out").is_symlink()
