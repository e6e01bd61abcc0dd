# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The trace that a run belongs to, and how its tasks get to know it.

Trace contexts are those of https://www.w3.org/TR/trace-context/, in the environment variable TRACEPARENT
(https://opentelemetry.io/docs/specs/otel/context/env-carriers/).
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import option_error
from ..values import Manifest, Options

if TYPE_CHECKING:
    from .task_spec import TaskSpec

TRACE_OPTIONS: dict[str, Options] = {
    "endpoint": {"type": "str", "required": True},
    "parent": {"type": "str"},
    "headers": {"type": "dict", "no_log": True},
}
VARIABLE = "TRACEPARENT"
SAMPLED = 1  # of the flags
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(-.*)?")


@dataclass(frozen=True)
class Trace:
    """A trace, and the span of a run in it.

    Attributes:
        parent_id: the span of which the run's is a child, or an empty text.
        flags: those of its context, in hexadecimal.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    flags: str = "01"

    @property
    def is_sampled(self) -> bool:
        """Whether its spans are recorded."""
        return bool(int(self.flags, 16) & SAMPLED)

    def id_of(self, *names: str) -> str:
        """The id of a span within the run's, by the names that lead to it."""
        return hashlib.sha256("/".join((self.span_id, *names)).encode()).hexdigest()[:16]

    def context_of(self, spec: TaskSpec) -> str:
        """The context of which what a task records is a part."""
        return f"00-{self.trace_id}-{self.id_of(*spec.task_name)}-{self.flags}"


def open_trace(options: Options) -> Trace:
    """The trace of a run: that of its option `parent` or of the environment, else a new one. Raises: PodwrightError that names an invalid option."""
    given = options["parent"]
    found = _FORM.fullmatch(given if given is not None else os.environ.get(VARIABLE, ""))
    if re.match(r"[^/]*//[^/?#]*@", options["endpoint"]):
        raise option_error("trace.endpoint", "must not contain credentials.", "Set the header Authorization in trace.headers.")
    if not re.fullmatch(r"https?://[^\s/?#]+[^\s#]*", options["endpoint"]):
        raise option_error("trace.endpoint", f"must be a URL such as http://collector:4318, got {options['endpoint']!r}.")
    if given is not None and not found:
        raise option_error("trace.parent", f"must be a trace context such as 00-{'1' * 32}-{'2' * 16}-01, got {given!r}.")
    if not found:  # an invalid context is ignored, as the standard says
        return Trace(secrets.token_hex(16), secrets.token_hex(8))
    return Trace(found["trace"], secrets.token_hex(8), found["span"], found["flags"])


def add_context(manifest: Manifest, context: str | None) -> Manifest:
    """The manifest of a Pod or Job whose containers know a context. A variable of that name that they have already stays."""
    spec = manifest.get("spec")
    if context is None or not spec:
        return manifest
    if spec.get("template"):
        return {**manifest, "spec": {**spec, "template": add_context(spec["template"], context)}}
    parts = {part: [_add_variable(container, context) for container in spec[part]] for part in ("initContainers", "containers") if spec.get(part)}
    return {**manifest, "spec": {**spec, **parts}}


def has_context(pod: Manifest, context: str | None) -> bool:
    """Whether a pod was created with a context."""
    return any({"name": VARIABLE, "value": context} in (container.get("env") or ()) for container in pod["spec"]["containers"])


def _add_variable(container: Manifest, context: str) -> Manifest:
    variables = container.get("env") or []
    if any(variable["name"] == VARIABLE for variable in variables):
        return container
    return {**container, "env": [*variables, {"name": VARIABLE, "value": context}]}
