# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an autoscaler scales a deployment, whose replicas a new version keeps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..cluster.kinds import AUTOSCALER
from ..errors import PodwrightError
from ..objects.labels import AUTOSCALED, annotation_of
from ..reconciler.observation import target_of
from .manifests import GENERATION_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..cluster.client import Client
    from ..console import Console
    from ..values import Manifest


def is_autoscaled(client: Client, namespace: str, name: str, deployments: Iterable[Manifest], console: Console) -> bool:
    """Whether an autoscaler, or pod_autoscale itself, scales any generation of a deployment; False with a warning if autoscalers must not be listed.

    Also one that does not exist any more: its autoscaler has not been given the generation that replaced it.
    """
    if any(annotation_of(item, AUTOSCALED) for item in deployments):
        return True
    try:
        targets = list(map(target_of, client.list(AUTOSCALER, namespace)[0]))
    except PodwrightError as error:
        if not error.is_forbidden:
            raise
        console.warn(f"Whether an autoscaler scales deployment '{name}', whose replicas are about to be set, is unknown: {error}")
        return False
    generation = re.compile(rf"{re.escape(name)}(-[0-9a-f]{{{GENERATION_LENGTH}}})?")
    return any((target.group, target.kind) == ("apps", "Deployment") and generation.fullmatch(target.name) for target in targets)
