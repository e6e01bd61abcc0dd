# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Misspelled variables of the playbooks, which Ansible would ignore."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.lookup import playbook_faults
from ansible_collections.podwright.core.plugins.lookup.playbook_faults import ROOT, LookupModule, find_misspelled, read_names

from ..support.documents import read_yaml


@pytest.mark.parametrize(
    ("playbook", "names", "meant"),
    [
        ("run", ["podwright_expct"], "podwright_expect"),
        ("run", ["podwright_expected"], "podwright_expect"),
        ("provision", ["podwright_namespce"], "podwright_namespace"),
        ("run", ["podwright_task"], "podwright_tasks"),
        ("gc", ["podwright_plan-file"], "podwright_plan_file"),
        ("run", ["podwright_Expect"], "podwright_expect"),
        ("run", ["PODWRIGHT_EXPECT"], "podwright_expect"),
        ("run", ["podwrigth_expect"], "podwright_expect"),
        ("run", ["podright-expect"], "podwright_expect"),
        ("run", ["expect"], None),
        ("run", ["podman_expect"], None),
        ("gc", ["podwright_namespace"], "podwright_namespaces"),
        ("provision", ["podwright_namespaces"], "podwright_namespace"),
        ("gc", ["podwright_namespace", "podwright_namespaces"], None),  # one file of variables for several playbooks
        ("run", ["podwright_expect"], None),
        ("run", ["podwright_kubeconfig"], None),  # of the connection plugin
        ("run", ["podwright_image"], None),  # of a user's own
        ("run", ["expct", 1], None),
    ],
)
def test_a_name_that_is_nearly_one_of_the_playbook_is_a_fault(playbook, names, meant):
    faults = find_misspelled(names, read_names(playbook))
    assert list(faults.values()) == ([f"{names[0]}: is not read by this playbook; did you mean {meant}?"] if meant else [])


def test_a_variable_of_another_playbook_is_refused_unless_both_are_set(monkeypatch):
    """The default of the one that is meant would be deleted."""
    given = {"podwright_namespaces": ["a"], "podwright_Expect": "b"}
    monkeypatch.setattr(playbook_faults, "load_extra_vars", lambda _loader: given)
    assert LookupModule().run(["provision"]) == [
        "podwright_Expect: is not read by this playbook; did you mean podwright_expect?",
        "podwright_namespaces: is not read by this playbook; did you mean podwright_namespace? Set both if these variables are for several playbooks.",
    ]
    given |= {"podwright_namespace": "a", "podwright_expect": "b"}
    assert LookupModule().run(["provision"]) == []


def test_each_playbook_checks_the_names_first():
    found = {}
    for path in (ROOT / "playbooks").glob("*.yml"):
        play = read_yaml(path.read_text())[0]
        first = (play.get("tasks") or [{}])[0]
        imported = first.get("ansible.builtin.import_tasks") or play.get("ansible.builtin.import_playbook")
        found[path.stem] = (imported, first.get("vars", {}).get("checked_playbook"))
    checked = {name: ("tasks/check_variables.yml", name) for name in found}
    assert found == checked | dict.fromkeys(["demo", "teardown"], ("provision.yml", None))
