# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API server's audit log: the requests that were really sent."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import yaml

Entry = dict[str, Any]


class AuditLog:
    """The log from now on, and a user of its own whose requests it finds among those of tests that run at the same time.

    Args:
        log: the file that the API server writes.
        kubeconfig: of the administrator, who impersonates the user.
        directory: for the user's kubeconfig.

    Attributes:
        user: the user's name.
        kubeconfig: the user's kubeconfig; the user may do everything.
    """

    def __init__(self, log: Path, kubeconfig: str, directory: Path):
        self._log, self._start = log, log.stat().st_size
        self.user = f"audited-{uuid.uuid4().hex[:8]}"
        self.kubeconfig = directory / f"{self.user}.kubeconfig"
        config = yaml.safe_load(Path(kubeconfig).read_text())
        config["users"][0]["user"] |= {"as": self.user, "as-groups": ["system:masters"]}
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def entries(self, user: str | None = None) -> list[Entry]:
        """The entries of a user's requests (by default this log's own user), in the order in which they were answered."""
        name = user or self.user
        with self._log.open("rb") as source:
            source.seek(self._start)
            lines = [line for line in source.read().splitlines() if name.encode() in line and line.endswith(b"}")]
        found = [json.loads(line) for line in lines]
        return [entry for entry in found if _user_of(entry) == name and entry["stage"] in ("ResponseComplete", "ResponseStarted")]


def _user_of(entry: Entry) -> str:
    name: str = (entry.get("impersonatedUser") or entry["user"])["username"]
    return name
