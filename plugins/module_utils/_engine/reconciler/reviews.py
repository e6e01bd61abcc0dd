# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects that the API server answers and does not store: access and token reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.kinds import ANSWERED_GROUPS
from ..cluster.request import Request
from ..errors import PodwrightError
from ..objects.key import Key
from .plan import Change

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..values import Manifest


def is_review(manifest: object) -> bool:
    """Whether a manifest is that of a review."""
    version = manifest.get("apiVersion") if isinstance(manifest, dict) else None
    return isinstance(version, str) and version.partition("/")[0] in ANSWERED_GROUPS


def check_review(manifest: Manifest, state: str) -> None:
    """Raises: PodwrightError if a review cannot be sent."""
    if not isinstance(manifest.get("kind"), str) or not isinstance(manifest.get("metadata") or {}, dict):
        raise PodwrightError(f"A review of {manifest['apiVersion']} lacks kind, or its metadata is not a mapping.", reason="BadManifest")
    if state != "present":
        hint = "Set state to present, or remove it from the definition."
        raise PodwrightError(f"{manifest['kind']} is answered and not stored, so that it cannot be {state}.", reason="BadManifest", hint=hint)


def send_review(client: Client, manifest: Manifest, namespace: str) -> Change:
    """Send a review, also in check mode since it changes nothing. Returns: a Change whose `after` is the answer. Raises: PodwrightError."""
    kind = client.kinds.find(manifest["apiVersion"], manifest["kind"])
    metadata = manifest.get("metadata") or {}
    place = str(metadata.get("namespace") or namespace) if kind.namespaced else ""
    # A review must not have a name, which only identifies it in the result.
    body = manifest | {"kind": kind.name, "metadata": {"namespace": place} if place else {}}
    answer = client.send(Request("POST", kind.path(place), (("fieldValidation", "Strict"),), body, kind=kind, namespace=place or None))
    answer = answer | {"apiVersion": kind.api_version, "kind": kind.name}
    if isinstance(spec := answer.get("spec"), dict):
        answer["spec"] = {name: value for name, value in spec.items() if name != "token"}
    key = Key(kind.group, kind.name, place, str(metadata.get("name") or ""))
    return Change("none", key, kind, after=answer, note="answered by the API server, which does not store it")
