# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply or delete a set of Kubernetes objects."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..arguments import CONDITION, CONNECTION, REVIEW, WAIT, read_selector, with_defaults
from ..cluster.client import MANAGER
from ..cluster.diagnosis import explain_workload
from ..errors import PodwrightError, option_error
from ..objects.field_paths import FieldPath, read_paths, without_fields
from ..operation import Invocation, Operation
from ..reconciler.diff import yaml_diff
from ..reconciler.documents import repeated_keys
from ..reconciler.manifest import Redactor, drop_managed_fields, secret_values
from ..reconciler.outcome import Outcome
from ..reconciler.patching import Patches, check_operations
from ..reconciler.reconciler import Reconciler, ReconcilerOptions
from ..reconciler.reviews import check_review, is_review, send_review
from ..reconciler.sources import check_sources, list_manifests, only_names, read_manifests, selects_live, set_name_of, spread, with_names

if TYPE_CHECKING:
    from ..values import Options, Result

ARGUMENTS = {
    **CONNECTION,
    **with_defaults(WAIT, wait=True, wait_timeout=120),
    **CONDITION,
    "set": {"type": "str"},
    "kind": {"type": "str"},
    "api_version": {"type": "str", "aliases": ["api", "version"]},
    **REVIEW,
    "name": {"type": "str"},
    "generate_name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent", "patched"], "default": "present"},
    "definition": {"type": "raw", "aliases": ["resource_definition", "inline"]},
    "src": {"type": "path"},
    "template": {"type": "raw"},  # the action renders it on the controller into definition
    "patch": {"type": "list", "elements": "dict"},
    "merge_type": {"type": "list", "elements": "str", "choices": ["merge", "strategic-merge"]},
    "label_selectors": {"type": "list", "elements": "str"},
    "delete_all": {"type": "bool", "default": False, "aliases": ["all"]},
    "append_hash": {"type": "bool", "default": False},
    "continue_on_error": {"type": "bool", "default": False},
    "hidden_fields": {"type": "list", "elements": "str", "default": []},
    "ignored_fields": {"type": "list", "elements": "str", "default": []},
    "prune": {"type": "bool", "default": False},
    "adopt": {"type": "bool", "default": True},
    "conflicts": {"type": "str", "choices": ["take", "fail"], "default": "take"},
    "field_manager": {"type": "str", "default": MANAGER},
    "on_immutable": {"type": "str", "choices": ["fail", "replace"], "default": "fail"},
    "delete_options": {
        "type": "dict",
        "options": {
            "propagation_policy": {
                "type": "str",
                "choices": ["Background", "Foreground", "Orphan"],
                "aliases": ["propagationPolicy"],
            },
            "grace_period": {"type": "int", "aliases": ["gracePeriodSeconds"]},
            "preconditions": {"type": "dict", "options": {"uid": {"type": "str"}, "resource_version": {"type": "str", "aliases": ["resourceVersion"]}}},
        },
    },
    "concurrency": {"type": "int", "default": 10},
}
_SECRET_FIELDS = {"data": "stringData", "stringData": "data"}


def run(invocation: Invocation, outcome: Outcome) -> None:
    """Apply, patch or delete the objects. Raises: PodwrightError."""
    params = invocation.params
    _check(params)
    if params["wait_condition"] and params["state"] == "absent":
        invocation.console.warn("wait_condition has no effect with state absent, which waits until the objects are deleted.")
    for text in params["definition"] if isinstance(params["definition"], list) else [params["definition"]]:
        for warning in repeated_keys(text, "definition") if isinstance(text, str) else ():
            invocation.console.warn(warning)
    ignored = read_paths("ignored_fields", params["ignored_fields"])
    given = [_without_ignored(manifest, ignored) for manifest in read_manifests(params)]
    manifests = with_names(given, params, invocation.check_mode)
    _check_preconditions(params, manifests)
    reviews = [manifest for manifest in manifests if is_review(manifest)]
    for review in reviews:
        check_review(review, params["state"])
    client, namespace = invocation.client, invocation.namespace
    if selects_live(params):
        manifests = list_manifests(client, namespace, params)
    elif params["state"] == "patched" and params["kind"] and params["label_selectors"]:
        unnamed = len(manifests)
        manifests = spread(client, namespace, params, manifests)
        if unnamed and not manifests:
            invocation.console.warn("Nothing is patched: label_selectors match no object.")
    stored = [manifest for manifest in manifests if not is_review(manifest)]
    reconciler = Reconciler(client, _read_options(invocation), invocation.console, partial(explain_workload, client), invocation.review)
    if params["state"] == "patched":
        done = reconciler.patch(stored, namespace, Patches(params["patch"], params["merge_type"]))
    else:
        act = reconciler.apply if params["state"] == "present" else reconciler.remove
        done = act(stored, namespace, set_name_of(params))
    outcome.changes = done.changes
    existed = any(change.error is done.error and change.before for change in done.changes)
    if done.error and existed and not done.error.hint and params["state"] == "present" and "Required value" in done.error.message:
        # Fields that Podwright set before and that a manifest does not contain are removed.
        done.error.hint = "Write the manifest with all fields, or set state to patched to change only those in it."
    done.raise_error()
    outcome.changes += [send_review(client, review, namespace) for review in reviews]


