# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Relative paths of what tasks read: beside the playbook, and in `files` of a role, as Ansible finds files."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ansible.parsing.dataloader import DataLoader

from ansible_collections.podwright.core.plugins.action import pod_copy, pod_exec, task_pod
from ansible_collections.podwright.core.plugins.plugin_utils import _operation_action


def action(module, tmp_path, is_local=True, become=False):
    """The action of a task in a role, whose play is in another directory."""
    loader = DataLoader()
    loader.set_basedir(str(tmp_path / "play"))
    made = module.ActionModule.__new__(module.ActionModule)
    made._loader = loader
    made._task = SimpleNamespace(get_search_path=lambda: [str(tmp_path / "role"), str(tmp_path / "play")], no_log=False, async_val=0)
    made._connection = SimpleNamespace(transport="local" if is_local else "ssh")
    made._play_context = SimpleNamespace(become=become)
    return made


@pytest.fixture
def files(tmp_path):
    for path in ("role/files/a", "role/files/tree/b", "play/files/c", "play/d"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", "role/files/a"),
        ("files/a", "role/files/a"),
        ("tree/", "role/files/tree/"),
        ("c", "play/files/c"),
        ("d", None),  # relative to the playbook, as before
        ("nothing", None),
        ("/etc/passwd", None),
        ("", None),
    ],
)
def test_a_path_is_found_as_ansible_finds_files(files, path, found):
    assert action(pod_copy, files).find_source(path) == (f"{files}/{found}" if found else path)


def test_the_directory_of_the_command_is_not_searched(files, monkeypatch):
    """Ansible runs local modules in the directory of the playbook, too."""
    (files / "elsewhere").mkdir()
    (files / "elsewhere/c").touch()
    monkeypatch.chdir(files / "elsewhere")
    assert action(pod_copy, files, become=True).find_source("c") == f"{files}/play/files/c"


@pytest.mark.parametrize(("path", "found"), [("a", "role/files/a"), ("c", "play/files/c"), ("d", "play/d"), ("e", "elsewhere/e"), ("nothing", None)])
def test_a_kubeconfig_in_the_directory_of_the_command_is_the_last_resort(files, path, found, monkeypatch):
    (files / "elsewhere").mkdir()
    for name in "acde":
        (files / "elsewhere" / name).touch()
    monkeypatch.chdir(files / "elsewhere")
    assert action(pod_exec, files)._find_kubeconfig({"kubeconfig": path}) == {"kubeconfig": f"{files}/{found}" if found else path}


def test_each_option_that_names_a_source_is_found(files):
    path = f"{files}/role/files/a"
    assert action(pod_copy, files).prepare({"local_path": "a"}, {}) == {"local_path": path}
    assert action(pod_copy, files).prepare({"local_path": "a", "state": "from_pod"}, {})["local_path"] == "a"
    assert action(pod_exec, files).prepare({"stdin_file": "a"}, {}) == {"stdin_file": path}
    given = {"inputs": [{"path": "/x", "src": "a"}, {"path": "/y", "content": "z"}], "tasks": [{"name": "t", "inputs": [{"path": "/x", "src": "a"}]}]}
    prepared = action(task_pod, files).prepare(given, {})
    assert [entry.get("src") for entry in (*prepared["inputs"], *prepared["tasks"][0]["inputs"])] == [path, None, path]
    assert given["inputs"][0]["src"] == "a"
    for odd in ({"inputs": "text", "tasks": "text"}, {"inputs": ["text"], "tasks": ["text"]}, {}):
        assert action(task_pod, files).prepare(odd, {}) == odd
    assert action(pod_copy, files, is_local=False).prepare({"local_path": "a"}, {})["local_path"] == "a"


@pytest.mark.parametrize(
    ("given", "prepared"),
    [
        ({"state": "absent", "set": "s", "name": None}, {"state": "absent", "set": "s", "name": ""}),
        ({"state": "absent", "set": "s", "tasks": None}, {"state": "absent", "set": "s", "tasks": []}),
        ({"state": "absent", "set": "s", "tasks": [{"name": "a"}], "name": None}, {"state": "absent", "set": "s", "tasks": [{"name": "a"}], "name": None}),
        ({"state": "absent", "set": "s"}, {"state": "absent", "set": "s"}),
        ({"set": "s", "name": None}, {"set": "s", "name": None}),
    ],
)
def test_a_template_that_yields_null_does_not_mean_the_whole_set(files, given, prepared):
    assert action(task_pod, files).prepare(given, {}) == prepared


def test_the_directory_of_the_command_need_not_be_readable(tmp_path, monkeypatch):
    def open_directory(path, flags):
        if not flags & os.O_PATH:
            raise PermissionError(path)
        return original(path, flags)

    original = os.open
    (tmp_path / "play").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_operation_action.os, "open", open_directory)
    with _operation_action._directory(str(tmp_path / "play")):
        assert os.getcwd() == str(tmp_path / "play")
    assert os.getcwd() == str(tmp_path)


def test_an_operation_runs_although_the_directory_of_the_command_cannot_be_opened(tmp_path, monkeypatch):
    def refuse(path, flags):
        raise PermissionError(path)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "play").mkdir()
    monkeypatch.setattr(_operation_action.os, "open", refuse)
    with _operation_action._directory(str(tmp_path / "play")):
        assert os.getcwd() == str(tmp_path / "play")
