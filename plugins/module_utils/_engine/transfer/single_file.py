# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of one file, as Ansible requests them from its connections."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..console import Console
from ..errors import PodwrightError
from .download import Download
from .local import LocalTree
from .plan import CopyOptions, Plan
from .remote import ContainerTree
from .tree import FILE, ROOT, Tree
from .upload import Upload

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.exec_command import Container


def put_file(client: Client, container: Container, local_path: str, path: str) -> None:
    """Copy a file of this host to a path in the container, whose tools the script itself checks. Raises: PodwrightError."""
    local, remote = LocalTree(local_path), ContainerTree(client, container, path)
    tree = local.observe_target(0)
    _check_file(tree, local_path)
    Upload(local, remote, tree, CopyOptions(preserves=False), Plan(files=[ROOT]), False, Console()).run()


def fetch_file(client: Client, container: Container, path: str, local_path: str) -> bool:
    """Copy a file out of the container, to its target if the local path is a symbolic link. Returns: whether it exists. Raises: PodwrightError."""
    remote = ContainerTree(client, container, path)
    tree = remote.observe(shallow=True)
    if ROOT not in tree:
        return False
    _check_file(tree, f"{path} from {container}")
    Download(LocalTree(os.path.realpath(local_path)), remote, tree, CopyOptions(preserves=False), Plan(files=[ROOT]), False, Console()).run()
    return True


def _check_file(tree: Tree, name: str) -> None:
    if ROOT not in tree or tree[ROOT].type != FILE:
        problem = f"it is a {tree[ROOT].type}" if ROOT in tree else "it does not exist"
        raise PodwrightError(f"Cannot copy {name}: {problem}.", reason="BadOption", hint="Name a file.")