def _without_ignored(manifest: Any, paths: list[FieldPath]) -> Any:
    """A manifest without the fields at some paths; a value of a Secret has one path in `data` and one in `stringData`."""
    if isinstance(manifest, dict) and str(manifest.get("kind")).lower() in ("secret", "secrets"):
        paths = paths + [(_SECRET_FIELDS[path[0]], *path[1:]) for path in paths if path[0] in _SECRET_FIELDS]
    return without_fields(manifest, paths)


def _check(params: Options) -> None:
    """Raises: PodwrightError for options that exclude each other."""
    check_sources(params)
    read_selector(params)
    if params["state"] == "patched" and params["name"] and params["label_selectors"]:
        raise option_error("label_selectors", "must not be set with name unless state is present or absent.")
    read_paths("hidden_fields", params["hidden_fields"])
    if params["wait_condition"] and not params["wait"]:
        raise option_error("wait_condition", "must not be set with wait: false.")
    if params["state"] != "patched":
        for name in ("patch", "merge_type"):
            if params[name] is not None:
                raise option_error(name, "must not be set unless state is patched.")
    elif params["patch"] is not None:
        if params["ignored_fields"]:
            raise option_error("ignored_fields", "must not be set with patch, which contains no manifest.")
        if params["merge_type"] or not (params["name"] or params["label_selectors"]):
            raise option_error("patch", "requires the name of an object or label_selectors, and must not be set with merge_type.")
        check_operations(params["patch"])


def _check_preconditions(params: Options, manifests: list[Any]) -> None:
    given = (params["delete_options"] or {}).get("preconditions")
    if given and (len(manifests) != 1 or set_name_of(params) or selects_live(params)):
        raise option_error("delete_options.preconditions", "must not be set unless exactly one object is defined.")


def _read_options(invocation: Invocation) -> ReconcilerOptions:
    params = invocation.params
    deletion = params["delete_options"] or {}
    preconditions = deletion.get("preconditions") or {}
    return ReconcilerOptions(
        check_mode=invocation.check_mode,
        manager=params["field_manager"],
        conflicts=params["conflicts"],
        on_immutable=params["on_immutable"],
        prune=params["prune"],
        concurrency=params["concurrency"],
        propagation=deletion.get("propagation_policy"),
        grace_period=deletion.get("grace_period"),
        wait=params["wait"],
        wait_timeout=params["wait_timeout"],
        wait_condition=params["wait_condition"],
        delete_uid=preconditions.get("uid"),
        delete_version=preconditions.get("resource_version"),
        continue_on_error=params["continue_on_error"],
        adopt=params["adopt"],
        keeps_existing=only_names(params),
    )


def describe(invocation: Invocation, outcome: Outcome) -> Result:
    """The fields of the result."""
    redactor = Redactor(hidden_fields=invocation.params["hidden_fields"])
    fields: Result = {
        "changed": outcome.is_changed,
        "plan": [change.describe(redactor) for change in outcome.changes],
        "resources": [drop_managed_fields(redactor.redact(item)) for item in outcome.objects],
        "summary": outcome.summary(),
    }
    if len(outcome.changes) == 1:
        fields["result"] = fields["resources"][0] if fields["resources"] else {}
    return fields | ({"diff": yaml_diff(outcome.changes, redactor, invocation.clean)} if invocation.diff_mode else {})


def secrets(params: Options) -> set[str]:
    """The secret values in the manifests."""
    try:
        return secret_values([*read_manifests(params), _patched_secret(params)])
    except (PodwrightError, OSError):
        return set()  # `run` reports the error


def redact(params: Options) -> Options:
    """The parameters with the identities of objects instead of their manifests, and with the length of a text instead of the text."""
    given = params["definition"]
    if params["patch"] is not None:
        params = params | {"patch": [{name: entry[name] for name in ("op", "path", "from") if name in entry} for entry in params["patch"]]}
    if given is None:
        return params
    return params | {"definition": [_identity(manifest) for manifest in (given if isinstance(given, list) else [given])]}


def _patched_secret(params: Options) -> Options:
    """The values that `patch` sets, as a Secret if they are those of one."""
    values = {}
    for index, entry in enumerate(params["patch"] or ()):
        value = entry.get("value")
        for name, part in value.items() if isinstance(value, dict) else [("", value)]:
            values[f"{index}/{name}"] = part
    return {"kind": params["kind"], "data": values}


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
    rules={"mutually_exclusive": [("definition", "src", "template", "patch")], "required_if": [("prune", True, ["set", "name"], True)]},
    secrets=secrets,
    redact=redact,
    mostly_public=frozenset(("definition", "patch")),
)
