# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Secret of a task: its standard input and its secret environment variables, so that no manifest of a pod contains them."""

from __future__ import annotations

import base64
import json
import os
import re
from typing import TYPE_CHECKING

from ..cluster.client import MANAGER
from ..cluster.kinds import BUILT_IN, SECRET
from ..errors import PodwrightError, option_error
from ..objects.containers import TASK_CONTAINER
from ..objects.labels import MANAGED, TASK, owner_reference
from ..text import encode
from .options import text_of
from .task_spec import containers_of, slow_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..cluster.client import Client
    from ..objects.pod_status import Status
    from ..values import Manifest, Options
    from .task_spec import TaskSpec

STDIN_VOLUME, STDIN_KEY = "podwright-stdin", "stdin"
DEPLOYMENT_KIND = BUILT_IN["apps/v1", "Deployment"]
MAX_BYTES = 1024 * 1024  # of the data of a Secret
UNNAMED = "(private)"  # no name of an object
PRIVATE = "-private-"  # in the names of these Secrets
_NAME = re.compile(PRIVATE + r"[0-9a-f]{8,}\Z")
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PREFIX = "env."


def secret_variables(container: Options, name: str, path: str) -> list[Manifest]:
    """The entries of a container's `env` that refer to the Secret, which has no name yet.

    Args:
        container: its options.
        path: prefix of the container's options in errors.

    Raises: PodwrightError for an invalid name or value.
    """
    entries = []
    for variable, value in (container.get("secret_env") or {}).items():
        if not _KEY.fullmatch(str(variable)):
            raise option_error(f"{path}secret_env", f"must have names of letters, digits, '-', '_' and '.', got {variable!r}.")
        if variable in (container.get("env") or {}):
            raise option_error(f"{path}secret_env.{variable}", "must not be set if env sets the same variable.")
        if "\0" in text_of(f"{path}secret_env.{variable}", value):
            raise option_error(f"{path}secret_env.{variable}", "must not contain a NUL character, as all environment variables.")
        entries.append({"name": variable, "valueFrom": {"secretKeyRef": {"name": UNNAMED, "key": f"{_PREFIX}{name}.{variable}"}}})
    return entries


def secret_data(options: Options) -> dict[str, str]:
    """The data of the Secret for the options of a task, in base64; empty if it needs none. Raises: PodwrightError if it is too large."""
    data = {} if options.get("stdin") is None else {STDIN_KEY: encode(options["stdin"])}
    for path, container in containers_of(options):
        name = container["name"] if path else TASK_CONTAINER
        for variable, value in (container.get("secret_env") or {}).items():
            data[f"{_PREFIX}{name}.{variable}"] = encode(text_of(f"{path}secret_env.{variable}", value))
    size = sum(map(len, data.values()))
    if size > MAX_BYTES:
        raise option_error("stdin" if STDIN_KEY in data else "secret_env", f"must not exceed {MAX_BYTES} bytes in all, got {size}.", "A Secret holds no more.")
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def unique_name(task: str) -> str:
    """A name for the Secret of one Pod or Job of a task.

    Each has one of its own: that of a deleted one is garbage-collected some time later, or never if its deletion orphans it.
    """
    return f"{task}{PRIVATE}{os.urandom(4).hex()}"


def lasting_name(deployment: str, options: Options) -> str:
    """A name for the Secret of a Deployment, which depends on its data: pods of different templates have different Secrets."""
    data = json.dumps(secret_data(options), sort_keys=True)
    return f"{deployment}{PRIVATE}{slow_digest(data, deployment)[:10]}"


def choose_lasting_name(client: Client, spec: TaskSpec, deployment: Manifest, live: Manifest | None) -> None:
    """Rename the Secret in the manifest of a Deployment: as its live one (None: there is none) names it for the same data, or as no Secret is named.

    The Secret of a deleted Deployment exists until it is garbage-collected, whoever refers to it by then.
    """
    name = secret_name(deployment)
    if name is None:
        return
    names = [name, *(f"{name}{number:02}" for number in range(2, 100))]

    def is_free(candidate: str) -> bool:
        secret = build_secret(spec, rename_secret(deployment, candidate))
        try:
            return secret is None or create_secret(client, secret, dry_run=True) is not None
        except PodwrightError:
            return True  # it is reported when the Deployment is applied

    if live is None:
        if is_free(name):
            return
        live = client.get(DEPLOYMENT_KIND, spec.namespace, deployment["metadata"]["name"])  # by now, another run may have created both
        if not live or live["metadata"].get("deletionTimestamp"):
            rename_secret(deployment, next(filter(is_free, names[1:]), name))
            return
    used = secret_name(live)
    rename_secret(deployment, used if used in names else name)


