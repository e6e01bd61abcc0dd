# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rewrite playbooks and roles that use kubernetes.core for podwright.core, and report what cannot be rewritten.

Only lines with module names and options change: comments, formatting and templates are kept. Without --write nothing is written, and the changes are
printed as a diff. docs/guides/from-kubernetes-core.md describes the rules.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import sys
from dataclasses import dataclass, field

import yaml

PREFIXES = ("kubernetes.core.", "community.kubernetes.", "community.okd.", "")
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
INSTEAD = {
    "k8s_service": "resource_set with kind: Service and the options as its spec",
    "k8s_rollback": "resource_set with the manifest of the earlier revision, or pod_deployment with state: rolled_back",
    "k8s_drain": "kubectl drain, or resource_set with state: patched and spec.unschedulable to cordon a node",
    "k8s_taint": "resource_set with kind: Node, state: patched and spec.taints",
    "k8s_cluster_info": "pod_info, whose result contains cluster and api_found, or kubectl version and api-resources",
}
TASK_LISTS = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")
GROUPS = {f"group/{prefix}k8s": "group/podwright.core.all" for prefix in ("kubernetes.core.", "community.kubernetes.", "")}
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
LEFT = re.compile(r"(?<![\w.])(?:kubernetes\.core|community\.kubernetes)\.(?!helm)\w+|ansible_kubectl_\w+")
LOOKUP = re.compile(r"""\b(?:lookup|query|q)\(\s*\\?['"](?P<name>(?:(?:kubernetes\.core|community\.kubernetes)\.)?k8s)\\?['"]""")
ARGUMENT = re.compile(r"""\b(?P<name>kind|namespace|resource_name|resource_definition|src|cluster_info)\s*=\s*(?:\\?['"](?P<text>[\w.-]+)\\?['"])?""")
RESULTS = re.compile(r"\.result\.results\b")
SECRETS, PODS = ("secret", "secrets"), ("pod", "pods", "po")
SKIPPED_DIRECTORIES = {".git", ".tox", ".venv", "venv", "node_modules", "collections", "ansible_collections"}
BAD_USAGE = 2


@dataclass
class File:
    """A file that is rewritten.

    Attributes:
        text: its text.
        changes: (start, end, replacement) of pieces of the text, besides the options that are removed.
        mappings: the mappings with options that are removed, by id.
        removed: the ids of the keys of these options.
        extended: the ids of the mappings with options that are inserted.
        reports: (index, text) of what is left to do.
    """

    text: str
    changes: set[tuple[int, int, str]] = field(default_factory=set)
    mappings: dict[int, yaml.MappingNode] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    extended: set[int] = field(default_factory=set)
    reports: set[tuple[int, str]] = field(default_factory=set)

    def report(self, node: yaml.Node, text: str) -> None:
        """Report what is to be done by hand where a node is."""
        self.reports.add((node.start_mark.index, text))

    def replace(self, node: yaml.Node, old: str, new: str) -> None:
        """Replace the beginning of a scalar, whatever its quotes."""
        start = self.text.index(old, node.start_mark.index, node.end_mark.index)
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
            index = self.text.index("\n", module.end_mark.index) + 1
            self.changes.add((index, index, "".join((indentation + line).rstrip() + newline for line in lines)))
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

    def edits(self) -> list[tuple[int, int, str]]:
        """(start, end, replacement) of pieces of the text, in order."""
        removals = [removal for options in self.mappings.values() for removal in self._removals(options)]
        return sorted(self.changes.union(removals))

    def _removals(self, options: yaml.MappingNode) -> list[tuple[int, int, str]]:
        found = []
        has_kept = False
        for position, (key, value) in enumerate(options.value):
            start, end = key.start_mark.index, end_of(value)
            line = self.text.rfind("\n", 0, start) + 1
            if id(key) not in self.removed:
                has_kept = True
            elif not options.flow_style and not self.text[line:start].strip():
                found.append((line, self.text.find("\n", end) + 1 or len(self.text), ""))
            elif options.flow_style and has_kept:
                found.append((self.text.rindex(",", 0, start), end, ""))
            else:
                found.append((start, options.value[position + 1][0].start_mark.index, ""))
        return found

    @property
    def rewritten(self) -> str:
        """The text with the edits."""
        text = self.text
        for start, end, replacement in reversed(self.edits()):
            text = text[:start] + replacement + text[end:]
        return text

    def line_of(self, index: int, is_rewritten: bool) -> int:
        """The number of the line of an index of the text, in the text or in the rewritten one."""
        edits = self.edits() if is_rewritten else []
        moved = sum(text.count("\n") - self.text.count("\n", start, end) for start, end, text in edits if start <= index)
        return self.text.count("\n", 0, index) + 1 + moved


