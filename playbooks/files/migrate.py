# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rewrite playbooks and roles that use kubernetes.core for podwright.core, and report what cannot be rewritten.

Only lines with module names and options change: comments, formatting and templates are kept. The data of the rewritten text is compared with what was
meant to change; a task whose rewriting changes anything else is left as it is. Without --write nothing is written, and the changes are printed as a
diff. docs/guides/from-kubernetes-core.md describes the rules.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import yaml

PREFIXES = ("kubernetes.core.", "community.kubernetes.", "community.okd.", "redhat.openshift.", "")
MODULES = {
    "k8s": "resource_set",
    "k8s_info": "pod_info",
    "k8s_facts": "pod_info",
    "k8s_exec": "pod_exec",
    "k8s_cp": "pod_copy",
    "k8s_log": "pod_logs",
    "k8s_scale": "pod_autoscale",
    "k8s_json_patch": "resource_set",
    "k8s_service": "resource_set",
}
SPEC = ("type", "ports", "selector")  # options of k8s_service
MANIFESTS = ("definition", "resource_definition", "inline", "src", "template")
HELM = ("helm", "helm_info", "helm_plugin", "helm_plugin_info", "helm_pull", "helm_registry_auth", "helm_repository", "helm_template")
INSTEAD = {
    "k8s_service": "resource_set with kind: Service and the options as its spec",
    "k8s_rollback": "resource_set with the manifest of the earlier revision, or pod_deployment with state: rolled_back",
    "k8s_drain": "kubectl drain, or resource_set with state: patched and spec.unschedulable to cordon a node",
    "k8s_taint": "resource_set with kind: Node, state: patched and spec.taints",
    "k8s_cluster_info": "pod_info, whose result contains cluster and api_found, or kubectl version and api-resources",
    **dict.fromkeys(HELM, "kubernetes.core, since podwright.core has no counterpart for Helm"),
}
TASK_LISTS = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")
GROUP = "group/podwright.core.all"
GROUPS = {f"group/{prefix}k8s": GROUP for prefix in ("kubernetes.core.", "community.kubernetes.", "")}
GROUP_MEMBERS = {"k8s", "k8s_cp", "k8s_drain", "k8s_exec", "k8s_facts", "k8s_info", "k8s_log", "k8s_scale", "k8s_service"}
OBJECT_MODULES = ("k8s", "k8s_json_patch", "k8s_service")
TEXT_MODULES = ("k8s_cp", "k8s_exec", "k8s_log")  # whose options can be text
ELSEWHERE = re.compile(r"(?:ansible\.(?:builtin|legacy)\.)?(?:roles|include|(?:include|import)_(?:role|tasks))")
KEPT_KUBECONFIG = "refreshed tokens are not written to the kubeconfig"
SYNTAX = "its anchors, aliases or syntax do not allow to rewrite nothing but it"
VARIABLES = {
    **{f"ansible_kubectl_{name}": f"ansible_podwright_{name}" for name in ("pod", "container", "namespace", "kubeconfig", "context", "host", "username")},
    **{f"ansible_kubectl_{name}": f"ansible_podwright_{name}" for name in ("password", "client_cert", "client_key", "ca_cert", "validate_certs")},
    "ansible_kubectl_config": "ansible_podwright_kubeconfig",
    "ansible_kubectl_server": "ansible_podwright_host",
    "ansible_kubectl_user": "ansible_podwright_username",
    "ansible_kubectl_token": "ansible_podwright_api_key",
    "ansible_kubectl_api_key": "ansible_podwright_api_key",
    "ansible_kubectl_cert_file": "ansible_podwright_client_cert",
    "ansible_kubectl_key_file": "ansible_podwright_client_key",
    "ansible_kubectl_ssl_ca_cert": "ansible_podwright_ca_cert",
    "ansible_kubectl_verify_ssl": "ansible_podwright_validate_certs",
}
LEFT = re.compile(r"(?<![\w.])(?:kubernetes\.core|community\.kubernetes)\.\w+|(?:community\.okd|redhat\.openshift)\.k8s\b|ansible_kubectl_\w+")
LOOKUP = r"""\b(?:lookup|query|q)\(\s*(?P<quote>{quotes})(?P<name>(?:(?:kubernetes\.core|community\.kubernetes)\.)?k8s)(?P=quote)"""
# What a call consists of, as far as it matters to find its own arguments.
PARTS = r"""(?P<string>(?P<quote>{quotes})(?P<text>(?:(?!(?P=quote)).)*)(?P=quote))|(?P<open>[(\[{{])|(?P<close>[)\]}}])|(?P<name>[A-Za-z_]\w*)\s*=(?!=)"""
LOOPS = {f"with_{prefix}k8s" for prefix in ("kubernetes.core.", "community.kubernetes.", "")}
NARROWING = {"namespace", "resource_name", "resource_definition", "src", "cluster_info"}
ITEM = r"""(?:\.{name}\b|\[\s*(?:\\?"|''?){name}(?:\\?"|''?)\s*\])"""
RESULT, LIST, METHOD, LINES = (ITEM.format(name=name) for name in ("result", "results", "method", "log_lines"))
RESULTS = (
    (re.compile(RESULT + LIST), "result.results of k8s is resources here, and what was done to each object is plan"),
    (re.compile(rf"(?<=[\w)\]]){METHOD}"), "method of k8s is plan[0].action here"),
    (re.compile(rf"{RESULT}(?=[^}}]*\bb64decode\b)"), "of a Secret, read the values with podwright.core.pod_info, secret_values: true and no_log: true"),
    (
        re.compile(rf"{LINES}(?=\[-|\s*\|\s*(?:last|length|count)\b)"),
        "log_lines of k8s_log have an empty last line, and those of podwright.core.pod_logs do not",
    ),
)
# Templates whose value can be empty.
EMPTY = re.compile(r"""\bomit\b|\b(?:default|d)\(\s*(?:''|""|[Nn]one)?\s*[,)]|\belse\s+(?:''|""|[Nn]one\b)""")
SECRETS, PODS = ("secret", "secrets"), ("pod", "pods", "po")
SKIPPED_DIRECTORIES = {".git", ".tox", ".venv", "venv", "node_modules"}
COLLECTIONS = {"collections", "ansible_collections"}  # usually they are installed
TASK_DIRECTORIES = {"tasks", "handlers"}
# Keys of plays and tasks that hardly any other data has.
TASK_WORDS = {"hosts", "import_playbook", "block", "local_action", "register", "when", "loop", "until", "notify", "listen", "become", "no_log"}
TASK_WORDS |= {"changed_when", "failed_when", "ignore_errors", "delegate_to", "run_once", "module_defaults", "set_fact"}
TASK_NAMES = re.compile(r"with_\w+|\w+\.\w+\.[\w.]+")
CONNECTIONS = ("kubernetes.core.kubectl", "community.kubernetes.kubectl", "kubectl")
VAULT = "$ANSIBLE_VAULT;"
FAILED, BAD_USAGE = 1, 2
SIMPLE = re.compile(r"""(?![&*!|>])[^\n]*""")
COMMENT = re.compile(r"[ \t]*(?:#.*)?(?=\r?\n|\Z)")
EMPTY_LINES = re.compile(r"(?:[ \t]*\r?\n)*")
NULL_TAG = "tag:yaml.org,2002:null"
TEXT_TAG = "tag:yaml.org,2002:str"

