# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page of a report: valid, self-contained, readable for everybody, and safe whatever a pod writes."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.reports import style
from ansible_collections.podwright.core.plugins.module_utils._engine.reports.formats import seconds
from ansible_collections.podwright.core.plugins.module_utils._engine.reports.html import Html, tag
from ansible_collections.podwright.core.plugins.module_utils._engine.reports.page import digest, render
from ansible_collections.podwright.core.plugins.module_utils._engine.reports.tasks_section import LOG_CHARACTERS, PAGE_CHARACTERS, STATES, cut
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.redactor import TaskRedactor
from ansible_collections.podwright.core.plugins.module_utils._engine.text import printable

from ..support.environment import scaled
from ..support.reports import START, Page, attempt, entry, event, report

QUOTA = {"namespace": "n", "name": "quota", "limits": [{"resource": "pods", "used": "9", "hard": "10", "share": 0.9}]}
AUTOSCALER = {"namespace": "n", "name": "web", "target": "Deployment web", "current": 3, "desired": 4, "minimum": 1, "maximum": 9, "problem": ""}
AUTOSCALER |= {"metrics": ["cpu 90 % (target 70 %)"], "events": [event(reason="SuccessfulRescale", message="New size: 3")]}
GARBAGE = {"deleted": [{"kind": "Pod", "namespace": "n", "name": "old", "reason": "it expired"}], "kept": [{}], "reclaimed": {"cpu": 0.5, "memory": 2**30}}
DRIFT = [
    {"action": "none", "kind": "Service", "namespace": "n", "name": "web"},
    {"action": "patch", "kind": "Deployment", "namespace": "n", "name": "web", "patch": [{"op": "replace", "path": "/spec/replicas", "value": 3}], "note": ""},
]
FAILED = entry(
    "bad",
    "failed",
    msg="The task 'bad' failed in attempt 2: exit code 3",
    hint="Read its log.",
    rc=3,
    reason="Error",
    attempts=[
        attempt("failed", 0, title="attempt 1", rc=3),
        attempt("failed", 20, title="attempt 2", rc=3, restarts=2, events=[event(1, "Warning", "BackOff", "again", 3)]),
    ],
    logs=[{"title": "", "text": "first\nlast\n"}, {"title": "container proxy", "text": ""}],
)
EVERY_STATE = [entry(f"{state}-task", state, attempts=[attempt(state, seconds=(1, 2, None if state == "running" else 5))]) for state in STATES]
FULL = report(
    *EVERY_STATE,
    FAILED,
    entry("skipped", "skipped", attempts=[], note="It needs bad."),
    quotas=[QUOTA],
    autoscalers=[AUTOSCALER],
    garbage=GARBAGE,
    drift=DRIFT,
    notes=["Quotas could not be listed in namespace other."],
)
PAGES = {
    "full": FULL,
    "empty": report(),
    "one": report(entry()),
    "failed": report(msg="The plan is another one.", hint="Review it."),
    "nothing in the cluster": report(quotas=[], autoscalers=[], garbage={"deleted": []}, drift=[]),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_formed_and_can_be_used_without_a_mouse_or_eyes(name):
    page = Page(render(PAGES[name]))
    identifiers = [attributes["id"] for _tag, attributes, _around in page.elements if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)
    links = [attributes["href"] for tag, attributes, _around in page.elements if "href" in attributes]
    assert all(link.startswith("#") and link[1:] in identifiers for link in links), links
    landmarks = [tag for tag, _attributes, around in page.elements if tag in ("header", "nav", "main", "footer") and around == ("html", "body")]
    assert sorted(set(landmarks) - {"nav"}) == ["footer", "header", "main"] and len(set(landmarks)) == len(landmarks)
    assert page.all("html") == [{"lang": "en"}] and len(page.all("title")) == len(page.all("h1")) == 1
    assert page.all("a")[0] == {"href": "#content", "class": "skip"}, "the first link skips the navigation"
    levels = [int(tag[1]) for tag, _attributes, _around in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels)), "no level of headings is skipped"
    labels = {attributes["for"] for attributes in page.all("label")}
    assert {attributes["id"] for attributes in page.all("input")} == labels
    assert all("aria-labelledby" in attributes for attributes in page.all("section"))
    pictures = page.all("svg")
    assert all(("role" in picture and picture["aria-label"]) or picture.get("aria-hidden") == "true" for picture in pictures)
    scrolled = [attributes for tag, attributes, _around in page.elements if tag == "pre" or attributes.get("class") == "scroll"]
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in scrolled), "what scrolls can be reached by keyboard"