def end_of(node: yaml.Node) -> int:
    """Where a value ends, without the comments and empty lines that follow it."""
    if isinstance(node, yaml.ScalarNode) or not node.value or node.flow_style:
        return node.end_mark.index
    last = node.value[-1]
    return end_of(last[1] if isinstance(last, tuple) else last)


def end_of_call(text: str, index: int) -> int:
    """Where the arguments of a call end that the index is in, as far as parentheses show."""
    depth = 1
    while depth and index < len(text):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        index += 1
    return index


def entries_of(node: yaml.Node) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """The keys and values of a mapping by key, with those that it merges."""
    found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value == "<<":
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                found = entries_of(merged) | found
        else:
            found[str(key.value)] = (key, value)
    return found


def module_of(name: str) -> str | None:
    """The module of kubernetes.core that a name stands for, or None."""
    for prefix in PREFIXES:
        short = name.removeprefix(prefix)
        if (short != name or not prefix) and (short in MODULES or short in INSTEAD):
            return short
    return None


def is_true(node: yaml.Node | None) -> bool:
    """Whether a value is a literal true."""
    return isinstance(node, yaml.ScalarNode) and node.value.lower() in ("true", "yes", "on", "1")


def value_of(node: yaml.Node | None) -> str | None:
    """A literal scalar; None if there is none, or it is a template."""
    return node.value if isinstance(node, yaml.ScalarNode) and "{{" not in node.value else None


def texts_of(node: yaml.Node) -> list[str]:
    """The literal scalars of a list, or of one value."""
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return [text for text in map(value_of, items) if text is not None]


