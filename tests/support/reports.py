# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports as values, and pages as a browser's parser reads them."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = frozenset(("meta", "input", "rect", "line", "use"))
START = 1_795_745_000.0


def event(seconds=0, kind="Normal", reason="Scheduled", message="assigned to node-1", count=1):
    return {"type": kind, "reason": reason, "message": message, "count": count, "last_seen": f"2026-11-27T02:03:{20 + seconds:02d}Z"}


def attempt(state="succeeded", start=0.0, seconds=(1, 2, 10), **fields):
    """An attempt whose phases take so many seconds; the last one lasts if it is None."""
    phases, at = [], START + start
    for name, value in zip(("waiting", "pulling", "running"), seconds):
        phases.append({"name": name, "start": at, "end": None if value is None else at + value})
        at += value or 0
    values = {"title": "attempt 1", "pod": "p", "node": "node-1", "state": state, "reason": "", "message": "", "rc": None, "restarts": 0}
    return values | {"phases": phases, "events": []} | fields


def entry(name="t", state="succeeded", **fields):
    values = {"name": name, "namespace": "n", "kind": "Pod", "state": state, "reason": "", "rc": None, "msg": "", "hint": "", "note": ""}
    return values | {"attempts": [attempt(state)], "logs": None, "results": {}} | fields


def report(*tasks, **fields):
    values = {"subject": "Run of a batch of tasks", "server": "https://cluster", "namespaces": ["n"], "generated": START + 100, "msg": "", "hint": ""}
    return values | {"tasks": list(tasks), "quotas": None, "autoscalers": None, "garbage": None, "drift": None, "notes": []} | fields


class Page(HTMLParser):
    """A page, which must be well-formed: each element is closed in order.

    Attributes:
        elements: (name, attributes, names of the elements around it) of each element.
        texts: (text, name of the element around it) of each text.
    """

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self._open = [], [], []
        assert text.startswith("<!DOCTYPE html>\n<html ")
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _value in attrs}) == len(attrs), f"an attribute occurs twice in {tag}"
        self.elements.append((tag, dict(attrs), tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self._open and self._open.pop() == tag, f"{tag} is not open"

    def handle_data(self, data):
        self.texts.append((data, self._open[-1] if self._open else ""))

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def handle_pi(self, data):
        raise AssertionError(f"a processing instruction: {data}")

    def unknown_decl(self, data):
        raise AssertionError(f"a declaration: {data}")

    def all(self, name):
        """The attributes of each element of that name."""
        return [attributes for tag, attributes, _around in self.elements if tag == name]

    @property
    def text(self):
        """What a reader sees, and what assistive technology reads instead of pictures."""
        shown = [data for data, around in self.texts if around != "style"]
        return "\n".join(shown + [value for _tag, attributes, _around in self.elements for name, value in attributes.items() if name == "aria-label"])
