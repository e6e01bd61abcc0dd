# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docs/security.md lists the permissions that the role rbac grants. That modules use exactly these, test_rbac.py shows on a cluster."""

from __future__ import annotations

import re

import pytest

from ..support.environment import ROOT
from ..support.permissions import PURPOSES, RULES, Permission, documented, expand


@pytest.mark.parametrize("purpose", sorted(set(PURPOSES.values())))
def test_purpose_grants_what_its_modules_need(purpose):
    listed = [permissions for module, entry in documented().items() for permissions in entry if PURPOSES[module] == purpose]
    assert set().union(*listed) == expand(RULES[purpose])


def test_each_module_has_a_purpose_and_an_entry():
    modules = {path.stem for path in (ROOT / "plugins/modules").glob("*.py")} - {"resource_set"}  # which needs what its manifests need
    assert modules == set(PURPOSES) == set(documented())
    for entry in documented().values():
        assert not entry.needed & entry.comfort


def test_purposes_and_modules_agree_with_the_guide():
    rows = re.findall(r"^\| `(\w+)` \| (`.*?) \|", (ROOT / "docs/guides/namespaces.md").read_text(), re.MULTILINE)
    for purpose, text in rows:
        if purpose in RULES:
            assert {name for name in re.findall(r"`(\w+)`", text) if name in PURPOSES} == {name for name, its in PURPOSES.items() if its == purpose}


def test_verbs_of_the_table_are_read():
    assert documented()["pod_autoscale"].needed >= {Permission("patch", "apps", "deployments/scale"), Permission("list", "metrics.k8s.io", "pods")}
