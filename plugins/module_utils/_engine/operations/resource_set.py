# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply or delete a set of Kubernetes objects."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from ..arguments import CONNECTION, REVIEW, WAIT, with_defaults
from ..cluster.client import MANAGER
from ..cluster.diagnosis import explain_workload
from ..errors import PodwrightError
from ..operation import Invocation, Operation
from ..reconciler.diff import yaml_diff
from ..reconciler.documents import as_json, flatten, read_documents
from ..reconciler.manifest import Redactor, drop_managed_fields, secret_values
from ..reconciler.outcome import Outcome
from ..reconciler.reconciler import Reconciler, ReconcilerOptions
from ..reconciler.reviews import check_review, is_review, send_review

if TYPE_CHECKING:
    from ..values import Options, Result

ARGUMENTS = {
    **CONNECTION,
    **with_defaults(WAIT, wait=True, wait_timeout=120),
    **REVIEW,
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "definition": {"type": "raw", "aliases": ["resource_definition", "inline"]},
    "src": {"type": "path"},
    "template": {"type": "path"},  # the action renders it on the controller into definition
    "prune": {"type": "bool", "default": False},
    "conflicts": {"type": "str", "choices": ["take", "fail"], "default": "take"},
    "field_manager": {"type": "str", "default": MANAGER},
    "on_immutable": {"type": "str", "choices": ["fail", "replace"], "default": "fail"},
    "delete_options": {
        "type": "dict",
        "options": {
            "propagation_policy": {"type": "str", "choices": ["Background", "Foreground", "Orphan"], "default": "Background"},
            "grace_period": {"type": "int"},
        },
    },
    "concurrency": {"type": "int", "default": 10},
}


def run(invocation: Invocation, outcome: Outcome) -> None:
    """Apply or delete the objects. Raises: PodwrightError."""
    params = invocation.params
    manifests = _read_manifests(params)
    deletion = params["delete_options"] or {}
    options = ReconcilerOptions(
        check_mode=invocation.check_mode,
        manager=params["field_manager"],
        conflicts=params["conflicts"],
        on_immutable=params["on_immutable"],
        prune=params["prune"],
        concurrency=params["concurrency"],
        propagation=deletion.get("propagation_policy") or "Background",
        grace_period=deletion.get("grace_period"),
        wait=params["wait"],
        wait_timeout=params["wait_timeout"],
    )
    reconciler = Reconciler(invocation.client, options, invocation.console, partial(explain_workload, invocation.client), invocation.review)
    reviews = [manifest for manifest in manifests if is_review(manifest)]
    for review in reviews:
        check_review(review, params["state"])
    act = reconciler.apply if params["state"] == "present" else reconciler.remove
    done = act([manifest for manifest in manifests if not is_review(manifest)], invocation.namespace, params["name"])
    outcome.changes = done.changes
    done.raise_error()
    outcome.changes += [send_review(invocation.client, review, invocation.namespace) for review in reviews]


def describe(invocation: Invocation, outcome: Outcome) -> Result:
    """The fields of the result."""
    redactor = Redactor()
    fields: Result = {
        "changed": outcome.is_changed,
        "plan": [change.describe(redactor) for change in outcome.changes],
        "resources": [drop_managed_fields(redactor.redact(item)) for item in outcome.objects],
        "summary": outcome.summary(),
    }
    return fields | ({"diff": yaml_diff(outcome.changes, redactor)} if invocation.diff_mode else {})


def _read_manifests(params: Options) -> list[Any]:
    """The manifests in definition or src. Raises: PodwrightError that names the option and the file."""
    documents: list[Any] = []
    if params["definition"] is not None:
        given = params["definition"]
        for document in given if isinstance(given, list) else [given]:
            documents += read_documents(document, "definition") if isinstance(document, str) else [as_json(document)]
    elif params["src"]:
        documents = read_documents(_read_file(params["src"]), f"src {params['src']}")
    elif not (params["name"] and (params["state"] == "absent" or params["prune"])):
        raise PodwrightError("No objects are defined.", reason="BadManifest", hint="Set definition, src or template.")
    return flatten(documents)


def _read_file(path: str) -> str:
    if not os.path.isfile(path):
        message = f"src: must be a file on the host that runs this task, got {path}."
        raise PodwrightError(message, reason="BadManifest", hint="Correct the path, or set definition.")
    try:
        with open(path, encoding="utf-8") as source:
            return source.read()
    except (OSError, UnicodeDecodeError) as error:
        hint = "It must be text in UTF-8 that this user can read."
        raise PodwrightError(f"src: file {path} cannot be read: {error}.", reason="BadManifest", hint=hint) from error


def secrets(params: Options) -> set[str]:
    """The secret values in the manifests."""
    try:
        return secret_values(_read_manifests(params))
    except (PodwrightError, OSError):
        return set()  # `run` reports the error


def redact(params: Options) -> Options:
    """The parameters with the identities of objects instead of their manifests, and with the length of a text instead of the text."""
    given = params["definition"]
    if given is None:
        return params
    return params | {"definition": [_identity(manifest) for manifest in (given if isinstance(given, list) else [given])]}


def _identity(manifest: object) -> object:
    if isinstance(manifest, str):
        return f"{len(manifest.encode(errors='replace'))} bytes of text"
    if not isinstance(manifest, dict) or not isinstance(metadata := manifest.get("metadata"), dict):
        return {}
    named = {name: metadata[name] for name in ("namespace", "name") if isinstance(metadata.get(name), str)}
    return {name: manifest[name] for name in ("apiVersion", "kind") if isinstance(manifest.get(name), str)} | {"metadata": named}


OPERATION = Operation(
    "resource_set",
    ARGUMENTS,
    Outcome,
    run,
    describe,
    rules={"mutually_exclusive": [("definition", "src", "template")], "required_if": [("prune", True, ["name"])]},
    secrets=secrets,
    redact=redact,
    mostly_public=frozenset(("definition",)),
)