class Migration:
    """The rewriting of one file."""

    def __init__(self, text: str) -> None:
        self.file = File(text)

    def run(self) -> File:
        """Rewrite the file. Raises: yaml.YAMLError if it is not YAML."""
        for document in yaml.compose_all(self.file.text, Loader=yaml.SafeLoader):
            if isinstance(document, yaml.SequenceNode):
                self._rewrite_items(document, {})
            self._rewrite_connection(document)
        self._rewrite_lookups()
        self._report_rest()
        if self.file.edits():
            list(yaml.compose_all(self.file.rewritten, Loader=yaml.SafeLoader))
        return self.file

    def _is_code(self, index: int) -> bool:
        """Whether a place is neither in a comment nor in what is replaced."""
        line = self.file.text[self.file.text.rfind("\n", 0, index) + 1 : index]
        return "#" not in line and not any(start <= index < end for start, end, _replacement in self.file.edits())

    def _rewrite_lookups(self) -> None:
        """Rewrite the lookup k8s in expressions, and report what differs."""
        for found in filter(lambda found: self._is_code(found.start()), list(LOOKUP.finditer(self.file.text))):
            given = {each["name"]: each["text"] for each in ARGUMENT.finditer(self.file.text, found.end(), end_of_call(self.file.text, found.end()))}
            kind = (given.get("kind") or "").lower()
            self.file.changes.add((*found.span("name"), "podwright.core.objects"))
            if kind in SECRETS:
                self.file.reports.add((found.start(), "podwright.core.objects: to use the values of Secrets, set secret_values=true, and no_log: true"))
            if not given.keys() & {"namespace", "resource_name", "resource_definition", "src", "cluster_info"}:
                if kind in PODS:
                    self.file.changes.add((found.end(), found.end(), ", all_namespaces=true"))
                elif not kind:
                    self.file.reports.add((found.start(), "podwright.core.objects: if kind can be Pod, set all_namespaces=true or namespace"))

    def _report_rest(self) -> None:
        """Report names of kubernetes.core that are neither rewritten nor reported, such as those in templates, and results that differ."""
        reported = {self.file.line_of(index, False) for index, _text in self.file.reports}
        for found in LEFT.finditer(self.file.text):
            if self._is_code(found.start()) and self.file.line_of(found.start(), False) not in reported:
                self.file.reports.add((found.start(), f"{found[0]} is left as it is"))
        for found in RESULTS.finditer(self.file.text):
            if self._is_code(found.start()):
                self.file.reports.add((found.start(), "result.results of k8s is resources here, and what was done to each object is plan"))

    def _rewrite_items(self, items: yaml.Node, defaults: dict[str, dict[str, tuple[yaml.Node, yaml.Node]]]) -> None:
        for item in items.value if isinstance(items, yaml.SequenceNode) else ():
            if isinstance(item, yaml.MappingNode):
                self._rewrite_item(item, defaults)

    def _rewrite_item(self, item: yaml.MappingNode, outer: dict[str, dict[str, tuple[yaml.Node, yaml.Node]]]) -> None:
        """Rewrite a play, block or task."""
        entries = entries_of(item)
        defaults = dict(outer)
        if "module_defaults" in entries:
            defaults |= self._rewrite_defaults(entries["module_defaults"][1])
        for name, (key, value) in entries.items():
            if name in TASK_LISTS:
                self._rewrite_items(value, defaults)
            elif name in ("action", "local_action"):
                self._rewrite_action(item, value, defaults)
            elif (module := module_of(name)) and "hosts" not in entries:
                self._rewrite_task(item, key, name, module, value, defaults)

    def _rewrite_defaults(self, node: yaml.Node) -> dict[str, dict[str, tuple[yaml.Node, yaml.Node]]]:
        """Rewrite module_defaults. Returns: the options of each module in them."""
        found = {}
        entries = entries_of(node)
        taken = set(entries)
        for name, (key, value) in entries.items():
            module = None if name in GROUPS else module_of(name)
            target = GROUPS.get(name) or (f"podwright.core.{MODULES[module]}" if module in MODULES and module not in INSTEAD else None)
            if module in INSTEAD:
                self.file.report(key, f"{name}: use {INSTEAD[module]}")
            if target is None:
                continue
            found[module or "group"] = found.get(module or "group", {}) | entries_of(value)
            if target in taken:
                self.file.report(key, f"{name}: merge it into {target}, which is set as well")
                continue
            taken.add(target)
            self.file.replace(key, name, target)
            if module and isinstance(value, yaml.MappingNode) and value.value:
                self._convert(module, key, value, {}, is_defaults=True)
        return found

    def _rewrite_action(self, task: yaml.MappingNode, value: yaml.Node, defaults: dict[str, dict[str, tuple[yaml.Node, yaml.Node]]]) -> None:
        """Rewrite `action` and `local_action`, whose value is text or a mapping with `module`."""
        if isinstance(value, yaml.MappingNode):
            entries = entries_of(value)
            name = value_of(entries["module"][1]) if "module" in entries else None
            if name and (module := module_of(name)):
                self._rewrite_task(task, entries["module"][1], name, module, value, defaults)
        elif isinstance(value, yaml.ScalarNode) and (name := value.value.split(" ", 1)[0]) and (module := module_of(name)):
            self._rewrite_task(task, value, name, module, value, defaults)

    def _rewrite_task(self, task, key, name, module, options, defaults) -> None:
        if module in INSTEAD and module not in MODULES:
            self.file.report(key, f"{name}: use {INSTEAD[module]}")
            return
        entries, place = entries_of(task), key
        if isinstance(options, yaml.ScalarNode) and "args" in entries and options.value in ("", name):
            place, options = entries["args"]
        if not isinstance(options, yaml.MappingNode) or not options.value:
            self._rewrite_text(key, name, module, options)
            return
        inherited = {**defaults.get("group", {}), **defaults.get(module, {})}
        if self._convert(module, place, options, inherited):
            self.file.replace(key, name, f"podwright.core.{MODULES[module]}")

    def _rewrite_text(self, key: yaml.Node, name: str, module: str, options: yaml.Node) -> None:
        """Rewrite a task whose options are text (`k8s_exec: pod=web command=ls`) or a template."""
        if module in ("k8s_exec", "k8s_cp", "k8s_log") and "{{" not in options.value.split("=")[0]:
            self.file.replace(key, name, f"podwright.core.{MODULES[module]}")
        else:
            self.file.report(key, f"{name}: its options are text or a template: write them as a mapping")

    def _convert(self, module: str, key: yaml.Node, options: yaml.MappingNode, inherited: dict, is_defaults: bool = False) -> bool:
        """Rewrite the options of a module. Returns: whether the module can be replaced."""
        given = entries_of(options)
        self._drop(options, given, "persist_config", "refreshed tokens are not written to the kubeconfig")
        if module in ("k8s", "k8s_json_patch", "k8s_service"):
            return self._convert_objects(module, key, options, given, inherited, is_defaults)
        if module in ("k8s_info", "k8s_facts"):
            self._convert_info(key, options, given, inherited, is_defaults)
        if module == "k8s_cp" and "content" not in given:
            self.file.report(key, "podwright.core.pod_copy: a directory that is copied to an existing one is not nested under its name; check remote_path")
        if module == "k8s_scale":
            for name in ("resource_definition", "definition", "inline", "src"):
                if name in given:
                    self.file.report(key, f"k8s_scale: {name}: set kind, name and namespace instead")
                    return False
        return True

    def _drop(self, options: yaml.MappingNode, given: dict, name: str, why: str) -> None:
        if self._remove(options, given, name):
            self.file.report(given[name][0], f"{name} was removed: {why}")

    def _remove(self, options: yaml.MappingNode, given: dict, name: str) -> bool:
        """Remove an option of the mapping itself; one that it merges is reported, unless it was removed where it is. Returns: whether it is removed."""
        if name not in given:
            return False
        key = given[name][0]
        if any(own is key for own, _value in options.value):
            self.file.remove(options, key)
        elif id(key) not in self.file.removed:
            self.file.report(key, f"remove {name}, which is merged into the options of a module of podwright.core")
        return id(key) in self.file.removed

    def _convert_info(self, key: yaml.Node, options: yaml.MappingNode, given: dict, inherited: dict, is_defaults: bool) -> None:
        kind = given.get("kind", inherited.get("kind", (None, None)))[1]
        literal = (value_of(kind) or "").lower()
        if literal in SECRETS:
            self.file.report(key, "podwright.core.pod_info: to use the values of Secrets, set secret_values: true and no_log: true")
        if is_defaults or any(name in place for name in ("namespace", "name") for place in (given, inherited)):
            return
        if literal in PODS:
            self.file.insert(key, options, ["all_namespaces: true"])
        elif kind is not None and not literal:
            self.file.report(key, "podwright.core.pod_info: if kind can be Pod, set all_namespaces: true or namespace")

    def _convert_objects(self, module: str, key: yaml.Node, options: yaml.MappingNode, given: dict, inherited: dict, is_defaults: bool) -> bool:
        everything = {**inherited, **given}
        has_manifest = any(name in everything for name in MANIFESTS)
        added = []
        if module == "k8s_service":
            if any(name in everything for name in SPEC) and (has_manifest or not all(name in given for name in SPEC if name in everything)):
                self.file.report(key, f"{module}: use {INSTEAD[module]}")
                return False
            added += ["kind: Service", *self._moved(options, [entry for name, entry in given.items() if name in SPEC])]
        elif not is_defaults and "name" in everything and "kind" not in everything and has_manifest:
            kind = self._kind_of(everything)
            if not kind:
                self.file.report(key, f"{module}: name without kind would be the name of a set: add kind, or remove name if the manifest contains it")
                return False
            added.append(f"kind: {kind}")
        state = value_of(everything["state"][1]) if "state" in everything else "present"
        merges = texts_of(given["merge_type"][1]) if "merge_type" in given and state != "patched" else []
        if "merge_type" in given and not {"strategic-merge", "merge"} & set(merges) and state != "patched":
            self.file.report(key, f"{module}: merge_type: set state: patched, which does not create objects, or remove merge_type")
            return False
        if is_true(given.get("force", (None, None))[1]):
            self.file.report(key, f"{module}: force replaces objects: write manifests with all their fields, and on_immutable: replace if fields are immutable")
            return False
        if "server_side_apply" in given:
            applied = entries_of(given["server_side_apply"][1])
            if not applied:
                self.file.report(key, f"{module}: server_side_apply: set field_manager, and conflicts: take or fail")
                return False
            if "field_manager" in applied:
                source = applied["field_manager"][1]
                added.append(f"field_manager: {self.file.text[source.start_mark.index : source.end_mark.index]}")
            added.append(f"conflicts: {'take' if is_true(applied.get('force_conflicts', (None, None))[1]) else 'fail'}")
        if "wait_condition" in given and not is_true(everything.get("wait", (None, None))[1]):
            self.file.report(key, f"{module}: wait_condition needs wait: true")
            return False
        if module == "k8s_json_patch":
            added.append("state: patched")
        if not is_defaults and "wait" not in everything:
            added.append("wait: false")
        for name in ("apply", "force", "server_side_apply", *(SPEC if module == "k8s_service" else ())):
            self._remove(options, given, name)
        if merges[:1] == ["strategic-merge"]:
            self._remove(options, given, "merge_type")  # as manifests are applied
        elif merges:
            self._drop(options, given, "merge_type", "lists whose items have a key are merged by item, and other lists are replaced")
        self._drop(options, given, "validate", "the API server validates every manifest strictly")
        if is_true(given.get("continue_on_error", (None, None))[1]):
            self.file.report(key, "podwright.core.resource_set: with continue_on_error the task fails in the end; set ignore_errors if it must not")
        if added:
            self.file.insert(key, options, added)
        return True

    def _moved(self, options: yaml.MappingNode, entries: list[tuple[yaml.Node, yaml.Node]]) -> list[str]:
        """The lines of a definition whose spec has these options; none without options."""
        if not entries:
            return []
        texts = [(key.start_mark, self.file.text[key.start_mark.index : end_of(value)]) for key, value in entries]
        if options.flow_style:
            return [f"definition: {{spec: {{{', '.join(text for _start, text in texts)}}}}}"]
        lines = [line[start.column :] for start, text in texts for line in (" " * start.column + text).splitlines()]
        return ["definition:", "  spec:", *("    " + line for line in lines)]

    @staticmethod
    def _kind_of(given: dict) -> str | None:
        """The kind of a manifest that is written in the task, or None."""
        for name in ("definition", "resource_definition", "inline"):
            if name in given:
                return value_of(entries_of(given[name][1]).get("kind", (None, None))[1])
        return None

    def _rewrite_connection(self, node: yaml.Node) -> None:
        """Rewrite the connection plugin and its variables, wherever they are keys."""
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._rewrite_connection(item)
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):  # as in a template of Helm
                continue
            if key.value in VARIABLES:
                self.file.replace(key, key.value, VARIABLES[key.value])
            names = ("kubernetes.core.kubectl", "community.kubernetes.kubectl", "kubectl")
            if key.value in ("connection", "ansible_connection") and value_of(value) in names:
                self.file.replace(value, value.value, "podwright.core.pod")
            self._rewrite_connection(value)


def find_files(paths: list[str]) -> list[str]:
    """The YAML files of paths, those of directories in all of their directories."""
    found = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        for directory, directories, names in os.walk(path):
            directories[:] = sorted(set(directories) - SKIPPED_DIRECTORIES)
            found += [os.path.join(directory, name) for name in sorted(names) if name.endswith((".yml", ".yaml"))]
    return found


def migrate(path: str, write: bool) -> bool:
    """Rewrite one file, print the difference and the reports. Returns: whether it changes."""
    try:
        with open(path, encoding="utf-8", newline="") as source:
            text = source.read()
        done = Migration(text).run()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        print(f"{path}: not rewritten: {' '.join(str(error).split())}")
        return False
    rewritten = done.rewritten
    if rewritten != text:
        print("".join(difflib.unified_diff(text.splitlines(True), rewritten.splitlines(True), path, path)), end="")
        if write:
            write_whole(os.path.realpath(path), rewritten)
    for index, report in sorted(done.reports):
        print(f"{path}:{done.line_of(index, write)}: {report}")
    return rewritten != text


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
    changed = [path for path in find_files(options.paths) if migrate(path, options.write)]
    print(f"{len(changed)} files {'rewritten' if options.write else 'to rewrite'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