def build_secret(spec: TaskSpec, owner: Manifest, labels: dict[str, str] | None = None) -> Manifest | None:
    """The Secret of a task for its live Pod, Job or Deployment, with which it is garbage-collected; None if either needs none.

    Args:
        labels: further labels than those of everything that Podwright creates; by default the name of the task.
    """
    name, data = secret_name(owner), secret_data(spec.options)
    if name is None or not data:
        return None
    metadata: Manifest = {"name": name, "namespace": spec.namespace, "labels": MANAGED | (labels or {TASK: spec.name})}
    metadata |= {"ownerReferences": [owner_reference(owner)]} if "uid" in owner["metadata"] else {}
    # Immutable, so that nobody replaces the input of a task that has not started.
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "immutable": True, "data": data}


def create_secret(client: Client, secret: Manifest, dry_run: bool = False) -> Manifest | None:
    """Create a Secret. Returns: the Secret, or None if one of that name exists. Raises: PodwrightError."""
    namespace, name = secret["metadata"]["namespace"], secret["metadata"]["name"]
    try:
        return client.create(SECRET, namespace, secret, MANAGER, dry_run=dry_run)
    except PodwrightError as error:
        # The API server notices a quota that is exceeded before a name that exists.
        if error.reason == "AlreadyExists" or (error.exceeds_quota and _exists(client, namespace, name)):
            return None
        raise


def _exists(client: Client, namespace: str, name: str) -> bool:
    try:
        return client.get(SECRET, namespace, name) is not None
    except PodwrightError:
        return False  # a Role may allow the creation only


def check_secret(client: Client, secret: Manifest | None) -> None:
    """Check that the server would create a Secret (None: there is none), before there are pods that wait for it. Raises: PodwrightError."""
    try:
        if secret:
            create_secret(client, secret, dry_run=True)
    except PodwrightError as error:
        # Without its namespace, the creation of what owns it says so.
        if not error.is_not_found and not error.is_dry_run_refused:
            raise


def is_needed(spec: TaskSpec, status: Status | None) -> bool:
    """Whether a live pod needs the Secret from now on: standard input when it starts, variables each time a container starts."""
    has_variables = any(container.get("secret_env") for _path, container in containers_of(spec.options))
    has_input = spec.options.get("stdin") is not None
    return status is not None and ((has_input and status.state == "pending") or (has_variables and not status.is_finished))


def secret_name(owner: Manifest) -> str | None:
    """The name of the Secret that a Pod, Job or Deployment of ours refers to, or None."""
    return next((str(reference[field]) for reference, field in _references(owner)), None)


def rename_secret(manifest: Manifest, name: str) -> Manifest:
    """The manifest of a Pod, Job or Deployment, changed in place, with another name of the Secret, if it has one."""
    for reference, field in _references(manifest):
        reference[field] = name
    return manifest


def _references(owner: Manifest) -> Iterator[tuple[Manifest, str]]:
    """(reference, field with the name) of each reference to the Secret of the task."""
    pod = (owner["spec"].get("template") or owner)["spec"]
    for volume in pod.get("volumes") or []:
        if volume["name"] == STDIN_VOLUME and "secret" in volume:
            yield volume["secret"], "secretName"
    for container in (*(pod.get("containers") or []), *(pod.get("initContainers") or [])):
        for entry in container.get("env") or []:
            reference = ((entry or {}).get("valueFrom") or {}).get("secretKeyRef") or {}
            name = str(reference.get("name"))
            if str(reference.get("key")).startswith(f"{_PREFIX}{container['name']}.") and (name == UNNAMED or _NAME.search(name)):
                yield reference, "name"
