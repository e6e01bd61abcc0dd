# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that a task is given before it starts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ..console import Console
from ..errors import option_error
from ..files import missing_source_error, read_mode
from .outputs import SYSTEM, check_path, contains, mounted_paths, output_directories

if TYPE_CHECKING:
    from ..transfer.local import LocalTree, Text
    from ..transfer.tree import Tree
    from ..values import Options

INPUTS = "podwright-inputs"  # the init container that waits for the files, and its volume
ROOT_PATH = "/podwright-inputs"
READY = f"{ROOT_PATH}/ready"


@dataclass(frozen=True)
class Input:
    """A file or directory that a task is given.

    Attributes:
        option: the path of the option.
        path: its path in the containers of the task.
        src: its path on the host that runs the module, or None if it has a content.
        content: its content, or None.
        mode: permission bits of its files, or None for those that they have.
        delivery: its path in the container that waits for it.
        sub_path: its path in the volume for inputs, or None if another volume contains it.
    """

    option: str
    path: str
    src: str | None
    content: str | None
    mode: int | None
    delivery: str
    sub_path: str | None

    def source(self) -> LocalTree | Text:
        """What is copied."""
        from ..transfer.local import LocalTree, Text  # few tasks have inputs

        return Text(self.content) if self.content is not None else LocalTree(self.src or "")

    def observe(self, console: Console) -> Tree:
        """The tree of the source. Raises: PodwrightError if it does not exist or cannot be read."""
        tree = self.source().observe(console)
        if not tree:
            raise missing_source_error(f"{self.option}.src", self.src or "")
        return tree


def read_inputs(options: Options) -> list[Input]:
    """The inputs of a task. Raises: PodwrightError that names the invalid option."""
    mounted = [*mounted_paths(options), *output_directories(options)] if options.get("inputs") else []
    places = {path.rstrip("/"): path.rstrip("/") for path in mounted}  # path in the task -> path in the container that waits
    inputs: list[Input] = []
    for index, entry in enumerate(options.get("inputs") or []):
        option, path = f"inputs[{index}]", entry["path"]
        check_path(f"{option}.path", path)
        if path.strip("/") in ("", *SYSTEM):
            raise option_error(f"{option}.path", f"must not hide a directory that every program needs, got {path!r}.")
        if (entry.get("src") is None) == (entry.get("content") is None):
            raise option_error(option, "must have one of src and content.")
        if entry.get("src") == "":
            raise option_error(f"{option}.src", "must be a path, got an empty string.")  # it would mean the whole working directory
        if any(other.path == path.rstrip("/") for other in inputs):
            raise option_error(f"{option}.path", f"must be unique, got {path!r} again.")
        path, mode = path.rstrip("/"), read_mode(f"{option}.mode", entry.get("mode"))
        around = max((place for place in places if contains(place, path)), key=len, default=None)
        sub_path = None if around is not None else f"files/{index}"
        delivery = f"{ROOT_PATH}/{sub_path}" if around is None else places[around] + path[len(around) :]
        places[path] = delivery
        inputs.append(Input(option, path, entry.get("src"), entry.get("content"), mode, delivery, sub_path))
    return inputs


def check_inputs(inputs: list[Input]) -> None:
    """Check what is copied, and that no input is below one that is a file. Raises: PodwrightError that names the invalid option."""
    files = {}
    for entry in inputs:
        if entry.src is not None and os.path.exists(entry.src) and not os.path.isfile(entry.src) and not os.path.isdir(entry.src):
            raise option_error(f"{entry.option}.src", f"must be a file or a directory, got {entry.src!r}.")
        if entry.src is None or os.path.isfile(entry.src):
            files[entry.path] = entry
    for entry in inputs:
        outer = next((files[str(path)] for path in PurePosixPath(entry.path).parents if str(path) in files), None)
        if outer:
            raise option_error(f"{entry.option}.path", f"must not be below {outer.option}.path ({outer.path}), which is a file, got {entry.path!r}.")


def digest_input(entry: Input) -> str:
    """A digest of the content of an input. Raises: PodwrightError if it cannot be read."""
    tree = entry.observe(Console())
    return digest_tree(tree, entry.source().digests([path for path, found in tree.items() if found.type == "file"]))


def digest_tree(tree: Tree, digests: Mapping[bytes, str]) -> str:
    """A digest of a tree: of its paths, contents and targets of links, and whether its files are executable.

    Args:
        digests: the sha256 of each file, by path.
    """
    digest = hashlib.sha256()
    for path, entry in sorted(tree.items()):
        digest.update(b"%s\0%s\0%d\0%s\0" % (path, entry.type.encode(), bool(entry.mode & 0o100), entry.target))
        digest.update(digests.get(path, "").encode() + b"\0")
    return digest.hexdigest()
