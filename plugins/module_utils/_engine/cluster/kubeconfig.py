# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kubeconfigs as kubectl reads them: several files, text, or a mapping."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeGuard

from ..errors import PodwrightError
from ..files import searched_in
from ..libraries import load
from ..text import url_passwords
from .kubeconfig_fields import FIELDS, find_fault

Entry: TypeAlias = dict[str, Any]
"""A cluster, user or context of a kubeconfig, with the fields of the kubeconfig (v1) reference."""

ENTRY_FIELDS = {"clusters": "cluster", "users": "user", "contexts": "context"}
# Fields that are paths, relative to the directory of the file that they are in.
_PATHS: dict[str, tuple[str, ...]] = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
    "contexts": (),
}
_TEXT = re.compile(r"[\n\r{}]|\b(?:apiVersion|clusters|contexts|users|current-context) *:|\$ANSIBLE_VAULT;")
_NOT_A_PATH = re.compile(r"[A-Za-z0-9+/=_.-]{100,}|.{1000,}|.*: .*", re.DOTALL)
_LEAST_ENCODED = 28  # characters of a kubeconfig in base64
_SECRETS = ("token", "password", "client-key-data", "id-token", "access-token", "refresh-token", "client-secret")
_SECRET_NAME = re.compile(r"secret|token|pass|key|credential", re.IGNORECASE)
_NEVER_SECRET = re.compile(r"true|false|[0-9]{0,3}|(?:[~.]?/[\w.-]+)+/?", re.IGNORECASE)
# Of a variable whose name does not say so: results contain such words, regions and addresses anyway.
_ORDINARY = re.compile(r"[A-Za-z]?[a-z]*[0-9]{0,2}(?:[._-](?:[a-z]+[0-9]{0,2}|[0-9]{1,2}))*|https?://[\w.:/-]*")
_VAULT = "$ANSIBLE_VAULT;"
_MAX_NAMES = 20  # names in an error


def bad_configuration(message: str, hint: str = "Check it with: kubectl config view") -> PodwrightError:
    """The error for an invalid connection option or kubeconfig."""
    return PodwrightError(message, reason="BadConfiguration", hint=hint)


def is_text(value: object) -> TypeGuard[str]:
    """Whether the value of an option is the content of a file rather than its path."""
    return isinstance(value, str) and bool(_TEXT.search(value.strip()))


def shown_path(path: object) -> str:
    """A path as errors show it; a value that looks like content is not shown."""
    text = str(path)
    if is_text(text) or _NOT_A_PATH.fullmatch(text) or not text.isprintable() or is_text(_decoded(text)):
        return f"(a value of {len(text)} characters, not shown)"
    return text


def shown_paths(paths: str) -> str:
    """Paths separated by `:` as errors show them."""
    shown = shown_path(paths)
    return shown if shown != paths else os.pathsep.join(map(shown_path, paths.split(os.pathsep)))


def _decoded(text: str) -> str:
    """What a text encodes in base64, which a kubeconfig must not be; empty if it is something else."""
    try:
        return base64.b64decode(text, validate=True).decode() if len(text) >= _LEAST_ENCODED else ""
    except ValueError:
        return ""