def test_a_page_needs_nothing_and_runs_nothing():
    text = render(FULL)
    page = Page(text)
    names = {tag for tag, _attributes, _around in page.elements}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "image"}
    assert not [name for _tag, attributes, _around in page.elements for name in attributes if name.startswith("on") or name in ("src", "style", "xlink:href")]
    assert "url(" not in style.STYLE and "@import" not in style.STYLE and "gradient" not in style.STYLE
    policies = [attributes["content"] for attributes in page.all("meta") if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert policies and policies[0].startswith("default-src 'none'; style-src 'unsafe-inline';")


def test_a_page_says_what_a_reader_wants_to_know():
    text = Page(render(FULL)).text
    for part in (
        "2 of 10 tasks failed",
        "The task 'bad' failed in attempt 2: exit code 3",
        "Read its log.",
        "attempt 1 failed: waiting 1 s, pulling 2 s, running 10 s",
        "2 restarts",
        "BackOff",
        "×3",
        "first\nlast",
        "It is empty.",
        "The log was not collected.",
        "It needs bad.",
        "9 of 10 (90 %, nearly used up)",
        "Deployment web: 3 replicas, 4 desired, from 1 to 9",
        "New size: 3",
        "pod_gc would delete 1 object and keep 1. This reclaims 0.5 cores, 1,024 MiB of memory.",
        "1 of 2 objects differs from its desired state.",
        "replace /spec/replicas 3",
        "Quotas could not be listed in namespace other.",
        "2026-11-27 02:05:00 UTC",
    ):
        assert part in text, part
    assert "none differs from its desired state" in Page(render(report(drift=DRIFT[:1]))).text
    failed = [DRIFT[0], DRIFT[0] | {"failed": True, "note": "no right to read it"}]
    text = Page(render(report(drift=failed))).text
    assert "0 of 2 objects differ from their desired state, and 1 could not be compared." in text and "no right to read it" in text


@pytest.mark.parametrize(
    ("states", "headline"),
    [
        ([], "No tasks"),
        (["succeeded"], "The task succeeded"),
        (["succeeded"] * 3, "All 3 tasks succeeded"),
        (["succeeded", "failed", "running"], "1 of 3 tasks failed"),
        (["succeeded", "running", "pending"], "1 of 3 tasks succeeded, 1 running, 1 pending"),
    ],
)
def test_the_headline_is_the_result(states, headline):
    page = Page(render(report(*(entry(f"t{number}", state) for number, state in enumerate(states)))))
    assert (headline, "h1") in page.texts


# -- hostile text ---------------------------------------------------------------------------------------------

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--",
    "]]>",
    "<![CDATA[",
    "</style>",
    "</pre>",
    '" onload="x',
    "' onload='x",
    "&lt;",
    "&#x0;",
    "<svg/onload=x>",
]
HOSTILE += ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x00", "\x08", "\u202e", "\u2028", "\ud800", "\U000e0041", "\r\n", "a\rb", "\x85", "\ufffd"]
TEXTS = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=20)), max_size=4).map("".join)
ALLOWED = {tag for name in PAGES for tag, _attributes, _around in Page(render(PAGES[name])).elements} | {"code"}


def fill(value, text):
    """A report whose texts are all that text; other values are as they were."""
    if isinstance(value, dict):
        return {name: fill(item, text) for name, item in value.items()}
    if isinstance(value, list):
        return [fill(item, text) for item in value]
    return text if isinstance(value, str) else value


@settings(max_examples=scaled(60), deadline=None)
@given(text=TEXTS, state=st.one_of(TEXTS, st.sampled_from([*STATES])))
def test_no_text_becomes_markup(text, state):
    source = fill(FULL, text)
    for task in source["tasks"]:
        task["state"] = state
        for one in task["attempts"]:
            for phase in one["phases"]:
                phase["name"] = "running"
    page = Page(render(source).encode("utf-8").decode())
    assert {tag for tag, _attributes, _around in page.elements} <= ALLOWED
    assert not [name for _tag, attributes, _around in page.elements for name in attributes if name.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page.text)
    shown = printable(text)
    assert not shown or (shown, "h3") in page.texts or shown in page.text


@given(text=TEXTS)
@settings(max_examples=scaled(100), deadline=None)
def test_text_of_an_element_and_of_an_attribute_is_read_back(text):
    page = Page(f"<!DOCTYPE html>\n<html {tag('p', text, title=text)[2:].replace('</p>', '</html>')}")
    assert page.elements == [("html", {"title": printable(text)}, ())]
    assert "".join(data for data, around in page.texts if around == "html") == printable(text)


def test_only_markup_is_inserted_as_it_is_and_not_into_attributes():
    assert tag("p", Html("<b>x</b>"), "<i>", ["<u>", Html("<s></s>")]) == "<p><b>x</b>&lt;i&gt;&lt;u&gt;<s></s></p>"
    assert tag("p", title=Html('<b class="x">')) == '<p title="&lt;b class=&quot;x&quot;&gt;"></p>'


