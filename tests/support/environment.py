# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The place of the tests: the repository and the cluster; and their size: PODWRIGHT_SCALE times that which they have in `make test`."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
KUBECONFIG = os.environ.get("KUBECONFIG", "")
SCALE = float(os.environ.get("PODWRIGHT_SCALE", "1"))


def scaled(count: int) -> int:
    """How many cases a test tries that tries `count` of them in `make test`."""
    return max(1, round(count * SCALE))
