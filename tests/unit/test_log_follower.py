# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A followed log by what each request is answered: lines that a rotation has split or removed, and runs of a container that were not read."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import urllib3

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.log_gaps import Gap, describe_gaps
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.logs import LogFollower
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

MINUTE = "2026-01-01T10:00:"
RUNNING, TERMINATED, BACK_OFF = {"running": {}}, {"terminated": {"exitCode": 0}}, {"waiting": {"reason": "CrashLoopBackOff"}}
NO_OPTIONS = {"sinceSeconds": None, "sinceTime": None, "tailLines": None}  # as pod_logs passes them


def lines(*entries):
    """The body of a response; each entry is (seconds, text)."""
    return "".join(f"{MINUTE}{seconds}Z {text}\n" for seconds, text in entries).encode()


class Body:
    """A response, whose connection may be lost at its end."""

    status, chunked, headers = 200, True, {}

    def __init__(self, content, is_cut=False):
        self._content, self._is_cut = content, is_cut

    def stream(self, _size):
        yield self._content
        if self._is_cut:
            raise urllib3.exceptions.ProtocolError("Connection broken")

    def close(self):
        """Nothing is open."""


class Node:
    """A Client that answers with the given states of the container and bodies: `current` and `previous` logs, and `begins` of previous ones."""

    def __init__(self, states, current, previous=(), begins=()):
        self._states, self._bodies = list(states), {"current": list(current), "previous": list(previous), "begin": list(begins)}
        self.clock = SimpleNamespace(monotonic=lambda: 0)
        self.streams = SimpleNamespace(cancelled=SimpleNamespace(wait=lambda _seconds: None, is_set=lambda: False))

    def get(self, *_arguments):
        state, restarts = self._states.pop(0)
        status = {"name": "task", "state": state, "containerID": f"c{restarts}", "restartCount": restarts}
        status |= {"lastState": TERMINATED} if state == BACK_OFF else {}
        phase = "Running" if self._states else "Succeeded"
        spec = {"restartPolicy": "Always", "containers": [{"name": "task"}]}
        return {"metadata": {"uid": "u"}, "spec": spec, "status": {"phase": phase, "containerStatuses": [status]}}

    def stream(self, request):
        query = dict(request.query)
        bodies = self._bodies["begin" if "limitBytes" in query else "previous" if "previous" in query else "current"]
        if not bodies:
            raise PodwrightError("previous terminated container not found", status=400)
        return bodies.pop(0)


def follow(node):
    """Returns: the text of the lines that were shown, and the seconds of the gaps."""
    shown = []
    follower = LogFollower(node, "n", "p", "u", "task", lambda line, _timestamp: shown.append(line.decode()), NO_OPTIONS)
    follower.follow()
    return shown, [(gap.after.removeprefix(MINUTE), gap.before.removeprefix(MINUTE)) for gap in follower.gaps]


def test_the_rest_of_a_line_is_not_repeated():
    """A rotation split `long`, which was read as a whole."""
    first = Body(lines(("10.0", "long"), ("10.5", "next")), is_cut=True)
    again = Body(lines(("10.2", "ng"), ("10.5", "next"), ("11.0", "last")))
    assert follow(Node([(RUNNING, 0), (TERMINATED, 0)], [first, again])) == (["long", "next", "last"], [])


def test_older_lines_that_replace_all_known_ones_are_shown_but_for_the_first_beside_a_gap():
    """The clock of the node was set back, or the lines are of the other stream."""
    first = Body(lines(("10.0", "a"), ("10.5", "b")), is_cut=True)
    node = Node([(RUNNING, 0), (TERMINATED, 0)], [first, Body(lines(("10.2", "c"), ("10.3", "d"), ("10.6", "e")))])
    assert follow(node) == (["a", "b", "d", "e"], [("10.5Z", "10.3Z")])
    first = Body(lines(("10.0", "a"), ("10.5", "b")), is_cut=True)
    assert follow(Node([(RUNNING, 0), (TERMINATED, 0)], [first, Body(lines(("10.2", "c")))])) == (["a", "b"], [("10.5Z", "")])


def test_a_run_that_was_not_read_is_a_gap():
    """The container restarted between the request for its status and that for its log."""
    later = lines(("20.0", "b1"), ("20.5", "b2"))
    states = [(RUNNING, 0), (TERMINATED, 1)]
    node = Node(states, [Body(later, is_cut=True), Body(later)], [Body(b"")], [Body(lines(("05.0", "a1")))])
    assert follow(node) == (["b1", "b2"], [("", "20.0Z")])
    node = Node(states, [Body(later, is_cut=True), Body(lines(("30.0", "c")))], [Body(later)], [Body(lines(("20.0", "b1")))])
    assert follow(node) == (["b1", "b2", "c"], [])


@pytest.mark.parametrize("state", [TERMINATED, BACK_OFF])
def test_the_log_of_a_container_that_waits_for_its_restart_is_read(state):
    """Nothing is requested twice, and of the log before a restart, which the kubelet may have deleted, nothing is needed any more."""
    states = [(state, 0), (state, 0), (state, 0), (RUNNING, 1), (state, 1), (state, 1), (state, 3), (TERMINATED, 3), (TERMINATED, 4)]
    first, second, third = lines(("10.0", "a1"), ("10.1", "a2")), lines(("20.0", "b1")), lines(("40.0", "d1"))
    node = Node(states, [Body(first), Body(second), Body(second), Body(third), Body(lines(("50.0", "e1")))])
    assert follow(node) == (["a1", "a2", "b1", "d1", "e1"], [("20.0Z", "")]), "the third run was not seen"


def test_a_log_that_was_deleted_before_it_was_read_is_a_gap():
    states = [(RUNNING, 0), (RUNNING, 1), (TERMINATED, 1)]
    node = Node(states, [Body(lines(("10.0", "a1"))), Body(lines(("20.0", "b1"))), Body(lines(("20.0", "b1")))])
    assert follow(node) == (["a1", "b1"], [("10.0Z", "")])
    node = Node([(RUNNING, 0), (BACK_OFF, 1), (BACK_OFF, 1), (TERMINATED, 1)], [Body(lines(("10.0", "a1"))), *[Body(lines(("20.0", "b1")))] * 2])
    assert follow(node) == (["a1", "b1"], [("10.0Z", "")])


def test_a_gap_is_described_by_what_is_known_of_it():
    known = {("10:00", "10:01"): "between 10:00 and 10:01", ("10:00", ""): "after 10:00", ("", "10:01"): "before 10:01"}
    for (after, before), place in known.items():
        assert describe_gaps([Gap("p", "task", after, before)], "pod 'p'").startswith(f"Lines of pod 'p' {place} may be missing")
    assert describe_gaps([Gap("p", "task", "", "")], "pod 'p'").startswith("Lines of pod 'p' may be missing")
