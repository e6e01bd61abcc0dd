# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One task as requested: its options, the defaults that depend on other options, and the hashes that identify it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ..cluster.kinds import JOB, POD, Kind
from ..objects.containers import TASK_CONTAINER
from ..objects.labels import MANAGED, SET
from ..objects.quantity import parse_quantity
from ..text import encode, scalar_text
from ..values import Manifest, Options
from .environment import order_of_references
from .inputs import Input, digest_input, read_inputs
from .options import EXECUTION_OPTIONS, FILE_OPTIONS, IN_MANIFEST, LATER_OPTIONS, TASK_OPTIONS
from .outputs import output_paths
from .resources import Resources, build_resources
from .scheduling import container_claims

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_TIMEOUT = 3600  # seconds
ITERATIONS = 10_000  # some milliseconds
RESIZABLE = ("resources", "request_ratio")
_TEXTS = ("env", "node_selector", "sysctls")  # mappings of which the pod has the scalars as text
_NOT_HASHED = {**EXECUTION_OPTIONS, **FILE_OPTIONS}
_DEFAULTS = {name: spec.get("default") for name, spec in TASK_OPTIONS.items() if name not in _NOT_HASHED or name in IN_MANIFEST}  # of what is hashed
_as_json, _as_sorted_json = json.JSONEncoder(default=str).encode, json.JSONEncoder(sort_keys=True).encode


@dataclass(frozen=True)
class TaskSpec:
    """One task as requested.

    Attributes:
        options: its options, defaults merged in.
        state: the requested state.
        set_name: name of the set to which it belongs, or None.
        peers: labels of the pods that are spread together, or None for those of its set.
        needs: the tasks of the batch that must reach their state before it starts, by `task_name`.
        context: the trace context that its containers get, or None. It differs from run to run, and does not identify the task.
        hides_log: whether the Ansible task has `no_log`.
        adopted: names of the options that it has from its definition, with which they are hashed.
        validated: (Pod Security profile, number of the attempt) -> its manifest as its validation built it, to be used once.
    """

    name: str
    namespace: str
    options: Options
    state: str
    set_name: str | None = None
    peers: Mapping[str, str] | None = None
    needs: tuple[tuple[str, str], ...] = ()
    context: str | None = None
    hides_log: bool = False
    adopted: frozenset[str] = frozenset()
    validated: dict[tuple[str, int], Manifest] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def group(self) -> Mapping[str, str]:
        """Labels of the pods that are spread together: its `peers`, its set, or all tasks of the namespace."""
        return self.peers or ({SET: self.set_name} if self.set_name else MANAGED)

    @property
    def task_name(self) -> tuple[str, str]:
        """Its namespace and name, which identify it."""
        return self.namespace, self.name

    @cached_property
    def is_job(self) -> bool:
        """Whether the task runs as a Job."""
        return bool(self.options["kind"] == JOB.name)

    @property
    def kind(self) -> Kind:
        """The Kind of the task's object."""
        return JOB if self.is_job else POD

    @cached_property
    def completes(self) -> bool:
        """Whether the task is expected to exit."""
        return self.is_job or self.state == "completed"

    @property
    def timeout(self) -> int | None:
        """Timeout of one attempt in seconds, or None."""
        given: int | None = self.options.get("timeout")
        return given if given is not None else DEFAULT_TIMEOUT if self.completes else None

    @cached_property
    def hash(self) -> str:
        """A digest of the options, not of the manifest: what webhooks and new versions of Podwright add is not a change of the task.

        It excludes the resources of the containers that can be resized in place.
        """
        hashed = _DEFAULTS.keys() - self.adopted
        given = {name: value for name, value in self.options.items() if value is not None and name in hashed and value != _DEFAULTS[name]}
        given = _with_words(_without_resources(given)) | self._hashed_files
        if not self.completes and given.get("containers"):
            given["containers"] = [_without_resources(container) for container in given["containers"]]
        for name in ("containers", "init_containers"):
            given |= {name: [_with_words(_as_known_before(container)) for container in given[name]]} if given.get(name) else {}
        # Live objects carry this digest as a label: another key, or another order, would replace every task after an upgrade.
        given["completes"] = self.completes
        if "stdin" in given:
            given["stdin"] = self._conceal(given["stdin"])
        for container in (given, *(given.get("containers") or []), *(given.get("init_containers") or [])):
            if "secret_env" in container:
                variables = {scalar_text(name): scalar_text(value) for name, value in container["secret_env"].items()}
                container["secret_env"] = self._conceal(json.dumps(variables, sort_keys=True))
        orders = [order_of_references(container) for _path, container in containers_of(self.options)]
        return digest(given | ({"order of variables": orders} if any(orders) else {}))

    @cached_property
    def inputs(self) -> list[Input]:
        """Its inputs. Raises: PodwrightError that names the invalid option."""
        return read_inputs(self.options)

    @cached_property
    def input_digests(self) -> list[str]:
        """A digest of the content of each input. Raises: PodwrightError if one cannot be read."""
        return [digest_input(entry) for entry in self.inputs]

    @property
    def _hashed_files(self) -> Options:
        """What of the files of the task its pod depends on, in place of the options for them."""
        outputs = sorted({path for _option, path in output_paths(self.options)})
        hashed: Options = {"outputs": outputs} if outputs else {}
        inputs = [[entry.path, entry.mode, content] for entry, content in zip(self.inputs, self.input_digests)]
        return hashed | ({"inputs": self._conceal(digest(inputs))} if inputs else {})

    def _conceal(self, text: str) -> str:
        """A slow digest of a text, which differs from task to task."""
        return slow_digest(text, f"{self.namespace}/{self.name}")

    @cached_property
    def resources_hash(self) -> str:
        """A digest of the resources that can be resized in place, as requested: rounding runs no task again."""
        values = {
            name: {part: {resource: str(parse_quantity(text)) for resource, text in quantities.items()} for part, quantities in resources.items()}
            for name, resources in self._read_resources(is_exact=True).items()
        }
        return digest(values)

    @cached_property
    def resources(self) -> dict[str, Resources]:
        """Limits and requests, by name, of the containers that can be resized in place."""
        return self._read_resources()

    def _read_resources(self, is_exact: bool = False) -> dict[str, Resources]:
        resources = {TASK_CONTAINER: build_resources(self.options, is_exact=is_exact)}
        if not self.completes:
            for index, container in enumerate(self.options.get("containers") or []):
                resources[container["name"]] = build_resources(container, f"containers[{index}].", is_exact)
        return resources

    @property
    def resources_with_claims(self) -> dict[str, Manifest]:
        """`resources` and the claims of devices, which cannot be changed, of these containers."""
        containers = {container["name"] if path else TASK_CONTAINER: (path, container) for path, container in containers_of(self.options)}
        claims = {name: container_claims(container, self.options, path) for name, (path, container) in containers.items()}
        return {name: resources | ({"claims": claims[name]} if claims[name] else {}) for name, resources in self.resources.items()}

    @property
    def keeps_record(self) -> bool:
        """Whether a record keeps the task's result after its pod is deleted."""
        given: bool | None = self.options.get("record")
        return given if given is not None else self.options["cleanup"] != "never" or self.leaves_files

    @cached_property
    def leaves_files(self) -> bool:
        """Whether it has results or artifacts that are files, which its pod holds until they are fetched."""
        return bool(output_paths(self.options))


