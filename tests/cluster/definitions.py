# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Custom resource definitions of other projects from their pinned Go modules, so that the API server validates our objects."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import yaml

from .build import find_go

# module@version, its checksum as in go.sum, and the directory of its definitions
MODULES = {
    "keda": ("github.com/kedacore/keda/v2@v2.17.2", "h1:xlrcK5TKABJF9PebK79sgL07s/csGjL3H4m72OkZXxk=", "config/crd/bases"),
    "gateway": ("sigs.k8s.io/gateway-api@v1.3.0", "h1:q6okN+/UKDATola4JY7zXzx40WO4VISk7i9DIfOvr9M=", "config/crd/standard"),
    "kueue": ("sigs.k8s.io/kueue@v0.12.3", "h1:BwpNe6CSwkP6Y9KiaWPB9eye4cj7RUMs5Q1vbzPNB3I=", "config/components/crd/bases"),
}


def read_definition(project: str, file: str) -> dict:
    """A CustomResourceDefinition of a project. Raises: SystemExit if its module cannot be downloaded or does not match the checksum."""
    module, checksum, directory = MODULES[project]
    environment = os.environ | {"GONOSUMDB": "*", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    done = subprocess.run([find_go(), "mod", "download", "-json", module], env=environment, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout or "{}")
    if found.get("Sum") != checksum:
        raise SystemExit(f"Could not download {module} with checksum {checksum}: {found.get('Error') or found.get('Sum') or done.stderr}")
    definition = yaml.safe_load((Path(found["Dir"]) / directory / file).read_text(encoding="utf-8"))
    # Their conversion webhooks are not installed.
    definition["spec"].pop("conversion", None)
    return definition
