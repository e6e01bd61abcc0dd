# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a path in a container cannot be listed or followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PodwrightError
from .scripts import Exit
from .tree import LINK, MAX_LINKS, Tree, find_loop, leaves_tree, show

if TYPE_CHECKING:
    from .runner import ScriptFailed, ScriptRunner

_UNFOLLOW = "Unset follow, and copy the target of the link separately."


def explain_listing(error: ScriptFailed) -> PodwrightError:
    """The error for the user if `LIST` failed."""
    if error.rc == Exit.TOO_MANY_LINKS:
        return PodwrightError(
            f"Cannot resolve {error.path} in {error.container}: too many symbolic links (more than {MAX_LINKS}).",
            reason="BadOption",
            hint="Check remote_path.",
        )
    if error.rc == Exit.ACCESS_DENIED:
        return PodwrightError(
            f"Cannot access the files of the target container from {error.container}, which runs as another user.",
            reason="HelperRefused",
            hint="Set run_as_user for the pod, so that both run as the same user, or use an image with a shell.",
        )
    return error


def check_links(tree: Tree, root: bytes, runner: ScriptRunner, is_helper: bool) -> None:
    """Check the links of a tree that are to be followed. By some, it would have no end. A helper would follow a link out of it to its own files.

    Args:
        root: the full path of the tree.
        runner: that of the tree.
    """
    loop = find_loop(tree, root)
    if loop is not None:
        raise PodwrightError(
            f"Cannot follow the link {show(loop)} to {show(tree[loop].target)} in {runner.container}: by it, a directory contains itself.",
            reason="BadOption",
            hint=_UNFOLLOW,
        )
    for path, entry in tree.items() if is_helper else ():
        if entry.type == LINK and leaves_tree(tree, path):
            raise PodwrightError(
                f"Cannot follow the link {show(path)} to {show(entry.target)} from {runner.container}: its target is outside {runner.path}.",
                reason="HelperRefused",
                hint=_UNFOLLOW,
            )
