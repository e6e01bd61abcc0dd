# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kinds and schemas of an API server, from its discovery and its OpenAPI v3 documents."""

from __future__ import annotations

import functools
import json
from typing import Any

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import DEFINITION
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import ANYTHING, Request

Schema = dict[str, Any]


class OpenApi:
    """The schemas of one API server, read when they are needed; threads may share it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._document = functools.cache(self._read)

    def schema(self, api_version: str, kind: str) -> ObjectSchema:
        """The schema of a kind."""
        schemas = self._document(api_version)
        group, _slash, version = api_version.rpartition("/")
        key = {"group": group, "kind": kind, "version": version}
        names = [name for name, schema in schemas.items() if key in schema.get("x-kubernetes-group-version-kind", [])]
        return ObjectSchema(schemas, schemas[names[0]])

    def applicable_kinds(self) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        """The built-in kinds, as (apiVersion, kind), that can be applied, and those that cannot: the server serves no `patch` for them."""
        groups = json.loads(self._get("/apis"))["groups"]
        defined = {item["spec"]["group"] for item in self._client.list(DEFINITION)[0]}
        paths = ["/api/v1", *(f"/apis/{version['groupVersion']}" for group in groups if group["name"] not in defined for version in group["versions"])]
        applicable, others = set(), set()
        for path in paths:
            resources = json.loads(self._get(path))
            for resource in resources["resources"]:
                if "/" not in resource["name"]:
                    (applicable if "patch" in resource["verbs"] else others).add((resources["groupVersion"], resource["kind"]))
        return applicable, others

    def _read(self, api_version: str) -> dict[str, Schema]:
        path = ("/openapi/v3/apis/" if "/" in api_version else "/openapi/v3/api/") + api_version
        schemas: dict[str, Schema] = json.loads(self._get(path))["components"]["schemas"]
        return schemas

    def _get(self, path: str) -> bytes:
        return self._client.fetch(Request("GET", path, accept=ANYTHING))


class ObjectSchema:
    """A schema whose references are resolved."""

    def __init__(self, schemas: dict[str, Schema], schema: Schema) -> None:
        self._schemas = schemas
        while "$ref" in schema or "allOf" in schema:
            rest = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
            schema = (schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema["allOf"][0]) | rest
        self.own = schema

    def properties(self) -> dict[str, Schema]:
        """The properties of an object."""
        found: dict[str, Schema] = self.own.get("properties") or {}
        return found

    def below(self, step: str | int) -> ObjectSchema:
        """The schema of a property, or of the items of a list."""
        if isinstance(step, int):
            return ObjectSchema(self._schemas, self.own.get("items") or {})
        more = self.own.get("additionalProperties")
        return ObjectSchema(self._schemas, self.properties().get(step) or (more if isinstance(more, dict) else {}))