# -- large reports --------------------------------------------------------------------------------------------


def test_a_huge_log_is_cut_with_a_note():
    log = "".join(f"line {number}\n" for number in range(200_000))
    text = Page(render(report(entry(logs=[{"title": "", "text": log}])))).text
    assert "line 199999" in text and "line 100\n" not in text and re.search(r"The first [0-9.]+ MB are left out\.", text)
    shown, left_out = cut(log)
    assert len(shown) <= LOG_CHARACTERS and shown.startswith("line ") and left_out > 2_000_000
    assert cut("x" * 10**6) == ("x" * LOG_CHARACTERS, 10**6 - LOG_CHARACTERS), "a single line is cut anywhere"


def test_a_log_is_shown_as_in_a_terminal():
    assert cut("10 %\r20 %\r100 %\r\nnext\r\nlast") == ("100 %\nnext\nlast", 0)


def test_five_thousand_tasks_are_a_page_that_opens_with_the_logs_of_those_that_failed():
    log = [{"title": "", "text": "x" * 60_000 + "\n"}]
    tasks = [entry(f"t{number}", attempts=[attempt(start=number, events=[event()] * 3)], logs=log) for number in range(5000)]
    tasks[4321] = entry(
        "bad", "failed", attempts=[attempt("failed", events=[event(message="of the failed one")])], logs=[{"title": "", "text": "the reason\n"}]
    )
    begun = time.process_time()
    written = render(report(*tasks))
    assert time.process_time() - begun < 20 and len(written) < PAGE_CHARACTERS + 8_000_000
    assert "the reason" in written and "of the failed one" in written
    assert "Left out, since the page is large" in written and "The events of tasks that succeeded are left out" in written
    assert written.count('class="task ') == 5000


def test_a_thousand_objects_to_delete_and_changes_are_counted():
    many = [{"kind": "Pod", "namespace": "n", "name": f"p{number}", "reason": "r"} for number in range(1234)]
    changes = [{"action": "create", "kind": "Pod", "namespace": "n", "name": f"p{number}", "patch": []} for number in range(1234)]
    text = Page(render(report(garbage={"deleted": many}, drift=changes))).text
    assert "pod_gc would delete 1,234 objects" in text and text.count("… and 734 more.") == 2


def test_tasks_of_different_days_start_at_the_same_edge():
    text = render(report(*(entry(f"t{number}", attempts=[attempt(start=number * 86_400)]) for number in range(9))))
    assert "Each bar starts when its task was created." in text and text.count('x="0.00%"') >= 9


# -- colors ---------------------------------------------------------------------------------------------------


def contrast(one, other):
    """The contrast ratio of two colors (WCAG 2.2, relative luminance)."""

    def luminance(color):
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colors", [style.LIGHT, style.DARK], ids=["light", "dark"])
def test_colors_have_contrast(colors):
    for name in ("text", "muted", "link", "succeeded", "failed", "running", "skipped"):
        assert contrast(colors[name], colors["page"]) >= 4.5, name
        assert contrast(colors[name], colors["surface"]) >= 4.5, name
    for name in ("waiting", "pulling"):
        assert contrast(colors[name], colors["page"]) >= 3, name


def test_each_state_has_a_mark_and_a_color():
    for state in STATES:
        assert f".s-{state})" in style.STYLE, "the filter knows it"
    assert len({STATES[state] for state in ("succeeded", "failed", "running", "pending", "stopped")}) == 5


# -- the same report again ------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_content_whenever_it_was_generated():
    assert digest(FULL) == digest(FULL | {"generated": START + 999}) != digest(FULL | {"tasks": []})
    older = {**GARBAGE, "deleted": [GARBAGE["deleted"][0] | {"reason": "it finished 9 s ago"}]}
    assert digest(FULL) == digest(FULL | {"garbage": older}) != digest(FULL | {"garbage": {"deleted": [], "kept": []}}), "ages do not count"
    drift = [DRIFT[1] | {"patch": [{"op": "replace", "path": "/data/pw", "value": TaskRedactor().digest("a")}]} for _run in range(2)]
    assert drift[0] != drift[1] and digest(FULL | {"drift": drift[:1]}) == digest(FULL | {"drift": drift[1:]}) != digest(FULL), "nor do digests of secrets"
    assert f'name="podwright-digest" content="{digest(FULL)}"' in render(FULL)[:1000]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 s"), (0.04, "0.0 s"), (0.4, "0.4 s"), (12.2, "12 s"), (59.7, "1 min"), (65, "1 min 5 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")],
)
def test_durations(value, text):
    assert seconds(value) == text
