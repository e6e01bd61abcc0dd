# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of one file, as Ansible requests them from its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..console import Console
from .download import Download
from .local import LocalTree
from .plan import CopyOptions, Plan
from .remote import ContainerTree
from .tree import FILE, ROOT
from .upload import Upload

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.exec_command import Container


def put_file(client: Client, container: Container, local_path: str, path: str) -> None:
    """Copy a file of this host to a path in the container. Raises: PodwrightError."""
    local, remote = LocalTree(local_path), ContainerTree(client, container, path)
    Upload(local, remote, local.observe(Console()), CopyOptions(preserves=False), Plan(files=[ROOT]), False, Console()).run()


def fetch_file(client: Client, container: Container, path: str, local_path: str) -> bool:
    """Copy a file out of the container. Returns: whether there is a file at the path. Raises: PodwrightError."""
    remote = ContainerTree(client, container, path)
    tree = remote.observe(shallow=True)
    if ROOT not in tree or tree[ROOT].type != FILE:
        return False
    Download(LocalTree(local_path), remote, tree, CopyOptions(preserves=False), Plan(files=[ROOT]), False, Console()).run()
    return True