def containers_of(options: Options) -> list[tuple[str, Options]]:
    """(prefix of its options' paths, options) of each container: that of the task itself, the additional ones, the init containers."""
    lists = ("containers", "init_containers")
    return [("", options), *((f"{name}[{index}].", container) for name in lists for index, container in enumerate(options.get(name) or []))]


def _with_words(container: Options) -> Options:
    """The options with text for the scalars that the pod has as text: whether a template results in 5 or "5" depends on the version of ansible-core."""
    words: Options = {"args": list(map(scalar_text, container["args"]))} if container.get("args") else {}
    for name in _TEXTS:
        if container.get(name):
            words[name] = {key: value if isinstance(value, (dict, list)) else scalar_text(value) for key, value in container[name].items()}
    return container | words


def _as_known_before(container: Options) -> Options:
    """The options without those that are not set and that earlier versions of Podwright did not have, as these hashed them."""
    known = {name: value for name, value in container.items() if value is not None or name not in LATER_OPTIONS}
    resources = known.get("resources")
    if resources and resources.get("claims") is None:
        known["resources"] = {part: quantities for part, quantities in resources.items() if part != "claims"}
    return known


def _without_resources(container: Options) -> Options:
    """The options without the resources that can be resized, to which claims do not belong."""
    claims = (container.get("resources") or {}).get("claims")
    rest = {name: value for name, value in container.items() if name not in RESIZABLE}
    return rest if claims is None else rest | {"claims": claims}


def slow_digest(text: str, salt: str) -> str:
    """A digest that takes a while: users who can read it, but not the Secret with the text, must not find the text by trying."""
    return hashlib.pbkdf2_hmac("sha256", encode(text), salt.encode(), ITERATIONS).hex()


def digest(value: object) -> str:
    """A short digest of plain data."""
    plain = json.loads(_as_json(value))  # keys as text, which can be sorted
    return hashlib.sha256(_as_sorted_json(plain).encode()).hexdigest()[:16]
