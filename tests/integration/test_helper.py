# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A helper container resolves the symbolic links of its target container in the root directory of that one."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Container
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy

from ..support.operations import call
from ..support.pods import run_script, start_pod

LINKS = (
    "mkdir -p /tmp/deep /a/b && ln -s /tmp /var-run && ln -s ../../second /a/b/first && ln -s /tmp/deep /second && ln -s /loop /loop && ln -s /later /dangling"
)


@pytest.fixture
def linked(client, namespace):
    """A Container with absolute, relative, circular and dangling links."""
    start_pod(client, namespace, "linked")
    assert run_script(client, Container(namespace, "linked"), LINKS)[0] == 0
    return Container(namespace, "linked")


def test_helper_resolves_absolute_links_in_the_target_container(client, linked, tmp_path):
    tree, back = tmp_path / "tree", tmp_path / "back"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_text("text")
    for remote_path, directory in (("/var-run", "/tmp"), ("/a/b/first/new", "/tmp/deep/new"), ("/dangling", "/later"), ("/a/../var-run/./x", "/tmp/x")):
        copy = {"pod": linked.pod, "method": "helper", "remote_path": remote_path, "local_path": str(tree)}
        first, second = (call(pod_copy, copy, linked.namespace) for _run in range(2))
        assert first.get("msg") is None and first["changed"] and not second["changed"], (remote_path, first, second)
        assert run_script(client, linked, f"cat {directory}/sub/file") == (0, b"text"), remote_path
        copy |= {"state": "from_pod", "remote_path": f"{remote_path}/sub/file", "local_path": str(back)}
        assert call(pod_copy, copy, linked.namespace)["changed"] and back.read_text() == "text"
        back.unlink()
    assert "too many symbolic links" in call(pod_copy, copy | {"remote_path": "/loop/x"}, linked.namespace)["msg"]


def test_helper_does_not_follow_links_out_of_a_directory(client, linked, tmp_path):
    run_script(client, linked, "mkdir -p /t/sub; echo in > /t/file; ln -s ../file /t/sub/inside")
    copy = {"pod": linked.pod, "method": "helper", "state": "from_pod", "remote_path": "/t", "local_path": str(tmp_path / "t"), "follow": True}
    assert call(pod_copy, copy, linked.namespace).get("msg") is None
    assert (tmp_path / "t/sub/inside").read_text() == "in\n" and not (tmp_path / "t/sub/inside").is_symlink()
    run_script(client, linked, "ln -s /etc/passwd /t/outside")
    refused = call(pod_copy, copy, linked.namespace)
    assert refused["reason"] == "HelperRefused" and "outside" in refused["msg"]


def test_chain_of_links_out_of_a_directory_is_skipped(client, linked, tmp_path):
    run_script(client, linked, "mkdir -p /chain/a/b; ln -s .. /chain/a/b/up; ln -s a/b/up/../../.. /chain/out")
    copy = {"pod": linked.pod, "state": "from_pod", "remote_path": "/chain", "local_path": str(tmp_path / "chain")}
    assert call(pod_copy, copy, linked.namespace)["changed"]
    assert (tmp_path / "chain/a/b/up").is_symlink() and not (tmp_path / "chain/out").is_symlink()
