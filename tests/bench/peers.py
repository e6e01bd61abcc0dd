# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The programs and libraries that Podwright is measured beside: what is installed of them, and why one is not."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from ..support.environment import ROOT

ENVIRONMENT = ROOT / ".venv/bench"
COLLECTION = "ansible_collections/kubernetes/core/"
ANSIBLE, KR8S = "ansible==12.3.0", "kr8s==0.20.15"  # the former brings kubernetes.core 6.2.0


@dataclass
class Peers:
    """What is installed.

    Attributes:
        kubectl: its path; empty if there is none.
        python: of the environment with kubernetes.core and kr8s, None if that cannot be installed.
        versions: {name: version}
        absent: {name: why it is missing}
    """

    kubectl: str = ""
    python: Path | None = None
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def why_not(self, name: str, takes_long: bool = False) -> str:
        """Why a peer is not measured; empty if it is."""
        return self.absent.get(name, "") or ("not measured at this size: it takes many minutes" if takes_long else "")


def find_peers() -> Peers:
    """Find kubectl, and install kubernetes.core and kr8s in an environment of their own, with the same versions of Ansible and the Kubernetes client."""
    peers = Peers(kubectl=shutil.which("kubectl") or "")
    if peers.kubectl:
        done = subprocess.run([peers.kubectl, "version", "--client"], capture_output=True, text=True, check=False)
        peers.versions["kubectl"] = done.stdout.partition("\n")[0].rpartition(" ")[2]
    else:
        peers.absent["kubectl"] = "kubectl is not installed"
    try:
        peers.versions |= _install()
        peers.python = ENVIRONMENT / "bin/python"
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        peers.absent |= dict.fromkeys(("kubernetes.core", "kr8s"), f"could not be installed: {reason}")
    return peers


def _install() -> dict[str, str]:
    """Create the environment if it is not complete. Returns: the versions."""
    same = [f"{name}=={importlib.metadata.version(name)}" for name in ("ansible-core", "kubernetes")]
    wanted, complete = "\n".join([*same, ANSIBLE, KR8S]), ENVIRONMENT / ".complete"
    site = ENVIRONMENT / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    if not complete.exists() or complete.read_text() != wanted:
        command = [str(ROOT / "tests/tools/make-venv"), sys.executable, str(ENVIRONMENT), *same, KR8S]
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        with tempfile.TemporaryDirectory() as directory:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", directory, ANSIBLE]
            subprocess.run(pip, check=True, capture_output=True, text=True)
            with zipfile.ZipFile(next(Path(directory).glob("*.whl"))) as wheel:
                wheel.extractall(site, [name for name in wheel.namelist() if name.startswith(COLLECTION)])
        complete.write_text(wanted)
    return {"kubernetes.core": "6.2.0", "kr8s": KR8S.partition("==")[2]} | dict(part.split("==") for part in same)
