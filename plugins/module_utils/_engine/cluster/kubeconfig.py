# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kubeconfigs as kubectl reads them: several files, the text of one, or a mapping."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field

from ..errors import PodwrightError
from ..libraries import load

LISTS = {"clusters": "cluster", "users": "user", "contexts": "context"}
# Fields that name a file; in a file of its own they are relative to that file.
_PATHS = {"clusters": ("certificate-authority",), "users": ("client-certificate", "client-key", "tokenFile"), "contexts": ()}
_TEXT = re.compile(r"[\n\r{}]|\b(?:apiVersion|clusters|contexts|users|current-context) *:|\$ANSIBLE_VAULT;")
_NOT_A_PATH = re.compile(r"[A-Za-z0-9+/=_.-]{100,}|.{1000,}", re.DOTALL)
_SECRET = ("token", "password", "client-key-data", "id-token", "access-token", "refresh-token", "client-secret")
VAULT = "$ANSIBLE_VAULT;"


def bad_configuration(message: str, hint: str = "Check it with: kubectl config view") -> PodwrightError:
    """The error for a configuration that cannot be used."""
    return PodwrightError(message, reason="BadConfiguration", hint=hint)


def is_text(given) -> bool:
    """Whether a kubeconfig was given as its own text rather than as a path."""
    return isinstance(given, str) and bool(_TEXT.search(given.strip()))


def shown_path(path) -> str:
    """A path for a person; what looks like content rather than a path is not shown."""
    text = str(path)
    if is_text(text) or _NOT_A_PATH.fullmatch(text) or not text.isprintable():
        return f"(a value of {len(text)} characters, not shown)"
    return text


@dataclass
class Kubeconfig:
    """One or several kubeconfigs, merged.

    Attributes:
        source: where it came from, for a person.
        current_context: the name of the context to use unless another one is requested, or an empty string.
        entries: {"clusters" | "users" | "contexts": {name: content}}; files in the content are absolute paths.
    """

    source: str
    current_context: str = ""
    entries: dict = field(default_factory=lambda: {name: {} for name in LISTS})

    def select(self, requested: str | None) -> tuple[dict, dict, str]:
        """(cluster, user, namespace) of the requested or current context. Raises: PodwrightError with the names that exist."""
        name = requested or self.current_context
        if not name:
            raise bad_configuration(
                f"The kubeconfig from {self.source} has no current-context{self._names('contexts')}.", hint="Set context to the name of one of them."
            )
        context = self._find("contexts", name, "context", self.source)
        cluster = self._find("clusters", context.get("cluster"), "cluster", f"context {name!r} of {self.source}")
        user = self._find("users", context["user"], "user", f"context {name!r} of {self.source}") if context.get("user") else {}
        return cluster, user, str(context.get("namespace") or "default")

    def _find(self, kind: str, name, word: str, where: str) -> dict:
        if name not in self.entries[kind]:
            raise bad_configuration(f"The {word} {str(name)[:200]!r} of {where} does not exist{self._names(kind)}.")
        return self.entries[kind][name]

    def _names(self, kind: str) -> str:
        names = ", ".join(sorted(map(str, self.entries[kind]))[:20])
        return f"; {kind}: {names}" if names else f"; there are no {kind}"

    def merge(self, content: dict, where: str, directory: str = "") -> None:
        """Add a kubeconfig: what is there already stays, as in kubectl.

        Args:
            content: its decoded content.
            where: it came from, for a person.
            directory: that its relative paths start from, or an empty string for the current one.
        """
        if not isinstance(content, dict):
            raise bad_configuration(f"The kubeconfig {where} must be a mapping, got {type(content).__name__}.")
        self.current_context = self.current_context or str(content.get("current-context") or "")
        for kind, word in LISTS.items():
            for name, entry in _named(content.get(kind), kind, word, where).items():
                self.entries[kind].setdefault(name, _resolve(entry, kind, directory))