Edit = tuple[int, int, str]
Default = tuple[yaml.Node, yaml.Node]
Entries = dict[str, Default]
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Merged:
    """A task whose manifest Podwright applies: it removes what another such task sets in the same object.

    Attributes:
        index: where its module is named.
        kind, name: of the object, as they are written.
        namespace: of the object; None if it is not literal.
        is_merge: whether kubernetes.core merges the manifest, and removes nothing.
    """

    index: int
    kind: str
    name: str
    namespace: str | None
    is_merge: bool

    def shares_object(self, other: Merged) -> bool:
        """Whether both may be about the same object."""
        namespaces = {self.namespace, other.namespace} - {None}
        return self.identity == other.identity and len(namespaces) < 2

    @property
    def identity(self) -> tuple[str, str]:
        """The kind, in any case, and the name."""
        return self.kind.lower(), self.name


@dataclass
class File:
    """A file that is rewritten.

    Attributes:
        text: its text.
        refused: where units start that are left as they are, and why: names of tasks and variables, and texts with lookups.
        units: where the units start that are rewritten.
        changes: (start, end, replacement) of pieces of the text, besides the options that are removed.
        mappings: the mappings with options that are removed, by id.
        removed: the ids of the keys of these options.
        extended: the ids of the mappings with options that are inserted.
        renamed: the new values of scalars, by the ids of their mapping, or 0, and of themselves.
        intents: what is meant to change in the data of a place: (path, function of the data).
        reports: (index, text) of what is left to do.
        merged: the tasks that are rewritten and apply a manifest of one object.
    """

    text: str
    refused: dict[int, str] = field(default_factory=dict)
    units: set[int] = field(default_factory=set)
    changes: set[Edit] = field(default_factory=set)
    mappings: dict[int, yaml.MappingNode] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    extended: set[int] = field(default_factory=set)
    renamed: dict[tuple[int, int], str] = field(default_factory=dict)
    intents: list[tuple[Path, Callable[[Any], Any]]] = field(default_factory=list)
    reports: set[tuple[int, str]] = field(default_factory=set)
    merged: list[Merged] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.documents = list(yaml.compose_all(self.text, Loader=yaml.SafeLoader))
        # Between these there are only spaces, line breaks, comments and `?`.
        self.tokens = [
            token
            for token in yaml.scan(self.text, Loader=yaml.SafeLoader)
            if token.end_mark.index > token.start_mark.index and not isinstance(token, yaml.KeyToken)
        ]
        self.starts = [token.start_mark.index for token in self.tokens]

    def report(self, node: yaml.Node, text: str) -> None:
        """Report what is to be done by hand where a node is."""
        self.reports.add((node.start_mark.index, text))

    def may_rewrite(self, node: yaml.Node, name: str) -> bool:
        """Note that a unit is to be rewritten. Returns: False, with a report, if it must be left as it is."""
        self.units.add(node.start_mark.index)
        why = self.refused.get(node.start_mark.index)
        if why:
            self.report(node, f"{name} is left as it is, since {why}")
        return why is None

    def replace(self, node: yaml.Node, old: str, new: str) -> None:
        """Replace the beginning of a scalar, whatever its quotes; without an edit if it is not written like that, such as with escapes."""
        start = self.text.find(old, node.start_mark.index, node.end_mark.index)
        if start >= 0:
            self.changes.add((start, start + len(old), new))

    def insert(self, module: yaml.Node, options: yaml.MappingNode, lines: list[str]) -> None:
        """Insert options of a module, or of its `args`, before the first one that is kept, and before the comment about it; once for aliases of a mapping."""
        if id(options) in self.extended:
            return
        self.extended.add(id(options))
        first = next(key for key, _value in options.value if id(key) not in self.removed).start_mark
        newline = "\r\n" if "\r\n" in self.text else "\n"
        indentation = " " * first.column
        if not options.flow_style and module.end_mark.line < options.value[0][0].start_mark.line:
            index = self.text.find("\n", module.end_mark.index) + 1
            self.changes.add((index, index, "".join((indentation + line if line else "") + newline for line in lines)))
        else:
            separator = ", " if options.flow_style else newline + indentation
            self.changes.add((first.index, first.index, "".join(line + separator for line in lines)))

    def remove(self, options: yaml.MappingNode, key: yaml.Node) -> None:
        """Remove an option of a mapping, with a comment behind its value; the last one that is left is kept, with a report."""
        if not any(id(each) not in self.removed for each, _value in options.value if each is not key):
            self.report(key, f"remove {key.value}, or the task")
            return
        self.removed.add(id(key))
        self.mappings[id(options)] = options

    def end_of(self, node: yaml.MappingNode, position: int) -> int:
        """Where a value of a mapping ends, without the comments and empty lines that follow it: nodes of aliases are where their anchors are."""
        token = self._last_token(node, position)
        end = token.end_mark.index
        if isinstance(token, yaml.ScalarToken) and token.style in ("|", ">"):
            end = len(self.text[:end].rstrip(" \t\r\n"))
        return int(max(end, node.value[position][0].end_mark.index))

    def _last_token(self, node: yaml.MappingNode, position: int) -> yaml.Token:
        """The last token of a value of a mapping."""
        is_last = position + 1 == len(node.value)
        limit = node.end_mark.index - bool(node.flow_style) if is_last else node.value[position + 1][0].start_mark.index
        found = bisect_left(self.starts, limit) - 1
        while isinstance(self.tokens[found], yaml.FlowEntryToken):
            found -= 1
        return self.tokens[found]

    def _keeps_breaks(self, token: yaml.Token) -> bool:
        """Whether empty lines that follow a token belong to it, since it is a text with `+`."""
        header = self.text[token.start_mark.index :].split("\n", 1)[0].split("#")[0]
        return isinstance(token, yaml.ScalarToken) and token.style in ("|", ">") and "+" in header

    def source(self, node: yaml.MappingNode, position: int) -> str:
        """An entry of a mapping as it is written, with the comment behind it, or the empty lines that belong to it."""
        end = self.end_of(node, position)
        token = self._last_token(node, position)
        if self._keeps_breaks(token):
            end = max(end, len(self.text[: token.end_mark.index].rstrip(" \t").removesuffix("\n").removesuffix("\r")))
        comment = COMMENT.match(self.text, end)
        if comment and not node.flow_style:
            end = comment.end()
        return self.text[node.value[position][0].start_mark.index : end]

    def body_of(self, scalar: yaml.ScalarNode) -> int:
        """Where a scalar begins, behind the indicators and the comment of a block."""
        start: int = scalar.start_mark.index
        return self.text.find("\n", start) + 1 if scalar.style in ("|", ">") else start

    def edits(self) -> list[Edit]:
        """(start, end, replacement) of pieces of the text, in order."""
        removals = [removal for options in self.mappings.values() for removal in self._removals(options)]
        return sorted(self.changes.union(removals))

    def _removals(self, options: yaml.MappingNode) -> list[Edit]:
        found: list[Edit] = []
        has_kept = False
        before: yaml.Token | None = None  # the token before the options that are removed next to each other
        for position, (key, _value) in enumerate(options.value):
            start, end = key.start_mark.index, self.end_of(options, position)
            line = self.text.rfind("\n", 0, start) + 1
            if id(key) not in self.removed:
                has_kept, before = True, None
                continue
            before = before or self.tokens[bisect_left(self.starts, start) - 1]
            if options.flow_style:
                found += self._flow_removal(start, end, has_kept, found[-1][1] if found else 0)
            elif not self.text[line:start].strip(" "):  # else no edit: the first option is behind `?` or `:`
                end = self.text.find("\n", end) + 1 or len(self.text)
                blank = EMPTY_LINES.match(self.text, end) if self._keeps_breaks(before) else None
                found.append((line, blank.end() if blank else end, ""))
        return found

    def _flow_removal(self, start: int, end: int, has_kept: bool, removed_to: int) -> list[Edit]:
        """The removal of an entry of a mapping in braces, with the comma before or after it, but without the comments around it."""
        before, after = self.tokens[bisect_left(self.starts, start) - 1], self.tokens[bisect_left(self.starts, end)]
        comma = before.start_mark.index
        if has_kept and isinstance(before, yaml.FlowEntryToken) and comma >= removed_to and not self.text[comma + 1 : start].strip():
            return [(comma, end, "")]
        if not isinstance(after, yaml.FlowEntryToken):
            return [(start, end, "")]
        end = after.end_mark.index
        line = self.text.rfind("\n", 0, start) + 1
        rest = self.text[end:]
        blank = len(rest) - len(rest.lstrip(" "))
        if rest.lstrip(" ").startswith(("\n", "\r\n")) and not self.text[line:start].strip(" "):
            return [(line, self.text.index("\n", end) + 1, "")]
        return [(start, end if rest[blank : blank + 1] in ("#", "\r", "\n") else end + blank, "")]

    @property
    def rewritten(self) -> str:
        """The text with the edits."""
        return with_edits(self.text, self.edits())

    def is_faithful(self) -> bool:
        """Whether the rewritten text has the data of the text, apart from what is meant to change."""
        edits = self.edits()
        if any(start < end for (_start, end, _text), (start, _end, _other) in pairwise(edits)):
            return False
        known: dict[int, Any] = {}
        expected: Any = dict(enumerate(data_of(document, self.renamed, known) for document in self.documents))
        try:
            for path, change in sorted(self.intents, key=lambda intent: -len(intent[0])):
                expected = with_change(expected, path, change)
            documents = list(yaml.compose_all(self.rewritten, Loader=yaml.SafeLoader))
        except (KeyError, yaml.YAMLError):
            return False
        known_now: dict[int, Any] = {}
        numbers: dict[Any, int] = {}
        actual = dict(enumerate(data_of(document, {}, known_now) for document in documents))
        return number_of(expected, numbers, {}) == number_of(actual, numbers, {})

    def line_of(self, index: int, is_rewritten: bool) -> int:
        """The number of the line of an index of the text, in the text or in the rewritten one."""
        edits = self.edits() if is_rewritten else []
        moved = sum(text.count("\n") - self.text.count("\n", start, end) for start, end, text in edits if start <= index)
        return self.text.count("\n", 0, index) + 1 + moved


