# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans as a table of data files: each case in plans/ has a desired state, a live state and the planned changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, Kind
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import clean, key_of
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.members import Member
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.plan import plan

from ..support.documents import read_yaml

CASES = [
    pytest.param(case, id=f"{path.stem}-{case['case']}")
    for path in sorted((Path(__file__).parent / "plans").glob("*.yml"))
    for case in read_yaml(path.read_text())
]


def keyed(manifests):
    """Mapping Key -> (Kind, manifest)."""
    found = {}
    for manifest in manifests:
        names = manifest["apiVersion"], manifest["kind"]
        kind = BUILT_IN.get(names) or Kind(*names, f"{names[1].lower()}s")
        found[key_of(manifest, kind)] = (kind, manifest)
    return found


@pytest.mark.parametrize("case", CASES)
def test_plan(case):
    desired = keyed([clean(manifest) for manifest in case.get("desired", [])])
    live = {key: manifest for key, (_kind, manifest) in keyed(case.get("live", [])).items()}
    autoscaled = {key for key in desired if key.name in case.get("autoscaled", [])}
    prune = [Member(kind, key, item) for key, (kind, item) in keyed(case.get("prune", [])).items()]
    changes = plan(desired, live, "podwright", autoscaled, prune)
    planned = [{"action": c.action, "object": f"{c.key.kind}/{c.key.name}"} | ({"patch": c.patch} if c.action == "patch" else {}) for c in changes]
    assert planned == case["changes"]
