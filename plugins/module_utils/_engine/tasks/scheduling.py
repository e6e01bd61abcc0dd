# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scheduling of a pod: the spread over domains, and claims of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import option_error
from ..text import parse_integer
from .field_names import camelize
from .options import check_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..values import Manifest, Options

_SPREAD = ("topology_key", "max_skew", "when_unsatisfiable", "label_selector", "min_domains", "node_affinity_policy", "node_taints_policy", "match_label_keys")
_ACTIONS = ("ScheduleAnyway", "DoNotSchedule")
_CLAIM = {"claim": "resourceClaimName", "template": "resourceClaimTemplateName"}


def build_spread(entries: list[object] | None, group: Mapping[str, str]) -> list[Manifest]:
    """The `topologySpreadConstraints` of a pod.

    Args:
        entries: each a topology key, or a mapping of the constraint's fields.
        group: labels of the pods to spread, unless an entry has a selector.

    Raises: PodwrightError that names the invalid entry.
    """
    built: list[Manifest] = []
    for index, entry in enumerate(entries or []):
        option = f"topology_spread[{index}]"
        constraint = _build_constraint({"topology_key": entry} if isinstance(entry, str) else entry, option, group)
        if any(_identity(constraint) == _identity(other) for other in built):
            raise option_error(option, f"must not repeat topology_key {constraint['topologyKey']!r} with the same when_unsatisfiable.")
        built.append(constraint)
    return built


def _identity(constraint: Manifest) -> tuple[object, object]:
    return constraint["topologyKey"], constraint["whenUnsatisfiable"]


def _build_constraint(entry: object, option: str, group: Mapping[str, str]) -> Manifest:
    names = [camelize({name: None}).popitem()[0] for name in _SPREAD]
    given: Manifest = camelize(entry) if isinstance(entry, dict) else {}
    if not isinstance(given.get("topologyKey"), str) or not given["topologyKey"]:
        raise option_error(option, "must be a topology key such as topology.kubernetes.io/zone, or a mapping with topology_key.")
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise option_error(option, f"unknown key '{unknown[0]}'; use {', '.join(_SPREAD)}.")
    constraint = {"maxSkew": 1, "whenUnsatisfiable": _ACTIONS[0], "labelSelector": {"matchLabels": dict(group)}} | given
    if constraint["whenUnsatisfiable"] not in _ACTIONS:
        raise option_error(f"{option}.when_unsatisfiable", f"must be {' or '.join(_ACTIONS)}, got {constraint['whenUnsatisfiable']!r}.")
    for field, name in (("maxSkew", "max_skew"), ("minDomains", "min_domains")):
        if field in constraint and (number := parse_integer(constraint[field], 2**31 - 1, 1)) is None:
            raise option_error(f"{option}.{name}", f"must be an integer greater than 0, got {constraint[field]!r}.")
        constraint |= {field: number} if field in constraint else {}
    if "minDomains" in constraint and constraint["whenUnsatisfiable"] != _ACTIONS[1]:
        raise option_error(f"{option}.min_domains", f"requires when_unsatisfiable {_ACTIONS[1]}.")
    return constraint


def build_claims(entries: list[Options] | None) -> list[Manifest]:
    """The `resourceClaims` of a pod (KEP-4381), each of a ResourceClaim or a ResourceClaimTemplate. Raises: PodwrightError that names the invalid entry."""
    claims: dict[str, Manifest] = {}
    for index, entry in enumerate(entries or []):
        option = f"resource_claims[{index}]"
        check_keys(option, entry, ("name", *_CLAIM))
        sources = [source for source in _CLAIM if entry.get(source)]
        name = entry.get("name")
        if len(sources) != 1 or not isinstance(name, str) or not name:
            raise option_error(option, "must have a name and either claim, the name of a ResourceClaim, or template, that of a ResourceClaimTemplate.")
        if name in claims:
            raise option_error(f"{option}.name", f"must be unique in the pod, got {name!r} again.")
        claims[name] = {"name": name, _CLAIM[sources[0]]: entry[sources[0]]}
    return list(claims.values())


def container_claims(container: Options, pod: Options, path: str) -> list[Manifest]:
    """The `resources.claims` of a container: those that it names; those of the pod for the task's own container that names none.

    Args:
        pod: the options of the task.
        path: prefix of the container's options in errors; empty for the task's own container.

    Raises: PodwrightError for a claim that the pod does not have.
    """
    known = [entry.get("name") for entry in pod.get("resource_claims") or []]
    given = (container.get("resources") or {}).get("claims")
    entries = given if given is not None else known if not path else []
    return [_container_claim(entry, known, f"{path}resources.claims[{index}]") for index, entry in enumerate(entries)]


def _container_claim(entry: object, known: list[object], option: str) -> Manifest:
    claim = entry if isinstance(entry, dict) else {"name": entry}
    check_keys(option, claim, ("name", "request"))
    if claim.get("name") not in known:
        names = ", ".join(map(str, known)) or "none"
        raise option_error(option, f"must be a name in resource_claims, got {claim.get('name')!r}; names: {names}.")
    return claim
