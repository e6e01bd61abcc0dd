# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The place of the tests: the repository, its virtual environment and the cluster."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
KUBECONFIG = os.environ.get("KUBECONFIG", "")