def read_kubeconfig(given, label: str) -> Kubeconfig:
    """Read a kubeconfig.

    Args:
        given: paths separated by `:` (those that do not exist and empty files are ignored), YAML or JSON text, or a mapping.
        label: what a person sees before the paths: `kubeconfig ` for the option, `NAME=` for a variable.

    Raises: PodwrightError; it never shows more than a path.
    """
    name = label.strip(" =")
    if isinstance(given, dict):
        config = Kubeconfig(f"the mapping of {name}")
        config.merge(given, f"given as a mapping ({name})")
        return config
    if not isinstance(given, str):
        raise bad_configuration(f"{name}: must be a path, YAML or JSON text, or a mapping, got {type(given).__name__}.", hint="")
    if is_text(given):
        config = Kubeconfig(f"the text of {name}")
        config.merge(_parse(given, f"given as text ({name})") or {}, f"given as text ({name})")
        return config
    return _read_files([os.path.expanduser(path) for path in given.strip().split(os.pathsep) if path], label)


def _read_files(paths: list[str], label: str) -> Kubeconfig:
    shown = os.pathsep.join(map(shown_path, paths))
    config = Kubeconfig(label + shown)
    present = [path for path in dict.fromkeys(paths) if os.path.exists(path)]
    if not present:
        raise PodwrightError(
            f"The kubeconfig file {shown} does not exist (from {config.source}).", reason="NoConfiguration", hint="Correct the path, or create the file."
        )
    for path in present:
        where = f"file {shown_path(path)}"
        try:
            with open(path, encoding="utf-8-sig") as stream:
                text = stream.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
            raise bad_configuration(f"The kubeconfig {where} cannot be read: {reason}.") from error
        config.merge(_parse(text, where) or {}, where, os.path.dirname(os.path.abspath(path)))
    return config


def _parse(text: str, where: str):
    yaml = load("yaml")
    if text.lstrip().startswith(VAULT):
        raise bad_configuration(
            f"The kubeconfig {where} is encrypted with Ansible Vault.",
            hint="Give its content with lookup('ansible.builtin.file', PATH), which decrypts it, or run the task with a local connection.",
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass  # YAML it is; JSON may have tabs where YAML must not
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)  # of the text itself nothing is shown
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise bad_configuration(f"The kubeconfig {where} is not valid YAML{place}.") from None


def secrets_in(given: str | dict) -> set[str]:
    """The credentials in a kubeconfig that was given as a mapping or as text."""
    try:
        content = given if isinstance(given, dict) else _parse(given, "")
    except PodwrightError:
        return set()
    entries = content.get("users") if isinstance(content, dict) else None
    users = [entry.get("user") for entry in entries or [] if isinstance(entry, dict)] if isinstance(entries, list) else []
    found = set()
    for user in filter(lambda user: isinstance(user, dict), users):
        provider = user.get("auth-provider") if isinstance(user.get("auth-provider"), dict) else {}
        fields = user | (provider.get("config") if isinstance(provider.get("config"), dict) else {})
        found |= {str(fields[name]) for name in _SECRET if fields.get(name)}
    return found


def _named(items, kind: str, word: str, where: str) -> dict:
    found = {}
    if not isinstance(items or [], list):
        raise bad_configuration(f"The kubeconfig {where} is invalid: {kind} must be a list.")
    for item in items or []:
        if not isinstance(item, dict) or not item.get("name") or not isinstance(item.get(word) or {}, dict):
            raise bad_configuration(f"The kubeconfig {where} is invalid: each item of {kind} must have a name and a mapping {word}.")
        if item["name"] in found:
            raise bad_configuration(f"The kubeconfig {where} is invalid: {kind} has two items named {item['name']!r}.")
        found[item["name"]] = item.get(word) or {}
    return found


def _resolve(entry: dict, kind: str, directory: str) -> dict:
    """The entry with paths that do not depend on the current directory; a command without a slash is searched for in PATH."""
    resolved = entry | {name: os.path.join(directory, str(entry[name])) for name in _PATHS[kind] if entry.get(name)}
    command = entry.get("exec") or {}
    if kind == "users" and isinstance(command, dict) and os.sep in str(command.get("command") or ""):
        resolved["exec"] = command | {"command": os.path.join(directory, command["command"])}
    return resolved
