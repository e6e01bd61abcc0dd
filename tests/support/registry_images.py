# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images that are in the registry of the local cluster, but not on its node."""

from __future__ import annotations

import uuid

from ..cluster import images
from ..cluster.configuration import Layout
from .environment import CLUSTER, CLUSTER_NUMBER


def push_new_image() -> str:
    """Push an image without a shell, whose /bin/sleep is a program, under a new name. Returns: the name."""
    name = f"docker.io/podwright/new-{uuid.uuid4().hex[:8]}:1"
    image = images.Image(name, ["/nothing"], {"bin/sleep": images.BUSYBOX.read_bytes(), "id": name.encode()}, User="12345")
    image.push(f"http://{Layout(CLUSTER, CLUSTER_NUMBER).node_address}:5000")
    return name.removeprefix("docker.io/")
