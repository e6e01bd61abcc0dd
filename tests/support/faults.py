# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of an API server, of the proxies before it and of the network, for a HostileServer; and what must come of each."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass

from .hostile_server import behave, chunk_of, head_of
from .local_commands import frame
from .stub_cluster import Answer, failure

READS, ANSWERS = ("get", "list", "discovery"), ("get", "list", "discovery", "write")
HTML = Answer(200, b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>", {"Content-Type": "text/html"})


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        act: called with (call, connection, execute) instead of a response.
        groups: of the calls that it applies to.
        outcome: `same` if the result must be that of a server without faults, `once` if it must be if the fault occurs once, `any` if it must
            be that or a clear error, `other` if the answer is one of a server in another state, so that another result is right.
        is_slow: whether the server keeps the client waiting, so that what is tested is a time limit of the client.
    """

    act: Callable
    groups: tuple[str, ...]
    outcome: str = "any"
    is_slow: bool = False


class Injected:
    """A fault at calls of some groups, from the call number `first` on, `count` times.

    Attributes:
        occurred: how often it has occurred.
    """

    def __init__(self, fault, groups, first, count):
        self._fault, self._groups, self._first, self._count = fault, groups, first, count
        self._seen, self._lock, self.occurred = 0, threading.Lock(), 0

    def __call__(self, call, connection, execute):
        with self._lock:
            self._seen += call.group in self._groups
            is_hit = call.group in self._groups and self._first <= self._seen < self._first + self._count
            self.occurred += is_hit
        (self._fault.act if is_hit else behave)(call, connection, execute)


# -- kinds of acts --------------------------------------------------------------------------------------------


def status(code, reason="Odd", message="an odd refusal", **headers):
    """Refuse the request, which is not carried out."""
    headers = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    body = failure(code, reason, message).body
    return lambda call, connection, execute: connection.respond(Answer(code, body, headers))


def fixed(answer):
    """Respond without carrying the request out."""
    return lambda call, connection, execute: connection.respond(answer)


def changed(change):
    """Carry the request out, and respond with another body: `change` is called with the decoded one, or with each event of a watch."""

    def act(call, connection, execute):
        answer = execute()
        if callable(answer.body):
            connection.respond(Answer(200, lambda: (json.dumps(change(json.loads(line))).encode() + b"\n" for line in answer.body())))
        elif isinstance(answer.body, bytes):
            connection.respond(answer)
        else:
            connection.respond(Answer(answer.status, change(json.loads(json.dumps(answer.body))), answer.headers))

    return act


def raw(make, closes=True):
    """Carry the request out, and send the bytes that `make` makes of the Answer."""

    def act(call, connection, execute):
        answer = execute()
        if callable(answer.body):
            connection.respond(answer)
            return
        connection.send(make(answer))
        if closes:
            connection.reset() if closes == "reset" else _close(connection)

    return act


def _close(connection):
    connection.sock.close()
    raise OSError


def unanswered(executes, ending):
    """Close the connection without an answer to a request that was, or was not, carried out."""

    def act(call, connection, execute):
        if executes and call.group != "upgrade":
            execute()
        connection.reset() if ending == "reset" else _close(connection)

    return act


def _dripped(call, connection, execute):
    answer = execute()
    if callable(answer.body):
        connection.respond(answer)
        return
    content = head_of(answer) + answer.content()
    size = max(len(content) // 20, 1)
    for start in range(0, len(content), size):
        connection.send(content[start : start + size])
        connection.wait(0.001)


def _endless_drip(call, connection, execute):
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    while not connection.server.stopped.is_set():
        connection.send(b" ")
        connection.wait(0.02)


def _silent(call, connection, execute):
    connection.wait(30)


def _compressed(answer):
    content = gzip.compress(answer.content())
    return head_of(Answer(answer.status, content, {**answer.headers, "Content-Encoding": "gzip"})) + content


def _in_chunks(answer):
    content = answer.content()
    return head_of(answer, chunked=True) + b"".join(chunk_of(content[start : start + 7]) for start in range(0, len(content), 7)) + b"0\r\n\r\n"


def _duplicated(call, connection, execute):
    answer = execute()
    if callable(answer.body):
        connection.respond(answer)
        return
    connection.send(2 * (head_of(answer) + answer.content()))


def _watched(*lines, then_waits=False):
    """A watch with these lines, which is closed then."""

    def act(call, connection, execute):
        connection.send(head_of(Answer(200, b""), chunked=True), *(chunk_of(line + b"\n") for line in lines))
        if then_waits:
            connection.wait(30)
        connection.send(b"0\r\n\r\n")

    return act


def _repeated_events(call, connection, execute):
    stream = execute()
    connection.respond(Answer(200, lambda: (2 * piece for piece in stream.body())))


def _upgraded(*pieces, ending="close", **options):
    """A websocket that is accepted, sends these bytes and is closed, or stays open."""

    def act(call, connection, execute):
        connection.upgrade(call, **options)
        connection.send(*pieces)
        if ending == "wait":
            connection.wait(1)
        elif ending == "reset":
            connection.reset()

    return act


def _expired_page(call, connection, execute):
    if "continue" in call.query:
        connection.respond(failure(410, "Expired", "the continue token has expired"))
    else:
        connection.respond(execute())


def _same_page(body):
    return body | {"metadata": body["metadata"] | {"continue": "1"}} if isinstance(body.get("items"), list) else body


def _with(**fields):
    return lambda body: body | fields


def _with_metadata(**fields):
    def change(body):
        for item in [body, *(body["items"] if isinstance(body.get("items"), list) else [])]:
            item["metadata"] = (item.get("metadata") or {}) | fields
        return body

    return change


EXPIRED = json.dumps({"type": "ERROR", "object": failure(410, "Expired", "too old resource version").body}).encode()
ELSEWHERE = {"Content-Type": "text/html", "Location": "http://127.0.0.2:1/login?token=c4n4ry"}
STATUS = b"\3"

# -- the faults -----------------------------------------------------------------------------------------------

FAULTS = {
    # Answers that HTTP allows, and that change nothing.
    "gzip": Fault(raw(_compressed, closes=False), ANSWERS, "same"),
    "chunks": Fault(raw(_in_chunks, closes=False), ANSWERS, "same"),
    "drip": Fault(_dripped, ANSWERS, "same"),
    "100 before": Fault(raw(lambda answer: b"HTTP/1.1 100 Continue\r\n\r\n" + head_of(answer) + answer.content(), closes=False), ANSWERS, "same"),
    "connection: close": Fault(raw(lambda answer: head_of(answer, Connection="close") + answer.content()), ANSWERS, "same"),
    "no length": Fault(raw(lambda answer: head_of(answer, Content_Length=None) + answer.content()), ANSWERS, "same"),
    "duplicate answer": Fault(_duplicated, ANSWERS, "same"),
    "odd headers": Fault(
        raw(lambda answer: head_of(answer, X_Odd="\xff\t=", Date="Never", Retry_After="\xb2") + answer.content(), closes=False), ANSWERS, "same"
    ),
    "duplicate events": Fault(_repeated_events, ("watch",), "same"),
    "continue tokens expire": Fault(_expired_page, ("list",), "same"),
    # Faults that pass.
    "429": Fault(status(429, "TooManyRequests", Retry_After="1"), ANSWERS, "once"),
    "429 far": Fault(status(429, "TooManyRequests", Retry_After="999999999999"), ANSWERS, "once"),
    "429 negative": Fault(status(429, "TooManyRequests", Retry_After="-5"), ANSWERS, "once"),
    "429 date": Fault(status(429, "TooManyRequests", Retry_After="Fri, 01 Jan 2100 00:00:00 GMT"), ANSWERS, "once"),
    "429 odd": Fault(status(429, "TooManyRequests", Retry_After="\xb2"), ANSWERS, "once"),
    "500": Fault(status(500, "InternalError"), ANSWERS, "once"),
    "502 page": Fault(fixed(Answer(502, HTML.body, HTML.headers)), ANSWERS, "once"),
    "503": Fault(status(503, "ServiceUnavailable"), ANSWERS, "once"),
    "504": Fault(status(504, "Timeout"), ANSWERS, "once"),
    "401": Fault(status(401, "Unauthorized", "Unauthorized"), (*ANSWERS, "watch", "log", "upgrade"), "once"),
    "closed before": Fault(unanswered(False, "close"), ANSWERS, "once"),
    "closed after": Fault(unanswered(True, "close"), ANSWERS, "once"),
    "reset before": Fault(unanswered(False, "reset"), ANSWERS, "once"),
    "reset after": Fault(unanswered(True, "reset"), ANSWERS, "once"),
    "half a head": Fault(raw(lambda answer: head_of(answer)[:20]), ANSWERS, "once"),
    "head without its end": Fault(raw(lambda answer: head_of(answer, Content_Length=None)[:-2]), ANSWERS, "once"),
    "half a body": Fault(raw(lambda answer: head_of(answer) + answer.content()[: len(answer.content()) // 2]), ANSWERS, "once"),
    "half a chunk": Fault(raw(lambda answer: head_of(answer, chunked=True) + b"fff\r\n" + answer.content()), ANSWERS, "once"),
    "length too long": Fault(raw(lambda answer: head_of(answer, Content_Length="99999") + answer.content()), ANSWERS, "once"),
    "silence": Fault(_silent, ANSWERS, "once", is_slow=True),
    "endless drip": Fault(_endless_drip, ANSWERS, "once", is_slow=True),
    "watch closed": Fault(_watched(), ("watch",), "same"),
    "watch expired": Fault(status(410, "Expired"), ("watch",), "same"),
    "watch expired by event": Fault(_watched(EXPIRED), ("watch",), "same"),
    "watch forbidden": Fault(status(403, "Forbidden", 'User "u" cannot watch resource "pods" in API group ""'), ("watch",), "same"),
    "watch refused": Fault(status(500, "InternalError"), ("watch",), "once"),
    "watch of garbage": Fault(_watched(b"\xff\0{[", b"<html>"), ("watch",), "once"),
    "watch of null": Fault(_watched(b"null"), ("watch",), "once"),
    "watch of null objects": Fault(_watched(b'{"type": "ADDED", "object": null}'), ("watch",), "once"),
    "watch of other kinds": Fault(_watched(b'{"type": "ADDED", "object": {"kind": "Hostile", "metadata": {"name": "x"}}}'), ("watch",), "once"),
    "watch reset": Fault(unanswered(False, "reset"), ("watch",), "once"),
    "log cut off": Fault(raw(lambda answer: head_of(answer) + answer.content()[:9]), ("log",)),
    # Answers that are none.
    "400": Fault(status(400, "BadRequest"), (*ANSWERS, "watch", "log", "upgrade")),
    "403": Fault(status(403, "Forbidden", "denied by webhook: \x1b[31mno"), (*ANSWERS, "log", "upgrade")),
    "403 of RBAC": Fault(status(403, "Forbidden", 'User "u" cannot get resource "x" in API group ""'), (*ANSWERS, "log", "upgrade")),
    "404": Fault(status(404, "NotFound", 'odd "x" not found'), (*ANSWERS, "watch", "log", "upgrade"), "other"),
    "404 page": Fault(fixed(Answer(404, HTML.body, HTML.headers)), (*ANSWERS, "watch", "log", "upgrade")),
    "404 text": Fault(fixed(Answer(404, b"404 page not found\n", {"Content-Type": "text/plain"})), (*ANSWERS, "watch", "upgrade")),
    "409": Fault(status(409, "Conflict", "the object has been modified"), (*ANSWERS, "upgrade")),
    "410": Fault(status(410, "Gone"), (*ANSWERS, "log", "upgrade")),
    "422": Fault(status(422, "Invalid", "metadata.name: Invalid value"), (*ANSWERS, "watch", "upgrade")),
    "204": Fault(fixed(Answer(204, b"")), ANSWERS),
    "304": Fault(fixed(Answer(304, b"")), (*ANSWERS, "watch", "log", "upgrade")),
    "103": Fault(raw(lambda answer: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + head_of(answer) + answer.content()), ANSWERS),
    "101": Fault(raw(lambda answer: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), ANSWERS),
    "999": Fault(fixed(Answer(999, b"odd")), (*ANSWERS, "watch", "log", "upgrade")),
    **{str(code): Fault(fixed(Answer(code, b"", ELSEWHERE)), (*ANSWERS, "watch", "log", "upgrade")) for code in (301, 302, 303, 307, 308)},
    "page": Fault(fixed(HTML), (*ANSWERS, "watch", "log", "upgrade")),
    "empty": Fault(fixed(Answer(200, b"")), (*ANSWERS, "upgrade")),
    "null": Fault(fixed(Answer(200, None)), (*ANSWERS, "upgrade")),
    "list": Fault(fixed(Answer(200, [])), ANSWERS),
    "text": Fault(fixed(Answer(200, b"\xff\xfe{")), (*ANSWERS, "watch")),
    "deep": Fault(fixed(Answer(200, b"[" * 50_000)), ANSWERS),
    "other kind": Fault(changed(_with(kind="Hostile", data={"ansible_facts": {}})), ANSWERS),
    "no metadata": Fault(changed(_with(metadata=None)), ANSWERS),
    "items null": Fault(changed(_with(items=None)), ("list",), "other"),
    "items text": Fault(changed(_with(items="abc")), ("list",)),
    "items of null": Fault(changed(_with(items=[None])), ("list",)),
    "items of odd objects": Fault(changed(_with(items=[{"metadata": {"name": "x"}, "spec": 5}])), ("list",)),
    "no uid": Fault(changed(_with_metadata(uid=None)), ("get", "list", "write")),
    "other name": Fault(changed(_with_metadata(name="other")), ("get", "write")),
    "odd labels": Fault(changed(_with_metadata(labels=["a"])), ("get", "list", "write")),
    "odd version": Fault(changed(_with_metadata(resourceVersion="x")), ("get", "list", "write")),
    "odd owners": Fault(changed(_with_metadata(ownerReferences=[{}])), ("get", "list", "write")),
    "spec null": Fault(changed(_with(spec=None)), ("get", "write")),
    "status text": Fault(changed(_with(status="odd")), ("get", "write")),
    "the same page again": Fault(changed(_same_page), ("list",)),
    "length too short": Fault(raw(lambda answer: head_of(answer, Content_Length="9") + answer.content()), ANSWERS),
    "length negative": Fault(raw(lambda answer: head_of(answer, Content_Length="-9") + answer.content()), ANSWERS),
    "length odd": Fault(raw(lambda answer: head_of(answer, Content_Length="\xb2") + answer.content()), ANSWERS),
    "no gzip": Fault(raw(lambda answer: head_of(answer, Content_Encoding="gzip") + answer.content()), ANSWERS),
    "gzip bomb": Fault(fixed(Answer(200, gzip.compress(b" " * 3_000_000), {"Content-Type": "application/json", "Content-Encoding": "gzip"})), ANSWERS),
    "enormous body": Fault(fixed(Answer(200, b" " * 3_000_000)), (*ANSWERS, "upgrade")),
    "enormous header": Fault(raw(lambda answer: head_of(answer, X_Odd="x" * 100_000) + answer.content()), ANSWERS),
    "many headers": Fault(raw(lambda answer: head_of(answer, **{f"X_{n}": "x" for n in range(1000)}) + answer.content()), ANSWERS),
    "no HTTP": Fault(raw(lambda answer: b"SSH-2.0-OpenSSH_9.6\r\n"), (*ANSWERS, "log")),
    "HTTP/0.9": Fault(raw(lambda answer: answer.content()), ANSWERS),
    "many lines": Fault(fixed(Answer(200, b"x" * 3_000_000, {"Content-Type": "text/plain"})), ("log",), "other"),
    # Websockets.
    "no upgrade": Fault(unanswered(False, "close"), ("upgrade",)),
    "upgrade reset": Fault(unanswered(False, "reset"), ("upgrade",)),
    "upgrade 500": Fault(status(500, "InternalError"), ("upgrade",)),
    "upgrade 502 page": Fault(fixed(Answer(502, HTML.body, HTML.headers)), ("upgrade",)),
    "upgrade silent": Fault(_silent, ("upgrade",), is_slow=True),
    "upgrade drip": Fault(_endless_drip, ("upgrade",), is_slow=True),
    "upgrade of another key": Fault(_upgraded(accept="AAAA"), ("upgrade",)),
    "upgrade of another protocol": Fault(_upgraded(protocol="odd"), ("upgrade",)),
    "upgrade without HTTP": Fault(lambda call, connection, execute: connection.send(b"\xff" * 100), ("upgrade",)),
    "upgrade, then closed": Fault(_upgraded(), ("upgrade",)),
    "upgrade, then reset": Fault(_upgraded(ending="reset"), ("upgrade",)),
    "upgrade, then garbage": Fault(_upgraded(b"\xff" * 64), ("upgrade",)),
    "upgrade, then a huge frame": Fault(_upgraded(b"\x82\x7f" + b"\x7f" * 8, ending="wait"), ("upgrade",)),
    "upgrade, then nothing": Fault(_upgraded(ending="wait"), ("upgrade",)),
    "upgrade, then close": Fault(_upgraded(frame(b"\x03\xe8", 8)), ("upgrade",)),
    "upgrade, then no status": Fault(_upgraded(frame(b"\1hello"), ending="wait"), ("upgrade",)),
    "upgrade, then pings": Fault(_upgraded(*[frame(b"x" * 100, 9)] * 500), ("upgrade",)),
    "upgrade, then a continuation": Fault(_upgraded(frame(b"\1hello", 0)), ("upgrade",)),
    "upgrade, then text": Fault(_upgraded(frame(STATUS + b"null", 1)), ("upgrade",)),
    **{
        f"status {number}": Fault(_upgraded(frame(STATUS + content)), ("upgrade",))
        for number, content in enumerate(
            (
                b"\xff\0",
                b"[]",
                b"[" * 50_000,
                b'{"status": "Failure", "details": []}',
                b'{"status": "Failure", "message": 5, "reason": []}',
                b'{"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [5, {"reason": "ExitCode", "message": "\xc2\xb2"}]}}',
                b'{"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": "99999999999999999999"}]}}',
            )
        )
    },
}
