# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""However a playbook of kubernetes.core is written, rewriting it changes the data that it is meant to change, and loses no comment."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ..support.documents import read_all_yaml
from .test_migration import migrate

TEXTS = [
    "web",
    "it's",
    'a "b"',
    "{{ ns }}",
    "{{ x | default('a: b') }} # no",
    "a # b",
    "#12 {{ q('k8s', kind='Node') }}",
    "tab\tb",
    "ünï ☃",
    " lead",
    "trail ",
    "",
]
TEXTS += [
    "one\ntwo\n",
    "one\n\n  two",
    "\nfirst",
    "last\n\n",
    "- a\n- b # c\n",
    "{a: 1, b}",
    "yes",
    "12",
    "k8s",
    "apply: true, ",
    "{{ lookup(\"k8s\", kind='Job') }}",
]
REMOVED = {"apply", "force", "validate", "persist_config", "merge_type", "server_side_apply"}
WORDS = ["a", "b c", "ü", "12", "apply", "a#b"]


class Maker:
    """Makes tasks at random."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def text(self) -> str:
        return self.random.choice(TEXTS)

    def flag(self) -> bool:
        return self.random.random() < 0.5

    def data(self, depth: int = 3) -> Any:
        """Text or other data."""
        size = self.random.randint(0, 3)
        if depth and self.flag():
            return (
                [self.data(depth - 1) for _number in range(size)] if self.flag() else {word: self.data(depth - 1) for word in self.random.sample(WORDS, size)}
            )
        return self.random.choice([self.text(), self.text(), self.text(), self.flag(), size, None])

    def applied(self) -> dict[str, Any]:
        """A value of server_side_apply."""
        manager = {"field_manager": self.random.choice(["me", "{{ who }}", "it's"])} if self.flag() else {}
        return {"force_conflicts": self.flag()} | manager

    def task(self, depth: int = 1) -> dict[str, Any]:
        """A task, or a block of tasks."""
        if depth and self.random.random() < 0.2:
            return {"block": [self.task(depth - 1) for _number in range(self.random.randint(1, 3))]}
        module = self.random.choice(["kubernetes.core.k8s", "kubernetes.core.k8s", "k8s_service", "kubernetes.core.k8s_exec", "debug"])
        options: dict[str, Any] = {"apply": self.flag(), "namespace": self.text(), "wait": self.flag(), "persist_config": self.flag()}
        if module == "kubernetes.core.k8s":
            options |= {"force": False, "validate": self.data(), "merge_type": ["strategic-merge"], "state": "present", "definition": self.data()}
            options |= {"server_side_apply": self.applied(), "label_selectors": [self.text()], "wait_timeout": 5}
        elif module == "k8s_service":
            options |= {"type": "NodePort", "ports": self.data(), "selector": self.data()}
        elif module == "kubernetes.core.k8s_exec":
            del options["apply"], options["wait"]
            options["command"] = self.text()
        names = self.random.sample(sorted(options), self.random.randint(0, len(options)))
        names.insert(self.random.randint(0, len(names)), "src" if module == "kubernetes.core.k8s" else "name")
        rest = {name: self.data() for name in ("when", "vars", "register") if self.random.random() < 0.3}
        return {module: {name: options.get(name, "web") for name in names}} | rest

    def play(self, size: int) -> dict[str, Any]:
        """A play."""
        variables = {"vars": {name: self.data() for name in self.random.sample("xyz", 2)}} if self.flag() else {}
        return {"hosts": "all", **variables, "tasks": [self.task() for _number in range(size)]}


class Writer:
    """Writes data as YAML in styles that are drawn."""

    def __init__(self, random: Random, has_aliases: bool) -> None:
        self.random = random
        self.has_aliases = has_aliases
        self.comments = 0
        self.kept: list[str] = []
        self.anchors: list[tuple[Any, str]] = []
        self.names = 0

    def chance(self, among: int = 3) -> bool:
        return self.random.randint(0, among) == among

    def comment(self, is_kept: bool) -> str:
        """A comment, or nothing."""
        if not self.chance():
            return ""
        self.comments += 1
        found = f"# {self.random.choice(['c', 'apply, it: ', '} ', 'é'])}{self.comments}c"
        self.kept += [found] if is_kept else []
        return found

    def scalar(self, value: Any, indent: int, is_flow: bool) -> str:
        if not isinstance(value, str):
            return json.dumps(value)
        styles = ["double"]
        if "\n" not in value and "\t" not in value:
            styles.append("single")
        if re.fullmatch(r"[a-z][\w ]*\w", value) and value not in ("yes", "true"):
            styles.append("plain")
        if not is_flow and value.strip() and "\t" not in value:
            styles += ["literal", "literal"]
        style = self.random.choice(styles)
        if style == "plain":
            return value
        if style == "single":
            return "'" + value.replace("'", "''") + "'"
        if style == "double":
            return json.dumps(value, ensure_ascii=self.chance())
        return self.block(value, indent)

    def block(self, value: str, indent: int) -> str:
        """A literal or folded scalar, with its indicators in any order."""
        body = value.rstrip("\n")
        breaks = len(value) - len(body)
        chomping = "-" if not breaks else "+" if breaks > 1 or self.chance() else ""
        step = self.random.randint(1, 4)
        number = str(step) if body.startswith((" ", "\n")) or self.chance() else ""
        margin = " " * (indent + step)
        lines = "".join("\n" + (margin + line if line else "") for line in body.split("\n"))
        header = (">" if "\n" not in body and body == body.strip() and self.chance() else "|") + (chomping + number if self.chance() else number + chomping)
        return header + lines + "\n" * max(breaks - 1, 0)

    def value(self, value: Any, indent: int, is_flow: bool, is_kept: bool) -> str:
        """A value behind `key:` or `-`, with the space or line break before it."""
        if self.has_aliases and (known := [name for each, name in self.anchors if json.dumps(each) == json.dumps(value)]) and self.chance(1):
            return f" *{known[0]}"
        anchor = ""
        if self.has_aliases and self.chance():
            self.names += 1
            anchor = f" &n{self.names}"
        written = self.node(value, indent, is_flow or self.chance(), is_flow, is_kept)
        if anchor:
            self.anchors.append((value, anchor[2:]))
        return anchor + written

    def node(self, value: Any, indent: int, is_flow: bool, is_nested: bool, is_kept: bool) -> str:
        if not isinstance(value, dict | list):
            return " " + self.scalar(value, indent, is_nested)
        if is_flow or not value:
            return " " + self.flow(value, indent, is_kept)
        comment = self.comment(is_kept)
        return ("  " + comment if comment else "") + "\n" + self.entries(value, indent + self.random.randint(1, 4), is_kept)

    def flow(self, value: Any, indent: int, is_kept: bool) -> str:
        is_mapping = isinstance(value, dict)
        items = []
        for key, each in value.items() if is_mapping else ((None, each) for each in value):
            inner = is_kept and key not in REMOVED
            before = self.comment(inner) if self.chance() else ""
            head = f" {before}\n{' ' * (indent + 1)}" if before else "\n" + " " * (indent + 1) if self.chance() else ""
            items.append(head + (self.key(key) + ":" if is_mapping else "") + self.value(each, indent, True, inner).removeprefix("" if is_mapping else " "))
        joined = (", " if self.chance(1) else " , ").join(items) + ("," if items and self.chance() else "")
        end = "\n" + " " * (indent + 1) if self.chance() else ""
        return f"{{{joined}{end}}}" if is_mapping else f"[{joined}{end}]"

    def key(self, key: str) -> str:
        return key if re.fullmatch(r"[a-z_.][\w.]*[a-z_\d]|[a-z]", key) and not self.chance() else json.dumps(key, ensure_ascii=False)

    def entries(self, value: Any, indent: int, is_kept: bool) -> str:
        lines = []
        for key, each in value.items() if isinstance(value, dict) else ((None, each) for each in value):
            inner = is_kept and key not in REMOVED
            before = self.comment(is_kept)
            lines += [" " * (indent if self.chance(1) else 0) + before] if before else [""] if self.chance(5) and not self.is_open(lines) else []
            written = (self.key(key) + ":" if key is not None else "-") + self.value(each, indent, False, inner)
            is_block = re.search(r"(^|[: ])[|>][-+\d]*\n", written) or "\n" in written
            after = "" if is_block else self.comment(inner)
            lines.append(" " * indent + written + ("  " + after if after else ""))
        return "\n".join(lines)

    @staticmethod
    def is_open(lines: list[str]) -> bool:
        """Whether an empty line would belong to a block scalar."""
        return any(re.search(r"[|>]\d*\+", line) for line in lines[-1:])


def converted(task: dict[str, Any]) -> dict[str, Any]:
    """A task of podwright.core."""
    if "block" in task:
        return {"block": [converted(inner) for inner in task["block"]]}
    module, options = next(iter(task.items()))
    added: dict[str, Any] = {}
    if module == "kubernetes.core.k8s":
        if "server_side_apply" in options:
            applied = options["server_side_apply"]
            added |= {name: applied[name] for name in ("field_manager",) if name in applied} | {"conflicts": "take" if applied["force_conflicts"] else "fail"}
        target = "resource_set"
    elif module == "k8s_service":
        spec = {name: options[name] for name in ("type", "ports", "selector") if name in options}
        added |= {"kind": "Service"} | ({"definition": {"spec": spec}} if spec else {})
        target = "resource_set"
    elif module == "kubernetes.core.k8s_exec":
        target = "pod_exec"
        added |= {"strip_empty_ends": False} if "register" in task else {}
    else:
        return task
    if target == "resource_set" and "wait" not in options:
        added["wait"] = False
    gone = REMOVED | ({"type", "ports", "selector"} if module == "k8s_service" else set())
    kept = {name: value for name, value in options.items() if name not in gone}
    return {f"podwright.core.{target}": {**kept, **added}} | {name: value for name, value in task.items() if name != module}


def with_lookups(value: Any) -> Any:
    """Data with the lookups in it rewritten."""
    if isinstance(value, dict):
        return {name: with_lookups(each) for name, each in value.items()}
    if isinstance(value, list):
        return [with_lookups(each) for each in value]
    return re.sub(r"(q|lookup)\((.)k8s", r"\1(\2podwright.core.objects", value) if isinstance(value, str) else value


def assert_tasks(found: list[dict[str, Any]], before: list[dict[str, Any]], may_be_left: bool) -> None:
    for now, task in zip(found, before, strict=True):
        if "block" in task:
            assert_tasks(now["block"], task["block"], may_be_left)
        else:
            allowed = [converted(task), with_lookups(converted(task))] + ([task, with_lookups(task)] if may_be_left else [])
            assert any(json.dumps(now, sort_keys=True) == json.dumps(each, sort_keys=True) for each in allowed), (now, task)


@given(st.integers(0, 2**32), st.integers(1, 6), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_only_what_is_meant_changes_however_a_playbook_is_written(seed, size, has_aliases, is_windows, has_mark):
    random = Random(seed)
    plays = [Maker(random).play(size) for _number in range(random.randint(1, 2))]
    writer = Writer(random, has_aliases)
    documents = []
    for each in plays:
        documents.append(writer.entries([each], random.randint(0, 3), True))
        writer.anchors.clear()
    # The line break at the end may belong to a text.
    end = "" if writer.chance() and read_all_yaml(documents[-1]) == [[plays[-1]]] else "\n"
    text = ("\ufeff" if has_mark else "") + "---\n" + "\n---\n".join(documents) + end
    text = text.replace("\n", "\r\n") if is_windows else text
    assert read_all_yaml(text) == [[each] for each in plays]
    done = migrate.rewrite(text)
    reports = " ".join(report for _index, report in done.reports)
    is_left = "is left as it is, since" in reports
    assert has_aliases or not is_left
    for (found,), before in zip(read_all_yaml(done.rewritten), plays, strict=True):
        assert [found["hosts"], found.get("vars")] in ([before["hosts"], with_lookups(before.get("vars"))], [before["hosts"], before.get("vars")])
        assert_tasks(found["tasks"], before["tasks"], is_left or "use resource_set with" in reports or "in one line" in reports)
    assert [comment for comment in writer.kept if comment not in done.rewritten] == []