@dataclass
class Kubeconfig:
    """One or more kubeconfigs, merged.

    Attributes:
        source: its origin, as errors name it.
        current_context: the context to use by default, or an empty string.
        entries: for `clusters`, `users` and `contexts`, entries by name; paths in them are absolute.
    """

    source: str
    current_context: str = ""
    entries: dict[str, dict[str, Entry]] = field(default_factory=lambda: {name: {} for name in ENTRY_FIELDS})

    def select(self, context: str | None) -> tuple[Entry, Entry, str]:
        """(cluster, user, namespace) of a context, the current one by default. Raises: PodwrightError with the names that exist."""
        name = str(context or self.current_context)
        if not name:
            raise bad_configuration(
                f"The kubeconfig from {self.source} has no current-context{self._names('contexts')}.", hint="Set context to the name of one of them."
            )
        found = self._find("contexts", name, self.source)
        source = f"context {name!r} of {self.source}"
        cluster = self._find("clusters", str(found.get("cluster") or ""), source)
        user = self._find("users", str(found["user"]), source) if found.get("user") else {}
        return cluster, user, str(found.get("namespace") or "default")

    def _find(self, entries: str, name: str, source: str) -> Entry:
        if name not in self.entries[entries]:
            raise bad_configuration(f"The {ENTRY_FIELDS[entries]} {name[:200]!r} of {source} does not exist{self._names(entries)}.")
        return self.entries[entries][name]

    def _names(self, entries: str) -> str:
        names = ", ".join(sorted(self.entries[entries])[:_MAX_NAMES])
        return f"; {entries}: {names}" if names else f"; there are no {entries}"

    def merge(self, content: object, source: str, directory: str = "") -> None:
        """Add the content of another kubeconfig; entries that exist stay as they are, as in kubectl.

        Args:
            content: the decoded kubeconfig.
            source: its origin, as errors name it.
            directory: which its relative paths are relative to; the current directory by default.

        Raises: PodwrightError for an invalid kubeconfig.
        """
        if not isinstance(content, dict):
            raise bad_configuration(f"The kubeconfig {source} must be a mapping, got {type(content).__name__}.")
        fault = find_fault(content.get("current-context"), str, "current-context")
        if fault:
            raise bad_configuration(f"The kubeconfig {source} is invalid: {fault}.")
        self.current_context = self.current_context or str(content.get("current-context") or "")
        for entries in ENTRY_FIELDS:
            for name, entry in _named(content.get(entries), entries, source).items():
                self.entries[entries].setdefault(name, _resolve(entry, entries, directory))


def read_kubeconfig(value: object, label: str) -> Kubeconfig:
    """Read a kubeconfig.

    Args:
        value: paths separated by `:` (missing and empty files are ignored), YAML or JSON text, or a mapping.
        label: what errors show before the paths: `kubeconfig ` for the option, `NAME=` for an environment variable.

    Raises: PodwrightError, which shows no more of the value than a path.
    """
    name = label.strip(" =")
    if isinstance(value, dict):
        config = Kubeconfig(f"the mapping of {name}")
        config.merge(value, f"given as a mapping ({name})")
        return config
    if not isinstance(value, str):
        raise bad_configuration(f"{name}: must be a path, YAML or JSON text, or a mapping, got {type(value).__name__}.", hint="")
    if is_text(value):
        config = Kubeconfig(f"the text of {name}")
        config.merge(_parse(value, f"given as text ({name})") or {}, f"given as text ({name})")
        return config
    return _read_files([os.path.expanduser(path) for path in value.strip().split(os.pathsep) if path], label)


def _read_files(paths: list[str], label: str) -> Kubeconfig:
    shown = shown_paths(os.pathsep.join(paths))
    config = Kubeconfig(label + shown)
    existing = [path for path in dict.fromkeys(paths) if os.path.exists(path)]
    if not existing:
        # KUBECONFIG may be set on hosts that have no cluster; a path in an option is meant.
        raise PodwrightError(
            f"The kubeconfig file {shown} does not exist{searched_in(*paths)} (from {config.source}).",
            reason="NoConfiguration" if label == "KUBECONFIG=" else "BadConfiguration",
            hint="Correct the path, or create the file.",
        )
    for path in existing:
        source = f"file {shown_path(path)}"
        try:
            with open(path, encoding="utf-8-sig") as stream:
                text = stream.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it must be text in UTF-8"
            raise bad_configuration(f"The kubeconfig {source} cannot be read: {reason}.") from error
        config.merge(_parse(text, source) or {}, source, os.path.dirname(os.path.abspath(path)))
    return config