def data_of(node: yaml.Node, renamed: dict[tuple[int, int], str], known: dict[int, Any]) -> Any:
    """What a node says: (tag, value) of scalars, and dictionaries of lists and mappings, without `<<`; the same object for the same node."""
    if id(node) in known:
        return known[id(node)]
    found: Any
    merged: dict[Any, Any] = {}
    if isinstance(node, yaml.ScalarNode):
        found = (node.tag, renamed.get((0, id(node)), node.value))
    elif isinstance(node, yaml.SequenceNode):
        found = {None: node.tag} | dict(enumerate(data_of(item, renamed, known) for item in node.value))
    else:
        found = {None: node.tag}
        for position, (key, value) in enumerate(node.value):
            if is_merge(key):
                for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    merged = (data_of(each, renamed, known) if isinstance(each, yaml.MappingNode) else {}) | merged
                continue
            name = renamed.get((id(node), id(key))) or data_of(key, renamed, known)
            if isinstance(name, tuple) and name[0] == TEXT_TAG:
                name = name[1]
            elif isinstance(name, dict):
                found["complex", position] = name
                name = ("value of complex", position)
            new = renamed.get((id(node), id(value)))
            found[name] = (value.tag, new) if new else data_of(value, renamed, known)
        found = merged | found
    known[id(node)] = found
    return found


