# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make any set of Kubernetes objects as the manifests say: the reconciler itself."""

from __future__ import annotations

import os
from functools import partial

from ..arguments import CONNECTION, WAIT, with_defaults
from ..cluster.client import MANAGER
from ..cluster.diagnosis import explain_workload
from ..errors import PodwrightError
from ..operation import Invocation, Operation
from ..reconciler.diff import yaml_diff
from ..reconciler.documents import as_json, flatten, read_documents
from ..reconciler.manifest import Redactor, drop_managed_fields, secret_values
from ..reconciler.outcome import Outcome
from ..reconciler.reconciler import Options, Reconciler

ARGUMENTS = {
    **CONNECTION,
    **with_defaults(WAIT, wait=True, wait_timeout=120),
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "definition": {"type": "raw", "aliases": ["resource_definition", "inline"]},
    "src": {"type": "path"},
    "template": {"type": "path"},  # rendered by the action, on the controller, into definition
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
    """Apply or remove the set. Raises: PodwrightError."""
    params = invocation.params
    manifests = _read_manifests(params)
    deletion = params["delete_options"] or {}
    options = Options(
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
    reconciler = Reconciler(invocation.client, options, invocation.console, partial(explain_workload, invocation.client))
    act = reconciler.apply if params["state"] == "present" else reconciler.remove
    done = act(manifests, invocation.namespace, params["name"])
    outcome.changes = done.changes
    done.check()


def describe(invocation: Invocation, outcome: Outcome) -> dict:
    """The result's fields, as far as it got."""
    redactor = Redactor()
    fields = {
        "changed": outcome.is_changed,
        "plan": [change.describe(redactor) for change in outcome.changes],
        "resources": [drop_managed_fields(redactor.redact(item)) for item in outcome.objects],
        "summary": outcome.summary(),
    }
    return fields | ({"diff": yaml_diff(outcome.changes, redactor)} if invocation.diff_mode else {})


def _read_manifests(params):
    """The manifests of definition or src as a flat list. Raises: PodwrightError that names the option and the file."""
    documents = []
    if params["definition"] is not None:
        given = params["definition"]
        for document in given if isinstance(given, list) else [given]:
            documents += read_documents(document, "definition") if isinstance(document, str) else [as_json(document)]
    elif params["src"]:
        documents = read_documents(_read_file(params["src"]), f"src {params['src']}")
    flat = flatten(documents)
    if not flat and not (params["name"] and (params["state"] == "absent" or params["prune"])):
        raise PodwrightError("There is no definition: the set is empty.", reason="BadManifest", hint="Give definition, src or template.")
    return flat


def _read_file(path):
    if not os.path.isfile(path):
        raise PodwrightError(f"The file of src does not exist: {path}.", reason="BadManifest")
    try:
        with open(path, encoding="utf-8") as source:
            return source.read()
    except (OSError, UnicodeDecodeError) as error:
        raise PodwrightError(f"The file of src cannot be read: {path}: {error}.", reason="BadManifest") from error


def secrets(params):
    """Secret values in the manifests."""
    try:
        return secret_values(_read_manifests(params))
    except (PodwrightError, OSError):
        return set()  # `run` reports what is wrong


def redact(params):
    """The parameters as they may be shown: of manifests, which objects they are, and of text, how long it is."""
    given = params["definition"]
    if given is None:
        return params
    return params | {"definition": [_identity(manifest) for manifest in (given if isinstance(given, list) else [given])]}


def _identity(manifest):
    if isinstance(manifest, str):
        return f"{len(manifest.encode(errors='replace'))} bytes of text"
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    if not isinstance(metadata, dict):
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
)
