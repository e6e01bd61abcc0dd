# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Misspelled variables of the playbooks, which Ansible would ignore."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.lookup.playbook_faults import ROOT, find_misspelled, read_names

from ..support.documents import read_yaml


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("podwright_expct", "podwright_expect"),
        ("podwright_expected", "podwright_expect"),
        ("podwright_namespce", "podwright_namespace"),
        ("podwright_task", "podwright_tasks"),
        ("podwright_plan-file", "podwright_plan_file"),
        ("podwright_expect", None),
        ("podwright_kubeconfig", None),  # of the connection plugin
        ("podwright_image", None),  # of a user's own
        ("expct", None),
    ],
)
def test_a_name_that_is_nearly_one_of_ours_is_a_fault(name, meant):
    faults = find_misspelled({name: "x", "other": 1}, read_names())
    assert faults == ([f"{name}: unknown variable, which would be ignored; did you mean {meant}?"] if meant else [])


def test_each_playbook_checks_the_names_first():
    imported = {}
    for path in (ROOT / "playbooks").glob("*.yml"):
        for play in read_yaml(path.read_text()):
            first = (play.get("tasks") or play.get("pre_tasks") or [{}])[0]
            imported.setdefault(path.stem, []).append(first.get("ansible.builtin.import_tasks") or play.get("ansible.builtin.import_playbook"))
    assert {name: found[0] for name, found in imported.items()} == dict.fromkeys(imported, "tasks/check_variables.yml") | dict.fromkeys(
        ["demo", "teardown"], "provision.yml"
    )