def with_change(data: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """A copy of data with the data at a path changed. Raises: KeyError if there is none."""
    if not path:
        return change(data)
    return data | {path[0]: with_change(data[path[0]], path[1:], change)}


def number_of(data: Any, numbers: dict[Any, int], known: dict[int, int]) -> int:
    """A number that equal data shares; not a comparison, which visits what aliases repeat over and over."""
    if id(data) not in known:
        key = frozenset((name, number_of(value, numbers, known)) for name, value in data.items()) if isinstance(data, dict) else data
        known[id(data)] = numbers.setdefault(key, len(numbers))
    return known[id(data)]


def call_arguments(text: str, index: int, quotes: str) -> dict[str, str | None]:
    """The named arguments of a call that the index is in, with their values if these are text."""
    found: dict[str, str | None] = {}
    depth, last, end = 1, "", 0
    for part in re.compile(PARTS.format(quotes=quotes), re.DOTALL).finditer(text, index):
        depth += bool(part["open"]) - bool(part["close"])
        if not depth:
            break
        if part["name"] and depth == 1:
            last, end = part["name"], part.end()
            found[last] = None
        elif part["string"] and last and not text[end : part.start()].strip():
            found[last] = part["text"]
        if not part["name"]:
            last = ""
    return found


def convert_lookups(text: str, style: str | None) -> tuple[list[Edit], list[tuple[int, str]]]:
    """The edits of the lookups k8s in a text as it is written in a style of YAML, and (index, report) of what differs."""
    quotes = {"'": "''|\"", '"': r"\\\"|'"}.get(style or "", "'|\"")
    edits, reports = [], []
    for found in re.finditer(LOOKUP.format(quotes=quotes), text):
        given = call_arguments(text, found.end(), quotes)
        kind = (given.get("kind") or "").lower()
        edits.append((*found.span("name"), "podwright.core.objects"))
        if kind in SECRETS:
            reports.append((found.start(), "podwright.core.objects: to use the values of Secrets, set secret_values=true, and no_log: true"))
        if not any(given[name] != "" for name in given.keys() & NARROWING):
            if kind in PODS:
                edits.append((found.end(), found.end(), ", all_namespaces=true"))
            elif not kind:
                reports.append((found.start(), "podwright.core.objects: if kind can be Pod, set all_namespaces=true or namespace"))
    return edits, reports


def is_merge(key: yaml.Node) -> bool:
    """Whether a key is `<<`, without quotes."""
    return bool(key.tag == "tag:yaml.org,2002:merge")


def entries_of(node: yaml.Node | None) -> Entries:
    """The keys and values of a mapping by key, with those that it merges."""
    found: Entries = {}
    merged: Entries = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if is_merge(key):
            for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                merged = entries_of(each) | merged
        else:
            found[str(key.value)] = (key, value)
    return merged | found


def module_of(name: str) -> str | None:
    """The module of kubernetes.core that a name stands for, or None."""
    for prefix in PREFIXES:
        short = name.removeprefix(prefix)
        if (short != name or not prefix) and (short in MODULES or short in INSTEAD):
            return short
    return None


def defaults_of(names: dict[str, list[Default]], module: str) -> list[Default]:
    """The module_defaults that a module gets, those of the action group first."""
    group = "group" if module in GROUP_MEMBERS else GROUP if module.startswith("podwright.core.") else ""
    return [*names.get(group, ()), *names.get(module, ())]


def is_true(node: yaml.Node | None) -> bool:
    """Whether a value is a literal true."""
    return isinstance(node, yaml.ScalarNode) and node.value.lower() in ("true", "yes", "on", "1")


def is_false(node: yaml.Node | None) -> bool:
    """Whether a value is a literal false."""
    return isinstance(node, yaml.ScalarNode) and node.value.lower() in ("false", "no", "off", "0")


def is_template(node: yaml.Node | None) -> bool:
    """Whether a value is a scalar that is not literal."""
    return isinstance(node, yaml.ScalarNode) and value_of(node) is None


def value_of(node: yaml.Node | None) -> str | None:
    """A literal scalar; None if there is none, or it is a template."""
    return node.value if isinstance(node, yaml.ScalarNode) and "{{" not in node.value and "{%" not in node.value else None


def texts_of(node: yaml.Node) -> list[str]:
    """The literal scalars of a list, or of one value."""
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return [text for text in map(value_of, items) if text is not None]


def scalars_of(node: yaml.Node, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    """The scalars of a node, each once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield node
        return
    for item in node.value:
        for each in item if isinstance(item, tuple) else (item,):
            yield from scalars_of(each, seen)


@dataclass
class Options:
    """The options of a task, or of a module in module_defaults.

    Attributes:
        node: their mapping.
        path: where it is in the data.
        place: the key that it is the value of, after which options are inserted.
        inherited: the options that module_defaults set.
        is_defaults: whether they are in module_defaults.
        is_registered: whether the result of the task is used.
        added: the names of the options that are added.
        given: the options, with those that are merged.
        everything: the options, with those that are inherited.
    """

    node: Any
    path: Path
    place: yaml.Node
    inherited: Entries
    is_defaults: bool = False
    is_registered: bool = False

    def __post_init__(self) -> None:
        self.given = entries_of(self.node)
        self.everything = {**self.inherited, **self.given}
        self.added: set[str] = set()

    def text(self, name: str) -> str | None:
        """The literal value of an option, or None."""
        return value_of(self.everything[name][1]) if name in self.everything else None

    def is_set(self, name: str) -> bool:
        """Whether an option has a value that is not empty."""
        return name in self.everything and self.everything[name][1].tag != NULL_TAG and self.text(name) != ""

    def value(self, name: str) -> yaml.Node | None:
        """The value of an option that is set here."""
        return self.given[name][1] if name in self.given else None

    def position(self, name: str) -> int:
        """The position of an option in the mapping itself; -1 for one that is merged or missing."""
        return next((position for position, (key, _value) in enumerate(self.node.value) if name in self.given and key is self.given[name][0]), -1)


@dataclass
class Addition:
    """An option that is added: its lines, and the data that they mean."""

    name: str
    lines: list[str]
    data: Any

    @classmethod
    def of(cls, name: str, text: str, kind: str = "str") -> Addition:
        """An option with a literal scalar."""
        return cls(name, [f"{name}: {text}"], (f"tag:yaml.org,2002:{kind}", text))


@dataclass
class Scope:
    """The module_defaults of a play, block or task: their keys and values by the module, by `group` or by the name of podwright.core.

    Attributes:
        before: those that are written.
        after: those of the rewritten text.
    """

    before: dict[str, list[Default]] = field(default_factory=dict)
    after: dict[str, list[Default]] = field(default_factory=dict)

    def inherited(self, module: str) -> Entries:
        """The options that a module of kubernetes.core gets."""
        return {name: entry for _key, value in defaults_of(self.before, module) for name, entry in entries_of(value).items()}


@dataclass
class Use:
    """A task, and the module_defaults that it gets before and after the rewriting.

    Attributes:
        key: the name of its module.
        own: the options that it sets itself; module_defaults do not apply to these.
        is_converted: whether its module is replaced.
    """

    key: yaml.Node
    before: list[Default]
    after: list[Default]
    own: set[str]
    is_converted: bool

    def conflicts(self) -> dict[int, str]:
        """What must be left, by where it starts, so that the task gets the module_defaults that it got."""
        changed = [each for each in self.before if each not in self.after] + [each for each in self.after if each not in self.before]
        names = sorted({name for _key, value in changed for name in entries_of(value)} - self.own - {"persist_config"})
        if not names and not any(is_template(value) for _key, value in changed):
            return {}
        if self.is_converted:
            return {self.key.start_mark.index: f"it would get other module_defaults: set {', '.join(names) or 'their options'} in it"}
        return dict.fromkeys((key.start_mark.index for key, _value in changed), "tasks that are left as they are need it, or others would get it")


class Migration:
    """The rewriting of one file, apart from the units that are refused."""

    def __init__(self, text: str, refused: dict[int, str] | None = None, is_tasks: bool = True) -> None:
        self.file = File(text, refused or {})
        self._uses: list[Use] = []
        self._items: set[int] = set()  # the ids of plays, blocks, tasks and roles
        self._is_tasks = is_tasks

    def conflicts(self) -> dict[int, str]:
        """Units whose rewriting would change the module_defaults of a task, and why."""
        return {index: why for use in self._uses for index, why in use.conflicts().items() if index not in self.file.refused}

    def run(self) -> File:
        """Rewrite the file. Raises: yaml.YAMLError if it is not YAML, RecursionError if it is nested too deeply."""
        for position, document in enumerate(self.file.documents):
            if self._is_tasks or has_tasks(document):
                self._rewrite_items(document, Scope(), (position,))
            else:
                self._report_short_names(document)
            self._rewrite_connection(document, set())
        edits = self.file.edits()
        seen: set[int] = set()
        for scalar in (scalar for document in self.file.documents for scalar in scalars_of(document, seen)):
            self._rewrite_lookups(scalar, edits)
        self._report_rest()
        return self.file

    def _report_short_names(self, items: yaml.Node) -> None:
        """Report what may be tasks in a list that may be other data."""
        for item in items.value if isinstance(items, yaml.SequenceNode) else ():
            for name, (key, _value) in entries_of(item).items():
                if module_of(name):
                    self.file.report(key, f"{name} is left as it is, since the list may be no list of tasks: if it is one, write kubernetes.core.{name}")

    def _rewrite_lookups(self, scalar: yaml.ScalarNode, edits: list[Edit]) -> None:
        """Rewrite the lookup k8s in a text, and report what differs."""
        offset = self.file.body_of(scalar)
        expected, _reports = convert_lookups(scalar.value, None)
        found, reports = convert_lookups(self.file.text[offset : scalar.end_mark.index], scalar.style)
        if not (found or expected) or any(start <= offset < end for start, end, _text in edits):
            return
        if self.file.may_rewrite(scalar, "the lookup k8s"):
            self.file.changes.update((offset + start, offset + end, text) for start, end, text in found)
            self.file.reports.update((offset + start, report) for start, report in reports)
            self.file.renamed[0, id(scalar)] = with_edits(scalar.value, expected)

    def _report_rest(self) -> None:
        """Report names of kubernetes.core that are neither rewritten nor reported, such as those in templates, and results that differ."""
        reported = {self.file.line_of(index, False) for index, _text in self.file.reports}
        edits = self.file.edits()
        seen: set[int] = set()
        for scalar in (scalar for document in self.file.documents for scalar in scalars_of(document, seen)):
            for pattern, text in ((LEFT, ""), *RESULTS):
                for found in pattern.finditer(self.file.text, self.file.body_of(scalar), scalar.end_mark.index):
                    index = found.start()
                    if any(start <= index < end for start, end, _text in edits):
                        continue
                    if text or self.file.line_of(index, False) not in reported:
                        self.file.reports.add((index, text or f"{found[0]} is left as it is"))

    def _rewrite_items(self, items: yaml.Node, scope: Scope, path: Path) -> None:
        for position, item in enumerate(items.value if isinstance(items, yaml.SequenceNode) else ()):
            if isinstance(item, yaml.MappingNode):
                self._rewrite_item(item, scope, (*path, position))

    def _rewrite_item(self, item: yaml.MappingNode, scope: Scope, path: Path) -> None:
        """Rewrite a play, block or task."""
        entries = entries_of(item)
        self._items.add(id(item))
        if "hosts" in entries and "roles" in entries:
            self._items |= {id(role) for role in entries["roles"][1].value}
        if "module_defaults" in entries:
            key, value = entries["module_defaults"]
            is_changed, found = self._rewrite_defaults(value, (*path, "module_defaults"))
            scope = Scope(scope.before | found.before, scope.after | found.after)
            if is_changed and any(ELSEWHERE.fullmatch(scalar.value) for scalar in scalars_of(item, set())):
                self.file.report(
                    key, "module_defaults also apply to the tasks of roles and included files: rewrite these as well, and check what is left in them"
                )
        for name, (key, value) in entries.items():
            if name in TASK_LISTS:
                self._rewrite_items(value, scope, (*path, name))
            elif name in LOOPS:
                self.file.report(key, f"{name}: use loop with query('podwright.core.objects', ...)")
            elif name in ("action", "local_action"):
                self._rewrite_action(entries, name, scope, path)
            elif name.startswith("podwright.core."):
                before, after = (defaults_of(names, name) for names in (scope.before, scope.after))
                self._uses.append(Use(key, before, after, set(entries_of(value)), False))
            elif "hosts" not in entries and (module := module_of(name)) and self._rewrite_task(entries, key, name, value, scope, (*path, name)):
                self.file.intents.append((path, renaming(name, f"podwright.core.{MODULES[module]}")))

    def _rewrite_defaults(self, node: yaml.Node, path: Path) -> tuple[bool, Scope]:
        """Rewrite module_defaults. Returns: whether any of them change, and all of them."""
        found = Scope()
        entries = entries_of(node)
        is_changed = False
        for name, (key, value) in entries.items():
            module = "group" if name in GROUPS else module_of(name) or name
            target = GROUPS.get(name) or (f"podwright.core.{MODULES[module]}" if module in MODULES and module not in INSTEAD else None)
            found.before.setdefault(module, []).append((key, value))
            if module in INSTEAD:
                self.file.report(key, f"{name}: use {INSTEAD[module]}")
            elif target and (target in entries or target in found.after):
                self.file.report(key, f"{name}: merge it into {target}, which is set as well")
            elif target and self.file.may_rewrite(key, name) and self._convert_defaults(module, Options(value, (*path, name), key, {}, is_defaults=True)):
                self.file.replace(key, name, target)
                self.file.intents.append((path, renaming(name, target)))
                module, is_changed = target, True
            found.after.setdefault(module, []).append((key, value))
        return is_changed, found

    def _convert_defaults(self, module: str, options: Options) -> bool:
        """Rewrite the options of a module, or of the action group. Returns: whether its name can be replaced."""
        if is_template(options.node):
            self.file.report(options.place, f"{options.path[-1]}: its options are a template: write them as a mapping")
            return False
        if module != "group":
            return not options.given or self._convert(module, options)
        names = [name for name in ("apply", "force", "merge_type", "server_side_apply", "validate") if name in options.given]
        if names or set(options.given) == {"persist_config"}:
            self.file.report(options.place, f"{options.path[-1]}: remove {', '.join(names) or 'it'}: not all modules of podwright.core have this option")
            return False
        self._drop(options, "persist_config", KEPT_KUBECONFIG)
        return True

    def _rewrite_action(self, task: Entries, action: str, scope: Scope, path: Path) -> None:
        """Rewrite `action` and `local_action`, whose value is text or a mapping with `module`."""
        value = task[action][1]
        path, key, name = (*path, action), value, None
        if isinstance(value, yaml.MappingNode) and "module" in (entries := entries_of(value)):
            key = entries["module"][1]
            name = value_of(key)
        elif isinstance(value, yaml.ScalarNode):
            name = value.value.split(" ", 1)[0]
        if name and (module := module_of(name)) and self._rewrite_task(task, key, name, value, scope, path):
            place = path if key is value else (*path, "module")
            self.file.intents.append((place, beginning(name, f"podwright.core.{MODULES[module]}")))

    def _rewrite_task(self, task: Entries, key: yaml.Node, name: str, value: yaml.Node, scope: Scope, path: Path) -> bool:
        """Rewrite a task. Returns: whether its module is replaced."""
        module = module_of(name) or ""
        place = key
        if isinstance(value, yaml.ScalarNode) and "args" in task and value.value in ("", name):
            place, value = task["args"]
            path = (*path[:-1], "args")
        options = Options(value, path, place, scope.inherited(module), is_registered="register" in task)
        is_converted = self._convert_task(key, name, module, options)
        target = f"podwright.core.{MODULES[module]}" if is_converted else module
        if is_converted:
            self.file.replace(key, name, target)
        own = {*options.given, *options.added}
        self._uses.append(Use(key, defaults_of(scope.before, module), defaults_of(scope.after, target), own, is_converted))
        return is_converted

    def _convert_task(self, key: yaml.Node, name: str, module: str, options: Options) -> bool:
        """Rewrite the options of a task. Returns: whether its module can be replaced."""
        if module in INSTEAD and module not in MODULES:
            self.file.report(key, f"{name}: use {INSTEAD[module]}")
            return False
        if not self.file.may_rewrite(key, name):
            return False
        if isinstance(options.node, yaml.MappingNode) and options.node.value:
            return self._convert(module, options)
        return self._convert_text(key, name, module, options)

    def _convert_text(self, key: yaml.Node, name: str, module: str, options: Options) -> bool:
        """Whether a task can be rewritten whose options are text (`k8s_exec: pod=web command=ls`) or a template."""
        text = options.node.value if isinstance(options.node, yaml.ScalarNode) else "{{"
        is_same = not (module == "k8s_exec" and options.is_registered) and not re.search(r"\b(persist_config|kind|label_selectors|all_containers)\b", text)
        if module in TEXT_MODULES and "{{" not in text.split("=")[0] and is_same:
            return True
        self.file.report(key, f"{name}: its options are text or a template: write them as a mapping")
        return False

    def _convert(self, module: str, options: Options) -> bool:
        """Rewrite the options of a module. Returns: whether the module can be replaced."""
        if obstacle := self._obstacle(module, options):
            self.file.report(options.place, f"{module}: {obstacle}")
            return False
        self._drop(options, "persist_config", KEPT_KUBECONFIG)
        if module in OBJECT_MODULES:
            self._convert_objects(module, options)
        if module in ("k8s_info", "k8s_facts"):
            self._convert_info(options)
        if module == "k8s_exec" and options.is_registered:
            self._add(options, [Addition.of("strip_empty_ends", "false", "bool")])
        if module == "k8s_cp" and "content" not in options.given:
            self.file.report(
                options.place, "podwright.core.pod_copy: a directory that is copied to an existing one is not nested under its name; check remote_path"
            )
        return True

    def _drop(self, options: Options, name: str, why: str) -> None:
        if self._remove(options, name):
            self.file.report(options.given[name][0], f"{name} was removed: {why}")

    def _remove(self, options: Options, name: str) -> bool:
        """Remove an option of the mapping itself; one that it merges is reported, unless it was removed where it is. Returns: whether it is removed."""
        if name not in options.given:
            return False
        key = options.given[name][0]
        if options.position(name) >= 0:
            self.file.remove(options.node, key)
        elif id(key) not in self.file.removed:
            self.file.report(key, f"remove {name}, which is merged into the options of a module of podwright.core")
        if id(key) not in self.file.removed:
            return False
        self.file.intents.append((options.path, removal(name)))
        return True

    def _add(self, options: Options, additions: list[Addition]) -> None:
        self.file.insert(options.place, options.node, [line for addition in additions for line in addition.lines])
        options.added |= {addition.name for addition in additions}
        self.file.intents += [(options.path, addition_of(addition)) for addition in additions]

    def _convert_info(self, options: Options) -> None:
        literal = (options.text("kind") or "").lower()
        if literal in SECRETS:
            self.file.report(options.place, "podwright.core.pod_info: to use the values of Secrets, set secret_values: true and no_log: true")
        if literal in PODS and not options.is_defaults and not any(options.is_set(name) for name in ("namespace", "name")):
            self._add(options, [Addition.of("all_namespaces", "true", "bool")])

    def _obstacle(self, module: str, options: Options) -> str | None:
        """What is to be done before a task can be rewritten, or None."""
        if module == "k8s_scale":
            named = [name for name in ("resource_definition", "definition", "inline", "src") if name in options.given]
            return f"{named[0]}: set kind, name and namespace instead" if named else None
        if module in ("k8s_info", "k8s_facts"):
            return self._obstacle_of_info(options)
        if module == "k8s_log":
            return self._obstacle_of_log(options)
        return self._obstacle_of_objects(module, options) if module in OBJECT_MODULES else None

    def _obstacle_of_info(self, options: Options) -> str | None:
        kind = options.text("kind")
        names = [name for name in ("namespace", "name") if options.is_set(name)]
        if options.is_defaults or "kind" not in options.everything or (kind is not None and kind.lower() not in PODS):
            return None
        if any(not EMPTY.search(options.everything[name][1].value) for name in names if isinstance(options.everything[name][1], yaml.ScalarNode)):
            return None
        if kind is None:
            return "if kind can be Pod, set namespace, or use podwright.core.pod_info with all_namespaces: true"
        return f"{names[0]} can be empty: set it, or use podwright.core.pod_info with all_namespaces: true" if names else None

    def _obstacle_of_log(self, options: Options) -> str | None:
        selectors = options.everything.get("label_selectors", (None, None))[1]
        if ("kind" in options.everything and (options.text("kind") or "").lower() not in PODS) or (options.is_set("label_selectors") and selectors.value):
            return "it reads one of several pods: set the name of a pod, or use podwright.core.pod_logs, which reads all of them"
        if options.is_set("all_containers") and not is_false(options.everything["all_containers"][1]):
            return "all_containers: use podwright.core.pod_logs, where each line has the names of its pod and container"
        return None

    def _obstacle_of_objects(self, module: str, options: Options) -> str | None:
        """What is to be done before a task that writes objects can be rewritten, or None."""
        given, everything = options.given, options.everything
        has_manifest = any(name in everything for name in MANIFESTS)
        if module == "k8s_service":
            spec = [name for name in SPEC if name in everything]
            texts = [self.file.source(options.node, options.position(name)) for name in spec if options.position(name) >= 0]
            if spec and (has_manifest or len(texts) < len(spec) or any(has_leftovers(text) for text in texts)):
                return f"use {INSTEAD[module]}"
        elif not options.is_defaults and "name" in everything and "kind" not in everything and has_manifest and not self._kind_of(everything):
            return "name without kind would be the name of a set: add kind, or remove name if the manifest contains it"
        if "merge_type" in given and (obstacle := self._obstacle_of_merge(options)):
            return obstacle
        force = options.value("force")
        if is_true(force) or is_template(force):
            return "force replaces objects: write manifests with all their fields, and on_immutable: replace if fields are immutable"
        if "server_side_apply" in given and (obstacle := self._obstacle_of_apply(options)):
            return obstacle
        if "wait_condition" in given and not is_true(everything.get("wait", (None, None))[1]):
            return "wait_condition needs wait: true"
        return None

    def _obstacle_of_merge(self, options: Options) -> str | None:
        merges = texts_of(options.given["merge_type"][1])
        state = value_of(options.everything["state"][1]) if "state" in options.everything else "present"
        if state is None:
            return "merge_type: set it in a task with state: patched only, since state is a template"
        if state != "patched" and not {"strategic-merge", "merge"} & set(merges):
            return "merge_type: set state: patched, which does not create objects, or remove merge_type"
        if state == "patched" and (not merges or not {"strategic-merge", "merge"} >= set(merges)):
            return "merge_type: must be merge or strategic-merge; for json use patch"
        return None

    def _obstacle_of_apply(self, options: Options) -> str | None:
        applied = entries_of(options.value("server_side_apply"))
        if not applied or is_template(applied.get("force_conflicts", (None, None))[1]):
            return "server_side_apply: set field_manager, and conflicts: take or fail"
        manager = self._field_manager(applied)
        if manager is not None and (not SIMPLE.fullmatch(manager) or has_leftovers(manager)):
            return "server_side_apply: set field_manager to a text in one line"
        return None

    def _field_manager(self, applied: Entries) -> str | None:
        """The field manager as it is written; an alias is written like its anchor."""
        if "field_manager" not in applied:
            return None
        source = applied["field_manager"][1]
        return self.file.text[source.start_mark.index : source.end_mark.index]

    def _convert_objects(self, module: str, options: Options) -> None:
        given, everything = options.given, options.everything
        self._note_object(module, options)
        added = self._additions(module, options)
        for name in ("apply", "force", "server_side_apply", *(SPEC if module == "k8s_service" else ())):
            self._remove(options, name)
        patches = "state" in everything and value_of(everything["state"][1]) == "patched"
        merges = texts_of(given["merge_type"][1]) if "merge_type" in given and not patches else []
        if merges[:1] == ["strategic-merge"]:
            self._remove(options, "merge_type")  # as manifests are applied
        elif merges:
            self._drop(options, "merge_type", "lists whose items have a key are merged by item, and other lists are replaced")
        if options.is_registered and (options.text("kind") or self._kind_of(everything) or "").lower() in SECRETS:
            self.file.report(options.place, f"podwright.core.resource_set: {RESULTS[2][1]}")
        self._drop(options, "validate", "the API server validates every manifest strictly")
        goes_on = options.value("continue_on_error")
        if is_true(goes_on) or is_template(goes_on):
            self.file.report(options.place, "podwright.core.resource_set: with continue_on_error the task fails in the end; set ignore_errors if it must not")
        if added:
            self._add(options, added)

    def _note_object(self, module: str, options: Options) -> None:
        """Note the object of a task that sets fields, if it is written in the task, for what other tasks of the same object remove."""
        everything = options.everything
        definition = next((everything[name][1] for name in MANIFESTS[:3] if name in everything), None)
        manifest = entries_of(definition)
        metadata = entries_of(manifest.get("metadata", (None, None))[1])
        named = {name: metadata.get(name) or everything.get(name) for name in ("name", "namespace")}
        kind, name = options.text("kind") or self._kind_of(everything) or ("Service" if module == "k8s_service" else None), named["name"]
        has_fields = any(field in everything for field in (*MANIFESTS, *(SPEC if module == "k8s_service" else ())))
        is_applied = module != "k8s_json_patch" and options.text("state") not in ("absent", "patched") and "server_side_apply" not in everything
        if options.is_defaults or not has_fields or not is_applied or not kind or not name or not isinstance(name[1], yaml.ScalarNode):
            return
        namespace = value_of(named["namespace"][1]) if named["namespace"] else None
        is_merge = not is_true(everything.get("apply", (None, None))[1])
        self.file.merged.append(Merged(options.place.start_mark.index, kind, name[1].value, namespace, is_merge))

    def _additions(self, module: str, options: Options) -> list[Addition]:
        """What a task that writes objects gets."""
        everything = options.everything
        added = []
        if module == "k8s_service":
            added.append(Addition.of("kind", "Service"))
            added += self._moved(options, [name for name in options.given if name in SPEC])
        elif not options.is_defaults and "name" in everything and "kind" not in everything and any(name in everything for name in MANIFESTS):
            added.append(Addition.of("kind", str(self._kind_of(everything))))
        if "server_side_apply" in options.given:
            applied = entries_of(options.value("server_side_apply"))
            manager = self._field_manager(applied)
            if manager is not None:
                added.append(Addition("field_manager", [f"field_manager: {manager}"], data_of(applied["field_manager"][1], {}, {})))
            added.append(Addition.of("conflicts", "take" if is_true(applied.get("force_conflicts", (None, None))[1]) else "fail"))
        if module == "k8s_json_patch" and not options.is_defaults:
            added.append(Addition.of("state", "patched"))
        if not options.is_defaults and "wait" not in everything:
            added.append(Addition.of("wait", "false", "bool"))
        return added

    def _moved(self, options: Options, names: list[str]) -> list[Addition]:
        """The definition whose spec has these options; none without options."""
        if not names:
            return []
        map_tag = "tag:yaml.org,2002:map"
        spec = {None: map_tag} | {name: data_of(options.given[name][1], {}, {}) for name in names}
        data = {None: map_tag, "spec": spec}
        texts = [(options.given[name][0].start_mark.column, self.file.source(options.node, options.position(name))) for name in names]
        if options.node.flow_style:
            return [Addition("definition", [f"definition: {{spec: {{{', '.join(text for _column, text in texts)}}}}}"], data)]
        lines = [re.sub(rf"^ {{0,{column}}}", "", line.removesuffix("\r")) for column, text in texts for line in (" " * column + text).split("\n")]
        return [Addition("definition", ["definition:", "  spec:", *("    " + line if line else "" for line in lines)], data)]

    @staticmethod
    def _kind_of(given: Entries) -> str | None:
        """The kind of a manifest that is written in the task, or None."""
        for name in ("definition", "resource_definition", "inline"):
            if name in given:
                return value_of(entries_of(given[name][1]).get("kind", (None, None))[1])
        return None

    def _rewrite_connection(self, node: yaml.Node, seen: set[int]) -> None:
        """Rewrite the connection plugin and its variables, wherever they are keys."""
        if id(node) in seen:
            return
        seen.add(id(node))
        for item in node.value if isinstance(node, yaml.SequenceNode) else ():
            self._rewrite_connection(item, seen)
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):  # as in a template of Helm
                continue
            if key.value in VARIABLES and self.file.may_rewrite(key, key.value):
                self.file.replace(key, key.value, VARIABLES[key.value])
                self.file.renamed[id(node), id(key)] = VARIABLES[key.value]
            if key.value in ("connection", "ansible_connection"):
                self._rewrite_plugin(node, key, value)
            self._rewrite_connection(value, seen)

    def _rewrite_plugin(self, node: yaml.MappingNode, key: yaml.ScalarNode, value: yaml.Node) -> None:
        """Rewrite the name of the connection plugin, unless it may be other data."""
        if is_template(value) and "kubectl" in value.value:
            self.file.report(value, f"{key.value} is left as it is, since it is a template: write podwright.core.pod")
        elif value_of(value) not in CONNECTIONS:
            return
        elif key.value == "connection" and id(node) not in self._items:
            self.file.report(value, f"{value.value} is left as it is, since it may be other data: if it is the connection plugin, write podwright.core.pod")
        elif self.file.may_rewrite(value, value.value):
            self.file.replace(value, value.value, "podwright.core.pod")
            self.file.renamed[id(node), id(value)] = "podwright.core.pod"


def has_tasks(items: yaml.Node) -> bool:
    """Whether a list has plays or tasks in it, as far as their keys show it."""
    names = {name for item in (items.value if isinstance(items, yaml.SequenceNode) else ()) for name in entries_of(item)}
    return bool(names & TASK_WORDS) or any(ELSEWHERE.fullmatch(name) or TASK_NAMES.fullmatch(name) for name in names)


def has_leftovers(text: str) -> bool:
    """Whether a piece of text that is moved has something in it that is to be rewritten or reported as well."""
    return bool(LEFT.search(text) or re.search(r"\b(?:lookup|query|q)\(", text))


def with_edits(text: str, edits: list[Edit]) -> str:
    """A text with pieces replaced."""
    for start, end, replacement in reversed(edits):
        text = text[:start] + replacement + text[end:]
    return text


def renaming(old: str, new: str) -> Callable[[Any], Any]:
    """What renames a key, unless the new one is there."""
    return lambda data: {new if name == old else name: value for name, value in data.items() if name != new}


def beginning(old: str, new: str) -> Callable[[Any], Any]:
    """What replaces the beginning of a text."""
    return lambda data: (data[0], data[1].replace(old, new, 1))


def removal(name: str) -> Callable[[Any], Any]:
    """What removes a key."""
    return lambda data: {each: value for each, value in data.items() if each != name}


def addition_of(addition: Addition) -> Callable[[Any], Any]:
    """What adds an option."""
    return lambda data: data | {addition.name: addition.data}


def rewrite(text: str, is_tasks: bool = True) -> File:
    """Rewrite a text, apart from what cannot be rewritten without changing something else. Raises: yaml.YAMLError, RecursionError.

    Args:
        is_tasks: whether a list with short names of modules certainly is a list of tasks.
    """
    refused: dict[int, str] = {}
    while True:
        done = rewrite_faithfully(partial(run_without, text, is_tasks, refused), refused.keys())
        conflicts = done.conflicts()
        if not conflicts:
            return done.file
        refused = refused | conflicts


def run_without(text: str, is_tasks: bool, refused: dict[int, str], units: frozenset[int]) -> Migration:
    """Rewrite a text, apart from units that are refused, and from others whose rewriting changes other data."""
    migration = Migration(text, dict.fromkeys(units, SYNTAX) | refused, is_tasks)
    migration.run()
    return migration


def rewrite_faithfully(run: Callable[[frozenset[int]], Migration], refused: AbstractSet[int]) -> Migration:
    """Rewrite a text, apart from what cannot be rewritten without changing other data."""
    done = run(frozenset())
    if done.file.is_faithful():
        return done
    units = sorted(done.file.units - refused)
    done = run(frozenset(units) - faithful_part(run, units, frozenset(units), frozenset()))
    return done if done.file.is_faithful() else run(frozenset(units))


def faithful_part(run: Callable[[frozenset[int]], Migration], units: list[int], every: frozenset[int], kept: frozenset[int]) -> frozenset[int]:
    """The units that can be rewritten together with those that are kept, found by halves."""
    together = kept | frozenset(units)
    if run(every - together).file.is_faithful():
        return together
    if len(units) < 2:
        return kept
    half = len(units) // 2
    return faithful_part(run, units[half:], every, faithful_part(run, units[:half], every, kept))


def find_files(paths: list[str]) -> list[str]:
    """The YAML files of paths, those of directories in all of their directories; reports those that are skipped."""
    found = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        for directory, directories, names in os.walk(path, onerror=lambda error: found.append(error.filename)):  # reading it fails as well
            for each in sorted(directories):
                inner = os.path.join(directory, each)
                if each in COLLECTIONS or os.path.islink(inner):
                    print(f"{inner}: skipped: {'it is a link' if os.path.islink(inner) else 'collections are usually installed'}; add its path to rewrite it")
            directories[:] = sorted(set(directories) - SKIPPED_DIRECTORIES - COLLECTIONS)
            found.extend(os.path.join(directory, name) for name in sorted(names) if name.endswith((".yml", ".yaml")))
    return found


def migrate(path: str, write: bool, merged: dict[str, Merged] | None = None) -> bool:
    """Rewrite one file, print the difference and the reports. Returns: whether it changes. Raises: OSError, RecursionError.

    Args:
        merged: gets the tasks that apply a manifest, by their place.
    """
    try:
        with open(path, encoding="utf-8", newline="") as source:
            text = source.read()
        if text.startswith(VAULT):
            print(f"{path}: not rewritten: it is encrypted by Ansible Vault; decrypt it first")
            return False
        done = rewrite(text, bool(TASK_DIRECTORIES & set(os.path.abspath(path).split(os.sep)[:-1])))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        print(f"{path}: not rewritten: {' '.join(str(error).split())}")
        return False
    rewritten = done.rewritten
    if rewritten != text:
        print("".join(difflib.unified_diff(text.splitlines(True), rewritten.splitlines(True), path, path)), end="")
        if write:
            write_whole(os.path.realpath(path), rewritten)
    reports = [f"{path}:{done.line_of(index, write)}: {report}" for index, report in sorted(done.reports)]
    print("".join(f"{report}\n" for report in dict.fromkeys(reports)), end="")
    if merged is not None:
        merged |= {f"{path}:{done.line_of(task.index, write)}": task for task in done.merged}
    return rewritten != text


def migrate_all(paths: list[str], write: bool) -> tuple[int, list[str]]:
    """Rewrite files, whatever happens to the others. Returns: how many change, and why some could not be read or written."""
    changed, failures = 0, []
    merged: dict[str, Merged] = {}
    for path in paths:
        try:
            changed += migrate(path, write, merged)
        except OSError as error:
            failures.append(f"{path}: not rewritten: {error.strerror or error}")
        except RecursionError:
            failures.append(f"{path}: not rewritten: it is nested too deeply, or an alias in it contains itself")
    print("".join(f"{report}\n" for report in report_removals(merged)), end="")
    return changed, failures


def report_removals(merged: dict[str, Merged]) -> Iterator[str]:
    """The tasks that would remove what other tasks set in the same object, which kubernetes.core keeps."""
    same: dict[tuple[str, str], list[str]] = {}
    for place, task in merged.items():
        same.setdefault(task.identity, []).append(place)
    for place, task in merged.items():
        others = [other for other in same[task.identity] if other != place and task.shares_object(merged[other])]
        if others and task.is_merge:
            what = f"fields of {task.kind} {task.name} that other tasks set ({', '.join(others)}) are removed if this manifest lacks them"
            yield f"{place}: podwright.core.resource_set: {what}: set a field_manager of its own, or state: patched"


def write_whole(path: str, text: str) -> None:
    """Replace a file by one that is complete, with the same permissions."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        shutil.copy2(path, temporary)
        with open(temporary, "w", encoding="utf-8", newline="") as target:
            target.write(text)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def main(arguments: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--write", action="store_true", help="write the files instead of only printing the changes")
    parser.add_argument("paths", nargs="+", help="files and directories")
    options = parser.parse_args(arguments)
    missing = [path for path in options.paths if not os.path.exists(path)]
    if missing:
        print(f"{missing[0]}: does not exist", file=sys.stderr)
        return BAD_USAGE
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    changed, failures = migrate_all(find_files(options.paths), options.write)
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"{changed} file{'' if changed == 1 else 's'} {'rewritten' if options.write else 'to rewrite'}")
    return FAILED if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
