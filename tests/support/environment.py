# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The place of the tests: the repository and the cluster; and their size: PODWRIGHT_SCALE times that which they have in `make test`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
# The programs of each ansible-core that tests run: that of this Python (in .venv the newest one), and beside it the oldest.
CORES = {"this": BIN} | ({"oldest": BIN.parent / "oldest/bin"} if BIN == ROOT / ".venv/bin" else {})
CLUSTER = ROOT / os.environ.get("PODWRIGHT_CLUSTER_STATE", ".cluster")  # state directory of the local cluster
CLUSTER_NUMBER = int(os.environ.get("PODWRIGHT_CLUSTER_NUMBER", "0"))
KUBECONFIG = os.environ.get("KUBECONFIG", "")
SCALE = float(os.environ.get("PODWRIGHT_SCALE", "1"))


def scaled(count: int) -> int:
    """How many cases a test tries that tries `count` of them in `make test`."""
    return max(1, round(count * SCALE))
