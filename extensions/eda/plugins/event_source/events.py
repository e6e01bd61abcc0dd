# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Event source for ansible-rulebook: how the objects of a Kubernetes cluster change."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DOCUMENTATION = r"""
---
short_description: Watch the objects of a Kubernetes cluster
description:
  - Watches pods or other objects, and yields an event for each one that is created, changed or deleted. An outage of the API server loses no change that
    still matters; when the connection is back, what changed meanwhile is yielded, and what did not change is not.
  - The connection options of the modules are accepted, such as C(kubeconfig), C(context), C(host) and C(api_key), and so are the environment variables
    C(K8S_AUTH_*), E(KUBECONFIG) and E(PODWRIGHT_NAMESPACE). Credentials that expire are read again.
requirements:
  - ansible-core >= 2.16
  - kubernetes >= 29
  - jsonpatch
  - PyYAML
  - websocket-client
options:
  kinds:
    description:
      - Kinds of the objects. The plural and the short name of a kind are accepted in any case.
      - A kind that several API groups have is preceded by its API version, as in V(apps/v1/Deployment).
    type: list
    elements: str
    default: [Pod]
    aliases: [kind]
  namespaces:
    description: Namespaces of the objects. Defaults to E(PODWRIGHT_NAMESPACE), then to the namespace of the context, then to V(default).
    type: list
    elements: str
    default: []
    aliases: [namespace]
  all_namespaces:
    description: Watch the objects of all namespaces instead of O(namespaces).
    type: bool
    default: false
  label_selectors:
    description: Label selectors that the objects must match.
    type: list
    elements: str
    default: []
  field_selectors:
    description: Field selectors that the objects must match. Every one of O(kinds) must support them.
    type: list
    elements: str
    default: []
  event_types:
    description: Types of the events to yield.
    type: list
    elements: str
    choices: [ADDED, MODIFIED, DELETED]
    default: [ADDED, MODIFIED, DELETED]
  states:
    description: Yield only events of objects in one of these states. Defaults to all states.
    type: list
    elements: str
    choices: [pending, running, succeeded, failed, deleting, progressing, ready]
    default: []
  phases:
    description: Yield only events of objects in one of these phases (in any case), such as V(Failed) of a pod or V(Bound) of a claim. Defaults to all phases.
    type: list
    elements: str
    default: []
  reasons:
    description: Yield only events with one of these reasons (in any case), such as V(OOMKilled) or V(BackOff). Defaults to all reasons.
    type: list
    elements: str
    default: []
  changed_fields:
    description:
      - Fields of an event, at least one of which must differ from the previous event of the object, such as V(state) or V(object.spec.replicas).
        Defaults to any change.
      - With V(state), an object that failed yields one event, not one for each change of its status. Its deletion is another event, of the type V(DELETED).
    type: list
    elements: str
    default: []
  initial:
    description: Yield an event of type V(ADDED) for each object that exists when the event source starts.
    type: bool
    default: false
  include_object:
    description: Include the manifest of the object in events, as C(object).
    type: bool
    default: true
  secret_values:
    description: Include the values of Secrets, encoded in base64, instead of digests. ansible-rulebook may write events to its log.
    type: bool
    default: false
  max_bytes:
    description: Limit for the size of an event in bytes of JSON, at least 4096. An event that is larger lacks C(object), and has C(truncated).
    type: int
    default: 65536
  heartbeat:
    description: Interval in seconds at which an event of type V(HEARTBEAT) is yielded. V(0) yields none.
    type: int
    default: 0
  reconnect_timeout:
    description: Seconds after which the event source fails, if the API server does not respond or denies the requests. V(0) sets no limit.
    type: int
    default: 300
"""

EXAMPLES = r"""
- podwright.core.events:
    namespaces: [builds]
    label_selectors: [app.kubernetes.io/managed-by=podwright]
    states: [failed]
    changed_fields: [state]
    event_types: [ADDED, MODIFIED]
"""

COLLECTION = Path(__file__).resolve().parents[4]
ENGINE = "podwright_core_engine"
LOGGER = logging.getLogger("podwright.core.events")
WAIT_SECONDS = 1.0


def load_engine(name):
    """A module of the engine of this collection: ansible-rulebook reads this file without importing collections."""
    if ENGINE not in sys.modules:
        root = COLLECTION / "plugins/module_utils/_engine"
        spec = importlib.util.spec_from_file_location(ENGINE, root / "__init__.py", submodule_search_locations=[str(root)])
        sys.modules[ENGINE] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[ENGINE])
    try:
        return importlib.import_module(f"{ENGINE}.{name}")
    except ModuleNotFoundError as error:
        hint = f"Install it with: {sys.executable} -m pip install ansible-core"
        raise RuntimeError(f"podwright.core.events needs ansible-core in the Python of ansible-rulebook ({error}). {hint}") from None


def open_stream(args):
    """The EventStream for the arguments of a source."""

    class LogConsole(load_engine("console").Console):
        """Writes to the log of ansible-rulebook."""

        def progress(self, text):
            """Log what the source does."""
            LOGGER.info("%s", load_engine("text").printable(text))

        def warn(self, text):
            """Log a warning."""
            LOGGER.warning("%s", load_engine("text").printable(text))

    given = {name: value for name, value in args.items() if name != "eda_feedback_queue"}  # of the option `feedback` of ansible-rulebook
    return load_engine("event_source.stream").EventStream(given, LogConsole())


async def main(queue, args):
    """Put events into the queue until it is cancelled. Raises: an error if the options are invalid, or the connection fails for good."""
    with open_stream(args) as stream, ThreadPoolExecutor(1, "podwright-events-reader") as executor:
        try:
            while True:
                event = await asyncio.get_running_loop().run_in_executor(executor, stream.next, WAIT_SECONDS)
                if event is not None:
                    await queue.put(event)
        finally:
            stream.close()  # before the executor waits for its thread
