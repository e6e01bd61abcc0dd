# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Live state with few requests: one LIST per kind and namespace where that is cheaper than GETs."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from ..cluster.kinds import AUTOSCALER
from ..errors import UNKNOWN_KIND, PodwrightError
from ..objects.key import Key
from .manifest import key_of
from .members import Member

FEW = 2  # up to this many objects of a kind and namespace are read one by one


def observe(client, wanted, label_selector=None, concurrency=10):
    """Read the wanted objects.

    Args:
        wanted: mapping Key -> Kind.
        label_selector: the set's label; its members are listed by it first.

    Returns: (mapping Key -> object, list of each Member, list of (Kind, namespace, PodwrightError) where members could not be listed).
    """
    places = defaultdict(list)
    for key, kind in wanted.items():
        places[kind, key.namespace].append(key)
    with ThreadPoolExecutor(max(1, min(concurrency, len(places)))) as pool:
        answers = pool.map(lambda place: _observe_place(client, *place, label_selector), [(kind, ns, keys) for (kind, ns), keys in places.items()])
        live, members, unlisted = {}, [], []
        for found, labelled, refused in answers:
            live |= found
            members += labelled
            unlisted += refused
    return live, members, unlisted


# Marks an object that pod_autoscale scales itself, where the cluster has no autoscaler for it.
AUTOSCALED = "podwright.io/autoscaled"


def autoscaled_keys(client, desired, live):
    """Keys of desired objects whose replicas an autoscaler holds, in the cluster or in the desired state itself, or we do."""
    scalable = {key for key, (_kind, manifest) in desired.items() if "replicas" in manifest.get("spec", {})}
    if not scalable:
        return frozenset()
    autoscalers = [manifest for _kind, manifest in desired.values() if manifest["kind"] == AUTOSCALER.name]
    for namespace in {key.namespace for key in scalable if key.namespace}:
        autoscalers += _list(client, AUTOSCALER, namespace)[0] or []
    targets = {key for key, item in live.items() if AUTOSCALED in (item["metadata"].get("annotations") or {})}
    return frozenset(scalable & (targets | set(map(target_of, autoscalers))))


def target_of(autoscaler):
    """The Key of what a HorizontalPodAutoscaler scales."""
    target = autoscaler["spec"]["scaleTargetRef"]
    return Key(target.get("apiVersion", "").rpartition("/")[0], target["kind"], autoscaler["metadata"].get("namespace", ""), target["name"])


def _observe_place(client, kind, namespace, keys, label_selector):
    labelled, refusal = _list(client, kind, namespace, label_selector) if label_selector else ([], None)
    members = [Member(kind, key_of(item, kind), item) for item in labelled or []]
    live = {member.key: member.item for member in members if member.key in keys}
    missing = [key for key in keys if key not in live]
    items = None
    if len(missing) > FEW:
        items, _refusal = _list(client, kind, namespace)
    if items is None:
        items = [item for item in (client.get(kind, key.namespace or None, key.name) for key in missing) if item]
    live |= {key: item for key, item in ((key_of(item, kind), item) for item in items) if key in keys}
    return live, members, [(kind, namespace, refusal)] if refusal else []


def _list(client, kind, namespace, label_selector=None):
    """(items, None), or (None, the PodwrightError) if listing is forbidden (GETs may not be) or the server does not know the kind."""
    try:
        return client.list(kind, namespace or None, label_selector=label_selector)[0], None
    except PodwrightError as error:
        if error.is_forbidden or error.reason == UNKNOWN_KIND:
            return None, error
        raise
