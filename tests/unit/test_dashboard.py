# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dashboard of the role monitoring has the fields and types of Grafana's schema, and shows what the recording rules record."""

from __future__ import annotations

import json
import typing
from enum import Enum
from types import NoneType, UnionType

import pytest

from ..support.documents import read_yaml
from .test_roles import render

models = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason="needs Python 3.11")
encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")


def created(**variables):
    """(dashboard, names of recorded series) of the role."""
    objects = render("monitoring", monitoring_namespace="builds", **variables)
    rules = read_yaml(objects["ConfigMap", "podwright-monitoring-builds"]["data"]["rules.yml"])["groups"][0]["rules"]
    return json.loads(objects["ConfigMap", "podwright-dashboard-builds"]["data"]["podwright-builds.json"]), [rule["record"] for rule in rules]


def problems(value, hint, path="dashboard"):
    """The parts of a value, read by the models of Grafana's schema, that do not have the type that these declare."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        return min((problems(value, part, path) for part in parts), key=len)
    if origin is list:
        if not isinstance(value, list):
            return [f"{path}: must be a list"]
        return [problem for index, item in enumerate(value) for problem in problems(item, parts[0], f"{path}[{index}]")]
    if origin is typing.Literal:
        return [] if value in parts else [f"{path}: must be one of {parts}"]
    if hint in (object, typing.Any) or origin is dict or (value is None and hint is NoneType):
        return []
    if issubclass(hint, Enum):
        return [] if value in [member.value for member in hint] else [f"{path}: must be one of {list(hint)}"]
    if not isinstance(value, (int, float) if hint is float else hint) or (isinstance(value, bool) and hint is not bool):
        return [f"{path}: must be {hint}"]
    hints = typing.get_type_hints(hint) if hint.__module__.startswith("grafana") else {}
    return [problem for name, part in hints.items() for problem in problems(getattr(value, name), part, f"{path}.{name}")]


def lost(before, after, path="dashboard"):
    """The fields that the schema does not have: its models do not write them again."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [field for name, value in before.items() for field in lost(value, after.get(name), f"{path}.{name}")]
    if isinstance(before, list) and isinstance(after, list):
        return [field for index, value in enumerate(before) for field in lost(value, after[index], f"{path}[{index}]")]
    return [] if before == after else [path]


def violations(dashboard):
    """What the schema refuses in a dashboard."""
    try:
        read = models.Dashboard.from_json(json.loads(json.dumps(dashboard)))
    except (TypeError, ValueError, AttributeError, KeyError) as problem:
        return [str(problem)]
    return problems(read, models.Dashboard) + lost(dashboard, json.loads(json.dumps(read, cls=encoder.JSONEncoder)))


def test_the_dashboard_has_the_fields_and_types_of_the_schema():
    assert not violations(created()[0])


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        (lambda board: board, "titel", "x"),
        (lambda board: board, "title", 7),
        (lambda board: board["panels"][0], "gridPos", {"x": "left", "y": 0, "w": 1, "h": 1}),
        (lambda board: board["panels"][0], "datasources", {}),
        (lambda board: board["templating"]["list"][0], "hide", "no"),
        (lambda board: board["panels"][0]["fieldConfig"]["defaults"], "units", "s"),
    ],
)
def test_a_dashboard_that_violates_the_schema_is_found(part, name, value):
    board = created()[0]
    part(board)[name] = value
    assert violations(board)


def test_each_panel_shows_a_recorded_series_of_the_namespace_and_each_series_is_shown():
    board, recorded = created()
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert sorted(shown) == sorted(f'{name}{{namespace="$namespace"}}' for name in recorded)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places) and len({panel["id"] for panel in board["panels"]}) == len(places)
    assert {"datasource", "namespace"} == {variable["name"] for variable in board["templating"]["list"]}
    assert len(board["uid"]) <= 40, "the maximum of Grafana"


def test_labels_of_the_dashboard_are_text():
    objects = render("monitoring", monitoring_namespace="builds", monitoring_dashboard_labels={"grafana_dashboard": 1, "team": True})
    labels = objects["ConfigMap", "podwright-dashboard-builds"]["metadata"]["labels"]
    assert labels == {"grafana_dashboard": "1", "team": "true"}
