# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fetches what tasks have left, from the containers that hold it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..cluster.exec import execute
from ..cluster.exec_command import Command, Container
from ..errors import PodwrightError, as_podwright_error
from ..transfer.download import Download
from ..transfer.local import LocalTree
from ..transfer.pair import download_pair
from ..transfer.plan import CopyOptions, compare
from ..transfer.remote import ContainerTree
from ..transfer.small_files import NO_FILE, OUTSIDE, read_small_files
from ..transfer.tree import FILE, ROOT, show
from .collected import Collected, Fetched, decode_results, find_omissions
from .copies import stamp_of
from .file_containers import HOLDER, RELEASE, file_container
from .output_errors import outside_error, special_error
from .outputs import RESULT_BYTES, Artifact, definition_mounts, mounted_paths, output_directories, read_artifacts, read_sources

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..transfer.tree import Tree
    from ..values import Manifest
    from .task_spec import TaskSpec

RELEASE_SECONDS = 30


class Collector:
    """Fetches results and artifacts.

    Args:
        client: a branch, whose streams can be cancelled.
        deadline: the time of the client's clock at which transfers are terminated, or None.
        is_check: whether nothing is written.
        targets: path of a copy -> the artifact, of all tasks of the batch: none replaces another one.
    """

    def __init__(self, client: Client, console: Console, deadline: float | None = None, is_check: bool = False, targets: dict[str, str] | None = None) -> None:
        self._client, self._console, self._deadline, self._is_check = client, console, deadline, is_check
        self._targets: dict[str, str] = {} if targets is None else targets

    def collect(self, spec: TaskSpec, pod: Manifest, is_success: bool) -> Collected:
        """Fetch what a task has left. Something that is missing is a problem only if the task succeeded."""
        collected = Collected()
        container = file_container(pod, HOLDER)
        try:
            self._read_results(spec, pod, container, collected)
            for artifact in read_artifacts(spec.options):
                self._fetch(spec, artifact, container, collected)
        except Exception as error:
            collected.failures.append(as_podwright_error(error))
        if is_success:
            collected.problems += find_omissions(spec, collected)
        return collected

    def _read_results(self, spec: TaskSpec, pod: Manifest, container: Container, collected: Collected) -> None:
        sources = read_sources(spec.options)
        files = [source for source in sources if source.path]
        limit, paths = RESULT_BYTES, [source.path or "" for source in files]
        found = read_small_files(self._client, container, paths, limit, self._deadline, _roots(spec))
        errors = {OUTSIDE: outside_error, NO_FILE: special_error}
        contents: dict[str, bytes | int | None] = {}
        for source, content in zip(files, found):
            if content == NO_FILE and source.is_optional:
                continue
            if isinstance(content, int) and content in errors:
                collected.problems.append(errors[content](f"result '{source.name}'", source.path))
            else:
                contents[source.name] = content
        decode_results(sources, contents, pod, collected)

    # -- artifacts ------------------------------------------------------------------------------------------

    def _fetch(self, spec: TaskSpec, artifact: Artifact, container: Container, collected: Collected) -> None:
        remote = ContainerTree(self._client, container, artifact.path, deadline=self._deadline)
        try:
            tree = remote.observe()
            if remote.is_link and read_small_files(self._client, container, [artifact.path], 0, self._deadline, _roots(spec)) == [OUTSIDE]:
                collected.problems.append(outside_error("artifact", artifact.path))
                return
            collected.artifacts.append(self._copy(artifact, remote, tree) if tree else Fetched(artifact))
        except PodwrightError as error:
            collected.failures.append(error)

    def _copy(self, artifact: Artifact, remote: ContainerTree, tree: Tree) -> Fetched:
        pair = download_pair(remote, tree, artifact.dest, self._console)
        target = os.fsdecode(os.path.realpath(pair.local.full_path(ROOT)))
        own = f"{artifact.path} of task '{remote.container.pod}' in namespace '{remote.container.namespace}'"
        other = self._targets.setdefault(target, own)
        if other != own:
            problem = f"The artifact {artifact.path} cannot be copied to {target}, which is the copy of {other}."
            raise PodwrightError(problem, reason="Obstacle", hint="Set another dest.")
        pair = pair.with_digests()
        plan = compare(pair.source, pair.target, CopyOptions())
        if plan.obstacles:
            path = plan.obstacles[0]
            raise PodwrightError(
                f"The artifact {artifact.path} cannot be copied to {artifact.dest}: {show(pair.local.full_path(path))} is a "
                f"{pair.target[path].type}, but a {pair.source[path].type} in the container.",
                reason="Obstacle",
                hint="Delete it, or set another dest.",
            )
        fetched = Fetched(artifact, target, plan, sum(pair.source[path].size for path in plan.files))
        digests = {path: entry.digest for path, entry in pair.source.items()}
        if plan.is_change and not self._is_check and isinstance(pair.local, LocalTree):
            download = Download(pair.local, remote, pair.source, CopyOptions(), plan, "tar" in remote.tools, self._console)
            download.run()
            digests |= download.digests
        if pair.source[ROOT].type == FILE:
            fetched.checksum, fetched.stamp = digests.get(ROOT), stamp_of(target)
        return fetched

    def release(self, pod: Manifest) -> None:
        """Let the container that holds the files of a task terminate, so that its pod completes. Raises: PodwrightError."""
        execute(self._client, file_container(pod, HOLDER), Command(RELEASE, timeout=RELEASE_SECONDS))


def _roots(spec: TaskSpec) -> list[str]:
    """The directories that the container which holds the files shares with the task."""
    defined = [mount["mountPath"] for mount in definition_mounts(spec.options)]
    return [*mounted_paths(spec.options), *defined, *output_directories(spec.options)]