def _parse(text: str, source: str) -> Any:
    yaml = load("yaml")
    if text.lstrip().startswith(_VAULT):
        raise bad_configuration(
            f"The kubeconfig {source} is encrypted with Ansible Vault.",
            hint="Set kubeconfig to its content with lookup('ansible.builtin.file', PATH), which decrypts it, or run the task with a local connection.",
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass  # it is YAML; JSON is parsed first since it may be indented with tabs
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        position = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise bad_configuration(f"The kubeconfig {source} is not valid YAML{position}.") from None  # the cause would show the text


def secrets_in(value: str | dict[str, Any]) -> set[str]:
    """The credentials in a kubeconfig that is a mapping or text."""
    try:
        content = value if isinstance(value, dict) else _parse(value, "")
    except PodwrightError:
        return set()
    users, clusters = (_fields(content, entries) for entries in ("users", "clusters"))
    return set().union(*(entry_secrets(user, {}) for user in users), *(entry_secrets({}, cluster) for cluster in clusters))


def entry_secrets(user: Entry, cluster: Entry) -> set[str]:
    """The credentials in a user and a cluster of a kubeconfig that may be invalid."""
    fields = user | _mapping(_mapping(user.get("auth-provider")).get("config"))
    found = {str(fields[name]) for name in _SECRETS if fields.get(name)} | plugin_secrets(user.get("exec"))
    return found | url_passwords(str(cluster[name]) for name in ("server", "proxy-url") if cluster.get(name))


def plugin_secrets(plugin: object) -> set[str]:
    """The values in the `exec` of a user that may be secret: of variables unless they are ordinary, of arguments if their name says so."""
    given = _mapping(plugin)
    items = [_mapping(item) for item in _list(given.get("env"))]
    variables = [(str(item.get("name")), str(item.get("value") or "")) for item in items]
    args = [str(arg) for arg in _list(given.get("args"))]
    pairs = [(arg, following) for arg, following in itertools.pairwise(args) if "=" not in arg and not following.startswith("-")]
    pairs += [(name, value) for name, equals, value in (arg.partition("=") for arg in args)]
    named = variables + [(name, value) for name, value in pairs if name.startswith("-")]
    found = {value for name, value in named if _SECRET_NAME.search(name)} | {value for name, value in variables if not _ORDINARY.fullmatch(value)}
    return {value for value in found if not _NEVER_SECRET.fullmatch(value)}


def _fields(content: object, entries: str) -> list[Entry]:
    """The users or clusters of a kubeconfig that may be invalid."""
    return [_mapping(_mapping(item).get(ENTRY_FIELDS[entries])) for item in _list(_mapping(content).get(entries))]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _named(items: object, entries: str, source: str) -> dict[str, Entry]:
    """The entries of a list by name."""
    word = ENTRY_FIELDS[entries]
    found: dict[str, Entry] = {}
    items = items or []
    if not isinstance(items, list):
        raise bad_configuration(f"The kubeconfig {source} is invalid: {entries} must be a list.")
    for number, item in enumerate(items):
        if not isinstance(item, dict) or not item.get("name") or not isinstance(item.get(word) or {}, dict):
            raise bad_configuration(f"The kubeconfig {source} is invalid: each item of {entries} must have a name and a mapping {word}.")
        fault = find_fault(item, {"name": str, word: FIELDS[entries]}, f"{entries}[{number}]")
        if fault:
            raise bad_configuration(f"The kubeconfig {source} is invalid: {fault}.")
        name = str(item["name"])
        if name in found:
            raise bad_configuration(f"The kubeconfig {source} is invalid: {entries} has two items named {name!r}.")
        found[name] = item.get(word) or {}
    return found


def _resolve(entry: Entry, entries: str, directory: str) -> Entry:
    """The entry with absolute paths; a command without a slash is left as it is, since it is searched for in PATH."""
    resolved = entry | {name: os.path.join(directory, str(entry[name])) for name in _PATHS[entries] if entry.get(name)}
    plugin = entry.get("exec") or {}
    if entries == "users" and os.sep in str(plugin.get("command") or ""):
        resolved["exec"] = plugin | {"command": os.path.join(directory, plugin["command"])}
    return resolved
