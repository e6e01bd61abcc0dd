# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows about objects: created, and compared without a change."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .measuring import Bench
from .model import LIMIT, OURS, PEER, Contender, Curve, Goal, Plan, Row, Sample

SMALL = 50
APPLY = ("apply", "--server-side", "--field-manager=kubectl", "--force-conflicts", "-f")


def config_map(namespace: str, number: int) -> dict[str, Any]:
    """A small object."""
    metadata = {"name": f"object-{number}", "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "bench"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"number": str(number), "text": "a value of some length" * 4}}


def _small(bench: Bench, created: bool) -> Plan:
    namespaces = {name: bench.namespace() for name in ("loop", "set", "k8s", "kubectl", "requests")}
    count = bench.size(SMALL)
    objects = {name: [config_map(namespace, number) for number in range(count)] for name, namespace in namespaces.items()}
    path, manifest = f"/api/v1/namespaces/{namespaces['requests']}/configmaps", bench.write("small.yml", objects["kubectl"])
    item = "{{ item }}"
    bare = [("POST", path, one) if created else ("GET", f"{path}/{one['metadata']['name']}") for one in objects["requests"]]
    runs = {
        "requests alone": (LIMIT, partial(bench.limit, "requests", requests=bare), ""),
        "resource_set, one set": (OURS, partial(bench.play, {"podwright.core.resource_set": {"definition": objects["set"]}}), ""),
        "resource_set, a loop": (OURS, partial(bench.play, {"podwright.core.resource_set": {"definition": item}, "loop": objects["loop"]}), ""),
        "k8s, a loop": (
            PEER,
            partial(bench.play, {"kubernetes.core.k8s": {"definition": item}, "loop": objects["k8s"]}, peer=True),
            bench.peers.why_not("kubernetes.core"),
        ),
        "kubectl apply --server-side": (PEER, partial(bench.kubectl, *APPLY, manifest), bench.peers.why_not("kubectl")),
    }
    owners = dict(zip(runs, ("requests", "set", "loop", "k8s", "kubectl")))
    existing = [("POST", path, one) for one in objects["requests"]]
    first = {name: run for name, (_role, run, _absent) in runs.items()} | {"requests alone": partial(bench.limit, "requests", requests=existing)}
    before = {name: partial(bench.remove_all, "ConfigMap", namespaces[owners[name]]) if created else _once(first[name]) for name in runs}
    contenders = [Contender(name, role, run, before[name], absent) for name, (role, run, absent) in runs.items()]
    goals = [
        Goal("as a set, with the start of the playbook", lambda found: found["resource_set, one set"].seconds, 0.6, "s"),
        Goal("as a loop, with the start of the playbook", lambda found: found["resource_set, a loop"].seconds, 1.2, "s"),
    ]
    return Plan(contenders, goals, repeats=2)


def _once(run: Callable[[], Sample]) -> Callable[[], object]:
    """What runs something the first time that it is called: an object must exist before it is unchanged."""
    pending = [run]
    return lambda: pending and pending.pop()()


def _unchanged(bench: Bench, full: int, seconds: float) -> Plan:
    count = bench.size(full)
    ours, theirs = bench.namespace(), bench.namespace()
    source = bench.write("ours.yml", [config_map(ours, number) for number in range(count)])
    manifest = bench.write("theirs.yml", [config_map(theirs, number) for number in range(count)])
    bench.operation("resource_set", src=source)
    existing = _once(partial(bench.operation, "resource_set", src=manifest, field_manager="kubectl"))
    path = f"/api/v1/namespaces/{ours}/configmaps"
    contenders = [
        Contender("LIST alone", LIMIT, partial(bench.limit, "listing", path=path)),
        Contender("resource_set", OURS, partial(bench.operation, "resource_set", src=source)),
        Contender("kubectl apply --server-side", PEER, partial(bench.kubectl, *APPLY, manifest), existing, bench.peers.why_not("kubectl", full > 1000)),
    ]
    name, peer = "resource_set", "kubectl apply --server-side"
    goals = [
        Goal("", lambda found: found[name].seconds, seconds, "s"),
        Goal("of the CPU time of kubectl", lambda found: found[name].cpu / found[peer].cpu, 0.1),
        Goal("× the memory of LIST alone", lambda found: found[name].peak / found["LIST alone"].peak, 3),
    ]
    return Plan(contenders, goals, repeats=2)


def _objects(bench: Bench, count: int) -> Any:
    namespace = bench.namespace()
    source = bench.write("curve.yml", [config_map(namespace, number) for number in range(count)])
    run: partial[Sample] = partial(bench.operation, "resource_set", src=source)
    run()
    return run


ROWS = [
    Row("create", f"{SMALL} small objects, created", partial(_small, created=True)),
    Row("unchanged", f"{SMALL} small objects, unchanged", partial(_small, created=False)),
    Row("unchanged-1000", "1,000 objects, unchanged", partial(_unchanged, full=1000, seconds=1.2)),
    Row("unchanged-10000", "10,000 objects, unchanged", partial(_unchanged, full=10_000, seconds=6), heavy=True),
]
CURVES = [Curve("objects", "unchanged objects", (1000, 3000, 10_000), _objects)]
